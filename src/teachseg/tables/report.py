"""From records of runs to what a table says: means, spreads, differences, sentences.

Letters
    n  seeds that both cells of a comparison have

Numbers are in points, 100 times AP, as the papers print them. A comparison looks at the differences
seed by seed: both cells of a seed saw the same scenes in the same order, and their other weights
were drawn by the same generator (they differ where shapes do), so that the luck that they share
falls out.

No boxes here.

Lesson: 41
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from teachseg.tables.specs import Comparison, Table

# The 97.5 % point of Student's t for n - 1 degrees of freedom, n = 2, 3, ...: of n differences from
# one normal distribution, mean -+ t * deviation / sqrt(n) holds its middle 95 times of 100.
T_975 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
LEAST_RUNS = 3  # of a cell that the course ships


@dataclass(frozen=True)
class Measured:
    """What the runs of a cell gave."""

    values: tuple[float, ...]        # of each seed that ended, in points
    seeds: tuple[int, ...]
    diverged: tuple[tuple[int, str], ...]  # (seed, what happened)

    @property
    def mean(self) -> float:
        """nan where no run ended."""
        return statistics.fmean(self.values) if self.values else math.nan

    @property
    def deviation(self) -> float:
        """Standard deviation over seeds; nan for fewer than two."""
        return statistics.stdev(self.values) if len(self.values) > 1 else math.nan

    def words(self) -> str:
        """As it stands in a table."""
        if not self.values and not self.diverged:
            return "not run"
        said = "-" if not self.values else f"{self.mean:.1f}"
        if len(self.values) > 1:
            said += f" ± {self.deviation:.1f}"
        said += f" ({len(self.values)})"
        if self.diverged:
            said += f", {len(self.diverged)} diverged"
        return said


def measured(table: Table, runs: Sequence[dict[str, Any]], cell: str) -> Measured:
    """What the records say of one cell.

    Args:
        runs: as `runs.load_results` gives them.
    """
    table.cell(cell)
    mine = sorted((one for one in runs if one["cell"] == cell), key=lambda one: one["seed"])
    ended = [one for one in mine if one["diverged"] is None]
    return Measured(
        tuple(100 * one["numbers"][table.measure] for one in ended),
        tuple(one["seed"] for one in ended),
        tuple((one["seed"], one["diverged"]) for one in mine if one["diverged"] is not None),
    )


@dataclass(frozen=True)
class Difference:
    """How much better `this` is than `that`, in points, over the seeds that both have."""

    each: tuple[float, ...]
    mean: float
    low: float    # the mean's 95 % interval (Student's t); nan for fewer than two
    high: float

    @property
    def direction(self) -> str:
        """"more", "less", or "open" where the interval holds 0."""
        if self.low > 0:
            return "more"
        return "less" if self.high < 0 else "open"


def difference(table: Table, runs: Sequence[dict[str, Any]], this: str, that: str) -> Difference:
    """`this` minus `that`, seed by seed.

    >>> interval((1.0, 2.0, 3.0)).mean
    2.0
    """
    first, second = measured(table, runs, this), measured(table, runs, that)
    of_second = dict(zip(second.seeds, second.values))
    return interval(tuple(value - of_second[seed]
                          for seed, value in zip(first.seeds, first.values) if seed in of_second))


def interval(each: Sequence[float]) -> Difference:
    """The mean of some differences, and where it may lie."""
    n = len(each)
    mean = statistics.fmean(each) if n else math.nan
    if n < 2:
        return Difference(tuple(each), mean, math.nan, math.nan)
    reach = T_975[min(n, len(T_975) + 1) - 2] * statistics.stdev(each) / math.sqrt(n)
    return Difference(tuple(each), mean, mean - reach, mean + reach)


def papers_gain(table: Table, compare: Comparison) -> float | None:
    """The paper's difference in points; None where it gives no numbers."""
    if compare.gain is not None:
        return compare.gain
    this, that = table.cell(compare.this).paper, table.cell(compare.that).paper
    return None if this is None or that is None else round(this - that, 1)


