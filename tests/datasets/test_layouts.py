"""Nuclei, Penn-Fudan, VOC 2012 and SBD: tiny sets in the original layouts, right and wrong."""

import json
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch
from PIL import Image

from teachseg.datasets.layouts import in_val, layout_of, open_dataset
from teachseg.datasets.nuclei import Nuclei
from teachseg.datasets.penn_fudan import PennFudan
from teachseg.datasets.voc import CLASSES, SbdInstances, VocInstances

REAL = Path(__file__).parents[3] / "shared" / "data" / "nuclei"

# 4 x 6 pixels: object 1 has 2 x 2 of them, object 3 has 3 x 1
OWNER = np.zeros((4, 6), dtype=np.uint8)
OWNER[:2, :2] = 1
OWNER[1:, 5] = 3
BOXES = [[0, 0, 2, 2], [5, 1, 6, 4]]


def save(path, values, mode=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(values)
    if mode == "P":
        picture.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0] + [7] * 756)
    picture.convert(mode or picture.mode).save(path)


def photo(path, size=(4, 6)):
    save(path, np.full((*size, 3), 90, dtype=np.uint8))


def objects(targets):
    """Boxes, labels and areas, as lists."""
    return (targets.boxes.tolist(), targets.labels.tolist(),
            targets.masks.flatten(1).sum(dim=1).tolist())


# ---- nuclei -------------------------------------------------------------------------------------


def nuclei(folder):
    for name in ("b", "a"):
        save(folder / name / "images" / f"{name}.png", np.full((4, 6, 4), 255, dtype=np.uint8))
        for number in (1, 3):
            save(folder / name / "masks" / f"{number}.png", (OWNER == number) * np.uint8(255))
    return folder


@pytest.mark.parametrize("inside", [".", "stage1_train"])
def test_nuclei_have_a_file_each(tmp_path, inside):
    nuclei(tmp_path / inside)
    data = Nuclei(tmp_path)
    assert data.names == ["a", "b"] and data.classes == ("nucleus",)
    image, targets = data[0]
    assert image.shape == (3, 4, 6) and float(image.min()) == 1  # alpha is no colour
    assert objects(targets) == (BOXES, [1, 1], [4, 3])
    assert targets.masks.dtype == torch.bool and targets.boxes.dtype == torch.float32


@pytest.mark.parametrize("values", [
    np.full((4, 6), 1, dtype=np.uint8), np.full((4, 6, 3), 255, dtype=np.uint8),
    np.full((4, 6, 4), 255, dtype=np.uint8), np.full((4, 6), True)])
def test_a_mask_may_be_stored_in_many_ways(tmp_path, values):
    save(nuclei(tmp_path) / "a" / "masks" / "1.png", values)
    assert objects(Nuclei(tmp_path)[0][1])[2] == [24, 3]


def test_what_may_be_wrong_with_nuclei(tmp_path):
    masks = nuclei(tmp_path) / "a" / "masks"
    save(masks / "1.png", np.zeros((4, 6), dtype=np.uint8))
    save(masks / "4.png", np.full((5, 6), 255, dtype=np.uint8))
    (masks / "5.png").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="1.png: the mask is empty. To mend it, take it out"):
        Nuclei(tmp_path)[0]
    data = Nuclei(tmp_path, on_bad="skip")
    assert objects(data[0][1])[2] == [3]
    said = [str(problem) for problem in data.problems]
    assert len(said) == 3 and "4.png: the mask is (5, 6) and its picture (4, 6)" in said[1]
    assert "5.png: " in said[2] and "is no picture" in said[2]
    for file in masks.iterdir():
        file.unlink()
    assert Nuclei(tmp_path)[0][1].masks.shape == (0, 4, 6)  # an empty picture has an empty folder
    masks.rmdir()
    with pytest.raises(ValueError, match="There is no folder .*a/masks"):
        Nuclei(tmp_path)[0]
    photo(tmp_path / "a" / "images" / "second.png")
    with pytest.raises(ValueError, match="must hold one picture, and holds 2"):
        Nuclei(tmp_path)[0]


@pytest.mark.parametrize("kind, words", [
    (Nuclei, "holds no ID/images/ID.png"), (PennFudan, "holds no PNGImages/NAME.png"),
    (VocInstances, "VOC 2012 cannot be opened in .*VOCdevkit/VOC2012"),
    (lambda folder: SbdInstances(folder, "sbd_train"), "SBD cannot be opened in"),
])
def test_a_folder_of_another_kind(tmp_path, kind, words):
    with pytest.raises(ValueError, match=words):
        kind(tmp_path)
    with pytest.raises(ValueError, match="There is no folder .*nowhere"):
        kind(tmp_path / "nowhere")


