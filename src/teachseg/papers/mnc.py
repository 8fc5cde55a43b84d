"""Multi-task Network Cascades: first boxes, then a mask in each, then what it is.

Dai, He, Sun: Instance-aware Semantic Segmentation via Multi-task Network Cascades, 2015 (arXiv
1512.04412). This page is the paper's table of contents in code: what is learned (`MNC`), what it is
asked for (`training_losses`), what it answers (`predict`), and everything in between (`trace`).

The cascade
    stage 1  boxes without a class (region proposals)           L1(B)
    stage 2  in each box a mask without a class                 L2(M | B)
    stage 3  of each mask in its box the class; and a new box   L3(C | B, M)
    stage 4  a mask in each new box, by stage 2's weights
    stage 5  its class, by stage 3's weights
Each loss depends on what the stages before it gave, so its gradient reaches them: a bad mask moves
the box that it was made in.

Letters
    N  images in the batch      A  anchors of one image     P  proposals of one image
    R  rois of all images       K  object classes           W  bins a side that a box is warped to
    S  side of its block after pooling                      M  side of a mask, in bins

Boxes are (x1, y1, x2, y2) in pixels of the resized image, until they are voted on: that is done in
pixels of the image that was given.

Lesson: 11 (mask stage), 12 (category stage), 13 (cascade), 14 (training and testing)
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from teachseg.checks import check_images, check_targets
from teachseg.costs import Laps
from teachseg.datasets.batch import batch_images, resize
from teachseg.decoding.instances import paste_binary
from teachseg.decoding.voting import mask_voting
from teachseg.geometry.anchors import cell_anchors, grid_anchors, legacy_cell_anchors
from teachseg.geometry.boxes import (
    back_to_original,
    center_size,
    clip_boxes,
    decode_boxes,
    from_inclusive,
    scale_targets,
    size_ratio,
)
from teachseg.geometry.nms import fast_batched_nms
from teachseg.geometry.sampling import of_image
from teachseg.layers.backbones import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    OWN,
    Normalize,
    build_backbone,
)
from teachseg.layers.cascade import (
    Categories,
    CategoryStage,
    CornersAsReleased,
    MaskStage,
    likeliest_class,
    masked_features,
)
from teachseg.layers.fpn import MergedMap
from teachseg.layers.roi import at_least_float32, roi_warp, to_rois
from teachseg.layers.rpn import LimitedGradient, RPNHead, inside, proposal_anchors
from teachseg.learning.losses import class_loss, delta_loss, mask_loss, objectness_loss
from teachseg.learning.targets import (
    BoxLabels,
    StageTargets,
    in_crowd,
    label_boxes,
    mask_level_labels,
    mix_anchor_targets,
    rpn_targets,
    sample_boxes,
    stage_targets,
)
from teachseg.processes import average_count, world
from teachseg.structures import Detections, Proposals, Targets, crowd_of


# fmt: off
@dataclass(frozen=True)
class Config:
    """Every number of the model. Defaults: the paper's; where it is silent, its released code's."""

    num_classes: int  # K, without background

    # images
    min_side: int | None = 600   # the shorter side is resized to this, pixels         [section 4]
    max_side: int = 1000         # unless the longer one would exceed this             [code]
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    multiple_of: int = 1         # sides of a batch; 1: no more padding than needed

    # features: one map, read by all stages
    backbone: str = "vgg16"      # a name of layers.backbones.BACKBONES              [section 3]
    ceil_pooling: bool = True    # as Caffe's: 600 x 1000 pixels are 38 x 63 cells
    frozen_norm: bool = True     # pretrained batch statistics stay as they are
    feature_stride: int = 16     # of the map that is read
    merge_channels: int | None = None  # None: the backbone's map as it is; else see MergedMap

    # stage 1: anchors and proposals
    anchors: str = "released"    # the nine of the released code, or "exact": size^2 about the cell
    anchor_sizes: tuple[float, ...] = (128, 256, 512)   # [Faster R-CNN, section 3.1.1]
    anchor_ratios: tuple[float, ...] = (0.5, 1.0, 2.0)  # height / width
    rpn_scores: int = 2               # of an anchor, background and object      [section 3.1]
    rpn_positive_iou: float = 0.7     # [Faster R-CNN, section 3.1.2]
    rpn_negative_iou: float = 0.3
    rpn_draw: int = 256               # anchors an image in the loss             [section 4]
    rpn_object_share: float = 0.5
    rpn_beta: float = 1 / 9           # of smooth L1, sigma = 3                  [code]
    inside_only: bool = True          # anchors that reach out of the image do not learn  [code]
    mix_anchors: bool = False         # those of the drawn rois learn too        [code, MIX_INDEX]
    pre_nms_train: int = 12000        # [code]
    pre_nms_test: int = 6000          # [code]
    post_nms_train: int = 300         # [sections 3.1, 4]
    post_nms_test: int = 300
    rpn_nms_iou: float = 0.7          # [section 3.1]
    proposal_min_side: float = 16     # of the image as given, pixels            [code]
    box_gradient: str = "full"        # to the boxes; "limited": as released; "none": boxes as given
    gradient_limit: float = 1 / 512   # of "limited", a component                [code]
    bridge_limit: float | None = None  # the same for stage 3's boxes; None: the chain rule

    # rois in training
    roi_draw: int = 64                # an image                                 [section 4]
    roi_object_share: float = 0.3     # [code, FG_FRACTION]
    roi_hard_share: float | None = 0.85  # of the background, near an object     [code, BG_FRACTION]
    roi_hard_iou: float = 0.1         # near: at least this much overlap         [code]
    roi_positive_iou: float = 0.5     # with an object's box                     [section 3.3]
    mask_positive_iou: float = 0.5    # and of the mask with its mask            [section 3.3]
    delta_weights: tuple[float, float, float, float] = (10, 10, 5, 5)  # 1 / deviations  [code]

    # stage 2
    warp_size: int = 28               # W: 28 x 28, then the largest of 2 x 2    [section 3.2]
    roi_size: int = 14                # S: what that gives; equal to warp_size where none is taken
    warp_rounding: bool = False       # whole cells                              [code]
    mask_hidden: int = 256            # [section 3.2]
    mask_size: int = 28               # M: m = 28, "m^2-way"                     [section 3.2]
    binarize: float = 0.5             # a mask's target and label: object from here on; not named
    mask_threshold: float = 0.5       # a found mask is object from here on; the paper names none
    mask_weight: float = 1.0          # of L2; "we use weights of 1"             [section 4]
    mask_gradient: str = "all"        # of stage 3, to masks; "positive": only good ones' [code]

    # stage 3
    hidden: int = 4096                # of both pathways                         [section 3.3]
    box_beta: float = 1.0             # of smooth L1, sigma = 1                  [code]

    # the cascade
    stages_train: int = 5             # or 3                                     [section 3.5]
    stages_test: int = 5              # "we always use the 5-stage structure"    [section 4]
    voting: bool = True               # False: suppression alone, each box its own mask
    vote_nms_iou: float = 0.3         # [section 4]
    merge_iou: float = 0.5            # masks of boxes that overlap this much vote together
    max_detections: int = 100         # [code]
    min_score: float = 0.0            # what scores this or less is not made; 0 drops nothing

    # slips of the released code that change a number; never on by default
    slip_bridge_weights: bool = False     # training moves boxes by deltas still times delta_weights
    slip_bridge_background: bool = False  # testing lets background's untrained deltas move a box
    slip_bridge_gradient: bool = False    # corner gradients taken for those of center and size
    slip_late_warp: bool = False          # testing: stages 4 and 5 warp to S at once, no pooling

    def __post_init__(self):
        if self.num_classes < 1:
            raise ValueError(f"num_classes={self.num_classes}: at least one object class is "
                             "needed; background is not counted.")
        for name, known in (
            ("anchors", ("released", "exact")),
            ("box_gradient", ("full", "limited", "none")),
            ("mask_gradient", ("all", "positive")),
            ("stages_train", (3, 5)), ("stages_test", (3, 5)), ("rpn_scores", (1, 2)),
            ("warp_size", (self.roi_size, 2 * self.roi_size)),
        ):
            if getattr(self, name) not in known:
                raise ValueError(f"{name}={getattr(self, name)!r} is not known: choose one of "
                                 f"{', '.join(map(str, known))}.")

    @classmethod
    def paper(cls, num_classes: int) -> "Config":
        """VGG-16 as in the paper; what it leaves open is the released code's."""
        return cls(num_classes)

    @classmethod
    def code(cls, num_classes: int) -> "Config":
        """VGG-16 as released, where that differs from the paper; without its slips."""
        return cls(num_classes, mask_size=21, binarize=0.4, mask_threshold=0.4, mask_weight=2.0,
                   warp_rounding=True, mask_gradient="positive", box_gradient="limited",
                   mix_anchors=True)

    @classmethod
    def course(cls, num_classes: int) -> "Config":
        """A small one that learns the scenes from scratch on two CPU cores."""
        return cls(
            num_classes,
            min_side=None, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25), multiple_of=16,
            # paper: the last map, stride 16. Objects here are 16 to 80 pixels, so stride 4, with
            # what the deeper maps saw added.
            backbone="course", frozen_norm=False, feature_stride=4, merge_channels=40,
            anchors="exact", anchor_sizes=(18, 32, 56), inside_only=False,
            rpn_draw=128, pre_nms_train=200, pre_nms_test=1000, post_nms_train=60,
            post_nms_test=100, proposal_min_side=4, roi_draw=32, roi_object_share=0.4,
            # paper: 28 x 28 bins, then the largest of 2 x 2. A box is 4 to 20 cells wide here: 14
            # bins already see each cell.
            warp_size=14, mask_hidden=160, hidden=160, min_score=0.05,
            mask_threshold=0.4,
            # paper: the whole gradient to the boxes. From random weights it outshouts the RPN's own
            # (1 / 1024 an anchor in batches of 8 x 128), and proposals drift off their objects.
            box_gradient="limited", gradient_limit=1 / 8192, bridge_limit=1 / 4096,
        )
