"""Checkpoints: whole, truncated, foreign, of another class count."""

import dataclasses
import json
import pickle
import shlex
from importlib import import_module

import pytest
import torch
from torch import nn

import teachseg
from teachseg import checkpoints
from teachseg.cli import training
from teachseg.datasets.scenes import CLASSES, Scenes
from teachseg.evaluate import evaluate_pairs
from teachseg.papers.mask_rcnn import Config, MaskRCNN, predict
from teachseg.storage import load_pair, save_pair


@pytest.fixture(scope="module")
def model():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return MaskRCNN(dataclasses.replace(Config.course(2), box_hidden=16)).eval()


@pytest.fixture
def saved(model, tmp_path):
    """The path of a checkpoint of two classes."""
    checkpoints.save(tmp_path / "net", model, {"classes": ["cat", "dog"], "steps": 7})
    return tmp_path / "net"


def rewrite(path, **changes):
    """Change what a manifest says; None takes a word away."""
    file = path.with_name("net.json")
    facts = json.loads(file.read_text()) | changes
    file.write_text(json.dumps({k: v for k, v in facts.items() if v is not None}))


def test_a_loaded_model_predicts_the_same(model, saved):
    images = [Scenes("checkpoint", 1, 64)[0][0]]
    model.to(memory_format=torch.channels_last)  # as `load` does: else the last digits differ
    (before,), (after,) = predict(model, images), predict(checkpoints.load(saved), images)
    assert len(before.boxes) > 0
    assert all(torch.equal(old, new) for old, new in zip(before, after))


def test_config_and_facts_come_back(model, saved):
    loaded = checkpoints.load(saved)
    assert loaded.config == model.config  # tuples too, which JSON writes as lists
    assert not loaded.training
    facts = checkpoints.manifest(saved)
    assert (facts["paper"], facts["steps"], facts["format"]) == ("mask_rcnn", 7, 1)
    assert checkpoints.class_names(saved) == ["cat", "dog"]


@pytest.mark.parametrize("ending", ["", ".safetensors", ".json"])
def test_any_of_its_names_will_do(saved, ending):
    assert checkpoints.load(saved.with_name(f"net{ending}")).config.num_classes == 2


def test_the_folder_of_a_training_will_do(model, tmp_path):
    checkpoints.save(tmp_path / "checkpoint", model)
    assert checkpoints.load(tmp_path).config.num_classes == 2
    assert checkpoints.class_names(tmp_path) == ["class 1", "class 2"]  # it has no names


def test_weights_of_16_bits_load_as_32(model, saved):
    tensors, facts = load_pair(saved)
    save_pair(saved, {k: v.half() for k, v in tensors.items()}, facts)
    weight = checkpoints.load(saved).box_head.classes.weight
    assert weight.dtype == torch.float32
    torch.testing.assert_close(weight, model.box_head.classes.weight, rtol=1e-3, atol=1e-6)


def test_teachseg_load_is_the_same(saved):
    assert type(teachseg.load(saved)).__name__ == "MaskRCNN"
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        _ = teachseg.lode


# ---- What is wrong with a checkpoint ------------------------------------------------------------


def test_another_number_of_classes(saved):
    with pytest.raises(ValueError, match="was trained for 2 classes, the data have 5"):
        checkpoints.load(saved, num_classes=5)
    assert checkpoints.load(saved, num_classes=2).config.num_classes == 2


def test_nothing_there(tmp_path):
    with pytest.raises(ValueError, match=r"There is no checkpoint .*gone.*mask_rcnn"):
        checkpoints.load(tmp_path / "gone")
    with pytest.raises(ValueError, match="There is no checkpoint .*checkpoint.safetensors"):
        checkpoints.load(tmp_path)


def test_a_shipped_one_that_was_not_shipped(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "SHIPPED", tmp_path)
    with pytest.raises(ValueError, match="'mask_rcnn' is not in .*git checkout -- data"):
        checkpoints.load("mask_rcnn")


def test_a_truncated_file(saved):
    file = saved.with_name("net.safetensors")
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(ValueError, match="truncated or from another training"):
        checkpoints.load(saved)


def test_weights_without_a_manifest_and_the_other_way_round(saved):
    weights, manifest = saved.with_name("net.safetensors"), saved.with_name("net.json")
    text = manifest.read_text()
    manifest.unlink()
    with pytest.raises(ValueError, match=r"no file .*net\.json"):
        checkpoints.load(saved)
    manifest.write_text(text)
    weights.unlink()
    with pytest.raises(ValueError, match=r"net\.safetensors"):
        checkpoints.load(saved)


