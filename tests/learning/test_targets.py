"""What the networks are asked for: small scenes by hand, properties, images without objects."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.models.detection._utils import BoxCoder

from teachseg.geometry.boxes import box_iou, decode_boxes
from teachseg.geometry.masks import crop_masks, mask_iou
from teachseg.geometry.similarity import similarity
from teachseg.learning.targets import (
    BoxLabels,
    instance_map,
    label_boxes,
    mask_level_labels,
    mix_anchor_targets,
    roi_targets,
    rpn_targets,
    sample_boxes,
    seed_labels,
    stage_targets,
)
from teachseg.structures import Targets, with_crowd

property_of = settings(deadline=None, max_examples=40)
WEIGHTS = (10.0, 10.0, 5.0, 5.0)


def chance(seed=0):
    return torch.Generator().manual_seed(seed)


def filled(*rows, size=(20, 20)):
    """Objects that fill their whole-pixel boxes; rows of (x1, y1, x2, y2, label)."""
    boxes = torch.tensor([row[:4] for row in rows], dtype=torch.float32)
    masks = torch.zeros(len(rows), *size, dtype=torch.bool)
    for mask, (x1, y1, x2, y2, _) in zip(masks, rows):
        mask[y1:y2, x1:x2] = True
    return Targets(boxes, torch.tensor([row[4] for row in rows]), masks)


def draw_rois(proposals, targets, size=8, share=0.5, seed=0, **options):
    return roi_targets(
        proposals,
        targets,
        0.5,
        size,
        share,
        WEIGHTS,
        mask_size=4,
        generator=chance(seed),
        **options,
    )


# ------------------------------------------------------------------------- anchors

ANCHORS = torch.tensor([
    [0.0, 0.0, 10.0, 10.0],    # the object itself
    [0.0, 0.0, 10.0, 8.0],     # 0.8 of it
    [0.0, 0.0, 10.0, 5.0],     # a half: neither
    [0.0, 0.0, 10.0, 2.0],     # 0.2: background
    [30.0, 30.0, 40.0, 40.0],  # nothing there
])  # fmt: skip


def test_anchors_by_hand():
    gt = torch.tensor([[0.0, 0.0, 10.0, 10.0]])
    wanted = rpn_targets(ANCHORS, gt, 0.7, 0.3, size=4, object_share=0.5, generator=chance())
    assert sorted(wanted.drawn[:2].tolist()) == [0, 1] and wanted.labels.tolist() == [1, 1, 0, 0]
    assert sorted(wanted.drawn[2:].tolist()) == [3, 4]
    assert wanted.positive.tolist() == wanted.drawn[:2].tolist()
    # anchor 0 is the object; from anchor 1 (center 4, height 8) to it (5, 10): 1/8 down, ln 1.25
    by_anchor = dict(zip(wanted.positive.tolist(), wanted.deltas))
    torch.testing.assert_close(by_anchor[0], torch.zeros(4))
    torch.testing.assert_close(by_anchor[1], torch.tensor([0, 1 / 8, 0, math.log(1.25)]))


def test_the_best_anchor_is_forced():
    # the object overlaps anchor 4 by 25 of 100 only: background by overlap, but its best
    gt = torch.tensor([[30.0, 30.0, 35.0, 35.0]])
    wanted = rpn_targets(ANCHORS, gt, 0.7, 0.3, 4, 0.5, chance())
    assert wanted.positive.tolist() == [4] and wanted.labels.tolist() == [1, 0, 0, 0]


def test_anchors_of_an_image_without_objects():
    wanted = rpn_targets(ANCHORS, torch.zeros(0, 4), 0.7, 0.3, 4, 0.5, chance())
    assert wanted.labels.tolist() == [0] * 4  # four of the five
    assert wanted.positive.shape == (0,) and wanted.deltas.shape == (0, 4)


def test_anchors_in_a_crowd_are_not_background():
    """The last anchor lies in the region by 0.8; the fourth touches it by 0."""
    gt = torch.tensor([[0.0, 0.0, 10.0, 10.0]])
    crowd = torch.tensor([[30.0, 30.0, 38.0, 60.0]])
    drawn = rpn_targets(ANCHORS, gt, 0.7, 0.3, 10, 0.5, chance(), crowd=crowd).drawn
    assert sorted(drawn.tolist()) == [0, 1, 3]
    less = torch.tensor([[30.0, 30.0, 36.0, 60.0]])  # 0.6: not enough
    drawn = rpn_targets(ANCHORS, gt, 0.7, 0.3, 10, 0.5, chance(), crowd=less).drawn
    assert sorted(drawn.tolist()) == [0, 1, 3, 4]
    # an anchor on an object is an object, crowd or not
    drawn = rpn_targets(ANCHORS, gt, 0.7, 0.3, 10, 0.5, chance(), crowd=gt)
    assert sorted(drawn.drawn.tolist()) == [0, 1, 4] and drawn.labels.sum() == 2


def test_rois_in_a_crowd_are_not_background():
    targets = filled((0, 0, 10, 10, 3))
    proposals = torch.tensor([[10.0, 10.0, 20.0, 20.0], [0.0, 10.0, 10.0, 20.0]])
    assert draw_rois(proposals, targets).labels.tolist() == [3, 0, 0]
    region = filled((12, 10, 20, 20, 1))  # 0.8 of the first proposal
    assert draw_rois(proposals, with_crowd(targets, region)).labels.tolist() == [3, 0]


def test_no_anchors():
    wanted = rpn_targets(torch.zeros(0, 4), ANCHORS[:1], 0.7, 0.3, 4, 0.5, chance())
    assert wanted.drawn.shape == wanted.labels.shape == (0,) and wanted.deltas.shape == (0, 4)


@property_of
@given(st.integers(0, 10_000))
def test_what_the_rpn_is_asked_leads_to_the_objects(seed):
    random = chance(seed)
    corners = torch.rand(60, 2, generator=random) * 50
    anchors = torch.cat([corners, corners + torch.rand(60, 2, generator=random) * 30 + 2], dim=1)
    gt = (
        anchors[torch.randperm(60, generator=random)[:3]] + torch.rand(3, 4, generator=random) * 0.5
    )
    wanted = rpn_targets(anchors, gt, 0.7, 0.3, 16, 0.5, random)
    assert len(wanted.drawn) == len(wanted.labels) <= 16
    assert int(wanted.labels.sum()) == len(wanted.positive) <= 8
    assert torch.equal(wanted.drawn[wanted.labels == 1], wanted.positive)
    # carried along its delta, every positive anchor lies on the object that it overlaps most
    there = decode_boxes(wanted.deltas, anchors[wanted.positive])
    closest = box_iou(anchors[wanted.positive], gt).argmax(dim=1)
    torch.testing.assert_close(there, gt[closest], atol=1e-3, rtol=1e-4)
    # background overlaps no object by 0.3
    background = wanted.drawn[wanted.labels == 0]
    assert bool((box_iou(anchors[background], gt) < 0.3).all())


# ------------------------------------------------------------------------- rois


def test_rois_by_hand():
    targets = filled((0, 0, 10, 10, 3))
    proposals = torch.tensor([[0.0, 0.0, 10.0, 5.0], [12.0, 12.0, 18.0, 18.0]])
    wanted = draw_rois(proposals, targets)
    # the object's own box and the first proposal (exactly a half) are positive, the other is not
    assert wanted.labels.tolist() == [3, 3, 0]
    assert wanted.boxes[2].tolist() == [12, 12, 18, 18]
    half = 0 if wanted.boxes[0].tolist() == [0, 0, 10, 5] else 1
    assert wanted.boxes[half].tolist() == [0, 0, 10, 5]
    assert wanted.boxes[1 - half].tolist() == [0, 0, 10, 10]
    # from (5, 2.5), 10 x 5 to (5, 5), 10 x 10: half a height down, ln 2; times (10, 10, 5, 5)
    torch.testing.assert_close(wanted.deltas[half], torch.tensor([0, 5.0, 0, 5 * math.log(2)]))
    torch.testing.assert_close(wanted.deltas[1 - half], torch.zeros(4))
    torch.testing.assert_close(wanted.crops, torch.ones(2, 4, 4))


def test_the_mask_target_depends_on_the_roi():
    # the roi is the object and as much again to its right: the left half of the crop is full
    targets = filled((0, 0, 8, 8, 1))
    wanted = draw_rois(torch.tensor([[0.0, 0.0, 16.0, 8.0]]), targets, size=8, share=1.0)
    wide = wanted.boxes.tolist().index([0, 0, 16, 8])
    expected = torch.zeros(4, 4)
    expected[:, :2] = 1
    torch.testing.assert_close(wanted.crops[wide], expected)


def test_each_roi_answers_for_its_own_object():
    targets = filled((0, 0, 8, 8, 2), (10, 10, 18, 18, 5))
    near_each = torch.tensor([[10.0, 10.0, 18.0, 17.0], [0.0, 0.0, 8.0, 7.0]])
    wanted = draw_rois(near_each, targets, size=4, share=1.0)
    assert len(wanted.labels) == 4
    for box, label, delta in zip(wanted.boxes, wanted.labels, wanted.deltas):
        matched = 0 if box[0] < 9 else 1
        assert label == targets.labels[matched]
        expected = BoxCoder(WEIGHTS).encode_single(targets.boxes[matched][None], box[None])
        torch.testing.assert_close(delta[None], expected)


def test_the_masks_may_be_in_another_frame():
    # boxes in an image of twice the width and thrice the height of the masks
    targets = filled((0, 0, 10, 10, 1))
    plain = draw_rois(torch.tensor([[0.0, 0.0, 10.0, 7.0]]), targets)
    scale = torch.tensor([2.0, 3.0, 2.0, 3.0])
    larger = targets._replace(boxes=targets.boxes * scale)
    scaled = draw_rois(torch.tensor([[0.0, 0.0, 20.0, 21.0]]), larger, mask_frame=(1 / 2, 1 / 3))
    torch.testing.assert_close(scaled.boxes, plain.boxes * scale)
    torch.testing.assert_close(scaled.crops, plain.crops)
    torch.testing.assert_close(scaled.deltas, plain.deltas)


def test_proposals_without_area_are_dropped():
    flat = torch.tensor([[3.0, 3.0, 3.0, 9.0], [5.0, 5.0, 9.0, 5.0], [9.0, 9.0, 2.0, 2.0]])
    wanted = draw_rois(flat, filled((0, 0, 10, 10, 1)))
    assert wanted.boxes.tolist() == [[0, 0, 10, 10]]


def test_rois_of_an_image_without_objects():
    proposals = torch.tensor([[0.0, 0.0, 10.0, 5.0], [12.0, 12.0, 18.0, 18.0]])
    wanted = draw_rois(proposals, Targets.empty((20, 20)))
    assert wanted.labels.tolist() == [0, 0] and wanted.boxes.shape == (2, 4)
    assert wanted.deltas.shape == (0, 4) and wanted.crops.shape == (0, 4, 4)


def test_without_proposals_the_objects_themselves_are_drawn():
    wanted = draw_rois(torch.zeros(0, 4), filled((0, 0, 10, 10, 2)))
    assert wanted.labels.tolist() == [2] and wanted.boxes.tolist() == [[0, 0, 10, 10]]


def test_neither_proposals_nor_objects():
    wanted = draw_rois(torch.zeros(0, 4), Targets.empty((20, 20)))
    assert wanted.boxes.shape == wanted.deltas.shape == (0, 4)
    assert wanted.labels.shape == (0,) and wanted.crops.shape == (0, 4, 4)


@property_of
@given(st.integers(0, 10_000))
def test_what_the_heads_are_asked(seed):
    random = chance(seed)
    corners = torch.rand(40, 2, generator=random) * 14
    proposals = torch.cat([corners, corners + torch.rand(40, 2, generator=random) * 8], dim=1)
    targets = filled((1, 1, 9, 7, 2), (6, 5, 15, 19, 4))
    wanted = draw_rois(proposals, targets, size=12, share=0.25, seed=seed)
    positive = wanted.labels > 0
    count = int(positive.sum())
    assert len(wanted.boxes) == 12 and 1 <= count <= 3  # a quarter of 12
    assert bool(positive[:count].all())  # they come first
    overlaps = box_iou(wanted.boxes, targets.boxes)
    assert torch.equal(positive, overlaps.amax(dim=1) >= 0.5)
    closest = overlaps.argmax(dim=1)[:count]
    assert torch.equal(wanted.labels[:count], targets.labels[closest])
    there = decode_boxes(wanted.deltas, wanted.boxes[:count], WEIGHTS)
    torch.testing.assert_close(there, targets.boxes[closest], atol=1e-3, rtol=1e-4)
    torch.testing.assert_close(
        wanted.crops, crop_masks(targets.masks, wanted.boxes[:count], 4, index=closest)
    )


@pytest.mark.parametrize("seed", [0, 1])
def test_the_same_generator_gives_the_same_targets(seed):
    corners = torch.rand(40, 2, generator=chance(9)) * 14
    proposals = torch.cat([corners, corners + 5], dim=1)
    targets = filled((1, 1, 9, 7, 2))
    first = draw_rois(proposals, targets, seed=seed)
    for one, again in zip(first, draw_rois(proposals, targets, seed=seed)):
        assert torch.equal(one, again)
    assert not torch.equal(first.boxes, draw_rois(proposals, targets, seed=seed + 10).boxes)


# ------------------------------------------------------------------------- MNC's cascade


def test_anchors_that_do_not_count_are_never_drawn():
    """Without the first, the second is the object's best, 0.8; the last two are background."""
    gt = torch.tensor([[0.0, 0.0, 10.0, 10.0]])
    counts = torch.tensor([False, True, True, True, True])
    wanted = rpn_targets(ANCHORS, gt, 0.9, 0.3, 8, 0.5, chance(), counts)
    assert sorted(wanted.drawn.tolist()) == [1, 3, 4]
    assert wanted.positive.tolist() == [1]
    none = rpn_targets(ANCHORS, gt, 0.9, 0.3, 8, 0.5, chance(), torch.zeros(5, dtype=torch.bool))
    assert none.drawn.shape == none.positive.shape == (0,) and none.deltas.shape == (0, 4)


