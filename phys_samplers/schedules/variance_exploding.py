r"""Variance-exploding schedules: α = 1, so that λ = σ.

``edm``  σ(t) = t with the grid t_i = (σ_max^{1/ρ} + i/(N−1) (σ_min^{1/ρ} − σ_max^{1/ρ}))^ρ (Karras et al. 2022, EDM,
         arXiv:2206.00364, Eq. 5 and Table 1).
``ve``   the SDE of Song et al. 2021 (arXiv:2011.13456, Sec. 3.4, App. C): dx = σ_min r^t √(2 log r) dW on t ∈ [0, 1]
         with r = σ_max/σ_min, whose kernel has the variance σ² = σ_min² (r^{2t} − 1). The paper prints σ_min² r^{2t}
         and thereby starts from data blurred by σ_min.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from phys_samplers.errors import ConfigurationError
from phys_samplers.integrators.base import power
from phys_samplers.options import option
from phys_samplers.schedules.base import NoiseSchedule, Scalar, expm1, log


@dataclass(frozen=True, kw_only=True)
class VarianceExploding(NoiseSchedule):
    """No scaling.

    Args:
        sigma_min: smallest noise.
        sigma_max: largest noise.
    """

    sigma_min: float
    sigma_max: float

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.sigma_min < self.sigma_max:
            raise ConfigurationError(
                f"sigma_min is {self.sigma_min} and sigma_max {self.sigma_max}; expected 0 < sigma_min < sigma_max"
            )

    def log_alpha(self, t: Scalar) -> Scalar:
        """0."""
        return t * 0.0

    def log_alpha_rate(self, t: float) -> float:
        """0."""
        return 0.0


@dataclass(frozen=True, kw_only=True)
class EDMSchedule(VarianceExploding):
    """σ(t) = t.

    Args:
        sigma_min: smallest noise; the paper's .002, for data of standard deviation ½, is .004 for unit variance.
        sigma_max: largest noise; the paper's 80 is 160.
        rho: ρ, how much the grid favours small noise.
    """

    sigma_min: float = 0.01
    sigma_max: float = 20.0
    rho: float = option(7.0, above=0)

    @property
    def start(self) -> float:
        """σ_max."""
        return self.sigma_max

    @property
    def end(self) -> float:
        """σ_min."""
        return self.sigma_min

    def log_ratio(self, t: Scalar) -> Scalar:
        """log t."""
        return log(t)

    def log_ratio_rate(self, t: float) -> float:
        """1/t."""
        return 1 / t

    def points(self, steps: int) -> tuple[float, ...]:
        """Equal intervals of σ^{1/ρ}."""
        return power(self.sigma_max, self.sigma_min, steps, self.rho)


@dataclass(frozen=True, kw_only=True)
class VESchedule(VarianceExploding):
    """Noise that grows geometrically.

    Args:
        sigma_min: σ_min.
        sigma_max: σ_max.
        end_time: the smallest time that a network is asked about.
    """

    sigma_min: float = 0.01
    sigma_max: float = 50.0
    end_time: float = option(1e-2, above=0, below=1)

    @property
    def start(self) -> float:
        """1."""
        return 1.0

    @property
    def end(self) -> float:
        """``end_time``."""
        return self.end_time

    @property
    def _growth(self) -> float:
        return 2 * math.log(self.sigma_max / self.sigma_min)

    def log_ratio(self, t: Scalar) -> Scalar:
        """log σ_min + ½ log(r^{2t} − 1)."""
        return log(expm1(t * self._growth)) * 0.5 + math.log(self.sigma_min)

    def log_ratio_rate(self, t: float) -> float:
        """log r · r^{2t}/(r^{2t} − 1)."""
        return 0.5 * self._growth / -math.expm1(-t * self._growth)
