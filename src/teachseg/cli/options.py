"""What can be asked for: choices and options that several commands share.

Help must come at once, so the words are written here, and a test holds them equal to the library's.

No boxes here.

Lesson: 00
"""

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from teachseg import places
from teachseg.cli import completion

ROOT = places.course()  # where notebooks/ and data/ are
SHIPPED = "mask_rcnn"
SCENES = "scenes"  # the data that the course draws itself
VALIDATION_SCENES = 200
SHOWN_SCORE = 0.5  # from which a detection is drawn and counted


def _choice(name: str, *words: str) -> type[Enum]:
    """A list of words as typer knows it; it names them all in the help and in its errors."""
    return Enum(name, {word.replace("-", "_"): word for word in words}, type=str)

Paper = _choice("Paper", "mnc", "mask_rcnn", "deep_metric")
Size = _choice("Size", "course", "paper", "code")
Kind = _choice("Kind", "mixed", "crossing", "crowded", "thin", "small", "ring")
Device = _choice("Device", "auto", "cpu", "cuda")
Precision = _choice("Precision", "32-true", "16-mixed", "bf16-mixed")

DeviceOption = Annotated[Device, typer.Option(help="auto: a GPU where there is one.")]
KindOption = Annotated[Kind, typer.Option(help="Kind of scenes.")]
SideOption = Annotated[int, typer.Option("--image-size", min=16, help="Side of a scene, pixels.")]
ScoreOption = Annotated[float, typer.Option(min=0, max=1, help="Least score of what is shown.")]
DataHelp = "scenes, or the path of a data set: a folder, or a JSON file in COCO's format."
PicturesOption = Annotated[Path | None, typer.Option(
    help="Where a JSON's pictures are.", show_default="looked for beside it")]
OneClassOption = Annotated[str | None, typer.Option(
    help="COCO's format: all objects are of this one class.")]
OnlyOption = Annotated[list[str] | None, typer.Option(
    metavar="CLASS", help="COCO's format: objects of these classes; more than once, too.")]
CheckpointHelp = ("mnc, mask_rcnn or deep_metric (shipped), a .safetensors file, or a training's "
                  "folder.")
CheckpointOption = Annotated[str, typer.Option(
    help=CheckpointHelp, autocompletion=completion.checkpoints)]
