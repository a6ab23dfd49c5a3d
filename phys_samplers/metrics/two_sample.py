"""Are two sets of samples of one law? Kernel and energy distances, nearest neighbours, copies of the training rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from phys_samplers.errors import ConfigurationError
from phys_samplers.metric import Best, Metric, Scored, as_rows
from phys_samplers.metrics.pairwise import (
    blocks,
    distances,
    mean_across,
    mean_within,
    median_distance,
    nearest_distance,
)
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