# fmt: on


class MNC(nn.Module):
    """Everything that is learned. It sees no ground truth and decides nothing.

    The paper starts from VGG-16 trained on ImageNet: `backbone` from its convolutions, and fc6, fc7
    of both pathways (`category_stage.fc6_mask` and `fc7_mask`, `fc6` and `fc7`) from its fc6, fc7.
    """

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        options = {} if config.backbone in OWN else {"frozen_norm": config.frozen_norm}
        if config.backbone == "vgg16":
            options["ceil_mode"] = config.ceil_pooling
        self.normalize = Normalize(config.mean, config.std)
        self.backbone = build_backbone(config.backbone, **options)
        strides, widths = self.backbone.strides, self.backbone.out_channels
        if config.feature_stride not in strides:
            raise ValueError(f"feature_stride={config.feature_stride}: {config.backbone} has maps "
                             f"of strides {', '.join(map(str, strides))}. Choose one of these.")
        self.level = strides.index(config.feature_stride)
        channels = config.merge_channels or widths[self.level]
        self.merge = MergedMap(widths[self.level :], channels) if config.merge_channels else None
        num_anchors = len(config.anchor_sizes) * len(config.anchor_ratios)
        self.rpn_head = RPNHead(channels, num_anchors, config.rpn_scores)
        self.mask_stage = MaskStage(
            channels, config.roi_size, config.mask_hidden, config.mask_size
        )
        self.category_stage = CategoryStage(
            channels, config.roi_size, config.hidden, config.num_classes
        )


