"""One proposal through five stages: what changes when, by hand; drawn, moved, refused in words."""

import time
import xml.etree.ElementTree as ElementTree

import pytest
import torch

from teachseg.explore.cascade import STARTS, Walk, cascade_frame, explore_cascade, pick
from teachseg.papers.mnc import Instances
from teachseg.structures import Proposals, Targets

NAMES = ("disc", "square")


def walk(count: int = 2) -> Walk:
    """A square of 8 x 8 in 16 x 16 pixels, and two proposals that stage 3 moves onto it.

    Proposal 0 is its left half (IoU 32 / 64 = 0.5) and proposal 1 is 8 x 6 of it (0.75); both
    masks fill their boxes, and both new boxes are the square's own.
    """
    mask = torch.zeros(1, 16, 16, dtype=torch.bool)
    mask[0, 4:12, 4:12] = True
    targets = Targets(torch.tensor([[4.0, 4, 12, 12]]), torch.tensor([2]), mask)
    first = torch.tensor([[4.0, 4, 8, 12], [4.0, 4, 12, 10]])[:count]
    then = targets.boxes.expand(count, 4)
    scores = torch.tensor([[0.6, 0.1, 0.3]] * count + [[0.1, 0.1, 0.8]] * count)
    instances = Instances(torch.cat([first, then]), torch.ones(2 * count, 4, 4), scores)
    image = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(0))
    found = {"proposals": Proposals(first, torch.ones(count)), "instances": instances}
    return Walk(image, targets, found)


def test_what_each_stage_changes_by_hand():
    one = walk()
    stands = [one.after(stage, 0, 0) for stage in range(1, 6)]
    assert [stand.box_iou for stand in stands] == [0.5, 0.5, 1, 1, 1]
    assert [stand.mask_iou for stand in stands] == [None, 0.5, 0.5, 1, 1]
    assert stands[0].mask is None and stands[1].class_probs is None
    probs = [stand.class_probs for stand in stands[2:]]
    assert [float(p.max()) for p in probs] == pytest.approx([0.6, 0.6, 0.8])
    assert int(stands[1].mask.sum()) == 32 and int(stands[4].mask.sum()) == 64


def test_proposals_from_loosest_to_tightest():
    assert walk().near(0) == [0, 1]
    assert [pick(walk(), 0, start) for start in STARTS] == [0, 1, 1]
    assert pick(walk(1), 0, "middle") == 0


def test_the_closest_proposal_stands_in_where_none_is_near():
    one = walk()
    one.found["proposals"].boxes.copy_(torch.tensor([[0.0, 0, 3, 3], [0.0, 0, 6, 6]]))
    assert one.near(0) == [1]  # 4 of 96 square pixels, but the other has none


def test_the_caption_says_what_is_known():
    said = [cascade_frame(walk(), NAMES, 0, "loosest", stage).caption for stage in range(1, 6)]
    assert said[0] == "Stage 1, proposal 0 on the square: box (4.0, 4.0, 8.0, 12.0), IoU 0.500."
    assert said[1].endswith("IoU 0.500; mask IoU 0.500.")
    assert said[2].endswith("IoU 1.000; mask IoU 0.500; background 0.600.")
    assert said[3].endswith("mask IoU 1.000; background 0.600.")
    assert said[4].endswith("mask IoU 1.000; square 0.800.")


def test_the_picture_changes_and_is_labelled():
    frames = [cascade_frame(walk(), NAMES, 0, "loosest", stage) for stage in range(1, 6)]
    assert len({frame.svg for frame in frames}) == 5
    for frame in frames:
        root = ElementTree.fromstring(frame.svg)
        assert root.get("aria-label") == frame.caption
    assert "No class yet" in frames[1].svg and "No class yet" not in frames[2].svg


@pytest.mark.parametrize("values, words", [
    (dict(stage=0), "stage must be 1, 2, 3, 4 or 5, got 0"),
    (dict(start="last"), "start must be one of loosest, middle, tightest, got 'last'"),
    (dict(target=1), r"object must be in 0\.\.0, got 1"),
])
def test_what_cannot_be_drawn_is_said(values, words):
    with pytest.raises(ValueError, match=words):
        cascade_frame(walk(), NAMES, **(dict(target=0, start="loosest", stage=1) | values))


def test_a_walk_that_cannot_be_followed_is_refused_at_the_door():
    one = walk()
    short = Instances(*(part[:2] for part in one.found["instances"]))
    with pytest.raises(ValueError, match="2 proposals should have become twice as many"):
        Walk(one.image, one.targets, one.found | {"instances": short})
    with pytest.raises(ValueError, match="got 0 objects and 2 proposals"):
        Walk(one.image, Targets.empty((16, 16)), one.found)
    with pytest.raises(ValueError, match="got 1 objects and 0 proposals"):
        walk(0)


def test_the_sliders_move_it(capsys):
    explorer = explore_cascade(walk(), NAMES)
    before = explorer.picture.value
    assert explorer.set(stage=1).startswith("Stage 1, proposal 0")
    assert explorer.picture.value != before
    assert explorer.set(start="tightest").endswith("IoU 0.750.")
    explorer.sweep("stage", range(1, 6))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("IoU ")[1][:5] for line in lines] == ["0.750"] * 2 + ["1.000"] * 3


def test_a_frame_is_quick():
    """10 ms of the processor's time; the best of five."""
    one, taken = walk(), []
    for stage in range(1, 6):
        begin = time.process_time()
        cascade_frame(one, NAMES, 0, "loosest", stage)
        taken.append(time.process_time() - begin)
    assert min(taken) <= 0.010 and sorted(taken)[2] <= 0.030
