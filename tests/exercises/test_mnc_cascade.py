"""Lesson 13's exercises: right by the library on random numbers, and by hand.

What holds for every exercise (solutions pass, mutants are named, zeros fail) is in
test_registry.py; here stands what the answers must be.
"""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from teachseg.decoding import voting
from teachseg.exercises import mnc_cascade as page
from teachseg.geometry.boxes import box_iou, decode_boxes
from teachseg.geometry.masks import masks_to_boxes
from teachseg.layers.cascade import CornersAsReleased, likeliest_class
from teachseg.layers.roi import roi_warp

quick = settings(deadline=None, max_examples=50)
seeds = st.integers(0, 10_000)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def some_boxes(count: int, draw: torch.Generator) -> torch.Tensor:
    corner = 20 * torch.rand(count, 2, generator=draw, dtype=torch.float64)
    side = 4 + 20 * torch.rand(count, 2, generator=draw, dtype=torch.float64)
    return torch.cat([corner, corner + side], dim=1)


@quick
@given(seed=seeds, classes=st.integers(1, 4))
def test_new_box_is_the_librarys(seed, classes):
    draw = generator(seed)
    box = some_boxes(1, draw)
    deltas = torch.randn(1, classes + 1, 4, generator=draw, dtype=torch.float64)
    logits = torch.randn(1, classes + 1, generator=draw)
    own = deltas[0, likeliest_class(logits)]
    wanted = decode_boxes(own, box, page.FAST)[0]
    got = page.new_box(box[0].tolist(), deltas[0].tolist(), logits[0].tolist(), page.FAST)
    torch.testing.assert_close(torch.tensor(got, dtype=torch.float64), wanted)


def test_new_box_by_hand():
    # 40 x 20 about (40, 40); class 1: t_x = 1/10 -> 4 right, t_y = 2/10 -> 4 down, width as it
    # was; height 20 exp(-0.1) = 18.0967
    got = page.new_box(*page.NEW_BOX.cases[0].arguments)
    assert got == pytest.approx([24, 34.95163, 64, 53.04837], abs=1e-4)


@quick
@given(seed=seeds, bins=st.integers(1, 6))
def test_edge_slopes_are_autograds_through_the_librarys_warp(seed, bins):
    draw = generator(seed)
    features = torch.randn(9, generator=draw, dtype=torch.float64)
    x1 = 3.9 * float(torch.rand((), generator=draw))
    x2 = x1 + 4 * float(torch.rand((), generator=draw))
    slopes = torch.randn(bins, generator=draw, dtype=torch.float64)
    rois = torch.tensor([[0, x1, 1.0, x2, 2.0]], dtype=torch.float64, requires_grad=True)
    read = roi_warp(features.expand(1, 1, 4, 9), rois, (1, bins))[0, 0, 0]
    (read * slopes).sum().backward()
    got = page.edge_slopes(features.tolist(), x1, x2, slopes.tolist())
    torch.testing.assert_close(torch.tensor(got, dtype=torch.float64), rois.grad[0, [1, 3]])


def test_edge_slopes_by_hand():
    # u squared, read at 1.25 and 3.25: steepness 3 and 7; x1: 3 + 7 / 2, x2: 7 / 2
    assert page.edge_slopes(*page.EDGE_SLOPES.cases[1].arguments) == [6.5, 3.5]


@quick
@given(seed=seeds)
def test_delta_gradient_is_autograds_through_decode_boxes(seed):
    draw = generator(seed)
    anchor, slopes = some_boxes(1, draw), torch.randn(4, generator=draw, dtype=torch.float64)
    deltas = (0.5 * torch.randn(1, 4, generator=draw, dtype=torch.float64)).requires_grad_()
    (decode_boxes(deltas, anchor)[0] * slopes).sum().backward()
    got = page.delta_gradient(slopes.tolist(), deltas[0].tolist(), anchor[0].tolist())
    torch.testing.assert_close(torch.tensor(got, dtype=torch.float64), deltas.grad[0])


