"""Lesson 00's exercise: right by the library, and by hand.

What holds for every exercise (solutions pass, mutants are named, zeros fail) is in
test_registry.py; here stands what the answers must be.
"""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from teachseg.exercises import first as page
from teachseg.explore.instances import count_right
from teachseg.geometry.masks import mask_iou, masks_to_boxes
from teachseg.structures import Detections, Targets


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**31), threshold=st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]))
def test_found_is_what_the_slider_calls_right(seed, threshold):
    """Objects without a common pixel; masks that are objects with some pixels turned round."""
    draw = torch.Generator().manual_seed(seed)
    d, g = torch.randint(0, 6, (2,), generator=draw).tolist()
    owner = torch.randint(0, g + 1, (3, 4), generator=draw)
    truth = torch.stack([owner == k for k in range(g)]) if g else torch.zeros(0, 3, 4).bool()
    truth = truth[truth.flatten(1).any(dim=1)]
    pick = torch.randint(0, g + 1, (d,), generator=draw)
    masks = (owner == pick[:, None, None]) ^ (torch.rand(d, 3, 4, generator=draw) < 0.15)
    scores = torch.randint(0, 5, (d,), generator=draw) / 4
    scores = scores.sort(descending=True).values
    there = Targets(masks_to_boxes(truth), torch.ones(len(truth)).long(), truth)
    seen = Detections(masks_to_boxes(masks), torch.ones(d).long(), scores, masks).above(threshold)
    ious = mask_iou(seen.masks, truth)
    if bool(((ious == 0.5).sum(dim=1) > 1).any()):
        return  # one mask, two halves: two objects are hit, and the slider gives the mask to one
    assert page.found(masks, scores, threshold, truth) == count_right(seen, there).right


def test_found_by_hand():
    """Square: 9 pixels around its 4, IoU 4/9. Bar: 2 of 6. At least half would be 4.5 and 3."""
    large, beside = page.FOUND.cases[5].arguments[0]
    square, bar = page.BOTH
    assert [int((large & square).sum()), int((large | square).sum())] == [4, 9]
    assert [int((beside & bar).sum()), int((beside | bar).sum())] == [2, 6]
    assert [page.found(*case.arguments) for case in page.FOUND.cases] == [
        2, 2, 1, 2, 1, 0, 0, 1, 0, 0]


def test_the_share_of_the_object_would_be_fooled():
    """A mask of the whole image covers every object; its IoU is 4/16."""
    whole = torch.ones(1, 4, 4, dtype=torch.bool)
    assert page.found(whole, torch.ones(1), 0.5, page.BOTH) == 0
    assert page._found_with(whole, torch.ones(1), 0.5, page.BOTH, under="there") == 2
