"""The tables as data: which cells there are, what each changes, and what the paper found.

A cell is a change of settings. All cells of a table have the same budget of steps, scenes and
learning rate, and begin with the same backbone; a seed decides the other weights, the order of the
scenes and all that is drawn, so that cells of one seed can be compared in pairs. The papers'
numbers are in points of their own measure on their own data: only their order can be compared with
ours.

No boxes here.

Lesson: 41
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Settings = Mapping[str, Any]
SCHEDULES = ("together", "step by step")


@dataclass(frozen=True)
class Budget:
    """What every training of a paper's cells may use, and what it is tested on."""

    steps: int                 # updates of the weights; with "step by step", of each stage
    batch_size: int            # scenes a step, each seen once
    learning_rate: float
    image_size: int = 128      # side of a scene, pixels
    kind: str = "mixed"
    test_scenes: int = 200     # of the split "tables", which no training sees
    precision: str = "bf16-mixed"


@dataclass(frozen=True)
class Cell:
    """One row of a table."""

    name: str
    change: Settings = field(default_factory=dict)  # of the model's settings
    test: Settings = field(default_factory=dict)  # of those that count in testing alone: the
                                                  # weights are shared
    schedule: str = "together"     # or "step by step": one stage after the other (MNC)
    paper: float | None = None     # the paper's number, in points


@dataclass(frozen=True)
class Comparison:
    """Two cells, and what the paper says of them."""

    this: str
    that: str
    expected: str | None = None  # "better": this > that; "alike"; None: the paper gives no numbers
    gain: float | None = None    # where the paper names it without both numbers, in points


@dataclass(frozen=True)
class Table:
    """One table of a paper, or a question that its settings ask."""

    name: str
    title: str
    paper: str                       # "mnc", "mask_rcnn" or "deep_metric"
    budget: Budget
    measure: str                     # the number that is compared: a key of evaluate_pairs
    source: str                      # where the paper's numbers are from; or that there are none
    cells: tuple[Cell, ...]
    compare: tuple[Comparison, ...]
    base: Settings = field(default_factory=dict)  # of all cells, over Config.course
    note: str = ""

    def cell(self, name: str) -> Cell:
        """A cell by its name."""
        for one in self.cells:
            if one.name == name:
                return one
        raise ValueError(f"The table {self.name} has no cell {name!r}. It has: "
                         f"{', '.join(one.name for one in self.cells)}.")


# Boxes of scenes of 256 x 256 are 2 to 8 cells wide at stride 16, and half as many at stride 32.
LARGE = Budget(steps=300, batch_size=3, learning_rate=2e-3, image_size=256)
BOXES = Budget(steps=250, batch_size=6, learning_rate=2e-3)
PIXELS = Budget(steps=450, batch_size=3, learning_rate=2e-3)

# ---- Mask R-CNN ---------------------------------------------------------------------------------

# Proposals come from four maps, strides 4 to 32; boxes are read from one of them alone.
ONE_MAP = {"backbone": "course32", "multiple_of": 32, "anchor_sizes": (32, 64, 96, 128)}

ROI_OPERATORS = Table(
    name="roi-operators",
    title="How a box is read from a map of stride 16 or 32",
    paper="mask_rcnn",
    budget=LARGE,
    measure="AP",
    source="Mask R-CNN, Table 2c (ResNet-50-C4, stride 16) and 2d (ResNet-50-C5, stride 32), "
           "mask AP on COCO minival",
    base=ONE_MAP,
    cells=(
        Cell("RoIPool, 16", {"roi_levels": (16,), "roi_operator": "pool"}, paper=26.9),
        Cell("RoIWarp max, 16", {"roi_levels": (16,), "roi_operator": "warp",
                                 "warp_rounding": True, "roi_aggregate": "max"}, paper=27.2),
        Cell("RoIWarp average, 16", {"roi_levels": (16,), "roi_operator": "warp",
                                     "warp_rounding": True}, paper=27.1),
        Cell("RoIAlign max, 16", {"roi_levels": (16,), "roi_aggregate": "max"}, paper=30.2),
        Cell("RoIAlign average, 16", {"roi_levels": (16,)}, paper=30.3),
        Cell("RoIPool, 32", {"roi_levels": (32,), "roi_operator": "pool"}, paper=23.6),
        Cell("RoIWarp average, 32", {"roi_levels": (32,), "roi_operator": "warp",
                                     "warp_rounding": True}),
        Cell("RoIAlign average, 32", {"roi_levels": (32,)}, paper=30.9),
    ),
    compare=(
        Comparison("RoIAlign average, 16", "RoIPool, 16", "better"),
        Comparison("RoIAlign average, 16", "RoIWarp average, 16", "better"),
        Comparison("RoIWarp average, 16", "RoIPool, 16", "alike"),
        Comparison("RoIAlign average, 16", "RoIAlign max, 16", "alike"),
        Comparison("RoIAlign average, 32", "RoIPool, 32", "better"),
        Comparison("RoIAlign average, 32", "RoIWarp average, 32"),
        Comparison("RoIAlign average, 32", "RoIAlign average, 16", "alike"),
    ),
    note="Proposals come from all strides, so that they are equally good in all cells; RoIWarp "
         "rounds the box, as its released code does and as Mask R-CNN describes it.",
)

