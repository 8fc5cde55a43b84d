"""Deep metric learning as a whole: the paper's sizes, both stories end to end, every odd input."""

import dataclasses
import math
from unittest import mock

import pytest
import torch

from teachseg.datasets.scenes import Scenes
from teachseg.decoding.seeds import grow_masks, pick_seeds, seediness
from teachseg.geometry.masks import masks_to_boxes
from teachseg.geometry.similarity import similarity_maps
from teachseg.layers.backbones import CourseNet
from teachseg.learning.losses import pair_loss, pair_weights, total
from teachseg.learning.targets import instance_map, seed_labels
from teachseg.papers import deep_metric
from teachseg.papers.deep_metric import (
    Config,
    DeepMetric,
    chosen_now,
    decode,
    embedding_loss,
    feature_map,
    grow,
    own_cells,
    predict,
    see,
    seed_loss,
    seed_weight,
    stage_times,
    to_image,
    trace,
    training_losses,
)
from teachseg.structures import Detections, Targets, with_crowd

SMALL = dataclasses.replace(
    Config.course(5), merge_channels=16, head_channels=16, embedding_dim=6, num_seeds=12,
    min_score=0.01,
)


def chance(seed=0):
    return torch.Generator().manual_seed(seed)


def small_model(seed=0, **changes):
    """The course's model with a narrow backbone, heads loud enough that masks and scores vary."""
    torch.manual_seed(seed)
    narrow = CourseNet(8, (16, 24, 32), (1, 1, 1), stem_map=True)
    with mock.patch.object(deep_metric, "build_backbone", lambda name, **options: narrow):
        model = DeepMetric(dataclasses.replace(SMALL, **changes)).eval()
    torch.nn.init.normal_(model.embedding_head.last.weight, std=0.4)
    torch.nn.init.normal_(model.seed_head.last.weight, std=0.6)
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
    assert list(losses) == ["pairs", "seeds"] + ["chosen"] * bool(model.config.chosen_points)
    assert all(loss.ndim == 0 and bool(loss.isfinite()) for loss in losses.values()), losses
    total(losses).backward()
    for name, p in model.named_parameters():
        assert p.grad is not None and bool(p.grad.isfinite().all()), name
    return losses


# ------------------------------------------------------------------------- sizes


def test_the_courses_size():
    model = DeepMetric(Config.course(5))
    assert num_parameters(model) <= 3_000_000
    assert model.stride == 2
    assert not any(isinstance(m, torch.nn.Linear) for m in model.modules())  # fully convolutional


def test_the_papers_size_and_shapes():
    """Dilated ResNet-101 (42,394,816 in its convolutions), stride 8, four scales of 2048 channels
    side by side, D = 64, four thresholds."""
    config = Config.paper(20)
    assert config.embedding_dim == 64 and config.input_scales == (0.25, 0.5, 1, 2)
    assert config.taus == (0.25, 0.5, 0.75, 0.9) and config.points == 10
    with torch.device("meta"):
        model = DeepMetric(config)
        features = feature_map(model, torch.zeros(1, 3, 320, 480))
        heads = num_parameters(model.embedding_head) + num_parameters(model.seed_head)
        assert model.embedding_head(features).shape == (1, 64, 40, 60)
        assert model.seed_head(features).shape == (1, 4, 21, 40, 60)
    assert features.shape == (1, 4 * 2048, 40, 60)
    assert heads == 8192 * (64 + 84) + 64 + 84
    assert model.stride == 8 and model.backbone.strides == (4, 8, 8, 8)


@pytest.mark.slow
def test_the_papers_model_runs_and_learns_at_a_small_size():
    torch.manual_seed(0)
    config = dataclasses.replace(Config.paper(5), input_scales=(0.5, 1.0))
    model = DeepMetric(config)
    losses = training_losses(model, [picture(64, 80)], [one_object(64, 80)], chance())
    total(losses).backward()
    assert all(bool(loss.isfinite()) for loss in losses.values())
    assert model.backbone.conv1.weight.grad.abs().sum() > 0
    found = predict(model.eval(), [picture(64, 80)])[0]
    assert found.masks.shape[1:] == (64, 80)


