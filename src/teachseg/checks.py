"""Checks at the public doors: what was expected, what came, how to mend it.

A check that reads values (not only shapes) of a tensor on an accelerator would make the processor
wait for it; such values are checked where the data enter, on the CPU, and passed over elsewhere.

Lesson: 01
"""

import torch
from torch import Tensor

from teachseg.structures import Targets


def reads_values(x: Tensor) -> bool:
    """Whether a check may look at the values of `x`, and not only at its shape."""
    return x.device.type == "cpu"


def check_shape(x: Tensor, shape: str, name: str) -> None:
    """Raise ValueError unless `x` is a tensor of the shape that `shape` spells.

    Args:
        shape: one word an axis; a number must be met, a letter stands for any length: "N 4".

    >>> check_shape(torch.zeros(3, 4), "N 4", "boxes")
    """
    if not isinstance(x, Tensor):
        raise ValueError(
            f"{name} must be a torch tensor of shape ({shape}), got {type(x).__name__}. "
            f"Wrap it: torch.as_tensor({name})."
        )
    axes = shape.split()
    fits = x.ndim == len(axes) and all(
        not a.isdigit() or int(a) == n for a, n in zip(axes, x.shape)
    )
    if not fits:
        one = f" Only one? Pass {name}[None]." if x.ndim == len(axes) - 1 else ""
        raise ValueError(
            f"{name} must have the shape ({', '.join(axes)}), got {tuple(x.shape)}.{one}"
        )


def check_boxes(boxes: Tensor, name: str = "boxes", sides: bool = False) -> None:
    """Raise ValueError unless `boxes` is (N, 4) xyxy, finite, and with `sides` of positive area."""
    check_shape(boxes, "N 4", name)
    if not reads_values(boxes) or boxes.numel() == 0:
        return
    finite = boxes.isfinite()
    if not bool(finite.all()):
        first = int((~finite).any(dim=1).nonzero()[0])
        raise ValueError(
            f"{name}[{first}] = {boxes[first].tolist()} is not finite: a box needs four "
            "ordinary numbers. Look for a division by zero or a learning rate too high "
            "where it was made."
        )
    if not sides:
        return
    flat = (boxes[:, 2:] <= boxes[:, :2]).any(dim=1).nonzero().flatten()
    if len(flat):
        first = int(flat[0])
        raise ValueError(
            f"{name}[{first}] = {boxes[first].tolist()} has no area: it needs x1 < x2 and "
            "y1 < y2. Are these (x, y, width, height)? Then convert them with from_xywh()."
        )


def check_image(image: Tensor, name: str = "image") -> None:
    """Raise ValueError unless `image` is (3, H, W) float, finite, in [0, 1], at least 1 x 1."""
    if not isinstance(image, Tensor):
        raise ValueError(
            f"{name} must be a torch tensor (3, H, W), got {type(image).__name__}. "
            "A picture file is read with teachseg.datasets.pictures.read_image."
        )
    if image.ndim != 3 or image.shape[0] != 3:
        what = f"got {tuple(image.shape)}."
        if image.ndim == 3 and image.shape[2] == 3:
            what += " The channels come last: pass image.permute(2, 0, 1)."
        elif image.ndim == 4:
            what += " A batch is a list of images: pass list(images)."
        elif image.ndim == 2 or image.shape[0] == 1:
            what += " It is grey: repeat it, image.expand(3, -1, -1)."
        elif image.shape[0] == 4:
            what += " It has an alpha channel: drop it, image[:3]."
        raise ValueError(f"{name} must be (3, height, width), {what}")
    if image.shape[1] == 0 or image.shape[2] == 0:
        raise ValueError(f"{name} must have at least one pixel, got {tuple(image.shape)}.")
    if not image.is_floating_point():
        raise ValueError(
            f"{name} must be float in [0, 1], got {image.dtype}. "
            "Bytes become floats by image.float() / 255."
        )
    if not reads_values(image):
        return
    low, high = image.aminmax()
    if not (torch.isfinite(low) and torch.isfinite(high)):
        raise ValueError(f"{name} holds values that are not finite. Look where it was made.")
    if low < -1e-3 or high > 1 + 1e-3:
        raise ValueError(
            f"{name} must be in [0, 1], its values run from {float(low):.3g} to "
            f"{float(high):.3g}. Bytes are divided by 255; normalising belongs to the model."
        )


def check_images(images: list[Tensor]) -> None:
    """Raise ValueError unless `images` is a non-empty list of what `check_image` lets pass."""
    if isinstance(images, Tensor):
        raise ValueError(
            "images must be a list of (3, H, W) tensors, got one tensor "
            f"{tuple(images.shape)}. Pass [image], or list(images)."
        )
    if len(images) == 0:
        raise ValueError("images is an empty list: pass at least one image.")
    for i, image in enumerate(images):
        check_image(image, f"images[{i}]")


def check_targets(targets: list[Targets], images: list[Tensor], num_classes: int) -> None:
    """Raise ValueError unless every image has Targets that fit it.

    Args:
        num_classes: K; labels must be in 1..K.
    """
    if len(targets) != len(images):
        raise ValueError(
            f"There are {len(images)} images but {len(targets)} targets: pass one Targets "
            "an image, Targets.empty(image_size) where there is no object."
        )
    for i, (target, image) in enumerate(zip(targets, images)):
        if not isinstance(target, Targets):
            raise ValueError(
                f"targets[{i}] must be teachseg.structures.Targets, got {type(target).__name__}. "
                "From a dict: Targets(d['boxes'], d['labels'], d['masks'].bool())."
            )
        boxes, labels, masks = target.boxes, target.labels, target.masks
        check_boxes(boxes, f"targets[{i}].boxes", sides=True)
        if not (len(boxes) == len(labels) == len(masks)):
            raise ValueError(
                f"targets[{i}] has {len(boxes)} boxes, {len(labels)} labels and "
                f"{len(masks)} masks: it needs one of each for every object."
            )
        if masks.shape[1:] != image.shape[1:]:
            raise ValueError(
                f"targets[{i}].masks are {tuple(masks.shape[1:])} but images[{i}] is "
                f"{tuple(image.shape[1:])}: masks are as large as their image."
            )
        if reads_values(labels) and len(labels):
            low, high = int(labels.min()), int(labels.max())
            if low < 1 or high > num_classes:
                raise ValueError(
                    f"targets[{i}].labels run from {low} to {high}, but this model knows "
                    f"1..{num_classes}: 0 is background and never a label. Labels that "
                    "start at 0 need + 1; or build the model with more classes."
                )
