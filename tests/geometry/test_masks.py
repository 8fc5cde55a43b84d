"""Masks: overlaps, tight boxes, cutting and pasting, by hand, by slow twins and by torchvision."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck
from torchvision import ops
from torchvision.models.detection.roi_heads import paste_masks_in_image

from teachseg.geometry.masks import (
    cell_shares,
    crop_masks,
    mask_iou,
    masks_to_boxes,
    paste_masks,
    paste_weights,
    widen_as_torchvision,
)

property_of = settings(deadline=None, max_examples=50)
NO_BOXES = torch.zeros(0, 4)


def picture(*rows):
    """Rows of text -> (1, H, W) bool, True where there is an x."""
    return torch.tensor([[[letter == "x" for letter in row] for row in rows]])


def random_masks(count, height, width, seed=0):
    return torch.rand(count, height, width, generator=torch.Generator().manual_seed(seed)) < 0.5


def random_boxes(count, low, high, seed=0):
    """Boxes with corners anywhere in low .. high and sides of at least 1."""
    generator = torch.Generator().manual_seed(seed)
    corners = torch.rand(count, 2, 2, generator=generator) * (high - low) + low
    corners = corners.sort(dim=1).values
    corners[:, 1] += 1
    return corners.flatten(1)


def overlap(a, b, c, d):
    """Length that [a, b] and [c, d] have in common."""
    return max(0.0, min(b, d) - max(a, c))


def crop_by_loops(mask, box, size):
    """Each bin's share by the area that every single pixel has in it."""
    x1, y1, x2, y2 = box
    wide, high = (x2 - x1) / size, (y2 - y1) / size
    crop = torch.zeros(size, size)
    for i in range(size):
        for j in range(size):
            area = 0.0
            for y, x in mask.nonzero().tolist():
                area += overlap(y, y + 1, y1 + i * high, y1 + (i + 1) * high) * overlap(
                    x, x + 1, x1 + j * wide, x1 + (j + 1) * wide
                )
            crop[i, j] = area / (wide * high)
    return crop


def read_between(crop, y, x):
    """Bilinear reading of a crop, y and x in bins from the first center, held at the rim."""
    last = len(crop) - 1
    y, x = min(max(y, 0), last), min(max(x, 0), last)
    y0, x0 = min(math.floor(y), max(last - 1, 0)), min(math.floor(x), max(last - 1, 0))
    y1, x1 = min(y0 + 1, last), min(x0 + 1, last)
    fy, fx = y - y0, x - x0
    top = crop[y0][x0] * (1 - fx) + crop[y0][x1] * fx
    bottom = crop[y1][x0] * (1 - fx) + crop[y1][x1] * fx
    return top * (1 - fy) + bottom * fy


def paste_by_loops(crop, box, height, width):
    """Pixel by pixel: the part that the box covers, times the crop at the middle of that part."""
    x1, y1, x2, y2 = box
    size, image = len(crop), torch.zeros(height, width)
    for i in range(height):
        for j in range(width):
            low, high, left, right = max(i, y1), min(i + 1, y2), max(j, x1), min(j + 1, x2)
            if low < high and left < right:
                y = ((low + high) / 2 - y1) / (y2 - y1) * size - 0.5
                x = ((left + right) / 2 - x1) / (x2 - x1) * size - 0.5
                image[i, j] = (high - low) * (right - left) * read_between(crop, y, x)
    return image


# ------------------------------------------------------------------------- overlap


def test_mask_iou_by_hand():
    a = picture("xx..", "xx..")
    b = torch.cat([picture(".xx.", ".xx."), a, picture("....", "...."), picture("..xx", "..xx")])
    # 2 in common of 4 + 4 - 2; the same; nothing; apart
    torch.testing.assert_close(mask_iou(a, b), torch.tensor([[1 / 3, 1.0, 0.0, 0.0]]))
    nothing = picture("....", "....")
    assert mask_iou(nothing, nothing).item() == 0


