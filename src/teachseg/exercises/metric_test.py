"""Lesson 33's exercises: cells to pixels, boxes of masks, what training costs, kinds of errors.

The solutions are plain loops. The library's way is in `teachseg.papers.deep_metric` and
`teachseg.geometry.masks`; the tests hold the two equal.

Letters
    G     objects of one image
    S     points drawn of it, or masks found in it
    H, W  height and width, in pixels or in cells
    K, T  object classes, thresholds

Boxes are (x1, y1, x2, y2) in pixel edges.

Lesson: 33
"""

import math

import torch

from teachseg.exercises.registry import Case, Exercise, Mutant

# ---------------------------------------------------------------------------------------------
# metric.upsample
# ---------------------------------------------------------------------------------------------


def upsample(cells, stride):
    """A row of cells (w,) -> a row of pixels (w * stride,), linear between the cells' middles.

    Cell j covers the pixels j * stride to (j + 1) * stride. Before the first middle and after the
    last one, the outermost cell's value.
    """
    count = len(cells)
    out = torch.zeros(count * stride)
    for i in range(count * stride):
        z = (i + 0.5) / stride - 0.5
        z = min(max(z, 0), count - 1)
        low = math.floor(z)
        high = min(low + 1, count - 1)
        out[i] = (1 - (z - low)) * float(cells[low]) + (z - low) * float(cells[high])
    return out


def _at(cells, places):
    """`upsample` that reads at other places, held inside the row."""
    z = torch.tensor(places, dtype=torch.double).clamp(0, len(cells) - 1)
    low = z.floor().long()
    high = (low + 1).clamp(max=len(cells) - 1)
    return cells.double()[low] * (1 - (z - low)) + cells.double()[high] * (z - low)


UPSAMPLE = Exercise(
    name="metric.upsample",
    title="From cells to pixels",
    lesson="33",
    reference=upsample,
    cases=(
        Case("two cells of two pixels", (torch.tensor([0.0, 4.0]), 2)),
        Case("three cells of four pixels", (torch.tensor([1.0, 0.0, 0.5]), 4)),
        Case("cells of one pixel", (torch.tensor([0.2, 0.7, 0.1]), 1)),
        Case("a single cell", (torch.tensor([0.6]), 3)),
        Case("stride 8", (torch.tensor([0.0, 1.0]), 8)),
        Case("an odd stride", (torch.tensor([1.0, 0.0, 1.0]), 3)),
    ),
    tolerance=1e-4,
    hints=(
        "Where does the middle of pixel i lie, counted in cells?",
        "At (i + 0.5) / stride cells from the left edge; the middle of cell j is at j + 0.5. So "
        "the pixel reads at z = (i + 0.5) / stride - 0.5, where z = j is cell j.",
        "Hold z within 0 and w - 1, take the cells on both sides, and mix them by z - floor(z).",
    ),
    solution="The same half as in RoIAlign: middles lie half a cell from edges. With stride 2 a "
             "pixel reads 3/4 of its own cell and 1/4 of its neighbour. So a similarity of 1 "
             "beside one of 0 becomes 1, 3/4, 1/4, 0, and the threshold decides on which pixel the "
             "outline lies: at 0.25 one pixel further out than at 0.5.",
    mutants=(
        Mutant("squares", "Each cell is repeated there. Between middles the values should run in "
               "a line.", lambda c, s: c.repeat_interleave(s)),
        Mutant("without the halves", "Pixel i is read at i / stride. Middles lie half a pixel, and "
               "half a cell, from edges.",
               lambda c, s: _at(c, [i / s for i in range(len(c) * s)])),
        Mutant("the cell's half forgotten", "The last - 0.5 is missing: z = j is the middle of "
               "cell j.", lambda c, s: _at(c, [(i + 0.5) / s for i in range(len(c) * s)])),
        Mutant("corners on corners", "The outermost middles were laid on each other "
               "(align_corners=True). It is the edges that meet.",
               lambda c, s: _at(c, [i * (len(c) - 1) / max(len(c) * s - 1, 1)
                                    for i in range(len(c) * s)])),
    ),
)

# ---------------------------------------------------------------------------------------------
# metric.box
# ---------------------------------------------------------------------------------------------


