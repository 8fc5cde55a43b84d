"""Runs of cells, small: records, resuming, sharing, divergence, and results that are refused."""

import copy
import json
from dataclasses import replace
from unittest import mock

import pytest
import torch

from teachseg.storage import load_json, save_json
from teachseg.tables import report, runs
from teachseg.tables.specs import TABLES, Budget, find
from teachseg.train import NotFinite, Stopped, draws

TINY = Budget(steps=2, batch_size=1, learning_rate=1e-3, image_size=64, test_scenes=2,
              precision="32-true")
HEAD = find("mask-head")


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """Two cells of one table, one seed, and where their trainings lie."""
    out = tmp_path_factory.mktemp("tables")
    records = [runs.run_cell(HEAD, cell, 0, out, "cpu", 1, TINY) for cell in HEAD.cells]
    return out, records


def test_a_record_says_all_that_could_explain_its_number(done):
    _, records = done
    for cell, record in zip(HEAD.cells, records):
        assert runs.refusal(record, HEAD) is None
        assert record["cell"] == cell.name and record["seed"] == 0 and record["threads"] == 1
        assert record["diverged"] is None and record["numbers"]["images"] == 2
        assert record["settings"]["mask_head"] == cell.change.get("mask_head", "conv")
        assert record["budget"]["steps"] == 2 and record["torch"] == torch.__version__
        assert set(record["losses"]) == {"rpn_objectness", "rpn_box", "class", "box", "mask"}
        json.dumps(record, allow_nan=False)
    assert records[0]["weights"] != records[1]["weights"]


def test_a_training_that_is_done_is_not_run_again(done):
    out, records = done
    with mock.patch.object(runs, "fit", side_effect=AssertionError("trained again")):
        again = runs.run_cell(HEAD, HEAD.cells[0], 0, out, "cpu", 1, TINY)
    for name in ("numbers", "weights", "losses", "training_seconds"):
        assert again[name] == records[0][name]
    folder = out / records[0]["training"]
    assert sorted(p.name for p in folder.iterdir()) == [
        "done.json", "weights.json", "weights.safetensors"], "no state is left behind"


def test_an_interrupted_one_goes_on_and_gives_the_same(done, tmp_path):
    """Stopped after its first step: the second call makes only the second one."""
    _, records = done
    real, seen = runs.fit, []

    def stop_after_one(*args, **kwargs):
        for record in real(*args, **kwargs):
            seen.append(record.step)
            yield record
            raise Stopped("as if Ctrl-C had come")

    budget = replace(TINY)
    saved = runs.train_config

    def save_each(*args):
        return replace(saved(*args), save_every=1)

    with mock.patch.object(runs, "train_config", save_each):
        with mock.patch.object(runs, "fit", stop_after_one), pytest.raises(KeyboardInterrupt):
            runs.run_cell(HEAD, HEAD.cells[0], 0, tmp_path, "cpu", 1, budget)
        record = runs.run_cell(HEAD, HEAD.cells[0], 0, tmp_path, "cpu", 1, budget)
    assert seen == [1]
    assert record["weights"] == records[0]["weights"] and record["numbers"] == records[0]["numbers"]


def test_a_run_that_diverges_is_reported(tmp_path):
    def broken(*args, **kwargs):
        raise NotFinite("Step 2: the loss 'mask' is nan. The last good one is in /somewhere.")

    with mock.patch.object(runs, "fit", broken):
        record = runs.run_cell(HEAD, HEAD.cells[1], 3, tmp_path, "cpu", 1, TINY)
    assert record["diverged"] == "all: Step 2: the loss 'mask' is nan"
    assert record["numbers"] is None and runs.refusal(record, HEAD) is None
    measured = report.measured(HEAD, [record], "fully connected")
    assert measured.values == () and measured.words() == "- (0), 1 diverged"
    assert report.divergences(HEAD, [record]) == [
        "fully connected, seed 3, diverged: all: Step 2: the loss 'mask' is nan"]


def test_a_training_says_where_it_was_made_not_where_it_was_tested(done):
    out, records = done
    place = runs.facts_of_place("cpu", 1) | {"torch": "1.0", "device": "another"}
    file = out / records[0]["training"] / "done.json"
    kept = load_json(file)
    save_json(file, kept | {"place": place})
    again = runs.run_cell(HEAD, HEAD.cells[0], 0, out, "cpu", 1, TINY)
    assert (again["torch"], again["device"]) == ("1.0", "another")
    save_json(file, kept | {"settings": kept["settings"] | {"mask_size": 7}})
    with pytest.raises(ValueError, match="a training with other settings than this version's"):
        runs.run_cell(HEAD, HEAD.cells[0], 0, out, "cpu", 1, TINY)
    save_json(file, kept)


