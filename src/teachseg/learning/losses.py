"""Losses: numbers in, a scalar out.

Every loss of nothing is 0 and still has a gradient (of 0), so that an image without objects trains
like any other.

Letters
    A  anchors drawn        R  rois drawn        P  positives among them
    K  object classes       M  side of a mask, in bins
    S  points sampled       D  dimension of an embedding

Lesson: 05 (anchors), 11, 12 (MNC's stages), 21 (rois and masks), 30 (pairs of pixels)
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from teachseg.checks import reads_values
from teachseg.geometry.similarity import squared_distance

CLOSEST = 1e-6  # squared distance at which two objects' pixels repel each other most strongly
Count = float | Tensor | None
PART = 40.0     # squared distance from which on they do not repel each other any more: exp(-40)


def mean_or_zero(terms: Tensor, count: Count = None) -> Tensor:
    """Mean of a loss's terms; 0, still on the graph, where there are none (mean() gives nan).

    Args:
        count: what to divide by, if not by how many there are: of several processes that train
            together, `processes.average_count`.
    """
    return terms.sum() / (max(terms.numel(), 1) if count is None else count)


def objectness_loss(objectness_logits: Tensor, labels: Tensor, count: Count = None) -> Tensor:
    """Mean cross-entropy of the drawn anchors.   [Faster R-CNN, Eq. 1, L_cls]

    Args:
        objectness_logits: (A,). labels: (A,) float, 1 object, 0 background.
        count: see `mean_or_zero`.
    """
    terms = F.binary_cross_entropy_with_logits(objectness_logits, labels, reduction="none")
    return mean_or_zero(terms, count)


def delta_loss(
    deltas: Tensor, wanted: Tensor, count: int | float | Tensor, beta: float = 1 / 9
) -> Tensor:
    """Smooth L1 of the positives' deltas, shared out over all that were drawn.
    [Fast R-CNN, Eq. 3; Faster R-CNN, Eq. 1, L_reg]

    Args:
        deltas, wanted: (P, 4).
        count: how many anchors or rois were drawn, background included. Dividing by it, not by P,
            gives each positive the same weight whether it has few or many companions.
        beta: where the square becomes a line; 1 / 9 is the released code's sigma = 3.
    """
    total = F.smooth_l1_loss(deltas, wanted, beta=beta, reduction="sum")
    return total / (count if isinstance(count, Tensor) else max(count, 1))


def class_loss(class_logits: Tensor, labels: Tensor, count: Count = None) -> Tensor:
    """Mean softmax cross-entropy over K + 1 classes.   [Fast R-CNN, section 2.3, L_cls]

    Args:
        class_logits: (R, K+1). labels: (R,) int64 in 0..K. count: see `mean_or_zero`.
    """
    return mean_or_zero(F.cross_entropy(class_logits, labels, reduction="none"), count)


def mask_loss(mask_logits: Tensor, crops: Tensor, count: Count = None) -> Tensor:
    """Mean binary cross-entropy over the pixels of the k-th masks.  [Mask R-CNN, section 3, L_mask]

    Args:
        mask_logits: (P, M, M), each of its own class (see `layers.heads.pick_class`).
        crops: (P, M, M) in [0, 1]. count: see `mean_or_zero`; of pixels.
    """
    terms = F.binary_cross_entropy_with_logits(mask_logits, crops, reduction="none")
    return mean_or_zero(terms, count)


def competing_mask_loss(
    mask_logits: Tensor, crops: Tensor, labels: Tensor, count: Count = None
) -> Tensor:
    """Mean cross-entropy of a softmax over the classes of each pixel: what Mask R-CNN did away with
    in favour of `mask_loss`.   [Mask R-CNN, section 3 and Table 2b, "softmax"]

    A pixel of the object is of the box's class, any other is background; where the object covers a
    part of the pixel, both are asked for by their shares.

    Args:
        mask_logits: (P, K+1, M, M). crops: (P, M, M) in [0, 1]. labels: (P,) int64 in 1..K.
        count: see `mean_or_zero`; of pixels.
    """
    log_probs = mask_logits.log_softmax(dim=1)
    own = log_probs[torch.arange(len(labels), device=labels.device), labels]
    return mean_or_zero(-(crops * own + (1 - crops) * log_probs[:, 0]), count)


def pair_weights(instance_sizes: Tensor) -> Tensor:
    """w_pq: inversely proportional to the sizes of both pixels' instances, summing to 1.
    [deep metric learning paper, Eq. 2, as others quote it]

    So a small object counts as much as a large one, however many points are taken of each.

    Args:
        instance_sizes: (S,) above 0, how large each point's instance is: its pixels in the image,
            or its points among the S.

    Returns:
        (S, S) float; empty for no points.
    """
    some = len(instance_sizes) and reads_values(instance_sizes)
    if some and not bool((instance_sizes > 0).all()):
        raise ValueError("instance_sizes must be above 0: each point belongs to an instance that "
                         f"holds at least itself. The smallest is {instance_sizes.min().item()}.")
    share = 1 / instance_sizes.to(torch.promote_types(instance_sizes.dtype, torch.float32))
    weights = share[:, None] * share
    return weights / weights.sum().clamp(min=torch.finfo(weights.dtype).tiny)


def pair_loss(embeddings: Tensor, instance_ids: Tensor, weights: Tensor | None = None) -> Tensor:
    """Pixels of one object attract each other, those of different ones repel each other.

        L_e = - sum over p, q of w_pq [ same log sigma + different log(1 - sigma) ]
        sigma(p, q) = 2 / (1 + exp(d)),  d = |e_p - e_q|^2   [deep metric learning paper, Eq. 1, 2]

    Computed as formulas of d that neither overflow nor take a logarithm of 0:

        -log sigma       = softplus(d) - log 2
        -log(1 - sigma)  = log(1 + 2 / (exp(d) - 1))

    The second is infinite for two objects' pixels with equal embeddings. There d counts as
    `CLOSEST`, which is added to every d of a pair that should part.

    Args:
        embeddings: (S, D). instance_ids: (S,) whole numbers, equal within an instance; background
            may be one more instance, or left out of the S.
        weights: (S, S), summing to 1, over all ordered pairs (p = q too, whose loss is 0); None:
            1 / S^2 each.

    Returns:
        a scalar, at least 0; finite in value and gradient for every finite input, 0 for no points.
    """
    points = len(embeddings)
    if instance_ids.shape != (points,) or (
        weights is not None and tuple(weights.shape) != (points, points)
    ):
        got = None if weights is None else tuple(weights.shape)
        raise ValueError(f"pair_loss of {points} embeddings needs ({points},) instance_ids and "
                         f"({points}, {points}) weights or None, got {tuple(instance_ids.shape)} "
                         f"and {got}.")
    distance = squared_distance(embeddings[:, None], embeddings)  # (S, S)
    same = instance_ids[:, None] == instance_ids
    attract = F.softplus(distance) - math.log(2)
    apart = (distance + CLOSEST).clamp(max=PART)
    terms = torch.where(same, attract, torch.log1p(2 / torch.expm1(apart)))
    if weights is None:
        return terms.sum() / max(points * points, 1)
    return (weights.to(terms.dtype) * terms).sum()


def total(losses: dict[str, Tensor]) -> Tensor:
    """The sum of the named losses: what is minimised.   [Mask R-CNN, L = L_cls + L_box + L_mask]"""
    return torch.stack(list(losses.values())).sum()
