"""Labels over thresholds and objectness over a threshold: by hand, by the library, and refused."""

import xml.etree.ElementTree as ElementTree

import pytest
import torch

from teachseg.explore.rpn import (
    Answer,
    Grid,
    explore_matching,
    explore_objectness,
    matching_frame,
    objectness_frame,
)
from teachseg.geometry.anchors import cell_anchors, grid_anchors
from teachseg.geometry.matching import match

# Two levels of an image of 32 x 32 pixels: 4 x 4 cells with anchors of side 8, 2 x 2 with side 16.
ANCHORS = torch.cat([grid_anchors(cell_anchors([8], [1]), (4, 4), 8),
                     grid_anchors(cell_anchors([16], [1]), (2, 2), 16)])
BOXES = torch.tensor([[4.0, 4, 12, 12], [9, 9, 25, 23]])


def grid(boxes: torch.Tensor = BOXES) -> Grid:
    return Grid(torch.zeros(3, 32, 32), boxes, ANCHORS, ((4, 4), (2, 2)))


def answer(name: str = "net", logit: float = -4.0) -> Answer:
    """Sure of anchor 5, which is the first object's box, and of nothing else."""
    logits = torch.full((20,), logit)
    logits[5] = 4.0
    return Answer(name, logits, torch.zeros(20, 4))


def parts(picture: str, kind: str) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(picture).iter(f"{{http://www.w3.org/2000/svg}}{kind}"))


def test_the_labels_by_hand():
    """Anchor 5 is centred on (8, 8), side 8: the first object itself, IoU 1. The second object is
    16 x 14, its closest anchor the coarse one around (16, 16), (8, 8) to (24, 24): common
    15 x 14 = 210, union 256 + 224 - 210 = 270, IoU 0.778."""
    found = matching_frame(grid(), 0.7, 0.3)
    assert found.caption.startswith(
        "Object from IoU 0.70, background below 0.30, the best of each object forced: of 20 "
        "anchors 2 are objects (0 of them forced), ")
    assert "Nobody answers for 0 of 2 objects. A draw of 256 takes 2 objects and" in found.caption
    assert "2 are objects (1 of them forced)" in matching_frame(grid(), 0.8, 0.3).caption
    assert "Nobody answers for 1 of 2 objects" in matching_frame(grid(), 0.8, 0.3, False).caption


@pytest.mark.parametrize("positive, negative, force", [(0.7, 0.3, True), (0.5, 0.5, False),
                                                       (0.2, 0.1, True), (0.95, 0.05, False)])
def test_its_counts_are_the_librarys(positive, negative, force):
    labels, _ = match(grid().iou, positive, negative, force)
    words = matching_frame(grid(), positive, negative, force, size=8).caption
    objects, background, ignored = ((labels == k).sum().item() for k in (1, 0, -1))
    assert f"of 20 anchors {objects} are objects" in words
    assert f"{background} background, {ignored} ignored" in words
    assert f"takes {min(objects, 4)} objects and" in words


def test_forced_anchors_are_dashed_and_the_others_solid():
    def count(picture):
        dashed = [p for p in parts(picture, "rect") if p.get("stroke-dasharray")]
        return len(dashed)

    assert count(matching_frame(grid(), 0.7, 0.3).svg) == 0
    assert count(matching_frame(grid(), 0.8, 0.3).svg) == 1


def test_a_map_shows_the_best_of_each_cell():
    """20 values in order: the first map is 4 x 4, the second 2 x 2."""
    fine, coarse = grid().maps(torch.arange(20.0))
    assert fine.tolist() == torch.arange(16.0).view(4, 4).tolist()
    assert coarse.tolist() == [[16, 17], [18, 19]]
    twice = Grid(torch.zeros(3, 32, 32), BOXES, ANCHORS.repeat_interleave(2, 0), ((4, 4), (2, 2)))
    assert twice.maps(torch.arange(40.0))[1].tolist() == [[33, 35], [37, 39]]


def test_the_objectness_by_hand():
    """One box is above one half and covers the first object; sigmoid(4) = 0.982."""
    found = objectness_frame(grid(), [answer()], "net", 0.5)
    assert found.caption == (
        "net, objectness at least 0.50: 1 of 20 boxes, 1 of them cover an object by an IoU of 0.5 "
        "or more; 1 of 2 objects are covered. Anchors that are labelled objects get 0.500 on "
        "average, background 0.018.")
    assert "20 of 20 boxes" in objectness_frame(grid(), [answer()], "net", 0.01).caption
    assert ElementTree.fromstring(found.svg).get("aria-label") == found.caption


def test_deltas_move_the_boxes_or_do_not():
    """Shifted by one side of its own, the box leaves the object."""
    away = Answer("net", answer().objectness_logits, torch.tensor([1.0, 0, 0, 0]).repeat(20, 1))
    assert "1 of 20 boxes, 0 of them" in objectness_frame(grid(), [away], "net", 0.5).caption
    assert "1 of 20 boxes, 1 of them" in objectness_frame(
        grid(), [away], "net", 0.5, moved=False).caption


def test_without_objects_and_without_boxes():
    nothing = grid(torch.zeros(0, 4))
    words = matching_frame(nothing, 0.7, 0.3).caption
    assert "0 are objects (0 of them forced), 20 background, 0 ignored" in words
    ElementTree.fromstring(objectness_frame(nothing, [answer()], "net", 0.5).svg)
    assert "0 of 20 boxes" in objectness_frame(grid(), [answer()], "net", 0.99).caption


def test_what_cannot_be_drawn_is_said():
    with pytest.raises(ValueError, match="negative=0.8 is above positive=0.7"):
        matching_frame(grid(), 0.7, 0.8)
    with pytest.raises(ValueError, match="answer must be one of net, got 'nut'"):
        objectness_frame(grid(), [answer()], "nut", 0.5)
    with pytest.raises(ValueError, match="threshold must be in 0..1, got 2"):
        objectness_frame(grid(), [answer()], "net", 2)
    with pytest.raises(ValueError, match="20 anchors cannot stand on 16 cells"):
        Grid(torch.zeros(3, 32, 32), BOXES, ANCHORS, ((4, 4),))
    with pytest.raises(ValueError, match="at least one Answer"):
        explore_objectness(grid(), [])
    with pytest.raises(ValueError, match="a name of its own, got net, net"):
        explore_objectness(grid(), [answer(), answer()])
    with pytest.raises(ValueError, match="net answers for 3 anchors, but the grid has 20"):
        explore_objectness(grid(), [Answer("net", torch.zeros(3), torch.zeros(3, 4))])


def test_the_explorer_sweeps_a_threshold(capsys):
    explorer = explore_matching(grid())
    explorer.sweep("positive", (0.7, 0.8))
    first, second = capsys.readouterr().out.splitlines()
    assert "(0 of them forced)" in first and "(1 of them forced)" in second
    assert "Lower negative or raise positive" in explorer.set(positive=0.3, negative=0.5)


def test_the_explorer_changes_the_network():
    explorer = explore_objectness(grid(), [answer("first", 4.0), answer("second")])
    assert explorer.state == {"answer": "second", "threshold": 0.5, "moved": True}
    before = explorer.picture.value
    assert explorer.set(answer="first").startswith("first, objectness at least 0.50: 20 of 20")
    assert explorer.picture.value != before
