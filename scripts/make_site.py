"""Build the course's site from the lessons, the notebooks' stored outputs, and the docstrings.

    python scripts/make_site.py          into build/site/html; open index.html there

Nothing is run and nothing is fetched. Sphinx's warnings are errors. Explorers become strips: frames
that `make_strips.py` drew, with a slider that needs no kernel.
"""

import ast
import html
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import yaml
from make_notebooks import NOTEBOOKS, ROOT

LESSONS, SITE = ROOT / "lessons", ROOT / "lessons" / "_site"
STRIPS = ROOT / "lessons" / "_site" / "strips"
BUILD = ROOT / "build" / "site"
REFERENCE = ("common_errors", "glossary", "notation", "equations", "deviations", "architecture")
PARTS = {"0": "What all share", "1": "MNC", "2": "Mask R-CNN", "3": "Deep metric learning",
         "4": "Side by side, and on your data"}
SOURCE = ROOT / "src" / "teachseg"
LINK = re.compile(r"\[([^\]\n]*)\]\((?!https?:)([^()\s#]+)(?:#[^()\s]*)?\)")


def lessons() -> list[Path]:
    """The lessons' pages in order; each has a notebook with outputs, or this says what to do."""
    pages = sorted(LESSONS.glob("[0-9][0-9]_*.md"))
    for page in pages:
        notebook = NOTEBOOKS / f"{page.stem}.ipynb"
        if not notebook.is_file():
            raise SystemExit(f"{page.name} has no notebook {notebook.name}: the course is not "
                             "complete.")
        cells = nbformat.read(notebook, as_version=4).cells
        if any(cell.cell_type == "code" and not cell.execution_count for cell in cells):
            raise SystemExit(f"{notebook.name} has cells without outputs. Make them: python "
                             f"scripts/make_notebooks.py notebooks/{notebook.name}")
    if not pages:
        raise SystemExit(f"There are no lessons in {LESSONS}.")
    return pages


# ---- pages --------------------------------------------------------------------------------------


def anchor(word: str) -> str:
    """A term's name in the glossary's addresses."""
    return "term-" + re.sub(r"\W+", "-", re.sub(r"<[^>]+>|[\^_*`]", "", word).casefold()).strip("-")


def glossary(text: str) -> str:
    """The glossary's page, with a place to link to before each word."""
    return re.sub(r"^\*\*(.+?)\*\* — ", lambda found: f"({anchor(found[1])})=\n{found[0]}", text,
                  flags=re.M)


def known_terms(text: str) -> dict[str, str]:
    """The glossary's words, in one spelling -> their anchors."""
    return {spelling(word): anchor(word) for word in re.findall(r"^\*\*(.+?)\*\* — ", text, re.M)}


def spelling(word: str) -> str:
    """One spelling of a term, its plural and its markup."""
    plain = re.sub(r"</?su[pb]>|[\^_*`]", "", word).casefold().strip()
    return plain[:-1] if plain.endswith("s") and not plain.endswith(("ss", "ous")) else plain


def outside(text: str, page: Path) -> str:
    """Links to files that are no pages keep their words alone: the site has only its pages."""
    def linked(found: re.Match) -> str:
        target = (page.parent / found[2]).resolve()
        inside = target.suffix in (".md", ".ipynb") and target.parent in (LESSONS, NOTEBOOKS)
        return found[0] if inside else found[1]

    return LINK.sub(linked, text)


def lesson_page(page: Path, terms: dict[str, str]) -> str:
    """A lesson without its front matter, with its words and modules at the end."""
    _, front, body = page.read_text("utf-8").split("---\n", 2)
    facts = yaml.safe_load(front)
    words = ", ".join(f"[{word}](glossary.md#{terms[spelling(word)]})" for word in facts["terms"])
    names = sorted({module_of(name) for name in facts["symbols"]} - {""})
    modules = ", ".join(f"[{name}](../api/{name}.md)" for name in names)
    tail = f"\n\n---\n\n**Words of this lesson:** {words}\n\n**In the library:** {modules}\n"
    return body + tail


