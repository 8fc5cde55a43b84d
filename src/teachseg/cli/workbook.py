"""`teachseg workbook`: a copy of a notebook to work in, which overwrites nothing.

No boxes here.

Lesson: 00
"""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from teachseg.cli import completion
from teachseg.cli.notebooks import WORKBOOK, copy_to_work_in
from teachseg.cli.options import ROOT
from teachseg.cli.program import app, examples


@app.command(epilog=examples("teachseg workbook 10"))
def workbook(
    number: Annotated[str, typer.Argument(
        help="Which notebook: 00, 10, ...", autocompletion=completion.lessons)],
    out: Annotated[Path, typer.Option(help="Folder for the copy.")] = WORKBOOK,
) -> None:
    """Copy a notebook to work in; an update of the course leaves the copy alone."""
    copy = copy_to_work_in(number, out, ROOT / "notebooks")
    typer.echo(f"Yours to write in: {copy}\nOpen it:\n  teachseg lab {shlex.quote(str(copy))}")
