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
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision import ops

from teachseg.datasets.coco import decode_segmentation
from teachseg.datasets.scenes import Scenes
from teachseg.datasets.transforms import resize
from teachseg.decoding import seeds, voting
from teachseg.evaluate import MaskAP, average_precision, precision_recall
from teachseg.exercises import comparison, metric_masks, metric_seeds, metric_test, miniature
from teachseg.explore.embeddings import principal_components
from teachseg.explore.mask_stage import best_possible
from teachseg.geometry.boxes import decode_boxes
from teachseg.geometry.masks import crop_masks, mask_iou, masks_to_boxes, paste_masks
from teachseg.geometry.similarity import similarity
from teachseg.layers import roi
from teachseg.layers.cascade import CategoryStage, MaskStage, likeliest_class, masked_features
from teachseg.layers.roi import roi_warp
from teachseg.learning.losses import (
    class_loss,
    delta_loss,
    mask_loss,
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
from teachseg.papers import deep_metric, mnc
from teachseg.structures import Detections, Targets
from teachseg.tables import report

NOTEBOOKS = sorted((Path(__file__).resolve().parents[2] / "notebooks").glob("*.ipynb"))

NOT_COMPARED = {  # (notebook, function): why there is nothing to compare
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
