"""Scenes: the same everywhere, masks that keep their promises, outlines that are what they say."""

import hashlib
import math
import os
import pickle
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from teachseg.datasets import scenes as drawing
from teachseg.datasets.scenes import CLASSES, KINDS, Scenes, contact_sheet

# (kind, image_size, index): sha256 of the image's bytes (in steps of 1/255), masks and labels, its
# first 16 digits. They change only together with drawing.RECIPE: whoever changes the drawing draws
# other scenes for everyone, and results measured on the old ones no longer compare.
GOLDEN = {
    ("mixed", 128, 0): "0a2f7c0e45f80042",
    ("mixed", 128, 1): "e92a24ab836e5312",
    ("crossing", 128, 0): "c142d34f4c6c8676",
    ("crossing", 128, 1): "17bdf09b8354e65c",
    ("crowded", 128, 0): "28e2f2b14ab81a08",
    ("crowded", 128, 1): "d9264f0c7687958f",
    ("thin", 128, 0): "867ca80d5f1df504",
    ("thin", 128, 1): "95920d77671062e2",
    ("small", 128, 0): "0d2c2042c323f2e3",
    ("small", 128, 1): "685e51b8f5061903",
    ("ring", 128, 0): "e42d476dafa92cfa",
    ("ring", 128, 1): "edb7dd60d8042604",
    ("mixed", (97, 150), 2): "cddeccaee29e8c18",
    ("ring", (256, 192), 3): "3b88c1de527b4b90",
    ("crowded", 16, 4): "2e8907590a92206b",
    ("small", (33, 64), 5): "c1b3d45b0b715e56",
    ("mixed", 512, 6): "06113a87168fe357",
}


def fingerprint(kind, image_size, index):
    image, targets = Scenes("golden", 100, image_size, kind)[index]
    levels = (image * 255).round().to(torch.uint8).numpy()
    content = levels.tobytes() + targets.masks.numpy().tobytes() + bytes(targets.labels.tolist())
    return hashlib.sha256(content).hexdigest()[:16]


def drawn(kind, count=40, image_size=(128, 128)):
    """`count` scenes with what the painter knows of them."""
    return [drawing._Scene("test", i, image_size, kind) for i in range(count)]


# ---- a pure function, the same everywhere -------------------------------------------------------

@pytest.mark.parametrize("case", GOLDEN, ids=str)
def test_golden(case):
    assert fingerprint(*case) == GOLDEN[case]


def test_golden_without_vector_instructions():
    """Numpy without AVX adds, multiplies and takes roots to the same bits."""
    code = (
        "import importlib.util, sys; import numpy as np\n"
        "spec = importlib.util.spec_from_file_location('t', sys.argv[1])\n"
        "t = importlib.util.module_from_spec(spec); spec.loader.exec_module(t)\n"
        "assert all(t.fingerprint(*case) == t.GOLDEN[case] for case in t.GOLDEN)\n"
        "print('same')"
    )
    fast = "AVX2 FMA3 AVX512F AVX512_SKX X86_V3 X86_V4 AVX512_ICL AVX512_SPR"  # old and new names
    ran = subprocess.run([sys.executable, "-W", "ignore", "-c", code, __file__],
                         env={**os.environ, "NPY_DISABLE_CPU_FEATURES": fast},
                         capture_output=True, text=True, timeout=120)
    if "NPY_DISABLE_CPU_FEATURES" in ran.stderr:
        pytest.skip("this numpy or processor has no such instructions to switch off")
    assert ran.stdout.strip() == "same", ran.stderr


def test_a_scene_depends_on_its_words_alone():
    one = Scenes("train", 10)
    image, targets = one[3]
    _ = one[5], torch.rand(3), np.random.default_rng(0).random(3)  # no state is shared
    for again in (one[3], Scenes("train", 1000)[3], Scenes("train", 4, (128, 128))[-1]):
        assert torch.equal(image, again[0])
        assert all(torch.equal(a, b) for a, b in zip(targets, again[1]))


@pytest.mark.parametrize(
    "other", [Scenes("train", 9)[4], Scenes("val", 9)[3], Scenes("train", 9, kind="crowded")[3]]
)
def test_another_word_is_another_scene(other):
    assert not torch.equal(Scenes("train", 9)[3][0], other[0])


def test_global_seeds_are_left_alone():
    torch.manual_seed(1)
    np.random.seed(1)
    expected = torch.rand(1), np.random.rand()
    torch.manual_seed(1)
    np.random.seed(1)
    _ = Scenes("train", 1)[0]
    assert (torch.rand(1), np.random.rand()) == expected


