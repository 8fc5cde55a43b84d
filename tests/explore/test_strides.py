"""Windows by hand, by torch's own gradients, drawn, and refused."""

import time
import xml.etree.ElementTree as ElementTree

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from teachseg.explore.strides import (
    Field,
    HeldNorm,
    Sight,
    Step,
    explore_strides,
    field_of,
    half_side,
    hold_statistics,
    steps_of,
    strides_frame,
)
from teachseg.layers.backbones import Normalize, build_backbone

PLAIN = Normalize((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


def picture(height: int = 64, width: int = 64) -> torch.Tensor:
    return torch.rand(3, height, width, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def sight():
    torch.manual_seed(0)
    return Sight(build_backbone("course", stem_map=True), picture(), PLAIN)


# --- windows ---


def test_the_courses_windows_by_hand():
    """Stem 3 at stride 2. Then + 2 * 2, + 2 * 4 (15); + 8, + 3 * 16 (71); + 16, + 3 * 32 (183).

    Begins at -(1 + 2 + 4), then 4 + 8 * 3 less, then 8 + 16 * 3 less.
    """
    fields = [field_of(steps) for steps in steps_of(build_backbone("course", stem_map=True))]
    assert fields == [Field(2, 3, -1), Field(4, 15, -7), Field(8, 71, -35), Field(16, 183, -91)]
    assert [field.middle(0) for field in fields] == [0.5] * 4
    assert fields[3].window(5) == (-11, 172)


def test_windows_that_others_report():
    """VGG16's conv5_3 sees 196 pixels, and stands where its stride cell does."""
    vgg = field_of(steps_of(build_backbone("vgg16"))[-1])
    assert vgg == Field(16, 196, -90) and vgg.middle(0) == 8
    for name, wanted in (("resnet50", (35, 91, 267, 427)), ("mobilenet_v2", (19, 59, 267, 491))):
        backbone = build_backbone(name)
        fields = [field_of(steps) for steps in steps_of(backbone)]
        assert tuple(field.size for field in fields) == wanted
        assert tuple(field.stride for field in fields) == tuple(backbone.strides)


def test_dilation_keeps_the_window_and_the_stride():
    plain, dilated = (list(map(field_of, steps_of(build_backbone("resnet50", dilated=how))))
                      for how in (False, True))
    assert [field.size for field in plain] == [field.size for field in dilated]
    assert [field.stride for field in dilated] == [4, 8, 8, 8]
    (c4,) = steps_of(build_backbone("resnet50", c4=True))
    assert field_of(c4) == plain[2]


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(0, 2),
                          st.integers(1, 2)), min_size=1, max_size=4))
def test_a_window_is_what_has_a_gradient(steps):
    """A row of ones through convolutions of ones: the first and the last pixel that matter."""
    row = torch.ones(1, 1, 160, dtype=torch.double, requires_grad=True)
    out = row
    for size, stride, padding, dilation in steps:
        weight = torch.ones(1, 1, size, dtype=torch.double)
        out = nn.functional.conv1d(out, weight, stride=stride, padding=padding, dilation=dilation)
        assume(out.shape[2] >= 8)
    cell = out.shape[2] // 2
    first, end = field_of(Step(*step) for step in steps).window(cell)
    assume(first >= 0 and end <= 160)
    out[0, 0, cell].backward()
    seen = row.grad[0, 0].nonzero().flatten().tolist()
    assert (seen[0], seen[-1] + 1) == (first, end)


def test_what_is_no_backbone_is_told():
    with pytest.raises(ValueError, match="steps of a Linear are not known: pass a backbone"):
        steps_of(nn.Linear(2, 2))


# --- gradients ---


def test_a_held_norm_says_the_same_and_passes_the_scale_alone():
    norm = nn.GroupNorm(2, 4)
    nn.init.uniform_(norm.weight)
    x = torch.randn(2, 4, 3, 5, requires_grad=True)
    torch.testing.assert_close(HeldNorm(norm)(x), norm(x))
    HeldNorm(norm)(x)[0, 1, 2, 3].backward()
    assert x.grad.count_nonzero() == 1
    deviation = x[0, :2].detach().var(correction=0).add(norm.eps).sqrt()  # of its group
    torch.testing.assert_close(x.grad[0, 1, 2, 3], norm.weight[1].detach() / deviation)


def test_held_statistics_leave_the_maps_and_close_the_window(sight):
    """With them live every pixel has a slope; with them held those of the window alone."""
    for stride in (2, 4):
        (y1, y2), (x1, x2) = (sight.fields[stride].window(cell) for cell in (6, 7))
        held = sight.gradient(stride, 6, 7, "held") > 0
        inside = torch.zeros(64, 64, dtype=torch.bool)
        inside[max(y1, 0) : y2, max(x1, 0) : x2] = True
        assert torch.equal(held, inside)
        live = sight.gradient(stride, 6, 7, "live") > 0
        assert int(live.sum()) > 0.9 * 64 * 64
    for maps in zip(*(sight._maps[name].values() for name in ("live", "held"))):
        torch.testing.assert_close(*maps, atol=1e-4, rtol=1e-4)


