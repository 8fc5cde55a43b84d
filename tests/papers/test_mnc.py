"""MNC as a whole: the paper's numbers, gradients through the cascade, both stories, all that may
be missing."""

import dataclasses
import itertools
import math
from unittest import mock

import pytest
import torch

from teachseg.datasets.scenes import Scenes
from teachseg.geometry.masks import mask_iou
from teachseg.layers.backbones import CourseNet
from teachseg.learning.losses import total
from teachseg.papers import mnc
from teachseg.papers.mnc import (
    MNC,
    Config,
    Instances,
    Named,
    ask,
    ask_masks,
    decide,
    draw_boxes,
    feature_map,
    join_instances,
    learn_only,
    look_inside,
    make_anchors,
    masks_for_next,
    name_masks,
    next_boxes,
    parts_of_stage,
    predict,
    proposal_boxes,
    propose_anchors,
    see,
    stage_losses,
    stage_times,
    trace,
    training_losses,
)
from teachseg.structures import Detections, Targets, with_crowd

STAGE_1 = ["rpn_objectness", "rpn_box"]
STAGES_23 = ["mask_2", "class_3", "seg_class_3", "box_3"]
STAGES_45 = ["mask_4", "class_5", "seg_class_5", "box_5"]
SMALL = dataclasses.replace(  # for images of about 64 pixels
    Config.course(5), merge_channels=16, mask_hidden=16, hidden=24, mask_size=12, roi_size=6,
    warp_size=12, pre_nms_train=50, post_nms_train=20, pre_nms_test=50, post_nms_test=10,
    roi_draw=12, anchor_sizes=(8, 16, 32), proposal_min_side=1, box_gradient="full",
    gradient_limit=1 / 512, bridge_limit=None,  # the chain rule, as in the paper
)  # fmt: skip


def chance(seed=0):
    return torch.Generator().manual_seed(seed)


def small_model(seed=0, **changes):
    """The course's model with a narrow backbone; heads loud enough that boxes move and masks vary.

    Fresh heads answer nearly 0 to everything, and a fault in what follows would not be seen.
    """
    torch.manual_seed(seed)
    narrow = CourseNet(8, (16, 24, 32), (1, 1, 1))
    with mock.patch.object(mnc, "build_backbone", lambda name: narrow):
        model = MNC(dataclasses.replace(SMALL, **changes)).eval()
    loud = ((model.rpn_head.deltas, 0.05), (model.rpn_head.objectness, 0.2),
            (model.mask_stage.masks, 0.5), (model.category_stage.deltas, 0.3),
            (model.category_stage.classes, 0.5), (model.category_stage.seg_classes, 0.5))
    for layer, std in loud:
        torch.nn.init.normal_(layer.weight, std=std)
    return model


@pytest.fixture(scope="module")
def model():
    return small_model()


@pytest.fixture(scope="module")
def scenes():
    return [Scenes("test", 3, image_size=64)[i] for i in range(3)]


def picture(height, width, seed=0):
    return torch.rand(3, height, width, generator=chance(seed))


def one_object(height, width, box=(20, 16, 44, 48), label=1):
    x1, y1, x2, y2 = box
    mask = torch.zeros(1, height, width, dtype=torch.bool)
    mask[:, y1:y2, x1:x2] = True
    return Targets(torch.tensor([box], dtype=torch.float32), torch.tensor([label]), mask)


def num_parameters(module):
    return sum(p.numel() for p in module.parameters())


def step(model, images, targets, seed=0, **options):
    """A training step's losses, all finite, and finite gradients of their sum."""
    model.zero_grad(set_to_none=True)
    losses = training_losses(model, images, targets, chance(seed), **options)
    assert all(loss.ndim == 0 and bool(loss.isfinite()) for loss in losses.values()), losses
    total(losses).backward()
    for name, p in model.named_parameters():
        assert p.grad is None or bool(p.grad.isfinite().all()), name
    return losses


def check_detections(found, height, width, config=SMALL):
    """What holds of any answer, whatever was learned."""
    count = len(found.boxes)
    assert isinstance(found, Detections) and count <= config.max_detections
    assert found.boxes.shape == (count, 4) and found.boxes.dtype == torch.float32
    assert found.labels.shape == (count,) and found.labels.dtype == torch.int64
    assert found.scores.shape == (count,) and found.scores.dtype == torch.float32
    assert found.masks.shape == (count, height, width) and found.masks.dtype == torch.bool
    if count:
        assert 1 <= int(found.labels.min()) and int(found.labels.max()) <= config.num_classes
        assert 0 <= float(found.scores.min()) and float(found.scores.max()) <= 1
        assert bool((found.scores.diff() <= 0).all())
        assert bool((found.boxes[:, :2] >= 0).all())
        assert float(found.boxes[:, 2].max()) <= width and float(found.boxes[:, 3].max()) <= height