@pytest.mark.parametrize("changes, words", [
    ({"num_classes": 0}, "at least one object class"),
    ({"taus": ()}, "at least one threshold"),
    ({"taus": (0.5, 0.0)}, "each above 0 and at most 1"),
    ({"taus": (0.5, 1.1)}, "each above 0 and at most 1"),
    ({"alpha": -0.1}, "alpha must be 0 or more, got -0.1"),
    ({"alpha": math.nan}, "alpha must be 0 or more"),
    ({"embedding_dim": 0}, "embedding_dim must be 1 or more, got 0"),
    ({"points": 0}, "points must be 1 or more"),
    ({"chosen_points": -1}, "chosen_points must be 0 or more"),
    ({"background": "none"}, "background='none' is not known: choose one of instance, ignore"),
    ({"pair_weights": "size"}, "choose one of points, pixels, none"),
    ({"input_scales": (0.5, 2.0)}, "and 1 among them"),
    ({"input_scales": (1.0, 0.0)}, "all above 0"),
    ({"ramp": (0.5, 0.2)}, "the first not after the second"),
    ({"min_score": 1.5}, r"min_score must be in \[0, 1\], got 1.5"),
    ({"resize": "mask"}, "choose one of similarity, embedding"),
])
def test_settings_that_cannot_be_are_told(changes, words):
    with pytest.raises(ValueError, match=words):
        dataclasses.replace(Config.course(5), **changes)


# ------------------------------------------------------------------------- what is asked


def test_lambda_by_hand():
    """From 0.2 of the training to 0.6: half way, at 0.4, half of 0.2."""
    config = dataclasses.replace(Config.course(5), seed_weight=0.2, ramp=(0.2, 0.6))
    shares = [0.0, 0.2, 0.4, 0.6, 1.0]
    assert [seed_weight(config, p) for p in shares] == pytest.approx([0, 0, 0.1, 0.2, 0.2])
    at_once = dataclasses.replace(config, ramp=(0.0, 0.0))
    assert seed_weight(at_once, 0.0) == 0.2
    late = dataclasses.replace(config, ramp=(1.0, 1.0))
    assert seed_weight(late, 0.5) == 0


def test_lambda_scales_the_seeds_alone(model, scenes):
    images, targets = [i for i, _ in scenes], [t for _, t in scenes]
    late = training_losses(model, images, targets, chance(), progress=1.0)
    early = training_losses(model, images, targets, chance(), progress=0.0)
    assert late["pairs"] == early["pairs"] and early["seeds"] == 0 < late["seeds"]
    half = sum(model.config.ramp) / 2
    middle = training_losses(model, images, targets, chance(), progress=half)
    torch.testing.assert_close(middle["seeds"], late["seeds"] / 2)
    with pytest.raises(ValueError, match=r"progress must be in \[0, 1\]"):
        training_losses(model, images, targets, chance(), progress=1.5)


def four_pixels():
    """A row of four cells: background at 0, object 1 at 1 and 1, object 2 at 2."""
    embeddings = torch.tensor([0.0, 1.0, 1.0, 2.0]).view(1, 1, 4)
    return embeddings, torch.arange(4), torch.tensor([[0, 1, 1, 2]])


def test_the_pair_loss_on_four_pixels_by_hand():
    """By points: shares 1, 1/2, 1/2, 1 of the four, that sum to 3, so w_pq = product / 9.

    At d = 1, sigma = 2 / (1 + e) and 1 - sigma = (e - 1) / (e + 1); at d = 4 likewise. Pairs of
    different instances, both ways round: 0 with each 1 (w = 1/18, d = 1), each 1 with 2 (the same),
    0 with 2 (w = 1/9, d = 4). Pairs of the same: all at d = 0, which cost nothing.
    """
    near, far = (-math.log((math.exp(d) - 1) / (math.exp(d) + 1)) for d in (1, 4))
    expected = 2 * (4 * near / 18 + far / 9)
    config = dataclasses.replace(Config.course(5), pair_weights="points")
    found = embedding_loss(config, *four_pixels())
    assert found.item() == pytest.approx(expected, rel=1e-5)

    # all pairs alike: 1/16 each
    config = dataclasses.replace(config, pair_weights="none")
    expected = 2 * (4 * near + far) / 16
    assert embedding_loss(config, *four_pixels()).item() == pytest.approx(expected, rel=1e-5)

    # background in no pair: three points, shares 1/2, 1/2, 1, that sum to 2
    config = dataclasses.replace(config, pair_weights="points", background="ignore")
    expected = 2 * (2 * near / 2) / 4
    assert embedding_loss(config, *four_pixels()).item() == pytest.approx(expected, rel=1e-5)


