"""The course's notebooks: found by their lesson's number, by their title, and copied.

No boxes here.

Lesson: 00
"""

import itertools
import json
import re
from pathlib import Path

WORKBOOK = Path("workbook")  # where copies lie that nobody named a folder for


def numbered(notebooks: Path) -> dict[str, Path]:
    """The notebooks of a folder by their lesson's number, "00" first."""
    return {file.name[:2]: file for file in sorted(notebooks.glob("[0-9][0-9]_*.ipynb"))}


def course_notebook(number: str, notebooks: Path) -> Path:
    """The notebook of a lesson.

    Args:
        number: of the lesson, "10" or "4".
        notebooks: where the course's own are.

    Raises:
        ValueError: there is none.
    """
    there = numbered(notebooks)
    source = there.get(number.zfill(2))
    if source is None:
        known = f"Those that stand today: {', '.join(there)}." if there else (
            "The course's notebooks come with its repository: clone it, and install it from there "
            "(pip install -e .).")
        raise ValueError(f"There is no notebook {number} in {notebooks}. {known}")
    return source


def title_of(notebook: Path) -> str:
    """A notebook's title without its number: "# 05 · The region proposal network" says it.

    The file's first characters are enough; a notebook that begins otherwise is called as its file.
    """
    with open(notebook, encoding="utf-8") as file:
        heading = re.search(r'"# \d\d \S ((?:[^"\\]|\\.)+)', file.read(2000))
    if heading is None:
        return notebook.stem[3:].replace("_", " ")
    return json.loads(f'"{heading[1]}"').splitlines()[0]


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
