"""Boxes: areas, overlaps, and the deltas that carry one box onto another.

Letters
    N, A, B  numbers of boxes

Boxes are (x1, y1, x2, y2) in pixel edges: pixel i covers [i, i + 1), a width is x2 - x1, never + 1.
Other people's conventions enter through `from_inclusive` and `from_xywh`.

Lesson: 01 (areas, overlaps), 04 (deltas), 06 (clipping)
"""

import math
from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from teachseg.checks import check_boxes, check_shape
from teachseg.structures import Targets, crowd_of, with_crowd

MAX_GROWTH = 1000 / 16  # a delta may enlarge a box this many times [Detectron, BBOX_XFORM_CLIP]
EPS = 1e-9  # square pixels; keeps 0 / 0 out of overlaps


def constant(numbers: Sequence[float], like: Tensor) -> Tensor:
    """A few numbers as a tensor of the type and on the device of another; not to be changed.

    Each is taken to the device once: on the way an accelerator has to be waited for.
    """
    return _constant(tuple(numbers), like.dtype, like.device)


@lru_cache(maxsize=1024)
def _constant(numbers: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    with torch.inference_mode(False):  # made in prediction, it may be of use in training
        return torch.tensor(numbers, dtype=dtype, device=device)


def from_inclusive(boxes: Tensor) -> Tensor:
    """Boxes whose x2, y2 name the last pixel *inside* -> boxes whose x2, y2 name the far edge.

    MNC's released code counts pixels, so its widths are x2 - x1 + 1; ours are x2 - x1.

    Args:
        boxes: (N, 4) (x1, y1, x2, y2), the last two inclusive.

    >>> from_inclusive(torch.tensor([[0., 0., 15., 15.]]))
    tensor([[ 0.,  0., 16., 16.]])
    """
    check_boxes(boxes)
    return boxes + constant((0, 0, 1, 1), boxes)


def from_xywh(boxes: Tensor) -> Tensor:
    """COCO's (x, y, width, height) -> (x1, y1, x2, y2), both in pixel edges; (N, 4) -> (N, 4).

    >>> from_xywh(torch.tensor([[10., 20., 5., 8.]]))
    tensor([[10., 20., 15., 28.]])
    """
    check_boxes(boxes)
    return torch.cat([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], dim=1)


def box_area(boxes: Tensor) -> Tensor:
    """(N, 4) xyxy in pixels -> (N,) in square pixels; 0 for a box that is turned inside out."""
    check_boxes(boxes)
    return (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(dim=1)


def box_iou(a: Tensor, b: Tensor) -> Tensor:
    """Share of their union that two boxes have in common, for every pair.

    Args:
        a: (A, 4) xyxy, pixels.
        b: (B, 4) xyxy, in the same frame as `a`.

    Returns:
        (A, B) in [0, 1]; 0 where boxes at most touch, and for boxes without area.

    >>> box_iou(torch.tensor([[0., 0., 2., 2.]]), torch.tensor([[1., 0., 3., 2.]]))
    tensor([[0.3333]])
    """
    union = box_area(a)[:, None] + box_area(b)  # (A, B), what they have in common still twice
    common = torch.ones_like(union)
    for low, high in ((0, 2), (1, 3)):  # x, then y
        first = torch.maximum(a[:, low, None], b[:, low].contiguous())
        last = torch.minimum(a[:, high, None], b[:, high].contiguous())
        common = common * (last - first).clamp(min=0)
    return common / (union - common).clamp(min=EPS)


def covered_share(boxes: Tensor, regions: Tensor) -> Tensor:
    """(N,) the largest share of each box that lies in a single one of the regions, in [0, 1].

    Args:
        boxes: (N, 4); one without area is covered by 0. regions: (B, 4), B may be 0.

    >>> covered_share(torch.tensor([[0., 0., 4., 2.]]), torch.tensor([[0., 0., 3., 9.]]))
    tensor([0.7500])
    """
    if len(regions) == 0:
        return boxes.new_zeros(len(boxes))
    low = torch.maximum(boxes[:, None, :2], regions[None, :, :2])
    high = torch.minimum(boxes[:, None, 2:], regions[None, :, 2:])
    common = (high - low).clamp(min=0).prod(dim=2)
    return common.max(dim=1).values / box_area(boxes).clamp(min=EPS)


def clip_boxes(boxes: Tensor, image_size: tuple[int, int]) -> Tensor:
    """Cut boxes off at the border of an image.

    Args:
        boxes: (..., 4) xyxy, pixels.
        image_size: (height, width).

    Returns:
        (..., 4); a box wholly outside becomes one without area, on the border.
    """
    height, width = image_size
    x, y = boxes[..., 0::2].clamp(0, width), boxes[..., 1::2].clamp(0, height)
    return torch.stack([x[..., 0], y[..., 0], x[..., 1], y[..., 1]], dim=-1)


def center_size(boxes: Tensor) -> tuple[Tensor, Tensor]:
    """(..., 4) xyxy -> centers (..., 2), sizes (..., 2), both as (x, y)."""
    return (boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]


def encode_boxes(
    boxes: Tensor, anchors: Tensor, weights: tuple[float, float, float, float] = (1, 1, 1, 1)
) -> Tensor:
    """The deltas that would carry each anchor onto its box.   [Faster R-CNN, section 3.1.2, Eq. 2]

    paper      here
    x, w       center, size              of the box
    x_a, w_a   center_a, size_a          of the anchor
    t_x, t_w   columns 0 and 2           of the result

    Args:
        boxes, anchors: (N, 4) xyxy, one frame, sides > 0.
        weights: what each delta is multiplied by; (10, 10, 5, 5) in the second stage of Fast R-CNN,
            which divides by the standard deviations (0.1, 0.1, 0.2, 0.2).

    Returns:
        (N, 4) as (t_x, t_y, t_w, t_h): shifts in anchor sides, then natural logs of the growth.

    >>> encode_boxes(torch.tensor([[0., 0., 20., 10.]]), torch.tensor([[0., 0., 10., 10.]]))
    tensor([[0.5000, 0.0000, 0.6931, 0.0000]])
    """
    check_boxes(boxes, "boxes", sides=True)
    check_boxes(anchors, "anchors", sides=True)
    if len(boxes) != len(anchors):
        raise ValueError(
            f"encode_boxes pairs them one by one, but got {len(boxes)} boxes and "
            f"{len(anchors)} anchors. Pick the box of each anchor first: boxes[matched]."
        )
    center, size = center_size(boxes)
    center_a, size_a = center_size(anchors)
    deltas = torch.cat([(center - center_a) / size_a, (size / size_a).log()], dim=1)
    return deltas * constant(weights, deltas)


def decode_boxes(
    deltas: Tensor, anchors: Tensor, weights: tuple[float, float, float, float] = (1, 1, 1, 1)
) -> Tensor:
    """Undo `encode_boxes`.

    Growth is capped at `MAX_GROWTH` times, so that a wild early delta cannot overflow exp.

    Args:
        deltas: (..., 4).
        anchors: (..., 4) xyxy, broadcast against `deltas`: (R, 1, 4) beside (R, K, 4) moves each
            box K ways.

    Returns:
        (..., 4) xyxy, in the frame of the anchors, not clipped.
    """
    if deltas.shape[-1] != 4 or anchors.shape[-1] != 4:
        check_shape(deltas, "N 4", "deltas")
        check_shape(anchors, "N 4", "anchors")
    center_a, size_a = center_size(anchors)
    deltas = deltas / constant(weights, deltas)
    center = center_a + deltas[..., :2] * size_a
    size = size_a * deltas[..., 2:].clamp(max=math.log(MAX_GROWTH)).exp()
    return torch.cat([center - size / 2, center + size / 2], dim=-1)


def size_ratio(old: tuple[int, int], new: tuple[int, int]) -> tuple[float, float]:
    """(right, down): pixels of an image at size new = (height, width), for one of it at old."""
    return new[1] / old[1], new[0] / old[0]


def scale_boxes(boxes: Tensor, old: tuple[int, int], new: tuple[int, int]) -> Tensor:
    """(..., 4) boxes of an image of size old = (height, width) -> of the same image at size new."""
    return stretch(boxes, *size_ratio(old, new))


def stretch(boxes: Tensor, right: float, down: float) -> Tensor:
    """(..., 4) boxes, x times `right` and y times `down`."""
    x, y = boxes[..., 0::2] * right, boxes[..., 1::2] * down
    return torch.stack([x[..., 0], y[..., 0], x[..., 1], y[..., 1]], dim=-1)


def scale_targets(targets: Targets, old: tuple[int, int], new: tuple[int, int]) -> Targets:
    """Targets whose boxes are those of the image at another size; masks stay as they are."""
    def scaled(some: Targets) -> Targets:
        return Targets(scale_boxes(some.boxes, old, new), some.labels, some.masks)

    return with_crowd(scaled(targets), scaled(crowd_of(targets)))


def back_to_original(boxes: Tensor, size: tuple[int, int], original: tuple[int, int]) -> Tensor:
    """(..., 4) boxes found in an image of `size` -> of the `original`, not a last digit outside."""
    return clip_boxes(scale_boxes(boxes, size, original), original)
