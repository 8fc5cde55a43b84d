"""Lesson 22's exercises: recall of boxes, the box loss, which answers stay, errors, a wide paste.

The solutions are plain loops. The library's way is in `teachseg.learning.losses`,
`teachseg.decoding.instances` and `teachseg.geometry.masks`; the tests hold the two equal.

Letters
    G, P  objects and proposals of an image
    R     boxes that the heads look at
    K     object classes; class 0 is background

Boxes are (x1, y1, x2, y2) in pixel edges.

Lesson: 22
"""

import math

import torch

from teachseg.exercises.registry import Case, Exercise, Mutant

# ---------------------------------------------------------------------------------------------
# detector.recall
# ---------------------------------------------------------------------------------------------


def recall(iou, threshold):
    """iou: for each of G objects the IoU with each of P boxes; the share of the objects that some
    box covers with an IoU of at least `threshold`."""
    covered = 0
    for row in iou:
        if len(row) > 0 and max(row) >= threshold:
            covered += 1
    return covered / len(iou)


IOUS = [[0.9, 0.2, 0.0], [0.6, 0.55, 0.1], [0.0, 0.3, 0.4], [0.7, 0.1, 0.0]]

RECALL = Exercise(
    name="detector.recall",
    title="The share of the objects that some box covers",
    lesson="22",
    reference=recall,
    cases=(
        Case("four objects, IoU 0.5", (IOUS, 0.5)),
        Case("four objects, just at 0.7", (IOUS, 0.7)),
        Case("nobody is covered that well", (IOUS, 0.95)),
        Case("one object, many boxes on it", ([[0.8, 0.8, 0.7]], 0.5)),
        Case("no box at all", ([[], []], 0.5)),
    ),
    tolerance=1e-6,
    hints=(
        "An object is covered if its best box is good enough. How many boxes cover it is all one.",
        "The best box of object g has the IoU max(iou[g]); without boxes there is none.",
        "Count the rows whose maximum is >= threshold, and divide by the number of rows.",
    ),
    solution="Recall asks from the objects' side: is there any box for this one? The share of the "
             "boxes that are good is precision, and for proposals nobody asks for it: the box head "
             "sorts out the rest.",
    mutants=(
        Mutant("of the boxes", "Recall is a share of the objects, not of the boxes.",
               lambda v, t: sum(max(column) >= t for column in zip(*v)) / max(len(v[0]), 1)),
        Mutant("> for >=", "An IoU of exactly the threshold is enough.",
               lambda v, t: recall(v, t + 1e-9)),
        Mutant("every good pair", "An object that two boxes cover is covered once.",
               lambda v, t: sum(x >= t for row in v for x in row) / len(v)),
        Mutant("mean IoU", "Count objects: the mean of the best IoUs knows no threshold.",
               lambda v, t: sum(max(row, default=0.0) for row in v) / len(v)),
    ),
)

# ---------------------------------------------------------------------------------------------
# detector.box_loss
# ---------------------------------------------------------------------------------------------


def box_loss(deltas, labels, wanted, beta):
    """deltas (R, K+1, 4): one set for each class; labels (R,), 0 is background; wanted (R, 4).

    Smooth L1 (0.5 d^2 / beta below beta, d - 0.5 beta from there on), summed over the four numbers
    of each positive box's own class, divided by the number of all R boxes."""
    total = 0.0
    for i in range(len(labels)):
        label = int(labels[i])
        if label == 0:
            continue
        for k in range(4):
            d = abs(float(deltas[i, label, k]) - float(wanted[i, k]))
            total += 0.5 * d * d / beta if d < beta else d - 0.5 * beta
    return total / len(labels)


def _boxes(labels, seed=0, spread=1.0):
    generator = torch.Generator().manual_seed(seed)
    deltas = spread * torch.randn(len(labels), 3, 4, generator=generator)
    return deltas, torch.tensor(labels), torch.randn(len(labels), 4, generator=generator)


