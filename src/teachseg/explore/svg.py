"""A small drawing vocabulary: functions that return a piece of SVG, and `picture` that joins them.

Letters
    H, W  height and width of an image in pixels, or of a map in cells
    S     bins a side

Coordinates are the picture's own units, x to the right and y down; boxes are (x1, y1, x2, y2).
Shapes carry presentation attributes only - no style sheet, no script, no ids that two pictures on
one page could share - so that they look alike in a notebook, on a site and in a PNG. Numbers are
rounded to two decimals: the same values make the same text everywhere.

Lesson: 10
"""

import base64
import io
import math
import re
from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from html import escape

import matplotlib
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from teachseg.checks import check_image, check_shape
from teachseg.plot import COLOURS, MAP

ORANGE, SKY, GREEN, YELLOW, BLUE, RED, PURPLE, BLACK = COLOURS
INK, PALE, PAPER = "#222222", "#BBBBBB", "#FFFFFF"
LINES = (*COLOURS, INK, PALE, PAPER)  # what lines and letters are drawn in
DASHES = "6 4"
NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

Box = Sequence[float]
Span = tuple[float, float]


# ---- numbers, words, colours --------------------------------------------------------------------


@lru_cache(maxsize=8192)
def number(x: float, decimals: int = 2) -> str:
    """Rounded, without needless zeros, and never -0.

    >>> number(2 / 3), number(3.0), number(-0.001), number(-1.5)
    ('0.67', '3', '0', '-1.5')
    """
    if not math.isfinite(x):
        raise ValueError(f"A picture holds ordinary numbers, got {x}. Leave out what has no place.")
    digits = f"{x:.{decimals}f}"
    digits = digits.rstrip("0").rstrip(".") if "." in digits else digits
    return "0" if digits == "-0" else digits


def safe(words: str) -> str:
    """Words as they may stand in a text or an attribute.

    >>> safe('a < "b"')
    'a &lt; &quot;b&quot;'
    """
    return escape(NOT_XML.sub("", str(words)), quote=True)


def shades(values: Tensor, low: float = 0.0, high: float = 1.0) -> Tensor:
    """(...) values -> (..., 3) colours of the map in [0, 1]; `low` is darkest, `high` brightest.

    Values outside are held at the ends; where low = high all are in the middle.
    """
    place = (values.double() - low) / (high - low) if high > low else values.double() * 0 + 0.5
    return _map_table()[(place.nan_to_num(0.0).clamp(0, 1) * 255).round().long()]


@cache
def _map_table() -> Tensor:
    """(256, 3) the colour map."""
    return torch.tensor(matplotlib.colormaps[MAP](range(256)))[:, :3]


@cache
def _map_codes() -> tuple[str, ...]:
    """The colour map's 256 colours as #rrggbb."""
    rows = (_map_table() * 255).round().int().tolist()
    return tuple(f"#{r:02x}{g:02x}{b:02x}" for r, g, b in rows)


def image_uri(image: Tensor) -> str:
    """(3, H, W) in [0, 1] -> a PNG inside a data: address."""
    check_image(image)
    pixels = (image.detach().cpu().clamp(0, 1) * 255).round().byte().permute(1, 2, 0)
    file = io.BytesIO()
    Image.fromarray(pixels.contiguous().numpy()).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")


# ---- shapes -------------------------------------------------------------------------------------


def text(
    x: float, y: float, words: str, size: float = 12, anchor: str = "start", colour: str = INK,
) -> str:
    """Words on the line y. `anchor`: which of start, middle, end of them is at x."""
    if anchor not in ("start", "middle", "end"):
        raise ValueError(f"anchor must be start, middle or end, got {anchor!r}.")
    return (f'<text x="{number(x)}" y="{number(y)}" font-size="{number(size)}" '
            f'font-family="DejaVu Sans, Verdana, sans-serif" text-anchor="{anchor}" '
            f'fill="{safe(colour)}">{safe(words)}</text>')


def _pen(colour: str, width: float, dashed: bool) -> str:
    dashes = f' stroke-dasharray="{DASHES}"' if dashed else ""
    return f'stroke="{safe(colour)}" stroke-width="{number(width)}"{dashes}'


def box(
    edges: Box, colour: str = RED, dashed: bool = False, width: float = 2, fill: str = "none",
) -> str:
    """The outline of a box; one turned inside out is drawn the right way round."""
    x1, x2 = sorted((edges[0], edges[2]))
    y1, y2 = sorted((edges[1], edges[3]))
    return (f'<rect x="{number(x1)}" y="{number(y1)}" width="{number(x2 - x1)}" '
            f'height="{number(y2 - y1)}" fill="{safe(fill)}" {_pen(colour, width, dashed)}/>')


def line(
    x1: float, y1: float, x2: float, y2: float, colour: str = INK, dashed: bool = False,
    width: float = 1.5,
) -> str:
    """A straight line."""
    return (f'<path d="M{number(x1)} {number(y1)}L{number(x2)} {number(y2)}" fill="none" '
            f"{_pen(colour, width, dashed)}/>")


