"""The gallery: the same scenes through the three papers, what each found and what went wrong.

Letters
    D, G  detections and objects of one scene
    H, W  height and width of an image, in pixels

Boxes are (x1, y1, x2, y2) in image pixels.

Lesson: 40
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

from ipywidgets import FloatSlider, IntSlider, ToggleButtons
from torch import Tensor

from teachseg.checks import check_image
from teachseg.explore import svg
from teachseg.explore.explorer import Explorer, Frame
from teachseg.mistakes import FATES, PARTS, Judged, judge_image
from teachseg.plot import colour
from teachseg.structures import Detections, Targets

PANEL = 288       # width of one picture
GAP, TITLE = 16, 24
WRONG = svg.RED   # of objects that were not found, and of detections that are not right
LETTER, LINE = 5.6, 13  # width of a letter of a name, and height of its line


@dataclass(frozen=True, eq=False)
class Answered:
    """One scene and the answers of all papers to it."""

    kind: str                        # of scene: "crossing", ...
    image: Tensor                    # (3, H, W) in [0, 1]
    targets: Targets
    answers: Mapping[str, Detections]  # by the paper's name, all scores

    @cached_property
    def uri(self) -> str:
        """The image as a data: address, made once."""
        return svg.image_uri(self.image)

    def judged(self, paper: str, score: float) -> tuple[Detections, Judged]:
        """What a paper found at this score or better, and what is to be said of it."""
        shown = self.answers[paper].above(score)
        return shown, judge_image(shown, self.targets)


def gallery_frame(
    scenes: Sequence[Answered], names: Sequence[str], kind: str, scene: int, paper: str,
    score: float,
) -> Frame:
    """What is there with its fate, beside what one paper found with its part in it.

    Args:
        names: of classes 1..K. kind: of scenes. scene: which one of that kind.
        paper: one of the scene's answers. score: detections with less are left out, in [0, 1].
    """
    of_kind = [one for one in scenes if one.kind == kind]
    if not of_kind:
        known = dict.fromkeys(one.kind for one in scenes)
        raise ValueError(f"There are no scenes of the kind {kind!r}. There are: "
                         f"{', '.join(known)}.")
    if not 0 <= scene < len(of_kind):
        raise ValueError(f"scene must be in 0..{len(of_kind) - 1} for the kind {kind!r}, got "
                         f"{scene}.")
    one = of_kind[scene]
    if paper not in one.answers:
        raise ValueError(f"There is no answer of {paper!r}. There are: {', '.join(one.answers)}.")
    if not 0 <= score <= 1:
        raise ValueError(f"score must be in 0..1, got {svg.number(score)}.")
    all_judged = {other: one.judged(other, score) for other in one.answers}
    found, judged = all_judged[paper]
    height, width = one.targets.masks.shape[1:]
    left = (GAP, 2 * GAP + PANEL)
    fates = ["" if fate == "found" else fate for fate in judged.fates]
    parts = [f"{value:.2f}" + ("" if part == "right" else f" {part}")
             for value, part in zip(found.scores.tolist(), judged.parts)]
    panels = [
        svg.text(left[0], TITLE - 8, "what is there"),
        svg.text(left[1], TITLE - 8, f"what {paper} found"),
        _panel(one, left[0], one.targets, names, fates, [not fate for fate in fates]),
        _panel(one, left[1], found, names, parts, [part == "right" for part in judged.parts]),
    ]
    others = ", ".join(f"{other} {said.fates.count('found')}"
                       for other, (_, said) in all_judged.items())
    caption = (f"Scene {scene} of kind {one.kind}, {paper}, score at least {svg.number(score)}. "
               f"Objects: {_counted(judged.fates, FATES)}. Detections: "
               f"{_counted(judged.parts, PARTS)}. Found of {len(judged.fates)}: {others}.")
    high = TITLE + PANEL * height / width + GAP
    return Frame(svg.picture(left[1] + PANEL + GAP, high, *panels, label=caption), caption)


def _counted(words: Sequence[str], order: Sequence[str]) -> str:
    """How many of each, in this order: "4 found, 1 missed"."""
    return ", ".join(f"{words.count(word)} {word}" for word in order if word in words) or "none"


def _panel(
    one: Answered, left: float, objects: Targets | Detections, names: Sequence[str],
    words: Sequence[str], right: Sequence[bool],
) -> str:
    """The image under some objects: masks in the colour of their class, where something is wrong
    with a dashed outline and its name in red."""
    height, width = objects.masks.shape[1:]
    pixel = PANEL / width
    taken: list[tuple[float, float, float]] = []
    pieces = [svg.underlay(one.uri, (left, TITLE, left + PANEL, TITLE + height * pixel))]
    for mask, label, fine in zip(objects.masks, objects.labels.tolist(), right):
        pieces.append(svg.mask(mask, left, TITLE, pixel, colour(label), dashed=not fine,
                               opacity=0.45 if fine else 0.2, width=2 if fine else 2.5))
    for box, label, said, fine in zip(objects.boxes.tolist(), objects.labels.tolist(), words,
                                      right):
        name = f"{names[label - 1]} {said}".strip()
        wide = LETTER * len(name) + 4
        x = min(left + box[0] * pixel, left + PANEL - wide)
        y = free_line(x, x + wide, max(TITLE + box[1] * pixel - 3, TITLE + 9), taken)
        taken.append((x, x + wide, y))
        pieces += [svg.box((x, y - 9, x + wide, y + 3), svg.INK if fine else WRONG,
                           fill=svg.PAPER, width=1),
                   svg.text(x + 2, y, name, 9)]
    return "".join(pieces)


def free_line(
    start: float, end: float, wish: float, taken: Sequence[tuple[float, float, float]]
) -> float:
    """The y nearest below `wish` at which a name from `start` to `end` covers no other.

    Args:
        taken: (start, end, y) of those that stand already.
    """
    lines = sorted(y for left, right, y in taken if left < end and start < right)
    y = wish
    for other in lines:
        if abs(other - y) < LINE:
            y = other + LINE
    return y


def explore_gallery(scenes: Sequence[Answered], names: Sequence[str]) -> Explorer:
    """Switches between the kinds of scene and between the papers, a slider over the scenes of a
    kind, one over the score.

    Args:
        scenes: made once, before the sliders move: no model runs again.
        names: of classes 1..K.
    """
    scenes = list(scenes)
    if not scenes:
        raise ValueError("explore_gallery needs at least one Answered(kind, image, targets, "
                         "answers), got none.")
    for i, one in enumerate(scenes):
        check_image(one.image)
        if list(one.answers) != list(scenes[0].answers) or not one.answers:
            raise ValueError(f"scenes[{i}] has the answers of {', '.join(one.answers) or 'none'}, "
                             f"scenes[0] of {', '.join(scenes[0].answers)}: all need the same.")
        for paper, found in one.answers.items():
            if found.masks.shape[1:] != one.targets.masks.shape[1:]:
                raise ValueError(f"scenes[{i}]: the masks of {paper} are not as large as the "
                                 "scene's.")
    counts = Counter(one.kind for one in scenes)
    return Explorer(
        partial(gallery_frame, scenes, tuple(names)),
        kind=ToggleButtons(options=list(counts), description="kind"),
        scene=IntSlider(0, min=0, max=min(counts.values()) - 1, description="scene"),
        paper=ToggleButtons(options=list(scenes[0].answers), description="paper"),
        score=FloatSlider(0.5, min=0.05, max=0.95, step=0.05, description="score at least"),
    )