# ------------------------------------------------------------------------- sizes


@pytest.mark.parametrize("name, parameters", [("paper", 283_118_084), ("code", 283_029_933)])
def test_the_full_models_have_the_papers_parameters(name, parameters):
    with torch.device("meta"):  # shapes alone
        model = MNC(getattr(Config, name)(20))
    assert num_parameters(model) == parameters
    assert num_parameters(model.backbone) == 14_714_688
    # 3 x 3 of 512, then 18 scores and 36 deltas, each with its biases
    assert num_parameters(model.rpn_head) == 2_387_510 == 512 * (512 * 9 + 1) + 513 * (18 + 36)
    assert num_parameters(model.category_stage) == 239_091_712 + 1_032_318


def test_the_courses_model_is_small():
    assert num_parameters(MNC(Config.course(5))) <= 4_000_000


def test_the_papers_table_of_shapes():
    """One image of 600 x 1000, on the meta device: shapes alone, nothing is computed."""
    with torch.device("meta"):
        model = MNC(Config.code(20))
        features = feature_map(model, torch.zeros(1, 3, 600, 1000))
        assert features.shape == (1, 512, 38, 63)  # Caffe pools 600 -> 300 -> 150 -> 75 -> 38
        assert make_anchors(model.config, features).shape == (38 * 63 * 9, 4) == (21_546, 4)
        assert model.rpn_head.objectness(features).shape == (1, 18, 38, 63)
        assert model.rpn_head.deltas(features).shape == (1, 36, 38, 63)
        logits, deltas = model.rpn_head([features])
        assert logits.shape == (1, 21_546) and deltas.shape == (1, 21_546, 4)
        found = look_inside(model, features, [torch.zeros(300, 4)])
        assert found.warped.shape == (300, 512, 28, 28)
        assert found.roi_features.shape == (300, 512, 14, 14)
        assert found.mask_logits.shape == (300, 21, 21)
        assert model.mask_stage.hidden.in_features == 100_352
        said = name_masks(model, found.roi_features, found.mask_logits.sigmoid())
        assert said.masked.shape == (300, 512, 14, 14)
        assert model.category_stage.fc6.in_features == 25_088
        assert said.class_logits.shape == said.seg_class_logits.shape == (300, 21)
        assert said.deltas.shape == (300, 21, 4)


def test_released_anchors_are_16_pixels_apart():
    anchors = make_anchors(Config.code(20), torch.zeros(1, 1, 2, 2))
    assert anchors.shape == (36, 4)
    # py-faster-rcnn's first: -84, -40, 99, 55 counted inclusively, 184 x 96
    assert anchors[0].tolist() == [-84, -40, 100, 56]
    assert anchors[9].tolist() == [-84 + 16, -40, 100 + 16, 56]  # the next cell to the right
    assert anchors[18].tolist() == [-84, -40 + 16, 100, 56 + 16]  # the next row


def test_config_refuses_what_it_does_not_know():
    with pytest.raises(ValueError, match="num_classes=0"):
        Config.course(0)
    for changes in ({"anchors": "round"}, {"box_gradient": "some"}, {"stages_train": 4},
                    {"warp_size": 20}, {"mask_gradient": "none"}, {"rpn_scores": 3}):
        name, value = next(iter(changes.items()))
        with pytest.raises(ValueError, match=f"{name}={value!r} is not known: choose one of"):
            dataclasses.replace(Config.course(5), **changes)
    with pytest.raises(ValueError, match="feature_stride=32: course has maps of strides 4, 8, 16"):
        MNC(dataclasses.replace(Config.course(5), feature_stride=32))


def test_code_differs_from_paper_where_the_lesson_says():
    paper, code = Config.paper(20), Config.code(20)
    differ = {f.name for f in dataclasses.fields(Config)
              if getattr(paper, f.name) != getattr(code, f.name)}
    assert differ == {"mask_size", "binarize", "mask_threshold", "mask_weight",
                      "warp_rounding", "mask_gradient", "box_gradient", "mix_anchors"}
    slips = [f.name for f in dataclasses.fields(Config) if f.name.startswith("slip_")]
    assert len(slips) == 4
    assert not any(getattr(config, name) for name in slips
                   for config in (paper, code, Config.course(5)))


# ------------------------------------------------------------------------- training


def test_ten_losses(model, scenes):
    images, targets = zip(*scenes)
    losses = step(model, list(images), list(targets))
    assert list(losses) == STAGE_1 + STAGES_23 + STAGES_45
    assert all(loss.item() > 0 for loss in losses.values())
    for name, p in model.named_parameters():
        assert p.grad is not None and bool(p.grad.any()), f"{name} learns nothing"


