"""The training engine: it knows steps, devices, files and signals, and no model.

Letters
    N  images in a step
    s  steps (updates of the weights) done so far

A step is: draw N images, ask for the losses, walk down their gradient, write a line, save now and
then. `fit` yields a Record after each step; `update` is one step and `_steps` the loop around it.

Chance. Which images make step s, how they are changed, and what the losses draw for each of them
(sampled anchors, say) are pure functions of the seed and of an image's running number: neither
workers nor a restart nor the number of processes can change it. The global seed of torch is neither
read nor set, so dropout in a model would not be repeatable here. On the CPU the steps run with
deterministic algorithms: otherwise torch adds up the gradients of an index in whatever order its
threads arrive.

Files in the folder of a run, never pickle:
    checkpoint.safetensors, .json  the weights for others to load, and what made them
    state.safetensors, .json       all that the next step depends on: weights, optimizer, step
    log.csv                        one line a step
Weights and optimizer of a run that is continued come from one file, so that they belong together.

Several devices, on one machine or more: a process each (`processes`), started by Lightning Fabric
or by torchrun. Of a step's images each takes its part, gradients are averaged (DDP), and the first
process alone writes.

Boxes pass through unseen.

Lesson: 22
"""

import csv
import hashlib
import inspect
import json
import logging
import math
import os
import signal
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy
from lightning_fabric.strategies.launchers import subprocess_script
from lightning_fabric.utilities.imports import _IS_INTERACTIVE
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from teachseg import processes
from teachseg.datasets.batch import Batch, collate
from teachseg.datasets.transforms import Augment, augment, flip
from teachseg.geometry.sampling import Chance
from teachseg.storage import load_pair, make_folder, remove_parts, save_pair, write_atomically
from teachseg.structures import Targets

Losses = dict[str, Tensor]
LossesOf = Callable[..., Losses]  # (model, images, targets, generator), and perhaps progress=

SCHEDULES = ("linear", "cosine", "steps", "constant")
OPTIMIZERS = ("adamw", "sgd")
PRECISIONS = ("32-true", "16-mixed", "bf16-mixed")
DEVICES = ("auto", "cpu", "cuda")
MAY_CHANGE = (  # on resuming: where and how fast; images a step must stay as many
    "save_every", "device", "workers", "threads", "devices", "nodes", "batch_size", "accumulate",
    "channels_last", "compile")
PATIENCE = timedelta(minutes=10)  # with which processes wait for each other
LAST_WORDS = 20  # seconds that the others have when one is lost


@dataclass(frozen=True)
class TrainConfig:
    """How to train. Defaults: the course's models from scratch on the 128 x 128 scenes, 2 cores."""

    steps: int                    # updates of the weights
    batch_size: int = 8           # images for one backward pass
    accumulate: int = 1           # backward passes for one update
    learning_rate: float = 2e-3   # the largest; warm-up and schedule scale it
    warmup_steps: int = 100       # steps in which it rises from 0 in a straight line
    schedule: str = "linear"      # after it: in a line to 0; or "cosine", "steps", "constant"
    milestones: tuple[int, ...] = ()  # for "steps": after each of these, a tenth
    optimizer: str = "adamw"      # or "sgd", with momentum 0.9
    weight_decay: float = 0.05    # not for biases and norms
    clip_norm: float | None = 10.0    # longest gradient, all weights together; None: any length
    flip: bool = True             # mirror every other image
    scale: tuple[float, float] | None = None  # see datasets.transforms.Augment
    crop: int | None = None
    colour: float = 0.0
    seed: int = 0
    save_every: int = 200         # steps
    precision: str = "32-true"    # or "16-mixed", "bf16-mixed"
    device: str = "auto"          # cuda where there is one, else cpu
    workers: int = 0              # processes that prepare images; 0: this one
    threads: int | None = None    # for torch on the CPU; None: leave as it is
    devices: int = 1              # GPUs of each machine, or processes on its CPU
    nodes: int = 1                # machines
    channels_last: bool = False   # keep an image's channels side by side in memory
    compile: bool = False         # the backbone, by torch.compile; takes minutes at first

    def __post_init__(self):
        for name, least in (("steps", 1), ("batch_size", 1), ("accumulate", 1), ("warmup_steps", 0),
                            ("seed", 0), ("save_every", 1), ("workers", 0), ("threads", 1),
                            ("devices", 1), ("nodes", 1)):
            value = getattr(self, name)
            whole = isinstance(value, int) and not isinstance(value, bool)
            if not (whole and value >= least) and not (name == "threads" and value is None):
                raise ValueError(f"{name} must be a whole number >= {least}, got {value!r}.")
        for name in ("learning_rate", "clip_norm"):
            value = getattr(self, name)
            if not (name == "clip_norm" and value is None) and not 0 < value < math.inf:
                raise ValueError(f"{name} must be above 0 and finite, got {value!r}.")
        if not 0 <= self.weight_decay < math.inf:
            raise ValueError(f"weight_decay must be 0 or more, got {self.weight_decay!r}.")
        for name, known in (("schedule", SCHEDULES), ("optimizer", OPTIMIZERS),
                            ("precision", PRECISIONS), ("device", DEVICES)):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, "
                                 f"got {getattr(self, name)!r}.")
        self.augment()  # says what is wrong with it
        if bool(self.milestones) != (self.schedule == "steps"):
            raise ValueError(f"schedule={self.schedule!r} with milestones={self.milestones!r}: "
                             "schedule='steps' needs milestones, the others take none.")

    @property
    def images_a_step(self) -> int:
        """Of all processes together."""
        return self.batch_size * self.accumulate * self.devices * self.nodes

    def augment(self) -> Augment:
        """How images are changed by chance, besides being mirrored."""
        return Augment(self.scale and tuple(self.scale), self.crop, self.colour)