def polyline(
    corners: Iterable[tuple[float, float]], colour: str = BLUE, dashed: bool = False,
    width: float = 2,
) -> str:
    """A line through (x, y) points; where a point is None the pen is lifted."""
    path, begin = [], True
    for corner in corners:
        if corner is not None:
            path.append(f"{'M' if begin else 'L'}{number(corner[0])} {number(corner[1])}")
        begin = corner is None
    return f'<path d="{"".join(path)}" fill="none" {_pen(colour, width, dashed)}/>' if path else ""


def arrow(
    x1: float, y1: float, x2: float, y2: float, colour: str = INK, width: float = 2,
) -> str:
    """From (x1, y1) to (x2, y2), with a head at the end; nothing where the two are one."""
    length = math.hypot(x2 - x1, y2 - y1)
    if length == 0:
        return ""
    across, down = (x2 - x1) / length, (y2 - y1) / length
    head = min(4 * width, length)
    neck_x, neck_y, half = x2 - head * across, y2 - head * down, head / 2
    corners = [(x2, y2), (neck_x - half * down, neck_y + half * across),
               (neck_x + half * down, neck_y - half * across)]
    at = " ".join(f"{number(x)},{number(y)}" for x, y in corners)
    shaft = line(x1, y1, neck_x, neck_y, colour, width=width)
    return f'{shaft}<polygon points="{at}" fill="{safe(colour)}"/>'


def sample_points(
    points: Iterable[tuple[float, float]], colour: str = GREEN, radius: float = 3,
    rim: str = "",
) -> str:
    """A cross at each (x, y), with a rim of another colour where it has to stand out."""
    r, wide = number(radius), number(2 * radius)
    path = "".join(
        f"M{number(x - radius)} {number(y)}h{wide}m-{r} -{r}v{wide}" for x, y in points
    )
    if not path:
        return ""
    pens = [_pen(rim, 3, False)] * bool(rim) + [_pen(colour, 1.5, False)]
    return "".join(f'<path d="{path}" fill="none" {pen}/>' for pen in pens)


def bins(
    across: Sequence[Span], down: Sequence[Span], colour: str = ORANGE, dashed: bool = True,
    width: float = 1.5,
) -> str:
    """The S x S bins whose columns and rows these spans are; they may overlap, or be empty."""
    path = "".join(
        f"M{number(x1)} {number(y1)}H{number(x2)}V{number(y2)}H{number(x1)}Z"
        for y1, y2 in down for x1, x2 in across if x2 > x1 and y2 > y1
    )
    return f'<path d="{path}" fill="none" {_pen(colour, width, dashed)}/>' if path else ""


def underlay(uri: str, edges: Box) -> str:
    """A picture from `image_uri`, stretched over a box; its pixels stay squares."""
    x1, y1, x2, y2 = edges
    return (f'<image href="{safe(uri)}" x="{number(x1)}" y="{number(y1)}" '
            f'width="{number(x2 - x1)}" height="{number(y2 - y1)}" '
            'preserveAspectRatio="none" image-rendering="pixelated"/>')


def _runs(rows: Tensor) -> list[tuple[int, int, int]]:
    """(R, W) bool -> (row, first, end) of every run of true values."""
    edges = F.pad(rows.int(), (1, 1)).diff(dim=1)  # (R, W + 1): 1 where a run begins, -1 past it
    begins, ends = (edges == 1).nonzero(), (edges == -1).nonzero()
    return [(row, first, end) for (row, first), (_, end) in zip(begins.tolist(), ends.tolist())]


def outlines(inside: Tensor) -> list[list[tuple[int, int]]]:
    """(H, W) bool -> the closed lines around its true pixels, holes too: corners (row, column) of
    the pixels' grid, the first again at the end. Inside lies to the right of each line's way.

    One line from end to end, so that a dash goes on around a corner.

    >>> outlines(torch.tensor([[True, True]]))
    [[(0, 0), (0, 2), (1, 2), (1, 0), (0, 0)]]
    """
    wide = F.pad(inside, (1, 1, 1, 1))
    above, below = wide[:-1, 1:-1], wide[1:, 1:-1]  # of each line of the grid, (H + 1, W)
    left, right = wide[1:-1, :-1].T, wide[1:-1, 1:].T  # (W + 1, H)
    steps = [((row, first), (row, end)) for row, first, end in _runs(below & ~above)]
    steps += [((row, end), (row, first)) for row, first, end in _runs(above & ~below)]
    steps += [((end, column), (first, column)) for column, first, end in _runs(right & ~left)]
    steps += [((first, column), (end, column)) for column, first, end in _runs(left & ~right)]
    onward: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for start, end in steps:
        onward.setdefault(start, []).append(end)
    loops = []
    for start in [start for start, _ in steps]:
        if not onward[start]:
            continue  # a loop before went this way
        loop = [start]
        while onward[loop[-1]]:  # empty again where the loop closes: as many go in as go out
            loop.append(onward[loop[-1]].pop())
        loops.append(loop)
    return loops


