"""The mutation gate: every fault of faults.py, planted in the library, is caught by its unit tests.

The fast tests hold the list against the code; the slow one runs the gate, as `make mutants` does.
"""

import ast
import importlib.util
from collections import Counter
from pathlib import Path

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
    same = Fault("geometry/nms.py", "kept = []", "kept = list()", "nothing changed")
    broken = Fault("geometry/nms.py", "kept = []", "kept = [", "a bracket lost")
    assert gate.try_fault(source, same).said.startswith("SURVIVED")
    assert gate.try_fault(source, broken).said.startswith("NO VERDICT")


@pytest.mark.slow
@each
def test_the_unit_tests_catch_it(source, fault):
    result = gate.try_fault(source, fault)
    assert result.caught, gate.row(result)
