"""The tuples that travel: shapes of nothing, filtering, moving."""

import pickle

import torch

from teachseg.structures import Detections, Proposals, Targets, crowd_of, with_crowd


def three():
    return Detections(
        torch.arange(12.0).view(3, 4),
        torch.tensor([2, 1, 2]),
        torch.tensor([0.9, 0.5, 0.1]),
        torch.ones(3, 4, 6, dtype=torch.bool),
    )


def test_nothing_has_every_shape_and_type():
    targets, detections = Targets.empty((4, 6)), Detections.empty((4, 6))
    for part in (targets, detections):
        assert part.boxes.shape == (0, 4) and part.boxes.dtype == torch.float32
        assert part.labels.shape == (0,) and part.labels.dtype == torch.int64
        assert part.masks.shape == (0, 4, 6) and part.masks.dtype == torch.bool
    assert detections.scores.shape == (0,) and detections.scores.dtype == torch.float32


def test_above_keeps_a_score_of_exactly_the_bound():
    kept = three().above(0.5)
    assert kept.labels.tolist() == [2, 1]
    assert kept.boxes.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert kept.masks.shape == (2, 4, 6)
    assert len(three().above(0.95).boxes) == 0
    assert Detections.empty((4, 6)).above(0.5).masks.shape == (0, 4, 6)


def test_to_moves_every_field():
    # "meta" is a device that every build of torch has
    assert all(part.device.type == "meta" for part in three().to("meta"))
    assert all(part.device.type == "meta" for part in Targets.empty((4, 6)).to("meta"))
    assert isinstance(three().to("cpu"), Detections)
    assert isinstance(Targets.empty((4, 6)).to("cpu"), Targets)


def test_fields_have_their_order():
    assert Targets._fields == ("boxes", "labels", "masks")
    assert Proposals._fields == ("boxes", "scores")
    assert Detections._fields == ("boxes", "labels", "scores", "masks")


def crowded():
    mask = torch.ones(1, 4, 6, dtype=torch.bool)
    region = Targets(torch.tensor([[0.0, 0, 6, 4]]), torch.tensor([2]), mask)
    return with_crowd(Targets.empty((4, 6)), region)


def test_a_crowd_travels_beside_the_three_fields():
    targets = crowded()
    boxes, labels, masks = targets  # still three
    assert isinstance(targets, Targets) and len(labels) == 0
    assert crowd_of(targets).labels.tolist() == [2]
    assert crowd_of(pickle.loads(pickle.dumps(targets))).labels.tolist() == [2]  # from a worker
    assert crowd_of(targets.to("meta")).masks.device.type == "meta"
    assert crowd_of(targets._replace(labels=labels + 1)).labels.tolist() == [2]


def test_no_crowd_is_plain_targets():
    plain = with_crowd(crowded(), Targets.empty((4, 6)))
    assert type(plain) is Targets
    assert crowd_of(plain).masks.shape == (0, 4, 6) and crowd_of(plain).boxes.shape == (0, 4)
