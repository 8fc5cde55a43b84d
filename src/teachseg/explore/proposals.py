"""From anchors to proposals, step by step, and suppression round by round.

Letters
    A  anchors of one image
    G  objects in it
    N  boxes that suppress one another

Boxes are (x1, y1, x2, y2) in image pixels.

Lesson: 06
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import NamedTuple

import torch
from ipywidgets import FloatSlider, IntSlider, SelectionSlider
from torch import Tensor

from teachseg.checks import check_boxes, check_image
from teachseg.explore import svg
from teachseg.explore.explorer import Explorer, Frame
from teachseg.geometry.boxes import box_iou, clip_boxes, decode_boxes
from teachseg.geometry.nms import fast_batched_nms, nms
from teachseg.layers.rpn import best_of_each_level
from teachseg.structures import Targets

STEPS = ("anchors", "likeliest", "moved", "clipped", "large enough", "NMS", "best few")
NO_AREA = 1e-3        # pixels: a box with a shorter side has none
MARGIN = 24           # image pixels around the image, for boxes that stick out of it
PIXEL = 2.2           # of the picture for one of the image's
SHOWN = 40            # boxes drawn of each kind, the likeliest
TOP, ROW = 44, 44     # of the strips on the right
NAME, STRIP = 150, 200
MARKS = (0.5, 0.7)    # the overlaps at which an object counts as covered


# ---- the steps ----------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Raw:
    """What the RPN says of one image, and what is really there.

    Args:
        image: (3, H, W) in [0, 1]. anchors, deltas: (A, 4). logits: (A,) objectness.
        level_sizes: anchors of each level. pre_nms: how many of each are looked at.
    """

    image: Tensor
    targets: Targets
    anchors: Tensor
    deltas: Tensor
    logits: Tensor
    level_sizes: list[int]
    pre_nms: int

    def __post_init__(self):
        check_image(self.image)
        if not len(self.anchors) == len(self.deltas) == len(self.logits) == sum(self.level_sizes):
            raise ValueError(f"There are {len(self.anchors)} anchors, {len(self.deltas)} rows of "
                             f"deltas, {len(self.logits)} logits and levels of {self.level_sizes}: "
                             "one of each an anchor is needed.")
        if len(self.targets.labels) == 0:
            raise ValueError("Recall needs an object in the image. Take another scene.")

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        return tuple(self.image.shape[1:])

    @cached_property
    def uri(self) -> str:
        """The image as a data: address, pale, so that boxes can be told from it."""
        return svg.image_uri(1 - (1 - self.image) * 0.5)

    @cached_property
    def best(self) -> Tensor:
        """(n,) the likeliest anchors of each level, the likeliest of all first."""
        best = best_of_each_level(self.logits, self.level_sizes, self.pre_nms)
        return best[self.logits[best].argsort(descending=True, stable=True)]

    @cached_property
    def level(self) -> Tensor:
        """(n,) the level of each of these."""
        owner = torch.arange(len(self.level_sizes)).repeat_interleave(
            torch.tensor(self.level_sizes))
        return owner[self.best]

    @cached_property
    def moved(self) -> Tensor:
        """(n, 4) where the network wants them."""
        return decode_boxes(self.deltas[self.best], self.anchors[self.best])

    @cached_property
    def likeliest_first(self) -> Tensor:
        """(A,) all anchors."""
        return self.logits.argsort(descending=True, stable=True)

    @cached_property
    def every_anchor(self) -> Tensor:
        """(G,) how well some anchor covers each object."""
        return covered(self.targets.boxes, self.anchors)


class Step(NamedTuple):
    """The boxes behind one step."""

    name: str
    count: int       # how many there are
    boxes: Tensor    # those that are there, the likeliest first
    gone: Tensor     # those that this step has dropped
    covered: Tensor  # (G,) the largest IoU that any of the boxes has with each object
    by: Tensor       # (G,) the box that has it


def covered(objects: Tensor, boxes: Tensor) -> Tensor:
    """(G, 4) objects, (N, 4) boxes -> (G,) each object's largest IoU with a box; 0 without boxes.

    >>> covered(torch.tensor([[0., 0., 4., 4.]]), torch.tensor([[0., 0., 4., 2.]]))
    tensor([0.5000])
    """
    if len(boxes) == 0:
        return objects.new_zeros(len(objects))
    return box_iou(objects, boxes).amax(dim=1)


def steps(raw: Raw, nms_iou: float, keep: int, min_side: float = 0.0) -> list[Step]:
    """All steps from anchors to proposals, as `layers.rpn.propose` takes them.

    Args:
        nms_iou: boxes of a level that overlap more are one. keep: how many stay in the end.
        min_side: narrower boxes are dropped, pixels; those without area always.
    """
    clipped = clip_boxes(raw.moved, raw.size)
    good = ((clipped[:, 2:] - clipped[:, :2]) >= max(min_side, NO_AREA)).all(dim=1)
    left, scores = clipped[good], raw.logits[raw.best][good]
    kept = fast_batched_nms(left, scores, raw.level[good], nms_iou)
    dropped = torch.ones(len(left), dtype=torch.bool)
    dropped[kept] = False
    none = raw.anchors[:0]
    return [
        _step(raw, STEPS[0], raw.anchors[raw.likeliest_first], none, raw.every_anchor),
        _step(raw, STEPS[1], raw.anchors[raw.best], none),
        _step(raw, STEPS[2], raw.moved, none),
        _step(raw, STEPS[3], clipped, none),
        _step(raw, STEPS[4], left, clipped[~good]),
        _step(raw, STEPS[5], left[kept], left[dropped]),
        _step(raw, STEPS[6], left[kept[:keep]], left[kept[keep:]]),
    ]


def _step(raw: Raw, name: str, boxes: Tensor, gone: Tensor, known: Tensor | None = None) -> Step:
    objects = raw.targets.boxes
    if len(boxes) == 0:
        zeros = objects.new_zeros(len(objects))
        return Step(name, 0, boxes, gone, zeros, zeros.long() - 1)
    reached, by = box_iou(objects, boxes).max(dim=1)
    return Step(name, len(boxes), boxes, gone, reached if known is None else known, by)


# ---- the steps, drawn ---------------------------------------------------------------------------


def proposals_frame(
    raw: Raw, step: str, nms_iou: float, keep: int, min_side: float = 0.0
) -> Frame:
    """Left the boxes of one step over the image, right how well each step covers each object.

    Args:
        step: one of `STEPS`. nms_iou, keep, min_side: as for `steps`.
    """
    if step not in STEPS:
        raise ValueError(f"step must be one of {', '.join(STEPS)}, got {step!r}.")
    if not 0 <= nms_iou <= 1:
        raise ValueError(f"nms_iou must be in 0..1, got {svg.number(nms_iou)}.")
    if keep < 0 or min_side < 0:
        raise ValueError(f"keep and min_side cannot be negative, got {keep} and "
                         f"{svg.number(min_side)}.")
    all_steps = steps(raw, nms_iou, keep, min_side)
    now = STEPS.index(step)
    caption = _words(raw, all_steps, now, nms_iou, keep, min_side)
    height, width = raw.size
    across, down = ((side + 2 * MARGIN) * PIXEL for side in (width, height))
    pieces = [_boxes(raw, all_steps[now], across, down), _strips(all_steps, now, across + 24)]
    full = across + 24 + NAME + STRIP + 24
    high = max(down + 24, TOP + ROW * len(STEPS) + 24) + 64
    pieces.append(svg.legend([
        ("solid", svg.BLUE, f"boxes of this step, the {SHOWN} likeliest"),
        ("dashed", svg.ORANGE, f"dropped by this step, the {SHOWN} likeliest"),
        ("solid", svg.RED, "the best of each object, with its IoU")], 8, high - 50, 18))
    pieces.append(svg.legend([("cross", svg.RED, "an object's best IoU")],
                             across + 24, high - 50, 18))
    return Frame(svg.picture(full, high, *pieces, label=caption), caption)


def _words(
    raw: Raw, all_steps: list[Step], now: int, nms_iou: float, keep: int, min_side: float
) -> str:
    here, before = all_steps[now], all_steps[max(now - 1, 0)]
    many = len(raw.targets.labels)
    did = {
        "anchors": "all anchors, not moved yet",
        "likeliest": f"the {raw.pre_nms} likeliest of each level",
        "moved": "each moved and resized by its deltas",
        "clipped": "cut off at the image's border",
        "large enough": (f"sides of {svg.number(min_side)} px or more" if min_side > 0
                         else "those with an area"),
        "NMS": f"of a level's boxes with an IoU above {nms_iou:.2f}, the best",
        "best few": f"the best {keep}, NMS at {nms_iou:.2f}",
    }[here.name]
    counts = (f"{before.count} -> {here.count} boxes" if now else f"{here.count} boxes")
    at = " and ".join(f"{int((here.covered >= mark).sum())} of {many} at {mark}" for mark in MARKS)
    return (f"Step {now + 1} of {len(STEPS)}, {here.name} ({did}): {counts}; objects covered: "
            f"{at}; mean best IoU {float(here.covered.mean()):.3f}.")


def _place(box: Sequence[float], across: float, down: float) -> list[float]:
    """A box of the image in the picture, cut off where the paper ends."""
    x1, y1, x2, y2 = ((edge + MARGIN) * PIXEL for edge in box)
    return [min(max(x1, 1), across - 1), min(max(y1, 1), down - 1),
            min(max(x2, 1), across - 1), min(max(y2, 1), down - 1)]


def _boxes(raw: Raw, step: Step, across: float, down: float) -> str:
    """The boxes over the image; those that cover an object best on top, with their IoU."""
    height, width = raw.size
    image = _place((0, 0, width, height), across, down)
    pieces = [svg.box((0, 0, across, down), svg.PALE, width=1), svg.underlay(raw.uri, image),
              svg.box(image, svg.INK, width=1)]
    for edges in step.gone[:SHOWN].tolist():
        pieces.append(svg.box(_place(edges, across, down), svg.ORANGE, dashed=True, width=1))
    for edges in step.boxes[:SHOWN].tolist():
        pieces.append(svg.box(_place(edges, across, down), svg.BLUE, width=1))
    labels, taken = [], []
    for value, row in zip(step.covered.tolist(), step.by.tolist()):
        if row < 0:
            continue
        place = _place(step.boxes[row].tolist(), across, down)
        pieces += [svg.box(place, svg.PAPER, width=4), svg.box(place, svg.RED, width=2)]
        x = min(max(place[0], 2), across - 34)
        y = max(place[1], 15)
        while any(abs(x - a) < 34 and abs(y - b) < 16 for a, b in taken):
            y += 4  # below the label that is there
        taken.append((x, y))
        labels += [svg.box((x, y - 13, x + 31, y + 2), svg.RED, width=1, fill=svg.PAPER),
                   svg.text(x + 2, y - 1, f"{value:.2f}", 12)]
    return svg.group(*pieces, *labels, down=12, right=8)


def _strips(all_steps: list[Step], now: int, left: float) -> str:
    """A line a step: its name, how many boxes, and every object's best IoU as a cross."""
    start, pieces = left + NAME, []
    end = start + STRIP
    bottom = TOP + ROW * len(all_steps)
    pieces.append(svg.text(start + STRIP / 2, 16, "best IoU of each object", 12, "middle"))
    for mark in (0, *MARKS, 1):
        x = start + STRIP * mark
        pieces += [svg.line(x, TOP - 6, x, bottom, svg.INK if mark in MARKS else svg.PALE,
                            dashed=mark in MARKS, width=1),
                   svg.text(x, TOP - 12, svg.number(mark), 11, "middle")]
    for i, step in enumerate(all_steps):
        top = TOP + ROW * i
        if i == now:
            pieces.insert(0, svg.box((left - 6, top + 2, end + 14, top + ROW - 4), svg.INK,
                                     width=1.5, fill="#EEF3F8"))
        hits = ", ".join(f"{int((step.covered >= mark).sum())} at {mark}" for mark in MARKS)
        pieces += [svg.text(left, top + 18, f"{i + 1} {step.name}: {step.count}", 12),
                   svg.text(left, top + 33, f"{hits}", 11)]
        level = top + ROW / 2 - 1
        pieces += [svg.line(start, level, end, level, svg.PALE, width=1),
                   svg.sample_points([(start + STRIP * v, level) for v in step.covered.tolist()],
                                     svg.RED, 5, svg.PAPER)]
    return "".join(pieces)


