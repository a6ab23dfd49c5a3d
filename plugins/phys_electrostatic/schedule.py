"""Levels that fall exponentially: λ = e^s, the change of variable of PFGM (arXiv:2209.11178, Eq. 8; 7.6 of the thesis).

Time is s shifted to end at 1, t = 1 + log(λ/σ_min), so that d log λ/dt = 1 and the probability flow du/dt = u − D is
the ODE of PFGM, dx/ds = z v_x/v_z.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from phys_samplers.schedules.functions import Scalar
from phys_samplers.schedules.variance_exploding import VarianceExploding


@dataclass(frozen=True, kw_only=True)
class GeometricSchedule(VarianceExploding):
    """λ = σ_min e^{t−1}, on a grid of constant ratio.

    Args:
        sigma_min: z_min of PFGM, 10⁻³ in the source.
        sigma_max: z_max of PFGM, 40 in the source.
    """

    sigma_min: float = 1e-3
    sigma_max: float = 40.0

    @property
    def start(self) -> float:
        """1 + log(σ_max/σ_min)."""
        return 1 + math.log(self.sigma_max / self.sigma_min)

    @property
    def end(self) -> float:
        """1."""
        return 1.0

    def log_ratio(self, t: Scalar) -> Scalar:
        """log σ_min + t − 1."""
        return t + (math.log(self.sigma_min) - 1)

    def log_ratio_rate(self, t: float) -> float:
        """1."""
        return 1.0
