"""Similarity: by hand, its bounds, and finite at any distance, gradient included."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from teachseg.geometry import similarity as module
from teachseg.geometry.similarity import (
    FARTHEST,
    distance_at,
    distances_to,
    similarity,
    similarity_maps,
    squared_distance,
)


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


# ---- its inverse --------------------------------------------------------------------------------


def test_the_inverse_by_hand():
    """sigma = 1/2: 2 / (1 + e^d) = 1/2 where e^d = 3. sigma = 1/4: e^d = 7. sigma = 1: d = 0."""
    assert distance_at(1.0) == 0
    assert distance_at(0.5) == pytest.approx(math.log(3))
    assert distance_at(0.25) == pytest.approx(math.log(7))
    assert distance_at(0.9) == pytest.approx(math.log(11 / 9))


@given(st.floats(1e-6, 1))
def test_the_inverse_undoes_it(sigma):
    e = torch.tensor([math.sqrt(distance_at(sigma))], dtype=torch.float64)
    assert float(similarity(e, torch.zeros(1, dtype=torch.float64))) == pytest.approx(sigma)


@pytest.mark.parametrize("sigma", [0.0, -0.5, 1.001, math.nan])
def test_what_is_no_similarity_is_said(sigma):
    with pytest.raises(ValueError, match="above 0 and at most 1, got"):
        distance_at(sigma)


# ---- of a whole map -----------------------------------------------------------------------------


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("at_once", [10, 700, 10**9])
def test_maps_equal_similarity_however_the_work_is_cut(monkeypatch, at_once):
    monkeypatch.setattr(module, "AT_ONCE", at_once)
    embeddings, seeds = random(5, 6, 7), torch.tensor([[0, 0], [5, 6], [2, 3], [2, 3]])
    maps = similarity_maps(embeddings, seeds)
    assert maps.shape == (4, 6, 7)
    for found, (row, column) in zip(maps, seeds.tolist()):
        one = similarity(embeddings.permute(1, 2, 0), embeddings[:, row, column])
        torch.testing.assert_close(found, one)
        assert found[row, column] == 1


def test_maps_of_far_and_of_half_precision_embeddings():
    """1e4 apart: exactly 0 and no nan. 3e38: the square is no float any more, the similarity is."""
    for far in (1e4, 1e20, 3e38):
        row = torch.tensor([0.0, far, -far]).view(1, 1, 3)
        assert similarity_maps(row, torch.tensor([[0, 1]])).tolist() == [[[0, 1, 0]]]
    half = torch.tensor([[[0.0, 300.0]]], dtype=torch.float16)
    assert similarity_maps(half, torch.tensor([[0, 0]])).dtype == torch.float32


def test_distances_do_not_cancel():
    """At 1e4 from the origin |p|^2 + |q|^2 - 2 p q would lose a distance of 0.01 altogether."""
    pixels = torch.tensor([[10_000.0, 10_000.125]])
    assert distances_to(pixels, torch.tensor([[10_000.0]])).tolist() == [[0, 0.125**2]]


def test_no_seed_gives_no_map_and_one_off_the_map_is_said():
    assert similarity_maps(random(3, 4, 5), torch.zeros(0, 2, dtype=torch.int64)).shape == (0, 4, 5)
    with pytest.raises(ValueError, match=r"seeds\[1\] = \[0, 5\] is off the map of 4 x 5"):
        similarity_maps(random(3, 4, 5), torch.tensor([[0, 0], [0, 5]]))
    with pytest.raises(ValueError, match=r"embeddings must have the shape \(D, H, W\)"):
        similarity_maps(random(3, 4), torch.zeros(0, 2, dtype=torch.int64))
