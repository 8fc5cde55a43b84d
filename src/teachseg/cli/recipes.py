"""`teachseg recipes`: models with their trainings, and what to expect of them.

No boxes here.

Lesson: 42
"""

import typer

from teachseg.cli.program import app, examples


@app.command("recipes", epilog=examples("teachseg recipes"))
def recipes_command() -> None:
    """Models with their trainings, under one name: for teachseg train --recipe."""
    from teachseg.recipes import RECIPES

    for name, one in RECIPES.items():
        typer.echo(f"{name}\n    {one.title}; {one.train.steps:,} steps of "
                   f"{one.train.images_a_step} images of {one.data}")
        for said in one.expects or [None]:
            if said is None:
                typer.echo("    not measured yet")
                continue
            time_ = f"; {said.hours:g} hours on {said.gpu}" if said.hours else ""
            memory = f", {said.gpu_memory:g} GB on each" if said.gpu_memory else ""
            typer.echo(f"    {said.accuracy}{time_}{memory} [{said.source}]")
        typer.echo(f"    a picture of 640 x 480 (or a window) takes {one.pass_seconds:g} s and "
                   f"{one.pass_gb:g} GB on 2 CPU cores in 32 bits [measured by us: "
                   "data/results/bench/recipes.json]")
    typer.echo("Use one: teachseg train --recipe NAME --data PATH")
