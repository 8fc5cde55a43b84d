"""Mirroring, resizing and cropping: by hand, and against boxes read from the changed masks."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from teachseg.datasets.scenes import Scenes
from teachseg.datasets.transforms import Augment, augment, change_colours, crop, flip, resize
from teachseg.geometry.masks import masks_to_boxes
from teachseg.structures import Targets, crowd_of, with_crowd


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


# ---- resizing -----------------------------------------------------------------------------------


@given(whole_boxes, st.integers(1, 4), st.integers(1, 4))
def test_made_larger_by_whole_numbers_is_exact(boxes, down, right):
    image, targets = torch.rand(3, 12, 12), filled(boxes, 12, 12)
    larger, after = resize(image, targets, (12 * down, 12 * right))
    assert larger.shape == (3, 12 * down, 12 * right)
    grown = targets.masks.repeat_interleave(down, 1).repeat_interleave(right, 2)
    assert torch.equal(after.masks, grown)
    assert torch.equal(after.boxes, targets.boxes * torch.tensor([right, down, right, down]))


def test_made_smaller_by_hand():
    """4 x 4 to 2 x 2: the image is averaged over what a new pixel covers, nearly; a mask's new
    pixel is the old one that its middle lies in (on an edge: the right, lower one)."""
    targets = filled([[2, 2, 4, 4], [0, 0, 1, 1]], 4, 4)
    image = torch.zeros(3, 4, 4)
    image[:, 2:, 2:] = 1
    smaller, after = resize(image, targets, (2, 2))
    assert smaller[0, 1, 1] > 0.7 and smaller[0, 0, 0] < 0.1
    assert after.labels.tolist() == [1]  # the other one has no pixel left
    assert after.boxes.tolist() == [[1, 1, 2, 2]]
    assert after.masks.tolist() == [[[False, False], [False, True]]]


@pytest.mark.parametrize("size", [(129, 181), (128, 400), (333, 200)])
def test_boxes_stay_around_masks_that_grow_to_any_size(size):
    image, targets = Scenes("transforms", 1)[0]
    _, after = resize(image, targets, size)
    assert len(after.labels) == len(targets.labels)
    # a mask's edge is the whole pixel nearest to the box's
    assert float((masks_to_boxes(after.masks) - after.boxes).abs().max()) <= 0.5


def test_sizes_that_cannot_be_are_told():
    with pytest.raises(ValueError, match="at least 1 x 1"):
        resize(torch.rand(3, 4, 4), Targets.empty((4, 4)), (0, 4))


# ---- cropping -----------------------------------------------------------------------------------


def test_a_window_by_hand():
    """Of the first object half is left, of the second nothing, the third is whole, of the fourth a
    twentieth."""
    targets = filled([[0, 0, 4, 2], [0, 6, 2, 8], [4, 4, 6, 5], [0, 2, 20, 3]], 8, 20)
    window = (2, 0, 8, 6)
    image = torch.arange(3.0 * 8 * 20).reshape(3, 8, 20) / 480
    cut, after = crop(image, targets, window, least_share=0.31)
    assert torch.equal(cut, image[:, :6, 2:8])
    assert after.labels.tolist() == [1, 3]
    assert after.boxes.tolist() == [[0, 0, 2, 2], [2, 4, 4, 5]]
    assert torch.equal(after.masks, targets.masks[[0, 2], :6, 2:8])
    assert crop(image, targets, window, least_share=0.3)[1].labels.tolist() == [1, 3, 4]


def test_a_box_that_was_cut_is_drawn_around_what_is_left():
    """An L: what the window leaves of it is its foot, 1 pixel high, not the box's whole height."""
    masks = torch.zeros(1, 4, 4, dtype=torch.bool)
    masks[0, :, 0] = masks[0, 3, :] = True
    targets = Targets(torch.tensor([[0.0, 0, 4, 4]]), torch.tensor([1]), masks)
    after = crop(torch.rand(3, 4, 4), targets, (1, 0, 4, 4))[1]
    assert after.boxes.tolist() == [[0, 3, 3, 4]]
    # a box with a margin of its own, which the window does not cut, stays
    loose = targets._replace(boxes=torch.tensor([[0.0, 0.25, 3.5, 4.0]]))
    assert crop(torch.rand(3, 4, 4), loose, (0, 0, 4, 4))[1].boxes.tolist() == [[0, 0.25, 3.5, 4]]


