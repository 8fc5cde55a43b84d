"""Print what the course consists of: a line for each notebook, and what falls out of line.

    python scripts/course_report.py            all notebooks
    python scripts/course_report.py --strict   and fail where one falls out of line

Seconds are those of the last `make test-notebooks` on this machine, where there was one.
"""

import json
import re
import statistics
import sys
from pathlib import Path
from typing import NamedTuple

import nbformat
from make_notebooks import NOTEBOOKS, ROOT
from set_address import installs

TIMES = ROOT / "runs" / "notebook_times.json"  # written by check_notebooks.py
NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?![\w])")
CHECK = re.compile(r"^check\(\"(\w+\.\w+)\"", re.M)
LESSONS = ROOT / "lessons"

BOUNDS = {  # what a notebook of this course looks like; (least, most)
    "cells": (20, 55),
    "median": (2, 9),       # lines of a code cell
    "longest": (5, 32),
    "words": (900, 4000),
    "figures": (1, 20),
    "exercises": (4, 8),
    "numbers": (60, 5000),  # printed and compared
    "kilobytes": (10, 400),
    "seconds": (0, 90),
}
BY_HAND = {"00_start_here": {"exercises"}}  # most are unfolded there, not checked


class Row(NamedTuple):
    """A notebook in numbers."""

    name: str
    cells: int           # with code
    median: float        # lines of those cells, comments included, blank lines not
    longest: int
    words: int           # in its text cells
    figures: int         # pictures stored in it
    exercises: int       # that are checked
    numbers: int         # in outputs that are compared when it is run again
    kilobytes: float
    lesson: int          # words of its lesson, front matter left out
    seconds: float | None


def lines_of(source: str) -> int:
    """Lines with something in them."""
    return sum(bool(line.strip()) for line in source.splitlines())


def compared(cell: nbformat.NotebookNode) -> str:
    """The text of a cell's outputs that nbval compares; "" for a cell that it passes over."""
    if "nbval-ignore-output" in cell.metadata.get("tags", []):
        return ""
    texts = [out.get("text", "") or out.get("data", {}).get("text/plain", "")
             for out in cell.outputs]
    return "\n".join(text for text in texts if not text.startswith("<Figure"))


def measure(path: Path, times: dict[str, float]) -> Row:
    """One notebook's row."""
    cells = nbformat.read(path, as_version=4).cells
    code = [cell for cell in cells if cell.cell_type == "code" and not installs(cell)]
    prose = " ".join(cell.source for cell in cells if cell.cell_type == "markdown")
    lengths = [lines_of(cell.source) for cell in code]
    pictures = [kind for cell in code for out in cell.outputs
                for kind in out.get("data", {}) if kind.startswith("image/")]
    lesson = (LESSONS / f"{path.stem}.md").read_text("utf-8").split("---\n", 2)[2]
    return Row(path.stem, len(code), statistics.median(lengths), max(lengths), len(prose.split()),
               len(pictures), len({name for cell in code for name in CHECK.findall(cell.source)}),
               sum(len(NUMBER.findall(compared(cell))) for cell in code),
               path.stat().st_size / 1000, len(lesson.split()), times.get(path.stem))


def outliers(row: Row) -> list[str]:
    """What of a notebook lies outside of `BOUNDS`, a sentence each."""
    said = []
    for name, (least, most) in BOUNDS.items():
        value = getattr(row, name)
        if value is not None and not least <= value <= most \
                and name not in BY_HAND.get(row.name, ()):
            said.append(f"{row.name}: {name} is {value:g}, and {least} to {most} is usual here.")
    return said


def read_times() -> dict[str, float]:
    """Seconds by notebook, where they were measured on this machine."""
    try:
        return {str(name): float(seconds) for name, seconds
                in json.loads(TIMES.read_text("utf-8")).items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def table(rows: list[Row]) -> str:
    """All rows, and their sum."""
    head = (f"{'notebook':32}{'cells':>6}{'median':>8}{'longest':>9}{'words':>7}{'figures':>9}"
            f"{'exercises':>11}{'numbers':>9}{'KB':>6}{'lesson':>8}{'seconds':>9}")

    def line(row: Row) -> str:
        seconds = "-" if row.seconds is None else f"{row.seconds:.0f}"
        return (f"{row.name:32}{row.cells:6}{row.median:8g}{row.longest:9}{row.words:7}"
                f"{row.figures:9}{row.exercises:11}{row.numbers:9}{row.kilobytes:6.0f}"
                f"{row.lesson:8}{seconds:>9}")

    def total(name: str) -> float:
        return sum(getattr(row, name) or 0 for row in rows)

    known = [row.seconds for row in rows if row.seconds is not None]
    whole = Row(f"all {len(rows)}", total("cells"), statistics.median(r.median for r in rows),
                max(r.longest for r in rows), total("words"), total("figures"), total("exercises"),
                total("numbers"), total("kilobytes"), total("lesson"),
                sum(known) if known else None)
    return "\n".join([head, *map(line, rows), line(whole)])


def main(words: list[str]) -> int:
    """1 with --strict where something falls out of line, else 0."""
    times = read_times()
    rows = [measure(path, times) for path in sorted(NOTEBOOKS.glob("*.ipynb"))]
    print(table(rows))
    said = [sentence for row in rows for sentence in outliers(row)]
    print("\n".join(["", *said]) if said else "\nNothing falls out of line.")
    return int(bool(said) and "--strict" in words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
