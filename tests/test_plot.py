"""Drawing: that numbers become the right places, and that nothing to draw is an ordinary case."""

import io

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import pyplot as plt
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from PIL import Image as Picture

from teachseg.plot import (
    COLOURS,
    colour,
    draw_boxes,
    draw_curve,
    draw_features,
    draw_image,
    draw_masks,
    draw_objects,
    overlay,
    show,
)
from teachseg.structures import Detections, Targets


@pytest.fixture
def ax():
    return Figure().subplots()


def one_object(height=8, width=10):
    """Rows 2..3, columns 1..4 of an image, as class 2."""
    masks = torch.zeros(1, height, width, dtype=torch.bool)
    masks[0, 2:4, 1:5] = True
    return Targets(torch.tensor([[1.0, 2.0, 5.0, 4.0]]), torch.tensor([2]), masks)


def found(score=0.9, **size):
    boxes, labels, masks = one_object(**size)
    return Detections(boxes, labels, torch.tensor([score]), masks)


def test_seven_colours_then_again():
    assert [colour(label) for label in (1, 7, 8)] == [COLOURS[0], COLOURS[6], COLOURS[0]]
    assert len({colour(label) for label in range(1, 8)}) == 7
    assert "#000000" not in {colour(label) for label in range(1, 20)}


def test_an_image_lies_on_pixel_edges(ax):
    """Pixel i covers [i, i + 1): 10 wide and 8 high reaches from 0 to 10 and from 0 to 8."""
    assert draw_image(ax, torch.zeros(3, 8, 10), "title") is ax
    assert ax.images[0].get_extent() == [0, 10, 8, 0]
    assert ax.get_title() == "title"


def test_boxes_stand_at_their_numbers_in_their_classes_colour(ax):
    boxes = torch.tensor([[1.0, 2.0, 5.0, 4.0], [0.5, 0.0, 1.0, 3.0]])
    labels, scores = torch.tensor([1, 3]), torch.tensor([0.987, 0.5])
    draw_boxes(ax, boxes, labels, scores, names=("disc", "square", "star"))
    first, second = ax.patches
    assert (first.get_xy(), first.get_width(), first.get_height()) == ((1, 2), 4, 2)
    assert (second.get_xy(), second.get_width(), second.get_height()) == ((0.5, 0), 0.5, 3)
    assert [to_hex(box.get_edgecolor()).upper() for box in ax.patches] == [COLOURS[0], COLOURS[2]]
    assert [text.get_text() for text in ax.texts] == ["disc 0.99", "star 0.50"]


def test_boxes_alone_are_without_words_and_may_be_dashed(ax):
    draw_boxes(ax, torch.tensor([[1.0, 2.0, 5.0, 4.0]]), names=("disc",), dashed=True)
    assert len(ax.texts) == 0 and ax.patches[0].get_linestyle() == "--"


def test_a_mask_is_coloured_where_it_is_and_clear_elsewhere(ax):
    draw_masks(ax, one_object().masks, torch.tensor([2]), alpha=0.5)
    layer = torch.as_tensor(ax.images[0].get_array())  # (8, 10, 4)
    assert torch.equal(layer[..., 3] == 0.5, one_object().masks[0])
    assert float(layer[..., 3].sum()) == 4.0  # 8 pixels of alpha 0.5
    torch.testing.assert_close(layer[2, 1, :3], torch.tensor(to_rgb(COLOURS[1])))


def test_nothing_to_draw(ax):
    none = Detections.empty((8, 10))
    draw_objects(ax, torch.zeros(3, 8, 10), none, ("disc",))
    draw_masks(ax, torch.zeros(2, 8, 10, dtype=torch.bool))  # two objects without a pixel
    assert len(ax.images) == 1 and len(ax.patches) == 0  # the picture alone


def test_truth_has_no_scores_and_detections_have(ax):
    draw_objects(ax, torch.zeros(3, 8, 10), one_object(), ("disc", "square"))
    draw_objects(ax, torch.zeros(3, 8, 10), found(), ("disc", "square"))
    assert [text.get_text() for text in ax.texts] == ["square", "square 0.90"]


def test_features_show_the_length_of_each_cells_vector(ax):
    """(3, 4) has the length 5."""
    features = torch.zeros(2, 1, 2, requires_grad=True)
    with torch.no_grad():
        features[:, 0, 1] = torch.tensor([3.0, 4.0])
    draw_features(ax, features)
    assert ax.images[0].get_array().tolist() == [[0.0, 5.0]]


def test_a_curve_bears_its_name_at_its_end(ax):
    draw_curve(ax, [0, 1, 2], [3.0, 2.0, 1.0], "loss")
    draw_curve(ax, [], [], "nothing yet")
    assert [(text.get_text(), text.xy) for text in ax.texts] == [("loss", (2, 1.0))]


# ---- show ---------------------------------------------------------------------------------------


@pytest.fixture
def displayed(monkeypatch):
    """What a notebook would be given, in the place of a notebook."""
    given = []
    monkeypatch.setattr("IPython.display.display", given.append)
    return given


