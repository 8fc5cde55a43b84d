"""What MNC answers with three stages or five, and with masks that are voted on or not.

Letters
    D     detections of one image
    I     instances that the cascade found in it: boxes with a mask and scores, before suppression
    H, W  height and width of an image, in pixels

Boxes are (x1, y1, x2, y2) in image pixels.

Lesson: 14
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import torch.nn.functional as F
from ipywidgets import Checkbox, FloatSlider, IntSlider, SelectionSlider
from torch import Tensor

from teachseg.decoding.voting import average_masks, cast_votes
from teachseg.explore import svg
from teachseg.explore.explorer import Explorer, Frame, size_of
from teachseg.explore.instances import Count, Scene, count_right, instances_frame
from teachseg.geometry.masks import masks_to_boxes
from teachseg.papers import mnc
from teachseg.structures import Detections, Targets

MIN_SCORE = 0.05  # detections that score less are not looked at: there are dozens of them
ROW, TABLE_TITLE = 20, 34
COLUMNS = (190, 240, 290, 370)  # where a row's numbers end, picture units
EDGE = 16


class Variant(NamedTuple):
    """One way to test the same network."""

    stages: int  # 3: the instances of stage 3 alone; 5: those of stage 5 as well
    voting: bool  # False: each box keeps its own mask

    def __str__(self) -> str:
        return f"{self.stages} stages, {'voted masks' if self.voting else 'own masks'}"


VARIANTS = tuple(Variant(stages, voting) for stages in (3, 5) for voting in (False, True))
Answers = Mapping[Variant, Scene]  # one image, tested in every way


def instances_after(found: mnc.Instances, stages: int) -> mnc.Instances:
    """Of what five stages found in an image, that which three would have.

    The cascade's second half looks into one new box for each box of its first half: so the first
    half of the instances are stage 3's.
    """
    if stages not in (3, 5):
        raise ValueError(f"stages must be 3 or 5, got {stages!r}.")
    if len(found.boxes) % 2:
        raise ValueError(f"There are {len(found.boxes)} instances: five stages give an even number."
                         " Set stages_test=5 in the model's config.")
    most = len(found.boxes) if stages == 5 else len(found.boxes) // 2
    return mnc.Instances(*(part[:most] for part in found))


def scene_of(
    config: mnc.Config, found: mnc.Instances, image: Tensor, targets: Targets,
    min_score: float = MIN_SCORE,
) -> Scene:
    """What `mnc.decide` makes of the instances, with the masks not yet cut.

    Without voting each detection has one voter, itself.
    """
    votes = cast_votes(found.boxes, found.scores, config.vote_nms_iou, config.merge_iou,
                       config.max_detections, min_score=min_score)
    weights, boxes = votes.weights, found.boxes[votes.kept]
    if not config.voting:
        weights = F.one_hot(votes.kept, len(found.boxes)).to(weights)
    probs = average_masks(found.boxes, found.crops, weights, tuple(image.shape[1:]))
    masks = probs >= config.mask_threshold
    detections = Detections(boxes, votes.labels, votes.scores, masks)
    if config.voting:  # an empty mask is no detection, and a box is its mask's
        some = masks.flatten(1).any(dim=1)
        detections, probs = Detections(*(part[some] for part in detections)), probs[some]
        detections = detections._replace(boxes=masks_to_boxes(detections.masks))
    return Scene(image, targets, detections, probs)


def answers_of(
    model: mnc.MNC, image: Tensor, targets: Targets, min_score: float = MIN_SCORE
) -> dict[Variant, Scene]:
    """One image, tested in every way; the network runs once.

    Args:
        image: (3, H, W) in [0, 1]. targets: what is there.
        min_score: detections that score at most this are left out, in [0, 1].
    """
    if model.config.stages_test != 5:
        raise ValueError(f"stages_test={model.config.stages_test}: five stages are needed, of which"
                         " three are the beginning. Load the model as it is shipped.")
    found = mnc.trace(model, image)["instances"]
    return {
        variant: scene_of(replace(model.config, voting=variant.voting),
                          instances_after(found, variant.stages), image, targets, min_score)
        for variant in VARIANTS
    }


def count_at(one: Scene, score: float, mask_threshold: float) -> Count:
    """How a scene's detections fare at two thresholds, as in `instances_frame`."""
    return count_right(one.at(score, mask_threshold), one.targets)


def variants_frame(
    answers: Sequence[Answers], names: Sequence[str], scene: int, stages: int, voting: bool,
    score: float, mask_threshold: float,
) -> Frame:
    """The truth and what one variant finds; below, how all four fare at the same thresholds.

    Args:
        names: of classes 1..K. scene: which one. stages: 3 or 5.
        score, mask_threshold: as in `instances_frame`.
    """
    chosen = Variant(stages, bool(voting))
    if chosen not in VARIANTS:
        raise ValueError(f"stages must be 3 or 5, got {stages!r}.")
    of_chosen = [each[chosen] for each in answers]
    found = instances_frame(of_chosen, names, scene, score, mask_threshold)
    width, height = size_of(found.svg)
    table = [_row(EDGE, height + EDGE, ("", "right", "wrong", "missed", "mask IoU"))]
    for i, variant in enumerate(VARIANTS):
        top = height + TABLE_TITLE + i * ROW
        count = count_at(answers[scene][variant], score, mask_threshold)
        numbers = (str(count.right), str(count.wrong), str(count.missed), f"{count.fit:.3f}")
        table.append(_row(EDGE, top, (str(variant), *numbers)))
        if variant == chosen:
            table.append(svg.box((EDGE - 8, top - 14, EDGE + COLUMNS[-1] + 8, top + 6), svg.RED))
            table.append(svg.text(EDGE + COLUMNS[-1] + 14, top, "drawn above", 10))
    caption = f"{chosen}. {found.caption}"
    full = height + TABLE_TITLE + len(VARIANTS) * ROW
    return Frame(svg.picture(width, full, found.svg, *table, label=caption), caption)


def _row(left: float, level: float, cells: Sequence[str]) -> str:
    """Words at the left, numbers that end in their columns."""
    words = svg.text(left, level, cells[0], 11)
    return words + "".join(svg.text(left + right, level, cell, 11, "end")
                           for right, cell in zip(COLUMNS, cells[1:]))


def explore_mnc(answers: Sequence[Answers], names: Sequence[str]) -> Explorer:
    """Sliders over the scene, the number of stages, the score and the mask threshold; voting on or
    off.

    Args:
        answers: from `answers_of`, one an image, made once: the model does not run again.
        names: of classes 1..K.
    """
    answers = list(answers)
    if not answers:
        raise ValueError("explore_mnc needs at least one image's answers, got none. Make them with "
                         "answers_of(model, image, targets).")
    for i, each in enumerate(answers):
        if set(each) != set(VARIANTS):
            raise ValueError(f"answers[{i}] must hold the four variants, as answers_of makes them, "
                             f"got {', '.join(map(str, each)) or 'none'}.")
    return Explorer(
        partial(variants_frame, answers, tuple(names)),
        scene=IntSlider(0, min=0, max=len(answers) - 1, description="scene"),
        stages=SelectionSlider(options=(3, 5), value=5, description="stages"),
        voting=Checkbox(True, description="masks are voted on", indent=True),
        score=FloatSlider(0.5, min=MIN_SCORE, max=1, step=0.05, description="score at least"),
        mask_threshold=FloatSlider(0.4, min=0.05, max=0.95, step=0.05,
                                   description="mask threshold"),
    )
