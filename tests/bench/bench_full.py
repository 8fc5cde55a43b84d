"""Mask R-CNN ResNet-50-FPN in full beside torchvision's, on a GPU or on the CPU: time, memory, what
is not convolution; how long training waits for its images; and what evaluation holds in memory.

    python tests/bench/bench_full.py [--device cpu|cuda] [--size 800x1333] [--batch 1 2]
                                     [--json FILE]

Both models have the same weights, frozen batch norms and frozen first stages, see the same images
and objects and draw as many anchors and rois. They take turns. On a GPU also at other sizes and
batches, in bf16, and RoIAlign alone. Memory: on a GPU the most that was allocated; on the CPU that
of a process which does this alone, over what it held before. No line passes or fails.
"""

import argparse
import gc
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from torchvision import ops
from torchvision.io import write_jpeg
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone

sys.path.insert(0, str(Path(__file__).parent))

from clock import HEADER, compare, highest_gb, show  # noqa: E402
from peer import peer_losses, peer_predict  # noqa: E402

from teachseg.datasets.coco import to_coco  # noqa: E402
from teachseg.datasets.layouts import open_dataset  # noqa: E402
from teachseg.datasets.scenes import CLASSES, Scenes  # noqa: E402
from teachseg.evaluate import Encoded, encode_pair, evaluate_encoded  # noqa: E402
from teachseg.layers import roi  # noqa: E402
from teachseg.layers.backbones import freeze  # noqa: E402
from teachseg.learning.losses import total  # noqa: E402
from teachseg.papers import mask_rcnn  # noqa: E402
from teachseg.structures import Detections, Targets  # noqa: E402
from teachseg.train import TrainConfig, fit  # noqa: E402

K = 90           # COCO's category numbers
STEP_SEED = 0
POOL = 50        # images whose objects are drawn; evaluation gets copies
ON_GPU = (((800, 1333), (1, 2, 8)), ((480, 640), (1, 8, 16)))  # sizes and batches there
CONVOLUTIONS = ("aten::convolution", "aten::_convolution", "aten::convolution_overrideable",
                "aten::mkldnn_convolution", "aten::cudnn_convolution",
                "aten::cudnn_convolution_transpose", "aten::convolution_backward",
                "aten::_slow_conv2d_forward", "aten::thnn_conv2d")


def make(device: str, size: tuple[int, int]) -> tuple[nn.Module, nn.Module]:
    """(ours, theirs) with the same random weights, for images of this size."""
    torch.manual_seed(0)
    body = resnet_fpn_backbone(backbone_name="resnet50", weights=None, trainable_layers=3,
                               norm_layer=ops.FrozenBatchNorm2d)
    theirs = MaskRCNN(body, K + 1, min_size=min(size), max_size=max(size))
    ours = mask_rcnn.from_torchvision(theirs.state_dict(), K + 1)
    ours.config = replace(mask_rcnn.Config.paper(K), min_side=min(size), max_side=max(size))
    freeze(ours.backbone, 2)  # the stem and the first stage, as theirs
    return ours.to(device), theirs.to(device)


def pictures(size: tuple[int, int], batch: int, device: str) -> tuple[list[Tensor], list[Targets]]:
    """Scenes with seven objects or so, made as large, in the model's own size: nobody resizes."""
    scenes, images, targets = Scenes("train", 64, kind="crowded"), [], []
    for i in range(batch):
        image, there = scenes[i]
        down, right = size[0] / image.shape[1], size[1] / image.shape[2]
        grown = nn.functional.interpolate(image[None], size=size, mode="bilinear")[0].clamp(0, 1)
        masks = nn.functional.interpolate(there.masks[None].float(), size=size)[0] > 0
        boxes = there.boxes * torch.tensor([right, down, right, down])
        images.append(grown.to(device))
        targets.append(Targets(boxes, there.labels, masks).to(device))
    return images, targets


def works(device: str, size: tuple[int, int], batch: int, precision: torch.dtype | None,
          what: str) -> tuple[Callable[[], object], Callable[[], object]]:
    """(ours, theirs): a training step ("step") or a prediction ("predict"), as functions."""
    images, targets = pictures(size, batch, device)
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    lower = torch.autocast(device, precision) if precision else nullcontext()
    done = []
    for model, losses_of, predict in zip(
            make(device, size), (mask_rcnn.training_losses, peer_losses),
            (mask_rcnn.predict, peer_predict)):
        learning = [p for p in model.parameters() if p.requires_grad]
        optimizer = torch.optim.SGD(learning, 1e-5, momentum=0.9)
        model.train(what == "step")

        def step(model=model, losses_of=losses_of, optimizer=optimizer):
            with lower:
                loss = total(losses_of(model, images, targets,
                                       torch.Generator().manual_seed(STEP_SEED)))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            wait()

        def look(model=model, predict=predict):
            with lower:
                found = predict(model, images)
            wait()
            return found

        done.append(step if what == "step" else look)
    return done[0], done[1]


