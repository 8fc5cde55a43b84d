"""The site, built from stored outputs and opened in a browser that has no network.

It is built once; what every page must have is read from its HTML, what moves is moved in chromium.
Screenshots are kept in artefacts/.
"""

import functools
import http.server
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import make_site
import nbformat
import pytest
import site_library

ROOT = Path(__file__).resolve().parents[2]

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


def test_sweeps_without_their_strips_are_named(tmp_path, monkeypatch):
    cells = nbformat.read(ROOT / "notebooks" / "05_rpn.ipynb", as_version=4).cells
    assert make_site.read_strips("05_rpn", cells)
    said = r"strips of 05_rpn.ipynb .* python scripts/make_strips.py notebooks/05_rpn"
    with pytest.raises(SystemExit, match=said):
        make_site.read_strips("05_rpn", cells[:20])  # strips of sweeps that are no longer there
    shutil.copytree(make_site.STRIPS / "05_rpn", tmp_path / "05_rpn")
    (tmp_path / "05_rpn" / STRIPS["05_rpn"][0]["frames"][1]["file"]).unlink()
    monkeypatch.setattr(make_site, "STRIPS", tmp_path)
    with pytest.raises(SystemExit, match=said):
        make_site.read_strips("05_rpn", cells)  # a frame is missing
    shutil.rmtree(tmp_path / "05_rpn")
    with pytest.raises(SystemExit, match=said):
        make_site.read_strips("05_rpn", cells)  # all are


def test_missing_pages_pictures_and_words_are_named(tmp_path, monkeypatch):
    page = tmp_path / "05_rpn.md"
    with pytest.raises(SystemExit, match="lessons/05_rpn.md must be there"):
        make_site.facts_of(page)
    page.write_text("# 05\n", "utf-8")
    with pytest.raises(SystemExit, match="begin with its facts"):
        make_site.facts_of(page)
    page.write_text("---\nterms: [anchor, phlogiston]\nsymbols: []\n---\n# 05\n", "utf-8")
    with pytest.raises(SystemExit, match="05_rpn.md names phlogiston among its terms"):
        make_site.lesson_page(page, {"anchor": "term-anchor"})
    monkeypatch.setattr(make_site, "PICTURES", tmp_path)
    with pytest.raises(SystemExit, match="has no three_papers.png, box.gif"):
        make_site.pictures()


# ---- what is made of the sources -----------------------------------------------------------------


def test_a_signature_is_written_as_it_is_called():
    tree = site_library.ast.parse(
        "def f(a: int, *, b=2) -> str: ...\nclass C(P):\n    x: int = 1\n"
        "def g(some: Annotated[dict[str, int], 'for typer'], other: tuple[int, int] = (1, 2), "
        "and_one_that_makes_it_long: float = 0.5): ...\n")
    assert site_library.signature(tree.body[0]) == "def f(a: int, *, b=2) -> str"
    assert site_library.signature(tree.body[1]) == "class C(P)\n    x: int = 1"
    assert site_library.signature(tree.body[2]) == (
        "def g(\n    some: dict[str, int],\n    other: tuple[int, int]=(1, 2),\n"
        "    and_one_that_makes_it_long: float=0.5,\n)")


def test_a_docstrings_paragraphs_are_text_and_its_columns_stay():
    words = "Of a_b and `c_d`.\n\nLetters\n    N  images\n\n>>> f(1)\n2"
    node = site_library.ast.parse(f'"""{words}"""')
    assert site_library.described(node) == (
        "Of a\\_b and `c_d`.\n\n````text\nLetters\n    N  images\n\n>>> f(1)\n2\n````\n")


def test_names_of_the_library_and_of_lessons_lead_to_their_pages():
    pages = [Path("04_anchors.md"), Path("05_rpn.md")]
    text = ("`layers.roi.roi_align`, `geometry.matching.BACKGROUND`, `torch.nn`; "
            "lessons 04 and 05.\n"
            "```\n`layers.roi.roi_align` lesson 05\n```\n[lesson 05](x.md)")
    assert make_site.linked(text, pages) == (
        "[`layers.roi.roi_align`](../api/layers.roi.md#roi_align), "
        "[`geometry.matching.BACKGROUND`](../api/geometry.matching.md), `torch.nn`; "
        "lessons [04](../lessons/04_anchors.md) and [05](../lessons/05_rpn.md).\n"
        "```\n`layers.roi.roi_align` lesson 05\n```\n[lesson 05](x.md)")


def test_links_to_what_is_no_page_keep_their_words_and_pictures_stay():
    text = "[a](../README.md) [b](05_rpn.md) [c](https://x.org) ![d](floors.svg)"
    assert make_site.outside(text, make_site.LESSONS / "04_anchors.md") == (
        "a [b](05_rpn.md) [c](https://x.org) ![d](floors.svg)")


