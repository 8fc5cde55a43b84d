"""`make bench`: one report of speed, ours / torchvision / the machine's limit, and how time grows.

    python tests/bench/report.py [--quick] [--folder data/results/bench]

It prints the report, and writes report.md and report.json with --folder. Ours and theirs take turns
in one process, so that a busy machine slows both; a ratio is taken in every turn, and its median
stands with its 10th and 90th percentile. A ratio below 1 means that ours is faster. No line passes
or fails; on a machine that is busy the report says so at its top, and its spreads show it.

The limit is what the machine could do at best, measured in the same run: operations of
multiplying large matrices, or bytes of copying a large tensor. Lines that are bound by neither have
none.
"""

import argparse
import copy
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import torch
import torchvision
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models.detection._utils import Matcher
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import paste_masks_in_image

sys.path.insert(0, str(Path(__file__).parent))

import bench_roi  # noqa: E402
from clock import compare, milliseconds  # noqa: E402
from peer import peer_losses, peer_predict  # noqa: E402
from run import Learner, make_theirs, scenes_of_step, stepper  # noqa: E402

from teachseg import __version__  # noqa: E402
from teachseg.checkpoints import load  # noqa: E402
from teachseg.datasets.scenes import CLASSES, Scenes  # noqa: E402
from teachseg.decoding.instances import paste_binary  # noqa: E402
from teachseg.evaluate import coco_mask_ap  # noqa: E402
from teachseg.geometry.anchors import cell_anchors, grid_anchors  # noqa: E402
from teachseg.geometry.boxes import box_iou  # noqa: E402
from teachseg.geometry.matching import match  # noqa: E402
from teachseg.geometry.nms import fast_batched_nms  # noqa: E402
from teachseg.papers import deep_metric, mask_rcnn, mnc  # noqa: E402

K = len(CLASSES)
PAGES = {"mask_rcnn": mask_rcnn, "mnc": mnc, "deep_metric": deep_metric}
BUSY = 0.5  # of the cores in use before the report begins, from which on it is said
QUICK_PEER = 20.0  # seconds that the peer is trained; without --quick 150