def test_all_anchors_count_where_nothing_is_said():
    gt = torch.tensor([[0.0, 0.0, 10.0, 10.0]])
    every = torch.ones(5, dtype=torch.bool)
    for a, b in zip(rpn_targets(ANCHORS, gt, 0.7, 0.3, 4, 0.5, chance()),
                    rpn_targets(ANCHORS, gt, 0.7, 0.3, 4, 0.5, chance(), every)):
        assert torch.equal(a, b)


def test_mixed_anchors_by_hand():
    """Anchor 2 was ignored and becomes an object, 0 was one and becomes background."""
    gt = torch.tensor([[0.0, 0.0, 10.0, 10.0]])
    drawn = rpn_targets(ANCHORS, gt, 0.7, 0.3, 8, 0.5, chance())
    assert sorted(drawn.drawn.tolist()) == [0, 1, 3, 4]
    assert sorted(drawn.positive.tolist()) == [0, 1]
    mixed = mix_anchor_targets(drawn, ANCHORS, gt, torch.tensor([2]), torch.tensor([0, 4]))
    assert mixed.drawn.tolist() == [0, 1, 2, 3, 4]
    assert mixed.labels.tolist() == [0, 1, 1, 0, 0]
    assert mixed.positive.tolist() == [1, 2]
    torch.testing.assert_close(decode_boxes(mixed.deltas, ANCHORS[[1, 2]]), gt.expand(2, 4))


