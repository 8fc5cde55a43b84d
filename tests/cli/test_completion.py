"""Tab: what the shells are told, by the protocols that they speak."""

import os
import shutil
import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

from teachseg import checkpoints, cli, recipes
from teachseg.cli import completion
from teachseg.datasets.downloads import SOURCES
from teachseg.exercises.registry import all_exercises
from teachseg.tables.specs import TABLES

LESSONS = [file.name[:2] for file in sorted((cli.ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))]


def answered(shell: str, **variables: str) -> str:
    """What `teachseg` answers a shell, in this process."""
    result = CliRunner().invoke(cli.app, [], prog_name="teachseg", env={
        "_TEACHSEG_COMPLETE": f"complete_{shell}", **variables})
    assert result.exit_code == 0 and result.stderr == "", result.output
    return result.stdout.strip("\n")


def in_bash(line: str) -> list[str]:
    """What is offered behind a line."""
    words = line.split(" ")
    return answered("bash", COMP_WORDS=line, COMP_CWORD=str(len(words) - 1)).splitlines()


@pytest.mark.parametrize("line, offered", [
    ("teachseg ", ["doctor", "demo", "train", "evaluate", "recipes", "predict", "lab", "workbook",
                   "exercises", "data", "tables"]),
    ("teachseg wo", ["workbook"]),
    ("teachseg data ", ["list", "get", "check"]),
    ("teachseg train --batch", ["--batch-size"]),
    ("teachseg tables run --see", ["--seeds"]),
    ("teachseg train --paper m", ["mnc", "mask_rcnn"]),
    ("teachseg lab ", LESSONS),
    ("teachseg workbook 0", [number for number in LESSONS if number[0] == "0"]),
    ("teachseg exercises --lesson ", sorted({one.lesson for one in all_exercises().values()})),
    ("teachseg train --recipe ", list(recipes.RECIPES)),
    ("teachseg tables show ", list(TABLES)),
    ("teachseg tables show mask-head mask-c", ["mask-classes"]),
    ("teachseg tables run mnc-v", ["mnc-voting"]),
    ("teachseg data get ", list(SOURCES)),
    ("teachseg evaluate ", ["mask_rcnn", "mnc", "deep_metric"]),
    ("teachseg demo --checkpoint m", ["mask_rcnn", "mnc"]),
    ("teachseg predict a.png --checkpoint d", ["deep_metric"]),
    ("teachseg train --start-from mn", ["mnc"]),
    ("teachseg train --data ", ["scenes"]),
    ("teachseg evaluate --data s", ["scenes"]),
    ("teachseg lab my", []),  # the shell then offers files
    ("teachseg --debug lab 1", [number for number in LESSONS if number[0] == "1"]),
])
def test_what_is_offered(line, offered):
    assert in_bash(line) == offered


def test_what_was_fetched_and_trained_here_is_offered_too(tmp_path):
    for folder in ("sets/nuclei/stage1_train", "sets/sbd", "runs/mine", "runs/tables"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "runs" / "mine" / "checkpoint.json").write_text("{}")
    assert in_bash("teachseg train --data ") == ["scenes", "sets/nuclei/stage1_train"]
    assert in_bash("teachseg evaluate r") == ["runs/mine"]


def test_the_words_are_those_of_the_library():
    """They are written twice, so that Tab needs no torch."""
    assert completion.RECIPES == tuple(recipes.RECIPES)
    assert set(completion.MODELS) == set(checkpoints.MODELS)


def test_zsh_is_told_what_each_value_is():
    said = answered("zsh", _TYPER_COMPLETE_ARGS="teachseg lab 0")
    assert said.startswith("_arguments '*: :((\"00\":\"Start here\"\n\"01\":\"Boxes and masks\"")
    assert answered("zsh", _TYPER_COMPLETE_ARGS="teachseg lab my") == "_files"
    assert '"mnc-training"' in answered("zsh", _TYPER_COMPLETE_ARGS="teachseg tables show ")


