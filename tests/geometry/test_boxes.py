"""Boxes by hand, against a slow twin and torchvision, by their properties, and with none at all."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck
from torchvision import ops
from torchvision.models.detection._utils import BoxCoder

from teachseg.geometry.boxes import (
    MAX_GROWTH,
    back_to_original,
    box_area,
    box_iou,
    center_size,
    clip_boxes,
    decode_boxes,
    encode_boxes,
    from_inclusive,
    from_xywh,
    scale_boxes,
)

NONE = torch.zeros(0, 4)
property_of = settings(deadline=None, max_examples=50)
place = st.floats(-50, 150, width=32)
side = st.floats(0.5, 100, width=32)
box = st.tuples(place, place, side, side).map(lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3]))
boxes = st.lists(box, max_size=6).map(lambda rows: torch.tensor(rows).reshape(-1, 4))


def random_boxes(count, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=generator, dtype=dtype) * 60 - 10
    sides = torch.rand(count, 2, generator=generator, dtype=dtype) * 40 + 1
    return torch.cat([corner, corner + sides], dim=1)


def iou_by_loops(a, b):
    """Overlap of two boxes, in plain numbers."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    common = max(width, 0) * max(height, 0)
    both = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return common / (both - common)


# ------------------------------------------------------------------------- other conventions


def test_inclusive_boxes_gain_a_pixel_on_the_far_side():
    # pixels 0..15 are 16 wide; the single pixel (3, 4) is the square from (3, 4) to (4, 5)
    inclusive = torch.tensor([[0.0, 0.0, 15.0, 15.0], [3.0, 4.0, 3.0, 4.0]])
    assert from_inclusive(inclusive).tolist() == [[0, 0, 16, 16], [3, 4, 4, 5]]
    assert from_inclusive(NONE).shape == (0, 4)


def test_the_classic_error_of_one_pixel():
    """What goes in as 20 pixels wide comes out as 21, when widths are x2 - x1 + 1 on one side only.

    Pixels 10..29 by 10..49 are 20 x 40, pixels 15..54 by 20..59 are 40 x 40. Through the door both
    are exact.
    """
    anchor = from_inclusive(torch.tensor([[10.0, 10.0, 29.0, 49.0]]))
    wanted = from_inclusive(torch.tensor([[15.0, 20.0, 54.0, 59.0]]))
    # centers (20, 30) and (35, 40): 15 / 20 and 10 / 40; twice as wide, as high as before
    deltas = encode_boxes(wanted, anchor)
    torch.testing.assert_close(deltas, torch.tensor([[0.75, 0.25, math.log(2), 0]]))
    torch.testing.assert_close(decode_boxes(deltas, anchor), wanted)


def test_coco_boxes():
    assert from_xywh(torch.tensor([[10.0, 20.0, 5.0, 8.0]])).tolist() == [[10, 20, 15, 28]]
    assert from_xywh(NONE).shape == (0, 4)


@property_of
@given(boxes)
def test_from_xywh_equals_torchvision(rows):
    torch.testing.assert_close(from_xywh(rows), ops.box_convert(rows, "xywh", "xyxy"))


# ------------------------------------------------------------------------- area and overlap


def test_area_by_hand():
    rows = torch.tensor([[0.0, 0.0, 2.0, 3.0], [1.5, 1.0, 2.0, 5.0], [4.0, 4.0, 4.0, 9.0]])
    assert box_area(rows).tolist() == [6, 2, 0]  # 2 * 3, 0.5 * 4, 0 * 5
    # turned inside out on one axis, or on both: -2 * -3 must not become 6
    assert box_area(torch.tensor([[2.0, 0.0, 0.0, 3.0], [2.0, 3.0, 0.0, 0.0]])).tolist() == [0, 0]
    assert box_area(NONE).shape == (0,)