def test_weights_by_pixels_count_the_cells_that_were_not_drawn():
    """Of a row of six, one cell of each of two instances is drawn: of 2 and of 4 cells."""
    embeddings = torch.tensor([0.0, 0, 1, 1, 1, 1]).view(1, 1, 6)
    instances, points = torch.tensor([[1, 1, 2, 2, 2, 2]]), torch.tensor([0, 2])
    weights = pair_weights(torch.tensor([2, 4]))
    expected = pair_loss(torch.tensor([[0.0], [1.0]]), torch.tensor([1, 2]), weights)
    config = dataclasses.replace(Config.course(5), pair_weights="pixels")
    torch.testing.assert_close(embedding_loss(config, embeddings, points, instances), expected)


def test_the_numbers_of_the_instances_do_not_matter():
    embeddings, points, instances = four_pixels()
    config = Config.course(5)
    swapped = torch.tensor([0, 2, 1])[instances]
    assert embedding_loss(config, embeddings, points, swapped) == embedding_loss(
        config, embeddings, points, instances)


def test_the_seed_loss_by_hand():
    """Embeddings 0, 0, 5: the first two cells are the object and grow it, at both thresholds; the
    third grows itself. K = 1, logits (0, ln 3) everywhere: class 1 has 3/4, background 1/4."""
    embeddings = torch.tensor([0.0, 0, 5]).view(1, 1, 3)
    logits = torch.tensor([0.0, math.log(3)]).view(1, 2, 1, 1).expand(2, 2, 1, 3)
    instances, labels = torch.tensor([[1, 1, 0]]), torch.tensor([1])
    config = dataclasses.replace(Config.course(1), taus=(0.5, 0.9))
    found = seed_loss(config, embeddings, logits, torch.arange(3), instances, labels)
    assert found.item() == pytest.approx((2 * math.log(4 / 3) + math.log(4)) / 3)


def test_the_losses_are_those_of_their_parts(model, scenes):
    """One image, the points drawn again with the same generator."""
    image, target = scenes[0]
    losses = training_losses(model, [image], [target], chance(3))
    seen = see(model, [image])
    instances = instance_map(target.masks, (32, 32), (2, 2))
    points = deep_metric.sample_points(
        instances.flatten(), model.config.points, model.config.background_points, chance(3))
    pairs = embedding_loss(model.config, seen.embeddings[0], points, instances)
    torch.testing.assert_close(losses["pairs"], pairs)
    wanted = seed_labels(seen.embeddings[0], points, instances, target.labels, model.config.taus)
    logits = seen.seed_logits[0].flatten(2)[:, :, points]
    terms = torch.nn.functional.cross_entropy(logits, wanted, reduction="mean")
    torch.testing.assert_close(losses["seeds"], model.config.seed_weight * terms)


def test_the_seeds_that_would_be_chosen_are_asked_for_too(scenes):
    """"chosen" is the seeds' loss of the points that `trace` chooses, where it chooses as many."""
    model = small_model(chosen_points=12)  # as many as num_seeds
    image, target = scenes[0]
    losses = training_losses(model, [image], [target], chance(3), progress=1.0)
    assert list(losses) == ["pairs", "seeds", "chosen"]
    seen = trace(model, image)
    points = seen["seeds"][:, 0] * 32 + seen["seeds"][:, 1]
    assert len(points) == 12
    instances = instance_map(target.masks, (32, 32), (2, 2))
    expected = model.config.seed_weight * seed_loss(
        model.config, seen["embeddings"], seen["seed_logits"], points, instances, target.labels)
    torch.testing.assert_close(losses["chosen"].detach(), expected)
    plain = training_losses(small_model(), [image], [target], chance(3), progress=1.0)
    assert plain["pairs"] == losses["pairs"] and plain["seeds"] == losses["seeds"]
    none = step(small_model(chosen_points=5, min_score=1.0), [image], [target])
    assert none["chosen"] == 0  # no cell is believed in


