"""PASCAL VOC 2012's instances, and SBD's: the same kind of pictures, twenty classes.

    VOC 2012   2,913 pictures with masks; JPEGImages, SegmentationObject (an instance's number in
               each pixel, 255 for outlines that nobody decided on), SegmentationClass
    SBD        11,355 pictures of VOC 2011 with masks by others; img, inst/*.mat
               [Hariharan and others, ICCV 2011]

The papers train and test on SBD's masks in a split of their own: 5,623 pictures to train, 5,732 to
test: the pictures that VOC 2012 calls "val" are for testing. SBD's own lists, train.txt and val.txt
(8,498 and 2,857), are another split of the same pictures; to meet a paper's table, take the former.

Files are found by torchvision's readers, `.mat` files read by scipy (`pip install teachseg[voc]`).

Letters
    G     objects of one image        H, W  height and width of the image, in pixels

Boxes are (x1, y1, x2, y2) in pixel edges, made from the masks.

Lesson: 42
"""

from pathlib import Path

import torch
from torch import Tensor
from torchvision.datasets import SBDataset, VOCSegmentation

from teachseg.datasets.pictures import read_image, read_indexes
from teachseg.datasets.problems import Pictures
from teachseg.geometry.masks import masks_to_boxes, split_masks
from teachseg.structures import Targets

CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train",
    "tvmonitor")
SBD_PICTURES = 11_355
PAPERS_SPLIT = {"train": 5_623, "val": 5_732}
UNDECIDED = 255  # in VOC's maps: an outline between instances


class _Voc(Pictures):
    """Pictures with two maps: whose each pixel is, and of which class."""

    classes = CLASSES
    pictures: list[Path]
    maps: list[Path]  # for the words of errors

    def _maps(self, index: int) -> tuple[Tensor, Tensor]:
        """Instance numbers (H, W), 0 is none, and the class of each number: (largest + 1,)."""
        raise NotImplementedError

    def _read(self, index: int) -> tuple[Tensor, Targets]:
        image = read_image(self.pictures[index])
        owner, class_of = self._maps(index)
        size = (image.shape[1], image.shape[2])
        if owner.shape != size:
            raise ValueError(f"{self.maps[index]} is {tuple(owner.shape)} pixels (height, width) "
                             f"and its picture {size}. Put the right one there.")
        numbers, masks = split_masks(owner)
        labels = class_of[numbers]
        known = (labels >= 1) & (labels <= len(CLASSES))
        for number in numbers[~known].tolist():
            self.wrong(self.maps[index], f"instance {number} is of class {int(class_of[number])}, "
                       f"and 1 to {len(CLASSES)} are known", "correct it, or take the picture out")
        if not known.any():
            return image, Targets.empty(size)
        return image, Targets(masks_to_boxes(masks[known]), labels[known], masks[known])


class VocInstances(_Voc):
    """VOC 2012's own masks: [i] -> (image (3, H, W), Targets), in the order of the split's list.

    Args:
        folder: the one that holds VOCdevkit/VOC2012. split: "train", "val" or "trainval".
        on_bad: see `problems.Pictures`.

    Raises:
        ValueError: files are missing, or no such split; and see on_bad.
    """

    def __init__(self, folder: str | Path, split: str = "train", on_bad: str = "stop"):
        super().__init__(folder, on_bad)
        try:
            files = VOCSegmentation(folder, year="2012", image_set=split)
        except (RuntimeError, OSError, ValueError) as error:
            raise ValueError(f"VOC 2012 cannot be opened in {folder}: {error} Pass the folder that "
                             "holds VOCdevkit/VOC2012 (teachseg data get voc2012).") from error
        self.pictures = [Path(file) for file in files.images]
        self.names = [file.stem for file in self.pictures]
        self.of_class = [Path(file) for file in files.masks]
        self.maps = [file.parent.parent / "SegmentationObject" / file.name
                     for file in self.of_class]

    def _maps(self, index: int) -> tuple[Tensor, Tensor]:
        owner, classes = read_indexes(self.maps[index]), read_indexes(self.of_class[index])
        if owner.shape != classes.shape:
            raise ValueError(f"{self.maps[index]} is {tuple(owner.shape)} pixels and "
                             f"{self.of_class[index]} {tuple(classes.shape)}. Extract both again.")
        owner = torch.where(owner == UNDECIDED, 0, owner)
        classes = torch.where(classes == UNDECIDED, 0, classes)
        most = int(owner.max()) + 1
        # the class of an instance is that of most of its pixels
        votes = torch.bincount((owner * 256 + classes).flatten(), minlength=256 * most)
        return owner, votes.view(most, 256).argmax(dim=1)


