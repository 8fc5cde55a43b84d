"""Losses by hand, against torch's own on ordinary input, and of nothing."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck

from teachseg.learning.losses import (
    class_loss,
    competing_mask_loss,
    delta_loss,
    mask_loss,
    mean_or_zero,
    objectness_loss,
    pair_loss,
    pair_weights,
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


def test_masks_that_compete_for_pixels_by_hand():
    """Shares 1/8, 2/8, 5/8 of background and two classes."""
    logits = torch.tensor([1.0, 2.0, 5.0]).log()[None, :, None, None].expand(1, 3, 1, 2)
    labels = torch.tensor([2])
    # first pixel all object, second all background
    loss = competing_mask_loss(logits, torch.tensor([[[1.0, 0.0]]]), labels)
    assert loss.item() == pytest.approx((math.log(8 / 5) + math.log(8)) / 2)
    # half covered: half of each
    half = competing_mask_loss(logits, torch.full((1, 1, 2), 0.5), labels)
    assert half.item() == pytest.approx(loss.item())
    # shared out over another number of pixels; and of nothing it is 0, on the graph
    shared = competing_mask_loss(logits, torch.tensor([[[1.0, 0.0]]]), labels, 4)
    assert shared.item() == pytest.approx(loss.item() / 2)
    nothing = torch.zeros(0, 3, 2, 2, requires_grad=True)
    empty = competing_mask_loss(nothing, torch.zeros(0, 2, 2), torch.zeros(0, dtype=torch.int64))
    assert empty.item() == 0 and empty.requires_grad


def test_masks_that_compete_are_cross_entropy():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4, 6, 3, 3, generator=generator)
    crops = (torch.rand(4, 3, 3, generator=generator) < 0.5).float()
    labels = torch.tensor([1, 5, 2, 2])
    wanted = (crops * labels[:, None, None]).long()
    expected = torch.nn.functional.cross_entropy(logits, wanted)
    torch.testing.assert_close(competing_mask_loss(logits, crops, labels), expected)


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


# ---- pairs of pixels ----------------------------------------------------------------------------


def naive_pair_loss(embeddings, ids, weights=None):
    """The formula as it stands in the paper, pair by pair, in Python's own numbers."""
    points = len(embeddings)
    loss = 0.0
    for p in range(points):
        for q in range(points):
            d = sum((a - b) ** 2 for a, b in zip(embeddings[p].tolist(), embeddings[q].tolist()))
            sigma = 2 / (1 + math.exp(d))
            w = 1 / points**2 if weights is None else float(weights[p, q])
            loss -= w * math.log(sigma if ids[p] == ids[q] else 1 - sigma)
    return loss


def test_pair_loss_by_hand():
    """Two points at d = ln 3, sigma = 1/2: log 2 for each of two ordered pairs, whether they should
    attract or repel; the pairs (p, p) give 0. So 2 log 2 / 4."""
    e = torch.tensor([[0.0], [math.log(3) ** 0.5]])
    half = math.log(2) / 2
    assert pair_loss(e, torch.tensor([0, 0])).item() == pytest.approx(half, abs=1e-5)
    assert pair_loss(e, torch.tensor([0, 1])).item() == pytest.approx(half, abs=1e-5)
    only = torch.tensor([[0.0, 1.0], [0.0, 0.0]])  # all weight on one ordered pair
    assert pair_loss(e, torch.tensor([0, 1]), only).item() == pytest.approx(2 * half, abs=1e-5)


def test_pair_loss_is_the_formula_where_the_formula_works():
    generator = torch.Generator().manual_seed(0)
    for points in (1, 2, 7):
        e = torch.randn(points, 3, generator=generator, dtype=torch.float64)
        ids = torch.randint(0, 3, (points,), generator=generator)
        weights = pair_weights(torch.randint(1, 50, (points,), generator=generator))
        for w in (None, weights):
            assert pair_loss(e, ids, w).item() == pytest.approx(
                naive_pair_loss(e, ids.tolist(), w), rel=2e-5, abs=1e-9)


@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e-4, 1.0, 10.0, 1e4, 1e15, 1e19, 3e38])
def test_pair_loss_is_finite_where_the_formula_is_not(scale):
    generator = torch.Generator().manual_seed(0)
    e = (scale * (2 * torch.rand(6, 4, generator=generator) - 1)).requires_grad_()
    loss = pair_loss(e, torch.tensor([0, 0, 1, 1, 2, 2]))
    loss.backward()
    assert loss.isfinite() and e.grad.isfinite().all() and loss.item() >= 0


def test_the_formula_itself_gives_nan_there():
    """Far pairs: exp overflows and log(0) follows; its gradient is no number."""
    e = torch.tensor([[0.0], [20.0]], requires_grad=True)
    sigma = 2 / (1 + torch.exp((e[:, None] - e).square().sum(-1)))
    naive = -sigma.log().mean()
    naive.backward()
    assert not naive.isfinite() and e.grad.isnan().any()
    ours = pair_loss(e.detach(), torch.tensor([0, 0]))
    assert ours.item() == pytest.approx(2 * (400 - math.log(2)) / 4, rel=1e-6)


def test_pair_loss_pulls_and_pushes():
    e = torch.tensor([[0.0, 0.0], [1.0, 0.0]], requires_grad=True)
    pair_loss(e, torch.tensor([3, 3])).backward()
    assert e.grad[1, 0] > 0 and e.grad[0, 0] == -e.grad[1, 0]  # descending brings them together
    e.grad = None
    pair_loss(e, torch.tensor([3, 4])).backward()
    assert e.grad[1, 0] < 0 and e.grad[:, 1].abs().max() == 0


def test_pair_loss_gradient_in_float64():
    e = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    ids = torch.tensor([0, 0, 1, 1, 2])
    assert torch.autograd.gradcheck(lambda x: pair_loss(x, ids), e.requires_grad_())


def test_pair_loss_of_nothing_is_0_with_a_gradient():
    e = torch.zeros(0, 8, requires_grad=True)
    loss = pair_loss(e, torch.zeros(0, dtype=torch.int64))
    loss.backward()
    assert loss.item() == 0 and e.grad.shape == (0, 8)
    assert pair_weights(torch.zeros(0)).shape == (0, 0)


def test_pair_weights_by_hand():
    """Sizes 1 and 3: products 1, 1/3, 1/3, 1/9 sum to 16/9."""
    weights = pair_weights(torch.tensor([1, 3]))
    expected = torch.tensor([[9.0, 3.0], [3.0, 1.0]]) / 16
    torch.testing.assert_close(weights, expected)
    with pytest.raises(ValueError, match="above 0"):
        pair_weights(torch.tensor([0, 3]))


def test_pair_loss_checks_its_shapes():
    with pytest.raises(ValueError, match=r"needs \(3,\) instance_ids"):
        pair_loss(torch.zeros(3, 2), torch.zeros(2))
    with pytest.raises(ValueError, match=r"and \(2, 2\)"):
        pair_loss(torch.zeros(3, 2), torch.zeros(3), torch.zeros(2, 2))
