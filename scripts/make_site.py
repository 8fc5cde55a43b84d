"""Build the course's site from the lessons, the notebooks' stored outputs, and the docstrings.

    python scripts/make_site.py          into build/site/html; open index.html there

Nothing is run and nothing is fetched. Sphinx's warnings are errors. Explorers become strips: frames
that `make_strips.py` drew, with a slider that needs no kernel. Where the project is published, the
notebooks' pages have buttons that open them there.
"""

import html
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nbformat
import set_address
import yaml
from make_notebooks import NOTEBOOKS, ROOT
from site_library import address, api_page, module_of, modules, overview, plain

LESSONS, SITE = ROOT / "lessons", ROOT / "lessons" / "_site"
STRIPS, PICTURES = SITE / "strips", LESSONS / "pictures"
BUILD = ROOT / "build" / "site"
REFERENCE = ("common_errors", "glossary", "notation", "equations", "deviations", "architecture",
             "elsewhere")
PARTS = {"0": "What all share", "1": "MNC", "2": "Mask R-CNN", "3": "Deep metric learning",
         "4": "Side by side, and on your data"}
ALT = {"three_papers.png":
       "One scene of coloured shapes on its way through the three trained models. MNC: boxes, "
       "masks without a class, categories, and what the last stages keep. Mask R-CNN: proposals, "
       "RoIAlign's bins, a mask in each box, the instances. Deep metric learning: embeddings as "
       "colours, seeds, what is alike to each seed, the instances.",
       "box.gif":
       "A pointer drags a box over a picture. Beside it RoIPool, RoIWarp and RoIAlign each put the "
       "box on the feature map, and their nine bins change: RoIPool's in jumps, RoIAlign's "
       "smoothly."}
PATHS = {"only Mask R-CNN": "00 to 06, 10, 20 to 22", "from MNC to Mask R-CNN": "00 to 22",
         "without proposals": "00 to 03, 30 to 33"}
LAST = "40 to 42"  # all ways end with these
LINK = re.compile(r"(?<!!)\[([^\]\n]*)\]\((?!https?:)([^()\s#]+)(?:#[^()\s]*)?\)")
LISTING = r"^(`{3,}).*?^\1$"  # code of several lines, between two fences


