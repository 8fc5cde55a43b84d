"""A vote on 4 x 4 pixels, by hand; as the library votes; drawn, moved, refused in words."""

import time
import xml.etree.ElementTree as ElementTree

import pytest
import torch

from teachseg.decoding.voting import mask_voting
from teachseg.explore.voting import Ballot, explore_voting, vote, voting_frame
from teachseg.structures import Targets

NAMES = ("disc", "square")


def ballot(crops_times: float = 1.0) -> Ballot:
    """A is all of 4 x 4 pixels (0.6 for class 1), B its upper three rows (0.2), C a corner (0.1).

    IoU of A and B 12 / 16, of A and C 4 / 16; the object is all but the last column.
    """
    boxes = torch.tensor([[0.0, 0, 4, 4], [0, 0, 4, 3], [0, 0, 2, 2]])
    crops = torch.stack([torch.tensor([1, 1, 0.6, 0]).expand(4, 4), torch.ones(4, 4),
                         torch.ones(4, 4)])
    scores = torch.tensor([[0.4, 0.6, 0], [0.8, 0.2, 0], [0.9, 0.1, 0]])
    mask = torch.zeros(1, 4, 4, dtype=torch.bool)
    mask[0, :, :3] = True
    targets = Targets(torch.tensor([[0.0, 0, 3, 4]]), torch.tensor([1]), mask)
    image = torch.rand(3, 4, 4, generator=torch.Generator().manual_seed(0))
    return Ballot(image, targets, boxes, crops_times * crops, scores)


def test_the_vote_by_hand():
    """Weights 0.6 / 0.8 and 0.2 / 0.8; row 3 is A's alone, 0.75 (1, 1, 0.6, 0)."""
    found = vote(ballot(), 0, 0.5, 0.4, "probabilities")
    assert found.row == 0 and found.voters.tolist() == [0, 1]
    torch.testing.assert_close(found.weights, torch.tensor([0.75, 0.25]))
    torch.testing.assert_close(found.mean[0], torch.tensor([1, 1, 0.7, 0.25]))
    torch.testing.assert_close(found.mean[3], torch.tensor([0.75, 0.75, 0.45, 0]))
    assert found.iou == 1 and found.own_iou == 1  # 12 of 12 pixels
    half = vote(ballot(), 0, 0.5, 0.5, "probabilities")
    assert half.iou == pytest.approx(11 / 12) and half.own_iou == 1  # 0.45 falls, 0.6 does not
    assert vote(ballot(), 0, 0.5, 0.5, "binary").iou == 1  # 0.6 counts as 1: 0.75


@pytest.mark.parametrize("average", ["probabilities", "binary"])
@pytest.mark.parametrize("merge_iou, binarize", [(0.2, 0.4), (0.5, 0.5), (0.75, 0.7), (1, 0.4)])
def test_it_is_the_librarys_vote(average, merge_iou, binarize):
    one = ballot()
    wanted = mask_voting(one.boxes, one.crops, one.scores, (4, 4), 0.3, merge_iou, binarize,
                         average=average)
    first = wanted.scores.argmax()  # A's: C stays too, and is its own detection
    found = vote(one, 0, merge_iou, binarize, average)
    assert float(wanted.scores[first]) == pytest.approx(0.6)
    assert torch.equal(found.mask, wanted.masks[first])


def test_who_votes_follows_the_merge_iou():
    voters = {least: len(vote(ballot(), 0, least, 0.4, "probabilities").voters)
              for least in (0.25, 0.5, 0.75, 0.8)}
    assert voters == {0.25: 3, 0.5: 2, 0.75: 2, 0.8: 1}


def test_the_caption_says_it_and_an_empty_mean_makes_nothing():
    said = voting_frame(ballot(), NAMES, 0, 0.5, 0.5).caption
    assert said == ("disc, merge IoU 0.5, cut at 0.5, average of probabilities: 2 voters, weights "
                    "0.75, 0.25; mask of 11 pixels, IoU with the truth 0.917; the kept box's own "
                    "mask alone 1.000.")
    alone = voting_frame(ballot(), NAMES, 0, 0.9, 0.5).caption
    assert "1 voter, weights 1.00;" in alone
    nothing = voting_frame(ballot(0.1), NAMES, 0, 0.5, 0.5).caption
    assert nothing.endswith("no pixel reaches the cut, so there is no detection.")


def test_the_picture_changes_and_is_labelled():
    frames = [voting_frame(ballot(), NAMES, 0, *at) for at in ((0.5, 0.4), (0.5, 0.5), (0.9, 0.5))]
    assert len({frame.svg for frame in frames}) == 3
    for frame in frames:
        root = ElementTree.fromstring(frame.svg)
        assert root.get("aria-label") == frame.caption


@pytest.mark.parametrize("values, words", [
    (dict(merge_iou=1.5), r"merge_iou must be in 0\.\.1, got 1\.5"),
    (dict(binarize=0), "binarize must be above 0 and at most 1, got 0"),
    (dict(average="median"), "average must be 'probabilities' or 'binary', got 'median'"),
    (dict(target=-1), r"object must be in 0\.\.0, got -1"),
])
def test_what_cannot_be_drawn_is_said(values, words):
    with pytest.raises(ValueError, match=words):
        voting_frame(ballot(), NAMES, **(dict(target=0, merge_iou=0.5, binarize=0.5) | values))


def test_a_bad_ballot_is_refused_at_the_door():
    one = ballot()
    with pytest.raises(ValueError, match="2 crops and 3 rows of scores for 3 boxes"):
        Ballot(one.image, one.targets, one.boxes, one.crops[:2], one.scores)
    with pytest.raises(ValueError, match="got 1 objects and 0 detections"):
        Ballot(one.image, one.targets, one.boxes, one.crops, 0 * one.scores)
    with pytest.raises(ValueError, match="got 0 objects"):
        Ballot(one.image, Targets.empty((4, 4)), one.boxes, one.crops, one.scores)


def test_a_detection_of_the_objects_class_answers_for_it():
    one = ballot()
    scores = torch.tensor([[0.1, 0.0, 0.9], [0.8, 0.2, 0.0], [0.9, 0.1, 0.0]])
    other = Ballot(one.image, one.targets, one.boxes, one.crops, scores)
    assert other.detection(0) == (1, 1)  # A is closest, but says class 2


def test_the_sliders_move_it(capsys):
    explorer = explore_voting(ballot(), NAMES)
    before = explorer.picture.value
    assert "2 voters" in explorer.set(binarize=0.5)
    assert explorer.picture.value != before
    explorer.sweep("merge_iou", [0.5, 0.9])
    lines = capsys.readouterr().out.splitlines()
    assert ["2 voters" in line for line in lines] == [True, False]


def test_a_frame_is_quick():
    """10 ms of the processor's time; the best of five."""
    one, taken = ballot(), []
    for cut in (0.3, 0.4, 0.5, 0.6, 0.7):
        begin = time.process_time()
        voting_frame(one, NAMES, 0, 0.5, cut)
        taken.append(time.process_time() - begin)
    assert min(taken) <= 0.010
