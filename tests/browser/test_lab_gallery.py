"""The gallery of lesson 40 in JupyterLab: kinds and papers by switches, scenes by a slider.

Two kinds of scene, three scenes each, through the shipped models; by pointer, then by keys alone.
Screenshots are kept in artefacts/.
"""

import nbformat
import pytest
from explorer_page import ExplorerPage

pytestmark = pytest.mark.slow

KERNEL = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
CELL = """
import torch
import teachseg
from teachseg.datasets.scenes import CLASSES, Scenes
from teachseg.explore.gallery import Answered, explore_gallery
from teachseg.papers import deep_metric, mask_rcnn, mnc

torch.set_num_threads(1)
pages = {"mnc": mnc, "mask_rcnn": mask_rcnn, "deep_metric": deep_metric}
models = {name: teachseg.load(name) for name in pages}
scenes = []
for kind in ("crossing", "ring"):
    for i in range(3):
        image, real = Scenes("val", 3, kind=kind)[i]
        answers = {name: page.predict(models[name], [image])[0] for name, page in pages.items()}
        scenes.append(Answered(kind, image, real, answers))
explore_gallery(scenes, CLASSES)
"""


@pytest.fixture(scope="module")
def lab(browser, tmp_path_factory, serve, run_all_cells, artefacts):
    folder = tmp_path_factory.mktemp("lab")
    (folder / "work").mkdir()
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])
    notebook.metadata["kernelspec"] = KERNEL
    nbformat.write(notebook, folder / "work" / "gallery.ipynb")
    with serve(folder, folder / "work") as at:
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        lab = ExplorerPage(page, ".jp-OutputArea-output:has(.widget-toggle-buttons)")
        run_all_cells(page, at("gallery.ipynb"))
        lab.words.filter(has_text="Scene 0 of kind crossing, mnc,").wait_for()
        lab.explorer.scroll_into_view_if_needed()
        page.screenshot(path=artefacts / "lab_gallery.png")
        yield lab
        page.close()


def test_switches_answer_to_the_pointer(lab, artefacts):
    drawings = [lab.drawing()]
    for word, said in (("mask_rcnn", "Scene 0 of kind crossing, mask_rcnn,"),
                       ("ring", "Scene 0 of kind ring, mask_rcnn,"),
                       ("deep_metric", "Scene 0 of kind ring, deep_metric,")):
        lab.switch(word).click()
        lab.words.filter(has_text=said).wait_for()
        drawings.append(lab.drawing())
    assert len(set(drawings)) == 4
    lab.page.screenshot(path=artefacts / "lab_gallery_clicked.png")


def test_the_slider_answers_to_the_pointer(lab):
    """A press on the slider's bar, near its right end: the last scene."""
    bar = lab.slider("scene").locator(".noUi-base").bounding_box()
    lab.page.mouse.click(bar["x"] + bar["width"] - 2, bar["y"] + bar["height"] / 2)
    lab.words.filter(has_text="Scene 2 of kind").wait_for()
    assert lab.number("scene") == 2


def test_the_gallery_is_walked_by_keys_alone(lab):
    page = lab.page
    lab.handle("scene").focus()
    page.keyboard.press("Home")
    lab.words.filter(has_text="Scene 0 of kind").wait_for()
    page.keyboard.press("ArrowRight")
    lab.words.filter(has_text="Scene 1 of kind").wait_for()
    page.keyboard.press("Tab")  # on to the papers' switches
    for _ in range(3):
        if page.evaluate("document.activeElement.textContent.trim()") == "mnc":
            break
        page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent.trim()") == "mnc"
    page.keyboard.press("Enter")
    lab.words.filter(has_text=", mnc, score").wait_for()
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    lab.words.filter(has_text=", mask_rcnn, score").wait_for()


def test_a_higher_score_leaves_fewer(lab):
    before = lab.caption()
    lab.handle("score at least").focus()
    lab.page.keyboard.press("End")
    lab.words.filter(has_text="score at least 0.95").wait_for()
    assert lab.caption() != before


def test_nothing_complained(lab):
    lab.check_complaints()
