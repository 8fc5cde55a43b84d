"""AP^r and COCO AP: scenes of a few pixels by hand, a slow twin, pycocotools, the memory kept."""

import contextlib
import io
import logging
import math
import sys
import weakref
from fractions import Fraction

import numpy as np
import pytest
import torch
from faster_coco_eval.core import mask as rle
from hypothesis import given, settings
from hypothesis import strategies as st

from teachseg import evaluate
from teachseg.evaluate import (
    COCO_NAMES,
    INTERPOLATIONS,
    CocoMaskAP,
    MaskAP,
    average_precision,
    coco_mask_ap,
    encode,
    evaluate_pairs,
    mask_ap_r,
    precision_recall,
    see_each,
)
from teachseg.geometry.masks import mask_iou
from teachseg.structures import Detections, Targets, crowd_of, with_crowd

SIZE = (2, 10)  # most scenes below are 2 x 10 pixels, numbered row by row


def pixels(*numbers, size=SIZE):
    """A mask (H, W) of these pixels."""
    mask = torch.zeros(size[0] * size[1], dtype=torch.bool)
    mask[list(numbers)] = True
    return mask.view(size)


def stack(masks, size=SIZE):
    return torch.stack(masks) if masks else torch.zeros(0, *size, dtype=torch.bool)


def found(*objects, size=SIZE):
    """Detections from (label, score, mask)s."""
    labels, scores, masks = zip(*objects) if objects else ((), (), ())
    return Detections(torch.zeros(len(masks), 4), torch.tensor(labels, dtype=torch.int64),
                      torch.tensor(scores), stack(masks, size))


def real(*objects, size=SIZE):
    """Targets from (label, mask)s."""
    labels, masks = zip(*objects) if objects else ((), ())
    return Targets(torch.zeros(len(masks), 4), torch.tensor(labels, dtype=torch.int64),
                   stack(masks, size))


A, B, C, D = pixels(0, 1), pixels(4, 5), pixels(10, 11), pixels(14, 15)
NOWHERE = pixels(8, 9)


# --- From a curve to a number ---------------------------------------------------------------------


@pytest.mark.parametrize("way, expected", [
    # envelope 1, .75, .75, .75, .6 at recalls .25, .25, .5, .75, .75
    ("11-point", (3 * 1 + 5 * 0.75) / 11),     # 0, .1, .2 | .3 to .7        -> 0.613636
    ("exact", 0.25 * 1 + 0.5 * 0.75),          # 0 to .25 | .25 to .75       -> 0.625
    ("101-point", (26 * 1 + 50 * 0.75) / 101),  # 0 to .25 | .26 to .75      -> 0.628713
])
@pytest.mark.parametrize("make", [list, torch.tensor, lambda x: torch.tensor(x).double()])
def test_average_precision_by_hand(way, expected, make):
    recall = make([0.25, 0.25, 0.5, 0.75, 0.75])
    precision = make([1, 1 / 2, 2 / 3, 3 / 4, 3 / 5])
    assert average_precision(precision, recall, way) == pytest.approx(expected, abs=1e-7)
    known = {"11-point": 0.613636, "exact": 0.625, "101-point": 0.628713}
    assert round(expected, 6) == known[way]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_recall_on_the_grid_reaches_it(dtype):
    """k of n objects found, precision 1: the share of grid points at or below k / n, in fractions.

    0.3 and 0.7 are among them, which np.arange(0, 1.1, 0.1) and float32 put on the wrong side.
    """
    for n in (7, 10, 30, 100):
        for k in range(1, n + 1):
            recall = torch.tensor([k / n], dtype=dtype)
            precision = torch.ones(1, dtype=dtype)
            for way, steps in (("11-point", 10), ("101-point", 100)):
                reached = sum(Fraction(j, steps) <= Fraction(k, n) for j in range(steps + 1))
                ap = average_precision(precision, recall, way)
                assert ap == pytest.approx(reached / (steps + 1), abs=1e-12), (k, n, way)


def test_three_of_ten_and_seven_of_ten_end_to_end():
    def scene(count):
        every = [(1, pixels(2 * i, 2 * i + 1)) for i in range(10)]
        return found(*[(1, 0.9, mask) for _, mask in every[:count]]), real(*every)

    assert mask_ap_r(*zip(scene(3)), num_classes=1)[1] == pytest.approx(4 / 11)  # 0, .1, .2, .3
    assert mask_ap_r(*zip(scene(7)), num_classes=1)[1] == pytest.approx(8 / 11)


@pytest.mark.parametrize("way", INTERPOLATIONS)
def test_empty_and_undefined_curves(way):
    assert average_precision(torch.zeros(0), torch.zeros(0), way) == 0.0
    assert average_precision(torch.zeros(2), torch.zeros(2), way) == 0.0  # two false positives
    assert math.isnan(average_precision(torch.zeros(1), torch.tensor([math.nan]), way))
    assert average_precision(torch.ones(1), torch.ones(1), way) == pytest.approx(1.0)


