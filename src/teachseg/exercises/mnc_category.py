"""Lesson 12's exercises: masked features, two labels for one box, and the loss of three terms.

The six solutions are plain loops over channels, bins, pixels and rois. The library's way is in
`teachseg.layers.cascade`, `teachseg.learning.targets` and `teachseg.papers.mnc`; the tests hold the
two equal.

Letters
    C     channels of the features read from a box
    S, M  side of that block, and of the mask, in bins
    R, K  rois; object classes, class 0 is background

Boxes are (x1, y1, x2, y2) in image pixels, whole ones here.

Lesson: 12
"""

import math

import torch

from teachseg.exercises.registry import Case, Exercise, Mutant

# ---------------------------------------------------------------------------------------------
# What the cases are made of
# ---------------------------------------------------------------------------------------------


def _hilly(*sides: int) -> torch.Tensor:
    """Whole numbers from -7 to 7, up and down so that no two neighbours are alike."""
    count = torch.arange(math.prod(sides)).view(sides)
    return ((7 * count * count + 5 * count + 3) % 15 - 7).float()


def _probs(*sides: int) -> torch.Tensor:
    """Sixteenths from 1/16 to 15/16, in no order."""
    count = torch.arange(math.prod(sides)).view(sides)
    return ((11 * count * count + 3 * count + 4) % 15 + 1).float() / 16


def _spans(rows, columns, *filled) -> torch.Tensor:
    """(rows, columns) zeros with rectangles (x1, y1, x2, y2, value) on them."""
    area = torch.zeros(rows, columns)
    for x1, y1, x2, y2, value in filled:
        area[y1:y2, x1:x2] = value
    return area


FEATURES = _hilly(3, 4, 4)
MASK = _probs(4, 4)
HALF = _spans(4, 4, (0, 0, 2, 4, 1.0))

# ---------------------------------------------------------------------------------------------
# category.masked
# ---------------------------------------------------------------------------------------------


def masked(features, mask):
    """F_mask = F_roi * M: features (C, S, S), mask (S, S) in [0, 1] -> (C, S, S)."""
    channels, height, width = features.shape
    out = torch.zeros(channels, height, width)
    for c in range(channels):
        for i in range(height):
            for j in range(width):
                out[c, i, j] = features[c, i, j] * mask[i, j]
    return out


def _first_channel(features, mask):
    """The mask on channel 0 alone."""
    return torch.cat([features[:1] * mask, features[1:]])


MASKED = Exercise(
    name="category.masked",
    title="Let through what the mask shows",
    lesson="12",
    reference=masked,
    cases=(
        Case("one channel, mask of 0 and 1", (FEATURES[:1], HALF)),
        Case("three channels, a soft mask", (FEATURES, MASK)),
        Case("a mask of 0: nothing is left", (FEATURES, torch.zeros(4, 4))),
        Case("a mask of 1/2 everywhere", (FEATURES, torch.full((4, 4), 0.5))),
        Case("not as high as wide", (_hilly(2, 2, 3), _probs(2, 3))),
    ),
    tolerance=1e-5,
    hints=(
        "One mask serves all channels. What should be left of a bin where the mask is 0?",
        "Bin (i, j) of every channel c is multiplied by the same number, mask[i, j].",
        "out[c, i, j] = features[c, i, j] * mask[i, j]; without loops, features * mask.",
    ),
    solution="The mask has no channel axis: it is laid over each channel. It stays a probability. "
             "Cut to 0 and 1 first it would pass no gradient, and the class could not say which "
             "mask it would have liked better; a bin that is half sure passes half.",
    mutants=(
        Mutant("cut at a half", "The mask was cut to 0 and 1 first. Here it stays a probability: "
               "a step passes no gradient.", lambda f, m: f * (m >= 0.5)),
        Mutant("turned round", "That lets through what the mask does not show: multiply by m, not "
               "by 1 - m.", lambda f, m: f * (1 - m)),
        Mutant("first channel alone", "Only channel 0 is masked. One mask serves all channels.",
               _first_channel),
        Mutant("added", "The mask is added. What is to vanish has to be multiplied by 0.",
               lambda f, m: f + m),
        Mutant("shared out", "The result was divided by the mask's mean, as if to make up for "
               "what is lost. MNC's product does not.",
               lambda f, m: f * m / m.mean().clamp(min=1e-6)),
        Mutant("transposed", "Rows and columns of the mask are swapped: mask[i, j] belongs to "
               "features[c, i, j].",
               lambda f, m: f * (m.T if m.shape[0] == m.shape[1] else m.T.reshape(m.shape))),
    ),
)

