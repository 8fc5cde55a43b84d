"""Mask R-CNN: Faster R-CNN, RoIAlign, and a mask branch beside the box branch.

He, Gkioxari, Dollar, Girshick: Mask R-CNN, 2017 (arXiv 1703.06870v3). This page is the paper's
table of contents in code: what is learned (`MaskRCNN`), what it is asked for (`training_losses`),
what it answers (`predict`), and everything in between (`trace`).

Letters
    N  images in the batch      A  anchors of one image     P  proposals of one image
    R  rois of all images       K  object classes           M  side of a mask crop, in bins
    D  detections               L  levels of the pyramid, finest first

Boxes are (x1, y1, x2, y2) in pixels of the resized image, until `predict` returns them in pixels of
the image that it was given.

Lesson: 21 (heads and losses), 22 (training and testing)
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision import ops

from teachseg.checks import check_images, check_targets
from teachseg.costs import Laps
from teachseg.datasets.batch import batch_images, resize
from teachseg.decoding.instances import ScoredBoxes, decode_detections, paste_binary, paste_probs
from teachseg.geometry.anchors import cell_anchors, grid_anchors
from teachseg.geometry.boxes import back_to_original, constant, scale_targets, size_ratio
from teachseg.geometry.sampling import of_image
from teachseg.layers.backbones import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    OWN,
    Normalize,
    build_backbone,
)
from teachseg.layers.fpn import FPN, assign_levels, read_pyramid
from teachseg.layers.heads import BoxHead, MaskHead, MLPMaskHead, PooledBoxHead, pick_class
from teachseg.layers.roi import roi_align, roi_pool, roi_warp, to_rois
from teachseg.layers.rpn import RPNHead, propose
from teachseg.learning.losses import (
    class_loss,
    competing_mask_loss,
    delta_loss,
    mask_loss,
    objectness_loss,
)
from teachseg.learning.targets import RoiTargets, roi_targets, rpn_targets
from teachseg.processes import average_count
from teachseg.structures import Detections, Proposals, Targets, crowd_of


# fmt: off
@dataclass(frozen=True)
class Config:
    """Every number of the model. Defaults: the paper's ResNet-50-FPN, tested on COCO."""

    num_classes: int  # K, without background

    # images
    min_side: int | None = 800   # the shorter side is resized to this, pixels      [section 3.1]
    max_side: int = 1333         # unless the longer one would exceed this          [Detectron]
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    multiple_of: int = 32        # batches are padded so that every stride divides them

    # backbone and pyramid
    backbone: str = "resnet50"   # a name of layers.backbones.BACKBONES
    frozen_norm: bool = True     # pretrained batch statistics stay as they are
    c4: bool = False             # no pyramid: boxes are read at stride 16, and the backbone's last
                                 # layers run over each                           [Fig. 4 left]
    fpn_channels: int = 256      # [Lin et al. 2017, section 3]
    extra_level: bool = True     # a level more, for the RPN alone
    canonical_side: float = 224  # a box of this side ...                       [Lin et al., Eq. 1]
    canonical_level: int = 2     # ... is read at this level, 0 being the finest

    # anchors: one size a level, "5 scales and 3 aspect ratios"                     [section 3.1]
    anchor_sizes: tuple[float, ...] = (32, 64, 128, 256, 512)
    anchor_ratios: tuple[float, ...] = (0.5, 1.0, 2.0)  # height / width
    anchor_rounding: bool = False  # whole-pixel anchors, as torchvision's
    anchor_strides: str = "level"  # or "image": image size // feature size, as torchvision's

    # region proposals
    rpn_positive_iou: float = 0.7     # [Faster R-CNN, section 3.1.2]
    rpn_negative_iou: float = 0.3
    rpn_draw: int = 256               # anchors an image in the loss
    rpn_object_share: float = 0.5
    pre_nms_train: int = 2000         # per level                                   [Detectron]
    pre_nms_test: int = 1000
    post_nms_train: int = 2000        # per image
    post_nms_test: int = 1000         # "1000 for FPN"                              [section 3.1]
    rpn_nms_iou: float = 0.7

    # rois
    roi_draw: int = 512               # "N is 64 for the C4 backbone and 512 for FPN" [section 3.1]
    roi_object_share: float = 0.25    # "a ratio of 1:3 of positive to negatives"
    roi_positive_iou: float = 0.5
    delta_weights: tuple[float, float, float, float] = (10, 10, 5, 5)  # 1 / standard deviations
    roi_levels: tuple[int, ...] | None = None  # strides of the maps that boxes are read from, one
                                      # or several, finest first; None: all of the pyramid
    roi_operator: str = "align"       # or "warp", "pool"; "torchvision": its compiled RoIAlign
    sampling_ratio: int = 2           # 2 x 2 points a bin                          [section 3]
    roi_aggregate: str = "average"    # of a bin's points, or "max"; "pool" is always "max"
                                      #                                             [Table 2c]
    warp_rounding: bool = False       # "warp" puts the box on whole cells first [MNC's code]
    aligned: bool = True              # pixel centers at half; torchvision: False
    box_size: int = 7                 # bins a side                                 [Fig. 4]
    mask_size: int = 14               # its mask has twice as many                  [Fig. 4]

    # heads
    box_hidden: int = 1024
    mask_channels: int = 256
    mask_convs: int = 4
    class_agnostic_masks: bool = False  # one mask for all classes               [its ablations]
    mask_head: str = "conv"           # or "mlp": fully connected                   [Table 2e]
    mask_hidden: int = 1024           # of "mlp"
    mask_classes: str = "apart"       # "compete": a pixel is one class's           [Table 2b]

    # losses and decoding
    box_beta: float = 1 / 9           # of smooth L1
    min_score: float = 0.05           # [Detectron]
    nms_iou: float = 0.5              # [Detectron]
    max_detections: int = 100         # "the highest scoring 100 detection boxes"   [section 3.1]
    mask_threshold: float = 0.5       # [section 3.1]
    paste: str = "exact"              # or "torchvision": wider by a bin, whole pixels

    def __post_init__(self):
        if self.num_classes < 1:
            raise ValueError(f"num_classes={self.num_classes}: at least one object class is "
                             "needed; background is not counted.")
        for name, value, known in (
            ("roi_operator", self.roi_operator, ("align", "warp", "pool", "torchvision")),
            ("anchor_strides", self.anchor_strides, ("level", "image")),
            ("paste", self.paste, ("exact", "torchvision")),
            ("roi_aggregate", self.roi_aggregate, ("average", "max")),
            ("mask_head", self.mask_head, ("conv", "mlp")),
            ("mask_classes", self.mask_classes, ("apart", "compete")),
        ):
            if value not in known:
                raise ValueError(f"{name}={value!r} is not known: choose one of "
                                 f"{', '.join(known)}.")
        if self.roi_aggregate == "max" and self.roi_operator == "torchvision":
            raise ValueError("roi_aggregate='max' is not what torchvision's RoIAlign can do: take "
                             "roi_operator='align'.")
        if self.sampling_ratio < 1 and (self.roi_aggregate, self.roi_operator) != (
            "average", "align"
        ) and self.roi_operator not in ("pool", "torchvision"):
            raise ValueError(f"sampling_ratio={self.sampling_ratio}: as many points as a bin has "
                             "cells can only be averaged by RoIAlign. Name a number of 1 or more.")
        if self.mask_classes == "compete" and self.class_agnostic_masks:
            raise ValueError("mask_classes='compete' needs a mask for each class: leave "
                             "class_agnostic_masks=False.")

    @classmethod
    def paper(cls, num_classes: int) -> "Config":
        """ResNet-50-FPN as in the paper; what it leaves open is Detectron's."""
        return cls(num_classes)

    @classmethod
    def c4_paper(cls, num_classes: int) -> "Config":
        """ResNet-50-C4 as in the paper: one map, the last layers once for each box."""
        return cls(num_classes, multiple_of=16, c4=True, extra_level=False, pre_nms_train=12_000,
                   pre_nms_test=6_000, post_nms_test=300, roi_draw=64, box_size=7, mask_size=7,
                   mask_convs=0)

    @classmethod
    def torchvision(cls, num_classes: int) -> "Config":
        """Where torchvision's maskrcnn_resnet50_fpn rounds or pads differently, as torchvision."""
        return cls(num_classes, anchor_rounding=True, anchor_strides="image", aligned=False,
                   roi_operator="torchvision", paste="torchvision")

    @classmethod
    def course(cls, num_classes: int) -> "Config":
        """A small one that learns the scenes from scratch on two CPU cores."""
        return cls(
            num_classes,
            min_side=None, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25), multiple_of=16,
            backbone="course", frozen_norm=False, fpn_channels=64, extra_level=False,
            canonical_side=56, canonical_level=0, anchor_sizes=(16, 32, 64),
            rpn_draw=128, pre_nms_train=200, pre_nms_test=100, post_nms_train=100,
            post_nms_test=50, roi_draw=32, box_hidden=256, mask_channels=64, mask_convs=2,
        )