@given(st.lists(st.booleans(), max_size=30), st.integers(0, 5))
def test_exact_area_by_fractions(flags, missed):
    """The area under the envelope, column by column in exact fractions; the others stay near it."""
    num_objects = max(1, sum(flags) + missed)
    scores = torch.linspace(1, 0, len(flags)) if flags else torch.zeros(0)
    precision, recall = precision_recall(scores, torch.tensor(flags, dtype=torch.bool), num_objects)
    points, hits = [], 0
    for i, flag in enumerate(flags, start=1):
        hits += flag
        points.append((Fraction(hits, i), Fraction(hits, num_objects)))
    area = sum(
        Fraction(1, num_objects) * max(p for p, r in points if r >= Fraction(k, num_objects))
        for k in range(1, hits + 1)
    )
    assert precision.tolist() == pytest.approx([float(p) for p, _ in points])
    assert recall.tolist() == pytest.approx([float(r) for _, r in points])
    assert average_precision(precision, recall, "exact") == pytest.approx(float(area))
    for way, step in (("11-point", 0.1), ("101-point", 0.01)):
        assert abs(average_precision(precision, recall, way) - float(area)) <= step + 1e-9


def test_precision_recall_sorts_and_keeps_ties():
    scores = torch.tensor([0.5, 0.9, 0.5])
    precision, recall = precision_recall(scores, torch.tensor([True, False, False]), 2)
    # best first: False (.9), then the two .5 as they came: True, False
    assert precision.tolist() == pytest.approx([0, 1 / 2, 1 / 3])
    assert recall.tolist() == [0, 0.5, 0.5]
    assert precision.dtype == recall.dtype == torch.float64
    nothing = precision_recall(torch.zeros(0), torch.zeros(0, dtype=torch.bool), 3)
    assert [len(part) for part in nothing] == [0, 0]
    assert precision_recall(scores, scores > 1, 0)[1].isnan().all()


# --- VOC's rules ----------------------------------------------------------------------------------


def test_the_worked_curve_over_three_images():
    """Four objects; by falling score: found, nowhere, found, found, a second time: T F T T F."""
    detections = [
        found((1, 0.9, A), (1, 0.7, B)),
        found((1, 0.8, NOWHERE), (1, 0.5, C)),
        found((1, 0.6, C)),
    ]
    targets = [real((1, A), (1, B)), real(), real((1, C), (1, D))]
    # by score: .9 T, .8 F, .7 T, .6 T, .5 F  (image 2 has no object: C there is false)
    metric = MaskAP(1)
    for pair in zip(detections, targets):
        metric.add(*pair)
    scores, precision, recall = metric.curve(label=1)
    assert scores.tolist() == pytest.approx([0.9, 0.8, 0.7, 0.6, 0.5])
    assert precision.tolist() == pytest.approx([1, 1 / 2, 2 / 3, 3 / 4, 3 / 5])
    assert recall.tolist() == [0.25, 0.25, 0.5, 0.75, 0.75]
    for way, ap in (("11-point", 0.613636), ("exact", 0.625), ("101-point", 0.628713)):
        per_class, mean = mask_ap_r(detections, targets, 1, interpolation=way)
        assert mean == pytest.approx(ap, abs=1e-6)
        torch.testing.assert_close(per_class, torch.tensor([ap]), atol=1e-6, rtol=0)


@pytest.mark.parametrize("common, union", [(1, 2), (3, 5), (7, 10), (4, 5), (9, 10)])
def test_the_threshold_itself_counts(common, union):
    detections = [found((1, 0.9, pixels(*range(common))))]
    targets = [real((1, pixels(*range(union))))]
    threshold = common / union
    assert mask_ap_r(detections, targets, 1, threshold)[1] == pytest.approx(1)
    assert mask_ap_r(detections, targets, 1, threshold + 1e-6)[1] == 0
    assert mask_ap_r(targets_as_detections(targets), targets, 1, 1.0)[1] == pytest.approx(1)


def targets_as_detections(targets):
    return [Detections(t.boxes, t.labels, torch.ones(len(t.labels)), t.masks) for t in targets]


def test_a_duplicate_is_false_in_voc_and_takes_the_next_object_in_coco():
    first, second = pixels(0, 1, 2, 3), pixels(1, 2, 3, 4)  # IoU 3 / 5
    detections = [found((1, 0.9, first), (1, 0.8, first))]
    targets = [real((1, first), (1, second))]
    # VOC: the second detection looks at `first` only, which is taken: T F, recall 1/2
    assert mask_ap_r(detections, targets, 1)[1] == pytest.approx(6 / 11)  # r = 0, .1, ..., .5
    # COCO: `second` is free, and 0.6 >= 0.5: T T; at .75 it is not enough: recall 1/2
    coco = coco_mask_ap(detections, targets, 1)
    assert coco["AP50"] == pytest.approx(1)
    assert coco["AP75"] == pytest.approx(51 / 101)  # r = 0, .01, ..., .5
    assert coco["AR1"] == pytest.approx(0.5)  # one detection an image
    assert coco["AR10"] == pytest.approx((3 * 1 + 7 * 0.5) / 10)  # .5, .55, .6 take both


