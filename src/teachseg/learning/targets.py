"""What the networks are asked for: labels of anchors and rois, deltas, mask crops.

Targets see the ground truth and boxes, never a logit; losses see numbers, never a box.

Letters
    A  anchors of one image
    G  ground-truth objects of one image
    R  rois drawn from one image
    P  those of them that are positive
    M  side of a mask crop, in bins

Boxes are (x1, y1, x2, y2) in image pixels.

Lesson: 05 (anchors), 21 (rois and masks)
"""

from typing import NamedTuple

import torch
from torch import Tensor

from teachseg.geometry.boxes import box_iou, encode_boxes
from teachseg.geometry.masks import crop_masks
from teachseg.geometry.matching import OBJECT, match
from teachseg.geometry.sampling import sample
from teachseg.structures import Targets


class AnchorTargets(NamedTuple):
    """What the RPN should answer for one image."""

    drawn: Tensor  # (at most A,) int64, the anchors that its objectness loss looks at
    labels: Tensor  # (drawn,) float, 1 object, 0 background
    positive: Tensor  # (P,) int64, the anchors among them that are objects
    deltas: Tensor  # (P, 4), from each positive anchor to its object


def rpn_targets(
    anchors: Tensor,
    gt_boxes: Tensor,
    positive_iou: float,
    negative_iou: float,
    size: int,
    object_share: float,
    generator: torch.Generator,
) -> AnchorTargets:
    """Draw anchors of one image and say what each should answer.   [Faster R-CNN, section 3.1.2]

    Args:
        anchors: (A, 4). gt_boxes: (G, 4), G may be 0.
        positive_iou, negative_iou: see `geometry.matching.match`; the best anchor of each object is
            one whatever its overlap.
        size: anchors to draw; object_share: at most this share are objects.
    """
    labels, matched = match(box_iou(gt_boxes, anchors), positive_iou, negative_iou, force_best=True)
    drawn = sample(labels, size, object_share, generator)
    positive = drawn[labels[drawn] == OBJECT]
    deltas = encode_boxes(gt_boxes[matched[positive]], anchors[positive])
    return AnchorTargets(drawn, (labels[drawn] == OBJECT).float(), positive, deltas)


class RoiTargets(NamedTuple):
    """What the heads should answer for one image; positives come first."""

    boxes: Tensor  # (R, 4) the drawn rois
    labels: Tensor  # (R,) int64 in 0..K, 0 is background
    deltas: Tensor  # (P, 4) from each positive roi to its object, weighted
    crops: Tensor  # (P, M, M) in [0, 1], the object's mask inside the positive roi


def roi_targets(
    proposals: Tensor,
    targets: Targets,
    positive_iou: float,
    size: int,
    object_share: float,
    delta_weights: tuple[float, float, float, float],
    mask_size: int,
    generator: torch.Generator,
    mask_frame: tuple[float, float] = (1.0, 1.0),
) -> RoiTargets:
    """Draw rois of one image and say what each should answer.   [Mask R-CNN, section 3.1]

    The objects' own boxes are added to the proposals, so that an early RPN which finds nothing does
    not leave the heads without examples.

    Args:
        proposals: (P, 4), no gradient; those without area are dropped.
        positive_iou: a roi that overlaps an object this much answers for it; others are background.
        mask_size: M. The mask target is what the roi (not the object's box) holds of the mask.
        mask_frame: (right, down) mask pixels per box pixel, where boxes are in a resized image and
            the masks are not: so no mask has to be resized.
    """
    boxes = torch.cat([proposals, targets.boxes.to(proposals.dtype)])
    boxes = boxes[((boxes[:, 2:] - boxes[:, :2]) > 0).all(dim=1)]
    labels, matched = match(
        box_iou(targets.boxes, boxes), positive_iou, positive_iou, force_best=False
    )
    drawn = sample(labels, size, object_share, generator)
    boxes, labels, matched = boxes[drawn], labels[drawn], matched[drawn]

    num_positive = int((labels == OBJECT).sum())
    boxes_p, matched_p = boxes[:num_positive], matched[:num_positive]
    classes = torch.zeros_like(labels)
    classes[:num_positive] = targets.labels[matched_p]
    deltas = encode_boxes(targets.boxes[matched_p], boxes_p, delta_weights)
    in_masks = boxes_p * boxes_p.new_tensor(mask_frame * 2)
    crops = crop_masks(targets.masks, in_masks, mask_size, index=matched_p)
    return RoiTargets(boxes, classes, deltas, crops)