# fmt: on


class MaskRCNN(nn.Module):
    """Everything that is learned. It sees no ground truth and decides nothing."""

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        options = {} if config.backbone in OWN else {"frozen_norm": config.frozen_norm}
        options |= {"c4": True} if config.c4 else {}
        self.normalize = Normalize(config.mean, config.std)
        self.backbone = build_backbone(config.backbone, **options)
        self.strides = self.backbone.strides  # of the levels that rois are read from
        if config.c4:
            self.fpn, channels = None, self.backbone.out_channels[0]
        else:
            self.fpn = FPN(self.backbone.out_channels, config.fpn_channels, config.extra_level)
            channels = config.fpn_channels
        sizes = anchor_sizes(config, len(self.strides) + config.extra_level)
        self.rpn_head = RPNHead(channels, len(config.anchor_ratios) * len(sizes[0]))
        if config.c4:
            channels *= 2  # behind the backbone's last layers
            self.box_head = PooledBoxHead(channels, config.num_classes)
        else:
            self.box_head = BoxHead(channels, config.box_size, config.box_hidden,
                                    config.num_classes)
        num_masks = 1 if config.class_agnostic_masks else config.num_classes + 1
        if config.mask_head == "mlp":
            self.mask_head = MLPMaskHead(channels, config.mask_size, config.mask_hidden, num_masks)
        else:
            self.mask_head = MaskHead(channels, config.mask_channels, config.mask_convs, num_masks)
        chosen = config.roi_levels
        if chosen is not None and (config.c4 or not chosen or list(chosen) != sorted(
                set(chosen) & set(self.strides))):
            raise ValueError(f"roi_levels={chosen}: boxes can be read from the strides "
                             f"{', '.join(map(str, self.strides))}. Name one or more of these, the "
                             "finest first; with c4=True there is but one, leave it None.")


