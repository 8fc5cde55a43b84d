"""Lesson 41's exercises: spread over seeds, differences in pairs, an interval, how many seeds.

The solutions are plain loops. The library's way is in `teachseg.tables.report`; the tests hold the
two equal.

Letters
    n  seeds

No boxes here.

Lesson: 41
"""

import math

from teachseg.exercises.registry import Case, Exercise, Mutant

# ---------------------------------------------------------------------------------------------
# tables.deviation
# ---------------------------------------------------------------------------------------------


def deviation(values):
    """[mean, standard deviation] of a cell's runs (a list of two numbers or more), the deviation as
    it is estimated for all runs that could have been made."""
    mean = sum(values) / len(values)
    squares = sum((value - mean) ** 2 for value in values)
    return [mean, math.sqrt(squares / (len(values) - 1))]


DEVIATION = Exercise(
    name="tables.deviation",
    title="A cell's mean and spread",
    lesson="41",
    reference=deviation,
    cases=(
        Case("10, 12, 14", ([10.0, 12.0, 14.0],)),
        Case("two runs", ([30.0, 31.0],)),
        Case("all alike", ([5.0, 5.0, 5.0],)),
        Case("one far off", ([20.0, 20.5, 19.5, 12.0],)),
        Case("points below zero", ([-1.0, 1.0, 3.0],)),
    ),
    tolerance=1e-6,
    hints=(
        "First the mean; then how far each run lies from it, squared.",
        "The mean was made of the same runs, so they lie closer to it than to the true one.",
        "Divide the sum of squares by n - 1, and take the root.",
    ),
    solution="10, 12, 14: mean 12, squares 4 + 0 + 4, divided by 2, root: 2. Divided by 3 it would "
             "be 1.63, too small by a factor that matters where runs are few.",
    mutants=(
        Mutant("by n", "The mean is of the same runs: divide by n - 1, not by n.",
               lambda v: [deviation(v)[0], deviation(v)[1] * math.sqrt((len(v) - 1) / len(v))]),
        Mutant("of the mean", "This is how far the mean may be off; wanted is how far runs lie "
               "from each other: do not divide by the root of n again.",
               lambda v: [deviation(v)[0], deviation(v)[1] / math.sqrt(len(v))]),
        Mutant("squared", "The root is missing: this is the variance.",
               lambda v: [deviation(v)[0], deviation(v)[1] ** 2]),
        Mutant("the range", "Largest minus smallest is another number; it grows with every run.",
               lambda v: [deviation(v)[0], max(v) - min(v)]),
    ),
)

# ---------------------------------------------------------------------------------------------
# tables.paired
# ---------------------------------------------------------------------------------------------


def paired(this, that):
    """Two cells, {seed: points} each: [mean, standard deviation] of this minus that, seed by seed,
    over the seeds that both have."""
    differences = [this[seed] - that[seed] for seed in this if seed in that]
    return deviation(differences)


PAIRED = Exercise(
    name="tables.paired",
    title="Compare seed by seed",
    lesson="41",
    reference=paired,
    cases=(
        Case("seeds that differ much", ({0: 10.0, 1: 30.0, 2: 20.0}, {0: 8.0, 1: 28.1, 2: 17.9})),
        Case("in another order", ({0: 10.0, 1: 30.0, 2: 20.0}, {2: 17.9, 0: 8.0, 1: 28.1})),
        Case("one is missing", ({0: 10.0, 1: 12.0, 2: 15.0}, {0: 9.0, 2: 11.0})),
        Case("worse", ({0: 5.0, 1: 6.0}, {0: 7.0, 1: 9.0})),
        Case("the same", ({0: 5.0, 1: 6.0}, {0: 5.0, 1: 6.0})),
    ),
    tolerance=1e-6,
    hints=(
        "A seed that one cell lacks cannot be compared.",
        "Make the list of differences first, one for each seed of both.",
        "Then the mean and deviation of that list, as in the first exercise.",
    ),
    solution="Both cells of a seed saw the same scenes in the same order. The luck that they share "
             "falls out of the difference: 10, 30, 20 against 8, 28.1, 17.9 differ by 2, 1.9, 2.1, "
             "though the cells' own spread is 10.",
    mutants=(
        Mutant("not in pairs", "This compares the cells' spreads. Take the difference seed by seed "
               "first; then the luck that both share falls out.",
               lambda a, b: [deviation(list(a.values()))[0] - deviation(list(b.values()))[0],
                             math.hypot(deviation(list(a.values()))[1],
                                        deviation(list(b.values()))[1])]),
        Mutant("by position", "Match by seed, not by position in the dict.",
               lambda a, b: deviation([x - y for x, y in zip(a.values(), b.values())])),
        Mutant("the wrong way round", "this minus that, not that minus this.",
               lambda a, b: paired(b, a)),
        Mutant("without sign", "The sign says which is better: do not drop it.",
               lambda a, b: deviation([abs(a[s] - b[s]) for s in a if s in b])),
    ),
    uses=("tables.deviation",),
)

