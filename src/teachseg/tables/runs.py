"""Running the cells of tables: trainings that resume, tests of them, and the record of each.

A training is decided by its settings, budget, schedule, starting weights and seed; cells that agree
in these share it, within a table and between tables. Its folder, runs/tables/KEY, holds what
`train.fit` writes until it is done, then its weights and `done.json`. A cell's record is made from
the weights and says everything that could explain its number.

A training whose losses are no longer finite is not dropped: its record says at which step, and the
table counts it as diverged.

Boxes pass through unseen.

Lesson: 41
"""

import csv
import hashlib
import json
import math
import multiprocessing
import os
import platform
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from teachseg import __version__
from teachseg.checkpoints import MODELS, SHIPPED, load_weights, page, paper_of
from teachseg.datasets.scenes import CLASSES, RECIPE, Scenes
from teachseg.evaluate import evaluate_pairs, see_each
from teachseg.storage import (
    load_json,
    load_pair,
    make_folder,
    pair_files,
    save_json,
    save_pair,
    sha256,
)
from teachseg.tables.specs import Budget, Cell, Table, find
from teachseg.train import NotFinite, Stopped, TrainConfig, fit

FORMAT = 1
HOW = "teachseg tables 1"  # change it whenever the same settings would give other numbers
START = SHIPPED / "course_backbone"  # what every training's backbone begins with
STAGES = (1, 2, 3)  # of MNC, trained one after the other
MEASURES = ("APr50", "APr60", "APr70", "APr80", "APr90", "AP", "AP50", "AP75", "APs", "APm",
            "AR100")
LAST = 20  # steps whose mean loss is kept


@dataclass(frozen=True)
class Training:
    """Everything that decides one run: its weights, and what they are tested on."""

    paper: str
    settings: str      # of the model, those that are not the paper's defaults, as JSON
    budget: Budget
    schedule: str
    start: str         # sha256 of the weights that the backbone begins with
    seed: int

    @property
    def key(self) -> str:
        """The name of its folder."""
        words = json.dumps([HOW, RECIPE, asdict(self)], sort_keys=True)
        return f"{self.paper}-{hashlib.sha256(words.encode()).hexdigest()[:12]}-{self.seed}"


def config_of(table: Table, cell: Cell, testing: bool = False) -> Any:
    """The model's settings in a cell, in training or in testing."""
    changes = {**table.base, **cell.change, **(cell.test if testing else {})}
    return replace(page(table.paper).Config.course(len(CLASSES)), **changes)


def as_json(config: Any) -> dict[str, Any]:
    """A config as a record holds it."""
    return json.loads(json.dumps(asdict(config)))


def own_settings(config: Any) -> dict[str, Any]:
    """Those that differ from the defaults of their class: a new setting, left alone, is not among
    them, so that it makes no older run invalid."""
    defaults = as_json(type(config)(config.num_classes))
    return {name: value for name, value in as_json(config).items() if value != defaults[name]}


def training_of(table: Table, cell: Cell, seed: int, budget: Budget | None = None) -> Training:
    """The training that a cell needs."""
    return Training(table.paper, json.dumps(own_settings(config_of(table, cell)), sort_keys=True),
                    budget or table.budget, cell.schedule,
                    sha256(pair_files(START)[0]), seed)


# ---- One training -------------------------------------------------------------------------------


