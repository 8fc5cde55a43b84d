"""The masks of one roi, class by class: which one is taken, where it is cut, what it costs; and one
bin of it alone, where a sigmoid and a softmax can be compared.

Letters
    P  rois of one scene        K  object classes; channel 0 is background's
    M  side of a mask, in bins  k  the class of the object that a roi answers for
    c  the channel that is looked at
    z  a logit   t  what is asked of a bin, in [0, 1]   p  what is said, in (0, 1)

Boxes are (x1, y1, x2, y2) in image pixels.

Lesson: 21
"""

import math
from dataclasses import dataclass
from functools import cached_property, partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from ipywidgets import FloatSlider, IntSlider, SelectionSlider
from torch import Tensor

from teachseg.checks import check_boxes, check_image, check_shape
from teachseg.explore import svg
from teachseg.explore.explorer import Explorer, Frame
from teachseg.geometry.boxes import box_iou
from teachseg.geometry.masks import crop_masks, mask_iou, paste_masks
from teachseg.papers import mask_rcnn
from teachseg.structures import Targets

OVER = ("sigmoid", "softmax")  # each channel for itself, or all that compete for a bin
WIDE, GAP, TITLE = 728, 12, 20
MOST_TERM = 3.0     # loss of a bin that is drawn brightest
MARGIN = 0.25       # of the box's longer side, shown around it
POSITIVE_IOU = 0.5  # from which on a roi has a mask loss
STEEPEST = 6.0      # logits that are drawn
MOST_LOSS = 6.0     # losses that are drawn
LEFT, TOP, LONG, HIGH = 40, 34, 300, 210


@dataclass(frozen=True, eq=False)
class RoiMasks:
    """Some rois of one image, each with the object it answers for and all of its masks."""

    image: Tensor        # (3, H, W) in [0, 1]
    masks: Tensor        # (P, H, W) bool, the whole mask of each roi's object
    boxes: Tensor        # (P, 4)
    labels: Tensor       # (P,) int64 in 1..K, each roi's k
    mask_logits: Tensor  # (P, K+1, M, M)
    names: tuple[str, ...]  # of the K classes

    def __post_init__(self):
        check_image(self.image)
        check_boxes(self.boxes)
        check_shape(self.mask_logits, "P C M M", "mask_logits")
        counts = {len(part) for part in (self.masks, self.boxes, self.labels, self.mask_logits)}
        if counts != {len(self.boxes)} or not len(self.boxes):
            raise ValueError("At least one roi is needed, with an object's mask, a label and "
                             f"logits for each; got {len(self.boxes)} boxes, {len(self.masks)} "
                             f"masks, {len(self.labels)} labels, {len(self.mask_logits)} logits.")
        if self.mask_logits.shape[1] != len(self.names) + 1:
            raise ValueError(f"{len(self.names)} classes have {len(self.names) + 1} channels, "
                             f"background's among them; got {self.mask_logits.shape[1]}.")

    @cached_property
    def crops(self) -> Tensor:
        """(P, M, M) in [0, 1]: what each roi holds of its object's mask."""
        return crop_masks(self.masks, self.boxes, self.mask_logits.shape[-1])

    def channel(self, c: int) -> str:
        """A channel's number and name."""
        return f"{c} {('background', *self.names)[c]}"

    def probs(self, roi: int, over: str) -> Tensor:
        """(K+1, M, M) what the channels say of one roi."""
        logits = self.mask_logits[roi].float()
        return logits.softmax(dim=0) if over == "softmax" else logits.sigmoid()

    def terms(self, roi: int, c: int, over: str) -> Tensor:
        """(M, M) what each bin costs if channel c is held against the roi's target.

        With sigmoids, what c says against yes and no; with a softmax, against c and background.
        """
        logits, asked = self.mask_logits[roi].float(), self.crops[roi]
        if over == "softmax":
            log_probs = logits.log_softmax(dim=0)
            return -(asked * log_probs[c] + (1 - asked) * log_probs[0])
        return F.binary_cross_entropy_with_logits(logits[c], asked, reduction="none")


