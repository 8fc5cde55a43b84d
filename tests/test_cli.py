"""The command line as a newcomer meets it: what it writes, what it says, how it ends."""

import errno
import importlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import torch
from faster_coco_eval.core import mask as rle
from PIL import Image
from safetensors.torch import save_file
from typer.testing import CliRunner

from teachseg import __version__, checkpoints, cli, recipes
from teachseg.cli import doctor, predict, training
from teachseg.datasets.coco import to_coco
from teachseg.datasets.downloads import SOURCES
from teachseg.datasets.layouts import in_val
from teachseg.datasets.pictures import read_image, write_image
from teachseg.datasets.scenes import CLASSES, KINDS, Scenes
from teachseg.layers.backbones import build_backbone
from teachseg.papers import deep_metric
from teachseg.papers.mask_rcnn import Config, MaskRCNN
from teachseg.storage import load_json, load_pair, load_tensors, sha256
from teachseg.structures import Detections, Targets
from teachseg.train import DEVICES, PRECISIONS

QUICK = ["--steps", "3", "--batch-size", "1", "--image-size", "32", "--device", "cpu"]


def run(*words):
    """`teachseg WORDS` in this process; .output is what the terminal shows."""
    return CliRunner().invoke(cli.app, [str(word) for word in words])


def good(*words):
    """The output of a command that must end well."""
    result = run(*words)
    assert result.exit_code == 0, result.output
    return result.output


def refused(*words):
    """The output of a command that must end with exit code 2, in a sentence."""
    result = run(*words)
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output and "Unforeseen" not in result.output
    return " ".join(result.output.split())


