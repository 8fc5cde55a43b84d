"""Anchors by hand, against the numbers of three released codes, a slow twin and torchvision."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList

from teachseg.geometry.anchors import cell_anchors, grid_anchors, legacy_cell_anchors
from teachseg.geometry.boxes import box_area, center_size, from_inclusive

property_of = settings(deadline=None, max_examples=50)

PY_FASTER_RCNN = [  # what its generate_anchors() returns, x2 and y2 inclusive
    [-84, -40, 99, 55], [-176, -88, 191, 103], [-360, -184, 375, 199],
    [-56, -56, 71, 71], [-120, -120, 135, 135], [-248, -248, 263, 263],
    [-36, -80, 51, 95], [-80, -168, 95, 183], [-168, -344, 183, 359],
]  # fmt: skip
MATLAB = [  # what the comment above that function lists: its forerunner's, one larger
    [-83, -39, 100, 56], [-175, -87, 192, 104], [-359, -183, 376, 200],
    [-55, -55, 72, 72], [-119, -119, 136, 136], [-247, -247, 264, 264],
    [-35, -79, 52, 96], [-79, -167, 96, 184], [-167, -343, 184, 360],
]  # fmt: skip


def test_cell_anchors_by_hand():
    # ratio 1/4 is height / width: 64 wide, 16 high, area 32^2; ratio 4 stands upright
    expected = torch.tensor([
        [-32.0, -8.0, 32.0, 8.0], [-64.0, -16.0, 64.0, 16.0],
        [-16.0, -16.0, 16.0, 16.0], [-32.0, -32.0, 32.0, 32.0],
        [-8.0, -32.0, 8.0, 32.0], [-16.0, -64.0, 16.0, 64.0],
    ])  # fmt: skip
    torch.testing.assert_close(cell_anchors([32, 64], [0.25, 1, 4]), expected)


def test_rounding_by_hand():
    # size 10, ratio 1/2: half sides 10 sqrt(2) / 2 = 7.07 and 10 / sqrt(2) / 2 = 3.54
    expected = [[-7, -4, 7, 4], [-5, -5, 5, 5], [-4, -7, 4, 7]]
    assert cell_anchors([10], [0.5, 1, 2], rounding=True).tolist() == expected
    # size 32: 22.63 and 11.31
    expected = [[-23, -11, 23, 11], [-16, -16, 16, 16], [-11, -23, 11, 23]]
    assert cell_anchors([32], [0.5, 1, 2], rounding=True).tolist() == expected


@property_of
@given(
    st.lists(st.floats(1, 600), min_size=1, max_size=4),
    st.lists(st.floats(0.1, 10), min_size=1, max_size=4),
)
def test_cell_anchors_have_their_area_and_their_ratio(sizes, ratios):
    anchors = cell_anchors(sizes, ratios)
    center, side = center_size(anchors)
    assert torch.equal(center, torch.zeros(len(ratios) * len(sizes), 2))
    for row, (ratio, size) in enumerate((r, s) for r in ratios for s in sizes):  # ratios outermost
        assert math.isclose(side[row, 1] / side[row, 0], ratio, rel_tol=1e-4)
        assert math.isclose(box_area(anchors)[row], size**2, rel_tol=1e-4)


def test_legacy_anchors_are_those_of_the_code_not_of_its_comment():
    anchors = legacy_cell_anchors()
    assert anchors.tolist() == PY_FASTER_RCNN
    assert anchors.tolist() != MATLAB
    # the two differ by one pixel, down and to the right, everywhere
    assert (torch.tensor(MATLAB) - anchors).tolist() == [[1, 1, 1, 1]] * 9


def test_legacy_sides():
    # a 16 x 16 window of ratio 1/2: width round(sqrt(512)) = 23, height round(11.5) = 12 (half to
    # even), times 8: 184 x 96. Only inclusively counted are these the sides.
    _, sides = center_size(from_inclusive(legacy_cell_anchors()))
    expected = [
        [184, 96], [368, 192], [736, 384], [128, 128], [256, 256], [512, 512],
        [88, 176], [176, 352], [352, 704],
    ]  # fmt: skip
    assert sides.tolist() == expected


def test_grid_by_hand():
    # 2 rows and 3 columns, 16 apart: x changes before y, and the anchors of a cell before both
    cell = torch.tensor([[-8.0, -8.0, 8.0, 8.0], [-4.0, -2.0, 4.0, 2.0]])
    expected = [
        [-8, -8, 8, 8], [-4, -2, 4, 2],
        [8, -8, 24, 8], [12, -2, 20, 2],
        [24, -8, 40, 8], [28, -2, 36, 2],
        [-8, 8, 8, 24], [-4, 14, 4, 18],
        [8, 8, 24, 24], [12, 14, 20, 18],
        [24, 8, 40, 24], [28, 14, 36, 18],
    ]  # fmt: skip
    assert grid_anchors(cell, (2, 3), 16).tolist() == expected


def test_a_stride_for_each_axis():
    cell = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
    # (down, right) = (5, 7)
    expected = [[0, 0, 1, 1], [7, 0, 8, 1], [0, 5, 1, 6], [7, 5, 8, 6]]
    assert grid_anchors(cell, (2, 2), (5, 7)).tolist() == expected


@property_of
@given(st.integers(0, 4), st.integers(0, 5), st.integers(1, 32), st.integers(0, 3))
def test_grid_equals_its_slow_twin(height, width, stride, count):
    cell = torch.arange(4.0 * count).view(count, 4)
    slow = [
        [x1 + col * stride, y1 + row * stride, x2 + col * stride, y2 + row * stride]
        for row in range(height)
        for col in range(width)
        for x1, y1, x2, y2 in cell.tolist()
    ]
    grid = grid_anchors(cell, (height, width), stride)
    assert grid.shape == (height * width * count, 4)
    assert grid.tolist() == slow


def test_grid_equals_torchvision():
    # a 15 x 15 image with a 2 x 2 map: torchvision's stride is 15 // 2 = 7
    generator = AnchorGenerator(((10,),), ((0.5, 1.0, 2.0),))
    images = ImageList(torch.zeros(1, 3, 15, 15), [(15, 15)])
    theirs = generator(images, [torch.zeros(1, 8, 2, 2)])[0]
    ours = grid_anchors(cell_anchors([10], [0.5, 1, 2], rounding=True), (2, 2), 15 // 2)
    torch.testing.assert_close(ours, theirs)
    assert ours[1::3].tolist() == [[-5, -5, 5, 5], [2, -5, 12, 5], [-5, 2, 5, 12], [2, 2, 12, 12]]


def test_anchors_of_a_coco_image():
    # 800 x 1344 at strides 4 .. 64 is 200 x 336, 100 x 168, 50 x 84, 25 x 42, 13 x 21 cells: three
    # anchors in each make 268,569
    maps = [(200, 336), (100, 168), (50, 84), (25, 42), (13, 21)]
    sizes = (32, 64, 128, 256, 512)
    counts = [
        len(grid_anchors(cell_anchors([size], [0.5, 1, 2]), cells, 4 * 2**level))
        for level, (cells, size) in enumerate(zip(maps, sizes))
    ]
    assert sum(counts) == 268_569


def test_anchors_of_mnc():
    # 38 x 63 cells of nine anchors
    assert len(grid_anchors(legacy_cell_anchors(), (38, 63), 16)) == 21_546


def test_grid_takes_dtype_from_the_cell():
    assert grid_anchors(torch.zeros(1, 4, dtype=torch.float64), (2, 2), 4).dtype == torch.float64


@pytest.mark.parametrize("sizes, ratios", [([], [1]), ([32], []), ([0], [1]), ([32], [1, -1])])
def test_sizes_and_ratios_must_be_positive(sizes, ratios):
    with pytest.raises(ValueError, match="positive and not empty, got sizes="):
        cell_anchors(sizes, ratios)


def test_grid_wants_boxes():
    with pytest.raises(ValueError, match=r"cell_anchors must have the shape \(N, 4\)"):
        grid_anchors(torch.zeros(4), (2, 2), 16)
