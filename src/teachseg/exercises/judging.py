"""Judging a learner's function: run it on every case, and say what is wrong in a sentence.

Nothing here prints, and nothing that the learner's function does gets out of `judge` but a
KeyboardInterrupt: a function that never ends is stopped as any cell is, with the kernel's stop
button. It runs in this process, without a time limit, and may print.

No boxes here.

Lesson: 10
"""

import copy
import inspect
import linecache
import traceback
from collections.abc import Callable
from functools import cache
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from teachseg.exercises.registry import Case, Exercise, Mutant, find

LONGEST = 160  # characters that an error of the learner's function may have in a sentence

RAISED = {  # what usually lies behind an error, for those that a learner meets most
    "IndexError": "An index is larger than what it points into, or -1 has counted from the end: "
                  "how many are there in this case?",
    "ZeroDivisionError": "Something was divided by 0: which side or count may be 0 in this case?",
    "NameError": "Has the cell that defines that name been run?",
    "UnboundLocalError": "A name is used before it has a value: is it set in every branch?",
    "RecursionError": "The function calls itself without end.",
    "NotImplementedError": "One branch is still to be written.",
    "AttributeError": "Are numbers and tensors mixed up? float(t) makes a number of a tensor, "
                      "torch.tensor(x) a tensor of a number.",
}  # fmt: skip

OF_NOTHING = "A largest or smallest of nothing: what if there is none, as in this case?"


class Verdict(NamedTuple):
    """What is to be said of a function."""

    status: Literal["TODO", "PASS", "TRY AGAIN"]
    sentence: str
    mistake: str = ""  # a mutant's name, where the function is one


class Answer(NamedTuple):
    """What came of one call: a tensor of numbers, or why there is none."""

    value: Tensor | None
    problem: str = ""
    todo: bool = False


def judge(exercise: Exercise, function: Any) -> Verdict:
    """Try a function on all cases of an exercise, and say how it does."""
    problem = cannot_be_called(exercise, function)
    if problem:
        return Verdict("TRY AGAIN", problem)
    answers = [call(function, case, exercise) for case in exercise.cases]
    if all(answer.todo for answer in answers):
        return Verdict("TODO", f"{exercise.name}: write {exercise.signature}. Nothing is returned "
                               "yet; if you have written it, does it end in `return ...`?")
    wrong = [(case, said) for case, answer, want in zip(exercise.cases, answers, wanted(exercise))
             if (said := difference(answer, want, exercise.tolerance))]
    if not wrong:
        return Verdict("PASS", f"{exercise.name}: {len(answers)} cases")
    (case, said), right = wrong[0], len(answers) - len(wrong)
    number = 1 + next(n for n, one in enumerate(exercise.cases) if one is case)
    mutant = recognise(exercise, answers)
    advice = mutant.sentence if mutant else general_advice(exercise, answers, right, number)
    return Verdict("TRY AGAIN", f'{exercise.name}: case "{case.name}": {said}\n{advice}',
                   mutant.name if mutant else "")


def cannot_be_called(exercise: Exercise, function: Any) -> str:
    """Why a function cannot even be tried; "" where it can."""
    name = exercise.name
    if not callable(function):
        return (f"{name}: a function is needed, got {type(function).__name__}. Pass it by its name "
                f'alone, without parentheses: check("{name}", my_function).')
    try:
        inspect.signature(function).bind(*exercise.cases[0].arguments)
    except TypeError:
        return (f"{name}: your function is called as {exercise.signature}, but yours takes "
                f"{inspect.signature(function)}. Give it the same arguments in the same order.")
    except ValueError:  # a built-in one, which does not tell what it takes
        return ""
    return ""


def call(function: Callable[..., Any], case: Case, exercise: Exercise) -> Answer:
    """The function's answer to one case, whatever it does."""
    arguments = copy.deepcopy(case.arguments)
    try:
        got = function(*arguments)
    except NotImplementedError as error:
        return Answer(None, raised(function, error), todo=True)
    except (Exception, SystemExit) as error:
        return Answer(None, raised(function, error))
    if got is None or got is Ellipsis:
        return Answer(None, "nothing was returned. Does every branch end in `return ...`?", True)
    try:
        return to_numbers(got)
    except Exception as error:  # an object of the learner's own may fail in any way
        return Answer(None, f"the result, {type(got).__name__}, cannot be read: "
                            f"{shortened(error)}")


def raised(function: Callable[..., Any], error: BaseException) -> str:
    """What a function raised, in which of its lines, and what that usually means."""
    kind, where = type(error).__name__, ""
    code = getattr(function, "__code__", None)
    if code is not None:
        for frame in traceback.extract_tb(error.__traceback__):
            if frame.filename == code.co_filename and frame.lineno:
                line = linecache.getline(frame.filename, frame.lineno).strip()
                where = f" in the line `{line}`" if line else ""
    advice = OF_NOTHING if "non-zero size" in shortened(error) else RAISED.get(kind, "")
    said = f"your function raised {kind}{where}: {shortened(error)}".rstrip(": ")
    return said if not advice else f"{said.rstrip('.')}. {advice}"


def shortened(error: BaseException) -> str:
    """An error's first line, cut where it is long."""
    try:
        lines = str(error).strip().splitlines()
    except Exception:  # a class of the learner's own, with a broken __str__
        lines = []
    line = lines[0] if lines else ""
    return line if len(line) <= LONGEST else line[: LONGEST - 3] + "..."


