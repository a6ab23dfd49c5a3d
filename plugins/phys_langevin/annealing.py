r"""Annealed Langevin dynamics: the law blurred by σ is followed while σ falls level by level.

At level σ_i the steps are Langevin steps of size α_i = ε σ_i² in the law p_σ of the data blurred by σ,

    x ← x + α_i ∇log p_{σ_i}(x) + √(2α_i) z.

In the clock in which every step takes ε, and with the denoiser D = x + σ²∇log p_σ (Tweedie), this is Euler–Maruyama for

    dx = (D(x, σ) − x) dt + √2 σ dW,

whose drift is a relaxation of rate 1: the exponential integrator's step is
``x ← x + (1 − e^{−ε})(D − x) + σ√(1 − e^{−2ε}) z``.

Source: Song & Ermon 2019, *Generative modeling by estimating gradients of the data distribution* (arXiv:1907.05600),
Algorithm 1, whose α_i is twice ours and whose step x + (α_i/2)∇log p + √α_i z is therefore the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from phys_samplers.dynamics import Dynamics, Noise, Relaxation

Denoise = Callable[[Tensor, float], Tensor]
"""D(x, σ), (B, D) → (B, D)."""


def geometric_levels(sigma_max: float, sigma_min: float, levels: int) -> tuple[float, ...]:
    """Noise levels from ``sigma_max`` down to ``sigma_min`` with a constant ratio; a single one is sigma_min."""
    if levels == 1:
        return (sigma_min,)
    ratio = sigma_min / sigma_max
    return (sigma_max, *(sigma_max * ratio ** (i / (levels - 1)) for i in range(1, levels - 1)), sigma_min)


class AnnealedLangevinDynamics(Dynamics):
    """The equation above on t ∈ [0, levels · steps_per_level · ε], from N(0, prior_std² I).

    Args:
        denoise: D.
        dim: coordinates D.
        sigmas: the levels, in the order in which they are passed.
        steps_per_level: steps at each.
        epsilon: ε.
        prior_std: standard deviation of the starting points; None for √(1 + σ_1²), that of standardised data blurred by
            the first level.
    """

    noise: Noise = "additive"

    def __init__(
        self,
        denoise: Denoise,
        dim: int,
        *,
        sigmas: tuple[float, ...],
        steps_per_level: int,
        epsilon: float,
        prior_std: float | None = None,
    ) -> None:
        self.denoise = denoise
        self.event_shape = (dim,)
        self.sigmas = sigmas
        self.steps_per_level = steps_per_level
        self.epsilon = epsilon
        self.prior_std = math.sqrt(1 + sigmas[0] ** 2) if prior_std is None else prior_std
        self.times = (0.0, len(sigmas) * steps_per_level * epsilon)

    def sigma(self, t: float) -> float:
        """The level at time t; at the time of a change the lower one."""
        step = int(t / self.epsilon + 1e-6)
        return self.sigmas[min(step // self.steps_per_level, len(self.sigmas) - 1)]

    def drift(self, x: Tensor, t: float) -> Tensor:
        """D(x, σ) − x = σ² ∇log p_σ(x)."""
        return self.denoise(x, self.sigma(t)) - x

    def diffusion(self, x: Tensor, t: float) -> Tensor:
        """√2 σ, of shape (1, 1)."""
        return torch.full((1, 1), math.sqrt(2.0) * self.sigma(t), dtype=x.dtype, device=x.device)

    def relaxation(self, x: Tensor, t: float) -> tuple[Relaxation, Tensor]:
        """Rate 1 towards the denoiser, nothing else, and the diffusion."""
        rate = torch.ones((1, 1), dtype=x.dtype, device=x.device)
        return Relaxation(rate, self.denoise(x, self.sigma(t)), None), self.diffusion(x, t)

    def prior(self, n: int, generator: torch.Generator) -> Tensor:
        """N(0, prior_std² I)."""
        return torch.randn(n, *self.event_shape, generator=generator, device=generator.device).mul_(self.prior_std)