def test_mixed_anchors_without_objects():
    gt, none = torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64)
    drawn = rpn_targets(ANCHORS, gt, 0.7, 0.3, 2, 0.5, chance())
    mixed = mix_anchor_targets(drawn, ANCHORS, gt, none, torch.tensor([0, 1, 2]))
    assert not mixed.labels.any() and len(mixed.drawn) >= 3
    assert mixed.positive.shape == (0,) and mixed.deltas.shape == (0, 4)


def test_boxes_are_labelled_by_their_closest_object():
    targets = filled((0, 0, 10, 10, 3), (10, 0, 20, 10, 5))
    boxes = torch.tensor([
        [0.0, 0.0, 10.0, 10.0],   # the first object
        [10.0, 0.0, 20.0, 5.0],   # exactly half of the second
        [8.0, 0.0, 18.0, 10.0],   # 0.8 of the second's width: 80 / 120
        [5.0, 0.0, 14.0, 10.0],   # 50 / 140 of the first, 40 / 150 of the second
        [3.0, 3.0, 3.0, 9.0],     # a line
    ], requires_grad=True)  # fmt: skip
    found = label_boxes(boxes, targets, 0.5)
    assert found.labels.tolist() == [3, 5, 5, 0, 0]
    assert found.matched.tolist()[:4] == [0, 1, 1, 0]
    torch.testing.assert_close(found.overlap, torch.tensor([1, 0.5, 2 / 3, 5 / 14, 0]))
    assert not found.overlap.requires_grad
    none = label_boxes(boxes, Targets.empty((20, 20)), 0.5)
    assert not none.labels.any() and not none.overlap.any() and len(none.matched) == 5
    assert label_boxes(torch.zeros(0, 4), targets, 0.5).labels.shape == (0,)


