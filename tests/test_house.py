"""The project's own papers: packages, versions, licences, commands and file tables agree.

What is said in two places is held equal here, so that either may be trusted.
"""

import ast
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from test_lessons import COURSE

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
MODULES = sorted((ROOT / "src" / "teachseg").rglob("*.py"))

LESSONS = set(COURSE)
NO_LESSON = {"__init__.py", "storage.py", "checkpoints.py", "train.py"}  # may have one

PICTURES_AND_WEIGHTS = {".png", ".gif", ".webp", ".jpg", ".jpeg", ".safetensors"}
LEFT_BEHIND = {"__pycache__", "build", "dist", "runs", "artefacts"}
LEFT_BEHIND |= {"teachseg-demo", "teachseg-found", "workbook"}


def read(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def requirements(*groups: str) -> dict[str, Requirement]:
    """Packages of pyproject.toml by name; with groups, their packages besides."""
    lines = list(PROJECT["dependencies"])
    for group in groups:
        lines += PROJECT["optional-dependencies"][group]
    return {canonicalize_name(found.name): found for found in map(Requirement, lines)}


def constraints() -> dict[str, Requirement]:
    lines = read("constraints.txt").splitlines()
    found = [Requirement(line) for line in lines if line and not line.startswith("#")]
    names = [canonicalize_name(pin.name) for pin in found]
    assert len(set(names)) == len(names), "a package has two lines"
    return dict(zip(names, found))


@cache
def text_files() -> list[Path]:
    """The project's text files: those that git tracks; without git, all that are there."""
    names: list[str] = []
    if shutil.which("git") and (ROOT / ".git").exists():
        command = ["git", "ls-files", "-z"]
        names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout.split("\0")
    found = [ROOT / name for name in names if name] or walk(ROOT)
    files = [path for path in sorted(found) if path.is_file()]
    return [path for path in files if path.suffix not in PICTURES_AND_WEIGHTS]


def walk(folder: Path) -> list[Path]:
    """All files but those that setting up, running and testing leave behind."""
    found = []
    for path in folder.iterdir():
        hidden = path.name.startswith(".") and path.name not in {".ci", ".gitignore"}
        if hidden or path.name in LEFT_BEHIND or path.suffix in {".egg-info", ".part"}:
            continue
        found += walk(path) if path.is_dir() else [path]
    return found


# --- packages and versions ---


def test_conda_and_pip_name_the_same_packages():
    listed = yaml.safe_load(read("environment.yml"))["dependencies"]
    (pip,) = [entry["pip"] for entry in listed if isinstance(entry, dict)]
    assert pip[0] == "-c constraints.txt" and pip[-1] == "-e ."
    packages = {canonicalize_name(r.name): r for r in map(Requirement, pip[1:-1])}
    wanted = requirements("test")
    assert {k: str(v.specifier) for k, v in packages.items()} == {
        k: str(v.specifier) for k, v in wanted.items()
    }
    assert f"python{PROJECT['requires-python']}" in listed


def test_every_package_is_pinned_within_its_bounds():
    pins = constraints()
    for name, wanted in requirements(*PROJECT["optional-dependencies"]).items():
        (pin,) = pins[name].specifier
        assert pin.operator == "=="
        assert wanted.specifier.contains(pin.version), f"{name}: {pin} is outside {wanted}"


def test_every_package_has_a_lower_bound_and_a_reason():
    text = read("pyproject.toml")
    for name, wanted in requirements(*PROJECT["optional-dependencies"]).items():
        assert [part.operator for part in wanted.specifier] == [">="], name
        assert re.search(rf'"{re.escape(str(wanted))}",\s+# \w', text), f"say why {name} is there"


def test_every_package_that_the_code_imports_is_asked_for():
    roots = set()
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                roots |= {name.name.split(".")[0] for name in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                roots.add(node.module.split(".")[0])
    foreign = roots - set(sys.stdlib_module_names) - {"teachseg"}
    packages = importlib.metadata.packages_distributions()
    wanted = {canonicalize_name(package) for root in foreign for package in packages[root]}
    assert wanted <= set(requirements("voc"))  # which says itself that it is needed


def test_the_packages_of_one_platform_are_wanted_there_alone():
    for name, pin in constraints().items():
        if name.startswith(("nvidia-", "cuda-", "triton")):
            assert str(pin.marker) == 'platform_system == "Linux"', name
        else:
            assert pin.marker is None, name


def test_the_version_is_the_same_everywhere():
    import teachseg

    assert PROJECT["dynamic"] == ["version"]  # read from the one place
    assert yaml.safe_load(read("CITATION.cff"))["version"] == teachseg.__version__
    assert importlib.metadata.version("teachseg") == teachseg.__version__


# --- licences and sources ---


def test_the_licence_tells_code_and_texts_apart():
    text = read("LICENSE")
    for words in [
        "Copyright (c) 2026 the teachseg authors",
        "Permission is hereby granted, free of charge, to any person obtaining a copy",
        'THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND',
        "Creative Commons Attribution 4.0 International",
        "https://creativecommons.org/licenses/by/4.0/",
    ]:
        assert words in text
    assert PROJECT["license"] == "MIT AND CC-BY-4.0"
    assert yaml.safe_load(read("CITATION.cff"))["license"] == ["MIT", "CC-BY-4.0"]


def test_the_three_papers_are_cited():
    citation = yaml.safe_load(read("CITATION.cff"))
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    papers = {
        paper["identifiers"][0]["value"]: (paper["authors"][0]["family-names"], paper["year"])
        for paper in citation["references"]
    }
    assert papers == {
        "arXiv:1512.04412": ("Dai", 2016),
        "arXiv:1703.06870": ("He", 2017),
        "arXiv:1703.10277": ("Fathi", 2017),
    }
    for paper in citation["references"]:
        assert paper["url"].endswith(paper["identifiers"][0]["value"].removeprefix("arXiv:"))
        assert paper["identifiers"][0]["value"] in read("README.md")


# --- commands ---


def code_of(page: str) -> str:
    """All that a page sets as code: fenced blocks and `words`."""
    text = read(page)
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.M | re.S)
    return "\n".join(blocks + re.findall(r"`([^`\n]+)`", text))


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", read("Makefile"), re.M))


@cache
def help_of(*command: str) -> str:
    """What `teachseg COMMAND --help` says, on lines long enough for every option."""
    wide = os.environ | {"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb", "PYTHONHASHSEED": "0"}
    call = [sys.executable, "-c", "from teachseg.cli import main; main()", *command, "--help"]
    done = subprocess.run(call, capture_output=True, text=True, env=wide)
    assert done.returncode == 0, f"there is no command: teachseg {' '.join(command)}\n{done.stderr}"
    return done.stdout


def test_the_makefile_has_its_targets_and_explains_them():
    targets = make_targets()
    assert {"help", "lab", "test", "test-fast", "notebooks", "bench"} <= targets
    phony = re.search(r"^\.PHONY: (.*)$", read("Makefile"), re.M).group(1).split()
    assert set(phony) == targets
    explained = set(re.findall(r'@echo "make ([a-z-]+) ', read("Makefile")))
    assert explained == targets - {"help", "python", "base", "ready"}


@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
def test_make_alone_explains_and_changes_nothing():
    command = ["make", "--no-print-directory"]  # which make prints where another make calls it
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("make lab ")


@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
def test_a_missing_python_is_said_in_a_sentence():
    command = ["make", "base", "PYTHON=no-such-python"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("There is no no-such-python here. Install Python 3.11 or newer")


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "data/README.md"])
def test_the_commands_on_a_page_exist(page: str):
    code = code_of(page)
    assert set(re.findall(r"\bmake ([a-z][a-z-]*)", code)) <= make_targets()
    for script in re.findall(r"\bscripts/\w+\.py", code):
        assert (ROOT / script).is_file(), script
    for line in re.findall(r"\bteachseg [a-z].*", code):
        command, *rest = line.split()[1:]
        words = [command, rest.pop(0)] if command in ("data", "tables") else [command]
        for option in re.findall(r"--[a-z][a-z-]*", " ".join(rest)):
            assert re.search(rf"{option}\b", help_of(*words)), f"{line}: no {option}"
        assert help_of(command)