def parts_of_stage(model: MNC, stage: int) -> list[nn.Module]:
    """The parts that learn when one stage is trained alone; stages 4 and 5 share those of 2 and 3.

    The backbone is stage 1's: the later stages read what it has learned ("sharing features").
    """
    parts = {
        1: [model.backbone, model.rpn_head] + ([model.merge] if model.merge else []),
        2: [model.mask_stage],
        3: [model.category_stage],
    }
    if stage not in range(1, 6):
        raise ValueError(f"stage must be 1, 2, 3, 4 or 5, got {stage!r}.")
    return parts[stage if stage <= 3 else stage - 2]


def learn_only(model: MNC, stages: Sequence[int]) -> None:
    """Let the parts of these stages learn, and no others: step-by-step training.

    After it, `training_losses(..., stages=stages)` and an optimizer over what learns train them.
    `learn_only(model, (1, 2, 3))` lets everything learn again.
    """
    learning = [part for stage in stages for part in parts_of_stage(model, stage)]
    model.requires_grad_(False)
    for part in learning:
        part.requires_grad_(True)


# ---- Stage 1: boxes -----------------------------------------------------------------------------


class Seen(NamedTuple):
    """What the network sees in a batch before it looks into boxes."""

    batch: Tensor  # (N, 3, H, W) normalised, resized, padded
    sizes: list[tuple[int, int]]  # (height, width) of each image in the batch, without padding
    originals: list[tuple[int, int]]  # (height, width) of each image as it was given
    features: Tensor  # (N, C, H / stride, W / stride), the map that all stages share
    anchors: Tensor  # (A, 4)
    objectness_logits: Tensor  # (N, A)
    deltas: Tensor  # (N, A, 4)


def make_anchors(config: Config, features: Tensor) -> Tensor:
    """(N, C, H, W) map -> (H * W * 9, 4) anchors, row by row."""
    if config.anchors == "released":
        cell = from_inclusive(legacy_cell_anchors())
    else:
        cell = cell_anchors(config.anchor_sizes, config.anchor_ratios)
    size = (features.shape[2], features.shape[3])
    return grid_anchors(cell.to(features.device), size, config.feature_stride)


