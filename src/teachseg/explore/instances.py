"""What is there beside what was found: masks of a scene, as two thresholds move.

Letters
    D, G  detections and objects of one scene
    H, W  height and width of an image, in pixels

Boxes are (x1, y1, x2, y2) in image pixels.

Lesson: 00, 22
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import NamedTuple

from ipywidgets import FloatSlider, IntSlider
from torch import Tensor

from teachseg.checks import check_image, check_shape
from teachseg.explore import svg
from teachseg.explore.explorer import Explorer, Frame
from teachseg.geometry.masks import mask_iou
from teachseg.plot import colour
from teachseg.structures import Detections, Targets

PANEL = 224       # width of one picture
GAP, TITLE = 16, 24
RIGHT_IOU = 0.5   # mask IoU from which on a detection is right about an object of its class


@dataclass(frozen=True, eq=False)
class Scene:
    """One image, what is there, and what a model says with its masks not yet cut."""

    image: Tensor          # (3, H, W) in [0, 1]
    targets: Targets
    detections: Detections
    mask_probs: Tensor     # (D, H, W) in [0, 1], of the detections

    @cached_property
    def uri(self) -> str:
        """The image as a data: address, made once."""
        return svg.image_uri(self.image)

    def at(self, score: float, mask_threshold: float) -> Detections:
        """The detections that score at least so much, with masks cut at this probability."""
        keep = self.detections.scores >= score
        masks = self.mask_probs[keep] >= max(mask_threshold, 1e-6)  # 0 would take every pixel
        return Detections(*(part[keep] for part in self.detections[:3]), masks)


class Count(NamedTuple):
    """How a list of detections fares."""

    right: int       # lie on an object of their class that no better-scored one has taken
    wrong: int
    missed: int      # objects that nothing is right about
    fit: float       # mean mask IoU of the right ones; 0 without any


def count_right(
    detections: Detections, targets: Targets, iou_threshold: float = RIGHT_IOU
) -> Count:
    """Best score first, each detection takes the object of its class that it fits best.

    It is right if that object is not taken yet and the mask IoU is at least `iou_threshold`.
    """
    ious = mask_iou(detections.masks, targets.masks)
    ious = ious * (detections.labels[:, None] == targets.labels)
    taken, fits = set(), []
    for row in ious:
        best = int(row.argmax()) if len(row) else -1
        if best >= 0 and float(row[best]) >= iou_threshold and best not in taken:
            taken.add(best)
            fits.append(float(row[best]))
    right = len(fits)
    return Count(right, len(detections.labels) - right, len(targets.labels) - right,
                 sum(fits) / max(right, 1))


def instances_frame(
    scenes: Sequence[Scene], names: Sequence[str], scene: int, score: float, mask_threshold: float,
) -> Frame:
    """The truth, and what is found at these thresholds.

    Args:
        names: of classes 1..K.
        scene: which one. score: detections with less are left out, in [0, 1].
        mask_threshold: a pixel is an object's from this probability on, in (0, 1].
    """
    if not 0 <= scene < len(scenes):
        raise ValueError(f"scene must be in 0..{len(scenes) - 1}, got {scene}.")
    for name, value in (("score", score), ("mask_threshold", mask_threshold)):
        if not 0 <= value <= 1:
            raise ValueError(f"{name} must be in 0..1, got {svg.number(value)}.")
    one = scenes[scene]
    found = one.at(score, mask_threshold)
    count = count_right(found, one.targets)
    caption = (
        f"Scene {scene}, score at least {svg.number(score)}, mask from {svg.number(mask_threshold)}"
        f" on: {len(found.labels)} detections, {count.right} right, {count.wrong} wrong; "
        f"{count.missed} of {len(one.targets.labels)} objects missed; "
        f"mean mask IoU of the right ones {count.fit:.3f}.")
    return beside(one.uri, one.targets, found, names, caption)


def beside(
    uri: str, targets: Targets, found: Detections, names: Sequence[str], caption: str
) -> Frame:
    """What is there and what is found, on the same image.

    Args:
        uri: of the image, a data: address. names: of classes 1..K.
    """
    panels = [_panel(uri, GAP, "what is there", targets, names),
              _panel(uri, 2 * GAP + PANEL, "what is found", found, names)]
    high = PANEL * targets.masks.shape[1] / targets.masks.shape[2]
    return Frame(svg.picture(2 * (PANEL + GAP) + GAP, TITLE + high + GAP, *panels, label=caption),
                 caption)


def _panel(
    uri: str, left: float, title: str, objects: Targets | Detections, names: Sequence[str]
) -> str:
    """The image under its objects: masks, boxes, names, and scores where there are some."""
    height, width = objects.masks.shape[1:]
    pixel = PANEL / width
    pieces = [svg.text(left, TITLE - 8, title),
              svg.underlay(uri, (left, TITLE, left + PANEL, TITLE + height * pixel))]
    scores = getattr(objects, "scores", None)
    for i, (box, label) in enumerate(zip(objects.boxes.tolist(), objects.labels.tolist())):
        shade, (x, y) = colour(label), (left + box[0] * pixel, TITLE + box[1] * pixel)
        words = names[label - 1] + ("" if scores is None else f" {float(scores[i]):.2f}")
        edges = (x, y, left + box[2] * pixel, TITLE + box[3] * pixel)
        at = max(y - 3, TITLE + 9)
        wide = 6 * len(words) + 4
        pieces += [svg.mask(objects.masks[i], left, TITLE, pixel, shade), svg.box(edges, shade),
                   svg.box((x, at - 9, x + wide, at + 3), shade, fill=svg.PAPER, width=1),
                   svg.text(x + 2, at, words, 9)]
    return "".join(pieces)


def explore_instances(scenes: Sequence[Scene], names: Sequence[str]) -> Explorer:
    """Sliders over the scene, the score and the mask threshold.

    Args:
        scenes: made once, before the sliders move: the model does not run again.
        names: of classes 1..K.
    """
    if not scenes:
        raise ValueError("explore_instances needs at least one Scene(image, targets, detections, "
                         "mask_probs), got none.")
    for i, one in enumerate(scenes):
        check_image(one.image)
        check_shape(one.mask_probs, "D H W", f"scenes[{i}].mask_probs")
        if len(one.mask_probs) != len(one.detections.labels):
            raise ValueError(f"scenes[{i}] has {len(one.detections.labels)} detections but "
                             f"{len(one.mask_probs)} mask_probs: give one for each.")
    return Explorer(
        partial(instances_frame, list(scenes), tuple(names)),
        scene=IntSlider(0, min=0, max=len(scenes) - 1, description="scene"),
        score=FloatSlider(0.5, min=0, max=1, step=0.05, description="score at least"),
        mask_threshold=FloatSlider(0.5, min=0.05, max=0.95, step=0.05,
                                   description="mask threshold"),
    )