def mask(
    inside: Tensor, x: float, y: float, pixel: float, colour: str = BLUE, opacity: float = 0.45,
    width: float = 1.5, dashed: bool = False,
) -> str:
    """(H, W) bool: its pixels filled half through, its rim drawn along the pixels' edges.

    Args:
        x, y: top left corner of the image. pixel: side of one of its pixels.
    """
    check_shape(inside, "H W", "inside")
    inside = inside.detach().cpu().bool()
    if not inside.any():
        return ""
    areas = "".join(
        f"M{number(x + first * pixel)} {number(y + row * pixel)}h{number((end - first) * pixel)}"
        f"v{number(pixel)}h{number((first - end) * pixel)}z" for row, first, end in _runs(inside))
    rim = "".join(
        f"M{number(x + loop[0][1] * pixel)} {number(y + loop[0][0] * pixel)}" + "".join(
            f"h{number((column - before) * pixel)}" if row == above else
            f"v{number((row - above) * pixel)}"
            for (above, before), (row, column) in zip(loop, loop[1:])) + "z"
        for loop in outlines(inside))
    return (f'<path d="{areas}" fill="{safe(colour)}" fill-opacity="{number(opacity)}" '
            f'shape-rendering="crispEdges"/>'
            f'<path d="{rim}" fill="none" {_pen(colour, width, dashed)}/>')


def grid_lines(edges: Box, step: float, colour: str = PALE, width: float = 0.75) -> str:
    """Lines every `step` from a box's top left corner; nothing where they would be a grey mass."""
    x1, y1, x2, y2 = edges
    if step < 3:
        return ""
    columns = range(1, math.ceil((x2 - x1) / step))
    rows = range(1, math.ceil((y2 - y1) / step))
    path = "".join(f"M{number(x1 + i * step)} {number(y1)}V{number(y2)}" for i in columns)
    path += "".join(f"M{number(x1)} {number(y1 + i * step)}H{number(x2)}" for i in rows)
    return f'<path d="{path}" fill="none" {_pen(colour, width, False)}/>' if path else ""


def feature_grid(
    values: Tensor, x: float, y: float, cell: float, low: float = 0.0, high: float = 1.0,
    decimals: int = 2,
) -> str:
    """(H, W) values as coloured cells, each with its number where there is room for it.

    Args:
        x, y: top left corner. cell: side of a cell. low, high: darkest and brightest value.
        A value that is not finite is left white, with a dash.
    """
    check_shape(values, "H W", "values")
    place = (values.double() - low) / (high - low) if high > low else values.double() * 0 + 0.5
    codes = _map_codes()
    rows = (place.nan_to_num(0.0).clamp(0, 1) * 255).round().long().tolist()
    pieces = []
    for i, (row, numbers) in enumerate(zip(rows, values.tolist())):
        for j, (shade, value) in enumerate(zip(row, numbers)):
            known = math.isfinite(value)
            left, top = x + j * cell, y + i * cell
            fill = codes[shade] if known else PAPER
            pieces.append(box((left, top, left + cell, top + cell), PAPER, width=1, fill=fill))
            words = f"{value:.{decimals}f}" if known else "-"
            size = min(14.0, cell / (0.65 * len(words)))
            if size >= 7:
                ink = INK if shade > 128 or not known else PAPER
                pieces.append(
                    text(left + cell / 2, top + cell / 2 + size * 0.36, words, size, "middle", ink)
                )
    return "".join(pieces)


def legend(entries: Iterable[tuple[str, str, str]], x: float, y: float, gap: float = 20) -> str:
    """Lines of a sample and its words.

    Args:
        entries: (kind, colour, words) each; kind is "solid", "dashed", "cross" or "arrow".
    """
    pieces = []
    for i, (kind, colour, words) in enumerate(entries):
        level = y + i * gap
        if kind == "cross":
            pieces.append(sample_points([(x + 12, level)], colour, 4))
        elif kind == "arrow":
            pieces.append(arrow(x, level, x + 24, level, colour))
        elif kind in ("solid", "dashed"):
            pieces.append(line(x, level, x + 24, level, colour, kind == "dashed", 2))
        else:
            raise ValueError(f"A legend shows solid, dashed, cross or arrow, got {kind!r}.")
        pieces.append(text(x + 32, level + 4, words))
    return "".join(pieces)


def group(*shapes: str, right: float = 0, down: float = 0) -> str:
    """Shapes moved together."""
    return f'<g transform="translate({number(right)} {number(down)})">{"".join(shapes)}</g>'


def picture(width: float, height: float, *shapes: str, label: str) -> str:
    """Shapes on white paper, as one drawing.

    Args:
        label: what is to be seen, in words: it is what a screen reader says.
    """
    if not label.strip():
        raise ValueError("A picture needs a label: say in words what it shows.")
    w, h = number(width), number(height)
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{w}" height="{h}" '
            f'viewBox="0 0 {w} {h}" role="img" aria-label="{safe(label)}">'
            f'<rect width="{w}" height="{h}" fill="{PAPER}"/>{"".join(shapes)}</svg>')
