"""Lesson 31's exercises: right by the library, and by hand."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from teachseg.decoding.seeds import grow_masks
from teachseg.exercises import metric_masks as page
from teachseg.geometry.sampling import sample_points
from teachseg.learning.targets import instance_map, seed_labels
from teachseg.papers.deep_metric import Config, seed_weight

quick = settings(deadline=None, max_examples=40)
seeds = st.integers(0, 2**31)


def chance(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@quick
@given(seed=seeds, tau=st.floats(0.1, 1))
def test_grown_masks_are_the_librarys(seed, tau):
    embeddings = 0.6 * torch.randn(3, 4, 5, generator=chance(seed))
    library = grow_masks(embeddings, torch.tensor([[2, 3]]), tau)[0]
    sigma = 2 / (1 + (embeddings - embeddings[:, 2:3, 3:4]).square().sum(dim=0).exp())
    sure = (sigma - tau).abs() > 1e-5
    assert torch.equal(page.grow(embeddings, 2, 3, tau).bool()[sure], library[sure])


@quick
@given(seed=seeds, count=st.integers(1, 3), cell=st.sampled_from([1, 2, 4]))
def test_instances_are_the_librarys(seed, count, cell):
    """Disjoint masks: each pixel is one object's, or nobody's."""
    owner = torch.randint(-1, count, (4, 8), generator=chance(seed))
    masks = torch.stack([owner == g for g in range(count)])
    library = instance_map(masks, (4 // cell, 8 // cell), (cell, cell))
    assert torch.equal(page.instances(masks.float(), cell).long(), library)


@quick
@given(seed=seeds, share=st.floats(0.05, 0.95))
def test_labels_are_the_librarys(seed, share):
    """A mask given as embeddings: 0 inside, far outside; its first cell is the seed."""
    draw = chance(seed)
    mask = torch.rand(4, 5, generator=draw) < share
    instances = torch.randint(0, 3, (4, 5), generator=draw)
    if not mask.any():
        return
    point = mask.flatten().nonzero()[:1, 0]
    embeddings = torch.where(mask, 0.0, 9.0)[None]
    library = seed_labels(embeddings, point, instances, torch.tensor([4, 2]), (0.5,), 0.5)
    assert page.label(mask.float(), instances, torch.tensor([4, 2])) == int(library)


def test_labels_by_hand():
    """Object 0 has 6 cells, object 1 four."""
    found = {case.name: page.label(*case.arguments) for case in page.LABEL.cases}
    assert found["exactly half of object 0"] == 4    # 3 / 6
    assert found["object 0 and as much again"] == 4  # 6 / 12
    assert found["all that is there"] == 4           # 6 / 10
    assert found["the whole map"] == 0               # 6 / 18
    assert found["object 1 and a little more"] == 2  # 4 / 6


@quick
@given(st.lists(st.integers(0, 30), min_size=1, max_size=5), st.integers(0, 12), st.integers(0, 12))
def test_the_quota_is_what_is_drawn(sizes, per_instance, background):
    cells = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    drawn = cells[sample_points(cells, per_instance, background, chance(0))]
    counts = torch.bincount(drawn, minlength=len(sizes))
    assert page.quota(torch.tensor(sizes), per_instance, background).tolist() == counts.tolist()


@quick
@given(progress=st.floats(0, 1), ends=st.tuples(st.floats(0, 1), st.floats(0, 1)),
       most=st.floats(0, 3))
def test_the_ramp_is_the_librarys(progress, ends, most):
    start, end = sorted(ends)
    config = Config(5, seed_weight=most, ramp=(start, end))
    assert page.ramp(progress, start, end, most) == pytest.approx(seed_weight(config, progress))
