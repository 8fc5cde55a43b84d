"""Mask voting: of boxes on the same spot the best stays, and the masks of all of them are averaged.

Suppression alone would throw away what the other boxes say about the object's outline. MNC lets
them vote: the mask of a detection is the mean of the masks of all similar boxes, weighted by how
much each believes in the class.

Letters
    N     instances that the network proposes in one image: box, mask, scores
    K     object classes; class 0 is background
    D     detections
    M     side of a mask crop, in bins
    H, W  height and width of the image, in pixels

Boxes are (x1, y1, x2, y2) in image pixels. Source: MNC, section 4; where the released code says
something else (lib/transform/mask_transform.py), both are here by name.

Lesson: 13
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from teachseg.checks import check_boxes, check_shape, reads_values
from teachseg.geometry.boxes import box_iou, constant
from teachseg.geometry.masks import masks_to_boxes, paste_masks
from teachseg.geometry.nms import fast_nms
from teachseg.structures import Detections

SIMILAR = ("all", "suppressed")
AVERAGES = ("probabilities", "binary")
TILE = 64  # side of the square in which masks are averaged, pixels; bounds the memory


class Votes(NamedTuple):
    """Which boxes stay, best first, and which boxes vote for the mask of each."""

    kept: Tensor  # (D,) int64, index of the box that stays; twice where it stays for two classes
    labels: Tensor  # (D,) int64 in 1..K
    scores: Tensor  # (D,) float32 in [0, 1], falling: the kept box's own
    weights: Tensor  # (D, N) float32, each row sums to 1; 0 where a box has no vote


def check_share(value: float, name: str, above: float = -1.0) -> None:
    """Raise ValueError unless `value` is in [0, 1], and greater than `above`."""
    if not (0 <= value <= 1 and value > above):
        raise ValueError(f"{name} must be in {'(' if above == 0 else '['}0, 1], got {value}.")


def check_choice(value: str, name: str, known: tuple[str, ...]) -> None:
    """Raise ValueError unless `value` is one of those that are known."""
    if value not in known:
        raise ValueError(f"{name} must be {' or '.join(map(repr, known))}, got {value!r}.")


def check_probs(probs: Tensor, name: str, mend: str) -> None:
    """Raise ValueError where a value is no probability: nan, below 0 or above 1."""
    if not reads_values(probs) or probs.numel() == 0:
        return  # as in checks: no waiting for an accelerator
    low, high = (float(end) for end in probs.detach().aminmax())
    if not (low >= 0 and high <= 1 + 1e-3):  # nan is on no side of anything
        raise ValueError(
            f"{name} must be in [0, 1], their values run from {low:.3g} to {high:.3g}. {mend}"
        )


def check_scores(scores: Tensor, boxes: Tensor) -> None:
    """Raise ValueError unless there are K+1 probabilities a box, K at least 1."""
    check_shape(scores, "N K+1", "scores")
    if len(scores) != len(boxes):
        raise ValueError(
            f"There are {len(scores)} rows of scores for {len(boxes)} boxes: one each is needed."
        )
    if scores.shape[1] < 2:
        raise ValueError(
            f"scores must have K+1 columns, background first, got {scores.shape[1]}: "
            "at least one object class is needed beside background."
        )
    check_probs(scores, "scores", "Logits become scores by class_logits.softmax(dim=1).")


def keep_by_class(boxes: Tensor, scores: Tensor, nms_iou: float = 0.3) -> Tensor:
    """Suppression in each class, where every box is a candidate for every class.

    A box stays for a class unless it overlaps one that stays for it and scores higher by more than
    the threshold. A box without area, or with a score of 0, stays for no class.

    Args:
        boxes: (N, 4). scores: (N, K+1) in [0, 1].
        nms_iou: in [0, 1]; 0.3 in MNC, section 4, and in the released code.

    Returns:
        (N, K+1) bool, whether a box stays for a class; column 0, background, is False.
    """
    kept = torch.zeros_like(scores, dtype=torch.bool)
    with_area = (boxes[:, 2:] > boxes[:, :2]).all(dim=1)
    for label in range(1, scores.shape[1]):
        candidates = (with_area & (scores[:, label] > 0)).nonzero().flatten()
        best = fast_nms(boxes[candidates], scores[candidates, label], nms_iou)
        kept[candidates[best], label] = True
    return kept


def best_of_all(
    kept: Tensor, scores: Tensor, max_detections: int = 100, min_score: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Of all that stay for some class, those that score highest: one bar for all classes.

    The released code first cuts each class to `max_detections`, which changes nothing: no class
    can have more among the best of all. Of equal scores at the bar it keeps all, and so may keep
    more than `max_detections`.

    Args:
        kept: (N, K+1) bool, from `keep_by_class`. scores: (N, K+1).
        min_score: a score of at most this much is dropped.

    Returns:
        (D,) int64 indices of boxes and (D,) int64 labels in 1..K, best first; of equal scores the
        earlier box, then the lower label, goes first.
    """
    rows, labels = (kept & (scores > min_score)).nonzero(as_tuple=True)
    order = scores[rows, labels].argsort(descending=True, stable=True)[:max_detections]
    return rows[order], labels[order]


