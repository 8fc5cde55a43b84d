"""What two boxes, and two masks, have in common: a box slid over another, an object over another.

Letters
    A, B    the two boxes, or the two objects
    H, W    height and width of the image, in pixels
    S       farthest shift of object B, in pixels, in each direction

Boxes are (x1, y1, x2, y2) in pixel edges.

Lesson: 01
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from ipywidgets import Dropdown, IntSlider, SelectionSlider
from torch import Tensor

from teachseg.explore import svg
from teachseg.explore.explorer import Explorer, Frame
from teachseg.geometry.boxes import box_area, box_iou, from_inclusive
from teachseg.geometry.masks import masks_to_boxes

# ---- a box over a box ---------------------------------------------------------------------------

FIELD = (14, 22)        # (height, width) of the field on which boxes are moved, in pixels
BOX_A = (5, 3, 15, 11)  # the box that stays
PIXEL = 22              # side of a drawn pixel
LEFT, TOP = 30, 34      # margins: numbers of the edges stand there
READINGS = ("edges", "last pixel inside, + 1 forgotten")


class Overlap(NamedTuple):
    """What two boxes, or two masks, have in common."""

    a: float       # area of A
    b: float       # area of B
    common: float  # what both cover

    @property
    def union(self) -> float:
        """What they cover together."""
        return self.a + self.b - self.common

    @property
    def iou(self) -> float:
        """common / union; 0 where there is nothing at all."""
        return self.common / self.union if self.union else 0.0


def overlap_of(a: Sequence[float], b: Sequence[float]) -> Overlap:
    """Areas of two boxes and of what they have in common, in square pixels."""
    pair = torch.tensor([list(a), list(b)], dtype=torch.float64)
    common = torch.cat([pair[:, :2].amax(dim=0), pair[:, 2:].amin(dim=0)])[None]
    (area_a, area_b), (both,) = box_area(pair).tolist(), box_area(common).tolist()
    return Overlap(area_a, area_b, both)


def boxes_frame(x: int, y: int, width: int, height: int, reading: str = READINGS[0]) -> Frame:
    """Box B at (x, y) over box A, what they have in common filled, and the areas as bars.

    Args:
        x, y: left and top edge of B. width, height: its sides; all in pixels.
        reading: whether the numbers are edges, as here, or name the last pixel inside and are then
            read as if they were edges: each box loses its last row and column.
    """
    if reading not in READINGS:
        raise ValueError(f"reading must be one of {', '.join(map(repr, READINGS))}, got "
                         f"{reading!r}.")
    if width < 1 or height < 1:
        raise ValueError(f"B must be at least one pixel wide and high, got {width} x {height}.")
    if x < 0 or y < 0 or x + width > FIELD[1] or y + height > FIELD[0]:
        raise ValueError(f"B reaches from ({x}, {y}) to ({x + width}, {y + height}), out of the "
                         f"field of {FIELD[1]} x {FIELD[0]} pixels. Make it smaller, or move it.")
    lost = 0 if reading == READINGS[0] else 1
    boxes = [(*one[:2], one[2] - lost, one[3] - lost)
             for one in (BOX_A, (x, y, x + width, y + height))]
    found = overlap_of(*boxes)
    caption = (
        f"A {boxes[0]} and B {boxes[1]}, areas {found.a:.0f} and {found.b:.0f}: in common "
        f"{found.common:.0f}, together {found.a:.0f} + {found.b:.0f} - {found.common:.0f} = "
        f"{found.union:.0f}, IoU {found.iou:.4f}.")
    if lost:
        true = overlap_of(*from_inclusive(torch.tensor(boxes)).tolist())
        caption += f" With the + 1 it would be {true.iou:.4f}."
    return Frame(_field(boxes, found, caption), caption)


def _field(boxes: list[tuple[int, ...]], found: Overlap, caption: str) -> str:
    """The field with both boxes, and under it the areas."""
    height, width = FIELD
    right, bottom = LEFT + width * PIXEL, TOP + height * PIXEL
    pieces = [svg.box((LEFT, TOP, right, bottom), svg.PALE, width=1),
              svg.grid_lines((LEFT, TOP, right, bottom), PIXEL)]
    pieces += [svg.text(LEFT + i * PIXEL, TOP - 6, str(i), 10, "middle")
               for i in range(0, width + 1, 2)]
    pieces += [svg.text(LEFT - 6, TOP + i * PIXEL + 4, str(i), 10, "end")
               for i in range(0, height + 1, 2)]
    pieces.append(svg.mask(_both(boxes), LEFT, TOP, PIXEL, svg.GREEN, 0.4, width=1))
    for edges, colour, dashed in zip(boxes, (svg.BLUE, svg.RED), (False, True)):
        drawn = [LEFT + edge * PIXEL if i % 2 == 0 else TOP + edge * PIXEL
                 for i, edge in enumerate(edges)]
        pieces.append(svg.box(drawn, colour, dashed, width=3))
    (ax, ay), (bx, by) = boxes[0][:2], boxes[1][2:]
    pieces += [svg.text(LEFT + ax * PIXEL + 5, TOP + ay * PIXEL + 18, "A", 16, colour=svg.BLUE),
               svg.text(LEFT + bx * PIXEL - 5, TOP + by * PIXEL - 6, "B", 16, "end", svg.RED)]
    pieces += _bars(found, LEFT, bottom + 16, width * PIXEL)
    return svg.picture(right + 20, bottom + 142, *pieces, label=caption)


def _both(boxes: list[tuple[int, ...]]) -> Tensor:
    """The field's pixels that lie in both boxes."""
    inside = torch.ones(FIELD, dtype=torch.bool)
    for x1, y1, x2, y2 in boxes:
        one = torch.zeros(FIELD, dtype=torch.bool)
        one[y1:y2, x1:x2] = True
        inside &= one
    return inside


