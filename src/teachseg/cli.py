"""The command line: `teachseg doctor, demo, train, evaluate, predict, data, recipes, lab,
workbook, exercises`.

Letters
    H, W  height and width of a picture, in pixels

Help must come at once, so torch and all that needs it are imported inside the commands. The
commands print; what they call returns. What can be foreseen to go wrong ends in a sentence on
stderr and exit code 2, Ctrl-C in 130; `--debug` shows the traceback as well.

Boxes in files are (x1, y1, x2, y2) in pixel edges of the picture as it is seen upright.

Lesson: 00
"""

import ast
import csv
import difflib
import itertools
import math
import os
import platform
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from enum import Enum
from importlib import metadata, util
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple
from urllib.parse import quote

import typer
from typer.core import TyperGroup

from teachseg import __version__, cells, places

if TYPE_CHECKING:
    from torch import Tensor, nn

    from teachseg.structures import Detections, Targets
    from teachseg.train import TrainConfig

ROOT = places.course()  # where notebooks/ and data/ are
FIRST_NOTEBOOK = Path("notebooks", "00_start_here.ipynb")
SHIPPED = "mask_rcnn"
SCENES = "scenes"  # the data that the course draws itself
VALIDATION_SCENES = 200
CURVE_POINTS = 60  # of the training curve that a manifest holds
DISK_NEEDED = 2e9  # bytes that runs, checkpoints and pictures may take
SHOWN_SCORE = 0.5  # from which a detection is drawn and counted
PICTURE_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
MADE_BY = "teachseg predict"
MAY_CHANGE = ("device", "threads", "half", "devices", "nodes", "batch_size", "accumulate",
              "channels_last", "compile")  # when a training is resumed


# ---- What can be asked for ----------------------------------------------------------------------


def _choice(name: str, *words: str) -> type[Enum]:
    """A list of words as typer knows it; it names them all in the help and in its errors."""
    return Enum(name, {word.replace("-", "_"): word for word in words}, type=str)


Paper = _choice("Paper", "mnc", "mask_rcnn", "deep_metric")
Size = _choice("Size", "course", "paper", "code")
Kind = _choice("Kind", "mixed", "crossing", "crowded", "thin", "small", "ring")
Device = _choice("Device", "auto", "cpu", "cuda")
Precision = _choice("Precision", "32-true", "16-mixed", "bf16-mixed")

DeviceOption = Annotated[Device, typer.Option(help="auto: a GPU where there is one.")]
KindOption = Annotated[Kind, typer.Option(help="Kind of scenes.")]
SideOption = Annotated[int, typer.Option("--image-size", min=16, help="Side of a scene, pixels.")]
ScoreOption = Annotated[float, typer.Option(min=0, max=1, help="Least score of what is shown.")]
DataHelp = "scenes, or the path of a data set: a folder, or a JSON file in COCO's format."
PicturesOption = Annotated[Path | None, typer.Option(
    help="Where a JSON's pictures are.", show_default="looked for beside it")]
OneClassOption = Annotated[str | None, typer.Option(
    help="COCO's format: all objects are of this one class.")]
OnlyOption = Annotated[list[str] | None, typer.Option(
    metavar="CLASS", help="COCO's format: objects of these classes; more than once, too.")]
CheckpointHelp = ("mnc, mask_rcnn or deep_metric (shipped), a .safetensors file, or a training's "
                  "folder.")
CheckpointOption = Annotated[str, typer.Option(help=CheckpointHelp)]


# ---- How errors are told ------------------------------------------------------------------------

_CLICK_ERROR = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")
_OTHERS_CONCERN = (_CLICK_ERROR, typer.Exit, typer.Abort, BrokenPipeError)  # typer tells these


def _sentence(error: Exception) -> str | None:
    """What was wrong and how to mend it; None for an error that nobody foresaw."""
    if isinstance(error, ImportError):
        return f"{error}. Something is missing in this Python, or broken. See: teachseg doctor"
    full = type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error)
    if full or isinstance(error, MemoryError):
        return ("The memory is full. Use a smaller --batch-size (--accumulate as many times larger "
                "learns nearly the same), a smaller --crop or --image-size, smaller pictures "
                "(--set min_side=480), --precision bf16-mixed, fewer --workers, or --device cpu.")
    if isinstance(error, ValueError):
        return str(error)
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror or error}."
    return None


class Plain(TyperGroup):
    """The commands, with errors told in a sentence; --debug is understood anywhere in the line."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take --debug to the front, where it belongs to `teachseg` itself."""
        ahead = args[: args.index("--")] if "--" in args else args
        if "--debug" in ahead:
            args = ["--debug", *(word for word in ahead if word != "--debug"), *args[len(ahead) :]]
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run a command: exit 2 with a sentence, 130 on Ctrl-C, 1 for what nobody foresaw."""
        try:
            return super().invoke(ctx)
        except _OTHERS_CONCERN:
            raise
        except KeyboardInterrupt as error:
            typer.echo(f"\n{error}" if str(error) else "\nStopped by Ctrl-C.", err=True)
            raise typer.Exit(130) from error
        except Exception as error:
            if ctx.params.get("debug"):
                raise
            sentence = _sentence(error)
            if sentence is None:
                typer.echo(f"Unforeseen: {type(error).__name__}: {error}. This is a fault of "
                           "teachseg: run the same with --debug, and report what it shows.",
                           err=True)
                raise typer.Exit(1) from error
            typer.echo(f"Error: {sentence}", err=True)
            raise typer.Exit(2) from error


app = typer.Typer(
    cls=Plain, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    help="Instance segmentation, taught by building it.",
    epilog="First time here? teachseg doctor, then teachseg demo, then teachseg lab.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"teachseg {__version__}")
        raise typer.Exit()


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option(
        "--debug", envvar="TEACHSEG_DEBUG", help="Show the traceback of an error.")] = False,
    version: Annotated[bool, typer.Option(
        "--version", callback=_print_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """What belongs to all commands."""


# ---- What several commands need -----------------------------------------------------------------


def _print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table under its title; columns whose name begins with a space hold numbers."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD)
    for column in columns:
        number = column.startswith(" ")
        table.add_column(column.strip(), justify="right" if number else "left",
                         no_wrap=number, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))  # Text: a [ in a path is no markup
    if title:
        typer.echo(f"\n{title}")
    Console().print(table)


def _share(x: float) -> str:
    """A number in [0, 1] as it stands in a table; - where there is none."""
    return "-" if math.isnan(x) else f"{x:.3f}"


def _print_metrics(title: str, numbers: dict[str, float]) -> None:
    """AP^r and COCO's numbers, two short tables."""
    voc = [name for name in numbers if name.startswith("APr")]
    _print_table(f"{title}: AP^r by IoU (VOC's rules, 11-point)",
                 [f" {name.removeprefix('APr')} %" for name in voc],
                 [[_share(numbers[name]) for name in voc]])
    coco = [name for name in numbers if name.startswith(("AP", "AR")) and name not in voc]
    _print_table(f"{title}: COCO's numbers", [f" {name}" for name in coco],
                 [[_share(numbers[name]) for name in coco]])


def _pick_device(device: Device) -> str:
    """cpu or cuda; ValueError where the one asked for is not there."""
    import torch

    there = torch.cuda.is_available()
    if device.value == "cuda" and not there:
        raise ValueError("--device cuda was asked for, but torch sees no such device here. Use "
                         "--device cpu, or install a driver and a torch built for it.")
    return "cuda" if there and device.value != "cpu" else "cpu"


def _predictor(model: "nn.Module") -> Callable[..., list["Detections"]]:
    """The `predict` of a model's paper."""
    from teachseg.checkpoints import page, paper_of

    return page(paper_of(model)).predict


def _measure(
    model: "nn.Module", data: Any, device: str, found: list["Detections"] | None = None
) -> tuple[dict[str, float], float]:
    """Run a model on every image: the numbers of `evaluate_pairs`, and seconds an image.

    Of several processes each looks at its part, and the first one puts their answers together; the
    others get no numbers.

    Args:
        found: what is found is appended to it; without it, masks are let go image by image.
    """
    from tqdm import tqdm

    from teachseg import processes
    from teachseg.evaluate import encode_pair, evaluate_encoded

    predict, seconds, mine = _predictor(model), [], []
    classes = model.config.num_classes
    model.to(device).eval()
    part = range(processes.rank(), len(data), processes.world())
    for index in tqdm(part, unit="image", leave=False, disable=None if not part.start else True):
        image, targets = data[index]
        image = image.to(device)
        started = time.perf_counter()
        detections = predict(model, [image])[0].to("cpu")  # waits for the device
        seconds.append(time.perf_counter() - started)
        if found is not None:
            found.append(detections)
        mine.append((index, encode_pair(detections, targets, classes, index)))
    everything = [one for theirs in processes.gather(mine) for one in theirs]
    if not everything:
        return {}, math.nan
    pairs = (pair for _, pair in sorted(everything, key=lambda one: one[0]))
    return evaluate_encoded(pairs, classes), statistics.median(seconds)


