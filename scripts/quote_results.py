"""Bring what the lessons and the README quote up to date: outputs of notebooks, and records.

    python scripts/quote_results.py [PAGE ...]

In a page, what stands between two marks is made here, and a test holds it equal:

    <!-- quote: WORDS -->       the printed output of the lesson's notebook that has these words
    <!-- table: NAME -->        a table of teachseg.tables, with its sentences, from data/results
    <!-- list: models -->       what the trained models reach, from their manifests and the bench
    <!-- list: lessons -->      the lessons with their notebooks and the modules they explain
    <!-- end -->
"""

import json
import re
import sys
from pathlib import Path

import nbformat
from make_site import PARTS, facts_of, module_of

from teachseg import checkpoints
from teachseg.tables import report, runs
from teachseg.tables.specs import find

ROOT = Path(__file__).resolve().parent.parent
PAPERS = {"1": "mnc", "2": "mask_rcnn", "3": "deep_metric"}  # by the first digit of its lessons
MARK = re.compile(r"<!-- (quote|table|list): (.+?) -->\n(.*?)<!-- end -->", re.S)


def printed(lesson: Path, words: str) -> str:
    """The one output of a lesson's notebook in which the words stand, as a block of text."""
    notebook = ROOT / "notebooks" / f"{lesson.stem}.ipynb"
    texts = [output.text for cell in nbformat.read(notebook, as_version=4).cells
             if cell.cell_type == "code" for output in cell.outputs
             if output.output_type == "stream" and words in output.text]
    if len(texts) != 1:
        raise SystemExit(f"{lesson.name} quotes {words!r}, which stands in {len(texts)} outputs of "
                         f"{notebook.name}: name words that stand in one.")
    return f"```\n{texts[0].rstrip()}\n```\n"


def measured(name: str) -> str:
    """A table with its sentences, from its records."""
    table = find(name)
    file = ROOT / "data" / "results" / "tables" / f"{name}.json"
    return report.markdown(table, runs.load_results(file, table)).rstrip() + "\n"


def models() -> str:
    """What each trained model reaches on the validation scenes, and its time beside torchvision."""
    report = json.loads((ROOT / "data" / "results" / "bench" / "report.json").read_text("utf-8"))
    times = {line["name"].split(":")[0]: line for line in report["lines"]["Models"]
             if "prediction" in line["name"]}
    lines = ["| model | parameters | AP^r at 0.5 | AP^r at 0.7 | COCO AP | a scene, ms | beside "
             "torchvision's | measure it |",
             "| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |"]
    for name in checkpoints.MODELS:
        facts, time = checkpoints.manifest(name), times[name]
        got, scenes = facts["metrics"], int(re.search(r"of (\d+) scenes", time["name"])[1])
        lines.append(
            f"| `{name}` | {facts['parameters']:,} | {100 * got['APr50']:.1f} | "
            f"{100 * got['APr70']:.1f} | {100 * got['AP']:.1f} | {time['ours_ms'] / scenes:.0f} | "
            f"{time['ratio']:.2f} ({time['low']:.2f} to {time['high']:.2f}) | "
            f"`teachseg evaluate {name}` |")
    return "\n".join(lines) + "\n"


def lessons() -> str:
    """Each lesson with its notebook and the modules that it names first, part by part."""
    lines = ["| | lesson | notebook | in the library |", "| --- | --- | --- | --- |"]
    part = ""
    for page in sorted((ROOT / "lessons").glob("[0-9][0-9]_*.md")):
        facts, _ = facts_of(page)
        names = dict.fromkeys(module_of(name) for name in facts["symbols"])
        names = [name for name in names if name and not name.startswith("explore.")]
        modules = ", ".join(f"`{name}`" for name in names[:3])
        if page.stem[0] != part:
            part = page.stem[0]
            own = f"`papers.{PAPERS[part]}`" if part in PAPERS else ""
            lines.append(f"| | **{PARTS[part]}** | | {own} |")
        number, path = page.stem[:2], f"notebooks/{page.stem}.ipynb"
        lines.append(f"| {number} | [{facts['title']}](lessons/{page.name}) | [{number}]({path}) | "
                     f"{modules} |")
    return "\n".join(lines) + "\n"


LISTS = {"models": models, "lessons": lessons}


def made(page: Path, kind: str, words: str) -> str:
    """What stands between two marks."""
    if kind == "quote":
        return printed(page, words)
    return measured(words) if kind == "table" else LISTS[words]()


def quoted(lesson: Path) -> str:
    """The lesson's text with everything between its marks made again."""
    def again(mark: re.Match) -> str:
        kind, words, _ = mark.groups()
        return f"<!-- {kind}: {words} -->\n{made(lesson, kind, words)}<!-- end -->"

    return MARK.sub(again, lesson.read_text("utf-8"))


def main() -> None:
    pages = [Path(word) for word in sys.argv[1:]]
    for page in pages or [ROOT / "README.md", *sorted((ROOT / "lessons").glob("*.md"))]:
        text = quoted(page)
        if text != page.read_text("utf-8"):
            page.write_text(text, "utf-8")
            print(f"{page.name}: brought up to date")


if __name__ == "__main__":
    main()
