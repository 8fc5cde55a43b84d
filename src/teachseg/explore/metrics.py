"""From right and wrong detections to AP: two thresholds walk along the precision-recall curve.

Letters
    D, G  detections and objects of one class in one image
    N     images that are judged together
    t     IoU from which on a detection may be right

Boxes are (x1, y1, x2, y2) in image pixels; they only say where a number is written. One class at a
time, and no crowd regions: `evaluate` knows those.

Lesson: 02
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import NamedTuple

import torch
from ipywidgets import FloatSlider, SelectionSlider
from torch import Tensor

from teachseg.checks import check_image
from teachseg.evaluate import GRID_STEPS, INTERPOLATIONS, average_precision, precision_recall
from teachseg.explore import svg
from teachseg.explore.explorer import Explorer, Frame
from teachseg.structures import Detections, Targets

RULES = ("VOC", "COCO")
PANEL, GAP, TITLE = 196, 16, 24    # width of an image's picture; between pictures; above them
LEFT, LONG, HIGH = 44, 232, 190    # of the chart: its left margin, its sides
ROWS, LEADING = 9, 20              # of the list: detections that are shown at once
NEAR = 1e-6                        # a score of float32 0.7 is at least 0.7
CORNERS = ((0, 1), (2, 3), (2, 1), (0, 3))  # where in its box a detection's number stands


class Verdict(NamedTuple):
    """What a rule says of one detection."""

    right: bool
    name: str   # of the object that it is given, or that it was refused; "" if it overlaps none
    iou: float  # with that object
    words: str  # why


def exact_iou(found: Tensor, real: Tensor) -> Tensor:
    """(D, H, W) and (G, H, W) bool -> (D, G) IoU in float64: 7/10 is not below 0.7; 0 for 0/0."""
    a, b = found.flatten(1).double(), real.flatten(1).double()
    common = a @ b.T
    return common / (a.sum(dim=1, keepdim=True) + b.sum(dim=1) - common).clamp(min=1)


def match(iou: Tensor, iou_threshold: float, rule: str) -> list[int]:
    """The object that each detection of one image is given, or -1.

    "VOC": it looks at the object that it overlaps most, and at no other. "COCO": at the one that it
    overlaps most among those that no detection before it was given.

    Args:
        iou: (D, G), best score first.
    """
    given: list[int] = []
    for row in iou.tolist():
        looked_at = [g for g in range(len(row)) if rule == "VOC" or g not in given]
        best = max(looked_at, key=lambda g: row[g], default=-1)
        good = best >= 0 and row[best] >= iou_threshold and best not in given
        given.append(best if good else -1)
    return given


@dataclass(frozen=True, eq=False)
class Ranking:
    """What is found of one class in several images, in one row by score, beside what is there."""

    images: Sequence[Tensor | None]   # (3, H, W) in [0, 1] each; None for white paper
    found: Sequence[Detections]       # one an image, of one class, best first
    real: Sequence[Targets]           # one an image, of that class

    @cached_property
    def ious(self) -> list[Tensor]:
        """(D, G) of each image."""
        return [exact_iou(f.masks, r.masks) for f, r in zip(self.found, self.real)]

    @cached_property
    def uris(self) -> list[str]:
        """The images as data: addresses, made once."""
        return ["" if image is None else svg.image_uri(image) for image in self.images]

    @cached_property
    def fills(self) -> list[str]:
        """The objects of each image as one drawing, made once."""
        return ["".join(svg.mask(mask, 0, 0, PANEL / mask.shape[1], svg.SKY, 0.4, width=1)
                        for mask in one.masks) for one in self.real]

    @cached_property
    def scores(self) -> Tensor:
        """(D of all images,) in the order of the images."""
        return torch.cat([one.scores for one in self.found])

    @cached_property
    def order(self) -> list[tuple[int, int]]:
        """(image, its detection) of each place, best score first; equal scores as they came."""
        places = [(n, d) for n, one in enumerate(self.found) for d in range(len(one.scores))]
        return [places[i] for i in self.scores.argsort(descending=True, stable=True).tolist()]

    @property
    def num_objects(self) -> int:
        """Of all images together."""
        return sum(len(one.labels) for one in self.real)

    def name(self, image: int, g: int) -> str:
        """An object's letter: a, b, c, ... through all images; numbers after z."""
        number = g + sum(len(one.labels) for one in self.real[:image])
        return chr(ord("a") + number) if number < 26 else str(number + 1)

    def verdicts(self, iou_threshold: float, rule: str) -> list[Verdict]:
        """One for each place of `order`."""
        given = [match(iou, iou_threshold, rule) for iou in self.ious]
        return [self._verdict(n, d, given[n], iou_threshold, rule) for n, d in self.order]

    def _verdict(self, n: int, d: int, given: list[int], t: float, rule: str) -> Verdict:
        row = self.ious[n][d].tolist()
        if given[d] >= 0:
            name = self.name(n, given[d])
            second = row[given[d]] < max(row)
            return Verdict(True, name, row[given[d]],
                           f"right: {name}" + (", second choice" if second else ""))
        best = max(range(len(row)), key=lambda g: row[g], default=-1)
        if best < 0 or row[best] == 0:
            return Verdict(False, "", 0.0, "wrong: nothing there")
        name = self.name(n, best)
        why = f"{name} is taken" if row[best] >= t else f"IoU with {name} too low"
        return Verdict(False, name, row[best], f"wrong: {why}")


