"""The similarity of two pixels over their distance, its slope, and what a pair of them costs.

Letters
    r      |e_p - e_q|, the distance of two embeddings
    d      r squared
    sigma  2 / (1 + exp(d))
    tau    the similarity from which on a pixel belongs to the mask of a seed

No boxes here.

Lesson: 30
"""

import math
from typing import NamedTuple

from ipywidgets import FloatSlider, SelectionSlider

from teachseg.explore import svg
from teachseg.explore.explorer import Explorer, Frame
from teachseg.geometry.similarity import distance_at

FARTHEST = 3.0        # distance that is drawn
STEPS = 120           # points of a curve
MOST_LOSS = 6.0       # loss and slope that are drawn
LEFT, TOP = 44, 34    # margins of a chart
LONG, HIGH = 250, 210
GAP = 62              # between the charts
PAIRS = ("same", "different")


class Pair(NamedTuple):
    """All that a distance means, for the similarity and for both kinds of pairs."""

    sigma: float
    slope: float          # d sigma / d r
    attract: float        # -log sigma: what a pair of one object costs
    attract_slope: float  # by r: how strongly it is pulled together
    repel: float          # -log(1 - sigma): what a pair of two objects costs
    repel_slope: float    # by r: negative, it is pushed apart


def pair_at(distance: float) -> Pair:
    """The formulas of lesson 30, as functions of r.

        sigma = 2 / (1 + e^d)              sigma' = -r sigma (2 - sigma)
        -log sigma = log(1 + e^d) - log 2  slope r (2 - sigma)
        -log(1 - sigma) = log(1 + 2 / (e^d - 1))    slope -r sigma (2 - sigma) / (1 - sigma)

    Args:
        distance: r, above 0; at 0 a pair of two objects costs infinitely much.
    """
    if not (math.isfinite(distance) and distance > 0):
        raise ValueError(f"The distance must be above 0, got {distance}: two objects' pixels with "
                         "the same embedding would cost infinitely much.")
    d = distance * distance
    sigma = 2 * math.exp(-d) / (1 + math.exp(-d))
    slope = -distance * sigma * (2 - sigma)
    attract = d + math.log1p(math.exp(-d)) - math.log(2)
    repel = math.log1p(2 * math.exp(-d) / -math.expm1(-d))
    return Pair(sigma, slope, attract, distance * (2 - sigma), repel, slope / (1 - sigma))


def reach(tau: float) -> float:
    """The distance up to which a pixel belongs to a mask: sqrt(log(2 / tau - 1))."""
    return math.sqrt(distance_at(tau))


def sigma_frame(distance: float, tau: float, pair: str = "same") -> Frame:
    """Left the similarity with its slope and the threshold, right the loss of a pair.

    Args:
        distance: r, in (0, 3]. tau: in (0, 1]. pair: of "same" or of "different" objects.
    """
    if not 0 < distance <= FARTHEST:
        raise ValueError(f"distance must be above 0 and at most {svg.number(FARTHEST)}, which is "
                         f"what is drawn, got {svg.number(distance)}.")
    if pair not in PAIRS:
        raise ValueError(f"pair must be one of {', '.join(PAIRS)}, got {pair!r}.")
    edge, here = reach(tau), pair_at(distance)
    inside = here.sigma >= tau
    loss, pull = ((here.attract, here.attract_slope) if pair == "same"
                  else (here.repel, here.repel_slope))
    caption = (
        f"Distance {distance:.2f}, squared {distance ** 2:.3f}: sigma {here.sigma:.3f}, slope "
        f"{here.slope:.3f}. At tau {tau:.2f} a mask reaches to {edge:.3f}, so this pixel is "
        f"{'inside' if inside else 'outside'}. As a pair of {pair} objects it costs {loss:.3f}, "
        f"slope {pull:.3f}: they are "
        f"{'pulled together' if pair == 'same' else 'pushed apart'}.")
    pieces = _similarity_chart(distance, tau, edge, here) + _loss_chart(distance, pair, loss)
    wide, high = LEFT + 2 * LONG + GAP + 20, TOP + HIGH + 100
    return Frame(svg.picture(wide, high, *pieces, label=caption), caption)


def _distances() -> list[float]:
    return [FARTHEST * (i + 0.5) / STEPS for i in range(STEPS)]