# ---------------------------------------------------------------------------------------------
# category.resize
# ---------------------------------------------------------------------------------------------


def resize(mask, size):
    """A mask (M, M) brought to (size, size) by linear interpolation along both axes.

    The middle of bin i of the result lies at (i + 1/2) * M / size in the mask's own edges; bin u of
    the mask has its middle at u + 1/2. Beyond the outermost middles the outermost bin is read.
    """
    side = mask.shape[0]
    near = []
    for i in range(size):
        z = min(max((i + 0.5) * side / size - 0.5, 0), side - 1)
        low = math.floor(z)
        near.append((low, min(low + 1, side - 1), z - low))
    out = torch.zeros(size, size)
    for i, (top, bottom, down) in enumerate(near):
        for j, (left, right, across) in enumerate(near):
            above = (1 - across) * mask[top, left] + across * mask[top, right]
            below = (1 - across) * mask[bottom, left] + across * mask[bottom, right]
            out[i, j] = (1 - down) * above + down * below
    return out


def _read(mask, places):
    """`resize` that reads at other places, given along one axis; held inside the mask."""
    side = mask.shape[0]
    rows = torch.zeros(len(places), side)
    for i, z in enumerate(places):
        z = min(max(z, 0), side - 1)
        low = math.floor(z)
        rows[i, low] += 1 - (z - low)
        rows[i, min(low + 1, side - 1)] += z - low
    return rows @ mask @ rows.T


def _nearest(mask, size):
    """Each bin takes the one mask bin in which its middle lies."""
    places = [min(int((i + 0.5) * mask.shape[0] / size), mask.shape[0] - 1) for i in range(size)]
    return mask[places][:, places]


RESIZE = Exercise(
    name="category.resize",
    title="Bring a mask of 28 or 21 bins to the features' 14",
    lesson="12",
    reference=resize,
    cases=(
        Case("as many bins as there are", (MASK, 4)),
        Case("4 to 2, as 28 to 14", (MASK, 2)),
        Case("3 to 2, as 21 to 14", (_probs(3, 3), 2)),
        Case("6 to 4", (_probs(6, 6), 4)),
        Case("2 to 4: it may grow as well", (_spans(2, 2, (0, 0, 1, 1, 1.0)), 4)),
        Case("a single bin", (_probs(1, 1), 3)),
    ),
    tolerance=1e-4,
    hints=(
        "Along one axis, 4 bins to 2: which bins of the mask lie around the middle of the first?",
        "Bin i is read at z = (i + 0.5) * M / size - 0.5, where z = u is the middle of the mask's "
        "bin u. Which share does each of its two neighbours get?",
        "Hold z in 0..M-1; low = floor(z), share = z - low; then mix mask[low] and mask[low + 1] "
        "along the columns, and the two mixtures along the rows.",
    ),
    solution="The half is what goes wrong: middles lie half a bin from edges, in the mask and in "
             "the result. From 4 to 2 bins z is 0.5 and 2.5, so each bin is the mean of two by "
             "two. From 3 to 2 it is 0.25 and 1.75: three quarters of the near one. Without the "
             "halves the first bin would be the mask's first, and everything moves up and left.",
    mutants=(
        Mutant("nearest", "That takes the one bin in which each middle lies. Linear interpolation "
               "mixes the neighbours.", _nearest),
        Mutant("without the halves", "Bin i is read at i * M / size. Middles lie half a bin from "
               "edges: (i + 0.5) * M / size - 0.5.",
               lambda m, size: _read(m, [i * m.shape[0] / size for i in range(size)])),
        Mutant("half forgotten at the end", "The last - 0.5 is missing: z = u is the middle of "
               "bin u, not its edge.",
               lambda m, size: _read(m, [(i + 0.5) * m.shape[0] / size for i in range(size)])),
        Mutant("corners on corners", "The outermost middles were laid on each other, which is "
               "align_corners=True. The edges have to meet, not the middles.",
               lambda m, size: _read(m, [i * (m.shape[0] - 1) / max(size - 1, 1)
                                         for i in range(size)])),
        Mutant("transposed", "Rows and columns of the result are swapped.",
               lambda m, size: resize(m, size).T),
    ),
)