def test_no_padding_is_chosen():
    model = small_model(chosen_points=400, min_score=0.0)
    seen = see(model, [picture(33, 49)])
    inside = instance_map(torch.zeros(0, 33, 49, dtype=torch.bool), (24, 32), (2, 2)) >= 0
    points = chosen_now(model.config, seen.embeddings[0], seen.seed_logits[0], inside)
    assert len(points) == 400 and bool(inside.flatten()[points].all())


def test_both_heads_and_the_backbone_learn(model, scenes):
    images, targets = [i for i, _ in scenes], [t for _, t in scenes]
    step(model, images, targets)
    for name in ("backbone.stem.0.weight", "embedding_head.last.weight", "seed_head.last.weight"):
        assert model.get_parameter(name).grad.abs().sum() > 0, name


def test_the_same_generator_gives_the_same_losses(model, scenes):
    images, targets = [i for i, _ in scenes], [t for _, t in scenes]
    first, again, other = (training_losses(model, images, targets, chance(seed))
                           for seed in (1, 1, 2))
    assert first["pairs"] == again["pairs"] != other["pairs"]


def test_an_image_in_a_larger_batch_loses_what_it_loses_alone(model):
    """Padding is no cell of the image: neither drawn nor part of a mask."""
    small, target = picture(48, 48, seed=1), one_object(48, 48, (8, 8, 30, 34))
    config = dataclasses.replace(model.config, points=10_000, background_points=10_000)
    everything = small_model()
    everything.config = config
    seen = see(everything, [small, picture(64, 80, seed=2)])
    inside = instance_map(target.masks, tuple(seen.embeddings.shape[2:]), (2, 2))
    assert (inside >= 0).sum() == 24 * 24
    drawn = deep_metric.sample_points(inside.flatten(), 10_000, 10_000, chance())
    assert len(drawn) == 24 * 24


@pytest.mark.slow
def test_training_teaches(scenes):
    """Sixty steps on three scenes: pairs part, and what is predicted fits better than before."""
    model = small_model(seed=1)
    images, targets = [i for i, _ in scenes], [t for _, t in scenes]
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    history = []
    for number in range(60):
        losses = training_losses(model, images, targets, chance(number), number / 60)
        optimizer.zero_grad()
        total(losses).backward()
        optimizer.step()
        history.append(losses["pairs"].item())
    assert sum(history[-5:]) < 0.5 * sum(history[:5])


# ------------------------------------------------------------------------- what is answered


def check_detections(found, height, width, num_classes=5):
    count = len(found.scores)
    assert found.boxes.shape == (count, 4) and found.masks.shape == (count, height, width)
    assert found.masks.dtype == torch.bool and found.labels.dtype == torch.int64
    assert bool((found.scores.diff() <= 0).all())
    assert bool(((found.labels >= 1) & (found.labels <= num_classes)).all())
    assert torch.equal(found.boxes, masks_to_boxes(found.masks))
    assert bool(found.masks.flatten(1).any(dim=1).all())


def test_predict_at_several_sizes(model):
    images = [picture(64, 64, 1), picture(50, 61, 2), picture(33, 97, 3)]
    for found, image in zip(predict(model, images), images):
        check_detections(found, *image.shape[1:])
        assert 0 < len(found.scores) <= model.config.num_seeds


def test_trace_ends_in_what_predict_returns(model, scenes):
    image = scenes[0][0]
    seen, found = trace(model, image), predict(model, [image])[0]
    for ours, theirs in zip(seen["detections"], found):
        assert torch.equal(ours, theirs)
    assert len(found.scores) > 0