class Rates:
    """What this machine does at best."""

    def __init__(self):
        a, b = torch.randn(1536, 1536), torch.randn(1536, 1536)
        self.operations = 2 * 1536**3 / (fastest(lambda: a @ b) / 1e3)
        self.bytes = 2**29 / (self.copying(2**29) / 1e3)

    def copying(self, size: int) -> float:
        """Milliseconds to copy a block, that reads and writes so many bytes together."""
        x = torch.ones(max(1, size // 8))
        y = torch.empty_like(x)
        return fastest(lambda: y.copy_(x))

    def of_operations(self, work: Callable[[], object]) -> float:
        """Milliseconds that the multiplications of some work need at least."""
        with FlopCounterMode(display=False) as counter:
            work()
        return 1e3 * counter.get_total_flops() / self.operations

    def of_bytes(self, *tensors: Tensor) -> float:
        """Milliseconds to read or write each of these once: a copy of as many bytes."""
        return self.copying(sum(t.numel() * t.element_size() for t in tensors))


def fastest(work: Callable[[], object], repeats: int = 15) -> float:
    """Milliseconds of the fastest of some runs."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        times.append(1e3 * (time.perf_counter() - started))
    return min(times)


def boxes_in(count: int, height: int, width: int, seed: int = 0) -> Tensor:
    """Random boxes (count, 4) of 8 to 200 pixels a side."""
    draw = torch.Generator().manual_seed(seed)
    sides = 8 * torch.exp(torch.rand(count, 2, generator=draw) * 3.2)
    sides = torch.minimum(sides, torch.tensor([width, height]) * 0.9)
    corners = torch.rand(count, 2, generator=draw) * (torch.tensor([width, height]) - sides)
    return torch.cat([corners, corners + sides], dim=1)


# ---- operators ----------------------------------------------------------------------------------


def roi_lines(rates: Rates) -> list[dict]:
    """RoIAlign and RoIPool; the limit is reading the map and writing the result once."""
    found = []
    for size, bins in (((8, 64, 32, 32, 64, 4), 7), ((8, 64, 32, 32, 256, 4), 14),
                       ((2, 256, 100, 128, 512, 8), 7)):
        features, rois = bench_roi.example(*size)
        out = torch.empty(len(rois), size[1], bins, bins)
        for line in bench_roi.measure(size, bins):
            passes = 2 if "backward" in line["name"] else 1
            found.append(line | {"limit_ms": passes * rates.of_bytes(features, out)})
    return found


def nms_lines() -> list[dict]:
    """Suppression class by class."""
    found = []
    for count in (200, 2000, 20_000):
        boxes = boxes_in(count, 800, 1333)
        draw = torch.Generator().manual_seed(1)
        scores, groups = torch.rand(count, generator=draw), torch.arange(count) % K
        found.append(compare(f"NMS of {count:,} boxes, {K} classes",
                             partial(fast_batched_nms, boxes, scores, groups, 0.5),
                             partial(torchvision.ops.batched_nms, boxes, scores, groups, 0.5),
                             repeats=9))
    return found


def paste_lines(rates: Rates) -> list[dict]:
    """Crops of 28 x 28 to masks of the image; the limit is writing the masks once."""
    found = []
    for count, size in ((20, (128, 128)), (100, (800, 1066))):
        boxes, draw = boxes_in(count, *size), torch.Generator().manual_seed(2)
        crops = torch.rand(count, 28, 28, generator=draw)

        def theirs(crops=crops, boxes=boxes, size=size):
            return paste_masks_in_image(crops[:, None], boxes, size) >= 0.5

        line = compare(f"pasting {count} masks into {size[0]} x {size[1]}",
                       partial(paste_binary, crops, boxes, size, 0.5), theirs, repeats=9)
        found.append(line | {"limit_ms": rates.of_bytes(torch.empty(count, *size,
                                                                    dtype=torch.bool))})
    return found


def match_lines() -> list[dict]:
    """IoU of anchors with objects, and which anchor is whose."""
    found = []
    for objects, anchors in ((6, 9_216), (20, 200_000)):
        real, grid = boxes_in(objects, 800, 1333), boxes_in(anchors, 800, 1333, 3)
        matcher = Matcher(0.7, 0.3, allow_low_quality_matches=True)
        iou = torchvision.ops.box_iou(real, grid)
        found.append(compare(f"IoU of {objects} objects with {anchors:,} anchors",
                             partial(box_iou, real, grid),
                             partial(torchvision.ops.box_iou, real, grid), repeats=9))
        found.append(compare(f"matching {anchors:,} anchors with {objects} objects",
                             partial(match, iou, 0.7, 0.3, True), partial(matcher, iou),
                             repeats=9))
    return found


def anchor_lines() -> list[dict]:
    """Anchors of a pyramid's maps."""
    found = []
    for size, strides in (((128, 128), (4, 8, 16)), ((800, 1088), (4, 8, 16, 32, 64))):
        sides = tuple((8 * stride,) for stride in strides)
        ratios = ((0.5, 1.0, 2.0),) * len(strides)
        generator = AnchorGenerator(sides, ratios)
        maps = [torch.empty(1, 1, size[0] // s, size[1] // s) for s in strides]
        images = ImageList(torch.empty(1, 3, *size), [size])

        def ours(sides=sides, strides=strides, maps=maps):
            return torch.cat([
                grid_anchors(cell_anchors(of_level, (0.5, 1.0, 2.0)), tuple(m.shape[2:]), s)
                for of_level, s, m in zip(sides, strides, maps)])

        count = len(ours())
        found.append(compare(f"{count:,} anchors of {size[0]} x {size[1]}", ours,
                             partial(generator, images, maps), repeats=15))
    return found


def coco_line(scenes: int) -> dict:
    """COCO's mask AP, from masks in memory to the numbers; theirs is pycocotools."""
    from pycocotools import mask as rle
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    model, split = load("mask_rcnn"), Scenes("val", scenes)
    items = [split[i] for i in range(scenes)]
    found = [mask_rcnn.predict(model, [image])[0] for image, _ in items]
    real = [target for _, target in items]

    def packed(objects, image_id, scores):
        for label, mask, score in zip(objects.labels.tolist(), objects.masks, scores):
            code = rle.encode(np.asfortranarray(mask.numpy().astype(np.uint8)))
            yield {"image_id": image_id, "category_id": label, "segmentation": code,
                   "area": float(rle.area(code)), "iscrowd": 0, "score": score}

    def theirs():
        truth, answers = COCO(), COCO()
        images = [{"id": i + 1, "height": 128, "width": 128} for i in range(scenes)]
        classes = [{"id": k + 1} for k in range(K)]
        for api, objects in ((truth, real), (answers, found)):
            rows = [row for i, one in enumerate(objects) for row in packed(
                one, i + 1, one.scores.tolist() if hasattr(one, "scores") else [1.0] * len(
                    one.labels))]
            rows = [row | {"id": n + 1} for n, row in enumerate(rows)]
            api.dataset = {"images": images, "categories": classes, "annotations": rows}
            api.createIndex()
        evaluation = COCOeval(truth, answers, "segm")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
        return evaluation.stats[0]

    def silent(work):
        before = sys.stdout
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        try:
            return work()
        finally:
            sys.stdout.close()
            sys.stdout = before

    ours = coco_mask_ap(found, real, K)["AP"]
    assert abs(ours - silent(theirs)) < 1e-6, "both must give the same AP"
    return compare(f"COCO AP of {scenes} images (theirs: pycocotools)",
                   partial(coco_mask_ap, found, real, K), partial(silent, theirs), repeats=5,
                   warmup=1)


# ---- models -------------------------------------------------------------------------------------


def trained_peer(seconds: float) -> nn.Module:
    """torchvision's small Mask R-CNN, so far trained that it finds few objects, as ours do."""
    learner = Learner("theirs", make_theirs(), peer_losses, peer_predict, max(seconds, 1e-9))
    scenes = Scenes("train", 64_000)
    while learner.spent < seconds:
        learner.step(*scenes_of_step(learner.steps, scenes))
    return learner.model.eval()


def model_lines(rates: Rates, peer: nn.Module, repeats: int) -> list[dict]:
    """A prediction and a training step of each model beside the peer's."""
    images = [Scenes("val", 20)[i][0] for i in range(20)]
    found = []

    def theirs():
        return [peer_predict(peer, [image]) for image in images]

    plain = fastest(theirs, 5)
    peer.to(memory_format=torch.channels_last)  # as ours; back, if it is none the faster for it
    if fastest(theirs, 5) > plain:
        peer.to(memory_format=torch.contiguous_format)
    for name, page in PAGES.items():
        model = load(name)
        line = compare(f"{name}: prediction of 20 scenes, one by one",
                       lambda page=page, model=model: [page.predict(model, [i]) for i in images],
                       theirs, repeats=repeats)
        limit = rates.of_operations(
            lambda page=page, model=model: [page.predict(model, [i]) for i in images])
        found.append(line | {"limit_ms": limit})
    for name, page in PAGES.items():
        plain_model = load(name).to(memory_format=torch.contiguous_format)  # as `teachseg train`
        ours = stepper(plain_model, page.training_losses)
        line = compare(f"{name}: training step of 8 scenes", ours,
                       stepper(copy.deepcopy(peer).to(memory_format=torch.contiguous_format),
                               peer_losses), repeats=repeats)
        found.append(line | {"limit_ms": rates.of_operations(ours)})
    return found


def parts(scenes: int = 22) -> dict[str, dict[str, float]]:
    """Milliseconds of each part of a prediction, the median over scenes."""
    split, found = Scenes("val", scenes), {}
    for name, page in PAGES.items():
        model = load(name)
        times = [page.stage_times(model, split[i][0]) for i in range(scenes)][2:]
        found[name] = {part: 1e3 * median(one[part] for one in times) for part in times[0]}
    return found


# ---- growth -------------------------------------------------------------------------------------


def growth(repeats: int) -> dict[str, list[dict]]:
    """Milliseconds of a prediction as one thing grows and all others stay."""
    kinds = ("side of the image", "objects of a crowded scene", "proposals or seeds at most",
             "images a batch")
    found: dict[str, list[dict]] = {kind: [] for kind in kinds}

    def add(what: str, name: str, value: int, work: Callable[[], object]) -> None:
        found[what].append({"model": name, "value": value} | milliseconds(work, repeats))

    crowded = Scenes("val", 60, kind="crowded")
    by_count = {len(target.labels): image for image, target in crowded}
    counts = sorted(by_count)[:: max(1, len(by_count) // 4)]
    for name, page in PAGES.items():
        model = load(name)
        config, predict = model.config, partial(page.predict, model)
        for side in (64, 128, 256, 512):
            add("side of the image", name, side,
                partial(predict, [Scenes("val", 1, image_size=side)[0][0]]))
        for count in counts:
            add("objects of a crowded scene", name, count, partial(predict, [by_count[count]]))
        image = Scenes("val", 1)[0][0]
        for value in (12, 25, 50, 100):
            most = "num_seeds" if name == "deep_metric" else "post_nms_test"
            model.config = replace(config, **{most: value})
            add("proposals or seeds at most", name, value, partial(predict, [image]))
        model.config = config
        for batch in (1, 2, 4, 8):
            images = [Scenes("val", 8)[i][0] for i in range(batch)]
            add("images a batch", name, batch, partial(predict, images))
    return found


# ---- the report ---------------------------------------------------------------------------------


def table(lines: list[dict]) -> list[str]:
    """Lines as rows of Markdown."""
    rows = ["| | ours, ms | theirs, ms | ours / theirs (10 % - 90 %) | limit, ms | ours / limit |",
            "| --- | ---: | ---: | ---: | ---: | ---: |"]
    for line in lines:
        limit = line.get("limit_ms")
        at_best = "- | -" if limit is None else f"{limit:.2f} | {line['ours_ms'] / limit:.1f}"
        rows.append(f"| {line['name']} | {line['ours_ms']:.2f} | {line['theirs_ms']:.2f} | "
                    f"{line['ratio']:.2f} ({line['low']:.2f} - {line['high']:.2f}) | {at_best} |")
    return rows


def growth_table(rows: list[dict]) -> list[str]:
    """One growing thing: a column for each of its values."""
    values = sorted({row["value"] for row in rows})
    lines = ["| | " + " | ".join(map(str, values)) + " |", "| --- |" + " ---: |" * len(values)]
    for name in PAGES:
        own = {row["value"]: row for row in rows if row["model"] == name}
        lines.append(f"| {name} | " + " | ".join(
            f"{own[v]['ms']:.1f} ({own[v]['low']:.1f} - {own[v]['high']:.1f})" for v in values)
            + " |")
    return lines


def markdown(facts: dict) -> str:
    """The report as a page."""
    lines = ["# Speed", "",
             f"Made by `{facts['command']}` on {facts['machine']}, {facts['threads']} threads, "
             f"torch {facts['torch']}, torchvision {facts['torchvision']}, teachseg "
             f"{facts['teachseg']}; load before it began {facts['load']:.1f}. {facts['busy']}",
             "", "A ratio below 1 means that ours is faster. The limit: "
             f"{facts['operations'] / 1e9:.0f} billion operations a second, "
             f"{facts['bytes'] / 1e9:.1f} GB a second, as measured in the same run.", ""]
    for title, of_title in facts["lines"].items():
        lines += [f"## {title}", "", *table(of_title), ""]
    lines += ["## Parts of a prediction, ms", ""]
    for name, of_name in facts["parts"].items():
        said = ", ".join(f"{part} {ms:.1f}" for part, ms in of_name.items())
        lines.append(f"- {name}: {sum(of_name.values()):.1f} = {said}")
    for what, rows in facts["growth"].items():
        lines += ["", f"## A prediction's time by {what}, ms (10 % - 90 %)", "",
                  *growth_table(rows)]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer repeats")
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    load_before = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0  # not on Windows
    cores = os.cpu_count() or 1
    busy = load_before > BUSY * cores
    repeats = 5 if options.quick else 9
    started, rates = time.perf_counter(), Rates()
    peer = trained_peer(QUICK_PEER if options.quick else 150)
    lines = {"Models": model_lines(rates, peer, repeats), "RoI operators": roi_lines(rates),
             "Boxes and masks": nms_lines() + paste_lines(rates) + match_lines() + anchor_lines(),
             "Evaluation": [coco_line(50 if options.quick else 200)]}
    facts = {
        "command": " ".join(["python", *sys.argv]), "teachseg": __version__,
        "torch": torch.__version__, "torchvision": torchvision.__version__,
        "machine": platform.machine(), "threads": torch.get_num_threads(), "load": load_before,
        "busy": "The machine was busy then: trust the ratios no further than their spread." if busy
                else "", "operations": rates.operations, "bytes": rates.bytes, "lines": lines,
        "parts": parts(), "growth": growth(repeats),
    }
    facts["seconds"] = time.perf_counter() - started
    page = markdown(facts)
    print(page)
    if options.folder:
        options.folder.mkdir(parents=True, exist_ok=True)
        (options.folder / "report.json").write_text(json.dumps(facts, indent=2) + "\n")
        (options.folder / "report.md").write_text(page)


if __name__ == "__main__":
    main()
