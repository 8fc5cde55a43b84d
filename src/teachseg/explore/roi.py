"""Where RoIPool, RoIWarp and RoIAlign read, drawn side by side over one box.

Letters
    H, W  height and width of the image in pixels, of a feature map in cells
    S     bins a side
    n     samples a bin and axis
    z     a coordinate on a feature map: at z = u one reads cell u, whose middle is at
          (u + 1/2) * stride in the image

Boxes are (x1, y1, x2, y2) in image pixels. Bin i of S should be read around its own middle,
x1 + (i + 1/2) (x2 - x1) / S. How far from there an operator reads is its misalignment, and it is
given in image pixels, positive to the right and down.

Lesson: 10
"""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from numbers import Integral
from typing import NamedTuple

import torch
import torch.nn.functional as F
from ipywidgets import Dropdown, FloatSlider, IntSlider, SelectionSlider
from torch import Tensor

from teachseg.checks import check_image
from teachseg.explore import svg
from teachseg.explore.explorer import Explorer, Frame
from teachseg.explore.stage import Stage, bind, front
from teachseg.layers.roi import (
    align_extents,
    align_samples,
    pool_bins,
    roi_align,
    roi_pool,
    roi_warp,
    round_half_away,
    samples_per_bin,
    warp_samples,
)

Edges = tuple[float, float, float, float]

NAMES = {
    "pool": "RoIPool",
    "warp_rounded": "RoIWarp as released",
    "warp": "RoIWarp",
    "align_unaligned": "RoIAlign, first release",
    "align": "RoIAlign",
}
COLOURS = {
    "pool": svg.ORANGE, "warp_rounded": svg.BLUE, "warp": svg.SKY,
    "align_unaligned": svg.PURPLE, "align": svg.GREEN,
}
SIDE_BY_SIDE = ("pool", "warp_rounded", "align")  # what operator="all" shows
STRIDES = (4, 8, 16, 32)  # pixels a cell
PANEL = 192               # width of one drawing in the picture
GAP, TITLE = 16, 24
MOST_CROSSES = 1600       # sample points that can still be told apart
FAR = 2**20               # cells of a map without end


class AxisReading(NamedTuple):
    """Where an operator reads along one axis, in image pixels."""

    low: float                               # the box as the operator takes it
    high: float
    spans: list[tuple[float, float]]         # S bins: RoIPool's cells, an even division otherwise
    points: list[list[float]]                # S lists: where a bin is read (RoIPool: its middle)


class Reading(NamedTuple):
    """Where an operator reads a box."""

    x: AxisReading
    y: AxisReading


# ---- geometry -----------------------------------------------------------------------------------


def bins_of(
    operator: str, box: Sequence[float], stride: int, bins: int, sampling_ratio: int = 2,
    feature_size: tuple[int, int] | None = None,
) -> Reading:
    """Where an operator of `teachseg.layers.roi` reads; stage.js draws the same.

    Args:
        operator: one of `NAMES`.
        box: (x1, y1, x2, y2) in image pixels, x1 < x2 and y1 < y2.
        bins: S. sampling_ratio: n; 0 is as many as the box asks for.
        feature_size: (H, W) in cells, where RoIPool's bins end; None: nowhere.

    >>> bins_of("pool", (0, 0, 96, 96), stride=16, bins=3).x.spans  # 7 cells, in bins of 7/3
    [(0, 48), (32, 80), (64, 112)]
    """
    check_operator(operator)
    scaled = torch.tensor([box], dtype=torch.float32) * (1 / stride)
    if operator.startswith("align"):
        start, extent = align_extents(scaled, aligned=operator == "align")
        counts = samples_per_bin(extent, (bins, bins), sampling_ratio)
        half = 0.5 if operator == "align" else 0.0
        return Reading(*(
            _align_axis(start[:, i], extent[:, i], counts[:, i], stride, bins, half)
            for i in (0, 1)
        ))
    low, high = scaled[:, :2], scaled[:, 2:]
    if operator != "warp":
        low, high = round_half_away(low), round_half_away(high)
    if operator == "pool":
        height, width = feature_size or (FAR, FAR)
        return Reading(_pool_axis(low[:, 0], high[:, 0], stride, bins, width),
                       _pool_axis(low[:, 1], high[:, 1], stride, bins, height))
    extent = high - low if operator == "warp" else (high - low).clamp(min=0)
    return Reading(*(_warp_axis(low[:, i], extent[:, i], stride, bins) for i in (0, 1)))


