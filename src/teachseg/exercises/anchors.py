"""Lesson 04's exercises: an anchor's sides, the released windows, counts, places, fit, deltas.

The solutions are plain arithmetic on numbers. The library's way is in `teachseg.geometry.anchors`
and `teachseg.geometry.boxes`; the tests hold the two equal.

Boxes are (x1, y1, x2, y2) in image pixels. A ratio is height / width.

Lesson: 04
"""

import math

import torch

from teachseg.exercises.boxes import iou
from teachseg.exercises.registry import Case, Exercise, Mutant

# ---------------------------------------------------------------------------------------------
# anchors.cell
# ---------------------------------------------------------------------------------------------


def cell(size, ratio):
    """[width, height] of the anchor with the area size * size and height / width = ratio."""
    width = size / math.sqrt(ratio)
    return [width, width * ratio]


CELL = Exercise(
    name="anchors.cell",
    title="How wide, how high?",
    lesson="04",
    reference=cell,
    cases=(
        Case("a square", (32, 1.0)),
        Case("ratio 1/4: twice as wide as the square", (32, 0.25)),
        Case("ratio 4: twice as high", (32, 4.0)),
        Case("ratio 1/2", (10, 0.5)),
        Case("ratio 2", (64, 2.0)),
        Case("ratio 3, sides that are no whole numbers", (16, 3.0)),
    ),
    tolerance=1e-4,
    hints=(
        "Two conditions for two unknowns: width * height = size^2 and height = ratio * width.",
        "Put the second into the first: width * (ratio * width) = size^2.",
        "width = size / sqrt(ratio), height = ratio * width = size * sqrt(ratio).",
    ),
    solution="The root is what keeps the area: one side is divided by sqrt(ratio), the other "
             "multiplied by it. Ratio 1/4 of size 32 is 64 x 16. Which side the ratio stretches is "
             "a convention; here, in py-faster-rcnn, torchvision and detectron2 it is height / "
             "width, so that 1/2 lies and 2 stands.",
    mutants=(
        Mutant("width over height", "A ratio is height / width here: 1/4 lies, 4 stands.",
               lambda size, ratio: cell(size, 1 / ratio)),
        Mutant("without a root", "The shape is then ratio^2. The area is right, and the root is "
               "missing.", lambda size, ratio: [size / ratio, size * ratio]),
        Mutant("width kept", "The shape is right, but the area grows with the ratio: size^2 was "
               "asked for.", lambda size, ratio: [size, size * ratio]),
        Mutant("height kept", "The shape is right, but the height is always size: the area must "
               "be size^2.", lambda size, ratio: [size / ratio, size]),
        Mutant("half sides", "These are half the sides, as they stand left and right of the "
               "centre.", lambda size, ratio: [side / 2 for side in cell(size, ratio)]),
    ),
)

# ---------------------------------------------------------------------------------------------
# anchors.window
# ---------------------------------------------------------------------------------------------


def window(ratio, scale):
    """[x1, y1, x2, y2] of one anchor of the released code, the last pixel inside included.

    A window of 16 x 16 pixels, 0 to 15, gets the shape `ratio` at (about) the same area: the width
    is rounded, then the height that belongs to this width. Both sides grow `scale` times, about
    the window's centre.
    """
    width = round(math.sqrt(16 * 16 / ratio))
    height = round(width * ratio)
    width, height = width * scale, height * scale
    centre = 7.5  # the middle of pixels 0 to 15
    return [centre - (width - 1) / 2, centre - (height - 1) / 2,
            centre + (width - 1) / 2, centre + (height - 1) / 2]


def _window_of(width, height, centre=7.5, last=1):
    """A window of these sides; `last` is 1 where the last pixel is inside."""
    return [centre - (width - 1) / 2, centre - (height - 1) / 2,
            centre - (width - 1) / 2 + width - last, centre - (height - 1) / 2 + height - last]


def _sides(ratio):
    width = round(math.sqrt(256 / ratio))
    return width, round(width * ratio)


