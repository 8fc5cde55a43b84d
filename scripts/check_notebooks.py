"""Run the notebooks again and compare every output with the stored one; see that every cell ran.

    python scripts/check_notebooks.py                          all notebooks
    python scripts/check_notebooks.py notebooks/01_some.ipynb  only these
    python scripts/check_notebooks.py --twice [NOTEBOOK ...]   run each cell twice; none may fail

nbval compares, through pytest: text, tables and SVG exactly, pictures not at all. A cell that was
skipped, or never reached, would pass unseen; so the cells that ran are counted against those there.
How long each notebook took is kept in runs/notebook_times.json, for course_report.py. No kernel may
take more memory than lessons/elsewhere.md tells people to have.
"""

import copy
import json
import math
import sys
import tempfile
from collections import Counter
from pathlib import Path

import nbformat
import pytest
from course_report import TIMES, read_times
from make_notebooks import NOTEBOOKS, ROOT, SECONDS, execute, find, fix_environment
from nbclient.exceptions import CellExecutionError

MEMORY = 2.0  # GB that a notebook's kernel may take at its largest; lessons/elsewhere.md says so


class Ran:
    """A pytest plugin that counts the cells that ran and passed, and their time, by notebook."""

    def __init__(self):
        self.cells: Counter[Path] = Counter()
        self.seconds: Counter[Path] = Counter()
        self.notebook: dict[str, Path] = {}

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        self.notebook[item.nodeid] = item.path

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[self.notebook[report.nodeid]] += report.duration
        if report.when == "call" and report.passed and not hasattr(report, "wasxfail"):
            self.cells[self.notebook[report.nodeid]] += 1


def code_cells(path: Path) -> int:
    """How many cells of a notebook have code."""
    cells = nbformat.read(path, as_version=4).cells
    return sum(cell.cell_type == "code" for cell in cells)


def keep_times(seconds: dict[Path, float]) -> None:
    """Write how long each of the course's notebooks took beside what is known of the others."""
    times = read_times() | {path.stem: round(value, 1) for path, value in seconds.items()
                            if path.parent == NOTEBOOKS}
    TIMES.parent.mkdir(parents=True, exist_ok=True)
    TIMES.write_text(json.dumps(times, indent=1) + "\n", "utf-8")


def largest() -> float:
    """GB that the largest process took of those that were started here and have ended.

    nan where the system does not tell (Windows).
    """
    try:
        import resource
    except ImportError:
        return math.nan
    size = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return size * (1 if sys.platform == "darwin" else 1024) / 1e9


def twice(path: Path) -> str:
    """Run every cell of a notebook twice in a row; -> what failed, or ""."""
    notebook = nbformat.read(path, as_version=4)
    notebook.cells = [again for cell in notebook.cells if cell.cell_type == "code"
                      for again in (cell, copy.deepcopy(cell))]
    for cell in notebook.cells:
        cell.pop("id", None)  # else two cells have one name
    try:
        execute(notebook, path)
    except CellExecutionError as error:
        return f"{path.name}, a cell run twice: {str(error)[-800:]}"
    return ""


def check_twice(paths: list[str]) -> int:
    """1 where a cell of one of the notebooks cannot be run twice."""
    said = []
    with tempfile.TemporaryDirectory() as folder:
        fix_environment(folder)
        for path in find(paths):
            said.append(twice(path))
            print(said[-1] or f"{path.name}: every cell can be run twice.", flush=True)
    return int(any(said))


def main(paths: list[str]) -> int:
    """Pytest's exit status, or 1 where a cell did not run."""
    if "--twice" in paths:
        return check_twice([word for word in paths if word != "--twice"])
    notebooks, ran = find(paths), Ran()
    options = ["--nbval", "--nbval-current-env", "--nbval-sanitize-with", ROOT / "tests/nbval.cfg"]
    options += ["--nbval-cell-timeout", SECONDS, "-p", "no:cacheprovider", *notebooks]
    with tempfile.TemporaryDirectory() as folder:
        fix_environment(folder)
        status = pytest.main([str(option) for option in options], plugins=[ran])
    keep_times(ran.seconds)
    for path in notebooks:
        there, done = code_cells(path), ran.cells[path]
        if done < there or there == 0:
            print(f"{path.name}: only {done} of {there} code cells ran and passed.")
            status = status or 1
    took = largest()
    print(f"The largest kernel took {took:.1f} GB of memory.")
    if took > MEMORY:
        print(f"That is more than the {MEMORY:g} GB of lessons/elsewhere.md: make it smaller.")
        status = status or 1
    print(f"{sum(ran.cells.values())} code cells of {len(notebooks)} notebooks ran and passed.")
    return int(status)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
