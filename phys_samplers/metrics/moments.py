"""Moments: means and spreads of the coordinates, and the Fréchet distance of means and covariances of features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from phys_samplers.errors import ConfigurationError
from phys_samplers.metric import Best, Metric, Scored
from phys_samplers.target import Target


@dataclass(frozen=True, kw_only=True)
class VarianceRatio(Metric):
    """Mean over the coordinates of Var(samples) / Var(reference).

    Coordinates on which the reference is constant (the border of images) have no ratio and are left out.
    """

    best: ClassVar[Best] = "one"

    def __call__(self, scored: Scored) -> float:
        """The mean ratio of unbiased variances.

        Raises:
            ConfigurationError: if the reference is constant on every coordinate.
        """
        x, y = scored.rows(self, least=2)
        varies = _varying(y, by="variance-ratio")
        return float((x[:, varies].var(0) / y[:, varies].var(0)).mean())


@dataclass(frozen=True, kw_only=True)
class DeltaStd(Metric):
    """Δstd = 1/D Σ_k |√Var(samples_k) − √Var(reference_k)|; the reference's spread is the finite set's own.

    Source: L. Richter and J. Berner, Improved sampling via learned diffusions (ICLR 2024); S. Yoon et al., Value
    Gradient Sampler, Appendix E.2.
    """

    def __call__(self, scored: Scored) -> float:
        """Δstd, in the units of the samples."""
        x, y = scored.rows(self, least=2)
        return float((x.std(0) - y.std(0)).abs().mean())


@dataclass(frozen=True, kw_only=True)
class MeanError(Metric):
    """max_k |mean(samples_k) − mean(reference_k)| / std(reference_k): the worst mean, in standard deviations.

    What a user of posterior means wants to know. The floor for n samples and m reference rows in D dimensions is about
    √(2 ln(2D) (1/n + 1/m)). Coordinates on which the reference is constant are left out.
    """

    def __call__(self, scored: Scored) -> float:
        """The largest standardised difference.

        Raises:
            ConfigurationError: if the reference is constant on every coordinate.
        """
        x, y = scored.rows(self, least=2)
        varies = _varying(y, by="mean-error")
        return float(((x.mean(0) - y.mean(0)).abs() / y.std(0))[varies].amax())


@dataclass(frozen=True, kw_only=True)
class Frechet(Metric):
    """d² of the Gaussians fitted to both sets: squared, as the literature reports it (FID).

    In the features of the target where it has some (``Target.features``), else in the coordinates of the samples. Only
    means and covariances count, and the finite sets' own noise makes the score of exact samples positive: about
    proportional to F/n for F features and n rows. Read it beside its floor.

    Source: M. Heusel et al., GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium (NeurIPS
    2017), Eq. 6, there with the features of an Inception network.
    """

    def __call__(self, scored: Scored) -> float:
        """d² of samples and reference, in squared units of the features.

        Raises:
            ConfigurationError: on fewer than two rows, or features that are not finite rows.
        """
        x, y = scored.rows(self, least=2)
        if scored.target.features is not None:
            assert scored.reference is not None  # what "rows" says
            x, y = (_features(scored.target, part) for part in (scored.samples, scored.reference))
        return float(squared_frechet(*_moments(x), *_moments(y)))


def squared_frechet(mean: Tensor, covariance: Tensor, other_mean: Tensor, other_covariance: Tensor) -> Tensor:
    """d² = |m₁ − m₂|² + tr(S₁ + S₂ − 2 (S₁^½ S₂ S₁^½)^½), the squared Wasserstein-2 distance of two Gaussians.

    Roots by symmetric eigendecomposition, whose rounding below zero is cut off: covariances may be singular.

    Args:
        mean: (F,).
        covariance: (F, F), symmetric, positive semidefinite.
        other_mean: (F,).
        other_covariance: (F, F).

    Source: D. C. Dowson and B. V. Landau, The Fréchet Distance between Multivariate Normal Distributions (Journal of
    Multivariate Analysis 12, 1982), Eq. 4; the trace is that of (S₁S₂)^½, which has the same eigenvalues.
    """
    values, vectors = torch.linalg.eigh(covariance)
    root = (vectors * values.clamp(min=0).sqrt()) @ vectors.mT
    cross = torch.linalg.eigvalsh(root @ other_covariance @ root).clamp(min=0).sqrt().sum()
    shift = (mean - other_mean).square().sum()
    return (shift + covariance.trace() + other_covariance.trace() - 2 * cross).clamp(min=0)


def _varying(y: Tensor, *, by: str) -> Tensor:
    """Which coordinates (D,) of the reference ``y`` (m, D) are not constant."""
    varies = y.amin(0) < y.amax(0)
    if not varies.any():
        raise ConfigurationError(f"{by}: the {len(y)} reference rows are all equal; expected a law with spread")
    return varies


def _features(target: Target, samples: Tensor) -> Tensor:
    """The features (n, F) of ``samples``, float64 on the CPU."""
    assert target.features is not None  # checked by the caller
    with torch.no_grad():
        features = target.features(samples).detach().cpu().double()
    if features.ndim != 2 or len(features) != len(samples) or not torch.isfinite(features).all():
        raise ConfigurationError(
            f"frechet: the features of target {target.name!r} are {tuple(features.shape)} for {len(samples)} samples; "
            "expected finite numbers (n, F), one row per sample"
        )
    return features


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (F,) and unbiased covariance (F, F) of the rows of ``x`` (n, F)."""
    mean = x.mean(0)
    centred = x - mean
    return mean, centred.mT @ centred / (len(x) - 1)
