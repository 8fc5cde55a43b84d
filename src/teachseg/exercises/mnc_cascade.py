"""Lesson 13's exercises: a box that moves on, the slope that comes back to it, and the vote.

The six solutions are plain loops over a few numbers. `layers.roi`, `geometry.boxes` and
`decoding.voting` are the library's way; the tests hold the two equal.

Letters
    K     object classes; class 0 is background
    S     bins a side
    V     masks that vote
    H, W  height and width of the image, in pixels

Boxes are (x1, y1, x2, y2): in pixels, for `edge_slopes` in feature cells.

Lesson: 13
"""

import math

import torch

from teachseg.exercises.registry import Case, Exercise, Mutant

# ---------------------------------------------------------------------------------------------
# cascade.new_box
# ---------------------------------------------------------------------------------------------


def new_box(box, deltas, seg_class_logits, weights):
    """Where stage 3 moves a box (x1, y1, x2, y2): as its likeliest class would have it.

    deltas has a row (t_x, t_y, t_w, t_h) for each of the K + 1 classes, background first, and
    seg_class_logits a number for each. Background moves no box. Each delta was multiplied by its
    weight when it was made.
    """
    logits = list(seg_class_logits)
    best = max(range(1, len(logits)), key=lambda k: logits[k])
    t_x, t_y, t_w, t_h = (float(t) / weight for t, weight in zip(deltas[best], weights))
    x1, y1, x2, y2 = box
    width, height = x2 - x1, y2 - y1
    x, y = (x1 + x2) / 2 + t_x * width, (y1 + y2) / 2 + t_y * height
    width, height = width * math.exp(t_w), height * math.exp(t_h)
    return [x - width / 2, y - height / 2, x + width / 2, y + height / 2]


def _new_box_of(box, deltas, best, weights, grow=math.exp, corner=False, new_size=False):
    """`new_box` for a given class, with one thing changed."""
    t_x, t_y, t_w, t_h = (float(t) / weight for t, weight in zip(deltas[best], weights))
    x1, y1, x2, y2 = box
    width, height = x2 - x1, y2 - y1
    wide, high = width * grow(t_w), height * grow(t_h)
    step_x, step_y = (wide, high) if new_size else (width, height)
    if corner:
        x1, y1 = x1 + t_x * step_x, y1 + t_y * step_y
        return [x1, y1, x1 + wide, y1 + high]
    x, y = (x1 + x2) / 2 + t_x * step_x, (y1 + y2) / 2 + t_y * step_y
    return [x - wide / 2, y - high / 2, x + wide / 2, y + high / 2]


def _best_object(logits):
    return int(torch.as_tensor(logits)[1:].argmax()) + 1


THREE_WAYS = ((4.0, -3.0, 2.0, 1.0), (1.0, 2.0, 0.0, -0.5), (-2.0, 0.5, 1.5, 0.25))
FAST = (10.0, 10.0, 5.0, 5.0)

