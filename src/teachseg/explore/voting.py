"""Who votes for a mask, how much each vote counts, and what they agree on.

Letters
    N     instances of one image: box, mask, scores
    V     those among them that vote
    H, W  height and width of the image, in pixels

Boxes are (x1, y1, x2, y2) in image pixels.

Lesson: 13
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import NamedTuple

import torch
from ipywidgets import Dropdown, FloatSlider
from torch import Tensor

from teachseg.checks import check_image, check_shape
from teachseg.decoding.voting import (
    AVERAGES,
    best_of_all,
    keep_by_class,
    similar_boxes,
    vote_weights,
)
from teachseg.explore import svg
from teachseg.explore.explorer import Explorer, Frame
from teachseg.geometry.boxes import box_iou
from teachseg.geometry.masks import mask_iou, paste_masks
from teachseg.structures import Targets

NMS_IOU = 0.3     # MNC, section 4
PANEL = 192       # width of one picture
SMALL = 88        # and of a voter's
MOST_SHOWN = 7    # voters drawn one by one
GAP, TITLE = 16, 24


class Result(NamedTuple):
    """What the voters make of one detection."""

    row: int         # the box that stays
    voters: Tensor   # (V,) int64, the heaviest vote first
    weights: Tensor  # (V,), sum 1
    mean: Tensor     # (H, W) in [0, 1]
    mask: Tensor     # (H, W) bool
    iou: float       # with the object
    own_iou: float   # of the kept box's own mask


@dataclass(frozen=True, eq=False)
class Ballot:
    """One image, what is there, and all that its boxes say of it.

    Args:
        image: (3, H, W) in [0, 1].
        boxes: (N, 4). crops: (N, M, M) in [0, 1]. scores: (N, K+1): `papers.mnc.Instances`.
    """

    image: Tensor
    targets: Targets
    boxes: Tensor
    crops: Tensor
    scores: Tensor

    def __post_init__(self):
        check_image(self.image)
        check_shape(self.crops, "N M M", "crops")
        if not len(self.boxes) == len(self.crops) == len(self.scores):
            raise ValueError(f"There are {len(self.crops)} crops and {len(self.scores)} rows of "
                             f"scores for {len(self.boxes)} boxes: one each is needed.")
        if len(self.targets.labels) == 0 or len(self.kept[0]) == 0:
            raise ValueError(f"A vote needs an object and a detection, got "
                             f"{len(self.targets.labels)} objects and {len(self.kept[0])} "
                             "detections. Take another scene.")

    @cached_property
    def stays(self) -> Tensor:
        """(N, K+1) bool, whether a box stays for a class."""
        return keep_by_class(self.boxes, self.scores, NMS_IOU)

    @cached_property
    def kept(self) -> tuple[Tensor, Tensor]:
        """(D,) boxes and (D,) labels of the detections, best first."""
        return best_of_all(self.stays, self.scores)

    @cached_property
    def pasted(self) -> Tensor:
        """(N, H, W) each box's mask in the image, made once."""
        return paste_masks(self.crops, self.boxes, tuple(self.image.shape[1:]))

    @cached_property
    def uri(self) -> str:
        """The image as a data: address."""
        return svg.image_uri(self.image)

    @cached_property
    def small(self) -> dict[int, str]:
        """Voters' masks as data: addresses; filled as they are drawn."""
        return {}

    def detection(self, target: int) -> tuple[int, int]:
        """Box and label of the detection that answers for an object: of its class, and closest to
        it; of any class where none has its."""
        rows, labels = self.kept
        overlap = box_iou(self.boxes[rows], self.targets.boxes[[target]])[:, 0]
        best = int((overlap + 2 * (labels == self.targets.labels[target])).argmax())
        return int(rows[best]), int(labels[best])


