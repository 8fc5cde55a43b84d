"""Sampling: a loss looks at a few anchors, proposals or pixels, drawn by chance.

Letters
    A  anchors (or proposals)
    N  cells of a map
    S  cells that are drawn

Lesson: 05 (anchors), 30 (pixels)
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from teachseg.geometry.matching import BACKGROUND, OBJECT


class Chance(torch.Generator):
    """A CPU generator that has one of its own for each image of a batch.

    What is drawn for an image then depends on that image's alone, and not on the images before it
    in its batch: so it is the same in a batch of 2 B, and in one of two processes' batches of B.

    Args:
        seeds: one an image. seed: of what belongs to no image.
    """

    images: list[torch.Generator]

    def __new__(cls, seed: int, seeds: Sequence[int]) -> "Chance":
        self = super().__new__(cls)
        self.manual_seed(seed)
        self.images = [torch.Generator().manual_seed(one) for one in seeds]
        return self


def of_image(generator: torch.Generator, index: int) -> torch.Generator:
    """The generator for image `index` of a batch: its own of `Chance`, else the only one."""
    return generator.images[index] if isinstance(generator, Chance) else generator


def sample(labels: Tensor, size: int, object_share: float, generator: torch.Generator) -> Tensor:
    """Draw what a loss will look at: objects up to a share, the rest background.

    The draw happens on the CPU, so that the same generator gives the same answer on every device.

    Args:
        labels: (A,) int64: BACKGROUND, positive for objects, negative for what does not count.
        size: how many to draw at most.
        object_share: at most this share of `size` are objects, in [0, 1].
        generator: a CPU generator.

    Returns:
        (at most size,) int64 indices, objects first. Fewer where there are not enough.
    """
    return sample_counted(labels, size, object_share, generator)[0]


def sample_counted(
    labels: Tensor, size: int, object_share: float, generator: torch.Generator
) -> tuple[Tensor, int]:
    """`sample`, and how many of what was drawn are objects: known here without another look."""
    on_cpu = labels.cpu()

    def draw(candidates: Tensor, most: int) -> Tensor:
        candidates = candidates.nonzero().flatten()
        return candidates[torch.randperm(len(candidates), generator=generator)[:most]]

    objects = draw(on_cpu >= OBJECT, int(size * object_share))
    drawn = torch.cat([objects, draw(on_cpu == BACKGROUND, size - len(objects))])
    return drawn.to(labels.device), len(objects)


def sample_points(
    instances: Tensor, per_instance: int, background: int, generator: torch.Generator
) -> Tensor:
    """Draw a few cells of every instance, however large it is.   [deep metric learning, K points]

    All at once: cells in a random order, put together by instance without changing that order, and
    of each instance the first ones. The draw happens on the CPU.

    Args:
        instances: (N,) int64, 0 background, positive an instance's number, negative not to be
            drawn.
        per_instance: K, at most so many cells of each instance; all of a smaller one.
        background: at most so many of background; 0: none.
        generator: a CPU generator.

    Returns:
        (S,) int64 indices, background first, then instance after instance.

    >>> row = torch.tensor([0, 0, 2, 2, 2, -1, 1])
    >>> row[sample_points(row, 2, 1, torch.Generator().manual_seed(0))]
    tensor([0, 1, 2, 2])
    """
    if per_instance < 0 or background < 0:
        raise ValueError("per_instance and background must be 0 or more, got "
                         f"{per_instance} and {background}.")
    on_cpu = instances.cpu()
    order = torch.randperm(len(on_cpu), generator=generator)
    order = order[on_cpu[order].argsort(stable=True)]
    own = on_cpu[order]
    rank = torch.arange(len(own)) - torch.searchsorted(own, own)  # within its instance
    most = torch.where(own > 0, per_instance, torch.where(own == 0, background, 0))
    return order[rank < most].to(instances.device)
