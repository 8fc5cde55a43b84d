"""check, case, hint, solution and progress, as a notebook shows them."""

import inspect

import pytest

from teachseg import exercises
from teachseg.exercises import desk, roi
from teachseg.exercises.record import Record
from teachseg.exercises.registry import all_exercises


@pytest.fixture(autouse=True)
def desk_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("TEACHSEG_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(desk, "RECORD", Record())
    return tmp_path / "home"


@pytest.fixture
def said(capsys):
    """Call one of the five; -> what it printed. They return nothing, so no cell shows a value."""

    def call(function, *arguments):
        assert function(*arguments) is None
        return capsys.readouterr().out

    return call


def my_align(features, box, bins, scale):
    raise NotImplementedError


def test_the_package_offers_the_five():
    for name in ("check", "case", "hint", "solution", "progress"):
        assert getattr(exercises, name) is getattr(desk, name)
    with pytest.raises(AttributeError, match="has no attribute 'cheat'"):
        exercises.cheat  # noqa: B018


def test_check_says_todo_try_again_and_pass(said, desk_of_its_own):
    assert said(exercises.check, "roi.align", my_align) == (
        "[TODO] roi.align: write align(features, box, bins, scale). Nothing is returned yet; if "
        "you have written it, does it end in `return ...`?\n")
    assert not desk_of_its_own.exists()  # nothing was tried yet
    assert said(exercises.check, "roi.round", round) == (
        '[TRY AGAIN] roi.round: case "a half above an even number": got 2, '
        "expected 3\nround() and torch.round take the even neighbour of a half: 2.5 becomes "
        "2. C's round(), and so the released layers, go away from zero.\n")
    assert said(exercises.check, "roi.align", roi.align) == "[PASS] roi.align: 5 cases\n"


@pytest.mark.parametrize("name", ["roi.alin", None, 3, [], ""])
def test_an_unknown_name_is_told(said, name):
    for text in (said(exercises.check, name, my_align), said(exercises.hint, name),
                 said(exercises.solution, name)):
        assert text.startswith(f"There is no exercise {name!r}. ")
        assert "roi.align" in text


def test_hints_grow(said):
    first, second, third = (said(exercises.hint, "roi.align", n) for n in (1, 2, 3))
    assert said(exercises.hint, "roi.align") == first
    assert first.startswith("[HINT 1 of 3] Bring the box onto the map first.")
    assert second.startswith("[HINT 2 of 3] ") and third.startswith("[HINT 3 of 3] ")
    for n in (0, 4, "two", None, []):
        text = said(exercises.hint, "roi.align", n)
        assert "has hints 1 to 3" in text and 'solution("roi.align")' in text


@pytest.mark.parametrize("name", list(all_exercises()))
def test_a_printed_solution_runs_and_explains(said, name):
    text, names = said(exercises.solution, name), {}
    exec(text, names)
    exercise = all_exercises()[name]
    function = names[exercise.reference.__name__]
    assert said(exercises.check, name, function).startswith(f"[PASS] {name}: ")
    comment = " ".join(line[2:] for line in text.splitlines() if line.startswith("# "))
    assert comment == f"{exercise.title} {exercise.solution}"
    assert max(len(line) for line in text.splitlines()) <= 100


def test_progress(said):
    assert said(exercises.progress, 10).endswith("0 of 7 solved\n")
    said(exercises.check, "roi.round", roi.round_half_away)
    said(exercises.check, "roi.align", lambda *arguments: 0)
    said(exercises.check, "roi.align", lambda *arguments: 1)
    lines = said(exercises.progress, "10").splitlines()
    lessons = sorted({one.lesson for one in all_exercises().values()})
    assert lines[0] == (
        "10  roi.round         solved       Round as C does: halves away from zero")
    assert [line for line in lines if "roi.align" in line][0].split()[2:4] == ["2", "tries"]
    assert [line for line in lines if "roi.pool " in line][0].split()[2:4] == ["not", "tried"]
    assert lines[-1] == "1 of 7 solved"
    every = [line.split() for line in said(exercises.progress).splitlines()]
    assert lines[0].split() in every and len(every) == len(all_exercises()) + 1
    assert said(exercises.progress, 99) == (
        f"Lesson 99 has no exercises. Those that have: {', '.join(lessons)}.\n")


def test_a_home_that_cannot_be_written_is_told_once(said, desk_of_its_own):
    desk_of_its_own.write_text("in the way")
    first = said(exercises.check, "roi.round", roi.round_half_away).splitlines()
    assert first[0] == "[PASS] roi.round: 7 cases"
    assert first[1].startswith("(Progress is kept only until the kernel ends.")
    assert said(exercises.check, "roi.round", roi.round_half_away) == "[PASS] roi.round: 7 cases\n"
    assert f"1 of {len(all_exercises())} solved" in said(exercises.progress)


def test_only_an_interrupt_gets_through(said):
    def endless(x):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        exercises.check("roi.round", endless)


def test_a_case_shows_what_is_given_and_what_is_wanted(said):
    assert said(exercises.case, "first.found", 3) == """\
[CASE 3 of 10] one is not sure enough
masks = a tensor of (2, 4, 4), bool
##..
##..
....
....

...#
...#
...#
...#
scores = a tensor of (2,), float32
[0.75 0.25]
threshold = 0.5
truth = a tensor of (2, 4, 4), bool
##..
##..
....
....

...#
...#
...#
...#
expected: 1
"""
    assert "masks = a tensor of (0, 4, 4), bool\nscores" in said(exercises.case, "first.found", 9)


@pytest.mark.parametrize("exercise", all_exercises().values(), ids=lambda one: one.name)
def test_every_case_can_be_shown(said, exercise):
    names = list(inspect.signature(exercise.reference).parameters)
    for n, one in enumerate(exercise.cases, 1):
        text = said(exercises.case, exercise.name, n)
        assert text.startswith(f"[CASE {n} of {len(exercise.cases)}] {one.name}\n")
        assert all(f"\n{name} = " in text for name in names) and "\nexpected: " in text
        assert len(text) < 6000


@pytest.mark.parametrize("n", [0, 11, -1, "2", None, 1.5])
def test_there_is_no_such_case(said, n):
    assert said(exercises.case, "first.found", n) == f"first.found has cases 1 to 10, not {n!r}.\n"
    assert "There is no exercise" in said(exercises.case, "first.fond")