def _check_file(file: Path | None) -> None:
    """ValueError, before the work is done, where a file could not be written after it."""
    if file is None:
        return
    from teachseg.storage import make_folder

    if file.is_dir():
        raise ValueError(f"{file} is a folder; the name of a file in it is needed.")
    with tempfile.TemporaryFile(dir=make_folder(file.parent)):
        pass


# ---- doctor -------------------------------------------------------------------------------------


class Row(NamedTuple):
    """What the doctor says of one part."""

    part: str
    ok: bool
    found: str
    mend: str = ""


class Wrong(Exception):
    """A part that is there but not as it should be: what was found, and how to mend it."""

    def __init__(self, found: str, mend: str):
        super().__init__(found)
        self.mend = mend


def _check_python() -> str:
    found = f"{platform.python_version()} in {sys.prefix}"
    if sys.version_info < (3, 11) or sys.maxsize < 2**32:
        raise Wrong(found, MENDS["Python"])
    return found


def _check_packages() -> str:
    from packaging.requirements import Requirement

    needed = [Requirement(line) for line in metadata.requires("teachseg") or []]
    wrong = []
    for one in needed:
        if one.marker is not None and not one.marker.evaluate({"extra": ""}):
            continue
        try:
            if not one.specifier.contains(metadata.version(one.name), prereleases=True):
                wrong.append(f"{one.name} is {metadata.version(one.name)}, needed {one.specifier}")
        except metadata.PackageNotFoundError:
            wrong.append(f"{one.name} is missing")
    if wrong:
        raise Wrong("; ".join(wrong), MENDS["packages"])
    return f"teachseg {__version__} and what it needs"


def _check_torch() -> str:
    import torch

    if not bool((torch.eye(2) @ torch.ones(2, 2) == 1).all()):
        raise Wrong(f"{torch.__version__} computes wrongly", MENDS["torch"])
    return torch.__version__


def _check_torchvision() -> str:
    import torch
    import torchvision

    try:
        kept = torchvision.ops.nms(torch.tensor([[0.0, 0, 4, 4], [0, 0, 4, 3]]), torch.ones(2), 0.5)
    except (RuntimeError, AttributeError, NotImplementedError) as error:
        raise Wrong(f"{torchvision.__version__} does not fit torch {torch.__version__}",
                    MENDS["torchvision"]) from error
    if len(kept) != 1:
        raise Wrong(f"{torchvision.__version__} suppresses wrongly", MENDS["torchvision"])
    return f"{torchvision.__version__}, fits torch {torch.__version__}"


def _check_numpy() -> str:
    import numpy as np
    import torch

    torch.from_numpy(np.ones(1))
    return np.__version__


def _check_widgets() -> str:
    import ipywidgets
    from jupyter_core.paths import jupyter_path

    found = f"ipywidgets {metadata.version('ipywidgets')}"
    found += f", jupyterlab_widgets {metadata.version('jupyterlab_widgets')}"
    manager = Path("@jupyter-widgets", "jupyterlab-manager", "package.json")
    if not any(Path(folder, manager).exists() for folder in jupyter_path("labextensions")):
        raise Wrong(f"{found}, but JupyterLab does not see it", MENDS["widgets"])
    if int(metadata.version("jupyterlab_widgets").split(".")[0]) < 3:
        raise Wrong(f"{found} do not fit", MENDS["widgets"])
    ipywidgets.IntSlider(value=1)
    return found


def _check_jupyterlab() -> str:
    if util.find_spec("jupyterlab") is None:
        raise Wrong("not installed", MENDS["jupyterlab"])
    return metadata.version("jupyterlab")


def _check_kernel() -> str:
    from jupyter_client.kernelspec import KernelSpecManager

    spec = KernelSpecManager().get_kernel_spec("python3")
    program = Path(spec.argv[0])
    plain = program.parent == Path() and program.name.startswith("python")  # Jupyter takes its own
    if not plain and program.parent.resolve() != Path(sys.executable).parent.resolve():
        raise Wrong(f"python3 starts another Python: {program}", MENDS["kernel"])
    return f"python3, ipykernel {metadata.version('ipykernel')}"


def _check_device() -> str:
    import torch

    threads = f"CPU, threads: {torch.get_num_threads()}"
    if not torch.cuda.is_available():
        return f"{threads}; no CUDA device, the course runs on the CPU"
    torch.ones(2, 2, device="cuda").sum().item()
    return f"{torch.cuda.get_device_name()}; {threads}"


def _check_data() -> str:
    from teachseg import checkpoints
    from teachseg.storage import pair_files

    try:
        weights, model = pair_files(checkpoints.find(SHIPPED))[0], checkpoints.load(SHIPPED)
    except ValueError as error:
        raise Wrong(str(error), MENDS["data"]) from error
    size = weights.stat().st_size / 1e6
    return f"{SHIPPED}: {size:.1f} MB, whole, {model.config.num_classes} classes"


def _check_disk() -> str:
    free = shutil.disk_usage(Path.cwd()).free
    if free < DISK_NEEDED:
        raise Wrong(f"{free / 1e9:.1f} GB free in {Path.cwd()}",
                    "Free some space, or work in a folder on another disk: a training and its "
                    f"pictures may need {DISK_NEEDED / 1e9:.0f} GB.")
    return f"{free / 1e9:.0f} GB free"


def _check_rights() -> str:
    for folder in (Path.cwd(), Path(tempfile.gettempdir())):
        try:
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise Wrong(f"nothing can be written in {folder} ({error.strerror})",
                        "Work in a folder of your own, or change this one's rights.") from error
    return f"files can be written in {Path.cwd()}"


_UPGRADE = "python -m pip install --upgrade"
MENDS = {
    "Python": "Install a 64-bit Python 3.11 or newer, and make the environment again.",
    "packages": "In the course's folder: python -m pip install -e .",
    "torch": f"{_UPGRADE} --force-reinstall torch torchvision",
    "torchvision": f"Install the two together: {_UPGRADE} --force-reinstall torch torchvision",
    "numpy": f"{_UPGRADE} --force-reinstall numpy",
    "widgets": f"{_UPGRADE} ipywidgets jupyterlab_widgets; then start JupyterLab again",
    "jupyterlab": f"{_UPGRADE} jupyterlab",
    "kernel": "python -m ipykernel install --sys-prefix --name python3",
    "device": "Update the GPU's driver, or hide the GPU: CUDA_VISIBLE_DEVICES= (set to nothing)",
    "data": "It comes with the course. In its folder: git checkout -- data/checkpoints; or clone "
            "it again",
    "disk": "Change to a folder that exists, and free some space.",
    "write rights": "Change to a folder of your own.",
}
CHECKS: dict[str, Callable[[], str]] = {
    "Python": _check_python, "packages": _check_packages, "torch": _check_torch,
    "torchvision": _check_torchvision, "numpy": _check_numpy, "widgets": _check_widgets,
    "jupyterlab": _check_jupyterlab, "kernel": _check_kernel, "device": _check_device,
    "data": _check_data, "disk": _check_disk, "write rights": _check_rights,
}


def _examine(part: str, check: Callable[[], str]) -> Row:
    """One row; a part that breaks in a way of its own is told and keeps no other from its row."""
    try:
        return Row(part, True, check())
    except Wrong as wrong:
        return Row(part, False, str(wrong), wrong.mend)
    except Exception as error:
        lines = str(error).strip().splitlines() or [""]
        return Row(part, False, f"{type(error).__name__}: {lines[0]}", MENDS[part])


@app.command()
def doctor() -> None:
    """Check all that the course needs, and say how to mend what is wrong."""
    rows = [_examine(part, check) for part, check in CHECKS.items()]
    broken = [row for row in rows if not row.ok]
    _print_table("", ["", "part", "found", *(["how to mend it"] if broken else [])],
                 [["OK" if row.ok else "WRONG", row.part, row.found,
                   *([row.mend] if broken else [])] for row in rows])
    if broken:
        names = ", ".join(row.part for row in broken)
        typer.echo(f"To be mended: {names}. Begin at the top: one may be the cause of the next.")
        raise typer.Exit(1)
    typer.echo("All is well. teachseg lab opens the course.")


# ---- demo ---------------------------------------------------------------------------------------


