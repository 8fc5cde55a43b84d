"""Where operators read, by hand and against the operators; and the explorer of lesson 10."""

import math
import time
import xml.etree.ElementTree as ElementTree

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from teachseg.datasets.scenes import Scenes
from teachseg.explore.roi import (
    NAMES,
    Maps,
    bins_of,
    brightness_map,
    explore_roi,
    misalignment,
    pooled,
    roi_frame,
)

halves = st.integers(0, 200).map(lambda i: i / 2)


@st.composite
def boxes(draw):
    """(x1, y1, x2, y2) in half pixels, inside 128 x 128, at least one pixel a side."""
    x1, y1 = draw(halves), draw(halves)
    width, height = draw(halves), draw(halves)
    return x1, y1, min(128.0, x1 + 1 + width), min(128.0, y1 + 1 + height)


@pytest.fixture(scope="module")
def image():
    return Scenes("train", 1)[0][0]


@pytest.fixture(scope="module")
def explorer(image):
    return explore_roi(image)


# --- where they read ---


def test_seven_cells_in_three_bins_by_hand():
    """x from 0 to 96 at stride 16: corners 0 and 6 both belong, 7 cells, 7/3 a bin.

    Bins from floor(i 7/3) to ceil((i + 1) 7/3): 0..3, 2..5, 4..7 cells. Middles 24, 56, 88 px;
    wanted are 16, 48, 80: 8 pixels off, and as much down.
    """
    box = (0, 0, 96, 96)
    reading = bins_of("pool", box, 16, 3)
    assert reading.x == reading.y
    assert reading.x.spans == [(0, 48), (32, 80), (64, 112)]
    assert reading.x.points == [[24], [56], [88]] and (reading.x.low, reading.x.high) == (0, 112)
    assert misalignment(reading, box) == (8, 8)


def test_23_and_24_sixteenths_round_apart():
    """x1 = 23 is 1.44 cells, so 1; 24 is 1.5, and a half goes away from zero: 2."""
    for operator in ("pool", "warp_rounded"):
        lows = [bins_of(operator, (x1, 0, 96, 96), 16, 3).x.low for x1 in (23, 24)]
        assert lows == [16, 32]
    assert [bins_of("align", (x1, 0, 96, 96), 16, 3).x.low for x1 in (23, 24)] == [23, 24]


def test_warp_reads_a_bin_s_start_and_takes_a_cell_s_middle_for_its_corner():
    """Bins of 32 at x1 = 16: starts 16, 48, 80, read 8 (half a cell) on; middles 32, 64, 96."""
    box = (16, 16, 112, 112)
    reading = bins_of("warp", box, 16, 3)
    assert reading.x.points == [[24], [56], [88]]
    assert misalignment(reading, box) == (-8, -8)


def test_align_reads_samples_spread_over_the_bin():
    """A bin of 32 from 16, two samples: a quarter and three quarters of it, 24 and 40."""
    box = (16, 16, 112, 112)
    assert bins_of("align", box, 16, 3, 2).x.points == [[24, 40], [56, 72], [88, 104]]
    assert bins_of("align_unaligned", box, 16, 3, 2).x.points[0] == [32, 48]  # half a cell further
    assert [len(p) for p in bins_of("align", box, 16, 3, 0).x.points] == [2, 2, 2]  # 32 / 16


def test_pool_is_a_sawtooth_and_align_is_flat():
    """A box of 64 moved by one pixel: RoIPool follows in jumps of 16, once in 16 pixels.

    Where it does not jump, the box runs away from it: the offset falls by 1 a pixel.
    """
    offsets = {name: [misalignment(bins_of(name, (x, 0, x + 64, 64), 16, 4), (x, 0, x + 64, 64))[0]
                      for x in range(33)] for name in NAMES}
    for name in ("pool", "warp_rounded"):
        steps = [b - a for a, b in zip(offsets[name], offsets[name][1:])]
        assert steps == [15 if x in (7, 23) else -1 for x in range(32)]
    assert set(offsets["align"]) == {0.0}
    assert set(offsets["warp"]) == {0.0}  # 16 a bin: half a bin back, half a cell on
    assert set(offsets["align_unaligned"]) == {8.0}


@settings(max_examples=60, deadline=None)
@given(boxes(), st.sampled_from([4, 8, 16]), st.integers(1, 7), st.integers(1, 3),
       st.sampled_from([name for name in NAMES if name != "pool"]))
