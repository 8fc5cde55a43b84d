"""What one cell of a feature map stands for in the image, and what it looks at.

Letters
    H, W  height and width of the image in pixels
    s     stride of a map: pixels from one cell to the next
    r     side of a cell's window, in pixels: all that convolutions let it see

Along one axis, cell i stands for the pixels from s i to s (i + 1), its *stride cell*. Its window,
the receptive field, goes from low + s i to low + s i + r, in pixel edges; it may hang over the
image. Boxes are (x1, y1, x2, y2) in pixel edges.

Lesson: 03
"""

import copy
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

import torch
from ipywidgets import IntSlider, SelectionSlider
from torch import Tensor, nn

from teachseg.checks import check_image
from teachseg.explore import svg
from teachseg.explore.explorer import Explorer, Frame
from teachseg.layers.backbones import CourseNet, Cut, ResNet

PANEL = 208          # width of an image in the picture
GAP, TOP = 20, 26
CHART = 64           # height of the chart under the last panel
STATISTICS = ("live", "held")
BESIDE = ("shortcut", "downsample")  # parts beside a block's convolutions, with smaller windows


# ---- windows ------------------------------------------------------------------------------------


class Step(NamedTuple):
    """One convolution or pooling, along one axis."""

    size: int          # cells that it reads, or taps
    stride: int = 1
    padding: int = 0   # cells added at each end
    dilation: int = 1  # from one tap to the next


class Field(NamedTuple):
    """The windows of a map's cells along one axis, in image pixels."""

    stride: int  # from one cell to the next
    size: int    # of a window
    low: int     # where the window of cell 0 begins

    def window(self, cell: int) -> tuple[int, int]:
        """The first pixel that a cell can see, and the one behind the last."""
        begin = self.low + self.stride * cell
        return begin, begin + self.size

    def middle(self, cell: int) -> float:
        """The middle of a cell's window, in pixel edges."""
        return self.low + self.stride * cell + self.size / 2


def field_of(steps: Iterable[Step]) -> Field:
    """The windows behind some steps, the first of which reads the image.

    A step reads (size - 1) dilation cells more, each a stride wide, and begins padding cells
    earlier.

    >>> field_of([Step(3, 2, 1), Step(3, 2, 1)])
    Field(stride=4, size=7, low=-3)
    """
    stride, size, low = 1, 1, 0
    for step in steps:
        size += (step.size - 1) * step.dilation * stride
        low -= step.padding * stride
        stride *= step.stride
    return Field(stride, size, low)


def steps_of(backbone: nn.Module) -> list[list[Step]]:
    """For each map of a backbone, the steps from the image to it, through its convolutions.

    Raises:
        ValueError: not a backbone of `layers.backbones`.
    """
    if isinstance(backbone, CourseNet):
        groups = [_windows(part) for part in (backbone.stem, *backbone.stages)]
        first = 1 if backbone.stem_map else 2
    elif isinstance(backbone, ResNet):
        stem = [*_windows(nn.Sequential(backbone.conv1)), Step(3, 2, 1)]  # and its pooling
        layers = [backbone.layer1, backbone.layer2, backbone.layer3, backbone.layer4]
        groups = [stem, *map(_windows, layers[:3] if backbone.c4 else layers)]
        first = 4 if backbone.c4 else 2
    elif isinstance(backbone, Cut):
        edges = (0, *backbone.cuts)
        groups = [_windows(backbone.features[a:b]) for a, b in zip(edges, edges[1:])]
        first = 1
    else:
        raise ValueError(f"The steps of a {type(backbone).__name__} are not known: pass a backbone "
                         "from build_backbone().")
    joined = [sum(groups[:first], [])]
    for group in groups[first:]:
        joined.append(joined[-1] + group)
    return joined


def _windows(part: nn.Module) -> list[Step]:
    """The convolutions and poolings of a part, in their order; not those beside a block's own."""
    steps = []
    for name, module in part.named_modules():
        if any(word in name for word in BESIDE):
            continue
        if isinstance(module, nn.Conv2d):
            steps.append(Step(module.kernel_size[0], module.stride[0], module.padding[0],
                              module.dilation[0]))
        elif isinstance(module, nn.MaxPool2d):
            steps.append(Step(module.kernel_size, module.stride, module.padding, module.dilation))
    return steps


# ---- gradients ----------------------------------------------------------------------------------


