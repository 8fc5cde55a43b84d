"""Lesson 14's exercises: right by the library, and by numbers worked by hand.

What holds for every exercise (solutions pass, mutants are named, zeros fail) is in
test_registry.py; here stands what the answers must be.
"""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from teachseg.datasets.batch import resize
from teachseg.decoding.voting import best_of_all, keep_by_class
from teachseg.evaluate import average_precision, mask_ap_r, precision_recall
from teachseg.exercises import mnc_test as page
from teachseg.geometry.boxes import box_iou
from teachseg.layers.backbones import build_backbone
from teachseg.papers import mnc
from teachseg.structures import Detections, Targets

quick = settings(deadline=None, max_examples=40)
seeds = st.integers(0, 2**31 - 1)


def drawn(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# ---- mnc.anchors, mnc.work ----------------------------------------------------------------------


def test_anchors_by_hand():
    # 600 -> 300 -> 150 -> 75 -> 38, 1000 -> 500 -> 250 -> 125 -> 63; 38 * 63 * 9
    assert page.count_anchors(600, 1000) == 21_546 == page.count_anchors(1000, 600)
    # 375 x 500 -> 600 x 800 -> 38 x 50 cells
    assert page.count_anchors(375, 500) == 38 * 50 * 9


@quick
@given(height=st.integers(40, 1500), width=st.integers(40, 1500))
def test_anchors_are_those_of_the_papers_model(height, width):
    config = mnc.Config.paper(20)
    image = resize(torch.empty(3, height, width, device="meta"), config.min_side, config.max_side)
    for _ in range(4):
        image = torch.nn.functional.max_pool2d(image, 2, ceil_mode=True)
    anchors = mnc.make_anchors(config, image[None].to("meta"))
    assert page.count_anchors(height, width) == len(anchors)


def vgg_layers() -> torch.Tensor:
    """VGG-16's convolutions as `conv_work` has them; no pooling after the last."""
    convs = [module for module in build_backbone("vgg16").modules()
             if isinstance(module, torch.nn.Conv2d)]  # fmt: skip
    pooled = {1, 3, 6, 9}  # conv1_2, conv2_2, conv3_3, conv4_3
    return torch.tensor([[c.in_channels, c.out_channels, int(i in pooled)]
                         for i, c in enumerate(convs)])  # fmt: skip


@pytest.mark.parametrize("size", [(75, 101), (64, 96)])
def test_work_is_what_torch_counts(size):
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"):
        backbone = build_backbone("vgg16", ceil_mode=True)
    with FlopCounterMode(display=False) as counter:
        backbone(torch.empty(1, 3, *size, device="meta"))
    layers = vgg_layers()
    assert len(layers) == 13
    assert 2 * page.conv_work(layers, *size) == counter.get_total_flops()  # torch counts sums too


def test_work_by_hand():
    # 3 * 5 cells, 5 channels out, 9 * 2 products each: 15 * 5 * 18 = 1350
    assert page.conv_work(torch.tensor([[2, 5, 0]]), 3, 5) == 1350
    # then 4 x 3 cells of 7 x 5: 35 * 4 * 27 + 12 * 6 * 36 = 3780 + 2592
    assert page.conv_work(torch.tensor([[3, 4, 1], [4, 6, 0]]), 7, 5) == 6372


# ---- mnc.recall ---------------------------------------------------------------------------------


def random_boxes(count: int, generator: torch.Generator) -> torch.Tensor:
    low = torch.randint(0, 20, (count, 2), generator=generator).float()
    return torch.cat([low, low + torch.randint(1, 20, (count, 2), generator=generator)], dim=1)


@quick
@given(seed=seeds, count=st.integers(1, 8), objects=st.integers(1, 5),
       least=st.sampled_from([0.1, 0.3, 0.5, 0.7]))  # fmt: skip
def test_recall_is_the_librarys(seed, count, objects, least):
    draw = drawn(seed)
    boxes, real = random_boxes(count, draw).double(), random_boxes(objects, draw).double()
    best = box_iou(boxes, real).amax(dim=0)
    wanted = (best >= least).double().mean()
    assert page.proposal_recall(boxes, real, least) == pytest.approx(float(wanted))


def test_recall_by_hand():
    # 50 of 150 for the first object, nothing for the others
    boxes = torch.tensor([page.SHIFTED])
    real = torch.tensor([page.LEFT, page.RIGHT, page.FAR])
    assert page.proposal_recall(boxes, real, 0.3) == pytest.approx(1 / 3)
    assert page.proposal_recall(boxes, real, 0.34) == 0
    assert page.proposal_recall(torch.zeros(0, 4), real, 0.3) == 0


# ---- mnc.claims, mnc.ap_r -----------------------------------------------------------------------


def random_image(draw: torch.Generator) -> tuple[Detections, Targets]:
    """Up to six detections and four objects of one class, as random 6 x 6 masks."""
    found, real = torch.randint(0, 7, (), generator=draw), torch.randint(1, 5, (), generator=draw)
    objects = torch.rand(int(real), 6, 6, generator=draw) < 0.4
    objects[:, 0, 0] = True
    near = objects[torch.randint(len(objects), (int(found),), generator=draw)]
    masks = near ^ (torch.rand(int(found), 6, 6, generator=draw) < 0.12)
    masks[:, 0, 0] = True
    boxes = torch.tensor([[0.0, 0.0, 6.0, 6.0]])
    scores = torch.rand(int(found), generator=draw).sort(descending=True).values
    ones = torch.ones(int(found), dtype=torch.int64)
    detections = Detections(boxes.expand(int(found), 4), ones, scores, masks)
    labels = torch.ones(len(objects), dtype=torch.int64)
    return detections, Targets(boxes.expand(len(objects), 4), labels, objects)


def exact_ious(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """(A, B) in float64: in float32, 7 / 10 is less than 0.7."""
    a, b = a.flatten(1).double(), b.flatten(1).double()
    common = a @ b.T
    return common / (a.sum(dim=1)[:, None] + b.sum(dim=1) - common)


@quick
@given(seed=seeds, least=st.sampled_from([0.5, 0.6, 0.7]))
def test_claims_and_ap_r_together_are_mask_ap_r(seed, least):
    draw = drawn(seed)
    pairs = [random_image(draw) for _ in range(3)]
    scores, right = [], []
    for found, real in pairs:
        right += page.claims(exact_ious(found.masks, real.masks), found.scores, least)
        scores += found.scores.tolist()
    order = sorted(range(len(scores)), key=lambda d: -scores[d])
    mine = page.ap_r(torch.tensor([right[d] for d in order]), sum(len(r.labels) for _, r in pairs))
    per_class, _ = mask_ap_r(*zip(*pairs), 1, least)
    assert mine == pytest.approx(float(per_class[0]), abs=1e-6)


@quick
@given(right=st.lists(st.integers(0, 1), max_size=25), more=st.integers(0, 10))
def test_ap_r_is_the_librarys(right, more):
    objects = max(sum(right) + more, 1)
    flags = torch.tensor(right, dtype=torch.int64)
    falling = torch.linspace(1, 0, len(right))
    curve = precision_recall(falling, flags.bool(), objects)
    assert page.ap_r(flags, objects) == pytest.approx(average_precision(*curve))


def test_ap_r_by_hand():
    # precision 1, 1/2, 2/3, 3/4, 3/5 at recall 1/4, 1/4, 1/2, 3/4, 3/4: lifted to 1 up to 0.25
    # (3 recalls), 3/4 from there to 0.75 (5 recalls), 0 beyond: (3 + 5 * 0.75) / 11
    assert page.ap_r(page.FOUND_3_OF_4, 4) == pytest.approx(6.75 / 11)
    assert round(page.ap_r(page.FOUND_3_OF_4, 4), 6) == 0.613636


def test_claims_by_hand():
    # The best scored takes object 0. The next overlaps object 0 most, too, and gets nothing,
    # though object 1 would do; the last takes object 1.
    assert page.claims(page.CROWDED, torch.tensor([0.7, 0.9, 0.5]), 0.5) == [0, 1, 1]


# ---- mnc.best -----------------------------------------------------------------------------------


@quick
@given(seed=seeds, count=st.integers(0, 9), classes=st.integers(1, 4), most=st.integers(1, 12))
def test_best_is_the_librarys(seed, count, classes, most):
    draw = drawn(seed)
    boxes = random_boxes(count, draw)
    scores = torch.rand(count, classes + 1, generator=draw).softmax(dim=1)
    kept = keep_by_class(boxes, scores)
    rows, labels = best_of_all(kept, scores, most)
    assert page.best_of_all(kept.int(), scores, most) == (rows.tolist(), labels.tolist())


def test_one_box_may_be_there_twice_by_hand():
    # .70 (box 1, class 2), .50 (box 0, class 1), .40 (box 0, class 2), .20 (box 2, class 1)
    assert page.best_of_all(page.TWICE, page.SURE, 3) == ([1, 0, 0], [2, 1, 2])
