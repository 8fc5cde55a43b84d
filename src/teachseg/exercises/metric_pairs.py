"""Lesson 30's exercises: similarity and its inverse, the weights, loss and slope of pairs.

The solutions are plain loops over numbers. The library's way is in `teachseg.geometry.similarity`
and `teachseg.learning.losses`; the tests hold the two equal.

Letters
    D      dimension of an embedding
    S      points drawn from an image
    d      squared distance of two embeddings
    sigma  2 / (1 + exp(d))

No boxes here.

Lesson: 30
"""

import math

import torch

from teachseg.exercises.registry import Case, Exercise, Mutant

# ---------------------------------------------------------------------------------------------
# pairs.sigma
# ---------------------------------------------------------------------------------------------


def sigma(e_p, e_q):
    """sigma(p, q) = 2 / (1 + exp(d)) of two embeddings (D,), d their squared distance -> a number.

    It must also be right, and not fail, where exp(d) is too large for a float.
    """
    d = 0.0
    for a, b in zip(e_p.tolist(), e_q.tolist()):
        d += (a - b) ** 2
    return 2 * math.exp(-d) / (1 + math.exp(-d))


def _sigma_of(distance):
    """A `sigma` whose distance is another."""

    def function(e_p, e_q):
        d = float(distance((e_p - e_q).double()))
        return 2 * math.exp(-d) / (1 + math.exp(-d))

    return function


FAR = (torch.tensor([0.0, 40.0]), torch.tensor([10.0, 0.0]))

SIGMA = Exercise(
    name="pairs.sigma",
    title="How similar are two pixels?",
    lesson="30",
    reference=sigma,
    cases=(
        Case("equal embeddings", (torch.tensor([1.0, 2.0]), torch.tensor([1.0, 2.0]))),
        Case("one apart along one axis", (torch.tensor([0.0, 0.0]), torch.tensor([1.0, 0.0]))),
        Case("half apart along two axes", (torch.tensor([0.5, 0.0]), torch.tensor([0.0, 0.5]))),
        Case("three axes, one of them negative",
             (torch.tensor([0.2, -0.6, 0.1]), torch.tensor([0.5, 0.2, 0.1]))),
        Case("one dimension", (torch.tensor([0.3]), torch.tensor([1.7]))),
        Case("1700 apart, squared: exp(1700) is no float", FAR),
    ),
    tolerance=1e-5,
    hints=(
        "Add up the squared differences of the coordinates first; then put the sum into the "
        "formula.",
        "d = sum of (a - b) ** 2. math.exp(1700) raises an error: what can numerator and "
        "denominator be multiplied by, so that only exp(-d) is left?",
        "2 / (1 + e^d) = 2 e^(-d) / (1 + e^(-d)), and math.exp(-d) of a large d is 0.",
    ),
    solution="Multiply numerator and denominator by e^(-d): the large number becomes a small one, "
             "and a small one can be 0 without harm. The value is the same. 2 * sigmoid(-d) is the "
             "same once more, and what the library uses. The factor 2 is what makes equal "
             "embeddings 1: without it, two equal pixels would be similar by one half.",
    mutants=(
        Mutant("distance not squared", "That is the distance, not its square: the formula has no "
               "root.", _sigma_of(lambda x: x.norm())),
        Mutant("sum of absolute differences", "The differences are to be squared before they are "
               "added up.", _sigma_of(lambda x: x.abs().sum())),
        Mutant("mean over the axes", "That is the mean over the axes. Distances grow with the "
               "dimension: it is a sum.", _sigma_of(lambda x: x.square().mean())),
        Mutant("without the 2", "Equal embeddings must have a similarity of 1: the 2 is missing.",
               lambda e_p, e_q: sigma(e_p, e_q) / 2),
        Mutant("a bell", "That is exp(-d). It is 1 for equal embeddings as well, but falls faster.",
               lambda e_p, e_q: math.exp(-float((e_p - e_q).double().square().sum()))),
        Mutant("turned round", "That grows with the distance: it is 1 - sigma.",
               lambda e_p, e_q: 1 - sigma(e_p, e_q)),
    ),
)