@pytest.mark.skipif(not REAL.is_dir(), reason="the microscope images are not here")
def test_real_nuclei():
    data = Nuclei(REAL)
    assert len(data) == 60
    for index in (0, 31, 59):
        image, targets = data[index]
        folder = REAL / "stage1_train" / data.names[index]
        files = sorted((folder / "masks").iterdir())
        assert len(targets.labels) == len(files) > 0
        picture = np.asarray(Image.open(next((folder / "images").iterdir())))[..., :3]
        assert np.abs(image.permute(1, 2, 0).numpy() * 255 - picture).max() < 1e-3
        for file, mask, box in zip(files, targets.masks, targets.boxes.tolist()):
            pixels = np.asarray(Image.open(file))
            assert np.array_equal(pixels > 0, mask.numpy())
            rows, columns = np.nonzero(pixels)
            assert box == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


# ---- Penn-Fudan ---------------------------------------------------------------------------------


def penn_fudan(folder):
    for name in ("FudanPed00002", "FudanPed00001"):
        photo(folder / "PNGImages" / f"{name}.png")
        save(folder / "PedMasks" / f"{name}_mask.png", OWNER)
    return folder


def test_pedestrians_have_a_number_each(tmp_path):
    data = PennFudan(penn_fudan(tmp_path))
    assert data.names == ["FudanPed00001", "FudanPed00002"] and data.classes == ("person",)
    assert objects(data[1][1]) == (BOXES, [1, 1], [4, 3])


def test_what_may_be_wrong_with_pedestrians(tmp_path):
    file = penn_fudan(tmp_path) / "PedMasks" / "FudanPed00001_mask.png"
    save(file, np.zeros((4, 6), dtype=np.uint8))
    with pytest.raises(ValueError, match="FudanPed00001_mask.png: there is no pedestrian"):
        PennFudan(tmp_path)[0]
    assert PennFudan(tmp_path, "skip")[0][1].masks.shape == (0, 4, 6)
    save(file, OWNER[:3])
    with pytest.raises(ValueError, match=r"is \(3, 6\) pixels .* and its picture \(4, 6\)"):
        PennFudan(tmp_path)[0]
    photo(file)
    with pytest.raises(ValueError, match="one number a pixel is needed"):
        PennFudan(tmp_path)[0]
    file.unlink()
    with pytest.raises(ValueError, match="_mask.png is not there"):
        PennFudan(tmp_path)[0]


# ---- VOC 2012 and SBD ---------------------------------------------------------------------------


def voc(folder, owner=OWNER, classes=None):
    root = folder / "VOCdevkit" / "VOC2012"
    lists = root / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("2007_000032\n2007_000039\n")
    for name in ("2007_000032", "2007_000039"):
        save(root / "JPEGImages" / f"{name}.jpg", np.full((4, 6, 3), 90, dtype=np.uint8))
        save(root / "SegmentationObject" / f"{name}.png", owner, "P")
        save(root / "SegmentationClass" / f"{name}.png",
             np.where(owner == 1, 15, np.where(owner == 3, 2, owner)) if classes is None
             else classes, "P")
    return folder


def test_voc_has_maps_of_instances_and_of_classes(tmp_path):
    owner = OWNER.copy()
    owner[0, 2] = 255  # an outline that nobody decided on
    data = VocInstances(voc(tmp_path, owner))
    assert data.names == ["2007_000032", "2007_000039"] and len(data.classes) == 20
    image, targets = data[0]
    assert image.shape == (3, 4, 6)
    assert objects(targets) == (BOXES, [15, 2], [4, 3])
    assert [CLASSES[label - 1] for label in (15, 2)] == ["person", "bicycle"]


def test_an_instance_is_of_the_class_of_most_of_its_pixels(tmp_path):
    classes = np.where(OWNER == 1, 15, np.where(OWNER == 3, 2, 0)).astype(np.uint8)
    classes[0, 0] = 255
    classes[0, 1] = 3
    assert objects(VocInstances(voc(tmp_path, classes=classes))[0][1])[1] == [15, 2]