NEW_BOX = Exercise(
    name="cascade.new_box",
    title="The box that stage 3 hands on",
    lesson="13",
    reference=new_box,
    cases=(
        Case("class 1 shifts it", ((20.0, 30.0, 60.0, 50.0), THREE_WAYS, (0.0, 3.0, 1.0), FAST)),
        Case("class 2 shifts and stretches", ((20.0, 30.0, 60.0, 50.0), THREE_WAYS,
                                              (0.0, -1.0, 1.0), FAST)),
        Case("background is likeliest", ((20.0, 30.0, 60.0, 50.0), THREE_WAYS, (5.0, 1.0, 2.0),
                                         FAST)),
        Case("all logits below zero", ((0.0, 0.0, 16.0, 8.0), THREE_WAYS, (-4.0, -2.0, -3.0),
                                       FAST)),
        Case("weights of one", ((10.0, 10.0, 30.0, 50.0),
                                ((0.1, 0.2, 0.3, 0.1), (0.0, 0.25, -0.5, 0.5)), (1.0, 0.0),
                                (1.0, 1.0, 1.0, 1.0))),
    ),
    tolerance=1e-4,
    hints=(
        "Which class moves the box? Background's deltas were never trained, so it must not win.",
        "Take the best of classes 1..K, divide its four deltas by the weights, and move the "
        "middle of the box by t_x widths and t_y heights.",
        "x = (x1 + x2) / 2 + t_x * width, new width = width * exp(t_w), then "
        "x1 = x - new width / 2; y alike.",
    ),
    solution="The class with the highest logit among the objects moves the box, even where "
             "background is likelier: the box of a poor proposal is improved before it is judged "
             "again. The released code lets background win when it tests, and forgets the weights "
             "when it trains, which moves boxes 10 times too far.",
    mutants=(
        Mutant("background may win", "Background is the likeliest class in one case, and its "
               "deltas moved the box. They were never trained: choose among classes 1..K.",
               lambda box, deltas, logits, weights: _new_box_of(
                   box, deltas, int(torch.as_tensor(logits).argmax()), weights)),
        Mutant("weights forgotten", "The deltas still carry their weights: divide t_x by "
               "weights[0], and so on. Undivided, a box moves 10 times too far.",
               lambda box, deltas, logits, weights: _new_box_of(
                   box, deltas, _best_object(logits), (1.0, 1.0, 1.0, 1.0))),
        Mutant("a row too early", "That is the row before the right one: after logits[1:] the "
               "index has to be counted up by one again, as row 0 is background's.",
               lambda box, deltas, logits, weights: _new_box_of(
                   box, deltas, _best_object(logits) - 1, weights)),
        Mutant("grown without exp", "t_w is the logarithm of the growth: the new width is "
               "width * exp(t_w), not width * (1 + t_w).",
               lambda box, deltas, logits, weights: _new_box_of(
                   box, deltas, _best_object(logits), weights, grow=lambda t: 1 + t)),
        Mutant("corner moved", "The deltas move the middle of the box. Here its upper left corner "
               "was moved, and the box grew to the right and down only.",
               lambda box, deltas, logits, weights: _new_box_of(
                   box, deltas, _best_object(logits), weights, corner=True)),
        Mutant("shift in new sizes", "t_x counts widths of the old box. Here the middle was moved "
               "by widths of the new one.",
               lambda box, deltas, logits, weights: _new_box_of(
                   box, deltas, _best_object(logits), weights, new_size=True)),
    ),
)

# ---------------------------------------------------------------------------------------------
# cascade.edge_slopes
# ---------------------------------------------------------------------------------------------


def edge_slopes(features, x1, x2, slopes):
    """How a loss changes as the edges of a box move: [dL/dx1, dL/dx2], through RoIWarp.

    features is a list: a map along one axis. Bin i of S reads it, by linear interpolation, at
    z = x1 + i / S * (x2 - x1); slopes[i] is dL/d(what bin i reads). Each z lies between two cells.
    """
    bins = len(slopes)
    to_x1, to_x2 = 0.0, 0.0
    for i in range(bins):
        share = i / bins
        cell = math.floor(x1 + share * (x2 - x1))
        steepness = float(features[cell + 1]) - float(features[cell])
        to_x1 += float(slopes[i]) * steepness * (1 - share)
        to_x2 += float(slopes[i]) * steepness * share
    return [to_x1, to_x2]


def _edge_slopes_with(features, x1, x2, slopes, share, steep=True):
    """`edge_slopes` with other shares of the two edges: share(i, bins) -> (of x1, of x2)."""
    bins, total = len(slopes), [0.0, 0.0]
    for i in range(bins):
        cell = math.floor(x1 + i / bins * (x2 - x1))
        slope = float(slopes[i])
        if steep:
            slope *= float(features[cell + 1]) - float(features[cell])
        for edge, part in enumerate(share(i, bins)):
            total[edge] += slope * part
    return total


BENT = (0.0, 1.0, 4.0, 9.0, 16.0, 25.0, 36.0, 49.0)  # u squared: steeper to the right
UNEVEN = (2.0, 5.0, 1.0, -3.0, 4.0, 4.5, 0.0, 7.0)