@torch.inference_mode()
def look(
    model: mask_rcnn.MaskRCNN, image: Tensor, targets: Targets, names: tuple[str, ...]
) -> RoiMasks:
    """Of every object the proposal that overlaps it most, if by half or more, and its masks.

    Args:
        image: (3, H, W) in [0, 1], of a size that the model does not resize.
        names: of the model's classes.
    """
    config = model.config
    seen = mask_rcnn.see(model, [image])
    if seen.sizes != seen.originals:
        raise ValueError(f"The model sees this image of {seen.originals[0]} pixels as one of "
                         f"{seen.sizes[0]}, so boxes would mean two things. Give it an image that "
                         "it does not resize.")
    proposals = mask_rcnn.propose_boxes(config, seen, config.pre_nms_test, config.post_nms_test)[0]
    overlap = box_iou(targets.boxes, proposals.boxes)
    if not overlap.numel() or not bool((overlap >= POSITIVE_IOU).any()):
        raise ValueError("No proposal of this image overlaps an object by half or more, so there "
                         "is no roi with a mask loss to show. Choose another image.")
    best, which = overlap.max(dim=1)
    own = (best >= POSITIVE_IOU).nonzero().flatten()
    boxes = proposals.boxes[which[own]]
    features = mask_rcnn.read_boxes(model, seen.levels, [boxes], config.mask_size)
    return RoiMasks(image, targets.masks[own], boxes, targets.labels[own],
                    model.mask_head(features), tuple(names))


# ---- all masks of one roi -----------------------------------------------------------------------


def masks_frame(seen: RoiMasks, roi: int, channel: int, mask_threshold: float, over: str) -> Frame:
    """Above all channels of a roi; below one of them pasted, cut, held against what is asked.

    Args:
        roi: which of the scene's. channel: c, 0 is background's. mask_threshold: in (0, 1].
        over: "sigmoid" or "softmax" over the channels of a bin.
    """
    count = seen.mask_logits.shape[1]
    if not 0 <= roi < len(seen.boxes):
        raise ValueError(f"roi must be in 0..{len(seen.boxes) - 1}, got {roi}.")
    if not 0 <= channel < count:
        raise ValueError(f"channel must be in 0..{count - 1}, got {channel}.")
    if not 0 < mask_threshold <= 1:
        raise ValueError("mask_threshold must be above 0 and at most 1, got "
                         f"{svg.number(mask_threshold)}.")
    if over not in OVER:
        raise ValueError(f"over must be one of {', '.join(OVER)}, got {over!r}.")
    k, probs = int(seen.labels[roi]), seen.probs(roi, over)
    both = over == "softmax" and channel == 0  # background is asked where the object is not
    on, terms = probs[channel] >= mask_threshold, seen.terms(roi, k if both else channel, over)
    size = (seen.image.shape[1], seen.image.shape[2])
    pasted = paste_masks(probs[channel][None], seen.boxes[roi][None], size)[0] >= mask_threshold
    iou = float(mask_iou(pasted[None], seen.masks[roi][None]))
    cost, own = float(terms.mean()), float(seen.terms(roi, k, over).mean())
    words = (f"Roi {roi} of {len(seen.boxes)} answers for a {seen.names[k - 1]}: k = {k}. Channel "
             f"{seen.channel(channel)}, {over}, cut at {mask_threshold:.2f}: {int(on.sum())} of "
             f"{on.numel()} bins on, {int(pasted.sum())} pixels, IoU with the object {iou:.3f}. ")
    words += (f"It is the k-th, so its {cost:.3f} is L_mask." if channel == k else
              f"It is asked where the object is not, channel {k} where it is: L_mask {own:.3f}."
              if both else
              f"It would cost {cost:.3f}, but is not asked: L_mask is that of channel {k}, "
              f"{own:.3f}.")
    thumb = (WIDE - GAP) / count - GAP
    second = TITLE + thumb + TITLE + 18
    side = (WIDE - GAP) / 4 - GAP
    pieces = _thumbs(seen, probs, channel, k, thumb)
    pieces += [_close_up(seen, roi, pasted, GAP, second, side),
               _panel(probs[channel], f"channel {channel}, cut", 2 * GAP + side, second, side,
                      rim=on),
               _panel(seen.crops[roi], "asked for", 3 * GAP + 2 * side, second, side),
               _panel(terms / MOST_TERM, f"loss of each bin, up to {MOST_TERM:g}",
                      4 * GAP + 3 * side, second, side),
               svg.legend([("solid", svg.INK, "the roi"), ("dashed", svg.ORANGE, "the object")],
                          GAP, second + side + 16, 18),
               svg.legend([("solid", svg.BLUE, "mask from the threshold on")],
                          2 * GAP + side, second + side + 16)]
    return Frame(svg.picture(WIDE, second + side + 44, *pieces, label=words), words)


