"""Picture files of every kind that a learner may have, whole and damaged."""

import io

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from teachseg.datasets.pictures import read_image, write_image

# 2 rows of 3 pixels, all different, so that no turn or mirror leaves it as it is
PIXELS = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]],
                   [[0, 0, 0], [102, 102, 102], [255, 255, 255]]], dtype=np.uint8)
WANTED = torch.from_numpy(PIXELS).permute(2, 0, 1) / 255


def stored(tmp_path, picture, name="picture.png", **options):
    path = tmp_path / name
    picture.save(path, **options)
    return path


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif", "A.PNG"])
def test_lossless_kinds_are_read_exactly(tmp_path, name):
    image = read_image(stored(tmp_path, Image.fromarray(PIXELS), name))
    assert image.dtype == torch.float32
    torch.testing.assert_close(image, WANTED, rtol=0, atol=1e-7)


def test_jpeg_is_near(tmp_path):
    grey = np.full((16, 24, 3), 51, dtype=np.uint8)  # 51 / 255 = 0.2
    image = read_image(stored(tmp_path, Image.fromarray(grey), "a.jpg", quality=95))
    torch.testing.assert_close(image, torch.full((3, 16, 24), 0.2), rtol=0, atol=0.01)


def test_grey_becomes_three_equal_channels(tmp_path):
    image = read_image(stored(tmp_path, Image.fromarray(PIXELS[..., 0])))
    assert image.shape == (3, 2, 3)
    assert torch.equal(image[0], WANTED[0]) and torch.equal(image[0], image[2])


def test_one_bit_and_cmyk(tmp_path):
    black_and_white = Image.fromarray(np.array([[True, False]]))
    assert read_image(stored(tmp_path, black_and_white))[:, 0].tolist() == [[1.0, 0.0]] * 3
    cmyk = Image.new("CMYK", (4, 4), (0, 255, 255, 0))  # no cyan, all magenta and yellow: red
    image = read_image(stored(tmp_path, cmyk, "a.tif"))
    torch.testing.assert_close(image[:, 0, 0], torch.tensor([1.0, 0.0, 0.0]), rtol=0, atol=0.01)


def test_transparency_lies_over_white(tmp_path):
    """Black of alpha 102 / 255 = 0.4 over white is 0.6 grey; of alpha 0 it is white."""
    pixels = np.array([[[0, 0, 0, 102], [0, 0, 0, 0], [0, 0, 0, 255]]], dtype=np.uint8)
    image = read_image(stored(tmp_path, Image.fromarray(pixels)))
    expected = torch.tensor([0.6, 1.0, 0.0]).expand(3, 1, 3)
    torch.testing.assert_close(image, expected, rtol=0, atol=1 / 255)


def test_a_palette_is_looked_up_and_its_transparent_entry_is_white(tmp_path):
    picture = Image.new("P", (2, 1))
    picture.putpalette([255, 0, 0, 0, 0, 255])
    picture.putdata([0, 1])
    image = read_image(stored(tmp_path, picture))
    assert image[:, 0].T.tolist() == [[1, 0, 0], [0, 0, 1]]
    image = read_image(stored(tmp_path, picture, "t.png", transparency=0))
    assert image[:, 0].T.tolist() == [[1, 1, 1], [0, 0, 1]]


def test_16_bits_keep_their_steps(tmp_path):
    deep = np.array([[0, 1, 32768, 65535]], dtype=np.uint16)
    image = read_image(stored(tmp_path, Image.fromarray(deep)))
    assert image.shape == (3, 1, 4)
    expected = torch.tensor([0, 1 / 65535, 32768 / 65535, 1])
    torch.testing.assert_close(image[1, 0], expected, rtol=0, atol=1e-7)


def test_a_dark_16_bit_picture_stays_dark(tmp_path):
    deep = np.full((2, 2), 100, dtype=np.uint16)
    assert read_image(stored(tmp_path, Image.fromarray(deep))).max() < 0.01


@pytest.mark.parametrize("brightest", [1.0, 255.0, 65535.0, 1e6])
def test_32_bit_numbers_are_scaled_to_the_range_they_show(tmp_path, brightest):
    values = np.array([[0, 0.5 * brightest, brightest]], dtype=np.float32)
    image = read_image(stored(tmp_path, Image.fromarray(values), "a.tif"))
    torch.testing.assert_close(image[0, 0], torch.tensor([0.0, 0.5, 1.0]))