def explore_proposals(raw: Raw, nms_iou: float = 0.7, keep: int = 50) -> Explorer:
    """Sliders over the step, the threshold of NMS, how many stay, and the shortest side.

    Args:
        raw: made once, before the sliders move: the model does not run again.
    """
    return Explorer(
        partial(proposals_frame, raw),
        step=SelectionSlider(options=STEPS, value=STEPS[-1], description="step"),
        nms_iou=FloatSlider(nms_iou, min=0, max=1, step=0.05, description="NMS: IoU above"),
        keep=IntSlider(keep, min=0, max=200, step=1, description="boxes kept at most"),
        min_side=FloatSlider(0, min=0, max=24, step=1, description="shortest side, px"),
    )


# ---- suppression, round by round ----------------------------------------------------------------

SCALE, WIDE = 8.0, 340   # of the boxes' picture: its largest scale, its width
CELL = 44                # of the table of overlaps


class Round(NamedTuple):
    """One round of suppression: the best that is left, and whom it drops."""

    best: int
    dropped: list[int]


def rounds(boxes: Tensor, scores: Tensor, threshold: float) -> list[Round]:
    """The rounds of `geometry.nms.nms`, one for each box that is kept."""
    iou, gone, told = box_iou(boxes, boxes), set(), []
    for best in nms(boxes, scores, threshold).tolist():
        gone.add(best)
        dropped = [i for i in scores.argsort(descending=True, stable=True).tolist()
                   if i not in gone and iou[best, i] > threshold]
        gone.update(dropped)
        told.append(Round(best, dropped))
    return told


