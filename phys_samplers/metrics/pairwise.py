"""Distances between rows, block by block: memory stays bounded whatever the number of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

BLOCK = 2**22
"""Distances held at once: 32 MiB of float64."""
DIRECT = 32
"""Up to this dimension differences are taken before squaring; above, a matrix product is some thirty times faster."""


def distances(x: Tensor, y: Tensor) -> Tensor:
    """Euclidean distances (n, m) between the rows of ``x`` (n, D) and ``y`` (m, D), float64; a copy is at exactly zero.

    Above ``DIRECT`` dimensions |x|² + |y|² − 2 x·y is used, about the mean of ``y``; what rounding leaves of the
    distance between copies, below 1e-7 of their norm, is read as zero, so that ties stay ties.
    """
    if x.shape[1] <= DIRECT or not len(y):
        return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")
    centre = y.mean(0)
    x, y = x - centre, y - centre
    scale = x.square().sum(1)[:, None] + y.square().sum(1)
    squared = torch.addmm(scale, x, y.T, alpha=-2)
    return squared.masked_fill_(squared < 1e-14 * scale, 0.0).sqrt_()


def blocks(n: int, m: int) -> Iterator[slice]:
    """Slices of n rows such that a slice against m columns holds about ``BLOCK`` numbers."""
    step = max(1, BLOCK // max(m, 1))
    for start in range(0, n, step):
        yield slice(start, min(start + step, n))


def nearest_distance(x: Tensor, y: Tensor) -> Tensor:
    """Distance (n,) of each row of ``x`` to the nearest row of ``y``."""
    return torch.cat([distances(x[rows], y).amin(1) for rows in blocks(len(x), len(y))])


def mean_across(function: Callable[[Tensor], Tensor], x: Tensor, y: Tensor) -> Tensor:
    """Mean of ``function(|x_i − y_j|)`` over all i, j: a scalar tensor."""
    total = x.new_zeros(())
    for rows in blocks(len(x), len(y)):
        total = total + function(distances(x[rows], y)).sum()
    return total / (len(x) * len(y))


def mean_within(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Mean of ``function(|x_i − x_j|)`` over i ≠ j, the unbiased (U-statistic) mean: a scalar tensor."""
    total = x.new_zeros(())
    for rows in blocks(len(x), len(x)):
        own = function(distances(x[rows], x[rows]))
        later = function(distances(x[rows], x[rows.stop :]))
        total = total + own.sum() - own.diagonal().sum() + 2 * later.sum()
    return total / (len(x) * (len(x) - 1))


def median_distance(x: Tensor, rows: int = 2000) -> Tensor:
    """Median distance over the pairs of distinct rows, of at most ``rows`` rows evenly spaced: a scalar tensor."""
    if len(x) > rows:
        x = x[torch.arange(rows, device=x.device) * len(x) // rows]
    return torch.pdist(x).median()


def at_most(points: int | None, x: Tensor, generator: torch.Generator) -> Tensor:
    """``x``, or ``points`` of its rows chosen at random where it has more."""
    if points is None or len(x) <= points:
        return x
    return x[torch.randperm(len(x), generator=generator, device=generator.device)[:points].to(x.device)]