def outside_convolutions(work: Callable[[], object], device: str) -> float:
    """The share of a work's time that is not spent in convolutions."""
    kinds = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if device == "cuda" else [])
    work()
    with profile(activities=kinds) as seen:
        work()
    rows = seen.key_averages()
    time_of = "self_device_time_total" if device == "cuda" else "self_cpu_time_total"
    everything = sum(getattr(row, time_of) for row in rows)
    in_them = sum(getattr(row, time_of) for row in rows if row.key in CONVOLUTIONS)
    if device == "cuda":  # kernels are counted under their operators' own names as well
        everything = sum(row.self_device_time_total for row in rows if row.key.startswith("aten::")
                         or row.key.startswith("torchvision::"))
    return 1 - in_them / everything if everything else float("nan")


def peaks_of(device: str, size: tuple[int, int], batch: int, precision: torch.dtype | None,
             what: str) -> list[float]:
    """GB at the peak of each, in a process of its own: see the top of this file."""
    peaks = []
    for who in ("ours", "theirs"):
        words = [sys.executable, __file__, "--peak", who, what, f"{size[0]}x{size[1]}", str(batch),
                 device, "bf16" if precision else "fp32"]
        said = subprocess.run(words, check=True, capture_output=True, text=True).stdout
        peaks.append(float(said.split()[-1]))
    return peaks


def print_peak(who: str, what: str, size: tuple[int, int], batch: int, device: str,
               exact: str) -> None:
    """What `peaks_of` reads."""
    precision = torch.bfloat16 if exact == "bf16" else None
    work = works(device, size, batch, precision, what)[who == "theirs"]  # the other one is let go
    before = highest_gb()
    if device == "cuda":
        gc.collect()
        torch.cuda.reset_peak_memory_stats()
    for _ in range(2):
        work()
    print(torch.cuda.max_memory_allocated() / 1e9 if device == "cuda" else highest_gb() - before)


def model_rows(device: str, size: tuple[int, int], batches: list[int], repeats: int) -> list[dict]:
    """Training step and prediction at a size, one row for each batch and precision."""
    rows = []
    for batch in batches:
        for precision in (None, torch.bfloat16) if device == "cuda" else (None,):
            for what, name in (("step", "training step"), ("predict", "prediction")):
                pair = works(device, size, batch, precision, what)
                exact = "bf16" if precision else "fp32"
                title = f"{name}, {batch} of {size[0]} x {size[1]}, {exact}, {device}"
                row = compare(title, *pair, repeats=repeats, warmup=1)
                row["outside_convolutions"] = [outside_convolutions(work, device) for work in pair]
                row["peak_gb"] = peaks_of(device, size, batch, precision, what)
                rows.append(row)
                print(show(row), flush=True)
                print("    outside convolutions {:.0%} / {:.0%}; peak {:.2f} / {:.2f} GB".format(
                    *row["outside_convolutions"], *row["peak_gb"]), flush=True)
    return rows


def align_rows(device: str) -> list[dict]:
    """RoIAlign forward and backward on a pyramid's finest level."""
    rows = []
    for batch, boxes in ((1, 1000), (2, 1024), (8, 4096)):
        draw = torch.Generator().manual_seed(0)
        features = torch.rand(batch, 256, 200, 336, generator=draw).to(device)
        corner = torch.rand(boxes, 2, generator=draw) * torch.tensor([1200.0, 700.0])
        side = 16 + 100 * torch.rand(boxes, 2, generator=draw)
        image = torch.randint(batch, (boxes, 1), generator=draw)
        rois = torch.cat([image, corner, corner + side], dim=1).to(device)
        for bins in (7, 14):
            for backward in (False, True):
                def run(operator, bins=bins, backward=backward, features=features, rois=rois):
                    maps = features.detach().requires_grad_(backward)
                    answer = operator(maps, rois, bins, 1 / 4, sampling_ratio=2, aligned=True)
                    if backward:
                        answer.sum().backward()
                    if device == "cuda":
                        torch.cuda.synchronize()

                name = f"roi_align {'forward + backward' if backward else 'forward'}, {boxes} rois"
                row = compare(f"{name} to {bins}, {batch} x 256 x 200 x 336, {device}",
                              lambda run=run: run(roi.roi_align),
                              lambda run=run: run(ops.roi_align), repeats=7)
                rows.append(row)
                print(show(row), flush=True)
    return rows


