"""Masks: overlaps, tight boxes, cutting a mask out of an image and pasting it back.

Letters
    R     boxes
    H, W  height and width of the image, in pixels
    h, w  height and width of a map of cells
    M     side of a cut-out mask ("crop"), in bins

`masks` are image-sized and bool; `crops` are M x M floats in [0, 1] that live in a box.

Lesson: 01 (overlaps), 11, 21 (cutting and pasting), 30 (cells of a map)
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from teachseg.checks import check_boxes, check_shape


def mask_iou(a: Tensor, b: Tensor) -> Tensor:
    """Share of their union that two masks have in common, for every pair.

    Args:
        a: (A, H, W) bool. b: (B, H, W) bool.

    Returns:
        (A, B) float32 in [0, 1]; 0 where both are empty.
    """
    check_shape(a, "A H W", "a")
    check_shape(b, "B H W", "b")
    if a.shape[1:] != b.shape[1:]:
        raise ValueError(
            f"Masks of one image are needed, got {tuple(a.shape[1:])} and "
            f"{tuple(b.shape[1:])} (height, width)."
        )
    flat_a, flat_b = a.flatten(1).float(), b.flatten(1).float()
    common = flat_a @ flat_b.T
    union = flat_a.sum(dim=1)[:, None] + flat_b.sum(dim=1) - common
    return common / union.clamp(min=1)


def masks_to_boxes(masks: Tensor) -> Tensor:
    """The tight box of each mask.

    Args:
        masks: (R, H, W) bool.

    Returns:
        (R, 4) float32 xyxy in pixel edges; (0, 0, 0, 0) for an empty mask.

    >>> masks_to_boxes(torch.ones(1, 2, 3, dtype=torch.bool))
    tensor([[0., 0., 3., 2.]])
    """
    check_shape(masks, "R H W", "masks")

    def extent(used: Tensor) -> tuple[Tensor, Tensor]:
        """(R, L) which rows or columns are used -> first one, and one past the last."""
        used = used.float()
        first = used.argmax(dim=1)
        last = used.shape[1] - used.flip(1).argmax(dim=1)
        some = used.any(dim=1)
        return first * some, last * some

    if masks.numel() == 0:
        return torch.zeros(len(masks), 4, device=masks.device)
    (y1, y2), (x1, x2) = extent(masks.any(dim=2)), extent(masks.any(dim=1))
    return torch.stack([x1, y1, x2, y2], dim=1).float()


def split_masks(owner: Tensor) -> tuple[Tensor, Tensor]:
    """A map of instances -> their numbers (N,), rising, and their masks (N, H, W) bool.

    Args:
        owner: (H, W) whole numbers; 0 is no instance.

    >>> numbers, masks = split_masks(torch.tensor([[0, 4], [2, 4]]))
    >>> numbers.tolist(), masks.sum(dim=(1, 2)).tolist()
    ([2, 4], [1, 2])
    """
    check_shape(owner, "H W", "owner")
    numbers = owner.unique()
    numbers = numbers[numbers > 0]
    return numbers, owner == numbers[:, None, None]


def crop_masks(masks: Tensor, boxes: Tensor, size: int, index: Tensor | None = None) -> Tensor:
    """What share of each bin of a box the mask covers.

    Exact for any box: the mask's integral over a bin is read off a summed-area table at the bin's
    four corners, where the table is bilinear within a pixel because the mask is constant there.

    Args:
        masks: (R, H, W), bool or float in [0, 1]; one a box, unless `index` is given.
        boxes: (R, 4) xyxy, image pixels. Outside of the image there is no mask.
        size: M, bins a side.
        index: (R,) int64, the mask of each box, where several boxes share one.

    Returns:
        (R, M, M) float32 in [0, 1]; 0 for a box without area.
    """
    check_shape(masks, "R H W", "masks")
    check_boxes(boxes)
    if index is None and len(masks) != len(boxes):
        raise ValueError(
            f"There are {len(masks)} masks for {len(boxes)} boxes: one each is needed, or "
            "an index that names the mask of each box."
        )
    height, width = masks.shape[1:]
    if index is None:
        index = torch.arange(len(boxes), device=boxes.device)

    # 1. The table: table[y, x] is the mask's area above and left of the pixel corner (y, x).
    table = F.pad(masks.double().cumsum(1).cumsum(2), (1, 0, 1, 0))  # (R, H+1, W+1)

    # 2. Where the bins' edges fall.
    steps = torch.linspace(0, 1, size + 1, dtype=torch.float64, device=boxes.device)
    corner, sides = boxes[:, :2].double(), (boxes[:, 2:] - boxes[:, :2]).double().clamp(min=0)
    x = (corner[:, :1] + steps * sides[:, :1]).clamp(0, width)  # (R, M+1)
    y = (corner[:, 1:] + steps * sides[:, 1:]).clamp(0, height)

    # 3. The table between its corners, then each bin's share: what four corners leave over.
    x0, y0 = x.floor().clamp(max=width - 1).long(), y.floor().clamp(max=height - 1).long()
    fx, fy = (x - x0)[:, None, :], (y - y0)[:, :, None]
    which, y0, x0 = index[:, None, None], y0[:, :, None], x0[:, None, :]
    top = table[which, y0, x0] * (1 - fx) + table[which, y0, x0 + 1] * fx
    bottom = table[which, y0 + 1, x0] * (1 - fx) + table[which, y0 + 1, x0 + 1] * fx
    area = (top * (1 - fy) + bottom * fy).diff(dim=1).diff(dim=2)  # (R, M, M)
    bin_area = sides.prod(dim=1) / size**2
    share = torch.where(
        bin_area[:, None, None] > 0, area / bin_area.clamp(min=1e-12)[:, None, None], 0
    )
    return share.clamp(0, 1).float()


def cell_weights(length: int, cells: int, cell: float, like: Tensor) -> Tensor:
    """One axis of `cell_shares`: how much of each cell every pixel covers.

    Args:
        length: pixels. cells: cell i covers [i * cell, (i + 1) * cell) pixels.

    Returns:
        (cells, length) in [0, 1]; a row sums to the share of its cell that lies in the image.
    """
    pixel = torch.arange(length, dtype=torch.float32, device=like.device)
    low = torch.arange(cells, dtype=torch.float32, device=like.device)[:, None] * cell
    common = torch.minimum(pixel + 1, low + cell) - torch.maximum(pixel, low)
    return common.clamp(min=0) / cell


def cell_shares(
    masks: Tensor, map_size: tuple[int, int], cell: tuple[float, float]
) -> tuple[Tensor, Tensor]:
    """How much of each cell of a feature map every mask covers, and how much of it the image.

    Args:
        masks: (R, H, W) bool.
        map_size: (h, w) cells. cell: its (height, width) in mask pixels, whole or not; cells may
            reach out of the image, as those of a padded batch do.

    Returns:
        (R, h, w) and (h, w), in [0, 1].
    """
    check_shape(masks, "R H W", "masks")
    (height, width), (h, w) = masks.shape[1:], map_size
    rows = cell_weights(height, h, cell[0], masks)  # (h, H)
    columns = cell_weights(width, w, cell[1], masks)  # (w, W)
    inside = rows.sum(dim=1)[:, None] * columns.sum(dim=1)
    return rows @ masks.float() @ columns.T, inside


def paste_weights(low: Tensor, high: Tensor, crop_size: int, length: int) -> Tensor:
    """One axis of pasting: how much of each crop bin every pixel shows.

    A pixel reads the crop at the middle of the part of it that the box covers, linearly between bin
    centers, and as much as it is covered.

    Args:
        low, high: (R,) the box's edges along this axis, pixels.
        length: pixels along this axis.

    Returns:
        (R, length, M) in [0, 1].
    """
    pixel = torch.arange(length, dtype=low.dtype, device=low.device)
    start = torch.maximum(pixel, low[:, None])  # (R, length) the covered part of each pixel
    stop = torch.minimum(pixel + 1, high[:, None])
    covered = (stop - start).clamp(min=0)
    side = (high - low).clamp(min=1e-6)[:, None]
    middle = ((start + stop) / 2 - low[:, None]) / side  # of the covered part, in [0, 1] of the box
    place = middle * crop_size - 0.5  # in bins, 0 = first center
    place = place.clamp(0, crop_size - 1)[:, :, None]
    bins = torch.arange(crop_size, dtype=low.dtype, device=low.device)
    return (1 - (place - bins).abs()).clamp(min=0) * covered[:, :, None]


def paste_masks(crops: Tensor, boxes: Tensor, image_size: tuple[int, int]) -> Tensor:
    """Stretch each crop over its box, in an otherwise empty image.

    Exact on whole-pixel boxes: a crop of ones in [x1, x2) x [y1, y2) gives ones there and nothing
    elsewhere; a crop with one bin a pixel comes back unchanged.

    Args:
        crops: (R, M, M) in [0, 1].
        boxes: (R, 4) xyxy, image pixels; they may reach out of the image.
        image_size: (H, W).

    Returns:
        (R, H, W) in [0, 1].
    """
    check_shape(crops, "R M M", "crops")
    check_boxes(boxes)
    if len(crops) != len(boxes):
        raise ValueError(
            f"There are {len(crops)} crops for {len(boxes)} boxes: one each is needed."
        )
    height, width = image_size
    boxes = boxes.to(crops.dtype)
    rows = paste_weights(boxes[:, 1], boxes[:, 3], crops.shape[1], height)  # (R, H, M)
    columns = paste_weights(boxes[:, 0], boxes[:, 2], crops.shape[2], width)  # (R, W, M)
    return rows @ crops @ columns.transpose(1, 2)


def widen_as_torchvision(crops: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Crops and boxes as torchvision pastes them: feed the result to `paste_masks`.

    It pads each crop by one empty bin and widens the box to match, cuts the box's corners to whole
    pixels and counts the last pixel inclusively. An all-ones crop in a 10 x 10 box comes out
    12 x 12 after the threshold.

    Args:
        crops: (R, M, M). boxes: (R, 4).

    Returns:
        (R, M+2, M+2) and (R, 4) whole-pixel boxes.
    """
    size = crops.shape[1]
    center, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2
    half = half * ((size + 2) / size)
    corner_1, corner_2 = (center - half).trunc(), (center + half).trunc()
    corner_2 = torch.maximum(corner_2 + 1, corner_1 + 1)
    return F.pad(crops, (1, 1, 1, 1)), torch.cat([corner_1, corner_2], dim=1)
