"""Anchors: the boxes that the region proposal network starts from.

Letters
    A        anchors at one cell
    H, W     height and width of a feature map, in cells

Cell anchors are xyxy about the origin; grid anchors are xyxy in image pixels. A ratio is height /
width.

Lesson: 04
"""

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from teachseg.checks import check_boxes


def cell_anchors(sizes: Sequence[float], ratios: Sequence[float], rounding: bool = False) -> Tensor:
    """The anchors of one cell: each has the area size^2 and the shape height / width = ratio.

    Args:
        sizes: sides of the square anchor, image pixels, > 0.
        ratios: height / width, > 0.
        rounding: round the corners to whole pixels, as torchvision and the first Faster R-CNN do.

    Returns:
        (len(ratios) * len(sizes), 4) xyxy about the origin, ratios outermost.

    >>> cell_anchors([32], [0.25, 1])
    tensor([[-32.,  -8.,  32.,   8.],
            [-16., -16.,  16.,  16.]])
    """
    if min(sizes, default=0) <= 0 or min(ratios, default=0) <= 0:
        raise ValueError(
            f"sizes and ratios must be positive and not empty, got sizes={list(sizes)}, "
            f"ratios={list(ratios)}."
        )
    anchors = _cell_anchors(tuple(sizes), tuple(ratios))
    return anchors.round() if rounding else anchors.clone()


@lru_cache(maxsize=256)
def _cell_anchors(sizes: tuple[float, ...], ratios: tuple[float, ...]) -> Tensor:
    """Those of `cell_anchors`, made once."""
    size, ratio = (
        torch.tensor(sizes, dtype=torch.float32),
        torch.tensor(ratios, dtype=torch.float32),
    )
    heights = (ratio.sqrt()[:, None] * size).flatten()
    widths = ((1 / ratio.sqrt())[:, None] * size).flatten()
    return torch.stack([-widths, -heights, widths, heights], dim=1) / 2


def legacy_cell_anchors() -> Tensor:
    """The nine anchors of py-faster-rcnn and MNC, with x2, y2 *inclusive*: use `from_inclusive`.

    A window of 16 x 16 (0..15) becomes three of equal area (ratios 0.5, 1, 2), whose sides are
    rounded, and each of these grows 8, 16 and 32 times.

    Returns:
        (9, 4): ratios outermost. The comment above the released code lists other numbers, those of
        its MATLAB forerunner, each larger by one; the code gives these.
    """
    ratio = torch.tensor([0.5, 1.0, 2.0])
    scale = torch.tensor([8.0, 16.0, 32.0])
    widths = (16 * 16 / ratio).sqrt().round()  # 23, 16, 11
    heights = (widths * ratio).round()  # 12, 16, 22
    half_w = ((widths[:, None] * scale).flatten() - 1) / 2
    half_h = ((heights[:, None] * scale).flatten() - 1) / 2
    center = 7.5  # of pixels 0..15, counted inclusively
    return torch.stack([center - half_w, center - half_h, center + half_w, center + half_h], dim=1)


def grid_anchors(
    cell_anchors: Tensor, feature_size: tuple[int, int], stride: int | tuple[int, int]
) -> Tensor:
    """Copy the anchors of one cell to every cell of a feature map.

    Args:
        cell_anchors: (A, 4) xyxy about the origin.
        feature_size: (H, W) in cells.
        stride: image pixels between neighbouring cells; (down, right) where they differ.

    Returns:
        (H * W * A, 4) xyxy, image pixels: row by row, anchors fastest. The anchor of cell (0, 0) is
        centred on the image's corner, as in the released code and in torchvision.
    """
    check_boxes(cell_anchors, "cell_anchors")
    down, right = (stride, stride) if isinstance(stride, int) else stride
    like = {"dtype": cell_anchors.dtype, "device": cell_anchors.device}
    y = torch.arange(feature_size[0], **like) * down
    x = torch.arange(feature_size[1], **like) * right
    row = torch.zeros(feature_size[1], 1, 4, **like)
    row[:, 0, 0::2] = x[:, None]
    row = row + cell_anchors  # (W, A, 4): the anchors of the first row of cells
    grid = row.expand(feature_size[0], -1, -1, -1).clone()  # (H, W, A, 4)
    grid[..., 1::2] += y[:, None, None, None]
    return grid.view(-1, 4)
