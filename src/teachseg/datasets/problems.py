"""What a data set of files is, and what can be wrong with one: where, what, and how to mend it.

Letters
    G     objects of one image        H, W  height and width of the image, in pixels

A data set of files gives [i] -> (image (3, H, W) in [0, 1], Targets), like the scenes. Something is
wrong with nearly every large one. Which item and why is said in a `Problem`; whether it stops the
reader or is noted and left out is the reader's choice (`on_bad`).

No boxes here.

Lesson: 42
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from teachseg.structures import Targets, crowd_of, with_crowd

ON_BAD = ("stop", "skip")


class Problem(NamedTuple):
    """One thing that is wrong."""

    where: str  # file
    what: str   # which image or annotation, and why
    mend: str   # what to do, as an order

    def __str__(self) -> str:
        return f"{self.where}: {self.what}. To mend it, {self.mend}."


class Pictures:
    """A data set of files: what all of them share. A kind of its own defines `_read`.

    Args:
        folder: where it lies, for the words of errors.
        on_bad: "stop" raises a ValueError at the first wrong annotation; "skip" leaves the
            annotation out and notes it in `problems`. A picture that cannot be read raises either
            way, as an item without an image is none: see `GoodItems`.

    Attributes:
        classes: names of 1..K. names: of the items, in their order. problems: noted so far.
    """

    classes: tuple[str, ...]
    names: list[str]

    def __init__(self, folder: str | Path, on_bad: str = "stop"):
        if on_bad not in ON_BAD:
            raise ValueError(f"on_bad must be 'stop' or 'skip', got {on_bad!r}.")
        self.folder, self.on_bad = Path(folder), on_bad
        self.problems: list[Problem] = []
        if not self.folder.is_dir():
            raise ValueError(f"There is no folder {folder}. Check the spelling.")

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> tuple[Tensor, Targets]:
        if not -len(self) <= index < len(self):  # so that a for loop ends
            raise IndexError(f"index {index} is out of range: there are {len(self)} images.")
        return self._read(index % len(self))

    def _read(self, index: int) -> tuple[Tensor, Targets]:
        raise NotImplementedError

    def wrong(self, where: str | Path, what: str, mend: str) -> None:
        """Raise, or note once, what is wrong."""
        problem = Problem(str(where), what, mend)
        if self.on_bad == "stop":
            raise ValueError(f"{problem} Or leave what is wrong out: on_bad='skip', --skip-bad.")
        if problem not in self.problems:
            self.problems.append(problem)


def stack(objects: Sequence[tuple[Tensor, int, Tensor]], image_size: tuple[int, int]) -> Targets:
    """(box (4,), label, mask (H, W) bool) of each object -> Targets."""
    if not objects:
        return Targets.empty(image_size)
    boxes, labels, masks = zip(*objects)
    return Targets(torch.stack(boxes), torch.tensor(labels, dtype=torch.int64), torch.stack(masks))


def problems_of(dataset: Sequence) -> Iterator[tuple[int, list[Problem], bool]]:
    """Read every item -> its index, what is wrong with it, and whether it can be used all the same.

    Args:
        dataset: one with on_bad="skip", so that all that is wrong with an item is told at once.
    """
    notes: list[Problem] = getattr(dataset, "problems", [])
    for index in range(len(dataset)):
        before = len(notes)
        try:
            dataset[index]
        except ValueError as error:
            name = dataset.names[index] if hasattr(dataset, "names") else f"item {index}"
            said = Problem(name, str(error).strip().rstrip("."), "do so, or take the item out")
            yield index, [*notes[before:], said], False
        else:
            yield index, notes[before:], True


class InMemory:
    """A data set whose items are read once and then kept, a byte a channel and a bit a mask pixel.

    For small sets whose files are slow to read: a picture of nuclei has a file for each of them.
    Each process that reads keeps its own.

    Args:
        dataset: (image, Targets) with masks that are worth reading once. Crowd regions are kept.
    """

    def __init__(self, dataset: Sequence):
        self.dataset = dataset
        self._kept: dict[int, tuple] = {}

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of 1..K."""
        return self.dataset.classes

    @property
    def names(self) -> list[str]:
        """Of the items."""
        return self.dataset.names

    @property
    def problems(self) -> list[Problem]:
        """Noted so far."""
        return getattr(self.dataset, "problems", [])

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[Tensor, Targets]:
        if index not in self._kept:
            image, targets = self.dataset[index]
            self._kept[index] = ((image * 255).round().byte(),
                                 *(_pack(some) for some in (targets, crowd_of(targets))))
        image, objects, crowd = self._kept[index]
        size = (image.shape[1], image.shape[2])
        return image.float() / 255, with_crowd(_unpack(objects, size), _unpack(crowd, size))


def _pack(targets: Targets) -> tuple[Tensor, Tensor, np.ndarray]:
    return targets.boxes, targets.labels, np.packbits(targets.masks.flatten(1).numpy(), axis=1)


def _unpack(packed: tuple[Tensor, Tensor, np.ndarray], image_size: tuple[int, int]) -> Targets:
    boxes, labels, bits = packed
    pixels = image_size[0] * image_size[1]
    masks = np.unpackbits(bits, axis=1, count=pixels).reshape(len(labels), *image_size)
    return Targets(boxes, labels, torch.from_numpy(masks).bool())


@dataclass
class GoodItems:
    """Those items of a data set that can be read: each is tried once, here.

    Attributes:
        problems: what was left out and why: items, and annotations of items that stay.
        indexes: of the items that stay.
    """

    dataset: Sequence
    problems: list[Problem] = field(default_factory=list)
    indexes: list[int] = field(default_factory=list)

    def __post_init__(self):
        self.problems += getattr(self.dataset, "problems", [])
        for index, found, usable in problems_of(self.dataset):
            self.problems += found
            if usable:
                self.indexes.append(index)
        if not self.indexes:
            raise ValueError("No item of the data set can be read. The first reason: "
                             f"{self.problems[0] if self.problems else 'it is empty'}")

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of 1..K."""
        return self.dataset.classes

    @property
    def names(self) -> list[str]:
        """Names of the items that stay."""
        return [self.dataset.names[index] for index in self.indexes]

    def __len__(self) -> int:
        return len(self.indexes)

    def __getitem__(self, index: int) -> tuple[Tensor, Targets]:
        return self.dataset[self.indexes[index]]