def _pool_axis(low: Tensor, high: Tensor, stride: int, bins: int, size: int) -> AxisReading:
    first, count = (values[0].tolist() for values in pool_bins(low, high, bins, size))
    spans = [(begin * stride, (begin + cells) * stride) for begin, cells in zip(first, count)]
    points = [[(begin + end) / 2] if end > begin else [] for begin, end in spans]
    begin, end = int(low), int(high)
    return AxisReading(begin * stride, max(end + 1, begin + 1) * stride, spans, points)


def _warp_axis(low: Tensor, extent: Tensor, stride: int, bins: int) -> AxisReading:
    begin = float(low) * stride
    end = (float(low) + float(extent)) * stride
    points = [[(z + 0.5) * stride] for z in warp_samples(low, extent, bins)[0].tolist()]
    return AxisReading(begin, end, _even_spans(begin, end, bins), points)


def _align_axis(
    start: Tensor, extent: Tensor, counts: Tensor, stride: int, bins: int, half: float
) -> AxisReading:
    z = align_samples(start, extent, bins, counts, int(counts))[0]  # (S, n)
    begin = (float(start) + half) * stride
    end = (float(start) + half + float(extent)) * stride
    points = [[(place + 0.5) * stride for place in row] for row in z.tolist()]
    return AxisReading(begin, end, _even_spans(begin, end, bins), points)


def _even_spans(begin: float, end: float, bins: int) -> list[tuple[float, float]]:
    return [(begin + i * (end - begin) / bins, begin + (i + 1) * (end - begin) / bins)
            for i in range(bins)]


def misalignment(reading: Reading, box: Sequence[float]) -> tuple[float, float] | None:
    """Mean over the bins of (where it is read) - (its own middle), as (x, y) in image pixels.

    None where no bin reads anything.

    >>> box = (16, 16, 112, 112)
    >>> misalignment(bins_of("align", box, stride=16, bins=3), box)
    (0.0, 0.0)
    """
    offsets = []
    for axis, low, high in ((reading.x, box[0], box[2]), (reading.y, box[1], box[3])):
        wanted = [(begin + end) / 2 for begin, end in _even_spans(low, high, len(axis.points))]
        here = [sum(read) / len(read) - at for read, at in zip(axis.points, wanted) if read]
        if not here:
            return None
        offsets.append(sum(here) / len(here))
    return offsets[0], offsets[1]


# ---- an image and its maps ----------------------------------------------------------------------


def brightness_map(image: Tensor, stride: int) -> Tensor:
    """(3, H, W) -> (H', W') in [0, 1]: the mean brightness of each cell of stride x stride pixels.

    The plainest feature map there is: what it holds can be seen in the image. Cells that the
    image's edge cuts are the mean of what is left of them.
    """
    grey = image.mean(dim=0)[None, None]
    return F.avg_pool2d(grey, stride, ceil_mode=True, count_include_pad=False)[0, 0]


class FeatureMap(NamedTuple):
    """One map, with what drawing it again and again would otherwise make again."""

    values: Tensor  # (H, W) in cells
    low: float      # of its values
    high: float
    uri: str        # the map in colours, as a data: address


class Maps:
    """An image and its feature maps, each made once.

    Args:
        image: (3, H, W) in [0, 1].
        features: (image, stride) -> (ceil(H / stride), ceil(W / stride)).
    """

    def __init__(
        self, image: Tensor, features: Callable[[Tensor, int], Tensor] = brightness_map
    ):
        check_image(image)
        self.image, self.uri = image, svg.image_uri(image)
        self.image_size = tuple(image.shape[1:])
        self.at = lru_cache(maxsize=16)(partial(_feature_map, image, features))