def _bars(found: Overlap, left: float, top: float, long: float) -> list[str]:
    """A, B below it where they overlap it, and a scale with the IoU."""
    scale = (long - 150) / max(found.union, 1)
    start, pieces = left + 150, []
    spans = [("A", svg.BLUE, False, 0.0, found.a),
             ("B", svg.RED, True, found.a - found.common, found.union),
             ("in common", svg.GREEN, False, found.a - found.common, found.a)]
    for i, (words, colour, dashed, first, end) in enumerate(spans):
        level = top + 22 * i
        pieces.append(svg.text(left, level + 12, f"{words}: {end - first:.0f}"))
        if end > first:
            fill = "#99D8C7" if words == "in common" else "none"
            pieces.append(svg.box((start + first * scale, level, start + end * scale, level + 15),
                                  colour, dashed, 2, fill))
    level = top + 92
    pieces.append(svg.text(left, level + 5, f"IoU {found.iou:.4f}", 14))
    pieces.append(svg.line(start, level, left + long, level))
    for value in (0, 0.25, 0.5, 0.75, 1):
        x = start + (left + long - start) * value
        pieces += [svg.line(x, level - 4, x, level + 4),
                   svg.text(x, level + 19, svg.number(value), 10, "middle")]
    x = start + (left + long - start) * found.iou
    pieces.append(svg.arrow(x, level - 20, x, level - 2, svg.INK))
    return pieces


def explore_boxes() -> Explorer:
    """Sliders over the place and the size of box B, and over how its numbers are read."""
    height, width = FIELD
    return Explorer(
        boxes_frame,
        x=IntSlider(9, min=0, max=width - 1, description="left edge of B, px"),
        y=IntSlider(5, min=0, max=height - 1, description="top edge of B, px"),
        width=IntSlider(10, min=1, max=width, description="width of B, px"),
        height=IntSlider(8, min=1, max=height, description="height of B, px"),
        reading=SelectionSlider(options=READINGS, value=READINGS[0], description="x2, y2 are"),
    )


# ---- an object over an object -------------------------------------------------------------------

FARTHEST = 24           # S
WINDOW = 330.0          # longer side of the drawn part of the image
CHART = (250.0, 200.0)  # width and height of the curves


class Pair(NamedTuple):
    """Two objects of one image; the second is the one that moves."""

    name: str
    image: Tensor   # (3, H, W) in [0, 1]
    first: Tensor   # (H, W) bool
    second: Tensor  # (H, W) bool


