"""Run the checks with another Python, or with other versions of packages, in an environment apart.

    python scripts/try_versions.py --python python3.13
    python scripts/try_versions.py torch==2.11.0 torchvision==0.26.0
    python scripts/try_versions.py --lowest         every package in the lowest version we ask for
    python scripts/try_versions.py --newest         in the newest that pip finds
    python scripts/try_versions.py --python python3.12 --notebooks       the notebooks besides

The environment is made anew in runs/versions and takes some 7 GB; nothing else is touched. Without
--lowest or --newest the versions of constraints.txt hold, but for those that are named. The unit
tests without the slow ones run, and end this script's exit status.
"""

import argparse
import shutil
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
PLACE = ROOT / "runs" / "versions"
GROUPS = ("test", "docs")
TORCH_S = ("torch", "torchvision", "triton", "nvidia-", "cuda-")  # go along with torch


def wanted() -> list[Requirement]:
    """What pyproject.toml asks for, the checks' packages among it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    lines = project["dependencies"] + [line for group in GROUPS
                                       for line in project["optional-dependencies"][group]]
    return [Requirement(line) for line in lines]


def lowest(requirements: list[Requirement]) -> dict[str, str]:
    """Each package's lower bound; where two groups ask for it, the higher."""
    bounds: dict[str, str] = {}
    for one in requirements:
        (bound,) = [part.version for part in one.specifier if part.operator == ">="]
        name = canonicalize_name(one.name)
        bounds[name] = max(bounds.get(name, bound), bound, key=Version)
    return bounds


def pins(named: list[str], mode: str) -> list[str]:
    """The lines of a constraints file.

    Args:
        named: NAME==VERSION each; they hold before all others.
        mode: "pinned" (constraints.txt), "lowest" (the bounds, of what we ask for directly) or
            "newest" (none but the named).
    """
    ours = {canonicalize_name(Requirement(line).name) for line in named}
    if mode == "newest":
        return list(named)
    if mode == "lowest":
        found = [f"{name}=={version}" for name, version in lowest(wanted()).items()]
    else:
        found = [line for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines()
                 if line and not line.startswith("#")]
    apart = TORCH_S if "torch" in ours else ()
    return list(named) + [line for line in found
                          if canonicalize_name(Requirement(line).name) not in ours
                          and not (apart and line.startswith(apart))]


def make(python: str | None, lines: list[str]) -> Path:
    """The environment's Python, with everything installed; SystemExit where pip cannot."""
    shutil.rmtree(PLACE, ignore_errors=True)
    PLACE.mkdir(parents=True)
    if python is None:
        venv.create(PLACE / "env", with_pip=True)
    else:
        subprocess.run([python, "-m", "venv", PLACE / "env"], check=True)
    constraints = PLACE / "constraints.txt"
    constraints.write_text("\n".join(lines) + "\n", "utf-8")
    program = PLACE / "env" / "bin" / "python"
    command = [program, "-m", "pip", "install", "--quiet", "-c", constraints, "-e",
               f".[{','.join(GROUPS)}]"]
    if subprocess.run(command, cwd=ROOT).returncode:
        raise SystemExit(f"pip cannot install these versions together; they are in {constraints}.")
    return program


def main(words: list[str]) -> int:
    """Make the environment and run the checks; -> 0 where all passed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pins", nargs="*", metavar="NAME==VERSION")
    parser.add_argument("--python", help="of the environment; this one")
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--lowest", dest="mode", action="store_const", const="lowest")
    group.add_argument("--newest", dest="mode", action="store_const", const="newest")
    parser.add_argument("--notebooks", action="store_true", help="run the notebooks, too")
    asked = parser.parse_args(words)
    program = make(asked.python, pins(asked.pins, asked.mode or "pinned"))
    subprocess.run([program, "-c", "import sys, torch, torchvision; print('Python', sys.version."
                    "split()[0], 'torch', torch.__version__, 'torchvision', torchvision."
                    "__version__)"], check=True)
    status = subprocess.run([program, "-m", "pytest", "-m", "not slow", "-n", "2",
                             "-p", "no:cacheprovider"], cwd=ROOT).returncode
    if asked.notebooks:
        status |= subprocess.run([program, "scripts/check_notebooks.py"], cwd=ROOT).returncode
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
