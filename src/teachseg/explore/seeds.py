"""A seed and the mask that it grows: point at a cell, and see what is similar to it.

Letters
    D     dimension of an embedding
    T     thresholds tau
    K     object classes; class 0 is background
    H, W  height and width of the image, in pixels
    h, w  height and width of the map, in cells of `stride` pixels

No boxes here. A seed is a (row, column) of the map.

Lesson: 31
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import NamedTuple

import torch
from ipywidgets import IntSlider, SelectionSlider
from torch import Tensor

from teachseg.checks import check_image, check_shape
from teachseg.decoding.seeds import cut_masks, seediness
from teachseg.explore import svg
from teachseg.explore.explorer import Explorer, Frame
from teachseg.explore.stage import Stage, bind, front
from teachseg.geometry.masks import mask_iou
from teachseg.geometry.similarity import similarity_maps
from teachseg.learning.targets import instance_map
from teachseg.papers import deep_metric
from teachseg.structures import Targets

PANEL, GAP, TITLE, ROW = 208, 14, 24, 17
SHADES = (svg.ORANGE, svg.SKY, svg.GREEN, svg.PURPLE, svg.BLUE, svg.RED)  # of thresholds


@dataclass(frozen=True, eq=False)
class Field:
    """One image and what the network says of every cell: all that stays while a seed moves."""

    image: Tensor        # (3, H, W) in [0, 1]
    embeddings: Tensor   # (D, h, w)
    class_probs: Tensor  # (T, K+1, h, w) in [0, 1]
    taus: tuple[float, ...]  # T
    stride: int          # pixels a cell
    instances: Tensor    # (h, w) int64: 0 background, g + 1 object g
    labels: Tensor       # (G,) int64 in 1..K, of the objects

    @cached_property
    def uri(self) -> str:
        """The image as a data: address, made once."""
        return svg.image_uri(self.image)

    @cached_property
    def objects(self) -> Tensor:
        """(G, h, w) bool, the objects' cells."""
        return torch.stack([self.instances == g + 1 for g in range(len(self.labels))]) if len(
            self.labels) else torch.zeros(0, *self.instances.shape, dtype=torch.bool)

    @cached_property
    def seediness(self) -> tuple[Tensor, Tensor, Tensor]:
        """Values, tau indices and labels, each (h, w)."""
        return seediness(self.class_probs)

    @property
    def size(self) -> tuple[int, int]:
        """(h, w)."""
        return tuple(self.embeddings.shape[1:])


def field_of(
    model: deep_metric.DeepMetric, image: Tensor, targets: Targets | None = None
) -> Field:
    """What a model says of an image; the network runs once.

    Args:
        image: (3, H, W) in [0, 1]. targets: what is there, if it is known.
    """
    seen = deep_metric.trace(model, image)
    size, stride = tuple(seen["embeddings"].shape[1:]), model.stride
    targets = Targets.empty(tuple(image.shape[1:])) if targets is None else targets
    instances = instance_map(targets.masks, size, (stride, stride))
    return Field(image, seen["embeddings"].clone(), seen["class_probs"].clone(),
                 model.config.taus, stride, instances, targets.labels)


def check_fields(fields: Sequence[Field], names: Sequence[str]) -> None:
    """ValueError unless there is a field, all of one size, each as its letters say."""
    if not fields:
        raise ValueError("At least one Field is needed, got none. Make them with field_of(model, "
                         "image, targets).")
    for i, one in enumerate(fields):
        check_image(one.image, f"fields[{i}].image")
        check_shape(one.embeddings, "D h w", f"fields[{i}].embeddings")
        check_shape(one.class_probs, f"{len(one.taus)} {len(names) + 1} h w",
                    f"fields[{i}].class_probs")
        if one.size != fields[0].size or one.stride != fields[0].stride:
            raise ValueError(f"fields[{i}] has {one.size} cells of {one.stride} pixels, the first "
                             f"{fields[0].size} of {fields[0].stride}: one picture holds images of "
                             "one size.")


