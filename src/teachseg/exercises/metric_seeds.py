"""Lesson 32's exercises: seediness, the greedy choice and its alpha, duplicates.

The solutions are plain loops. The library's way is in `teachseg.decoding.seeds`; the tests hold the
two equal.

Letters
    N     pixels
    D     dimension of an embedding; in formulas the least squared distance to a chosen seed
    T, K  thresholds, object classes; class 0 is background
    S_p   seediness of pixel p

No boxes here.

Lesson: 32
"""

import math

import torch

from teachseg.exercises.registry import Case, Exercise, Mutant

# ---------------------------------------------------------------------------------------------
# seeds.seediness
# ---------------------------------------------------------------------------------------------


def seediness(class_probs):
    """Of one pixel, (T, K+1) probabilities, background first: [S_p, its threshold's index in
    0..T-1, its class in 1..K]."""
    best = [0.0, 0, 1]
    for t in range(class_probs.shape[0]):
        for c in range(1, class_probs.shape[1]):
            if float(class_probs[t, c]) > best[0]:
                best = [float(class_probs[t, c]), t, c]
    return best


def _with(values, first=1, label=0):
    """[largest, its row, its column + `first` + `label`] of a table."""
    place = int(values.flatten().argmax())
    t, c = divmod(place, values.shape[1])
    return [float(values[t, c]), t, c + first + label]


PROBS = torch.tensor([[0.90, 0.06, 0.04], [0.30, 0.10, 0.60], [0.20, 0.75, 0.05]])

SEEDINESS = Exercise(
    name="seeds.seediness",
    title="How good a seed is this pixel?",
    lesson="32",
    reference=seediness,
    cases=(
        Case("one threshold, two classes", (PROBS[1:2],)),
        Case("three thresholds", (PROBS,)),
        Case("background is likeliest everywhere",
             (torch.tensor([[0.8, 0.15, 0.05], [0.7, 0.1, 0.2]]),)),
        Case("one class", (torch.tensor([[0.4, 0.6], [0.3, 0.7], [0.9, 0.1]]),)),
        Case("two classes are nearly as good",
             (torch.tensor([[0.10, 0.44, 0.46], [0.05, 0.48, 0.47]]),)),
        Case("five classes", (torch.tensor([[0.1, 0.1, 0.2, 0.1, 0.1, 0.4],
                                            [0.2, 0.1, 0.1, 0.5, 0.05, 0.05]]),)),
    ),
    tolerance=1e-5,
    hints=(
        "S_p is the largest of all numbers in the table but one column.",
        "Column 0 is background: that the mask is no object says nothing of a good seed.",
        "Two loops, t over the rows and c from 1 on; remember the best value with its t and c.",
    ),
    solution="One number decides three things: how good the seed is, at which threshold its mask "
             "is cut, and what it is called. Background's column is left out, but not without "
             "effect: the probabilities of a row sum to 1, so a pixel that is sure to be a bad "
             "seed has nothing left for the classes.",
    mutants=(
        Mutant("with background", "Column 0 takes part there. Background is no class of a seed.",
               lambda p: _with(p, first=0)),
        Mutant("1 - background", "That is the chance of being any object, at the threshold where "
               "that is largest. Asked is the likeliest single class.",
               lambda p: [float((1 - p[:, 0]).max()), int((1 - p[:, 0]).argmax()),
                          int(p[int((1 - p[:, 0]).argmax()), 1:].argmax()) + 1]),
        Mutant("mean over the thresholds", "Thresholds are not averaged: the best one is taken.",
               lambda p: [float(p[:, 1:].mean(dim=0).max()), int(p[:, 1:].amax(dim=1).argmax()),
                          int(p[:, 1:].mean(dim=0).argmax()) + 1]),
        Mutant("classes from 0", "Class 0 is background: the column after it is class 1.",
               lambda p: _with(p[:, 1:], first=0)),
        Mutant("first threshold", "Only the first threshold is looked at.",
               lambda p: _with(p[:1, 1:])),
        Mutant("last threshold", "Only the last threshold is looked at.",
               lambda p: [_with(p[-1:, 1:])[0], len(p) - 1, _with(p[-1:, 1:])[2]]),
    ),
)

