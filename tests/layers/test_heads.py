"""The heads: torchvision's numbers with torchvision's weights, and boxes that are not there."""

import pytest
import torch
from torch import nn
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor

from teachseg.layers.heads import BoxHead, MaskHead, MLPMaskHead, pick_class


def test_box_head_equals_torchvision():
    torch.manual_seed(0)
    ours = BoxHead(in_channels=4, size=3, hidden=16, num_classes=5)
    mlp, predictor = TwoMLPHead(4 * 3 * 3, 16), FastRCNNPredictor(16, 6)
    ours.fc6.load_state_dict(mlp.fc6.state_dict())
    ours.fc7.load_state_dict(mlp.fc7.state_dict())
    ours.classes.load_state_dict(predictor.cls_score.state_dict())
    ours.deltas.load_state_dict(predictor.bbox_pred.state_dict())
    roi_features = torch.randn(7, 4, 3, 3)
    class_logits, deltas = ours(roi_features)
    assert class_logits.shape == (7, 6) and deltas.shape == (7, 6, 4)
    their_logits, their_deltas = predictor(mlp(roi_features))
    torch.testing.assert_close(class_logits, their_logits)
    torch.testing.assert_close(deltas, their_deltas.view(7, 6, 4))


def test_mask_head_equals_torchvision():
    torch.manual_seed(1)
    ours = MaskHead(in_channels=4, channels=6, num_convs=2, num_masks=3)
    body, predictor = MaskRCNNHeads(4, (6, 6), dilation=1), MaskRCNNPredictor(6, 6, 3)
    for conv, block in zip(ours.convs, body):
        conv.load_state_dict(block[0].state_dict())
    ours.upsample.load_state_dict(predictor.conv5_mask.state_dict())
    ours.masks.load_state_dict(predictor.mask_fcn_logits.state_dict())
    roi_features = torch.randn(5, 4, 14, 14)
    mask_logits = ours(roi_features)
    assert mask_logits.shape == (5, 3, 28, 28)
    torch.testing.assert_close(mask_logits, predictor(body(roi_features)))


def test_sizes_of_the_papers_heads():
    # 256 * 7 * 7 -> 1024 -> 1024 -> 91 and 364, each with its biases: 13,895,680 + 466,375
    box_head = BoxHead(256, 7, 1024, 90)
    expected = (12544 + 1) * 1024 + (1024 + 1) * 1024 + (1024 + 1) * (91 + 364)
    assert sum(p.numel() for p in box_head.parameters()) == expected
    # four 3 x 3 of 256, a 2 x 2 of 256, 91 masks: 2,360,320 + 285,787
    mask_head = MaskHead(256, 256, 4, 91)
    assert sum(p.numel() for p in mask_head.parameters()) == 2_360_320 + 285_787


def test_a_mask_head_of_full_layers():
    """The paper's larger one: 256 * 14 * 14 -> 1024 -> 1024 -> 80 * 28^2."""
    head = MLPMaskHead(3, 2, 5, 4)
    assert head(torch.rand(6, 3, 2, 2)).shape == (6, 4, 4, 4)
    expected = (3 * 4 + 1) * 5 + (5 + 1) * 5 + (5 + 1) * 4 * 16
    assert sum(p.numel() for p in head.parameters()) == expected
    # a mask's pixels lie row by row: bias i is pixel i of mask 0, then mask 1 begins
    nn.init.zeros_(head.masks.weight)
    head.masks.bias.data = torch.arange(64.0)
    said = head(torch.rand(1, 3, 2, 2))[0]
    assert said[0, 1, 2] == 6 and said[1, 0, 0] == 16
    assert head(torch.zeros(0, 3, 2, 2)).shape == (0, 4, 4, 4)


@pytest.mark.parametrize("num_convs", [0, 1])
def test_fewer_convolutions(num_convs):
    assert MaskHead(4, 4, num_convs, 2)(torch.rand(1, 4, 7, 7)).shape == (1, 2, 14, 14)


def test_no_boxes():
    box_head, mask_head = BoxHead(4, 3, 16, 5), MaskHead(4, 6, 2, 3)
    class_logits, deltas = box_head(torch.zeros(0, 4, 3, 3))
    assert class_logits.shape == (0, 6) and deltas.shape == (0, 6, 4)
    mask_logits = mask_head(torch.zeros(0, 4, 14, 14))
    assert mask_logits.shape == (0, 3, 28, 28)
    # and still on the graph: the loss of no boxes has a gradient
    (class_logits.sum() + deltas.sum() + mask_logits.sum()).backward()
    for p in (*box_head.parameters(), *mask_head.parameters()):
        assert p.grad is not None and not p.grad.any()


def test_a_head_does_not_change_its_features():
    roi_features = torch.randn(2, 4, 14, 14)
    before = roi_features.clone()
    MaskHead(4, 6, 2, 3)(roi_features)
    BoxHead(4, 14, 8, 2)(roi_features)
    assert torch.equal(roi_features, before)


def test_a_head_without_convolutions_does_not_either():
    roi_features = torch.randn(2, 4, 7, 7)
    before = roi_features.clone()
    MaskHead(4, 4, 0, 3)(roi_features)
    assert torch.equal(roi_features, before)


def test_the_mask_of_the_own_class():
    # channel k of box r holds 10 r + k
    mask_logits = (torch.arange(3.0)[:, None] * 10 + torch.arange(4.0))[:, :, None, None]
    mask_logits = mask_logits.expand(3, 4, 2, 2)
    picked = pick_class(mask_logits, torch.tensor([2, 0, 3]))
    assert picked.shape == (3, 2, 2)
    assert picked[:, 0, 0].tolist() == [2, 10, 23]


def test_one_mask_for_all_classes():
    mask_logits = torch.rand(3, 1, 2, 2)
    assert torch.equal(pick_class(mask_logits, torch.tensor([5, 1, 2])), mask_logits[:, 0])


def test_the_mask_of_no_box():
    no_labels = torch.zeros(0, dtype=torch.int64)
    assert pick_class(torch.zeros(0, 4, 2, 2), no_labels).shape == (0, 2, 2)
    assert pick_class(torch.zeros(0, 1, 2, 2), no_labels).shape == (0, 2, 2)


def test_other_classes_get_no_gradient():
    mask_logits = nn.Parameter(torch.zeros(2, 3, 2, 2))
    pick_class(mask_logits, torch.tensor([1, 2])).sum().backward()
    assert mask_logits.grad[0, 1].sum() == 4 and mask_logits.grad[1, 2].sum() == 4
    assert mask_logits.grad.sum() == 8