WINDOW = Exercise(
    name="anchors.window",
    title="The anchors of the released code",
    lesson="04",
    reference=window,
    cases=(
        Case("ratio 1, scale 8", (1.0, 8)),
        Case("ratio 1/2, scale 8", (0.5, 8)),
        Case("ratio 2, scale 8", (2.0, 8)),
        Case("ratio 1/2, scale 32", (0.5, 32)),
        Case("ratio 2, scale 16", (2.0, 16)),
        Case("ratio 1, scale 1: the window itself", (1.0, 1)),
    ),
    tolerance=1e-4,
    hints=(
        "Three steps: the shape of the window of 16 x 16, in whole pixels; grown; put about the "
        "centre. Pixels 0 to 15 are 16 pixels, and the middle of 0 and 15 is 7.5.",
        "width = round(sqrt(256 / ratio)), height = round(width * ratio), both times scale. From "
        "the centre to the last pixel inside it is (side - 1) / 2.",
        "x1 = 7.5 - (width - 1) / 2 and x2 = 7.5 + (width - 1) / 2, y alike with the height.",
    ),
    solution="Ratio 1/2: width round(22.63) = 23, height round(11.5) = 12, times 8: 184 x 96. The "
             "first column is 7.5 - 91.5 = -84, the last 7.5 + 91.5 = 99: 184 pixels, though 99 - "
             "(-84) is 183. The comment above the released function lists each number one larger: "
             "those are its MATLAB forerunner's, whose window is 1 to 16.",
    mutants=(
        Mutant("the comment's numbers", "Each number is one too large: that is a window from 1 to "
               "16, as in the comment above the released code, not 0 to 15.",
               lambda ratio, scale: _window_of(*(s * scale for s in _sides(ratio)), centre=8.5)),
        Mutant("edges", "x2 and y2 are one too large: they name the last pixel inside, not the far "
               "edge.", lambda ratio, scale: _window_of(*(s * scale for s in _sides(ratio)),
                                                        last=0)),
        Mutant("never rounded", "The sides of the small window are to be rounded, before they "
               "grow.", lambda ratio, scale: _window_of(16 * scale / math.sqrt(ratio),
                                                        16 * scale * math.sqrt(ratio))),
        Mutant("rounded at the end", "Round the sides of the small window, then let them grow: "
               "23 * 8 = 184, not 181.",
               lambda ratio, scale: _window_of(round(16 * scale / math.sqrt(ratio)),
                                               round(16 * scale * math.sqrt(ratio)))),
        Mutant("each side from its own root", "The height belongs to the rounded width: round(23 * "
               "1/2) = 12, not round(11.31) = 11.",
               lambda ratio, scale: _window_of(round(16 / math.sqrt(ratio)) * scale,
                                               round(16 * math.sqrt(ratio)) * scale)),
        Mutant("about the corner", "The window is centred on (0, 0) there; its centre is that of "
               "pixels 0 to 15.",
               lambda ratio, scale: _window_of(*(s * scale for s in _sides(ratio)), centre=0.0)),
    ),
)

# ---------------------------------------------------------------------------------------------
# anchors.count
# ---------------------------------------------------------------------------------------------


def count(height, width, strides, per_cell):
    """How many anchors an image of height x width pixels has, over maps of these strides.

    A map has a cell for every begun `stride` pixels; each cell has `per_cell` anchors.
    """
    total = 0
    for stride in strides:
        rows, columns = math.ceil(height / stride), math.ceil(width / stride)
        total += rows * columns * per_cell
    return total


def _count_with(cells):
    """A `count` that finds the cells along a side in another way."""

    def function(height, width, strides, per_cell):
        return sum(cells(height / s) * cells(width / s) * per_cell for s in strides)

    return function