def test_iou_by_hand():
    a = torch.tensor([[0.0, 0.0, 2.0, 2.0]])
    b = torch.tensor([
        [1.0, 0.0, 3.0, 2.0],  # 1 x 2 in common of 4 + 4 - 2
        [0.0, 0.0, 2.0, 2.0],  # the same
        [0.5, 0.5, 1.5, 1.5],  # inside: 1 of 4
        [2.0, 0.0, 4.0, 2.0],  # touches
        [5.0, 5.0, 6.0, 6.0],  # far away on both axes: a product of two negatives is no overlap
        [1.0, 1.0, 1.0, 1.0],  # without area
    ])  # fmt: skip
    torch.testing.assert_close(box_iou(a, b), torch.tensor([[1 / 3, 1, 1 / 4, 0, 0, 0]]))


def test_iou_of_two_boxes_without_area_is_0_not_nan():
    point = torch.tensor([[1.0, 1.0, 1.0, 1.0]])
    assert box_iou(point, point).item() == 0


def test_iou_equals_its_slow_twin_and_torchvision():
    a, b = random_boxes(20, seed=1), random_boxes(30, seed=2)
    got = box_iou(a, b)
    slow = torch.tensor([[iou_by_loops(p, q) for q in b.tolist()] for p in a.tolist()])
    torch.testing.assert_close(got, slow)
    torch.testing.assert_close(got, ops.box_iou(a, b))
    assert (got > 0).float().mean() > 0.2  # the boxes do meet


@property_of
@given(boxes, boxes)
def test_iou_is_symmetric_a_share_and_1_with_itself(a, b):
    iou = box_iou(a, b)
    assert iou.shape == (len(a), len(b))
    assert torch.equal(iou, box_iou(b, a).T)
    assert bool(((iou >= 0) & (iou <= 1)).all())
    torch.testing.assert_close(box_iou(a, a).diag(), torch.ones(len(a)), atol=1e-4, rtol=0)


@property_of
@given(boxes, boxes, st.integers(-64, 64), st.sampled_from([0.25, 2.0, 8.0]))
def test_iou_knows_neither_place_nor_scale(a, b, shift, scale):
    # powers of two and whole shifts cost no digits, except where tiny sides meet large places
    torch.testing.assert_close(box_iou(a * scale, b * scale), box_iou(a, b), atol=1e-5, rtol=0)
    torch.testing.assert_close(box_iou(a + shift, b + shift), box_iou(a, b), atol=1e-3, rtol=0)


def test_iou_of_none():
    assert box_iou(NONE, random_boxes(3)).shape == (0, 3)
    assert box_iou(random_boxes(3), NONE).shape == (3, 0)
    assert box_iou(NONE, NONE).shape == (0, 0)


def test_iou_gradient():
    a = torch.tensor([[0.0, 0.0, 4.0, 4.0], [1.0, 2.0, 6.0, 7.0]], dtype=torch.float64)
    b = torch.tensor([[2.1, 1.2, 5.3, 6.4]], dtype=torch.float64)
    assert gradcheck(box_iou, (a.requires_grad_(), b.requires_grad_()))


# ------------------------------------------------------------------------- clipping


def test_clip_by_hand():
    # an image 10 high and 20 wide: x ends at 20, y at 10 (swapped sides would give 10, 20)
    rows = torch.tensor([[-3.0, -4.0, 30.0, 30.0], [2.0, 3.0, 4.0, 5.0], [25.0, 1.0, 30.0, 2.0]])
    expected = [[0, 0, 20, 10], [2, 3, 4, 5], [20, 1, 20, 2]]  # the last one is outside: no area
    assert clip_boxes(rows, (10, 20)).tolist() == expected
    assert clip_boxes(NONE, (10, 20)).shape == (0, 4)
    assert clip_boxes(rows.view(3, 1, 4), (10, 20)).tolist() == [[row] for row in expected]


@property_of
@given(boxes, st.integers(1, 100), st.integers(1, 100))
def test_clip_twice_is_clip_once_and_stays_inside(rows, height, width):
    once = clip_boxes(rows, (height, width))
    assert torch.equal(clip_boxes(once, (height, width)), once)
    assert bool((once >= 0).all())
    assert bool((once[:, 0::2] <= width).all()) and bool((once[:, 1::2] <= height).all())
    assert bool((once[:, 2:] >= once[:, :2]).all())
    torch.testing.assert_close(once, ops.clip_boxes_to_image(rows, (height, width)))


# ------------------------------------------------------------------------- deltas


