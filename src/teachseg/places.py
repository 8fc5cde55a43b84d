"""Where things lie: the course beside the library, and what a learner keeps.

In a clone the course is the clone's own folder. A wheel brings the trained models, the results and
the notebooks along, in a folder inside the package; what the wheel's users change goes elsewhere.

No boxes here.

Lesson: 00
"""

import os
from pathlib import Path

import platformdirs

PACKAGE = Path(__file__).resolve().parent


def course(package: Path = PACKAGE) -> Path:
    """The folder that has data/ and notebooks/: the package's own `course`, else the clone."""
    inside = package / "course"
    return inside if inside.is_dir() else package.parents[1]


def in_clone() -> bool:
    """Whether the course is a clone, whose notebooks a learner may change."""
    return course() != PACKAGE / "course"


def home() -> Path:
    """Where a learner's progress is kept: TEACHSEG_HOME, or what the system has for such data."""
    named = os.environ.get("TEACHSEG_HOME")
    return Path(named).expanduser() if named else platformdirs.user_data_path("teachseg", False)
