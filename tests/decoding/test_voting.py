"""Mask voting: by hand, against a slow twin, each setting's difference, and with nothing found."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from teachseg.decoding import voting
from teachseg.decoding.voting import (
    average_masks,
    average_tiles,
    best_of_all,
    cast_votes,
    image_tiles,
    keep_by_class,
    mask_voting,
    similar_boxes,
    vote_weights,
    voted_masks,
)
from teachseg.geometry.masks import paste_masks
from teachseg.geometry.nms import nms

property_of = settings(deadline=None, max_examples=40)
SIZE = (30, 40)


def one_class(*scores):
    """Scores of class 1, one a box -> (N, 2), background first."""
    return torch.tensor([[1 - score, score] for score in scores])


def random_instances(seed, count=14, num_classes=3, size=SIZE, crop=5):
    """Boxes around a few places, so that many overlap; some reach out of the image.

    Corners on quarters of a pixel, where float32 computes an IoU that is a sum of powers of 2
    exactly and none comes near it by rounding; no two scores equal.
    """
    random = torch.Generator().manual_seed(seed)
    height, width = size
    places = torch.rand(4, 4, generator=random) * torch.tensor([width, height, 14.0, 12.0])
    place = places[torch.randint(4, (count,), generator=random)]
    place = place + torch.randn(count, 4, generator=random)
    center, sides = place[:, :2], place[:, 2:].clamp(min=0.5) + 2
    boxes = (torch.cat([center - sides / 2, center + sides / 2], dim=1) * 4).round() / 4
    crops = torch.rand(count, crop, crop, generator=random)
    ranks = torch.randperm(count * (num_classes + 1), generator=random) + 1
    scores = (ranks / (len(ranks) + 1)) ** 2  # most of them small
    return boxes, crops, scores.view(count, num_classes + 1)


def same(found, expected):
    """Two Detections alike; scores up to rounding."""
    assert found.labels.tolist() == expected.labels.tolist()
    assert torch.equal(found.masks, expected.masks) and torch.equal(found.boxes, expected.boxes)
    torch.testing.assert_close(found.scores, expected.scores)


def rows_of(mask):
    """A mask as strings, for the eye."""
    return ["".join(".#"[int(pixel)] for pixel in row) for row in mask]


# ----------------------------------------------------------------- by hand, on a 4 x 4 image

TWICE = torch.tensor([[1.0, 1.0, 3.0, 3.0], [1.0, 1.0, 3.0, 3.0]])  # one box, twice
CROPS = torch.tensor([[[1.0, 0.0], [0.3, 0.8]], [[1.0, 1.0], [0.9, 0.0]]])  # one bin a pixel
SCORES = one_class(0.6, 0.2)  # weights 0.6 / 0.8 = 0.75 and 0.2 / 0.8 = 0.25


def test_the_average_by_hand():
    votes = cast_votes(TWICE, SCORES)
    assert votes.kept.tolist() == [0] and votes.labels.tolist() == [1]
    torch.testing.assert_close(votes.scores, torch.tensor([0.6]))
    torch.testing.assert_close(votes.weights, torch.tensor([[0.75, 0.25]]))
    # 0.75 * 1   + 0.25 * 1   = 1       0.75 * 0   + 0.25 * 1 = 0.25
    # 0.75 * 0.3 + 0.25 * 0.9 = 0.45    0.75 * 0.8 + 0.25 * 0 = 0.6
    expected = torch.zeros(1, 4, 4)
    expected[0, 1:3, 1:3] = torch.tensor([[1.0, 0.25], [0.45, 0.6]])
    torch.testing.assert_close(average_masks(TWICE, CROPS, votes.weights, (4, 4)), expected)


@pytest.mark.parametrize(
    "binarize, mask, box",
    [
        (0.2, ["....", ".##.", ".##.", "...."], [1, 1, 3, 3]),
        (0.4, ["....", ".#..", ".##.", "...."], [1, 1, 3, 3]),  # 0.45 is in
        (0.5, ["....", ".#..", "..#.", "...."], [1, 1, 3, 3]),  # 0.45 is out
        (0.7, ["....", ".#..", "....", "...."], [1, 1, 2, 2]),  # the box is the mask's
    ],
)
def test_the_threshold_by_hand(binarize, mask, box):
    found = mask_voting(TWICE, CROPS, SCORES, (4, 4), binarize=binarize)
    assert rows_of(found.masks[0]) == mask
    assert found.boxes.tolist() == [box]
    torch.testing.assert_close(found.scores, torch.tensor([0.6]))  # its own, not an average


def test_the_released_threshold_is_the_default():
    same(mask_voting(TWICE, CROPS, SCORES, (4, 4)),
         mask_voting(TWICE, CROPS, SCORES, (4, 4), 0.3, 0.5, 0.4, 100))  # fmt: skip


def test_an_average_of_exactly_the_threshold_is_object():
    crops = torch.tensor([[[1.0]], [[0.0]]])  # weights 1/2 and 1/2
    found = mask_voting(TWICE, crops, one_class(0.5, 0.5), (4, 4), binarize=0.5)
    assert found.masks.sum() == 4
    assert len(mask_voting(TWICE, crops, one_class(0.5, 0.5), (4, 4), binarize=0.51).boxes) == 0


def test_binary_votes_differ_from_probabilities():
    # each mask cut at 0.4 before: [[1, 0], [0, 1]] and [[1, 1], [1, 0]], so that the mean is
    # [[1, 0.25], [0.25, 0.75]]: the pixel of 0.45 above is out
    weights = cast_votes(TWICE, SCORES).weights
    mean = average_masks(TWICE, CROPS, weights, (4, 4), average="binary", binarize=0.4)
    torch.testing.assert_close(mean[0, 1:3, 1:3], torch.tensor([[1.0, 0.25], [0.25, 0.75]]))
    found = mask_voting(TWICE, CROPS, SCORES, (4, 4), average="binary")
    assert rows_of(found.masks[0]) == ["....", ".#..", "..#.", "...."]


def test_a_binary_vote_of_exactly_the_threshold_counts():
    weights = torch.tensor([[1.0]])
    mean = average_masks(TWICE[:1], torch.full((1, 2, 2), 0.5), weights, (4, 4), "binary", 0.5)
    assert mean.sum() == 4


def test_an_overlap_of_exactly_merge_iou_votes():
    boxes = torch.tensor([[0.0, 0.0, 4.0, 4.0], [0.0, 0.0, 4.0, 2.0]])  # IoU 8 / 16
    scores = one_class(0.25, 0.75)  # the small one stays; the large one's vote is 1/4
    crops = torch.ones(2, 3, 3)
    found = mask_voting(boxes, crops, scores, (4, 4), merge_iou=0.5, binarize=0.2)
    assert found.boxes.tolist() == [[0, 0, 4, 4]]  # the vote reaches beyond the kept box
    found = mask_voting(boxes, crops, scores, (4, 4), merge_iou=0.51, binarize=0.2)
    assert found.boxes.tolist() == [[0, 0, 4, 2]]


def test_suppressed_voters_are_all_voters_but_those_that_stay():
    boxes = torch.tensor([[0.0, 0.0, 4.0, 4.0], [0.0, 0.0, 4.0, 2.0], [0.0, 0.0, 4.0, 3.0]])
    scores = one_class(0.5, 0.25, 0.125)
    # IoU: 1/2 of 0 and 1, 3/4 of 0 and 2, 2/3 of 1 and 2. At NMS 0.6, 0 and 1 stay and 2 does not.
    everyone = cast_votes(boxes, scores, nms_iou=0.6, similar="all")
    assert everyone.kept.tolist() == [0, 1]
    assert (everyone.weights > 0).tolist() == [[True, True, True], [True, True, True]]
    # 0.5 / 0.625 and 0.125 / 0.625; 0.25 / 0.375 and 0.125 / 0.375
    suppressed = cast_votes(boxes, scores, nms_iou=0.6, similar="suppressed")
    expected = torch.tensor([[0.8, 0.0, 0.2], [0.0, 2 / 3, 1 / 3]])
    torch.testing.assert_close(suppressed.weights, expected)
    crops = torch.ones(3, 2, 2)
    # box 1's mask: all three say yes above; below row 3 only box 0, which has 0.5 / 0.875 of "all"
    found = mask_voting(boxes, crops, scores, (4, 4), nms_iou=0.6)
    assert found.boxes.tolist() == [[0, 0, 4, 4], [0, 0, 4, 4]]
    found = mask_voting(boxes, crops, scores, (4, 4), nms_iou=0.6, similar="suppressed")
    assert found.boxes.tolist() == [[0, 0, 4, 4], [0, 0, 4, 2]]


@property_of
@given(st.integers(0, 10_000))
def test_suppressed_and_all_agree_where_suppression_is_stricter_than_merging(seed):
    boxes, _, scores = random_instances(seed)
    weights = [cast_votes(boxes, scores, similar=s).weights for s in ("all", "suppressed")]
    assert torch.equal(*weights)


def test_boxes_of_another_class_vote_too():
    scores = torch.tensor([[0.125, 0.75, 0.125], [0.125, 0.25, 0.625]])
    votes = cast_votes(TWICE, scores)
    # of class 1 box 0 stays, of class 2 box 1; each is both boxes' matter
    assert votes.kept.tolist() == [0, 1] and votes.labels.tolist() == [1, 2]
    # class 1: 0.75 and 0.25 of 1; class 2: 0.125 and 0.625 of 0.75
    expected = torch.tensor([[0.75, 0.25], [1 / 6, 5 / 6]])
    torch.testing.assert_close(votes.weights, expected)


def test_suppression_is_within_a_class():
    # the first is best of class 1, the second of class 2; what they overlap by is 0.5
    boxes = torch.tensor([[0.0, 0.0, 4.0, 4.0], [0.0, 0.0, 4.0, 2.0], [9.0, 9.0, 9.0, 12.0]])
    scores = torch.tensor([[0.2, 0.6, 0.2], [0.1, 0.5, 0.4], [0.0, 0.0, 1.0]])
    kept = keep_by_class(boxes, scores)
    # background keeps nothing; the third has no area
    assert kept.tolist() == [[False, True, False], [False, False, True], [False, False, False]]


def test_the_best_of_all_classes():
    kept = torch.tensor([[False, True, True], [False, True, False], [False, False, True]])
    scores = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.6, 0.3], [0.7, 0.1, 0.2]])
    rows, labels = best_of_all(kept, scores)
    # 0.6, 0.3, then twice 0.2: the earlier box first
    assert rows.tolist() == [1, 0, 0, 2] and labels.tolist() == [1, 1, 2, 2]
    rows, labels = best_of_all(kept, scores, max_detections=3)  # a tie at the bar: not both
    assert rows.tolist() == [1, 0, 0] and labels.tolist() == [1, 1, 2]
    rows, labels = best_of_all(kept, scores, min_score=0.2)  # at most this much is dropped
    assert rows.tolist() == [1, 0] and labels.tolist() == [1, 1]


def test_a_kept_box_always_votes_for_itself():
    boxes = torch.tensor([[0.0, 0.0, 4.0, 4.0], [0.0, 0.0, 4.0, 2.0]])
    kept = torch.tensor([[False, True], [False, True]])
    rows, labels = torch.tensor([1, 0]), torch.tensor([1, 1])
    for how in ("all", "suppressed"):
        found = similar_boxes(boxes, rows, labels, kept, merge_iou=1.0, similar=how)
        assert found.tolist() == [[False, True], [True, False]]


def test_weights_of_no_voter_are_zero_not_nan():
    similar = torch.tensor([[True, True], [False, False]])
    weights = vote_weights(similar, one_class(0.0, 0.0), torch.tensor([1, 1]))
    assert weights.tolist() == [[0.0, 0.0], [0.0, 0.0]]


# ----------------------------------------------------------------- against a slow twin


def iou_by_hand(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    common = max(width, 0.0) * max(height, 0.0)
    area_a, area_b = (a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1])
    return common / (area_a + area_b - common)


def vote_by_loops(boxes, crops, scores, size, nms_iou, merge_iou, binarize, most, similar, average):
    """The released order: each class alone, cut to `most`; one bar for all; then mask by mask.

    Returns (score, label, averages (H, W) float64) a detection, best first.
    """
    pasted = [paste_masks(c[None], b[None], size)[0].double() for c, b in zip(crops, boxes)]
    if average == "binary":
        pasted = [(mask >= binarize).double() for mask in pasted]
    stay = []
    for label in range(1, scores.shape[1]):
        best = nms(boxes, scores[:, label], nms_iou).tolist()
        stay += [(scores[n, label].item(), label, n, best) for n in best[:most]]
    stay.sort(key=lambda one: -one[0])
    found = []
    for score, label, n, best in stay[:most]:
        total, mean = 0.0, torch.zeros(size, dtype=torch.float64)
        for other in range(len(boxes)):
            near = iou_by_hand(boxes[n].tolist(), boxes[other].tolist()) >= merge_iou
            if other == n or (near and (similar == "all" or other not in best)):
                total += scores[other, label].item()
                mean += scores[other, label].item() * pasted[other]
        mean /= total
        if (mean >= binarize).any():
            found.append((score, label, mean))
    return found


@pytest.mark.parametrize("average", ["probabilities", "binary"])
@pytest.mark.parametrize("similar", ["all", "suppressed"])
@property_of
@given(st.integers(0, 10_000), st.sampled_from([0.3125, 0.625]), st.sampled_from([3, 100]))
def test_equals_its_slow_twin(similar, average, seed, nms_iou, most):
    boxes, crops, scores = random_instances(seed)
    how = (nms_iou, 0.5, 0.4, most)
    found = mask_voting(boxes, crops, scores, SIZE, *how, similar=similar, average=average)
    slow = vote_by_loops(boxes, crops, scores, SIZE, *how, similar, average)
    assert found.labels.tolist() == [label for _, label, _ in slow]
    torch.testing.assert_close(found.scores, torch.tensor([score for score, _, _ in slow]))
    near = ((paste_masks(crops, boxes, SIZE) - 0.4).abs() < 1e-5).any(dim=0)  # a vote may flip
    for mask, box, (_, _, mean) in zip(found.masks, found.boxes.tolist(), slow):
        sure = ((mean - 0.4).abs() > 1e-5) & ~near  # on the threshold, rounding decides
        assert torch.equal(mask[sure], (mean >= 0.4)[sure])
        ys, xs = mask.nonzero(as_tuple=True)
        assert box == [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]


def test_the_twin_meets_every_case():
    """The seeds above are not all easy: many votes, drops by the bar, votes of other classes."""
    voters, cut = [], 0
    for seed in range(20):
        boxes, _, scores = random_instances(seed)
        voters += (cast_votes(boxes, scores).weights > 0).sum(dim=1).tolist()
        cut += int(keep_by_class(boxes, scores).sum()) > 3
    assert min(voters) == 1 and max(voters) >= 4 and cut == 20


# ----------------------------------------------------------------- properties


@property_of
@given(st.integers(0, 10_000))
def test_votes_are_shares(seed):
    boxes, _, scores = random_instances(seed)
    votes = cast_votes(boxes, scores)
    assert (votes.weights >= 0).all()
    torch.testing.assert_close(votes.weights.sum(dim=1), torch.ones(len(votes.kept)))
    own = votes.weights[torch.arange(len(votes.kept)), votes.kept]
    assert (own > 0).all()
    assert (votes.scores.diff() <= 0).all()
    assert votes.weights.dtype == votes.scores.dtype == torch.float32


@property_of
@given(st.integers(0, 10_000))
def test_the_order_of_the_instances_does_not_matter(seed):
    boxes, crops, scores = random_instances(seed)
    order = torch.randperm(len(boxes), generator=torch.Generator().manual_seed(seed))
    found, mixed = cast_votes(boxes, scores), cast_votes(boxes[order], scores[order])
    assert order[mixed.kept].tolist() == found.kept.tolist()
    assert mixed.labels.tolist() == found.labels.tolist()
    torch.testing.assert_close(mixed.weights, found.weights[:, order])
    torch.testing.assert_close(
        average_masks(boxes[order], crops[order], mixed.weights, SIZE),
        average_masks(boxes, crops, found.weights, SIZE), atol=1e-5, rtol=0,
    )  # fmt: skip


@property_of
@given(st.integers(0, 10_000), st.sampled_from([2, 6, 100]))
def test_min_score_leaves_the_others_as_they_are(seed, most):
    boxes, crops, scores = random_instances(seed)
    found = mask_voting(boxes, crops, scores, SIZE, max_detections=most)
    quick = mask_voting(boxes, crops, scores, SIZE, max_detections=most, min_score=0.25)
    count = int((found.scores > 0.25).sum())
    assert len(quick.scores) == count
    same(quick, type(found)(*(part[:count] for part in found)))


@pytest.mark.parametrize("side", [1, 7, 16, 1000])
def test_averaging_tile_by_tile_changes_nothing(monkeypatch, side):
    boxes, crops, scores = random_instances(3)
    votes = cast_votes(boxes, scores)
    masks = paste_masks(crops, boxes, SIZE)
    expected = torch.einsum("dn,nhw->dhw", votes.weights, masks)
    monkeypatch.setattr(voting, "TILE", side)
    found = average_masks(boxes, crops, votes.weights, SIZE)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    cut = voted_masks(boxes, crops, votes.weights, SIZE, binarize=0.4)
    assert torch.equal(cut, found >= 0.4)
    assert expected.max() > 0.4


def test_tiles_cover_each_pixel_once():
    count = torch.zeros(5, 7)
    for top, left, bottom, right in image_tiles((5, 7), 3):
        assert bottom - top <= 3 and right - left <= 3
        count[top:bottom, left:right] += 1
    assert (count == 1).all()


def test_only_voters_are_pasted_and_only_where_they_are(monkeypatch):
    boxes = torch.tensor([[0.0, 0.0, 8.0, 8.0], [0.0, 0.0, 8.0, 7.0], [30.0, 20.0, 38.0, 28.0]])
    weights = torch.tensor([[0.5, 0.5, 0.0], [0.25, 0.75, 0.0]])  # the third has no vote
    asked = []

    def spy(crops, boxes, image_size):
        asked.append((len(boxes), tuple(image_size)))
        return paste_masks(crops, boxes, image_size)

    monkeypatch.setattr(voting, "paste_masks", spy)
    monkeypatch.setattr(voting, "TILE", 10)
    parts = list(average_tiles(boxes, torch.ones(3, 2, 2), weights, SIZE))
    assert asked == [(2, (10, 10))]  # one tile of twelve; both boxes once, for two detections
    (((rows, ys, xs), part),) = parts
    assert rows.tolist() == [0, 1] and (ys, xs) == (slice(0, 10), slice(0, 10))
    assert part.shape == (2, 10, 10)


def test_arguments_stay_as_they_were():
    given_in = random_instances(1)
    copies = [part.clone() for part in given_in]
    mask_voting(*given_in, SIZE)
    assert all(torch.equal(one, other) for one, other in zip(given_in, copies))


def test_half_precision_comes_out_in_full():
    boxes, crops, scores = random_instances(1)
    found = mask_voting(boxes, crops.bfloat16(), scores.bfloat16(), SIZE)
    expected = mask_voting(boxes, crops.bfloat16().float(), scores.bfloat16().float(), SIZE)
    assert found.scores.dtype == found.boxes.dtype == torch.float32
    same(found, expected)


# ----------------------------------------------------------------- nothing there


def nothing(found, size=SIZE):
    """No detection, and every field its shape and type."""
    assert found.boxes.shape == (0, 4) and found.boxes.dtype == torch.float32
    assert found.labels.shape == (0,) and found.labels.dtype == torch.int64
    assert found.scores.shape == (0,) and found.scores.dtype == torch.float32
    assert found.masks.shape == (0, *size) and found.masks.dtype == torch.bool


@pytest.mark.parametrize("num_classes", [1, 5])
@pytest.mark.parametrize("similar", ["all", "suppressed"])
@pytest.mark.parametrize("average", ["probabilities", "binary"])
def test_no_instance(num_classes, similar, average):
    empty = torch.zeros(0, 4), torch.zeros(0, 7, 7), torch.zeros(0, num_classes + 1)
    nothing(mask_voting(*empty, SIZE, similar=similar, average=average))
    votes = cast_votes(empty[0], empty[2])
    assert votes.weights.shape == (0, 0) and votes.kept.dtype == torch.int64


def test_all_scores_zero():
    boxes, crops, scores = random_instances(0)
    nothing(mask_voting(boxes, crops, torch.zeros_like(scores), SIZE))
    only_background = torch.zeros_like(scores)
    only_background[:, 0] = 1
    nothing(mask_voting(boxes, crops, only_background, SIZE))


def test_masks_empty_everywhere_make_no_instance():
    boxes, crops, scores = random_instances(0)
    # the released code would put a pixel in the middle of the image
    nothing(mask_voting(boxes, torch.zeros_like(crops), scores, SIZE))
    nothing(mask_voting(boxes, torch.full_like(crops, 0.39), scores, SIZE))


def test_an_empty_average_is_dropped_and_the_others_stay():
    boxes = torch.tensor([[0.0, 0.0, 4.0, 4.0], [10.0, 10.0, 14.0, 14.0], [20.0, 0.0, 24.0, 4.0]])
    crops = torch.ones(3, 2, 2)
    crops[1] = 0
    found = mask_voting(boxes, crops, one_class(0.5, 0.9, 0.7), SIZE)
    assert found.boxes.tolist() == [[20, 0, 24, 4], [0, 0, 4, 4]]
    torch.testing.assert_close(found.scores, torch.tensor([0.7, 0.5]))


@pytest.mark.parametrize(
    "box",
    [
        [5.0, 5.0, 5.0, 9.0],  # a line
        [5.0, 5.0, 5.0, 5.0],  # a point
        [9.0, 9.0, 5.0, 5.0],  # turned inside out
        [-9.0, -9.0, -1.0, -1.0],  # outside of the image
        [40.0, 30.0, 50.0, 50.0],  # beside its far corner
    ],
)
def test_boxes_that_show_nothing(box):
    crops, scores = torch.ones(1, 3, 3), one_class(0.9)
    nothing(mask_voting(torch.tensor([box]), crops, scores, SIZE))
    nothing(mask_voting(torch.tensor([box]), crops, scores, SIZE, merge_iou=0.0))
    # beside a good one they change nothing, nor take its place
    boxes = torch.tensor([box, [2.0, 3.0, 12.0, 13.0]])
    two = mask_voting(boxes, torch.ones(2, 3, 3), one_class(0.9, 0.8), SIZE)
    assert two.boxes.tolist() == [[2, 3, 12, 13]]


def test_boxes_without_area_take_no_place_among_the_best():
    boxes = torch.tensor([[5.0, 5.0, 5.0, 9.0], [2.0, 3.0, 12.0, 13.0]])
    found = mask_voting(boxes, torch.ones(2, 3, 3), one_class(0.9, 0.8), SIZE, max_detections=1)
    assert found.boxes.tolist() == [[2, 3, 12, 13]]


def test_a_box_that_reaches_out_is_cut_off():
    box = torch.tensor([[-4.0, 20.0, 6.0, 44.0]])
    found = mask_voting(box, torch.ones(1, 3, 3), one_class(0.5), SIZE)
    assert found.boxes.tolist() == [[0, 20, 6, 30]]


def test_an_image_of_one_pixel():
    box = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
    found = mask_voting(box, torch.ones(1, 1, 1), one_class(0.5), (1, 1))
    assert found.masks.tolist() == [[[True]]]


def test_no_overlap_asked_for_lets_everyone_vote():
    boxes = torch.tensor([[0.0, 0.0, 2.0, 2.0], [8.0, 8.0, 10.0, 10.0]])
    votes = cast_votes(boxes, one_class(0.75, 0.25), merge_iou=0.0)
    torch.testing.assert_close(votes.weights, torch.tensor([[0.75, 0.25], [0.75, 0.25]]))


# ----------------------------------------------------------------- at the door


@pytest.mark.parametrize(
    "change, words",
    [
        ({"boxes": torch.zeros(4)}, r"boxes must have the shape \(N, 4\)"),
        ({"boxes": torch.full((2, 4), math.nan)}, "is not finite"),
        ({"crops": torch.zeros(2, 1, 5, 5)}, r"crops must have the shape \(N, M, M\)"),
        ({"crops": torch.zeros(2, 5, 4)}, "square, got"),
        ({"crops": torch.zeros(2, 0, 0)}, "square, got"),
        ({"crops": torch.zeros(3, 5, 5)}, "There are 3 crops and 2 columns of weights for 2 boxes"),
        ({"crops": torch.full((2, 5, 5), -1.0)}, r"mask_logits\.sigmoid\(\)"),
        ({"crops": torch.full((2, 5, 5), math.nan)}, "from nan to nan"),
        ({"scores": torch.zeros(2)}, r"scores must have the shape \(N, K\+1\)"),
        ({"scores": torch.zeros(3, 2)}, "There are 3 rows of scores for 2 boxes"),
        ({"scores": torch.zeros(2, 1)}, "at least one object class"),
        ({"scores": torch.full((2, 3), 1.5)}, r"class_logits\.softmax\(dim=1\)"),
        ({"scores": torch.full((2, 3), math.nan)}, "scores must be in .* from nan to nan"),
        ({"image_size": (30, 40, 3)}, r"must be \(height, width\)"),
        ({"image_size": 30}, r"must be \(height, width\)"),
        ({"image_size": (0, 40)}, r"must be \(height, width\)"),
        ({"image_size": (30.5, 40)}, "in whole pixels"),
        ({"nms_iou": 1.5}, r"nms_iou must be in \[0, 1\], got 1.5"),
        ({"merge_iou": -0.1}, "merge_iou must be in"),
        ({"binarize": 0.0}, r"binarize must be in \(0, 1\], got 0.0"),
        ({"binarize": math.nan}, "binarize must be in"),
        ({"max_detections": 0}, "max_detections must be at least 1, got 0"),
        ({"min_score": 2.0}, "min_score must be in"),
        ({"similar": "near"}, "similar must be 'all' or 'suppressed', got 'near'"),
        ({"average": "mean"}, "average must be 'probabilities' or 'binary', got 'mean'"),
    ],
)
def test_what_does_not_fit_is_said(change, words):
    fits = {
        "boxes": torch.tensor([[0.0, 0.0, 4.0, 4.0], [0.0, 0.0, 4.0, 2.0]]),
        "crops": torch.ones(2, 5, 5),
        "scores": torch.tensor([[0.2, 0.5, 0.3], [0.1, 0.1, 0.8]]),
        "image_size": SIZE,
    }
    assert len(mask_voting(**fits).boxes) == 2
    with pytest.raises(ValueError, match=words):
        mask_voting(**{**fits, **change})
