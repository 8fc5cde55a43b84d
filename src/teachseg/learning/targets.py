"""What the networks are asked for: labels of anchors and rois, deltas, mask crops.

Targets see the ground truth and boxes, never a logit; losses see numbers, never a box.

Letters
    A  anchors of one image
    G  ground-truth objects of one image
    R  rois drawn from one image
    P  those of them that are positive
    M  side of a mask crop, in bins
    h, w  height and width of a feature map, in cells
    D, S, T  length of an embedding, points drawn from a map, thresholds tau

Boxes are (x1, y1, x2, y2) in image pixels.

Lesson: 05 (anchors), 11, 12 (MNC's stages), 21 (rois and masks), 30, 31 (cells, seeds)
"""

from typing import NamedTuple

import torch
from torch import Tensor

from teachseg.geometry.boxes import box_iou, covered_share, encode_boxes, stretch
from teachseg.geometry.masks import cell_shares, crop_masks, paste_masks
from teachseg.geometry.matching import BACKGROUND, IGNORE, OBJECT, match
from teachseg.geometry.sampling import sample, sample_counted
from teachseg.geometry.similarity import distance_at, distances_to
from teachseg.structures import Targets, crowd_of

CROWD_SHARE = 0.7  # what lies in a crowd region this much does not count [Detectron]


def in_crowd(boxes: Tensor, crowd: Tensor) -> Tensor:
    """(A, 4) boxes, taken as numbers, (C, 4) regions of many objects -> (A,) bool."""
    return covered_share(boxes.detach(), crowd.to(boxes.dtype)) >= CROWD_SHARE


