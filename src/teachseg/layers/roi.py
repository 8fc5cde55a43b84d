"""Reading features inside boxes: RoIPool, RoIWarp, RoIAlign, one under another.

Letters
    N        images in the batch
    R        boxes ("rois") of all images together
    C, H, W  channels, height, width of a feature map
    S        bins a side of the block that is read from each box (S_y, S_x where sides differ)
    n        samples a bin and axis
    k        cells that one bin looks at along one axis
    z        a coordinate on a feature map: at z = u one reads cell u, between cells a mix of both

A roi is (image index, x1, y1, x2, y2), the box in image pixels; times `spatial_scale` it is in
feature cells. The three operators put the box on the map, divide it into S x S bins and read a
value a bin; they differ in what they round and where they look:

    operator                   box      bins     a bin is                         z of a box edge
    roi_pool                   rounded  rounded  the largest of its cells         x * scale, rounded
    roi_warp, rounding=True    rounded  exact    one sample at the bin's start    x * scale, rounded
    roi_warp                   exact    exact    one sample at the bin's start    x * scale
    roi_align, aligned=False   exact    exact    the mean of n x n samples        x * scale
    roi_align                  exact    exact    the mean of n x n samples        x * scale - 1/2

The last column is the half-pixel trap. Pixel edges count from the image's corner, so the middle of
cell u is at u + 1/2 of the scaled image. Only `roi_align` (aligned=True) takes the half off; all
older operators say that cell u sits at u, and so read half a cell too far down and to the right.

Lesson: 10
"""

import math
from numbers import Integral
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from teachseg.checks import check_shape, reads_values
from teachseg.geometry.boxes import constant

LARGE_MAP = 2_000_000     # numbers in a feature map from which on reading only parts of it pays
MOST_SAMPLES = 4096       # that a box may ask for a bin and axis; more cells than any map has
READ_AT_ONCE = 4_000_000  # (bin, cell) pairs read in one go where boxes are read group by group
MODE_MAX = 2              # torch.embedding_bag's number for "the largest of the bag"


class AxisWeights(NamedTuple):
    """What every bin reads along one axis: the separable half of an operator."""

    cells: Tensor    # (R, S, k) int64 in 0..size-1: rows (or columns) of the feature map
    weights: Tensor  # (R, S, k) how much each counts; 0 for what is off the map


# ---------------------------------------------------------------------------------------------
# Small shared pieces
# ---------------------------------------------------------------------------------------------


def to_rois(boxes: list[Tensor]) -> Tensor:
    """Boxes of each image, (R_i, 4) xyxy -> (R, 5) rois: each box with its image's index in front.

    >>> to_rois([torch.zeros(0, 4), torch.tensor([[1.0, 2.0, 3.0, 4.0]])])
    tensor([[1., 1., 2., 3., 4.]])
    """
    if len(boxes) == 0:
        raise ValueError("boxes is an empty list: pass one (R_i, 4) tensor an image, "
                         "torch.zeros(0, 4) for an image without boxes.")
    return torch.cat([F.pad(of_image, (1, 0), value=i) for i, of_image in enumerate(boxes)])


def round_half_away(x: Tensor) -> Tensor:
    """To the nearest whole number, halves away from zero, as C's round(); torch's go to even.

    >>> round_half_away(torch.tensor([23 / 16, 24 / 16, 2.5, -2.5]))
    tensor([ 1.,  2.,  3., -3.])
    """
    whole = x.trunc()
    return whole + (2 * (x - whole)).trunc()


def axis_weights(z: Tensor, size: int, reach: float | None = None) -> AxisWeights:
    """Linear interpolation at z: kappa(z - u) = max(0, 1 - |z - u|) for the two cells u around it.

    Args:
        z: (R, S, n) coordinates; all n samples of a bin go into one entry of the result.
        size: cells of the map along this axis, in 0..size-1.
        reach: how far beyond the outermost cells' middles one may still look; what is seen there is
            the outermost cell, and 0 beyond. None: kappa alone decides, and as there is no cell
            beyond the edge, what is seen fades to 0 within one cell.

    Returns:
        cells, weights (R, S, 2n). The gradient of the weights to z is the slope to the right where
        z is whole, and 0 where z is held at the edge.
    """
    if reach is None:
        seen, first, last = torch.ones_like(z, dtype=torch.bool), -1, size
    else:
        seen, first, last = (z >= -reach) & (z <= size - 1 + reach), 0, size - 1
    # hold z between first and last (clamp alone would give no gradient at the ends themselves)
    z = torch.where((z >= first) & (z < last), z, z.detach().clamp(first, last))

    low = z.detach().floor()
    share = z - low                                            # of the upper cell
    cells = torch.stack([low, low + 1], dim=-1).long()         # (R, S, n, 2)
    weights = torch.stack([1 - share, share], dim=-1)
    counts = seen[..., None] & (cells >= 0) & (cells < size)
    return AxisWeights(cells.clamp(0, size - 1).flatten(2), (weights * counts).flatten(2))