def _axes(left: float, title: str, low: float, high: float, ticks: list[float]) -> list[str]:
    """A chart's frame with its numbers; `low` is its lowest value, `high` its highest."""
    bottom = TOP + HIGH
    pieces = [svg.text(left, TOP - 14, title),
              svg.box((left, TOP, left + LONG, bottom), svg.PALE, width=1)]
    for value in ticks:
        level = bottom - HIGH * (value - low) / (high - low)
        pieces += [svg.line(left, level, left + LONG, level, svg.PALE, width=1),
                   svg.text(left - 6, level + 4, svg.number(value), 11, "end")]
    for value in range(int(FARTHEST) + 1):
        x = left + LONG * value / FARTHEST
        pieces.append(svg.text(x, bottom + 15, str(value), 11, "middle"))
    pieces.append(svg.text(left + LONG / 2, bottom + 31, "distance r of two embeddings", 11,
                           "middle"))
    return pieces


def _similarity_chart(distance: float, tau: float, edge: float, here: Pair) -> list[str]:
    """sigma over r; its slope; the threshold, and how far the mask reaches."""

    def at(r: float, value: float) -> tuple[float, float]:
        return LEFT + LONG * r / FARTHEST, TOP + HIGH * (1 - (value + 1) / 2)

    curve = [(r, pair_at(r)) for r in _distances()]
    pieces = _axes(LEFT, "similarity", -1, 1, [-1, -0.5, 0, 0.5, 1])
    pieces.append(svg.polyline((at(r, p.sigma) for r, p in curve), svg.BLUE, width=2.5))
    pieces.append(svg.polyline((at(r, p.slope) for r, p in curve), svg.GREEN, dashed=True))
    (left, level), (right, _) = at(0, tau), at(FARTHEST, tau)
    pieces.append(svg.line(left, level, right, level, svg.RED, dashed=True))
    if edge <= FARTHEST:
        x, zero = at(edge, 0)
        pieces.append(svg.line(x, level, x, zero, svg.RED, dashed=True))
    pieces.append(svg.sample_points([at(distance, here.sigma), at(distance, here.slope)], svg.INK,
                                    5, svg.PAPER))
    pieces.append(svg.legend([("solid", svg.BLUE, "sigma"), ("dashed", svg.GREEN, "its slope"),
                              ("dashed", svg.RED, "tau, and how far the mask reaches")],
                             LEFT, TOP + HIGH + 50, 17))
    return pieces


def _loss_chart(distance: float, pair: str, loss: float) -> list[str]:
    """What both kinds of pairs cost over r; the chosen one is drawn thick."""
    start = LEFT + LONG + GAP

    def at(r: float, value: float) -> tuple[float, float]:
        return start + LONG * r / FARTHEST, TOP + HIGH * (1 - value / MOST_LOSS)

    def drawn(values: list[float]):
        return ((at(r, v) if v <= MOST_LOSS else None) for r, v in zip(_distances(), values))

    curve = [pair_at(r) for r in _distances()]
    pieces = _axes(start, "loss of a pair", 0, MOST_LOSS, [0, 2, 4, 6])
    pieces.append(svg.polyline(drawn([p.attract for p in curve]), svg.BLUE,
                               width=3 if pair == "same" else 1.5))
    pieces.append(svg.polyline(drawn([p.repel for p in curve]), svg.ORANGE, dashed=True,
                               width=3 if pair == "different" else 1.5))
    if loss <= MOST_LOSS:
        pieces.append(svg.sample_points([at(distance, loss)], svg.INK, 5, svg.PAPER))
    pieces.append(svg.legend([("solid", svg.BLUE, "same object: -log sigma"),
                              ("dashed", svg.ORANGE, "different: -log(1 - sigma)")],
                             start, TOP + HIGH + 50, 17))
    return pieces


def explore_sigma() -> Explorer:
    """Sliders over the distance and tau, and which kind of pair it is."""
    return Explorer(
        sigma_frame,
        distance=FloatSlider(1.0, min=0.05, max=FARTHEST, step=0.05, description="distance r"),
        tau=FloatSlider(0.5, min=0.05, max=1.0, step=0.05, description="tau"),
        pair=SelectionSlider(options=PAIRS, value="same", description="pair of objects"),
    )
