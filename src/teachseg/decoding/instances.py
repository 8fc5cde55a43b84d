"""From the heads' answers to detections: class-wise boxes, suppression, masks in the image.

Letters
    R     rois of one image
    K     object classes; class 0 is background
    D     detections
    M     side of a mask crop, in bins
    H, W  height and width of the image, in pixels

Boxes are (x1, y1, x2, y2) in image pixels.

Lesson: 21
"""

from typing import NamedTuple

import torch
from torch import Tensor

from teachseg.geometry.boxes import clip_boxes, decode_boxes
from teachseg.geometry.masks import paste_masks, widen_as_torchvision
from teachseg.geometry.nms import fast_batched_nms

PASTE_PIXELS = 40_000_000  # float pixels that are pasted at once, so that memory stays bounded


class ScoredBoxes(NamedTuple):
    """Boxes of one image after suppression, best first."""

    boxes: Tensor  # (D, 4)
    labels: Tensor  # (D,) int64 in 1..K
    scores: Tensor  # (D,) in [0, 1]


def decode_detections(
    class_logits: Tensor,
    deltas: Tensor,
    proposals: Tensor,
    image_size: tuple[int, int],
    delta_weights: tuple[float, float, float, float],
    min_score: float,
    nms_iou: float,
    max_detections: int,
    min_side: float = 1e-2,
) -> ScoredBoxes:
    """Each roi may become one box a class; of those on the same spot the best of a class stays.
    [Mask R-CNN, section 3.1, inference]

    Args:
        class_logits: (R, K+1). deltas: (R, K+1, 4). proposals: (R, 4).
        min_score: less likely boxes are dropped. min_side: narrower ones too, pixels.
    """
    # 1. Every roi, moved as each class would have it; background says nothing.
    probs = class_logits.float().softmax(dim=1)[:, 1:]  # (R, K)
    boxes = decode_boxes(deltas.float()[:, 1:], proposals[:, None], delta_weights)  # (R, K, 4)

    # 2. Likely ones with an area.
    roi, column = (probs > min_score).nonzero(as_tuple=True)
    boxes, scores, labels = (
        clip_boxes(boxes[roi, column], image_size),
        probs[roi, column],
        column + 1,
    )
    good = ((boxes[:, 2:] - boxes[:, :2]) >= min_side).all(dim=1).nonzero().flatten()
    boxes, scores, labels = boxes[good], scores[good], labels[good]

    # 3. Of those of one class on the same spot, the best.
    keep = fast_batched_nms(boxes, scores, labels, nms_iou)[:max_detections]
    return ScoredBoxes(boxes[keep], labels[keep], scores[keep])


def paste_probs(
    crops: Tensor, boxes: Tensor, image_size: tuple[int, int], paste: str = "exact"
) -> Tensor:
    """Mask probabilities (D, M, M) of boxes (D, 4) -> (D, H, W) in [0, 1] over the image.

    Args:
        paste: "exact", or "torchvision", which widens by one bin and rounds to whole pixels.
    """
    if paste == "torchvision":
        crops, boxes = widen_as_torchvision(crops, boxes)
    return paste_masks(crops, boxes, image_size)


def paste_binary(
    crops: Tensor,
    boxes: Tensor,
    image_size: tuple[int, int],
    threshold: float,
    paste: str = "exact",
) -> Tensor:
    """As `paste_probs`, then (D, H, W) bool where at least `threshold`; a part at a time."""
    most = max(1, PASTE_PIXELS // max(image_size[0] * image_size[1], 1))
    parts = [
        paste_probs(c, b, image_size, paste) >= threshold
        for c, b in zip(crops.split(most), boxes.split(most))
    ]
    return (
        torch.cat(parts)
        if parts
        else torch.zeros(0, *image_size, dtype=torch.bool, device=boxes.device)
    )
