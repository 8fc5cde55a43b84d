"""Lesson 21's exercises: what Mask R-CNN's heads are asked for, how they are judged, and pasting.

The solutions are plain loops over numbers. `learning.targets`, `learning.losses`, `layers.heads`
and `geometry.masks` are the library's way; the tests hold the two equal.

Letters
    R, P  rois, and those of them that are positive: these come first
    G     objects of one image
    K     object classes; class 0 is background
    S, M  side of the block read from a roi, and of its mask, in bins

Places along an axis are in pixel edges: pixel 3 covers 3 to 4.

Lesson: 21
"""

import math

import torch
import torch.nn.functional as F

from teachseg.exercises.registry import Case, Exercise, Mutant

# ---------------------------------------------------------------------------------------------
# heads.labels
# ---------------------------------------------------------------------------------------------


def labels(iou, classes, positive_iou):
    """The class of each roi, (R,) of 0..K: that of the object that it overlaps most, if by at least
    positive_iou; else 0.

    iou is (G, R), one row an object; classes is (G,), each 1..K. There may be no object.
    """
    out = torch.zeros(iou.shape[1], dtype=torch.int64)
    for r in range(iou.shape[1]):
        best = 0.0
        for g in range(iou.shape[0]):
            if float(iou[g, r]) > best:
                best = float(iou[g, r])
                out[r] = int(classes[g])
        if best < positive_iou:
            out[r] = 0
    return out


def _changed_labels(iou, classes, positive_iou, above=False, of=lambda c, g: c, forced=False,
                    last=False):
    """`labels` with one thing changed."""
    out = torch.zeros(iou.shape[1], dtype=torch.int64)
    if len(classes) == 0:
        return out
    best, who = iou.max(dim=0)
    for r in range(iou.shape[1]):
        good = best[r] > positive_iou if above else best[r] >= positive_iou
        good = good or (forced and bool((iou[:, r] == iou.amax(dim=1)).any()))
        g = int(who[r])
        if last:
            enough = (iou[:, r] >= positive_iou).nonzero().flatten()
            g = int(enough[-1]) if len(enough) else g
        out[r] = int(of(int(classes[g]), g)) if good else 0
    return out


THREE = torch.tensor([[0.75, 0.25, 0.5, 0.0], [0.125, 0.375, 0.625, 0.25]])
TIGHT = torch.tensor([[0.5, 0.25, 0.75], [0.125, 0.375, 0.5]])

LABELS = Exercise(
    name="heads.labels",
    title="Which class is a roi asked for?",
    lesson="21",
    reference=labels,
    cases=(
        Case("two objects, four rois", (THREE, torch.tensor([4, 2]), 0.5)),
        Case("exactly the threshold", (TIGHT, torch.tensor([1, 3]), 0.5)),
        Case("class 1 is no background", (THREE, torch.tensor([1, 1]), 0.5)),
        Case("a lower threshold", (TIGHT, torch.tensor([5, 2]), 0.25)),
        Case("no object", (torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64), 0.5)),
        Case("nothing overlaps enough", (THREE / 2, torch.tensor([3, 5]), 0.5)),
    ),
    tolerance=1e-6,
    hints=(
        "Go roi by roi: a column of iou. Which row is the largest of it?",
        "Keep the best overlap and that object's class; after the last object compare the best "
        "with the threshold.",
        "if iou[g, r] > best: best, out[r] = iou[g, r], classes[g]; afterwards out[r] = 0 where "
        "best < positive_iou.",
    ),
    solution="Classes are counted from 1, because 0 is taken by background. Whoever counts them "
             "from 0 makes the first class background: nothing complains, and the model never "
             "finds one. A roi of exactly 0.5 is positive. An object that no roi overlaps enough "
             "has no roi in this step: unlike anchors (lesson 05), rois are not forced. That is "
             "why the objects' own boxes are added to the proposals.",
    mutants=(
        Mutant("more than the threshold", "A roi of exactly the threshold is positive: use >=, "
               "not >.", lambda iou, c, t: _changed_labels(iou, c, t, above=True)),
        Mutant("classes from 0", "These labels are counted from 0, so that the first class is "
               "background's number. Objects are 1..K.",
               lambda iou, c, t: _changed_labels(iou, c, t, of=lambda k, g: k - 1)),
        Mutant("the object's number", "That is which object it is, not of which class: look the "
               "class up in `classes`.",
               lambda iou, c, t: _changed_labels(iou, c, t, of=lambda k, g: g + 1)),
        Mutant("each object's best roi", "The best roi of an object is positive here whatever it "
               "overlaps. That is the rule for anchors; rois need the threshold.",
               lambda iou, c, t: _changed_labels(iou, c, t, forced=True)),
        Mutant("the last that is enough", "Where a roi overlaps two objects enough, it answers for "
               "the one that it overlaps most, not for the last one.",
               lambda iou, c, t: _changed_labels(iou, c, t, last=True)),
        Mutant("1 for object", "That says object or background. The box head is asked for the "
               "class.", lambda iou, c, t: _changed_labels(iou, c, t, of=lambda k, g: 1)),
    ),
)

