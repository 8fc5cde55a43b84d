"""Lesson 12's exercises: right by the library, and each judge worth its name.

What holds for every exercise (solutions pass, mutants are named, zeros fail) is in
test_registry.py; here stands what the answers must be.
"""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from teachseg.exercises import mnc_category as page
from teachseg.layers.cascade import masked_features
from teachseg.learning.losses import delta_loss
from teachseg.learning.targets import StageTargets, mask_level_labels
from teachseg.papers.mnc import Asked, Config, Named, stage_losses

quick = settings(deadline=None, max_examples=40)
seeds = st.integers(0, 2**31)


def random(seed: int, *sides: int) -> torch.Tensor:
    return torch.rand(*sides, generator=torch.Generator().manual_seed(seed))


@quick
@given(seed=seeds, size=st.sampled_from([4, 6]), finer=st.sampled_from([1, 1.5, 2]))
def test_masked_and_resized_are_the_librarys(seed, size, finer):
    features, mask = random(seed, 3, size, size) - 0.5, random(seed + 1, *[int(size * finer)] * 2)
    got = page.masked(features, page.resize(mask, size))
    torch.testing.assert_close(got, masked_features(features[None], mask[None])[0])


def test_resizing_by_hand():
    """3 to 2: at 0.25 and 1.75, so 3/4 of the near and 1/4 of the middle one; 4 to 2: means."""
    got = page.resize(torch.tensor([[0.0, 4, 8]]).repeat(3, 1), 2)
    assert got.tolist() == [[1, 7], [1, 7]]
    got = page.resize(torch.tensor([[0.0, 4, 8, 16]]).repeat(4, 1), 2)
    assert got.tolist() == [[2, 12], [2, 12]]


@quick
@given(seed=seeds)
def test_the_slope_is_autograds(seed):
    features, slope = random(seed, 3, 4, 4) - 0.5, random(seed + 1, 3, 4, 4) - 0.5
    mask = random(seed + 2, 4, 4).requires_grad_()
    (features * mask).backward(slope)
    torch.testing.assert_close(page.mask_slope(features, slope), mask.grad)


@quick
@given(seed=seeds, share=st.floats(0.1, 0.9), label=st.integers(0, 5))
def test_the_label_is_the_librarys(seed, share, label):
    """A crop of one number a pixel, over a box of whole pixels, is pasted as it is."""
    real = (random(seed, 10, 10) < share).float()
    crop = random(seed + 1, 6, 6)
    box = torch.tensor([[2.0, 3, 8, 9]])
    asked = StageTargets(torch.tensor([label]), torch.tensor([0]), torch.zeros(int(label > 0), 4),
                         torch.zeros(int(label > 0), 6, 6))
    wanted = mask_level_labels(crop[None][: label > 0], box, asked, real[None].bool(), 0.5, 0.5)
    assert page.mask_label(crop, (2, 3, 8, 9), real, label) == int(wanted)


def test_the_label_by_hand():
    """The object: 6 x 4 = 24 pixels. A box over half of it, all on: 12 / 24, just good enough."""
    by_name = {case.name: page.mask_label(*case.arguments) for case in page.MASK_LABEL.cases}
    assert by_name["exactly half of the object"] == 2
    assert by_name["all of the box's part, most lies outside"] == 0  # 8 / 24
    assert by_name["the whole image: all of the object and as much beside"] == 1  # 24 / 48
    assert by_name["much more than the object"] == 0  # 20 / 48
    assert by_name["a good mask in a box that is background"] == 0


@quick
@given(seed=seeds, positives=st.integers(0, 4), more=st.integers(0, 3))
def test_the_box_loss_is_the_librarys(seed, positives, more):
    deltas, wanted = 6 * random(seed, positives, 4) - 3, 2 * random(seed + 1, positives, 4)
    library = delta_loss(deltas, wanted, positives + more, beta=1.0)
    assert page.box_loss(deltas, wanted, positives + more) == pytest.approx(float(library),
                                                                            abs=1e-5)


def test_the_box_loss_by_hand():
    """0.5 costs 0.125, 2 costs 1.5, 1 costs 0.5: 2.125 in all, shared out over five."""
    deltas = torch.tensor([[0.5, 0.0, -2.0, 1.0]])
    assert page.box_loss(deltas, torch.zeros(1, 4), 5) == pytest.approx(2.125 / 5)


@quick
@given(seed=seeds, count=st.integers(1, 6))
def test_the_joint_loss_is_the_librarys(seed, count):
    draw = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 3, (count,), generator=draw)
    seg_labels = labels * torch.randint(0, 2, (count,), generator=draw)
    logits, seg_logits = 4 * random(seed, 2, count, 3) - 2
    deltas, wanted = 3 * random(seed, count, 3, 4), random(seed + 1, count, 4)
    positive = labels > 0
    asked = Asked(labels, wanted[positive], torch.zeros(int(positive.sum()), 2, 2), [])
    said = Named(torch.zeros(count), logits, seg_logits, deltas)
    losses = stage_losses(Config.course(2), torch.zeros(count, 2, 2), said, asked, seg_labels)
    library = losses["class"] + losses["seg_class"] + losses["box"]
    got = page.joint_loss(logits, seg_logits, deltas, labels, seg_labels, wanted)
    assert got == pytest.approx(float(library), rel=1e-4, abs=1e-5)


def test_the_joint_loss_by_hand():
    """Logits of 0 for three classes cost ln 3, twice; background's box costs nothing."""
    (case,) = [case for case in page.JOINT_LOSS.cases if case.name.startswith("logits of 0")]
    assert page.joint_loss(*case.arguments) == pytest.approx(2 * math.log(3))
