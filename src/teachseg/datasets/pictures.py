"""Picture files in and out: JPEG, PNG and their kin as (3, H, W) in [0, 1], and back.

Letters
    H, W  height and width of the image, in pixels

Lesson: 00
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from teachseg.checks import check_shape
from teachseg.storage import write_atomically


def read_image(path: str | Path) -> Tensor:
    """Read a picture as it is meant to be seen.

    Grey pictures become three equal channels, 16-bit ones are scaled, palettes are looked up, what
    is transparent is laid over white, and a camera's note on how it was held (EXIF) is obeyed. Of
    an animation it is the first picture.

    Returns:
        (3, H, W) float32 in [0, 1].

    Raises:
        ValueError: no such file, not a picture, or one cut off in the middle.
    """
    return _read(path, lambda picture: _to_tensor(ImageOps.exif_transpose(picture)))


def read_mask(path: str | Path) -> Tensor:
    """A mask file -> (H, W) bool: every pixel that is not black, whatever it is stored as.

    Raises:
        ValueError: as `read_image`.
    """
    return _read(path, lambda picture: torch.from_numpy(np.array(picture.convert("L")) > 0))


def read_indexes(path: str | Path) -> Tensor:
    """A map of numbers -> (H, W) int64, as they are stored: of a palette, the entries' numbers.

    Raises:
        ValueError: as `read_image`; or it has several channels, so that it holds colours.
    """
    def numbers(picture: Image.Image) -> Tensor:
        values = np.asarray(picture)
        if values.ndim != 2:
            raise ValueError(f"it has the colours of {picture.mode}, and one number a pixel is "
                             "needed")
        return torch.from_numpy(values.astype(np.int64))

    return _read(path, numbers)


def _read(path: str | Path, use: Callable[[Image.Image], Tensor]) -> Tensor:
    """Open a file, decode all of it, and make a tensor of it; or say in a sentence why not."""
    path = Path(path)
    if not path.is_file():
        what = "is a folder, not a picture" if path.is_dir() else "is not there"
        raise ValueError(f"The picture {path} {what}. Check the spelling and the folder.")
    try:
        with Image.open(path) as picture:
            picture.load()
            return use(picture)
    except UnidentifiedImageError as error:
        raise ValueError(f"{path} is no picture that can be read. JPEG, PNG, WebP, BMP, GIF and "
                         "TIFF files can.") from error
    except PermissionError as error:
        raise ValueError(f"You may not read {path}. Change its rights.") from error
    except Exception as error:  # a decoder may stumble over a damaged file in any way
        raise ValueError(f"{path} cannot be read as a picture: {error}. It may be cut off or "
                         "damaged; copy or download it again.") from error


def _to_tensor(picture: Image.Image) -> Tensor:
    """A PIL picture of any mode -> (3, H, W) in [0, 1]."""
    if picture.mode in ("I", "F") or picture.mode.startswith("I;16"):
        values = np.asarray(picture).astype(np.float32)
        values = values / _white(values, picture.mode)
        return torch.from_numpy(values.clip(0, 1)).expand(3, -1, -1).contiguous()
    if picture.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture)
    values = np.array(picture.convert("RGB"), dtype=np.uint8)
    return torch.from_numpy(values).permute(2, 0, 1).float() / 255


def _white(values: np.ndarray, mode: str) -> float:
    """The number that stands for white; where 32 bits a pixel do not say it, the least that may."""
    if mode.startswith("I;16"):
        return 65535.0
    if not np.isfinite(values).all():
        raise ValueError("it holds numbers that are not finite")
    brightest = float(values.max(initial=0))
    return next((white for white in (1.0, 255.0, 65535.0) if brightest <= white), brightest)


def write_image(path: str | Path, image: Tensor) -> None:
    """Write (3, H, W) in [0, 1] as a PNG file, whole or not at all.

    Raises:
        ValueError: it is no image, or the file cannot be written; an older one stays.
    """
    check_shape(image, "3 H W", "image")
    values = (image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    picture = Image.fromarray(values)
    write_atomically(path, lambda part: picture.save(part, format="PNG"))
