"""Truth beside detections: counted by hand, drawn with both thresholds, refused in words."""

import time
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import pytest
import torch

from teachseg.explore.instances import (
    Count,
    Scene,
    count_right,
    explore_instances,
    instances_frame,
)
from teachseg.structures import Detections, Targets


def rectangle(x1: int, y1: int, x2: int, y2: int) -> torch.Tensor:
    mask = torch.zeros(32, 32, dtype=torch.bool)
    mask[y1:y2, x1:x2] = True
    return mask


def targets() -> Targets:
    """Two objects of 10 x 10: class 1 at the left, class 2 at the right."""
    masks = torch.stack([rectangle(2, 2, 12, 12), rectangle(20, 2, 30, 12)])
    boxes = torch.tensor([[2.0, 2, 12, 12], [20.0, 2, 30, 12]])
    return Targets(boxes, torch.tensor([1, 2]), masks)


def scene() -> Scene:
    """Three detections: the left object exactly, again but lower in score, the right one loosely.

    The third is sure of 10 x 8 pixels (0.9) and half sure of 10 x 2 more (0.5).
    """
    loose = 0.9 * rectangle(20, 2, 30, 10) + 0.5 * rectangle(20, 10, 30, 12)
    probs = torch.stack([rectangle(2, 2, 12, 12).float(), rectangle(2, 2, 12, 12).float(), loose])
    there = targets()
    detections = Detections(there.boxes[[0, 0, 1]], torch.tensor([1, 1, 2]),
                            torch.tensor([0.9, 0.6, 0.4]), probs >= 0.5)
    return Scene(torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(0)), there,
                 detections, probs)


def test_counting_by_hand():
    """Exact, duplicate, exact: 2 right, 1 wrong, 0 missed, mean IoU 1."""
    one = scene()
    assert count_right(one.detections, one.targets) == Count(2, 1, 0, 1.0)
    # another class on the same pixels is wrong, and the object is missed
    other = one.detections._replace(labels=torch.tensor([2, 2, 2]))
    assert count_right(other, one.targets) == Count(1, 2, 1, 1.0)


def test_nothing_found_and_nothing_there():
    one = scene()
    assert count_right(Detections.empty((32, 32)), one.targets) == Count(0, 0, 2, 0.0)
    assert count_right(one.detections, Targets.empty((32, 32))) == Count(0, 3, 0, 0.0)


def test_the_caption_follows_both_thresholds():
    """At 0.5 the loose mask is whole, IoU 1; at 0.6 it is 80 of 100 pixels: (1 + 0.8) / 2 = 0.9."""
    draw = [scene()]
    half = instances_frame(draw, ["disc", "square"], 0, 0.0, 0.5).caption
    assert half == ("Scene 0, score at least 0, mask from 0.5 on: 3 detections, 2 right, 1 wrong; "
                    "0 of 2 objects missed; mean mask IoU of the right ones 1.000.")
    tighter = instances_frame(draw, ["disc", "square"], 0, 0.0, 0.6).caption
    assert "2 right, 1 wrong" in tighter and tighter.endswith("0.900.")
    sure = instances_frame(draw, ["disc", "square"], 0, 0.9, 0.5).caption
    assert "1 detections, 1 right, 0 wrong; 1 of 2 objects missed" in sure


def test_the_picture_changes_and_is_labelled():
    draw = [scene()]
    one, other = (instances_frame(draw, ["disc", "square"], 0, 0.0, t) for t in (0.5, 0.6))
    assert one.svg != other.svg
    root = ElementTree.fromstring(one.svg)
    assert root.get("aria-label") == one.caption
    assert len(list(root.iter("{http://www.w3.org/2000/svg}image"))) == 2


@pytest.mark.parametrize("values, words", [
    (dict(scene=1), r"scene must be in 0\.\.0, got 1"),
    (dict(score=1.5), r"score must be in 0\.\.1, got 1\.5"),
    (dict(mask_threshold=-1), "mask_threshold must be"),
])
def test_what_cannot_be_drawn_is_said(values, words):
    with pytest.raises(ValueError, match=words):
        instances_frame([scene()], ["a", "b"], **(dict(scene=0, score=0.5, mask_threshold=0.5)
                                                  | values))


def test_a_bad_scene_is_refused_at_the_door():
    with pytest.raises(ValueError, match="at least one Scene"):
        explore_instances([], ["a"])
    with pytest.raises(ValueError, match="3 detections but 2 mask_probs"):
        explore_instances([replace(scene(), mask_probs=torch.zeros(2, 32, 32))], ["a"])


def test_the_sliders_move_it(capsys):
    explorer = explore_instances([scene(), scene()], ["disc", "square"])
    before = explorer.picture.value
    assert explorer.set(score=0.0, scene=1).startswith("Scene 1, score at least 0,")
    assert explorer.picture.value != before
    explorer.sweep("score", [0.3, 0.5, 0.7])
    found = [line.split(": ")[2].split(" ")[0] for line in capsys.readouterr().out.splitlines()]
    assert found == ["3", "2", "1"]


def test_a_frame_is_quick():
    """10 ms of the processor's time; the best of five."""
    draw, taken = [scene()], []
    for threshold in (0.3, 0.4, 0.5, 0.6, 0.7):
        begin = time.process_time()
        instances_frame(draw, ["disc", "square"], 0, 0.0, threshold)
        taken.append(time.process_time() - begin)
    assert min(taken) <= 0.010