@property_of
@given(st.integers(0, 4), st.integers(0, 4), st.integers(0, 999))
def test_mask_iou_is_symmetric_and_equals_its_slow_twin(count_a, count_b, seed):
    a, b = random_masks(count_a, 3, 5, seed), random_masks(count_b, 3, 5, seed + 1)
    iou = mask_iou(a, b)
    assert iou.shape == (count_a, count_b) and iou.dtype == torch.float32
    assert torch.equal(iou, mask_iou(b, a).T)
    for i in range(count_a):
        for j in range(count_b):
            both = int((a[i] | b[j]).sum())
            expected = int((a[i] & b[j]).sum()) / both if both else 0.0
            assert math.isclose(iou[i, j], expected, rel_tol=1e-6)


def test_mask_iou_wants_masks_of_one_image():
    with pytest.raises(ValueError, match=r"Masks of one image.*\(3, 5\) and \(5, 3\)"):
        mask_iou(random_masks(1, 3, 5), random_masks(1, 5, 3))
    with pytest.raises(ValueError, match=r"Only one\? Pass a\[None\]"):
        mask_iou(torch.ones(3, 5), random_masks(1, 3, 5))


# ------------------------------------------------------------------------- tight boxes


def test_masks_to_boxes_by_hand():
    masks = torch.cat([
        picture(".....", ".xx..", "...x."),  # columns 1..3, rows 1..2: edges 1, 1, 4, 3
        picture("....x", ".....", "....."),  # a single pixel
        picture("x....", ".....", "....x"),  # from corner to corner
        picture(".....", ".....", "....."),
    ])  # fmt: skip
    expected = [[1, 1, 4, 3], [4, 0, 5, 1], [0, 0, 5, 3], [0, 0, 0, 0]]
    boxes = masks_to_boxes(masks)
    assert boxes.tolist() == expected and boxes.dtype == torch.float32


def test_masks_to_boxes_against_torchvision():
    # torchvision names the last pixel inside: one less on the far side
    masks = random_masks(6, 9, 7, seed=3)
    assert torch.equal(
        masks_to_boxes(masks), ops.masks_to_boxes(masks) + torch.tensor([0, 0, 1, 1])
    )


@property_of
@given(st.integers(0, 9), st.integers(0, 9), st.integers(1, 9), st.integers(1, 9))
def test_the_tight_box_of_a_filled_box_is_that_box(x, y, wide, high):
    mask = torch.zeros(1, 18, 18, dtype=torch.bool)
    mask[0, y : y + high, x : x + wide] = True
    assert masks_to_boxes(mask).tolist() == [[x, y, x + wide, y + high]]


def test_masks_to_boxes_of_none():
    assert masks_to_boxes(torch.zeros(0, 4, 4, dtype=torch.bool)).shape == (0, 4)
    assert masks_to_boxes(torch.zeros(2, 0, 4, dtype=torch.bool)).tolist() == [[0] * 4] * 2
    with pytest.raises(ValueError, match=r"masks must have the shape \(R, H, W\), got \(4, 4\)"):
        masks_to_boxes(torch.zeros(4, 4))


# ------------------------------------------------------------------------- cutting


def test_crop_by_hand():
    mask = picture("x...", "xx..", "....", "...x")
    # the whole image in 2 x 2 bins of 2 x 2 pixels: 3 of 4, 0, 0, 1 of 4
    whole = crop_masks(mask, torch.tensor([[0.0, 0.0, 4.0, 4.0]]), 2)
    torch.testing.assert_close(whole, torch.tensor([[[0.75, 0.0], [0.0, 0.25]]]))
    # a box shifted by half a pixel, bins of 1 x 1: each holds quarters of four pixels
    shifted = crop_masks(mask, torch.tensor([[0.5, 0.5, 2.5, 2.5]]), 2)
    # of the x at (row, column) (0,0), (1,0), (1,1) the bins see: all; (1,1); (1,0), (1,1); (1,1)
    torch.testing.assert_close(shifted, torch.tensor([[[0.75, 0.25], [0.5, 0.25]]]))


