"""`teachseg lab`: the course in JupyterLab, on this machine alone.

No boxes here.

Lesson: 00
"""

import os
import subprocess
import sys
from importlib import util
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer

from teachseg import cells, places
from teachseg.cli import completion
from teachseg.cli.notebooks import WORKBOOK, copies_of, copy_to_work_in, course_notebook
from teachseg.cli.options import ROOT
from teachseg.cli.program import app, examples

FIRST_NOTEBOOK = Path("notebooks", "00_start_here.ipynb")


def which_notebook(asked: str | None) -> tuple[Path, str]:
    """The notebook that is meant, and a sentence that says which one it is.

    Args:
        asked: a lesson's number, a path, or None: the one last worked on, and at first 00.

    Raises:
        ValueError: there is no such notebook.
    """
    if asked is None:
        last = cells.last_notebook()
        if last is None:
            return _course_or_copy(_lesson(FIRST_NOTEBOOK.name[:2]), "the course's first one")
        return _course_or_copy(last, "the one that you last worked on")
    if asked.isdecimal():
        return _course_or_copy(_lesson(asked), f"lesson {asked.zfill(2)}")
    return _course_or_copy(_found(Path(asked)), "as asked")


def _lesson(number: str) -> Path:
    return course_notebook(number, ROOT / "notebooks")


def _found(notebook: Path) -> Path:
    """A path as it is seen from here, or from the course's folder."""
    ways = (notebook.absolute(), ROOT / notebook)
    file = next((way for way in ways if way.is_file()), None)
    if file is None:
        raise ValueError(f"There is no notebook {notebook}, neither here nor in {ROOT}. A lesson's "
                         "number opens its notebook: teachseg lab 12.")
    return file


def _course_or_copy(file: Path, why: str) -> tuple[Path, str]:
    """Of an installed library's notebooks a copy in ./workbook, so that the next update takes
    nothing of the learner's away; all others as they are."""
    ways = "The first one: teachseg lab 00. Another: teachseg lab NUMBER, or teachseg lab PATH."
    if places.in_clone() or not file.is_relative_to(ROOT):
        return file, f"Opening {file.name}, {why}.\n{ways}"
    copies = copies_of(file, WORKBOOK)
    copy = copies[0] if copies else copy_to_work_in(file.name[:2], WORKBOOK, ROOT / "notebooks")
    made = "your copy" if copies else "a copy made now"
    return copy.absolute(), (f"Opening {copy}, {why}. It is {made}: the course's own lies among "
                             f"the installed packages.\n{ways}")


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
    file = _found(notebook)
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


@app.command(epilog=examples(
    "teachseg lab",
    "teachseg lab 12",
    "teachseg lab 00 --no-browser --port 9000",
))
def lab(
    notebook: Annotated[str | None, typer.Argument(
        help="Which one: a lesson's number, or a path.", autocompletion=completion.lessons,
        show_default="the one last worked on, and at first 00")] = None,
    port: Annotated[int | None, typer.Option(
        min=1, max=65535, help="Where it listens.", show_default="8888 or the next")] = None,
    browser: Annotated[bool, typer.Option(help="Open it in the browser.")] = True,
) -> None:
    """Open the course in JupyterLab, where you were last, on this machine alone. Ctrl-C ends it."""
    file, sentence = which_notebook(notebook)
    folder, words = lab_command(file, port, browser)
    cells.set_up(Path(sys.prefix))
    typer.echo(sentence)
    typer.echo(f"Starting JupyterLab in {folder}; open the address with the token that it prints. "
               "Ctrl-C ends it.")
    sys.stdout.flush()
    if os.name == "posix":
        os.chdir(folder)
        os.execv(words[0], words)  # from here on it gets the signals itself
    raise typer.Exit(subprocess.run(words, cwd=folder, check=False).returncode)