def test_three_stages_are_the_first_six_losses(model, scenes):
    images, targets = zip(*scenes)
    whole = step(model, list(images), list(targets))
    three = step(small_model(stages_train=3), list(images), list(targets))
    assert list(three) == STAGE_1 + STAGES_23
    for name, loss in three.items():
        torch.testing.assert_close(loss, whole[name])


def test_same_generator_same_losses(model, scenes):
    images, targets = zip(*scenes)
    one, same, other = (step(model, list(images), list(targets), seed) for seed in (1, 1, 2))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_the_mask_loss_is_weighted(model, scenes):
    image, target = scenes[0]
    plain = step(model, [image], [target])
    heavy = step(small_model(mask_weight=2.0), [image], [target])
    for name in plain:
        factor = 2 if name.startswith("mask") else 1
        torch.testing.assert_close(heavy[name], factor * plain[name])


def fixed_step(model, seen, kept, targets):
    """What stages 2 to 5 are asked, for boxes as they are now: constants of the checks below."""
    config = model.config
    boxes = [proposal_boxes(config, seen, i, k).detach() for i, k in enumerate(kept)]
    fixed = []
    for _ in (2, 4):
        asked = ask(config, seen, boxes, targets)
        found = look_inside(model, seen.features, boxes)
        seg_labels = ask_masks(config, seen, found, asked, targets)
        said = name_masks(model, found.roi_features, found.mask_logits.sigmoid())
        fixed.append((asked, seg_labels))
        boxes = [b.detach() for b in next_boxes(config, boxes, said, seen.sizes, training=True)]
    return fixed


def cascade_losses(model, seen, kept, fixed, deltas):
    """Stages 2 to 5 as a function of the RPN's deltas, everything else held."""
    config, seen, losses = model.config, seen._replace(deltas=deltas), []
    boxes = [proposal_boxes(config, seen, i, k) for i, k in enumerate(kept)]
    for asked, seg_labels in fixed:
        found = look_inside(model, seen.features, boxes)
        mask_probs = masks_for_next(config, found.mask_logits, seg_labels, learns=True)
        said = name_masks(model, found.roi_features, mask_probs)
        losses += stage_losses(config, found.mask_logits, said, asked, seg_labels).values()
        boxes = next_boxes(config, boxes, said, seen.sizes, training=True)
    return torch.stack(losses)


@pytest.mark.parametrize("warp_size", [6, 12])
def test_gradient_to_the_boxes_through_the_whole_cascade(warp_size):
    """dL2/dB, dL3/dB and those of stages 4 and 5 against finite differences, in float64.

    Through warping, pooling, masking, both pathways and the boxes of stage 3. Labels and targets
    are constants, as in training.
    """
    model = small_model(4, warp_size=warp_size).double()
    model.category_stage.deltas.weight.data *= 0.1  # boxes move, and stay with their object
    image, target = picture(64, 64, 3).double(), one_object(64, 64)
    with torch.no_grad():
        seen = see(model, [image])
        kept = [propose_anchors(model.config, seen, 0, 50, 6)]
        # move two proposals onto the object, so that masks and boxes are asked for
        wanted = mnc.center_size(target.boxes.double())
        anchors = mnc.center_size(seen.anchors[kept[0][:2]].double())
        seen.deltas[0, kept[0][:2]] = torch.cat(
            [(wanted[0] - anchors[0]) / anchors[1], (wanted[1] / anchors[1]).log()], dim=1
        ) + 0.03 * torch.randn(2, 4, generator=chance(2), dtype=torch.float64)
        fixed = fixed_step(model, seen, kept, [target])
    assert all(int((asked.labels > 0).sum()) >= 2 for asked, _ in fixed)

    deltas = seen.deltas.clone().requires_grad_()
    losses = cascade_losses(model, seen, kept, fixed, deltas)
    for i in range(len(losses)):
        (slope,) = torch.autograd.grad(losses[i], deltas, retain_graph=True)
        for anchor, component in itertools.product(kept[0][:4].tolist(), range(4)):
            nudge = torch.zeros_like(deltas)
            nudge[0, anchor, component] = 1e-6
            with torch.no_grad():
                up = cascade_losses(model, seen, kept, fixed, deltas + nudge)[i]
                down = cascade_losses(model, seen, kept, fixed, deltas - nudge)[i]
            expected = (up - down) / 2e-6
            torch.testing.assert_close(slope[0, anchor, component], expected, atol=1e-7, rtol=1e-4)
    assert all(bool(torch.autograd.grad(loss, deltas, retain_graph=True)[0].any())
               for loss in losses), "each of the eight moves the boxes"


