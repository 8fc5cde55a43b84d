"""Lesson 04's exercises: right by the library, by the released numbers, and by hand.

What holds for every exercise (solutions pass, mutants are named, zeros fail) is in
test_registry.py; here stands what the answers must be.
"""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from teachseg.exercises import anchors as page
from teachseg.geometry.anchors import cell_anchors, grid_anchors, legacy_cell_anchors
from teachseg.geometry.boxes import box_iou, center_size, decode_boxes, encode_boxes

quick = settings(deadline=None, max_examples=40)
seeds = st.integers(0, 2**31)


def some_boxes(seed: int) -> torch.Tensor:
    """(2, 4) two boxes of sides from 1 to 61."""
    draw = torch.Generator().manual_seed(seed)
    corner, side = torch.rand(2, 2, generator=draw) * 90, torch.rand(2, 2, generator=draw) * 60 + 1
    return torch.cat([corner, corner + side], dim=1)


@quick
@given(st.floats(1, 600), st.floats(0.1, 10))
def test_cell_has_the_librarys_sides(size, ratio):
    sides = center_size(cell_anchors([size], [ratio]))[1][0].tolist()
    assert page.cell(size, ratio) == pytest.approx(sides, rel=1e-5)


def test_windows_are_the_nine_of_the_released_code():
    nine = [page.window(ratio, scale) for ratio in (0.5, 1.0, 2.0) for scale in (8, 16, 32)]
    assert nine == legacy_cell_anchors().tolist()
    assert nine[0] == [-84, -40, 99, 55]


@quick
@given(st.integers(1, 90), st.integers(1, 90), st.lists(st.sampled_from([4, 8, 16]), min_size=1,
                                                        max_size=3), st.integers(1, 4))
def test_count_is_what_the_grids_hold(height, width, strides, per_cell):
    cell = torch.zeros(per_cell, 4)
    grids = [grid_anchors(cell, (-(-height // s), -(-width // s)), s) for s in strides]
    assert page.count(height, width, strides, per_cell) == sum(map(len, grids))


def test_count_by_hand():
    """600 -> 300 -> 150 -> 75 -> 38 and 1000 -> 500 -> 250 -> 125 -> 63; 38 * 63 * 9."""
    assert page.count(600, 1000, [16], 9) == 21_546


@quick
@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 4), st.integers(1, 32))
def test_place_is_where_the_grids_anchor_is(rows, columns, per_cell, stride):
    sides = torch.arange(1.0, per_cell + 1)[:, None]  # anchor k has the sides 2 (k + 1)
    grid = grid_anchors(torch.cat([-sides, -sides, sides, sides], dim=1), (rows, columns), stride)
    centre, size = center_size(grid)
    for index in range(len(grid)):
        x, y, k = page.place(index, columns, per_cell, stride)
        assert [x, y] == centre[index].tolist() and 2 * (k + 1) == size[index, 0]


def test_place_by_hand():
    """12,345 = 9 * 1371 + 6 and 1371 = 63 * 21 + 48; column 48 is at 768, row 21 at 336."""
    assert page.place(12_345, 63, 9, 16) == [768, 336, 6]


@quick
@given(seed=seeds, n=st.integers(0, 5), a=st.integers(1, 8),
       least=st.sampled_from([0.0, 0.1, 0.3, 0.5]))
def test_coverage_is_the_librarys_best_of_each_row(seed, n, a, least):
    draw = torch.Generator().manual_seed(seed)
    corner, side = (torch.randint(low, 20, (n + a, 2), generator=draw) for low in (0, 1))
    boxes, anchors = torch.cat([corner, corner + side], dim=1).double().split([n, a])
    best = box_iou(boxes, anchors).max(dim=1).values
    expected = [float(best.mean()), float((best >= least).double().mean())] if n else [0, 0]
    assert page.coverage(boxes, anchors, least) == pytest.approx(expected)


def test_coverage_by_hand():
    """16 x 12 of 16 x 16 is 3/4, 16 x 16 of 32 x 32 is 1/4: on average 1/2, one of two."""
    assert page.coverage(*page.COVERAGE.cases[1].arguments) == pytest.approx([1 / 2, 1 / 2])
    # 1, 14/16, 14 x 14 of 16 x 16, and 8 x 8 of 16 x 16
    assert page.coverage(*page.COVERAGE.cases[5].arguments) == pytest.approx(
        [(1 + 7 / 8 + 49 / 64 + 1 / 4) / 4, 3 / 4])


@quick
@given(seed=seeds)
def test_encode_is_the_librarys(seed):
    box, anchor = some_boxes(seed)
    library = encode_boxes(box[None], anchor[None])[0].tolist()
    assert page.encode(box.tolist(), anchor.tolist()) == pytest.approx(library, abs=1e-4)


def test_encode_by_hand():
    """Centres (20, 30) and (35, 40), sides 20 x 40 and 40 x 40: 15/20, 10/40, ln 2, ln 1."""
    found = page.encode([15, 20, 55, 60], [10, 10, 30, 50])
    assert found == pytest.approx([0.75, 0.25, math.log(2), 0])


@quick
@given(seed=seeds, weights=st.sampled_from([page.ONES, page.FAST_RCNN]), wild=st.booleans())
def test_decode_is_the_librarys(seed, weights, wild):
    draw = torch.Generator().manual_seed(seed)
    deltas = torch.randn(4, generator=draw) * (30 if wild else 1)
    anchor = some_boxes(seed)[1]
    library = decode_boxes(deltas[None], anchor[None], tuple(weights))[0].tolist()
    found = page.decode(deltas.tolist(), anchor.tolist(), weights)
    assert found == pytest.approx(library, rel=1e-4, abs=1e-3)


def test_decode_undoes_encode():
    box, anchor = [15.0, 20.0, 55.0, 60.0], [10.0, 10.0, 30.0, 50.0]
    assert page.decode(page.encode(box, anchor), anchor, page.ONES) == pytest.approx(box)
    assert page.decode([0, 0, 100, 100], [0, 0, 16, 16], page.ONES) == pytest.approx(
        [-492, -492, 508, 508])  # 16 grows to 1000 about its centre 8
