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

from teachseg import cells
from teachseg.cli.options import ROOT
from teachseg.cli.program import app

FIRST_NOTEBOOK = Path("notebooks", "00_start_here.ipynb")


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
