"""Lesson 31's exercises: masks from seeds, whose a cell is, labels of seeds, the ramp of lambda.

The solutions are plain loops over cells. The library's way is in `teachseg.decoding.seeds`,
`teachseg.learning.targets` and `teachseg.papers.deep_metric`; the tests hold the two equal.

Letters
    D     dimension of an embedding
    H, W  height and width of the map, in cells
    G     objects
    T     thresholds tau

No boxes here. A seed is a (row, column) of the map.

Lesson: 31
"""

import math

import torch

from teachseg.exercises.registry import Case, Exercise, Mutant

# ---------------------------------------------------------------------------------------------
# masks.grow
# ---------------------------------------------------------------------------------------------


def grow(embeddings, row, column, tau):
    """The mask of the seed (row, column): embeddings (D, H, W) -> (H, W), 1 where sigma >= tau."""
    dim, height, width = embeddings.shape
    out = torch.zeros(height, width)
    for i in range(height):
        for j in range(width):
            d = 0.0
            for c in range(dim):
                d += float(embeddings[c, row, column] - embeddings[c, i, j]) ** 2
            if 2 / (1 + math.exp(d)) >= tau:
                out[i, j] = 1
    return out


def _grow_with(embeddings, row, column, tau, inside=None, distance=None):
    """`grow`, with another condition or another distance, over the whole map at once."""
    own = embeddings[:, row, column].double()
    difference = embeddings.double() - own[:, None, None]
    d = (distance or (lambda x: x.square().sum(dim=0)))(difference)
    sigma = 2 / (1 + d.exp())
    return (inside or (lambda s, d: s >= tau))(sigma, d).double()


def _connected(embeddings, row, column, tau):
    """Only what hangs together with the seed, over the sides of cells."""
    mask = _grow_with(embeddings, row, column, tau)
    seen, todo = torch.zeros_like(mask), [(row, column)]
    while todo:
        i, j = todo.pop()
        inside = 0 <= i < mask.shape[0] and 0 <= j < mask.shape[1]
        if inside and mask[i, j] and not seen[i, j]:
            seen[i, j] = 1
            todo += [(i + 1, j), (i - 1, j), (i, j + 1), (i, j - 1)]
    return seen


def _swapped(embeddings, row, column, tau):
    """Row and column of the seed exchanged, where the map has such a cell."""
    height, width = embeddings.shape[1:]
    return _grow_with(embeddings, min(column, height - 1), min(row, width - 1), tau)


ROW = torch.tensor([[[0.0, 0.5, 1.0, 3.0, 0.5]]])
TWO = torch.tensor([  # three places far apart, and one cell of the first that lies alone
    [[0.0, 0.0, 3.0, 3.0, 0.0], [0.2, 0.0, 3.0, 0.1, 0.0]],
    [[1.0, 1.0, 0.0, 0.0, 4.0], [1.0, 1.1, 0.0, 1.0, 4.0]],
])

GROW = Exercise(
    name="masks.grow",
    title="The mask that one pixel grows",
    lesson="31",
    reference=grow,
    cases=(
        Case("a row, from its left end", (ROW, 0, 0, 0.5)),
        Case("a higher tau: a smaller mask", (ROW, 0, 0, 0.8)),
        Case("tau = 1: cells that are exactly alike", (ROW, 0, 1, 1.0)),
        Case("three objects, two dimensions", (TWO, 1, 2, 0.5)),
        Case("a mask in two pieces", (TWO, 0, 1, 0.75)),
        Case("seed in the second row", (TWO, 1, 0, 0.9)),
    ),
    tolerance=1e-6,
    hints=(
        "Go over all cells; each is compared with the seed and with nothing else.",
        "d is the squared distance of the two embeddings, over all D channels; sigma = 2 / (1 + "
        "e^d).",
        "out[i, j] = 1 where 2 / (1 + math.exp(d)) >= tau; the seed's own cell has d = 0.",
    ),
    solution="Where a cell lies does not enter: two pieces of one object, on both sides of what "
             "hides its middle, are one mask. That is what no box can do, and no region that "
             "grows from neighbour to neighbour. The price: a far cell that happens to look alike "
             "belongs to the mask as well.",
    mutants=(
        Mutant("only what hangs together", "A mask need not hang together: the seed is compared "
               "with every cell, wherever it lies.", _connected),
        Mutant("more than tau", "A similarity of exactly tau belongs to the mask: >=, not >.",
               lambda e, r, c, t: _grow_with(e, r, c, t, lambda s, d: s > t)),
        Mutant("distance below tau", "tau is compared with the similarity, not with the distance.",
               lambda e, r, c, t: _grow_with(e, r, c, t, lambda s, d: d <= t)),
        Mutant("row and column swapped", "A seed is (row, column): the row is the second axis of "
               "the embeddings.", _swapped),
        Mutant("not squared", "The distance is to be squared in the exponent.",
               lambda e, r, c, t: _grow_with(e, r, c, t, distance=lambda x: x.norm(dim=0))),
        Mutant("first channel alone", "All D channels count, not the first one alone.",
               lambda e, r, c, t: _grow_with(e[:1], r, c, t)),
    ),
)

