"""`teachseg exercises`: how they stand.

No boxes here.

Lesson: 00
"""

from typing import Annotated

import typer

from teachseg.cli.printing import print_table
from teachseg.cli.program import app


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
    print_table("", ["lesson", "exercise", "state", "title"],
                 [(number, name, state, title) for number, name, title, state in of_lesson])
    solved = sum(state == "solved" for *_, state in of_lesson)
    typer.echo(f"{solved} of {len(of_lesson)} solved. Kept in {record_file()}")