def batch_up(
    model: MNC, images: list[Tensor]
) -> tuple[Tensor, list[tuple[int, int]], list[tuple[int, int]]]:
    """Images -> one batch, their sizes in it, and their sizes as given."""
    config = model.config
    resized = [resize(model.normalize(image), config.min_side, config.max_side) for image in images]
    batch, sizes = batch_images(resized, config.multiple_of)
    return batch, sizes, [(image.shape[1], image.shape[2]) for image in images]


def feature_map(model: MNC, batch: Tensor) -> Tensor:
    """(N, 3, H, W) -> (N, C, H / stride, W / stride): the convolutions that all stages share.

    The channels of a cell stand side by side in memory: so boxes are read, and the largest of 2 x 2
    taken, many times faster.
    """
    maps = model.backbone(batch)
    features = model.merge(maps[model.level :]) if model.merge else maps[model.level]
    return features.contiguous(memory_format=torch.channels_last)


def see_anchors(
    model: MNC,
    batch: Tensor,
    sizes: list[tuple[int, int]],
    originals: list[tuple[int, int]],
    features: Tensor,
) -> Seen:
    """What the region proposals' head says of every anchor."""
    logits, deltas = model.rpn_head([features])
    anchors = make_anchors(model.config, features)
    logits, deltas = at_least_float32(logits), at_least_float32(deltas)
    return Seen(batch, sizes, originals, features, anchors, logits, deltas)


def see(model: MNC, images: list[Tensor]) -> Seen:
    """Images -> batch -> backbone -> RPN."""
    batch, sizes, originals = batch_up(model, images)
    return see_anchors(model, batch, sizes, originals, feature_map(model, batch))


def resize_scale(seen: Seen, i: int) -> tuple[float, float]:
    """(right, down): pixels of image i as it was given, for one of it as resized."""
    return size_ratio(seen.sizes[i], seen.originals[i])


def propose_anchors(config: Config, seen: Seen, i: int, pre_nms: int, post_nms: int) -> Tensor:
    """Which anchors of image i become proposals, (P,) best first: suppression has no gradient."""
    right, down = resize_scale(seen, i)
    return proposal_anchors(
        seen.anchors, seen.deltas[i].detach(), seen.objectness_logits[i].detach(),
        [len(seen.anchors)], seen.sizes[i], pre_nms, post_nms, config.rpn_nms_iou,
        config.proposal_min_side / max(right, down),
    )  # fmt: skip


def limit_here(limit: float) -> float:
    """A limit of gradients, in one of several processes: they are averaged afterwards, so that an
    image's gradient is larger here by their number than it will be."""
    return limit * world()


def proposal_boxes(config: Config, seen: Seen, i: int, kept: Tensor) -> Tensor:
    """B: the boxes of image i, (P, 4), from the anchors kept. This is where later losses move them.

    `box_gradient` "full" is the chain rule of the paper. "limited" holds each component of the
    gradient to the deltas within 1/512, and lets none through where the proposal or its anchor
    reaches out of the image, as released.
    """
    deltas, anchors, size = seen.deltas[i, kept], seen.anchors[kept], seen.sizes[i]
    if config.box_gradient == "none":
        deltas = deltas.detach()
    if config.box_gradient == "limited":
        moved = decode_boxes(deltas.detach(), anchors)
        counts = inside(moved, size) & inside(anchors, size)
        deltas = LimitedGradient.apply(deltas, counts, limit_here(config.gradient_limit))
    return clip_boxes(decode_boxes(deltas, anchors), size)


# ---- Stages 2 and 3, 4 and 5 --------------------------------------------------------------------


class Inside(NamedTuple):
    """What stage 2 (or 4) sees in each box, and its mask."""

    boxes: list[Tensor]  # (R_i, 4) of each image
    warped: Tensor  # (R, C, W, W)
    roi_features: Tensor  # (R, C, S, S)
    mask_logits: Tensor  # (R, M, M)


class Named(NamedTuple):
    """What stage 3 (or 5) says of each box and its mask."""

    masked: Tensor  # (R, C, S, S)
    class_logits: Tensor  # (R, K+1)
    seg_class_logits: Tensor  # (R, K+1)
    deltas: Tensor  # (R, K+1, 4)


def look_inside(
    model: MNC, features: Tensor, boxes: list[Tensor], warp_size: int | None = None
) -> Inside:
    """Stage 2: M(B). Warp the features of each box, pool them, and say which pixels are object.

    Args:
        features: (N, C, H, W). boxes: (R_i, 4) of each image.
        warp_size: W, where it is not the config's.
    """
    config = model.config
    warp_size = warp_size or config.warp_size
    scale = 1 / config.feature_stride
    warped = roi_warp(features, to_rois(boxes), warp_size, scale, config.warp_rounding)
    roi_features = warped if warp_size == config.roi_size else F.max_pool2d(warped, 2)
    mask_logits = at_least_float32(model.mask_stage(roi_features))
    return Inside(boxes, warped, roi_features, mask_logits)


