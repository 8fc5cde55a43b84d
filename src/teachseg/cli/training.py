"""A training as the command line knows it: what decides it, how it is built, resumed and kept.

No boxes here.

Lesson: 00
"""

import ast
import csv
import difflib
import math
import os
import shlex
import statistics
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

from teachseg import __version__
from teachseg.cli.measuring import measure
from teachseg.cli.options import SCENES, VALIDATION_SCENES
from teachseg.cli.printing import print_metrics

if TYPE_CHECKING:
    from torch import nn

    from teachseg.train import TrainConfig

CURVE_POINTS = 60  # of the training curve that a manifest holds
MAY_CHANGE = ("device", "threads", "half", "devices", "nodes", "batch_size", "accumulate",
              "channels_last", "compile")  # when a training is resumed


def option_of(name: str) -> str:
    """A field's option on the command line."""
    return f"--{name.replace('_', '-')}"


@dataclass(frozen=True)
class Training:
    """All that decides what a training gives, in the order in which the command line names it."""

    paper: str
    config: str
    data: str                     # scenes, or a path
    steps: int
    batch_size: int
    learning_rate: float
    seed: int
    images: int | None            # of scenes
    image_size: int | None
    kind: str | None
    device: str
    precision: str
    threads: int | None
    backbone_weights: str | None
    half: bool
    start_from: str | None = None
    set: list[str] = field(default_factory=list)  # NAME=VALUE each, of the model's config
    recipe: str | None = None
    accumulate: int = 1
    freeze: int = 0
    pictures: str | None = None   # of a data set in COCO's format, as the next two
    one_class: str | None = None
    only: list[str] = field(default_factory=list)
    skip_bad: bool = False
    in_memory: bool = False
    scale: tuple[float, float] | None = None
    crop: int | None = None
    colour: float = 0.0
    devices: int = 1
    nodes: int = 1
    channels_last: bool = False
    compile: bool = False

    def command(self) -> str:
        """The command line that makes it again."""
        words = ["teachseg", "train"]
        for one in fields(self):
            value, flag = getattr(self, one.name), option_of(one.name)
            if isinstance(value, bool):
                words += [flag] if value else []
            elif isinstance(value, list):
                words += [word for item in value for word in (flag, item)]
            elif isinstance(value, tuple):
                words += [flag, *map(str, value)]
            elif value is not None and not (one.name in LATER and value == one.default):
                words += [flag, str(value)]
        return shlex.join(words)

    def described_data(self, images: int) -> dict[str, Any]:
        """What it learns from, for the manifest."""
        described = {"name": self.data, "split": "train", "images": images}
        if self.data == SCENES:
            return described | {"kind": self.kind, "image_size": self.image_size}
        return described | {"pictures": self.pictures, "one_class": self.one_class,
                            "only": self.only}


LATER = ("accumulate", "freeze", "colour", "devices", "nodes")  # said only where they are set


class FullRecipe(NamedTuple):
    """How a paper trains its full model; the course's small ones all train in one way."""

    batch_size: int       # images a step
    rate: float           # learning rate for each image of a step
    weight_decay: float
    milestone: float      # the share of the steps after which the rate is a tenth


FULL_RECIPES = {
    # "a learning rate of 0.02" for 16 images, a tenth from 120k of 160k on, weight decay 0.0001
    # [Mask R-CNN, section 3.1]
    "mask_rcnn": FullRecipe(2, 0.02 / 16, 1e-4, 3 / 4),
    # 0.001 for 8 images, a tenth from 32k of 40k on [MNC, section 4]; 20k of 25k, weight decay
    # 0.0005 [its released code]
    "mnc": FullRecipe(1, 0.001 / 8, 5e-4, 4 / 5),
    # its paper was not at hand: MNC's, whose data it shares
    "deep_metric": FullRecipe(1, 0.001 / 8, 5e-4, 4 / 5),
}