def test_the_readme_gives_the_two_commands_and_the_conda_way():
    code = code_of("README.md")
    for command in ["make lab", "make test", "conda env create -f environment.yml"]:
        assert command in code


@pytest.mark.skipif(
    not (ROOT / "data" / "checkpoints" / "mask_rcnn.safetensors").exists(),
    reason="the trained model is not in data/checkpoints",
)
def test_the_readme_s_python_runs():
    (block,) = re.findall(r"^```python\n(.*?)^```", read("README.md"), re.M | re.S)
    names: dict = {}
    exec(block, names)
    found = names["found"]
    assert len(found.boxes) == len(found.labels) == len(found.scores) == len(found.masks) > 0
    assert (found.scores.diff() <= 0).all()  # best first


def test_ci_makes_every_check():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    lines = script.read_text("utf-8").splitlines()
    assert "set -euo pipefail" in lines
    assert lines[-1].startswith("make test"), "pytest's closing lines must be the last"


STUBS = {  # the programs that .ci/run may find, each saying that it was called
    "python3": "exit 0",
    "make": 'echo "made with a browser needed: $TEACHSEG_NEEDS_BROWSER"',
    "id": "echo {user}",
    "apt-get": 'echo "apt-get $1"; [ "$1" != install ] || exit {status}',
}


