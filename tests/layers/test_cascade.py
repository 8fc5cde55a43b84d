"""The cascade's heads: shapes and sizes of the paper, products by hand, gradients, no boxes."""

import pytest
import torch
from torch import nn

from teachseg.layers.cascade import (
    CategoryStage,
    CornersAsReleased,
    MaskStage,
    likeliest_class,
    masked_features,
)


def num_parameters(module):
    return sum(p.numel() for p in module.parameters())


# ------------------------------------------------------------------------- mask stage


@pytest.mark.parametrize("mask_size, parameters", [(21, 25_803_705), (28, 25_891_856)])
def test_sizes_of_the_papers_mask_stage(mask_size, parameters):
    # 512 * 14 * 14 = 100,352 -> 256 -> m * m, each with its biases
    with torch.device("meta"):
        head = MaskStage(512, 14, 256, mask_size)
        logits = head(torch.zeros(2, 512, 14, 14))
    assert num_parameters(head) == parameters
    assert (100_352 + 1) * 256 + (256 + 1) * mask_size**2 == parameters
    assert logits.shape == (2, mask_size, mask_size)


def test_mask_stage_reads_each_box_alone_and_row_by_row():
    torch.manual_seed(0)
    head = MaskStage(3, 4, 8, 5)
    roi_features = torch.rand(6, 3, 4, 4)
    together = head(roi_features)
    torch.testing.assert_close(together[4:5], head(roi_features[4:5]))
    nn.init.zeros_(head.masks.weight)
    head.masks.bias.data = torch.arange(25.0)  # output 5 * row + column
    assert head(roi_features)[2].tolist() == torch.arange(25.0).view(5, 5).tolist()


# ------------------------------------------------------------------------- masked features


def test_masked_features_by_hand():
    roi_features = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]], [[-1.0, 5.0], [0.0, 8.0]]]])
    mask = torch.tensor([[[0.0, 0.5], [1.0, 0.25]]])
    expected = torch.tensor([[[[0.0, 1.0], [3.0, 1.0]], [[0.0, 2.5], [0.0, 2.0]]]])
    torch.testing.assert_close(masked_features(roi_features, mask), expected)


def test_a_mask_of_twice_the_side_is_averaged_over_two_by_two():
    """28 -> 14: each of the 14's middles lies between four of the 28's, so it is their mean."""
    mask = torch.rand(3, 28, 28)
    means = mask.view(3, 14, 2, 14, 2).mean(dim=(2, 4))
    resized = masked_features(torch.ones(3, 1, 14, 14), mask)[:, 0]
    torch.testing.assert_close(resized, means)


@pytest.mark.parametrize("size", [21, 28])
def test_full_and_empty_masks(size):
    roi_features = torch.rand(2, 3, 14, 14)
    whole = masked_features(roi_features, torch.ones(2, size, size))
    torch.testing.assert_close(whole, roi_features)
    assert not masked_features(roi_features, torch.zeros(2, size, size)).any()


def test_masked_features_keep_their_kind():
    roi_features = torch.rand(2, 3, 4, 4, dtype=torch.bfloat16)
    assert masked_features(roi_features, torch.rand(2, 6, 6)).dtype == torch.bfloat16


