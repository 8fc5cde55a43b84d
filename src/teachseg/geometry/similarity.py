"""How much two pixels look like one object: a distance in embedding space, made a number in (0, 1].

Letters
    D       dimension of an embedding
    e_p     the embedding of pixel p
    sigma   their similarity

No boxes here.

Lesson: 30
"""

import torch
from torch import Tensor

FARTHEST = 1e15  # a difference that still has a gradient; its square is far from overflowing


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
