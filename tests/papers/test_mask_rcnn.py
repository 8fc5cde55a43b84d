"""Mask R-CNN as a whole: torchvision's numbers, both stories end to end, and every bad input."""

import dataclasses
import inspect
from unittest import mock

import pytest
import torch
from torchvision.models.detection import maskrcnn_resnet50_fpn

from teachseg.datasets.batch import resize
from teachseg.datasets.scenes import Scenes
from teachseg.geometry.masks import mask_iou, masks_to_boxes
from teachseg.layers.backbones import CourseNet
from teachseg.layers.fpn import assign_levels
from teachseg.learning.losses import total
from teachseg.papers import mask_rcnn
from teachseg.papers.mask_rcnn import (
    Config,
    MaskRCNN,
    from_torchvision,
    make_anchors,
    predict,
    propose_boxes,
    rename_from_torchvision,
    roi_operator,
    see,
    stage_times,
    trace,
    training_losses,
)
from teachseg.structures import Detections, Targets, with_crowd

NAMES = {"rpn_objectness", "rpn_box", "class", "box", "mask"}
SMALL = dataclasses.replace(  # for images of about 64 pixels
    Config.course(5), fpn_channels=32, box_hidden=32, mask_channels=16, mask_convs=1,
    pre_nms_train=50, post_nms_train=20, pre_nms_test=50, post_nms_test=10, min_score=0.02,
    anchor_sizes=(8, 16, 32), canonical_side=28,
)  # fmt: skip


def chance(seed=0):
    return torch.Generator().manual_seed(seed)


def small_model(seed=0, **changes):
    """The course's model with a narrow backbone: a training step takes about 50 ms."""
    torch.manual_seed(seed)
    narrow = CourseNet(16, (32, 48, 64), (1, 1, 1))
    with mock.patch.object(mask_rcnn, "build_backbone", lambda name: narrow):
        return MaskRCNN(dataclasses.replace(SMALL, **changes)).eval()


@pytest.fixture(scope="module")
def model():
    return small_model()


@pytest.fixture(scope="module")
def scenes():
    return [Scenes("test", 3, image_size=64)[i] for i in range(3)]


def picture(height, width, seed=0):
    return torch.rand(3, height, width, generator=chance(seed))


def one_object(height, width, box=(2, 3, 12, 15), label=1):
    x1, y1, x2, y2 = box
    mask = torch.zeros(1, height, width, dtype=torch.bool)
    mask[:, y1:y2, x1:x2] = True
    return Targets(torch.tensor([box], dtype=torch.float32), torch.tensor([label]), mask)


def num_parameters(module):
    return sum(p.numel() for p in module.parameters())


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
        assert bool((found.scores > config.min_score).all()) and float(found.scores.max()) <= 1
        assert bool((found.scores.diff() <= 0).all())
        assert bool((found.boxes[:, :2] >= 0).all())
        assert float(found.boxes[:, 2].max()) <= width and float(found.boxes[:, 3].max()) <= height
        assert bool((found.boxes[:, 2:] > found.boxes[:, :2]).all())


# ------------------------------------------------------------------------- sizes


def test_the_courses_model_is_small():
    assert num_parameters(MaskRCNN(Config.course(5))) <= 3_000_000