# ---------------------------------------------------------------------------------------------
# category.gradient
# ---------------------------------------------------------------------------------------------


def mask_slope(features, slope):
    """What each bin of the mask gets: (C, S, S) features, (C, S, S) slope of the loss with respect
    to features * mask -> (S, S) slope with respect to the mask."""
    channels, height, width = features.shape
    out = torch.zeros(height, width)
    for i in range(height):
        for j in range(width):
            for c in range(channels):
                out[i, j] += features[c, i, j] * slope[c, i, j]
    return out


SLOPE = _hilly(3, 4, 4).flip(0, 2) / 8

GRADIENT = Exercise(
    name="category.gradient",
    title="Which way would the class have the mask?",
    lesson="12",
    reference=mask_slope,
    cases=(
        Case("one channel", (FEATURES[:1], SLOPE[:1])),
        Case("three channels", (FEATURES, SLOPE)),
        Case("features of 0: nothing to gain", (torch.zeros(3, 4, 4), SLOPE)),
        Case("a slope in one channel alone", (FEATURES, SLOPE * torch.eye(3)[1][:, None, None])),
        Case("not as high as wide", (_hilly(2, 2, 3), _hilly(2, 2, 3) + 1)),
    ),
    tolerance=1e-4,
    hints=(
        "F_mask(c) = F(c) * m. If m grows by 1, by how much does each channel of F_mask grow?",
        "One mask bin works in all channels, so what it does to the loss is a sum over them.",
        "out[i, j] = sum over c of features[c, i, j] * slope[c, i, j].",
    ),
    solution="The mask's own value does not appear: a product's slope with respect to one factor "
             "is the other factor. So a mask of 0 still learns, if there are features under it; "
             "the features are what learns nothing there, for their slope is slope * mask. And "
             "the channels add up: one mask bin answers for all of them.",
    mutants=(
        Mutant("mean of the channels", "That is the mean over the channels. A mask bin works in "
               "all of them, and their slopes add up.", lambda f, g: (f * g).mean(dim=0)),
        Mutant("slopes alone", "The features are missing: the slope with respect to one factor is "
               "the other factor.", lambda f, g: g.sum(dim=0)),
        Mutant("features alone", "The slope that arrives is missing: the chain rule multiplies by "
               "it.", lambda f, g: f.sum(dim=0)),
        Mutant("strongest channel", "That is the strongest channel alone. All of them count.",
               lambda f, g: (f * g).amax(dim=0)),
        Mutant("sums multiplied", "That is the product of two sums; asked is the sum of products, "
               "channel by channel.", lambda f, g: f.sum(dim=0) * g.sum(dim=0)),
        Mutant("downhill", "The sign is the wrong way round: the slope is asked for, not the step "
               "against it.", lambda f, g: -(f * g).sum(dim=0)),
    ),
)

