"""Lesson 22's exercises: right by the library, and by hand."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.models.detection.roi_heads import paste_masks_in_image

from teachseg.exercises import detector as page
from teachseg.geometry.masks import widen_as_torchvision
from teachseg.train import TrainConfig, learning_rate

quick = settings(deadline=None, max_examples=60)
share = st.floats(0, 1).map(lambda x: round(x, 2))


def test_lost_by_hand():
    """Columns of STEPS at 0.5: kept; lost by suppression; never covered; lost when the likeliest
    were taken; won by moving; missed once, won back, and lost by suppression."""
    assert page.lost(page.STEPS, 0.5) == [0, 4, 1, 2, 0, 4]


@quick
@given(rows=st.lists(st.lists(share, min_size=3, max_size=3), min_size=1, max_size=5), t=share)
def test_what_is_not_lost_is_covered_by_the_last_step(rows, t):
    found = page.lost(rows, t)
    for g, step in enumerate(found):
        assert (step == 0) == (rows[-1][g] >= t)
        assert all(row[g] < t for row in rows[step - 1:]) or step == 0
        assert step <= 1 or rows[step - 2][g] >= t


@quick
@given(step=st.integers(0, 200), warmup=st.integers(0, 50),
       milestones=st.lists(st.integers(1, 200), min_size=1, max_size=3, unique=True).map(sorted))
def test_the_rate_is_the_librarys(step, warmup, milestones):
    config = TrainConfig(steps=201, learning_rate=0.02, warmup_steps=warmup, schedule="steps",
                         milestones=tuple(milestones))
    assert page.rate(step, 0.02, warmup, milestones) == pytest.approx(learning_rate(step, config))


def test_answers_by_hand():
    # .75, .59, .31, .25, .24, .2, .06 are above 0.05; .04 is not
    assert page.answers(page.ROWS, 0.05).tolist() == [[2, 3], [0, 7], [4, 5], [6, 1]]


@quick
@given(seed=st.integers(0, 1000), t=st.sampled_from([0.05, 0.2, 0.5]))
def test_answers_are_as_many_as_the_notebook_counts_and_in_order(seed, t):
    probs = torch.rand(6, 4, generator=torch.Generator().manual_seed(seed)).softmax(dim=1)
    rank = page.answers(probs, t)
    kept = probs[:, 1:] > t
    assert torch.equal(rank > 0, kept)
    by_rank = probs[:, 1:][kept][rank[kept].argsort()].tolist()
    assert by_rank == sorted(by_rank, reverse=True)


def test_kinds_by_hand():
    assert page.kind([0.6, 0.55], [True, True], [True, False]) == 1
    assert page.kind([0.6, 0.55], [False, True], [True, False]) == 0
    assert page.kind([], [], []) == 4


@quick
@given(low=st.floats(0, 40), side=st.floats(4, 60))
def test_widened_is_torchvisions(low, side):
    """Its ones begin and end where ours say, up to the blurred border bin."""
    box = torch.tensor([[low, low, low + side, low + side]])
    crops, wide = widen_as_torchvision(torch.ones(1, 28, 28), box)
    first, count = page.widened(*box[0, [0, 2]].double().tolist(), 28)
    assert wide[0, 0].item() == first
    assert wide[0, 2].item() - first == count


def test_ten_pixels_become_twelve():
    pasted = paste_masks_in_image(torch.ones(1, 1, 28, 28), torch.tensor([[5.0, 5, 15, 15]]),
                                  (20, 20))[0, 0]
    columns = (pasted >= 0.5).any(dim=0).nonzero().flatten().tolist()
    assert [columns[0], len(columns)] == page.widened(5.0, 15.0, 28) == [4, 12]