class HeldNorm(nn.Module):
    """A group normalisation whose mean and variance pass no gradient; the same values come out."""

    def __init__(self, norm: nn.GroupNorm):
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)"""
        norm, still = self.norm, x.detach()
        groups = still.unflatten(1, (norm.num_groups, -1))  # (N, groups, C / groups, H, W)
        var, mean = torch.var_mean(groups, dim=(2, 3, 4), correction=0, keepdim=True)
        held = ((x.unflatten(1, (norm.num_groups, -1)) - mean) / (var + norm.eps).sqrt()).flatten(
            1, 2)
        return held * norm.weight[:, None, None] + norm.bias[:, None, None]


def hold_statistics(backbone: nn.Module) -> nn.Module:
    """A copy whose group normalisations take the mean and the variance of this image as given.

    It says the same. Its gradient is that of the convolutions alone, without the way that leads
    through a mean over the whole map.
    """
    held = copy.deepcopy(backbone)
    for module in list(held.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.GroupNorm):
                setattr(module, name, HeldNorm(child))
    return held


def half_side(gradient: Tensor, row: int, column: int, share: float = 0.5) -> int:
    """The side of the smallest square around a pixel that holds a share of a map (H, W).

    Where the square hangs over the image, only what is on it counts.

    >>> half_side(torch.eye(5), 2, 2, 0.6)  # 3 of 5 in the square of 3 x 3
    3
    """
    total, height, width = float(gradient.sum()), *gradient.shape
    for reach in range(max(height, width)):
        part = gradient[max(row - reach, 0) : row + reach + 1,
                        max(column - reach, 0) : column + reach + 1]
        if float(part.sum()) >= share * total:
            return 2 * reach + 1
    return 2 * max(height, width) - 1


class Sight:
    """An image, its maps, and for each cell how much each pixel matters to it.

    Args:
        backbone: of `layers.backbones`. image: (3, H, W) in [0, 1], of sides that the largest
            stride divides. normalize: what the image goes through first.
    """

    def __init__(self, backbone: nn.Module, image: Tensor, normalize: nn.Module):
        check_image(image)
        largest = max(backbone.strides)
        if image.shape[1] % largest or image.shape[2] % largest:
            raise ValueError(f"The image's sides {tuple(image.shape[1:])} must be multiples of the "
                             f"largest stride, {largest}: pad it with batch_images().")
        self.image, self.uri = image, svg.image_uri(image)
        self.fields = dict(zip(backbone.strides, map(field_of, steps_of(backbone))))
        still = copy.deepcopy(backbone).requires_grad_(False)
        self._input = normalize(image)[None].clone().requires_grad_()
        self._maps = {
            name: dict(zip(backbone.strides, one(self._input)))
            for name, one in zip(STATISTICS, (still, hold_statistics(still)))
        }
        self.strides = tuple(backbone.strides)
        self.gradient = lru_cache(maxsize=512)(self._gradient)
        self.gradient_uri = lru_cache(maxsize=512)(self._gradient_uri)
        self.map_uri = lru_cache(maxsize=8)(self._map_uri)

    def features(self, stride: int) -> Tensor:
        """(C, H / stride, W / stride)"""
        return self._maps["live"][stride][0].detach()

    def _gradient(self, stride: int, row: int, column: int, statistics: str = "live") -> Tensor:
        """(H, W): the size of the slope of the cell's channels, summed, to each pixel's colours.

        Args:
            statistics: "live": through everything; "held": through the convolutions alone.
        """
        said = self._maps[statistics][stride][0, :, row, column].sum()
        (slope,) = torch.autograd.grad(said, self._input, retain_graph=True)
        return slope[0].abs().sum(dim=0)

    def _gradient_uri(self, stride: int, row: int, column: int, statistics: str) -> str:
        """The fourth root of it in colours, so that a ten-thousandth still shows."""
        found = self.gradient(stride, row, column, statistics)
        bright = (found / found.max().clamp(min=1e-12)) ** 0.25
        return svg.image_uri(svg.shades(bright).permute(2, 0, 1).float())

    def _map_uri(self, stride: int) -> str:
        lengths = self.features(stride).norm(dim=0)
        low, high = (float(value) for value in lengths.aminmax())
        return svg.image_uri(svg.shades(lengths, low, high).permute(2, 0, 1).float())


# ---- the picture --------------------------------------------------------------------------------


class Panel(NamedTuple):
    """Where in the picture an image is drawn, and how large."""

    left: float
    top: float
    scale: float  # picture units a pixel
    height: int   # of the image, in pixels
    width: int

    def edges(self, box: tuple[float, float, float, float]) -> tuple[float, ...]:
        x1, y1, x2, y2 = box
        return (self.left + x1 * self.scale, self.top + y1 * self.scale,
                self.left + x2 * self.scale, self.top + y2 * self.scale)

    @property
    def whole(self) -> tuple[float, ...]:
        return self.edges((0, 0, self.width, self.height))

    def open_box(self, box: tuple[float, float, float, float], colour: str) -> str:
        """A dashed box; its sides that lie beyond the image are left out."""
        x1, y1, x2, y2 = box
        a, b, c, d = self.edges((max(x1, 0), max(y1, 0), min(x2, self.width),
                                 min(y2, self.height)))
        sides = [(x1 >= 0, (a, b, a, d)), (x2 <= self.width, (c, b, c, d)),
                 (y1 >= 0, (a, b, c, b)), (y2 <= self.height, (a, d, c, d))]
        return "".join(svg.line(*ends, svg.PAPER, width=4) + svg.line(*ends, colour, True, 2)
                       for seen, ends in sides if seen)


def strides_frame(
    sight: Sight, x: int, y: int, stride: int, statistics: str = "held"
) -> Frame:
    """The image, a map and a gradient: which cell a pixel lies in, and what that cell sees.

    Args:
        x, y: a pixel. stride: one of the sight's. statistics: see `Sight`.
    """
    height, width = sight.image.shape[1:]
    _check(sight, x, y, stride, statistics)
    row, column, field = y // stride, x // stride, sight.fields[stride]
    cell = (column * stride, row * stride, (column + 1) * stride, (row + 1) * stride)
    (x1, x2), (y1, y2) = field.window(column), field.window(row)
    gradient = sight.gradient(stride, row, column, statistics)
    total = float(gradient.sum()) or 1.0  # a cell whose channels are all 0 has none
    inside = float(gradient[max(y1, 0) : y2, max(x1, 0) : x2].sum()) / total
    own = float(gradient[cell[1] : cell[3], cell[0] : cell[2]].sum()) / total
    middle = int(field.middle(row)), int(field.middle(column))  # the pixel in the middle
    half = half_side(gradient, *middle)
    on_image = (min(x2, width) - max(x1, 0), min(y2, height) - max(y1, 0))
    whole = on_image == (field.size, field.size)
    part = "all of it" if whole else f"{on_image[0]} x {on_image[1]} of it"
    shares = (f"{inside:.1%} in the window, {own:.1%} in the cell's own pixels, half of it in "
              f"{half} x {half}." if gradient.any() else "none, as all its channels are 0 here.")
    caption = (
        f"Pixel ({x}, {y}) lies in cell (row {row}, column {column}) of the map of stride "
        f"{stride}, which stands for columns {cell[0]} to {cell[2]}, rows {cell[1]} to {cell[3]}. "
        f"The cell sees {field.size} x {field.size} pixels, columns {x1} to {x2}, rows {y1} to "
        f"{y2}, {part} on the image. Gradient, statistics {statistics}: {shares}")
    scale = PANEL / width
    panels = [Panel(8 + i * (PANEL + GAP), TOP, scale, height, width) for i in range(3)]
    pieces = [*_where(panels[0], sight, stride, cell, (x1, y1, x2, y2), x, y),
              *_map(panels[1], sight, stride, cell),
              *_looks(panels[2], sight.gradient_uri(stride, row, column, statistics), cell,
                      (x1, y1, x2, y2)),
              *_chart(panels[2], gradient, (x1, x2), cell)]
    low = TOP + height * scale
    pieces.append(svg.legend([("solid", svg.ORANGE, f"the cell's own {stride} x {stride} pixels"),
                              ("dashed", svg.RED, "its window; open where it leaves the image"),
                              ("cross", svg.INK, "the pixel that was chosen")], 8, low + 24))
    return Frame(svg.picture(3 * PANEL + 2 * GAP + 16, low + CHART + 34, *pieces, label=caption),
                 caption)


def _check(sight: Sight, x: int, y: int, stride: int, statistics: str) -> None:
    height, width = sight.image.shape[1:]
    if stride not in sight.strides:
        raise ValueError(f"stride must be one of {', '.join(map(str, sight.strides))}, "
                         f"got {stride}.")
    if not (0 <= x < width and 0 <= y < height):
        raise ValueError(f"Pixel ({x}, {y}) is not on the image of {width} x {height} pixels: x "
                         f"goes from 0 to {width - 1}, y from 0 to {height - 1}.")
    if statistics not in STATISTICS:
        raise ValueError(f"statistics must be one of {', '.join(STATISTICS)}, got {statistics!r}.")


def _cell_box(panel: Panel, cell: tuple[int, int, int, int]) -> str:
    edges = panel.edges(cell)
    return svg.box(edges, svg.PAPER, width=5) + svg.box(edges, svg.ORANGE, width=2.5)


def _where(panel: Panel, sight: Sight, stride: int, cell: tuple, window: tuple, x: int, y: int):
    """The image with the map's grid over it, the cell, its window, and the chosen pixel."""
    cross = panel.edges((x + 0.5, y + 0.5, 0, 0))[:2]
    return [svg.text(panel.left, TOP - 8, f"image, cells of {stride} pixels"),
            svg.underlay(sight.uri, panel.whole),
            svg.grid_lines(panel.whole, stride * panel.scale) if stride > 2 else "",
            _cell_box(panel, cell), panel.open_box(window, svg.RED),
            svg.sample_points([cross], svg.INK, 5, svg.PAPER)]


