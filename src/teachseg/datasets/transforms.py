"""Changing an image and its targets together, so that they still fit each other.

Letters
    G     objects in the image
    H, W  height and width of the image, in pixels

Boxes are (x1, y1, x2, y2) in pixel edges: the image runs from 0 to W, so a mirrored edge is W - x
(with x2 naming the last pixel inside it would be W - 1 - x, and boxes would drift by one), and an
edge of an image that is made twice as wide is 2 x.

What is done to objects is done to crowd regions as well (`structures.crowd_of`).

Lesson: 22 (mirroring), 42
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as v2

from teachseg.checks import check_shape
from teachseg.geometry.boxes import clip_boxes, scale_boxes
from teachseg.geometry.masks import masks_to_boxes
from teachseg.structures import Targets, crowd_of, with_crowd


def _check_fit(image: Tensor, targets: Targets) -> tuple[int, int]:
    """The image's (height, width); ValueError where the targets are not of its size."""
    check_shape(image, "3 H W", "image")
    check_shape(targets.boxes, "G 4", "targets.boxes")
    if targets.masks.shape[1:] != image.shape[1:]:
        raise ValueError(f"targets.masks are {tuple(targets.masks.shape[1:])} but the image is "
                         f"{tuple(image.shape[1:])}: masks are as large as their image.")
    return image.shape[1], image.shape[2]


def _change(targets: Targets, how: Callable[[Targets], Targets]) -> Targets:
    """Objects and crowd regions, each changed."""
    return with_crowd(how(Targets(*targets)), how(crowd_of(targets)))


def _keep(targets: Targets, kept: Tensor) -> Targets:
    """Those objects for which kept (G,) is True."""
    return Targets(*(part[kept] for part in targets))


def flip(image: Tensor, targets: Targets) -> tuple[Tensor, Targets]:
    """Mirror an image and what is in it, left to right; twice is the original.

    Args:
        image: (3, H, W).
        targets: of G objects, G may be 0: boxes (G, 4), labels (G,), masks (G, H, W).

    Returns:
        Both mirrored, as new tensors; labels and order stay.

    Raises:
        ValueError: the shapes do not fit one another.

    >>> import torch
    >>> masks = torch.zeros(1, 2, 8, dtype=torch.bool)
    >>> targets = Targets(torch.tensor([[1., 0., 3., 2.]]), torch.tensor([1]), masks)
    >>> flip(torch.zeros(3, 2, 8), targets)[1].boxes
    tensor([[5., 0., 7., 2.]])
    """
    _, width = _check_fit(image, targets)

    def mirror(some: Targets) -> Targets:
        boxes = some.boxes.clone()
        boxes[:, [0, 2]] = width - some.boxes[:, [2, 0]]  # the far edge is now the near one
        return Targets(boxes, some.labels, some.masks.flip(2))

    return image.flip(2), _change(targets, mirror)


def resize(image: Tensor, targets: Targets, size: tuple[int, int]) -> tuple[Tensor, Targets]:
    """Bring an image and what is in it to size = (height, width), in pixels.

    The image is read between the middles of its pixels, over all pixels that a new one covers
    (torchvision's v2.resize); of a mask, a new pixel is the one that its middle lies in; boxes are
    multiplied. An object that has no pixel left is dropped. `batch.resized_size` says which size
    has a wanted short and long side.

    >>> masks = torch.zeros(1, 2, 8, dtype=torch.bool)
    >>> masks[0, 0, 1:3] = True
    >>> targets = Targets(torch.tensor([[1., 0., 3., 1.]]), torch.tensor([1]), masks)
    >>> resize(torch.zeros(3, 2, 8), targets, (4, 16))[1].boxes
    tensor([[2., 0., 6., 2.]])
    """
    old = _check_fit(image, targets)
    if min(size) < 1:
        raise ValueError(f"size must be at least 1 x 1 pixel, got {size}.")

    def follow(some: Targets) -> Targets:
        masks = v2.resize(some.masks.to(torch.uint8), list(size),
                          interpolation=InterpolationMode.NEAREST_EXACT).bool()
        moved = Targets(scale_boxes(some.boxes, old, size), some.labels, masks)
        return _keep(moved, masks.flatten(1).any(dim=1))

    resized = v2.resize(image, list(size), antialias=True).clamp(0, 1)
    return resized, _change(targets, follow)


