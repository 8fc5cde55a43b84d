"""MNC's four variants: the library's own answers, counted by hand, drawn, refused in words."""

import time
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import pytest
import torch

from teachseg.datasets.scenes import CLASSES, Scenes
from teachseg.explore.instances import Count, Scene
from teachseg.explore.mnc_test import (
    VARIANTS,
    Variant,
    answers_of,
    count_at,
    explore_mnc,
    instances_after,
    scene_of,
    variants_frame,
)
from teachseg.papers import mnc
from teachseg.structures import Detections, Targets

NAMES = ("disc", "square")


def rectangle(x1: int, y1: int, x2: int, y2: int) -> torch.Tensor:
    mask = torch.zeros(32, 32)
    mask[y1:y2, x1:x2] = 1
    return mask


def targets() -> Targets:
    """One object of class 1, 10 x 10 pixels."""
    box = torch.tensor([[4.0, 4, 14, 14]])
    return Targets(box, torch.tensor([1]), rectangle(4, 4, 14, 14)[None].bool())


def image() -> torch.Tensor:
    return torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(0))


def instances() -> mnc.Instances:
    """Stage 3: two boxes on the object, 10 x 10 and 10 x 8, both full, scored 0.6 and 0.2.

    Stage 5: the same two again, 10 x 10 (0.8) and one far away on nothing (class 2, 0.3).
    """
    boxes = torch.tensor([[4.0, 4, 14, 14], [4.0, 4, 14, 12], [4.0, 4, 14, 14], [20.0, 20, 30, 30]])
    scores = torch.tensor([[0.4, 0.6, 0.0], [0.8, 0.2, 0.0], [0.2, 0.8, 0.0], [0.7, 0.0, 0.3]])
    return mnc.Instances(boxes, torch.ones(4, 2, 2), scores)


def answers() -> dict[Variant, Scene]:
    config = mnc.Config.course(2)
    return {
        variant: scene_of(replace(config, voting=variant.voting),
                          instances_after(instances(), variant.stages), image(), targets())
        for variant in VARIANTS
    }  # fmt: skip


@pytest.fixture(scope="module")
def model() -> mnc.MNC:
    torch.manual_seed(0)
    return mnc.MNC(mnc.Config.course(5)).eval()


def test_three_stages_are_the_first_half():
    found = instances()
    assert instances_after(found, 5).boxes.shape == (4, 4)
    first = instances_after(found, 3)
    assert torch.equal(first.boxes, found.boxes[:2])
    assert torch.equal(first.scores, found.scores[:2]) and len(first.crops) == 2
    assert len(instances_after(mnc.Instances(*(part[:0] for part in found)), 3).boxes) == 0


def test_scores_and_boxes_by_hand():
    """Three stages: the 10 x 8 box overlaps the 10 x 10 one by 80 / 100 > 0.3, so one stays.

    Five stages: the best on the object is stage 5's, 0.8; the far box is another class.
    """
    found = answers()
    for voting in (False, True):
        three = found[Variant(3, voting)].detections
        five = found[Variant(5, voting)].detections
        assert three.labels.tolist() == [1] and five.labels.tolist() == [1, 2]
        torch.testing.assert_close(three.scores, torch.tensor([0.6]))
        torch.testing.assert_close(five.scores, torch.tensor([0.8, 0.3]))


def test_masks_by_hand():
    """Alone, rows 12 and 13 are sure; voted on, the 10 x 8 box's 0.2 of 0.8 says no: 3 / 4."""
    found = answers()
    alone, voted = (found[Variant(3, voting)].mask_probs[0] for voting in (False, True))
    torch.testing.assert_close(alone, rectangle(4, 4, 14, 14))
    torch.testing.assert_close(voted, rectangle(4, 4, 14, 12) + 0.75 * rectangle(4, 12, 14, 14))


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_each_variant_is_what_the_library_predicts(model, variant):
    """The same detections as `mnc.predict` with that setting, down to the least score shown."""
    picture, there = Scenes("val", 1)[0]
    least = 0.15  # random weights: all classes about 1 / 6
    mine = answers_of(model, picture, there, least)[variant].detections
    config = model.config
    try:
        model.config = replace(config, stages_test=variant.stages, voting=variant.voting)
        (wanted,) = mnc.predict(model, [picture])
    finally:
        model.config = config
    wanted = Detections(*(part[wanted.scores > least] for part in wanted))
    assert 0 < len(wanted.labels) == len(mine.labels)
    assert torch.equal(mine.labels, wanted.labels) and torch.equal(mine.masks, wanted.masks)
    torch.testing.assert_close(mine.boxes, wanted.boxes)
    torch.testing.assert_close(mine.scores, wanted.scores)


def test_nothing_found_and_nothing_there(model):
    picture, _ = Scenes("val", 1)[0]
    none = answers_of(model, picture, Targets.empty((128, 128)), min_score=1.0)
    assert [count_at(one, 0.0, 0.5) for one in none.values()] == [Count(0, 0, 0, 0.0)] * 4
    frame = variants_frame([none], CLASSES, 0, 5, True, 0.5, 0.5)
    assert "0 detections" in frame.caption and frame.svg