def box_slopes(scenes, **changes):
    """The gradient of the later stages' losses to the RPN's deltas, and where each may come."""
    model = small_model(**changes)
    images, targets = zip(*scenes)
    seen = see(model, list(images))
    deltas = seen.deltas.detach().requires_grad_()
    seen = seen._replace(deltas=deltas)
    kept = [propose_anchors(model.config, seen, i, 50, 20) for i in range(len(images))]
    boxes = [proposal_boxes(model.config, seen, i, k) for i, k in enumerate(kept)]
    found = look_inside(model, seen.features, boxes)
    weights = torch.randn(found.mask_logits.shape, generator=chance(1))
    loss = (found.mask_logits * weights).sum()
    slope = torch.autograd.grad(loss, deltas, allow_unused=True)[0]
    return model, seen, kept, slope


def test_the_released_gradient_to_the_boxes(scenes):
    _, _, _, full = box_slopes(scenes)
    model, seen, kept, limited = box_slopes(scenes, box_gradient="limited")
    most = model.config.gradient_limit
    assert most == 1 / 512 and float(limited.abs().max()) == pytest.approx(most)
    untouched = 0
    for i, of_image in enumerate(kept):
        moved = mnc.decode_boxes(seen.deltas[i, of_image], seen.anchors[of_image])
        whole = torch.cat([moved, seen.anchors[of_image]], dim=1)
        inside = ((whole >= 0) & (whole <= 64)).all(dim=1)
        expected = full[i, of_image].clamp(-most, most) * inside[:, None]
        torch.testing.assert_close(limited[i, of_image], expected)
        untouched += int((~inside).sum())
    assert untouched > 0 and bool(limited.any())


def test_boxes_taken_as_given_get_no_gradient(scenes):
    assert box_slopes(scenes, box_gradient="none")[3] is None


def test_masks_that_are_no_good_get_no_gradient_in_the_released_code():
    logits = torch.randn(3, 2, 2, generator=chance(0), requires_grad=True)
    seg_labels = torch.tensor([0, 4, 0])
    config = dataclasses.replace(SMALL, mask_gradient="positive")
    probs = masks_for_next(config, logits, seg_labels, learns=True)
    torch.testing.assert_close(probs, logits.sigmoid())
    (slope,) = torch.autograd.grad(probs.sum(), logits)
    torch.testing.assert_close(slope[1], (logits.sigmoid() * (1 - logits.sigmoid()))[1])
    assert not slope[0].any() and not slope[2].any()
    (slope,) = torch.autograd.grad(masks_for_next(SMALL, logits, seg_labels, True).sum(), logits)
    assert bool(slope.all())
    assert not masks_for_next(SMALL, logits, seg_labels, learns=False).requires_grad


def test_mask_labels_need_the_mask_too(scenes):
    """Seg labels are box labels, or background where the mask is no good."""
    model = small_model()
    images, targets = (list(part) for part in zip(*scenes))
    seen = see(model, images)
    boxes = [target.boxes for target in targets]  # every box is on its object
    asked = ask(model.config, seen, boxes, targets)
    assert torch.equal(asked.labels, torch.cat([t.labels for t in targets]))
    found = look_inside(model, seen.features, boxes)
    perfect = found._replace(mask_logits=(asked.crops - 0.5) * 20)
    assert torch.equal(ask_masks(model.config, seen, perfect, asked, targets), asked.labels)
    empty = found._replace(mask_logits=torch.full_like(asked.crops, -20.0))
    assert not ask_masks(model.config, seen, empty, asked, targets).any()
    inverted = found._replace(mask_logits=(0.5 - asked.crops) * 20)
    assert int((ask_masks(model.config, seen, inverted, asked, targets) > 0).sum()) < len(
        asked.labels
    )


def test_training_rois(scenes):
    """At most roi_draw, boxes of objects among them, each with the anchor that it came from."""
    image, target = scenes[0]
    model = small_model(roi_draw=6)
    seen = see(model, [image])
    drawn = draw_boxes(model.config, seen, 0, target, chance())
    assert drawn.boxes.shape == (6, 4) and drawn.anchors.shape == (6,)
    own = drawn.anchors < 0
    assert own.any()
    assert all(any(torch.equal(box, real) for real in target.boxes) for box in drawn.boxes[own])
    proposed = drawn.anchors[~own]
    expected = proposal_boxes(model.config, seen, 0, proposed)
    torch.testing.assert_close(drawn.boxes[~own], expected)


def test_mixed_anchors_learn_as_their_rois_do(scenes):
    image, target = scenes[0]
    plain = step(small_model(rpn_draw=4), [image], [target])
    mixed = step(small_model(rpn_draw=4, mix_anchors=True), [image], [target])
    assert not torch.equal(plain["rpn_objectness"], mixed["rpn_objectness"])
    torch.testing.assert_close(plain["mask_2"], mixed["mask_2"])