def similar_boxes(
    boxes: Tensor,
    rows: Tensor,
    labels: Tensor,
    kept: Tensor,
    merge_iou: float = 0.5,
    similar: str = "all",
) -> Tensor:
    """Which boxes vote for the mask of which detection; a kept box always votes for itself.

    Where nms_iou < merge_iou, as in MNC, both ways agree: whatever overlaps a kept box by
    `merge_iou` cannot have stayed beside it. They part when suppression is more lenient than
    merging.

    Args:
        boxes: (N, 4).
        rows, labels: (D,) box and class of each detection. kept: (N, K+1) bool.
        merge_iou: in [0, 1]; an overlap of exactly this much counts.   [section 4, IoU >= 0.5]
        similar: "all": every box that overlaps this much, as in the released code; "suppressed":
            only those that do not stay for the detection's class themselves, as in section 4.

    Returns:
        (D, N) bool.
    """
    votes = box_iou(boxes[rows], boxes) >= merge_iou
    if similar == "suppressed":
        votes &= ~kept[:, labels].T
    votes[torch.arange(len(rows), device=rows.device), rows] = True
    return votes


def vote_weights(similar: Tensor, scores: Tensor, labels: Tensor) -> Tensor:
    """How much each vote counts: the voter's own score for the detection's class, shared out.

    A voter that looks more like another class still votes, with what it gives to this one.

    Args:
        similar: (D, N) bool. scores: (N, K+1). labels: (D,) in 1..K.

    Returns:
        (D, N) float32; each row sums to 1, or is 0 where all voters score 0.
    """
    shares = scores.float().T[labels] * similar  # (D, N)
    total = shares.sum(dim=1, keepdim=True)
    return torch.where(total > 0, shares / total, 0)


def cast_votes(
    boxes: Tensor,
    scores: Tensor,
    nms_iou: float = 0.3,
    merge_iou: float = 0.5,
    max_detections: int = 100,
    similar: str = "all",
    min_score: float = 0.0,
) -> Votes:
    """Everything about voting that needs no mask: which boxes stay, and who votes for each.

    Args:
        boxes: (N, 4). scores: (N, K+1) in [0, 1]. The others as for `mask_voting`.

    Raises:
        ValueError: shapes that do not belong together, values outside their range.

    >>> boxes = torch.tensor([[0., 0., 4., 4.], [0., 0., 4., 3.]])  # IoU 12 / 16
    >>> cast_votes(boxes, torch.tensor([[0.25, 0.75], [0.75, 0.25]])).weights
    tensor([[0.7500, 0.2500]])
    """
    check_boxes(boxes)
    check_scores(scores, boxes)
    check_share(nms_iou, "nms_iou")
    check_share(merge_iou, "merge_iou")
    check_share(min_score, "min_score")
    check_choice(similar, "similar", SIMILAR)
    if max_detections < 1:
        raise ValueError(f"max_detections must be at least 1, got {max_detections}.")
    boxes, scores = boxes.float(), scores.float()
    kept = keep_by_class(boxes, scores, nms_iou)
    rows, labels = best_of_all(kept, scores, max_detections, min_score)
    voters = similar_boxes(boxes, rows, labels, kept, merge_iou, similar)
    return Votes(rows, labels, scores[rows, labels], vote_weights(voters, scores, labels))


