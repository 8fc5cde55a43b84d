"""What the README says is so: counts, sizes, paths, pictures and the ways through.

Its tables are made again in test_quotes.py, its commands are looked up in test_house.py, and its
address in test_address.py.
"""

import re
from pathlib import Path

import install
import make_site
import pytest
from PIL import Image
from test_lessons import COURSE, LINK, spans, text, ways

from teachseg.exercises.registry import all_exercises

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
PAGES = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "data/README.md"]


def test_it_counts_what_there_is():
    assert f"{len(COURSE)} lessons, each a notebook" in text(README)
    assert f"and {len(all_exercises())} exercises that" in text(README)
    assert f"and {numbered('common_errors.md')} things" in text(README)


def numbered(page: str) -> int:
    """The rows of a page's table that begin with a number."""
    return len(re.findall(r"^\| \d+ \|", text(ROOT / "lessons" / page), re.M))


def test_the_disk_it_asks_for_is_what_setting_up_asks_for():
    assert f"about {install.DISK / 1e9:.0f} GB of disk" in text(README)


def test_its_python_is_the_one_that_is_needed():
    needed = re.search(r'requires-python = ">=([\d.]+)"', (ROOT / "pyproject.toml").read_text())[1]
    assert f"Python {needed} or newer" in text(README)


def test_the_ways_through_are_the_map_s():
    said = re.findall(r"\*([^*]+)\* \(([^)]+)\)", re.search(r"Three ways through:.*?\.", text(
        README).replace("\n", " "))[0])
    last = spans(re.search(r"Each ends with (.+?),", text(README))[1])
    map_ = ways(text(ROOT / "lessons" / "00_start_here.md"))
    assert [spans(lessons) | last for _, lessons in said] == list(map_.values())
    assert len(said) == 3
    assert dict(said) == make_site.PATHS  # the site's first page
    assert f"Each ends with {make_site.LAST}," in text(README)


@pytest.mark.parametrize("target", re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README.read_text("utf-8")))
def test_its_pictures_are_there_and_said_in_words(target: str):
    alt = re.search(rf"!\[([^\]]*)\]\({re.escape(target)}\)", text(README))[1]
    assert len(alt) > 60
    with Image.open(ROOT / target) as picture:
        assert picture.width >= 600
        assert picture.format != "GIF" or picture.n_frames > 20  # it moves


def test_it_has_a_still_and_a_moving_picture():
    targets = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text(README))
    assert [Path(target).suffix for target in targets] == [".png", ".gif"]


def test_the_folders_it_draws_are_there():
    tree = re.search(r"^```\n(notebooks/ .*?)```", text(README), re.M | re.S)[1]
    for line in tree.splitlines():
        within = ROOT / "src" / "teachseg" if line.startswith("  ") else ROOT
        names = re.findall(r"\S+", re.split(r" {3,}", line.strip())[0])
        assert names and all((within / name).exists() for name in names), line


@pytest.mark.parametrize("page", PAGES)
def test_its_links_lead_somewhere(page: str):
    for target in LINK.findall(text(ROOT / page)):
        if not re.match(r"[a-z]+:", target):
            assert ((ROOT / page).parent / target.partition("#")[0]).exists(), target