def test_a_duplicate_with_nothing_near_is_false_in_both():
    detections, targets = [found((1, 0.9, A), (1, 0.8, A), (1, 0.7, B))], [real((1, A), (1, B))]
    # T F T: precision 1, 1/2, 2/3 at recall 1/2, 1/2, 1
    assert mask_ap_r(detections, targets, 1)[1] == pytest.approx((6 + 5 * 2 / 3) / 11)
    assert coco_mask_ap(detections, targets, 1)["AP"] == pytest.approx((51 + 50 * 2 / 3) / 101)


def test_a_miss_does_not_take_the_object():
    """The better scored one overlaps by too little: false, and the object stays free."""
    detections = [found((1, 0.9, pixels(0)), (1, 0.8, pixels(0, 1, 2)))]
    targets = [real((1, pixels(0, 1, 2)))]
    # F T: precision 1/2 at recall 1; at t = 1/3 the first one takes it: T F
    assert mask_ap_r(detections, targets, 1, 0.5)[1] == pytest.approx(0.5)
    assert mask_ap_r(detections, targets, 1, 0.3)[1] == pytest.approx(1)


def test_equal_scores_keep_their_order():
    targets = [real((1, A)), real((1, A))]
    true_first = [found((1, 0.5, A)), found((1, 0.5, NOWHERE))]
    # T F, and F T: precision 1 or 1/2 at recall 1/2; 6 of 11 recalls reached
    assert mask_ap_r(true_first, targets, 1)[1] == pytest.approx(6 / 11)
    assert mask_ap_r(true_first[::-1], targets, 1)[1] == pytest.approx(3 / 11)
    inside = [found((1, 0.5, NOWHERE), (1, 0.5, A)), found()]
    assert mask_ap_r(inside, targets, 1)[1] == pytest.approx(3 / 11)


def test_detections_need_not_come_sorted():
    targets = [real((1, A))]
    detections = [found((1, 0.2, NOWHERE), (1, 0.9, A))]
    assert mask_ap_r(detections, targets, 1)[1] == pytest.approx(1)


def test_classes_are_apart_and_those_without_objects_are_nan():
    detections = [found((1, 0.9, A), (2, 0.8, A), (3, 0.7, A), (4, 0.6, NOWHERE))]
    targets = [real((1, A), (3, B), (4, C))]
    per_class, mean = mask_ap_r(detections, targets, num_classes=5)
    # 1 found; 2 has detections only; 3 and 4 are missed; 5 has neither
    expected = torch.tensor([1, math.nan, 0, 0, math.nan])
    torch.testing.assert_close(per_class, expected, equal_nan=True)
    assert mean == pytest.approx(1 / 3)
    assert coco_mask_ap(detections, targets, 5)["AP"] == pytest.approx(1 / 3)


def test_the_same_mask_in_another_image_is_false():
    detections, targets = [found(), found((1, 0.9, A))], [real((1, A)), real()]
    assert mask_ap_r(detections, targets, 1)[1] == 0


def test_one_pass_serves_every_threshold():
    detections = [found((1, 0.9, pixels(*range(7))), (1, 0.8, pixels(10, 11, 12)))]
    targets = [real((1, pixels(*range(10))), (1, pixels(10, 11, 12, 13, 14)))]  # IoU .7, .6
    metric = MaskAP(1)
    metric.add(*detections, *targets)
    by_threshold = [metric.result(t)[1] for t in (0.5, 0.6, 0.7, 0.8)]
    assert by_threshold == pytest.approx([1, 1, 6 / 11, 0])
    assert by_threshold == [mask_ap_r(detections, targets, 1, t)[1] for t in (0.5, 0.6, 0.7, 0.8)]
    metric.add(found(), real((1, A), (1, B)))  # two missed: two of four found
    assert metric.result(0.5)[1] == pytest.approx(6 / 11)


def test_masks_without_a_pixel_match_nothing():
    nothing = pixels()
    assert mask_ap_r([found((1, 0.9, nothing))], [real((1, nothing))], 1)[1] == 0
    assert coco_mask_ap([found((1, 0.9, nothing))], [real((1, A))], 1)["AP"] == 0


# --- Random scenes: a slow twin, and pycocotools --------------------------------------------------


def ellipse(generator, size):
    """One filled ellipse, from a few pixels to most of the image."""
    height, width = size
    x, y, a, b = torch.rand(4, generator=generator).tolist()
    rows, columns = torch.arange(height)[:, None], torch.arange(width)[None]
    a, b = 1 + a**2 * width / 2, 1 + b**2 * height / 2
    return ((columns - x * width) / a) ** 2 + ((rows - y * height) / b) ** 2 <= 1