def _count_right(found: "Detections", real: "Targets") -> int:
    """How many detections hit an object of their class that no better one had hit already."""
    from teachseg.geometry.masks import mask_iou
    from teachseg.mistakes import find_right

    same_class = found.labels[:, None] == real.labels
    return sum(d >= 0 for d in find_right(mask_iou(found.masks, real.masks), same_class))


def _beside(pictures: Sequence["Tensor"], dim: int, gap: int) -> "Tensor":
    """Equally large pictures (3, H, W) in a row (dim 2) or a column (dim 1), white between."""
    import torch

    rule = list(pictures[0].shape)
    rule[dim] = gap
    parts = [part for picture in pictures for part in (torch.ones(rule), picture)]
    return torch.cat(parts[1:], dim)


def _contact_sheet(pairs: list["Tensor"]) -> "Tensor":
    """Pictures two to a row, the last row filled up with white."""
    import torch

    pairs = pairs + [torch.ones_like(pairs[0])] * (len(pairs) % 2 if len(pairs) > 1 else 0)
    rows = [_beside(pairs[i : i + 2], 2, 24) for i in range(0, len(pairs), 2)]
    return _beside(rows, 1, 24)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the pictures.")] = Path("teachseg-demo"),
    scenes: Annotated[int, typer.Option(min=1, max=1000, help="How many scenes.")] = 8,
    checkpoint: CheckpointOption = SHIPPED,
) -> None:
    """Show the trained model at work: draw scenes, find the objects, write pictures."""
    from teachseg.checkpoints import load
    from teachseg.datasets.pictures import write_image
    from teachseg.datasets.scenes import CLASSES, Scenes
    from teachseg.plot import overlay
    from teachseg.storage import make_folder

    model, dataset = load(checkpoint, len(CLASSES)), Scenes("demo", scenes)
    make_folder(out)
    everything: list[Detections] = []
    numbers, seconds = _measure(model, dataset, "cpu", everything)
    rows, small = [], []
    for i, (found, (image, real)) in enumerate(zip(everything, dataset)):
        shown = found.above(SHOWN_SCORE)
        two = [overlay(image, objects, CLASSES) for objects in (real, shown)]
        write_image(out / f"scene_{i:02d}.png", _beside(two, 2, 8))
        two = [overlay(image, objects, CLASSES, side=256) for objects in (real, shown)]
        small.append(_beside(two, 2, 4))
        right = _count_right(shown, real)
        rows.append([f"scene_{i:02d}.png", str(len(real.labels)), str(right),
                     str(len(real.labels) - right), str(len(shown.labels) - right)])
    write_image(out / "contact_sheet.png", _contact_sheet(small))
    _print_table("", ["picture", " objects", " found", " missed", " false alarms"], rows)
    _print_metrics(f"{scenes} scenes", numbers)
    typer.echo(f"{1000 * seconds:.0f} ms an image on the CPU. In each picture, the truth is on the "
               "left, what was found on the right.")
    typer.echo(f"All of them on one sheet: {out / 'contact_sheet.png'}")


# ---- train --------------------------------------------------------------------------------------


def _flag(name: str) -> str:
    """A field's option on the command line."""
    return f"--{name.replace('_', '-')}"


@dataclass(frozen=True)
class Training:
    """All that decides what a training gives, in the order in which the command line names it."""

    paper: str
    config: str
    data: str                     # scenes, or a path
    steps: int
    batch_size: int
    learning_rate: float
    seed: int
    images: int | None            # of scenes
    image_size: int | None
    kind: str | None
    device: str
    precision: str
    threads: int | None
    backbone_weights: str | None
    half: bool
    start_from: str | None = None
    set: list[str] = field(default_factory=list)  # NAME=VALUE each, of the model's config
    recipe: str | None = None
    accumulate: int = 1
    freeze: int = 0
    pictures: str | None = None   # of a data set in COCO's format, as the next two
    one_class: str | None = None
    only: list[str] = field(default_factory=list)
    skip_bad: bool = False
    in_memory: bool = False
    scale: tuple[float, float] | None = None
    crop: int | None = None
    colour: float = 0.0
    devices: int = 1
    nodes: int = 1
    channels_last: bool = False
    compile: bool = False

    def command(self) -> str:
        """The command line that makes it again."""
        words = ["teachseg", "train"]
        for one in fields(self):
            value, flag = getattr(self, one.name), _flag(one.name)
            if isinstance(value, bool):
                words += [flag] if value else []
            elif isinstance(value, list):
                words += [word for item in value for word in (flag, item)]
            elif isinstance(value, tuple):
                words += [flag, *map(str, value)]
            elif value is not None and not (one.name in LATER and value == one.default):
                words += [flag, str(value)]
        return shlex.join(words)

    def described_data(self, images: int) -> dict[str, Any]:
        """What it learns from, for the manifest."""
        described = {"name": self.data, "split": "train", "images": images}
        if self.data == SCENES:
            return described | {"kind": self.kind, "image_size": self.image_size}
        return described | {"pictures": self.pictures, "one_class": self.one_class,
                            "only": self.only}


LATER = ("accumulate", "freeze", "colour", "devices", "nodes")  # said only where they are set


class FullRecipe(NamedTuple):
    """How a paper trains its full model; the course's small ones all train in one way."""

    batch_size: int       # images a step
    rate: float           # learning rate for each image of a step
    weight_decay: float
    milestone: float      # the share of the steps after which the rate is a tenth


FULL_RECIPES = {
    # "a learning rate of 0.02" for 16 images, a tenth from 120k of 160k on, weight decay 0.0001
    # [Mask R-CNN, section 3.1]
    "mask_rcnn": FullRecipe(2, 0.02 / 16, 1e-4, 3 / 4),
    # 0.001 for 8 images, a tenth from 32k of 40k on [MNC, section 4]; 20k of 25k, weight decay
    # 0.0005 [its released code]
    "mnc": FullRecipe(1, 0.001 / 8, 5e-4, 4 / 5),
    # its paper was not at hand: MNC's, whose data it shares
    "deep_metric": FullRecipe(1, 0.001 / 8, 5e-4, 4 / 5),
}