# ---------------------------------------------------------------------------------------------
# tables.interval
# ---------------------------------------------------------------------------------------------


def interval(mean, spread, n, t):
    """[low, high] of a mean of n differences with this standard deviation; t is Student's number
    for n."""
    reach = t * spread / math.sqrt(n)
    return [mean - reach, mean + reach]


INTERVAL = Exercise(
    name="tables.interval",
    title="Where the true difference may lie",
    lesson="41",
    reference=interval,
    cases=(
        Case("three seeds", (2.0, 1.0, 3, 4.303)),
        Case("five seeds, the same spread", (2.0, 1.0, 5, 2.776)),
        Case("two seeds", (2.0, 1.0, 2, 12.706)),
        Case("no spread", (1.5, 0.0, 4, 3.182)),
        Case("worse", (-3.0, 0.5, 3, 4.303)),
    ),
    tolerance=1e-6,
    hints=(
        "A mean of n lies closer to the truth than one run does: by the root of n.",
        "Its own deviation is spread / sqrt(n).",
        "From mean - t * that to mean + t * that.",
    ),
    solution="Three seeds: 2 -+ 4.303 / 1.732 = -0.48 to 4.48, so the order is not settled. Five "
             "seeds with the same spread: 0.76 to 3.24. Two more seeds help twice: through the "
             "root, and through t, which is large because the spread itself is hardly known.",
    mutants=(
        Mutant("no root", "The mean of n runs is surer than one run: divide by the root of n.",
               lambda m, s, n, t: [m - t * s, m + t * s]),
        Mutant("by n", "By the root of n, not by n.",
               lambda m, s, n, t: [m - t * s / n, m + t * s / n]),
        Mutant("without t", "Where runs are few the spread is hardly known: t makes up for it.",
               lambda m, s, n, t: [m - s / math.sqrt(n), m + s / math.sqrt(n)]),
        Mutant("half as wide", "t reaches to either side; do not halve it.",
               lambda m, s, n, t: [m - t * s / math.sqrt(n) / 2, m + t * s / math.sqrt(n) / 2]),
    ),
)

# ---------------------------------------------------------------------------------------------
# tables.needed
# ---------------------------------------------------------------------------------------------


def needed(difference, spread, t_of):
    """The fewest seeds n for which an interval around `difference` would not hold 0, if the spread
    stays; t_of[n] is Student's number for n seeds (n = 2, 3, ...). 0 where no n of t_of is
    enough."""
    for n in sorted(t_of):
        if abs(difference) > t_of[n] * spread / math.sqrt(n):
            return n
    return 0


T = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365, 9: 2.306, 10: 2.262}

NEEDED = Exercise(
    name="tables.needed",
    title="How many seeds a difference needs",
    lesson="41",
    reference=needed,
    cases=(
        Case("a large one", (20.0, 1.0, T)),
        Case("three are enough", (3.0, 1.0, T)),
        Case("as large as its spread", (1.0, 1.0, T)),
        Case("worse by much", (-3.0, 1.0, T)),
        Case("hidden", (0.3, 1.0, T)),
        Case("no spread", (0.1, 0.0, T)),
    ),
    tolerance=1e-6,
    hints=(
        "Try n = 2, then 3, and so on: when does the interval leave 0 out?",
        "It does when the difference, without its sign, is more than t * spread / sqrt(n).",
        "for n in sorted(t_of): return the first for which that holds; 0 after the loop.",
    ),
    solution="A difference as large as its spread needs 7 seeds; a third of it is not to be seen "
             "with ten. It is a plan, not a verdict: it takes the measured mean for the true one, "
             "and so is right about half the time. Decide the number before the runs.",
    mutants=(
        Mutant("one size of t", "t depends on n: with few seeds it is large.",
               lambda d, s, t: next((n for n in sorted(t) if abs(d) > 1.96 * s / math.sqrt(n)),
                                    0)),
        Mutant("better alone", "A difference below 0 can be settled, too: take it without sign.",
               lambda d, s, t: next((n for n in sorted(t) if d > t[n] * s / math.sqrt(n)), 0)),
        Mutant("no root", "The mean of n differences spreads by the root of n less.",
               lambda d, s, t: next((n for n in sorted(t) if abs(d) > t[n] * s), 0)),
        Mutant("always an answer", "Where no n is enough, say so: 0.",
               lambda d, s, t: needed(d, s, t) or max(t)),
    ),
)

EXERCISES = (DEVIATION, PAIRED, INTERVAL, NEEDED)
