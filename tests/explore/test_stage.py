"""The draggable box: its traits, its browser's half run in node, and life without anywidget."""

import importlib.resources
import importlib.util
import json
import random
import shutil
import subprocess
import sys

import pytest
import torch
from ipywidgets import HTML, IntSlider, Widget

from teachseg.explore import stage as module
from teachseg.explore.explorer import Explorer, Frame
from teachseg.explore.roi import NAMES, bins_of, box_sliders
from teachseg.explore.stage import NO_CLICK, NO_STAGE, OPERATORS, Stage, bind, front

node = pytest.mark.skipif(
    not shutil.which("node"), reason="node is not installed: stage.js is not run on its own"
)


def in_node(tmp_path, script: str, data: object = None):
    """Run a script in which stage.js is `stage` and the data `data`; -> what it prints, as JSON."""
    (tmp_path / "stage.mjs").write_text(browser_half(), "utf-8")
    (tmp_path / "data.json").write_text(json.dumps(data), "utf-8")
    (tmp_path / "main.mjs").write_text(
        'import * as stage from "./stage.mjs";\nimport { readFileSync } from "node:fs";\n'
        f'const data = JSON.parse(readFileSync("data.json", "utf-8"));\n{script}\n', "utf-8")
    done = subprocess.run(
        ["node", "main.mjs"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def browser_half() -> str:
    return (importlib.resources.files("teachseg.explore") / "stage.js").read_text("utf-8")


def some_boxes(count: int) -> list[list[float]]:
    """Boxes in half pixels, and some in anything; among them tiny ones and ones off the image."""
    rng, found = random.Random(0), []
    for i in range(count):
        step = 0.5 if i % 3 else 0.01
        x1, y1 = (round(rng.uniform(-20, 200) / step) * step for _ in range(2))
        width, height = (max(step, round(rng.choice([1, 30, 200]) * rng.random() / step) * step)
                         for _ in range(2))
        found.append([x1, y1, x1 + width, y1 + height])
    return found


@node
def test_the_browser_draws_where_python_reads(tmp_path):
    """Equal to the last bit: both halves compute in single precision, in the same order."""
    rng = random.Random(1)
    cases = [
        dict(operator=operator, box=box, stride=rng.choice([1, 4, 7, 8, 16, 32]),
             bins=rng.choice([1, 2, 3, 7, 14]), ratio=rng.choice([0, 1, 2, 3]),
             size=rng.choice([[8, 8], [5, 9], [40, 30]]))
        for box in some_boxes(200) for operator in NAMES
    ]
    found = in_node(tmp_path, """
        console.log(JSON.stringify(data.map(
          ({ operator, box: [x1, y1, x2, y2], stride, bins, ratio, size }) =>
            stage.binsOf(operator, { x1, y1, x2, y2 }, stride, bins, ratio, size))));
    """, cases)
    for case, theirs in zip(cases, found):
        ours = bins_of(case["operator"], case["box"], case["stride"], case["bins"], case["ratio"],
                       tuple(case["size"]))
        for axis in ("x", "y"):
            mine = json.loads(json.dumps(getattr(ours, axis)._asdict()))
            assert theirs[axis] == mine, case


@node
def test_halves_go_away_from_zero_in_the_browser_too(tmp_path):
    values = [23 / 16, 24 / 16, 2.5, -2.5, -0.4, 0.49999997, 0]
    script = "console.log(JSON.stringify(data.map(stage.roundHalfAway)));"
    assert in_node(tmp_path, script, values) == [1, 2, 3, -3, 0, 0, 0]


@node
def test_the_box_stays_proper_whatever_the_hand_does(tmp_path):
    """On an image 100 wide and 60 high."""
    found = in_node(tmp_path, """
        const size = [60, 100], box = { x1: 10, y1: 10, x2: 30, y2: 20 };
        const show = ({ x1, y1, x2, y2 }) => [x1, y1, x2, y2];
        console.log(JSON.stringify({
          inside_out: show(stage.straighten({ x1: 30, y1: 20, x2: 10, y2: 10 }, size)),
          off: show(stage.straighten({ x1: 200, y1: -50, x2: 300, y2: -40 }, size)),
          flat: show(stage.straighten({ x1: 10, y1: 60, x2: 10, y2: 60 }, size)),
          no_number: show(stage.straighten({ x1: NaN, y1: 1, x2: Infinity, y2: 9 }, size)),
          moved: show(stage.moveBox(box, 5, -3, size)),
          pushed: show(stage.moveBox(box, 500, 500, size)),
          grown: show(stage.resizeBox(box, ["x2", "y2"], 7, 8, size)),
          past: show(stage.resizeBox(box, ["x1"], 40, 0, size)),
          snapped: show(stage.snapBox({ x1: 10.2, y1: 10.3, x2: 30.7, y2: 20.8 }, size)),
        }));
    """)
    assert found == {
        "inside_out": [10, 10, 30, 20],
        "off": [99, 0, 100, 1],
        "flat": [10, 59, 11, 60],
        "no_number": [0, 1, 100, 9],
        "moved": [15, 7, 35, 17],
        "pushed": [80, 50, 100, 60],
        "grown": [10, 10, 37, 28],
        "past": [30, 10, 50, 20],
        "snapped": [10, 10.5, 30.5, 21],
    }


@node
def test_what_a_pointer_takes_hold_of(tmp_path):
    """A box of 40 x 20 from (10, 10), with a reach of 3 pixels around its handles."""
    places = [[10, 10], [51, 31], [50, 20], [30, 9], [30, 20], [70, 70], [10, 40], [12, 28]]
    found = in_node(tmp_path, """
        const box = { x1: 10, y1: 10, x2: 50, y2: 30 };
        console.log(JSON.stringify(data.map(([x, y]) => stage.edgesAt(box, x, y, 3))));
    """, places)
    assert found == [["x1", "y1"], ["x2", "y2"], ["x2"], ["y1"], ["x1", "y1", "x2", "y2"], [], [],
                     ["x1", "y2"]]


@node
def test_what_keys_do(tmp_path):
    keys = [["ArrowLeft", False, False], ["ArrowDown", True, False], ["ArrowRight", False, True],
            ["a", False, False], ["Tab", False, False]]
    found = in_node(
        tmp_path, "console.log(JSON.stringify(data.map((keys) => stage.keyStep(...keys))));", keys)
    assert found == [
        {"dx": -1, "dy": 0, "sizing": False}, {"dx": 0, "dy": 0.5, "sizing": False},
        {"dx": 1, "dy": 0, "sizing": True}, None, None]


@node
def test_the_cell_under_a_pointer(tmp_path):
    """Cells of 4 pixels on an image 10 wide and 6 high: a map of 2 rows and 3 columns."""
    places = [[0, 0], [3.9, 3.9], [4, 0], [9.5, 5.9], [-7, 2], [500, 500], [None, 1]]
    found = in_node(tmp_path, """
        console.log(JSON.stringify(data.map(([x, y]) => {
          const { row, column } = stage.cellAt(x ?? NaN, y, 4, [6, 10]);
          return [row, column];
        })));
    """, places)
    assert found == [[0, 0], [0, 0], [0, 1], [1, 2], [0, 0], [1, 2], [0, 0]]


@node
def test_a_point_is_held_on_the_map_and_moved_by_keys(tmp_path):
    found = in_node(tmp_path, """
        const held = data.map(([row, column]) => stage.holdPoint({ row, column }, 4, [6, 10]));
        const keys = [["ArrowLeft", false], ["ArrowDown", true], ["a", false]];
        console.log(JSON.stringify({ held, keys: keys.map((key) => stage.pointStep(...key)) }));
    """, [[0, 0], [-3, 1], [9, 9]])
    assert found["held"] == [{"row": 0, "column": 0}, {"row": 0, "column": 1},
                             {"row": 1, "column": 2}]
    assert found["keys"] == [{"row": 0, "column": -1}, {"row": 4, "column": 0}, None]


def test_both_halves_know_the_same_operators():
    assert tuple(NAMES) == OPERATORS
    for operator in OPERATORS:
        assert f"  {operator}: {{ colour:" in browser_half()


def test_the_browser_s_half_fetches_nothing():
    text = browser_half()
    assert "export default { render }" in text
    assert not [word for word in ("http", "import ", "fetch(", "eval(") if word in text]


def test_a_stage_shows_an_image_and_a_box():
    stage = Stage.of(torch.zeros(3, 6, 8), (1, 2, 3, 4), stride=2)
    assert stage.box == (1, 2, 3, 4) and stage.image_size == (6, 8)
    assert stage.image.startswith("data:image/png;base64,")
    assert repr(stage) == (
        "Stage(box=(1.0, 2.0, 3.0, 4.0), stride=2, bins=3, sampling_ratio=2, operator='all')")
    assert front(stage) is stage
    with pytest.raises(ValueError, match="image must be"):
        Stage.of(torch.zeros(6, 8), (1, 2, 3, 4))


def test_a_stage_to_point_at():
    stage = Stage.pointing(torch.zeros(3, 6, 8), (1, 3), stride=2)
    assert (stage.mode, stage.row, stage.column, stage.stride) == ("point", 1, 3, 2)
    assert repr(stage) == "Stage(row=1, column=3, stride=2)"
    with pytest.raises(ValueError, match="image must be"):
        Stage.pointing(torch.zeros(6, 8), (1, 3), 2)


def test_a_point_is_tied_to_two_sliders():
    stage = Stage.pointing(torch.zeros(3, 16, 16), (1, 3), stride=2)
    explorer = Explorer(lambda row, column: Frame("", f"{row} {column}"),
                        row=IntSlider(5, min=0, max=7), column=IntSlider(6, min=0, max=7))
    bind(stage, explorer)
    assert (stage.row, stage.column) == (5, 6)  # the sliders have the first word
    stage.row = 2
    assert repr(explorer) == "2 6"
    explorer.set(column=0)
    assert stage.column == 0


def test_without_anywidget_the_sliders_do_the_same(monkeypatch):
    monkeypatch.setitem(sys.modules, "anywidget", None)  # importing it fails
    spec = importlib.util.spec_from_file_location("stage_alone", module.__file__)
    alone = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(alone)
    stage = alone.Stage.of(torch.zeros(3, 64, 64), (1, 2, 30, 40))
    assert not isinstance(stage, Widget)
    shown = alone.front(stage)
    assert isinstance(shown, HTML) and shown.value == NO_STAGE
    assert alone.front(alone.Stage.pointing(torch.zeros(3, 8, 8), (0, 0), 2)).value == NO_CLICK

    def frame(x1, y1, x2, y2):
        return Frame("", f"{x1} {y1} {x2} {y2}")

    explorer = Explorer(frame, shown, **box_sliders((1, 2, 30, 40), (64, 64)))
    alone.bind(stage, explorer)
    assert explorer.set(x1=5, y2=50) == "5.0 2.0 30.0 50.0" and stage.box == (5, 2, 30, 50)
    stage.y1 = 7.5
    assert repr(explorer) == "5.0 7.5 30.0 50.0"


def test_the_sliders_have_the_first_word():
    stage = Stage.of(torch.zeros(3, 64, 64), (0, 0, 1, 1))
    explorer = Explorer(lambda **edges: Frame("", "drawn"),
                        **box_sliders((1, 2, 30, 40), (64, 64)))
    bind(stage, explorer)
    assert stage.box == (1, 2, 30, 40)