# ---------------------------------------------------------------------------------------------
# category.mask_label
# ---------------------------------------------------------------------------------------------


def mask_label(crop, box, real, box_label):
    """The label that counts the mask: box_label if the mask is good enough, else 0.

    crop (h, w) in [0, 1] is the predicted mask, one number for each pixel of the box (x1, y1, x2,
    y2); real (H, W) is the object's mask in the whole image, 0 or 1. A pixel is predicted from 1/2
    on, a mask is good from an IoU of 1/2 on. box_label is 0 where the box itself is background.
    """
    x1, y1, x2, y2 = box
    common, union = 0, 0
    for y in range(real.shape[0]):
        for x in range(real.shape[1]):
            inside = x1 <= x < x2 and y1 <= y < y2
            predicted = inside and crop[y - y1, x - x1] >= 0.5
            is_real = real[y, x] > 0
            common += predicted and is_real
            union += predicted or is_real
    return box_label if union > 0 and common >= 0.5 * union else 0


def _label_with(crop, box, real, box_label, pixel=lambda p: p >= 0.5, outside=True,
                good=lambda common, predicted, there: 2 * common >= predicted + there - common):
    """`mask_label` with one thing changed."""
    x1, y1, x2, y2 = box
    on = torch.zeros(real.shape, dtype=torch.bool)
    on[y1:y2, x1:x2] = pixel(crop)
    there = real > 0
    if not outside:
        there = _spans(*real.shape, (x1, y1, x2, y2, 1.0)).bool() & there
    counts = (int((on & there).sum()), int(on.sum()), int(there.sum()))
    return box_label if counts[1] + counts[2] > 0 and good(*counts) else 0


OBJECT = _spans(6, 8, (1, 1, 7, 5, 1.0))  # 6 x 4 pixels of an image of 8 x 6

MASK_LABEL = Exercise(
    name="category.mask_label",
    title="Does the mask earn the box's label?",
    lesson="12",
    reference=mask_label,
    cases=(
        Case("the whole object", (torch.ones(4, 6), (1, 1, 7, 5), OBJECT, 3)),
        Case("exactly half of the object", (torch.ones(4, 3), (1, 1, 4, 5), OBJECT, 2)),
        Case("all of the box's part, most lies outside",
             (torch.ones(2, 4), (1, 1, 5, 3), OBJECT, 4)),
        Case("a third of the object, and nothing else",
             (_spans(4, 6, (0, 0, 2, 4, 0.9)), (1, 1, 7, 5), OBJECT, 1)),
        Case("pixels at exactly one half", (torch.full((4, 6), 0.5), (1, 1, 7, 5), OBJECT, 3)),
        Case("pixels a little below one half",
             (torch.full((4, 6), 0.45), (1, 1, 7, 5), OBJECT, 2)),
        Case("the whole image: all of the object and as much beside",
             (torch.ones(6, 8), (0, 0, 8, 6), OBJECT, 1)),
        Case("much more than the object", (torch.ones(6, 8), (0, 0, 8, 6),
                                           _spans(6, 8, (0, 0, 5, 4, 1.0)), 4)),
        Case("a good mask in a box that is background",
             (torch.ones(4, 6), (1, 1, 7, 5), OBJECT, 0)),
        Case("an empty mask", (torch.zeros(4, 6), (1, 1, 7, 5), OBJECT, 5)),
    ),
    tolerance=1e-6,
    hints=(
        "Put the predicted mask into the image first. Which pixels are the object's, and which of "
        "them can the box not reach?",
        "IoU = common / union. The union counts all of the object's pixels, those outside the box "
        "as well.",
        "Go over every pixel (x, y) of the image: predicted only inside the box and where "
        "crop[y - y1, x - x1] >= 0.5. Label box_label if common >= 0.5 * union and union > 0.",
    ),
    solution="The union is usually taken inside the box alone, because that is where both crops "
             "are at hand. Then a box that sees a corner of an object gets a perfect score for a "
             "perfect corner. The released code compares whole masks: what the box misses counts "
             "against it. 'At least' is meant in both places, and background stays background.",
    mutants=(
        Mutant("union inside the box", "The union was taken inside the box. What the object has "
               "outside of it counts as well: there the prediction is missing.",
               lambda *a: _label_with(*a, outside=False)),
        Mutant("more than half", "An IoU of exactly 1/2 is good: at least, not more than.",
               lambda *a: _label_with(
                   *a, good=lambda c, p, t: 2 * c > p + t - c)),
        Mutant("pixels above a half", "A pixel of exactly 1/2 is predicted: at least, not more "
               "than.", lambda *a: _label_with(*a, pixel=lambda p: p > 0.5)),
        Mutant("share of the object", "That is the share of the object that is covered. A mask "
               "that covers everything would always pass; divide by the union.",
               lambda *a: _label_with(*a, good=lambda c, p, t: 2 * c >= t)),
        Mutant("share of the prediction", "That is the share of the prediction that is right. A "
               "small part of the object would pass; divide by the union.",
               lambda *a: _label_with(*a, good=lambda c, p, t: p > 0 and 2 * c >= p)),
        Mutant("twice the common", "That is Dice, 2 common / (predicted + real), which is larger "
               "than IoU. Divide by the union.",
               lambda *a: _label_with(*a, good=lambda c, p, t: 4 * c >= p + t)),
        Mutant("released threshold", "Pixels were cut at 0.4, as in the released code. Here they "
               "are cut at 0.5.", lambda *a: _label_with(*a, pixel=lambda p: p >= 0.4)),
        Mutant("1 for good", "That says whether the mask is good. The label is asked for: the "
               "class of the box, or 0.",
               lambda crop, box, real, k: float(_label_with(crop, box, real, 1))),
        Mutant("the box's label", "The mask is not looked at: that is the label of the box.",
               lambda crop, box, real, k: k),
    ),
)