class Record(NamedTuple):
    """What one step did."""

    step: int                 # 1 for the first
    losses: dict[str, float]  # by name; their sum is minimised
    learning_rate: float      # of this step
    seconds: float            # the step took, waiting for its images included
    data_seconds: float       # of these: waiting for images


class NotFinite(ValueError):
    """A loss, a gradient or a weight is nan or infinite; the last good checkpoint is untouched."""


class Stopped(KeyboardInterrupt):
    """Training ended early because Ctrl-C or SIGTERM asked it to; its last step is saved.

    A kind of KeyboardInterrupt, so that no `except Exception` takes it for a failure and no cell
    below it goes on with a half-trained model.
    """


# What is drawn for a step


def _seed(*words: Any) -> int:
    """A number of its own for each list of words."""
    digest = hashlib.sha256("/".join(map(str, words)).encode()).digest()
    return int.from_bytes(digest[:4], "big")


def _seeded(*words: Any) -> torch.Generator:
    """A CPU generator of its own for each list of words."""
    return torch.Generator().manual_seed(_seed(*words))


@lru_cache(maxsize=2)
def epoch_order(images: int, epoch: int, seed: int) -> tuple[list[int], list[bool]]:
    """Every image once, shuffled, and whether each is mirrored this time."""
    generator = _seeded(seed, "epoch", epoch)
    order = torch.randperm(images, generator=generator)
    return order.tolist(), (torch.rand(images, generator=generator) < 0.5).tolist()


