"""Lesson 06's exercises: clip, the best of each level, suppression, groups kept apart, recall.

The solutions are plain loops. The library's way is in `teachseg.geometry.boxes`,
`teachseg.geometry.nms` and `teachseg.layers.rpn`; the tests hold the two equal.

Letters
    A  anchors of an image
    G  objects in it
    N  boxes
    P  proposals, the best first

Boxes are (x1, y1, x2, y2) in image pixels.

Lesson: 06
"""

import torch

from teachseg.exercises.registry import Case, Exercise, Mutant

# ---------------------------------------------------------------------------------------------
# proposals.clip
# ---------------------------------------------------------------------------------------------


def clip(box, height, width):
    """A box (x1, y1, x2, y2), cut off at the border of an image of height x width pixels."""
    x1, y1, x2, y2 = box
    return [min(max(x1, 0), width), min(max(y1, 0), height),
            min(max(x2, 0), width), min(max(y2, 0), height)]


def _shifted(box, height, width):
    """The box pushed back into the image as a whole."""
    x1, y1, x2, y2 = box
    right = -x1 if x1 < 0 else min(width - x2, 0)
    down = -y1 if y1 < 0 else min(height - y2, 0)
    return [x1 + right, y1 + down, x2 + right, y2 + down]


CLIP = Exercise(
    name="proposals.clip",
    title="Cut a box off at the border of the image",
    lesson="06",
    reference=clip,
    cases=(
        Case("inside: nothing happens", ((10, 20, 30, 40), 100, 100)),
        Case("over the left and the upper border", ((-5, -8, 30, 40), 100, 100)),
        Case("over the right and the lower border", ((60, 70, 130, 140), 100, 100)),
        Case("an image that is wider than high", ((120, 50, 210, 90), 80, 200)),
        Case("larger than the image", ((-10, -10, 300, 300), 60, 90)),
        Case("wholly outside: no area is left", ((-40, 10, -20, 30), 100, 100)),
        Case("fractions stay", ((-0.5, 0.25, 99.75, 100.5), 100, 100)),
    ),
    tolerance=1e-6,
    hints=(
        "The border lies at x = 0 and x = width, y = 0 and y = height: these are edges, not "
        "pixels.",
        "Each of the four numbers is held between two others. Which two for x1, and which for y2?",
        "min(max(x, 0), width) for both x, min(max(y, 0), height) for both y.",
    ),
    solution="Boxes are given by edges here, so the last one is width and not width - 1: a box "
             "over the whole image is (0, 0, width, height). A box that lies outside becomes one "
             "of no area on the border, and the next step drops it.",
    mutants=(
        Mutant("height and width swapped", "x ends at the width and y at the height: an image "
               "that is not square tells the two apart.",
               lambda box, height, width: clip(box, width, height)),
        Mutant("to the last pixel", "The far border is at width and height. width - 1 is the "
               "left edge of the last pixel, and belongs to boxes that count pixels.",
               lambda box, height, width: clip(box, height - 1, width - 1)),
        Mutant("never below 0 alone", "Only the near border was looked at: the far sides must not "
               "pass width and height.",
               lambda box, height, width: [max(edge, 0) for edge in box]),
        Mutant("far border alone", "Only the far border was looked at: no side may be below 0.",
               lambda box, height, width: [min(edge, side) for edge, side in
                                           zip(box, (width, height, width, height))]),
        Mutant("pushed back", "The box was moved into the image as a whole. What lies outside is "
               "cut off; the other sides stay where they are.", _shifted),
        Mutant("whole pixels", "Nothing is rounded: a proposal keeps its fractions.",
               lambda box, height, width: [float(int(edge)) for edge in
                                           clip(box, height, width)]),
    ),
)

# ---------------------------------------------------------------------------------------------
# proposals.best
# ---------------------------------------------------------------------------------------------


