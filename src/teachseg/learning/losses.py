"""Losses: numbers in, a scalar out.

Every loss of nothing is 0 and still has a gradient (of 0), so that an image without objects trains
like any other.

Letters
    A  anchors drawn        R  rois drawn        P  positives among them
    K  object classes       M  side of a mask, in bins

Lesson: 05 (anchors), 11, 12 (MNC's stages), 21 (rois and masks)
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def mean_or_zero(terms: Tensor) -> Tensor:
    """Mean of a loss's terms; 0, still on the graph, where there are none (mean() gives nan)."""
    return terms.sum() / max(terms.numel(), 1)


def objectness_loss(objectness_logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy of the drawn anchors.   [Faster R-CNN, Eq. 1, L_cls]

    Args:
        objectness_logits: (A,). labels: (A,) float, 1 object, 0 background.
    """
    terms = F.binary_cross_entropy_with_logits(objectness_logits, labels, reduction="none")
    return mean_or_zero(terms)


def delta_loss(deltas: Tensor, wanted: Tensor, count: int, beta: float = 1 / 9) -> Tensor:
    """Smooth L1 of the positives' deltas, shared out over all that were drawn.
    [Fast R-CNN, Eq. 3; Faster R-CNN, Eq. 1, L_reg]

    Args:
        deltas, wanted: (P, 4).
        count: how many anchors or rois were drawn, background included. Dividing by it, not by P,
            gives each positive the same weight whether it has few or many companions.
        beta: where the square becomes a line; 1 / 9 is the released code's sigma = 3.
    """
    return F.smooth_l1_loss(deltas, wanted, beta=beta, reduction="sum") / max(count, 1)


def class_loss(class_logits: Tensor, labels: Tensor) -> Tensor:
    """Mean softmax cross-entropy over K + 1 classes.   [Fast R-CNN, section 2.3, L_cls]

    Args:
        class_logits: (R, K+1). labels: (R,) int64 in 0..K.
    """
    return mean_or_zero(F.cross_entropy(class_logits, labels, reduction="none"))


def mask_loss(mask_logits: Tensor, crops: Tensor) -> Tensor:
    """Mean binary cross-entropy over the pixels of the k-th masks.  [Mask R-CNN, section 3, L_mask]

    Args:
        mask_logits: (P, M, M), each of its own class (see `layers.heads.pick_class`).
        crops: (P, M, M) in [0, 1].
    """
    return mean_or_zero(F.binary_cross_entropy_with_logits(mask_logits, crops, reduction="none"))


def total(losses: dict[str, Tensor]) -> Tensor:
    """The sum of the named losses: what is minimised.   [Mask R-CNN, L = L_cls + L_box + L_mask]"""
    return torch.stack(list(losses.values())).sum()
