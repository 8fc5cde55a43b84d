"""Which level of a pyramid reads a box: the box in the cells of each level, and Eq. 1 as a ruler.

Letters
    H, W  height and width of the image in pixels
    L     levels, finest first
    k     a level's number as the paper counts: P_k has stride 2^k, so stride 4 is P2

Boxes are (x1, y1, x2, y2) in image pixels. The side of a box is sqrt(w h).

Lesson: 20
"""

import math
from collections.abc import Sequence
from functools import lru_cache

import torch.nn.functional as F
from ipywidgets import FloatSlider, SelectionSlider
from torch import Tensor

from teachseg.checks import check_image
from teachseg.explore import svg
from teachseg.explore.explorer import Explorer, Frame

RULES = {  # name -> (base of the logarithm, its name, is it rounded rather than cut)
    "floor of log2": (2.0, "log2", False),
    "floor of ln": (math.e, "ln", False),
    "round of log2": (2.0, "log2", True),
}
RATIOS = (("1/4", 0.25), ("1/2", 0.5), ("1", 1.0), ("2", 2.0), ("4", 4.0))  # height / width
BINS = 7                    # of the box head, a side
PANEL, GAP, EDGE = 132, 12, 10
SHOWN = 128                 # pixels of the longer side of the small image
TOP, UNDER = 40, 44         # above and below the panels
SHORTEST, LONGEST = 8, 1024  # sides on the ruler
RULER, THICK = 72, 26       # room for the ruler, and its height