def best(logits, sizes, most):
    """Which anchors are looked at: 1 or 0 for each of the logits.

    The first sizes[0] logits are of level 0, the next sizes[1] of level 1, and so on. Of each
    level the `most` likeliest are taken, or all where it has fewer; of equal ones the earlier.
    """
    chosen, start = [0] * len(logits), 0
    for size in sizes:
        level = sorted(range(start, start + size), key=lambda i: -logits[i])
        for i in level[:most]:
            chosen[i] = 1
        start += size
    return chosen


BEST = Exercise(
    name="proposals.best",
    title="The likeliest anchors of each level",
    lesson="06",
    reference=best,
    cases=(
        Case("one level", ([0.3, 2.0, -1.0, 0.9], [4], 2)),
        Case("two levels", ([0.1, 0.9, 0.5, 0.3, 0.2, 0.8], [4, 2], 1)),
        Case("a level of low logits has its say", ([3.0, 2.0, 4.0, -5.0, -6.0, -4.0], [3, 3], 2)),
        Case("a level with fewer", ([1.0, 0.0, 3.0, 2.0, 5.0], [4, 1], 3)),
        Case("all below 0", ([-3.0, -1.0, -2.0, -9.0, -7.0, -8.0], [3, 3], 1)),
        Case("equal ones: the earlier", ([1.0, 1.0, 1.0, 2.0, 2.0], [3, 2], 1)),
    ),
    tolerance=1e-6,
    hints=(
        "Levels follow one another: where does the second begin in the long list?",
        "Keep a running `start`. Sort the places start, ..., start + size - 1 by their logit, the "
        "largest first, and mark the first `most`.",
        "sorted(range(start, start + size), key=lambda i: -logits[i])[:most] are the places.",
    ),
    solution="Taken over all levels at once, the level with the most anchors, or the surest one, "
             "takes all places. Large objects live on levels with few anchors and have to be "
             "looked for there. And an index within a level is not one within the list: add the "
             "level's start.",
    mutants=(
        Mutant("over all levels", "The likeliest of all levels together were taken. Each level "
               "has its own `most`.",
               lambda logits, sizes, most: best(logits, [sum(sizes)], most * len(sizes))),
        Mutant("the start forgotten", "The places were counted within their level. In the long "
               "list, level 1 begins behind level 0: add the level's start.",
               lambda logits, sizes, most: [
                   int(any(i == k - start for start, size in _levels(sizes)
                           for k in range(start, start + size)
                           if best(logits, sizes, most)[k])) for i in range(len(logits))]),
        Mutant("the unlikeliest", "Those are the smallest logits: sort with the largest first.",
               lambda logits, sizes, most: best([-x for x in logits], sizes, most)),
        Mutant("above 0", "A logit above 0 says an object is more likely than not. Here a number "
               "of anchors is asked for, however likely they are.",
               lambda logits, sizes, most: [int(x > 0) for x in logits]),
        Mutant("the first ones", "The first of each level were taken, without a look at their "
               "logits.",
               lambda logits, sizes, most: best([0] * len(logits), sizes, most)),
        Mutant("the later of equals", "Of equal logits the earlier is taken.",
               lambda logits, sizes, most: best([x + 1e-9 * i for i, x in enumerate(logits)],
                                                sizes, most)),
    ),
)


def _levels(sizes):
    """(start, size) of each level."""
    return [(sum(sizes[:k]), size) for k, size in enumerate(sizes)]


# ---------------------------------------------------------------------------------------------
# proposals.nms
# ---------------------------------------------------------------------------------------------


def nms(boxes, scores, threshold):
    """Which boxes stay: 1 or 0 for each, in the order in which they came.

    The best box stays and drops all later ones that it overlaps with an IoU of more than the
    threshold; then the best that is left, and so on. Of equal scores the earlier goes first.
    """
    stays = [0] * len(boxes)
    for i in sorted(range(len(boxes)), key=lambda k: -scores[k]):
        free = True
        for j in range(len(boxes)):
            if stays[j]:
                wide = min(boxes[i][2], boxes[j][2]) - max(boxes[i][0], boxes[j][0])
                high = min(boxes[i][3], boxes[j][3]) - max(boxes[i][1], boxes[j][1])
                common = max(wide, 0) * max(high, 0)
                both = 0
                for x1, y1, x2, y2 in (boxes[i], boxes[j]):
                    both += (x2 - x1) * (y2 - y1)
                if common / (both - common) > threshold:
                    free = False
        stays[i] = int(free)
    return stays