# ---------------------------------------------------------------------------------------------
# heads.box_loss
# ---------------------------------------------------------------------------------------------


def box_loss(deltas, wanted, labels, beta):
    """L_box: deltas (R, K+1, 4), wanted (P, 4) of the positives, labels (R,) of 0..K -> a number.

    Of each positive roi only the four deltas of its own class count. Smooth L1, summed over these
    four and over the positives, divided by R. A difference d costs d * d / (2 beta) where
    |d| < beta, else |d| - beta / 2.
    """
    total, p = 0.0, 0
    for r in range(len(labels)):
        k = int(labels[r])
        if k == 0:
            continue
        for i in range(4):
            d = abs(float(deltas[r, k, i]) - float(wanted[p, i]))
            total += d * d / (2 * beta) if d < beta else d - beta / 2
        p += 1
    return total / len(labels)


def _changed_box_loss(deltas, wanted, labels, beta, channel=lambda k: k, by=len, power="smooth"):
    """`box_loss` with one thing changed."""
    total, p = 0.0, 0
    for r in range(len(labels)):
        if int(labels[r]) == 0:
            continue
        difference = (deltas[r, channel(int(labels[r]))] - wanted[p]).double().abs()
        if power == "smooth":
            difference = torch.where(difference < beta, difference**2 / (2 * beta),
                                     difference - beta / 2)
        total += float(difference.sum() if power != "square" else difference.square().sum())
        p += 1
    return total / max(by(labels), 1)


DELTAS = torch.tensor([[[0.5, 0.5, 0.5, 0.5], [0.2, -0.1, 0.0, 0.4], [0.0, 0.0, 1.0, -1.0]],
                       [[0.1, 0.1, 0.1, 0.1], [-0.3, 0.6, 0.2, 0.0], [0.7, 0.1, -0.2, 0.05]],
                       [[0.0, 0.2, 0.4, 0.6], [1.0, 1.0, 1.0, 1.0], [2.0, 0.0, 0.0, 0.0]],
                       [[0.3, 0.3, 0.3, 0.3], [0.0, 0.0, 0.0, 0.0], [-1.0, 0.0, 0.0, 0.0]]])
WANTED = torch.tensor([[0.25, -0.1, 0.5, 0.4], [0.0, 0.1, 0.3, 0.0]])

