"""Matching: which object, if any, each anchor or proposal answers for.

Letters
    G  ground-truth objects
    A  anchors (or proposals)

Lesson: 05
"""

import torch
from torch import Tensor

from teachseg.checks import check_shape

IGNORE, BACKGROUND, OBJECT = -1, 0, 1


def match(iou: Tensor, positive: float, negative: float, force_best: bool) -> tuple[Tensor, Tensor]:
    """Sort anchors into objects, background and those that do not count.

    Args:
        iou: (G, A) overlap of each object with each anchor, in [0, 1].
        positive: at least this overlap makes an anchor an OBJECT.
        negative: less than this makes it BACKGROUND; what lies between is IGNOREd.
        force_best: no object goes without an anchor: those that overlap it most (ties: all of them)
            become OBJECT whatever their overlap, unless it is 0.  [Faster R-CNN, section 3.1.2 (i)]

    Returns:
        labels (A,) int64 in {IGNORE, BACKGROUND, OBJECT}, and matched (A,) int64, the object that
        each anchor overlaps most (0 where there are none). A forced anchor keeps its own closest
        object, which need not be the one that forced it, as in the released code.
    """
    check_shape(iou, "G A", "iou")
    if negative > positive:
        raise ValueError(
            f"negative={negative} is above positive={positive}: an anchor would be "
            "background and object at once. Lower negative or raise positive."
        )
    if len(iou) == 0:
        nothing = torch.full((iou.shape[1],), BACKGROUND, device=iou.device)
        return nothing, torch.zeros_like(nothing)
    best_iou, matched = iou.max(dim=0)
    labels = torch.full_like(matched, IGNORE)
    labels.masked_fill_(best_iou < negative, BACKGROUND)
    labels.masked_fill_(best_iou >= positive, OBJECT)
    if force_best and iou.shape[1]:
        highest = iou.max(dim=1, keepdim=True).values  # (G, 1)
        highest = highest.masked_fill(highest <= 0, torch.inf)  # equal to none
        labels.masked_fill_((iou == highest).any(dim=0), OBJECT)
    return labels, matched