# ---------------------------------------------------------------------------------------------
# pairs.reach
# ---------------------------------------------------------------------------------------------


def reach(tau):
    """How far apart (not squared) two embeddings may be for a similarity of tau or more."""
    return math.sqrt(math.log(2 / tau - 1))


REACH = Exercise(
    name="pairs.reach",
    title="How far does a mask reach?",
    lesson="30",
    reference=reach,
    cases=tuple(Case(f"tau = {tau}", (tau,)) for tau in (0.5, 0.25, 0.75, 0.9, 1.0, 0.01)),
    tolerance=1e-4,
    hints=(
        "Solve sigma = 2 / (1 + e^d) for d, with sigma = tau.",
        "1 + e^d = 2 / tau, so e^d = 2 / tau - 1. What undoes an exponential?",
        "d = log(2 / tau - 1) is the squared distance; asked is the distance.",
    ),
    solution="At tau = 1/2 the reach is sqrt(log 3) = 1.048: embeddings are measured in units in "
             "which 1 is about half similar. At tau = 1 it is 0. Halving tau does not double the "
             "reach: from 1/2 to 1/4 it grows by a third, because sigma falls faster than "
             "exponentially.",
    mutants=(
        Mutant("squared", "That is the squared distance: take its root.",
               lambda tau: math.log(2 / tau - 1)),
        Mutant("of a bell", "That inverts exp(-d). The formula has a 2 and a 1 in it.",
               lambda tau: math.sqrt(-math.log(tau))),
        Mutant("the 1 forgotten", "1 + e^d = 2 / tau: the 1 has to go to the other side before "
               "the logarithm is taken.", lambda tau: math.sqrt(math.log(2 / tau))),
        Mutant("log base 2", "The exponential has the base e, so its inverse is the natural "
               "logarithm.", lambda tau: math.sqrt(math.log2(2 / tau - 1))),
        Mutant("both sides", "That is twice the reach: from one end of the mask to the other.",
               lambda tau: 2 * reach(tau)),
    ),
)

# ---------------------------------------------------------------------------------------------
# pairs.weights
# ---------------------------------------------------------------------------------------------


def weights(sizes):
    """w_pq, (S, S), inversely proportional to both points' instance sizes (S,), summing to 1."""
    count = len(sizes)
    out, total = torch.zeros(count, count), 0.0
    for p in range(count):
        for q in range(count):
            out[p, q] = 1 / (float(sizes[p]) * float(sizes[q]))
            total += float(out[p, q])
    return out / total


def _normalised(matrix):
    return matrix / matrix.sum()


WEIGHTS = Exercise(
    name="pairs.weights",
    title="A small object counts as much as a large one",
    lesson="30",
    reference=weights,
    cases=(
        Case("a single point", (torch.tensor([5]),)),
        Case("two points of one instance", (torch.tensor([2, 2]),)),
        Case("sizes 1 and 3", (torch.tensor([1, 3]),)),
        Case("two points of a small, one of a large one", (torch.tensor([2, 2, 20]),)),
        Case("sizes in pixels", (torch.tensor([400, 100, 1600, 400]),)),
        Case("a small and a huge one", (torch.tensor([1, 100]),)),
    ),
    tolerance=1e-5,
    hints=(
        "First w_pq as far as it is proportional; then divide by the sum of all of them.",
        "Inversely proportional to the sizes of both: 1 / (size of p * size of q).",
        "Two loops fill out[p, q] = 1 / (sizes[p] * sizes[q]); out / out.sum() at the end.",
    ),
    solution="With the sizes of the instances among the drawn points, every instance gets the same "
             "total: ten points of 1/10 each, or three of 1/3. All S x S ordered pairs are "
             "there, p = q among them, whose loss is 0. One reader of the paper used 1 / (size of "
             "p + size of q); then a small object beside a large one hardly counts.",
    mutants=(
        Mutant("added", "That is 1 / (a + b). Inversely proportional to both sizes is 1 / (a b).",
               lambda s: _normalised(1 / (s[:, None] + s).double())),
        Mutant("not normalised", "The weights must sum to 1 over all pairs.",
               lambda s: 1 / (s[:, None] * s).double()),
        Mutant("rows sum to 1", "Each row sums to 1 here. Asked is that all pairs together do.",
               lambda s: (1 / (s[:, None] * s).double()) / (1 / s.double()).sum() * s[:, None]),
        Mutant("proportional", "That gives large instances more weight: divide instead.",
               lambda s: _normalised((s[:, None] * s).double())),
        Mutant("by the first alone", "Only the size of p counts there. Both do.",
               lambda s: _normalised((1 / s.double())[:, None].expand(len(s), len(s)))),
        Mutant("the diagonal left out", "A point is paired with itself too: all S x S pairs count.",
               lambda s: _without_diagonal(s)),
    ),
)


