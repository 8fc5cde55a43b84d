"""The masks of a roi and the loss of a bin: numbers by hand, by autograd, drawn, swept, refused."""

import math
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import cross_entropy

from teachseg.datasets.scenes import CLASSES, Scenes
from teachseg.explore.mask_losses import (
    RoiMasks,
    bin_frame,
    bin_sigmoid,
    bin_softmax,
    explore_bin,
    explore_masks,
    look,
    masks_frame,
)
from teachseg.geometry.boxes import box_iou
from teachseg.learning.losses import competing_mask_loss, mask_loss
from teachseg.papers import mask_rcnn
from teachseg.structures import Targets


def scene() -> RoiMasks:
    """One roi, (2, 2) to (10, 10), of a "b" (k = 2) that fills its left half; masks of 2 x 2.

    Channel 1 says 0 (p = 1/2) everywhere, channel 2 log 3 (p = 3/4) left and -log 3 (1/4) right;
    background says 0.
    """
    mask = torch.zeros(1, 16, 16, dtype=torch.bool)
    mask[0, 2:10, 2:6] = True
    logits = torch.zeros(1, 3, 2, 2)
    logits[0, 2] = math.log(3) * torch.tensor([[1.0, -1], [1, -1]])
    image = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(0))
    return RoiMasks(image, mask, torch.tensor([[2.0, 2, 10, 10]]), torch.tensor([2]), logits,
                    ("a", "b"))


@pytest.fixture(scope="module")
def seen() -> RoiMasks:
    """A scene of the course under a small untrained model."""
    torch.manual_seed(0)
    config = replace(mask_rcnn.Config.course(5), box_hidden=8, mask_channels=8)
    image, there = Scenes("train", 1)[0]
    return look(mask_rcnn.MaskRCNN(config).eval(), image, there, CLASSES)


# --- all masks of a roi ---


def test_the_frame_by_hand():
    """Every bin of the k-th gives the right answer 3/4: loss -log(3/4). It is on in 2 of 4 bins, 32
    of 64 pixels, all of them right."""
    said = masks_frame(scene(), 0, 2, 0.5, "sigmoid").caption
    assert said == (
        "Roi 0 of 1 answers for a b: k = 2. Channel 2 b, sigmoid, cut at 0.50: 2 of 4 bins on, 32 "
        "pixels, IoU with the object 1.000. It is the k-th, so its 0.288 is L_mask.")


def test_other_channels_are_not_asked():
    """p = 1/2 costs log 2 wherever it stands, and all 64 pixels are on: IoU 1/2."""
    said = masks_frame(scene(), 0, 1, 0.5, "sigmoid").caption
    assert "4 of 4 bins on, 64 pixels, IoU with the object 0.500" in said
    assert said.endswith("It would cost 0.693, but is not asked: L_mask is that of channel 2, "
                         "0.288.")


def test_a_softmax_asks_background_too():
    """Left: 3 of 3 + 1 + 1; right: background has 1 of 1/3 + 1 + 1, 3/7. Their mean loss."""
    expected = (-math.log(3 / 5) - math.log(3 / 7)) / 2
    said = masks_frame(scene(), 0, 0, 0.4, "softmax").caption
    assert said.endswith(f"channel 2 where it is: L_mask {expected:.3f}.")
    assert "2 of 4 bins on" in said


def test_losses_are_the_librarys(seen):
    for roi, k in enumerate(seen.labels.tolist()):
        logits, crops = seen.mask_logits[roi : roi + 1], seen.crops[roi : roi + 1]
        assert float(seen.terms(roi, k, "sigmoid").mean()) == pytest.approx(
            float(mask_loss(logits[:, k], crops)), abs=1e-5)
        assert float(seen.terms(roi, k, "softmax").mean()) == pytest.approx(
            float(competing_mask_loss(logits, crops, torch.tensor([k]))), abs=1e-5)


def test_channels_compete_or_do_not(seen):
    sums = seen.probs(0, "softmax").sum(dim=0)
    torch.testing.assert_close(sums, torch.ones_like(sums))
    assert not torch.allclose(seen.probs(0, "sigmoid").sum(dim=0), sums)


def test_rois_are_the_best_proposals_of_their_objects(seen):
    _, there = Scenes("train", 1)[0]
    assert len(seen.boxes) and (seen.labels > 0).all()
    for box, mask, label in zip(seen.boxes, seen.masks, seen.labels):
        (g,) = [g for g, own in enumerate(there.masks) if torch.equal(own, mask)]
        assert there.labels[g] == label and box_iou(there.boxes[g : g + 1], box[None]) >= 0.5


def test_every_state_is_drawn(seen):
    for over in ("sigmoid", "softmax"):
        for channel in range(6):
            found = masks_frame(seen, 0, channel, 0.05 if channel else 1.0, over)
            root = ElementTree.fromstring(found.svg)
            assert root.get("aria-label") == found.caption
            assert len(list(root.iter("{http://www.w3.org/2000/svg}image"))) == 6 + 4


