"""The tables' runs as points: what more seeds would allow to say, and what another measure says.

Letters
    n  seeds that are used

No boxes here.

Lesson: 41
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from ipywidgets import Dropdown, IntSlider

from teachseg.explore import svg
from teachseg.explore.explorer import Explorer, Frame
from teachseg.tables import report
from teachseg.tables.specs import find

ROW, TOP, LEFT, WIDE, RIGHT = 26, 46, 190, 360, 150  # pixels of the drawing
MEASURES = ("APr50", "APr70", "AP", "AP50", "AP75")
POINT = svg.BLUE


def miniature_frame(
    tables: Mapping[str, Sequence[dict[str, Any]]], table: str, measure: str, num_seeds: int
) -> Frame:
    """Each run of a table as a point, each cell's mean, the paper's number, and what follows.

    Args:
        tables: name -> records, as `runs.load_results` gives them.
        table: its name. measure: a key of the records' numbers. num_seeds: the first so many.
    """
    if table not in tables:
        raise ValueError(f"There are no runs of the table {table!r}. There are of: "
                         f"{', '.join(tables)}.")
    if num_seeds < 1:
        raise ValueError(f"num_seeds must be 1 or more, got {num_seeds}.")
    spec = replace(find(table), measure=measure)
    papers = measure == find(table).measure
    seeds = sorted({one["seed"] for one in tables[table]})[:num_seeds]
    runs = [one for one in tables[table] if one["seed"] in seeds]
    _check_measure(runs, measure)
    cells = [(cell, report.measured(spec, runs, cell.name)) for cell in spec.cells]
    values = [value for _, measured in cells for value in measured.values]
    if not values:
        raise ValueError(f"No run of the table {table!r} ended: there is nothing to draw.")
    low, high = _ends(values)
    pieces = [svg.text(8, 18, f"{spec.title}"),
              svg.text(LEFT + WIDE + 12, 36, "mean ± dev. | paper", 10)]
    pieces += _axis(low, high, len(cells), measure)
    for row, (cell, measured) in enumerate(cells):
        pieces += _row(cell, measured, papers, TOP + ROW * row + ROW / 2, low, high)
    said = " ".join(report.sentence(spec, runs, one, papers) for one in spec.compare)
    caption = (f"{table}, {measure} in points, {len(seeds)} run{'' if len(seeds) == 1 else 's'}. "
               f"{said}")
    height = TOP + ROW * len(cells) + 30
    return Frame(svg.picture(LEFT + WIDE + RIGHT, height, *pieces, label=caption), caption)


def _check_measure(runs: Sequence[dict[str, Any]], measure: str) -> None:
    """ValueError where a run that ended has no number of this measure."""
    for numbers in (one["numbers"] for one in runs if one["numbers"] is not None):
        if numbers.get(measure) is None:
            raise ValueError(f"The records have no {measure}. They have: {', '.join(numbers)}.")


def _ends(values: Sequence[float]) -> tuple[float, float]:
    """The axis: whole fives around the values."""
    low, high = 5 * math.floor(min(values) / 5), 5 * math.ceil(max(values) / 5)
    return float(low), float(high if high > low else low + 5)


def _place(value: float, low: float, high: float) -> float:
    return LEFT + WIDE * (value - low) / (high - low)


def _axis(low: float, high: float, rows: int, measure: str) -> list[str]:
    """Vertical lines at some values, with their numbers."""
    step = 5 * max(1, math.ceil((high - low) / 40))
    pieces, value, bottom = [], low, TOP + ROW * rows
    while value <= high:
        x = _place(value, low, high)
        pieces += [svg.line(x, TOP, x, bottom, svg.PALE),
                   svg.text(x, bottom + 14, svg.number(value, 0), 10, "middle")]
        value += step
    return [*pieces, svg.text(LEFT + WIDE / 2, bottom + 27, f"{measure}, points", 10, "middle")]


def _row(
    cell: Any, measured: report.Measured, papers: bool, y: float, low: float, high: float
) -> list[str]:
    """A cell's name, its runs, its mean, and both numbers in words; the paper's only where it is of
    the same measure."""
    pieces = [svg.text(LEFT - 10, y + 4, cell.name, 11, "end")]
    pieces += [svg.sample_points([(_place(value, low, high), y)], POINT, 4, svg.PAPER)
               for value in measured.values]
    if measured.values:
        x = _place(measured.mean, low, high)
        pieces.append(svg.line(x, y - 9, x, y + 9, svg.INK, width=2))
    paper = "-" if cell.paper is None or not papers else f"{cell.paper:.1f}"
    pieces.append(svg.text(LEFT + WIDE + 12, y + 4, f"{measured.words()} | {paper}", 10))
    return pieces


def explore_tables(tables: Mapping[str, Sequence[dict[str, Any]]]) -> Explorer:
    """Choose a table and a measure; slide over how many seeds are used.

    Args:
        tables: name -> records; those without any are left out.
    """
    some = {name: list(runs) for name, runs in tables.items() if runs}
    if not some:
        raise ValueError("explore_tables needs the records of at least one table, got none. Run "
                         "one: teachseg tables run NAME.")
    most = max(len({one["seed"] for one in runs}) for runs in some.values())
    first = find(next(iter(some)))
    return Explorer(
        partial(miniature_frame, some),
        table=Dropdown(options=list(some), description="table"),
        measure=Dropdown(options=list(MEASURES), value=first.measure, description="measure"),
        num_seeds=IntSlider(most, min=1, max=most, description="runs used"),
    )