def test_what_a_picture_shows_becomes_its_caption():
    output = nbformat.v4.new_output
    picture = output("display_data", {"image/jpeg": ""}, metadata={"image/jpeg": {"alt": "Two_a."}})
    cell = nbformat.v4.new_code_cell(
        outputs=[picture, output("stream", text="Two_a.\nand 0.5\n"), output("stream", text="b\n")])
    make_site.describe_pictures(cell)
    assert [one.get("text") or one.data for one in cell.outputs[1:]] == [
        {"text/markdown": "Two\\_a."}, "and 0.5\n", "b\n"]
    cell.outputs = [output("stream", text="0.5\nTwo_a.\n"), picture]  # printed before it was drawn
    make_site.describe_pictures(cell)
    assert cell.outputs[0].text == "0.5\n"
    assert [one.data for one in cell.outputs[1:]] == [{"image/jpeg": ""},
                                                      {"text/markdown": "Two\\_a."}]


def test_the_r_of_a_measure_is_raised_in_text_and_stays_in_code():
    text = "mAP^r@0.5, AP\\^r and `AP^r`\n```\nAP^r\n```\nAP^r"
    assert make_site.raised(text) == ("mAP<sup>r</sup>@0.5, AP<sup>r</sup> and `AP^r`\n"
                                      "```\nAP^r\n```\nAP<sup>r</sup>")


def test_the_hours_of_a_way_are_those_of_its_lessons():
    minutes = {"00": 30, "03": 60, "04": 600, "10": 90}
    assert make_site.numbers("00 to 03, 10 to 12", list(minutes)) == ["00", "03", "10"]
    text = (ROOT / "README.md").read_text("utf-8")
    for name, words in make_site.PATHS.items():
        assert re.search(rf"\*{name}\*\s+\({words}\)", re.sub(r"\s+", " ", text)), name


# ---- where the project is published --------------------------------------------------------------

HOST = ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "READTHEDOCS_GIT_CLONE_URL")


