"""RoIPool, RoIWarp, RoIAlign: numbers by hand, loops, torchvision, finite differences, errors."""

import math

import pytest
import torch
import torchvision.ops as ops
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck

from teachseg.layers import roi
from teachseg.layers.roi import (
    align_samples,
    axis_matrix,
    axis_weights,
    roi_align,
    roi_align_matrices,
    roi_pool,
    roi_warp,
    round_half_away,
    to_rois,
    warp_samples,
)

OPERATORS = {
    "pool": roi_pool,
    "warp": roi_warp,
    "warp rounded": lambda *args: roi_warp(*args, rounding=True),
    "align": roi_align,
    "align adaptive": lambda *args: roi_align(*args, sampling_ratio=0),
    "align old": lambda *args: roi_align(*args, aligned=False),
}
every_operator = pytest.mark.parametrize("operator", OPERATORS.values(), ids=OPERATORS.keys())


def plane(height: int, width: int) -> Tensor:
    """(1, 1, height, width) holding 10 * row + column: interpolation is exact on it."""
    return (10 * torch.arange(height)[:, None] + torch.arange(width)).float()[None, None]


def example(seed: int, dtype=torch.float64, rois: int = 5, scale: float = 0.5, inverted=False):
    """Features of 2 images, and unsorted rois that lie inside, half outside and outside."""
    g = torch.Generator().manual_seed(seed)
    features = torch.randn(2, 3, 9, 11, generator=g, dtype=dtype)
    boxes = (torch.rand(rois, 4, generator=g, dtype=dtype) * 1.6 - 0.3) * 11 / scale
    if not inverted:
        boxes = torch.cat([torch.minimum(boxes[:, :2], boxes[:, 2:]),
                           torch.maximum(boxes[:, :2], boxes[:, 2:])], dim=1)
    image = torch.randint(2, (rois, 1), generator=g).to(dtype)
    return features, torch.cat([image, boxes], dim=1)


# ---- by hand --------------------------------------------------------------------------------


def test_seven_by_seven_to_three_by_three_in_all_operators():
    features = plane(7, 7)
    # Pool: cells 0..6, both ends are in it: 7 wide, a bin is 7/3. Outwards: [0, 3), [2, 5),
    # [4, 7); the largest of each is its last: rows and columns 2, 4, 6.
    pooled = roi_pool(features, torch.tensor([[0.0, 0, 0, 6, 6]]), 3)
    last = torch.tensor([2.0, 4, 6])
    torch.testing.assert_close(pooled[0, 0], 10 * last[:, None] + last)

    # Warp: bins start at 0, 7/3, 14/3.
    box = torch.tensor([[0.0, 0, 0, 7, 7]])
    starts = torch.tensor([0, 7 / 3, 14 / 3])
    for rounding in (False, True):
        warped = roi_warp(features, box, 3, rounding=rounding)
        torch.testing.assert_close(warped[0, 0], 10 * starts[:, None] + starts)

    # Align: middles of the bins, 7/6, 7/2, 35/6, less the half: 2/3, 3, 16/3.
    middles = torch.tensor([2 / 3, 3, 16 / 3])
    aligned = roi_align(features, box, 3)
    torch.testing.assert_close(aligned[0, 0], 10 * middles[:, None] + middles)


def test_rounding_23_and_24_sixteenths():
    # 23/16 = 1.4375 -> 1, 24/16 = 1.5 -> 2 (away from zero), -24/16 -> -2, -23/16 -> -1, 40/16 -> 3
    x = torch.tensor([23.0, 24, -24, -23, 40, 0]) / 16
    assert round_half_away(x).tolist() == [1, 2, -2, -1, 3, 0]
    assert round_half_away(torch.tensor([0.49999997, -0.49999997])).tolist() == [0, 0]

    columns = torch.arange(8.0).expand(1, 1, 8, 8)
    rois = torch.tensor([[0.0, 23, 0, 112, 16], [0, 24, 0, 112, 16]])
    # RoIPool of the falling -columns: the largest is the box's first column
    assert roi_pool(-columns, rois, 1, 1 / 16).flatten().tolist() == [-1, -2]
    assert roi_warp(columns, rois, 1, 1 / 16, rounding=True).flatten().tolist() == [1, 2]
    assert roi_warp(columns, rois, 1, 1 / 16).flatten().tolist() == [23 / 16, 24 / 16]