def nms_frame(
    boxes: Tensor, scores: Tensor, names: Sequence[str], threshold: float, done: int
) -> Frame:
    """Left the boxes, right the table of their overlaps, after some rounds of suppression.

    Args:
        boxes: (N, 4). scores: (N,). names: one a box, short.
        threshold: an overlap above it drops. done: rounds that are over.
    """
    if not 0 <= threshold <= 1:
        raise ValueError(f"threshold must be in 0..1, got {svg.number(threshold)}.")
    if done < 0:
        raise ValueError(f"done counts rounds from 0, got {done}.")
    told = rounds(boxes, scores, threshold)
    over = told[:done]
    kept = [one.best for one in over]
    by = {i: one.best for one in over for i in one.dropped}
    caption = _round_words(scores, names, threshold, done, told, box_iou(boxes, boxes))
    table = svg.group(_table(boxes, scores, names, threshold, kept, by), right=WIDE + 40)
    wide = WIDE + 40 + max(60 + CELL * len(boxes) + 60, 400)
    high = max(60 + CELL * len(boxes) + 66, 250)
    drawn = _states(boxes, scores, names, kept, by)
    key = svg.legend([("solid", svg.GREEN, "kept"), ("dashed", svg.ORANGE, "dropped"),
                      ("solid", svg.PALE, "waiting")], 12, high - 58, 20)
    return Frame(svg.picture(wide, high, drawn, table, key, label=caption), caption)


