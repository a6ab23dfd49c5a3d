r"""The sampler of EDM: Heun's method for dx/dσ = (x − D)/σ, with noise added back before each step ("churn").

Before the step from σ the level is raised to σ̂ = (1 + γ) σ by x ← x + √(σ̂² − σ²) S_noise z, if S_min ≤ σ ≤ S_max. Then

    d = (x − D(x, σ̂))/σ̂,        x' = x + (s − σ̂) d,        x ← x + (s − σ̂) ½ (d + (x' − D(x', s))/s),

and the last step, to s = 0, is Euler's, so that N steps cost 2N − 1 evaluations. γ = min(S_churn/N, √2 − 1) in the
source; here γ is given, so that a step does not depend on how many there are.

Source: Karras et al. 2022 (EDM, arXiv:2206.00364), Algorithms 1 and 2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from phys_samplers.dynamics import Dynamics, Noise
from phys_samplers.errors import ConfigurationError
from phys_samplers.integrators.base import BrownianIncrement, Equation, Integrator


@dataclass(frozen=True, kw_only=True)
class EDMHeun(Integrator):
    """See the module.

    Args:
        churn: γ, at most √2 − 1; 0 is the deterministic sampler.
        churn_min: S_min, the lowest level at which noise is added.
        churn_max: S_max, the highest; None for no bound.
        churn_noise: S_noise, slightly above 1 where a denoiser removes too much.
    """

    name: ClassVar[str] = "edm-heun"
    equation: ClassVar[Equation] = "denoising"
    order: ClassVar[float | None] = 2.0
    evaluations_per_step: ClassVar[int | None] = 2
    accepts: ClassVar[frozenset[Noise]] = frozenset({"none"})

    churn: float = 0.0
    churn_min: float = 0.0
    churn_max: float | None = None
    churn_noise: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.churn <= math.sqrt(2) - 1 + 1e-9:
            raise ConfigurationError(
                f"churn is {self.churn}; expected 0 to √2 − 1 = 0.414, the share by which noise is raised before a step"
            )
        if not 0 <= self.churn_min <= self._highest:
            raise ConfigurationError(
                f"churn_min is {self.churn_min} and churn_max {self.churn_max}; expected 0 <= churn_min <= churn_max"
            )
        if not self.churn_noise > 0:
            raise ConfigurationError(f"churn_noise is {self.churn_noise}; expected a positive factor, e.g. 1.003")

    @property
    def _highest(self) -> float:
        return math.inf if self.churn_max is None else self.churn_max

    @property
    def adds_noise(self) -> bool:
        """See ``Integrator.adds_noise``."""
        return self.churn > 0

    def step(self, dynamics: Dynamics, x: Tensor, t: float, dt: float, noise: BrownianIncrement) -> Tensor:
        """One step; see ``Integrator.step``."""
        end = t + dt
        if self.churn > 0 and self.churn_min <= t <= self._highest:
            raised = (1 + self.churn) * t
            x = torch.add(x, noise.normal(), alpha=self.churn_noise * math.sqrt(raised * raised - t * t))
            t = raised
        return heun_step(dynamics, x, t, end)


def heun_step(dynamics: Dynamics, x: Tensor, t: float, end: float) -> Tensor:
    """Heun's method for dx/dσ = (x − D)/σ from level ``t`` to ``end``; Euler's to 0."""
    clean = dynamics.denoise(x, t)  # type: ignore[attr-defined]
    if end <= 0:
        return clean
    ahead = torch.lerp(clean, x, end / t)  # x + (end − t)(x − D)/t
    # x + (end − t) ½ [(x − D)/t + (x' − D')/end], with one fused pass per term and no tensor but the result
    half = 0.5 * (end - t)
    ahead.sub_(dynamics.denoise(ahead, end))  # type: ignore[attr-defined]
    return torch.lerp(x, clean, -half / t).add_(ahead, alpha=half / end)