def name_masks(model: MNC, roi_features: Tensor, mask_probs: Tensor) -> Named:
    """Stage 3: C(B, M). Let through what the mask shows, and say of which class it is.

    Args:
        roi_features: (R, C, S, S). mask_probs: (R, M, M) in [0, 1].
    """
    masked = masked_features(roi_features, mask_probs)
    said: Categories = model.category_stage(roi_features, masked)
    return Named(masked, *(at_least_float32(part) for part in said))


def next_boxes(
    config: Config, boxes: list[Tensor], said: Named, sizes: list[tuple[int, int]], training: bool
) -> list[Tensor]:
    """Stage 3's boxes: each moved as its likeliest class would have it. They are the proposals of
    stages 4 and 5.   [section 3.5]

    Args:
        boxes: (R_i, 4) of each image. sizes: (height, width) of each.
        training: decides about the released code's slips alone.
    """
    background = config.slip_bridge_background and not training
    classes = likeliest_class(said.seg_class_logits, background)
    deltas = said.deltas[torch.arange(len(classes), device=classes.device), classes]
    weights = (1, 1, 1, 1) if config.slip_bridge_weights and training else config.delta_weights
    if config.bridge_limit is not None:
        every = torch.ones_like(classes, dtype=torch.bool)
        deltas = LimitedGradient.apply(deltas, every, limit_here(config.bridge_limit))
    moved = decode_boxes(deltas, torch.cat(boxes), weights)
    if config.slip_bridge_gradient:
        moved = CornersAsReleased.apply(torch.cat(center_size(moved), dim=1))
    parts = moved.split([len(b) for b in boxes])
    return [clip_boxes(part, size) for part, size in zip(parts, sizes)]


# ---- Training -----------------------------------------------------------------------------------


class Asked(NamedTuple):
    """What two stages should answer; all images together, image after image."""

    labels: Tensor  # (R,) int64 in 0..K, by box overlap
    deltas: Tensor  # (P, 4)
    crops: Tensor  # (P, M, M) 0. or 1.
    each: list[StageTargets]  # the same, image by image


def ask(config: Config, seen: Seen, boxes: list[Tensor], targets: list[Targets]) -> Asked:
    """What stages 2 and 3 (or 4 and 5) should answer for these boxes.

    Args:
        targets: boxes in pixels of the resized images, masks in those of the images as given.
    """
    each = [
        stage_targets(of_image, target, config.roi_positive_iou, config.delta_weights,
                      config.mask_size, config.binarize, resize_scale(seen, i))
        for i, (of_image, target) in enumerate(zip(boxes, targets))
    ]  # fmt: skip
    labels, _, deltas, crops = (torch.cat(parts) for parts in zip(*each))
    return Asked(labels, deltas, crops, each)


def ask_masks(
    config: Config, seen: Seen, found: Inside, asked: Asked, targets: list[Targets]
) -> Tensor:
    """(R,) the labels that count the predicted mask as well as the box: of the seg classes."""
    positive = (asked.labels > 0).nonzero().flatten()
    crops = found.mask_logits.detach()[positive].sigmoid()
    parts = crops.split([len(each.crops) for each in asked.each])
    return torch.cat([
        mask_level_labels(part, boxes, each, target.masks, config.binarize,
                          config.mask_positive_iou, resize_scale(seen, i))
        for i, (part, boxes, each, target) in enumerate(
            zip(parts, found.boxes, asked.each, targets)
        )
    ])  # fmt: skip


def masks_for_next(
    config: Config, mask_logits: Tensor, seg_labels: Tensor, learns: bool
) -> Tensor:
    """(R, M, M) mask probabilities for the category stage, through which its gradient returns.

    Args:
        seg_labels: (R,); with `mask_gradient` "positive" only masks that are good get a gradient.
        learns: whether the mask stage is being trained; if not, its masks are taken as given.
    """
    probs = mask_logits.sigmoid()
    if not learns:
        return probs.detach()
    if config.mask_gradient == "all":
        return probs
    return torch.where((seg_labels > 0)[:, None, None], probs, probs.detach())


