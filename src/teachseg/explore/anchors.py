"""An anchor on a scene, and what a grid of such anchors reaches; and deltas that move an anchor.

Letters
    G     objects of the scene
    H, W  height and width: of the image in pixels, of a grid in cells

Boxes are (x1, y1, x2, y2) in image pixels. A ratio is height / width.

Lesson: 04
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import torch
from ipywidgets import FloatSlider, IntSlider, SelectionSlider
from torch import Tensor

from teachseg.checks import check_image
from teachseg.datasets.scenes import CLASSES
from teachseg.explore import svg
from teachseg.explore.explorer import Explorer, Frame
from teachseg.geometry.anchors import cell_anchors, grid_anchors
from teachseg.geometry.boxes import MAX_GROWTH, box_iou, center_size, decode_boxes
from teachseg.structures import Targets

Edges = tuple[float, float, float, float]

SIZES = (8, 16, 24, 32, 48, 64, 96)       # pixels
RATIOS = (0.25, 0.5, 1.0, 2.0, 4.0)       # height / width
STRIDES = (4, 8, 16, 32)                  # pixels a cell
PLACES = ("corner", "middle")             # of a cell, at which its anchors are centred
MARKS = (0.3, 0.5, 0.7)                   # overlaps that later lessons ask for
INKS = (svg.BLUE, svg.GREEN, svg.PURPLE, svg.BLACK, svg.SKY, svg.ORANGE)  # of the objects
MOST = 8                                  # objects that have a row
SIDE = 320                                # of the image in the picture
LEFT, TOP = 26, 34                        # room around it
CHART, LONG = LEFT + SIDE + 40, 236       # where the bars begin, and how long 1 is
ROW = 42                                  # height of an object's row


class Stand(NamedTuple):
    """A scene, with what drawing it again and again would otherwise make again."""

    boxes: Tensor              # (G, 4)
    names: tuple[str, ...]     # of the objects: a letter and the class
    size: tuple[int, int]      # (H, W) of the image
    uri: str                   # the image as a data: address

    @property
    def scale(self) -> float:
        """Picture units an image pixel."""
        return SIDE / max(self.size)

    def place(self, edges: Sequence[float]) -> Edges:
        """A box of the image in the picture."""
        x1, y1, x2, y2 = (edge * self.scale for edge in edges)
        return LEFT + x1, TOP + y1, LEFT + x2, TOP + y2


def stand(image: Tensor, targets: Targets) -> Stand:
    """A scene made ready.

    Args:
        image: (3, H, W) in [0, 1]. targets: its objects, at least one and at most `MOST`.
    """
    check_image(image)
    count = len(targets.labels)
    if not 1 <= count <= MOST:
        raise ValueError(f"The explorer shows 1 to {MOST} objects, this scene has {count}.")
    names = tuple(f"{letter} {CLASSES[label - 1]}"
                  for letter, label in zip("ABCDEFGH", targets.labels.tolist()))
    return Stand(targets.boxes, names, tuple(image.shape[1:]), svg.image_uri(image))


# ---- one anchor, and the grid it is of ----------------------------------------------------------


@lru_cache(maxsize=64)
def anchors_of(
    image_size: tuple[int, int], size: float, ratio: float, stride: int, where: str = "corner"
) -> Tensor:
    """(H * W, 4) one anchor a cell; a cell that the image's edge cuts counts as well.

    Args:
        where: of each cell, "corner" (as the library and torchvision) or "middle" (as MNC).
    """
    height, width = (math.ceil(side / stride) for side in image_size)
    anchors = grid_anchors(cell_anchors([size], [ratio]), (height, width), stride)
    return anchors + (stride / 2 if where == "middle" else 0)


def check_anchor(size: float, ratio: float, stride: int, where: str) -> None:
    """ValueError with a sentence that helps, unless there are such anchors."""
    for name, value in (("size", size), ("ratio", ratio), ("stride", stride)):
        if not value > 0:
            raise ValueError(f"{name} must be above 0, got {value}.")
    if where not in PLACES:
        raise ValueError(f"where must be one of {', '.join(PLACES)}, got {where!r}.")


def anchor_frame(
    scene: Stand, size: float = 32, ratio: float = 1.0, stride: int = 8, x: float = 64,
    y: float = 64, where: str = "corner",
) -> Frame:
    """The scene with the anchor of the cell that (x, y) lies in; beside it, overlaps as bars.

    Args:
        size: root of the anchor's area, pixels. ratio: height / width. stride: pixels a cell.
        where: at which point of its cell an anchor is centred, "corner" or "middle".
    """
    check_anchor(size, ratio, stride, where)
    high, wide = scene.size
    if not (0 <= x < wide and 0 <= y < high):
        raise ValueError(f"({svg.number(x)}, {svg.number(y)}) is not on the image, which is {wide} "
                         f"x {high} pixels.")
    anchors = anchors_of(scene.size, size, ratio, stride, where)
    columns, row, column = math.ceil(wide / stride), int(y // stride), int(x // stride)
    index = row * columns + column
    iou = box_iou(scene.boxes, anchors)
    here, (best, which) = iou[:, index].tolist(), iou.max(dim=1)
    centre, (across, down) = (part[index].tolist() for part in center_size(anchors))
    best = best.tolist()
    each = ", ".join(f"{name} {now:.3f} / {most:.3f}"
                     for name, now, most in zip(scene.names, here, best))
    caption = (
        f"Size {svg.number(size)}, ratio {svg.number(ratio)}: {across:.1f} wide, {down:.1f} high; "
        f"stride {stride}: {len(anchors) // columns} x {columns} = {len(anchors)} anchors. "
        f"Row {row}, column {column} is number {index}, "
        f"centre ({svg.number(centre[0])}, {svg.number(centre[1])}). "
        f"IoU here / best of the grid: {each}. Of {len(best)} objects "
        f"{sum(value >= 0.5 for value in best)} reach 0.5, "
        f"{sum(value >= 0.7 for value in best)} reach 0.7.")
    pieces = _scene_panel(scene, anchors, index, which.tolist(), best, stride, where)
    pieces += _bars(scene, here, best)
    bottom = max(TOP + scene.size[0] * scene.scale, TOP + ROW * len(best)) + 24
    pieces.append(svg.legend([("dashed", svg.RED, "the anchor of this cell"),
                              ("dashed", svg.BLUE, "the best anchor for an object, from 0.3 on")],
                             LEFT, bottom + 12))
    pieces.append(svg.legend([("solid", svg.BLUE, "an object's box (A, B, ...)"),
                              ("cross", svg.INK, "centres of the anchors")],
                             CHART, bottom + 12))
    return Frame(svg.picture(CHART + LONG + 60, bottom + 46, *pieces, label=caption), caption)


def _paper_around(scene: Stand) -> list[str]:
    """White where an anchor that reaches out of the picture's part would run into other parts."""
    right, below = LEFT + scene.size[1] * scene.scale, TOP + scene.size[0] * scene.scale
    room = 20
    return [svg.box((right + room, 0, 2000, 2000), svg.PAPER, width=0, fill=svg.PAPER),
            svg.box((0, below + room, 2000, 2000), svg.PAPER, width=0, fill=svg.PAPER),
            svg.box((0, 0, 2000, TOP - room), svg.PAPER, width=0, fill=svg.PAPER)]


