"""Masks without boxes: which pixels make good seeds, and the mask that each of them grows.

Letters
    D     dimension of an embedding
    H, W  height and width of the map of embeddings, in cells
    S     seeds
    T     thresholds tau
    K     object classes; class 0 is background

No boxes here. A seed is a (row, column) of the map.

Lesson: 31 (masks from seeds), 32 (seediness, choice of seeds)
"""

import torch
from torch import Tensor

from teachseg.checks import check_shape
from teachseg.geometry.similarity import similarity, squared_distance

AT_ONCE = 20_000_000  # numbers held at once while masks grow, so that memory stays bounded


def check_seeds(seeds: Tensor, height: int, width: int) -> None:
    """ValueError unless `seeds` is (S, 2) whole (row, column) pairs on a map of height x width."""
    if seeds.ndim != 2 or seeds.shape[1] != 2 or seeds.is_floating_point():
        raise ValueError(f"seeds must be (S, 2) int64 as (row, column), got {tuple(seeds.shape)} "
                         f"{seeds.dtype}. One seed? Pass torch.tensor([[row, column]]).")
    size = seeds.new_tensor([height, width])
    off = ((seeds < 0) | (seeds >= size)).any(dim=1).nonzero().flatten()
    if len(off):
        first = int(off[0])
        raise ValueError(f"seeds[{first}] = {seeds[first].tolist()} is off the map of {height} x "
                         f"{width} cells. Are these (x, y)? Here they are (row, column).")


def grow_masks(embeddings: Tensor, seeds: Tensor, tau: float | Tensor) -> Tensor:
    """mask(p, tau) = {q : sigma(p, q) >= tau}            [deep metric learning paper, Eq. 3]

    Args:
        embeddings: (D, H, W). seeds: (S, 2) int64, (row, column).
        tau: in (0, 1], one for all or (S,) one for each.

    Returns:
        (S, H, W) bool. A seed is always in its own mask; a mask need not hang together.
    """
    check_shape(embeddings, "D H W", "embeddings")
    dim, height, width = embeddings.shape
    check_seeds(seeds, height, width)
    tau = torch.as_tensor(tau, dtype=torch.float32, device=embeddings.device)
    if not bool(((tau > 0) & (tau <= 1)).all()):
        raise ValueError(f"tau must be above 0 and at most 1, got {tau.tolist()}: at 0 every pixel "
                         "would belong to every mask.")
    if tau.ndim and len(tau) != len(seeds):
        raise ValueError(f"tau must be one number, or one for each of the {len(seeds)} seeds, got "
                         f"{len(tau)}.")
    pixels = embeddings.flatten(1).T  # (H * W, D)
    own = pixels[seeds[:, 0] * width + seeds[:, 1]]  # (S, D)
    step = max(1, AT_ONCE // max(1, dim * height * width))
    taus = tau.expand(len(seeds))
    masks = [similarity(some[:, None], pixels) >= least[:, None]
             for some, least in zip(own.split(step), taus.split(step))]
    found = torch.cat(masks) if masks else pixels.new_zeros((0, height * width), dtype=torch.bool)
    return found.view(-1, height, width)


def seediness(class_probs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """S_p = max over tau, max over c >= 1 of C_pc^tau: how good a seed each pixel is, and of what.
    [deep metric learning paper]

    Args:
        class_probs: (T, K+1, H, W) in [0, 1]: that the mask which p grows at tau is of class c.

    Returns:
        values (H, W) in [0, 1]; tau_index (H, W) int64 in 0..T-1; labels (H, W) int64 in 1..K. Of
        equal ones the first: the lowest tau, then the lowest class.
    """
    check_shape(class_probs, "T C H W", "class_probs")
    thresholds, channels = class_probs.shape[:2]
    if thresholds == 0 or channels < 2:
        raise ValueError("class_probs must be (T, K+1, H, W) with at least one threshold and one "
                         f"object class beside background, got {tuple(class_probs.shape)}.")
    values, best = class_probs[:, 1:].flatten(0, 1).max(dim=0)
    classes = channels - 1
    return values, best.div(classes, rounding_mode="floor"), best % classes + 1


def pick_seeds(embeddings: Tensor, seediness: Tensor, num_seeds: int, alpha: float) -> Tensor:
    """Seeds that are good and unlike one another, one after another.

        p_1 = argmax S_p,    p_t = argmax over the rest of  log S_p + alpha log D(p, chosen)

    where D is the least squared distance of embeddings to a seed chosen before. Different objects
    lie far apart in embedding space however close they are in the image: so no suppression by
    place is needed.    [deep metric learning paper, section 3.5]

    Args:
        embeddings: (D, H, W). seediness: (H, W) in [0, 1].
        num_seeds: at most so many. alpha: how much being different counts; 0: not at all.

    Returns:
        (S, 2) int64, (row, column), in the order of choice. Fewer than `num_seeds` where no pixel
        is left that has any seediness and, with alpha > 0, an embedding of its own.
    """
    check_shape(embeddings, "D H W", "embeddings")
    height, width = embeddings.shape[1:]
    if tuple(seediness.shape) != (height, width):
        raise ValueError(f"seediness must be ({height}, {width}), one number for each embedding, "
                         f"got {tuple(seediness.shape)}.")
    if num_seeds < 0 or not alpha >= 0:
        raise ValueError(f"num_seeds and alpha must be 0 or more, got {num_seeds} and {alpha}.")
    pixels = embeddings.flatten(1).T  # (H * W, D)
    score = seediness.flatten().float().log()
    distance = torch.full_like(score, torch.inf)
    chosen: list[int] = []
    while len(chosen) < min(num_seeds, len(score)):
        apart = alpha * distance.log() if alpha and chosen else 0.0
        best = int((score + apart).argmax())
        if not (score + apart)[best] > -torch.inf:
            break
        chosen.append(best)
        score[best] = -torch.inf
        distance = torch.minimum(distance, squared_distance(pixels, pixels[best]))
    flat = torch.tensor(chosen, dtype=torch.int64, device=embeddings.device)
    return torch.stack([flat.div(width, rounding_mode="floor"), flat % width], dim=1)
