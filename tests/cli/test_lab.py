"""Which notebook `teachseg lab` opens: the last one, one by its number, and a copy of a wheel's."""

import os
import sys
from pathlib import Path

import pytest

from teachseg import cells, cli, places
from teachseg.cli import lab, notebooks


@pytest.fixture
def started(run, monkeypatch):
    """`started(*words)` -> (folder, page, what is said) of the JupyterLab that would start."""
    def start(*words):
        calls = []

        def lab_command(*asked):
            calls.append(cli.lab_command(*asked))
            return Path(), [sys.executable, "-c", ""]  # instead of JupyterLab

        with monkeypatch.context() as patch:
            patch.setattr(lab.cells, "set_up", lambda prefix: True)
            patch.setattr(lab, "lab_command", lab_command)
            patch.setattr(lab.os, "name", "other")  # so that this process is not replaced
            result = run("lab", *words)
        assert result.exit_code == 0, result.output
        (folder, command), = calls
        page = next(word for word in command if word.startswith("--LabApp.default_url="))
        return folder, page.removeprefix("--LabApp.default_url=/lab/tree/"), result.stdout

    return start


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """The course as a wheel has it: 00 and 12 among the installed packages."""
    course = tmp_path / "packages" / "course"
    (course / "notebooks").mkdir(parents=True)
    for name in ("00_start_here.ipynb", "12_other.ipynb"):
        (course / "notebooks" / name).write_text("the course's")
    monkeypatch.setattr(lab, "ROOT", course)
    monkeypatch.setattr(places, "in_clone", lambda: False)
    return course


def work_on(notebook: Path, monkeypatch) -> None:
    """What a kernel does after its first cell."""
    monkeypatch.setenv("JPY_SESSION_NAME", str(notebook))
    cells.note_notebook()


def test_at_first_lab_opens_the_first_notebook(started):
    folder, page, said = started()
    assert folder == cli.ROOT and page == "notebooks/00_start_here.ipynb"
    assert said.startswith("Opening 00_start_here.ipynb, the course's first one.\nThe first one: "
                           "teachseg lab 00. Another: teachseg lab NUMBER, or teachseg lab PATH.")


def test_then_it_opens_the_one_last_worked_on(started, monkeypatch):
    work_on(next((cli.ROOT / "notebooks").glob("12_*.ipynb")), monkeypatch)
    work_on(next((cli.ROOT / "notebooks").glob("04_*.ipynb")), monkeypatch)
    folder, page, said = started()
    assert folder == cli.ROOT and page == "notebooks/04_anchors.ipynb"
    assert "Opening 04_anchors.ipynb, the one that you last worked on." in said
    assert started("00")[1] == "notebooks/00_start_here.ipynb"


def test_a_copy_in_a_workbook_is_the_last_one_too(started, run, monkeypatch, tmp_path):
    for _ in range(2):
        run("workbook", "4")
    work_on(tmp_path / "workbook" / "04_anchors-2.ipynb", monkeypatch)
    folder, page, _ = started()
    assert folder == tmp_path / "workbook" and page == "04_anchors-2.ipynb"
    (tmp_path / "workbook" / "04_anchors-2.ipynb").unlink()  # gone: the first one again
    assert started()[1] == "notebooks/00_start_here.ipynb"


def test_a_lesson_is_opened_by_its_number(started, run):
    assert started("12")[1].startswith("notebooks/12_")
    assert "Opening 04_anchors.ipynb, lesson 04." in started("4")[2]
    assert "There is no notebook 99 in" in run("lab", "99").stderr
    assert started("notebooks/04_anchors.ipynb")[1] == "notebooks/04_anchors.ipynb"


def test_of_an_installed_course_a_copy_is_opened(started, installed, tmp_path):
    folder, page, said = started("12")
    copy = tmp_path / "workbook" / "12_other.ipynb"
    assert (folder, page) == (copy.parent, copy.name) and copy.read_text() == "the course's"
    assert "Opening workbook/12_other.ipynb, lesson 12. It is a copy made now: " in said
    copy.write_text("mine")
    _, page, said = started("12")
    assert page == copy.name and copy.read_text() == "mine" and "It is your copy: " in said
    assert [file.name for file in copy.parent.iterdir()] == [copy.name]


def test_of_several_copies_the_last_changed_is_opened(started, installed, tmp_path):
    for name, when in (("12_other.ipynb", 1), ("12_other-2.ipynb", 3), ("12_other-3.ipynb", 2),
                       ("12_other-mine.ipynb", 4)):
        (tmp_path / "workbook").mkdir(exist_ok=True)
        (tmp_path / "workbook" / name).write_text("mine")
        os.utime(tmp_path / "workbook" / name, (when, when))
    assert started("12")[1] == "12_other-2.ipynb"


def test_nor_is_an_installed_notebook_opened_by_its_path(started, installed, monkeypatch, tmp_path):
    assert started(installed / "notebooks" / "12_other.ipynb")[0] == tmp_path / "workbook"
    work_on(installed / "notebooks" / "00_start_here.ipynb", monkeypatch)
    assert started()[:2] == (tmp_path / "workbook", "00_start_here.ipynb")
    (tmp_path / "12_own.ipynb").write_text("mine")  # one's own is opened where it lies
    assert started("12_own.ipynb")[:2] == (tmp_path, "12_own.ipynb")


def test_copies_are_told_from_other_notebooks(tmp_path):
    for name in ("12_a.ipynb", "12_a-2.ipynb", "12_ab.ipynb", "12_a-b.ipynb", "12_a.txt"):
        (tmp_path / name).write_text("")
    found = {file.name for file in notebooks.copies_of(Path("somewhere", "12_a.ipynb"), tmp_path)}
    assert found == {"12_a.ipynb", "12_a-2.ipynb"}
    assert notebooks.copies_of(Path("12_a.ipynb"), tmp_path / "nowhere") == []