EDGE_SLOPES = Exercise(
    name="cascade.edge_slopes",
    title="The gradient that reaches the edges of a box",
    lesson="13",
    reference=edge_slopes,
    cases=(
        Case("one bin: x1 alone", (BENT, 2.25, 6.25, (1.0,))),
        Case("two bins", (BENT, 1.25, 5.25, (1.0, 1.0))),
        Case("slopes of both signs", (UNEVEN, 0.5, 6.3, (2.0, -1.0, 0.5))),
        Case("four bins, uneven", (UNEVEN, 1.1, 6.9, (1.0, 2.0, -3.0, 0.25))),
        Case("nothing is wrong", (UNEVEN, 1.1, 6.9, (0.0, 0.0))),
    ),
    tolerance=1e-4,
    hints=(
        "How much further right does bin i read when x1 goes one cell to the right? And when x2 "
        "does? Write z as (...) * x1 + (...) * x2.",
        "z = (1 - i / S) * x1 + (i / S) * x2, and between cells u and u + 1 what is read rises by "
        "features[u + 1] - features[u] for each cell that z moves.",
        "dL/dx1 is the sum over the bins of slopes[i] * (features[u + 1] - features[u]) * "
        "(1 - i / S) with u = floor(z); for dL/dx2 take i / S instead.",
    ),
    solution="Three factors a bin: how the loss depends on what is read, how steep the map is "
             "there, and how far z goes with the edge. The steepness is that of two cells: a map "
             "that is flat around z gives no gradient, however wrong the mask is. And the first "
             "bin never hears of x2.",
    mutants=(
        Mutant("both edges alike", "Each edge got a half of every bin. Bin i goes with x1 by "
               "1 - i / S and with x2 by i / S.",
               lambda f, x1, x2, slopes: _edge_slopes_with(
                   f, x1, x2, slopes, lambda i, bins: (0.5, 0.5))),
        Mutant("edges exchanged", "The two edges have changed places: bin 0 is read at x1, so it "
               "goes with x1 alone.",
               lambda f, x1, x2, slopes: _edge_slopes_with(
                   f, x1, x2, slopes, lambda i, bins: (i / bins, 1 - i / bins))),
        Mutant("bins' middles", "Those shares belong to the bins' middles, (i + 1/2) / S. RoIWarp "
               "reads where a bin begins: i / S.",
               lambda f, x1, x2, slopes: _edge_slopes_with(
                   f, x1, x2, slopes, lambda i, bins: (1 - (i + 0.5) / bins, (i + 0.5) / bins))),
        Mutant("up to the right edge", "The last bin was taken to be read at x2: that is "
               "i / (S - 1). RoIWarp divides by S.",
               lambda f, x1, x2, slopes: _edge_slopes_with(
                   f, x1, x2, slopes, lambda i, bins: (1 - i / max(bins - 1, 1),
                                                       i / max(bins - 1, 1)))),
        Mutant("steepness forgotten", "How steep the map is where the bin is read is missing: "
               "times features[u + 1] - features[u].",
               lambda f, x1, x2, slopes: _edge_slopes_with(
                   f, x1, x2, slopes, lambda i, bins: (1 - i / bins, i / bins), steep=False)),
    ),
)

# ---------------------------------------------------------------------------------------------
# cascade.delta_gradient
# ---------------------------------------------------------------------------------------------


def delta_gradient(slopes, deltas, anchor):
    """The gradient of a loss with respect to an anchor's four deltas (t_x, t_y, t_w, t_h).

    slopes is its gradient with respect to the box (x1, y1, x2, y2) that the deltas make of the
    anchor. All are four numbers; the deltas carry no weights.
    """
    s_x1, s_y1, s_x2, s_y2 = (float(slope) for slope in slopes)
    wide, high = anchor[2] - anchor[0], anchor[3] - anchor[1]
    to_x, to_y = s_x1 + s_x2, s_y1 + s_y2                      # of the box's middle
    to_width, to_height = (s_x2 - s_x1) / 2, (s_y2 - s_y1) / 2
    t_w, t_h = float(deltas[2]), float(deltas[3])
    return [to_x * wide, to_y * high,
            to_width * wide * math.exp(t_w), to_height * high * math.exp(t_h)]