def test_the_caption_and_the_table_by_hand():
    """At 0.8 the voted mask loses its last two rows: 80 of 100 pixels, IoU 0.8.

    Score 0.25 lets the far one through in five stages: 1 right, 1 wrong.
    """
    asked = dict(scene=0, score=0.25, mask_threshold=0.8)
    three = variants_frame([answers()], NAMES, stages=3, voting=True, **asked)
    assert three.caption == (
        "3 stages, voted masks. Scene 0, score at least 0.25, mask from 0.8 on: 1 detections, 1 "
        "right, 0 wrong; 0 of 1 objects missed; mean mask IoU of the right ones 0.800.")
    five = variants_frame([answers()], NAMES, stages=5, voting=False, **asked)
    assert five.caption.startswith("5 stages, own masks. ") and "1 right, 1 wrong" in five.caption
    rows = [text.text for text in ElementTree.fromstring(five.svg).iter(
        "{http://www.w3.org/2000/svg}text")]
    start = rows.index("3 stages, voted masks")
    assert rows[start : start + 5] == ["3 stages, voted masks", "1", "0", "0", "0.800"]
    start = rows.index("5 stages, own masks")
    assert rows[start : start + 6] == ["5 stages, own masks", "1", "1", "0", "1.000", "drawn above"]


def test_the_picture_changes_and_is_labelled():
    draw = [answers()]
    frames = [variants_frame(draw, NAMES, 0, variant.stages, variant.voting, 0.25, 0.8)
              for variant in VARIANTS]
    assert len({frame.svg for frame in frames}) == 4
    root = ElementTree.fromstring(frames[0].svg)
    assert root.get("aria-label") == frames[0].caption


@pytest.mark.parametrize("values, words", [
    (dict(stages=4), "stages must be 3 or 5, got 4"),
    (dict(scene=1), r"scene must be in 0\.\.0, got 1"),
    (dict(score=1.5), r"score must be in 0\.\.1, got 1\.5"),
    (dict(mask_threshold=-1), "mask_threshold must be"),
])  # fmt: skip
def test_what_cannot_be_drawn_is_said(values, words):
    usual = dict(scene=0, stages=5, voting=True, score=0.5, mask_threshold=0.5)
    with pytest.raises(ValueError, match=words):
        variants_frame([answers()], NAMES, **(usual | values))


def test_bad_answers_are_refused_at_the_door(model):
    with pytest.raises(ValueError, match="at least one image's answers"):
        explore_mnc([], NAMES)
    part = {VARIANTS[0]: answers()[VARIANTS[0]]}
    with pytest.raises(ValueError, match="the four variants, .* got 3 stages, own masks"):
        explore_mnc([part], NAMES)
    with pytest.raises(ValueError, match="stages must be 3 or 5, got 4"):
        instances_after(instances(), 4)
    odd = mnc.Instances(*(part[:3] for part in instances()))
    with pytest.raises(ValueError, match="There are 3 instances"):
        instances_after(odd, 3)
    short = mnc.MNC(replace(mnc.Config.course(5), stages_test=3))
    with pytest.raises(ValueError, match="stages_test=3"):
        answers_of(short, image(), targets())


def test_the_controls_move_it(capsys):
    explorer = explore_mnc([answers(), answers()], NAMES)
    before = explorer.picture.value
    assert explorer.set(stages=3, voting=False, scene=1).startswith("3 stages, own masks. Scene 1,")
    assert explorer.picture.value != before
    explorer.sweep("stages", [3, 5])
    explorer.sweep("score", [0.3, 0.5, 0.7])
    lines = capsys.readouterr().out.splitlines()
    assert [line[:12] for line in lines[:2]] == ["stages = 3: ", "stages = 5: "]
    found = [line.split("on: ")[1].split(" ")[0] for line in lines[2:]]
    assert found == ["1", "1", "0"]  # stage 3's one has 0.6
    with pytest.raises(ValueError, match="choose one of 3, 5"):
        explorer.set(stages=4)


def test_a_frame_is_quick():
    """10 ms of the processor's time; the best of five, on a whole scene with four objects."""
    picture, there = Scenes("val", 12)[11]
    assert len(there.labels) == 4
    probs = 0.9 * there.masks.float()
    found = Detections(there.boxes, there.labels, torch.linspace(0.9, 0.6, 4), probs >= 0.5)
    draw = [dict.fromkeys(VARIANTS, Scene(picture, there, found, probs))]
    taken = []
    for threshold in (0.3, 0.4, 0.5, 0.6, 0.7):
        begin = time.process_time()
        variants_frame(draw, CLASSES, 0, 5, True, 0.5, threshold)
        taken.append(time.process_time() - begin)
    assert min(taken) <= 0.010