def repository() -> str:
    """The project's public address; "" where it is not published and no host builds the site.

    What pyproject.toml says comes first, then what a host says about the copy that it builds.
    """
    host, name = (os.environ.get(key, "") for key in ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY"))
    said = (set_address.address()
            or (f"{host}/{name}" if host and name else "")
            or os.environ.get("READTHEDOCS_GIT_CLONE_URL", ""))
    said = re.sub(r"^(?:ssh://)?git@([^:/]+)[:/]", r"https://\1/", said)
    return said.rstrip("/").removesuffix(".git")


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


def raised(text: str) -> str:
    """AP^r as it is printed, with the r raised; in code it stays as it is."""
    return between(rf"{LISTING}|`[^`\n]+`", text,
                   lambda words: re.sub(r"AP\\?\^r\b", "AP<sup>r</sup>", words))


def between(kept: str, text: str, change: Callable[[str], str]) -> str:
    """The text with all changed that stands between what the pattern finds, which is kept."""
    parts, end = [], 0
    for found in re.finditer(kept, text, flags=re.M | re.S):
        parts += [change(text[end : found.start()]), found[0]]
        end = found.end()
    return "".join([*parts, change(text[end:])])


def outside(text: str, page: Path) -> str:
    """Links to files that are no pages keep their words alone: the site has only its pages."""
    def linked(found: re.Match) -> str:
        target = (page.parent / found[2]).resolve()
        inside = target.suffix in (".md", ".ipynb") and target.parent in (LESSONS, NOTEBOOKS)
        return found[0] if inside else found[1]

    return LINK.sub(linked, text)


def facts_of(page: Path) -> tuple[dict, str]:
    """A page's front matter, and its text."""
    parts = page.read_text("utf-8").split("---\n", 2) if page.is_file() else []
    if len(parts) != 3 or parts[0]:
        raise SystemExit(f"lessons/{page.name} must be there, and begin with its facts between two "
                         "lines of ---. CONTRIBUTING.md says which.")
    return yaml.safe_load(parts[1]), parts[2]


def lesson_page(page: Path, terms: dict[str, str]) -> str:
    """A lesson without its front matter, with its words and modules at the end."""
    facts, body = facts_of(page)
    unknown = [word for word in facts["terms"] if spelling(word) not in terms]
    if unknown:
        raise SystemExit(f"{page.name} names {', '.join(unknown)} among its terms, which "
                         "lessons/glossary.md does not explain.")
    words = ", ".join(f"[{word}](glossary.md#{terms[spelling(word)]})" for word in facts["terms"])
    names = sorted({module_of(name) for name in facts["symbols"]} - {""})
    library = ", ".join(f"[{name}](../api/{name}.md)" for name in names)
    tail = f"\n\n---\n\n**Words of this lesson:** {words}\n\n**In the library:** {library}\n"
    return (raised(outside(body, page) + tail)
            + tree("", [f"The notebook <../notebooks/{page.stem}>"]))


def linked(text: str, pages: list[Path]) -> str:
    """Names of the library in code, and 'lesson 05', lead to their pages."""
    stems = {page.stem[:2]: page.stem for page in pages}

    def code(found: re.Match) -> str:
        where = address(found[1])
        return f"[{found[0]}]({where})" if where else found[0]

    def lesson(found: re.Match) -> str:
        return re.sub(r"\d\d", lambda number: f"[{number[0]}](../lessons/{stems[number[0]]}.md)"
                      if number[0] in stems else number[0], found[0])

    def both(words: str) -> str:
        words = re.sub(r"(?<![\[`])`([a-z_]+(?:\.\w+)+)`(?![\]`])", code, words)
        return re.sub(r"\b[Ll]essons?:? \d\d(?:(?:, | and | to )\d\d)*\b(?![^\[\n]*\])", lesson,
                      words)

    return between(LISTING, text, both)


# ---- the first page -----------------------------------------------------------------------------


def index(pages: list[Path], where: str) -> str:
    """The first page: what is learned, the ways through, the lessons; and the tree of all pages."""
    trees = [tree(part, [f"lessons/{page.stem}" for page in pages if page.stem[0] == digit])
             for digit, part in PARTS.items()]
    trees.append(tree("To look things up", [*(f"lessons/{name}" for name in REFERENCE),
                                            "api/index"]))
    minutes = {page.stem[:2]: facts_of(page)[0]["minutes"] for page in pages}
    fills = {**pictures(), "minutes 00": str(minutes["00"]), "paths": paths(minutes),
             "lessons": table(pages, minutes), "clone": clone(where)}
    text = (SITE / "index.md").read_text("utf-8")
    for mark, fill in fills.items():
        if f"<!-- {mark} -->" not in text:
            raise SystemExit(f"lessons/_site/index.md has no place <!-- {mark} -->.")
        text = text.replace(f"<!-- {mark} -->", fill)
    return text + "\n" + "\n".join(trees)


def pictures() -> dict[str, str]:
    """What the first page shows, by the mark of its place."""
    missing = [name for name in ALT if not (PICTURES / name).is_file()]
    if missing:
        raise SystemExit(f"lessons/pictures has no {', '.join(missing)}. Make them: python "
                         "scripts/make_pictures.py")
    return {f"picture {name}": f"![{words}](lessons/pictures/{name})"
            for name, words in ALT.items()}


def numbers(words: str, known: list[str]) -> list[str]:
    """'00 to 03, 10' -> the numbers of those lessons that there are."""
    ends = [part.split(" to ") for part in words.split(", ")]
    return [number for number in known if any(end[0] <= number <= end[-1] for end in ends)]


def paths(minutes: dict[str, int]) -> str:
    """The ways through the course, with their hours."""
    lines = []
    for name, words in PATHS.items():
        hours = round(sum(minutes[number] for number in numbers(words, list(minutes))) / 60)
        lines.append(f"- **{name[0].upper()}{name[1:]}**: lessons {words}; about {hours} hours.")
    more = round(sum(minutes[number] for number in numbers(LAST, list(minutes))) / 60)
    lines.append(f"\nEach ends with lessons {LAST}, which put the three side by side: about {more} "
                 "hours more.")
    return "\n".join(lines)


def table(pages: list[Path], minutes: dict[str, int]) -> str:
    """The lessons by part, each with its notebook and its minutes."""
    lines = ["| | lesson | | minutes |", "| --- | --- | --- | --- |"]
    for digit, part in PARTS.items():
        own = [page for page in pages if page.stem[0] == digit]
        lines.append(f"| | **{part}** | | |")
        for page in own:
            facts, number = facts_of(page)[0], page.stem[:2]
            title = raised(plain(facts["title"]))
            lines.append(f"| {number} | [{title}](lessons/{page.name}) | "
                         f"[notebook](notebooks/{page.stem}.ipynb) | {minutes[number]} |")
    return "\n".join(lines)


def clone(where: str) -> str:
    """How to get the course from where it is published."""
    if not where:
        return "In the course's folder:"
    return f"Get the course from [its repository]({where}):\n\n```\ngit clone {where}.git\ncd " \
           f"{where.rsplit('/', 1)[1]}\n```\n\nand then:"


def tree(caption: str, names: list[str]) -> str:
    lines = "\n".join(names)
    title = f":caption: {caption}\n" if caption else ""
    return f"\n```{{toctree}}\n{title}:hidden:\n\n{lines}\n```\n"


# ---- notebooks ----------------------------------------------------------------------------------


def notebook_page(path: Path, static: Path) -> nbformat.NotebookNode:
    """A notebook as a page: its sweeps are followed by strips, its pictures by their captions."""
    notebook = nbformat.read(path, as_version=4)
    strips = read_strips(path.stem, notebook.cells)
    if strips:
        shutil.copytree(STRIPS / path.stem, static / "strips" / path.stem)
    notebook.cells[0].source = notebook.cells[0].source.replace("# ", "# Notebook ", 1)
    cells = []
    for number, cell in enumerate(notebook.cells):
        cells.append(cell)
        describe_pictures(cell)
        if set_address.installs(cell):  # for other machines
            cell.metadata["tags"] = [*cell.metadata.get("tags", []), "hide-input"]
        for strip in strips.get(number, []):
            cells.append(nbformat.v4.new_markdown_cell(strip_html(path.stem, strip)))
    notebook.cells = cells
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number:03d}"
        if cell.cell_type == "markdown":
            cell.source = raised(outside(cell.source, path))
    return notebook


