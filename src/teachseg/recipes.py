"""Recipes: a model, its data and its training under one name, for real photographs.

    teachseg train --recipe NAME --data PATH

A recipe holds a `Config` of its paper's page, a `TrainConfig`, what the backbone starts from and
how many of its stages stay as they are, and what to expect of it: time, memory, accuracy, each
with where the number comes from. What is not known is None, not guessed.

Letters
    K  object classes

No boxes here.

Lesson: 42
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from teachseg.papers import deep_metric, mask_rcnn, mnc
from teachseg.train import TrainConfig

Config = mnc.Config | mask_rcnn.Config | deep_metric.Config


@dataclass(frozen=True)
class Expectation:
    """What somebody measured."""

    accuracy: str         # which number on which data
    source: str           # who says so, and of which implementation
    hours: float | None = None      # of training
    gpu: str | None = None          # on what
    gpu_memory: float | None = None  # GB of each, at the peak


@dataclass(frozen=True)
class Recipe:
    """How a model is trained on real photographs."""

    title: str
    paper: str                          # "mnc", "mask_rcnn" or "deep_metric"
    data: str                           # a name of datasets.downloads.SOURCES
    config: Callable[[int], Config]     # K -> the model's numbers
    train: TrainConfig
    weights: str | None                 # of torchvision, for the backbone
    frozen_stages: int                  # of the backbone: they keep these weights
    expects: tuple[Expectation, ...]
    # One picture of 480 x 640 (or a window), there and back, in 32 bits on two CPU cores: measured
    # by us, data/results/bench/recipes.json. A step takes images_a_step times as long. No GPU was
    # at hand to measure on.
    pass_gb: float
    pass_seconds: float


# ---- The papers' ------------------------------------------------------------------------------

# 0.02 for 16 images, a tenth from 60k and 80k of 90k steps on, warm-up 500; decay 0.0001 [Detectron
# configs/12_2017_baselines/e2e_mask_rcnn_R-50-FPN_1x.yaml]
COCO_1X = TrainConfig(
    steps=90_000, batch_size=2, accumulate=8, learning_rate=0.02, warmup_steps=500,
    schedule="steps", milestones=(60_000, 80_000), optimizer="sgd", weight_decay=1e-4,
    clip_norm=None, precision="bf16-mixed", workers=8, save_every=1000)

# 0.001 for 8 images one after the other, a tenth for the last 5k of 25k steps; decay 0.0005 [MNC's
# released code; its section 4 has 40k steps on other hardware]
VOC_25K = replace(COCO_1X, steps=25_000, batch_size=1, accumulate=8, learning_rate=0.001,
                  milestones=(20_000,), weight_decay=5e-4)


# ---- Small ones: an evening on one GPU ----------------------------------------------------------

SMALL = TrainConfig(
    steps=20_000, batch_size=8, learning_rate=5e-4, warmup_steps=500, schedule="linear",
    optimizer="adamw", weight_decay=0.05, clip_norm=10.0, precision="bf16-mixed", workers=8,
    save_every=500)
# A few dozen pictures: windows of them, larger and smaller, in other light
FEW_PICTURES = replace(SMALL, steps=3_000, batch_size=4, warmup_steps=100, scale=(0.7, 1.5),
                       crop=256, colour=0.3, workers=2)


def small_mask_rcnn(num_classes: int) -> mask_rcnn.Config:
    """MobileNetV2-FPN, thinner heads, 480 / 800 pixels."""
    return mask_rcnn.Config(
        num_classes, min_side=480, max_side=800, backbone="mobilenet_v2", fpn_channels=128,
        roi_draw=128, pre_nms_train=1000, post_nms_train=1000, post_nms_test=300,
        canonical_side=112, anchor_sizes=(16, 32, 64, 128, 256), box_hidden=512, mask_channels=128)


def nuclei_mask_rcnn(num_classes: int) -> mask_rcnn.Config:
    """As small, for pictures of 256 pixels with up to hundreds of round objects of 8 to 60."""
    return replace(
        small_mask_rcnn(num_classes), min_side=None, canonical_side=48,
        anchor_sizes=(8, 16, 32, 64, 128), anchor_ratios=(0.67, 1.0, 1.5), roi_object_share=0.5,
        max_detections=400, post_nms_test=600)


def small_deep_metric(num_classes: int) -> deep_metric.Config:
    """MobileNetV2 merged to stride 4, seen at one scale."""
    return deep_metric.Config(
        num_classes, min_side=320, max_side=640, multiple_of=32, backbone="mobilenet_v2",
        dilated=False, input_scales=(1.0,), merge_channels=128, coordinate_unit=64.0,
        embedding_convs=1, seed_convs=2, head_channels=128, embedding_dim=32, points=20,
        background_points=80, seed_weight=1.0, ramp=(0.0, 0.3), chosen_points=20, num_seeds=60)


def nuclei_deep_metric(num_classes: int) -> deep_metric.Config:
    """As small, for pictures of 256 pixels with up to hundreds of objects."""
    return replace(small_deep_metric(num_classes), min_side=None, points=10, num_seeds=300,
                   chosen_points=40)


MEASURED = "measured by us, with the command in data/results/real.json at {!r}"

RECIPES = {
    "mnc-vgg16-sbd": Recipe(
        "MNC, VGG-16, 600 / 1000 pixels", "mnc", "sbd", mnc.Config.paper, VOC_25K,
        "IMAGENET1K_V1", 2,
        (Expectation("mAP^r 63.5 at IoU 0.5, 41.5 at 0.7, on the 5,732 pictures",
                     "MNC's tables, end to end, 5 stages, on VOC 2012's val; 65.0 and 46.3 by "
                     "its released code. This version has not been trained in full yet"),),
        3.88, 9.1),
    "mask-rcnn-r50-fpn-coco": Recipe(
        "Mask R-CNN, ResNet-50-FPN, 800 / 1333 pixels, 1x", "mask_rcnn", "coco-train",
        mask_rcnn.Config.paper, COCO_1X, "IMAGENET1K_V1", 2,
        (Expectation("mask AP 35.2 on COCO's val2017", "detectron2's model zoo, its code",
                     6.5, "8 V100", 3.4),
         Expectation("mask AP 33.6 on minival, after 160k steps", "Mask R-CNN, Table 2a",
                     32.0, "8 GPUs of 2017")),
        1.46, 6.4),
    "mask-rcnn-r50-c4-coco": Recipe(
        "Mask R-CNN, ResNet-50-C4, 800 / 1333 pixels, 1x", "mask_rcnn", "coco-train",
        mask_rcnn.Config.c4_paper, replace(COCO_1X, batch_size=1, accumulate=16), "IMAGENET1K_V1",
        2,
        (Expectation("mask AP 32.2 on COCO's val2017", "detectron2's model zoo, its code",
                     14.6, "8 V100", 5.2),
         Expectation("mask AP 30.3 on minival, after 160k steps", "Mask R-CNN, Table 2a")),
        1.01, 3.9),
    "deep-metric-r101-voc": Recipe(
        "Deep metric learning, dilated ResNet-101 at four scales", "deep_metric", "sbd",
        deep_metric.Config.paper, VOC_25K, "IMAGENET1K_V1", 1,
        (Expectation("mAP^r 62 at IoU 0.5 on VOC 2012's val", "quoted of the paper from memory, "
                     "not checked; it starts from weights that know COCO, and the schedule here is "
                     "MNC's, as its own is not known to us"),),
        6.98, 46.4),
    "mask-rcnn-small-coco": Recipe(
        "Mask R-CNN, MobileNetV2-FPN, 480 / 800 pixels", "mask_rcnn", "coco-train",
        small_mask_rcnn, SMALL, "IMAGENET1K_V1", 1,
        (Expectation("AP50 0.05 on people in 20 pictures of COCO, after 250 steps on 72 others: "
                     "far too few", MEASURED.format("coco-person")),),
        0.46, 0.61),
    "deep-metric-small-voc": Recipe(
        "Deep metric learning, MobileNetV2 merged to stride 4", "deep_metric", "sbd",
        small_deep_metric, SMALL, "IMAGENET1K_V1", 1, (),
        0.33, 0.33),
    "mask-rcnn-nuclei": Recipe(
        "Mask R-CNN, MobileNetV2-FPN, windows of 256 pixels", "mask_rcnn", "nuclei",
        nuclei_mask_rcnn, FEW_PICTURES, "IMAGENET1K_V1", 0,
        (Expectation("AP50 0.73 on 13 micrographs, after 700 steps on 47 others",
                     MEASURED.format("nuclei-mask-rcnn"), 0.65, "1 CPU core"),),
        0.27, 0.26),
    "deep-metric-nuclei": Recipe(
        "Deep metric learning, MobileNetV2 merged to stride 4, windows of 256 pixels",
        "deep_metric", "nuclei", nuclei_deep_metric, FEW_PICTURES, "IMAGENET1K_V1", 0,
        (Expectation("AP50 0.29 on 13 micrographs, after 900 steps on 47 others",
                     MEASURED.format("nuclei-deep-metric"), 0.60, "1 CPU core"),),
        0.21, 0.18),
}


def find(name: str) -> Recipe:
    """A recipe by its name; ValueError where there is none."""
    if name not in RECIPES:
        raise ValueError(f"There is no recipe {name!r}. There are: {', '.join(RECIPES)}.")
    return RECIPES[name]


def adapted(recipe: Recipe, **changes: Any) -> TrainConfig:
    """A recipe's training with some settings changed, and what follows from them.

    Another number of steps moves the milestones along; another number of images a step changes the
    learning rate in proportion, unless one is given.   [Goyal et al. 2017, the linear rule]
    """
    given = {name: value for name, value in changes.items() if value is not None}
    before, after = recipe.train, replace(recipe.train, milestones=(), schedule="linear", **given)
    share = after.steps / before.steps
    settings: dict[str, Any] = {"schedule": before.schedule}
    settings["milestones"] = tuple(max(1, round(m * share)) for m in before.milestones)
    settings["warmup_steps"] = min(before.warmup_steps, max(1, after.steps // 5))
    if "learning_rate" not in given:
        share = after.images_a_step / before.images_a_step
        settings["learning_rate"] = before.learning_rate * share
    return replace(after, **settings)
