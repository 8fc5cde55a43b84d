"""Recipes: the papers' numbers, written once more; what follows from changed ones."""

import dataclasses
import json
import re
from pathlib import Path

import pytest
import torch

from teachseg import checkpoints, recipes
from teachseg.datasets.downloads import SOURCES
from teachseg.layers.backbones import BACKBONES, freeze
from teachseg.recipes import RECIPES, adapted, find

each = pytest.mark.parametrize("name", list(RECIPES))


@each
def test_every_recipe_can_be_built(name):
    recipe = find(name)
    page = getattr(recipes, recipe.paper)
    with torch.device("meta"):
        model = getattr(page, checkpoints.MODELS[recipe.paper])(recipe.config(20))
    assert model.config.num_classes == 20 and model.config.backbone in BACKBONES
    assert recipe.data in SOURCES
    assert len(model.backbone.stages()) >= recipe.frozen_stages
    assert recipe.train.workers and recipe.train.precision == "bf16-mixed"
    small = "small" in name or "nuclei" in name
    parameters = sum(p.numel() for p in model.parameters())
    assert (parameters < 12e6) == small, f"{parameters:,}"


def test_mask_rcnn_1x():
    """Detectron: 90k steps of 16 images, 0.02, a tenth from 60k and from 80k on; 800 / 1333; stem
    and res2 frozen."""
    for name, rois in (("mask-rcnn-r50-fpn-coco", 512), ("mask-rcnn-r50-c4-coco", 64)):
        recipe, train = find(name), find(name).train
        assert recipe.train.images_a_step == 16 and train.steps == 90_000
        assert (train.learning_rate, train.weight_decay) == (0.02, 1e-4)
        assert train.milestones == (60_000, 80_000) and train.optimizer == "sgd"
        config = recipe.config(80)
        assert (config.min_side, config.max_side, config.roi_draw) == (800, 1333, rois)
        assert recipe.frozen_stages == 2 and config.frozen_norm


def test_mnc_on_sbd():
    """The released code: 25k steps of 8 images one after the other, 0.001, a tenth from 20k on; 600
    / 1000; conv1 and conv2 frozen."""
    recipe, train = find("mnc-vgg16-sbd"), find("mnc-vgg16-sbd").train
    assert (train.steps, train.batch_size, train.accumulate) == (25_000, 1, 8)
    assert (train.learning_rate, train.milestones) == (0.001, (20_000,))
    assert train.weight_decay == 5e-4 and recipe.frozen_stages == 2
    config = recipe.config(20)
    assert (config.min_side, config.max_side, config.backbone) == (600, 1000, "vgg16")
    backbone = BACKBONES["vgg16"]()
    freeze(backbone, 2)
    learning = [name for name, p in backbone.named_parameters() if p.requires_grad]
    assert learning[0] == "features.10.weight"  # conv3_1; 0, 2 are conv1, 5, 7 conv2


def test_what_follows_from_changed_settings():
    recipe = find("mask-rcnn-r50-fpn-coco")
    assert adapted(recipe) == recipe.train
    half = adapted(recipe, steps=45_000, accumulate=4, precision=None)
    assert half.milestones == (30_000, 40_000) and half.learning_rate == 0.01
    assert half.precision == "bf16-mixed"
    assert adapted(recipe, accumulate=4, learning_rate=0.5).learning_rate == 0.5
    few = adapted(recipe, steps=10)
    assert few.warmup_steps == 2 and few.milestones == (7, 9)
    assert dataclasses.replace(adapted(find("mask-rcnn-nuclei"), crop=64), crop=256) == find(
        "mask-rcnn-nuclei").train


def test_unknown_recipes_are_told():
    with pytest.raises(ValueError, match="There is no recipe 'x'. There are: mnc-vgg16-sbd, "):
        find("x")


@each
def test_expectations_name_their_source(name):
    for said in find(name).expects:
        assert said.source and said.accuracy
        assert (said.hours is None) == (said.gpu is None)


def test_what_we_measured_is_what_the_file_holds():
    """Each figure of ours names a training in data/results/real.json, and is that one's."""
    rows = json.loads((Path(__file__).parents[1] / "data/results/real.json").read_text("utf-8"))
    by_name, seen = {row["name"]: row for row in rows["rows"]}, 0
    for name, recipe in RECIPES.items():
        for said in recipe.expects:
            if "measured by us" not in said.source:
                continue
            row = by_name[re.search(r"'(.+)'", said.source)[1]]
            assert f"--recipe {name} " in row["command"]
            assert f"AP50 {row['AP50']:.2f} " in said.accuracy
            assert f"{row['val_images']} " in said.accuracy and f"{row['steps']} " in said.accuracy
            assert f" {row['train_images']} others" in said.accuracy
            assert said.hours in (None, pytest.approx(row["seconds"] / 3600, abs=0.005))
            seen += 1
    assert seen == 3


def test_memory_and_time_of_a_pass_are_those_of_the_file():
    file = Path(__file__).parents[1] / "data/results/bench/recipes.json"
    rows = {row["recipe"]: row for row in json.loads(file.read_text("utf-8"))["rows"]}
    assert rows.keys() == RECIPES.keys()
    for name, recipe in RECIPES.items():
        assert recipe.pass_gb == pytest.approx(rows[name]["gb"], abs=0.006)
        assert recipe.pass_seconds == pytest.approx(rows[name]["seconds"], rel=0.02, abs=0.005)
        assert recipe.train.steps == rows[name]["steps"]