def random_scene(generator, size, num_classes, most_objects=5, most_detections=12):
    """Objects, and detections: most are an object moved a little, some with a wrong label."""
    def draw(low, high):
        return int(torch.randint(low, high, (1,), generator=generator))

    objects = [(draw(1, num_classes + 1), ellipse(generator, size))
               for _ in range(draw(0, most_objects + 1))]
    objects = [(label, mask) for label, mask in objects if mask.any()]
    detections = []
    for _ in range(draw(0, most_detections + 1)):
        score = draw(0, 20) / 20  # few values, so that ties happen
        if objects and draw(0, 5):
            label, mask = objects[draw(0, len(objects))]
            label = label if draw(0, 6) else draw(1, num_classes + 1)
            mask = mask.roll((draw(-2, 3), draw(-2, 3)), dims=(0, 1))
        else:
            label, mask = draw(1, num_classes + 1), ellipse(generator, size)
        detections.append((label, score, mask))
    detections.sort(key=lambda detection: -detection[1])
    return found(*detections, size=size), real(*objects, size=size)


def slow_ap_r(scenes, label, threshold):
    """VOC's rules told with sets of pixels and plain loops -> AP over 11 recalls, in fractions."""
    row, objects = [], 0
    for image, (detections, targets) in enumerate(scenes):
        objects += sum(int(other) == label for other in targets.labels)
        for other, score, mask in zip(detections.labels, detections.scores, detections.masks):
            if int(other) == label:
                row.append((float(score), image, set(mask.flatten().nonzero().flatten().tolist())))
    if not objects:
        return None
    row.sort(key=lambda detection: -detection[0])  # sort() is stable
    taken, hits, points = set(), 0, []
    for rank, (_, image, mine) in enumerate(row, start=1):
        best, best_iou = None, Fraction(-1)
        targets = scenes[image][1]
        for number, (other, mask) in enumerate(zip(targets.labels, targets.masks)):
            theirs = set(mask.flatten().nonzero().flatten().tolist())
            iou = Fraction(len(mine & theirs), max(1, len(mine | theirs)))
            if int(other) == label and iou > best_iou:
                best, best_iou = (image, number), iou
        if best_iou >= threshold and best not in taken:
            taken.add(best)
            hits += 1
        points.append((Fraction(hits, rank), Fraction(hits, objects)))
    return sum(
        max((p for p, r in points if r >= Fraction(k, 10)), default=Fraction(0)) for k in range(11)
    ) / 11


def test_iou_of_run_lengths_is_iou_of_pixels():
    generator = torch.Generator().manual_seed(0)
    masks = torch.stack([ellipse(generator, (31, 47)) for _ in range(40)])
    masks[3] = False
    masks[4] = True
    a, b = (encode(real(*[(1, mask) for mask in half])) for half in masks.chunk(2))
    assert torch.from_numpy(rle.decode(a.rles())).permute(2, 0, 1).bool().equal(masks[:20])
    by_runs = torch.from_numpy(rle.iou(a.rles(), b.rles(), [0] * 20))
    torch.testing.assert_close(by_runs.float(), mask_iou(*masks.chunk(2)).float())


@pytest.mark.parametrize("seed", range(3))
def test_slow_twin(seed):
    generator = torch.Generator().manual_seed(seed)
    scenes = [random_scene(generator, (24, 30), num_classes=4) for _ in range(12)]
    metric = MaskAP(5)
    for scene in scenes:
        metric.add(*scene)
    for tenths in (1, 5, 6, 7, 8, 9):
        slow = [slow_ap_r(scenes, label, Fraction(tenths, 10)) for label in range(1, 6)]
        expected = torch.tensor([math.nan if ap is None else float(ap) for ap in slow])
        per_class, mean = metric.result(tenths / 10)
        torch.testing.assert_close(per_class, expected, equal_nan=True)
        assert mean == pytest.approx(float(expected.nanmean()), abs=1e-6)


def pycocotools_ap(scenes, num_classes):
    """The same nine numbers by pycocotools, from dicts in memory."""
    from pycocotools import mask as rle
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    def annotations(parts, scores):
        rows = []
        for image, whole in enumerate(parts):
            each = [(whole, i, 0) for i in range(len(whole.labels))]
            each += [(crowd_of(whole), i, 1) for i in range(len(crowd_of(whole).labels))]
            for part, i, crowd in each:
                label, mask = int(part.labels[i]), part.masks[i]
                run = rle.encode(np.asfortranarray(mask.numpy().astype(np.uint8)))
                # no "bbox": loadRes would then take the box's area for the size of a detection
                rows.append({"id": len(rows) + 1, "image_id": image, "category_id": label,
                             "segmentation": run, "area": int(mask.sum()),
                             "iscrowd": crowd})
                if scores:
                    rows[-1]["score"] = float(part.scores[i])
        return rows

    detections, targets = zip(*scenes)
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        height, width = targets[0].masks.shape[1:]
        truth.dataset = {
            "images": [{"id": i, "height": height, "width": width} for i in range(len(scenes))],
            "categories": [{"id": label} for label in range(1, num_classes + 1)],
            "annotations": annotations(targets, scores=False), "info": {},
        }
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(annotations(detections, scores=True)), "segm")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [math.nan if value == -1 else value for value in evaluation.stats[:9]]