def _smooth(deltas, labels, wanted, beta, which):
    """The sum of smooth L1 over the (box, class) pairs that `which` allows."""
    d = (deltas - wanted[:, None]).abs()
    each = torch.where(d < beta, 0.5 * d * d / beta, d - 0.5 * beta).sum(dim=2)
    allowed = torch.tensor([[bool(which(int(label), k)) for k in range(each.shape[1])]
                            for label in labels])
    return float(each[allowed].sum())


def _own(label, k):
    return label > 0 and label == k


BOX_LOSS = Exercise(
    name="detector.box_loss",
    title="The box loss, and what it is divided by",
    lesson="22",
    reference=box_loss,
    cases=(
        Case("two positives of four", (*_boxes([1, 2, 0, 0]), 1 / 9)),
        Case("one class, all positive", (*_boxes([1, 1, 1], seed=1), 1 / 9)),
        Case("only background", (*_boxes([0, 0], seed=2), 1 / 9)),
        Case("small differences: the square", (*_boxes([2, 0, 1], seed=3, spread=0.1), 4.0)),
        Case("large beta", (*_boxes([2, 0, 1, 0, 0, 1], seed=4), 1.0)),
    ),
    tolerance=1e-4,
    hints=(
        "Only boxes with a label above 0 have somewhere to go; of those, only their class's set.",
        "d = abs(deltas[i, label, k] - wanted[i, k]); square below beta, straight line from there.",
        "Sum over positives and their four numbers; divide by len(labels), background included.",
    ),
    solution="Divided by all boxes, an image with few positives weighs little, and every box that "
             "is drawn weighs alike in both terms of the head's loss. Divided by positives, one "
             "lonely positive would shout. It is also why the curve of this loss rises at first.",
    mutants=(
        Mutant("by positives", "Divide by all boxes that were drawn, background included.",
               lambda d, y, w, b: _smooth(d, y, w, b, _own) / max(int((y > 0).sum()), 1)),
        Mutant("every class's set", "Only the set of the true class is asked; the others get no "
               "gradient from this box.",
               lambda d, y, w, b: _smooth(d, y, w, b, lambda label, k: label > 0) / len(y)),
        Mutant("background too", "A background box has no true box to be moved to.",
               lambda d, y, w, b: _smooth(d, y, w, b, lambda label, k: label == k) / len(y)),
        Mutant("plain L1", "Below beta it is a square.",
               lambda d, y, w, b: _smooth(d, y, w, 1e-12, _own) / len(y)),
        Mutant("mean of the four", "The four numbers are added up, not averaged.",
               lambda d, y, w, b: _smooth(d, y, w, b, _own) / len(y) / 4),
    ),
)

# ---------------------------------------------------------------------------------------------
# detector.answers
# ---------------------------------------------------------------------------------------------


def answers(probs, min_score):
    """probs (R, K+1) of each box, background first; -> (R, K), a number for every pair of a box and
    an object class: 1 for the most likely one, 2 for the next, ...; 0 where the probability is not
    above `min_score`. No two probabilities are equal."""
    rank = torch.zeros(len(probs), probs.shape[1] - 1)
    for i in range(len(probs)):
        for k in range(1, probs.shape[1]):
            if probs[i, k] > min_score:
                rank[i, k - 1] = 1 + int((probs[:, 1:] > probs[i, k]).sum())
    return rank


def _ranks(probs, allowed):
    """The ranks among the pairs that are allowed, 0 for the others."""
    order = torch.where(allowed, probs, -1.0).flatten().argsort(descending=True, stable=True)
    rank = torch.empty(len(order))
    rank[order] = torch.arange(1.0, len(order) + 1)
    return rank.view_as(probs) * allowed


ROWS = torch.tensor([[0.1, 0.59, 0.31], [0.9, 0.04, 0.06], [0.51, 0.25, 0.24],
                     [0.05, 0.2, 0.75]])