def check_image_size(image_size: tuple[int, int]) -> None:
    """Raise ValueError unless `image_size` is (height, width), whole pixels, at least 1 x 1."""
    pair = isinstance(image_size, tuple | list) and len(image_size) == 2
    if not pair or any(side != int(side) or side < 1 for side in image_size):
        raise ValueError(
            f"image_size must be (height, width) in whole pixels, got {image_size}. "
            "Of an image (3, H, W) it is image.shape[1:]."
        )


def check_ballots(boxes: Tensor, crops: Tensor, weights: Tensor) -> None:
    """Raise ValueError unless there is one square crop and one column of weights a box."""
    check_boxes(boxes)
    check_shape(crops, "N M M", "crops")
    check_shape(weights, "D N", "weights")
    if crops.shape[1] != crops.shape[2] or crops.shape[1] == 0:
        raise ValueError(f"crops must be (N, M, M), square, got {tuple(crops.shape)}.")
    if not len(crops) == len(boxes) == weights.shape[1]:
        raise ValueError(
            f"There are {len(crops)} crops and {weights.shape[1]} columns of weights for "
            f"{len(boxes)} boxes: one each is needed."
        )
    check_probs(crops, "crops", "Logits become probabilities by mask_logits.sigmoid().")


def image_tiles(image_size: tuple[int, int], side: int) -> Iterator[tuple[int, int, int, int]]:
    """Squares of at most `side` pixels that make up the image, as (top, left, bottom, right)."""
    height, width = image_size
    for top in range(0, height, side):
        for left in range(0, width, side):
            yield top, left, min(top + side, height), min(left + side, width)


def average_tiles(
    boxes: Tensor,
    crops: Tensor,
    weights: Tensor,
    image_size: tuple[int, int],
    average: str = "probabilities",
    binarize: float = 0.4,
) -> Iterator[tuple[tuple[Tensor, slice, slice], Tensor]]:
    """The averages of `average_masks`, a tile at a time; tiles without a voter are left out.

    In each tile only the voters that reach into it are pasted, once for all detections that they
    vote for, so that the N masks of a large image never stand in memory together.

    Yields:
        where in (D, H, W) the tile belongs, as an index; (d, h, w) its values.
    """
    check_ballots(boxes, crops, weights)
    check_choice(average, "average", AVERAGES)
    check_share(binarize, "binarize", above=0)
    voters = (weights > 0).any(dim=0).nonzero().flatten()
    boxes, crops, weights = boxes[voters].float(), crops[voters].float(), weights[:, voters].float()
    for top, left, bottom, right in image_tiles(image_size, TILE):
        # 1. Who has something to say about this tile, and for which detections.
        tile = constant((left, top, right, bottom), boxes)
        reaches = (boxes[:, :2] < tile[2:]).all(dim=1) & (boxes[:, 2:] > tile[:2]).all(dim=1)
        here = reaches.nonzero().flatten()
        rows = (weights[:, here] > 0).any(dim=1).nonzero().flatten()
        if len(rows) == 0:
            continue

        # 2. Their masks, in the tile's frame.
        size = (bottom - top, right - left)
        pasted = paste_masks(crops[here], boxes[here] - tile[:2].repeat(2), size)
        if average == "binary":
            pasted = (pasted >= binarize).float()

        # 3. The weighted mean. Voters elsewhere say 0 here; their weight still counts.
        mean = weights[rows][:, here] @ pasted.flatten(1)
        yield (rows, slice(top, bottom), slice(left, right)), mean.view(-1, *size)


