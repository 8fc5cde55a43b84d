"""Lesson 01's exercises: overlaps of boxes, a mask's tight box, run lengths and COCO's string.

The solutions are plain loops. The library's way is in `teachseg.geometry.boxes`,
`teachseg.geometry.masks` and `teachseg.datasets.coco`; the tests hold the two equal.

Letters
    H, W  height and width of a mask, in pixels

Boxes are (x1, y1, x2, y2) in pixel edges.

Lesson: 01
"""

import torch

from teachseg.exercises.registry import Case, Exercise, Mutant

# ---------------------------------------------------------------------------------------------
# boxes.iou
# ---------------------------------------------------------------------------------------------


def iou(a, b):
    """Intersection over union of two boxes (x1, y1, x2, y2); 0 where both have no area."""
    wide = max(0, min(a[2], b[2]) - max(a[0], b[0]))
    high = max(0, min(a[3], b[3]) - max(a[1], b[1]))
    common = wide * high
    together = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common
    return common / together if together else 0.0


def _sides(box, more=0):
    return box[2] - box[0] + more, box[3] - box[1] + more


def _iou_with(a, b, held=True, more=0, under="union"):
    """`iou` with one thing changed."""
    (aw, ah), (bw, bh) = _sides(a, more), _sides(b, more)
    wide = min(a[2], b[2]) - max(a[0], b[0]) + more
    high = min(a[3], b[3]) - max(a[1], b[1]) + more
    common = max(0, wide) * max(0, high) if held else wide * high
    around = ((max(a[2], b[2]) - min(a[0], b[0])) * (max(a[3], b[3]) - min(a[1], b[1])))
    below = {"union": aw * ah + bw * bh - common, "sum": aw * ah + bw * bh, "around": around,
             "smaller": min(aw * ah, bw * bh)}[under]
    return common / below if below else 0.0


IOU = Exercise(
    name="boxes.iou",
    title="How much do two boxes overlap?",
    lesson="01",
    reference=iou,
    cases=(
        Case("they share a corner's 2 x 3 pixels", ((0, 0, 4, 4), (2, 1, 6, 5))),
        Case("the same box", ((1, 2, 5, 9), (1, 2, 5, 9))),
        Case("one inside the other", ((0, 0, 10, 10), (2, 3, 6, 8))),
        Case("apart along both axes", ((0, 0, 2, 2), (5, 7, 9, 9))),
        Case("apart along one axis", ((0, 0, 4, 4), (6, 1, 9, 3))),
        Case("they touch", ((0, 0, 4, 4), (4, 0, 8, 4))),
        Case("fractions of a pixel", ((0.5, 0, 2.5, 2), (1, 0.5, 3, 2.5))),
        Case("one has no area", ((3, 3, 3, 8), (0, 0, 10, 10))),
    ),
    tolerance=1e-5,
    hints=(
        "What both have in common is a box itself. Where is its left edge, where its right one?",
        "Its left edge is the larger of the two left edges, its right edge the smaller of the two "
        "right ones. What if the right one then lies left of the left one?",
        "wide = max(0, min(a[2], b[2]) - max(a[0], b[0])), high alike; common / (area of a + area "
        "of b - common).",
    ),
    solution="Each axis by itself: the common part begins where the later box begins and ends "
             "where the earlier one ends, and it cannot be shorter than 0. The 0 is needed on each "
             "axis: of two boxes that are apart along both, the product of two negative lengths "
             "would be an area. The common part is in both areas, so it is taken off once.",
    mutants=(
        Mutant("not held at 0", "Two boxes that are apart along both axes have two negative "
               "lengths, and their product is positive: hold each length at 0.",
               lambda a, b: _iou_with(a, b, held=False)),
        Mutant("+ 1", "Edges are counted here, not pixels: a width is x2 - x1, without a + 1.",
               lambda a, b: _iou_with(a, b, more=1)),
        Mutant("common twice", "What both have in common is in both areas: take it off once below "
               "the line.", lambda a, b: _iou_with(a, b, under="sum")),
        Mutant("box around both", "That divides by the box around both. The union has no corners "
               "that neither box covers.", lambda a, b: _iou_with(a, b, under="around")),
        Mutant("of the smaller", "That is the share of the smaller box: 1 as soon as it lies "
               "inside the other.", lambda a, b: _iou_with(a, b, under="smaller")),
        Mutant("Dice", "That is Dice's number, twice the common part over both areas. IoU divides "
               "by what they cover together.", lambda a, b: 2 * _iou_with(a, b, under="sum")),
    ),
)

