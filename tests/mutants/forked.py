"""Runs pytest in a process forked from one in which the large packages are imported already.

Importing torch takes longer than most of the library's unit tests. The library itself is imported
in the fork alone, from the copy with the fault.
"""

import multiprocessing
import os
import sys
import tempfile
from pathlib import Path

PACKAGES = ["torch", "torchvision", "hypothesis", "numpy", "PIL", "pytest"]


def run(source: Path, options: list[str], settings: dict[str, str],
        seconds: float) -> tuple[int | None, str]:
    """Pytest's exit status (None: not done in time) and all it printed, with `source` first."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PACKAGES)
    with tempfile.TemporaryDirectory() as folder:
        said = Path(folder) / "said"
        process = context.Process(target=_pytest, args=(str(source), options, settings, str(said)))
        process.start()
        process.join(seconds)
        late = process.is_alive()
        if late:
            process.kill()
            process.join()
        text = said.read_text("utf-8", errors="replace") if said.exists() else ""
    return (None, f"not done in {seconds} s") if late else (process.exitcode, text)


def _pytest(source: str, options: list[str], settings: dict[str, str], said: str) -> None:
    """In the fork: everything printed goes to a file, and the exit status is pytest's."""
    file = os.open(said, os.O_WRONLY | os.O_CREAT)
    for stream in (1, 2):
        os.dup2(file, stream)
    for name in [name for name in os.environ if name.startswith("PYTEST_")]:
        del os.environ[name]
    os.environ.update(settings, PYTHONPATH=source, PYTHONDONTWRITEBYTECODE="1")
    sys.path.insert(0, source)
    sys.dont_write_bytecode = True
    import pytest
    import torch

    import teachseg

    torch.set_num_threads(1)
    if not teachseg.__file__.startswith(source):
        sys.exit(f"teachseg is {teachseg.__file__}, not the copy in {source}")
    status = pytest.main(options)
    sys.stdout.flush()
    sys.exit(int(status))