COUNT = Exercise(
    name="anchors.count",
    title="How many anchors?",
    lesson="04",
    reference=count,
    cases=(
        Case("Faster R-CNN and MNC: 600 x 1000, stride 16, nine a cell", (600, 1000, [16], 9)),
        Case("the course: 128 x 128, three strides, three a cell", (128, 128, [4, 8, 16], 3)),
        Case("a pyramid: 800 x 1344, five strides, three a cell",
             (800, 1344, [4, 8, 16, 32, 64], 3)),
        Case("a scene's height that no stride divides", (90, 128, [4, 8, 16], 3)),
        Case("smaller than a cell", (5, 7, [16], 2)),
        Case("one cell and a pixel", (17, 16, [16], 1)),
    ),
    tolerance=1e-3,
    hints=(
        "Count the cells of each map, add them up over the maps, and multiply by the anchors of "
        "one cell.",
        "600 / 16 = 37.5, but there are 38 rows: the last begins, though the image ends within it.",
        "math.ceil(height / stride) * math.ceil(width / stride) * per_cell, summed over strides.",
    ),
    solution="600 x 1000 at stride 16 is 38 x 63 cells, and 38 * 63 * 9 = 21,546. The ceiling "
             "comes from the layers: halving with padding keeps the last odd pixel, 75 becomes 38. "
             "In a pyramid per_cell is 3 on each level, because a level has one size; with five "
             "sizes in each cell there would be five times as many.",
    mutants=(
        Mutant("floor", "600 / 16 = 37.5 is 38 rows: the last cell begins within the image.",
               _count_with(math.floor)),
        Mutant("rounded", "62.5 is 63 columns; round() makes 62 of it, and of 0.3 a map without "
               "cells.", _count_with(round)),
        Mutant("not whole", "A map has no half cells: round up, side by side, before you multiply.",
               _count_with(lambda cells: cells)),
        Mutant("every size on every level", "That has the anchors of all levels in each cell: a "
               "level has one size, per_cell is all there is.",
               lambda h, w, strides, k: count(h, w, strides, k * len(strides))),
        Mutant("cells", "These are the cells. Each has per_cell anchors.",
               lambda h, w, strides, k: count(h, w, strides, 1)),
        Mutant("the finest map alone", "That is the first map alone; all of them have anchors.",
               lambda h, w, strides, k: count(h, w, strides[:1], k)),
    ),
)

# ---------------------------------------------------------------------------------------------
# anchors.place
# ---------------------------------------------------------------------------------------------


def place(index, columns, per_cell, stride):
    """[x, y, k]: the centre in pixels of anchor number `index`, and which of its cell it is.

    Anchors are numbered from 0, row by row, the `per_cell` anchors of a cell one after the other.
    A cell's anchors are centred on its upper left corner.
    """
    cell_number, k = index // per_cell, index % per_cell
    row, column = cell_number // columns, cell_number % columns
    return [column * stride, row * stride, k]


def _place_with(change):
    """A `place` whose answer is another."""

    def function(index, columns, per_cell, stride):
        x, y, k = place(index, columns, per_cell, stride)
        return change(x, y, k, stride)

    return function


