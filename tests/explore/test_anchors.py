"""Anchors on a scene and deltas that move one: by hand, against the library, and the explorers."""

import time
import xml.etree.ElementTree as ElementTree

import pytest
import torch

from teachseg.datasets.scenes import Scenes
from teachseg.explore.anchors import (
    anchor_frame,
    anchors_of,
    delta_frame,
    explore_anchors,
    explore_deltas,
    stand,
)
from teachseg.geometry.boxes import box_iou, center_size, decode_boxes, encode_boxes
from teachseg.structures import Targets

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def scene():
    return Scenes("lesson 04", 60)[54]


@pytest.fixture(scope="module")
def ready(scene):
    return stand(*scene)


def one_object(box, size=(64, 64)):
    """A black image with one disc, by its box."""
    height, width = size
    masks = torch.zeros(1, height, width, dtype=torch.bool)
    masks[0, 0, 0] = True
    return torch.zeros(3, height, width), Targets(torch.tensor([box], dtype=torch.float32),
                                                  torch.tensor([1]), masks)


# --- which anchor, and how well it fits ---


def test_the_anchor_of_a_cell_by_hand():
    """Stride 16, (40, 20) is in row 1, column 2, number 1 * 4 + 2, centred on (32, 16).

    Anchor (24, 8, 40, 24), object (24, 8, 40, 40): 256 of 512 pixels.
    """
    ready = stand(*one_object((24, 8, 40, 40)))
    found = anchor_frame(ready, size=16, ratio=1.0, stride=16, x=40, y=20)
    assert "16.0 wide, 16.0 high; stride 16: 4 x 4 = 16 anchors" in found.caption
    assert "Row 1, column 2 is number 6, centre (32, 16)" in found.caption
    assert "A disc 0.500 / 0.500. Of 1 objects 1 reach 0.5, 0 reach 0.7." in found.caption
    lying = anchor_frame(ready, size=16, ratio=0.25, stride=16, x=40, y=20)  # 32 wide, 8 high
    assert "32.0 wide, 8.0 high" in lying.caption


def test_middle_is_half_a_stride_further():
    corner = anchors_of((64, 48), 8, 1.0, 16, "corner")
    middle = anchors_of((64, 48), 8, 1.0, 16, "middle")
    assert torch.equal(middle - corner, torch.full((12, 4), 8.0))
    assert center_size(corner)[0][1].tolist() == [16, 0]  # along the row first


def test_a_cut_cell_counts():
    assert len(anchors_of((17, 33), 8, 1.0, 16)) == 2 * 3


def test_the_caption_is_the_librarys_iou(ready):
    state = dict(size=48, ratio=0.5, stride=8, x=60, y=33, where="middle")
    anchors = anchors_of(ready.size, 48, 0.5, 8, "middle")
    iou = box_iou(ready.boxes, anchors)
    words = anchor_frame(ready, **state).caption
    for name, here, best in zip(ready.names, iou[:, 4 * 16 + 7], iou.max(dim=1).values):
        assert f"{name} {here:.3f} / {best:.3f}" in words


def test_moving_within_a_cell_moves_nothing(ready):
    frames = [anchor_frame(ready, stride=16, x=x, y=40) for x in (64, 68, 79, 80)]
    assert frames[0] == frames[1] == frames[2] != frames[3]


@pytest.mark.parametrize("state", [
    {}, dict(size=96, ratio=0.25, stride=32, x=127, y=127), dict(size=8, stride=4, x=0, y=0),
    dict(size=96, ratio=4.0, where="middle"),
])
def test_the_frame_draws_what_it_says(ready, state):
    found = anchor_frame(ready, **state)
    root = ElementTree.fromstring(found.svg)
    assert root.get("aria-label") == found.caption
    words = [text.text for text in root.iter(f"{SVG}text")]
    assert {"A", "B", "C", "D"} <= set(words)
    assert "A triangle, 12 x 27" in words
    dashed = [r for r in root.iter(f"{SVG}rect") if r.get("stroke-dasharray")]
    assert dashed  # the anchor in hand is never told by its colour alone


