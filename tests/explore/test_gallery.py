"""The gallery: fates and parts by hand in its caption, every toggle, refusals in words."""

import time
import xml.etree.ElementTree as ElementTree
from statistics import median

import pytest
import torch

from teachseg.explore.gallery import Answered, explore_gallery, free_line, gallery_frame
from teachseg.structures import Detections, Targets

NAMES = ("disc", "square")


def rectangle(x1: int, y1: int, x2: int, y2: int) -> torch.Tensor:
    mask = torch.zeros(32, 32, dtype=torch.bool)
    mask[y1:y2, x1:x2] = True
    return mask


def scene(kind: str = "crossing") -> Answered:
    """A disc and a square. "good" finds both; "poor" has a mask over both, and one over nothing."""
    masks = torch.stack([rectangle(2, 2, 12, 12), rectangle(12, 2, 22, 12)])
    boxes = torch.tensor([[2.0, 2, 12, 12], [12.0, 2, 22, 12]])
    there = Targets(boxes, torch.tensor([1, 2]), masks)
    good = Detections(boxes, torch.tensor([1, 2]), torch.tensor([0.9, 0.6]), masks)
    wide = torch.stack([rectangle(2, 2, 22, 14), rectangle(2, 20, 10, 30)])
    poor = Detections(torch.tensor([[2.0, 2, 22, 14], [2.0, 20, 10, 30]]), torch.tensor([1, 1]),
                      torch.tensor([0.8, 0.7]), wide)
    image = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(0))
    return Answered(kind, image, there, {"good": good, "poor": poor})


def test_what_it_says_by_hand():
    frame = gallery_frame([scene()], NAMES, "crossing", 0, "poor", 0.5)
    assert frame.caption == (
        "Scene 0 of kind crossing, poor, score at least 0.5. Objects: 2 merged. Detections: "
        "1 merged, 1 nothing. Found of 2: good 2, poor 0.")
    frame = gallery_frame([scene()], NAMES, "crossing", 0, "good", 0.7)
    assert "Objects: 1 found, 1 missed. Detections: 1 right. Found of 2: good 1, poor 0." \
        in frame.caption


def test_what_it_draws():
    drawn = gallery_frame([scene()], NAMES, "crossing", 0, "poor", 0.5).svg
    ElementTree.fromstring(drawn)
    for words in ("what poor found", "disc merged", "square merged", "disc 0.80 merged",
                  "disc 0.70 nothing"):
        assert words in drawn
    assert drawn != gallery_frame([scene()], NAMES, "crossing", 0, "good", 0.5).svg


def test_slider_and_toggle():
    explorer = explore_gallery([scene(), scene(), scene("ring"), scene("ring")], NAMES)
    assert list(explorer.controls) == ["kind", "scene", "paper", "score"]
    assert "Scene 0 of kind ring, good" in explorer.set(kind="ring")
    assert "Scene 0 of kind ring, poor" in explorer.set(paper="poor")
    assert "Scene 1 of kind ring, poor" in explorer.set(scene=1)
    assert "Detections: none" in explorer.set(score=0.95)
    with pytest.raises(ValueError, match="paper cannot be 'best': choose one of 'good', 'poor'"):
        explorer.set(paper="best")


def test_names_do_not_cover_each_other():
    assert free_line(0, 50, 20, []) == 20
    assert free_line(0, 50, 20, [(60, 90, 20)]) == 20       # beside it
    assert free_line(0, 50, 20, [(40, 90, 22)]) == 35       # below it
    assert free_line(0, 50, 20, [(40, 90, 22), (0, 10, 40)]) == 53


def test_a_frame_is_quick():
    explorer, times = explore_gallery([scene()], NAMES), []
    for i in range(9):
        started = time.perf_counter()
        explorer.draw(score=0.1 + 0.05 * i)
        times.append(time.perf_counter() - started)
    assert median(times) < 0.03


@pytest.mark.parametrize("changes, words", [
    ({"scene": 3}, "scene must be in 0..0 for the kind 'crossing', got 3"),
    ({"kind": "thin"}, "no scenes of the kind 'thin'. There are: crossing."),
    ({"paper": "best"}, "There is no answer of 'best'. There are: good, poor."),
    ({"score": 1.5}, "score must be in 0..1, got 1.5"),
])
def test_refusals(changes, words):
    state = {"kind": "crossing", "scene": 0, "paper": "good", "score": 0.5} | changes
    with pytest.raises(ValueError, match=words):
        gallery_frame([scene()], NAMES, **state)


def test_scenes_that_do_not_fit():
    with pytest.raises(ValueError, match="needs at least one Answered"):
        explore_gallery([], NAMES)
    one = scene()
    less = Answered("ring", one.image, one.targets, {"good": one.answers["good"]})
    with pytest.raises(ValueError, match=r"scenes\[1\] has the answers of good, scenes\[0\]"):
        explore_gallery([one, less], NAMES)
    small = Answered("ring", one.image, one.targets, {"good": Detections.empty((8, 8)),
                                                      "poor": one.answers["poor"]})
    with pytest.raises(ValueError, match="the masks of good are not as large"):
        explore_gallery([small], NAMES)