def test_the_target_of_a_box_that_is_the_object_is_all_ones():
    """A 10 x 10 object, its own box, 28 x 28 bins: every bin lies inside the object.

    torchvision's target for the same box has the mean 0.903, because it reads the mask half a pixel
    off (aligned=False) and zero beyond the object's rim.
    """
    mask = torch.zeros(1, 30, 30, dtype=torch.bool)
    mask[:, 10:20, 10:20] = True
    box = torch.tensor([[10.0, 10.0, 20.0, 20.0]])
    torch.testing.assert_close(crop_masks(mask, box, 28), torch.ones(1, 28, 28))
    rois = torch.tensor([[0.0, 10.0, 10.0, 20.0, 20.0]])
    theirs = ops.roi_align(mask[None].float(), rois, (28, 28), 1.0)
    assert theirs.mean().item() == pytest.approx(0.903, abs=5e-4)
    aligned = ops.roi_align(mask[None].float(), rois, (28, 28), 1.0, aligned=True)
    assert aligned.mean().item() == pytest.approx(0.955, abs=5e-4)


def test_outside_of_the_image_there_is_no_mask():
    mask = torch.ones(1, 4, 4, dtype=torch.bool)
    # from -4 to 4: three of the four quarters are outside
    crop = crop_masks(mask, torch.tensor([[-4.0, -4.0, 4.0, 4.0]]), 2)
    assert crop.tolist() == [[[0, 0], [0, 1]]]
    assert crop_masks(mask, torch.tensor([[4.0, 0.0, 8.0, 4.0]]), 2).sum() == 0
    assert crop_masks(mask, torch.tensor([[50.0, 60.0, 58.0, 64.0]]), 2).sum() == 0


@pytest.mark.parametrize("size", [1, 2, 5])
def test_crop_equals_its_slow_twin(size):
    masks, boxes = random_masks(12, 6, 9, seed=4), random_boxes(12, -3, 10, seed=5)
    slow = torch.stack([crop_by_loops(m, b, size) for m, b in zip(masks, boxes.tolist())])
    torch.testing.assert_close(crop_masks(masks, boxes, size), slow, atol=1e-5, rtol=1e-5)


@property_of
@given(st.integers(0, 500), st.integers(1, 6))
def test_a_crop_keeps_the_mask_area_inside_the_box(seed, size):
    masks, boxes = random_masks(3, 7, 8, seed), random_boxes(3, -2, 9, seed)
    crops = crop_masks(masks, boxes, size)
    assert crops.shape == (3, size, size) and crops.dtype == torch.float32
    assert bool(((crops >= 0) & (crops <= 1)).all())
    area = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1)
    one_bin = crop_masks(masks, boxes, 1).flatten()
    torch.testing.assert_close(crops.mean(dim=(1, 2)), one_bin, atol=1e-5, rtol=1e-5)
    assert bool((one_bin * area <= masks.sum(dim=(1, 2)) + 1e-3).all())


def test_boxes_may_share_masks():
    masks, boxes = random_masks(2, 6, 6), random_boxes(4, 0, 6)
    index = torch.tensor([1, 0, 1, 1])
    shared = crop_masks(masks, boxes, 3, index=index)
    torch.testing.assert_close(shared, crop_masks(masks[index], boxes, 3))


def test_soft_masks_are_averaged():
    mask = torch.tensor([[[0.2, 0.4], [0.6, 0.8]]])
    crop = crop_masks(mask, torch.tensor([[0.0, 0.0, 2.0, 2.0]]), 1)
    torch.testing.assert_close(crop, torch.tensor([[[0.5]]]))


