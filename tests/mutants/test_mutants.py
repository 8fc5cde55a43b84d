"""The mutation gate: every fault of faults.py, planted in the library, is caught by its unit tests.

The fast tests hold the list against the code; the slow one runs the gate, as `make mutants` does.
That command also runs the course's notebooks, which takes long; here it is two of a few cells.
"""

import ast
import importlib.util
import subprocess
import sys
from collections import Counter
from pathlib import Path

import nbformat
import pytest


def load(name: str):
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


gate = load("gate")
FAULTS, Fault = gate.FAULTS, gate.Fault
each = pytest.mark.parametrize(
    "fault", FAULTS, ids=[f"{fault.file}: {fault.why}" for fault in FAULTS]
)


def lines_of(fault) -> tuple[list[str], list[str]]:
    text = (gate.ROOT / "src" / "teachseg" / fault.file).read_text("utf-8")
    return text.splitlines(), gate.planted(text, fault).splitlines()


@each
def test_a_fault_changes_one_line_and_still_parses(fault):
    right, wrong = lines_of(fault)
    assert len(right) == len(wrong)
    assert sum(a != b for a, b in zip(right, wrong)) == 1
    ast.parse("\n".join(wrong))
    assert fault.why and (gate.ROOT / "tests" / fault.tests).is_file()


def test_no_fault_is_a_name_that_is_not_there(tmp_path):
    """Such a line fails in every test, and would say nothing about them."""
    for number, fault in enumerate(FAULTS):
        (tmp_path / f"fault_{number}.py").write_text("\n".join(lines_of(fault)[1]), "utf-8")
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "F821,F823"]
    said = subprocess.run([*command, tmp_path], capture_output=True, text=True)
    assert said.returncode == 0, said.stdout
    (tmp_path / "unknown.py").write_text("def f(a):\n    return b\n")
    assert subprocess.run([*command, tmp_path], capture_output=True).returncode == 1


def test_there_are_faults_enough_and_none_twice():
    assert len({(fault.file, fault.new) for fault in FAULTS}) == len(FAULTS)
    counts = Counter(fault.file for fault in FAULTS)
    assert len(FAULTS) >= 8
    files = ("layers/roi.py", "geometry/boxes.py", "geometry/nms.py")
    assert min(counts[file] for file in files) >= 3


def test_a_fault_whose_line_is_gone_fails_loudly(tmp_path):
    gone = Fault(gate.FAULTS[0].file, "no such line", "x", "something")
    source = gate.copy_source(tmp_path)
    before = (source / "teachseg" / gone.file).read_text("utf-8")
    result = gate.try_fault(source, gone)
    assert not result.caught and "Write the fault (something) anew" in result.said
    assert (source / "teachseg" / gone.file).read_text("utf-8") == before
    with pytest.raises(ValueError, match="2 times, not once"):
        gate.planted("a b a", Fault("x/y.py", "a", "b", "twice"))