def _delta_gradient_with(slopes, deltas, anchor, middle=1.0, size=0.5, grown=True):
    """`delta_gradient` with other factors."""
    s_x1, s_y1, s_x2, s_y2 = (float(slope) for slope in slopes)
    wide, high = anchor[2] - anchor[0], anchor[3] - anchor[1]
    grow_w, grow_h = (math.exp(float(t)) if grown else 1.0 for t in deltas[2:])
    return [middle * (s_x1 + s_x2) * wide, middle * (s_y1 + s_y2) * high,
            size * (s_x2 - s_x1) * wide * grow_w, size * (s_y2 - s_y1) * high * grow_h]


def _as_released_bridge(slopes, deltas, anchor):
    """What comes for (x1, y1, x2, y2), taken for the gradient to (x, y, w, h)."""
    to_x, to_y, to_width, to_height = (float(slope) for slope in slopes)
    wide, high = anchor[2] - anchor[0], anchor[3] - anchor[1]
    return [to_x * wide, to_y * high, to_width * wide * math.exp(float(deltas[2])),
            to_height * high * math.exp(float(deltas[3]))]


EIGHT = (2.0, 2.0, 10.0, 10.0)

DELTA_GRADIENT = Exercise(
    name="cascade.delta_gradient",
    title="From the edges of a box to the deltas that made it",
    lesson="13",
    reference=delta_gradient,
    cases=(
        Case("the toy: x1 wants 1.5, x2 0.5", ((1.5, 0.0, 0.5, 0.0), (0.125, 0.0, 0.0, 0.0),
                                               EIGHT)),
        Case("the left edge alone", ((1.0, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 0.0), EIGHT)),
        Case("edges pull apart", ((-1.0, -2.0, 1.0, 2.0), (0.0, 0.0, 0.0, 0.0), EIGHT)),
        Case("a box twice as wide as its anchor", ((0.25, 0.5, -1.0, 2.0),
                                                   (0.5, -0.25, math.log(2.0), 0.0), EIGHT)),
        Case("a long anchor, half as high", ((0.2, -0.3, 0.4, 0.1),
                                             (0.1, 0.1, 0.3, -math.log(2.0)),
                                             (0.0, 4.0, 30.0, 16.0))),
    ),
    tolerance=1e-4,
    hints=(
        "Go back one step at a time: from the edges to middle and width, then to the deltas.",
        "x1 = x - w / 2 and x2 = x + w / 2, so the slope of x is s_x1 + s_x2 and that of w is "
        "(s_x2 - s_x1) / 2.",
        "x = x_a + t_x * w_a gives the factor w_a; w = w_a * exp(t_w) gives w_a * exp(t_w), which "
        "is w itself.",
    ),
    solution="Both edges together shift the box, their difference stretches it, by a half for "
             "each. The shift is measured in widths of the anchor and the growth in widths of the "
             "box. The released stage bridge leaves the first step out: a slope of the right edge "
             "is taken for one of the width, and a loss that wants to shift the box stretches it.",
    mutants=(
        Mutant("as the released bridge", "The slopes of x1 and x2 were taken for those of the "
               "middle and the width. MNC's stage bridge does that: the chain rule wants "
               "s_x1 + s_x2 and (s_x2 - s_x1) / 2.", _as_released_bridge),
        Mutant("half forgotten", "Half of a width lies on either side of the middle: "
               "(s_x2 - s_x1) / 2.",
               lambda slopes, deltas, anchor: _delta_gradient_with(
                   slopes, deltas, anchor, size=1.0)),
        Mutant("mean for the middle", "When the middle moves by 1, both edges do: the slope is "
               "their sum, not their mean.",
               lambda slopes, deltas, anchor: _delta_gradient_with(
                   slopes, deltas, anchor, middle=0.5)),
        Mutant("growth forgotten", "w = w_a * exp(t_w), and its slope is w again: the factor "
               "exp(t_w) is missing.",
               lambda slopes, deltas, anchor: _delta_gradient_with(
                   slopes, deltas, anchor, grown=False)),
        Mutant("width's sign", "A box becomes wider when x2 goes right and x1 left: "
               "s_x2 - s_x1, not the other way round.",
               lambda slopes, deltas, anchor: _delta_gradient_with(
                   slopes, deltas, anchor, size=-0.5)),
    ),
)

