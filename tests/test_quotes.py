"""What the lessons quote is what was measured: each marked block, made again, is the same."""

import re
from pathlib import Path

import pytest
import quote_results

ROOT = Path(__file__).resolve().parent.parent
LESSONS = sorted((ROOT / "lessons").glob("[0-9][0-9]_*.md"))
PAGES = [*LESSONS, ROOT / "README.md"]


@pytest.mark.parametrize("lesson", PAGES, ids=lambda page: page.stem)
def test_quotes_are_up_to_date(lesson):
    assert quote_results.quoted(lesson) == lesson.read_text("utf-8"), "run `make quotes`"


def test_the_lessons_that_quote():
    marks = {lesson.stem[:2]: quote_results.MARK.findall(lesson.read_text("utf-8"))
             for lesson in LESSONS}
    assert len(marks["40"]) >= 5 and all(kind == "quote" for kind, *_ in marks["40"])
    from teachseg.tables.specs import TABLES

    assert [name for _, name, _ in marks["41"]] == list(TABLES)


def test_a_wrong_quote_is_seen(tmp_path):
    text = (ROOT / "lessons" / "41_tables_in_miniature.md").read_text("utf-8")
    wrong = tmp_path / "41_tables_in_miniature.md"
    found = re.search(r"\+\d\.\d points", text)
    wrong.write_text(text.replace(found[0], "+99.9 points", 1), "utf-8")
    assert quote_results.quoted(wrong) == text


def test_the_readme_lists_models_and_lessons(tmp_path):
    text = (ROOT / "README.md").read_text("utf-8")
    kinds = [words for kind, words, _ in quote_results.MARK.findall(text) if kind == "list"]
    assert kinds == ["lessons", "models"]
    wrong = tmp_path / "README.md"
    wrong.write_text(text.replace("3,945,186", "3,945,187"), "utf-8")
    assert wrong.read_text("utf-8") != text and quote_results.quoted(wrong) == text