def test_crop_of_nothing():
    masks = random_masks(2, 6, 6)
    assert crop_masks(masks[:0], NO_BOXES, 3).shape == (0, 3, 3)
    no_index = torch.zeros(0, dtype=torch.int64)
    assert crop_masks(masks, NO_BOXES, 3, index=no_index).shape == (0, 3, 3)
    assert crop_masks(masks[:0], NO_BOXES, 3, index=no_index).shape == (0, 3, 3)
    flat = torch.tensor([[1.0, 1.0, 1.0, 5.0], [5.0, 5.0, 2.0, 2.0]])  # no width; inside out
    assert crop_masks(masks, flat, 3).tolist() == torch.zeros(2, 3, 3).tolist()


def test_crop_errors():
    masks, box = random_masks(2, 6, 6), torch.tensor([[0.0, 0.0, 3.0, 3.0]])
    with pytest.raises(ValueError, match="2 masks for 1 boxes.*index"):
        crop_masks(masks, box, 3)
    with pytest.raises(ValueError, match="masks must have the shape"):
        crop_masks(masks[0], box, 3)
    with pytest.raises(ValueError, match="not finite"):
        crop_masks(masks[:1], box * float("nan"), 3)


# ------------------------------------------------------------------------- pasting


def test_paste_by_hand():
    # 2 x 2 bins over 4 columns and 2 rows: a row's pixel centers 0.5 .. 3.5 lie at -0.25, 0.25,
    # 0.75, 1.25 bins from the first center; held at the rim that is 0, 1/4, 3/4, 1 of the way
    crop = torch.tensor([[[0.0, 1.0], [1.0, 1.0]]])
    pasted = paste_masks(crop, torch.tensor([[1.0, 0.0, 5.0, 2.0]]), (3, 6))
    expected = torch.zeros(1, 3, 6)
    expected[0, 0, 1:5] = torch.tensor([0.0, 0.25, 0.75, 1.0])
    expected[0, 1, 1:5] = 1
    torch.testing.assert_close(pasted, expected)


def test_a_pixel_counts_as_much_as_the_box_covers_it():
    # from 0.25 to 2.5: three quarters, a whole, a half
    pasted = paste_masks(torch.ones(1, 4, 4), torch.tensor([[0.25, 0.0, 2.5, 1.0]]), (1, 4))
    torch.testing.assert_close(pasted, torch.tensor([[[0.75, 1.0, 0.5, 0.0]]]))


def test_paste_weights_by_hand():
    # the two rows of the example above: each pixel's share of bin 0 and of bin 1
    weights = paste_weights(torch.tensor([1.0]), torch.tensor([5.0]), 2, 6)
    expected = [[0, 0], [1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1], [0, 0]]
    torch.testing.assert_close(weights, torch.tensor([expected]))
    assert paste_weights(torch.zeros(0), torch.zeros(0), 2, 6).shape == (0, 6, 2)


whole = st.integers(-6, 14)


@property_of
@given(whole, whole, st.integers(1, 12), st.integers(1, 12), st.integers(1, 9))
def test_ones_in_a_whole_pixel_box_fill_it_exactly(x, y, wide, high, size):
    box = torch.tensor([[x, y, x + wide, y + high]], dtype=torch.float32)
    pasted = paste_masks(torch.ones(1, size, size), box, (10, 12))
    expected = torch.zeros(1, 10, 12)
    expected[0, max(y, 0) : max(y + high, 0), max(x, 0) : max(x + wide, 0)] = 1
    torch.testing.assert_close(pasted, expected)
    assert torch.equal(pasted >= 0.5, expected.bool())


@property_of
@given(st.integers(0, 8), st.integers(0, 8), st.integers(1, 8), st.integers(0, 99))
def test_one_bin_a_pixel_goes_out_and_comes_back(x, y, size, seed):
    """Cut and paste are inverses where a bin is a pixel."""
    mask = torch.zeros(1, 16, 16, dtype=torch.bool)
    mask[:, y : y + size, x : x + size] = random_masks(1, size, size, seed)
    box = torch.tensor([[x, y, x + size, y + size]], dtype=torch.float32)
    crop = crop_masks(mask, box, size)
    torch.testing.assert_close(paste_masks(crop, box, (16, 16)), mask.float())
    soft = torch.rand(1, size, size)
    pasted = paste_masks(soft, box, (16, 16))
    torch.testing.assert_close(pasted[:, y : y + size, x : x + size], soft)


