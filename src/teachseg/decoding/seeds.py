"""Masks without boxes: which pixels make good seeds, and the mask that each of them grows.

Letters
    D     dimension of an embedding
    H, W  height and width of the map of embeddings, in cells
    S     seeds
    T     thresholds tau
    K     object classes; class 0 is background

No boxes here. A seed is a (row, column) of the map.

Lesson: 31 (masks from seeds), 32 (seediness, choice of seeds), 33 (duplicates)
"""

from typing import NamedTuple

import torch
from torch import Tensor

from teachseg.checks import check_shape, reads_values
from teachseg.geometry.masks import mask_iou
from teachseg.geometry.similarity import distances_to, similarity_maps


def check_taus(tau: Tensor) -> None:
    """ValueError unless every threshold is in (0, 1]."""
    if reads_values(tau) and not bool(((tau > 0) & (tau <= 1)).all()):
        raise ValueError(f"tau must be above 0 and at most 1, got {tau.tolist()}: at 0 every pixel "
                         "would belong to every mask, above 1 none, not even the seed.")


def cut_masks(similarities: Tensor, tau: float | Tensor) -> Tensor:
    """{q : sigma(p, q) >= tau}, of maps that are there already.

    Args:
        similarities: (S, H, W) in [0, 1]. tau: in (0, 1], one for all or (S,) one for each.

    Returns:
        (S, H, W) bool.
    """
    check_shape(similarities, "S H W", "similarities")
    tau = torch.as_tensor(tau, dtype=similarities.dtype, device=similarities.device)
    check_taus(tau)
    if tau.ndim and tau.shape != similarities.shape[:1]:
        raise ValueError("tau must be one number, or one for each of the "
                         f"{len(similarities)} seeds, got {tuple(tau.shape)}.")
    return similarities >= tau.expand(len(similarities))[:, None, None]


def grow_masks(embeddings: Tensor, seeds: Tensor, tau: float | Tensor) -> Tensor:
    """mask(p, tau) = {q : sigma(p, q) >= tau}            [deep metric learning paper, Eq. 3]

    Args:
        embeddings: (D, H, W). seeds: (S, 2) int64, (row, column).
        tau: in (0, 1], one for all or (S,) one for each.

    Returns:
        (S, H, W) bool. A seed is always in its own mask; a mask need not hang together.

    Raises:
        ValueError: a seed is off the map, or a tau outside of (0, 1].
    """
    return cut_masks(similarity_maps(embeddings, seeds), tau)


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


class Choice(NamedTuple):
    """What the greedy choice chose, and what it saw."""

    seeds: Tensor  # (S, 2) int64, (row, column), in the order of choice
    values: Tensor  # (S,) of each when it was chosen: log S_p + alpha log D(p, chosen before)


def choose_seeds(
    embeddings: Tensor, seediness: Tensor, num_seeds: int, alpha: float, min_score: float = 0.0
) -> Choice:
    """`pick_seeds`, with the value at which each seed was chosen."""
    check_shape(embeddings, "D H W", "embeddings")
    height, width = embeddings.shape[1:]
    if tuple(seediness.shape) != (height, width):
        raise ValueError(f"seediness must be ({height}, {width}), one number for each embedding, "
                         f"got {tuple(seediness.shape)}.")
    if num_seeds < 0 or not alpha >= 0:
        raise ValueError(f"num_seeds and alpha must be 0 or more, got {num_seeds} and {alpha}.")

    # 1. Only pixels with some seediness can be chosen.
    able = (seediness.flatten() > max(min_score, 0.0)).nonzero().flatten()
    pixels = embeddings.flatten(1)[:, able]  # (D, able)
    left = seediness.flatten()[able].float().log()
    largest = torch.finfo(left.dtype).max
    distance = torch.full_like(left, largest)

    # 2. One after another, the best of what is left. (Nothing here waits for an accelerator.)
    chosen, values = [], []
    for turn in range(min(num_seeds, len(able))):
        value = left + alpha * distance.log() if alpha and turn else left
        best = value.argmax(keepdim=True)
        chosen.append(best)
        values.append(value[best])
        left = left.index_fill(0, best, -torch.inf)
        distance = torch.minimum(distance, distances_to(pixels, pixels[:, best].T)[0])

    # 3. Up to where nothing new was left.
    values = torch.cat(values) if values else left[:0]
    flat = able[torch.cat(chosen)] if chosen else able[:0]
    count = (values > -torch.inf).long().cumprod(dim=0).sum()
    seeds = torch.stack([flat.div(width, rounding_mode="floor"), flat % width], dim=1)
    return Choice(seeds[:count], values[:count])


def pick_seeds(
    embeddings: Tensor, seediness: Tensor, num_seeds: int, alpha: float, min_score: float = 0.0
) -> Tensor:
    """Seeds that are good and unlike one another, one after another.

        p_1 = argmax S_p,    p_t = argmax over the rest of  log S_p + alpha log D(p, chosen)

    where D is the least squared distance of embeddings to a seed chosen before. Different objects
    lie far apart in embedding space however close they are in the image: so no suppression by
    place is needed.    [deep metric learning paper, section 3.5]

    Args:
        embeddings: (D, H, W). seediness: (H, W) in [0, 1].
        num_seeds: at most so many. alpha: how much being different counts; 0: not at all.
        min_score: pixels of this seediness or less are never chosen.

    Returns:
        (S, 2) int64, (row, column), in the order of choice. Fewer than `num_seeds` where no pixel
        is left that has any seediness and, with alpha > 0, an embedding of its own.

    Raises:
        ValueError: maps of different sizes, or a negative number of seeds or alpha.
    """
    return choose_seeds(embeddings, seediness, num_seeds, alpha, min_score).seeds


def remove_duplicates(
    masks: Tensor, scores: Tensor, labels: Tensor, max_iou: float, by_class: bool = False
) -> Tensor:
    """Of masks that are nearly the same, keep the best: suppression by mask instead of by box.

    Args:
        masks: (S, H, W) bool. scores: (S,). labels: (S,) int64.
        max_iou: in [0, 1]; an overlap of exactly this much is kept.
        by_class: masks of different classes do not compete.

    Returns:
        (kept,) int64 indices, best first; of equal scores the first in order.
    """
    check_shape(masks, "S H W", "masks")
    if scores.shape != (len(masks),) or labels.shape != (len(masks),):
        raise ValueError(f"There are {len(masks)} masks: one score and one label each is needed, "
                         f"got {tuple(scores.shape)} and {tuple(labels.shape)}.")
    if not 0 <= max_iou <= 1:
        raise ValueError(f"max_iou must be in [0, 1], got {max_iou}.")
    order = scores.argsort(descending=True, stable=True)
    clash = mask_iou(masks[order], masks[order]) > max_iou
    if by_class:
        clash &= labels[order][:, None] == labels[order]
    kept: list[int] = []
    for place, row in enumerate(clash.tolist()):
        if not any(row[other] for other in kept):
            kept.append(place)
    return order[torch.tensor(kept, dtype=torch.int64, device=order.device)]
