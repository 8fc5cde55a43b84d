"""Lesson 20's exercises: right by the library, by torch, and by hand.

What holds for every exercise (solutions pass, mutants are named, zeros fail) is in
test_registry.py; here stands what the answers must be.
"""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from teachseg.exercises import fpn as page
from teachseg.geometry.anchors import cell_anchors, grid_anchors
from teachseg.layers.fpn import FPN, assign_levels, read_pyramid

quick = settings(deadline=None, max_examples=40)
sides = st.integers(1, 9)


@quick
@given(h=sides, w=sides, height=st.integers(1, 12), width=st.integers(1, 12))
def test_enlarge_is_torchs_nearest(h, w, height, width):
    coarse = torch.rand(h, w)
    expected = F.interpolate(coarse[None, None], size=(height, width), mode="nearest")[0, 0]
    assert torch.equal(page.enlarge(coarse, height, width), expected)


def test_topdown_by_hand():
    fine, coarse = torch.arange(16.0).view(4, 4), torch.tensor([[100.0, 200.0], [300.0, 400.0]])
    above = torch.tensor([[100.0, 100, 200, 200]] * 2 + [[300.0, 300, 400, 400]] * 2)
    assert torch.equal(page.topdown([fine, coarse]), fine + above)


@pytest.mark.parametrize("shapes", [[(8, 8), (4, 4), (2, 2)], [(5, 7), (3, 4)], [(3, 3)]])
def test_topdown_is_the_librarys_with_convolutions_that_change_nothing(shapes):
    fpn = FPN([1] * len(shapes), 1)
    for conv in fpn.lateral:
        nn.init.ones_(conv.weight)
    for conv in fpn.smooth:
        nn.init.zeros_(conv.weight)
        conv.weight.data[0, 0, 1, 1] = 1
    maps = [torch.rand(*shape) for shape in shapes]
    with torch.no_grad():
        finest = fpn([one[None, None] for one in maps])[0][0, 0]
    torch.testing.assert_close(page.topdown(maps), finest)


@quick
@given(w=st.floats(1, 1500), h=st.floats(1, 1500), levels=st.integers(1, 5))
def test_level_is_the_librarys(w, h, levels):
    exact = 4 + math.log2(math.sqrt(w * h) / 224)
    if abs(exact - round(exact)) < 1e-4:
        return  # at a border the last digit decides
    box = torch.tensor([[0.0, 0.0, w, h]])
    assert page.level(w, h, levels) == assign_levels(box, levels).item()


def test_level_of_exact_sides_and_of_none():
    assert [page.level(s, s, 4) for s in (56, 111, 112, 224, 448, 896)] == [0, 0, 1, 2, 3, 3]
    assert page.level(0, 10, 4) == 0 == assign_levels(torch.tensor([[5.0, 5, 5, 15]]), 4).item()


@quick
@given(x=st.floats(0, 0.6), w=st.floats(0.05, 0.4), height=st.integers(60, 1400),
       width=st.integers(60, 1400))
def test_shares_is_the_formula_in_pixels(x, w, height, width):
    found = page.shares((x, x, x + w, x + w), height, width)
    assert found == pytest.approx(4 + math.log2(w * math.sqrt(height * width) / 224), abs=1e-6)
    trick = 4 + math.log2(w / (224 / math.sqrt(height * width)))
    assert found == pytest.approx(trick, abs=1e-6)


@quick
@given(st.lists(st.integers(0, 3), min_size=1, max_size=8))
def test_restore_is_what_read_pyramid_does(level_of):
    level_of = torch.tensor(level_of)
    rois = F.pad(torch.arange(1.0, len(level_of) + 1)[:, None], (1, 3))  # x1 = 1, 2, 3, ...
    read_rows = []

    def read(features, here, scale):
        read_rows.append(here[:, 1:2])
        return here[:, 1:2, None, None]

    levels = [torch.zeros(1, 1, 2, 2)] * 4
    library = read_pyramid(levels, (4, 8, 16, 32), rois, level_of, read)[:, :, 0, 0]
    assert torch.equal(page.restore(torch.cat(read_rows), level_of), library)
    assert library.flatten().tolist() == list(range(1, len(level_of) + 1))


def test_anchors_are_as_many_as_the_library_makes():
    for height, width, strides in ((128, 128, (4, 8, 16)), (101, 67, (4, 8, 16, 32))):
        made = 0
        for size, stride in zip((16, 32, 64, 128), strides):
            cells = (-(-height // stride), -(-width // stride))
            made += len(grid_anchors(cell_anchors((size,), (0.5, 1.0, 2.0)), cells, stride))
        assert page.anchors(height, width, strides, 3) == made


def test_anchors_of_a_photograph():
    """3 (200 336 + 100 168 + 50 84 + 25 42 + 13 21) = 268,569."""
    assert page.anchors(800, 1344, (4, 8, 16, 32, 64), 3) == 268_569
