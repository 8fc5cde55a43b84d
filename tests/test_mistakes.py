"""Every fate of an object and every part of a detection, each drawn by hand."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from teachseg.geometry.masks import masks_to_boxes
from teachseg.mistakes import FATES, PARTS, find_right, judge_image, tally
from teachseg.structures import Detections, Targets

SIZE = (20, 20)


def block(top, left, bottom, right):
    """A mask of one rectangle."""
    mask = torch.zeros(*SIZE, dtype=torch.bool)
    mask[top:bottom, left:right] = True
    return mask


def real(*objects):
    """(label, mask) each."""
    masks = torch.stack([mask for _, mask in objects]) if objects else torch.zeros(0, *SIZE) > 0
    labels = torch.tensor([label for label, _ in objects], dtype=torch.int64)
    return Targets(masks_to_boxes(masks), labels, masks)


def found(*objects):
    """(label, mask) each, best first."""
    targets = real(*objects)
    return Detections(*targets[:2], torch.linspace(0.9, 0.6, len(objects)), targets.masks)


A, B = block(0, 0, 10, 10), block(0, 10, 10, 20)  # 100 pixels each, side by side


def test_found_and_nothing():
    judged = judge_image(found((1, A), (1, block(12, 12, 20, 20))), real((1, A)))
    assert judged.fates == ["found"] and judged.by == [[0]] and judged.fit == [1.0]
    assert judged.parts == ["right", "nothing"]


def test_missed():
    judged = judge_image(found(), real((1, A), (2, B)))
    assert judged.fates == ["missed", "missed"] and judged.by == [[], []] and judged.parts == []


def test_wrong_class():
    judged = judge_image(found((3, A)), real((1, A)))
    assert judged.fates == ["wrong class"] and judged.parts == ["wrong class"]


def test_duplicate_is_the_worse_scored():
    most = block(0, 0, 10, 8)  # IoU 0.8
    judged = judge_image(found((1, most), (1, A)), real((1, A)))
    assert judged.fates == ["found"] and judged.by == [[0]]
    assert judged.fit == [pytest.approx(0.8)] and judged.parts == ["right", "duplicate"]


def test_merged_two_in_one_mask():
    # the union has IoU 1/2 with each, so it would find one of them: make it a little larger
    both = block(0, 0, 11, 20)
    judged = judge_image(found((1, both)), real((1, A), (1, B)))
    assert judged.fates == ["merged", "merged"] and judged.by == [[0], [0]]
    assert judged.parts == ["merged"]


def test_merged_where_one_of_the_two_is_found():
    small = block(0, 10, 4, 14)  # 16 pixels, swallowed by a mask that is right about A
    judged = judge_image(found((1, block(0, 0, 10, 14))), real((1, A), (2, small)))
    assert judged.fates == ["found", "merged"] and judged.parts == ["right"]


def test_a_mask_far_too_large_over_one_object_is_loose():
    judged = judge_image(found((1, block(0, 0, 16, 16))), real((1, A)))  # IoU 100 / 256
    assert judged.fates == ["loose mask"] and judged.parts == ["loose mask"]


def test_split_in_two():
    left, right = block(0, 0, 10, 4), block(0, 6, 10, 10)  # IoU 0.4 each, 80 % together
    judged = judge_image(found((1, left), (2, right)), real((1, A)))
    assert judged.fates == ["split"] and judged.by == [[0, 1]]
    assert judged.parts == ["split", "split"]


def test_pieces_that_overlap_count_once():
    left = block(0, 0, 10, 4)
    judged = judge_image(found((1, left), (1, left)), real((1, A)))
    assert judged.fates == ["loose mask"], "40 % is covered, not 80 %"
    assert judged.parts == ["loose mask", "nothing"]


def test_loose_mask():
    judged = judge_image(found((1, block(0, 0, 10, 3))), real((1, A)))
    assert judged.fates == ["loose mask"] and judged.by == [[0]]
    assert judge_image(found((1, block(0, 0, 9, 1))), real((1, A))).fates == ["missed"]  # IoU 0.09


def test_the_edges_of_the_definitions():
    half, tenth = block(0, 0, 5, 10), block(0, 0, 10, 1)
    assert judge_image(found((1, half)), real((1, A))).fates == ["found"]  # IoU just 1/2
    assert judge_image(found((1, tenth)), real((1, A))).fates == ["loose mask"]  # just 1/10


def test_a_detection_takes_the_object_that_it_fits_best():
    iou = torch.tensor([[0.6, 0.7], [0.9, 0.0]])
    assert find_right(iou, torch.ones(2, 2, dtype=torch.bool)) == [1, 0]
    # where it is taken, the next: COCO's rule
    assert find_right(torch.tensor([[0.8], [0.9]]), torch.ones(2, 1, dtype=torch.bool)) == [0]


def test_two_sizes_are_refused():
    with pytest.raises(ValueError, match=r"masks are \(5, 5\) and the objects' \(20, 20\)"):
        judge_image(Detections.empty((5, 5)), real((1, A)))


def test_the_sums():
    one = judge_image(found((1, A), (1, A)), real((1, A), (2, B)))
    sums = tally([one, one])
    assert (sums.objects, sums.detections) == (4, 4)
    assert sums.fates == {"found": 2, "missed": 2} and sums.parts == {"right": 2, "duplicate": 2}
    assert sums.share("missed") == 0.5 and tally([]).share("missed") == 0


sides = st.integers(0, 14)
shapes = st.tuples(st.integers(1, 3), sides, sides, st.integers(1, 6), st.integers(1, 6))


def masks_of(drawn):
    return [(label, block(top, left, top + high, left + wide))
            for label, top, left, high, wide in drawn]


@given(st.lists(shapes, max_size=5), st.lists(shapes, max_size=5))
def test_everybody_has_one_fate_and_one_part(first, second):
    detections, targets = found(*masks_of(first)), real(*masks_of(second))
    judged = judge_image(detections, targets)
    assert len(judged.fates) == len(targets.labels) and set(judged.fates) <= set(FATES)
    assert len(judged.parts) == len(detections.labels) and set(judged.parts) <= set(PARTS)
    assert judged.parts.count("right") == judged.fates.count("found")
    for fate, behind in zip(judged.fates, judged.by):
        assert (fate == "missed") == (not behind)
        assert len(behind) >= 2 if fate == "split" else len(behind) <= 1


@given(st.lists(shapes, max_size=4, unique=True))
def test_the_truth_makes_no_mistake(drawn):
    targets = real(*masks_of(drawn))
    judged = judge_image(Detections(*targets[:2], torch.ones(len(drawn)), targets.masks), targets)
    assert set(judged.fates) <= {"found"} and set(judged.parts) <= {"right"}
