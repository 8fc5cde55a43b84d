"""Run the notebooks again and compare every output with the stored one; see that every cell ran.

    python scripts/check_notebooks.py                          all notebooks
    python scripts/check_notebooks.py notebooks/01_some.ipynb  only these

nbval compares, through pytest: text, tables and SVG exactly, pictures not at all. A cell that was
skipped, or never reached, would pass unseen; so the cells that ran are counted against those there.
"""

import sys
import tempfile
from collections import Counter
from pathlib import Path

import nbformat
import pytest
from make_notebooks import ROOT, SECONDS, find, fix_environment


class Ran:
    """A pytest plugin that counts the cells that ran and passed, by notebook."""

    def __init__(self):
        self.cells: Counter[Path] = Counter()
        self.notebook: dict[str, Path] = {}

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        self.notebook[item.nodeid] = item.path

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" and report.passed and not hasattr(report, "wasxfail"):
            self.cells[self.notebook[report.nodeid]] += 1


def code_cells(path: Path) -> int:
    """How many cells of a notebook have code."""
    cells = nbformat.read(path, as_version=4).cells
    return sum(cell.cell_type == "code" for cell in cells)


def main(paths: list[str]) -> int:
    """Pytest's exit status, or 1 where a cell did not run."""
    notebooks, ran = find(paths), Ran()
    options = ["--nbval", "--nbval-current-env", "--nbval-sanitize-with", ROOT / "tests/nbval.cfg"]
    options += ["--nbval-cell-timeout", SECONDS, "-p", "no:cacheprovider", *notebooks]
    with tempfile.TemporaryDirectory() as folder:
        fix_environment(folder)
        status = pytest.main([str(option) for option in options], plugins=[ran])
    for path in notebooks:
        there, done = code_cells(path), ran.cells[path]
        if done < there or there == 0:
            print(f"{path.name}: only {done} of {there} code cells ran and passed.")
            status = status or 1
    print(f"{sum(ran.cells.values())} code cells of {len(notebooks)} notebooks ran and passed.")
    return int(status)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
