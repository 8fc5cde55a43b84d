"""COCO's format: one JSON for all images, objects as polygons or run lengths.

    {"images": [{"id", "file_name", "height", "width"}],
     "categories": [{"id", "name"}],
     "annotations": [{"id", "image_id", "category_id", "segmentation", "bbox", "iscrowd"}]}

COCO itself has this form, and so has what LabelMe, CVAT and others export: a folder of pictures of
one's own can be read with it. Category ids may be any numbers; in their order they become the
labels 1..K.

Letters
    G     objects of one image        H, W  height and width of the image, in pixels

Boxes are (x1, y1, x2, y2) in pixel edges; the JSON's `bbox` is (x, y, width, height).

Lesson: 01 (run lengths), 42
"""

import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from faster_coco_eval.core import mask as rle
from torch import Tensor

from teachseg.datasets.pictures import read_image
from teachseg.datasets.problems import Pictures, stack
from teachseg.geometry.boxes import clip_boxes, from_xywh
from teachseg.geometry.masks import masks_to_boxes
from teachseg.storage import load_json
from teachseg.structures import Detections, Targets, crowd_of, with_crowd

KEYS = {"images": ("id", "file_name"), "categories": ("id", "name"),
        "annotations": ("id", "image_id", "category_id", "segmentation")}
USED = ("id", "category_id", "segmentation", "bbox", "iscrowd")  # of an annotation


class _Image(NamedTuple):
    """What the JSON says of one picture."""

    id: int
    file_name: str
    size: tuple[int, int] | None  # (height, width)


# ---- one annotation -----------------------------------------------------------------------------


def decode_segmentation(segmentation: Any, image_size: tuple[int, int]) -> Tensor:
    """COCO's `segmentation` -> (H, W) bool, by faster-coco-eval.

    Args:
        segmentation: a list of polygons, each a flat list x, y, x, y, ... in pixel edges, which
            together are one object; or run lengths {"size": [H, W], "counts": list or string}.

    Raises:
        ValueError: it is neither, a polygon has fewer than three points, or another size.
    """
    height, width = image_size
    if isinstance(segmentation, dict):
        return _decode_runs(segmentation, image_size)
    if not isinstance(segmentation, list) or not segmentation:
        raise ValueError("its segmentation must be a list of polygons or run lengths, got "
                         f"{_short(segmentation)}")
    for polygon in segmentation:
        if not isinstance(polygon, list) or not all(isinstance(x, int | float) for x in polygon):
            raise ValueError("a polygon must be a flat list of numbers x, y, x, y, ..., got "
                             f"{_short(polygon)}")
        if len(polygon) % 2:
            raise ValueError(f"a polygon has {len(polygon)} numbers: each point needs an x and a y")
        if len(polygon) < 6:
            raise ValueError(f"a polygon has {len(polygon) // 2} points, and needs at least three")
        if not all(math.isfinite(x) for x in polygon):
            raise ValueError("a polygon holds numbers that are not finite")
    runs = rle.merge(rle.frPyObjects(segmentation, height, width))
    return torch.from_numpy(np.ascontiguousarray(rle.decode(runs))).bool()


def _decode_runs(runs: dict, image_size: tuple[int, int]) -> Tensor:
    """COCO's run lengths, compressed (a string) or not (a list) -> (H, W) bool."""
    size, counts = runs.get("size"), runs.get("counts")
    if tuple(size or ()) != tuple(image_size):
        raise ValueError(f"its run lengths are for a picture of {size} (height, width), this one "
                         f"is {list(image_size)}")
    if isinstance(counts, list):
        if sum(counts) != image_size[0] * image_size[1] or min(counts, default=0) < 0:
            raise ValueError(f"its run lengths add up to {sum(counts)} pixels, the picture has "
                             f"{image_size[0] * image_size[1]}")
        runs = rle.frPyObjects(runs, *image_size)
    elif isinstance(counts, str | bytes):
        counts = counts.encode() if isinstance(counts, str) else counts
        runs = {"size": list(image_size), "counts": counts}
    else:
        raise ValueError(f"its run lengths must be a list or a string, got {_short(counts)}")
    return torch.from_numpy(np.ascontiguousarray(rle.decode(runs))).bool()


def _short(thing: Any) -> str:
    words = json.dumps(thing, default=str)
    return words if len(words) <= 60 else words[:57] + "..."


