"""The command line: `teachseg doctor, demo, train, evaluate, predict, data, recipes, tables, lab,
workbook, exercises`; a module for each group of commands.

Help must come at once, so torch and all that needs it are imported inside the commands. The
commands print; what they call returns. What can be foreseen to go wrong ends in a sentence on
stderr and exit code 2, Ctrl-C in 130; `--debug` shows the traceback as well.

Lesson: 00
"""

# Help lists the commands in the order of these lines.
from teachseg.cli import (  # noqa: F401, I001
    doctor, demo, train, evaluate, data, recipes, tables, predict, lab, workbook, exercises,
)
from teachseg.cli.lab import FIRST_NOTEBOOK, lab_command
from teachseg.cli.notebooks import copy_to_work_in
from teachseg.cli.options import ROOT
from teachseg.cli.program import app, main

__all__ = ["FIRST_NOTEBOOK", "ROOT", "app", "copy_to_work_in", "lab_command", "main"]
