"""Draw the library's floors from its imports, for the page lessons/architecture.md.

    python scripts/draw_floors.py

A test holds the drawing and the table equal to the code, so that neither can grow old.
"""

import ast
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "teachseg"
PAGE, DRAWING = ROOT / "lessons" / "architecture.md", ROOT / "lessons" / "floors.svg"
BEGIN, END = "<!-- floors: begin -->", "<!-- floors: end -->"
WIDTH, HIGH, GAP, LEFT = 104, 50, 10, 100  # of a box, between two, and of the floors' names

FLOORS = {  # what tests/test_imports.py holds the imports against
    7: ("cli",),
    6: ("explore", "exercises", "tables"),
    5: ("plot", "checkpoints", "recipes"),
    4: ("papers",),
    3: ("layers", "learning", "decoding"),
    2: ("datasets", "evaluate", "train", "mistakes"),
    1: ("geometry",),
    0: ("structures", "checks", "storage", "processes", "costs", "cells", "places"),
}
HOLDS = {7: "commands", 6: "for learners", 5: "pictures, files", 4: "the papers",
         3: "networks, losses", 2: "data, measures", 1: "no parameters", 0: "what all use"}


def files(part: str) -> list[Path]:
    """The modules of a part."""
    folder = SOURCE / part
    if folder.is_dir():
        return [file for file in sorted(folder.glob("*.py")) if file.name != "__init__.py"]
    return [folder.with_suffix(".py")]


def uses(part: str) -> Counter[str]:
    """The parts that a part imports from, and in how many of its modules."""
    found: Counter[str] = Counter()
    for file in files(part):
        names = set()
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module == "teachseg":
                names |= {f"teachseg.{alias.name}" for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names.add(node.module or "")
        found.update({name.split(".")[1] for name in names if name.startswith("teachseg.")
                      } - {part, "load", "__version__", "__file__"})
    return found


def drawing() -> str:
    """The floors as boxes, the roof on top: each with how many modules it has."""
    rows, widest = [], max(len(parts) for parts in FLOORS.values())
    wide = LEFT + widest * (WIDTH + GAP) + GAP
    for row, (floor, parts) in enumerate(FLOORS.items()):
        y = GAP + row * (HIGH + GAP)
        rows.append(f'<text x="{GAP}" y="{y + 22}" font-weight="bold">floor {floor}</text>'
                    f'<text x="{GAP}" y="{y + 38}" font-size="10">{HOLDS[floor]}</text>')
        for place, part in enumerate(parts):
            x = LEFT + GAP + place * (WIDTH + GAP)
            count = len(files(part))
            rows.append(f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HIGH}" fill="#E8F1F8" '
                        f'stroke="#0072B2"/><text x="{x + 8}" y="{y + 21}">{part}</text>'
                        f'<text x="{x + 8}" y="{y + 38}" font-size="10">{count} '
                        f'{"module" if count == 1 else "modules"}</text>')
    high = GAP + len(FLOORS) * (HIGH + GAP)
    words = "The library's parts on eight floors; a part imports only from floors below its own."
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" width="{wide}" '
            f'height="{high}" role="img" aria-label="{words}" font-family="sans-serif" '
            f'font-size="13" fill="#222222"><rect width="{wide}" height="{high}" fill="#FFFFFF"/>'
            + "".join(rows) + "</svg>\n")


def table() -> str:
    """Which part imports which, as Markdown."""
    rows = ["| floor | part | imports from |", "| --- | --- | --- |"]
    for floor, parts in FLOORS.items():
        for part in parts:
            others = ", ".join(f"`{name}`" for name, _ in sorted(
                uses(part).items(), key=lambda pair: (-pair[1], pair[0]))) or "nothing of ours"
            rows.append(f"| {floor} | `{part}` | {others} |")
    return "\n".join(rows)


def page(text: str) -> str:
    """The page's text with the table between its marks."""
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n{table()}\n{END}{rest.split(END)[1]}"


def main() -> None:
    DRAWING.write_text(drawing(), "utf-8")
    PAGE.write_text(page(PAGE.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    sys.exit(main())