def _overlap(one, other, of="union"):
    """IoU of two boxes, or the common area as a share of the smaller one."""
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    common = max(wide, 0) * max(high, 0)
    areas = [(x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in (one, other)]
    return common / (sum(areas) - common if of == "union" else min(areas))


def _nms_with(boxes, scores, threshold, key=None, over=None, by_all=False, of="union"):
    """`nms` with one thing changed."""
    key = key or (lambda k: -scores[k])
    over = over or (lambda iou: iou > threshold)
    stays, seen = [0] * len(boxes), []
    for i in sorted(range(len(boxes)), key=key):
        stays[i] = int(not any(over(_overlap(boxes[i], boxes[j], of)) for j in seen))
        if stays[i] or by_all:
            seen.append(i)
    return stays


FIVE = ((0, 0, 12, 12), (3, 0, 15, 12), (6, 0, 18, 12), (0, 4, 12, 16), (24, 2, 36, 14))
FIVE_SCORES = (0.9, 0.8, 0.7, 0.6, 0.75)

NMS = Exercise(
    name="proposals.nms",
    title="Of boxes on the same spot keep the best",
    lesson="06",
    reference=nms,
    cases=(
        Case("the five boxes, at 0.55", (FIVE, FIVE_SCORES, 0.55)),
        Case("an overlap of just the threshold", (FIVE, FIVE_SCORES, 0.5)),
        Case("a lower threshold", (FIVE, FIVE_SCORES, 0.3)),
        Case("the worst stands first", (FIVE[::-1], (0.1, 0.4, 0.2, 0.5, 0.3), 0.4)),
        Case("equal scores: the earlier", (((0, 0, 10, 10), (1, 0, 11, 10), (2, 0, 12, 10),
                                            (3, 0, 13, 10)), (0.5, 0.5, 0.5, 0.5), 0.7)),
        Case("a small box inside a large one", (((0, 0, 20, 20), (5, 5, 10, 10)),
                                                (0.9, 0.8), 0.5)),
        Case("scores below 0", (((0, 0, 8, 8), (1, 0, 9, 8), (2, 0, 10, 8)),
                                (-3.0, -1.0, -2.0), 0.5)),
    ),
    tolerance=1e-6,
    hints=(
        "Go through the boxes from the best score to the worst. Whom do you compare each with?",
        "A box stays unless one that *stayed* before it overlaps it by more than the threshold. "
        "What was dropped drops nobody.",
        "for i in sorted(range(N), key=lambda k: -scores[k]): stays[i] = 1 unless some j with "
        "stays[j] has IoU(i, j) > threshold. A stable sort puts the earlier of equals first.",
    ),
    solution="The usual mistake is to let a dropped box drop others: everything with a better "
             "neighbour goes. Then B, dropped by A, would take C with it, which overlaps A by a "
             "third only and may be another object. Next comes >= for >: an overlap of exactly "
             "the threshold is kept.",
    mutants=(
        Mutant("the dropped drop, too", "A box that was dropped drops others in your answer. Only "
               "those that stay may.",
               lambda b, s, t: _nms_with(b, s, t, by_all=True)),
        Mutant(">= for >", "An overlap of exactly the threshold is kept: drop what is larger.",
               lambda b, s, t: _nms_with(b, s, t, over=lambda iou: iou >= t)),
        Mutant("in the order given", "The boxes are taken in the order in which they came: begin "
               "with the best score.", lambda b, s, t: _nms_with(b, s, t, key=lambda k: k)),
        Mutant("the worst first", "The worst box goes first and drops the better ones: sort with "
               "the largest score first.",
               lambda b, s, t: _nms_with(b, s, t, key=lambda k: s[k])),
        Mutant("share of the smaller", "The common area is divided by that of the smaller box, so "
               "a small object in front of a large one goes. IoU divides by the union.",
               lambda b, s, t: _nms_with(b, s, t, of="smaller")),
        Mutant("the dropped are marked", "1 means that a box stays, 0 that it goes.",
               lambda b, s, t: [1 - one for one in nms(b, s, t)]),
        Mutant("the later of equals", "Of equal scores the earlier goes first; turning a sorted "
               "list round puts the later first.",
               lambda b, s, t: _nms_with(b, s, t, key=lambda k: (-s[k], -k))),
    ),
)

# ---------------------------------------------------------------------------------------------
# proposals.apart
# ---------------------------------------------------------------------------------------------


def apart(boxes, groups):
    """Boxes (N, 4), moved so far that those of two groups never overlap.

    groups has one number 0, 1, 2, ... a box. A box of group g goes right and down by g times (the
    largest of all coordinates - the smallest of all + 1).
    """
    span = boxes.max() - boxes.min() + 1
    moved = boxes.clone()
    for i, group in enumerate(groups):
        moved[i] += group * span
    return moved


def _moved(boxes, groups, by, columns=(0, 1, 2, 3)):
    """Boxes moved by another step, or in some coordinates alone."""
    moved = boxes.clone()
    for i, group in enumerate(groups):
        for column in columns:
            moved[i, column] += group * by
    return moved


_INSIDE = torch.tensor([[0.0, 0.0, 10.0, 10.0], [1.0, 0.0, 11.0, 10.0], [2.0, 3.0, 9.0, 20.0]])
_HANGING = torch.tensor([[-11.0, -11.0, -1.0, -1.0], [0.0, 0.0, 10.0, 10.0],
                         [-30.0, 4.0, 10.0, 9.0]])

APART = Exercise(
    name="proposals.apart",
    title="One suppression for several groups (a bug hunt)",
    lesson="06",
    reference=apart,
    cases=(
        Case("two groups inside the image", (_INSIDE, [0, 1, 0])),
        Case("boxes that hang over the border", (_HANGING, [1, 0, 0])),
        Case("all of one group: nothing moves", (_INSIDE, [0, 0, 0])),
        Case("a group without boxes in between", (_INSIDE, [0, 3, 1])),
        Case("far from the origin", (_INSIDE + 500, [2, 1, 0])),
        Case("all left of the origin", (_HANGING[:1].repeat(2, 1), [0, 1])),
    ),
    tolerance=1e-4,
    hints=(
        "How far must a group move so that even its leftmost box lies right of everything in the "
        "group before?",
        "From the smallest coordinate of all to the largest: that is the span. A step of the span "
        "is enough, and 1 more keeps edges from touching.",
        "span = boxes.max() - boxes.min() + 1, then boxes + groups * span, all four columns.",
    ),
    solution="max + 1 is what torchvision adds, and it is enough as long as no coordinate is below "
             "0, which its documentation asks for. A box from -11 to -1 of group 1 then lands on "
             "0 to 10, where a box of group 0 lies, and one of the two is dropped. Clip first, or "
             "take the whole span.",
    mutants=(
        Mutant("the largest coordinate", "With a step of the largest coordinate + 1, boxes below 0 "
               "fall back onto the group before: the step has to be the whole span.",
               lambda b, g: _moved(b, g, b.max() + 1)),
        Mutant("without the 1", "Exactly the span apart, the far edge of one group touches the "
               "near edge of the next: add 1.", lambda b, g: _moved(b, g, b.max() - b.min())),
        Mutant("to the right alone", "The boxes were moved in x alone. That keeps groups apart, "
               "too; here both axes are asked for.",
               lambda b, g: _moved(b, g, b.max() - b.min() + 1, columns=(0, 2))),
        Mutant("by the group's number", "The boxes were moved by g pixels. They are larger than "
               "that, and go on overlapping.", lambda b, g: _moved(b, g, 1)),
        Mutant("stretched", "Only the far corners were moved: the boxes grew.",
               lambda b, g: _moved(b, g, b.max() - b.min() + 1, columns=(2, 3))),
        Mutant("one group too far", "Group 0 stays where it is: g times the span, not g + 1 "
               "times.", lambda b, g: _moved(b, [k + 1 for k in g], b.max() - b.min() + 1)),
    ),
)

# ---------------------------------------------------------------------------------------------
# proposals.recall
# ---------------------------------------------------------------------------------------------


def recall(iou, threshold):
    """Recall with the k best proposals, for k = 1, 2, ..., P.

    iou is (G, P): G objects, P proposals, the best first. An object is covered by the k best if
    one of them has an IoU of the threshold or more with it; recall is the share of such objects.
    """
    objects, proposals = iou.shape
    curve = []
    for k in range(1, proposals + 1):
        hit = 0
        for g in range(objects):
            if max(float(iou[g, p]) for p in range(k)) >= threshold:
                hit += 1
        curve.append(hit / objects)
    return curve


_TABLE = torch.tensor([[0.1, 0.9, 0.6, 0.0, 0.8], [0.2, 0.0, 0.1, 0.5, 0.3],
                       [0.75, 0.1, 0.0, 0.0, 0.0]])

RECALL = Exercise(
    name="proposals.recall",
    title="Recall against the number of proposals",
    lesson="06",
    reference=recall,
    cases=(
        Case("three objects, five boxes, at 0.7", (_TABLE, 0.7)),
        Case("an IoU of just the threshold", (_TABLE, 0.5)),
        Case("one box", (_TABLE[:, :1], 0.5)),
        Case("one object, covered again and again", (_TABLE[:1], 0.5)),
        Case("one box covers two objects", (torch.tensor([[0.0, 0.75], [0.5, 0.75]]), 0.5)),
        Case("more objects than boxes", (_TABLE[:, 1:3], 0.5)),
    ),
    tolerance=1e-6,
    hints=(
        "Recall asks the objects: how many of them have some box? Ask that for one k first.",
        "The k best boxes are the first k columns. An object counts if the largest IoU of its row "
        "among these reaches the threshold.",
        "For each k: count the rows with max(iou[g, :k]) >= threshold, divided by G.",
    ),
    solution="A curve of recall never falls: a further box can cover a further object, and takes "
             "none away. If yours falls, it asks the boxes instead of the objects, or only the "
             "k-th of them.",
    mutants=(
        Mutant("of the boxes", "That is the share of the boxes that cover something: precision. "
               "Recall asks the objects.",
               lambda iou, t: [float((iou[:, :k] >= t).any(dim=0).float().mean())
                               for k in range(1, iou.shape[1] + 1)]),
        Mutant("the k-th alone", "Only the k-th box was asked. With k boxes, all of them count.",
               lambda iou, t: [float((iou[:, k] >= t).float().mean())
                               for k in range(iou.shape[1])]),
        Mutant("> for >=", "An IoU of exactly the threshold covers: >=.",
               lambda iou, t: [float((iou[:, :k].amax(dim=1) > t).float().mean())
                               for k in range(1, iou.shape[1] + 1)]),
        Mutant("counted, not divided", "These are numbers of objects: divide by how many there "
               "are.", lambda iou, t: [iou.shape[0] * x for x in recall(iou, t)]),
        Mutant("hits of boxes counted", "An object that is covered by several boxes counts once.",
               lambda iou, t: [float((iou[:, :k] >= t).sum()) / iou.shape[0]
                               for k in range(1, iou.shape[1] + 1)]),
        Mutant("from the last", "The best box stands first: begin at column 0.",
               lambda iou, t: recall(iou.flip(1), t)),
    ),
)

EXERCISES = (CLIP, BEST, NMS, APART, RECALL)
