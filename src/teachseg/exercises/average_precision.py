"""Lesson 02's exercises: matching, the curve, its envelope, its samples, pooling and the mean.

The solutions are plain loops. The library's way is in `teachseg.evaluate` and, for the matching
that the sliders show, in `teachseg.explore.metrics`; the tests hold them equal.

Letters
    D, G  detections and objects
    N     images
    K, T  classes and IoU thresholds

No boxes here.

Lesson: 02
"""

import torch

from teachseg.exercises.registry import Case, Exercise, Mutant

# ---------------------------------------------------------------------------------------------
# ap.match
# ---------------------------------------------------------------------------------------------


def match(ious, least):
    """The object that each detection of one image is given, by COCO's rule: a list of D numbers.

    ious is (D, G), one row a detection, the best scored first. A detection is given the object that
    it overlaps most among those that no detection before it was given, if their IoU is at least
    `least`; else -1.
    """
    given = []
    for row in ious.tolist():
        best = -1
        for g, iou in enumerate(row):
            if g not in given and iou >= least and (best < 0 or iou > row[best]):
                best = g
        given.append(best)
    return given


def _match_with(ious, least, second=True, twice=False, above=False, first=False, holds=False):
    """`match` with one thing changed."""
    given, closed = [], set()
    for row in ious.tolist():
        free = [g for g in range(len(row)) if twice or not second or g not in closed]
        good = [g for g in free if (row[g] > least if above else row[g] >= least)]
        if first:
            best = good[0] if good else -1
        else:
            best = max(free, key=lambda g: row[g], default=-1)
        fits = best in good and (twice or best not in closed)
        if best >= 0 and (fits or holds):
            closed.add(best)
        given.append(best if fits else -1)
    return given


def _best_pairs_first(ious, least):
    """Pairs by falling IoU, whatever the score."""
    given, rows = [-1] * len(ious), ious.tolist()
    pairs = sorted(((iou, d, g) for d, row in enumerate(rows) for g, iou in enumerate(row)),
                   reverse=True)
    for iou, d, g in pairs:
        if iou >= least and given[d] < 0 and g not in given:
            given[d] = g
    return given


SECOND_CHOICE = torch.tensor([[1.0, 0.45], [0.86, 0.53]])

MATCH = Exercise(
    name="ap.match",
    title="Which object is a detection given?",
    lesson="02",
    reference=match,
    cases=(
        Case("two detections on one object", (torch.tensor([[0.71], [0.83]]), 0.5)),
        Case("a second choice", (SECOND_CHOICE, 0.5)),
        Case("no second choice at a higher bar", (SECOND_CHOICE, 0.6)),
        Case("an IoU of exactly the bar", (torch.tensor([[0.2, 0.5]]), 0.5)),
        Case("the best object is not the first", (torch.tensor([[0.55, 0.7], [0.6, 0.1]]), 0.5)),
        Case("a miss takes nothing", (torch.tensor([[0.4], [0.6]]), 0.5)),
        Case("no object at all", (torch.zeros(2, 0), 0.5)),
        Case("three on two", (torch.tensor([[0.6, 0.7], [0.65, 0.9], [0.9, 0.8]]), 0.5)),
    ),
    tolerance=1e-6,
    hints=(
        "Go through the rows in order, and remember which objects are given away.",
        "For each row: look only at objects that are still free and whose IoU is at least `least`. "
        "Of these the one with the largest IoU; -1 if there is none.",
        "given = []; for each row, loop over g with `g not in given and row[g] >= least`, keep the "
        "g of the largest row[g], and append it.",
    ),
    solution="Score decides who chooses first, IoU decides what is chosen. Both orders matter: "
             "whoever takes the pairs by IoU gives an object to the tighter mask, although the "
             "model was surer of the other, and gets a kinder number than COCO's. VOC differs in "
             "one word: there, the object that is overlapped most is looked at whether it is free "
             "or not.",
    mutants=(
        Mutant("VOC's rule", "That is VOC's rule: the best object or none. COCO lets a detection "
               "whose best object is given away look at the others.",
               lambda ious, least: _match_with(ious, least, second=False)),
        Mutant("given twice", "An object was given to two detections. The second one is a "
               "duplicate.", lambda ious, least: _match_with(ious, least, twice=True)),
        Mutant("above, not from", "An IoU of exactly `least` is enough: at least.",
               lambda ious, least: _match_with(ious, least, above=True)),
        Mutant("first that will do", "That takes the first object that is good enough. Asked is "
               "the one with the largest IoU.",
               lambda ious, least: _match_with(ious, least, first=True)),
        Mutant("a miss takes it", "A detection whose IoU is too low leaves the object free for the "
               "next one.", lambda ious, least: _match_with(ious, least, holds=True)),
        Mutant("best pairs first", "The best scored detection chooses first, even if a later one "
               "fits better. Here the pairs were taken by IoU.", _best_pairs_first),
    ),
)