def test_the_papers_model_has_torchvisions_parameters(theirs):
    # torchvision tells 44,401,393 for 90 classes, its batch norms frozen: they are numbers, not
    # parameters. Without pretrained weights it builds norms that learn, 2 x 26,560 more.
    with torch.device("meta"):  # shapes alone
        ours = MaskRCNN(Config.paper(90))
    assert num_parameters(ours) == 44_401_393
    norms = [m for m in theirs.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert num_parameters(theirs) == 44_401_393 + sum(map(num_parameters, norms)) == 44_454_513
    assert num_parameters(ours.box_head) == 13_895_680 + 1025 * (91 + 364)
    assert num_parameters(ours.mask_head) == 2_360_320 + 285_787
    assert num_parameters(ours.rpn_head) == 593_935


# ------------------------------------------------------------------------- torchvision


def shake(model, seed=0):
    """Random numbers also where torchvision starts from 0 or 1, so that no tensor is neutral.

    They keep the features near 1, as training does. torchvision's own first weights let them grow
    to 40 through 50 layers, and with them what float32 cuts off.
    """
    random = chance(seed)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if "running_var" in name:
                tensor.copy_(torch.rand(tensor.shape, generator=random) * 0.6 + 0.9)
            elif ("bn" in name or "downsample.1" in name) and name.endswith("weight"):
                tensor.copy_(torch.rand(tensor.shape, generator=random) * 0.4 + 0.6)
            elif name.startswith("rpn") and name.endswith("weight"):
                tensor.mul_(5)  # so that the map, not the biases alone, decides which anchors win
            elif name.endswith(("bias", "running_mean")):
                tensor.copy_(torch.randn(tensor.shape, generator=random) * 0.05)


@pytest.fixture(scope="module")
def theirs():
    """torchvision's model, random weights, small images, few boxes: so that it takes a second.

    Random weights give each of 91 classes a score near 1/91 = 0.01099; the threshold lets a
    few pass.
    """
    torch.manual_seed(0)
    model = maskrcnn_resnet50_fpn(
        weights=None, weights_backbone=None, min_size=160, max_size=224, box_score_thresh=0.011,
        rpn_post_nms_top_n_test=60, box_detections_per_img=12,
    )  # fmt: skip
    shake(model)
    return model.eval()


@pytest.fixture(scope="module")
def ours(theirs):
    model = from_torchvision(theirs.state_dict())
    model.config = dataclasses.replace(
        model.config, min_side=160, max_side=224, min_score=0.011, post_nms_test=60,
        max_detections=12,
    )  # fmt: skip
    return model


# sizes: shrunk and enlarged; limited by the longer side; 150 x 170, resized to 160 x 181, is padded
# to 160 x 192, whose last map is 5 x 6: the extra level has 3 x 3 cells, and 160 // 3 = 53, not 64
@pytest.mark.parametrize("height, width", [(200, 240), (97, 120), (100, 300), (150, 170)])
def test_from_torchvision_gives_the_same_detections(theirs, ours, height, width):
    image = picture(height, width, seed=height)
    with torch.inference_mode():
        expected = theirs([image])[0]
    seen = trace(ours, image)
    found = seen["detections"]
    assert 3 <= len(found.boxes) == len(expected["boxes"])
    torch.testing.assert_close(found.scores, expected["scores"], atol=1e-4, rtol=0)
    # of two with nearly one score the order may differ: compare each with the closest of theirs
    same = (found.labels[:, None] == expected["labels"]) & (
        (found.boxes[:, None] - expected["boxes"]).abs().amax(dim=2) < 1e-4
    )
    assert bool(same.any(dim=0).all()) and bool(same.any(dim=1).all())
    partner = same.float().argmax(dim=1)
    torch.testing.assert_close(found.scores, expected["scores"][partner], atol=1e-4, rtol=0)
    their_probs = expected["masks"][partner, 0]
    torch.testing.assert_close(seen["mask_probs"], their_probs, atol=1e-4, rtol=0)
    clear = (their_probs - 0.5).abs() > 1e-4
    assert torch.equal(found.masks[clear], (their_probs >= 0.5)[clear])


def test_first_weights_as_torchvision_draws_them():
    torch.manual_seed(1)
    theirs = maskrcnn_resnet50_fpn(
        weights=None, weights_backbone=None, min_size=160, max_size=224, box_score_thresh=0.011,
        rpn_post_nms_top_n_test=60, box_detections_per_img=12,
    ).eval()  # fmt: skip
    ours = from_torchvision(theirs.state_dict())
    ours.config = dataclasses.replace(
        ours.config, min_side=160, max_side=224, min_score=0.011, post_nms_test=60,
        max_detections=12,
    )  # fmt: skip
    image = picture(130, 170, seed=5)
    with torch.inference_mode():
        expected = theirs([image])[0]
    seen = trace(ours, image)
    assert len(expected["boxes"]) > 0
    torch.testing.assert_close(seen["detections"].boxes, expected["boxes"], atol=1e-4, rtol=0)
    torch.testing.assert_close(seen["detections"].scores, expected["scores"], atol=1e-4, rtol=0)
    torch.testing.assert_close(seen["mask_probs"], expected["masks"][:, 0], atol=1e-4, rtol=0)


def test_our_readable_roi_align_serves_as_well(ours):
    image, kept = picture(150, 170, seed=150), ours.config
    compiled = trace(ours, image)
    ours.config = dataclasses.replace(kept, roi_operator="align")
    readable = trace(ours, image)
    ours.config = kept
    for a, b in zip(readable["detections"][:3], compiled["detections"][:3]):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=0)
    torch.testing.assert_close(readable["mask_probs"], compiled["mask_probs"], atol=1e-4, rtol=0)


def test_a_batch_of_two_sizes_equals_torchvision_too(theirs, ours):
    images = [picture(120, 150, seed=1), picture(150, 110, seed=2)]
    with torch.inference_mode():
        expected = theirs(images)
    for found, wanted in zip(predict(ours, images), expected):
        torch.testing.assert_close(found.scores, wanted["scores"], atol=1e-4, rtol=0)
        torch.testing.assert_close(found.boxes, wanted["boxes"], atol=1e-4, rtol=0)


def test_every_setting_named_after_torchvision_matters(theirs, ours):
    """None is a dead switch: each moves the answer (strides: see the test of proposals)."""
    image = picture(150, 170, seed=150)
    with torch.inference_mode():
        expected = theirs([image])[0]
    plain, kept = Config.paper(90), ours.config
    for name in ("anchor_rounding", "aligned", "paste"):
        assert getattr(kept, name) != getattr(plain, name)
        ours.config = dataclasses.replace(kept, **{name: getattr(plain, name)})
        seen = trace(ours, image)
        ours.config = kept
        answers = [seen["detections"].boxes, seen["detections"].scores, seen["mask_probs"]]
        wanted = [expected["boxes"], expected["scores"], expected["masks"][:, 0]]
        assert not all(
            a.shape == b.shape and torch.allclose(a, b, atol=1e-4, rtol=0)
            for a, b in zip(answers, wanted)
        ), name


