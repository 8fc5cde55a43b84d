"""The drawing vocabulary: well-formed, escaped, and each shape where it should be."""

import base64
import io
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from teachseg import plot
from teachseg.explore import svg

SVG = "{http://www.w3.org/2000/svg}"


def parsed(*shapes: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg.picture(100, 50, *shapes, label="a label"))


def test_a_picture_says_its_size_its_role_and_its_label():
    root = parsed()
    assert (root.get("width"), root.get("height"), root.get("viewBox")) == (
        "100", "50", "0 0 100 50")
    assert (root.get("role"), root.get("aria-label")) == ("img", "a label")
    with pytest.raises(ValueError, match="needs a label"):
        svg.picture(1, 1, label=" ")


@given(st.text())
def test_any_words_are_escaped(words):
    root = parsed(svg.text(0, 0, words))
    found = root.find(f"{SVG}text").text or ""
    # XML itself makes \r a \n; what it cannot hold at all is left out
    assert found == svg.NOT_XML.sub("", words).replace("\r\n", "\n").replace("\r", "\n")


def test_words_cannot_become_markup():
    root = parsed(svg.text(0, 0, "<script>alert(1)</script>\x00"), svg.box((0, 0, 1, 1), '"><b/>'))
    assert {child.tag for child in root} == {f"{SVG}rect", f"{SVG}text"}
    assert root.find(f"{SVG}text").text == "<script>alert(1)</script>"


@pytest.mark.parametrize("x, words", [
    (0.0, "0"), (-0.0, "0"), (-0.004, "0"), (0.005, "0.01"), (2.50, "2.5"), (100.0, "100"),
    (-1 / 3, "-0.33"),
])
def test_numbers_are_short_and_never_minus_zero(x, words):
    assert svg.number(x) == words


@pytest.mark.parametrize("x", [float("nan"), float("inf")])
def test_a_number_that_is_none_is_refused(x):
    with pytest.raises(ValueError, match="ordinary numbers"):
        svg.number(x)


def test_the_colours_are_those_of_the_plots():
    assert (svg.ORANGE, svg.BLACK) == (plot.COLOURS[0], plot.COLOURS[7])
    import matplotlib

    ends = svg.shades(torch.tensor([-1.0, 0.0, 1.0, 2.0]))
    dark, bright = (torch.tensor(matplotlib.colormaps["cividis"](i)[:3]) for i in (0, 255))
    torch.testing.assert_close(ends, torch.stack([dark, dark, bright, bright]).to(ends))
    assert torch.equal(svg.shades(torch.tensor([5.0]), 5, 5), svg.shades(torch.tensor([0.5])))


def test_an_image_becomes_the_same_pixels():
    image = torch.arange(3 * 4 * 5).reshape(3, 4, 5) / 59
    head, data = svg.image_uri(image).split(",")
    assert head == "data:image/png;base64"
    back = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
    assert np.array_equal(back, (image * 255).round().byte().permute(1, 2, 0).numpy())
    with pytest.raises(ValueError, match="channels come last"):
        svg.image_uri(torch.zeros(4, 5, 3))


def test_boxes_solid_and_dashed():
    solid, dashed = parsed(svg.box((1, 2, 4, 8)), svg.box((4, 8, 1, 2), dashed=True))[1:]
    for shape in (solid, dashed):  # 3 wide and 6 high, whichever corner comes first
        place = [shape.get(name) for name in ("x", "y", "width", "height", "fill")]
        assert place == ["1", "2", "3", "6", "none"]
    assert solid.get("stroke-dasharray") is None and dashed.get("stroke-dasharray") == "6 4"


def test_bins_are_every_pair_of_a_column_and_a_row():
    """2 columns x 2 rows; the second row is empty, so two outlines are left."""
    path = parsed(svg.bins([(0, 2), (1, 4)], [(0, 3), (3, 3)]))[1].get("d")
    assert path == "M0 0H2V3H0ZM1 0H4V3H1Z"
    assert svg.bins([], []) == "" and svg.bins([(1, 1)], [(0, 1)]) == ""


def test_a_sample_is_a_cross():
    path = parsed(svg.sample_points([(10, 20)], radius=3))[1].get("d")
    assert path == "M7 20h6m-3 -3v6"  # 7..13 across; then from (13, 20) to (10, 17) and 6 down
    assert svg.sample_points([]) == ""
    rim, cross = parsed(svg.sample_points([(1, 2)], "#FFFFFF", rim="#000000"))[1:]
    assert (rim.get("stroke"), cross.get("stroke")) == ("#000000", "#FFFFFF")


def test_an_arrow_ends_at_its_tip():
    """To the right by 20, width 2: a head of 8 from x = 12, 4 to either side of y = 5."""
    shaft, head = parsed(svg.arrow(0, 5, 20, 5))[1:]
    assert shaft.get("d") == "M0 5L12 5"
    assert head.get("points") == "20,5 12,9 12,1"
    assert svg.arrow(3, 3, 3, 3) == ""


