"""One widget class: sliders, and a pure function from their values to a picture and a sentence.

    frame(**values) -> Frame(svg, caption)

The frame knows no widget, so it can be tested, printed in a book and read without a kernel. The
`Explorer` only observes its controls and sets two traits, the picture's and the caption's.

Lesson: 10
"""

import base64
import io
import re
import textwrap
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import resvg_py
from ipywidgets import HTML, Layout, VBox, Widget
from PIL import Image
from traitlets import TraitError

from teachseg.explore import svg

STILL_ZOOM = 1.6    # pixels of a still for each unit of its picture: readable, and small in a file
STILL_COLOURS = 128
CAPTION_SIZE = 12   # of the letters under a still
CAPTION_LEADING = 16
LETTER = 0.6        # width of a letter, in sizes: a little more than the mean of the font


class Frame(NamedTuple):
    """What one state of the controls looks like."""

    svg: str      # one drawing from `svg.picture`, with the caption as its label; "" for none
    caption: str  # one sentence or a few, with the numbers that the drawing shows


class Still:
    """One frame as a picture that needs no kernel: PNG, with the caption written under it."""

    def __init__(self, frame: Frame):
        self.svg = captioned(frame)
        self.caption = frame.caption

    @property
    def png(self) -> bytes:
        """The picture. Some colours, chosen for it, halve what a notebook has to carry."""
        file = io.BytesIO()
        _few_colours(rendered(self.svg, STILL_ZOOM)).save(file, "PNG", optimize=True)
        return file.getvalue()

    def __repr__(self) -> str:
        return self.caption

    def _repr_mimebundle_(self, include=None, exclude=None):
        width, _ = size_of(self.svg)
        data = {"image/png": base64.b64encode(self.png).decode("ascii"),
                "text/plain": self.caption}
        return data, {"image/png": {"width": round(width), "alt": self.caption}}


def rendered(drawing: str, zoom: float) -> Image.Image:
    """A drawing as pixels, `zoom` of them a unit; the same everywhere, as the font is the one that
    matplotlib brings."""
    font = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    full = bytes(resvg_py.svg_to_bytes(
        svg_string=drawing, zoom=zoom, skip_system_fonts=True, font_files=[str(font)],
        font_family="DejaVu Sans", sans_serif_family="DejaVu Sans",
        image_rendering="optimize_speed",  # pixels stay squares
    ))
    return Image.open(io.BytesIO(full)).convert("RGB")


