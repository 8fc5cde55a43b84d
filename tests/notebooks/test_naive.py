"""The functions that notebooks write by hand, taken out of them and held against the library.

A notebook compares its functions with `teachseg` on the inputs that it has; here they also meet
random boxes: half outside, smaller than a cell, on the cells' edges. Every function that a notebook
defines at the top of a cell is compared here (`@compares`), or is named in `NOT_COMPARED` with the
reason. A function that a `check(...)` is given is an exercise's, and judged there.
"""

import ast
import builtins
import math
import symtable
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from faster_coco_eval.core import mask as rle
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision import ops

from teachseg.datasets.batch import batch_images
from teachseg.datasets.coco import decode_segmentation
from teachseg.datasets.scenes import Scenes
from teachseg.datasets.transforms import resize
from teachseg.decoding import instances, seeds, voting
from teachseg.evaluate import (
    MaskAP,
    average_precision,
    coco_mask_ap,
    mask_ap_r,
    precision_recall,
)
from teachseg.exercises import (
    comparison,
    metric_masks,
    metric_seeds,
    metric_test,
    miniature,
    proposals,
    strides,
)
from teachseg.explore import metrics
from teachseg.explore.embeddings import principal_components
from teachseg.explore.mask_stage import best_possible
from teachseg.explore.strides import Step, field_of
from teachseg.geometry.anchors import cell_anchors, grid_anchors, legacy_cell_anchors
from teachseg.geometry.boxes import box_iou, clip_boxes, decode_boxes, encode_boxes, from_inclusive
from teachseg.geometry.masks import crop_masks, mask_iou, masks_to_boxes, paste_masks
from teachseg.geometry.matching import match
from teachseg.geometry.nms import batched_nms, nms
from teachseg.geometry.sampling import sample
from teachseg.geometry.similarity import similarity
from teachseg.layers import roi
from teachseg.layers.backbones import build_backbone
from teachseg.layers.cascade import CategoryStage, MaskStage, likeliest_class, masked_features
from teachseg.layers.fpn import FPN, assign_levels, read_pyramid
from teachseg.layers.roi import roi_warp
from teachseg.layers.rpn import propose
from teachseg.learning.losses import (
    class_loss,
    delta_loss,
    mask_loss,
    objectness_loss,
    pair_loss,
    pair_weights,
)
from teachseg.learning.targets import (
    StageTargets,
    instance_map,
    mask_level_labels,
    seed_labels,
)
from teachseg.mistakes import judge_image
from teachseg.papers import deep_metric, mask_rcnn, mnc
from teachseg.structures import Detections, Targets
from teachseg.tables import report

NOTEBOOKS = sorted((Path(__file__).resolve().parents[2] / "notebooks").glob("*.ipynb"))

NOT_COMPARED = {  # (notebook, function): why there is nothing to compare
    ("03", "placed"): "wrong on purpose, to be mended",
    ("01", "drawn"): "draws",
    ("01", "hasty_numbers"): "is wrong on purpose: exercise 5 mends it",
    ("02", "block"): "makes inputs",
    ("02", "pack_targets"): "makes inputs",
    ("02", "pack_detections"): "makes inputs",
    ("02", "ap_with_a_bug"): "wrong on purpose: the notebook's bug hunt",
    ("02", "flags_at"): "calls the notebook's matching on its three images",
    ("02", "with_true_iou"): "calls the library's exact_iou",
    ("04", "found"): "counts what the notebook's model finds, with anchors in a wrong order",
    ("05", "losses_of"): "calls the library's rpn_targets and its losses, one after the other",
    ("05", "ask"): "asks the notebook's network",
    ("05", "recall_by_step"): "counts on the notebook's scenes",
    ("05", "live"): "settings of a training run",
    ("05", "course"): "settings of a training run",
    ("05", "full"): "settings of a training run",
    ("10", "three_by_three"): "draws",
    ("10", "product"): "draws",
    ("10", "random_boxes"): "makes inputs",
    ("12", "masked_boxes"): "calls the library's feature_map and look_inside, one after the other",
    ("12", "side_by_side"): "draws",
    ("12", "spoiled_masks"): "makes inputs",
    ("12", "right_and_sure"): "counts what the notebook's model says",
    ("12", "exchange"): "counts what the notebook's model says",
    ("12", "both_rankings"): "calls the library's trace, join_instances and decide",
    ("13", "toy_loss"): "calls the library's decode_boxes and roi_warp",
    ("13", "stage_2_loss"): "calls the library's look_inside; checked by finite differences there",
    ("13", "pulls"): "calls the library's look_inside and name_masks, and autograd",
    ("13", "draw_pulls"): "draws",
    ("40", "answer_all"): "asks the notebook's three models",
    ("40", "part_times"): "reads a clock",
    ("40", "block"): "makes inputs",
    ("40", "cost"): "calls torch's and the library's counters",
    ("40", "tallies"): "sums up what the library judges",
    ("40", "found_counts"): "counts what the library judges of the notebook's scenes",
    ("40", "a_contested_pair"): "looks for a scene to show",
    ("40", "pair_similarities"): "asks the notebook's model",
    ("41", "two_deviations"): "reads the notebook's records",
    ("41", "print_table"): "prints",
    ("41", "verdicts"): "walks the notebook's records",
    ("14", "reached"): "asks the gradients of the notebook's model",
    ("14", "live"): "settings of a training run",
    ("14", "course"): "settings of a training run",
    ("14", "full"): "settings of a training run",
    ("14", "draw_losses"): "draws",
    ("14", "wrongs"): "counts what judge says of one scene of the notebook",
    ("20", "sides_of"): "one line, done by hand beside it",
    ("20", "grids"): "draws",
    ("20", "natural"): "wrong on purpose",
    ("20", "origins"): "calls the library's trace and proposal_anchors, one after the other",
    ("20", "align"): "calls torchvision's roi_align",
    ("20", "measure"): "calls the library's see, answer and detect, one after the other",
    ("20", "of_group"): "divides the notebook's answers by the sizes that it is interested in",
    ("22", "live"): "settings of a training run",
    ("22", "course"): "settings of a training run",
    ("22", "full"): "settings of a training run",
    ("22", "ap50"): "calls the library's predict and coco_mask_ap, one after the other",
    ("22", "wrongs"): "counts what judge says of one scene of the notebook",
    ("30", "middle_cells"): "looks places up in the notebook's scene",
    ("30", "value_and_gradient"): "calls a loss and autograd",
    ("32", "pick_by_place"): "another way than the library's, shown beside it",
    ("32", "hit_rate"): "counts on the notebook's scenes",
    ("32", "found_with"): "calls the library's grow and to_detections with other settings",
    ("33", "found_with"): "calls the library's detections_at with other settings",
    ("33", "scores_of"): "calls the library's mask_ap_r",
    ("33", "live"): "settings of a training run",
    ("33", "course"): "settings of a training run",
    ("33", "full"): "settings of a training run",
    ("33", "stage"): "settings of a training run, as the manifest has them",
    ("33", "wrongs"): "counts what judge says of one scene of the notebook",
    ("42", "teachseg"): "runs the command line",
    ("42", "megabytes"): "a product of four numbers, done by hand beside it",
}
COMPARED: set[tuple[str, str]] = set()


def compares(notebook: str, *names: str) -> Callable:
    """Marks a test that compares these functions of a notebook; it is given them, in this order."""
    COMPARED.update((notebook, name) for name in names)

    def mark(test: Callable) -> Callable:
        @pytest.mark.parametrize("taken", [(notebook, *names)], ids=[f"{notebook}: {names[0]}"])
        def run(taken):
            test(*take(find(taken[0]), *taken[1:]))

        run.__doc__ = test.__doc__
        return run

    return mark


# ---- taking functions out of a notebook ---------------------------------------------------------


def find(number: str) -> Path:
    """The notebook of that number."""
    (path,) = [path for path in NOTEBOOKS if path.name.startswith(f"{number}_")]
    return path


@cache
def statements(path: Path) -> tuple[ast.stmt, ...]:
    """All that stands at the top level of a notebook's code cells, in order."""
    cells = nbformat.read(path, as_version=4).cells
    return tuple(node for cell in cells if cell.cell_type == "code"
                 for node in ast.parse(cell.source).body)


def functions(path: Path) -> dict[str, ast.FunctionDef]:
    """A notebook's own functions by name; of two with one name the later."""
    return {node.name: node for node in statements(path) if isinstance(node, ast.FunctionDef)}


def exercises(path: Path) -> set[str]:
    """Names that the notebook hands to `check("...", name)`."""
    calls = [node for top in statements(path) for node in ast.walk(top)
             if isinstance(node, ast.Call) and len(node.args) == 2]
    checks = [call for call in calls if ast.unparse(call.func).split(".")[-1] == "check"]
    return {call.args[1].id for call in checks if isinstance(call.args[1], ast.Name)}


def imports(path: Path) -> dict[str, ast.stmt]:
    """The import that binds each name."""
    return {(alias.asname or alias.name).split(".")[0]: node
            for node in statements(path) if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names}


def free_names(function: ast.FunctionDef) -> set[str]:
    """What a function uses without defining it, builtins left out."""
    def walk(table: symtable.SymbolTable) -> Iterator[str]:
        yield from (symbol.get_name() for symbol in table.get_symbols()
                    if symbol.is_global() and symbol.is_referenced())
        for inner in table.get_children():
            yield from walk(inner)

    table = symtable.symtable(ast.unparse(function), function.name, "exec")
    top = {symbol.get_name() for symbol in table.get_symbols() if symbol.is_referenced()}
    return {name for name in {*top, *walk(table)} if not hasattr(builtins, name)}


def take(path: Path, *names: str) -> list[Callable]:
    """A notebook's functions, with the imports and the other functions that they use.

    Raises:
        ValueError: one uses what is neither; then it can only run in its notebook.
    """
    known, done, namespace = imports(path) | functions(path), set(), {}

    def define(name: str) -> None:
        if name in done:
            return
        done.add(name)
        if name not in known:
            raise ValueError(f"{path.name} neither defines a function {name} nor imports it. What "
                             "is compared takes all it needs as arguments.")
        node = known[name]
        for other in sorted(free_names(node)) if isinstance(node, ast.FunctionDef) else ():
            define(other)
        exec(compile(ast.Module([node], []), path.name, "exec"), namespace)

    for name in names:
        define(name)
    return [namespace[name] for name in names]


# ---- nothing is forgotten -----------------------------------------------------------------------


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_function_is_compared_or_says_why_not(path):
    listed = {name for number, name in COMPARED | NOT_COMPARED.keys() if number == path.name[:2]}
    left = functions(path).keys() - exercises(path) - listed
    assert not left, (f"{path.name} defines {', '.join(sorted(left))}: compare with the library in "
                      "tests/notebooks/test_naive.py, or say in NOT_COMPARED why not")


