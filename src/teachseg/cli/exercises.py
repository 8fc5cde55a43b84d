"""`teachseg exercises`: how they stand, lesson by lesson, and which one is next.

No boxes here.

Lesson: 00
"""

import textwrap
from collections.abc import Sequence
from itertools import groupby
from typing import Annotated

import typer

from teachseg.cli import completion
from teachseg.cli.notebooks import course_notebook, title_of
from teachseg.cli.options import ROOT
from teachseg.cli.printing import print_table
from teachseg.cli.program import app, examples

Row = tuple[str, str, str, str]  # lesson, name, title, how it stands; as desk.table gives it
SOLVED, UNTRIED = "solved", "not tried"
TITLE = 40  # characters of a lesson's title
MARKS = "# solved, + tried, . not tried"


def next_one(rows: Sequence[Row]) -> Row | None:
    """The exercise to go on with; None where all are solved.

    It is the first one that is not solved, beginning with the last lesson of which any was tried:
    there are several ways through the course.
    """
    tried = [row[0] for row in rows if row[3] != UNTRIED]
    here = max(tried, default=rows[0][0])
    ordered = [row for row in rows if row[0] >= here] + [row for row in rows if row[0] < here]
    return next((row for row in ordered if row[3] != SOLVED), None)


def overview(rows: Sequence[Row]) -> list[str]:
    """A line a lesson: its number and title, a mark for each exercise, how many are solved."""
    lessons = [(number, [row[3] for row in group])
               for number, group in groupby(rows, key=lambda row: row[0])]
    wide = max(len(states) for _, states in lessons)
    lines = []
    for number, states in lessons:
        bar = "".join({SOLVED: "#", UNTRIED: "."}.get(state, "+") for state in states)
        lines.append(f"{number}  {_title(number):<{TITLE}}  {bar:<{wide}}  {_count(states)}")
    return lines


def _title(number: str) -> str:
    try:
        title = title_of(course_notebook(number, ROOT / "notebooks"))
    except (ValueError, OSError):  # an installation without notebooks
        return ""
    return textwrap.shorten(title, TITLE, placeholder=" ...")


def _count(states: Sequence[str]) -> str:
    solved = states.count(SOLVED)
    tried = len(states) - solved - states.count(UNTRIED)
    return f"{solved} of {len(states)} solved" + (f", {tried} tried" if tried else "")


@app.command(epilog=examples(
    "teachseg exercises",
    "teachseg exercises --lesson 10",
))
def exercises(
    lesson: Annotated[str | None, typer.Option(
        help="List this lesson's: 10, ...", show_default="an overview",
        autocompletion=completion.lessons_with_exercises)] = None,
    everything: Annotated[bool, typer.Option("--all", help="List all of them.")] = False,
) -> None:
    """How your exercises stand, lesson by lesson, and which one is next."""
    from teachseg.exercises.desk import table
    from teachseg.exercises.record import record_file

    if lesson is not None and everything:
        raise ValueError("Either --lesson or --all, not both: leave one out.")
    rows = table()
    if lesson is None and not everything:
        typer.echo("\n".join([*overview(rows), f"\n{MARKS}"]))
    else:
        wanted = [row for row in rows if everything or row[0] == lesson.zfill(2)]
        if not wanted:
            numbers = ", ".join(sorted({row[0] for row in rows}))
            raise ValueError(f"Lesson {lesson} has no exercises. Those that have: {numbers}.")
        rows = wanted
        print_table("", ["lesson", "exercise", "state", "title"],
                    [(number, name, state, title) for number, name, title, state in rows])
    typer.echo(f"{_count([row[3] for row in rows])}. Kept in {record_file()}")
    following = next_one(rows)
    if following is None:
        typer.echo("All of these are solved.")
        return
    number, name, title, _ = following
    typer.echo(f"Next: {name}, {title}\n  teachseg lab {number}")
