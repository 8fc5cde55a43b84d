"""A mask spoiled by hand, the class that is read from what it lets through, and their picture."""

import math
import time
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import pytest
import torch

from teachseg.explore.masked_features import (
    SOURCES,
    MaskedBox,
    category_of,
    explore_masked_features,
    mask_fit,
    masked_frame,
    shift_bins,
    source_logits,
    spoil,
)
from teachseg.layers.cascade import Categories, CategoryStage, masked_features

NAMES = ("disc", "square")


def stage(roi_features: torch.Tensor, masked: torch.Tensor) -> Categories:
    """A category stage that can be reckoned: class 1's logit is the sum of what is let through."""
    logits = torch.stack([torch.zeros(1), masked.sum().view(1), torch.zeros(1)], dim=1)
    return Categories(logits.flip(1), logits, torch.zeros(1, 3, 4))


def one_box(**changes) -> MaskedBox:
    """2 x 2 bins of 2 channels, (3, 4) in each: length 5. The mask: on at the left, 4 x 4."""
    logits = torch.full((4, 4), -math.log(3))  # sigmoid 1/4
    logits[:, :2] = math.log(3)                # sigmoid 3/4
    features = torch.tensor([3.0, 4.0])[:, None, None].expand(2, 2, 2)
    truth = torch.zeros(4, 4)
    truth[:2, :2] = 1
    image = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(0))
    return replace(MaskedBox(image, torch.tensor([1.0, 2, 7, 8]), features, logits, truth, 1),
                   **changes)


# --- the mask ---


def test_shifting_by_hand():
    mask = torch.tensor([[1.0, 2, 3], [4, 5, 6]])
    assert shift_bins(mask, 1).tolist() == [[0, 1, 2], [0, 4, 5]]
    assert shift_bins(mask, -2).tolist() == [[3, 0, 0], [6, 0, 0]]
    assert torch.equal(shift_bins(mask, 0), mask)
    assert not shift_bins(mask, 3).any() and not shift_bins(mask, -3).any()
    assert mask.tolist() == [[1, 2, 3], [4, 5, 6]]  # its argument is left alone


def test_spoiling_by_hand():
    """sigmoid(ln 3) is 3/4, of twice ln 3 = ln 9 it is 9/10, of 0 1/2; 0.4 times 3/4 is 0.3."""
    logits = torch.tensor([[math.log(3), -math.log(3)]])
    for sharpness, shift, strength, wanted in [
        (1, 0, 1, [0.75, 0.25]), (2, 0, 1, [0.9, 0.1]), (0, 0, 1, [0.5, 0.5]),
        (1, 0, 0.4, [0.3, 0.1]), (1, 0, 0, [0, 0]), (1, 1, 1, [0, 0.75]), (1000, 0, 1, [1, 0]),
    ]:  # fmt: skip
        got = spoil(logits, sharpness, shift, strength)
        torch.testing.assert_close(got, torch.tensor([wanted], dtype=torch.float32))


def test_the_sources():
    one = one_box()
    assert source_logits(one, "model") is one.mask_logits
    torch.testing.assert_close(source_logits(one, "truth").sigmoid(), one.truth, atol=2e-3, rtol=0)
    assert (source_logits(one, "all").sigmoid() > 0.99).all()


def test_the_fit_by_hand():
    """8 bins on at the left, 4 of them true: 4 / 8."""
    one = one_box()
    assert mask_fit(one.mask_logits.sigmoid(), one.truth) == 0.5
    assert mask_fit(torch.zeros(4, 4), one.truth) == 0 == mask_fit(one.truth * 0, one.truth * 0)


def test_the_class_is_read_from_what_the_mask_lets_through():
    """Resized to 2 x 2 each bin is the mean of 2 x 2: 3/4 and 1/4. (3 + 4) * (3/4 + 1/4) * 2 = 14.

    So the logits are 0, 14, 0, and class 1's probability e^14 / (e^14 + 2).
    """
    one = one_box()
    said = category_of(stage, one, spoil(one.mask_logits, 1, 0, 1))
    torch.testing.assert_close(said.masked[0], torch.tensor([[2.25, 0.75]] * 2))
    assert math.isclose(said.class_probs[1], math.exp(14) / (math.exp(14) + 2), rel_tol=1e-6)
    empty = category_of(stage, one, torch.zeros(4, 4))
    torch.testing.assert_close(empty.class_probs, torch.full((3,), 1 / 3))


def test_it_is_the_librarys_category_stage():
    torch.manual_seed(0)
    head = CategoryStage(2, 2, 8, 2)
    one = one_box()
    mask = spoil(one.mask_logits, 2.0, 1, 0.5)
    features = one.roi_features[None]
    wanted = head(features, masked_features(features, mask[None])).seg_class_logits.softmax(dim=1)
    assert torch.equal(category_of(head, one, mask).class_probs, wanted[0])


# --- the frame ---