def stage_losses(
    config: Config, mask_logits: Tensor, said: Named | None, asked: Asked, seg_labels: Tensor
) -> dict[str, Tensor]:
    """The losses of stages 2 and 3 (or 4 and 5) for labels that are given.

        L2(M | B)     "mask": of the boxes that are on an object
        L3(C | B, M)  "class" + "seg_class" + "box"

    Args:
        mask_logits: (R, M, M). said: None where only the mask's is wanted.
    """
    positive = (asked.labels > 0).nonzero().flatten()
    pixels = average_count(asked.crops.numel(), asked.crops)
    losses = {"mask": config.mask_weight * mask_loss(mask_logits[positive], asked.crops, pixels)}
    if said is not None:
        own = said.deltas[positive, asked.labels[positive]]
        count = average_count(len(asked.labels), asked.labels)
        losses |= {
            "class": class_loss(said.class_logits, asked.labels, count),
            "seg_class": class_loss(said.seg_class_logits, seg_labels, count),
            "box": delta_loss(own, asked.deltas.to(own.dtype), count, config.box_beta),
        }
    return losses


class Drawn(NamedTuple):
    """Boxes of one image on which stages 2 and 3 are trained."""

    boxes: Tensor  # (R, 4), with a gradient to the proposals among them
    anchors: Tensor  # (R,) int64, the anchor of each; -1 for an object's own box


def draw_boxes(
    config: Config, seen: Seen, i: int, target: Targets, generator: torch.Generator
) -> Drawn:
    """Proposals of image i and its objects' own boxes; of them, at most `roi_draw`."""
    kept = propose_anchors(config, seen, i, config.pre_nms_train, config.post_nms_train)
    boxes = proposal_boxes(config, seen, i, kept)
    boxes = torch.cat([boxes, target.boxes.to(boxes.dtype)])
    anchors = torch.cat([kept, kept.new_full((len(target.boxes),), -1)])
    found = label_boxes(boxes, target, config.roi_positive_iou)
    crowd = crowd_of(target).boxes
    if len(crowd):  # what lies in a crowd is neither an object nor background
        counts = (found.labels > 0) | ~in_crowd(boxes, crowd)
        boxes, anchors = boxes[counts], anchors[counts]
        found = BoxLabels(*(part[counts] for part in found))
    drawn = sample_boxes(found, config.roi_draw, config.roi_object_share, of_image(generator, i),
                         config.roi_hard_share, config.roi_hard_iou)
    return Drawn(boxes[drawn], anchors[drawn])


def rpn_losses(
    config: Config,
    seen: Seen,
    targets: list[Targets],
    drawn: list[Drawn],
    generator: torch.Generator,
) -> dict[str, Tensor]:
    """L1(B): the region proposals' two losses, over the anchors drawn from all images."""
    logits, labels, deltas, wanted = [], [], [], []
    for i, target in enumerate(targets):
        counts = inside(seen.anchors, seen.sizes[i]) if config.inside_only else None
        asked = rpn_targets(seen.anchors, target.boxes, config.rpn_positive_iou,
                            config.rpn_negative_iou, config.rpn_draw, config.rpn_object_share,
                            of_image(generator, i), counts, crowd_of(target).boxes)  # fmt: skip
        if config.mix_anchors:
            roi_labels = label_boxes(drawn[i].boxes, target, config.roi_positive_iou).labels
            behind = drawn[i].anchors
            asked = mix_anchor_targets(
                asked, seen.anchors, target.boxes, behind[(roi_labels > 0) & (behind >= 0)],
                behind[(roi_labels == 0) & (behind >= 0)],
            )  # fmt: skip
        logits.append(seen.objectness_logits[i, asked.drawn])
        deltas.append(seen.deltas[i, asked.positive])
        labels.append(asked.labels)
        wanted.append(asked.deltas)
    logits, labels = torch.cat(logits), torch.cat(labels).to(seen.deltas.dtype)
    deltas, wanted = torch.cat(deltas), torch.cat(wanted).to(seen.deltas.dtype)
    count = average_count(len(labels), labels)
    return {
        "rpn_objectness": objectness_loss(logits, labels, count),
        "rpn_box": delta_loss(deltas, wanted, count, config.rpn_beta),
    }


