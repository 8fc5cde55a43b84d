"""Sampling: a loss looks at a few anchors or proposals, drawn by chance.

Letters
    A  anchors (or proposals)

Lesson: 05
"""

import torch
from torch import Tensor

from teachseg.geometry.matching import BACKGROUND, OBJECT


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
    on_cpu = labels.cpu()

    def draw(candidates: Tensor, most: int) -> Tensor:
        candidates = candidates.nonzero().flatten()
        return candidates[torch.randperm(len(candidates), generator=generator)[:most]]

    objects = draw(on_cpu >= OBJECT, int(size * object_share))
    drawn = torch.cat([objects, draw(on_cpu == BACKGROUND, size - len(objects))])
    return drawn.to(labels.device)