def test_grid_lines_stand_between_cells():
    """10 wide, step 4: lines at 4 and 8; 4 high: none across."""
    assert parsed(svg.grid_lines((0, 0, 10, 4), 4))[1].get("d") == "M4 0V4M8 0V4"
    assert svg.grid_lines((0, 0, 4, 4), 4) == "" and svg.grid_lines((0, 0, 100, 100), 1) == ""


def test_a_feature_grid_shows_its_values_in_readable_ink():
    values = torch.tensor([[0.0, 1.0], [float("nan"), 0.25]])
    shapes = list(parsed(svg.feature_grid(values, 10, 20, 30)))[1:]
    cells, words = shapes[::2], shapes[1::2]
    places = [(c.get("x"), c.get("y"), c.get("width")) for c in cells]
    assert places == [("10", "20", "30"), ("40", "20", "30"), ("10", "50", "30"),
                      ("40", "50", "30")]
    assert [w.text for w in words] == ["0.00", "1.00", "-", "0.25"]
    assert [w.get("fill") for w in words] == [svg.PAPER, svg.INK, svg.INK, svg.PAPER]
    assert cells[2].get("fill") == svg.PAPER


def test_numbers_are_left_out_where_they_do_not_fit():
    assert "<text" not in svg.feature_grid(torch.zeros(2, 2), 0, 0, 10)
    assert svg.feature_grid(torch.zeros(0, 3), 0, 0, 10) == ""
    with pytest.raises(ValueError, match="values must have the shape"):
        svg.feature_grid(torch.zeros(1, 2, 2), 0, 0, 10)


def test_a_line_is_broken_where_a_point_is_missing():
    assert parsed(svg.polyline([(0, 0), (1, 2), None, (3, 4)]))[1].get("d") == "M0 0L1 2M3 4"
    assert svg.polyline([]) == ""


def test_legend_group_and_underlay():
    entries = [("solid", "#000", "a"), ("dashed", "#000", "b"), ("cross", "#000", "c"),
               ("arrow", "#000", "d")]
    root = parsed(svg.group(svg.legend(entries, 5, 5), right=3, down=-2.5))
    assert root[1].get("transform") == "translate(3 -2.5)"
    assert [t.text for t in root.iter(f"{SVG}text")] == ["a", "b", "c", "d"]
    with pytest.raises(ValueError, match="A legend shows"):
        svg.legend([("dotted", "#000", "a")], 0, 0)
    with pytest.raises(ValueError, match="anchor"):
        svg.text(0, 0, "a", anchor="left")
    image = parsed(svg.underlay("data:,", (1, 2, 11, 7)))[1]
    assert [image.get(n) for n in ("x", "y", "width", "height")] == ["1", "2", "10", "5"]


def test_only_presentation_attributes():
    drawing = svg.picture(
        10, 10, svg.box((0, 0, 1, 1)), svg.arrow(0, 0, 9, 9),
        svg.feature_grid(torch.eye(2), 0, 0, 9), svg.underlay("data:,", (0, 0, 1, 1)), label="x",
    )
    assert not re.search(r"<(style|script|defs)|\b(id|style|class|on\w+)=", drawing)


def test_a_mask_by_hand():
    """Pixels (0,1), (1,1), (1,2) of 2 x 3, each 10 wide, from (5, 5): two runs, a rim of 8 sides.

    The runs: row 0 from 1 to 2, row 1 from 1 to 3. The rim across: above row 0 one side, between
    the rows the one of (1, 2), below row 1 two in one line; down: left both rows in one line,
    right of (0, 1), right of (1, 2).
    """
    inside = torch.tensor([[0, 1, 0], [0, 1, 1]]).bool()
    areas, rim = re.findall(r' d="([^"]*)"', "<" + svg.mask(inside, 5, 5, 10))
    assert areas == "M15 5h10v10h-10zM15 15h20v10h-20z"
    assert rim == "M15 5h10v10h10v10h-20v-20z"
    assert svg.mask(torch.zeros(2, 3, dtype=torch.bool), 0, 0, 1) == ""
    with pytest.raises(ValueError, match="inside"):
        svg.mask(torch.zeros(2, 3, 1), 0, 0, 1)


def area_of(loop):
    """Signed area of a closed line of (row, column) corners: positive where inside lies right."""
    return sum(x1 * y2 - x2 * y1 for (y1, x1), (y2, x2) in zip(loop, loop[1:])) / 2


def test_outlines_of_a_ring_and_of_two_pixels_that_touch_at_a_corner():
    ring = torch.ones(3, 3, dtype=torch.bool)
    ring[1, 1] = False
    assert sorted(map(area_of, svg.outlines(ring))) == [-1, 9]  # the hole goes the other way round
    corner = torch.eye(2).bool()
    assert sum(map(area_of, svg.outlines(corner))) == 2


@given(seed=st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_outlines_are_closed_and_hold_as_many_pixels(seed):
    inside = torch.rand(7, 9, generator=torch.Generator().manual_seed(seed)) < 0.5
    loops = svg.outlines(inside)
    assert sum(map(area_of, loops)) == int(inside.sum())
    for loop in loops:
        assert loop[0] == loop[-1] and len(loop) > 4
