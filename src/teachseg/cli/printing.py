"""Tables in a terminal.

No boxes here.

Lesson: 00
"""

import math
from collections.abc import Iterable, Sequence

import typer


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
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


def share(x: float) -> str:
    """A number in [0, 1] as it stands in a table; - where there is none."""
    return "-" if math.isnan(x) else f"{x:.3f}"


def print_metrics(title: str, numbers: dict[str, float]) -> None:
    """AP^r and COCO's numbers, two short tables."""
    voc = [name for name in numbers if name.startswith("APr")]
    print_table(f"{title}: AP^r by IoU (VOC's rules, 11-point)",
                 [f" {name.removeprefix('APr')} %" for name in voc],
                 [[share(numbers[name]) for name in voc]])
    coco = [name for name in numbers if name.startswith(("AP", "AR")) and name not in voc]
    print_table(f"{title}: COCO's numbers", [f" {name}" for name in coco],
                 [[share(numbers[name]) for name in coco]])
