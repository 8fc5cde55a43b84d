"""Progress: kept in one file, found again, never in the way."""

import json
from pathlib import Path

import platformdirs
import pytest

from teachseg.exercises.record import Entry, Record, record_file


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    folder = tmp_path / "home of teachseg"
    monkeypatch.setenv("TEACHSEG_HOME", str(folder))
    return folder


def test_there_and_back(home):
    record = Record()
    assert record.read() == {}
    assert not home.exists()  # looking makes nothing
    assert record.note("roi.align", False) == ""
    assert record.note("roi.align", True) == ""
    assert record.note("roi.align", False) == ""  # once solved, always solved
    assert record.note("roi.round", False) == ""
    wanted = {"roi.align": Entry(3, True), "roi.round": Entry(1, False)}
    assert record.read() == Record().read() == wanted
    assert json.loads((home / "progress.json").read_text()) == {
        "roi.align": {"tries": 3, "solved": True}, "roi.round": {"tries": 1, "solved": False}}


def test_two_notebooks_share_it():
    one, two = Record(), Record()
    one.note("roi.align", True)
    two.note("roi.round", True)
    assert set(one.read()) == {"roi.align", "roi.round"}


def test_a_home_that_cannot_be_written_is_told_once_and_works_on(home):
    home.parent.mkdir(exist_ok=True)
    home.write_text("a file where the folder should be")
    record = Record()
    first, second = record.note("roi.align", False), record.note("roi.align", True)
    assert first.startswith("(Progress is kept only until the kernel ends. ") and second == ""
    assert record.read() == {"roi.align": Entry(2, True)}
    assert home.read_text() == "a file where the folder should be"
    home.unlink()  # the obstacle is gone: what was kept here is saved now
    assert record.note("roi.round", True) == ""
    assert Record().read() == {"roi.align": Entry(2, True), "roi.round": Entry(1, True)}


@pytest.mark.parametrize("content", [
    "{", "[]", "3", '{"roi.align": 3}', '{"roi.align": {"tries": "x", "solved": 1}}', "\x00\xff"])
def test_a_file_that_is_something_else_is_put_aside(home, content):
    home.mkdir()
    (home / "progress.json").write_bytes(content.encode("latin-1"))
    record = Record()
    assert record.read() == {}
    assert record.note("roi.align", True) == ""
    assert Record().read() == {"roi.align": Entry(1, True)}
    kept = home / "progress.unreadable.json"
    assert kept.read_bytes() == content.encode("latin-1")


def test_where_it_is_kept(home, monkeypatch):
    assert record_file() == home / "progress.json"
    monkeypatch.setenv("TEACHSEG_HOME", "~/here")
    assert record_file() == Path.home() / "here" / "progress.json"
    monkeypatch.delenv("TEACHSEG_HOME")
    assert record_file().parent == Path(platformdirs.user_data_dir("teachseg", False))
