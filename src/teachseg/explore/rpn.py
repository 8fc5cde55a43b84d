"""Which anchors of a scene are objects, background or ignored, and what a network says of them.

Letters
    A     anchors of the scene, level by level, row by row, the anchors of a cell fastest
    G     its objects
    H, W  height and width of the image in pixels, of a level in cells

Boxes are (x1, y1, x2, y2) in image pixels.

Lesson: 05
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import torch
from ipywidgets import Dropdown, FloatSlider, SelectionSlider
from torch import Tensor

from teachseg.checks import check_boxes, check_image, check_shape
from teachseg.explore import svg
from teachseg.explore.explorer import Explorer, Frame
from teachseg.geometry.boxes import box_iou, clip_boxes, decode_boxes
from teachseg.geometry.matching import BACKGROUND, IGNORE, OBJECT, match

POSITIVE, NEGATIVE = 0.7, 0.3  # Faster R-CNN, section 3.1.2
COVERED = 0.5      # IoU from which on a box covers an object
MOST_DRAWN = 24    # boxes of one picture
BARS = 20          # of a histogram: 0.05 each, the step of the sliders
PANEL, SMALL = 256, 108  # widths of the image, and of a level's map
GAP, TITLE = 18, 26
LEFT = GAP + PANEL + 34  # where the maps begin
HIGH = 108               # of the chart below them
STATES = {OBJECT: ("object", svg.BLUE), IGNORE: ("ignored", svg.ORANGE),
          BACKGROUND: ("background", "#E9E9E9")}


@dataclass(frozen=True, eq=False)
class Grid:
    """One scene and the anchors over it.

    Args:
        image: (3, H, W) in [0, 1]. boxes: (G, 4). anchors: (A, 4).
        shapes: (height, width) of each level in cells, as the anchors are ordered.
    """

    image: Tensor
    boxes: Tensor
    anchors: Tensor
    shapes: tuple[tuple[int, int], ...]

    def __post_init__(self):
        check_image(self.image)
        check_boxes(self.boxes, "boxes")
        check_boxes(self.anchors, "anchors")
        cells = sum(height * width for height, width in self.shapes)
        if cells == 0 or len(self.anchors) == 0 or len(self.anchors) % cells:
            raise ValueError(f"{len(self.anchors)} anchors cannot stand on {cells} cells, equally "
                             f"many on each: are the shapes {list(self.shapes)} those of the "
                             "levels?")

    @cached_property
    def uri(self) -> str:
        """The image as a data: address, made once."""
        return svg.image_uri(self.image)

    @cached_property
    def iou(self) -> Tensor:
        """(G, A), computed once: no slider changes it."""
        return box_iou(self.boxes, self.anchors)

    @cached_property
    def best(self) -> Tensor:
        """(A,) each anchor's overlap with the object that it overlaps most; 0 without any."""
        return self.iou.amax(dim=0) if len(self.boxes) else self.anchors.new_zeros(
            len(self.anchors))

    def maps(self, values: Tensor) -> list[Tensor]:
        """(A,) a value for each anchor -> a map (H, W) for each level: the largest of a cell."""
        each = len(self.anchors) // sum(height * width for height, width in self.shapes)
        parts = values.split([each * height * width for height, width in self.shapes])
        return [part.view(height, width, each).amax(dim=-1)
                for part, (height, width) in zip(parts, self.shapes)]


@dataclass(frozen=True, eq=False)
class Answer:
    """What a network says of a scene's anchors: (A,) logits, (A, 4) deltas."""

    name: str
    objectness_logits: Tensor
    deltas: Tensor


# ---- labels -------------------------------------------------------------------------------------