def _round_words(
    scores: Tensor, names: Sequence[str], threshold: float, done: int, told: list[Round],
    iou: Tensor,
) -> str:
    start = f"Threshold {threshold:.2f}, "
    if done == 0:
        return start + f"nothing decided: {len(names)} boxes wait."
    kept = ", ".join(names[one.best] for one in told[:done])
    if done > len(told):
        return start + f"no box is left after round {len(told)}: kept {kept}."
    one = told[done - 1]
    drops = " and ".join(f"{names[i]} (IoU {float(iou[one.best, i]):.3f})" for i in one.dropped)
    left = len(names) - sum(1 + len(r.dropped) for r in told[:done])
    return start + (f"round {done}: {names[one.best]} is the best that is left (score "
                    f"{float(scores[one.best]):.2f}) and drops {drops or 'nothing'}; kept so far "
                    f"{kept}; {left} left.")


def _states(
    boxes: Tensor, scores: Tensor, names: Sequence[str], kept: list[int], by: dict[int, int]
) -> str:
    """The boxes in their state: kept, dropped, or waiting."""
    low, high = boxes[:, :2].amin(dim=0), boxes[:, 2:].amax(dim=0)
    scale = min(SCALE, (WIDE - 24) / float(high[0] - low[0]), 220 / float(high[1] - low[1]))
    pieces, words = [svg.text(12, 20, "the boxes")], []
    for i in scores.argsort(stable=True).tolist():
        x1, y1, x2, y2 = ((boxes[i] - low.repeat(2)) * scale).tolist()
        edges = (12 + x1, 60 + y1, 12 + x2, 60 + y2)
        if i in kept:
            pieces.append(svg.box(edges, svg.GREEN, width=4))
        elif i in by:
            pieces.append(svg.box(edges, svg.ORANGE, dashed=True, width=2))
        else:
            pieces.append(svg.box(edges, svg.PALE, width=2.5))
    for i, name in enumerate(names):  # the names on the upper right corners, where they differ
        x, y = (boxes[i, 2] - low[0]) * scale, (boxes[i, 1] - low[1]) * scale
        words.append(svg.text(float(x) + 8, float(y) + 75, name, 13, "end"))
    return "".join(pieces + words)