def test_random_numbers_are_philox_by_its_definition():
    """The raw words are Philox's, keyed by BLAKE2b, as both are published.

    A uniform number is the upper 53 bits of a word, a whole one the remainder of a word.
    """
    key = hashlib.blake2b("\0".join((drawing.RECIPE, "a", "b")).encode(), digest_size=16).digest()
    words = philox4x64(int.from_bytes(key, "little"), 2)
    draw = drawing._Draw("a", "b")
    assert [draw.uniform() for _ in range(4)] == [(word >> 11) / 2**53 for word in words[:4]]
    assert [draw.integer(1, 6) for _ in range(4)] == [1 + word % 6 for word in words[4:8]]


def philox4x64(key, blocks):
    """Words of Philox4x64-10 for counters 1, 2, ..., written from its definition."""
    whole, words = 2**64 - 1, []
    for counter in range(1, blocks + 1):
        k0, k1 = key & whole, key >> 64
        a, b, c, d = counter, 0, 0, 0
        for _ in range(10):
            one, two = a * 0xD2E7470EE14C6C93, c * 0xCA5A826395121157
            a, b, c, d = (two >> 64) ^ b ^ k0, two & whole, (one >> 64) ^ d ^ k1, one & whole
            k0, k1 = (k0 + 0x9E3779B97F4A7C15) & whole, (k1 + 0xBB67AE8584CAA73B) & whole
        words += [a, b, c, d]
    return words


def test_noise_is_between_minus_one_and_one_around_zero():
    noise = drawing._Draw("noise").noise(200, 301)
    assert noise.dtype == np.float32 and noise.shape == (200, 301)
    # the sum of two bytes b / 255 - 1: mean 0, variance 2 * (256^2 - 1) / 12 / 255^2 = 0.168
    assert abs(noise.mean()) < 0.01 and abs(noise.var() - 0.168) < 0.005
    assert noise.min() >= -1 and noise.max() <= 1


def test_sines_lie_far_from_a_rounding_tie():
    """The table is rounded to 6 digits; the libraries' last-digit differences cannot change it."""
    for k in range(drawing.TURN):
        for value in (math.cos(math.tau * k / drawing.TURN), math.sin(math.tau * k / drawing.TURN)):
            assert abs((value * 1e6) % 1 - 0.5) > 1e-4


# ---- images and targets -------------------------------------------------------------------------

@pytest.mark.parametrize("kind", KINDS)
def test_every_promise_in_every_kind(kind):
    low, high = KINDS[kind].count
    for scene in drawn(kind):
        image, targets = torch.from_numpy(scene.image()), scene.targets()
        assert image.dtype == torch.float32 and image.shape == (3, 128, 128)
        assert image.min() >= 0 and image.max() <= 1
        assert torch.equal(image, (image * 255).round() / 255)
        assert low <= len(targets.labels) <= high
        assert [CLASSES[label - 1] for label in targets.labels] == [s.form for s in scene.shapes]
        check_masks(scene, targets)


def check_masks(scene, targets):
    """Masks disjoint, at least a quarter and 8 pixels visible; boxes tight; dtypes as promised."""
    assert (targets.masks.dtype, targets.labels.dtype) == (torch.bool, torch.int64)
    assert targets.boxes.dtype == torch.float32 and targets.masks.shape[1:] == scene.image_size
    assert targets.masks.sum(dim=0).max() <= 1
    for shape, mask, box in zip(scene.shapes, targets.masks, targets.boxes):
        assert mask.sum() >= max(drawing.MIN_PIXELS, drawing._full_area(shape) / 4)
        rows, columns = mask.nonzero().T
        tight = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert box.tolist() == [float(edge) for edge in tight]


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(16, 90), width=st.integers(16, 90),
    kind=st.sampled_from(sorted(KINDS)), index=st.integers(0, 10**6),
)
def test_any_image_size(height, width, kind, index):
    scene = drawing._Scene("sizes", index, (height, width), kind)
    image = scene.image()
    assert image.shape == (3, height, width) and image.min() >= 0 and image.max() <= 1
    assert 1 <= len(scene.shapes) <= KINDS[kind].count[1]
    check_masks(scene, scene.targets())


def test_a_large_image():
    image, targets = Scenes("val", 1, image_size=(1024, 700), kind="crowded")[0]
    assert image.shape == (3, 1024, 700) and targets.masks.shape[1:] == (1024, 700)
    assert len(targets.labels) >= 10