def box(mask):
    """The tight box of a mask (H, W) of 0 and 1 with at least one pixel -> [x1, y1, x2, y2] in
    pixel edges."""
    x1, y1, x2, y2 = mask.shape[1], mask.shape[0], 0, 0
    for row in range(mask.shape[0]):
        for column in range(mask.shape[1]):
            if mask[row, column] > 0:
                x1, x2 = min(x1, column), max(x2, column + 1)
                y1, y2 = min(y1, row), max(y2, row + 1)
    return [x1, y1, x2, y2]


def _box_with(mask, far=1, order=(0, 1, 2, 3)):
    """`box`, with the far edges elsewhere or the corners in another order."""
    x1, y1, x2, y2 = box(mask)
    edges = (x1, y1, x2 - 1 + far, y2 - 1 + far)
    return [edges[k] for k in order]


def _pixels(height, width, *pixels):
    mask = torch.zeros(height, width)
    for row, column in pixels:
        mask[row, column] = 1
    return mask


BOX = Exercise(
    name="metric.box",
    title="A box that nobody predicted",
    lesson="33",
    reference=box,
    cases=(
        Case("one pixel", (_pixels(4, 6, (1, 3)),)),
        Case("two pieces", (_pixels(5, 7, (0, 1), (4, 5)),)),
        Case("a row", (_pixels(3, 8, (1, 2), (1, 3), (1, 4)),)),
        Case("a column at the right edge", (_pixels(6, 4, (2, 3), (3, 3), (4, 3)),)),
        Case("the whole image", (torch.ones(3, 5),)),
        Case("a ring", (_pixels(5, 6, (1, 1), (1, 2), (1, 3), (2, 1), (2, 3), (3, 1), (3, 2),
                                (3, 3)),)),
    ),
    tolerance=1e-6,
    hints=(
        "x counts columns, y counts rows. Which pixels of the mask lie farthest out?",
        "Pixel i covers [i, i + 1): the near edge of the first pixel is its number, the far edge "
        "of the last pixel its number + 1.",
        "x1 = smallest column, x2 = largest column + 1, y1 = smallest row, y2 = largest row + 1.",
    ),
    solution="Nothing here knew of boxes until now: they are read off the masks in the end, "
             "because detections have one. A single stray pixel far away makes the box large and "
             "leaves the mask's IoU as it was: measure methods of this kind by their masks.",
    mutants=(
        Mutant("last pixel inside", "x2 and y2 are edges: the last pixel's number + 1.",
               lambda m: _box_with(m, far=0)),
        Mutant("rows first", "x is the column, y the row: (x1, y1, x2, y2).",
               lambda m: _box_with(m, order=(1, 0, 3, 2))),
        Mutant("width and height", "Two corners are asked for, not a corner and a size.",
               lambda m: [box(m)[0], box(m)[1], box(m)[2] - box(m)[0], box(m)[3] - box(m)[1]]),
        Mutant("one too far", "That is one pixel too far on the right and below.",
               lambda m: _box_with(m, far=2)),
    ),
)

# ---------------------------------------------------------------------------------------------
# metric.pairs
# ---------------------------------------------------------------------------------------------


def pairs(num_objects, per_instance, background, height, width):
    """What a training image costs: [points drawn, ordered pairs of them, ordered pairs of all
    cells], for a map of height x width cells, every instance large enough."""
    points = num_objects * per_instance + background
    cells = height * width
    return [points, points * points, cells * cells]


