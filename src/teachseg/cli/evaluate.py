"""`teachseg evaluate`: AP of a model on scenes or on a data set.

No boxes here.

Lesson: 00
"""

import math
from pathlib import Path
from typing import Annotated

import typer

from teachseg.cli import completion
from teachseg.cli.measuring import check_file, measure, pick_device
from teachseg.cli.options import (
    SCENES,
    SHIPPED,
    VALIDATION_SCENES,
    CheckpointHelp,
    DataHelp,
    Device,
    DeviceOption,
    Kind,
    KindOption,
    OneClassOption,
    OnlyOption,
    PicturesOption,
    SideOption,
)
from teachseg.cli.printing import print_metrics
from teachseg.cli.program import app, examples
from teachseg.cli.training import class_names


@app.command(epilog=examples(
    "teachseg evaluate mnc",
    "teachseg evaluate --kind crowded --images 50 --json numbers.json",
))
def evaluate(
    checkpoint: Annotated[str, typer.Argument(
        help=CheckpointHelp, autocompletion=completion.checkpoints)] = SHIPPED,
    data: Annotated[str | None, typer.Option(
        help=f"What it is measured on: {DataHelp}", show_default="what it learned from",
        autocompletion=completion.data)] = None,
    split: Annotated[str, typer.Option(
        help="Of a data set: train, val, all. Of scenes any word; val was not learned from.",
    )] = "val",
    images: Annotated[int, typer.Option(min=1, help="How many scenes.")] = VALIDATION_SCENES,
    kind: KindOption = Kind.mixed,
    image_size: SideOption = 128,
    pictures: PicturesOption = None,
    one_class: OneClassOption = None,
    only: OnlyOption = None,
    device: DeviceOption = Device.auto,
    json_file: Annotated[Path | None, typer.Option(
        "--json", help="Write the numbers there, too.", show_default=False)] = None,
) -> None:
    """Measure a model: AP^r, COCO's AP and AR, time an image."""
    from teachseg import checkpoints
    from teachseg.datasets.layouts import open_dataset
    from teachseg.datasets.scenes import Scenes
    from teachseg.storage import save_json

    where = pick_device(device)
    check_file(json_file)
    learned = checkpoints.manifest(checkpoint).get("data") or {}
    if data is None and learned.get("name", SCENES) != SCENES:
        data, pictures = learned["name"], pictures or learned.get("pictures")
        one_class, only = one_class or learned.get("one_class"), only or learned.get("only")
    data = data or SCENES
    if data == SCENES:
        title, chosen = f"scenes {split} {kind.value} {images} {image_size}", None
        chosen = Scenes(split, images, image_size, kind.value)
    else:
        title = f"{data} {split}"
        chosen = open_dataset(data, split, pictures, "stop", one_class, only or None)
    classes = class_names(chosen)
    model = checkpoints.load(checkpoint, len(classes))
    names = checkpoints.class_names(checkpoint)
    if tuple(names) != classes:
        raise ValueError(f"{checkpoint} knows the classes {', '.join(names[:5])}, ..., the data "
                         f"have {', '.join(classes[:5])}, ...: its answers would be compared with "
                         "other things. Take a checkpoint for these data.")
    numbers, seconds = measure(model, chosen, where)
    print_metrics(title, numbers)
    typer.echo(f"{numbers['images']} images with {numbers['objects']} objects, "
               f"{numbers['detections']} detections; {1000 * seconds:.1f} ms an image on {where}.")
    if json_file is not None:
        plain = {k: None if math.isnan(x) else x for k, x in numbers.items()}
        save_json(json_file, plain | {"data": title, "checkpoint": checkpoint, "device": where,
                                      "seconds_per_image": round(seconds, 5)})
        typer.echo(f"Written: {json_file}")
