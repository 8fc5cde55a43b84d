"""How errors are told: a sentence on stderr and exit code 2, Ctrl-C in 130.

No boxes here.

Lesson: 00
"""

from typing import Any, NoReturn

import typer
from typer.core import TyperGroup

from teachseg.cli.usage import USAGE_ERROR, told

_CLICK_ERROR = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")
_OTHERS_CONCERN = (_CLICK_ERROR, typer.Exit, typer.Abort, BrokenPipeError)  # typer tells these
WORDS = "teachseg.words"  # where a context keeps the command line


def sentence_of(error: Exception) -> str | None:
    """What was wrong and how to mend it; None for an error that nobody foresaw."""
    if isinstance(error, ImportError):
        return f"{error}. Something is missing in this Python, or broken. See: teachseg doctor"
    full = type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error)
    if full or isinstance(error, MemoryError):
        return ("The memory is full. Use a smaller --batch-size (--accumulate as many times larger "
                "learns nearly the same), a smaller --crop or --image-size, smaller pictures "
                "(--set min_side=480), --precision bf16-mixed, fewer --workers, or --device cpu.")
    if isinstance(error, ValueError):
        return str(error)
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror or error}."
    return None


class Plain(TyperGroup):
    """The commands, with errors told in a sentence; --debug is understood anywhere in the line."""

    def make_context(self, info_name: str | None, args: list[str], *more: Any, **extra: Any) -> Any:
        """Understand what stands before the command's name."""
        words = list(args)
        try:
            return super().make_context(info_name, args, *more, **extra)
        except USAGE_ERROR as error:
            self._tell(error, words)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take --debug to the front, where it belongs to `teachseg` itself."""
        ctx.meta[WORDS] = list(args)
        ahead = args[: args.index("--")] if "--" in args else args
        if "--debug" in ahead:
            args = ["--debug", *(word for word in ahead if word != "--debug"), *args[len(ahead) :]]
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run a command: exit 2 with a sentence, 130 on Ctrl-C, 1 for what nobody foresaw."""
        try:
            return super().invoke(ctx)
        except USAGE_ERROR as error:
            self._tell(error, ctx.meta[WORDS])
        except _OTHERS_CONCERN:
            raise
        except KeyboardInterrupt as error:
            typer.echo(f"\n{error}" if str(error) else "\nStopped by Ctrl-C.", err=True)
            raise typer.Exit(130) from error
        except Exception as error:
            if ctx.params.get("debug"):
                raise
            sentence = sentence_of(error)
            if sentence is None:
                typer.echo(f"Unforeseen: {type(error).__name__}: {error}. This is a fault of "
                           "teachseg: run the same with --debug, and report what it shows.",
                           err=True)
                raise typer.Exit(1) from error
            typer.echo(f"Error: {sentence}", err=True)
            raise typer.Exit(2) from error

    def _tell(self, error: Any, words: list[str]) -> NoReturn:
        """Of words that are not understood; a command line without words gets the help instead."""
        if type(error).__name__ == "NoArgsIsHelpError":
            raise error
        typer.echo(f"Error: {told(error, self, words)}", err=True)
        raise typer.Exit(2) from error