def test_the_last_losses_are_those_of_the_log(tmp_path):
    lines = ["step,mask,box,learning_rate,seconds,data_seconds"]
    lines += [f"{step},{step},{2 * step},0.1,1,0" for step in range(1, 31)]
    (tmp_path / "log.csv").write_text("\n".join(lines) + "\n")
    assert runs.last_losses(tmp_path / "log.csv") == {"mask": 20.5, "box": 41.0}  # of 11 to 30


def test_a_worker_that_was_asked_to_stop_begins_nothing(monkeypatch):
    monkeypatch.setattr(runs, "_asked", [2])
    with pytest.raises(Stopped, match="before its first step"):
        runs.do(runs.jobs([HEAD], range(1), {})[0], None, "cpu", 1)


def test_step_by_step_trains_one_stage_after_the_other(tmp_path):
    table = find("mnc-training")
    cell = table.cell("step by step")
    learned = []
    real = runs.fit

    def spy(model, *args, **kwargs):
        learned.append({name.split(".")[0] for name, p in model.named_parameters()
                        if p.requires_grad})
        return real(model, *args, **kwargs)

    with mock.patch.object(runs, "fit", spy):
        record = runs.run_cell(table, cell, 0, tmp_path, "cpu", 1, replace(TINY, steps=1))
    assert learned == [{"backbone", "merge", "rpn_head"}, {"mask_stage"}, {"category_stage"}]
    assert set(record["losses"]) == {"rpn_objectness", "rpn_box", "mask_2", "class_3",
                                     "seg_class_3", "box_3"}


def test_a_test_setting_changes_no_weight(tmp_path):
    table = find("metric-seeds")
    records = [runs.run_cell(table, cell, 0, tmp_path, "cpu", 1, TINY) for cell in table.cells[:2]]
    assert records[0]["weights"] == records[1]["weights"]
    assert [one["settings"]["num_seeds"] for one in records] == [5, 10]
    assert all(runs.refusal(one, table) is None for one in records)


def test_a_seed_decides_the_order_of_the_scenes():
    one, other = (runs.train_config(TINY, seed, "cpu", 1) for seed in (0, 1))
    assert (one.seed, other.seed) == (0, 1)
    assert (one.steps, one.batch_size, one.learning_rate) == (2, 1, 1e-3)
    assert draws(0, 50, replace(one, batch_size=20)) != draws(0, 50, replace(other, batch_size=20))


def test_every_training_begins_with_the_same_backbone():
    one, other = (runs.new_model(HEAD, HEAD.cells[0], seed) for seed in (0, 1))
    for name, weight in one.backbone.state_dict().items():
        assert torch.equal(weight, other.backbone.state_dict()[name])
    assert not torch.equal(one.box_head.fc6.weight, other.box_head.fc6.weight)
    again = runs.new_model(HEAD, HEAD.cells[0], 1)
    assert torch.equal(again.box_head.fc6.weight, other.box_head.fc6.weight)
    deep = runs.new_model(find("roi-operators"), find("roi-operators").cells[0], 0).backbone
    for name, weight in one.backbone.state_dict().items():
        assert torch.equal(weight, deep.state_dict()[name])


# ---- files --------------------------------------------------------------------------------------


@pytest.fixture
def saved(done, tmp_path):
    file = tmp_path / "mask-head.json"
    runs.save_results(file, HEAD, done[1], "teachseg tables run mask-head")
    return file


def test_results_come_back(saved, done):
    assert runs.load_results(saved, HEAD) == done[1]
    assert runs.load_results(saved.with_name("none.json"), HEAD) == []


def test_two_who_write_one_file_lose_nothing(saved, done):
    other = done[1][0] | {"seed": 0, "losses": {}}  # the same run, told anew
    runs.add_result(saved, HEAD, other, "teachseg tables run mask-head")
    assert runs.load_results(saved, HEAD) == [other, done[1][1]]
    fresh = saved.with_name("fresh.json")
    for record in done[1]:
        runs.add_result(fresh, HEAD, record, "teachseg tables run mask-head")
    assert runs.load_results(fresh, HEAD) == done[1]


