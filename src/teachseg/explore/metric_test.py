"""What deep metric learning answers, as its thresholds, alpha and two floors move.

Letters
    T     thresholds tau that may be used
    H, W  height and width of an image, in pixels

Boxes are (x1, y1, x2, y2) in image pixels, read off the masks.

Lesson: 33
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

import torch
from ipywidgets import FloatSlider, IntSlider, SelectMultiple
from torch import Tensor

from teachseg.explore import svg
from teachseg.explore.explorer import Explorer, Frame
from teachseg.explore.instances import RIGHT_IOU, beside, count_right
from teachseg.papers import deep_metric
from teachseg.structures import Detections, Targets


@dataclass(frozen=True, eq=False)
class Answer:
    """An image, what is there, and what the network says of it; nothing is chosen yet."""

    image: Tensor  # (3, H, W) in [0, 1]
    targets: Targets
    config: deep_metric.Config
    seen: deep_metric.Seen
    stride: int  # pixels a cell

    @cached_property
    def uri(self) -> str:
        """The image as a data: address, made once."""
        return svg.image_uri(self.image)


def answer_of(model: deep_metric.DeepMetric, image: Tensor, targets: Targets) -> Answer:
    """Run the network once.

    Args:
        image: (3, H, W) in [0, 1]. targets: what is there.
    """
    with torch.no_grad():
        seen = deep_metric.see(model, [image])
    return Answer(image, targets, model.config, seen, model.stride)


def detections_at(
    one: Answer, taus: Sequence[float], alpha: float, num_seeds: int, duplicate_iou: float,
    min_score: float | None = None,
) -> Detections:
    """What is found with some of the thresholds the network knows, and other settings of choice.

    Args:
        taus: those that may be used, at least one.
        alpha, num_seeds, duplicate_iou, min_score: as in `deep_metric.Config`.
    """
    unknown = [tau for tau in taus if tau not in one.config.taus]
    if not taus or unknown:
        what = f"there is no {', '.join(map(str, unknown))}" if unknown else "none is chosen"
        raise ValueError("At least one tau of those that the network knows is needed, "
                         f"{', '.join(map(str, one.config.taus))}; {what}.")
    used = [k for k, tau in enumerate(one.config.taus) if tau in taus]
    floor = one.config.min_score if min_score is None else min_score
    config = replace(one.config, taus=tuple(one.config.taus[k] for k in used), alpha=alpha,
                     num_seeds=num_seeds, duplicate_iou=duplicate_iou, min_score=floor)
    embeddings, class_probs = deep_metric.own_cells(one.seen, 0, one.stride)
    grown = deep_metric.grow(config, embeddings, class_probs[used])
    return deep_metric.to_detections(config, embeddings, grown, one.stride, one.seen.sizes[0],
                                     one.seen.originals[0])


def metric_frame(
    answers: Sequence[Answer], names: Sequence[str], scene: int, taus: Sequence[float],
    alpha: float, num_seeds: int, duplicate_iou: float, score: float,
) -> Frame:
    """The truth and what is found, and how it fares.

    Args:
        names: of classes 1..K. scene: which one. taus: thresholds that may be used.
        alpha, num_seeds, duplicate_iou: of the choice. score: detections with less are left out.
    """
    if not 0 <= scene < len(answers):
        raise ValueError(f"scene must be in 0..{len(answers) - 1}, got {scene}.")
    if not 0 <= score <= 1:
        raise ValueError(f"score must be in 0..1, got {svg.number(score)}.")
    one = answers[scene]
    found = detections_at(one, tuple(taus), alpha, num_seeds, duplicate_iou)
    shown = found.above(score)
    count = count_right(shown, one.targets, RIGHT_IOU)
    caption = (f"Scene {scene}, tau of {', '.join(map(str, taus))}; alpha {alpha:.2f}, at most "
               f"{num_seeds} seeds, duplicates above IoU {duplicate_iou:.2f}, score at least "
               f"{score:.2f}: {len(shown.labels)} of {len(found.labels)} masks shown, "
               f"{count.right} right, {count.wrong} wrong; {count.missed} of "
               f"{len(one.targets.labels)} objects missed; mean mask IoU of the right ones "
               f"{count.fit:.3f}.")
    return beside(one.uri, one.targets, shown, names, caption)


def explore_metric(answers: Sequence[Answer], names: Sequence[str]) -> Explorer:
    """Sliders over the scene, the thresholds in use, alpha, seeds, duplicates and score.

    Args:
        answers: from `answer_of`, one an image: the network does not run again.
        names: of classes 1..K.
    """
    answers = list(answers)
    if not answers:
        raise ValueError("explore_metric needs at least one image's answer, got none. Make them "
                         "with answer_of(model, image, targets).")
    config = answers[0].config
    return Explorer(
        partial(metric_frame, answers, tuple(names)),
        scene=IntSlider(0, min=0, max=len(answers) - 1, description="scene"),
        taus=SelectMultiple(options=config.taus, value=config.taus, rows=len(config.taus),
                            description="tau in use (several)"),
        alpha=FloatSlider(config.alpha, min=0, max=1, step=0.05, description="alpha"),
        num_seeds=IntSlider(config.num_seeds, min=1, max=60, description="number of seeds"),
        duplicate_iou=FloatSlider(config.duplicate_iou, min=0, max=1, step=0.05,
                                  description="duplicates above IoU"),
        score=FloatSlider(0.5, min=0, max=1, step=0.05, description="score at least"),
    )
