"""Lesson 33's exercises: right by the library, and by hand."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from teachseg.exercises import metric_test as page
from teachseg.explore.instances import count_right
from teachseg.geometry.masks import masks_to_boxes
from teachseg.layers.embedding import EmbeddingHead, SeedHead
from teachseg.papers.deep_metric import to_image
from teachseg.structures import Detections, Targets

quick = settings(deadline=None, max_examples=40)
seeds = st.integers(0, 2**31)


def chance(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@quick
@given(seed=seeds, cells=st.integers(1, 7), stride=st.integers(1, 8))
def test_upsampling_is_the_librarys(seed, cells, stride):
    row = torch.rand(cells, generator=chance(seed))
    size = (stride, cells * stride)
    library = to_image(row[None, None], stride, size, size)[0, 0]
    torch.testing.assert_close(page.upsample(row, stride), library, atol=1e-5, rtol=1e-5)


@quick
@given(seed=seeds, share=st.floats(0.05, 0.9))
def test_the_box_is_the_librarys(seed, share):
    mask = torch.rand(6, 9, generator=chance(seed)) < share
    if mask.any():
        assert page.box(mask.float()) == masks_to_boxes(mask[None])[0].tolist()


def test_pairs_by_hand():
    """3 x 20 + 80 = 140 points; 140^2; 4096^2, as the solution says."""
    assert page.pairs(3, 20, 80, 64, 64) == [140, 19_600, 16_777_216]
    assert round(16_777_216 / 19_600) == 856


def test_heads_are_the_librarys():
    def count(module):
        return sum(p.numel() for p in module.parameters())

    for channels, scales, dim, taus, classes in [(2048, 4, 64, 4, 20), (48, 1, 32, 4, 5)]:
        seen = channels * scales
        library = count(EmbeddingHead(seen, 1, 0, dim)) + count(SeedHead(seen, 1, 0, taus, classes))
        assert page.heads(channels, scales, dim, taus, classes) == library
    assert page.heads(2048, 4, 64, 4, 20) == 1_212_564


def test_kinds_by_hand():
    (case,) = [c for c in page.ERRORS.cases if c.name == "one of each kind"]
    # .9 of object 0, right; .7 of it again; .6 of object 1 with another class; .3; .05
    assert page.kinds(*case.arguments) == [0, 1, 2, 3, 4]


@quick
@given(seed=seeds, found=st.integers(0, 5), there=st.integers(1, 3))
def test_the_right_ones_are_those_that_the_explorer_counts(seed, found, there):
    """Where all is of one class and the masks of the objects are disjoint."""
    draw = chance(seed)
    owner = torch.randint(0, there, (6, 6), generator=draw)
    real = torch.stack([owner == g for g in range(there)])
    masks = torch.rand(found, 6, 6, generator=draw) < 0.5
    ones = torch.ones(found, dtype=torch.int64)
    detections = Detections(torch.zeros(found, 4), ones, torch.ones(found), masks)
    targets = Targets(torch.zeros(there, 4), torch.ones(there, dtype=torch.int64), real)
    flat = [(m.float().flatten(1)) for m in (masks, real)]
    common = flat[0] @ flat[1].T
    ious = common / (flat[0].sum(1)[:, None] + flat[1].sum(1) - common).clamp(min=1)
    kinds = page.kinds(ious, ones, targets.labels)
    assert kinds.count(0) == count_right(detections, targets).right
