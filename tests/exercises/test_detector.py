"""Lesson 22's exercises: right by the library, and by hand."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.models.detection.roi_heads import paste_masks_in_image

from teachseg.exercises import detector as page
from teachseg.geometry.masks import widen_as_torchvision
from teachseg.learning.losses import delta_loss

quick = settings(deadline=None, max_examples=60)
share = st.floats(0, 1).map(lambda x: round(x, 2))


def test_recall_by_hand():
    # best boxes 0.9, 0.6, 0.4, 0.7
    assert page.recall(page.IOUS, 0.5) == 3 / 4
    assert page.recall(page.IOUS, 0.7) == 2 / 4


@quick
@given(rows=st.lists(st.lists(share, min_size=3, max_size=3), min_size=1, max_size=5), t=share)
def test_recall_is_the_notebooks(rows, t):
    best = torch.tensor(rows, dtype=torch.float64).amax(dim=1)
    assert page.recall(rows, t) == pytest.approx(float((best >= t).double().mean()))


@pytest.mark.parametrize("labels", [[1, 2, 0, 0], [0, 0], [2, 2, 1]])
def test_the_box_loss_is_the_librarys(labels):
    deltas, labels, wanted = page._boxes(labels, seed=7)
    positive = labels > 0
    own = deltas[positive, labels[positive]]
    theirs = delta_loss(own, wanted[positive], len(labels), beta=1 / 9)
    assert page.box_loss(deltas, labels, wanted, 1 / 9) == pytest.approx(float(theirs), abs=1e-5)


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