def axis_matrix(axis: AxisWeights, size: int) -> Tensor:
    """The same weights as a matrix, (R, S, size): row i says what bin i reads of each cell."""
    rois, bins, _ = axis.cells.shape
    return axis.weights.new_zeros(rois, bins, size).scatter_add(2, axis.cells, axis.weights)


def read_bins(features: Tensor, image: Tensor, y: AxisWeights, x: AxisWeights) -> Tensor:
    """Weighted sums of cells, one a bin: out_rc = A_y F_c A_x^T, without the zeros of A_y and A_x.

    A_y (S_y, H) and A_x (S_x, W) are the `axis_matrix` of box r. Nearly all of their entries are
    0, so rather than multiply we look up: each bin is a bag of k_y * k_x cells with a weight each.
    With the channels of a cell side by side in memory, a bag's sum is a few additions of vectors.

    Args:
        features: (N, C, H, W) float32 or float64.
        image: (R,) int64, each box's image.

    Returns:
        (R, C, S_y, S_x), a view with the channels last in memory. Gradients go to features and,
        through the weights, to the boxes.
    """
    height, width = features.shape[2:]
    rois, bins_y, per_bin_y = y.cells.shape
    _, bins_x, per_bin_x = x.cells.shape
    bags = (rois * bins_y * bins_x, per_bin_y * per_bin_x)

    # Pair every row of a bin with every column: (R, S_y, S_x, k_y, k_x).
    rows = (image * height)[:, None, None] + y.cells
    cells = rows[:, :, None, :, None] * width + x.cells[:, None, :, None, :]
    weights = y.weights[:, :, None, :, None] * x.weights[:, None, :, None, :]

    table, cells = cell_table(features, cells.reshape(bags))
    values = SumBags.apply(table, cells, weights.reshape(bags).to(table.dtype))
    return values.view(rois, bins_y, bins_x, -1).permute(0, 3, 1, 2)


class SumBags(torch.autograd.Function):
    """(U, C) table, (B, k) rows of it, (B, k) weights -> (B, C): each bag's weighted sum of rows.

    This is A table with a sparse A, and torch has it as `embedding_bag` (words there, cells here).
    Autograd would do without this class; but the gradient to the table, A^T slope, is a sum of
    bags as well - for every cell the bins that read it - and said so it takes less time.
    """

    @staticmethod
    def forward(ctx, table: Tensor, cells: Tensor, weights: Tensor) -> Tensor:
        ctx.rows = len(table)  # its rows are only needed for the slope to the weights
        ctx.save_for_backward(table if ctx.needs_input_grad[2] else None, cells, weights)
        return F.embedding_bag(cells, table, per_sample_weights=weights, mode="sum")

    @staticmethod
    @once_differentiable
    def backward(ctx, slope: Tensor) -> tuple[Tensor | None, None, Tensor | None]:
        table, cells, weights = ctx.saved_tensors
        slope = slope.contiguous()
        to_table = to_weights = None
        if ctx.needs_input_grad[0]:
            reads, order = cells.flatten().sort()  # all pairs (bin, cell), by cell
            begin = torch.searchsorted(reads, torch.arange(ctx.rows, device=reads.device))
            bins = order.div(cells.shape[1], rounding_mode="floor")
            to_table = F.embedding_bag(
                bins, slope, begin, per_sample_weights=weights.flatten()[order], mode="sum"
            )
        if ctx.needs_input_grad[2]:
            with torch.enable_grad():  # torch knows this half: each weight's slope . row
                weights = weights.detach().requires_grad_()
                values = F.embedding_bag(cells, table, per_sample_weights=weights, mode="sum")
            (to_weights,) = torch.autograd.grad(values, weights, slope)
        return to_table, None, to_weights


