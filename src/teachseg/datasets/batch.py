"""From single images to a batch: lists for the model, one padded tensor for the network.

Letters
    N       images in the batch
    H, W    height and width of one image, in pixels
    Hp, Wp  height and width of the batch: the largest image, rounded up

Padding goes to the right and the bottom, so that boxes (xyxy, pixel edges) stay as they are.

Lesson: 22
"""

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from teachseg.structures import Targets, crowd_of, with_crowd


class Batch:
    """N images and their targets on one device, of which nothing else takes a look inside.

    (Libraries that move nested tuples make new ones, and would lose what targets carry besides
    their fields: crowd regions.)
    """

    def __init__(self, images: list[Tensor], targets: list[Targets]):
        self.images, self.targets = images, targets

    def __iter__(self) -> Iterator[list]:
        return iter((self.images, self.targets))

    def pin_memory(self) -> "Batch":
        """In memory from which a GPU can fetch it while both work; a DataLoader calls it."""
        targets = [with_crowd(*(Targets(*(part.pin_memory() for part in some))
                                for some in (target, crowd_of(target)))) for target in self.targets]
        return Batch([image.pin_memory() for image in self.images], targets)

    def to(self, device: torch.device | str) -> "Batch":
        """On another device; from pinned memory without waiting for it."""
        def move(some: Targets) -> Targets:
            return Targets(*(part.to(device, non_blocking=True) for part in some))

        targets = [with_crowd(move(target), move(crowd_of(target))) for target in self.targets]
        return Batch([image.to(device, non_blocking=True) for image in self.images], targets)


def collate(items: Sequence[tuple[Tensor, Targets]]) -> Batch:
    """N items of a dataset -> their images and their targets, as two lists of N.

    >>> images, targets = collate([(torch.zeros(3, 8, 8), Targets.empty((8, 8)))])
    >>> len(images), len(targets)
    (1, 1)

    Raises:
        ValueError: no items, or one that is not an (image, Targets) pair.
    """
    if len(items) == 0:
        raise ValueError("There is nothing to put into a batch: pass one (image, Targets) or more.")
    for i, item in enumerate(items):
        if not isinstance(item, tuple) or isinstance(item, Targets) or len(item) != 2:
            raise ValueError(f"items[{i}] must be an (image, Targets) pair, got a "
                             f"{type(item).__name__}. A dataset's [i] returns both.")
    images, targets = zip(*items)
    return Batch(list(images), list(targets))


def resized_size(
    size: tuple[int, int], min_side: int | None, max_side: int
) -> tuple[int, int]:
    """(height, width) with the shorter side min_side, or less where the longer one would exceed
    max_side; None: as it is.

    >>> resized_size((480, 640), 800, 1333), resized_size((240, 640), 800, 1333)
    ((800, 1066), (499, 1333))
    """
    if min_side is None:
        return size
    scale = min(min_side / min(size), max_side / max(size))
    return max(1, int(size[0] * scale)), max(1, int(size[1] * scale))


def resize(image: Tensor, min_side: int | None, max_side: int) -> Tensor:
    """(3, H, W) -> the size that `resized_size` says, linear between the pixels' middles."""
    size = resized_size((image.shape[1], image.shape[2]), min_side, max_side)
    if min_side is None:
        return image
    return F.interpolate(image[None], size=size, mode="bilinear", align_corners=False)[0]


def _check_batch(images: Sequence[Tensor], multiple_of: int) -> None:
    """Raise ValueError unless the images can stand in one tensor; reads shapes, not values."""
    if isinstance(images, Tensor) or len(images) == 0:
        what = "one tensor" if isinstance(images, Tensor) else "an empty list"
        raise ValueError(f"images must be a list of at least one (3, H, W) tensor, got {what}. "
                         "Pass [image], or list(images).")
    if not isinstance(multiple_of, int) or multiple_of < 1:
        raise ValueError(f"multiple_of must be a whole number of pixels >= 1, got {multiple_of!r}.")
    first = images[0]
    for i, image in enumerate(images):
        if image.ndim != 3 or image.shape[0] != 3 or image.numel() == 0:
            raise ValueError(f"images[{i}] must be (3, height, width) with at least one pixel, "
                             f"got {tuple(image.shape)}.")
        if image.dtype != first.dtype or image.device != first.device:
            raise ValueError(f"images[{i}] is {image.dtype} on {image.device}, images[0] is "
                             f"{first.dtype} on {first.device}: a batch has one of each. "
                             "Convert with image.to(images[0]).")


def batch_images(
    images: Sequence[Tensor], multiple_of: int = 32
) -> tuple[Tensor, list[tuple[int, int]]]:
    """Images of any sizes in one tensor, zeros to the right of and below the smaller ones.

    Args:
        images: N of (3, H, W), one dtype, one device.
        multiple_of: Hp and Wp are the next multiple of it, in pixels; the network's largest stride,
            so that every feature map has whole cells.

    Returns:
        (N, 3, Hp, Wp), and the N image sizes as (H, W).

    Raises:
        ValueError: no images, or of another shape, or of mixed dtypes or devices.

    >>> import torch
    >>> batch, sizes = batch_images([torch.ones(3, 20, 40), torch.ones(3, 33, 8)])
    >>> tuple(batch.shape), sizes
    ((2, 3, 64, 64), [(20, 40), (33, 8)])
    """
    _check_batch(images, multiple_of)
    sizes = [(image.shape[1], image.shape[2]) for image in images]
    height, width = (-(-max(sides) // multiple_of) * multiple_of for sides in zip(*sizes))
    batch = images[0].new_zeros(len(images), 3, height, width)
    for i, (image, (h, w)) in enumerate(zip(images, sizes)):
        batch[i, :, :h, :w] = image
    return batch, sizes
