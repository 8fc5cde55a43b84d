"""RoIAlign and RoIPool beside torchvision's, on the CPU: ratios of time, ours / theirs.

Ours and theirs take turns, so that whatever else the machine does falls on both; a ratio is taken
in every turn, and its median and its 10th and 90th percentile are printed. Nothing passes or fails.

torchvision's operators use one thread, ours as many as there are; on a busy machine two threads
mostly wait for one another. Pass 1 there: then processor time is taken, which others hardly touch.

Run: python tests/bench/bench_roi.py [threads]
"""

import math
import sys
import time
from collections.abc import Callable

import torch
import torchvision.ops as ops
from torch import Tensor

from teachseg.layers import roi

TURNS = 15        # of each measurement,
LEAST_TURNS = 5   # or as many, at least these,
MOST_SECONDS = 3  # as fit in this time
# N, C, H, W, R, stride: a course batch, one image's boxes, two FPN levels of an 800 x 1066 image
SIZES = [
    (8, 64, 32, 32, 64, 4),
    (8, 64, 32, 32, 256, 4),
    (2, 256, 100, 128, 512, 8),
    (1, 256, 200, 272, 64, 4),
    (1, 256, 200, 272, 1000, 4),
]


def lines(threads: int = 2) -> list[dict]:
    """One dict a measurement: what, size, bins, ours_ms, theirs_ms, ratio, ratio_p10, ratio_p90."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        return [line for size in SIZES for bins in (7, 14) for line in measure(size, bins)]
    finally:
        torch.set_num_threads(before)


def measure(size: tuple[int, ...], bins: int) -> list[dict]:
    """The lines of one size and number of bins."""
    features, rois = example(*size)
    scale = 1 / size[-1]

    def ours_align(features: Tensor, rois: Tensor) -> Tensor:
        return roi.roi_align(features, rois, bins, scale, sampling_ratio=2)

    def theirs_align(features: Tensor, rois: Tensor) -> Tensor:
        return ops.roi_align(features, rois, bins, scale, sampling_ratio=2, aligned=True)

    def ours_pool(features: Tensor, rois: Tensor) -> Tensor:
        return roi.roi_pool(features, rois, bins, scale)

    def theirs_pool(features: Tensor, rois: Tensor) -> Tensor:
        return ops.roi_pool(features, rois, bins, scale)

    kinds = [
        ("roi_align forward", ours_align, theirs_align, False, False),
        ("roi_align forward + backward", ours_align, theirs_align, True, False),
        ("  the same, ours to boxes too", ours_align, theirs_align, True, True),
        ("roi_pool forward", ours_pool, theirs_pool, False, False),
        ("roi_pool forward + backward", ours_pool, theirs_pool, True, False),
    ]
    result = []
    for what, ours, theirs, backward, to_boxes in kinds:
        begin, times = time.perf_counter(), []
        while len(times) <= LEAST_TURNS or (
            len(times) <= TURNS and time.perf_counter() - begin < MOST_SECONDS
        ):
            times.append((seconds(ours, features, rois, backward, to_boxes),
                          seconds(theirs, features, rois, backward, False)))
        times = times[1:]  # the first turn warms up
        result.append({"what": what, "size": size, "bins": bins} | summary(times))
    return result


def example(
    images: int, channels: int, height: int, width: int, rois: int, stride: int
) -> tuple[Tensor, Tensor]:
    """Random features, and boxes of 2 to 36 cells a side (at most 0.9 of it) in the image."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(images, channels, height, width, generator=generator)
    frame = torch.tensor([width, height]) * stride
    sides = torch.exp(math.log(2) + torch.rand(rois, 2, generator=generator) * 2.9) * stride
    sides = torch.minimum(sides, 0.9 * frame)
    corners = torch.rand(rois, 2, generator=generator) * (frame - sides)
    image = torch.randint(images, (rois, 1), generator=generator)
    return features, torch.cat([image, corners, corners + sides], dim=1)


def seconds(
    operator: Callable, features: Tensor, rois: Tensor, backward: bool, to_boxes: bool
) -> float:
    """Time of one call."""
    features = features.clone().requires_grad_(backward)
    rois = rois.clone().requires_grad_(to_boxes)
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    start = clock()
    out = operator(features, rois)
    forward = clock() - start
    if not backward:
        return forward
    slope = torch.ones_like(out)
    start = clock()
    out.backward(slope)
    return forward + clock() - start


def summary(times: list[tuple[float, float]]) -> dict:
    """(ours, theirs) in seconds, one pair a turn -> medians in ms and the ratio's spread."""
    ours, theirs = torch.tensor(times, dtype=torch.float64).T
    low, middle, high = (ours / theirs).quantile(torch.tensor([0.1, 0.5, 0.9]).double()).tolist()
    return {
        "ours_ms": 1000 * ours.median().item(),
        "theirs_ms": 1000 * theirs.median().item(),
        "ratio": middle,
        "ratio_p10": low,
        "ratio_p90": high,
    }


def table(measured: list[dict]) -> str:
    """The lines as text."""
    head = f"{'N, C, H, W, R, stride':28}{'S':>3}  {'what':30}{'ours ms':>9}{'theirs':>9}"
    rows = [head + f"{'ratio':>7}  p10-p90"]
    for m in measured:
        rows.append(
            f"{', '.join(map(str, m['size'])):28}{m['bins']:>3}  {m['what']:30}{m['ours_ms']:>9.1f}"
            f"{m['theirs_ms']:>9.1f}{m['ratio']:>7.2f}  {m['ratio_p10']:.2f}-{m['ratio_p90']:.2f}"
        )
    return "\n".join(rows)


if __name__ == "__main__":
    print(table(lines(int(sys.argv[1]) if len(sys.argv) > 1 else 2)))
