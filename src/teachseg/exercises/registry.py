"""What an exercise is, and the list of all there are.

An exercise is a right function with the cases it is tried on, three hints, and *mutants*: wrong
functions that learners typically write, each with the sentence that names the mistake. The text a
learner starts from is made of the right function's own signature and docstring, so that neither
can differ from it.

No boxes here.

Lesson: 10
"""

import difflib
import inspect
import textwrap
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

# Modules of this package that hold exercises, in the order of their lessons.
PAGES = ("first", "boxes", "average_precision", "strides", "anchors", "rpn", "proposals", "roi",
         "mnc_mask", "mnc_category", "mnc_cascade", "mnc_test", "fpn", "mask_heads", "detector",
         "metric_pairs", "metric_masks", "metric_seeds", "metric_test", "comparison", "miniature",
         "own_data")
IMPORTS = "import math\n\nimport torch\n"  # what a solution may use


class Case(NamedTuple):
    """One call of the learner's function."""

    name: str
    arguments: tuple[Any, ...]  # tensors and numbers; every call gets copies


class Mutant(NamedTuple):
    """A wrong answer that is often given."""

    name: str
    sentence: str  # told to those whose answers are this function's on every case
    function: Callable[..., Any]


class Exercise(NamedTuple):
    """One task, and all that is needed to judge an answer and to help with it."""

    name: str  # page.word, as in `check("roi.align", ...)`
    title: str
    lesson: str  # two digits
    reference: Callable[..., Any]  # a right answer, written to be read
    cases: tuple[Case, ...]
    tolerance: float  # largest difference from the reference that still counts as equal
    hints: tuple[str, str, str]  # each says more than the one before
    solution: str  # why the usual wrong answer is wrong
    mutants: tuple[Mutant, ...]
    uses: tuple[str, ...] = ()  # exercises whose answers this one builds on

    @property
    def signature(self) -> str:
        """How the function is called: "align(features, box, bins, scale)"."""
        plain = list(inspect.signature(self.reference).parameters)
        return f"{self.reference.__name__}({', '.join(plain)})"

    @property
    def starter(self) -> str:
        """The text a learner begins with: the signature, what to do, and nothing done."""
        told = textwrap.indent(f'"""{inspect.getdoc(self.reference)}\n"""', "    ")
        told = told if "\n\n" in told else told.replace('\n    """', '"""')
        return f"def {self.signature}:\n{told}\n    raise NotImplementedError\n"

    @property
    def cell(self) -> str:
        """The notebook's cell: the starter under a name of the learner's own, and the check."""
        name, mine = self.reference.__name__, f"my_{self.reference.__name__}"
        begun = self.starter.replace(f"def {name}(", f"def {mine}(", 1)
        return f'{begun}\n\ncheck("{self.name}", {mine})'

    @property
    def source(self) -> str:
        """The solution as text that runs by itself: imports, what it builds on, the function."""
        needed: list[Callable[..., Any]] = []
        _collect(self, needed)
        return "\n\n".join([IMPORTS, *(inspect.getsource(one) for one in needed)])


def _collect(exercise: Exercise, needed: list[Callable[..., Any]]) -> None:
    """Append a solution to `needed`, behind those it builds on; each once."""
    for name in exercise.uses:
        _collect(find(name), needed)
    if exercise.reference not in needed:
        needed.append(exercise.reference)


@cache
def all_exercises() -> dict[str, Exercise]:
    """Every exercise by name, in the order of the course."""
    found: dict[str, Exercise] = {}
    for page in PAGES:
        for exercise in import_module(f"teachseg.exercises.{page}").EXERCISES:
            if exercise.name in found:
                raise ValueError(f"Two exercises are called {exercise.name}: rename one.")
            found[exercise.name] = exercise
    return found


def find(name: str) -> Exercise:
    """The exercise of that name.

    Raises:
        ValueError: there is none; the names that there are are listed, the closest first.
    """
    names = list(all_exercises())
    if isinstance(name, str) and name in names:
        return all_exercises()[name]
    close = difflib.get_close_matches(str(name), names, 1, 0.4)
    meant = f"Did you mean {close[0]!r}? " if close else ""
    raise ValueError(f"There is no exercise {name!r}. {meant}There are: {', '.join(names)}.")