def kinds(objects, near, far):
    """So many boxes on an object, near one (0.1 to 0.5) and far from all."""
    overlap = torch.tensor([0.9] * objects + [0.1] * near + [0.09] * far)
    labels = (overlap >= 0.5).long() * 2
    return BoxLabels(labels, torch.zeros_like(labels), overlap)


@pytest.mark.parametrize(
    "there, drawn",
    [
        ((40, 200, 200), (19, 38, 7)),  # 64: int(19.2) objects; of 45, round(38.25) near, 7 far
        ((3, 200, 200), (3, 52, 9)),    # of 61, round(51.85) near
        ((40, 10, 200), (19, 10, 35)),  # not enough near ones: far ones instead
        ((40, 200, 0), (19, 38, 0)),    # no far ones: fewer than 64
        ((0, 0, 5), (0, 0, 5)),
        ((0, 0, 0), (0, 0, 0)),
    ],
)  # fmt: skip
def test_the_released_draw_of_boxes(there, drawn):
    found = kinds(*there)
    picked = sample_boxes(found, 64, 0.3, chance(), 0.85, 0.1)
    assert len(set(picked.tolist())) == len(picked)
    overlap = found.overlap[picked]
    counts = ((overlap > 0.5).sum(), (overlap == 0.1).sum(), (overlap < 0.1).sum())
    assert tuple(int(n) for n in counts) == drawn
    assert bool((found.labels[picked].diff() <= 0).all())  # objects first