PAIRS = Exercise(
    name="metric.pairs",
    title="Sampled pairs, and all of them",
    lesson="33",
    reference=pairs,
    cases=(
        Case("three objects of a scene", (3, 20, 80, 64, 64)),
        Case("the paper's K on a map of 64 x 64", (5, 10, 10, 64, 64)),
        Case("no object", (0, 10, 40, 32, 32)),
        Case("background is not drawn", (4, 10, 0, 20, 30)),
        Case("a crowd", (40, 10, 10, 16, 16)),
    ),
    tolerance=1e-6,
    hints=(
        "First how many points there are; then pairs of them, (p, q) and (q, p) and (p, p).",
        "Of S points there are S * S ordered pairs. Of all cells likewise.",
        "points = num_objects * per_instance + background.",
    ),
    solution="140 points make 19,600 pairs, 4,096 cells make 16.8 million: 856 times as many, and "
             "of an image of 512 x 512 at the same stride 256 times as many again, while the drawn "
             "ones stay as they are. The labels of the seeds compare each point with every cell, "
             "S * H * W similarities, which grow with the image as the features do.",
    mutants=(
        Mutant("each pair once", "Ordered pairs are asked for, each point with itself too: S * S.",
               lambda *a: [pairs(*a)[0], pairs(*a)[0] * (pairs(*a)[0] - 1) // 2, pairs(*a)[2]]),
        Mutant("without background", "Background's points are missing.",
               lambda o, k, b, h, w: pairs(o, k, 0, h, w)),
        Mutant("background as an object", "Background has a number of its own.",
               lambda o, k, b, h, w: pairs(o + 1, k, 0, h, w)),
        Mutant("cells instead of pairs", "The last number counts cells. Pairs of cells are asked "
               "for.", lambda o, k, b, h, w: [*pairs(o, k, b, h, w)[:2], h * w]),
        Mutant("pairs within an instance", "Pairs of different instances count as well: they push "
               "apart.", lambda o, k, b, h, w: [o * k + b, o * k * k + b * b, (h * w) ** 2]),
    ),
)

# ---------------------------------------------------------------------------------------------
# metric.errors
# ---------------------------------------------------------------------------------------------


def kinds(ious, found_labels, labels):
    """What every detection is: ious (S, G) with the objects, found_labels (S,), labels (G,), best
    score first -> (S,) 0 right, 1 a duplicate, 2 another class, 3 badly cut, 4 nothing there.

    Each looks at the object that it overlaps most. Below an IoU of 0.1 nothing is there, below 0.5
    it is badly cut; else its class must be the object's, and no earlier right one may have it.
    """
    out, taken = [], set()
    for k in range(len(found_labels)):
        best, iou = -1, 0.0
        for g in range(len(labels)):
            if float(ious[k, g]) > iou:
                best, iou = g, float(ious[k, g])
        if iou < 0.1:
            out.append(4)
        elif iou < 0.5:
            out.append(3)
        elif int(found_labels[k]) != int(labels[best]):
            out.append(2)
        elif best in taken:
            out.append(1)
        else:
            taken.add(best)
            out.append(0)
    return out


def _kinds_with(ious, found_labels, labels, low=0.1, high=0.5, by_class=True, takes=True,
                bad_takes=False, of_class=False):
    """`kinds`, with one thing changed."""
    out, taken = [], set()
    for k, label in enumerate(found_labels.tolist()):
        row = ious[k].clone()
        if of_class:
            row = torch.where(labels == label, row, 0.0)
        best = int(row.argmax()) if len(row) else -1
        iou = float(row[best]) if best >= 0 else 0.0
        same = best >= 0 and int(labels[best]) == label
        kind = (4 if iou < low else 3 if iou < high else 2 if by_class and not same
                else 1 if best in taken and takes else 0)
        if kind == 0 or (bad_takes and kind in (2, 3)):
            taken.add(best)
        out.append(kind)
    return torch.tensor(out, dtype=torch.double)


OVERLAPS = torch.tensor([[0.90, 0.05], [0.70, 0.00], [0.02, 0.60], [0.30, 0.20], [0.00, 0.05]])

ERRORS = Exercise(
    name="metric.errors",
    title="What kind of error is it?",
    lesson="33",
    reference=kinds,
    cases=(
        Case("one of each kind",
             (OVERLAPS, torch.tensor([1, 1, 3, 1, 2]), torch.tensor([1, 2]))),
        Case("two good ones", (torch.tensor([[0.8, 0.0], [0.1, 0.7]]), torch.tensor([2, 4]),
                               torch.tensor([2, 4]))),
        Case("exactly at the limits", (torch.tensor([[0.5], [0.1]]), torch.tensor([3, 3]),
                                       torch.tensor([3]))),
        Case("another class first, then the right one",
             (torch.tensor([[0.9], [0.8]]), torch.tensor([1, 5]), torch.tensor([5]))),
        Case("badly cut first, then well", (torch.tensor([[0.4], [0.8]]), torch.tensor([5, 5]),
                                            torch.tensor([5]))),
        Case("the object it overlaps most is of another class",
             (torch.tensor([[0.55, 0.6]]), torch.tensor([1]), torch.tensor([1, 2]))),
        Case("three on one object", (torch.tensor([[0.9], [0.85], [0.8]]),
                                     torch.tensor([1, 1, 1]), torch.tensor([1]))),
    ),
    tolerance=1e-6,
    hints=(
        "First the object that it overlaps most, whatever its class. Then four questions, one "
        "after the other.",
        "IoU below 0.1? Below 0.5? Another class? Taken already? If none: right, and the object is "
        "taken.",
        "Only a right detection takes its object; keep those in a set.",
    ),
    solution="The order of the questions is a choice: a mask that is badly cut *and* of another "
             "class counts as badly cut. What matters is that every detection has one kind, so "
             "that the kinds add up to the whole. A duplicate is an error of the choice (alpha, "
             "and what counts as the same mask); badly cut is one of the embeddings or of tau; "
             "another class and nothing there are the seed head's.",
    mutants=(
        Mutant("from above the limit on", "An IoU of exactly 0.5 is good, of exactly 0.1 is badly "
               "cut: the limits belong above.",
               lambda i, f, n: _kinds_with(i, f, n, low=0.1 + 1e-6, high=0.5 + 1e-6)),
        Mutant("class not asked", "The class is not asked for there.",
               lambda i, f, n: _kinds_with(i, f, n, by_class=False)),
        Mutant("no duplicates", "Two detections may be right about one object there: the second is "
               "a duplicate.", lambda i, f, n: _kinds_with(i, f, n, takes=False)),
        Mutant("wrong ones take", "A detection of another class, or badly cut, does not take the "
               "object.", lambda i, f, n: _kinds_with(i, f, n, bad_takes=True)),
        Mutant("objects of its class alone", "It looks at the object that it overlaps most, "
               "whatever that one's class.", lambda i, f, n: _kinds_with(i, f, n, of_class=True)),
    ),
)

# ---------------------------------------------------------------------------------------------
# metric.heads
# ---------------------------------------------------------------------------------------------


def heads(channels, scales, dim, thresholds, classes):
    """Parameters of the two linear heads, biases too: they read `channels` features of each of
    `scales` input scales, and give an embedding of `dim` and, for each of `thresholds`, `classes`
    and background."""
    inputs = channels * scales
    outputs = dim + thresholds * (classes + 1)
    return inputs * outputs + outputs


def _heads(channels, scales, dim, thresholds, classes, background=1, biases=1):
    outputs = dim + thresholds * (classes + background)
    return channels * scales * outputs + biases * outputs


HEADS = Exercise(
    name="metric.heads",
    title="Parameters of the paper's heads",
    lesson="33",
    reference=heads,
    cases=(
        Case("the paper: 2048, four scales, 64, four, 20", (2048, 4, 64, 4, 20)),
        Case("one scale", (2048, 1, 64, 4, 20)),
        Case("one threshold, one class", (100, 2, 8, 1, 1)),
        Case("a small one", (48, 1, 32, 4, 5)),
        Case("COCO's classes", (2048, 4, 64, 4, 80)),
    ),
    tolerance=1e-3,
    hints=(
        "A linear map from n to m numbers has n * m weights and m biases.",
        "n: the features of all scales side by side. m: the embedding, and a number for each pair "
        "of threshold and class, background among the classes.",
        "outputs = dim + thresholds * (classes + 1); inputs * outputs + outputs.",
    ),
    solution="8192 x 148 + 148 = 1,212,564 for VOC: 3 % of the 42.4 million of the ResNet-101. The "
             "heads are nearly free; what costs is to run the ResNet at four sizes, of which "
             "the largest alone has four times the pixels of the image: 5.3 times the work of one "
             "scale in all.",
    mutants=(
        Mutant("without background", "Background is a class of the seed head, too.",
               lambda *a: _heads(*a, background=0)),
        Mutant("without the biases", "The biases are missing, one for each output.",
               lambda *a: _heads(*a, biases=0)),
        Mutant("one scale", "The features of all scales are laid side by side.",
               lambda c, s, d, t, k: heads(c, 1, d, t, k)),
        Mutant("one threshold", "There is a set of classes for each threshold.",
               lambda c, s, d, t, k: heads(c, s, d, 1, k)),
        Mutant("embeddings alone", "The seed head is missing.",
               lambda c, s, d, t, k: (c * s + 1) * d),
    ),
)

EXERCISES = (UPSAMPLE, BOX, PAIRS, ERRORS, HEADS)
