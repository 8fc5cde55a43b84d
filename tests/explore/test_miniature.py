"""The tables' runs as points: what is said with fewer seeds, with another measure, and refusals."""

import time
import xml.etree.ElementTree as ElementTree
from statistics import median

import pytest

from teachseg.explore.miniature import explore_tables, miniature_frame


def record(cell, seed, ap, diverged=None):
    """A record as far as it is drawn; APr50 is twice as much."""
    numbers = None if ap is None else {"AP": ap / 100, "APr50": 2 * ap / 100, "APr70": None,
                                       "AP50": 0.5, "AP75": 0.5}
    return {"cell": cell, "seed": seed, "numbers": numbers, "diverged": diverged}


HEADS = [record("convolutions", seed, ap) for seed, ap in enumerate((40.0, 41.0, 42.0))] + [
    record("fully connected", seed, ap) for seed, ap in enumerate((30.0, 31.1, 31.9))]
VOTING = [record("voting", 0, 20.0), record("no voting", 0, None, "step 3: nan")]
TABLES = {"mask-head": HEADS, "mnc-voting": VOTING}


def test_what_it_says():
    frame = miniature_frame(TABLES, "mask-head", "AP", 3)
    assert frame.caption.startswith("mask-head, AP in points, 3 runs. convolutions against fully "
                                    "connected: +10.0 points (")
    assert frame.caption.endswith("the paper has +2.1. The paper's order holds.")
    fewer = miniature_frame(TABLES, "mask-head", "AP", 1)
    assert "1 run. convolutions against fully connected: run once" in fewer.caption
    other = miniature_frame(TABLES, "mask-head", "APr50", 3)
    assert "APr50 in points" in other.caption and "+20.0 points" in other.caption
    assert "paper" not in other.caption and "33.6" not in other.svg, "the paper's number is of AP"


def test_what_it_draws():
    drawn = miniature_frame(TABLES, "mask-head", "AP", 3).svg
    ElementTree.fromstring(drawn)
    for words in ("convolutions", "41.0 ± 1.0 (3) | 33.6", "31.0 ± 1.0 (3) | 31.5"):
        assert words in drawn
    assert drawn != miniature_frame(TABLES, "mask-head", "AP", 2).svg


def test_a_run_that_diverged_is_named():
    drawn = miniature_frame(TABLES, "mnc-voting", "AP", 3).svg
    assert "- (0), 1 diverged" in drawn and "20.0 (1)" in drawn


def test_the_controls():
    explorer = explore_tables(TABLES | {"mnc-warp": []})
    assert list(explorer.controls) == ["table", "measure", "num_seeds"]
    assert explorer.controls["table"].options == ("mask-head", "mnc-voting")
    assert "2 runs" in explorer.set(num_seeds=2)
    assert "mnc-voting, APr50" in explorer.set(table="mnc-voting", measure="APr50")


def test_a_frame_is_quick():
    explorer, times = explore_tables(TABLES), []
    for i in range(9):
        started = time.perf_counter()
        explorer.draw(num_seeds=1 + i % 3)
        times.append(time.perf_counter() - started)
    assert median(times) < 0.01


@pytest.mark.parametrize("state, words", [
    (("mnc-warp", "AP", 3), "no runs of the table 'mnc-warp'. There are of: mask-head, mnc-voting"),
    (("mask-head", "AR", 3), "The records have no AR. They have: AP, APr50"),
    (("mask-head", "APr70", 3), "The records have no APr70"),
    (("mask-head", "AP", 0), "num_seeds must be 1 or more, got 0"),
])
def test_refusals(state, words):
    with pytest.raises(ValueError, match=words):
        miniature_frame(TABLES, *state)
    with pytest.raises(ValueError, match="at least one table, got none"):
        explore_tables({"mask-head": []})


def test_nothing_ended():
    with pytest.raises(ValueError, match="No run of the table 'mnc-voting' ended"):
        miniature_frame({"mnc-voting": VOTING[1:]}, "mnc-voting", "AP", 1)
