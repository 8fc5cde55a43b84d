"""A peer to measure against: a Mask R-CNN put together from torchvision's own parts alone.

The strongest small one that we know how to build from them: strides 4, 8, 16, group normalisation,
a pyramid of 64 channels, few rois an image. It is trained by the same engine on the same scenes.
"""

import torch
from torch import Tensor, nn
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.faster_rcnn import TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.resnet import BasicBlock, ResNet

from teachseg.structures import Detections, Targets

CHANNELS = 64


def make_peer(num_classes: int) -> MaskRCNN:
    """About 2.4 million parameters, for images of 128 x 128, untrained."""
    body = ResNet(BasicBlock, [1, 1, 1, 1], norm_layer=lambda c: nn.GroupNorm(c // 16, c))
    layers = {"layer1": "0", "layer2": "1", "layer3": "2"}
    backbone = BackboneWithFPN(body, layers, [64, 128, 256], CHANNELS)
    anchors = AnchorGenerator(((16,), (32,), (64,), (96,)), ((0.5, 1.0, 2.0),) * 4)
    return MaskRCNN(
        backbone, num_classes=None, min_size=128, max_size=128,
        image_mean=[0.5] * 3, image_std=[0.25] * 3, rpn_anchor_generator=anchors,
        rpn_pre_nms_top_n_train=200, rpn_post_nms_top_n_train=100, rpn_pre_nms_top_n_test=100,
        rpn_post_nms_top_n_test=50, rpn_batch_size_per_image=128, box_batch_size_per_image=32,
        box_head=TwoMLPHead(CHANNELS * 7 * 7, 256),
        box_predictor=_BoxPredictor(256, num_classes + 1),
        mask_head=MaskRCNNHeads(CHANNELS, (CHANNELS,) * 4, 1),
        mask_predictor=MaskRCNNPredictor(CHANNELS, CHANNELS, num_classes + 1),
    )


class _BoxPredictor(nn.Module):
    """Like torchvision's FastRCNNPredictor, which insists on knowing the number of classes."""

    def __init__(self, in_channels: int, num_classes: int):
        super().__init__()
        self.cls_score = nn.Linear(in_channels, num_classes)
        self.bbox_pred = nn.Linear(in_channels, 4 * num_classes)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.cls_score(x), self.bbox_pred(x)


def peer_losses(
    model: MaskRCNN, images: list[Tensor], targets: list[Targets], generator: torch.Generator
) -> dict[str, Tensor]:
    """torchvision's five losses, in the form that `teachseg.train.fit` asks for."""
    del generator  # torchvision draws from the global one
    return model(images, [
        {"boxes": t.boxes, "labels": t.labels, "masks": t.masks.byte()} for t in targets
    ])


@torch.inference_mode()
def peer_predict(model: MaskRCNN, images: list[Tensor]) -> list[Detections]:
    """torchvision's answer as Detections."""
    return [
        Detections(said["boxes"], said["labels"], said["scores"], said["masks"][:, 0] >= 0.5)
        for said in model(images)
    ]