def test_on_a_ramp_an_operator_returns_the_place_where_it_reads(box, stride, bins, ratio, operator):
    """A map that holds its own x (or y), far enough from the edge: the value is the place read."""
    cells, margin = 64, 20
    ramp = (torch.arange(float(cells), dtype=torch.float32) + 0.5) * stride
    box = tuple(edge + margin * stride for edge in box)
    if max(box) > (cells - 2) * stride:
        box = tuple(edge / 4 + margin * stride for edge in box)
    reading = bins_of(operator, box, stride, bins, ratio)
    for axis, features in ((reading.x, ramp.expand(cells, cells)),
                           (reading.y, ramp[:, None].expand(cells, cells))):
        values = pooled(operator, features.contiguous(), box, stride, bins, ratio)
        values = values[0] if axis is reading.x else values[:, 0]
        read = torch.tensor([sum(points) / len(points) for points in axis.points])
        torch.testing.assert_close(values, read, atol=1e-3 * stride, rtol=1e-5)


@settings(max_examples=60, deadline=None)
@given(boxes(), st.sampled_from([4, 8, 16, 32]), st.integers(1, 8))
def test_roi_pool_s_bins_are_what_it_takes_the_largest_of(box, stride, bins):
    size = math.ceil(128 / stride)
    features = torch.rand(size, size, generator=torch.Generator().manual_seed(0))
    reading = bins_of("pool", box, stride, bins, feature_size=(size, size))
    values = pooled("pool", features, box, stride, bins, 2)
    for i, (y1, y2) in enumerate(reading.y.spans):
        for j, (x1, x2) in enumerate(reading.x.spans):
            cells = features[y1 // stride : y2 // stride, x1 // stride : x2 // stride]
            assert values[i, j] == (cells.max() if cells.numel() else 0)


def test_a_box_beyond_the_map_is_read_nowhere():
    reading = bins_of("pool", (200, 0, 232, 64), 16, 3, feature_size=(8, 8))
    assert reading.x.points == [[], [], []]
    assert misalignment(reading, (200, 0, 232, 64)) is None


def test_an_unknown_operator_is_refused():
    with pytest.raises(ValueError, match="no operator 'crop': choose one of pool, warp_rounded"):
        bins_of("crop", (0, 0, 1, 1), 16, 3)


# --- the maps ---


def test_brightness_is_the_mean_of_each_cell():
    """5 x 4 pixels at stride 2: the last column's cells have one column of pixels left."""
    image = torch.arange(20.0).reshape(4, 5).expand(3, 4, 5)
    expected = torch.tensor([[3.0, 5.0, 6.5], [13.0, 15.0, 16.5]])
    torch.testing.assert_close(brightness_map(image, 2), expected)


@pytest.mark.parametrize("features, words", [
    (lambda image, stride: None, "got NoneType"),
    (lambda image, stride: torch.zeros(8, 9), r"must return a tensor \(8, 8\).*got \(8, 9\)"),
    (lambda image, stride: torch.full((8, 8), math.nan), "not finite"),
])
def test_a_feature_function_that_is_wrong_is_told(image, features, words):
    with pytest.raises(ValueError, match=words):
        Maps(image, features).at(16)


# --- the frame ---


def test_the_frame_shows_all_three_and_says_so(image):
    found = roi_frame(Maps(image), 0, 0, 96, 96)
    root = ElementTree.fromstring(found.svg)
    assert root.get("aria-label") == found.caption
    assert found.caption.startswith("Box (0, 0) to (96, 96), stride 16, 3 x 3 bins;")
    assert "RoIPool is off by (+8.00, +8.00), first row" in found.caption
    assert "RoIAlign is off by (0.00, 0.00), first row" in found.caption
    values = pooled("align", brightness_map(image, 16), (0, 0, 96, 96), 16, 3, 2)
    assert " ".join(f"{value:.3f}" for value in values[0]) in found.caption
    assert sum(1 for _ in root.iter("{http://www.w3.org/2000/svg}image")) == 4
    assert found == roi_frame(Maps(image), 0, 0, 96, 96)  # the same text every time


@pytest.mark.parametrize("operator", NAMES)
def test_one_operator_alone(image, operator):
    found = roi_frame(Maps(image), 10, 10, 70, 90, operator=operator, bins=7)
    assert NAMES[operator] in found.caption and "first row begins" in found.caption
    assert found.caption.count("is off by") == 1


@pytest.mark.parametrize("values, words", [
    (dict(x1=90, x2=20), "turned inside out: x1 = 90 is right of x2 = 20"),
    (dict(y1=90, y2=20), "turned inside out: y1 = 90 is below y2 = 20"),
    (dict(x1=50, x2=50), "no size: x1 and x2 are both 50"),
    (dict(y1=0, y2=0), "no size: y1 and y2 are both 0"),
    (dict(x1=130, x2=140), "is off the image, which is 128 x 128"),
    (dict(x1=-9, x2=-3), "is off the image"),
    (dict(x1=math.nan), "four ordinary numbers"),
    (dict(stride=256), "stride of 256 is larger than the image of 128 x 128 pixels"),
    (dict(stride=0), "stride must be a whole number of at least 1"),
    (dict(bins=14, x1=20, x2=25.5), "14 bins do not fit a side of 5.5 pixels.*Take at most 5"),
    (dict(bins=2, x1=20, x2=20.5), "Take a larger box"),
    (dict(bins=0), "bins must be a whole number of at least 1"),
    (dict(sampling_ratio=-1), "sampling_ratio must be a whole number of at least 0"),
    (dict(operator="crop"), "no operator 'crop'"),
])
def test_what_cannot_be_shown_is_said(image, values, words):
    with pytest.raises(ValueError, match=words):
        roi_frame(Maps(image), **(dict(x1=20, y1=20, x2=80, y2=80) | values))


def test_half_off_the_image_and_a_ratio_of_0_are_shown_with_a_word(image):
    maps = Maps(image)
    found = roi_frame(maps, -10, 20, 70, 140, sampling_ratio=0)
    assert "Part of the box is off the image" in found.caption
    assert "lets the box choose: 2 x 3 samples a bin" in found.caption  # 80/48, 120/48, upwards
    assert "choose" not in roi_frame(maps, 0, 0, 70, 70, sampling_ratio=0, operator="pool").caption


def test_a_frame_takes_10_milliseconds_at_most(image):
    """Of the processor's time, so that a busy machine does not matter; the best of ten."""
    maps, taken = Maps(image), []
    for i in range(10):
        begin = time.process_time()
        roi_frame(maps, 10 + i, 20, 80 + i, 90, stride=8, bins=7)
        taken.append(time.process_time() - begin)
    assert min(taken) <= 0.010


# --- the explorer ---


def test_sliders_and_stage_are_one(explorer):
    explorer.set(x1=10, y1=12, x2=70, y2=80, stride=8, bins=2, sampling_ratio=1, operator="pool")
    stage = explorer.stage
    assert stage.box == (10, 12, 70, 80)
    assert (stage.stride, stage.bins, stage.sampling_ratio, stage.operator) == (8, 2, 1, "pool")
    stage.x1, stage.stride = 30.5, 16
    assert explorer.state["x1"] == 30.5 and explorer.state["stride"] == 16
    assert "Box (30.5, 12) to (70, 80), stride 16" in explorer.caption.value


def test_a_drag_draws_once(image):
    explorer, drawn = explore_roi(image), []
    explorer.picture.observe(drawn.append, names="value")
    box = {"x1": 30.0, "y1": 31.0, "x2": 90.0, "y2": 91.0}
    explorer.stage.set_state(box)  # as a message from the browser does
    assert len(drawn) == 1
    assert explorer.stage.box == tuple(box.values())
    assert {name: explorer.state[name] for name in box} == box


def test_any_box_on_the_stage_leaves_the_kernel_alive(explorer):
    explorer.set(operator="all", stride=16, bins=3)
    explorer.stage.set_state({"x1": 90.0, "x2": 20.0})
    assert "turned inside out" in repr(explorer)
    explorer.stage.set_state({"x1": -1e9, "x2": 1e9})
    assert repr(explorer).startswith("Box (0, ")  # sliders end where the image ends
    explorer.stage.set_state({"x1": 20.0, "x2": 80.0})
    assert repr(explorer).startswith("Box (20, ")


def test_the_sweep_of_the_lesson(explorer, capsys):
    """RoIPool jumps between 23 and 24; RoIAlign does not."""
    explorer.set(x1=20, y1=0, x2=96, y2=96, stride=16, bins=3, operator="pool")
    explorer.sweep("x1", [22, 23, 24])
    lines = capsys.readouterr().out.splitlines()
    offsets = [line.split("off by (")[1].split(",")[0] for line in lines]
    # corners 1 and 6 are 6 cells, 16..112, middle 64; the box's is 59, 59.5; then 32..112: 72, 60
    # 5 cells in 3 bins: 0..2, 1..4, 3..5, middles 1, 2.5, 4 of 5 cells: the mean is the middle
    assert offsets == ["+5.00", "+4.50", "+12.00"]


def test_its_controls_say_what_they_are_and_in_what(explorer):
    words = [control.description for control in explorer.controls.values()]
    assert len(set(words)) == 8 and sum("px" in description for description in words) == 5


def test_an_image_of_another_shape_or_too_small():
    explorer = explore_roi(torch.zeros(3, 20, 50), box=(0, 0, 20, 20))
    assert explorer.controls["stride"].options == (4, 8, 16)
    assert explorer.controls["x2"].max == 50 and explorer.controls["y2"].max == 20
    assert repr(explorer).startswith("Box (0, 0) to (20, 20), stride 16")
    with pytest.raises(ValueError, match="at least 4 a side"):
        explore_roi(torch.zeros(3, 3, 50))
