"""The engine on a model of a few weights: by hand, killed, stopped, resumed, and with bad input.

Run as a script (`python test_train.py FOLDER STEPS WORKERS RESUME`) it is the training that the
tests below kill.
"""

import csv
import os
import random
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
import torch
from torch import nn

from teachseg.datasets.scenes import Scenes
from teachseg.storage import load_json, load_pair, load_tensors
from teachseg.structures import Targets
from teachseg.train import (
    NotFinite,
    Record,
    Stopped,
    TrainConfig,
    draws,
    fit,
    learning_rate,
    make_optimizer,
    progress,
)


class Dots:
    """Item i is an image of noise with one object, a pure function of i."""

    def __init__(self, length=10):
        self.length = length

    def __len__(self):
        return self.length

    def __getitem__(self, i):
        image = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(i))
        masks = torch.zeros(1, 8, 8, dtype=torch.bool)
        masks[0, 2:4, 1:4] = True
        return image, Targets(torch.tensor([[1.0, 2.0, 4.0, 4.0]]), torch.tensor([1]), masks)


def make_model():
    """A convolution, a norm with buffers, and a projection; the same weights each time."""
    torch.manual_seed(0)  # the tests' own choice of weights; fit leaves the global seed alone
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(),
                         nn.Conv2d(4, 1, 1))


def losses_of(model, images, targets, generator):
    """Find the mask, and read points that are drawn by chance (an index with a gradient)."""
    logits = model(torch.stack(images))[:, 0]
    wanted = torch.stack([target.masks[0] for target in targets]).float()
    points = torch.randint(logits.numel(), (500,), generator=generator).to(logits.device)
    mask = nn.functional.binary_cross_entropy_with_logits(logits, wanted)
    left = torch.stack([target.boxes[0, 0] for target in targets]).mean() / 8
    point = (logits.flatten()[points].float() - left).square().mean()
    return {"mask": mask, "point": point}


CONFIG = TrainConfig(steps=12, batch_size=4, learning_rate=0.02, warmup_steps=3, save_every=5,
                     device="cpu", threads=1)
FILES = ["checkpoint.json", "checkpoint.safetensors", "log.csv", "state.json", "state.safetensors"]


def train(folder=None, config=CONFIG, steps=None, losses_of=losses_of, **options):
    """Weights and records after training a new model, for at most `steps` records."""
    model = make_model()
    records = list(islice(fit(model, losses_of, Dots(), config, folder, **options), steps))
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}, records


def assert_same(a, b):
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name


def said(records):
    """What must be equal between two runs: all but the times."""
    return [(record.step, record.losses, record.learning_rate) for record in records]


def rows(folder):
    with open(folder / "log.csv", newline="") as file:
        return list(csv.DictReader(file))


# Settings


@pytest.mark.parametrize("name, value", [
    ("steps", 0), ("steps", 2.5), ("steps", True), ("batch_size", 0), ("accumulate", 0),
    ("warmup_steps", -1), ("seed", -1), ("save_every", 0), ("workers", -1), ("threads", 0),
    ("learning_rate", 0), ("learning_rate", float("nan")), ("clip_norm", -1),
    ("weight_decay", -0.1), ("schedule", "exponential"), ("optimizer", "adam"),
    ("precision", "16"), ("device", "tpu"),
])
def test_settings_that_cannot_be_are_told_by_name(name, value):
    with pytest.raises(ValueError, match=f"{name}.*{str(value)[:3]}"):
        replace(CONFIG, **{name: value})


def test_steps_need_milestones():
    with pytest.raises(ValueError, match="needs milestones"):
        replace(CONFIG, schedule="steps")
    with pytest.raises(ValueError, match="'linear' with milestones"):
        replace(CONFIG, milestones=(3,))


