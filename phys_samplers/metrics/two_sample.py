"""Are two sets of samples of one law? Kernel and energy distances, nearest neighbours, copies of the training rows.

All of it is made of distances between rows, taken block by block: memory stays bounded whatever the number of rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from phys_samplers.errors import ConfigurationError
from phys_samplers.metric import Best, Metric, Scored, as_rows
from phys_samplers.options import option


@dataclass(frozen=True, kw_only=True)
class MMD2(Metric):
    """Unbiased MMD² = E k(X, X') − 2 E k(X, Y) + E k(Y, Y'), means over distinct pairs; it can be negative.

    The kernel is k(x, y) = Σ_b exp(−|x − y|² / (2 (b·h)²)), with h the median distance between distinct
    *reference* rows (of at most 2,000 of them, evenly spaced): the samples do not choose the kernel that judges them.

    Args:
        bandwidths: the multiples b of h.

    Source: A. Gretton et al., A Kernel Two-Sample Test (JMLR 13, 2012), Eq. 3 (MMD²_u).
    """

    best: ClassVar[Best] = "zero"

    bandwidths: tuple[float, ...] = option((0.25, 0.5, 1.0, 2.0, 4.0), above=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.bandwidths:
            raise ConfigurationError("mmd2: bandwidths is empty; expected multiples of the median distance")

    def __call__(self, scored: Scored) -> float:
        """Unbiased MMD², at most 2·len(bandwidths).

        Raises:
            ConfigurationError: if more than half of the reference pairs coincide.
        """
        x, y = scored.rows(self, least=2)
        median = median_distance(y)
        if not median > 0:
            raise ConfigurationError("mmd2: the median distance between reference rows is 0; drop the duplicate rows")

        def kernel(distance: Tensor) -> Tensor:
            squared = distance.square()
            total = torch.zeros_like(squared)
            for b in self.bandwidths:
                total += torch.exp(squared / (-2 * (b * median) ** 2))
            return total

        return float(mean_within(kernel, x) - 2 * mean_across(kernel, x, y) + mean_within(kernel, y))


@dataclass(frozen=True, kw_only=True)
class EnergyDistance(Metric):
    """2 E|X − Y| − E|X − X'| − E|Y − Y'|, means over distinct pairs: unbiased, so it can be negative. No root.

    Source: G. Székely and M. Rizzo, Energy statistics (J. Stat. Plan. Inference 143, 2013).
    """

    best: ClassVar[Best] = "zero"

    def __call__(self, scored: Scored) -> float:
        """The energy distance, in the units of the samples."""
        x, y = scored.rows(self, least=2)
        same = torch.positive
        return float(2 * mean_across(same, x, y) - mean_within(same, x) - mean_within(same, y))


@dataclass(frozen=True, kw_only=True)
class OneNearestNeighbour(Metric):
    """Accuracy with which a row's nearest other row tells whether it was generated, averaged over the two classes.

    ½ for equal laws (exactly ½ − ½/(n + m − 1) in expectation, for any n and m), 1 for laws that are told apart, 0
    for copies of the reference. Of rows at the same smallest distance each has its share of the vote.

    Source: D. Lopez-Paz and M. Oquab, Revisiting Classifier Two-Sample Tests (ICLR 2017), Section 3.
    """

    best: ClassVar[Best] = "half"

    def __call__(self, scored: Scored) -> float:
        """The class-averaged accuracy, in [0, 1]."""
        x, y = scored.rows(self)
        return float((_own_share(x, y) + _own_share(y, x)) / 2)


def _own_share(x: Tensor, y: Tensor) -> Tensor:
    """Mean over the rows of ``x`` of the share of ``x`` among their nearest other rows of both sets."""
    total = x.new_zeros(())
    for some in blocks(len(x), len(x) + len(y)):
        own, other = distances(x[some], x), distances(x[some], y)
        index = torch.arange(some.start, some.stop, device=x.device)
        own[index - some.start, index] = torch.inf
        smallest = torch.minimum(own.amin(1), other.amin(1))[:, None]
        votes_own, votes_other = (own == smallest).sum(1), (other == smallest).sum(1)
        total = total + (votes_own / (votes_own + votes_other).to(x.dtype)).sum()
    return total / len(x)


@dataclass(frozen=True, kw_only=True)
class Memorisation(Metric):
    """Median distance to the nearest training row: of the samples, divided by that of the held-out reference.

    One for a sampler that generalises; towards zero for one that copies; above one for one that is off the data.

    Source: after C. Meehan, K. Chaudhuri and S. Dasgupta, A Non-Parametric Test to Detect Data-Copying in Generative
    Models (AISTATS 2020), who compare the same two sets of distances by a rank test.
    """

    best: ClassVar[Best] = "one"
    needs: ClassVar[frozenset[str]] = frozenset({"rows", "samples"})

    def __call__(self, scored: Scored) -> float:
        """The ratio, at least 0.

        Raises:
            ConfigurationError: if at least half of the reference rows are training rows.
        """
        x, y = scored.rows(self)
        assert scored.target.train is not None  # what "samples" says
        train = as_rows(scored.target.train.to(x.device))
        scale = nearest_distance(y, train).median()
        if not scale > 0:
            raise ConfigurationError(
                "memorisation: at least half of the reference rows are training rows; score against held-out rows"
            )
        return float(nearest_distance(x, train).median() / scale)


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