@pytest.mark.parametrize("size", [1, 3, 7])
def test_paste_equals_its_slow_twin(size):
    crops = torch.rand(10, size, size, generator=torch.Generator().manual_seed(6))
    boxes = random_boxes(10, -4, 14, seed=7)
    slow = torch.stack(
        [paste_by_loops(c, b, 9, 11) for c, b in zip(crops.tolist(), boxes.tolist())]
    )
    torch.testing.assert_close(paste_masks(crops, boxes, (9, 11)), slow, atol=1e-5, rtol=1e-5)


@property_of
@given(st.integers(0, 999), st.integers(1, 5))
def test_pasted_values_are_shares(seed, size):
    crops = torch.rand(4, size, size, generator=torch.Generator().manual_seed(seed))
    boxes = random_boxes(4, -5, 15, seed)
    pasted = paste_masks(crops, boxes, (8, 9))
    assert pasted.shape == (4, 8, 9)
    assert bool(((pasted >= 0) & (pasted <= 1)).all())
    # never more than the crop's largest value, and nothing outside of the box
    assert bool((pasted.amax(dim=(1, 2)) <= crops.amax(dim=(1, 2)) + 1e-6).all())
    inside = paste_masks(torch.ones_like(crops), boxes, (8, 9)) > 0
    assert bool((pasted[~inside] == 0).all())


def test_paste_of_nothing():
    assert paste_masks(torch.zeros(0, 28, 28), NO_BOXES, (5, 6)).shape == (0, 5, 6)
    # no width; inside out; wholly outside
    flat = torch.tensor([[1.0, 1.0, 1.0, 5.0], [4.0, 4.0, 2.0, 2.0], [9.0, 9.0, 12.0, 12.0]])
    assert paste_masks(torch.ones(3, 2, 2), flat, (5, 6)).sum() == 0


def test_boxes_of_another_dtype_are_pasted_too():
    box = torch.tensor([[1, 1, 3, 4]])
    pasted = paste_masks(torch.ones(1, 2, 2), box.double(), (5, 5))
    assert torch.equal(pasted, paste_masks(torch.ones(1, 2, 2), box, (5, 5)))
    assert pasted.sum() == 6 and pasted.dtype == torch.float32


def test_paste_gradients():
    crops = torch.rand(2, 3, 3, dtype=torch.float64, requires_grad=True)
    boxes = torch.tensor(
        [[0.3, 1.2, 4.6, 3.7], [-1.4, 0.2, 2.3, 6.1]], dtype=torch.float64, requires_grad=True
    )
    assert gradcheck(lambda c, b: paste_masks(c, b, (5, 6)), (crops, boxes))


def test_paste_errors():
    box = torch.tensor([[0.0, 0.0, 3.0, 3.0]])
    with pytest.raises(ValueError, match="2 crops for 1 boxes: one each"):
        paste_masks(torch.ones(2, 4, 4), box, (5, 5))
    with pytest.raises(ValueError, match=r"crops must have the shape \(R, M, M\), got \(4, 4\)"):
        paste_masks(torch.ones(4, 4), box, (5, 5))
    with pytest.raises(ValueError, match="not finite"):
        paste_masks(torch.ones(1, 4, 4), box / 0, (5, 5))


# ------------------------------------------------------------------------- torchvision's way


def test_torchvision_widens_an_object_by_a_pixel_on_each_side():
    """10 x 10 ones, pasted in their own box, cover 12 x 12 pixels after the threshold."""
    crops, box = torch.ones(1, 28, 28), torch.tensor([[10.0, 10.0, 20.0, 20.0]])
    assert int((paste_masks(crops, box, (30, 30)) >= 0.5).sum()) == 100
    # half a side of 5 grows by 30 / 28 to 5.357: from 9.64 to 20.36, cut to 9 and 20, 20 inclusive
    wider, boxes = widen_as_torchvision(crops, box)
    assert wider.shape == (1, 30, 30) and boxes.tolist() == [[9, 9, 21, 21]]
    assert int((paste_masks(wider, boxes, (30, 30)) >= 0.5).sum()) == 144


