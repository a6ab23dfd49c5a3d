"""Total variation distances between histograms of one number per row, or of several."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from phys_samplers.errors import ConfigurationError
from phys_samplers.metric import Metric
from phys_samplers.metrics.rows import rows

if TYPE_CHECKING:
    from phys_samplers.sampler import Model
    from phys_samplers.target import Target


@dataclass(frozen=True, kw_only=True)
class HistogramTVD(Metric):
    """½ Σ_bins |share of the samples' values − share of the reference's values|.

    Mass outside the range, on either side of the comparison, counts as mismatch, as does a value that is infinite or
    NaN: dropping it would let a diverged sampler look good. The number depends on the bins as much as on the sampler;
    state them with it.

    Args:
        bins: number of equal bins.
        low: lower end of the range; the smallest value of the reference if not given.
        high: upper end of the range; the largest value of the reference if not given.
    """

    name: ClassVar[str]
    value: ClassVar[str]
    """What is compared, for messages."""
    best: ClassVar = "low"

    bins: int = 200
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        if self.bins < 1:
            raise ConfigurationError(f"{self.name}: bins is {self.bins}; expected at least 1")
        if self.low is not None and self.high is not None and not self.low < self.high:
            raise ConfigurationError(f"{self.name}: the range is ({self.low}, {self.high}); expected low < high")

    @abstractmethod
    def values(self, x: Tensor, target: Target) -> Tensor:
        """The values (n, …), float64 on the CPU, of the rows of ``x`` (n, *event_shape)."""

    def __call__(
        self,
        samples: Tensor,
        reference: Tensor,
        *,
        target: Target,
        generator: torch.Generator,
        model: Model | None = None,
    ) -> float:
        """The distance, in [0, 1].

        Raises:
            ConfigurationError: if values of the reference are not finite, or leave no range.
        """
        target.require(*self.needs, by=self.name)
        rows(samples, reference, by=self.name)
        generated, exact = self.values(samples, target), self.values(reference, target)
        if lost := int((~torch.isfinite(exact)).reshape(len(exact), -1).any(1).sum()):
            raise ConfigurationError(
                f"{self.name}: the {self.value} is not finite in {lost} of {len(exact)} reference rows; "
                f"the reference is not from target {target.name!r}"
            )
        low = float(exact.amin()) if self.low is None else self.low
        high = float(exact.amax()) if self.high is None else self.high
        if not low < high:
            raise ConfigurationError(
                f"{self.name}: the {self.value} range is ({low}, {high}), which is empty (all equal?); give low < high"
            )
        p, q = self._histogram(generated.flatten(), low, high), self._histogram(exact.flatten(), low, high)
        outside = (1 - p.sum()) + (1 - q.sum())
        return float(((p - q).abs().sum() + outside) / 2)

    def _histogram(self, values: Tensor, low: float, high: float) -> Tensor:
        """Share of all values in each bin (bins,); bins are [a, b) and the last [a, b]."""
        inside = values[(values >= low) & (values <= high)]  # False for NaN
        index = ((inside - low) * (self.bins / (high - low))).long().clamp_(max=self.bins - 1)
        return torch.bincount(index, minlength=self.bins).double() / len(values)
