"""Write the project's public address wherever it has to stand, or take it out again.

    python scripts/set_address.py https://github.com/OWNER/NAME
    python scripts/set_address.py --none

The address is kept in pyproject.toml. With it, each notebook's title has links that open it on
Colab and on Binder, and its first cell installs the library from there where it is missing; the
README tells how to clone; CITATION.cff names the repository. Without it, the first cell takes a
wheel that lies beside the notebook. Tests hold all of them equal to what this script would write.
"""

import re
import sys
import tomllib

import nbformat
from make_notebooks import NOTEBOOKS, ROOT, write

ADDRESS = re.compile(r"https://github\.com/[A-Za-z0-9-]+/[A-Za-z0-9._-]+")
BRANCH = "main"
FIRST = """\
# Nothing to do where teachseg is installed. Elsewhere, as on Colab: lessons/elsewhere.md
from importlib.util import find_spec

if find_spec("teachseg") is None:
    get_ipython().run_line_magic("pip", "install --quiet {what}")
"""
WHEEL = "teachseg-*.whl"  # built by `python -m build`, and put beside the notebook
LINKS = re.compile(r"\n\n\*Run it elsewhere:\* .*\Z")
MARKED = re.compile(r"(<!-- address: begin -->\n).*?(<!-- address: end -->)", re.S)


def address() -> str | None:
    """Where the project is published, as pyproject.toml says; None until it is."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return project.get("urls", {}).get("Repository")


def colab(where: str, notebook: str) -> str:
    """The page of Colab that opens a notebook of the repository."""
    path = where.removeprefix("https://github.com/")
    return f"https://colab.research.google.com/github/{path}/blob/{BRANCH}/notebooks/{notebook}"


def binder(where: str, notebook: str) -> str:
    """The page of Binder that builds the repository and opens a notebook in JupyterLab."""
    path = where.removeprefix("https://github.com/")
    return f"https://mybinder.org/v2/gh/{path}/{BRANCH}?urlpath=lab/tree/notebooks/{notebook}"


def first_cell(where: str | None) -> str:
    """The code of each notebook's first cell."""
    return FIRST.format(what=WHEEL if where is None else f"git+{where}").rstrip("\n")


def title(source: str, where: str | None, notebook: str) -> str:
    """A title's text with the links to Colab and Binder, or without them."""
    plain = LINKS.sub("", source)
    if where is None:
        return plain
    return (f"{plain}\n\n*Run it elsewhere:* [on Colab]({colab(where, notebook)}), [on Binder]"
            f"({binder(where, notebook)}); [what works there](../lessons/elsewhere.md).")


def readme(text: str, where: str | None) -> str:
    """The README with how to clone, between its two marks."""
    lines = "" if where is None else (
        f"```\ngit clone {where}.git\ncd {where.rsplit('/', 1)[1]}\n```\n\n"
        f"Or look first, without installing anything: notebook 00 [on Colab]"
        f"({colab(where, '00_start_here.ipynb')}) or [on Binder]"
        f"({binder(where, '00_start_here.ipynb')}).\n")
    return MARKED.sub(lambda found: found[1] + lines + found[2], text)


def project(text: str, where: str | None) -> str:
    """pyproject.toml with the address, or without."""
    text = re.sub(r"\[project\.urls\]\nRepository = .*\n\n", "", text)
    if where is None:
        return text
    return text.replace("[project.scripts]", f'[project.urls]\nRepository = "{where}"\n\n'
                        "[project.scripts]", 1)


def citation(text: str, where: str | None) -> str:
    """CITATION.cff with the address, or without."""
    text = re.sub(r"^repository-code: .*\n", "", text, flags=re.M)
    return text if where is None else re.sub(
        r"^(version: .*\n)", rf"\1repository-code: {where}\n", text, count=1, flags=re.M)


def installs(cell: nbformat.NotebookNode) -> bool:
    """Whether it is the cell with which every notebook's code begins."""
    return cell.cell_type == "code" and cell.source.startswith(FIRST.splitlines()[0])


def set_cells(notebook: nbformat.NotebookNode, where: str | None, name: str) -> None:
    """A notebook's title and first cell; its outputs stay, for the cell prints nothing."""
    first = next(cell for cell in notebook.cells if cell.cell_type == "code")
    if not installs(first):
        raise SystemExit(f"{name}: the first code cell is not the one that installs the library. "
                         "Begin it as TEMPLATE.ipynb does.")
    notebook.cells[0].source = title(notebook.cells[0].source, where, name)
    first.source = first_cell(where)


def main(words: list[str]) -> None:
    """Write the address into all files."""
    if len(words) != 1 or not (words[0] == "--none" or ADDRESS.fullmatch(words[0])):
        raise SystemExit("An address is needed, https://github.com/OWNER/NAME, or --none; got "
                         f"{' '.join(words) or 'nothing'}.")
    where = None if words[0] == "--none" else words[0].removesuffix(".git")
    for name, change in (("pyproject.toml", project), ("CITATION.cff", citation),
                         ("README.md", readme)):
        file = ROOT / name
        file.write_text(change(file.read_text("utf-8"), where), "utf-8")
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        set_cells(notebook, where, path.name)
        write(notebook, path)
    print(f"The address is {where or 'taken out'}.")


if __name__ == "__main__":
    main(sys.argv[1:])
