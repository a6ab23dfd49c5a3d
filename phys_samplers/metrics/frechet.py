"""The Fréchet distance: of the Gaussians with the means and covariances of the two sets, in a space of features.

d² = |m₁ − m₂|² + tr(S₁ + S₂ − 2 (S₁^½ S₂ S₁^½)^½), the squared Wasserstein-2 distance of N(m₁, S₁) and N(m₂, S₂).
"""

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


def squared_frechet(mean: Tensor, covariance: Tensor, other_mean: Tensor, other_covariance: Tensor) -> Tensor:
    """d² of two Gaussians, a scalar of at least 0.

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


@dataclass(frozen=True, kw_only=True)
class Frechet(Metric):
    """d² of the Gaussians fitted to both sets: squared, as the literature reports it (FID).

    In the features of the target where it has some (``Target.features``), else in the coordinates of the samples. Only
    means and covariances count, and the finite sets' own noise makes the score of exact samples positive: about
    proportional to F/n for F features and n rows. Read it beside its floor.

    Source: M. Heusel et al., GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium (NeurIPS
    2017), Eq. 6, there with the features of an Inception network.
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
        """d² of ``samples`` (n, *event_shape) and ``reference`` (m, *event_shape), in squared units of the features.

        Raises:
            ConfigurationError: on fewer than two rows, or features that are not finite rows.
        """
        x, y = rows(samples, reference, by="frechet", at_least=2)
        if target.features is not None:
            x, y = (_features(target, part) for part in (samples, reference))
        return float(squared_frechet(*_moments(x), *_moments(y)))


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