def test_every_entry_names_a_function_that_there_is():
    there = {(path.name[:2], name) for path in NOTEBOOKS for name in functions(path)}
    assert COMPARED | NOT_COMPARED.keys() <= there
    assert not COMPARED & NOT_COMPARED.keys()
    assert all(NOT_COMPARED.values())


# ---- 00: what two masks share -------------------------------------------------------------------


@compares("00", "iou_in_a_loop", "iou_of_arrays")
def test_iou(in_a_loop, of_arrays):
    draw = torch.Generator().manual_seed(0)
    for share in torch.linspace(0.05, 1, 50).tolist():
        a, b = torch.rand(2, 5, 7, generator=draw) < share
        b[2, 3] = True  # at least one pixel: of two empty masks the loop cannot tell
        library = float(mask_iou(a[None], b[None]))
        assert in_a_loop(a.tolist(), b.tolist()) == pytest.approx(library, abs=1e-6)
        assert of_arrays(a, b) == pytest.approx(library, abs=1e-6)
    empty = torch.zeros(5, 7, dtype=torch.bool)
    assert of_arrays(empty, empty) == float(mask_iou(empty[None], empty[None])) == 0


# ---- 01: boxes, masks, run lengths --------------------------------------------------------------


def boxes_on_pixels(number: int = 40) -> Tensor:
    """(number, 4) on whole pixels, so that many touch; every fifth without area."""
    draw = torch.Generator().manual_seed(4)
    corner = torch.randint(-5, 12, (number, 2), generator=draw)
    side = torch.randint(1, 9, (number, 2), generator=draw)
    side[::5, 0] = 0
    return torch.cat([corner, corner + side], dim=1).float()


def masks_of_all_kinds() -> Iterator[Tensor]:
    """(H, W) bool: empty, full, and of every share in between; higher or wider."""
    draw = torch.Generator().manual_seed(5)
    for share in torch.linspace(0, 1, 25).tolist():
        for size in ((5, 7), (7, 4), (1, 6), (6, 1)):
            yield torch.rand(size, generator=draw) < share


@compares("01", "box_iou_loop", "box_iou_vectorised")
def test_box_iou(loop, vectorised):
    pairs = ((boxes_anywhere(), boxes_on_edges()), (boxes_on_pixels(), boxes_on_pixels(30)))
    for some, others in pairs:
        library = box_iou(some, others)
        torch.testing.assert_close(loop(some, others), library, atol=1e-5, rtol=0)
        torch.testing.assert_close(vectorised(some, others), library, atol=1e-5, rtol=0)


@compares("01", "tight_loop", "tight_vectorised")
def test_tight_boxes(loop, vectorised):
    for mask in masks_of_all_kinds():
        library = masks_to_boxes(mask[None])
        assert loop(mask) == library[0].tolist()
        assert torch.equal(vectorised(mask[None]), library)


@compares("01", "mask_iou_product")
def test_mask_iou_as_a_product(product):
    draw = torch.Generator().manual_seed(6)
    a, b = torch.rand(6, 9, 11, generator=draw) < 0.4, torch.rand(4, 9, 11, generator=draw) < 0.6
    a[0] = b[0] = False
    torch.testing.assert_close(product(a, b), mask_iou(a, b))


@compares("01", "runs_loop", "runs_vectorised", "letters_loop")
def test_runs_and_their_letters(loop, vectorised, letters):
    for mask in masks_of_all_kinds():
        counts, size = loop(mask), list(mask.shape)
        assert vectorised(mask) == counts
        assert torch.equal(decode_segmentation({"size": size, "counts": counts}, tuple(size)), mask)
        packed = rle.encode(np.asfortranarray(mask.numpy().astype(np.uint8)))
        assert letters(counts) == packed["counts"].decode()
    for counts in ([0, 31, 16, 15], [1000, 50, 950, 70, 12], [5, 40_000, 4, 1, 3, 90_000]):
        size = [sum(counts), 1]
        packed = rle.frPyObjects({"size": size, "counts": counts}, *size)
        assert letters(counts) == packed["counts"].decode()


# ---- 02: metrics --------------------------------------------------------------------------------


