"""Sampling: how many of which kind, the same for the same generator, and without a bias."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from teachseg.geometry.matching import BACKGROUND, IGNORE, OBJECT
from teachseg.geometry.sampling import sample, sample_points

property_of = settings(deadline=None, max_examples=80)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def labels_of(objects, background, ignored):
    parts = [[OBJECT] * objects, [BACKGROUND] * background, [IGNORE] * ignored]
    labels = torch.tensor(sum(parts, []), dtype=torch.int64)
    return labels[torch.randperm(len(labels), generator=generator(7))]


def kinds(labels, drawn):
    return [int((labels[drawn] == kind).sum()) for kind in (OBJECT, BACKGROUND, IGNORE)]


def test_counts_by_hand():
    plenty = labels_of(objects=100, background=100, ignored=100)
    assert kinds(plenty, sample(plenty, 32, 0.25, generator())) == [8, 24, 0]
    # 3 objects of at most 16: background fills up to 32
    few = labels_of(objects=3, background=100, ignored=100)
    assert kinds(few, sample(few, 32, 0.5, generator())) == [3, 29, 0]
    # 5 background: objects do not fill up beyond their share
    crowded = labels_of(objects=100, background=5, ignored=100)
    assert kinds(crowded, sample(crowded, 32, 0.25, generator())) == [8, 5, 0]
    # a share of 0.3 of 5 is 1.5: at most 1
    assert kinds(plenty, sample(plenty, 5, 0.3, generator())) == [1, 4, 0]
    assert kinds(plenty, sample(plenty, 8, 1.0, generator())) == [8, 0, 0]
    assert kinds(plenty, sample(plenty, 8, 0.0, generator())) == [0, 8, 0]


@property_of
@given(
    st.integers(0, 20), st.integers(0, 20), st.integers(0, 5), st.integers(0, 24), st.floats(0, 1)
)
def test_what_is_drawn(objects, background, ignored, size, share):
    labels = labels_of(objects, background, ignored)
    drawn = sample(labels, size, share, generator(size))
    assert drawn.dtype == torch.int64
    assert len(drawn) <= size
    assert len(drawn.unique()) == len(drawn)  # nothing twice
    found = kinds(labels, drawn)
    assert found[0] == min(objects, int(size * share))
    assert found[1] == min(background, size - found[0])
    assert found[2] == 0
    assert bool((labels[drawn].diff() <= 0).all())  # objects first


def test_class_labels_are_objects_too():
    drawn = sample(torch.tensor([0, 7, -1, 3, 0]), 4, 0.5, generator())
    assert set(drawn[:2].tolist()) == {1, 3} and set(drawn[2:].tolist()) == {0, 4}


def test_the_same_generator_gives_the_same_draw_and_another_another():
    labels = labels_of(50, 50, 50)
    first = sample(labels, 20, 0.5, generator(1))
    assert torch.equal(first, sample(labels, 20, 0.5, generator(1)))
    assert not torch.equal(first, sample(labels, 20, 0.5, generator(2)))
    # one generator goes on: its second draw is another
    going_on = generator(1)
    assert torch.equal(first, sample(labels, 20, 0.5, going_on))
    assert not torch.equal(first, sample(labels, 20, 0.5, going_on))


def test_the_global_seed_is_neither_read_nor_set():
    labels = labels_of(50, 50, 0)
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first = sample(labels, 20, 0.5, generator(3))
    assert torch.equal(before, torch.random.get_rng_state())
    torch.manual_seed(2)
    assert torch.equal(first, sample(labels, 20, 0.5, generator(3)))


def test_every_candidate_has_the_same_chance():
    # 2000 draws of 2 out of 8: each is expected 500 times, give or take 5 standard deviations of
    # sqrt(2000 * 1/4 * 3/4) = 19
    labels, chance = torch.full((8,), BACKGROUND), generator(5)
    drawn = torch.cat([sample(labels, 2, 0.5, chance) for _ in range(2000)])
    assert bool(((drawn.bincount(minlength=8) - 500).abs() < 97).all())


def test_nothing_to_draw_from():
    assert sample(torch.zeros(0, dtype=torch.int64), 8, 0.5, generator()).shape == (0,)
    assert sample(torch.full((5,), IGNORE), 8, 0.5, generator()).shape == (0,)
    assert sample(torch.full((5,), OBJECT), 0, 0.5, generator()).shape == (0,)


# ---- points of a map ----------------------------------------------------------------------------


def test_points_by_hand():
    """Instance 3 has two cells and gives both; 1 has four and gives three; -1 gives none."""
    cells = torch.tensor([0, 0, 0, 1, 1, 1, 1, 3, 3, -1, -1])
    drawn = sample_points(cells, 3, 2, generator())
    assert cells[drawn].tolist() == [0, 0, 1, 1, 1, 3, 3]
    assert len(set(drawn.tolist())) == 7  # none twice
    assert cells[sample_points(cells, 1, 0, generator())].tolist() == [1, 3]


@property_of
@given(st.integers(0, 2**31), st.integers(0, 5), st.integers(0, 9), st.integers(1, 60))
def test_points_are_as_many_as_there_are_up_to_so_many(seed, per_instance, background, count):
    chance = generator(seed)
    cells = torch.randint(-1, 5, (count,), generator=chance)
    drawn = sample_points(cells, per_instance, background, chance)
    assert len(drawn.unique()) == len(drawn)
    for instance in range(-1, 5):
        most = {-1: 0, 0: background}.get(instance, per_instance)
        assert (cells[drawn] == instance).sum() == min(most, int((cells == instance).sum()))


def test_every_cell_has_its_chance():
    """Of ten cells three: each should come up 300 times of 1000, give or take 15 (sd 14.5)."""
    cells, chance = torch.ones(10, dtype=torch.int64), generator()
    counts = torch.zeros(10)
    for _ in range(1000):
        counts[sample_points(cells, 3, 0, chance)] += 1
    assert counts.sum() == 3000 and (counts - 300).abs().max() < 60


def test_the_same_generator_draws_the_same_points():
    cells = torch.arange(40) % 4
    draws = [sample_points(cells, 4, 4, generator(seed)) for seed in (5, 5, 6)]
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])


def test_no_cell_and_negative_numbers():
    none = torch.zeros(0, dtype=torch.int64)
    assert sample_points(none, 3, 3, generator()).shape == (0,)
    assert sample_points(torch.full((5,), -1), 3, 3, generator()).shape == (0,)
    with pytest.raises(ValueError, match="must be 0 or more, got -1 and 0"):
        sample_points(none, -1, 0, generator())