def test_roi_align_reads_a_ramp_exactly_and_half_a_cell_late_without_aligned():
    ramp = (torch.arange(16.0) + 0.5).expand(1, 1, 16, 16)
    box = torch.tensor([[0, 3.3, 4.0, 11.3, 12.0]])  # 8 cells wide: bins of 2 from 3.3
    middles = 3.3 + torch.tensor([1.0, 3.0, 5.0, 7.0])
    for ratio in (1, 2, 3, 0):
        torch.testing.assert_close(roi_align(ramp, box, 4, 1.0, ratio)[0, 0, 0], middles)
        late = roi_align(ramp, box, 4, 1.0, ratio, aligned=False)
        torch.testing.assert_close(late[0, 0, 0], middles + 0.5)


def test_edges_of_the_map_by_hand():
    features = torch.tensor([2.0, 4.0, 8.0]).expand(1, 1, 3, 3)

    def read(operator, x: float, **settings) -> float:
        # one bin of no width that starts at (x, 1): each operator reads that point
        return operator(features, torch.tensor([[0, x, 1.0, x, 1.0]]), 1, **settings).item()

    # the paper's kappa: 1 at cell 0, fading to 0 at -1
    assert [read(roi_warp, x) for x in (0.5, -0.25, -1.0, 2.5, 3.0)] == [3.0, 1.5, 0, 4.0, 0]
    # the released code rounds first: -0.4 -> 0, -0.5 -> -1 is more than half a cell off: 0
    assert [read(roi_warp, x, rounding=True) for x in (-0.4, -0.5, 2.4, 2.5)] == [2.0, 0, 8.0, 0]
    # RoIAlign (x - 1/2): held at the edge for a cell, then 0
    assert [read(roi_align, x) for x in (-0.5, -0.51, 3.5, 3.51)] == [2.0, 0, 8.0, 0]


def test_released_warp_gradient_by_hand():
    # x1 = 35 / 16 -> 2, x2 = 98 / 16 -> 6: 4 cells, 4 bins, read at 2, 3, 4, 5. On column^2 the
    # slope to the right there is F[u + 1] - F[u] = 5, 7, 9, 11, and r = 0, 1/4, 1/2, 3/4.
    features = (torch.arange(9.0) ** 2).expand(1, 1, 9, 9)
    rois = torch.tensor([[0.0, 35, 16, 98, 32]], requires_grad=True)
    out = roi_warp(features, rois, (1, 4), 1 / 16, rounding=True)
    assert out.flatten().tolist() == [4, 9, 16, 25]
    out.sum().backward()
    to_x1 = (5 * 1 + 7 * 0.75 + 9 * 0.5 + 11 * 0.25) / 16
    to_x2 = (5 * 0 + 7 * 0.25 + 9 * 0.5 + 11 * 0.75) / 16
    assert rois.grad.tolist() == [[0, to_x1, 0, to_x2, 0]]


def test_warp_gradient_at_the_ends_of_the_map_by_hand():
    # F = 1, 3, 7. At column 0 the slope to the right is 2; the last column has no neighbour: 0.
    features = torch.tensor([1.0, 3.0, 7.0]).expand(1, 1, 3, 3)
    rois = torch.tensor([[0.0, 0, 1, 0, 1], [0, 1, 1, 1, 1], [0, 2, 1, 2, 1]], requires_grad=True)
    out = roi_warp(features, rois, 1, rounding=True)
    assert out.flatten().tolist() == [1, 3, 7]
    out.sum().backward()
    assert rois.grad[:, 1].tolist() == [2, 4, 0]

    # The paper's formula beyond the ends, row 1: at -1 the value begins to rise by F(0) = 1 a cell,
    # at 2 it begins to fall by F(2) = 7 a cell, at 3 and on it is 0 for good.
    x = torch.tensor([-1.0, 2, 3, 4])
    rois = torch.stack([0 * x, x, 0 * x + 1, x, 0 * x + 1], dim=1).requires_grad_()
    out = roi_warp(features, rois, 1)
    assert out.flatten().tolist() == [0, 7, 0, 0]
    out.sum().backward()
    assert rois.grad[:, 1].tolist() == [1, -7, 0, 0]


