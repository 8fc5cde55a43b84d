"""`teachseg doctor --mend`: which commands are run, and what is said. Nothing is installed here."""

import shutil
import subprocess
import sys

import pytest

from teachseg import cli, places
from teachseg.cli import doctor, mend

STUB = """#!/bin/sh
echo "$@" >> {log}
case "$*" in *{failing}*) exit 3;; esac
"""


@pytest.fixture
def stub(tmp_path, monkeypatch):
    """`stub(failing)`: a program in the place of Python; calls() is what it was asked for."""
    log = tmp_path / "calls.txt"

    def place(failing="nothing"):
        program = tmp_path / "python-stub"
        program.write_text(STUB.format(log=log, failing=failing))
        program.chmod(0o755)
        monkeypatch.setattr(mend, "PYTHON", str(program))

    place()
    place.calls = lambda: log.read_text().splitlines() if log.exists() else []
    return place


@pytest.fixture
def broken(monkeypatch):
    """`broken(*parts)`: the doctor finds these broken, and nothing else."""
    def break_(*parts):
        def check(part):
            def look():
                if part in parts:
                    raise doctor.Wrong(f"the {part} is odd", doctor.MENDS[part])
                return "fine"
            return look
        monkeypatch.setattr(doctor, "CHECKS", {part: check(part) for part in doctor.CHECKS})

    return break_


def test_each_command_is_this_pythons_and_within_the_constraints():
    assert (cli.ROOT / "constraints.txt").is_file()
    pip = [sys.executable, "-m", "pip", "install", "-c", "constraints.txt"]
    assert mend.command("packages") == [*pip, "-e", "."]
    assert mend.command("torch") == mend.command("torchvision") == [
        *pip, "--upgrade", "--force-reinstall", "torch", "torchvision"]
    assert mend.command("jupyterlab") == [*pip, "--upgrade", "jupyterlab"]
    assert mend.command("kernel") == [
        sys.executable, "-m", "ipykernel", "install", "--sys-prefix", "--name", "python3"]
    for part in doctor.CHECKS.keys() - doctor.COMMANDS.keys() - {"data"}:
        with pytest.raises(ValueError, match="no command mends this"):
            mend.command(part)


def test_without_a_clone_the_packages_that_are_lacking_are_asked_for(tmp_path, monkeypatch):
    versions = doctor.metadata.version
    monkeypatch.setattr(places, "in_clone", lambda: False)
    monkeypatch.setattr(mend, "ROOT", tmp_path)
    monkeypatch.setattr(doctor.metadata, "version",
                        lambda name: "0.1" if name == "safetensors" else versions(name))
    *words, package = mend.command("packages")
    assert words == [sys.executable, "-m", "pip", "install"]
    assert package.startswith("safetensors>=")


def test_what_is_broken_is_mended_and_all_is_looked_at_again(run, stub, broken):
    broken("torch", "torchvision", "kernel")
    result = run("doctor", "--mend")
    assert result.exit_code == 0, result.output
    assert stub.calls() == [
        "-m pip install -c constraints.txt --upgrade --force-reinstall torch torchvision",
        "-m ipykernel install --sys-prefix --name python3",
        "-m teachseg.cli doctor"]
    for line in stub.calls()[:2]:
        assert f"python-stub {line}\n" in result.stdout  # printed before it is run
    assert f"torch: in {cli.ROOT}" in result.stdout and "Looking again." in result.stdout


def test_a_command_that_fails_is_told_and_keeps_no_other_from_its_turn(run, stub, broken):
    stub(failing="numpy")
    broken("numpy", "jupyterlab")
    result = run("doctor", "--mend")
    assert result.exit_code == 1
    assert [line.split()[-1] for line in stub.calls()] == ["numpy", "jupyterlab", "doctor"]
    assert "The command for numpy failed; what it printed above says why." in result.stderr


