"""What a learner calls in a notebook: check, case, hint, solution, progress. These five print.

None of them raises, whatever it is given, so that the cells that follow run on. Only an interrupt
gets through: a function that never ends is stopped with the kernel's stop button.

No boxes here.

Lesson: 10
"""

import inspect
import textwrap
from typing import Any

import torch
from torch import Tensor

from teachseg.exercises.judging import judge, wanted
from teachseg.exercises.record import Record
from teachseg.exercises.registry import Exercise, all_exercises, find

RECORD = Record()
SHOWN = 200  # numbers of a tensor that `case` prints; of a longer one it says the size alone


def check(name: str, function: Any) -> None:
    """Try a function on an exercise's cases and print how it does.

    Prints `[TODO]` for one that is not written yet, `[PASS] name: 5 cases`, or `[TRY AGAIN]` with
    the first case that is wrong, what came and what was expected, and what the mistake may be. The
    function runs here, without a time limit; what it prints is shown too.

    Args:
        name: of the exercise, such as "roi.align".
        function: the function itself; it gets copies of the arguments.
    """
    exercise = _find(name)
    if exercise is None:
        return
    verdict = judge(exercise, function)
    print(f"[{verdict.status}] {verdict.sentence}")
    if verdict.status != "TODO":
        sentence = RECORD.note(exercise.name, verdict.status == "PASS")
        if sentence:
            print(sentence)


def case(name: str, n: int = 1) -> None:
    """Print the n-th case of an exercise: what the function is given, and what it has to return.

    A tensor of yes and no is drawn with # and dots, other tensors are printed where they are small.
    """
    exercise = _find(name)
    if exercise is None:
        return
    count = len(exercise.cases)
    if n not in range(1, count + 1):
        print(f"{exercise.name} has cases 1 to {count}, not {n!r}.")
        return
    one, want = exercise.cases[int(n) - 1], wanted(exercise)[int(n) - 1]
    print(f"[CASE {int(n)} of {count}] {one.name}")
    for word, value in zip(inspect.signature(exercise.reference).parameters, one.arguments):
        print(f"{word} = {_shown(value)}")
    print(f"expected: {_shown(want)}")


def hint(name: str, n: int = 1) -> None:
    """Print the n-th of an exercise's three hints; each says more than the one before."""
    exercise = _find(name)
    if exercise is None:
        return
    if n not in range(1, len(exercise.hints) + 1):
        print(f"{exercise.name} has hints 1 to {len(exercise.hints)}, not {n!r}. "
              f'After the last there is solution("{exercise.name}").')
        return
    print(f"[HINT {n} of {len(exercise.hints)}] {exercise.hints[int(n) - 1]}")


def solution(name: str) -> None:
    """Print a solution that runs as it stands, and why the usual wrong answer is wrong."""
    exercise = _find(name)
    if exercise is not None:
        print(f"{exercise.source}\n\n# {exercise.title}\n#\n" + _commented(exercise.solution))


def progress(lesson: str | int | None = None) -> None:
    """Print how the exercises stand, all of them or those of one lesson."""
    wanted = None if lesson is None else str(lesson).zfill(2)
    rows = [row for row in table() if wanted in (None, row[0])]
    if not rows:
        numbers = sorted({row[0] for row in table()})
        print(f"Lesson {lesson} has no exercises. Those that have: {', '.join(numbers)}.")
        return
    wide = max(len(row[1]) for row in rows)
    for number, one, title, state in rows:
        print(f"{number}  {one:<{wide}}  {state:<11}  {title}")
    solved = sum(row[3] == "solved" for row in rows)
    print(f"{solved} of {len(rows)} solved")


def table() -> list[tuple[str, str, str, str]]:
    """(lesson, name, title, how it stands) of every exercise."""
    entries, rows = RECORD.read(), []
    for one in all_exercises().values():
        entry = entries.get(one.name)
        if entry is None:
            state = "not tried"
        else:
            state = "solved" if entry.solved else _tries(entry.tries)
        rows.append((one.lesson, one.name, one.title, state))
    return rows


def _shown(value: Any) -> str:
    """A value as it may be read; of a tensor with many numbers only its size."""
    if isinstance(value, (list, tuple)) and any(isinstance(part, Tensor) for part in value):
        return "\n" + "\n".join(f"  [{place}] {_shown(part)}" for place, part in enumerate(value))
    if not isinstance(value, Tensor):
        return repr(value)
    size = f"a tensor of {tuple(value.shape)}, {str(value.dtype).removeprefix('torch.')}"
    if value.numel() == 1:
        return f"{value.item():.6g}"
    if value.numel() == 0 or value.numel() > SHOWN:
        return size
    if value.dtype == torch.bool and value.dim() >= 2:
        rows = ["".join("#" if pixel else "." for pixel in row)
                for row in value.reshape(-1, value.shape[-1]).tolist()]
        high = value.shape[-2]
        blocks = ["\n".join(rows[k : k + high]) for k in range(0, len(rows), high)]
        return f"{size}\n" + "\n\n".join(blocks)
    numbers = value.double() if value.is_floating_point() else value
    return f"{size}\n{numbers.numpy().round(4)}"


def _tries(count: int) -> str:
    return "1 try" if count == 1 else f"{count} tries"


def _find(name: str) -> Exercise | None:
    """The exercise; where there is none, that is printed."""
    try:
        return find(name)
    except ValueError as error:
        print(error)
        return None


def _commented(text: str) -> str:
    """Words behind #, at most 88 characters a line, so that all that is printed can be run."""
    return textwrap.fill(text, 88, initial_indent="# ", subsequent_indent="# ")