@pytest.mark.parametrize("seed", range(3))
def test_coco_equals_pycocotools(seed):
    generator = torch.Generator().manual_seed(seed)
    scenes = [random_scene(generator, (200, 260), num_classes=3) for _ in range(15)]
    ours = coco_mask_ap(*zip(*scenes), num_classes=4)
    assert tuple(ours) == COCO_NAMES
    assert 0.05 < ours["AP"] < 0.95  # a scene neither hopeless nor perfect
    assert not any(math.isnan(value) for value in ours.values())  # objects of every size
    assert list(ours.values()) == pytest.approx(pycocotools_ap(scenes, 4), abs=1e-6, nan_ok=True)


def test_a_large_set_is_evaluated_class_by_class_with_the_same_numbers(monkeypatch):
    generator = torch.Generator().manual_seed(5)
    scenes = [random_scene(generator, (60, 80), num_classes=3) for _ in range(12)]
    at_once, calls = coco_mask_ap(*zip(*scenes), num_classes=4), []
    one_go = evaluate._coco_numbers
    monkeypatch.setattr(evaluate, "_coco_numbers",
                        lambda found, real: calls.append(len(real)) or one_go(found, real))
    monkeypatch.setattr(evaluate, "MASKS_AT_ONCE", 0)
    assert coco_mask_ap(*zip(*scenes), num_classes=4) == pytest.approx(at_once, nan_ok=True)
    assert len(calls) == 4  # one a class, the one without objects too


def test_coco_equals_pycocotools_where_only_100_detections_count():
    generator = torch.Generator().manual_seed(7)
    scenes = [random_scene(generator, (40, 40), 1, most_objects=30, most_detections=400)
              for _ in range(2)]
    assert max(len(detections.scores) for detections, _ in scenes) > 100
    ours = coco_mask_ap(*zip(*scenes), num_classes=1)
    assert list(ours.values()) == pytest.approx(pycocotools_ap(scenes, 1), abs=1e-6, nan_ok=True)


def with_a_crowd(targets, generator):
    """The last of an image's objects, and a half of it, are a crowd."""
    count = len(targets.labels)
    if count < 2:
        return targets
    crowd = Targets(*(part[-1:] for part in targets))
    height = targets.masks.shape[1]
    crowd.masks[:, : int(torch.randint(height, (1,), generator=generator))] = True
    return with_crowd(Targets(*(part[:-1] for part in targets)), crowd)


@pytest.mark.parametrize("seed", range(3))
def test_coco_equals_pycocotools_with_crowds(seed):
    generator = torch.Generator().manual_seed(seed)
    scenes = [random_scene(generator, (200, 260), num_classes=2) for _ in range(15)]
    scenes = [(found, with_a_crowd(real, generator)) for found, real in scenes]
    plain = [(found, Targets(*real)) for found, real in scenes]
    ours = coco_mask_ap(*zip(*scenes), num_classes=2)
    assert list(ours.values()) == pytest.approx(pycocotools_ap(scenes, 2), abs=1e-6, nan_ok=True)
    assert ours["AP"] > coco_mask_ap(*zip(*plain), num_classes=2)["AP"]  # crowds forgive


def test_what_lies_in_a_crowd_counts_neither_way():
    """Best first: in the crowd by 2 of 2 pixels; A; in it by 1 of 2; nowhere; A a second time."""
    crowd = pixels(14, 15, 16, 17)
    half = pixels(13, 14)
    targets = [with_crowd(real((1, A)), real((1, crowd)))]
    detections = [found((1, 0.9, D), (1, 0.8, A), (1, 0.7, half), (1, 0.6, NOWHERE))]
    # at 0.5 two are left: A right, NOWHERE wrong; precision 1 up to recall 1
    assert mask_ap_r(detections, targets, 1, 0.5)[1] == 1
    metric = MaskAP(1)
    metric.add(detections[0], targets[0])
    scores, precision, recall = metric.curve(1, 0.5)
    assert scores.tolist() == pytest.approx([0.8, 0.6]) and precision.tolist() == [1, 0.5]
    assert recall.tolist() == [1, 1]
    # above 0.5 the half no longer lies in it
    assert metric.curve(1, 0.6)[1].tolist() == pytest.approx([1, 1 / 2, 1 / 3])
    # a crowd of another class forgives nothing
    other = [with_crowd(real((1, A)), real((2, crowd)))]
    assert mask_ap_r(detections, other, 2, 0.5)[1] == pytest.approx(0.5)
    assert coco_mask_ap(detections, targets, 1)["AP50"] == 1
    alone = [with_crowd(real(), real((1, crowd)))]  # no object: nothing to find
    assert math.isnan(mask_ap_r(detections, alone, 1)[1])
    assert math.isnan(coco_mask_ap(detections, alone, 1)["AP"])