def test_trace_is_made_of_the_small_functions(model, scenes):
    """Each named intermediate follows from those before it."""
    seen = trace(model, scenes[1][0])
    assert seen["embeddings"].shape == (6, 32, 32)
    assert seen["class_probs"].shape == (4, 6, 32, 32)
    torch.testing.assert_close(seen["class_probs"], seen["seed_logits"].softmax(dim=1))
    values, tau_index, labels = seediness(seen["class_probs"])
    assert torch.equal(values, seen["seediness"]) and torch.equal(labels, seen["labels"])
    config, seeds = model.config, seen["seeds"]
    assert torch.equal(seeds, pick_seeds(seen["embeddings"], values, config.num_seeds,
                                         config.alpha, config.min_score))
    row, column = seeds.T
    taus = torch.tensor(config.taus)[tau_index[row, column]]
    assert torch.equal(taus, seen["seed_taus"])
    assert torch.equal(grow_masks(seen["embeddings"], seeds, taus), seen["map_masks"])
    assert torch.equal(similarity_maps(seen["embeddings"], seeds), seen["similarities"])
    assert torch.equal(values[row, column], seen["seed_scores"])
    assert set(seen["kept"].tolist()) <= set(range(len(seeds)))
    assert bool((seen["seed_scores"][seen["kept"]].diff() <= 0).all())


def test_a_batch_finds_what_each_image_finds_alone(model):
    """In a batch of one size, for padding would be seen by the convolutions."""
    images = [picture(48, 64, 1), picture(48, 64, 2)]
    for together, image in zip(predict(model, images), images):
        alone = predict(model, [image])[0]
        assert len(alone.scores) == len(together.scores)
        torch.testing.assert_close(alone.scores, together.scores, atol=1e-4, rtol=1e-3)


def test_padding_makes_no_seed(model):
    seen = see(model, [picture(33, 49)])
    embeddings, probs = own_cells(seen, 0, model.stride)
    assert seen.embeddings.shape[2:] == (24, 32)
    assert embeddings.shape == (6, 17, 25) and probs.shape == (4, 6, 17, 25)


def test_to_image_by_hand():
    """Cells of 2 pixels, 0 and 4: pixel middles at 1/4 and 3/4 of the way from cell to cell. Then
    the same, seen at half the size: the mean of neighbours."""
    row = torch.tensor([[[0.0, 4.0]]])
    full = to_image(row, 2, (2, 4), (2, 4))
    assert full[0, 0].tolist() == [0, 1, 3, 4]
    assert to_image(row, 2, (2, 3), (2, 3))[0, 1].tolist() == [0, 1, 3]  # without the padding
    assert to_image(row, 2, (2, 4), (1, 2))[0].tolist() == [[0.5, 3.5]]


def test_a_mask_is_cut_where_the_similarity_crosses_tau():
    """One seed, its similarity 1 in the left cell and 0 in the right: at 1/2 the middle."""
    embeddings = torch.tensor([0.0, 100.0]).view(1, 1, 2)
    probs = torch.zeros(1, 2, 1, 2)
    probs[0, 1] = torch.tensor([0.9, 0.0])
    for tau, wide in ((0.5, 2), (0.9, 1), (0.2, 3)):
        config = dataclasses.replace(Config.course(1), taus=(tau,), resize="similarity")
        grown = grow(config, embeddings, probs)
        masks = deep_metric.full_masks(config, embeddings, grown, 2, (2, 4), (2, 4))
        assert masks[0, 0].long().tolist() == [1] * wide + [0] * (4 - wide)


