"""Lesson 40's exercises: right by the library, and by hand."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from teachseg.exercises import comparison as page
from teachseg.geometry.boxes import box_area
from teachseg.geometry.masks import masks_to_boxes
from teachseg.geometry.nms import batched_nms
from teachseg.mistakes import judge_image
from teachseg.structures import Detections, Targets

NAMES = ("found", "wrong class", "merged", "loose mask", "missed")
quick = settings(deadline=None, max_examples=60)
corner, side = st.integers(0, 8), st.integers(1, 8)
rectangles = st.tuples(corner, corner, side, side).map(
    lambda r: (r[0], r[1], min(r[0] + r[2], 12), min(r[1] + r[3], 12)))


@quick
@given(boxes=st.lists(rectangles, min_size=1, max_size=4), threshold=st.sampled_from([0.3, 0.5]),
       classes=st.lists(st.integers(1, 2), min_size=4, max_size=4))
def test_survivors_are_the_librarys(boxes, threshold, classes):
    labels = classes[: len(boxes)]
    tensor = torch.tensor(boxes, dtype=torch.float32)
    kept = batched_nms(tensor, torch.linspace(1, 0.5, len(boxes)), torch.tensor(labels), threshold)
    assert page.survivors([list(map(float, box)) for box in boxes], labels, threshold) == len(kept)


def test_crossing_bars_by_hand():
    """40 x 40 and 36 x 36 inside it: IoU 0.81."""
    assert page.survivors(page.X[:2], [1, 1], 0.5) == 1
    assert page.survivors(page.X[:2], [1, 1], 0.82) == 2


@quick
@given(boxes=st.lists(rectangles, min_size=1, max_size=4))
def test_fill_is_the_librarys(boxes):
    masks = page._scene(*boxes)
    for k in range(len(boxes)):
        if masks[k].any():
            box = masks_to_boxes(masks[k : k + 1].bool())
            own, others = page.fill(masks, k)
            assert own * box_area(box).item() == pytest.approx(masks[k].sum().item(), abs=1e-3)
            assert 0 <= others <= 1 - own + 1e-6


def test_fill_by_hand():
    # the lying bar: 10 x 2 pixels, of which the standing one takes 2 x 2
    assert page.fill(page._cross(), 0) == pytest.approx([0.8, 0.2])
    assert page.fill(page._cross(), 1) == pytest.approx([1.0, 0.0])


@quick
@given(found=st.lists(st.tuples(st.integers(1, 2), rectangles), max_size=1),
       real=st.lists(st.tuples(st.integers(1, 2), rectangles), min_size=1, max_size=3))
def test_fates_are_the_librarys(found, real):
    """With one detection at most there is nothing split, and nobody takes another's."""
    masks = page._scene(*(box for _, box in real)).bool()
    labels = torch.tensor([label for label, _ in real])
    one = page._scene(*(box for _, box in found)).bool() if found else torch.zeros(0, 12, 12) > 0
    said = torch.tensor([label for label, _ in found], dtype=torch.int64)
    keep = masks.flatten(1).any(dim=1)
    masks, labels = masks[keep], labels[keep]
    judged = judge_image(Detections(torch.zeros(len(said), 4), said, torch.ones(len(said)), one),
                         Targets(torch.zeros(len(labels), 4), labels, masks))
    common = (one[:, None] & masks).flatten(2).sum(dim=2)
    covered = common / masks.flatten(1).sum(dim=1)
    union = one.flatten(1).sum(dim=1)[:, None] + masks.flatten(1).sum(dim=1) - common
    for g, fate in enumerate(judged.fates):
        others = [int((row >= 0.5).sum()) - int(row[g] >= 0.5) for row in covered]
        iou = (common / union)[:, g].tolist()
        mine = page.fate(iou, (said == labels[g]).tolist(), covered[:, g].tolist(), others)
        taken = judged.parts.count("right") and fate != "found"
        assert NAMES[mine] == fate or taken, "a detection that found one stands for no other fate"


def test_speedup_by_hand():
    assert page.speedup(page.TIMES, "network", 2.0) == pytest.approx(20 / 14)