def test_a_copy_is_held_and_the_backbone_is_left():
    backbone = build_backbone("course")
    held = hold_statistics(backbone)
    assert not any(isinstance(m, HeldNorm) for m in backbone.modules())
    assert sum(isinstance(m, HeldNorm) for m in held.modules()) == sum(
        isinstance(m, nn.GroupNorm) for m in backbone.modules())


def test_half_side_by_hand():
    """Row sums 1, 2, 4, 2, 1 about the middle: 4 of 10 in 1, 8 in 3 x 3, 10 in 5 x 5."""
    line = torch.zeros(5, 5)
    line[2] = torch.tensor([1.0, 2.0, 4.0, 2.0, 1.0])
    assert [half_side(line, 2, 2, share) for share in (0.4, 0.5, 0.8, 0.9)] == [1, 3, 3, 5]
    assert half_side(line, 0, 0, 0.05) == 5  # three rows down it begins to see something


def test_an_image_that_does_not_fit_is_told():
    with pytest.raises(ValueError, match=r"\(60, 64\) must be multiples.*16: pad it"):
        Sight(build_backbone("course"), picture(60), PLAIN)


# --- the frame ---


def test_the_frame_says_where_it_is_and_what_it_sees(sight):
    found = strides_frame(sight, 33, 18, 4)
    assert found.caption.startswith(
        "Pixel (33, 18) lies in cell (row 4, column 8) of the map of stride 4, which stands for "
        "columns 32 to 36, rows 16 to 20. The cell sees 15 x 15 pixels, columns 25 to 40, rows 9 "
        "to 24, all of it on the image. Gradient, statistics held: 100.0% in the window,")
    assert "183 x 183 pixels, columns -59 to 124, rows -75 to 108, 64 x 64 of it" in (
        strides_frame(sight, 33, 18, 16).caption)
    root = ElementTree.fromstring(found.svg)
    assert root.get("aria-label") == found.caption
    assert sum(1 for _ in root.iter("{http://www.w3.org/2000/svg}image")) == 3
    assert found == strides_frame(sight, 33, 18, 4)


def test_a_window_that_leaves_the_image_is_left_open(sight):
    """Sides drawn: four inside; at the corner two, and none where the window is larger."""
    dashed = [strides_frame(sight, x, y, stride).svg.count("stroke-dasharray")
              for x, y, stride in ((33, 18, 4), (0, 0, 4), (33, 18, 16))]
    # twice the box, two ends in the chart and a line of the legend; then fewer
    assert dashed == [2 * 4 + 2 + 1, 2 * 2 + 1 + 1, 1]


def test_a_cell_that_says_nothing_has_no_gradient():
    """The last norm far below 0, so that relu leaves nothing."""
    backbone = build_backbone("course")
    nn.init.constant_(backbone.stages[2][1].second[1].bias, -1e4)
    found = strides_frame(Sight(backbone, picture(), PLAIN), 20, 20, 16)
    assert found.caption.endswith("statistics held: none, as all its channels are 0 here.")
    ElementTree.fromstring(found.svg)


@pytest.mark.parametrize("values, words", [
    ((33, 18, 5), "stride must be one of 2, 4, 8, 16, got 5"),
    ((64, 18, 4), r"Pixel \(64, 18\) is not on the image of 64 x 64.*x goes from 0 to 63"),
    ((3, -1, 4), "is not on the image"),
    ((3, 1, 4, "both"), "statistics must be one of live, held"),
])
def test_what_cannot_be_drawn_is_said(sight, values, words):
    with pytest.raises(ValueError, match=words):
        strides_frame(sight, *values)


def test_a_frame_takes_10_milliseconds_at_most(sight):
    """Where its cell's gradient is there; of the processor's time, the best of ten."""
    strides_frame(sight, 32, 32, 8)
    taken = []
    for i in range(10):
        begin = time.process_time()
        strides_frame(sight, 32 + i % 8, 32, 8)
        taken.append(time.process_time() - begin)
    assert min(taken) <= 0.010


# --- the explorer ---


def test_the_explorer_sweeps_the_stride_and_a_pixel(capsys):
    torch.manual_seed(0)
    explorer = explore_strides(build_backbone("course"), picture(), PLAIN, x=20, y=9, stride=4)
    explorer.sweep("stride", (4, 8, 16))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("sees ")[1].split(" x ")[0] for line in lines] == ["15", "71", "183"]
    explorer.sweep("x", (15, 16))
    lines = capsys.readouterr().out.splitlines()
    assert ["column 3)" in line for line in lines] == [True, False]
    words = [control.description for control in explorer.controls.values()]
    assert len(set(words)) == 4 and sum("(px)" in word for word in words) == 3
