"""COCO's format: each kind of mask by hand, the real thing by pycocotools, what may be wrong."""

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from faster_coco_eval.core import mask as rle
from PIL import Image
from pycocotools import coco as second_opinion

from teachseg.datasets.coco import CocoInstances, decode_segmentation, read_annotation, to_coco
from teachseg.datasets.pictures import write_image
from teachseg.datasets.problems import GoodItems, InMemory, problems_of
from teachseg.datasets.scenes import CLASSES, Scenes
from teachseg.structures import Targets, crowd_of, with_crowd

REAL = Path(__file__).parents[3] / "shared" / "data" / "coco_by"

SQUARE = [1, 1, 4, 1, 4, 3, 1, 3]  # x 1 to 4, y 1 to 3: 3 x 2 pixels
PLAIN = {
    "images": [{"id": 7, "file_name": "b.png", "height": 6, "width": 8},
               {"id": 3, "file_name": "a.png", "height": 6, "width": 8}],
    "categories": [{"id": 90, "name": "toothbrush"}, {"id": 5, "name": "airplane"}],
    "annotations": [
        {"id": 1, "image_id": 7, "category_id": 90, "iscrowd": 0, "bbox": [1, 1, 3, 2],
         "segmentation": [SQUARE]},
        {"id": 2, "image_id": 7, "category_id": 5, "iscrowd": 1, "bbox": [5, 0, 3, 6],
         "segmentation": {"size": [6, 8], "counts": [30, 18]}},
    ],
}


def write(folder, content=PLAIN, size=(8, 6)):
    (folder / "pictures").mkdir(exist_ok=True)
    for image in PLAIN["images"]:
        Image.new("RGB", size, (10, 20, 30)).save(folder / "pictures" / image["file_name"])
    (folder / "instances.json").write_text(json.dumps(content))
    return folder / "instances.json", folder / "pictures"


def changed(**changes):
    """PLAIN with changes to the first annotation."""
    content = copy.deepcopy(PLAIN)
    content["annotations"][0].update(changes)
    return content


# ---- masks --------------------------------------------------------------------------------------


def test_a_polygon_by_hand():
    mask = decode_segmentation([SQUARE], (6, 8))
    expected = torch.zeros(6, 8, dtype=torch.bool)
    expected[1:3, 1:4] = True
    assert torch.equal(mask, expected)


def test_two_polygons_are_one_object():
    mask = decode_segmentation([SQUARE, [5, 4, 8, 4, 8, 6, 5, 6]], (6, 8))
    assert int(mask.sum()) == 6 + 6 and mask[5, 7] and mask[1, 1]


def test_run_lengths_go_down_the_columns():
    """30 pixels of nothing are five columns of six."""
    mask = decode_segmentation({"size": [6, 8], "counts": [30, 18]}, (6, 8))
    assert int(mask.sum()) == 18 and mask[:, 5:].all()
    packed = rle.frPyObjects({"size": [6, 8], "counts": [30, 18]}, 6, 8)
    packed["counts"] = packed["counts"].decode()
    assert torch.equal(decode_segmentation(packed, (6, 8)), mask)


@pytest.mark.parametrize("segmentation, words", [
    ([[1, 1, 4, 1]], "2 points, and needs at least three"),
    ([[1, 1, 4, 1, 4, 3, 9]], "7 numbers: each point needs an x and a y"),
    ([[1, 1, 4, 1, float("nan"), 3]], "not finite"),
    ([], "list of polygons or run lengths, got []"),
    (None, "list of polygons or run lengths, got null"),
    ([SQUARE, "x"], "flat list of numbers"),
    ([SQUARE, [True, 1, 2, 3, 4, "5"]], "flat list of numbers"),
    ({"size": [8, 6], "counts": [30, 18]}, "are for a picture of [8, 6]"),
    ({"size": [6, 8], "counts": [30, 17]}, "add up to 47 pixels, the picture has 48"),
    ({"size": [6, 8], "counts": [50, -2]}, "add up to 48 pixels"),
    ({"size": [6, 8]}, "must be a list or a string, got null"),
    ({"size": [6, 8], "counts": "zz"}, "decoded 20 pixels but expected 48"),
])
def test_what_is_no_mask_is_told(segmentation, words):
    with pytest.raises(ValueError) as error:
        decode_segmentation(segmentation, (6, 8))
    assert words in str(error.value)


def test_without_a_bbox_it_is_the_masks():
    _, box = read_annotation({"segmentation": [SQUARE]}, (6, 8))
    assert box.tolist() == [1, 1, 4, 3]


def test_a_box_is_cut_at_the_picture():
    _, box = read_annotation({"segmentation": [SQUARE], "bbox": [-1.5, 1, 12, 2]}, (6, 8))
    assert box.tolist() == [0, 1, 8, 3]


# ---- the data set -------------------------------------------------------------------------------


