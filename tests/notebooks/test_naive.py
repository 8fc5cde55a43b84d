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
from functools import cache
from pathlib import Path

import nbformat
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision import ops

from teachseg.geometry.masks import mask_iou
from teachseg.layers import roi
from teachseg.structures import Detections, Targets

NOTEBOOKS = sorted((Path(__file__).resolve().parents[2] / "notebooks").glob("*.ipynb"))

NOT_COMPARED = {  # (notebook, function): why there is nothing to compare
    ("10", "three_by_three"): "draws",
    ("10", "product"): "draws",
    ("10", "random_boxes"): "makes inputs",
    ("22", "live"): "settings of a training run",
    ("22", "course"): "settings of a training run",
    ("22", "full"): "settings of a training run",
    ("22", "ap50"): "calls the library's predict and coco_mask_ap, one after the other",
    ("22", "wrongs"): "counts what judge says of one scene of the notebook",
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
