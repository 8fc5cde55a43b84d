"""`teachseg demo`: the trained model at work on scenes.

Letters
    H, W  height and width of a picture, in pixels

No boxes here.

Lesson: 00
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from teachseg.cli.measuring import measure
from teachseg.cli.options import SHIPPED, SHOWN_SCORE, CheckpointOption
from teachseg.cli.printing import print_metrics, print_table
from teachseg.cli.program import app, examples

if TYPE_CHECKING:
    from torch import Tensor

    from teachseg.structures import Detections, Targets


def _count_right(found: "Detections", real: "Targets") -> int:
    """How many detections hit an object of their class that no better one had hit already."""
    from teachseg.geometry.masks import mask_iou
    from teachseg.mistakes import find_right

    same_class = found.labels[:, None] == real.labels
    return sum(d >= 0 for d in find_right(mask_iou(found.masks, real.masks), same_class))


def _beside(pictures: Sequence["Tensor"], dim: int, gap: int) -> "Tensor":
    """Equally large pictures (3, H, W) in a row (dim 2) or a column (dim 1), white between."""
    import torch

    rule = list(pictures[0].shape)
    rule[dim] = gap
    parts = [part for picture in pictures for part in (torch.ones(rule), picture)]
    return torch.cat(parts[1:], dim)


def _contact_sheet(pairs: list["Tensor"]) -> "Tensor":
    """Pictures two to a row, the last row filled up with white."""
    import torch

    pairs = pairs + [torch.ones_like(pairs[0])] * (len(pairs) % 2 if len(pairs) > 1 else 0)
    rows = [_beside(pairs[i : i + 2], 2, 24) for i in range(0, len(pairs), 2)]
    return _beside(rows, 1, 24)


@app.command(epilog=examples(
    "teachseg demo",
    "teachseg demo --checkpoint mnc --scenes 4 --out pictures",
))
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the pictures.")] = Path("teachseg-demo"),
    scenes: Annotated[int, typer.Option(min=1, max=1000, help="How many scenes.")] = 8,
    checkpoint: CheckpointOption = SHIPPED,
) -> None:
    """Show the trained model at work: draw scenes, find the objects, write pictures."""
    from teachseg.checkpoints import load
    from teachseg.datasets.pictures import write_image
    from teachseg.datasets.scenes import CLASSES, Scenes
    from teachseg.plot import overlay
    from teachseg.storage import make_folder

    model, dataset = load(checkpoint, len(CLASSES)), Scenes("demo", scenes)
    make_folder(out)
    everything: list[Detections] = []
    numbers, seconds = measure(model, dataset, "cpu", everything)
    rows, small = [], []
    for i, (found, (image, real)) in enumerate(zip(everything, dataset)):
        shown = found.above(SHOWN_SCORE)
        two = [overlay(image, objects, CLASSES) for objects in (real, shown)]
        write_image(out / f"scene_{i:02d}.png", _beside(two, 2, 8))
        two = [overlay(image, objects, CLASSES, side=256) for objects in (real, shown)]
        small.append(_beside(two, 2, 4))
        right = _count_right(shown, real)
        rows.append([f"scene_{i:02d}.png", str(len(real.labels)), str(right),
                     str(len(real.labels) - right), str(len(shown.labels) - right)])
    write_image(out / "contact_sheet.png", _contact_sheet(small))
    print_table("", ["picture", " objects", " found", " missed", " false alarms"], rows)
    print_metrics(f"{scenes} scenes", numbers)
    typer.echo(f"{1000 * seconds:.0f} ms an image on the CPU. In each picture, the truth is on the "
               "left, what was found on the right.")
    typer.echo(f"All of them on one sheet: {out / 'contact_sheet.png'}")