def _feature_map(
    image: Tensor, features: Callable[[Tensor, int], Tensor], stride: int
) -> FeatureMap:
    found = features(image, stride)
    height, width = (math.ceil(side / stride) for side in image.shape[1:])
    if not isinstance(found, Tensor) or tuple(found.shape) != (height, width):
        what = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise ValueError(f"features(image, {stride}) must return a tensor ({height}, {width}), one "
                         f"number for each cell, got {what}.")
    if not found.isfinite().all():
        raise ValueError(f"features(image, {stride}) holds values that are not finite. Look for a "
                         "division by zero where they are made.")
    found = found.detach().float()
    low, high = (float(value) for value in found.aminmax())
    colours = svg.shades(found, low, high).permute(2, 0, 1).float()
    return FeatureMap(found, low, high, svg.image_uri(colours))


# ---- at the door --------------------------------------------------------------------------------


def check_operator(operator: str) -> None:
    """ValueError unless there is such an operator."""
    if operator not in NAMES:
        raise ValueError(f"There is no operator {operator!r}: choose one of {', '.join(NAMES)}.")


def check_setting(stride: int, bins: int, sampling_ratio: int, image_size: Sequence[int]) -> None:
    """ValueError with a sentence that helps, unless operators can be shown at these numbers."""
    for name, value, least in (("stride", stride, 1), ("bins", bins, 1),
                               ("sampling_ratio", sampling_ratio, 0)):
        if not isinstance(value, Integral) or value < least:
            raise ValueError(f"{name} must be a whole number of at least {least}, got {value}.")
    height, width = image_size
    if stride > min(height, width):
        raise ValueError(f"A stride of {stride} is larger than the image of {width} x {height} "
                         "pixels: its map would not have one whole cell. Take at most "
                         f"{min(height, width)}.")


def check_edges(box: Sequence[float], bins: int, image_size: Sequence[int]) -> None:
    """ValueError with a sentence that helps, unless a box can be read in S x S bins."""
    x1, y1, x2, y2 = box
    height, width = image_size
    if not all(math.isfinite(edge) for edge in box):
        raise ValueError(f"The box {tuple(box)} needs four ordinary numbers.")
    for low, high, names in ((x1, x2, "x1 = {} is right of x2 = {}"),
                             (y1, y2, "y1 = {} is below y2 = {}")):
        first, second = svg.number(low), svg.number(high)
        if low > high:
            raise ValueError(f"The box is turned inside out: {names.format(first, second)}. "
                             "Exchange the two.")
        if low == high:
            axis = names[0]
            raise ValueError(f"The box has no size: {axis}1 and {axis}2 are both {first}. "
                             "Move one of them.")
    if x1 >= width or y1 >= height or x2 <= 0 or y2 <= 0:
        raise ValueError(f"The box ({', '.join(map(svg.number, box))}) is off the image, which is "
                         f"{width} x {height} pixels. Move it back.")
    side = min(x2 - x1, y2 - y1)
    if bins > side:
        most = math.floor(side)
        mend = f"Take at most {most}, or a larger box." if most else "Take a larger box."
        raise ValueError(f"{bins} bins do not fit a side of {svg.number(side)} pixels: a bin "
                         f"would be smaller than a pixel. {mend}")


# ---- the picture --------------------------------------------------------------------------------


def pooled(
    operator: str, features: Tensor, box: Edges, stride: int, bins: int, ratio: int
) -> Tensor:
    """What an operator returns for one box on a map (H, W): (S, S)."""
    maps, rois = features[None, None], features.new_tensor([[0, *box]])
    if operator == "pool":
        return roi_pool(maps, rois, bins, 1 / stride)[0, 0]
    if operator.startswith("warp"):
        return roi_warp(maps, rois, bins, 1 / stride, rounding=operator != "warp")[0, 0]
    return roi_align(maps, rois, bins, 1 / stride, ratio, aligned=operator == "align")[0, 0]


class Panel(NamedTuple):
    """Where in the picture an image, or its map, is drawn, and how large."""

    left: float
    top: float
    scale: float  # picture units an image pixel

    def x(self, pixels: float) -> float:
        return self.left + pixels * self.scale

    def y(self, pixels: float) -> float:
        return self.top + pixels * self.scale

    def box(self, edges: Sequence[float]) -> Edges:
        return self.x(edges[0]), self.y(edges[1]), self.x(edges[2]), self.y(edges[3])