def _without_diagonal(sizes):
    """Weights of pairs of two points alone; of a single point there is none."""
    products = 1 / (sizes[:, None] * sizes).double()
    products = products * (1 - torch.eye(len(sizes), dtype=torch.double))
    return products / products.sum().clamp(min=1e-12)


# ---------------------------------------------------------------------------------------------
# pairs.loss
# ---------------------------------------------------------------------------------------------


def loss(embeddings, ids, weights):
    """L_e over all ordered pairs: embeddings (S, D), ids (S,), weights (S, S) -> a number.

    A pair of one instance costs -log sigma, a pair of two -log(1 - sigma), each times its weight.
    """
    total = 0.0
    for p in range(len(ids)):
        for q in range(len(ids)):
            d = float(((embeddings[p] - embeddings[q]) ** 2).sum())
            sigma = 2 / (1 + math.exp(d))
            same = int(ids[p]) == int(ids[q])
            total -= float(weights[p, q]) * math.log(sigma if same else 1 - sigma)
    return total


def _loss_with(embeddings, ids, weights, same=lambda a, b: a == b, attract=True, repel=True,
               pairs=lambda p, q: True, swap=False):
    """`loss` with one thing changed."""
    total = 0.0
    for p in range(len(ids)):
        for q in range(len(ids)):
            if not pairs(p, q):
                continue
            d = float(((embeddings[p] - embeddings[q]) ** 2).sum())
            sigma = 2 / (1 + math.exp(d))
            is_same = same(int(ids[p]), int(ids[q])) != swap
            if is_same and attract:
                total -= float(weights[p, q]) * math.log(max(sigma, 1e-12))
            if not is_same and repel:
                total -= float(weights[p, q]) * math.log(max(1 - sigma, 1e-12))
    return total


LINE = torch.tensor([[0.0], [1.0], [2.5], [0.5]])
EVEN = torch.full((4, 4), 1 / 16)
UNEVEN = torch.tensor([[0.2, 0.1, 0.0, 0.1], [0.1, 0.05, 0.05, 0.0], [0.0, 0.1, 0.1, 0.05],
                       [0.05, 0.0, 0.05, 0.05]])

