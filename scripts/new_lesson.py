"""Begin a lesson: its page and its notebook, from the templates.

    python scripts/new_lesson.py 23 deformable_masks "Deformable masks"

Nothing is overwritten. The notebook runs as it stands; what has to be written is in italics. What
else has to know of a new lesson is printed at the end.
"""

import json
import re
import sys
from pathlib import Path

import nbformat
import set_address
from make_notebooks import NOTEBOOKS, ROOT, clean, write

LESSONS = ROOT / "lessons"
TEMPLATES = LESSONS / "_template"
ELSEWHERE = """\
Now write. Then these have to know of it; the tests say what is missing:
  tests/test_lessons.py: its number and name, in COURSE
  lessons/00_start_here.md and notebooks/00_start_here.ipynb: a row of the map, the ways through
  README.md: how many lessons and exercises, the ways through (its tables: scripts/quote_results.py)
  lessons/glossary.md, notation.md, equations.md, deviations.md, common_errors.md: what is new
  the modules that it explains: "Lesson: {number}" at the end of their docstrings
  src/teachseg/exercises/registry.py: a new page of exercises, in PAGES
  tests/notebooks/test_naive.py: what the notebook writes by hand
  a module more in the library: scripts/draw_floors.py
  the notebook before it links to this one, this one to the next
  CHANGELOG.md
Run it: python scripts/make_notebooks.py notebooks/{number}_{slug}.ipynb
Check it, new files with `git add` first:
  python -m pytest tests/test_lessons.py tests/test_notebooks.py tests/test_house.py \\
    tests/test_quotes.py tests/test_course_report.py tests/test_readme.py tests/exercises \\
    tests/notebooks -m "not slow"
  python scripts/check_notebooks.py notebooks/{number}_{slug}.ipynb
  python scripts/make_site.py, and look at both pages
"""


def filled(text: str, number: str, slug: str, title: str) -> str:
    """A template's text with the three names in their places."""
    return text.replace("NN_SLUG", f"{number}_{slug}").replace("NN", number).replace("TITLE", title)


def begin(number: str, slug: str, title: str) -> tuple[Path, Path]:
    """Write the page and the notebook; -> their paths. SystemExit where that cannot be."""
    if not re.fullmatch(r"\d\d", number) or not re.fullmatch(r"[a-z][a-z0-9_]*", slug):
        raise SystemExit(f"A number of two digits and a name like some_words are needed, got "
                         f"{number} and {slug}.")
    taken = [path.name for folder in (LESSONS, NOTEBOOKS) for path in folder.glob(f"{number}_*")]
    if taken:
        raise SystemExit(f"Lesson {number} is there already: {', '.join(sorted(taken))}.")
    if not title.strip():
        raise SystemExit("A title is needed, as the lesson's heading.")
    page, path = LESSONS / f"{number}_{slug}.md", NOTEBOOKS / f"{number}_{slug}.ipynb"
    notebook = nbformat.read(TEMPLATES / "TEMPLATE.ipynb", as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = filled(cell.source, number, slug, title)
    clean(notebook)
    set_address.set_cells(notebook, set_address.address(), path.name)
    write(notebook, path)
    text = (TEMPLATES / "TEMPLATE.md").read_text("utf-8")
    text = text.replace("title: TITLE", f"title: {json.dumps(title, ensure_ascii=False)}", 1)
    page.write_text(filled(text, number, slug, title), "utf-8")
    return page, path


def main(words: list[str]) -> None:
    """Begin one lesson and say what to do next."""
    if len(words) != 3:
        raise SystemExit('Three words are needed: 23 deformable_masks "Deformable masks".')
    for path in begin(*words):
        print(path.relative_to(ROOT))
    print(ELSEWHERE.format(number=words[0], slug=words[1]))


if __name__ == "__main__":
    main(sys.argv[1:])