def training_losses(
    model: MNC,
    images: list[Tensor],
    targets: list[Targets],
    generator: torch.Generator,
    stages: Sequence[int] | None = None,
) -> dict[str, Tensor]:
    """One training step's losses: L = L1(B) + L2(M | B) + L3(C | B, M), and L2, L3 once more for
    stages 4 and 5.

    Args:
        images: each (3, H, W) in [0, 1]; sizes may differ.
        targets: one an image, boxes and masks in its pixels; may hold no object.
        generator: draws rois and anchors; on the CPU (see `geometry.sampling.of_image`).
        stages: whose losses count; None: all that the config trains, end to end. A stage that is
            left out hands on its answer as it is: no gradient of later losses passes it. So (1,),
            then (2,), then (3,) is training step by step.

    Returns:
        scalars, by name; their sum is what is minimised: "rpn_objectness", "rpn_box" of stage 1,
        "mask_2", then "class_3", "seg_class_3", "box_3", and the same of 4 and 5.
    """
    config = model.config
    stages = tuple(stages or range(1, config.stages_train + 1))
    check_images(images)
    check_targets(targets, images, config.num_classes)
    if not set(stages) <= {1, 2, 3, 4, 5}:
        raise ValueError(f"stages must be among 1, 2, 3, 4, 5, got {stages}.")

    # Stage 1. What the network sees, which boxes it proposes, and how far its anchors are off.
    seen = see(model, images)
    resized = [
        scale_targets(target, original, size)
        for target, original, size in zip(targets, seen.originals, seen.sizes)
    ]
    drawn = [draw_boxes(config, seen, i, target, generator) for i, target in enumerate(resized)]
    losses = rpn_losses(config, seen, resized, drawn, generator) if 1 in stages else {}
    boxes = [d.boxes if 1 in stages else d.boxes.detach() for d in drawn]

    for s in (2, 4):  # the stage of the masks; s + 1 is that of the classes
        if max(stages) < s:
            break
        # Stage 2, 4. A mask in each box.
        asked = ask(config, seen, boxes, resized)
        found = look_inside(model, seen.features, boxes)
        seg_labels = ask_masks(config, seen, found, asked, resized)

        # Stage 3, 5. Its class, from what the mask lets through.
        said = None
        if max(stages) > s:
            mask_probs = masks_for_next(config, found.mask_logits, seg_labels, s in stages)
            said = name_masks(model, found.roi_features, mask_probs)
        for name, loss in stage_losses(config, found.mask_logits, said, asked, seg_labels).items():
            stage = s if name == "mask" else s + 1
            if stage in stages:
                losses[f"{name}_{stage}"] = loss

        # Stage 3's boxes and, again, the objects' own are what stages 4 and 5 look into.
        if max(stages) > 3 and s == 2:
            boxes = next_boxes(config, boxes, said, seen.sizes, training=True)
            boxes = [b if 3 in stages else b.detach() for b in boxes]
            boxes = [torch.cat([b, target.boxes.to(b.dtype)]) for b, target in zip(boxes, resized)]
    return losses


# ---- Testing ------------------------------------------------------------------------------------


class Instances(NamedTuple):
    """What the cascade found in one image before its masks vote."""

    boxes: Tensor  # (I, 4), pixels of the image as given
    crops: Tensor  # (I, M, M) in [0, 1], the mask in each box
    scores: Tensor  # (I, K+1) in [0, 1], of box and mask together


def walk(model: MNC, images: list[Tensor]) -> Iterator[tuple[str, dict[str, object]]]:
    """Test the cascade stage by stage: after each, its name and what it gave, by name.

    `predict` walks to the end, `trace` collects everything, `stage_times` looks at the clock.
    """
    config = model.config
    batch, sizes, originals = batch_up(model, images)
    features = feature_map(model, batch)
    yield "features", {"batch": batch, "features": features}

    seen = see_anchors(model, batch, sizes, originals, features)
    pre, post = config.pre_nms_test, config.post_nms_test
    kept = [propose_anchors(config, seen, i, pre, post) for i in range(len(images))]
    boxes = [proposal_boxes(config, seen, i, k) for i, k in enumerate(kept)]
    proposals = [
        Proposals(b, logits[k].sigmoid())
        for b, k, logits in zip(boxes, kept, seen.objectness_logits)
    ]
    yield "stage 1", {
        "anchors": seen.anchors, "objectness_logits": seen.objectness_logits,
        "anchor_deltas": seen.deltas, "proposal_anchors": kept, "proposals": proposals,
    }  # fmt: skip

    parts = []
    for s in range(2, config.stages_test, 2):
        late = config.slip_late_warp and s == 4
        found = look_inside(model, features, boxes, config.roi_size if late else None)
        mask_probs = found.mask_logits.sigmoid()
        yield f"stage {s}", {
            f"boxes_{s}": boxes, f"warped_{s}": found.warped,
            f"roi_features_{s}": found.roi_features, f"mask_logits_{s}": found.mask_logits,
            f"mask_probs_{s}": mask_probs,
        }  # fmt: skip

        said = name_masks(model, found.roi_features, mask_probs)
        scores = said.seg_class_logits.softmax(dim=1)
        parts.append((boxes, mask_probs, scores))
        boxes = next_boxes(config, boxes, said, sizes, training=False)
        yield f"stage {s + 1}", {
            f"masked_{s + 1}": said.masked, f"class_logits_{s + 1}": said.class_logits,
            f"seg_class_logits_{s + 1}": said.seg_class_logits, f"deltas_{s + 1}": said.deltas,
            f"scores_{s + 1}": scores, f"next_boxes_{s + 1}": boxes,
        }  # fmt: skip

    instances = join_instances(parts, sizes, originals)
    detections = [decide(config, one, size) for one, size in zip(instances, originals)]
    yield "voting", {"instances": instances, "detections": detections}