def test_center_and_size():
    center, size = center_size(torch.tensor([[10.0, 20.0, 30.0, 28.0]]))
    assert center.tolist() == [[20, 24]] and size.tolist() == [[20, 8]]
    assert center_size(torch.zeros(2, 3, 4))[0].shape == (2, 3, 2)


def test_encode_by_hand():
    anchor = torch.tensor([[0.0, 0.0, 10.0, 10.0]])  # center (5, 5), 10 x 10
    wanted = torch.tensor([[0.0, 0.0, 20.0, 10.0]])  # center (10, 5), 20 x 10
    # half a side to the right, not moved down, twice as wide, as high as before
    expected = torch.tensor([[0.5, 0.0, math.log(2), 0.0]])
    torch.testing.assert_close(encode_boxes(wanted, anchor), expected)


def test_weights_by_hand():
    anchor = torch.tensor([[10.0, 10.0, 30.0, 50.0]])  # center (20, 30), 20 x 40
    wanted = torch.tensor([[15.0, 20.0, 55.0, 60.0]])  # center (35, 40), 40 x 40
    # (15 / 20, 10 / 40, ln 2, 0) times (10, 10, 5, 5)
    deltas = encode_boxes(wanted, anchor, (10, 10, 5, 5))
    torch.testing.assert_close(deltas, torch.tensor([[7.5, 2.5, 5 * math.log(2), 0.0]]))
    torch.testing.assert_close(decode_boxes(deltas, anchor, (10, 10, 5, 5)), wanted)


def test_each_weight_belongs_to_its_own_delta():
    anchor = torch.tensor([[0.0, 0.0, 10.0, 10.0]])
    wanted = torch.tensor([[5.0, 5.0, 15.0 + 10 * (math.e - 1), 15.0 + 10 * (math.e - 1)]])
    plain = encode_boxes(wanted, anchor)
    weighted = encode_boxes(wanted, anchor, (1, 2, 3, 4))
    torch.testing.assert_close(weighted, plain * torch.tensor([1.0, 2.0, 3.0, 4.0]))


def test_growth_is_capped():
    # 1000 / 16 times 16 is 1000, about the center 8: from -492 to 508
    anchor = torch.tensor([[0.0, 0.0, 16.0, 16.0]])
    wild = decode_boxes(torch.tensor([[0.0, 0.0, 100.0, 100.0]]), anchor)
    torch.testing.assert_close(wild, torch.tensor([[-492.0, -492.0, 508.0, 508.0]]))
    # the cap is put on the growth itself, after the weights are taken off: 5 * 4.2 is as wild
    weighted = decode_boxes(torch.tensor([[0.0, 0.0, 21.0, 21.0]]), anchor, (10, 10, 5, 5))
    torch.testing.assert_close(weighted, wild)
    # shrinking is not capped
    tiny = decode_boxes(torch.tensor([[0.0, 0.0, -100.0, 0.0]]), anchor)
    torch.testing.assert_close(tiny, torch.tensor([[8.0, 0.0, 8.0, 16.0]]))
    assert math.log(MAX_GROWTH) == pytest.approx(4.135166556742356)


def test_deltas_equal_torchvision():
    wanted, anchors = random_boxes(50, seed=3), random_boxes(50, seed=4)
    weights = (10.0, 10.0, 5.0, 5.0)
    coder = BoxCoder(weights)
    torch.testing.assert_close(
        encode_boxes(wanted, anchors, weights), coder.encode_single(wanted, anchors)
    )
    deltas = torch.randn(50, 4, generator=torch.Generator().manual_seed(5)) * 10
    torch.testing.assert_close(
        decode_boxes(deltas, anchors, weights), coder.decode_single(deltas, anchors)
    )


@property_of
@given(st.lists(st.tuples(box, box), max_size=5))
def test_decode_undoes_encode(pairs):
    pairs = torch.tensor(pairs, dtype=torch.float64).reshape(-1, 2, 4)
    # sides from 0.5 to 100: growth up to 200, and the cap is at 62.5
    grows = (pairs[:, 0, 2:] - pairs[:, 0, :2]) / (pairs[:, 1, 2:] - pairs[:, 1, :2])
    pairs = pairs[(grows < MAX_GROWTH).all(dim=1)]
    wanted, anchors = pairs[:, 0], pairs[:, 1]
    for weights in ((1, 1, 1, 1), (10, 10, 5, 5)):
        again = decode_boxes(encode_boxes(wanted, anchors, weights), anchors, weights)
        torch.testing.assert_close(again, wanted, atol=1e-6, rtol=1e-6)