def random_answers(images: int, seed: int) -> tuple[list[Detections], list[Targets]]:
    """Images of 12 x 9 pixels with overlapping masks of two classes; some lack objects or answers.

    Most detections are objects with some pixels flipped; all scores differ.
    """
    draw = torch.Generator().manual_seed(seed)
    found, real = [], []
    order = torch.randperm(5 * images, generator=draw) / (5.0 * images)
    for n in range(images):
        g, d = torch.randint(0, 4, (1,), generator=draw), torch.randint(0, 6, (1,), generator=draw)
        there = torch.rand(int(g), 12, 9, generator=draw) < 0.6
        said = torch.rand(int(d), 12, 9, generator=draw) < 0.6
        for i in range(min(2 * int(g), int(d))):  # two detections an object
            said[i] = there[i // 2] ^ (torch.rand(12, 9, generator=draw) < 0.2)
        labels = torch.randint(1, 3, (5,), generator=draw)
        scores = order[5 * n : 5 * n + int(d)].sort(descending=True).values
        boxes = torch.zeros(5, 4)
        real.append(Targets(boxes[: int(g)], labels[: int(g)], there))
        found.append(Detections(boxes[: int(d)], labels[: int(d)], scores, said))
    return found, real


@compares("02", "iou_by_counting")
def test_iou_of_fractions(iou_by_counting):
    for f, r in zip(*random_answers(12, 0)):
        expected = mask_iou(f.masks, r.masks)
        for row, mask in zip(expected, f.masks):
            for value, other in zip(row, r.masks):
                assert float(iou_by_counting(mask, other)) == pytest.approx(float(value), abs=1e-6)
    nothing = torch.zeros(3, 3, dtype=torch.bool)
    assert iou_by_counting(nothing, nothing) == 0


@compares("02", "match_voc", "match_coco")
def test_both_rules_of_matching(match_voc, match_coco):
    differ = 0
    for f, r in zip(*random_answers(40, 1)):
        iou = metrics.exact_iou(f.masks, r.masks)
        for t in (0.2, 0.4, 0.5):
            assert match_voc(iou, t) == metrics.match(iou, t, "VOC")
            assert match_coco(iou, t) == metrics.match(iou, t, "COCO")
            differ += match_voc(iou, t) != match_coco(iou, t)
    assert differ > 3


@compares("02", "curve_loop", "curve_vectorised", "ap_loop", "ap_vectorised", "area_loop")
def test_curves_and_their_areas(curve_loop, curve_vectorised, ap_loop, ap_vectorised, area_loop):
    draw = torch.Generator().manual_seed(2)
    for count in (0, 1, 3, 10, 30):
        scores = torch.randperm(count, generator=draw) / 30
        right = torch.rand(count, generator=draw) < 0.5
        objects = int(right.sum()) + count // 3 + 1
        precision, recall = precision_recall(scores, right, objects)
        pairs = curve_loop(scores.tolist(), right.tolist(), objects)
        assert pairs == list(zip(precision.tolist(), recall.tolist()))
        for ours, theirs in zip(curve_vectorised(scores, right, objects), (precision, recall)):
            assert torch.equal(ours, theirs)
        p, r = precision.tolist(), recall.tolist()
        for steps, way in ((10, "11-point"), (100, "101-point")):
            expected = average_precision(precision, recall, way)
            assert ap_loop(p, r, steps) == pytest.approx(expected, abs=1e-12)
            assert ap_vectorised(precision, recall, steps) == pytest.approx(expected, abs=1e-12)
        expected = average_precision(precision, recall, "exact")
        assert area_loop(p, r) == pytest.approx(expected, abs=1e-12)


@compares("02", "ap_by_hand", "match_voc", "match_coco")
def test_ap_of_many_images(ap_by_hand, match_voc, match_coco):
    found, real = random_answers(12, 3)
    for t in (0.3, 0.5):
        per_class = mask_ap_r(found, real, 2, t)[0].tolist()
        for label, ap in enumerate(per_class, start=1):
            assert ap_by_hand(found, real, label, t, match_voc, 10) == pytest.approx(ap, abs=1e-6)
    two = [ap_by_hand(found, real, label, 0.5, match_coco, 100) for label in (1, 2)]
    assert sum(two) / 2 == pytest.approx(coco_mask_ap(found, real, 2)["AP50"], abs=1e-6)


@compares("02", "as_annotations", "pycocotools_ap")
def test_the_two_libraries(as_annotations, pycocotools_ap):
    found, real = random_answers(12, 4)
    assert len(as_annotations(found, True)) == sum(len(one.labels) for one in found)
    ours = [coco_mask_ap(found, real, 2)[name] for name in ("AP", "AP50", "AP75")]
    assert pycocotools_ap(found, real, 2) == pytest.approx(ours)


# ---- 03: backbone and strides -------------------------------------------------------------------

STEPS = ([(3, 2, 1, 1)], [(3, 2, 1, 1), (3, 1, 1, 1), (5, 2, 2, 1)], [(3, 1, 2, 2), (2, 2, 0, 1)],
         [(7, 2, 3, 1), (3, 2, 1, 1), (1, 1, 0, 1), (3, 1, 4, 4)])


@compares("03", "conv_loop", "conv_vectorised")
def test_convolutions(*ours):
    draw = torch.Generator().manual_seed(30)
    for size, stride, padding, sides in ((3, 2, 1, (9, 12)), (1, 2, 0, (5, 5)), (5, 1, 2, (7, 4))):
        image = torch.randn(3, *sides, generator=draw)
        weight = torch.randn(2, 3, size, size, generator=draw)
        for function in ours:
            torch.testing.assert_close(
                function(image, weight, stride, padding),
                F.conv2d(image[None], weight, stride=stride, padding=padding)[0],
                atol=1e-5, rtol=1e-5)


@compares("03", "conv_costs")
def test_costs_of_convolutions(conv_costs):
    for name in ("course", "resnet18"):
        with torch.device("meta"):
            net, batch = build_backbone(name), torch.zeros(1, 3, 64, 96)
            with FlopCounterMode(display=False) as counter:
                net(batch)
            found = conv_costs(net, batch)
        assert 2 * sum(products for _, _, products in found) == counter.get_total_flops()
        convs = [m for m in net.modules() if isinstance(m, nn.Conv2d)]
        assert sum(weights for _, weights, _ in found) == sum(m.weight.numel() for m in convs)
        assert not any(m._forward_hooks for m in convs)


@compares("03", "group_norm_loop")
def test_group_norms(group_norm_loop):
    draw = torch.Generator().manual_seed(31)
    for channels, groups in ((4, 2), (6, 1), (32, 2)):
        x = 2 + 3 * torch.randn(2, channels, 5, 3, generator=draw)
        torch.testing.assert_close(group_norm_loop(x, groups), F.group_norm(x, groups), atol=1e-5,
                                   rtol=1e-5)


@compares("03", "window_loop", "field_vectorised")
def test_windows(window_loop, field_vectorised):
    for steps in STEPS:
        field = field_of(Step(*step) for step in steps)
        assert field_vectorised(steps) == tuple(field)
        for cell in (0, 3, 10):
            seen = window_loop(steps, cell)
            assert (seen[0], seen[-1] + 1) == field.window(cell)


@compares("03", "paths")
def test_paths_are_counted(paths):
    """One by one, backwards; a path that leaves the row is none."""
    length, cell = 40, 3
    for steps in STEPS:
        counts = {cell: 1}
        sizes = [length]
        for step in steps:
            sizes.append(strides.out_size(sizes[-1], *step))
        for (size, stride, padding, dilation), there in zip(reversed(steps), sizes[-2::-1]):
            before: dict[int, int] = {}
            for i, ways in counts.items():
                for tap in range(size):
                    at = i * stride - padding + tap * dilation
                    if 0 <= at < there:
                        before[at] = before.get(at, 0) + ways
            counts = before
        expected = torch.zeros(length, dtype=torch.double)
        for at, ways in counts.items():
            expected[at] = ways
        torch.testing.assert_close(paths(steps, cell, length), expected / expected.sum())


@compares("03", "own_cells")
def test_own_cells(own_cells):
    draw = torch.Generator().manual_seed(32)
    masks = torch.rand(5, 16, 32, generator=draw) < torch.linspace(0.1, 0.9, 5)[:, None, None]
    for stride in (1, 2, 4, 8):
        counts = own_cells(masks, stride).sum(dim=(1, 2)).tolist()
        assert counts == [strides.cells(mask, stride) for mask in masks]


@compares("03", "batch_loop")
def test_batches(batch_loop):
    draw = torch.Generator().manual_seed(33)
    for sizes, multiple in (([(5, 9), (7, 4)], 1), ([(16, 16)], 16), ([(17, 30), (3, 33)], 16)):
        images = [torch.rand(3, *size, generator=draw) for size in sizes]
        assert torch.equal(batch_loop(images, multiple), batch_images(images, multiple)[0])


# ---- 04: anchors and deltas ---------------------------------------------------------------------


def odd_boxes(number: int = 40) -> Tensor:
    """(number, 4) of sides from 1 to 61 pixels, some beyond the image's upper left corner."""
    draw = torch.Generator().manual_seed(5)
    corner = torch.rand(number, 2, generator=draw) * 120 - 30
    return torch.cat([corner, corner + torch.rand(number, 2, generator=draw) * 60 + 1], dim=1)


@compares("04", "cell_loop", "cell_vectorised")
def test_cell_anchors(loop, vectorised):
    for sizes, ratios in (([7.5], [1.0]), ([16.0, 50.0], [0.3, 3.0]), ([1.0, 2.0, 600.0], [0.1])):
        library = cell_anchors(sizes, ratios)
        torch.testing.assert_close(loop(sizes, ratios), library)
        torch.testing.assert_close(vectorised(sizes, ratios), library)


@compares("04", "released_loop")
def test_released_anchors(loop):
    assert torch.equal(loop(), legacy_cell_anchors())


@compares("04", "grid_loop", "grid_vectorised")
def test_grid_anchors(loop, vectorised):
    cell = odd_boxes(3)
    for feature_size, stride in (((1, 1), 16), ((3, 5), 7), ((6, 2), 4), ((0, 3), 4)):
        library = grid_anchors(cell, feature_size, stride)
        torch.testing.assert_close(loop(cell, feature_size, stride), library)
        torch.testing.assert_close(vectorised(cell, feature_size, stride), library)


@compares("04", "shifted")
def test_squares_half_a_stride_apart(shifted):
    for stride, size in ((4, 16), (8, 5), (16, 16), (1, 100)):
        square = torch.tensor([[0.0, 0.0, size, size]])
        assert shifted(stride, size) == pytest.approx(
            float(box_iou(square, square + stride / 2)), abs=1e-6)


@compares("04", "coverage")
def test_coverage_is_that_of_the_models_anchors(coverage):
    config = mask_rcnn.Config.course(5)
    maps = [torch.zeros(1, 1, 128 // stride, 128 // stride) for stride in (4, 8, 16)]
    anchors = torch.cat(mask_rcnn.make_anchors(config, maps, (4, 8, 16), (128, 128)))
    boxes = odd_boxes()
    levels = [([size], stride) for size, stride in zip(config.anchor_sizes, (4, 8, 16))]
    count, iou = coverage(levels, config.anchor_ratios, boxes)
    assert count == len(anchors)
    torch.testing.assert_close(iou, box_iou(boxes, anchors).max(dim=1).values)
    _, moved = coverage([([16], 8)], [1.0], boxes, 0.5)
    anchors = grid_anchors(cell_anchors([16], [1.0]), (16, 16), 8) + 4
    torch.testing.assert_close(moved, box_iou(boxes, anchors).max(dim=1).values)


@compares("04", "encode_loop", "encode_vectorised", "decode_vectorised")
def test_deltas(encode_loop, encode_vectorised, decode_vectorised):
    boxes, anchors = odd_boxes().split(20)
    library = encode_boxes(boxes, anchors)
    torch.testing.assert_close(encode_loop(boxes, anchors), library, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(encode_vectorised(boxes, anchors), library)
    torch.testing.assert_close(decode_vectorised(library, anchors), decode_boxes(library, anchors))


@compares("04", "released_round_trip")
def test_the_released_code_gives_back_edges(round_trip):
    """What goes in inclusive comes out as edges: x2 and y2 one larger, as `from_inclusive` does."""
    boxes, anchors = odd_boxes().round().split(20)
    for box, anchor in zip(boxes, anchors):
        edges = from_inclusive(box[None])[0].tolist()
        assert round_trip(box.tolist(), anchor.tolist()) == pytest.approx(edges, abs=1e-3)


# ---- 10: reading features inside boxes ----------------------------------------------------------

SCALE = 1 / 16
MAP = torch.randn(2, 7, 9, generator=torch.Generator().manual_seed(1))  # of 144 x 112 pixels


def boxes_anywhere(number: int = 60) -> Tensor:
    """(number, 4) around the image; every third smaller than a cell, many outside."""
    draw = torch.Generator().manual_seed(2)
    corner = torch.rand(number, 2, generator=draw) * 200 - 50
    side = torch.rand(number, 2, generator=draw) * 100 + 1
    side[::3] = side[::3] / 8
    return torch.cat([corner, corner + side], dim=1)


def boxes_on_edges(number: int = 60) -> Tensor:
    """(number, 4) whose edges are cells' edges or middles, multiples of 8 pixels; many outside."""
    draw = torch.Generator().manual_seed(3)
    corner = torch.randint(-7, 16, (number, 2), generator=draw)
    side = torch.randint(1, 13, (number, 2), generator=draw)
    side[::5] = 1
    return 8.0 * torch.cat([corner, corner + side], dim=1)


# On the cells' edges many samples lie exactly where reading ends. With 4 bins (and n = 2) every
# coordinate is a short binary fraction, so that all ways of writing it agree to the last bit.
BOXES = [(boxes_anywhere(), 3), (boxes_on_edges(), 4), (boxes_on_edges(), 1)]


def rois(boxes: Tensor) -> Tensor:
    return F.pad(boxes, (1, 0))  # all of image 0


def test_the_boxes_are_of_all_kinds():
    """Of each kind at least five; a cell is 16 pixels, the image 144 x 112 of them."""
    for boxes, _ in BOXES:
        low, high, frame = boxes[:, :2], boxes[:, 2:], torch.tensor([144, 112])
        small = (high - low < 16).all(dim=1)
        inside = (low >= 0).all(dim=1) & (high <= frame).all(dim=1)
        off = (high <= 0).any(dim=1) | (low >= frame).any(dim=1)
        assert len(boxes) >= 50 and (high > low).all()
        assert min(kind.sum() for kind in (small, inside, off, ~inside & ~off)) >= 5


def same(ours: Tensor, theirs: Tensor) -> None:
    """Equal but for the order of adding in float32."""
    torch.testing.assert_close(ours, theirs, rtol=0, atol=2e-5)


@compares("10", "pool_loop", "pool_vectorised")
def test_pool(*ours):
    for boxes, bins in BOXES:
        library = roi.roi_pool(MAP[None], rois(boxes), bins, SCALE)
        assert torch.equal(library, ops.roi_pool(MAP[None], rois(boxes), bins, SCALE))
        for box, block in zip(boxes.tolist(), library):
            for function in ours:
                for channel, expected in zip(MAP, block):
                    assert torch.equal(function(channel, tuple(box), bins, SCALE), expected)


@compares("10", "kappa")
def test_kappa(kappa):
    """1 - |z| by hand; and between two cells, what linear interpolation gives each of them."""
    z = torch.tensor([-1.5, -1.0, -0.25, 0.0, 0.5, 1.0, 2.0])
    assert kappa(z).tolist() == [0, 0, 0.75, 1, 0.5, 0, 0]
    z = torch.rand(50, generator=torch.Generator().manual_seed(0)) * 6
    same(kappa(z[:, None] - torch.arange(7)),
         roi.axis_matrix(roi.axis_weights(z[None, :, None], 7), 7)[0])


@compares("10", "warp_loop")
def test_warp(warp_loop):
    for rounding in (False, True):
        for boxes, bins in BOXES:
            library = roi.roi_warp(MAP[None], rois(boxes), bins, SCALE, rounding)
            for box, block in zip(boxes.tolist(), library):
                for channel, expected in zip(MAP, block):
                    same(warp_loop(channel, tuple(box), bins, SCALE, rounding=rounding), expected)


@compares("10", "g_matrix", "warp_vectorised")
def test_warp_as_matrices(g_matrix, warp_vectorised):
    for boxes, bins in BOXES:
        library = roi.roi_warp(MAP[None], rois(boxes), bins, SCALE)
        same(warp_vectorised(MAP, boxes, bins, SCALE), library)
        for (x1, y1, x2, y2), block in zip(boxes * SCALE, library):
            same(g_matrix(y1, y2, bins, 7) @ MAP @ g_matrix(x1, x2, bins, 9).T, block)


@compares("10", "bilinear")
def test_bilinear(bilinear):
    """torch's own reading with the border repeated, up to one cell beyond it; then 0."""
    draw = torch.Generator().manual_seed(4)
    anywhere = torch.rand(60, 2, generator=draw) * 13 - 2
    edges = [(y, x) for y in (-1.5, -1.0, 0.0, 6.0, 7.0, 7.5) for x in (-1.0, 2.5, 8.0, 9.0, 9.25)]
    for y, x in [*anywhere.tolist(), *edges]:
        place = torch.tensor([[[[2 * x / 8 - 1, 2 * y / 6 - 1]]]])  # -1 and 1: the outermost cells
        border = F.grid_sample(MAP[None], place, padding_mode="border", align_corners=True)
        inside = -1 <= y <= 7 and -1 <= x <= 9
        for channel, expected in zip(MAP, border.flatten()):
            same(bilinear(channel, y, x), expected * inside)


@compares("10", "align_loop")
def test_align(align_loop):
    for aligned in (True, False):
        for samples in (1, 2, 3):
            for boxes, bins in BOXES[: 1 if samples == 3 else None]:
                options = (rois(boxes), bins, SCALE, samples, aligned)
                library = roi.roi_align(MAP[None], *options)
                same(ops.roi_align(MAP[None], *options), library)
                for box, block in zip(boxes.tolist(), library):
                    same(align_loop(MAP[0], tuple(box), bins, SCALE, samples, aligned), block[0])


@compares("10", "align_matrix", "align_vectorised")
def test_align_as_matrices(align_matrix, align_vectorised):
    for samples in (1, 2):
        for boxes, bins in BOXES:
            options = (rois(boxes), bins, SCALE, samples)
            same(align_vectorised(MAP, boxes, bins, SCALE, samples),
                 roi.roi_align(MAP[None], *options))
            down, across = roi.roi_align_matrices((7, 9), *options)
            for (x1, y1, x2, y2), a_y, a_x in zip(boxes * SCALE, down, across):
                same(align_matrix(y1, y2, bins, 7, samples), a_y)
                same(align_matrix(x1, x2, bins, 9, samples), a_x)


# ---- 11: MNC's mask stage -----------------------------------------------------------------------


def mask_and_boxes(number: int = 30) -> tuple[Tensor, Tensor]:
    """A mask of (12, 15) pixels, and boxes around and in it; every third smaller than a pixel."""
    draw = torch.Generator().manual_seed(5)
    mask = torch.rand(12, 15, generator=draw) > 0.4
    corner = torch.rand(number, 2, generator=draw) * 20 - 4
    side = torch.rand(number, 2, generator=draw) * 9 + 1
    side[::3] = side[::3] / 12
    return mask, torch.cat([corner, corner + side], dim=1)


@compares("11", "crop_loop", "cover_matrix", "crop_vectorised")
def test_crops(crop_loop, cover_matrix, crop_vectorised):
    mask, boxes = mask_and_boxes()
    for size in (1, 4):
        library = crop_masks(mask.expand(len(boxes), -1, -1), boxes, size)
        for box, shares in zip(boxes.tolist(), library):
            x1, y1, x2, y2 = box
            by_axis = cover_matrix(y1, y2, size, 12) @ mask.float() @ cover_matrix(
                x1, x2, size, 15).T
            for ours in (crop_loop(mask, box, size), crop_vectorised(mask, box, size), by_axis):
                torch.testing.assert_close(ours, shares, rtol=0, atol=5e-4)  # bins of 0.02 pixels


@compares("11", "grown", "limits")
def test_areas_and_limits_of_true_masks(grown, limits):
    scenes = [Scenes("naive", 3)[i] for i in range(3)]
    pairs = [(mask, box) for _, one in scenes for mask, box in zip(one.masks, one.boxes)]
    for m in (3, 9):
        best = torch.tensor([best_possible(mask, box, m)[1] for mask, box in pairs])
        torch.testing.assert_close(limits(scenes, m), best)
        areas = torch.stack([best_possible(mask, box, m)[0].sum() * (box[2:] - box[:2]).prod()
                             / m**2 / mask.sum() for mask, box in pairs])
        at = grown(scenes, m, (0.5, 1.1))
        torch.testing.assert_close(at, torch.stack([areas.mean(), torch.tensor(0.0)]))
    assert (limits(scenes, 64, binarize=False) > 0.97).all()  # as fine as the pixels


@compares("11", "head_loop", "head_vectorised")
def test_the_mask_head(head_loop, head_vectorised):
    draw = torch.Generator().manual_seed(6)
    head = MaskStage(3, 4, 7, 5).requires_grad_(False)
    for parameter in head.parameters():
        parameter.copy_(torch.randn(parameter.shape, generator=draw))
    features = torch.randn(6, 3, 4, 4, generator=draw)
    layers = (head.hidden.weight, head.hidden.bias, head.masks.weight.T.reshape(7, 5, 5),
              head.masks.bias.view(5, 5))
    torch.testing.assert_close(head_vectorised(features, *layers), head(features))
    for block, logits in zip(features, head(features)):
        torch.testing.assert_close(head_loop(block, *layers), logits, rtol=1e-4, atol=1e-4)


@compares("11", "loss_loop", "loss_vectorised")
def test_the_mask_loss(*ours):
    """The library's mean over positives; a weight of 2 counts a box twice."""
    draw = torch.Generator().manual_seed(7)
    for number in (1, 6):
        logits = 6 * torch.randn(number, 3, 3, generator=draw)
        wanted = (torch.rand(number, 3, 3, generator=draw) > 0.5).float()
        weights = torch.tensor([1.0, 0, 1, 2, 0, 1])[:number]
        times = weights.long()
        library = mask_loss(logits.repeat_interleave(times, 0), wanted.repeat_interleave(times, 0))
        for function in ours:
            torch.testing.assert_close(function(logits, wanted, weights), library)
            assert function(logits, wanted, 0 * weights) == 0


@compares("11", "tent_matrix", "paste_vectorised")
def test_pasting(tent_matrix, paste_vectorised):
    draw = torch.Generator().manual_seed(8)
    corner = torch.randint(-6, 12, (40, 2), generator=draw)
    boxes = torch.cat([corner, corner + torch.randint(1, 15, (40, 2), generator=draw)], dim=1)
    for side in (1, 5):
        crops = torch.rand(40, side, side, generator=draw)
        library = paste_masks(crops, boxes.float(), (9, 11))
        for crop, box, expected in zip(crops, boxes.tolist(), library):
            same(paste_vectorised(crop, box, (9, 11)), expected)
            same(tent_matrix(box[1], box[3], side, 9) @ crop
                 @ tent_matrix(box[0], box[2], side, 11).T, expected)


# ---- 12: the category stage ---------------------------------------------------------------------


@compares("12", "masked_loop", "masked_vectorised")
def test_masked(*ours):
    draw = torch.Generator().manual_seed(5)
    for rois, channels, size in ((1, 1, 1), (3, 2, 4), (2, 5, 3), (0, 2, 4)):
        features = torch.randn(rois, channels, size, size, generator=draw)
        masks = torch.rand(rois, size, size, generator=draw)
        masks[::2] = masks[::2].round()
        for function in ours:
            same(function(features, masks), masked_features(features, masks))


@compares("12", "resize_loop", "resize_matrix")
def test_resizing_a_mask(resize_loop, resize_matrix):
    draw = torch.Generator().manual_seed(6)
    for side, size in ((28, 14), (21, 14), (14, 14), (3, 7), (1, 4), (9, 2)):
        mask = torch.rand(side, side, generator=draw)
        library = masked_features(torch.ones(1, 1, size, size), mask[None])[0, 0]
        A = resize_matrix(side, size)
        same(resize_loop(mask, size), library)
        same(A @ mask @ A.T, library)


@compares("12", "nudged_slope")
def test_the_slope_of_a_mask(nudged_slope):
    draw = torch.Generator().manual_seed(7)
    for channels, size in ((1, 2), (4, 3)):
        block, slope = torch.randn(2, channels, size, size, generator=draw, dtype=torch.float64)
        mask = torch.rand(size, size, generator=draw, dtype=torch.float64).requires_grad_()
        masked_features(block[None], mask[None]).backward(slope[None])
        same(nudged_slope(block, mask.detach(), slope), mask.grad)


@compares("12", "two_pathways")
def test_two_pathways(two_pathways):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        stages = [CategoryStage(3, 4, 6, 2), CategoryStage(2, 6, 5, 1)]
    draw = torch.Generator().manual_seed(8)
    for stage, channels, size in zip(stages, (3, 2), (4, 6)):
        block, masked = torch.randn(2, 5, channels, size, size, generator=draw)
        with torch.no_grad():
            for ours, theirs in zip(two_pathways(stage, block, masked), stage(block, masked)):
                same(ours, theirs)


@compares("12", "mask_label_loop")
def test_the_label_that_counts_the_mask(mask_label_loop):
    draw, none = torch.Generator().manual_seed(9), torch.zeros(1, 4)
    labels = set()
    for _ in range(60):
        corner = torch.rand(2, generator=draw) * 10
        box = torch.cat([corner, corner + 2 + torch.rand(2, generator=draw) * 8])[None]
        crop = torch.rand(1, 4, 4, generator=draw) * 1.5
        pasted = paste_masks(crop, box, (20, 20))
        real = (pasted >= 0.45) ^ (torch.rand(1, 20, 20, generator=draw) < 0.08)
        for threshold in (0.4, 0.5):
            asked = StageTargets(torch.tensor([3]), torch.tensor([0]), none, crop)
            library = int(mask_level_labels(crop, box, asked, real, threshold, 0.5))
            assert mask_label_loop(pasted[0], real[0], 3, threshold, 0.5) == library
            labels.add(library)
    assert labels == {0, 3}


@compares("12", "class_loss_loop", "box_loss_loop")
def test_the_terms_of_stage_3(class_loss_loop, box_loss_loop):
    draw = torch.Generator().manual_seed(10)
    for count, classes in ((1, 1), (7, 4), (0, 2)):
        logits = 3 * torch.randn(count, classes + 1, generator=draw)
        labels = torch.randint(0, classes + 1, (count,), generator=draw)
        assert class_loss_loop(logits, labels) == pytest.approx(float(class_loss(logits, labels)),
                                                                abs=1e-5)
        deltas = 2 * torch.randn(count, classes + 1, 4, generator=draw)
        positive = labels > 0
        wanted = torch.randn(int(positive.sum()), 4, generator=draw)
        library = delta_loss(deltas[positive, labels[positive]], wanted, count, 1.0)
        assert box_loss_loop(deltas, labels, wanted) == pytest.approx(float(library), abs=1e-5)


# ---- 13: the cascade ----------------------------------------------------------------------------


def some_boxes(number: int, draw: torch.Generator) -> Tensor:
    corner = torch.rand(number, 2, generator=draw) * 10
    return torch.cat([corner, corner + 2 + torch.rand(number, 2, generator=draw) * 10], dim=1)


@compares("13", "next_boxes_loop", "next_boxes_vectorised")
def test_new_boxes(*ours):
    draw, weights = torch.Generator().manual_seed(11), (10, 10, 5, 5)
    for number, classes in ((1, 1), (9, 4), (0, 2)):
        boxes = some_boxes(number, draw)
        deltas = 3 * torch.randn(number, classes + 1, 4, generator=draw)
        logits = torch.randn(number, classes + 1, generator=draw)
        logits[::2, 0] = 9  # background is likeliest, and must not choose
        own = deltas[torch.arange(number), likeliest_class(logits)]
        for function in ours:
            same(function(boxes, deltas, logits, weights), decode_boxes(own, boxes, weights))


@compares("13", "edge_slopes_loop", "delta_gradient_vectorised")
def test_the_gradient_that_moves_a_box(edge_slopes_loop, delta_gradient_vectorised):
    draw = torch.Generator().manual_seed(12)
    for bins in (1, 2, 5):
        features = torch.randn(15, generator=draw, dtype=torch.float64)
        slopes = torch.randn(bins, generator=draw, dtype=torch.float64)
        anchor = torch.tensor([[2.0, 1, 9, 2]], dtype=torch.float64)
        deltas = 0.2 * torch.randn(1, 4, generator=draw, dtype=torch.float64)
        deltas[0, 1::2] = 0  # up and down the map is the same everywhere
        leaf = deltas.clone().requires_grad_()
        boxes = decode_boxes(leaf, anchor)
        rois = torch.nn.functional.pad(boxes, (1, 0))
        read = roi_warp(features.expand(1, 1, 4, 15), rois, (1, bins))[0, 0, 0]
        (read * slopes).sum().backward()
        x1, _, x2, _ = boxes[0].tolist()
        to_x1, to_x2 = edge_slopes_loop(features, x1, x2, slopes)
        at_edges = torch.stack([to_x1, 0 * to_x1, to_x2, 0 * to_x2])[None]
        same(delta_gradient_vectorised(at_edges, deltas, anchor), leaf.grad)


@compares("13", "delta_gradient_vectorised")
def test_from_edges_to_deltas(delta_gradient_vectorised):
    draw = torch.Generator().manual_seed(13)
    anchors, slopes = some_boxes(8, draw), torch.randn(8, 4, generator=draw)
    deltas = (0.5 * torch.randn(8, 4, generator=draw)).requires_grad_()
    (decode_boxes(deltas, anchors) * slopes).sum().backward()
    same(delta_gradient_vectorised(slopes, deltas.detach(), anchors), deltas.grad)


@compares("13", "vote_loop", "vote_vectorised")
def test_voting(*ours):
    draw = torch.Generator().manual_seed(14)
    for number, merge_iou in ((1, 0.5), (12, 0.5), (12, 0.2)):
        boxes, crops = some_boxes(number, draw), torch.rand(number, 5, 5, generator=draw)
        scores = torch.rand(number, 4, generator=draw)
        votes = voting.cast_votes(boxes, scores, merge_iou=merge_iou)
        means = voting.average_masks(boxes, crops, votes.weights, (24, 25))
        pasted = paste_masks(crops, boxes, (24, 25))
        for row, label, mean in zip(votes.kept.tolist(), votes.labels.tolist(), means):
            for function in ours:
                same(function(boxes, pasted, scores, row, label, merge_iou), mean)


# ---- 21: Mask R-CNN's heads ---------------------------------------------------------------------


@compares("21", "upsample_loop", "upsample_vectorised")
def test_transposed_convolution(loop, vectorised):
    draw = torch.Generator().manual_seed(0)
    for side in (1, 2, 5):
        block, bias = torch.randn(3, side, side, generator=draw), torch.randn(4, generator=draw)
        weight = torch.randn(3, 4, 2, 2, generator=draw)
        theirs = F.conv_transpose2d(block[None], weight, bias, stride=2)[0]
        torch.testing.assert_close(loop(block, weight, bias), theirs, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(vectorised(block, weight, bias), theirs, atol=1e-5, rtol=1e-5)


@compares("21", "losses_loop", "losses_vectorised")
def test_the_heads_losses(loop, vectorised):
    draw = torch.Generator().manual_seed(0)
    for positives, background in ((2, 3), (0, 4), (3, 0)):
        labels = torch.cat([torch.randint(1, 4, (positives,), generator=draw),
                            torch.zeros(background, dtype=torch.int64)])
        rois, own = positives + background, labels[:positives]
        logits, deltas = (torch.randn(rois, 4, *more, generator=draw) for more in ((), (4,)))
        masks = 2 * torch.randn(positives, 4, 3, 3, generator=draw)
        wanted = torch.randn(positives, 4, generator=draw)
        crops = torch.rand(positives, 3, 3, generator=draw)
        rows = torch.arange(positives)
        library = (class_loss(logits, labels), delta_loss(deltas[rows, own], wanted, rois),
                   mask_loss(masks[rows, own], crops))
        for found in (loop, vectorised):
            given = found(logits, deltas, masks, labels, wanted, crops)
            assert [float(x) for x in given] == pytest.approx([float(x) for x in library], abs=1e-5)


@compares("21", "learners_mask_loss")
def test_the_bug_is_a_second_sigmoid(learners):
    draw = torch.Generator().manual_seed(0)
    masks, crops = torch.randn(3, 4, 5, 5, generator=draw), torch.rand(3, 5, 5, generator=draw)
    labels = torch.tensor([3, 1, 2])
    twice = mask_loss(masks[torch.arange(3), labels].sigmoid(), crops)
    torch.testing.assert_close(learners(masks, crops, labels), twice)


@compares("21", "decode_loop")
def test_detections(loop):
    draw = torch.Generator().manual_seed(0)
    for rois in (0, 1, 20):
        corner = 30 * torch.rand(rois, 2, generator=draw)
        boxes = torch.cat([corner, corner + 4 + 20 * torch.rand(rois, 2, generator=draw)], dim=1)
        logits = 2 * torch.randn(rois, 4, generator=draw)
        deltas = torch.randn(rois, 4, 4, generator=draw)
        settings = ((40, 50), (10, 10, 5, 5), 0.1, 0.5, 12)
        found, labels, scores = loop(logits, deltas, boxes, *settings)
        library = instances.decode_detections(logits, deltas, boxes, *settings)
        assert labels == library.labels.tolist()
        assert scores == pytest.approx(library.scores.tolist(), abs=1e-5)
        for ours, theirs in zip(found, library.boxes):
            torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


@compares("21", "paste_loop", "paste_matrix")
def test_pasting_along_one_axis(loop, matrix):
    draw = torch.Generator().manual_seed(0)
    for bins in (1, 2, 7):
        for low in (-3.2, 0.0, 2.75):
            row, high = torch.rand(bins, generator=draw), low + 1 + 8 * float(torch.rand(
                1, generator=draw))
            box = torch.tensor([[low, 0.0, high, 3.0]])
            library = paste_masks(row.expand(1, bins, bins), box, (3, 9))[0, 1]
            for found in (loop(row, low, high, 9), matrix(low, high, bins, 9) @ row):
                torch.testing.assert_close(found, library, atol=1e-5, rtol=1e-4)


# ---- 20: pyramids -------------------------------------------------------------------------------


def _changing_nothing(levels):
    """An FPN of one channel whose convolutions leave a map as it is."""
    pyramid = FPN([1] * levels, 1)
    for conv in pyramid.lateral:
        nn.init.ones_(conv.weight)
    for conv in pyramid.smooth:
        nn.init.zeros_(conv.weight)
        conv.weight.data[0, 0, 1, 1] = 1
    return pyramid


@compares("20", "receptive_fields")
def test_receptive_fields_are_where_the_gradient_comes_from(receptive_fields):
    for convs in ([(3, 2)], [(3, 2), (3, 1)], [(3, 2), (3, 2), (5, 1), (3, 1)]):
        x = torch.zeros(1, 1, 101, requires_grad=True)
        y, jump = x, 1
        for size, stride in convs:
            y = F.conv1d(y, torch.ones(1, 1, size), stride=stride, padding=size // 2)
            jump *= stride
        y[0, 0, y.shape[2] // 2].backward()
        assert receptive_fields(convs)[-1] == (int((x.grad > 0).sum()), jump)


@compares("20", "topdown_loop", "topdown_vectorised")
def test_the_topdown_pathway(topdown_loop, topdown_vectorised):
    draw = torch.Generator().manual_seed(60)
    for shapes in ([(8, 12), (4, 6), (2, 3)], [(13, 7), (7, 4), (4, 2)], [(5, 5)]):
        maps = [torch.randn(*shape, generator=draw) for shape in shapes]
        with torch.no_grad():
            library = _changing_nothing(len(maps))([one[None, None] for one in maps])
        for loop, fast, level in zip(topdown_loop(maps), topdown_vectorised(
                [one[None, None] for one in maps]), library):
            torch.testing.assert_close(loop, level[0, 0])
            torch.testing.assert_close(fast, level)


@compares("20", "pyramid_by_hand")
def test_the_whole_pyramid(pyramid_by_hand):
    torch.manual_seed(61)
    pyramid = FPN([3, 5, 7], 4)
    for conv in (*pyramid.lateral, *pyramid.smooth):
        nn.init.normal_(conv.bias)
    maps = [torch.randn(2, 3, 12, 9), torch.randn(2, 5, 6, 5), torch.randn(2, 7, 3, 3)]
    weights = [[(conv.weight, conv.bias) for conv in convs]
               for convs in (pyramid.lateral, pyramid.smooth)]
    for ours, library in zip(pyramid_by_hand(maps, *weights), pyramid(maps), strict=True):
        torch.testing.assert_close(ours, library, atol=1e-5, rtol=1e-5)


@compares("20", "levels_loop", "levels_vectorised")
def test_levels_of_boxes(levels_loop, levels_vectorised):
    draw = torch.Generator().manual_seed(62)
    corners = 600 * torch.rand(200, 2, generator=draw)
    sides = 2 ** (10 * torch.rand(200, 2, generator=draw))
    boxes = torch.cat([torch.cat([corners, corners + sides], dim=1),
                       torch.tensor([[0.0, 0, 224, 224], [5, 5, 5, 9], [0, 0, 448, 112]])])
    for numbers in ((4,), (3, 56, 0), (2, 100, 1)):
        library = assign_levels(boxes, *numbers).tolist()
        assert levels_loop(boxes.tolist(), *numbers) == library
        assert levels_vectorised(boxes, *numbers).tolist() == library


@compares("20", "read_in_order")
def test_blocks_from_several_levels(read_in_order):
    draw = torch.Generator().manual_seed(63)
    levels = [torch.randn(2, 3, 64 // s, 64 // s, generator=draw) for s in (4, 8, 16)]
    corners = 40 * torch.rand(9, 2, generator=draw)
    images = torch.randint(0, 2, (9, 1), generator=draw).float()
    rois = torch.cat([images, corners, corners + 20], dim=1)
    level_of = torch.randint(0, 3, (9,), generator=draw)

    def read(features, rois, scale):
        return roi.roi_align(features, rois, 2, scale)

    arguments = levels, (4, 8, 16), rois, level_of, read
    assert torch.equal(read_in_order(*arguments), read_pyramid(*arguments))


# ---- 22: a loss, and the kinds of errors --------------------------------------------------------


@compares("22", "smooth_l1")
def test_smooth_l1(smooth_l1):
    for beta in (1 / 9, 1.0, 2.5):
        for difference in (torch.linspace(-3, 3, 61, dtype=torch.float64) * beta).tolist():
            x = torch.tensor(difference, dtype=torch.float64)
            theirs = F.smooth_l1_loss(x, torch.zeros_like(x), beta=beta)
            assert math.isclose(smooth_l1(difference, beta), theirs, abs_tol=1e-12)


def spans(labels: list[int], *spans: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """Boxes, labels and masks of an image of one row of 100 pixels."""
    masks = torch.zeros(len(spans), 1, 100, dtype=torch.bool)
    for mask, (begin, end) in zip(masks, spans):
        mask[0, begin:end] = True
    return torch.zeros(len(spans), 4), torch.tensor(labels), masks


@compares("22", "judge", "mend")
def test_the_kinds_of_errors(judge, mend):
    """Objects at 0-40 (class 1) and 50-90 (class 2). IoU by hand:

    0-40 is the first; 0-36 is 36/40 of it, again; 50-90 is the second, called class 1; 70-100
    shares 20 of 50 pixels with it, 0.4; 92-100 shares none.
    """
    real = Targets(*spans([1, 2], (0, 40), (50, 90)))
    boxes, labels, masks = spans([1, 1, 1, 2, 2], (0, 40), (0, 36), (50, 90), (70, 100), (92, 100))
    found = Detections(boxes, labels, torch.linspace(0.9, 0.5, 5), masks)
    kinds = ["right", "duplicate", "wrong class", "loose mask", "background"]
    assert judge(found, real) == (kinds, {0})
    for kind in kinds[1:]:
        left, taken = judge(*mend(found, real, kind))
        assert kind not in left and "right" in left
        assert (taken == {0, 1}) == (kind in ("wrong class", "loose mask"))
    _, fewer = mend(found, real, "missed")  # as if the second had never been there
    assert fewer.labels.tolist() == [1] and torch.equal(fewer.masks, real.masks[:1])


# ---- 14: parameters and work counted, terms of losses, AP^r -------------------------------------

SMALL_VGG = ((3, 4), (4, 4), (4, 6), (6, 6), (6, 8), (8, 8), (8, 8), (8, 5), (5, 5), (5, 5))


@compares("14", "linear_parameters", "conv_parameters")
def test_parameters_of_a_layer(linear_parameters, conv_parameters):
    for inputs, outputs, side in ((1, 1, 1), (3, 7, 3), (12, 5, 1), (6, 2, 5)):
        linear = nn.Linear(inputs, outputs, device="meta")
        assert linear_parameters(inputs, outputs) == sum(p.numel() for p in linear.parameters())
        conv = nn.Conv2d(inputs, outputs, side, device="meta")
        assert conv_parameters(inputs, outputs, side) == sum(p.numel() for p in conv.parameters())


@compares("14", "parameters_by_hand")
def test_parameters_of_the_papers_model(parameters_by_hand):
    for m in (14, 21, 28):
        with torch.device("meta"):
            model = mnc.MNC(replace(mnc.Config.paper(20), mask_size=m))
        convs = [(c.in_channels, c.out_channels) for c in model.backbone.modules()
                 if isinstance(c, nn.Conv2d)]
        for name, count in parameters_by_hand(convs, m).items():
            assert count == sum(p.numel() for p in getattr(model, name).parameters()), name


@compares("14", "work_by_hand")
def test_work_is_what_torch_counts(work_by_hand):
    with torch.device("meta"):
        model = mnc.MNC(mnc.Config.paper(20))
        for height, width, boxes in ((64, 96, 3), (75, 101, 1)):
            convs = [c for c in model.backbone.modules() if isinstance(c, nn.Conv2d)]
            pairs = [(c.in_channels, c.out_channels) for c in convs]
            work = work_by_hand(pairs, (1, 3, 6, 9), height, width, boxes)
            block = torch.empty(boxes, 512, 14, 14)
            image = torch.empty(1, 3, height, width)
            features = mnc.feature_map(model, image)
            for name, part, given in (("conv", model.backbone, (image,)),
                                      ("stage 1", model.rpn_head, ([features],)),
                                      ("stage 2", model.mask_stage, (block,)),
                                      ("stage 3", model.category_stage, (block, block))):
                with FlopCounterMode(display=False) as counter:
                    part(*given)
                assert counter.get_total_flops() == 2 * work[name], name


@compares("14", "log_loss", "class_loss_of", "smooth_l1")
def test_terms_of_the_ten_losses(log_loss, class_loss_of, smooth_l1):
    draw = torch.Generator().manual_seed(14)
    logits = torch.randn(40, 6, generator=draw, dtype=torch.float64) * 20
    for row, label in zip(logits, torch.randint(0, 6, (40,), generator=draw)):
        theirs = F.cross_entropy(row[None], label[None])
        assert math.isclose(class_loss_of(row.tolist(), int(label)), theirs, abs_tol=1e-9)
    for logit in logits.flatten()[:80]:
        for wanted in (0.0, 1.0):
            theirs = F.binary_cross_entropy_with_logits(logit, torch.full_like(logit, wanted))
            assert math.isclose(log_loss(float(logit), wanted), theirs, abs_tol=1e-9)
    for beta in (1 / 9, 1.0):
        for x in torch.linspace(-3, 3, 41, dtype=torch.float64):
            theirs = F.smooth_l1_loss(x, torch.zeros_like(x), beta=beta)
            assert math.isclose(smooth_l1(float(x), beta), theirs, abs_tol=1e-12)


@compares("14", "two_stages_by_hand")
def test_the_losses_of_two_stages(two_stages_by_hand):
    draw, config = torch.Generator().manual_seed(15), mnc.Config.course(3)
    for rois, labels in ((1, [0]), (5, [0, 2, 0, 3, 1]), (2, [1, 1])):
        labels = torch.tensor(labels)
        positive = int((labels > 0).sum())
        asked = mnc.Asked(labels, torch.randn(positive, 4, generator=draw),
                          torch.rand(positive, 6, 6, generator=draw).round(), [])
        said = mnc.Named(torch.zeros(rois, 1, 2, 2), *(torch.randn(rois, 4, generator=draw)
                                                       for _ in range(2)),
                         torch.randn(rois, 4, 4, generator=draw))
        mask_logits = torch.randn(rois, 6, 6, generator=draw)
        seg_labels = labels * (torch.rand(rois, generator=draw) < 0.5)
        theirs = mnc.stage_losses(config, mask_logits, said, asked, seg_labels)
        ours = two_stages_by_hand(mask_logits, said, asked, seg_labels, config.box_beta)
        assert ours.keys() == theirs.keys()
        for name in ours:
            assert ours[name] == pytest.approx(float(theirs[name]), abs=1e-5), name


@compares("14", "ap_loop", "ap_vectorised")
def test_ap_with_eleven_recalls(*ours):
    draw = torch.Generator().manual_seed(16)
    for count in (0, 1, 5, 10, 30):
        for _ in range(12):
            right = (torch.rand(count, generator=draw) < 0.6).int()
            objects = int(right.sum()) + int(torch.randint(0, 6, (), generator=draw))
            objects = max(objects, 1)
            falling = torch.linspace(1, 0, count)
            theirs = average_precision(*precision_recall(falling, right.bool(), objects))
            for function in ours:
                assert math.isclose(function(right, objects), theirs, abs_tol=1e-9)


@compares("14", "judge")
def test_what_is_right_is_what_ap_r_counts(judge):
    """Of random scenes, the right ones of each class are the library's true positives."""
    draw = torch.Generator().manual_seed(17)
    for _ in range(20):
        real = Targets(*spans(torch.randint(1, 3, (3,), generator=draw).tolist(),
                              (0, 30), (35, 60), (70, 100)))
        begin = torch.tensor([0, 35, 70, 0, 35, 70]) + torch.randint(-8, 9, (6,), generator=draw)
        begin = begin.clamp(min=0).tolist()
        boxes, labels, masks = spans(torch.randint(1, 3, (6,), generator=draw).tolist(),
                                     *((b, b + 26) for b in begin))
        found = Detections(boxes, labels, torch.linspace(0.9, 0.2, 6), masks)
        for least in (0.5, 0.7):
            kinds, taken = judge(found, real, least)
            assert kinds.count("right") == len(taken)
            metric = MaskAP(2)
            metric.add(found, real)
            counted = 0
            for label in (1, 2):
                _, precision, _ = metric.curve(label, least)
                counted += round(len(precision) * float(precision[-1])) if len(precision) else 0
            assert kinds.count("right") == counted


# ---- the taking itself, on notebooks of a few cells ---------------------------------------------


@pytest.fixture
def page(tmp_path):
    def write(*sources: str) -> Path:
        cells = [nbformat.v4.new_code_cell(source) for source in sources]
        path = tmp_path / "77_some.ipynb"
        nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
        statements.cache_clear()
        return path

    return write


def test_a_function_brings_its_imports_and_the_functions_it_calls(page):
    path = page("import math as m\nfrom operator import mul\nraise SystemExit",
                "def half(x):\n    return mul(x, 0.5)",
                "def area(r):\n    def inner(r):\n        return m.pi * r * r\n"
                "    return half(inner(r)) if r else [half(i) for i in range(3)]")
    area, half = take(path, "area", "half")
    assert area(2) == 2 * math.pi and half(3) == 1.5 and area(0) == [0, 0.5, 1]


def test_of_two_functions_with_one_name_the_later_is_taken(page):
    (one,) = take(page("def one():\n    return 0", "def one():\n    return 1"), "one")
    assert one() == 1


@pytest.mark.parametrize("source", [
    "k = 3\ndef f(x):\n    return k * x",
    "k = 3\ndef f(x, times=k):\n    return times * x",
    "k = 3\ndef f(x):\n    return [k for _ in x]",
    "def g():\n    pass",
])
def test_a_function_that_only_runs_in_its_notebook_is_refused(page, source):
    with pytest.raises(ValueError, match="77_some.ipynb neither defines a function [kf] nor"):
        take(page(source), "f")


def test_exercises_are_known_by_their_check(page):
    path = page("def mine(x):\n    raise NotImplementedError\n\n\ncheck('some.name', mine)",
                "def other():\n    pass\nprint('check', other)\nexercises.check('a.b', third)")
    assert exercises(path) == {"mine", "third"} and set(functions(path)) == {"mine", "other"}


# ---- 06: proposals and suppression --------------------------------------------------------------


def _scored_boxes(draw, count=40, side=60.0):
    """Boxes around an image, some of which stick out, with scores of which some are equal."""
    corner = torch.rand(count, 2, generator=draw) * 1.2 * side - 0.1 * side
    boxes = torch.cat([corner, corner + 4 + 20 * torch.rand(count, 2, generator=draw)], dim=1)
    return boxes, torch.rand(count, generator=draw).round(decimals=1)


@compares("05", "match_loop", "match_vectorised")
def test_matching(loop, vectorised):
    """Eighths, so that ties and overlaps at the thresholds are common; a row of zeros too."""
    draw = torch.Generator().manual_seed(5)
    for _ in range(40):
        iou = torch.randint(0, 9, (3, 7), generator=draw) / 8
        iou[0] *= torch.randint(0, 2, (1,), generator=draw)
        for high, low in ((0.75, 0.25), (0.5, 0.5)):
            labels, matched = match(iou, high, low, force_best=True)
            for mine, owner in (loop(iou, high, low), vectorised(iou, high, low)):
                assert torch.equal(mine, labels) and torch.equal(owner, matched)


@compares("05", "lazy")
def test_the_lazy_answer_is_the_best_constant(lazy):
    labels = torch.tensor([1.0, 0, 0, 0, 0, 0, 0, 0])
    costs = [float(objectness_loss(torch.full((8,), z), labels))
             for z in (math.log(1 / 7) - 0.3, math.log(1 / 7), math.log(1 / 7) + 0.3)]
    assert math.isclose(lazy(1 / 8), costs[1], rel_tol=1e-5)
    assert costs[1] < min(costs[0], costs[2])


@compares("05", "draw_loop")
def test_the_draw(draw):
    chance = torch.Generator().manual_seed(5)
    for size, share in ((256, 0.5), (16, 0.5), (15, 0.25), (4, 1.0)):
        labels = torch.randint(-1, 2, (40,), generator=chance)
        mine, theirs = (f(labels, size, share, torch.Generator().manual_seed(size))
                        for f in (draw, sample))
        assert torch.equal(mine, theirs)


@compares("05", "objectness_loop", "smooth_l1", "delta_loop")
def test_the_rpn_losses(objectness, smooth_l1, deltas):
    draw = torch.Generator().manual_seed(5)
    logits, labels = 3 * torch.randn(30, generator=draw), (torch.arange(30) % 3 == 0).float()
    assert math.isclose(objectness(logits, labels), objectness_loss(logits, labels), rel_tol=1e-5)
    said, wanted = torch.randn(2, 6, 4, generator=draw)
    for beta in (1 / 9, 1.0):
        assert math.isclose(deltas(said, wanted, 50, beta), delta_loss(said, wanted, 50, beta),
                            rel_tol=1e-5)
        x = torch.linspace(-3, 3, 61, dtype=torch.float64) * beta
        theirs = F.smooth_l1_loss(x, torch.zeros_like(x), beta=beta, reduction="none")
        mine = torch.tensor([smooth_l1(d, beta) for d in x.tolist()], dtype=torch.float64)
        torch.testing.assert_close(mine, theirs)


@compares("05", "bare_encode")
def test_encoding_without_a_guard(encode):
    boxes, anchors = odd_boxes().split(20)
    mine = torch.stack([encode(box, anchor) for box, anchor in zip(boxes, anchors)])
    torch.testing.assert_close(mine, encode_boxes(boxes, anchors), atol=1e-5, rtol=1e-5)


@compares("05", "anchors_over")
def test_anchors_over_levels(anchors_over):
    config = mask_rcnn.Config.course(5)
    levels = [torch.zeros(1, 1, 128 // stride, 128 // stride) for stride in (4, 8, 16)]
    library = mask_rcnn.make_anchors(config, levels, (4, 8, 16), (128, 128))
    for mine, theirs in zip(anchors_over(levels, config.anchor_sizes, 128), library):
        assert torch.equal(mine, theirs)


@compares("05", "boxes_by_step")
def test_the_steps_end_in_proposals(boxes_by_step):
    """Random deltas, some of which leave a box outside the image, without an area."""
    draw, anchors = torch.Generator().manual_seed(5), odd_boxes(60)
    for _ in range(5):
        deltas, logits = torch.randn(60, 4, generator=draw), torch.randn(60, generator=draw)
        steps = boxes_by_step(anchors, logits, deltas, [40, 20], pre=15, post=6)
        library = propose(anchors, deltas, logits, [40, 20], (128, 128), 15, 6, 0.7)
        torch.testing.assert_close(steps["best 50"], library.boxes)


@compares("06", "clip_loop", "clip_vectorised")
def test_clipped_boxes(*ours):
    boxes, _ = _scored_boxes(torch.Generator().manual_seed(60))
    for function in ours:
        assert torch.equal(function(boxes, 40, 70), clip_boxes(boxes, (40, 70)))


@compares("06", "nms_loop", "nms_vectorised")
def test_suppression(nms_loop, nms_vectorised):
    draw = torch.Generator().manual_seed(61)
    for threshold in (0.0, 0.25, 0.5, 1.0):
        boxes, scores = _scored_boxes(draw)
        library = nms(boxes, scores, threshold).tolist()
        assert nms_loop(boxes, scores, threshold) == library
        assert nms_vectorised(boxes, scores, threshold).tolist() == library
    assert nms_loop(boxes[:0], scores[:0], 0.5) == []


@compares("06", "batched_loop")
def test_suppression_in_groups(batched_loop):
    draw = torch.Generator().manual_seed(62)
    for groups in (1, 3):
        boxes, scores = _scored_boxes(draw)
        scores = scores + 1e-3 * torch.rand(40, generator=draw)  # equal ones of two groups may swap
        group = torch.randint(0, groups, (40,), generator=draw)
        assert batched_loop(boxes, scores, group, 0.3) == batched_nms(boxes, scores, group,
                                                                      0.3).tolist()


@compares("06", "far_apart")
def test_groups_far_apart(far_apart):
    """On whole pixels and inside the image; where boxes stick out it is the notebook's bug."""
    draw = torch.Generator().manual_seed(63)
    boxes, scores = _scored_boxes(draw)
    boxes = clip_boxes(boxes.round(), (60, 60)) + torch.tensor([0, 0, 1.0, 1.0])
    group = torch.randint(0, 4, (40,), generator=draw)
    scores = scores + 1e-3 * torch.rand(40, generator=draw)
    assert torch.equal(nms(far_apart(boxes, group), scores, 0.25),
                       batched_nms(boxes, scores, group, 0.25))


@compares("06", "ladder")
def test_the_ladder_ends_in_the_librarys_proposals(ladder):
    draw = torch.Generator().manual_seed(64)
    for pre, post, iou in ((5, 3, 0.3), (20, 30, 0.7)):
        anchors, _ = _scored_boxes(draw)
        deltas, logits = 0.3 * torch.randn(40, 4, generator=draw), torch.randn(40, generator=draw)
        args = anchors, deltas, logits, [25, 15], (50, 60), pre, post, iou
        steps = ladder(*args)
        torch.testing.assert_close(steps["best few"], propose(*args).boxes)
        assert len(steps["clipped"]) == min(pre, 25) + min(pre, 15)


@compares("06", "recall_curve")
def test_recall_against_the_number_kept(recall_curve):
    draw = torch.Generator().manual_seed(65)
    iou = torch.rand(5, 7, generator=draw)
    expected = torch.tensor(proposals.recall(iou, 0.6))
    torch.testing.assert_close(recall_curve([iou], 0.6), expected)
    torch.testing.assert_close(recall_curve([iou[:2], iou[2:]], 0.6), expected)


# ---- 30: similarity and the pair loss -----------------------------------------------------------


@compares("30", "similarity_loop", "similarity_vectorised")
def test_similarities(*ours):
    draw = torch.Generator().manual_seed(30)
    for points, dim in ((1, 1), (5, 3), (7, 16)):
        e = 0.7 * torch.randn(points, dim, generator=draw)
        for function in ours:
            torch.testing.assert_close(function(e), similarity(e[:, None], e), atol=1e-6,
                                       rtol=1e-5)


@compares("30", "weights_loop")
def test_pair_weights(weights_loop):
    for sizes in ([3], [1, 3], [10, 10, 2, 80]):
        torch.testing.assert_close(weights_loop(torch.tensor(sizes)),
                                   pair_weights(torch.tensor(sizes)))


@compares("30", "pair_loss_loop", "pair_loss_naive", "clipped_loss")
def test_pair_losses(*ours):
    """Where no sigma is clipped and nothing overflows, all are the same."""
    draw = torch.Generator().manual_seed(31)
    for points in (1, 2, 8):
        e = 0.6 * torch.randn(points, 3, generator=draw)
        owner = torch.randint(0, 3, (points,), generator=draw)
        weights = pair_weights(torch.randint(1, 40, (points,), generator=draw))
        library = float(pair_loss(e, owner, weights))
        loop, naive, clipped = (float(function(e, owner, weights)) for function in ours)
        assert loop == pytest.approx(library, rel=1e-4, abs=1e-6)
        assert naive == pytest.approx(library, rel=1e-4, abs=1e-6)
        # equal points have sigma = 1, held at 1 - 1e-4
        assert clipped == pytest.approx(library, rel=1e-2, abs=2e-4)


# ---- 31: masks from seeds -----------------------------------------------------------------------


@compares("31", "grow_loop", "grow_vectorised")
def test_grown_masks(*ours):
    draw = torch.Generator().manual_seed(32)
    for tau in (0.2, 0.5, 0.9):
        e = 0.6 * torch.randn(4, 5, 6, generator=draw)
        sigma = similarity(e.permute(1, 2, 0), e[:, 3, 2])
        sure = (sigma - tau).abs() > 1e-5
        library = seeds.grow_masks(e, torch.tensor([[3, 2]]), tau)[0]
        for function in ours:
            assert torch.equal(function(e, 3, 2, tau)[sure], library[sure])


@compares("31", "pieces")
def test_pieces_are_what_hangs_together(pieces):
    """Against the flood fill of a wrong answer to an exercise, which is right about this."""
    draw = torch.Generator().manual_seed(33)
    for share in (0.0, 0.3, 0.6, 1.0):
        mask = torch.rand(7, 9, generator=draw) < share
        found = pieces(mask)
        assert torch.equal(sum(part.int() for part in found) if found else mask.int(), mask.int())
        sizes = [int(part.sum()) for part in found]
        assert sizes == sorted(sizes, reverse=True)
        flat = torch.where(mask, 0.0, 9.0)[None]
        for part in found:
            row, column = part.nonzero()[-1].tolist()
            filled = metric_masks._connected(flat, row, column, 0.5)
            assert torch.equal(filled.bool(), part)


@compares("31", "components_vectorised")
def test_principal_components(components_vectorised):
    e = torch.randn(6, 5, 7, generator=torch.Generator().manual_seed(34))
    variances, directions = components_vectorised(e.double())
    coordinates, shares = principal_components(e)
    torch.testing.assert_close((variances / variances.sum()).float(), shares)
    flat = e.flatten(1).double()
    own = (directions.T @ (flat - flat.mean(dim=1, keepdim=True))).float()
    torch.testing.assert_close(own.abs(), coordinates.flatten(1).abs(), atol=1e-4, rtol=1e-4)


@compares("31", "instances_loop")
def test_owners_of_cells(instances_loop):
    draw = torch.Generator().manual_seed(35)
    for cell in (1, 2, 4):
        owner = torch.randint(-1, 3, (8, 12), generator=draw)
        masks = torch.stack([owner == g for g in range(3)])
        library = instance_map(masks, (8 // cell, 12 // cell), (cell, cell))
        assert torch.equal(instances_loop(masks, cell), library)


@compares("31", "seed_labels_loop")
def test_labels_of_seeds(seed_labels_loop):
    draw = torch.Generator().manual_seed(36)
    owner = torch.randint(0, 3, (5, 6), generator=draw)
    places = 1.5 * torch.randn(3, 4, generator=draw)
    e = places[owner].permute(2, 0, 1) + 0.3 * torch.randn(4, 5, 6, generator=draw)
    args = e, torch.arange(30), owner, torch.tensor([2, 5]), (0.25, 0.5, 0.9), 0.6
    assert torch.equal(seed_labels_loop(*args), seed_labels(*args))


@compares("31", "seed_loss_loop")
def test_the_loss_of_seeds(seed_loss_loop):
    draw = torch.Generator().manual_seed(37)
    logits = 3 * torch.randn(4, 7, 6, generator=draw)
    wanted = torch.randint(0, 6, (4, 7), generator=draw)
    library = class_loss(logits.flatten(0, 1), wanted.flatten())
    assert seed_loss_loop(logits, wanted) == pytest.approx(float(library), rel=1e-5)
    assert seed_loss_loop(logits[:, :0], wanted[:, :0]) == 0


# ---- 32: seediness and the choice of seeds ------------------------------------------------------


@compares("32", "seediness_loop")
def test_seediness(seediness_loop):
    draw = torch.Generator().manual_seed(38)
    for thresholds, classes in ((1, 1), (4, 5)):
        probs = torch.randn(thresholds, classes + 1, 3, 4, generator=draw).softmax(dim=1)
        library = torch.stack([part.float() for part in seeds.seediness(probs)])
        assert torch.equal(seediness_loop(probs), library)


@compares("32", "depth")
def test_depth_by_hand(depth):
    """A block of 5 x 5 in a corner: the picture's edge is an outline, too."""
    mask = torch.zeros(7, 8, dtype=torch.bool)
    mask[:5, :5] = True
    expected = torch.tensor([[1, 1, 1, 1, 1], [1, 2, 2, 2, 1], [1, 2, 3, 2, 1], [1, 2, 2, 2, 1],
                             [1, 1, 1, 1, 1]])
    assert torch.equal(depth(mask)[:5, :5].long(), expected)
    assert not depth(mask)[~mask].any()


@compares("32", "crossover")
def test_the_crossover_is_the_exercises(crossover):
    for numbers in ((0.9, 0.25, 0.45, 4.0), (0.8, 0.25, 0.7, 1.0), (0.7, 1.0, 0.1, 9.0)):
        assert crossover(*numbers) == pytest.approx(metric_seeds.crossover(*numbers))


@compares("32", "pick_loop", "pick_vectorised")
def test_the_greedy_choice(*ours):
    draw = torch.Generator().manual_seed(39)
    for alpha in (0.0, 0.2, 1.0):
        e, scores = torch.randn(12, 3, generator=draw), torch.rand(12, generator=draw) + 0.01
        library = seeds.pick_seeds(e.T[:, None], (scores / 2)[None], 7, alpha)[:, 1].tolist()
        for function in ours:
            assert function(e, scores, 7, alpha) == library


@compares("32", "duplicates_loop")
def test_duplicates(duplicates_loop):
    draw = torch.Generator().manual_seed(40)
    for limit in (0.0, 0.4, 1.0):
        masks = torch.rand(8, 4, 5, generator=draw) < 0.6
        scores = torch.rand(8, generator=draw).round(decimals=1)  # some are equal
        library = seeds.remove_duplicates(masks, scores, torch.ones(8), limit)
        assert duplicates_loop(masks, scores, limit) == library.tolist()


# ---- 33: training and testing -------------------------------------------------------------------


@compares("33", "head_parameters")
def test_parameters_of_the_heads(head_parameters):
    for numbers in ((2048, 4, 64, 4, 20), (3, 1, 2, 1, 1)):
        assert head_parameters(*numbers) == metric_test.heads(*numbers)


@compares("33", "upsample_loop")
def test_cells_to_pixels(upsample_loop):
    for cells, stride in ((1, 3), (5, 2), (4, 8)):
        row = torch.rand(cells, generator=torch.Generator().manual_seed(41))
        size = (stride, cells * stride)
        torch.testing.assert_close(upsample_loop(row, stride), deep_metric.to_image(
            row[None, None], stride, size, size)[0, 0], atol=1e-6, rtol=1e-5)


@compares("33", "box_loop")
def test_boxes_of_masks(box_loop):
    draw = torch.Generator().manual_seed(42)
    masks = torch.rand(20, 6, 9, generator=draw) < 0.1
    masks[:, 2, 3] = True
    assert [box_loop(mask) for mask in masks] == masks_to_boxes(masks).tolist()


@compares("33", "judge")
def test_kinds_of_errors_are_the_exercises(judge):
    draw = torch.Generator().manual_seed(43)
    for _ in range(20):
        owner = torch.randint(0, 4, (4, 4), generator=draw)
        real = torch.stack([owner == g for g in range(3)])
        masks = torch.cat([real, torch.rand(3, 4, 4, generator=draw) < 0.4])
        labels = torch.randint(1, 3, (6,), generator=draw)
        found = Detections(torch.zeros(6, 4), labels, torch.ones(6), masks)
        there = Targets(torch.zeros(3, 4), torch.tensor([1, 2, 1]), real)
        kinds, taken = judge(found, there)
        expected = metric_test.kinds(mask_iou(masks, real), labels, there.labels)
        assert kinds == expected and len(taken) == kinds.count(0)


# ---- 42: own data -------------------------------------------------------------------------------


@compares("42", "runs_of")
def test_run_lengths(runs_of):
    draw = torch.Generator().manual_seed(44)
    for share in (0.0, 0.3, 0.8, 1.0):
        mask = torch.rand(5, 7, generator=draw) < share
        counts = runs_of(mask)
        assert sum(counts) == 35
        assert torch.equal(decode_segmentation({"size": [5, 7], "counts": counts}, (5, 7)), mask)


@compares("42", "resize_mask")
def test_masks_that_are_resized(resize_mask):
    draw = torch.Generator().manual_seed(45)
    for size in ((8, 16), (4, 4), (16, 3)):
        masks = torch.rand(3, 8, 12, generator=draw) < 0.7
        given = Targets(torch.tensor([[0.0, 0, 12, 8]] * 3), torch.ones(3, dtype=torch.long), masks)
        _, moved = resize(torch.zeros(3, 8, 12), given, size)
        assert torch.equal(torch.stack([resize_mask(one, size) for one in masks]), moved.masks)


# ---- 40: three papers ---------------------------------------------------------------------------


def _painted(draw, count, side=16):
    """Rectangles painted over one another: masks of which no two share a pixel, none empty."""
    owner = torch.full((side, side), -1)
    for k in range(count):
        y, x = torch.randint(0, side - 6, (2,), generator=draw).tolist()
        high, wide = torch.randint(3, 7, (2,), generator=draw).tolist()
        owner[y : y + high, x : x + wide] = k
    masks = torch.stack([owner == k for k in range(count)])
    return masks[masks.flatten(1).any(dim=1)]


@compares("40", "found_objects")
def test_found_objects(found_objects):
    draw = torch.Generator().manual_seed(46)
    for _ in range(30):
        real = _painted(draw, 4)
        masks = torch.cat([real, torch.roll(real, 1, dims=2), torch.roll(real, 3, dims=1)])
        masks = masks[torch.randperm(len(masks), generator=draw)]
        there = Targets(masks_to_boxes(real), torch.randint(1, 3, (len(real),), generator=draw),
                        real)
        found = Detections(masks_to_boxes(masks), torch.randint(1, 3, (len(masks),),
                           generator=draw), torch.linspace(1, 0.5, len(masks)), masks)
        fates = judge_image(found, there).fates
        assert found_objects(found, there) == [g for g, f in enumerate(fates) if f == "found"]


@compares("40", "box_fill")
def test_how_much_of_a_box_is_filled(box_fill):
    draw = torch.Generator().manual_seed(47)
    for _ in range(20):
        masks = _painted(draw, 3)
        real = Targets(masks_to_boxes(masks), torch.ones(len(masks), dtype=torch.long), masks)
        expected = [comparison.fill(masks.float(), k) for k in range(len(masks))]
        assert [list(pair) for pair in box_fill(real)] == [pytest.approx(e) for e in expected]


@compares("40", "contested")
def test_contested_boxes(contested):
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 6], [0, 0, 10, 5], [20, 20, 30, 30]])
    real = Targets(boxes, torch.ones(4, dtype=torch.long), torch.zeros(4, 40, 40) > 0)
    # 0.6 and 0.5 with the first, 5/6 with one another; an IoU of just 1/2 does not contest
    assert contested(real).tolist() == [True, True, True, False]
    assert contested(Targets(*(part[[0, 2]] for part in real))).tolist() == [False, False]
    assert contested(Targets.empty((40, 40))).tolist() == []


@compares("40", "lost_to_suppression")
def test_what_suppression_takes(lost_to_suppression):
    draw = torch.Generator().manual_seed(48)
    for _ in range(20):
        masks = _painted(draw, 5)
        labels = torch.randint(1, 3, (len(masks),), generator=draw)
        real = Targets(masks_to_boxes(masks), labels, masks)
        order = masks.flatten(1).sum(dim=1).argsort(descending=True, stable=True)
        for threshold in (0.3, 0.5):
            kept = comparison.survivors(real.boxes[order].tolist(), labels[order].tolist(),
                                        threshold)
            assert lost_to_suppression(real, threshold) == len(labels) - kept


# ---- 41: tables ---------------------------------------------------------------------------------


@compares("41", "spread_of")
def test_mean_and_deviation(spread_of):
    draw = torch.Generator().manual_seed(49)
    for n in (2, 3, 6):
        values = torch.randn(n, generator=draw).tolist()
        assert spread_of(values) == pytest.approx(tuple(miniature.deviation(values)))


@compares("41", "mean_interval", "spread_of")
def test_intervals(mean_interval, spread_of):
    draw = torch.Generator().manual_seed(50)
    for n in (2, 3, 6):
        each = torch.randn(n, generator=draw).tolist()
        library = report.interval(each)
        assert mean_interval(each) == pytest.approx((library.low, library.high), abs=1e-9)


@compares("41", "seeds_needed")
def test_how_many_seeds(seeds_needed):
    for each in ((1.0, 2.0, 3.0), (0.1, -0.1, 0.0), (5.0, 5.1), (-3.0, -4.0, -2.0)):
        found = report.interval(each)
        spread = miniature.deviation(each)[1]
        assert seeds_needed(found) == miniature.needed(found.mean, spread, miniature.T)