def test_the_explorer_sweeps(seen, capsys):
    explorer = explore_masks(seen)
    explorer.sweep("mask_threshold", (0.2, 0.5, 0.8))
    lines = capsys.readouterr().out.splitlines()
    on = [int(re.search(r"(\d+) of \d+ bins on", line)[1]) for line in lines]
    assert on == sorted(on, reverse=True)
    k = int(seen.labels[0])
    assert "It is the k-th" in explorer.set(roi=0, channel=k)
    assert "It would cost" in explorer.set(channel=k % 5 + 1)


@pytest.mark.parametrize("state, words", [
    ((1, 1, 0.5, "sigmoid"), r"roi must be in 0..0, got 1"),
    ((0, 3, 0.5, "sigmoid"), r"channel must be in 0..2, got 3"),
    ((0, 1, 0.0, "sigmoid"), "mask_threshold must be above 0"),
    ((0, 1, 0.5, "max"), "over must be one of sigmoid, softmax"),
])
def test_what_cannot_be_shown_is_said(state, words):
    with pytest.raises(ValueError, match=words):
        masks_frame(scene(), *state)


def test_parts_must_fit():
    with pytest.raises(ValueError, match="2 classes have 3 channels"):
        replace(scene(), mask_logits=torch.zeros(1, 4, 2, 2))
    with pytest.raises(ValueError, match="At least one roi"):
        replace(scene(), boxes=torch.zeros(0, 4))


def test_a_scene_without_a_positive_roi_is_refused():
    model = mask_rcnn.MaskRCNN(mask_rcnn.Config.course(5)).eval()
    nothing = Targets(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64),
                      torch.zeros(0, 64, 64, dtype=torch.bool))
    with pytest.raises(ValueError, match="no roi with a mask loss"):
        look(model, torch.rand(3, 64, 64), nothing, CLASSES)


# --- one bin ---


def test_a_bin_by_hand():
    """log 3: p = 3/4. With another class at log 4 and background at 0: 3 of 3 + 4 + 1."""
    apart, compete = bin_sigmoid(math.log(3), 1.0), bin_softmax(math.log(3), 1.0, math.log(4))
    assert apart == pytest.approx((3 / 4, -math.log(3 / 4), -1 / 4, 0, 0))
    assert compete == pytest.approx((3 / 8, -math.log(3 / 8), -5 / 8, 1 / 2, 1 / 8))


@pytest.mark.parametrize("z, t, rival", [(1.0, 1.0, 3.0), (-5.0, 0.25, 2.0), (6.0, 0.0, -6.0)])
def test_losses_and_slopes_are_autograds(z, t, rival):
    own = torch.tensor(z, dtype=torch.float64, requires_grad=True)
    loss = mask_loss(own.view(1, 1, 1), own.new_full((1, 1, 1), t))
    loss.backward()
    apart = bin_sigmoid(z, t)
    assert (apart.loss, apart.own) == (pytest.approx(loss.item()), pytest.approx(own.grad.item()))
    logits = torch.tensor([[0.0, z, rival]], dtype=torch.float64, requires_grad=True)
    loss = cross_entropy(logits, torch.tensor([[1 - t, t, 0.0]], dtype=torch.float64))
    loss.backward()
    compete = bin_softmax(z, t, rival)
    assert compete.loss == pytest.approx(loss.item())
    assert (compete.back, compete.own, compete.rival) == pytest.approx(logits.grad[0].tolist())


def test_the_frame_draws_two_curves_and_six_bars():
    found = bin_frame(1.0, 1.0, 3.0)
    root = ElementTree.fromstring(found.svg)
    assert root.get("aria-label") == found.caption
    curves = [p.get("d") for p in root.iter("{http://www.w3.org/2000/svg}path")]
    assert sum(path.count("L") > 20 for path in curves) == 2
    assert len(list(root.iter("{http://www.w3.org/2000/svg}rect"))) == 1 + 2 + 6  # paper, charts
    assert "slope -0.269; the other class is left alone" in found.caption


def test_only_the_softmax_hears_the_other_class(capsys):
    explore_bin().sweep("rival", (-6.0, 0.0, 6.0))
    lines = capsys.readouterr().out.splitlines()
    assert len({re.search(r"Sigmoid: p ([\d.]+)", line)[1] for line in lines}) == 1
    assert len({re.search(r"Softmax: p ([\d.]+)", line)[1] for line in lines}) == 3


@pytest.mark.parametrize("state, words", [
    ((7.0, 1.0, 0.0), "logit must be between -6 and 6"),
    ((0.0, 1.0, -9.0), "rival must be between"),
    ((0.0, 1.5, 0.0), "asked is a share"),
])
def test_a_bin_that_cannot_be_drawn_is_said(state, words):
    with pytest.raises(ValueError, match=words):
        bin_frame(*state)
