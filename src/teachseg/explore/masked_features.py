"""A box, its mask, the features that the mask lets through, and the class that is read from them.

The mask can be spoiled by hand: blurred or hardened, moved, made weaker until it is empty. The
category stage then says of each what it holds.

Letters
    K     object classes; class 0 is background
    C, S  channels and side, in bins, of the features read from a box
    M     side of its mask, in bins

Boxes are (x1, y1, x2, y2) in image pixels. The length of a bin is that of its C features, taken as
a vector.

Lesson: 12
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import NamedTuple

import torch
from ipywidgets import Dropdown, FloatSlider, IntSlider, SelectionSlider
from torch import Tensor

from teachseg.checks import check_image, check_shape
from teachseg.explore import svg
from teachseg.explore.explorer import Explorer, Frame
from teachseg.layers.cascade import Categories, masked_features

SOURCES = {"model": "the model's mask", "truth": "the true mask", "all": "all of the box"}
SHARPNESS = (0.0, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 16.0)  # what logits are multiplied by
MASK_ON = 0.5      # from which value on a bin counts as on, in the captions
SURE = 0.001       # a true mask is taken for probabilities of 1 - SURE and SURE, so it has logits
PANEL, GAP, TITLE = 152, 16, 24
BAR = 18           # height of a class's bar with its gap
NAME, WORDS = 88, 80  # width of what stands before a bar, and after it

CategoryStage = Callable[[Tensor, Tensor], Categories]


@dataclass(frozen=True, eq=False)
class MaskedBox:
    """One box of an image, with all that does not change while its mask is spoiled."""

    image: Tensor         # (3, H, W) in [0, 1]
    box: Tensor           # (4,) in its pixels
    roi_features: Tensor  # (C, S, S)
    mask_logits: Tensor   # (M, M)
    truth: Tensor         # (M, M) in [0, 1], the object's mask in the box
    label: int            # the object's class in 1..K, 0 where there is none

    @cached_property
    def uri(self) -> str:
        """The image as a data: address, made once."""
        return svg.image_uri(self.image)

    @cached_property
    def longest(self) -> float:
        """The largest length of a bin: what the maps are drawn on the scale of."""
        return float(self.roi_features.norm(dim=0).max())

    @cached_property
    def features_uri(self) -> str:
        """The lengths of F_roi in colours, made once."""
        return _length_uri(self.roi_features, self.longest)


# ---- the mask -----------------------------------------------------------------------------------


def shift_bins(mask: Tensor, bins: int) -> Tensor:
    """(M, M) moved to the right by whole bins; what comes in from outside is 0.

    >>> shift_bins(torch.tensor([[1.0, 2.0, 3.0]]), 1)
    tensor([[0., 1., 2.]])
    """
    moved, width = torch.zeros_like(mask), mask.shape[1]
    if bins >= 0:
        moved[:, bins:] = mask[:, : max(width - bins, 0)]
    else:
        moved[:, :bins] = mask[:, -bins:]
    return moved


def spoil(logits: Tensor, sharpness: float, shift: int, strength: float) -> Tensor:
    """The mask that a category stage is given: strength * sigmoid(sharpness * logits), moved.

    Args:
        logits: (M, M).
        sharpness: 1 leaves the mask as it is, 0 makes it 1/2 everywhere, a large one hard.
        shift: bins to the right. strength: 1 leaves it as it is, 0 empties it.

    Returns:
        (M, M) in [0, 1].
    """
    return strength * shift_bins((sharpness * logits).sigmoid(), shift)


def source_logits(one: MaskedBox, source: str) -> Tensor:
    """(M, M) logits of the mask that is spoiled; of a true one, as if it were nearly sure."""
    if source == "model":
        return one.mask_logits
    wanted = one.truth if source == "truth" else torch.ones_like(one.truth)
    return wanted.clamp(SURE, 1 - SURE).logit()


def mask_fit(mask: Tensor, truth: Tensor) -> float:
    """IoU of the bins that are on; 0 where none is on in either."""
    on, real = mask >= MASK_ON, truth >= MASK_ON
    return float((on & real).sum()) / max(float((on | real).sum()), 1.0)


class Said(NamedTuple):
    """What a category stage makes of one mask."""

    masked: Tensor       # (C, S, S)
    class_probs: Tensor  # (K+1,), of the labels that count the mask


@torch.no_grad()
def category_of(category_stage: CategoryStage, one: MaskedBox, mask: Tensor) -> Said:
    """Mask the features of a box, and ask for its class.

    Args:
        mask: (M, M) in [0, 1].
    """
    features = one.roi_features[None]
    masked = masked_features(features, mask[None])
    said = category_stage(features, masked)
    return Said(masked[0], said.seg_class_logits[0].softmax(dim=0))


# ---- the picture --------------------------------------------------------------------------------


def _length_uri(features: Tensor, longest: float) -> str:
    """(C, S, S) features -> the length of each bin in colours, as a data: address."""
    shades = svg.shades(features.norm(dim=0), 0.0, longest).permute(2, 0, 1)
    return svg.image_uri(shades.float())


def _image_panel(one: MaskedBox, left: float) -> str:
    """The image and the box."""
    height, width = one.image.shape[1:]
    pixel = PANEL / max(height, width)
    edges = [left + one.box[0].item() * pixel, TITLE + one.box[1].item() * pixel,
             left + one.box[2].item() * pixel, TITLE + one.box[3].item() * pixel]
    return (svg.text(left, TITLE - 8, "image and box")
            + svg.underlay(one.uri, (left, TITLE, left + width * pixel, TITLE + height * pixel))
            + svg.box(edges, svg.PAPER, width=4) + svg.box(edges, svg.RED))


def _square_panel(uri: str, left: float, title: str) -> str:
    """A map of the box, as large as the others; its rim is the box's."""
    whole = (left, TITLE, left + PANEL, TITLE + PANEL)
    return (svg.text(left, TITLE - 8, title) + svg.underlay(uri, whole)
            + svg.box(whole, svg.RED))


