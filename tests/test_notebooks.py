"""The notebooks as files: what must hold before comparing their outputs means anything.

`scripts/check_notebooks.py` (make test) runs them again and compares. It would pass a notebook that
was never run, or whose cells are all ignored; the tests here do not.
"""

import configparser
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from test_lessons import COURSE as LESSONS

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
COURSE = [f"{number}_{slug}" for number, slug in LESSONS.items()]

TAGS = {"nbval-ignore-output", "raises-exception", "hide-input"}
IGNORED = re.compile(r"^\s*#\s*(NBVAL_IGNORE_OUTPUT|PYTEST_VALIDATE_IGNORE_OUTPUT)\s*$", re.M)
NOT_RUN = re.compile(r"^\s*#\s*NBVAL_SKIP\s*$", re.M)
NEVER_THE_SAME = ["interact(", "interactive(", "interactive_output(", "clear_output(", "Output()"]
ADDRESS = re.compile(r"\b0x[0-9a-fA-F]{4,}")
PRIVATE = re.compile(r"/(?:home|Users|root)/|/tmp/|[A-Z]:\\Users")
LARGEST = 400_000  # bytes


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def code(path: Path) -> list[nbformat.NotebookNode]:
    return [cell for cell in read(path).cells if cell.cell_type == "code"]


def tags(cell: nbformat.NotebookNode) -> set[str]:
    return set(cell.metadata.get("tags", []))


def ignored(cell: nbformat.NotebookNode) -> bool:
    return "nbval-ignore-output" in tags(cell) or bool(IGNORED.search(cell.source))


def texts(cell: nbformat.NotebookNode) -> list[str]:
    """What a cell gave that can be read: streams, and every text form of a result."""
    found = []
    for output in cell.outputs:
        found.append(output.get("text", ""))
        data = output.get("data", {})
        found += [str(value) for kind, value in data.items() if not kind.startswith("image/")]
        found += output.get("traceback", [])
    return found


TEMPLATE = ROOT / "lessons" / "_template" / "TEMPLATE.ipynb"  # what a new notebook begins as
each = pytest.mark.parametrize("path", [*NOTEBOOKS, TEMPLATE], ids=lambda path: path.stem)


def test_the_course_is_complete():
    assert [path.stem for path in NOTEBOOKS] == COURSE


@each
def test_it_is_valid_and_opens_with_a_title(path: Path):
    notebook = read(path)
    nbformat.validate(notebook)
    assert notebook.cells[0].cell_type == "markdown"
    assert notebook.cells[0].source.startswith("# ")


@each
def test_it_was_run_once_from_top_to_bottom(path: Path):
    counts = [cell.execution_count for cell in code(path)]
    assert counts == list(range(1, len(counts) + 1)), "run `make notebooks`"
    assert counts, "a notebook without code checks nothing"


@each
def test_its_kernel_is_found_everywhere(path: Path):
    assert read(path).metadata.kernelspec.name == "python3"


@each
def test_its_tags_are_known_and_every_cell_runs(path: Path):
    for cell in read(path).cells:
        assert tags(cell) <= TAGS, cell.source
        assert not NOT_RUN.search(cell.source), cell.source


@each
def test_at_most_a_tenth_of_its_cells_is_not_compared(path: Path):
    cells = code(path)
    assert sum(map(ignored, cells)) <= len(cells) / 10


@each
def test_no_cell_failed_or_warned(path: Path):
    for cell in code(path):
        for output in cell.outputs:
            assert output.get("name") != "stderr", output.text
            assert output.output_type != "error" or "raises-exception" in tags(cell), output.ename


@each
def test_nothing_in_it_belongs_to_one_machine_or_one_run(path: Path):
    for cell in code(path):
        for text in [*texts(cell), cell.source]:
            assert not PRIVATE.search(text), PRIVATE.search(text)
        for text in texts(cell):
            assert not ADDRESS.search(text), ADDRESS.search(text)
        assert "execution" not in cell.metadata, "times of one run: use `make notebooks`"


@each
def test_nothing_in_it_can_never_be_compared(path: Path):
    for cell in code(path):
        for word in NEVER_THE_SAME:
            assert word not in cell.source, f"{word} cannot pass nbval: watch traits with observe"


