"""Masks grown from seeds, seediness and the greedy choice: by hand, slow twins, edges."""

import math

import pytest
import torch

from teachseg.decoding.seeds import (
    choose_seeds,
    cut_masks,
    grow_masks,
    pick_seeds,
    remove_duplicates,
    seediness,
)
from teachseg.geometry import similarity as similarity_module

LINE = torch.tensor([0.0, 0.5, 1.0, 3.0]).view(1, 1, 4)  # four pixels in a row, D = 1


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# ---- grow_masks ---------------------------------------------------------------------------------


def test_masks_by_hand():
    """From pixel 0: sigma at 0, 0.5, 1, 3 is 1, 2/(1+e^.25) = .8756, 2/(1+e) = .5379, .0002."""
    sigma = [1.0, 2 / (1 + math.exp(0.25)), 2 / (1 + math.exp(1)), 2 / (1 + math.exp(9))]
    seed = torch.tensor([[0, 0]])
    for tau, inside in ((0.9, 1), (0.75, 2), (0.5, 3), (sigma[3] / 2, 4)):
        assert grow_masks(LINE, seed, tau).flatten().tolist() == [i < inside for i in range(4)]
    assert grow_masks(LINE, torch.tensor([[0, 3]]), 0.5).flatten().tolist() == [False] * 3 + [True]


def test_each_seed_may_have_its_own_tau():
    pair = torch.tensor([[0, 0], [0, 0]])
    masks = grow_masks(LINE, pair, torch.tensor([0.9, 0.5]))
    assert masks.sum(dim=(1, 2)).tolist() == [1, 3]


def test_masks_equal_a_loop_whatever_the_part(monkeypatch):
    embeddings, generator = random(5, 6, 7), torch.Generator().manual_seed(1)
    picks = torch.stack([torch.randint(0, n, (9,), generator=generator) for n in (6, 7)], dim=1)
    whole = grow_masks(0.4 * embeddings, picks, 0.3)
    monkeypatch.setattr(similarity_module, "AT_ONCE", 100)  # two seeds a part
    assert torch.equal(grow_masks(0.4 * embeddings, picks, 0.3), whole)
    for mask, (row, column) in zip(whole, picks.tolist()):
        assert mask[row, column]
        for r in range(6):
            for c in range(7):
                d = float((0.4 * (embeddings[:, row, column] - embeddings[:, r, c])).square().sum())
                assert bool(mask[r, c]) == (2 / (1 + math.exp(d)) >= 0.3)
    assert 9 < int(whole.sum()) < 9 * 42


def test_a_higher_tau_grows_a_smaller_mask_around_the_seed():
    embeddings = 0.3 * random(4, 8, 8)
    seed = torch.tensor([[3, 5]])
    masks = torch.cat([grow_masks(embeddings, seed, tau) for tau in (0.1, 0.25, 0.5, 0.75, 1.0)])
    assert (masks[:-1] | ~masks[1:]).all() and masks[:, 3, 5].all()
    assert masks[-1].sum() == 1 < masks[0].sum()


def test_equal_embeddings_grow_one_mask_at_any_tau():
    assert grow_masks(torch.full((3, 2, 4), 1e4), torch.tensor([[1, 1]]), 1.0).all()


def test_cutting_maps_that_are_there():
    maps = torch.tensor([[[0.2, 0.5, 1.0]], [[1.0, 0.9, 0.1]]])
    assert cut_masks(maps, 0.5).long().tolist() == [[[0, 1, 1]], [[1, 1, 0]]]
    assert cut_masks(maps, torch.tensor([1.0, 0.1])).long().tolist() == [[[0, 0, 1]], [[1, 1, 1]]]
    assert cut_masks(maps[:0], 0.5).shape == (0, 1, 3)


def test_no_seed_grows_nothing():
    assert grow_masks(LINE, torch.zeros(0, 2, dtype=torch.int64), 0.5).shape == (0, 1, 4)


