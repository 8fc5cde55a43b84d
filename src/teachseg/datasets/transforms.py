"""Changing an image and its targets together, so that they still fit each other.

Letters
    G     objects in the image
    H, W  height and width of the image, in pixels

Boxes are (x1, y1, x2, y2) in pixel edges: the image runs from 0 to W, so a mirrored edge is W - x
(with x2 naming the last pixel inside it would be W - 1 - x, and boxes would drift by one).

Lesson: 22
"""

from torch import Tensor

from teachseg.checks import check_shape
from teachseg.structures import Targets


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
    check_shape(image, "3 H W", "image")
    check_shape(targets.boxes, "G 4", "targets.boxes")
    if targets.masks.shape[1:] != image.shape[1:]:
        raise ValueError(f"targets.masks are {tuple(targets.masks.shape[1:])} but the image is "
                         f"{tuple(image.shape[1:])}: masks are as large as their image.")
    boxes = targets.boxes.clone()
    boxes[:, [0, 2]] = image.shape[2] - targets.boxes[:, [2, 0]]  # the far edge is now the near one
    return image.flip(2), Targets(boxes, targets.labels, targets.masks.flip(2))
