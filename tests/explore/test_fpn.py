"""Which level reads a box: the frame against assign_levels, its rules, what it refuses."""

import xml.etree.ElementTree as ElementTree

import pytest
import torch

from teachseg.explore.fpn import RULES, Pyramid, explore_levels, level_frame, place_box
from teachseg.layers.fpn import assign_levels

IMAGE = torch.linspace(0, 1, 3 * 256 * 512).view(3, 256, 512)
PYRAMID = Pyramid(IMAGE)
SVG = "{http://www.w3.org/2000/svg}"


def test_levels_are_the_librarys():
    courses = Pyramid(IMAGE, (4, 8, 16), canonical_side=56, canonical_level=0)
    for side in (8, 55, 56, 111.9, 112, 160, 223.9, 224, 448, 900):
        box = torch.tensor([[0.0, 0.0, side, side]])
        assert PYRAMID.level(side) == assign_levels(box, 4).item()
        assert courses.level(side) == assign_levels(box, 3, 56, 0).item()


def test_other_rules_by_hand():
    """448: 4 + ln 2 = 4.69 stays at P4. 160: 4 + log2(0.714) = 3.51 is rounded up to P4."""
    assert PYRAMID.exact(448, "floor of ln") == pytest.approx(4.6931, abs=1e-4)
    assert [PYRAMID.level(448, rule) for rule in RULES] == [3, 2, 3]
    assert [PYRAMID.level(160, rule) for rule in RULES] == [1, 1, 2]


@pytest.mark.parametrize("rule", RULES)
def test_levels_change_at_the_borders(rule):
    for i, border in enumerate(PYRAMID.borders(rule)):
        assert PYRAMID.level(border * 0.999, rule) == i
        assert PYRAMID.level(border * 1.001, rule) == i + 1


def test_borders_of_the_paper():
    assert PYRAMID.borders("floor of log2") == [112, 224, 448]


def test_a_box_is_placed_around_its_middle_and_kept_inside():
    assert place_box((256, 512), (100, 100), 40, 4) == (90, 60, 110, 140)
    assert place_box((256, 512), (0, 256), 50, 1) == (0, 206, 50, 256)
    assert place_box((256, 512), (256, 128), 256, 1) == (128, 0, 384, 256)
    with pytest.raises(ValueError, match="256 x 64 px does not fit the image, which is 128 x 128"):
        place_box((128, 128), (64, 64), 128, 0.25)


def test_the_frame_says_the_numbers():
    found = level_frame(PYRAMID, (256, 128), 224)
    assert found.caption == (
        "A box 224 x 224 px has the side 224: 4 + log2(224 / 224) = 4.000, floor 4. P4 reads it, "
        "stride 16: 14.0 x 14.0 cells, 2.00 x 2.00 for each of 7 x 7 bins.")
    assert "floor 0, held at 2. P2 reads it" in level_frame(PYRAMID, (99, 99), 20).caption
    tall = level_frame(PYRAMID, (256, 128), 64, 4.0).caption
    assert tall.startswith("A box 32 x 128 px has the side 64:") and "8.0 x 32.0 cells" in tall
    assert "4 + ln(224 / 224)" in level_frame(PYRAMID, (9, 9), 224, rule="floor of ln").caption


def test_the_frame_draws_every_level_and_marks_one():
    found = level_frame(PYRAMID, (256, 128), 100)
    root = ElementTree.fromstring(found.svg)
    words = [text.text for text in root.iter(f"{SVG}text")]
    assert sum("reads it" in word and "stride" in word for word in words) == 1
    assert [w for w in words if w.startswith("P3, ")] == ["P3, stride 8"]
    assert {"25.0 x 25.0 cells", "12.5 x 12.5 cells", "3.1 x 3.1 cells", "this box: 100"} <= set(
        words)
    assert len(list(root.iter(f"{SVG}image"))) == 5  # the image, and what four levels have of it
    assert root.get("aria-label") == found.caption


@pytest.mark.parametrize("side", [8, 60, 128])
@pytest.mark.parametrize("ratio", [0.25, 1.0, 4.0])
def test_small_large_and_long_boxes_are_drawn_at_the_image_s_corners(side, ratio):
    for middle in ((0, 0), (512, 256)):
        ElementTree.fromstring(level_frame(PYRAMID, middle, side, ratio).svg)


@pytest.mark.parametrize("state, words", [
    ({"side": 4}, "The side must be in 8..1024 pixels"),
    ({"side": 300}, "does not fit the image"),
    ({"side": 40, "rule": "ceil"}, "rule must be one of floor of log2, floor of ln"),
])
def test_what_cannot_be_drawn_is_said(state, words):
    with pytest.raises(ValueError, match=words):
        level_frame(PYRAMID, (256, 128), **state)


def test_strides_must_double():
    with pytest.raises(ValueError, match=r"must double from level to level, got \(4, 8, 32\)"):
        Pyramid(IMAGE, (4, 8, 32))


def test_the_explorer_sweeps_sides(capsys):
    explorer = explore_levels(IMAGE, (256, 128))
    explorer.sweep("side", (60, 111, 112, 223, 224))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" reads it")[0][-2:] for line in lines] == ["P2", "P2", "P3", "P3", "P4"]
    before = explorer.picture.value
    explorer.set(side=200, ratio=2.0)
    assert explorer.picture.value != before and "does not fit" in explorer.caption.value
    assert "rounded 3." in explorer.set(side=100, ratio=1.0, rule="round of log2")