def new_model(table: Table, cell: Cell, seed: int) -> nn.Module:
    """An untrained model, a pure function of the seed, whose backbone begins with `START`.

    What a deeper backbone has more is random, as all else is.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        model = getattr(page(table.paper), MODELS[table.paper])(config_of(table, cell))
    tensors, _ = load_pair(START)
    own = "backbone."
    known = {name.removeprefix(own): tensor for name, tensor in tensors.items()}
    left_out = model.backbone.load_state_dict(known, strict=False)
    if left_out.unexpected_keys or len(left_out.missing_keys) == len(model.backbone.state_dict()):
        raise ValueError(f"{START}.safetensors holds no backbone of the course: it has "
                         f"{', '.join(sorted(known)[:2])}, ... Take the one that comes with the "
                         "course: git checkout -- data/checkpoints.")
    return model


def phases(table: Table, cell: Cell) -> list[tuple[str, Callable[..., Any], tuple[int, ...]]]:
    """(name, losses, stages that learn) of each training in turn; all at once is one phase."""
    losses_of = page(table.paper).training_losses
    if cell.schedule == "together":
        return [("all", losses_of, ())]
    return [(f"stage {stage}", partial(losses_of, stages=(stage,)), (stage,))
            for stage in STAGES]


def train_config(budget: Budget, seed: int, device: str, threads: int | None) -> TrainConfig:
    """How one phase is trained."""
    return TrainConfig(
        steps=budget.steps, batch_size=budget.batch_size, learning_rate=budget.learning_rate,
        warmup_steps=min(50, max(1, budget.steps // 5)), seed=seed, precision=budget.precision,
        device=device, threads=threads, save_every=min(200, budget.steps),
    )


def train(
    table: Table, cell: Cell, training: Training, folder: Path, device: str, threads: int | None
) -> dict[str, Any]:
    """Train it, or go on where it was stopped; -> what `done.json` says.

    A stop between two saves loses the steps since the last one, no more.
    """
    done = folder / "done.json"
    settings = as_json(config_of(table, cell))
    if done.exists():
        facts = load_json(done)
        if facts.get("settings", settings) != settings:
            raise ValueError(f"{folder} holds a training with other settings than this version's "
                             "under the same name. Delete it, or keep trainings elsewhere: --out "
                             "FOLDER.")
        _remove_phases(folder)
        return facts
    model = new_model(table, cell, training.seed)
    config = train_config(training.budget, training.seed, device, threads)
    scenes = Scenes("train", config.steps * config.batch_size, training.budget.image_size,
                    training.budget.kind)
    facts: dict[str, Any] = {"diverged": None, "seconds": 0.0, "losses": {}, "settings": settings,
                             "place": facts_of_place(device, threads)}
    for number, (name, losses_of, stages) in enumerate(phases(table, cell), start=1):
        if stages:
            page(table.paper).learn_only(model, stages)
        stop_if_asked()
        place = make_folder(folder / f"phase-{number}")
        resume = (place / "state.json").exists()
        try:
            for _ in fit(model, losses_of, scenes, config, place, {"phase": name}, resume):
                pass
        except NotFinite as error:
            facts["diverged"] = f"{name}: {str(error).split('. ')[0]}"  # the rest is advice
            break
        facts["seconds"] += load_json(place / "checkpoint.json")["seconds"]
        facts["losses"] |= last_losses(place / "log.csv")
    save_pair(folder / "weights", model.state_dict(), {"training": asdict(training)})
    save_json(done, facts)
    _remove_phases(folder)
    return facts


def _remove_phases(folder: Path) -> None:
    """What only a resumed training needs."""
    for place in folder.glob("phase-*"):
        shutil.rmtree(place)


def last_losses(log: Path) -> dict[str, float]:
    """The means of the last steps in a training's log.csv, interrupted or not."""
    with open(log, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))[-LAST:]
    others = ("step", "learning_rate", "seconds", "data_seconds")
    return {name: sum(float(row[name]) for row in rows) / len(rows)
            for name in rows[0] if name not in others}


# ---- One test -----------------------------------------------------------------------------------