@pytest.mark.parametrize("side, sizes", [
    (31, {"APs"}), (32, {"APs", "APm"}), (33, {"APm"}),
    (95, {"APm"}), (96, {"APm", "APl"}), (97, {"APl"}),
])
def test_coco_sizes_are_counted_in_pixels_of_mask(side, sizes):
    mask = torch.zeros(100, 100, dtype=torch.bool)
    mask[:side, :side] = True
    targets = [real((1, mask), size=(100, 100))]
    numbers = coco_mask_ap(targets_as_detections(targets), targets, 1)
    for name in ("APs", "APm", "APl"):
        assert numbers[name] == pytest.approx(1 if name in sizes else math.nan, nan_ok=True)


def test_coco_sizes_are_means_of_the_classes_that_have_them():
    """Class 1 has a small object, found; 2 a medium one, missed; 3 is found where none is."""
    size = (40, 40)
    small, medium = pixels(0, 1, size=size), torch.ones(size, dtype=torch.bool)
    scenes = [(found((1, 0.9, small), (3, 0.8, medium), size=size),
               real((1, small), (2, medium), size=size))]
    numbers = coco_mask_ap(*zip(*scenes), num_classes=3)
    assert list(numbers.values()) == pytest.approx(
        [0.5, 0.5, 0.5, 1, 0, math.nan, 0.5, 0.5, 0.5], nan_ok=True)
    assert list(numbers.values()) == pytest.approx(pycocotools_ap(scenes, 3), nan_ok=True)


@given(st.integers(0, 2**31), st.floats(0.05, 0.95))
@settings(deadline=None, max_examples=25)
def test_properties(seed, threshold):
    """Bounds; stricter is never better; perfect is 1; neither image order nor sure misses help."""
    generator = torch.Generator().manual_seed(seed)
    scenes = [random_scene(generator, (20, 20), num_classes=2) for _ in range(4)]
    scenes = [(d._replace(scores=torch.rand(len(d.scores), generator=generator)), t)
              for d, t in scenes]  # no ties
    detections, targets = map(list, zip(*scenes))
    per_class, mean = mask_ap_r(detections, targets, 2, threshold)
    assert ((per_class >= 0) & (per_class <= 1) | per_class.isnan()).all()
    stricter, _ = mask_ap_r(detections, targets, 2, min(1, threshold + 0.05))
    assert (stricter[~stricter.isnan()] <= per_class[~per_class.isnan()] + 1e-6).all()
    turned, _ = mask_ap_r(detections[::-1], targets[::-1], 2, threshold)
    torch.testing.assert_close(turned, per_class, equal_nan=True)
    more = detections + [found((1, 1.0, pixels(0, size=(20, 20))), size=(20, 20))]
    worse, _ = mask_ap_r(more, targets + [real(size=(20, 20))], 2, threshold)
    assert worse.isnan().equal(per_class.isnan())
    assert (worse.nan_to_num() <= per_class.nan_to_num() + 1e-6).all()
    columns = torch.eye(20, dtype=torch.bool)[:, None].repeat(1, 20, 1)  # no mask is another's twin
    apart = [t._replace(masks=columns[: len(t.labels)]) for t in targets]
    perfect, _ = mask_ap_r(targets_as_detections(apart), apart, 2, 1.0)
    assert (perfect[~perfect.isnan()] == 1).all()


# --- Nothing there --------------------------------------------------------------------------------


@pytest.mark.parametrize("detections, targets, expected", [
    ([], [], math.nan),                              # no images
    ([found()], [real()], math.nan),                 # nothing in the image, nothing found
    ([found((1, 0.9, A))], [real()], math.nan),      # nothing in the image, something found
    ([found()], [real((1, A))], 0.0),                # nothing found
    ([Detections.empty(SIZE)], [Targets.empty(SIZE)], math.nan),
])
def test_nothing_there(detections, targets, expected):
    per_class, mean = mask_ap_r(detections, targets, num_classes=2)
    assert per_class.shape == (2,) and per_class[1].isnan()
    assert [float(per_class[0]), mean] == pytest.approx([expected] * 2, nan_ok=True)
    coco = coco_mask_ap(detections, targets, num_classes=2)
    assert tuple(coco) == COCO_NAMES
    assert [coco["AP"], coco["AR100"]] == pytest.approx([expected] * 2, nan_ok=True)
    assert math.isnan(coco["APl"])
    numbers = evaluate_pairs(zip(detections, targets), num_classes=2)
    assert numbers["APr50"] == pytest.approx(expected, nan_ok=True)
    assert numbers["images"] == len(targets)


# --- Errors ---------------------------------------------------------------------------------------