# ---------------------------------------------------------------------------------------------
# boxes.shifted
# ---------------------------------------------------------------------------------------------


def shifted(width, height, right, down):
    """IoU of a box with its own copy, moved by (right, down) pixels, either of them maybe < 0."""
    common = max(0, width - abs(right)) * max(0, height - abs(down))
    return common / (2 * width * height - common)


def _over(common, width, height):
    return common / (2 * width * height - common)


SHIFTED = Exercise(
    name="boxes.shifted",
    title="What a shift costs",
    lesson="01",
    reference=shifted,
    cases=(
        Case("a tenth along one axis", (10, 10, 1, 0)),
        Case("a tenth along both", (10, 10, 1, 1)),
        Case("to the left and up", (10, 8, -2, -3)),
        Case("a wide box, moved down", (32, 8, 0, 2)),
        Case("a high box, moved down", (8, 32, 0, 2)),
        Case("as far as it is wide", (10, 4, 10, 0)),
        Case("out of itself along both axes", (10, 4, 15, 7)),
        Case("not moved", (7, 3, 0, 0)),
    ),
    tolerance=1e-5,
    hints=(
        "Draw it. How wide is what the two have in common, and how high?",
        "width - abs(right) wide, as long as that is above 0; alike down. Both areas are the same.",
        "common = max(0, width - abs(right)) * max(0, height - abs(down)); below the line stands "
        "2 * width * height - common.",
    ),
    solution="Along one axis it is (w - d) / (w + d): half is left when d is a third of the side. "
             "Along both axes the lengths multiply above the line, but the IoU is not the product "
             "of two IoUs: (1, 1) on 10 x 10 gives 81 / 119 = 0.681, the product would be "
             "(9/11)^2 = 0.669.",
    mutants=(
        Mutant("direction", "A shift to the left or upwards costs as much as one to the right: "
               "take the size of the shift.",
               lambda w, h, r, d: _over(max(0, w - r) * max(0, h - d), w, h)),
        Mutant("not held at 0", "Further than its own side there is nothing in common: two "
               "negative lengths make no area.",
               lambda w, h, r, d: _over((w - abs(r)) * (h - abs(d)), w, h)),
        Mutant("share of the box", "That is which share of the box is still covered. The union is "
               "larger than the box.",
               lambda w, h, r, d: max(0, w - abs(r)) * max(0, h - abs(d)) / (w * h)),
        Mutant("a product of IoUs", "Lengths multiply, IoUs do not: multiply what is in common "
               "first, then divide.",
               lambda w, h, r, d: (max(0, w - abs(r)) / (w + abs(r))
                                   * max(0, h - abs(d)) / (h + abs(d)))),
        Mutant("sides swapped", "To the right counts the width, downwards the height.",
               lambda w, h, r, d: shifted(h, w, r, d)),
    ),
)

# ---------------------------------------------------------------------------------------------
# boxes.tight
# ---------------------------------------------------------------------------------------------


def tight(mask):
    """The tight box of a mask (H, W) of 0 and 1, [x1, y1, x2, y2] in pixel edges; an empty mask
    has the box [0, 0, 0, 0]."""
    rows, columns = [], []
    for y in range(mask.shape[0]):
        for x in range(mask.shape[1]):
            if mask[y, x]:
                rows.append(y)
                columns.append(x)
    if not rows:
        return [0, 0, 0, 0]
    return [min(columns), min(rows), max(columns) + 1, max(rows) + 1]


def _tight(mask, more=1, order=(0, 1, 2, 3), empty=0.0):
    """`tight` with one thing changed."""
    rows, columns = torch.as_tensor(mask).nonzero().T
    if not len(rows):
        return [empty * side for side in (0, 0, mask.shape[1], mask.shape[0])]
    edges = [int(columns.min()), int(rows.min()), int(columns.max()) + more,
             int(rows.max()) + more]
    return [edges[i] for i in order]


def _mask(*rows):
    """Rows of # and . as a mask (H, W) of 0 and 1."""
    return torch.tensor([[float(pixel == "#") for pixel in row] for row in rows])