@pytest.mark.parametrize("picks, tau, words", [
    (torch.tensor([[0, 4]]), 0.5, r"seeds\[0\] = \[0, 4\] is off the map of 1 x 4"),
    (torch.tensor([[0.0, 1.0]]), 0.5, "int64"),
    (torch.tensor([0, 1]), 0.5, r"got \(2,\)"),
    (torch.tensor([[0, 1]]), 0.0, "tau must be above 0"),
    (torch.tensor([[0, 1]]), 1.01, "tau must be above 0 and at most 1, got 1.0"),
    (torch.tensor([[0, 1]]), -0.5, "tau must be above 0"),
    (torch.tensor([[0, 1]]), torch.tensor([0.5, 0.5]), r"each of the 1 seeds, got \(2,\)"),
])
def test_what_cannot_grow_is_said(picks, tau, words):
    with pytest.raises(ValueError, match=words):
        grow_masks(LINE, picks, tau)


# ---- seediness ----------------------------------------------------------------------------------


def test_seediness_by_hand():
    """Two thresholds, two classes, one pixel: background's 0.9 does not count; 0.6 of class 2 at
    the second threshold is the largest."""
    probs = torch.tensor([[0.9, 0.1, 0.3], [0.2, 0.5, 0.6]]).view(2, 3, 1, 1)
    values, tau_index, labels = seediness(probs)
    assert (float(values), int(tau_index), int(labels)) == (pytest.approx(0.6), 1, 2)


def test_seediness_equals_a_loop():
    probs = random(3, 5, 4, 6).softmax(dim=1)
    values, tau_index, labels = seediness(probs)
    for r in range(4):
        for c in range(6):
            best = max((float(probs[t, k, r, c]), t, k) for t in range(3) for k in range(1, 5))
            assert (float(values[r, c]), int(tau_index[r, c]), int(labels[r, c])) == best


def test_seediness_of_equals_takes_the_first_and_needs_an_object_class():
    values, tau_index, labels = seediness(torch.full((2, 3, 1, 2), 0.25))
    assert tau_index.tolist() == [[0, 0]] and labels.tolist() == [[1, 1]]
    assert values.tolist() == [[0.25, 0.25]]
    with pytest.raises(ValueError, match=r"one object class beside background, got \(2, 1, 4, 4\)"):
        seediness(torch.zeros(2, 1, 4, 4))


# ---- pick_seeds ---------------------------------------------------------------------------------


def test_the_choice_by_hand():
    """Seediness .9 .8 .7 .1 on the line. Pixel 0 is first. Then, with alpha = 1,
    log .8 + log .25 = -1.609, log .7 + log 1 = -0.357, log .1 + log 9 = -0.105: pixel 3. Then
    pixel 1: min(.25, 6.25) as before; pixel 2: min(1, 4) = 1: pixel 2. With alpha = 0: by score.
    """
    score = torch.tensor([[0.9, 0.8, 0.7, 0.1]])
    assert pick_seeds(LINE, score, 3, 1.0)[:, 1].tolist() == [0, 3, 2]
    assert pick_seeds(LINE, score, 4, 0.0)[:, 1].tolist() == [0, 1, 2, 3]
    # alpha = 0.4: -0.223 - 0.555 = -0.778; -0.357; -2.303 + 0.879 = -1.424: pixel 2 before 3
    assert pick_seeds(LINE, score, 2, 0.4)[:, 1].tolist() == [0, 2]


def test_the_values_of_the_choice_by_hand():
    """As above with alpha = 1: log .9, then log .1 + log 9, then log .7 + log 1."""
    choice = choose_seeds(LINE, torch.tensor([[0.9, 0.8, 0.7, 0.1]]), 3, 1.0)
    expected = [math.log(0.9), math.log(0.9), math.log(0.7)]
    assert choice.values.tolist() == pytest.approx(expected, abs=1e-6)


def test_the_floor_keeps_weak_pixels_out():
    score = torch.tensor([[0.9, 0.8, 0.7, 0.1]])
    assert pick_seeds(LINE, score, 4, 1.0, min_score=0.1)[:, 1].tolist() == [0, 2, 1]
    assert pick_seeds(LINE, score, 4, 1.0, min_score=0.9).shape == (0, 2)  # none is above it


def test_one_dimension_and_far_embeddings():
    far = torch.tensor([0.0, 1e4, -1e4, 1e4]).view(1, 1, 4)
    score = torch.tensor([[0.5, 0.4, 0.3, 0.2]])
    # pixel 3 has the embedding of pixel 1: nothing of its own is left for it
    assert pick_seeds(far, score, 4, 0.5)[:, 1].tolist() == [0, 1, 2]
    vast = torch.tensor([0.0, 3e38]).view(1, 1, 2)  # the squared distance is no float any more
    assert pick_seeds(vast, torch.tensor([[0.5, 0.4]]), 2, 0.5)[:, 1].tolist() == [0, 1]


