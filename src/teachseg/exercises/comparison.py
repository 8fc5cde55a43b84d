"""Lesson 40's exercises: fill of a box, boxes that suppress each other, an object's fate, speed.

The solutions are plain loops. The library's way is in `teachseg.mistakes` and
`teachseg.geometry.nms`; the tests hold the two equal.

Letters
    G     objects of an image
    H, W  height and width of the image, in pixels

Boxes are (x1, y1, x2, y2) in pixel edges.

Lesson: 40
"""

import torch

from teachseg.exercises.registry import Case, Exercise, Mutant

# ---------------------------------------------------------------------------------------------
# compare.fill
# ---------------------------------------------------------------------------------------------


def fill(masks, k):
    """masks (G, H, W) of 0 and 1, no pixel in two of them; of object k: [the share of its tight box
    that is its own, the share that is other objects']."""
    rows = [i for i in range(masks.shape[1]) if masks[k][i].any()]
    columns = [j for j in range(masks.shape[2]) if masks[k][:, j].any()]
    inside = masks[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    area = inside.shape[1] * inside.shape[2]
    own = float(inside[k].sum())
    return [own / area, (float(inside.sum()) - own) / area]


def _scene(*boxes, size=12):
    """Objects painted back to front, each a rectangle."""
    masks = torch.zeros(len(boxes), size, size)
    for k, (x1, y1, x2, y2) in enumerate(boxes):
        masks[:, y1:y2, x1:x2] = 0
        masks[k, y1:y2, x1:x2] = 1
    return masks


def _cross():
    """A lying bar and a standing one over it."""
    return _scene((1, 5, 11, 7), (5, 1, 7, 11))


def _stair():
    """An object in two blocks, corner to corner; another one in one of the empty quarters."""
    masks = torch.zeros(2, 12, 12)
    masks[0, 0:4, 0:4] = masks[0, 4:8, 4:8] = 1
    masks[1, 0:2, 4:8] = 1
    return masks


FILL = Exercise(
    name="compare.fill",
    title="How much of a box is the object's",
    lesson="40",
    reference=fill,
    cases=(
        Case("alone: all of it", (_scene((2, 3, 6, 9)), 0)),
        Case("the bar in front", (_cross(), 1)),
        Case("the bar behind, cut in two", (_cross(), 0)),
        Case("a frame around another", (_scene((1, 1, 11, 11), (3, 3, 9, 9)), 0)),
        Case("what lies inside it", (_scene((1, 1, 11, 11), (3, 3, 9, 9)), 1)),
        Case("half covered", (_scene((0, 0, 8, 8), (4, 0, 12, 8)), 0)),
        Case("two steps of a stair, and another beside them", (_stair(), 0)),
    ),
    tolerance=1e-5,
    hints=(
        "The tight box: the first and last row and column in which the object has a pixel.",
        "Cut all masks to that box. Its area is its height times its width.",
        "Own share: sum of mask k there / area. Others': (sum of all masks there - own) / area.",
    ),
    solution="A box is asked for one object, and holds what it holds: of the frame's box 64 % are "
             "its own, 36 % are another's. The mask head has to tell them apart inside the crop; "
             "where the other's share is larger than the own, the box is more the other's.",
    mutants=(
        Mutant("of the image", "The shares are of the object's box, not of the whole image.",
               lambda m, k: [float(m[k].mean()), float(m.sum() - m[k].sum()) / m[k].numel()]),
        Mutant("the rest is others'", "Not all that is not the object's is another object's: some "
               "of it is background.", lambda m, k: [fill(m, k)[0], 1 - fill(m, k)[0]]),
        Mutant("the others' own share", "Of the box, not of the other objects: divide by the "
               "area of the box.",
               lambda m, k: [fill(m, k)[0], fill(m, k)[1] * _area(m, k)
                             / max(float(m.sum() - m[k].sum()), 1.0)]),
    ),
)


def _area(masks, k):
    own = float(masks[k].sum())
    return own / fill(masks, k)[0]


# ---------------------------------------------------------------------------------------------
# compare.survivors
# ---------------------------------------------------------------------------------------------


def survivors(boxes, labels, threshold):
    """Objects' own boxes (G, 4), best first, and their classes: how many are left when each removes
    the later ones of its class that it overlaps with an IoU of more than `threshold`?"""
    kept = []
    for k in range(len(boxes)):
        x1, y1, x2, y2 = boxes[k]
        free = True
        for j in kept:
            wide = min(x2, boxes[j][2]) - max(x1, boxes[j][0])
            high = min(y2, boxes[j][3]) - max(y1, boxes[j][1])
            common = max(wide, 0) * max(high, 0)
            other = (boxes[j][2] - boxes[j][0]) * (boxes[j][3] - boxes[j][1])
            iou = common / ((x2 - x1) * (y2 - y1) + other - common)
            if labels[k] == labels[j] and iou > threshold:
                free = False
        if free:
            kept.append(k)
    return len(kept)


def _iou(a, b):
    wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    common = max(wide, 0) * max(high, 0)
    return common / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common)


