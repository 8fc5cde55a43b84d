"""Who may know whom: the floors of the design, held against the code itself.

A module imports from floors below its own, or from its own package. The imports are read from the
source (those inside functions too), so nothing has to run for them to be found.
"""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "teachseg"

FLOORS = {
    "cli": 7,
    "explore": 6, "exercises": 6, "tables": 6,
    "plot": 5, "checkpoints": 5, "recipes": 5,
    "papers": 4,
    "layers": 3, "learning": 3, "decoding": 3,
    "datasets": 2, "evaluate": 2, "train": 2, "mistakes": 2,
    "geometry": 1,
    "structures": 0, "checks": 0, "storage": 0, "processes": 0, "costs": 0,
    "cells": 0,
    "places": 0,
}  # fmt: skip

SIDEWAYS = {  # the few steps along one floor, and why
    ("cells", "places"): "a kernel notes the notebook where a learner's progress is kept",
    ("checks", "structures"): "a check of Targets has to know what Targets are",
    ("explore", "tables"): "one explorer draws the tables' records",
    ("train", "datasets"): "batches are collated and flipped by those who know what an item is",
}

LIBRARIES = {  # the lowest floor that may use each
    "matplotlib": 5, "IPython": 5, "ipywidgets": 6, "anywidget": 6, "traitlets": 6, "resvg_py": 6,
}  # fmt: skip


def part_of(module: str) -> str:
    """teachseg.layers.roi -> layers, the name that stands in FLOORS; "" for teachseg itself."""
    return module.split(".")[1] if "." in module else ""


def imported(source: str, module: str, is_package: bool = False) -> set[str]:
    """Full names of all that a module's source imports, at its top or inside a function."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:  # from . import x: so many packages up from here
                here = module.split(".") if is_package else module.split(".")[:-1]
                here = here[: len(here) - node.level + 1]
                base = ".".join(here + ([base] if base else []))
            found |= {f"{base}.{alias.name}" for alias in node.names}
    return found


def offences(source: str, module: str, is_package: bool = False) -> list[str]:
    """What a module imports that it may not, a sentence each."""
    part, wrong = part_of(module), []
    floor = FLOORS[part]
    for name in sorted(imported(source, module, is_package)):
        library = name.split(".")[0]
        if floor < LIBRARIES.get(library, 0):
            wrong.append(f"{module} (floor {floor}) imports {library}")
        if library != "teachseg":
            continue
        other = part_of(name)
        if other == part or (part, other) in SIDEWAYS or other.startswith("__"):
            continue
        if other not in FLOORS:
            wrong.append(f"{module} imports {name}, which has no floor")
        elif FLOORS[other] >= floor:
            wrong.append(f"{module} (floor {floor}) imports {name} (floor {FLOORS[other]})")
    return wrong


def modules() -> list[tuple[str, Path]]:
    """(full name, file) of every module but teachseg itself, which only offers `load`."""
    named = []
    for path in sorted(SOURCE.rglob("*.py")):
        words = ["teachseg", *path.relative_to(SOURCE).with_suffix("").parts]
        if words[-1] == "__init__":
            words.pop()
        if len(words) > 1:
            named.append((".".join(words), path))
    return named


def test_there_is_something_to_hold_the_floors_against():
    parts = {part_of(name) for name, _ in modules()}
    wanted = {"structures", "checks", "geometry", "datasets", "layers", "papers"}
    assert wanted | {"explore", "exercises"} <= parts


@pytest.mark.parametrize("module, path", modules(), ids=[name for name, _ in modules()])
def test_imports_point_downwards(module, path):
    assert part_of(module) in FLOORS, f"{module} has no floor: CONTRIBUTING.md and here"
    assert offences(path.read_text(encoding="utf-8"), module, path.name == "__init__.py") == []


def test_contributing_shows_the_floors():
    """The table "| floor | modules |", and the steps sideways in words."""
    text = (SOURCE.parents[1] / "CONTRIBUTING.md").read_text("utf-8")
    table = re.findall(r"^\| (\d) \| (.*?) \|$", text, re.M)
    said = {name: int(floor) for floor, names in table for name in re.findall(r"`(\w+)`", names)}
    assert said == FLOORS


def test_every_step_sideways_is_still_taken():
    taken = {
        (part_of(module), part_of(name))
        for module, path in modules()
        for name in imported(path.read_text(encoding="utf-8"), module, path.name == "__init__.py")
        if name.startswith("teachseg.")
    }
    assert set(SIDEWAYS) <= taken


@pytest.mark.parametrize(
    "module, line, found",
    [
        ("teachseg.geometry.boxes", "import torch", 0),
        ("teachseg.geometry.nms", "from teachseg.geometry.boxes import box_iou", 0),
        ("teachseg.geometry.nms", "from teachseg import checks", 0),
        ("teachseg.checks", "from teachseg.geometry import boxes", 1),
        ("teachseg.checks", "import teachseg.geometry.boxes", 1),
        ("teachseg.layers.rpn", "from teachseg.learning.losses import total", 1),
        ("teachseg.decoding.instances", "from ..layers import heads", 1),
        ("teachseg.layers.rpn", "from . import heads", 0),
        ("teachseg.layers.rpn", "from ..geometry import nms", 0),
        ("teachseg.learning.losses", "def f():\n    from teachseg.papers import mask_rcnn", 1),
        ("teachseg.train", "from teachseg.papers.mask_rcnn import predict", 1),
        ("teachseg.train", "from teachseg import evaluate", 1),
        ("teachseg.papers.mask_rcnn", "import matplotlib.pyplot as plt", 1),
        ("teachseg.plot", "import matplotlib.pyplot as plt", 0),
        ("teachseg.plot", "from ipywidgets import HTML", 1),
        ("teachseg.explore.boxes", "from ipywidgets import HTML", 0),
        ("teachseg.layers.roi", "from teachseg.exercises.judging import judge", 1),
        ("teachseg.exercises.roi", "from teachseg.explore import svg", 1),
        ("teachseg.exercises.roi", "from teachseg.layers import roi", 0),
        ("teachseg.explore.boxes", "from teachseg.plot import COLOURS", 0),
        ("teachseg.plot", "import anywidget", 1),
        ("teachseg.layers.roi", "import resvg_py", 1),
        ("teachseg.papers.mask_rcnn", "from teachseg.utils import helper", 1),
    ],
)
def test_an_offence_is_seen(module, line, found):
    assert len(offences(line, module)) == found


def test_no_module_is_a_drawer_for_everything():
    banned = {"utils", "misc", "common", "config", "helpers"}
    assert not [name for name, _ in modules() if name.split(".")[-1] in banned]


def test_importing_teachseg_alone_does_not_import_torch():
    """`teachseg --help` answers at once: torch takes seconds to import."""
    code = "import sys, teachseg, teachseg.exercises; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
