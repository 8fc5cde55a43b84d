"""Plant each fault in a copy of the library, run that module's unit tests, and print the table.

    python tests/mutants/gate.py              all faults
    python tests/mutants/gate.py nms boxes    those whose file or reason holds one of the words
    python tests/mutants/gate.py --notebooks  then the notebooks too: which cell sees each fault?

The copy's src/ stands first on PYTHONPATH; the project's own files are never touched. A fault is
caught when the tests ran and failed; tests that pass, that cannot be collected, or that do not end
in time are the gate's failures. First the copy without a fault has to pass.

Notebooks are run as `scripts/check_notebooks.py` does, until the first cell that fails or gives
another output than the stored one. Those that import the faulty module come first, then those that
do so through other modules. Unit tests must catch every fault, notebooks `BY_NOTEBOOKS` of them.
"""

import argparse
import ast
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import NamedTuple

import nbformat

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(Path(__file__).parent), str(ROOT / "scripts")]  # folders that are no packages

import forked  # noqa: E402
from faults import FAULTS, Fault  # noqa: E402
from make_notebooks import FIXED, find  # noqa: E402

SECONDS = 300           # for one run of a test file; some seconds on a quiet machine
NOTEBOOK_SECONDS = 900  # for one notebook; under a minute on a quiet machine
BY_NOTEBOOKS = 15

OPTIONS = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--tb=no", "-rf", "--rootdir",
           str(ROOT)]


class Result(NamedTuple):
    """What the tests, or the notebooks, said of a fault."""

    fault: Fault
    caught: bool
    said: str  # the test that failed, or why the gate fails; the cell, or why there is none
    seconds: float


def planted(text: str, fault: Fault) -> str:
    """A module's text with the fault in it.

    Raises:
        ValueError: the line is not there, or more than once.
    """
    times = text.count(fault.old)
    if times != 1:
        raise ValueError(f"{fault.file} holds {fault.old!r} {times} times, not once: the line has "
                         f"changed. Write the fault ({fault.why}) anew in tests/mutants/faults.py.")
    return text.replace(fault.old, fault.new)


@contextmanager
def plant(source: Path, fault: Fault) -> Iterator[None]:
    """The copy of src/ with the fault in it; it is taken out again."""
    file = source / "teachseg" / fault.file
    right = file.read_text("utf-8")
    wrong = planted(right, fault)
    try:
        file.write_text(wrong, "utf-8")
        yield
    finally:
        file.write_text(right, "utf-8")


def run_tests(source: Path, files: list[str]) -> tuple[int | None, str]:
    """What test files say of the copy of src/: see `forked.run`."""
    settings = {"OMP_NUM_THREADS": "1",
                "HYPOTHESIS_STORAGE_DIRECTORY": str(source.parent / "hypothesis")}
    options = [*OPTIONS, *(str(ROOT / "tests" / file) for file in files)]
    return forked.run(source, options, settings, SECONDS)


def try_fault(source: Path, fault: Fault) -> Result:
    """Plant a fault in the copy of src/, run the module's tests, and take it out again."""
    started = time.perf_counter()
    try:
        with plant(source, fault):
            status, said = run_tests(source, [fault.tests])
    except ValueError as error:
        return Result(fault, False, str(error), 0.0)
    seconds = time.perf_counter() - started
    failed = [line.split("::", 1)[1].split(" - ")[0]
              for line in said.splitlines() if line.startswith("FAILED ") and "::" in line]
    if status == 1 and failed:
        return Result(fault, True, failed[0], seconds)
    if status == 0:
        return Result(fault, False, f"SURVIVED: {fault.tests} passes", seconds)
    last = said.strip().splitlines()[-1:] or [""]
    return Result(fault, False, f"NO VERDICT (exit {status}): {last[0]}", seconds)


# ---- notebooks ----------------------------------------------------------------------------------


def names_imported(source: str) -> set[str]:
    """Full names of what some code imports: modules, and names that may be modules."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


@cache
def imported_by(notebook: Path) -> set[str]:
    """What a notebook's code cells import."""
    cells = nbformat.read(notebook, as_version=4).cells
    return names_imported("\n".join(cell.source for cell in cells if cell.cell_type == "code"))


def reached(names: set[str]) -> set[str]:
    """With what these modules of teachseg import, and what those import, and so on."""
    done: set[str] = set()
    left = set(names)
    while left:
        name = left.pop()
        done.add(name)
        place = ROOT / "src" / Path(*name.split("."))
        for file in (place.with_suffix(".py"), place / "__init__.py"):
            if name.startswith("teachseg") and file.is_file():
                left |= names_imported(file.read_text("utf-8")) - done
    return done


def notebooks_for(fault: Fault, notebooks: list[Path]) -> list[Path]:
    """Those that import the faulty module, then those that do so through others."""
    module = f"teachseg.{fault.file.removesuffix('.py').replace('/', '.')}"
    direct = [path for path in notebooks if module in imported_by(path)]
    return direct + [path for path in notebooks
                     if path not in direct and module in reached(imported_by(path))]