def test_proposals_equal_torchvisions_extra_level_and_all(theirs, ours):
    image = picture(150, 170, seed=150)
    with torch.inference_mode():
        images, _ = theirs.transform([image])
        (expected,), _ = theirs.rpn(images, theirs.backbone(images.tensors))
        seen = see(ours, [image])
        (proposals,) = propose_boxes(ours.config, seen, 1000, 60)
        by_level = dataclasses.replace(ours.config, anchor_strides="level")
        others = torch.cat(make_anchors(by_level, seen.levels, (4, 8, 16, 32, 64), (160, 192)))
    assert seen.level_sizes == [5760, 1440, 360, 90, 27]
    apart = (proposals.boxes[:, None] - expected).abs().amax(dim=2)
    assert len(expected) == 60 and float(apart.amin(dim=0).max()) < 1e-4
    assert float(apart.amin(dim=1).max()) < 1e-4
    # with the level's own stride only the extra level's anchors would lie elsewhere
    moved = (others != seen.anchors).any(dim=1)
    assert not moved[:-27].any() and bool(moved[-27:].any())


def test_strides_of_the_extra_level():
    # a batch of 160 x 192: maps of 40 x 48 ... 5 x 6, and 3 x 3 for the extra level
    config = Config.torchvision(1)
    sizes = [(40, 48), (20, 24), (10, 12), (5, 6), (3, 3)]
    levels = [torch.zeros(1, 1, *size) for size in sizes]
    last = make_anchors(config, levels, (4, 8, 16, 32, 64), (160, 192))[-1].view(3, 3, 3, 4)
    # as torchvision: 160 // 3 = 53 down, 192 // 3 = 64 to the right
    assert (last[1, 0, 0] - last[0, 0, 0]).tolist() == [0, 53, 0, 53]
    assert (last[0, 1, 0] - last[0, 0, 0]).tolist() == [64, 0, 64, 0]
    by_level = dataclasses.replace(config, anchor_strides="level")
    last = make_anchors(by_level, levels, (4, 8, 16, 32, 64), (160, 192))[-1].view(3, 3, 3, 4)
    assert (last[1, 0, 0] - last[0, 0, 0]).tolist() == [0, 64, 0, 64]


def test_weights_of_another_number_of_classes_are_told(theirs):
    with pytest.raises(ValueError, match=r"box_head.classes.weight is \(91, 1024\).*num_classes=7"):
        from_torchvision(theirs.state_dict(), num_classes=7)


def test_wrong_state_dicts_are_told(theirs, ours, monkeypatch):
    monkeypatch.setattr(mask_rcnn, "MaskRCNN", lambda config: ours)  # building it takes a second
    state = theirs.state_dict()
    with pytest.raises(ValueError, match="'head.weight' is no tensor of torchvision's"):
        from_torchvision({**state, "head.weight": torch.zeros(1)})
    without = {k: v for k, v in state.items() if not k.startswith("roi_heads.mask_predictor")}
    with pytest.raises(ValueError, match="lacks mask_head.upsample.weight"):
        from_torchvision(without)
    # a deeper ResNet: all that is needed is there, and more
    deeper = {**state, "backbone.body.layer3.9.conv1.weight": torch.zeros(256, 1024, 1, 1)}
    with pytest.raises(ValueError, match="also holds backbone.layer3.9.conv1.weight.*larger model"):
        from_torchvision(deeper)
    with pytest.raises(ValueError, match="lacks"):
        from_torchvision({})


def test_names_by_hand():
    assert rename_from_torchvision("rpn.head.conv.0.0.weight") == "rpn_head.conv.weight"
    assert rename_from_torchvision("backbone.fpn.inner_blocks.2.0.bias") == "fpn.lateral.2.bias"
    assert rename_from_torchvision("roi_heads.mask_head.3.0.bias") == "mask_head.convs.3.bias"
    assert rename_from_torchvision("backbone.body.bn1.num_batches_tracked") is None


# ------------------------------------------------------------------------- configuration


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"num_classes": 0}, "num_classes=0: at least one object class"),
        ({"roi_operator": "crop"}, "roi_operator='crop' is not known: choose one of align, warp"),
        ({"anchor_strides": "both"}, "anchor_strides='both'.*level, image"),
        ({"paste": "opencv"}, "paste='opencv'.*exact, torchvision"),
        ({"roi_aggregate": "sum"}, "roi_aggregate='sum'.*average, max"),
        ({"mask_head": "fc"}, "mask_head='fc'.*conv, mlp"),
        ({"mask_classes": "softmax"}, "mask_classes='softmax'.*apart, compete"),
        ({"roi_aggregate": "max", "roi_operator": "torchvision"}, "torchvision's RoIAlign can do"),
        ({"roi_aggregate": "max", "sampling_ratio": 0}, "Name a number of 1 or more"),
        ({"mask_classes": "compete", "class_agnostic_masks": True}, "a mask for each class"),
    ],
)
def test_settings_that_are_not_known(changes, words):
    with pytest.raises(ValueError, match=words):
        dataclasses.replace(SMALL, **changes)


def test_one_anchor_size_a_level():
    with pytest.raises(ValueError, match="anchor_sizes has 2 sizes, but this pyramid has 3 levels"):
        MaskRCNN(dataclasses.replace(SMALL, anchor_sizes=(8, 16)))


