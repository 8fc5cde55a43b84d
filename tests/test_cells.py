"""What a failed cell is told: which cell makes the name, which library runs, what to press."""

import os
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from teachseg import cells
from teachseg.cells import (
    advice,
    last_notebook,
    names_made,
    needed_modules,
    notebook_cells,
    set_up,
)

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def raised(source: str) -> BaseException:
    """What a line of code raises."""
    try:
        exec(source, {})
    except Exception as error:
        return error
    raise AssertionError(f"{source} raised nothing")


def test_a_name_made_by_another_cell_names_that_cell():
    there = ["import torch", "# One scene.\nimage = torch.zeros(3)\nprint(image)", "image += 1"]
    said = advice(raised("image.sum()"), there, {})
    assert said.startswith("`image` is made by another cell, which this kernel has not run: the "
                           "one that begins `# One scene.`.")
    assert "Run All Above" in said and "Restart Kernel" in said
    assert "begins `import torch`" in advice(raised("torch.ones(2)"), there, {})


def test_a_name_nearly_known_is_asked_for():
    assert advice(raised("scnee"), [], {"scene": 1}) == (
        "This kernel knows no `scnee`, but a `scene`. Was that meant?")
    said = advice(raised("scene"), [], {})
    assert said.startswith("This kernel knows no `scene`.") and "Run All Above" in said


def test_names_made():
    source = """
%matplotlib inline
import os.path as p, sys
from a import b as c, d
x, *y = 1, 2
def f(inner): own = inner
class G: field = 1
for i in []: j: int = 3
z = [k for k in x]
with open("w") as file: pass
if (walrus := 1): pass
u.attribute = 1
"""
    assert names_made(source) == {"p", "sys", "c", "d", "x", "y", "f", "G", "i", "j", "z", "file",
                                  "walrus"}
    assert names_made("this is no Python") == set()


def test_a_library_of_another_version_is_named_with_its_folder():
    for source in ("from teachseg.geometry.boxes import box_of_the_future",
                   "import teachseg; teachseg.loda"):
        said = advice(raised(source), [], {})
        assert said.startswith("This kernel runs teachseg ") and "Change Kernel" in said
        assert str(ROOT / "src" / "teachseg") in said
    assert "no such module" in advice(raised("import teachseg.geometri"), [], {})


def test_a_package_that_is_missing_comes_with_the_command(monkeypatch):
    assert {"ipywidgets", "torch", "PIL", "jupyter_client", "resvg_py"} <= needed_modules()
    monkeypatch.setitem(sys.modules, "ipywidgets", None)  # as if it were not installed
    said = advice(raised("import ipywidgets"), [], {})
    assert said.startswith("teachseg needs ipywidgets") and "-m pip install ipywidgets" in said
    assert advice(raised("import nothing_of_ours"), [], {}) == ""


def test_other_errors_speak_for_themselves():
    for source in ("1 / 0", "int('a')", "[].foo", "def f():\n  print(x)\n  x = 1\nf()"):
        assert advice(raised(source), [], {}) == ""


def test_a_library_changed_under_a_running_kernel(monkeypatch, tmp_path):
    module = ModuleType("teachseg.tried")
    file = tmp_path / "tried.py"
    file.write_text("")
    module.__file__ = str(file)
    monkeypatch.setitem(sys.modules, "teachseg.tried", module)
    monkeypatch.setattr(cells, "BEGAN", 5e9)  # long after any file here was written
    assert not cells.changed_since_import()
    os.utime(file, (6e9, 6e9))
    assert "the old library. Restart the kernel" in advice(raised("1 / 0"), [], {})
    file.unlink()
    assert cells.changed_since_import()


def test_the_notebook_is_found_by_what_jupyter_says(monkeypatch, tmp_path):
    path = tmp_path / "one.ipynb"
    code, words = nbformat.v4.new_code_cell, nbformat.v4.new_markdown_cell
    nbformat.write(nbformat.v4.new_notebook(cells=[words("x = 1"), code("a = 1\nb = 2")]), path)
    monkeypatch.setenv("JPY_SESSION_NAME", str(path))
    assert notebook_cells() == ["a = 1\nb = 2"]
    monkeypatch.setenv("JPY_SESSION_NAME", "folder/one.ipynb")  # relative to the server's folder
    monkeypatch.chdir(tmp_path)
    assert notebook_cells() == ["a = 1\nb = 2"]
    path.write_text("not a notebook")
    assert notebook_cells() == []
    monkeypatch.delenv("JPY_SESSION_NAME")
    assert notebook_cells() == []