GOOD, TRUTH = found((1, 0.9, A)), real((1, A))


@pytest.mark.parametrize("detections, targets, words", [
    ([GOOD], [], "targets end after 0 images, but detections go on"),
    ([GOOD], [TRUTH, TRUTH], "detections end after 1 images, but targets go on"),
    ([found((3, 0.9, A))], [TRUTH], r"detections\[0\].labels run from 3 to 3, but num_classes=2"),
    ([GOOD], [real((0, A))], r"targets\[0\].labels run from 0 to 0.* need \+ 1"),
    ([GOOD._replace(labels=torch.ones(1))], [TRUTH], "labels must be whole numbers"),
    ([GOOD._replace(masks=A[None].float())], [TRUTH], "masks must be bool, got torch.float32"),
    ([GOOD._replace(masks=A)], [TRUTH], r"masks must have the shape \(N, H, W\)"),
    ([GOOD], [TRUTH._replace(masks=A[None].byte())], "masks must be bool, got torch.uint8"),
    ([GOOD], [Targets.empty((3, 3))], r"masks are \(2, 10\) but the targets' are \(3, 3\)"),
    ([GOOD._replace(scores=torch.tensor([math.nan]))], [TRUTH], "scores hold nan"),
    ([GOOD._replace(scores=torch.ones(2))], [TRUTH], "1 masks but 2 scores"),
    ([GOOD], [TRUTH._replace(labels=torch.ones(3).long())], "1 masks but 3 labels"),
    ([TRUTH], [GOOD], "Image 0: expected teachseg.structures.Detections, got Targets"),
    (GOOD, [TRUTH], r"one Detections an image.*Pass \[detections\]"),
    ([GOOD, GOOD._replace(scores=torch.tensor([math.inf]))], [TRUTH] * 2, r"\[1\].scores hold nan"),
])
@pytest.mark.parametrize("call", [mask_ap_r, coco_mask_ap])
def test_errors(call, detections, targets, words):
    with pytest.raises(ValueError, match=f"(?s){words}"):
        call(detections, targets, num_classes=2)


@pytest.mark.parametrize("threshold", [0, -0.5, 1.01, 50, math.nan])
def test_error_of_threshold(threshold):
    with pytest.raises(ValueError, match="iou_threshold must be above 0 and at most 1"):
        mask_ap_r([GOOD], [TRUTH], 1, iou_threshold=threshold)


def test_errors_of_settings():
    with pytest.raises(ValueError, match="interpolation must be one of '11-point'.*got '11'"):
        mask_ap_r([GOOD], [TRUTH], 1, interpolation="11")
    with pytest.raises(ValueError, match="num_classes must be a whole number of at least 1, got 0"):
        coco_mask_ap([GOOD], [TRUTH], 0)
    with pytest.raises(ValueError, match=r"label must be in 1\.\.1, got 2"):
        MaskAP(1).curve(2)
    with pytest.raises(ValueError, match="recall falls along the curve"):
        average_precision([0.25, 0.5], [1, 0.5])
    with pytest.raises(ValueError, match="precision has 1 values but recall 2"):
        average_precision([1.0], [0.5, 1.0])
    with pytest.raises(ValueError, match="3 scores but 2 true_positive"):
        precision_recall(torch.ones(3), torch.ones(2).bool(), 1)


# --- Streams, memory, silence ---------------------------------------------------------------------


class Stream:
    """Scenes made one by one; counts how many earlier ones' masks are still alive at each step."""

    def __init__(self, count, side=200):
        self.count, self.side, self.alive = count, side, []

    def __iter__(self):
        size, made = (self.side, self.side), []
        for i in range(self.count):
            self.alive.append(sum(reference() is not None for reference in made))
            mask = torch.zeros(size, dtype=torch.bool)
            mask[i : i + 60, i : i + 60] = True
            pair = found((1, 0.9, mask), size=size), real((1, mask), size=size)
            made += [weakref.ref(part.masks) for part in pair]
            yield pair
            del pair


def test_no_dense_masks_are_kept():
    stream = Stream(20)
    numbers = evaluate_pairs(stream, num_classes=1)
    assert numbers["AP"] == numbers["APr90"] == pytest.approx(1)
    assert max(stream.alive) <= 2  # the one before: its detections and its targets


@pytest.mark.parametrize("metric, bytes_an_image", [(MaskAP(1), 100), (CocoMaskAP(1), 4000)])
def test_what_is_kept_is_small(metric, bytes_an_image):
    """Dense, an image of these takes 2 x 40,000 bytes."""
    for pair in Stream(50):
        metric.add(*pair)
    assert size_of(vars(metric)) < 50 * bytes_an_image + 4000


