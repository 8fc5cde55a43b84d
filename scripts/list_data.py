"""Bring the table of files in data/README.md up to date: `make data`, after adding a file.

A test holds the table equal to the files, so that a file that was changed by mistake is found.
"""

import hashlib
import json
import os
from pathlib import Path

DATA = Path(__file__).resolve().parent.parent / "data"
BEGIN, END = "<!-- files: begin -->", "<!-- files: end -->"


def made_by(path: Path) -> str:
    """The command that makes a file again, as its own JSON, or the one beside it, tells."""
    try:
        facts = json.loads(path.with_suffix(".json").read_text("utf-8"))
    except (OSError, ValueError):
        return ""
    command = facts.get("command", "") if isinstance(facts, dict) else ""
    return f"`{command}`" if command else ""


def files(data: Path = DATA) -> list[Path]:
    """All files of data/ but its README, in the order of their names; no hidden ones."""
    found = [path for path in sorted(data.rglob("*")) if path.is_file()]
    hidden = [any(part.startswith(".") for part in path.relative_to(data).parts) for path in found]
    return [p for p, h in zip(found, hidden) if not h and p != data / "README.md"]


def table(data: Path = DATA) -> str:
    """The files as a Markdown table: name, size, sha256, the command that makes it again."""
    rows = ["| file | bytes | sha256 | made by |", "| --- | ---: | --- | --- |"]
    for path in files(data):
        content = path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        name = path.relative_to(data).as_posix()
        rows.append(f"| `{name}` | {len(content):,} | `{digest}` | {made_by(path)} |")
    return "\n".join(rows if len(rows) > 2 else ["There are no files yet."])


def with_table(text: str, rows: str) -> str:
    """A README's text with these rows between its two markers."""
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ValueError(f"data/README.md must hold {BEGIN} once and, below it, {END} once.")
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n{rows}\n{END}{rest.split(END)[1]}"


def main(data: Path = DATA) -> None:
    """Rewrite the README, in one step."""
    readme = data / "README.md"
    half = readme.with_suffix(".part")
    half.write_text(with_table(readme.read_text("utf-8"), table(data)), "utf-8")
    os.replace(half, readme)


if __name__ == "__main__":
    main()