def to_numbers(got: Any) -> Answer:
    """A number, a tensor, an array or nested lists of them -> a tensor on the CPU."""
    if isinstance(got, Tensor):
        value = got.detach().cpu()
    elif isinstance(got, np.ndarray | np.generic):
        if got.dtype.kind not in "iufb":
            return Answer(None, f"numbers are needed, got an array of {got.dtype}.")
        value = torch.from_numpy(np.array(got))
    elif isinstance(got, int | float) and not isinstance(got, bool):
        value = torch.tensor(got, dtype=torch.float64)
    elif isinstance(got, list | tuple):
        parts = [to_numbers(part) for part in got]
        for part in parts:
            if part.value is None:
                return part
        shapes = {tuple(part.value.shape) for part in parts}
        if len(shapes) > 1:
            return Answer(None, "the parts of the list are of different shapes: "
                                f"{', '.join(map(str, sorted(shapes)))}.")
        value = torch.stack([part.value.double() for part in parts]) if parts else torch.zeros(0)
    else:
        return Answer(None, f"numbers are needed (a number, a tensor, a list of them), got "
                            f"{type(got).__name__}.")
    if value.dtype == torch.bool or value.is_complex():
        return Answer(None, f"numbers are needed, got {value.dtype}: is a comparison returned "
                            "instead of the value?")
    if isinstance(got, Tensor) and not value.is_floating_point():
        return Answer(value, "whole")  # right only where the reference gives whole numbers
    return Answer(value.double())


@cache
def _wanted(name: str) -> tuple[Tensor, ...]:
    exercise = find(name)
    return tuple(_value(exercise.reference, case, exercise) for case in exercise.cases)


def wanted(exercise: Exercise) -> tuple[Tensor, ...]:
    """The reference's answers to all cases."""
    return _wanted(exercise.name)


def _value(function: Callable[..., Any], case: Case, exercise: Exercise) -> Tensor:
    """The answer of one of our own functions, which must be numbers."""
    answer = call(function, case, exercise)
    if answer.value is None:
        raise ValueError(f'{exercise.name}, case "{case.name}": {function.__name__} of the '
                         f"exercise itself gives no numbers: {answer.problem}")
    return answer.value.double()


def difference(answer: Answer, want: Tensor, tolerance: float) -> str:
    """In what an answer differs from the right one; "" where it does not."""
    if answer.value is None:
        return answer.problem
    got = answer.value
    if got.shape != want.shape:
        return wrong_shape(tuple(got.shape), tuple(want.shape))
    if answer.problem == "whole" and bool((want != want.round()).any()):
        return (f"real numbers are needed, got a tensor of whole ones ({got.dtype}): fractions are "
                "lost in it. Make it with dtype=torch.float32.")
    got = got.double()
    if not bool(got.isfinite().all()):
        place = tuple((~got.isfinite()).nonzero()[0].tolist())
        return (f"got {got[place]:.4f}{at(place)}, expected {want[place]:.4f}. That comes from 0 / "
                "0, from a number that was too large, or from memory that was never filled.")
    if want.numel() == 0 or bool(((got - want).abs() <= tolerance).all()):
        return ""
    if want.numel() == 1 and float(got) == round(float(got)) and float(want) == round(float(want)):
        return f"got {int(got)}, expected {int(want)}"
    off = (got - want).abs()
    place = tuple((off == off.max()).nonzero()[0].tolist())
    return (f"max |diff| {float(off.max()):.4g}{at(place)}: got {got[place]:.4f}, "
            f"expected {want[place]:.4f}")


def at(place: tuple[int, ...]) -> str:
    """Where in the result: " at (0, 1)"; nothing to say of a single number."""
    if not place:
        return ""
    return f" at {place}" if len(place) > 1 else f" at [{place[0]}]"


def wrong_shape(got: tuple[int, ...], want: tuple[int, ...]) -> str:
    """What came, what was expected, and how the one often becomes the other."""
    if [side for side in got if side != 1] == [side for side in want if side != 1]:
        advice = "Only sides of 1 differ: squeeze() takes one away, [None] puts one in front."
    elif sorted(got) == sorted(want):
        advice = "The axes are in another order: rows (y) come first, then columns (x)."
    elif not got:
        advice = "A single number came back: is the return inside the loop, or one loop missing?"
    elif not want:
        advice = "One number is expected."
    else:
        advice = "Read again, in the task, what the result has an entry for."
    return f"the result must have the shape {want}, got {got}. {advice}"


def recognise(exercise: Exercise, answers: list[Answer]) -> Mutant | None:
    """The typical mistake that gives the same answers on all cases."""
    values = [answer.value for answer in answers]
    for mutant in exercise.mutants:
        theirs = mutants_answers(exercise.name, mutant.name)
        if all(value is not None and value.shape == their.shape
               and torch.allclose(value.double(), their, rtol=0, atol=exercise.tolerance,
                                  equal_nan=True)
               for value, their in zip(values, theirs)):
            return mutant
    return None


@cache
def mutants_answers(name: str, mutant: str) -> tuple[Tensor, ...]:
    """A mutant's answers to all cases of its exercise."""
    exercise = find(name)
    (one,) = [m for m in exercise.mutants if m.name == mutant]
    return tuple(_value(one.function, case, exercise) for case in exercise.cases)


def general_advice(exercise: Exercise, answers: list[Answer], right: int, number: int) -> str:
    """What to say of a mistake that is nobody's typical one."""
    if all(answer.value is not None and not answer.value.any() for answer in answers):
        return "Every value is 0: is the result ever filled in?"
    return (f'{right} of {len(answers)} cases are right. case("{exercise.name}", {number}) shows '
            f'this one, hint("{exercise.name}") helps; both are in teachseg.exercises.')
