"""The one widget class: controls move, the picture and the caption follow, once; nothing breaks."""

import base64
import io
import re

import pytest
import torch
from ipywidgets import Button, Dropdown, FloatSlider, IntSlider, Label
from PIL import Image

from teachseg.explore import svg
from teachseg.explore.explorer import Explorer, Frame, Still


def bar_frame(size: int, kind: str = "plain") -> Frame:
    """A bar that is `size` long; 13 brings bad luck, "odd" a bug, "none" no frame."""
    if size == 13:
        raise ValueError("13 <is> an unlucky size. Take 12.")
    if kind == "odd":
        return 1 / 0
    if kind == "none":
        return None
    caption = f"A bar <{size}> long."
    return Frame(svg.picture(200, 20, svg.box((0, 0, size, 10)), label=caption), caption)


@pytest.fixture
def drawn():
    """An explorer, and the sizes that its frame was called with."""
    calls = []

    def frame(**state):
        calls.append(state["size"])
        return bar_frame(**state)

    kinds = Dropdown(options=["plain", "odd", "none"], description="kind")
    return Explorer(frame, size=IntSlider(5, min=0, max=20), kind=kinds), calls


def test_it_begins_with_its_controls_values(drawn):
    explorer, calls = drawn
    assert calls == [5]
    assert 'width="5"' in explorer.picture.value
    assert "A bar &lt;5&gt; long." in explorer.caption.value
    assert 'role="status" aria-live="polite"' in explorer.caption.value


def test_moving_a_slider_draws_once(drawn):
    explorer, calls = drawn
    explorer.controls["size"].value = 7
    explorer.controls["size"].value = 7  # did not move
    assert calls == [5, 7]
    assert 'width="7"' in explorer.picture.value and "&lt;7&gt;" in explorer.caption.value


def test_set_moves_the_real_sliders_and_draws_once(drawn):
    explorer, calls = drawn
    explorer.set(kind="odd", size=3)
    assert calls == [5, 3] and explorer.state == {"size": 3, "kind": "odd"}
    assert explorer.set(kind="plain", size=9) == "A bar <9> long."
    assert calls == [5, 3, 9]
    assert explorer.set() == "A bar <9> long." and calls == [5, 3, 9]


def test_sweep_prints_a_caption_a_line_and_moves_back(drawn, capsys):
    explorer, _ = drawn
    explorer.sweep("size", [1, 13, 2])
    assert capsys.readouterr().out == (
        "size = 1: A bar <1> long.\nsize = 13: 13 <is> an unlucky size. Take 12.\n"
        "size = 2: A bar <2> long.\n")
    assert explorer.state["size"] == 5
    with pytest.raises(ValueError, match="size cannot be 99"):
        explorer.sweep("size", [1, 99])
    assert explorer.state["size"] == 5 and "&lt;5&gt;" in explorer.caption.value


def test_a_frame_that_raises_says_why_and_the_next_move_draws_again(drawn):
    explorer, _ = drawn
    good = explorer.picture.value
    assert explorer.set(size=13) == "13 <is> an unlucky size. Take 12."
    assert "13 &lt;is&gt; an unlucky" in explorer.caption.value
    assert good in explorer.picture.value and "opacity" in explorer.picture.value
    assert explorer.set(size=6) == "A bar <6> long." and "opacity" not in explorer.picture.value
    said = explorer.set(kind="odd")
    assert said == "This could not be drawn: ZeroDivisionError: division by zero"
    assert explorer.set(kind="none").endswith("frame must return Frame(svg, caption), got NoneType")
    assert explorer.set(kind="plain") == "A bar <6> long."


def test_what_a_control_cannot_be_is_said_and_nothing_moves(drawn):
    explorer, _ = drawn
    for values, words in [
        ({"size": 21}, "size cannot be 21: it goes from 0 to 20"),
        ({"size": "big"}, "size cannot be 'big': it goes from 0 to 20"),
        ({"size": 2, "kind": "x"}, "kind cannot be 'x': choose one of 'plain', 'odd', 'none'"),
        ({"length": 2}, "There is no control 'length'. The controls are size, kind"),
    ]:
        with pytest.raises(ValueError, match=re.escape(words)):
            explorer.set(**values)
        assert explorer.state == {"size": 5, "kind": "plain"}
    for call in (explorer.still, explorer.draw):
        with pytest.raises(ValueError, match="There is no control 'a', 'b'"):
            call(a=1, b=2)
    with pytest.raises(ValueError, match="There is no control 'a'"):
        explorer.sweep("a", [1])