def _image_panel(panel: Panel, maps: Maps, box: Edges, stride: int) -> str:
    """The image with its cells and the box."""
    height, width = maps.image_size
    whole = panel.box((0, 0, width, height))
    return (svg.text(panel.left, panel.top - 8, f"image, cells of {stride} pixels")
            + svg.underlay(maps.uri, whole) + svg.grid_lines(whole, stride * panel.scale)
            + svg.box(panel.box(box), svg.RED, width=2.5))


def _operator_panel(
    panel: Panel, operator: str, reading: Reading, map_: FeatureMap, box: Edges, stride: int
) -> str:
    """The feature map with the box, and where the operator reads."""
    height, width = map_.values.shape
    whole = panel.box((0, 0, width * stride, height * stride))
    pieces = [svg.text(panel.left, panel.top - 8, NAMES[operator]), svg.underlay(map_.uri, whole),
              svg.grid_lines(whole, stride * panel.scale, svg.INK),
              svg.box(panel.box(box), svg.PAPER, width=5), svg.box(panel.box(box), svg.RED)]
    colour = COLOURS[operator]
    inset = 2 if operator == "pool" else 0  # its bins overlap: so that each can be seen
    across = [(panel.x(low) + inset, panel.x(high) - inset) for low, high in reading.x.spans]
    down = [(panel.y(low) + inset, panel.y(high) - inset) for low, high in reading.y.spans]
    pieces += [svg.bins(across, down, svg.PAPER, dashed=False, width=3),
               svg.bins(across, down, colour)]
    if operator != "pool":
        points = [(panel.x(x), panel.y(y)) for row in reading.y.points for y in row
                  for column in reading.x.points for x in column]
        if 0 < len(points) <= MOST_CROSSES:
            apart = (box[2] - box[0]) * panel.scale / math.sqrt(len(points))
            size = min(3.0, max(0.75, apart / 4))
            pieces.append(svg.sample_points(points, svg.PAPER, size, rim=svg.INK))
    return "".join(pieces)


def _key(operators: Sequence[str], map_: FeatureMap, left: float, top: float) -> str:
    """What the lines and crosses are."""
    entries = [("solid", svg.RED, "the box")]
    entries += [("dashed", COLOURS[name], NAMES[name]) for name in operators]
    if tuple(operators) != ("pool",):
        entries += [("cross", svg.INK, "a sample that is read")]
    level = top + 20 * len(entries) + 10
    low, high = svg.number(map_.low), svg.number(map_.high)
    return (svg.legend(entries, left, top)
            + svg.text(left, level + 4, "Dashed: bins; below: their values.", 11)
            + svg.text(left, level + 22, f"Map: {low} (dark) to {high} (bright).", 11))


def _report(operator: str, offset: tuple[float, float] | None, values: Tensor) -> str:
    """One operator's part of the caption."""
    if offset is None:
        return f"{NAMES[operator]} reads no cell at all"
    across, down = (f"{part + 0.0:+.2f}" if abs(part) >= 0.005 else "0.00" for part in offset)
    numbers = " ".join(f"{value:.3f}" for value in values[0, :4].tolist())
    row = "first row begins" if values.shape[1] > 4 else "first row"
    return f"{NAMES[operator]} is off by ({across}, {down}), {row} {numbers}"