# ---------------------------------------------------------------------------------------------
# ap.curve
# ---------------------------------------------------------------------------------------------


def curve(scores, right, num_objects):
    """Precision and recall after each accepted detection, best score first: two lists of D numbers.

    scores (D,) stand in any order, all different; right (D,) is 1 where that detection is right.
    """
    order = sorted(range(len(scores)), key=lambda d: -float(scores[d]))
    precision, recall, found = [], [], 0
    for accepted, d in enumerate(order, start=1):
        found += int(right[d])
        precision.append(found / accepted)
        recall.append(found / num_objects)
    return precision, recall


def _running(right):
    return torch.as_tensor(right).double().cumsum(dim=0)


def _sorted(scores, right):
    return right[scores.argsort(descending=True)]


def _places(right):
    return torch.arange(1, len(right) + 1).double()


FALLING = torch.tensor([0.9, 0.8, 0.7, 0.6, 0.5])
THREE_OF_FIVE = torch.tensor([1, 0, 1, 1, 0])

CURVE = Exercise(
    name="ap.curve",
    title="Precision and recall, detection by detection",
    lesson="02",
    reference=curve,
    cases=(
        Case("the three images", (FALLING, THREE_OF_FIVE, 4)),
        Case("in another order", (torch.tensor([0.2, 0.9, 0.4, 0.6]), torch.tensor([1, 1, 0, 1]),
                                  5)),
        Case("the best one is wrong", (torch.tensor([0.3, 0.8]), torch.tensor([1, 0]), 1)),
        Case("all right, half is missed", (torch.tensor([0.9, 0.7, 0.8]), torch.tensor([1, 1, 1]),
                                           6)),
        Case("a single detection", (torch.tensor([0.4]), torch.tensor([1]), 3)),
        Case("more detections than objects",
             (torch.tensor([0.1, 0.5, 0.3, 0.2]), torch.tensor([0, 1, 0, 1]), 2)),
    ),
    tolerance=1e-6,
    hints=(
        "Sort by falling score first. Then accept one detection after the other and count.",
        "After n detections, `found` of them right: precision = found / n, and recall = found / "
        "num_objects.",
        "order = sorted(range(len(scores)), key=lambda d: -float(scores[d])); then one loop over "
        "it with a counter of the right ones.",
    ),
    solution="Both have the same numerator. Precision divides by what was accepted, so it goes up "
             "and down; recall divides by what is there, so it can only rise, and it ends below 1 "
             "if an object is never found. The scores themselves do not appear in the result: only "
             "their order does.",
    mutants=(
        Mutant("not sorted", "The detections are to be accepted by falling score, not in the order "
               "in which they came.",
               lambda s, right, g: ((_running(right) / _places(right)).tolist(),
                                    (_running(right) / g).tolist())),
        Mutant("worst first", "That begins with the lowest score.",
               lambda s, right, g: curve(-s, right, g)),
        Mutant("recall over detections", "Recall is a share of the objects that are there. Here it "
               "is divided by the number of detections.",
               lambda s, right, g: (curve(s, right, g)[0], curve(s, right, len(right))[1])),
        Mutant("precision over all", "Precision is a share of the detections accepted so far. Here "
               "it is divided by all of them.",
               lambda s, right, g: (curve(s, right, len(right))[1], curve(s, right, g)[1])),
        Mutant("exchanged", "Precision comes first, then recall.",
               lambda s, right, g: curve(s, right, g)[::-1]),
        Mutant("not added up", "Each detection is looked at alone there. Count the right ones from "
               "the beginning of the list.",
               lambda s, right, g: ((_sorted(s, right) / _places(right)).tolist(),
                                    (_sorted(s, right) / g).tolist())),
    ),
)

