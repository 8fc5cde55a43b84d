"""Scenes: endless labelled pictures of discs, squares, triangles, stars, rings, drawn on the spot.

A scene is a pure function of (split, index, kind, image size). It is painted back to front: a
background with a gradient and soft clouds, clutter that belongs to no class and has no label, then
the objects one over another, last the grain of a camera. A mask is what remains visible of its
object. Colour, fill and size are drawn without a look at the class: only the outline tells it.

Letters
    G     objects in the scene, listed back to front
    H, W  height and width of the image; their smaller one is the `unit` that sizes are shares of
    h, w  height and width of the window of pixels in which one shape is drawn
    u, v  a pixel in a shape's own axes: origin at its centre, turned with it, in pixels
    d     signed distance to a shape's outline in pixels, negative inside

Boxes are (x1, y1, x2, y2) in pixel edges. In a shape's own axes and in the image, y points down.

The same on every platform: random bits come from BLAKE2b and Philox, both fully specified, and
pixels from + - * / sqrt, min, max, floor and comparisons alone, which IEEE 754 rounds in one way.
Sines and cosines come from a table rounded to 6 digits, and no floats are summed over an array,
because the order of such a sum is the library's choice.

Lesson: 01
"""

import hashlib
import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor

from teachseg.structures import Targets

CLASSES = ("disc", "square", "triangle", "star", "ring")  # labels 1..5
FILLS = ("flat", "striped", "dotted", "shaded")
MIN_IMAGE = 16   # pixels: shortest image side that still shows an object's form
MIN_SIDE = 6.0   # pixels: below it a star is a dot
MIN_PIXELS = 8   # least visible area of an object
TRIES = 24       # places tried for an object before the scene goes on without it

RECIPE = "teachseg scenes 2"  # a part of every seed: change it when the drawing changes
TURN = 480                    # angles are whole numbers, in 1/480 of a full turn (0.75 degrees)
COS = tuple(round(math.cos(math.tau * k / TURN), 6) for k in range(TURN))
SIN = tuple(round(math.sin(math.tau * k / TURN), 6) for k in range(TURN))


# ---- what the kinds of scene are ----------------------------------------------------------------

PLAIN_CLUTTER = ("half", "moon", "cloud", "cloud")
ALL_CLUTTER = ("line", "line", "ell", "cross", "arc", "moon", "cloud", "cloud")


@dataclass(frozen=True)
class Kind:
    """What is drawn by chance in one kind of scene; (low, high) are the ends of a range."""

    count: tuple[int, int] = (1, 6)                   # objects wanted
    side: tuple[float, float] = (16 / 128, 64 / 128)  # of an object, in units; more are small
    stretch: tuple[float, float] = (1.0, 1.4)         # long axis / short axis
    wall: tuple[float, float] = (0.25, 0.45)          # of a ring, in its shorter half axis
    near: float = 0.45                                # chance to be placed at another object
    reach: float = 0.8                                # how far from it: 0 same centre, 1 beside it
    crossing: bool = False                            # turned across the object it is placed at
    nested: bool = False                              # rings around objects, objects in rings
    clutter: tuple[int, int] = (1, 5)                 # unlabelled shapes behind
    clutter_forms: tuple[str, ...] = ALL_CLUTTER      # no bars among them where objects are thin


KINDS = {
    "mixed": Kind(),
    "crossing": Kind(
        count=(2, 5), side=(26 / 128, 46 / 128), stretch=(2.5, 4.5), near=0.8, reach=0.25,
        crossing=True, clutter=(1, 4), clutter_forms=PLAIN_CLUTTER,
    ),
    "crowded": Kind(
        count=(10, 20), side=(11 / 128, 30 / 128), near=0.45, reach=0.9, clutter=(1, 4)
    ),
    "thin": Kind(
        count=(1, 5), side=(20 / 128, 44 / 128), stretch=(3.0, 7.0), wall=(0.1, 0.18), near=0.4,
        clutter=(1, 4), clutter_forms=PLAIN_CLUTTER,
    ),
    "small": Kind(
        count=(3, 10), side=(6 / 128, 14 / 128), stretch=(1.0, 1.3), near=0.2, reach=1.0,
        clutter=(2, 6),
    ),
    "ring": Kind(
        count=(2, 6), side=(44 / 128, 100 / 128), stretch=(1.0, 1.3), wall=(0.12, 0.3), near=0.85,
        nested=True, clutter=(1, 5), clutter_forms=PLAIN_CLUTTER,
    ),
}
MAX_STRETCH = {"star": 2.2, "ring": 2.2}  # beyond it the form is lost
# A star of the same extent has a quarter of a square's area; this evens areas out a little.
SPREAD = {"disc": 1.0, "square": 0.9, "triangle": 1.2, "star": 1.25, "ring": 1.05}