def test_axis_weights_by_hand():
    cells, weights = axis_weights(torch.tensor([[[1.25, 2.0]]]), 3, reach=1.0)
    assert cells.tolist() == [[[1, 2, 2, 2]]]  # 1.25: 3/4 of cell 1, 1/4 of 2; 2: all of cell 2
    assert weights.tolist() == [[[0.75, 0.25, 1.0, 0.0]]]
    matrix = axis_matrix(roi.AxisWeights(cells, weights / 2), 3)
    assert matrix.tolist() == [[[0, 0.375, 0.625]]]


def test_where_samples_lie_by_hand():
    """A box from 1, 6 long, and one from 0, 3 long; three bins are 2 and 1 long.

    The warp reads beginnings. One sample a bin lies in its middle, two at 1/4 and 3/4 of it; a box
    that takes fewer than the most has its last again, and one that takes none is read as if one.
    """
    start, extent = torch.tensor([1.0, 0.0]), torch.tensor([6.0, 3.0])
    assert warp_samples(start, extent, 3).tolist() == [[1, 3, 5], [0, 1, 2]]
    z = align_samples(start, extent, 3, torch.tensor([2.0, 1.0]), most=2)
    assert z.tolist() == [[[1.5, 2.5], [3.5, 4.5], [5.5, 6.5]],
                          [[0.5, 0.5], [1.5, 1.5], [2.5, 2.5]]]
    z = align_samples(start, extent, 3, torch.tensor([2.0, 0.0]), most=2)
    assert z[1].tolist() == [[0.5, 0.5], [1.5, 1.5], [2.5, 2.5]]
    assert align_samples(start, extent, 3, torch.zeros(2), most=0).shape == (2, 3, 0)
    assert align_samples(start[:0], extent[:0], 3, torch.zeros(0), most=2).shape == (0, 3, 2)


def test_to_rois_puts_the_image_in_front():
    rois = to_rois([torch.ones(2, 4), torch.zeros(0, 4), 2 * torch.ones(1, 4)])
    assert rois.tolist() == [[0, 1, 1, 1, 1], [0, 1, 1, 1, 1], [2, 2, 2, 2, 2]]


# ---- slow twins -----------------------------------------------------------------------------


def slow(features: Tensor, rois: Tensor, bins: int, read) -> Tensor:
    """Loop over boxes and bins; read(image (C,H,W), box, i, j) -> (C,)."""
    return torch.stack([
        torch.stack([read(features[int(r[0])], r[1:].tolist(), i, j)
                     for i in range(bins) for j in range(bins)], dim=1)
        for r in rois
    ]).view(len(rois), features.shape[1], bins, bins)


def half_away(x: float) -> int:
    return int(math.floor(abs(x) + 0.5)) * (1 if x >= 0 else -1)


def kappa_sum(image: Tensor, y: float, x: float) -> Tensor:
    """The paper's sum over every cell."""
    total = torch.zeros(image.shape[0], dtype=image.dtype)
    for v in range(image.shape[1]):
        for u in range(image.shape[2]):
            total += max(0, 1 - abs(y - v)) * max(0, 1 - abs(x - u)) * image[:, v, u]
    return total


@pytest.mark.parametrize("seed", range(4))
def test_warp_is_the_papers_formula(seed):
    features, rois = example(seed, inverted=seed == 3)

    def read(image, box, i, j):
        x1, y1, x2, y2 = (0.5 * side for side in box)
        return kappa_sum(image, y1 + i / 4 * (y2 - y1), x1 + j / 4 * (x2 - x1))

    torch.testing.assert_close(roi_warp(features, rois, 4, 0.5), slow(features, rois, 4, read))


@pytest.mark.parametrize("seed", range(4))
def test_rounded_warp_is_the_released_loop(seed):
    features, rois = example(seed, inverted=True)

    def read(image, box, i, j):
        x1, y1, x2, y2 = (half_away(0.5 * side) for side in box)
        y, x = y1 + i * max(y2 - y1, 0) / 4, x1 + j * max(x2 - x1, 0) / 4
        height, width = image.shape[1:]
        if not (-0.5 <= y <= height - 0.5 and -0.5 <= x <= width - 0.5):
            return torch.zeros(image.shape[0], dtype=image.dtype)
        return kappa_sum(image, min(max(y, 0), height - 1), min(max(x, 0), width - 1))

    got = roi_warp(features, rois, 4, 0.5, rounding=True)
    torch.testing.assert_close(got, slow(features, rois, 4, read))