def pick(fields: Sequence[Field], scene: int) -> Field:
    """The scene of that number; ValueError where there is none."""
    if not 0 <= scene < len(fields):
        raise ValueError(f"scene must be in 0..{len(fields) - 1}, got {scene}.")
    return fields[scene]


# ---- point at a cell: the masks that it grows ---------------------------------------------------


class Grown(NamedTuple):
    """What one threshold makes of one seed."""

    tau: float
    cells: int    # of the mask
    iou: float    # with the object that it fits best; 0 where there is none
    object: int   # that object, or -1
    label: int    # the likeliest object class, by the network
    prob: float   # its probability
    mask: Tensor  # (h, w) bool


def grow_all(one: Field, row: int, column: int) -> tuple[Tensor, list[Grown]]:
    """The similarity map (h, w) of a seed, and its mask at every tau."""
    similarity = similarity_maps(one.embeddings, torch.tensor([[row, column]]))[0]
    found = []
    for index, tau in enumerate(one.taus):
        mask = cut_masks(similarity[None], tau)[0]
        ious = mask_iou(mask[None], one.objects)[0]
        best = int(ious.argmax()) if len(ious) else -1
        probs = one.class_probs[index, 1:, row, column]
        label = int(probs.argmax())
        found.append(Grown(tau, int(mask.sum()), float(ious[best]) if best >= 0 else 0.0, best,
                           label + 1, float(probs[label]), mask))
    return similarity, found


def seed_frame(
    fields: Sequence[Field], names: Sequence[str], row: int, column: int, tau: float,
    scene: int = 0,
) -> Frame:
    """How similar every cell is to one of them, the masks at each tau, and what they are.

    Args:
        names: of classes 1..K. row, column: of the seed, in cells. tau: which mask is filled.
    """
    one = pick(fields, scene)
    height, width = one.size
    if not (0 <= row < height and 0 <= column < width):
        raise ValueError(f"The seed must be on the map of {height} x {width} cells, got row {row}, "
                         f"column {column}.")
    if tau not in one.taus:
        raise ValueError(f"tau must be one of {', '.join(map(str, one.taus))}, which the network "
                         f"knows, got {tau}.")
    similarity, found = grow_all(one, row, column)
    own = int(one.instances[row, column])
    where = (f"object {own - 1}, a {names[int(one.labels[own - 1]) - 1]}" if own > 0
             else "background")
    chosen = found[one.taus.index(tau)]
    fits = (f"best fit object {chosen.object}, IoU {chosen.iou:.3f}" if chosen.iou > 0
            else "fits no object")
    each = "; ".join(f"{one_of.tau}: {one_of.cells} cells, IoU {one_of.iou:.3f}, "
                     f"{names[one_of.label - 1]} {one_of.prob:.2f}" for one_of in found)
    caption = (f"Seed at row {row}, column {column}, on {where}. At tau {tau} its mask has "
               f"{chosen.cells} cells, {fits}; the network says {names[chosen.label - 1]} with "
               f"{chosen.prob:.3f}. All thresholds: {each}.")
    left = [GAP + i * (PANEL + GAP) for i in range(3)]
    pieces = [_similarity_panel(one, similarity, row, column, left[0]),
              _masks_panel(one, found, chosen, row, column, left[1]),
              _table(found, chosen, names, left[2])]
    high = TITLE + PANEL * height / width + GAP
    return Frame(svg.picture(left[2] + 280, max(high, 190), *pieces, label=caption), caption)


def map_uri(values: Tensor, low: float = 0.0, high: float = 1.0) -> str:
    """(h, w) values in colours, as a data: address."""
    return svg.image_uri(svg.shades(values, low, high).permute(2, 0, 1).float())


def map_edges(one: Field, left: float) -> tuple[float, float, float, float]:
    """Where a panel's map lies; a cell is PANEL / w wide."""
    height, width = one.size
    return left, TITLE, left + PANEL, TITLE + PANEL * height / width


