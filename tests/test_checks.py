"""Every check lets the good pass, and says of the bad what came and how to mend it."""

import pytest
import torch

from teachseg.checks import check_boxes, check_image, check_images, check_shape, check_targets
from teachseg.structures import Targets

IMAGE = torch.rand(3, 4, 5)
NAN, INF = float("nan"), float("inf")


def one_object(boxes=((1.0, 1.0, 3.0, 3.0),), labels=(1,), size=(4, 5)):
    boxes = torch.tensor(boxes)
    return Targets(boxes, torch.tensor(labels), torch.ones(len(boxes), *size, dtype=torch.bool))


def test_a_shape_that_fits_passes():
    check_shape(torch.zeros(3, 4), "N 4", "boxes")
    check_shape(torch.zeros(0, 4), "N 4", "boxes")  # a letter stands for 0 too
    check_shape(torch.zeros(2, 3, 5, 5), "N 3 S S", "x")
    check_shape(torch.tensor(1.0), "", "x")


@pytest.mark.parametrize(
    "x, shape, words",
    [
        (torch.zeros(3, 5), "N 4", r"boxes must have the shape \(N, 4\), got \(3, 5\)"),
        (torch.zeros(4), "N 4", r"Only one\? Pass boxes\[None\]"),
        (torch.zeros(1, 3, 4), "N 4", r"got \(1, 3, 4\)\.$"),
        ([[0, 0, 1, 1]], "N 4", r"got list\. Wrap it: torch.as_tensor\(boxes\)"),
    ],
)
def test_a_shape_that_does_not_fit(x, shape, words):
    with pytest.raises(ValueError, match=words):
        check_shape(x, shape, "boxes")


def test_good_boxes_pass():
    check_boxes(torch.tensor([[0.0, 0.0, 2.0, 1.0], [-5.0, 1.0, 0.0, 9.0]]), sides=True)
    check_boxes(torch.zeros(0, 4), sides=True)
    check_boxes(torch.zeros(1, 4))  # no area, but no area was asked for
    check_boxes(torch.tensor([[0, 0, 2, 1]]), sides=True)  # whole numbers are boxes too


@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_boxes_that_are_no_numbers(value):
    boxes = torch.tensor([[0.0, 0.0, 1.0, 1.0], [0.0, value, 1.0, 1.0]])
    with pytest.raises(ValueError, match=r"rois\[1\] = .* is not finite"):
        check_boxes(boxes, "rois")


@pytest.mark.parametrize("flat", [[3.0, 0.0, 3.0, 2.0], [0.0, 2.0, 2.0, 2.0], [5.0, 0.0, 2.0, 2.0]])
def test_boxes_without_an_area(flat):
    boxes = torch.tensor([[0.0, 0.0, 1.0, 1.0], flat])
    check_boxes(boxes)
    with pytest.raises(ValueError, match=r"boxes\[1\] = .* has no area.*from_xywh"):
        check_boxes(boxes, sides=True)


def test_good_images_pass():
    check_image(IMAGE)
    check_image(torch.zeros(3, 1, 1))
    check_image(torch.ones(3, 2, 2, dtype=torch.float64))
    check_images([IMAGE, torch.zeros(3, 9, 1)])


@pytest.mark.parametrize(
    "image, words",
    [
        ("photo.png", "got str.*read_image"),
        (torch.zeros(4, 5, 3), r"channels come last: pass image.permute\(2, 0, 1\)"),
        (torch.zeros(2, 3, 4, 5), r"pass list\(images\)"),
        (torch.zeros(4, 5), "It is grey"),
        (torch.zeros(1, 4, 5), r"It is grey: repeat it, image.expand\(3, -1, -1\)"),
        (torch.zeros(4, 4, 5), r"alpha channel: drop it, image\[:3\]"),
        (torch.zeros(2, 4, 5), r"must be \(3, height, width\), got \(2, 4, 5\)"),
        (torch.zeros(3, 0, 5), "at least one pixel"),
        (torch.zeros(3, 4, 5, dtype=torch.uint8), r"torch.uint8.*image.float\(\) / 255"),
        (torch.full((3, 4, 5), NAN), "not finite"),
        (torch.full((3, 4, 5), INF), "not finite"),
        (torch.full((3, 4, 5), 255.0), r"run from 255 to 255\. Bytes are divided by 255"),
        (torch.full((3, 4, 5), -1.0), r"must be in \[0, 1\], its values run from -1 to -1"),
    ],
)
def test_an_image_that_is_none(image, words):
    with pytest.raises(ValueError, match=words):
        check_image(image)


def test_one_nan_among_good_pixels_is_found():
    image = IMAGE.clone()
    image[1, 2, 3] = NAN
    with pytest.raises(ValueError, match=r"images\[1\] holds values that are not finite"):
        check_images([IMAGE, image])


def test_interpolation_may_overshoot_a_little():
    check_image(torch.full((3, 2, 2), 1.0005))


@pytest.mark.parametrize(
    "images, words",
    [
        ([], "empty list: pass at least one image"),
        (torch.zeros(2, 3, 4, 5), r"must be a list.*Pass \[image\], or list\(images\)"),
    ],
)
def test_images_that_are_no_list(images, words):
    with pytest.raises(ValueError, match=words):
        check_images(images)


def test_good_targets_pass():
    check_targets([one_object(), Targets.empty((4, 5))], [IMAGE, IMAGE], num_classes=1)


@pytest.mark.parametrize(
    "target, words",
    [
        (one_object([[1.0, 1.0, NAN, 3.0]]), r"targets\[0\].boxes\[0\] = .* is not finite"),
        (one_object([[1.0, 1.0, 1.0, 3.0]]), r"targets\[0\].boxes\[0\] = .* has no area"),
        (one_object(labels=(1, 2)), "1 boxes, 2 labels and 1 masks"),
        (one_object(size=(5, 4)), r"masks are \(5, 4\) but images\[0\] is \(4, 5\)"),
        (one_object(labels=(0,)), "labels run from 0 to 0.*0 is background.*start at 0 need"),
        (one_object(labels=(4,)), r"labels run from 4 to 4, but this model knows 1\.\.3"),
        (one_object(labels=(-1,)), "labels run from -1 to -1"),
    ],
)
def test_targets_that_do_not_fit(target, words):
    with pytest.raises(ValueError, match=words):
        check_targets([target], [IMAGE], num_classes=3)


def test_targets_of_fewer_images():
    with pytest.raises(ValueError, match="2 images but 1 targets.*Targets.empty"):
        check_targets([one_object()], [IMAGE, IMAGE], num_classes=3)