TIGHT = Exercise(
    name="boxes.tight",
    title="The tight box of a mask",
    lesson="01",
    reference=tight,
    cases=(
        Case("an L", (_mask(".....", ".#...", ".#...", ".###."),)),
        Case("a single pixel", (_mask("....", "...#", "...."),)),
        Case("a single column", (_mask("..#.", "..#.", "..#.", "...."),)),
        Case("two pieces", (_mask("#....", ".....", "....#"),)),
        Case("the whole image", (_mask("###", "###"),)),
        Case("nothing", (_mask("....", "...."),)),
    ),
    tolerance=1e-6,
    hints=(
        "Which columns have a pixel of the object, and which rows? Columns are x.",
        "The box begins at the left edge of the first column and ends at the right edge of the "
        "last one. Pixel i covers i to i + 1.",
        "[min(columns), min(rows), max(columns) + 1, max(rows) + 1]; a mask without a pixel is "
        "asked about first.",
    ),
    solution="The right edge of pixel i is i + 1. Who returns the last pixel itself gives every "
             "box a width and a height one too small, and a thin object none at all: a column of "
             "pixels would have no area, its IoU would be 0, and the logarithm of its width, which "
             "a network has to learn, minus infinity.",
    mutants=(
        Mutant("last pixel inside", "x2 and y2 are edges, not the last pixel inside: pixel i ends "
               "at i + 1.", lambda mask: _tight(mask, more=0)),
        Mutant("rows first", "A box is written x first. The index of a row is y.",
               lambda mask: _tight(mask, order=(1, 0, 3, 2))),
        Mutant("width and height", "Asked are the edges x2 and y2, not the width and the height.",
               lambda mask: [edge - other for edge, other in
                             zip(_tight(mask), [0, 0, *_tight(mask)[:2]])]),
        Mutant("all for nothing", "A mask without a pixel has the box [0, 0, 0, 0], not the whole "
               "image.", lambda mask: _tight(mask, empty=1.0)),
        Mutant("pixels' middles", "Pixels are squares, not points: a box reaches to their outer "
               "edges, half a pixel beyond their middles.",
               lambda mask: [edge + half if mask.any() else 0 for edge, half in
                             zip(_tight(mask), (0.5, 0.5, -0.5, -0.5))]),
    ),
)

# ---------------------------------------------------------------------------------------------
# boxes.runs
# ---------------------------------------------------------------------------------------------


def runs(mask):
    """The run lengths of a mask (H, W) of 0 and 1: column after column, zeros first. A list of
    H * W + 1 numbers, the most there can be; zeros fill up its end."""
    counts, value = [0], 0
    for x in range(mask.shape[1]):
        for y in range(mask.shape[0]):
            if int(mask[y, x]) != value:
                counts.append(0)
                value = 1 - value
            counts[-1] += 1
    return counts + [0] * (mask.numel() + 1 - len(counts))


def _runs_of(pixels, first=0):
    """Run lengths of a row of 0 and 1, beginning with those of `first`, filled up."""
    counts, value = [0], first
    for pixel in pixels:
        if int(pixel) != value:
            counts.append(0)
            value = 1 - value
        counts[-1] += 1
    return _filled(counts, len(pixels) + 1)


def _filled(numbers, length):
    return (list(numbers) + [0] * length)[:length]


def _starts(mask):
    """(first pixel, length) of each run of ones, one after another, filled up."""
    place, found = 0, []
    for i, run in enumerate(runs(mask)):
        if i % 2 and run:
            found += [place, run]
        place += run
    return _filled(found, mask.numel() + 1)