ANSWERS = Exercise(
    name="detector.answers",
    title="Every box has an opinion on every class",
    lesson="22",
    reference=answers,
    cases=(
        Case("four boxes, above 0.05", (ROWS, 0.05)),
        Case("a box with two answers", (ROWS[:1], 0.2)),
        Case("just at the limit: not above", (ROWS[2:3], 0.25)),
        Case("nothing is likely", (ROWS, 0.8)),
        Case("three boxes, above 0.22", (ROWS[1:], 0.22)),
    ),
    tolerance=1e-6,
    hints=(
        "Column 0 is background: no answer. Each other column of each row may be one.",
        "The rank of a pair is 1 + how many pairs are more likely, over all boxes and classes.",
        "probs[:, 1:] > probs[i, k] is True for those; its sum is how many they are.",
    ),
    solution="One box may be kept as a ring and as a disc. Each is then moved by its own class's "
             "deltas, and suppression goes class by class, so both may stay to the end: AP ranks "
             "them, a score threshold hides the less likely.",
    mutants=(
        Mutant("the likeliest class alone", "A box may answer for several classes: every pair "
               "above the limit stays.",
               lambda p, t: _ranks(p[:, 1:], (p[:, 1:] > t)
                                   & (p[:, 1:] == p[:, 1:].amax(dim=1, keepdim=True)))),
        Mutant("background ranks too", "Background is no answer: it takes no place in the ranking.",
               lambda p, t: torch.stack([1 + (p > x).sum() for x in p[:, 1:].flatten()]
                                        ).view(len(p), -1) * (p[:, 1:] > t).float()),
        Mutant(">= for >", "Above the limit is wanted, not at it.",
               lambda p, t: _ranks(p[:, 1:], p[:, 1:] >= t)),
        Mutant("box by box", "One ranking for all boxes and classes of the image, not one a box.",
               lambda p, t: torch.cat([_ranks(row[None, 1:], row[None, 1:] > t) for row in p])),
        Mutant("the least likely first", "1 is the most likely.",
               lambda p, t: _ranks(1 - p[:, 1:], p[:, 1:] > t)),
    ),
)

# ---------------------------------------------------------------------------------------------
# detector.kind
# ---------------------------------------------------------------------------------------------


def kind(iou, same_class, taken):
    """What one detection is: 0 right, 1 duplicate, 2 wrong class, 3 loose mask, 4 background.

    For every object: `iou` with the detection, `same_class` (True where it is of its class) and
    `taken` (True where a better detection was right about it). It looks at the object of its class
    that it overlaps most, and at no other: from 1/2 it is right, or a duplicate. Else, from 1/2
    with any object, of the wrong class; from 1/10, a loose mask; below, background."""
    best, overlap = None, 0.0
    for g in range(len(iou)):
        if same_class[g] and iou[g] > overlap:
            best, overlap = g, iou[g]
    if best is not None and overlap >= 0.5:
        return 1 if taken[best] else 0
    most = max(iou) if len(iou) > 0 else 0.0
    if most >= 0.5:
        return 2
    return 3 if most >= 0.1 else 4


def _second_choice(iou, same_class, taken):
    """Falls to another object of its class where the best is taken."""
    free = [v if not t else 0.0 for v, t in zip(iou, taken)]
    if any(s and v >= 0.5 for v, s in zip(free, same_class)):
        return 0
    return kind(iou, same_class, taken)