# ------------------------------------------------------------------------- step by step


@pytest.mark.parametrize(
    "stages, names",
    [
        ((1,), STAGE_1),
        ((2,), STAGES_23[:1]),
        ((3,), STAGES_23[1:]),
        ((2, 3), STAGES_23),
        ((1, 2, 3), STAGE_1 + STAGES_23),
        ((4, 5), STAGES_45),
        ((1, 2, 3, 4, 5), STAGE_1 + STAGES_23 + STAGES_45),
    ],
)
def test_stages_that_train_alone(scenes, stages, names):
    model = small_model()
    learn_only(model, stages)
    image, target = scenes[0]
    losses = step(model, [image], [target], stages=stages)
    assert list(losses) == names
    learning = {p for stage in stages for part in parts_of_stage(model, stage)
                for p in part.parameters()}
    for name, p in model.named_parameters():
        assert p.requires_grad == (p in learning), name
        assert (p.grad is not None) == (p in learning), name


def test_a_stage_left_out_hands_on_its_answer_as_it_is(scenes):
    """The same losses, and no gradient of them in the earlier stages' own heads."""
    image, target = scenes[0]
    model = small_model()
    whole = step(model, [image], [target])
    for stages, silent in (((3,), ["rpn_head", "mask_stage"]), ((2,), ["rpn_head"]),
                           ((2, 3), ["rpn_head"]), ((5,), ["rpn_head", "mask_stage"])):
        losses = step(model, [image], [target], stages=stages)
        for name, loss in losses.items():
            torch.testing.assert_close(loss, whole[name])
        for name in silent:
            assert all(p.grad is None for p in getattr(model, name).parameters()), (stages, name)
    step(model, [image], [target], stages=(1, 3))
    own = model.rpn_head.deltas.weight.grad.clone()
    step(model, [image], [target], stages=(1,))
    assert not torch.allclose(own, model.rpn_head.deltas.weight.grad), "stage 3 moves boxes"


def test_every_parameter_belongs_to_one_stage(model):
    parts = [set(p for part in parts_of_stage(model, s) for p in part.parameters())
             for s in (1, 2, 3)]
    assert set.union(*parts) == set(model.parameters())
    assert sum(map(len, parts)) == len(list(model.parameters()))
    assert parts_of_stage(model, 4) == parts_of_stage(model, 2)
    assert parts_of_stage(model, 5) == parts_of_stage(model, 3)
    with pytest.raises(ValueError, match="stage must be 1, 2, 3, 4 or 5, got 6"):
        parts_of_stage(model, 6)


def test_stages_that_there_are_not(model, scenes):
    image, target = scenes[0]
    with pytest.raises(ValueError, match="stages must be among 1, 2, 3, 4, 5"):
        training_losses(model, [image], [target], chance(), stages=(2, 6))


# ------------------------------------------------------------------------- the bridge


def said_of(seg_class_logits, deltas):
    none = torch.zeros(len(deltas), 0)
    return Named(none, none, seg_class_logits, deltas)


def test_next_boxes_by_hand():
    # boxes 20 x 20 and 10 x 20; the best object class of both is 2 (background does not count)
    boxes = [torch.tensor([[10.0, 10, 30, 30], [20, 20, 30, 40]])]
    logits = torch.tensor([[9.0, 0.0, 1.0], [0.0, -1.0, 3.0]])
    deltas = torch.zeros(2, 3, 4)
    deltas[:, :2] = 7.0  # of the other classes: to be left alone
    deltas[0, 2] = torch.tensor([1.0, -2.0, 0.0, 5 * math.log(2)])
    # center (20, 20) moves by (1 / 10, -2 / 10) sides of 20 to (22, 16); the height doubles to 40:
    # from -4, cut off at 0, to 36
    expected = torch.tensor([[12.0, 0, 32, 36], [20, 20, 30, 40]])
    config = Config.course(2)
    (moved,) = next_boxes(config, boxes, said_of(logits, deltas), [(64, 64)], training=True)
    torch.testing.assert_close(moved, expected)


def test_the_bridges_slips_change_the_boxes():
    boxes = [torch.tensor([[20.0, 20, 40, 40]])]
    logits = torch.tensor([[9.0, 0.0, 1.0]])
    deltas = torch.zeros(1, 3, 4)
    deltas[0, 2, 0], deltas[0, 0, 1] = 1.0, 5.0
    said, sizes = said_of(logits, deltas), [(99, 99)]

    def moved(training, **slip):
        config = dataclasses.replace(Config.course(2), **slip)
        return next_boxes(config, boxes, said, sizes, training)[0].tolist()[0]

    right = pytest.approx([22, 20, 42, 40])  # a tenth of a side
    assert moved(True) == moved(False) == right
    # 2. deltas not divided by their weights while training: ten times as far
    assert moved(True, slip_bridge_weights=True) == pytest.approx([40, 20, 60, 40])
    assert moved(False, slip_bridge_weights=True) == right
    # 3. background may win while testing: its deltas, half a side down
    assert moved(False, slip_bridge_background=True) == pytest.approx([20, 30, 40, 50])
    assert moved(True, slip_bridge_background=True) == right