# ---------------------------------------------------------------------------------------------
# category.box_loss
# ---------------------------------------------------------------------------------------------


def box_loss(deltas, wanted, count):
    """Smooth L1 with sigma = 1: deltas, wanted (P, 4) of the positives -> one number.

    Below 1 a difference d costs d * d / 2, from there on |d| - 1/2. The sum is shared out over all
    count rois that were drawn, background included; with none it is 0.
    """
    total = 0
    for ours, theirs in zip(deltas, wanted):
        for a, b in zip(ours, theirs):
            distance = abs(float(a - b))
            total += 0.5 * distance * distance if distance < 1 else distance - 0.5
    return total / max(count, 1)


def _loss_with(deltas, wanted, term):
    """The sum of a term over all differences."""
    return float(sum(term(abs(float(d))) for d in (deltas - wanted).flatten()))


SOME = torch.tensor([[0.5, 0.0, 2.0, -1.0], [0.25, -3.0, 0.0, 0.75]])
NEAR = torch.tensor([[0.5, -0.5, 0.0, 0.2]])
NONE = torch.zeros(0, 4)

BOX_LOSS = Exercise(
    name="category.box_loss",
    title="What a box that is off costs",
    lesson="12",
    reference=box_loss,
    cases=(
        Case("one positive among four", (NEAR, torch.zeros(1, 4), 4)),
        Case("two positives among five", (SOME, torch.zeros(2, 4), 5)),
        Case("what is asked is not 0", (SOME, SOME.flip(0), 3)),
        Case("a difference of exactly 1", (torch.ones(1, 4), torch.zeros(1, 4), 1)),
        Case("no rois at all", (NONE, NONE, 0)),
    ),
    tolerance=1e-5,
    hints=(
        "Draw the curve: near 0 a parabola, further off a line of slope 1. Where do they meet?",
        "For each of the four differences of each positive: 0.5 * d * d below 1, d - 0.5 from 1 "
        "on. Add up all of them.",
        "Divide the sum by max(count, 1), with count all rois that were drawn: not by the "
        "positives, and not by 4.",
    ),
    solution="F.smooth_l1_loss takes the mean unless it is told to sum, and so divides by 4 P. "
             "Shared out over all rois drawn, each positive weighs the same whether it has many "
             "companions or few, and an image without any costs 0 instead of 0 / 0. MNC's head "
             "bends at 1 (sigma 1); its region proposals bend at 1/9 (sigma 3).",
    mutants=(
        Mutant("shared out over the positives", "The sum was divided by the positives. It is "
               "shared out over all rois that were drawn.",
               lambda d, w, n: box_loss(d, w, len(d))),
        Mutant("mean of all numbers", "That is the mean over all differences, which torch takes "
               "unless it is told to sum. Add them up, and divide by count.",
               lambda d, w, n: box_loss(d, w, 4 * len(d))),
        Mutant("not shared out", "That is the sum. It is divided by count.",
               lambda d, w, n: box_loss(d, w, 1)),
        Mutant("bends at 1/9", "That bends at 1/9, sigma = 3, as the region proposals do. Here it "
               "bends at 1.",
               lambda d, w, n: _loss_with(
                   d, w, lambda x: 4.5 * x * x if x < 1 / 9 else x - 1 / 18) / max(n, 1)),
        Mutant("squares", "Those are the squares' halves everywhere: one wild box would rule the "
               "loss. From 1 on it is a line.",
               lambda d, w, n: _loss_with(d, w, lambda x: 0.5 * x * x) / max(n, 1)),
        Mutant("absolute values", "Those are absolute values everywhere. Near 0 it is a parabola, "
               "0.5 * d * d.", lambda d, w, n: _loss_with(d, w, lambda x: x) / max(n, 1)),
        Mutant("without 1/2 on the line", "The line lacks its - 1/2: at 1 the curve would jump "
               "from 0.5 to 1.",
               lambda d, w, n: _loss_with(
                   d, w, lambda x: 0.5 * x * x if x < 1 else x) / max(n, 1)),
    ),
)