def test_the_painter_hides_what_lies_below():
    """Repainting the whole shapes back to front gives the visible masks again."""
    for scene in drawn("mixed", 20):
        owner = torch.zeros(128, 128, dtype=torch.int64)
        for number, shape in enumerate(scene.shapes, start=1):
            window = drawing._window(shape, (128, 128))
            owner[window.rows, window.columns][torch.from_numpy(window.mask)] = number
        masks = scene.targets().masks
        assert all(torch.equal(owner == g + 1, mask) for g, mask in enumerate(masks))


def test_objects_overlap_in_many_scenes():
    hidden = [any(v < 0.95 * w for v, w in zip(s.visible, s.whole)) for s in drawn("mixed", 100)]
    assert sum(hidden) > 40


def test_classes_are_balanced():
    labels = torch.cat([Scenes("balance", 500)[i][1].labels for i in range(500)])
    shares = torch.bincount(labels, minlength=6)[1:] / len(labels)
    # about 1700 draws of 1/5: a standard deviation of 0.0097
    assert len(shares) == 5 and (shares - 0.2).abs().max() < 0.04
    assert 3.0 < len(labels) / 500 < 4.0  # 1..6 objects, each number as likely


def test_colour_tells_nothing_about_the_class():
    """The nearest mean colour of a class guesses a new object's class hardly better than 1 in 5."""
    colours, labels = [], []
    for i in range(300):
        image, targets = Scenes("colour", 300)[i]
        colours += [image[:, mask].mean(dim=1) for mask in targets.masks]
        labels.append(targets.labels)
    colours, labels = torch.stack(colours), torch.cat(labels)
    half = len(labels) // 2
    means = torch.stack([colours[:half][labels[:half] == c].mean(dim=0) for c in range(1, 6)])
    guesses = torch.cdist(colours[half:], means).argmin(dim=1) + 1
    assert (guesses == labels[half:]).float().mean() < 0.27


def test_sizes_of_small_objects():
    """6 to 14 pixels, times at most 1.25 (SPREAD) and 1.14 (root of the stretch)."""
    for scene in drawn("small"):
        for shape in scene.shapes:
            assert 5 <= 2 * shape.a <= 14 * 1.25 * 1.15


def test_crossing_boxes_overlap_where_masks_do_not():
    shared = []
    for scene in drawn("crossing", 60):
        boxes = scene.targets().boxes
        low = torch.maximum(boxes[:, None, :2], boxes[:, :2])
        high = torch.minimum(boxes[:, None, 2:], boxes[:, 2:])
        common = (high - low).clamp(min=0).prod(dim=2)
        area = common.diagonal()
        iou = (common / (area[:, None] + area - common)).fill_diagonal_(0)
        shared.append(bool((iou > 0.3).any()))
    assert sum(shared) > 30


def test_rings_hold_objects_in_their_holes():
    """In most `ring` scenes some object's centre lies in the hole of a ring of another."""
    def holds(ring, other):
        far = math.hypot(ring.x - other.x, ring.y - other.y)
        return ring.form == "ring" and other is not ring and far < ring.b - ring.wall
    scenes = drawn("ring")
    assert all("ring" in [shape.form for shape in scene.shapes] for scene in scenes)
    full = [any(holds(r, o) for r in scene.shapes for o in scene.shapes) for scene in scenes]
    assert sum(full) > 0.75 * len(full)


def test_objects_stand_out_from_what_is_behind():
    """Flat paint on a flat canvas: seen from a difference of `contrast` in one channel on."""
    shape = drawing._Shape("disc", 10.0, 10.0, 6.0, 6.0, 0, 0.0)
    window = drawing._window(shape, (20, 20))
    canvas = np.full((3, 20, 20), 0.5, np.float32)
    paint = np.full((3, 1, 1), 0.5, np.float32)
    assert not drawing._stands_out(paint, canvas, window, contrast=0.14)
    paint[1] = 0.7
    assert drawing._stands_out(paint, canvas, window, contrast=0.14)
    canvas[1, 5:] = 0.7  # now most of the outline lies on its own colour
    assert not drawing._stands_out(paint, canvas, window, contrast=0.14)


# ---- outlines -----------------------------------------------------------------------------------

def mask_of(form, a, b=None, turn=0, wall=0.0, x=20.0, y=20.0):
    """The mask of a whole shape on 40 x 40 pixels."""
    shape = drawing._Shape(form, x, y, a, b or a, turn, wall)
    window, mask = drawing._window(shape, (40, 40)), np.zeros((40, 40), bool)
    mask[window.rows, window.columns] = window.mask
    return mask


