"""A cell that fails for want of another, or of the right library, is told so: an IPython extension.

Python says that a name is not defined. Whoever opened a notebook in the middle needs to hear which
cell makes it, and what to press. This extension prints that below the traceback. It also notes
which of the course's notebooks was last worked on, for `teachseg lab`. `make lab` and `teachseg
lab` see to it that every kernel of this Python loads it; elsewhere `%load_ext teachseg.cells` does.

No boxes here.

Lesson: 00
"""

import ast
import difflib
import json
import os
import re
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

from teachseg import __file__ as library
from teachseg import __version__
from teachseg.places import home

BEGAN = time.time()  # the extension is loaded when the kernel starts
CONFIG = """# Written by teachseg: kernels tell what a failed cell is in want of. May be deleted.
c = get_config()  # noqa: F821
c.InteractiveShellApp.extensions = ["teachseg.cells"]
"""
RUN_ABOVE = ("Run what stands above this cell first: Run > Run All Above Selected Cell. To be sure "
             "of the order: Kernel > Restart Kernel and Run All Cells.")
NOTEBOOK = re.compile(r"\d\d_\w+(-\d+)?\.ipynb")  # the course's, and copies of them to work in
RESTART = "Restart the kernel (Kernel > Restart Kernel), and run the notebook from the top."


def load_ipython_extension(shell: Any) -> None:
    """Called by IPython: from now on each cell that failed is looked at."""
    noted = False

    def look(result: Any) -> None:
        nonlocal noted
        if not noted:  # once a kernel is enough
            noted = True
            note_notebook()
        error = result.error_in_exec
        words = "" if error is None else advice(error, notebook_cells(), shell.user_ns)
        if words:
            print(words, file=sys.stderr)

    shell.events.register("post_run_cell", look)


def set_up(prefix: Path) -> bool:
    """Let every kernel of a Python load this extension; -> whether it will.

    Args:
        prefix: of that Python, `sys.prefix`. A configuration that somebody else wrote stays as it
            is, and a folder that cannot be written costs the advice and nothing else.
    """
    file = prefix / "etc" / "ipython" / "ipython_kernel_config.py"
    try:
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(CONFIG, "utf-8")
        return "teachseg.cells" in file.read_text("utf-8")
    except (OSError, UnicodeError):
        return False


def advice(error: BaseException, cells: list[str], known: dict[str, Any]) -> str:
    """What to do about an error, in one paragraph; "" where the error's own words are enough.

    Args:
        error: what a cell raised.
        cells: the code of the notebook's cells, in order; empty where the file is not known.
        known: the kernel's names.
    """
    if changed_since_import():
        return ("The files of teachseg have changed since this kernel imported them: what runs is "
                f"the old library. {RESTART}")
    if isinstance(error, NameError) and not isinstance(error, UnboundLocalError):
        return _no_name(error.name or _quoted(str(error)), cells, known)
    if isinstance(error, ModuleNotFoundError):
        return _no_module((error.name or "").partition(".")[0])
    if isinstance(error, (ImportError, AttributeError)) and re.search(r"'teachseg[.']", str(error)):
        return (f"This kernel runs teachseg {__version__} from "
                f"{Path(library).parent}. The notebook was written for another version, "
                "or this is another installation than the one beside the notebook. Choose the "
                "other kernel (Kernel > Change Kernel), or bring this one up to date; "
                "`teachseg doctor` in a terminal says what is installed where.")
    return ""


def _no_name(name: str, cells: list[str], known: dict[str, Any]) -> str:
    """A name that the kernel does not have: where it is made, or what it may have meant."""
    makers = [cell for cell in cells if name in names_made(cell)]
    if makers:
        begins = makers[0].strip().splitlines()[0]
        return (f"`{name}` is made by another cell, which this kernel has not run: the one that "
                f"begins `{begins}`. {RUN_ABOVE}")
    public = [word for word in known if not word.startswith("_")]
    close = difflib.get_close_matches(name, public, n=1)
    if close:
        return f"This kernel knows no `{name}`, but a `{close[0]}`. Was that meant?"
    return f"This kernel knows no `{name}`. If a cell further up makes it: {RUN_ABOVE}"