def metrics_frame(
    ranking: Ranking, iou_threshold: float, score: float, rule: str = "VOC",
    reading: str = "11-point",
) -> Frame:
    """The images with what is accepted, the curve with the place one stands at, and the list.

    Args:
        iou_threshold: t, in (0, 1]. score: detections with less are not accepted, in [0, 1].
        rule: "VOC" or "COCO". reading: "11-point", "101-point" or "exact".
    """
    _check_state(iou_threshold, score, rule, reading)
    verdicts = ranking.verdicts(iou_threshold, rule)
    right = torch.tensor([one.right for one in verdicts], dtype=torch.bool)
    falling = ranking.scores.sort(descending=True, stable=True).values
    precision, recall = precision_recall(falling, right, ranking.num_objects)
    accepted = int((falling >= score - NEAR).sum())
    tp, objects = int(right[:accepted].sum()), ranking.num_objects
    here = "nothing is accepted: precision says nothing, recall 0"
    if accepted:
        here = (f"precision {tp}/{accepted} = {float(precision[accepted - 1]):.3f}, "
                f"recall {tp}/{objects} = {float(recall[accepted - 1]):.3f}")
    ap = average_precision(precision, recall, reading)
    caption = (
        f"{rule}'s rule, IoU from {iou_threshold:.2f} on, score at least {score:.2f}: {accepted} "
        f"of {len(verdicts)} detections accepted, tp {tp}, fp {accepted - tp}, {objects - tp} of "
        f"{objects} objects missed; {here}. AP of the whole curve, {reading}: {ap:.4f}.")
    panels = [_image_panel(ranking, n, verdicts, accepted) for n in range(len(ranking.found))]
    down = TITLE + max(_height(one) for one in ranking.real) + 44
    pieces = [*panels, _chart(precision, recall, accepted, reading, down),
              _list(ranking, verdicts, falling, accepted, down)]
    wide = max(len(panels) * (PANEL + GAP) + GAP, LEFT + LONG + 350)
    return Frame(svg.picture(wide, down + HIGH + 62, *pieces, label=caption), caption)


def _check_state(iou_threshold: float, score: float, rule: str, reading: str) -> None:
    if not 0 < iou_threshold <= 1:
        raise ValueError(f"iou_threshold must be above 0 and at most 1, got "
                         f"{svg.number(iou_threshold)}.")
    if not 0 <= score <= 1:
        raise ValueError(f"score must be in 0..1, got {svg.number(score)}.")
    for name, value, known in (("rule", rule, RULES), ("reading", reading, INTERPOLATIONS)):
        if value not in known:
            raise ValueError(f"{name} must be one of {', '.join(known)}, got {value!r}.")


def _height(targets: Targets) -> float:
    high, wide = targets.masks.shape[1:]
    return PANEL * high / wide


