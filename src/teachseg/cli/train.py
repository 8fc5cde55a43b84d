"""`teachseg train`: the options, and what they are where nobody gave them.

No boxes here.

Lesson: 00
"""

import os
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import typer

from teachseg.cli import completion
from teachseg.cli.measuring import pick_device
from teachseg.cli.options import (
    SCENES,
    VALIDATION_SCENES,
    DataHelp,
    Device,
    DeviceOption,
    Kind,
    KindOption,
    OneClassOption,
    OnlyOption,
    Paper,
    PicturesOption,
    Precision,
    SideOption,
    Size,
)
from teachseg.cli.program import app, examples
from teachseg.cli.training import FULL_RECIPES, Training, as_begun, run_training


@app.command(epilog=examples(
    "teachseg train --steps 200",
    "teachseg train --resume",
    "teachseg train --recipe mask-rcnn-nuclei --data sets/nuclei/stage1_train",
))
def train(
    ctx: typer.Context,
    paper: Annotated[Paper, typer.Option(help="Which paper's model.")] = Paper.mask_rcnn,
    config: Annotated[Size, typer.Option(
        help="course: small, for a CPU; paper: the full one, for a GPU; code: as MNC's was "
             "released.")] = Size.course,
    recipe: Annotated[str | None, typer.Option(
        help="A model, its training and its backbone's weights under one name: teachseg recipes.",
        autocompletion=completion.recipes)] = None,
    data: Annotated[str, typer.Option(
        help=f"What it learns from: {DataHelp}", autocompletion=completion.data)] = SCENES,
    steps: Annotated[int | None, typer.Option(
        min=1, help="Updates of the weights.", show_default="1500, or the recipe's")] = None,
    batch_size: Annotated[int | None, typer.Option(
        min=1, help="Images at once.",
        show_default="8; with --config paper 2, of mnc 1; or the recipe's")] = None,
    accumulate: Annotated[int | None, typer.Option(
        min=1, help="Batches a step.", show_default="1, or the recipe's")] = None,
    learning_rate: Annotated[float | None, typer.Option(
        help="The largest.",
        show_default="0.002; with --config paper 0.00125 for each image of a step, of mnc "
                     "0.000125; or the recipe's, in proportion to the images of a step")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of every source of chance.")] = 0,
    images: Annotated[int | None, typer.Option(
        min=1, help="How many scenes.", show_default="a new one each time")] = None,
    image_size: SideOption = 128,
    kind: KindOption = Kind.mixed,
    out: Annotated[Path | None, typer.Option(
        help="Folder for all files.", show_default="runs/PAPER, runs/RECIPE")] = None,
    resume: Annotated[bool, typer.Option(
        "--resume", help="Go on with the run in --out, with the settings that it has.")] = False,
    device: DeviceOption = Device.auto,
    precision: Annotated[Precision | None, typer.Option(
        help="Of the numbers.", show_default="32-true, or the recipe's")] = None,
    threads: Annotated[int | None, typer.Option(
        min=1, help="Of the CPU.", show_default="torch's choice")] = None,
    workers: Annotated[int | None, typer.Option(
        min=0, help="Processes that read images; 0: the training one.",
        show_default="0, or the recipe's")] = None,
    save_every: Annotated[int | None, typer.Option(
        min=1, help="Steps from save to save.", show_default="200, or the recipe's")] = None,
    backbone_weights: Annotated[str | None, typer.Option(
        help="A name of torchvision's, say IMAGENET1K_V1, or a .safetensors file.",
        show_default="none, or the recipe's")] = None,
    freeze: Annotated[int | None, typer.Option(
        min=0, help="So many first stages of the backbone keep their weights.",
        show_default="0, or the recipe's")] = None,
    pictures: PicturesOption = None,
    one_class: OneClassOption = None,
    only: OnlyOption = None,
    skip_bad: Annotated[bool, typer.Option(
        "--skip-bad", help="Leave out pictures and annotations that are wrong, and list them.",
    )] = False,
    in_memory: Annotated[bool, typer.Option(
        "--in-memory", help="Read every picture once, and keep it.")] = False,
    scale: Annotated[tuple[float, float] | None, typer.Option(
        metavar="LOW HIGH", help="Make each picture smaller or larger by chance.",
        show_default="as it is, or the recipe's")] = None,
    crop: Annotated[int | None, typer.Option(
        min=1, help="A window of this side of each picture, pixels.",
        show_default="all of it, or the recipe's")] = None,
    colour: Annotated[float | None, typer.Option(
        min=0, max=0.99, help="Brighter, darker, more or less colourful by up to this share.",
        show_default="0, or the recipe's")] = None,
    start_from: Annotated[str | None, typer.Option(
        help="Begin with all weights of a checkpoint: a shipped one's name, or a path.",
        autocompletion=completion.checkpoints)] = None,
    set: Annotated[list[str] | None, typer.Option(
        "--set", metavar="NAME=VALUE", help="Change a setting of the model; more than once, too.",
    )] = None,
    devices: Annotated[int | None, typer.Option(
        min=1, help="GPUs of this machine, or processes on its CPU.",
        show_default="1, or what torchrun says")] = None,
    nodes: Annotated[int | None, typer.Option(
        min=1, help="Machines.", show_default="1, or what torchrun says")] = None,
    channels_last: Annotated[bool, typer.Option(
        "--channels-last", help="Keep a pixel's channels side by side: faster on some GPUs.",
    )] = False,
    compile: Annotated[bool, typer.Option(
        "--compile", help="Compile the backbone; the first steps take minutes.")] = False,
    half: Annotated[bool, typer.Option(
        "--half", help="Store the finished weights in 16 bits: half the file.")] = False,
    evaluate: Annotated[bool, typer.Option(
        help=f"Measure it on {VALIDATION_SCENES} validation scenes at the end.")] = True,
) -> None:
    """Train a model from the beginning, or go on with a training that was stopped."""
    from teachseg import recipes

    known = recipes.find(recipe) if recipe else None
    if known and getattr(ctx.get_parameter_source("paper"), "name", "") == "COMMANDLINE" \
            and paper.value != known.paper:
        raise ValueError(f"--recipe {recipe} is one of {known.paper}: leave --paper out.")
    paper = Paper(known.paper) if known else paper

    def chosen(given: Any, name: str, otherwise: Any) -> Any:
        """What is given, else what the recipe says, else what is usual."""
        if given is not None:
            return given
        return getattr(known.train, name) if known else otherwise

    devices = devices or int(os.environ.get("LOCAL_WORLD_SIZE", 1))  # torchrun sets them
    nodes = nodes or int(os.environ.get("GROUP_WORLD_SIZE", 1))
    full = FULL_RECIPES[paper.value]
    usual = 8 if config.value == "course" else full.batch_size
    batch_size = chosen(batch_size, "batch_size", usual)
    accumulate = chosen(accumulate, "accumulate", 1)
    if learning_rate is None and known:
        learning_rate = recipes.adapted(known, batch_size=batch_size, accumulate=accumulate,
                                        devices=devices, nodes=nodes).learning_rate
    elif learning_rate is None:
        images_a_step = batch_size * accumulate * devices * nodes
        learning_rate = 2e-3 if config.value == "course" else full.rate * images_a_step
    steps = chosen(steps, "steps", 1500)
    drawn = data == SCENES
    asked = Training(
        paper=paper.value, config=config.value, data=data, steps=steps, batch_size=batch_size,
        learning_rate=learning_rate, seed=seed,
        images=(images or steps * batch_size * accumulate * devices * nodes) if drawn else None,
        image_size=image_size if drawn else None, kind=kind.value if drawn else None,
        device=pick_device(device),
        precision=precision.value if precision else chosen(None, "precision", "32-true"),
        threads=threads, half=half, start_from=start_from, set=set or [], recipe=recipe,
        backbone_weights=backbone_weights or (known.weights if known and not start_from else None),
        freeze=freeze if freeze is not None else known.frozen_stages if known else 0,
        accumulate=accumulate, pictures=str(pictures) if pictures else None, one_class=one_class,
        only=only or [], skip_bad=skip_bad, in_memory=in_memory,
        scale=chosen(scale, "scale", None), crop=chosen(crop, "crop", None),
        colour=chosen(colour, "colour", 0.0), devices=devices, nodes=nodes,
        channels_last=channels_last, compile=compile,
    )
    workers, save_every = chosen(workers, "workers", 0), chosen(save_every, "save_every", 200)
    out = out or Path("runs", recipe or paper.value)
    if resume:
        given = {one.name for one in fields(asked)
                 if getattr(ctx.get_parameter_source(one.name), "name", "") == "COMMANDLINE"}
        given |= {name for name, word in (("devices", "LOCAL_WORLD_SIZE"),
                                          ("nodes", "GROUP_WORLD_SIZE")) if word in os.environ}
        asked = as_begun(asked, given, out)
    run_training(asked, out, resume, workers, save_every, evaluate)
