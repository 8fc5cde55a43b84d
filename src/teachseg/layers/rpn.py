"""The region proposal network: at every cell, how likely an object, and how to move each anchor.

Letters
    N        images in the batch
    C, H, W  channels, height, width of a feature map
    A        anchors of one image, over all levels
    P        proposals of one image

Boxes are (x1, y1, x2, y2) in image pixels.

Lesson: 05 (the network), 06 (the proposals)
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from teachseg.geometry.boxes import clip_boxes, decode_boxes
from teachseg.geometry.nms import fast_batched_nms
from teachseg.structures import Proposals


class RPNHead(nn.Module):
    """A 3 x 3 convolution and two 1 x 1 ones: objectness and deltas.   [Faster R-CNN, section 3.1]

    The same head slides over every level.
    """

    def __init__(self, in_channels: int, anchors_per_cell: int):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, in_channels, 3, padding=1)
        self.objectness = nn.Conv2d(in_channels, anchors_per_cell, 1)
        self.deltas = nn.Conv2d(in_channels, 4 * anchors_per_cell, 1)
        for layer in (self.conv, self.objectness, self.deltas):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)

    def forward(self, levels: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Maps (N, C, H_l, W_l) -> objectness logits (N, A) and deltas (N, A, 4), as anchors are
        ordered: level by level, row by row, the anchors of a cell fastest."""
        logits, deltas = [], []
        for features in levels:
            x = F.relu(self.conv(features), inplace=True)
            logits.append(self.objectness(x).permute(0, 2, 3, 1).flatten(1))
            deltas.append(self.deltas(x).permute(0, 2, 3, 1).reshape(len(x), -1, 4))
        return torch.cat(logits, dim=1), torch.cat(deltas, dim=1)


def best_of_each_level(objectness_logits: Tensor, level_sizes: list[int], most: int) -> Tensor:
    """Indices of the likeliest anchors, at most `most` of each level.

    Args:
        objectness_logits: (A,). level_sizes: how many anchors each level has; they sum to A.
    """
    best, start = [], 0
    for logits in objectness_logits.split(level_sizes):
        best.append(logits.topk(min(most, len(logits))).indices + start)
        start += len(logits)
    return torch.cat(best)


def propose(
    anchors: Tensor,
    deltas: Tensor,
    objectness_logits: Tensor,
    level_sizes: list[int],
    image_size: tuple[int, int],
    pre_nms: int,
    post_nms: int,
    nms_iou: float,
    min_side: float = 1e-3,
) -> Proposals:
    """The RPN's raw answer for one image -> at most `post_nms` boxes, best first.

    Args:
        anchors, deltas: (A, 4). objectness_logits: (A,).
        level_sizes: anchors of each level; boxes of different levels do not suppress one another.
        image_size: (height, width) in pixels.
        pre_nms: how many boxes of each level are looked at.
        nms_iou: two boxes that overlap more are one.
        min_side: a box that is narrower or lower is dropped, pixels.
    """
    # 1. Of each level, look only at the likeliest anchors.
    best = best_of_each_level(objectness_logits, level_sizes, pre_nms)
    level = torch.repeat_interleave(
        torch.arange(len(level_sizes), device=best.device),
        torch.tensor([min(pre_nms, size) for size in level_sizes], device=best.device),
        output_size=len(best),
    )

    # 2. Move them to where the network wants them, inside the image.
    boxes = clip_boxes(decode_boxes(deltas[best], anchors[best]), image_size)
    scores = objectness_logits[best].sigmoid()

    # 3. Drop what has no area (or, in a training that blows up, is no number).
    good = ((boxes[:, 2:] - boxes[:, :2]) >= min_side).all(dim=1).nonzero().flatten()
    boxes, scores, level = boxes[good], scores[good], level[good]

    # 4. Of those on the same spot, keep the best.
    keep = fast_batched_nms(boxes, scores, level, nms_iou)[:post_nms]
    return Proposals(boxes[keep], scores[keep])