# ---------------------------------------------------------------------------------------------
# cascade.vote_weights
# ---------------------------------------------------------------------------------------------


def vote_weights(overlaps, scores, merge_iou):
    """How much each box's mask counts in the vote for one detection: a list that sums to 1.

    overlaps[n] is the IoU of box n with the box that stays (1 for that box itself), scores[n] what
    box n gives to the detection's class. Boxes from merge_iou on vote. Where all who may vote
    score 0, every weight is 0.
    """
    shares = [float(score) if overlap >= merge_iou else 0.0
              for overlap, score in zip(overlaps, scores)]
    total = sum(shares)
    return [share / total if total > 0 else 0.0 for share in shares]


def _shared_out(shares):
    total = sum(shares)
    return [share / total if total > 0 else 0.0 for share in shares]


VOTE_WEIGHTS = Exercise(
    name="cascade.vote_weights",
    title="Who votes, and how much?",
    lesson="13",
    reference=vote_weights,
    cases=(
        Case("two boxes on one spot", ((1.0, 0.75), (0.75, 0.25), 0.5)),
        Case("scores that do not sum to 1", ((1.0, 0.75, 0.6), (0.9, 0.6, 0.3), 0.5)),
        Case("one box too far away", ((1.0, 0.3, 0.8), (0.6, 0.9, 0.2), 0.5)),
        Case("an overlap of exactly the threshold", ((1.0, 0.5, 0.49), (0.6, 0.2, 0.7), 0.5)),
        Case("the box that stays is alone", ((0.1, 1.0, 0.0), (0.9, 0.4, 0.8), 0.5)),
        Case("nobody believes in the class", ((1.0, 0.7), (0.0, 0.0), 0.5)),
    ),
    tolerance=1e-5,
    hints=(
        "Two questions, one after the other: who may vote, and how are the votes of those shared "
        "out?",
        "A box with an overlap of at least merge_iou may vote; its share is its score, and the "
        "shares are divided by their sum.",
        "shares = [score if overlap >= merge_iou else 0.0 ...]; total = sum(shares); divide each "
        "by total, if there is one.",
    ),
    solution="The weights are the voters' own scores for the class of the detection, divided by "
             "the sum over the voters alone. So a mask that nobody trusts hardly counts, and the "
             "mean of masks that are all 1 somewhere is 1 there. Divided by the sum over all "
             "boxes, the mean would fall below any cut where many boxes lie elsewhere.",
    mutants=(
        Mutant("threshold left out", "An overlap of exactly merge_iou counts: >=, not >.",
               lambda overlaps, scores, least: _shared_out(
                   [s if o > least else 0.0 for o, s in zip(overlaps, scores)])),
        Mutant("divided over all boxes", "The scores were divided by the sum over all boxes, also "
               "those that may not vote: the weights of the voters no longer sum to 1.",
               lambda overlaps, scores, least: [
                   share if o >= least else 0.0
                   for o, share in zip(overlaps, _shared_out(list(scores)))]),
        Mutant("not divided", "Those are the scores themselves: divide by their sum, so that the "
               "weights sum to 1.",
               lambda overlaps, scores, least: [
                   s if o >= least else 0.0 for o, s in zip(overlaps, scores)]),
        Mutant("one box, one vote", "Every voter counts alike. Here each counts by its score.",
               lambda overlaps, scores, least: _shared_out(
                   [float(o >= least) for o in overlaps])),
        Mutant("weighed by overlap", "The weights are the overlaps. MNC weighs by the scores for "
               "the class; the overlap only decides who may vote.",
               lambda overlaps, scores, least: _shared_out(
                   [o if o >= least else 0.0 for o in overlaps])),
        Mutant("everybody votes", "Boxes that are elsewhere vote too: only those that overlap by "
               "at least merge_iou may.",
               lambda overlaps, scores, least: _shared_out(list(scores))),
    ),
)