def _recipe(asked: Training, workers: int, save_every: int) -> "TrainConfig":
    """How the model of each size is trained, or as a recipe says."""
    from teachseg import recipes
    from teachseg.train import TrainConfig

    same = {name: getattr(asked, name) for name in (
        "steps", "batch_size", "accumulate", "learning_rate", "seed", "precision", "device",
        "threads", "scale", "crop", "colour", "devices", "nodes", "channels_last", "compile")}
    if asked.recipe is not None:
        return recipes.adapted(recipes.find(asked.recipe), **same, workers=workers,
                               save_every=save_every)
    recipe = TrainConfig(**same, warmup_steps=min(100, max(1, asked.steps // 5)),
                         save_every=save_every, workers=workers)
    if asked.config == "course":
        return recipe
    full = FULL_RECIPES[asked.paper]
    return replace(recipe, optimizer="sgd", weight_decay=full.weight_decay, schedule="steps",
                   milestones=(max(1, int(asked.steps * full.milestone)),), clip_norm=None)


def _changed(config: Any, changes: Sequence[str]) -> Any:
    """A config with NAME=VALUE changed; values are Python's numbers, words, tuples, None."""
    known = [one.name for one in fields(config) if one.name != "num_classes"]
    values: dict[str, Any] = {}
    for change in changes:
        name, sign, words = change.partition("=")
        if not sign or name not in known:
            close = difflib.get_close_matches(name, known, 1)
            meant = f" Did you mean {close[0]}?" if close else ""
            raise ValueError(f"--set {change}: NAME=VALUE is needed, and NAME a setting of this "
                             f"model.{meant} It has: {', '.join(known)}.")
        try:
            values[name] = ast.literal_eval(words)
        except (ValueError, SyntaxError):
            values[name] = words
        now = getattr(config, name)
        if isinstance(now, bool | int | float | str | tuple) and not isinstance(
            values[name], float | int if isinstance(now, int | float) else type(now)
        ):
            raise ValueError(f"--set {change}: {name} is {now!r}, so a {type(now).__name__} is "
                             f"needed, got a {type(values[name]).__name__}.")
    return replace(config, **values)


def _model_config(asked: Training, num_classes: int) -> Any:
    """Every number of the model that is asked for."""
    from teachseg import checkpoints, recipes

    if asked.recipe is not None:
        config = recipes.find(asked.recipe).config(num_classes)
    else:
        page = checkpoints.page(asked.paper)
        if not hasattr(page.Config, asked.config):
            raise ValueError(f"--config {asked.config}: {asked.paper} has no such model. Choose "
                             "course or paper; code is MNC's alone, whose released code differs "
                             "from it.")
        config = getattr(page.Config, asked.config)(num_classes)
    return _changed(config, asked.set)


def _new_model(asked: Training, num_classes: int, load_weights: bool) -> "nn.Module":
    """An untrained model: a pure function of the seed, which leaves torch's own generator alone."""
    import torch

    from teachseg import checkpoints
    from teachseg.checkpoints import MODELS
    from teachseg.layers.backbones import OWN, freeze, load_backbone_weights

    page = checkpoints.page(asked.paper)
    config = _model_config(asked, num_classes)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(asked.seed)
        model = getattr(page, MODELS[asked.paper])(config)
    weights = asked.backbone_weights
    if asked.start_from is not None:
        if weights is not None:
            raise ValueError("--start-from has the backbone's weights too: leave "
                             "--backbone-weights out.")
        if load_weights:
            checkpoints.load_weights(model, asked.start_from)
    elif weights is None:
        if getattr(config, "frozen_norm", False):
            typer.echo("Note: this backbone's norms are frozen, so without --backbone-weights (say "
                       "IMAGENET1K_V1) it learns slowly.", err=True)
    elif config.backbone in OWN and not weights.endswith(".safetensors"):
        raise ValueError(f"There are no weights {weights!r} for the course's own small backbone, "
                         "which learns from scratch. Leave --backbone-weights out, or use --config "
                         "paper.")
    elif load_weights:
        load_backbone_weights(model.backbone, config.backbone, weights)
    if asked.freeze:
        freeze(model.backbone, asked.freeze)
    return model


# ---- What is learned from -----------------------------------------------------------------------


def _open_data(asked: Training, part: str) -> Any:
    """The training or the validation part of what is asked for: it has a len() and `classes`."""
    from teachseg.datasets.layouts import open_dataset
    from teachseg.datasets.problems import GoodItems, InMemory
    from teachseg.datasets.scenes import Scenes

    if asked.data == SCENES:
        count = asked.images if part == "train" else VALIDATION_SCENES
        return Scenes(part, count, asked.image_size, asked.kind)
    if not Path(asked.data).exists():
        raise ValueError(f"--data {asked.data}: this is neither the word scenes nor a path that is "
                         "there. Data sets can be had: teachseg data list.")
    data = open_dataset(asked.data, part, asked.pictures, "skip" if asked.skip_bad else "stop",
                        asked.one_class, asked.only or None)
    if asked.skip_bad:
        whole, data = len(data), GoodItems(data)
        for problem in data.problems:
            typer.echo(f"Left out: {problem}", err=True)
        typer.echo(f"{part}: {len(data):,} of {whole:,} pictures can be used; "
                   f"{len(data.problems):,} problems, listed above.", err=True)
    return InMemory(data) if asked.in_memory else data


def _class_names(data: Any) -> tuple[str, ...]:
    """Names of 1..K of a data set; the scenes' are a constant."""
    from teachseg.datasets.scenes import CLASSES

    return tuple(getattr(data, "classes", CLASSES))


def _begun(out: Path) -> bool:
    """Is there a run in this folder that can be gone on with?"""
    return (out / "state.json").exists()


def _as_begun(asked: Training, given: set[str], out: Path) -> Training:
    """What a run was begun with, to go on with it; ValueError where something else is given now.

    Args:
        given: names of the fields of `asked` that the user wrote, and that are no defaults.
    """
    from teachseg.storage import load_json

    if not _begun(out):
        raise ValueError(f"There is no run to resume in {out}: nothing was saved there yet. Check "
                         "--out, or leave --resume out.")
    facts = load_json(out / "settings.json")
    then = facts.get("asked") if isinstance(facts, dict) else None
    if isinstance(then, dict) and isinstance(then.get("scale"), list):
        then["scale"] = tuple(then["scale"])  # JSON knows no tuples
    if not isinstance(then, dict) or then.keys() != {one.name for one in fields(Training)}:
        raise ValueError(f"{out / 'settings.json'} does not say how the run was begun, or another "
                         "version of teachseg wrote it. Train in another folder: --out FOLDER.")
    changed = [f"{_flag(name)} was {then[name]} and is now {getattr(asked, name)}"
               for name in then
               if name in given - set(MAY_CHANGE) and then[name] != getattr(asked, name)]
    if changed:
        raise ValueError(f"The run in {out} cannot be resumed with other settings: "
                         f"{'; '.join(changed)}. Leave these out, or train in another folder.")
    now = {name: getattr(asked, name) for name in MAY_CHANGE if name in given}
    return Training(**(then | now))


def _finished(asked: Training, out: Path, evaluate: bool) -> bool:
    """Is there nothing left to do for a run?"""
    from teachseg.storage import load_json

    file = out / "checkpoint.json"
    facts = load_json(file) if file.exists() else {}
    needed = {"curve", "metrics"} if evaluate else {"curve"}
    as_wanted = facts.get("step") == asked.steps and facts.get("half") == asked.half
    return as_wanted and needed <= facts.keys()


def _curve(log: Path) -> dict[str, Any]:
    """Mean losses over a CURVE_POINTS-th of the steps at a time, and seconds a step (median)."""
    with open(log, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    size = max(1, math.ceil(len(rows) / CURVE_POINTS))
    parts = [rows[i : i + size] for i in range(0, len(rows), size)]
    names = [name for name in rows[0]
             if name not in ("step", "learning_rate", "seconds", "data_seconds")]
    losses = {name: [round(statistics.fmean(float(row[name]) for row in part), 4) for part in parts]
              for name in names}
    curve = {"steps": [int(part[-1]["step"]) for part in parts], "losses": losses}
    seconds = statistics.median(float(row["seconds"]) for row in rows)
    return {"curve": curve, "seconds_per_step": round(seconds, 4)}


def _metrics(asked: Training, model: "nn.Module") -> dict[str, Any]:
    """How good it is on the part of its data that it has not seen, as JSON knows it."""
    data = _open_data(asked, "val")
    numbers, seconds = _measure(model, data, asked.device)
    if not numbers:  # another process has them
        return {}
    name = f"{asked.data} val"
    if asked.data == SCENES:
        name += f" {asked.kind} {len(data)} {asked.image_size}"
    _print_metrics(name, numbers)
    rounded = {k: None if math.isnan(x) else round(x, 6) for k, x in numbers.items()}
    return rounded | {"data": name, "seconds_per_image": round(seconds, 4)}


def _finish(asked: Training, model: "nn.Module", out: Path, evaluate: bool) -> dict[str, Any]:
    """Write into the manifest what is known only now; each save is whole or not at all.

    Of several processes the first one writes; all of them measure.
    """
    import torch

    from teachseg import processes
    from teachseg.storage import load_pair, save_pair

    first = processes.rank() == 0
    processes.wait()  # the checkpoint is there
    tensors, facts = load_pair(out / "checkpoint")
    facts |= {"steps": asked.steps, "parameters": sum(p.numel() for p in model.parameters()),
              "threads": asked.threads or torch.get_num_threads(), "half": asked.half}
    facts |= _curve(out / "log.csv")
    if asked.half:  # what is measured is what is in the file
        tensors = {k: x.half() if x.is_floating_point() else x for k, x in tensors.items()}
        model.load_state_dict(tensors)
    processes.wait()  # all have read it
    if first:
        save_pair(out / "checkpoint", tensors, facts)
    if evaluate:
        facts["metrics"] = _metrics(asked, model)
        if first:
            save_pair(out / "checkpoint", tensors, facts)
    return facts


@contextmanager
def _resumable(out: Path, more: Sequence[str]) -> Iterator[None]:
    """Where Ctrl-C or SIGTERM ends the training: say what is kept and how to go on."""
    try:
        yield
    except KeyboardInterrupt as error:
        if not _begun(out):
            raise KeyboardInterrupt("Stopped before anything was saved.") from error
        said = str(error).split(". ")[0] or "Stopped"
        raise KeyboardInterrupt(
            f"{said}. Kept: {out / 'checkpoint.safetensors'}. Go on with:\n"
            f"  {shlex.join(['teachseg', 'train', '--out', str(out), '--resume', *more])}"
        ) from error


def _place(asked: Training) -> str:
    """Where it runs: "cpu", "2 x cuda", "4 machines of 8 x cuda"."""
    device = asked.device if asked.devices == 1 else f"{asked.devices} x {asked.device}"
    return device if asked.nodes == 1 else f"{asked.nodes} machines of {device}"


def _train(
    asked: Training, out: Path, resume: bool, workers: int, save_every: int, evaluate: bool
) -> None:
    """Check, build, train, measure."""
    if _begun(out) and not resume:
        raise ValueError(f"{out} holds a run already. Add --resume to go on with it, or choose "
                         "another folder: --out FOLDER.")
    if resume and _finished(asked, out, evaluate):
        typer.echo(f"The run in {out} is finished, after {asked.steps} steps. Measure it again: "
                   f"teachseg evaluate {shlex.quote(str(out))}")
        return
    from teachseg import checkpoints, processes
    from teachseg.checkpoints import describe
    from teachseg.storage import save_json
    from teachseg.train import fit, progress

    if int(os.environ.get("RANK", os.environ.get("LOCAL_RANK", 0))) > 0:
        sys.stdout = open(os.devnull, "w")  # the first process speaks
    page = checkpoints.page(asked.paper)
    recipe = _recipe(asked, workers, save_every)
    data = _open_data(asked, "train")
    classes = _class_names(data)
    model = _new_model(asked, len(classes), load_weights=not resume)
    facts = describe(model) | {
        "classes": list(classes), "data": asked.described_data(len(data)), "seed": asked.seed,
        "backbone_weights": asked.backbone_weights, "command": asked.command(),
        "teachseg": __version__,
    }
    if asked.start_from is not None:
        before = checkpoints.manifest(asked.start_from)
        facts["started_from"] = {name: before.get(name) for name in (
            "command", "config", "train", "data", "seed", "step", "seconds", "started_from")}
    parameters = sum(p.numel() for p in model.parameters())
    what = f"{len(data):,} pictures of {asked.data}, {len(classes)} classes"
    if asked.data == SCENES:
        what = f"{len(data):,} scenes ({asked.kind}, {asked.image_size} pixels)"
    typer.echo(f"{asked.paper} {asked.recipe or asked.config}: {parameters / 1e6:.2f} M "
               f"parameters; {what}; {asked.steps:,} steps of "
               f"{recipe.images_a_step} images on {_place(asked)}; files go to {out}")
    more = [] if evaluate else ["--no-evaluate"]
    with _resumable(out, more):
        records = fit(model, page.training_losses, data, recipe, out, facts, resume)
        first = processes.rank() == 0
        if first and not resume:
            save_json(out / "settings.json", facts | {"asked": asdict(asked)})
        for _ in progress(records, asked.steps) if first else records:
            pass
        facts = _finish(asked, model, out, evaluate)
    seconds, each = facts["seconds"], facts["seconds_per_step"]
    typer.echo(f"{asked.steps} steps in {seconds:.0f} s, {each:.2f} s a step. The model is "
               f"{out / 'checkpoint.safetensors'}; see it at work:\n  "
               + (f"teachseg demo --checkpoint {shlex.quote(str(out))}" if asked.data == SCENES else
                  f"teachseg predict PICTURES --checkpoint {shlex.quote(str(out))}"))


@app.command()
def train(
    ctx: typer.Context,
    paper: Annotated[Paper, typer.Option(help="Which paper's model.")] = Paper.mask_rcnn,
    config: Annotated[Size, typer.Option(
        help="course: small, for a CPU; paper: the full one, for a GPU; code: as MNC's was "
             "released.")] = Size.course,
    recipe: Annotated[str | None, typer.Option(
        help="A model, its training and its backbone's weights under one name: teachseg recipes.",
    )] = None,
    data: Annotated[str, typer.Option(help=f"What it learns from: {DataHelp}")] = SCENES,
    steps: Annotated[int | None, typer.Option(
        min=1, help="Updates of the weights.", show_default="1500, or the recipe's")] = None,
    batch_size: Annotated[int | None, typer.Option(
        min=1, help="Images at once.",
        show_default="8; with --config paper 2, of mnc 1; or the recipe's")] = None,
    accumulate: Annotated[int | None, typer.Option(
        min=1, help="Batches a step.", show_default="1, or the recipe's")] = None,
    learning_rate: Annotated[float | None, typer.Option(
        help="The largest.",
        show_default="0.002; with --config paper 0.00125 for each image of a step, of mnc "
                     "0.000125; or the recipe's, in proportion to the images of a step")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of every source of chance.")] = 0,
    images: Annotated[int | None, typer.Option(
        min=1, help="How many scenes.", show_default="a new one each time")] = None,
    image_size: SideOption = 128,
    kind: KindOption = Kind.mixed,
    out: Annotated[Path | None, typer.Option(
        help="Folder for all files.", show_default="runs/PAPER, runs/RECIPE")] = None,
    resume: Annotated[bool, typer.Option(
        "--resume", help="Go on with the run in --out, with the settings that it has.")] = False,
    device: DeviceOption = Device.auto,
    precision: Annotated[Precision | None, typer.Option(
        help="Of the numbers.", show_default="32-true, or the recipe's")] = None,
    threads: Annotated[int | None, typer.Option(
        min=1, help="Of the CPU.", show_default="torch's choice")] = None,
    workers: Annotated[int | None, typer.Option(
        min=0, help="Processes that read images; 0: the training one.",
        show_default="0, or the recipe's")] = None,
    save_every: Annotated[int | None, typer.Option(
        min=1, help="Steps from save to save.", show_default="200, or the recipe's")] = None,
    backbone_weights: Annotated[str | None, typer.Option(
        help="A name of torchvision's, say IMAGENET1K_V1, or a .safetensors file.",
        show_default="none, or the recipe's")] = None,
    freeze: Annotated[int | None, typer.Option(
        min=0, help="So many first stages of the backbone keep their weights.",
        show_default="0, or the recipe's")] = None,
    pictures: PicturesOption = None,
    one_class: OneClassOption = None,
    only: OnlyOption = None,
    skip_bad: Annotated[bool, typer.Option(
        "--skip-bad", help="Leave out pictures and annotations that are wrong, and list them.",
    )] = False,
    in_memory: Annotated[bool, typer.Option(
        "--in-memory", help="Read every picture once, and keep it.")] = False,
    scale: Annotated[tuple[float, float] | None, typer.Option(
        metavar="LOW HIGH", help="Make each picture smaller or larger by chance.",
        show_default="as it is, or the recipe's")] = None,
    crop: Annotated[int | None, typer.Option(
        min=1, help="A window of this side of each picture, pixels.",
        show_default="all of it, or the recipe's")] = None,
    colour: Annotated[float | None, typer.Option(
        min=0, max=0.99, help="Brighter, darker, more or less colourful by up to this share.",
        show_default="0, or the recipe's")] = None,
    start_from: Annotated[str | None, typer.Option(
        help="Begin with all weights of a checkpoint: a shipped one's name, or a path.")] = None,
    set: Annotated[list[str] | None, typer.Option(
        "--set", metavar="NAME=VALUE", help="Change a setting of the model; more than once, too.",
    )] = None,
    devices: Annotated[int | None, typer.Option(
        min=1, help="GPUs of this machine, or processes on its CPU.",
        show_default="1, or what torchrun says")] = None,
    nodes: Annotated[int | None, typer.Option(
        min=1, help="Machines.", show_default="1, or what torchrun says")] = None,
    channels_last: Annotated[bool, typer.Option(
        "--channels-last", help="Keep a pixel's channels side by side: faster on some GPUs.",
    )] = False,
    compile: Annotated[bool, typer.Option(
        "--compile", help="Compile the backbone; the first steps take minutes.")] = False,
    half: Annotated[bool, typer.Option(
        "--half", help="Store the finished weights in 16 bits: half the file.")] = False,
    evaluate: Annotated[bool, typer.Option(
        help=f"Measure it on {VALIDATION_SCENES} validation scenes at the end.")] = True,
) -> None:
    """Train a model from the beginning, or go on with a training that was stopped."""
    from teachseg import recipes

    known = recipes.find(recipe) if recipe else None
    if known and getattr(ctx.get_parameter_source("paper"), "name", "") == "COMMANDLINE" \
            and paper.value != known.paper:
        raise ValueError(f"--recipe {recipe} is one of {known.paper}: leave --paper out.")
    paper = Paper(known.paper) if known else paper

    def chosen(given: Any, name: str, otherwise: Any) -> Any:
        """What is given, else what the recipe says, else what is usual."""
        if given is not None:
            return given
        return getattr(known.train, name) if known else otherwise

    devices = devices or int(os.environ.get("LOCAL_WORLD_SIZE", 1))  # torchrun sets them
    nodes = nodes or int(os.environ.get("GROUP_WORLD_SIZE", 1))
    full = FULL_RECIPES[paper.value]
    usual = 8 if config.value == "course" else full.batch_size
    batch_size = chosen(batch_size, "batch_size", usual)
    accumulate = chosen(accumulate, "accumulate", 1)
    if learning_rate is None and known:
        learning_rate = recipes.adapted(known, batch_size=batch_size, accumulate=accumulate,
                                        devices=devices, nodes=nodes).learning_rate
    elif learning_rate is None:
        images_a_step = batch_size * accumulate * devices * nodes
        learning_rate = 2e-3 if config.value == "course" else full.rate * images_a_step
    steps = chosen(steps, "steps", 1500)
    drawn = data == SCENES
    asked = Training(
        paper=paper.value, config=config.value, data=data, steps=steps, batch_size=batch_size,
        learning_rate=learning_rate, seed=seed,
        images=(images or steps * batch_size * accumulate * devices * nodes) if drawn else None,
        image_size=image_size if drawn else None, kind=kind.value if drawn else None,
        device=_pick_device(device),
        precision=precision.value if precision else chosen(None, "precision", "32-true"),
        threads=threads, half=half, start_from=start_from, set=set or [], recipe=recipe,
        backbone_weights=backbone_weights or (known.weights if known and not start_from else None),
        freeze=freeze if freeze is not None else known.frozen_stages if known else 0,
        accumulate=accumulate, pictures=str(pictures) if pictures else None, one_class=one_class,
        only=only or [], skip_bad=skip_bad, in_memory=in_memory,
        scale=chosen(scale, "scale", None), crop=chosen(crop, "crop", None),
        colour=chosen(colour, "colour", 0.0), devices=devices, nodes=nodes,
        channels_last=channels_last, compile=compile,
    )
    workers, save_every = chosen(workers, "workers", 0), chosen(save_every, "save_every", 200)
    out = out or Path("runs", recipe or paper.value)
    if resume:
        given = {one.name for one in fields(asked)
                 if getattr(ctx.get_parameter_source(one.name), "name", "") == "COMMANDLINE"}
        given |= {name for name, word in (("devices", "LOCAL_WORLD_SIZE"),
                                          ("nodes", "GROUP_WORLD_SIZE")) if word in os.environ}
        asked = _as_begun(asked, given, out)
    _train(asked, out, resume, workers, save_every, evaluate)


# ---- evaluate -----------------------------------------------------------------------------------


@app.command()
def evaluate(
    checkpoint: Annotated[str, typer.Argument(help=CheckpointHelp)] = SHIPPED,
    data: Annotated[str | None, typer.Option(
        help=f"What it is measured on: {DataHelp}", show_default="what it learned from")] = None,
    split: Annotated[str, typer.Option(
        help="Of a data set: train, val, all. Of scenes any word; val was not learned from.",
    )] = "val",
    images: Annotated[int, typer.Option(min=1, help="How many scenes.")] = VALIDATION_SCENES,
    kind: KindOption = Kind.mixed,
    image_size: SideOption = 128,
    pictures: PicturesOption = None,
    one_class: OneClassOption = None,
    only: OnlyOption = None,
    device: DeviceOption = Device.auto,
    json_file: Annotated[Path | None, typer.Option(
        "--json", help="Write the numbers there, too.", show_default=False)] = None,
) -> None:
    """Measure a model: AP^r, COCO's AP and AR, time an image."""
    from teachseg import checkpoints
    from teachseg.datasets.layouts import open_dataset
    from teachseg.datasets.scenes import Scenes
    from teachseg.storage import save_json

    where = _pick_device(device)
    _check_file(json_file)
    learned = checkpoints.manifest(checkpoint).get("data") or {}
    if data is None and learned.get("name", SCENES) != SCENES:
        data, pictures = learned["name"], pictures or learned.get("pictures")
        one_class, only = one_class or learned.get("one_class"), only or learned.get("only")
    data = data or SCENES
    if data == SCENES:
        title, chosen = f"scenes {split} {kind.value} {images} {image_size}", None
        chosen = Scenes(split, images, image_size, kind.value)
    else:
        title = f"{data} {split}"
        chosen = open_dataset(data, split, pictures, "stop", one_class, only or None)
    classes = _class_names(chosen)
    model = checkpoints.load(checkpoint, len(classes))
    names = checkpoints.class_names(checkpoint)
    if tuple(names) != classes:
        raise ValueError(f"{checkpoint} knows the classes {', '.join(names[:5])}, ..., the data "
                         f"have {', '.join(classes[:5])}, ...: its answers would be compared with "
                         "other things. Take a checkpoint for these data.")
    numbers, seconds = _measure(model, chosen, where)
    _print_metrics(title, numbers)
    typer.echo(f"{numbers['images']} images with {numbers['objects']} objects, "
               f"{numbers['detections']} detections; {1000 * seconds:.1f} ms an image on {where}.")
    if json_file is not None:
        plain = {k: None if math.isnan(x) else x for k, x in numbers.items()}
        save_json(json_file, plain | {"data": title, "checkpoint": checkpoint, "device": where,
                                      "seconds_per_image": round(seconds, 5)})
        typer.echo(f"Written: {json_file}")


# ---- data, recipes ------------------------------------------------------------------------------

data_app = typer.Typer(no_args_is_help=True, help="Data sets: what there is, get one, check one.")
app.add_typer(data_app, name="data")


@data_app.command("list")
def data_list() -> None:
    """Data sets that can be fetched, and layouts that can be read."""
    from teachseg.datasets.downloads import SOURCES

    _print_table("Data sets: teachseg data get NAME", ["name", "what", "size", "licence"], [
        [name, source.title, source.pictures, source.licence] for name, source in SOURCES.items()])
    typer.echo("Your own: a folder with pictures and a JSON in COCO's format, as LabelMe, CVAT and "
               "others export it. Look at it first: teachseg data check PATH")


@data_app.command("get")
def data_get(
    name: Annotated[str, typer.Argument(help="Of teachseg data list.")],
    out: Annotated[Path | None, typer.Option(
        help="Folder for it.", show_default="sets/NAME")] = None,
) -> None:
    """Fetch a data set, check and unpack it; after a broken connection it goes on."""
    from tqdm import tqdm

    from teachseg.datasets import downloads

    out = out or Path("sets", name)
    bars: dict[str, tqdm] = {}

    def tell(file: str, have: int, total: int | None) -> None:
        if file not in bars:
            bars[file] = tqdm(total=total, unit="B", unit_scale=True, desc=file)
        bars[file].update(have - bars[file].n)

    opened = downloads.get(name, out, tell)
    for bar in bars.values():
        bar.close()
    typer.echo(f"{downloads.SOURCES[name].title} is in {out}. Look at it: teachseg data check "
               f"{shlex.quote(str(opened))}")


@data_app.command("check")
def data_check(
    path: Annotated[Path, typer.Argument(help=DataHelp.removeprefix("scenes, or "))],
    split: Annotated[str, typer.Option(help="train, val or all.")] = "all",
    pictures: PicturesOption = None,
    show: Annotated[int, typer.Option(min=1, help="How many problems are told.")] = 50,
) -> None:
    """Read every picture and annotation: what is there, what is wrong, and how to mend it."""
    from tqdm import tqdm

    from teachseg.datasets.layouts import layout_of, open_dataset
    from teachseg.datasets.problems import problems_of
    from teachseg.structures import crowd_of

    data = open_dataset(path, split, pictures, on_bad="skip")
    seen: dict[str, Any] = {"objects": Counter(), "crowds": 0, "sizes": [], "empty": 0}

    class Counting:
        """The data set, which counts what it gives."""

        names, problems = data.names, data.problems

        def __len__(self) -> int:
            return len(data)

        def __getitem__(self, index: int) -> Any:
            image, targets = data[index]
            seen["objects"].update(targets.labels.tolist())
            seen["crowds"] += len(crowd_of(targets).labels)
            seen["sizes"].append(max(image.shape[1:]))
            seen["empty"] += len(targets.labels) == 0
            return image, targets

    found, lost = list(data.problems), 0
    for _, problems, usable in tqdm(problems_of(Counting()), total=len(data), unit="image",
                                    leave=False, disable=None):
        found += problems
        lost += not usable
    objects = seen["objects"]
    typer.echo(f"{path}: {layout_of(path)}, {split}; {len(data):,} pictures"
               + (f", longest sides {min(seen['sizes'])} to {max(seen['sizes'])} pixels"
                  if seen["sizes"] else ""))
    typer.echo(f"{objects.total():,} objects of {len(objects)} of {len(data.classes)} classes, "
               f"{seen['crowds']:,} crowd regions, {seen['empty']:,} pictures without objects")
    common = [f"{data.classes[label - 1]} {count:,}" for label, count in objects.most_common(8)]
    typer.echo(", ".join(common) + (", ..." if len(objects) > 8 else ""))
    for problem in found[:show]:
        typer.echo(f"- {problem}")
    if len(found) > show:
        typer.echo(f"... and {len(found) - show:,} more: --show {len(found)}")
    if found:
        raise ValueError(f"{len(found):,} problems; {lost:,} pictures cannot be used at all. Mend "
                         "them, or train without them: teachseg train --skip-bad.")
    typer.echo("Nothing is wrong.")


@app.command("recipes")
def recipes_command() -> None:
    """Models with their trainings, under one name: for teachseg train --recipe."""
    from teachseg.recipes import RECIPES

    for name, one in RECIPES.items():
        typer.echo(f"{name}\n    {one.title}; {one.train.steps:,} steps of "
                   f"{one.train.images_a_step} images of {one.data}")
        for said in one.expects or [None]:
            if said is None:
                typer.echo("    not measured yet")
                continue
            time_ = f"; {said.hours:g} hours on {said.gpu}" if said.hours else ""
            memory = f", {said.gpu_memory:g} GB on each" if said.gpu_memory else ""
            typer.echo(f"    {said.accuracy}{time_}{memory} [{said.source}]")
        typer.echo(f"    a picture of 640 x 480 (or a window) takes {one.pass_seconds:g} s and "
                   f"{one.pass_gb:g} GB on 2 CPU cores in 32 bits [measured by us: "
                   "data/results/bench/recipes.json]")
    typer.echo("Use one: teachseg train --recipe NAME --data PATH")


# ---- tables -------------------------------------------------------------------------------------

tables_app = typer.Typer(
    no_args_is_help=True, help="The papers' tables in miniature: what they say; run them again.")
app.add_typer(tables_app, name="tables")
TABLES_SHIPPED = ROOT / "data" / "results" / "tables"
TABLES_OWN = Path("runs", "tables")

NamesArgument = Annotated[list[str] | None, typer.Argument(
    metavar="[NAME]...", help="Of tables.", show_default="all")]


def _tables(names: Sequence[str] | None) -> list[Any]:
    """Tables by their names; all, where none is named."""
    from teachseg.tables.specs import TABLES, find

    return [find(name) for name in names] if names else list(TABLES.values())


def _results_file(folder: Path, table: Any) -> Path:
    return folder / f"{table.name}.json"


@tables_app.command("list")
def tables_list(
    results: Annotated[Path, typer.Option(
        help="Folder of results.", show_default="the course's")] = TABLES_SHIPPED,
) -> None:
    """Which tables there are, and how many of their runs."""
    from teachseg.tables.runs import load_results

    rows = []
    for table in _tables(None):
        runs = load_results(_results_file(results, table), table)
        seeds = sorted({one["seed"] for one in runs})
        rows.append([table.name, table.paper, str(len(table.cells)), str(len(runs)),
                     ", ".join(map(str, seeds)) or "-", table.title])
    _print_table("", ["table", "paper", " cells", " runs", "seeds", "question"], rows)
    typer.echo("teachseg tables show NAME prints one, teachseg tables run NAME measures it anew.")


@tables_app.command("show")
def tables_show(
    names: NamesArgument = None,
    results: Annotated[Path, typer.Option(
        help="Folder of results.", show_default="the course's")] = TABLES_SHIPPED,
) -> None:
    """The paper's numbers beside ours, and what the spread over seeds allows to say."""
    from teachseg.tables import report
    from teachseg.tables.runs import load_results

    for table in _tables(names):
        runs = load_results(_results_file(results, table), table)
        _print_table(f"{table.title} ({table.name}; {table.measure}, in points)",
                     ["cell", " paper", " here: mean ± deviation (runs)"],
                     report.rows(table, runs))
        for one in table.compare:
            typer.echo(f"- {report.sentence(table, runs, one)}")
        for said in report.divergences(table, runs):
            typer.echo(f"- {said}")
        typer.echo(f"Paper: {table.source}. {table.note}".rstrip())
        typer.echo(f"Runs: {report.where(runs)}.")


@tables_app.command("run")
def tables_run(
    names: NamesArgument = None,
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each cell.")] = 3,
    results: Annotated[Path, typer.Option(
        help="Folder for NAME.json of each table; runs that it holds are not run again.",
    )] = TABLES_OWN,
    out: Annotated[Path, typer.Option(help="Folder where trainings are kept.")] = TABLES_OWN,
    jobs: Annotated[int | None, typer.Option(
        min=1, help="Trainings at once.", show_default="a core each; 4 on a GPU")] = None,
    threads: Annotated[int | None, typer.Option(
        min=1, help="Of each on the CPU.", show_default="all cores shared out")] = None,
    device: DeviceOption = Device.auto,
    steps: Annotated[int | None, typer.Option(
        min=1, help="Of each training.", show_default="the table's")] = None,
    test_scenes: Annotated[int | None, typer.Option(
        min=1, help="That each is tested on.", show_default="the table's")] = None,
) -> None:
    """Train and test the cells of tables. After Ctrl-C the same command goes on."""
    from teachseg.storage import make_folder
    from teachseg.tables import runs as runner

    wanted, where = _tables(names), _pick_device(device)
    other = {name: value for name, value in (("steps", steps), ("test_scenes", test_scenes))
             if value is not None}
    make_folder(results)
    there = {t.name: runner.load_results(_results_file(results, t), t) for t in wanted}
    for table in wanted:
        runner.check_continues(_results_file(results, table), there[table.name],
                               replace(table.budget, **other), where)
    todo = runner.jobs(wanted, range(seeds), there,
                       lambda table: replace(table.budget, **other))
    if not todo:
        typer.echo(f"All runs of {len(wanted)} table(s) with {seeds} seeds are there: "
                   f"teachseg tables show --results {results}")
        return
    workers = jobs or (min(4, runner.cores()) if where == "cuda" else runner.cores())
    workers = min(workers, len(todo))
    threads = threads or max(1, runner.cores() // workers)
    words = ["teachseg", "tables", "run", "NAME", "--seeds", str(seeds)]
    words += [word for name, value in other.items() for word in (_flag(name), str(value))]
    by_name = {table.name: table for table in wanted}
    typer.echo(f"{len(todo)} trainings, {workers} at once, {threads} thread(s) each.")
    started, done = time.perf_counter(), 0
    try:
        for _job, records in runner.run_jobs(todo, out, where, workers, threads):
            done += 1
            left = (time.perf_counter() - started) / done * (len(todo) - done) / 60
            for name, record in records:
                table = by_name[name]
                runner.add_result(_results_file(results, table), table, record,
                                  shlex.join(words).replace("NAME", name))
            name, record = records[0]
            said = (f"diverged: {record['diverged']}" if record["numbers"] is None else
                    f"{by_name[name].measure} {100 * record['numbers'][by_name[name].measure]:.1f}")
            more = f" and {len(records) - 1} more cells" if len(records) > 1 else ""
            typer.echo(f"[{done}/{len(todo)}] {name}: {record['cell']}{more}, seed "
                       f"{record['seed']}: {said} ({record['training_seconds']:.0f} s); about "
                       f"{left:.0f} minutes left")
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"Stopped after {done} of {len(todo)} trainings. Those that were "
                                "running are saved: the same command goes on.") from None
    typer.echo(shlex.join(["teachseg", "tables", "show", "--results", str(results)]))


# ---- predict ------------------------------------------------------------------------------------


def _pictures_in(paths: Sequence[Path], problems: list[str]) -> list[Path]:
    """Files as they are named, of folders the pictures in them; each once."""
    pictures: dict[Path, Path] = {}
    for path in paths:
        inside = [path]
        if path.is_dir():
            inside = sorted(p for p in path.iterdir()
                            if p.suffix.lower() in PICTURE_ENDINGS and p.is_file())
            if not inside:
                problems.append(f"There is no picture in the folder {path}.")
        for picture in inside:
            pictures.setdefault(picture.resolve(), picture)
    return list(pictures.values())


def _from_folder(picture: Path, folder: Path) -> str:
    """A picture's path as seen from a folder, so that both can move together."""
    try:
        return Path(os.path.relpath(picture.resolve(), folder.resolve())).as_posix()
    except ValueError:  # another drive
        return picture.resolve().as_posix()


def _free_name(picture: Path, out: Path, inputs: set[Path]) -> str:
    """NAME, or NAME-2, ...: no input's, and no other file's than an older result of this one."""
    from teachseg.storage import load_json

    for number in itertools.count(1):
        name = picture.stem if number == 1 else f"{picture.stem}-{number}"
        files = [out / f"{name}.png", out / f"{name}.json"]
        if inputs & {file.resolve() for file in files}:
            continue
        if not any(file.exists() for file in files):
            return name
        try:
            older = load_json(files[1])
        except ValueError:  # none, or somebody else's
            continue
        if isinstance(older, dict) and older.get("made_by") == MADE_BY \
                and older.get("image") == _from_folder(picture, out):
            return name
    raise AssertionError("count() has no end")


def _as_json(found: "Detections", names: Sequence[str]) -> dict[str, Any]:
    """What was found, as lists of equal length, best first; masks as COCO's compressed RLE."""
    from teachseg.evaluate import encode

    masks = [one | {"counts": one["counts"].decode("ascii")}  # one at a time: photos are large
             for i in range(len(found.labels))
             for one in encode(type(found)(*(part[i : i + 1] for part in found))).rles()]
    return {
        "image_size": list(found.masks.shape[1:]),
        "boxes": [[round(x, 2) for x in box] for box in found.boxes.tolist()],
        "labels": found.labels.tolist(),
        "names": [names[label - 1] for label in found.labels.tolist()],
        "scores": [round(score, 4) for score in found.scores.tolist()],
        "masks": masks,
    }


def _look(model: "nn.Module", image: "Tensor", score: float, max_side: int) -> "Detections":
    """What is in one picture, in its own pixels; one of a longer side is looked at smaller."""
    config = model.config
    changes: dict[str, Any] = {"min_score": score}  # what is not shown need not be pasted
    if config.min_side is None and max(image.shape[1:]) > max_side:
        changes |= {"min_side": min(image.shape[1:]), "max_side": max_side}
    model.config = replace(config, **changes)
    try:
        return _predictor(model)(model, [image])[0].to("cpu")
    finally:
        model.config = config


def _said(found: "Detections", names: Sequence[str]) -> str:
    """How many of what: "3 objects (2 disc, 1 ring)"."""
    counts = Counter(names[label - 1] for label in found.labels.tolist())
    of_which = ", ".join(f"{n} {name}" for name, n in counts.most_common())
    total = len(found.labels)
    return f"{total} object{'' if total == 1 else 's'}" + (f" ({of_which})" if counts else "")


@app.command()
def predict(
    images: Annotated[list[Path], typer.Argument(help="Pictures, or folders of pictures.")],
    checkpoint: CheckpointOption = SHIPPED,
    out: Annotated[Path, typer.Option(
        help="Folder for NAME.png and NAME.json of each.")] = Path("teachseg-found"),
    score: ScoreOption = SHOWN_SCORE,
    device: DeviceOption = Device.auto,
    max_side: Annotated[int, typer.Option(
        min=32, help="A larger picture is looked at in this size, pixels.")] = 1024,
) -> None:
    """Find the objects in pictures; write each with them drawn in, and a JSON file."""
    from teachseg import checkpoints
    from teachseg.datasets.pictures import read_image, write_image
    from teachseg.plot import overlay
    from teachseg.storage import make_folder, save_json

    where = _pick_device(device)
    model = checkpoints.load(checkpoint).to(where)
    names = checkpoints.class_names(checkpoint)
    make_folder(out)
    problems: list[str] = []
    pictures = _pictures_in(images, problems)
    inputs = {picture.resolve() for picture in pictures}
    for picture in pictures:
        try:
            image = read_image(picture)
            found = _look(model, image.to(where), score, max_side)
        except ValueError as error:
            said = str(error)
            problems.append(said if str(picture) in said else f"{picture}: {said}")
            continue
        name = _free_name(picture, out, inputs)
        about = {"made_by": MADE_BY, "image": _from_folder(picture, out),
                 "checkpoint": checkpoint, "least_score": score}
        save_json(out / f"{name}.json", about | _as_json(found, names))
        write_image(out / f"{name}.png", overlay(image, found, names))
        typer.echo(f"{picture}: {_said(found, names)} -> {out / name}.png, .json")
    if problems:
        raise ValueError("\nError: ".join(problems))


# ---- lab ----------------------------------------------------------------------------------------


def lab_command(
    notebook: Path, port: int | None = None, browser: bool = True
) -> tuple[Path, list[str]]:
    """The folder to start JupyterLab in, and the words that start it.

    It answers on 127.0.0.1 alone, whatever the user's configuration says, and keeps its token.

    Args:
        notebook: looked for from here, then from the course's folder.
        port: JupyterLab takes 8888 or the next free one where it is None.

    Raises:
        ValueError: there is no such notebook, or no JupyterLab.
    """
    places = [notebook.absolute(), ROOT / notebook]
    file = next((place for place in places if place.is_file()), None)
    if file is None:
        raise ValueError(f"There is no notebook {notebook}, neither here nor in {ROOT}. The "
                         "course's notebooks come with its repository: clone it, and install it "
                         "from there (pip install -e .).")
    if util.find_spec("jupyterlab") is None:
        raise ValueError("JupyterLab is not installed in this Python. Install it: python -m pip "
                         "install jupyterlab")
    folder = ROOT if file.is_relative_to(ROOT) else file.parent
    page = quote(file.relative_to(folder).as_posix())  # so that the printed address leads there too
    words = [sys.executable, "-m", "jupyterlab", "--ServerApp.ip=127.0.0.1",
             f"--ServerApp.root_dir={folder}", f"--LabApp.default_url=/lab/tree/{page}"]
    words += [] if port is None else [f"--ServerApp.port={port}"]
    words += [] if browser else ["--no-browser"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:  # in a container, where root is all there is
        words.append("--allow-root")
    return folder, words


@app.command()
def lab(
    notebook: Annotated[Path, typer.Argument(help="Which one to open.")] = FIRST_NOTEBOOK,
    port: Annotated[int | None, typer.Option(
        min=1, max=65535, help="Where it listens.", show_default="8888 or the next")] = None,
    browser: Annotated[bool, typer.Option(help="Open it in the browser.")] = True,
) -> None:
    """Open the course in JupyterLab, on this machine alone. Ctrl-C ends it."""
    folder, words = lab_command(notebook, port, browser)
    cells.set_up(Path(sys.prefix))
    typer.echo(f"Starting JupyterLab in {folder}; open the address with the token that it prints. "
               "Ctrl-C ends it.")
    sys.stdout.flush()
    if os.name == "posix":
        os.chdir(folder)
        os.execv(words[0], words)  # from here on it gets the signals itself
    raise typer.Exit(subprocess.run(words, cwd=folder, check=False).returncode)


# ---- workbook -----------------------------------------------------------------------------------


def copy_to_work_in(number: str, out: Path, notebooks: Path) -> Path:
    """Copy a notebook of the course under a name that is still free; -> the copy.

    Args:
        number: of the notebook, "10" or "4".
        out: folder of the copy: NAME.ipynb, or NAME-2.ipynb, ... where that is taken.
        notebooks: where the course's own are.

    Raises:
        ValueError: no such notebook, or the folder cannot be made.
    """
    from teachseg.storage import make_folder

    there = {file.name[:2]: file for file in sorted(notebooks.glob("[0-9][0-9]_*.ipynb"))}
    source = there.get(number.zfill(2))
    if source is None:
        known = f"Those that stand today: {', '.join(there)}." if there else (
            "The course's notebooks come with its repository: clone it, and install it from there "
            "(pip install -e .).")
        raise ValueError(f"There is no notebook {number} in {notebooks}. {known}")
    content = source.read_bytes()
    make_folder(out)
    for copies in itertools.count(1):
        copy = out / (source.name if copies == 1 else f"{source.stem}-{copies}.ipynb")
        try:
            with copy.open("xb") as file:  # x: never an existing file, whoever made it
                file.write(content)
        except FileExistsError:
            continue
        return copy
    raise AssertionError("count() has no end")


@app.command()
def workbook(
    number: Annotated[str, typer.Argument(help="Of the notebook: 00, 10, ...")],
    out: Annotated[Path, typer.Option(help="Folder for the copy.")] = Path("workbook"),
) -> None:
    """Copy a notebook to work in; an update of the course leaves the copy alone."""
    copy = copy_to_work_in(number, out, ROOT / "notebooks")
    typer.echo(f"Yours to write in: {copy}\nOpen it:\n  teachseg lab {shlex.quote(str(copy))}")


# ---- exercises ----------------------------------------------------------------------------------


@app.command()
def exercises(
    lesson: Annotated[str | None, typer.Option(
        help="Only this lesson's: 10, ...", show_default="all")] = None,
) -> None:
    """List the exercises, and which of them you have solved."""
    from teachseg.exercises.desk import table
    from teachseg.exercises.record import record_file

    rows = table()
    of_lesson = [row for row in rows if lesson is None or row[0] == lesson.zfill(2)]
    if not of_lesson:
        numbers = ", ".join(sorted({row[0] for row in rows}))
        raise ValueError(f"Lesson {lesson} has no exercises. Those that have: {numbers}.")
    _print_table("", ["lesson", "exercise", "state", "title"],
                 [(number, name, state, title) for number, name, title, state in of_lesson])
    solved = sum(state == "solved" for *_, state in of_lesson)
    typer.echo(f"{solved} of {len(of_lesson)} solved. Kept in {record_file()}")


def main() -> None:
    """The entry point `teachseg`."""
    app(prog_name="teachseg")


if __name__ == "__main__":
    main()