def _image_panel(ranking: Ranking, n: int, verdicts: list[Verdict], accepted: int) -> str:
    """One image: objects filled, accepted detections outlined, the others in thin grey."""
    left, real, found = GAP + n * (PANEL + GAP), ranking.real[n], ranking.found[n]
    pixel = PANEL / real.masks.shape[2]
    edges = (left, TITLE, left + PANEL, TITLE + _height(real))
    pieces = [svg.text(left, TITLE - 8, f"image {n + 1}")]
    if ranking.uris[n]:
        pieces.append(svg.underlay(ranking.uris[n], edges))
    pieces.append(svg.box(edges, svg.PALE, width=1))
    pieces.append(svg.group(ranking.fills[n], right=left, down=TITLE))
    numbers = []
    for place, (image, d) in reversed(list(enumerate(ranking.order))):
        if image == n:
            right, on = verdicts[place].right, place < accepted
            shade = (svg.GREEN if right else svg.RED) if on else "#777777"
            aside = 2 * (d % 3) - 2  # so that equal rims can be told apart
            rim = svg.mask(found.masks[d], left, TITLE, pixel, shade, 0.0, 2.5 if on else 1,
                           on and not right)
            if ranking.uris[n]:  # white below it, so that it is seen on any colour
                rim = svg.mask(found.masks[d], left, TITLE, pixel, svg.PAPER, 0.0, 4.5) + rim
            pieces.append(svg.group(rim, right=aside, down=aside))
            numbers.append(_number(found.boxes[d].tolist(), d, left, pixel, place, shade))
    for g, (x1, y1, x2, y2) in enumerate(real.boxes.tolist()):
        x, y = left + pixel * (x1 + x2) / 2, TITLE + pixel * (y1 + y2) / 2
        pieces.append(_label(x - 7, y - 8, ranking.name(n, g), svg.BLUE))
    return "".join(pieces + numbers)


def _number(
    box: list[float], d: int, left: float, pixel: float, place: int, shade: str
) -> str:
    """A detection's place in the list, at a corner of its box."""
    x, y = (box[i] for i in CORNERS[d % len(CORNERS)])
    words = str(place + 1)
    at_x = min(max(left + pixel * x - 7, left + 1), left + PANEL - 8 - 8 * len(words))
    return _label(at_x, max(TITLE + pixel * y - 8, TITLE + 1), words, shade)


def _label(x: float, y: float, words: str, shade: str) -> str:
    """A letter or number on white paper with a rim."""
    wide = 7 + 8 * len(words)
    return (svg.box((x, y, x + wide, y + 16), shade, fill=svg.PAPER, width=1)
            + svg.text(x + wide / 2, y + 12, words, 11, "middle"))


def _chart(
    precision: Tensor, recall: Tensor, accepted: int, reading: str, down: float
) -> str:
    """The points of the curve, its envelope, how it is read, and where one stands."""
    top, bottom = down, down + HIGH

    def at(r: float, p: float) -> tuple[float, float]:
        return LEFT + LONG * r, bottom - HIGH * p

    pieces = [svg.text(LEFT, top - 10, "precision"),
              svg.text(LEFT + LONG / 2, bottom + 31, "recall", 11, "middle")]
    for value in (0, 0.25, 0.5, 0.75, 1):
        (x, y), words = at(value, value), svg.number(value)
        pieces += [svg.line(LEFT, y, LEFT + LONG, y, svg.PALE, width=0.75),
                   svg.text(LEFT - 6, y + 4, words, 11, "end"),
                   svg.text(x, bottom + 15, words, 11, "middle")]
    envelope = precision.flip(0).cummax(dim=0).values.flip(0).tolist()
    points = list(zip(recall.tolist(), precision.tolist()))
    if points:
        stairs, r = [], 0.0
        for (there, _), height in zip(points, envelope):
            if reading == "exact" and there > r:
                pieces.append(svg.box((*at(r, height), *at(there, 0)), "none", fill="#D6E6F2"))
            stairs += [at(r, height), at(there, height)]
            r = there
        stairs += [at(r, 0), at(1, 0)]
        pieces += [svg.polyline(stairs, svg.BLUE, width=2),
                   svg.polyline((at(*point) for point in points), svg.ORANGE, dashed=True,
                                width=1.5)]
        pieces.append(_samples(points, envelope, reading, at))
        pieces.append(svg.sample_points([at(*point) for point in points], svg.ORANGE, 3))
        if accepted:
            x, y = at(*points[accepted - 1])
            pieces.append(svg.box((x - 6, y - 6, x + 6, y + 6), svg.INK, width=2.5))
    for shift, kind, shade, word in ((0, "dashed", svg.ORANGE, "curve"),
                                     (92, "solid", svg.BLUE, "envelope"),
                                     (206, "cross", svg.INK, "in the square: where one stands")):
        pieces.append(svg.legend([(kind, shade, word)], LEFT + shift, bottom + 48))
    return "".join(pieces)