def _named_boxes(scene: Stand) -> list[str]:
    """Every object's box with its letter at the upper left corner."""
    pieces, letters = [], []  # letters last: no box may hide one
    for box, name, ink in zip(scene.boxes.tolist(), scene.names, INKS * 2):
        edges = x1, y1, _, _ = scene.place(box)
        pieces += [svg.box(edges, svg.PAPER, width=4), svg.box(edges, ink, width=2.5)]
        letters += [svg.box((x1, y1, x1 + 15, y1 + 16), svg.INK, width=0, fill=svg.PAPER),
                    svg.text(x1 + 3, y1 + 13, name[0], 13, colour=ink)]
    return pieces + letters


def _dashed(edges: Edges, ink: str, width: float) -> str:
    """A dashed outline that can be seen on any image: white under it."""
    return svg.box(edges, svg.PAPER, width=width + 2) + svg.box(edges, ink, True, width)


def _scene_panel(
    scene: Stand, anchors: Tensor, index: int, which: list[int], best: list[float], stride: int,
    where: str,
) -> list[str]:
    """The image, the lattice of centres, the objects, their best anchors, and the one in hand."""
    high, wide = scene.size
    centres = [(LEFT + x * scene.scale, TOP + y * scene.scale)
               for x, y in center_size(anchors)[0].tolist()]
    pieces = [svg.underlay(scene.uri, scene.place((0, 0, wide, high))),
              svg.sample_points(centres, svg.PAPER, min(3.0, stride * scene.scale / 8), svg.INK)]
    for k, most, ink in zip(which, best, INKS * 2):
        if most >= MARKS[0]:  # the rest overlap their objects by so little that they only confuse
            pieces.append(_dashed(scene.place(anchors[k].tolist()), ink, 2))
    pieces += _named_boxes(scene)
    pieces.append(_dashed(scene.place(anchors[index].tolist()), svg.RED, 3))
    pieces.append(svg.sample_points([centres[index]], svg.RED, 6, svg.PAPER))
    words = f"scene, cells of {stride} pixels, anchors at the cells' {where}s"
    return pieces + _paper_around(scene) + [svg.text(LEFT, TOP - 22, words)]