# ---------------------------------------------------------------------------------------------
# ap.envelope
# ---------------------------------------------------------------------------------------------


def envelope(precision):
    """Each precision (D,) lifted to the largest from its place on: a list of D numbers."""
    out, best = [], 0.0
    for value in reversed([float(p) for p in precision]):
        best = max(best, value)
        out.append(best)
    return out[::-1]


ENVELOPE = Exercise(
    name="ap.envelope",
    title="Lift the curve",
    lesson="02",
    reference=envelope,
    cases=(
        Case("the three images", (torch.tensor([1, 1 / 2, 2 / 3, 3 / 4, 3 / 5]),)),
        Case("rising all the way", (torch.tensor([0.0, 0.5, 0.67, 0.75]),)),
        Case("falling all the way", (torch.tensor([1.0, 0.5, 0.33, 0.25]),)),
        Case("two hills", (torch.tensor([1.0, 0.5, 0.67, 0.5, 0.6, 0.5]),)),
        Case("a late success", (torch.tensor([0.0, 0.0, 0.0, 0.25, 0.4]),)),
        Case("a single point", (torch.tensor([0.7]),)),
    ),
    tolerance=1e-6,
    hints=(
        "What is the best precision that can still be had from here on, with at least this recall?",
        "out[n] = the largest of precision[n], precision[n + 1], ... Which end is it easiest to "
        "begin at?",
        "Go from the last to the first and keep the largest seen so far; then turn the list round.",
    ),
    solution="Recall never falls along the list, so 'at this recall or a later one' is 'from "
             "this place on', and one walk from the end does it. From the beginning, the first "
             "lucky hit would lift everything to 1 and every curve would be perfect.",
    mutants=(
        Mutant("from the beginning", "That is the largest so far, from the left. Asked is the "
               "largest from here on.",
               lambda p: p.cummax(dim=0).values),
        Mutant("the largest of all", "That is one number for all places. What lies before a place "
               "must not lift it.", lambda p: p.max().expand(len(p))),
        Mutant("not lifted", "Those are the precisions as they came: nothing is lifted.",
               lambda p: p.clone()),
        Mutant("the neighbour alone", "Only the next place was looked at. All later ones count.",
               lambda p: torch.maximum(p, torch.cat([p[1:], p[-1:]]))),
        Mutant("the least from here on", "That presses the curve down: the largest is asked for.",
               lambda p: p.flip(0).cummin(dim=0).values.flip(0)),
    ),
)

# ---------------------------------------------------------------------------------------------
# ap.sampled
# ---------------------------------------------------------------------------------------------


def sampled(precision, recall, steps):
    """AP at the recalls 0, 1/steps, 2/steps, ..., 1: a number.

    precision and recall (D,), best detection first. At each recall r the largest precision of all
    places whose recall is at least r, 0 if there is none; then the mean. A recall of 3/10 reaches
    r = 3/10.
    """
    heights = []
    for i in range(steps + 1):
        there = [float(p) for p, r in zip(precision, recall) if float(r) * steps >= i - 1e-6]
        heights.append(max(there, default=0.0))
    return sum(heights) / len(heights)