def waiting_share(device: str, workers: int, steps: int = 40) -> dict:
    """The share of a training's time that passes in waiting for images, read from files."""
    with tempfile.TemporaryDirectory() as folder:
        write_set(Path(folder), 64, (480, 640))
        data = open_dataset(folder)
        config = replace(mask_rcnn.Config.paper(len(data.classes)), min_side=480, max_side=640)
        torch.manual_seed(0)
        model = mask_rcnn.MaskRCNN(config)
        freeze(model.backbone, 2)
        how = TrainConfig(steps=steps, batch_size=8 if device == "cuda" else 1, device=device,
                          learning_rate=1e-5, warmup_steps=1, workers=workers, scale=(0.8, 1.25),
                          colour=0.2, precision="bf16-mixed" if device == "cuda" else "32-true")
        records = list(fit(model, mask_rcnn.training_losses, data, how))[steps // 4:]
    waited, all_ = (sum(getattr(r, name) for r in records) for name in ("data_seconds", "seconds"))
    return {"workers": workers, "device": device, "share": waited / all_, "steps": len(records)}


def write_set(folder: Path, count: int, size: tuple[int, int]) -> None:
    """Scenes as JPEG pictures of this size in COCO's format."""
    images, targets = pictures(size, min(count, 16), "cpu")
    several = [(images[i % len(images)], targets[i % len(images)]) for i in range(count)]
    names = [f"{i:04}.jpg" for i in range(count)]
    for (image, _), name in zip(several, names):
        write_jpeg((image * 255).byte(), str(folder / name), quality=90)
    (folder / "instances.json").write_text(json.dumps(to_coco(several, CLASSES, names)))


def evaluation_memory(images: int = 5000, size: tuple[int, int] = (480, 640)) -> dict:
    """GB that evaluating so many images takes: 7 objects and 100 detections in each, K = 80."""
    def pairs() -> Iterator:
        draw = torch.Generator().manual_seed(0)
        y, x = torch.arange(size[0])[:, None], torch.arange(size[1])

        def blobs(n: int) -> tuple[Tensor, Tensor]:
            place = torch.rand(n, 2, generator=draw) * torch.tensor([size[0], size[1]])
            radius = 10 + 60 * torch.rand(n, 2, generator=draw)
            far = (((y - place[:, :1, None]) / radius[:, :1, None]) ** 2
                   + ((x - place[:, 1:, None]) / radius[:, 1:, None]) ** 2)
            boxes = torch.stack([place[:, 1] - radius[:, 1], place[:, 0] - radius[:, 0],
                                 place[:, 1] + radius[:, 1], place[:, 0] + radius[:, 0]], dim=1)
            return boxes, far <= 1

        for image in range(POOL):
            boxes, masks = blobs(100)
            labels = torch.randint(1, 81, (100,), generator=draw)
            scores = torch.rand(100, generator=draw).sort(descending=True).values
            found = Detections(boxes, labels, scores, masks)
            real = Targets(boxes[:7], labels[:7], masks[:7].roll(3, dims=2))
            yield encode_pair(found, real, 80, image)

    def copied(one: Encoded) -> Encoded:
        return one._replace(runs=[bytes(bytearray(run)) for run in one.runs])

    before = highest_gb()
    pool, start = list(pairs()), time.perf_counter()
    numbers = evaluate_encoded(
        (tuple(copied(one) for one in pool[i % POOL]) for i in range(images)), 80)
    return {"images": images, "gb": highest_gb() - before,
            "seconds": time.perf_counter() - start, "AP": numbers["AP"]}


def size_of(text: str) -> tuple[int, int]:
    """"800x1333" -> (800, 1333)."""
    height, width = text.split("x")
    return int(height), int(width)


def main() -> None:
    if sys.argv[1:2] == ["--peak"]:
        print_peak(sys.argv[2], sys.argv[3], size_of(sys.argv[4]), int(sys.argv[5]), *sys.argv[6:])
        return
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--size", type=size_of, default=None)
    parser.add_argument("--batch", type=int, nargs="+", default=None)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--workers", type=int, default=min(8, os.cpu_count() or 1))
    parser.add_argument("--images", type=int, default=5000, help="in evaluation")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    gpu = options.device == "cuda"
    name = torch.cuda.get_device_name() if gpu else platform.machine()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {name}, load "
          f"{os.getloadavg()[0]:.1f}\n{HEADER}")
    evaluated = subprocess_memory(options.images)
    plan = [(options.size or (800, 1333), options.batch or [1])]
    if gpu and not options.size:
        plan = [(size, list(batches)) for size, batches in ON_GPU]
    rows = []
    for size, batches in plan:
        rows += model_rows(options.device, size, batches, options.repeats)
    rows += align_rows(options.device) if gpu else []
    waited = waiting_share(options.device, options.workers, 40 if gpu else 8)
    print(f"training waits for its images {waited['share']:.1%} of the time, "
          f"{waited['workers']} workers")
    print(f"evaluation of {evaluated['images']:,} images of 480 x 640: {evaluated['gb']:.2f} GB, "
          f"{evaluated['seconds']:.0f} s")
    if options.json:
        facts = {"torch": torch.__version__, "threads": torch.get_num_threads(), "machine": name,
                 "command": " ".join(sys.argv), "lines": rows, "waiting": waited,
                 "evaluation": evaluated}
        options.json.write_text(json.dumps(facts, indent=2) + "\n")


def subprocess_memory(images: int) -> dict:
    """`evaluation_memory` in a process of its own: its highest point is its own."""
    code = (f"import sys, json; sys.path.insert(0, {str(Path(__file__).parent)!r}); "
            f"import bench_full; print(json.dumps(bench_full.evaluation_memory({images})))")
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return json.loads(said.stdout.splitlines()[-1])


if __name__ == "__main__":
    main()