class Pyramid:
    """An image, its strides, and the image as each of them has it: one colour a cell.

    Args:
        image: (3, H, W) in [0, 1].
        strides: each twice the one before, finest first.
        canonical_side, canonical_level: as `layers.fpn.assign_levels` takes them.
    """

    def __init__(self, image: Tensor, strides: Sequence[int] = (4, 8, 16, 32),
                 canonical_side: float = 224, canonical_level: int = 2):
        check_image(image)
        if any(2 * fine != coarse for fine, coarse in zip(strides, strides[1:])):
            raise ValueError(f"Strides must double from level to level, got {tuple(strides)}.")
        self.image, self.strides = image, tuple(strides)
        small = F.avg_pool2d(image[None], max(1, max(image.shape[1:]) // SHOWN))[0]
        self.uri = svg.image_uri(small)  # the whole image is drawn small, and sent with each move
        self.size = tuple(image.shape[1:])
        self.canonical_side, self.canonical_level = canonical_side, canonical_level
        self.first = strides[0].bit_length() - 1  # the finest level's k
        self.cells = lru_cache(maxsize=16)(self._cells)

    def _cells(self, stride: int) -> Tensor:
        """(3, H', W'): the mean colour of each cell."""
        return F.avg_pool2d(self.image[None], stride, ceil_mode=True, count_include_pad=False)[0]

    def exact(self, side: float, rule: str) -> float:
        """k before it is made whole: k_0 + log(side / canonical side)."""
        base = RULES[rule][0]
        k = self.first + self.canonical_level
        return k + math.log(side / self.canonical_side) / math.log(base)

    def whole(self, side: float, rule: str) -> int:
        """k made whole, before it is held among the levels there are."""
        nudged = self.exact(side, rule) + 1e-6  # as in assign_levels: 224 is not below 224
        return math.floor(nudged + 0.5) if RULES[rule][2] else math.floor(nudged)

    def level(self, side: float, rule: str = "floor of log2") -> int:
        """Which level, from 0, reads a box of that side."""
        return min(max(self.whole(side, rule) - self.first, 0), len(self.strides) - 1)

    def borders(self, rule: str) -> list[float]:
        """The sides at which level 1, 2, ... begin."""
        base, _, rounded = RULES[rule]
        half = 0.5 if rounded else 0.0
        return [self.canonical_side * base ** (i - half - self.canonical_level)
                for i in range(1, len(self.strides))]


def place_box(size: tuple[int, int], middle: tuple[float, float], side: float,
              ratio: float) -> tuple[float, float, float, float]:
    """A box of side sqrt(w h) and ratio h / w around a place, moved into the image if need be.

    Raises:
        ValueError: it is larger than the image.
    """
    wide, high = side / math.sqrt(ratio), side * math.sqrt(ratio)
    if wide > size[1] + 1e-6 or high > size[0] + 1e-6:
        raise ValueError(f"A box {wide:.0f} x {high:.0f} px does not fit the image, which is "
                         f"{size[1]} x {size[0]}: take a smaller side, or a ratio nearer to 1.")
    x = min(max(middle[0] - wide / 2, 0), max(size[1] - wide, 0))
    y = min(max(middle[1] - high / 2, 0), max(size[0] - high, 0))
    return x, y, x + wide, y + high


def level_frame(pyramid: Pyramid, middle: tuple[float, float], side: float, ratio: float = 1.0,
                rule: str = "floor of log2") -> Frame:
    """The image, the box in each level's cells, and below them the ruler of sides.

    Args:
        middle: (x, y) of the box. side: sqrt(w h), pixels. ratio: h / w. rule: one of `RULES`.
    """
    if rule not in RULES:
        raise ValueError(f"rule must be one of {', '.join(RULES)}, got {rule!r}.")
    if not SHORTEST <= side <= LONGEST:
        raise ValueError(f"The side must be in {SHORTEST}..{LONGEST} pixels, which is what the "
                         f"ruler shows, got {svg.number(side)}.")
    box = place_box(pyramid.size, middle, side, ratio)
    reads = pyramid.level(side, rule)
    caption = _caption(pyramid, box, side, rule, reads)
    pieces = [_whole_image(pyramid, box)]
    for i in range(len(pyramid.strides)):
        left = EDGE + (i + 1) * (PANEL + GAP)
        pieces.append(_panel(pyramid, box, i, left, i == reads))
    wide = 2 * EDGE + (len(pyramid.strides) + 1) * (PANEL + GAP) - GAP
    pieces.append(_ruler(pyramid, side, rule, reads, wide, TOP + PANEL + UNDER + 32))
    return Frame(svg.picture(wide, TOP + PANEL + UNDER + RULER + 6, *pieces, label=caption),
                 caption)


def _caption(pyramid: Pyramid, box: Sequence[float], side: float, rule: str, reads: int) -> str:
    wide, high = box[2] - box[0], box[3] - box[1]
    _, log, rounded = RULES[rule]
    k, whole = pyramid.first + reads, pyramid.whole(side, rule)
    held = "" if whole == k else f", held at {k}"
    stride = pyramid.strides[reads]
    return (f"A box {wide:.0f} x {high:.0f} px has the side {svg.number(side)}: "
            f"{pyramid.first + pyramid.canonical_level} + {log}({svg.number(side)} / "
            f"{svg.number(pyramid.canonical_side)}) = {pyramid.exact(side, rule):.3f}, "
            f"{'rounded' if rounded else 'floor'} {whole}{held}. P{k} reads it, stride {stride}: "
            f"{wide / stride:.1f} x {high / stride:.1f} cells, {wide / stride / BINS:.2f} x "
            f"{high / stride / BINS:.2f} for each of {BINS} x {BINS} bins.")


def _whole_image(pyramid: Pyramid, box: Sequence[float]) -> str:
    """The image with the box in it."""
    scale = PANEL / max(pyramid.size)
    edges = (EDGE, TOP, EDGE + pyramid.size[1] * scale, TOP + pyramid.size[0] * scale)
    inside = [EDGE + box[0] * scale, TOP + box[1] * scale, EDGE + box[2] * scale,
              TOP + box[3] * scale]
    return (svg.text(EDGE, TOP - 8, "the image", 11) + svg.underlay(pyramid.uri, edges)
            + svg.box(inside, svg.PAPER, width=4) + svg.box(inside, svg.RED, width=2)
            + svg.text(EDGE, TOP + PANEL + 15, f"{pyramid.size[1]} x {pyramid.size[0]} px", 11))


def _panel(pyramid: Pyramid, box: Sequence[float], i: int, left: float, reads: bool) -> str:
    """What level i has of the box: its cells, each in its mean colour."""
    stride, coarsest = pyramid.strides[i], pyramid.strides[-1]
    height, width = pyramid.size
    x1, y1 = (math.floor(edge / coarsest + 1e-9) * coarsest for edge in box[:2])
    x2 = min(math.ceil(box[2] / coarsest - 1e-9) * coarsest, width)
    y2 = min(math.ceil(box[3] / coarsest - 1e-9) * coarsest, height)
    scale = PANEL / max(x2 - x1, y2 - y1)
    cells = pyramid.cells(stride)[:, y1 // stride : math.ceil(y2 / stride),
                                  x1 // stride : math.ceil(x2 / stride)]
    edges = (left, TOP, left + (x2 - x1) * scale, TOP + (y2 - y1) * scale)
    inside = (left + (box[0] - x1) * scale, TOP + (box[1] - y1) * scale,
              left + (box[2] - x1) * scale, TOP + (box[3] - y1) * scale)
    pieces = [svg.underlay(svg.image_uri(cells), edges)]
    if reads:
        spans = [[(inside[axis] + j * (inside[axis + 2] - inside[axis]) / BINS,
                   inside[axis] + (j + 1) * (inside[axis + 2] - inside[axis]) / BINS)
                  for j in range(BINS)] for axis in (0, 1)]
        pieces.append(svg.bins(*spans, svg.PAPER, dashed=False, width=1))
    elif stride * scale >= 5:  # finer lines would hide the cells
        pieces.append(svg.grid_lines(edges, stride * scale, svg.PAPER, 0.5))
    pieces.append(svg.box(inside, svg.PAPER, width=4 if reads else 3))
    pieces.append(svg.box(inside, svg.RED if reads else svg.BLACK, dashed=not reads,
                          width=2.5 if reads else 1.5))
    wide, high = (box[2] - box[0]) / stride, (box[3] - box[1]) / stride
    name = f"P{pyramid.first + i}, stride {stride}"
    pieces.append(svg.text(left, TOP - 8, f"{name}: reads it" if reads else name, 11,
                           colour=svg.INK))
    if reads:
        pieces.append(svg.box((left - 3, TOP - 3, left + PANEL + 3, TOP + PANEL + 3), svg.RED,
                              width=2))
        pieces.append(svg.arrow(left + PANEL / 2, TOP - 36, left + PANEL / 2, TOP - 21, svg.RED))
    pieces.append(svg.text(left, TOP + PANEL + 17, f"{wide:.1f} x {high:.1f} cells", 11))
    pieces.append(svg.text(left, TOP + PANEL + 32, f"{wide / BINS:.2f} x {high / BINS:.2f} a bin",
                           11))
    return "".join(pieces)


def _ruler(pyramid: Pyramid, side: float, rule: str, reads: int, wide: float, top: float) -> str:
    """Sides on a logarithmic line, cut into the levels that read them, and the box's own side."""
    doublings = math.log2(LONGEST / SHORTEST)

    def at(pixels: float) -> float:
        return EDGE + (wide - 2 * EDGE) * math.log2(pixels / SHORTEST) / doublings

    cuts = [float(SHORTEST), *pyramid.borders(rule), float(LONGEST)]
    pieces = [svg.text(EDGE, top - 18, f"side sqrt(w h), px; who reads it by the {rule}", 11)]
    for i, (low, high) in enumerate(zip(cuts, cuts[1:])):
        low, high = (min(max(pixels, SHORTEST), LONGEST) for pixels in (low, high))
        if at(high) - at(low) < 1:
            continue
        shade = svg.YELLOW if i == reads else svg.PAPER
        pieces.append(svg.box((at(low), top, at(high), top + THICK), svg.INK, width=1, fill=shade))
        if at(high) - at(low) > 24:
            pieces.append(svg.text((at(low) + at(high)) / 2, top + 17, f"P{pyramid.first + i}", 12,
                                   "middle"))
        if SHORTEST < low < LONGEST:
            pieces.append(svg.text(at(low), top + THICK + 14, svg.number(low, 0), 11, "middle"))
    for pixels, anchor in ((SHORTEST, "start"), (LONGEST, "end")):
        pieces.append(svg.text(at(pixels), top + THICK + 14, str(pixels), 11, anchor))
    x = at(side)
    anchor, shift = ("end", 8) if x > wide - 80 else ("start", -8) if x < 330 else ("middle", 0)
    pieces.append(svg.arrow(x, top - 13, x, top, svg.RED, width=2.5))
    pieces.append(svg.text(max(x + shift, 322) if x < 330 else x + shift, top - 18,
                           f"this box: {svg.number(side)}", 11, anchor))
    return "".join(pieces)


def explore_levels(image: Tensor, middle: tuple[float, float],
                   strides: Sequence[int] = (4, 8, 16, 32), canonical_side: float = 224,
                   canonical_level: int = 2) -> Explorer:
    """Sliders over a box's side and shape, and over the rule by which a level is chosen.

    Args:
        image: (3, H, W) in [0, 1]. middle: (x, y) of the box, pixels.
        The rest: as `layers.fpn.assign_levels` takes them.
    """
    pyramid = Pyramid(image, strides, canonical_side, canonical_level)
    largest = min(pyramid.size)
    return Explorer(
        lambda **state: level_frame(pyramid, middle, **state),
        side=FloatSlider(min(100.0, largest), min=SHORTEST, max=largest, step=1,
                         readout_format=".0f", description="side sqrt(w h) (px)"),
        ratio=SelectionSlider(options=RATIOS, value=1.0, description="height / width"),
        rule=SelectionSlider(options=tuple(RULES), value="floor of log2",
                             description="rule for the level"),
    )
