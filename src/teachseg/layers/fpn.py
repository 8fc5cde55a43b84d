"""Feature pyramids: every stride gets features that saw the deeper ones, and each box a level.

Letters
    N        images in the batch
    C, H, W  channels, height, width of a feature map
    R        boxes ("rois") of all images together
    S        side of the block read from each box, in bins
    L        levels, finest first

Boxes are (x1, y1, x2, y2) in image pixels.

Lesson: 20
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class FPN(nn.Module):
    """Feature Pyramid Network: top-down pathway, lateral connections.   [Lin et al. 2017, Fig. 3]

    Args:
        in_channels: channels of each backbone map, finest first.
        out_channels: channels of every level of the pyramid.
        extra_level: add one more by taking every second cell of the coarsest; only the RPN uses it.
            [Lin et al. 2017, section 4.1, footnote on P6]
    """

    def __init__(self, in_channels: Sequence[int], out_channels: int, extra_level: bool = False):
        super().__init__()
        self.lateral = nn.ModuleList(nn.Conv2d(c, out_channels, 1) for c in in_channels)
        self.smooth = nn.ModuleList(
            nn.Conv2d(out_channels, out_channels, 3, padding=1) for _ in in_channels
        )
        self.extra_level = extra_level
        for conv in (*self.lateral, *self.smooth):
            nn.init.kaiming_uniform_(conv.weight, a=1)
            nn.init.zeros_(conv.bias)

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """L maps (N, C_l, H_l, W_l) -> L (or L + 1) maps (N, C, H_l, W_l), finest first."""
        merged = self.lateral[-1](features[-1])
        levels = [self.smooth[-1](merged)]
        for i in range(len(features) - 2, -1, -1):
            above = F.interpolate(merged, size=features[i].shape[-2:], mode="nearest")
            merged = self.lateral[i](features[i]) + above
            levels.insert(0, self.smooth[i](merged))
        if self.extra_level:
            levels.append(levels[-1][:, :, ::2, ::2])
        return levels


class MergedMap(nn.Module):
    """Several maps of a backbone -> one of the finest stride, which saw the deeper ones.

    The top-down pathway of a feature pyramid, whose finest level alone is made. MNC reads its
    backbone's last map instead; this is for images too small for stride 16. [Lin et al. 2017]

    Args:
        in_channels: channels of each map, finest first. out_channels: C of the merged one.
    """

    def __init__(self, in_channels: Sequence[int], out_channels: int):
        super().__init__()
        self.lateral = nn.ModuleList(nn.Conv2d(c, out_channels, 1) for c in in_channels)
        self.smooth = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        for conv in (*self.lateral, self.smooth):
            nn.init.kaiming_uniform_(conv.weight, a=1)
            nn.init.zeros_(conv.bias)

    def forward(self, features: list[Tensor]) -> Tensor:
        """Maps (N, C_l, H_l, W_l), finest first -> (N, C, H_0, W_0)"""
        merged = self.lateral[-1](features[-1])
        for lateral, finer in zip(reversed(self.lateral[:-1]), reversed(features[:-1])):
            above = F.interpolate(merged, size=finer.shape[-2:], mode="nearest")
            merged = lateral(finer) + above
        return self.smooth(merged)


def assign_levels(
    boxes: Tensor, num_levels: int, canonical_side: float = 224, canonical_level: int = 2
) -> Tensor:
    """Which level of the pyramid reads each box: large boxes the coarse ones.

    k = floor(k_0 + log2(sqrt(w h) / 224)), kept within the levels there are.
    [Lin et al. 2017, Eq. 1; there k_0 = 4 because levels are counted from P2, here from 0]

    Args:
        boxes: (R, 4) xyxy, image pixels.
        canonical_side: the side of a square box that is read at `canonical_level`.

    Returns:
        (R,) int64 in 0..num_levels - 1.
    """
    sides = (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(dim=1).sqrt()
    level = canonical_level + torch.log2(sides.clamp(min=1e-6) / canonical_side)
    level = torch.floor(
        level + 1e-6
    )  # a side of exactly 224 must not fall short by a rounding error
    return level.clamp(0, num_levels - 1).long()


def read_pyramid(
    levels: list[Tensor],
    strides: Sequence[int],
    rois: Tensor,
    level_of: Tensor,
    read: Callable[[Tensor, Tensor, float], Tensor],
) -> Tensor:
    """Read each box from its own level.

    Args:
        levels: L maps (N, C, H_l, W_l).
        rois: (R, 5) as (image index, x1, y1, x2, y2) in image pixels.
        level_of: (R,) int64 in 0..L - 1, from `assign_levels`.
        read: (features, rois, spatial_scale) -> (r, C, S, S), one of the operators of `layers.roi`.

    Returns:
        (R, C, S, S), in the order of `rois`.
    """
    if len(levels) == 1 or len(rois) == 0:
        return read(levels[0], rois, 1 / strides[0])
    blocks, places = [], []
    for i, (features, stride) in enumerate(zip(levels, strides)):
        here = (level_of == i).nonzero().flatten()
        if len(here):
            blocks.append(read(features, rois[here], 1 / stride))
            places.append(here)
    return torch.cat(blocks)[torch.cat(places).argsort()]