@pytest.mark.parametrize("state, words", [
    (dict(x=128), r"\(128, 64\) is not on the image, which is 128 x 128"),
    (dict(y=-1), "is not on the image"),
    (dict(size=0), "size must be above 0, got 0"),
    (dict(ratio=-1), "ratio must be above 0"),
    (dict(where="edge"), "where must be one of corner, middle, got 'edge'"),
])
def test_what_cannot_be_drawn_is_said(ready, state, words):
    with pytest.raises(ValueError, match=words):
        anchor_frame(ready, **state)


def test_a_scene_without_objects_or_with_too_many_is_refused():
    image, some = one_object((0, 0, 8, 8))
    none = Targets(some.boxes[:0], some.labels[:0], some.masks[:0])
    many = Targets(some.boxes.repeat(9, 1), some.labels.repeat(9), some.masks.repeat(9, 1, 1))
    for targets, count in ((none, 0), (many, 9)):
        with pytest.raises(ValueError, match=f"1 to 8 objects, this scene has {count}"):
            stand(image, targets)


def test_frames_take_10_milliseconds_at_most(ready):
    """Of the processor's time, the best of ten; the finest grid."""
    taken = []
    for i in range(10):
        begin = time.process_time()
        anchor_frame(ready, stride=4, x=10 + i)
        delta_frame(ready, (0, 0, 16, 16), t_x=i / 10)
        taken.append(time.process_time() - begin)
    assert min(taken) <= 0.020


# --- deltas ---


def test_deltas_by_hand():
    """Anchor (10, 10, 30, 50), deltas 0.75, 0.25, ln 2, 0: (15, 20, 55, 60), the object itself."""
    ready = stand(*one_object((15, 20, 55, 60)))
    found = delta_frame(ready, (10, 10, 30, 50), 0.75, 0.25, 0.6931472, 0.0)
    assert "from (20.0, 30.0) to (35.0, 40.0)" in found.caption
    assert "grow 2.000 and 1.000 times, to 40.0 x 40.0" in found.caption
    # 15 x 30 of 800 + 1600 - 450 before
    assert "IoU with A disc: 0.231 before, 1.000 now." in found.caption


def test_the_right_deltas_end_on_the_object(ready):
    anchor = torch.tensor([[24.0, 16.0, 56.0, 48.0]])
    for target in range(4):
        deltas = encode_boxes(ready.boxes[target : target + 1], anchor)[0].tolist()
        found = delta_frame(ready, anchor[0].tolist(), *deltas, target=target)
        assert found.caption.endswith("1.000 now.")
        ElementTree.fromstring(found.svg)


def test_a_wild_delta_is_held_where_the_library_holds_it(ready):
    found = delta_frame(ready, (0, 0, 16, 16), t_w=9.0)
    box = decode_boxes(torch.tensor([[0.0, 0, 9, 0]]), torch.tensor([[0.0, 0, 16, 16]]))
    assert box[0, 2] - box[0, 0] == pytest.approx(1000)
    assert "grow 62.500 and 1.000 times, to 1000.0 x 16.0" in found.caption


def test_a_target_that_is_not_there_is_refused(ready):
    with pytest.raises(ValueError, match="target must be an object's number, 0 to 3, got 4"):
        delta_frame(ready, (0, 0, 16, 16), target=4)


# --- the explorers ---


def test_the_sweep_of_the_lesson(scene, capsys):
    explorer = explore_anchors(*scene)
    explorer.set(stride=16, y=40)
    explorer.sweep("x", (60, 64, 68, 72))
    columns = [line.split("column ")[1].split(" ")[0]
               for line in capsys.readouterr().out.splitlines()]
    assert columns == ["3", "4", "4", "4"]


def test_the_controls_say_their_units(scene):
    explorer = explore_anchors(*scene)
    words = [control.description for control in explorer.controls.values()]
    assert len(set(words)) == 6 and sum("px" in description for description in words) == 4
    moves = explore_deltas(*scene, (24, 16, 56, 48), target=2)
    assert [c.description[:3] for c in moves.controls.values()] == ["t_x", "t_y", "t_w", "t_h"]
    before = moves.picture.value
    moves.set(t_x=-0.7)
    assert moves.picture.value != before and "(17.6, 32.0)" in repr(moves)


def test_small_images_have_fewer_strides():
    explorer = explore_anchors(*one_object((2, 2, 9, 9), size=(12, 20)))
    assert explorer.controls["stride"].options == (4, 8)
    assert explorer.controls["x"].max == 19 and explorer.controls["y"].max == 11