@pytest.mark.parametrize("said, host, address", [
    ("", {}, ""),
    ("", {"GITHUB_SERVER_URL": "https://github.com"}, ""),
    ("", {"GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "o/r"},
     "https://github.com/o/r"),
    ("", {"READTHEDOCS_GIT_CLONE_URL": "https://github.com/o/r.git"}, "https://github.com/o/r"),
    ("", {"READTHEDOCS_GIT_CLONE_URL": "git@gitlab.com:o/r.git"}, "https://gitlab.com/o/r"),
    ("https://github.com/first/r", {"GITHUB_SERVER_URL": "https://github.com",
                                    "GITHUB_REPOSITORY": "o/r"}, "https://github.com/first/r"),
])
def test_the_address_is_pyprojects_or_the_hosts_or_none(tmp_path, monkeypatch, said, host, address):
    urls = f'[project.urls]\nRepository = "{said}"\n' if said else ""
    (tmp_path / "pyproject.toml").write_text(f'[project]\nname = "x"\n{urls}', "utf-8")
    monkeypatch.setattr(make_site.set_address, "ROOT", tmp_path)
    for name in HOST:
        monkeypatch.delenv(name, raising=False)
    for name, value in host.items():
        monkeypatch.setenv(name, value)
    assert make_site.repository() == address
    assert ("git clone" in make_site.clone(address)) == bool(address)


def small_site(folder: Path, address: str) -> Path:
    """A site of one notebook, with the settings of the whole one."""
    if importlib.util.find_spec("sphinx") is None:
        pytest.skip("Sphinx is not installed (pip install -e '.[docs]').")
    source = folder / "source"
    shutil.copytree(make_site.SITE / "static", source / "_static")
    shutil.copy(make_site.SITE / "conf.py", source)
    (source / "index.md").write_text("# x\n\n```{toctree}\nnotebooks/05_rpn\n```\n", "utf-8")
    (source / "notebooks").mkdir()
    cells = [nbformat.v4.new_markdown_cell("# 05"), nbformat.v4.new_code_cell("1")]
    kernel = {"kernelspec": {"name": "python3", "display_name": "x", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel),
                   source / "notebooks" / "05_rpn.ipynb")
    subprocess.run([sys.executable, "-m", "sphinx", "-W", "-q", source, folder / "html"],
                   check=True, env={**os.environ, "TEACHSEG_REPOSITORY": address})
    return folder / "html"


def elsewhere(page: Path) -> list[str]:
    return [link for link in Page(page.read_text("utf-8")).links if link.startswith("http")]


@pytest.mark.slow
def test_with_an_address_a_notebook_opens_on_colab_and_binder(tmp_path, browser, artefacts):
    html = small_site(tmp_path, "https://github.com/some/course")
    assert set(elsewhere(html / "notebooks" / "05_rpn.html")) == {
        "https://github.com/some/course",
        "https://colab.research.google.com/github/some/course/blob/main/notebooks/05_rpn.ipynb",
        "https://mybinder.org/v2/gh/some/course/main?urlpath=lab/tree/notebooks/05_rpn.ipynb"}
    assert set(elsewhere(html / "index.html")) == {"https://github.com/some/course"}
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    for scheme in ("light", "dark"):
        context = browser.new_context(color_scheme=scheme, offline=True)
        page = context.new_page()
        page.goto((html / "notebooks" / "05_rpn.html").as_uri())
        page.locator(".dropdown-launch-buttons button").click()
        page.get_by_role("link", name="Colab").wait_for()
        page.screenshot(path=artefacts / f"site_launch_{scheme}.png")
        assert serious(axe, page) == []
        context.close()


@pytest.mark.slow
@pytest.mark.parametrize("address, links", [
    ("", set()),
    ("https://gitlab.com/some/course",  # Colab opens nothing from there
     {"https://gitlab.com/some/course",
      "https://mybinder.org/v2/gl/some%2Fcourse/main?urlpath=lab/tree/notebooks/05_rpn.ipynb"}),
])
def test_without_an_address_there_are_no_dead_buttons(tmp_path, address, links):
    html = small_site(tmp_path, address)
    assert set(elsewhere(html / "notebooks" / "05_rpn.html")) == links


# ---- the built pages -----------------------------------------------------------------------------


class Page(HTMLParser):
    """What of a page the tests look at."""

    def __init__(self, text: str):
        super().__init__()
        self.links, self.images, self.ids, self.fetched, self.strips = [], [], set(), [], 0
        self.near: dict[str, str] = {}  # rel -> the page before or after
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        about = dict(attributes)
        self.ids |= {about[key] for key in ("id", "name") if about.get(key)}
        if tag == "a" and about.get("href"):
            self.links.append(about["href"])
        if tag == "link" and about.get("rel") in ("prev", "next"):
            self.near[about["rel"]] = about["href"]
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
def test_one_reads_a_lesson_then_its_notebook_then_the_next_lesson(site, pages):
    order = [f"{folder}/{stem}.html" for stem in STEMS for folder in ("lessons", "notebooks")]
    titles = [re.search("<title>(.*?)</title>", (site / name).read_text("utf-8"), re.S)[1]
              for name in order]
    assert len(set(titles)) == len(titles)
    for name, following in zip(["index.html", *order], order):
        path = (site / name).resolve()
        assert (path.parent / pages[path].near["next"]).resolve() == (site / following).resolve()


@pytest.mark.slow
def test_the_first_page_has_every_lesson_the_ways_and_the_pictures(site, pages):
    page = pages[(site / "index.html").resolve()]
    for stem in STEMS:
        assert {f"lessons/{stem}.html", f"notebooks/{stem}.html"} <= set(page.links)
    assert [Path(image["src"]).name for image in page.images] == list(make_site.ALT)
    text = re.sub(r"<script.*?</script>", "", page_text(site / "index.html"), flags=re.S)
    assert "<!--" not in text and "Each ends with lessons 40 to 42" in text
    assert len(pages[(site / "lessons" / "architecture.html").resolve()].images) == 1


def page_text(path: Path) -> str:
    """The article of a page, as HTML."""
    return re.search(r"<article.*?</article>", path.read_text("utf-8"), re.S)[0]


@pytest.mark.slow
def test_formulas_leave_no_latex_and_no_heading_its_marks(site):
    count = 0
    for path in [*site.glob("lessons/*.html"), *site.glob("notebooks/*.html")]:
        formulas = re.findall(r"<math.*?</math>", path.read_text("utf-8"), re.S)
        count += len(formulas)
        left = [one for one in formulas if re.search(r"\\[A-Za-z]|<mi>&(amp;)?</mi>", one)]
        assert left == [], path.name
        text = re.sub(r'<pre.*?</pre>|<math.*?</math>|<code.*?</code>|alt="[^"]*"', "",
                      page_text(path), flags=re.S)
        assert not re.search(r"(?:^|>|\n)\s*#{1,4} \w|AP\^r", text), path.name
    assert count > 500


@pytest.mark.slow
def test_lessons_and_reference_pages_lead_into_the_library(site, pages):
    for name in ("05_rpn", "glossary", "equations", "deviations"):
        links = pages[(site / "lessons" / f"{name}.html").resolve()].links
        assert any(link.startswith("../api/") and "#" in link or name == "05_rpn"
                   and link.startswith("../api/layers.rpn") for link in links), name


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
def test_columns_keep_their_lines_and_a_strip_fits_a_window(browser, address):
    page, _ = opened(browser, f"{address}/notebooks/40_three_papers_side_by_side.html",
                     viewport={"width": 1400, "height": 900})
    table = page.locator("div.cell_output pre.columns", has_text="loose mask").first
    lines = table.inner_text().rstrip("\n").count("\n") + 1
    height, line = table.evaluate("one => [one.clientHeight - parseFloat(getComputedStyle(one)"
                                  ".paddingTop) * 2, parseFloat(getComputedStyle(one).lineHeight)]")
    assert round(height / line) == lines > 10
    page.goto(f"{address}/notebooks/41_tables_in_miniature.html")
    sizes = page.evaluate("[...document.querySelectorAll('div.cell_output pre.columns')]"
                          ".map(one => one.scrollWidth - one.clientWidth)")
    assert len(sizes) > 10 and max(sizes) <= 0  # a table's sentences wrap
    page.goto(f"{address}/notebooks/01_boxes_and_masks.html")
    strip = page.locator("figure.strip").first
    assert strip.locator("img").first.bounding_box()["height"] < 600
    page.context.close()


@pytest.mark.slow
def test_on_paper_there_is_the_text_alone(browser, address, artefacts):
    """Light, the first frames, hints unfolded, no sidebar; afterwards all is as it was."""
    page, complaints = opened(browser, f"{address}/notebooks/02_metrics.html",
                              color_scheme="dark", viewport={"width": 794, "height": 1123})
    slider = page.locator("figure.strip input").first
    slider.focus()
    page.keyboard.press("End")
    words = page.locator("figure.strip figcaption").first
    frames = STRIPS["02_metrics"][0]["frames"]
    assert words.inner_text().strip() == frames[-1]["caption"]
    hints = page.locator("article details:not([open])").count()
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print", color_scheme="dark")
    assert words.inner_text().strip() == frames[0]["caption"]
    assert page.locator("html").get_attribute("data-theme") == "light"
    assert page.locator("article details:not([open])").count() == 0 < hints
    for left_out in (".bd-sidebar-primary", ".bd-sidebar-secondary", "#jb-print-toc",
                     ".bd-header-article", ".prev-next-area", "figure.strip input"):
        assert page.locator(left_out).count(), left_out
        assert not page.locator(left_out).first.is_visible(), left_out
    assert page.locator("article h1").is_visible()
    assert page.evaluate(CUT_OFF) == []
    page.screenshot(path=artefacts / "site_print.png")
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert words.inner_text().strip() == frames[-1]["caption"]
    assert page.locator("html").get_attribute("data-theme") == "dark"
    assert page.locator("article details:not([open])").count() == hints
    assert complaints == []
    for stem in ("12_mnc_category_stage", "32_seediness_and_seed_choice"):  # the widest formulas
        page.goto(f"{address}/lessons/{stem}.html")
        assert page.evaluate("document.scrollingElement.scrollWidth") <= 794, stem
    page.context.close()


CUT_OFF = """() => [...document.querySelectorAll("article pre, article table")]
    .filter(one => one.scrollWidth > one.clientWidth + 1 && one.clientWidth)
    .map(one => one.textContent.slice(0, 60))"""


@pytest.mark.slow
def test_no_page_is_wider_than_a_phone(browser, address, site):
    page, _ = opened(browser, f"{address}/index.html", viewport={"width": 390, "height": 800})
    names = [path.relative_to(site).as_posix()
             for folder, step in (("lessons", 1), ("notebooks", 1), ("api", 8))
             for path in sorted((site / folder).glob("*.html"))[::step]]
    for name in ["index.html", *names]:
        page.goto(f"{address}/{name}", wait_until="domcontentloaded")
        wide = page.evaluate("document.scrollingElement.scrollWidth")
        assert wide <= 390, f"{name} is {wide} wide"
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
             "lessons/equations.html", "notebooks/02_metrics.html", "api/layers.roi.html",
             "search.html?q=embedding"]


def serious(axe, page) -> list[str]:
    """What axe-core calls serious or critical on a page."""
    return [f"{one['id']}: {one['nodes'][0]['html'][:200]}"
            for one in axe.run(page).response["violations"]
            if one["impact"] in ("serious", "critical")]


@pytest.mark.slow
@pytest.mark.parametrize("scheme, width", [("light", 1280), ("dark", 400)])
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
        assert serious(axe, page) == [], name
        assert told == [], name
        page.context.close()


@pytest.mark.slow
def test_the_search_finds_a_word(browser, address):
    page, _ = opened(browser, f"{address}/search.html?q=seediness")
    page.locator("#search-results li a").first.wait_for()
    assert "seed" in page.locator("#search-results").inner_text().lower()
    page.context.close()