def _thumbs(seen: RoiMasks, probs: Tensor, channel: int, k: int, side: float) -> list[str]:
    """All channels in a row; a thick rim around the one looked at, "k" over the one asked for."""
    pieces = []
    for c, values in enumerate(probs):
        left = GAP + c * (side + GAP)
        pieces.append(_panel(values, seen.channel(c), left, TITLE, side))
        if c == channel:
            pieces.append(svg.box((left - 3, TITLE - 3, left + side + 3, TITLE + side + 3),
                                  svg.RED, width=4))
        if c == k:
            pieces.append(svg.text(left + side / 2, TITLE + side + 15, "the k-th: asked", 11,
                                   "middle"))
    return pieces


def _panel(
    values: Tensor, title: str, left: float, top: float, side: float, rim: Tensor | None = None
) -> str:
    """Values in [0, 1] as colours, dark to bright; a rim around those that are on."""
    uri = svg.image_uri(svg.shades(values).permute(2, 0, 1))
    drawn = svg.text(left, top - 6, title, 11) + svg.underlay(uri, (left, top, left + side,
                                                                  top + side))
    if rim is None:
        return drawn
    pixel = side / len(rim)
    return (drawn + svg.mask(rim, left, top, pixel, svg.PAPER, opacity=0, width=4)
            + svg.mask(rim, left, top, pixel, svg.BLUE, opacity=0, width=2))


def _close_up(
    seen: RoiMasks, roi: int, pasted: Tensor, left: float, top: float, side: float
) -> str:
    """The image around the roi, with the pasted mask and the object."""
    height, width = seen.image.shape[1:]
    x1, y1, x2, y2 = seen.boxes[roi].tolist()
    reach = (0.5 + MARGIN) * max(x2 - x1, y2 - y1)
    x, y = (x1 + x2) / 2, (y1 + y2) / 2
    first, end = max(0, math.floor(x - reach)), min(width, math.ceil(x + reach))
    upper, lower = max(0, math.floor(y - reach)), min(height, math.ceil(y + reach))
    pixel = side / max(end - first, lower - upper)
    part = (slice(upper, lower), slice(first, end))
    right, down = left + (end - first) * pixel, top + (lower - upper) * pixel
    edges = (left + (x1 - first) * pixel, top + (y1 - upper) * pixel,
             left + (x2 - first) * pixel, top + (y2 - upper) * pixel)
    truth = seen.masks[roi][part]
    return "".join([
        svg.text(left, top - 6, "pasted into the image", 11),
        svg.underlay(svg.image_uri(seen.image[:, *part]), (left, top, right, down)),
        svg.mask(pasted[part], left, top, pixel, svg.BLUE, opacity=0.45),
        svg.mask(truth, left, top, pixel, svg.PAPER, opacity=0, width=3),
        svg.mask(truth, left, top, pixel, svg.ORANGE, opacity=0, width=2, dashed=True),
        svg.box(edges, svg.PAPER, width=4), svg.box(edges, svg.INK)])


