"""Suppression by hand, by its two defining properties, and against torchvision."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision import ops

from teachseg.geometry.boxes import box_iou
from teachseg.geometry.nms import batched_nms, fast_batched_nms, fast_nms, nms

property_of = settings(deadline=None, max_examples=60)
NONE, NO_SCORES = torch.zeros(0, 4), torch.zeros(0)

# boxes on whole pixels, so that overlaps are quotients of small whole numbers, ties included
corner, side = st.integers(0, 12), st.integers(1, 10)
box = st.tuples(corner, corner, side, side).map(lambda b: [b[0], b[1], b[0] + b[2], b[1] + b[3]])
scored = st.lists(st.tuples(box, st.integers(0, 9), st.integers(0, 2)), max_size=12)
threshold = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])  # numbers that float32 holds exactly


def unpack(rows):
    """Rows of (box, score, group) -> tensors; equal scores happen often."""
    boxes = torch.tensor([row[0] for row in rows], dtype=torch.float32).reshape(-1, 4)
    scores = torch.tensor([row[1] / 10 for row in rows], dtype=torch.float32)
    return boxes, scores, torch.tensor([row[2] for row in rows], dtype=torch.int64)


def random_boxes(count, seed):
    generator = torch.Generator().manual_seed(seed)
    corners = torch.rand(count, 2, generator=generator) * 100
    sides = torch.rand(count, 2, generator=generator) * 40 + 1
    boxes = torch.cat([corners, corners + sides], dim=1)
    return boxes, torch.rand(count, generator=generator)


def nms_by_loops(boxes, scores, iou_threshold):
    """Best first; a box stays if no box that stayed before it overlaps it by more."""
    kept = []
    for i in sorted(range(len(boxes)), key=lambda i: (-scores[i], i)):
        if all(box_iou(boxes[i][None], boxes[k][None]).item() <= iou_threshold for k in kept):
            kept.append(i)
    return kept


# four boxes, 10 high: 0 and 1 share 8 of 12 columns (2/3); 1 and 2 share 8 of 12; 0 and 2 share 6
# of 14 (3/7); 3 is far away
ROW = torch.tensor([
    [0.0, 0.0, 10.0, 10.0], [2.0, 0.0, 12.0, 10.0], [4.0, 0.0, 14.0, 10.0], [50.0, 0.0, 60.0, 10.0],
])  # fmt: skip


def test_by_hand():
    scores = torch.tensor([0.9, 0.8, 0.7, 0.95])
    # 3 first; then 0, which drops 1; 2 overlaps 0 by 3/7 < 1/2 and stays, though 1 would have
    # dropped it
    assert nms(ROW, scores, 0.5).tolist() == [3, 0, 2]
    # at 0.7 nothing goes; at 0.4 (< 3/7) 0 drops 1 and 2
    assert nms(ROW, scores, 0.7).tolist() == [3, 0, 1, 2]
    assert nms(ROW, scores, 0.4).tolist() == [3, 0]
    # with 1 the best, it drops both of its neighbours
    assert nms(ROW, torch.tensor([0.7, 0.9, 0.8, 0.1]), 0.5).tolist() == [1, 3]


def test_an_overlap_of_exactly_the_threshold_is_kept():
    # one inside the other: 50 of 100
    boxes = torch.tensor([[0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 5.0, 10.0]])
    scores = torch.tensor([0.9, 0.8])
    assert nms(boxes, scores, 0.5).tolist() == [0, 1]
    assert nms(boxes, scores, 0.499).tolist() == [0]
    # 30 of 100 is 0.3, though float32 has only 0.300000012 for it. The compiled one compares that
    # with the 0.3 of float64 and drops the box: at such a tie, and only there, the two may part.
    boxes[1, 2] = 3
    assert nms(boxes, scores, 0.3).tolist() == [0, 1]
    assert fast_nms(boxes, scores, 0.3).tolist() == [0]


def test_of_equal_scores_the_first_goes_first():
    same = torch.tensor([[0.0, 0.0, 4.0, 4.0]]).repeat(3, 1)
    assert nms(same, torch.tensor([0.5, 0.5, 0.5]), 0.5).tolist() == [0]


def test_scores_may_be_any_numbers():
    assert nms(ROW, torch.tensor([-1.0, -2.0, float("-inf"), 7.0]), 0.5).tolist() == [3, 0, 2]


@property_of
@given(scored, threshold)
def test_nms_equals_its_slow_twin_and_torchvision(rows, iou_threshold):
    boxes, scores, _ = unpack(rows)
    kept = nms(boxes, scores, iou_threshold)
    assert kept.dtype == torch.int64
    assert kept.tolist() == nms_by_loops(boxes, scores.tolist(), iou_threshold)
    assert kept.tolist() == ops.nms(boxes, scores, iou_threshold).tolist()


@property_of
@given(scored, threshold)
def test_kept_boxes_are_apart_and_dropped_ones_are_not(rows, iou_threshold):
    boxes, scores, _ = unpack(rows)
    kept = nms(boxes, scores, iou_threshold)
    assert bool((scores[kept].diff() <= 0).all())
    iou = box_iou(boxes[kept], boxes)
    assert bool((iou[:, kept].triu(1) <= iou_threshold).all())
    better = scores[kept][:, None] >= scores
    explained = ((iou > iou_threshold) & better).any(dim=0)
    assert all(explained[i] for i in range(len(boxes)) if i not in kept)
    # what is kept is kept again
    assert nms(boxes[kept], scores[kept], iou_threshold).tolist() == list(range(len(kept)))


def test_batched_by_hand():
    scores = torch.tensor([0.9, 0.8, 0.7, 0.95])
    # 1 is of another class than 0 and 2, which overlap by 3/7 only: all stay
    groups = torch.tensor([5, -1, 5, 5])
    assert batched_nms(ROW, scores, groups, 0.5).tolist() == [3, 0, 1, 2]
    # at 0.4 the first drops the third, of its own class, and still not the second
    assert batched_nms(ROW, scores, groups, 0.4).tolist() == [3, 0, 1]


@property_of
@given(scored, threshold)
def test_one_group_is_plain_nms_and_each_group_is_alone(rows, iou_threshold):
    boxes, scores, groups = unpack(rows)
    kept = nms(boxes, scores, iou_threshold).tolist()
    assert batched_nms(boxes, scores, torch.zeros_like(groups), iou_threshold).tolist() == kept
    alone = set()
    for group in groups.unique():
        members = (groups == group).nonzero().flatten()
        alone |= set(members[nms(boxes[members], scores[members], iou_threshold)].tolist())
    together = batched_nms(boxes, scores, groups, iou_threshold)
    assert set(together.tolist()) == alone
    assert bool((scores[together].diff() <= 0).all())


@pytest.mark.parametrize("count", [1, 40, 300])
def test_the_compiled_ones_agree(count):
    boxes, scores = random_boxes(count, seed=count)
    groups = torch.arange(count) % 3
    for iou_threshold in (0.3, 0.5, 0.7):
        kept = nms(boxes, scores, iou_threshold)
        assert torch.equal(kept, fast_nms(boxes, scores, iou_threshold))
        kept = batched_nms(boxes, scores, groups, iou_threshold)
        assert torch.equal(kept, fast_batched_nms(boxes, scores, groups, iou_threshold))


def test_nothing_is_left_of_nothing():
    no_groups = torch.zeros(0, dtype=torch.int64)
    for kept in (
        nms(NONE, NO_SCORES, 0.5),
        fast_nms(NONE, NO_SCORES, 0.5),
        batched_nms(NONE, NO_SCORES, no_groups, 0.5),
        fast_batched_nms(NONE, NO_SCORES, no_groups, 0.5),
    ):
        assert kept.shape == (0,) and kept.dtype == torch.int64


SCORES = torch.tensor([0.9, 0.8, 0.7, 0.6])


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: nms(ROW[0], SCORES[:1], 0.5), r"Only one\? Pass boxes\[None\]"),
        (lambda: nms(ROW, SCORES[:3], 0.5), r"scores must be \(4,\), one a box, got \(3,\)"),
        (lambda: nms(ROW, SCORES[:, None], 0.5), r"scores must be \(4,\)"),
        (lambda: nms(ROW, SCORES * float("nan"), 0.5), r"scores\[0\] is nan"),
        (lambda: nms(ROW / 0, SCORES, 0.5), "not finite"),
        (lambda: nms(ROW, SCORES, 50), r"iou_threshold must be in \[0, 1\], got 50"),
        (lambda: batched_nms(ROW, SCORES, torch.zeros(3), 0.5), r"groups must be \(4,\)"),
        (lambda: batched_nms(ROW, SCORES, torch.zeros(4), -0.1), "iou_threshold must be"),
    ],
)
def test_errors_say_what_came(call, words):
    with pytest.raises(ValueError, match=words):
        call()
