"""Lesson 14's exercises: anchors and work counted, recall, AP^r from its rule to its number.

The solutions are what a learner would write: plain loops over one image or one class, slow and
plain. `teachseg.papers.mnc`, `teachseg.evaluate` and `teachseg.decoding.voting` hold the library's
way; the tests hold the two equal.

Letters
    P     proposals
    N     boxes that may become detections
    D, G  detections and objects of one class
    K     object classes; class 0 is background

Boxes are (x1, y1, x2, y2) in image pixels.

Lesson: 14
"""


import torch

from teachseg.exercises.registry import Case, Exercise, Mutant

# ---------------------------------------------------------------------------------------------
# mnc.anchors
# ---------------------------------------------------------------------------------------------


def count_anchors(height, width):
    """How many anchors MNC looks at in an image of height x width pixels.

    The image is resized: its shorter side to 600, or to less where the longer one would exceed
    1000. Then four poolings halve each side, rounding up. At every cell stand nine anchors.
    """
    scale = min(600 / min(height, width), 1000 / max(height, width))
    count = 9
    for side in (height, width):
        cells = int(side * scale)
        for _ in range(4):
            cells = (cells + 1) // 2
        count *= cells
    return count


def _anchors_with(height, width, scale=None, up=1, times=4, per_cell=9):
    """`count_anchors` with one thing changed."""
    if scale is None:
        scale = min(600 / min(height, width), 1000 / max(height, width))
    count = per_cell
    for side in (height, width):
        cells = int(side * scale)
        for _ in range(times):
            cells = (cells + up) // 2
        count *= cells
    return count


ANCHORS = Exercise(
    name="mnc.anchors",
    title="How many anchors does an image have?",
    lesson="14",
    reference=count_anchors,
    cases=(
        Case("600 x 1000, as it is", (600, 1000)),
        Case("the same on its side", (1000, 600)),
        Case("a photograph of 375 x 500", (375, 500)),
        Case("400 x 500: a side that is odd on the way", (400, 500)),
        Case("a panorama, whose longer side is what counts", (500, 2000)),
        Case("a large square", (1200, 1200)),
    ),
    tolerance=1e-6,
    hints=(
        "Three steps: to which size is the image resized, how many cells has the map, how many "
        "anchors has a cell?",
        "The scale is the smaller one of 600 / shorter side and 1000 / longer side. A pooling that "
        "rounds up makes 19 of 38 and 38 of 75.",
        "600 -> 300 -> 150 -> 75 -> 38 and 1000 -> 500 -> 250 -> 125 -> 63: 38 * 63 cells of nine "
        "anchors. The same way with the resized sides, int(side * scale).",
    ),
    solution="Two things are easily missed: half of 75 is 38 and not 37, because Caffe rounds the "
             "size of a pooled map up; and the limit of 1000 makes a panorama smaller than 600 on "
             "its shorter side. Rounding up four times is the same as rounding side / 16 up once.",
    mutants=(
        Mutant("rounded down", "Half of an odd side was rounded down. Caffe's poolings round up: "
               "75 cells become 38.", lambda h, w: _anchors_with(h, w, up=0)),
        Mutant("no limit", "The longer side may have at most 1000 pixels: a panorama is made "
               "smaller for it.", lambda h, w: _anchors_with(h, w, scale=600 / min(h, w))),
        Mutant("not resized", "The image is resized before the network sees it: its shorter side "
               "to 600.", lambda h, w: _anchors_with(h, w, scale=1)),
        Mutant("height is the shorter side", "600 is for the shorter side, which need not be the "
               "height.", lambda h, w: _anchors_with(h, w, scale=min(600 / h, 1000 / w))),
        Mutant("five poolings", "Only four poolings come before the map that is read: its stride "
               "is 16, not 32.", lambda h, w: _anchors_with(h, w, times=5)),
        Mutant("three a cell", "Three sizes and three ratios make nine anchors a cell, not three.",
               lambda h, w: _anchors_with(h, w, per_cell=3)),
    ),
)

# ---------------------------------------------------------------------------------------------
# mnc.work
# ---------------------------------------------------------------------------------------------

VGG_BEGINNING = torch.tensor([[3, 64, 0], [64, 64, 1], [64, 128, 0], [128, 128, 1]])


