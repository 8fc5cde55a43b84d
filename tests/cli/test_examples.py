"""Each command's help ends with command lines that can be typed as they stand."""

import re
import shlex

import pytest
from typer.main import get_command

from teachseg import cli, recipes
from teachseg.cli import completion
from teachseg.datasets.downloads import SOURCES
from teachseg.tables.specs import TABLES

PROGRAM = get_command(cli.app)


def commands(group, path="teachseg"):
    """(words, command) of every command, those of data and tables too."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


ALL = dict(commands(PROGRAM))
EXAMPLES = [(path, line) for path, command in ALL.items()
            for line in (command.epilog or "").split("\n\n")[1:]]


@pytest.mark.parametrize("path, command", ALL.items(), ids=list(ALL))
def test_help_ends_with_one_to_three_examples(run, path, command):
    assert command.epilog.startswith("Examples:\n\n")
    mine = [line for name, line in EXAMPLES if name == path]
    assert 1 <= len(mine) <= 3
    said = run(*path.split()[1:], "--help").stdout
    assert " ".join(said.split()).endswith(" ".join(["Examples:", *mine]))


@pytest.mark.parametrize("path, line", EXAMPLES, ids=[line for _, line in EXAMPLES])
def test_an_example_is_understood(path, line):
    """Its own command reads it: a renamed option or a value out of range fails here."""
    assert line.startswith(path) and len(line) <= 76
    words = shlex.split(line)[len(path.split()):]
    ALL[path].make_context(path, words)


def test_what_examples_name_is_there(tmp_path):
    """Recipes, tables, lessons and data sets; what they call files is a learner's own."""
    text = "\n".join(line for _, line in EXAMPLES)
    assert set(re.findall(r"--recipe (\S+)", text)) <= set(recipes.RECIPES)
    assert {name for names in re.findall(r"tables (?:show|run) ([^-\s].*?)(?: --|$)", text, re.M)
            for name in names.split()} <= set(TABLES)
    assert set(re.findall(r"data get (\S+)", text)) <= set(SOURCES)
    for number in re.findall(r"(?:lab|workbook|--lesson) (\d\d)\b", text):
        assert number in dict(completion.lessons(""))
    for name, rest in re.findall(r"sets/([\w-]+)/(\S+)", text):
        assert rest == SOURCES[name].opens


def test_a_renamed_option_would_be_seen():
    with pytest.raises(Exception, match="No such option"):
        ALL["teachseg lab"].make_context("teachseg lab", ["--prot", "9"])
