"""A wheel works where there is no clone: it is built, unpacked elsewhere, and its commands are run.

Nothing is fetched: setuptools is the one that is installed here.
"""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import teachseg

ROOT = Path(__file__).resolve().parent.parent
BUILT_FROM = ("src", "data", "notebooks", "pyproject.toml", "setup.py", "MANIFEST.in", "README.md",
              "LICENSE")
LARGEST = 30e6  # bytes of a wheel
# The unpacked wheel comes before the clone that this Python has installed.
CALL = "import sys; sys.path.insert(0, {place!r}); from teachseg.cli import main; main()"

pytestmark = pytest.mark.slow


def build(folder: Path, *without: str) -> Path:
    """A wheel of the clone's files, without some of them; -> its unpacked folder."""
    source = folder / "source"
    source.mkdir(parents=True)
    for name in set(BUILT_FROM) - set(without):
        if (ROOT / name).is_dir():
            skipped = shutil.ignore_patterns("__pycache__", "*.egg-info", ".ipynb_checkpoints")
            shutil.copytree(ROOT / name, source / name, ignore=skipped)
        else:
            shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation",
               "--no-index", "--quiet", "--wheel-dir", folder, source]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = folder.glob("*.whl")
    assert wheel.name == f"teachseg-{teachseg.__version__}-py3-none-any.whl"
    assert wheel.stat().st_size < LARGEST
    zipfile.ZipFile(wheel).extractall(folder / "installed")
    return folder / "installed"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("whole"))


def run(installed: Path, cwd: Path, *words: str) -> tuple[int, str, str]:
    """`teachseg WORDS` of the unpacked wheel, in another folder."""
    home = {"TEACHSEG_HOME": str(cwd / "home"), "OMP_NUM_THREADS": "1", "COLUMNS": "120"}
    command = [sys.executable, "-c", CALL.format(place=str(installed)), *words]
    done = subprocess.run(command, cwd=cwd, env=os.environ | home, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def test_a_wheel_has_what_a_clone_has(installed: Path):
    package = installed / "teachseg"
    for part in ("data", "notebooks"):
        own = {file.relative_to(ROOT) for file in (ROOT / part).rglob("*")
               if file.is_file() and "checkpoints/." not in file.as_posix()
               and ".ipynb_checkpoints" not in file.parts and file.suffix != ".part"
               and file.name != "TEMPLATE.ipynb"}
        there = {file.relative_to(package / "course") for file in
                 (package / "course" / part).rglob("*") if file.is_file()}
        assert there == own
    for name in ("py.typed", "explore/stage.js"):
        assert (package / name).is_file()
    assert not (installed / "tests").exists() and not list(installed.rglob("__pycache__"))


def test_a_wheel_s_library_is_the_one_that_runs(installed: Path, tmp_path: Path):
    code = (f"import sys; sys.path.insert(0, {str(installed)!r})\n"
            "from teachseg import places\nprint(places.course(), places.in_clone())")
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.split() == [str(installed / "teachseg" / "course"), "False"]


def test_a_wheel_runs_the_demo(installed: Path, tmp_path: Path):
    status, out, err = run(installed, tmp_path, "demo", "--scenes", "2")
    assert status == 0, err
    assert "AP^r by IoU" in out
    sheet = tmp_path / "teachseg-demo" / "contact_sheet.png"
    assert sheet.read_bytes().startswith(b"\x89PNG")


def test_a_wheel_gives_a_notebook_to_work_in(installed: Path, tmp_path: Path):
    status, out, err = run(installed, tmp_path, "workbook", "00")
    assert status == 0, err
    copy = tmp_path / "workbook" / "00_start_here.ipynb"
    assert copy.read_bytes() == (ROOT / "notebooks" / copy.name).read_bytes()


def test_a_wheel_shows_the_tables(installed: Path, tmp_path: Path):
    status, out, err = run(installed, tmp_path, "tables", "show", "mask-head")
    assert status == 0 and "AP" in out, err


def test_a_wheel_without_models_says_how_to_make_one(tmp_path: Path):
    place = build(tmp_path, "data", "notebooks")
    status, _, err = run(place, tmp_path, "demo")
    assert status == 2
    assert "'mask_rcnn' is not in" in err and "teachseg train --paper mask_rcnn" in err
    assert run(place, tmp_path, "workbook", "00")[0] == 2
