"""Heads that say something of every pixel: its embedding, and how good a seed it would make.

Letters
    N     images in the batch
    C     channels of a feature map
    H, W  height and width of a feature map, in cells
    D     dimension of an embedding
    T     thresholds tau
    K     object classes; class 0 is background

No boxes here.

Lesson: 30 (embeddings), 31 (classes of the masks that seeds grow)
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from teachseg.layers.backbones import conv_norm


class PixelHead(nn.Module):
    """Some convolutions of 3 x 3, each with its norm and ReLU, then one number a channel asked for.

    Args:
        num_convs: 0 reads the features with a single linear map, as DeepLab's last layer does.
    """

    def __init__(self, in_channels: int, hidden: int, num_convs: int, out_channels: int):
        super().__init__()
        widths = [in_channels] + [hidden] * num_convs
        self.convs = nn.ModuleList(conv_norm(a, b) for a, b in zip(widths, widths[1:]))
        self.last = nn.Conv2d(widths[-1], out_channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, out_channels, H, W)"""
        x = features
        for conv in self.convs:
            x = F.relu(conv(x), inplace=True)
        return self.last(x)


class EmbeddingHead(PixelHead):
    """A vector for every pixel: the learned half of `geometry.similarity`.
    [deep metric learning paper, D = 64]
    """

    def __init__(self, in_channels: int, hidden: int, num_convs: int, dim: int):
        super().__init__(in_channels, hidden, num_convs, dim)


class SeedHead(PixelHead):
    """For every pixel and every threshold: of which class is the mask that it would grow?
    [deep metric learning paper, C of size h x w x T x (K+1)]

    Class 0 says that the mask would fit no object: the pixel makes a bad seed.
    """

    def __init__(
        self, in_channels: int, hidden: int, num_convs: int, num_taus: int, num_classes: int
    ):
        super().__init__(in_channels, hidden, num_convs, num_taus * (num_classes + 1))
        self.num_taus = num_taus

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W) -> logits (N, T, K+1, H, W)"""
        return super().forward(features).unflatten(1, (self.num_taus, -1))


def with_coordinates(features: Tensor, cell: float) -> Tensor:
    """The same features, with two more channels that say where each cell lies.

    A convolution answers alike to two equal objects, wherever they are. With these it need not.

    Args:
        features: (N, C, H, W). cell: side of a cell in the unit in which places are told.

    Returns:
        (N, C + 2, H, W): x, then y, of each cell's middle.
    """
    number, _, height, width = features.shape
    x = (torch.arange(width, dtype=features.dtype, device=features.device) + 0.5) * cell
    y = (torch.arange(height, dtype=features.dtype, device=features.device) + 0.5) * cell
    places = torch.stack([x.expand(height, -1), y[:, None].expand(-1, width)])
    return torch.cat([features, places.expand(number, -1, -1, -1)], dim=1)


def read_scales(
    read: Callable[[Tensor], Tensor], batch: Tensor, scales: Sequence[float]
) -> Tensor:
    """Look at a batch in several sizes with the same network, and lay the answers on each other.
    [deep metric learning paper: scales 0.25, 0.5, 1 and 2, their features concatenated]

    Args:
        read: (N, 3, H, W) -> features (N, C, h, w).
        batch: (N, 3, H, W).
        scales: factors of its size; 1 is one of them, and its map sets the size of the result.

    Returns:
        (N, C * len(scales), h, w), in the order of `scales`.
    """
    sides = [[max(1, round(side * scale)) for side in batch.shape[-2:]] for scale in scales]
    maps = [read(_resized(batch, size)) for size in sides]
    size = list(maps[list(scales).index(1)].shape[-2:])
    return maps[0] if len(maps) == 1 else torch.cat([_resized(m, size) for m in maps], dim=1)


def _resized(x: Tensor, size: list[int]) -> Tensor:
    """(N, C, H, W) at another size, linearly; as it is where it has that size."""
    if list(x.shape[-2:]) == size:
        return x
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)