LOSS = Exercise(
    name="pairs.loss",
    title="What a drawing of points costs",
    lesson="30",
    reference=loss,
    cases=(
        Case("two points of one object", (LINE[:2], torch.tensor([7, 7]), EVEN[:2, :2] * 4)),
        Case("two points of two objects", (LINE[:2], torch.tensor([7, 8]), EVEN[:2, :2] * 4)),
        Case("four points, two objects", (LINE, torch.tensor([0, 0, 1, 2]), EVEN)),
        Case("weights that differ", (LINE, torch.tensor([3, 3, 5, 3]), UNEVEN)),
        Case("two dimensions", (torch.tensor([[0.0, 1.0], [0.5, 0.5], [1.0, -1.0]]),
                                torch.tensor([1, 1, 4]), EVEN[:3, :3])),
        Case("a single point", (LINE[:1], torch.tensor([1]), torch.ones(1, 1))),
    ),
    tolerance=1e-4,
    hints=(
        "Two loops over the points, p and q; pairs the other way round, and p with itself, count.",
        "Of a pair: d, then sigma = 2 / (1 + e^d), then -log of sigma or of 1 - sigma.",
        "total -= weights[p, q] * math.log(sigma if ids[p] == ids[q] else 1 - sigma).",
    ),
    solution="The pair (p, p) is a pair of one instance at d = 0: sigma = 1, and it costs nothing. "
             "So it may stay in the sum. The numbers of the instances mean nothing, only whether "
             "two are equal. As it stands the loop fails for two objects with equal embeddings, "
             "log(0), and for far pairs, exp(800): that is the next exercise.",
    mutants=(
        Mutant("turned round", "Pairs of one object are pushed apart there, and pairs of two "
               "pulled together: exchange sigma and 1 - sigma.",
               lambda e, i, w: _loss_with(
                   e, i, w, swap=True, pairs=lambda p, q: p != q)),
        Mutant("only attraction", "Pairs of different objects cost nothing there. Then the best "
               "answer is one embedding for all pixels.",
               lambda e, i, w: _loss_with(e, i, w, repel=False)),
        Mutant("only repulsion", "Pairs of the same object cost nothing there.",
               lambda e, i, w: _loss_with(e, i, w, attract=False)),
        Mutant("each pair once", "Each pair counts both ways round: (p, q) and (q, p).",
               lambda e, i, w: _loss_with(e, i, w, pairs=lambda p, q: p < q)),
        Mutant("without the weights", "The weights are missing: all pairs count alike there.",
               lambda e, i, w: _loss_with(e, i, torch.full_like(w, 1 / w.numel()))),
        Mutant("neighbouring numbers are one object", "Instance numbers are compared by their size "
               "there. Only whether they are equal counts.",
               lambda e, i, w: _loss_with(e, i, w, same=lambda a, b: abs(a - b) <= 1)),
    ),
)

# ---------------------------------------------------------------------------------------------
# pairs.stable
# ---------------------------------------------------------------------------------------------


def stable(d, same):
    """What a pair at the squared distance d > 0 costs: -log sigma where same is 1, else
    -log(1 - sigma); right and finite for d from 1e-6 to 1e6."""
    if same:
        return d + math.log1p(math.exp(-d)) - math.log(2)
    return math.log1p(2 * math.exp(-d) / -math.expm1(-d))


def _clipped(d, same, low, high):
    """sigma held within [low, high]."""
    sigma = min(max(2 * math.exp(-d) / (1 + math.exp(-d)), low), high)
    return -math.log(sigma if same else 1 - sigma)


STABLE = Exercise(
    name="pairs.stable",
    title="The same loss, without nan",
    lesson="30",
    reference=stable,
    cases=(
        Case("the same object, d = 1", (1.0, 1)),
        Case("two objects, d = 1", (1.0, 0)),
        Case("the same object, d = 800: exp(800) is no float", (800.0, 1)),
        Case("two objects, d = 0.0001", (1e-4, 0)),
        Case("the same object, d = 0.0001", (1e-4, 1)),
        Case("two objects, d = 12", (12.0, 0)),
        Case("the same object, d = 10000", (1e4, 1)),
    ),
    tolerance=1e-4,
    hints=(
        "Write -log sigma = log((1 + e^d) / 2). For a large d it is nearly d - log 2.",
        "log(1 + e^d) = d + log(1 + e^(-d)), in which nothing is large. And 1 - sigma = (e^d - 1) "
        "/ (e^d + 1).",
        "same: d + log1p(exp(-d)) - log 2. Different: log((e^d + 1) / (e^d - 1)) = log1p(2 e^(-d) "
        "/ (1 - e^(-d))), with -expm1(-d) for 1 - e^(-d).",
    ),
    solution="Subtract what is large by hand, before the computer has to. log1p and expm1 keep the "
             "digits that log(1 + x) and exp(x) - 1 lose for a small x. Clipping sigma, as several "
             "implementations do, is finite too, but it has no slope where it holds: the pairs "
             "that are most wrong are those that learn nothing.",
    mutants=(
        Mutant("sigma clipped at 1e-4", "sigma is held between 1e-4 and 1 - 1e-4 there: finite, "
               "but flat, so that the worst pairs have no gradient.",
               lambda d, same: _clipped(d, same, 1e-4, 1 - 1e-4)),
        Mutant("d clipped at 5", "d is held at 5 there. Pairs that are further apart cost no more, "
               "and have no gradient.",
               lambda d, same: stable(min(d, 5.0), same)),
        Mutant("log 2 forgotten", "The log 2 is missing: sigma has a 2 in its numerator, and equal "
               "embeddings must cost nothing.",
               lambda d, same: stable(d, same) + (math.log(2) if same else 0)),
        Mutant("large d alone", "That is what remains for a large d. For a small one the second "
               "part is missing.",
               lambda d, same: max(d - math.log(2), 0.0) if same else 2 * math.exp(-d)),
        Mutant("always attraction", "Pairs of two objects get the loss of one object there.",
               lambda d, same: stable(d, 1)),
    ),
)