RUNS = Exercise(
    name="boxes.runs",
    title="A mask as run lengths",
    lesson="01",
    reference=runs,
    cases=(
        Case("one pixel", (_mask("...", "..#", "...", "..."),)),
        Case("an S", (_mask(".#.", "##.", "##.", "..#"),)),
        Case("it begins with the object", (_mask("##.", "#..", "..#"),)),
        Case("all of it", (_mask("###", "###"),)),
        Case("nothing", (_mask("..", "..", ".."),)),
        Case("wider than high", (_mask(".##..#", ".#..##"),)),
    ),
    tolerance=1e-6,
    hints=(
        "Walk down the first column, then down the second, and count how long the value stays.",
        "Begin with counts = [0] and the value 0. Where a pixel differs from the value, a new "
        "count begins and the value changes.",
        "for x ...: for y ...: if mask[y, x] != value: counts.append(0), value = 1 - value; then "
        "counts[-1] += 1. Zeros up to mask.numel() + 1 numbers at the end.",
    ),
    solution="Because the first count is always one of zeros, whoever reads the list knows without "
             "a word which runs are object: the second, the fourth, and so on. The price is a 0 in "
             "front where the first pixel belongs to the object. A run does not end with its "
             "column: it goes on at the top of the next one.",
    mutants=(
        Mutant("rows first", "COCO goes down the columns, not along the rows.",
               lambda mask: _runs_of(mask.flatten().tolist())),
        Mutant("ones first", "The first number counts zeros. It is 0 where the first pixel belongs "
               "to the object.", lambda mask: _runs_of(mask.T.flatten().tolist(), 1)),
        Mutant("whatever comes first", "Here the first number counts whatever comes first. It must "
               "count zeros: a 0 stands in front where the object begins at once.",
               lambda mask: _runs_of(mask.T.flatten().tolist(), int(mask[0, 0]))),
        Mutant("cut at each column", "A run goes on at the top of the next column: it must not be "
               "cut there.", lambda mask: _filled(
                   [run for column in mask.T for run in _runs_of(column.tolist()) if run],
                   mask.numel() + 1)),
        Mutant("starts and lengths", "That is where each run of the object begins, and how long it "
               "is. COCO writes lengths alone, of zeros and ones in turn.", _starts),
    ),
)

# ---------------------------------------------------------------------------------------------
# boxes.numbers
# ---------------------------------------------------------------------------------------------


def numbers(text):
    """COCO's string of run lengths -> the list of run lengths."""
    counts, place = [], 0
    while place < len(text):
        value, bits, more = 0, 0, True
        while more:
            group = ord(text[place]) - 48
            value += (group % 32) << bits
            more = group >= 32
            bits += 5
            place += 1
        if group % 32 >= 16:
            value -= 1 << bits
        if len(counts) > 2:
            value += counts[-2]
        counts.append(value)
    return counts


def _numbers(text, offset=48, signed=True, since=3, turned=False, back=2, whole=True):
    """`numbers` with one thing changed."""
    counts, groups = [], []
    for letter in text:
        groups.append(ord(letter) - offset)
        if ord(letter) - 48 >= 32:
            continue
        fives = [group % 32 for group in groups]
        ordered = fives[::-1] if turned else fives
        value = sum(five << (5 * i) for i, five in enumerate(ordered))
        if signed and fives[-1] >= 16:
            value -= 1 << (5 * len(fives) if whole else 5)
        if len(counts) >= since:
            value += counts[-back]
        counts.append(value)
        groups = []
    return counts


NUMBERS = Exercise(
    name="boxes.numbers",
    title="COCO's string, read",
    lesson="01",
    reference=numbers,
    cases=(
        Case("small numbers, no differences yet", ("324",)),
        Case("the fourth is smaller than the second", ("432N0",)),
        Case("a number of two letters", ("T43o0",)),
        Case("it begins with the object", ("032O2",)),
        Case("a real one", ("Xo0b1fm0d0fRO",)),
        Case("nothing", ("`n3",)),
    ),
    tolerance=1e-6,
    hints=(
        "One letter is six bits: its code minus 48, from 0 to 63. The highest of the six, 32, says "
        "that the number goes on in the next letter.",
        "The other five bits are the number's, lowest ones first. If the last letter's 16 is set, "
        "the number is negative: take 1 << (number of bits) off.",
        "From the fourth number on, what was written is the difference to the number two before: "
        "add counts[-2] where len(counts) > 2.",
    ),
    solution="Neighbouring columns of a mask look alike, so a run of the object is about as long "
             "as the one before it, two places back; differences are small and need one letter. "
             "They may be negative, which is why the 16 of the last letter is a sign. The first "
             "three numbers are written as they are.",
    mutants=(
        Mutant("no differences", "From the fourth number on, differences are written: add the "
               "number two places before.", lambda text: _numbers(text, since=10**6)),
        Mutant("from the third on", "The third number is written as it is; differences begin with "
               "the fourth.", lambda text: _numbers(text, since=2)),
        Mutant("no sign", "A difference may be negative: where the 16 of the last letter is set, "
               "take 1 << (number of bits) off.", lambda text: _numbers(text, signed=False)),
        Mutant("sign of one letter", "Where the sign is set, 32 was taken off. Of a number of "
               "several letters it is 1 << (number of all its bits).",
               lambda text: _numbers(text, whole=False)),
        Mutant("highest first", "The first letter of a number holds its lowest five bits.",
               lambda text: _numbers(text, turned=True)),
        Mutant("to the neighbour", "The difference is to the number two places before, which is a "
               "run of the same kind.", lambda text: _numbers(text, back=1)),
        Mutant("another zero", "A letter's six bits are its code minus 48, the code of the digit "
               "0.", lambda text: _numbers(text, offset=47)),
    ),
)

