"""The site, built from stored outputs and opened in a browser that has no network.

It is built once; what every page must have is read from its HTML, what moves is moved in chromium.
Screenshots are kept in artefacts/.
"""

import functools
import http.server
import importlib.util
import json
import re
import sys
import threading
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

import make_site  # noqa: E402

STEMS = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))
STRIPS = {path.parent.name: json.loads(path.read_text("utf-8"))
          for path in sorted((ROOT / "lessons" / "_site" / "strips").glob("*/strips.json"))}


# ---- strips: their words are the notebooks' own --------------------------------------------------


def sweeps(stem: str) -> dict[int, list[str]]:
    """What the sweeps of a notebook printed, line by line, by the number of the cell."""
    cells = nbformat.read(ROOT / "notebooks" / f"{stem}.ipynb", as_version=4).cells
    return {number: "".join(out.get("text", "") for out in cell.outputs).splitlines()
            for number, cell in enumerate(cells)
            if cell.cell_type == "code" and ".sweep(" in cell.source}


@pytest.mark.parametrize("stem", STEMS)
def test_a_notebooks_sweeps_have_strips_with_the_same_words(stem: str):
    """`scripts/make_strips.py` was run since the notebook changed."""
    strips, printed = STRIPS.get(stem, []), sweeps(stem)
    assert {strip["cell"] for strip in strips} == set(printed)
    for strip in strips:
        assert len(strip["frames"]) >= 2
        for frame in strip["frames"]:
            line = f"{strip['name']} = {frame['value']}: {frame['caption']}"
            assert line in printed[strip["cell"]]
            file = ROOT / "lessons" / "_site" / "strips" / stem / frame["file"]
            assert file.read_bytes()[8:12] == b"WEBP"


def test_most_lessons_have_a_strip():
    assert len(STRIPS) >= 18


# ---- what cannot be built is said ----------------------------------------------------------------


def test_a_missing_notebook_and_a_missing_output_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(make_site, "NOTEBOOKS", tmp_path)
    with pytest.raises(SystemExit, match="00_start_here.md has no notebook 00_start_here.ipynb"):
        make_site.lessons()
    for stem in STEMS:
        cell = nbformat.v4.new_code_cell("1 + 1", execution_count=None if stem[:2] == "03" else 1)
        nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / f"{stem}.ipynb")
    with pytest.raises(SystemExit, match="03_backbone_and_strides.ipynb has cells without outputs"):
        make_site.lessons()


def test_a_signature_is_written_as_it_is_called():
    tree = make_site.ast.parse("def f(a: int, *, b=2) -> str: ...\nclass C(P):\n    x: int = 1\n")
    assert make_site.signature(tree.body[0]) == "def f(a: int, *, b=2) -> str"
    assert make_site.signature(tree.body[1]) == "class C(P)\n    x: int = 1"


# ---- the built pages -----------------------------------------------------------------------------


class Page(HTMLParser):
    """What of a page the tests look at."""

    def __init__(self, text: str):
        super().__init__()
        self.links, self.images, self.ids, self.fetched, self.strips = [], [], set(), [], 0
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        about = dict(attributes)
        self.ids |= {about[key] for key in ("id", "name") if about.get(key)}
        if tag == "a" and about.get("href"):
            self.links.append(about["href"])
        if tag == "img":
            self.images.append(about)
        if tag in ("img", "script", "source", "iframe"):
            self.fetched.append(about.get("src") or "")
        if tag == "link" and about.get("rel") in ("stylesheet", "preload"):
            self.fetched.append(about.get("href") or "")
        self.strips += tag == "figure" and about.get("class") == "strip"


@pytest.fixture(scope="module")
def site() -> Path:
    """The folder of the built pages; Sphinx's warnings would have been errors."""
    if importlib.util.find_spec("sphinx") is None:
        pytest.skip("Sphinx is not installed (pip install -e '.[docs]').")
    assert make_site.main() == 0
    return make_site.BUILD / "html"


@pytest.fixture(scope="module")
def pages(site) -> dict[Path, Page]:
    return {path.resolve(): Page(path.read_text("utf-8")) for path in site.rglob("*.html")}


@pytest.mark.slow
def test_every_lesson_and_notebook_is_there_with_its_pictures(site, pages):
    for stem in STEMS:
        assert (site / "lessons" / f"{stem}.html").is_file()
        page = pages[(site / "notebooks" / f"{stem}.html").resolve()]
        cells = nbformat.read(ROOT / "notebooks" / f"{stem}.ipynb", as_version=4).cells
        stored = sum(kind.startswith("image/") for cell in cells for out in cell.get("outputs", [])
                     for kind in out.get("data", {}))
        frames = sum(len(strip["frames"]) for strip in STRIPS.get(stem, []))
        assert len(page.images) == stored + frames
        assert page.strips == len(STRIPS.get(stem, []))