@pytest.mark.parametrize("seed", range(4))
def test_widened_pasting_equals_torchvision(seed):
    crops = torch.rand(40, 28, 28, generator=torch.Generator().manual_seed(seed))
    # centers inside, so that each box shows some of itself; many reach out of the image
    boxes = random_boxes(40, -12, 45, seed)
    center = (boxes[:, :2] + boxes[:, 2:]) / 2
    boxes = boxes[((center > 0) & (center < torch.tensor([40.0, 33.0]))).all(dim=1)]
    assert len(boxes) > 15 and bool((boxes[:, :2] < 0).any()) and bool((boxes[:, 3] > 33).any())
    crops = crops[: len(boxes)]
    theirs = paste_masks_in_image(crops[:, None], boxes, (33, 40))[:, 0]
    ours = paste_masks(*widen_as_torchvision(crops, boxes), (33, 40))
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_widening_nothing():
    crops, boxes = widen_as_torchvision(torch.zeros(0, 28, 28), NO_BOXES)
    assert crops.shape == (0, 30, 30) and boxes.shape == (0, 4)


# ---- cells of a map -----------------------------------------------------------------------------


def test_cell_shares_by_hand():
    """4 x 4 pixels, cells of 2 x 2; the mask covers the left column and one pixel more."""
    mask = torch.zeros(1, 4, 4, dtype=torch.bool)
    mask[0, :, 0] = mask[0, 0, 1] = True
    shares, inside = cell_shares(mask, (2, 2), (2, 2))
    assert shares.tolist() == [[[0.75, 0], [0.5, 0]]]
    assert inside.tolist() == [[1, 1], [1, 1]]


def test_cell_shares_of_cells_that_are_not_whole_pixels_and_reach_out():
    """3 pixels, cells of 2: the second holds pixel 2 and nothing. Cells of 1.5: half a pixel."""
    row = torch.tensor([[[True, False, True]]])
    shares, inside = cell_shares(row, (1, 2), (1, 2))
    assert shares.tolist() == [[[0.5, 0.5]]] and inside.tolist() == [[1, 0.5]]
    shares, _ = cell_shares(row, (1, 2), (1, 1.5))
    torch.testing.assert_close(shares, torch.tensor([[[2 / 3, 2 / 3]]]))  # 1 of 1.5, 1 of 1.5


@pytest.mark.parametrize("size, cells, cell", [((7, 9), (4, 5), (2, 2)), ((8, 8), (3, 2), (3, 5)),
                                               ((5, 6), (4, 4), (1.3, 1.7))])
def test_cell_shares_equal_a_loop(size, cells, cell):
    masks = torch.rand(2, *size, generator=torch.Generator().manual_seed(0)) < 0.5
    shares, inside = cell_shares(masks, cells, cell)

    def common(pixel, index, side):
        return max(0.0, min(pixel + 1, (index + 1) * side) - max(pixel, index * side)) / side

    for i in range(cells[0]):
        for j in range(cells[1]):
            part = torch.tensor([[common(y, i, cell[0]) * common(x, j, cell[1])
                                  for x in range(size[1])] for y in range(size[0])])
            torch.testing.assert_close(inside[i, j], part.sum())
            torch.testing.assert_close(shares[:, i, j], (part * masks).sum(dim=(1, 2)))


def test_cell_shares_without_a_mask():
    shares, inside = cell_shares(torch.zeros(0, 4, 6, dtype=torch.bool), (2, 3), (2, 2))
    assert shares.shape == (0, 2, 3) and inside.tolist() == [[1, 1, 1]] * 2