def explore_masks(seen: RoiMasks) -> Explorer:
    """Sliders over roi, channel and threshold, and whether the channels compete.

    Args:
        seen: made once by `look`: the model does not run again.
    """
    return Explorer(
        partial(masks_frame, seen),
        roi=IntSlider(0, min=0, max=len(seen.boxes) - 1, description="roi"),
        channel=IntSlider(int(seen.labels[0]), min=0, max=seen.mask_logits.shape[1] - 1,
                          description="class channel"),
        mask_threshold=FloatSlider(0.5, min=0.05, max=0.95, step=0.05,
                                   description="mask threshold"),
        over=SelectionSlider(options=OVER, value="sigmoid", description="probability by"),
    )


# ---- one bin ------------------------------------------------------------------------------------


class Bin(NamedTuple):
    """What one bin costs, and how it pulls at the three logits."""

    p: float      # said of the k-th channel
    loss: float
    own: float    # d loss / d logit of the k-th channel,
    rival: float  # of another class's,
    back: float   # of background's


def bin_sigmoid(z: float, t: float) -> Bin:
    """Binary cross-entropy of the k-th logit: log(1 + e^z) - t z; slope p - t.

    Args:
        z: the logit. t: what is asked, in [0, 1].
    """
    p = 1 / (1 + math.exp(-z))
    return Bin(p, max(z, 0) + math.log1p(math.exp(-abs(z))) - t * z, p - t, 0.0, 0.0)


def bin_softmax(z: float, t: float, rival: float) -> Bin:
    """Cross-entropy of three classes that compete, background with logit 0; slopes p - asked.

    Args:
        z, rival: logits of the k-th class and of another one. t: asked of the k-th, the rest is
            background's.
    """
    top = max(z, rival, 0.0)
    total = math.exp(z - top) + math.exp(rival - top) + math.exp(-top)
    p, other, back = (math.exp(x - top) / total for x in (z, rival, 0.0))
    loss = top + math.log(total) - t * z
    return Bin(p, loss, p - t, other, back - (1 - t))


def bin_frame(logit: float, asked: float, rival: float) -> Frame:
    """Left the loss of one bin over its k-th logit, right the slopes on three logits.

    Args:
        logit, rival: in [-6, 6]. asked: in [0, 1].
    """
    for name, value in (("logit", logit), ("rival", rival)):
        if not -STEEPEST <= value <= STEEPEST:
            raise ValueError(f"{name} must be between {-STEEPEST:g} and {STEEPEST:g}, which is "
                             f"what is drawn, got {svg.number(value)}.")
    if not 0 <= asked <= 1:
        raise ValueError(f"asked is a share, in [0, 1]; got {svg.number(asked)}.")
    apart, compete = bin_sigmoid(logit, asked), bin_softmax(logit, asked, rival)
    words = (
        f"The k-th logit is {logit:.1f}, asked is {asked:.2f}, another class says {rival:.1f}. "
        f"Sigmoid: p {apart.p:.3f}, loss {apart.loss:.3f}, slope {apart.own:+.3f}; the other class "
        f"is left alone. Softmax: p {compete.p:.3f}, loss {compete.loss:.3f}, slope "
        f"{compete.own:+.3f}; the other class gets {compete.rival:+.3f}, background "
        f"{compete.back:+.3f}.")
    pieces = _bin_curves(logit, asked, rival, apart, compete) + _bin_slopes(apart, compete)
    return Frame(svg.picture(WIDE, TOP + HIGH + 84, *pieces, label=words), words)