def _mask_panel(one: MaskedBox, mask: Tensor, left: float) -> str:
    """The mask in colours, 0 dark and 1 bright, with the outline of the true one dashed."""
    uri = svg.image_uri(svg.shades(mask).permute(2, 0, 1).float())
    pixel = PANEL / mask.shape[0]
    real = one.truth >= MASK_ON
    return _square_panel(uri, left, "mask M (dashed: true)") + "".join(
        svg.mask(real, left, TITLE, pixel, shade, opacity=0, width=width, dashed=dashed)
        for shade, width, dashed in ((svg.PAPER, 3, False), (svg.INK, 1.5, True)))


def _bars(class_probs: Tensor, label: int, names: Sequence[str], left: float) -> str:
    """A bar for each class; the true one is marked by a word as well."""
    pieces = [svg.text(left, TITLE - 8, "class probability")]
    long = 4 * PANEL - NAME - WORDS
    for k, prob in enumerate(class_probs.tolist()):
        top = TITLE + k * BAR
        shade = svg.BLUE if k == label else svg.PALE
        edges = (left + NAME, top, left + NAME + long * prob, top + BAR - 4)
        words = f"{prob:.3f}" + (" (true)" if k == label else "")
        pieces += [svg.text(left, top + BAR - 7, _name(k, names), 11),
                   svg.box(edges, svg.INK, width=0.75, fill=shade),
                   svg.text(left + NAME + long * prob + 5, top + BAR - 7, words, 11)]
    return "".join(pieces)


def _name(label: int, names: Sequence[str]) -> str:
    return names[label - 1] if label else "background"


def masked_frame(
    boxes: Sequence[MaskedBox], category_stage: CategoryStage, names: Sequence[str],
    box: int = 0, source: str = "model", sharpness: float = 1.0, shift: int = 0,
    strength: float = 1.0,
) -> Frame:
    """Box, mask, features before and after it, and the class that is read from them.

    Args:
        category_stage: (roi features (1, C, S, S), masked ones) -> Categories.
        names: of classes 1..K.
        box: which one. source: a key of `SOURCES`. sharpness, shift, strength: as for `spoil`.
    """
    check_state(len(boxes), boxes[0].mask_logits.shape[0], box, source, sharpness, shift, strength)
    one = boxes[box]
    mask = spoil(source_logits(one, source), sharpness, shift, strength)
    said = category_of(category_stage, one, mask)
    left = [GAP + i * (PANEL + GAP) for i in range(4)]
    under = TITLE + PANEL + GAP
    pieces = [
        _image_panel(one, left[0]), _mask_panel(one, mask, left[1]),
        _square_panel(one.features_uri, left[2], "length of F_roi"),
        _square_panel(_length_uri(said.masked, one.longest), left[3], "length of F_roi * M"),
        svg.group(_bars(said.class_probs, one.label, names, left[0]), down=under),
    ]
    caption = _caption(one, mask, said, names, box, source, sharpness, shift, strength)
    bottom = under + TITLE + BAR * len(said.class_probs)
    return Frame(svg.picture(4 * (PANEL + GAP) + GAP, bottom, *pieces, label=caption), caption)


