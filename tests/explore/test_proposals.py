"""From anchors to proposals: the steps are the library's, the pictures say what they show."""

import time
import xml.etree.ElementTree as ElementTree

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from teachseg.explore.proposals import (
    STEPS,
    Raw,
    covered,
    explore_nms,
    explore_proposals,
    nms_frame,
    proposals_frame,
    rounds,
    steps,
)
from teachseg.geometry.nms import nms
from teachseg.layers.rpn import propose
from teachseg.structures import Targets

SVG = "{http://www.w3.org/2000/svg}"
SIZES = [40, 20]


def make(seed=0, objects=3, pre_nms=15):
    """Sixty anchors on two levels around some objects in an image of 50 x 60."""
    draw = torch.Generator().manual_seed(seed)
    corner = torch.rand(60, 2, generator=draw) * 50 - 5
    anchors = torch.cat([corner, corner + 6 + 20 * torch.rand(60, 2, generator=draw)], dim=1)
    deltas, logits = (torch.randn(60, 4, generator=draw) * 0.3, torch.randn(60, generator=draw))
    corner = torch.rand(objects, 2, generator=draw) * 30
    real = torch.cat([corner, corner + 8 + 10 * torch.rand(objects, 2, generator=draw)], dim=1)
    targets = Targets(real, torch.ones(objects, dtype=torch.long),
                      torch.zeros(objects, 50, 60, dtype=torch.bool))
    return Raw(torch.rand(3, 50, 60, generator=draw), targets, anchors, deltas, logits, SIZES,
               pre_nms)


RAW = make()


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 500), nms_iou=st.sampled_from([0.0, 0.3, 0.7, 1.0]),
       keep=st.integers(0, 40), least=st.sampled_from([0.0, 8.0]))
def test_the_last_step_is_the_librarys_proposals(seed, nms_iou, keep, least):
    raw = make(seed)
    library = propose(raw.anchors, raw.deltas, raw.logits, SIZES, (50, 60), raw.pre_nms, keep,
                      nms_iou, max(least, 1e-3))
    told = steps(raw, nms_iou, keep, least)
    torch.testing.assert_close(told[-1].boxes, library.boxes)
    assert [step.name for step in told] == list(STEPS)
    assert [step.count for step in told] == [len(step.boxes) for step in told]
    assert told[0].count == 60 and told[1].count == told[2].count == told[3].count == 30
    for before, after in zip(told[3:], told[4:]):  # what goes and what stays were there
        assert after.count + len(after.gone) == before.count
        assert bool((after.covered <= before.covered + 1e-6).all())


def test_clipping_covers_no_object_less():
    for seed in range(20):
        told = steps(make(seed), 0.7, 10)
        assert bool((told[3].covered >= told[2].covered - 1e-6).all())


def test_covered_by_hand():
    objects = torch.tensor([[0.0, 0, 4, 4], [10, 10, 20, 20]])
    boxes = torch.tensor([[0.0, 0, 4, 2], [0, 0, 4, 3], [30, 30, 40, 40]])
    assert covered(objects, boxes).tolist() == [0.75, 0]
    assert covered(objects, boxes[:0]).tolist() == [0, 0]
    assert covered(objects[:0], boxes).shape == (0,)


@pytest.mark.parametrize("step", STEPS)
def test_each_step_is_drawn_and_said(step):
    found = proposals_frame(RAW, step, 0.5, 8, 8.0)
    root = ElementTree.fromstring(found.svg)
    assert root.get("aria-label") == found.caption
    assert found.caption.startswith(f"Step {STEPS.index(step) + 1} of 7, {step} (")
    here = steps(RAW, 0.5, 8, 8.0)[STEPS.index(step)]
    assert f"{here.count} boxes; objects covered: " in found.caption
    at = [int((here.covered >= mark).sum()) for mark in (0.5, 0.7)]
    assert f"{at[0]} of 3 at 0.5 and {at[1]} of 3 at 0.7" in found.caption
    assert found.caption.endswith(f"mean best IoU {float(here.covered.mean()):.3f}.")
    words = [text.text for text in root.iter(f"{SVG}text")]
    assert sum(word in [f"{v:.2f}" for v in here.covered.tolist()] for word in words) >= 3


def test_what_is_dropped_is_dashed():
    dropped = proposals_frame(RAW, "NMS", 0.1, 20).svg
    dashed = [box for box in ElementTree.fromstring(dropped).iter(f"{SVG}rect")
              if box.get("stroke-dasharray")]
    assert len(dashed) == len(steps(RAW, 0.1, 20)[5].gone) > 0
    assert not [box for box in ElementTree.fromstring(
        proposals_frame(RAW, "moved", 0.1, 20).svg).iter(f"{SVG}rect")
        if box.get("stroke-dasharray")]


def test_nothing_left_is_drawn_too():
    found = proposals_frame(RAW, "best few", 0.7, 0)
    assert "-> 0 boxes; objects covered: 0 of 3 at 0.5 and 0 of 3 at 0.7" in found.caption
    ElementTree.fromstring(found.svg)
    assert "0 boxes" in proposals_frame(RAW, "large enough", 0.7, 5, 500.0).caption


