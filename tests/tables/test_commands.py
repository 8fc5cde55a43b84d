"""`teachseg tables list | show | run`: what is printed, resumed, interrupted and refused."""

import os
import signal
import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

from teachseg import cli
from teachseg.storage import load_json, save_json

QUICK = ("--seeds", "1", "--steps", "1", "--test-scenes", "2", "--threads", "1", "--device", "cpu")


def run(*words):
    return CliRunner().invoke(cli.app, ["tables", *map(str, words)])


def good(*words):
    result = run(*words)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """A small table that was run, and what was said."""
    folder = tmp_path_factory.mktemp("runs")
    said = good("run", "mask-head", *QUICK, "--jobs", 1, "--results", folder, "--out", folder)
    return folder, said


def test_run_says_what_it_does_and_writes_records(measured):
    folder, said = measured
    assert "2 trainings, 1 at once, 1 thread(s) each." in said
    assert "[1/2] mask-head: convolutions, seed 0: AP " in said
    assert "[2/2] mask-head: fully connected, seed 0: AP " in said
    content = load_json(folder / "mask-head.json")
    assert [one["cell"] for one in content["runs"]] == ["convolutions", "fully connected"]
    assert content["command"] == "teachseg tables run mask-head --seeds 1 --steps 1 --test-scenes 2"


def test_run_again_runs_nothing(measured):
    folder, _ = measured
    said = good("run", "mask-head", *QUICK, "--results", folder, "--out", folder)
    assert "All runs of 1 table(s) with 1 seeds are there" in said


def test_show(measured):
    folder, _ = measured
    said = " ".join(good("show", "mask-head", "--results", folder).split())
    assert "A mask by convolutions or by fully connected layers" in said
    assert "run once, so nothing can be said." in said and "Paper: Mask R-CNN, Table 2e" in said
    assert "1 steps of 6 scenes of 128 x 128, tested on 2; 2 trainings" in said
    assert "not run" in good("show", "mask-classes", "--results", folder)


def test_list(measured):
    folder, _ = measured
    said = good("list", "--results", folder)
    row = next(line for line in said.splitlines() if "mask-head" in line)
    assert row.split()[:5] == ["mask-head", "mask_rcnn", "2", "2", "0"]


def test_the_shipped_tables_can_be_shown():
    said = " ".join(good("show").split())
    for words in ("RoIAlign average, 16 against RoIPool, 16", "end to end, 3 stages against step",
                  "D = 32 against D = 8"):
        assert words in said


def test_results_that_are_refused(measured, tmp_path):
    folder, _ = measured
    content = load_json(folder / "mask-head.json")
    content["runs"][0]["how"] = "teachseg tables 0"
    save_json(tmp_path / "mask-head.json", content)
    for words in (("show", "mask-head"), ("run", "mask-head", *QUICK, "--out", folder)):
        result = run(*words, "--results", tmp_path)
        assert result.exit_code == 2 and "its how is 'teachseg tables 0'" in result.output
    # other steps into the same folder: a table is of one budget
    result = run("run", "mask-head", "--seeds", 2, "--steps", 2, "--test-scenes", 2, "--threads", 1,
                 "--device", "cpu", "--jobs", 1, "--results", folder, "--out", tmp_path)
    assert result.exit_code == 2 and "has runs whose budget is" in result.output
    assert len(load_json(folder / "mask-head.json")["runs"]) == 2, "nothing is lost"


def test_a_table_that_is_not_there():
    result = run("show", "mask")
    assert result.exit_code == 2 and "There is no table 'mask'" in result.output


@pytest.mark.slow
def test_two_at_once_give_what_one_gives(measured, tmp_path):
    folder, _ = measured
    said = good("run", "mask-head", *QUICK, "--jobs", 2, "--results", tmp_path, "--out", tmp_path)
    assert "2 trainings, 2 at once" in said
    alone, both = (load_json(one / "mask-head.json")["runs"] for one in (folder, tmp_path))
    assert [one["weights"] for one in alone] == [one["weights"] for one in both]
    assert [one["numbers"] for one in alone] == [one["numbers"] for one in both]


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_keeps_the_steps(tmp_path, workers):
    words = ["tables", "run", "mask-head", "--seeds", "1", "--steps", "100000", "--jobs",
             str(workers), "--threads", "1", "--device", "cpu", "--results", str(tmp_path),
             "--out", str(tmp_path)]
    process = subprocess.Popen([sys.executable, "-m", "teachseg.cli", *words], text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               start_new_session=True)
    try:
        waited = time.monotonic()
        while not any(log.read_text().count("\n") >= 3 for log in tmp_path.glob("*/*/log.csv")):
            assert process.poll() is None and time.monotonic() - waited < 120
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of its processes
        _, err = process.communicate(timeout=120)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 130, err
    assert "Stopped after 0 of 2 trainings" in err and "the same command goes on" in err
    states = [load_json(one)["step"] for one in tmp_path.glob("*/phase-1/state.json")]
    assert states and max(states) >= 2, "the step that ran is saved, and those before it"
