"""The lessons' words against the code: front matter, names, links, tables, the map of the course.

A name in a lesson that can be imported, a link that leads somewhere and a number that the code also
has are checked here; what a sentence means is not.
"""

import ast
import dataclasses
import importlib
import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import nbformat
import pytest
import yaml
from make_site import spelling as term

from teachseg.papers import deep_metric, mnc
from teachseg.papers.mask_rcnn import Config
from teachseg.train import TrainConfig

ROOT = Path(__file__).resolve().parent.parent

PAGES = sorted((ROOT / "lessons").glob("*.md"))
LESSONS = [page for page in PAGES if re.match(r"\d\d_", page.name)]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

COURSE = {
    "00": "start_here", "01": "boxes_and_masks", "02": "metrics", "03": "backbone_and_strides",
    "04": "anchors", "05": "rpn", "06": "proposals_and_nms",
    "10": "roi_pool_warp_align", "11": "mnc_mask_stage", "12": "mnc_category_stage",
    "13": "mnc_cascade", "14": "mnc_train_and_test",
    "20": "fpn", "21": "mask_rcnn_heads_and_losses", "22": "mask_rcnn_train_and_test",
    "30": "similarity_and_pair_loss", "31": "masks_from_seeds", "32": "seediness_and_seed_choice",
    "33": "deep_metric_train_and_test",
    "40": "three_papers_side_by_side", "41": "tables_in_miniature",
    "42": "full_models_on_your_data",
}  # fmt: skip
KEYS = {"title", "papers", "objectives", "prerequisites", "minutes", "notebook", "symbols", "terms",
        "deviations"}  # fmt: skip
REFERENCE = {"glossary", "notation", "equations", "deviations", "common_errors", "elsewhere",
             "architecture"}

LINK = re.compile(r"\]\(([^()\s]+)\)")
CODE = re.compile(r"`([^`\n]+)`")
LESSON_NUMBERS = re.compile(r"\b[Ll]essons? (\d\d(?:(?:, | and | to |, then )\d\d)*)")
PARTS = {path.stem for path in (ROOT / "src" / "teachseg").iterdir()} - {"__init__", "__pycache__"}


@cache
def text(page: Path) -> str:
    """A page's words; of a notebook those of its text cells."""
    if page.suffix == ".ipynb":
        cells = nbformat.read(page, as_version=4).cells
        return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    return page.read_text("utf-8")


def front_matter(page: Path) -> dict:
    """The YAML between the first two lines of dashes."""
    parts = text(page).split("---\n", 2)
    assert len(parts) == 3 and parts[0] == "", f"{page.name} has no front matter"
    return yaml.safe_load(parts[1])


def found(name: str):
    """What a dotted name stands for, with or without `teachseg.` in front."""
    words = name.removeprefix("teachseg.").split(".")
    module, rest = importlib.import_module("teachseg"), words
    for depth in range(len(words), 0, -1):
        try:
            module = importlib.import_module(".".join(["teachseg", *words[:depth]]))
        except ModuleNotFoundError as error:
            if not str(error.name).startswith("teachseg"):
                raise  # a package is missing, not a module of ours
            continue
        rest = words[depth:]
        break
    for word in rest:
        module = getattr(module, word)
    return module


def rows(page: Path, header: str) -> list[list[str]]:
    """The cells of all tables whose header begins so."""
    table, inside = [], False
    for line in text(page).splitlines():
        if not line.startswith("|"):
            inside = False
        elif line.startswith(header):
            inside = True
        elif inside and not line.startswith("| ---"):
            table.append([cell.strip() for cell in line.strip("|").split("|")])
    return table


@cache
def glossary() -> list[str]:
    """The words that the glossary explains, as it writes them."""
    return re.findall(r"^\*\*(.+?)\*\* — ", text(ROOT / "lessons" / "glossary.md"), re.M)


each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
each_lesson = pytest.mark.parametrize("page", LESSONS, ids=lambda page: page.stem)
each_text = pytest.mark.parametrize("page", PAGES + NOTEBOOKS, ids=lambda page: page.name)


# --- the course as a whole ---


def test_every_page_is_a_lesson_of_the_course_or_a_reference():
    for page in PAGES:
        number, _, slug = page.stem.partition("_")
        assert COURSE.get(number) == slug or page.stem in REFERENCE, page.name
    assert {page.stem for page in PAGES} >= REFERENCE


