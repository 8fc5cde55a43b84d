"""From logits to detections: by hand, against a slow twin, and with nothing to decode."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.models.detection.roi_heads import paste_masks_in_image

from teachseg.decoding import instances
from teachseg.decoding.instances import decode_detections, paste_binary, paste_probs
from teachseg.geometry.boxes import box_iou, decode_boxes

property_of = settings(deadline=None, max_examples=40)
ONES = (1.0, 1.0, 1.0, 1.0)
SIZE = (30, 40)


def decode(class_probs, proposals, deltas=None, **options):
    """Class probabilities (R, K+1) in place of logits; deltas of 0 unless given."""
    class_logits = torch.tensor(class_probs).log()
    if deltas is None:
        deltas = torch.zeros(*class_logits.shape, 4)
    settled = {"min_score": 0.05, "nms_iou": 0.5, "max_detections": 100, **options}
    return decode_detections(class_logits, deltas, torch.tensor(proposals), SIZE, ONES, **settled)


def test_by_hand():
    probs = [[0.1, 0.7, 0.2], [0.25, 0.15, 0.6], [0.95, 0.03, 0.02]]
    proposals = [[0.0, 0.0, 10.0, 10.0], [20.0, 0.0, 30.0, 10.0], [0.0, 15.0, 10.0, 25.0]]
    found = decode(probs, proposals)
    # every (roi, class) above 0.05, best first: (0, 1), (1, 2), (0, 2), (1, 1); roi 2 is background
    torch.testing.assert_close(found.scores, torch.tensor([0.7, 0.6, 0.2, 0.15]))
    assert found.labels.tolist() == [1, 2, 2, 1]
    assert found.boxes.tolist() == [proposals[0], proposals[1], proposals[0], proposals[1]]


def test_each_class_moves_its_box_its_own_way():
    deltas = torch.zeros(1, 3, 4)
    deltas[0, 0] = 9.0  # background's are never looked at
    deltas[0, 1, 0] = 0.5  # class 1: half a width to the right
    deltas[0, 2, 3] = math.log(2)  # class 2: twice as high
    found = decode([[0.2, 0.5, 0.3]], [[10.0, 10.0, 20.0, 20.0]], deltas)
    expected = torch.tensor([[15.0, 10.0, 25.0, 20.0], [10.0, 5.0, 20.0, 25.0]])
    torch.testing.assert_close(found.boxes, expected)


def test_boxes_are_cut_off_at_the_border():
    deltas = torch.zeros(1, 2, 4)
    deltas[0, 1] = torch.tensor([1.0, 1.0, math.log(4), math.log(4)])
    # center (35, 25) to (45, 35), 10 x 10 to 40 x 40: (25, 15) to (65, 55); the image ends at
    # (40, 30)
    found = decode([[0.5, 0.5]], [[30.0, 20.0, 40.0, 30.0]], deltas)
    torch.testing.assert_close(found.boxes, torch.tensor([[25.0, 15.0, 40.0, 30.0]]))


def test_what_is_cut_off_altogether_is_dropped():
    deltas = torch.zeros(1, 2, 4)
    deltas[0, 1, 0] = 3.0  # three widths to the right, out of the image
    assert len(decode([[0.5, 0.5]], [[30.0, 20.0, 40.0, 30.0]], deltas).boxes) == 0
    # 0.004 of it still in the image is too narrow too
    deltas[0, 1, 0] = 0.9996
    assert len(decode([[0.5, 0.5]], [[30.0, 20.0, 40.0, 30.0]], deltas).boxes) == 0


def test_suppression_is_within_a_class():
    same = [[0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 10.0, 9.0]]
    found = decode([[0.1, 0.6, 0.3], [0.1, 0.5, 0.4]], same)
    # of class 1 the first roi's is better, of class 2 the second's
    torch.testing.assert_close(found.scores, torch.tensor([0.6, 0.4]))
    assert found.labels.tolist() == [1, 2] and found.boxes.tolist() == [same[0], same[1]]


def test_a_score_of_exactly_the_bound_is_dropped():
    found = decode([[0.5, 0.25, 0.25]], [[0.0, 0.0, 10.0, 10.0]], min_score=0.25)
    assert len(found.boxes) == 0


def test_at_most_so_many_of_all_classes():
    proposals = [[9.0 * i, 0.0, 9.0 * i + 8, 10.0] for i in range(4)]
    found = decode([[0.1, 0.5 + 0.1 * i, 0.4 - 0.1 * i] for i in range(4)], proposals,
                   max_detections=3)  # fmt: skip
    torch.testing.assert_close(found.scores, torch.tensor([0.8, 0.7, 0.6]))


def test_weights_are_taken_off():
    deltas = torch.zeros(1, 2, 4)
    deltas[0, 1, 0] = 5.0  # 5 / 10 of a width
    logits = torch.tensor([[0.0, 1.0]])
    box = torch.tensor([[10.0, 10.0, 20.0, 20.0]])
    found = decode_detections(logits, deltas, box, SIZE, (10.0, 10.0, 5.0, 5.0), 0.05, 0.5, 10)
    torch.testing.assert_close(found.boxes, torch.tensor([[15.0, 10.0, 25.0, 20.0]]))


def decode_by_loops(class_logits, deltas, proposals, min_score, nms_iou, most):
    """The same, one class and one roi after the other."""
    found = []
    for k in range(1, class_logits.shape[1]):
        column = []
        for r in range(len(class_logits)):
            score = class_logits[r].softmax(dim=0)[k].item()
            x1, y1, x2, y2 = decode_boxes(deltas[r, k][None], proposals[r][None])[0].tolist()
            x1, x2 = max(x1, 0.0), min(x2, float(SIZE[1]))
            y1, y2 = max(y1, 0.0), min(y2, float(SIZE[0]))
            if score > min_score and x2 - x1 >= 0.01 and y2 - y1 >= 0.01:
                column.append((score, k, [x1, y1, x2, y2]))
        column.sort(key=lambda row: -row[0])
        kept = []
        for row in column:
            box = torch.tensor([row[2]])
            if all(box_iou(box, torch.tensor([k[2]])).item() <= nms_iou for k in kept):
                kept.append(row)
        found += kept
    return sorted(found, key=lambda row: -row[0])[:most]


@property_of
@given(st.integers(0, 10_000))
def test_equals_its_slow_twin(seed):
    random = torch.Generator().manual_seed(seed)
    class_logits = torch.randn(12, 4, generator=random) * 2
    deltas = torch.randn(12, 4, 4, generator=random) * 0.3
    corners = torch.rand(12, 2, generator=random) * 25
    proposals = torch.cat([corners, corners + 1 + torch.rand(12, 2, generator=random) * 20], dim=1)
    found = decode_detections(class_logits, deltas, proposals, SIZE, ONES, 0.1, 0.4, 9)
    slow = decode_by_loops(class_logits, deltas, proposals, 0.1, 0.4, 9)
    assert found.labels.tolist() == [row[1] for row in slow]
    torch.testing.assert_close(found.scores, torch.tensor([row[0] for row in slow]))
    expected = torch.tensor([row[2] for row in slow]).reshape(-1, 4)
    torch.testing.assert_close(found.boxes, expected, atol=1e-4, rtol=1e-4)


def test_nothing_to_decode():
    found = decode_detections(
        torch.zeros(0, 6), torch.zeros(0, 6, 4), torch.zeros(0, 4), SIZE, ONES, 0.05, 0.5, 100
    )
    assert found.boxes.shape == (0, 4)
    assert found.labels.shape == (0,) and found.labels.dtype == torch.int64
    assert found.scores.shape == (0,)


def test_what_is_no_number_is_not_found():
    nothing = decode([[math.nan, math.nan]], [[0.0, 0.0, 10.0, 10.0]])
    assert len(nothing.boxes) == 0
    deltas = torch.full((1, 2, 4), math.nan)
    assert len(decode([[0.1, 0.9]], [[0.0, 0.0, 10.0, 10.0]], deltas).boxes) == 0


# ------------------------------------------------------------------------- pasting


def random_crops(count, seed=0):
    random = torch.Generator().manual_seed(seed)
    corners = torch.rand(count, 2, generator=random) * 20
    boxes = torch.cat([corners, corners + 1 + torch.rand(count, 2, generator=random) * 15], dim=1)
    return torch.rand(count, 7, 7, generator=random), boxes


def test_ones_fill_their_box():
    box = torch.tensor([[3.0, 4.0, 9.0, 12.0]])
    mask = paste_binary(torch.ones(1, 7, 7), box, SIZE, 0.5)
    assert mask.dtype == torch.bool and mask.shape == (1, *SIZE)
    assert int(mask.sum()) == 6 * 8 and bool(mask[0, 4:12, 3:9].all())


def test_a_probability_of_exactly_the_threshold_is_inside():
    box = torch.tensor([[0.0, 0.0, 4.0, 4.0]])
    assert paste_binary(torch.full((1, 2, 2), 0.5), box, (4, 4), 0.5).all()
    assert not paste_binary(torch.full((1, 2, 2), 0.499), box, (4, 4), 0.5).any()


def test_binary_is_the_probabilities_cut_at_the_threshold():
    crops, boxes = random_crops(9)
    for paste in ("exact", "torchvision"):
        probs = paste_probs(crops, boxes, SIZE, paste)
        assert torch.equal(paste_binary(crops, boxes, SIZE, 0.4, paste), probs >= 0.4)


def test_pasting_part_by_part_changes_nothing(monkeypatch):
    crops, boxes = random_crops(9)
    at_once = paste_binary(crops, boxes, SIZE, 0.5)
    for pixels in (1, 2 * SIZE[0] * SIZE[1], 4 * SIZE[0] * SIZE[1] + 7):
        monkeypatch.setattr(instances, "PASTE_PIXELS", pixels)
        assert torch.equal(paste_binary(crops, boxes, SIZE, 0.5), at_once)


def test_torchvisions_way_is_torchvisions():
    crops, boxes = random_crops(9, seed=1)
    theirs = paste_masks_in_image(crops[:, None], boxes, SIZE)[:, 0]
    torch.testing.assert_close(paste_probs(crops, boxes, SIZE, "torchvision"), theirs,
                               atol=1e-5, rtol=1e-5)  # fmt: skip
    assert not torch.allclose(paste_probs(crops, boxes, SIZE), theirs, atol=0.1)


@pytest.mark.parametrize("paste", ["exact", "torchvision"])
def test_nothing_to_paste(paste):
    crops, boxes = torch.zeros(0, 7, 7), torch.zeros(0, 4)
    assert paste_probs(crops, boxes, SIZE, paste).shape == (0, *SIZE)
    masks = paste_binary(crops, boxes, SIZE, 0.5, paste)
    assert masks.shape == (0, *SIZE) and masks.dtype == torch.bool