def test_items_come_by_image_id_and_labels_by_category_id(tmp_path):
    data = CocoInstances(*write(tmp_path))
    assert data.names == ["a.png", "b.png"] and data.classes == ("airplane", "toothbrush")
    image, empty = data[0]
    assert image.shape == (3, 6, 8) and empty.masks.shape == (0, 6, 8)
    _, targets = data[1]
    assert targets.labels.tolist() == [2] and targets.boxes.tolist() == [[1, 1, 4, 3]]
    assert targets.boxes.dtype == torch.float32 and targets.masks.dtype == torch.bool
    assert len(list(data)) == 2 and torch.equal(data[-1][0], data[1][0])


def test_a_crowd_is_beside_the_objects(tmp_path):
    _, targets = CocoInstances(*write(tmp_path))[1]
    assert len(targets.labels) == 1 and len(targets) == 3  # still three fields
    crowd = crowd_of(targets)
    assert crowd.labels.tolist() == [1] and crowd.masks[0, :, 5:].all()
    assert crowd_of(CocoInstances(*write(tmp_path))[0][1]).masks.shape == (0, 6, 8)


def test_one_class_and_some_classes(tmp_path):
    both = CocoInstances(*write(tmp_path), one_class="thing")
    assert both.classes == ("thing",) and both[1][1].labels.tolist() == [1]
    some = CocoInstances(*write(tmp_path), only=("toothbrush",))
    assert some.classes == ("toothbrush",) and some[1][1].labels.tolist() == [1]
    assert len(crowd_of(some[1][1]).labels) == 0  # the crowd is of airplanes
    with pytest.raises(ValueError, match="no category 'cat'. It has: airplane, toothbrush"):
        CocoInstances(*write(tmp_path), only=("cat",))


def test_there_and_back_again(tmp_path):
    scenes = Scenes("val", 3)
    names = [f"{i}.png" for i in range(3)]
    (tmp_path / "p").mkdir()
    for name, (image, _) in zip(names, scenes):
        write_image(tmp_path / "p" / name, image)
    (tmp_path / "i.json").write_text(json.dumps(to_coco(scenes, CLASSES, names)))
    data = CocoInstances(tmp_path / "i.json", tmp_path / "p")
    assert data.classes == CLASSES and len(data) == 3
    for (image, real), (again, targets) in zip(scenes, data):
        torch.testing.assert_close(image, again, rtol=0, atol=0.5 / 255 + 1e-6)
        for one, two in zip(real, targets):
            assert torch.equal(one, two)


def test_a_crowd_comes_back_as_a_crowd():
    mask = torch.ones(1, 4, 4, dtype=torch.bool)
    one = Targets(torch.tensor([[0.0, 0, 4, 4]]), torch.tensor([1]), mask)
    said = to_coco([(torch.zeros(3, 4, 4), with_crowd(Targets.empty((4, 4)), one))], ("x",), ["a"])
    assert [a["iscrowd"] for a in said["annotations"]] == [1]


# ---- what may be wrong --------------------------------------------------------------------------

BAD_ANNOTATIONS = [
    (changed(image_id=99), "annotation 1 belongs to image 99, which is not listed"),
    (changed(category_id=99), "annotation 1 has the category id 99"),
    (changed(id=2), "annotation 2 is there twice"),
    (changed(segmentation=[[1, 1, 2, 2]]), "annotation 1 of b.png: a polygon has 2 points"),
    (changed(segmentation=[[20, 20, 30, 20, 30, 30]]), "annotation 1 of b.png: its mask is empty"),
    (changed(bbox=[1, 1, 0, 2]), "annotation 1 of b.png: its bbox [1, 1, 0, 2] has no area"),
    (changed(bbox=[1, 1, 2]), "annotation 1 of b.png: its bbox must be [x, y, width, height]"),
    (changed(bbox=[30, 1, 5, 5]), "has no area inside the picture"),
]


@pytest.mark.parametrize("content, words", BAD_ANNOTATIONS)
def test_a_wrong_annotation_is_named_with_its_mending(tmp_path, content, words):
    with pytest.raises(ValueError) as error:
        list(CocoInstances(*write(tmp_path, content)))
    assert words in str(error.value) and "instances.json" in str(error.value)
    assert "To mend it" in str(error.value)


@pytest.mark.parametrize("content, words", BAD_ANNOTATIONS)
def test_a_wrong_annotation_can_be_left_out(tmp_path, content, words):
    data = CocoInstances(*write(tmp_path, content), on_bad="skip")
    items = [*data, *data]  # it is noted once
    assert len(items) == 4 and len(items[1][1].labels) == (1 if "twice" in words else 0)
    assert len(data.problems) == 1 and words in str(data.problems[0])


def test_a_picture_that_is_missing_twice_or_outside(tmp_path):
    paths = write(tmp_path)
    (tmp_path / "pictures" / "a.png").unlink()
    with pytest.raises(ValueError, match="the picture a.png of image 3 is not in"):
        CocoInstances(*paths)
    data = CocoInstances(*paths, on_bad="skip")
    assert data.names == ["b.png"] and len(data.problems) == 1
    content = copy.deepcopy(PLAIN)
    content["images"][1] |= {"id": 7}
    with pytest.raises(ValueError, match="image id 7 is there twice"):
        CocoInstances(*write(tmp_path, content))
    content["images"][1] |= {"id": 3, "file_name": "../instances.json"}
    with pytest.raises(ValueError, match="leads out of"):
        CocoInstances(*write(tmp_path, content))


