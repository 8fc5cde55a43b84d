"""Lesson 30's exercises: right by the library, by autograd, and by hand.

What holds for every exercise (solutions pass, mutants are named, zeros fail) is in
test_registry.py; here stands what the answers must be.
"""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from teachseg.exercises import metric_pairs as page
from teachseg.geometry.similarity import distance_at, similarity
from teachseg.learning.losses import pair_loss, pair_weights

quick = settings(deadline=None, max_examples=40)
seeds = st.integers(0, 2**31)


def random(seed: int, *sides: int) -> torch.Tensor:
    return torch.randn(*sides, generator=torch.Generator().manual_seed(seed))


@quick
@given(seed=seeds, dim=st.integers(1, 6))
def test_sigma_is_the_librarys(seed, dim):
    a, b = random(seed, 2, dim)
    assert page.sigma(a, b) == pytest.approx(float(similarity(a, b)), abs=1e-6)


def test_sigma_by_hand():
    """d = 0, 1 and 1/2: 1, 2 / (1 + e), 2 / (1 + sqrt e)."""
    assert page.sigma(torch.zeros(2), torch.zeros(2)) == 1
    assert page.sigma(torch.tensor([0.0]), torch.tensor([1.0])) == pytest.approx(2 / (1 + math.e))
    assert page.sigma(*page.FAR) == 0


@quick
@given(tau=st.floats(0.01, 1))
def test_reach_is_the_root_of_the_librarys_distance(tau):
    assert page.reach(tau) == pytest.approx(math.sqrt(distance_at(tau)))


@quick
@given(st.lists(st.integers(1, 500), min_size=1, max_size=8))
def test_weights_are_the_librarys(sizes):
    sizes = torch.tensor(sizes)
    torch.testing.assert_close(page.weights(sizes), pair_weights(sizes))


@quick
@given(seed=seeds, points=st.integers(1, 6))
def test_loss_is_the_librarys(seed, points):
    e, draw = 0.8 * random(seed, points, 3), torch.Generator().manual_seed(seed)
    ids = torch.randint(0, 3, (points,), generator=draw)
    weights = pair_weights(torch.randint(1, 9, (points,), generator=draw))
    assert page.loss(e, ids, weights) == pytest.approx(float(pair_loss(e, ids, weights)), abs=2e-4)


def test_loss_by_hand():
    """Two of one object at d = 1, weights 1/4: twice -log(2 / (1 + e)) / 4."""
    (case,) = [c for c in page.LOSS.cases if c.name == "two points of one object"]
    expected = -math.log(2 / (1 + math.e)) / 2
    assert page.loss(*case.arguments) == pytest.approx(expected, abs=1e-6)


@quick
@given(d=st.floats(1e-3, 30), same=st.integers(0, 1))
def test_stable_is_the_formula_where_the_formula_works(d, same):
    sigma = 2 / (1 + math.exp(d))
    naive = -math.log(sigma if same else 1 - sigma)
    assert page.stable(d, same) == pytest.approx(naive, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("d", [1e-6, 1.0, 90.0, 1e6])
def test_stable_is_finite_and_a_loss_at_any_distance(d):
    for same in (0, 1):
        assert 0 <= page.stable(d, same) < math.inf


@quick
@given(seed=seeds, dim=st.integers(1, 4), same=st.integers(0, 1))
def test_slope_is_autograds(seed, dim, same):
    a, b = random(seed, 2, dim).double()
    a.requires_grad_()
    d = (a - b).square().sum()
    loss = torch.nn.functional.softplus(d) if same else -torch.log(torch.tanh(d / 2))
    loss.backward()
    torch.testing.assert_close(page.slope(a.detach(), b, same).double(), a.grad, rtol=1e-4,
                               atol=1e-4)
