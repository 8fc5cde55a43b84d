"""The region proposal network: at every cell, how likely an object, and how to move each anchor.

Letters
    N        images in the batch
    C, H, W  channels, height, width of a feature map
    A        anchors of one image, over all levels
    P        proposals of one image

Boxes are (x1, y1, x2, y2) in image pixels.

Lesson: 05 (the network), 06 (the proposals), 13 (the gradient to the boxes)
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from teachseg.geometry.boxes import clip_boxes, constant, decode_boxes
from teachseg.geometry.nms import fast_batched_nms
from teachseg.structures import Proposals


class RPNHead(nn.Module):
    """A 3 x 3 convolution and two 1 x 1 ones: objectness and deltas.   [Faster R-CNN, section 3.1]

    The same head slides over every level.

    Args:
        scores_per_anchor: 1, a logit; or 2, one for background and one for an object, of which a
            softmax is taken, as in Faster R-CNN and MNC. A softmax over two scores is the sigmoid
            of their difference, so the logit given is object minus background, and all that reads
            it is the same for both.
    """

    def __init__(self, in_channels: int, anchors_per_cell: int, scores_per_anchor: int = 1):
        super().__init__()
        if scores_per_anchor not in (1, 2):
            raise ValueError(f"scores_per_anchor must be 1 (a logit) or 2 (background and object), "
                             f"got {scores_per_anchor}.")
        self.scores_per_anchor = scores_per_anchor
        self.conv = nn.Conv2d(in_channels, in_channels, 3, padding=1)
        self.objectness = nn.Conv2d(in_channels, scores_per_anchor * anchors_per_cell, 1)
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
            scores = self.objectness(x)
            if self.scores_per_anchor == 2:  # all anchors' background scores, then their objects'
                background, an_object = scores.chunk(2, dim=1)
                scores = an_object - background
            logits.append(scores.permute(0, 2, 3, 1).flatten(1))
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


def proposal_anchors(
    anchors: Tensor,
    deltas: Tensor,
    objectness_logits: Tensor,
    level_sizes: list[int],
    image_size: tuple[int, int],
    pre_nms: int,
    post_nms: int,
    nms_iou: float,
    min_side: float = 1e-3,
) -> Tensor:
    """Which anchors become proposals: (P,) int64, best first. See `propose` for the arguments."""
    # 1. Of each level, look only at the likeliest anchors.
    best = best_of_each_level(objectness_logits, level_sizes, pre_nms)
    level = torch.cat([best.new_full((min(pre_nms, size),), number)
                       for number, size in enumerate(level_sizes)])

    # 2. Move them to where the network wants them, inside the image.
    boxes = clip_boxes(decode_boxes(deltas[best], anchors[best]), image_size)
    scores = objectness_logits[best].sigmoid()

    # 3. Drop what has no area (or, in a training that blows up, is no number).
    good = ((boxes[:, 2:] - boxes[:, :2]) >= min_side).all(dim=1).nonzero().flatten()
    best, boxes, scores, level = best[good], boxes[good], scores[good], level[good]

    # 4. Of those on the same spot, keep the best.
    return best[fast_batched_nms(boxes, scores, level, nms_iou)[:post_nms]]


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
    kept = proposal_anchors(anchors, deltas, objectness_logits, level_sizes, image_size, pre_nms,
                            post_nms, nms_iou, min_side)
    boxes = clip_boxes(decode_boxes(deltas[kept], anchors[kept]), image_size)
    return Proposals(boxes, objectness_logits[kept].sigmoid())


class LimitedGradient(torch.autograd.Function):
    """Deltas as they are; on the way back, their gradient cut off as in MNC's released code.

    Forward: deltas (P, 4), counts (P,) bool, limit -> deltas. Backward: each component of the
    gradient held within +-limit, and 0 where `counts` is False.
    """

    @staticmethod
    def forward(ctx, deltas: Tensor, counts: Tensor, limit: float) -> Tensor:
        ctx.save_for_backward(counts)
        ctx.limit = limit
        return deltas.view_as(deltas)

    @staticmethod
    def backward(ctx, slope: Tensor) -> tuple[Tensor, None, None]:
        (counts,) = ctx.saved_tensors
        return slope.clamp(-ctx.limit, ctx.limit) * counts[:, None], None, None


def inside(boxes: Tensor, image_size: tuple[int, int]) -> Tensor:
    """(N, 4) boxes -> (N,) bool: those that nowhere reach out of an image of (height, width)."""
    height, width = image_size
    far = constant((width, height), boxes)
    return (boxes[:, :2] >= 0).all(dim=1) & (boxes[:, 2:] <= far).all(dim=1)