MASK_CLASSES = Table(
    name="mask-classes",
    title="Must the classes compete for a pixel, and does each need a mask of its own?",
    paper="mask_rcnn",
    budget=BOXES,
    measure="AP",
    source="Mask R-CNN, Table 2b (softmax, sigmoid) and section 4.2 (class-agnostic masks), "
           "ResNet-50-C4, mask AP on COCO minival",
    cells=(
        Cell("sigmoid, a mask a class", paper=30.3),
        Cell("softmax over the classes", {"mask_classes": "compete"}, paper=24.8),
        Cell("one mask for all classes", {"class_agnostic_masks": True}, paper=29.7),
    ),
    compare=(
        Comparison("sigmoid, a mask a class", "softmax over the classes", "better"),
        Comparison("sigmoid, a mask a class", "one mask for all classes", "alike"),
    ),
    note="With a pyramid, where the paper has none here.",
)

MASK_HEAD = Table(
    name="mask-head",
    title="A mask by convolutions or by fully connected layers",
    paper="mask_rcnn",
    budget=BOXES,
    measure="AP",
    source="Mask R-CNN, Table 2e (ResNet-50-FPN), mask AP on COCO minival",
    cells=(
        Cell("convolutions", paper=33.6),
        Cell("fully connected", {"mask_head": "mlp", "mask_hidden": 256}, paper=31.5),
    ),
    compare=(Comparison("convolutions", "fully connected", "better"),),
    note="Three runs a cell hid the order; then two more were made of both.",
)

# ---- MNC ----------------------------------------------------------------------------------------

MNC_TRAINING = Table(
    name="mnc-training",
    title="Stages trained one after the other, or end to end; three stages, or five",
    paper="mnc",
    budget=BOXES,
    measure="APr50",
    source="MNC, the ablation of section 5.1 as its review reports it (VGG-16, VOC 2012 val, "
           "mAP^r at IoU 0.5)",
    cells=(
        Cell("step by step", schedule="step by step", paper=60.5),
        Cell("end to end, 3 stages", {"stages_train": 3}, paper=62.6),
        Cell("end to end, 5 stages", paper=63.5),
    ),
    compare=(
        Comparison("end to end, 3 stages", "step by step", "better"),
        Comparison("end to end, 5 stages", "end to end, 3 stages", "better"),
    ),
    note="All are tested with five stages. Step by step, each stage has as many steps as all have "
         "together end to end.",
)

MNC_VOTING = Table(
    name="mnc-voting",
    title="Does it help that the suppressed masks vote?",
    paper="mnc",
    budget=BOXES,
    measure="APr50",
    source="MNC, section 4, as its review reports it: about 1 point",
    cells=(
        Cell("voting"),
        Cell("no voting", test={"voting": False}),
    ),
    compare=(Comparison("voting", "no voting", "better", gain=1.0),),
    note="The same weights, tested twice.",
)

MNC_BOXES = Table(
    name="mnc-box-gradient",
    title="Do the later stages' losses move the boxes?",
    paper="mnc",
    budget=BOXES,
    measure="APr50",
    source="MNC gives the chain rule to the boxes (section 3.2) and no number for it alone",
    cells=(
        Cell("limited, as the course"),
        Cell("boxes as given", {"box_gradient": "none", "bridge_limit": None}),
        Cell("the whole chain rule", {"box_gradient": "full", "bridge_limit": None}),
    ),
    compare=(
        Comparison("limited, as the course", "boxes as given"),
        Comparison("limited, as the course", "the whole chain rule"),
    ),
)

