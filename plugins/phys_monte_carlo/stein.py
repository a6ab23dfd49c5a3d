r"""The Stein variational gradient, the direction in which interacting particles move towards a law, by groups.

For n particles with scores s_j = ∇log p(x_j) and a kernel k,

    φ(x_i) = (1/n) Σ_j [k(x_j, x_i) s_j + ∇_{x_j} k(x_j, x_i)],        k(x, y) = exp(−|x − y|²/h),

the first part pulls towards high density with shared scores, the second pushes particles apart. It is the direction in
the unit ball of the kernel's space in which the Kullback–Leibler divergence to p falls fastest. The bandwidth is the
median heuristic h = med²/log n, with med the median distance of pairs, so that Σ_j k(x_i, x_j) is about one.

Source: Liu & Wang 2016, *Stein variational gradient descent*, Eq. 8 and Algorithm 1; the heuristic is in their
Section 5.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

ROWS = 64
"""The median is taken over the distances of about so many particles to all others."""


def median_bandwidth(squares: Tensor) -> Tensor:
    """h (G, 1, 1) of squared distances (G, n, n) between n ≥ 2 particles."""
    n = squares.shape[-1]
    some = squares[:, :: max(1, n // ROWS)]
    rows = some.shape[1]
    middle = rows + (rows * (n - 1) + 1) // 2  # past the zeros of the diagonal, one a row
    median = some.flatten(1).kthvalue(middle, 1).values
    return (median / math.log(n)).clamp(min=torch.finfo(squares.dtype).tiny).unflatten(0, (-1, 1, 1))


def direction(x: Tensor, score: Tensor) -> Tensor:
    """φ (G, n, D) for particles x (G, n, D) in groups that do not feel each other, with their scores (G, n, D)."""
    n = x.shape[1]
    if n == 1:
        return score
    squares = torch.cdist(x, x).square_()
    h = median_bandwidth(squares)
    kernel = squares.mul_(-1 / h).exp_()
    # Σ_j ∇_{x_j} k(x_j, x_i) = (2/h) Σ_j (x_i − x_j) k_ij
    return (kernel @ (score - (2 / h) * x) + (2 / h) * kernel.sum(2, keepdim=True) * x) / n
