"""Similarity: by hand, its bounds, and finite at any distance, gradient included."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from teachseg.geometry.similarity import FARTHEST, similarity, squared_distance


def test_by_hand():
    """|(3, 4)|^2 = 25. At a squared distance of ln 3: 2 / (1 + 3) = 1/2."""
    assert squared_distance(torch.tensor([3.0, 4.0]), torch.zeros(2)) == 25
    assert similarity(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 2.0])) == 1
    half = similarity(torch.tensor([math.sqrt(math.log(3))]), torch.zeros(1))
    assert float(half) == pytest.approx(0.5, abs=1e-6)


def test_it_broadcasts():
    rows, columns = torch.randn(5, 1, 3), torch.randn(4, 3)
    assert similarity(rows, columns).shape == (5, 4)
    assert similarity(torch.zeros(0, 3), torch.zeros(3)).shape == (0,)


@given(st.floats(0, 9))
def test_it_is_the_formula_where_the_formula_works(distance):
    e = torch.tensor([distance], dtype=torch.float64)
    expected = 2 / (1 + math.exp(distance**2))
    assert float(similarity(e, torch.zeros(1, dtype=torch.float64))) == pytest.approx(
        expected, rel=1e-9)


def test_it_falls_with_the_distance_and_is_symmetric():
    places = torch.linspace(0, 5, 30)[:, None]
    values = similarity(places, torch.zeros(1))
    assert (values.diff() < 0).all() and values[0] == 1 and (values > 0).all()
    a, b = torch.randn(2, 7, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(similarity(a, b), similarity(b, a))


@pytest.mark.parametrize("far", [0.0, 1e-20, 10.0, 1e4, 1e10, FARTHEST, 1e19, 3e38])
def test_value_and_gradient_are_finite_at_any_distance(far):
    e = torch.tensor([[far, -far]], requires_grad=True)
    value = similarity(e, -e.detach())
    value.sum().backward()
    assert value.isfinite().all() and e.grad.isfinite().all()
    assert 0 <= value.item() <= 1


def test_gradient_in_float64():
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 6, 3, dtype=torch.float64, generator=generator)
    assert torch.autograd.gradcheck(similarity, (a.requires_grad_(), b.requires_grad_()))


def test_half_precision_is_computed_in_single():
    a = torch.full((2,), 300.0, dtype=torch.float16)  # 300^2 overflows float16
    assert squared_distance(a, torch.zeros(2, dtype=torch.float16)) == 180_000
    assert similarity(a, a).dtype == torch.float32