def image_edges(one: Field, left: float) -> tuple[float, float, float, float]:
    """The image under a panel's map: the last cells may reach out of it."""
    pixel = PANEL / (one.size[1] * one.stride)
    height, width = one.image.shape[1:]
    return left, TITLE, left + width * pixel, TITLE + height * pixel


def place_of(one: Field, row: float, column: float, left: float) -> tuple[float, float]:
    """The middle of a cell on a panel."""
    cell = PANEL / one.size[1]
    return left + (column + 0.5) * cell, TITLE + (row + 0.5) * cell


def _similarity_panel(one: Field, similarity: Tensor, row: int, column: int, left: float) -> str:
    return (svg.text(left, TITLE - 8, "similarity to the seed")
            + svg.underlay(map_uri(similarity), map_edges(one, left))
            + svg.sample_points([place_of(one, row, column, left)], svg.RED, 6, svg.PAPER))


def _masks_panel(
    one: Field, found: Sequence[Grown], chosen: Grown, row: int, column: int, left: float
) -> str:
    """The image, every tau's outline, the chosen one filled."""
    cell = PANEL / one.size[1]
    pieces = [svg.text(left, TITLE - 8, "mask at each tau"),
              svg.underlay(one.uri, image_edges(one, left))]
    for index, grown in enumerate(found):
        is_it = grown is chosen
        pieces.append(svg.mask(grown.mask, left, TITLE, cell, SHADES[index % len(SHADES)],
                               opacity=0.45 if is_it else 0.0, width=2.5 if is_it else 1.2,
                               dashed=not is_it))
    pieces.append(svg.sample_points([place_of(one, row, column, left)], svg.INK, 6, svg.PAPER))
    return "".join(pieces)


def _table(found: Sequence[Grown], chosen: Grown, names: Sequence[str], left: float) -> str:
    """A line for every tau: cells, fit, and what the network says of the mask."""
    ends = (34, 84, 132, 200, 246)
    pieces = [svg.text(left + end, TITLE + 12, words, 11, "end")
              for end, words in zip(ends, ("tau", "cells", "IoU", "class", "prob"))]
    for index, grown in enumerate(found):
        level = TITLE + 16 + ROW * (index + 1)
        words = (f"{grown.tau}", f"{grown.cells}", f"{grown.iou:.3f}", names[grown.label - 1],
                 f"{grown.prob:.3f}")
        pieces += [svg.text(left + end, level, word, 11, "end") for end, word in zip(ends, words)]
        shade = SHADES[index % len(SHADES)]
        pieces.append(svg.line(left + 252, level - 4, left + 268, level - 4, shade,
                               dashed=grown is not chosen, width=2.5))
    return "".join(pieces)


def explore_seeds(
    fields: Sequence[Field], names: Sequence[str], place: tuple[int, int] | None = None
) -> Explorer:
    """Click a place of the image, or choose it with sliders, and see the mask that it grows.

    Args:
        fields: from `field_of`, of one size, made once: the network does not run again.
        names: of classes 1..K. place: (row, column) at first; None: the best seed of the first.
    """
    fields = list(fields)
    check_fields(fields, names)
    height, width = fields[0].size
    if place is None:
        place = divmod(int(fields[0].seediness[0].argmax()), width)
    stage = Stage.pointing(fields[0].image, place, fields[0].stride)
    taus = fields[0].taus
    explorer = Explorer(
        partial(seed_frame, fields, tuple(names)), front(stage),
        row=IntSlider(place[0], min=0, max=height - 1, description="row (cells down)"),
        column=IntSlider(place[1], min=0, max=width - 1, description="column (cells right)"),
        tau=SelectionSlider(options=taus, value=taus[len(taus) // 2], description="tau"),
        scene=IntSlider(0, min=0, max=len(fields) - 1, description="scene"),
    )
    bind(stage, explorer)

    def show_scene(change) -> None:
        stage.image = fields[change.new].uri

    explorer.controls["scene"].observe(show_scene, names="value")
    explorer.stage = stage
    return explorer
