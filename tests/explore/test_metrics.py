"""The sliders over AP: matching against the library, the worked example, what is drawn and said."""

import math
import xml.etree.ElementTree as ElementTree

import pytest
import torch

from teachseg.datasets.scenes import Scenes
from teachseg.evaluate import INTERPOLATIONS, coco_mask_ap, mask_ap_r
from teachseg.explore.metrics import (
    RULES,
    exact_iou,
    explore_metrics,
    match,
    metrics_frame,
    ranking_of,
)
from teachseg.geometry.masks import mask_iou, masks_to_boxes
from teachseg.structures import Detections, Targets


def block(x1, y1, x2, y2):
    mask = torch.zeros(8, 10, dtype=torch.bool)
    mask[y1:y2, x1:x2] = True
    return mask


def real(*masks):
    masks = torch.stack(masks)
    return Targets(masks_to_boxes(masks), torch.ones(len(masks), dtype=torch.int64), masks)


def found(*scored):
    boxes, labels, masks = real(*(mask for _, mask in scored))
    return Detections(boxes, labels, torch.tensor([score for score, _ in scored]), masks)


A, B, C, D = block(2, 1, 8, 6), block(3, 2, 7, 6), block(1, 1, 7, 5), block(2, 2, 8, 6)
FOUND = [found((0.9, block(3, 1, 9, 6)), (0.8, block(2, 1, 8, 7))), found((0.7, block(3, 2, 9, 6))),
         found((0.6, C), (0.5, block(1, 1, 8, 5)))]
REAL = [real(A), real(B), real(C, D)]


@pytest.fixture
def three():
    return ranking_of([None] * 3, FOUND, REAL)


def drawn_scene(seed: int):
    """Random masks of one class in one image, on a grid of 6 x 8; they may overlap."""
    draw = torch.Generator().manual_seed(seed)
    d, g = torch.randint(0, 6, (2,), generator=draw).tolist()
    masks = torch.rand(d + g, 6, 8, generator=draw) < 0.6
    masks[d:] |= masks[d:].flip(2)
    scores = torch.randperm(max(d, 1), generator=draw)[:d].sort(descending=True).values / 10
    boxes = torch.zeros(d + g, 4)
    ones = torch.ones(d + g, dtype=torch.int64)
    return (Detections(boxes[:d], ones[:d], scores, masks[:d]),
            Targets(boxes[d:], ones[d:], masks[d:]))


def test_iou_is_the_librarys_in_double_precision(three):
    """5/7, 5/6; 2/3; 1 and 5/11, 6/7 and 9/17."""
    expected = [[5 / 7, 5 / 6], [2 / 3], [1, 5 / 11, 6 / 7, 9 / 17]]
    for iou, values in zip(three.ious, expected):
        assert iou.dtype == torch.float64
        assert iou.flatten().tolist() == pytest.approx(values, abs=1e-15)
    torch.testing.assert_close(exact_iou(FOUND[2].masks, REAL[2].masks).float(),
                               mask_iou(FOUND[2].masks, REAL[2].masks))
    nothing = torch.zeros(1, 8, 10, dtype=torch.bool)
    assert exact_iou(nothing, nothing).item() == 0
    assert exact_iou(nothing[:0], nothing).shape == (0, 1)


def test_matching_by_hand(three):
    """The last detection looks at c: taken. By COCO's rule it may have d, up to 9/17 = 0.529."""
    assert [match(iou, 0.5, "VOC") for iou in three.ious] == [[0, -1], [0], [0, -1]]
    assert [match(iou, 0.5, "COCO") for iou in three.ious] == [[0, -1], [0], [0, 1]]
    assert match(three.ious[2], 0.55, "COCO") == [0, -1]
    assert match(three.ious[0], 0.75, "VOC") == [-1, 0]  # a miss leaves the object free
    assert match(torch.tensor([[0.5]]), 0.5, "VOC") == [0]
    assert match(torch.zeros(2, 0), 0.5, "COCO") == [-1, -1]


@pytest.mark.parametrize("way, ap", [("11-point", 0.6136), ("101-point", 0.6287),
                                     ("exact", 0.6250)])
def test_the_worked_example(three, way, ap):
    """right, wrong, right, right, wrong of 4 objects: 6.75/11, 63.5/101, 5/8."""
    caption = metrics_frame(three, 0.5, 0.55, "VOC", way).caption
    assert caption == (
        "VOC's rule, IoU from 0.50 on, score at least 0.55: 4 of 5 detections accepted, tp 3, fp 1,"
        " 1 of 4 objects missed; precision 3/4 = 0.750, recall 3/4 = 0.750. AP of the whole curve, "
        f"{way}: {ap:.4f}.")


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.6])
def test_ap_is_the_librarys(seed, threshold):
    """VOC at any threshold and reading; COCO at 0.5 by its AP50."""
    pairs = [drawn_scene(10 * seed + i) for i in range(4)]
    if not any(len(r.labels) for _, r in pairs):
        pytest.skip("no object in this draw")
    ranking = ranking_of([None] * 4, *zip(*pairs))
    for way in INTERPOLATIONS:
        ap = mask_ap_r(*zip(*pairs), 1, threshold, way)[1]
        assert f"{way}: {ap:.4f}." in metrics_frame(ranking, threshold, 0.5, "VOC", way).caption
    ap = coco_mask_ap(*zip(*pairs), 1)["AP50"]
    caption = metrics_frame(ranking, 0.5, 0.5, "COCO", "101-point").caption
    assert f"101-point: {ap:.4f}." in caption


