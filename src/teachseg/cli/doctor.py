"""`teachseg doctor`: what the course needs, part by part, and how to mend it.

No boxes here.

Lesson: 00
"""

import platform
import shutil
import sys
import tempfile
from collections.abc import Callable
from importlib import metadata, util
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from teachseg import __version__
from teachseg.cli.completion import MODELS
from teachseg.cli.options import SHIPPED
from teachseg.cli.printing import print_table
from teachseg.cli.program import app, examples

CHECKPOINTS = (*MODELS, "course_backbone")  # that the course brings
DISK_NEEDED = 2e9  # bytes that runs, checkpoints and pictures may take


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


def lacking() -> dict[str, str]:
    """Packages that are needed and not here in such a version: as pip is asked for them -> why."""
    from packaging.requirements import Requirement

    needed = [Requirement(line) for line in metadata.requires("teachseg") or []]
    wrong = {}
    for one in needed:
        if one.marker is not None and not one.marker.evaluate({"extra": ""}):
            continue
        asked = f"{one.name}{one.specifier}"
        try:
            version = metadata.version(one.name)
            if not one.specifier.contains(version, prereleases=True):
                wrong[asked] = f"{one.name} is {version}, needed {one.specifier}"
        except metadata.PackageNotFoundError:
            wrong[asked] = f"{one.name} is missing"
    return wrong


def _check_packages() -> str:
    wrong = lacking()
    if wrong:
        raise Wrong("; ".join(wrong.values()), MENDS["packages"])
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

    wrong = broken_checkpoints(checkpoints.SHIPPED)
    if wrong:
        raise Wrong(" ".join(wrong.values()), MENDS["data"])
    classes = checkpoints.load(SHIPPED).config.num_classes
    return f"{', '.join(CHECKPOINTS)}: whole; {SHIPPED} knows {classes} classes"


def broken_checkpoints(folder: Path) -> dict[str, str]:
    """The course's checkpoints that are missing or not whole -> what is wrong with each."""
    from teachseg.storage import load_pair

    wrong = {}
    for name in CHECKPOINTS:
        try:
            load_pair(folder / name)
        except ValueError as error:
            wrong[name] = str(error)
    return wrong


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


PIP = ("-m", "pip", "install")
COMMANDS = {  # words behind `python`: what `doctor --mend` runs for a part that is broken
    "packages": (*PIP, "-e", "."),
    "torch": (*PIP, "--upgrade", "--force-reinstall", "torch", "torchvision"),
    "torchvision": (*PIP, "--upgrade", "--force-reinstall", "torch", "torchvision"),
    "numpy": (*PIP, "--upgrade", "--force-reinstall", "numpy"),
    "widgets": (*PIP, "--upgrade", "--force-reinstall", "ipywidgets", "jupyterlab_widgets"),
    "jupyterlab": (*PIP, "--upgrade", "jupyterlab"),
    "kernel": ("-m", "ipykernel", "install", "--sys-prefix", "--name", "python3"),
}
_SAID = {part: f"python {' '.join(words)}" for part, words in COMMANDS.items()}
MENDS = {
    "Python": "Install a 64-bit Python 3.11 or newer, and make the environment again.",
    "packages": f"In the course's folder: {_SAID['packages']}",
    "torch": _SAID["torch"],
    "torchvision": f"Install the two together: {_SAID['torchvision']}",
    "numpy": _SAID["numpy"],
    "widgets": f"{_SAID['widgets']}; then start JupyterLab again",
    "jupyterlab": _SAID["jupyterlab"],
    "kernel": _SAID["kernel"],
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


@app.command(epilog=examples(
    "teachseg doctor",
    "teachseg doctor --mend",
))
def doctor(
    mend: Annotated[bool, typer.Option(
        "--mend", help="Run the command that mends each part, and look again.")] = False,
) -> None:
    """Check all that the course needs, and say how to mend what is wrong, or mend it."""
    rows = [_examine(part, check) for part, check in CHECKS.items()]
    broken = [row for row in rows if not row.ok]
    print_table("", ["", "part", "found", *(["how to mend it"] if broken else [])],
                [["OK" if row.ok else "WRONG", row.part, row.found,
                  *([row.mend] if broken else [])] for row in rows])
    if not broken:
        typer.echo("All is well. teachseg lab opens the course.")
        return
    parts = [row.part for row in broken]
    typer.echo(f"To be mended: {', '.join(parts)}. Begin at the top: one may be the cause of the "
               "next.")
    if mend:
        from teachseg.cli.mend import mend_parts

        raise typer.Exit(mend_parts(parts))
    if set(parts) & {*COMMANDS, "data"}:
        typer.echo("teachseg doctor --mend runs these commands.")
    raise typer.Exit(1)
