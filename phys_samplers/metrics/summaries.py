"""Summaries of rows compared: moments of coordinates or features, frequencies of energies, distances and modes.

Source of the total variation distances of histograms: J. He et al., Training Neural Samplers with Reverse Diffusive KL
Divergence (2024); S. Yoon et al., Value Gradient Sampler, Appendix E.2. They use 200 bins, over the reference range or
over (−100, 100), which is the preset ``fixed`` here.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from phys_samplers.errors import ConfigurationError
from phys_samplers.metric import Best, Metric, Scored, in_batches
from phys_samplers.options import option
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

    Attributes:
        value: what is compared, for messages.
    """

    value: ClassVar[str]

    bins: int = option(200, least=1)
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.low is not None and self.high is not None and not self.low < self.high:
            raise ConfigurationError(f"the {self.value} range is ({self.low}, {self.high}); expected low < high")

    @abstractmethod
    def values(self, x: Tensor, target: Target) -> Tensor:
        """The values (n, …), float64 on the CPU, of the rows of ``x`` (n, *event_shape)."""

    def __call__(self, scored: Scored) -> float:
        """The distance, in [0, 1].

        Raises:
            ConfigurationError: if values of the reference are not finite, or leave no range.
        """
        scored.rows(self)
        assert scored.reference is not None  # what "rows" says
        generated, exact = (self.values(x, scored.target) for x in (scored.samples, scored.reference))
        if lost := int((~torch.isfinite(exact)).reshape(len(exact), -1).any(1).sum()):
            raise ConfigurationError(
                f"{self.label}: the {self.value} is not finite in {lost} of {len(exact)} reference rows; "
                f"the reference is not from target {scored.target.name!r}"
            )
        low = float(exact.amin()) if self.low is None else self.low
        high = float(exact.amax()) if self.high is None else self.high
        if not low < high:
            raise ConfigurationError(
                f"{self.label}: the {self.value} range is ({low}, {high}), which is empty (all equal?); give low < high"
            )
        p, q = self._histogram(generated.flatten(), low, high), self._histogram(exact.flatten(), low, high)
        outside = (1 - p.sum()) + (1 - q.sum())
        return float(((p - q).abs().sum() + outside) / 2)

    def _histogram(self, values: Tensor, low: float, high: float) -> Tensor:
        """Share of all values in each bin (bins,); bins are [a, b) and the last [a, b]."""
        inside = values[(values >= low) & (values <= high)]  # False for NaN
        index = ((inside - low) * (self.bins / (high - low))).long().clamp_(max=self.bins - 1)
        return torch.bincount(index, minlength=self.bins).double() / len(values)


@dataclass(frozen=True, kw_only=True)
class EnergyTVD(HistogramTVD):
    """Total variation distance between histograms of the energy −log p of samples and of reference.

    See ``HistogramTVD`` for the arguments and for what lies outside.
    """

    value: ClassVar[str] = "energy"
    needs: ClassVar[frozenset[str]] = frozenset({"rows", "log_prob"})

    @torch.no_grad()
    def values(self, x: Tensor, target: Target) -> Tensor:
        """−log p (n,)."""
        # The law is asked in the rows' own precision (its parameters may have it); all that follows is float64.
        return -in_batches(target.log_prob, x).detach().cpu().double()


@dataclass(frozen=True, kw_only=True)
class DistanceTVD(HistogramTVD):
    """Total variation distance between histograms of the distances of all pairs of particles in all rows.

    Blind to where the system is and how it is turned, which a distance between raw coordinates mostly measures. The
    preset ``fixed`` leaves a handful of bins of width 1 for all distances: read it beside the other. See
    ``HistogramTVD`` for the arguments.
    """

    value: ClassVar[str] = "distance"
    needs: ClassVar[frozenset[str]] = frozenset({"rows", "particles"})

    def values(self, x: Tensor, target: Target) -> Tensor:
        """The distances (n, pairs)."""
        assert target.particles is not None  # what "particles" says
        return particle_distances(x.detach().cpu().double(), target.particles)


def particle_distances(x: Tensor, particles: tuple[int, int]) -> Tensor:
    """|x_i − x_j| (B, n(n − 1)/2) of the pairs i < j in the rows of ``x`` (B, *event_shape).

    Args:
        x: coordinates grouped by particle.
        particles: (n, m), number of particles and dimension of their space.
    """
    n, m = particles
    at = x.reshape(len(x), n, m)
    first, second = torch.triu_indices(n, n, 1, device=x.device)
    return (at[:, first] - at[:, second]).norm(dim=-1)


@dataclass(frozen=True, kw_only=True)
class ModeTV(Metric):
    """½ Σ_k |frequency of mode k among the samples − weight of mode k|, against the exact ``target.modes.weights``.

    A sample whose label is no mode (a label function may say −1) is mass of its own, and counts as mismatch.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"rows", "modes"})

    def __call__(self, scored: Scored) -> float:
        """The total variation distance, in [0, 1].

        Raises:
            ConfigurationError: if the weights of the modes are negative or do not sum to one.
        """
        scored.rows(self)
        samples, modes = scored.samples, scored.target.modes
        assert modes is not None  # what "modes" says
        weights = modes.weights.to(samples.device).double()
        if (weights < 0).any() or abs(float(weights.sum()) - 1) > 1e-5:
            raise ConfigurationError(f"mode-tv: mode weights are {weights.tolist()}; expected them to sum to one")
        labels = in_batches(modes.labels, samples)
        known = (labels >= 0) & (labels < len(weights))
        counts = torch.zeros_like(weights).scatter_add_(0, labels[known], torch.ones_like(labels[known]).double())
        strayed = (~known).double().mean()
        return float(((counts / len(samples) - weights).abs().sum() + strayed) / 2)