# ---------------------------------------------------------------------------------------------
# category.joint_loss
# ---------------------------------------------------------------------------------------------


def joint_loss(class_logits, seg_class_logits, deltas, labels, seg_labels, wanted):
    """L3 of R rois: softmax loss of the box's labels + softmax loss of the mask's + smooth L1.

    class_logits, seg_class_logits (R, K+1); deltas (R, K+1, 4), a box for every class; labels,
    seg_labels (R,) in 0..K; wanted (R, 4), read only where labels > 0. Each term is shared out over
    the R rois.
    """
    count = len(labels)
    total = 0
    for logits, asked in ((class_logits, labels), (seg_class_logits, seg_labels)):
        for row, label in zip(logits, asked):
            total += float(torch.logsumexp(row, 0) - row[label]) / count
    positive = [r for r in range(count) if labels[r] > 0]
    own = [deltas[r, labels[r]] for r in positive]
    return total + box_loss(own, [wanted[r] for r in positive], count)


def _joint_with(class_logits, seg_class_logits, deltas, labels, seg_labels, wanted, seg=None,
                boxes=None, rows=None, parts=(1, 1, 1), share=1.0):
    """`joint_loss` with other labels for the mask's term, for the boxes' class, or for the rows."""
    seg = seg_labels if seg is None else seg
    boxes = labels if boxes is None else boxes
    rows = labels > 0 if rows is None else rows
    terms = [torch.nn.functional.cross_entropy(class_logits, labels),
             torch.nn.functional.cross_entropy(seg_class_logits, seg)]
    own = deltas[torch.arange(len(labels)), boxes][rows]
    terms.append(box_loss(own, wanted[rows], len(labels) * share))
    return float(sum(part * float(term) for part, term in zip(parts, terms)))


