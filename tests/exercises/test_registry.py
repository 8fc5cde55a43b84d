"""What must hold for every exercise there is: cases, hints, texts, solutions and mutants."""

import inspect
import re

import pytest
import torch

from teachseg.exercises.judging import judge, wanted
from teachseg.exercises.registry import Case, all_exercises, find

EVERY = list(all_exercises().values())
each = pytest.mark.parametrize("exercise", EVERY, ids=lambda exercise: exercise.name)
each_mutant = pytest.mark.parametrize(
    "exercise, mutant", [(one, mutant) for one in EVERY for mutant in one.mutants],
    ids=[f"{one.name}: {mutant.name}" for one in EVERY for mutant in one.mutants])  # fmt: skip


def run_text(source: str, name: str):
    """A function that a text defines, as a notebook's cell would."""
    names: dict = {}
    exec(source, names)
    return names[name]


def test_lesson_10_has_at_least_five():
    assert len([one for one in EVERY if one.lesson == "10"]) >= 5


@each
def test_the_solution_passes_its_own_check(exercise):
    verdict = judge(exercise, exercise.reference)
    assert verdict.status == "PASS"
    assert verdict.sentence == f"{exercise.name}: {len(exercise.cases)} cases"


@each
def test_the_solution_s_text_runs_by_itself_and_passes(exercise):
    function = run_text(exercise.source, exercise.reference.__name__)
    assert judge(exercise, function).status == "PASS"


@each
def test_the_starter_is_a_todo(exercise):
    function = run_text(exercise.starter, exercise.reference.__name__)
    verdict = judge(exercise, function)
    assert verdict.status == "TODO" and exercise.signature in verdict.sentence
    assert list(inspect.signature(function).parameters) == list(
        inspect.signature(exercise.reference).parameters)


@each_mutant
def test_a_mutant_is_rejected_with_its_own_sentence(exercise, mutant):
    verdict = judge(exercise, mutant.function)
    assert verdict.status == "TRY AGAIN"
    assert verdict.mistake == mutant.name
    first, second = verdict.sentence.split("\n")
    assert re.fullmatch(rf'{re.escape(exercise.name)}: case ".+": (max \|diff\| [\d.e+]+'
                        r"( at .+)?: )?got -?[\d.]+, expected -?[\d.]+", first)
    assert second == mutant.sentence


@each
@pytest.mark.parametrize("constant", [0.0, 1.0])
def test_a_constant_answer_is_rejected(exercise, constant):
    shapes = iter([answer.shape for answer in wanted(exercise)])
    verdict = judge(exercise, lambda *arguments: torch.full(next(shapes), constant))
    assert verdict.status == "TRY AGAIN"
    if constant == 0:
        assert verdict.mistake or "Every value is 0" in verdict.sentence


@each
def test_nearly_every_case_tells_zeros_or_a_mutant(exercise):
    """A case that no wrong answer fails is there for show; one may be, as a place to start."""
    from teachseg.exercises.judging import mutants_answers

    for_show = 0
    for k, answer in enumerate(wanted(exercise)):
        wrong = [mutants_answers(exercise.name, mutant.name)[k] for mutant in exercise.mutants]
        wrong.append(torch.zeros_like(answer))
        for_show += all(got.shape == answer.shape
                        and bool(((got - answer).abs() <= exercise.tolerance).all())
                        for got in wrong)
    assert for_show <= 1


@each
def test_an_exercise_is_complete(exercise):
    page, word = exercise.name.split(".")
    assert re.fullmatch(r"[a-z]+", page) and re.fullmatch(r"[a-z_]+", word)
    assert re.fullmatch(r"\d\d", exercise.lesson)
    assert len(exercise.cases) >= 5 and len(exercise.mutants) >= 3 and len(exercise.hints) == 3
    assert len({case.name for case in exercise.cases}) == len(exercise.cases)
    assert len({mutant.sentence for mutant in exercise.mutants}) == len(exercise.mutants)
    assert 0 < exercise.tolerance <= 1e-3
    assert all(isinstance(case, Case) and '"' not in case.name for case in exercise.cases)
    assert not exercise.title.endswith(".")


@each
def test_hints_grow_and_the_texts_are_sentences(exercise):
    texts = [*exercise.hints, exercise.solution, *(mutant.sentence for mutant in exercise.mutants)]
    for text in texts:
        assert text == text.strip() and text.isascii() and "  " not in text
        assert text[-1] in ".?" or text[-1] == "0", text
        assert not re.search(r"\b(TODO|FIXME|simply|just|obviously|easy)\b", text), text
    assert len(exercise.solution) > len(exercise.hints[0])


@each
def test_signature_and_starter_are_the_references(exercise):
    name = exercise.reference.__name__
    assert exercise.starter.startswith(f"def {exercise.signature}:\n")
    assert exercise.signature.startswith(f"{name}(")
    assert "raise NotImplementedError" in exercise.starter
    assert exercise.cell.startswith(f"def my_{exercise.signature}:\n")
    assert exercise.cell.endswith(f'\n\n\ncheck("{exercise.name}", my_{name})')
    assert exercise.source.startswith("import math\n\nimport torch\n\n\ndef ")
    for used in exercise.uses:
        assert exercise.source.index(f"def {find(used).reference.__name__}(") < (
            exercise.source.index(f"def {name}("))


def test_an_unknown_name_is_told_with_the_closest():
    with pytest.raises(ValueError, match="no exercise 'roi.alin'. Did you mean 'roi.align'"):
        find("roi.alin")
    with pytest.raises(ValueError, match=f"There are: {next(iter(all_exercises()))}, "):
        find(None)
