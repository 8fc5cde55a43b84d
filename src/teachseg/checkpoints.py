"""Trained models as files: the weights as safetensors, and beside them a manifest about them.

`load("mask_rcnn")` gives the model that the project ships; `load(path)` one of your own. Nothing is
ever unpickled, so a checkpoint from a stranger cannot run code.

No boxes here.

Lesson: 22
"""

import dataclasses
import importlib
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from teachseg.places import course, in_clone
from teachseg.storage import load_json, load_pair, pair_files, save_pair

FORMAT = 1  # of the manifest
# papers/NAME.py -> the model's class in it
MODELS = {"mnc": "MNC", "mask_rcnn": "MaskRCNN", "deep_metric": "DeepMetric"}
SHIPPED = course() / "data" / "checkpoints"


def page(paper: str) -> ModuleType:
    """The module of a paper: `page("mnc")` is teachseg.papers.mnc."""
    return importlib.import_module(f"teachseg.papers.{paper}")


def paper_of(model: nn.Module) -> str:
    """The name of a model's page in `papers`."""
    for name, class_name in MODELS.items():
        if type(model).__name__ == class_name:
            return name
    known = ", ".join(MODELS.values())
    raise ValueError(f"{type(model).__name__} is none of the models that can be saved: {known}.")


def describe(model: nn.Module) -> dict[str, Any]:
    """What a manifest needs to build the model again: its paper, and its config as JSON has it."""
    config = json.loads(json.dumps(dataclasses.asdict(model.config)))
    return {"format": FORMAT, "paper": paper_of(model), "config": config}


def save(path: str | Path, model: nn.Module, facts: dict[str, Any] | None = None) -> None:
    """Write NAME.safetensors and NAME.json, whole or not at all.

    Args:
        path: NAME, with or without an ending, in an existing folder.
        facts: what else the manifest shall say (classes, steps, metrics, ...), as JSON knows it.
    """
    save_pair(path, model.state_dict(), {**describe(model), **(facts or {})})


def find(name_or_path: str | Path) -> Path:
    """Where a checkpoint lies: a shipped one by its name, any other by its path."""
    if str(name_or_path) in MODELS:
        path = SHIPPED / str(name_or_path)
        if not pair_files(path)[1].exists():
            remedy = ("Restore it (git checkout -- data/checkpoints)" if in_clone() else
                      "It comes with the project's repository and its wheel: install one of them")
            raise ValueError(f"The shipped checkpoint {name_or_path!r} is not in {SHIPPED}. "
                             f"{remedy}, pass the path of a checkpoint, or train one: teachseg "
                             f"train --paper {name_or_path}.")
        return path
    path = Path(name_or_path)
    if path.is_dir():  # a folder that `train.fit` wrote
        path = path / "checkpoint"
    tensors, facts, _ = pair_files(path)
    if not (tensors.exists() or facts.exists()):
        what = f"{path} is no checkpoint" if path.exists() else f"There is no checkpoint {path}"
        raise ValueError(f"{what}: a pair {tensors.name} and {facts.name} is needed. Pass the name "
                         f"of a shipped one ({', '.join(MODELS)}), a .safetensors file that has "
                         "its .json beside it, or the folder of a training.")
    return path


def manifest(name_or_path: str | Path) -> dict[str, Any]:
    """What a checkpoint's JSON says, without reading its weights."""
    path = pair_files(find(name_or_path))[1]
    facts = load_json(path)
    if not isinstance(facts, dict):
        raise ValueError(f"{path} is no manifest of a checkpoint. Take the .json that was saved "
                         "with the weights.")
    return facts


def trainings(name_or_path: str | Path) -> list[dict[str, Any]]:
    """What a checkpoint's manifest says of each of its trainings, the first one first.

    One that began with all weights of another checkpoint has that one's facts in `started_from`.
    """
    found, facts = [], manifest(name_or_path)
    while facts:
        found.append(facts)
        facts = facts.get("started_from")
    return found[::-1]