def read_annotation(
    annotation: dict[str, Any], image_size: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """One annotation -> its mask (H, W) bool, and its box (4,) inside the image.

    The box is the JSON's `bbox` where there is one, else the mask's tight box.

    Raises:
        ValueError: the mask is empty or cannot be read, or the box has no area; no names in it.
    """
    mask = decode_segmentation(annotation["segmentation"], image_size)
    if not mask.any():
        outside = " (it lies outside of the picture, or between its pixels)"
        raise ValueError(f"its mask is empty{outside}")
    if annotation.get("bbox") is None:
        return mask, masks_to_boxes(mask[None])[0]
    numbers = annotation["bbox"]
    if not isinstance(numbers, list) or len(numbers) != 4 or not all(
        isinstance(x, int | float) and math.isfinite(x) for x in numbers
    ):
        raise ValueError(f"its bbox must be [x, y, width, height], got {_short(numbers)}")
    box = clip_boxes(from_xywh(torch.tensor([numbers], dtype=torch.float32)), image_size)[0]
    if not bool((box[2:] > box[:2]).all()):
        raise ValueError(f"its bbox {numbers} has no area inside the picture: x, y, width, height "
                         "are needed, width and height above 0")
    return mask, box


# ---- the data set -------------------------------------------------------------------------------


class CocoInstances(Pictures):
    """Pictures with instances in COCO's format: [i] -> (image (3, H, W) in [0, 1], Targets).

    In the order of the images' ids. Crowd regions (iscrowd 1) are no objects: they come beside the
    targets, see `structures.crowd_of`.

    Args:
        json_path: the annotations.
        image_folder: where the pictures are; None: see `pictures_of`.
        on_bad: see `Pictures`. What the JSON alone tells is seen at once; a picture or a polygon
            that cannot be read, when it is asked for.
        one_class: a name: all objects are of this one class.
        only: names of categories: objects of others are left out.

    Raises:
        ValueError: the JSON is missing, truncated or of another kind; and see `on_bad`.
    """

    def __init__(
        self, json_path: str | Path, image_folder: str | Path | None = None, on_bad: str = "stop",
        one_class: str | None = None, only: Sequence[str] | None = None,
    ):
        self.json_path = Path(json_path)
        content = load_json(self.json_path)
        check_kind(content, self.json_path)
        folder = pictures_of(content, self.json_path) if image_folder is None else image_folder
        super().__init__(folder, on_bad)
        self._read_categories(content["categories"], one_class, only)
        self._read_images(content["images"])
        self._read_annotations(content["annotations"])
        self.names = [one.file_name for one in self.images]

    def _read_categories(
        self, categories: list[dict], one_class: str | None, only: Sequence[str] | None
    ) -> None:
        """Ids, in their order, -> labels 1..K; categories that are left out have none."""
        ids = [category["id"] for category in categories]
        twice = [one for one, count in Counter(ids).items() if count > 1]
        if twice:
            raise ValueError(f"{self.json_path}: category id {twice[0]} is there twice. Give each "
                             "category an id of its own.")
        ordered = sorted(categories, key=lambda category: category["id"])
        names = [str(category["name"]) for category in ordered]
        unknown = [name for name in only or () if name not in names]
        if unknown:
            raise ValueError(f"{self.json_path} has no category {unknown[0]!r}. It has: "
                             f"{', '.join(names)}.")
        kept = [c for c in ordered if only is None or c["name"] in only]
        self.known = set(ids)
        self.label_of = {c["id"]: 1 if one_class else k for k, c in enumerate(kept, start=1)}
        self.classes = (one_class,) if one_class else tuple(str(c["name"]) for c in kept)

    def _read_images(self, images: list[dict]) -> None:
        self.images: list[_Image] = []
        self.listed: set[int] = set()
        for one in images:
            if one["id"] in self.listed:
                self.wrong(self.json_path, f"image id {one['id']} is there twice",
                           "give each image its own id")
                continue
            self.listed.add(one["id"])
            name = str(one["file_name"])
            path = self.folder / name
            inside = path.resolve().is_relative_to(self.folder.resolve())
            if not inside or not path.is_file():
                why = "is not in" if inside else "leads out of"
                self.wrong(self.json_path,
                           f"the picture {name} of image {one['id']} {why} {self.folder}",
                           "put it there, or take the image out of the JSON")
                continue
            size = (one.get("height"), one.get("width"))
            self.images.append(_Image(one["id"], name, size if all(size) else None))
        self.images.sort(key=lambda one: one.id)

    def _read_annotations(self, annotations: list[dict]) -> None:
        of_image: dict[int, list[dict]] = {one.id: [] for one in self.images}
        seen: set[int] = set()
        for one in annotations:
            named = f"annotation {one['id']}"
            if one["id"] in seen:
                self.wrong(self.json_path, f"{named} is there twice",
                           "give each annotation its own id")
                continue
            seen.add(one["id"])
            if one["image_id"] not in self.listed:
                self.wrong(self.json_path,
                           f"{named} belongs to image {one['image_id']}, which is not listed",
                           "list the image, or take the annotation out")
            elif one["category_id"] not in self.known:
                self.wrong(self.json_path,
                           f"{named} has the category id {one['category_id']}, which is not listed",
                           "list the category, or correct the id")
            elif one["image_id"] in of_image and one["category_id"] in self.label_of:
                of_image[one["image_id"]].append({key: one.get(key) for key in USED})
        # As text in one piece: COCO's 860,000 annotations as Python's objects take gigabytes, and
        # each process that loads images would have them again.
        texts = [json.dumps(of_image[one.id]).encode() for one in self.images]
        self.text = np.frombuffer(b"".join(texts), dtype=np.uint8)
        self.ends = np.cumsum([0, *map(len, texts)])

    def annotations_of(self, index: int) -> list[dict[str, Any]]:
        """The annotations of one image, as the JSON has them."""
        return json.loads(self.text[self.ends[index] : self.ends[index + 1]].tobytes())

    def _read(self, index: int) -> tuple[Tensor, Targets]:
        one = self.images[index]
        image = read_image(self.folder / one.file_name)
        size = (image.shape[1], image.shape[2])
        if one.size is not None and one.size != size:
            raise ValueError(f"{self.json_path}: the picture {one.file_name} of image {one.id} is "
                             f"{size[0]} x {size[1]} pixels (height x width), the JSON says "
                             f"{one.size[0]} x {one.size[1]}. Correct the JSON, or put the right "
                             "picture there.")
        objects, crowds = [], []
        for annotation in self.annotations_of(index):
            try:
                mask, box = read_annotation(annotation, size)
            except ValueError as error:
                self.wrong(self.json_path, f"annotation {annotation['id']} of {one.file_name}: "
                           f"{error}", "correct it, or take it out of the JSON")
                continue
            label = self.label_of[annotation["category_id"]]
            (crowds if annotation.get("iscrowd") else objects).append((box, label, mask))
        return image, with_crowd(stack(objects, size), stack(crowds, size))


def check_kind(content: Any, path: Path) -> None:
    """ValueError unless a JSON holds COCO's three lists with the keys that are needed."""
    if not isinstance(content, dict) or not KEYS.keys() <= content.keys():
        has = f"has {', '.join(map(str, content))}" if isinstance(content, dict) else (
            f"is a {type(content).__name__}")
        raise ValueError(f"{path} is no instances file in COCO's format: the lists images, "
                         f"categories and annotations are needed, and it {has}. Of COCO's own "
                         "files take instances_*.json, not captions or keypoints.")
    for name, keys in KEYS.items():
        if not isinstance(content[name], list):
            kind = type(content[name]).__name__
            raise ValueError(f"{path}: {name} must be a list, got a {kind}. Is this an instances "
                             "file in COCO's format?")
        for i, one in enumerate(content[name]):
            missing = [key for key in keys if not isinstance(one, dict) or key not in one]
            if missing:
                what = f" (id {one['id']})" if isinstance(one, dict) and "id" in one else ""
                raise ValueError(f"{path}: {name}[{i}]{what} has no {', '.join(missing)}. Is this "
                                 "an instances file in COCO's format?")


def pictures_of(content: dict[str, Any], json_path: Path) -> Path:
    """The folder with the pictures of a JSON: the first that has one of them.

    Looked at, in this order: images/ beside the JSON, its own folder, and, as in COCO itself, the
    folder train2017/ beside annotations/ for annotations/instances_train2017.json.

    Args:
        content: of the JSON, as `check_kind` lets it pass.

    Raises:
        ValueError: no picture is in any of them.
    """
    here, part = json_path.parent, json_path.stem.removeprefix("instances_")
    names = [str(image["file_name"]) for image in content["images"][:100]]
    places = (here / "images", here, here.parent / part, here / part, here.parent / "images")
    for place in places:
        if any((place / name).is_file() for name in names):
            return place
    raise ValueError(f"None of the pictures that {json_path} names is in "
                     f"{', '.join(str(place) for place in places)}. Say where they are: "
                     "--pictures FOLDER.")


# ---- the other way round ------------------------------------------------------------------------


def to_coco(
    dataset: Iterable[tuple[Tensor, Targets | Detections]], classes: Sequence[str],
    names: Iterable[str],
) -> dict[str, Any]:
    """Targets or Detections as COCO's JSON: masks as compressed run lengths, boxes (x, y, w, h).

    Args:
        dataset: image and objects, each. classes: names of 1..K. names: the pictures' file names.
    """
    images, annotations = [], []
    for number, ((image, objects), name) in enumerate(zip(dataset, names), start=1):
        images.append({"id": number, "file_name": name, "height": image.shape[1],
                       "width": image.shape[2]})
        for kind, crowd in ((objects, 0), (crowd_of(objects), 1)):
            for box, label, mask in zip(kind.boxes.tolist(), kind.labels.tolist(), kind.masks):
                runs = rle.encode(np.asfortranarray(mask.cpu().numpy().astype(np.uint8)))
                annotations.append({
                    "id": len(annotations) + 1, "image_id": number, "category_id": label,
                    "iscrowd": crowd, "bbox": [box[0], box[1], box[2] - box[0], box[3] - box[1]],
                    "area": int(mask.sum()),
                    "segmentation": runs | {"counts": runs["counts"].decode("ascii")},
                })
    categories = [{"id": k, "name": name} for k, name in enumerate(classes, start=1)]
    return {"images": images, "categories": categories, "annotations": annotations}
