"""The exercises where they stand: solutions are put into the notebooks, which then say PASS.

A cell of a notebook that holds `check("roi.align", my_align)` is an exercise's. Its stored output
is the TODO line; with the solution in the place of the learner's function the same cell must print
PASS, and every cell of the notebook must still run.
"""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from teachseg.exercises.registry import all_exercises

ROOT = Path(__file__).resolve().parents[2]
CHECK = re.compile(r"""\bcheck\(\s*["']([\w.]+)["'],\s*(\w+)\s*\)""")

BEFORE = re.compile(r"^(?!\s*#).*" + CHECK.pattern, re.M)  # with the line's beginning

# Defines the learner's function from the solution's text, and touches no other name but one.
SOLVED = """_solved = {{}}
exec(__import__("teachseg.exercises.registry", fromlist="x").find({name!r}).source, _solved)
{function} = _solved[{reference!r}]
"""


def checks(source: str) -> list[tuple[str, str]]:
    """(exercise, the learner's function) of each check in a cell; comments do not count."""
    code = "\n".join(line for line in source.splitlines() if not line.lstrip().startswith("#"))
    return CHECK.findall(code)


def with_solutions(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook where, before every check, the function becomes its exercise's solution."""
    for cell in notebook.cells:
        if cell.cell_type == "code" and checks(cell.source):
            cell.source = BEFORE.sub(_solved, cell.source)
    return notebook


def _solved(found: re.Match) -> str:
    """The solution, then the line that checks it."""
    name, function = CHECK.search(found[0]).groups()
    reference = all_exercises()[name].reference.__name__
    return SOLVED.format(name=name, function=function, reference=reference) + found[0]


def printed(cell: nbformat.NotebookNode) -> str:
    return "".join(output.get("text", "") for output in cell.outputs)


def execute(notebook: nbformat.NotebookNode, folder: Path) -> None:
    """Run it in a fresh kernel, which fails at the first cell that raises."""
    NotebookClient(notebook, timeout=600, kernel_name="python3",
                   resources={"metadata": {"path": str(folder)}}).execute()


def of_exercises(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code" and checks(cell.source)]


def with_exercises() -> list[Path]:
    found = sorted((ROOT / "notebooks").glob("*.ipynb"))
    return [path for path in found if of_exercises(nbformat.read(path, as_version=4))]


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("TEACHSEG_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "1")
    monkeypatch.setenv("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


each = pytest.mark.parametrize("path", with_exercises(), ids=lambda path: path.stem)


@each
def test_the_stored_line_is_a_todo(path):
    for cell in of_exercises(nbformat.read(path, as_version=4)):
        names = [name for name, _ in checks(cell.source)]
        lines = [line for line in printed(cell).splitlines() if line.startswith("[")]
        assert [line.split(":")[0] for line in lines] == [f"[TODO] {name}" for name in names]


@each
def test_a_lesson_has_all_of_its_exercises(path):
    cells = of_exercises(nbformat.read(path, as_version=4))
    there = {name for cell in cells for name, _ in checks(cell.source)}
    assert there == {name for name, one in all_exercises().items() if one.lesson == path.name[:2]}


@pytest.mark.slow
@each
def test_with_the_solutions_every_exercise_passes(path):
    notebook = with_solutions(nbformat.read(path, as_version=4))
    execute(notebook, path.parent)
    for cell in of_exercises(notebook):
        for name, _ in checks(cell.source):
            assert f"[PASS] {name}: {len(all_exercises()[name].cases)} cases" in printed(cell)


# ---- the machinery itself, on a notebook made here ----------------------------------------------


def cells(*sources: str) -> nbformat.NotebookNode:
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(one) for one in sources])


@pytest.mark.slow
def test_solutions_are_put_in_and_run(tmp_path):
    """Every exercise from its own starter: TODO as it stands, PASS when it is solved."""
    pages = ["from teachseg import exercises"]
    for name, one in all_exercises().items():
        mine = f"my_{one.reference.__name__}"
        pages.append(f"{one.starter}\n{mine} = {one.reference.__name__}\n"
                     f'exercises.check("{name}", {mine})')
    plain = cells(*pages)
    execute(plain, tmp_path)
    solved = cells(*pages)
    execute(with_solutions(solved), tmp_path)
    for name, before, after in zip(all_exercises(), plain.cells[1:], solved.cells[1:]):
        assert printed(before).startswith(f"[TODO] {name}: write ")
        assert printed(after).startswith(f"[PASS] {name}: ")


def test_checks_are_found_as_people_write_them():
    assert checks('check("roi.align", my_align)') == [("roi.align", "my_align")]
    assert checks("exercises.check('roi.pool',\n    my_pool)") == [("roi.pool", "my_pool")]
    assert checks('# check("roi.align", my_align)\nprint("check")') == []