def conv_work(layers, height, width):
    """How many multiplications a row of 3 x 3 convolutions takes on a map of height x width cells.

    layers is (L, 3) whole numbers: channels in, channels out, and 1 where a pooling follows that
    halves both sides, rounding up; else 0. A convolution keeps the size of its map: for each cell
    and each channel out it takes 3 x 3 x (channels in) products. Poolings and biases cost nothing.
    """
    total = 0
    for channels_in, channels_out, pooled in layers.tolist():
        total += height * width * 9 * channels_in * channels_out
        if pooled:
            height, width = (height + 1) // 2, (width + 1) // 2
    return total


def _work_with(layers, height, width, taps=9, up=1, early=False, halve=True):
    """`conv_work` with one thing changed."""
    total = 0
    for channels_in, channels_out, pooled in layers.tolist():
        half = ((height + up) // 2, (width + up) // 2) if pooled and halve else (height, width)
        area = half[0] * half[1] if early else height * width
        total += area * taps * channels_in * channels_out
        height, width = half
    return total


WORK = Exercise(
    name="mnc.work",
    title="How much work is a row of convolutions?",
    lesson="14",
    reference=conv_work,
    cases=(
        Case("one layer on one cell", (torch.tensor([[2, 5, 0]]), 1, 1)),
        Case("one layer on 3 x 5 cells", (torch.tensor([[2, 5, 0]]), 3, 5)),
        Case("a pooling in between", (torch.tensor([[3, 4, 1], [4, 6, 0]]), 8, 8)),
        Case("odd sides", (torch.tensor([[3, 4, 1], [4, 6, 0]]), 7, 5)),
        Case("a pooling at the end, which nothing follows", (torch.tensor([[3, 4, 1]]), 6, 4)),
        Case("how VGG-16 begins, on a small image", (VGG_BEGINNING, 30, 50)),
        Case("no layer", (torch.zeros(0, 3, dtype=torch.int64), 30, 50)),
    ),
    tolerance=1e-6,
    hints=(
        "One number that a convolution gives is a sum. How many products are in it, and how many "
        "such numbers are there?",
        "height * width * (channels out) numbers of 9 * (channels in) products each. After a "
        "pooling the next layer has a smaller map.",
        "total += height * width * 9 * c_in * c_out, and then, where pooled, height becomes "
        "(height + 1) // 2 and width likewise.",
    ),
    solution="Channels in and channels out multiply: that is why the deep layers, on small maps, "
             "cost as much as the early ones on large maps. Halving both sides leaves a quarter of "
             "the cells; doubling both channels makes four times the products of a cell: VGG-16 "
             "keeps the two in balance.",
    mutants=(
        Mutant("kernel forgotten", "Each sum looks at 3 x 3 cells: nine products for each channel "
               "in.", lambda layers, h, w: _work_with(layers, h, w, taps=1)),
        Mutant("pooled too early", "The pooling comes after its convolution, which still works on "
               "the large map.", lambda layers, h, w: _work_with(layers, h, w, early=True)),
        Mutant("never pooled", "After a pooling the map is smaller for all layers that follow.",
               lambda layers, h, w: _work_with(layers, h, w, halve=False)),
        Mutant("rounded down", "Half of an odd side is rounded up: 7 cells become 4.",
               lambda layers, h, w: _work_with(layers, h, w, up=0)),
        Mutant("counted twice", "Multiplications alone are asked for; with the additions it is "
               "twice as many.", lambda layers, h, w: 2 * conv_work(layers, h, w)),
    ),
)

# ---------------------------------------------------------------------------------------------
# mnc.recall
# ---------------------------------------------------------------------------------------------


def proposal_recall(boxes, objects, least):
    """The share of the objects that some box covers with an IoU of at least `least`.

    boxes (P, 4) and objects (G, 4) are (x1, y1, x2, y2); G is at least 1.
    """
    covered = 0
    for a in objects.tolist():
        best = 0
        for b in boxes.tolist():
            wide = max(min(a[2], b[2]) - max(a[0], b[0]), 0)
            high = max(min(a[3], b[3]) - max(a[1], b[1]), 0)
            both = wide * high
            either = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both
            best = max(best, both / either)
        if best >= least:
            covered += 1
    return covered / len(objects)


def _ious(boxes, objects, clamp=True):
    """(P, G) overlaps; with clamp=False boxes apart in both directions seem to overlap."""
    low = torch.maximum(boxes[:, None, :2], objects[:, :2])
    sides = torch.minimum(boxes[:, None, 2:], objects[:, 2:]) - low
    both = (sides.clamp(min=0) if clamp else sides).prod(dim=2)
    areas = [(b[:, 2:] - b[:, :2]).prod(dim=1) for b in (boxes, objects)]
    return both / (areas[0][:, None] + areas[1] - both)


def _best_ious(boxes, objects, clamp=True):
    """(G,) the best overlap of each object; 0 without boxes."""
    ious = _ious(boxes, objects, clamp)
    return ious.amax(dim=0) if len(ious) else ious.new_zeros(len(objects))


LEFT, RIGHT = [0.0, 0.0, 10.0, 10.0], [20.0, 0.0, 30.0, 10.0]
SHIFTED = [5.0, 0.0, 15.0, 10.0]  # shares 50 of 150 with LEFT
SHORT = [0.0, 0.0, 10.0, 5.0]  # half of LEFT
FAR = [40.0, 30.0, 50.0, 40.0]
BESIDE = [18.0, 18.0, 28.0, 28.0]  # 8 right of LEFT and 8 below it

RECALL = Exercise(
    name="mnc.recall",
    title="Which share of the objects do the proposals cover?",
    lesson="14",
    reference=proposal_recall,
    cases=(
        Case("one of two objects", (torch.tensor([LEFT]), torch.tensor([LEFT, RIGHT]), 0.5)),
        Case("many boxes on one object",
             (torch.tensor([LEFT, SHORT, LEFT]), torch.tensor([LEFT, RIGHT]), 0.5)),
        Case("an IoU of exactly a half", (torch.tensor([SHORT]), torch.tensor([LEFT]), 0.5)),
        Case("too far beside", (torch.tensor([SHIFTED]), torch.tensor([LEFT, RIGHT, FAR]), 0.5)),
        Case("the same at a lower bar",
             (torch.tensor([SHIFTED, FAR]), torch.tensor([LEFT, RIGHT, FAR]), 0.3)),
        Case("apart in both directions", (torch.tensor([BESIDE]), torch.tensor([LEFT]), 0.2)),
        Case("the best box is not the first",
             (torch.tensor([FAR, SHIFTED, RIGHT]), torch.tensor([RIGHT, LEFT]), 0.7)),
        Case("no box at all", (torch.zeros(0, 4), torch.tensor([LEFT]), 0.5)),
    ),
    tolerance=1e-6,
    hints=(
        "Go through the objects, not the boxes: what is asked of each?",
        "For each object the best IoU that any box reaches; it counts if that is at least `least`. "
        "Boxes that are apart have an IoU of 0.",
        "wide = max(min(x2s) - max(x1s), 0), high likewise; IoU = wide * high / (the two areas - "
        "wide * high). Divide the count by the number of objects.",
    ),
    solution="Recall asks the objects. Whoever asks the boxes gets the share of good boxes, which "
             "is small for any long list of proposals and says nothing about what was missed. Ten "
             "boxes on one object still cover one object. And without max(..., 0) two negative "
             "sides make a positive area.",
    mutants=(
        Mutant("asks the boxes", "That is the share of the boxes that lie on an object. Recall is "
               "the share of the objects that have a box.",
               lambda boxes, objects, least: (
                   float((_ious(boxes, objects).amax(dim=1) >= least).float().mean())
                   if len(boxes) else 0.0)),
        Mutant("counts pairs", "Several boxes on one object count several times. An object is "
               "covered or not.",
               lambda boxes, objects, least: float(
                   (_ious(boxes, objects) >= least).sum() / len(objects))),
        Mutant("above, not from", "An IoU of exactly `least` counts: at least.",
               lambda boxes, objects, least: float(
                   (_best_ious(boxes, objects) > least).float().mean())),
        Mutant("mean overlap", "That is the mean of the best overlaps. Recall counts the objects "
               "whose best overlap reaches the bar.",
               lambda boxes, objects, least: float(_best_ious(boxes, objects).mean())),
        Mutant("sides not clamped", "Boxes that are apart in both directions have two negative "
               "sides in common, whose product is positive: take 0 for a negative side.",
               lambda boxes, objects, least: float(
                   (_best_ious(boxes, objects, clamp=False) >= least).float().mean())),
        Mutant("first box alone", "Only the first box is looked at: any of them may cover the "
               "object.",
               lambda boxes, objects, least: float(
                   (_best_ious(boxes[:1], objects) >= least).float().mean())),
    ),
)

# ---------------------------------------------------------------------------------------------
# mnc.claims
# ---------------------------------------------------------------------------------------------


def claims(ious, scores, least):
    """Which detections of one class are right, by the rule of AP^r: a 1 or a 0 for each.

    ious is (D, G), the mask IoU of each detection with each object of its class and image; scores
    (D,), all different. Best score first, each detection looks at the object that it overlaps most,
    and at no other. It is right if their IoU is at least `least` and nobody before it took that
    object. The result is in the order of the arguments.
    """
    right, taken = [0] * len(scores), set()
    for d in sorted(range(len(scores)), key=lambda d: -float(scores[d])):
        row = ious[d].tolist()
        if not row or max(row) < least:
            continue
        best = row.index(max(row))
        if best not in taken:
            taken.add(best)
            right[d] = 1
    return right


def _claims_with(ious, scores, least, order="score", second=False, again=False, above=False):
    """`claims` with one thing changed."""
    right, taken = [0] * len(scores), set()
    strength = {"score": scores, "given": -torch.arange(len(scores)).float(),
                "iou": ious.amax(dim=1) if ious.shape[1] else scores}[order]
    for d in strength.argsort(descending=True, stable=True).tolist():
        row = ious[d].clone()
        if second:
            row[list(taken)] = -1
        if not len(row) or (row.max() <= least if above else row.max() < least):
            continue
        best = int(row.argmax())
        if again or best not in taken:
            taken.add(best)
            right[d] = 1
    return right


CROWDED = torch.tensor([[0.8, 0.6], [0.9, 0.2], [0.1, 0.7]])

CLAIMS = Exercise(
    name="mnc.claims",
    title="Which detections are right, by AP^r's rule?",
    lesson="14",
    reference=claims,
    cases=(
        Case("each its own object",
             (torch.tensor([[0.8, 0.0], [0.0, 0.7]]), torch.tensor([0.9, 0.8]), 0.5)),
        Case("a duplicate", (torch.tensor([[0.8], [0.9]]), torch.tensor([0.9, 0.8]), 0.5)),
        Case("no second choice", (CROWDED, torch.tensor([0.7, 0.9, 0.5]), 0.5)),
        Case("not sorted", (torch.tensor([[0.9], [0.6]]), torch.tensor([0.3, 0.8]), 0.5)),
        Case("an IoU of exactly a half",
             (torch.tensor([[0.5, 0.25]]), torch.tensor([0.4]), 0.5)),
        Case("a loose one first takes nothing",
             (torch.tensor([[0.4], [0.75]]), torch.tensor([0.9, 0.8]), 0.5)),
        Case("an image without objects of this class",
             (torch.zeros(2, 0), torch.tensor([0.9, 0.2]), 0.5)),
    ),
    tolerance=1e-6,
    hints=(
        "In which order do they choose, and how many objects may each one look at?",
        "Keep a set of the objects that are taken. A detection whose best object is in it is a "
        "duplicate, whatever it overlaps besides.",
        "for d in the order of falling scores: best = the index of the largest ious[d]; right if "
        "ious[d][best] >= least and best is not taken; then take it.",
    ),
    solution="In VOC's rule a detection has one candidate, the object that it overlaps most. COCO "
             "lets it fall to the next best that is free, which is kinder in crowds. A detection "
             "below the bar takes nothing, so that a better fitting one after it can still be "
             "right.",
    mutants=(
        Mutant("second choice", "That is COCO's rule: here a detection whose best object is taken "
               "gets no other.", lambda i, s, t: _claims_with(i, s, t, second=True)),
        Mutant("in the order given", "They choose in the order of their scores, not in the order "
               "they came in.", lambda i, s, t: _claims_with(i, s, t, order="given")),
        Mutant("best overlap first", "The best score chooses first, not the best overlap: scores "
               "are all that a detector knows.",
               lambda i, s, t: _claims_with(i, s, t, order="iou")),
        Mutant("duplicates are right", "An object can be found once: the second detection of it is "
               "wrong.", lambda i, s, t: _claims_with(i, s, t, again=True)),
        Mutant("above, not from", "An IoU of exactly `least` is enough: at least.",
               lambda i, s, t: _claims_with(i, s, t, above=True)),
    ),
)

# ---------------------------------------------------------------------------------------------
# mnc.ap_r
# ---------------------------------------------------------------------------------------------


def ap_r(right, num_objects):
    """Average precision with 11 recalls, of one class.

    right (D,) holds a 1 for each right detection and a 0 for each wrong one, best score first, of
    all images together; num_objects, at least 1, is how many there are to find. The mean over the
    recalls 0, 0.1, ..., 1 of the best precision that is reached at this recall or a later one; 0
    where the recall is never reached.
    """
    total = 0
    for step in range(11):
        best = found = 0
        for n, one in enumerate(right.tolist(), start=1):
            found += one
            if found * 10 >= step * num_objects:
                best = max(best, found / n)
        total += best
    return total / 11


def _precisions(right):
    """(D,) precision after each detection, and how many are found by then."""
    found = right.double().cumsum(dim=0)
    return found / torch.arange(1, len(right) + 1), found


def _heights(right, num_objects, steps=10, first=0, envelope=True):
    """The precision at each recall first / steps, ..., 1."""
    precision, found = _precisions(right)
    heights = []
    for step in range(first, steps + 1):
        there = precision[found * steps >= step * num_objects]
        here = there[:1] if not envelope else there
        heights.append(float(here.max()) if len(here) else 0.0)
    return heights


def _mean(values):
    return sum(values) / len(values) if values else 0.0


def _area(right, num_objects):
    """The exact area under the envelope."""
    precision, _ = _precisions(right)
    return sum(float(precision[n:].max()) for n in range(len(right)) if right[n]) / num_objects


FOUND_3_OF_4 = torch.tensor([1, 0, 1, 1, 0])
TEN = torch.tensor([1, 1, 0, 1, 0, 0, 0])  # 3 of 10: recall 0.3 exactly

AP_R = Exercise(
    name="mnc.ap_r",
    title="From right and wrong to AP, with 11 recalls",
    lesson="14",
    reference=ap_r,
    cases=(
        Case("three of four found", (FOUND_3_OF_4, 4)),
        Case("all found, one mistake between", (torch.tensor([1, 0, 1]), 2)),
        Case("a recall of exactly 0.3", (TEN, 10)),
        Case("a late success lifts what was before", (torch.tensor([0, 0, 1, 1, 1, 1, 1]), 5)),
        Case("nothing found", (torch.zeros(0, dtype=torch.int64), 3)),
        Case("perfect", (torch.tensor([1, 1, 1]), 3)),
    ),
    tolerance=1e-6,
    hints=(
        "After n detections: which share of them is right, and which share of the objects has been "
        "found?",
        "For each recall r: of all n from which on found / num_objects >= r, take the largest "
        "precision found / n; 0 if there is none. Then the mean of the eleven.",
        "Compare whole numbers, found * 10 >= step * num_objects: 3 / 10 >= 0.3 may fail by a "
        "rounding error.",
    ),
    solution="The curve is lifted first: at each recall counts the best precision from there on, "
             "not the one where that recall is first reached. There are eleven recalls, 0 among "
             "them, and those that are never reached count as 0: that is how missed objects cost.",
    mutants=(
        Mutant("not lifted", "That is the precision where a recall is first reached. A later "
               "success lifts it: take the best from there on.",
               lambda right, g: _mean(_heights(right, g, envelope=False))),
        Mutant("ten recalls", "There are eleven recalls: 0 counts, too.",
               lambda right, g: _mean(_heights(right, g, first=1))),
        Mutant("reached recalls alone", "The mean goes over all eleven recalls. Those that are "
               "never reached count as 0, or missed objects would be free.",
               lambda right, g: _mean([h for h in _heights(right, g) if h > 0])),
        Mutant("exact area", "That is the exact area under the lifted curve (VOC 2010); asked for "
               "are eleven recalls.", _area),
        Mutant("101 recalls", "That is COCO's grid of 101 recalls; VOC 2007 and MNC take eleven.",
               lambda right, g: _mean(_heights(right, g, steps=100))),
        Mutant("recall over detections", "Recall is found / num_objects: what is there to find, "
               "not how many detections there are.",
               lambda right, g: _mean(_heights(right, max(len(right), 1)))),
    ),
)

# ---------------------------------------------------------------------------------------------
# mnc.best
# ---------------------------------------------------------------------------------------------


def best_of_all(kept, scores, most):
    """The detections of one image: at most `most` pairs of a box and a class, best score first.

    kept is (N, K+1), 1 where a box has survived suppression in a class, else 0; scores (N, K+1),
    all different. Column 0 is background and never a detection. One box may be there for several
    classes. The result is two lists: the boxes' numbers, and their classes.
    """
    pairs = []
    for box in range(kept.shape[0]):
        for label in range(1, kept.shape[1]):
            if kept[box, label]:
                pairs.append((float(scores[box, label]), box, label))
    pairs = sorted(pairs, reverse=True)[:most]
    return [box for _, box, _ in pairs], [label for _, _, label in pairs]


def _pairs(kept, scores, first=1):
    """(score, box, label) of all that are kept, box by box."""
    return [(float(scores[box, label]), box, label) for box in range(kept.shape[0])
            for label in range(first, kept.shape[1]) if kept[box, label]]


def _two_lists(pairs):
    return [box for _, box, _ in pairs], [label for _, _, label in pairs]


def _one_class_a_box(kept, scores, most):
    """`best_of_all` where each box stands for its likeliest class alone."""
    best = scores[:, 1:].argmax(dim=1) + 1
    pairs = [pair for pair in _pairs(kept, scores) if pair[2] == best[pair[1]]]
    return _two_lists(sorted(pairs, reverse=True)[:most])


def _class_by_class(kept, scores, most):
    """`best_of_all` where the first class is served first."""
    return _two_lists(sorted(_pairs(kept, scores), key=lambda pair: (pair[2], -pair[0]))[:most])


TWICE = torch.tensor([[0, 1, 1], [0, 0, 1], [0, 1, 0]])
SURE = torch.tensor([[0.10, 0.50, 0.40], [0.25, 0.05, 0.70], [0.65, 0.20, 0.15]])
SUPPRESSED = torch.tensor([[0, 0, 1], [0, 1, 0]])
LIKELY = torch.tensor([[0.05, 0.80, 0.15], [0.30, 0.60, 0.10]])

BEST = Exercise(
    name="mnc.best",
    title="Of all boxes and classes, the best",
    lesson="14",
    reference=best_of_all,
    cases=(
        Case("one box for two classes", (TWICE, SURE, 3)),
        Case("at most two", (TWICE, SURE, 2)),
        Case("at most one", (TWICE, SURE, 1)),
        Case("suppressed in its likeliest class", (SUPPRESSED, LIKELY, 10)),
        Case("background is marked as kept, too", (torch.ones(3, 3), SURE, 4)),
        Case("nothing kept", (torch.zeros(3, 3), SURE, 10)),
    ),
    tolerance=1e-6,
    hints=(
        "How many detections can a single box become? A box that is suppressed for one class may "
        "be kept for another.",
        "Collect (score, box, class) of all that is kept, classes from 1 on; sort by the score; "
        "cut the list.",
        "sorted(pairs, reverse=True)[:most], then take the boxes and the classes apart: two lists.",
    ),
    solution="Each box is a candidate for every class: the softmax gives it a score in each, and "
             "suppression is done class by class. Who takes each box's likeliest class first loses "
             "the second opinions, and with them recall. The limit holds for all classes together: "
             "it is one bar for the image.",
    mutants=(
        Mutant("one class a box", "Each box stands for its likeliest class alone. It is a "
               "candidate for every class in which it was kept.", _one_class_a_box),
        Mutant("class by class", "The first class is served before the second. There is one bar "
               "for the image: sort the pairs of all classes together.", _class_by_class),
        Mutant("background too", "Column 0 is background: it is nobody's detection.",
               lambda k, s, most: _two_lists(
                   sorted(_pairs(k, s, first=0), reverse=True)[:most])),
        Mutant("not sorted", "The best score comes first; these are in the order of the boxes.",
               lambda k, s, most: _two_lists(_pairs(k, s)[:most])),
        Mutant("cut before sorting", "The list was cut before it was sorted: the best may have "
               "been cut off.",
               lambda k, s, most: _two_lists(sorted(_pairs(k, s)[:most], reverse=True))),
        Mutant("classes from 0", "Classes count from 1: column 0 is background's, and must not "
               "shift the numbers.",
               lambda k, s, most: [best_of_all(k, s, most)[0],
                                   [label - 1 for label in best_of_all(k, s, most)[1]]]),
    ),
)

EXERCISES = (ANCHORS, WORK, RECALL, CLAIMS, AP_R, BEST)
