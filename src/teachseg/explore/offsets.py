"""How far off an operator reads, as the box moves: a sawtooth for what is rounded, flat otherwise.

Letters
    S  bins a side
    n  samples a bin and axis

Positions and offsets are in image pixels, along x; a positive offset is to the right.

Lesson: 10
"""

from collections.abc import Sequence
from functools import lru_cache

from ipywidgets import FloatSlider, IntSlider, SelectionSlider

from teachseg.explore import svg
from teachseg.explore.explorer import Explorer, Frame
from teachseg.explore.roi import (
    COLOURS,
    NAMES,
    SIDE_BY_SIDE,
    STRIDES,
    bins_of,
    check_operator,
    check_setting,
    misalignment,
)

STEPS = 16               # positions a stride
CELLS = 2                # the box begins in one of so many cells
WIDE = 1024              # pixels of an image that is large enough for every slider
LEFT, TOP = 64, 32       # margins of the chart
LONG, HIGH = 480, 220    # the chart
KEY = 210                # room for the legend beside it


def offset_at(
    operator: str, start: float, width: float, stride: int, bins: int, sampling_ratio: int = 2
) -> float:
    """Mean offset along x of a box from `start` to `start + width`, far from the image's edges."""
    box = (start, 0.0, start + width, width)
    return misalignment(bins_of(operator, box, stride, bins, sampling_ratio), box)[0]


@lru_cache(maxsize=64)
def offset_curve(
    operator: str, width: float, stride: int, bins: int
) -> tuple[tuple[float, float], ...]:
    """(start, offset) for starts in steps of a sixteenth of the stride, over two cells.

    One cell is computed: a box moved by a whole cell is read a whole cell further.
    """
    step = stride / STEPS
    tooth = [offset_at(operator, i * step, width, stride, bins) for i in range(STEPS)]
    return tuple((i * step, tooth[i % STEPS]) for i in range(CELLS * STEPS + 1))


def offset_frame(
    start: float, width: float = 64.0, stride: int = 16, bins: int = 4,
    operators: Sequence[str] = SIDE_BY_SIDE,
) -> Frame:
    """The offset of each operator over the box's left edge, and where the box is now."""
    for operator in operators:
        check_operator(operator)
    check_setting(stride, bins, 2, (WIDE, WIDE))
    if not width >= max(1, bins):
        raise ValueError(f"{bins} bins do not fit a width of {svg.number(width)} pixels: a bin "
                         f"would be smaller than a pixel. Take at least {max(1, bins)}.")
    if not 0 <= start <= CELLS * stride:
        raise ValueError(f"start must be in 0..{CELLS * stride}, the two cells that are drawn, got "
                         f"{svg.number(start)}.")
    curves = {name: offset_curve(name, width, stride, bins) for name in operators}
    most = max([stride] + [abs(offset) for curve in curves.values() for _, offset in curve])

    def place(x: float, offset: float) -> tuple[float, float]:
        return LEFT + LONG * x / (CELLS * stride), TOP + HIGH / 2 * (1 - offset / most)

    pieces, now = [_axes(stride, most)], []
    for name, curve in curves.items():
        pieces.append(svg.polyline(
            (point and place(*point) for point in _lifted(curve, stride)), COLOURS[name],
            dashed=name != "align", width=2.5))
        offset = offset_at(name, start, width, stride, bins)
        x, y = place(start, offset)
        pieces.append(svg.sample_points([(x, y)], svg.INK, 5))
        pieces.append(svg.text(x + 7, y - 6, NAMES[name], 11))  # so that no one needs the colour
        now.append(f"{NAMES[name]} {offset + 0.0:+.2f}" if abs(offset) >= 0.005
                   else f"{NAMES[name]} 0.00")
    entries = [("solid" if name == "align" else "dashed", COLOURS[name], NAMES[name])
               for name in operators]
    pieces.append(svg.legend([*entries, ("cross", svg.INK, "the box now")],
                             LEFT + LONG + 20, TOP + 12))
    caption = (f"A box from {svg.number(start)} to {svg.number(start + width)}, stride {stride}, "
               f"{bins} bins: read off by, in pixels to the right, {', '.join(now)}.")
    drawing = svg.picture(LEFT + LONG + KEY, TOP + HIGH + 44, *pieces, label=caption)
    return Frame(drawing, caption)


def _lifted(curve: Sequence[tuple[float, float]], stride: int):
    """The curve's points, with None where it jumps."""
    last = curve[0][1]
    for start, offset in curve:
        if abs(offset - last) > stride / 4:
            yield None
        yield start, offset
        last = offset


def _axes(stride: int, most: float) -> str:
    """The chart's frame, a line at 0 and one where each cell begins, with their numbers."""
    right, bottom, middle = LEFT + LONG, TOP + HIGH, TOP + HIGH / 2
    pieces = [svg.box((LEFT, TOP, right, bottom), svg.PALE, width=1),
              svg.line(LEFT, middle, right, middle, svg.INK, width=1)]
    for i in range(2 * CELLS + 1):
        x = LEFT + LONG * i / (2 * CELLS)
        pieces.append(svg.line(x, TOP, x, bottom, svg.PALE, dashed=i % 2 == 1, width=1))
        pieces.append(svg.text(x, bottom + 16, svg.number(i * stride / 2), anchor="middle"))
    for level, value in ((TOP, most), (middle, 0.0), (bottom, -most)):
        pieces.append(svg.text(LEFT - 6, level + 4, svg.number(value), anchor="end"))
    pieces.append(svg.text(LEFT + LONG / 2, bottom + 34, "left edge of the box (px)",
                           anchor="middle"))
    pieces.append(svg.text(4, TOP - 16, "offset (px)"))
    return "".join(pieces)


def explore_offsets(operators: Sequence[str] = SIDE_BY_SIDE) -> Explorer:
    """Sliders over the box's left edge, its width, the stride and the bins."""
    return Explorer(
        lambda **state: offset_frame(**state, operators=operators),
        start=FloatSlider(4.0, min=0, max=CELLS * max(STRIDES), step=0.5, readout_format=".1f",
                          description="left edge (px)"),
        width=FloatSlider(64.0, min=8, max=256, step=1, readout_format=".0f",
                          description="width (px)"),
        stride=SelectionSlider(options=STRIDES, value=16, description="stride (px a cell)"),
        bins=IntSlider(4, min=1, max=14, description="bins a side"),
    )