# ---------------------------------------------------------------------------------------------
# seeds.value
# ---------------------------------------------------------------------------------------------


def value(score, distances, alpha):
    """What the choice compares: log S_p + alpha log D, D the least of the squared distances to the
    seeds chosen before. score in (0, 1], distances (chosen,), above 0; none yet: log S_p alone."""
    if len(distances) == 0:
        return math.log(score)
    least = float(distances[0])
    for d in distances:
        least = min(least, float(d))
    return math.log(score) + alpha * math.log(least)


def _value_with(score, distances, alpha, of=None, combine=None):
    """`value`, with another D or another way to put both together."""
    if len(distances) == 0:
        return (combine or (lambda s, d, a: math.log(s)))(score, 1.0, 0.0)
    d = float((of or (lambda x: x.min()))(distances.double()))
    return (combine or (lambda s, d, a: math.log(s) + a * math.log(d)))(score, d, alpha)


VALUE = Exercise(
    name="seeds.value",
    title="Good, and unlike those that are chosen",
    lesson="32",
    reference=value,
    cases=(
        Case("nothing chosen yet", (0.9, torch.zeros(0), 0.3)),
        Case("one seed, far away", (0.5, torch.tensor([4.0]), 0.5)),
        Case("one seed, close by", (0.9, torch.tensor([0.01]), 0.3)),
        Case("three seeds: the nearest counts", (0.8, torch.tensor([9.0, 0.25, 2.0]), 1.0)),
        Case("alpha of 0", (0.7, torch.tensor([0.001, 5.0]), 0.0)),
        Case("a hardly believed pixel, very far", (0.02, torch.tensor([36.0, 49.0]), 0.6)),
    ),
    tolerance=1e-4,
    hints=(
        "Two terms: how good the pixel is, and how far from what there is already.",
        "The nearest chosen seed decides: a pixel that is like one of them is a duplicate, however "
        "far the others are.",
        "math.log(score) + alpha * math.log(min(distances)).",
    ),
    solution="A sum of logarithms is the logarithm of a product, S_p D^alpha: the choice weighs "
             "the two against each other by factors. Ten times as good is worth as much as "
             "10^(1/alpha) times as far. With alpha = 0 distance does not count; a D of 0 sinks "
             "the value below everything for any alpha above 0.",
    mutants=(
        Mutant("farthest seed", "That is the distance to the farthest seed. One near seed is "
               "enough to make a duplicate.",
               lambda s, d, a: _value_with(s, d, a, lambda x: x.max())),
        Mutant("mean distance", "That is the mean distance. The nearest seed decides.",
               lambda s, d, a: _value_with(s, d, a, lambda x: x.mean())),
        Mutant("last seed", "Only the seed that was chosen last is looked at.",
               lambda s, d, a: _value_with(s, d, a, lambda x: x[-1])),
        Mutant("distance not squared", "The distances are squared already: no root.",
               lambda s, d, a: _value_with(s, d, a, lambda x: x.min().sqrt())),
        Mutant("without logarithms", "Both terms are logarithms. S + alpha D would let a far pixel "
               "win however bad it is.",
               lambda s, d, a: _value_with(s, d, a, combine=lambda s, d, a: s + a * d)),
        Mutant("alpha on the score", "alpha weighs the diversity, not the seediness.",
               lambda s, d, a: _value_with(
                   s, d, a, combine=lambda s, d, a: a * math.log(s) + math.log(d))),
    ),
)

# ---------------------------------------------------------------------------------------------
# seeds.crossover
# ---------------------------------------------------------------------------------------------