@each
def test_it_prints_a_number_that_is_compared(path: Path):
    compared = [text for cell in code(path) if not ignored(cell) for text in texts(cell)]
    printed = [text for text in compared if not text.lstrip().startswith(("<Figure", "<"))]
    assert any(re.search(r"\d", text) for text in printed)


@each
def test_it_is_small(path: Path):
    assert path.stat().st_size <= LARGEST


# --- the two scripts, on notebooks of a few cells ---


def write_notebook(path: Path, *sources: str, tag: str | None = None) -> Path:
    """A notebook whose last cell carries the tag."""
    cells = [nbformat.v4.new_markdown_cell("# Title")]
    cells += [nbformat.v4.new_code_cell(source) for source in sources]
    if tag:
        cells[-1].metadata["tags"] = [tag]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


def script(name: str, *paths: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, str(ROOT / "scripts" / name), *map(str, paths)]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)


SLIDER = "from ipywidgets import IntSlider\nprint(hash('a'))\nIntSlider(value=3)"


@pytest.mark.slow
def test_outputs_are_made_once_and_compare_equal(tmp_path: Path):
    path = write_notebook(tmp_path / "a.ipynb", "x = 6 * 7\nx", "print(x / 4)", SLIDER)
    assert script("make_notebooks.py", path).returncode == 0
    first = path.read_bytes()
    cells = code(path)
    assert [cell.execution_count for cell in cells] == [1, 2, 3]
    assert texts(cells[1]) == ["10.5\n"]  # 42 / 4
    assert script("make_notebooks.py", path).returncode == 0
    assert path.read_bytes() == first  # no times, no widget's random name, a fixed hash seed
    done = script("check_notebooks.py", path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("3 code cells of 1 notebooks ran and passed.\n")


@pytest.mark.slow
def test_the_template_s_outputs_are_its_cells():
    done = script("check_notebooks.py", TEMPLATE)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_a_wrong_digit_and_a_cell_that_does_not_run_are_found(tmp_path: Path):
    wrong = write_notebook(tmp_path / "wrong.ipynb", "1 / 3")
    notebook = read(wrong)
    notebook.cells[1].execution_count = 1
    third = {"text/plain": "0.3333333333333334"}  # Python's last digit is a 3
    notebook.cells[1].outputs = [nbformat.v4.new_output("execute_result", third)]
    nbformat.write(notebook, wrong)
    skipped = write_notebook(tmp_path / "skipped.ipynb", "pass", "pass", tag="nbval-skip")
    done = script("check_notebooks.py", wrong, skipped)
    assert done.returncode == 1
    assert "wrong.ipynb: only 0 of 1 code cells ran and passed." in done.stdout
    assert "skipped.ipynb: only 1 of 2 code cells ran and passed." in done.stdout


@pytest.mark.slow
def test_skipped_cells_alone_make_the_check_fail(tmp_path: Path):
    path = write_notebook(tmp_path / "a.ipynb", "pass", tag="nbval-skip")
    done = script("check_notebooks.py", path)
    assert done.returncode == 1  # pytest itself is content: 1 skipped
    assert "a.ipynb: only 0 of 1 code cells ran and passed." in done.stdout


@pytest.mark.slow
def test_a_failing_notebook_keeps_its_file(tmp_path: Path):
    path = write_notebook(tmp_path / "a.ipynb", "print(1)", "1 / 0")
    before = path.read_bytes()
    done = script("make_notebooks.py", path)
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr
    assert "a.ipynb failed; its file is as it was." in done.stderr
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["a.ipynb"]


@pytest.mark.slow
def test_a_missing_notebook_is_named(tmp_path: Path):
    for name in ("make_notebooks.py", "check_notebooks.py"):
        done = script(name, tmp_path / "b.ipynb")
        assert done.returncode == 1
        assert "There is no notebook" in done.stderr and "b.ipynb" in done.stderr


def test_sanitizing_eats_no_number():
    config = configparser.ConfigParser()
    config.read(ROOT / "tests" / "nbval.cfg")
    line = json.dumps({"AP": 0.75, "loss": -1.5e-3, "boxes": [[0, 1, 2, 3]]}) + " 12 %\n"
    for section in config.sections():
        regex, replacement = config[section]["regex"], config[section]["replace"]
        assert re.sub(regex, replacement, line) == line
        assert re.sub(regex, replacement, "12.5 \t\n3") == "12.5\n3"
