"""Mirroring by hand, twice, and against boxes read from the mirrored masks."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from teachseg.datasets.transforms import flip
from teachseg.structures import Targets


def filled(boxes, height, width):
    """Targets whose masks fill their whole-pixel boxes."""
    masks = torch.zeros(len(boxes), height, width, dtype=torch.bool)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes):
        mask[y1:y2, x1:x2] = True
    return Targets(torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
                   torch.arange(1, len(boxes) + 1), masks)


def test_flip_by_hand():
    # width 5; the box covers pixels 0 and 1, so mirrored pixels 3 and 4: edges 3 to 5
    targets = filled([[0, 1, 2, 3]], 4, 5)
    image = torch.arange(60.0).reshape(3, 4, 5)
    mirrored, after = flip(image, targets)
    assert mirrored[0, 0].tolist() == [4, 3, 2, 1, 0]
    assert after.boxes.tolist() == [[3, 1, 5, 3]]
    assert after.masks[0, 1].tolist() == [False, False, False, True, True]
    assert after.labels.tolist() == [1]


def test_arguments_are_left_as_they_were():
    image, targets = torch.rand(3, 4, 5), filled([[0, 1, 2, 3]], 4, 5)
    kept = image.clone(), Targets(*(part.clone() for part in targets))
    flip(image, targets)
    assert torch.equal(image, kept[0])
    assert all(torch.equal(a, b) for a, b in zip(targets, kept[1]))


spans = st.lists(st.integers(0, 12), min_size=2, max_size=2, unique=True).map(sorted)
whole_boxes = st.lists(st.tuples(spans, spans).map(
    lambda s: [s[0][0], s[1][0], s[0][1], s[1][1]]), max_size=4)


@given(whole_boxes)
def test_boxes_stay_around_their_masks_and_twice_is_the_original(boxes):
    image, targets = torch.rand(3, 12, 12), filled(boxes, 12, 12)
    mirrored, after = flip(image, targets)
    around = filled(after.boxes.int().tolist(), 12, 12)
    assert torch.equal(around.masks, after.masks)
    again, back = flip(mirrored, after)
    assert torch.equal(again, image)
    assert all(torch.equal(a, b) for a, b in zip(back, targets))


def test_no_objects_is_an_ordinary_case():
    mirrored, after = flip(torch.rand(3, 6, 7), Targets.empty((6, 7)))
    assert tuple(mirrored.shape) == (3, 6, 7)
    assert after.boxes.shape == (0, 4) and after.masks.shape == (0, 6, 7)


def test_what_does_not_fit_is_told():
    with pytest.raises(ValueError, match="masks are as large as their image"):
        flip(torch.rand(3, 6, 8), Targets.empty((6, 7)))
    with pytest.raises(ValueError, match="image must have the shape"):
        flip(torch.rand(6, 8), Targets.empty((6, 8)))