def test_both_ways_to_the_images_size_agree_on_flat_embeddings():
    """Where cells are either alike or far apart, both cut near the border between them."""
    embeddings = torch.zeros(2, 8, 8)
    embeddings[0, :, 4:] = 3.0
    probs = torch.zeros(1, 2, 8, 8)
    probs[0, 1, 2, 2], probs[0, 1, 2, 6] = 0.9, 0.8
    areas = []
    for how in ("similarity", "embedding"):
        config = dataclasses.replace(Config.course(1), taus=(0.5,), resize=how)
        grown = grow(config, embeddings, probs)
        masks = deep_metric.full_masks(config, embeddings, grown, 2, (16, 16), (16, 16))
        assert masks.shape == (2, 16, 16) and not bool((masks[0] & masks[1]).any())
        areas.append(masks.flatten(1).sum(dim=1).tolist())
    assert areas[0] == [128, 128]
    assert all(96 <= area <= 128 for area in areas[1])


def test_resized_images_are_answered_in_their_own_pixels():
    model = small_model(min_side=48, max_side=96)
    image = picture(90, 120, seed=4)
    seen = see(model, [image])
    assert seen.sizes == [(48, 64)] and seen.originals == [(90, 120)]
    found = predict(model, [image])[0]
    check_detections(found, 90, 120)
    losses = training_losses(model, [image], [one_object(90, 120, (30, 20, 90, 80))], chance())
    assert all(bool(loss.isfinite()) for loss in losses.values())


def test_duplicates_are_one_detection():
    """Two seeds in one object, the second as good: their masks are the same."""
    embeddings = torch.zeros(2, 4, 4)
    embeddings[0, :, 2:] = 9
    embeddings[1, 1, 1] = 0.1  # a little apart, so that it may be chosen
    probs = torch.zeros(1, 3, 4, 4)
    probs[0, 1, 0, 0], probs[0, 2, 1, 1], probs[0, 1, 0, 3] = 0.9, 0.8, 0.5
    config = dataclasses.replace(Config.course(2), taus=(0.5,))
    grown = grow(config, embeddings, probs)
    assert grown.choice.seeds.tolist() == [[0, 0], [0, 3], [1, 1]]
    assert grown.kept.tolist() == [0, 1]
    by_class = dataclasses.replace(config, duplicates_by_class=True)
    assert grow(by_class, embeddings, probs).kept.tolist() == [0, 2, 1]


# ------------------------------------------------------------------------- odd input


def test_an_image_without_objects(model):
    losses = step(model, [picture(64, 64)], [Targets.empty((64, 64))])
    # background is one instance: its points attract each other
    assert losses["pairs"] > 0 and losses["seeds"] > 0


def test_an_image_without_objects_where_background_is_ignored():
    model = small_model(background="ignore", background_points=0)
    losses = step(model, [picture(64, 64)], [Targets.empty((64, 64))])
    assert losses["pairs"] == 0 and losses["seeds"] == 0


def test_one_object_that_fills_the_image(model):
    step(model, [picture(64, 48)], [one_object(64, 48, (0, 0, 48, 64))])


def test_more_objects_than_points():
    """A hundred objects of one cell each, one point wanted of each."""
    model = small_model(points=1, background_points=1)
    masks = torch.zeros(100, 64, 64, dtype=torch.bool)
    for k in range(100):
        row, column = divmod(k, 10)
        masks[k, 6 * row : 6 * row + 2, 6 * column : 6 * column + 2] = True
    targets = Targets(masks_to_boxes(masks), torch.ones(100, dtype=torch.int64), masks)
    step(model, [picture(64, 64)], [targets])


def test_an_object_smaller_than_a_cell_is_no_instance_and_no_error(model):
    step(model, [picture(64, 64)], [one_object(64, 64, (20, 20, 21, 21))])


def test_identical_embeddings_of_different_instances():
    """The head answers the same everywhere: the loss is finite, and so is its gradient."""
    model = small_model()
    torch.nn.init.zeros_(model.embedding_head.last.weight)
    losses = step(model, [picture(64, 64)], [one_object(64, 64)])
    assert losses["pairs"] > 1  # they repel each other, strongly


@pytest.mark.parametrize("size", [1e4, 1e12])
def test_far_embeddings(size):
    model = small_model()
    with torch.no_grad():
        model.embedding_head.last.weight *= size
    step(model, [picture(64, 64)], [one_object(64, 64)])
    found = predict(model, [picture(64, 64)])[0]
    check_detections(found, 64, 64)


