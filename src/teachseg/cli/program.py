"""The program `teachseg` itself: what belongs to all commands.

No boxes here.

Lesson: 00
"""

from typing import Annotated

import typer

from teachseg import __version__
from teachseg.cli.errors import Plain

app = typer.Typer(
    cls=Plain, no_args_is_help=True, pretty_exceptions_enable=False,
    help="Instance segmentation, taught by building it.",
    epilog="First time here? teachseg doctor, then teachseg demo, then teachseg lab.",
)


def examples(*lines: str) -> str:
    """The end of a command's help: command lines that can be typed as they stand."""
    return "\n\n".join(["Examples:", *lines])  # an empty line between, or they are joined


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"teachseg {__version__}")
        raise typer.Exit()


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option(
        "--debug", envvar="TEACHSEG_DEBUG", help="Show the traceback of an error.")] = False,
    version: Annotated[bool, typer.Option(
        "--version", callback=_print_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """What belongs to all commands."""


def main() -> None:
    """The entry point `teachseg`."""
    app(prog_name="teachseg")