# Where the camera's note says how to turn the stored pixels; the eight cases of EXIF's tag 0x0112
TURNS = {
    1: lambda p: p, 2: np.fliplr, 3: lambda p: np.rot90(p, 2), 4: np.flipud,
    5: lambda p: p.transpose(1, 0, 2), 6: lambda p: np.rot90(p, -1),
    7: lambda p: np.rot90(p, 2).transpose(1, 0, 2), 8: np.rot90,
}


@pytest.mark.parametrize("orientation", TURNS)
def test_exif_turns_are_obeyed(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = read_image(stored(tmp_path, Image.fromarray(PIXELS), exif=exif))
    expected = torch.from_numpy(TURNS[orientation](PIXELS).copy()).permute(2, 0, 1) / 255
    assert torch.equal(image, expected)


def test_an_animation_gives_its_first_picture(tmp_path):
    red, blue = Image.new("RGB", (4, 4), "red"), Image.new("RGB", (4, 4), "blue")
    image = read_image(stored(tmp_path, red, "a.gif", save_all=True, append_images=[blue]))
    assert image[:, 0, 0].tolist() == [1, 0, 0]


def test_one_pixel(tmp_path):
    assert read_image(stored(tmp_path, Image.new("RGB", (1, 1), "white"))).shape == (3, 1, 1)


# ---- What cannot be read ------------------------------------------------------------------------


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(ValueError, match="nothing.png is not there. Check the spelling"):
        read_image(tmp_path / "nothing.png")
    with pytest.raises(ValueError, match="is a folder, not a picture"):
        read_image(tmp_path)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89PNG\r\n\x1a\n"])
def test_no_picture(tmp_path, content):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.png (is no picture|cannot be read as a picture)"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp"])
def test_a_picture_cut_off(tmp_path, name):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    path = stored(tmp_path, Image.fromarray(noise), name)
    path.write_bytes(path.read_bytes()[:1500])
    with pytest.raises(ValueError, match="cut off or damaged; copy or download it again"):
        read_image(path)


def test_numbers_that_are_not_finite(tmp_path):
    values = np.array([[0.0, np.nan]], dtype=np.float32)
    with pytest.raises(ValueError, match=r"a\.tif cannot be read .* not finite"):
        read_image(stored(tmp_path, Image.fromarray(values), "a.tif"))


def _bytes(kind):
    buffer = io.BytesIO()
    Image.fromarray(np.repeat(np.repeat(PIXELS, 8, 0), 8, 1)).save(buffer, kind)
    return buffer.getvalue()


KINDS = {kind: _bytes(kind) for kind in ("PNG", "JPEG", "GIF", "BMP", "WEBP")}


@settings(max_examples=150, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kind=st.sampled_from(sorted(KINDS)), data=st.data())
def test_a_damaged_file_is_read_or_told_by_name(tmp_path, kind, data):
    """Whatever a decoder stumbles over, it is a ValueError that names the file."""
    content = bytearray(KINDS[kind])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, min(len(content), 80) - 1))
        content[at] = data.draw(st.integers(0, 255))
    path = tmp_path / "damaged"
    path.write_bytes(content[: data.draw(st.integers(len(content) // 2, len(content)))])
    try:
        image = read_image(path)
    except ValueError as error:
        assert str(path) in str(error)
    else:
        assert image.ndim == 3 and image.shape[0] == 3
        assert image.isfinite().all() and image.min() >= 0 and image.max() <= 1


# ---- Writing ------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(height=st.integers(1, 9), width=st.integers(1, 9), seed=st.integers(0, 99))
def test_what_is_written_comes_back(tmp_path, height, width, seed):
    generator = torch.Generator().manual_seed(seed)
    image = torch.randint(0, 256, (3, height, width), generator=generator) / 255
    write_image(tmp_path / "a.png", image)
    assert torch.equal(read_image(tmp_path / "a.png"), image)


def test_values_are_rounded_and_clipped(tmp_path):
    """0.5 * 255 = 127.5, which rounds to the even 128; -1 and 2 become 0 and 1."""
    write_image(tmp_path / "a.png", torch.tensor([-1.0, 0.5, 2.0]).expand(3, 1, 3))
    assert (read_image(tmp_path / "a.png")[0, 0] * 255).round().tolist() == [0, 128, 255]


def test_writing_fails_in_a_sentence_and_leaves_nothing_half(tmp_path):
    with pytest.raises(ValueError, match="there is no folder"):
        write_image(tmp_path / "no" / "a.png", torch.zeros(3, 2, 2))
    with pytest.raises(ValueError, match=r"image must have the shape \(3, H, W\), got \(2, 2\)"):
        write_image(tmp_path / "a.png", torch.zeros(2, 2))
    assert list(tmp_path.iterdir()) == []