def test_a_picture_of_another_size_or_cut_off(tmp_path):
    paths = write(tmp_path, size=(9, 6))
    with pytest.raises(ValueError, match=r"a.png of image 3 is 6 x 9 pixels .* says 6 x 8"):
        CocoInstances(*paths)[0]
    whole = tmp_path / "pictures" / "b.png"
    whole.write_bytes(whole.read_bytes()[:50])
    data = CocoInstances(*paths, on_bad="skip")
    with pytest.raises(ValueError, match="b.png cannot be read as a picture|b.png is no picture"):
        data[1]


def test_all_problems_are_told_and_the_good_items_stay(tmp_path):
    paths = write(tmp_path, changed(segmentation=[[1, 1, 2, 2]]))
    (tmp_path / "pictures" / "a.png").write_bytes(b"no picture")
    told = list(problems_of(CocoInstances(*paths, on_bad="skip")))
    assert [(index, len(found), usable) for index, found, usable in told] == [
        (0, 1, False), (1, 1, True)]
    good = GoodItems(CocoInstances(*paths, on_bad="skip"))
    assert good.names == ["b.png"] and len(good) == 1 and good.classes == ("airplane", "toothbrush")
    assert len(good.problems) == 2 and len(good[0][1].labels) == 0
    (tmp_path / "pictures" / "b.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match="No item of the data set can be read"):
        GoodItems(CocoInstances(*paths, on_bad="skip"))


def test_kept_in_memory_is_the_same(tmp_path):
    paths = write(tmp_path)
    kept = InMemory(CocoInstances(*paths))
    first = [kept[i] for i in range(2)]
    for path in (tmp_path / "pictures").iterdir():
        path.unlink()  # from here on it comes from memory
    for (image, targets), (again, same) in zip(first, [kept[0], kept[1]]):
        assert torch.equal(image, again)
        for one, two in ((targets, same), (crowd_of(targets), crowd_of(same))):
            assert all(torch.equal(a, b) for a, b in zip(one, two))
    assert len(crowd_of(kept[1][1]).labels) == 1 and kept[0][1].masks.shape == (0, 6, 8)
    assert kept.classes == ("airplane", "toothbrush") and kept.names == ["a.png", "b.png"]
    assert torch.equal(first[1][0], CocoInstances(*write(tmp_path))[1][0])


@pytest.mark.parametrize("content, words", [
    ([1], "it is a list"),
    ({"images": [], "annotations": []}, "it has images, annotations"),
    ({**PLAIN, "images": {}}, "images must be a list, got a dict"),
    ({**PLAIN, "annotations": [{"id": 4, "image_id": 7, "caption": "a dog"}]},
     "annotations[0] (id 4) has no category_id, segmentation"),
    ({**PLAIN, "categories": [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]},
     "category id 1 is there twice"),
])
def test_a_json_of_the_wrong_kind(tmp_path, content, words):
    with pytest.raises(ValueError) as error:
        CocoInstances(*write(tmp_path, content))
    assert words in str(error.value)


def test_no_json_half_a_json_and_no_folder(tmp_path):
    json_path, folder = write(tmp_path)
    json_path.write_text(json_path.read_text()[:50])
    for path, where in ((json_path, folder), (tmp_path / "no.json", folder),
                        (json_path, tmp_path / "none")):
        with pytest.raises(ValueError, match="no.json|instances.json|none"):
            CocoInstances(path, where)
    with pytest.raises(ValueError, match="on_bad must be 'stop' or 'skip', got 'go'"):
        CocoInstances(*write(tmp_path), on_bad="go")


# ---- the real thing -----------------------------------------------------------------------------


@pytest.mark.skipif(not REAL.is_dir(), reason="the photographs of coco_by are not here")
def test_every_annotation_of_real_photographs_as_pycocotools_reads_it(capsys):
    data = CocoInstances(REAL / "instances.json", REAL / "images")
    other = second_opinion.COCO(str(REAL / "instances.json"))
    capsys.readouterr()
    compared = 0
    for one, (image, targets) in zip(data.images, data):
        entries = other.loadAnns(other.getAnnIds(imgIds=[one.id]))
        for crowd, objects in ((0, targets), (1, crowd_of(targets))):
            theirs = [entry for entry in entries if entry["iscrowd"] == crowd]
            assert len(theirs) == len(objects.labels)
            for entry, box, label, mask in zip(theirs, *objects):
                assert np.array_equal(other.annToMask(entry).astype(bool), mask.numpy())
                assert data.label_of[entry["category_id"]] == int(label)
                x, y, width, height = entry["bbox"]
                assert torch.allclose(box, torch.tensor([x, y, x + width, y + height]).float())
                compared += 1
        assert image.shape[1:] == (other.imgs[one.id]["height"], other.imgs[one.id]["width"])
    assert compared == len(other.anns) == 829
