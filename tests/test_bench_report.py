"""The report of speed: every ratio stands beside its spread, and a busy machine is named."""

import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def report():
    sys.path.insert(0, str(ROOT / "tests" / "bench"))
    try:
        import report
        yield report
    finally:
        sys.path.remove(str(ROOT / "tests" / "bench"))


def line(name, ours, theirs, **more):
    return {"name": name, "ours_ms": ours, "theirs_ms": theirs, "ratio": ours / theirs,
            "low": 0.9 * ours / theirs, "high": 1.2 * ours / theirs, "repeats": 9} | more


def facts(**changes):
    rows = [{"model": name, "value": side, "ms": 1.0 * side, "low": 0.9 * side, "high": 1.1 * side}
            for name in ("mask_rcnn", "mnc", "deep_metric") for side in (64, 128)]
    return {"command": "python report.py", "machine": "x86_64", "threads": 2, "torch": "2",
            "torchvision": "0", "teachseg": "0", "load": 0.1, "busy": "", "operations": 1.5e11,
            "bytes": 3.6e10, "lines": {"Models": [line("a", 10.0, 20.0, limit_ms=5.0)],
                                       "Others": [line("b", 3.0, 2.0)]},
            "parts": {"mnc": {"conv": 5.0, "others": 2.5}}, "growth": {"side": rows}} | changes


def test_every_ratio_has_its_spread_and_a_limit_where_there_is_one(report):
    page = report.markdown(facts())
    assert "| a | 10.00 | 20.00 | 0.50 (0.45 - 0.60) | 5.00 | 2.0 |" in page
    assert "| b | 3.00 | 2.00 | 1.50 (1.35 - 1.80) | - | - |" in page
    assert "- mnc: 7.5 = conv 5.0, others 2.5" in page
    assert "| deep_metric | 64.0 (57.6 - 70.4) | 128.0 (115.2 - 140.8) |" in page


def test_a_busy_machine_is_named(report):
    assert "busy" not in report.markdown(facts())
    said = "The machine was busy then: trust the ratios no further than their spread."
    assert said in report.markdown(facts(busy=said, load=3.2))


def test_the_shipped_report_is_whole(report):
    stored = json.loads((ROOT / "data/results/bench/report.json").read_text("utf-8"))
    assert report.markdown(stored) == (ROOT / "data/results/bench/report.md").read_text("utf-8")
    names = [one["name"] for of_title in stored["lines"].values() for one in of_title]
    for words in ("mask_rcnn: prediction", "mnc: training", "deep_metric: training", "roi_align",
                  "roi_pool", "NMS", "pasting", "matching", "anchors", "COCO AP"):
        assert any(words in name for name in names), words
    assert set(stored["growth"]) == {"side of the image", "objects of a crowded scene",
                                     "proposals or seeds at most", "images a batch"}
    assert all(one["low"] <= one["ratio"] <= one["high"] and one["repeats"] >= 5
               for of_title in stored["lines"].values() for one in of_title)
