"""One proposal on its way through MNC's five stages: its box, its mask, its class, and the truth.

Letters
    P     proposals of one image
    K     object classes; class 0 is background
    H, W  height and width of the image, in pixels

Boxes are (x1, y1, x2, y2) in pixels of the image as given.

Lesson: 13
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import NamedTuple

from ipywidgets import Dropdown, IntSlider, SelectionSlider
from torch import Tensor

from teachseg.checks import check_image
from teachseg.explore import svg
from teachseg.explore.explorer import Explorer, Frame
from teachseg.geometry.boxes import box_iou
from teachseg.geometry.masks import mask_iou, paste_masks
from teachseg.structures import Targets

STAGES = range(1, 6)
STARTS = ("loosest", "middle", "tightest")
NEAR_IOU = 0.5    # from this box overlap on a proposal counts as one of an object
MASK_FROM = 0.5   # a pixel is the object's from this probability on
PANEL = 256       # width of the image in the picture
CHART = 232       # and of the chart beside it
GAP, TITLE = 16, 24


class Stand(NamedTuple):
    """What is known of one proposal after a stage."""

    box: Tensor                  # (4,)
    mask: Tensor | None          # (H, W) bool; None before stage 2
    class_probs: Tensor | None   # (K+1,) of box and mask together; None before stage 3
    box_iou: float               # with the object's box
    mask_iou: float | None       # with its mask


@dataclass(frozen=True, eq=False)
class Walk:
    """One image, what is there, and what the five stages said.

    Args:
        image: (3, H, W) in [0, 1].
        found: `papers.mnc.trace` of the image; of it "proposals" and "instances" are read, of which
            the first half is stage 3's and the second stage 5's.
    """

    image: Tensor
    targets: Targets
    found: Mapping[str, object]

    def __post_init__(self):
        check_image(self.image)
        proposals, instances = self.found["proposals"], self.found["instances"]
        if len(instances.boxes) != 2 * len(proposals.boxes):
            raise ValueError(f"{len(proposals.boxes)} proposals should have become twice as many "
                             f"instances, by stages 3 and 5, got {len(instances.boxes)}. Trace a "
                             "model with stages_test=5.")
        if len(self.targets.labels) == 0 or len(proposals.boxes) == 0:
            raise ValueError(f"A walk needs an object and a proposal, got "
                             f"{len(self.targets.labels)} objects and {len(proposals.boxes)} "
                             "proposals. Take another scene.")

    @cached_property
    def uri(self) -> str:
        """The image as a data: address, made once."""
        return svg.image_uri(self.image)

    def near(self, target: int) -> list[int]:
        """Proposals that overlap an object's box by at least `NEAR_IOU`, loosest first; the closest
        one where there is none."""
        overlap = box_iou(self.found["proposals"].boxes, self.targets.boxes[[target]])[:, 0]
        order = overlap.argsort(stable=True).tolist()
        return [p for p in order if float(overlap[p]) >= NEAR_IOU] or order[-1:]

    def after(self, stage: int, proposal: int, target: int) -> Stand:
        """Where a proposal stands after a stage, measured against an object."""
        boxes, crops, scores = self.found["instances"]
        moved = proposal + len(self.found["proposals"].boxes)
        here = proposal if stage < 3 else moved
        shown = proposal if stage < 4 else moved
        mask = None
        if stage >= 2:
            size = tuple(self.image.shape[1:])
            mask = paste_masks(crops[[shown]], boxes[[shown]], size)[0] >= MASK_FROM
        said = None if stage < 3 else scores[proposal if stage < 5 else moved]
        truth = self.targets
        overlap = float(box_iou(boxes[[here]], truth.boxes[[target]]))
        fit = None if mask is None else float(mask_iou(mask[None], truth.masks[[target]]))
        return Stand(boxes[here], mask, said, overlap, fit)


def pick(walk: Walk, target: int, start: str) -> int:
    """The proposal of an object that is loosest, tightest, or in the middle of those near it."""
    near = walk.near(target)
    return near[{"loosest": 0, "middle": len(near) // 2, "tightest": -1}[start]]


def check_state(walk: Walk, target: int, start: str, stage: int) -> None:
    """ValueError with a sentence that helps, unless this can be drawn."""
    if not 0 <= target < len(walk.targets.labels):
        raise ValueError(f"object must be in 0..{len(walk.targets.labels) - 1}, got {target}.")
    if start not in STARTS:
        raise ValueError(f"start must be one of {', '.join(STARTS)}, got {start!r}.")
    if stage not in STAGES:
        raise ValueError(f"stage must be 1, 2, 3, 4 or 5, got {stage!r}.")


def cascade_frame(
    walk: Walk, names: Sequence[str], target: int, start: str, stage: int
) -> Frame:
    """One proposal over the image after a stage, and its overlaps so far.

    Args:
        names: of classes 1..K.
        target: which object it is measured against. start: one of `STARTS`, see `pick`.
        stage: 1 to 5.
    """
    check_state(walk, target, start, stage)
    proposal = pick(walk, target, start)
    stands = [walk.after(s, proposal, target) for s in range(1, stage + 1)]
    name = names[int(walk.targets.labels[target]) - 1]
    caption = _caption(stands, names, name, proposal)
    left = 2 * GAP + PANEL
    high = PANEL * walk.image.shape[1] / walk.image.shape[2]
    pieces = [_image_panel(walk, stands, target), _overlaps(stands, left, TITLE + 8)]
    pieces.append(_classes(stands[-1], names, left, TITLE + 136))
    full = max(TITLE + high + GAP, TITLE + 160 + 15 * (len(names) + 1))
    return Frame(svg.picture(left + CHART + GAP, full, *pieces, label=caption), caption)


def _caption(stands: list[Stand], names: Sequence[str], name: str, proposal: int) -> str:
    """All that the picture says, in numbers."""
    now, edges = stands[-1], ", ".join(f"{edge:.1f}" for edge in stands[-1].box.tolist())
    words = [f"Stage {len(stands)}, proposal {proposal} on the {name}: box ({edges}), "
             f"IoU {now.box_iou:.3f}"]
    if now.mask_iou is not None:
        words.append(f"mask IoU {now.mask_iou:.3f}")
    if now.class_probs is not None:
        best = int(now.class_probs.argmax())
        said = names[best - 1] if best else "background"
        words.append(f"{said} {float(now.class_probs[best]):.3f}")
    return "; ".join(words) + "."


def _image_panel(walk: Walk, stands: list[Stand], target: int) -> str:
    """The image with the truth (dashed), the present box and mask, and the box that was left."""
    height, width = walk.image.shape[1:]
    pixel = PANEL / width
    now, first = stands[-1], stands[0]
    titles = ("a box", "a mask in it", "its class, and a new box", "a mask in the new box",
              "its class once more")

    def place(box: Tensor) -> list[float]:
        x1, y1, x2, y2 = (edge * pixel for edge in box.tolist())
        return [GAP + x1, TITLE + y1, GAP + x2, TITLE + y2]

    pieces = [svg.text(GAP, TITLE - 8, f"stage {len(stands)}: {titles[len(stands) - 1]}"),
              svg.underlay(walk.uri, (GAP, TITLE, GAP + PANEL, TITLE + height * pixel)),
              svg.mask(walk.targets.masks[target], GAP, TITLE, pixel, svg.PAPER, 0, 2, dashed=True)]
    if now.mask is not None:
        pieces.append(svg.mask(now.mask, GAP, TITLE, pixel, svg.BLUE))
    if len(stands) >= 3:
        pieces += [svg.box(place(first.box), svg.PAPER, width=3),
                   svg.box(place(first.box), svg.INK, dashed=True, width=1.5)]
    pieces += [svg.box(place(now.box), svg.PAPER, width=4), svg.box(place(now.box), svg.RED)]
    return "".join(pieces)


def _overlaps(stands: list[Stand], left: float, top: float) -> str:
    """The overlaps of box and mask after each stage so far, as two lines."""
    wide, high = CHART - 40, 84

    def at(stage: int, value: float) -> tuple[float, float]:
        return left + 28 + (stage - 1) * wide / 4, top + high * (1 - value)

    pieces = [svg.text(left, top - 14, "IoU with truth")]
    for value in (0, 0.5, 1):
        x, y = at(1, value)
        pieces += [svg.line(x, y, x + wide, y, svg.PALE, width=0.75),
                   svg.text(x - 6, y + 4, svg.number(value), 10, "end")]
    pieces += [svg.text(at(s, 0)[0], top + high + 14, str(s), 10, "middle") for s in STAGES]
    box = [at(s, one.box_iou) for s, one in enumerate(stands, 1)]
    mask = [at(s, one.mask_iou) for s, one in enumerate(stands, 1) if one.mask_iou is not None]
    for points, colour, dashed, word in ((box, svg.RED, False, "box"),
                                         (mask, svg.BLUE, True, "mask")):
        if points:
            pieces += [svg.polyline(points, colour, dashed),
                       svg.sample_points(points[-1:], colour, 4)]
        kind = "dashed" if dashed else "solid"
        pieces.append(svg.legend([(kind, colour, word)], left + (108 if word == "box" else 170),
                                 top - 18))
    return "".join(pieces)


def _classes(now: Stand, names: Sequence[str], left: float, top: float) -> str:
    """A bar for each class's probability; words instead before stage 3."""
    if now.class_probs is None:
        return svg.text(left, top, "No class yet: stages 1 and 2 know none.", 11)
    pieces = [svg.text(left, top, "class, by box and mask")]
    for i, (word, prob) in enumerate(zip(("background", *names), now.class_probs.tolist())):
        level = top + 16 + 15 * i
        pieces += [svg.text(left + 84, level, word, 10, "end"),
                   svg.box((left + 90, level - 8, left + 90 + 100 * prob, level + 1),
                           svg.GREEN, width=1, fill=svg.GREEN),
                   svg.text(left + 94 + 100 * prob, level, f"{prob:.2f}", 10)]
    return "".join(pieces)


def explore_cascade(walk: Walk, names: Sequence[str], target: int = 0) -> Explorer:
    """Sliders over the stage, the object, and which of its proposals is followed.

    Args:
        walk: made once, before the sliders move: the model does not run again.
        names: of classes 1..K.
        target: the object at first.
    """
    check_state(walk, target, STARTS[0], 1)
    objects = [(f"{i}: {names[label - 1]}", i)
               for i, label in enumerate(walk.targets.labels.tolist())]
    return Explorer(
        partial(cascade_frame, walk, tuple(names)),
        stage=IntSlider(5, min=1, max=5, description="after stage"),
        start=SelectionSlider(options=STARTS, value=STARTS[0], description="its proposal"),
        target=Dropdown(options=objects, value=target, description="object"),
    )