def crossover(score_p, distance_p, score_q, distance_q):
    """The alpha from which on q is chosen rather than p, where p is the better seed, S_p > S_q, and
    q the farther one, D_q > D_p (squared distances to the nearest chosen seed)."""
    gain = math.log(distance_q) - math.log(distance_p)
    loss = math.log(score_p) - math.log(score_q)
    return loss / gain


CROSSOVER = Exercise(
    name="seeds.crossover",
    title="At which alpha does the choice change?",
    lesson="32",
    reference=crossover,
    cases=(
        Case("0.9 at 0.25 against 0.45 at 4", (0.9, 0.25, 0.45, 4.0)),
        Case("0.8 at 0.25 against 0.7 at 1", (0.8, 0.25, 0.7, 1.0)),
        Case("0.7 at 1 against 0.1 at 9", (0.7, 1.0, 0.1, 9.0)),
        Case("a duplicate against a weak new object", (0.95, 0.01, 0.3, 9.0)),
        Case("nearly as far", (0.6, 2.0, 0.5, 2.5)),
        Case("both beyond 1", (0.99, 4.0, 0.33, 36.0)),
    ),
    tolerance=1e-4,
    hints=(
        "Write down the values of both, log S + alpha log D, and set them equal.",
        "log S_p + alpha log D_p = log S_q + alpha log D_q: bring alpha to one side.",
        "alpha = (log S_p - log S_q) / (log D_q - log D_p).",
    ),
    solution="Factors again: q loses a factor S_p / S_q in seediness and gains D_q / D_p in "
             "distance; alpha is the ratio of their logarithms. A duplicate at 0.01 against a new "
             "object at 9 changes at 0.17 even for seeds of 0.95 and 0.3. That is why the reported "
             "range of 0.1 to 0.6 already does nearly all that diversity can do.",
    mutants=(
        Mutant("turned round", "That is 1 / alpha: seediness lost over distance gained, not the "
               "other way round.", lambda a, b, c, d: 1 / crossover(a, b, c, d)),
        Mutant("without logarithms", "The values are sums of logarithms: their differences are "
               "logarithms of ratios.", lambda a, b, c, d: (a - c) / (d - b)),
        Mutant("other sign", "Both differences should be positive: p is better, q is farther.",
               lambda a, b, c, d: -crossover(a, b, c, d)),
        Mutant("roots of the distances", "The distances are squared already: taking their roots "
               "doubles alpha.", lambda a, b, c, d: 2 * crossover(a, b, c, d)),
        Mutant("ratios", "Those are the ratios themselves. Their logarithms are compared.",
               lambda a, b, c, d: (a / c) / (d / b)),
    ),
)

# ---------------------------------------------------------------------------------------------
# seeds.pick
# ---------------------------------------------------------------------------------------------


def pick(embeddings, scores, count, alpha):
    """Greedy choice: embeddings (N, D), scores (N,) above 0 -> `count` indices, in order.

    First the best score; then, again and again, the pixel not yet chosen with the largest
    log S + alpha log D, D its least squared distance to a chosen one. No two pixels are equal.
    """
    chosen = []
    for _ in range(count):
        best, best_value = -1, -math.inf
        for p in range(len(scores)):
            if p in chosen:
                continue
            value = math.log(float(scores[p]))
            if chosen:
                least = min(float(((embeddings[p] - embeddings[q]) ** 2).sum()) for q in chosen)
                value += alpha * math.log(least)
            if value > best_value:
                best, best_value = p, value
        chosen.append(best)
    return chosen


def _pick_with(embeddings, scores, count, alpha, near=lambda d: d.amin(dim=1), chosen_again=False,
               start=None):
    """`pick`, with one thing changed."""
    apart = (embeddings[:, None] - embeddings).double().square().sum(dim=2)
    chosen = [] if start is None else [start]
    while len(chosen) < count:
        value = scores.double().log()
        if chosen:
            value = value + alpha * near(apart[:, chosen]).clamp(min=1e-9).log()
        if not chosen_again:
            value[chosen] = -torch.inf
        chosen.append(int(value.argmax()))
    return chosen


