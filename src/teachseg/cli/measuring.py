"""Running a model over images and measuring what it finds.

No boxes here.

Lesson: 00
"""

import math
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from teachseg.cli.options import Device

if TYPE_CHECKING:
    from torch import nn

    from teachseg.structures import Detections


def pick_device(device: Device) -> str:
    """cpu or cuda; ValueError where the one asked for is not there."""
    import torch

    there = torch.cuda.is_available()
    if device.value == "cuda" and not there:
        raise ValueError("--device cuda was asked for, but torch sees no such device here. Use "
                         "--device cpu, or install a driver and a torch built for it.")
    return "cuda" if there and device.value != "cpu" else "cpu"


def predictor(model: "nn.Module") -> Callable[..., list["Detections"]]:
    """The `predict` of a model's paper."""
    from teachseg.checkpoints import page, paper_of

    return page(paper_of(model)).predict


def measure(
    model: "nn.Module", data: Any, device: str, found: list["Detections"] | None = None
) -> tuple[dict[str, float], float]:
    """Run a model on every image: the numbers of `evaluate_pairs`, and seconds an image.

    Of several processes each looks at its part, and the first one puts their answers together; the
    others get no numbers.

    Args:
        found: what is found is appended to it; without it, masks are let go image by image.
    """
    from tqdm import tqdm

    from teachseg import processes
    from teachseg.evaluate import encode_pair, evaluate_encoded, see_each

    classes, seconds, mine = model.config.num_classes, [], []
    part = range(processes.rank(), len(data), processes.world())
    bar = tqdm(part, unit="image", leave=False, disable=None if not part.start else True)
    for seen in see_each(model, predictor(model), data, device, bar):
        seconds.append(seen.seconds)
        if found is not None:
            found.append(seen.found)
        mine.append((seen.index, encode_pair(seen.found, seen.real, classes, seen.index)))
    everything = [one for theirs in processes.gather(mine) for one in theirs]
    if not everything:
        return {}, math.nan
    pairs = (pair for _, pair in sorted(everything, key=lambda one: one[0]))
    return evaluate_encoded(pairs, classes), statistics.median(seconds)


def check_file(file: Path | None) -> None:
    """ValueError, before the work is done, where a file could not be written after it."""
    if file is None:
        return
    from teachseg.storage import make_folder

    if file.is_dir():
        raise ValueError(f"{file} is a folder; the name of a file in it is needed.")
    with tempfile.TemporaryFile(dir=make_folder(file.parent)):
        pass
