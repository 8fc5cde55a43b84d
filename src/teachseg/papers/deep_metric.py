"""Semantic Instance Segmentation via Deep Metric Learning: instances without proposals.

Fathi, Wojna, Rathod, Wang, Song, Guadarrama, Murphy: 2017 (arXiv 1703.10277). This page is the
paper's table of contents in code: what is learned (`DeepMetric`), what it is asked for
(`training_losses`), what it answers (`predict`), and everything in between (`trace`).

No box is proposed. Every pixel gets a vector, its *embedding*, such that pixels of one object lie
close together and those of different objects far apart. A mask is then all that is similar enough
to one pixel, the *seed*; and a second head says of every pixel, and of several thresholds, whether
the mask that it would grow is an object, and of what class.

Letters
    N     images in the batch           G     objects of one image
    h, w  height and width of the map of embeddings, in cells
    D     dimension of an embedding     K     object classes; class 0 is background
    T     thresholds tau                S     points drawn from an image, or seeds chosen in it

Boxes are (x1, y1, x2, y2) in image pixels; they are read off the masks. A seed is a (row, column)
of the map. The paper itself was not at hand: what it is said to do, and where we had to choose, is
in lessons/deviations.md, and each choice is a setting.

Lesson: 30 (embeddings, pair loss), 31 (masks, classes), 32 (choice of seeds), 33 (train and test)
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from teachseg.checks import check_images, check_targets
from teachseg.costs import Laps
from teachseg.datasets.batch import batch_images, resize
from teachseg.decoding.seeds import (
    Choice,
    choose_seeds,
    cut_masks,
    remove_duplicates,
    seediness,
)
from teachseg.geometry.boxes import constant, size_ratio
from teachseg.geometry.masks import masks_to_boxes
from teachseg.geometry.sampling import of_image, sample_points
from teachseg.geometry.similarity import similarity_maps
from teachseg.layers.backbones import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    OWN,
    Normalize,
    build_backbone,
)
from teachseg.layers.embedding import EmbeddingHead, SeedHead, read_scales, with_coordinates
from teachseg.layers.fpn import MergedMap
from teachseg.learning.losses import class_loss, mean_or_zero, pair_loss, pair_weights
from teachseg.learning.targets import instance_map, seed_labels
from teachseg.structures import Detections, Targets, crowd_of

PIXELS_AT_ONCE = 40_000_000  # of similarity maps brought to the image's size


# fmt: off
@dataclass(frozen=True)
class Config:
    """Every number of the model. Defaults: the paper's, as far as they are known."""

    num_classes: int  # K, without background

    # images
    min_side: int | None = None  # the shorter side is resized to this, pixels; None: as it is
    max_side: int = 1333         # unless the longer one would exceed this
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    multiple_of: int = 8         # batches are padded so that the map has whole cells

    # features
    backbone: str = "resnet101"  # a name of layers.backbones.BACKBONES               [DeepLab-v2]
    dilated: bool = True         # its last maps keep stride 8                         [DeepLab-v2]
    frozen_norm: bool = True     # pretrained batch statistics stay as they are
    input_scales: tuple[float, ...] = (0.25, 0.5, 1.0, 2.0)  # of the image; features concatenated
    merge_channels: int | None = None  # None: the backbone's last map; else see layers.fpn
    coordinate_unit: float | None = None  # pixels; each cell is told its place in it. None: not

    # heads
    embedding_convs: int = 0     # 3 x 3, before the last linear layer of the embeddings' head
    seed_convs: int = 0          # and of the seeds'
    head_channels: int = 256     # of these
    embedding_dim: int = 64      # D                                                   [a review]
    taus: tuple[float, ...] = (0.25, 0.5, 0.75, 0.9)  # T, rising                      [D1's]

    # embeddings: the pair loss
    points: int = 10             # K, drawn of each instance                           [a review]
    background_points: int = 10  # drawn of background
    background: str = "instance"  # one more instance; "ignore": in no pair
    pair_weights: str = "points"  # w_pq by the instances' sizes among the drawn points; "pixels":
                                  # by their sizes in the image; "none": all pairs alike

    # seeds: the classes of the masks that points grow
    seed_iou: float = 0.5        # with an object, from which on a mask is of its class [D1's]
    seed_weight: float = 0.2     # lambda, at its end                                  [a review]
    ramp: tuple[float, float] = (0.0, 0.5)  # shares of the training between which it rises from 0
    chosen_points: int = 0       # seeds that the choice would take now; the classes learn from them

    # decoding
    alpha: float = 0.3           # how much diversity counts; "0.1 to 0.6"             [a review]
    num_seeds: int = 100         # chosen at most
    min_score: float = 0.05      # pixels of this seediness or less are no seeds
    duplicate_iou: float = 0.5   # masks that overlap more than this are one object
    duplicates_by_class: bool = False  # only within a class
    min_pixels: int = 1          # of a mask, in the image
    resize: str = "similarity"   # what is brought to the image's size: "similarity", or "embedding"

    def __post_init__(self):
        if self.num_classes < 1:
            raise ValueError(f"num_classes={self.num_classes}: at least one object class is "
                             "needed; background is not counted.")
        for name, known in (("background", ("instance", "ignore")),
                            ("pair_weights", ("points", "pixels", "none")),
                            ("resize", ("similarity", "embedding"))):
            if getattr(self, name) not in known:
                raise ValueError(f"{name}={getattr(self, name)!r} is not known: choose one of "
                                 f"{', '.join(known)}.")
        if not self.taus or any(not 0 < tau <= 1 for tau in self.taus):
            raise ValueError(f"taus={self.taus}: at least one threshold, each above 0 and at most "
                             "1. At 0 every pixel would belong to every mask.")
        if 1 not in self.input_scales or min(self.input_scales) <= 0:
            raise ValueError(f"input_scales={self.input_scales}: all above 0, and 1 among them, "
                             "whose map sets the size of the others.")
        for name, least in (("embedding_dim", 1), ("points", 1), ("background_points", 0),
                            ("embedding_convs", 0), ("seed_convs", 0), ("num_seeds", 0),
                            ("chosen_points", 0), ("min_pixels", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be {least} or more, got {getattr(self, name)}.")
        for name in ("alpha", "seed_weight"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must be 0 or more, got {getattr(self, name)}.")
        for name in ("seed_iou", "duplicate_iou", "min_score"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be in [0, 1], got {getattr(self, name)}.")
        if not 0 <= self.ramp[0] <= self.ramp[1] <= 1:
            raise ValueError(f"ramp={self.ramp}: two shares of the training, the first not after "
                             "the second, both in [0, 1].")

    @classmethod
    def paper(cls, num_classes: int) -> "Config":
        """DeepLab-v2's dilated ResNet-101, seen at four scales; D = 64."""
        return cls(num_classes)

    @classmethod
    def course(cls, num_classes: int) -> "Config":
        """A small one that learns the scenes from scratch on two CPU cores."""
        return cls(
            num_classes,
            mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25), multiple_of=16,
            backbone="course", dilated=False, frozen_norm=False, input_scales=(1.0,),
            merge_channels=64, coordinate_unit=64.0,
            embedding_convs=1, seed_convs=2, head_channels=64, embedding_dim=32,
            points=20, background_points=80, seed_weight=1.0, ramp=(0.0, 0.3), chosen_points=20,
            num_seeds=20, duplicate_iou=0.3, resize="embedding",
        )
# fmt: on


class DeepMetric(nn.Module):
    """Everything that is learned. It sees no ground truth and decides nothing."""

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        if config.backbone in OWN:
            options = {"stem_map": config.merge_channels is not None}
        else:
            options = {"frozen_norm": config.frozen_norm}
            options |= {"dilated": True} if config.dilated else {}
        self.normalize = Normalize(config.mean, config.std)
        self.backbone = build_backbone(config.backbone, **options)
        widths = self.backbone.out_channels
        self.merge = MergedMap(widths, config.merge_channels) if config.merge_channels else None
        self.stride = self.backbone.strides[0 if self.merge else -1]  # pixels a cell of the map
        seen = (config.merge_channels or widths[-1]) * len(config.input_scales)
        seen += 2 if config.coordinate_unit else 0
        hidden = config.head_channels
        self.embedding_head = EmbeddingHead(seen, hidden, config.embedding_convs,
                                            config.embedding_dim)
        self.seed_head = SeedHead(seen, hidden, config.seed_convs, len(config.taus),
                                  config.num_classes)


# ---- What the network says ----------------------------------------------------------------------


class Seen(NamedTuple):
    """What the network says of a batch."""

    batch: Tensor  # (N, 3, H, W) normalised, resized, padded
    sizes: list[tuple[int, int]]  # (height, width) of each image in the batch, without padding
    originals: list[tuple[int, int]]  # (height, width) of each image as it was given
    features: Tensor  # (N, C, h, w), of all scales, with the places of the cells
    embeddings: Tensor  # (N, D, h, w)
    seed_logits: Tensor  # (N, T, K+1, h, w)


def feature_map(model: DeepMetric, batch: Tensor) -> Tensor:
    """(N, 3, H, W) -> (N, C, h, w): what both heads read."""

    def read(images: Tensor) -> Tensor:
        maps = model.backbone(images)
        return model.merge(maps) if model.merge else maps[-1]

    features = read_scales(read, batch, model.config.input_scales)
    if model.config.coordinate_unit is None:
        return features
    return with_coordinates(features, model.stride / model.config.coordinate_unit)


def see(model: DeepMetric, images: list[Tensor]) -> Seen:
    """Images -> batch -> features -> an embedding for every cell, and logits for every tau."""
    config = model.config
    resized = [resize(model.normalize(image), config.min_side, config.max_side) for image in images]
    batch, sizes = batch_images(resized, config.multiple_of)
    originals = [(image.shape[1], image.shape[2]) for image in images]
    features = feature_map(model, batch)
    embeddings, logits = model.embedding_head(features), model.seed_head(features)
    return Seen(batch, sizes, originals, features, embeddings.float().contiguous(),
                logits.float().contiguous())  # what follows goes channel by channel


# ---- What it is asked for -----------------------------------------------------------------------


def seed_weight(config: Config, progress: float) -> float:
    """lambda: 0 until `ramp[0]`, then in a line to `seed_weight`, which is reached at `ramp[1]`.

    Masks that are grown from random embeddings are no objects: the classes wait until embeddings
    have become stable.   [deep metric learning paper]

    Args:
        progress: share of the training that is done, in [0, 1].
    """
    start, end = config.ramp
    if progress >= end:
        return config.seed_weight
    return config.seed_weight * (progress - start) / (end - start) if progress > start else 0.0


def embedding_loss(
    config: Config, embeddings: Tensor, points: Tensor, instances: Tensor
) -> Tensor:
    """L_e of one image, over the pairs of its drawn points.   [deep metric learning paper, Eq. 2]

    Args:
        embeddings: (D, h, w). points: (S,) int64, cells row by row. instances: (h, w) int64.
    """
    own = instances.flatten()
    ids = own[points]
    if config.background == "ignore":
        points, ids = points[ids > 0], ids[ids > 0]
    weights = None
    if config.pair_weights != "none":
        counted = ids if config.pair_weights == "points" else own[own >= 0]
        sizes = torch.bincount(counted, minlength=int(own.max()) + 1 if len(own) else 1)
        weights = pair_weights(sizes[ids])
    return pair_loss(embeddings.flatten(1).T[points], ids, weights)


def seed_loss(
    config: Config, embeddings: Tensor, seed_logits: Tensor, points: Tensor, instances: Tensor,
    labels: Tensor,
) -> Tensor:
    """L_cls of one image: of which class is the mask that each point grows, at each tau?

    Args:
        embeddings: (D, h, w). seed_logits: (T, K+1, h, w). points: (S,) int64.
        instances: (h, w) int64. labels: (G,) int64 in 1..K.

    Returns:
        a scalar, the mean over points and thresholds.
    """
    wanted = seed_labels(embeddings, points, instances, labels, config.taus, config.seed_iou)
    said = seed_logits.flatten(2)[:, :, points].transpose(1, 2)  # (T, S, K+1)
    return class_loss(said.flatten(0, 1), wanted.flatten())


def chosen_now(config: Config, embeddings: Tensor, seed_logits: Tensor, inside: Tensor) -> Tensor:
    """The cells that the greedy choice would take as seeds now: (at most chosen_points,) int64.

    It looks for cells that are believed in and unlike all others: cells at outlines, say, that the
    second head overrates. Points drawn at random seldom are such cells; so it is asked about
    those that it would be judged by.

    Args:
        embeddings: (D, h, w). seed_logits: (T, K+1, h, w). inside: (h, w) bool, cells of the image.
    """
    values = seediness(seed_logits.detach().softmax(dim=1))[0].masked_fill(~inside, 0.0)
    choice = choose_seeds(embeddings.detach(), values, config.chosen_points, config.alpha,
                          config.min_score)
    return choice.seeds[:, 0] * embeddings.shape[2] + choice.seeds[:, 1]


def training_losses(
    model: DeepMetric, images: list[Tensor], targets: list[Targets], generator: torch.Generator,
    progress: float = 1.0,
) -> dict[str, Tensor]:
    """One training step's losses: L = L_e + lambda L_cls.

    Args:
        images: each (3, H, W) in [0, 1]; sizes may differ.
        targets: one an image, boxes and masks in its pixels; may hold no object.
        generator: draws the points; on the CPU (see `geometry.sampling.of_image`).
        progress: share of the training that is done, in [0, 1]; lambda rises with it.

    Returns:
        scalars "pairs" and "seeds" (times lambda), each the mean of the images; their sum is what
        is minimised. With `chosen_points` also "chosen" (times lambda): the classes' loss once
        more, of the seeds that the choice would take now.
    """
    config = model.config
    check_images(images)
    check_targets(targets, images, config.num_classes)
    if not 0 <= progress <= 1:
        raise ValueError(f"progress must be in [0, 1], the share of the training that is done, got "
                         f"{progress}.")

    # 1. What the network says of every cell.
    seen = see(model, images)
    map_size = (seen.embeddings.shape[2], seen.embeddings.shape[3])

    pairs, seeds, chosen = [], [], []
    for i, target in enumerate(targets):
        # 2. Whose each cell is, and a few cells of everyone.
        right, down = size_ratio(seen.sizes[i], seen.originals[i])
        instances = instance_map(target.masks, map_size,
                                 (model.stride * down, model.stride * right),
                                 crowd_of(target).masks)
        points = sample_points(instances.flatten(), config.points, config.background_points,
                               of_image(generator, i))

        # 3. Those of one instance should be alike, others not; and what would each grow?
        embeddings, logits = seen.embeddings[i], seen.seed_logits[i]
        pairs.append(embedding_loss(config, embeddings, points, instances))
        seeds.append(seed_loss(config, embeddings, logits, points, instances, target.labels))
        if config.chosen_points:
            points = chosen_now(config, embeddings, logits, instances >= 0)
            chosen.append(seed_loss(config, embeddings, logits, points, instances, target.labels))
    losses = {"pairs": pairs, "seeds": seeds} | ({"chosen": chosen} if chosen else {})
    weight = {"pairs": 1.0, "seeds": seed_weight(config, progress)}
    return {name: weight.get(name, weight["seeds"]) * mean_or_zero(torch.stack(terms))
            for name, terms in losses.items()}


# ---- What it answers ----------------------------------------------------------------------------


class Grown(NamedTuple):
    """The seeds of one image and what they grow, in the order of choice."""

    choice: Choice  # seeds (S, 2), and the value at which each was chosen
    similarities: Tensor  # (S, h, w) in [0, 1], of each seed to every cell
    taus: Tensor  # (S,) the threshold of each
    labels: Tensor  # (S,) int64 in 1..K
    scores: Tensor  # (S,) in [0, 1], the seediness
    masks: Tensor  # (S, h, w) bool, on the map
    kept: Tensor  # indices of those that are no duplicates, best first


def own_cells(seen: Seen, i: int, stride: int) -> tuple[Tensor, Tensor]:
    """Image i's embeddings (D, h, w) and class probabilities (T, K+1, h, w), without padding."""
    height, width = (-(-side // stride) for side in seen.sizes[i])
    logits = seen.seed_logits[i, :, :, :height, :width]
    return seen.embeddings[i, :, :height, :width], logits.softmax(dim=1)


def grow(config: Config, embeddings: Tensor, class_probs: Tensor) -> Grown:
    """Choose seeds, grow a mask from each at its best threshold, and drop duplicates.

    Args:
        embeddings: (D, h, w). class_probs: (T, K+1, h, w) in [0, 1].
    """
    # 1. How good a seed every cell is, and at which threshold and of which class.
    values, tau_index, labels = seediness(class_probs)

    # 2. Good ones that are unlike one another.
    choice = choose_seeds(embeddings, values, config.num_seeds, config.alpha, config.min_score)
    row, column = choice.seeds.T
    taus = constant(config.taus, values)[tau_index[row, column]]

    # 3. Their masks, and of those that are the same object the best.
    similarities = similarity_maps(embeddings, choice.seeds)
    masks = cut_masks(similarities, taus)
    scores, labels = values[row, column], labels[row, column]
    kept = remove_duplicates(masks, scores, labels, config.duplicate_iou,
                             config.duplicates_by_class)
    return Grown(choice, similarities, taus, labels, scores, masks, kept)


def to_image(
    maps: Tensor, stride: int, size: tuple[int, int], original: tuple[int, int]
) -> Tensor:
    """(C, h, w) numbers a cell -> (C, H, W) numbers a pixel of the image as it was given.

    Linear between the cells' middles: first to the pixels of the resized image, which cells cover
    in whole, then, where that has another size, to those of the original.
    """
    full = (maps.shape[1] * stride, maps.shape[2] * stride)
    maps = F.interpolate(maps[None], size=full, mode="bilinear", align_corners=False)
    maps = maps[:, :, : size[0], : size[1]]
    if size != original:
        maps = F.interpolate(maps, size=original, mode="bilinear", align_corners=False)
    return maps[0]


def full_masks(
    config: Config, embeddings: Tensor, grown: Grown, stride: int, size: tuple[int, int],
    original: tuple[int, int],
) -> Tensor:
    """The kept seeds' masks in the pixels of the image: (kept, H, W) bool.

    "similarity": each seed's map is made larger, then cut at its tau. "embedding": the embeddings
    are made larger, and compared with the seed's own.
    """
    taus, kept = grown.taus[grown.kept], grown.kept
    if len(kept) == 0:
        return torch.zeros(0, *original, dtype=torch.bool, device=embeddings.device)
    if config.resize == "embedding":
        large = to_image(embeddings, stride, size, original)
        places = grown.choice.seeds[kept]
        own = embeddings[:, places[:, 0], places[:, 1]]  # (D, kept)
        beside = torch.cat([own[:, None], large.flatten(1)[:, None]], dim=2)
        seeds = torch.stack([torch.zeros_like(kept), torch.arange(len(kept), device=kept.device)],
                            dim=1)
        similarities = similarity_maps(beside, seeds)[:, 0, len(kept):]
        return cut_masks(similarities.view(-1, *original), taus)
    some = max(1, PIXELS_AT_ONCE // max(original[0] * original[1], 1))
    parts = [cut_masks(to_image(grown.similarities[part], stride, size, original), taus_of)
             for part, taus_of in zip(kept.split(some), taus.split(some))]
    return torch.cat(parts)


def to_detections(
    config: Config, embeddings: Tensor, grown: Grown, stride: int, size: tuple[int, int],
    original: tuple[int, int],
) -> Detections:
    """The kept seeds as detections of the image as it was given; boxes are read off the masks."""
    masks = full_masks(config, embeddings, grown, stride, size, original)
    some = masks.flatten(1).sum(dim=1) >= config.min_pixels
    kept, masks = grown.kept[some], masks[some]
    return Detections(masks_to_boxes(masks), grown.labels[kept], grown.scores[kept], masks)


def decode(model: DeepMetric, seen: Seen, i: int) -> tuple[Grown, Detections]:
    """What is in image i: its seeds and what they grew, and the detections that come of it."""
    embeddings, class_probs = own_cells(seen, i, model.stride)
    grown = grow(model.config, embeddings, class_probs)
    return grown, to_detections(model.config, embeddings, grown, model.stride, seen.sizes[i],
                                seen.originals[i])


@torch.inference_mode()
def stage_times(
    model: DeepMetric, image: Tensor, clock: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    """Seconds that each part of `predict` takes on one image.

    Args:
        image: (3, H, W) in [0, 1]. clock: gives seconds.

    Returns:
        "network" (backbone and both heads), "seeds" (choice, growth, duplicates), "masks" (in the
        image's pixels); their sum is the whole time. A GPU is waited for after each part.
    """
    check_images([image])
    laps = Laps(clock, image.device)
    seen = see(model, [image])
    laps.done("network")
    embeddings, class_probs = own_cells(seen, 0, model.stride)
    grown = grow(model.config, embeddings, class_probs)
    laps.done("seeds")
    to_detections(model.config, embeddings, grown, model.stride, seen.sizes[0], seen.originals[0])
    laps.done("masks")
    return laps.seconds


@torch.inference_mode()
def predict(model: DeepMetric, images: list[Tensor]) -> list[Detections]:
    """What is in each image.

    Args:
        images: each (3, H, W) in [0, 1]; sizes may differ.

    Returns:
        one Detections an image, best first, in its own pixels; at most `num_seeds`, none with a
        score of `min_score` or less.
    """
    check_images(images)
    seen = see(model, images)
    return [decode(model, seen, i)[1] for i in range(len(images))]


@torch.inference_mode()
def trace(model: DeepMetric, image: Tensor) -> dict[str, object]:
    """Every intermediate of one image by name, in the order in which it arises.

    Args:
        image: (3, H, W) in [0, 1].

    Returns:
        "batch" (1, 3, H', W') · "features" (1, C, h', w') · "embeddings" (D, h, w) · "seed_logits",
        "class_probs" (T, K+1, h, w) · "seediness" (h, w) · "tau_index", "labels" (h, w), of which
        the seediness is · "seeds" (S, 2), in the order of choice · "choice_values" (S,) ·
        "similarities" (S, h, w) · "seed_taus", "seed_labels", "seed_scores" (S,) · "map_masks"
        (S, h, w) · "kept", indices of the seeds that are no duplicates, best first · "detections":
        Detections, equal to what `predict` returns.
        The similarity map of any other seed: `similarity_maps(trace["embeddings"], seeds)`.
    """
    check_images([image])
    seen = see(model, [image])
    embeddings, class_probs = own_cells(seen, 0, model.stride)
    values, tau_index, labels = seediness(class_probs)
    grown, found = decode(model, seen, 0)
    height, width = embeddings.shape[1:]
    return {
        "batch": seen.batch,
        "features": seen.features,
        "embeddings": embeddings,
        "seed_logits": seen.seed_logits[0, :, :, :height, :width],
        "class_probs": class_probs,
        "seediness": values,
        "tau_index": tau_index,
        "labels": labels,
        "seeds": grown.choice.seeds,
        "choice_values": grown.choice.values,
        "similarities": grown.similarities,
        "seed_taus": grown.taus,
        "seed_labels": grown.labels,
        "seed_scores": grown.scores,
        "map_masks": grown.masks,
        "kept": grown.kept,
        "detections": found,
    }