BOX_LOSS = Exercise(
    name="heads.box_loss",
    title="What the moved boxes cost",
    lesson="21",
    reference=box_loss,
    cases=(
        Case("two positives of four rois", (DELTAS, WANTED, torch.tensor([1, 2, 0, 0]), 0.2)),
        Case("both of one class", (DELTAS, WANTED, torch.tensor([2, 2, 0, 0]), 1 / 9)),
        Case("all positive", (DELTAS[:2], WANTED, torch.tensor([2, 1]), 1.0)),
        Case("one difference, exactly beta", (DELTAS[3:], torch.tensor([[0.5, 0, 0, 0]]),
                                              torch.tensor([1]), 0.5)),
        Case("background alone", (DELTAS[2:], WANTED[:0], torch.tensor([0, 0]), 0.2)),
    ),
    tolerance=1e-5,
    hints=(
        "Background asks for no box: skip labels of 0. What is left comes in the order of wanted.",
        "Roi r of class k says deltas[r, k]: four numbers. Compare each with wanted's, and add the "
        "smooth L1 of the differences.",
        "Count p up with every positive roi; total += d * d / (2 * beta) if d < beta else d - beta "
        "/ 2; at the end total / len(labels).",
    ),
    solution="Two choices are easily lost. Each class has its own four deltas, and only the right "
             "class's are compared; what the others say costs nothing. And the sum is divided by "
             "all rois that were drawn, so that a positive weighs the same in an image with one "
             "positive and in one with eight: divided by P, the only positive of an image would "
             "weigh eight times as much.",
    mutants=(
        Mutant("by the positives", "Divide by all rois drawn, not by the positives alone.",
               lambda *a: _changed_box_loss(*a, by=lambda labels: int((labels > 0).sum()))),
        Mutant("background's deltas", "These are the deltas of class 0, which nobody asks for: "
               "take those of the roi's own class.",
               lambda *a: _changed_box_loss(*a, channel=lambda k: 0)),
        Mutant("off by one", "These are the deltas of the class before: column 0 is "
               "background's, so class k stands in column k.",
               lambda *a: _changed_box_loss(*a, channel=lambda k: k - 1)),
        Mutant("plain L1", "That is the sum of absolute differences. Below beta the line is to "
               "become a square.", lambda *a: _changed_box_loss(*a, power="line")),
        Mutant("squares", "That is the sum of squares. From beta on it is a straight line.",
               lambda *a: _changed_box_loss(*a, power="square")),
        Mutant("mean over the four", "The four numbers are added up, not averaged.",
               lambda *a: box_loss(*a) / 4),
    ),
)

# ---------------------------------------------------------------------------------------------
# heads.upsample
# ---------------------------------------------------------------------------------------------


def upsample(block, kernel):
    """A transposed convolution of stride 2: block (S, S), kernel (2, 2) -> (2S, 2S).

    Every bin becomes 2 x 2: its value times the kernel. There is no bias.
    """
    side = block.shape[0]
    out = torch.zeros(2 * side, 2 * side)
    for i in range(side):
        for j in range(side):
            for a in range(2):
                for b in range(2):
                    out[2 * i + a, 2 * j + b] = block[i, j] * kernel[a, b]
    return out


BLOCK = torch.tensor([[1.0, 2.0], [3.0, -4.0]])
STAMP = torch.tensor([[1.0, 0.5], [-1.0, 2.0]])

UPSAMPLE = Exercise(
    name="heads.upsample",
    title="From 14 bins to 28",
    lesson="21",
    reference=upsample,
    cases=(
        Case("one bin", (torch.tensor([[3.0]]), STAMP)),
        Case("two by two", (BLOCK, STAMP)),
        Case("a kernel of ones", (BLOCK, torch.ones(2, 2))),
        Case("what is negative stays so", (-BLOCK, STAMP - 1)),
        Case("three by three", (torch.arange(9.0).view(3, 3), torch.tensor([[0.0, 1.0],
                                                                          [2.0, 3.0]]))),
    ),
    tolerance=1e-6,
    hints=(
        "Which four bins of the result does bin (i, j) of the block become?",
        "Rows 2 i and 2 i + 1, columns 2 j and 2 j + 1.",
        "out[2 * i + a, 2 * j + b] = block[i, j] * kernel[a, b], for a and b of 0 and 1.",
    ),
    solution="A convolution gathers: each result is a sum over a window of what is read. The "
             "transposed one scatters: each bin is stamped into the result, times the kernel. With "
             "stride 2 and a 2 x 2 kernel the stamps lie side by side and never overlap, so there "
             "is nothing to add up along the place; sums run over channels alone. It is also why "
             "an untrained channel shows a pattern with a period of two bins: the kernel.",
    mutants=(
        Mutant("repeated", "Each bin is repeated as it is: its four copies are to be multiplied by "
               "the kernel's four numbers.",
               lambda block, kernel: upsample(block, torch.ones(2, 2))),
        Mutant("kernel turned over", "Rows and columns of the kernel are swapped: kernel[a, b] "
               "belongs to row 2 i + a and column 2 j + b.",
               lambda block, kernel: upsample(block, kernel.T)),
        Mutant("kernel rotated", "The kernel is turned by 180 degrees. A transposed convolution "
               "stamps it as it is.", lambda block, kernel: upsample(block, kernel.flip(0, 1))),
        Mutant("blocks in a grid", "These are copies of the whole block side by side. Each *bin* "
               "becomes 2 x 2.", lambda block, kernel: torch.kron(kernel, block)),
        Mutant("zeros between", "Only one of each four is filled: the others are not 0 but the "
               "value times their own number of the kernel.",
               lambda block, kernel: upsample(block, torch.tensor([[1.0, 0.0], [0.0, 0.0]])
                                              * kernel[0, 0])),
    ),
)

