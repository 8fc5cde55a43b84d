"""The similarity and the loss over the distance: by hand, by autograd, drawn, and refused."""

import math
import xml.etree.ElementTree as ElementTree

import pytest
import torch

from teachseg.explore.sigma import explore_sigma, pair_at, reach, sigma_frame
from teachseg.geometry.similarity import similarity
from teachseg.learning.losses import pair_loss


def test_a_pair_by_hand():
    """r = 1: sigma = 2 / (1 + e) = 0.538, 1 - sigma = 0.462."""
    found = pair_at(1.0)
    sigma = 2 / (1 + math.e)
    assert found.sigma == pytest.approx(sigma)
    assert found.attract == pytest.approx(-math.log(sigma))
    assert found.repel == pytest.approx(-math.log(1 - sigma))


@pytest.mark.parametrize("distance", [0.05, 0.5, 1.0, 2.0, 3.0])
def test_values_and_slopes_are_the_librarys(distance):
    found = pair_at(distance)
    r = torch.tensor([distance], dtype=torch.float64, requires_grad=True)
    sigma = similarity(r, torch.zeros(1, dtype=torch.float64))
    (slope,) = torch.autograd.grad(sigma, r)
    assert (found.sigma, found.slope) == (pytest.approx(sigma.item()), pytest.approx(slope.item()))
    for ids, value, by_r in (((0, 0), found.attract, found.attract_slope),
                             ((0, 1), found.repel, found.repel_slope)):
        both = torch.stack([r, torch.zeros(1, dtype=torch.float64)])
        loss = 2 * pair_loss(both, torch.tensor(ids))  # two of four pairs cost something
        (slope,) = torch.autograd.grad(loss, r)
        assert value == pytest.approx(loss.item(), rel=1e-3, abs=1e-6)
        assert by_r == pytest.approx(slope.item(), rel=1e-2, abs=1e-6)


def test_far_pairs_are_finite():
    assert pair_at(40.0).sigma == 0 and pair_at(40.0).attract == pytest.approx(1600 - math.log(2))
    assert pair_at(40.0).repel == 0


def test_the_reach_is_where_sigma_is_tau():
    assert reach(1.0) == 0 and reach(0.5) == pytest.approx(math.sqrt(math.log(3)))
    assert pair_at(reach(0.25)).sigma == pytest.approx(0.25)


def test_the_frame_draws_and_says_it():
    found = sigma_frame(1.0, 0.5)
    assert found.caption == (
        "Distance 1.00, squared 1.000: sigma 0.538, slope -0.786. At tau 0.50 a mask reaches to "
        "1.048, so this pixel is inside. As a pair of same objects it costs 0.620, slope 1.462: "
        "they are pulled together.")
    assert "outside. As a pair of different objects it costs" in sigma_frame(
        1.5, 0.5, "different").caption
    root = ElementTree.fromstring(found.svg)
    assert root.get("aria-label") == found.caption
    curves = [p.get("d") for p in root.iter("{http://www.w3.org/2000/svg}path")]
    assert sum(path.count("L") > 40 for path in curves) == 4  # sigma, slope, two losses


def test_tau_of_1_and_steep_losses_are_drawn():
    for state in ((0.05, 1.0, "different"), (3.0, 0.05, "same"), (3.0, 1e-4, "same")):
        ElementTree.fromstring(sigma_frame(*state).svg)


@pytest.mark.parametrize("state, words", [
    ((0.0, 0.5), r"distance must be above 0 and at most 3"),
    ((3.5, 0.5), "got 3.5"),
    ((1.0, 0.0), "A similarity is above 0"),
    ((1.0, 0.5, "both"), "pair must be one of same, different"),
])
def test_what_cannot_be_drawn_is_said(state, words):
    with pytest.raises(ValueError, match=words):
        sigma_frame(*state)
    with pytest.raises(ValueError, match="infinitely much"):
        pair_at(0.0)


def test_the_explorer_sweeps_tau(capsys):
    explorer = explore_sigma()
    explorer.sweep("tau", (0.9, 0.5, 0.25))
    lines = capsys.readouterr().out.splitlines()
    assert ["inside" in line for line in lines] == [False, True, True]
    assert "reaches to 0.448" in lines[0]