def terminal(*words, **options):
    """`teachseg WORDS` as a process of its own."""
    command = [sys.executable, "-m", "teachseg.cli", *(str(word) for word in words)]
    return subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            **options)


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    """Whatever is written without a path lands there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TEACHSEG_DEBUG", raising=False)


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    """Untrained models in the place of the shipped ones: a folder with mask_rcnn.safetensors."""
    folder = tmp_path_factory.mktemp("checkpoints")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        checkpoints.save(folder / "mask_rcnn", MaskRCNN(Config.course(5)),
                         {"classes": list(CLASSES)})
    for name in doctor.CHECKPOINTS[1:]:
        for end in ("json", "safetensors"):
            shutil.copy(folder / f"mask_rcnn.{end}", folder / f"{name}.{end}")
    return folder


@pytest.fixture
def tiny(shipped):
    """The path of an untrained checkpoint of five classes."""
    return shipped / "mask_rcnn"


def noise(height=40, width=60, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


# ---- Help, errors, interrupts -------------------------------------------------------------------


def test_help_comes_at_once():
    for words in (["--help"], ["train", "--help"]):
        started = time.perf_counter()
        with terminal(*words) as process:
            out, err = process.communicate(timeout=60)
        seconds = time.perf_counter() - started
        print(f"teachseg {' '.join(words)}: {seconds:.2f} s")
        assert process.returncode == 0, err
        assert "predict" in out or "--learning-rate" in out
        assert seconds < 3


def test_help_needs_no_torch():
    code = ("import sys; from typer.testing import CliRunner; from teachseg import cli\n"
            "assert CliRunner().invoke(cli.app, ['train', '--help']).exit_code == 0\n"
            "print([name for name in ('torch', 'numpy', 'matplotlib') if name in sys.modules])")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr


def test_every_command_is_there_and_says_what_it_does():
    assert [command.callback.__name__ for command in cli.app.registered_commands] == [
        "doctor", "demo", "train", "evaluate", "recipes_command", "predict", "lab", "workbook",
        "exercises"]
    assert [command.callback.__name__ for command in cli.data.data_app.registered_commands] == [
        "data_list", "data_get", "data_check"]
    assert all(command.callback.__doc__ for command in cli.app.registered_commands)
    assert good("--version").strip() == f"teachseg {__version__}"


def test_the_choices_are_those_of_the_library():
    """They are written twice, so that help needs no torch."""
    def words(choice):
        return [one.value for one in choice]

    assert words(cli.options.Paper) == list(checkpoints.MODELS)
    assert words(cli.options.Kind) == list(KINDS)
    assert words(cli.options.Device) == list(DEVICES)
    assert words(cli.options.Precision) == list(PRECISIONS)
    configs = {name: importlib.import_module(f"teachseg.papers.{name}").Config
               for name in checkpoints.MODELS}
    assert set(training.FULL_RECIPES) == set(configs)
    for name, config in configs.items():
        known = [size for size in words(cli.options.Size) if hasattr(config, size)]
        assert known == ["course", "paper"] + ["code"] * (name == "mnc")


@pytest.mark.parametrize("words, match", [
    (["train", "--paper", "yolo"], "--paper"),
    (["train", "--config", "huge"], "course"),
    (["train", "--paper", "mask_rcnn", "--config", "code"], "mask_rcnn has no such model"),
    (["train", "--kind", "round"], "crossing"),
    (["train", "--data", "imagenet"], "scenes"),
    (["train", "--device", "tpu"], "cuda"),
    (["train", "--precision", "8"], "bf16-mixed"),
    (["train", "--images", "0"], "--images"),
    (["train", "--steps", "-1"], "--steps"),
    (["train", "--image-size", "8"], "16"),
    (["train", "--learning-rate", "0"], "learning_rate must be above 0"),
    (["train", "--learning-rate", "nan"], "learning_rate must be above 0"),
    (["train", "--backbone-weights", "IMAGENET1K_V1"], "learns from scratch"),
    (["train", "--backbone-weights", "none.safetensors"], "cannot be read as backbone weights"),
    (["train", "--resume"], "There is no run to resume in runs/mask_rcnn"),
    (["train", "--device", "cpu", "--precision", "16-mixed"], "needs a GPU"),
    (["train", "--recipe", "none"], "There is no recipe 'none'. There are: mnc-vgg16-sbd"),
    (["train", "--recipe", "mask-rcnn-nuclei", "--paper", "mnc"], "is one of mask_rcnn"),
    (["train", "--scale", "2", "1"], "scale must be (low, high)"),
    (["data", "get", "none"], "There is no data set 'none'. There are: coco-val"),
    (["data", "check", "none"], "There is no none"),
    (["evaluate", "--images", "0"], "--images"),
    (["evaluate", "nothing"], "There is no checkpoint nothing"),
    (["demo", "--scenes", "0"], "--scenes"),
    (["demo", "--checkpoint", "nothing"], "There is no checkpoint nothing"),
    (["predict"], "IMAGES"),
    (["predict", "a.png", "--score", "2"], "--score"),
    (["predict", "a.png", "--checkpoint", "nothing"], "There is no checkpoint nothing"),
    (["lab", "nothing.ipynb"], "There is no notebook nothing.ipynb"),
    (["lab", "--port", "70000"], "--port"),
    (["workbook", "99"], "There is no notebook 99"),
    (["workbook", "../00"], "There is no notebook"),
    (["workbook"], "NUMBER"),
    (["exercises", "--lesson", "99"], "Lesson 99 has no exercises. Those that have: "),
    (["fly"], "fly"),
])
def test_bad_words_are_told_and_nothing_is_written(words, match, tmp_path):
    said = refused(*words)
    assert match.lower() in said.lower() and "Error: " in said
    assert not list(tmp_path.rglob("*.safetensors")) and not list(tmp_path.rglob("*.json*"))


def test_cuda_where_there_is_none(tiny, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for words in (["train"], ["evaluate", tiny], ["predict", "a.png"]):
        assert "torch sees no such device here. Use --device cpu" in refused(
            *words, "--device", "cuda")


def raising(error):
    def instead(*_, **__):
        raise error
    return instead


@pytest.mark.parametrize("error, code, match", [
    (ValueError("Told so."), 2, "Error: Told so."),
    (OSError(errno.ENOSPC, "No space left on device", "x.png"), 2, "x.png: No space left on"),
    (ModuleNotFoundError("No module named 'torch'"), 2, "teachseg doctor"),
    (MemoryError(), 2, "The memory is full"),
    (torch.OutOfMemoryError("CUDA out of memory."), 2, "The memory is full"),
    (RuntimeError("DefaultCPUAllocator: can't allocate memory"), 2, "The memory is full"),
    (RuntimeError("odd"), 1, "Unforeseen: RuntimeError: odd"),
    (KeyboardInterrupt(), 130, "Stopped by Ctrl-C."),
])
def test_every_error_is_a_sentence_and_debug_shows_more(error, code, match, monkeypatch):
    monkeypatch.setattr(checkpoints, "load", raising(error))
    result = run("evaluate")
    assert (result.exit_code, "Traceback" in result.output) == (code, False)
    assert match in result.output
    if code == 130:
        return
    for words in (["--debug", "evaluate"], ["evaluate", "--debug"]):
        assert run(*words).exception is error  # it passes through to Python
    monkeypatch.setenv("TEACHSEG_DEBUG", "1")
    assert run("evaluate").exception is error


def test_debug_prints_a_traceback():
    with terminal("lab", "nothing.ipynb", "--debug") as process:
        _, err = process.communicate(timeout=120)
    assert process.returncode == 1 and "Traceback" in err and "There is no notebook" in err


# ---- doctor -------------------------------------------------------------------------------------


def test_doctor_finds_all_well(shipped, monkeypatch):
    monkeypatch.setattr(checkpoints, "SHIPPED", shipped)
    said = good("doctor")
    assert "All is well" in said and "WRONG" not in said
    for part in doctor.CHECKS:
        assert re.search(rf"OK +{part} ", said), part
    assert set(doctor.CHECKS) == set(doctor.MENDS)


def test_doctor_finds_a_truncated_checkpoint(shipped, monkeypatch, tmp_path):
    for name in ("mask_rcnn.json", "mask_rcnn.safetensors"):
        (tmp_path / name).write_bytes((shipped / name).read_bytes()[:9000])
    monkeypatch.setattr(checkpoints, "SHIPPED", tmp_path)
    result = run("doctor")
    said = " ".join(result.output.split())
    assert result.exit_code == 1
    assert "WRONG data" in said and "To be mended: data." in said and "git" in said


def test_doctor_goes_on_behind_a_part_that_breaks(shipped, monkeypatch):
    """Each row stands alone, whatever a broken package raises."""
    monkeypatch.setattr(checkpoints, "SHIPPED", shipped)
    monkeypatch.setitem(sys.modules, "torchvision", None)  # its import now fails
    monkeypatch.setitem(doctor.CHECKS, "numpy", raising(OSError("libodd.so: cannot be loaded\nx")))
    monkeypatch.setattr(doctor, "DISK_NEEDED", 1e18)
    result = run("doctor")
    assert result.exit_code == 1
    assert "To be mended: torchvision, numpy, disk." in result.output
    assert re.search(r"OK +write rights", result.output)


def test_doctor_examines_a_python_without_torch(tmp_path):
    (tmp_path / "broken" / "torch").mkdir(parents=True)
    (tmp_path / "broken" / "torch" / "__init__.py").write_text("raise OSError('libtorch is odd')")
    path = os.pathsep.join([str(tmp_path / "broken"), os.environ.get("PYTHONPATH", "")])
    with terminal("doctor", env=os.environ | {"PYTHONPATH": path, "COLUMNS": "200"}) as process:
        out, err = process.communicate(timeout=120)
    assert process.returncode == 1 and "Traceback" not in err
    assert re.search(r"WRONG +torch +OSError: libtorch is odd +.*pip install", out)
    assert re.search(r"OK +jupyterlab", out)


def test_doctor_knows_a_kernel_of_another_python(monkeypatch, tmp_path):
    from jupyter_client.kernelspec import KernelSpec, KernelSpecManager

    def spec_of(*argv):
        monkeypatch.setattr(KernelSpecManager, "get_kernel_spec",
                            lambda *_: KernelSpec(argv=[*argv, "-m", "ipykernel_launcher"]))
        return doctor._examine("kernel", doctor._check_kernel)

    assert spec_of("python").ok and spec_of("python3").ok and spec_of(sys.executable).ok
    other = spec_of(str(tmp_path / "bin" / "python"))
    assert not other.ok and "another Python" in other.found and "ipykernel install" in other.mend


def test_doctor_knows_packages_that_are_too_old(monkeypatch):
    versions = doctor.metadata.version
    monkeypatch.setattr(doctor.metadata, "version",
                        lambda name: "0.1" if name == "safetensors" else versions(name))
    row = doctor._examine("packages", doctor._check_packages)
    assert not row.ok and row.found.startswith("safetensors is 0.1, needed >=")


# ---- demo and evaluate --------------------------------------------------------------------------


def box_mask(x1, y1, x2, y2):
    mask = torch.zeros(10, 10, dtype=torch.bool)
    mask[y1:y2, x1:x2] = True
    return mask


def test_hits_are_counted_once_and_by_class():
    """Objects of class 1 and 2. Four detections, best first: the first object; the same again (no
    hit: it is taken); the second under a wrong class (no hit); 2 of 4 columns of it (IoU 0.5: a
    hit)."""
    masks = torch.stack([box_mask(0, 0, 4, 4), box_mask(5, 5, 9, 9)])
    real = Targets(torch.zeros(2, 4), torch.tensor([1, 2]), masks)
    seen = torch.stack([masks[0], masks[0], masks[1], box_mask(5, 5, 7, 9)])
    found = Detections(torch.zeros(4, 4), torch.tensor([1, 1, 1, 2]), torch.ones(4), seen)
    assert cli.demo._count_right(found, real) == 2
    assert cli.demo._count_right(Detections.empty((10, 10)), real) == 0
    assert cli.demo._count_right(found, Targets.empty((10, 10))) == 0


def test_demo_writes_pictures_and_says_where(tiny, tmp_path):
    said = good("demo", "--checkpoint", tiny, "--scenes", "3", "--out", "pictures")
    names = sorted(path.name for path in (tmp_path / "pictures").iterdir())
    assert names == ["contact_sheet.png", "scene_00.png", "scene_01.png", "scene_02.png"]
    # two of 512 beside a gap of 8; on the sheet two of 256 and 4 between, twice, and 24 between
    assert read_image(tmp_path / "pictures" / "scene_00.png").shape == (3, 512, 1032)
    assert read_image(tmp_path / "pictures" / "contact_sheet.png").shape == (3, 536, 1056)
    assert "pictures/contact_sheet.png" in said and "AP50" in said and "AP^r" in said
    for i, (_, real) in enumerate(Scenes("demo", 3)):
        assert re.search(rf"scene_0{i}\.png +{len(real.labels)} ", said)


def test_demo_of_one_scene_into_a_folder_that_is_a_file(tiny, tmp_path):
    (tmp_path / "file").write_text("mine")
    assert "is a file, not a folder" in refused(
        "demo", "--checkpoint", tiny, "--scenes", "1", "--out", "file")
    assert (tmp_path / "file").read_text() == "mine"


def test_evaluate_prints_and_writes_the_numbers(tiny, tmp_path):
    said = good("evaluate", tiny, "--images", "2", "--image-size", "64", "--split", "odd",
                "--kind", "small", "--device", "cpu", "--json", "new/numbers.json")
    numbers = load_json(tmp_path / "new" / "numbers.json")
    real = sum(len(targets.labels) for _, targets in Scenes("odd", 2, 64, "small"))
    assert (numbers["images"], numbers["objects"]) == (2, real)
    assert numbers["data"] == "scenes odd small 2 64"
    assert {"APr50", "APr90", "AP", "AP50", "AR100", "seconds_per_image"} <= numbers.keys()
    assert numbers["APl"] is None  # no object is that large: no number, rather than nan
    assert f"2 images with {real} objects" in said and "ms an image on cpu" in said


def test_evaluate_checks_the_file_before_the_work(tiny, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("mine")
    monkeypatch.setattr(cli.evaluate, "measure", raising(AssertionError("it has begun to work")))
    assert "is a folder" in refused("evaluate", tiny, "--json", tmp_path)
    assert "file" in refused("evaluate", tiny, "--json", "file/numbers.json")


@pytest.mark.parametrize("spoil, match", [
    (lambda d: (d / "net.safetensors").write_bytes(b"x" * 99), "truncated or from another"),
    (lambda d: (d / "net.json").write_text("{"), "is no JSON, or a truncated one"),
    (lambda d: (d / "net.json").write_text("{}"), "is no manifest"),
    (lambda d: (d / "net.json").unlink(), "no file"),
])
def test_a_spoilt_checkpoint(shipped, tmp_path, spoil, match):
    for end in ("json", "safetensors"):
        (tmp_path / f"net.{end}").write_bytes((shipped / f"mask_rcnn.{end}").read_bytes())
    spoil(tmp_path)
    noise().save("a.png")
    for words in (["evaluate", "net"], ["demo", "--checkpoint", "net"],
                  ["predict", "a.png", "--checkpoint", "net"]):
        assert match in refused(*words)


def test_a_checkpoint_of_another_class_count(tmp_path):
    checkpoints.save(tmp_path / "net", MaskRCNN(Config.course(2)))
    for words in (["evaluate", "net"], ["demo", "--checkpoint", "net"]):
        assert "was trained for 2 classes, the data have 5" in refused(*words)


# ---- data sets ----------------------------------------------------------------------------------


@pytest.fixture
def own(tmp_path):
    """A data set of one's own: 12 scenes as files in COCO's format."""
    scenes = Scenes("own", 12, image_size=64)
    names = [f"{i}.png" for i in range(12)]
    (tmp_path / "own" / "images").mkdir(parents=True)
    for (image, _), name in zip(scenes, names):
        write_image(tmp_path / "own" / "images" / name, image)
    (tmp_path / "own" / "my.json").write_text(json.dumps(to_coco(scenes, CLASSES, names)))
    return tmp_path / "own"


def change_json(own, change):
    file = own / "my.json"
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def test_data_list_names_them_all():
    said = good("data", "list")
    assert all(name in said for name in SOURCES)


def test_data_get_goes_on_and_says_where_it_is(monkeypatch):
    def get(name, folder, tell):
        tell("a.zip", 5, 10)
        tell("a.zip", 10, 10)
        return folder / "inside"

    monkeypatch.setattr("teachseg.datasets.downloads.get", get)
    said = good("data", "get", "penn-fudan")
    assert "is in sets/penn-fudan" in said and "teachseg data check sets/penn-fudan/inside" in said


def test_data_check_counts_what_is_there(own):
    said = good("data", "check", own)
    real = [targets for _, targets in Scenes("own", 12, image_size=64)]
    count = sum(len(targets.labels) for targets in real)
    assert "coco, all; 12 pictures, longest sides 64 to 64 pixels" in said
    assert f"{count} objects of" in said and "0 crowd regions" in said
    assert "Nothing is wrong." in said
    part = good("data", "check", own, "--split", "val")
    assert "coco, val" in part and "12 pictures" not in part


def test_data_check_tells_every_problem(own):
    def change(content):
        content["annotations"][0]["segmentation"] = [[1, 1, 2, 2]]
        content["annotations"][1]["category_id"] = 77
    change_json(own, change)
    (own / "images" / "3.png").write_bytes(b"no picture")
    result = run("data", "check", own)
    said = " ".join(result.output.split())
    assert result.exit_code == 2
    assert "annotation 1 of 0.png: a polygon has 2 points" in said
    assert "annotation 2 has the category id 77" in said and "3.png" in said
    assert "3 problems; 1 pictures cannot be used at all" in said and "--skip-bad" in said
    few = " ".join(run("data", "check", own, "--show", "1").output.split())
    assert "and 2 more: --show 3" in few


TINY_RUN = ["train", "--steps", "1", "--batch-size", "2", "--device", "cpu", "--set",
            "roi_draw=8", "--set", "post_nms_train=20"]


def test_train_evaluate_and_predict_on_ones_own_data(own):
    """The classes are the data's, the measured part is the one held out, and what was chosen is
    remembered."""
    said = good(*TINY_RUN, "--data", own, "--only", "disc", "--only", "star", "--in-memory",
                "--scale", "0.8", "1.2", "--crop", "48", "--colour", "0.2", "--out", "run")
    facts = load_json("run/checkpoint.json")
    assert facts["classes"] == ["disc", "star"] and facts["config"]["num_classes"] == 2
    val = [name for name in (f"{i}.png" for i in range(12)) if in_val(name)]
    assert facts["data"] == {"name": str(own), "split": "train", "images": 12 - len(val),
                             "pictures": None, "one_class": None, "only": ["disc", "star"]}
    assert facts["metrics"]["images"] == len(val) and facts["metrics"]["data"] == f"{own} val"
    assert facts["train"]["scale"] == [0.8, 1.2] and facts["train"]["crop"] == 48
    assert f"{12 - len(val)} pictures of {own}, 2 classes" in said
    assert "--scale 0.8 1.2 --crop 48" in facts["command"]
    words = shlex.split(facts["command"])
    assert "--image-size" not in words
    good(*words[1:], "--out", "again", "--no-evaluate")
    assert load_json("again/checkpoint.json")["sha256"] == facts["sha256"]

    good("evaluate", "run", "--json", "numbers.json", "--device", "cpu")  # knows its data
    assert load_json("numbers.json")["AP"] == pytest.approx(facts["metrics"]["AP"], abs=1e-6)
    assert "star" in good("predict", own / "images", "--checkpoint", "run", "--score", "0") \
        or "disc" in good("predict", own / "images", "--checkpoint", "run", "--score", "0")
    assert "knows the classes disc, star" in refused(
        "evaluate", "run", "--data", own, "--only", "ring", "--only", "square")
    assert "trained for 2 classes, the data have 5" in refused(
        "evaluate", "run", "--data", "scenes")


def test_training_stops_at_bad_data_or_goes_on_without(own):
    one, two = [i for i in range(12) if not in_val(f"{i}.png")][:2]

    def change(content):
        first = next(a for a in content["annotations"] if a["image_id"] == one + 1)
        first["segmentation"] = [[1, 1, 2, 2]]
    change_json(own, change)
    (own / "images" / f"{two}.png").write_bytes(b"no picture")
    stopped = refused(*TINY_RUN, "--data", own, "--steps", "9", "--out", "stops")
    assert "no picture" in stopped or "2 points" in stopped and "--skip-bad" in stopped
    said = good(*TINY_RUN, "--data", own, "--skip-bad", "--out", "goes", "--no-evaluate")
    assert said.count("Left out:") == 2 and "2 problems, listed above" in said
    assert f"of {one}.png: a polygon has 2 points" in said and f"{two}.png" in said


# ---- recipes ------------------------------------------------------------------------------------


def test_recipes_are_told_with_what_to_expect():
    said = good("recipes")
    for name, one in recipes.RECIPES.items():
        assert name in said and one.title in said
    assert "mask AP 35.2" in said and "not measured yet" in said


@pytest.mark.slow
def test_a_recipe_trains(own, tmp_path):
    weights = build_backbone("mobilenet_v2").state_dict()
    save_file(weights, tmp_path / "features.safetensors")
    said = good("train", "--recipe", "mask-rcnn-nuclei", "--data", own, "--one-class", "thing",
                "--steps", "1", "--batch-size", "2", "--backbone-weights", "features.safetensors",
                "--device", "cpu", "--workers", "0", "--freeze", "1", "--no-evaluate")
    facts = load_json("runs/mask-rcnn-nuclei/checkpoint.json")
    assert "mask_rcnn mask-rcnn-nuclei" in said and facts["classes"] == ["thing"]
    assert facts["config"]["backbone"] == "mobilenet_v2" and facts["train"]["crop"] == 256
    # 5e-4 for 8 images; the recipe's 4 have it as well, 2 have half
    assert facts["train"]["learning_rate"] == pytest.approx(2.5e-4)
    trained = load_pair("runs/mask-rcnn-nuclei/checkpoint")[0]
    frozen = [name for name in weights if name.startswith(("features.0.", "features.1.",
                                                           "features.2.", "features.3."))]
    assert all(torch.equal(trained[f"backbone.{name}"], weights[name]) for name in frozen)
    last = "features.18.0.weight"
    assert not torch.equal(trained[f"backbone.{last}"], weights[last])


# ---- train --------------------------------------------------------------------------------------


@pytest.fixture
def few_scenes(monkeypatch):
    monkeypatch.setattr(training, "VALIDATION_SCENES", 2)


def test_train_writes_a_manifest_whose_command_makes_it_again(tmp_path, few_scenes):
    before = torch.get_rng_state()
    said = good("train", *QUICK, "--seed", "3", "--out", "one")
    assert torch.equal(torch.get_rng_state(), before)  # the global generator is as it was

    facts = load_json(tmp_path / "one" / "checkpoint.json")
    assert facts["config"]["num_classes"] == 5 and facts["classes"] == list(CLASSES)
    assert facts["data"] == {"name": "scenes", "split": "train", "images": 3, "kind": "mixed",
                             "image_size": 32}  # 3 steps of one image
    assert (facts["seed"], facts["step"], facts["steps"], facts["device"]) == (3, 3, 3, "cpu")
    assert facts["torch"] == torch.__version__
    assert facts["seconds"] > 0 and facts["seconds_per_step"] > 0 and facts["threads"] >= 1
    assert facts["metrics"]["data"] == "scenes val mixed 2 32" and "AP50" in facts["metrics"]
    assert facts["parameters"] == sum(p.numel() for p in MaskRCNN(Config.course(5)).parameters())
    assert facts["curve"]["steps"] == [1, 2, 3]
    assert set(facts["curve"]["losses"]) == set(facts["losses"])
    assert facts["curve"]["losses"]["mask"][-1] == pytest.approx(facts["losses"]["mask"], abs=1e-4)
    assert load_json(tmp_path / "one" / "settings.json")["asked"]["seed"] == 3
    assert "M parameters" in said and "s a step" in said and "COCO's numbers" in said

    words = shlex.split(facts["command"])
    assert words[:2] == ["teachseg", "train"] and str(tmp_path) not in facts["command"]
    good(*words[1:], "--out", "two", "--no-evaluate")
    again = load_json(tmp_path / "two" / "checkpoint.json")
    assert again["sha256"] == facts["sha256"] and again["command"] == facts["command"]
    assert "metrics" not in again
    good("train", *QUICK, "--out", "three", "--no-evaluate")  # another seed
    assert load_json(tmp_path / "three" / "checkpoint.json")["sha256"] != facts["sha256"]
    assert checkpoints.load(tmp_path / "two").config == Config.course(5)


def test_train_half_measures_what_it_stores(tmp_path, few_scenes):
    good("train", *QUICK, "--out", "run", "--half")
    tensors, facts = load_pair(tmp_path / "run" / "checkpoint")
    assert {x.dtype for x in tensors.values() if x.is_floating_point()} == {torch.float16}
    assert facts["command"].endswith("--half") and "metrics" in facts
    whole = load_tensors(tmp_path / "run" / "state.safetensors")
    weight = "box_head.classes.weight"
    assert torch.equal(tensors[weight], whole[f"model/{weight}"].half())
    assert checkpoints.load("run").state_dict()[weight].dtype == torch.float32


def test_a_run_is_not_overwritten_and_goes_on_only_as_it_began(tmp_path, few_scenes):
    good("train", *QUICK, "--no-evaluate", "--out", "run")
    manifest = (tmp_path / "run" / "checkpoint.json").read_bytes()
    assert "holds a run already. Add --resume" in refused("train", *QUICK, "--out", "run")
    assert "--steps was 3 and is now 9; --seed was 0 and is now 1" in refused(
        "train", "--steps", "9", "--seed", "1", "--out", "run", "--resume")
    assert "is finished, after 3 steps" in good(
        "train", "--out", "run", "--resume", "--no-evaluate")
    assert (tmp_path / "run" / "checkpoint.json").read_bytes() == manifest
    good("train", "--out", "run", "--resume")  # measures what was not measured yet
    assert "metrics" in load_json(tmp_path / "run" / "checkpoint.json")
    assert "is finished, after 3 steps" in good("train", "--out", "run", "--resume")

    good("train", "--out", "run", "--resume", "--half", "--no-evaluate")  # stored once more
    tensors, facts = load_pair(tmp_path / "run" / "checkpoint")
    assert tensors["fpn.smooth.0.weight"].dtype == torch.float16
    assert facts["command"].endswith("--half") and facts["step"] == 3

    (tmp_path / "run" / "settings.json").write_text("{}")
    assert "does not say how the run was begun" in refused("train", "--out", "run", "--resume")


def test_train_in_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("mine")
    assert "is a file, not a folder" in refused("train", *QUICK, "--out", "file")
    assert "a file, not a folder" in refused("train", *QUICK, "--out", "file/run")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_ctrl_c_keeps_the_run_and_the_printed_command_finishes_it(tmp_path):
    words = ["train", "--steps", "12", "--batch-size", "1", "--image-size", "32", "--device", "cpu",
             "--threads", "1", "--no-evaluate"]
    with terminal(*words, "--out", "run") as process:
        log, waited = tmp_path / "run" / "log.csv", time.monotonic()
        while not (log.exists() and log.read_text().count("\n") >= 3):  # the header and two steps
            assert process.poll() is None and time.monotonic() - waited < 120
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert re.search(r"Stopped after step \d+ of 12", err)
    assert "Kept: run/checkpoint.safetensors. Go on with:" in err
    again = shlex.split(err.strip().splitlines()[-1])
    assert again == ["teachseg", "train", "--out", "run", "--resume", "--no-evaluate"]
    assert load_json(tmp_path / "run" / "checkpoint.json")["step"] < 12

    good(*again[1:])
    good(*words, "--out", "uninterrupted")
    facts = load_json(tmp_path / "run" / "checkpoint.json")
    assert facts["curve"]["steps"][-1] == 12
    assert sha256(tmp_path / "run" / "checkpoint.safetensors") == sha256(
        tmp_path / "uninterrupted" / "checkpoint.safetensors")


def test_ctrl_c_before_anything_is_saved(tmp_path):
    with pytest.raises(KeyboardInterrupt, match="before anything was saved"):
        with training._resumable(tmp_path, []):
            raise KeyboardInterrupt


def test_the_curve_is_means_of_steps(tmp_path):
    """121 steps give parts of 3, as 121 / 60 is above 2; the first mean is (1 + 2 + 3) / 3."""
    lines = ["step,mask,learning_rate,seconds,data_seconds"]
    lines += [f"{step},{float(step)},0.1,{0.5 if step < 120 else 9},0" for step in range(1, 122)]
    (tmp_path / "log.csv").write_text("\n".join(lines))
    said = training._curve(tmp_path / "log.csv")
    assert said["curve"]["steps"][:2] == [3, 6] and said["curve"]["steps"][-1] == 121
    assert said["curve"]["losses"]["mask"][0] == 2.0
    assert said["curve"]["losses"]["mask"][-1] == 121.0  # a part of one
    assert len(said["curve"]["steps"]) == 41 and said["seconds_per_step"] == 0.5


def test_the_papers_recipe():
    """Section 3.1: rate 0.02 for 16 images, a tenth of it from 120k of 160k on, decay 1e-4."""
    asked = training.Training("mask_rcnn", "paper", "scenes", 160_000, 16, 0.02, 0, 9, 128, "mixed",
                              "cpu", "32-true", None, None, False)
    recipe = training._recipe(asked, 0, 200)
    assert (recipe.optimizer, recipe.weight_decay, recipe.milestones) == ("sgd", 1e-4, (120_000,))
    assert recipe.learning_rate == 0.02


def test_mncs_recipe():
    """0.001 for 8 images, a tenth of it from 32k of 40k on; decay 5e-4 in the released code."""
    asked = training.Training("mnc", "code", "scenes", 40_000, 8, 0.001, 0, 9, 128, "mixed",
                              "cpu", "32-true", None, None, False)
    recipe = training._recipe(asked, 0, 200)
    assert (recipe.optimizer, recipe.weight_decay, recipe.milestones) == ("sgd", 5e-4, (32_000,))
    assert 8 * training.FULL_RECIPES["mnc"].rate == 0.001


def test_settings_of_the_model_can_be_changed():
    config = training._changed(deep_metric.Config.course(5), [
        "alpha=0.5", "num_seeds=7", "background=ignore", "taus=(0.5, 0.9)", "min_side=None"])
    assert (config.alpha, config.num_seeds, config.background) == (0.5, 7, "ignore")
    assert config.taus == (0.5, 0.9) and config.min_side is None
    assert training._changed(config, []) == config


@pytest.mark.parametrize("change, words", [
    ("alpha", "NAME=VALUE is needed"),
    ("num_seed=3", "Did you mean num_seeds"),
    ("num_classes=3", "a setting of this model"),
    ("alpha=-1", "alpha must be 0 or more"),
    ("alpha=much", "alpha is 0.3, so a float is needed, got a str"),
    ("taus=0.5", "a tuple is needed, got a float"),
    ("resize=3", "a str is needed, got a int"),
])
def test_settings_that_cannot_be_changed_so_are_told(change, words):
    with pytest.raises(ValueError, match=words):
        training._changed(deep_metric.Config.course(5), [change])


def test_a_command_names_what_was_changed():
    asked = training.Training("deep_metric", "course", "scenes", 9, 8, 0.002, 0, 9, 128, "mixed",
                              "cpu", "32-true", None, None, False, "run one",
                              ["alpha=0.5", "taus=(0.5, 0.9)"])
    assert asked.command().endswith(
        "--start-from 'run one' --set alpha=0.5 --set 'taus=(0.5, 0.9)'")


@pytest.mark.slow
def test_a_training_can_start_from_another(tmp_path):
    """All weights are taken over, and the manifest tells where they come from. A step at a rate of
    nearly nothing leaves them as they are."""
    first = ("train", "--paper", "deep_metric", "--steps", "1", "--batch-size", "1",
             "--image-size", "32", "--device", "cpu", "--no-evaluate")
    good(*first, "--out", "one", "--set", "num_seeds=3")
    good(*first, "--out", "two", "--start-from", "one", "--learning-rate", "1e-12", "--seed", "7")
    one, two = (checkpoints.load(name) for name in ("one", "two"))
    assert one.config.num_seeds == 3 and two.config.num_seeds == 20
    for name, tensor in one.state_dict().items():
        torch.testing.assert_close(two.state_dict()[name], tensor)
    facts = load_json(tmp_path / "two" / "checkpoint.json")
    assert "--set num_seeds=3" in facts["started_from"]["command"]
    assert facts["started_from"]["config"]["num_seeds"] == 3 and facts["started_from"]["step"] == 1
    assert "--start-from one" in facts["command"]
    assert "leave --backbone-weights out" in refused(
        *first, "--out", "three", "--start-from", "one", "--backbone-weights", "x.safetensors")
    assert "do not fit the model" in refused(
        *first, "--out", "three", "--start-from", "one", "--set", "embedding_dim=8")


@pytest.mark.slow
def test_deep_metric_is_trained_measured_and_used(tmp_path):
    """One step on tiny scenes, and all that the command line does with what it gives."""
    said = good("train", "--paper", "deep_metric", "--steps", "1", "--batch-size", "1",
                "--image-size", "32", "--device", "cpu", "--out", "run", "--no-evaluate")
    assert "deep_metric course: 2.0" in said
    facts = load_json(tmp_path / "run" / "checkpoint.json")
    assert facts["paper"] == "deep_metric" and "pairs" in facts["losses"]
    assert "AP^r" in good("evaluate", "run", "--images", "1", "--image-size", "32")
    noise(40, 60).save("photo.jpg")
    predicted("run", "photo.jpg", "--out", "found")
    assert (tmp_path / "found" / "photo.json").exists()


@pytest.mark.slow
def test_mnc_is_trained_measured_and_used(tmp_path):
    """One step on tiny scenes, and all that the command line does with what it gives."""
    said = good("train", "--paper", "mnc", "--steps", "1", "--batch-size", "1", "--image-size",
                "32", "--device", "cpu", "--out", "run", "--no-evaluate")
    assert "mnc course: 3.9" in said
    facts = load_json(tmp_path / "run" / "checkpoint.json")
    assert facts["paper"] == "mnc" and len(facts["losses"]) == 10
    assert "AP^r" in good("evaluate", "run", "--images", "1", "--image-size", "32")
    noise(40, 60).save("photo.jpg")
    predicted("run", "photo.jpg", "--out", "found")
    assert (tmp_path / "found" / "photo.json").exists()


# ---- predict ------------------------------------------------------------------------------------


def predicted(tiny, *words, score=1.0):
    """An untrained model finds a hundred objects of score 0.1, and none of score 1."""
    return good("predict", *words, "--checkpoint", tiny, "--score", score, "--device", "cpu")


def test_predict_writes_a_picture_and_its_numbers(tiny, tmp_path):
    noise(40, 60).save("photo.jpg")
    said = predicted(tiny, "photo.jpg", "--out", "found", score=0.1)
    facts = load_json(tmp_path / "found" / "photo.json")
    assert facts["image"] == "../photo.jpg" and facts["image_size"] == [40, 60]
    counts = {len(facts[name]) for name in ("boxes", "labels", "names", "scores", "masks")}
    assert len(counts) == 1 and counts.pop() > 0
    assert all(CLASSES[label - 1] == name for label, name in zip(facts["labels"], facts["names"]))
    assert facts["scores"] == sorted(facts["scores"], reverse=True) and min(facts["scores"]) >= 0.1
    for (x1, y1, x2, y2), mask in zip(facts["boxes"], facts["masks"]):
        assert 0 <= x1 < x2 <= 60 and 0 <= y1 < y2 <= 40
        assert mask["size"] == [40, 60]
        rows, columns = np.nonzero(rle.decode(mask))
        if len(rows):  # a mask lies in its box, but for pixels that the box cuts
            assert rows.min() >= int(y1) - 1 and rows.max() <= y2 + 1
            assert columns.min() >= int(x1) - 1 and columns.max() <= x2 + 1
    assert read_image(tmp_path / "found" / "photo.png").shape == (3, 40 * 13, 60 * 13)
    number = len(facts["labels"])
    assert f"photo.jpg: {number} objects (" in said and "found/photo.png, .json" in said


def test_masks_in_the_json_are_the_models(tiny, tmp_path):
    noise().save("a.png")
    model, image = checkpoints.load(tiny), read_image("a.png")
    found = predict._look(model, image, 0.1, 1024)
    facts = json.loads(json.dumps(predict._as_json(found, CLASSES)))
    masks = torch.tensor(np.stack([rle.decode(mask) for mask in facts["masks"]])).bool()
    assert torch.equal(masks, found.masks)
    assert model.config == Config.course(5)  # looked at with another least score, and put back


def test_a_score_that_nothing_reaches(tiny, tmp_path):
    noise().save("a.png")
    said = good("predict", "a.png", "--checkpoint", tiny, "--score", "1")
    assert "a.png: 0 objects -> teachseg-found/a.png" in said
    assert load_json(tmp_path / "teachseg-found" / "a.json")["masks"] == []


def test_predict_reads_every_kind_of_picture(tiny, tmp_path):
    turned = Image.Exif()
    turned[0x0112] = 6
    folder = tmp_path / "in"
    folder.mkdir()
    noise().save(folder / "jpeg.JPG", "JPEG")
    noise().save(folder / "turned.jpg", exif=turned)
    noise().convert("L").save(folder / "grey.png")
    noise().convert("RGBA").save(folder / "alpha.png")
    noise().convert("P").save(folder / "palette.gif")
    Image.fromarray(np.full((40, 60), 40_000, np.uint16)).save(folder / "deep.png")
    noise(1, 1).save(folder / "pixel.png")
    (folder / "notes.txt").write_text("no picture, and not asked for")
    predicted(tiny, folder, "--out", "found")
    predicted(tiny, folder / "pixel.png", "--out", "found", score=0.1)
    assert len(load_json(tmp_path / "found" / "pixel.json")["labels"]) > 0
    sizes = {path.stem: load_json(path)["image_size"]
             for path in (tmp_path / "found").glob("*.json")}
    assert sizes == {"jpeg": [40, 60], "turned": [60, 40], "grey": [40, 60], "alpha": [40, 60],
                     "palette": [40, 60], "deep": [40, 60], "pixel": [1, 1]}


def test_an_unreadable_picture_keeps_no_other_from_its_turn(tiny, tmp_path):
    noise().save("first.png")
    noise().save("last.png")
    Path("cut.png").write_bytes(Path("first.png").read_bytes()[:500])
    (tmp_path / "empty").mkdir()
    said = refused("predict", "first.png", "cut.png", "gone.png", "empty", "last.png",
                   "--checkpoint", tiny, "--device", "cpu")
    assert "cut.png cannot be read as a picture" in said
    assert "The picture gone.png is not there" in said
    assert "There is no picture in the folder empty" in said
    written = sorted(path.name for path in (tmp_path / "teachseg-found").iterdir())
    assert written == ["first.json", "first.png", "last.json", "last.png"]


def test_two_pictures_of_one_name_get_two_results(tiny, tmp_path):
    for i, name in enumerate(["a/x.png", "b/x.png", "b/x.jpg"]):
        Path(name).parent.mkdir(exist_ok=True)
        noise(32, 40 + i).save(name)
    for _ in range(2):  # the second time, each result is replaced by its own
        predicted(tiny, "a/x.png", "b", "a/../a/x.png", "--out", "found")
        widths = {path.stem: (load_json(path)["image_size"][1], load_json(path)["image"])
                  for path in (tmp_path / "found").glob("*.json")}
        assert widths == {"x": (40, "../a/x.png"), "x-2": (42, "../b/x.jpg"),
                          "x-3": (41, "../b/x.png")}


def test_no_file_of_the_users_is_ever_overwritten(tiny, tmp_path):
    noise(seed=1).save("x.png")
    noise(seed=2).save("y.jpg")
    Path("y.json").write_text('{"mine": true}')
    Path("z.json").write_text("not even JSON")
    noise(seed=3).save("z.jpg")
    mine = {path: path.read_bytes() for path in tmp_path.iterdir()}
    predicted(tiny, "x.png", "y.jpg", "z.jpg", "--out", ".")
    assert all(path.read_bytes() == content for path, content in mine.items())
    assert {path.name for path in tmp_path.iterdir()} - {path.name for path in mine} == {
        f"{name}-2.{end}" for name in "xyz" for end in ("png", "json")}


def test_a_large_picture_is_looked_at_smaller_and_told_at_its_size(tiny):
    """Boxes and masks are in the picture's own pixels, whatever size the model saw."""
    model, image = checkpoints.load(tiny), torch.rand(3, 64, 256)
    seen = []
    model.backbone.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].shape))
    found = predict._look(model, image, 0.1, max_side=128)
    assert seen == [(1, 3, 32, 128)]
    assert found.masks.shape[1:] == (64, 256) and found.boxes[:, 2].max() > 128