def module_of(name: str) -> str:
    """teachseg.layers.roi.roi_align -> layers.roi, where that is a file."""
    words = name.removeprefix("teachseg.").split(".")
    for depth in range(len(words), 0, -1):
        if SOURCE.joinpath(*words[:depth]).with_suffix(".py").is_file():
            return ".".join(words[:depth])
    return ""


def index(pages: list[Path]) -> str:
    """The first page: what this is, and the tree of all pages."""
    trees = []
    for digit, part in PARTS.items():
        names = [name for page in pages if page.stem[0] == digit
                 for name in (f"lessons/{page.stem}",
                              f"{page.stem[:2]} · the notebook <notebooks/{page.stem}>")]
        trees.append(tree(part, names))
    trees.append(tree("To look things up", [f"lessons/{name}" for name in REFERENCE]))
    trees.append(tree("The library", [f"api/{name}" for name in modules()]))
    return (SITE / "index.md").read_text("utf-8") + "\n" + "\n".join(trees)


def tree(caption: str, names: list[str]) -> str:
    lines = "\n".join(names)
    return f"```{{toctree}}\n:caption: {caption}\n:hidden:\n\n{lines}\n```\n"


# ---- notebooks ----------------------------------------------------------------------------------


def notebook_page(path: Path, static: Path) -> nbformat.NotebookNode:
    """A notebook whose sweeps are followed by their strips, and whose pictures have words."""
    notebook = nbformat.read(path, as_version=4)
    strips = read_strips(path.stem)
    if strips:
        shutil.copytree(STRIPS / path.stem, static / "strips" / path.stem)
    cells = []
    for number, cell in enumerate(notebook.cells):
        cells.append(cell)
        describe_pictures(cell)
        for strip in strips.get(number, []):
            cells.append(nbformat.v4.new_markdown_cell(strip_html(path.stem, strip)))
    notebook.cells = cells
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number:03d}"
    return notebook


def describe_pictures(cell: nbformat.NotebookNode) -> None:
    """The words of a cell's picture go where myst-nb looks for them."""
    words = [about["alt"] for output in cell.get("outputs", [])
             for kind, about in output.get("metadata", {}).items()
             if kind.startswith("image/") and about.get("alt")]
    if words:
        cell.metadata["mystnb"] = {"image": {"alt": words[0]}}


def read_strips(stem: str) -> dict[int, list[dict]]:
    """The strips of a notebook by the number of their cell; {} where it has none."""
    file = STRIPS / stem / "strips.json"
    found: dict[int, list[dict]] = {}
    if file.is_file():
        for strip in json.loads(file.read_text("utf-8")):
            found.setdefault(strip["cell"], []).append(strip)
    return found


def strip_html(stem: str, strip: dict) -> str:
    """A strip: its frames, the first one to be seen, and a slider over them."""
    frames = "".join(
        f'<img src="../_static/strips/{stem}/{frame["file"]}" alt="{html.escape(frame["caption"])}"'
        f' data-value="{html.escape(str(frame["value"]))}" width="{frame["width"]}"'
        f' height="{frame["height"]}" loading="lazy"{" hidden" if i else ""}>'
        for i, frame in enumerate(strip["frames"]))
    name, first = html.escape(strip["label"]), strip["frames"][0]
    return (f'<figure class="strip">{frames}<label><span>{name}</span>'
            f'<input type="range" min="0" max="{len(strip["frames"]) - 1}" step="1" value="0" '
            f'disabled><output>{html.escape(str(first["value"]))}</output></label>'
            f'<figcaption aria-live="polite">{html.escape(first["caption"])}</figcaption></figure>')


# ---- the library --------------------------------------------------------------------------------