def _no_module(package: str) -> str:
    """A package that is not there: ours, one that we need, or one that is none of our business."""
    if package == "teachseg":
        return ("The library has no such module. The notebook was written for another version. "
                "`teachseg doctor` in a terminal says which one is installed where.")
    if package in needed_modules():
        return (f"teachseg needs {package}, and this Python ({sys.executable}) does not have it. "
                f"Install it: {sys.executable} -m pip install {package.replace('_', '-')}. Then "
                "restart the kernel. `teachseg doctor` in a terminal looks for all the others.")
    return ""


def names_made(source: str) -> set[str]:
    """The names that a cell gives a value to at its top level, imports and functions too.

    >>> sorted(names_made("import a.b\\nfor c, (d, e) in []: f = g"))
    ['a', 'c', 'd', 'e', 'f']
    """
    try:
        tree = ast.parse(re.sub(r"(?m)^\s*[%!].*$", "", source))  # lines that are IPython's
    except SyntaxError:
        return set()
    made, rest = set(), list(tree.body)
    while rest:
        node = rest.pop()
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            made |= {(one.asname or one.name).partition(".")[0] for one in node.names}
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            made.add(node.name)  # and what is made inside of it stays there
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            made.add(node.id)
        elif not isinstance(node, (ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp,
                                   ast.GeneratorExp)):
            rest += ast.iter_child_nodes(node)
    return made


def notebook_cells() -> list[str]:
    """The code cells of this kernel's notebook, as saved; [] where it is not known."""
    path = notebook_file()
    if path is None:
        return []
    try:
        cells = json.loads(path.read_text("utf-8"))["cells"]
        return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def notebook_file() -> Path | None:
    """The notebook that this kernel serves; None where it is not known.

    Jupyter's server names the notebook in JPY_SESSION_NAME. Other programs may not.
    """
    name = os.environ.get("JPY_SESSION_NAME", "")
    try:
        places = (Path(name), Path.cwd() / Path(name).name)
        return next((path.absolute() for path in places
                     if path.suffix == ".ipynb" and path.is_file()), None)
    except (OSError, ValueError):  # a working folder that is gone, a name that no file can have
        return None


def note_notebook() -> None:
    """Keep the path of this kernel's notebook, if it is one of the course; what fails is let be."""
    path = notebook_file()
    if path is None or not NOTEBOOK.fullmatch(path.name):
        return
    try:
        file = _note()
        half = file.with_name(f"{file.name}.{os.getpid()}.part")
        file.parent.mkdir(parents=True, exist_ok=True)
        half.write_text(f"{path}\n", "utf-8")
        half.replace(file)  # two kernels may begin at once
    except (OSError, ValueError, RuntimeError):  # RuntimeError: there is no home folder
        return


def last_notebook() -> Path | None:
    """The notebook of the course that was last worked on; None where there is none any more."""
    try:
        path = Path(_note().read_text("utf-8").rstrip("\n"))
        return path if path.is_absolute() and path.is_file() else None
    except (OSError, ValueError, RuntimeError):
        return None


def _note() -> Path:
    return home() / "last_notebook.txt"


def changed_since_import() -> bool:
    """Whether a file of the library was written, or taken away, after this kernel began."""
    files = [getattr(module, "__file__", None) for name, module in list(sys.modules.items())
             if name.partition(".")[0] == "teachseg"]
    try:
        return any(os.path.getmtime(file) > BEGAN for file in files if file)
    except OSError:
        return True


def needed_modules() -> set[str]:
    """The packages that teachseg needs, by the names under which they are imported."""
    try:
        lines = metadata.requires("teachseg") or []
    except metadata.PackageNotFoundError:
        return set()
    names = {re.split(r"[^\w-]", line)[0].replace("-", "_").lower() for line in lines}
    return names | {"PIL"} if "pillow" in names else names


def _quoted(message: str) -> str:
    """The first word in quotes of a message."""
    found = re.search(r"'(\w+)'", message)
    return found[1] if found else ""