def test_a_figure_is_shown_once_with_its_caption_in_two_places(displayed, capsys):
    """Axes over all of 4 x 3 inches, and 0.1 inch around: 4.2 * 72 = 302.4, 3.2 * 72 = 230.4."""
    plt.switch_backend("agg")
    figure = plt.figure(figsize=(4, 3))
    figure.add_axes((0, 0, 1, 1)).set(xticks=[], yticks=[])
    show(figure, 'One "empty" frame.')
    (image,) = displayed
    picture = Picture.open(io.BytesIO(image.data))
    assert picture.format == "JPEG" and picture.size == (302, 230)
    assert picture.quantization[0][0] == 7  # the standard's 16, at quality 78: 16 * 0.44 = 7.04
    assert image._repr_mimebundle_()[1]["image/jpeg"]["alt"] == 'One "empty" frame.'
    assert capsys.readouterr().out == 'One "empty" frame.\n'
    assert not plt.fignum_exists(figure.number)  # else the cell would show it a second time


def test_a_figure_that_pyplot_does_not_know_can_be_shown(displayed, capsys):
    figure = Figure(figsize=(1, 1))
    draw_image(figure.subplots(), torch.zeros(3, 8, 10))
    show(figure, "Black.")
    assert len(displayed) == 1 and capsys.readouterr().out == "Black.\n"


def test_a_figure_without_words_is_not_shown(displayed, capsys):
    with pytest.raises(ValueError, match="needs a caption: say in words what it shows"):
        show(Figure(), " ")
    assert displayed == [] and capsys.readouterr().out == ""


# ---- overlay ------------------------------------------------------------------------------------


@pytest.mark.parametrize("size, expected", [
    ((128, 128), (512, 512)),    # 512 / 128 = 4 times
    ((100, 200), (600, 1200)),   # 512 / 100, rounded up: 6 times
    ((512, 700), (512, 700)),    # large enough
    ((1, 1), (512, 512)),
    ((1, 100), (20, 2000)),      # at most 4 * 512 / 100, rounded down: 20 times
    ((3000, 4000), (1536, 2048)),  # smaller, by 2048 / 4000
    ((2, 5000), (1, 2048)),
])
def test_the_size_of_an_overlay(size, expected):
    assert overlay(torch.rand(3, *size), Detections.empty(size)).shape == (3, *expected)


def test_an_overlay_without_objects_is_the_image():
    image = torch.randint(0, 256, (3, 512, 512)) / 255
    torch.testing.assert_close(overlay(image, Detections.empty((512, 512))), image)


def test_an_overlay_colours_the_mask_and_leaves_what_is_far_from_it():
    """alpha 0.45 of the class's colour over black; class 2 is #56B4E9 = (86, 180, 233)."""
    before, objects = torch.zeros(3, 64, 64), found(height=64, width=64)
    objects.masks[0, 20:60, 20:60] = True
    objects = objects._replace(boxes=torch.tensor([[1.0, 2.0, 60.0, 60.0]]))
    image = before.clone()
    picture = overlay(image, objects, ("disc", "square"))  # 8 times as large
    expected = 0.45 * torch.tensor([86.0, 180.0, 233.0]) / 255
    torch.testing.assert_close(picture[:, 8 * 40, 8 * 40], expected, rtol=0, atol=0.01)
    assert picture[:, 8 * 62 :].sum() == 0  # below the box
    assert torch.equal(image, before)


def test_where_masks_overlap_the_first_object_lies_on_top_and_rims_are_in_full_colour():
    """Two squares of 8 x 8 in an image of 512 x 512, so that nothing is enlarged."""
    masks = torch.zeros(2, 512, 512, dtype=torch.bool)
    masks[0, 100:108, 100:108] = masks[1, 104:112, 104:112] = True
    boxes = torch.tensor([[300.0, 300.0, 400.0, 400.0]]).expand(2, 4)  # out of the way
    objects = Detections(boxes, torch.tensor([2, 6]), torch.tensor([0.9, 0.8]), masks)
    picture = overlay(torch.zeros(3, 512, 512), objects)
    first, second = (torch.tensor(to_rgb(colour(label))) for label in (2, 6))
    for place, expected in [((103, 103), 0.45 * first), ((105, 105), 0.45 * first),
                            ((107, 107), first), ((109, 109), 0.45 * second),
                            ((111, 111), second), ((112, 112), 0 * second)]:
        torch.testing.assert_close(picture[:, *place], expected, rtol=0, atol=0.01)


def test_truth_and_detections_differ_by_the_score_in_the_words():
    image = torch.zeros(3, 64, 64)
    truth = overlay(image, one_object(64, 64), ("disc", "square"))
    again = overlay(image, one_object(64, 64), ("disc", "square"))
    scored = overlay(image, found(height=64, width=64), ("disc", "square"))
    assert torch.equal(truth, again) and not torch.equal(truth, scored)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 70), st.integers(1, 70), st.integers(0, 3), st.integers(8, 64))
def test_any_image_gives_a_picture_in_range(height, width, number, side):
    masks = torch.rand(number, height, width) < 0.5
    boxes = torch.tensor([0.0, 0.0, width, height]).expand(number, 4)
    objects = Detections(boxes, torch.arange(number) + 1, torch.ones(number), masks)
    picture = overlay(torch.rand(3, height, width), objects, side=side)
    assert picture.shape[0] == 3 and max(picture.shape[1:]) <= max(4 * side, 1)
    assert picture.min() >= 0 and picture.max() <= 1