def _left(boxes, labels, goes):
    """How many are left where `goes(j, k)` says that j removes k."""
    kept = []
    for k in range(len(boxes)):
        if not any(goes(j, k) for j in kept):
            kept.append(k)
    return len(kept)


X = [[0.0, 0, 40, 40], [4.0, 0, 40, 36], [2.0, 2, 38, 44]]  # three bars that cross

SURVIVORS = Exercise(
    name="compare.survivors",
    title="Objects that suppression cannot keep",
    lesson="40",
    reference=survivors,
    cases=(
        Case("two crossing bars of a class", (X[:2], [1, 1], 0.5)),
        Case("of two classes", (X[:2], [1, 2], 0.5)),
        Case("three of a class", (X, [3, 3, 3], 0.5)),
        Case("two of one, one of another", (X, [3, 1, 3], 0.5)),
        Case("side by side", ([[0.0, 0, 10, 10], [10.0, 0, 20, 10]], [1, 1], 0.3)),
        Case("just at the threshold", ([[0.0, 0, 10, 10], [0.0, 0, 10, 5]], [1, 1], 0.5)),
        Case("a chain: the middle one goes, the last stays",
             ([[0.0, 0, 10, 10], [3.0, 0, 13, 10], [6.0, 0, 16, 10]], [1, 1, 1], 0.4)),
        Case("MNC's limit", ([[0.0, 0, 10, 10], [5.0, 0, 15, 10]], [1, 1], 0.3)),
    ),
    tolerance=1e-6,
    hints=(
        "Go from the best to the worst. Who could remove this one? Only those that were kept.",
        "Only one of the same class, and only if the IoU is more than the threshold.",
        "Append k to `kept` unless some j in `kept` has its label and an IoU above `threshold`.",
    ),
    solution="These are the true boxes, with every score perfect, and still objects are lost: two "
             "bars that cross have nearly the same box. No training can mend that; masks whose "
             "suppression compares masks can, or no boxes at all.",
    mutants=(
        Mutant("across classes", "Only boxes of the same class remove each other: suppression is "
               "done class by class.",
               lambda b, c, t: _left(b, c, lambda j, k: _iou(b[j], b[k]) > t)),
        Mutant(">= for >", "At exactly the threshold a box stays: it goes if the IoU is more.",
               lambda b, c, t: _left(b, c, lambda j, k: c[j] == c[k] and _iou(b[j], b[k]) >= t)),
        Mutant("the removed remove too", "A box that was removed removes nobody: look at the kept "
               "ones alone.",
               lambda b, c, t: sum(not any(c[j] == c[k] and _iou(b[j], b[k]) > t
                                           for j in range(k)) for k in range(len(b)))),
        Mutant("how many go", "Wanted is how many are left, not how many go.",
               lambda b, c, t: len(b) - survivors(b, c, t)),
    ),
)

# ---------------------------------------------------------------------------------------------
# compare.fate
# ---------------------------------------------------------------------------------------------


def fate(iou, right_class, covered, covers_others):
    """What became of one object: 0 found, 1 wrong class, 2 merged, 3 loose mask, 4 missed.

    For every detection: `iou` with the object, `right_class` (True where it is of its class),
    `covered`, the share of the object that it covers, and `covers_others`, how many other objects
    it covers by half or more. The order of the questions: found, wrong class (both from an IoU of
    1/2), merged (covers half of this one and of another), loose mask (IoU from 1/10), missed.
    """
    if any(v >= 0.5 and ok for v, ok in zip(iou, right_class)):
        return 0
    if any(v >= 0.5 for v in iou):
        return 1
    if any(share >= 0.5 and n >= 1 for share, n in zip(covered, covers_others)):
        return 2
    if any(v >= 0.1 for v in iou):
        return 3
    return 4