def _recipe(asked: Training, workers: int, save_every: int) -> "TrainConfig":
    """How the model of each size is trained, or as a recipe says."""
    from teachseg import recipes
    from teachseg.train import TrainConfig

    same = {name: getattr(asked, name) for name in (
        "steps", "batch_size", "accumulate", "learning_rate", "seed", "precision", "device",
        "threads", "scale", "crop", "colour", "devices", "nodes", "channels_last", "compile")}
    if asked.recipe is not None:
        return recipes.adapted(recipes.find(asked.recipe), **same, workers=workers,
                               save_every=save_every)
    recipe = TrainConfig(**same, warmup_steps=min(100, max(1, asked.steps // 5)),
                         save_every=save_every, workers=workers)
    if asked.config == "course":
        return recipe
    full = FULL_RECIPES[asked.paper]
    return replace(recipe, optimizer="sgd", weight_decay=full.weight_decay, schedule="steps",
                   milestones=(max(1, int(asked.steps * full.milestone)),), clip_norm=None)


def _changed(config: Any, changes: Sequence[str]) -> Any:
    """A config with NAME=VALUE changed; values are Python's numbers, words, tuples, None."""
    known = [one.name for one in fields(config) if one.name != "num_classes"]
    values: dict[str, Any] = {}
    for change in changes:
        name, sign, words = change.partition("=")
        if not sign or name not in known:
            close = difflib.get_close_matches(name, known, 1)
            meant = f" Did you mean {close[0]}?" if close else ""
            raise ValueError(f"--set {change}: NAME=VALUE is needed, and NAME a setting of this "
                             f"model.{meant} It has: {', '.join(known)}.")
        try:
            values[name] = ast.literal_eval(words)
        except (ValueError, SyntaxError):
            values[name] = words
        now = getattr(config, name)
        if isinstance(now, bool | int | float | str | tuple) and not isinstance(
            values[name], float | int if isinstance(now, int | float) else type(now)
        ):
            raise ValueError(f"--set {change}: {name} is {now!r}, so a {type(now).__name__} is "
                             f"needed, got a {type(values[name]).__name__}.")
    return replace(config, **values)


def _model_config(asked: Training, num_classes: int) -> Any:
    """Every number of the model that is asked for."""
    from teachseg import checkpoints, recipes

    if asked.recipe is not None:
        config = recipes.find(asked.recipe).config(num_classes)
    else:
        page = checkpoints.page(asked.paper)
        if not hasattr(page.Config, asked.config):
            raise ValueError(f"--config {asked.config}: {asked.paper} has no such model. Choose "
                             "course or paper; code is MNC's alone, whose released code differs "
                             "from it.")
        config = getattr(page.Config, asked.config)(num_classes)
    return _changed(config, asked.set)


def _new_model(asked: Training, num_classes: int, load_weights: bool) -> "nn.Module":
    """An untrained model: a pure function of the seed, which leaves torch's own generator alone."""
    import torch

    from teachseg import checkpoints
    from teachseg.checkpoints import MODELS
    from teachseg.layers.backbones import OWN, freeze, load_backbone_weights

    page = checkpoints.page(asked.paper)
    config = _model_config(asked, num_classes)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(asked.seed)
        model = getattr(page, MODELS[asked.paper])(config)
    weights = asked.backbone_weights
    if asked.start_from is not None:
        if weights is not None:
            raise ValueError("--start-from has the backbone's weights too: leave "
                             "--backbone-weights out.")
        if load_weights:
            checkpoints.load_weights(model, asked.start_from)
    elif weights is None:
        if getattr(config, "frozen_norm", False):
            typer.echo("Note: this backbone's norms are frozen, so without --backbone-weights (say "
                       "IMAGENET1K_V1) it learns slowly.", err=True)
    elif config.backbone in OWN and not weights.endswith(".safetensors"):
        raise ValueError(f"There are no weights {weights!r} for the course's own small backbone, "
                         "which learns from scratch. Leave --backbone-weights out, or use --config "
                         "paper.")
    elif load_weights:
        load_backbone_weights(model.backbone, config.backbone, weights)
    if asked.freeze:
        freeze(model.backbone, asked.freeze)
    return model


# ---- What is learned from -----------------------------------------------------------------------


def _open_data(asked: Training, part: str) -> Any:
    """The training or the validation part of what is asked for: it has a len() and `classes`."""
    from teachseg.datasets.layouts import open_dataset
    from teachseg.datasets.problems import GoodItems, InMemory
    from teachseg.datasets.scenes import Scenes

    if asked.data == SCENES:
        count = asked.images if part == "train" else VALIDATION_SCENES
        return Scenes(part, count, asked.image_size, asked.kind)
    if not Path(asked.data).exists():
        raise ValueError(f"--data {asked.data}: this is neither the word scenes nor a path that is "
                         "there. Data sets can be had: teachseg data list.")
    data = open_dataset(asked.data, part, asked.pictures, "skip" if asked.skip_bad else "stop",
                        asked.one_class, asked.only or None)
    if asked.skip_bad:
        whole, data = len(data), GoodItems(data)
        for problem in data.problems:
            typer.echo(f"Left out: {problem}", err=True)
        typer.echo(f"{part}: {len(data):,} of {whole:,} pictures can be used; "
                   f"{len(data.problems):,} problems, listed above.", err=True)
    return InMemory(data) if asked.in_memory else data


def class_names(data: Any) -> tuple[str, ...]:
    """Names of 1..K of a data set; the scenes' are a constant."""
    from teachseg.datasets.scenes import CLASSES

    return tuple(getattr(data, "classes", CLASSES))


def begun(out: Path) -> bool:
    """Is there a run in this folder that can be gone on with?"""
    return (out / "state.json").exists()


def as_begun(asked: Training, given: set[str], out: Path) -> Training:
    """What a run was begun with, to go on with it; ValueError where something else is given now.

    Args:
        given: names of the fields of `asked` that the user wrote, and that are no defaults.
    """
    from teachseg.storage import load_json

    if not begun(out):
        raise ValueError(f"There is no run to resume in {out}: nothing was saved there yet. Check "
                         "--out, or leave --resume out.")
    facts = load_json(out / "settings.json")
    then = facts.get("asked") if isinstance(facts, dict) else None
    if isinstance(then, dict) and isinstance(then.get("scale"), list):
        then["scale"] = tuple(then["scale"])  # JSON knows no tuples
    if not isinstance(then, dict) or then.keys() != {one.name for one in fields(Training)}:
        raise ValueError(f"{out / 'settings.json'} does not say how the run was begun, or another "
                         "version of teachseg wrote it. Train in another folder: --out FOLDER.")
    changed = [f"{option_of(name)} was {then[name]} and is now {getattr(asked, name)}"
               for name in then
               if name in given - set(MAY_CHANGE) and then[name] != getattr(asked, name)]
    if changed:
        raise ValueError(f"The run in {out} cannot be resumed with other settings: "
                         f"{'; '.join(changed)}. Leave these out, or train in another folder.")
    now = {name: getattr(asked, name) for name in MAY_CHANGE if name in given}
    return Training(**(then | now))


def _finished(asked: Training, out: Path, evaluate: bool) -> bool:
    """Is there nothing left to do for a run?"""
    from teachseg.storage import load_json

    file = out / "checkpoint.json"
    facts = load_json(file) if file.exists() else {}
    needed = {"curve", "metrics"} if evaluate else {"curve"}
    as_wanted = facts.get("step") == asked.steps and facts.get("half") == asked.half
    return as_wanted and needed <= facts.keys()


def _curve(log: Path) -> dict[str, Any]:
    """Mean losses over a CURVE_POINTS-th of the steps at a time, and seconds a step (median)."""
    with open(log, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    size = max(1, math.ceil(len(rows) / CURVE_POINTS))
    parts = [rows[i : i + size] for i in range(0, len(rows), size)]
    names = [name for name in rows[0]
             if name not in ("step", "learning_rate", "seconds", "data_seconds")]
    losses = {name: [round(statistics.fmean(float(row[name]) for row in part), 4) for part in parts]
              for name in names}
    curve = {"steps": [int(part[-1]["step"]) for part in parts], "losses": losses}
    seconds = statistics.median(float(row["seconds"]) for row in rows)
    return {"curve": curve, "seconds_per_step": round(seconds, 4)}


def _metrics(asked: Training, model: "nn.Module") -> dict[str, Any]:
    """How good it is on the part of its data that it has not seen, as JSON knows it."""
    data = _open_data(asked, "val")
    numbers, seconds = measure(model, data, asked.device)
    if not numbers:  # another process has them
        return {}
    name = f"{asked.data} val"
    if asked.data == SCENES:
        name += f" {asked.kind} {len(data)} {asked.image_size}"
    print_metrics(name, numbers)
    rounded = {k: None if math.isnan(x) else round(x, 6) for k, x in numbers.items()}
    return rounded | {"data": name, "seconds_per_image": round(seconds, 4)}


def _finish(asked: Training, model: "nn.Module", out: Path, evaluate: bool) -> dict[str, Any]:
    """Write into the manifest what is known only now; each save is whole or not at all.

    Of several processes the first one writes; all of them measure.
    """
    import torch

    from teachseg import processes
    from teachseg.storage import load_pair, save_pair

    first = processes.rank() == 0
    processes.wait()  # the checkpoint is there
    tensors, facts = load_pair(out / "checkpoint")
    facts |= {"steps": asked.steps, "parameters": sum(p.numel() for p in model.parameters()),
              "threads": asked.threads or torch.get_num_threads(), "half": asked.half}
    facts |= _curve(out / "log.csv")
    if asked.half:  # what is measured is what is in the file
        tensors = {k: x.half() if x.is_floating_point() else x for k, x in tensors.items()}
        model.load_state_dict(tensors)
    processes.wait()  # all have read it
    if first:
        save_pair(out / "checkpoint", tensors, facts)
    if evaluate:
        facts["metrics"] = _metrics(asked, model)
        if first:
            save_pair(out / "checkpoint", tensors, facts)
    return facts


@contextmanager
def _resumable(out: Path, more: Sequence[str]) -> Iterator[None]:
    """Where Ctrl-C or SIGTERM ends the training: say what is kept and how to go on."""
    try:
        yield
    except KeyboardInterrupt as error:
        if not begun(out):
            raise KeyboardInterrupt("Stopped before anything was saved.") from error
        said = str(error).split(". ")[0] or "Stopped"
        raise KeyboardInterrupt(
            f"{said}. Kept: {out / 'checkpoint.safetensors'}. Go on with:\n"
            f"  {shlex.join(['teachseg', 'train', '--out', str(out), '--resume', *more])}"
        ) from error


def _place(asked: Training) -> str:
    """Where it runs: "cpu", "2 x cuda", "4 machines of 8 x cuda"."""
    device = asked.device if asked.devices == 1 else f"{asked.devices} x {asked.device}"
    return device if asked.nodes == 1 else f"{asked.nodes} machines of {device}"


def run_training(
    asked: Training, out: Path, resume: bool, workers: int, save_every: int, evaluate: bool
) -> None:
    """Check, build, train, measure."""
    if begun(out) and not resume:
        raise ValueError(f"{out} holds a run already. Add --resume to go on with it, or choose "
                         "another folder: --out FOLDER.")
    if resume and _finished(asked, out, evaluate):
        typer.echo(f"The run in {out} is finished, after {asked.steps} steps. Measure it again: "
                   f"teachseg evaluate {shlex.quote(str(out))}")
        return
    from teachseg import checkpoints, processes
    from teachseg.checkpoints import describe
    from teachseg.storage import save_json
    from teachseg.train import fit, progress

    if int(os.environ.get("RANK", os.environ.get("LOCAL_RANK", 0))) > 0:
        sys.stdout = open(os.devnull, "w")  # the first process speaks
    page = checkpoints.page(asked.paper)
    recipe = _recipe(asked, workers, save_every)
    data = _open_data(asked, "train")
    classes = class_names(data)
    model = _new_model(asked, len(classes), load_weights=not resume)
    facts = describe(model) | {
        "classes": list(classes), "data": asked.described_data(len(data)), "seed": asked.seed,
        "backbone_weights": asked.backbone_weights, "command": asked.command(),
        "teachseg": __version__,
    }
    if asked.start_from is not None:
        before = checkpoints.manifest(asked.start_from)
        facts["started_from"] = {name: before.get(name) for name in (
            "command", "config", "train", "data", "seed", "step", "seconds", "started_from")}
    parameters = sum(p.numel() for p in model.parameters())
    what = f"{len(data):,} pictures of {asked.data}, {len(classes)} classes"
    if asked.data == SCENES:
        what = f"{len(data):,} scenes ({asked.kind}, {asked.image_size} pixels)"
    typer.echo(f"{asked.paper} {asked.recipe or asked.config}: {parameters / 1e6:.2f} M "
               f"parameters; {what}; {asked.steps:,} steps of "
               f"{recipe.images_a_step} images on {_place(asked)}; files go to {out}")
    more = [] if evaluate else ["--no-evaluate"]
    with _resumable(out, more):
        records = fit(model, page.training_losses, data, recipe, out, facts, resume)
        first = processes.rank() == 0
        if first and not resume:
            save_json(out / "settings.json", facts | {"asked": asdict(asked)})
        for _ in progress(records, asked.steps) if first else records:
            pass
        facts = _finish(asked, model, out, evaluate)
    seconds, each = facts["seconds"], facts["seconds_per_step"]
    typer.echo(f"{asked.steps} steps in {seconds:.0f} s, {each:.2f} s a step. The model is "
               f"{out / 'checkpoint.safetensors'}; see it at work:\n  "
               + (f"teachseg demo --checkpoint {shlex.quote(str(out))}" if asked.data == SCENES else
                  f"teachseg predict PICTURES --checkpoint {shlex.quote(str(out))}"))
