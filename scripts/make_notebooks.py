"""Run the notebooks from top to bottom and keep what their cells give: the stored outputs.

    python scripts/make_notebooks.py                           all notebooks
    python scripts/make_notebooks.py notebooks/01_some.ipynb   only these

Each runs in a fresh kernel, on the CPU, with the threads and the hash seed with which
`check_notebooks.py` compares. Times and other traces of one run are left out, so that running this
twice changes no byte unless an output has changed. A notebook that fails keeps its file as it was.
"""

import os
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"
SECONDS = 900  # that one cell may take

# What the outputs depend on besides the code. Sums run in another order with other threads.
FIXED = {
    "PYTHONHASHSEED": "0",
    "OMP_NUM_THREADS": "2",
    "MKL_NUM_THREADS": "2",
    "OMP_WAIT_POLICY": "PASSIVE",  # a thread that waits must not keep a busy machine's core
    "CUDA_VISIBLE_DEVICES": "",  # the outputs are the CPU's, also where there is a GPU
    "JUPYTER_PREFER_ENV_PATH": "1",  # this environment's kernel, not another of the same name
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # else the debugger may warn on stderr
}

WIDGET = "application/vnd.jupyter.widget-view+json"  # names a widget of one run by a random number
KERNELSPEC = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}


def find(paths: list[str]) -> list[Path]:
    """The notebooks named, or all of the course, in its order."""
    found = [Path(path).resolve() for path in paths] or sorted(NOTEBOOKS.glob("*.ipynb"))
    if not found:
        raise SystemExit(f"There is no notebook in {NOTEBOOKS.name}/: the course is not complete.")
    for path in found:
        if not path.is_file():
            raise SystemExit(f"There is no notebook {path}. Its name ends in .ipynb.")
    return found


def fix_environment(folder: str) -> None:
    """Let the kernels started from here depend on `FIXED` alone, not on the user's own settings."""
    os.environ.update(FIXED, IPYTHONDIR=folder, TEACHSEG_HOME=folder)


def clean(notebook: nbformat.NotebookNode) -> None:
    """Take away what tells of one run or of one machine; add what every notebook shall say."""
    notebook.metadata.pop("widgets", None)
    notebook.metadata["kernelspec"] = KERNELSPEC
    notebook.metadata["language_info"] = {"name": "python"}
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number:02d}"
        tags = cell.metadata.get("tags")
        cell.metadata = nbformat.from_dict({"tags": tags} if tags else {})
        for output in cell.get("outputs", []):
            output.get("data", {}).pop(WIDGET, None)  # a dead widget; its text says what it was


def execute(notebook: nbformat.NotebookNode, path: Path) -> None:
    """Run a notebook in place, in a fresh kernel that works in the folder of `path`."""
    client = NotebookClient(
        notebook,
        timeout=SECONDS,
        kernel_name="python3",
        record_timing=False,
        coalesce_streams=True,
        extra_arguments=["--log-level=40"],  # errors; else each kernel warns of TCP on this machine
        resources={"metadata": {"path": str(path.parent)}},
    )
    client.execute()


def run(path: Path) -> nbformat.NotebookNode:
    """The notebook with the outputs of a fresh run."""
    notebook = nbformat.read(path, as_version=4)
    execute(notebook, path)
    clean(notebook)
    return notebook


def write(notebook: nbformat.NotebookNode, path: Path) -> None:
    """Replace the file in one step."""
    nbformat.validate(notebook)
    half = path.with_suffix(".part")
    half.write_text(nbformat.writes(notebook).rstrip("\n") + "\n", "utf-8")
    os.replace(half, path)


def main(paths: list[str]) -> None:
    """Make the outputs again; stop at the first notebook that fails."""
    with tempfile.TemporaryDirectory() as folder:
        fix_environment(folder)
        for path in find(paths):
            begun = time.monotonic()
            try:
                write(run(path), path)
            except CellExecutionError as error:
                raise SystemExit(f"{error}\n{path.name} failed; its file is as it was.") from None
            seconds, size = time.monotonic() - begun, path.stat().st_size / 1000
            print(f"{path.name}: {seconds:.0f} s, {size:.0f} KB", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