def _samples(points: list, envelope: list, reading: str, at) -> str:
    """The envelope's height at each recall of the grid, as a line down to the axis."""
    if reading == "exact":
        return ""
    steps = GRID_STEPS[reading]
    pieces = []
    for i in range(steps + 1):
        height = next((h for (r, _), h in zip(points, envelope) if r * steps >= i - 1e-9), 0.0)
        (x, y), (_, zero) = at(i / steps, height), at(0, 0)
        pieces.append(svg.line(x, y, x, zero, svg.BLUE, width=0.75 if steps > 20 else 1.25))
        if steps <= 20:
            pieces.append(svg.box((x - 2, y - 2, x + 2, y + 2), svg.BLUE, width=1, fill=svg.BLUE))
    return "".join(pieces)


def _list(
    ranking: Ranking, verdicts: list[Verdict], falling: Tensor, accepted: int, down: float
) -> str:
    """The detections by score, with what the rule says of each; a line below the last accepted."""
    left = LEFT + LONG + 36
    columns = (0, 26, 76, 120, 166)
    words = ("no.", "score", "image", "IoU", "verdict")
    pieces = [svg.text(left + x, down - 10, word, 11) for x, word in zip(columns, words)]
    first = min(max(accepted - ROWS // 2 - 1, 0), max(len(verdicts) - ROWS, 0))
    for i, one in enumerate(verdicts[first : first + ROWS]):
        place, y = first + i, down + 14 + LEADING * i
        cells = (f"{place + 1}", f"{float(falling[place]):.2f}",
                 f"{ranking.order[place][0] + 1}", f"{one.iou:.3f}", one.words)
        shade = "#777777" if place >= accepted else svg.GREEN if one.right else svg.RED
        pieces += [svg.text(left + x, y, cell, 11, colour=svg.INK if place < accepted else shade)
                   for x, cell in zip(columns, cells)]
        pieces.append(svg.line(left - 10, y - 9, left - 10, y + 3, shade, width=4,
                               dashed=place < accepted and not one.right))
        if place == accepted - 1:
            pieces.append(svg.line(left - 10, y + 7, left + 310, y + 7, svg.INK, width=1))
    return "".join(pieces)


def ranking_of(
    images: Sequence[Tensor | None], found: Sequence[Detections], real: Sequence[Targets],
    label: int = 1,
) -> Ranking:
    """A ranking of one class, from what is found and what is there of all classes.

    Args:
        images, found, real: one an image, in the same order. label: the class, in 1..K.

    Raises:
        ValueError: no image; lengths differ; masks of two sizes; no object of the class.
    """
    if not (len(images) == len(found) == len(real) > 0):
        raise ValueError(f"A ranking needs one of each for every image, got {len(images)} images, "
                         f"{len(found)} detections and {len(real)} targets.")
    for n, (image, f, r) in enumerate(zip(images, found, real)):
        if image is not None:
            check_image(image)
        if f.masks.shape[1:] != r.masks.shape[1:]:
            raise ValueError(f"Image {n}: the detections' masks are {tuple(f.masks.shape[1:])} and "
                             f"the objects' {tuple(r.masks.shape[1:])} (height, width): both must "
                             "be as large as the image.")
    only_found = [Detections(*(part[one.labels == label] for part in one)) for one in found]
    only_real = [Targets(*(part[one.labels == label] for part in one)) for one in real]
    if not any(len(one.labels) for one in only_real):
        raise ValueError(f"No image has an object of class {label}: recall would be 0/0.")
    return Ranking(list(images), only_found, only_real)


def explore_metrics(ranking: Ranking) -> Explorer:
    """Sliders over both thresholds, the rule, and how the curve is read."""
    return Explorer(
        partial(metrics_frame, ranking),
        iou_threshold=FloatSlider(0.5, min=0.1, max=0.95, step=0.05,
                                  description="mask IoU at least"),
        score=FloatSlider(0.5, min=0.0, max=1.0, step=0.05, description="score at least"),
        rule=SelectionSlider(options=RULES, value="VOC", description="rule"),
        reading=SelectionSlider(options=INTERPOLATIONS, value="11-point",
                                description="curve read at"),
    )