def test_a_python_that_is_gone_is_told(monkeypatch, capsys):
    monkeypatch.setattr(mend, "PYTHON", "no-such-python")
    assert not mend._run("numpy", mend.command("numpy"))
    assert "no-such-python cannot be started: No such file" in capsys.readouterr().err


def test_what_is_left_decides_the_exit_code(run, stub, broken):
    stub(failing="doctor")
    broken("numpy")
    assert run("doctor", "--mend").exit_code == 3


def test_what_no_command_mends_is_told_as_before(run, stub, broken):
    broken("disk", "Python")
    result = run("doctor", "--mend")
    assert result.exit_code == 1 and stub.calls() == []
    assert "disk: no command mends this; the table says what does." in result.stderr
    assert "Nothing of this can be mended by a command" in result.stderr
    assert "--mend" not in run("doctor").output
    broken("numpy")
    assert "teachseg doctor --mend runs these commands." in run("doctor").output


def test_all_well_runs_nothing(run, stub, broken):
    broken()
    assert run("doctor", "--mend").exit_code == 0 and stub.calls() == []


# ---- the course's checkpoints -------------------------------------------------------------------


def test_the_checkpoints_are_those_that_the_course_brings():
    there = {file.stem for file in (cli.ROOT / "data" / "checkpoints").glob("*.safetensors")}
    assert there == set(doctor.CHECKPOINTS)
    assert doctor.broken_checkpoints(cli.ROOT / "data" / "checkpoints") == {}
    assert set(doctor.broken_checkpoints(cli.ROOT / "nowhere")) == there


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A course in git, whose checkpoint mnc is broken: one file changed, the other gone."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    folder = tmp_path / "clone"
    checkpoints = folder / "data" / "checkpoints"
    checkpoints.mkdir(parents=True)
    for name in doctor.CHECKPOINTS:
        for end in ("json", "safetensors"):
            (checkpoints / f"{name}.{end}").write_text("as it came")
    for words in (["init", "-q"], ["add", "."], ["-c", "user.name=a", "-c", "user.email=a@b",
                                                 "commit", "-q", "-m", "first"]):
        subprocess.run(["git", *words], cwd=folder, check=True)
    (checkpoints / "mnc.json").unlink()
    (checkpoints / "mnc.safetensors").write_text("half")
    (checkpoints / "mask_rcnn.json").write_text("changed by its user, and whole")
    monkeypatch.setattr(mend, "ROOT", folder)
    monkeypatch.setattr(mend, "broken_checkpoints", lambda _: {"mnc": "it is odd"})
    return folder


def test_git_restores_the_broken_files_alone(run, stub, broken, clone):
    broken("data")
    result = run("doctor", "--mend")
    assert result.exit_code == 0, result.output
    assert "git checkout -- data/checkpoints/mnc.json data/checkpoints/mnc.safetensors" in \
        result.stdout
    content = {file.name: file.read_text() for file in (clone / "data/checkpoints").iterdir()}
    assert content.pop("mask_rcnn.json") == "changed by its user, and whole"
    assert len(content) == 7 and set(content.values()) == {"as it came"}


def test_checkpoints_that_git_cannot_mend_are_told(clone, monkeypatch, tmp_path):
    def why():
        with pytest.raises(ValueError) as told:
            mend.command("data")
        return str(told.value)

    monkeypatch.setattr(mend, "broken_checkpoints", lambda _: {"deep_metric": "it is odd"})
    assert "what git has is what lies there" in why()
    monkeypatch.setattr(mend, "broken_checkpoints", lambda _: 1 / 0)
    assert "cannot be read before the parts above are mended" in why()
    monkeypatch.setattr(mend, "ROOT", clone / "data")  # a course inside somebody else's clone
    assert "only in a clone with git" in why()
    monkeypatch.setattr(mend, "ROOT", tmp_path / "nowhere")
    assert "only in a clone with git" in why()
    monkeypatch.setattr(mend, "ROOT", clone)
    monkeypatch.setattr(places, "in_clone", lambda: False)
    assert "only in a clone with git" in why()