# ---------------------------------------------------------------------------------------------
# heads.mask_loss
# ---------------------------------------------------------------------------------------------


def mask_loss(mask_logits, crops, labels):
    """L_mask: mask_logits (P, K+1, M, M), crops (P, M, M), labels (P,) of 1..K -> a number.

    The mean over all bins of the binary cross-entropy of each roi's k-th mask alone; 0 for no roi.
    A bin of which a share t is asked costs -(t log p + (1 - t) log(1 - p)), p the sigmoid.
    """
    total, count = 0.0, 0
    for r in range(len(labels)):
        own = mask_logits[r, int(labels[r])]
        for i in range(own.shape[0]):
            for j in range(own.shape[1]):
                p = 1 / (1 + math.exp(-float(own[i, j])))
                t = float(crops[r, i, j])
                total -= t * math.log(p) + (1 - t) * math.log(1 - p)
                count += 1
    return total / max(count, 1)


def _own(mask_logits, labels, shift=0):
    return mask_logits[torch.arange(len(labels)), labels + shift].double()


def _mean(terms):
    return float(terms.sum()) / max(terms.numel(), 1)


def _entropy(logits, wanted):
    return F.binary_cross_entropy_with_logits(logits.double(), wanted.double(), reduction="none")


def _all_channels(mask_logits, crops, labels):
    """Zeros wanted of all other classes."""
    wanted = torch.zeros_like(mask_logits)
    wanted[torch.arange(len(labels)), labels] = crops
    return _mean(_entropy(mask_logits, wanted))


def _competing(mask_logits, crops, labels):
    logs = mask_logits.double().log_softmax(dim=1)
    own = logs[torch.arange(len(labels)), labels]
    return _mean(-(crops * own + (1 - crops) * logs[:, 0]))


TWO_ROIS = torch.tensor([[[[0.5, -1.0], [0.0, 2.0]], [[2.0, 1.0], [-1.0, -3.0]],
                          [[0.3, 0.3], [-0.3, -0.3]]],
                         [[[1.0, 1.0], [1.0, 1.0]], [[-2.0, 0.0], [0.5, 0.5]],
                          [[1.5, -0.5], [2.5, -2.0]]]])
SHARES = torch.tensor([[[1.0, 0.75], [0.0, 0.0]], [[1.0, 0.0], [1.0, 0.25]]])

