"""Non-maximum suppression: of boxes on the same spot, keep the best.

`nms` and `batched_nms` are the readable ones; `fast_nms` and `fast_batched_nms` are torchvision's
compiled ones with the same answer, which the models call.

Letters
    N  boxes

Lesson: 06
"""

import torch
from torch import Tensor
from torchvision import ops

from teachseg.checks import check_boxes
from teachseg.geometry.boxes import box_iou


def check_scored_boxes(boxes: Tensor, scores: Tensor, iou_threshold: float) -> None:
    """Raise ValueError unless there is one finite score a box, and a threshold in [0, 1]."""
    check_boxes(boxes)
    if scores.shape != (len(boxes),):
        raise ValueError(f"scores must be ({len(boxes)},), one a box, got {tuple(scores.shape)}.")
    if scores.isnan().any():
        raise ValueError(
            f"scores[{int(scores.isnan().nonzero()[0])}] is nan: boxes cannot be ordered "
            "by it. Look where the scores were made."
        )
    if not 0 <= iou_threshold <= 1:
        raise ValueError(f"iou_threshold must be in [0, 1], got {iou_threshold}.")


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Keep the best box, drop all that overlap it by more than the threshold, and again.

    Args:
        boxes: (N, 4) xyxy, pixels.
        scores: (N,) any real numbers; of equal ones the first in order goes first.
        iou_threshold: in [0, 1]; an overlap of exactly this much is kept.

    Returns:
        (kept,) int64 indices into `boxes`, best first.
    """
    check_scored_boxes(boxes, scores, iou_threshold)
    order = scores.argsort(descending=True, stable=True)
    kept = []
    while len(order):
        best, rest = order[0], order[1:]
        kept.append(best)
        order = rest[box_iou(boxes[best][None], boxes[rest])[0] <= iou_threshold]
    return torch.stack(kept) if kept else order


def batched_nms(boxes: Tensor, scores: Tensor, groups: Tensor, iou_threshold: float) -> Tensor:
    """`nms` within each group alone: boxes of different classes (or levels) do not compete.

    Args:
        boxes: (N, 4) xyxy. scores: (N,). groups: (N,) any integers.

    Returns:
        (kept,) int64 indices, best first over all groups.
    """
    check_scored_boxes(boxes, scores, iou_threshold)
    if groups.shape != scores.shape:
        raise ValueError(f"groups must be ({len(boxes)},), one a box, got {tuple(groups.shape)}.")
    kept = torch.zeros_like(scores, dtype=torch.bool)
    for group in groups.unique():
        members = (groups == group).nonzero().flatten()
        kept[members[nms(boxes[members], scores[members], iou_threshold)]] = True
    kept = kept.nonzero().flatten()
    return kept[scores[kept].argsort(descending=True, stable=True)]


def fast_nms(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """`nms`, compiled (torchvision.ops.nms).

    It compares with the threshold in float64: an overlap that equals the threshold up to float32
    rounding may be dropped here and kept there.
    """
    return ops.nms(boxes, scores, iou_threshold)


def fast_batched_nms(boxes: Tensor, scores: Tensor, groups: Tensor, iou_threshold: float) -> Tensor:
    """`batched_nms`, compiled (torchvision.ops.batched_nms)."""
    return ops.batched_nms(boxes, scores, groups, iou_threshold)