def draws(step: int, images: int, config: TrainConfig) -> list[tuple[int, bool]]:
    """(index in the dataset, mirror it?) for all images of one step, a pure function.

    Args:
        step: steps done before this one.
        images: length of the dataset; a step may reach over the end of an epoch, or several.

    >>> config = TrainConfig(steps=2, batch_size=2)
    >>> sorted(index for step in (0, 1) for index, _ in draws(step, 4, config))
    [0, 1, 2, 3]
    """
    size = config.images_a_step
    drawn = []
    for position in range(step * size, (step + 1) * size):
        order, mirrored = epoch_order(images, position // images, config.seed)
        place = position % images
        drawn.append((order[place], config.flip and mirrored[place]))
    return drawn


def positions(step: int, part: int, config: TrainConfig, process: int = 0) -> range:
    """The running numbers of the images that a process looks at in one backward pass of a step.

    >>> config = TrainConfig(steps=2, batch_size=2, accumulate=2, devices=2)
    >>> [list(positions(1, part, config, process)) for part in (0, 1) for process in (0, 1)]
    [[8, 9], [10, 11], [12, 13], [14, 15]]
    """
    first = step * config.images_a_step
    first += (part * config.devices * config.nodes + process) * config.batch_size
    return range(first, first + config.batch_size)


def _chunks(
    config: TrainConfig, images: int, start: int, process: int
) -> Iterator[list[tuple[int, bool, int]]]:
    """`draws` of a process from step `start` on, `batch_size` at a time, each with its number."""
    for step in range(start, config.steps):
        drawn = draws(step, images, config)
        for part in range(config.accumulate):
            yield [(*drawn[position % config.images_a_step], position)
                   for position in positions(step, part, config, process)]


@dataclass
class _Drawn:
    """A dataset whose [(index, mirror, number)] is the image and its targets, changed as wanted.

    Chance is a pure function of the seed and of the image's running number in the training.
    """

    dataset: Sequence
    augment: Augment
    seed: int

    def __getitem__(self, drawn: tuple[int, bool, int]) -> tuple[Tensor, Targets]:
        index, mirrored, number = drawn
        item = self.dataset[index]
        if mirrored:
            item = flip(*item)
        if self.augment.nothing:
            return item
        return augment(*item, self.augment, _seeded(self.seed, "augment", number))


def _leave_signals_to_main(worker: int) -> None:
    """A worker keeps working while the training process finishes its step after Ctrl-C."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def batches(
    dataset: Sequence, config: TrainConfig, start: int = 0, process: int = 0, pin: bool = False
) -> Iterator[Batch]:
    """Images and targets of a process from step `start` on, `batch_size` at a time.

    Args:
        pin: in memory from which a GPU can fetch it; with workers.
    """
    chunks = _chunks(config, len(dataset), start, process)
    drawn = _Drawn(dataset, config.augment(), config.seed)
    if config.workers:
        yield from DataLoader(
            drawn, batch_sampler=chunks, collate_fn=collate, num_workers=config.workers,
            worker_init_fn=_leave_signals_to_main, generator=torch.Generator(), pin_memory=pin,
        )
    else:
        for chunk in chunks:
            yield collate([drawn[one] for one in chunk])


# One step


def learning_rate(step: int, config: TrainConfig) -> float:
    """The rate of the step after `step` done ones: up in a line, then as the schedule says.

    >>> config = TrainConfig(steps=10, learning_rate=1.0, warmup_steps=2)
    >>> [learning_rate(step, config) for step in (0, 1, 2, 6)]
    [0.5, 1.0, 1.0, 0.5]
    """
    warm = min(1.0, (step + 1) / max(config.warmup_steps, 1))
    done = max(0, step - config.warmup_steps) / max(config.steps - config.warmup_steps, 1)
    left = {
        "linear": 1 - done,
        "cosine": (1 + math.cos(math.pi * done)) / 2,
        "steps": 0.1 ** sum(step >= milestone for milestone in config.milestones),
        "constant": 1.0,
    }
    return config.learning_rate * warm * left[config.schedule]


def make_optimizer(
    model: nn.Module, config: TrainConfig
) -> tuple[torch.optim.Optimizer, list[str]]:
    """The optimizer over all weights that learn, and their names in its order.

    Biases and the scales of norms (one axis) are not decayed: a norm undoes or needs their size.
    """
    learning = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    if not learning:
        raise ValueError("The model has no weights to train: all are frozen (requires_grad=False).")
    plain = [(name, p) for name, p in learning if p.ndim < 2]
    decayed = [(name, p) for name, p in learning if p.ndim >= 2]
    groups = [{"params": [p for _, p in decayed], "weight_decay": config.weight_decay},
              {"params": [p for _, p in plain], "weight_decay": 0.0}]
    # one kernel for all weights; with 16-mixed it would hide its unscaled gradients from clipping
    fused = config.precision != "16-mixed"
    if config.optimizer == "sgd":
        optimizer = torch.optim.SGD(groups, lr=config.learning_rate, momentum=0.9, fused=fused)
    else:
        optimizer = torch.optim.AdamW(groups, lr=config.learning_rate, fused=fused)
    return optimizer, [name for name, _ in decayed + plain]


class LossStep(nn.Module):
    """A model and its losses as one module: Fabric sets precision and device around its forward."""

    def __init__(self, model: nn.Module, losses_of: LossesOf):
        super().__init__()
        self.model = model
        self.losses_of = losses_of
        self.tells_progress = "progress" in inspect.signature(losses_of).parameters

    def forward(self, batch: Batch, generator: torch.Generator, progress: float) -> Losses:
        """The named losses of one batch; progress is the share of all steps that are done."""
        more = {"progress": progress} if self.tells_progress else {}
        return self.losses_of(self.model, *batch, generator, **more)


@dataclass
class Run:
    """A training under way: all that the next step depends on, and what carries it out."""

    config: TrainConfig
    fabric: Fabric
    model: nn.Module
    module: nn.Module  # LossStep(model), wrapped by Fabric
    optimizer: torch.optim.Optimizer
    stepper: Any       # the optimizer, wrapped by Fabric
    names: list[str]   # of the weights, in the optimizer's order
    images: int        # in the dataset
    folder: Path | None = None
    manifest: dict[str, Any] = field(default_factory=dict)
    step: int = 0      # steps done
    seconds: float = 0.0  # they took
    losses: dict[str, float] = field(default_factory=dict)  # of the last one
    saved: int = -1    # step of the last save


def _check_losses(losses: Any) -> None:
    """Raise ValueError unless `losses` is named scalars, at least one with a gradient."""
    if not isinstance(losses, dict) or not losses:
        raise ValueError("losses_of must return a dict of named scalar losses, at least one, "
                         f"got {losses!r}.")
    for name, loss in losses.items():
        if not isinstance(loss, Tensor) or loss.ndim != 0:
            shape = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
            raise ValueError(f"The loss {name!r} must be a tensor of one number, got {shape}: "
                             "take its mean() or sum().")
    if not any(loss.requires_grad for loss in losses.values()):
        raise ValueError("No loss depends on a weight that learns. Look in losses_of for "
                         "torch.no_grad() and detach(), and for a frozen model.")


def _not_finite(run: Run, step: int, what: str) -> NotFinite:
    """The error that says which term in which step (1 the first), what is safe, and what to try."""
    if run.saved >= 0:
        file = run.folder / "checkpoint.safetensors"
        safe = f"The last good checkpoint is {file} (step {run.saved})."
    else:
        safe = "No checkpoint was saved yet."
    rate = learning_rate(step - 1, run.config)
    indexes = [index for index, _ in draws(step - 1, run.images, run.config)]
    half = "" if run.config.precision == "32-true" else ", precision='32-true'"
    return NotFinite(
        f"In step {step} {what}. {safe} Try a lower learning_rate (it was {rate:.3g}), more "
        f"warmup_steps or a smaller clip_norm{half}; and look at the images and boxes of this "
        f"step: the dataset's indexes {indexes}."
    )


def _walk(run: Run) -> None:
    """Shorten the gradient, and move the weights against it."""
    longest = math.inf if run.config.clip_norm is None else run.config.clip_norm
    norm = run.fabric.clip_gradients(
        run.module, run.stepper, max_norm=longest, error_if_nonfinite=False
    )
    # with 16-mixed, an overflow is ordinary: that step is passed over and the losses scaled less;
    # but not for ever
    scaler = getattr(run.fabric.strategy.precision, "scaler", None)
    if (scaler is None or scaler.get_scale() < 1) and not bool(norm.isfinite()):
        broken = [name for name, p in run.model.named_parameters()
                  if p.grad is not None and not bool(p.grad.isfinite().all())]
        where = broken[0] if broken else "all weights together"
        what = f"the losses are finite but the gradient of {where} is not"
        raise _not_finite(run, run.step + 1, what)
    run.stepper.step()


def chance(step: int, part: int, config: TrainConfig, process: int = 0) -> Chance:
    """What the losses of one backward pass draw from: a generator for each image, and one more."""
    numbers = positions(step, part, config, process)
    return Chance(_seed(config.seed, "losses", numbers[0]),
                  [_seed(config.seed, "losses", number, "image") for number in numbers])


def update(run: Run, source: Iterator[Batch]) -> Record:
    """One step: images, losses, gradients, new weights."""
    config, started, waited = run.config, time.perf_counter(), 0.0
    rate = learning_rate(run.step, config)
    for group in run.optimizer.param_groups:
        group["lr"] = rate
    run.module.train()
    run.optimizer.zero_grad()
    parts: list[Tensor] = []
    for part in range(config.accumulate):
        asked = time.perf_counter()
        batch = next(source)
        waited += time.perf_counter() - asked

        # between processes gradients are averaged once a step, with the last part's
        last = part == config.accumulate - 1
        with run.fabric.no_backward_sync(run.module, enabled=processes.world() > 1 and not last):
            losses = run.module(batch.to(run.fabric.device),
                                chance(run.step, part, config, processes.rank()),
                                run.step / config.steps)
            _check_losses(losses)
            parts.append(torch.stack([loss.detach().float() for loss in losses.values()]))
            run.fabric.backward(sum(losses.values()))
    if config.accumulate > 1:  # now, not before: a model may limit an image's gradient on its way
        grads = [p.grad for p in run.model.parameters() if p.grad is not None]
        torch._foreach_div_(grads, config.accumulate)
    # read once a step, when its work is under way: the device need not be waited for in between
    numbers = processes.average(torch.stack(parts).mean(dim=0)).tolist()
    means = dict(zip(losses, numbers))
    for name, number in means.items():
        if not math.isfinite(number):
            raise _not_finite(run, run.step + 1, f"the loss {name!r} is {number}")
    _walk(run)
    run.step += 1
    run.losses = means
    seconds = time.perf_counter() - started
    run.seconds += seconds
    return Record(run.step, means, rate, seconds, waited)


# Saving and going on


def _state(run: Run) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """All that the next step depends on, as tensors and as JSON."""
    tensors = {f"model/{name}": tensor for name, tensor in run.model.state_dict().items()}
    for index, entries in run.optimizer.state_dict()["state"].items():
        for key, value in entries.items():
            if value is not None:
                tensors[f"optimizer/{run.names[index]}/{key}"] = torch.as_tensor(value)
    facts = {"step": run.step, "seconds": run.seconds, "losses": run.losses, "images": run.images,
             "config": asdict(run.config), "scaler": run.fabric.strategy.precision.state_dict()}
    return tensors, facts


def _export(run: Run) -> None:
    """Write checkpoint.safetensors and .json: the weights for others, and what made them."""
    facts = {"step": run.step, "train": asdict(run.config), "torch": torch.__version__,
             "device": _device_name(run.fabric.device), "seconds": round(run.seconds, 1),
             "losses": run.losses}
    save_pair(run.folder / "checkpoint", run.model.state_dict(), run.manifest | facts)
    run.saved = run.step


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)


def save(run: Run) -> None:
    """Save a run's state, then its checkpoint, unless this step is saved or there is no folder.

    Raises:
        NotFinite: a weight is not finite; the files of the last save stay.
        ValueError: the files cannot be written; those of the last save stay.
    """
    if run.folder is None or run.saved == run.step:
        return
    for name, tensor in run.model.state_dict().items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise _not_finite(run, run.step, f"the weights {name} became nan or infinite")
    if processes.rank() > 0:  # all have looked, as all have the same weights; one writes
        run.saved = run.step
        return
    tensors, facts = _state(run)
    save_pair(run.folder / "state", tensors, facts)
    _export(run)


def _as_json(config: dict[str, Any]) -> dict[str, Any]:
    """As it would come back from a file: tuples are lists there."""
    return json.loads(json.dumps(config))


def _check_same(run: Run, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
    """Raise ValueError, naming the differences, unless a saved run can go on as this one."""
    def settings(config: dict[str, Any], images: int) -> dict[str, Any]:
        step = math.prod(config[name] for name in ("batch_size", "accumulate", "devices", "nodes"))
        return config | {"images in the dataset": images, "images a step": step}

    now = settings(_as_json(asdict(run.config)), run.images)
    then = _as_json(asdict(TrainConfig(steps=1))) | facts["config"]  # defaults: if added since
    then = settings(then, facts["images"])
    changed = [f"{name} was {then.get(name)!r} and is now {now.get(name)!r}"
               for name in then | now
               if name not in MAY_CHANGE and then.get(name) != now.get(name)]
    if changed:
        raise ValueError(f"The run in {run.folder} cannot be resumed with other settings: "
                         f"{'; '.join(changed)}. Use the old ones, or train in another folder.")
    then = {name.removeprefix("model/"): tuple(tensor.shape)
            for name, tensor in tensors.items() if name.startswith("model/")}
    now = {name: tuple(tensor.shape) for name, tensor in run.model.state_dict().items()}
    changed = [f"{name} was {then.get(name, 'not there')} and is now {now.get(name, 'not there')}"
               for name in now | then if then.get(name) != now.get(name)]
    if changed:
        more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        raise ValueError(f"The run in {run.folder} trains another model: {'; '.join(changed[:3])}"
                         f"{more}. Build the same model, or train in another folder.")


def _restore(run: Run) -> None:
    """Put a run back to where its folder's state was saved."""
    tensors, facts = load_pair(run.folder / "state")
    if not {"config", "images", "step", "losses", "seconds"} <= facts.keys():
        raise ValueError(f"{run.folder / 'state.json'} is not the state of a training. "
                         "Train in another folder.")
    _check_same(run, tensors, facts)
    run.model.load_state_dict({name: tensors[f"model/{name}"] for name in run.model.state_dict()})
    state: dict[int, dict[str, Tensor]] = {}
    for path, tensor in tensors.items():
        kind, _, rest = path.partition("/")
        if kind == "optimizer":
            name, _, key = rest.rpartition("/")
            state.setdefault(run.names.index(name), {})[key] = tensor
    groups = run.optimizer.state_dict()["param_groups"]
    run.optimizer.load_state_dict({"state": state, "param_groups": groups})
    for weight, entries in run.optimizer.state.items():  # files know no order in memory
        for key, value in entries.items():
            if value.shape == weight.shape and value.stride() != weight.stride():
                entries[key] = torch.empty_like(weight).copy_(value)
    run.fabric.strategy.precision.load_state_dict(facts["scaler"])
    run.step, run.seconds, run.losses = facts["step"], facts["seconds"], facts["losses"]
    if processes.rank() == 0:
        _export(run)  # a kill may have come between the state and the checkpoint


class Log:
    """log.csv: a header and one line a step, given to the system when the step is done."""

    def __init__(self, path: Path, step: int):
        """Begin it, or keep the lines of steps 1 to `step` alone."""
        kept: list[list[str]] = []
        if step and path.exists():
            with open(path, newline="", encoding="utf-8") as file:
                rows = [row for row in csv.reader(file)]
            kept = [row for i, row in enumerate(rows) if len(row) == len(rows[0])
                    and (i == 0 or row[0].isdigit() and int(row[0]) <= step)]
        self.path = path
        self.header = kept[0] if kept else None
        write_atomically(path, lambda part: self._append(part, kept))

    @staticmethod
    def _append(path: Path, rows: list) -> None:
        with open(path, "a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(rows)

    def write(self, record: Record) -> None:
        """Add a step's line."""
        row = {"step": record.step, **record.losses, "learning_rate": record.learning_rate,
               "seconds": round(record.seconds, 4), "data_seconds": round(record.data_seconds, 4)}
        if self.header is not None and list(row) != self.header:
            raise ValueError(f"The losses of step {record.step} are {list(record.losses)}, but "
                             f"{self.path} has the columns {self.header}: losses_of must return "
                             "the same names in the same order each time, with a zero where there "
                             "is nothing.")
        new = [list(row)] if self.header is None else []
        try:
            self._append(self.path, [*new, list(row.values())])
        except OSError as error:
            raise ValueError(f"{self.path} cannot be written: {error.strerror}. Mend that; then "
                             "the run can be resumed.") from error
        self.header = list(row)


# The loop


class StopRequest:
    """While it is entered, a first Ctrl-C or SIGTERM is only noted; a second interrupts at once.

    Works in the main thread, where Python handles signals; elsewhere it notes nothing.
    """

    def __init__(self):
        self.asked = False
        self._before: dict[int, Any] = {}

    def _note(self, number: int, frame: Any) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *error: Any) -> None:
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


@contextmanager
def _repeatable(run: Run) -> Iterator[None]:
    """On the CPU: deterministic algorithms and the wanted threads for one step, then as before."""
    if run.fabric.device.type != "cpu":
        yield
        return
    before = (torch.are_deterministic_algorithms_enabled(),
              torch.is_deterministic_algorithms_warn_only_enabled())
    fill, threads = torch.utils.deterministic.fill_uninitialized_memory, torch.get_num_threads()
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # costs time, changes no result
    torch.set_num_threads(run.config.threads or threads)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        torch.utils.deterministic.fill_uninitialized_memory = fill
        torch.set_num_threads(threads)


def _steps(run: Run, dataset: Sequence, log: Log | None) -> Iterator[Record]:
    """The loop: step, line, save, record; until all steps are done or someone asks to stop."""
    on_gpu = run.fabric.device.type == "cuda"
    with StopRequest() as stop, _together(run):
        source = batches(dataset, run.config, run.step, processes.rank(), pin=on_gpu)
        asked = False
        while run.step < run.config.steps and not asked:
            with _repeatable(run):
                record = update(run, source)
            asked = _asked_of_any(run, stop)
            if log:
                log.write(record)
            if run.step % run.config.save_every == 0 or run.step == run.config.steps or asked:
                save(run)
            yield record
        if asked:
            save(run)
            kept = (f"{run.folder} holds it: the same call with resume=True goes on"
                    if run.folder else "Nothing is kept, as fit was given no folder")
            raise Stopped(f"Stopped after step {run.step} of {run.config.steps}, as asked. {kept}.")


def _asked_of_any(run: Run, stop: StopRequest) -> bool:
    """Whether one of the processes was asked to stop: all of them stop after the same step."""
    if processes.world() == 1:
        return stop.asked
    share = processes.average(torch.tensor(float(stop.asked), device=run.fabric.device))
    return bool(share > 0)


@contextmanager
def _together(run: Run) -> Iterator[None]:
    """Where one of several processes is lost, the others say so in a sentence."""
    try:
        yield
    except RuntimeError as error:
        words = ("Connection closed by peer", "Connection reset", "NCCL", "ncclSystemError",
                 "gloo", "timed out", "Timed out")
        if processes.world() == 1 or not any(word in str(error) for word in words):
            raise
        saved = f" Step {run.saved} is saved in {run.folder}: --resume goes on." if run.saved > 0 \
            else ""
        raise ValueError(f"Process {processes.rank()} of {processes.world()} has lost another one "
                         f"in step {run.step + 1}; look at what that one said last, and whether "
                         f"its machine or its memory gave out.{saved} ({error})") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Lightning's notes and advice from the reader's screen."""
    loggers = [logging.getLogger(name) for name in ("lightning_fabric", "lightning_utilities")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels):
                logger.setLevel(level)


def _make_fabric(config: TrainConfig) -> Fabric:
    """Lightning Fabric with the wanted devices and precision; other processes are started here."""
    there = torch.cuda.is_available()
    if config.device == "cuda" and not there:
        raise ValueError("device='cuda' was asked for, but torch sees no such device here. Pass "
                         "device='cpu' or 'auto', or install a driver and a torch built for it.")
    device = "cuda" if there and config.device != "cpu" else "cpu"
    if device == "cuda" and config.devices > torch.cuda.device_count():
        raise ValueError(f"devices={config.devices} were asked for, and torch sees "
                         f"{torch.cuda.device_count()}. Ask for as many as there are.")
    if device == "cpu" and config.precision == "16-mixed":
        raise ValueError("precision='16-mixed' needs a GPU. Pass '32-true' or 'bf16-mixed'.")
    started = int(os.environ["WORLD_SIZE"]) if "TORCHELASTIC_RUN_ID" in os.environ else None
    if started not in (None, config.devices * config.nodes):
        raise ValueError(f"torchrun started {started} processes, and devices x nodes is "
                         f"{config.devices} x {config.nodes}. Make them equal.")
    strategy: Any = "auto"
    if config.devices * config.nodes > 1:
        if _IS_INTERACTIVE:
            raise ValueError("A notebook is one process and cannot train on several devices. Use "
                             "the command line: teachseg train --devices N.")
        # where a process is lost, NCCL would end the others without a word
        os.environ.setdefault("TORCH_NCCL_BLOCKING_WAIT", "1")
        strategy = DDPStrategy(timeout=PATIENCE, process_group_backend=(
            "nccl" if device == "cuda" else "gloo"))
    fabric = Fabric(accelerator=device, devices=config.devices, num_nodes=config.nodes,
                    precision=config.precision, strategy=strategy)
    if config.devices * config.nodes > 1:
        _let_them_speak()
        fabric.launch()
    return fabric


def _let_them_speak() -> None:
    """Where a process is lost, Lightning ends the others at its next look, perhaps before they
    could say what happened and which step is saved: it shall wait a while first.
    """
    observer = getattr(subprocess_script, "_ChildProcessObserver", None)  # its own, so not for sure
    end = getattr(observer, "_terminate_all", None)
    if end is None or getattr(end, "patient", False):
        return

    def end_later(self: Any) -> None:
        time.sleep(LAST_WORDS)
        end(self)

    end_later.patient = True
    observer._terminate_all = end_later


def _check_folder(folder: Path, resume: bool) -> None:
    """Raise ValueError where there is nothing to resume, or a run that would be overwritten."""
    there = (folder / "state.json").exists()
    if resume and not there:
        raise ValueError(f"There is no run to resume in {folder}: it has no state.json, which is "
                         "written with the first checkpoint. Check the folder, or do not resume.")
    if there and not resume:
        raise ValueError(f"{folder} holds a run already. Pass resume=True to go on with it, choose "
                         "another folder, or delete this one.")


def fit(
    model: nn.Module,
    losses_of: LossesOf,
    dataset: Sequence,
    config: TrainConfig,
    folder: str | Path | None = None,
    manifest: dict[str, Any] | None = None,
    resume: bool = False,
) -> Iterator[Record]:
    """Train `model` in place, yielding a Record after each step. Prints nothing: see `progress`.

    Args:
        model: moved to the device, where it stays; in training mode during steps.
        losses_of: (model, images list of (3, H, W), targets list, generator) -> named scalars, the
            same names each time; their sum is minimised. `papers.*.training_losses`, say. One that
            also takes `progress` is told the share of all steps that are done, in [0, 1), so that
            a weight can change in the course of a training.
        dataset: [i] is (image (3, H, W), Targets), and it has a len(). With `workers` and a start
            method other than fork it must be picklable.
        folder: where the files named at the top of this module go; None keeps nothing.
        manifest: what else checkpoint.json shall say, as JSON knows it: the model and its config.
        resume: go on with the run in `folder`. On the CPU, with as many threads, this gives the
            uninterrupted run's weights and losses bit for bit.

    Leaving the loop early (break) saves nothing more; a first Ctrl-C or SIGTERM between the first
    record and the last lets the step end, saves it and raises Stopped.

    Raises:
        ValueError: the arguments do not fit, at the call; or files cannot be written.
        NotFinite: a loss, a gradient or a weight is nan or infinite.
        Stopped: Ctrl-C or SIGTERM came.
    """
    if len(dataset) == 0:
        raise ValueError("The dataset is empty: there is nothing to learn from. Check its folder "
                         "or its length.")
    if resume and folder is None:
        raise ValueError("resume=True needs the folder of the run.")
    try:
        json.dumps(manifest, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"manifest must hold what JSON knows: {error}.") from error
    optimizer, names = make_optimizer(model, config)
    with _quiet():
        fabric = _make_fabric(config)
        if config.channels_last:
            model.to(memory_format=torch.channels_last)
        if config.compile and hasattr(model, "backbone"):
            model.backbone.compile(dynamic=True)  # in place: the weights keep their names
        module, stepper = fabric.setup(LossStep(model, losses_of), optimizer)
    run = Run(config, fabric, model, module, optimizer, stepper, names, len(dataset),
              manifest=dict(manifest or {}))
    log = None
    if folder is not None:
        run.folder = make_folder(folder)
        _check_folder(run.folder, resume)
        processes.wait()  # nobody writes before everybody has looked
        if processes.rank() == 0:
            remove_parts(run.folder)
        if resume:
            _restore(run)
        if processes.rank() == 0:
            log = Log(run.folder / "log.csv", run.step)
    return _steps(run, dataset, log)


def progress(records: Iterable[Record], total: int, window: int = 20) -> Iterator[Record]:
    """The same records, with a bar on the screen: steps, time left, mean losses of late.

    Args:
        records: of `fit`.
        total: steps of the whole run; a resumed one begins in the middle of the bar.
        window: steps over which the losses shown are averaged.
    """
    late: deque[Record] = deque(maxlen=window)
    with tqdm(total=total, unit="step", dynamic_ncols=True) as bar:
        for record in records:
            if not late:
                bar.initial = bar.n = record.step - 1
            late.append(record)
            means = {name: sum(one.losses[name] for one in late) / len(late)
                     for name in record.losses}
            terms = " + ".join(f"{name} {mean:.3f}" for name, mean in means.items())
            bar.set_postfix_str(f"loss {sum(means.values()):.3f} = {terms}", refresh=False)
            bar.update(record.step - bar.n)
            yield record