def test_decode_moves_one_box_many_ways():
    anchors, deltas = random_boxes(3), torch.randn(3, 5, 4)
    together = decode_boxes(deltas, anchors[:, None])
    assert together.shape == (3, 5, 4)
    for k in range(5):
        torch.testing.assert_close(together[:, k], decode_boxes(deltas[:, k], anchors))


def test_deltas_of_none():
    assert encode_boxes(NONE, NONE).shape == (0, 4)
    assert decode_boxes(NONE, NONE).shape == (0, 4)
    assert decode_boxes(torch.zeros(0, 5, 4), torch.zeros(0, 1, 4)).shape == (0, 5, 4)


def test_delta_gradients():
    wanted = random_boxes(3, 6, torch.float64).requires_grad_()
    anchors = random_boxes(3, 7, torch.float64).requires_grad_()
    assert gradcheck(encode_boxes, (wanted, anchors))
    deltas = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    assert gradcheck(decode_boxes, (deltas, anchors))


def test_dtype_is_kept():
    rows = random_boxes(2, dtype=torch.float64)
    for result in (
        from_inclusive(rows), box_area(rows), box_iou(rows, rows), clip_boxes(rows, (9, 9)),
        encode_boxes(rows, rows), decode_boxes(torch.zeros_like(rows), rows),
    ):  # fmt: skip
        assert result.dtype == torch.float64


# ------------------------------------------------------------------------- errors

GOOD, FLAT = torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.tensor([[1.0, 0.0, 1.0, 1.0]])


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: box_area(GOOD[0]), r"Only one\? Pass boxes\[None\]"),
        (lambda: box_iou(GOOD, torch.zeros(2, 3)), r"must have the shape \(N, 4\), got \(2, 3\)"),
        (lambda: box_iou(GOOD, GOOD * float("nan")), "not finite"),
        (lambda: from_inclusive([[0, 0, 1, 1]]), "Wrap it: torch.as_tensor"),
        (lambda: from_xywh(torch.zeros(4)), r"Pass boxes\[None\]"),
        (lambda: encode_boxes(FLAT, GOOD), r"boxes\[0\].*no area.*from_xywh"),
        (lambda: encode_boxes(GOOD, FLAT), r"anchors\[0\].*no area"),
        (lambda: encode_boxes(GOOD, GOOD.repeat(2, 1)), r"1 boxes and 2 anchors.*boxes\[matched\]"),
        (lambda: decode_boxes(torch.zeros(1, 5), GOOD), r"deltas must have the shape \(N, 4\)"),
        (lambda: decode_boxes(torch.zeros(1, 4), torch.zeros(1, 5)), "anchors must have the shape"),
    ],
)
def test_errors_say_how_to_mend_them(call, words):
    with pytest.raises(ValueError, match=words):
        call()


# ---- boxes of resized images --------------------------------------------------------------------


def test_scale_boxes_by_hand():
    # from 10 high, 20 wide to 30 high, 10 wide: y times 3, x times a half
    boxes = scale_boxes(torch.tensor([[2.0, 1.0, 8.0, 5.0]]), (10, 20), (30, 10))
    assert boxes.tolist() == [[1, 3, 4, 15]]
    assert scale_boxes(torch.zeros(0, 4), (10, 20), (30, 10)).shape == (0, 4)


def test_no_box_oversteps_the_image_by_a_rounding_error():
    # 20 pixels resized to 39 and back: 39 * (20 / 39) is 20.000002 in float32
    edge = torch.tensor([[0.0, 0.0, 39.0, 39.0]])
    assert scale_boxes(edge, (39, 39), (20, 20)).max() > 20
    assert back_to_original(edge, (39, 39), (20, 20)).tolist() == [[0, 0, 20, 20]]