def test_delta_gradient_by_hand():
    # the notebook's toy: slopes 1.5 and 0.5, an anchor 8 wide: 2 * 8 and (0.5 - 1.5) / 2 * 8
    assert page.delta_gradient(*page.DELTA_GRADIENT.cases[0].arguments) == [16, 0, -4, 0]


def test_the_released_bridge_is_the_librarys():
    (released,) = [m for m in page.DELTA_GRADIENT.mutants if m.name == "as the released bridge"]
    slopes, anchor = (1.5, -0.25, 0.5, 2.0), (0.0, 0.0, 8.0, 4.0)
    deltas = torch.tensor([0.1, 0.2, 0.3, -0.2], dtype=torch.float64, requires_grad=True)
    size = torch.tensor([8.0, 4.0], dtype=torch.float64)
    middle = size / 2 + deltas[:2] * size
    box = CornersAsReleased.apply(torch.cat([middle, size * deltas[2:].exp()])[None])[0]
    (box * torch.tensor(slopes, dtype=torch.float64)).sum().backward()
    got = released.function(slopes, deltas.tolist(), anchor)
    assert got == pytest.approx(deltas.grad.tolist())


@quick
@given(seed=seeds, count=st.integers(1, 6), merge_iou=st.sampled_from([0.3, 0.5, 0.8]))
def test_vote_weights_are_the_librarys(seed, count, merge_iou):
    draw = generator(seed)
    boxes = some_boxes(count, draw).float()
    scores = torch.rand(count, 3, generator=draw)
    rows, labels = torch.tensor([0]), torch.tensor([2])
    similar = voting.similar_boxes(boxes, rows, labels, torch.zeros(count, 3, dtype=torch.bool),
                                   merge_iou)
    wanted = voting.vote_weights(similar, scores, labels)[0]
    overlaps = box_iou(boxes, boxes[:1])[:, 0].tolist()
    got = page.vote_weights(overlaps, scores[:, 2].tolist(), merge_iou)
    torch.testing.assert_close(torch.tensor(got), wanted)


@quick
@given(seed=seeds, count=st.integers(1, 5), binarize=st.sampled_from([0.3, 0.4, 0.5]))
def test_vote_is_the_librarys(seed, count, binarize):
    draw = generator(seed)
    masks = torch.rand(count, 6, 6, generator=draw)
    weights = torch.rand(count, generator=draw)
    weights = weights / weights.sum()
    boxes = torch.tensor([[0.0, 0, 6, 6]]).expand(count, 4)  # crops with one bin a pixel
    wanted = voting.voted_masks(boxes, masks, weights[None], (6, 6), binarize=binarize)[0]
    mean = (weights[:, None, None] * masks).sum(dim=0)
    sure = (mean - binarize).abs() > 1e-5
    assert torch.equal(page.vote(masks, weights.tolist(), binarize)[sure], wanted[sure].float())


def test_vote_by_hand():
    # rows 0-2: 0.75 + 0.25 = 1, 1, 0.45 + 0.25 = 0.7, 0.25; row 3: 0.75, 0.75, 0.45, 0
    at_04, at_05 = (page.vote(page.A_AND_B, (0.75, 0.25), cut) for cut in (0.4, 0.5))
    assert at_04.tolist() == [[1, 1, 1, 0]] * 4
    assert at_05.tolist() == [[1, 1, 1, 0]] * 3 + [[1, 1, 0, 0]]


def test_nobody_votes():
    assert page.vote(torch.zeros(0, 2, 3), (), 0.5).tolist() == [[0, 0, 0], [0, 0, 0]]
    assert page.vote_weights((), (), 0.5) == []


@quick
@given(seed=seeds, share=st.sampled_from([0.0, 0.05, 0.5]))
def test_tight_box_is_the_librarys(seed, share):
    mask = torch.rand(5, 8, generator=generator(seed)) < share
    assert page.tight_box(mask) == masks_to_boxes(mask[None])[0].tolist()