def matching_frame(
    grid: Grid, positive: float, negative: float, force_best: bool = True, size: int = 256,
) -> Frame:
    """The anchors that are objects, the state of each level's cells, and where the cuts lie.

    Args:
        positive, negative: IoU thresholds, see `geometry.matching.match`.
        size: how many would be drawn, at most half of them objects.
    """
    labels, matched = match(grid.iou, positive, negative, force_best)
    chosen, forced = labels == OBJECT, (labels == OBJECT) & (grid.best < positive)
    counts = [int((labels == state).sum()) for state in (OBJECT, BACKGROUND, IGNORE)]
    alone = len(grid.boxes) - len(set(matched[chosen].tolist()))
    objects = min(counts[0], size // 2)
    caption = (
        f"Object from IoU {positive:.2f}, background below {negative:.2f}, the best of each object "
        f"{'forced' if force_best else 'not forced'}: of {len(labels)} anchors {counts[0]} are "
        f"objects ({int(forced.sum())} of them forced), {counts[1]} background, {counts[2]} "
        f"ignored. Nobody answers for {alone} of {len(grid.boxes)} objects. A draw of {size} takes "
        f"{objects} objects and {min(counts[1], size - objects)} background.")
    pieces = [_scene(grid, "objects (black) and their anchors"),
              _boxes(grid, grid.anchors[chosen & ~forced], svg.BLUE, False),
              _boxes(grid, grid.anchors[forced], svg.RED, True)]
    rank = labels.clone()  # of a cell's anchors, show the one that says most
    rank[labels == IGNORE], rank[labels == OBJECT] = 1, 2
    shades = torch.tensor([_rgb(STATES[state][1]) for state in (BACKGROUND, IGNORE, OBJECT)])
    for k, states in enumerate(grid.maps(rank)):
        pieces.append(_map(grid, k, shades[states].permute(2, 0, 1)))
    pieces.append(_key([(shade, f"{words} in the cell") if words == "object" else (shade, words)
                        for words, shade in STATES.values()]))
    pieces.append(_overlap_chart(grid.best, positive, negative))
    below = TITLE + _tall(grid) + 20
    pieces.append(svg.legend([("solid", svg.INK, "an object's own box"),
                              ("solid", svg.BLUE, f"anchor with IoU {positive:.2f} or more"),
                              ("dashed", svg.RED, "anchor forced: an object's best")],
                             GAP, below, 18))
    return _finished(grid, pieces, caption)


def _overlap_chart(best: Tensor, positive: float, negative: float) -> str:
    """How many anchors have which overlap, on a scale of powers of ten, and both thresholds."""
    counts = torch.histc(best.float(), BARS, 0, 1).tolist()
    most = 1.2 * max(math.log10(1 + max(counts)), 1)  # room above for the words
    left, bottom, bar = LEFT, _chart_top() + HIGH, _chart_wide() / BARS
    pieces = [_chart_frame("anchors by their best IoU (count, log scale)", "best IoU")]
    for i, count in enumerate(counts):
        low = i / BARS
        state = (OBJECT if low >= positive - 1e-6 else
                 BACKGROUND if low < negative - 1e-6 else IGNORE)
        tall = HIGH * math.log10(1 + count) / most
        x = left + i * bar
        if count:
            pieces.append(svg.box((x + 1, bottom - tall, x + bar - 1, bottom), svg.INK, width=0.5,
                                  fill=STATES[state][1]))
    for value in sorted({negative, positive}):
        x = left + _chart_wide() * value
        pieces += [svg.line(x, bottom - HIGH, x, bottom, svg.INK, dashed=True)]
    spans = (("background", 0, negative), ("ignored", negative, positive), ("object", positive, 1))
    for words, low, high in spans:
        if (high - low) * _chart_wide() > 7 * len(words):
            x = left + _chart_wide() * (low + high) / 2
            pieces.append(svg.text(x, bottom - HIGH + 12, words, 11, "middle"))
    return "".join(pieces)


# ---- answers ------------------------------------------------------------------------------------


def objectness_frame(
    grid: Grid, answers: Sequence[Answer], answer: str, threshold: float, moved: bool = True,
) -> Frame:
    """What one network says: the boxes above a threshold, each level's objectness, and how well
    the anchors that are labelled objects are told from background.

    Args:
        answer: the name of one of the answers. threshold: objectness, in [0, 1].
        moved: show boxes where the deltas put them; else the anchors as they stand.
    """
    names = [one.name for one in answers]
    if answer not in names:
        raise ValueError(f"answer must be one of {', '.join(names)}, got {answer!r}.")
    if not 0 <= threshold <= 1:
        raise ValueError(f"threshold must be in 0..1, got {svg.number(threshold)}.")
    said = answers[names.index(answer)]
    probs = said.objectness_logits.sigmoid()
    order = probs.argsort(descending=True, stable=True)
    order = order[probs[order] >= threshold]
    boxes = grid.anchors[order]
    if moved:
        boxes = decode_boxes(said.deltas[order], boxes)
    boxes = clip_boxes(boxes, tuple(grid.image.shape[1:]))
    iou = box_iou(grid.boxes, boxes)
    right = (iou >= COVERED).any(dim=0) if len(grid.boxes) else torch.zeros(len(boxes)).bool()
    found = int((iou >= COVERED).any(dim=1).sum()) if len(boxes) else 0
    labels, _ = match(grid.iou, POSITIVE, NEGATIVE, force_best=True)
    means = [float(probs[labels == state].mean()) if (labels == state).any() else 0.0
             for state in (OBJECT, BACKGROUND)]
    caption = (
        f"{answer}, objectness at least {threshold:.2f}: {len(boxes)} of {len(probs)} boxes, "
        f"{int(right.sum())} of them cover an object by an IoU of {COVERED} or more; "
        f"{found} of {len(grid.boxes)} objects are covered. Anchors that are labelled objects get "
        f"{means[0]:.3f} on average, background {means[1]:.3f}.")
    where = "moved" if moved else "anchors"
    pieces = [_scene(grid, f"objects (black), the likeliest boxes ({where})"),
              _boxes(grid, boxes[~right], svg.RED, True, 1.25),
              _boxes(grid, boxes[right], svg.BLUE, False)]
    for k, values in enumerate(grid.maps(probs)):
        pieces.append(_map(grid, k, svg.shades(values).permute(2, 0, 1)))
    dark, bright = (_code(svg.shades(torch.tensor(x)).tolist()) for x in (0.0, 1.0))
    pieces.append(_key([(dark, "0, a cell's best anchor"), (bright, "1")]))
    pieces.append(_objectness_chart(probs, labels, threshold))
    below = TITLE + _tall(grid) + 20
    pieces.append(svg.legend([("solid", svg.INK, "an object's own box"),
                              ("solid", svg.BLUE, f"covers an object, IoU {COVERED} or more"),
                              ("dashed", svg.RED, "covers none")], GAP, below, 18))
    return _finished(grid, pieces, caption)


def _objectness_chart(probs: Tensor, labels: Tensor, threshold: float) -> str:
    """How many anchors get which objectness, those labelled objects and background apart."""
    bottom, bar = _chart_top() + HIGH, _chart_wide() / BARS
    pieces = [_chart_frame("anchors by objectness (count, log scale)", "objectness")]
    groups = [torch.histc(probs[labels == state].float(), BARS, 0, 1).tolist()
              for state in (BACKGROUND, OBJECT)]
    most = max(math.log10(1 + max(map(max, groups))), 1)
    for counts, shade, dashed in zip(groups, (svg.RED, svg.BLUE), (True, False)):
        path = []
        for i, count in enumerate(counts):
            level = bottom - HIGH * math.log10(1 + count) / most
            path += [(LEFT + i * bar, level), (LEFT + (i + 1) * bar, level)]
        pieces.append(svg.polyline(path, shade, dashed, 2))
    x = LEFT + _chart_wide() * threshold
    pieces += [svg.line(x, bottom - HIGH, x, bottom, svg.INK, width=2)]
    entries = [("solid", svg.BLUE, "labelled object"), ("dashed", svg.RED, "background"),
               ("solid", svg.INK, "threshold")]
    for i, entry in enumerate(entries):
        pieces.append(svg.legend([entry], LEFT + (0, 140, 252)[i], bottom + 48))
    return "".join(pieces)


# ---- the parts of both pictures -----------------------------------------------------------------


def _rgb(code: str) -> list[float]:
    return [int(code[i : i + 2], 16) / 255 for i in (1, 3, 5)]


def _code(shade: Sequence[float]) -> str:
    return "#" + "".join(f"{round(255 * part):02x}" for part in shade)


def _tall(grid: Grid) -> float:
    return PANEL * grid.image.shape[1] / grid.image.shape[2]


def _chart_wide() -> float:
    return 3 * SMALL + 2 * GAP


def _chart_top() -> float:
    return TITLE + SMALL + 52


def _scene(grid: Grid, title: str) -> str:
    """The image, and its objects' own boxes."""
    whole = (GAP, TITLE, GAP + PANEL, TITLE + _tall(grid))
    scale = PANEL / grid.image.shape[2]
    shapes = [svg.text(GAP, TITLE - 9, title, 11), svg.underlay(grid.uri, whole)]
    for x1, y1, x2, y2 in grid.boxes.tolist():
        edges = (GAP + x1 * scale, TITLE + y1 * scale, GAP + x2 * scale, TITLE + y2 * scale)
        shapes += [svg.box(edges, svg.PAPER, width=4.5), svg.box(edges, svg.INK, width=2.5)]
    return "".join(shapes)


def _boxes(grid: Grid, boxes: Tensor, colour: str, dashed: bool, width: float = 1.75) -> str:
    """At most `MOST_DRAWN` boxes over the image, the first of them; outside is cut off."""
    scale = PANEL / grid.image.shape[2]
    inside = clip_boxes(boxes[:MOST_DRAWN], tuple(grid.image.shape[1:])) * scale
    return "".join(svg.box((GAP + x1, TITLE + y1, GAP + x2, TITLE + y2), colour, dashed, width)
                   for x1, y1, x2, y2 in inside.tolist())


def _map(grid: Grid, level: int, colours: Tensor) -> str:
    """One level's map, (3, H, W) colours of its cells, with its size written over it."""
    left = LEFT + level * (SMALL + GAP)
    height, width = grid.shapes[level]
    edges = (left, TITLE, left + SMALL, TITLE + SMALL * height / width)
    return (svg.text(left, TITLE - 9, f"{height} x {width} cells", 11)
            + svg.underlay(svg.image_uri(colours.float()), edges)
            + svg.box(edges, svg.INK, width=1))


def _key(entries: Sequence[tuple[str, str]]) -> str:
    """What the shades of the maps mean, below them."""
    pieces, x = [], LEFT
    for fill, words in entries:
        level = TITLE + SMALL + 10
        pieces += [svg.box((x, level, x + 14, level + 10), svg.INK, width=0.75, fill=fill),
                   svg.text(x + 19, level + 9, words, 11)]
        x += 34 + 6.6 * len(words)
    return "".join(pieces)


def _chart_frame(title: str, below: str) -> str:
    """A chart's title, its border, and the numbers 0 to 1 under it."""
    top, wide = _chart_top(), _chart_wide()
    pieces = [svg.text(LEFT, top - 8, title, 11),
              svg.box((LEFT, top, LEFT + wide, top + HIGH), svg.PALE, width=1)]
    for tenth in range(0, 11, 2):
        pieces.append(svg.text(LEFT + wide * tenth / 10, top + HIGH + 14, svg.number(tenth / 10),
                               11, "middle"))
    pieces.append(svg.text(LEFT + wide / 2, top + HIGH + 29, below, 11, "middle"))
    return "".join(pieces)


def _finished(grid: Grid, pieces: list[str], caption: str) -> Frame:
    wide = LEFT + _chart_wide() + GAP
    high = max(TITLE + _tall(grid) + 80, _chart_top() + HIGH + 64)
    return Frame(svg.picture(wide, high, *pieces, label=caption), caption)


# ---- the explorers ------------------------------------------------------------------------------


def explore_matching(grid: Grid) -> Explorer:
    """Sliders over both IoU thresholds, and whether an object's best anchor is forced."""
    return Explorer(
        partial(matching_frame, grid),
        positive=FloatSlider(POSITIVE, min=0.05, max=0.95, step=0.05,
                             description="object from (IoU)"),
        negative=FloatSlider(NEGATIVE, min=0.05, max=0.95, step=0.05,
                             description="background below (IoU)"),
        force_best=Dropdown(options=[("forced", True), ("not forced", False)], value=True,
                            description="best of each object"),
    )


def explore_objectness(grid: Grid, answers: Sequence[Answer]) -> Explorer:
    """A choice of networks, or of one network's steps; a slider over the objectness threshold.

    Args:
        answers: made once, before the sliders move; the last is shown first.
    """
    if not answers:
        raise ValueError("explore_objectness needs at least one Answer(name, objectness_logits, "
                         "deltas), got none.")
    for one in answers:
        check_shape(one.objectness_logits, "A", f"{one.name}: objectness_logits")
        check_shape(one.deltas, "A 4", f"{one.name}: deltas")
        if len(one.objectness_logits) != len(grid.anchors):
            raise ValueError(f"{one.name} answers for {len(one.objectness_logits)} anchors, but "
                             f"the grid has {len(grid.anchors)}.")
    names = [one.name for one in answers]
    if len(set(names)) < len(names):
        raise ValueError(f"Each answer needs a name of its own, got {', '.join(names)}.")
    return Explorer(
        partial(objectness_frame, grid, list(answers)),
        answer=SelectionSlider(options=names, value=names[-1], description="network"),
        threshold=FloatSlider(0.5, min=0.05, max=0.95, step=0.05,
                              description="objectness at least"),
        moved=Dropdown(options=[("where the deltas put them", True),
                                ("as the anchors stand", False)], value=True,
                       description="boxes"),
    )