# ---- chance -------------------------------------------------------------------------------------

class _Draw:
    """Random numbers that depend on a few words alone, on every platform alike."""

    def __init__(self, *words: str):
        key = hashlib.blake2b("\0".join((RECIPE, *words)).encode(), digest_size=16).digest()
        self.bits = np.random.Philox(key=int.from_bytes(key, "little"))

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """A number in [low, high)."""
        return low + (high - low) * ((int(self.bits.random_raw()) >> 11) * 2.0**-53)

    def integer(self, low: int, high: int) -> int:
        """A whole number in low..high, both included."""
        return low + int(self.bits.random_raw()) % (high - low + 1)

    def choice(self, options):
        """One of `options`, all equally likely."""
        return options[self.integer(0, len(options) - 1)]

    def colour(self) -> ndarray:
        """(3, 1, 1) float32 RGB, away from pure black and white."""
        return np.array([self.uniform(0.06, 0.94) for _ in "rgb"], np.float32).reshape(3, 1, 1)

    def noise(self, *shape: int) -> ndarray:
        """`shape` float32 in [-1, 1]: the sum of two bytes, so that values near 0 are likelier."""
        size = math.prod(shape)
        words = np.atleast_1d(self.bits.random_raw(-(-size // 4)))
        pairs = words.astype("<u8").view("<u2")[:size].reshape(shape)
        return ((pairs & 255) + (pairs >> 8)).astype(np.float32) / 255.0 - 1.0


# ---- outlines -----------------------------------------------------------------------------------

class _Shape(NamedTuple):
    """One shape in the plane of the image, which it may stick out of."""

    form: str    # a key of _DISTANCE
    x: float     # centre, pixels
    y: float
    a: float     # half axes before it is turned, pixels; it lies in [-a, a] x [-b, b]
    b: float
    turn: int    # in 1/TURN of a full turn
    wall: float  # thickness of a ring, an arc or a bar, pixels


def _ellipse(u: ndarray, v: ndarray, a: float, b: float) -> ndarray:
    """(h, w) distance to an ellipse of half axes a and b, to first order: f / |gradient of f|.

    f = (u / a)^2 + (v / b)^2 - 1
    """
    p, q = u / a, v / b
    slope = np.sqrt((p / a) * (p / a) + (q / b) * (q / b))
    return (p * p + q * q - 1.0) / (2.0 * slope + 1e-6)


def _bar(u: ndarray, v: ndarray, a: float, b: float) -> ndarray:
    """(h, w) distance to a rectangle of half sides a and b."""
    return np.maximum(np.abs(u) - a, np.abs(v) - b)


def _edges(
    u: ndarray, v: ndarray, s: _Shape, corners: int, first: int, offset: float
) -> list[ndarray]:
    """Distances to the lines of a regular polygon that was stretched to the half axes a and b.

    Args:
        first: angle of the first line's normal, in 1/TURN of a full turn: TURN // 4 is down.
        offset: distance of the lines from the centre before stretching.
    """
    distances = []
    for k in range(corners):
        angle = first + k * TURN // corners
        p, q = COS[angle % TURN] / s.a, SIN[angle % TURN] / s.b  # stretching divides a normal
        length = math.sqrt(p * p + q * q)
        distances.append(u * (p / length) + (v * (q / length) - offset / length))
    return distances


def _triangle(u: ndarray, v: ndarray, s: _Shape) -> ndarray:
    one, two, three = _edges(u, v, s, corners=3, first=TURN // 4, offset=0.5)
    return np.maximum(np.maximum(one, two), three)


def _star(u: ndarray, v: ndarray, s: _Shape) -> ndarray:
    """Five lines bound a pentagon; a star's pixel is on the inner side of at least four of them.

    So its distance is the second largest of the five. Lines at cos 72 degrees: tips at radius 1.
    """
    largest, *others = _edges(u, v, s, corners=5, first=3 * TURN // 4, offset=0.309017)
    second = np.full_like(largest, -np.inf)
    for d in others:
        second = np.maximum(second, np.minimum(largest, d))
        largest = np.maximum(largest, d)
    return second


def _ring(u: ndarray, v: ndarray, s: _Shape) -> ndarray:
    return np.maximum(_ellipse(u, v, s.a, s.b), -_ellipse(u, v, s.a - s.wall, s.b - s.wall))


def _ell(u: ndarray, v: ndarray, s: _Shape) -> ndarray:
    half = s.wall / 2
    return np.minimum(_bar(u, v + (s.b - half), s.a, half), _bar(u + (s.a - half), v, half, s.b))


def _moon(u: ndarray, v: ndarray, s: _Shape) -> ndarray:
    return np.maximum(_ellipse(u, v, s.a, s.b), -_ellipse(u - 0.5 * s.a, v, s.a, s.b))


def _cloud(u: ndarray, v: ndarray, s: _Shape) -> ndarray:
    left = _ellipse(u + 0.45 * s.a, v - 0.25 * s.b, 0.5 * s.a, 0.5 * s.b)
    right = _ellipse(u - 0.45 * s.a, v - 0.15 * s.b, 0.55 * s.a, 0.6 * s.b)
    top = _ellipse(u, v + 0.4 * s.b, 0.5 * s.a, 0.6 * s.b)
    return np.minimum(np.minimum(left, right), top)


_DISTANCE: dict[str, Callable[[ndarray, ndarray, _Shape], ndarray]] = {
    "disc": lambda u, v, s: _ellipse(u, v, s.a, s.b),
    "square": lambda u, v, s: _bar(u, v, s.a, s.b),
    "triangle": _triangle,
    "star": _star,
    "ring": _ring,
    # clutter
    "line": lambda u, v, s: _bar(u, v, s.a, s.wall / 2),
    "ell": _ell,
    "cross": lambda u, v, s: np.minimum(_bar(u, v, s.a, s.wall / 2), _bar(u, v, s.wall / 2, s.b)),
    "arc": lambda u, v, s: np.maximum(_ring(u, v, s), 0.45 * s.b - v),
    "half": lambda u, v, s: np.maximum(_ellipse(u, v, s.a, s.b), -v),
    "moon": _moon,
    "cloud": _cloud,
}


class _Window(NamedTuple):
    """A shape's pixels: where they lie and how far they are from the outline."""

    rows: slice
    columns: slice
    u: ndarray         # (h, w) float32
    v: ndarray         # (h, w) float32
    distance: ndarray  # (h, w) float32

    @property
    def coverage(self) -> ndarray:
        """(h, w) float32 in [0, 1]: how much of each pixel the shape covers, about."""
        return np.clip(0.5 - self.distance, 0.0, 1.0)

    @property
    def mask(self) -> ndarray:
        """(h, w) bool: the pixels covered by half or more."""
        return self.distance <= 0.0


def _window(shape: _Shape, image_size: tuple[int, int] | None) -> _Window:
    """The pixels around a shape, cut off at the image's border; None: at no border."""
    c, s = COS[shape.turn % TURN], SIN[shape.turn % TURN]
    half_width = shape.a * abs(c) + shape.b * abs(s) + 1.5
    half_height = shape.a * abs(s) + shape.b * abs(c) + 1.5
    left, right = math.floor(shape.x - half_width), math.ceil(shape.x + half_width)
    top, bottom = math.floor(shape.y - half_height), math.ceil(shape.y + half_height)
    if image_size is not None:
        left, right = max(left, 0), max(min(right, image_size[1]), 0)
        top, bottom = max(top, 0), max(min(bottom, image_size[0]), 0)
    x = (np.arange(left, right) + (0.5 - shape.x)).astype(np.float32)[None, :]
    y = (np.arange(top, bottom) + (0.5 - shape.y)).astype(np.float32)[:, None]
    u, v = x * c + y * s, y * c - x * s
    distance = _DISTANCE[shape.form](u, v, shape)
    return _Window(slice(top, bottom), slice(left, right), u, v, distance)


def _full_area(shape: _Shape) -> int:
    """Pixels of the whole shape, as if nothing hid it and the image had no border."""
    return int(np.count_nonzero(_window(shape, None).mask))


# ---- colours ------------------------------------------------------------------------------------

def _pattern(draw: _Draw, shape: _Shape, window: _Window, unit: int) -> ndarray:
    """(h, w) or (1, 1) float32 in [0, 1]: 0 where the first colour shows, 1 where the second."""
    fill, turn = draw.choice(FILLS), draw.integer(0, TURN - 1)
    period = max(4.0, unit * draw.uniform(0.035, 0.075))  # pixels
    along = window.u * COS[turn] + window.v * SIN[turn]
    if fill == "flat":
        return np.zeros((1, 1), np.float32)
    if fill == "shaded":
        return np.clip(along / (shape.a + shape.b) + 0.5, 0.0, 1.0)
    p = along / period
    p = p - np.floor(p) - 0.5
    if fill == "striped":
        return np.clip((np.abs(p) - 0.25) * period + 0.5, 0.0, 1.0)
    q = (window.v * COS[turn] - window.u * SIN[turn]) / period
    q = q - np.floor(q) - 0.5
    return np.clip((0.3 - np.sqrt(p * p + q * q)) * period + 0.5, 0.0, 1.0)


def _paint(
    draw: _Draw, shape: _Shape, window: _Window, unit: int, palette: list[ndarray]
) -> ndarray:
    """(3, h, w) or (3, 1, 1) float32: a fill, often in a colour that others in the scene share."""
    first = draw.choice(palette) if draw.uniform() < 0.6 else draw.colour()
    first = np.clip(first + 0.1 * (draw.colour() - 0.5), 0.0, 1.0)
    second = first + draw.uniform(0.35, 0.7) * (draw.colour() - first)
    return first + _pattern(draw, shape, window, unit) * (second - first)


def _stands_out(paint: ndarray, canvas: ndarray, window: _Window, contrast: float) -> bool:
    """Whether two thirds of the outline differ from what is behind by `contrast` in a channel."""
    rim = np.abs(window.distance) < 1.0
    behind = canvas[:, window.rows, window.columns]
    seen = (np.abs(paint - behind).max(axis=0) >= contrast) & rim
    return 3 * int(np.count_nonzero(seen)) >= 2 * int(np.count_nonzero(rim))


def _lay(canvas: ndarray, window: _Window, paint: ndarray) -> None:
    """Paint one shape onto the canvas, in place, its edge mixed with what is behind."""
    behind = canvas[:, window.rows, window.columns]
    behind += window.coverage * (paint - behind)


# ---- behind the objects -------------------------------------------------------------------------

def _clouds(grain: _Draw, image_size: tuple[int, int], cells: int) -> ndarray:
    """(H, W) float32 in [-1, 1]: random at the corners of cells x cells, linear in between."""
    corners = grain.noise(cells + 1, cells + 1)
    for axis, length in enumerate(image_size):
        at = np.arange(length, dtype=np.float32) * ((cells - 0.001) / length)
        cell = np.floor(at).astype(np.int64)
        share = (at - cell.astype(np.float32)).reshape((-1, 1) if axis == 0 else (1, -1))
        first, second = np.take(corners, cell, axis), np.take(corners, cell + 1, axis)
        corners = first + share * (second - first)
    return corners


def _background(draw: _Draw, grain: _Draw, image_size: tuple[int, int]) -> ndarray:
    """(3, H, W) float32: a gradient from one colour to another, under soft clouds."""
    height, width = image_size
    turn = draw.integer(0, TURN - 1)
    x = ((np.arange(width) + 0.5) / max(image_size) - 0.5).astype(np.float32)[None, :]
    y = ((np.arange(height) + 0.5) / max(image_size) - 0.5).astype(np.float32)[:, None]
    ramp = np.clip(x * COS[turn] + y * SIN[turn] + 0.5, 0.0, 1.0)
    first = draw.colour()
    second = first + draw.uniform(0.1, 0.8) * (draw.colour() - first)
    clouds = draw.uniform(0.0, 0.12) * _clouds(grain, image_size, 3)
    clouds += draw.uniform(0.0, 0.08) * _clouds(grain, image_size, 9)
    return first + ramp * (second - first) + clouds


def _anywhere(
    draw: _Draw, shape: _Shape, image_size: tuple[int, int], inside: float
) -> _Shape:
    """The shape at a random place, its centre `inside` long half axes from the image's border."""
    height, width = image_size
    margin = min(inside * shape.a, 0.5 * min(image_size))
    x, y = draw.uniform(margin, width - margin), draw.uniform(margin, height - margin)
    return shape._replace(x=x, y=y)


def _clutter_shape(draw: _Draw, kind: Kind, image_size: tuple[int, int]) -> _Shape:
    """A shape of no class, as large as objects are; lines cross much of the image."""
    form, unit = draw.choice(kind.clutter_forms), min(image_size)
    a = max(unit * draw.uniform(0.06, 0.24), MIN_SIDE / 2)
    b = a * draw.uniform(0.6, 1.0)
    wall = min(max(unit * draw.uniform(0.015, 0.05), 1.2), b / 2)
    if form == "line":
        a, wall = unit * draw.uniform(0.5, 0.9), max(unit * draw.uniform(0.006, 0.02), 1.0)
    shape = _Shape(form, 0.0, 0.0, a, b, draw.integer(0, TURN - 1), wall)
    return _anywhere(draw, shape, image_size, inside=0.5)  # more would make a half disc a cut disc


# ---- where objects go ---------------------------------------------------------------------------

def _sized(draw: _Draw, kind: Kind, label: int, side: float) -> _Shape:
    """An object of a class about `side` pixels long, at (0, 0)."""
    form = CLASSES[label - 1]
    stretch = min(draw.uniform(*kind.stretch), MAX_STRETCH.get(form, math.inf))
    half = max(side, MIN_SIDE) * SPREAD[form] / 2
    a, b = half * math.sqrt(stretch), half / math.sqrt(stretch)
    b = max(b, 1.5 if form == "square" else 2.0 if form == "disc" else MIN_SIDE / 2)
    wall = min(max(b * draw.uniform(*kind.wall), 1.3), b - 1.2) if form == "ring" else 0.0
    return _Shape(form, 0.0, 0.0, max(a, b), b, draw.integer(0, TURN - 1), wall)


def _beside(draw: _Draw, kind: Kind, shape: _Shape, other: _Shape) -> _Shape:
    """The shape at another object, on top of a part of it; turned across it where the kind says."""
    reach = kind.reach * (shape.a + other.a)
    x, y = other.x + draw.uniform(-reach, reach), other.y + draw.uniform(-reach, reach)
    if kind.crossing:  # at 52 to 128 degrees
        shape = shape._replace(turn=other.turn + TURN // 4 + draw.integer(-50, 50))
    return shape._replace(x=x, y=y)


def _nest(draw: _Draw, kind: Kind, label: int, other: _Shape) -> _Shape:
    """An object in the hole of a ring; or, where the other object is no ring, a ring around it."""
    if other.form == "ring":
        hole = other.b - other.wall
        shape = _sized(draw, kind, label, 2 * hole * draw.uniform(0.35, 0.95))
        slack = 0.35 * hole
    else:
        shape = _sized(draw, kind, label, 2 * other.a * draw.uniform(1.2, 2.0))
        slack = 0.2 * other.a
    x, y = other.x + draw.uniform(-slack, slack), other.y + draw.uniform(-slack, slack)
    return shape._replace(x=x, y=y)


def _propose(
    draw: _Draw,
    kind: Kind,
    label: int,
    placed: list[_Shape],
    image_size: tuple[int, int],
    shrink: float,
) -> _Shape:
    """A size and a place for the next object, which may turn out to hide too much."""
    near = bool(placed) and draw.uniform() < kind.near
    other = draw.choice(placed) if near else None
    if near and kind.nested and "ring" in (other.form, CLASSES[label - 1]):
        return _nest(draw, kind, label, other)
    u = draw.uniform()
    side = min(image_size) * shrink * (kind.side[0] + (kind.side[1] - kind.side[0]) * u * u)
    shape = _sized(draw, kind, label, side)
    if near:
        return _beside(draw, kind, shape, other)
    return _anywhere(draw, shape, image_size, inside=0.8)


# ---- the scene ----------------------------------------------------------------------------------

class _Scene:
    """A scene while it is painted."""

    def __init__(self, split: str, index: int, image_size: tuple[int, int], kind: str):
        words = (split, str(index), kind)
        self.kind, self.image_size, self.unit = KINDS[kind], image_size, min(image_size)
        self.draw, self.grain = _Draw(*words, "layout"), _Draw(*words, "grain")
        self.canvas = _background(self.draw, self.grain, image_size)  # (3, H, W) float32
        self.palette = [self.draw.colour() for _ in range(3)]
        self.owner = np.zeros(image_size, np.uint8)  # (H, W): which object is seen there, 0 is none
        self.shapes: list[_Shape] = []               # back to front
        self.labels: list[int] = []
        self.whole: list[int] = []                   # area of each whole object, pixels
        self.visible: list[int] = []                 # area of what is left of it, pixels
        self._add_clutter()
        self._add_objects()

    def _add_clutter(self) -> None:
        for _ in range(self.draw.integer(*self.kind.clutter)):
            shape = _clutter_shape(self.draw, self.kind, self.image_size)
            window = _window(shape, self.image_size)
            paint = _paint(self.draw, shape, window, self.unit, self.palette)
            faded = self.draw.uniform(0.35, 1.0)
            behind = self.canvas[:, window.rows, window.columns]
            _lay(self.canvas, window, behind + faded * (paint - behind))

    def _add_objects(self) -> None:
        for _ in range(self.draw.integer(*self.kind.count)):
            label = self.draw.integer(1, len(CLASSES))
            if self.kind.nested and "ring" not in [shape.form for shape in self.shapes]:
                label = CLASSES.index("ring") + 1
            attempt = 0
            while attempt < TRIES or not self.shapes:  # no scene is without an object
                shrink = 1.0 - 0.6 * min(attempt / TRIES, 1.0)
                shape = _propose(self.draw, self.kind, label, self.shapes, self.image_size, shrink)
                if self._try(shape, label):
                    break
                attempt += 1

    def _try(self, shape: _Shape, label: int) -> bool:
        """Paint the object on top, unless something would be hidden too far or be hard to see."""
        window = _window(shape, self.image_size)
        if window.distance.size == 0:
            return False
        mask, full = window.mask, _full_area(shape)
        owner = self.owner[window.rows, window.columns]
        lost = np.bincount(owner[mask], minlength=len(self.shapes) + 1)[1:].tolist()
        visible = [before - taken for before, taken in zip(self.visible, lost)]
        visible.append(int(np.count_nonzero(mask)))
        whole = [*self.whole, full]
        if 2 * visible[-1] < full:  # the border may not take what later objects need
            return False
        if min(visible) < MIN_PIXELS or any(4 * v < w for v, w in zip(visible, whole)):
            return False
        for _ in range(6):
            paint = _paint(self.draw, shape, window, self.unit, self.palette)
            if _stands_out(paint, self.canvas, window, contrast=0.2):
                break
        else:
            return False
        _lay(self.canvas, window, paint)
        self.shapes.append(shape)
        self.labels.append(label)
        self.whole, self.visible = whole, visible
        owner[mask] = len(self.shapes)
        return True

    def image(self) -> ndarray:
        """(3, H, W) float32 in whole steps of 1/255: the canvas under grain, more of it behind."""
        behind, everywhere = self.draw.uniform(0.0, 0.1), self.draw.uniform(0.0, 0.05)
        grey = np.where(self.owner == 0, np.float32(behind), np.float32(0.0))
        noisy = self.canvas + grey * self.grain.noise(*self.image_size)
        noisy += everywhere * self.grain.noise(3, *self.image_size)
        return np.floor(np.clip(noisy, 0.0, 1.0) * 255.0 + 0.5) / 255.0

    def targets(self) -> Targets:
        """Labels, visible masks and their tight boxes, back to front."""
        ids = np.arange(1, len(self.shapes) + 1, dtype=np.uint8)[:, None, None]
        masks = self.owner == ids  # (G, H, W)
        rows, columns = masks.any(axis=2), masks.any(axis=1)
        x1, y1 = columns.argmax(axis=1), rows.argmax(axis=1)
        x2 = columns.shape[1] - columns[:, ::-1].argmax(axis=1)
        y2 = rows.shape[1] - rows[:, ::-1].argmax(axis=1)
        boxes = np.stack([x1, y1, x2, y2], axis=1).astype(np.float32)
        return Targets(torch.from_numpy(boxes), torch.tensor(self.labels), torch.from_numpy(masks))


class Scenes:
    """A data set of drawn scenes: `scenes[i] -> (image, Targets)`.

    The scene is a pure function of (split, i, image_size, kind), bit for bit, on every platform;
    `length` only says where iteration ends. Nothing is stored, read or downloaded.

    Args:
        split: any word; each names its own endless series ("train", "val", "lesson 03", ...).
        length: how many scenes, >= 0.
        image_size: (height, width) in pixels, or one number for both; each >= 16. Objects grow
            with the shorter side.
        kind: "mixed"     1-6 objects of many sizes, overlapping, over clutter
              "crossing"  stretched objects that lie across one another: boxes overlap, masks do not
              "crowded"   10-20 objects
              "thin"      stretched objects and rings of thin walls
              "small"     objects of 6-14 pixels in an image of 128
              "ring"      rings with objects in their holes

    Returns:
        image: (3, H, W) float32 RGB in [0, 1], in whole steps of 1/255.
        Targets: 1 object or more, back to front; labels 1..5 name `CLASSES`; masks are disjoint,
            each holds the visible part, at least 8 pixels and a quarter of the whole object (also
            where the image's border cuts it); a ring's hole is not part of it; boxes are tight. On
            images of few pixels there may be fewer objects than the kind promises.

    Raises:
        ValueError: an argument out of its range.   IndexError: no such scene.

    >>> scenes = Scenes("train", length=1000)
    >>> image, targets = scenes[0]
    >>> image.shape, targets.masks.shape[1:]
    (torch.Size([3, 128, 128]), torch.Size([128, 128]))
    """

    def __init__(
        self, split: str, length: int, image_size: int | tuple[int, int] = 128, kind: str = "mixed"
    ):
        if not isinstance(split, str) or not split:
            raise ValueError(f"split must be a word such as 'train' or 'val', got {split!r}.")
        if kind not in KINDS:
            raise ValueError(f"There is no kind of scene {kind!r}. Choose: {', '.join(KINDS)}.")
        self.split, self.kind = split, kind
        self.length = _whole(length, "length", least=0)
        sides = image_size if isinstance(image_size, tuple | list) else (image_size, image_size)
        if len(sides) != 2:
            raise ValueError("image_size must be one number or (height, width), got "
                             f"{len(sides)} numbers: {image_size}.")
        self.image_size = tuple(_whole(side, "image_size", least=MIN_IMAGE) for side in sides)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[Tensor, Targets]:
        i = _whole(index, "A scene's index")
        if not -self.length <= i < self.length:
            raise IndexError(f"There is no scene {i}: this data set has {self.length}. Ask for an "
                             "index below that, or make it longer: Scenes(split, length).")
        scene = _Scene(self.split, i % self.length, self.image_size, self.kind)
        return torch.from_numpy(scene.image()), scene.targets()

    def __repr__(self) -> str:
        settings = f"image_size={self.image_size}, kind={self.kind!r}"
        return f"Scenes({self.split!r}, {self.length}, {settings})"


def _whole(value, name: str, least: int | None = None) -> int:
    """The whole number that `value` is; ValueError where it is none, or below `least`."""
    wanted = "a whole number" + ("" if least is None else f" of {least} or more")
    try:
        number = operator.index(value)
    except TypeError:
        raise ValueError(f"{name} must be {wanted}, got {value!r}.") from None
    if least is not None and number < least:
        raise ValueError(f"{name} must be {wanted}, got {number}.")
    return number


def contact_sheet(scenes: Scenes, rows: int, columns: int, gap: int = 2) -> Tensor:
    """The first rows * columns scenes side by side, row by row, in one white-ruled image.

    Returns:
        (3, rows * (H + gap) + gap, columns * (W + gap) + gap) float32 in [0, 1]; cells that the
        data set has no scene for stay white.

    >>> contact_sheet(Scenes("val", 4, image_size=32), rows=2, columns=2).shape
    torch.Size([3, 70, 70])
    """
    height, width = (side + gap for side in scenes.image_size)
    sheet = torch.ones(3, rows * height + gap, columns * width + gap)
    for i in range(min(rows * columns, len(scenes))):
        top, left = gap + i // columns * height, gap + i % columns * width
        sheet[:, top : top + height - gap, left : left + width - gap] = scenes[i][0]
    return sheet
