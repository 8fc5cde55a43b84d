"""`teachseg workbook`: a copy of a notebook to work in, which overwrites nothing.

No boxes here.

Lesson: 00
"""

import itertools
import re
import shlex
from pathlib import Path
from typing import Annotated

import typer

from teachseg.cli.options import ROOT
from teachseg.cli.program import app

WORKBOOK = Path("workbook")  # where copies lie that nobody named a folder for


def course_notebook(number: str, notebooks: Path) -> Path:
    """The notebook of a lesson.

    Args:
        number: of the lesson, "10" or "4".
        notebooks: where the course's own are.

    Raises:
        ValueError: there is none.
    """
    there = {file.name[:2]: file for file in sorted(notebooks.glob("[0-9][0-9]_*.ipynb"))}
    source = there.get(number.zfill(2))
    if source is None:
        known = f"Those that stand today: {', '.join(there)}." if there else (
            "The course's notebooks come with its repository: clone it, and install it from there "
            "(pip install -e .).")
        raise ValueError(f"There is no notebook {number} in {notebooks}. {known}")
    return source


def copy_to_work_in(number: str, out: Path, notebooks: Path) -> Path:
    """Copy a notebook of the course under a name that is still free; -> the copy.

    Args:
        number, notebooks: as for `course_notebook`.
        out: folder of the copy: NAME.ipynb, or NAME-2.ipynb, ... where that is taken.

    Raises:
        ValueError: no such notebook, or the folder cannot be made.
    """
    from teachseg.storage import make_folder

    source = course_notebook(number, notebooks)
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


def copies_of(source: Path, out: Path) -> list[Path]:
    """The copies of a notebook that `copy_to_work_in` made in a folder, the last changed first."""
    named = re.compile(rf"{re.escape(source.stem)}(-\d+)?\.ipynb")
    found = [file for file in out.glob("*.ipynb") if named.fullmatch(file.name)]
    return sorted(found, key=lambda file: file.stat().st_mtime, reverse=True)


@app.command()
def workbook(
    number: Annotated[str, typer.Argument(help="Which notebook: 00, 10, ...")],
    out: Annotated[Path, typer.Option(help="Folder for the copy.")] = WORKBOOK,
) -> None:
    """Copy a notebook to work in; an update of the course leaves the copy alone."""
    copy = copy_to_work_in(number, out, ROOT / "notebooks")
    typer.echo(f"Yours to write in: {copy}\nOpen it:\n  teachseg lab {shlex.quote(str(copy))}")
