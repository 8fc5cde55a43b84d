"""Two processes on a CPU learn what one does: gradients, runs, evaluation, and a lost one."""

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from teachseg.checkpoints import MODELS
from teachseg.storage import load_json, load_tensors

SCRIPT = Path(__file__).with_name("steps.py")


def environment():
    """Without what a test run of several workers, or another launcher, may have set."""
    left_out = ("LOCAL_RANK", "RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "NODE_RANK")
    return {k: v for k, v in os.environ.items() if k not in left_out} | {"OMP_NUM_THREADS": "1"}


def steps(*words, launcher=(), timeout=300):
    command = [sys.executable, *launcher, str(SCRIPT), *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout,
                          env=environment())
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def close(a, b, tolerance):
    assert a.keys() == b.keys() and a
    for name in a:
        largest = float(a[name].abs().max())
        assert float((a[name] - b[name]).abs().max()) <= tolerance * max(largest, 1e-3), name


@pytest.mark.slow
@pytest.mark.parametrize("paper", MODELS)
def test_two_processes_of_b_images_have_the_gradients_of_one_of_2b(paper, tmp_path):
    """One of the images of the first step has no object, so that the processes' counts differ. All
    are of one size: padding is seen by the convolutions at an image's edge."""
    said = steps(paper, 1, 4, 1, tmp_path / "one")
    both = steps(paper, 2, 2, 1, tmp_path / "two")
    assert "rank 1 of 2" in both and "rank 0 of 2" in both and "rank 0 of 1" in said
    one, two = (load_tensors(tmp_path / name / "gradients.safetensors") for name in ("one", "two"))
    close(one, two, 1e-4)
    assert any(float(gradient.abs().max()) > 1e-3 for gradient in one.values())


@pytest.mark.slow
def test_torchrun_starts_them_too(tmp_path):
    launcher = ("-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "29533")
    said = steps("mask_rcnn", 2, 1, 2, tmp_path / "run", launcher=launcher)
    assert "rank 1 of 2" in said
    assert load_json(tmp_path / "run" / "checkpoint.json")["step"] == 2


@pytest.mark.slow
def test_a_run_goes_on_on_another_number_of_devices(tmp_path):
    """Two steps on two devices, two more on one: as four on one."""
    steps("deep_metric", 1, 4, 4, tmp_path / "whole")
    steps("deep_metric", 2, 2, 2, tmp_path / "parts")
    state = tmp_path / "parts" / "state.json"
    state.write_text(state.read_text().replace('"steps": 2', '"steps": 4'))
    steps("deep_metric", 1, 4, 4, tmp_path / "parts", "resume")
    whole, parts = (load_tensors(tmp_path / name / "checkpoint.safetensors")
                    for name in ("whole", "parts"))
    close(whole, parts, 1e-3)
    refused = subprocess.run(
        [sys.executable, str(SCRIPT), "deep_metric", "1", "2", "4", str(tmp_path / "parts"),
         "resume"], capture_output=True, text=True, env=environment())
    assert "images a step was 4 and is now 2" in refused.stderr


def teachseg(*words, **options):
    return subprocess.Popen([sys.executable, "-m", "teachseg.cli", *words], text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(),
                            start_new_session=True, **options)


TRAIN = ("train", "--batch-size", "1", "--devices", "2", "--image-size", "64", "--device", "cpu",
         "--threads", "1", "--set", "post_nms_train=20", "--set", "roi_draw=16", "--save-every",
         "1")


@pytest.mark.slow
def test_the_command_line_trains_measures_and_writes_once(tmp_path):
    """The evaluation is shared, and its numbers are those of one process."""
    with teachseg(*TRAIN, "--steps", "3", "--out", "run", cwd=tmp_path) as process:
        said, errors = process.communicate(timeout=300)
    assert process.returncode == 0, said + errors
    assert said.count("COCO's numbers") == 1 and "3 steps of 2 images on 2 x cpu" in said
    facts = load_json(tmp_path / "run" / "checkpoint.json")
    assert facts["step"] == 3 and facts["data"]["images"] == 6
    assert facts["metrics"]["images"] == 200 and "--devices 2" in facts["command"]
    lines = (tmp_path / "run" / "log.csv").read_text().splitlines()
    assert len(lines) == 1 + 3
    words = ("evaluate", "run", "--image-size", "64", "--device", "cpu", "--json", "alone.json")
    with teachseg(*words, cwd=tmp_path) as process:
        said, errors = process.communicate(timeout=300)
    assert process.returncode == 0, said + errors
    alone, shared = load_json(tmp_path / "alone.json"), facts["metrics"]
    for name in ("images", "objects", "detections"):
        assert alone[name] == shared[name]
    assert alone["APr50"] == pytest.approx(shared["APr50"], abs=1e-6)


def children(pid):
    listed = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(word) for word in listed.read_text().split()] if listed.exists() else []


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="finds the processes in /proc")
def test_a_process_that_dies_is_told(tmp_path):
    with teachseg(*TRAIN, "--steps", "5000", "--out", "run", cwd=tmp_path) as process:
        deadline = time.monotonic() + 120
        while not (tmp_path / "run" / "log.csv").exists() and time.monotonic() < deadline:
            time.sleep(0.2)
        time.sleep(2)
        mine = [pid for pid in children(process.pid)
                if b"teachseg" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        assert len(mine) == 1
        os.kill(mine[0], signal.SIGKILL)
        said, errors = process.communicate(timeout=120)
    assert process.returncode != 0
    assert "has lost another one in step" in errors and "--resume goes on" in errors, errors
    assert load_json(tmp_path / "run" / "checkpoint.json")["step"] >= 1


@pytest.mark.slow
def test_ctrl_c_stops_both_after_the_same_step(tmp_path):
    with teachseg(*TRAIN, "--steps", "5000", "--out", "run", cwd=tmp_path) as process:
        deadline = time.monotonic() + 120
        while not (tmp_path / "run" / "state.json").exists() and time.monotonic() < deadline:
            time.sleep(0.2)
        os.killpg(process.pid, signal.SIGINT)
        said, errors = process.communicate(timeout=120)
    assert process.returncode == 130, said + errors
    assert "as asked" in errors and "--resume" in errors
    step = load_json(tmp_path / "run" / "state.json")["step"]
    assert len((tmp_path / "run" / "log.csv").read_text().splitlines()) == 1 + step
    words = shlex.split(errors.splitlines()[-1])
    assert words[:2] == ["teachseg", "train"] and "--resume" in words


def test_one_process_needs_none_of_it():
    from teachseg import processes

    assert (processes.world(), processes.rank()) == (1, 0)
    assert processes.average_count(0, torch.zeros(1)) == 1.0
    assert processes.gather("x") == ["x"]
    numbers = torch.tensor([1.0, 2.0])
    assert processes.average(numbers).tolist() == [1, 2]
    processes.wait()