def vote(ballot: Ballot, target: int, merge_iou: float, binarize: float, average: str) -> Result:
    """The vote for the detection that answers for an object; as `decoding.voting.mask_voting`."""
    row, label = ballot.detection(target)
    rows, labels = torch.tensor([row]), torch.tensor([label])
    similar = similar_boxes(ballot.boxes, rows, labels, ballot.stays, merge_iou)
    weights = vote_weights(similar, ballot.scores, labels)[0]
    voters = weights.argsort(descending=True, stable=True)[: int((weights > 0).sum())]
    masks = ballot.pasted[voters]
    if average == "binary":
        masks = (masks >= binarize).float()
    mean = torch.einsum("v,vhw->hw", weights[voters], masks)
    found = torch.stack([mean, ballot.pasted[row]]) >= binarize
    ious = mask_iou(found, ballot.targets.masks[[target]])[:, 0].tolist()
    return Result(row, voters, weights[voters], mean, found[0], *ious)


def check_state(
    ballot: Ballot, target: int, merge_iou: float, binarize: float, average: str
) -> None:
    """ValueError with a sentence that helps, unless this can be drawn."""
    if not 0 <= target < len(ballot.targets.labels):
        raise ValueError(f"object must be in 0..{len(ballot.targets.labels) - 1}, got {target}.")
    if not 0 <= merge_iou <= 1:
        raise ValueError(f"merge_iou must be in 0..1, got {svg.number(merge_iou)}.")
    if not 0 < binarize <= 1:
        raise ValueError(f"binarize must be above 0 and at most 1, got {svg.number(binarize)}: "
                         "from 0 on every pixel would be the object's.")
    if average not in AVERAGES:
        raise ValueError(f"average must be {' or '.join(map(repr, AVERAGES))}, got {average!r}.")


def voting_frame(
    ballot: Ballot, names: Sequence[str], target: int, merge_iou: float, binarize: float,
    average: str = "probabilities",
) -> Frame:
    """The voters' boxes, the weighted mean of their masks, and the mask that it becomes.

    Args:
        names: of classes 1..K.
        target: which object. merge_iou, binarize, average: as for `mask_voting`.
    """
    check_state(ballot, target, merge_iou, binarize, average)
    result = vote(ballot, target, merge_iou, binarize, average)
    caption = _caption(ballot, names, target, merge_iou, binarize, average, result)
    pixel = PANEL / ballot.image.shape[2]
    high = PANEL * ballot.image.shape[1] / ballot.image.shape[2]
    lefts = [GAP + i * (PANEL + GAP) for i in range(3)]
    pieces = [_voters(ballot, result, lefts[0], pixel), _mean(ballot, result, lefts[1], pixel),
              _outcome(ballot, result, target, lefts[2], pixel)]
    below = TITLE + high + GAP
    pieces.append(_thumbnails(ballot, result, GAP, below))
    small = SMALL * ballot.image.shape[1] / ballot.image.shape[2]
    full = 3 * (PANEL + GAP) + GAP
    return Frame(svg.picture(full, below + small + GAP, *pieces, label=caption), caption)


def _caption(
    ballot: Ballot, names: Sequence[str], target: int, merge_iou: float, binarize: float,
    average: str, result: Result,
) -> str:
    """All that the picture says, in numbers."""
    _, label = ballot.detection(target)
    count = len(result.voters)
    first = ", ".join(f"{weight:.2f}" for weight in result.weights[:3].tolist())
    words = (f"{names[label - 1]}, merge IoU {svg.number(merge_iou)}, cut at "
             f"{svg.number(binarize)}, average of {average}: {count} "
             f"voter{'s' if count > 1 else ''}, weights {first}{', ...' if count > 3 else ''}; ")
    if not result.mask.any():
        return words + "no pixel reaches the cut, so there is no detection."
    return words + (f"mask of {int(result.mask.sum())} pixels, IoU with the truth "
                    f"{result.iou:.3f}; the kept box's own mask alone {result.own_iou:.3f}.")


def _place(box: Tensor, left: float, pixel: float) -> list[float]:
    x1, y1, x2, y2 = (edge * pixel for edge in box.tolist())
    return [left + x1, TITLE + y1, left + x2, TITLE + y2]