def test_the_bridges_gradient_slip():
    """Weights (1, 1, 1, 1) for short: d/dx of the left edge is the width by the chain rule."""
    boxes, logits = [torch.tensor([[20.0, 20, 40, 60]])], torch.tensor([[0.0, 1.0]])
    slopes = []
    for slip in (False, True):
        config = dataclasses.replace(SMALL, num_classes=1, delta_weights=(1, 1, 1, 1),
                                     slip_bridge_gradient=slip)
        deltas = torch.zeros(1, 2, 4, requires_grad=True)
        (moved,) = next_boxes(config, boxes, said_of(logits, deltas), [(99, 99)], training=True)
        torch.testing.assert_close(moved, boxes[0])
        (moved * torch.tensor([1.0, 2.0, 3.0, 4.0])).sum().backward()
        slopes.append(deltas.grad[0, 1].tolist())
    # corners' 1, 2, 3, 4 are center's 4, 6 and size's 1, 1; times sides 20 and 40
    assert slopes[0] == pytest.approx([4 * 20, 6 * 40, 1 * 20, 1 * 40])
    assert slopes[1] == pytest.approx([1 * 20, 2 * 40, 3 * 20, 4 * 40])


def test_the_limit_of_the_bridges_gradient():
    boxes, logits = [torch.tensor([[20.0, 20, 40, 60]])], torch.tensor([[0.0, 1.0]])
    deltas = torch.zeros(1, 2, 4, requires_grad=True)
    config = dataclasses.replace(Config.course(1), bridge_limit=0.5)
    (moved,) = next_boxes(config, boxes, said_of(logits, deltas), [(99, 99)], training=True)
    (moved * torch.tensor([0.1, 2.0, 0.1, -2.0])).sum().backward()
    # x: 0.2 * 20 / 10 = 0.4; y: 0; w: 0; h: (-2 - 2) / 2 * 40 / 5 = -16, held at -0.5
    torch.testing.assert_close(deltas.grad[0, 1], torch.tensor([0.4, 0.0, 0.0, -0.5]))


def test_late_warp_slip_changes_stage_5_alone(model):
    slipped = small_model(slip_late_warp=True)
    image = picture(64, 64, 1)
    right, wrong = trace(model, image), trace(slipped, image)
    torch.testing.assert_close(right["scores_3"], wrong["scores_3"])
    assert right["warped_4"].shape[-1] == 12 and wrong["warped_4"].shape[-1] == 6
    assert right["roi_features_4"].shape == wrong["roi_features_4"].shape
    assert not torch.allclose(right["scores_5"], wrong["scores_5"])


def test_five_stages_without_moves_are_three_stages_twice():
    model = small_model()
    torch.nn.init.zeros_(model.category_stage.deltas.weight)
    seen = trace(model, picture(64, 64, 1))
    torch.testing.assert_close(seen["boxes_4"], seen["boxes_2"], atol=1e-4, rtol=0)
    for late, early in (("mask_probs_4", "mask_probs_2"), ("scores_5", "scores_3")):
        torch.testing.assert_close(seen[late], seen[early], atol=1e-3, rtol=0)


# ------------------------------------------------------------------------- testing


@pytest.mark.parametrize("stages_test, instances", [(3, 10), (5, 20)])
def test_instances_of_stage_3_and_of_stage_5(stages_test, instances):
    model = small_model(stages_test=stages_test)
    found = trace(model, picture(64, 64, 1))["instances"]
    assert found.boxes.shape == (instances, 4) and found.crops.shape == (instances, 12, 12)
    assert found.scores.shape == (instances, 6)
    torch.testing.assert_close(found.scores.sum(dim=1), torch.ones(instances))


def test_trace_names_every_stage_and_ends_as_predict(model):
    image = picture(60, 52, 1)  # not a multiple of the stride
    seen = trace(model, image)
    count = len(seen["proposals"].boxes)
    assert 0 < count <= 10
    for s in (2, 4):
        assert seen[f"boxes_{s}"].shape == (count, 4)
        assert seen[f"warped_{s}"].shape == (count, 16, 12, 12)
        assert seen[f"roi_features_{s}"].shape == (count, 16, 6, 6)
        assert seen[f"mask_logits_{s}"].shape == seen[f"mask_probs_{s}"].shape == (count, 12, 12)
        assert seen[f"masked_{s + 1}"].shape == (count, 16, 6, 6)
        assert seen[f"scores_{s + 1}"].shape == (count, 6)
        assert seen[f"deltas_{s + 1}"].shape == (count, 6, 4)
    assert torch.equal(seen["boxes_2"], seen["proposals"].boxes)
    assert torch.equal(seen["boxes_4"], seen["next_boxes_3"])
    assert len(seen["anchors"]) == len(seen["objectness_logits"]) == len(seen["anchor_deltas"])
    (found,) = predict(model, [image])
    check_detections(found, 60, 52)
    assert all(torch.equal(a, b) for a, b in zip(found, seen["detections"]))