def test_a_still_is_a_png_with_its_caption_and_moves_nothing(drawn):
    explorer, _ = drawn
    still = explorer.still(size=8)
    assert explorer.state["size"] == 5 and repr(still) == "A bar <8> long."
    data, about = still._repr_mimebundle_()
    assert data["text/plain"] == "A bar <8> long."
    picture = Image.open(io.BytesIO(base64.b64decode(data["image/png"])))
    # 200 x 20, and below it one line of 16 with three quarters of one to spare: 200 x 48;
    # 1.6 times as dense: 320 x 76.8
    assert picture.size == (320, 77)
    assert about["image/png"] == {"width": 200, "alt": "A bar <8> long."}
    assert still.png == explorer.still(size=8).png != explorer.still(size=9).png
    ink = picture.convert("L").crop((0, 35, 320, 76))
    assert min(ink.getdata()) < 100  # the caption is written there


def test_a_still_of_what_cannot_be_drawn_is_the_sentence(drawn):
    explorer, _ = drawn
    still = explorer.still(size=13)
    assert repr(still) == "13 <is> an unlucky size. Take 12." and still.png.startswith(b"\x89PNG")


def test_a_drawing_from_elsewhere_is_refused_in_words():
    with pytest.raises(ValueError, match="must be one drawing from"):
        Still(Frame("<p>no</p>", "words"))


def test_it_displays_as_a_widget_with_its_caption_as_text(drawn):
    explorer, _ = drawn
    bundle = explorer._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert bundle["text/plain"] == repr(explorer) == "A bar <5> long."
    explorer.set(size=13)
    assert repr(explorer) == "13 <is> an unlucky size. Take 12."


def test_every_control_has_a_visible_description():
    explorer = Explorer(bar_frame, size=FloatSlider(5), kind=Dropdown(options=["plain"]))
    assert [c.description for c in explorer.controls.values()] == ["size", "kind"]
    kept = Explorer(bar_frame, size=IntSlider(5, description="size (px)"))
    assert kept.controls["size"].description == "size (px)"


def test_front_widgets_stand_first():
    label = Label("look")
    explorer = Explorer(bar_frame, label, size=IntSlider(5))
    assert explorer.widget.children == (
        label, explorer.picture, explorer.caption, explorer.controls["size"])


def test_controls_that_are_none_are_refused():
    with pytest.raises(ValueError, match="at least one control"):
        Explorer(bar_frame)
    with pytest.raises(ValueError, match="size must be a widget with a value.*got int"):
        Explorer(bar_frame, size=5)
    with pytest.raises(ValueError, match="got Button"):
        Explorer(bar_frame, size=Button())


def test_several_moves_in_one():
    calls = []

    def frame(size):
        calls.append(size)
        return bar_frame(size)

    explorer = Explorer(frame, size=IntSlider(5))
    with explorer.moving():
        with explorer.moving():
            explorer.controls["size"].value = 6
        explorer.controls["size"].value = 7
        assert calls == [5]
    assert calls == [5, 7]
    with explorer.moving():
        pass
    assert calls == [5, 7]


def test_a_still_keeps_the_colour_of_a_thin_line():
    """Many colours, a broad orange line, and a thin red one: it stays red, to the last digit."""
    noise = torch.rand(3, 120, 180, generator=torch.Generator().manual_seed(0))
    lines = (svg.box((60, 40, 110, 90), svg.ORANGE, width=8),
             svg.box((40, 20, 48, 28), svg.RED, width=2))
    under = svg.underlay(svg.image_uri(noise), (0, 0, 180, 120))
    drawing = svg.picture(180, 120, under, *lines, label="Two lines.")
    picture = Image.open(io.BytesIO(Still(Frame(drawing, "Two lines.")).png)).convert("RGB")
    colours = {colour: count for count, colour in picture.getcolors()}
    for line in (svg.RED, svg.ORANGE):
        assert colours[tuple(bytes.fromhex(line[1:]))] > 50