def test_the_papers_numbers():
    config = Config.paper(80)
    assert (config.min_side, config.roi_draw, config.roi_object_share) == (800, 512, 0.25)
    assert (config.rpn_positive_iou, config.rpn_negative_iou) == (0.7, 0.3)
    assert (config.post_nms_test, config.max_detections, config.mask_threshold) == (1000, 100, 0.5)
    assert config.aligned and config.paste == "exact" and not config.anchor_rounding


# ------------------------------------------------------------------------- small pieces


def test_what_the_network_sees(model):
    images = [picture(50, 64, seed=1), picture(33, 40, seed=2)]
    seen = see(model, images)
    # multiples of 16: 64 x 64; maps of strides 4, 8, 16; three anchors a cell
    assert seen.batch.shape == (2, 3, 64, 64)
    assert seen.sizes == seen.originals == [(50, 64), (33, 40)]
    assert [f.shape[2:] for f in seen.levels] == [(16, 16), (8, 8), (4, 4)]
    assert seen.level_sizes == [768, 192, 48] and seen.anchors.shape == (1008, 4)
    assert seen.objectness_logits.shape == (2, 1008) and seen.deltas.shape == (2, 1008, 4)
    # normalised first, padded with zeros after
    torch.testing.assert_close(seen.batch[1, :, :33, :40], (images[1] - 0.5) / 0.25)
    assert not seen.batch[1, :, 33:].any() and not seen.batch[1, :, :, 40:].any()


# ------------------------------------------------------------------------- training


def test_five_finite_losses_and_a_gradient_for_every_weight(scenes):
    # a seed's proposals need not hold an object: the objects' own boxes are among the rois
    model = small_model(seed=1)
    losses = training_losses(model, [s[0] for s in scenes], [s[1] for s in scenes], chance())
    assert set(losses) == NAMES
    assert all(loss.shape == () and bool(loss.isfinite()) for loss in losses.values())
    assert all(loss.item() > 0 for loss in losses.values())
    total(losses).backward()
    for name, p in model.named_parameters():
        assert p.grad is not None and bool(p.grad.isfinite().all()), name
        assert bool(p.grad.any()), f"{name} learns nothing"


def test_only_the_objects_own_class_learns_its_box_and_its_mask():
    """An object of class 3: the deltas and the mask of the other classes get no gradient."""
    model = small_model()
    losses = training_losses(model, [picture(32, 32)], [one_object(32, 32, label=3)], chance())
    (losses["box"] + losses["mask"]).backward()
    for_deltas = model.box_head.deltas.weight.grad.view(6, 4, -1).abs().sum(dim=(1, 2))
    for_masks = model.mask_head.masks.weight.grad.flatten(1).abs().sum(dim=1)
    assert (for_deltas > 0).tolist() == [False, False, False, True, False, False]
    assert (for_masks > 0).tolist() == [False, False, False, True, False, False]


def test_the_first_losses_are_those_of_guessing(scenes):
    """Before training: ln 2 for a coin, about ln(K + 1) for a class."""
    losses = training_losses(
        small_model(), [s[0] for s in scenes], [s[1] for s in scenes], chance()
    )
    assert losses["rpn_objectness"].item() == pytest.approx(0.693, abs=0.1)
    assert losses["class"].item() == pytest.approx(1.79, abs=0.6)
    assert 0.3 < losses["mask"].item() < 2


def test_one_generator_seed_gives_one_result(model, scenes):
    images, targets = [s[0] for s in scenes], [s[1] for s in scenes]
    first = training_losses(model, images, targets, chance(1))
    torch.manual_seed(123)  # the global seed has no say
    again = training_losses(model, images, targets, chance(1))
    other = training_losses(model, images, targets, chance(2))
    assert all(torch.equal(first[name], again[name]) for name in NAMES)
    assert any(not torch.equal(first[name], other[name]) for name in NAMES)


def test_training_and_eval_modes_give_the_same_losses(model, scenes):
    """Nothing asks `self.training`: the two stories are two functions."""
    image, target = scenes[0]
    ours = training_losses(model, [image], [target], chance())
    model.train()
    in_training = training_losses(model, [image], [target], chance())
    model.eval()
    assert all(torch.equal(ours[name], in_training[name]) for name in NAMES)
    assert "self.training" not in inspect.getsource(mask_rcnn)


def test_arguments_are_left_as_they_were(model, scenes):
    image, target = scenes[0]
    before = (image.clone(), *(part.clone() for part in target))
    training_losses(model, [image], [target], chance())
    predict(model, [image])
    assert all(torch.equal(a, b) for a, b in zip(before, (image, *target)))


@pytest.mark.parametrize("changes", [{}, {"post_nms_train": 0}])
def test_images_without_objects(changes):
    """Losses of the heads' positives are 0, the rest is finite, all have a gradient."""
    model = small_model(**changes)
    images = [picture(40, 50, seed=i) for i in range(2)]
    targets = [Targets.empty((40, 50)), Targets.empty((40, 50))]
    losses = training_losses(model, images, targets, chance())
    assert set(losses) == NAMES and all(bool(loss.isfinite()) for loss in losses.values())
    assert losses["rpn_box"] == losses["box"] == losses["mask"] == 0
    assert losses["rpn_objectness"] > 0
    assert all(loss.requires_grad for loss in losses.values())
    total(losses).backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in model.parameters())


