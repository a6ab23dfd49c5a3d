"""Moments of the marginals: off the centre, too wide or too narrow, coordinate by coordinate."""

from __future__ import annotations

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
class VarianceRatio(Metric):
    """Mean over the coordinates of Var(samples) / Var(reference).

    Coordinates on which the reference is constant (the border of images) have no ratio and are left out.
    """

    best: ClassVar = "one"

    def __call__(
        self,
        samples: Tensor,
        reference: Tensor,
        *,
        target: Target,
        generator: torch.Generator,
        model: Model | None = None,
    ) -> float:
        """The mean ratio of unbiased variances.

        Raises:
            ConfigurationError: if the reference is constant on every coordinate.
        """
        x, y = rows(samples, reference, by="variance-ratio", at_least=2)
        varies = y.amin(0) < y.amax(0)
        if not varies.any():
            raise ConfigurationError(
                f"variance-ratio: the {len(y)} reference rows are all equal; expected a law with spread"
            )
        return float((x[:, varies].var(0) / y[:, varies].var(0)).mean())


@dataclass(frozen=True, kw_only=True)
class DeltaStd(Metric):
    """Δstd = 1/D Σ_k |√Var(samples_k) − √Var(reference_k)|; the reference's spread is the finite set's own.

    Source: L. Richter and J. Berner, Improved sampling via learned diffusions (ICLR 2024); S. Yoon et al., Value
    Gradient Sampler, Appendix E.2.
    """

    best: ClassVar = "low"

    def __call__(
        self,
        samples: Tensor,
        reference: Tensor,
        *,
        target: Target,
        generator: torch.Generator,
        model: Model | None = None,
    ) -> float:
        """Δstd, in the units of the samples."""
        x, y = rows(samples, reference, by="delta-std", at_least=2)
        return float((x.std(0) - y.std(0)).abs().mean())


@dataclass(frozen=True, kw_only=True)
class MeanError(Metric):
    """max_k |mean(samples_k) − mean(reference_k)| / std(reference_k): the worst mean, in standard deviations.

    What a user of posterior means wants to know. The floor for n samples and m reference rows in D dimensions is about
    √(2 ln(2D) (1/n + 1/m)). Coordinates on which the reference is constant are left out.
    """

    best: ClassVar = "low"

    def __call__(
        self,
        samples: Tensor,
        reference: Tensor,
        *,
        target: Target,
        generator: torch.Generator,
        model: Model | None = None,
    ) -> float:
        """The largest standardised difference.

        Raises:
            ConfigurationError: if the reference is constant on every coordinate.
        """
        x, y = rows(samples, reference, by="mean-error", at_least=2)
        varies = y.amin(0) < y.amax(0)
        if not varies.any():
            raise ConfigurationError(
                f"mean-error: the {len(y)} reference rows are all equal; expected a law with spread"
            )
        return float(((x.mean(0) - y.mean(0)).abs() / y.std(0))[varies].amax())