def test_boxes_that_stick_out_stay_on_the_paper():
    far = Raw(RAW.image, RAW.targets, RAW.anchors * 9 - 200, RAW.deltas * 0, RAW.logits, SIZES, 15)
    root = ElementTree.fromstring(proposals_frame(far, "moved", 0.7, 5).svg)
    width = float(root.get("width"))
    for box in root.iter(f"{SVG}rect"):
        assert float(box.get("x", 0)) + float(box.get("width")) <= width
        assert float(box.get("x", 0)) >= 0


def test_a_frame_is_quick():
    proposals_frame(RAW, "NMS", 0.7, 20)
    begin = time.process_time()
    for k in range(10):
        proposals_frame(RAW, STEPS[k % 7], 0.7, 20)
    assert time.process_time() - begin < 2  # some 3 ms each on a quiet machine


@pytest.mark.parametrize("change, words", [
    ({"step": "decode"}, "step must be one of anchors, likeliest"),
    ({"nms_iou": 1.5}, "nms_iou must be in 0..1, got 1.5"),
    ({"keep": -1}, "cannot be negative, got -1"),
])
def test_what_cannot_be_drawn_is_said(change, words):
    state = {"step": "NMS", "nms_iou": 0.7, "keep": 5} | change
    with pytest.raises(ValueError, match=words):
        proposals_frame(RAW, **state)


def test_what_does_not_fit_together_is_said():
    with pytest.raises(ValueError, match="59 rows of deltas"):
        Raw(RAW.image, RAW.targets, RAW.anchors, RAW.deltas[1:], RAW.logits, SIZES, 5)
    with pytest.raises(ValueError, match="Recall needs an object"):
        Raw(RAW.image, Targets.empty((50, 60)), RAW.anchors, RAW.deltas, RAW.logits, SIZES, 5)


def test_the_explorer_sweeps_its_steps(capsys):
    explorer = explore_proposals(RAW, 0.7, 8)
    before = explorer.picture.value
    explorer.sweep("step", STEPS)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[0] for line in lines] == [f"step = {step}" for step in STEPS]
    assert explorer.set(step="NMS", nms_iou=0.3) != lines[5] and explorer.picture.value != before
    assert all(control.description for control in explorer.controls.values())


# ---- suppression --------------------------------------------------------------------------------

FIVE = torch.tensor([[0.0, 0, 12, 12], [3, 0, 15, 12], [6, 0, 18, 12], [0, 4, 12, 16],
                     [24, 2, 36, 14]])
SCORES = torch.tensor([0.9, 0.8, 0.7, 0.6, 0.75])


def test_rounds_by_hand():
    """A drops B (3/5), E, C and D drop nobody; at 0.3 A drops B (3/5), C (1/3) and D (1/2)."""
    told = [(r.best, r.dropped) for r in rounds(FIVE, SCORES, 0.5)]
    assert told == [(0, [1]), (4, []), (2, []), (3, [])]
    assert [(r.best, r.dropped) for r in rounds(FIVE, SCORES, 0.3)] == [(0, [1, 2, 3]), (4, [])]


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 999), threshold=st.sampled_from([0.0, 0.2, 0.5, 1.0]))
def test_each_box_is_kept_or_dropped_once(seed, threshold):
    draw = torch.Generator().manual_seed(seed)
    corner = torch.rand(9, 2, generator=draw) * 10
    boxes = torch.cat([corner, corner + 3 + 6 * torch.rand(9, 2, generator=draw)], dim=1)
    scores = torch.rand(9, generator=draw)
    told = rounds(boxes, scores, threshold)
    assert [r.best for r in told] == nms(boxes, scores, threshold).tolist()
    assert sorted([i for r in told for i in (r.best, *r.dropped)]) == list(range(9))


def test_the_rounds_are_drawn_and_said():
    found = nms_frame(FIVE, SCORES, "ABCDE", 0.5, 1)
    assert found.caption == (
        "Threshold 0.50, round 1: A is the best that is left (score 0.90) and drops B (IoU "
        "0.600); kept so far A; 3 left.")
    root = ElementTree.fromstring(found.svg)
    words = [text.text for text in root.iter(f"{SVG}text")]
    assert "kept" in words and "by A" in words and "C 0.70" in words
    assert "nothing decided: 5 boxes wait" in nms_frame(FIVE, SCORES, "ABCDE", 0.5, 0).caption
    assert nms_frame(FIVE, SCORES, "ABCDE", 0.3, 9).caption == (
        "Threshold 0.30, no box is left after round 2: kept A, E.")
    for state in ((1.5, 0), (0.5, -1)):
        with pytest.raises(ValueError, match="must be in 0..1|counts rounds from 0"):
            nms_frame(FIVE, SCORES, "ABCDE", *state)


def test_the_explorer_of_rounds(capsys):
    explorer = explore_nms(FIVE, SCORES, "ABCDE")
    explorer.sweep("done", (0, 1, 4, 6))
    lines = capsys.readouterr().out.splitlines()
    assert "drops B" in lines[1] and lines[3].endswith("kept A, E, C, D.")
    with pytest.raises(ValueError, match="One score and one name a box"):
        explore_nms(FIVE, SCORES, "ABC")