def test_a_batch_of_mixed_sizes_one_of_them_empty(model):
    images = [picture(40, 56, seed=1), picture(64, 30, seed=2)]
    targets = [one_object(40, 56), Targets.empty((64, 30))]
    losses = training_losses(model, images, targets, chance())
    assert all(bool(loss.isfinite()) for loss in losses.values()) and losses["mask"] > 0


def test_without_proposals_the_objects_teach_the_heads():
    model = small_model(post_nms_train=0)
    losses = training_losses(model, [picture(40, 50)], [one_object(40, 50)], chance())
    assert losses["mask"] > 0 and losses["class"] > 0
    assert losses["box"] >= 0 and all(bool(loss.isfinite()) for loss in losses.values())


def test_one_pixel(model):
    image = picture(1, 1)
    losses = training_losses(model, [image], [one_object(1, 1, (0, 0, 1, 1))], chance())
    assert all(bool(loss.isfinite()) for loss in losses.values())
    check_detections(predict(model, [image])[0], 1, 1)


def test_the_mask_target_stays_in_the_images_pixels_when_it_is_resized():
    """Halving the image must not change what is asked for: boxes are scaled, masks are not."""
    asked = []

    def spy(proposals, targets, *args, **options):
        answer = real(proposals[:0], targets, *args, **options)
        asked.append(answer)
        return answer

    real = mask_rcnn.roi_targets
    target = one_object(64, 96, (10, 20, 50, 40))
    with mock.patch.object(mask_rcnn, "roi_targets", spy):
        for min_side in (None, 32):
            model = small_model(min_side=min_side)
            training_losses(model, [picture(64, 96)], [target], chance())
    plain, halved = asked
    assert plain.boxes.tolist() == [[10, 20, 50, 40]]
    assert halved.boxes.tolist() == [[5, 10, 25, 20]]
    assert bool((plain.crops == 1).all())
    torch.testing.assert_close(plain.crops, halved.crops)


def read_ramp(**changes):
    """One bin of the box (2, 2, 6, 6) on a map whose cells hold their column, at stride 1."""
    ramp = torch.arange(10.0).expand(1, 1, 10, 10).contiguous()
    config = dataclasses.replace(SMALL, **changes)
    return roi_operator(config, 1)(ramp, torch.tensor([[0, 2.0, 2.0, 6.0, 6.0]]), 1.0).item()


@pytest.mark.parametrize("changes, value", [
    # RoIAlign: the box begins at 1.5 in cell middles, its two points lie 1 and 3 further
    ({"roi_operator": "align"}, 3.5),
    ({"roi_operator": "align", "roi_aggregate": "max"}, 4.5),
    ({"roi_operator": "align", "roi_aggregate": "max", "sampling_ratio": 4}, 5.0),
    # RoIWarp: its points are at the beginnings of halves, 2 and 4
    ({"roi_operator": "warp"}, 3.0),
    ({"roi_operator": "warp", "roi_aggregate": "max"}, 4.0),
    # RoIPool: the largest of cells 2 to 6
    ({"roi_operator": "pool"}, 6.0),
])
def test_points_of_a_bin_by_hand(changes, value):
    assert read_ramp(**changes) == pytest.approx(value)


def test_a_rounded_warp_begins_at_a_whole_cell():
    ramp = torch.arange(10.0).expand(1, 1, 10, 10).contiguous()
    box = torch.tensor([[0, 2.4, 2.0, 6.4, 6.0]])
    for rounding, value in ((False, 3.4), (True, 3.0)):
        config = dataclasses.replace(SMALL, roi_operator="warp", warp_rounding=rounding)
        assert roi_operator(config, 1)(ramp, box, 1.0).item() == pytest.approx(value)


