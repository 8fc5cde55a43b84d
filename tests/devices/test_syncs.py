"""How often training and prediction wait for an accelerator: each place named, each count held.

Some operations cannot return before the device is done: those whose result has a size that depends
on values (`nonzero`, an index of bools, suppression), and those that bring numbers over
(`item`, `tolist`, `cpu`) or take them there from ordinary memory (`tensor`, `new_tensor`).
On the CPU they do not wait, but they can be seen to be called.
"""

import sys
from collections import Counter
from functools import lru_cache
from importlib import import_module

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from teachseg.checkpoints import MODELS
from teachseg.datasets.scenes import CLASSES, Scenes

SIZED_BY_VALUES = {
    "nonzero", "masked_select", "_unique2", "unique_dim", "unique_consecutive", "nms"}
BROUGHT = {"_local_scalar_dense", "is_nonzero", "equal"}
INDEXED = {"index", "index_put", "index_put_", "_index_put_impl_"}


class Waits(TorchDispatchMode):
    """Counts them by (function of teachseg, operation) while it is entered."""

    def __init__(self):
        super().__init__()
        self.counts: Counter = Counter()
        self.patch = pytest.MonkeyPatch()

    def note(self, what: str) -> None:
        frame = sys._getframe(2)
        while frame and "teachseg" not in frame.f_globals.get("__name__", ""):
            frame = frame.f_back
        where = f"{frame.f_globals['__name__']}.{frame.f_code.co_name}" if frame else "autograd"
        self.counts[where.removeprefix("teachseg."), what] += 1

    def __enter__(self):
        for name, module in list(sys.modules.items()):  # as on an accelerator
            if name.startswith("teachseg.") and hasattr(module, "reads_values"):
                self.patch.setattr(module, "reads_values", lambda x: False)
        for owner, name in ((torch.Tensor, "tolist"), (torch.Tensor, "cpu"),
                            (torch.Tensor, "numpy"),
                            (torch.Tensor, "new_tensor"), (torch, "tensor"), (torch, "as_tensor")):
            self.patch.setattr(owner, name, self.noted(getattr(owner, name), name))
        return super().__enter__()

    def noted(self, function, name):
        def call(*args, **keywords):
            plain = name in ("tensor", "as_tensor") and "device" not in keywords  # stays here
            if not plain and not (name == "as_tensor" and isinstance(args[0], torch.Tensor)):
                self.note(name)
            return function(*args, **keywords)
        return call

    def __exit__(self, *error):
        self.patch.undo()
        return super().__exit__(*error)

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__
        by_bools = name in INDEXED and any(
            t is not None and t.dtype == torch.bool for t in args[1])
        if name in SIZED_BY_VALUES or name in BROUGHT or by_bools:
            self.note("index of bools" if by_bools else name)
        return function(*args, **(kwargs or {}))


K = len(CLASSES)
ON_CPU = ("geometry.sampling", "learning.targets.instance_map")  # what is drawn there is there


@lru_cache
def waits(paper: str, work: str, images: int) -> Counter:
    """{(function, operation): times} of one batch of the course's model, untrained."""
    page = import_module(f"teachseg.papers.{paper}")
    torch.manual_seed(0)
    model = getattr(page, MODELS[paper])(page.Config.course(K))
    items = [Scenes("train", images)[i] for i in range(images)]
    pictures = [picture for picture, _ in items]

    def once():
        if work == "predict":
            return page.predict(model.eval(), pictures)
        draw = torch.Generator().manual_seed(0)
        losses = page.training_losses(model, pictures, [there for _, there in items], draw)
        return sum(losses.values()).backward()

    once()  # constants are taken over once
    with Waits() as seen:
        once()
    return Counter({(where, what): n for (where, what), n in seen.counts.items()
                    if what == "cpu" or not where.startswith(ON_CPU)})


def growth(paper: str, work: str) -> Counter:
    """The same for each image more."""
    two, four = waits(paper, work, 2), waits(paper, work, 4)
    return Counter({key: (four[key] - two[key]) / 2 for key in four | two})


PROPOSALS = {
    ("layers.rpn.proposal_anchors", "nonzero"): 1,    # those that have an area
    ("geometry.nms.fast_batched_nms", "nms"): 1,
}
CHOICE = {("decoding.seeds.choose_seeds", "nonzero"): 1}  # cells above the floor
# An image: which function waits, by what, how often. Of a `cpu` the answer is also taken back.
NAMED = {
    ("mask_rcnn", "train"): PROPOSALS | {
        ("geometry.sampling.sample_counted", "cpu"): 2,          # labels of anchors, of rois
    },
    ("mask_rcnn", "predict"): PROPOSALS | {
        ("geometry.nms.fast_batched_nms", "nms"): 2,             # proposals, detections
        ("decoding.instances.decode_detections", "nonzero"): 1,  # above the least score
    },
    ("mnc", "train"): PROPOSALS | {
        ("geometry.sampling.sample_counted", "cpu"): 4,          # anchors; objects, near, far
        ("learning.targets.stage_targets", "nonzero"): 2,        # positive boxes, in both
        ("learning.targets.mask_level_labels", "nonzero"): 2,    # turns of the cascade
    },
    ("mnc", "predict"): PROPOSALS | {
        ("decoding.voting.keep_by_class", "nonzero"): K,         # each class's boxes
        ("geometry.nms.fast_nms", "nms"): K,
        ("decoding.voting.average_tiles", "nonzero"): 9,         # boxes that reach into each tile
        ("decoding.voting.mask_voting", "index of bools"): 4,    # masks that hold a pixel
    },
    ("deep_metric", "train"): CHOICE | {
        ("decoding.seeds.choose_seeds", "_local_scalar_dense"): 2,  # how many seeds
        ("geometry.sampling.sample_points", "cpu"): 1,              # each cell's object
        ("papers.deep_metric.embedding_loss", "_local_scalar_dense"): 1,  # the last object
    },
    ("deep_metric", "predict"): CHOICE | {
        ("decoding.seeds.remove_duplicates", "tolist"): 1,       # overlaps of all masks
        ("decoding.seeds.remove_duplicates", "tensor"): 1,       # and what is kept of them
        ("papers.deep_metric.to_detections", "index of bools"): 2,  # masks that are large enough
    },
}


def test_each_paper_is_looked_at():
    assert set(NAMED) == {(paper, work) for paper in MODELS for work in ("train", "predict")}


@pytest.mark.parametrize("paper, work", NAMED)
def test_waits_of_an_image_are_those_that_are_named(paper, work):
    found = {key: n for key, n in growth(paper, work).items() if n}
    assert found == NAMED[paper, work]


@pytest.mark.parametrize("paper, work, most", [
    ("mask_rcnn", "train", 7), ("mask_rcnn", "predict", 6), ("mnc", "train", 4),
    ("mnc", "predict", 0), ("deep_metric", "train", 0), ("deep_metric", "predict", 0)])
def test_waits_of_a_batch(paper, work, most):
    """Whatever its images: levels that boxes are read from, boxes that are on an object."""
    assert waits(paper, work, 2).total() - 2 * growth(paper, work).total() == most


def test_a_wait_more_is_seen(monkeypatch):
    """One forgotten `.item()` for each image, say."""
    from teachseg.geometry import boxes

    def slow(x, like):
        return float(like.sum()) + constant(x, like)

    constant = boxes.constant
    monkeypatch.setattr("teachseg.layers.rpn.constant", slow)
    waits.cache_clear()
    more = growth("mnc", "train")["layers.rpn.inside", "_local_scalar_dense"]
    waits.cache_clear()
    assert more == 2