def join_instances(
    parts: list[tuple[list[Tensor], Tensor, Tensor]],
    sizes: list[tuple[int, int]],
    originals: list[tuple[int, int]],
) -> list[Instances]:
    """Stage 3's instances and stage 5's together: 300 + 300 of each image.   [section 4]

    Args:
        parts: boxes of each image, crops (R, M, M), scores (R, K+1).
    """
    joined = []
    for i, (size, original) in enumerate(zip(sizes, originals)):
        boxes, crops, scores = [], [], []
        for part_boxes, part_crops, part_scores in parts:
            counts = [len(b) for b in part_boxes]
            boxes.append(back_to_original(part_boxes[i], size, original))
            crops.append(part_crops.split(counts)[i])
            scores.append(part_scores.split(counts)[i])
        joined.append(Instances(torch.cat(boxes), torch.cat(crops), torch.cat(scores)))
    return joined


def own_masks(config: Config, found: Instances, image_size: tuple[int, int]) -> Detections:
    """Without voting: of the boxes of one class on the same spot the best stays, with its mask."""
    row, column = (found.scores[:, 1:] > config.min_score).nonzero(as_tuple=True)
    scores, labels, boxes = found.scores[row, column + 1], column + 1, found.boxes[row]
    keep = fast_batched_nms(boxes, scores, labels, config.vote_nms_iou)[: config.max_detections]
    row = row[keep]
    masks = paste_binary(found.crops[row], found.boxes[row], image_size, config.mask_threshold)
    return Detections(boxes[keep], labels[keep], scores[keep], masks)


def decide(config: Config, found: Instances, image_size: tuple[int, int]) -> Detections:
    """At most `max_detections` of the instances found in an image of (height, width)."""
    if not config.voting:
        return own_masks(config, found, image_size)
    return mask_voting(
        found.boxes, found.crops, found.scores, image_size, config.vote_nms_iou, config.merge_iou,
        config.mask_threshold, config.max_detections, min_score=config.min_score,
    )  # fmt: skip


@torch.inference_mode()
def predict(model: MNC, images: list[Tensor]) -> list[Detections]:
    """What is in each image.

    Args:
        images: each (3, H, W) in [0, 1]; sizes may differ.

    Returns:
        one Detections an image, best first, in its own pixels; at most `max_detections`, none with
        a score of `min_score` or less.
    """
    check_images(images)
    *_, (_, last) = walk(model, images)
    return last["detections"]


OF_THE_BATCH = ("objectness_logits", "anchor_deltas")  # (N, A, ...), where others join all rois


@torch.inference_mode()
def trace(model: MNC, image: Tensor) -> dict[str, object]:
    """Every intermediate of one image by name, in the order in which it arises.

    Args:
        image: (3, H, W) in [0, 1].

    Returns:
        "batch" (1, 3, H', W') · "features" (1, C, H, W) · "anchors" (A, 4) · "objectness_logits"
        (A,) · "anchor_deltas" (A, 4) · "proposal_anchors" (P,) · "proposals": Proposals ·
        of stage 2: "boxes_2" (P, 4) · "warped_2" (P, C, W, W) · "roi_features_2" (P, C, S, S) ·
        "mask_logits_2", "mask_probs_2" (P, M, M) · of stage 3: "masked_3" (P, C, S, S) ·
        "class_logits_3", "seg_class_logits_3", "scores_3" (P, K+1) · "deltas_3" (P, K+1, 4) ·
        "next_boxes_3" (P, 4) · the same of stages 4 and 5 · "instances": Instances · "detections":
        Detections, equal to what `predict` returns.
        Boxes up to the instances are in pixels of the resized image, later in the image's.
    """
    check_images([image])
    return {
        name: value[0] if isinstance(value, list) or name in OF_THE_BATCH else value
        for _, gave in walk(model, [image])
        for name, value in gave.items()
    }


@torch.inference_mode()
def stage_times(
    model: MNC, image: Tensor, clock: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    """Seconds that each stage takes on one image, as in the paper's table of inference times.

    Args:
        image: (3, H, W) in [0, 1]. clock: gives seconds.

    Returns:
        "conv", "stage 1" .. "stage 5", "others" (voting); their sum is the whole time. The paper
        has no row for stage 1. A GPU is waited for after each stage.
    """
    check_images([image])
    names = {"features": "conv", "voting": "others"}
    laps = Laps(clock, image.device)
    for stage, _ in walk(model, [image]):
        laps.done(names.get(stage, stage))
    return laps.seconds