@pytest.mark.slow
def test_every_picture_has_words_and_nothing_is_fetched_from_elsewhere(pages):
    for path, page in pages.items():
        for image in page.images:
            assert image.get("alt"), f"{path.name}: {image.get('src')}"
        assert not [source for source in page.fetched if re.match(r"(https?:)?//", source)], path


@pytest.mark.slow
def test_no_link_within_the_site_is_broken(pages):
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            assert target.exists(), f"{path.name}: {link}"
            if parts.fragment and target in pages:
                assert unquote(parts.fragment) in pages[target].ids, f"{path.name}: {link}"


# ---- in a browser --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def address(site):
    """Where the pages are served, on this machine alone."""
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def opened(browser, url: str, **settings):
    """A page of a browser that reaches this machine alone, and what it complained of."""
    context = browser.new_context(**settings)
    context.route("**/*", lambda route: route.continue_() if "//127.0.0.1" in route.request.url
                  or route.request.url.startswith("data:") else route.abort())
    page, complaints = context.new_page(), []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda line: complaints.append(f"{line.text} {line.location}")
            if line.type == "error" else None)
    page.goto(url)
    return page, complaints


@pytest.mark.slow
def test_a_strip_moves_by_keys(browser, address, artefacts):
    page, complaints = opened(browser, f"{address}/notebooks/10_roi_pool_warp_align.html",
                              viewport={"width": 1280, "height": 1000})
    strip = page.locator("figure.strip").first
    strip.scroll_into_view_if_needed()
    slider, words = strip.locator("input[type=range]"), strip.locator("figcaption")
    frames = STRIPS["10_roi_pool_warp_align"][0]["frames"]
    assert words.inner_text().strip() == frames[0]["caption"]
    slider.focus()
    for frame in frames[1:]:
        page.keyboard.press("ArrowRight")
        assert words.inner_text().strip() == frame["caption"]
        seen = strip.locator("img:visible")
        assert seen.count() == 1 and seen.get_attribute("alt") == frame["caption"]
    page.keyboard.press("Home")
    assert words.inner_text().strip() == frames[0]["caption"]
    page.screenshot(path=artefacts / "site_strip.png")
    assert complaints == []
    page.context.close()


@pytest.mark.slow
def test_without_javascript_the_first_frame_and_the_stills_remain(browser, address):
    page, _ = opened(browser, f"{address}/notebooks/10_roi_pool_warp_align.html",
                     java_script_enabled=False)
    strips = page.locator("figure.strip")
    assert strips.count() == len(STRIPS["10_roi_pool_warp_align"])
    for strip in strips.all():
        assert strip.locator("img:visible").count() == 1
        assert strip.locator("figcaption").inner_text().strip()
    page.context.close()


LOOKED_AT = ["index.html", "lessons/10_roi_pool_warp_align.html", "lessons/glossary.html",
             "notebooks/05_rpn.html", "notebooks/10_roi_pool_warp_align.html",
             "api/layers.roi.html", "search.html?q=embedding"]


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_pages_are_accessible_and_complain_of_nothing(browser, address, artefacts, scheme, width):
    """axe-core: labels, contrast, names of controls. What it calls serious or critical fails."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    for name in LOOKED_AT:
        page, complaints = opened(browser, f"{address}/{name}", color_scheme=scheme,
                                  viewport={"width": width, "height": 1000})
        page.wait_for_load_state("networkidle")
        file = re.sub(r"\W+", "_", name.partition(".html")[0])
        page.screenshot(path=artefacts / f"site_{file}_{scheme}_{width}.png")
        told = list(complaints)  # axe itself asks for style sheets in the wrong place
        found = [f"{one['id']}: {one['nodes'][0]['html'][:200]}"
                 for one in axe.run(page).response["violations"]
                 if one["impact"] in ("serious", "critical")]
        assert found == [], name
        assert told == [], name
        page.context.close()


@pytest.mark.slow
def test_the_search_finds_a_word(browser, address):
    page, _ = opened(browser, f"{address}/search.html?q=seediness")
    page.locator("#search-results li a").first.wait_for()
    assert "seed" in page.locator("#search-results").inner_text().lower()
    page.context.close()
