"""Several processes that train together: who is who, and what they tell each other.

One process is the usual case, and all here then does nothing. Several (one for each GPU, or for
each part of a CPU's cores) have the same weights, see different images and average their gradients.
A loss that is divided by a count (of anchors, rois, mask pixels) has to be divided by the count of
*all* processes' images: else an object would weigh more where it has fewer neighbours in its
process, and two processes of B images would not learn what one of 2 B learns.

Letters
    none; no boxes here

Lesson: 42
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def world() -> int:
    """How many processes there are."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """This process's number among them, 0 for the first, which writes the files."""
    return dist.get_rank() if world() > 1 else 0


def average_count(count: int, like: Tensor) -> float | Tensor:
    """A count, averaged over the processes, and at least a little: to divide a sum by.

    Gradients are averaged over W processes, so a sum over one process's images divided by the
    average count gives, all in all, the sum over all images divided by the count of all.

    Args:
        count: of this process's images.
        like: a tensor on the device that the processes talk through.

    Returns:
        one process: max(count, 1). Several: a scalar tensor, without waiting for the device.
    """
    if world() == 1:
        return float(max(count, 1))
    all_of_them = torch.full((), float(count), device=like.device)
    dist.all_reduce(all_of_them)
    return all_of_them.clamp(min=1) / world()


def average(numbers: Tensor) -> Tensor:
    """The same numbers of all processes, averaged; changes its argument."""
    if world() > 1:
        dist.all_reduce(numbers)
        numbers /= world()
    return numbers


def gather(thing: Any) -> list[Any]:
    """The things of all processes, in order of rank, in the first one; an empty list in others."""
    if world() == 1:
        return [thing]
    things: list[Any] = [None] * world()
    dist.gather_object(thing, things if rank() == 0 else None)
    return things if rank() == 0 else []


def wait() -> None:
    """Until all processes are here."""
    if world() > 1:
        dist.barrier()