def test_a_plain_draw_of_boxes():
    picked = sample_boxes(kinds(40, 100, 100), 20, 0.25, chance())
    assert len(picked) == 20 and int((picked < 40).sum()) == 5
    assert torch.equal(picked, sample_boxes(kinds(40, 100, 100), 20, 0.25, chance()))


def test_stage_targets_by_hand():
    targets = filled((0, 0, 10, 10, 3), (10, 10, 20, 20, 5))
    targets.masks[0, :, 5:] = False  # the first object is the left half of its box
    boxes = torch.tensor([[12.0, 0, 14, 2], [0, 0, 10, 10], [10, 10, 20, 18]], requires_grad=True)
    asked = stage_targets(boxes, targets, 0.5, WEIGHTS, mask_size=2, binarize=0.5)
    assert asked.labels.tolist() == [0, 3, 5]
    # the second sits on its object; the third has 8 of 10 rows: center 1 lower of 8, ln(10 / 8)
    expected = torch.tensor([[0.0, 0, 0, 0], [0, 10 * 1 / 8, 0, 5 * math.log(10 / 8)]])
    torch.testing.assert_close(asked.deltas, expected)
    assert asked.crops.tolist() == [[[1, 0], [1, 0]], [[1, 1], [1, 1]]]
    assert not asked.deltas.requires_grad and not asked.crops.requires_grad


