"""Embeddings in colour: their principal components, as a picture and as points.

Letters
    D     dimension of an embedding
    C     components
    h, w  height and width of the map, in cells

No boxes here.

Lesson: 31
"""

from collections.abc import Sequence
from functools import lru_cache, partial

import torch
from ipywidgets import IntSlider
from torch import Tensor

from teachseg.checks import check_shape
from teachseg.explore import svg
from teachseg.explore.explorer import Explorer, Frame
from teachseg.explore.seeds import (
    GAP,
    PANEL,
    ROW,
    SHADES,
    TITLE,
    Field,
    check_fields,
    image_edges,
    map_edges,
    pick,
)

MOST_POINTS = 60  # of each object


def principal_components(embeddings: Tensor, most: int = 9) -> tuple[Tensor, Tensor]:
    """The directions in which embeddings vary most, and how far each cell lies along them.

    Args:
        embeddings: (D, h, w). most: components kept.

    Returns:
        (C, h, w) coordinates, C = min(D, most), and (C,) their shares of the variance, falling. Of
        each direction's two signs that one is taken whose largest coefficient is positive, so that
        the same embeddings always give the same picture.
    """
    check_shape(embeddings, "D h w", "embeddings")
    flat = embeddings.flatten(1).double()
    centered = flat - flat.mean(dim=1, keepdim=True)
    values, vectors = torch.linalg.eigh(centered @ centered.T / max(flat.shape[1], 1))
    values, vectors = values.flip(0).clamp(min=0)[:most], vectors.flip(1)[:, :most]
    largest = vectors.gather(0, vectors.abs().argmax(dim=0, keepdim=True))
    vectors = vectors * torch.where(largest < 0, -1.0, 1.0)
    shares = values / centered.square().mean(dim=1).sum().clamp(min=1e-30)
    return (vectors.T @ centered).view(-1, *embeddings.shape[1:]).float(), shares.float()


@lru_cache(maxsize=32)
def components_of(one: Field) -> tuple[Tensor, Tensor]:
    """A field's principal components and their shares, made once."""
    return principal_components(one.embeddings)


def component_colours(components: Tensor) -> Tensor:
    """(3, h, w) coordinates -> the same as red, green and blue in [0, 1].

    The middle 96 % of each fill the range; what lies beyond is held at the ends.
    """
    flat = components.flatten(1)
    low, high = flat.quantile(0.02, dim=1), flat.quantile(0.98, dim=1)
    span = (high - low).clamp(min=1e-6)[:, None, None]
    return ((components - low[:, None, None]) / span).clamp(0, 1)


def embedding_frame(
    fields: Sequence[Field], names: Sequence[str], scene: int, across: int, down: int
) -> Frame:
    """The image, its embeddings' first three components as colours, and all cells as points.

    Args:
        names: of classes 1..K. across, down: which components the points are drawn along, from 1.
    """
    one = pick(fields, scene)
    components, shares = components_of(one)
    for name, value in (("across", across), ("down", down)):
        if not 1 <= value <= len(components):
            raise ValueError(f"{name} must be in 1..{len(components)}, the components that there "
                             f"are, got {value}.")
    first = torch.zeros(3, *one.size)
    first[: min(3, len(components))] = components[:3]
    apart, within = spreads(one)
    caption = (f"Scene {scene}: three components hold {float(shares[:3].sum()):.3f} of the "
               f"variance, component {across} {float(shares[across - 1]):.3f}, component {down} "
               f"{float(shares[down - 1]):.3f}. Squared distance of a cell to its own object's "
               f"mean {within:.2f}, of two objects' means at least {apart:.2f}.")
    left = [GAP + i * (PANEL + GAP) for i in range(3)]
    pieces = [
        svg.text(left[0], TITLE - 8, "image"), svg.underlay(one.uri, image_edges(one, left[0])),
        svg.text(left[1], TITLE - 8, "components 1, 2, 3 as colours"),
        svg.underlay(svg.image_uri(component_colours(first)), map_edges(one, left[1])),
        _points_panel(one, components, across, down, left[2]),
    ]
    key = [("cross", SHADES[g % len(SHADES)], f"object {g}, a {names[int(label) - 1]}")
           for g, label in enumerate(one.labels.tolist())]
    key.append(("cross", svg.PALE, "background"))
    pieces.append(svg.legend(key, left[2] + PANEL + 12, TITLE + 10, ROW))
    high = max(TITLE + PANEL * one.size[0] / one.size[1], TITLE + PANEL,
               TITLE + ROW * len(key)) + GAP
    return Frame(svg.picture(left[2] + PANEL + 170, high, *pieces, label=caption), caption)


def spreads(one: Field) -> tuple[float, float]:
    """The least squared distance of two instances' mean embeddings, background among them, and the
    mean squared distance of a cell to its own instance's mean; 0 where there is only one."""
    flat, own = one.embeddings.flatten(1), one.instances.flatten()
    kinds = [k for k in own.unique().tolist() if k >= 0]
    means = torch.stack([flat[:, own == k].mean(dim=1) for k in kinds])
    within = torch.cat([(flat[:, own == k] - mean[:, None]).square().sum(dim=0)
                        for k, mean in zip(kinds, means)]).mean()
    between = (means[:, None] - means).square().sum(dim=2)
    off = between[~torch.eye(len(kinds), dtype=torch.bool)]
    return float(off.min()) if len(off) else 0.0, float(within)


def _points_panel(one: Field, components: Tensor, across: int, down: int, left: float) -> str:
    """Some cells of every object as points, along two components."""
    x, y = components[across - 1].flatten(), components[down - 1].flatten()
    ends = [(float(v.quantile(0.01)), float(v.quantile(0.99))) for v in (x, y)]
    own, pieces = one.instances.flatten(), [
        svg.text(left, TITLE - 8, f"component {across} right, {down} up"),
        svg.box((left, TITLE, left + PANEL, TITLE + PANEL), svg.PALE, width=1)]
    for k in range(len(one.labels) + 1):
        cells = (own == k).nonzero().flatten()
        cells = cells[:: max(1, len(cells) // MOST_POINTS)]
        places = []
        for a, b in zip(x[cells].tolist(), y[cells].tolist()):
            shares = [min(max((v - low) / max(high - low, 1e-6), 0), 1)
                      for v, (low, high) in zip((a, b), ends)]
            places.append((left + 4 + (PANEL - 8) * shares[0],
                           TITLE + PANEL - 4 - (PANEL - 8) * shares[1]))
        shade = SHADES[(k - 1) % len(SHADES)] if k else svg.PALE
        pieces.append(svg.sample_points(places, shade, 2.5))
    return "".join(pieces)


def explore_embeddings(fields: Sequence[Field], names: Sequence[str]) -> Explorer:
    """Sliders over the scene and over the two components along which cells are drawn as points.

    Args:
        fields: from `field_of`, of one size. names: of classes 1..K.
    """
    fields = list(fields)
    check_fields(fields, names)
    most = len(components_of(fields[0])[0])
    return Explorer(
        partial(embedding_frame, fields, tuple(names)),
        scene=IntSlider(0, min=0, max=len(fields) - 1, description="scene"),
        across=IntSlider(1, min=1, max=most, description="component to the right"),
        down=IntSlider(min(2, most), min=1, max=most, description="component upwards"),
    )
