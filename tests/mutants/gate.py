"""Plant each fault in a copy of the library, run that module's unit tests, and print the table.

    python tests/mutants/gate.py             all faults
    python tests/mutants/gate.py nms boxes   those whose file or reason holds one of the words

The copy's src/ stands first on PYTHONPATH; the project's own files are never touched. A fault is
caught when the tests ran and failed; tests that pass, that cannot be collected, or that do not end
in time are the gate's failures. First the copy without a fault has to pass.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parent))

from faults import FAULTS, Fault  # noqa: E402  (the folder is no package)

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 300  # for one run of a test file; some seconds on a quiet machine

# Runs pytest only where the planted copy is what `teachseg` means.
START = """
import sys, teachseg, pytest
if not teachseg.__file__.startswith(sys.argv[1]):
    sys.exit(f"teachseg is {teachseg.__file__}, not the copy in {sys.argv[1]}")
sys.exit(pytest.main(sys.argv[2:]))
"""


class Result(NamedTuple):
    """What the tests said of a fault."""

    fault: Fault
    caught: bool
    said: str  # the test that failed, or why the gate fails
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


def run_tests(source: Path, files: list[str]) -> tuple[int | None, str]:
    """Pytest's exit status (None: not done in time) and all it printed, with `source` first."""
    command = [sys.executable, "-c", START, str(source), "-x", "-q", "-p", "no:cacheprovider",
               "-p", "no:xdist", "--tb=no", "-rf", "--rootdir", str(ROOT),
               *(str(ROOT / "tests" / file) for file in files)]
    alone = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    alone |= {"PYTHONPATH": str(source), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1",
              "HYPOTHESIS_STORAGE_DIRECTORY": str(source.parent / "hypothesis")}
    try:
        done = subprocess.run(command, cwd=ROOT, env=alone, capture_output=True, text=True,
                              timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return None, f"not done in {SECONDS} s"
    return done.returncode, done.stdout + done.stderr


def try_fault(source: Path, fault: Fault) -> Result:
    """Plant a fault in the copy of src/, run the module's tests, and take it out again."""
    file, started = source / "teachseg" / fault.file, time.perf_counter()
    right = file.read_text("utf-8")
    try:
        file.write_text(planted(right, fault), "utf-8")
        status, said = run_tests(source, [fault.tests])
    except ValueError as error:
        return Result(fault, False, str(error), 0.0)
    finally:
        file.write_text(right, "utf-8")
    seconds = time.perf_counter() - started
    failed = [line.split("::", 1)[1].split(" - ")[0]
              for line in said.splitlines() if line.startswith("FAILED ") and "::" in line]
    if status == 1 and failed:
        return Result(fault, True, failed[0], seconds)
    if status == 0:
        return Result(fault, False, f"SURVIVED: {fault.tests} passes", seconds)
    last = said.strip().splitlines()[-1:] or [""]
    return Result(fault, False, f"NO VERDICT (exit {status}): {last[0]}", seconds)


def copy_source(folder: Path) -> Path:
    """A copy of src/ in that folder, without compiled files."""
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    return Path(shutil.copytree(ROOT / "src", folder / "src", ignore=ignored))


def row(result: Result) -> str:
    """One line of the table."""
    mark = "caught" if result.caught else "MISSED"
    fault = result.fault
    return f"{mark}  {fault.file:<18} {result.seconds:5.1f} s  {fault.why:<48}  {result.said}"


def main(words: list[str]) -> int:
    """Print the table; 0 where every fault was caught."""
    chosen = [fault for fault in FAULTS
              if not words or any(word in f"{fault.file} {fault.why}" for word in words)]
    if not chosen:
        print(f"No fault has one of these words: {' '.join(words)}.")
        return 2
    with tempfile.TemporaryDirectory() as folder:
        source = copy_source(Path(folder))
        status, said = run_tests(source, sorted({fault.tests for fault in chosen}))
        if status != 0:
            print(f"The tests fail without any fault (exit {status}); mend that first.\n{said}")
            return 2
        results = []
        for fault in chosen:
            results.append(try_fault(source, fault))
            print(row(results[-1]), flush=True)
    caught = sum(result.caught for result in results)
    print(f"{caught} of {len(results)} faults caught")
    return int(caught < len(results))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