def spare_crowd(labels: Tensor, boxes: Tensor, crowd: Tensor | None) -> Tensor:
    """(A,) labels where background that lies in a crowd is IGNOREd: who knows what it is?

    Args:
        boxes: (A, 4), taken as numbers. crowd: (C, 4) boxes of regions of many objects; or None.
    """
    if crowd is None or len(crowd) == 0:
        return labels
    return labels.masked_fill(in_crowd(boxes, crowd) & (labels == BACKGROUND), IGNORE)


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
    counts: Tensor | None = None,
    crowd: Tensor | None = None,
) -> AnchorTargets:
    """Draw anchors of one image and say what each should answer.   [Faster R-CNN, section 3.1.2]

    Args:
        anchors: (A, 4). gt_boxes: (G, 4), G may be 0.
        positive_iou, negative_iou: see `geometry.matching.match`; the best anchor of each object is
            one whatever its overlap.
        size: anchors to draw; object_share: at most this share are objects.
        counts: (A,) bool, anchors that may be drawn and may be an object's best; None: all. "We
            ignore all cross-boundary anchors."   [Faster R-CNN, section 3.3]
        crowd: (C, 4) boxes of crowd regions: anchors in them are no background.
    """
    iou = box_iou(gt_boxes, anchors)
    if counts is not None:
        iou = iou.masked_fill(~counts, 0)
    labels, matched = match(iou, positive_iou, negative_iou, force_best=True)
    if counts is not None:
        labels = labels.masked_fill(~counts, IGNORE)
    labels = spare_crowd(labels, anchors, crowd)
    drawn, objects = sample_counted(labels, size, object_share, generator)
    positive = drawn[:objects]
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
        proposals: (P, 4), no gradient; those without area do not count.
        targets: what lies in their crowd regions is no background.
        positive_iou: a roi that overlaps an object this much answers for it; others are background.
        mask_size: M. The mask target is what the roi (not the object's box) holds of the mask.
        mask_frame: (right, down) mask pixels per box pixel, where boxes are in a resized image and
            the masks are not: so no mask has to be resized.
    """
    boxes = torch.cat([proposals, targets.boxes.to(proposals.dtype)])
    flat = ~((boxes[:, 2:] - boxes[:, :2]) > 0).all(dim=1)
    labels, matched = match(
        box_iou(targets.boxes, boxes), positive_iou, positive_iou, force_best=False
    )
    labels = spare_crowd(labels, boxes, crowd_of(targets).boxes).masked_fill(flat, IGNORE)
    drawn, num_positive = sample_counted(labels, size, object_share, generator)
    boxes, labels, matched = boxes[drawn], labels[drawn], matched[drawn]

    boxes_p, matched_p = boxes[:num_positive], matched[:num_positive]
    classes = torch.zeros_like(labels)
    classes[:num_positive] = targets.labels[matched_p]
    deltas = encode_boxes(targets.boxes[matched_p], boxes_p, delta_weights)
    in_masks = stretch(boxes_p, *mask_frame)
    crops = crop_masks(targets.masks, in_masks, mask_size, index=matched_p)
    return RoiTargets(boxes, classes, deltas, crops)


# ------------------------------------------------------------------ MNC's cascade (lessons 12, 13)


def mix_anchor_targets(
    target: AnchorTargets, anchors: Tensor, gt_boxes: Tensor, objects: Tensor, background: Tensor
) -> AnchorTargets:
    """Let the anchors behind the drawn rois count as well, with the labels that their rois have.
    [MNC's released code, MIX_INDEX]

    Args:
        anchors: (A, 4). gt_boxes: (G, 4).
        objects, background: int64 indices of anchors whose rois were drawn as such.
    """
    labels = torch.full((len(anchors),), IGNORE, device=anchors.device)
    labels[target.drawn] = target.labels.long()
    labels[background], labels[objects] = BACKGROUND, OBJECT
    drawn, positive = (labels != IGNORE).nonzero().flatten(), (labels == OBJECT).nonzero().flatten()
    if len(gt_boxes) == 0:
        return AnchorTargets(drawn, (labels[drawn] == OBJECT).float(), positive, anchors[positive])
    matched = box_iou(gt_boxes, anchors[positive]).argmax(dim=0)
    deltas = encode_boxes(gt_boxes[matched], anchors[positive])
    return AnchorTargets(drawn, (labels[drawn] == OBJECT).float(), positive, deltas)


class BoxLabels(NamedTuple):
    """Which object each box of one image answers for."""

    labels: Tensor  # (R,) int64 in 0..K, 0 is background
    matched: Tensor  # (R,) int64, the object that it overlaps most; 0 where there is none
    overlap: Tensor  # (R,) their IoU


def label_boxes(boxes: Tensor, targets: Targets, positive_iou: float) -> BoxLabels:
    """A box that overlaps an object this much has its class; others are background.

    Args:
        boxes: (R, 4), may be without area. targets: of the same frame, may hold no object.
    """
    boxes = boxes.detach()
    if len(targets.boxes) == 0:
        none = torch.zeros(len(boxes), dtype=torch.int64, device=boxes.device)
        return BoxLabels(none, none, boxes.new_zeros(len(boxes)))
    overlap, matched = box_iou(targets.boxes.to(boxes.dtype), boxes).max(dim=0)
    labels = torch.where(overlap >= positive_iou, targets.labels[matched], 0)
    return BoxLabels(labels, matched, overlap)


def sample_boxes(
    found: BoxLabels,
    size: int,
    object_share: float,
    generator: torch.Generator,
    hard_share: float | None = None,
    hard_iou: float = 0.1,
) -> Tensor:
    """Indices of at most `size` boxes, objects first.

    Args:
        object_share: at most this share of `size` are objects.
        hard_share: of the rest, this share touches an object by at least `hard_iou`, and the others
            by less  [MNC's released code, BG_FRACTION]; None: as they come.
    """
    is_object = found.labels > 0
    kinds = torch.where(is_object, OBJECT, BACKGROUND)
    if hard_share is None:
        return sample(kinds, size, object_share, generator)
    objects = sample(torch.where(is_object, OBJECT, IGNORE), size, object_share, generator)
    left = size - len(objects)
    near = ~is_object & (found.overlap >= hard_iou)
    far = ~is_object & (found.overlap < hard_iou)
    hard = sample(torch.where(near, OBJECT, IGNORE), round(left * hard_share), 1.0, generator)
    easy = sample(torch.where(far, OBJECT, IGNORE), left - len(hard), 1.0, generator)
    return torch.cat([objects, hard, easy])


class StageTargets(NamedTuple):
    """What a mask stage and the category stage after it should answer for one image."""

    labels: Tensor  # (R,) int64 in 0..K, by box overlap
    matched: Tensor  # (R,) int64, each box's object
    deltas: Tensor  # (P, 4) from each positive box to its object, weighted
    crops: Tensor  # (P, M, M) 0. or 1., the object's mask inside the positive box


def stage_targets(
    boxes: Tensor,
    targets: Targets,
    positive_iou: float,
    delta_weights: tuple[float, float, float, float],
    mask_size: int,
    binarize: float,
    mask_frame: tuple[float, float] = (1.0, 1.0),
) -> StageTargets:
    """Say what MNC's stages should answer for the boxes that they are given.  [MNC, sections 3.2-3]

    Args:
        boxes: (R, 4); taken as numbers, no gradient passes into a target.
        binarize: a mask bin is object where the object covers at least this share of it.
        mask_frame: (right, down) mask pixels per box pixel, as in `roi_targets`.
    """
    boxes = boxes.detach()
    labels, matched, _ = label_boxes(boxes, targets, positive_iou)
    positive = (labels > 0).nonzero().flatten()
    own, boxes_p = matched[positive], boxes[positive]
    deltas = encode_boxes(targets.boxes[own].to(boxes.dtype), boxes_p, delta_weights)
    in_masks = stretch(boxes_p, *mask_frame)
    crops = crop_masks(targets.masks, in_masks, mask_size, index=own)
    return StageTargets(labels, matched, deltas, (crops >= binarize).to(boxes.dtype))


def mask_level_labels(
    crops: Tensor,
    boxes: Tensor,
    asked: StageTargets,
    masks: Tensor,
    binarize: float,
    positive_iou: float,
    mask_frame: tuple[float, float] = (1.0, 1.0),
) -> Tensor:
    """The class of each box whose predicted *mask*, too, overlaps its object; others: background.
    [MNC's released code, MaskLayer]

    Each predicted mask is pasted over its box, cut at the threshold and compared with its object's
    mask pixel by pixel: what the object has outside of the box counts in the union.

    Args:
        crops: (P, M, M) in [0, 1], predicted masks of the positive boxes; taken as numbers.
        boxes: (R, 4) all boxes. asked: their targets. masks: (G, H, W) bool, of the whole image.

    Returns:
        (R,) int64 in 0..K; never a class where the box's own label is background.
    """
    positive = (asked.labels > 0).nonzero().flatten()
    in_masks = stretch(boxes.detach()[positive], *mask_frame)
    predicted = paste_masks(crops.detach(), in_masks, tuple(masks.shape[1:])) >= binarize
    real = masks[asked.matched[positive]]
    common, union = (predicted & real).sum(dim=(1, 2)), (predicted | real).sum(dim=(1, 2))
    good = common >= positive_iou * union.clamp(min=1)
    labels = torch.zeros_like(asked.labels)
    labels[positive] = torch.where(good, asked.labels[positive], 0)
    return labels


# ------------------------------------------------------------ deep metric learning (lessons 30, 31)


def instance_map(
    masks: Tensor, map_size: tuple[int, int], cell: tuple[float, float],
    crowd: Tensor | None = None,
) -> Tensor:
    """To which object each cell of a feature map belongs: the one that covers most of it.

    Args:
        masks: (G, H, W) bool, G may be 0.
        map_size: (h, w) cells. cell: its (height, width) in mask pixels.
        crowd: (C, H, W) bool, regions of many objects; or None.

    Returns:
        (h, w) int64: g + 1 for object g, BACKGROUND (0) where nothing covers more of the cell than
        no object does, IGNORE (-1) where less than half of the cell lies in the image, and where no
        object has the cell and crowd covers half of it. Where an
        object and background cover as much, the object has it; of two objects the first.
    """
    shares, inside = cell_shares(masks, map_size, cell)
    nothing = torch.full(map_size, BACKGROUND, device=masks.device)
    outside = inside < 0.5
    if crowd is not None and len(crowd):
        covered = cell_shares(crowd.any(dim=0, keepdim=True), map_size, cell)[0][0]
        nothing = nothing.masked_fill(covered >= 0.5, IGNORE)
    if len(masks) == 0:
        return nothing.masked_fill(outside, IGNORE)
    best, who = shares.max(dim=0)
    background = (inside - shares.sum(dim=0)).clamp(min=1e-6)
    found = torch.where(best >= background, who + 1, nothing)
    return found.masked_fill(outside, IGNORE)


def seed_labels(
    embeddings: Tensor,
    points: Tensor,
    instances: Tensor,
    labels: Tensor,
    taus: tuple[float, ...],
    positive_iou: float = 0.5,
) -> Tensor:
    """The class of the mask that each point would grow now, at each tau; 0: of none.
    [deep metric learning paper: a seed is good if its mask fits an object]

    The masks are grown from the embeddings as they are at this step, and compared with every object
    of the image, cell by cell. No gradient passes. At most D points are looked at at once, so that
    no stack of masks is larger than the embeddings themselves.

    Args:
        embeddings: (D, h, w). points: (S,) int64, cells counted row by row.
        instances: (h, w) int64 as from `instance_map`. labels: (G,) int64 in 1..K.
        taus: T thresholds in (0, 1].
        positive_iou: a mask that overlaps an object this much has its class.

    Returns:
        (T, S) int64 in 0..K.
    """
    found = torch.zeros(len(taus), len(points), dtype=torch.int64, device=embeddings.device)
    if len(labels) == 0 or len(points) == 0:
        return found
    pixels, flat = embeddings.detach().flatten(1), instances.flatten()
    numbers = torch.arange(1, len(labels) + 1, device=flat.device)
    objects = (flat[:, None] == numbers).float()  # (h * w, G)
    sizes, in_image = objects.sum(dim=0), (flat != IGNORE).float()
    for first in range(0, len(points), len(embeddings)):
        part = slice(first, first + len(embeddings))
        distances = distances_to(pixels, pixels[:, points[part]].T)  # (part, h * w)
        for row, tau in zip(found, taus):
            grown = (distances <= distance_at(tau)).float()
            common = grown @ objects  # (part, G)
            union = (grown @ in_image)[:, None] + sizes - common
            iou, who = (common / union.clamp(min=1)).max(dim=1)
            row[part] = torch.where(iou >= positive_iou, labels[who], 0)
    return found