def _sampled_with(precision, recall, steps, first=0, reach=lambda r, i, n: r * n >= i - 1e-6,
                  lift=True, reached=False, divide_by=None):
    """`sampled` with one thing changed."""
    heights = []
    for i in range(first, steps + 1):
        there = [p for p, r in zip(precision.tolist(), recall.tolist()) if reach(r, i, steps)]
        if there or not reached:
            heights.append((max(there) if lift else there[0]) if there else 0.0)
    return sum(heights) / (divide_by or max(len(heights), 1))


def _area(precision, recall):
    """The exact area under the envelope."""
    total, before = 0.0, 0.0
    for r, height in zip(recall.tolist(), envelope(precision)):
        total, before = total + (r - before) * height, r
    return total


def _double(*values):
    return torch.tensor(values, dtype=torch.float64)


WORKED = (_double(1, 1 / 2, 2 / 3, 3 / 4, 3 / 5), _double(0.25, 0.25, 0.5, 0.75, 0.75))
THREE_OF_TEN = (_double(1, 1, 2 / 3, 3 / 4), _double(0.1, 0.2, 0.2, 0.3))

SAMPLED = Exercise(
    name="ap.sampled",
    title="From the curve to a number, with 11 or 101 recalls",
    lesson="02",
    reference=sampled,
    cases=(
        Case("the three images, 11 recalls", (*WORKED, 10)),
        Case("the three images, 101 recalls", (*WORKED, 100)),
        Case("a recall of exactly 3/10", (*THREE_OF_TEN, 10)),
        Case("perfect", (_double(1, 1), _double(0.5, 1.0), 10)),
        Case("all found, late", (_double(0, 1 / 2, 1 / 3, 1 / 2), _double(0, 0.5, 0.5, 1.0), 10)),
        Case("five recalls", (*WORKED, 4)),
        Case("no detection", (_double(), _double(), 10)),
    ),
    tolerance=1e-6,
    hints=(
        "How many recalls are there from 0 to 1 in steps of 1/10? What is the height beyond the "
        "last recall that was reached?",
        "For each i of 0, ..., steps: the largest precision of all places with recall >= i / "
        "steps, or 0. Then the mean of the steps + 1 heights.",
        "Compare float(r) * steps >= i - 1e-6: 3 * 0.1 is 0.30000000000000004 for a computer, and "
        "a recall of 0.3 would miss it.",
    ),
    solution="Ten steps have eleven ends, as in a fence; 0 is among them, where the envelope is "
             "the best precision of all. Recalls that are never reached count as 0: that is how "
             "missed objects cost. And the grid must meet the fractions of the objects: MNC's code "
             "compares with np.arange(0., 1.1, 0.1), where a class of ten objects loses the height "
             "at 3/10.",
    mutants=(
        Mutant("divided by the steps", "The sum has one term more than there are steps: divide by "
               "steps + 1.",
               lambda p, r, n: _sampled_with(p, r, n, divide_by=n)),
        Mutant("without recall 0", "A recall of 0 is one of the grid's, too.",
               lambda p, r, n: _sampled_with(p, r, n, first=1)),
        Mutant("reached recalls alone", "Recalls that are never reached count as 0. Left out, "
               "missed objects would be free.",
               lambda p, r, n: _sampled_with(p, r, n, reached=True)),
        Mutant("not lifted", "That is the precision where a recall is first reached. The largest "
               "from there on is asked for.",
               lambda p, r, n: _sampled_with(p, r, n, lift=False)),
        Mutant("beyond, not from", "A recall of exactly r reaches r: at least, not more than.",
               lambda p, r, n: _sampled_with(p, r, n, reach=lambda r, i, n: r * n > i + 1e-6)),
        Mutant("a grid of floats", "3 of 10 objects are a recall of 0.3, but 3 * 0.1 is "
               "0.30000000000000004, and so it is missed. Compare with some slack.",
               lambda p, r, n: _sampled_with(p, r, n, reach=lambda r, i, n: r >= i * (1 / n))),
        Mutant("exact area", "That is the exact area under the envelope. Asked is its mean height "
               "at steps + 1 recalls.", lambda p, r, n: _area(p, r)),
    ),
)