def size_of(thing, seen=None):
    """Bytes of an object and of all it refers to."""
    seen = set() if seen is None else seen
    if id(thing) in seen:
        return 0
    seen.add(id(thing))
    inside = []
    if isinstance(thing, dict):
        inside = [*thing.keys(), *thing.values()]
    elif isinstance(thing, (list, tuple, set)):
        inside = list(thing)
    elif hasattr(thing, "__dict__"):
        inside = [vars(thing)]
    assert not isinstance(thing, torch.Tensor)
    return sys.getsizeof(thing) + sum(size_of(part, seen) for part in inside)


def test_generators_are_taken():
    scenes = list(Stream(4))
    ap_r, _ = mask_ap_r((d for d, _ in scenes), (t for _, t in scenes), 1)
    assert ap_r.tolist() == [1]
    assert coco_mask_ap((d for d, _ in scenes), (t for _, t in scenes), 1)["AP"] == pytest.approx(1)


def test_a_result_can_be_asked_for_twice_and_in_between():
    generator = torch.Generator().manual_seed(1)
    scenes = [random_scene(generator, (30, 30), num_classes=2) for _ in range(6)]
    metric = CocoMaskAP(2)
    for scene in scenes[:3]:
        metric.add(*scene)
    half = metric.result()
    assert metric.result() == pytest.approx(half, nan_ok=True)
    for scene in scenes[3:]:
        metric.add(*scene)
    assert half == pytest.approx(coco_mask_ap(*zip(*scenes[:3]), 2), nan_ok=True)
    assert metric.result() == pytest.approx(coco_mask_ap(*zip(*scenes), 2), nan_ok=True)


def test_coco_of_a_class_is_coco_of_that_class_alone():
    generator = torch.Generator().manual_seed(5)
    scenes = [random_scene(generator, (40, 50), num_classes=3) for _ in range(8)]
    metric = CocoMaskAP(4)
    for scene in scenes:
        metric.add(*scene)
    per_class = metric.per_class()
    assert list(per_class) == [1, 2, 3]  # 4 has no object
    for label, numbers in per_class.items():
        alone = [tuple(type(part)(*(x[part.labels == label] for x in part)) for part in scene)
                 for scene in scenes]
        expected = pycocotools_ap(alone, 3)
        assert list(numbers.values()) == pytest.approx(expected, abs=1e-6, nan_ok=True)


def test_evaluate_pairs_is_the_two_functions_at_once():
    generator = torch.Generator().manual_seed(3)
    scenes = [random_scene(generator, (40, 50), num_classes=3) for _ in range(8)]
    detections, targets = zip(*scenes)
    numbers = evaluate_pairs(iter(scenes), num_classes=3)
    assert numbers["images"] == 8
    assert numbers["objects"] == sum(len(t.labels) for t in targets)
    assert numbers["detections"] == sum(len(d.labels) for d in detections)
    for t in (0.5, 0.6, 0.7, 0.8, 0.9):
        assert numbers[f"APr{round(100 * t)}"] == mask_ap_r(detections, targets, 3, t)[1]
    coco = coco_mask_ap(detections, targets, 3)
    assert {name: numbers[name] for name in COCO_NAMES} == pytest.approx(coco, nan_ok=True)
    assert len(numbers) == 3 + 5 + 9


def test_a_model_sees_each_image_by_itself_and_in_testing():
    """The predictor answers with as many objects as the image's first pixel says."""
    model, asked = torch.nn.Linear(1, 1).train(), []

    def predict(one, images):
        asked.append((one.training, len(images)))
        return [found(*[(1, 0.5, pixels(0))] * int(images[0][0, 0, 0]))]

    data = [(torch.full((3, *SIZE), float(i)), real(*[(1, pixels(0))] * (3 - i))) for i in range(4)]
    for part in (None, [2, 0]):
        asked.clear()
        seen = list(see_each(model, predict, data, "cpu", part))
        assert [one.index for one in seen] == (part or [0, 1, 2, 3])
        assert all(len(one.found.labels) == one.index for one in seen)
        assert all(len(one.real.labels) == 3 - one.index for one in seen)
        assert all(one.seconds >= 0 for one in seen)
        assert asked == [(False, 1)] * len(seen)
    assert list(see_each(model, predict, [], "cpu")) == []


def test_nothing_is_printed_or_written(capfd, caplog, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with caplog.at_level(logging.INFO):
        evaluate_pairs(Stream(2), num_classes=2)
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []
    assert list(tmp_path.iterdir()) == []


def test_inputs_stay_as_they_are():
    """Also when masks are a view that is not contiguous, and scores carry a gradient."""
    masks = torch.zeros(10, 2, 1, dtype=torch.bool)
    masks[:2] = True
    detections = Detections(torch.zeros(1, 4), torch.tensor([1], dtype=torch.int32),
                            torch.tensor([0.9], requires_grad=True), masks.permute(2, 1, 0))
    before = detections.masks.clone()
    target = real((1, pixels(0, 1, 10, 11)))
    assert mask_ap_r([detections], [target], 1, 1.0)[1] == pytest.approx(1)
    assert detections.masks.equal(before) and detections.scores.requires_grad