def anchor_sizes(config: Config, num_levels: int) -> list[tuple[float, ...]]:
    """The anchors' sizes of each level: one a level, or, without a pyramid, all at once."""
    if config.c4:
        return [tuple(config.anchor_sizes)]
    if len(config.anchor_sizes) != num_levels:
        raise ValueError(f"anchor_sizes has {len(config.anchor_sizes)} sizes, but this pyramid has "
                         f"{num_levels} levels: give one size a level.")
    return [(size,) for size in config.anchor_sizes]


class Seen(NamedTuple):
    """What the network sees in a batch before it looks into boxes."""

    batch: Tensor  # (N, 3, H, W) normalised, resized, padded
    sizes: list[tuple[int, int]]  # (height, width) of each image in the batch, without padding
    originals: list[tuple[int, int]]  # (height, width) of each image as it was given
    features: list[Tensor]  # backbone maps
    levels: list[Tensor]  # pyramid maps
    anchors: Tensor  # (A, 4)
    level_sizes: list[int]  # anchors of each level
    objectness_logits: Tensor  # (N, A)
    deltas: Tensor  # (N, A, 4)


def make_anchors(
    config: Config, levels: list[Tensor], strides: tuple[int, ...], padded_size: tuple[int, int]
) -> list[Tensor]:
    """Anchors (A_l, 4) of each level."""
    anchors = []
    for sizes, features, stride in zip(anchor_sizes(config, len(levels)), levels, strides):
        height, width = features.shape[-2:]
        if config.anchor_strides == "image":
            stride = (padded_size[0] // height, padded_size[1] // width)
        cell = cell_anchors(sizes, config.anchor_ratios, config.anchor_rounding).to(
            features.device
        )
        anchors.append(grid_anchors(cell, (height, width), stride))
    return anchors


def see(model: MaskRCNN, images: list[Tensor]) -> Seen:
    """Images -> batch -> backbone -> pyramid -> RPN."""
    config = model.config
    resized = [resize(model.normalize(image), config.min_side, config.max_side) for image in images]
    batch, sizes = batch_images(resized, config.multiple_of)
    features = model.backbone(batch)
    levels = model.fpn(features) if model.fpn else features
    objectness_logits, deltas = model.rpn_head(levels)
    strides = (*model.strides, 2 * model.strides[-1])
    anchors = make_anchors(config, levels, strides, tuple(batch.shape[-2:]))
    return Seen(
        batch,
        sizes,
        [tuple(image.shape[1:]) for image in images],
        features,
        levels,
        torch.cat(anchors),
        [len(a) for a in anchors],
        objectness_logits.float(),
        deltas.float(),
    )


def propose_boxes(config: Config, seen: Seen, pre_nms: int, post_nms: int) -> list[Proposals]:
    """Proposals of each image. No gradient passes: Mask R-CNN takes its boxes as given."""
    return [
        propose(seen.anchors, deltas, logits, seen.level_sizes, size, pre_nms, post_nms,
                config.rpn_nms_iou)
        for deltas, logits, size in zip(
            seen.deltas.detach(), seen.objectness_logits.detach(), seen.sizes
        )
    ]


def roi_operator(config: Config, size: int) -> Callable[[Tensor, Tensor, float], Tensor]:
    """How boxes are read, `size` bins a side: (features, rois, spatial scale) -> (R, C, S, S).

    RoIWarp and RoIAlign look at n x n points a bin, n being `sampling_ratio`. Where not their mean
    is wanted from RoIAlign itself, the points are read as n S bins of one point each, which lie in
    the same places, and then gathered.
    """
    how = {"sampling_ratio": config.sampling_ratio, "aligned": config.aligned}
    n = config.sampling_ratio
    gather = F.max_pool2d if config.roi_aggregate == "max" else F.avg_pool2d

    def read(features: Tensor, rois: Tensor, scale: float) -> Tensor:
        if config.roi_operator == "pool":
            return roi_pool(features, rois, size, scale)
        if config.roi_operator == "warp":
            return gather(roi_warp(features, rois, n * size, scale, config.warp_rounding), n)
        if config.roi_operator == "torchvision":  # adds up in another order: the last digits differ
            return ops.roi_align(features, rois, size, scale, **how)
        if config.roi_aggregate == "max":
            return gather(roi_align(features, rois, n * size, scale, 1, config.aligned), n)
        return roi_align(features, rois, size, scale, **how)

    return read


def read_boxes(model: MaskRCNN, levels: list[Tensor], boxes: list[Tensor], size: int) -> Tensor:
    """The features inside boxes, each read from the level that its size asks for.

    Args:
        levels: pyramid maps. boxes: one (R_i, 4) an image. size: S, bins a side.

    Returns:
        (R, C, S, S), image after image.
    """
    config = model.config
    rois = to_rois(boxes)
    if config.c4:
        read = roi_operator(config, size)
        return model.backbone.layer4(read(levels[0], rois, 1 / model.strides[0]))
    level_of = assign_levels(
        rois[:, 1:], len(model.strides), config.canonical_side, config.canonical_level
    )
    strides = config.roi_levels or model.strides
    if strides != model.strides:  # who belongs to a level that is left out goes to the next one
        chosen = [model.strides.index(stride) for stride in strides]
        nearest = [min(range(len(chosen)), key=lambda i, own=own: abs(chosen[i] - own))
                   for own in range(len(model.strides))]
        levels = [levels[i] for i in chosen]
        level_of = constant(nearest, level_of)[level_of]
    return read_pyramid(levels[: len(strides)], strides, rois, level_of,
                        roi_operator(config, size))


def rpn_losses(
    config: Config, seen: Seen, targets: list[Targets], generator: torch.Generator
) -> dict[str, Tensor]:
    """The region proposal network's two losses, over the anchors drawn from all images."""
    logits, labels, deltas, wanted = [], [], [], []
    for i, real in enumerate(targets):
        target = rpn_targets(seen.anchors, real.boxes, config.rpn_positive_iou,
                             config.rpn_negative_iou, config.rpn_draw, config.rpn_object_share,
                             of_image(generator, i), crowd=crowd_of(real).boxes)
        logits.append(seen.objectness_logits[i, target.drawn])
        deltas.append(seen.deltas[i, target.positive])
        labels.append(target.labels)
        wanted.append(target.deltas)
    labels = torch.cat(labels)
    count = average_count(len(labels), labels)
    return {
        "rpn_objectness": objectness_loss(torch.cat(logits), labels, count),
        "rpn_box": delta_loss(torch.cat(deltas), torch.cat(wanted), count, config.box_beta),
    }


def draw_rois(
    config: Config, seen: Seen, targets: list[Targets], generator: torch.Generator
) -> list[RoiTargets]:
    """Proposals of each image -> the rois that the heads are trained on, and their targets.

    Args:
        targets: boxes in pixels of the resized images, masks in those of the images as given.
    """
    proposals = propose_boxes(config, seen, config.pre_nms_train, config.post_nms_train)
    drawn = []
    for i, (found, target, size, original) in enumerate(
        zip(proposals, targets, seen.sizes, seen.originals)
    ):
        drawn.append(
            roi_targets(found.boxes, target, config.roi_positive_iou, config.roi_draw,
                        config.roi_object_share, config.delta_weights, 2 * config.mask_size,
                        of_image(generator, i), size_ratio(size, original))
        )  # fmt: skip
    return drawn


def training_losses(
    model: MaskRCNN, images: list[Tensor], targets: list[Targets], generator: torch.Generator
) -> dict[str, Tensor]:
    """One training step's losses: L = L_cls + L_box + L_mask, and the RPN's two.  [section 3]

    Args:
        images: each (3, H, W) in [0, 1]; sizes may differ.
        targets: one an image, boxes and masks in its pixels; may hold no object.
        generator: draws anchors and rois; on the CPU (see `geometry.sampling.of_image`).

    Returns:
        scalars "rpn_objectness", "rpn_box", "class", "box", "mask"; their sum is what is minimised.
    """
    config = model.config
    check_images(images)
    check_targets(targets, images, config.num_classes)

    # 1. What the network sees, and how far its anchors' answers are off.
    seen = see(model, images)
    resized = [
        scale_targets(target, original, size)
        for target, original, size in zip(targets, seen.originals, seen.sizes)
    ]
    losses = rpn_losses(config, seen, resized, generator)

    # 2. Rois drawn from the proposals, and what the heads should say of them.
    drawn = draw_rois(config, seen, resized, generator)
    labels = torch.cat([d.labels for d in drawn])
    positive = (labels > 0).nonzero().flatten()

    # 3. The box branch, over all drawn rois.
    roi_features = read_boxes(model, seen.levels, [d.boxes for d in drawn], config.box_size)
    class_logits, deltas = model.box_head(roi_features)
    count = average_count(len(labels), labels)
    losses["class"] = class_loss(class_logits.float(), labels, count)
    own_deltas = deltas[positive, labels[positive]].float()
    wanted = torch.cat([d.deltas for d in drawn])
    losses["box"] = delta_loss(own_deltas, wanted, count, config.box_beta)

    # 4. The mask branch, over the positive ones, each on the mask of its class alone.
    positive_boxes = [d.boxes[: len(d.crops)] for d in drawn]
    roi_features = read_boxes(model, seen.levels, positive_boxes, config.mask_size)
    mask_logits, own = model.mask_head(roi_features), labels[positive]
    crops = torch.cat([d.crops for d in drawn])
    pixels = average_count(crops.numel(), crops)
    if config.mask_classes == "compete":
        losses["mask"] = competing_mask_loss(mask_logits.float(), crops, own, pixels)
    else:
        losses["mask"] = mask_loss(pick_class(mask_logits, own).float(), crops, pixels)
    return losses


def mask_crops(config: Config, mask_logits: Tensor, labels: Tensor) -> Tensor:
    """(D, K+1, M, M) logits -> (D, M, M) in [0, 1]: each box's mask, of its class.

    With a sigmoid, what other classes say of a pixel does not matter; with a softmax over them
    ("compete") it does.   [Mask R-CNN, section 3; Table 2b]
    """
    if config.mask_classes == "compete":
        return pick_class(mask_logits.float().softmax(dim=1), labels)
    return pick_class(mask_logits, labels).float().sigmoid()


class Answer(NamedTuple):
    """What the heads say of a batch, before masks are pasted; lists hold one entry an image."""

    proposals: list[Proposals]
    box_features: Tensor  # (R, C, S, S) of all proposals
    class_logits: Tensor  # (R, K+1)
    deltas: Tensor  # (R, K+1, 4)
    found: list[ScoredBoxes]  # after suppression, in pixels of the resized images
    mask_features: Tensor  # (D, C, S, S) of all found boxes
    mask_logits: Tensor  # (D, K+1, M, M)
    crops: list[Tensor]  # (D_i, M, M) each box's own mask, in [0, 1]


def answer(
    model: MaskRCNN, seen: Seen, done: Callable[[str], object] = lambda part: None
) -> Answer:
    """Proposals -> box branch -> suppression -> mask branch on what is left.  [section 3.1]

    Args:
        done: is called with the name of each part when that is done.
    """
    config = model.config
    proposals = propose_boxes(config, seen, config.pre_nms_test, config.post_nms_test)
    done("proposals")
    counts = [len(p.boxes) for p in proposals]
    box_features = read_boxes(model, seen.levels, [p.boxes for p in proposals], config.box_size)
    class_logits, deltas = model.box_head(box_features)
    found = [
        decode_detections(
            logits,
            delta,
            p.boxes,
            size,
            config.delta_weights,
            config.min_score,
            config.nms_iou,
            config.max_detections,
        )
        for logits, delta, p, size in zip(
            class_logits.split(counts), deltas.split(counts), proposals, seen.sizes
        )
    ]
    done("box branch")
    mask_features = read_boxes(model, seen.levels, [f.boxes for f in found], config.mask_size)
    mask_logits = model.mask_head(mask_features)
    crops = mask_crops(config, mask_logits, torch.cat([f.labels for f in found]))
    done("mask branch")
    return Answer(
        proposals,
        box_features,
        class_logits,
        deltas,
        found,
        mask_features,
        mask_logits,
        list(crops.split([len(f.boxes) for f in found])),
    )


@torch.inference_mode()
def stage_times(
    model: MaskRCNN, image: Tensor, clock: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    """Seconds that each part of `predict` takes on one image.

    Args:
        image: (3, H, W) in [0, 1]. clock: gives seconds.

    Returns:
        "network" (backbone, pyramid, the RPN's head), "proposals", "box branch", "mask branch",
        "pasting"; their sum is the whole time. A GPU is waited for after each part.
    """
    check_images([image])
    laps = Laps(clock, image.device)
    seen = see(model, [image])
    laps.done("network")
    detect(model, seen, answer(model, seen, laps.done))
    laps.done("pasting")
    return laps.seconds


@torch.inference_mode()
def predict(model: MaskRCNN, images: list[Tensor]) -> list[Detections]:
    """What is in each image.

    Args:
        images: each (3, H, W) in [0, 1]; sizes may differ.

    Returns:
        one Detections an image, best first, in its own pixels; at most `max_detections`, none with
        a score of `min_score` or less.
    """
    check_images(images)
    seen = see(model, images)
    return detect(model, seen, answer(model, seen))


def detect(model: MaskRCNN, seen: Seen, said: Answer) -> list[Detections]:
    """What the heads said, in the pixels of the images as they were given."""
    detections = []
    for found, crops, size, original in zip(said.found, said.crops, seen.sizes, seen.originals):
        boxes = back_to_original(found.boxes, size, original)
        masks = paste_binary(
            crops, boxes, original, model.config.mask_threshold, model.config.paste
        )
        detections.append(Detections(boxes, found.labels, found.scores, masks))
    return detections


@torch.inference_mode()
def trace(model: MaskRCNN, image: Tensor) -> dict[str, object]:
    """Every intermediate of one image by name, in the order in which it arises.

    Args:
        image: (3, H, W) in [0, 1].

    Returns:
        "batch" (1, 3, H', W') · "features", "levels": lists of maps · "anchors" (A, 4) ·
        "level_sizes" · "objectness_logits" (A,) · "anchor_deltas" (A, 4) · "proposals": Proposals ·
        "box_features" (P, C, S, S) · "class_logits" (P, K+1) · "deltas" (P, K+1, 4) · "found":
        ScoredBoxes · "mask_features" (D, C, S, S) · "mask_logits" (D, K+1, M, M) · "crops"
        (D, M, M) · "mask_probs" (D, H, W) · "detections": Detections, equal to what `predict`
        returns.
        Boxes up to "found" are in pixels of the resized image, those of "detections" in the
        image's.
    """
    check_images([image])
    config = model.config
    seen = see(model, [image])
    said = answer(model, seen)
    found, crops = said.found[0], said.crops[0]
    boxes = back_to_original(found.boxes, seen.sizes[0], seen.originals[0])
    mask_probs = paste_probs(crops, boxes, seen.originals[0], config.paste)
    return {
        "batch": seen.batch,
        "features": seen.features,
        "levels": seen.levels,
        "anchors": seen.anchors,
        "level_sizes": seen.level_sizes,
        "objectness_logits": seen.objectness_logits[0],
        "anchor_deltas": seen.deltas[0],
        "proposals": said.proposals[0],
        "box_features": said.box_features,
        "class_logits": said.class_logits,
        "deltas": said.deltas,
        "found": found,
        "mask_features": said.mask_features,
        "mask_logits": said.mask_logits,
        "crops": crops,
        "mask_probs": mask_probs,
        "detections": Detections(
            boxes, found.labels, found.scores, mask_probs >= config.mask_threshold
        ),
    }


TORCHVISION_NAMES = (  # (how torchvision's keys begin, how ours do); {i} is a running number
    ("backbone.body.", "backbone."),
    ("backbone.fpn.inner_blocks.{i}.0.", "fpn.lateral.{i}."),
    ("backbone.fpn.layer_blocks.{i}.0.", "fpn.smooth.{i}."),
    ("rpn.head.conv.0.0.", "rpn_head.conv."),
    ("rpn.head.cls_logits.", "rpn_head.objectness."),
    ("rpn.head.bbox_pred.", "rpn_head.deltas."),
    ("roi_heads.box_head.", "box_head."),
    ("roi_heads.box_predictor.cls_score.", "box_head.classes."),
    ("roi_heads.box_predictor.bbox_pred.", "box_head.deltas."),
    ("roi_heads.mask_head.{i}.0.", "mask_head.convs.{i}."),
    ("roi_heads.mask_predictor.conv5_mask.", "mask_head.upsample."),
    ("roi_heads.mask_predictor.mask_fcn_logits.", "mask_head.masks."),
)


def rename_from_torchvision(key: str) -> str | None:
    """torchvision's name of a tensor -> ours; None for counters that nothing reads."""
    if key.endswith("num_batches_tracked"):
        return None
    for theirs, ours in TORCHVISION_NAMES:
        for i in range(5) if "{i}" in theirs else (0,):
            if key.startswith(theirs.format(i=i)):
                return ours.format(i=i) + key[len(theirs.format(i=i)) :]
    raise ValueError(
        f"{key!r} is no tensor of torchvision's maskrcnn_resnet50_fpn. Pass that model's "
        "state_dict()."
    )


def from_torchvision(
    state_dict: dict[str, Tensor], num_classes: int = 91, norm_eps: float = 1e-5
) -> MaskRCNN:
    """Our readable model with the weights of torchvision's `maskrcnn_resnet50_fpn`.

    Args:
        state_dict: of that model. num_classes: as torchvision counts, background included.
        norm_eps: the small number in the batch norms' roots. torchvision sets it to 0.0 in the
            models that it ships with COCO_V1 weights, and leaves 1e-5 in all others.

    Returns:
        a model in `eval()`, whose `predict` gives torchvision's detections.

    Raises:
        ValueError: keys that do not belong to that model, or shapes of another number of classes.
    """
    model = MaskRCNN(Config.torchvision(num_classes - 1))
    renamed = {rename_from_torchvision(key): value for key, value in state_dict.items()}
    renamed.pop(None, None)
    needed = model.state_dict()
    for key, value in needed.items():
        if key not in renamed:
            raise ValueError(
                f"The state dict lacks {key} (our name). It must be the whole state_dict() "
                "of torchvision's maskrcnn_resnet50_fpn."
            )
        if renamed[key].shape != value.shape:
            raise ValueError(
                f"{key} is {tuple(renamed[key].shape)}, needed is {tuple(value.shape)} for "
                f"num_classes={num_classes}, background included. Pass the number that the "
                "weights were trained with."
            )
    foreign = [key for key in renamed if key not in needed]
    if foreign:
        raise ValueError(
            f"The state dict also holds {foreign[0]} (our name), which this model has not: it is "
            "of a larger model. Pass the state_dict() of torchvision's maskrcnn_resnet50_fpn."
        )
    model.load_state_dict(renamed)
    for module in model.modules():
        if hasattr(module, "running_var"):
            module.eps = norm_eps
    return model.eval()