def modules() -> list[str]:
    """The library's modules that have something public, by name."""
    names = [".".join(file.relative_to(SOURCE).with_suffix("").parts)
             for file in sorted(SOURCE.rglob("*.py")) if file.name != "__init__.py"]
    return [name for name in names if not name.startswith("exercises.") or
            name in ("exercises.desk", "exercises.registry")]


def api_page(name: str) -> str:
    """A module's docstring, and the signature and docstring of all that is public in it."""
    source = SOURCE.joinpath(*name.split(".")).with_suffix(".py").read_text("utf-8")
    tree = ast.parse(source)
    page = [f"# teachseg.{name}\n", listing(ast.get_docstring(tree) or "")]
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            page += [f"## {node.name}\n", listing(signature(node), "python"),
                     listing(ast.get_docstring(node) or "")]
            page += [part for inner in getattr(node, "body", []) if isinstance(node, ast.ClassDef)
                     and isinstance(inner, ast.FunctionDef) and not inner.name.startswith("_")
                     for part in (f"### {node.name}.{inner.name}\n",
                                  listing(signature(inner), "python"),
                                  listing(ast.get_docstring(inner) or ""))]
    return "\n".join(page)


def listing(text: str, language: str = "text") -> str:
    return f"````{language}\n{text}\n````\n" if text else ""


def signature(node: ast.FunctionDef | ast.ClassDef) -> str:
    """The line or lines with which a function or class begins."""
    if isinstance(node, ast.ClassDef):
        fields = [ast.unparse(part) for part in node.body if isinstance(part, ast.AnnAssign)]
        bases = ", ".join(map(ast.unparse, node.bases))
        head = f"class {node.name}({bases})" if bases else f"class {node.name}"
        return head + "".join(f"\n    {field}" for field in fields)
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    whole = f"def {node.name}({ast.unparse(node.args)}){returns}"
    if len(whole) <= 92:
        return whole
    return whole.replace("(", "(\n    ", 1)


# ---- all of it ----------------------------------------------------------------------------------


def stage(source: Path) -> None:
    """Put all pages into a folder of their own, as Sphinx shall read them."""
    shutil.rmtree(source, ignore_errors=True)
    for part in ("lessons", "notebooks", "api", "_static"):
        (source / part).mkdir(parents=True)
    pages = lessons()
    words = (LESSONS / "glossary.md").read_text("utf-8")
    terms = known_terms(words)
    for page in pages:
        text = outside(lesson_page(page, terms), page)
        (source / "lessons" / page.name).write_text(text, "utf-8")
        notebook = notebook_page(NOTEBOOKS / f"{page.stem}.ipynb", source / "_static")
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                cell.source = outside(cell.source, NOTEBOOKS / page.name)
        nbformat.write(notebook, source / "notebooks" / f"{page.stem}.ipynb")
    for name in REFERENCE:
        text = (LESSONS / f"{name}.md").read_text("utf-8").split("---\n", 2)[2]
        text = glossary(text) if name == "glossary" else text
        (source / "lessons" / f"{name}.md").write_text(outside(text, LESSONS / name), "utf-8")
    for name in modules():
        (source / "api" / f"{name}.md").write_text(api_page(name), "utf-8")
    (source / "index.md").write_text(index(pages), "utf-8")
    shutil.copy(LESSONS / "floors.svg", source / "lessons")
    shutil.copy(SITE / "conf.py", source)
    for file in (SITE / "static").iterdir():
        shutil.copy(file, source / "_static")


def main() -> int:
    """Sphinx's exit status."""
    source, target = BUILD / "source", BUILD / "html"
    stage(source)
    shutil.rmtree(target, ignore_errors=True)
    command = [sys.executable, "-m", "sphinx", "-b", "html", "-W", "--keep-going", "-q",
               "-d", BUILD / "trees", source, target]
    status = subprocess.run([str(word) for word in command], cwd=ROOT).returncode
    if status == 0:
        print(f"{len(list(target.rglob('*.html')))} pages in {target.relative_to(ROOT)}")
    return status


if __name__ == "__main__":
    sys.exit(main())
