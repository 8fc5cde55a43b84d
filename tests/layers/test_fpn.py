"""The pyramid by hand and against torchvision; which level reads a box, and in which order."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool
from torchvision.ops.poolers import LevelMapper

from teachseg.layers.fpn import FPN, MergedMap, assign_levels, read_pyramid

property_of = settings(deadline=None, max_examples=60)


def passing_through(levels, extra_level=False):
    """A pyramid of one channel whose convolutions change nothing."""
    fpn = FPN([1] * levels, 1, extra_level)
    for conv in fpn.lateral:
        nn.init.ones_(conv.weight)
    for conv in fpn.smooth:
        nn.init.zeros_(conv.weight)
        conv.weight.data[0, 0, 1, 1] = 1
    return fpn


def square(side, x=0.0, y=0.0):
    return [x, y, x + side, y + side]


def test_top_down_by_hand():
    fine, coarse = torch.arange(16.0).view(1, 1, 4, 4), torch.tensor([[[[100.0, 200], [300, 400]]]])
    levels = passing_through(2)([fine, coarse])
    # each coarse cell is added to the four fine ones below it
    above = torch.tensor([[100.0, 100, 200, 200]] * 2 + [[300.0, 300, 400, 400]] * 2)
    torch.testing.assert_close(levels[0][0, 0], fine[0, 0] + above)
    torch.testing.assert_close(levels[1], coarse)


def test_the_coarsest_reaches_the_finest():
    maps = [torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 4, 4), torch.ones(1, 1, 2, 2)]
    levels = passing_through(3)(maps)
    assert bool((levels[0] == 1).all()) and bool((levels[1] == 1).all())


def test_maps_need_not_halve_exactly():
    maps = [torch.zeros(1, 1, 5, 7), torch.ones(1, 1, 3, 4)]
    assert passing_through(2)(maps)[0].shape == (1, 1, 5, 7)


def test_the_extra_level_takes_every_second_cell():
    coarse = torch.arange(15.0).view(1, 1, 3, 5)
    levels = passing_through(2, extra_level=True)([torch.zeros(1, 1, 6, 10), coarse])
    assert len(levels) == 3
    assert levels[2][0, 0].tolist() == [[0, 2, 4], [10, 12, 14]]


def test_equals_torchvision():
    torch.manual_seed(0)
    ours = FPN([8, 16, 32], 12, extra_level=True)
    theirs = FeaturePyramidNetwork([8, 16, 32], 12, LastLevelMaxPool())
    for i in range(3):
        ours.lateral[i].load_state_dict(theirs.inner_blocks[i][0].state_dict())
        ours.smooth[i].load_state_dict(theirs.layer_blocks[i][0].state_dict())
    maps = [torch.rand(2, 8, 20, 28), torch.rand(2, 16, 10, 14), torch.rand(2, 32, 5, 7)]
    expected = list(theirs(dict(zip("abc", maps))).values())
    assert len(expected) == 4
    for got, wanted in zip(ours(maps), expected):
        torch.testing.assert_close(got, wanted)


def test_a_pyramid_of_one_level():
    assert [x.shape for x in FPN([4], 6)([torch.rand(1, 4, 3, 3)])] == [(1, 6, 3, 3)]


# ------------------------------------------------------------------------- levels


@pytest.mark.parametrize(
    "side, level",
    [
        (224, 2),  # the canonical side, exactly: k_0 = 4 counted from P2
        (223.9, 1),
        (448, 3),  # twice as large: one up (with ln in place of log2 it would stay)
        (447.9, 2),
        (112, 1),
        (111.9, 0),
        (56, 0),  # below the finest level
        (1e-3, 0),
        (5000, 3),  # beyond the coarsest
        (0, 0),
    ],
)
def test_levels_by_hand(side, level):
    assert assign_levels(torch.tensor([square(side)]), 4).tolist() == [level]


def test_a_level_depends_on_the_area_alone():
    # 112 x 448 has the area of 224 x 224; anywhere in the image
    boxes = torch.tensor([[0.0, 0.0, 112.0, 448.0], [300.0, 50.0, 748.0, 162.0]])
    assert assign_levels(boxes, 4).tolist() == [2, 2]


def test_the_courses_levels():
    # a side of 56 is read at the finest of three, 112 one up, 224 two up
    boxes = torch.tensor([square(30), square(56), square(111), square(112), square(224)])
    levels = assign_levels(boxes, 3, canonical_side=56, canonical_level=0)
    assert levels.tolist() == [0, 0, 0, 1, 2] and levels.dtype == torch.int64


@property_of
@given(st.lists(st.tuples(st.floats(1, 1500), st.floats(1, 1500)), max_size=8))
def test_levels_follow_the_formula_and_torchvision(sides):
    boxes = torch.tensor([[3.0, 4.0, 3.0 + w, 4.0 + h] for w, h in sides]).reshape(-1, 4)
    levels = assign_levels(boxes, 4)
    if len(boxes):
        assert torch.equal(levels, LevelMapper(2, 5)([boxes]))
    for (w, h), level in zip(sides, levels.tolist()):
        exact = 2 + math.log2(math.sqrt(w * h) / 224)
        if abs(exact - round(exact)) > 1e-4:  # at a border the last digit decides
            assert level == min(max(math.floor(exact), 0), 3)


def test_levels_of_no_boxes():
    assert assign_levels(torch.zeros(0, 4), 4).shape == (0,)


# ------------------------------------------------------------------------- reading


def tell_level(features, rois, scale):
    """In place of an operator: each block holds the level's own number, the scale, the roi's x1."""
    level = features[0, 0, 0, 0]
    told = torch.stack(
        [level.expand(len(rois)), torch.full((len(rois),), scale), rois[:, 1]], dim=1
    )
    return told[:, :, None, None]


LEVELS = [torch.full((2, 1, 4, 4), float(i)) for i in range(3)]


def test_each_box_is_read_from_its_level_and_comes_back_in_its_place():
    rois = torch.tensor([[0.0, x, 0, x + 9, 9] for x in range(6)])
    level_of = torch.tensor([2, 0, 1, 0, 2, 0])
    blocks = read_pyramid(LEVELS, (4, 8, 16), rois, level_of, tell_level).flatten(1)
    assert blocks[:, 0].tolist() == level_of.tolist()
    assert blocks[:, 1].tolist() == [1 / 16, 1 / 4, 1 / 8, 1 / 4, 1 / 16, 1 / 4]
    assert blocks[:, 2].tolist() == [0, 1, 2, 3, 4, 5]


def test_levels_without_boxes_are_passed_over():
    rois = torch.tensor([[1.0, 5, 0, 9, 9], [0.0, 2, 0, 9, 9]])
    blocks = read_pyramid(LEVELS, (4, 8, 16), rois, torch.tensor([1, 1]), tell_level).flatten(1)
    assert blocks[:, 0].tolist() == [1, 1] and blocks[:, 2].tolist() == [5, 2]


def test_one_level_reads_all():
    rois = torch.tensor([[0.0, 7, 0, 9, 9]])
    blocks = read_pyramid(LEVELS[:1], (4,), rois, torch.tensor([0]), tell_level)
    assert blocks.flatten().tolist() == [0, 0.25, 7]


def test_no_boxes_to_read():
    no_level = torch.zeros(0, dtype=torch.int64)
    blocks = read_pyramid(LEVELS, (4, 8, 16), torch.zeros(0, 5), no_level, tell_level)
    assert blocks.shape == (0, 3, 1, 1)


def test_merged_map_adds_the_coarser_maps_to_the_finest():
    merge = MergedMap((1, 1), 1)
    for conv in merge.lateral:
        nn.init.ones_(conv.weight)
    nn.init.zeros_(merge.smooth.weight)
    merge.smooth.weight.data[0, 0, 1, 1] = 1  # the middle alone: leaves the sum as it is
    fine = torch.arange(16.0).view(1, 1, 4, 4)
    coarse = torch.tensor([[[[100.0, 200.0], [300.0, 400.0]]]])
    # each coarse cell covers 2 x 2 fine ones
    expected = fine + torch.tensor([[100, 100, 200, 200]] * 2 + [[300, 300, 400, 400]] * 2)
    torch.testing.assert_close(merge([fine, coarse]), expected)


@pytest.mark.parametrize("sides", [(7, 4, 2), (8, 4, 2)])
def test_merged_map_of_three_odd_maps_keeps_the_finest_size(sides):
    merge = MergedMap((2, 3, 4), 5)
    maps = [torch.rand(1, c, s, s + 1) for c, s in zip((2, 3, 4), sides)]
    assert merge(maps).shape == (1, 5, sides[0], sides[0] + 1)
