"""Nuclei in the layout of the Data Science Bowl 2018 (BBBC038): a folder for each picture.

    FOLDER/ID/images/ID.png      the picture
    FOLDER/ID/masks/*.png        one file for each nucleus, white on black

One class. The pictures have alpha channels, sizes from 256 x 256 up, and up to some hundred nuclei.
[Caicedo and others, Nature Methods 16, 2019]

Letters
    G     objects of one image        H, W  height and width of the image, in pixels

Boxes are (x1, y1, x2, y2) in pixel edges, made from the masks.

Lesson: 42
"""

from pathlib import Path

import torch
from torch import Tensor

from teachseg.datasets.pictures import read_image, read_mask
from teachseg.datasets.problems import Pictures
from teachseg.geometry.masks import masks_to_boxes
from teachseg.structures import Targets


class Nuclei(Pictures):
    """The pictures of a folder in the order of their ids: [i] -> (image (3, H, W), Targets).

    Args:
        folder: of the layout above, or the one with stage1_train in it.
        on_bad: see `problems.Pictures`.

    Raises:
        ValueError: there is no such folder, or no picture in it; and see on_bad.
    """

    classes = ("nucleus",)

    def __init__(self, folder: str | Path, on_bad: str = "stop"):
        super().__init__(folder, on_bad)
        if (self.folder / "stage1_train").is_dir():
            self.folder = self.folder / "stage1_train"
        self.names = sorted(one.name for one in self.folder.iterdir()
                            if (one / "images").is_dir())
        if not self.names:
            raise ValueError(f"{folder} holds no ID/images/ID.png: is it the folder of a Data "
                             "Science Bowl set? Pass the one with a folder for each picture, "
                             "stage1_train, say.")

    def _picture(self, name: str) -> Path:
        files = sorted((self.folder / name / "images").iterdir())
        if len(files) != 1:
            raise ValueError(f"{self.folder / name / 'images'} must hold one picture, and holds "
                             f"{len(files)}. Take out what does not belong there.")
        return files[0]

    def _read(self, index: int) -> tuple[Tensor, Targets]:
        name = self.names[index]
        image = read_image(self._picture(name))
        size = (image.shape[1], image.shape[2])
        folder = self.folder / name / "masks"
        if not folder.is_dir():
            raise ValueError(f"There is no folder {folder}. A picture in which there is nothing "
                             "has an empty one.")
        kept = []
        for file in sorted(folder.glob("*.png")):
            try:
                mask = read_mask(file)
            except ValueError as error:
                self.wrong(file, str(error).rstrip("."), "copy it again, or take it out")
                continue
            if mask.shape != size:
                self.wrong(file, f"the mask is {tuple(mask.shape)} and its picture {size} (height, "
                           "width)", "put the right one there")
            elif not mask.any():
                self.wrong(file, "the mask is empty", "take it out")
            else:
                kept.append(mask)
        if not kept:
            return image, Targets.empty(size)
        masks = torch.stack(kept)
        labels = torch.ones(len(kept), dtype=torch.int64)
        return image, Targets(masks_to_boxes(masks), labels, masks)
