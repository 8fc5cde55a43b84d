"""One box through MNC's mask stage: what is read from it, the mask answered, the mask asked for.

Letters
    P     boxes of one scene
    C, S  channels, and side in bins, of the block that is read from a box
    M     side of the model's masks, in bins: fixed when it was built
    m     side of the mask asked for, in bins: free, to see what a finer or coarser one could say

Boxes are (x1, y1, x2, y2) in image pixels.

Lesson: 11
"""

from dataclasses import dataclass
from functools import cached_property, partial

import torch
from ipywidgets import FloatSlider, IntSlider, SelectionSlider
from torch import Tensor

from teachseg.checks import check_boxes, check_image, check_shape
from teachseg.explore import svg
from teachseg.explore.explorer import Explorer, Frame
from teachseg.geometry.masks import crop_masks, mask_iou, paste_masks
from teachseg.learning.targets import BoxLabels, label_boxes
from teachseg.papers import mnc
from teachseg.structures import Targets

PANEL = 200               # side of one drawing in the picture
GAP, TITLE = 16, 24
SIDES = (7, 14, 21, 28, 56)  # choices of m
POSITIVE_IOU = 0.5        # with an object's box, from which on a box is asked for its mask
BINARIZE = 0.5            # share of a bin from which on the mask asked for has it on


@dataclass(frozen=True, eq=False)
class MaskScene:
    """One image, what is there, and what the mask stage made of some boxes."""

    image: Tensor         # (3, H, W) in [0, 1]
    targets: Targets
    boxes: Tensor         # (P, 4)
    roi_features: Tensor  # (P, C, S, S)
    mask_probs: Tensor    # (P, M, M) in [0, 1]

    def __post_init__(self):
        check_image(self.image)
        check_boxes(self.boxes)
        check_shape(self.roi_features, "P C S S", "roi_features")
        check_shape(self.mask_probs, "P M M", "mask_probs")
        if self.mask_probs.shape[1] != self.mask_probs.shape[2]:
            raise ValueError("mask_probs must be (P, M, M), as high as wide, got "
                             f"{tuple(self.mask_probs.shape)}.")
        counts = (len(self.boxes), len(self.roi_features), len(self.mask_probs))
        if len(set(counts)) > 1 or not counts[0]:
            raise ValueError("At least one box is needed, with a block of features and a mask for "
                             f"each; got {counts[0]} boxes, {counts[1]} blocks, {counts[2]} masks.")

    @cached_property
    def uri(self) -> str:
        """The image as a data: address, made once."""
        return svg.image_uri(self.image)

    @cached_property
    def found(self) -> BoxLabels:
        """Which object each box answers for."""
        return label_boxes(self.boxes, self.targets, POSITIVE_IOU)

    @cached_property
    def lengths(self) -> Tensor:
        """(P, S, S) length of the feature vector of each bin; the longest of a box is 1."""
        lengths = self.roi_features.norm(dim=1)
        return lengths / lengths.amax(dim=(1, 2), keepdim=True).clamp(min=1e-9)

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.image.shape[1], self.image.shape[2]


@torch.inference_mode()
def look(
    model: mnc.MNC, image: Tensor, targets: Targets, boxes: Tensor | None = None, most: int = 12
) -> MaskScene:
    """Run a cascade up to its mask stage.

    Args:
        image: (3, H, W) in [0, 1], of a size that the model does not resize.
        boxes: (P, 4) to look into; None: those of the objects, then the model's proposals, best
            first, `most` of them.
    """
    walk = mnc.walk(model, [image])
    gave = next(walk)[1]
    size = tuple(gave["batch"].shape[-2:])
    if size != tuple(image.shape[1:]):
        raise ValueError(f"The model sees this image of {tuple(image.shape[1:])} pixels as one of "
                         f"{size}, so boxes would mean two things. Give it an image that it "
                         "neither resizes nor pads.")
    if boxes is None:
        proposals = next(walk)[1]["proposals"][0].boxes[:most]
        boxes = torch.cat([targets.boxes, proposals])
    inside = mnc.look_inside(model, gave["features"], [boxes])
    return MaskScene(image, targets, boxes, inside.roi_features, inside.mask_logits.sigmoid())


def best_possible(mask: Tensor, box: Tensor, m: int) -> tuple[Tensor, float]:
    """What m x m bins can say about a mask at best.

    Args:
        mask: (H, W) bool. box: (4,).

    Returns:
        (m, m) bool, the bins that the mask covers at least half; and the IoU in [0, 1] with the
        mask when they are pasted back over the box.
    """
    bins = crop_masks(mask[None], box[None], m) >= BINARIZE
    size = (mask.shape[0], mask.shape[1])
    pasted = paste_masks(bins.float(), box[None].float(), size) >= BINARIZE
    return bins[0], float(mask_iou(pasted, mask[None]))


def check_state(scene: MaskScene, box: int, mask_threshold: float, m: int) -> None:
    """ValueError unless the state can be shown."""
    if not 0 <= box < len(scene.boxes):
        raise ValueError(f"box must be in 0..{len(scene.boxes) - 1}, got {box}.")
    if not 0 < mask_threshold <= 1:
        raise ValueError("mask_threshold must be above 0 and at most 1, got "
                         f"{svg.number(mask_threshold)}.")
    if not (isinstance(m, int) and m >= 1):
        raise ValueError(f"m must be a whole number of at least 1, got {m}. The paper takes 28.")


