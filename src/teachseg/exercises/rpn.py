"""Lesson 05's exercises: the order of answers, labels, what is drawn, two losses, recall.

The solutions are plain loops over numbers. The library's way is in `teachseg.layers.rpn`,
`teachseg.geometry.matching`, `teachseg.geometry.sampling` and `teachseg.learning.losses`; the tests
hold the two equal.

Letters
    A     anchors of a cell in `order`, of an image in the others
    H, W  height and width of a map, in cells
    G, P  objects of an image, and anchors among those drawn that are labelled objects

Boxes are (x1, y1, x2, y2) in image pixels.

Lesson: 05
"""

import math

import torch

from teachseg.exercises.registry import Case, Exercise, Mutant

# ---------------------------------------------------------------------------------------------
# rpn.order
# ---------------------------------------------------------------------------------------------


def order(answers):
    """A convolution's answers (4 A, H, W) -> one row of four for each anchor, (H W A, 4).

    Channels 0 to 3 are the first anchor's deltas, 4 to 7 the second's, and so on. Anchors are
    ordered row by row of the map, in a row cell by cell, and in a cell anchor by anchor.
    """
    channels, height, width = answers.shape
    rows = []
    for row in range(height):
        for column in range(width):
            for anchor in range(channels // 4):
                rows.append(answers[4 * anchor : 4 * anchor + 4, row, column])
    return torch.stack(rows)


def _addresses(anchors, height, width):
    """A map whose numbers say where they stand: channel, row, column."""
    channel = torch.arange(4 * anchors).view(-1, 1, 1) * 100
    return (channel + torch.arange(height).view(-1, 1) * 10 + torch.arange(width)).float()


def _by_coordinate(answers):
    """Taken as A channels of t_x, then A of t_y, and so on."""
    channels, height, width = answers.shape
    return answers.view(4, channels // 4, height, width).permute(2, 3, 1, 0).reshape(-1, 4)


ORDER = Exercise(
    name="rpn.order",
    title="From a map of answers to a list of anchors",
    lesson="05",
    reference=order,
    cases=(
        Case("one anchor, one row", (_addresses(1, 1, 3),)),
        Case("one anchor, 2 x 3 cells", (_addresses(1, 2, 3),)),
        Case("two anchors, one cell", (_addresses(2, 1, 1),)),
        Case("two anchors, 2 x 2 cells", (_addresses(2, 2, 2),)),
        Case("three anchors, 2 x 3 cells", (_addresses(3, 2, 3),)),
    ),
    tolerance=1e-6,
    hints=(
        "Three loops: rows outside, columns within, the anchors of a cell innermost.",
        "The anchor a of a cell has the channels 4 a to 4 a + 3 at that row and column.",
        "Without loops: permute(1, 2, 0) brings the channels to the end; reshape(-1, 4) then cuts "
        "each cell's channels into fours.",
    ),
    solution="answers.permute(1, 2, 0).reshape(-1, 4). The last axis of a tensor changes fastest, "
             "so what shall stand side by side in the list must stand on the last axis first. "
             "reshape(-1, 4) alone gives the right shape and puts four neighbouring cells of one "
             "channel into a row. Nothing fails: the network learns as well as it can with the "
             "answers of other cells, and its boxes stay loose.",
    mutants=(
        Mutant("reshaped without permute", "The shape is right, but each row holds four cells of "
               "one channel: bring the channels to the end before you reshape.",
               lambda answers: answers.reshape(-1, 4)),
        Mutant("column by column", "The cells run down the columns: go along the rows.",
               lambda answers: answers.permute(2, 1, 0).reshape(-1, 4)),
        Mutant("anchor by anchor", "All cells of the first anchor come first there: within a cell, "
               "its anchors are to stand side by side.",
               lambda answers: answers.view(-1, 4, *answers.shape[1:]).permute(0, 2, 3, 1).reshape(
                   -1, 4)),
        Mutant("coordinate by coordinate", "That takes the channels as all t_x, then all t_y: the "
               "four of an anchor are neighbours.", _by_coordinate),
    ),
)

# ---------------------------------------------------------------------------------------------
# rpn.labels
# ---------------------------------------------------------------------------------------------


def labels(iou, positive, negative):
    """Overlaps (G, A) of G objects with A anchors -> (A,): 1 object, 0 background, -1 ignored.

    1: a best overlap of `positive` or more; or no other anchor overlaps some object more (all that
    tie, unless that overlap is 0). 0: a best overlap below `negative`. -1: the others.
    """
    objects, anchors = iou.shape
    out = torch.zeros(anchors)
    for a in range(anchors):
        best = max((float(iou[g, a]) for g in range(objects)), default=0.0)
        forced = any(0 < float(iou[g, a]) == float(iou[g].max()) for g in range(objects))
        if best >= positive or forced:
            out[a] = 1
        elif best < negative:
            out[a] = 0
        else:
            out[a] = -1
    return out


def _labels(iou, positive, negative, force=True, first=False, zero=False, above=False,
            third=-1.0, strict=False):
    """`labels` with one thing changed."""
    if len(iou) == 0:
        return torch.zeros(iou.shape[1])
    best = iou.amax(dim=0)
    out = torch.full_like(best, third)
    out[best <= negative if above else best < negative] = 0
    out[best > positive if strict else best >= positive] = 1
    for row in iou if force else []:
        if row.max() > 0 or zero:
            out[row.argmax() if first else row == row.max()] = 1
    return out


BY_HAND = torch.tensor([[0.75, 0.50, 0.25, 0.00, 0.10], [0.00, 0.20, 0.40, 0.45, 0.10]])

LABELS = Exercise(
    name="rpn.labels",
    title="Object, background, or neither",
    lesson="05",
    reference=labels,
    cases=(
        Case("two objects by hand", (BY_HAND, 0.7, 0.3)),
        Case("exactly at the thresholds", (torch.tensor([[0.75, 0.5, 0.25, 0.875]]), 0.75, 0.25)),
        Case("two anchors tie for an object", (torch.tensor([[0.5, 0.25, 0.5]]), 0.7, 0.3)),
        Case("a poor best, below the negative threshold",
             (torch.tensor([[0.9, 0.1, 0.0], [0.05, 0.2, 0.0]]), 0.7, 0.3)),
        Case("an object that no anchor overlaps",
             (torch.tensor([[0.8, 0.4, 0.0], [0.0, 0.0, 0.0]]), 0.7, 0.3)),
        Case("no object at all", (torch.zeros(0, 3), 0.7, 0.3)),
        Case("one threshold for both", (torch.tensor([[0.6, 0.5, 0.4], [0.1, 0.3, 0.2]]), 0.5,
                                        0.5)),
    ),
    tolerance=1e-6,
    hints=(
        "Of each anchor you need its largest overlap with any object; of each object its largest "
        "overlap with any anchor.",
        "First the two thresholds, by the anchor's largest overlap. Then go through the objects "
        "and set the anchors whose overlap equals the object's largest to 1.",
        "An object whose largest overlap is 0 forces nothing, or every anchor far away from it "
        "would become one. Without objects all anchors are background.",
    ),
    solution="Forcing comes last and overrules both thresholds: a small object between the cells "
             "may have a best anchor with an IoU of 0.2, and without it nobody would ever be asked "
             "to find that object. The guard against 0 matters more than it seems: an object "
             "outside the grid ties with every anchor at 0, and a line of code that forces ties "
             "would call the whole image an object.",
    mutants=(
        Mutant("nothing forced", "An object may be left without any anchor there: its best one is "
               "an object whatever its overlap.",
               lambda iou, p, n: _labels(iou, p, n, force=False)),
        Mutant("only the first of a tie", "Of several anchors that overlap an object equally well, "
               "all count.", lambda iou, p, n: _labels(iou, p, n, first=True)),
        Mutant("zeros tie too", "An object that overlaps nothing has 0 with every anchor: it must "
               "force none of them.", lambda iou, p, n: _labels(iou, p, n, zero=True)),
        Mutant("ignored as background", "Between the thresholds an anchor is neither: -1, so that "
               "no loss looks at it.", lambda iou, p, n: _labels(iou, p, n, third=0.0)),
        Mutant("strictly above", "An overlap of exactly `positive` is enough.",
               lambda iou, p, n: _labels(iou, p, n, strict=True)),
        Mutant("background at the threshold", "Background is below `negative`; at the threshold "
               "itself an anchor is ignored.", lambda iou, p, n: _labels(iou, p, n, above=True)),
    ),
)

# ---------------------------------------------------------------------------------------------
# rpn.shares
# ---------------------------------------------------------------------------------------------


def shares(objects, background, size, share):
    """How many of each are drawn, (objects, background): at most `size` together, at most the
    `share` of `size` objects, and the rest background, as far as there is any.
    """
    drawn = min(objects, int(size * share))
    return [drawn, min(background, size - drawn)]


SHARES = Exercise(
    name="rpn.shares",
    title="Two hundred and fifty-six, at most half of them objects",
    lesson="05",
    reference=shares,
    cases=(
        Case("few objects", (9, 3761, 256, 0.5)),
        Case("many objects", (200, 3761, 256, 0.5)),
        Case("no object", (0, 4032, 256, 0.5)),
        Case("hardly any background", (200, 20, 256, 0.5)),
        Case("a quarter", (40, 1000, 64, 0.25)),
        Case("a share that is no whole number", (10, 100, 7, 0.5)),
    ),
    tolerance=1e-6,
    hints=(
        "First the objects, as many as there are, but not more than their share.",
        "The share is a share of `size`, rounded down. What the objects leave free is filled with "
        "background.",
        "Background: min(background, size - drawn). Nothing is drawn twice, so there can be fewer "
        "than `size` in all.",
    ),
    solution="The half is a limit and not a goal: with nine objects, 247 places go to background, "
             "and the loss is mostly background's in spite of the drawing. Whoever holds the ratio "
             "at 1 : 1 by drawing nine of background learns from 18 anchors an image. The other "
             "way round nothing is filled up with objects: 200 objects and 20 of background give "
             "128 + 20.",
    mutants=(
        Mutant("one to one", "The half is a limit, not a goal: background fills up what the "
               "objects leave free.",
               lambda o, b, size, share: [min(o, int(size * share)), min(b, o,
                                                                         int(size * share))]),
        Mutant("background held to its share", "Background may take every place that the objects "
               "leave free.",
               lambda o, b, size, share: [min(o, int(size * share)),
                                          min(b, size - int(size * share))]),
        Mutant("no limit for objects", "At most `share` of `size` may be objects.",
               lambda o, b, size, share: [min(o, size), min(b, size - min(o, size))]),
        Mutant("rounded up", "Half of 7 is 3 here: the share is rounded down.",
               lambda o, b, size, share: [min(o, math.ceil(size * share)),
                                          min(b, size - min(o, math.ceil(size * share)))]),
        Mutant("filled up with objects", "Where background runs out, fewer are drawn: the objects' "
               "limit stands.",
               lambda o, b, size, share: [min(o, max(int(size * share), size - b)),
                                          min(b, size - min(o, int(size * share)))]),
    ),
)

# ---------------------------------------------------------------------------------------------
# rpn.objectness
# ---------------------------------------------------------------------------------------------


def objectness(logits, labels):
    """Mean cross-entropy of drawn anchors: logits (N,), labels (N,) of 0 and 1 -> a number.

    It must be right for logits of 1000 and -1000 too; of no anchors it is 0.
    """
    total = 0.0
    for z, label in zip(logits.tolist(), labels.tolist()):
        z = z if label == 1 else -z  # the logit of the right answer
        total += max(-z, 0) + math.log1p(math.exp(-abs(z)))
    return total / max(len(logits), 1)


def _objectness(logits, labels, terms):
    """The mean of other terms of (probability of an object, label)."""
    p = logits.double().sigmoid().clamp(1e-12, 1 - 1e-12)
    return float(terms(p, labels.double()).sum()) / max(len(logits), 1)


def _entropy(p, y):
    return -(y * p.log() + (1 - y) * (1 - p).log())


OBJECTNESS = Exercise(
    name="rpn.objectness",
    title="What a wrong yes and a wrong no cost",
    lesson="05",
    reference=objectness,
    cases=(
        Case("one object, not sure", (torch.tensor([0.0]), torch.tensor([1.0]))),
        Case("one object and one background",
             (torch.tensor([2.0, -1.0]), torch.tensor([1.0, 0.0]))),
        Case("two of three wrong", (torch.tensor([-3.0, 3.0, 1.0]), torch.tensor([1.0, 0.0, 1.0]))),
        Case("background alone", (torch.tensor([-4.0, -2.0]), torch.tensor([0.0, 0.0]))),
        Case("very sure and wrong", (torch.tensor([1000.0, -1.0]), torch.tensor([0.0, 1.0]))),
        Case("very sure and right", (torch.tensor([-1000.0, 1.0]), torch.tensor([0.0, 1.0]))),
        Case("nothing drawn", (torch.zeros(0), torch.zeros(0))),
    ),
    tolerance=1e-4,
    hints=(
        "p = 1 / (1 + exp(-z)) is the probability of an object. An object costs -log p, background "
        "-log(1 - p); take the mean.",
        "-log p = log(1 + exp(-z)). exp(1000) is no float: for a very negative z the result is "
        "nearly -z.",
        "log(1 + exp(-z)) = max(-z, 0) + log1p(exp(-abs(z))), and of background the same with -z "
        "for z.",
    ),
    solution="Both answers have the same form once the sign of the logit is turned for background: "
             "the cost of the right answer's logit z is log(1 + exp(-z)). Written with max and "
             "log1p no exponential is ever large. An early step can give logits of a hundred, and "
             "then log(1 - p) is log(0): the objectness would be the loss that turns to nan.",
    mutants=(
        Mutant("background free", "Anchors labelled background cost -log(1 - p): they are missing.",
               lambda z, y: _objectness(z, y, lambda p, t: -t * p.log())),
        Mutant("not divided", "That is the sum. Divide by how many anchors were drawn.",
               lambda z, y: objectness(z, y) * len(z)),
        Mutant("over the objects", "Divide by all anchors that were drawn, background included.",
               lambda z, y: objectness(z, y) * len(z) / max(float(y.sum()), 1.0)),
        Mutant("labels exchanged", "That is small where the answer is wrong: 1 is an object.",
               lambda z, y: objectness(z, 1 - y)),
        Mutant("log base 2", "The logarithm is the natural one.",
               lambda z, y: objectness(z, y) / math.log(2)),
        Mutant("a squared error", "That is (p - label) squared; asked is the logarithm of the "
               "right answer's probability.",
               lambda z, y: _objectness(z, y, lambda p, t: (p - t) ** 2)),
        Mutant("held at a small number", "Nothing fails any more, but a very sure and wrong anchor "
               "costs too little: clipping p also takes its slope away.",
               lambda z, y: _objectness(z, y, _entropy)),
    ),
)

# ---------------------------------------------------------------------------------------------
# rpn.deltas
# ---------------------------------------------------------------------------------------------


def deltas(said, wanted, drawn, beta):
    """Smooth L1 of the positives, said and wanted (P, 4), summed and divided by `drawn`, the number
    of all anchors drawn -> a number.

    A difference d costs d d / (2 beta) where abs(d) is below beta, else abs(d) - beta / 2.
    """
    total = 0.0
    for row, goal in zip(said.tolist(), wanted.tolist()):
        for a, b in zip(row, goal):
            d = abs(a - b)
            total += d * d / (2 * beta) if d < beta else d - beta / 2
    return total / max(drawn, 1)


def _deltas(said, wanted, cost, count):
    return float(cost((said - wanted).double().abs()).sum()) / max(count, 1)


def _smooth(beta):
    return lambda d: torch.where(d < beta, d * d / (2 * beta), d - beta / 2)


ZERO4, STEP = torch.zeros(1, 4), torch.tensor([[0.05, -0.1, 0.5, -2.0]])

DELTAS = Exercise(
    name="rpn.deltas",
    title="What a box that is a little off costs",
    lesson="05",
    reference=deltas,
    cases=(
        Case("one positive of four drawn", (STEP, ZERO4, 4, 1 / 9)),
        Case("the difference counts", (STEP, torch.tensor([[0.05, 0.4, 0.45, -1.0]]), 256, 0.5)),
        Case("two positives of two", (torch.cat([STEP, ZERO4]), torch.cat([ZERO4, 0.3 + ZERO4]), 2,
                                      1 / 9)),
        Case("beta = 1", (STEP, ZERO4, 2, 1.0)),
        Case("no positive at all", (torch.zeros(0, 4), torch.zeros(0, 4), 16, 1 / 9)),
        Case("at the joint", (torch.full((1, 4), 0.5), ZERO4, 1, 0.5)),
    ),
    tolerance=1e-5,
    hints=(
        "Eight numbers for two positives: take each difference by itself, without its sign.",
        "Below beta the square, from beta on the line; both are beta / 2 at beta itself.",
        "Add up all costs, all four coordinates of all positives, and divide once, by `drawn`. "
        "Without positives the sum is 0.",
    ),
    solution="Dividing by the number of positives gives nan in every image without an object, 0 / "
             "0, and makes an anchor of a lonely object weigh as much as twenty anchors of a crowd "
             "together. Dividing by all that were drawn is a constant in nearly every step. The "
             "constant beta / 2 joins the line to the square without a step: its value is missed "
             "by nobody, but a jump would show in every check of gradients.",
    mutants=(
        Mutant("over the positives", "That divides by the positives: in an image without any it is "
               "0 / 0. Divide by all that were drawn.",
               lambda s, w, n, b: _deltas(s, w, _smooth(b), len(s))),
        Mutant("a mean over coordinates", "The four coordinates of an anchor are added up, not "
               "averaged.", lambda s, w, n, b: _deltas(s, w, _smooth(b), 4 * n)),
        Mutant("the mean of all numbers", "The mean divides by the positives' numbers, four for "
               "each, and without any it is nan. Add up, and divide by all that were drawn.",
               lambda s, w, n, b: _deltas(s, w, _smooth(b), 1) / s.numel() if len(s) else
               torch.tensor(float("nan"))),
        Mutant("always the line", "Small differences cost a square: the gradient is to fade near "
               "the goal.", lambda s, w, n, b: _deltas(s, w, lambda d: d, n)),
        Mutant("always the square", "From beta on the cost is a line, or one wild box outweighs "
               "all others.", lambda s, w, n, b: _deltas(s, w, lambda d: d * d / (2 * b), n)),
        Mutant("a step at the joint", "Line and square must meet at beta: the line is abs(d) - "
               "beta / 2.",
               lambda s, w, n, b: _deltas(s, w, lambda d: torch.where(d < b, d * d / (2 * b), d),
                                          n)),
        Mutant("beta forgotten in the square", "The square is divided by 2 beta, so that it meets "
               "the line.",
               lambda s, w, n, b: _deltas(
                   s, w, lambda d: torch.where(d < b, d * d / 2, d - b / 2), n)),
    ),
)

# ---------------------------------------------------------------------------------------------
# rpn.recall
# ---------------------------------------------------------------------------------------------


def recall(objects, found, least):
    """The share of objects (G, 4) that some found box (P, 4) covers by an IoU of `least` or more.

    G is 1 or more, P may be 0; every box has an area.
    """
    covered = 0
    for x1, y1, x2, y2 in objects.tolist():
        best = 0.0
        for u1, v1, u2, v2 in found.tolist():
            wide, high = min(x2, u2) - max(x1, u1), min(y2, v2) - max(y1, v1)
            common = max(wide, 0.0) * max(high, 0.0)
            union = (x2 - x1) * (y2 - y1) + (u2 - u1) * (v2 - v1) - common
            best = max(best, common / union)
        covered += best >= least
    return covered / len(objects)


def _recall(objects, found, least, shared=None):
    """From the table of overlaps; `shared` is what to make of it."""
    table = torch.zeros(len(objects), len(found))
    for g, one in enumerate(objects):
        for p, box in enumerate(found):
            table[g, p] = _overlap(one, box)
    return float(shared(table))


def _overlap(a, b, more=0.0):
    wide = (torch.minimum(a[2:], b[2:]) - torch.maximum(a[:2], b[:2]) + more).clamp(min=0)
    common = float(wide.prod())
    areas = [float((x[2:] - x[:2] + more).prod()) for x in (a, b)]
    return common / (sum(areas) - common)


def _with_one(objects, found, least):
    """By inclusive pixels."""
    best = [max((_overlap(o, f, 1.0) for f in found), default=0.0) for o in objects]
    return sum(b >= least for b in best) / len(objects)


def _one_each(table, least):
    """Each found box counts for the object that it overlaps most, and no other."""
    if table.numel() == 0:
        return 0.0
    owner = table.argmax(dim=0)
    own = {int(owner[p]) for p in range(table.shape[1]) if table[owner[p], p] >= least}
    return len(own) / len(table)


SQUARE = torch.tensor([[0.0, 0.0, 10.0, 10.0]])
PAIR = torch.tensor([[0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 10.0, 9.0]])

RECALL = Exercise(
    name="rpn.recall",
    title="How many objects do the boxes cover?",
    lesson="05",
    reference=recall,
    cases=(
        Case("one of two objects", (torch.tensor([[0.0, 0, 10, 10], [50, 50, 70, 60]]),
                                    torch.tensor([[1.0, 0, 10, 10], [30, 30, 40, 40],
                                                  [0, 2, 10, 10]]), 0.5)),
        Case("exactly one half", (SQUARE, torch.tensor([[0.0, 0, 10, 5]]), 0.5)),
        Case("no box found", (SQUARE, torch.zeros(0, 4), 0.5)),
        Case("many boxes on one object", (torch.cat([SQUARE, SQUARE + 40, SQUARE + 80]),
                                          SQUARE.repeat(4, 1), 0.7)),
        Case("one box covers two objects", (PAIR, torch.tensor([[0.0, 0, 10, 9.5]]), 0.7)),
        Case("small boxes, where a pixel matters", (torch.tensor([[0.0, 0, 3, 3]]),
                                                    torch.tensor([[1.0, 0, 4, 3]]), 0.51)),
    ),
    tolerance=1e-4,
    hints=(
        "For each object: the largest IoU that any of the boxes has with it.",
        "Count the objects, not the boxes: those whose largest IoU is `least` or more, divided by "
        "the number of objects.",
        "With no box the largest IoU is 0. A box that covers two objects counts for both.",
    ),
    solution="Recall asks the objects, precision asks the boxes. A thousand useless boxes leave "
             "recall as it is, which is what one wants of proposals: the heads that follow will "
             "throw them out, but nothing that follows can bring a lost object back.",
    mutants=(
        Mutant("share of the boxes", "That asks the boxes how many of them lie on an object, which "
               "is precision. Recall asks the objects.",
               lambda o, f, t: _recall(o, f, t, lambda x: (x.amax(dim=0) >= t).float().mean()
                                       if x.numel() else 0.0)),
        Mutant("strictly more", "An IoU of exactly `least` is enough.",
               lambda o, f, t: _recall(o, f, t, lambda x: (x.amax(dim=1) > t).float().mean()
                                       if x.numel() else 0.0)),
        Mutant("the mean overlap", "That is the mean of the best overlaps: count those that reach "
               "`least`.",
               lambda o, f, t: _recall(o, f, t, lambda x: x.amax(dim=1).mean()
                                       if x.numel() else 0.0)),
        Mutant("pixels counted inclusively", "A width is x2 - x1, without + 1.", _with_one),
        Mutant("one object a box", "A box that covers two objects counts for both of them.",
               lambda o, f, t: _recall(o, f, t, lambda x: _one_each(x, t))),
    ),
)

EXERCISES = (ORDER, LABELS, SHARES, OBJECTNESS, DELTAS, RECALL)