def test_fish_is_told_what_each_value_is():
    def asked(line):
        return answered("fish", _TYPER_COMPLETE_ARGS=line, _TYPER_COMPLETE_FISH_ACTION="get-args")

    assert asked("teachseg lab 0").startswith("00\tStart here\n01\tBoxes and masks\n")
    assert asked("teachseg data get pen") == f"penn-fudan\t{SOURCES['penn-fudan'].title}"
    assert asked("teachseg train --recipe mnc") == "mnc-vgg16-sbd\trecipe"


def test_nothing_that_takes_long_is_imported():
    """A press of Tab is a process of its own."""
    code = ("import sys\nfrom teachseg import cli\ntry:\n    cli.main()\nfinally:\n    print([name "
            "for name in ('torch', 'numpy', 'PIL', 'matplotlib') if name in sys.modules])")
    for line in ("teachseg lab ", "teachseg train --recipe m", "teachseg tables show m",
                 "teachseg data get ", "teachseg exercises --lesson "):
        asked = {"_TEACHSEG_COMPLETE": "complete_bash", "COMP_WORDS": line,
                 "COMP_CWORD": str(line.count(" "))}
        started = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", code], env=os.environ | asked,
                              capture_output=True, text=True, timeout=60)
        print(f"{line!r}: {time.perf_counter() - started:.2f} s")
        *offered, imported = done.stdout.splitlines()
        assert offered and imported == "[]", done.stderr


# ---- in the shells themselves -------------------------------------------------------------------


@pytest.fixture
def shell(tmp_path):
    """`shell(program, script)` -> what a script prints, where `teachseg` is this Python's and the
    home folder is empty."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "teachseg"
    program.write_text(f"#!{sys.executable}\nfrom teachseg.cli import main\nmain()\n")
    program.chmod(0o755)
    path = os.pathsep.join([str(program.parent), os.environ["PATH"]])

    def run(name: str, *words: str) -> str:
        if shutil.which(name) is None:
            pytest.skip(f"{name} is not installed")
        done = subprocess.run([name, *words], text=True, capture_output=True, timeout=120,
                              env=os.environ | {"PATH": path, "HOME": str(tmp_path / "me")})
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_bash_completes_with_what_is_installed(shell, tmp_path):
    """In a new bash, the function that `--install-completion` put there does what Tab does."""
    (tmp_path / "me").mkdir()
    said = shell("bash", "--norc", "-c", "teachseg --install-completion; true")
    assert "bash completion installed in" in said
    assert "teachseg.sh" in (tmp_path / "me" / ".bashrc").read_text()
    said = shell("bash", "--norc", "-c", """
        source ~/.bashrc
        complete -p teachseg
        COMP_WORDS=(teachseg data get co); COMP_CWORD=3; _teachseg_completion teachseg
        printf '%s\\n' "${COMPREPLY[@]}"
    """)
    assert said.splitlines()[-2:] == ["coco-val", "coco-train"]
    assert "-F _teachseg_completion teachseg" in said and "-o default" in said


def test_bash_is_shown_the_same(shell):
    said = shell("bash", "--norc", "-c", "teachseg --show-completion; true")
    assert "_TEACHSEG_COMPLETE=complete_bash" in said and "complete -o default" in said


def test_zsh_completes(shell, tmp_path):
    """zsh's own `_arguments` stands in for Tab: it gets the values."""
    (tmp_path / "me").mkdir()
    said = shell("zsh", "-f", "-c", """
        compdef() { : }
        eval "$(teachseg --show-completion)"
        _arguments() { print -r -- "$@" }
        words=(teachseg data get co); CURRENT=4; _teachseg_completion
    """)
    assert '"coco-val":' in said and '"coco-train":' in said


def test_fish_completes(shell, tmp_path):
    (tmp_path / "me").mkdir()
    said = shell("fish", "--no-config", "-c", """
        teachseg --show-completion | source
        complete --do-complete "teachseg data get co"
    """)
    assert {line.split("\t")[0] for line in said.splitlines()} == {"coco-val", "coco-train"}


def test_the_scripts_are_for_all_three_shells(monkeypatch):
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    for name in ("bash", "zsh", "fish"):
        result = CliRunner().invoke(cli.app, ["--show-completion", name], prog_name="teachseg")
        assert f"_TEACHSEG_COMPLETE=complete_{name}" in result.stdout, result.output