def class_names(name_or_path: str | Path) -> list[str]:
    """The names of classes 1..K from a checkpoint's manifest; "class 1", ... where it has none."""
    facts = manifest(name_or_path)
    number, names = _config(facts, find(name_or_path))["num_classes"], facts.get("classes")
    if isinstance(names, list) and len(names) == number:
        return [str(name) for name in names]
    return [f"class {label}" for label in range(1, number + 1)]


def _config(facts: dict[str, Any], where: Path) -> dict[str, Any]:
    """The config in a manifest; JSON knows only lists where a config holds tuples."""
    config = facts.get("config")
    if not isinstance(config, dict) or not isinstance(config.get("num_classes"), int):
        raise ValueError(f"{where} holds no config of a model with its num_classes. Take the "
                         ".json that was saved with the weights.")

    def as_tuple(value: Any) -> Any:
        return tuple(as_tuple(v) for v in value) if isinstance(value, list) else value

    return {name: as_tuple(value) for name, value in config.items()}


def build(facts: dict[str, Any], where: Path) -> nn.Module:
    """An untrained model as a manifest describes it; `where` is for the errors' sentences."""
    name = facts.get("paper")
    if not isinstance(name, str) or name not in MODELS or facts.get("format") != FORMAT:
        raise ValueError(f"{where} describes no model that this version knows: paper={name!r}, "
                         f"format={facts.get('format')!r}; known are {', '.join(MODELS)} in format "
                         f"{FORMAT}. Update teachseg, or take the manifest saved with the weights.")
    paper = page(name)
    settings = _config(facts, where)
    foreign = sorted(set(settings) - {field.name for field in dataclasses.fields(paper.Config)})
    if foreign:
        raise ValueError(f"{where} sets {', '.join(foreign)}, which this version of {name} does "
                         "not know. Update teachseg, or train again.")
    try:
        return getattr(paper, MODELS[name])(paper.Config(**settings))
    except (TypeError, AttributeError, RuntimeError) as error:  # a value of another kind
        raise ValueError(f"{where} holds a config that no {name} can be built from ({error}). Take "
                         "the manifest saved with the weights.") from error


def load(name_or_path: str | Path, num_classes: int | None = None) -> nn.Module:
    """A trained model, ready to predict on the CPU.

    Args:
        name_or_path: "mnc", "mask_rcnn" or "deep_metric" (shipped), a file NAME.safetensors or
            NAME.json, or the folder of a training.
        num_classes: object classes that the data have, to be checked against the model's.

    Returns:
        the model, in `eval()`. Its convolutions keep a pixel's channels side by side in memory,
        which makes predictions on a CPU about a sixth faster and changes their last digits.

    Raises:
        ValueError: files are missing, truncated, foreign, or of another number of classes.
    """
    path = find(name_or_path)
    tensors, facts = load_pair(path)
    model = build(facts, pair_files(path)[1])
    known = model.config.num_classes
    if num_classes is not None and num_classes != known:
        raise ValueError(f"{path} was trained for {known} classes, the data have {num_classes}. "
                         "Take a checkpoint for these data, or train one: teachseg train.")
    _fill(model, tensors, path)
    return model.eval().to(memory_format=torch.channels_last)


def load_weights(model: nn.Module, name_or_path: str | Path) -> None:
    """Give a model all weights of a checkpoint of the same shapes; its config stays its own.

    Args:
        name_or_path: as for `load`.

    Raises:
        ValueError: files are missing, truncated, foreign, or of a model of another shape.
    """
    path = find(name_or_path)
    tensors, _ = load_pair(path)
    _fill(model, tensors, path)


def _fill(model: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    """Load tensors that have exactly the model's names and shapes; ValueError otherwise."""
    own = model.state_dict()
    odd = sorted(own.keys() ^ tensors.keys()) or [
        name for name in own if own[name].shape != tensors[name].shape
    ]
    if odd:
        raise ValueError(f"The weights in {path} do not fit the model that they are for, first at "
                         f"{odd[0]}. They were saved by another version, or with other settings: "
                         "train again, or update.")
    model.load_state_dict(tensors)