def crop(
    image: Tensor, targets: Targets, window: tuple[int, int, int, int], least_share: float = 0.1
) -> tuple[Tensor, Targets]:
    """Cut a window out of an image, with what is in it.

    Args:
        window: (x1, y1, x2, y2) in whole pixels, inside the image, with area.
        least_share: an object of whose mask less than this share is left is dropped. The others'
            boxes are cut at the window; where that took something, the box is drawn anew around
            what is left of the mask.

    Raises:
        ValueError: the window is not inside the image, or has no area.
    """
    height, width = _check_fit(image, targets)
    x1, y1, x2, y2 = window
    if not (0 <= x1 < x2 <= width and 0 <= y1 < y2 <= height):
        raise ValueError(f"The window {window} must be x1 < x2 and y1 < y2 inside an image of "
                         f"{height} x {width} pixels (height x width).")
    corner = (x1, y1, x1, y1)

    def cut(some: Targets) -> Targets:
        masks = some.masks[:, y1:y2, x1:x2]
        left, before = masks.flatten(1).sum(dim=1), some.masks.flatten(1).sum(dim=1)
        kept = (left > 0) & (left >= least_share * before)
        boxes = (some.boxes - some.boxes.new_tensor(corner))[kept]
        inside = clip_boxes(boxes, (y2 - y1, x2 - x1))
        masks = masks[kept]
        whole = (boxes == inside).all(dim=1)[:, None]
        return Targets(torch.where(whole, boxes, masks_to_boxes(masks)), some.labels[kept], masks)

    return image[:, y1:y2, x1:x2].contiguous(), _change(targets, cut)


def change_colours(
    image: Tensor, brightness: float = 1.0, contrast: float = 1.0, saturation: float = 1.0
) -> Tensor:
    """(3, H, W) in [0, 1] -> the same, each factor 1 for no change (torchvision's v2.adjust_*)."""
    image = v2.adjust_brightness(image, brightness)
    image = v2.adjust_contrast(image, contrast)
    return v2.adjust_saturation(image, saturation)


@dataclass(frozen=True)
class Augment:
    """How training images are changed by chance."""

    scale: tuple[float, float] | None = None  # both sides times a factor from here to there
    crop: int | None = None  # then a square window of this side, or as much as there is, in pixels
    colour: float = 0.0      # brightness, contrast, saturation times 1 - colour to 1 + colour

    def __post_init__(self):
        if self.scale is not None and not 0 < self.scale[0] <= self.scale[1]:
            raise ValueError(f"scale must be (low, high) with 0 < low <= high, got {self.scale}.")
        if self.crop is not None and self.crop < 1:
            raise ValueError(f"crop must be at least 1 pixel, got {self.crop}.")
        if not 0 <= self.colour < 1:
            raise ValueError(f"colour must be in [0, 1), got {self.colour}.")

    @property
    def nothing(self) -> bool:
        """Whether images stay as they are."""
        return self.scale is None and self.crop is None and self.colour == 0


def augment(
    image: Tensor, targets: Targets, how: Augment, generator: torch.Generator
) -> tuple[Tensor, Targets]:
    """An image and its targets, changed by chance as `how` says; objects cut off are dropped.

    Args:
        generator: draws scale, window and colours, always as many numbers; on the CPU.
    """
    size, right, down, *tones = torch.rand(6, generator=generator).tolist()
    if how.scale is not None:
        low, high = how.scale
        factor = low * (high / low) ** size  # as often twice as large as half as large
        new = tuple(max(1, round(side * factor)) for side in image.shape[1:])
        image, targets = resize(image, targets, new)
    if how.crop is not None:
        height, width = image.shape[1:]
        x1, y1 = (int(place * (max(0, side - how.crop) + 1))
                  for place, side in ((right, width), (down, height)))
        window = (x1, y1, min(width, x1 + how.crop), min(height, y1 + how.crop))
        image, targets = crop(image, targets, window)
    if how.colour:
        image = change_colours(image, *(1 + how.colour * (2 * tone - 1) for tone in tones))
    return image, targets