def test_verdicts_say_why(three):
    words = [one.words for one in three.verdicts(0.5, "VOC")]
    assert words == ["right: a", "wrong: a is taken", "right: b", "right: c", "wrong: c is taken"]
    assert three.verdicts(0.5, "COCO")[4].words == "right: d, second choice"
    assert three.verdicts(0.5, "COCO")[4].iou == pytest.approx(9 / 17)
    assert three.verdicts(0.75, "VOC")[0].words == "wrong: IoU with a too low"
    nowhere = ranking_of([None], [found((0.9, block(0, 0, 1, 1)))], [real(A)])
    assert nowhere.verdicts(0.5, "VOC")[0].words == "wrong: nothing there"
    empty = ranking_of([None] * 2, [FOUND[0], FOUND[0]], [Targets.empty((8, 10)), REAL[0]])
    assert empty.verdicts(0.5, "VOC")[0].words == "wrong: nothing there"


def test_the_picture_shows_what_is_accepted(three):
    few, all_ = metrics_frame(three, 0.5, 0.75), metrics_frame(three, 0.5, 0.0)
    for frame in (few, all_):
        root = ElementTree.fromstring(frame.svg)
        assert root.get("aria-label") == frame.caption
        texts = [t.text for t in root.iter("{http://www.w3.org/2000/svg}text")]
        assert {"image 1", "image 3", "a", "d", "5", "recall", "envelope"} <= set(texts)
        assert "wrong: a is taken" in texts and "0.833" in texts
    assert few.svg.count("#777777") > all_.svg.count("#777777") == 0


def test_a_score_is_reached_though_it_is_single_precision(three):
    """float32 0.7 is 0.69999999."""
    assert "3 of 5 detections accepted" in metrics_frame(three, 0.5, 0.7).caption


def test_nothing_accepted_and_nothing_found(three):
    assert "nothing is accepted" in metrics_frame(three, 0.5, 0.95).caption
    silent = ranking_of([None], [Detections(*(part[:0] for part in FOUND[0]))], [real(A)])
    for way in INTERPOLATIONS:
        frame = metrics_frame(silent, 0.5, 0.5, "COCO", way)
        ElementTree.fromstring(frame.svg)
        assert "0 of 0 detections accepted, tp 0, fp 0, 1 of 1 objects missed" in frame.caption
        assert frame.caption.endswith(": 0.0000.")


@pytest.mark.parametrize("rule", RULES)
def test_a_long_list_shows_the_rows_around_the_place(rule):
    scored = [(0.9 - 0.02 * i, block(i % 6, 0, i % 6 + 3, 4)) for i in range(30)]
    ranking = ranking_of([None], [found(*scored)], [real(A)])
    root = ElementTree.fromstring(metrics_frame(ranking, 0.5, 0.5, rule).svg)
    texts = [t.text for t in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "0.50" in texts and "0.32" not in texts


def test_one_class_of_real_scenes():
    (image, targets) = Scenes("val", 10)[9]
    answers = Detections(targets.boxes, targets.labels, torch.linspace(0.9, 0.5,
                         len(targets.labels)), targets.masks)
    label = int(targets.labels[0])
    ranking = ranking_of([image], [answers], [targets], label)
    assert ranking.num_objects == int((targets.labels == label).sum())
    frame = metrics_frame(ranking, 0.95, 0.0)
    assert f"recall {ranking.num_objects}/{ranking.num_objects} = 1.000" in frame.caption
    assert frame.caption.endswith("11-point: 1.0000.") and "<image" in frame.svg


def test_names_go_on_after_z():
    ranking = ranking_of([None], [FOUND[1]], [real(*[B] * 28)])
    assert [ranking.name(0, g) for g in (0, 25, 26)] == ["a", "z", "27"]


@pytest.mark.parametrize("state, words", [
    ((0.0, 0.5), "iou_threshold must be above 0 and at most 1, got 0"),
    ((0.5, 1.5), "score must be in 0..1, got 1.5"),
    ((0.5, 0.5, "voc"), "rule must be one of VOC, COCO, got 'voc'"),
    ((0.5, 0.5, "VOC", "12-point"), "reading must be one of 11-point, 101-point, exact"),
])
def test_what_cannot_be_drawn_is_said(three, state, words):
    with pytest.raises(ValueError, match=words):
        metrics_frame(three, *state)


@pytest.mark.parametrize("arguments, words", [
    (([], [], []), "needs one of each for every image"),
    (([None], FOUND[:2], REAL[:1]), "got 1 images, 2 detections and 1 targets"),
    (([None], FOUND[:1], [Targets.empty((8, 10))]), "No image has an object of class 1"),
    (([None], FOUND[:1], [Targets.empty((9, 10))]), r"Image 0: the detections. masks are \(8, 10"),
])
def test_what_makes_no_ranking_is_said(arguments, words):
    with pytest.raises(ValueError, match=words):
        ranking_of(*arguments)


def test_the_explorer_sweeps_both_thresholds(three, capsys):
    explorer = explore_metrics(three)
    explorer.sweep("iou_threshold", (0.7, 0.75))
    explorer.sweep("score", (0.9, 0.8))
    lines = capsys.readouterr().out.splitlines()
    assert [line[-7:] for line in lines] == ["0.4091.", "0.2727.", "0.6136.", "0.6136."]
    assert math.isclose(explorer.controls["iou_threshold"].value, 0.5)
    assert all(control.description for control in explorer.controls.values())