SPOTS = torch.tensor([[0.0], [0.5], [1.0], [3.0], [5.0], [5.5]])
SCORES = torch.tensor([0.9, 0.8, 0.7, 0.1, 0.4, 0.45])
PLANE = torch.tensor([[0.0, 0.0], [0.3, 0.0], [3.0, 0.0], [3.2, 0.1], [0.0, 3.0], [6.0, 6.0]])
PLANE_SCORES = torch.tensor([0.6, 0.97, 0.9, 0.5, 0.3, 0.02])

PICK = Exercise(
    name="seeds.pick",
    title="The greedy choice",
    lesson="32",
    reference=pick,
    cases=(
        Case("one seed", (SPOTS, SCORES, 1, 0.5)),
        Case("alpha of 0: by score alone", (SPOTS, SCORES, 4, 0.0)),
        Case("alpha of 0.4", (SPOTS, SCORES, 4, 0.4)),
        Case("alpha of 1", (SPOTS, SCORES, 4, 1.0)),
        Case("two dimensions", (PLANE, PLANE_SCORES, 4, 0.3)),
        Case("until nobody is left", (PLANE, PLANE_SCORES, 6, 0.6)),
    ),
    tolerance=1e-6,
    hints=(
        "A loop over the seeds to be chosen, in it a loop over the pixels; remember the best.",
        "Pixels that are chosen are passed over. For the others, D is the least of the squared "
        "distances to *all* that are chosen.",
        "value = log(scores[p]), plus alpha * log(least) once something is chosen; append the p "
        "with the largest.",
    ),
    solution="Nothing is suppressed and no neighbourhood is defined: that two seeds belong to one "
             "object shows in their embeddings. D changes with each seed that is chosen, so the "
             "values have to be made anew each time; the library keeps the least distance so far "
             "and takes the minimum with the newest one.",
    mutants=(
        Mutant("distance to the last seed", "Only the newest seed is looked at. The nearest of all "
               "chosen ones counts.",
               lambda e, s, n, a: _pick_with(e, s, n, a, near=lambda d: d[:, -1])),
        Mutant("distance to the first seed", "Only the first seed is looked at.",
               lambda e, s, n, a: _pick_with(e, s, n, a, near=lambda d: d[:, 0])),
        Mutant("farthest seed", "That is the distance to the farthest chosen seed.",
               lambda e, s, n, a: _pick_with(e, s, n, a, near=lambda d: d.amax(dim=1))),
        Mutant("by score alone", "alpha has no effect there.",
               lambda e, s, n, a: _pick_with(e, s, n, 0.0)),
        Mutant("close together", "The sign of alpha is wrong: seeds that are alike are preferred.",
               lambda e, s, n, a: _pick_with(e, s, n, -a)),
        Mutant("the first pixel first", "The first seed is the one with the best score, not the "
               "first in the list.", lambda e, s, n, a: _pick_with(e, s, n, a, start=0)),
    ),
)

# ---------------------------------------------------------------------------------------------
# seeds.duplicates
# ---------------------------------------------------------------------------------------------


def keep(masks, scores, max_iou):
    """Which masks stay: masks (S, L) of 0 and 1, scores (S,), all different -> (S,), 1 or 0.

    Best first, a mask stays unless its IoU with one that stays is above max_iou.
    """
    out = torch.zeros(len(scores))
    for k in sorted(range(len(scores)), key=lambda k: -float(scores[k])):
        alone = True
        for other in range(len(scores)):
            if out[other] > 0:
                common = float((masks[k] * masks[other]).sum())
                union = float(masks[k].sum() + masks[other].sum()) - common
                if common > max_iou * union:
                    alone = False
        if alone:
            out[k] = 1
    return out


