"""The region proposal network: the order of its answers, and its proposals by hand."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torchvision.models.detection.rpn import RPNHead as TheirRPNHead
from torchvision.models.detection.rpn import concat_box_prediction_layers

from teachseg.geometry.boxes import box_iou, clip_boxes, decode_boxes
from teachseg.geometry.nms import batched_nms
from teachseg.layers.rpn import (
    LimitedGradient,
    RPNHead,
    best_of_each_level,
    inside,
    proposal_anchors,
    propose,
)

property_of = settings(deadline=None, max_examples=40)


def test_answers_come_in_the_order_of_the_anchors():
    """Level by level, row by row, the anchors of a cell fastest; the four deltas together."""
    head = RPNHead(1, 2)
    nn.init.zeros_(head.conv.weight)
    head.conv.weight.data[0, 0, 1, 1] = 1
    # anchor a of a cell with the value v: logit v + a / 10, deltas v + a / 10 + k / 100
    nn.init.ones_(head.objectness.weight)
    nn.init.ones_(head.deltas.weight)
    head.objectness.bias.data = torch.tensor([0.0, 0.1])
    head.deltas.bias.data = torch.tensor([a / 10 + k / 100 for a in range(2) for k in range(4)])
    levels = [torch.arange(6.0).view(1, 1, 2, 3), torch.tensor([[[[6.0, 7.0]]]])]
    logits, deltas = head(levels)
    expected = torch.tensor([v + a / 10 for v in range(8) for a in range(2)])
    torch.testing.assert_close(logits[0], expected)
    torch.testing.assert_close(deltas[0], expected[:, None] + torch.tensor([0.0, 0.01, 0.02, 0.03]))


def test_equals_torchvision():
    torch.manual_seed(0)
    ours, theirs = RPNHead(6, 3), TheirRPNHead(6, 3)
    ours.conv.load_state_dict(theirs.conv[0][0].state_dict())
    ours.objectness.load_state_dict(theirs.cls_logits.state_dict())
    ours.deltas.load_state_dict(theirs.bbox_pred.state_dict())
    levels = [torch.rand(2, 6, 5, 7), torch.rand(2, 6, 3, 4)]
    logits, deltas = ours(levels)
    assert logits.shape == (2, 3 * (35 + 12)) and deltas.shape == (2, 3 * (35 + 12), 4)
    flat_logits, flat_deltas = concat_box_prediction_layers(*theirs(levels))
    torch.testing.assert_close(logits.flatten(), flat_logits.flatten())
    torch.testing.assert_close(deltas.reshape(-1, 4), flat_deltas)


def test_the_best_of_each_level_by_hand():
    logits = torch.tensor([0.1, 0.9, 0.5, 0.3, 0.2, 0.8])
    # of anchors 0..3 the best two are 1, 2; of 4..5 they are 5, 4
    assert best_of_each_level(logits, [4, 2], 2).tolist() == [1, 2, 5, 4]
    assert best_of_each_level(logits, [4, 2], 1).tolist() == [1, 5]
    # a level may have fewer, or none
    assert best_of_each_level(logits, [5, 0, 1], 3).tolist() == [1, 2, 3, 5]
    assert best_of_each_level(logits, [6], 0).shape == (0,)


ANCHORS = torch.tensor([
    [0.0, 0.0, 10.0, 10.0],
    [0.0, 0.0, 10.0, 9.0],    # 0.9 of the first
    [20.0, 20.0, 30.0, 30.0],
    [0.0, 0.0, 10.0, 9.5],    # 0.95 of the first, on another level
])  # fmt: skip
LOGITS = torch.tensor([1.0, 2.0, -1.0, 0.0])


def offer(anchors=ANCHORS, logits=LOGITS, deltas=None, sizes=(3, 1), pre=10, post=10, iou=0.7):
    if deltas is None:
        deltas = torch.zeros(len(anchors), 4)
    return propose(anchors, deltas, logits, list(sizes), (40, 50), pre, post, iou)


def test_proposals_by_hand():
    found = offer()
    # 1 is best and drops 0; 3 overlaps it too but is of another level; 2 is alone
    assert found.boxes.tolist() == [ANCHORS[i].tolist() for i in (1, 3, 2)]
    # in the order of their scores: 2, 0, -1
    torch.testing.assert_close(found.scores, torch.tensor([2.0, 0.0, -1.0]).sigmoid())


def test_on_one_level_all_compete():
    assert offer(sizes=(4,)).boxes.tolist() == [ANCHORS[1].tolist(), ANCHORS[2].tolist()]


def test_before_and_after_suppression():
    # one of each level is looked at
    assert offer(pre=1).boxes.tolist() == [ANCHORS[1].tolist(), ANCHORS[3].tolist()]
    assert offer(post=1).boxes.tolist() == [ANCHORS[1].tolist()]
    nothing = offer(post=0)
    assert nothing.boxes.shape == (0, 4) and nothing.scores.shape == (0,)


def test_anchors_are_moved_and_cut_off():
    deltas = torch.zeros(4, 4)
    deltas[2] = torch.tensor([2.0, 0.0, 0.0, math.log(2)])
    # from center (25, 25), 10 x 10 to (45, 25), 10 x 20: (40, 15) to (50, 35) in a 50 wide image
    assert offer(deltas=deltas).boxes[2].tolist() == pytest.approx([40, 15, 50, 35])
    deltas[2, 0] = 2.5  # half of it beyond the border
    assert offer(deltas=deltas).boxes[2].tolist() == pytest.approx([45, 15, 50, 35])
    deltas[2, 0] = 4  # all of it
    assert len(offer(deltas=deltas).boxes) == 2


def test_what_is_no_number_is_dropped():
    deltas = torch.zeros(4, 4)
    deltas[1] = math.nan
    assert offer(deltas=deltas).boxes.tolist() == [ANCHORS[i].tolist() for i in (0, 3, 2)]


def test_no_anchors_no_proposals():
    none = offer(torch.zeros(0, 4), torch.zeros(0), sizes=(0, 0))
    assert none.boxes.shape == (0, 4) and none.scores.shape == (0,)


@property_of
@given(st.integers(0, 10_000), st.integers(1, 30), st.integers(1, 12))
def test_proposals_are_apart_inside_and_best_first(seed, pre, post):
    random = torch.Generator().manual_seed(seed)
    corners = torch.rand(40, 2, generator=random) * 40
    anchors = torch.cat([corners, corners + 2 + torch.rand(40, 2, generator=random) * 20], dim=1)
    deltas = torch.randn(40, 4, generator=random) * 0.3
    logits = torch.randn(40, generator=random)
    sizes = [25, 15]
    boxes, scores = propose(anchors, deltas, logits, sizes, (40, 50), pre, post, 0.6)
    assert len(boxes) == len(scores) <= post
    assert bool((scores.diff() <= 0).all())
    torch.testing.assert_close(clip_boxes(boxes, (40, 50)), boxes)
    assert bool((boxes[:, 2:] > boxes[:, :2]).all())
    # the readable way: best `pre` of each level, moved, cut, suppressed level by level
    best = torch.cat([
        logits[:25].argsort(descending=True)[:pre],
        logits[25:].argsort(descending=True)[:pre] + 25,
    ])  # fmt: skip
    moved = clip_boxes(decode_boxes(deltas[best], anchors[best]), (40, 50))
    good = ((moved[:, 2:] - moved[:, :2]) >= 1e-3).all(dim=1)
    best, moved = best[good], moved[good]
    kept = batched_nms(moved, logits[best], (best >= 25).long(), 0.6)[:post]
    torch.testing.assert_close(boxes, moved[kept])
    torch.testing.assert_close(scores, logits[best][kept].sigmoid())
    if len(boxes) > 1 and bool((best < 25).all()):
        assert bool((box_iou(boxes, boxes).triu(1) <= 0.6 + 1e-6).all())


def test_every_weight_learns():
    head = RPNHead(4, 3)
    logits, deltas = head([torch.rand(1, 4, 5, 5)])
    (logits.sum() + deltas.square().sum()).backward()
    assert all(p.grad is not None for p in head.parameters())


# ------------------------------------------------------------------------- as MNC has it


def test_two_scores_an_anchor_are_a_softmax():
    """Object minus background, all backgrounds first: its sigmoid is the softmax of the two."""
    torch.manual_seed(0)
    head = RPNHead(4, 3, scores_per_anchor=2)
    assert head.objectness.out_channels == 6
    nn.init.normal_(head.objectness.weight)
    features = torch.rand(2, 4, 5, 7)
    logits, deltas = head([features])
    assert logits.shape == (2, 5 * 7 * 3) and deltas.shape == (2, 5 * 7 * 3, 4)
    scores = head.objectness(head.conv(features).relu()).view(2, 2, 3, 5, 7)
    probs = scores.softmax(dim=1)[:, 1].permute(0, 2, 3, 1).flatten(1)
    torch.testing.assert_close(logits.sigmoid(), probs)


def test_scores_per_anchor_are_one_or_two():
    with pytest.raises(ValueError, match="must be 1 .a logit. or 2"):
        RPNHead(4, 3, scores_per_anchor=3)


def test_proposals_are_their_anchors_moved():
    random = torch.Generator().manual_seed(3)
    corner = torch.rand(60, 2, generator=random) * 40
    anchors = torch.cat([corner, corner + 12], dim=1)
    deltas, logits = torch.randn(60, 4, generator=random) * 0.3, torch.randn(60, generator=random)
    kept = proposal_anchors(anchors, deltas, logits, [60], (50, 50), 40, 9, 0.5)
    found = propose(anchors, deltas, logits, [60], (50, 50), 40, 9, 0.5)
    assert len(kept) == 9
    torch.testing.assert_close(found.scores, logits[kept].sigmoid())
    moved = clip_boxes(decode_boxes(deltas[kept], anchors[kept]), (50, 50))
    torch.testing.assert_close(found.boxes, moved)


def test_a_gradient_passes_through_proposals():
    anchors = torch.tensor([[10.0, 10, 20, 30]])
    deltas = torch.zeros(1, 4, requires_grad=True)
    (box,) = propose(anchors, deltas, torch.zeros(1), [1], (50, 50), 5, 5, 0.5).boxes
    box[0].backward()  # x1 = x + dx w - w exp(dw) / 2, so 10 and -5
    assert deltas.grad.tolist() == [[10, 0, -5, 0]]


def test_the_limited_gradient_by_hand():
    deltas = torch.randn(3, 4, requires_grad=True)
    counts = torch.tensor([True, False, True])
    same = LimitedGradient.apply(deltas, counts, 0.25)
    assert torch.equal(same, deltas)
    same.backward(torch.tensor([[0.1, -0.1, 9, -9], [1, 1, 1, 1], [0, 0.25, 0.3, -0.2]]))
    expected = torch.tensor([[0.1, -0.1, 0.25, -0.25], [0, 0, 0, 0], [0, 0.25, 0.25, -0.2]])
    torch.testing.assert_close(deltas.grad, expected)


def test_inside_counts_the_border_in():
    boxes = torch.tensor([[0.0, 0, 30, 20], [-0.1, 0, 9, 9], [0, -1, 9, 9], [0, 0, 30.1, 9],
                          [0, 0, 9, 20.5]])  # fmt: skip
    assert inside(boxes, (20, 30)).tolist() == [True, False, False, False, False]
    assert inside(boxes[:0], (20, 30)).shape == (0,)
