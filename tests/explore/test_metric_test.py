"""What is found as thresholds, alpha and floors move: equal to predict, counted, refused."""

import dataclasses
import xml.etree.ElementTree as ElementTree

import pytest
import torch

from teachseg.datasets.scenes import CLASSES, Scenes
from teachseg.explore.metric_test import (
    answer_of,
    detections_at,
    explore_metric,
    metric_frame,
)
from teachseg.papers.deep_metric import Config, DeepMetric, grow, own_cells, predict

STATE = {"alpha": 0.3, "num_seeds": 12, "duplicate_iou": 0.5}


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    config = dataclasses.replace(Config.course(5), merge_channels=16, head_channels=16,
                                 embedding_dim=6, min_score=0.0, num_seeds=12, duplicate_iou=0.5)
    model = DeepMetric(config).eval()
    torch.nn.init.normal_(model.embedding_head.last.weight, std=0.15)
    torch.nn.init.normal_(model.seed_head.last.weight, std=0.6)
    return model


@pytest.fixture(scope="module")
def answers(model):
    return [answer_of(model, *Scenes("test", 2, image_size=64)[i]) for i in range(2)]


def test_with_the_models_own_settings_it_is_predict(model, answers):
    for one in answers:
        found = detections_at(one, model.config.taus, **STATE)
        for ours, theirs in zip(found, predict(model, [one.image])[0]):
            assert torch.equal(ours, theirs)
        assert len(found.scores) > 0


def test_a_threshold_alone_is_a_model_that_knows_only_it(model, answers):
    """Its probabilities are those of its own rows, and all are cut at it."""
    one = answers[0]
    embeddings, probs = own_cells(one.seen, 0, 2)
    for k, tau in enumerate(model.config.taus):
        config = dataclasses.replace(model.config, taus=(tau,))
        grown = grow(config, embeddings, probs[k : k + 1])
        alone = detections_at(one, (tau,), **STATE)
        assert set(alone.scores.tolist()) <= set(grown.scores.tolist())
        assert bool((grown.taus == tau).all())


def test_settings_of_the_choice_matter(answers):
    base = detections_at(answers[0], (0.25, 0.5), **STATE)
    assert len(detections_at(answers[0], (0.25, 0.5), **(STATE | {"num_seeds": 1})).scores) == 1
    more = detections_at(answers[0], (0.25, 0.5), **(STATE | {"duplicate_iou": 1.0}))
    assert len(more.scores) >= len(base.scores)
    none = detections_at(answers[0], (0.25, 0.5), **STATE, min_score=1.0)
    assert none.masks.shape == (0, 64, 64)


def test_the_frame_says_what_is_right(answers):
    found = metric_frame(answers, CLASSES, 1, (0.25, 0.5), 0.3, 12, 0.5, 0.0)
    assert found.caption.startswith("Scene 1, tau of 0.25, 0.5; alpha 0.30, at most 12 seeds")
    root = ElementTree.fromstring(found.svg)
    assert root.get("aria-label") == found.caption
    high = metric_frame(answers, CLASSES, 1, (0.25, 0.5), 0.3, 12, 0.5, 1.0)
    assert ": 0 of " in high.caption


@pytest.mark.parametrize("state, words", [
    ((2, (0.5,), 0.3, 5, 0.5, 0.5), r"scene must be in 0\.\.1"),
    ((0, (), 0.3, 5, 0.5, 0.5), "0.25, 0.5, 0.75, 0.9; none is chosen"),
    ((0, (0.3,), 0.3, 5, 0.5, 0.5), "there is no 0.3"),
    ((0, (0.5,), -1, 5, 0.5, 0.5), "alpha must be 0 or more"),
    ((0, (0.5,), 0.3, 5, 1.5, 0.5), "duplicate_iou must be"),
    ((0, (0.5,), 0.3, 5, 0.5, 1.5), r"score must be in 0\.\.1, got 1.5"),
])
def test_what_cannot_be_is_told(answers, state, words):
    with pytest.raises(ValueError, match=words):
        metric_frame(answers, CLASSES, *state)
    with pytest.raises(ValueError, match="at least one image's answer"):
        explore_metric([], CLASSES)


def test_the_explorer_takes_several_thresholds_at_once(answers):
    explorer = explore_metric(answers, CLASSES)
    first = repr(explorer)
    assert "tau of 0.25, 0.5, 0.75, 0.9" in first
    assert "tau of 0.9;" in explorer.set(taus=(0.9,))
    explorer.controls["taus"].value = ()
    assert "none is chosen" in repr(explorer)  # said, and the sliders live on
    assert "tau of 0.5;" in explorer.set(taus=(0.5,))
