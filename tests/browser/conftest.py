"""What the tests in a real browser share: chromium, driven by playwright.

Where there is none, these tests are skipped with a plain sentence; where the environment has
TEACHSEG_NEEDS_BROWSER=1, as `.ci/run` sets it, they fail instead: there nothing may be left out
unseen.
"""

import os
import shutil
from pathlib import Path

import pytest

try:
    from playwright.sync_api import sync_playwright
except ImportError:
    sync_playwright = None

NEEDED = "TEACHSEG_NEEDS_BROWSER"
FLAGS = [
    "--no-sandbox",  # a container's root has none
    "--disable-gpu",
    # and nothing that would ask the network
    "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]


def missing() -> str:
    """Why no browser can be driven here, in a sentence; "" where one can."""
    if sync_playwright is None:
        return "The package playwright is not installed (pip install playwright)."
    if not find_chromium():
        return "The browser chromium is not installed (apt install chromium)."
    return ""


def find_chromium() -> str | None:
    """Where the browser's program is."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser's program. Without one the test is skipped, or fails where one is needed."""
    why = missing()
    if why and os.environ.get(NEEDED, "0") not in ("", "0"):
        pytest.fail(f"{why} With {NEEDED}=1 a browser must be there.", pytrace=False)
    if why:
        pytest.skip(why)
    return find_chromium()


@pytest.fixture(scope="module")
def browser(chromium):
    """A browser for a module's tests; it ends with them, as its event loop is in others' way."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def artefacts() -> Path:
    """The folder in which screenshots are kept."""
    folder = Path(__file__).resolve().parents[2] / "artefacts"
    folder.mkdir(exist_ok=True)
    return folder