def test_the_threshold_of_mask_targets():
    """A bin that is 0.45 object: background from 0.5 on, object from the released 0.4 on."""
    targets = filled((0, 0, 10, 20, 1))
    targets.masks[0, 9:] = False
    box = torch.tensor([[0.0, 0.0, 10.0, 20.0]])
    shares = [stage_targets(box, targets, 0.5, WEIGHTS, 1, binarize).crops.item()
              for binarize in (0.4, 0.45, 0.5)]  # fmt: skip
    assert shares == [1, 1, 0]


def test_stage_targets_in_a_resized_image():
    """Boxes twice as large as the masks' frame, across alone."""
    targets = filled((0, 0, 10, 10, 1))
    wide = targets._replace(boxes=torch.tensor([[0.0, 0.0, 20.0, 10.0]]))
    box = torch.tensor([[0.0, 0.0, 40.0, 10.0]])
    asked = stage_targets(box, wide, 0.5, WEIGHTS, 2, 0.5, mask_frame=(0.5, 1.0))
    assert asked.crops.tolist() == [[[1, 0], [1, 0]]]


def mask_labels(crops, boxes, targets, binarize=0.5, frame=(1.0, 1.0)):
    asked = stage_targets(boxes, targets, 0.5, WEIGHTS, crops.shape[1], binarize, frame)
    return asked, mask_level_labels(crops, boxes, asked, targets.masks, binarize, 0.5, frame)


def test_mask_labels_by_hand():
    """One object of 10 x 10; its box, and crops of four bins of 25 pixels each."""
    targets = filled((0, 0, 10, 10, 4))
    box = targets.boxes
    cases = (
        ([[1, 1], [1, 1]], 4),      # 100 / 100
        ([[1, 1], [0, 0]], 4),      # exactly half
        ([[1, 0], [0, 0]], 0),      # a quarter
        ([[0, 0], [0, 0]], 0),      # nothing
        ([[0.4, 0.4], [0.4, 0.4]], 0),  # nothing above 0.5
    )
    sharp = [torch.tensor(crop).float().repeat_interleave(5, 0).repeat_interleave(5, 1)[None]
             for crop, _ in cases]  # 10 x 10 bins, one a pixel: pasting changes nothing
    for crop, (_, label) in zip(sharp, cases):
        assert mask_labels(crop, box, targets)[1].tolist() == [label]
    assert mask_labels(sharp[-1], box, targets, binarize=0.4)[1].tolist() == [4]


def test_the_object_outside_of_the_box_counts():
    """The box holds 60 of the object's 100 pixels, 50 % of them are masked: 30 / 100. And a full
    mask in it has 60 / 100."""
    targets = filled((0, 0, 10, 10, 4))
    box = torch.tensor([[0.0, 0.0, 10.0, 6.0]])
    full, half = torch.ones(1, 30, 30), torch.ones(1, 30, 30)
    half[:, :, 15:] = 0
    assert mask_labels(full, box, targets)[1].tolist() == [4]
    assert mask_labels(half, box, targets)[1].tolist() == [0]


def test_mask_labels_stand_where_their_boxes_do():
    targets = filled((0, 0, 10, 10, 4), (10, 10, 20, 20, 2))
    boxes = torch.tensor([[0.0, 12, 4, 16], [10, 10, 20, 20], [5, 5, 9, 9], [0, 0, 10, 10]])
    crops = torch.stack([torch.ones(4, 4), torch.zeros(4, 4)])
    asked, labels = mask_labels(crops, boxes, targets)
    assert asked.labels.tolist() == [0, 2, 0, 4]
    assert labels.tolist() == [0, 2, 0, 0]
    frame = (0.5, 0.5)  # the same boxes and objects in an image of twice the size
    large = targets._replace(boxes=targets.boxes * 2)
    assert mask_labels(crops, boxes * 2, large, frame=frame)[1].tolist() == [0, 2, 0, 0]


