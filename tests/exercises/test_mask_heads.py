"""Lesson 21's exercises: right by the library, by torch, and by hand.

What holds for every exercise (solutions pass, mutants are named, zeros fail) is in
test_registry.py; here stands what the answers must be.
"""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from teachseg.exercises import mask_heads as page
from teachseg.geometry.boxes import box_iou
from teachseg.geometry.masks import paste_masks
from teachseg.layers.heads import pick_class
from teachseg.learning import losses
from teachseg.learning.targets import label_boxes
from teachseg.structures import Targets

quick = settings(deadline=None, max_examples=40)
seeds = st.integers(0, 2**31)


def chance(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_boxes(count: int, draw: torch.Generator) -> torch.Tensor:
    corner = 12 * torch.rand(count, 2, generator=draw)
    return torch.cat([corner, corner + 2 + 8 * torch.rand(count, 2, generator=draw)], dim=1)


@quick
@given(seed=seeds, objects=st.integers(0, 4), rois=st.integers(0, 6))
def test_labels_are_the_librarys(seed, objects, rois):
    draw = chance(seed)
    theirs, boxes = random_boxes(objects, draw), random_boxes(rois, draw)
    classes = torch.randint(1, 6, (objects,), generator=draw)
    there = Targets(theirs, classes, torch.zeros(objects, 24, 24, dtype=torch.bool))
    ours = page.labels(box_iou(theirs, boxes), classes, 0.3)
    assert torch.equal(ours, label_boxes(boxes, there, 0.3).labels)


def test_labels_by_hand():
    """The columns' largest: 0.75 of the first object, 0.375, 0.625 of the second, 0.25."""
    assert page.labels(page.THREE, torch.tensor([4, 2]), 0.5).tolist() == [4, 0, 2, 0]


@quick
@given(seed=seeds, rois=st.integers(1, 6), beta=st.floats(0.05, 2))
def test_box_loss_is_the_librarys(seed, rois, beta):
    draw = chance(seed)
    labels = torch.randint(0, 4, (rois,), generator=draw)
    deltas = torch.randn(rois, 4, 4, generator=draw)
    own = deltas[labels > 0, labels[labels > 0]]
    wanted = torch.randn(len(own), 4, generator=draw)
    library = losses.delta_loss(own, wanted, rois, beta)
    assert page.box_loss(deltas, wanted, labels, beta) == pytest.approx(float(library), rel=1e-4)


def test_box_loss_by_hand():
    """Of one roi: 1.5 off along one axis, beta 0.5, so 1.5 - 0.25 = 1.25."""
    deltas = torch.zeros(1, 2, 4)
    deltas[0, 1, 2] = 1.5
    assert page.box_loss(deltas, torch.zeros(1, 4), torch.tensor([1]), 0.5) == 1.25


@quick
@given(seed=seeds, side=st.integers(1, 5))
def test_upsample_is_torchs_transposed_convolution(seed, side):
    draw = chance(seed)
    block, kernel = torch.randn(side, side, generator=draw), torch.randn(2, 2, generator=draw)
    theirs = F.conv_transpose2d(block[None, None], kernel[None, None], stride=2)[0, 0]
    torch.testing.assert_close(page.upsample(block, kernel), theirs)


@quick
@given(seed=seeds, rois=st.integers(0, 3), side=st.integers(1, 4))
def test_mask_loss_is_the_librarys(seed, rois, side):
    draw = chance(seed)
    logits = 2 * torch.randn(rois, 4, side, side, generator=draw)
    crops = torch.rand(rois, side, side, generator=draw)
    labels = torch.randint(1, 4, (rois,), generator=draw)
    library = losses.mask_loss(pick_class(logits, labels), crops)
    assert page.mask_loss(logits, crops, labels) == pytest.approx(float(library), abs=1e-5)


def test_mask_loss_by_hand():
    """Logit log 3, so p = 3/4, and three quarters are asked: the entropy of 3/4, 0.5623."""
    logits = torch.full((1, 2, 1, 1), math.log(3))
    found = page.mask_loss(logits, torch.full((1, 1, 1), 0.75), torch.tensor([1]))
    assert found == pytest.approx(-0.75 * math.log(0.75) - 0.25 * math.log(0.25), abs=1e-6)


def test_the_hint_about_two_sigmoids_is_true():
    """However sure and right: sigmoid(1) for yes, sigmoid(0) for no."""
    mutant = next(m for m in page.MASK_LOSS.mutants if m.name == "sigmoid twice")
    for asked, least in ((1.0, -math.log(1 / (1 + math.exp(-1)))), (0.0, math.log(2))):
        logits = torch.full((1, 2, 1, 1), 60 * (2 * asked - 1))
        found = mutant.function(logits, torch.full((1, 1, 1), asked), torch.tensor([1]))
        assert found == pytest.approx(least) and found > 0.31


@quick
@given(seed=seeds, asked=st.floats(0, 1), compete=st.integers(0, 1))
def test_slope_is_autograds_through_the_library(seed, asked, compete):
    logits = (2 * torch.randn(5, generator=chance(seed))).double().requires_grad_()
    k, crop = 1 + seed % 4, torch.full((1, 1, 1), asked, dtype=torch.float64)
    one, label = logits.view(1, 5, 1, 1), torch.tensor([k])
    loss = (losses.competing_mask_loss(one, crop, label) if compete
            else losses.mask_loss(pick_class(one, label), crop))
    loss.backward()
    ours = page.slope(logits.detach(), k, asked, compete)
    torch.testing.assert_close(ours.double(), logits.grad, atol=1e-6, rtol=1e-5)


def test_slopes_of_a_softmax_sum_to_0():
    assert float(page.slope(page.CHANNELS, 2, 0.25, 1).sum()) == pytest.approx(0, abs=1e-6)


@quick
@given(seed=seeds, bins=st.integers(1, 6), low=st.floats(-6, 6), side=st.floats(0.5, 9))
def test_paste_is_the_librarys(seed, bins, low, side):
    row = torch.rand(bins, generator=chance(seed))
    box = torch.tensor([[low, 0.0, low + side, 4.0]])
    library = paste_masks(row.expand(1, bins, bins), box, (4, 8))[0, 1]
    ours = page.paste(row, float(box[0, 0]), float(box[0, 2]), 8)
    torch.testing.assert_close(ours, library, atol=1e-4, rtol=1e-4)


def test_paste_by_hand():
    """Three bins over six pixels: pixel 1 is at 1.5 / 6 * 3 - 0.5 = 0.25, so 3/4 of the first."""
    found = page.paste(torch.tensor([1.0, 0.0, 1.0]), 0.0, 6.0, 6)
    torch.testing.assert_close(found, torch.tensor([1.0, 0.75, 0.25, 0.25, 0.75, 1.0]))