def run_ci(folder: Path, *there: str, user: int = 0, status: int = 0):
    """.ci/run where no program is but these stubs; apt-get install ends with `status`."""
    for name in there:
        stub = folder / name
        stub.write_text(f"#!/bin/sh\n{STUBS.get(name, '').format(user=user, status=status)}\n")
        stub.chmod(0o755)
    for name in ("bash", "sh", "dirname"):
        (folder / name).symlink_to(shutil.which(name))
    command = [shutil.which("bash"), str(ROOT / ".ci" / "run")]
    done = subprocess.run(command, env={"PATH": str(folder)}, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


MADE = "made with a browser needed: 1\n"


def test_ci_takes_the_browser_that_is_there_and_needs_it(tmp_path: Path):
    status, out, err = run_ci(tmp_path, "python3", "make", "id", "apt-get", "chromium")
    assert (status, err) == (0, "") and out.endswith(MADE) and "apt-get" not in out


def test_ci_installs_a_missing_browser(tmp_path: Path):
    status, out, _ = run_ci(tmp_path, "python3", "make", "id", "apt-get")
    assert status == 0 and out.endswith(MADE) and "apt-get install" in out


def test_ci_fails_where_the_browser_cannot_be_installed(tmp_path: Path):
    status, out, _ = run_ci(tmp_path, "python3", "make", "id", "apt-get", status=100)
    assert status == 100 and "apt-get install" in out and "made" not in out


@pytest.mark.parametrize("there, user", [(("apt-get",), 1000), ((), 0)])
def test_ci_says_that_a_browser_must_be_installed_first(tmp_path: Path, there, user):
    status, out, err = run_ci(tmp_path, "python3", "make", "id", *there, user=user)
    assert status == 1 and out == ""
    assert err.startswith("The browser chromium is not installed, and the checks need it")


def run_browser_test(folder: Path, needed: str) -> tuple[int, str]:
    """A test that wants a browser, with tests/browser/conftest.py, where no program is found."""
    conftest = (ROOT / "tests" / "browser" / "conftest.py").read_text("utf-8")
    (folder / "conftest.py").write_text(conftest)
    (folder / "test_it.py").write_text("def test_it(browser):\n    pass\n")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    environment |= {"PATH": str(folder), "TEACHSEG_NEEDS_BROWSER": needed,
                    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    command = [sys.executable, "-m", "pytest", "-rs", "-p", "no:cacheprovider", str(folder)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    return done.returncode, done.stdout


def test_without_a_browser_its_tests_are_skipped_and_say_so(tmp_path: Path):
    status, out = run_browser_test(tmp_path, "0")
    assert status == 0 and "1 skipped" in out
    assert re.search(r"(chromium|playwright) is not installed", out)


def test_where_a_browser_is_needed_its_tests_fail_without_one(tmp_path: Path):
    status, out = run_browser_test(tmp_path, "1")
    assert status == 1 and "With TEACHSEG_NEEDS_BROWSER=1 a browser must be there." in out
    assert "1 error" in out and "skipped" not in out


# --- setting up ---


def load_script(name: str):
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def setup_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """scripts/install.py in a folder of its own, with an empty .venv; pip only notes its calls."""
    install = load_script("install")
    for name in install.NAMES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("one")
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\n")
    python.chmod(0o755)
    for name, value in {
        "ROOT": tmp_path,
        "VENV": tmp_path / ".venv",
        "PYTHON": python,
        "STAMP": tmp_path / ".venv" / "teachseg.json",
        "usable": lambda: True,
    }.items():
        monkeypatch.setattr(install, name, value)
    install.calls = []
    monkeypatch.setattr(install, "pip_install", lambda extras, quiet: install.calls.append(extras))
    return install


def test_set_up_is_done_once(setup_in, tmp_path: Path):
    for _ in range(3):
        setup_in.main([])
    assert setup_in.calls == [[]]
    setup_in.main(["test"])  # the checks' packages come on top ...
    setup_in.main(["test"])
    setup_in.main([])  # ... and serve for the course too
    assert setup_in.calls == [[], ["test"]]


@pytest.mark.parametrize("name", load_script("install").NAMES)
def test_set_up_is_done_again_where_the_packages_changed(setup_in, tmp_path: Path, name: str):
    setup_in.main(["test"])
    (tmp_path / name).write_text("two")
    setup_in.main([])  # what was there is kept
    assert setup_in.calls == [["test"], ["test"]]


def test_set_up_is_done_again_for_another_python(setup_in, monkeypatch: pytest.MonkeyPatch):
    setup_in.main([])
    monkeypatch.setattr(setup_in.platform, "python_version", lambda: "3.99.0")
    setup_in.main([])
    assert setup_in.calls == [[], []]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_an_interrupted_set_up_leaves_no_stamp(setup_in, monkeypatch: pytest.MonkeyPatch, stop):
    setup_in.main([])

    def interrupted(extras: list[str], quiet: bool) -> None:
        raise stop

    with monkeypatch.context() as patch:
        patch.setattr(setup_in, "pip_install", interrupted)
        with pytest.raises(stop):
            setup_in.main(["test"])
    assert not setup_in.STAMP.exists()
    setup_in.main(["test"])
    assert setup_in.calls == [[], ["test"]]


def test_a_stamp_that_cannot_be_read_is_none(setup_in):
    setup_in.STAMP.write_text("{")
    setup_in.main([])
    setup_in.STAMP.write_text("[]")
    setup_in.main([])
    assert setup_in.calls == [[], []]


def test_a_python_without_ensurepip_is_told_what_to_install(setup_in, monkeypatch):
    monkeypatch.setattr(setup_in.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match="has no ensurepip.*sudo apt install python3-venv"):
        setup_in.make_venv()


def test_a_venv_from_elsewhere_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    install = load_script("install")
    monkeypatch.setattr(install, "VENV", tmp_path)
    monkeypatch.setattr(install, "PYTHON", Path(sys.executable))
    assert not install.usable()  # there is nothing
    (tmp_path / "pyvenv.cfg").write_text("command = python3 -m venv /else/where/.venv\n")
    assert not install.usable()  # the folder was moved: its programs hold the old place
    (tmp_path / "pyvenv.cfg").write_text(f"command = python3 -m venv {tmp_path}\n")
    assert install.usable()


def test_an_unknown_group_is_refused(setup_in):
    with pytest.raises(SystemExit, match="There is no group 'book' of packages"):
        setup_in.main(["book"])
    assert setup_in.calls == []


# --- modules and files ---


def in_package(path: Path) -> str:
    return path.relative_to(ROOT / "src" / "teachseg").as_posix()


@pytest.mark.parametrize("path", MODULES, ids=in_package)
def test_a_module_names_its_lessons(path: Path):
    text = ast.get_docstring(ast.parse(path.read_text("utf-8")))
    assert text, "a module opens with what it is about"
    last = text.strip().splitlines()[-1]
    if path.name in NO_LESSON and not last.startswith("Lesson:"):
        return
    part = r"(\d\d)(?: \([^()]+\))?"
    assert re.fullmatch(rf"Lesson: {part}(?:, {part})*", last), f"the last line is {last!r}"
    assert set(re.findall(r"\d\d", re.sub(r"\(.*?\)", "", last))) <= LESSONS, last


def test_the_project_holds_no_place_of_one_machine():
    private = re.compile(r"(?<![\w.:~/-])/(?:home|Users|root|work|mnt|tmp)/\w")
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}"
        for path in text_files()
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if private.search(line)
    ]
    assert not found, "\n".join(found)


def test_text_files_are_utf8_with_a_newline_at_the_end():
    assert len(text_files()) > 20
    for path in text_files():
        content = path.read_bytes()
        content.decode("utf-8")
        assert b"\r" not in content, path
        assert not content or content.endswith(b"\n"), path
        assert not content.endswith(b"\n\n"), path


# --- the files of data/ ---


def test_the_table_of_files_is_current():
    listing = load_script("list_data")
    text = read("data/README.md")
    assert listing.with_table(text, listing.table()) == text, "run `make data`"


def test_the_table_is_made_from_the_files(tmp_path: Path):
    listing = load_script("list_data")
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "a.safetensors").write_bytes(b"abc")
    (tmp_path / "checkpoints" / "a.json").write_text('{"command": "teachseg train"}')
    (tmp_path / "checkpoints" / ".b.part").write_bytes(b"half")
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{listing.BEGIN}\nold\n{listing.END}\nafter\n")
    listing.main(tmp_path)
    text = readme.read_text()
    # sha256("abc"), the example of the standard that defines it (FIPS 180-2, B.1)
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert f"| `checkpoints/a.safetensors` | 3 | `{digest}` | `teachseg train` |\n" in text
    assert text.startswith("before\n") and text.endswith("\nafter\n")
    assert "old" not in text and "half" not in text and ".b" not in text
    with pytest.raises(ValueError, match="must hold .* once"):
        listing.with_table("no markers", "rows")


@pytest.mark.parametrize(
    "path", sorted((ROOT / "data" / "checkpoints").glob("*.json")), ids=lambda path: path.stem
)
def test_a_checkpoint_is_what_its_manifest_says(path: Path):
    facts = json.loads(path.read_text("utf-8"))
    weights = path.with_suffix(".safetensors").read_bytes()
    assert facts["sha256"] == hashlib.sha256(weights).hexdigest()
    assert facts["command"].startswith("teachseg train")
    assert len(weights) <= 8_000_000