def test_no_positive_box_no_mask_label():
    targets, boxes = Targets.empty((20, 20)), torch.tensor([[0.0, 0, 4, 4]])
    asked, labels = mask_labels(torch.zeros(0, 4, 4), boxes, targets)
    assert labels.tolist() == [0] and asked.crops.shape == (0, 4, 4)
    asked, labels = mask_labels(torch.zeros(0, 4, 4), boxes[:0], targets)
    assert labels.shape == (0,) and asked.deltas.shape == (0, 4)


# ---- cells and seeds (deep metric learning) -----------------------------------------------------


def test_instance_map_by_hand():
    """6 x 2 pixels, cells of 2 x 2. The first cell: object 0 has 2 pixels of 4, background 2: the
    object's. The second: object 1 has 1, background 3. The third: object 1 has 3, object 0 one."""
    masks = torch.zeros(2, 2, 6, dtype=torch.bool)
    masks[0, :, 0] = masks[0, 0, 4] = True
    masks[1, 0, 2] = masks[1, 1, 4] = masks[1, :, 5] = True
    assert instance_map(masks, (1, 3), (2, 2)).tolist() == [[1, 0, 2]]


def test_instance_map_beyond_the_image_and_without_objects():
    """3 pixels in cells of 2: half of the second lies in the image. The third does not."""
    none = torch.zeros(0, 2, 3, dtype=torch.bool)
    assert instance_map(none, (1, 3), (2, 2)).tolist() == [[0, 0, -1]]
    full = torch.ones(1, 2, 3, dtype=torch.bool)
    assert instance_map(full, (1, 3), (2, 2)).tolist() == [[1, 1, -1]]


def test_cells_of_a_crowd_belong_to_nobody():
    """2 x 8 pixels, four cells: an object, half a crowd, a quarter of one, an object in a crowd."""
    masks = torch.zeros(2, 2, 8, dtype=torch.bool)
    masks[0, :, :2] = masks[1, :, 6:] = True
    crowd = torch.zeros(1, 2, 8, dtype=torch.bool)
    crowd[0, 0, 2:4] = crowd[0, 0, 4] = crowd[0, :, 6:] = True
    assert instance_map(masks, (1, 4), (2, 2), crowd).tolist() == [[1, -1, 0, 2]]
    assert instance_map(masks[:0], (1, 4), (2, 2), crowd).tolist() == [[0, -1, 0, -1]]


def test_instance_map_of_overlapping_masks_gives_equals_to_the_first():
    assert instance_map(torch.ones(2, 2, 2, dtype=torch.bool), (1, 1), (2, 2)).tolist() == [[1]]