def test_square_by_hand():
    # centre 20, half sides 5 and 3: columns 15..24, rows 17..22
    mask = mask_of("square", 5.0, 3.0)
    assert mask.sum() == 10 * 6 and mask[17:23, 15:25].all()
    # a quarter turn swaps the sides
    assert np.array_equal(mask_of("square", 5.0, 3.0, turn=drawing.TURN // 4), mask.T)


def test_half_covered_pixels():
    # half sides 5.25: columns 14 and 25 are covered by a quarter, so they are mixed but not masked
    window = drawing._window(drawing._Shape("square", 20.0, 20.0, 5.25, 5.25, 0, 0.0), (40, 40))
    row = np.zeros(40, np.float32)
    row[window.columns] = window.coverage[20 - window.rows.start]
    assert row[13:16].tolist() == [0.0, 0.25, 1.0] and row[24:27].tolist() == [1.0, 0.25, 0.0]
    assert mask_of("square", 5.25).sum() == 100


def test_disc_holds_the_pixels_within_its_radius():
    expected = [[math.hypot(x - 19.5, y - 19.5) <= 10 for x in range(40)] for y in range(40)]
    assert np.array_equal(mask_of("disc", 10.0), expected)


def test_ring_shows_what_is_in_its_hole():
    mask = mask_of("ring", 12.0, wall=4.0)
    assert np.array_equal(mask, mask_of("disc", 12.0) & ~mask_of("disc", 8.0))
    assert not mask[20, 20]


def test_ring_hides_only_its_wall():
    """A pixel in a hole belongs to the object behind, in every scene with such a pair."""
    found = 0
    for scene in drawn("ring", 30):
        for number, ring in enumerate(scene.shapes[1:], start=2):
            if ring.form == "ring" and 0 <= ring.x < 128 and 0 <= ring.y < 128:
                seen = scene.owner[int(ring.y), int(ring.x)]
                assert seen != number
                found += 0 < seen < number
    assert found > 0


def corners_of(form, a, b, turn):
    """Corners about the centre, from the definition: radius 1, stretched, turned; y points down."""
    if form == "square":
        corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)], float)
    elif form == "triangle":
        angles = np.radians([270, 30, 150])
        corners = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    else:  # a pentagram: its inner corners lie at sin 18 / sin 54 = 0.382 of the radius
        angles, radii = np.radians(270 + 36 * np.arange(10)), np.tile([1, 0.381966], 5)
        corners = np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1)
    u, v = (corners * (a, b)).T
    c, s = math.cos(math.tau * turn / 480), math.sin(math.tau * turn / 480)
    return np.stack([u * c - v * s, u * s + v * c], axis=1)


def inside_polygon(x, y, corners):
    """Even-odd rule: a ray to the right crosses the outline an odd number of times."""
    odd = np.zeros(x.shape, bool)
    for (x1, y1), (x2, y2) in zip(corners, np.roll(corners, -1, axis=0)):
        if y1 != y2:
            crosses = (y1 > y) != (y2 > y)
            odd ^= crosses & (x < x1 + (y - y1) * (x2 - x1) / (y2 - y1))
    return odd


@pytest.mark.parametrize("form", ["square", "triangle", "star", "disc", "ring"])
@pytest.mark.parametrize("turn", [0, 37, 120, 301])
def test_outline_against_counted_points(form, turn):
    """Slow twin: 12 x 12 points in each pixel, counted inside the shape's definition."""
    a, b, wall, (x, y) = 14.0, 9.0, 3.0, (20.3, 19.6)
    grid = (np.arange(40 * 12) + 0.5) / 12
    px, py = np.meshgrid(grid - x, grid - y)
    if form in ("disc", "ring"):
        c, s = math.cos(math.tau * turn / 480), math.sin(math.tau * turn / 480)
        u, v = px * c + py * s, py * c - px * s
        inside = (u / a) ** 2 + (v / b) ** 2 <= 1
        if form == "ring":
            inside &= (u / (a - wall)) ** 2 + (v / (b - wall)) ** 2 > 1
    else:
        inside = inside_polygon(px, py, corners_of(form, a, b, turn))
    counted = inside.reshape(40, 12, 40, 12).mean(axis=(1, 3))
    window = drawing._window(drawing._Shape(form, x, y, a, b, turn, wall), (40, 40))
    coverage, mask = np.zeros((40, 40)), np.zeros((40, 40), bool)
    coverage[window.rows, window.columns] = window.coverage
    mask[window.rows, window.columns] = window.mask
    assert mask[counted > 0.7].all() and not mask[counted < 0.2].any()
    edge = (counted > 0) & (counted < 1)
    assert np.abs(coverage - counted)[edge].mean() < 0.1
    assert abs(mask.sum() - counted.sum()) < 0.05 * counted.sum()  # tips thinner than a pixel