class Trap:
    """An object that, when it is unpickled, writes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_a_pickle_is_never_opened(tmp_path):
    trap, file = tmp_path / "sprung", tmp_path / "net.pt"
    file.write_bytes(pickle.dumps(Trap(trap)))
    with pytest.raises(ValueError, match=r"net\.pt is no checkpoint: a pair"):
        checkpoints.load(file)
    (tmp_path / "net.json").write_text('{"sha256": "0"}')
    file.rename(tmp_path / "net.safetensors")
    with pytest.raises(ValueError, match="does not belong to"):
        checkpoints.load(tmp_path / "net")
    assert not trap.exists()


@pytest.mark.parametrize("changes, match", [
    ({"paper": "yolo"}, "describes no model that this version knows: paper='yolo'"),
    ({"paper": ["mask_rcnn"]}, "describes no model"),
    ({"paper": None}, "describes no model"),
    ({"format": 2}, "format=2"),
    ({"config": None}, "holds no config"),
    ({"config": [1]}, "holds no config"),
    ({"config": {"backbone": "course"}}, "with its num_classes"),
    ({"config": {"num_classes": "two"}}, "with its num_classes"),
    ({"config": {"num_classes": 2, "colour": "red"}}, "sets colour, which this version"),
    ({"config": {"num_classes": 2, "backbone": "course", "mean": "grey"}}, "can be built from"),
    ({"config": {"num_classes": 2, "anchor_sizes": 3}}, "can be built from"),
    ({"config": {"num_classes": 0}}, "at least one object class"),
])
def test_a_foreign_manifest(saved, changes, match):
    rewrite(saved, **changes)
    with pytest.raises(ValueError, match=match):
        checkpoints.load(saved)


def test_a_manifest_of_another_model(saved, model):
    config = checkpoints.describe(model)["config"]
    rewrite(saved, config=config | {"num_classes": 3})
    with pytest.raises(ValueError, match="do not fit the model .* first at box_head"):
        checkpoints.load(saved)
    rewrite(saved, config=config | {"mask_convs": 3})
    with pytest.raises(ValueError, match="do not fit the model .* first at mask_head"):
        checkpoints.load(saved)


def test_a_json_that_is_no_manifest(saved):
    saved.with_name("net.json").write_text("[1, 2]")
    for read in (checkpoints.manifest, checkpoints.load, checkpoints.class_names):
        with pytest.raises(ValueError, match="is no manifest"):
            read(saved)


def test_models_that_have_no_page():
    with pytest.raises(ValueError, match="Linear is none of the models that can be saved"):
        checkpoints.paper_of(nn.Linear(1, 1))


def test_a_save_that_fails_keeps_the_last_checkpoint(model, saved):
    with pytest.raises(ValueError, match="JSON cannot hold this"):
        checkpoints.save(saved, model, {"loss": float("nan")})
    assert checkpoints.manifest(saved)["steps"] == 7
    assert checkpoints.load(saved).config == model.config
    assert sorted(p.name for p in saved.parent.iterdir()) == ["net.json", "net.safetensors"]


def test_a_folder_that_is_not_there(model, tmp_path):
    with pytest.raises(ValueError, match="there is no folder"):
        checkpoints.save(tmp_path / "no" / "net", model)


# ---- The one that the project ships -------------------------------------------------------------


@pytest.mark.parametrize("name", checkpoints.MODELS)
def test_the_shipped_checkpoint_is_as_good_as_its_manifest_says(name):
    """The first 20 of its 200 validation scenes: near the manifest's numbers, if not equal."""
    file = checkpoints.SHIPPED / f"{name}.safetensors"
    facts, page = checkpoints.manifest(name), import_module(f"teachseg.papers.{name}")
    assert file.stat().st_size <= 8e6
    assert {"config", "seed", "steps", "device", "seconds", "losses", "metrics", "command",
            "curve", "classes"} <= facts.keys()
    model = checkpoints.load(name, num_classes=len(CLASSES))
    words = shlex.split(facts["command"])
    changes = [words[k + 1] for k, word in enumerate(words) if word == "--set"]
    course = training._changed(page.Config.course(len(CLASSES)), changes)
    assert model.config == course  # what its command would make today
    scenes = Scenes("val", 20)
    numbers = evaluate_pairs(((page.predict(model, [x])[0], y) for x, y in scenes), len(CLASSES))
    assert numbers["AP50"] == pytest.approx(facts["metrics"]["AP50"], abs=0.1)
    assert numbers["AP"] == pytest.approx(facts["metrics"]["AP"], abs=0.1)


def test_trainings_go_back_to_the_first(tmp_path, monkeypatch):
    """Three trainings, each from the one before; and a checkpoint that was trained once."""
    first = {"command": "one", "step": 1}
    last = {"command": "three", "started_from": {"command": "two", "started_from": first}}
    monkeypatch.setattr(checkpoints, "manifest", lambda name: {"new": last, "old": first}[name])
    assert [one["command"] for one in checkpoints.trainings("new")] == ["one", "two", "three"]
    assert checkpoints.trainings("old") == [first]
