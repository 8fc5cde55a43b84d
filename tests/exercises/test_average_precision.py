"""Lesson 02's exercises: right by the library, by the sliders' matching, and by hand.

What holds for every exercise (solutions pass, mutants are named, zeros fail) is in
test_registry.py; here stands what the answers must be.
"""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from teachseg.evaluate import average_precision, precision_recall
from teachseg.exercises import average_precision as page
from teachseg.explore.metrics import match as match_of_the_sliders

quick = settings(deadline=None, max_examples=40)
seeds = st.integers(0, 2**31)


def drawn(seed: int, count: int) -> tuple[torch.Tensor, torch.Tensor, torch.Generator]:
    """Scores, all different, and which detections are right."""
    draw = torch.Generator().manual_seed(seed)
    scores = torch.randperm(count, generator=draw) / max(count, 1)
    return scores, torch.rand(count, generator=draw) < 0.6, draw


@quick
@given(seed=seeds, least=st.sampled_from([0.1, 0.5, 0.75]))
def test_match_is_the_sliders_rule(seed, least):
    draw = torch.Generator().manual_seed(seed)
    d, g = torch.randint(0, 6, (2,), generator=draw).tolist()
    ious = torch.rand(d, g, generator=draw)
    assert page.match(ious, least) == match_of_the_sliders(ious, least, "COCO")


def test_match_by_hand():
    """c is taken by the first; d is free, and 0.53 is enough at 0.5, not at 0.6."""
    assert page.match(page.SECOND_CHOICE, 0.5) == [0, 1]
    assert page.match(page.SECOND_CHOICE, 0.6) == [0, -1]


@quick
@given(seed=seeds, count=st.integers(0, 12), missed=st.integers(0, 3))
def test_curve_is_the_librarys(seed, count, missed):
    scores, right, _ = drawn(seed, count)
    objects = max(int(right.sum()) + missed, 1)
    for ours, theirs in zip(page.curve(scores, right, objects),
                            precision_recall(scores, right, objects)):
        assert ours == pytest.approx(theirs.tolist())


@quick
@given(seed=seeds, count=st.integers(1, 12))
def test_envelope_falls_and_lies_above(seed, count):
    precision = torch.rand(count, generator=torch.Generator().manual_seed(seed))
    lifted = page.envelope(precision)
    assert lifted == sorted(lifted, reverse=True)
    assert all(high >= low for high, low in zip(lifted, precision.tolist()))
    assert set(lifted) <= set(precision.tolist())


@quick
@given(seed=seeds, count=st.integers(0, 12), missed=st.integers(0, 3))
def test_sampled_is_the_librarys(seed, count, missed):
    scores, right, _ = drawn(seed, count)
    curve = precision_recall(scores, right, max(int(right.sum()) + missed, 1))
    for steps, way in ((10, "11-point"), (100, "101-point")):
        assert page.sampled(*curve, steps) == pytest.approx(average_precision(*curve, way))


def test_sampled_by_hand():
    """11: (3 x 1 + 5 x 3/4) / 11; 101: (26 x 1 + 50 x 3/4) / 101."""
    assert page.sampled(*page.WORKED, 10) == pytest.approx(6.75 / 11)
    assert page.sampled(*page.WORKED, 100) == pytest.approx(63.5 / 101)
    assert page.sampled(*page.THREE_OF_TEN, 10) == pytest.approx((3 + 0.75) / 11)


@quick
@given(seed=seeds, count=st.integers(1, 12), images=st.integers(1, 4))
def test_pooled_is_the_librarys_and_does_not_ask_which_image(seed, count, images):
    scores, right, draw = drawn(seed, count)
    image = torch.randint(0, images, (count,), generator=draw)
    objects = torch.bincount(image[right], minlength=images) + 1
    expected = average_precision(*precision_recall(scores, right, int(objects.sum())), "exact")
    assert page.pooled(scores, right, image, objects) == pytest.approx(expected)
    assert page.pooled(scores, right, image * 0, objects) == pytest.approx(expected)


def test_pooled_and_the_mean_of_images_by_hand():
    """Pooled 1/4 + 1/2 x 3/4; image by image 1, 1 and 1/2."""
    arguments = page.POOLED.cases[0].arguments
    assert page.pooled(*arguments) == pytest.approx(5 / 8)
    assert page.POOLED.mutants[0].function(*arguments) == pytest.approx(5 / 6)


@quick
@given(seed=seeds)
def test_mean_is_a_nanmean_of_nanmeans(seed):
    draw = torch.Generator().manual_seed(seed)
    table, objects = torch.rand(4, 10, generator=draw), torch.randint(0, 3, (4,), generator=draw)
    objects[0] = 1
    expected = torch.where(objects[:, None] > 0, table, math.nan).mean(dim=1).nanmean()
    assert page.mean_ap(table, objects) == pytest.approx(float(expected), abs=1e-6)
