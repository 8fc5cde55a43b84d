"""Lesson 20's exercises: the top-down pathway, the level of a box, blocks in order, anchors.

The solutions are plain loops and plain numbers. `teachseg.layers.fpn` and
`teachseg.geometry.anchors` are the library's way; the tests hold the two equal.

Letters
    H, W  height and width of a map in cells
    L     levels, finest first
    R     boxes
    C     numbers read from a box

Boxes are (x1, y1, x2, y2), in shares of the image for `shares`; `level` is given w and h alone.

Lesson: 20
"""

import math

import torch

from teachseg.exercises.registry import Case, Exercise, Mutant


def _hills(height: int, width: int, step: int = 3) -> torch.Tensor:
    """(height, width) whole numbers without a pattern, some below zero."""
    rows, columns = torch.arange(height)[:, None], torch.arange(width)
    return ((5 * rows * rows + 7 * columns * step + 3 * rows * columns) % 17 - 6).float()


# ---------------------------------------------------------------------------------------------
# fpn.enlarge
# ---------------------------------------------------------------------------------------------


def enlarge(coarse, height, width):
    """A map (h, w) made (height, width): cell (i, j) is cell (floor(i h / height), ...) of it."""
    h, w = coarse.shape
    out = torch.zeros(height, width)
    for i in range(height):
        for j in range(width):
            out[i, j] = coarse[i * h // height, j * w // width]
    return out


def _interpolated(mode):
    def function(coarse, height, width):
        extra = {"align_corners": False} if mode == "bilinear" else {}
        return torch.nn.functional.interpolate(coarse[None, None], size=(height, width), mode=mode,
                                               **extra)[0, 0]

    return function


def _tiled(coarse, height, width):
    h, w = coarse.shape
    return coarse[torch.arange(height) % h][:, torch.arange(width) % w]


def _spread(coarse, height, width):
    """Each value in one cell, zeros between."""
    h, w = coarse.shape
    out = torch.zeros(height, width)
    for i in range(h):
        for j in range(w):
            out[i * height // h, j * width // w] = coarse[i, j]
    return out


def _twice(coarse, height, width):
    big = coarse.repeat_interleave(2, dim=0).repeat_interleave(2, dim=1)
    return big[torch.arange(height).clamp(max=len(big) - 1)][
        :, torch.arange(width).clamp(max=big.shape[1] - 1)]


ENLARGE = Exercise(
    name="fpn.enlarge",
    title="Bring a coarse map to a finer one's size",
    lesson="20",
    reference=enlarge,
    cases=(
        Case("2 x 2 to 4 x 4", (torch.tensor([[1.0, 2.0], [3.0, 4.0]]), 4, 4)),
        Case("3 x 4 to 5 x 7: maps need not double", (_hills(3, 4), 5, 7)),
        Case("2 x 3 to 5 x 8: more than double", (_hills(2, 3), 5, 8)),
        Case("one cell to 3 x 2", (torch.tensor([[5.0]]), 3, 2)),
        Case("the same size", (_hills(3, 3), 3, 3)),
        Case("wide: 2 x 5 to 4 x 10", (_hills(2, 5), 4, 10)),
    ),
    tolerance=1e-5,
    hints=(
        "Nothing is mixed: every fine cell copies one coarse cell, the one that it lies in.",
        "Along one axis, fine cell i begins at i / height of the map. Which of h cells is that?",
        "Row i * h // height, column j * w // width.",
    ),
    solution="Nearest-neighbour enlarging is a table of indices, one an axis. Doubling is the "
             "special case i // 2, and repeating each cell twice does as well where the finer map "
             "has 2 n or 2 n - 1 cells: that is all that halving with a ceiling can give. Bilinear "
             "interpolation is smoother, and another operator: with it a network whose weights "
             "were trained with copies would see other numbers.",
    mutants=(
        Mutant("bilinear", "Values were mixed there. Every fine cell is a copy of one coarse cell.",
               _interpolated("bilinear")),
        Mutant("side by side", "That lays the whole map down again beside itself. Each cell is to "
               "grow in its own place: i * h // height, and not i % h.", _tiled),
        Mutant("zeros between", "The copies are missing: a coarse cell goes to all fine cells that "
               "lie in it.", _spread),
        Mutant("always doubled", "That repeats each cell twice whatever the size asked for. Here "
               "height may be any number: take i * h // height.", _twice),
    ),
)

# ---------------------------------------------------------------------------------------------
# fpn.topdown
# ---------------------------------------------------------------------------------------------


def topdown(maps):
    """The finest merged map: maps (h, w), finest first, each added to what comes from above it."""
    merged = maps[-1]
    for finer in reversed(maps[:-1]):
        merged = finer + enlarge(merged, *finer.shape)
    return merged


def _topdown_with(join):
    """`topdown` with another way to join a map and what comes from above."""

    def function(maps):
        merged = maps[-1]
        for finer in reversed(maps[:-1]):
            merged = join(finer, enlarge(merged, *finer.shape))
        return merged

    return function


def _one_above(maps):
    return maps[0] if len(maps) == 1 else maps[0] + enlarge(maps[1], *maps[0].shape)


def _coarsest_only(maps):
    return maps[0] if len(maps) == 1 else maps[0] + enlarge(maps[-1], *maps[0].shape)


THREE = [_hills(8, 8), _hills(4, 4, 5), _hills(2, 2, 2)]

TOPDOWN = Exercise(
    name="fpn.topdown",
    title="From the coarsest map down to the finest",
    lesson="20",
    reference=topdown,
    cases=(
        Case("4 x 4 and 2 x 2", ([torch.arange(16.0).view(4, 4),
                                  torch.tensor([[100.0, 200.0], [300.0, 400.0]])],)),
        Case("three levels", (THREE,)),
        Case("only the coarsest holds something",
             ([torch.zeros(8, 8), torch.zeros(4, 4), torch.tensor([[1.0, 2.0], [3.0, 4.0]])],)),
        Case("odd sizes: 5 x 7 and 3 x 4", ([_hills(5, 7), _hills(3, 4)],)),
        Case("a pyramid of one level", ([_hills(3, 3)],)),
        Case("four levels", ([_hills(16, 8, 4), *(m[:, : m.shape[1] // 2] for m in THREE)],)),
    ),
    tolerance=1e-4,
    hints=(
        "Begin at the coarsest map, which nothing is added to, and walk towards the finest.",
        "What is enlarged at each step is the sum so far, not the map as the backbone gave it.",
        "merged = maps[-1]; then for finer in reversed(maps[:-1]): merged = finer + "
        "enlarge(merged, *finer.shape).",
    ),
    solution="The sum is carried on: the second coarsest adds what the coarsest knows, and hands "
             "both down. Who enlarges the backbone's own map at each step instead lets the finest "
             "level see its neighbour only. Nothing crashes, and with two levels it is even right.",
    mutants=(
        Mutant("the neighbour alone", "The finest map got its neighbour's own values only: enlarge "
               "the sum so far, so that the coarsest reaches the finest.", _one_above),
        Mutant("the coarsest alone", "The levels in between were left out.", _coarsest_only),
        Mutant("the mean", "That is the mean of the two. They are added.",
               _topdown_with(lambda fine, above: (fine + above) / 2)),
        Mutant("the larger", "That keeps the larger of the two. They are added.",
               _topdown_with(torch.maximum)),
        Mutant("nothing added", "That is the finest map as it came: nothing was added from above.",
               lambda maps: maps[0]),
        Mutant("the map forgotten", "That is the coarsest map enlarged: at each level its own map "
               "is to be added.", _topdown_with(lambda fine, above: above)),
    ),
    uses=("fpn.enlarge",),
)

# ---------------------------------------------------------------------------------------------
# fpn.level
# ---------------------------------------------------------------------------------------------


def level(w, h, levels):
    """Which of `levels` levels, 0 the finest, reads a box w x h: P2 is 0, a 224 x 224 box is P4.

    A box without area, which has no logarithm, is read from level 0.
    """
    side = math.sqrt(max(w, 0) * max(h, 0))
    if side == 0:
        return 0
    k = math.floor(4 + math.log2(side / 224))
    return min(max(k - 2, 0), levels - 1)


def _level_with(side=lambda w, h: math.sqrt(w * h), log=math.log2, whole=math.floor, start=2,
                most=lambda levels: levels - 1, least=0):
    """`level` with one thing changed."""

    def function(w, h, levels):
        length = side(w, h)
        if length <= 0:
            return 0
        return min(max(whole(4 + log(length / 224)) - start, least), most(levels))

    return function


LEVEL = Exercise(
    name="fpn.level",
    title="Which level reads this box?",
    lesson="20",
    reference=level,
    cases=(
        Case("224 x 224, the canonical box", (224, 224, 4)),
        Case("223 x 223, hardly smaller", (223, 223, 4)),
        Case("448 x 448, twice as large", (448, 448, 4)),
        Case("100 x 100", (100, 100, 4)),
        Case("120 x 120", (120, 120, 4)),
        Case("64 x 256: the area counts", (64, 256, 4)),
        Case("20 x 20, below the finest", (20, 20, 4)),
        Case("1300 x 800, beyond the coarsest", (1300, 800, 4)),
        Case("500 x 500, but only three levels", (500, 500, 3)),
        Case("a box without width", (0, 50, 4)),
        Case("190 x 190", (190, 190, 4)),
    ),
    tolerance=1e-6,
    hints=(
        "The side of a box is sqrt(w h). How often must 224 be halved or doubled to get there?",
        "k = floor(4 + log2(side / 224)), which is P_k. P2 is level 0, so take 2 off.",
        "min(max(k - 2, 0), levels - 1); a box without area has no logarithm and goes to level 0.",
    ),
    solution="log2 counts doublings, and each level doubles the stride: that is why the base must "
             "be 2. With the natural logarithm 448 lies 0.69 above 224 instead of 1, and the floor "
             "leaves it at P4. torch.log and math.log are natural. The holding within the levels "
             "comes last: most boxes of small objects are below P2 by the formula.",
    mutants=(
        Mutant("natural logarithm", "math.log and torch.log are natural. Levels double, so the "
               "logarithm's base is 2.", _level_with(log=math.log)),
        Mutant("rounded", "That rounds. Eq. 1 takes the floor: a box of 190 is still P3.",
               _level_with(whole=round)),
        Mutant("the longer side", "That is the longer side's level. The side of a box is "
               "sqrt(w h).", _level_with(side=lambda w, h: max(w, h) if w * h else 0)),
        Mutant("the area", "That takes the area for the side: the root is missing.",
               _level_with(side=lambda w, h: w * h)),
        Mutant("counted from P0", "That is the paper's number, in which P2 is the finest. Take 2 "
               "off.", _level_with(start=0)),
        Mutant("not held below", "A small box has a level below 0 there. In Python that counts "
               "from the end: it would be read from the coarsest map.", _level_with(least=-99)),
        Mutant("not held above", "A large box gets a level that the pyramid does not have.",
               _level_with(most=lambda levels: 99)),
    ),
)

# ---------------------------------------------------------------------------------------------
# fpn.shares
# ---------------------------------------------------------------------------------------------


def shares(box, height, width):
    """k before the floor, 4 + log2(side / 224), of a box in shares of an image height x width px.

    Of an image 800 px high, a y of 0.25 is pixel 200.
    """
    x1, y1, x2, y2 = box
    side = math.sqrt((x2 - x1) * width * (y2 - y1) * height)
    return 4 + math.log2(side / 224)


def _shares_by(side):
    def function(box, height, width):
        x1, y1, x2, y2 = box
        return 4 + math.log2(side(x2 - x1, y2 - y1, height, width) / 224)

    return function


SHARES = Exercise(
    name="fpn.shares",
    title="The same formula where boxes are shares of the image",
    lesson="20",
    reference=shares,
    cases=(
        Case("224 px of 896 x 896", ((0.25, 0.25, 0.5, 0.5), 896, 896)),
        Case("the whole image, 448 x 448", ((0.0, 0.0, 1.0, 1.0), 448, 448)),
        Case("a photograph: 800 x 1344", ((0.1, 0.2, 0.35, 0.6), 800, 1344)),
        Case("the same shares of a small one: 128 x 128", ((0.1, 0.2, 0.35, 0.6), 128, 128)),
        Case("tall: 1000 x 250", ((0.0, 0.1, 0.5, 0.9), 1000, 250)),
    ),
    tolerance=1e-6,
    hints=(
        "224 is a number of pixels. What is the width of the box in pixels?",
        "w = (x2 - x1) * width and h = (y2 - y1) * height; then the formula as ever.",
        "4 + math.log2(math.sqrt(w * h) / 224). Divide 224 by sqrt(height * width) instead, and "
        "the shares may stay: that is how it is often written.",
    ),
    solution="sqrt(w h) in pixels is sqrt(w h) in shares times sqrt(height * width), so code that "
             "keeps shares divides 224 by that root: sqrt(w h) / (224 / sqrt(height * width)). It "
             "is the same formula in another unit. Putting pixels into it multiplies twice: in an "
             "image of 1024 x 1024, 4 becomes 14, and every box goes to the coarsest level.",
    mutants=(
        Mutant("shares as pixels", "224 counts pixels, and the box is in shares: every box comes "
               "out below the finest level.", _shares_by(lambda w, h, *_: math.sqrt(w * h))),
        Mutant("multiplied twice", "The image's size was multiplied in twice.",
               _shares_by(lambda w, h, height, width: math.sqrt(w * h) * height * width)),
        Mutant("the height for both", "The width was taken in shares of the height: images need "
               "not be square.", _shares_by(lambda w, h, height, _: math.sqrt(w * h) * height)),
        Mutant("the area", "That takes the area for the side: the root is missing.",
               _shares_by(lambda w, h, height, width: w * h * height * width)),
        Mutant("the longer side of the image", "The image's longer side was taken for both: width "
               "times width and height times height.",
               _shares_by(lambda w, h, height, width: math.sqrt(w * h) * max(height, width))),
    ),
)

# ---------------------------------------------------------------------------------------------
# fpn.anchors
# ---------------------------------------------------------------------------------------------


def anchors(height, width, strides, ratios):
    """How many anchors a pyramid has: one size a level, `ratios` shapes at each cell.

    The map of a stride has ceil(height / stride) x ceil(width / stride) cells.
    """
    count = 0
    for stride in strides:
        count += ratios * math.ceil(height / stride) * math.ceil(width / stride)
    return count


def _anchors_with(per_cell=lambda ratios, levels: ratios, whole=math.ceil,
                  cells=lambda down, across: down * across):
    def function(height, width, strides, ratios):
        each = per_cell(ratios, len(strides))
        return sum(each * cells(whole(height / s), whole(width / s)) for s in strides)

    return function


ANCHORS = Exercise(
    name="fpn.anchors",
    title="How many anchors does a pyramid have?",
    lesson="20",
    reference=anchors,
    cases=(
        Case("the course: 128 x 128, three levels", (128, 128, (4, 8, 16), 3)),
        Case("a photograph, five levels", (800, 1344, (4, 8, 16, 32, 64), 3)),
        Case("one map of stride 16", (600, 1000, (16,), 9)),
        Case("an image that no stride divides", (101, 67, (4, 8, 16), 3)),
        Case("one shape only", (64, 32, (4, 8), 1)),
    ),
    tolerance=1e-6,
    hints=(
        "Count the cells of each level first. What belongs to every cell?",
        "A cell of a level has one size in `ratios` shapes: the sizes are spread over the levels.",
        "Sum over the strides of ratios * math.ceil(height / s) * math.ceil(width / s).",
    ),
    solution="Five sizes and three ratios are 15 kinds of anchors in the whole pyramid, and 3 at "
             "a cell. 15 at every cell would be five times as many, and the small ones would stand "
             "16 and more pixels apart on the coarse maps, or the large ones four pixels apart on "
             "the fine one, a thousand copies of nearly the same box.",
    mutants=(
        Mutant("all sizes at every cell", "That has every size at every cell. A level has one "
               "size: count `ratios` anchors a cell.",
               _anchors_with(per_cell=lambda ratios, levels: ratios * levels)),
        Mutant("cut off", "Cells that hang over the image's edge count too: take the ceiling.",
               _anchors_with(whole=math.floor)),
        Mutant("one a cell", "Those are the cells. Each has `ratios` anchors.",
               _anchors_with(per_cell=lambda ratios, levels: 1)),
        Mutant("finest alone", "That is the finest level alone.",
               lambda height, width, strides, ratios: anchors(height, width, strides[:1], ratios)),
        Mutant("sides added", "Rows and columns of a map are to be multiplied.",
               _anchors_with(cells=lambda down, across: down + across)),
    ),
)

# ---------------------------------------------------------------------------------------------
# fpn.restore
# ---------------------------------------------------------------------------------------------


def restore(blocks, level_of):
    """Rows (R, C) read level by level, back in the boxes' own order; level_of (R,) is each box's.

    The rows come as reading gives them: all boxes of level 0 in their order, then those of level
    1, and so on.
    """
    out, row = torch.zeros_like(blocks), 0
    for k in range(int(level_of.max()) + 1):
        for r in range(len(level_of)):
            if int(level_of[r]) == k:
                out[r] = blocks[row]
                row += 1
    return out


def _places(level_of):
    """The boxes in the order in which they were read."""
    return level_of.argsort(stable=True)


def _rows(*numbers):
    return torch.tensor([[float(n), 10.0 * n] for n in numbers])


RESTORE = Exercise(
    name="fpn.restore",
    title="Blocks back in the order of their boxes",
    lesson="20",
    reference=restore,
    cases=(
        Case("all from one level", (_rows(1, 2, 3), torch.tensor([1, 1, 1]))),
        Case("two boxes, the first the larger", (_rows(2, 1), torch.tensor([1, 0]))),
        Case("levels 1, 2, 0", (_rows(3, 1, 2), torch.tensor([1, 2, 0]))),
        Case("levels 2, 0, 1, 0", (_rows(2, 4, 3, 1), torch.tensor([2, 0, 1, 0]))),
        Case("a level without boxes", (_rows(2, 4, 1, 3), torch.tensor([3, 0, 3, 0]))),
        Case("six boxes", (_rows(3, 6, 1, 4, 2, 5), torch.tensor([1, 2, 0, 1, 2, 0]))),
        Case("in order already", (_rows(1, 2, 3, 4), torch.tensor([0, 0, 1, 2]))),
    ),
    tolerance=1e-6,
    hints=(
        "Which box does the first row belong to? The first one whose level is 0. And the next?",
        "Write the list of boxes in the order in which they were read. Row i belongs to the i-th "
        "of them.",
        "places = level_of.argsort(stable=True); then out[places] = blocks.",
    ),
    solution="out[places] = blocks puts each row where it belongs. blocks[places] looks alike and "
             "is the inverse of what is asked; the two agree as long as only pairs are exchanged, "
             "so a test with two boxes passes. blocks[places.argsort()] is right again: argsort "
             "of a permutation is its inverse. Forgotten altogether, all shapes are right, and "
             "boxes have one another's features.",
    mutants=(
        Mutant("left as read", "The rows are still in the order of the levels: every box has "
               "another's features.", lambda blocks, level_of: blocks),
        Mutant("the wrong way round", "blocks[places] takes the rows from the boxes' places; they "
               "are to be put there: out[places] = blocks.",
               lambda blocks, level_of: blocks[_places(level_of)]),
        Mutant("turned round", "The rows came out in reverse order.",
               lambda blocks, level_of: restore(blocks, level_of).flip(0)),
        Mutant("coarsest first", "The rows were taken to begin with the coarsest level. They begin "
               "with level 0.",
               lambda blocks, level_of: restore(blocks, int(level_of.max()) - level_of)),
    ),
)

EXERCISES = (ENLARGE, TOPDOWN, LEVEL, SHARES, ANCHORS, RESTORE)
