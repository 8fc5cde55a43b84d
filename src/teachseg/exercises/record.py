"""What a learner has solved, kept in one small file in the user's own data folder.

The file is progress.json in the folder that the system has for such things, or in the one that the
environment variable TEACHSEG_HOME names. Nothing is sent anywhere. Where the folder cannot be
written, all works on and is forgotten when the kernel ends.

No boxes here.

Lesson: 10
"""

from pathlib import Path
from typing import NamedTuple

from teachseg.places import home
from teachseg.storage import load_json, make_folder, save_json


class Entry(NamedTuple):
    """How one exercise stands."""

    tries: int  # checks of a function that was written
    solved: bool  # once is enough


class Record:
    """The entries of this kernel, joined with those in the file at each look."""

    def __init__(self) -> None:
        self.here: dict[str, Entry] = {}  # what could not be saved
        self.said = False

    def read(self) -> dict[str, Entry]:
        """All entries by exercise; a file that cannot be understood counts as none."""
        return _in_file(record_file()) | self.here

    def note(self, name: str, solved: bool) -> str:
        """Count a try; -> a sentence where it could not be saved, the first time, else ""."""
        file, entries = record_file(), self.read()
        old = entries.get(name, Entry(0, False))
        entries[name] = Entry(old.tries + 1, old.solved or solved)
        try:
            make_folder(file.parent)
            _keep_what_is_not_ours(file)
            save_json(file, {one: entry._asdict() for one, entry in entries.items()})
        except (ValueError, OSError) as error:
            self.here, first, self.said = entries, not self.said, True
            return f"(Progress is kept only until the kernel ends. {error})" if first else ""
        self.here = {}
        return ""


def record_file() -> Path:
    """Where progress is kept: TEACHSEG_HOME, or what the system has for an application's data."""
    return home() / "progress.json"


def _in_file(file: Path) -> dict[str, Entry]:
    """The file's entries; {} where there is none, or something else."""
    try:
        entries = load_json(file)
        return {str(name): Entry(int(entry["tries"]), bool(entry["solved"]))
                for name, entry in entries.items()}
    except (ValueError, OSError, TypeError, KeyError, AttributeError):
        return {}


def _keep_what_is_not_ours(file: Path) -> None:
    """Move a file that cannot be understood out of the way, rather than write over it."""
    if file.is_file() and not _in_file(file) and file.read_bytes().strip() not in (b"", b"{}"):
        file.replace(file.with_name("progress.unreadable.json"))