def changed(saved, change):
    content = load_json(saved)
    change(content)
    save_json(saved, content)
    with pytest.raises(ValueError) as caught:
        runs.load_results(saved, HEAD)
    return str(caught.value)


@pytest.mark.parametrize("name", sorted(runs.RECORD))
def test_a_cell_without_its_run_record_is_refused(saved, name):
    said = changed(saved, lambda content: content["runs"][0].pop(name))
    assert f"run 0, is refused: it does not say its {name}" in said
    assert "teachseg tables run --results FOLDER" in said


@pytest.mark.parametrize("change, words", [
    ({"numbers": {"AP": 0.5}}, "its numbers lack APr50"),
    ({"numbers": None}, "it neither diverged nor has numbers"),
    ({"diverged": "step 1"}, "it diverged and has numbers"),
    ({"numbers": 0.5}, "its numbers is 0.5"),
    ({"cell": "a better head"}, "has no cell 'a better head'"),
    ({"how": "teachseg tables 0"}, "its how is 'teachseg tables 0', and this version's is"),
    ({"scenes": "teachseg scenes 1"}, "its scenes is 'teachseg scenes 1'"),
    ({"schedule": "step by step"}, "its schedule is 'step by step'"),
    ({"training": "mask_rcnn-0-0"}, "its training is mask_rcnn-0-0, and these settings' is"),
    ({"seed": 7}, "its training is"),
    ({"budget": {"steps": 3}}, "its budget is"),
])
def test_records_that_are_refused(saved, change, words):
    assert words in changed(saved, lambda content: content["runs"][0].update(change))


def test_other_settings_are_refused(saved):
    def other(content):
        content["runs"][0]["settings"]["mask_size"] = 7

    assert "its setting mask_size is 7, and this version's is 14" in changed(saved, other)


def test_a_setting_that_came_later_and_is_left_alone_is_fine(saved, done):
    content = load_json(saved)
    for one in content["runs"]:
        del one["settings"]["roi_levels"]  # as if it were new
    save_json(saved, content)
    assert len(runs.load_results(saved, HEAD)) == 2
    for one in content["runs"]:
        one["settings"].pop("mask_head")  # a new one that a cell does not leave alone
    save_json(saved, content)
    with pytest.raises(ValueError, match="its setting mask_head is None"):
        runs.load_results(saved, HEAD)


@pytest.mark.parametrize("name, value", [("torch", "2.0"), ("teachseg", "9.9"), ("device", "GPU")])
def test_a_table_is_of_one_version_and_one_device(saved, name, value):
    said = changed(saved, lambda content: content["runs"][1].update({name: value}))
    assert f"run 1, is refused: its {name} is {value!r}, that of run 0 is" in said


def test_a_table_begins_with_one_backbone(saved, done):
    one = done[1][1]
    training = runs.training_of(HEAD, HEAD.cells[1], 0, Budget(**one["budget"]))
    other = {"start": "0123", "training": replace(training, start="0123").key}
    assert runs.refusal(one | other, HEAD) is None, "by itself it is whole"
    said = changed(saved, lambda content: content["runs"][1].update(other))
    assert "run 1, is refused: its start is '0123', that of run 0 is" in said


def test_a_run_twice_and_a_file_of_another_table(saved):
    said = changed(saved, lambda content: content["runs"].append(content["runs"][0]))
    assert "run 2, is refused: run 0 is of the same cell and seed" in said
    assert "holds no results of the table mask-head" in changed(
        saved, lambda content: content.update(table="mask-classes"))


def test_only_missing_runs_are_wanted(done):
    have = {HEAD.name: done[1][:1]}
    todo = runs.jobs([HEAD], range(2), have, lambda table: TINY)
    assert [(job.training.seed, [cell for _, cell in job.cells]) for job in todo] == [
        (0, ["fully connected"]), (1, ["convolutions"]), (1, ["fully connected"])]


# ---- the shipped results ------------------------------------------------------------------------


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_the_shipped_cells_have_their_records(table):
    """Every cell has three runs or more, or none: and no other number is in the file."""
    file = runs.SHIPPED.parent / "results" / "tables" / f"{table.name}.json"
    records = runs.load_results(file, table)
    for cell in table.cells:
        mine = [one for one in records if one["cell"] == cell.name]
        assert not mine or len(mine) >= report.LEAST_RUNS
    assert set(load_json(file)) == {"format", "table", "command", "runs"}
    keys = {(one["settings"].get("num_seeds"), one["cell"], one["seed"]) for one in records}
    assert len(keys) == len(records)
    copy.deepcopy(records)