def run_notebook(source: Path, notebook: Path) -> tuple[int | None, str]:
    """What nbval says of a notebook with the copy of src/: see `forked.run`."""
    options = [*OPTIONS, "--nbval", "--nbval-current-env",
               "--nbval-cell-timeout", str(NOTEBOOK_SECONDS),
               "--nbval-sanitize-with", str(ROOT / "tests" / "nbval.cfg"), str(notebook)]
    home = str(source.parent / "home")
    settings = FIXED | {"IPYTHONDIR": home, "TEACHSEG_HOME": home}
    return forked.run(source, options, settings, NOTEBOOK_SECONDS)


def try_notebooks(source: Path, fault: Fault, notebooks: list[Path]) -> Result:
    """Plant a fault, and run notebooks until a cell sees it."""
    started, silent = time.perf_counter(), []
    with plant(source, fault):
        for notebook in notebooks_for(fault, notebooks):
            status, said = run_notebook(source, notebook)
            failed = re.search(r"^FAILED .*::Cell (\d+)", said, re.M)  # nbval counts from 0
            if status == 1 and failed:
                cell = f"{notebook.name[:2]} cell {int(failed[1]) + 1}"
                return Result(fault, True, cell, time.perf_counter() - started)
            silent.append(notebook.name[:2] if status == 0 else f"{notebook.name[:2]} ({status})")
    return Result(fault, False, f"not by {', '.join(silent) or 'any: none imports it'}",
                  time.perf_counter() - started)


# ---- the table ----------------------------------------------------------------------------------


def copy_source(folder: Path) -> Path:
    """A copy of src/ in that folder, without compiled files; beside it data/, as it is."""
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    (folder / "data").symlink_to(ROOT / "data")
    return Path(shutil.copytree(ROOT / "src", folder / "src", ignore=ignored))


def row(result: Result) -> str:
    """One line of the table."""
    mark = "caught" if result.caught else "MISSED"
    fault = result.fault
    return f"{mark}  {fault.file:<18} {result.seconds:5.1f} s  {fault.why:<48}  {result.said}"


def row_of_notebooks(by_tests: Result, by_notebooks: Result) -> str:
    """One line of the second table: the fault, the test that catches it, and the cell."""
    fault, seconds = by_tests.fault, by_notebooks.seconds
    test = by_tests.said[:50] if by_tests.caught else "MISSED"
    return f"{fault.file:<18} {fault.why:<48}  {test:<50}  {seconds:5.1f} s  {by_notebooks.said}"


def gate_of_tests(source: Path, chosen: list[Fault]) -> list[Result]:
    """Every fault against its module's unit tests, a line each; empty where they fail without."""
    status, said = run_tests(source, sorted({fault.tests for fault in chosen}))
    if status != 0:
        print(f"The tests fail without any fault (exit {status}); mend that first.\n{said}")
        return []
    results = []
    for fault in chosen:
        results.append(try_fault(source, fault))
        print(row(results[-1]), flush=True)
    print(f"{sum(result.caught for result in results)} of {len(results)} faults caught")
    return results


def gate_of_notebooks(
    source: Path, by_tests: list[Result], notebooks: list[Path]
) -> list[Result]:
    """Every fault against the notebooks, a line each; empty where one fails without a fault."""
    wanted = {path for result in by_tests for path in notebooks_for(result.fault, notebooks)}
    for path in sorted(wanted):
        status, said = run_notebook(source, path)
        if status != 0:
            print(f"{path.name} fails without any fault (exit {status}); mend that first.\n{said}")
            return []
    results = []
    for result in by_tests:
        results.append(try_notebooks(source, result.fault, notebooks))
        print(row_of_notebooks(result, results[-1]), flush=True)
    caught = sum(result.caught for result in results)
    print(f"{caught} of {len(results)} faults caught by notebooks")
    return results


def main(arguments: list[str]) -> int:
    """Print the tables; 0 where every fault was caught, and enough of them by notebooks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("words", nargs="*", help="only faults whose file or reason holds one")
    parser.add_argument("--notebooks", action="store_true", help="try the notebooks too")
    asked = parser.parse_args(arguments)
    chosen = [fault for fault in FAULTS if not asked.words
              or any(word in f"{fault.file} {fault.why}" for word in asked.words)]
    if not chosen:
        print(f"No fault has one of these words: {' '.join(asked.words)}.")
        return 2
    with tempfile.TemporaryDirectory() as folder:
        source = copy_source(Path(folder))
        by_tests = gate_of_tests(source, chosen)
        if not by_tests:
            return 2
        failed = not all(result.caught for result in by_tests)
        if asked.notebooks:
            by_notebooks = gate_of_notebooks(source, by_tests, find([]))
            if not by_notebooks:
                return 2
            least = 0 if asked.words else BY_NOTEBOOKS
            failed |= sum(result.caught for result in by_notebooks) < least
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