def test_what_may_be_wrong_with_voc(tmp_path):
    data = VocInstances(voc(tmp_path, classes=np.where(OWNER == 3, 21, OWNER)), on_bad="skip")
    assert objects(data[0][1]) == ([BOXES[0]], [1], [4])
    assert "instance 3 is of class 21, and 1 to 20 are known" in str(data.problems[0])
    save(data.of_class[1], OWNER[:3], "P")
    with pytest.raises(ValueError, match=r"\(4, 6\) pixels and .* \(3, 6\)"):
        data[1]
    data.maps[1].unlink()
    with pytest.raises(ValueError, match="2007_000039.png is not there"):
        data[1]
    with pytest.raises(ValueError, match="VOC 2012 cannot be opened"):
        VocInstances(tmp_path, "test")


def sbd(folder, names=("a", "b", "c"), owner=OWNER, classes=(15, 1, 2)):
    for name in names:
        photo(folder / "img" / f"{name}.jpg")
        (folder / "inst").mkdir(exist_ok=True)
        entry = np.zeros(1, dtype=[("Segmentation", object), ("Categories", object)])
        entry[0] = (owner, np.array(classes, dtype=np.uint8)[:, None])
        scipy.io.savemat(folder / "inst" / f"{name}.mat", {"GTinst": entry})
    (folder / "train.txt").write_text("a\nb\n")
    (folder / "val.txt").write_text("c\n")
    return folder


def test_sbd_numbers_its_instances(tmp_path):
    (tmp_path / "train_noval.txt").write_text("a\n")
    data = SbdInstances(sbd(tmp_path))
    assert data.names == ["a"]
    assert objects(data[0][1]) == (BOXES, [15, 2], [4, 3])


def test_sbd_has_two_splits(tmp_path):
    sbd(tmp_path)
    assert SbdInstances(tmp_path, "sbd_train").names == ["a", "b"]
    assert SbdInstances(tmp_path, "sbd_val").names == ["c"]
    assert SbdInstances(tmp_path, "all").names == ["a", "b", "c"]
    with pytest.raises(ValueError, match="train_noval.txt, which parts .* or pass voc_folder"):
        SbdInstances(tmp_path, "val")
    with pytest.raises(ValueError, match="There is no .*Main/val.txt"):
        SbdInstances(tmp_path, "val", voc_folder=tmp_path)
    tested = tmp_path / "VOCdevkit" / "VOC2012" / "ImageSets" / "Main" / "val.txt"
    tested.parent.mkdir(parents=True)
    tested.write_text("b\nc\nanother\n")
    by_voc = [SbdInstances(tmp_path, split, voc_folder=tmp_path).names
              for split in ("train", "val")]
    assert by_voc == [["a"], ["b", "c"]]
    (tmp_path / "train_noval.txt").write_text("a\n")
    assert [SbdInstances(tmp_path, split).names for split in ("train", "val")] == by_voc
    with pytest.raises(ValueError, match="split must be train, val, all, sbd_train or sbd_val"):
        SbdInstances(tmp_path, "test")


def test_the_papers_split_is_counted(tmp_path):
    sbd(tmp_path)
    names = [f"n{i}" for i in range(11_355)]
    (tmp_path / "train.txt").write_text("\n".join(names[:8_498]))
    (tmp_path / "val.txt").write_text("\n".join(names[8_498:]))
    (tmp_path / "train_noval.txt").write_text("\n".join(names[:5_623]))
    assert [len(SbdInstances(tmp_path, split)) for split in ("train", "val")] == [5_623, 5_732]
    (tmp_path / "train_noval.txt").write_text("\n".join(names[:5_000]))
    with pytest.raises(ValueError, match="train has 5,623 pictures, by these lists it has 5,000"):
        SbdInstances(tmp_path)


def test_what_may_be_wrong_with_sbd(tmp_path):
    data = SbdInstances(sbd(tmp_path, classes=(15, 1)), "sbd_train")
    with pytest.raises(ValueError, match="a.mat has 2 classes and 3 instances"):
        data[0]
    (tmp_path / "inst" / "a.mat").write_bytes(b"MATLAB 5.0" * 20)
    with pytest.raises(ValueError, match="a.mat cannot be read as SBD's instances"):
        data[0]
    sbd(tmp_path, classes=(15, 1, 30))
    with pytest.raises(ValueError, match="instance 3 is of class 30"):
        data[0]
    photo(tmp_path / "img" / "a.jpg", (5, 6))
    with pytest.raises(ValueError, match=r"a.mat is \(4, 6\) pixels .* picture \(5, 6\)"):
        data[0]