def average_masks(
    boxes: Tensor,
    crops: Tensor,
    weights: Tensor,
    image_size: tuple[int, int],
    average: str = "probabilities",
    binarize: float = 0.4,
) -> Tensor:
    """The weighted mean of the voters' masks in the image, before any threshold.

    Args:
        boxes: (N, 4). crops: (N, M, M) in [0, 1].
        weights: (D, N), each row summing to 1: `Votes.weights`.
        image_size: (H, W).
        average: "probabilities": masks as they are, as in the released code on a GPU; "binary":
            each cut at `binarize` before, as in the released code on a CPU (which also rounds the
            boxes). The paper leaves this open.

    Returns:
        (D, H, W) float32 in [0, 1].
    """
    check_image_size(image_size)
    averages = torch.zeros(len(weights), *image_size, device=boxes.device)
    for where, part in average_tiles(boxes, crops, weights, image_size, average, binarize):
        averages[where] = part.to(averages.dtype)
    return averages


def voted_masks(
    boxes: Tensor,
    crops: Tensor,
    weights: Tensor,
    image_size: tuple[int, int],
    average: str = "probabilities",
    binarize: float = 0.4,
) -> Tensor:
    """`average_masks` >= `binarize`, (D, H, W) bool; only a tile's averages exist at a time."""
    check_image_size(image_size)
    masks = torch.zeros(len(weights), *image_size, dtype=torch.bool, device=boxes.device)
    for where, part in average_tiles(boxes, crops, weights, image_size, average, binarize):
        masks[where] = part >= binarize
    return masks


def mask_voting(
    boxes: Tensor,
    crops: Tensor,
    scores: Tensor,
    image_size: tuple[int, int],
    nms_iou: float = 0.3,
    merge_iou: float = 0.5,
    binarize: float = 0.4,
    max_detections: int = 100,
    *,
    similar: str = "all",
    average: str = "probabilities",
    min_score: float = 0.0,
) -> Detections:
    """All instances of one image -> detections whose masks similar boxes have voted for.

    Where the voters agree on no pixel there is no detection. (The released code puts a box of one
    pixel in the middle of the image.) A detection keeps its score; its box is the mask's. The
    released code squeezes each average back to M x M; here it is cut at its full size.

    Args:
        boxes: (N, 4). crops: (N, M, M) mask probabilities in [0, 1].
        scores: (N, K+1) in [0, 1], background first; rows need not sum to 1.
        image_size: (H, W).
        nms_iou: a box overlapping a better one of its class by more is suppressed.   [section 4]
        merge_iou: boxes overlapping a kept one by at least this much vote for it.    [section 4]
        binarize: an average of at least this is object, in (0, 1]. The paper names no number; 0.4
            is the released code's.
        max_detections: of all classes together.                             [the released code]
        similar: "all" or "suppressed", see `similar_boxes`.
        average: "probabilities" or "binary", see `average_masks`.
        min_score: detections that score at most this are not made, which saves their time; all
            others are what they were.

    Returns:
        at most `max_detections`, best first; one box may be there for several classes.

    Raises:
        ValueError: shapes that do not belong together, values outside their range.
    """
    votes = cast_votes(boxes, scores, nms_iou, merge_iou, max_detections, similar, min_score)
    masks = voted_masks(boxes, crops, votes.weights, image_size, average, binarize)
    tight = masks_to_boxes(masks)
    found = tight[:, 2] > tight[:, 0]
    return Detections(tight[found], votes.labels[found], votes.scores[found], masks[found])