def test_it_stops_where_nothing_new_is_left():
    same = torch.zeros(2, 3, 3)
    assert len(pick_seeds(same, torch.ones(3, 3), 5, 0.3)) == 1  # all embeddings are equal
    assert len(pick_seeds(same, torch.ones(3, 3), 50, 0.0)) == 9
    assert pick_seeds(same, torch.zeros(3, 3), 5, 0.3).shape == (0, 2)
    assert pick_seeds(same, torch.ones(3, 3), 0, 0.3).shape == (0, 2)


def test_the_choice_equals_a_loop():
    embeddings, score = random(4, 5, 6), random(5, 6, seed=1).sigmoid()
    found = [tuple(seed) for seed in pick_seeds(embeddings, score, 6, 0.3).tolist()]
    chosen: list[tuple[int, int]] = []
    for _ in range(6):
        best = None
        for r in range(5):
            for c in range(6):
                if (r, c) in chosen:
                    continue
                value = math.log(float(score[r, c]))
                if chosen:
                    value += 0.3 * math.log(min(
                        float((embeddings[:, r, c] - embeddings[:, a, b]).square().sum())
                        for a, b in chosen))
                if best is None or value > best[0]:
                    best = (value, (r, c))
        chosen.append(best[1])
    assert found == chosen


def test_the_arguments_are_left_as_they_are_and_checked():
    score = torch.rand(1, 4, generator=torch.Generator().manual_seed(0))
    before = score.clone()
    pick_seeds(LINE, score, 3, 0.5)
    assert torch.equal(score, before)
    with pytest.raises(ValueError, match=r"seediness must be \(1, 4\)"):
        pick_seeds(LINE, torch.rand(4, 1), 3, 0.5)
    with pytest.raises(ValueError, match="alpha must be 0 or more"):
        pick_seeds(LINE, score, 3, -0.5)


# ---- duplicates ---------------------------------------------------------------------------------


def rows(*spans: tuple[int, int], length: int = 12) -> torch.Tensor:
    """(S, 1, length) masks, each true from a to b."""
    pixel = torch.arange(length)
    return torch.stack([(a <= pixel) & (pixel < b) for a, b in spans])[:, None]


def test_duplicates_by_hand():
    """0..8 and 0..6: IoU 6/8. 6..12 and 0..8: 2/12. Best first; of equal scores the first."""
    masks = rows((0, 6), (0, 8), (6, 12))
    scores, labels = torch.tensor([0.5, 0.9, 0.5]), torch.tensor([1, 2, 1])
    assert remove_duplicates(masks, scores, labels, 0.5).tolist() == [1, 2]
    assert remove_duplicates(masks, scores, labels, 0.75).tolist() == [1, 0, 2]  # exactly: kept
    assert remove_duplicates(masks, scores, labels, 0.0).tolist() == [1]
    assert remove_duplicates(masks, scores, labels, 0.5, by_class=True).tolist() == [1, 0, 2]


def test_a_duplicate_of_a_dropped_one_stays():
    """b is a duplicate of a, c of b alone: a drops b, and then nothing drops c."""
    masks = rows((0, 8), (2, 10), (4, 12))  # 6/10 with the neighbour, 4/12 with the other
    scores = torch.tensor([0.9, 0.8, 0.7])
    assert remove_duplicates(masks, scores, torch.ones(3), 0.5).tolist() == [0, 2]


def test_no_mask_and_what_does_not_fit():
    none = torch.zeros(0, 4, 4, dtype=torch.bool)
    assert remove_duplicates(none, torch.zeros(0), torch.zeros(0), 0.5).tolist() == []
    with pytest.raises(ValueError, match=r"There are 2 masks: one score and one label each"):
        remove_duplicates(rows((0, 2), (3, 4)), torch.zeros(1), torch.zeros(2), 0.5)
    with pytest.raises(ValueError, match=r"max_iou must be in \[0, 1\], got 1.5"):
        remove_duplicates(rows((0, 2)), torch.zeros(1), torch.zeros(1), 1.5)