def slow_seed_labels(embeddings, points, instances, labels, taus, positive_iou):
    """Point by point, tau by tau: grow, compare with every object, name it."""
    height, width = instances.shape
    objects = torch.stack([instances == g + 1 for g in range(len(labels))])
    inside = instances != -1
    rows = []
    for tau in taus:
        row = []
        for point in points.tolist():
            own = embeddings[:, point // width, point % width]
            grown = similarity(embeddings.permute(1, 2, 0), own) >= tau
            ious = mask_iou((grown & inside)[None], objects)[0].tolist()
            best = max(range(len(ious)), key=lambda g: ious[g])
            row.append(int(labels[best]) if ious[best] >= positive_iou else 0)
        rows.append(row)
    return rows


@pytest.mark.parametrize("dim", [1, 2, 7])
def test_seed_labels_equal_the_slow_twin(dim):
    """Two objects and background, their embeddings around three places; a strip outside."""
    draw = chance(dim)
    instances = torch.zeros(6, 9, dtype=torch.int64)
    instances[1:4, 1:4], instances[2:6, 5:8], instances[:, 8] = 1, 2, -1
    places = 1.2 * torch.randn(4, dim, generator=draw)
    embeddings = places[instances].permute(2, 0, 1)
    embeddings = embeddings + 0.35 * torch.randn(embeddings.shape, generator=draw)
    points, labels = torch.arange(54)[instances.flatten() >= 0], torch.tensor([4, 2])
    taus = (0.25, 0.5, 0.75, 0.9)
    found = seed_labels(embeddings, points, instances, labels, taus, 0.5)
    assert found.tolist() == slow_seed_labels(embeddings, points, instances, labels, taus, 0.5)
    assert {0, 2, 4} == set(found.flatten().tolist()) or dim == 1


def test_seed_labels_follow_the_embeddings_of_the_step():
    """A row of four cells, an object of two. While the embeddings are all alike every mask is the
    whole row: IoU 2/4, just good enough. Once the right half is elsewhere, the mask is the object;
    and what grows from the right half is of no class."""
    instances, labels = torch.tensor([[1, 1, 0, 0]]), torch.tensor([3])
    points = torch.arange(4)
    alike = torch.zeros(2, 1, 4)
    assert seed_labels(alike, points, instances, labels, (0.5,), 0.5).tolist() == [[3] * 4]
    assert seed_labels(alike, points, instances, labels, (0.5,), 0.51).tolist() == [[0] * 4]
    apart = torch.tensor([[[0.0, 0, 5, 5]], [[0, 0, 0, 0]]])
    assert seed_labels(apart, points, instances, labels, (0.5,), 0.5).tolist() == [[3, 3, 0, 0]]


def test_seed_labels_look_at_every_tau():
    """Distances 0, 0.5, 1 and 3: sigma 1, .88, .54, .0002 from the left. The object is two cells:
    at 0.9 one of them (1/2), at 0.75 both, at 0.5 three (2/3), at 0.0001 all (2/4)."""
    embeddings = torch.tensor([0.0, 0.5, 1.0, 3.0]).view(1, 1, 4)
    instances, labels = torch.tensor([[1, 1, 0, 0]]), torch.tensor([1])
    found = seed_labels(embeddings, torch.tensor([0]), instances, labels,
                        (0.9, 0.75, 0.5, 0.0001), 0.6)
    assert found.flatten().tolist() == [0, 1, 1, 0]


def test_seed_labels_of_nothing():
    instances = torch.zeros(2, 3, dtype=torch.int64)
    none = torch.zeros(0, dtype=torch.int64)
    args = torch.zeros(4, 2, 3), torch.arange(5), instances
    assert seed_labels(*args, none, (0.5, 0.9)).tolist() == [[0] * 5] * 2
    assert seed_labels(args[0], none, instances, torch.tensor([1]), (0.5,)).shape == (1, 0)
    # an object too small for any cell fits no mask
    assert seed_labels(*args, torch.tensor([1]), (0.5,)).tolist() == [[0] * 5]


def test_seed_labels_pass_no_gradient_and_are_finite_far_away():
    embeddings = torch.tensor([0.0, 1e4, -1e4, 1e20]).view(1, 1, 4).requires_grad_()
    instances = torch.tensor([[1, 2, 3, 4]])
    found = seed_labels(embeddings, torch.arange(4), instances, torch.tensor([1, 2, 3, 4]), (0.5,))
    assert found.tolist() == [[1, 2, 3, 4]] and not found.requires_grad


def test_seed_labels_hold_no_stack_larger_than_the_embeddings(monkeypatch):
    """200 points on a map of 32 x 32 with D = 8: never more than 8 x 1024 distances at once."""
    import teachseg.learning.targets as module

    sizes, right = [], module.distances_to
    monkeypatch.setattr(module, "distances_to",
                        lambda pixels, own: (sizes.append(len(own) * pixels.shape[1]),
                                             right(pixels, own))[1])
    embeddings = torch.randn(8, 32, 32, generator=chance())
    instances = torch.ones(32, 32, dtype=torch.int64)
    seed_labels(embeddings, torch.arange(200), instances, torch.tensor([1]), (0.5,))
    assert len(sizes) == 25 and max(sizes) <= embeddings.numel()