def test_gradients_reach_features_and_mask():
    torch.manual_seed(0)
    roi_features = torch.rand(2, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    mask = torch.rand(2, 7, 7, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(masked_features, (roi_features, mask))


# ------------------------------------------------------------------------- category stage


def test_sizes_of_the_papers_category_stage():
    # two paths, each 512 * 7 * 7 = 25,088 -> 4096 -> 4096; 8192 -> 21, 21 and 84
    with torch.device("meta"):
        head = CategoryStage(512, 14, 4096, 20)
        roi_features = torch.zeros(3, 512, 14, 14)
        said = head(roi_features, roi_features)
    paths = 2 * ((25_088 + 1) * 4096 + (4096 + 1) * 4096)
    heads = (8192 + 1) * (21 + 21 + 84)
    assert (paths, heads) == (239_091_712, 1_032_318)
    assert num_parameters(head) == paths + heads
    assert said.class_logits.shape == said.seg_class_logits.shape == (3, 21)
    assert said.deltas.shape == (3, 21, 4)


def test_two_pathways_joined_mask_first():
    """Each path sees its own features and no others, and the mask's comes first."""
    head = CategoryStage(1, 2, 1, 1)  # one value a box after pooling, one hidden unit a path
    for layer in (head.fc6_mask, head.fc7_mask, head.fc6, head.fc7):
        nn.init.ones_(layer.weight)
    head.classes.weight.data = torch.tensor([[1.0, 0.0], [0.0, 1.0]])  # (mask path, box path)
    head.seg_classes.weight.data = torch.tensor([[0.0, 10.0], [0.0, 0.0]])
    head.deltas.weight.data = torch.arange(16.0).view(8, 2)
    whole = torch.tensor([[[[1.0, 7.0], [3.0, 2.0]]]])   # its largest is 7
    masked = torch.tensor([[[[0.0, 0.0], [3.0, 2.0]]]])  # its largest is 3
    said = head(whole, masked)
    assert said.class_logits.tolist() == [[3.0, 7.0]]
    assert said.seg_class_logits.tolist() == [[70.0, 0.0]]
    # row j of the weights is (2 j, 2 j + 1): 3 * 2 j + 7 * (2 j + 1) = 20 j + 7, four a class
    assert said.deltas.tolist() == [[[7.0, 27, 47, 67], [87, 107, 127, 147]]]


def test_an_empty_mask_leaves_the_box_pathway_to_see():
    torch.manual_seed(0)
    head = CategoryStage(4, 4, 8, 3)
    one, other = torch.rand(2, 1, 4, 4, 4)
    nothing = torch.zeros(1, 4, 4, 4)
    assert not torch.equal(head(one, nothing).class_logits, head(other, nothing).class_logits)


def test_likeliest_class_passes_over_background():
    logits = torch.tensor([[9.0, 1.0, 2.0], [0.0, 5.0, -1.0], [3.0, -2.0, -3.0]])
    assert likeliest_class(logits).tolist() == [2, 1, 1]
    assert likeliest_class(logits, background=True).tolist() == [0, 1, 0]


# ------------------------------------------------------------------------- the released bridge


def test_corners_by_hand_and_their_released_gradient():
    center_size = torch.tensor([[10.0, 20.0, 4.0, 6.0]], requires_grad=True)
    corners = CornersAsReleased.apply(center_size)
    assert corners.tolist() == [[8.0, 17.0, 12.0, 23.0]]
    corners.backward(torch.tensor([[1.0, 2.0, 3.0, 4.0]]))
    # handed on as it came; the chain rule gives (1 + 3, 2 + 4, (3 - 1) / 2, (4 - 2) / 2)
    assert center_size.grad.tolist() == [[1.0, 2.0, 3.0, 4.0]]
    right = torch.tensor([[10.0, 20.0, 4.0, 6.0]], requires_grad=True)
    center, half = right[:, :2], right[:, 2:] / 2
    torch.cat([center - half, center + half], dim=1).backward(torch.tensor([[1.0, 2.0, 3.0, 4.0]]))
    assert right.grad.tolist() == [[4.0, 6.0, 1.0, 1.0]]


# ------------------------------------------------------------------------- nothing there


def test_no_boxes():
    mask_stage, category_stage = MaskStage(4, 4, 8, 6), CategoryStage(4, 4, 8, 3)
    none = torch.zeros(0, 4, 4, 4)
    logits = mask_stage(none)
    assert logits.shape == (0, 6, 6)
    masked = masked_features(none, logits.sigmoid())
    assert masked.shape == (0, 4, 4, 4)
    said = category_stage(none, masked)
    assert said.class_logits.shape == said.seg_class_logits.shape == (0, 4)
    assert said.deltas.shape == (0, 4, 4)
    sum(part.sum() for part in said).backward()
    assert all(p.grad is None or not p.grad.any() for p in category_stage.parameters())
    assert likeliest_class(said.seg_class_logits).shape == (0,)
