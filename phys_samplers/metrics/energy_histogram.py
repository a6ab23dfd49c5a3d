"""TVD-E: do the samples have the right energies?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from phys_samplers.errors import ConfigurationError
from phys_samplers.metric import Metric
from phys_samplers.metrics.rows import row_batches, rows

if TYPE_CHECKING:
    from phys_samplers.sampler import Model
    from phys_samplers.target import Target


@dataclass(frozen=True, kw_only=True)
class EnergyTVD(Metric):
    """Total variation distance between histograms of the energy −log p of samples and of reference.

    Mass outside the range, on either side of the comparison, counts as mismatch, as does an energy that is infinite
    or NaN: dropping it would let a diverged sampler look good. The number depends on the bins as much as on the
    sampler; state them with it. The publications use 200 bins, over the reference's range or over (−100, 100).

    Args:
        bins: number of equal bins.
        low: lower end of the range; the smallest reference energy if not given.
        high: upper end of the range; the largest reference energy if not given.

    Source: J. He et al., Training Neural Samplers with Reverse Diffusive KL Divergence (2024); S. Yoon et al., Value
    Gradient Sampler, Appendix E.2.
    """

    best: ClassVar = "low"
    needs: ClassVar[frozenset[str]] = frozenset({"log_prob"})

    bins: int = 200
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        if self.bins < 1:
            raise ConfigurationError(f"tvd-e: bins is {self.bins}; expected at least 1")
        if self.low is not None and self.high is not None and not self.low < self.high:
            raise ConfigurationError(f"tvd-e: the range is ({self.low}, {self.high}); expected low < high")

    def __call__(
        self,
        samples: Tensor,
        reference: Tensor,
        *,
        target: Target,
        generator: torch.Generator,
        model: Model | None = None,
    ) -> float:
        """TVD-E, in [0, 1].

        Raises:
            ConfigurationError: if reference energies are not finite, or leave no range.
        """
        target.require(*self.needs, by="tvd-e")
        rows(samples, reference, by="tvd-e")
        generated, exact = _energy(target, samples), _energy(target, reference)
        if not torch.isfinite(exact).all():
            raise ConfigurationError(
                f"tvd-e: {int((~torch.isfinite(exact)).sum())} of {len(exact)} reference rows have an energy that is "
                f"not finite; the reference is not from target {target.name!r}"
            )
        low = float(exact.amin()) if self.low is None else self.low
        high = float(exact.amax()) if self.high is None else self.high
        if not low < high:
            raise ConfigurationError(
                f"tvd-e: the energy range is ({low}, {high}), which is empty (a constant density?); give low < high"
            )
        p, q = self._histogram(generated, low, high), self._histogram(exact, low, high)
        outside = (1 - p.sum()) + (1 - q.sum())
        return float(((p - q).abs().sum() + outside) / 2)

    def _histogram(self, energy: Tensor, low: float, high: float) -> Tensor:
        """Share of all energies in each bin (bins,); bins are [a, b) and the last [a, b]."""
        inside = energy[(energy >= low) & (energy <= high)]  # False for NaN
        index = ((inside - low) * (self.bins / (high - low))).long().clamp_(max=self.bins - 1)
        return torch.bincount(index, minlength=self.bins).double() / len(energy)


def _energy(target: Target, x: Tensor) -> Tensor:
    # The law is asked in the rows' own precision (its parameters may have it); all that follows is float64.
    with torch.no_grad():
        values = torch.cat([target.log_prob(some) for some in row_batches(x)])
    return -values.detach().cpu().double()