class Shell:
    """As much of IPython as the extension needs: `run()` is a cell that ran."""

    user_ns: dict = {}

    def __init__(self):
        self.events = self
        cells.load_ipython_extension(self)

    def register(self, name, function):
        assert name == "post_run_cell"
        self.run = lambda: function(SimpleNamespace(error_in_exec=None))


@pytest.fixture
def at_home(tmp_path, monkeypatch):
    """A learner's folder of their own, and a function that makes a notebook and a kernel for it."""
    monkeypatch.setenv("TEACHSEG_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)

    def kernel(name):
        path = tmp_path / name
        path.write_text("{}")
        monkeypatch.setenv("JPY_SESSION_NAME", str(path))
        return path, Shell()

    return kernel


def test_the_notebook_last_worked_on_is_noted(at_home, capsys):
    assert last_notebook() is None
    first, kernel = at_home("04_anchors.ipynb")
    assert last_notebook() is None  # it was opened, no cell has run
    kernel.run()
    assert last_notebook() == first
    copy, other = at_home("12_rpn_targets-2.ipynb")
    other.run()
    assert last_notebook() == copy
    kernel.run()  # once a kernel
    assert last_notebook() == copy
    copy.unlink()
    assert last_notebook() is None
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["own.ipynb", "4_anchors.ipynb", "04_anchors.py",
                                  "04_anchors-mine.ipynb", "04_anchors.ipynb-jvsc-1"])
def test_what_is_no_notebook_of_the_course_is_not_noted(at_home, name, tmp_path):
    at_home(name)[1].run()
    assert not (tmp_path / "home").exists()


def test_a_run_without_a_session_notes_nothing(at_home, monkeypatch, tmp_path):
    _, kernel = at_home("04_anchors.ipynb")
    monkeypatch.delenv("JPY_SESSION_NAME")  # as in nbval and nbclient
    kernel.run()
    assert not (tmp_path / "home").exists()


def test_a_note_that_cannot_be_kept_or_read_costs_nothing(at_home, monkeypatch, tmp_path, capsys):
    (tmp_path / "home").write_text("a file where the folder should be")
    at_home("04_anchors.ipynb")[1].run()
    assert last_notebook() is None
    (tmp_path / "home").unlink()
    (tmp_path / "home").mkdir()
    for content in (b"", b"\xff\xfe", b"04_anchors.ipynb", b"/a\0b", str(tmp_path).encode()):
        (tmp_path / "home" / "last_notebook.txt").write_bytes(content)
        assert last_notebook() is None
    monkeypatch.setattr(cells, "home", lambda: Path("~no-such-user").expanduser())  # RuntimeError
    at_home("04_anchors.ipynb")[1].run()
    assert last_notebook() is None
    assert capsys.readouterr() == ("", "")


def test_setting_up_writes_once_and_leaves_what_is_there(tmp_path):
    file = tmp_path / "etc" / "ipython" / "ipython_kernel_config.py"
    assert set_up(tmp_path) and "teachseg.cells" in file.read_text()
    file.write_text("# somebody's own\n")
    assert not set_up(tmp_path)
    assert file.read_text() == "# somebody's own\n"
    assert not set_up(file)  # a file where a folder should be: nothing raised


def from_the_middle(path: Path, home: Path, monkeypatch) -> str:
    """Run single cells of a notebook in a fresh kernel until one is advised; -> the advice.

    Args:
        home: the folder of the learner whose kernel this is.
    """
    monkeypatch.setenv("JPY_SESSION_NAME", str(path))
    monkeypatch.setenv("TEACHSEG_HOME", str(home))
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    later = code[len(code) // 2:]
    load = nbformat.v4.new_code_cell("%load_ext teachseg.cells")
    for cell in later:
        notebook.cells = [load, cell]
        try:
            NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
        except CellExecutionError:
            return "".join(out.text for out in cell.outputs if out.get("name") == "stderr")
    raise AssertionError("no cell of the second half needs an earlier one")


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_begun_in_the_middle_says_what_to_run_first(path, tmp_path, monkeypatch):
    said = from_the_middle(path, tmp_path, monkeypatch)
    assert "is made by another cell, which this kernel has not run" in said, said
    assert "Run All Above" in said
    assert last_notebook() == path


def test_kernels_of_this_python_load_it_by_themselves():
    """What `make lab` and `make test` set up: no %load_ext here."""
    if not set_up(Path(sys.prefix)):
        pytest.skip("somebody's own ipython_kernel_config.py stands in this Python")
    cell = nbformat.v4.new_code_cell("scenes")
    client = NotebookClient(nbformat.v4.new_notebook(cells=[cell]), timeout=120,
                            kernel_name="python3")
    with pytest.raises(CellExecutionError):
        client.execute()
    assert "This kernel knows no `scenes`" in "".join(
        out.text for out in cell.outputs if out.get("name") == "stderr")