def test_learning_rate_by_hand():
    config = TrainConfig(steps=10, learning_rate=8.0, warmup_steps=4)
    # up by 2 a step; then 6 steps down from 8, by 8 / 6 each
    wanted = [2, 4, 6, 8, 8, 8 - 8 / 6, 8 - 16 / 6, 4, 16 / 6, 8 / 6]
    assert [learning_rate(s, config) for s in range(10)] == pytest.approx(wanted)
    cosine = replace(config, schedule="cosine")
    # 0, 1/3, 1/2 of the way down: cos 0 = 1, cos 60 = 1/2, cos 90 = 0
    assert [learning_rate(s, cosine) for s in (4, 6, 7)] == pytest.approx([8, 6, 4])
    tenths = replace(config, schedule="steps", milestones=(6, 8), warmup_steps=0)
    assert [learning_rate(s, tenths) for s in (0, 5, 6, 7, 8)] == pytest.approx(
        [8, 8, 0.8, 0.8, 0.08])
    assert learning_rate(9, replace(config, schedule="constant")) == 8
    assert learning_rate(0, replace(config, steps=1, warmup_steps=100)) == pytest.approx(0.08)


# What is drawn


def test_each_epoch_is_every_image_once_and_shuffled_anew():
    config = replace(CONFIG, batch_size=5)
    epochs = [[i for s in (e, e + 1) for i, _ in draws(s, 10, config)] for e in (0, 2, 4)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert draws(0, 10, config) != draws(0, 10, replace(config, seed=1))


def test_draws_do_not_depend_on_what_was_drawn_before():
    alone = draws(7, 10, CONFIG)
    assert [draws(s, 10, CONFIG) for s in range(8)][7] == alone
    # accumulated, one step takes what two took
    double = replace(CONFIG, batch_size=2, accumulate=4)
    assert draws(3, 10, double) == draws(6, 10, CONFIG) + draws(7, 10, CONFIG)


def test_about_half_are_mirrored_or_none():
    config = TrainConfig(steps=1, batch_size=2000)
    share = sum(mirrored for _, mirrored in draws(0, 700, config)) / 2000
    assert 0.45 < share < 0.55  # 4.5 standard deviations of a fair coin
    assert not any(mirrored for _, mirrored in draws(0, 700, replace(config, flip=False)))


def test_a_batch_larger_than_the_dataset_takes_several_epochs():
    drawn = [i for i, _ in draws(0, 3, replace(CONFIG, batch_size=7))]
    assert sorted(drawn[:3]) == sorted(drawn[3:6]) == [0, 1, 2]
    model = make_model()
    assert len(list(fit(model, losses_of, Dots(3), replace(CONFIG, batch_size=7, steps=2)))) == 2


# A step


def test_one_step_of_sgd_by_hand():
    # loss = mean of w * x over one image of ones: d loss / d w = 1; rate 0.1, so w falls by 0.1;
    # then momentum: the second step goes 0.9 + 1 = 1.9 times as far
    model = nn.Conv2d(3, 1, 1, bias=False)
    nn.init.ones_(model.weight)

    class Ones(Dots):
        def __getitem__(self, i):
            return torch.ones(3, 8, 8), super().__getitem__(i)[1]

    config = TrainConfig(steps=2, learning_rate=0.1, warmup_steps=0, schedule="constant",
                         optimizer="sgd", weight_decay=0, clip_norm=None, device="cpu")
    records = fit(model, lambda m, images, *_: {"mean": m(torch.stack(images)).mean()},
                  Ones(), config)
    record = next(records)
    assert record.step == 1 and record.learning_rate == 0.1
    assert record.losses["mean"] == pytest.approx(3)  # three channels, w = 1
    torch.testing.assert_close(model.weight.flatten(), torch.full((3,), 0.9))
    next(records)
    torch.testing.assert_close(model.weight.flatten(), torch.full((3,), 0.9 - 0.19))


def test_clipping_by_hand():
    # the gradient is (1, 1, 1), sqrt(3) long; cut to 1 it is 1 / sqrt(3) in each
    model = nn.Conv2d(3, 1, 1, bias=False)
    nn.init.zeros_(model.weight)
    config = TrainConfig(steps=1, learning_rate=0.3, warmup_steps=0, optimizer="sgd",
                         weight_decay=0, clip_norm=1.0, device="cpu")
    list(fit(model, lambda m, *_: {"sum": m.weight.sum()}, Dots(), config))
    torch.testing.assert_close(model.weight.flatten(), torch.full((3,), -0.3 / 3**0.5))


def test_only_weights_of_two_axes_and_more_decay():
    # AdamW without a gradient to speak of: w becomes (1 - rate * decay) w = 0.95 w
    model = make_model()
    before = {name: p.clone() for name, p in model.named_parameters()}
    config = TrainConfig(steps=1, learning_rate=0.1, warmup_steps=0, weight_decay=0.5, device="cpu")
    list(fit(model, lambda m, *_: {"none": sum(p.sum() for p in m.parameters()) * 0},
             Dots(), config))
    for name, p in model.named_parameters():
        torch.testing.assert_close(p, before[name] * (0.95 if p.ndim > 1 else 1))


def test_frozen_weights_stay_and_all_frozen_is_told():
    model = make_model()
    model[0].requires_grad_(False)
    before = model[0].weight.clone()
    assert "0.weight" not in make_optimizer(model, CONFIG)[1]
    list(fit(model, losses_of, Dots(), replace(CONFIG, steps=2)))
    assert torch.equal(model[0].weight, before)
    with pytest.raises(ValueError, match="all are frozen"):
        fit(model.requires_grad_(False), losses_of, Dots(), CONFIG)


def test_two_accumulated_halves_are_one_batch():
    def mean_only(model, images, targets, generator):
        return {"mean": model[0](torch.stack(images)).square().mean()}

    # plain steps, whose length is the gradient's: AdamW would hide a factor
    config = replace(CONFIG, steps=3, optimizer="sgd", clip_norm=None)
    whole, records = train(config=config, losses_of=mean_only)
    halves, same = train(config=replace(config, batch_size=2, accumulate=2), losses_of=mean_only)
    for name in whole:
        torch.testing.assert_close(whole[name], halves[name])
    for a, b in zip(records, same):
        assert a.losses == pytest.approx(b.losses)


def test_it_learns():
    # the images are noise, but 6 of 64 pixels are the mask's: to say so everywhere costs
    # -(6/64) ln(6/64) - (58/64) ln(58/64) = 0.311, where not knowing costs ln 2 = 0.693
    def mask_only(*arguments):
        return {"mask": losses_of(*arguments)["mask"]}

    config = replace(CONFIG, steps=60, learning_rate=0.1)
    _, records = train(config=config, losses_of=mask_only)
    assert records[0].losses["mask"] > 0.5 and records[-1].losses["mask"] < 0.36


def test_bf16_runs_and_keeps_float32_weights():
    weights, records = train(config=replace(CONFIG, precision="bf16-mixed"))
    assert weights["0.weight"].dtype == torch.float32 and len(records) == 12


def test_same_seed_same_run_other_seed_another():
    one, other = train(), train(config=replace(CONFIG, seed=1))
    again = train()
    assert_same(one[0], again[0])
    assert said(one[1]) == said(again[1])
    assert not torch.equal(one[0]["0.weight"], other[0]["0.weight"])


def test_two_threads_add_up_in_one_order():
    """Without deterministic algorithms the gradient of a large index differs from run to run."""
    def large_index(model, images, targets, generator):
        values = model[0](torch.stack(images)).flatten()
        points = torch.randint(50, (100_000,), generator=generator)
        return {"point": (values[points] * torch.arange(100_000)).sin().mean()}

    config = replace(CONFIG, threads=2, steps=6)
    first, _ = train(config=config, losses_of=large_index)
    assert_same(first, train(config=config, losses_of=large_index)[0])


def test_workers_change_nothing():
    alone, records = train(config=replace(CONFIG, steps=6))
    model, chance = make_model(), torch.get_rng_state()
    same = list(fit(model, losses_of, Dots(), replace(CONFIG, steps=6, workers=2)))
    assert torch.equal(torch.get_rng_state(), chance)
    helped = model.state_dict()
    assert_same(alone, helped)
    assert said(records) == said(same)


def test_nothing_outside_is_touched(capfd):
    model = make_model()
    before = (torch.get_rng_state(), torch.are_deterministic_algorithms_enabled(),
              torch.get_num_threads(), signal.getsignal(signal.SIGINT),
              signal.getsignal(signal.SIGTERM))
    records = fit(model, losses_of, Dots(), replace(CONFIG, threads=2, precision="bf16-mixed"))
    next(records)
    assert not torch.are_deterministic_algorithms_enabled()  # between steps too
    assert torch.get_num_threads() == before[2]
    list(records)
    after = (torch.get_rng_state(), torch.are_deterministic_algorithms_enabled(),
             torch.get_num_threads(), signal.getsignal(signal.SIGINT),
             signal.getsignal(signal.SIGTERM))
    assert torch.equal(before[0], after[0]) and before[1:] == after[1:]
    assert capfd.readouterr() == ("", "")  # nor does anyone print


# Files


def test_files_of_a_run_and_what_they_say(tmp_path):
    folder = tmp_path / "new" / "run"
    weights, records = train(folder, manifest={"model": "toy", "classes": ["dot"]})
    assert sorted(path.name for path in folder.iterdir()) == FILES
    tensors, manifest = load_pair(folder / "checkpoint")
    assert_same(tensors, weights)
    assert manifest["model"] == "toy" and manifest["classes"] == ["dot"]
    assert manifest["step"] == 12 and manifest["losses"] == records[-1].losses
    assert manifest["train"]["learning_rate"] == 0.02 and manifest["device"] == "cpu"
    assert manifest["torch"] == torch.__version__
    state = load_tensors(folder / "state.safetensors")
    assert {"model/0.weight", "optimizer/0.weight/exp_avg"} <= state.keys()
    written = rows(folder)
    assert list(written[0]) == ["step", "mask", "point", "learning_rate", "seconds", "data_seconds"]
    assert [(int(row["step"]), {"mask": float(row["mask"]), "point": float(row["point"])},
             float(row["learning_rate"])) for row in written] == said(records)
    assert all(0 <= r.data_seconds <= r.seconds for r in records)


def test_saved_every_so_often_and_at_the_end(tmp_path):
    seen = []
    for record in fit(make_model(), losses_of, Dots(), CONFIG, tmp_path):
        file = tmp_path / "checkpoint.json"
        seen.append(load_json(file)["step"] if file.exists() else 0)
        assert len(rows(tmp_path)) == record.step
    assert seen == [0] * 4 + [5] * 5 + [10, 10, 12]


@pytest.mark.parametrize("change", [
    {}, {"optimizer": "sgd"}, {"precision": "bf16-mixed"}, {"accumulate": 2},
    {"clip_norm": None, "schedule": "steps", "milestones": (4, 9)},
])
def test_resumed_twice_is_the_uninterrupted_run_bit_for_bit(tmp_path, change):
    config = replace(CONFIG, **change)
    straight, records = train(config=config)
    _, first = train(tmp_path, config, steps=7)  # breaks off; step 5 is saved
    _, second = train(tmp_path, config, steps=6, resume=True)  # 6..11; step 10 is saved
    weights, third = train(tmp_path, config, resume=True)
    assert [record.step for record in second] == [6, 7, 8, 9, 10, 11]
    assert [record.step for record in third] == [11, 12]
    assert_same(weights, straight)
    assert said(first[:5] + second[:5] + third) == said(records)
    assert [(int(row["step"]), float(row["mask"])) for row in rows(tmp_path)] == [
        (record.step, record.losses["mask"]) for record in records]
    assert train(tmp_path, config, resume=True)[1] == []  # all is done
    assert_same(load_pair(tmp_path / "checkpoint")[0], straight)


def test_resuming_mends_log_and_checkpoint(tmp_path):
    """As a kill -9 may leave them: a half line, a checkpoint older than the state, a part file."""
    straight, records = train()
    train(tmp_path, steps=5)
    old = [(tmp_path / f"checkpoint.{end}").read_bytes() for end in ("json", "safetensors")]
    train(tmp_path, steps=6, resume=True)
    (tmp_path / "checkpoint.json").write_bytes(old[0])
    (tmp_path / "checkpoint.safetensors").write_bytes(old[1])
    (tmp_path / ".state.json.123.part").write_text("{")
    with open(tmp_path / "log.csv", "a") as file:
        file.write("12,0.3")
    resumed = fit(make_model(), losses_of, Dots(), CONFIG, tmp_path, resume=True)
    assert load_json(tmp_path / "checkpoint.json")["step"] == 10
    assert sorted(path.name for path in tmp_path.iterdir()) == FILES
    list(resumed)
    assert [int(row["step"]) for row in rows(tmp_path)] == list(range(1, 13))
    assert_same(load_pair(tmp_path / "checkpoint")[0], straight)


def test_what_cannot_be_resumed_is_told(tmp_path):
    with pytest.raises(ValueError, match="There is no run to resume in"):
        train(tmp_path / "nothing", resume=True)
    with pytest.raises(ValueError, match="needs the folder"):
        train(resume=True)
    train(tmp_path, steps=5)
    with pytest.raises(ValueError, match="holds a run already. Pass resume=True"):
        train(tmp_path)
    with pytest.raises(ValueError, match="seed was 0 and is now 3; images in the dataset was 10"):
        fit(make_model(), losses_of, Dots(11), replace(CONFIG, seed=3), tmp_path, resume=True)
    other = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1))
    with pytest.raises(ValueError, match=r"another model: 0.weight was \(4, 3, 3, 3\) and is now "
                                         r"\(5, 3, 3, 3\).*and \d+ more"):
        fit(other, losses_of, Dots(), CONFIG, tmp_path, resume=True)
    fit(make_model(), losses_of, Dots(), replace(CONFIG, save_every=3), tmp_path, resume=True)
    state = tmp_path / "state.safetensors"
    state.write_bytes(state.read_bytes()[:-1])
    with pytest.raises(ValueError, match="state.safetensors does not belong to state.json"):
        train(tmp_path, resume=True)


