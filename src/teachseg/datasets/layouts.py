"""From a path to a data set: which layout is it, and which part of it is wanted?

    instances.json               COCO's format; the pictures' folder is looked for beside it
    a folder with one such file  the same
    VOCdevkit/VOC2012 in it      PASCAL VOC 2012
    img, inst, train.txt in it   SBD
    PNGImages, PedMasks in it    Penn-Fudan
    ID/images, ID/masks in it    nuclei (Data Science Bowl)

VOC and SBD bring their own parts "train" and "val". Of the others, a picture belongs to "val" when
the checksum of its name says so: a fifth of them, always the same, on every machine, and pictures
that are added later move no other.

No boxes here.

Lesson: 42
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from teachseg.datasets.coco import CocoInstances, check_kind
from teachseg.datasets.nuclei import Nuclei
from teachseg.datasets.penn_fudan import PennFudan
from teachseg.datasets.problems import Pictures, Problem
from teachseg.datasets.voc import SbdInstances, VocInstances
from teachseg.storage import load_json
from teachseg.structures import Targets

PARTS = ("train", "val", "all")
LAYOUTS = ("coco", "voc2012", "sbd", "penn-fudan", "nuclei")


def layout_of(path: str | Path) -> str:
    """Which of LAYOUTS a path holds; ValueError where it is none of them."""
    path = Path(path)
    if not path.exists():
        raise ValueError(f"There is no {path}. Check the spelling; or get a data set: teachseg "
                         "data list.")
    if path.is_file():
        if path.suffix.lower() == ".json":
            return "coco"
        raise ValueError(f"{path} is no data set: a JSON file in COCO's format is needed, or a "
                         "folder.")
    if (path / "VOCdevkit" / "VOC2012").is_dir():
        return "voc2012"
    if (path / "inst").is_dir() and (path / "img").is_dir():
        return "sbd"
    if (path / "PNGImages").is_dir() and (path / "PedMasks").is_dir():
        return "penn-fudan"
    inside = path / "stage1_train" if (path / "stage1_train").is_dir() else path
    if any((one / "images").is_dir() and (one / "masks").is_dir() for one in inside.iterdir()):
        return "nuclei"
    if _instance_files(path):
        return "coco"
    raise ValueError(f"{path} is no data set that is known. Known are a folder with a JSON in "
                     "COCO's format, VOC 2012 (VOCdevkit/VOC2012), SBD (img, inst), Penn-Fudan "
                     "(PNGImages, PedMasks) and nuclei (ID/images, ID/masks).")


def _instance_files(folder: Path) -> list[Path]:
    """JSON files with instances in a folder, or in its annotations/."""
    found = []
    for file in sorted([*folder.glob("*.json"), *folder.glob("annotations/*.json")]):
        if not file.name.startswith("instances"):  # COCO's own are large: not read to be named
            try:
                check_kind(load_json(file), file)
            except ValueError:
                continue
        found.append(file)
    return found


def _json_in(path: Path) -> Path:
    """The one JSON file with instances that a path means."""
    if path.is_file():
        return path
    found = _instance_files(path)
    if len(found) > 1:
        raise ValueError(f"{path} has {len(found)} files with instances: "
                         f"{', '.join(str(file.relative_to(path)) for file in found)}. Name one.")
    return found[0]


def in_val(name: str, share: float = 0.2) -> bool:
    """Whether a picture belongs to the part that is held out: its name's checksum decides.

    >>> sum(in_val(f"{i}.jpg") for i in range(1000))
    189
    """
    digest = hashlib.sha256(name.encode()).digest()
    return int.from_bytes(digest[:4], "big") < share * 2**32


@dataclass
class Part:
    """Some items of a data set."""

    whole: Pictures
    indexes: Sequence[int]

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of 1..K."""
        return self.whole.classes

    @property
    def names(self) -> list[str]:
        """Of the items."""
        return [self.whole.names[index] for index in self.indexes]

    @property
    def problems(self) -> list[Problem]:
        """Noted so far, in the whole."""
        return self.whole.problems

    def __len__(self) -> int:
        return len(self.indexes)

    def __getitem__(self, index: int) -> tuple[Tensor, Targets]:
        return self.whole[self.indexes[index]]


def open_dataset(
    path: str | Path,
    part: str = "all",
    pictures: str | Path | None = None,
    on_bad: str = "stop",
    one_class: str | None = None,
    only: Sequence[str] | None = None,
) -> Pictures | Part:
    """The data set that a path holds: [i] -> (image (3, H, W) in [0, 1], Targets).

    Args:
        path: see the table above.
        part: "train", "val" or "all"; of VOC 2012 and SBD also what their classes know.
        pictures: COCO's format: where the pictures are; None: found as `coco.pictures_of` does.
        on_bad: see `problems.Pictures`.
        one_class, only: COCO's format: see `coco.CocoInstances`.

    Raises:
        ValueError: no such path, no layout that is known, or see the data sets.
    """
    kind, path = layout_of(path), Path(path)
    if kind != "coco" and (one_class or only or pictures):
        raise ValueError(f"{path} is in the layout of {kind}: one_class, only and pictures belong "
                         "to data sets in COCO's format.")
    if kind in ("voc2012", "sbd"):
        part = "trainval" if kind == "voc2012" and part == "all" else part
        return (VocInstances if kind == "voc2012" else SbdInstances)(path, part, on_bad)
    if part not in PARTS:
        raise ValueError(f"part must be one of {', '.join(PARTS)}, got {part!r}.")
    if kind == "coco":
        file = _json_in(path)
        whole = CocoInstances(file, pictures, on_bad, one_class, only)
    else:
        whole = (Nuclei if kind == "nuclei" else PennFudan)(path, on_bad)
    if part == "all":
        return whole
    indexes = [i for i, name in enumerate(whole.names) if in_val(name) == (part == "val")]
    if not indexes:
        raise ValueError(f"{path} has {len(whole)} pictures, none of them in the part {part!r}, "
                         "which their names' checksums decide. Take all, or more pictures.")
    return Part(whole, indexes)