# ---------------------------------------------------------------------------------------------
# cascade.vote
# ---------------------------------------------------------------------------------------------


def vote(masks, weights, binarize):
    """The mask that the voters agree on: (V, H, W) probabilities -> (H, W) of 1.0 and 0.0.

    weights are V numbers that sum to 1. A pixel is the object's where the weighted mean of the
    masks is at least binarize.
    """
    mean = torch.zeros(masks.shape[1:])
    for mask, weight in zip(masks, weights):
        mean = mean + weight * mask
    return (mean >= binarize).float()


def _mean_of(masks, weights):
    return torch.tensor(weights)[:, None, None].mul(masks).sum(dim=0)


A_AND_B = torch.stack([torch.tensor([1.0, 1.0, 0.6, 0.0]).expand(4, 4),
                       torch.tensor([1.0, 1.0, 1.0, 0.0])[:, None].expand(4, 4)])
SPREAD = torch.tensor([[[0.9, 0.45, 0.2], [0.8, 0.5, 0.1]],
                       [[0.7, 0.55, 0.9], [0.1, 0.5, 0.1]],
                       [[0.2, 0.65, 0.3], [0.1, 0.5, 0.8]]])

VOTE = Exercise(
    name="cascade.vote",
    title="The mask that the voters agree on",
    lesson="13",
    reference=vote,
    cases=(
        Case("weights 0.75 and 0.25, cut at 0.4", (A_AND_B, (0.75, 0.25), 0.4)),
        Case("the same, cut at 0.5", (A_AND_B, (0.75, 0.25), 0.5)),
        Case("a mean of exactly the cut", (torch.tensor([[[1.0, 0.0]], [[0.0, 0.0]]]),
                                           (0.5, 0.5), 0.5)),
        Case("three voters that disagree", (SPREAD, (0.5, 0.25, 0.25), 0.5)),
        Case("a voter alone", (SPREAD[:1], (1.0,), 0.4)),
        Case("no pixel is sure enough", (0.5 * A_AND_B, (0.5, 0.5), 0.9)),
    ),
    tolerance=1e-5,
    hints=(
        "First one mask of the whole image, with numbers between 0 and 1; only then yes or no.",
        "The mean is the sum of weight * mask over the voters, pixel by pixel.",
        "mean = sum(weight * mask for weight, mask in zip(weights, masks)), and "
        "(mean >= binarize).float().",
    ),
    solution="Average first, cut once. The released code does it in this order on a GPU; on a CPU "
             "it cuts each mask first, so that a voter who was sure by 0.6 counts as much as one "
             "who was sure by 1. The two give different masks, and both are in decoding.voting, "
             "by name.",
    mutants=(
        Mutant("cut before", "Each mask was cut before the mean was taken. That is what the "
               "released code does on a CPU; here the mean comes first.",
               lambda masks, weights, least: (
                   _mean_of((masks >= least).float(), weights) >= least).float()),
        Mutant("cut left out", "A mean of exactly the cut counts: >=, not >.",
               lambda masks, weights, least: (_mean_of(masks, weights) > least).float()),
        Mutant("weights left out", "That is the plain mean: each mask counts by its weight.",
               lambda masks, weights, least: (masks.mean(dim=0) >= least).float()),
        Mutant("union", "That is where any voter is sure. A vote asks for the weighted mean.",
               lambda masks, weights, least: (masks.amax(dim=0) >= least).float()),
        Mutant("the heaviest alone", "That is the mask of the heaviest voter alone, as without "
               "voting.",
               lambda masks, weights, least: (
                   masks[torch.tensor(weights).argmax()] >= least).float()),
        Mutant("not cut", "That is the mean itself: say for each pixel 1 or 0.",
               lambda masks, weights, least: _mean_of(masks, weights)),
    ),
)

