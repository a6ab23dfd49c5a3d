"""Kernels k(x, y) = k(x − y) > 0: what turns a law into a mobility q(x) = E_{y~p} k(x, y).

Every positive symmetric kernel gives an exact pair of Bellman fields (``s* = q``, ``g* = ½(∇q + q ∇log p)``), so the
kernel is a free choice: it sets where particles move fast, not where they end. ``k → ck`` rescales time only, which is
why kernels are 1 at zero distance unless ``normalised``: the factor (2πε)^{−D/2} underflows in high dimension.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from phys_samplers.errors import ConfigurationError
from phys_samplers.randomness import Streams


def median_squared_distance(rows: Tensor, at_most: int = 1024) -> float:
    """Median of |x − y|² over the distinct pairs of (at most ``at_most``) rows (N, D)."""
    rows = rows.flatten(1)
    chosen = rows[:: max(1, len(rows) // at_most)][:at_most].double()
    value = torch.pdist(chosen).square().median().item()
    if not value > 0:
        raise ConfigurationError(
            "the median distance between training rows is 0; the median heuristic needs rows that differ (give epsilon)"
        )
    return value


@dataclass(frozen=True, kw_only=True)
class Kernel(ABC):
    """A stationary kernel.

    Args:
        epsilon: variance ε of the kernel; None takes ε = scale² · median |x − y|² of the data.
        scale: of the median heuristic.
    """

    epsilon: float | None = None
    scale: float = 0.5

    def __post_init__(self) -> None:
        if self.epsilon is not None and not self.epsilon > 0:
            raise ConfigurationError(f"epsilon is {self.epsilon}; expected a positive variance, or None for the median")
        if not self.scale > 0:
            raise ConfigurationError(f"scale is {self.scale}; expected a positive factor of the median distance")

    def resolve(self, rows: Tensor) -> Self:
        """The kernel with its bandwidth fixed from ``rows`` (N, D) where it was left open."""
        if self.epsilon is not None:
            return self
        return replace(self, epsilon=self.scale**2 * median_squared_distance(rows))

    @property
    def variance(self) -> float:
        """ε.

        Raises:
            ConfigurationError: if it is still open.
        """
        if self.epsilon is None:
            raise ConfigurationError(f"{type(self).__name__} has no bandwidth yet; call resolve(rows) or give epsilon")
        return self.epsilon

    def widened(self, variance: float) -> Self:
        """The kernel for a law blurred by N(0, variance · I): ε + variance."""
        return replace(self, epsilon=self.variance + variance)

    @abstractmethod
    def profile(self, squared: Tensor, dim: int) -> tuple[Tensor, Tensor]:
        """k and dk/d(|d|²) at squared distances of any shape, in dimension ``dim``. For averages over many pairs."""

    def value(self, difference: Tensor) -> Tensor:
        """k(d) for differences (…, D)."""
        return self.profile(difference.square().sum(-1), difference.shape[-1])[0]

    def value_and_gradient(self, difference: Tensor) -> tuple[Tensor, Tensor]:
        """k(d) (…) and ∇_x k(x − y) (…, D) at d = x − y."""
        value, slope = self.profile(difference.square().sum(-1), difference.shape[-1])
        return value, (2 * slope).unsqueeze(-1) * difference

    def estimate(self, difference: Tensor, streams: Streams) -> tuple[Tensor, Tensor]:
        """An unbiased estimate of ``value_and_gradient`` for pairs (R, B, D); exact unless the kernel is sampled."""
        return self.value_and_gradient(difference)