def _table(
    boxes: Tensor, scores: Tensor, names: Sequence[str], threshold: float, kept: list[int],
    by: dict[int, int],
) -> str:
    """Overlaps, rows and columns from the best to the worst; framed: where a row drops a column."""
    order = scores.argsort(descending=True, stable=True).tolist()
    iou = box_iou(boxes, boxes)[order][:, order]
    n, left, top = len(order), 60, 60
    pieces = [svg.text(0, 20, "their overlaps, the best score first; framed: the row drops it"),
              svg.feature_grid(iou.triu(1), left, top, CELL)]
    for i, row in enumerate(order):
        state = "kept" if row in kept else f"by {names[by[row]]}" if row in by else ""
        pieces += [svg.text(left + (i + 0.5) * CELL, top - 8, names[row], 13, "middle"),
                   svg.text(left - 8, top + (i + 0.5) * CELL + 4,
                            f"{names[row]} {float(scores[row]):.2f}", 12, "end"),
                   svg.text(left + n * CELL + 8, top + (i + 0.5) * CELL + 4, state, 12)]
        for j, column in enumerate(order):
            x, y = left + j * CELL, top + i * CELL
            if j <= i:
                pieces.append(svg.box((x, y, x + CELL, y + CELL), svg.PALE, width=1,
                                      fill=svg.PAPER))
            elif by.get(column) == row:
                pieces.append(svg.box((x + 2, y + 2, x + CELL - 2, y + CELL - 2), svg.RED,
                                      width=4))
            elif iou[i, j] > threshold:
                pieces.append(svg.box((x + 2, y + 2, x + CELL - 2, y + CELL - 2), svg.ORANGE,
                                      dashed=True, width=2))
    return "".join(pieces)


def explore_nms(
    boxes: Tensor, scores: Tensor, names: Sequence[str], threshold: float = 0.5
) -> Explorer:
    """Sliders over the threshold and the rounds that are over."""
    check_boxes(boxes, sides=True)
    if not len(boxes) == len(scores) == len(names) > 0:
        raise ValueError(f"One score and one name a box are needed, got {len(boxes)} boxes, "
                         f"{len(scores)} scores and {len(names)} names.")
    return Explorer(
        partial(nms_frame, boxes, scores, tuple(names)),
        done=IntSlider(0, min=0, max=len(boxes) + 1, step=1, description="rounds done"),
        threshold=FloatSlider(threshold, min=0, max=1, step=0.05, description="IoU above"),
    )
