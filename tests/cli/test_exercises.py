"""`teachseg exercises`: the overview's marks and counts, and which exercise is next."""

import re

import pytest

from teachseg import exercises as desk
from teachseg.cli.exercises import next_one, overview
from teachseg.exercises.registry import all_exercises


def rows(*states):
    """(lesson, name, title, state) of exercises: "10 solved" and so on."""
    return [(state[:2], f"page.{i}", f"Title {i}", state[3:]) for i, state in enumerate(states)]


def test_a_line_a_lesson():
    lines = overview(rows("04 solved", "04 2 tries", "04 not tried", "04 1 try", "05 solved"))
    assert lines == ["04  Anchors: the boxes that a search ...      #+.+  1 of 4 solved, 2 tried",
                     "05  The region proposal network               #     1 of 1 solved"]


@pytest.mark.parametrize("states, number", [
    (["01 not tried", "02 not tried"], 0),
    (["01 solved", "01 1 try", "02 not tried"], 1),
    (["01 solved", "01 solved", "02 not tried"], 2),
    (["01 not tried", "10 solved", "10 not tried", "20 not tried"], 2),  # begun in the middle
    (["01 not tried", "10 solved", "20 not tried"], 2),
    (["01 not tried", "10 solved"], 0),  # what was left out before
])
def test_the_next_one(states, number):
    assert next_one(rows(*states))[1] == f"page.{number}"


def test_none_is_next_where_all_are_solved():
    assert next_one(rows("01 solved", "02 solved")) is None


def solve(name):
    desk.check(name, all_exercises()[name].reference)


def test_the_overview_counts_and_says_how_to_go_on(run, tmp_path, capsys):
    said = run("exercises").stdout
    lessons = {one.lesson for one in all_exercises().values()}
    assert {line[:2] for line in said.splitlines() if re.match(r"\d\d  ", line)} == lessons
    assert f"0 of {len(all_exercises())} solved. Kept in {tmp_path / 'home'}" in said
    first = next(iter(all_exercises().values()))
    assert f"Next: {first.name}, {first.title}\n  teachseg lab {first.lesson}" in said
    solve("roi.round")
    desk.check("roi.misalignment", lambda x, stride: x)
    said = run("exercises").stdout
    assert re.search(r"^10  RoIPool, .* #\.*\+\.*  1 of 7 solved, 1 tried$", said, re.M)
    assert f"1 of {len(all_exercises())} solved, 1 tried. Kept" in said
    assert re.search(r"Next: roi\.\w+, .*\n  teachseg lab 10\n", said)


def test_a_lesson_or_all_are_listed(run):
    said = run("exercises", "--lesson", "4").stdout
    mine = [one for one in all_exercises().values() if one.lesson == "04"]
    assert all(one.name in said for one in mine) and "rpn." not in said
    assert f"0 of {len(mine)} solved" in said and "teachseg lab 04" in said
    said = run("exercises", "--all").stdout
    assert all(one.name in said for one in all_exercises().values())
    said = run("exercises", "--all", "--lesson", "10")
    assert said.exit_code == 2 and "Either --lesson or --all" in said.stderr


def test_all_of_a_lesson_solved(run):
    for one in all_exercises().values():
        if one.lesson == "01":
            solve(one.name)
    said = run("exercises", "--lesson", "1").stdout
    assert "6 of 6 solved. Kept" in said and "All of these are solved." in said
    assert "teachseg lab 02" in run("exercises").stdout


def test_without_notebooks_the_numbers_stand_alone(monkeypatch, tmp_path):
    monkeypatch.setattr("teachseg.cli.exercises.ROOT", tmp_path)
    assert overview(rows("04 solved"))[0].split() == ["04", "#", "1", "of", "1", "solved"]