MNC_WARP = Table(
    name="mnc-warp",
    title="Boxes warped where they are, or put on whole cells first",
    paper="mnc",
    budget=BOXES,
    measure="APr50",
    source="MNC, Eq. 8, warps where the box is; its released code rounds; no number for either",
    cells=(
        Cell("continuous"),
        Cell("rounded", {"warp_rounding": True}),
    ),
    compare=(Comparison("continuous", "rounded"),),
    note="The course's map has stride 4, the paper's 16: there rounding moves a box four times as "
         "far.",
)

# ---- Deep metric learning -----------------------------------------------------------------------

NO_NUMBERS = "the paper is said to contain this ablation; its numbers were not at hand"

METRIC_DIMENSION = Table(
    name="metric-dimension",
    title="How many numbers a pixel needs",
    paper="deep_metric",
    budget=PIXELS,
    measure="APr50",
    source=NO_NUMBERS,
    cells=(
        Cell("D = 2", {"embedding_dim": 2}),
        Cell("D = 8", {"embedding_dim": 8}),
        Cell("D = 32"),
        Cell("D = 64", {"embedding_dim": 64}),
    ),
    compare=(
        Comparison("D = 8", "D = 2"),
        Comparison("D = 32", "D = 8"),
        Comparison("D = 64", "D = 32"),
    ),
)

METRIC_TAUS = Table(
    name="metric-taus",
    title="At how many thresholds a seed may grow its mask",
    paper="deep_metric",
    budget=PIXELS,
    measure="APr50",
    source=NO_NUMBERS,
    cells=(
        Cell("0.5 alone", {"taus": (0.5,)}),
        Cell("0.25, 0.5, 0.75, 0.9"),
    ),
    compare=(
        Comparison("0.25, 0.5, 0.75, 0.9", "0.5 alone"),
    ),
)

ALPHAS, SEEDS = (0.0, 0.1, 0.3, 0.6), (5, 10, 20, 40)
METRIC_SEEDS = Table(
    name="metric-seeds",
    title="How many seeds, and how different they must be",
    paper="deep_metric",
    budget=PIXELS,
    measure="APr50",
    source=NO_NUMBERS,
    cells=tuple(
        Cell(f"alpha {alpha:g}, {seeds} seeds", test={"alpha": alpha, "num_seeds": seeds})
        for alpha in ALPHAS for seeds in SEEDS
    ),
    compare=(
        Comparison("alpha 0.3, 20 seeds", "alpha 0, 20 seeds"),
        Comparison("alpha 0.6, 20 seeds", "alpha 0.3, 20 seeds"),
        Comparison("alpha 0.3, 10 seeds", "alpha 0, 10 seeds"),
        Comparison("alpha 0.3, 20 seeds", "alpha 0.3, 5 seeds"),
        Comparison("alpha 0.3, 40 seeds", "alpha 0.3, 20 seeds"),
    ),
    note="The same weights, tested sixteen times; in training, seeds were chosen with alpha 0.3.",
)

METRIC_WEIGHTS = Table(
    name="metric-weights",
    title="Do small objects count as much as large ones in the pair loss?",
    paper="deep_metric",
    budget=PIXELS,
    measure="APr50",
    source="the paper, Eq. 2, weighs pairs by w_pq; no number without it was at hand",
    cells=(
        Cell("w_pq"),
        Cell("all pairs alike", {"pair_weights": "none"}),
    ),
    compare=(
        Comparison("w_pq", "all pairs alike"),
    ),
)

METRIC_RAMP = Table(
    name="metric-ramp",
    title="Must the classes wait until the embeddings are stable?",
    paper="deep_metric",
    budget=PIXELS,
    measure="APr50",
    source="the paper lets lambda rise from 0, as a review reports; no number without it was at "
           "hand",
    cells=(
        Cell("lambda rises"),
        Cell("lambda from the first step", {"ramp": (0.0, 0.0)}),
    ),
    compare=(Comparison("lambda rises", "lambda from the first step"),),
)

TABLES: dict[str, Table] = {
    one.name: one
    for one in (ROI_OPERATORS, MASK_CLASSES, MASK_HEAD, MNC_TRAINING, MNC_VOTING, MNC_BOXES,
                MNC_WARP, METRIC_DIMENSION, METRIC_TAUS, METRIC_SEEDS, METRIC_WEIGHTS, METRIC_RAMP)
}


def find(name: str) -> Table:
    """A table by its name."""
    if name not in TABLES:
        raise ValueError(f"There is no table {name!r}. There are: {', '.join(TABLES)}.")
    return TABLES[name]