def test_predict_into_a_folder_that_is_a_file(tiny, tmp_path):
    noise().save("a.png")
    (tmp_path / "file").write_text("mine")
    assert "is a file, not a folder" in refused(
        "predict", "a.png", "--checkpoint", tiny, "--out", "file")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_predict_into_a_folder_without_the_right(tiny, tmp_path):
    noise().save("a.png")
    (tmp_path / "found").mkdir(mode=0o500)
    assert "you may not write in" in refused(
        "predict", "a.png", "--checkpoint", tiny, "--out", "found")


def test_a_disk_that_is_full(tiny, tmp_path, monkeypatch):
    """The folder holds no half file afterwards."""
    noise().save("a.png")
    monkeypatch.setattr(os, "fsync", raising(OSError(errno.ENOSPC, "No space left on device")))
    assert "the disk is full" in refused("predict", "a.png", "--checkpoint", tiny, "--out", "found")
    assert list((tmp_path / "found").iterdir()) == []


# ---- lab ----------------------------------------------------------------------------------------


def test_lab_starts_in_the_courses_folder_on_this_machine_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(cli.lab, "ROOT", tmp_path / "course")
    first = tmp_path / "course" / cli.FIRST_NOTEBOOK
    first.parent.mkdir(parents=True)
    first.write_text("{}")
    folder, words = cli.lab_command(cli.FIRST_NOTEBOOK, port=9999, browser=False)
    assert folder == tmp_path / "course"
    assert words[:3] == [sys.executable, "-m", "jupyterlab"]
    page = "notebooks/00_start_here.ipynb"
    assert {f"--LabApp.default_url=/lab/tree/{page}", "--ServerApp.ip=127.0.0.1", "--no-browser",
            "--ServerApp.port=9999", f"--ServerApp.root_dir={folder}"} <= set(words)
    assert not any("token" in word.lower() or "password" in word.lower() for word in words)
    assert "--no-browser" not in cli.lab_command(cli.FIRST_NOTEBOOK)[1]

    Path("my own.ipynb").write_text("{}")  # one outside of the course
    folder, words = cli.lab_command(Path("my own.ipynb"))
    assert folder == tmp_path and "--LabApp.default_url=/lab/tree/my%20own.ipynb" in words