@pytest.mark.parametrize("seed", range(4))
def test_pool_is_the_loop(seed):
    features, rois = example(seed, inverted=True)

    def read(image, box, i, j):
        x1, y1, x2, y2 = (half_away(0.5 * side) for side in box)
        cut = []
        for k, low, high, size in ((i, y1, y2, image.shape[1]), (j, x1, x2, image.shape[2])):
            bin_size = max(high - low + 1, 1) / 4
            first, end = math.floor(k * bin_size) + low, math.ceil((k + 1) * bin_size) + low
            cut.append(slice(min(max(first, 0), size), min(max(end, 0), size)))
        cells = image[:, cut[0], cut[1]].flatten(1)
        return cells.amax(1) if cells.shape[1] else cells.new_zeros(len(cells))

    torch.testing.assert_close(roi_pool(features, rois, 4, 0.5), slow(features, rois, 4, read))


# ---- torchvision ----------------------------------------------------------------------------


def assert_twins(ours, theirs, features: Tensor, tolerance: float) -> None:
    """Equal values, and equal gradients to features for one random slope."""
    slopes = []
    for operator in (ours, theirs):
        leaf = features.clone().requires_grad_()
        out = operator(leaf)
        slope = torch.randn(out.shape, generator=torch.Generator().manual_seed(1)).to(out.dtype)
        slopes.append((out.detach(), torch.autograd.grad(out, leaf, slope)[0]))
    (out, gradient), (their_out, their_gradient) = slopes
    torch.testing.assert_close(out, their_out, atol=tolerance, rtol=tolerance)
    torch.testing.assert_close(gradient, their_gradient, atol=tolerance, rtol=tolerance)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    bins=st.tuples(st.integers(1, 8), st.integers(1, 8)),
    scale=st.sampled_from([1.0, 0.5, 0.3, 1 / 16]),
    ratio=st.integers(-1, 5),
    aligned=st.booleans(),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_align_equals_torchvision(seed, bins, scale, ratio, aligned, dtype):
    # (torchvision fails on inverted boxes with an adaptive number of samples)
    features, rois = example(seed, dtype, 6, scale, inverted=ratio > 0)
    assert_twins(
        lambda f: roi_align(f, rois, bins, scale, ratio, aligned),
        lambda f: ops.roi_align(f, rois, bins, scale, ratio, aligned),
        features,
        tolerance=2e-5 if dtype == torch.float32 else 1e-12,
    )


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    bins=st.tuples(st.integers(1, 8), st.integers(1, 8)),
    scale=st.sampled_from([1.0, 0.5, 0.3, 1 / 16]),
    levels=st.sampled_from([None, 2]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_pool_equals_torchvision(seed, bins, scale, levels, dtype):
    features, rois = example(seed, dtype, 6, scale, inverted=True)
    if levels:  # few different values: which of equal cells gets the gradient?
        features = (features * levels).round()
    got, expected = (pool(features, rois, bins, scale) for pool in (roi_pool, ops.roi_pool))
    assert torch.equal(got, expected)
    assert_twins(
        lambda f: roi_pool(f, rois, bins, scale), lambda f: ops.roi_pool(f, rois, bins, scale),
        features, tolerance=1e-5,
    )


def test_whole_pixel_boxes_equal_torchvision():
    # every corner on a whole cell, the last ones on the map's edge: where floors and edges meet
    features = torch.randn(1, 2, 6, 6, generator=torch.Generator().manual_seed(0))
    corners = [(a, b) for a in range(-2, 7) for b in range(a, 9)]
    rois = torch.tensor([[0.0, x1, y1, x2, y2] for x1, x2 in corners for y1, y2 in corners[::5]])
    for aligned in (True, False):
        for ratio in (0, 1, 2):
            torch.testing.assert_close(
                roi_align(features, rois, 3, 1.0, ratio, aligned),
                ops.roi_align(features, rois, 3, 1.0, ratio, aligned), atol=1e-6, rtol=1e-5,
            )
    assert torch.equal(roi_pool(features, rois, 3), ops.roi_pool(features, rois, 3))


@pytest.mark.parametrize("ratio", [0, 2])
@pytest.mark.parametrize("bins", [3, (2, 5)])
def test_align_is_two_matrices(ratio, bins):
    features, rois = example(3)
    a_y, a_x = roi_align_matrices((9, 11), rois, bins, 0.5, ratio)
    product = torch.einsum("rih,rchw,rjw->rcij", a_y, features[rois[:, 0].long()], a_x)
    torch.testing.assert_close(roi_align(features, rois, bins, 0.5, ratio), product)


def test_adaptive_groups_do_not_mix_boxes_up(monkeypatch):
    monkeypatch.setattr(roi, "READ_AT_ONCE", 200)  # so that even these boxes are read in many parts
    features, rois = example(5, rois=40, scale=1.0)
    expected = ops.roi_align(features, rois, 2, 1.0, 0, aligned=True)
    torch.testing.assert_close(roi_align(features, rois, 2, 1.0, 0), expected)


# ---- gradients ------------------------------------------------------------------------------

BOXES = torch.tensor([[1.13, 2.37, 7.71, 9.42], [3.31, 0.87, 6.53, 5.29], [-2.6, 3.7, 4.47, 20.3]])


@pytest.mark.parametrize(
    "operator",
    [roi_warp, roi_align, lambda *a: roi_align(*a, sampling_ratio=0),
     lambda *a: roi_align(*a, sampling_ratio=3, aligned=False)],
    ids=["warp", "align", "align adaptive", "align old, 3 samples"],
)
def test_gradients_to_features_and_boxes(operator):
    features = torch.randn(2, 1, 6, 7, generator=torch.Generator().manual_seed(0)).double()
    rois = torch.cat([torch.tensor([[1.0], [0], [1]]), BOXES], dim=1).double()
    leaves = features.requires_grad_(), rois.requires_grad_()
    assert gradcheck(lambda f, r: operator(f, r, 2, 0.61), leaves)


def test_gradients_of_pool():
    features, rois = example(0, rois=3)
    leaf = features[:, :1].contiguous().requires_grad_()
    assert gradcheck(lambda f: roi_pool(f, rois, 2, 0.5), (leaf,))
    assert not roi_pool(features, rois.requires_grad_(), 2).requires_grad


def test_an_adaptive_box_of_one_cell_moves_with_its_gradient():
    # on a ramp the value at the middle moves as the corners do: half of each
    ramp = torch.arange(8.0).expand(1, 1, 8, 8)
    rois = torch.tensor([[0, 2.25, 2.25, 3.25, 3.25]], requires_grad=True)
    roi_align(ramp, rois, 1, sampling_ratio=0).sum().backward()
    torch.testing.assert_close(rois.grad, torch.tensor([[0, 0.5, 0, 0.5, 0]]))


@every_operator
def test_reading_part_of_a_large_map_changes_nothing(operator, monkeypatch):
    features, rois = example(7, rois=2)
    results = []
    for large in (0, 10**9):
        monkeypatch.setattr(roi, "LARGE_MAP", large)
        leaf = features.clone().requires_grad_()
        out = operator(leaf, rois, 2, 0.5)
        out.square().sum().backward()
        results.append((out.detach(), leaf.grad))
    torch.testing.assert_close(results[0], results[1])


# ---- nothing, broken boxes, kinds of tensors ------------------------------------------------


@every_operator
def test_no_rois_no_channels_no_image(operator):
    features = torch.randn(2, 3, 5, 6, requires_grad=True)
    out = operator(features, torch.zeros(0, 5), (4, 2))
    assert out.shape == (0, 3, 4, 2)
    out.sum().backward()
    assert features.grad.shape == features.shape and not features.grad.any()
    assert operator(torch.zeros(0, 3, 5, 6), torch.zeros(0, 5), 2).shape == (0, 3, 2, 2)
    assert operator(torch.zeros(1, 0, 5, 6), torch.zeros(2, 5), 2).shape == (2, 0, 2, 2)


@every_operator
def test_broken_boxes_give_finite_values_and_gradients(operator):
    features = torch.randn(1, 2, 5, 6, requires_grad=True)
    rois = torch.tensor([
        [0, 3, 3, 3, 3], [0, 4, 4, 1, 1], [0, 1e6, 1e6, 1e6 + 9, 1e6 + 9], [0, -50, -50, -40, -40],
        [0, -100, 2, 100, 3], [0, 2.5, -90, 2.5, 90], [0, -1e30, -1e30, -9e29, -9e29],
    ], dtype=torch.float32, requires_grad=True)
    out = operator(features, rois, 3, 0.5)
    assert out.shape == (7, 2, 3, 3) and out.isfinite().all()
    out.sum().backward()
    assert features.grad.isfinite().all()
    assert rois.grad is None or rois.grad.isfinite().all()
    for outside in (2, 3, 6):
        assert not out[outside].any()


@every_operator
def test_order_of_rois_and_of_images_does_not_matter(operator):
    features, rois = example(2, rois=8)
    order = torch.tensor([5, 0, 7, 3, 1, 6, 2, 4])
    out = operator(features, rois, 3)
    torch.testing.assert_close(operator(features, rois[order], 3), out[order])
    swapped = torch.cat([1 - rois[:, :1], rois[:, 1:]], dim=1)
    torch.testing.assert_close(operator(features.flip(0), swapped, 3), out)


@every_operator
def test_memory_order_follows_the_features(operator):
    features, rois = example(2)
    out = operator(features, rois, 3)
    last = operator(features.contiguous(memory_format=torch.channels_last), rois, 3)
    assert out.is_contiguous() and last.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(out, last)
    torch.testing.assert_close(operator(features.transpose(2, 3), rois, 3),
                               operator(features.transpose(2, 3).contiguous(), rois, 3))


@every_operator
def test_bfloat16_features_keep_exact_boxes(operator):
    features, rois = example(4, torch.float32)
    half = features.bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        out = operator(half, rois * 1.001, 3)
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out, operator(half.float(), rois * 1.001, 3).bfloat16())


