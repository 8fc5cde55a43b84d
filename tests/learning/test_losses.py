"""Losses by hand, against torch's own on ordinary input, and of nothing."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck

from teachseg.learning.losses import (
    class_loss,
    delta_loss,
    mask_loss,
    mean_or_zero,
    objectness_loss,
    total,
)

LN2 = math.log(2)


def one_delta(x):
    """One positive whose four deltas are off by (x, 0, 0, 0)."""
    return torch.tensor([[x, 0.0, 0.0, 0.0]])


def test_objectness_by_hand():
    # a logit of 0 is a coin: ln 2 whatever the label; ln 3 is 3 to 1: ln(4/3) if right, ln 4 if not
    logits = torch.tensor([0.0, math.log(3), math.log(3)])
    labels = torch.tensor([1.0, 1.0, 0.0])
    expected = (LN2 + math.log(4 / 3) + math.log(4)) / 3
    torch.testing.assert_close(objectness_loss(logits, labels), torch.tensor(expected))


def test_a_large_logit_stays_finite():
    loss = objectness_loss(torch.tensor([1000.0, -1000.0]), torch.tensor([0.0, 1.0]))
    assert loss.item() == 1000


@pytest.mark.parametrize(
    "x, expected",
    [
        (0.1, 0.045),  # below 1/9: 0.5 * 0.1^2 * 9
        (-0.1, 0.045),
        (0.5, 0.5 - 1 / 18),  # beyond: |x| - 1/18 = 0.44444
        (1 / 9, 1 / 18),  # where they meet
        (0.0, 0.0),
    ],
)
def test_smooth_l1_by_hand(x, expected):
    loss = delta_loss(one_delta(x), one_delta(0.0), count=1)
    torch.testing.assert_close(loss, torch.tensor(expected))


def test_smooth_l1_is_the_released_codes_sigma_3():
    # sigma: 0.5 (sigma x)^2 where |x| < 1 / sigma^2, else |x| - 0.5 / sigma^2
    def by_sigma(x, sigma=3.0):
        return 0.5 * (sigma * x) ** 2 if abs(x) < 1 / sigma**2 else abs(x) - 0.5 / sigma**2

    for x in (-2.0, -0.12, -0.05, 0.03, 0.11, 0.9):
        loss = delta_loss(one_delta(x), one_delta(0.0), count=1)
        assert loss.item() == pytest.approx(by_sigma(x), rel=1e-5)


def test_delta_loss_is_shared_out_over_all_that_were_drawn():
    # two positives, off by 0.5 in one and in two deltas: 3 * 0.44444, over 8 drawn
    deltas = torch.tensor([[0.5, 0.0, 0.0, 0.0], [0.0, 0.5, 0.0, -0.5]])
    loss = delta_loss(deltas, torch.zeros(2, 4), count=8)
    torch.testing.assert_close(loss, torch.tensor(3 * (0.5 - 1 / 18) / 8))


def test_another_beta():
    # beta 1: 0.5 * 0.5^2
    loss = delta_loss(one_delta(0.5), one_delta(0.0), count=1, beta=1.0)
    torch.testing.assert_close(loss, torch.tensor(0.125))


def test_class_loss_by_hand():
    # (ln 2, 0, 0) is 1/2, 1/4, 1/4: ln 2 for class 0, ln 4 for class 2
    logits = torch.tensor([[LN2, 0.0, 0.0], [LN2, 0.0, 0.0]])
    loss = class_loss(logits, torch.tensor([0, 2]))
    torch.testing.assert_close(loss, torch.tensor((LN2 + 2 * LN2) / 2))


def test_mask_loss_by_hand():
    # logit 0: ln 2 at every pixel; a target of 1/2 with a logit of ln 3 is half of each answer
    assert mask_loss(torch.zeros(2, 4, 4), torch.rand(2, 4, 4)).item() == pytest.approx(LN2)
    loss = mask_loss(torch.full((1, 1, 1), math.log(3)), torch.full((1, 1, 1), 0.5))
    torch.testing.assert_close(loss, torch.tensor((math.log(4 / 3) + math.log(4)) / 2))


def test_ordinary_input_gives_torchs_own_means():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(12, generator=generator)
    labels = (torch.rand(12, generator=generator) < 0.5).float()
    expected = F.binary_cross_entropy_with_logits(logits, labels)
    torch.testing.assert_close(objectness_loss(logits, labels), expected)
    logits, labels = torch.randn(6, 4, generator=generator), torch.tensor([0, 1, 2, 3, 0, 1])
    torch.testing.assert_close(class_loss(logits, labels), F.cross_entropy(logits, labels))
    logits, crops = torch.randn(3, 5, 5, generator=generator), torch.rand(3, 5, 5)
    expected = F.binary_cross_entropy_with_logits(logits, crops)
    torch.testing.assert_close(mask_loss(logits, crops), expected)


def test_the_loss_of_nothing_is_0_and_still_has_a_gradient():
    no_logits = torch.zeros(0, requires_grad=True)
    no_deltas = torch.zeros(0, 4, requires_grad=True)
    no_classes = torch.zeros(0, 6, requires_grad=True)
    no_masks = torch.zeros(0, 28, 28, requires_grad=True)
    losses = {
        "rpn_objectness": objectness_loss(no_logits, torch.zeros(0)),
        "rpn_box": delta_loss(no_deltas, torch.zeros(0, 4), count=0),
        "class": class_loss(no_classes, torch.zeros(0, dtype=torch.int64)),
        "mask": mask_loss(no_masks, torch.zeros(0, 28, 28)),
    }
    assert all(loss.item() == 0 and loss.requires_grad for loss in losses.values())
    total(losses).backward()
    for leaf in (no_logits, no_deltas, no_classes, no_masks):
        assert leaf.grad.shape == leaf.shape


def test_nothing_positive_but_something_drawn():
    assert delta_loss(torch.zeros(0, 4), torch.zeros(0, 4), count=32).item() == 0


def test_mean_or_zero():
    assert mean_or_zero(torch.tensor([1.0, 2.0, 6.0])).item() == 3
    assert mean_or_zero(torch.zeros(0)).item() == 0


def test_total_is_the_plain_sum():
    losses = {"class": torch.tensor(1.0), "box": torch.tensor(2.5), "mask": torch.tensor(0.25)}
    assert total(losses).item() == 3.75


def test_gradients():
    generator = torch.Generator().manual_seed(1)
    like = {"generator": generator, "dtype": torch.float64}
    labels = torch.tensor([1.0, 0.0, 1.0], dtype=torch.float64)
    logits = torch.randn(3, **like).requires_grad_()
    assert gradcheck(lambda x: objectness_loss(x, labels), (logits,))
    deltas = torch.randn(3, 4, **like).requires_grad_()
    wanted = torch.zeros(3, 4, dtype=torch.float64)
    assert gradcheck(lambda x: delta_loss(x, wanted, 5), (deltas,))
    logits = torch.randn(3, 4, **like).requires_grad_()
    assert gradcheck(lambda x: class_loss(x, torch.tensor([0, 1, 3])), (logits,))
    crops = torch.rand(2, 3, 3, **like)
    logits = torch.randn(2, 3, 3, **like).requires_grad_()
    assert gradcheck(lambda x: mask_loss(x, crops), (logits,))