def _caption(
    one: MaskedBox, mask: Tensor, said: Said, names: Sequence[str], box: int, source: str,
    sharpness: float, shift: int, strength: float,
) -> str:
    """All that the picture says, in numbers."""
    whole = max(float(one.roi_features.norm()), 1e-12)
    kept = float(said.masked.norm()) / whole
    best = int(said.class_probs.argmax())
    probs = ", ".join(f"{_name(k, names)} {prob:.3f}"
                      for k, prob in enumerate(said.class_probs.tolist()))
    what = f"a true {_name(one.label, names)}" if one.label else "on no object"
    return (f"Box {box}, {what}; {SOURCES[source]}, sharpness {svg.number(sharpness)}, shift "
            f"{shift}, strength {svg.number(strength)}: mean {float(mask.mean()):.3f}, IoU with "
            f"the true one in the box {mask_fit(mask, one.truth):.3f}, {kept:.3f} of the features' "
            f"length is left. Likeliest: {_name(best, names)}; {probs}.")


# ---- at the door --------------------------------------------------------------------------------


def check_state(
    count: int, bins: int, box: int, source: str, sharpness: float, shift: int, strength: float
) -> None:
    """ValueError with a sentence that helps, unless a mask can be spoiled so."""
    if not 0 <= box < count:
        raise ValueError(f"box must be in 0..{count - 1}, got {box}.")
    if source not in SOURCES:
        raise ValueError(f"There is no mask {source!r}: choose one of {', '.join(SOURCES)}.")
    if not (math.isfinite(sharpness) and sharpness >= 0):
        raise ValueError(f"sharpness must be 0 or more, got {sharpness}: below 0 object and "
                         "background would change places.")
    if not -bins <= shift <= bins:
        raise ValueError(f"shift must be in {-bins}..{bins} bins, the mask's own width, got "
                         f"{shift}.")
    if not 0 <= strength <= 1:
        raise ValueError(f"strength must be in 0..1, got {strength}.")


def check_boxes(boxes: Sequence[MaskedBox], names: Sequence[str]) -> None:
    """ValueError unless there is a box, and each has what its letters say."""
    if not boxes:
        raise ValueError("explore_masked_features needs at least one MaskedBox(image, box, "
                         "roi_features, mask_logits, truth, label), got none.")
    for i, one in enumerate(boxes):
        check_image(one.image)
        check_shape(one.roi_features, "C S S", f"boxes[{i}].roi_features")
        check_shape(one.mask_logits, "M M", f"boxes[{i}].mask_logits")
        if one.truth.shape != one.mask_logits.shape:
            raise ValueError(f"boxes[{i}].truth is {tuple(one.truth.shape)}, its mask_logits "
                             f"{tuple(one.mask_logits.shape)}: crop the true mask at the same M.")
        if not 0 <= one.label <= len(names):
            raise ValueError(f"boxes[{i}].label is {one.label}, and there are {len(names)} names: "
                             f"it must be in 0..{len(names)}.")


# ---- the explorer -------------------------------------------------------------------------------


def explore_masked_features(
    boxes: Sequence[MaskedBox], category_stage: CategoryStage, names: Sequence[str]
) -> Explorer:
    """Sliders that spoil the mask of a box, and the class that is then read from it.

    Args:
        boxes: made once, before the sliders move: only the category stage runs again. All with
            masks of the same M.
        category_stage: (roi features (1, C, S, S), masked ones) -> Categories.
        names: of classes 1..K.
    """
    boxes = list(boxes)
    check_boxes(boxes, names)
    bins = boxes[0].mask_logits.shape[0]
    return Explorer(
        partial(masked_frame, boxes, category_stage, tuple(names)),
        box=IntSlider(0, min=0, max=len(boxes) - 1, description="box"),
        source=Dropdown(options=[(words, key) for key, words in SOURCES.items()], value="model",
                        description="mask"),
        sharpness=SelectionSlider(options=SHARPNESS, value=1.0, description="sharpness (times)"),
        shift=IntSlider(0, min=-bins, max=bins, description="shift (bins right)"),
        strength=FloatSlider(1.0, min=0, max=1, step=0.05, description="strength, 0: empty"),
    )
