"""Matching by hand, against a slow twin, and where there is nothing to match."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.models.detection._utils import Matcher

from teachseg.geometry.matching import BACKGROUND, IGNORE, OBJECT, match

property_of = settings(deadline=None, max_examples=80)


def match_by_loops(iou, positive, negative, force_best):
    """The same, anchor by anchor: rows of numbers in, two lists out."""
    objects, anchors = len(iou), len(iou[0])
    labels, matched = [], []
    for a in range(anchors):
        overlaps = [iou[g][a] for g in range(objects)]
        best = max(overlaps)
        matched.append(overlaps.index(best))
        forced = force_best and any(0 < iou[g][a] == max(iou[g]) for g in range(objects))
        if best >= positive or forced:
            labels.append(OBJECT)
        else:
            labels.append(BACKGROUND if best < negative else IGNORE)
    return labels, matched


def test_by_hand():
    #  anchors     0    1    2    3    4
    iou = torch.tensor([
        [0.80, 0.10, 0.50, 0.70, 0.30],
        [0.10, 0.20, 0.60, 0.10, 0.05],
    ])  # fmt: skip
    labels, matched = match(iou, positive=0.7, negative=0.3, force_best=False)
    # 0.8 and exactly 0.7: object; 0.2: background; 0.6 and exactly 0.3: neither
    assert labels.tolist() == [OBJECT, BACKGROUND, IGNORE, OBJECT, IGNORE]
    assert matched.tolist() == [0, 1, 1, 0, 0]
    # object 1 has no anchor; by force it gets its best, 0.6
    labels, again = match(iou, positive=0.7, negative=0.3, force_best=True)
    assert labels.tolist() == [OBJECT, BACKGROUND, OBJECT, OBJECT, IGNORE]
    assert torch.equal(matched, again)
    assert labels.dtype == matched.dtype == torch.int64


def test_a_forced_anchor_keeps_its_own_closest_object():
    # anchor 0 is the best of both objects. Object 1 forces it with 0.2, but it lies closer to
    # object 0 and goes on answering for that one: object 1 is nobody's.
    labels, matched = match(torch.tensor([[0.6, 0.5], [0.2, 0.1]]), 0.7, 0.3, force_best=True)
    assert labels.tolist() == [OBJECT, IGNORE]
    assert matched.tolist() == [0, 0]


def test_an_object_that_overlaps_nothing_forces_nothing():
    """Its best overlap is 0, and every anchor away from it has that: all would become objects."""
    iou = torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.4, 0.1]])
    labels, _ = match(iou, 0.7, 0.3, force_best=True)
    assert labels.tolist() == [BACKGROUND, OBJECT, BACKGROUND]
    assert match(torch.zeros(1, 3), 0.7, 0.3, True)[0].tolist() == [BACKGROUND] * 3


def test_all_that_tie_for_the_best_are_forced():
    labels, _ = match(torch.tensor([[0.2, 0.1, 0.2]]), 0.7, 0.3, force_best=True)
    assert labels.tolist() == [OBJECT, BACKGROUND, OBJECT]


def test_without_a_gap_nothing_is_ignored():
    # as rois are matched: 0.5 and up, or background
    labels, _ = match(torch.tensor([[0.49, 0.5, 0.51]]), 0.5, 0.5, force_best=False)
    assert labels.tolist() == [BACKGROUND, OBJECT, OBJECT]


@property_of
@given(st.data())
def test_equals_its_slow_twin(data):
    objects, anchors = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 7))
    tenths = st.lists(st.integers(0, 10), min_size=anchors, max_size=anchors)
    rows = data.draw(st.lists(tenths, min_size=objects, max_size=objects))
    iou = [[value / 10 for value in row] for row in rows]
    force = data.draw(st.booleans())
    labels, matched = match(torch.tensor(iou, dtype=torch.float64), 0.7, 0.3, force)
    assert (labels.tolist(), matched.tolist()) == match_by_loops(iou, 0.7, 0.3, force)


@property_of
@given(st.integers(0, 1000), st.booleans())
def test_equals_torchvision(seed, force):
    # its answer is one number an anchor: the object, -1 for background, -2 for neither
    iou = torch.rand(4, 30, generator=torch.Generator().manual_seed(seed))
    theirs = Matcher(0.7, 0.3, allow_low_quality_matches=force)(iou)
    labels, matched = match(iou, 0.7, 0.3, force)
    code = {IGNORE: -2, BACKGROUND: -1}
    ours = [code.get(label, m) for label, m in zip(labels.tolist(), matched.tolist())]
    assert ours == theirs.tolist()


def test_without_objects_all_is_background():
    labels, matched = match(torch.zeros(0, 3), 0.7, 0.3, force_best=True)
    assert labels.tolist() == [BACKGROUND] * 3 and labels.dtype == torch.int64
    assert matched.tolist() == [0] * 3 and matched.dtype == torch.int64


@pytest.mark.parametrize("objects", [0, 2])
@pytest.mark.parametrize("force", [False, True])
def test_without_anchors_there_is_nothing(objects, force):
    labels, matched = match(torch.zeros(objects, 0), 0.7, 0.3, force)
    assert labels.shape == matched.shape == (0,)


def test_errors_say_how_to_mend_them():
    with pytest.raises(ValueError, match="negative=0.8 is above positive=0.7.*Lower negative"):
        match(torch.zeros(1, 1), 0.7, 0.8, False)
    with pytest.raises(ValueError, match=r"iou must have the shape \(G, A\), got \(3,\)"):
        match(torch.zeros(3), 0.7, 0.3, False)
