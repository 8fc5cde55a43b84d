"""Set up .venv beside this project, or do nothing where it is already as it should be.

    python3 scripts/install.py          what the course needs
    python3 scripts/install.py test     and what the checks need besides; docs: the site

Only the standard library is used. A stamp in .venv says what was installed: a hash over
what says how to install (`NAMES`), the Python version and this folder's place. It is taken away
before pip begins and written when all is done, so that an interrupted installation is never taken
for a finished one.
"""

import contextlib
import hashlib
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "teachseg.json"
DISK = 7e9  # bytes, on Linux: .venv took 6.7 GB, nearly all of it torch and its CUDA libraries
NAMES = ("pyproject.toml", "setup.py", "src/teachseg/__init__.py", "constraints.txt")
ATTEMPTS = 3  # pip keeps the packages that arrived, so that trying again costs little

# Imported once after installing: proves that the big ones load, and fills matplotlib's font cache,
# which on its first use can otherwise write a warning into a notebook.
# Then its kernels are taught to say what a failed cell is in want of.
WARM_UP = """
import pathlib, sys
import torch, torchvision, matplotlib.pyplot, IPython, ipywidgets
import teachseg.cells
teachseg.cells.set_up(pathlib.Path(sys.prefix))
"""


def key() -> str:
    """What an installation depends on, as a hash."""
    parts = [platform.python_implementation(), platform.python_version(), str(ROOT)]
    parts += [(ROOT / name).read_text("utf-8") for name in NAMES]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def stamped() -> dict:
    """What the stamp says: {"key": ..., "extras": [...]}, or {} where there is none to be read."""
    try:
        found = json.loads(STAMP.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) and PYTHON.exists() else {}


def write_stamp(extras: list[str]) -> None:
    """Say what is installed, in one step: the whole stamp or none."""
    half = STAMP.with_suffix(".part")
    half.write_text(json.dumps({"key": key(), "extras": extras}) + "\n", "utf-8")
    os.replace(half, STAMP)


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Two set-ups at once would spoil each other: the second waits for the first."""
    import fcntl

    with open(ROOT / "pyproject.toml", "rb") as file:  # any file that is there can carry the lock
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            print("Another set-up is running in this folder; waiting for it.", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def usable() -> bool:
    """Whether .venv is whole, was made in this place, and for the Python that runs this file."""
    ask = "import sys, pip; print(*sys.version_info[:2])"
    try:
        made = (VENV / "pyvenv.cfg").read_text("utf-8")
        answer = subprocess.run([PYTHON, "-c", ask], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return False
    version = "{} {}".format(*sys.version_info[:2])
    return answer.stdout.strip() == version and str(VENV) in made  # scripts hold their place


def make_venv() -> None:
    """Make .venv anew, with the Python that runs this file."""
    if importlib.util.find_spec("ensurepip") is None:  # Debian keeps it in a package of its own
        raise SystemExit(
            f"This Python ({sys.executable}) has no ensurepip, so it cannot make .venv. On Debian "
            "and Ubuntu: sudo apt install python3-venv. Then try again."
        )
    if sys.prefix == str(VENV):
        raise SystemExit(
            f"{VENV} must be made again, and it is the Python that was asked to do so. Leave it "
            "first (deactivate), then try again."
        )
    print(f"Making .venv with Python {platform.python_version()} ...", flush=True)
    venv.create(VENV, clear=True, with_pip=True, symlinks=True)


def pip_install(extras: list[str], quiet: bool) -> None:
    """Install this folder and what it needs, in the versions of constraints.txt."""
    what = f".[{','.join(extras)}]" if extras else "."
    command = [PYTHON, "-m", "pip", "install", "-c", "constraints.txt", "-e", what]
    command += ["--quiet"] * quiet
    settings = {
        "PIP_RETRIES": "5",
        "PIP_DEFAULT_TIMEOUT": "60",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INPUT": "1",
    }
    for attempt in range(1, ATTEMPTS + 1):
        if subprocess.run(command, cwd=ROOT, env=settings | os.environ).returncode == 0:
            return
        if attempt < ATTEMPTS:
            print(f"pip failed (attempt {attempt} of {ATTEMPTS}); trying again.", flush=True)
            time.sleep(5 * attempt)
    raise SystemExit(
        "pip could not install what teachseg needs; its own words are above. No network? Then try "
        "again later: what has arrived is kept. No such version? The versions in constraints.txt "
        f"exist for Python 3.11 and newer that torch supports; this is {platform.python_version()}."
    )


def install(extras: list[str]) -> None:
    """Bring .venv to what is asked for."""
    first, free = not stamped(), shutil.disk_usage(ROOT).free
    if sys.platform == "linux" and first and free < DISK:
        print(f"Only {free / 1e9:.1f} GB are free here; about {DISK / 1e9:.1f} GB are needed.")
    STAMP.unlink(missing_ok=True)
    if not usable():
        make_venv()
    print("Installing ...", "The first time takes some minutes." * first, flush=True)
    begun = time.monotonic()
    pip_install(extras, quiet=not first)
    if subprocess.run([PYTHON, "-W", "ignore", "-c", WARM_UP], cwd=ROOT).returncode:
        raise SystemExit(
            "The packages are installed but cannot be imported; Python's own words are above. "
            "Remove the folder .venv and try again."
        )
    write_stamp(extras)
    print(f"Ready after {time.monotonic() - begun:.0f} s.", flush=True)


def main(wanted: list[str]) -> None:
    """Install unless the stamp says that all of it is there."""
    if unknown := set(wanted) - {"test", "docs"}:
        raise SystemExit(f"There is no group {unknown.pop()!r} of packages: give none, test or "
                         "docs.")
    with alone():
        stamp = stamped()
        there = set(stamp.get("extras", []))
        if stamp.get("key") != key() or not there.issuperset(wanted):
            install(sorted(there.union(wanted)))


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:
        raise SystemExit("Stopped. Run the same command again to go on.") from None
