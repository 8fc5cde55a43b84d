"""Heads for every pixel: shapes and sizes of the paper, places by hand, several scales."""

import pytest
import torch
from torch import nn

from teachseg.layers.embedding import (
    EmbeddingHead,
    PixelHead,
    SeedHead,
    read_scales,
    with_coordinates,
)


def num_parameters(module):
    return sum(p.numel() for p in module.parameters())


def test_sizes_of_the_papers_heads():
    """Four scales of 2048 channels, one linear layer each: 8192 x 64 + 64, 8192 x 84 + 84."""
    embedding, seed = EmbeddingHead(8192, 256, 0, 64), SeedHead(8192, 256, 0, 4, 20)
    assert num_parameters(embedding) == 8192 * 64 + 64
    assert num_parameters(seed) == 8192 * 4 * 21 + 4 * 21


def test_without_convolutions_a_head_is_linear_in_each_cell():
    head = PixelHead(3, 16, 0, 5)
    x = torch.randn(2, 3, 4, 6)
    expected = torch.einsum("oc,nchw->nohw", head.last.weight[:, :, 0, 0], x)
    torch.testing.assert_close(head(x), expected + head.last.bias[:, None, None])


@pytest.mark.parametrize("size", [(8, 8), (5, 11), (1, 1)])
@pytest.mark.parametrize("convs", [0, 1, 2])
def test_heads_keep_the_size_of_the_map(size, convs):
    x = torch.randn(2, 6, *size)
    assert EmbeddingHead(6, 16, convs, 7)(x).shape == (2, 7, *size)
    assert SeedHead(6, 16, convs, 4, 5)(x).shape == (2, 4, 6, *size)


def test_the_seed_heads_channels_are_thresholds_then_classes():
    head = SeedHead(1, 8, 0, 2, 2)  # 2 thresholds x 3 classes
    nn.init.zeros_(head.last.weight)
    head.last.bias.data = torch.arange(6.0)
    assert head(torch.zeros(1, 1, 1, 1)).flatten(1).tolist() == [[0, 1, 2, 3, 4, 5]]
    assert head(torch.zeros(1, 1, 1, 1))[0, 1, 0].item() == 3  # background of the second threshold


def test_coordinates_by_hand():
    """Cells of 2 pixels in units of 4: the middles lie at 1, 3, 5 pixels, so at 1/4, 3/4, 5/4."""
    found = with_coordinates(torch.zeros(2, 1, 2, 3), cell=2 / 4)
    assert found.shape == (2, 3, 2, 3)
    assert found[1, 1].tolist() == [[0.25, 0.75, 1.25]] * 2  # x
    assert found[0, 2].tolist() == [[0.25] * 3, [0.75] * 3]  # y


def test_coordinates_mean_the_same_place_at_any_size():
    small = with_coordinates(torch.zeros(1, 1, 4, 4), 0.5)
    large = with_coordinates(torch.zeros(1, 1, 9, 7), 0.5)
    assert torch.equal(small, large[:, :, :4, :4])


def test_one_scale_is_the_network_itself():
    x = torch.randn(1, 3, 8, 8)
    assert torch.equal(read_scales(lambda images: images[:, :2], x, (1.0,)), x[:, :2])


def test_scales_are_laid_on_each_other_in_their_order():
    """A network that halves its image and answers with the image's width."""

    def read(images):
        size = [side // 2 for side in images.shape[-2:]]
        return torch.full((1, 1, *size), float(images.shape[-1]))

    found = read_scales(read, torch.zeros(1, 3, 16, 24), (0.25, 0.5, 1.0, 2.0))
    assert found.shape == (1, 4, 8, 12)
    assert found[0, :, 3, 5].tolist() == [6, 12, 24, 48]


def test_scales_of_a_tiny_image():
    found = read_scales(lambda images: images, torch.rand(1, 3, 1, 2), (0.25, 1.0))
    assert found.shape == (1, 6, 1, 2)
