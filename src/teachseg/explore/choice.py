"""The greedy choice of seeds, step by step: good ones that are unlike those chosen before.

Letters
    D     dimension of an embedding; in formulas the distance to the nearest chosen seed
    S_p   seediness of a cell p
    h, w  height and width of the map, in cells

No boxes here. A seed is a (row, column) of the map.

Lesson: 32
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import torch
from ipywidgets import FloatSlider, IntSlider
from torch import Tensor

from teachseg.decoding.seeds import Choice, choose_seeds, cut_masks
from teachseg.explore import svg
from teachseg.explore.explorer import Explorer, Frame
from teachseg.explore.seeds import (
    GAP,
    PANEL,
    SHADES,
    TITLE,
    Field,
    check_fields,
    image_edges,
    map_edges,
    map_uri,
    pick,
    place_of,
)
from teachseg.geometry.masks import mask_iou
from teachseg.geometry.similarity import similarity_maps

SAID = 6         # seeds that a caption lists
RIGHT_IOU = 0.5  # of a seed's mask with an object of its class
DEEP = 5.0       # below the best value, all is equally dark


def values_before(one: Field, choice: Choice, step: int, alpha: float) -> Tensor:
    """(h, w) log S_p + alpha log D(p, seeds 1..step-1): what step number `step` chooses the best
    of; minus infinity where a seed is already."""
    scores = one.seediness[0].log()
    seeds = choice.seeds[: step - 1]
    if len(seeds) and alpha:
        own = one.embeddings[:, seeds[:, 0], seeds[:, 1]]  # (D, seeds)
        apart = (one.embeddings[:, None] - own[:, :, None, None]).square().sum(dim=0)
        scores = scores + alpha * apart.amin(dim=0).log()
    scores = scores.clone()
    scores[seeds[:, 0], seeds[:, 1]] = -torch.inf
    return scores


class Hit(NamedTuple):
    """A chosen seed and what its mask hits."""

    row: int
    column: int
    label: int
    score: float
    tau: float
    value: float  # at which it was chosen
    object: int   # of its class, that its mask fits by RIGHT_IOU; -1: none
    mask: Tensor  # (h, w) bool


def hits_of(one: Field, choice: Choice) -> list[Hit]:
    """What every chosen seed grows, in the order of choice."""
    values, tau_index, labels = one.seediness
    row, column = choice.seeds.T
    taus = torch.tensor(one.taus)[tau_index[row, column]]
    masks = cut_masks(similarity_maps(one.embeddings, choice.seeds), taus)
    ious = mask_iou(masks, one.objects)
    found = []
    for k in range(len(choice.seeds)):
        r, c = int(row[k]), int(column[k])
        label = int(labels[r, c])
        fits = [g for g in range(len(one.labels)) if int(one.labels[g]) == label
                and float(ious[k, g]) >= RIGHT_IOU]
        found.append(Hit(r, c, label, float(values[r, c]), float(taus[k]),
                         float(choice.values[k]), fits[0] if fits else -1, masks[k]))
    return found


def choice_frame(
    fields: Sequence[Field], names: Sequence[str], scene: int, alpha: float, num_seeds: int,
    step: int, min_score: float = 0.05,
) -> Frame:
    """Seediness, what the next choice sees, and the seeds chosen so far with their masks.

    Args:
        names: of classes 1..K. alpha: weight of diversity. num_seeds: chosen at most.
        step: how many of them are shown, the last one just chosen; more than there are: all.
    """
    one = pick(fields, scene)
    if step < 1:
        raise ValueError(f"step must be 1 or more, got {step}.")
    choice = choose_seeds(one.embeddings, one.seediness[0], num_seeds, alpha, min_score)
    shown = min(step, len(choice.seeds))
    hits = hits_of(one, choice)[:shown]
    objects = {hit.object for hit in hits if hit.object >= 0}
    again = sum(hit.object in {h.object for h in hits[:k]} for k, hit in enumerate(hits)
                if hit.object >= 0)
    said = ", ".join(f"{names[hit.label - 1]} {hit.score:.2f} at ({hit.row}, {hit.column})"
                     for hit in hits[:SAID]) + (", ..." if len(hits) > SAID else "")
    last = f"; the last was chosen at {round(hits[-1].value, 3) + 0.0:.3f}" if hits else ""
    caption = (f"Scene {scene}, alpha {alpha:.2f}, step {shown} of {len(choice.seeds)} seeds: "
               f"{said or 'no seed above the floor'}{last}. Objects found: {len(objects)} of "
               f"{len(one.labels)}; seeds on an object that is found already: {again}.")
    left = [GAP + i * (PANEL + GAP) for i in range(3)]
    pieces = [_seediness_panel(one, left[0]), _values_panel(one, choice, shown, alpha, left[1]),
              _chosen_panel(one, hits, left[2])]
    high = TITLE + PANEL * one.size[0] / one.size[1] + GAP
    return Frame(svg.picture(left[2] + PANEL + GAP, high, *pieces, label=caption), caption)


def _seediness_panel(one: Field, left: float) -> str:
    return (svg.text(left, TITLE - 8, "seediness S_p, 0 to 1")
            + svg.underlay(map_uri(one.seediness[0]), map_edges(one, left)))


def _values_panel(one: Field, choice: Choice, shown: int, alpha: float, left: float) -> str:
    """What the last choice saw: the brightest is what it took."""
    values = values_before(one, choice, max(shown, 1), alpha)
    best = float(values.max())
    best = best if best > -torch.inf else 0.0
    uri = map_uri(values.clamp(min=best - DEEP), best - DEEP, best)
    pieces = [svg.text(left, TITLE - 8, f"what choice {shown} saw"),
              svg.underlay(uri, map_edges(one, left))]
    if shown:
        row, column = choice.seeds[shown - 1].tolist()
        pieces.append(svg.sample_points([place_of(one, row, column, left)], svg.RED, 6, svg.PAPER))
    return "".join(pieces)


def _chosen_panel(one: Field, hits: Sequence[Hit], left: float) -> str:
    """The image with the seeds' masks, and the seeds by their number."""
    cell = PANEL / one.size[1]
    pieces = [svg.text(left, TITLE - 8, "seeds and their masks"),
              svg.underlay(one.uri, image_edges(one, left))]
    for hit in hits:
        shade = SHADES[(hit.label - 1) % len(SHADES)]
        pieces.append(svg.mask(hit.mask, left, TITLE, cell, shade, opacity=0.0, width=1.5,
                               dashed=hit.object < 0))
    for k, hit in enumerate(hits):
        x, y = place_of(one, hit.row, hit.column, left)
        pieces += [svg.box((x - 6, y - 6, x + 6, y + 6), svg.INK, width=1, fill=svg.PAPER),
                   svg.text(x, y + 3.5, str(k + 1), 9, "middle")]
    return "".join(pieces)


def explore_choice(fields: Sequence[Field], names: Sequence[str]) -> Explorer:
    """Sliders over the scene, alpha, the number of seeds, and the step of the choice.

    Args:
        fields: from `field_of`, of one size. names: of classes 1..K.
    """
    fields = list(fields)
    check_fields(fields, names)
    return Explorer(
        partial(choice_frame, fields, tuple(names)),
        scene=IntSlider(0, min=0, max=len(fields) - 1, description="scene"),
        alpha=FloatSlider(0.3, min=0, max=1, step=0.05, description="alpha"),
        num_seeds=IntSlider(12, min=1, max=30, description="number of seeds"),
        step=IntSlider(3, min=1, max=30, description="step of the choice"),
    )