# ---------------------------------------------------------------------------------------------
# boxes.common
# ---------------------------------------------------------------------------------------------


def common(counts_a, counts_b):
    """How many pixels two masks have in common, from their run lengths (lists) alone."""
    spans = []
    for counts in (counts_a, counts_b):
        place, ones = 0, []
        for position, run in enumerate(counts):
            if position % 2 == 1:
                ones.append((place, place + run))
            place += run
        spans.append(ones)
    total = 0
    for first, end in spans[0]:
        for other_first, other_end in spans[1]:
            total += max(0, min(end, other_end) - max(first, other_first))
    return total


def _row(counts, first=0):
    """The pixels one after another."""
    return torch.cat([torch.full((n,), float((i + first) % 2)) for i, n in enumerate(counts)])


COMMON = Exercise(
    name="boxes.common",
    title="An overlap without a mask",
    lesson="01",
    reference=common,
    cases=(
        Case("one run each", ([2, 5, 3], [4, 4, 2])),
        Case("a mask with itself", ([1, 2, 3, 4, 2], [1, 2, 3, 4, 2])),
        Case("one run over two", ([1, 9, 2], [0, 3, 4, 2, 3])),
        Case("they touch", ([2, 3, 5], [5, 3, 2])),
        Case("nothing and all", ([12], [0, 12])),
        Case("two runs each", ([1, 3, 2, 4, 2], [2, 3, 2, 3, 2])),
    ),
    tolerance=1e-6,
    hints=(
        "Turn each list into spans first: where does each run of the object begin and end?",
        "Every second run is one of the object. Two spans are boxes of one axis: what do they have "
        "in common?",
        "max(0, min(end, other_end) - max(first, other_first)), added up over all pairs of spans.",
    ),
    solution="It is the overlap of two boxes along one axis, once for each pair of runs. A mask of "
             "a million pixels with two thousand runs is compared in two thousand steps, if one "
             "walks along both lists at once; so COCO's evaluation works, and never makes a mask.",
    mutants=(
        Mutant("zeros in common", "Those are the pixels that neither has: every second run, "
               "beginning with the second, is one of the object.",
               lambda a, b: float(((1 - _row(a)) * (1 - _row(b))).sum())),
        Mutant("the smaller area", "That is the area of the smaller mask. How much of it lies in "
               "the other?", lambda a, b: min(sum(a[1::2]), sum(b[1::2]))),
        Mutant("run by run", "The first run of one may meet the second of the other: compare all "
               "pairs of runs.",
               lambda a, b: sum(max(0, min(sum(a[:i + 1]), sum(b[:i + 1]))
                                    - max(sum(a[:i]), sum(b[:i])))
                                for i in range(1, min(len(a), len(b)), 2))),
        Mutant("not held at 0", "Two runs that do not meet have nothing in common, not less than "
               "nothing: hold each length at 0.",
               lambda a, b: sum(min(sum(a[:i + 1]), sum(b[:j + 1])) - max(sum(a[:i]), sum(b[:j]))
                                for i in range(1, len(a), 2) for j in range(1, len(b), 2))),
        Mutant("union", "That is what they cover together, not what they have in common.",
               lambda a, b: float(torch.maximum(_row(a), _row(b)).sum())),
    ),
)

EXERCISES = (IOU, SHIFTED, TIGHT, RUNS, NUMBERS, COMMON)