def test_no_fault_of_that_name(capsys):
    assert gate.main(["no-such-word"]) == 2
    assert "No fault has one of these words" in capsys.readouterr().out


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A copy of src/ whose tests pass before anything is planted."""
    source = gate.copy_source(tmp_path_factory.mktemp("planted"))
    status, said = gate.run_tests(source, sorted({fault.tests for fault in FAULTS}))
    assert status == 0, said
    return source


@pytest.mark.slow
def test_a_comment_is_no_fault_and_a_broken_line_no_catch(source):
    """The gate tells a change that does nothing, and one that cannot be imported, from a catch."""
    same = FAULTS[0]._replace(new=FAULTS[0].old + "  # nothing changed")
    broken = FAULTS[0]._replace(new=FAULTS[0].old + " [", why="a bracket too many")
    assert gate.try_fault(source, same).said.startswith("SURVIVED")
    assert gate.try_fault(source, broken).said.startswith("NO VERDICT")


@pytest.mark.slow
@each
def test_the_unit_tests_catch_it(source, fault):
    result = gate.try_fault(source, fault)
    assert result.caught, gate.row(result)


# --- notebooks ---


def write_notebook(path: Path, *cells: tuple[str, str]) -> Path:
    """A notebook from (source, what it printed) of each cell."""
    notebook = nbformat.v4.new_notebook()
    for count, (source, printed) in enumerate(cells, 1):
        outputs = [nbformat.v4.new_output("stream", text=printed)] if printed else []
        notebook.cells += [nbformat.v4.new_code_cell(
            source, execution_count=count, outputs=outputs)]
    nbformat.write(notebook, path)
    return path


def test_the_notebooks_that_import_the_module_come_first(tmp_path):
    """mask_rcnn imports layers.rpn, which imports geometry.nms."""
    imports = {
        "01_far": "from teachseg.papers import mask_rcnn",
        "02_none": "import numpy\nfrom teachseg.structures import Targets",
        "03_name": "from teachseg.geometry.nms import batched_nms",
        "04_module": "from teachseg.geometry import boxes, nms",
        "05_whole": "if True:\n    import teachseg.geometry.nms as nms",
    }
    pages = [write_notebook(tmp_path / f"{name}.ipynb", ("x = 1", ""), (source, ""))
             for name, source in imports.items()]
    fault = Fault("geometry/nms.py", "", "", "")
    found = [path.stem for path in gate.notebooks_for(fault, pages)]
    assert found == ["03_name", "04_module", "05_whole", "01_far"]


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """One notebook prints an area, 3 * 4 by hand; one imports the module and looks at nothing."""
    folder = tmp_path_factory.mktemp("notebooks")
    area = ("import torch\nfrom teachseg.geometry.boxes import box_area", ""), (
        "print(box_area(torch.tensor([[1.0, 1.0, 4.0, 5.0]])).tolist())", "[12.0]\n")
    return [write_notebook(folder / "01_blind.ipynb", ("from teachseg.geometry import boxes", "")),
            write_notebook(folder / "02_area.ipynb", *area)]


WIDTH = Fault("geometry/boxes.py", "- boxes[:, :2]).clamp(min=0).prod(dim=1)",
              "- boxes[:, :2] + 1).clamp(min=0).prod(dim=1)", "+ 1 in a width")
UNIT = gate.Result(WIDTH, True, "test_area", 0.0)  # what the unit tests would say of it


@pytest.mark.slow
def test_notebooks_are_run_until_a_cell_sees_the_fault(source, pages):
    caught = gate.try_notebooks(source, WIDTH, pages)
    assert caught.caught and caught.said == "02 cell 2"  # 4 * 5 = 20 is not the 12 that is stored
    assert gate.row_of_notebooks(UNIT, caught).endswith("02 cell 2")


@pytest.mark.slow
def test_a_fault_that_no_cell_sees_is_said_to_be_missed(source, pages, capsys):
    same = UNIT._replace(fault=WIDTH._replace(new=f"{WIDTH.old} + 0"))
    (missed,) = gate.gate_of_notebooks(source, [same], pages[1:])
    assert not missed.caught and missed.said == "not by 02"
    (alone,) = gate.gate_of_notebooks(source, [same], [])
    assert not alone.caught and alone.said == "not by any: none imports it"
    assert capsys.readouterr().out.count("\n0 of 1 faults caught by notebooks\n") == 2


@pytest.mark.slow
def test_a_notebook_that_fails_without_a_fault_is_no_judge(source, tmp_path, capsys):
    wrong = write_notebook(tmp_path / "03_wrong.ipynb",
                           ("import teachseg.geometry.boxes\nprint(1)", "2\n"))
    assert gate.gate_of_notebooks(source, [UNIT], [wrong]) == []
    assert "03_wrong.ipynb fails without any fault (exit 1)" in capsys.readouterr().out
