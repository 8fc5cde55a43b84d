"""Notebook 31's first explorer in JupyterLab: click a pixel, walk with the arrow keys, slide.

The notebook's cells up to the explorer, run from the menu. Screenshots are kept in artefacts/.
"""

import re
from pathlib import Path

import nbformat
import pytest
from explorer_page import ExplorerPage

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]


def up_to_the_explorer(folder: Path) -> Path:
    """The notebook's cells up to the one that shows the explorer, as a notebook of their own."""
    (source,) = (ROOT / "notebooks").glob("31_*.ipynb")
    notebook = nbformat.read(source, as_version=4)
    last = next(i for i, cell in enumerate(notebook.cells) if "explore_seeds(" in cell.source
                and cell.cell_type == "code" and "import" not in cell.source)
    notebook.cells = notebook.cells[: last + 1]
    folder.mkdir()
    copy = folder / source.name
    nbformat.write(notebook, copy)
    return copy


class Lab(ExplorerPage):
    """An explorer whose stage shows a point."""

    def point(self) -> tuple[int, int]:
        """(row, column), as the stage says it."""
        found = re.match(r"Point at row (\d+), column (\d+) of",
                         self.stage.get_attribute("aria-label"))
        return int(found[1]), int(found[2])

    def wait_for(self, row: int, column: int) -> str:
        """Until the caption speaks of this cell; -> it."""
        self.words.filter(has_text=f"Seed at row {row}, column {column}, on").wait_for()
        assert self.point() == (row, column)
        assert (self.number("row"), self.number("column")) == (row, column)
        return self.words.inner_text()

    def click(self, row: int, column: int) -> None:
        """A click into the middle of a cell."""
        frame = self.stage.bounding_box()
        self.page.mouse.click(frame["x"] + frame["width"] * (column + 0.5) / 64,
                              frame["y"] + frame["height"] * (row + 0.5) / 64)


@pytest.fixture(scope="module")
def lab(browser, tmp_path_factory, serve, run_all_cells, artefacts):
    folder = tmp_path_factory.mktemp("lab")
    copy = up_to_the_explorer(folder / "work")
    with serve(folder, copy.parent) as at:
        page = browser.new_page(viewport={"width": 1280, "height": 1300})
        lab = Lab(page, ".jp-OutputArea-output:has(canvas.teachseg-stage)")
        run_all_cells(page, at(copy.name))
        lab.stage.wait_for()
        lab.stage.scroll_into_view_if_needed()
        page.screenshot(path=artefacts / "lab_point.png")
        yield lab
        page.close()


def test_a_click_grows_a_mask(lab, artefacts):
    """Two clicks, two captions, two drawings; the sliders have followed each."""
    captions, drawings = [], []
    for place in ((40, 30), (5, 60)):
        lab.click(*place)
        captions.append(lab.wait_for(*place))
        drawings.append(lab.drawing())
    assert captions[0] != captions[1] and drawings[0] != drawings[1]
    lab.page.screenshot(path=artefacts / "lab_point_clicked.png")


def test_arrow_keys_walk_from_cell_to_cell(lab):
    """JupyterLab takes none of them for itself."""
    lab.click(20, 20)
    lab.wait_for(20, 20)
    for key, place in (("ArrowRight", (20, 21)), ("Shift+ArrowDown", (24, 21)),
                       ("ArrowUp", (23, 21)), ("ArrowLeft", (23, 20))):
        lab.page.keyboard.press(key)
        lab.wait_for(*place)
    assert lab.page.evaluate("document.activeElement.className") == "teachseg-stage"


def test_a_drag_takes_the_point_along(lab):
    frame = lab.stage.bounding_box()
    side = frame["width"] / 64
    lab.page.mouse.move(frame["x"] + 10.5 * side, frame["y"] + 10.5 * side)
    lab.page.mouse.down()
    lab.page.mouse.move(frame["x"] + 30.5 * side, frame["y"] + 50.5 * side, steps=12)
    lab.page.mouse.up()
    lab.wait_for(50, 30)


def test_a_slider_moves_the_point_and_another_the_scene(lab):
    lab.handle("column").focus()
    row, column = lab.point()
    lab.page.keyboard.press("ArrowRight")
    before = lab.wait_for(row, column + 1)
    lab.handle("scene").focus()
    image = lab.stage.evaluate("it => it.toDataURL()")
    lab.page.keyboard.press("ArrowRight")
    lab.page.wait_for_function("([it, was]) => it.toDataURL() !== was",
                               arg=[lab.stage.element_handle(), image])
    assert lab.words.inner_text() != before


def test_nothing_complained(lab):
    lab.check_complaints()
