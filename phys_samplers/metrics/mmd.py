"""Maximum mean discrepancy with a sum of Gaussian kernels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from phys_samplers.errors import ConfigurationError
from phys_samplers.metric import Metric
from phys_samplers.metrics.pairwise import mean_across, mean_within, median_distance
from phys_samplers.metrics.rows import rows

if TYPE_CHECKING:
    from phys_samplers.sampler import Model
    from phys_samplers.target import Target


@dataclass(frozen=True, kw_only=True)
class MMD2(Metric):
    """Unbiased MMD² = E k(X, X') − 2 E k(X, Y) + E k(Y, Y'), means over distinct pairs; it can be negative.

    The kernel is k(x, y) = Σ_b exp(−|x − y|² / (2 (b·h)²)), with h the median distance between distinct
    *reference* rows (of at most 2,000 of them, evenly spaced): the samples do not choose the kernel that judges them.

    Args:
        bandwidths: the multiples b of h.

    Source: A. Gretton et al., A Kernel Two-Sample Test (JMLR 13, 2012), Eq. 3 (MMD²_u).
    """

    best: ClassVar = "zero"

    bandwidths: tuple[float, ...] = (0.25, 0.5, 1.0, 2.0, 4.0)

    def __post_init__(self) -> None:
        if not self.bandwidths or not all(b > 0 for b in self.bandwidths):
            raise ConfigurationError(
                f"mmd2: bandwidths is {self.bandwidths}; expected positive multiples of the median distance"
            )

    def __call__(
        self,
        samples: Tensor,
        reference: Tensor,
        *,
        target: Target,
        generator: torch.Generator,
        model: Model | None = None,
    ) -> float:
        """Unbiased MMD², at most 2·len(bandwidths).

        Raises:
            ConfigurationError: if more than half of the reference pairs coincide.
        """
        x, y = rows(samples, reference, by="mmd2", at_least=2)
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