def commons(first: Tensor, second: Tensor, farthest: int = FARTHEST) -> Tensor:
    """Pixels that two masks have in common, for every shift of the second.

    A correlation, as a product of Fourier transforms: the masks are wide enough padded that nothing
    comes in again from the other side.

    Args:
        first, second: (H, W) bool.

    Returns:
        (2S + 1, 2S + 1) whole numbers; [S + down, S + right] is that shift's.
    """
    sides = [side + 2 * farthest for side in first.shape]
    spectrum = torch.fft.rfft2(first.double(), s=sides)
    other = torch.fft.rfft2(second.double(), s=sides)
    table = torch.fft.irfft2(spectrum * other.conj(), s=sides).round().long()
    return table.roll((farthest, farthest), (0, 1))[: 2 * farthest + 1, : 2 * farthest + 1]


class Prepared:
    """What of a pair does not depend on the sliders: its drawing, its boxes, all its overlaps."""

    def __init__(self, pair: Pair):
        for mask, which in ((pair.first, "first"), (pair.second, "second")):
            if mask.shape != pair.image.shape[1:]:
                raise ValueError(f"{pair.name}: the {which} mask is {tuple(mask.shape)}, the image "
                                 f"{tuple(pair.image.shape[1:])} (height, width).")
            if not mask.any():
                raise ValueError(f"{pair.name}: the {which} mask is empty, so there is nothing to "
                                 "move.")
        self.name = pair.name
        self.boxes = masks_to_boxes(torch.stack([pair.first, pair.second]))  # (2, 4)
        self.areas = [int(mask.sum()) for mask in (pair.first, pair.second)]
        self.common = commons(pair.first, pair.second)
        x1, y1 = (self.boxes[:, :2].amin(dim=0) - FARTHEST).int().tolist()
        x2, y2 = (self.boxes[:, 2:].amax(dim=0) + FARTHEST).int().tolist()
        self.pixel = WINDOW / max(x2 - x1, y2 - y1)
        self.size = (x2 - x1) * self.pixel, (y2 - y1) * self.pixel
        self.corner = -x1 * self.pixel, -y1 * self.pixel  # where the image's corner is drawn
        high, wide = pair.image.shape[1:]
        seen = pair.image[:, max(y1, 0) : y2, max(x1, 0) : x2]
        seen = F.pad(seen, (max(-x1, 0), max(x2 - wide, 0), max(-y1, 0), max(y2 - high, 0)),
                     value=1.0)  # white beyond the image
        self.backdrop = svg.underlay(svg.image_uri(0.4 + 0.6 * seen), (0, 0, *self.size))
        self.drawn = [svg.mask(mask, *self.corner, self.pixel, colour, 0.45, 2, dashed)
                      + svg.box([edge * self.pixel + self.corner[i % 2]
                                 for i, edge in enumerate(box.tolist())], colour, dashed, 2)
                      for mask, box, colour, dashed in zip(
                          (pair.first, pair.second), self.boxes, (svg.BLUE, svg.RED),
                          (False, True))]

    def masks_at(self, right: int, down: int) -> Overlap:
        """What the masks have in common when the second is moved so far."""
        common = int(self.common[FARTHEST + down, FARTHEST + right])
        return Overlap(*self.areas, common)

    def boxes_at(self, right: int, down: int) -> Overlap:
        """What the boxes have in common when the second is moved so far."""
        x1, y1, x2, y2 = self.boxes[1].tolist()
        return overlap_of(self.boxes[0].tolist(), (x1 + right, y1 + down, x2 + right, y2 + down))

    def curves(self, down: int) -> tuple[list[float], list[float]]:
        """IoU of the boxes, and of the masks, for each shift to the right."""
        shift = torch.arange(-FARTHEST, FARTHEST + 1)
        moved = torch.stack([shift, torch.full_like(shift, down)], dim=1).repeat(1, 2)
        boxes = box_iou(self.boxes[:1], self.boxes[1] + moved)[0]
        common = self.common[FARTHEST + down]
        return boxes.tolist(), (common / (sum(self.areas) - common)).tolist()