def test_one_dimension():
    model = small_model(embedding_dim=1)
    step(model, [picture(64, 64)], [one_object(64, 64)])
    check_detections(predict(model, [picture(64, 64)])[0], 64, 64)


def test_alpha_of_0_takes_the_best_pixels_however_alike():
    model = small_model(alpha=0.0, num_seeds=5)
    seen = trace(model, picture(64, 64))
    best = seen["seediness"].flatten().topk(5).values
    assert torch.equal(seen["seed_scores"], best)


@pytest.mark.parametrize("changes", [{"min_score": 1.0}, {"num_seeds": 0}, {"min_pixels": 10**6}])
def test_no_seed_above_the_floor_finds_nothing(changes):
    found = predict(small_model(**changes), [picture(40, 56)])[0]
    for part, none in zip(found, Detections.empty((40, 56))):
        assert part.shape == none.shape and part.dtype == none.dtype
    seen = trace(small_model(**changes), picture(40, 56))
    assert seen["map_masks"].shape[1:] == (20, 28)


def test_a_tiny_image(model):
    check_detections(predict(model, [picture(1, 1)])[0], 1, 1)
    step(model, [picture(3, 5)], [one_object(3, 5, (0, 0, 3, 2))])


def test_wrong_input_is_told(model):
    with pytest.raises(ValueError, match="images is an empty list"):
        predict(model, [])
    with pytest.raises(ValueError, match="labels run from 6 to 6"):
        training_losses(model, [picture(64, 64)], [one_object(64, 64, label=6)], chance())
    with pytest.raises(ValueError, match=r"images\[0\] must be in \[0, 1\]"):
        predict(model, [255 * picture(8, 8)])


def test_nothing_of_the_model_is_changed_by_a_look(model):
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    config = model.config
    predict(model, [picture(64, 64)])
    trace(model, picture(64, 64))
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert model.config is config


def test_memory_of_training_does_not_grow_with_pairs_of_pixels(model):
    """The largest tensor made on the way is a map or its gradient, never pixels x pixels: with
    four times the pixels the largest one is four times as large."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Largest(TorchDispatchMode):
        numel = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            out = function(*args, **(kwargs or {}))
            for one in out if isinstance(out, (tuple, list)) else [out]:
                if isinstance(one, torch.Tensor) and not one._is_view():
                    self.numel = max(self.numel, one.numel())
            return out

    largest = []
    for side in (64, 128):
        image, target = picture(side, side), one_object(side, side, (8, 8, side - 8, side - 8))
        with Largest() as mode:
            total(training_losses(model, [image], [target], chance())).backward()
        largest.append(mode.numel)
    assert largest[1] <= 4 * largest[0] < (64 * 64) ** 2 / 16


def test_times_of_its_parts(model):
    ticks = iter(range(100))
    times = stage_times(model, torch.rand(3, 64, 64), clock=lambda: next(ticks))
    assert times == dict.fromkeys(["network", "seeds", "masks"], 1)


def test_decode_of_a_seen_batch(model):
    seen = see(model, [picture(64, 64)])
    grown, found = decode(model, seen, 0)
    assert len(grown.choice.seeds) == len(grown.labels) == len(grown.masks)
    assert len(found.scores) <= len(grown.kept)


def test_points_of_a_crowd_are_not_asked(scenes):
    """Where all that is no object is crowd, only points on objects are drawn."""
    model, (image, target) = small_model(points=1000, background_points=1000), scenes[0]
    everything = Targets(torch.tensor([[0.0, 0, 64, 64]]), torch.tensor([1]),
                         torch.ones(1, 64, 64, dtype=torch.bool))
    asked = []

    def spy(config, embeddings, points, instances):
        asked.append(instances.flatten()[points])
        return embeddings.sum() * 0

    with mock.patch.object(deep_metric, "embedding_loss", spy):
        for some in (target, with_crowd(target, everything)):
            training_losses(model, [image], [some], chance())
    plain, spared = asked
    assert int((plain == 0).sum()) > 0 and set(spared.tolist()) == set(plain.tolist()) - {0}
