"""Lesson 06's exercises: right by the library, and by hand where that is short."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision import ops

from teachseg.exercises import proposals as page
from teachseg.geometry.boxes import box_iou, clip_boxes
from teachseg.geometry.nms import batched_nms
from teachseg.geometry.nms import nms as library_nms
from teachseg.layers.rpn import best_of_each_level

quick = settings(deadline=None, max_examples=60)
edge = st.integers(-40, 160).map(lambda n: n / 4)
box = st.tuples(edge, edge, st.integers(1, 80), st.integers(1, 80)).map(
    lambda b: (b[0], b[1], b[0] + b[2] / 4, b[1] + b[3] / 4))
scored = st.lists(st.tuples(box, st.integers(0, 5), st.integers(0, 3)), min_size=1, max_size=9)


@quick
@given(one=box, height=st.integers(1, 40), width=st.integers(1, 40))
def test_clip_is_the_librarys(one, height, width):
    assert page.clip(one, height, width) == clip_boxes(torch.tensor(one), (height, width)).tolist()


@quick
@given(logits=st.lists(st.integers(-50, 50), min_size=8, max_size=8, unique=True),
       most=st.integers(0, 6))
def test_best_is_the_librarys(logits, most):
    sizes = [5, 0, 3]
    library = best_of_each_level(torch.tensor(logits, dtype=torch.float32), sizes, most)
    chosen = page.best(logits, sizes, most)
    assert sorted(library.tolist()) == [i for i, one in enumerate(chosen) if one]


@quick
@given(rows=scored, threshold=st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]))
def test_nms_is_the_librarys(rows, threshold):
    boxes, scores, _ = zip(*rows)
    kept = library_nms(torch.tensor(boxes), torch.tensor(scores).float(), threshold)
    stays = page.nms(boxes, scores, threshold)
    assert sorted(kept.tolist()) == [i for i, one in enumerate(stays) if one]


def test_five_boxes_by_hand():
    """A drops B (108 / 180 = 0.6); C overlaps A by 72 / 216, D by 96 / 192, E by nothing."""
    assert page.nms(page.FIVE, page.FIVE_SCORES, 0.5) == [1, 0, 1, 1, 1]
    assert page.nms(page.FIVE, page.FIVE_SCORES, 0.49) == [1, 0, 1, 0, 1]
    overlaps = box_iou(torch.tensor(page.FIVE).float(), torch.tensor(page.FIVE).float())[0]
    torch.testing.assert_close(overlaps, torch.tensor([1, 0.6, 1 / 3, 0.5, 0]))


@quick
@given(rows=scored, threshold=st.sampled_from([0.0, 0.25, 0.5, 0.75]))
def test_groups_apart_can_be_suppressed_at_once(rows, threshold):
    """On quarters of pixels the moved boxes have the same overlaps, to the last bit."""
    boxes, scores, groups = zip(*rows)
    boxes, scores = torch.tensor(boxes).double(), torch.tensor(scores).double()
    together = library_nms(page.apart(boxes, groups), scores, threshold)
    assert together.tolist() == batched_nms(boxes, scores, torch.tensor(groups),
                                            threshold).tolist()


def test_the_bug_that_is_hunted_is_one():
    """Max + 1 moves a box from -11..-1 onto 0..10: torchvision drops one of two groups' boxes."""
    (_, (boxes, groups)) = page.APART.cases[1]
    boxes, groups, scores = boxes[:2], torch.tensor(groups[:2]), torch.tensor([0.9, 0.8])
    assert ops.batched_nms(boxes, scores, groups, 0.5).tolist() == [0]
    assert batched_nms(boxes, scores, groups, 0.5).tolist() == [0, 1]
    assert library_nms(page.apart(boxes, groups), scores, 0.5).tolist() == [0, 1]


@quick
@given(objects=st.integers(1, 4), proposals=st.integers(1, 6), seed=st.integers(0, 999))
def test_recall_is_cumulative_and_never_falls(objects, proposals, seed):
    iou = torch.rand(objects, proposals, generator=torch.Generator().manual_seed(seed))
    curve = page.recall(iou, 0.5)
    best = iou.cummax(dim=1).values  # of the first k columns
    assert curve == pytest.approx((best >= 0.5).float().mean(dim=0).tolist())
    assert curve == sorted(curve)
