"""The stage in a real browser: pointer, keys, focus, frames a second; without a kernel.

The browser's half is put on an empty page with a model that notes what is sent to Python.
Screenshots are kept in artefacts/.
"""

import json
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from teachseg.datasets.scenes import Scenes
from teachseg.explore import stage as module
from teachseg.explore.stage import Stage

PAGE = """<!doctype html><meta charset="utf-8"><title>stage</title>
<button id="before">before</button><div id="stage"></div><button id="after">after</button>"""

# A model as anywidget gives one, and the stage upon it.
SET_UP = """async ([source, traits]) => {
  const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  const { default: stage } = await import(url);
  const handlers = {};
  const changed = (name) => (handlers[`change:${name}`] ?? []).forEach((handler) => handler());
  window.sent = [];
  window.model = {
    get: (name) => traits[name],
    set(name, value) {
      if (traits[name] === value) return;
      traits[name] = value;
      changed(name);
    },
    save_changes: () => window.sent.push(
      (traits.mode === "point" ? ["row", "column"] : ["x1", "y1", "x2", "y2"])
        .map((name) => traits[name])),
    on: (event, handler) => (handlers[event] ??= []).push(handler),
    off: (event, handler) => {
      handlers[event] = handlers[event].filter((other) => other !== handler);
    },
  };
  window.handlers = handlers;
  window.close_stage = stage.render({ model: window.model, el: document.querySelector("#stage") });
}"""


NAMES = ("mode", "row", "column", "x1", "y1", "x2", "y2", "image", "image_size", "stride", "bins",
         "sampling_ratio", "operator")


def show(page, stage: Stage) -> None:
    """Put a stage on a page."""
    page.set_content(PAGE)
    source = Path(module.__file__).with_name("stage.js").read_text("utf-8")
    traits = json.loads(json.dumps({name: getattr(stage, name) for name in NAMES}))
    page.evaluate(SET_UP, [source, traits])
    settle(page)


@contextmanager
def page_of(browser, stage: Stage):
    """A page with a stage, on which nothing may complain."""
    page = browser.new_page(viewport={"width": 700, "height": 760})
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
    show(page, stage)
    yield page
    assert errors == []
    page.close()


@pytest.fixture
def page(browser):
    """A stage of a 128 x 128 scene at 3 screen pixels a pixel, the box at (32, 32, 96, 80)."""
    with page_of(browser, Stage.of(Scenes("train", 1)[0][0], (32.0, 32.0, 96.0, 80.0))) as page:
        yield page


@pytest.fixture
def pointed(browser):
    """The same scene to point at: 64 x 64 cells of 2 pixels, so 6 screen pixels each."""
    with page_of(browser, Stage.pointing(Scenes("train", 1)[0][0], (10, 20), 2)) as page:
        yield page


def settle(page) -> None:
    """Wait until what was asked for is drawn and sent."""
    page.evaluate("() => new Promise((done) => setTimeout(() => requestAnimationFrame(done), 80))")


def box(page) -> list[float]:
    return page.evaluate("['x1', 'y1', 'x2', 'y2'].map((edge) => window.model.get(edge))")


def picture(page) -> str:
    return page.evaluate("document.querySelector('canvas').toDataURL()")


def drag(page, start: tuple[float, float], end: tuple[float, float], steps: int = 8) -> None:
    """From one place on the image to another, both in image pixels."""
    frame = page.locator("canvas").bounding_box()
    (x, y), (to_x, to_y) = (
        (frame["x"] + 3 * px, frame["y"] + 3 * py) for px, py in (start, end))
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(to_x, to_y, steps=steps)
    page.mouse.up()
    settle(page)


def test_dragging_moves_the_box_and_draws_it(page, artefacts):
    before = picture(page)
    drag(page, (64, 56), (74, 50))  # ten to the right, six up
    assert box(page) == [42, 26, 106, 74]
    assert page.evaluate("window.sent.at(-1)") == [42, 26, 106, 74]
    assert picture(page) != before
    page.screenshot(path=artefacts / "stage.png")


def test_a_corner_and_a_side_resize(page):
    drag(page, (96, 80), (110, 100))
    assert box(page) == [32, 32, 110, 100]
    drag(page, (32, 60), (20, 90))  # a side moves along its own axis alone
    assert box(page) == [20, 32, 110, 100]


def test_off_the_image_and_inside_out(page):
    drag(page, (64, 56), (-300, 500))
    assert box(page) == [0, 80, 64, 128]  # 64 x 48, in the lower left corner
    drag(page, (63.5, 127.5), (-50, 19.5))  # the far corner past the near one
    assert box(page) == [0, 20, 1, 80]
    drag(page, (120, 5), (60, 60))  # nothing is there to be taken hold of
    assert box(page) == [0, 20, 1, 80]


def test_keys_move_and_size(page):
    page.locator("#before").focus()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.tagName") == "CANVAS"
    assert "3px" in page.evaluate("document.activeElement.style.outline")  # one sees where one is
    for keys, expected in [
        ("ArrowRight", [33, 32, 97, 80]),
        ("Shift+ArrowUp", [33, 31.5, 97, 79.5]),
        ("Alt+ArrowDown", [33, 31.5, 97, 80.5]),
        ("Alt+Shift+ArrowLeft", [33, 31.5, 96.5, 80.5]),
    ]:
        page.keyboard.press(keys)
        settle(page)
        assert box(page) == expected
        assert page.evaluate("window.sent.at(-1)") == expected
    label = page.locator("canvas").get_attribute("aria-label")
    assert label.startswith("Box from 33, 31.5 to 96.5, 80.5 in an image of 128 by 128 pixels.")
    page.keyboard.press("Tab")  # and out again
    assert page.evaluate("document.activeElement.id") == "after"


