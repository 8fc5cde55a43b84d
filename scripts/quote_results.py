"""Bring what the lessons quote up to date: outputs of their notebooks, and tables from records.

    python scripts/quote_results.py [LESSON ...]

In a lesson, what stands between two marks is made here, and a test holds it equal:

    <!-- quote: WORDS -->       the printed output of the lesson's notebook that has these words
    <!-- table: NAME -->        a table of teachseg.tables, with its sentences, from data/results
    <!-- end -->
"""

import re
import sys
from pathlib import Path

import nbformat

from teachseg.tables import report, runs
from teachseg.tables.specs import find

ROOT = Path(__file__).resolve().parent.parent
MARK = re.compile(r"<!-- (quote|table): (.+?) -->\n(.*?)<!-- end -->", re.S)


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


def quoted(lesson: Path) -> str:
    """The lesson's text with everything between its marks made again."""
    def again(mark: re.Match) -> str:
        kind, words, _ = mark.groups()
        made = printed(lesson, words) if kind == "quote" else measured(words)
        return f"<!-- {kind}: {words} -->\n{made}<!-- end -->"

    return MARK.sub(again, lesson.read_text("utf-8"))


def main() -> None:
    lessons = [Path(word) for word in sys.argv[1:]] or sorted((ROOT / "lessons").glob("*.md"))
    for lesson in lessons:
        text = quoted(lesson)
        if text != lesson.read_text("utf-8"):
            lesson.write_text(text, "utf-8")
            print(f"{lesson.name}: brought up to date")


if __name__ == "__main__":
    main()
