"""Penn-Fudan: 170 street pictures with 345 pedestrians (Wang and others, ACCV 2007).

    FOLDER/PNGImages/NAME.png           the picture
    FOLDER/PedMasks/NAME_mask.png       0 is background, 1, 2, ... the pedestrians

Letters
    G     objects of one image        H, W  height and width of the image, in pixels

Boxes are (x1, y1, x2, y2) in pixel edges, made from the masks.

Lesson: 42
"""

from pathlib import Path

from torch import Tensor

from teachseg.datasets.pictures import read_image, read_indexes
from teachseg.datasets.problems import Pictures
from teachseg.geometry.masks import masks_to_boxes, split_masks
from teachseg.structures import Targets


class PennFudan(Pictures):
    """The pictures in the order of their names: [i] -> (image (3, H, W), Targets).

    Args:
        folder: PennFudanPed, with the layout above. on_bad: see `problems.Pictures`.

    Raises:
        ValueError: there is no such folder, or no picture in it; and see on_bad.
    """

    classes = ("person",)

    def __init__(self, folder: str | Path, on_bad: str = "stop"):
        super().__init__(folder, on_bad)
        files = sorted((self.folder / "PNGImages").glob("*.png"))
        self.names = [file.stem for file in files]
        if not files:
            raise ValueError(f"{folder} holds no PNGImages/NAME.png: is it Penn-Fudan's folder "
                             "PennFudanPed?")

    def _read(self, index: int) -> tuple[Tensor, Targets]:
        name = self.names[index]
        image = read_image(self.folder / "PNGImages" / f"{name}.png")
        file = self.folder / "PedMasks" / f"{name}_mask.png"
        owner = read_indexes(file)
        size = (image.shape[1], image.shape[2])
        if owner.shape != size:
            raise ValueError(f"{file} is {tuple(owner.shape)} pixels (height, width) and its "
                             f"picture {size}. Put the right one there.")
        numbers, masks = split_masks(owner)
        if not len(numbers):
            self.wrong(file, "there is no pedestrian in it", "take the picture out")
            return image, Targets.empty(size)
        return image, Targets(masks_to_boxes(masks), numbers.new_ones(len(numbers)), masks)
