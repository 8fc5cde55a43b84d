"""Lesson 03's exercises: sizes, costs and windows of convolutions, cells and pixels.

The solutions are plain arithmetic and loops. The library's way is in `teachseg.layers.backbones`,
`teachseg.datasets.batch` and `teachseg.explore.strides`; the tests hold them equal.

Letters
    s     stride of a map, pixels from one cell to the next
    H, W  height and width of an image in pixels

No boxes here.

Lesson: 03
"""

import math

import torch

from teachseg.exercises.registry import Case, Exercise, Mutant

# ---------------------------------------------------------------------------------------------
# strides.out_size
# ---------------------------------------------------------------------------------------------


def out_size(length, size, stride, padding, dilation):
    """How many cells a convolution makes of a row of `length` cells.

    It reads `size` taps, `dilation` cells apart, moves by `stride`, and its row has `padding`
    cells more at each end. Only places where all taps are on the padded row count.
    """
    span = (size - 1) * dilation + 1  # from the first tap to the last
    places = length + 2 * padding - span  # steps of one cell that are left
    return places // stride + 1


OUT_SIZE = Exercise(
    name="strides.out_size",
    title="How many cells come out of a convolution?",
    lesson="03",
    reference=out_size,
    cases=(
        Case("7 cells, 3 taps, stride 1, no padding", (7, 3, 1, 0, 1)),
        Case("the stem: 128 pixels, 3 taps, stride 2, padding 1", (128, 3, 2, 1, 1)),
        Case("an odd side: 75 pixels at stride 2", (75, 3, 2, 1, 1)),
        Case("a pooling of 2 that loses the last of 75", (75, 2, 2, 0, 1)),
        Case("7 taps, stride 2, padding 3 on 224", (224, 7, 2, 3, 1)),
        Case("3 taps 4 cells apart, padding 4", (16, 3, 1, 4, 4)),
        Case("a single cell", (1, 3, 2, 1, 1)),
    ),
    tolerance=1e-6,
    hints=(
        "Put the first tap on the first cell of the padded row. How many steps of one cell can the "
        "window make until its last tap is on the last cell?",
        "The padded row has length + 2 * padding cells, and the window covers "
        "(size - 1) * dilation + 1 of them. With stride 2 it stops at every second place.",
        "(length + 2 * padding - (size - 1) * dilation - 1) // stride + 1.",
    ),
    solution="Places are fence posts: n steps have n + 1 posts, hence the + 1 behind the division. "
             "With 3 taps, padding 1 and stride 2 a row of n cells gives ceil(n / 2); a pooling of "
             "2 without padding gives floor(n / 2), and the last cell of an odd row is read by "
             "nobody.",
    mutants=(
        Mutant("one place forgotten", "The first place counts too: n steps between places make "
               "n + 1 places.", lambda n, k, s, p, d: out_size(n, k, s, p, d) - 1),
        Mutant("padding at one end", "The padding stands at both ends: 2 * padding.",
               lambda n, k, s, p, d: (n + p - (k - 1) * d - 1) // s + 1),
        Mutant("dilation ignored", "The taps stand dilation cells apart, so the window is "
               "(size - 1) * dilation + 1 cells wide.",
               lambda n, k, s, p, d: out_size(n, k, s, p, 1)),
        Mutant("size times dilation", "Between size taps there are size - 1 gaps: the window is "
               "(size - 1) * dilation + 1 wide, not size * dilation.",
               lambda n, k, s, p, d: (n + 2 * p - k * d) // s + 1),
        Mutant("rounded up", "A window that does not fit any more gives no cell: round down.",
               lambda n, k, s, p, d: math.ceil((n + 2 * p - (k - 1) * d - 1) / s) + 1),
        Mutant("stride ignored", "That is the number of places at stride 1.",
               lambda n, k, s, p, d: out_size(n, k, 1, p, d)),
    ),
)

# ---------------------------------------------------------------------------------------------
# strides.cost
# ---------------------------------------------------------------------------------------------


def cost(c_in, c_out, size, height, width):
    """What a convolution without bias costs: [its weights, its multiplications].

    c_in and c_out are channels, size its taps a side; the map that comes OUT is height x width.
    """
    weights = size * size * c_in * c_out
    return [weights, weights * height * width]


COST = Exercise(
    name="strides.cost",
    title="Weights and multiplications of a convolution",
    lesson="03",
    reference=cost,
    cases=(
        Case("the stem: 3 to 32 channels, 64 x 64 cells", (3, 32, 3, 64, 64)),
        Case("64 to 64 channels on 32 x 32 cells", (64, 64, 3, 32, 32)),
        Case("192 to 192 channels on 8 x 8 cells", (192, 192, 3, 8, 8)),
        Case("a shortcut of one tap", (32, 64, 1, 32, 32)),
        Case("a map that is not square", (4, 2, 3, 5, 7)),
    ),
    tolerance=1e-3,
    hints=(
        "Of one cell and one channel that comes out: how many numbers are multiplied and added up?",
        "size * size taps in each of c_in channels; there are c_out such sums, each with weights "
        "of its own. Every cell uses the same weights.",
        "weights = size * size * c_in * c_out, multiplications = weights * height * width.",
    ),
    solution="Weights do not depend on the image, multiplications do. From one stage to the next "
             "the stride doubles, so there are a quarter of the cells; with twice the channels the "
             "weights are four times as many, and the multiplications stay the same.",
    mutants=(
        Mutant("size not squared", "The window has two axes: size * size taps.",
               lambda i, o, k, h, w: cost(i * k, o, 1, h, w)),
        Mutant("one channel in", "A window reads all channels that come in, not one.",
               lambda i, o, k, h, w: cost(1, o, k, h, w)),
        Mutant("one channel out", "Each channel that comes out has weights of its own.",
               lambda i, o, k, h, w: cost(i, 1, k, h, w)),
        Mutant("with a bias", "There is no bias: the norm behind it has one.",
               lambda i, o, k, h, w: [cost(i, o, k, h, w)[0] + o, cost(i, o, k, h, w)[1]]),
        Mutant("weights for each cell", "The weights are shared: all cells use the same.",
               lambda i, o, k, h, w: [cost(i, o, k, h, w)[1]] * 2),
        Mutant("one cell's multiplications", "Those are one cell's multiplications: times "
               "height times width.", lambda i, o, k, h, w: [cost(i, o, k, h, w)[0]] * 2),
    ),
)

# ---------------------------------------------------------------------------------------------
# strides.window
# ---------------------------------------------------------------------------------------------


def window(steps, cell):
    """What a cell can see along one axis: [first pixel, the pixel behind the last].

    steps are (size, stride, padding, dilation) of each convolution, the first of which reads the
    image; the cell is one of the last map. Pixels beyond the image count, and may be negative.
    """
    first = last = cell
    for size, stride, padding, dilation in reversed(steps):
        first = first * stride - padding
        last = last * stride - padding + (size - 1) * dilation
    return [first, last + 1]


def _window_with(steps, cell, stride_of=None, padding_of=None, dilation_of=None, order=reversed):
    """`window` with one thing changed."""
    first = last = cell
    for size, stride, padding, dilation in order(steps):
        stride = stride_of(stride) if stride_of else stride
        padding = padding_of(padding) if padding_of else padding
        dilation = dilation_of(dilation) if dilation_of else dilation
        first = first * stride - padding
        last = last * stride - padding + (size - 1) * dilation
    return [first, last + 1]


def _added_up(steps, cell):
    """The windows' sizes added up as if every map had the image's stride."""
    begin = window(steps, cell)[0]
    return [begin, begin + 1 + sum((size - 1) * dilation for size, _, _, dilation in steps)]


STEM, THREE, POOL = (3, 2, 1, 1), (3, 1, 1, 1), (2, 2, 0, 1)

WINDOW = Exercise(
    name="strides.window",
    title="What does a cell see?",
    lesson="03",
    reference=window,
    cases=(
        Case("one convolution of 3, cell 5", ([THREE], 5)),
        Case("the stem, cell 0", ([STEM], 0)),
        Case("stride 2, then 3 taps", ([STEM, THREE], 4)),
        Case("two of stride 2 and one of 1: the course's first stage", ([STEM, STEM, THREE], 10)),
        Case("convolution and pooling, as in VGG", ([THREE, POOL, THREE], 3)),
        Case("taps 2 cells apart", ([STEM, (3, 1, 2, 2), THREE], 6)),
        Case("5 taps at stride 2, then 1 tap", ([(5, 2, 2, 1), (1, 1, 0, 1)], 2)),
    ),
    tolerance=1e-6,
    hints=(
        "Go backwards: which cells of the map before does this one read? And those, of the map "
        "before that?",
        "Cell i of a convolution has its first tap at i * stride - padding, and its last "
        "(size - 1) * dilation further. Carry a first and a last cell from map to map.",
        "first = last = cell; for each step, the last one first: first = first * stride - padding, "
        "last = last * stride - padding + (size - 1) * dilation; return [first, last + 1].",
    ),
    solution="Going backwards each stride multiplies all that lies behind it, so one convolution "
             "of 3 taps on a map of stride 8 adds 16 pixels. That is why the last stage, with few "
             "layers, adds most of the window. Forwards the same is: size grows by "
             "(size - 1) * dilation * stride so far, and the stride is multiplied.",
    mutants=(
        Mutant("the wrong order", "The steps were taken first to last. The cell belongs to the "
               "last map, so begin with the last step.",
               lambda steps, cell: _window_with(steps, cell, order=list)),
        Mutant("padding ignored", "A cell's first tap lies padding cells earlier: i * stride - "
               "padding.", lambda steps, cell: _window_with(steps, cell, padding_of=lambda p: 0)),
        Mutant("stride ignored", "A cell of the next map lies stride cells further, not one.",
               lambda steps, cell: _window_with(steps, cell, stride_of=lambda s: 1)),
        Mutant("dilation ignored", "The taps stand dilation cells apart.",
               lambda steps, cell: _window_with(steps, cell, dilation_of=lambda d: 1)),
        Mutant("the last pixel", "The end is the pixel behind the last: add 1.",
               lambda steps, cell: [window(steps, cell)[0], window(steps, cell)[1] - 1]),
        Mutant("sizes added up", "The sizes were added up as if every map had one cell a pixel. A "
               "step on a coarse map adds (size - 1) * dilation cells, each a stride wide.",
               _added_up),
    ),
)

# ---------------------------------------------------------------------------------------------
# strides.place
# ---------------------------------------------------------------------------------------------


def place(x, y, stride):
    """The cell that pixel (x, y) lies in, and its middle: [row, column, middle y, middle x].

    x and y count pixels from 0; the middle is in pixel edges, where the image begins at 0.
    """
    row, column = y // stride, x // stride
    return [row, column, (row + 0.5) * stride, (column + 0.5) * stride]


def _placed(row, column, stride, part=0.5, pixels=0.0):
    """A cell and a place in it."""
    return [row, column, (row + part) * stride + pixels, (column + part) * stride + pixels]


PLACE = Exercise(
    name="strides.place",
    title="Bug hunt: from a pixel to its cell and back",
    lesson="03",
    reference=place,
    cases=(
        Case("the image's first pixel", (0, 0, 16)),
        Case("the last pixel of a cell", (15, 31, 16)),
        Case("right of the cell's middle", (25, 6, 16)),
        Case("stride 4", (70, 33, 4)),
        Case("stride 1: a cell is a pixel", (9, 4, 1)),
        Case("exactly on a border", (32, 48, 16)),
    ),
    tolerance=1e-6,
    hints=(
        "Try pixel 25 at stride 16. Cell 0 has the pixels 0 to 15, cell 1 those from 16 to 31: "
        "which has 25?",
        "Row goes with y, column with x. A cell of 16 pixels has its middle 8 pixels behind its "
        "beginning.",
        "row, column = y // stride, x // stride; the middles are (row + 0.5) * stride and "
        "(column + 0.5) * stride.",
    ),
    solution="Three slips, each of which works on some pixels. round() sends the right half of a "
             "cell to its neighbour: cells are found by rounding down. x belongs to columns, and a "
             "tensor's first index is the row. And the half belongs to the cell, before it is "
             "multiplied by the stride: half a cell, not half a pixel.",
    mutants=(
        Mutant("rounded", "Pixel 25 was put into cell 2, which begins at 32: cells are found by "
               "rounding down.",
               lambda x, y, s: _placed(math.floor(y / s + 0.5), math.floor(x / s + 0.5), s)),
        Mutant("x and y swapped", "Row and column are exchanged: the row comes from y.",
               lambda x, y, s: place(y, x, s)),
        Mutant("its beginning", "That is where the cell begins: its middle is half a stride "
               "further.", lambda x, y, s: _placed(y // s, x // s, s, 0.0)),
        Mutant("half a pixel", "Half a pixel was added: the middle of a cell is half a cell, "
               "stride / 2, behind its beginning.",
               lambda x, y, s: _placed(y // s, x // s, s, 0.0, 0.5)),
        Mutant("half a pixel short", "That counts from the middle of the first pixel. In pixel "
               "edges the image begins at 0: (column + 0.5) * stride.",
               lambda x, y, s: _placed(y // s, x // s, s, 0.5, -0.5)),
        Mutant("as it was", "All slips are still there: try round, then x and y, then the half.",
               lambda x, y, s: _placed(round(x / s), round(y / s), s, 0.0, 0.5)),
    ),
)

# ---------------------------------------------------------------------------------------------
# strides.cells
# ---------------------------------------------------------------------------------------------


def cells(mask, stride):
    """How many cells of stride x stride pixels a mask (H, W) covers by half or more.

    A cell that the image's edge cuts needs half of a whole cell's pixels too.
    """
    height, width = mask.shape
    count = 0
    for top in range(0, height, stride):
        for left in range(0, width, stride):
            inside = int(mask[top : top + stride, left : left + stride].sum())
            count += 2 * inside >= stride * stride
    return int(count)


def _cells_if(mask, stride, counts):
    """How many cells there are for which counts(pixels inside, pixels of a cell)."""
    height, width = mask.shape
    return sum(bool(counts(int(mask[a : a + stride, b : b + stride].sum()), stride * stride))
               for a in range(0, height, stride) for b in range(0, width, stride))


def _rectangle(height, width, y1, x1, y2, x2):
    mask = torch.zeros(height, width, dtype=torch.bool)
    mask[y1:y2, x1:x2] = True
    return mask


_AXIS = torch.arange(32) - 15.5
DISC = (_AXIS[:, None].square() + _AXIS.square()) < 150

CELLS = Exercise(
    name="strides.cells",
    title="How many cells does an object cover?",
    lesson="03",
    reference=cells,
    cases=(
        Case("a square that is one cell", (_rectangle(32, 32, 8, 8, 16, 16), 8)),
        Case("the same square half a cell further", (_rectangle(32, 32, 12, 8, 20, 16), 8)),
        Case("and half a cell down as well", (_rectangle(32, 32, 12, 12, 20, 20), 8)),
        Case("a disc at stride 4", (DISC, 4)),
        Case("a disc at stride 16", (DISC, 16)),
        Case("a bar 2 pixels thick", (_rectangle(32, 32, 15, 0, 17, 32), 8)),
        Case("an image whose edge cuts cells", (_rectangle(10, 14, 0, 0, 10, 14), 4)),
    ),
    tolerance=1e-6,
    hints=(
        "Two loops over the cells: range(0, height, stride) gives where they begin.",
        "mask[top : top + stride, left : left + stride].sum() counts the object's pixels in one "
        "cell. Half a cell is stride * stride / 2 pixels.",
        "Count the cells for which 2 * inside >= stride * stride.",
    ),
    solution="The area divided by a cell's area is no answer: a square of exactly one cell covers "
             "one, two or no cells, depending on where it lies. That is what a large stride does "
             "to small objects: whether there is a cell that belongs to them becomes chance.",
    mutants=(
        Mutant("touched", "Those are the cells that the object touches. Asked are those that it "
               "covers by half.", lambda m, s: _cells_if(m, s, lambda n, all_: n > 0)),
        Mutant("more than half", "A cell that is covered by exactly half counts: half or more.",
               lambda m, s: _cells_if(m, s, lambda n, all_: 2 * n > all_)),
        Mutant("full", "Those are the cells that are covered completely.",
               lambda m, s: _cells_if(m, s, lambda n, all_: n == all_)),
        Mutant("area", "That is the area in cells. Where the object lies against the grid matters.",
               lambda m, s: round(float(m.sum()) / s / s)),
        Mutant("the middle pixel", "That looks at one pixel of each cell. Count them all.",
               lambda m, s: int(m[s // 2 :: s, s // 2 :: s].sum())),
        Mutant("cut cells left out", "Cells that the image's edge cuts were left out. They count "
               "too, if half of a whole cell's pixels are covered.",
               lambda m, s: cells(m[: m.shape[0] // s * s, : m.shape[1] // s * s], s)),
        Mutant("half of what is left", "A cell that the edge cuts is compared with what is left of "
               "it. It needs half of a whole cell's pixels.",
               lambda m, s: sum(
                   2 * int(m[a : a + s, b : b + s].sum()) >= m[a : a + s, b : b + s].numel()
                   for a in range(0, m.shape[0], s) for b in range(0, m.shape[1], s))),
    ),
)

# ---------------------------------------------------------------------------------------------
# strides.padded
# ---------------------------------------------------------------------------------------------


def padded(sizes, multiple):
    """The sides of a batch that holds all images: [height, width].

    sizes are the images' (height, width). Both sides are the smallest multiples of `multiple` that
    are large enough for every image.
    """
    height = max(size[0] for size in sizes)
    width = max(size[1] for size in sizes)
    return [math.ceil(height / multiple) * multiple, math.ceil(width / multiple) * multiple]



PADDED = Exercise(
    name="strides.padded",
    title="How large must the batch be?",
    lesson="03",
    reference=padded,
    cases=(
        Case("one image that fits already", ([(128, 128)], 16)),
        Case("one pixel too many", ([(129, 128)], 16)),
        Case("a wide one and a high one", ([(64, 60), (100, 200), (150, 90)], 32)),
        Case("the larger image is the first", ([(800, 1333), (600, 800)], 32)),
        Case("any size is good enough", ([(33, 70), (40, 20)], 1)),
        Case("smaller than the multiple", ([(5, 9)], 16)),
    ),
    tolerance=1e-6,
    hints=(
        "First one side: how high is the highest image? Then the next multiple.",
        "The highest image and the widest need not be the same one. 129 becomes 144 at a multiple "
        "of 16, and 128 stays 128.",
        "math.ceil(height / multiple) * multiple, with height = max of all heights; width alike.",
    ),
    solution="A wide image and a high one together make a batch that is both wide and high, and "
             "mostly padding: it pays to put images of one format together. Rounding down would "
             "cut images; adding a multiple always, 128 to 144, wastes a row of cells.",
    mutants=(
        Mutant("rounded down", "That is too small for the image: round up.",
               lambda sizes, m: [max(s[i] for s in sizes) // m * m for i in (0, 1)]),
        Mutant("always one more", "A side that is a multiple already stays as it is.",
               lambda sizes, m: [max(s[i] for s in sizes) // m * m + m for i in (0, 1)]),
        Mutant("not rounded", "That is the largest image. Round both sides up to a multiple.",
               lambda sizes, m: [max(s[i] for s in sizes) for i in (0, 1)]),
        Mutant("the first image", "That looks at the first image alone.",
               lambda sizes, m: padded(sizes[:1], m)),
        Mutant("the largest image", "The highest and the widest image need not be the same one: "
               "take the maximum of each side.",
               lambda sizes, m: padded([max(sizes, key=lambda s: s[0] * s[1])], m)),
        Mutant("width first", "Height comes first, as in a tensor's shape.",
               lambda sizes, m: padded(sizes, m)[::-1]),
        Mutant("square", "The batch need not be square: each side is rounded on its own.",
               lambda sizes, m: [max(padded(sizes, m))] * 2),
    ),
)

EXERCISES = (OUT_SIZE, COST, WINDOW, PLACE, CELLS, PADDED)