def describe_pictures(cell: nbformat.NotebookNode) -> None:
    """A picture's words go where myst-nb looks for them; where they were printed as well, above it
    or below, they are its caption."""
    pictures = [(output, about["alt"]) for output in cell.get("outputs", [])
                for kind, about in output.get("metadata", {}).items()
                if kind.startswith("image/") and about.get("alt")]
    if not pictures:
        return
    cell.metadata["mystnb"] = {"image": {"alt": pictures[0][1]}}
    captions = {}  # the place of a picture -> its words, where they were printed
    for output in cell.outputs:
        for picture, words in pictures:
            lines = re.compile(rf"^{re.escape(words)}\n", re.M)
            if lines.search(output.get("text", "")):
                output.text = lines.sub("", output.text, count=1)
                captions[id(picture)] = words
    kept = []
    for output in cell.outputs:
        if output.get("text", "something"):
            kept.append(output)
        if id(output) in captions:
            words = raised(plain(captions[id(output)]))
            kept.append(nbformat.v4.new_output("display_data", {"text/markdown": words}))
    cell.outputs = kept


def read_strips(stem: str, cells: list) -> dict[int, list[dict]]:
    """The strips of a notebook by the number of their cell; each sweep has one, with its frames."""
    file = STRIPS / stem / "strips.json"
    strips = json.loads(file.read_text("utf-8")) if file.is_file() else []
    found: dict[int, list[dict]] = {}
    for strip in strips:
        found.setdefault(strip["cell"], []).append(strip)
    sweeps = {number for number, cell in enumerate(cells)
              if cell.cell_type == "code" and ".sweep(" in cell.source}
    lost = [frame["file"] for strip in strips for frame in strip["frames"]
            if not (STRIPS / stem / frame["file"]).is_file()]
    if sweeps != set(found) or lost:
        raise SystemExit(f"The strips of {stem}.ipynb are not those of its sweeps. Draw them: "
                         f"python scripts/make_strips.py notebooks/{stem}.ipynb")
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


# ---- all of it ----------------------------------------------------------------------------------


def stage(source: Path) -> None:
    """Put all pages into a folder of their own, as Sphinx shall read them."""
    shutil.rmtree(source, ignore_errors=True)
    for part in ("lessons", "notebooks", "api", "_static"):
        (source / part).mkdir(parents=True)
    pages = lessons()
    terms = known_terms(facts_of(LESSONS / "glossary.md")[1])
    for page in pages:
        (source / "lessons" / page.name).write_text(lesson_page(page, terms), "utf-8")
        notebook = notebook_page(NOTEBOOKS / f"{page.stem}.ipynb", source / "_static")
        nbformat.write(notebook, source / "notebooks" / f"{page.stem}.ipynb")
    for name in REFERENCE:
        page = LESSONS / f"{name}.md"
        text = linked(outside(facts_of(page)[1], page), pages)
        text = glossary(text) if name == "glossary" else text
        (source / "lessons" / page.name).write_text(raised(text), "utf-8")
    for name in modules():
        (source / "api" / f"{name}.md").write_text(linked(api_page(name), pages), "utf-8")
    (source / "api" / "index.md").write_text(overview(), "utf-8")
    (source / "index.md").write_text(index(pages, repository()), "utf-8")
    shutil.copy(LESSONS / "floors.svg", source / "lessons")
    shutil.copytree(PICTURES, source / "lessons" / "pictures")
    shutil.copy(SITE / "conf.py", source)
    for file in (SITE / "static").iterdir():
        shutil.copy(file, source / "_static")


def build(source: Path, target: Path) -> int:
    """Sphinx's exit status: its warnings are errors."""
    if importlib.util.find_spec("sphinx") is None:
        raise SystemExit("Sphinx is not installed: pip install -c constraints.txt -e '.[docs]'")
    shutil.rmtree(target, ignore_errors=True)
    command = [sys.executable, "-m", "sphinx", "-b", "html", "-W", "--keep-going", "-q",
               "-d", BUILD / "trees", source, target]
    return subprocess.run([str(word) for word in command], cwd=ROOT,
                          env={**os.environ, "TEACHSEG_REPOSITORY": repository()}).returncode


def main() -> int:
    """Sphinx's exit status."""
    source, target = BUILD / "source", BUILD / "html"
    stage(source)
    status = build(source, target)
    if status == 0:
        print(f"{len(list(target.rglob('*.html')))} pages in {target}")
    return status


if __name__ == "__main__":
    sys.exit(main())
