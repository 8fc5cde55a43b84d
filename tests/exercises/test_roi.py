"""Lesson 10's exercises: right by the library, and each judge worth its name.

What holds for every exercise (solutions pass, mutants are named, zeros fail) is in
test_registry.py; here stands what the answers must be.
"""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from teachseg.exercises import roi as page
from teachseg.layers import roi

quick = settings(deadline=None, max_examples=60)
edge = st.floats(-30, 150, width=32)


@quick
@given(x=st.floats(-100, 100, width=32) | st.integers(-40, 40).map(lambda n: n / 2))
def test_round_is_the_librarys(x):
    wanted = roi.round_half_away(torch.tensor(x, dtype=torch.float64))
    assert page.round_half_away(x) == wanted


def test_round_just_below_a_half():
    # x + 0.5 is 1.0 in float64, though x is below a half
    assert page.round_half_away(0.49999999999999994) == 0


def test_misalignment_by_hand():
    # 23 / 16 = 1.44 -> cell 1 -> pixel 16: 7 to the left; 24 / 16 = 1.5 -> 2 -> 32: 8 to the right
    assert [page.misalignment(x, 16) for x in (23, 24, 32, -8)] == [-7, 8, 0, -8]


@quick
@given(x=st.integers(-100, 300), stride=st.sampled_from([1, 4, 8, 16, 32]))
def test_misalignment_is_at_most_half_a_cell(x, stride):
    lost = page.misalignment(x, stride)
    assert abs(lost) <= stride / 2 and (x + lost) % stride == 0


@quick
@given(low=st.integers(-5, 12), high=st.integers(-5, 12), bins=st.integers(1, 8),
       size=st.integers(1, 9))
def test_pool_bins_are_those_of_the_loop_over_fractions(low, high, bins, size):
    # cells u with u + 1 > low + i length / bins and u < low + (i + 1) length / bins
    length = max(high - low + 1, 1)
    for i, (first, end) in enumerate(page.pool_bins(low, high, bins, size)):
        inside = [u for u in range(size)
                  if (u + 1 - low) * bins > i * length and (u - low) * bins < (i + 1) * length]
        assert inside == list(range(first, end))


def test_seven_cells_in_three_bins_by_hand():
    # 7/3 each: 0-2.33, 2.33-4.67, 4.67-7, rounded outwards
    assert page.pool_bins(0, 6, 3, 7) == [(0, 3), (2, 5), (4, 7)]


@quick
@given(box=st.tuples(*[st.integers(-3, 9)] * 4), bins=st.integers(1, 5))
def test_pool_is_the_librarys(box, bins):
    rois = torch.tensor([[0.0, *box]])
    wanted = roi.roi_pool(page.WIDE[None, None], rois, bins)[0, 0]
    assert torch.equal(page.pool(page.WIDE, box, bins), wanted)


@quick
@given(box=st.tuples(*[edge] * 4), bins=st.integers(1, 4), scale=st.sampled_from([1 / 16, 1 / 8]))
def test_align_is_the_librarys(box, bins, scale):
    x1, x2 = sorted(box[0::2])
    y1, y2 = sorted(box[1::2])
    features = page.WIDE.double()
    rois = torch.tensor([[0.0, x1, y1, x2, y2]], dtype=torch.float64)
    wanted = roi.roi_align(features[None, None], rois, bins, scale)[0, 0]
    got = page.align(features, (x1, y1, x2, y2), bins, scale)
    torch.testing.assert_close(got.double(), wanted, atol=1e-4, rtol=1e-4)


def test_bilinear_by_hand():
    features = torch.tensor([[0.0, 4.0], [8.0, 12.0]])
    assert page.bilinear(features, 0, 0.25) == 1
    assert page.bilinear(features, 0.5, 0.5) == 6
    assert page.bilinear(features, -1, 0) == 0 == page.bilinear(features, -0.5, 0)
    assert page.bilinear(features, 2, 2) == 12  # one cell beyond the last: still the edge
    assert page.bilinear(features, 2.01, 1) == 0


@quick
@given(x1=st.integers(0, 80).map(lambda n: n / 8), x2=st.integers(0, 80).map(lambda n: n / 8),
       bins=st.integers(1, 6))
def test_warp_starts_are_where_the_librarys_warp_reads(x1, x2, bins):
    ramp = torch.arange(12.0, dtype=torch.float64).expand(1, 1, 12, 12)  # each column its number
    rois = torch.tensor([[0.0, x1, 3, x2, 8]], dtype=torch.float64)
    read = roi.roi_warp(ramp, rois, (1, bins))[0, 0, 0]
    torch.testing.assert_close(torch.tensor(page.warp_starts(x1, x2, bins)).double(), read,
                               atol=1e-5, rtol=0)


def test_the_ramp_reads_its_own_bins_middles():
    # the solution's text: from 1 to 5, two bins: 2 and 4; without the half pixel 2.5 and 4.5
    (name, arguments) = page.ALIGN.cases[0]
    assert page.align(*arguments)[0].tolist() == [2, 4]
    (forgotten,) = [m for m in page.ALIGN.mutants if m.name == "half pixel forgotten"]
    assert forgotten.function(*arguments)[0].tolist() == [2.5, 4.5]


@pytest.mark.parametrize("features", [page.SEVEN, page.WIDE], ids=["seven", "wide"])
def test_the_maps_are_hilly(features):
    """On a plane a mean of four points is their middle's value, and mistakes would hide."""
    bend = features[:-1, :-1] + features[1:, 1:] - features[1:, :-1] - features[:-1, 1:]
    assert features.unique().numel() >= 12 and (bend != 0).double().mean() > 0.6