def _map(panel: Panel, sight: Sight, stride: int, cell: tuple):
    """The map, stretched over the image's place."""
    channels, rows, columns = sight.features(stride).shape
    return [svg.text(panel.left, TOP - 8, f"map: {rows} x {columns} cells, {channels} channels"),
            svg.underlay(sight.map_uri(stride), panel.whole), _cell_box(panel, cell)]


def _looks(panel: Panel, uri: str, cell: tuple, window: tuple):
    """How much each pixel matters to the cell."""
    return [svg.text(panel.left, TOP - 8, "how much each pixel matters"),
            svg.underlay(uri, panel.whole), _cell_box(panel, cell),
            panel.open_box(window, svg.RED)]


def _chart(panel: Panel, gradient: Tensor, span: tuple[int, int], cell: tuple):
    """The gradient summed over each column, under its columns."""
    x1, _, x2, bottom = panel.whole
    level, values = bottom + 10 + CHART, gradient.sum(dim=0)
    values = (values / values.max().clamp(min=1e-12)).tolist()
    points = [(panel.edges((i + 0.5, 0, 0, 0))[0], level - CHART * value)
              for i, value in enumerate(values)]
    pieces = [svg.line(x1, level, x2, level, svg.PALE)]
    for edges, colour, dashed in ((span, svg.RED, True), (cell[::2], svg.ORANGE, False)):
        for edge in edges:
            if 0 <= edge <= panel.width:
                at = panel.edges((edge, 0, 0, 0))[0]
                pieces.append(svg.line(at, level - CHART, at, level, colour, dashed))
    pieces += [svg.polyline(points, svg.BLUE),
               svg.text((x1 + x2) / 2, level + 15, "its sum over each column", 11, "middle")]
    return pieces


def explore_strides(
    backbone: nn.Module, image: Tensor, normalize: nn.Module, x: int | None = None,
    y: int | None = None, stride: int | None = None,
) -> Explorer:
    """Sliders over a pixel and the map, and whether the norms' statistics pass a gradient.

    Args:
        backbone, image, normalize: see `Sight`. x, y: the pixel to begin with; the middle.
        stride: the map to begin with; the coarsest.
    """
    sight = Sight(backbone, image, normalize)
    height, width = image.shape[1:]

    def frame(x: int, y: int, stride: int, statistics: str) -> Frame:
        return strides_frame(sight, x, y, stride, statistics)

    explorer = Explorer(
        frame,
        x=IntSlider(width // 2 if x is None else x, min=0, max=width - 1,
                    description="pixel: column x (px)"),
        y=IntSlider(height // 2 if y is None else y, min=0, max=height - 1,
                    description="pixel: row y (px)"),
        stride=SelectionSlider(options=sight.strides, value=stride or sight.strides[-1],
                               description="stride of the map (px)"),
        statistics=SelectionSlider(options=STATISTICS, value="held",
                                   description="norms' statistics"),
    )
    explorer.sight = sight
    return explorer