def _keep_with(masks, scores, max_iou, order=None, rule=None, of_all=False):
    """`keep`, with one thing changed."""
    common = masks.double() @ masks.double().T
    sizes = masks.double().sum(dim=1)
    union = sizes[:, None] + sizes - common
    clash = (rule or (lambda c, u, s: c > max_iou * u))(common, union, sizes)
    order = (order or (lambda s: s.argsort(descending=True)))(scores).tolist()
    out = torch.zeros(len(scores))
    for place, k in enumerate(order):
        before = order[:place] if of_all else [o for o in order[:place] if out[o]]
        out[k] = float(not any(clash[k, o] for o in before))
    return out


def _spans(*spans, length=12):
    pixel = torch.arange(length)
    return torch.stack([((a <= pixel) & (pixel < b)).float() for a, b in spans])


CHAIN = _spans((0, 8), (2, 10), (4, 12))

DUPLICATES = Exercise(
    name="seeds.duplicates",
    title="Two seeds, one object",
    lesson="32",
    reference=keep,
    cases=(
        Case("two that overlap, one apart",
             (_spans((0, 6), (0, 8), (9, 12)), torch.tensor([0.5, 0.9, 0.4]), 0.5)),
        Case("an overlap of exactly the threshold",
             (_spans((0, 6), (0, 8)), torch.tensor([0.5, 0.9]), 0.75)),
        Case("a chain: each overlaps its neighbour", (CHAIN, torch.tensor([0.9, 0.8, 0.7]), 0.5)),
        Case("the chain, best in the middle", (CHAIN, torch.tensor([0.7, 0.9, 0.8]), 0.5)),
        Case("three of one object", (_spans((0, 8), (0, 7), (1, 8)),
                                     torch.tensor([0.7, 0.5, 0.9]), 0.5)),
        Case("a part in its whole", (_spans((0, 12), (3, 6)), torch.tensor([0.6, 0.8]), 0.3)),
        Case("nothing alike",
             (_spans((0, 3), (4, 7), (8, 12)), torch.tensor([0.1, 0.3, 0.2]), 0.1)),
    ),
    tolerance=1e-6,
    hints=(
        "Go through the masks from the best to the worst, and keep a list of those that stay.",
        "A mask is compared with those that stay, not with those that are gone already.",
        "It stays unless some kept one has common > max_iou * union.",
    ),
    solution="As with boxes in lesson 06, only by mask. In the chain the second goes because of "
             "the first; the third overlaps the second alone, and that one is gone. Whoever "
             "compares with all better ones loses it. Two crossing objects have boxes that are "
             "alike and masks that are not: here they both stay.",
    mutants=(
        Mutant("compared with the gone ones", "A mask that is gone removes nobody: compare with "
               "those that stay.", lambda m, s, t: _keep_with(m, s, t, of_all=True)),
        Mutant("worst first", "The best score goes first.",
               lambda m, s, t: _keep_with(m, s, t, order=lambda s: s.argsort())),
        Mutant("in the order of the list", "The masks come in any order: sort by score first.",
               lambda m, s, t: _keep_with(m, s, t, order=lambda s: torch.arange(len(s)))),
        Mutant("from the threshold on", "An overlap of exactly the threshold is kept.",
               lambda m, s, t: _keep_with(m, s, t, rule=lambda c, u, z: c >= t * u)),
        Mutant("share of the smaller one", "That is the share of the smaller mask that is covered, "
               "not IoU.", lambda m, s, t: _keep_with(
                   m, s, t, rule=lambda c, u, z: c > t * torch.minimum(z[:, None], z))),
        Mutant("any overlap", "A shared pixel is not enough: the IoU has to exceed the threshold.",
               lambda m, s, t: _keep_with(m, s, t, rule=lambda c, u, z: c > 0)),
    ),
)

EXERCISES = (SEEDINESS, VALUE, CROSSOVER, PICK, DUPLICATES)
