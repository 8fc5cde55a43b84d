"""The tables as data: every cell is a model, comparisons have their cells; the papers' numbers."""

from dataclasses import replace

import pytest

from teachseg.tables import runs
from teachseg.tables.report import papers_gain
from teachseg.tables.specs import SCHEDULES, TABLES, Cell, find

CELLS = [(table, cell) for table in TABLES.values() for cell in table.cells]


def names(one):
    return f"{one[0].name}: {one[1].name}"


@pytest.mark.parametrize("table, cell", CELLS, ids=map(names, CELLS))
def test_every_cell_is_a_model(table, cell):
    assert cell.schedule in SCHEDULES and (cell.schedule == "together" or table.paper == "mnc")
    training, testing = runs.config_of(table, cell), runs.config_of(table, cell, testing=True)
    assert cell.test or training == testing
    assert table.measure in runs.MEASURES


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_cells_differ_and_comparisons_have_theirs(table):
    assert len({cell.name for cell in table.cells}) == len(table.cells) >= 2
    configs = [(runs.as_json(runs.config_of(table, cell, testing=True)), cell.schedule)
               for cell in table.cells]
    assert all(one not in configs[:i] for i, one in enumerate(configs))
    for one in table.compare:
        assert table.cell(one.this) != table.cell(one.that)
        assert one.expected in ("better", "alike", None)
        gain = papers_gain(table, one)
        assert (gain is None) == (one.expected is None), "what the paper says needs its number"
        assert one.expected != "better" or gain > 0.5
        assert one.expected != "alike" or abs(gain) <= 0.6
    assert table.source.strip() and table.title.strip()


def test_the_papers_numbers():
    """Those that the tables' sources print."""
    numbers = {(t.name, c.name): c.paper for t, c in CELLS if c.paper is not None}
    assert sorted(v for (t, _), v in numbers.items() if t == "roi-operators") == [
        23.6, 26.9, 27.1, 27.2, 30.2, 30.3, 30.9]
    assert numbers["mask-classes", "softmax over the classes"] == 24.8
    assert numbers["mask-classes", "one mask for all classes"] == 29.7
    assert numbers["mask-head", "convolutions"] == 33.6
    assert numbers["mask-head", "fully connected"] == 31.5
    assert [numbers["mnc-training", name] for name in
            ("step by step", "end to end, 3 stages", "end to end, 5 stages")] == [60.5, 62.6, 63.5]
    assert len(numbers) == 7 + 3 + 2 + 3, "no other cell claims a number of a paper"


def test_a_table_or_a_cell_that_is_not_there():
    with pytest.raises(ValueError, match="no table 'roi'. There are: roi-operators, mask-classes"):
        find("roi")
    with pytest.raises(ValueError, match="mask-head has no cell 'x'. It has: convolutions, fully"):
        find("mask-head").cell("x")


def test_cells_that_agree_in_training_share_it():
    voting = find("mnc-voting")
    keys = {runs.training_of(voting, cell, 0).key for cell in voting.cells}
    assert len(keys) == 1
    boxes = find("mnc-box-gradient")
    assert runs.training_of(boxes, boxes.cells[0], 0).key in keys
    assert len({runs.training_of(boxes, cell, 0).key for cell in boxes.cells}) == 3
    todo = runs.jobs([voting, boxes], range(2), {})
    assert [job.training.seed for job in todo] == [0, 0, 0, 1, 1, 1]
    assert todo[0].cells == (("mnc-voting", "voting"), ("mnc-voting", "no voting"),
                             ("mnc-box-gradient", "limited, as the course"))


def test_everything_that_decides_the_weights_is_in_the_key():
    table = find("mask-head")
    cell, budget = table.cells[0], table.budget
    training = runs.training_of(table, cell, 0)
    others = [
        runs.training_of(table, cell, 1), runs.training_of(table, table.cells[1], 0),
        runs.training_of(table, cell, 0, replace(budget, steps=1)),
        runs.training_of(table, cell, 0, replace(budget, kind="thin")),
        replace(training, start="another"), replace(training, schedule="step by step"),
    ]
    assert len({one.key for one in [training, *others]}) == 7
    assert runs.training_of(table, Cell("renamed"), 0).key == training.key