def mask_stage_frame(scene: MaskScene, box: int, mask_threshold: float, m: int) -> Frame:
    """The image with box, truth and pasted mask; the block read; the mask answered and asked for.

    Args:
        box: which of the scene's. mask_threshold: a pixel is the object's from this probability on,
            in (0, 1]. m: side of the mask asked for; the model's own side does not change.
    """
    check_state(scene, box, mask_threshold, m)
    probs, edges = scene.mask_probs[box], scene.boxes[box]
    on = probs >= mask_threshold
    pasted = paste_masks(probs[None], edges[None], scene.image_size)[0] >= mask_threshold
    asked, truth = None, None
    words = _where(scene, box)
    words += (f"At threshold {svg.number(mask_threshold)}, {int(on.sum())} of {on.numel()} bins "
              f"are on and {int(pasted.sum())} pixels")
    if len(scene.targets.masks):
        truth = scene.targets.masks[scene.found.matched[box]]
        asked, limit = best_possible(truth, edges, m)
        words += (f", IoU with the object {float(mask_iou(pasted[None], truth[None])):.3f}. At "
                  f"m = {m}, {int(asked.sum())} of {m * m} bins are asked for, which pasted back "
                  f"reach {limit:.3f}.")
    else:
        words += ". There is no object in the image."
    pieces = [_image_panel(scene, box, pasted, truth, GAP),
              _map_panel(scene.lengths[box], f"features read, {scene.lengths.shape[1]} x "
                         f"{scene.lengths.shape[2]}", 2 * GAP + PANEL),
              _map_panel(probs, f"answered, {len(probs)} x {len(probs)}", 3 * GAP + 2 * PANEL, on),
              _asked_panel(asked, m, 4 * GAP + 3 * PANEL),
              svg.legend([("solid", svg.INK, "the box"), ("dashed", svg.ORANGE, "the object")],
                         GAP, TITLE + PANEL + 18),
              svg.legend([("solid", svg.BLUE, "mask from the threshold on")],
                         3 * GAP + 2 * PANEL, TITLE + PANEL + 18)]
    drawing = svg.picture(4 * (PANEL + GAP) + GAP, TITLE + PANEL + 48, *pieces, label=words)
    return Frame(drawing, words)


def _where(scene: MaskScene, box: int) -> str:
    """The caption's first sentence: which box, and on which object."""
    x1, y1, x2, y2 = map(svg.number, scene.boxes[box].tolist())
    words = f"Box {box} of {len(scene.boxes)}, ({x1}, {y1}) to ({x2}, {y2})"
    if not len(scene.targets.boxes):
        return words + ". "
    overlap, matched = float(scene.found.overlap[box]), int(scene.found.matched[box])
    words += f": box IoU {overlap:.2f} with object {matched}"
    if overlap < POSITIVE_IOU:
        words += f", so in training it would be asked for no mask (below {POSITIVE_IOU:g})"
    return words + ". "


def _image_panel(
    scene: MaskScene, box: int, pasted: Tensor, truth: Tensor | None, left: float
) -> str:
    """The image with the box, the object and the pasted mask."""
    height, width = scene.image_size
    pixel = PANEL / max(height, width)
    x1, y1, x2, y2 = scene.boxes[box].tolist()
    edges = (left + x1 * pixel, TITLE + y1 * pixel, left + x2 * pixel, TITLE + y2 * pixel)
    pieces = [svg.text(left, TITLE - 8, "image, mask pasted"),
              svg.underlay(scene.uri, (left, TITLE, left + width * pixel, TITLE + height * pixel)),
              svg.mask(pasted, left, TITLE, pixel, svg.BLUE, opacity=0.4)]
    if truth is not None:
        pieces += [svg.mask(truth, left, TITLE, pixel, svg.PAPER, opacity=0, width=3),
                   svg.mask(truth, left, TITLE, pixel, svg.ORANGE, opacity=0, width=2, dashed=True)]
    return "".join([*pieces, svg.box(edges, svg.PAPER, width=4), svg.box(edges, svg.INK)])


def _map_panel(values: Tensor, title: str, left: float, on: Tensor | None = None) -> str:
    """Values in [0, 1] as colours, dark to bright; a rim around those that are on."""
    uri = svg.image_uri(svg.shades(values).permute(2, 0, 1))
    edges = (left, TITLE, left + PANEL, TITLE + PANEL)
    rim = "" if on is None else (
        svg.mask(on, left, TITLE, PANEL / len(on), svg.PAPER, opacity=0, width=4)
        + svg.mask(on, left, TITLE, PANEL / len(on), svg.BLUE, opacity=0, width=2))
    return svg.text(left, TITLE - 8, title) + svg.underlay(uri, edges) + rim


def _asked_panel(asked: Tensor | None, m: int, left: float) -> str:
    """The mask asked for."""
    frame = svg.box((left, TITLE, left + PANEL, TITLE + PANEL), svg.PALE, width=1)
    title = svg.text(left, TITLE - 8, f"asked for, {m} x {m}")
    if asked is None:
        return title + frame
    return title + frame + svg.mask(asked, left, TITLE, PANEL / m, svg.ORANGE, opacity=0.6, width=1)


def explore_mask_stage(scene: MaskScene) -> Explorer:
    """Sliders over the box, the mask threshold and the side of the mask asked for.

    Args:
        scene: made once by `look`: the model does not run again.
    """
    return Explorer(
        partial(mask_stage_frame, scene),
        box=IntSlider(0, min=0, max=len(scene.boxes) - 1, description="box"),
        mask_threshold=FloatSlider(0.5, min=0.05, max=0.95, step=0.05,
                                   description="mask threshold"),
        m=SelectionSlider(options=SIDES, value=28, description="m asked for (bins)"),
    )
