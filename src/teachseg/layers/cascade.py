"""MNC's cascade: a mask for each box, the features that it lets through, and their class.

Letters
    N        images in the batch
    C, H, W  channels, height, width of a feature map
    R        boxes ("rois") of all images together
    K        object classes; class 0 is background
    S, M     side of the block read from a box, and of the mask made from it, in bins

What the heads are given is already read from the boxes (`layers.roi.roi_warp`); no boxes here but
in `CornersAsReleased`, where they are (x1, y1, x2, y2).

Lesson: 11 (mask stage, masked features), 12 (category stage), 13 (stage bridge)
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class MaskStage(nn.Module):
    """Stage 2's head: one hidden layer of 256, then a logit for each of M x M pixels.
    [MNC, section 3.2]

    It knows no class: whatever the box holds, it says which pixels belong to it.
    """

    def __init__(self, in_channels: int, size: int, hidden: int, mask_size: int):
        super().__init__()
        self.mask_size = mask_size
        self.hidden = nn.Linear(in_channels * size * size, hidden)
        self.masks = nn.Linear(hidden, mask_size * mask_size)
        nn.init.kaiming_normal_(self.hidden.weight, nonlinearity="relu")
        nn.init.normal_(self.masks.weight, std=0.001)  # the released code's
        for layer in (self.hidden, self.masks):
            nn.init.zeros_(layer.bias)

    def forward(self, roi_features: Tensor) -> Tensor:
        """(R, C, S, S) -> mask logits (R, M, M)"""
        x = F.relu(self.hidden(roi_features.flatten(1)))
        return self.masks(x).unflatten(1, (self.mask_size, self.mask_size))


def masked_features(roi_features: Tensor, mask_probs: Tensor) -> Tensor:
    """F_mask = F_roi * M: where the mask is 0 nothing is left.           [MNC, section 3.3]

    Args:
        roi_features: (R, C, S, S).
        mask_probs: (R, M, M) in [0, 1]; resized to S x S by linear interpolation.

    Returns:
        (R, C, S, S), with gradients to both.
    """
    size = roi_features.shape[-2:]
    resized = F.interpolate(mask_probs[:, None], size=size, mode="bilinear", align_corners=False)
    return roi_features * resized.to(roi_features.dtype)


class Categories(NamedTuple):
    """What the category stage says of each box."""

    class_logits: Tensor  # (R, K+1): is the box on an object of this class?
    seg_class_logits: Tensor  # (R, K+1): and the mask, too?
    deltas: Tensor  # (R, K+1, 4): how each class would move the box


class CategoryStage(nn.Module):
    """Stage 3's head: two pathways of two layers, one sees the masked features, one the whole box.
    [MNC, section 3.3]

    The second pathway is there because a mask may be almost empty. What both say is joined, mask
    first, and three linear layers read it.

    Args:
        size: S; both pathways begin with the largest of 2 x 2 bins, so they see S/2 x S/2.
    """

    def __init__(self, in_channels: int, size: int, hidden: int, num_classes: int):
        super().__init__()
        inputs = in_channels * (size // 2) ** 2
        self.fc6_mask, self.fc7_mask = nn.Linear(inputs, hidden), nn.Linear(hidden, hidden)
        self.fc6, self.fc7 = nn.Linear(inputs, hidden), nn.Linear(hidden, hidden)
        self.classes = nn.Linear(2 * hidden, num_classes + 1)
        self.seg_classes = nn.Linear(2 * hidden, num_classes + 1)
        self.deltas = nn.Linear(2 * hidden, 4 * (num_classes + 1))
        for layer in (self.fc6_mask, self.fc7_mask, self.fc6, self.fc7):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
        for layer, std in ((self.classes, 0.01), (self.seg_classes, 0.01), (self.deltas, 0.001)):
            nn.init.normal_(layer.weight, std=std)
            nn.init.zeros_(layer.bias)

    def forward(self, roi_features: Tensor, masked: Tensor) -> Categories:
        """(R, C, S, S) of the whole box, and of what its mask let through -> Categories."""
        x = F.max_pool2d(masked, 2).flatten(1)
        mask_path = F.relu(self.fc7_mask(F.relu(self.fc6_mask(x))))
        x = F.max_pool2d(roi_features, 2).flatten(1)
        box_path = F.relu(self.fc7(F.relu(self.fc6(x))))
        x = torch.cat([mask_path, box_path], dim=1)
        deltas = self.deltas(x)
        return Categories(self.classes(x), self.seg_classes(x), deltas.unflatten(1, (-1, 4)))


def likeliest_class(seg_class_logits: Tensor, background: bool = False) -> Tensor:
    """The class whose deltas move a box on to the next stages: the best of the objects'.

    Args:
        seg_class_logits: (R, K+1).
        background: let class 0 win as well, as the released code does when it tests. Its deltas
            were never trained.

    Returns:
        (R,) int64 in 1..K, or in 0..K.
    """
    if background:
        return seg_class_logits.argmax(dim=1)
    return seg_class_logits[:, 1:].argmax(dim=1) + 1


class CornersAsReleased(torch.autograd.Function):
    """Centers and sizes -> corners; the gradient passed back as the released stage bridge does.

    Forward: (R, 4) as (x, y, w, h) about the center -> (R, 4) xyxy. Backward: what comes for
    (x1, y1, x2, y2) is handed on as if it were for (x, y, w, h). The chain rule would hand on
    x1 + x2 for x and (x2 - x1) / 2 for w.
    """

    @staticmethod
    def forward(ctx, center_size: Tensor) -> Tensor:
        center, half = center_size[:, :2], center_size[:, 2:] / 2
        return torch.cat([center - half, center + half], dim=1)

    @staticmethod
    def backward(ctx, slope: Tensor) -> Tensor:
        return slope