MASK_LOSS = Exercise(
    name="heads.mask_loss",
    title="The k-th mask, and no other",
    lesson="21",
    reference=mask_loss,
    cases=(
        Case("two rois, classes 1 and 2", (TWO_ROIS, SHARES, torch.tensor([1, 2]))),
        Case("both of class 2", (TWO_ROIS, SHARES, torch.tensor([2, 2]))),
        Case("one roi, yes or no", (TWO_ROIS[:1], SHARES[:1].round(), torch.tensor([1]))),
        Case("sure and right", (8 * (2 * SHARES[1:, None] - 1).expand(1, 3, 2, 2).round(),
                                SHARES[1:].round(), torch.tensor([2]))),
        Case("no positive roi", (TWO_ROIS[:0], SHARES[:0], torch.zeros(0, dtype=torch.int64))),
    ),
    tolerance=1e-4,
    hints=(
        "Three loops: rois, rows, columns. No loop over classes: roi r has one class.",
        "own = mask_logits[r, labels[r]]. Channel 0 is background's, so class k is channel k.",
        "p = 1 / (1 + exp(-own[i, j])), t = crops[r, i, j]; add -(t log p + (1 - t) log(1 - p)), "
        "and divide by how many bins there were, or by 1.",
    ),
    solution="No other channel appears in the loss, so none gets a gradient from this roi: the "
             "mask branch need not know the class, which the box branch says. The target is a "
             "share, not rounded: where the object covers three quarters of a bin, log 3 is the "
             "logit that costs least, and it costs 0.562, not 0. And the mean of no bins is not a "
             "number: an image without a positive roi must cost 0.",
    mutants=(
        Mutant("off by one", "These are the masks of the class before. Channel 0 is background's, "
               "so class k is channel k.",
               lambda m, c, k: _mean(_entropy(_own(m, k, -1), c))),
        Mutant("all channels", "All channels are in the loss, with zeros wanted of the other "
               "classes. Only the k-th is asked.", _all_channels),
        Mutant("competing classes", "That is a softmax over the classes of a bin. Here each class "
               "answers for itself.", _competing),
        Mutant("sigmoid twice", "The logits went through the sigmoid twice: a loss 'with logits' "
               "takes the raw numbers. Such a loss cannot fall below 0.31.",
               lambda m, c, k: _mean(_entropy(_own(m, k).sigmoid(), c))),
        Mutant("rounded target", "The shares were rounded to yes and no. A bin that is covered by "
               "three quarters is asked for three quarters.",
               lambda m, c, k: _mean(_entropy(_own(m, k), (c >= 0.5).double()))),
        Mutant("sum over the bins", "That is the sum over a roi's bins. L_mask is their mean.",
               lambda m, c, k: 4 * mask_loss(m, c, k)),
        Mutant("the object's bins alone", "Only the bins of the object are counted. Those beside "
               "it must say no, and are asked as well.",
               lambda m, c, k: _mean(-c * F.logsigmoid(_own(m, k)))),
    ),
)

# ---------------------------------------------------------------------------------------------
# heads.slope
# ---------------------------------------------------------------------------------------------


def slope(logits, k, asked, compete):
    """The gradient of one bin's loss with respect to its logits (K+1,), one a channel -> (K+1,).

    A share `asked` of the bin is the object's, of class k. Where compete is 0, the loss is the
    binary cross-entropy of channel k. Where it is 1, it is the cross-entropy of a softmax over all
    channels, which asks for `asked` of class k and for the rest of background, channel 0.
    """
    out = torch.zeros(len(logits))
    if compete == 0:
        out[k] = 1 / (1 + math.exp(-float(logits[k]))) - asked
        return out
    total = sum(math.exp(float(z)) for z in logits)
    for c in range(len(logits)):
        out[c] = math.exp(float(logits[c])) / total
    out[k] -= asked
    out[0] -= 1 - asked
    return out


def _changed_slope(logits, k, asked, compete, apart=None, joint=None):
    """`slope` with one of its two halves changed."""
    if compete == 0:
        return slope(logits, k, asked, 0) if apart is None else apart(logits.double(), k, asked)
    return slope(logits, k, asked, 1) if joint is None else joint(logits.double(), k, asked)


def _with(values, *changes):
    values = values.clone()
    for place, value in changes:
        values[place] += value
    return values


CHANNELS = torch.tensor([0.5, -1.0, 2.0, 0.0])

