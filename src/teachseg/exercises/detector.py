"""Lesson 22's exercises: where objects are lost, which answers stay, rates, errors, a wide paste.

The solutions are plain loops. The library's way is in `teachseg.train` and
`teachseg.geometry.masks`; the tests hold the two equal.

Letters
    G  objects of an image
    R  boxes that the heads look at
    K  object classes; class 0 is background

Boxes are (x1, y1, x2, y2) in pixel edges.

Lesson: 22
"""

import math

import torch

from teachseg.exercises.registry import Case, Exercise, Mutant

# ---------------------------------------------------------------------------------------------
# detector.lost
# ---------------------------------------------------------------------------------------------


def lost(best, threshold):
    """best: for each step of the proposal layer, in order, the best IoU that any box of that step
    reaches with each of G objects; -> for each object the number of the first step (1, 2, ...)
    from which on no step covers it by `threshold` or more, 0 if the last step still covers it."""
    found = []
    for g in range(len(best[0])):
        step = 0
        for k in range(len(best) - 1, -1, -1):
            if best[k][g] >= threshold:
                break
            step = k + 1
        found.append(step)
    return found


# all anchors, the likeliest, these moved, after suppression; one column an object
STEPS = [[0.6, 0.5, 0.3, 0.8, 0.4, 0.6], [0.6, 0.4, 0.3, 0.2, 0.4, 0.4],
         [0.9, 0.6, 0.45, 0.1, 0.7, 0.7], [0.8, 0.3, 0.4, 0.1, 0.7, 0.2]]


def _first_miss(best, threshold):
    """The first step that does not cover it, though a later one may."""
    return [next((k + 1 for k, row in enumerate(best) if row[g] < threshold), 0)
            for g in range(len(best[0]))]


LOST = Exercise(
    name="detector.lost",
    title="At which step was the object lost?",
    lesson="22",
    reference=lost,
    cases=(
        Case("four steps, six objects, IoU 0.5", (STEPS, 0.5)),
        Case("four steps, six objects, IoU 0.7", (STEPS, 0.7)),
        Case("just at the threshold", ([[0.5], [0.5]], 0.5)),
        Case("missed, and found again by moving", ([[0.3, 0.3], [0.6, 0.2]], 0.5)),
        Case("never covered", ([[0.1], [0.2], [0.2]], 0.5)),
        Case("one step", ([[0.9, 0.1]], 0.5)),
    ),
    tolerance=1e-6,
    hints=(
        "What counts is the end: an object that the last step covers is not lost, wherever it was "
        "missed before.",
        "Go through the steps from the last to the first, until one covers the object.",
        "The step after that one is where it was lost; if no step covers it, step 1.",
    ),
    solution="Moving boxes wins objects back, so the first step that misses one says little. Ask "
             "from the end: after which step was it gone for good? That step is the one to mend: "
             "anchors, objectness, deltas or suppression.",
    mutants=(
        Mutant("the first miss", "A later step may cover it again: look from the end.",
               _first_miss),
        Mutant("> for >=", "An IoU of exactly the threshold still covers it.",
               lambda best, t: lost(best, t + 1e-9)),
        Mutant("the last that had it", "The step that lost it comes after the last that covered "
               "it.", lambda best, t: [k and k - 1 for k in lost(best, t)]),
        Mutant("steps from 0", "Steps count from 1; 0 is for those that are not lost.",
               lambda best, t: [k - 1 for k in lost(best, t)]),
        Mutant("how many steps miss it", "Not how many steps miss it, but the one that loses it.",
               lambda best, t: [sum(row[g] < t for row in best) for g in range(len(best[0]))]),
    ),
)

# ---------------------------------------------------------------------------------------------
# detector.rate
# ---------------------------------------------------------------------------------------------


def rate(step, base, warmup, milestones):
    """The learning rate of step number `step` (0, 1, 2, ...): it grows in a line, so that step 0
    has 1 / warmup of `base` and step warmup - 1 all of it (where warmup is 0, step 0 has all); and
    from each of the `milestones` on it is a tenth of what it was."""
    value = base
    if step + 1 < warmup:
        value = base * (step + 1) / warmup
    for milestone in milestones:
        if step >= milestone:
            value = value * 0.1
    return value


def _rate(step, base, warmup, milestones, first=1, reached=lambda s, m: s >= m, factor=0.1):
    warm = min(1.0, (step + first) / max(warmup, 1))
    return base * warm * factor ** sum(reached(step, m) for m in milestones)


RATE = Exercise(
    name="detector.rate",
    title="How large is the learning rate?",
    lesson="22",
    reference=rate,
    cases=(
        Case("the first step", (0, 1.0, 50, [1200])),
        Case("in the middle of the warm-up", (24, 1.0, 50, [1200])),
        Case("warmed up", (49, 1.0, 50, [1200])),
        Case("long before the milestone", (600, 1.0, 50, [1200])),
        Case("at the milestone", (1200, 1.0, 50, [1200])),
        Case("after two of them", (850, 4.0, 50, [600, 800])),
        Case("no warm-up", (0, 0.5, 0, [10])),
    ),
    tolerance=1e-6,
    hints=(
        "Two factors that have nothing to do with each other: the warm-up's and the milestones'.",
        "The warm-up's factor is (step + 1) / warmup, and never more than 1.",
        "Then a tenth for each milestone with step >= milestone.",
    ),
    solution="The large rate would throw untrained heads out of the window, so it grows first. At "
             "the milestone the loss drops within some hundred steps: large steps had jumped from "
             "one side of the valley to the other.",
    mutants=(
        Mutant("step 0 learns nothing", "Step 0 is the first of the warm-up: it has 1 / warmup.",
               lambda s, b, w, m: _rate(s, b, w, m, first=0) if w else rate(s, b, w, m)),
        Mutant("after the milestone", "From the milestone on: at step = milestone it is a tenth.",
               lambda s, b, w, m: _rate(s, b, w, m, reached=lambda s, m: s > m)),
        Mutant("one milestone only", "Every milestone that was passed takes another tenth.",
               lambda s, b, w, m: _rate(s, b, w, m[:1])),
        Mutant("half", "A tenth, not a half.", lambda s, b, w, m: _rate(s, b, w, m, factor=0.5)),
        Mutant("no ceiling", "The warm-up ends: its factor is never more than 1.",
               lambda s, b, w, m: rate(s, b, 0, m) * (s + 1) / max(w, 1)),
    ),
)

# ---------------------------------------------------------------------------------------------
# detector.answers
# ---------------------------------------------------------------------------------------------


def answers(probs, min_score):
    """probs (R, K+1) of each box, background first; -> (R, K), a number for every pair of a box and
    an object class: 1 for the most likely pair of all, 2 for the next, ...; 0 where the probability
    is not above `min_score`. No two probabilities are equal."""
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

EXERCISES = (LOST, ANSWERS, RATE, KIND, WIDENED)
