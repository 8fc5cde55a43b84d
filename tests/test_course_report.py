"""The report of what the course consists of: counted by hand on a small one, then the course."""

from pathlib import Path

import course_report
import nbformat
import pytest
from course_report import BOUNDS, Row, measure, outliers, table

ROOT = Path(__file__).resolve().parent.parent

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def cell(source: str, printed: str = "", *tags: str):
    """A code cell with what it printed."""
    made = nbformat.v4.new_code_cell(source)
    made.outputs = [nbformat.v4.new_output("stream", text=printed)] if printed else []
    made.metadata["tags"] = list(tags)
    return made


def test_a_notebook_counted_by_hand(tmp_path, monkeypatch):
    figure = cell("plot()")
    figure.outputs = [nbformat.v4.new_output("display_data", {
        "image/png": "AAAA", "text/plain": "<Figure size 10x10 with 1 Axes>"})]
    cells = [nbformat.v4.new_markdown_cell("# Two words"),
             cell("a = 1\n\nprint(a, 2.5)", "1 2.5 -3 v2 x1"),   # 2 lines; 1, 2.5, -3
             cell("time()", "0.123 s", "nbval-ignore-output"),    # compared with nothing
             cell('def f(): pass\ncheck("page.word", f)\n# end', "[TODO] 4 cases"), figure]
    path = tmp_path / "10_small.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    (tmp_path / "10_small.md").write_text("---\ntitle: x\n---\n\n# One two three\n")
    monkeypatch.setattr(course_report, "LESSONS", tmp_path)
    row = measure(path, {"10_small": 3.25})
    # lines 2, 1, 3, 1: median 1.5; words "#", "Two", "words"; numbers 3 and the 4 of the exercise
    assert row == Row("10_small", 4, 1.5, 3, 3, 1, 1, 4, path.stat().st_size / 1000, 4, 3.25)
    assert "10_small" in table([row]) and "all 1" in table([row])
    assert any("cells is 4, and 20 to 55 is usual" in line for line in outliers(row))


def test_every_bound_can_be_left_on_both_sides():
    good = {name: least for name, (least, _) in BOUNDS.items()}
    row = Row(name="99_x", lesson=0, **good)
    assert outliers(row) == []
    for name, (least, most) in BOUNDS.items():
        assert len(outliers(row._replace(**{name: most + 1}))) == 1
        assert least == 0 or len(outliers(row._replace(**{name: least - 1}))) == 1
    assert outliers(row._replace(seconds=None)) == []  # not measured here


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_notebook_falls_out_of_line(path: Path):
    assert outliers(measure(path, {})) == []
