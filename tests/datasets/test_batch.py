"""Batches by hand, with images of mixed sizes, and with nothing in them."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.models.detection.transform import GeneralizedRCNNTransform

from teachseg.datasets.batch import batch_images, collate, resize
from teachseg.structures import Targets


def test_two_sizes_by_hand():
    # 2 x 3 and 1 x 4, multiple of 2: the batch is 2 high and 4 wide
    first = torch.arange(1.0, 19.0).reshape(3, 2, 3)
    second = torch.arange(1.0, 13.0).reshape(3, 1, 4)
    batch, sizes = batch_images([first, second], multiple_of=2)
    assert tuple(batch.shape) == (2, 3, 2, 4)
    assert sizes == [(2, 3), (1, 4)]
    # channel 0 of the first image is 1 2 3 / 4 5 6, with a column of zeros to its right
    assert batch[0, 0].tolist() == [[1, 2, 3, 0], [4, 5, 6, 0]]
    # and of the second 1 2 3 4, with a row of zeros below
    assert batch[1, 0].tolist() == [[1, 2, 3, 4], [0, 0, 0, 0]]


def test_a_whole_multiple_is_not_padded_and_not_shared():
    image = torch.ones(3, 64, 32)
    batch, sizes = batch_images([image])
    assert tuple(batch.shape) == (1, 3, 64, 32) and sizes == [(64, 32)]
    batch.zero_()
    assert bool(image.eq(1).all())


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=4),
       st.sampled_from([1, 7, 32]))
def test_every_image_is_found_again_with_zeros_around_it(sizes, multiple):
    images = [torch.rand(3, h, w) + 0.1 for h, w in sizes]
    batch, told = batch_images(images, multiple)
    assert told == sizes
    for sides, side in zip(zip(*sizes), batch.shape[2:]):
        assert side % multiple == 0 and 0 <= side - max(sides) < multiple
    for slot, image, (h, w) in zip(batch, images, sizes):
        assert torch.equal(slot[:, :h, :w], image)
        assert slot.count_nonzero() == image.numel()


def test_dtype_is_kept_and_gradients_pass():
    image = torch.rand(3, 5, 5, dtype=torch.float64, requires_grad=True)
    batch, _ = batch_images([image])
    assert batch.dtype == torch.float64
    batch.sum().backward()
    assert torch.equal(image.grad, torch.ones_like(image))


@pytest.mark.parametrize("images, words", [
    ([], "empty list"),
    (torch.zeros(2, 3, 4, 4), r"list\(images\)"),
    ([torch.zeros(1, 4, 4)], r"images\[0\] must be \(3, height, width\)"),
    ([torch.zeros(3, 4, 4), torch.zeros(3, 4)], r"images\[1\].*got \(3, 4\)"),
    ([torch.zeros(3, 0, 4)], "at least one pixel"),
    ([torch.zeros(3, 4, 4), torch.zeros(3, 4, 4).double()], r"images\[1\] is torch.float64"),
])
def test_what_cannot_be_a_batch_is_told(images, words):
    with pytest.raises(ValueError, match=words):
        batch_images(images)


@pytest.mark.parametrize("multiple", [0, -32, 1.5])
def test_multiple_of_must_be_whole_and_positive(multiple):
    with pytest.raises(ValueError, match="multiple_of"):
        batch_images([torch.zeros(3, 4, 4)], multiple)


def test_collate_keeps_order_and_sizes():
    items = [(torch.zeros(3, h, 4), Targets.empty((h, 4))) for h in (2, 5)]
    images, targets = collate(items)
    assert [tuple(image.shape) for image in images] == [(3, 2, 4), (3, 5, 4)]
    assert isinstance(images, list) and isinstance(targets, list)
    assert targets[1] is items[1][1]


def test_collate_tells_what_is_wrong():
    with pytest.raises(ValueError, match="nothing to put into a batch"):
        collate([])
    with pytest.raises(ValueError, match=r"items\[0\] must be an \(image, Targets\) pair.*Tensor"):
        collate([torch.zeros(3, 4, 4)])
    with pytest.raises(ValueError, match=r"items\[0\].*Targets"):
        collate([Targets.empty((4, 4))])


# ---- resizing -----------------------------------------------------------------------------------


def picture(height: int, width: int) -> torch.Tensor:
    return torch.rand(3, height, width, generator=torch.Generator().manual_seed(0))


def test_resize_by_hand():
    assert resize(picture(40, 60), 20, 1000).shape == (3, 20, 30)
    # 20 / 40 would make the longer side 30: at most 24, so 24 / 60 = 0.4
    assert resize(picture(40, 60), 20, 24).shape == (3, 16, 24)
    assert resize(picture(60, 40), 80, 1000).shape == (3, 120, 80)
    # never less than a pixel
    assert resize(picture(1, 1000), 20, 40).shape == (3, 1, 40)
    image = picture(40, 60)
    assert resize(image, None, 10) is image


@pytest.mark.parametrize("min_side, max_side", [(800, 1333), (160, 224)])
def test_sizes_after_resizing_are_torchvisions(min_side, max_side):
    transform = GeneralizedRCNNTransform(min_side, max_side, [0.0] * 3, [1.0] * 3)
    for height, width in [(333, 500), (37, 41), (480, 640), (61, 7), (200, 280), (7, 13)]:
        image = picture(height, width)
        expected, _ = transform.resize(image)
        torch.testing.assert_close(resize(image, min_side, max_side), expected)