def test(model: nn.Module, config: Any, budget: Budget, device: str) -> tuple[dict, float]:
    """A trained model with a cell's settings -> its numbers, and seconds a scene."""
    model.config = config
    scenes = Scenes("tables", budget.test_scenes, budget.image_size, budget.kind)
    seconds = []

    def pairs() -> Iterator:
        for seen in see_each(model, page(paper_of(model)).predict, scenes, device):
            seconds.append(seen.seconds)
            yield seen.found, seen.real

    numbers = evaluate_pairs(pairs(), config.num_classes)
    kept = {name: None if math.isnan(numbers[name]) else round(numbers[name], 6)
            for name in MEASURES}
    counts = {name: int(numbers[name]) for name in ("images", "objects", "detections")}
    return kept | counts, sorted(seconds)[len(seconds) // 2]


def facts_of_place(device: str, threads: int | None) -> dict[str, Any]:
    """Where and with what a run ran."""
    name = torch.cuda.get_device_name() if device == "cuda" else "cpu"
    return {"teachseg": __version__, "torch": torch.__version__, "how": HOW, "scenes": RECIPE,
            "device": name, "machine": platform.machine(), "threads": threads}


def run_cell(
    table: Table, cell: Cell, seed: int, out: Path, device: str = "cpu",
    threads: int | None = None, budget: Budget | None = None,
) -> dict[str, Any]:
    """Train and test one cell with one seed: its record, as JSON knows it.

    Args:
        out: where trainings are kept.
        threads: of the CPU; None: as it is.
        budget: where it is not the table's own.
    """
    training = training_of(table, cell, seed, budget)
    folder = make_folder(out / training.key)
    with alone(folder):
        facts = train(table, cell, training, folder, device, threads)
        config = config_of(table, cell, testing=True)
        numbers, seconds = None, None
        if facts["diverged"] is None:
            model = new_model(table, cell, seed)
            load_weights(model, folder / "weights")
            if threads:
                torch.set_num_threads(threads)
            numbers, seconds = test(model, config, training.budget, device)
    return {
        "cell": cell.name, "seed": seed, "settings": as_json(config), "schedule": cell.schedule,
        "budget": asdict(training.budget), "start": training.start, "training": training.key,
        "diverged": facts["diverged"], "numbers": numbers, "losses": facts["losses"],
        "training_seconds": round(facts["seconds"], 1),
        "seconds_an_image": None if seconds is None else round(seconds, 4),
        "weights": None if numbers is None else load_json(folder / "weights.json")["sha256"],
        **facts.get("place", facts_of_place(device, threads)),  # where it was trained
    }


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Only one process at a time works in a folder; the next one waits."""
    try:
        import fcntl
    except ImportError:  # Windows: there, one process at a time
        yield
        return
    held = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
    finally:
        os.close(held)  # which gives the lock back


# ---- Files of results ---------------------------------------------------------------------------

RECORD = {  # what a record must hold, and of which kind
    "cell": str, "seed": int, "settings": dict, "schedule": str, "budget": dict, "start": str,
    "training": str, "diverged": str | None, "numbers": dict | None, "losses": dict,
    "training_seconds": float | int, "seconds_an_image": float | int | None,
    "weights": str | None, "teachseg": str, "torch": str, "how": str, "scenes": str, "device": str,
    "machine": str, "threads": int | None,
}
TOGETHER = ("teachseg", "torch", "device", "start", "budget")  # equal in all records of a table


def refusal(record: Any, table: Table) -> str | None:
    """Why a record does not belong into a table as it is today; None where it does."""
    if not isinstance(record, dict):
        return f"a record is a list of named facts, this is {type(record).__name__}"
    for name, kind in RECORD.items():
        if name not in record:
            return f"it does not say its {name}"
        if not isinstance(record[name], kind):
            return f"its {name} is {record[name]!r}"
    try:
        cell = table.cell(record["cell"])
    except ValueError as error:
        return str(error)
    if (record["numbers"] is None) != (record["diverged"] is not None):
        return "it neither diverged nor has numbers" if record["numbers"] is None else \
            "it diverged and has numbers"
    if record["numbers"] is not None:
        lacking = [name for name in MEASURES if name not in record["numbers"]]
        if lacking:
            return f"its numbers lack {', '.join(lacking)}"
    wanted = {"how": HOW, "scenes": RECIPE, "schedule": cell.schedule}
    for name, value in wanted.items():
        if record[name] != value:
            return f"its {name} is {record[name]!r}, and this version's is {value!r}"
    config = config_of(table, cell, testing=True)
    settings, old = as_json(config), record["settings"]
    new = own_settings(config).keys() - old.keys()  # a new setting matters where it is not left
    changed = sorted(new | {name for name in old if settings.get(name, ...) != old[name]})
    if changed:
        name = changed[0]
        return (f"its setting {name} is {old.get(name)!r}, and this version's is "
                f"{settings.get(name)!r}")
    try:
        budget = Budget(**record["budget"])
    except TypeError:
        return f"its budget is {record['budget']!r}"
    wanted_key = replace(training_of(table, cell, record["seed"], budget),
                         start=record["start"]).key
    if record["training"] != wanted_key:
        return f"its training is {record['training']}, and these settings' is {wanted_key}"
    return None


def load_results(path: Path, table: Table) -> list[dict[str, Any]]:
    """The records of a table's file, each looked at; [] where there is no file.

    Raises:
        ValueError: a record is of another version, of other settings, or not whole; or the records
            are not of one version, device and budget.
    """
    if not path.exists():
        return []
    content = load_json(path)
    again = "Run the table again into another folder: teachseg tables run --results FOLDER."
    if not isinstance(content, dict) or content.get("format") != FORMAT \
            or content.get("table") != table.name or not isinstance(content.get("runs"), list):
        raise ValueError(f"{path} holds no results of the table {table.name} in format {FORMAT}. "
                         f"{again}")
    seen: dict[tuple[str, int], int] = {}
    for number, record in enumerate(content["runs"]):
        why = refusal(record, table)
        if why is not None:
            raise ValueError(f"{path}, run {number}, is refused: {why}. {again}")
        place = (record["cell"], record["seed"])
        if place in seen:
            raise ValueError(f"{path}, run {number}, is refused: run {seen[place]} is of the same "
                             f"cell and seed, {place}. Delete one of them.")
        seen[place] = number
        first = content["runs"][0]
        for name in TOGETHER:
            if record[name] != first[name]:
                raise ValueError(f"{path}, run {number}, is refused: its {name} is "
                                 f"{record[name]!r}, that of run 0 is {first[name]!r}, and a table "
                                 f"compares what differs in nothing else. {again}")
    return content["runs"]


def check_continues(path: Path, runs: Sequence[dict], budget: Budget, device: str) -> None:
    """ValueError where new runs, here and with this budget, could not stand beside those in a file.

    Args:
        device: cpu or cuda.
    """
    now = facts_of_place(device, None) | {"budget": json.loads(json.dumps(asdict(budget))),
                                          "start": sha256(pair_files(START)[0])}
    for name in TOGETHER if runs else ():
        if runs[0][name] != now[name]:
            raise ValueError(f"{path} has runs whose {name} is {runs[0][name]!r}, and now it would "
                             f"be {now[name]!r}: a table compares what differs in nothing else. "
                             "Run it into another folder: --results FOLDER.")


def add_result(path: Path, table: Table, record: dict, command: str) -> None:
    """Put one record among those of a file, whoever else has written there meanwhile."""
    with alone(path.parent):
        others = [one for one in load_results(path, table)
                  if (one["cell"], one["seed"]) != (record["cell"], record["seed"])]
        save_results(path, table, [*others, record], command)


def save_results(path: Path, table: Table, runs: Sequence[dict], command: str) -> None:
    """Write a table's records, in the order of its cells and seeds."""
    order = {cell.name: place for place, cell in enumerate(table.cells)}
    runs = sorted(runs, key=lambda one: (order[one["cell"]], one["seed"]))
    save_json(path, {"format": FORMAT, "table": table.name, "command": command, "runs": runs})


# ---- Many runs ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Job:
    """One training, and the cells that are tested with it."""

    training: Training
    cells: tuple[tuple[str, str], ...]  # (table, cell)


def jobs(
    tables: Sequence[Table], seeds: Sequence[int], there: dict[str, list[dict]],
    budget: Callable[[Table], Budget] | None = None,
) -> list[Job]:
    """The trainings that are missing: the first seed of all tables first.

    Args:
        there: records that are there already, by table.
    """
    found: dict[Training, list[tuple[str, str]]] = {}
    for seed in seeds:
        for table in tables:
            have = {(one["cell"], one["seed"]) for one in there.get(table.name, [])}
            for cell in table.cells:
                if (cell.name, seed) not in have:
                    training = training_of(table, cell, seed, budget and budget(table))
                    found.setdefault(training, []).append((table.name, cell.name))
    return [Job(training, tuple(cells)) for training, cells in found.items()]


def do(job: Job, out: Path, device: str, threads: int | None) -> list[tuple[str, dict]]:
    """(table, record) of each cell of a job. What a worker process is asked for."""
    stop_if_asked()
    if threads:
        torch.set_num_threads(threads)
    return [(name, run_cell(find(name), find(name).cell(cell), job.training.seed, out, device,
                            threads, job.training.budget))
            for name, cell in job.cells]


def cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_asked: list[int] = []  # signals that came to this worker while it was not in a training's steps


def _note_signals() -> None:
    """A worker notes Ctrl-C until its work can stop; in its steps, `train.fit` sees to that."""
    signal.signal(signal.SIGINT, lambda number, frame: _asked.append(number))


def stop_if_asked() -> None:
    """Raise Stopped in a worker that was asked to stop before its steps began."""
    if _asked:
        raise Stopped("Stopped before its first step, as asked.")


def run_jobs(
    todo: Sequence[Job], out: Path, device: str, workers: int, threads: int | None
) -> Iterator[tuple[Job, list[tuple[str, dict]]]]:
    """Run trainings, several at once: each job with its records, as they are done.

    Args:
        workers: processes; with 1, this one does the work.
        threads: of the CPU, for each.

    Raises:
        KeyboardInterrupt: Ctrl-C came; what was running has saved its step, and goes on from there
            the next time.
    """
    if workers == 1:
        for job in todo:
            yield job, do(job, out, device, threads)
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_note_signals)
    waiting, running = list(todo), {}
    try:
        while waiting or running:
            while waiting and len(running) < workers:  # no more: what waits can be left undone
                job = waiting.pop(0)
                running[pool.submit(do, job, out, device, threads)] = job
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                yield running.pop(future), future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
