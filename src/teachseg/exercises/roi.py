"""Lesson 10's exercises: rounding, RoIPool, RoIWarp and RoIAlign, a loop at a time.

The seven solutions are what a learner would write: plain loops on one map and one box, slow and
plain. `teachseg.layers.roi` is the library's way; the tests hold the two equal.

Letters
    H, W  height and width of a feature map
    S     bins a side
    z     a coordinate on the map: at z = u one reads cell u

Boxes are (x1, y1, x2, y2): in image pixels for `align` and `misalignment`, in feature cells else.

Lesson: 10
"""

import math

import torch

from teachseg.exercises.registry import Case, Exercise, Mutant

# ---------------------------------------------------------------------------------------------
# The maps that the cases are read from
# ---------------------------------------------------------------------------------------------


def _hilly(height: int, width: int) -> torch.Tensor:
    """(height, width) whole numbers, up and down so that no plane fits, over a slope."""
    rows, columns = torch.arange(height)[:, None], torch.arange(width)
    hills = (7 * rows * rows + 5 * columns + 3 * rows * columns * columns) % 19
    return (hills + 3 * rows - 4 * columns).float()


SEVEN = _hilly(7, 7)
WIDE = _hilly(6, 9)
RAMP = torch.arange(8.0).expand(8, 8) + 0.5  # every point of the scaled image holds its own x

# ---------------------------------------------------------------------------------------------
# roi.round
# ---------------------------------------------------------------------------------------------


def round_half_away(x):
    """The whole number nearest to x; of two equally near, the one further from zero."""
    whole = math.trunc(x)
    if abs(x - whole) >= 0.5:
        whole += 1 if x > 0 else -1
    return whole


ROUND = Exercise(
    name="roi.round",
    title="Round as C does: halves away from zero",
    lesson="10",
    reference=round_half_away,
    cases=(
        Case("23 / 16, below a half", (23 / 16,)),
        Case("24 / 16, exactly a half", (24 / 16,)),
        Case("a half above an even number", (2.5,)),
        Case("a half below zero", (-0.5,)),
        Case("a half above an odd number, below zero", (-1.5,)),
        Case("nearly a half", (0.49999999999999994,)),
        Case("a whole number below zero", (-3.0,)),
    ),
    tolerance=1e-9,
    hints=(
        "Which two whole numbers are closest to 2.5? Python's round() takes the even one; the "
        "released RoI layers take the one further from zero.",
        "Cut the fraction off first, with math.trunc(x). Is what was cut off at least a half?",
        "If abs(x - math.trunc(x)) >= 0.5, go one further from zero: + 1 for a positive x, - 1 for "
        "a negative one.",
    ),
    solution="round(x) sends 1.5 to 2 and 2.5 to 2, always to the even neighbour, and so does "
             "torch.round. floor(x + 0.5) sends -0.5 to 0 where C sends it to -1, and fails for "
             "0.49999999999999994, where x + 0.5 itself is rounded up to 1. A box that is rounded "
             "by another rule starts in another cell.",
    mutants=(
        Mutant("half to even", "round() and torch.round take the even neighbour of a half: 2.5 "
               "becomes 2. C's round(), and so the released layers, go away from zero.",
               lambda x: round(x)),
        Mutant("floor of x + 1/2", "floor(x + 0.5) moves every half up: right above zero, but "
               "-0.5 has to go down to -1.", lambda x: math.floor(x + 0.5)),
        Mutant("fraction cut off", "int(x) and trunc(x) cut the fraction off, however large it is: "
               "1.9 becomes 1.", lambda x: math.trunc(x)),
        Mutant("floor", "floor(x) goes down to the next whole number, however near the one above "
               "is.", lambda x: math.floor(x)),
        Mutant("upwards", "ceil(x) goes up, however near the number below is.",
               lambda x: math.ceil(x)),
    ),
)

# ---------------------------------------------------------------------------------------------
# roi.misalignment
# ---------------------------------------------------------------------------------------------


