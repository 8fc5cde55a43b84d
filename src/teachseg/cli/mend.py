"""`teachseg doctor --mend`: run the commands that mend what is broken, then look again.

Nothing is mended by guessing: for a part without a command (disk, rights, Python, device) the
doctor's advice is all there is. Of the course's checkpoints git restores those files alone that are
missing or broken.

No boxes here.

Lesson: 00
"""

import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import typer

from teachseg import places
from teachseg.cli.doctor import CHECKPOINTS, COMMANDS, PIP, broken_checkpoints, lacking
from teachseg.cli.options import ROOT

PYTHON = sys.executable


def mend_parts(parts: Sequence[str]) -> int:
    """Mend what can be mended, and examine all again in a fresh process; -> the exit status.

    Args:
        parts: what the doctor found broken, in its order.
    """
    failed, ran = [], []
    for part in parts:
        try:
            words = command(part)
        except ValueError as error:
            typer.echo(f"\n{part}: {error}", err=True)
            continue
        if words not in ran:  # torch and torchvision share one
            ran.append(words)
            if not _run(part, words):
                failed.append(part)
    if not ran:
        typer.echo("Nothing of this can be mended by a command: do what the table says.", err=True)
        return 1
    typer.echo("\nLooking again.")
    status = examine_again()
    for part in failed:
        typer.echo(f"The command for {part} failed; what it printed above says why.", err=True)
    return 1 if failed else status


def command(part: str) -> list[str]:
    """The words of the command that mends a part, run in the course's folder.

    Raises:
        ValueError: there is none, and why.
    """
    if part == "data":
        return ["git", "checkout", "--", *_files_to_restore()]
    if part not in COMMANDS:
        raise ValueError("no command mends this; the table says what does.")
    words = list(COMMANDS[part])
    if part == "packages" and not places.in_clone():  # there is no folder to install from
        words = [*PIP, *lacking()]
    if "pip" in words and (ROOT / "constraints.txt").is_file():
        place = words.index("install") + 1
        words[place:place] = ["-c", "constraints.txt"]
    return [PYTHON, *words]


def _files_to_restore() -> list[str]:
    """The checkpoints' files that are missing or broken and that git has otherwise.

    Raises:
        ValueError: the course is no clone, or git has no other files.
    """
    folder = Path("data", "checkpoints")
    top = _git("rev-parse", "--show-toplevel")
    if not places.in_clone() or not top or Path(top[0]).resolve() != ROOT.resolve():
        raise ValueError(f"the checkpoints can be restored only in a clone with git, and {ROOT} is "
                         "none. Install the course again.")
    try:
        broken = broken_checkpoints(ROOT / folder)
    except Exception as error:  # a torch or numpy that is broken itself, in whatever way
        raise ValueError("the files cannot be read before the parts above are mended. Then run "
                         "this again.") from error
    ours = {(folder / f"{name}{end}").as_posix() for name in CHECKPOINTS if name in broken
            for end in (".json", ".safetensors")}
    changed = _git("diff", "--name-only", "--", *sorted(ours)) if ours else []
    if not changed:
        raise ValueError("what git has is what lies there, and it is broken. Clone the course "
                         "again.")
    return changed


def _git(*words: str) -> list[str]:
    """The lines that git answers in the course's folder; [] where it has none to give."""
    if shutil.which("git") is None or not ROOT.is_dir():
        return []
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True)
    return done.stdout.splitlines() if done.returncode == 0 else []


def _run(part: str, words: Sequence[str]) -> bool:
    """Print a command and run it in the course's folder, where all can see it; -> did it work?"""
    typer.echo(f"\n{part}: in {ROOT}\n  {shlex.join(words)}")
    sys.stdout.flush()
    try:
        return subprocess.run(words, cwd=ROOT, check=False).returncode == 0
    except OSError as error:
        typer.echo(f"{words[0]} cannot be started: {error.strerror}.", err=True)
        return False


def examine_again() -> int:
    """The doctor in a process that has imported nothing yet; -> its exit status."""
    sys.stdout.flush()
    return subprocess.run([PYTHON, "-m", "teachseg.cli", "doctor"], check=False).returncode