# ---------------------------------------------------------------------------------------------
# ap.pooled
# ---------------------------------------------------------------------------------------------


def pooled(scores, right, image, objects):
    """AP, exact area, of one class over several images: a number.

    scores, right and image are (D,): of each detection its score, 1 if it is right, and the number
    of its image. objects is (N,): how many objects each image has.
    """
    precision, recall = curve(scores, right, int(objects.sum()))
    area, before = 0.0, 0.0
    for height, r in zip(envelope(precision), recall):
        area += (r - before) * height
        before = r
    return area


def _per_image(scores, right, image, objects):
    """Each image's own AP, where it has objects."""
    return [pooled(scores[image == n], right[image == n], image[image == n], objects[n : n + 1])
            for n in range(len(objects)) if objects[n] > 0]


def _pooled_where(scores, right, image, objects, keep):
    """`pooled` of some of the images."""
    stays = torch.tensor([bool(keep[n]) for n in image.tolist()], dtype=torch.bool)
    return pooled(scores[stays], right[stays], image[stays], objects[keep])


def _unlifted(scores, right, image, objects):
    precision, recall = curve(scores, right, int(objects.sum()))
    steps = torch.tensor(recall, dtype=torch.float64).diff(prepend=torch.zeros(1).double())
    return float((steps * torch.tensor(precision, dtype=torch.float64)).sum())


def _image_after_image(scores, right, image, objects):
    """The detections stay in the order of the images."""
    falling = -torch.arange(len(scores)).double()
    return pooled(falling, right, image, objects)


def _long(*values):
    return torch.tensor(values)


POOLED = Exercise(
    name="ap.pooled",
    title="One row for all images",
    lesson="02",
    reference=pooled,
    cases=(
        Case("the three images", (FALLING, THREE_OF_FIVE, _long(0, 0, 1, 2, 2), _long(1, 1, 2))),
        Case("an image without objects", (torch.tensor([0.6, 0.9]), _long(1, 0), _long(0, 1),
                                          _long(1, 0))),
        Case("an image without detections", (torch.tensor([0.8, 0.7]), _long(1, 1), _long(0, 0),
                                             _long(2, 3))),
        Case("an easy image and a crowded one",
             (torch.tensor([0.9, 0.8, 0.7, 0.4, 0.3]), _long(1, 0, 1, 1, 1), _long(0, 1, 1, 1, 1),
              _long(1, 6))),
        Case("sure in one image, unsure in the other",
             (torch.tensor([0.95, 0.9, 0.3, 0.2]), _long(0, 1, 1, 0), _long(0, 0, 1, 1),
              _long(1, 1))),
        Case("not in order", (torch.tensor([0.2, 0.5, 0.9, 0.6]), _long(0, 1, 1, 0),
                              _long(0, 0, 1, 2), _long(1, 1, 1))),
    ),
    tolerance=1e-6,
    hints=(
        "There is one curve for the whole data set, not one an image. What do you need of `image`?",
        "Sort all detections by score, whatever their image; recall divides by all objects of all "
        "images. Then lift the curve and add up step of recall times height.",
        "precision, recall = curve(scores, right, int(objects.sum())), then the sum of (recall[n] "
        "- recall[n - 1]) * envelope(precision)[n]. `image` is not needed.",
    ),
    solution="`image` is not needed at all: once each detection is right or wrong, where it lies "
             "does not matter. The mean of each image's own AP is another number. In an image with "
             "one object it is often 1 or 0, a confident mistake in an image without objects costs "
             "nothing, and scores of different images are never compared, so a model that is sure "
             "of itself on the wrong images looks as good as one that knows its limits.",
    mutants=(
        Mutant("mean of the images", "That is the mean of each image's own AP. All detections "
               "belong into one row, best score first.",
               lambda s, r, i, o: sum(_per_image(s, r, i, o)) / len(_per_image(s, r, i, o))),
        Mutant("weighted by objects", "That weighs each image's own AP by its objects. Scores of "
               "different images are still never compared.",
               lambda s, r, i, o: (sum(ap * n for ap, n in zip(_per_image(s, r, i, o),
                                                               o[o > 0].tolist()))
                                   / int(o.sum()))),
        Mutant("image after image", "The detections of all images are to be sorted by score, "
               "together.", _image_after_image),
        Mutant("empty images left out", "Detections in an image without objects are false "
               "positives, and count.",
               lambda s, r, i, o: _pooled_where(s, r, i, o, o > 0)),
        Mutant("silent images left out", "The objects of an image without detections are missed, "
               "and count in recall.",
               lambda s, r, i, o: _pooled_where(
                   s, r, i, o, torch.tensor([n in i.tolist() for n in range(len(o))]))),
        Mutant("not lifted", "The area is that under the envelope: lift the curve first.",
               _unlifted),
    ),
    uses=("ap.curve", "ap.envelope"),
)

