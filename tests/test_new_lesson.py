"""The templates: what a new lesson begins as keeps the course's rules before a word is written."""

import re
from pathlib import Path

import nbformat
import new_lesson
import pytest
import yaml
from test_lessons import KEYS, found, glossary, term

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def course(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty course in a folder of its own."""
    for name in ("lessons", "notebooks"):
        (tmp_path / name).mkdir()
        monkeypatch.setattr(new_lesson, name.upper(), tmp_path / name)
    monkeypatch.setattr(new_lesson, "ROOT", tmp_path)
    return tmp_path


def words_of(notebook: Path) -> str:
    return "\n".join(cell.source for cell in nbformat.read(notebook, as_version=4).cells)


def test_a_lesson_begins_as_a_page_and_a_notebook(course: Path, capsys):
    new_lesson.main(["23", "two_words", "Two words"])
    page = course / "lessons" / "23_two_words.md"
    notebook = course / "notebooks" / "23_two_words.ipynb"
    assert page.read_text("utf-8").split("---\n", 2)[2].startswith("\n# 23 · Two words\n")
    assert words_of(notebook).startswith("# 23 · Two words\n")
    for text in (page.read_text("utf-8"), words_of(notebook)):
        assert not re.search(r"\bNN|SLUG|TITLE\b", text)
    said = capsys.readouterr().out
    assert "lessons/23_two_words.md" in said and "make_notebooks.py notebooks/23_two_words" in said


@pytest.mark.parametrize("title", ["Two words", 'Words: "two", and more'])
def test_the_front_matter_of_a_new_page_is_complete(course: Path, title: str):
    page, _ = new_lesson.begin("23", "two_words", title)
    facts = yaml.safe_load(page.read_text("utf-8").split("---\n", 2)[1])
    assert set(facts) == KEYS and facts["title"] == title
    assert facts["notebook"] == "notebooks/23_two_words.ipynb"
    assert all(callable(found(name)) for name in facts["symbols"])
    assert {term(word) for word in facts["terms"]} <= {term(word) for word in glossary()}


def test_a_new_notebook_keeps_its_outputs_and_numbers(course: Path):
    _, path = new_lesson.begin("23", "two_words", "Two words")
    made = nbformat.read(path, as_version=4)
    template = nbformat.read(ROOT / "lessons" / "_template" / "TEMPLATE.ipynb", as_version=4)
    assert [cell.get("outputs") for cell in made.cells] == \
        [cell.get("outputs") for cell in template.cells]
    counts = [cell.execution_count for cell in made.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1))


@pytest.mark.parametrize("words, said", [
    (["23", "two_words", "Again"], "Lesson 23 is there already: 23_two_words.ipynb, 23_two"),
    (["2", "two_words", "Two"], "A number of two digits"),
    (["24", "Two-Words", "Two"], "A number of two digits and a name like some_words"),
    (["24", "two_words", " "], "A title is needed"),
    (["24"], "Three words are needed"),
])  # fmt: skip
def test_what_cannot_be_begun_is_said_and_nothing_is_overwritten(course: Path, words, said):
    page, path = new_lesson.begin("23", "two_words", "Two words")
    before = page.read_bytes(), path.read_bytes()
    with pytest.raises(SystemExit, match=re.escape(said)):
        new_lesson.main(words)
    assert (page.read_bytes(), path.read_bytes()) == before
    assert len(list(course.rglob("*.*"))) == 2