KIND = Exercise(
    name="detector.kind",
    title="What kind of error is it?",
    lesson="22",
    reference=kind,
    cases=(
        Case("right", ([0.8, 0.1], [True, True], [False, False])),
        Case("somebody was there before", ([0.7, 0.0], [True, True], [True, False])),
        Case("taken, and another of its class also overlaps by half",
             ([0.6, 0.55], [True, True], [True, False])),
        Case("the mask of a disc, called a ring", ([0.9, 0.2], [False, True], [False, False])),
        Case("just at one half", ([0.5], [True], [False])),
        Case("a piece of an object", ([0.3], [True], [False])),
        Case("clutter", ([0.02, 0.0], [True, False], [False, False])),
        Case("an empty scene", ([], [], [])),
    ),
    tolerance=1e-6,
    hints=(
        "First find the object of its own class that it overlaps most.",
        "If that is by 1/2 or more: taken[best] decides between right and duplicate.",
        "Else look at all objects: max(iou) from 1/2 is 2, from 1/10 is 3, below it 4.",
    ),
    solution="No second choice: that is AP^r's rule (COCO's is another, lesson 02). A detection "
             "between two discs, of which the nearer one is taken, is a duplicate although the "
             "other one is free.",
    mutants=(
        Mutant("a second choice", "It looks at the object it overlaps most, taken or not: there is "
               "no second choice in AP^r.", _second_choice),
        Mutant("any class", "Right needs an object of its own class.",
               lambda v, s, t: kind(v, [True] * len(s), t)),
        Mutant("> for >=", "An IoU of exactly 1/2 is enough.",
               lambda v, s, t: kind([x - 1e-9 for x in v], s, t)),
        Mutant("no duplicates", "Who comes second to an object is a duplicate.",
               lambda v, s, t: kind(v, s, [False] * len(t))),
        Mutant("nothing is loose", "From an IoU of 1/10 it means an object: a loose mask.",
               lambda v, s, t: kind([x if x >= 0.5 else 0.0 for x in v], s, t)),
    ),
)

# ---------------------------------------------------------------------------------------------
# detector.widened
# ---------------------------------------------------------------------------------------------


def widened(low, high, bins):
    """Where torchvision pastes a crop of `bins` bins over the side from low to high (pixel edges):
    [first pixel, number of pixels].

    It adds one bin to each end of the crop, widens the side about its middle by (bins + 2) / bins,
    drops the fractions of both ends (towards zero), and counts from the first to the last pixel,
    both included."""
    middle, half = (low + high) / 2, (high - low) / 2 * (bins + 2) / bins
    first, last = int(middle - half), int(middle + half)
    return [first, last - first + 1]


def _widened(low, high, bins, grow=True, whole=int, both=1):
    middle = (low + high) / 2
    half = (high - low) / 2 * ((bins + 2) / bins if grow else 1)
    first, last = whole(middle - half), whole(middle + half)
    return [first, last - first + both]


WIDENED = Exercise(
    name="detector.widened",
    title="Bug hunt: the mask is two pixels too wide",
    lesson="22",
    reference=widened,
    cases=(
        Case("ten pixels, 28 bins", (5.0, 15.0, 28)),
        Case("fifty-six pixels, 28 bins", (20.0, 76.0, 28)),
        Case("a fraction of a pixel off", (5.4, 15.4, 28)),
        Case("few bins", (10.0, 24.0, 7)),
        Case("a large box", (3.0, 283.0, 28)),
    ),
    tolerance=1e-6,
    hints=(
        "Half the side grows by the factor (bins + 2) / bins; the middle stays.",
        "int() drops the fraction. first = int(middle - half), last = int(middle + half).",
        "From first to last, both included, there are last - first + 1 pixels.",
    ),
    solution="Ten pixels become twelve: widening gives 4.64 to 15.36, and counting both ends from "
             "4 to 15 adds another. The padding was meant to keep the border from being blurred "
             "away; what makes the mask too large is the last pixel counted in.",
    mutants=(
        Mutant("without the padding", "The crop gets a bin more on each side, and the side is "
               "widened to match.", lambda a, b, n: _widened(a, b, n, grow=False)),
        Mutant("edges", "Both the first and the last pixel are counted, + 1, and that is the bug.",
               lambda a, b, n: _widened(a, b, n, both=0)),
        Mutant("rounded", "The fractions are dropped, not rounded.",
               lambda a, b, n: _widened(a, b, n, whole=lambda x: math.floor(x + 0.5))),
        Mutant("one bin only", "One bin on each side: two in all.",
               lambda a, b, n: widened(a, b, 2 * n)),
    ),
)

EXERCISES = (RECALL, BOX_LOSS, ANSWERS, KIND, WIDENED)
