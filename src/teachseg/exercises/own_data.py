"""Lesson 42's exercises: run lengths, the size that a model looks at, other steps, shared counts.

The solutions are plain loops. The library's way is in `teachseg.datasets.coco`,
`teachseg.datasets.batch`, `teachseg.recipes` and `teachseg.processes`; the tests hold the two
equal.

Letters
    H, W  height and width, in pixels

No boxes here.

Lesson: 42
"""

import torch

from teachseg.exercises.registry import Case, Exercise, Mutant

# ---------------------------------------------------------------------------------------------
# data.runs
# ---------------------------------------------------------------------------------------------


def decode_runs(counts, height, width):
    """COCO's run lengths (a list: zeros, ones, zeros, ..., column after column) -> (height, width)
    of 0 and 1."""
    mask = torch.zeros(height, width)
    place = 0
    for position, run in enumerate(counts):
        for pixel in range(place, place + run):
            mask[pixel % height, pixel // height] = position % 2
        place += run
    return mask


def _flat(counts, first=0):
    """The pixels one after another."""
    return torch.cat([torch.full((n,), float((i + first) % 2)) for i, n in enumerate(counts)])


RUNS = Exercise(
    name="data.runs",
    title="Run lengths back to a mask",
    lesson="42",
    reference=decode_runs,
    cases=(
        Case("an L of five pixels", ([4, 3, 2, 1, 2], 4, 3)),
        Case("it begins with an object", ([0, 2, 4], 2, 3)),
        Case("all of it", ([0, 6], 3, 2)),
        Case("nothing", ([6], 2, 3)),
        Case("a square picture", ([1, 1, 2, 1, 4], 3, 3)),
    ),
    tolerance=1e-6,
    hints=(
        "The first number counts zeros, the second ones, and so on in turn.",
        "Write all pixels into one long row first. Its pixel i is in column i // height.",
        "View the row as (width, height), one line for each column, and turn it with .T.",
    ),
    solution="Columns first: pixel i of the row is in row i % height and column i // height. Rows "
             "first gives a mask with as many pixels, of the right size, and wrong; no check of "
             "sums can see it. The first run counts zeros, and is 0 where the first pixel is in.",
    mutants=(
        Mutant("rows first", "The runs go down the columns, not along the rows.",
               lambda c, h, w: _flat(c).view(h, w)),
        Mutant("ones first", "The first number counts zeros, not ones.",
               lambda c, h, w: _flat(c, 1).view(w, h).T),
        Mutant("one run of ones", "After the first run of ones come more: zeros and ones in turn, "
               "to the end of the list.",
               lambda c, h, w: decode_runs([*c[:2], sum(c[2:])], h, w)),
    ),
)

# ---------------------------------------------------------------------------------------------
# data.fit
# ---------------------------------------------------------------------------------------------


def fit(height, width, short, long):
    """The size [height, width] of a picture whose short side becomes `short`, or less where the
    long side would exceed `long`; both cut to whole pixels."""
    scale = short / min(height, width)
    if scale * max(height, width) > long:
        scale = long / max(height, width)
    return [int(height * scale), int(width * scale)]


FIT = Exercise(
    name="data.fit",
    title="The size that a model looks at",
    lesson="42",
    reference=fit,
    cases=(
        Case("COCO's usual picture", (480, 640, 800, 1333)),
        Case("a panorama: the long side decides", (240, 640, 800, 1333)),
        Case("a tower", (640, 240, 800, 1333)),
        Case("a large one is made smaller", (1200, 1600, 800, 1333)),
        Case("MNC's 600 and 1000", (375, 500, 600, 1000)),
        Case("square", (300, 300, 800, 1333)),
    ),
    tolerance=1e-6,
    hints=(
        "One factor for both sides: what brings the short side to `short`?",
        "If the long side would then exceed `long`, the factor is long / (the long side).",
        "scale = min(short / min(height, width), long / max(height, width)); int() cuts.",
    ),
    solution="One factor, the smaller of the two. 240 x 640: 800 / 240 = 3.33 would make the long "
             "side 2133, so 1333 / 640 = 2.08 is taken. Were each side brought to its own number, "
             "pictures would be stretched.",
    mutants=(
        Mutant("no limit", "The long side must not exceed `long`.",
               lambda h, w, s, g: [int(h * s / min(h, w)), int(w * s / min(h, w))]),
        Mutant("the long side alone", "The short side becomes `short`; the long side only limits.",
               lambda h, w, s, g: [int(h * g / max(h, w)), int(w * g / max(h, w))]),
        Mutant("stretched", "Both sides are multiplied by the same factor, or the picture is "
               "stretched.", lambda h, w, s, g: [s, g] if h <= w else [g, s]),
        Mutant("the larger factor", "Of the two factors the smaller one is taken: both limits "
               "hold.", lambda h, w, s, g: [int(x * max(s / min(h, w), g / max(h, w)))
                                            for x in (h, w)]),
        Mutant("never larger", "Small pictures are made larger as well.",
               lambda h, w, s, g: [int(x * min(1.0, s / min(h, w), g / max(h, w)))
                                   for x in (h, w)]),
    ),
)

# ---------------------------------------------------------------------------------------------
# data.rate
# ---------------------------------------------------------------------------------------------


def other_step(rate, images, milestones, new_images):
    """[rate, milestones...] for steps of `new_images` images instead of `images`, so that the
    milestones come after as many images as before."""
    share = new_images / images
    return [rate * share, *(round(milestone / share) for milestone in milestones)]


RATE = Exercise(
    name="data.rate",
    title="The rate of another step",
    lesson="42",
    reference=other_step,
    cases=(
        Case("two images instead of sixteen", (0.02, 16, [60_000, 80_000], 2)),
        Case("one GPU of eight", (0.02, 16, [120_000, 160_000], 16)),
        Case("twice as many", (0.01, 8, [1000], 16)),
        Case("three instead of two", (0.002, 2, [900, 1200], 3)),
        Case("no milestones", (0.1, 4, [], 1)),
    ),
    tolerance=1e-6,
    hints=(
        "A step that averages over half as many images moves half as far.",
        "So the rate goes with the images. How many steps show as many images as before?",
        "share = new_images / images: the rate times share, each milestone divided by it.",
    ),
    solution="The linear rule: half the images, half the rate, twice the steps. It holds while the "
             "gradient hardly changes in as many small steps as make a large one, so not in the "
             "first steps (therefore the warm-up) and not for very large steps.",
    mutants=(
        Mutant("the rate stays", "The rate has to follow the number of images.",
               lambda r, n, m, k: [r, *(round(x * n / k) for x in m)]),
        Mutant("the milestones stay", "With smaller steps, as many images need more of them.",
               lambda r, n, m, k: [r * k / n, *m]),
        Mutant("the wrong way round", "Fewer images a step: a lower rate, later milestones. Yours "
               "go the other way.", lambda r, n, m, k: [r * n / k, *(round(x * k / n) for x in m)]),
        Mutant("by the root", "The linear rule multiplies the rate by the share itself, not by its "
               "root.", lambda r, n, m, k: [r * (k / n) ** 0.5, *(round(x * n / k) for x in m)]),
    ),
)

# ---------------------------------------------------------------------------------------------
# data.share
# ---------------------------------------------------------------------------------------------


def shared_loss(sums, counts):
    """Each process's sum of losses, and over how many it goes -> what each should return, so that
    the mean over processes is the sum of all divided by the count of all (0 where nobody counts
    anything)."""
    mean = sum(counts) / len(counts)
    return [one / mean if mean else 0.0 for one in sums]


SHARE = Exercise(
    name="data.share",
    title="A loss of several processes",
    lesson="42",
    reference=shared_loss,
    cases=(
        Case("four and one", ([4.0, 3.0], [4, 1])),
        Case("equal counts", ([1.0, 2.0, 6.0], [3, 3, 3])),
        Case("one that has none", ([5.0, 0.0], [2, 0])),
        Case("one process", ([6.0], [4])),
        Case("eight of them", ([1.0] * 8, [1, 2, 3, 4, 5, 6, 7, 8])),
        Case("nobody has any", ([0.0, 0.0], [0, 0])),
    ),
    tolerance=1e-6,
    hints=(
        "Wanted: (sum of sums) / (sum of counts) = mean over processes of what each returns.",
        "Write the mean as (1 / W) times a sum over W processes, and look what is left for each.",
        "W / (sum of counts) times its own sum: its sum divided by the average count.",
    ),
    solution="Divided by its own count, each process returns an average, and the mean of averages "
             "lets a lonely object count as much as many others together. Divided by the average "
             "count, every object weighs the same, wherever it lies.",
    mutants=(
        Mutant("averages", "The mean of averages is not the average of all: an object weighs more "
               "where it has fewer neighbours.",
               lambda s, c: [x / max(n, 1) for x, n in zip(s, c)]),
        Mutant("by the count of all", "Gradients are averaged over processes, so this is too small "
               "by their number: divide by the average count.",
               lambda s, c: [x / max(sum(c), 1) for x in s]),
        Mutant("by the number of processes", "The count is missing: losses would grow with the "
               "number of objects.", lambda s, c: [x / len(c) for x in s]),
    ),
)

EXERCISES = (RUNS, FIT, RATE, SHARE)