# ---------------------------------------------------------------------------------------------
# pairs.slope
# ---------------------------------------------------------------------------------------------


def slope(e_p, e_q, same):
    """The gradient of a pair's loss with respect to e_p: two embeddings (D,) -> (D,)."""
    d = float(((e_p - e_q).double() ** 2).sum())
    by_d = 1 / (1 + math.exp(-d)) if same else -1 / math.sinh(d)
    out = torch.zeros(len(e_p))
    for i in range(len(e_p)):
        out[i] = by_d * 2 * (e_p[i] - e_q[i])
    return out


NEAR, THERE = torch.tensor([0.4, -0.2]), torch.tensor([-0.1, 0.3])

SLOPE = Exercise(
    name="pairs.slope",
    title="Which way is a pixel pulled?",
    lesson="30",
    reference=slope,
    cases=(
        Case("the same object, one dimension", (torch.tensor([1.0]), torch.tensor([0.0]), 1)),
        Case("two objects, one dimension", (torch.tensor([1.0]), torch.tensor([0.0]), 0)),
        Case("the same object, two dimensions", (NEAR, THERE, 1)),
        Case("two objects, two dimensions", (NEAR, THERE, 0)),
        Case("the same object, far apart", (torch.tensor([4.0]), torch.tensor([-1.0]), 1)),
        Case("two objects, close together", (torch.tensor([0.1]), torch.tensor([0.0]), 0)),
    ),
    tolerance=1e-3,
    hints=(
        "Chain rule: the slope of the loss by d, times the slope of d by each coordinate of e_p.",
        "d = sum of (a - b)^2, so its slope by a is 2 (a - b). By d: log(1 + e^d) - log 2 has "
        "the slope e^d / (1 + e^d).",
        "same: 1 / (1 + e^(-d)). Different: -log tanh(d / 2) has the slope -1 / sinh(d).",
    ),
    solution="Of one object: at least half of 2 (a - b), at most all of it, so the pull grows "
             "with the distance as a spring's. Of two objects: 1 / sinh(d) is about 1 / d for a "
             "small d, so that the push is about 2 / r and grows without bound as they meet, and "
             "is gone from a distance of 3 on. Pixels of two objects need not be moved further "
             "apart than that.",
    mutants=(
        Mutant("downhill", "That is the step that is taken, against the slope. Asked is the slope.",
               lambda a, b, same: -slope(a, b, same)),
        Mutant("the 2 forgotten", "The slope of a square has a 2 in it.",
               lambda a, b, same: slope(a, b, same) / 2),
        Mutant("by d alone", "That is the slope by d, the same for all coordinates. d depends on "
               "each coordinate by 2 (a - b).",
               lambda a, b, same: torch.ones(len(a)) * _slope_by_d(a, b, same)),
        Mutant("of one object always", "Pairs of two objects are pushed apart: their slope has the "
               "other sign.", lambda a, b, same: slope(a, b, 1)),
        Mutant("a spring", "That is the slope of d itself. The loss is not d: for equal embeddings "
               "it is half as steep.",
               lambda a, b, same: 2 * (a - b) * (1 if same else -1 / _squared(a, b))),
    ),
)


def _squared(a, b):
    return float(((a - b).double() ** 2).sum())


def _slope_by_d(a, b, same):
    d = _squared(a, b)
    return 1 / (1 + math.exp(-d)) if same else -1 / math.sinh(d)


EXERCISES = (SIGMA, REACH, WEIGHTS, LOSS, STABLE, SLOPE)