class SbdInstances(_Voc):
    """SBD's masks: [i] -> (image (3, H, W), Targets), in the order of the names.

    Args:
        folder: benchmark_RELEASE/dataset, which holds img, inst, train.txt and val.txt.
        split: "train" or "val": the papers' 5,623 and 5,732; "sbd_train" or "sbd_val": SBD's own;
            "all". The first two need the list train_noval.txt in the folder, or else voc_folder.
        on_bad: see `problems.Pictures`.
        voc_folder: the one that holds VOCdevkit/VOC2012, whose ImageSets/Main/val.txt parts the
            papers' two sets just as well.

    Raises:
        ValueError: files are missing, scipy is not there, or no such split; and see on_bad.
    """

    def __init__(
        self, folder: str | Path, split: str = "train", on_bad: str = "stop",
        voc_folder: str | Path | None = None,
    ):
        super().__init__(folder, on_bad)
        if split in ("sbd_train", "sbd_val"):
            self.names = sorted(self._list(split.removeprefix("sbd_")))
        elif split == "all":
            self.names = sorted(self._list("train") | self._list("val"))
        elif split in ("train", "val"):
            every = self._list("train") | self._list("val")
            tested = self._tested(every, voc_folder)
            self.names = sorted(tested if split == "val" else every - tested)
            if len(every) == SBD_PICTURES and len(self.names) != PAPERS_SPLIT[split]:
                raise ValueError(f"The papers' {split} has {PAPERS_SPLIT[split]:,} pictures, by "
                                 f"these lists it has {len(self.names):,}. Is the list that parts "
                                 "them that of another year?")
        else:
            raise ValueError("split must be train, val, all, sbd_train or sbd_val, got "
                             f"{split!r}.")
        self.pictures = [self.folder / "img" / f"{name}.jpg" for name in self.names]
        self.maps = [self.folder / "inst" / f"{name}.mat" for name in self.names]

    def _list(self, split: str) -> set[str]:
        """The names of one of SBD's lists, by torchvision's reader."""
        try:
            files = SBDataset(self.folder, image_set=split)
        except (RuntimeError, OSError, ValueError) as error:
            raise ValueError(f"SBD cannot be opened in {self.folder}: {error}. Pass its folder "
                             "benchmark_RELEASE/dataset (teachseg data get sbd), and install scipy "
                             "(pip install teachseg[voc]).") from error
        return {Path(file).stem for file in files.images}

    def _tested(self, every: set[str], voc_folder: str | Path | None) -> set[str]:
        """Which of SBD's pictures the papers test on."""
        if (self.folder / "train_noval.txt").is_file():
            return every - self._list("train_noval")
        if voc_folder is None:
            raise ValueError(f"There is no {self.folder / 'train_noval.txt'}, which parts the "
                             "papers' 5,623 and 5,732 pictures. Put it there, or pass voc_folder, "
                             "where VOC 2012 is; or take split sbd_train or sbd_val.")
        file = Path(voc_folder, "VOCdevkit", "VOC2012", "ImageSets", "Main", "val.txt")
        if not file.is_file():
            raise ValueError(f"There is no {file}. Pass the folder that holds VOCdevkit/VOC2012.")
        return every & set(file.read_text(encoding="utf-8").split())

    def _maps(self, index: int) -> tuple[Tensor, Tensor]:
        from scipy.io import loadmat

        file = self.maps[index]
        try:
            content = loadmat(str(file))["GTinst"][0]
            owner = torch.from_numpy(content["Segmentation"][0].astype("int64"))
            labels = torch.from_numpy(content["Categories"][0].astype("int64")).flatten()
        except Exception as error:  # a damaged file may fail in any way
            raise ValueError(f"{file} cannot be read as SBD's instances: {error}. Extract it "
                             "again.") from error
        if int(owner.max()) > len(labels):
            raise ValueError(f"{file} has {len(labels)} classes and {int(owner.max())} instances. "
                             "Extract it again.")
        return owner, torch.cat([labels.new_zeros(1), labels])