def test_every_notebook_has_its_lesson_and_every_lesson_its_notebook():
    assert [page.stem for page in LESSONS] == [path.stem for path in NOTEBOOKS]


@pytest.mark.parametrize("name", ["lessons/00_start_here.md", "notebooks/00_start_here.ipynb"])
def test_the_map_shows_every_lesson_and_the_ways_through(name: str):
    table = rows(ROOT / name, "| no. |")
    assert {no: slug.strip("`") for no, slug, _, _ in table} == COURSE
    assert [path.stem for path in NOTEBOOKS] == [f"{no}_{slug}" for no, slug in COURSE.items()]
    for way, lessons in ways(text(ROOT / name)).items():
        assert lessons == {no for no, _, _, marks in table if way in marks.split()}, way


def ways(words: str) -> dict[str, set[str]]:
    """What the sentence on the ways through says: a -> the numbers of its lessons."""
    last = spans(re.search(r"Each ends with (.+?)\.", words)[1])
    said = re.findall(r"\*\*(\w)\*\*, \*[^*]+\* \(([^)]+)\)", words)
    assert [way for way, _ in said] == ["a", "b", "c"]
    return {way: spans(lessons) | last for way, lessons in said}


def spans(words: str) -> set[str]:
    """The course's lessons in "00 to 03, 30"."""
    found = set()
    for part in words.split(", "):
        first, _, last = part.partition(" to ")
        found |= {no for no in COURSE if first <= no <= (last or first)}
    return found


@each_text
def test_no_lesson_number_lies_beyond_the_course(page: Path):
    for numbers in LESSON_NUMBERS.findall(text(page)):
        assert set(re.findall(r"\d\d", numbers)) <= set(COURSE), numbers


# --- front matter ---


@each_page
def test_every_page_has_a_title_and_opens_with_a_heading(page: Path):
    assert front_matter(page)["title"]
    body = text(page).split("---\n", 2)[2].lstrip()
    assert body.startswith("# ")


@each_lesson
def test_the_front_matter_is_complete(page: Path):
    facts = front_matter(page)
    assert set(facts) == KEYS
    for key in KEYS - {"title", "minutes", "notebook"}:
        assert isinstance(facts[key], list), f"{key} must be a list"
    for key in ("papers", "objectives", "symbols", "terms"):
        assert facts[key], f"{key} is empty"
    assert isinstance(facts["minutes"], int) and 5 <= facts["minutes"] <= 180


@each_lesson
def test_prerequisites_are_earlier_lessons_of_the_course(page: Path):
    numbers = [f"{int(number):02d}" for number in front_matter(page)["prerequisites"]]
    assert set(numbers) <= set(COURSE)
    assert all(number < page.stem[:2] for number in numbers)


@each_lesson
def test_its_notebook_exists_and_has_its_name(page: Path):
    name = Path(front_matter(page)["notebook"]).name
    assert name == f"{page.stem}.ipynb"
    assert (ROOT / "notebooks" / name).is_file()


@each_lesson
def test_its_symbols_can_be_imported(page: Path):
    for name in front_matter(page)["symbols"]:
        found(name)


@each_lesson
def test_its_terms_are_in_the_glossary(page: Path):
    known = {term(words) for words in glossary()}
    missing = [words for words in front_matter(page)["terms"] if term(words) not in known]
    assert not missing


# --- words, names and links on every page ---


def test_the_glossary_is_in_order_and_says_each_word_once():
    words = [word.casefold() for word in glossary()]
    assert len(words) > 50
    assert words == sorted(words)
    assert len({term(word) for word in words}) == len(words)


def test_each_word_is_explained_in_one_sentence():
    for line in text(ROOT / "lessons" / "glossary.md").splitlines():
        if line.startswith("**"):
            assert line.endswith(".") and 20 < len(line) < 260, line
            assert not re.search(r"\. [A-Z]", line), line


@each_text
def test_relative_links_lead_somewhere(page: Path):
    for target in LINK.findall(text(page)):
        if re.match(r"[a-z]+:", target):
            continue  # elsewhere on the net
        file, _, anchor = target.partition("#")
        path = (page.parent / file).resolve() if file else page
        assert path.is_file() and path.is_relative_to(ROOT), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", text(path), re.M)
            slugs = {re.sub(r"[^\w\- ]", "", h).lower().replace(" ", "-") for h in headings}
            assert anchor in slugs, target


