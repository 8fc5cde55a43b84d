"""`teachseg data`: data sets to fetch, and a look at one's own.

No boxes here.

Lesson: 42
"""

import shlex
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer

from teachseg.cli import completion
from teachseg.cli.options import DataHelp, PicturesOption
from teachseg.cli.printing import print_table
from teachseg.cli.program import app, examples

data_app = typer.Typer(no_args_is_help=True, help="Data sets: what there is, get one, check one.")
app.add_typer(data_app, name="data")


@data_app.command("list", epilog=examples("teachseg data list"))
def data_list() -> None:
    """Data sets that can be fetched, and layouts that can be read."""
    from teachseg.datasets.downloads import SOURCES

    print_table("Data sets: teachseg data get NAME", ["name", "what", "size", "licence"], [
        [name, source.title, source.pictures, source.licence] for name, source in SOURCES.items()])
    typer.echo("Your own: a folder with pictures and a JSON in COCO's format, as LabelMe, CVAT and "
               "others export it. Look at it first: teachseg data check PATH")


@data_app.command("get", epilog=examples(
    "teachseg data get penn-fudan",
    "teachseg data get coco-val --out coco",
))
def data_get(
    name: Annotated[str, typer.Argument(
        help="Which one of teachseg data list.", autocompletion=completion.data_sets)],
    out: Annotated[Path | None, typer.Option(
        help="Folder for it.", show_default="sets/NAME")] = None,
) -> None:
    """Fetch a data set, check and unpack it; after a broken connection it goes on."""
    from tqdm import tqdm

    from teachseg.datasets import downloads

    out = out or Path("sets", name)
    bars: dict[str, tqdm] = {}

    def tell(file: str, have: int, total: int | None) -> None:
        if file not in bars:
            bars[file] = tqdm(total=total, unit="B", unit_scale=True, desc=file)
        bars[file].update(have - bars[file].n)

    opened = downloads.get(name, out, tell)
    for bar in bars.values():
        bar.close()
    typer.echo(f"{downloads.SOURCES[name].title} is in {out}. Look at it: teachseg data check "
               f"{shlex.quote(str(opened))}")


@data_app.command("check", epilog=examples(
    "teachseg data check sets/nuclei/stage1_train",
    "teachseg data check my.json --pictures photos --show 10",
))
def data_check(
    path: Annotated[Path, typer.Argument(help=DataHelp.removeprefix("scenes, or "))],
    split: Annotated[str, typer.Option(help="train, val or all.")] = "all",
    pictures: PicturesOption = None,
    show: Annotated[int, typer.Option(min=1, help="How many problems are told.")] = 50,
) -> None:
    """Read every picture and annotation: what is there, what is wrong, and how to mend it."""
    from tqdm import tqdm

    from teachseg.datasets.layouts import layout_of, open_dataset
    from teachseg.datasets.problems import problems_of
    from teachseg.structures import crowd_of

    data = open_dataset(path, split, pictures, on_bad="skip")
    seen: dict[str, Any] = {"objects": Counter(), "crowds": 0, "sizes": [], "empty": 0}

    class Counting:
        """The data set, which counts what it gives."""

        names, problems = data.names, data.problems

        def __len__(self) -> int:
            return len(data)

        def __getitem__(self, index: int) -> Any:
            image, targets = data[index]
            seen["objects"].update(targets.labels.tolist())
            seen["crowds"] += len(crowd_of(targets).labels)
            seen["sizes"].append(max(image.shape[1:]))
            seen["empty"] += len(targets.labels) == 0
            return image, targets

    found, lost = list(data.problems), 0
    for _, problems, usable in tqdm(problems_of(Counting()), total=len(data), unit="image",
                                    leave=False, disable=None):
        found += problems
        lost += not usable
    objects = seen["objects"]
    typer.echo(f"{path}: {layout_of(path)}, {split}; {len(data):,} pictures"
               + (f", longest sides {min(seen['sizes'])} to {max(seen['sizes'])} pixels"
                  if seen["sizes"] else ""))
    typer.echo(f"{objects.total():,} objects of {len(objects)} of {len(data.classes)} classes, "
               f"{seen['crowds']:,} crowd regions, {seen['empty']:,} pictures without objects")
    common = [f"{data.classes[label - 1]} {count:,}" for label, count in objects.most_common(8)]
    typer.echo(", ".join(common) + (", ..." if len(objects) > 8 else ""))
    for problem in found[:show]:
        typer.echo(f"- {problem}")
    if len(found) > show:
        typer.echo(f"... and {len(found) - show:,} more: --show {len(found)}")
    if found:
        raise ValueError(f"{len(found):,} problems; {lost:,} pictures cannot be used at all. Mend "
                         "them, or train without them: teachseg train --skip-bad.")
    typer.echo("Nothing is wrong.")