def _merged_first(iou, right_class, covered, covers_others):
    if any(share >= 0.5 and n >= 1 for share, n in zip(covered, covers_others)):
        return 2
    return fate(iou, right_class, covered, covers_others)


FATE = Exercise(
    name="compare.fate",
    title="What became of an object",
    lesson="40",
    reference=fate,
    cases=(
        Case("found", ([0.8, 0.1], [True, True], [0.9, 0.2], [0, 0])),
        Case("found, though the mask swallows another", ([0.6], [True], [1.0], [1])),
        Case("one of another class", ([0.7, 0.3], [False, True], [0.8, 0.3], [0, 0])),
        Case("two in one mask", ([0.45], [True], [0.95], [1])),
        Case("well covered, but by a mask far too large", ([0.3], [True], [0.9], [0])),
        Case("a piece", ([0.4], [True], [0.4], [0])),
        Case("just at 1/2", ([0.5], [True], [0.5], [0])),
        Case("hardly touched", ([0.05], [True], [0.05], [0])),
        Case("no detection", ([], [], [], [])),
    ),
    tolerance=1e-6,
    hints=(
        "Ask the questions in their order; the first that is answered yes names the fate.",
        "Found needs one detection with an IoU of at least 1/2 that is of the right class.",
        "any(v >= 0.5 and ok for v, ok in zip(iou, right_class)); the others likewise.",
    ),
    solution="The order matters. A mask with an IoU of 0.6 that swallows a small neighbour has "
             "found its object; the neighbour is merged. Ask for merged first, and both are.",
    mutants=(
        Mutant("merged first", "A mask that fits by half has found its object, though it may cover "
               "another one as well: ask for merged after found.", _merged_first),
        Mutant("> for >=", "An IoU of exactly 1/2 is enough.",
               lambda i, r, c, o: fate([v - 1e-6 for v in i], r, c, o)),
        Mutant("any class", "Found needs the right class.",
               lambda i, r, c, o: fate(i, [True] * len(i), c, o)),
        Mutant("covered is merged", "Merged needs another object under the same mask: alone, it is "
               "loose.", lambda i, r, c, o: fate(i, r, c, [1] * len(o))),
        Mutant("nothing is loose", "From an IoU of 1/10 on a detection means the object: loose "
               "mask.", lambda i, r, c, o: fate([v if v >= 0.5 else 0.0 for v in i], r, c, o)),
    ),
)

# ---------------------------------------------------------------------------------------------
# compare.speedup
# ---------------------------------------------------------------------------------------------


def speedup(seconds, part, factor):
    """`seconds` of each part of a prediction, by name; how many times as fast is the whole if one
    `part` becomes `factor` times as fast?"""
    whole = sum(seconds.values())
    return whole / (whole - seconds[part] + seconds[part] / factor)


TIMES = {"network": 12.0, "proposals": 1.0, "box branch": 4.0, "mask branch": 3.0}

SPEEDUP = Exercise(
    name="compare.speedup",
    title="What a faster part is worth",
    lesson="40",
    reference=speedup,
    cases=(
        Case("the network twice as fast", (TIMES, "network", 2.0)),
        Case("proposals a hundred times", (TIMES, "proposals", 100.0)),
        Case("a part that is all", ({"network": 3.0}, "network", 4.0)),
        Case("nothing changes", (TIMES, "mask branch", 1.0)),
        Case("slower", (TIMES, "box branch", 0.5)),
    ),
    tolerance=1e-6,
    hints=(
        "The other parts take as long as before.",
        "New time: the whole, less the part, and the part divided by the factor.",
        "Old time / new time.",
    ),
    solution="Amdahl's law: with 12 of 20 ms in the network, the network twice as fast gives 20 / "
             "14 = 1.43; proposals a hundred times as fast give 1.05. Measure parts before you "
             "make one faster.",
    mutants=(
        Mutant("the factor itself", "Only one part becomes faster; the others stay as they are.",
               lambda s, p, f: f),
        Mutant("share of the factor", "Times add up, factors do not: compute the new time first.",
               lambda s, p, f: 1 + (f - 1) * s[p] / sum(s.values())),
        Mutant("upside down", "How many times as fast: old time / new time.",
               lambda s, p, f: 1 / speedup(s, p, f)),
    ),
)

EXERCISES = (SPEEDUP, FATE, FILL, SURVIVORS)