def masks_frame(pairs: dict[str, Prepared], pair: str, right: int = 0, down: int = 0) -> Frame:
    """Left the two objects, the second moved; right both IoUs over its way to the right.

    Args:
        pairs: by name. pair: which. right, down: how far the second is moved, in pixels, up to S.
    """
    if pair not in pairs:
        raise ValueError(f"There is no pair {pair!r}. Choose one of {', '.join(map(repr, pairs))}.")
    if max(abs(right), abs(down)) > FARTHEST:
        raise ValueError(f"A shift goes from {-FARTHEST} to {FARTHEST} pixels, got {right} and "
                         f"{down}.")
    chosen = pairs[pair]
    boxes, masks = chosen.boxes_at(right, down), chosen.masks_at(right, down)
    caption = (
        f"{pair}, B moved by ({right}, {down}) px: boxes have {boxes.common:.0f} of "
        f"{boxes.union:.0f} px in common, IoU {boxes.iou:.3f}; masks {masks.common:.0f} of "
        f"{masks.union:.0f}, IoU {masks.iou:.3f}. A fills {masks.a / boxes.a:.0%} of its box, B "
        f"{masks.b / boxes.b:.0%}.")
    moved = svg.group(chosen.drawn[1], right=right * chosen.pixel, down=down * chosen.pixel)
    pieces = [svg.group(chosen.backdrop, chosen.drawn[0], moved, right=8, down=8)]
    left = 8 + chosen.size[0] + 46
    pieces += _iou_chart(chosen, left, right, down, boxes.iou, masks.iou)
    wide, high = left + CHART[0] + 16, max(chosen.size[1] + 16, CHART[1] + 150)
    return Frame(svg.picture(wide, high, *pieces, label=caption), caption)


def _iou_chart(
    chosen: Prepared, left: float, right: int, down: int, boxes: float, masks: float,
) -> list[str]:
    """Both IoUs over the shift to the right, at this shift down."""
    (long, high), top = CHART, 34

    def at(shift: float, iou: float) -> tuple[float, float]:
        return left + long * (shift + FARTHEST) / (2 * FARTHEST), top + high * (1 - iou)

    pieces = [svg.text(left, top - 14, f"IoU, B moved down by {down} px"),
              svg.box((left, top, left + long, top + high), svg.PALE, width=1)]
    for value in (0, 0.25, 0.5, 0.75, 1):
        _, level = at(0, value)
        pieces += [svg.line(left, level, left + long, level, svg.PALE, width=1),
                   svg.text(left - 6, level + 4, svg.number(value), 11, "end")]
    for value in (-24, -12, 0, 12, 24):
        pieces.append(svg.text(at(value, 0)[0], top + high + 15, str(value), 11, "middle"))
    pieces.append(svg.text(left + long / 2, top + high + 31, "B moved to the right, px", 11,
                           "middle"))
    x = at(right, 0)[0]
    pieces.append(svg.line(x, top, x, top + high, svg.INK, width=1))
    shifts = range(-FARTHEST, FARTHEST + 1)
    for curve, colour, dashed in zip(chosen.curves(down), (svg.BLACK, svg.PURPLE), (False, True)):
        pieces.append(svg.polyline((at(s, iou) for s, iou in zip(shifts, curve)), colour, dashed,
                                   2.5))
    pieces.append(svg.sample_points([at(right, boxes), at(right, masks)], svg.INK, 5, svg.PAPER))
    pieces.append(svg.legend([
        ("solid", svg.BLACK, f"of the boxes, {boxes:.3f}"),
        ("dashed", svg.PURPLE, f"of the masks, {masks:.3f}"),
        ("solid", svg.BLUE, "object A and its box"),
        ("dashed", svg.RED, "object B and its box, moved")], left, top + high + 52, 17))
    return pieces


def explore_masks(pairs: Sequence[Pair]) -> Explorer:
    """Sliders that move one object over another; which two, is chosen from a list.

    Args:
        pairs: at least one, each with a name of its own.
    """
    if not pairs:
        raise ValueError("At least one pair of objects is needed.")
    prepared = {pair.name: Prepared(pair) for pair in pairs}
    if len(prepared) < len(pairs):
        raise ValueError("Each pair needs a name of its own.")

    def frame(pair: str, right: int, down: int) -> Frame:
        return masks_frame(prepared, pair, right, down)

    return Explorer(
        frame,
        pair=Dropdown(options=list(prepared), description="two objects"),
        right=IntSlider(0, min=-FARTHEST, max=FARTHEST, description="B to the right, px"),
        down=IntSlider(0, min=-FARTHEST, max=FARTHEST, description="B down, px"),
    )
