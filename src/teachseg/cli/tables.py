"""`teachseg tables`: the papers' tables in miniature.

No boxes here.

Lesson: 41
"""

import shlex
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from teachseg.cli import completion
from teachseg.cli.measuring import pick_device
from teachseg.cli.options import ROOT, Device, DeviceOption
from teachseg.cli.printing import print_table
from teachseg.cli.program import app, examples
from teachseg.cli.training import option_of

tables_app = typer.Typer(
    no_args_is_help=True, help="The papers' tables in miniature: what they say; run them again.")
app.add_typer(tables_app, name="tables")
TABLES_SHIPPED = ROOT / "data" / "results" / "tables"
TABLES_OWN = Path("runs", "tables")

NamesArgument = Annotated[list[str] | None, typer.Argument(
    metavar="[NAME]...", help="Of tables.", show_default="all", autocompletion=completion.tables)]


def _tables(names: Sequence[str] | None) -> list[Any]:
    """Tables by their names; all, where none is named."""
    from teachseg.tables.specs import TABLES, find

    return [find(name) for name in names] if names else list(TABLES.values())


def _results_file(folder: Path, table: Any) -> Path:
    return folder / f"{table.name}.json"


@tables_app.command("list", epilog=examples("teachseg tables list"))
def tables_list(
    results: Annotated[Path, typer.Option(
        help="Folder of results.", show_default="the course's")] = TABLES_SHIPPED,
) -> None:
    """Which tables there are, and how many of their runs."""
    from teachseg.tables.runs import load_results

    rows = []
    for table in _tables(None):
        runs = load_results(_results_file(results, table), table)
        seeds = sorted({one["seed"] for one in runs})
        rows.append([table.name, table.paper, str(len(table.cells)), str(len(runs)),
                     ", ".join(map(str, seeds)) or "-", table.title])
    print_table("", ["table", "paper", " cells", " runs", "seeds", "question"], rows)
    typer.echo("teachseg tables show NAME prints one, teachseg tables run NAME measures it anew.")


@tables_app.command("show", epilog=examples(
    "teachseg tables show",
    "teachseg tables show mask-head mnc-voting",
))
def tables_show(
    names: NamesArgument = None,
    results: Annotated[Path, typer.Option(
        help="Folder of results.", show_default="the course's")] = TABLES_SHIPPED,
) -> None:
    """The paper's numbers beside ours, and what the spread over seeds allows to say."""
    from teachseg.tables import report
    from teachseg.tables.runs import load_results

    for table in _tables(names):
        runs = load_results(_results_file(results, table), table)
        print_table(f"{table.title} ({table.name}; {table.measure}, in points)",
                     ["cell", " paper", " here: mean ± deviation (runs)"],
                     report.rows(table, runs))
        for one in table.compare:
            typer.echo(f"- {report.sentence(table, runs, one)}")
        for said in report.divergences(table, runs):
            typer.echo(f"- {said}")
        typer.echo(f"Paper: {table.source}. {table.note}".rstrip())
        typer.echo(f"Runs: {report.where(runs)}.")


@tables_app.command("run", epilog=examples(
    "teachseg tables run mask-head --seeds 1",
    "teachseg tables run mask-head --steps 50 --test-scenes 20 --jobs 1",
))
def tables_run(
    names: NamesArgument = None,
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each cell.")] = 3,
    results: Annotated[Path, typer.Option(
        help="Folder for NAME.json of each table; runs that it holds are not run again.",
    )] = TABLES_OWN,
    out: Annotated[Path, typer.Option(help="Folder where trainings are kept.")] = TABLES_OWN,
    jobs: Annotated[int | None, typer.Option(
        min=1, help="Trainings at once.", show_default="a core each; 4 on a GPU")] = None,
    threads: Annotated[int | None, typer.Option(
        min=1, help="Of each on the CPU.", show_default="all cores shared out")] = None,
    device: DeviceOption = Device.auto,
    steps: Annotated[int | None, typer.Option(
        min=1, help="Of each training.", show_default="the table's")] = None,
    test_scenes: Annotated[int | None, typer.Option(
        min=1, help="That each is tested on.", show_default="the table's")] = None,
) -> None:
    """Train and test the cells of tables. After Ctrl-C the same command goes on."""
    from teachseg.storage import make_folder
    from teachseg.tables import runs as runner

    wanted, where = _tables(names), pick_device(device)
    other = {name: value for name, value in (("steps", steps), ("test_scenes", test_scenes))
             if value is not None}
    make_folder(results)
    there = {t.name: runner.load_results(_results_file(results, t), t) for t in wanted}
    for table in wanted:
        runner.check_continues(_results_file(results, table), there[table.name],
                               replace(table.budget, **other), where)
    todo = runner.jobs(wanted, range(seeds), there,
                       lambda table: replace(table.budget, **other))
    if not todo:
        typer.echo(f"All runs of {len(wanted)} table(s) with {seeds} seeds are there: "
                   f"teachseg tables show --results {results}")
        return
    workers = jobs or (min(4, runner.cores()) if where == "cuda" else runner.cores())
    workers = min(workers, len(todo))
    threads = threads or max(1, runner.cores() // workers)
    words = ["teachseg", "tables", "run", "NAME", "--seeds", str(seeds)]
    words += [word for name, value in other.items() for word in (option_of(name), str(value))]
    by_name = {table.name: table for table in wanted}
    typer.echo(f"{len(todo)} trainings, {workers} at once, {threads} thread(s) each.")
    started, done = time.perf_counter(), 0
    try:
        for _job, records in runner.run_jobs(todo, out, where, workers, threads):
            done += 1
            left = (time.perf_counter() - started) / done * (len(todo) - done) / 60
            for name, record in records:
                table = by_name[name]
                runner.add_result(_results_file(results, table), table, record,
                                  shlex.join(words).replace("NAME", name))
            name, record = records[0]
            said = (f"diverged: {record['diverged']}" if record["numbers"] is None else
                    f"{by_name[name].measure} {100 * record['numbers'][by_name[name].measure]:.1f}")
            more = f" and {len(records) - 1} more cells" if len(records) > 1 else ""
            typer.echo(f"[{done}/{len(todo)}] {name}: {record['cell']}{more}, seed "
                       f"{record['seed']}: {said} ({record['training_seconds']:.0f} s); about "
                       f"{left:.0f} minutes left")
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"Stopped after {done} of {len(todo)} trainings. Those that were "
                                "running are saved: the same command goes on.") from None
    typer.echo(shlex.join(["teachseg", "tables", "show", "--results", str(results)]))