def test_a_star_is_unlike_its_pentagon():
    """cos 72 degrees: a tip at radius 1 on top, a notch at -0.382 below."""
    mask = mask_of("star", 16.0)
    assert mask[6, 19:21].any() and not mask[30, 19:21].any() and mask[24, 19:21].all()


def test_full_area_does_not_end_at_the_border():
    shape = drawing._Shape("square", 0.0, 0.0, 5.0, 5.0, 0, 0.0)
    assert drawing._full_area(shape) == 100
    assert drawing._window(shape, (40, 40)).mask.sum() == 25


def test_a_shape_outside_the_image_has_no_pixels():
    window = drawing._window(drawing._Shape("disc", 80.0, -30.0, 5.0, 5.0, 0, 0.0), (40, 40))
    assert window.mask.size == 0


@pytest.mark.parametrize("form", drawing._DISTANCE)
def test_every_form_lies_within_its_half_axes(form):
    for turn in (0, 55, 200):
        shape = drawing._Shape(form, 0.3, 0.8, 11.0, 7.0, turn, 2.0)
        window = drawing._window(shape, None)
        assert window.mask.any()
        assert (np.abs(window.u[window.mask]) <= 11.6).all()
        assert (np.abs(window.v[window.mask]) <= 7.6).all()


# ---- the data set -------------------------------------------------------------------------------

def test_it_behaves_like_a_list():
    scenes = Scenes("train", 3, image_size=32)
    assert len(scenes) == 3 and len(list(scenes)) == 3
    assert torch.equal(scenes[-1][0], scenes[2][0])
    assert torch.equal(scenes[torch.tensor(1)][0], scenes[np.int64(1)][0])
    assert repr(scenes) == "Scenes('train', 3, image_size=(32, 32), kind='mixed')"


def test_an_empty_data_set():
    scenes = Scenes("train", 0)
    assert len(scenes) == 0 and list(scenes) == []
    with pytest.raises(IndexError, match="no scene 0: this data set has 0"):
        scenes[0]


def test_it_can_be_pickled():
    scenes = Scenes("val", 5, image_size=(40, 50), kind="thin")
    assert torch.equal(pickle.loads(pickle.dumps(scenes))[4][0], scenes[4][0])


@pytest.mark.parametrize("index", [3, -4])
def test_index_out_of_range(index):
    with pytest.raises(IndexError, match=f"no scene {index}: this data set has 3.*make it longer"):
        Scenes("train", 3)[index]


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"kind": "cubist"}, "no kind of scene 'cubist'.*mixed, crossing, crowded, thin, small"),
        ({"length": -1}, "length must be a whole number of 0 or more, got -1"),
        ({"length": 2.5}, "length must be a whole number of 0 or more, got 2.5"),
        ({"image_size": 15}, "image_size must be a whole number of 16 or more, got 15"),
        ({"image_size": (64, 8)}, "image_size must be a whole number of 16 or more, got 8"),
        ({"image_size": (3, 64, 64)}, r"one number or \(height, width\), got 3 numbers"),
        ({"split": ""}, "split must be a word"),
        ({"split": 7}, "split must be a word such as 'train' or 'val', got 7"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        Scenes(**{"split": "train", "length": 3, **arguments})


def test_bad_index():
    with pytest.raises(ValueError, match="A scene's index must be a whole number, got 'one'"):
        Scenes("train", 3)["one"]


def test_contact_sheet():
    scenes = Scenes("val", 3, image_size=(20, 30))
    sheet = contact_sheet(scenes, rows=2, columns=2, gap=1)
    assert sheet.shape == (3, 2 * 21 + 1, 2 * 31 + 1)
    assert torch.equal(sheet[:, 22:42, 1:31], scenes[2][0])  # second row, first column
    assert (sheet[:, 22:42, 32:62] == 1).all()  # there is no fourth


def test_speed_is_printed(capsys):
    """A number to read, not one to pass: the aim is 150 scenes/s on one core."""
    scenes = Scenes("speed", 100)
    start = time.perf_counter()
    objects = sum(len(scenes[i][1].labels) for i in range(100))
    seconds = time.perf_counter() - start
    with capsys.disabled():
        print(f"\nscenes: {100 / seconds:.0f} scenes/s, mixed, 128 x 128, {objects} objects")
    assert objects >= 100