def test_boxes_of_a_resized_image_come_back_to_the_original():
    model = small_model(min_side=64, max_side=128)
    image = picture(32, 48, 2)
    seen = trace(model, image)
    assert seen["batch"].shape == (1, 3, 64, 96)
    assert float(seen["boxes_2"][:, 2].max()) > 48
    torch.testing.assert_close(seen["instances"].boxes[:10], seen["boxes_2"] / 2)
    check_detections(predict(model, [image])[0], 32, 48)
    step(model, [image], [one_object(32, 48, (10, 8, 22, 24))])


def test_a_batch_of_two_sizes(model):
    images = [picture(64, 48, 1), picture(40, 64, 2)]
    for found, image in zip(predict(model, images), images):
        check_detections(found, *image.shape[1:])
    losses = step(model, images, [one_object(64, 48), Targets.empty((40, 64))])
    assert len(losses) == 10


def test_instances_are_joined_image_by_image():
    parts = []
    for value in (1.0, 2.0):
        boxes = [torch.full((1, 4), value), torch.full((2, 4), 10 + value)]
        parts.append((boxes, torch.full((3, 2, 2), value), torch.full((3, 2), value)))
    one, two = join_instances(parts, [(64, 64)] * 2, [(32, 32), (64, 64)])
    assert one.boxes[:, 0].tolist() == [0.5, 1.0] and two.boxes[:, 0].tolist() == [11, 11, 12, 12]
    assert one.scores.shape == (2, 2) and two.crops[:, 0, 0].tolist() == [1, 1, 2, 2]


def test_without_voting_each_box_keeps_its_own_mask():
    config = dataclasses.replace(Config.course(1), voting=False, mask_threshold=0.5)
    boxes = torch.tensor([[0.0, 0, 4, 4], [0, 0, 4, 5], [6, 6, 8, 8]])
    crops = torch.stack([torch.ones(2, 2), torch.zeros(2, 2), torch.ones(2, 2)])
    scores = torch.tensor([[0.1, 0.9], [0.2, 0.8], [0.7, 0.3]])
    found = decide(config, Instances(boxes, crops, scores), (8, 8))
    # the second box overlaps the first by 16 / 20 and goes; the third stays
    torch.testing.assert_close(found.scores, torch.tensor([0.9, 0.3]))
    assert found.labels.tolist() == [1, 1]
    assert found.boxes.tolist() == [[0, 0, 4, 4], [6, 6, 8, 8]]
    assert [int(mask.sum()) for mask in found.masks] == [16, 4]


