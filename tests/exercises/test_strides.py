"""Lesson 03's exercises: right by torch, by the library, and by hand.

What holds for every exercise (solutions pass, mutants are named, zeros fail) is in
test_registry.py; here stands what the answers must be.
"""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from teachseg.datasets.batch import batch_images
from teachseg.exercises import strides as page
from teachseg.explore.strides import Step, field_of, steps_of
from teachseg.layers.backbones import build_backbone

quick = settings(deadline=None, max_examples=40)
steps = st.lists(st.tuples(st.integers(1, 5), st.integers(1, 3), st.integers(0, 3),
                           st.integers(1, 3)), min_size=1, max_size=5)


@quick
@given(length=st.integers(1, 60), size=st.integers(1, 5), stride=st.integers(1, 4),
       padding=st.integers(0, 4), dilation=st.integers(1, 3))
def test_out_size_is_torchs(length, size, stride, padding, dilation):
    assume(length + 2 * padding >= (size - 1) * dilation + 1)
    row = F.conv1d(torch.zeros(1, 1, length), torch.zeros(1, 1, size), stride=stride,
                   padding=padding, dilation=dilation)
    assert page.out_size(length, size, stride, padding, dilation) == row.shape[2]


def test_cost_is_what_torch_counts():
    """5 x 7 cells of a 3 x 3 convolution, 4 to 2 channels: 72 weights, 72 * 35 = 2,520."""
    assert page.cost(4, 2, 3, 5, 7) == [72, 2520]
    conv = nn.Conv2d(4, 2, 3, padding=1, bias=False)
    with FlopCounterMode(display=False) as counter:
        conv(torch.zeros(1, 4, 5, 7))
    assert page.cost(4, 2, 3, 5, 7) == [conv.weight.numel(), counter.get_total_flops() // 2]


@quick
@given(steps=steps, cell=st.integers(-3, 20))
def test_window_is_the_librarys(steps, cell):
    field = field_of(Step(*step) for step in steps)
    assert page.window(steps, cell) == list(field.window(cell))


def test_the_courses_windows_by_hand():
    """Stem: 3 pixels. Then + 2 * 2, + 2 * 4: 15 at stride 4, from -(1 + 2 + 4) on."""
    walked = [tuple(step) for step in steps_of(build_backbone("course"))[0]]
    assert page.window(walked, 0) == [-7, 8]
    assert page.window(walked, 5) == [13, 28]


@quick
@given(x=st.integers(0, 300), y=st.integers(0, 300), stride=st.sampled_from([1, 2, 4, 8, 16]))
def test_a_pixel_lies_in_its_cell(x, y, stride):
    row, column, middle_y, middle_x = page.place(x, y, stride)
    assert column * stride <= x < (column + 1) * stride
    assert row * stride <= y < (row + 1) * stride
    assert (middle_y, middle_x) == ((2 * row + 1) * stride / 2, (2 * column + 1) * stride / 2)


@quick
@given(seed=st.integers(0, 999), stride=st.sampled_from([1, 2, 4]))
def test_cells_by_pooling(seed, stride):
    mask = torch.rand(8, 12, generator=torch.Generator().manual_seed(seed)) < 0.5
    share = F.avg_pool2d(mask.float()[None, None], stride)
    assert page.cells(mask, stride) == int((share >= 0.5).sum())


@quick
@given(st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=3),
       st.sampled_from([1, 4, 16]))
def test_padded_is_the_librarys(sizes, multiple):
    batch, kept = batch_images([torch.zeros(3, *size) for size in sizes], multiple)
    assert page.padded(sizes, multiple) == list(batch.shape[2:])
    assert kept == sizes


@pytest.mark.parametrize("name, expected", [("a square that is one cell", 1),
                                            ("the same square half a cell further", 2),
                                            ("and half a cell down as well", 0)])
def test_a_square_of_one_cell_covers_two_one_or_none(name, expected):
    """A quarter of each of four cells is less than half of any."""
    (case,) = [case for case in page.CELLS.cases if case.name == name]
    assert page.cells(*case.arguments) == expected