def misalignment(x, stride):
    """How far rounding moves an edge at x, in image pixels; to the right is positive.

    The edge is brought onto the map, rounded to a cell (halves away from zero), and brought back.
    """
    return round_half_away(x / stride) * stride - x


MISALIGNMENT = Exercise(
    name="roi.misalignment",
    title="How many image pixels does rounding cost?",
    lesson="10",
    reference=misalignment,
    cases=(
        Case("23 at stride 16", (23, 16)),
        Case("24 at stride 16", (24, 16)),
        Case("40 at stride 16, a half above an even cell", (40, 16)),
        Case("on a cell's edge", (32, 16)),
        Case("the same 23 at stride 32", (23, 32)),
        Case("left of the image", (-8, 16)),
    ),
    tolerance=1e-6,
    hints=(
        "Follow one edge: image pixel -> cell -> nearest whole cell -> image pixel again.",
        "x / stride is the cell, your round_half_away makes it whole, times stride brings it back. "
        "What is the difference to x?",
        "round_half_away(x / stride) * stride - x. For 23 at stride 16: 1 * 16 - 23 = -7.",
    ),
    solution="The loss is counted where the object is, in image pixels: half a cell of stride 16 "
             "is 8 pixels, of stride 32 it is 16. Left in cells it looks harmless (0.44). Its "
             "sign tells the direction: plotted against x it is a sawtooth that jumps from "
             "-stride / 2 to stride / 2 where x / stride passes a half.",
    mutants=(
        Mutant("in cells", "That is the loss in cells. Times the stride it is in image pixels, "
               "which is what an object's edge is off by.",
               lambda x, stride: misalignment(x, stride) / stride),
        Mutant("without a sign", "The size is right, the direction is missing: a loss of -7 is to "
               "the left.", lambda x, stride: abs(misalignment(x, stride))),
        Mutant("the other way round", "The sign is the wrong way round: where the edge went, minus "
               "where it was.", lambda x, stride: -misalignment(x, stride)),
        Mutant("floor", "The edge is cut off to the cell it lies in; RoIPool takes the nearest "
               "whole cell.", lambda x, stride: x // stride * stride - x),
        Mutant("half to even", "40 / 16 = 2.5 goes to 3, away from zero; Python's round() takes "
               "the even 2.", lambda x, stride: round(x / stride) * stride - x),
    ),
    uses=("roi.round",),
)

# ---------------------------------------------------------------------------------------------
# roi.pool_bins
# ---------------------------------------------------------------------------------------------


def pool_bins(low, high, bins, size):
    """RoIPool's bins along one axis, as pairs (first, end): cells first, ..., end - 1.

    Cells low to high, both included, are the box; a box turned inside out is one cell long. Bin i
    reaches from i * length / bins, rounded down, to (i + 1) * length / bins, rounded up. What is
    not among the map's cells 0, ..., size - 1 is cut off, so that a bin off the map has
    first = end.
    """
    length = max(high - low + 1, 1)
    pairs = []
    for i in range(bins):
        first = low + i * length // bins
        end = low + -((i + 1) * length // -bins)  # rounded up, without leaving whole numbers
        pairs.append((min(max(first, 0), size), min(max(end, 0), size)))
    return pairs


def _bins_with(low, high, bins, size, more=1, down=math.floor, up=math.ceil, clip=True, origin=1):
    """`pool_bins` with one thing changed."""
    length, pairs = max(high - low + more, 1), []
    for i in range(bins):
        pair = [origin * low + down(i * length / bins), origin * low + up((i + 1) * length / bins)]
        pairs.append([min(max(edge, 0), size) for edge in pair] if clip else pair)
    return pairs


POOL_BINS = Exercise(
    name="roi.pool_bins",
    title="Which cells belong to which bin of RoIPool?",
    lesson="10",
    reference=pool_bins,
    cases=(
        Case("7 cells in 3 bins", (0, 6, 3, 7)),
        Case("not at the map's beginning", (2, 9, 3, 16)),
        Case("6 cells in 3 bins: none is shared", (0, 5, 3, 7)),
        Case("box half outside, on the left", (-3, 3, 3, 7)),
        Case("box half outside, on the right", (4, 10, 3, 7)),
        Case("more bins than cells", (2, 3, 4, 8)),
        Case("box turned inside out", (5, 2, 2, 8)),
    ),
    tolerance=1e-6,
    hints=(
        "How many cells is a box long that goes from cell 0 to cell 6, both included?",
        "length = max(high - low + 1, 1); a bin is length / bins long, mostly no whole number. "
        "Its beginning goes down to a whole cell, its end up: neighbours may share one.",
        "first = low + floor(i * length / bins), end = low + ceil((i + 1) * length / bins); then "
        "clip both to 0..size.",
    ),
    solution="7 cells in 3 bins are 7/3 cells each. Rounded outwards they are cells 0-2, 2-4 and "
             "4-6: cells 2 and 4 count twice. Windows of floor(7/3) = 2 cells would leave cell 6 "
             "out. And the last cell belongs to the box: without the + 1 it would be 6 cells long.",
    mutants=(
        Mutant("last cell left out", "Cells low and high both belong to the box: it is "
               "high - low + 1 long.",
               lambda low, high, bins, size: _bins_with(low, high, bins, size, more=0)),
        Mutant("ends rounded down", "The ends are rounded down like the beginnings. RoIPool rounds "
               "outwards: a bin's end goes up, and neighbours share a cell.",
               lambda low, high, bins, size: _bins_with(low, high, bins, size, up=math.floor)),
        Mutant("rounded to the nearest", "The bins' borders are rounded to the nearest cell. "
               "RoIPool rounds outwards: the beginning down, the end up.",
               lambda low, high, bins, size: _bins_with(low, high, bins, size, down=round,
                                                        up=round)),
        Mutant("windows of whole cells", "Every window has floor(length / bins) cells, and those "
               "at the end of the box belong to none. Bins are fractions of cells first, and "
               "rounded then.",
               lambda low, high, bins, size: [
                   tuple(min(max(low + k * (max(high - low + 1, 1) // bins), 0), size)
                         for k in (i, i + 1)) for i in range(bins)]),
        Mutant("not clipped", "Some of those cells are not on the map: clip both numbers to "
               "0..size.",
               lambda low, high, bins, size: _bins_with(low, high, bins, size, clip=False)),
        Mutant("counted from 0", "The bins are those of a box that begins at cell 0: add low.",
               lambda low, high, bins, size: _bins_with(low, high, bins, size, origin=0)),
    ),
)

# ---------------------------------------------------------------------------------------------
# roi.pool
# ---------------------------------------------------------------------------------------------


def pool(features, box, bins):
    """RoIPool of one box: (H, W) features -> (bins, bins), the largest cell of each bin.

    box is (x1, y1, x2, y2) in whole cells, the last ones included. A bin without cells is 0.
    """
    x1, y1, x2, y2 = box
    rows = pool_bins(y1, y2, bins, features.shape[0])
    columns = pool_bins(x1, x2, bins, features.shape[1])
    out = torch.zeros(bins, bins)
    for i, (top, bottom) in enumerate(rows):
        for j, (left, right) in enumerate(columns):
            cells = features[top:bottom, left:right]
            if cells.numel() > 0:
                out[i, j] = cells.max()
    return out


def _pool_with(features, box, bins, cut=pool_bins, reduce=torch.max, least=-math.inf):
    """`pool` with other bins, another number for a bin's cells, or a maximum that starts at 0."""
    rows = cut(box[1], box[3], bins, features.shape[0])
    columns = cut(box[0], box[2], bins, features.shape[1])
    cells = [[features[top:bottom, left:right] for left, right in columns] for top, bottom in rows]
    return [[max(float(reduce(one)), least) if one.numel() else 0.0 for one in row]
            for row in cells]


POOL = Exercise(
    name="roi.pool",
    title="RoIPool one box: 7 x 7 to 3 x 3",
    lesson="10",
    reference=pool,
    cases=(
        Case("7 x 7 to 3 x 3", (SEVEN, (0, 0, 6, 6), 3)),
        Case("a box that is not square", (WIDE, (1, 2, 7, 4), 2)),
        Case("all features below 0", (-SEVEN.abs() - 1, (1, 1, 5, 5), 2)),
        Case("box half outside", (SEVEN, (4, -3, 10, 3), 3)),
        Case("more bins than cells", (SEVEN, (2, 3, 3, 4), 4)),
    ),
    tolerance=1e-5,
    hints=(
        "A bin is a rectangle of cells: which rows, and which columns? Your pool_bins answers "
        "both.",
        "Two loops, over rows of bins and columns of bins; features[top:bottom, left:right] are a "
        "bin's cells. Rows are y, columns x.",
        "cells = features[top:bottom, left:right]; out[i, j] = cells.max() if there are any, "
        "else 0.",
    ),
    solution="The usual slips: x and y change places, as features[y, x] has its row first while a "
             "box has its x first; a running maximum that starts at 0 and hides negative features; "
             "and bins that do not share cells. A bin without cells is 0 because max() of nothing "
             "does not exist, and the network needs a number.",
    mutants=(
        Mutant("mean", "That is each bin's mean. RoIPool takes the largest.",
               lambda f, box, bins: _pool_with(f, box, bins, reduce=torch.mean)),
        Mutant("x and y swapped", "x and y have changed places: rows of features are y, and a box "
               "is (x1, y1, x2, y2).",
               lambda f, box, bins: pool(f, (box[1], box[0], box[3], box[2]), bins)),
        Mutant("maximum from 0", "The maximum starts at 0, so a bin whose features are all "
               "negative reads 0. Start from its first cell.",
               lambda f, box, bins: _pool_with(f, box, bins, least=0.0)),
        Mutant("last cell left out", "Cells x2 and y2 belong to the box: it is x2 - x1 + 1 wide.",
               lambda f, box, bins: _pool_with(
                   f, box, bins, lambda *axis: _bins_with(*axis, more=0))),
        Mutant("no shared cells", "The bins' ends are rounded down. RoIPool rounds outwards, so "
               "that neighbours share a row or column where length / bins is no whole number.",
               lambda f, box, bins: _pool_with(
                   f, box, bins, lambda *axis: _bins_with(*axis, up=math.floor))),
        Mutant("transposed", "Rows and columns of the result are swapped: the first index is the "
               "bin's row.", lambda f, box, bins: pool(f, box, bins).T),
    ),
    uses=("roi.pool_bins",),
)

# ---------------------------------------------------------------------------------------------
# roi.bilinear
# ---------------------------------------------------------------------------------------------


def bilinear(features, y, x):
    """The value at one point between cells, as RoIAlign reads it; features (H, W).

    Cell (row, column) sits at y = row, x = column. A point up to one cell beyond the outermost
    cells reads what is there at the edge; a point further off reads 0.
    """
    height, width = features.shape
    if not (-1 <= y <= height and -1 <= x <= width):
        return 0.0
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    top, left = math.floor(y), math.floor(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    down, across = y - top, x - left  # shares of the lower row and of the right column
    above = (1 - across) * features[top, left] + across * features[top, right]
    below = (1 - across) * features[bottom, left] + across * features[bottom, right]
    return float((1 - down) * above + down * below)


def _fading(features, y, x):
    """The paper's kappa alone: beyond the edge the value fades to 0 within a cell."""
    return sum(max(0.0, 1 - abs(y - row)) * max(0.0, 1 - abs(x - column)) * float(value)
               for row, values in enumerate(features) for column, value in enumerate(values))


def _clamped(features, y, x):
    """`bilinear` that reads the edge however far off the point is."""
    height, width = features.shape
    return bilinear(features, min(max(y, 0), height - 1), min(max(x, 0), width - 1))


def _mirrored(features, y, x):
    """`bilinear` with the two cells' shares along each axis changed over."""
    height, width = features.shape
    if not (-1 <= y <= height and -1 <= x <= width):
        return 0.0
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    at_y, at_x = ((math.floor(z) + 1 - z % 1) if z % 1 else z for z in (y, x))
    return bilinear(features, at_y, at_x)


BILINEAR = Exercise(
    name="roi.bilinear",
    title="Read a value between four cells",
    lesson="10",
    reference=bilinear,
    cases=(
        Case("on a cell", (WIDE, 2, 3)),
        Case("a quarter of the way right", (WIDE, 2, 3.25)),
        Case("among four cells", (WIDE, 1.25, 6.75)),
        Case("on the last row and column", (WIDE, 5, 8)),
        Case("half a cell beyond the edge", (WIDE, -0.5, 4.5)),
        Case("more than a cell beyond", (WIDE, 2.0, 9.5)),
    ),
    tolerance=1e-4,
    hints=(
        "Along one axis: between cells 3 and 4, at 3.25, how much of each?",
        "Mix the two cells of the upper row, then those of the lower row, then the two mixtures. "
        "The nearer cell gets the larger share: 1 - (x - floor(x)) for the left one.",
        "First return 0 if y < -1, y > H, x < -1 or x > W; then clamp y to 0..H-1 and x to 0..W-1; "
        "then mix. The neighbours are floor and floor + 1, but at most the last cell.",
    ),
    solution="Most often the shares are the wrong way round: at 3.25 the left cell, a quarter "
             "away, counts three quarters. Next come y and x, and the edge: without the clamp "
             "floor(x) + 1 runs off the map, and -1 would read the last column, since Python "
             "counts negative indices from the end.",
    mutants=(
        Mutant("nearest", "That is the value of the nearest cell: it jumps. Bilinear reading mixes "
               "all four neighbours.",
               lambda f, y, x: bilinear(f, *(z if z < -1 or z > side else round_half_away(z)
                                             for z, side in zip((y, x), f.shape)))),
        Mutant("shares swapped", "The shares are the wrong way round: at 3.25 cell 3 is nearer "
               "than cell 4, and counts 0.75.", _mirrored),
        Mutant("x and y swapped", "y and x have changed places: features[row, column] is "
               "features[y, x].", lambda f, y, x: bilinear(f, x, y)),
        Mutant("cell at its half", "Half a cell has been taken off y and x. In this exercise cell "
               "u sits at u; the half pixel belongs to the box, in roi.align.",
               lambda f, y, x: bilinear(f, y - 0.5, x - 0.5)),
        Mutant("fades at the edge", "Beyond the edge your value fades to 0, as in MNC's formula. "
               "RoIAlign reads the outermost cell's value up to a cell further.", _fading),
        Mutant("never 0", "A point more than a cell beyond the edge counts as 0; yours reads the "
               "edge however far away it is.", _clamped),
    ),
)

# ---------------------------------------------------------------------------------------------
# roi.align
# ---------------------------------------------------------------------------------------------


def align(features, box, bins, scale):
    """RoIAlign of one box on one channel: (H, W) features -> (bins, bins).

    box is (x1, y1, x2, y2) in image pixels, scale = 1 / stride. Each bin is the mean of 2 x 2
    points, at 1/4 and 3/4 of its height and width; nothing is rounded, and the middle of cell u is
    at u + 1/2 of the scaled image.
    """
    x1, y1, x2, y2 = (side * scale - 0.5 for side in box)
    bin_height, bin_width = (y2 - y1) / bins, (x2 - x1) / bins
    out = torch.zeros(bins, bins)
    for i in range(bins):
        for j in range(bins):
            total = 0
            for down in (0.25, 0.75):
                for across in (0.25, 0.75):
                    y = y1 + (i + down) * bin_height
                    x = x1 + (j + across) * bin_width
                    total += bilinear(features, y, x)
            out[i, j] = total / 4
    return out


def _align_with(features, box, bins, scale, points=(0.25, 0.75), reduce=None):
    """`align` with other points in a bin, or another number made of them than their mean."""
    x1, y1, x2, y2 = (side * scale - 0.5 for side in box)
    steps = [(i + point) / bins for i in range(bins) for point in points]
    read = torch.tensor([[bilinear(features, y1 + down * (y2 - y1), x1 + across * (x2 - x1))
                          for across in steps] for down in steps])
    side = len(points)
    cut = read.view(bins, side, bins, side).permute(0, 2, 1, 3).flatten(2)
    return cut.mean(dim=2) if reduce is None else reduce(cut)


def _align_corners(features, box, bins, scale):
    """`align` whose bins are as far apart as if there were one fewer."""
    x1, y1, x2, y2 = box
    longer = bins / (bins - 1)
    return align(features, (x1, y1, x1 + (x2 - x1) * longer, y1 + (y2 - y1) * longer), bins, scale)


ALIGN = Exercise(
    name="roi.align",
    title="RoIAlign one box, half pixel and all",
    lesson="10",
    reference=align,
    cases=(
        Case("a ramp that holds its own x", (RAMP, (16, 16, 80, 80), 2, 1 / 16)),
        Case("box off the grid", (SEVEN, (19, 37, 90, 101), 3, 1 / 16)),
        Case("a box that is not square", (WIDE, (5, 22, 66, 41), 2, 1 / 8)),
        Case("box half outside", (SEVEN, (-60, 10, 52, 70), 2, 1 / 16)),
        Case("a box smaller than a cell", (SEVEN, (50, 50, 58, 54), 2, 1 / 16)),
    ),
    tolerance=1e-3,
    hints=(
        "Bring the box onto the map first. Cell u covers u to u + 1 of the scaled image: where is "
        "its middle, and at which coordinate does bilinear read it?",
        "x1 = box[0] * scale - 0.5, and so on; nothing is rounded. A bin is (x2 - x1) / bins wide. "
        "Its four points lie at a quarter and three quarters of it, in both directions.",
        "y = y1 + (i + 0.25) * (y2 - y1) / bins, then with 0.75; x likewise with j. out[i, j] is "
        "the mean of the four bilinear values.",
    ),
    solution="The half pixel is what nearly everybody forgets. On a ramp that holds its own x, a "
             "box from 16 to 80 at stride 16 reaches from 1 to 5, and its two bins have to read 2 "
             "and 4, the middles of the bins. Without - 0.5 they read 2.5 and 4.5. Dividing by "
             "bins - 1 is right for points that lie on the box's edges; here they are inside bins.",
    mutants=(
        Mutant("half pixel forgotten", "Everything is read half a cell too far down and right: "
               "the middle of cell u is at u + 1/2, so take 0.5 off the scaled box.",
               lambda f, box, bins, scale: align(f, [side + 0.5 / scale for side in box], bins,
                                                 scale)),
        Mutant("half pixel added", "The half pixel has the wrong sign: z = x * scale - 0.5.",
               lambda f, box, bins, scale: align(f, [side + 1 / scale for side in box], bins,
                                                 scale)),
        Mutant("half pixel in the image", "The half is taken off in image pixels. It is half a "
               "cell: scale first, then take off 0.5.",
               lambda f, box, bins, scale: align(f, [side - 0.5 + 0.5 / scale for side in box],
                                                 bins, scale)),
        Mutant("box rounded", "The box was rounded to whole cells. That is what RoIAlign was made "
               "to avoid.",
               lambda f, box, bins, scale: align(
                   f, [round_half_away(side * scale) / scale for side in box], bins, scale)),
        Mutant("bins at their start", "Each bin is read once, at its beginning, as RoIWarp does. "
               "RoIAlign reads points inside the bin.",
               lambda f, box, bins, scale: _align_with(f, box, bins, scale, points=(0.0,))),
        Mutant("bins at their middle", "Each bin is read once, at its middle. Here 2 x 2 points "
               "are asked for, and their mean.",
               lambda f, box, bins, scale: _align_with(f, box, bins, scale, points=(0.5,))),
        Mutant("points at the bin's edges", "The four points lie on the bin's corners. They belong "
               "at a quarter and three quarters of its sides.",
               lambda f, box, bins, scale: _align_with(f, box, bins, scale, points=(0.0, 1.0))),
        Mutant("divided by bins - 1", "A bin's side is the box's divided by bins, not by "
               "bins - 1.", _align_corners),
        Mutant("largest", "That is the largest of the four points; here their mean is asked for.",
               lambda f, box, bins, scale: _align_with(
                   f, box, bins, scale, reduce=lambda cut: cut.amax(dim=2))),
        Mutant("sum", "That is the sum of the four points: divide by 4.",
               lambda f, box, bins, scale: 4 * align(f, box, bins, scale)),
        Mutant("x and y swapped", "x and y have changed places: rows are y, and a box is "
               "(x1, y1, x2, y2).",
               lambda f, box, bins, scale: align(f, [box[k] for k in (1, 0, 3, 2)], bins, scale)),
        Mutant("transposed", "Rows and columns of the result are swapped: the first index is the "
               "bin's row.", lambda f, box, bins, scale: align(f, box, bins, scale).T),
    ),
    uses=("roi.bilinear",),
)

# ---------------------------------------------------------------------------------------------
# roi.warp_start
# ---------------------------------------------------------------------------------------------


def warp_starts(x1, x2, bins):
    """Where RoIWarp reads along one axis: bins coordinates, each its bin's beginning, in cells.

    x1 and x2 are the box's edges in cells, not rounded (MNC's formula, not its released code).
    """
    return [x1 + i / bins * (x2 - x1) for i in range(bins)]


WARP_START = Exercise(
    name="roi.warp_start",
    title="Where does RoIWarp's formula read?",
    lesson="10",
    reference=warp_starts,
    cases=(
        Case("4 cells in 4 bins", (2, 6, 4)),
        Case("off the grid", (1.3, 7.9, 3)),
        Case("left of the map", (-2.5, 2, 3)),
        Case("a single bin", (3.5, 5.5, 1)),
        Case("a box of no width", (4, 4, 2)),
        Case("box turned inside out: read mirrored", (6, 2, 4)),
    ),
    tolerance=1e-4,
    hints=(
        "The formula reads bin u' at x_i + (u' / W') w. What is read for u' = 0? Should that be "
        "the box's centre or its left edge?",
        "w = x2 - x1, W' = bins, u' = 0, 1, ..., bins - 1; and x_i has to be the left edge.",
        "x1 + i / bins * (x2 - x1) for i in range(bins). The right edge itself is never read.",
    ),
    solution="MNC calls (x_i, y_i) the box's centre. Taken at its word, the formula would start in "
             "the middle of the box and end to the right of it. It makes sense, and gives the "
             "right slopes to the box, with the left edge, which is what the authors' code takes. "
             "Each bin is read at its beginning: half a bin to the left of where RoIAlign looks.",
    mutants=(
        Mutant("from the centre", "This starts at the box's centre, as the paper's words say, and "
               "ends outside the box. The formula only makes sense from the left edge.",
               lambda x1, x2, bins: [(x1 + x2) / 2 + i / bins * (x2 - x1) for i in range(bins)]),
        Mutant("middles of bins", "Those are the bins' middles, which is RoIAlign's idea. RoIWarp "
               "reads each bin at its beginning: u' without + 1/2.",
               lambda x1, x2, bins: [x1 + (i + 0.5) / bins * (x2 - x1) for i in range(bins)]),
        Mutant("up to the right edge", "The last point lies on the right edge: that is i / "
               "(bins - 1). The formula divides by bins.",
               lambda x1, x2, bins: [x1 + i / max(bins - 1, 1) * (x2 - x1) for i in range(bins)]),
        Mutant("box rounded", "The edges were rounded first. The released code does that; the "
               "formula does not.",
               lambda x1, x2, bins: warp_starts(round_half_away(x1), round_half_away(x2), bins)),
        Mutant("left edge forgotten", "These are distances from the left edge: add x1.",
               lambda x1, x2, bins: warp_starts(0, x2 - x1, bins)),
    ),
)

EXERCISES = (ROUND, MISALIGNMENT, POOL_BINS, POOL, BILINEAR, ALIGN, WARP_START)