SLOPE = Exercise(
    name="heads.slope",
    title="Who is pulled by one bin?",
    lesson="21",
    reference=slope,
    cases=(
        Case("sigmoid, inside", (CHANNELS, 1, 1.0, 0)),
        Case("sigmoid, outside", (CHANNELS, 2, 0.0, 0)),
        Case("sigmoid, at the rim", (CHANNELS, 2, 0.25, 0)),
        Case("softmax, inside", (CHANNELS, 1, 1.0, 1)),
        Case("softmax, outside", (CHANNELS, 2, 0.0, 1)),
        Case("softmax, at the rim", (CHANNELS, 3, 0.75, 1)),
    ),
    tolerance=1e-4,
    hints=(
        "Both losses have the same slope: what is said minus what is asked. Who says something, "
        "and what is asked of whom?",
        "Sigmoid: channel k says p, is asked for `asked`; the others are not in the loss. Softmax: "
        "every channel says something, and all but k and 0 are asked for 0.",
        "Softmax: exp(z) / sum of exp(z) for every channel, then take `asked` off channel k and "
        "1 - asked off channel 0.",
    ),
    solution="Said minus asked, both times. With a sigmoid the k-th logit alone is pulled. With a "
             "softmax every class is: a ring's bin pushes down what the disc's channel says there, "
             "and the slopes of a bin sum to 0. So the mask branch learns to classify, which the "
             "box branch does already, and two classes that look alike in a bin spoil each other's "
             "mask.",
    mutants=(
        Mutant("downhill", "That is the step that is taken, against the slope. Asked is the slope.",
               lambda *a: -slope(*a)),
        Mutant("all others asked for 0", "The other classes are pulled as well. With a sigmoid "
               "they are not in the loss: 0.",
               lambda *a: _changed_slope(*a, apart=lambda z, k, t: _with(z.sigmoid(), (k, -t)))),
        Mutant("no background", "Where the object is not, background is asked: 1 - asked has to be "
               "taken off channel 0.",
               lambda *a: _changed_slope(*a, joint=lambda z, k, t: _with(z.softmax(0), (k, -t)))),
        Mutant("softmax without the others", "In a softmax every channel is pulled: the others are "
               "asked for 0 and say more than that.",
               lambda *a: _changed_slope(*a, joint=lambda z, k, t: _with(
                   torch.zeros_like(z), (k, float(z.softmax(0)[k]) - t),
                   (0, float(z.softmax(0)[0]) - 1 + t)))),
        Mutant("slope of the probability", "That is multiplied by p (1 - p), the slope of the "
               "sigmoid. The logarithm in the loss takes it away again.",
               lambda *a: _changed_slope(*a, apart=lambda z, k, t: slope(z, k, t, 0)
                                         * float(z.sigmoid()[k] * (1 - z.sigmoid()[k])))),
        Mutant("off by one", "That is the slope of the channel before: class k is channel k, as "
               "0 is background's.", lambda z, k, t, compete: slope(z, k - 1, t, compete)),
    ),
)

# ---------------------------------------------------------------------------------------------
# heads.paste
# ---------------------------------------------------------------------------------------------


def paste(row, low, high, length):
    """Pasting along one axis: a row of bins (M,), stretched over low to high -> (length,) pixels.

    A pixel shows the row at the middle of the part of it that lies in the box, linearly between
    bins' centres, held at the first and last centre; times how much of it lies in the box.
    """
    bins, out = len(row), torch.zeros(length)
    for pixel in range(length):
        start, stop = max(pixel, low), min(pixel + 1, high)
        if stop <= start:
            continue
        place = ((start + stop) / 2 - low) / (high - low) * bins - 0.5
        place = min(max(place, 0.0), bins - 1.0)
        before = int(place)
        after = min(before + 1, bins - 1)
        share = place - before
        value = (1 - share) * float(row[before]) + share * float(row[after])
        out[pixel] = value * (stop - start)
    return out