def _bin_curves(
    logit: float, asked: float, rival: float, apart: Bin, compete: Bin
) -> list[str]:
    """Both losses over the k-th logit, and where the bin is on each."""
    bottom = TOP + HIGH

    def at(z: float, loss: float) -> tuple[float, float]:
        return LEFT + LONG * (z + STEEPEST) / (2 * STEEPEST), bottom - HIGH * loss / MOST_LOSS

    def drawn(loss_at):
        places = [-STEEPEST + 0.2 * i for i in range(int(10 * STEEPEST) + 1)]
        losses = [(z, loss_at(z).loss) for z in places]
        return (at(z, loss) if loss <= MOST_LOSS else None for z, loss in losses)

    pieces = [svg.text(LEFT, TOP - 14, "loss of one bin"),
              svg.box((LEFT, TOP, LEFT + LONG, bottom), svg.PALE, width=1)]
    for value in (0, 2, 4, 6):
        _, level = at(0, value)
        pieces += [svg.line(LEFT, level, LEFT + LONG, level, svg.PALE, width=1),
                   svg.text(LEFT - 6, level + 4, str(value), 11, "end")]
    for value in (-6, -4, -2, 0, 2, 4, 6):
        pieces.append(svg.text(at(value, 0)[0], bottom + 15, str(value), 11, "middle"))
    pieces.append(svg.text(LEFT + LONG / 2, bottom + 31, "the k-th logit", 11, "middle"))
    pieces += [svg.polyline(drawn(lambda z: bin_sigmoid(z, asked)), svg.BLUE, width=2.5),
               svg.polyline(drawn(lambda z: bin_softmax(z, asked, rival)), svg.ORANGE, dashed=True,
                            width=2.5)]
    here = [at(logit, one.loss) for one in (apart, compete) if one.loss <= MOST_LOSS]
    return pieces + [
        svg.sample_points(here, svg.INK, 5, svg.PAPER),
        svg.legend([("solid", svg.BLUE, "sigmoid: each class for itself"),
                    ("dashed", svg.ORANGE, "softmax: the classes compete")],
                   LEFT, bottom + 52, 18)]


def _bin_slopes(apart: Bin, compete: Bin) -> list[str]:
    """How each of three logits is pulled: bars from the middle line, up and down."""
    start, wide = LEFT + LONG + 60, WIDE - LEFT - LONG - 60 - GAP
    middle, half = TOP + HIGH / 2, HIGH / 2 / 1.25  # room for numbers beyond -1 and 1
    pieces = [svg.text(start, TOP - 14, "slope: descent moves the logit the other way"),
              svg.box((start, TOP, start + wide, TOP + HIGH), svg.PALE, width=1),
              svg.line(start, middle, start + wide, middle, svg.INK, width=1)]
    for value in (-1, -0.5, 0.5, 1):
        level = middle - half * value
        pieces += [svg.line(start, level, start + wide, level, svg.PALE, width=1),
                   svg.text(start - 6, level + 4, svg.number(value), 11, "end")]
    pieces.append(svg.text(start - 6, middle + 4, "0", 11, "end"))
    for i, name in enumerate(("the k-th", "another class", "background")):
        x = start + wide * (i + 0.5) / 3
        pieces.append(svg.text(x, TOP + HIGH + 15, name, 11, "middle"))
        for slopes, left, shade, dashed in ((apart, x - 34, svg.BLUE, False),
                                            (compete, x + 2, svg.ORANGE, True)):
            value = slopes[2 + i]
            end = middle - half * value
            pieces.append(svg.box((left, middle, left + 32, end), shade, dashed,
                                  fill=svg.PAPER if dashed else shade))
            beyond = end - 6 if value >= 0 else end + 14
            pieces.append(svg.text(left + 16, beyond, f"{value:+.2f}", 11, "middle"))
    return pieces


def explore_bin() -> Explorer:
    """Sliders over the k-th logit, what is asked of the bin, and what another class says."""
    return Explorer(
        bin_frame,
        logit=FloatSlider(1.0, min=-STEEPEST, max=STEEPEST, step=0.5, description="k-th logit"),
        asked=FloatSlider(1.0, min=0.0, max=1.0, step=0.25, description="asked (share)"),
        rival=FloatSlider(3.0, min=-STEEPEST, max=STEEPEST, step=0.5,
                          description="other class's logit"),
    )