def _few_colours(picture: Image.Image) -> Image.Image:
    """The picture in `STILL_COLOURS` colours. Those of lines and letters are kept as they are,
    however few pixels they have: a thin red line must not turn orange."""
    lines = bytes.fromhex("".join(colour[1:] for colour in svg.LINES))
    rest = STILL_COLOURS - len(svg.LINES)
    chosen = picture.quantize(rest, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    palette = Image.new("P", (1, 1))
    palette.putpalette(lines + bytes(chosen.getpalette()[: 3 * rest]))
    return picture.quantize(palette=palette, dither=Image.Dither.NONE)


def size_of(drawing: str) -> tuple[float, float]:
    """Width and height of a drawing from `svg.picture`."""
    found = re.match(r'<svg [^>]*?width="([\d.]+)" height="([\d.]+)"', drawing)
    if not found:
        raise ValueError("Frame.svg must be one drawing from teachseg.explore.svg.picture, got "
                         f"{drawing[:40]!r}.")
    return float(found[1]), float(found[2])


def captioned(frame: Frame) -> str:
    """A frame's drawing with its caption under it; the caption alone where there is none."""
    width, height = size_of(frame.svg) if frame.svg else (640.0, 0.0)
    letters = max(20, int((width - 16) / (LETTER * CAPTION_SIZE)))
    lines = textwrap.wrap(frame.caption, letters)
    words = [svg.text(8, height + CAPTION_LEADING * (i + 1), words, CAPTION_SIZE)
             for i, words in enumerate(lines)]
    full = height + CAPTION_LEADING * (len(lines) + 0.75)
    return svg.picture(width, full, frame.svg, *words, label=frame.caption)


class Explorer:
    """Controls, the picture that they make, and the caption that says it in words.

    Args:
        frame: called with every control's value by name, and nothing else, for a `Frame`. It
            should be pure and quick (10 ms); what takes long is computed before. If it raises, the
            caption says why, the last picture stays, faded, and the next move draws again.
        front: widgets shown above the picture, such as a `Stage`.
        controls: a widget with a `value` for each argument of the frame. One without a
            description is given its name.

    `picture` and `caption` are ipywidgets.HTML, `controls` a dict of the widgets by name.
    """

    def __init__(self, frame: Callable[..., Frame], /, *front: Widget, **controls: Widget):
        if not controls:
            raise ValueError("An explorer needs at least one control: "
                             "Explorer(frame, size=IntSlider(...)).")
        for name, control in controls.items():
            if not (isinstance(control, Widget) and control.has_trait("value")):
                raise ValueError(f"{name} must be a widget with a value, such as "
                                 f"ipywidgets.FloatSlider(...), got {type(control).__name__}.")
        self.frame, self.controls = frame, controls
        self.picture, self.caption = HTML(), HTML()
        self._holds, self._stale, self._last, self._words = 0, False, "", ""
        for name, control in controls.items():
            if not control.description:
                control.description = name
            control.style.description_width = "11em"  # as wide for all, so that they stand in line
            control.layout.width = "min(36em, 98%)"
            control.observe(self._moved, names="value")
        self.widget = VBox([*front, self.picture, self.caption, *controls.values()],
                           layout=Layout(width="100%"))
        self.redraw()

    @property
    def state(self) -> dict[str, Any]:
        """Every control's value, by name."""
        return {name: control.value for name, control in self.controls.items()}

    # ---- drawing ----

    def draw(self, **values: Any) -> Frame:
        """The frame at these values, the controls' own for the rest; nothing moves.

        What cannot be drawn has an empty svg and says why; only a name that is none raises.
        """
        self._check_names(values)
        try:
            found = self.frame(**(self.state | values))
            if not isinstance(found, Frame):
                what = type(found).__name__
                raise TypeError(f"frame must return Frame(svg, caption), got {what}")
            return found
        except ValueError as error:
            return Frame("", str(error))
        except Exception as error:  # a faulty frame must not silence the sliders
            return Frame("", f"This could not be drawn: {type(error).__name__}: {error}")

    def redraw(self) -> None:
        """Draw the controls' present state."""
        self._stale = False
        found = self.draw()
        self._words = found.caption
        if found.svg:
            self._last = found.svg
            self.picture.value = found.svg
        else:
            self.picture.value = f'<div style="opacity: 0.35">{self._last}</div>'
        self.caption.value = (
            f'<div role="status" aria-live="polite" style="line-height: 1.4; max-width: 60em">'
            f"{svg.safe(found.caption)}</div>"
        )

    def _moved(self, change: Any) -> None:
        self._stale = True
        if not self._holds:
            self.redraw()

    @contextmanager
    def moving(self) -> Iterator[None]:
        """Several controls are moved: draw once, when all are where they should be."""
        self._holds += 1
        try:
            yield
        finally:
            self._holds -= 1
            if self._stale and not self._holds:
                self.redraw()

    # ---- for cells and tests ----

    def set(self, **values: Any) -> str:
        """Move the controls; return the caption. Where one cannot go, none moves: ValueError."""
        self._check_names(values)
        before = self.state
        with self.moving():
            for name, value in values.items():
                control = self.controls[name]
                try:
                    control.value = value
                    went = control.value == value
                except TraitError:
                    went = False
                if not went:
                    for other, was in before.items():
                        self.controls[other].value = was
                    raise ValueError(f"{name} cannot be {value!r}: {allowed(control)}.")
        return self._words

    def sweep(self, name: str, values: Iterable[Any]) -> None:
        """Move one control through `values`, print each one's caption on a line, and move back."""
        self._check_names([name])
        before = self.controls[name].value
        try:
            for value in values:
                print(f"{name} = {value}: {self.set(**{name: value})}")
        finally:
            self.set(**{name: before})

    def still(self, **values: Any) -> Still:
        """The frame at these values as a PNG with its caption; the controls stay where they are."""
        return Still(self.draw(**values))

    def _check_names(self, names: Iterable[str]) -> None:
        unknown = [name for name in names if name not in self.controls]
        if unknown:
            raise ValueError(f"There is no control {', '.join(map(repr, unknown))}. "
                             f"The controls are {', '.join(self.controls)}.")

    def __repr__(self) -> str:
        return self._words

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        bundle = self.widget._repr_mimebundle_(**kwargs)
        return {**(bundle or {}), "text/plain": self._words}


def allowed(control: Widget) -> str:
    """What values a control takes, in words."""
    if control.has_trait("options"):
        options = [option[1] if isinstance(option, tuple) else option for option in control.options]
        return f"choose one of {', '.join(map(repr, options))}"
    if control.has_trait("min") and control.has_trait("max"):
        return f"it goes from {control.min} to {control.max}"
    return f"a {type(control).__name__} does not take it"
