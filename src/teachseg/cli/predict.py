"""`teachseg predict`: objects in pictures of one's own.

Boxes in files are (x1, y1, x2, y2) in pixel edges of the picture as it is seen upright.

Lesson: 00
"""

import itertools
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from teachseg.cli.measuring import pick_device, predictor
from teachseg.cli.options import (
    SHIPPED,
    SHOWN_SCORE,
    CheckpointOption,
    Device,
    DeviceOption,
    ScoreOption,
)
from teachseg.cli.program import app, examples

if TYPE_CHECKING:
    from torch import Tensor, nn

    from teachseg.structures import Detections

PICTURE_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
MADE_BY = "teachseg predict"


def _pictures_in(paths: Sequence[Path], problems: list[str]) -> list[Path]:
    """Files as they are named, of folders the pictures in them; each once."""
    pictures: dict[Path, Path] = {}
    for path in paths:
        inside = [path]
        if path.is_dir():
            inside = sorted(p for p in path.iterdir()
                            if p.suffix.lower() in PICTURE_ENDINGS and p.is_file())
            if not inside:
                problems.append(f"There is no picture in the folder {path}.")
        for picture in inside:
            pictures.setdefault(picture.resolve(), picture)
    return list(pictures.values())


def _from_folder(picture: Path, folder: Path) -> str:
    """A picture's path as seen from a folder, so that both can move together."""
    try:
        return Path(os.path.relpath(picture.resolve(), folder.resolve())).as_posix()
    except ValueError:  # another drive
        return picture.resolve().as_posix()


def _free_name(picture: Path, out: Path, inputs: set[Path]) -> str:
    """NAME, or NAME-2, ...: no input's, and no other file's than an older result of this one."""
    from teachseg.storage import load_json

    for number in itertools.count(1):
        name = picture.stem if number == 1 else f"{picture.stem}-{number}"
        files = [out / f"{name}.png", out / f"{name}.json"]
        if inputs & {file.resolve() for file in files}:
            continue
        if not any(file.exists() for file in files):
            return name
        try:
            older = load_json(files[1])
        except ValueError:  # none, or somebody else's
            continue
        if isinstance(older, dict) and older.get("made_by") == MADE_BY \
                and older.get("image") == _from_folder(picture, out):
            return name
    raise AssertionError("count() has no end")


def _as_json(found: "Detections", names: Sequence[str]) -> dict[str, Any]:
    """What was found, as lists of equal length, best first; masks as COCO's compressed RLE."""
    from teachseg.evaluate import encode

    masks = [one | {"counts": one["counts"].decode("ascii")}  # one at a time: photos are large
             for i in range(len(found.labels))
             for one in encode(type(found)(*(part[i : i + 1] for part in found))).rles()]
    return {
        "image_size": list(found.masks.shape[1:]),
        "boxes": [[round(x, 2) for x in box] for box in found.boxes.tolist()],
        "labels": found.labels.tolist(),
        "names": [names[label - 1] for label in found.labels.tolist()],
        "scores": [round(score, 4) for score in found.scores.tolist()],
        "masks": masks,
    }


def _look(model: "nn.Module", image: "Tensor", score: float, max_side: int) -> "Detections":
    """What is in one picture, in its own pixels; one of a longer side is looked at smaller."""
    config = model.config
    changes: dict[str, Any] = {"min_score": score}  # what is not shown need not be pasted
    if config.min_side is None and max(image.shape[1:]) > max_side:
        changes |= {"min_side": min(image.shape[1:]), "max_side": max_side}
    model.config = replace(config, **changes)
    try:
        return predictor(model)(model, [image])[0].to("cpu")
    finally:
        model.config = config


def _said(found: "Detections", names: Sequence[str]) -> str:
    """How many of what: "3 objects (2 disc, 1 ring)"."""
    counts = Counter(names[label - 1] for label in found.labels.tolist())
    of_which = ", ".join(f"{n} {name}" for name, n in counts.most_common())
    total = len(found.labels)
    return f"{total} object{'' if total == 1 else 's'}" + (f" ({of_which})" if counts else "")


@app.command(epilog=examples(
    "teachseg predict photo.jpg",
    "teachseg predict photos --checkpoint runs/mask_rcnn --score 0.3",
))
def predict(
    images: Annotated[list[Path], typer.Argument(help="Pictures, or folders of pictures.")],
    checkpoint: CheckpointOption = SHIPPED,
    out: Annotated[Path, typer.Option(
        help="Folder for NAME.png and NAME.json of each.")] = Path("teachseg-found"),
    score: ScoreOption = SHOWN_SCORE,
    device: DeviceOption = Device.auto,
    max_side: Annotated[int, typer.Option(
        min=32, help="A larger picture is looked at in this size, pixels.")] = 1024,
) -> None:
    """Find the objects in pictures; write each with them drawn in, and a JSON file."""
    from teachseg import checkpoints
    from teachseg.datasets.pictures import read_image, write_image
    from teachseg.plot import overlay
    from teachseg.storage import make_folder, save_json

    where = pick_device(device)
    model = checkpoints.load(checkpoint).to(where)
    names = checkpoints.class_names(checkpoint)
    make_folder(out)
    problems: list[str] = []
    pictures = _pictures_in(images, problems)
    inputs = {picture.resolve() for picture in pictures}
    for picture in pictures:
        try:
            image = read_image(picture)
            found = _look(model, image.to(where), score, max_side)
        except ValueError as error:
            said = str(error)
            problems.append(said if str(picture) in said else f"{picture}: {said}")
            continue
        name = _free_name(picture, out, inputs)
        about = {"made_by": MADE_BY, "image": _from_folder(picture, out),
                 "checkpoint": checkpoint, "least_score": score}
        save_json(out / f"{name}.json", about | _as_json(found, names))
        write_image(out / f"{name}.png", overlay(image, found, names))
        typer.echo(f"{picture}: {_said(found, names)} -> {out / name}.png, .json")
    if problems:
        raise ValueError("\nError: ".join(problems))
