"""What the tests in a real browser share: chromium, driven by playwright, and a JupyterLab.

Where there is none, these tests are skipped with a plain sentence; where the environment has
TEACHSEG_NEEDS_BROWSER=1, as `.ci/run` sets it, they fail instead: there nothing may be left out
unseen.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

import teachseg

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


# ---- JupyterLab ---------------------------------------------------------------------------------

SECONDS = 120  # for the server to start, and for a notebook to run; a quarter on a quiet machine
TOKEN = "learner"
IDLE = "Python 3 (ipykernel) | Idle"  # in the bar at the bottom
SETTINGS = {  # JupyterLab's own, that a test needs otherwise
    "notebook-extension/tracker": {"windowingMode": "none"},  # cells off the screen exist too
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
}


def environment(folder: Path) -> dict[str, str]:
    """Jupyter's folders are in `folder`; what is imported, and the kernel, are the tests' own."""
    places = {"JUPYTER_CONFIG_DIR": "config", "JUPYTER_DATA_DIR": "data",
              "JUPYTER_RUNTIME_DIR": "runtime", "IPYTHONDIR": "ipython", "TEACHSEG_HOME": "home",
              "JUPYTERLAB_SETTINGS_DIR": "settings", "JUPYTERLAB_WORKSPACES_DIR": "workspaces"}
    fixed = {"PYTHONPATH": str(Path(teachseg.__file__).parents[1]), "CUDA_VISIBLE_DEVICES": "",
             "JUPYTER_PREFER_ENV_PATH": "1", "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    return os.environ | fixed | {name: str(folder / place) for name, place in places.items()}


def wait_for_server(server: subprocess.Popen, facts: Path, log: Path) -> str:
    """The server's address, from the file that it writes when it listens."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end and server.poll() is None:
        try:
            return json.loads(facts.read_text("utf-8"))["url"]
        except (OSError, ValueError):  # not there yet, or half written
            time.sleep(0.1)
    pytest.fail(f"JupyterLab did not start:\n{log.read_text('utf-8')}", pytrace=False)


@contextmanager
def _serve(folder: Path, work: Path):
    """A JupyterLab that shows the folder `work`, and keeps its own files in `folder`; it gives a
    function from a notebook's name to its address."""
    for name, values in SETTINGS.items():
        file = folder / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values))
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root",
               "--ServerApp.port=0", f"--ServerApp.root_dir={work}",
               f"--IdentityProvider.token={TOKEN}", "--LabApp.extension_manager=readonly"]
    log = folder / "log"
    with log.open("w") as file:
        server = subprocess.Popen(command, cwd=folder, env=environment(folder),
                                  stdout=file, stderr=subprocess.STDOUT)
    try:
        url = wait_for_server(server, folder / "runtime" / f"jpserver-{server.pid}.json", log)
        yield lambda name: f"{url}lab/tree/{name}?token={TOKEN}"
    finally:
        server.terminate()  # it ends its kernels
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


@pytest.fixture(scope="session")
def serve():
    """A function (folder, folder to show) -> a JupyterLab, to be used with `with`."""
    return _serve


def _run_all_cells(page, address: str) -> None:
    """Open a notebook, and run it from the menu from top to bottom."""
    page.set_default_timeout(1000 * SECONDS)
    page.goto(address)
    page.get_by_text(IDLE).wait_for()  # earlier, JupyterLab would ask for a kernel
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    page.wait_for_function("""() => {
      const prompts = [...document.querySelectorAll(".jp-CodeCell .jp-InputPrompt")];
      return prompts.every((prompt) => /^\\[\\d+\\]:$/.test(prompt.textContent.trim()));
    }""")
    page.get_by_text(IDLE).wait_for()


@pytest.fixture(scope="session")
def run_all_cells():
    """A function (page, address of a notebook)."""
    return _run_all_cells
