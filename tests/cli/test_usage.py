"""Words that are not understood: what was expected, what came, how to mend it, where more is."""

import re

import pytest

BOXES = re.compile(r"[\u2500-\u257f]")  # Unicode's block of box drawing characters
COMMANDS = ("There are: doctor, demo, train, evaluate, recipes, predict, lab, workbook, exercises, "
            "data, tables.")


@pytest.mark.parametrize("words, sentence, see", [
    ("trai", f"There is no command 'teachseg trai'. Did you mean train? {COMMANDS}", ""),
    ("fly away", f"There is no command 'teachseg fly'. {COMMANDS}", ""),
    ("data gte", "There is no command 'teachseg data gte'. Did you mean get? There are: list, get, "
                 "check.", "data "),
    ("--debug data gte", "There is no command 'teachseg data gte'. Did you mean get? There are: "
                         "list, get, check.", "data "),
    ("--debug", f"teachseg needs a command. {COMMANDS}", ""),
    ("train --stepz 3", "There is no option '--stepz' of teachseg train. Did you mean --steps?",
     "train "),
    ("train --no-evalute", "There is no option '--no-evalute' of teachseg train. Did you mean "
                           "--no-evaluate?", "train "),
    ("tables run --sedes 3", "There is no option '--sedes' of teachseg tables run. Did you mean "
                             "--seeds?", "tables run "),
    ("--versoin", "There is no option '--versoin' of teachseg. Did you mean --version?", ""),
    ("--steps 3 train", "There is no option '--steps' of teachseg itself. A command's options "
                        "stand behind its name: teachseg COMMAND --steps.", ""),
    ("predict", "teachseg predict needs IMAGES, and none came. IMAGES: Pictures, or folders of "
                "pictures.", "predict "),
    ("data get", "teachseg data get needs NAME, and none came. NAME: Which one of teachseg data "
                 "list.", "data get "),
    ("train --steps", "--steps needs a whole number of 1 or more behind it, and none came.",
     "train "),
    ("train --scale 1", "--scale needs 2 numbers behind it, and fewer came.", "train "),
    ("train --half=3", "--half takes no value: write it alone.", "train "),
    ("train --steps 9 --steps 0", "--steps must be a whole number of 1 or more, got '0'.",
     "train "),
    ("lab --port=70000", "--port must be a whole number from 1 to 65535, got '70000'.", "lab "),
    ("predict a.png --score 2", "--score must be a number from 0 to 1, got '2'.", "predict "),
    ("train --devices 1.5 --debug", "--devices must be a whole number of 1 or more, got '1.5'.",
     "train "),
    ("train --learning-rate much", "--learning-rate must be a number, got 'much'.", "train "),
    ("train --scale 1 b", "--scale must be 2 numbers, got '1 b'.", "train "),
    ("data check x --show few", "--show must be a whole number of 1 or more, got 'few'.",
     "data check "),
    ("train --paper mask-rcnn", "--paper must be one of mnc, mask_rcnn, deep_metric, got "
                                "'mask-rcnn'. Did you mean mask_rcnn?", "train "),
    ("tables run --device tpu", "--device must be one of auto, cpu, cuda, got 'tpu'. Did you mean "
                                "cpu?", "tables run "),
    ("lab a.ipynb b.ipynb", "teachseg lab takes no more words, got 'b.ipynb' besides. A name with "
                            "blanks in it needs quotes, and an option begins with --.", "lab "),
])
def test_words_that_are_not_understood(run, words, sentence, see):
    result = run(*words.split())
    assert result.exit_code == 2 and result.stdout == ""
    assert result.stderr == f"Error: {sentence}\nSee: teachseg {see}--help\n"
    assert not BOXES.search(result.stderr)


def test_a_variable_that_is_not_understood(run, monkeypatch):
    monkeypatch.setenv("TEACHSEG_DEBUG", "much")
    assert "Error: TEACHSEG_DEBUG must be true or false.\n" in run("recipes").stderr


@pytest.mark.parametrize("words", [[], ["data"], ["tables"]])
def test_a_group_alone_shows_its_help(run, words):
    result = run(*words)
    assert "Usage: " in result.stdout and result.stderr.strip() == ""