@pytest.mark.parametrize("name", ["warp", "warp rounded", "align", "align old"])
def test_no_value_is_looked_at_off_the_cpu(name):
    # a meta tensor has no values: reading one (as a GPU would have to be waited for) fails
    features, rois = (x.to("meta").requires_grad_() for x in example(0))
    out = OPERATORS[name](features, rois, 3)
    assert out.shape == (5, 3, 3, 3) and out.device.type == "meta"


# ---- errors ---------------------------------------------------------------------------------

MAP = torch.zeros(1, 3, 5, 5)


@every_operator
@pytest.mark.parametrize(
    ("features", "rois", "size", "scale", "words"),
    [
        (torch.zeros(3, 5, 5), torch.zeros(1, 5), 2, 1.0, r"Only one\? Pass features\[None\]"),
        (MAP, torch.zeros(1, 4), 2, 1.0, "image's index in front.*to_rois"),
        (MAP, torch.zeros(5), 2, 1.0, r"Pass rois\[None\]"),
        (torch.zeros(1, 3, 0, 5), torch.zeros(1, 5), 2, 1.0, "at least one cell"),
        (MAP.byte(), torch.zeros(1, 5), 2, 1.0, r"features\.float\(\)"),
        (torch.cat([MAP, MAP]), torch.tensor([[2.0, 0, 0, 1, 1]]), 2, 1.0, r"image 2.*0\.\.1"),
        (torch.cat([MAP, MAP]), torch.tensor([[-1.0, 0, 0, 1, 1]]), 2, 1.0, r"rois\[0\].*image -1"),
        (MAP, torch.tensor([[0, 0, 0, math.nan, 1]]), 2, 1.0, "not finite"),
        (MAP, torch.zeros(1, 5), 0, 1.0, "output_size.*at least 1"),
        (MAP, torch.zeros(1, 5), (2, 2, 2), 1.0, "output_size"),
        (MAP, torch.zeros(1, 5), 7.0, 1.0, "output_size must be a whole number"),
        (MAP, torch.zeros(1, 5), 2, 0.0, "spatial_scale.*1 / stride"),
    ],
)
def test_errors_say_how_to_mend(operator, features, rois, size, scale, words):
    with pytest.raises(ValueError, match=words):
        operator(features, rois, size, scale)


def test_half_a_sample():
    with pytest.raises(ValueError, match="sampling_ratio must be a whole number, got 2.5"):
        roi_align(MAP, torch.zeros(1, 5), 2, sampling_ratio=2.5)


def test_to_rois_of_nothing():
    with pytest.raises(ValueError, match="one .* tensor an image"):
        to_rois([])