def _bars(scene: Stand, here: list[float], best: list[float]) -> list[str]:
    """A row for each object: filled is the overlap of the anchor in hand, outlined the best."""
    pieces = [svg.text(CHART, TOP - 22, "IoU: filled here, outlined the best of the grid")]
    foot = TOP + ROW * len(best) + 2
    for mark in MARKS:
        x = CHART + LONG * mark
        pieces += [svg.line(x, TOP - 4, x, foot, svg.PALE, dashed=True, width=1),
                   svg.text(x, foot + 13, svg.number(mark), 11, "middle")]
    rows = zip(scene.names, scene.boxes.tolist(), here, best, INKS * 2)
    for i, (name, (x1, y1, x2, y2), now, most, ink) in enumerate(rows):
        top = TOP + ROW * i
        words = f"{name}, {svg.number(x2 - x1)} x {svg.number(y2 - y1)}"
        pieces += [svg.text(CHART, top + 10, words),
                   svg.box((CHART, top + 15, CHART + LONG * now, top + 31), ink, width=0, fill=ink),
                   svg.box((CHART, top + 15, CHART + LONG * most, top + 31), ink, width=2),
                   svg.text(CHART + LONG * most + 6, top + 28, f"{most:.2f}", 11)]
    pieces.append(svg.line(CHART, TOP - 4, CHART, foot, svg.INK, width=1))
    return pieces


