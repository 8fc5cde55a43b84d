"""What the shell offers for a value when the learner presses Tab: (value, what it is) each.

Each press starts a new process, so nothing here may import torch. Where a path may stand as well
and none of these words fits, nothing is offered, and the shell offers files.

No boxes here.

Lesson: 00
"""

from collections.abc import Iterable
from pathlib import Path

from teachseg import places
from teachseg.cli.notebooks import numbered, title_of

Offer = tuple[str, str]  # a value, and what it is

# Written twice, so that torch is not needed; a test holds them equal to teachseg.recipes.
RECIPES = ("mnc-vgg16-sbd", "mask-rcnn-r50-fpn-coco", "mask-rcnn-r50-c4-coco",
           "deep-metric-r101-voc", "mask-rcnn-small-coco", "deep-metric-small-voc",
           "mask-rcnn-nuclei", "deep-metric-nuclei")
MODELS = ("mask_rcnn", "mnc", "deep_metric")


def _fitting(offers: Iterable[Offer], incomplete: str) -> list[Offer]:
    return [offer for offer in offers if offer[0].startswith(incomplete)]


def _notebooks() -> dict[str, Path]:
    return numbered(places.course() / "notebooks")


def lessons(incomplete: str) -> list[Offer]:
    """Lessons by their number."""
    return _fitting(((number, title_of(file)) for number, file in _notebooks().items()), incomplete)


def lessons_with_exercises(incomplete: str) -> list[Offer]:
    """Those whose notebook checks answers."""
    return _fitting(((number, title_of(file)) for number, file in _notebooks().items()
                     if "teachseg.exercises import" in file.read_text("utf-8")), incomplete)


def recipes(incomplete: str) -> list[Offer]:
    """Names of recipes."""
    return _fitting(((name, "recipe") for name in RECIPES), incomplete)


def tables(incomplete: str) -> list[Offer]:
    """Names of tables, with their questions."""
    from teachseg.tables.specs import TABLES

    return _fitting(((name, table.title) for name, table in TABLES.items()), incomplete)


def data_sets(incomplete: str) -> list[Offer]:
    """Names of data sets that can be fetched."""
    from teachseg.datasets.downloads import SOURCES

    return _fitting(((name, source.title) for name, source in SOURCES.items()), incomplete)


def data(incomplete: str) -> list[Offer]:
    """The scenes, and what `teachseg data get` has put into sets."""
    from teachseg.datasets.downloads import SOURCES

    fetched = {Path("sets", name, one.opens): one.title for name, one in SOURCES.items()}
    return _fitting([("scenes", "drawn by the course"),
                     *((path.as_posix(), title) for path, title in fetched.items()
                       if path.exists())], incomplete)


def checkpoints(incomplete: str) -> list[Offer]:
    """The shipped models, and the trainings that are finished or saved in runs."""
    trained = (file.parent.as_posix() for file in sorted(Path("runs").glob("*/checkpoint.json")))
    return _fitting([*((name, "shipped") for name in MODELS),
                     *((path, "trained here") for path in trained)], incomplete)