def _rois(labels, seg_labels, scale=1.0):
    """Logits and deltas of len(labels) rois and 2 classes, and what was asked of each."""
    count = len(labels)
    logits = _hilly(2, count, 3) * scale / 4
    return (logits[0], logits[1], _hilly(count, 3, 4) * scale / 8, torch.tensor(labels),
            torch.tensor(seg_labels), _hilly(count, 4).flip(0) / 8)


JOINT_LOSS = Exercise(
    name="category.joint_loss",
    title="The loss of stage 3, all three terms",
    lesson="12",
    reference=joint_loss,
    cases=(
        Case("logits of 0, one background", (torch.zeros(1, 3), torch.zeros(1, 3),
                                             torch.ones(1, 3, 4), torch.tensor([0]),
                                             torch.tensor([0]), torch.zeros(1, 4))),
        Case("both labels agree", _rois([1, 0, 2], [1, 0, 2])),
        Case("one mask was not good enough", _rois([1, 2, 0, 2], [1, 0, 0, 2])),
        Case("good boxes, no good mask", _rois([1, 2], [0, 0], 2.0)),
        Case("background alone", _rois([0, 0, 0], [0, 0, 0])),
    ),
    tolerance=1e-4,
    hints=(
        "Which labels does each of the three terms look at? Only one of them looks at seg_labels.",
        "Cross-entropy of a row: log(sum(exp(row))) - row[label], the mean over the rois. Once "
        "with class_logits and labels, once with seg_class_logits and seg_labels.",
        "Boxes: only rois with labels > 0, of each the four deltas of its own class, "
        "deltas[r, labels[r]], against wanted[r]; your smooth L1, shared out over all R rois.",
    ),
    solution="Two mistakes hide well. The mask's labels may creep into the box term: a box is "
             "asked to move whenever the box itself is positive, however bad its mask is. And "
             "deltas[r] holds a box for every class; only that of the roi's own class is asked, "
             "the others get no gradient, background's never does.",
    mutants=(
        Mutant("box's labels twice", "Both softmax terms look at labels. The second has its own, "
               "seg_labels, which count the mask.",
               lambda *a: _joint_with(*a, seg=a[3])),
        Mutant("boxes of good masks alone", "The box term was taken where seg_labels > 0. A box "
               "learns wherever the box is positive.",
               lambda *a: _joint_with(*a, rows=a[4] > 0)),
        Mutant("boxes of background as well", "Background's boxes are in the box term. Nothing is "
               "asked of them: labels > 0 only.",
               lambda *a: _joint_with(*a, rows=torch.ones_like(a[3], dtype=torch.bool))),
        Mutant("deltas of class 0", "The deltas of class 0 were taken. Take those of the roi's own "
               "class, deltas[r, labels[r]].",
               lambda *a: _joint_with(*a, boxes=torch.zeros_like(a[3]))),
        Mutant("off by one", "The deltas of label - 1 were taken. Background has a place too: "
               "class k stands at k.",
               lambda *a: _joint_with(*a, boxes=(a[3] - 1).clamp(min=0))),
        Mutant("second term forgotten", "The softmax loss of the masks' labels is missing.",
               lambda *a: _joint_with(*a, parts=(1, 0, 1))),
        Mutant("box term forgotten", "The box term is missing.",
               lambda *a: _joint_with(*a, parts=(1, 1, 0))),
        Mutant("shared out over the positives", "The box term was shared out over the positives. "
               "All three are shared out over the R rois.",
               lambda *a: _joint_with(*a, share=max(float((a[3] > 0).double().mean()), 1e-9))),
        Mutant("summed", "The terms are sums over the rois: divide by their number.",
               lambda *a: _joint_with(*a) * len(a[3])),
    ),
    uses=("category.box_loss",),
)

EXERCISES = (MASKED, RESIZE, GRADIENT, MASK_LABEL, BOX_LOSS, JOINT_LOSS)