# ---------------------------------------------------------------------------------------------
# cascade.tight_box
# ---------------------------------------------------------------------------------------------


def tight_box(mask):
    """The box (x1, y1, x2, y2) of a mask (H, W) of 0 and 1, in pixel edges; 0, 0, 0, 0 for none."""
    ys = [y for y in range(mask.shape[0]) if mask[y].any()]
    xs = [x for x in range(mask.shape[1]) if mask[:, x].any()]
    if not xs:
        return [0, 0, 0, 0]
    return [xs[0], ys[0], xs[-1] + 1, ys[-1] + 1]


def _box_with_middle_pixel(mask):
    """As the released code: where no pixel is left, one in the middle of the image."""
    if mask.any():
        return tight_box(mask)
    x, y = mask.shape[1] // 2, mask.shape[0] // 2
    return [x, y, x + 1, y + 1]


def _filled(height, width, y1, y2, x1, x2):
    mask = torch.zeros(height, width)
    mask[y1:y2, x1:x2] = 1
    return mask


TIGHT_BOX = Exercise(
    name="cascade.tight_box",
    title="The box of the mask that was voted for",
    lesson="13",
    reference=tight_box,
    cases=(
        Case("a rectangle", (_filled(6, 9, 1, 4, 2, 8),)),
        Case("a single pixel", (_filled(6, 9, 3, 4, 5, 6),)),
        Case("two parts", (_filled(6, 9, 0, 2, 6, 9) + _filled(6, 9, 4, 5, 1, 2),)),
        Case("the whole image", (_filled(4, 5, 0, 4, 0, 5),)),
        Case("the voters agree on no pixel", (torch.zeros(6, 9),)),
    ),
    tolerance=1e-5,
    hints=(
        "Which rows and which columns hold at least one pixel of the mask?",
        "x1 and y1 are the first column and row; the far edges lie one past the last ones, as "
        "pixel i covers i to i + 1.",
        "xs = [x for x in range(width) if mask[:, x].any()], and so for ys; then "
        "[xs[0], ys[0], xs[-1] + 1, ys[-1] + 1], if there are any.",
    ),
    solution="Pixel i covers [i, i + 1), so the far edge is one past the last pixel. A mask "
             "without a pixel has no box: where the voters agree on nothing, nothing was found. "
             "The released code puts a box of one pixel into the middle of the image instead, "
             "which counts as a wrong detection.",
    mutants=(
        Mutant("last pixel left out", "x2 and y2 are far edges: one past the last column and row.",
               lambda mask: [a - b for a, b in zip(
                   tight_box(mask), (0, 0, 1, 1) if mask.any() else (0, 0, 0, 0))]),
        Mutant("a pixel in the middle", "The mask is empty, and a box of one pixel was made up in "
               "the middle of the image, as in the released code. Nothing was found there.",
               _box_with_middle_pixel),
        Mutant("x and y exchanged", "Rows are y and columns are x: mask[y, x].",
               lambda mask: [tight_box(mask)[k] for k in (1, 0, 3, 2)]),
        Mutant("width and height", "The last two are edges, x2 and y2, not width and height.",
               lambda mask: [tight_box(mask)[k] - (tight_box(mask)[k - 2] if k > 1 else 0)
                             for k in range(4)]),
        Mutant("the whole image", "That is the box of the image, not of the mask in it.",
               lambda mask: [0, 0, mask.shape[1], mask.shape[0]] if mask.any() else [0, 0, 0, 0]),
    ),
)

EXERCISES = (NEW_BOX, EDGE_SLOPES, DELTA_GRADIENT, VOTE_WEIGHTS, VOTE, TIGHT_BOX)
