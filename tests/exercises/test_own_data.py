"""Lesson 42's exercises: right by the library, and by hand."""

import pytest
import torch
from faster_coco_eval.core import mask as rle
from hypothesis import given, settings
from hypothesis import strategies as st

from teachseg.datasets.batch import resized_size
from teachseg.datasets.coco import decode_segmentation
from teachseg.exercises import own_data as page
from teachseg.recipes import adapted, find

quick = settings(deadline=None, max_examples=40)
runs = st.lists(st.integers(0, 5), min_size=1, max_size=8)


@quick
@given(counts=runs, width=st.integers(1, 6))
def test_run_lengths_are_the_librarys(counts, width):
    counts = [*counts, -sum(counts) % width]  # to whole columns
    height = sum(counts) // width
    if height:
        library = decode_segmentation({"size": [height, width], "counts": counts}, (height, width))
        assert torch.equal(page.decode_runs(counts, height, width).bool(), library)


def test_run_lengths_by_hand():
    """Columns: 0000, 1110, 0100."""
    mask = page.decode_runs([4, 3, 2, 1, 2], 4, 3)
    assert mask.tolist() == [[0, 1, 0], [0, 1, 1], [0, 1, 0], [0, 0, 0]]
    packed = rle.frPyObjects({"size": [4, 3], "counts": [4, 3, 2, 1, 2]}, 4, 3)
    assert rle.area(packed) == 4


@quick
@given(height=st.integers(1, 3000), width=st.integers(1, 3000), short=st.integers(1, 1000),
       more=st.integers(0, 1000))
def test_the_size_is_the_librarys(height, width, short, more):
    library = resized_size((height, width), short, short + more)
    ours = page.fit(height, width, short, short + more)
    assert [max(1, side) for side in ours] == pytest.approx(library, abs=1)


def test_the_size_by_hand():
    assert page.fit(480, 640, 800, 1333) == [800, 1066]
    assert page.fit(240, 640, 800, 1333) == [499, 1333]


@pytest.mark.parametrize("images", [1, 2, 4, 8, 32])
def test_the_rate_is_the_recipes(images):
    recipe = find("mask-rcnn-r50-fpn-coco")
    before = recipe.train
    rate, *milestones = page.other_step(
        before.learning_rate, before.images_a_step, before.milestones, images)
    now = adapted(recipe, batch_size=images, accumulate=1,
                  steps=before.steps * before.images_a_step // images)
    assert now.learning_rate == pytest.approx(rate)
    assert list(now.milestones) == pytest.approx(milestones, abs=1)


@quick
@given(of=st.lists(st.tuples(st.floats(0, 10), st.integers(0, 9)), min_size=1, max_size=5))
def test_shares_average_to_the_whole(of):
    sums, counts = [s if n else 0.0 for s, n in of], [n for _, n in of]
    each = page.shared_loss(sums, counts)
    whole = sum(sums) / sum(counts) if sum(counts) else 0.0
    assert sum(each) / len(each) == pytest.approx(whole)