@each_text
def test_dotted_names_of_the_library_exist(page: Path):
    """`geometry.boxes.box_iou` and its like, wherever they stand in backticks."""
    for code in CODE.findall(text(page)):
        name = code.partition("(")[0].removeprefix("teachseg.")
        if re.fullmatch(r"\w+(\.\w+)+", name) and name.split(".")[0] in PARTS:
            found(name)


def test_a_name_that_does_not_exist_is_found():
    assert found("geometry.boxes.box_iou") is found("teachseg.geometry.boxes").box_iou
    with pytest.raises(AttributeError):
        found("geometry.boxes.box_iuo")
    with pytest.raises(AttributeError):
        found("geometry.boxen.box_iou")


# --- common_errors.md ---


def test_the_twenty_five_confusions_are_numbered_and_each_has_its_lesson():
    table = rows(ROOT / "lessons" / "common_errors.md", "| no. |")
    assert [int(row[0]) for row in table] == list(range(1, 26))
    for _, what, sentence, lessons in table:
        assert what and len(sentence) > 20
        assert set(lessons.split(", ")) <= set(COURSE)


def test_every_error_has_something_to_look_at():
    table = rows(ROOT / "lessons" / "common_errors.md", "| what you see |")
    assert len(table) > 15 and all(all(row) for row in table)
    here = {path.name[:2] for path in LESSONS}
    assert {number for row in table if len(row) == 4 for number in row[3].split(", ")} <= here


# --- elsewhere.md: what a machine needs ---


def test_the_memory_it_asks_for_is_what_the_check_allows():
    from check_notebooks import MEMORY, largest

    subprocess.run([sys.executable, "-c", "bytearray(300_000_000)"], check=True)
    assert 0.3 < largest() < 30
    assert f"| memory | {MEMORY:g} GB for a notebook" in text(ROOT / "lessons" / "elsewhere.md")


def test_the_disk_and_the_versions_are_those_that_the_project_names():
    from install import DISK

    page = text(ROOT / "lessons" / "elsewhere.md")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    bounds = dict(line.split(">=") for line in project["dependencies"])
    assert f"| Python | {project['requires-python'].removeprefix('>=')} or newer |" in page
    assert f"| torch, torchvision | {bounds['torch']} and {bounds['torchvision']}, or newer" in page
    assert f"| disk | about {DISK / 1e9:.0f} GB" in page


# --- architecture.md: made from the imports ---


def test_the_page_on_the_floors_is_what_the_imports_say():
    draw_floors, test_imports = map(importlib.import_module, ("draw_floors", "test_imports"))
    floors = {part: floor for floor, parts in draw_floors.FLOORS.items() for part in parts}
    assert floors == test_imports.FLOORS
    page = text(ROOT / "lessons" / "architecture.md")
    assert draw_floors.page(page) == page, "run scripts/draw_floors.py"
    drawn = (ROOT / "lessons" / "floors.svg").read_text("utf-8")
    assert draw_floors.drawing() == drawn, "run scripts/draw_floors.py"


# --- spelling ---


def test_nothing_is_misspelled_as_people_often_do(tmp_path):
    """codespell knows common misspellings; of a notebook its text cells are looked at."""
    for page in NOTEBOOKS:
        (tmp_path / f"{page.stem}.txt").write_text(text(page), "utf-8")
    names = tmp_path / "names.txt"
    names.write_text("gool\n")  # Van Gool
    said = subprocess.run(
        [sys.executable, "-m", "codespell_lib", "-I", names, "lessons", "README.md",
         "CONTRIBUTING.md", "data/README.md", "src", "scripts", tmp_path],
        cwd=ROOT, capture_output=True, text=True)
    assert said.returncode == 0, said.stdout + said.stderr


def test_a_misspelled_word_would_be_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("This is teh page.\n")
    said = subprocess.run([sys.executable, "-m", "codespell_lib", page], capture_output=True,
                          text=True)
    assert said.returncode and "teh" in said.stdout


# --- equations.md: paper -> function -> lesson ---


EQUATIONS = [row for head in ("| paper |", "| source |")
             for row in rows(ROOT / "lessons" / "equations.md", head)]  # fmt: skip


