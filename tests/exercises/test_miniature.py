"""Lesson 41's exercises: right by the library, and by hand."""

import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teachseg.exercises import miniature as page
from teachseg.tables import report

quick = settings(deadline=None, max_examples=60)
points = st.lists(st.floats(-50, 50), min_size=2, max_size=8)


@quick
@given(values=points)
def test_deviation_is_pythons(values):
    mean, spread = page.deviation(values)
    assert mean == pytest.approx(statistics.fmean(values), abs=1e-9)
    assert spread == pytest.approx(statistics.stdev(values), abs=1e-6)


@quick
@given(this=points, that=points)
def test_interval_and_pairs_are_the_librarys(this, that):
    n = min(len(this), len(that))
    first, second = dict(enumerate(this)), dict(enumerate(that))
    mean, spread = page.paired(first, second)
    library = report.interval([first[seed] - second[seed] for seed in range(n)])
    low, high = page.interval(mean, spread, n, report.T_975[n - 2])
    assert (mean, low, high) == pytest.approx((library.mean, library.low, library.high), abs=1e-6)


def test_students_numbers_are_the_librarys():
    assert tuple(page.T.values()) == report.T_975 and list(page.T) == list(range(2, 11))


def test_needed_by_hand():
    """Of 1 in spreads: t / sqrt(n) is 1.05 for 6 seeds, 0.92 for 7."""
    assert page.needed(1.0, 1.0, page.T) == 7
    assert page.needed(0.3, 1.0, page.T) == 0