def test_the_caption_by_hand():
    """Mean (3/4 + 1/4) / 2; kept: sqrt((3/4)^2 + (1/4)^2) / sqrt(2) of the length, 0.559."""
    found = masked_frame([one_box()], stage, NAMES)
    assert found.caption.startswith(
        "Box 0, a true disc; the model's mask, sharpness 1, shift 0, strength 1: mean 0.500, IoU "
        "with the true one in the box 0.500, 0.559 of the features' length is left. Likeliest: "
        "disc; background 0.000, disc 1.000, square 0.000.")
    root = ElementTree.fromstring(found.svg)
    assert root.get("aria-label") == found.caption
    assert len(list(root.iter("{http://www.w3.org/2000/svg}image"))) == 4
    assert found == masked_frame([one_box()], stage, NAMES)  # the same text every time


def test_an_empty_mask_lets_nothing_through():
    found = masked_frame([one_box()], stage, NAMES, strength=0.0)
    assert "mean 0.000" in found.caption and "0.000 of the features' length" in found.caption
    assert "background 0.333, disc 0.333, square 0.333" in found.caption


def test_a_box_on_no_object_and_features_of_nothing():
    one = one_box(label=0, roi_features=torch.zeros(2, 2, 2))
    found = masked_frame([one], stage, NAMES)
    assert "on no object" in found.caption and "0.000 of the features'" in found.caption


@pytest.mark.parametrize("values", [dict(sharpness=4.0), dict(shift=1), dict(strength=0.5),
                                    dict(source="truth"), dict(source="all"), dict(box=1)])
def test_every_control_changes_the_picture(values):
    both = [one_box(), one_box(label=2)]
    assert masked_frame(both, stage, NAMES).svg != masked_frame(both, stage, NAMES, **values).svg


@pytest.mark.parametrize("values, words", [
    (dict(box=1), r"box must be in 0\.\.0, got 1"),
    (dict(box=-1), r"box must be in 0\.\.0"),
    (dict(source="mine"), "no mask 'mine': choose one of model, truth, all"),
    (dict(sharpness=-1.0), "sharpness must be 0 or more, got -1.0"),
    (dict(sharpness=math.nan), "sharpness must be 0 or more"),
    (dict(shift=5), r"shift must be in -4\.\.4 bins"),
    (dict(strength=1.5), r"strength must be in 0\.\.1, got 1.5"),
])
def test_what_cannot_be_drawn_is_said(values, words):
    with pytest.raises(ValueError, match=words):
        masked_frame([one_box()], stage, NAMES, **values)


def test_a_frame_takes_10_milliseconds_at_most():
    """Of the processor's time, with a head of the course's size; the best of five."""
    torch.manual_seed(0)
    head, taken = CategoryStage(40, 14, 208, 5), []
    one = one_box(roi_features=torch.rand(40, 14, 14), mask_logits=torch.randn(28, 28),
                  truth=torch.randint(0, 2, (28, 28)).float(), image=torch.rand(3, 128, 128))
    for shift in range(5):
        begin = time.process_time()
        masked_frame([one], head, ("a", "b", "c", "d", "e"), shift=shift)
        taken.append(time.process_time() - begin)
    assert min(taken) <= 0.010


# --- the explorer ---


def test_the_sweep_of_the_lesson(capsys):
    """14 times the strength is class 1's logit: 14, 7, 0."""
    explorer = explore_masked_features([one_box()], stage, NAMES)
    before = explorer.picture.value
    explorer.sweep("strength", [1.0, 0.5, 0.0])
    probs = [line.split(" disc ")[-1].split(",")[0] for line in
             capsys.readouterr().out.splitlines()]
    wanted = [1 / (1 + 2 * math.exp(-14 * strength)) for strength in (1, 0.5, 0)]
    assert probs == [f"{p:.3f}" for p in wanted] == ["1.000", "0.998", "0.333"]
    assert explorer.picture.value == before  # it has moved back
    assert explorer.set(source="truth").startswith("Box 0, a true disc; the true mask,")
    assert explorer.picture.value != before


def test_its_controls_say_what_they_are():
    explorer = explore_masked_features([one_box(), one_box()], stage, NAMES)
    words = [control.description for control in explorer.controls.values()]
    assert words == ["box", "mask", "sharpness (times)", "shift (bins right)",
                     "strength, 0: empty"]
    assert explorer.controls["box"].max == 1 and explorer.controls["shift"].max == 4
    assert [value for _, value in explorer.controls["source"].options] == list(SOURCES)


@pytest.mark.parametrize("boxes, words", [
    ([], "at least one MaskedBox"),
    ([one_box(truth=torch.zeros(3, 3))], r"boxes\[0\].truth is \(3, 3\), its mask_logits \(4, 4\)"),
    ([one_box(label=3)], r"boxes\[0\].label is 3, and there are 2 names"),
    ([one_box(roi_features=torch.zeros(2, 2))], r"boxes\[0\].roi_features must have the shape"),
])
def test_a_bad_box_is_refused_at_the_door(boxes, words):
    with pytest.raises(ValueError, match=words):
        explore_masked_features(boxes, stage, NAMES)
