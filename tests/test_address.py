"""The public address stands in one place, and all other places say what the script would write."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import set_address

ROOT = Path(__file__).resolve().parent.parent

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SOMEWHERE = "https://github.com/some-one/the.course"
FILES = ("pyproject.toml", "CITATION.cff", "README.md")


def cells(path: Path):
    return nbformat.read(path, as_version=4).cells


def first_code(path: Path) -> str:
    return next(cell.source for cell in cells(path) if cell.cell_type == "code")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_each_notebook_begins_as_the_address_says(path: Path):
    where = set_address.address()
    assert first_code(path) == set_address.first_cell(where)
    title = cells(path)[0].source
    assert title == set_address.title(title, where, path.name)
    assert ("colab.research.google.com" in title) == (where is not None)


def test_the_project_s_papers_say_the_address():
    where = set_address.address()
    for name, change in zip(FILES, (set_address.project, set_address.citation, set_address.readme)):
        text = (ROOT / name).read_text("utf-8")
        assert change(text, where) == text, name


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files that hold the address, elsewhere; two of the notebooks."""
    (tmp_path / "notebooks").mkdir()
    for name in (*FILES, *(f"notebooks/{path.name}" for path in NOTEBOOKS[:2])):
        shutil.copy(ROOT / name, tmp_path / name)
    monkeypatch.setattr(set_address, "ROOT", tmp_path)
    monkeypatch.setattr(set_address, "NOTEBOOKS", tmp_path / "notebooks")
    return tmp_path


def test_an_address_is_written_everywhere_and_taken_out_again(copy: Path):
    set_address.main(["--none"])
    plain = {path: path.read_bytes() for path in copy.rglob("*.*")}
    set_address.main([SOMEWHERE])
    assert set_address.address() == SOMEWHERE
    for path in plain:
        assert SOMEWHERE in path.read_text("utf-8") and path.read_bytes() != plain[path]
    path = copy / "notebooks" / NOTEBOOKS[1].name
    title = cells(path)[0].source
    assert ("(https://colab.research.google.com/github/some-one/the.course/blob/main/notebooks/"
            f"{path.name})") in title
    assert ("(https://mybinder.org/v2/gh/some-one/the.course/main?urlpath=lab/tree/notebooks/"
            f"{path.name})") in title
    assert "install --quiet git+https://github.com/some-one/the.course\")" in first_code(path)
    twice = {path: path.read_bytes() for path in plain}
    set_address.main([SOMEWHERE])  # changes nothing more
    assert {path: path.read_bytes() for path in plain} == twice
    set_address.main(["--none"])
    assert {path: path.read_bytes() for path in plain} == plain


@pytest.mark.parametrize("words", [[], ["some-one"], ["http://github.com/a/b"], [SOMEWHERE, "x"],
                                   ["https://github.com/a/b; rm -rf ."]])  # fmt: skip
def test_what_is_no_address_is_refused(copy: Path, words: list[str]):
    before = {path: path.read_bytes() for path in copy.rglob("*.*")}
    with pytest.raises(SystemExit, match="An address is needed, https://github.com/OWNER/NAME"):
        set_address.main(words)
    assert {path: path.read_bytes() for path in copy.rglob("*.*")} == before


class Shell:
    """Stands for IPython; notes the magics."""

    def __init__(self):
        self.calls: list[tuple[str, str]] = []

    def run_line_magic(self, name: str, line: str) -> None:
        self.calls.append((name, line))


@pytest.mark.parametrize("where, installed", [(None, "teachseg-*.whl"),
                                              (SOMEWHERE, f"git+{SOMEWHERE}")])  # fmt: skip
def test_the_first_cell_installs_only_where_the_library_is_missing(where, installed, monkeypatch):
    shell = Shell()
    names = {"get_ipython": lambda: shell}
    exec(set_address.first_cell(where), names)
    assert shell.calls == []  # it is here
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    exec(set_address.first_cell(where), names)
    assert shell.calls == [("pip", f"install --quiet {installed}")]


def test_binder_s_last_step_is_a_program_whose_python_runs(tmp_path: Path):
    script = ROOT / "postBuild"
    assert os.access(script, os.X_OK)
    (tmp_path / "python").write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\n')
    (tmp_path / "python").chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    subprocess.run([script], env=environment, check=True)
    calls = (tmp_path / "calls").read_text()
    code = re.findall(r"^-c (.*)$", calls, re.M)
    assert len(code) == 2 and "-m pip cache purge" in calls
    for one in code:
        subprocess.run([sys.executable, "-c", one], cwd=tmp_path, check=True)