PLACE = Exercise(
    name="anchors.place",
    title="Which anchor is number 12,345?",
    lesson="04",
    reference=place,
    cases=(
        Case("the first of all", (0, 63, 9, 16)),
        Case("the last of the first cell", (8, 63, 9, 16)),
        Case("the first of the second cell", (9, 63, 9, 16)),
        Case("the second row begins", (63 * 9, 63, 9, 16)),
        Case("number 12,345 of 21,546", (12_345, 63, 9, 16)),
        Case("the last of all", (21_545, 63, 9, 16)),
        Case("the course's finest map", (1000, 32, 3, 4)),
    ),
    tolerance=1e-3,
    hints=(
        "Peel the number from the inside: the anchors of a cell go fastest, then columns, then "
        "rows.",
        "k = index % per_cell, and the number of the cell is index // per_cell.",
        "row = cell // columns, column = cell % columns; x = column * stride, y = row * stride.",
    ),
    solution="12,345 = 9 * 1371 + 6, and 1371 = 63 * 21 + 48: row 21, column 48, anchor 6, centre "
             "(768, 336). x comes from the column, y from the row. A network's answers come out "
             "as (channels, rows, columns); they must be turned round to rows, columns, channels "
             "before they are laid flat, or each anchor gets another's deltas.",
    mutants=(
        Mutant("x and y exchanged", "x comes from the column, y from the row.",
               _place_with(lambda x, y, k, stride: [y, x, k])),
        Mutant("in the middle of the cell", "Half a stride too far right and down: these anchors "
               "are centred on the cell's corner.",
               _place_with(lambda x, y, k, stride: [x + stride / 2, y + stride / 2, k])),
        Mutant("in cells", "That is column and row; the centre is asked for in pixels.",
               _place_with(lambda x, y, k, stride: [x / stride, y / stride, k])),
        Mutant("anchors counted from 1", "The anchors of a cell are counted from 0.",
               _place_with(lambda x, y, k, stride: [x, y, k + 1])),
        Mutant("one anchor a cell", "A cell has per_cell anchors: divide the number by that first.",
               lambda index, columns, per_cell, stride:
               [index % columns * stride, index // columns * stride, index % per_cell]),
    ),
)

# ---------------------------------------------------------------------------------------------
# anchors.coverage
# ---------------------------------------------------------------------------------------------


def coverage(boxes, anchors, least):
    """[mean, share]: the best IoU of a box with any anchor, on average, and how often it is enough.

    boxes is (N, 4), anchors (A, 4) with A > 0. The share is that of the boxes whose best IoU is at
    least `least`. Of no boxes both are 0.
    """
    total, enough = 0.0, 0
    for box in boxes.tolist():
        best = max(iou(box, anchor) for anchor in anchors.tolist())
        total += best
        if best >= least:
            enough += 1
    count = max(len(boxes), 1)
    return [total / count, enough / count]


def _coverage_of(best, least, above=False):
    """[mean, share] of numbers that are already chosen."""
    enough = [value > least if above else value >= least for value in best]
    count = max(len(best), 1)
    return [sum(best) / count, sum(enough) / count]


def _ious(boxes, anchors, more=0):
    """A row for each box, an IoU for each anchor; `more` is 1 for + 1 in the sides."""
    grown = [[x1, y1, x2 + more, y2 + more] for x1, y1, x2, y2 in anchors.tolist()]
    return [[iou([x1, y1, x2 + more, y2 + more], anchor) for anchor in grown]
            for x1, y1, x2, y2 in boxes.tolist()]


def _best(boxes, anchors, more=0):
    return [max(row) for row in _ious(boxes, anchors, more)]


def _best_of_each_anchor(boxes, anchors, least):
    best = [max(column) for column in zip(*_ious(boxes, anchors))]
    return _coverage_of(best, least)


def _every_pair(boxes, anchors, least):
    return _coverage_of([value for row in _ious(boxes, anchors) for value in row], least)


def _nearest_centre(boxes, anchors, least):
    """The IoU with the anchor whose centre is closest; of several the first."""
    middle = (anchors[:, :2] + anchors[:, 2:]) / 2
    rows, best = _ious(boxes, anchors), []
    for box, row in zip(boxes, rows):
        far = (middle - (box[:2] + box[2:]) / 2).square().sum(dim=1)
        best.append(row[int(far.argmin())])
    return _coverage_of(best, least)


def _an_anchor_for_one_box(boxes, anchors, least):
    """An anchor that is a box's best is not there for the boxes after it."""
    taken, best = set(), []
    for row in _ious(boxes, anchors):
        free = [a for a in range(len(row)) if a not in taken]
        chosen = max(free, key=lambda a: row[a], default=None)
        taken.add(chosen)
        best.append(0.0 if chosen is None else row[chosen])
    return _coverage_of(best, least)


def _mean_of_the_good(boxes, anchors, least):
    best = _best(boxes, anchors)
    good = [value for value in best if value >= least]
    return [_coverage_of(good, least)[0], _coverage_of(best, least)[1]]


def _not_divided(boxes, anchors, least):
    best = _best(boxes, anchors)
    return [sum(best), sum(value >= least for value in best)]


def _not_enough(boxes, anchors, least):
    best = _best(boxes, anchors)
    return [_coverage_of(best, least)[0], sum(v < least for v in best) / max(len(best), 1)]


FOUR_SQUARES = torch.tensor([[0.0, 0, 16, 16], [16, 0, 32, 16], [0, 16, 16, 32], [16, 16, 32, 32]])
TWO_SIZES = torch.tensor([[0.0, 0, 32, 32], [8, 8, 24, 24]])  # about one centre

COVERAGE = Exercise(
    name="anchors.coverage",
    title="Do these anchors fit those boxes?",
    lesson="04",
    reference=coverage,
    cases=(
        Case("a box that is an anchor", (torch.tensor([[16.0, 0, 32, 16]]), FOUR_SQUARES, 0.5)),
        Case("one fits, one is too large for all",
             (torch.tensor([[0.0, 0, 16, 12], [0, 0, 32, 32]]), FOUR_SQUARES, 0.5)),
        Case("an IoU of exactly least", (torch.tensor([[0.0, 0, 16, 8], [0, 0, 16, 4]]),
                                         FOUR_SQUARES, 0.5)),
        Case("two sizes about one centre", (torch.tensor([[8.0, 8, 24, 22]]), TWO_SIZES, 0.7)),
        Case("two boxes, and one anchor is the best of both",
             (torch.tensor([[8.0, 8, 24, 22], [8, 10, 24, 24]]), TWO_SIZES, 0.7)),
        Case("three of four fit at 0.7, and most anchors fit nobody",
             (torch.tensor([[0.0, 0, 16, 16], [0, 0, 14, 16], [16, 2, 30, 16], [20, 20, 28, 28]]),
              torch.cat([FOUR_SQUARES, FOUR_SQUARES + 64]), 0.7)),
        Case("no box", (torch.zeros(0, 4), FOUR_SQUARES, 0.5)),
    ),
    tolerance=1e-4,
    hints=(
        "One number for each box first: its IoU with the anchor that fits it best. What happens to "
        "the other anchors does not matter.",
        "For each box take the largest of its IoUs with all anchors. Then the mean of these "
        "numbers, and the share of them that are at least `least`. Both divide by the boxes.",
        "best = [max(iou(box, anchor) for anchor in anchors) for box in boxes]; the mean is "
        "sum(best) / N, the share is how many are >= least, over N. With N = 0, [0, 0].",
    ),
    solution="Coverage asks each box, not each anchor. Of thousands of anchors nearly all fit "
             "nobody, and must not: they wait for objects that are elsewhere in other images. One "
             "anchor may be the best of two boxes, for nothing is given away here; who has to "
             "answer for whom is another question. The closest centre is not enough to find the "
             "best anchor, since anchors of other sizes have the same centre.",
    mutants=(
        Mutant("asks the anchors", "That is the best box of each anchor. Asked is the best anchor "
               "of each box: a number for every box.", _best_of_each_anchor),
        Mutant("every pair", "Those are all pairs of a box and an anchor. Of a box only its best "
               "anchor counts.", _every_pair),
        Mutant("the closest centre", "The anchor with the closest centre need not have the largest "
               "IoU: others of another size may stand at the same place.", _nearest_centre),
        Mutant("given away", "One anchor may be the best of several boxes: nothing is given away "
               "here.", _an_anchor_for_one_box),
        Mutant("above, not from", "An IoU of exactly `least` is enough: at least.",
               lambda b, a, least: _coverage_of(_best(b, a), least, above=True)),
        Mutant("mean of those that fit", "The mean is over all boxes, not over those alone that an "
               "anchor fits.", _mean_of_the_good),
        Mutant("not divided", "That is a sum and a count: divide both by the number of boxes.",
               _not_divided),
        Mutant("the others", "That is the share of the boxes that no anchor fits.", _not_enough),
        Mutant("+ 1", "There is a + 1 in the sides. Boxes are in pixel edges here: a width is "
               "x2 - x1.", lambda b, a, least: _coverage_of(_best(b, a, more=1), least)),
    ),
    uses=("boxes.iou",),
)

# ---------------------------------------------------------------------------------------------
# anchors.encode
# ---------------------------------------------------------------------------------------------


def encode(box, anchor):
    """[t_x, t_y, t_w, t_h]: the deltas that carry the anchor onto the box; both (x1, y1, x2, y2).

    The centre's shift in sides of the anchor, and the natural logarithms of the sides' growth.
    """
    x1, y1, x2, y2 = (float(edge) for edge in box)
    a1, b1, a2, b2 = (float(edge) for edge in anchor)
    w, h, w_a, h_a = x2 - x1, y2 - y1, a2 - a1, b2 - b1
    t_x = ((x1 + x2) / 2 - (a1 + a2) / 2) / w_a
    t_y = ((y1 + y2) / 2 - (b1 + b2) / 2) / h_a
    return [t_x, t_y, math.log(w / w_a), math.log(h / h_a)]


def _encode_with(shift=None, growth=None, grow=0.0):
    """An `encode` with another way to divide the shift, or to measure the growth."""

    def function(box, anchor):
        x1, y1, x2, y2 = (float(edge) for edge in box)
        a1, b1, a2, b2 = (float(edge) for edge in anchor)
        w, h, w_a, h_a = x2 - x1 + grow, y2 - y1 + grow, a2 - a1 + grow, b2 - b1 + grow
        move = (x1 + x2 - a1 - a2) / 2, (y1 + y2 - b1 - b2) / 2
        sides = shift(w, h, w_a, h_a) if shift else (w_a, h_a)
        growth_of = growth or math.log
        return [move[0] / sides[0], move[1] / sides[1], growth_of(w / w_a), growth_of(h / h_a)]

    return function


def _encode_corners(box, anchor):
    """The shift of the upper left corner for that of the centre."""
    _, _, t_w, t_h = encode(box, anchor)
    w_a, h_a = float(anchor[2] - anchor[0]), float(anchor[3] - anchor[1])
    return [float(box[0] - anchor[0]) / w_a, float(box[1] - anchor[1]) / h_a, t_w, t_h]


ENCODE = Exercise(
    name="anchors.encode",
    title="From an anchor to a box",
    lesson="04",
    reference=encode,
    cases=(
        Case("the same box", ([10, 10, 30, 50], [10, 10, 30, 50])),
        Case("the lesson's pair", ([15, 20, 55, 60], [10, 10, 30, 50])),
        Case("shifted alone", ([18, 6, 38, 46], [10, 10, 30, 50])),
        Case("half as wide, twice as high, about the same centre", ([15, -10, 25, 70],
                                                                   [10, 10, 30, 50])),
        Case("smaller, up and to the left", ([0.5, 2, 8, 6.5], [16, 8, 32, 24])),
        Case("the same pair, four times as large", ([60, 80, 220, 240], [40, 40, 120, 200])),
    ),
    tolerance=1e-4,
    hints=(
        "First centres and sides of both: centre (x1 + x2) / 2, width x2 - x1.",
        "The centre's shift is divided by the side of the anchor: the width for x, the height for "
        "y.",
        "t_x = (x - x_a) / w_a and t_w = log(w / w_a); y and h alike.",
    ),
    solution="For the lesson's pair: the centre goes from (20, 30) to (35, 40), 15 of a width of "
             "20 is 0.75, 10 of a height of 40 is 0.25; the width doubles, log 2 = 0.6931; the "
             "height stays, log 1 = 0. The last case is the same pair at another zoom, and has the "
             "same deltas: that is what dividing is for.",
    mutants=(
        Mutant("by the box's own sides", "Divide by the sides of the anchor, which are known "
               "before anything is predicted, not by those of the box.",
               _encode_with(shift=lambda w, h, w_a, h_a: (w, h))),
        Mutant("in pixels", "The shift is left in pixels: divide it by the anchor's sides.",
               _encode_with(shift=lambda w, h, w_a, h_a: (1, 1))),
        Mutant("both by the width", "The shift along y is divided by the height of the anchor.",
               _encode_with(shift=lambda w, h, w_a, h_a: (w_a, w_a))),
        Mutant("no logarithm", "The growth itself would be 1 for equal sides. Take its logarithm.",
               _encode_with(growth=lambda g: g)),
        Mutant("growth less 1", "That is (w - w_a) / w_a. It is 0 for equal sides, but halving is "
               "not the opposite of doubling: take the logarithm.",
               _encode_with(growth=lambda g: g - 1)),
        Mutant("log base 2", "That is the logarithm of base 2; exp undoes the natural one.",
               _encode_with(growth=math.log2)),
        Mutant("logarithm upside down", "The growth is that of the anchor: box over anchor, not "
               "anchor over box.", _encode_with(growth=lambda g: -math.log(g))),
        Mutant("corners", "The shift of the upper left corner is not that of the centre, where the "
               "sides change.", _encode_corners),
        Mutant("inclusive", "There is a + 1 in the sides. Boxes are in pixel edges here: a width "
               "is x2 - x1.", _encode_with(grow=1.0)),
    ),
)

# ---------------------------------------------------------------------------------------------
# anchors.decode
# ---------------------------------------------------------------------------------------------


def decode(deltas, anchor, weights):
    """The box [x1, y1, x2, y2] that the deltas make of an anchor; undoes `encode`.

    Each delta is divided by its weight first. A side grows at most 62.5 times.
    """
    t_x, t_y, t_w, t_h = (delta / weight for delta, weight in zip(deltas, weights))
    a1, b1, a2, b2 = anchor
    w_a, h_a = a2 - a1, b2 - b1
    x, y = (a1 + a2) / 2 + t_x * w_a, (b1 + b2) / 2 + t_y * h_a
    w = w_a * math.exp(min(t_w, math.log(62.5)))
    h = h_a * math.exp(min(t_h, math.log(62.5)))
    return [x - w / 2, y - h / 2, x + w / 2, y + h / 2]


def _decode_with(deltas, anchor, weights, most=62.5, last=0.0, from_corner=False):
    """`decode` with another limit, end, or fixed point."""
    t_x, t_y, t_w, t_h = (delta / weight for delta, weight in zip(deltas, weights))
    a1, b1, a2, b2 = anchor
    w_a, h_a = a2 - a1, b2 - b1
    x, y = (a1 + a2) / 2 + t_x * w_a, (b1 + b2) / 2 + t_y * h_a
    w, h = (side * math.exp(min(t, math.log(most))) for side, t in ((w_a, t_w), (h_a, t_h)))
    if from_corner:
        x1, y1 = a1 + t_x * w_a, b1 + t_y * h_a
        return [x1, y1, x1 + w, y1 + h]
    return [x - w / 2, y - h / 2, x + w / 2 - last, y + h / 2 - last]


def _capped_first(deltas, anchor, weights):
    limit = math.log(62.5)
    return decode([*deltas[:2], *(min(t, limit) for t in deltas[2:])], anchor, weights)


def _without_exp(deltas, anchor, weights):
    t_x, t_y, t_w, t_h = (delta / weight for delta, weight in zip(deltas, weights))
    a1, b1, a2, b2 = anchor
    w_a, h_a = a2 - a1, b2 - b1
    x, y, w, h = ((a1 + a2) / 2 + t_x * w_a, (b1 + b2) / 2 + t_y * h_a, w_a * (1 + t_w),
                  h_a * (1 + t_h))
    return [x - w / 2, y - h / 2, x + w / 2, y + h / 2]


ONES, FAST_RCNN = [1, 1, 1, 1], [10, 10, 5, 5]

DECODE = Exercise(
    name="anchors.decode",
    title="From deltas to a box",
    lesson="04",
    reference=decode,
    cases=(
        Case("no delta: the anchor itself", ([0, 0, 0, 0], [10, 10, 30, 50], ONES)),
        Case("the lesson's pair", ([0.75, 0.25, math.log(2), 0], [10, 10, 30, 50], ONES)),
        Case("the same with weights 10, 10, 5, 5", ([7.5, 2.5, 5 * math.log(2), 0],
                                                   [10, 10, 30, 50], FAST_RCNN)),
        Case("shrinks, and moves up and to the left", ([-0.5, -1, -1.2, -0.3], [0, 0, 16, 8],
                                                      ONES)),
        Case("a wild delta: 16 pixels may become 1000", ([0, 0, 100, 100], [0, 0, 16, 16], ONES)),
        Case("large, but not after its weight", ([0, 0, 6, 2], [0, 0, 16, 16], FAST_RCNN)),
    ),
    tolerance=1e-3,
    hints=(
        "Undo the formulas of the deltas: t_x = (x - x_a) / w_a gives x = x_a + t_x w_a.",
        "t_w = log(w / w_a) gives w = w_a exp(t_w). Before exp: t_w at most log(62.5). Before all: "
        "deltas divided by their weights.",
        "From centre and sides: x1 = x - w / 2, x2 = x + w / 2, nothing added or taken off.",
    ),
    solution="The limit stands on the logarithm after the weights, so that no exp can overflow: a "
             "side of 16 becomes 1000 at most. It does not limit shrinking, exp(-100) is 0 without "
             "harm. The released code of the family has boxes with inclusive ends, and its "
             "decoder forgets to take the 1 off again: its x2 and y2 come out one too large.",
    mutants=(
        Mutant("no limit", "exp of a wild delta: a side may grow 62.5 times at most.",
               lambda d, a, w: _decode_with([min(t, 20.0) for t in d], a, w, most=1e9)),
        Mutant("limit before the weights", "Divide by the weights first: 6 / 5 = 1.2 needs no "
               "limit.", _capped_first),
        Mutant("times the weights", "Encoding multiplied by the weights; decoding divides.",
               lambda d, a, w: decode(d, a, [1 / weight for weight in w])),
        Mutant("weights forgotten", "The deltas are to be divided by their weights.",
               lambda d, a, w: decode(d, a, ONES)),
        Mutant("from the corner", "Centres move by t_x w_a, and sides grow about the new centre; "
               "here the upper left corner moves.",
               lambda d, a, w: _decode_with(d, a, w, from_corner=True)),
        Mutant("inclusive ends", "x2 and y2 are one too small: boxes end at pixel edges here.",
               lambda d, a, w: _decode_with(d, a, w, last=1.0)),
        Mutant("no exponential", "Growth is exp(t_w), not 1 + t_w: the two agree for small deltas "
               "alone.", _without_exp),
    ),
)

EXERCISES = (CELL, WINDOW, COUNT, PLACE, COVERAGE, ENCODE, DECODE)