# Killed and stopped


def start(folder, steps, workers=0, resume=0):
    """This file as a training of its own."""
    return subprocess.Popen(
        [sys.executable, __file__, str(folder), str(steps), str(workers), str(resume)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def wait_for_step(folder, step, process):
    end = time.monotonic() + 300  # long: the machine may be busy with other tests
    while time.monotonic() < end and process.poll() is None:
        if (folder / "log.csv").exists() and len(rows(folder)) >= step:
            return
        time.sleep(0.002)
    raise AssertionError(f"never came to step {step}: {process.communicate()[0]}")


SCRIPT = replace(CONFIG, steps=120, save_every=3)


def test_kill_9_then_resume_is_the_uninterrupted_run(tmp_path):
    """Killed at two steps that chance chooses; it saves in most of its time."""
    straight, records = train(config=SCRIPT)
    resume = 0
    for step in sorted(random.SystemRandom().sample(range(5, 110), 2)):
        process = start(tmp_path, SCRIPT.steps, 0, resume)
        wait_for_step(tmp_path, step, process)
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        load_pair(tmp_path / "checkpoint")  # whole
        resume = 1
    weights, rest = train(tmp_path, SCRIPT, resume=True)
    assert_same(weights, straight)
    assert said(rest) == said(records[-len(rest):])
    assert [(int(row["step"]), float(row["point"])) for row in rows(tmp_path)] == [
        (record.step, record.losses["point"]) for record in records]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_a_whole_group_of_workers_stops_cleanly(tmp_path, number):
    """As a terminal or a queue sends it: the workers must not die under the last step."""
    process = start(tmp_path, 100_000, workers=2)
    wait_for_step(tmp_path, 5, process)
    os.killpg(process.pid, number)
    output = process.communicate(timeout=300)[0]
    assert process.returncode == 7, output
    assert output.startswith("Stopped after step") and "resume=True goes on" in output, output
    assert load_json(tmp_path / "checkpoint.json")["step"] == len(rows(tmp_path))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_the_step_end_saves_and_stops(tmp_path, number):
    straight, records = train()
    calls, seen = 0, []

    def interrupted(*arguments):
        nonlocal calls
        calls += 1
        if calls == 4:
            os.kill(os.getpid(), number)
        return losses_of(*arguments)

    before = signal.getsignal(number)
    with pytest.raises(Stopped, match="Stopped after step 4 of 12, as asked. .*resume=True"):
        for record in fit(make_model(), interrupted, Dots(), CONFIG, tmp_path):
            seen.append(record)
    assert said(seen) == said(records[:4]) and calls == 4
    assert signal.getsignal(number) is before
    weights, rest = train(tmp_path, resume=True)
    assert_same(weights, straight)
    assert said(seen + rest) == said(records)


def test_a_second_ctrl_c_interrupts_at_once(tmp_path):
    def interrupted(*arguments):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError("not at once")

    signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever the tests were started by
    with pytest.raises(KeyboardInterrupt) as caught:
        train(tmp_path, losses_of=interrupted)
    assert not isinstance(caught.value, Stopped)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_in_another_thread_it_trains_without_handlers():
    found = []
    thread = threading.Thread(target=lambda: found.append(train(config=replace(CONFIG, steps=2))))
    thread.start()
    thread.join()
    assert len(found[0][1]) == 2


def test_stopping_without_a_folder_says_that_nothing_is_kept():
    def interrupted(*arguments):
        os.kill(os.getpid(), signal.SIGTERM)
        return losses_of(*arguments)

    with pytest.raises(Stopped, match="after step 1 of 12.*Nothing is kept"):
        train(losses_of=interrupted)


# What goes wrong


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_is_named_and_the_last_checkpoint_stays(tmp_path, bad):
    calls = 0

    def broken(*arguments):
        nonlocal calls
        calls += 1
        losses = losses_of(*arguments)
        return losses | {"point": losses["point"] * (bad if calls == 8 else 1)}

    indexes = [i for i, _ in draws(7, 10, CONFIG)]
    with pytest.raises(NotFinite) as caught:
        train(tmp_path, losses_of=broken)
    told = str(caught.value)
    assert f"In step 8 the loss 'point' is {bad}" in told
    assert f"{tmp_path / 'checkpoint.safetensors'} (step 5)" in told
    assert "lower learning_rate" in told and str(indexes) in told
    tensors, manifest = load_pair(tmp_path / "checkpoint")
    assert manifest["step"] == 5 and all(t.isfinite().all() for t in tensors.values())
    assert len(rows(tmp_path)) == 7
    straight, _ = train()
    assert_same(train(tmp_path, resume=True)[0], straight)


def test_a_gradient_that_is_not_finite_is_named(tmp_path):
    def broken(model, *_):  # sqrt at 0 is 0, its slope is not a number
        return {"fine": (model[0].bias * 0).sum().sqrt() + model[3].bias.sum()}

    with pytest.raises(NotFinite, match="gradient of 0.bias is not. No checkpoint was saved yet"):
        train(tmp_path, losses_of=broken)
    assert not (tmp_path / "state.json").exists()


def test_weights_that_overflow_are_not_saved(tmp_path):
    config = TrainConfig(steps=1, learning_rate=1e38, warmup_steps=0, optimizer="sgd",
                         clip_norm=None, weight_decay=0, device="cpu")
    with pytest.raises(NotFinite, match="In step 1 the weights 0.bias became nan or infinite"):
        train(tmp_path, config, losses_of=lambda m, *_: {"far": m[0].bias.sum() * 100})
    assert not (tmp_path / "checkpoint.json").exists()


@pytest.mark.parametrize("losses, words", [
    (lambda m, *_: m[0].weight.sum(), "dict of named scalar losses"),
    (lambda m, *_: {}, "at least one"),
    (lambda m, *_: {"a": m[0].weight.sum(), "b": m[0].bias}, r"'b' must be .* got \(4,\)"),
    (lambda m, *_: {"a": 1.0}, "'a' must be .* got float"),
    (lambda m, *_: {"a": m[0].weight.sum().detach()}, "No loss depends on a weight"),
])
def test_losses_of_another_kind_are_told(losses, words):
    with pytest.raises(ValueError, match=words):
        train(losses_of=losses)


def test_losses_that_change_their_names_are_told(tmp_path):
    names = iter("aab")
    with pytest.raises(ValueError, match=r"step 3 are \['b'\].*columns \['step', 'a',"):
        train(tmp_path, losses_of=lambda m, *_: {next(names): m[0].weight.sum()})


def test_what_fit_cannot_use_is_told_at_the_call(tmp_path):
    (tmp_path / "file").write_text("")
    model = make_model()
    for options, words in (
        ({"dataset": Dots(0)}, "dataset is empty"),
        ({"manifest": {"path": tmp_path}}, "manifest must hold what JSON knows"),
        ({"folder": tmp_path / "file"}, "is a file, not a folder"),
        ({"config": replace(CONFIG, precision="16-mixed")}, "needs a GPU"),
    ):
        arguments = {"dataset": Dots(), "config": CONFIG, "folder": tmp_path / "a"} | options
        with pytest.raises(ValueError, match=words):
            fit(model, losses_of, **arguments)
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="torch sees no such device"):
            fit(model, losses_of, Dots(), replace(CONFIG, device="cuda"))


@pytest.mark.parametrize("call", [1, 2, 3, 5, 8, 9, 10])
def test_a_disk_that_fills_up_in_a_save_leaves_a_run_to_resume(
    tmp_path, monkeypatch, fill_disk, call
):
    straight, _ = train()
    train(tmp_path, steps=5)
    records = fit(make_model(), losses_of, Dots(), CONFIG, tmp_path, resume=True)
    fill_disk(call)
    with pytest.raises(ValueError, match="was not written: the disk is full. Free some space"):
        list(records)
    monkeypatch.undo()
    assert load_pair(tmp_path / "checkpoint")[1]["step"] in (5, 10)
    assert not list(tmp_path.glob(".*.part"))
    assert_same(train(tmp_path, resume=True)[0], straight)


def test_a_log_that_cannot_be_written_is_told(tmp_path):
    records = fit(make_model(), losses_of, Dots(), CONFIG, tmp_path)
    (tmp_path / "log.csv").unlink()
    (tmp_path / "log.csv").mkdir()
    with pytest.raises(ValueError, match="log.csv cannot be written: .*can be resumed"):
        next(records)


# The bar


def test_progress_yields_the_same_records_and_shows_mean_losses(capsys):
    made = [Record(step, {"box": float(step), "mask": 1.0}, 0.1, 0.01, 0.0) for step in (5, 6, 7)]
    assert list(progress(iter(made), total=8, window=2)) == made
    shown = capsys.readouterr().err
    # the last two: box (6 + 7) / 2 = 6.5, mask 1
    assert "7/8" in shown and "loss 7.500 = box 6.500 + mask 1.000" in shown


def test_progress_over_nothing():
    assert list(progress([], total=3)) == []


if __name__ == "__main__":
    place, steps, workers, resume = Path(sys.argv[1]), *map(int, sys.argv[2:])
    settings = replace(SCRIPT, steps=steps, workers=workers)
    try:
        for _ in fit(make_model(), losses_of, Dots(), settings, place, resume=bool(resume)):
            pass
    except Stopped as stop:
        print(stop)
        sys.exit(7)


def test_a_run_in_channels_last_goes_on_bit_for_bit(tmp_path):
    """Files know no order in memory: the optimizer's numbers must find their weights again."""
    def run(folder, steps, resume=False):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(3, 5, 3), nn.Conv2d(5, 2, 3))
        config = TrainConfig(steps=4, batch_size=2, warmup_steps=0, save_every=2, device="cpu",
                             threads=1, channels_last=True, learning_rate=0.01)

        def losses_of(model, images, targets, generator):
            return {"loss": model(torch.stack(images)).square().mean()}

        records = fit(model, losses_of, Scenes("train", 8, image_size=32), config, folder,
                      resume=resume)
        losses = [record.losses["loss"] for _, record in zip(range(steps), records)]
        return losses, [p.detach().clone() for p in model.parameters()]

    whole, weights = run(tmp_path / "a", 4)
    run(tmp_path / "b", 2)
    rest, again = run(tmp_path / "b", 2, resume=True)
    assert whole[2:] == rest
    assert all(torch.equal(a, b) for a, b in zip(weights, again))


def test_torchrun_with_another_number_is_told(monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match="torchrun started 2 processes"):
        fit(nn.Linear(2, 2), lambda *_: {}, [0], TrainConfig(steps=1, device="cpu"))