def _changed_paste(row, low, high, length, place_of=None, held=True, covered=True, nearest=False):
    """`paste` with one thing changed."""
    bins, out = len(row), torch.zeros(length)
    padded = [0.0, *row.tolist(), 0.0]
    for pixel in range(length):
        start, stop = max(pixel, low), min(pixel + 1, high)
        if stop <= start:
            continue
        share = ((start + stop) / 2 - low) / (high - low)
        place = share * bins - 0.5 if place_of is None else place_of(share, bins)
        if nearest:
            place = float(math.floor(place + 0.5))
        if held:
            place = min(max(place, 0.0), bins - 1.0)
        before = math.floor(place)
        part = place - before
        first, second = (padded[min(max(i + 1, 0), bins + 1)] for i in (before, before + 1))
        out[pixel] = ((1 - part) * first + part * second) * (stop - start if covered else 1)
    return out


PASTE = Exercise(
    name="heads.paste",
    title="From bins back to pixels",
    lesson="21",
    reference=paste,
    cases=(
        Case("one bin a pixel", (torch.tensor([0.0, 1.0, 0.5]), 2.0, 5.0, 7)),
        Case("ones fill their box and no more", (torch.ones(4), 1.0, 6.0, 8)),
        Case("two pixels a bin", (torch.tensor([1.0, 0.0, 1.0]), 0.0, 6.0, 6)),
        Case("two bins a pixel", (torch.tensor([0.0, 0.25, 0.5, 1.0]), 3.0, 5.0, 6)),
        Case("box off the grid", (torch.tensor([1.0, 0.5]), 1.5, 5.25, 7)),
        Case("box half outside", (torch.tensor([0.2, 0.6, 1.0]), -3.0, 3.0, 5)),
    ),
    tolerance=1e-4,
    hints=(
        "Where is the middle of a pixel, as a share of the box from 0 to 1? And in bins, if the "
        "first bin's centre counts as 0?",
        "share * M is in bins' edges; centres are half a bin further: share * M - 0.5. Hold it "
        "between 0 and M - 1.",
        "start, stop = max(pixel, low), min(pixel + 1, high); place = ((start + stop) / 2 - low) / "
        "(high - low) * M - 0.5, held; a mean of row[int(place)] and the next, weighted; times "
        "(stop - start).",
    ),
    solution="Edges and centres once more. A box has M bins and M centres, the first of them half "
             "a bin from its edge. The half forgotten shifts every mask by half a bin; centres "
             "laid on the box's ends stretch it. And what is beyond the last centre? Held, ones "
             "stay ones up to the edge. Faded to 0, as with a padding of zeros, they are paler "
             "near the edge and reach one half exactly at it; whoever pads has to widen the box by "
             "that bin, and whoever then puts its corners on whole pixels makes the mask "
             "grow, by up to a pixel on each side.",
    mutants=(
        Mutant("half forgotten", "Everything is half a bin too far along: the first bin's centre "
               "is half a bin from the box's edge. Take 0.5 off.",
               lambda *a: _changed_paste(*a, place_of=lambda share, bins: share * bins)),
        Mutant("centres on the ends", "The first and last centre lie on the box's ends here. M "
               "bins have M widths, not M - 1.",
               lambda *a: _changed_paste(*a, place_of=lambda share, bins: share * (bins - 1))),
        Mutant("nearest bin", "Each pixel shows its nearest bin. Between two centres it is a "
               "weighted mean.", lambda *a: _changed_paste(*a, nearest=True)),
        Mutant("faded at the ends", "Beyond the first and the last centre your row fades to 0. "
               "Hold the place between 0 and M - 1.",
               lambda *a: _changed_paste(*a, held=False)),
        Mutant("pixels counted whole", "A pixel of which the box covers a half shows half: "
               "multiply by stop - start.", lambda *a: _changed_paste(*a, covered=False)),
        Mutant("box on whole pixels", "The box was rounded to whole pixels. Here it stays where it "
               "is.", lambda row, low, high, length: paste(
                   row, math.floor(low + 0.5), math.floor(high + 0.5), length)),
    ),
)

EXERCISES = (UPSAMPLE, LABELS, BOX_LOSS, MASK_LOSS, SLOPE, PASTE)