@pytest.mark.parametrize("stride", [4, 8, 16])
def test_boxes_are_read_from_the_levels_that_are_named(stride, scenes):
    model = small_model(roi_levels=(stride,))
    levels = [torch.full((1, 32, 64 // s, 64 // s), float(s)) for s in (4, 8, 16)]
    boxes = [torch.tensor([[8.0, 8, 24, 24], [0, 0, 64, 64]])]
    read = mask_rcnn.read_boxes(model, levels, boxes, 2)
    assert read.shape == (2, 32, 2, 2) and bool((read == stride).all())
    losses = training_losses(model, [scenes[0][0]], [scenes[0][1]], chance())
    assert all(bool(loss.isfinite()) for loss in losses.values())


def test_levels_that_are_not_there():
    for levels in ((32,), (), (16, 4), (8, 8)):
        with pytest.raises(ValueError, match=r"roi_levels=.*can be read from the strides 4, 8, 16"):
            MaskRCNN(dataclasses.replace(SMALL, roi_levels=levels))


def test_boxes_of_a_level_that_is_left_out_go_to_the_next():
    model = small_model(roi_levels=(8, 16))
    levels = [torch.full((1, 32, 64 // s, 64 // s), float(s)) for s in (4, 8, 16)]
    sides = [8.0, 28.0, 57.0]  # of the strides 4, 8 (canonical_side 28 at the finest + 0), 16
    boxes = torch.tensor([[0, 0, side, side] for side in sides])
    everywhere = mask_rcnn.read_boxes(small_model(), levels, [boxes], 1).flatten(1)[:, 0]
    read = mask_rcnn.read_boxes(model, levels, [boxes], 1).flatten(1)[:, 0]
    assert read.tolist() == [max(8.0, stride) for stride in everywhere.tolist()]


def test_a_backbone_down_to_stride_32(scenes):
    model = small_model()
    deep = MaskRCNN(dataclasses.replace(SMALL, backbone="course32", multiple_of=32,
                                        anchor_sizes=(8, 16, 32, 48), roi_levels=(32,)))
    assert deep.strides == (4, 8, 16, 32) and model.strides == (4, 8, 16)
    check_detections(predict(deep.eval(), [scenes[0][0]])[0], 64, 64)


@pytest.mark.parametrize("changes", [
    {"mask_classes": "compete"}, {"mask_head": "mlp", "mask_hidden": 16},
    {"roi_aggregate": "max"},
    {"roi_operator": "warp", "roi_aggregate": "max", "warp_rounding": True},
])
def test_the_tables_cells_train_and_predict(changes, scenes):
    model = small_model(**changes)
    losses = training_losses(model, [scenes[0][0]], [scenes[0][1]], chance())
    total(losses).backward()
    assert losses["mask"] > 0
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in model.parameters())
    check_detections(predict(model.eval(), [scenes[0][0]])[0], 64, 64)


def test_masks_that_compete_by_hand():
    """Logits (0, ln 2, ln 5) of background and two classes: shares 1/8, 2/8, 5/8."""
    logits = torch.tensor([1.0, 2.0, 5.0]).log()[None, :, None, None]
    apart = dataclasses.replace(SMALL, num_classes=2)
    compete = dataclasses.replace(apart, mask_classes="compete")
    one, two = torch.tensor([1]), torch.tensor([2])
    assert mask_rcnn.mask_crops(compete, logits, one).item() == pytest.approx(2 / 8)
    assert mask_rcnn.mask_crops(compete, logits, two).item() == pytest.approx(5 / 8)
    # apart, what the other class says does not matter: 2 / (1 + 2), 5 / (1 + 5)
    assert mask_rcnn.mask_crops(apart, logits, one).item() == pytest.approx(2 / 3)
    assert mask_rcnn.mask_crops(apart, logits, two).item() == pytest.approx(5 / 6)


def test_times_of_its_parts(model, scenes):
    ticks = iter(range(100))
    times = stage_times(model, scenes[0][0], clock=lambda: next(ticks))
    rows = ["network", "proposals", "box branch", "mask branch", "pasting"]
    assert times == dict.fromkeys(rows, 1)  # this clock moves by one at each look


@pytest.mark.parametrize("operator", ["pool", "warp"])
def test_the_other_operators_train_too(operator, scenes):
    model = small_model(roi_operator=operator)
    losses = training_losses(model, [scenes[0][0]], [scenes[0][1]], chance())
    total(losses).backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in model.parameters())
    check_detections(predict(model, [scenes[0][0]])[0], 64, 64)


def test_one_mask_for_all_classes(scenes):
    model = small_model(class_agnostic_masks=True)
    assert model.mask_head.masks.out_channels == 1
    losses = training_losses(model, [scenes[0][0]], [scenes[0][1]], chance())
    assert losses["mask"] > 0
    check_detections(predict(model, [scenes[0][0]])[0], 64, 64)


def test_a_scene_is_learned_by_heart(scenes):
    """60 steps on five objects: less than a third of the loss is left, and most are found."""
    image, target = scenes[0]
    model, random = small_model(seed=4), chance(3)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    history = []
    for _ in range(60):
        losses = training_losses(model, [image], [target], random)
        optimizer.zero_grad()
        total(losses).backward()
        optimizer.step()
        history.append(total(losses).item())
    start, end = sum(history[:3]) / 3, sum(history[-5:]) / 5
    assert end < start / 3, (start, end)
    found = predict(model, [image])[0].above(0.3)
    hits = mask_iou(target.masks, found.masks) >= 0.5
    right = hits & (target.labels[:, None] == found.labels)
    assert len(target.labels) == 5 and int(right.any(dim=1).sum()) >= 3


# ------------------------------------------------------------------------- prediction


def test_predictions_of_mixed_sizes(model):
    images = [picture(64, 64, seed=1), picture(40, 90, seed=2), picture(17, 33, seed=3)]
    found = predict(model, images)
    assert len(found) == 3
    for one, image in zip(found, images):
        check_detections(one, *image.shape[1:])
    assert sum(len(one.boxes) for one in found) > 0  # random weights still say something


def test_an_image_is_answered_the_same_alone_and_in_a_batch(model):
    images = [picture(64, 64, seed=1), picture(64, 64, seed=2)]
    for together, image in zip(predict(model, images), images):
        (alone,) = predict(model, [image])
        torch.testing.assert_close(together.scores, alone.scores, atol=1e-4, rtol=0)
        torch.testing.assert_close(together.boxes, alone.boxes, atol=1e-2, rtol=0)


def test_trace_shows_what_predict_says(model):
    image = picture(50, 64, seed=4)
    seen = trace(model, image)
    (found,) = predict(model, [image])
    assert len(found.boxes) > 0
    for shown, said in zip(seen["detections"], found):
        assert torch.equal(shown, said)
    promised = {
        "batch", "features", "levels", "anchors", "level_sizes", "objectness_logits",
        "anchor_deltas", "proposals", "box_features", "class_logits", "deltas", "found",
        "mask_features", "mask_logits", "crops", "mask_probs", "detections",
    }  # fmt: skip
    assert set(seen) == promised
    assert all(f'"{name}"' in trace.__doc__ for name in promised)
    p, d = len(seen["proposals"].boxes), len(found.boxes)
    assert seen["objectness_logits"].shape == (1008,) and seen["anchor_deltas"].shape == (1008, 4)
    assert seen["box_features"].shape == (p, 32, 7, 7) and seen["class_logits"].shape == (p, 6)
    assert seen["deltas"].shape == (p, 6, 4) and len(seen["found"].boxes) == d
    assert seen["mask_features"].shape == (d, 32, 14, 14)
    assert seen["mask_logits"].shape == (d, 6, 28, 28) and seen["crops"].shape == (d, 28, 28)
    assert seen["mask_probs"].shape == (d, 50, 64)
    own = seen["mask_logits"][torch.arange(d), found.labels].sigmoid()
    torch.testing.assert_close(seen["crops"], own)
    assert torch.equal(seen["mask_probs"] >= 0.5, found.masks)


def test_boxes_come_back_in_the_images_pixels():
    model = small_model(min_side=48, max_side=80)
    for height, width in [(96, 120), (33, 47), (20, 200)]:
        image = picture(height, width, seed=height)
        seen = trace(model, image)
        found, resized = seen["detections"], resize(image, 48, 80).shape[1:]
        assert len(found.boxes) > 0
        check_detections(found, height, width)
        scale = torch.tensor([width / resized[1], height / resized[0]] * 2)
        torch.testing.assert_close(found.boxes, seen["found"].boxes * scale, atol=1e-3, rtol=1e-4)


def test_masks_lie_in_their_boxes(model):
    found = predict(model, [picture(64, 64, seed=5)])[0]
    some = found.masks.any(dim=(1, 2))
    tight = masks_to_boxes(found.masks)[some]
    boxes = found.boxes[some]
    assert bool(some.any())
    assert bool((tight[:, :2] >= boxes[:, :2].floor()).all())
    assert bool((tight[:, 2:] <= boxes[:, 2:].ceil()).all())


def test_without_proposals_nothing_is_found():
    model = small_model(post_nms_test=0)
    for found, size in zip(
        predict(model, [picture(40, 50), picture(20, 30)]), [(40, 50), (20, 30)]
    ):
        check_detections(found, *size)
        assert len(found.boxes) == 0
    seen = trace(model, picture(40, 50))
    assert seen["class_logits"].shape == (0, 6) and seen["deltas"].shape == (0, 6, 4)
    assert seen["mask_probs"].shape == (0, 40, 50)


def test_nothing_likely_enough():
    model = small_model(min_score=1.0)
    (found,) = predict(model, [picture(40, 50)])
    assert len(found.boxes) == 0
    check_detections(found, 40, 50)


def test_predicting_leaves_no_graph(model):
    (found,) = predict(model, [picture(40, 50)])
    assert not any(part.requires_grad for part in found)


def test_large_boxes_are_read_at_coarse_levels(model):
    # sides of 8, 56, 112: the finest, one up (28 is canonical), two up
    boxes = torch.tensor([[0.0, 0, 8, 8], [0, 0, 56, 56], [0, 0, 112, 112]])
    config = model.config
    levels = assign_levels(boxes, 3, config.canonical_side, config.canonical_level)
    assert levels.tolist() == [0, 1, 2]


# ------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    "image, words",
    [
        (
            torch.zeros(3, 8, 8, dtype=torch.uint8),
            r"images\[0\] must be float.*image.float\(\) / 255",
        ),
        (torch.zeros(1, 8, 8), r"images\[0\].*It is grey"),
        (torch.zeros(4, 8, 8), r"images\[0\].*alpha channel"),
        (torch.zeros(8, 8, 3), "channels come last"),
        (torch.zeros(3, 0, 8), "at least one pixel"),
        (torch.full((3, 8, 8), float("nan")), "not finite"),
        (torch.full((3, 8, 8), 200.0), "Bytes are divided by 255"),
    ],
)
def test_images_that_are_none(model, image, words):
    with pytest.raises(ValueError, match=words):
        predict(model, [image])
    with pytest.raises(ValueError, match=words):
        training_losses(model, [image], [Targets.empty((8, 8))], chance())


def test_images_in_no_list(model):
    with pytest.raises(ValueError, match=r"Pass \[image\], or list\(images\)"):
        predict(model, picture(8, 8))
    with pytest.raises(ValueError, match="empty list"):
        predict(model, [])
    with pytest.raises(ValueError, match=r"images\[0\]"):
        trace(model, torch.zeros(8, 8))


@pytest.mark.parametrize(
    "change, words",
    [
        ({"labels": torch.tensor([6])}, r"targets\[0\].labels run from 6 to 6.*1\.\.5"),
        ({"labels": torch.tensor([0])}, "0 is background"),
        ({"boxes": torch.tensor([[2.0, 3.0, float("nan"), 9.0]])}, "not finite"),
        ({"boxes": torch.tensor([[2.0, 3.0, 2.0, 9.0]])}, "has no area.*from_xywh"),
        ({"masks": torch.zeros(1, 9, 9, dtype=torch.bool)}, "masks are as large as their image"),
        ({"masks": torch.zeros(2, 20, 20, dtype=torch.bool)}, "1 boxes, 1 labels and 2 masks"),
    ],
)
def test_targets_that_do_not_fit(model, change, words):
    target = one_object(20, 20)._replace(**change)
    with pytest.raises(ValueError, match=words):
        training_losses(model, [picture(20, 20)], [target], chance())


def test_fewer_targets_than_images(model):
    with pytest.raises(ValueError, match="2 images but 1 targets"):
        training_losses(model, [picture(20, 20)] * 2, [one_object(20, 20)], chance())


def test_boxes_half_outside_of_the_image_still_train(model):
    target = one_object(20, 20)._replace(boxes=torch.tensor([[-8.0, 5.0, 9.0, 30.0]]))
    losses = training_losses(model, [picture(20, 20)], [target], chance())
    assert all(bool(loss.isfinite()) for loss in losses.values())


# ---- without a pyramid: C4 ----------------------------------------------------------------------


def small_c4(seed=0):
    torch.manual_seed(seed)
    config = dataclasses.replace(
        Config.c4_paper(5), min_side=None, backbone="resnet18", frozen_norm=False,
        anchor_sizes=(16, 32), mask_channels=16, pre_nms_train=100, post_nms_train=20,
        pre_nms_test=50, post_nms_test=10, roi_draw=16, min_score=0.02)
    return MaskRCNN(config).eval()


def test_c4_has_the_papers_shapes():
    """Fig. 4, left: 7 x 7 x 1024 in a box, 2048 behind res5, masks of 14 x 14. The C4 model has the
    ResNet's 23,454,912 weights (its norms are frozen), the RPN's 9 x 1024^2 + 1024, 15 anchors of
    1 + 4 numbers, 81 x 5 numbers from 2048, and the mask's 2 x 2 x 2048 x 256 + 256 and 256 x 81 +
    81."""
    with torch.device("meta"):
        model = MaskRCNN(Config.c4_paper(80))
        seen = see(model, [torch.empty(3, 800, 1333, device="meta")])
        assert [tuple(level.shape) for level in seen.levels] == [(1, 1024, 50, 84)]
        inside = mask_rcnn.read_boxes(model, seen.levels, [torch.empty(3, 4, device="meta")], 7)
        assert inside.shape == (3, 2048, 7, 7)
        assert model.mask_head(inside).shape == (3, 81, 14, 14)
    rpn = 9 * 1024**2 + 1024 + 1024 * 15 * 5 + 15 * 5
    heads = 2048 * 81 * 5 + 81 * 5 + 4 * 2048 * 256 + 256 + 256 * 81 + 81
    assert num_parameters(model) == 23_454_912 + rpn + heads


def test_c4_anchors_have_every_size_in_each_cell():
    seen = see(small_c4(), [picture(64, 96)])
    assert seen.anchors.shape == (4 * 6 * 2 * 3, 4) and seen.level_sizes == [4 * 6 * 2 * 3]
    sides = (seen.anchors[:, 2:] - seen.anchors[:, :2]).prod(dim=1).sqrt()
    assert sorted({round(float(side), 3) for side in sides}) == [16, 32]
    assert seen.objectness_logits.shape == (1, len(seen.anchors))


def test_c4_trains_and_predicts(scenes):
    model = small_c4()
    images, targets = zip(*scenes)
    losses = training_losses(model, list(images), list(targets), chance())
    assert set(losses) == NAMES and all(bool(loss.isfinite()) for loss in losses.values())
    total(losses).backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in model.parameters())
    found = predict(model, [images[0], picture(50, 80)])
    check_detections(found[1], 50, 80, model.config)
    assert trace(model, images[0])["mask_logits"].shape[-2:] == (14, 14)


def test_c4s_last_layers_run_at_stride_1():
    """What they say of one box does not depend on the other boxes, and keeps 7 x 7 bins."""
    model = small_c4()
    levels = see(model, [picture(64, 64)]).levels
    boxes = torch.tensor([[0.0, 0, 32, 32], [16, 16, 48, 60]])
    both = mask_rcnn.read_boxes(model, levels, [boxes], 7)
    alone = mask_rcnn.read_boxes(model, levels, [boxes[1:]], 7)
    assert both.shape == (2, 512, 7, 7)
    torch.testing.assert_close(both[1:], alone, rtol=1e-4, atol=1e-5)


def test_a_crowd_is_no_background_for_the_losses(scenes):
    """A crowd over all that is no object: only anchors and rois on objects are left."""
    model, (image, targets) = small_model(), scenes[0]
    everything = Targets(torch.tensor([[0.0, 0, 64, 64]]), torch.tensor([1]),
                         torch.ones(1, 64, 64, dtype=torch.bool))
    seen = see(model, [image])
    crowded = with_crowd(targets, everything)
    (plain,), (spared,) = (mask_rcnn.draw_rois(model.config, seen, [some], chance())
                           for some in (targets, crowded))
    assert int((plain.labels == 0).sum()) > 0 and int((spared.labels == 0).sum()) == 0
    losses = training_losses(model, [image], [crowded], chance())
    assert set(losses) == NAMES and all(bool(loss.isfinite()) for loss in losses.values())