def test_a_box_cannot_be_made_smaller_than_a_pixel_by_keys(page):
    page.locator("canvas").focus()
    for _ in range(70):
        page.keyboard.press("Alt+ArrowLeft")
    settle(page)
    assert box(page) == [32, 32, 33, 80]


def test_python_moves_the_box_and_changes_what_is_drawn(page):
    seen = {picture(page)}
    for name, value in [("x1", 50.5), ("stride", 32), ("bins", 7), ("sampling_ratio", 0),
                        ("operator", "pool"), ("operator", "warp"), ("operator", "warp_rounded"),
                        ("operator", "align"), ("operator", "align_unaligned"), ("x2", 20)]:
        page.evaluate("([name, value]) => window.model.set(name, value)", [name, value])
        settle(page)
        seen.add(picture(page))
    assert len(seen) == 11
    assert page.evaluate("window.sent.length") == 0  # what came from Python is not sent back
    assert "Box from 20, 32 to 50.5, 80" in page.locator("canvas").get_attribute("aria-label")


def test_it_draws_at_least_30_frames_a_second(page):
    """Two seconds of moving; half of the frames that 30 a second are would be a busy machine."""
    found = page.evaluate("""() => new Promise((done) => {
      const canvas = document.querySelector("canvas"), frame = canvas.getBoundingClientRect();
      const fire = (type, x, y) => canvas.dispatchEvent(new PointerEvent(type, {
        clientX: frame.x + x, clientY: frame.y + y, pointerId: 1, button: 0, bubbles: true }));
      canvas.setPointerCapture = () => {};
      fire("pointerdown", 192, 168);
      const first = Number(canvas.dataset.frames), begin = performance.now();
      const step = (now) => {
        fire("pointermove", 192 + 75 * Math.sin(now / 200), 168 + 45 * Math.cos(now / 200));
        if (now - begin < 2000) return requestAnimationFrame(step);
        const frames = Number(canvas.dataset.frames) - first;
        fire("pointerup", 192, 168);
        done({ rate: frames / ((now - begin) / 1000), sent: window.sent.length });
      };
      requestAnimationFrame(step);
    })""")
    print(f"{found['rate']:.0f} frames and {found['sent'] / 2:.0f} messages a second")
    assert found["rate"] >= 15
    assert found["sent"] <= 2 * 1000 / 40 + 3  # Python is not flooded


def test_a_closed_stage_listens_no_more(page):
    page.evaluate("window.close_stage()")
    assert page.evaluate("Object.values(window.handlers).flat().length") == 0
    drag(page, (64, 56), (74, 50))
    assert box(page) == [32, 32, 96, 80]


def test_an_image_that_is_none_leaves_a_grey_stage(page):
    page.evaluate("() => window.model.set('image', '')")
    settle(page)
    drag(page, (64, 56), (65, 56))
    assert box(page) == [33, 32, 97, 80]


def test_small_and_long_images_fit(browser):
    for height, width in [(1, 1), (20, 600)]:
        image = torch.zeros(3, height, width)
        page = browser.new_page()
        show(page, Stage.of(image, (0.0, 0.0, 1.0, 1.0)))
        frame = page.locator("canvas").bounding_box()
        assert 24 <= frame["width"] <= 384
        assert abs(frame["width"] / frame["height"] - width / height) < 0.1 * width / height
        page.close()


# ---- a place to point at ------------------------------------------------------------------------


def point(page) -> list[int]:
    return page.evaluate("['row', 'column'].map((name) => window.model.get(name))")


def test_a_click_chooses_the_cell_under_it(pointed, artefacts):
    before = picture(pointed)
    drag(pointed, (90.5, 33), (90.5, 33), steps=1)  # row 16 is 32..34, column 45 is 90..92
    assert point(pointed) == [16, 45]
    assert pointed.evaluate("window.sent") == [[16, 45]]  # one message for one click
    assert picture(pointed) != before
    pointed.screenshot(path=artefacts / "stage_point.png")


def test_a_drag_takes_the_point_along_and_never_off_the_map(pointed):
    drag(pointed, (10, 10), (60, 100))
    assert point(pointed) == [50, 30]
    drag(pointed, (60, 60), (900, -50))
    assert point(pointed) == [0, 63]
    assert pointed.evaluate("window.sent.at(-1)") == [0, 63]


def test_keys_move_the_point(pointed):
    pointed.locator("#before").focus()
    pointed.keyboard.press("Tab")
    for keys, expected in [("ArrowRight", [10, 21]), ("Shift+ArrowDown", [14, 21]),
                           ("ArrowUp", [13, 21]), ("Shift+ArrowLeft", [13, 17])]:
        pointed.keyboard.press(keys)
        settle(pointed)
        assert point(pointed) == expected
        assert pointed.evaluate("window.sent.at(-1)") == expected
    for _ in range(6):
        pointed.keyboard.press("Shift+ArrowUp")
    settle(pointed)
    assert point(pointed) == [0, 17]
    label = pointed.locator("canvas").get_attribute("aria-label")
    assert label.startswith("Point at row 0, column 17 of a map of 64 by 64 cells.")
    pointed.keyboard.press("Tab")
    assert pointed.evaluate("document.activeElement.id") == "after"


def test_python_moves_the_point_and_what_is_off_the_map_is_drawn_on_it(pointed):
    seen = {picture(pointed)}
    for name, value in [("row", 40), ("column", 3), ("row", 1000)]:
        pointed.evaluate("([name, value]) => window.model.set(name, value)", [name, value])
        settle(pointed)
        seen.add(picture(pointed))
    assert len(seen) == 4 and pointed.evaluate("window.sent.length") == 0
    assert "row 63, column 3" in pointed.locator("canvas").get_attribute("aria-label")