@pytest.mark.parametrize("row", EQUATIONS, ids=lambda row: row[3].strip("`"))
def test_each_equation_names_a_function_and_its_lesson(row: list[str]):
    assert len(row) == 5
    name = row[3].strip("`")
    assert callable(found(name)), name
    module = found(name.rpartition(".")[0])
    said = set(re.findall(r"\b\d\d\b", module.__doc__.rpartition("Lesson: ")[2]))
    assert set(row[4].split(", ")) <= said, f"{name}: its module says lesson {sorted(said)}"


@pytest.mark.parametrize("row", EQUATIONS, ids=lambda row: row[3].strip("`"))
def test_a_lesson_that_it_names_has_the_function_among_its_symbols(row: list[str]):
    name = row[3].strip("`").removeprefix("teachseg.")
    pages = [page for page in LESSONS if page.stem[:2] in row[4].split(", ")]
    symbols = {symbol for page in pages for symbol in front_matter(page)["symbols"]}
    assert f"teachseg.{name}" in symbols or name in symbols


def test_the_main_functions_of_each_paper_are_among_them():
    named = {row[3].strip("`") for row in EQUATIONS}
    assert len(EQUATIONS) > 30
    assert {"layers.roi.roi_align", "geometry.boxes.encode_boxes", "layers.rpn.propose",
            "layers.fpn.assign_levels", "learning.losses.mask_loss",
            "evaluate.mask_ap_r"} <= named  # fmt: skip


# --- deviations.md: the tables are the configurations ---


def settings(header: str) -> list[tuple[str, str, str]]:
    """(name, the paper's value, the course's value) as written."""
    table = rows(ROOT / "lessons" / "deviations.md", header)
    return [tuple(cell.strip("`") for cell in row[:3]) for row in table if row[3]]


def test_deviations_list_every_setting_in_which_the_course_differs():
    paper, course = Config.paper(5), Config.course(5)
    fields = [field.name for field in dataclasses.fields(Config)]
    differ = {
        name: (getattr(paper, name), getattr(course, name))
        for name in fields
        if getattr(paper, name) != getattr(course, name)
    }
    table = settings("| setting | paper | course | why |")
    said = {n: (p, c) for n, p, c in table if n in fields}
    assert {n: tuple(map(ast.literal_eval, values)) for n, values in said.items()} == differ


def value(words: str):
    """A number or name as it is written in a table; 1 / 512 is a number too."""
    top, _, below = words.partition(" / ")
    return ast.literal_eval(top) / ast.literal_eval(below) if below else ast.literal_eval(words)


def test_deviations_list_every_setting_in_which_mnc_and_its_code_differ():
    configs = mnc.Config.paper(5), mnc.Config.code(5), mnc.Config.course(5)
    differ = {}
    for field in dataclasses.fields(mnc.Config):
        values = tuple(getattr(config, field.name) for config in configs)
        if values.count(values[0]) < 3:
            differ[field.name] = values
    table = rows(ROOT / "lessons" / "deviations.md", "| MNC setting |")
    assert all(why for *_, why in table)
    said = {row[0].strip("`"): tuple(value(cell.strip("`")) for cell in row[1:4]) for row in table}
    assert said == differ


def test_deviations_list_every_setting_in_which_deep_metric_differs():
    paper, course = deep_metric.Config.paper(5), deep_metric.Config.course(5)
    differ = {field.name: (getattr(paper, field.name), getattr(course, field.name))
              for field in dataclasses.fields(deep_metric.Config)
              if getattr(paper, field.name) != getattr(course, field.name)}
    table = rows(ROOT / "lessons" / "deviations.md", "| DeepMetric setting |")
    assert all(why for *_, why in table)
    said = {row[0].strip("`"): tuple(ast.literal_eval(cell.strip("`")) for cell in row[1:3])
            for row in table}
    assert said == differ


def test_deviations_tell_how_the_course_trains():
    defaults = {field.name: field.default for field in dataclasses.fields(TrainConfig)}
    table = settings("| setting | paper | course | why |")
    said = {n: ast.literal_eval(c) for n, _, c in table if n in defaults}
    assert len(said) == 7
    assert said == {name: defaults[name] for name in said}


def test_deviations_name_no_other_setting():
    known = {field.name for kind in (Config, TrainConfig) for field in dataclasses.fields(kind)}
    assert {n for n, _, _ in settings("| setting | paper | course | why |")} <= known
