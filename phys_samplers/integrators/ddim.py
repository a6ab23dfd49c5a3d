r"""DDIM: the exact step of a noising process run backwards, for a denoised sample held fixed over the step.

Given x at σ and D = D(x, σ), with ε = (x − D)/σ, the step to the level s < σ is

    x ← D + √(s² − v) ε + √v z,        v = η² s² (σ² − s²)/σ².

``eta = 0`` is deterministic: the exponential Euler method of the probability-flow ODE dx/dσ = (x − D)/σ, order 1.
``eta = 1`` draws from the Gaussian posterior of x_s given x_σ and x₀ = D, the ancestral step of DDPM (Ho et al. 2020,
arXiv:2006.11239, Eq. 6–7, with the smaller of its two variances).

Source: Song, Meng & Ermon 2021, *Denoising diffusion implicit models* (arXiv:2010.02502), Eq. 12 and 16, divided by √ᾱ.
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
class DDIM(Integrator):
    """See the module.

    Args:
        eta: η, from 0 (deterministic) to 1 (ancestral).
    """

    name: ClassVar[str] = "ddim"
    equation: ClassVar[Equation] = "denoising"
    order: ClassVar[float | None] = 1.0
    evaluations_per_step: ClassVar[int | None] = 1
    accepts: ClassVar[frozenset[Noise]] = frozenset({"none"})

    eta: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.eta <= 1:
            raise ConfigurationError(f"eta is {self.eta}; expected 0 (deterministic) to 1 (ancestral)")

    @property
    def adds_noise(self) -> bool:
        """See ``Integrator.adds_noise``."""
        return self.eta > 0

    def step(self, dynamics: Dynamics, x: Tensor, t: float, dt: float, noise: BrownianIncrement) -> Tensor:
        """One step; see ``Integrator.step``."""
        s = t + dt
        clean = dynamics.denoise(x, t)  # type: ignore[attr-defined]
        if s <= 0:
            return clean
        variance = (self.eta * s / t) ** 2 * (t * t - s * s)
        x = torch.lerp(clean, x, math.sqrt(s * s - variance) / t)
        return x.add_(noise.normal(), alpha=math.sqrt(variance)) if variance > 0 else x
