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
from clock import HEADER, show, summarise
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
    """One line a measurement, as `clock.summarise` makes them."""
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
        ("roi_align forward + backward, ours to boxes too", ours_align, theirs_align, True, True),
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
        shape, rois_read = ", ".join(str(n) for n in size[:4]), size[4]
        result.append(summarise(f"{what} ({shape}), {rois_read} rois to {bins}", times))
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


if __name__ == "__main__":
    print(HEADER)
    for line in lines(int(sys.argv[1]) if len(sys.argv) > 1 else 2):
        print(show(line))
