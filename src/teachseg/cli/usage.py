"""Words that teachseg does not understand, told in the style of all its other errors.

typer draws a box around them and keeps silent about what was expected. Here the sentence is made
from the command's own signature and from the words as they were typed.

No boxes here.

Lesson: 00
"""

import difflib
import inspect
import re
from collections.abc import Iterable, Sequence
from enum import Enum
from types import NoneType
from typing import Any, get_args

import typer

USAGE_ERROR = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "UsageError")


def told(error: Any, program: Any, words: Sequence[str]) -> str:
    """Two lines: what was expected, what came and how to mend it; and where more is said.

    Args:
        error: a UsageError of typer's.
        program: the group of all commands.
        words: the whole command line behind `teachseg`.
    """
    path, command, rest = _walked(program, words)
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if "NoSuchOption" in kinds:
        sentence = _no_option(error.option_name, path, command)
    elif "BadOptionUsage" in kinds:
        sentence = _no_value(error.option_name, command)
    elif "MissingParameter" in kinds:
        sentence = _missing(error.param, path, command)
    elif "BadParameter" in kinds:
        sentence = _bad_value(error, error.ctx.command if error.ctx else command, rest)
    elif hasattr(command, "commands"):
        sentence = _no_command(path, command, rest)
    else:
        extra = re.search(r"\((?!s\))(.*)\)", error.message)  # "... extra argument(s) (a b)"
        got = f", got {extra[1]!r} besides" if extra else ""
        sentence = (f"{path} takes no more words{got}. A name with blanks in it needs quotes, and "
                    "an option begins with --.")
    return f"{sentence}\nSee: {path} --help"


def _walked(program: Any, words: Sequence[str]) -> tuple[str, Any, list[str]]:
    """("teachseg data get", that command, the words behind it): as far as the names are known."""
    path, command, rest = "teachseg", program, list(words)
    while hasattr(command, "commands"):
        names = [place for place, word in enumerate(rest) if not word.startswith("-")]
        if not names or rest[names[0]] not in command.commands:
            break
        command = command.commands[rest[names[0]]]
        path, rest = f"{path} {command.name}", rest[names[0] + 1 :]
    return path, command, rest


def _no_option(name: str, path: str, command: Any) -> str:
    known = [word for param in command.params for word in (*param.opts, *param.secondary_opts)
             if word.startswith("-")]
    meant = _meant(name, [*known, "--help"], least=0.75)
    if not meant and hasattr(command, "commands"):
        return (f"There is no option {name!r} of {path} itself. A command's options stand behind "
                f"its name: {path} COMMAND {name}.")
    return f"There is no option {name!r} of {path}.{meant}"


def _no_command(path: str, group: Any, rest: Sequence[str]) -> str:
    there = f"There are: {', '.join(group.commands)}."
    names = [word for word in rest if not word.startswith("-")]
    if not names:
        return f"{path} needs a command. {there}"
    return f"There is no command '{path} {names[0]}'.{_meant(names[0], group.commands)} {there}"


def _missing(param: Any, path: str, command: Any) -> str:
    name = param.opts[0] if param.opts[0].startswith("-") else param.name.upper()
    _, info = _declared(command, param.name)
    about = f" {name}: {info.help}" if info and info.help else ""
    return f"{path} needs {name}, and none came.{about}"


def _no_value(option: str, command: Any) -> str:
    param = next((one for one in command.params
                  if option in (*one.opts, *one.secondary_opts)), None)
    if param is None or getattr(param, "is_flag", False):
        return f"{option} takes no value: write it alone."
    few = "none" if param.nargs == 1 else "fewer"
    return f"{option} needs {expected(*_declared(command, param.name))} behind it, and {few} came."


def _bad_value(error: Any, command: Any, rest: Sequence[str]) -> str:
    kind, info = _declared(command, error.param.name) if error.param else (None, None)
    if info is None:
        return error.format_message().rstrip(".") + "."
    came = _came(error.param, rest)
    words = [one.value for one in kind] if _is_choice(kind) else []
    close = _meant(came[0], words) if came else ""
    got = f", got {' '.join(came)!r}" if came else ""
    name = error.param.opts[0] if came else error.param.envvar or error.param.opts[0]
    return f"{name} must be {expected(kind, info)}{got}.{close}"


def _came(param: Any, rest: Sequence[str]) -> list[str]:
    """What was typed behind an option, the last time that it stands there; [] where it does not."""
    for place in reversed(range(len(rest))):
        name, sign, value = rest[place].partition("=")
        if name in param.opts:
            return [value] if sign else list(rest[place + 1 : place + 1 + param.nargs])
    return []


def expected(kind: Any, info: Any) -> str:
    """What a parameter takes, in words.

    Args:
        kind: its type, None aside.
        info: typer.Option(...) or typer.Argument(...), whose least and largest value count.

    >>> expected(int, typer.Option(min=1)), expected(float, typer.Option(min=0, max=1))
    ('a whole number of 1 or more', 'a number from 0 to 1')
    """
    if _is_choice(kind):
        return f"one of {', '.join(one.value for one in kind)}"
    several = get_args(kind)
    if several and float in several:
        return f"{len(several)} numbers"
    if kind not in (int, float):
        return "true or false" if kind is bool else "a value"
    words = "a whole number" if kind is int else "a number"
    if info.min is not None and info.max is not None:
        return f"{words} from {info.min} to {info.max}"
    if info.min is not None:
        return f"{words} of {info.min} or more"
    return words


def _is_choice(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Enum)


def _declared(command: Any, name: str) -> tuple[Any, Any]:
    """(type, typer.Option or typer.Argument) of a parameter as our function has it, or Nones."""
    one = inspect.signature(command.callback).parameters.get(name) if command.callback else None
    if one is None or not hasattr(one.annotation, "__metadata__"):
        return None, None
    kind, info = get_args(one.annotation)
    if NoneType in get_args(kind):  # T | None
        (kind,) = (part for part in get_args(kind) if part is not NoneType)
    return kind, info


def _meant(word: str, known: Iterable[str], least: float = 0.6) -> str:
    """The question whether a known word was meant; "" where none is alike enough, from 0 to 1."""
    close = difflib.get_close_matches(word, list(known), 1, least)
    return f" Did you mean {close[0]}?" if close else ""