# ---------------------------------------------------------------------------------------------
# ap.mean
# ---------------------------------------------------------------------------------------------


def mean_ap(table, objects):
    """COCO's AP from the AP of each class at each IoU: a number.

    table is (K, T); objects (K,) says how many objects each class has, at least one of them some.
    It is the mean over the T thresholds, then over the classes that have objects.
    """
    total, classes = 0.0, 0
    for row, count in zip(table.tolist(), objects.tolist()):
        if count > 0:
            total += sum(row) / len(row)
            classes += 1
    return total / classes


TABLE = torch.tensor([[0.9, 0.6, 0.3], [0.5, 0.4, 0.0], [0.0, 0.0, 0.0]])

MEAN = Exercise(
    name="ap.mean",
    title="Of classes and thresholds, one number",
    lesson="02",
    reference=mean_ap,
    cases=(
        Case("a class without objects", (TABLE, torch.tensor([5, 5, 0]))),
        Case("one class is rare", (TABLE[:2], torch.tensor([99, 1]))),
        Case("a class that is never found", (TABLE, torch.tensor([5, 5, 5]))),
        Case("one class alone", (TABLE[:1], torch.tensor([7]))),
        Case("only the second class is there", (TABLE, torch.tensor([0, 3, 0]))),
        Case("ten thresholds", (torch.linspace(1, 0, 20).reshape(2, 10), torch.tensor([2, 3]))),
    ),
    tolerance=1e-6,
    hints=(
        "First a number for each class: the mean of its row.",
        "Classes without objects are left out, not counted as 0; those with objects weigh the "
        "same, however many they have.",
        "Add up sum(row) / len(row) for the classes with count > 0, and divide by how many these "
        "are.",
    ),
    solution="A class without objects has no recall, so its AP is not 0 but unknown: it is left "
             "out. A class that is there and never found is 0, and counts. All classes weigh the "
             "same, so in a mean of five classes a rare one with two objects has a fifth of the "
             "say: look at the single classes before believing a difference.",
    mutants=(
        Mutant("absent counts as 0", "A class without objects has no AP: leave it out.",
               lambda t, o: float(t.mean())),
        Mutant("weighted by objects", "Every class that is there weighs the same, however many "
               "objects it has.",
               lambda t, o: float((t.mean(dim=1) * o).sum() / o.sum())),
        Mutant("loosest IoU alone", "That is AP at the first threshold alone, such as AP50. The "
               "mean goes over all of them.", lambda t, o: float(t[o > 0][:, 0].mean())),
        Mutant("never found left out", "A class that has objects and is never found has an AP of "
               "0, and counts.",
               lambda t, o: float(t[(o > 0) & (t.sum(dim=1) > 0)].mean())),
        Mutant("the best class", "That is the AP of the best class: the mean is asked for.",
               lambda t, o: float(t[o > 0].mean(dim=1).max())),
    ),
)

EXERCISES = (MATCH, CURVE, ENVELOPE, SAMPLED, POOLED, MEAN)