# ---------------------------------------------------------------------------------------------
# masks.instances
# ---------------------------------------------------------------------------------------------


def instances(masks, cell):
    """Whose each cell is: masks (G, H, W) of 0 and 1, disjoint, cells of cell x cell pixels that
    fill the image -> (H / cell, W / cell), g + 1 for object g, 0 for background.

    The one that covers most of the cell has it; an object that covers as much as background, too;
    of two objects the first.
    """
    count, height, width = masks.shape
    out = torch.zeros(height // cell, width // cell)
    for i in range(height // cell):
        for j in range(width // cell):
            block = masks[:, i * cell : (i + 1) * cell, j * cell : (j + 1) * cell]
            most = cell * cell - float(block.sum())  # pixels of background
            for g in range(count - 1, -1, -1):
                pixels = float(block[g].sum())
                if pixels > 0 and pixels >= most:
                    out[i, j], most = g + 1, pixels
    return out


def _shares(masks, cell):
    """(G, H / cell, W / cell) pixels of every object in each cell."""
    blocks = masks.double().unfold(1, cell, cell).unfold(2, cell, cell)
    return blocks.sum(dim=(3, 4))


def _best(shares, background):
    """g + 1 where an object has at least as much as background, else 0."""
    value, who = shares.max(dim=0)
    return torch.where((value >= background) & (value > 0), who + 1, 0).double()


def _scene(*objects, size=(4, 6)):
    """Disjoint masks, each of some (row, column) pixels."""
    masks = torch.zeros(len(objects), *size)
    for g, pixels in enumerate(objects):
        for row, column in pixels:
            masks[g, row, column] = 1
    return masks


def _block(rows, columns):
    return [(r, c) for r in range(*rows) for c in range(*columns)]


PAIR = _scene(_block((0, 4), (0, 3)), _block((1, 4), (3, 6)))
THIN = _scene(_block((0, 4), (1, 2)), [(0, 2), (0, 3), (1, 2)])

INSTANCES = Exercise(
    name="masks.instances",
    title="Whose is a cell of the map?",
    lesson="31",
    reference=instances,
    cases=(
        Case("two objects side by side", (PAIR, 2)),
        Case("a thin object: half of its cells", (THIN, 2)),
        Case("cells of one pixel", (THIN, 1)),
        Case("a corner of one pixel is too little",
             (_scene([(0, 0)], [(2, 4), (3, 4), (3, 5)]), 2)),
        Case("two objects share a cell", (_scene([(0, 0), (0, 1)], [(1, 0), (1, 1)]), 2)),
        Case("three pixels against one", (_scene([(1, 1)], [(0, 0), (0, 1), (1, 0)]), 2)),
    ),
    tolerance=1e-6,
    hints=(
        "Cut the cell's block out of all masks, and count pixels: of each object, and of none.",
        "Background has cell * cell pixels minus all the objects'. Who has most?",
        "Begin with 0 and background's count; an object takes over where it has at least as many "
        "(a later object only where it has more).",
    ),
    solution="A cell is asked for one instance, and pixels of several may lie in it. Whoever "
             "covers most has it. Giving a tie with background to the object lets a thin object, "
             "which never fills a cell, keep some. An object that wins no cell is not there for "
             "the loss: at stride 2 that is an object of one or two pixels.",
    mutants=(
        Mutant("any pixel is enough", "A cell is the object's there as soon as one pixel is. "
               "Background may have more.", lambda m, c: _best(_shares(m, c), 0.0)),
        Mutant("first pixel", "Only the upper left pixel of each cell is asked.",
               lambda m, c: ((m[:, ::c, ::c] * torch.arange(1, len(m) + 1)[:, None, None])
                             .sum(dim=0)).double()),
        Mutant("half is not enough", "Where an object and background have as much, the object has "
               "the cell.",
               lambda m, c: _best(_shares(m, c), c * c - _shares(m, c).sum(dim=0) + 0.5)),
        Mutant("numbers from 0", "0 is background: object g has the number g + 1.",
               lambda m, c: (instances(m, c) - 1).clamp(min=0)),
        Mutant("more than half", "Most of the cell is more than anyone else has, not more than "
               "half of it.",
               lambda m, c: _best(_shares(m, c), torch.tensor(c * c / 2 + 0.5))),
    ),
)

# ---------------------------------------------------------------------------------------------
# masks.label
# ---------------------------------------------------------------------------------------------


def label(grown, instances, labels):
    """The class of a grown mask: that of the object that it overlaps by an IoU of at least 1/2,
    else 0. grown (H, W) of 0 and 1; instances (H, W), g + 1 for object g; labels (G,) -> a number.
    """
    for g in range(len(labels)):
        common = union = 0
        for i in range(grown.shape[0]):
            for j in range(grown.shape[1]):
                in_mask, in_object = grown[i, j] > 0, instances[i, j] == g + 1
                common += bool(in_mask and in_object)
                union += bool(in_mask or in_object)
        if union > 0 and common >= union / 2:
            return int(labels[g])
    return 0


def _label_with(grown, instances, labels, good, first=lambda g: True):
    """`label`, with another rule for what fits."""
    mask = grown > 0
    for g in range(len(labels)):
        real = instances == g + 1
        common = int((mask & real).sum())
        if first(g) and common and good(common, int(mask.sum()), int(real.sum())):
            return int(labels[g])
    return 0


def _map(*rows):
    return torch.tensor([[int(cell) for cell in row] for row in rows])


PLACES = _map("110022", "110022", "110000")  # object 0 of 6 cells, object 1 of 4
LABELS = torch.tensor([4, 2])


def _mask(*rows):
    return _map(*rows).float()


LABEL = Exercise(
    name="masks.label",
    title="Of which class is the mask of a seed?",
    lesson="31",
    reference=label,
    cases=(
        Case("the whole of object 1", (_mask("000011", "000011", "000000"), PLACES, LABELS)),
        Case("exactly half of object 0", (_mask("100000", "100000", "100000"), PLACES, LABELS)),
        Case("object 0 and as much again", (_mask("111100", "111100", "111100"), PLACES, LABELS)),
        Case("all that is there", (_mask("110011", "110011", "110000"), PLACES, LABELS)),
        Case("the whole map", (_mask("111111", "111111", "111111"), PLACES, LABELS)),
        Case("a corner of object 1", (_mask("000010", "000000", "000000"), PLACES, LABELS)),
        Case("background alone", (_mask("001100", "001100", "000000"), PLACES, LABELS)),
        Case("object 1 and a little more", (_mask("000011", "000111", "000010"), PLACES, LABELS)),
    ),
    tolerance=1e-6,
    hints=(
        "Go over the objects. IoU is what both have, divided by what either has.",
        "For each cell: is it in the mask, is it in object g (instances == g + 1)? Count both, and "
        "either.",
        "Return labels[g] for the object with common >= union / 2; 0 after the loop.",
    ),
    solution="The label depends on the embeddings as they are at this step, and is made anew at "
             "each: the same pixel is a bad seed early in the training and a good one later. No "
             "gradient passes through it. Objects are disjoint, so at most one of them reaches an "
             "IoU of 1/2, but for an exact tie.",
    mutants=(
        Mutant("covered share", "That is the share of the object that the mask covers. A mask of "
               "everything would fit every object.",
               lambda *a: _label_with(*a, good=lambda c, m, o: 2 * c >= o)),
        Mutant("share of the mask", "That is the share of the mask that lies on the object. A "
               "single cell of it would fit.",
               lambda *a: _label_with(*a, good=lambda c, m, o: 2 * c >= m)),
        Mutant("more than half", "An IoU of exactly 1/2 is enough: >=, not >.",
               lambda *a: _label_with(*a, good=lambda c, m, o: 2 * c > m + o - c)),
        Mutant("any overlap", "The mask only has to touch the object there.",
               lambda *a: _label_with(*a, good=lambda c, m, o: True)),
        Mutant("number in place of class", "That is the object's number. Its class is labels[g].",
               lambda g, i, n: label(g, i, torch.arange(1, len(n) + 1))),
        Mutant("first object alone", "Only object 0 is compared. The mask may fit any of them.",
               lambda *a: _label_with(*a, good=lambda c, m, o: 2 * c >= m + o - c,
                                      first=lambda g: g == 0)),
    ),
)

# ---------------------------------------------------------------------------------------------
# masks.quota
# ---------------------------------------------------------------------------------------------


def quota(sizes, per_instance, background):
    """How many cells are drawn of each instance: sizes (G + 1,), background first -> (G + 1,).

    At most per_instance of an object and background of background, and never more than there are.
    """
    out = torch.zeros(len(sizes))
    for k in range(len(sizes)):
        most = background if k == 0 else per_instance
        out[k] = min(most, int(sizes[k]))
    return out


QUOTA = Exercise(
    name="masks.quota",
    title="How many points are drawn of whom?",
    lesson="31",
    reference=quota,
    cases=(
        Case("two objects", (torch.tensor([3800, 200, 96]), 10, 10)),
        Case("a small object", (torch.tensor([4000, 3, 93]), 10, 10)),
        Case("more of background", (torch.tensor([3900, 196]), 20, 80)),
        Case("one object fills the image", (torch.tensor([0, 4096]), 10, 40)),
        Case("no object at all", (torch.tensor([4096]), 10, 40)),
        Case("an object that won no cell", (torch.tensor([4090, 0, 6]), 10, 5)),
    ),
    tolerance=1e-6,
    hints=(
        "Each instance is asked for the same number, however large it is.",
        "Who has fewer cells gives all of them. Background has a number of its own.",
        "out[k] = min(per_instance, sizes[k]), with background in place of per_instance at k = 0.",
    ),
    solution="Drawn in proportion to their sizes, small objects would hardly ever be asked: of 70 "
             "points of an image of 4096 cells, an object of 40 cells would get one in three "
             "images. K points each make every object equally loud, and S = K G + B points make "
             "S^2 pairs, however large the image is.",
    mutants=(
        Mutant("in proportion", "That draws in proportion to the sizes: small objects are hardly "
               "ever asked.",
               lambda s, k, b: (s.double() * (k * (len(s) - 1) + b) / s.sum()).round()),
        Mutant("always as many", "An instance cannot give more cells than it has.",
               lambda s, k, b: torch.tensor([float(b)] + [float(k)] * (len(s) - 1))),
        Mutant("background as an object", "Background has a number of its own.",
               lambda s, k, b: s.clamp(max=k).double()),
        Mutant("no background", "Background is drawn, too: as one more instance, and for the seeds "
               "that must learn that they are bad.",
               lambda s, k, b: torch.cat([s[:1] * 0, s[1:].clamp(max=k)]).double()),
        Mutant("all cells", "That takes every cell. The number of pairs grows with its square.",
               lambda s, k, b: s.double()),
    ),
)

# ---------------------------------------------------------------------------------------------
# masks.ramp
# ---------------------------------------------------------------------------------------------


def ramp(progress, start, end, most):
    """lambda: 0 until `start`, from there in a line to `most` at `end`, and `most` from there on.

    progress, start and end are shares of the training; where start = end it jumps there.
    """
    if progress >= end:
        return most
    if progress <= start:
        return 0.0
    return most * (progress - start) / (end - start)


def _line(p, a, b, most, offset=0.0):
    return most * (p - a - offset) / max(b - a, 1e-9)


RAMP = Exercise(
    name="masks.ramp",
    title="When do the classes begin to count?",
    lesson="31",
    reference=ramp,
    cases=(
        Case("before it begins", (0.1, 0.2, 0.6, 0.2)),
        Case("half way", (0.4, 0.2, 0.6, 0.2)),
        Case("at its end", (0.6, 0.2, 0.6, 0.2)),
        Case("after it", (0.9, 0.2, 0.6, 1.5)),
        Case("from the first step on", (0.1, 0.0, 0.5, 0.2)),
        Case("at once", (0.0, 0.0, 0.0, 0.2)),
    ),
    tolerance=1e-6,
    hints=(
        "Three parts: before, on the way, after.",
        "On the way the share is (progress - start) / (end - start), from 0 to 1.",
        "Ask for the end first: then start = end needs no division.",
    ),
    solution="While embeddings are random a grown mask is no object, and every label says "
             "background. A loss of classes at full weight would teach the features that nothing "
             "is an object. Where start equals end the order of the questions decides: ask for the "
             "end before you divide.",
    mutants=(
        Mutant("a step", "That jumps at the end. It should rise in a line before.",
               lambda p, a, b, m: m if p >= b else 0.0),
        Mutant("from the beginning", "It begins to rise at `start`, not at the first step.",
               lambda p, a, b, m: m if p >= b else m * p / max(b, 1e-9)),
        Mutant("without an end", "It goes on rising after the end.",
               lambda p, a, b, m: m if a == b else max(0.0, _line(p, a, b, m))),
        Mutant("without a beginning", "Before `start` it is below 0 there: a loss that is to be "
               "large.", lambda p, a, b, m: m if p >= b else _line(p, a, b, m)),
        Mutant("falling", "It falls there: the classes would count at first and not at the end.",
               lambda p, a, b, m: m - ramp(p, a, b, m)),
    ),
)

EXERCISES = (GROW, INSTANCES, LABEL, QUOTA, RAMP)