def _under(uri: str, ballot: Ballot, left: float, pixel: float, title: str) -> str:
    edges = (left, TITLE, left + PANEL, TITLE + ballot.image.shape[1] * pixel)
    return svg.text(left, TITLE - 8, title) + svg.underlay(uri, edges)


def _voters(ballot: Ballot, result: Result, left: float, pixel: float) -> str:
    """Every voter's box, the heavier its vote, the wider its line; solid: the one that stays."""
    title = f"boxes of {len(result.voters)} voters; solid: stays"
    pieces = [_under(ballot.uri, ballot, left, pixel, title)]
    heaviest = float(result.weights.max()) if len(result.weights) else 1.0
    for voter, weight in zip(result.voters.tolist(), result.weights.tolist()):
        edges = _place(ballot.boxes[voter], left, pixel)
        width = 0.5 + 1.5 * weight / heaviest
        pieces.append(svg.box(edges, svg.YELLOW, dashed=True, width=width))
    stays = _place(ballot.boxes[result.row], left, pixel)
    pieces += [svg.box(stays, svg.PAPER, width=4), svg.box(stays, svg.RED)]
    return "".join(pieces)


def _mean(ballot: Ballot, result: Result, left: float, pixel: float) -> str:
    """The weighted mean, dark where it is 0, with the rim of what reaches the cut."""
    uri = svg.image_uri(svg.shades(result.mean).permute(2, 0, 1).float())
    return (_under(uri, ballot, left, pixel, "the mean of their masks")
            + svg.mask(result.mask, left, TITLE, pixel, svg.RED, 0))


def _outcome(ballot: Ballot, result: Result, target: int, left: float, pixel: float) -> str:
    """The mask that comes out, over the image; dashed: the truth."""
    return (_under(ballot.uri, ballot, left, pixel, "the mask; dashed: the truth")
            + svg.mask(result.mask, left, TITLE, pixel, svg.BLUE)
            + svg.mask(ballot.targets.masks[target], left, TITLE, pixel, svg.PAPER, 0, 2,
                       dashed=True))


def _thumbnails(ballot: Ballot, result: Result, left: float, top: float) -> str:
    """The masks of those whose votes count most, each with its weight."""
    pieces, high = [], SMALL * ballot.image.shape[1] / ballot.image.shape[2]
    step = (3 * (PANEL + GAP) - GAP) / MOST_SHOWN
    for i, voter in enumerate(result.voters[:MOST_SHOWN].tolist()):
        if voter not in ballot.small:
            shown = svg.shades(ballot.pasted[voter]).permute(2, 0, 1).float()
            ballot.small[voter] = svg.image_uri(shown)
        x = left + i * step
        pieces += [svg.underlay(ballot.small[voter], (x, top, x + SMALL - 8, top + high - 8)),
                   svg.text(x, top + high + 6, f"weight {float(result.weights[i]):.2f}", 10)]
    return "".join(pieces)


def explore_voting(ballot: Ballot, names: Sequence[str], target: int = 0) -> Explorer:
    """Sliders over the merge IoU and the cut, for one object of an image.

    Args:
        ballot: made once, before the sliders move: the model does not run again.
        names: of classes 1..K.
        target: the object at first.
    """
    check_state(ballot, target, 0.5, 0.5, AVERAGES[0])
    objects = [(f"{i}: {names[label - 1]}", i)
               for i, label in enumerate(ballot.targets.labels.tolist())]
    return Explorer(
        partial(voting_frame, ballot, tuple(names)),
        merge_iou=FloatSlider(0.5, min=0.3, max=1, step=0.05, description="merge IoU"),
        binarize=FloatSlider(0.4, min=0.05, max=0.95, step=0.05, description="cut the mean at"),
        average=Dropdown(options=AVERAGES, value=AVERAGES[0], description="average of"),
        target=Dropdown(options=objects, value=target, description="object"),
    )