@pytest.mark.parametrize("voting", [True, False])
def test_the_least_score_drops_the_rest(voting):
    image = picture(64, 64, 1)
    (whole,) = predict(small_model(voting=voting), [image])
    bar = float(whole.scores[len(whole.scores) // 2])
    (part,) = predict(small_model(voting=voting, min_score=bar), [image])
    expected = whole.scores > bar
    assert 0 < int(expected.sum()) < len(expected)
    for a, b in zip(part, whole):
        assert torch.equal(a, b[expected])


def test_stage_times_add_up(model):
    ticks = iter(range(100))
    times = stage_times(model, picture(64, 64), clock=lambda: next(ticks))
    rows = ["conv", "stage 1", "stage 2", "stage 3", "stage 4", "stage 5", "others"]
    assert times == dict.fromkeys(rows, 1)  # this clock moves by one at each look
    times = stage_times(model, picture(64, 64))
    assert list(times) == rows and all(0 < seconds < 10 for seconds in times.values())


# ------------------------------------------------------------------------- nothing there


def test_no_object(model):
    losses = step(model, [picture(64, 64)], [Targets.empty((64, 64))])
    assert list(losses) == STAGE_1 + STAGES_23 + STAGES_45
    for name in ("rpn_box", "mask_2", "box_3", "mask_4", "box_5"):
        assert losses[name].item() == 0
    assert losses["class_3"].item() > 0


@pytest.mark.parametrize("objects", [True, False])
def test_no_proposal(objects):
    model = small_model(proposal_min_side=1000)
    image = picture(64, 64)
    target = one_object(64, 64) if objects else Targets.empty((64, 64))
    losses = step(model, [image], [target])
    assert len(losses) == 10
    assert (losses["mask_2"].item() > 0) == objects  # the object's own box is left
    (found,) = predict(model, [image])
    check_detections(found, 64, 64)
    assert len(found.boxes) == 0
    assert len(trace(model, image)["instances"].boxes) == 0


def test_masks_that_are_empty_everywhere():
    model = small_model()
    torch.nn.init.zeros_(model.mask_stage.masks.weight)
    torch.nn.init.constant_(model.mask_stage.masks.bias, -30.0)
    image, target = picture(64, 64), one_object(64, 64)
    losses = step(model, [image], [target])
    assert losses["mask_2"].item() > 5  # sure, and wrong
    seen = trace(model, image)
    assert not (seen["mask_probs_2"] > 1e-9).any() and not (seen["masked_3"].abs() > 1e-6).any()
    (found,) = predict(model, [image])
    check_detections(found, 64, 64)


def test_one_class_only():
    model = small_model(num_classes=1)
    image = picture(64, 64)
    assert len(step(model, [image], [one_object(64, 64)])) == 10
    (found,) = predict(model, [image])
    check_detections(found, 64, 64, model.config)
    assert bool((found.labels == 1).all())


@pytest.mark.parametrize("collapse", [[0, 0, -500, -500], [0, 0, -500, 0], [4000, 0, 0, 0]])
def test_boxes_that_collapse_between_the_stages(collapse):
    """To a point, to a line, and out of the image to its border."""
    model = small_model()
    torch.nn.init.zeros_(model.category_stage.deltas.weight)
    model.category_stage.deltas.bias.data = torch.tensor(collapse * 6, dtype=torch.float32)
    image = picture(64, 64)
    losses = step(model, [image], [one_object(64, 64)])
    assert losses["mask_4"].item() > 0  # by the object's own box, which is added again
    seen = trace(model, image)
    assert not ((seen["boxes_4"][:, 2:] - seen["boxes_4"][:, :2]) > 1e-3).all(dim=1).any()
    assert bool(seen["scores_5"].isfinite().all())
    check_detections(predict(model, [image])[0], 64, 64)


def test_half_precision_trains(scenes):
    model = small_model()
    image, target = scenes[0]
    with torch.autocast("cpu", torch.bfloat16):
        losses = training_losses(model, [image], [target], chance())
    assert all(loss.dtype == torch.float32 and bool(loss.isfinite()) for loss in losses.values())
    total(losses).backward()
    assert all(bool(p.grad.isfinite().all()) for p in model.parameters())


def test_bad_input(model):
    with pytest.raises(ValueError, match="images must be a list"):
        predict(model, picture(64, 64))
    with pytest.raises(ValueError, match=r"labels run from 6 to 6"):
        training_losses(model, [picture(64, 64)], [one_object(64, 64, label=6)], chance())


# ------------------------------------------------------------------------- learning


@pytest.mark.slow
def test_it_learns_two_scenes_by_heart():
    """From scratch to every object found, with its class and at least half of its mask."""
    torch.manual_seed(0)
    model = MNC(dataclasses.replace(Config.course(5), roi_draw=16, post_nms_train=30)).train()
    scenes = Scenes("train", 2, image_size=96, kind="mixed")
    images, targets = (list(part) for part in zip(*(scenes[i] for i in range(2))))
    optimizer, generator = torch.optim.AdamW(model.parameters(), lr=2e-3), chance()
    for _ in range(150):
        losses = training_losses(model, images, targets, generator)
        optimizer.zero_grad()
        total(losses).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimizer.step()
    for found, target in zip(predict(model.eval(), images), targets):
        likely = found.above(0.5)
        iou = mask_iou(target.masks, likely.masks) * (target.labels[:, None] == likely.labels)
        assert len(likely.labels) >= len(target.labels)
        assert bool((iou.max(dim=1).values >= 0.5).all())


def test_a_crowd_is_no_background_for_the_losses(scenes):
    """A crowd over all that is no object: only rois on objects are left."""
    model, (image, target) = small_model(), scenes[0]
    everything = Targets(torch.tensor([[0.0, 0, 64, 64]]), torch.tensor([1]),
                         torch.ones(1, 64, 64, dtype=torch.bool))
    seen = mnc.see(model, [image])
    crowded = with_crowd(target, everything)
    plain, spared = (
        mnc.label_boxes(mnc.draw_boxes(model.config, seen, 0, some, chance()).boxes, target, 0.5)
        for some in (target, crowded))
    assert int((plain.labels == 0).sum()) > 0 and int((spared.labels == 0).sum()) == 0
    losses = step(model, [image], [crowded])
    assert all(bool(loss.isfinite()) for loss in losses.values())