def roi_frame(
    maps: Maps, x1: float, y1: float, x2: float, y2: float, stride: int = 16, bins: int = 3,
    sampling_ratio: int = 2, operator: str = "all",
) -> Frame:
    """The image with the box, then what each operator reads and gets, side by side.

    Args:
        operator: one of `NAMES`, or "all" for those in `SIDE_BY_SIDE`.
    """
    box = (float(x1), float(y1), float(x2), float(y2))
    check_setting(stride, bins, sampling_ratio, maps.image_size)
    check_edges(box, bins, maps.image_size)
    operators = SIDE_BY_SIDE if operator == "all" else (operator,)
    for name in operators:
        check_operator(name)
    map_ = maps.at(stride)
    height, width = (cells * stride for cells in map_.values.shape)
    scale = PANEL / width
    below = TITLE + height * scale + GAP
    pieces = [_image_panel(Panel(GAP, TITLE, scale), maps, box, stride),
              _key(operators, map_, GAP, below + 12)]
    reports = []
    for i, name in enumerate(operators, 1):
        left = GAP + i * (PANEL + GAP)
        reading = bins_of(name, box, stride, bins, sampling_ratio, tuple(map_.values.shape))
        values = pooled(name, map_.values, box, stride, bins, sampling_ratio)
        pieces += [
            _operator_panel(Panel(left, TITLE, scale), name, reading, map_, box, stride),
            svg.feature_grid(values, left, below, PANEL / bins, map_.low, map_.high),
        ]
        reports.append(_report(name, misalignment(reading, box), values))
    caption = _caption(box, stride, bins, sampling_ratio, maps.image_size, reports)
    full = GAP + (len(operators) + 1) * (PANEL + GAP)
    return Frame(svg.picture(full, below + PANEL + GAP, *pieces, label=caption), caption)


def _caption(
    box: Edges, stride: int, bins: int, ratio: int, image_size: Sequence[int], reports: list[str]
) -> str:
    """All that the picture says, in numbers."""
    x1, y1, x2, y2 = map(svg.number, box)
    words = (f"Box ({x1}, {y1}) to ({x2}, {y2}), stride {stride}, {bins} x {bins} bins; "
             f"offsets as (right, down) in image pixels. {'; '.join(reports)}.")
    height, width = image_size
    if box[0] < 0 or box[1] < 0 or box[2] > width or box[3] > height:
        words += " Part of the box is off the image, where there is nothing to read."
    if ratio == 0 and "RoIAlign" in words:
        down, across = (math.ceil((high - low) / stride / bins)
                        for low, high in ((box[1], box[3]), (box[0], box[2])))
        words += (f" A sampling ratio of 0 lets the box choose: {across} x {down} samples a bin, "
                  "so that no cell is skipped.")
    return words


# ---- the explorer -------------------------------------------------------------------------------


def box_sliders(box: Edges, image_size: tuple[int, int]) -> dict[str, FloatSlider]:
    """Four sliders for a box, in steps of half a pixel."""
    height, width = image_size
    words = {"x1": "x1, left edge (px)", "y1": "y1, top edge (px)",
             "x2": "x2, right edge (px)", "y2": "y2, bottom edge (px)"}
    return {
        name: FloatSlider(edge, min=0, max=width if name[0] == "x" else height, step=0.5,
                          readout_format=".1f", description=words[name])
        for name, edge in zip(words, box)
    }


def explore_roi(
    image: Tensor, box: Edges = (20.0, 24.0, 84.0, 92.0),
    features: Callable[[Tensor, int], Tensor] = brightness_map,
) -> Explorer:
    """The three operators side by side, over a box that is dragged on the image or by sliders.

    Args:
        image: (3, H, W) in [0, 1].
        box: where it is at first.
        features: as for `Maps`.
    """
    maps = Maps(image, features)
    strides = [stride for stride in STRIDES if stride <= min(maps.image_size)]
    if not strides:
        raise ValueError(f"The image is {maps.image_size[1]} x {maps.image_size[0]} pixels: it "
                         f"needs at least {STRIDES[0]} a side, for one cell.")
    stage = Stage.of(image, box)
    choices = [("side by side", "all")] + [(words, name) for name, words in NAMES.items()]
    explorer = Explorer(
        partial(roi_frame, maps),
        front(stage),
        **box_sliders(box, maps.image_size),
        stride=SelectionSlider(options=strides, value=max(s for s in strides if s <= 16),
                               description="stride (px a cell)"),
        bins=IntSlider(3, min=1, max=14, description="bins a side"),
        sampling_ratio=IntSlider(2, min=0, max=8, description="samples (bin, axis)"),
        operator=Dropdown(options=choices, value="all", description="operator"),
    )
    bind(stage, explorer)
    explorer.stage = stage
    return explorer