def test_lab_without_jupyterlab(tmp_path, monkeypatch):
    Path("own.ipynb").write_text("{}")
    monkeypatch.setattr(cli.lab.util, "find_spec", lambda name: None)
    assert "JupyterLab is not installed in this Python" in refused("lab", "own.ipynb")


def answer(address):
    """The status of a request: 200, or what else the server says, once it listens: it notes its
    address a little earlier."""
    for _ in range(600):
        try:
            with urllib.request.urlopen(address, timeout=20) as response:
                return response.status
        except urllib.error.HTTPError as error:
            return error.code
        except urllib.error.URLError as error:
            if not isinstance(error.reason, ConnectionRefusedError):
                raise
            time.sleep(0.1)
    raise AssertionError(f"nobody listens at {address}")


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_lab_really_starts_and_asks_for_its_token(tmp_path):
    (tmp_path / "own.ipynb").write_text(json.dumps(
        {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    places = {f"JUPYTER_{kind}_DIR": str(tmp_path / kind) for kind in ("RUNTIME", "CONFIG", "DATA")}
    environment = {k: v for k, v in os.environ.items() if k != "JUPYTER_TOKEN"} | places
    with terminal("lab", "own.ipynb", "--no-browser", "--port", "18765",
                  env=environment) as process:
        try:
            waited = time.monotonic()
            while not (notes := list((tmp_path / "RUNTIME").glob("jpserver-*.json"))):
                assert process.poll() is None, process.stderr.read()
                assert time.monotonic() - waited < 90
                time.sleep(0.1)
            note = load_json(notes[0])
            assert note["hostname"] == "127.0.0.1" and len(note["token"]) >= 32
            assert Path(note["root_dir"]).resolve() == tmp_path.resolve()
            contents = f"{note['url']}api/contents/own.ipynb"
            assert answer(contents) == 403
            assert answer(f"{contents}?token={note['token']}") == 200
        finally:
            process.send_signal(signal.SIGTERM)
            _, err = process.communicate(timeout=60)
    assert "lab/tree/own.ipynb?token=" in err and "Traceback" not in err


# ---- workbook -----------------------------------------------------------------------------------


def test_a_workbook_is_a_copy_and_overwrites_nothing(tmp_path):
    source = cli.ROOT / cli.FIRST_NOTEBOOK
    said = good("workbook", "00")
    first = tmp_path / "workbook" / source.name
    assert first.read_bytes() == source.read_bytes()
    assert f"workbook/{source.name}" in said and "teachseg lab" in said
    first.write_text("my notes")
    good("workbook", "0")  # the number without its zero
    good("workbook", "00")
    assert first.read_text() == "my notes"
    names = {file.name for file in (tmp_path / "workbook").iterdir()}
    assert names == {source.name, f"{source.stem}-2.ipynb", f"{source.stem}-3.ipynb"}


def test_a_workbook_goes_where_it_is_wanted(tmp_path):
    good("workbook", "00", "--out", tmp_path / "a" / "my own")
    assert (tmp_path / "a" / "my own" / cli.FIRST_NOTEBOOK.name).is_file()
    (tmp_path / "file").write_text("x")
    assert "is a file, not a folder" in refused("workbook", "00", "--out", tmp_path / "file")


def test_a_notebook_that_is_not_there_is_told_with_those_that_are(tmp_path):
    for name in ("03_some.ipynb", "10_other.ipynb", "notes.ipynb"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(ValueError, match="no notebook 04 .* Those that stand today: 03, 10"):
        cli.copy_to_work_in("04", tmp_path / "out", tmp_path)
    with pytest.raises(ValueError, match="come with its repository: clone it"):
        cli.copy_to_work_in("04", tmp_path / "out", tmp_path / "nowhere")
    assert not (tmp_path / "out").exists()


# ---- exercises ----------------------------------------------------------------------------------


def test_the_exercises_are_listed_with_how_they_stand(tmp_path, monkeypatch):
    from teachseg import exercises

    monkeypatch.setenv("TEACHSEG_HOME", str(tmp_path / "home"))
    exercises.check("roi.round", round)
    exercises.check("roi.misalignment", lambda x, stride: int(x / stride + 0.5) * stride - x)
    said = good("exercises", "--lesson", "10")
    assert re.search(r"10 +roi\.round +1 try ", said)
    assert re.search(r"10 +roi\.align +not tried ", said)
    assert "0 of 7 solved" in said
    assert str(tmp_path / "home") in said.replace("\n", "")