@pytest.mark.parametrize("window", [(-1, 0, 2, 2), (0, 0, 5, 2), (2, 0, 2, 2), (0, 3, 2, 1)])
def test_windows_that_cannot_be_are_told(window):
    with pytest.raises(ValueError, match="must be x1 < x2 and y1 < y2 inside an image of 4 x 4"):
        crop(torch.rand(3, 4, 4), Targets.empty((4, 4)), window)


# ---- crowds, colours, chance --------------------------------------------------------------------


def test_a_crowd_is_changed_like_an_object():
    mask = filled([[0, 0, 2, 4]], 4, 8)
    targets = with_crowd(Targets.empty((4, 8)), mask)
    image = torch.rand(3, 4, 8)
    for change, box in ((flip, [6, 0, 8, 4]), (lambda *x: resize(*x, (8, 8)), [0, 0, 2, 8]),
                        (lambda *x: crop(*x, (1, 0, 5, 4)), [0, 0, 1, 4])):
        crowd = crowd_of(change(image, targets)[1])
        assert crowd.boxes.tolist() == [box] and crowd.masks.any()
    assert crowd_of(crop(image, targets, (4, 0, 8, 4))[1]).labels.tolist() == []


def test_colours():
    image = torch.rand(3, 4, 4)
    torch.testing.assert_close(change_colours(image), image)
    assert torch.allclose(change_colours(image, brightness=0.5), image / 2)
    grey = change_colours(image, saturation=0.0)
    assert torch.allclose(grey[0], grey[2], atol=1e-6) and not torch.allclose(image[0], image[2])
    flat = change_colours(image, contrast=0.0)
    assert float(flat.std()) < 1e-6
    assert float(change_colours(image, 2.0, 2.0, 2.0).max()) <= 1


def test_chance_comes_from_the_generator_alone():
    image, targets = Scenes("transforms", 1)[0]
    how = Augment(scale=(0.5, 2.0), crop=100, colour=0.3)
    one, two, three = (augment(image, targets, how, torch.Generator().manual_seed(seed))
                       for seed in (1, 1, 2))
    assert torch.equal(one[0], two[0]) and torch.equal(one[1].masks, two[1].masks)
    assert one[0].shape != three[0].shape or not torch.equal(one[0], three[0])


@given(st.integers(0, 10_000))
def test_chance_keeps_what_it_promises(seed):
    image, targets = Scenes("transforms", 1, image_size=64)[0]
    how = Augment(scale=(0.5, 2.0), crop=48)
    changed, after = augment(image, targets, how, torch.Generator().manual_seed(seed))
    assert max(changed.shape[1:]) <= 48 and min(changed.shape[1:]) >= 32
    assert after.masks.shape[1:] == changed.shape[1:] and after.masks.flatten(1).any(dim=1).all()
    assert (after.boxes[:, 2:] > after.boxes[:, :2]).all()
    assert (after.boxes >= 0).all() and (after.boxes[:, 2] <= changed.shape[2]).all()


def test_nothing_asked_is_nothing_done():
    image, targets = Scenes("transforms", 1)[0]
    assert Augment().nothing
    same = augment(image, targets, Augment(), torch.Generator().manual_seed(0))
    assert same[0] is image and same[1] is targets


@pytest.mark.parametrize("wrong", [{"scale": (2.0, 1.0)}, {"scale": (0.0, 1.0)}, {"crop": 0},
                                   {"colour": 1.0}, {"colour": -0.1}])
def test_wrong_settings_are_told(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Augment(**wrong)
