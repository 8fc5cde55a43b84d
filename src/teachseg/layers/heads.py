"""The heads of Mask R-CNN: what is in a box, how to move it, and which of its pixels belong to it.

Letters
    R     boxes ("rois") of all images together
    C     channels of a feature map
    K     object classes; class 0 is background
    S, M  side of the block read from a box, and of the mask made from it, in bins

Lesson: 21
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class BoxHead(nn.Module):
    """Two fully connected layers, then class logits and one set of deltas a class.
    [Mask R-CNN, Fig. 4 right, upper branch]
    """

    def __init__(self, in_channels: int, size: int, hidden: int, num_classes: int):
        super().__init__()
        self.fc6 = nn.Linear(in_channels * size * size, hidden)
        self.fc7 = nn.Linear(hidden, hidden)
        self.classes = nn.Linear(hidden, num_classes + 1)
        self.deltas = nn.Linear(hidden, 4 * (num_classes + 1))

    def forward(self, roi_features: Tensor) -> tuple[Tensor, Tensor]:
        """(R, C, S, S) -> class logits (R, K+1), deltas (R, K+1, 4)"""
        x = F.relu(self.fc6(roi_features.flatten(1)))
        x = F.relu(self.fc7(x))
        class_logits = self.classes(x)
        return class_logits, self.deltas(x).view(*class_logits.shape, 4)


class PooledBoxHead(nn.Module):
    """Class logits and deltas from the mean over the box: what the C4 form puts behind ResNet's
    last layers.   [Mask R-CNN, Fig. 4 left, upper branch]
    """

    def __init__(self, in_channels: int, num_classes: int):
        super().__init__()
        self.classes = nn.Linear(in_channels, num_classes + 1)
        self.deltas = nn.Linear(in_channels, 4 * (num_classes + 1))

    def forward(self, roi_features: Tensor) -> tuple[Tensor, Tensor]:
        """(R, C, S, S) -> class logits (R, K+1), deltas (R, K+1, 4)"""
        x = roi_features.mean(dim=(2, 3))
        class_logits = self.classes(x)
        return class_logits, self.deltas(x).view(*class_logits.shape, 4)


class MaskHead(nn.Module):
    """Convolutions, one transposed convolution that doubles the side, one mask a class.
    [Mask R-CNN, Fig. 4 right, lower branch: four 3 x 3, one 2 x 2 transposed, all with ReLU; left:
    no 3 x 3]
    """

    def __init__(self, in_channels: int, channels: int, num_convs: int, num_masks: int):
        super().__init__()
        widths = [in_channels] + [channels] * num_convs
        self.convs = nn.ModuleList(
            nn.Conv2d(a, b, 3, padding=1) for a, b in zip(widths[:-1], widths[1:])
        )
        self.upsample = nn.ConvTranspose2d(widths[-1], channels, 2, stride=2)
        self.masks = nn.Conv2d(channels, num_masks, 1)
        for layer in (*self.convs, self.upsample, self.masks):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(layer.bias)

    def forward(self, roi_features: Tensor) -> Tensor:
        """(R, C, S, S) -> mask logits (R, num_masks, 2S, 2S)"""
        x = roi_features
        for conv in self.convs:
            x = F.relu(conv(x), inplace=True)
        return self.masks(F.relu(self.upsample(x), inplace=True))


class MLPMaskHead(nn.Module):
    """Two fully connected layers, then all pixels of all masks at once: what the convolutions are
    compared with.   [Mask R-CNN, Table 2e: 1024, 1024, 80 * 28^2]

    A pixel of the mask may depend on all of the box, and where it lies is not kept by the layers
    but must be learned.

    Args:
        size: S, bins a side of what is read from a box; the mask has 2S.
    """

    def __init__(self, in_channels: int, size: int, hidden: int, num_masks: int):
        super().__init__()
        self.side = 2 * size
        self.fc1 = nn.Linear(in_channels * size * size, hidden)
        self.fc2 = nn.Linear(hidden, hidden)
        self.masks = nn.Linear(hidden, num_masks * self.side**2)

    def forward(self, roi_features: Tensor) -> Tensor:
        """(R, C, S, S) -> mask logits (R, num_masks, 2S, 2S)"""
        x = F.relu(self.fc1(roi_features.flatten(1)))
        x = F.relu(self.fc2(x))
        return self.masks(x).unflatten(1, (-1, self.side, self.side))


def pick_class(mask_logits: Tensor, labels: Tensor) -> Tensor:
    """The mask of each box's own class: the k-th, and no other.   [Mask R-CNN, section 3]

    Args:
        mask_logits: (R, K+1, M, M), or (R, 1, M, M) where one mask serves every class.
        labels: (R,) int64 in 0..K.

    Returns:
        (R, M, M)
    """
    if mask_logits.shape[1] == 1:
        return mask_logits[:, 0]
    return mask_logits[torch.arange(len(labels), device=labels.device), labels]