def sentence(
    table: Table, runs: Sequence[dict[str, Any]], compare: Comparison, beside_paper: bool = True
) -> str:
    """What the runs allow to say of two cells, and whether it is what the paper says.

    Args:
        beside_paper: False where the runs' numbers are of another measure than the paper's.
    """
    found = difference(table, runs, compare.this, compare.that)
    n, names = len(found.each), f"{compare.this} against {compare.that}"
    if n < 2:
        return f"{names}: {'not run' if n == 0 else 'run once'}, so nothing can be said."
    numbers = f"{found.mean:+.1f} points ({found.low:+.1f} to {found.high:+.1f}, {n} runs)"
    if not beside_paper:
        return f"{names}: {numbers}. {verdict(found, replace(compare, expected=None))}"
    gain = papers_gain(table, compare)
    paper = "the paper gives no number" if gain is None else f"the paper has {gain:+.1f}"
    return f"{names}: {numbers}; {paper}. {verdict(found, compare)}"


def verdict(found: Difference, compare: Comparison) -> str:
    """Whether the paper's order holds here, as far as the spread allows to say."""
    spread = "All runs agree, but the spread" if _one_sign(found.each) else "The spread"
    if compare.expected == "better":
        return {"more": "The paper's order holds.", "less": "The paper's order is reversed here.",
                "open": f"{spread} hides the order."}[found.direction]
    if compare.expected == "alike":
        return {"more": "Here there is a difference, where the paper has hardly one.",
                "less": "Here there is a difference the other way; the paper has hardly one.",
                "open": "The paper has hardly a difference; here the spread hides whether there is "
                        "one."}[found.direction]
    return {"more": f"Here {compare.this} is better.", "less": f"Here {compare.that} is better.",
            "open": f"{spread} hides which is better."}[found.direction]


def _one_sign(each: Sequence[float]) -> bool:
    return all(x > 0 for x in each) or all(x < 0 for x in each)


def rows(table: Table, runs: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Cell, the paper's number, ours with its deviation and number of runs, as words."""
    return [[cell.name, "-" if cell.paper is None else f"{cell.paper:.1f}",
             measured(table, runs, cell.name).words()] for cell in table.cells]


def divergences(table: Table, runs: Sequence[dict[str, Any]]) -> list[str]:
    """A sentence for every run that did not end."""
    return [f"{cell.name}, seed {seed}, diverged: {why}" for cell in table.cells
            for seed, why in measured(table, runs, cell.name).diverged]


def where(runs: Sequence[dict[str, Any]]) -> str:
    """With what the runs were made, in a line."""
    if not runs:
        return "not run"
    one = runs[0]
    budget = one["budget"]
    hours = sum({run["training"]: run["training_seconds"] for run in runs}.values()) / 3600
    side = f"{budget['image_size']} x {budget['image_size']}"
    return (f"{budget['steps']} steps of {budget['batch_size']} scenes of {side}, tested on "
            f"{budget['test_scenes']}; {len({run['training'] for run in runs})} trainings, "
            f"{hours:.1f} hours on {one['device']} ({one['machine']}, {one['threads']} thread"
            f"{'' if one['threads'] == 1 else 's'}); torch {one['torch']}, teachseg "
            f"{one['teachseg']}")


def markdown(table: Table, runs: Sequence[dict[str, Any]]) -> str:
    """The table with its sentences, for a page."""
    lines = [f"**{table.title}** ({table.measure}, in points)", "",
             "| | paper | here: mean ± deviation (runs) |", "| --- | ---: | ---: |"]
    lines += [f"| {' | '.join(row)} |" for row in rows(table, runs)]
    lines += ["", *(f"- {sentence(table, runs, one)}" for one in table.compare)]
    lines += [f"- {one}" for one in divergences(table, runs)]
    lines += ["", f"Paper: {table.source}. {table.note}".rstrip(), "", f"Runs: {where(runs)}.", ""]
    return "\n".join(lines)