# ---- from a path to a data set ------------------------------------------------------------------


def own(folder, pictures="images", name="mine.json", count=3):
    """A folder in COCO's format, as an annotation tool exports it."""
    images = [{"id": i, "file_name": f"{i}.png", "height": 4, "width": 6} for i in range(count)]
    for image in images:
        photo(folder / pictures / image["file_name"])
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({
        "images": images, "categories": [{"id": 1, "name": "cup"}, {"id": 4, "name": "plate"}],
        "annotations": [{"id": 9, "image_id": count // 2, "category_id": 4, "bbox": [0, 0, 2, 2],
                         "segmentation": [[0, 0, 2, 0, 2, 2, 0, 2]]}]}))
    return file


@pytest.mark.parametrize("write, kind, where", [
    (own, "coco", "."), (own, "coco", "mine.json"), (voc, "voc2012", "."), (sbd, "sbd", "."),
    (penn_fudan, "penn-fudan", "."), (nuclei, "nuclei", "."),
    (lambda folder: nuclei(folder / "stage1_train"), "nuclei", "."),
])
def test_every_layout_is_recognised_and_opened(tmp_path, write, kind, where):
    write(tmp_path)
    assert layout_of(tmp_path / where) == kind
    if kind == "voc2012":
        lists = tmp_path / "VOCdevkit" / "VOC2012" / "ImageSets" / "Segmentation"
        (lists / "trainval.txt").write_text((lists / "train.txt").read_text())
    data = open_dataset(tmp_path / where)
    assert len(data) == len(data.names) >= 2
    assert sum(len(targets.labels) for _, targets in data) >= 1


@pytest.mark.parametrize("pictures, name", [
    ("images", "mine.json"), (".", "mine.json"), ("val2017", "annotations/instances_val2017.json"),
    ("train", "instances_train.json"), ("images", "annotations/instances_default.json")])
def test_the_pictures_are_found_beside_the_json(tmp_path, pictures, name):
    file = own(tmp_path, pictures, name)
    assert open_dataset(file).folder.resolve() == (tmp_path / pictures).resolve()
    assert len(open_dataset(tmp_path)) == 3


def test_pictures_elsewhere_must_be_named(tmp_path):
    file = own(tmp_path / "a", "../b")
    with pytest.raises(ValueError, match="Say where they are: --pictures FOLDER"):
        open_dataset(file)
    assert len(open_dataset(file, pictures=tmp_path / "b")) == 3


def test_classes_can_be_chosen_in_cocos_format_alone(tmp_path):
    file = own(tmp_path / "own")
    assert open_dataset(file, one_class="thing").classes == ("thing",)
    assert open_dataset(file, only=("plate",))[1][1].labels.tolist() == [1]
    with pytest.raises(ValueError, match="layout of nuclei"):
        open_dataset(nuclei(tmp_path / "n"), one_class="thing")


def test_parts_are_held_apart_by_name(tmp_path):
    file = own(tmp_path, count=40)
    train, val = (open_dataset(file, part) for part in ("train", "val"))
    assert not set(train.names) & set(val.names) and len(train) + len(val) == 40
    assert 4 <= len(val) <= 12 and train.classes == val.classes == ("cup", "plate")
    assert [in_val(name) for name in val.names] == [True] * len(val)
    assert all(targets.masks.shape[1:] == (4, 6) for _, targets in val)
    own(tmp_path, count=60)  # more pictures move no other
    assert set(val.names) <= set(open_dataset(file, "val").names)
    with pytest.raises(ValueError, match="part must be one of train, val, all, got 'test'"):
        open_dataset(file, "test")
    own(tmp_path, count=1)
    with pytest.raises(ValueError, match="has 1 pictures, none of them in the part"):
        [open_dataset(file, part) for part in ("train", "val")]


def test_what_is_no_data_set_is_told(tmp_path):
    with pytest.raises(ValueError, match="There is no .*nowhere.*teachseg data list"):
        open_dataset(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="is no data set that is known"):
        open_dataset(tmp_path)
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(ValueError, match="notes.txt is no data set: a JSON file"):
        open_dataset(tmp_path / "notes.txt")
    (tmp_path / "other.json").write_text("[]")
    with pytest.raises(ValueError, match="is no data set that is known"):
        open_dataset(tmp_path)
    own(tmp_path)
    own(tmp_path, name="second.json")
    with pytest.raises(ValueError, match="2 files with instances: mine.json, second.json"):
        open_dataset(tmp_path)
