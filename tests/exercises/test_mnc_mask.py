"""Lesson 11's solutions against the library, and numbers worked by hand.

`test_registry.py` holds what every exercise must; here, that these answers are what they must be.
"""

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from teachseg.exercises import mnc_mask as page
from teachseg.geometry.masks import crop_masks, paste_masks
from teachseg.layers.cascade import MaskStage
from teachseg.learning.losses import mask_loss

quick = settings(deadline=None, max_examples=30)
quarters = st.integers(-8, 36).map(lambda n: n / 4)
seeds = st.integers(0, 10_000).map(lambda seed: torch.Generator().manual_seed(seed))


def test_target_by_hand():
    # bins of 1.5 x 1.5 from (0.5, 1): covered 1, 1.75 / 0, 2.25 of 2.25: 4/9, 7/9 / 0, 1
    box = (0.5, 1.0, 3.5, 4.0)
    assert page.target(page.STAIRS, box, 2, 0.5).tolist() == [[0, 1], [0, 1]]
    assert page.target(page.STAIRS, box, 2, 0.4).tolist() == [[1, 1], [0, 1]]
    assert page.target(page.STAIRS, box, 2, 0.8).tolist() == [[0, 0], [0, 1]]


@quick
@given(x=st.tuples(quarters, quarters), y=st.tuples(quarters, quarters), size=st.integers(1, 4),
       threshold=st.sampled_from([0.31, 0.47, 0.73]), generator=seeds)
def test_target_is_the_librarys(x, y, size, threshold, generator):
    mask = torch.rand(7, 8, generator=generator) > 0.5
    box = (min(x), min(y), max(x) + 1, max(y) + 1)
    shares = crop_masks(mask[None], torch.tensor([box]), size)[0]
    clear = (shares - threshold).abs() > 1e-5  # a share at the threshold may be rounded either way
    got = page.target(mask, box, size, threshold)
    assert torch.equal(got[clear], (shares >= threshold).float()[clear])


def test_parameters_by_hand_and_by_the_library():
    # 512 * 14 * 14 = 100,352 inputs: * 256 + 256 = 25,690,368; 256 * 784 + 784 = 201,488
    assert page.parameters(512, 14, 256, 28) == 25_690_368 + 201_488 == 25_891_856
    assert page.parameters(512, 14, 256, 21) == 25_803_705
    for arguments in ((40, 14, 160, 28), (3, 4, 5, 6), (1, 1, 1, 1)):
        head = MaskStage(*arguments)
        assert page.parameters(*arguments) == sum(p.numel() for p in head.parameters())


@quick
@given(channels=st.integers(1, 3), size=st.integers(1, 3), hidden=st.integers(1, 6),
       side=st.integers(1, 4), generator=seeds)
def test_patterns_are_the_librarys_two_layers(channels, size, hidden, side, generator):
    head = MaskStage(channels, size, hidden, side)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
        features = torch.randn(channels, size, size, generator=generator)
        pictures = head.masks.weight.T.reshape(hidden, side, side)
        got = page.patterns(features, head.hidden.weight, head.hidden.bias, pictures,
                            head.masks.bias.view(side, side))
        torch.testing.assert_close(got, head(features[None])[0], atol=1e-4, rtol=1e-4)


def test_patterns_by_hand():
    # 3 * 2 + 1 = 7; 7 * (2, -1, 0.5, 4) + (1, 0, -1, 2) = (15, -7, 2.5, 30)
    answer = page.patterns(*page.PATTERNS.cases[0].arguments)
    assert answer.tolist() == [[15.0, -7.0], [2.5, 30.0]]


@quick
@given(boxes=st.integers(1, 5), side=st.integers(1, 4), generator=seeds)
def test_loss_is_the_librarys_mean_over_positives(boxes, side, generator):
    logits = 5 * torch.randn(boxes, side, side, generator=generator)
    wanted = (torch.rand(boxes, side, side, generator=generator) > 0.5).float()
    weights = (torch.rand(boxes, generator=generator) > 0.4).float()
    positive = weights > 0
    want = float(mask_loss(logits[positive], wanted[positive]))
    assert math.isclose(page.loss(logits, wanted, weights), want, abs_tol=1e-4)


def test_loss_by_hand():
    # p = 1/2: ln 2 a bin, however many there are; 200 where 0 is wanted costs 200
    assert math.isclose(page.loss(torch.zeros(2, 5, 5), torch.ones(2, 5, 5), torch.ones(2)),
                        math.log(2))
    assert page.loss(torch.full((1, 1, 1), 200.0), torch.zeros(1, 1, 1), torch.ones(1)) == 200


@quick
@given(corner=st.tuples(st.integers(-6, 6), st.integers(-6, 6)),
       sides=st.tuples(st.integers(1, 12), st.integers(1, 12)), side=st.integers(1, 5),
       generator=seeds)
def test_paste_is_the_librarys(corner, sides, side, generator):
    crop = torch.rand(side, side, generator=generator)
    box = (*corner, corner[0] + sides[0], corner[1] + sides[1])
    probs = paste_masks(crop[None], torch.tensor([box]).float(), (9, 10))[0]
    clear = (probs - 0.47).abs() > 1e-5
    got = page.paste(crop, box, (9, 10), 0.47)
    assert torch.equal(got[clear], (probs >= 0.47).float()[clear])


def test_paste_by_hand():
    # 2 bins over 4 pixels: places -0.25, 0.25, 0.75, 1.25; 0.9 -> 0.2: 0.9, 0.725, 0.375, 0.2
    crop = torch.tensor([[0.9, 0.2], [0.9, 0.2]])
    rows = page.paste(crop, (1, 0, 5, 1), (1, 6), 0.5)
    assert rows.tolist() == [[0, 1, 1, 0, 0, 0]]
