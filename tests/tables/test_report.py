"""What a table says, from records made by hand: means, spreads, order, and what cannot be said."""

import math
import random
import statistics
from dataclasses import replace

import pytest

from teachseg.tables import report
from teachseg.tables.specs import Budget, Cell, Comparison, Table

TABLE = Table(
    name="toy", title="A or B?", paper="mask_rcnn", budget=Budget(1, 1, 1.0), measure="AP",
    source="nowhere",
    cells=(Cell("A", paper=30.0), Cell("B", paper=25.0), Cell("C")),
    compare=(Comparison("A", "B", "better"), Comparison("A", "C")),
)


def record(cell, seed, value, diverged=None):
    numbers = None if value is None else {"AP": value / 100, "APr50": 0.5}
    return {"cell": cell, "seed": seed, "numbers": numbers, "diverged": diverged}


def records(**values):
    return [record(cell, seed, value, "nan" if value is None else None)
            for cell, of_cell in values.items() for seed, value in enumerate(of_cell)]


def test_a_cell_by_hand():
    measured = report.measured(TABLE, records(A=[10.0, 12.0, 14.0]), "A")
    assert measured.values == pytest.approx((10, 12, 14)) and measured.seeds == (0, 1, 2)
    assert measured.mean == pytest.approx(12) and measured.deviation == pytest.approx(2)
    assert measured.words() == "12.0 ± 2.0 (3)"
    other = replace(TABLE, measure="APr50")
    assert report.measured(other, records(A=[10.0]), "A").values == (50.0,)


def test_no_number_where_there_is_no_run():
    measured = report.measured(TABLE, [], "A")
    assert measured.words() == "not run" and math.isnan(measured.mean)
    assert report.rows(TABLE, []) == [["A", "30.0", "not run"], ["B", "25.0", "not run"],
                                      ["C", "-", "not run"]]
    assert report.sentence(TABLE, [], TABLE.compare[0]).endswith("not run, so nothing can be said.")
    assert report.sentence(TABLE, records(A=[3.0], B=[1.0]), TABLE.compare[0]).endswith(
        "run once, so nothing can be said.")
    assert report.where([]) == "not run"


def test_the_interval_by_hand():
    """1, 2, 3: mean 2, deviation 1, t 4.303: 2 -+ 4.303 / sqrt(3) = 2 -+ 2.484."""
    found = report.interval((1.0, 2.0, 3.0))
    assert (found.mean, found.low, found.high) == pytest.approx((2, -0.4843, 4.4843), abs=1e-3)
    assert found.direction == "open"
    assert report.interval((2.0, 2.1, 2.2)).direction == "more"
    assert report.interval((-2.0, -2.1, -2.2)).direction == "less"
    assert math.isnan(report.interval((1.0,)).low) and report.interval((1.0,)).direction == "open"
    assert math.isnan(report.interval(()).mean)


def test_the_interval_holds_the_mean_as_often_as_it_says():
    """Of 4,000 triples from a normal distribution about 95 % have intervals that hold its mean."""
    draw = random.Random(0)
    for n in (3, 5, 8):
        held = [report.interval([draw.gauss(1, 2) for _ in range(n)]) for _ in range(4000)]
        share = statistics.fmean(one.low <= 1 <= one.high for one in held)
        assert share == pytest.approx(0.95, abs=0.012)


def test_seeds_are_compared_in_pairs():
    """B is always 2 worse, though the seeds themselves differ by 20."""
    runs = records(A=[10.0, 30.0, 20.0], B=[8.0, 28.1, 17.9])
    found = report.difference(TABLE, runs, "A", "B")
    assert found.each == pytest.approx((2.0, 1.9, 2.1)) and found.direction == "more"
    # one seed of B is missing: two pairs are left
    assert report.difference(TABLE, runs[:-1], "A", "B").each == pytest.approx((2.0, 1.9))


@pytest.mark.parametrize("a, verdict", [
    ([30.0, 31.0, 32.0], "The paper's order holds."),
    ([10.0, 11.0, 12.1], "The paper's order is reversed here."),
    ([20.5, 22.0, 29.0], "All runs agree, but the spread hides the order."),
    ([15.0, 22.0, 29.0], "The spread hides the order."),
])
def test_whether_the_order_holds(a, verdict):
    said = report.sentence(TABLE, records(A=a, B=[20.0, 21.0, 22.0]), TABLE.compare[0])
    assert said.startswith("A against B: ") and said.endswith(verdict)
    assert "3 runs); the paper has +5.0." in said


def test_cells_that_should_be_alike():
    alike = Comparison("A", "B", "alike")
    told = {name: report.verdict(report.interval(each), alike) for name, each in {
        "open": (1.0, -1.0, 0.0), "more": (5.0, 5.1, 5.2), "less": (-5.0, -5.1, -5.2)}.items()}
    assert told["open"].endswith("here the spread hides whether there is one.")
    assert told["more"].startswith("Here there is a difference,")
    assert told["less"].startswith("Here there is a difference the other way")


def test_where_the_paper_gives_no_number():
    runs = records(A=[30.0, 31.0, 32.0], C=[20.0, 21.1, 22.0])
    said = report.sentence(TABLE, runs, TABLE.compare[1])
    assert "the paper gives no number" in said and said.endswith("Here A is better.")
    assert report.papers_gain(TABLE, Comparison("A", "B", "better", gain=1.0)) == 1.0


def test_another_measure_is_not_held_against_the_paper():
    runs = records(A=[30.0, 31.0, 32.0], B=[20.0, 21.1, 22.0])
    said = report.sentence(TABLE, runs, TABLE.compare[0], beside_paper=False)
    assert "paper" not in said and said.endswith("3 runs). Here A is better.")


def test_a_run_that_diverged_is_counted_and_left_out_of_the_mean():
    runs = records(A=[10.0, None, 14.0], B=[8.0, 9.0, 12.0])
    assert report.measured(TABLE, runs, "A").words() == "12.0 ± 2.8 (2), 1 diverged"
    assert report.difference(TABLE, runs, "A", "B").each == pytest.approx((2.0, 2.0))
    assert report.divergences(TABLE, runs) == ["A, seed 1, diverged: nan"]