def explore_anchors(image: Tensor, targets: Targets) -> Explorer:
    """Sliders over an anchor's size, ratio, stride and place on a scene.

    Args:
        image: (3, H, W) in [0, 1]. targets: the objects that overlaps are computed with.
    """
    scene = stand(image, targets)
    high, wide = scene.size

    def frame(**values: float) -> Frame:
        return anchor_frame(scene, **values)

    return Explorer(
        frame,
        size=SelectionSlider(options=SIZES, value=32, description="size (px)"),
        ratio=SelectionSlider(options=RATIOS, value=1.0, description="ratio (height / width)"),
        stride=SelectionSlider(options=[s for s in STRIDES if s <= min(high, wide)], value=8,
                               description="stride (px a cell)"),
        x=IntSlider(wide // 2, min=0, max=wide - 1, description="x of the cell (px)"),
        y=IntSlider(high // 2, min=0, max=high - 1, description="y of the cell (px)"),
        where=SelectionSlider(options=PLACES, value="corner", description="centred at the cell's"),
    )


# ---- deltas that move an anchor -----------------------------------------------------------------


def delta_frame(
    scene: Stand, anchor: Sequence[float], t_x: float = 0.0, t_y: float = 0.0, t_w: float = 0.0,
    t_h: float = 0.0, target: int = 0,
) -> Frame:
    """The anchor, the box that the deltas make of it, and the arithmetic in between.

    Args:
        anchor: (x1, y1, x2, y2). t_x, ..., t_h: the deltas, weights 1.
        target: the object that the box is compared with.
    """
    if not 0 <= target < len(scene.names):
        raise ValueError(f"target must be an object's number, 0 to {len(scene.names) - 1}, got "
                         f"{target}.")
    start = torch.tensor([anchor], dtype=torch.float32)
    deltas = torch.tensor([[t_x, t_y, t_w, t_h]], dtype=torch.float32)
    box = decode_boxes(deltas, start)
    goal = scene.boxes[target : target + 1]
    before, after = (float(box_iou(one, goal)) for one in (start, box))
    (x_a, y_a), (w_a, h_a) = (part[0].tolist() for part in center_size(start))
    (x, y), (w, h) = (part[0].tolist() for part in center_size(box))
    caption = (
        f"Deltas ({t_x:.2f}, {t_y:.2f}, {t_w:.2f}, {t_h:.2f}): the centre goes from ({x_a:.1f}, "
        f"{y_a:.1f}) to ({x:.1f}, {y:.1f}), width and height grow {w / w_a:.3f} and {h / h_a:.3f} "
        f"times, to {w:.1f} x {h:.1f}. IoU with {scene.names[target]}: {before:.3f} before, "
        f"{after:.3f} now.")
    pieces = [svg.underlay(scene.uri, scene.place((0, 0, scene.size[1], scene.size[0])))]
    pieces += _named_boxes(scene)
    pieces += [_dashed(scene.place(start[0].tolist()), svg.INK, 2),
               svg.box(scene.place(box[0].tolist()), svg.PAPER, width=5),
               svg.box(scene.place(box[0].tolist()), svg.RED, width=3)]
    here, there = (scene.place((a, b, a, b))[:2] for a, b in ((x_a, y_a), (x, y)))
    pieces += [svg.arrow(*here, *there, svg.RED, 2)] + _paper_around(scene)
    pieces.append(svg.text(LEFT, TOP - 22, f"scene; object {scene.names[target]}"))
    rows = [("x = x_a + t_x w_a", f"{x_a:.1f} + {t_x:.2f} * {w_a:.1f} = {x:.1f}"),
            ("y = y_a + t_y h_a", f"{y_a:.1f} + {t_y:.2f} * {h_a:.1f} = {y:.1f}"),
            ("w = w_a exp(t_w)", f"{w_a:.1f} * {min(math.exp(t_w), MAX_GROWTH):.3f} = {w:.1f}"),
            ("h = h_a exp(t_h)", f"{h_a:.1f} * {min(math.exp(t_h), MAX_GROWTH):.3f} = {h:.1f}"),
            (f"IoU with {scene.names[target]}", f"{before:.3f} -> {after:.3f}")]
    for i, (formula, numbers) in enumerate(rows):
        pieces += [svg.text(CHART, TOP + 10 + ROW * i, formula, 13),
                   svg.text(CHART + 14, TOP + 28 + ROW * i, numbers, 13)]
    pieces.append(svg.legend([("dashed", svg.INK, "the anchor"),
                              ("solid", svg.RED, "the box that the deltas make of it"),
                              ("arrow", svg.RED, "how its centre moves")],
                             CHART, TOP + ROW * len(rows) + 20))
    below = max(TOP + scene.size[0] * scene.scale, TOP + ROW * len(rows) + 70) + 24
    return Frame(svg.picture(CHART + LONG + 60, below, *pieces, label=caption), caption)


def explore_deltas(image: Tensor, targets: Targets, anchor: Sequence[float], target: int = 0
                   ) -> Explorer:
    """Sliders over four deltas that move one anchor towards an object.

    Args:
        image: (3, H, W) in [0, 1]. anchor: (x1, y1, x2, y2). target: number of the object.
    """
    scene = stand(image, targets)

    def frame(**deltas: float) -> Frame:
        return delta_frame(scene, anchor, target=target, **deltas)

    units = {"t_x": "t_x (anchor widths)", "t_y": "t_y (anchor heights)",
             "t_w": "t_w (log of growth)", "t_h": "t_h (log of growth)"}
    return Explorer(frame, **{name: FloatSlider(0.0, min=-1.5, max=1.5, step=0.01, description=told)
                              for name, told in units.items()})
