"""`teachseg workbook`: a copy of a notebook to work in, which overwrites nothing.

No boxes here.

Lesson: 00
"""

import itertools
import shlex
from pathlib import Path
from typing import Annotated

import typer

from teachseg.cli.options import ROOT
from teachseg.cli.program import app


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
