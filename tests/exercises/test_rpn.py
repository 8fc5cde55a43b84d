"""Lesson 05's exercises: right by the library, and by hand.

What holds for every exercise (solutions pass, mutants are named, zeros fail) is in
test_registry.py; here stands what the answers must be.
"""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from teachseg.exercises import rpn as page
from teachseg.geometry.boxes import box_iou
from teachseg.geometry.matching import match
from teachseg.geometry.sampling import sample
from teachseg.layers.rpn import RPNHead
from teachseg.learning.losses import delta_loss, objectness_loss

quick = settings(deadline=None, max_examples=40)
seeds = st.integers(0, 2**31)


def chance(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@quick
@given(seed=seeds, anchors=st.integers(1, 3), height=st.integers(1, 3), width=st.integers(1, 3))
def test_order_is_the_heads(seed, anchors, height, width):
    """The head's deltas, from the map that its last convolution gives."""
    head = RPNHead(2, anchors)
    features = torch.randn(1, 2, height, width, generator=chance(seed))
    with torch.no_grad():
        _, deltas = head([features])
        answers = head.deltas(head.conv(features).relu())[0]
    torch.testing.assert_close(page.order(answers), deltas[0])


@quick
@given(seed=seeds, objects=st.integers(0, 4), anchors=st.integers(1, 6),
       low=st.integers(1, 8), high=st.integers(1, 8))
def test_labels_are_the_librarys(seed, objects, anchors, low, high):
    """Eighths, so that ties and overlaps at the thresholds are common."""
    iou = torch.randint(0, 9, (objects, anchors), generator=chance(seed)) / 8
    low, high = min(low, high) / 8, max(low, high) / 8
    expected, _ = match(iou, high, low, force_best=True)
    assert page.labels(iou, high, low).tolist() == expected.tolist()


def test_labels_by_hand():
    """0.75: object; 0.5: ignored; 0.4: ignored; 0.45: the second object's best; 0.1: background."""
    assert page.labels(page.BY_HAND, 0.7, 0.3).tolist() == [1, -1, -1, 1, 0]


@quick
@given(seed=seeds, objects=st.integers(0, 30), background=st.integers(0, 60),
       size=st.integers(1, 40), eighths=st.integers(0, 8))
def test_shares_are_what_the_library_draws(seed, objects, background, size, eighths):
    labels = torch.tensor([1] * objects + [0] * background + [-1] * 5)
    drawn = labels[sample(labels, size, eighths / 8, chance(seed))]
    expected = [int((drawn == 1).sum()), int((drawn == 0).sum())]
    assert page.shares(objects, background, size, eighths / 8) == expected


@quick
@given(seed=seeds, count=st.integers(0, 6), scale=st.sampled_from([1.0, 30.0, 1000.0]))
def test_objectness_is_the_librarys(seed, count, scale):
    draw = chance(seed)
    logits = scale * torch.randn(count, generator=draw)
    labels = torch.randint(0, 2, (count,), generator=draw).float()
    expected = float(objectness_loss(logits, labels))
    assert page.objectness(logits, labels) == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_objectness_by_hand():
    """An object with p = 1/2 costs log 2; with the odds 3 : 1 for it, log(4 / 3)."""
    one = torch.tensor([1.0])
    assert page.objectness(torch.tensor([0.0]), one) == pytest.approx(math.log(2))
    assert page.objectness(torch.tensor([math.log(3)]), one) == pytest.approx(math.log(4 / 3))


@quick
@given(seed=seeds, positives=st.integers(0, 4), drawn=st.integers(0, 9),
       beta=st.sampled_from([1 / 9, 0.5, 1.0]))
def test_deltas_is_the_librarys(seed, positives, drawn, beta):
    said, wanted = torch.randn(2, positives, 4, generator=chance(seed))
    expected = float(delta_loss(said, wanted, drawn, beta))
    assert page.deltas(said, wanted, drawn, beta) == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_deltas_by_hand():
    """beta = 1: 0.5 costs 0.125, -2 costs 1.5; of four drawn (0.125 + 1.5) / 4."""
    said = torch.tensor([[0.5, 0.0, 0.0, -2.0]])
    assert page.deltas(said, torch.zeros(1, 4), 4, 1.0) == pytest.approx(1.625 / 4)


@quick
@given(seed=seeds, objects=st.integers(1, 4), found=st.integers(0, 5),
       least=st.sampled_from([0.1, 0.5]))
def test_recall_is_the_librarys_table(seed, objects, found, least):
    corners = 20 * torch.rand(objects + found, 2, 2, generator=chance(seed))
    boxes = torch.cat([corners.amin(dim=1), corners.amax(dim=1) + 1], dim=1)
    a, b = boxes[:objects], boxes[objects:]
    expected = (box_iou(a, b) >= least).any(dim=1).float().mean() if found else 0.0
    assert page.recall(a, b, least) == pytest.approx(float(expected))
