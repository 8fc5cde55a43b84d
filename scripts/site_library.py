"""The site's pages about the library: what its docstrings and signatures say, nothing imported.

`make_site.py` writes them. Each module has a page, and one page lists them all. A docstring's
paragraphs are text; what is indented or set in columns (letters, arguments, drawings, examples) is
shown as it stands.
"""

import ast
import copy
import re
from functools import cache

from make_notebooks import ROOT

SOURCE = ROOT / "src" / "teachseg"
WIDEST = 92  # characters of a signature on one line
ASIDE = re.compile(r"^\s|^>>>|\S {3,}\S|^[-=+]{2,}$|^(?:[-+]|\d+\.)\s", re.M)


@cache
def modules() -> list[str]:
    """The library's modules that have something public, by name."""
    names = [".".join(file.relative_to(SOURCE).with_suffix("").parts)
             for file in sorted(SOURCE.rglob("*.py")) if not file.name.startswith("_")]
    return [name for name in names if not name.startswith("exercises.") or
            name in ("exercises.desk", "exercises.registry")]


@cache
def parsed(name: str) -> ast.Module:
    return ast.parse(SOURCE.joinpath(*name.split(".")).with_suffix(".py").read_text("utf-8"))


def public(nodes: list[ast.stmt], *kinds: type) -> list:
    """The functions (or classes) among some statements that are meant for others."""
    return [node for node in nodes if isinstance(node, kinds) and not node.name.startswith("_")]


def module_of(name: str) -> str:
    """teachseg.layers.roi.roi_align -> layers.roi, where that is a file; else ""."""
    words = name.removeprefix("teachseg.").split(".")
    for depth in range(len(words), 0, -1):
        if SOURCE.joinpath(*words[:depth]).with_suffix(".py").is_file():
            return ".".join(words[:depth])
    return ""


def address(name: str) -> str:
    """Where layers.roi.roi_align is explained, as seen from a lesson's page; "" if nowhere."""
    module = module_of(name)
    if module not in modules():
        return ""
    rest = name.removeprefix("teachseg.").removeprefix(module).strip(".").split(".")[0]
    known = [node.name for node in public(parsed(module).body, ast.FunctionDef, ast.ClassDef)]
    return f"../api/{module}.md" + (f"#{rest.lower()}" if rest in known else "")


def overview() -> str:
    """The page that lists all modules, by folder, each with its first sentence."""
    page = ["# The library\n",
            "Each module with the sentence that it opens with; its page has signatures "
            "and docstrings. The floors: [how the library is built](../lessons/architecture.md).\n"]
    folders: dict[str, list[str]] = {}
    for name in modules():
        folders.setdefault(name.rpartition(".")[0], []).append(name)
    for folder, names in sorted(folders.items()):
        page.append(f"\n## {'.'.join(['teachseg', folder]).strip('.')}\n")
        page.append("| module | about |\n| --- | --- |")
        for name in names:
            first = (ast.get_docstring(parsed(name)) or "").split("\n\n")[0].replace("\n", " ")
            page.append(f"| [{name}]({name}.md) | {plain(first)} |")
    names = "\n".join(modules())
    return "\n".join(page) + f"\n\n```{{toctree}}\n:hidden:\n\n{names}\n```\n"


def api_page(name: str) -> str:
    """A module's docstring, and the signature and docstring of all that is public in it."""
    tree = parsed(name)
    page = [f"# teachseg.{name}\n", described(tree)]
    for node in public(tree.body, ast.FunctionDef, ast.ClassDef):
        page += [f"## {node.name}\n", listing(signature(node), "python"), described(node)]
        for inner in public(node.body, ast.FunctionDef) if isinstance(node, ast.ClassDef) else []:
            page += [f"### {node.name}.{inner.name}\n", listing(signature(inner), "python"),
                     described(inner)]
    return "\n".join(page)


def described(node: ast.AST) -> str:
    """A docstring in Markdown: its paragraphs as text, all else as it stands."""
    parts: list[tuple[bool, str]] = []
    for part in re.split(r"\n\s*\n", ast.get_docstring(node) or ""):
        aside = bool(ASIDE.search(part))
        if aside and parts and parts[-1][0]:
            part = parts.pop()[1] + "\n\n" + part
        parts.append((aside, part))
    return "\n".join(listing(part) if aside else f"{plain(part)}\n" for aside, part in parts)


def plain(text: str) -> str:
    """Text of which Markdown shall read nothing but the code between backticks."""
    pieces = re.split(r"(`[^`]+`)", text)
    return "".join(piece if piece[:1] == "`" and len(piece) > 2
                   else re.sub(r"([\\*_\[\]<>$#|~^{}!`&])", r"\\\1", piece) for piece in pieces)


def listing(text: str, language: str = "text") -> str:
    return f"````{language}\n{text}\n````\n" if text else ""


def signature(node: ast.FunctionDef | ast.ClassDef) -> str:
    """The line or lines with which a function or class begins."""
    if isinstance(node, ast.ClassDef):
        fields = [ast.unparse(part) for part in node.body if isinstance(part, ast.AnnAssign)]
        bases = ", ".join(map(ast.unparse, node.bases))
        head = f"class {node.name}({bases})" if bases else f"class {node.name}"
        return head + "".join(f"\n    {field}" for field in fields)
    node = Plain().visit(copy.deepcopy(node))
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    whole = f"def {node.name}({ast.unparse(node.args)}){returns}"
    if len(whole) <= WIDEST:
        return whole
    lines = "".join(f"    {one},\n" for one in arguments(ast.unparse(node.args)))
    return f"def {node.name}(\n{lines}){returns}"


class Plain(ast.NodeTransformer):
    """Annotated[int, what typer shall print] -> int."""

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        if ast.unparse(node.value) == "Annotated" and isinstance(node.slice, ast.Tuple):
            return node.slice.elts[0]
        return self.generic_visit(node)


def arguments(text: str) -> list[str]:
    """'a: int, b: tuple[int, int]=(1, 2)' -> its two arguments, split outside of brackets."""
    found, depth = [""], 0
    for letter in text:
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and depth == 0:
            found.append("")
        else:
            found[-1] += letter
    return [one.strip() for one in found]
