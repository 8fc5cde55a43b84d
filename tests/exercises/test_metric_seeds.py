"""Lesson 32's exercises: right by the library, and by hand."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from teachseg.decoding.seeds import choose_seeds, pick_seeds, remove_duplicates, seediness
from teachseg.exercises import metric_seeds as page

quick = settings(deadline=None, max_examples=40)
seeds = st.integers(0, 2**31)


def chance(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@quick
@given(seed=seeds, thresholds=st.integers(1, 4), classes=st.integers(1, 5))
def test_seediness_is_the_librarys(seed, thresholds, classes):
    probs = torch.randn(thresholds, classes + 1, generator=chance(seed)).softmax(dim=1)
    library = [float(part) for part in seediness(probs[:, :, None, None])]
    assert page.seediness(probs) == pytest.approx(library)


@quick
@given(seed=seeds, count=st.integers(1, 8), alpha=st.sampled_from([0.0, 0.1, 0.3, 0.6, 1.0]))
def test_the_choice_is_the_librarys(seed, count, alpha):
    draw = chance(seed)
    e, scores = torch.randn(8, 3, generator=draw), torch.rand(8, generator=draw) + 0.01
    scores = scores / scores.max()
    library = pick_seeds(e.T[:, None], scores[None], count, alpha)[:, 1].tolist()
    assert page.pick(e, scores, count, alpha) == library


def test_the_value_is_the_librarys():
    """Of the second seed chosen on a line: from its distance to the first."""
    e, scores = torch.tensor([[[0.0, 2.0]]]), torch.tensor([[0.9, 0.5]])
    choice = choose_seeds(e, scores, 2, 0.3)
    assert page.value(0.9, torch.zeros(0), 0.3) == pytest.approx(float(choice.values[0]), abs=1e-6)
    assert page.value(0.5, torch.tensor([4.0]), 0.3) == pytest.approx(float(choice.values[1]),
                                                                      abs=1e-6)


@quick
@given(score=st.tuples(st.floats(0.05, 0.95), st.floats(0.05, 0.95)),
       distance=st.tuples(st.floats(0.01, 30), st.floats(0.01, 30)))
def test_at_the_crossover_both_are_worth_as_much(score, distance):
    (worse, better), (near, far) = sorted(score), sorted(distance)
    if far < 1.01 * near or better < 1.01 * worse:
        return
    alpha = page.crossover(better, near, worse, far)
    p = page.value(better, torch.tensor([near]), alpha)
    q = page.value(worse, torch.tensor([far]), alpha)
    assert p == pytest.approx(q, abs=1e-4)


def test_the_crossover_by_hand():
    """Half as good, 16 times as far: log 2 / log 16 = 1/4."""
    assert page.crossover(0.9, 0.25, 0.45, 4.0) == pytest.approx(0.25)
    assert page.crossover(0.95, 0.01, 0.3, 9.0) == pytest.approx(math.log(19 / 6) / math.log(900))
    assert 0.16 < page.crossover(0.95, 0.01, 0.3, 9.0) < 0.175  # as the solution says


@quick
@given(seed=seeds, count=st.integers(1, 6), max_iou=st.sampled_from([0.0, 0.3, 0.5, 0.8]))
def test_duplicates_are_the_librarys(seed, count, max_iou):
    draw = chance(seed)
    masks = torch.rand(count, 9, generator=draw) < 0.6
    scores = torch.randperm(count, generator=draw) / count
    library = remove_duplicates(masks[:, None], scores, torch.ones(count), max_iou)
    kept = page.keep(masks.float(), scores, max_iou).nonzero().flatten()
    assert sorted(library.tolist()) == kept.tolist()
