"""How much two pixels look like one object: a distance in embedding space, made a number in (0, 1].

Letters
    D       dimension of an embedding
    H, W    height and width of a map of embeddings, in cells
    S       seeds: cells that the whole map is compared with
    e_p     the embedding of pixel p
    sigma   their similarity

No boxes here. A seed is a (row, column) of the map.

Lesson: 30 (similarity), 31 (of a whole map)
"""

import math

import torch
from torch import Tensor

from teachseg.checks import check_shape, reads_values

FARTHEST = 1e15  # a difference that still has a gradient; its square is far from overflowing
AT_ONCE = 1_000_000  # numbers that are worked on at once: few enough to stay near the processor


def squared_distance(e_p: Tensor, e_q: Tensor) -> Tensor:
    """|e_p - e_q|^2, finite for all finite embeddings, and so is its gradient.

    Args:
        e_p, e_q: (..., D), broadcast against each other; of half precision they become float32.

    Returns:
        (...), at least 0. Coordinates further apart than `FARTHEST` count as that far, without a
        gradient.
    """
    dtype = torch.promote_types(torch.promote_types(e_p.dtype, e_q.dtype), torch.float32)
    difference = e_p.to(dtype) - e_q.to(dtype)
    held = difference.detach().clamp(-FARTHEST, FARTHEST)
    difference = torch.where(difference.detach().abs() <= FARTHEST, difference, held)
    return difference.square().sum(dim=-1)


def similarity(e_p: Tensor, e_q: Tensor) -> Tensor:
    """1 for equal embeddings, towards 0 as they part.

        sigma(p, q) = 2 / (1 + exp(|e_p - e_q|^2))           [deep metric learning paper, Eq. 1]

    Written as 2 sigmoid(-|e_p - e_q|^2), which is the same number: exp() of a far pair would be
    infinite, and its gradient not a number.

    Args:
        e_p, e_q: (..., D), broadcast against each other.

    Returns:
        (...) in [0, 1]; exactly 0 only where a float has nothing smaller.

    >>> similarity(torch.zeros(2), torch.tensor([[0.0, 0.0], [1.0, 0.0], [100.0, 0.0]]))
    tensor([1.0000, 0.5379, 0.0000])
    """
    return 2 * torch.sigmoid(-squared_distance(e_p, e_q))


def distance_at(sigma: float) -> float:
    """The squared distance at which the similarity is sigma: Eq. 1, solved for |e_p - e_q|^2.

        |e_p - e_q|^2 = log(2 / sigma - 1)

    Args:
        sigma: in (0, 1].

    >>> distance_at(1.0), round(distance_at(0.5), 4)
    (0.0, 1.0986)
    """
    if not 0 < sigma <= 1:
        raise ValueError(f"A similarity is above 0 and at most 1, got {sigma}: no distance is so "
                         "large that it would be 0, and none so small that it would exceed 1.")
    return math.log(2 / sigma - 1)


def check_seeds(seeds: Tensor, height: int, width: int) -> None:
    """ValueError unless `seeds` is (S, 2) whole (row, column) pairs on a map of height x width."""
    if seeds.ndim != 2 or seeds.shape[1] != 2 or seeds.is_floating_point():
        raise ValueError(f"seeds must be (S, 2) int64 as (row, column), got {tuple(seeds.shape)} "
                         f"{seeds.dtype}. One seed? Pass torch.tensor([[row, column]]).")
    if not reads_values(seeds):
        return
    size = seeds.new_tensor([height, width])
    off = ((seeds < 0) | (seeds >= size)).any(dim=1).nonzero().flatten()
    if len(off):
        first = int(off[0])
        raise ValueError(f"seeds[{first}] = {seeds[first].tolist()} is off the map of {height} x "
                         f"{width} cells. Are these (x, y)? Here they are (row, column).")


def distances_to(pixels: Tensor, own: Tensor) -> Tensor:
    """Squared distances of every cell to some embeddings; no gradient.

    Added up channel by channel, some seeds at a time, unless there is little to do. So nothing of
    size S x H x W x D is made where that is large, and nothing is lost to cancellation, as it would
    be in |p|^2 + |q|^2 - 2 p q.

    Args:
        pixels: (D, H * W). own: (S, D).

    Returns:
        (S, H * W) float, at least 0; infinite where a float has nothing larger.
    """
    dtype = torch.promote_types(pixels.dtype, torch.float32)
    pixels, own = pixels.detach().to(dtype), own.detach().to(dtype)
    if len(own) * pixels.numel() <= AT_ONCE // 4:
        return (pixels - own[:, :, None]).square_().sum(dim=1)
    found = torch.zeros(len(own), pixels.shape[1], dtype=dtype, device=pixels.device)
    some = max(1, AT_ONCE // max(pixels.shape[1], 1))
    for part, sums in zip(own.split(some), found.split(some)):
        for channel, values in zip(pixels, part.T):
            difference = channel - values[:, None]
            sums.addcmul_(difference, difference)
    return found


def similarity_maps(embeddings: Tensor, seeds: Tensor) -> Tensor:
    """sigma(p, q) of each seed p and every cell q; no gradient.   [deep metric learning, Eq. 1]

    Args:
        embeddings: (D, H, W). seeds: (S, 2) int64, (row, column).

    Returns:
        (S, H, W) in [0, 1]; 1 at the seed itself.

    Raises:
        ValueError: other shapes, or a seed that is off the map.

    >>> row = torch.tensor([0.0, 0.5, 1.0]).view(1, 1, 3)
    >>> similarity_maps(row, torch.tensor([[0, 0]]))
    tensor([[[1.0000, 0.8756, 0.5379]]])
    """
    check_shape(embeddings, "D H W", "embeddings")
    height, width = embeddings.shape[1:]
    check_seeds(seeds, height, width)
    own = embeddings[:, seeds[:, 0], seeds[:, 1]].T  # (S, D)
    distances = distances_to(embeddings.flatten(1), own)
    return distances.neg_().sigmoid_().mul_(2).view(-1, height, width)
