"""Lesson 01's exercises: right by the library, by faster-coco-eval, and by hand.

What holds for every exercise (solutions pass, mutants are named, zeros fail) is in
test_registry.py; here stands what the answers must be.
"""

import numpy as np
import pytest
import torch
from faster_coco_eval.core import mask as rle
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as second_opinion

from teachseg.datasets.coco import decode_segmentation
from teachseg.exercises import boxes as page
from teachseg.geometry.boxes import box_iou
from teachseg.geometry.masks import masks_to_boxes

quick = settings(deadline=None, max_examples=60)
edge = st.integers(-20, 40).map(lambda n: n / 2)
counts = st.lists(st.integers(1, 5000), min_size=1, max_size=9).flatmap(
    lambda some: st.sampled_from([some, [0, *some]]))


@st.composite
def boxes(draw):
    """A box in halves of pixels; it may have no area."""
    x1, y1, x2, y2 = (draw(edge) for _ in range(4))
    return min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)


@st.composite
def masks(draw):
    """(H, W) of 0 and 1."""
    height, width = draw(st.integers(1, 7)), draw(st.integers(1, 7))
    share, seed = draw(st.sampled_from([0.0, 0.3, 0.7, 1.0])), draw(st.integers(0, 2**31))
    values = torch.rand(height, width, generator=torch.Generator().manual_seed(seed))
    return (values < share).float()


def packed(mask: torch.Tensor) -> dict:
    return rle.encode(np.asfortranarray(mask.numpy().astype(np.uint8)))


def string(some: list[int]) -> str:
    """COCO's string of run lengths."""
    size = [sum(some), 1]
    return rle.frPyObjects({"size": size, "counts": some}, *size)["counts"].decode()


@quick
@given(a=boxes(), b=boxes())
def test_iou_is_the_librarys(a, b):
    wanted = float(box_iou(torch.tensor([a]).double(), torch.tensor([b]).double()))
    assert page.iou(a, b) == pytest.approx(wanted, abs=1e-6)


def test_iou_by_hand():
    """2 x 3 in common, 26 together; apart along both axes nothing; no area nothing."""
    assert page.iou((0, 0, 4, 4), (2, 1, 6, 5)) == 6 / 26
    assert page.iou((0, 0, 2, 2), (5, 7, 9, 9)) == 0 == page.iou((1, 1, 1, 1), (1, 1, 1, 1))


@quick
@given(width=st.integers(1, 30), height=st.integers(1, 30), right=st.integers(-40, 40),
       down=st.integers(-40, 40))
def test_shifted_is_the_iou_with_the_copy(width, height, right, down):
    copy = (right, down, width + right, height + down)
    assert page.shifted(width, height, right, down) == pytest.approx(
        page.iou((0, 0, width, height), copy))


def test_shifted_by_hand():
    """The solution's words: 81 of 119, where the product of two IoUs would be (9/11)^2."""
    assert page.shifted(10, 10, 1, 1) == 81 / 119
    (product,) = [m for m in page.SHIFTED.mutants if m.name == "a product of IoUs"]
    assert product.function(10, 10, 1, 1) == pytest.approx((9 / 11) ** 2)
    assert page.shifted(30, 8, 10, 0) == 0.5  # a third of the side


@quick
@given(mask=masks())
def test_tight_is_the_librarys(mask):
    assert page.tight(mask) == masks_to_boxes(mask[None].bool())[0].tolist()


def test_tight_by_hand():
    assert page.tight(page._mask(".....", ".#...", ".#...", ".###.")) == [1, 1, 4, 4]


@quick
@given(mask=masks())
def test_runs_are_read_by_the_library_and_are_what_coco_writes(mask):
    found, size = page.runs(mask), list(mask.shape)
    assert len(found) == mask.numel() + 1 and sum(found) == mask.numel()
    again = decode_segmentation({"size": size, "counts": found}, tuple(size))
    assert torch.equal(again, mask.bool())
    ends = max(i for i, run in enumerate(found) if run) + 1
    assert string(found[:ends]) == packed(mask)["counts"].decode()


def test_runs_by_hand():
    """Columns 0110, 1110, 0001: 1 zero, 2 ones, 1 zero, 3 ones, 4 zeros, 1 one."""
    mask = page._mask(".#.", "##.", "##.", "..#")
    assert page.runs(mask) == [1, 2, 1, 3, 4, 1] + [0] * 7


@quick
@given(some=counts)
def test_numbers_undo_coco_s_string(some):
    assert page.numbers(string(some)) == some
    assert page._numbers(string(some)) == some


def test_numbers_by_hand():
    """X is 88 - 48 = 40, so 8 and more; o is 63, so 31 and more; 0 ends: 31 * 32 + 8 = 1000."""
    assert page.numbers("Xo0") == [1000]
    assert page.numbers("12113N") == [1, 2, 1, 3, 4, 1]  # N: 78 - 48 = 30, so -2, and 3 - 2 = 1


def test_the_strings_of_the_cases_are_strings_that_coco_writes():
    for case in page.NUMBERS.cases:
        (text,) = case.arguments
        assert string(page.numbers(text)) == text
        size = [sum(page.numbers(text)), 1]
        theirs = second_opinion.frPyObjects({"size": size, "counts": page.numbers(text)}, *size)
        assert theirs["counts"].decode() == text


@quick
@given(mask=masks(), seed=st.integers(0, 2**31))
def test_common_is_what_both_masks_have(mask, seed):
    other = (torch.rand(mask.shape, generator=torch.Generator().manual_seed(seed)) < 0.5).float()
    assert page.common(page.runs(mask), page.runs(other)) == float((mask * other).sum())
    union = float(torch.maximum(mask, other).sum())
    if union:
        theirs = rle.iou([packed(mask)], [packed(other)], [0])[0][0]
        assert page.common(page.runs(mask), page.runs(other)) / union == pytest.approx(theirs)


def test_common_by_hand():
    """Ones at 2 to 7 and at 4 to 8: three in common."""
    assert page.common([2, 5, 3], [4, 4, 2]) == 3
