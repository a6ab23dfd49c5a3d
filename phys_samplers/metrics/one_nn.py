"""Leave-one-out nearest-neighbour two-sample test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from phys_samplers.metric import Metric
from phys_samplers.metrics.pairwise import blocks, distances
from phys_samplers.metrics.rows import rows

if TYPE_CHECKING:
    from phys_samplers.sampler import Model
    from phys_samplers.target import Target


@dataclass(frozen=True, kw_only=True)
class OneNearestNeighbour(Metric):
    """Accuracy with which a row's nearest other row tells whether it was generated, averaged over the two classes.

    ½ for equal laws (exactly ½ − ½/(n + m − 1) in expectation, for any n and m), 1 for laws that are told apart, 0
    for copies of the reference. Of rows at the same smallest distance each has its share of the vote.

    Source: D. Lopez-Paz and M. Oquab, Revisiting Classifier Two-Sample Tests (ICLR 2017), Section 3.
    """

    best: ClassVar = "half"

    def __call__(
        self,
        samples: Tensor,
        reference: Tensor,
        *,
        target: Target,
        generator: torch.Generator,
        model: Model | None = None,
    ) -> float:
        """The class-averaged accuracy, in [0, 1]."""
        x, y = rows(samples, reference, by="1nn")
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
