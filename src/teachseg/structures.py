"""What travels between the parts: Targets, Proposals, Detections.

Letters
    G     ground-truth objects in one image
    P     proposals of one image
    D     detections in one image
    H, W  height and width of the image, in pixels

Boxes are (x1, y1, x2, y2) in pixel edges: pixel i covers [i, i + 1), a width is x2 - x1.
Class 0 is background, objects are 1..K.

Lesson: 01
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Targets(NamedTuple):
    """What is really in one image."""

    boxes: Tensor  # (G, 4) float32 xyxy, image pixels
    labels: Tensor  # (G,) int64 in 1..K
    masks: Tensor  # (G, H, W) bool

    def to(self, device: torch.device | str) -> "Targets":
        """The same targets on another device."""
        return Targets(*(part.to(device) for part in self))

    @classmethod
    def empty(cls, image_size: tuple[int, int]) -> "Targets":
        """No object in an image of (height, width): every field its shape, with a zero in it."""
        return Targets(
            torch.zeros(0, 4),
            torch.zeros(0, dtype=torch.int64),
            torch.zeros(0, *image_size, dtype=torch.bool),
        )


class TargetsWithCrowd(Targets):
    """Targets of an image with regions of many objects that nobody told apart (COCO's iscrowd).

    The three fields hold the single objects, as ever. The regions are in `crowd`, as Targets of
    their own: what lies in them is neither an object nor background, in training and in testing.
    `_replace` changes the objects alone; what makes new Targets says what becomes of the crowd, see
    `with_crowd`.
    """

    crowd: Targets

    def _replace(self, **changes: torch.Tensor) -> "Targets":
        return with_crowd(Targets(*self)._replace(**changes), self.crowd)

    def to(self, device: torch.device | str) -> "Targets":
        """The same targets on another device, the crowd too."""
        return with_crowd(Targets(*self).to(device), self.crowd.to(device))


def with_crowd(targets: Targets, crowd: Targets) -> Targets:
    """Targets beside regions to be ignored; plain ones where there is no such region."""
    if len(crowd.labels) == 0:
        return Targets(*targets)
    both = TargetsWithCrowd(*targets)
    both.crowd = Targets(*crowd)
    return both


def crowd_of(targets: Targets) -> Targets:
    """The regions of many objects in an image; none in plain Targets."""
    if isinstance(targets, TargetsWithCrowd):
        return targets.crowd
    return Targets(targets.boxes[:0], targets.labels[:0], targets.masks[:0])


class Proposals(NamedTuple):
    """Where the RPN sees some object in one image, best first."""

    boxes: Tensor  # (P, 4) float32 xyxy, image pixels, inside the image
    scores: Tensor  # (P,) objectness in [0, 1]


class Detections(NamedTuple):
    """What a model says is in one image, best first."""

    boxes: Tensor  # (D, 4) float32 xyxy, image pixels, inside the image
    labels: Tensor  # (D,) int64 in 1..K
    scores: Tensor  # (D,) float32 in [0, 1], falling
    masks: Tensor  # (D, H, W) bool

    def to(self, device: torch.device | str) -> "Detections":
        """The same detections on another device."""
        return Detections(*(part.to(device) for part in self))

    def above(self, score: float) -> "Detections":
        """Only the detections that score at least `score`."""
        keep = self.scores >= score
        return Detections(*(part[keep] for part in self))

    @classmethod
    def empty(cls, image_size: tuple[int, int]) -> "Detections":
        """Nothing found in an image of (height, width)."""
        none = Targets.empty(image_size)
        return cls(none.boxes, none.labels, torch.zeros(0), none.masks)