def cell_table(features: Tensor, cells: Tensor) -> tuple[Tensor, Tensor]:
    """Features as a table of one row a cell, and where in the table each of `cells` stands.

    Args:
        features: (N, C, H, W).
        cells: any shape, int64: (image * H + row) * W + column.

    Returns:
        table (U, C) with the channels side by side; cells as rows of it. U is N * H * W, but on
        the CPU, where turning a large map costs more than reading a few boxes, only the cells that
        are asked for if they are fewer than half. (A GPU would have to wait for their number.)
    """
    large = features.device.type == "cpu" and features.numel() >= LARGE_MAP
    if large and not is_channels_last(features):
        asked = torch.zeros(features.numel() // features.shape[1], dtype=torch.bool)
        asked[cells.flatten()] = True
        used = asked.nonzero().flatten()
        if 2 * len(used) < len(asked):
            return TakeCells.apply(features, used), (asked.cumsum(0) - 1)[cells]
    return features.permute(0, 2, 3, 1).contiguous().view(-1, features.shape[1]), cells


class TakeCells(torch.autograd.Function):
    """(N, C, H, W) features, (U,) different cells -> (U, C).

    Autograd would add the gradients up one by one, as cells might come twice; they never do.
    """

    @staticmethod
    def forward(ctx, features: Tensor, used: Tensor) -> Tensor:
        ctx.save_for_backward(used)
        ctx.shape = features.shape
        area = features.shape[2] * features.shape[3]
        return features.flatten(2).transpose(1, 2)[used // area, used % area]

    @staticmethod
    @once_differentiable
    def backward(ctx, slope: Tensor) -> tuple[Tensor, None]:
        (used,) = ctx.saved_tensors
        to_features = slope.new_zeros(ctx.shape)
        area = ctx.shape[2] * ctx.shape[3]
        to_features.flatten(2).transpose(1, 2)[used // area, used % area] = slope
        return to_features, None


# ---------------------------------------------------------------------------------------------
# The three operators
# ---------------------------------------------------------------------------------------------


def roi_pool(
    features: Tensor, rois: Tensor, output_size: int | tuple[int, int], spatial_scale: float = 1.0
) -> Tensor:
    """RoIPool: each bin's largest cell; box and bins are rounded.      [Fast R-CNN, section 2.1]

    The box is rounded twice: its corners to the nearest cells, both of which belong to it (so it is
    x2 - x1 + 1 wide, at least 1), then each bin outwards, from floor to ceil, so that bins share
    cells. Equal to torchvision.ops.roi_pool in values and gradients.

    Args:
        features: (N, C, H, W) float.
        rois: (R, 5) image index and xyxy in image pixels; may be unsorted, off the map, inverted.
        output_size: S, or (S_y, S_x).
        spatial_scale: feature cells an image pixel, 1/16 for a map of stride 16.

    Returns:
        (R, C, S_y, S_x); 0 in a bin without cells. The gradient goes to each bin's largest cell
        (the first of several), none to the box. A GPU is waited for, to know how many cells.
    """
    bins, image, boxes = enter(features, rois, output_size, spatial_scale)
    height, width = features.shape[2:]
    corners = round_half_away(boxes.detach())
    first_y, count_y = pool_bins(corners[:, 1], corners[:, 3], bins[0], height)
    first_x, count_x = pool_bins(corners[:, 0], corners[:, 2], bins[1], width)

    # 1. List the cells of every bin, row by row, one bin after another.
    areas, spans = torch.broadcast_tensors(count_y[:, :, None] * count_x[:, None], count_x[:, None])
    corner = ((image * height)[:, None] + first_y)[:, :, None] * width + first_x[:, None]
    areas, spans, corner = areas.flatten(), spans.flatten(), corner.flatten()  # one entry a bin
    begin = areas.cumsum(0) - areas
    bin_of = torch.repeat_interleave(areas)
    step = torch.arange(len(bin_of), device=areas.device) - begin[bin_of]
    down = step.div(spans[bin_of], rounding_mode="floor")
    cells = corner[bin_of] + down * width + (step - down * spans[bin_of])
    if len(cells) == 0 or features.shape[1] == 0:  # no box, or every bin off the map
        return nothing(features, len(rois), bins)

    # 2. Find each bin's largest cell, channel by channel; then read it: gradients go where we read.
    table, cells = cell_table(at_least_float32(features), cells)
    winners = torch.embedding_bag(table.detach(), cells, begin, False, MODE_MAX)[3]  # (bins, C)
    empty = (areas == 0)[:, None]
    if empty.any():
        values = table.gather(0, winners.clamp(min=0)).masked_fill(empty, 0)
    else:
        values = table.gather(0, winners)
    return leave(features, values.view(len(rois), *bins, -1).permute(0, 3, 1, 2))


def pool_bins(low: Tensor, high: Tensor, bins: int, size: int) -> tuple[Tensor, Tensor]:
    """RoIPool's bins along one axis: rounded corners (R,) -> first cells and counts, (R, S)."""
    bin_size = (high - low + 1).clamp(min=1)[:, None] / bins
    i = torch.arange(bins, dtype=low.dtype, device=low.device)
    first = ((i * bin_size).floor() + low[:, None]).clamp(0, size).long()
    end = (((i + 1) * bin_size).ceil() + low[:, None]).clamp(0, size).long()
    return first, (end - first).clamp(min=0)


def roi_warp(
    features: Tensor,
    rois: Tensor,
    output_size: int | tuple[int, int],
    spatial_scale: float = 1.0,
    rounding: bool = False,
) -> Tensor:
    """RoIWarp: one interpolated value a bin, differentiable in the box too.           [MNC, Eq. 8]

        F_roi(u', v') = sum over u, v of g(u, u') g(v, v') F(u, v)
        g(u, u')      = kappa(x_1 + (u' / W') w - u),   kappa(z) = max(0, 1 - |z|)

    paper      here
    u, u'      a cell of the map; a bin, in 0..W'-1
    W', w      S_x; the box's width in cells
    x_i        x_1, the LEFT edge. The paper calls (x_i, y_i) the box's centre: then its formula
               would read from the centre to the right of the box. It is right for the left edge,
               which is what the authors' code takes.
    dG/dB      autograd: the slope of kappa, times 1 - u'/W' to x_1 and u'/W' to x_2

    So each bin is read at its start, not its middle, and cell u sits at z = u. The map ends where
    its cells end: up to one cell beyond the outermost the value fades to 0.

    Args:
        features: (N, C, H, W) float.
        rois: (R, 5) image index and xyxy in image pixels.
        output_size: S, or (S_y, S_x). MNC warps to 28 and then takes the largest of 2 x 2.
        spatial_scale: feature cells an image pixel.
        rounding: as the authors' code and not as the paper: the scaled corners are rounded (halves
            away from zero), an inverted box is 0 wide, and half a cell beyond the outermost ones
            the value is theirs, then 0. The gradient ignores the rounding, as theirs does: to x_1
            it is scale (1 - u'/W') dF/dx, to x_2 scale u'/W' dF/dx. (Theirs is 0 to all four
            corners where either axis is in its last cell, ours only along that axis; and theirs
            takes the box for a cell wider on the way back than on the way there.)

    Returns:
        (R, C, S_y, S_x), with gradients to features and to rois[:, 1:]. An inverted box is read
        mirrored (rounding=False).
    """
    bins, image, boxes = enter(features, rois, output_size, spatial_scale)
    if len(rois) == 0 or features.shape[1] == 0:
        return nothing(features, len(rois), bins)
    if rounding:
        boxes = boxes - boxes.detach() + round_half_away(boxes.detach())  # value rounded, slope 1
    start, extent = boxes[:, :2], boxes[:, 2:] - boxes[:, :2]
    if rounding:
        extent = torch.where(extent >= 0, extent, 0)  # at 0 the gradient flows, unlike clamp's

    axes = []
    for axis, count, size in ((1, bins[0], features.shape[2]), (0, bins[1], features.shape[3])):
        z = warp_samples(start[:, axis], extent[:, axis], count)
        axes.append(axis_weights(z[:, :, None], size, reach=0.5 if rounding else None))
    return leave(features, read_bins(at_least_float32(features), image, *axes))


def roi_align(
    features: Tensor,
    rois: Tensor,
    output_size: int | tuple[int, int],
    spatial_scale: float = 1.0,
    sampling_ratio: int = 2,
    aligned: bool = True,
) -> Tensor:
    """RoIAlign: the mean of n x n interpolated samples a bin; no rounding.  [Mask R-CNN, section 3]

    Equal to torchvision.ops.roi_align, and differentiable in the box too, which theirs is not.

    Args:
        features: (N, C, H, W) float.
        rois: (R, 5) image index and xyxy in image pixels.
        output_size: S, or (S_y, S_x).
        spatial_scale: feature cells an image pixel.
        sampling_ratio: n. 0 or less: as many as the box asks for, ceil(box height / S_y) down and
            ceil(box width / S_x) across, in cells, so that neighbouring samples are at most a cell
            apart (a box of no size has no samples and reads 0; `MOST_SAMPLES` at most). Above 2
            and below 1 boxes are read in groups: slower, and a GPU is waited for.
        aligned: cell u's middle is at u + 1/2 of the scaled image, as it should. False is the first
            release: cell u sits at u, and a box is at least one cell wide and high.

    Returns:
        (R, C, S_y, S_x), with gradients to features and to rois[:, 1:]. A sample up to one cell
        beyond the outermost cells' middles reads the outermost cell; one further off counts as 0.

    >>> ramp = (torch.arange(16.0) + 0.5).expand(1, 1, 16, 16)  # every point holds its own x
    >>> box = torch.tensor([[0, 3.25, 4.0, 11.25, 12.0]])       # four bins of 2 cells
    >>> roi_align(ramp, box, output_size=4)[0, 0, 0]
    tensor([ 4.2500,  6.2500,  8.2500, 10.2500])
    """
    bins, image, boxes = enter(features, rois, output_size, spatial_scale)
    if len(rois) == 0 or features.shape[1] == 0:
        return nothing(features, len(rois), bins)
    if not isinstance(sampling_ratio, Integral):
        raise ValueError(f"sampling_ratio must be a whole number, got {sampling_ratio}. Pass 2 for "
                         "2 x 2 samples a bin, or 0 for as many as the box asks for.")
    size, values = features.shape[2:], at_least_float32(features)
    start, extent = align_extents(boxes, aligned)
    counts = samples_per_bin(extent, bins, sampling_ratio)
    if sampling_ratio in (1, 2):
        axes = align_axes(start, extent, counts, sampling_ratio, bins, size)
        return leave(features, read_bins(values, image, *axes))

    # Many samples share cells: join those, group by group of boxes with like numbers of samples.
    values = values.contiguous(memory_format=torch.channels_last)
    groups, parts = like_sized(counts, bins), []
    for group in groups:
        most = int(counts[group].max())
        axes = align_axes(start[group], extent[group], counts[group], most, bins, size)
        parts.append(read_bins(values, image[group], *(join_samples(axis) for axis in axes)))
    return leave(features, torch.cat(parts)[torch.cat(groups).argsort()])


def roi_align_matrices(
    feature_size: tuple[int, int],
    rois: Tensor,
    output_size: int | tuple[int, int],
    spatial_scale: float = 1.0,
    sampling_ratio: int = 2,
    aligned: bool = True,
) -> tuple[Tensor, Tensor]:
    """RoIAlign as two matrices a box, one an axis: A_y (R, S_y, H) and A_x (R, S_x, W).

    `torch.einsum("rih,rchw,rjw->rcij", A_y, features[image], A_x)` is what `roi_align` returns:
    interpolation, the mean over samples and the rule at the edge are all separable. Here to be
    looked at; `read_bins` leaves their zeros out.

    Args:
        feature_size: (H, W).
    """
    bins = check_bins(output_size)
    boxes = rois[:, 1:].to(torch.promote_types(rois.dtype, torch.float32)) * spatial_scale
    start, extent = align_extents(boxes, aligned)
    counts = samples_per_bin(extent, bins, sampling_ratio)
    most = int(counts.max()) if len(rois) else 1
    y, x = align_axes(start, extent, counts, most, bins, feature_size)
    return axis_matrix(y, feature_size[0]), axis_matrix(x, feature_size[1])


# ---------------------------------------------------------------------------------------------
# Where RoIWarp and RoIAlign read along one axis
# ---------------------------------------------------------------------------------------------


def warp_samples(start: Tensor, extent: Tensor, bins: int) -> Tensor:
    """z of every bin's beginning, which is where RoIWarp reads it.

    Args:
        start, extent: (R,) where each box starts and how far it goes, in cells.

    Returns:
        (R, S).

    >>> warp_samples(torch.tensor([1.0]), torch.tensor([6.0]), bins=3)
    tensor([[1., 3., 5.]])
    """
    i = torch.arange(bins, dtype=start.dtype, device=start.device)
    return start[:, None] + i * (extent[:, None] / bins)


def align_samples(start: Tensor, extent: Tensor, bins: int, counts: Tensor, most: int) -> Tensor:
    """z of every bin's samples, each in the middle of its part of the bin, as RoIAlign reads them.

    Args:
        start, extent: (R,) in z, from `align_extents`.
        counts: (R,) samples a bin of each box, n.
        most: the largest of them; a box with fewer has its last sample again in the places left.

    Returns:
        (R, S, most).

    >>> align_samples(torch.tensor([1.0]), torch.tensor([6.0]), 3, torch.tensor([2.0]), 2)
    tensor([[[1.5000, 2.5000],
             [3.5000, 4.5000],
             [5.5000, 6.5000]]])
    """
    n = counts[:, None, None].clamp(min=1)
    i = torch.arange(bins, dtype=start.dtype, device=start.device)[:, None]
    sample = torch.arange(most, dtype=start.dtype, device=start.device)
    middle = torch.minimum(sample, n - 1) + 0.5  # (R, 1, most)
    bin_size = extent[:, None, None] / bins
    return start[:, None, None] + i * bin_size + middle * bin_size / n


# ---------------------------------------------------------------------------------------------
# RoIAlign's own pieces
# ---------------------------------------------------------------------------------------------


def align_extents(boxes: Tensor, aligned: bool) -> tuple[Tensor, Tensor]:
    """Scaled boxes (R, 4) -> where each starts and how far it goes, both (R, 2) as (x, y), in z."""
    if aligned:
        boxes = boxes - 0.5
    start, extent = boxes[:, :2], boxes[:, 2:] - boxes[:, :2]
    return start, extent if aligned else extent.clamp(min=1)


def samples_per_bin(extent: Tensor, bins: tuple[int, int], sampling_ratio: int) -> Tensor:
    """Samples a bin of each box, (R, 2) as (x, y): n, or so many that no cell is skipped."""
    if sampling_ratio > 0:
        return torch.full_like(extent, sampling_ratio)
    cells_per_bin = extent.detach() / constant((bins[1], bins[0]), extent)
    return cells_per_bin.ceil().clamp(0, MOST_SAMPLES)


def align_axes(
    start: Tensor,
    extent: Tensor,
    counts: Tensor,
    most: int,
    bins: tuple[int, int],
    size: tuple[int, int],
) -> list[AxisWeights]:
    """RoIAlign's weights along y and along x.

    Args:
        start, extent: (R, 2) as (x, y), from `align_extents`.
        counts: (R, 2) as (x, y), samples a bin of each box; 0 reads nothing.
        most: the largest of them.
        bins, size: (S_y, S_x) and (H, W).
    """
    axes = []
    for axis, bins_here, cells_here in ((1, bins[0], size[0]), (0, bins[1], size[1])):
        z = align_samples(start[:, axis], extent[:, axis], bins_here, counts[:, axis], max(1, most))
        n = counts[:, axis, None, None]
        taken = torch.arange(z.shape[2], dtype=n.dtype, device=n.device) < n  # (R, 1, most)
        share = (taken / n.clamp(min=1)).repeat_interleave(2, dim=2)  # each sample has two cells
        cells, weights = axis_weights(z, cells_here, reach=1.0)
        axes.append(AxisWeights(cells, weights * share))
    return axes


def like_sized(counts: Tensor, bins: tuple[int, int]) -> list[Tensor]:
    """Indices of boxes in groups whose samples differ less than twofold, within `READ_AT_ONCE`."""
    most = counts.amax(dim=1).clamp(min=1)
    level = most.log2().ceil()
    groups = []
    for value in level.unique().tolist():
        pairs = bins[0] * bins[1] * (2**value + 1) ** 2  # (bin, cell) pairs of one box
        members = (level == value).nonzero().flatten()
        groups.extend(members.split(max(1, int(READ_AT_ONCE / pairs))))
    return groups


def join_samples(axis: AxisWeights) -> AxisWeights:
    """Join the weights of samples that look at the same cell, so that each cell is read once."""
    first = axis.cells.amin(dim=2, keepdim=True)
    span = int((axis.cells - first).max()) + 1
    if span >= axis.cells.shape[2]:
        return axis
    offset = torch.arange(span, device=first.device)
    weights = axis_matrix(AxisWeights(axis.cells - first, axis.weights), span)
    return AxisWeights(torch.minimum(first + offset, axis.cells.amax(dim=2, keepdim=True)), weights)


# ---------------------------------------------------------------------------------------------
# At the door
# ---------------------------------------------------------------------------------------------


def enter(
    features: Tensor, rois: Tensor, output_size: int | tuple[int, int], spatial_scale: float
) -> tuple[tuple[int, int], Tensor, Tensor]:
    """Check what came; -> bins (S_y, S_x), image (R,) int64, boxes (R, 4) in cells, >= float32.

    Values of rois are looked at on the CPU alone: a GPU would have to be waited for.
    """
    check_shape(features, "N C H W", "features")
    if isinstance(rois, Tensor) and rois.ndim == 2 and rois.shape[1] == 4:
        raise ValueError(f"rois must have the shape (R, 5), got {tuple(rois.shape)}: each box "
                         "needs its image's index in front. to_rois([boxes, ...]) puts it there.")
    check_shape(rois, "R 5", "rois")
    if not features.is_floating_point():
        raise ValueError(f"features must be float, got {features.dtype}. Pass features.float().")
    if 0 in features.shape[2:]:
        raise ValueError(f"features must have at least one cell, got {tuple(features.shape)}. Is "
                         "the image smaller than the stride? Enlarge it.")
    if rois.device != features.device:
        raise ValueError(f"features are on {features.device} and rois on {rois.device}: move one, "
                         "rois.to(features.device).")
    if not (math.isfinite(spatial_scale) and spatial_scale > 0):
        raise ValueError(f"spatial_scale must be a positive number, got {spatial_scale}. It is "
                         "1 / stride: 1/16 where a cell is 16 pixels.")
    if reads_values(rois):
        check_roi_values(rois.detach(), len(features))
    image = rois[:, 0].detach().round().long()
    dtype = torch.promote_types(torch.promote_types(rois.dtype, features.dtype), torch.float32)
    return check_bins(output_size), image, rois[:, 1:].to(dtype) * spatial_scale


def check_bins(output_size: int | tuple[int, int]) -> tuple[int, int]:
    """S or (S_y, S_x) -> (S_y, S_x); ValueError unless both are whole and at least 1."""
    pair = isinstance(output_size, tuple | list)
    bins = tuple(output_size) if pair else (output_size, output_size)
    if len(bins) != 2 or not all(isinstance(side, Integral) and side >= 1 for side in bins):
        raise ValueError(f"output_size must be a whole number of at least 1, or two of them as "
                         f"(height, width), got {output_size}. Faster R-CNN uses 7, mask heads 14.")
    return bins


def check_roi_values(rois: Tensor, images: int) -> None:
    """ValueError unless every roi is finite and of an image that there is."""
    broken = (~rois.isfinite()).any(dim=1).nonzero().flatten()
    if len(broken):
        first = int(broken[0])
        raise ValueError(f"rois[{first}] = {rois[first].tolist()} is not finite: a roi needs "
                         "five ordinary numbers. Look for a division by zero or a learning "
                         "rate too high where the box was made.")
    image = rois[:, 0].round()
    foreign = ((image < 0) | (image >= images)).nonzero().flatten()
    if len(foreign):
        first = int(foreign[0])
        raise ValueError(f"rois[{first}] is of image {image[first]:.0f}, but features hold "
                         f"{images} image(s), 0..{images - 1}. The first column of rois is the "
                         "image's index in the batch: is it left out, or a dataset's image id?")


def at_least_float32(features: Tensor) -> Tensor:
    """Half precision is read in float32, and given back in half by `leave`."""
    return features.to(torch.promote_types(features.dtype, torch.float32))


def nothing(features: Tensor, rois: int, bins: tuple[int, int]) -> Tensor:
    """Zeros (rois, C, S_y, S_x) that are still on the graph of features."""
    zeros = features[:0].sum(dim=(0, 2, 3))  # (C,), the sum of no image
    return zeros[:, None, None].expand(rois, -1, *bins).contiguous()


def leave(features: Tensor, out: Tensor) -> Tensor:
    """Give `out` the dtype of features, and their order in memory: channels last or contiguous."""
    out = out.to(features.dtype)
    return out if not features.is_contiguous() and is_channels_last(features) else out.contiguous()


def is_channels_last(features: Tensor) -> bool:
    """Whether the channels of a cell stand side by side in memory."""
    return features.is_contiguous(memory_format=torch.channels_last)
