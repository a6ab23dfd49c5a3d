r"""Noising processes run backwards with a denoiser D(u, λ) ≈ E[x₀ | x₀ + λn = u].

For x_t = α x₀ + σ n, with λ = σ/α, f = d log α/dt and D at u = x/α, the score is (αD − x)/σ² (Tweedie), and

    dx/dt = f x + ℓ' (x − αD)                                      probability-flow ODE
    dx    = [f x + 2ℓ' (x − αD)] dt + σ √(2ℓ') dW,  backwards      reverse SDE (Anderson 1982)

with ℓ' = d log λ/dt (Song et al. 2021, arXiv:2011.13456, Eq. 6 and 13, where g² = 2σ²ℓ'). In the variable u the ODE is
du/dλ = (u − D)/λ for every schedule (Karras et al. 2022, arXiv:2206.00364, Eq. 4).
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor

from phys_samplers.dynamics import DenoisingDynamics, Dynamics, Noise
from phys_samplers.schedules.base import NoiseSchedule

Denoise = Callable[[Tensor, float], Tensor]
"""D(u, λ): (B, D), λ → (B, D), a new tensor, which the caller may overwrite."""
Prior = Callable[[int, torch.Generator], Tensor]
"""Starting points u (n, D) at the largest λ."""


def broad_normal(n: int, dim: int, ratio: float, generator: torch.Generator) -> Tensor:
    """``n`` draws (n, dim) of N(0, (1 + λ²) I): the moments of standardised data with noise of level λ = ``ratio``."""
    z = torch.randn(n, dim, generator=generator, device=generator.device)
    return z.mul_(math.sqrt(1 + ratio**2))


class DenoisingFlow(DenoisingDynamics):
    """du/dλ = (u − D(u, λ))/λ with λ as the time, from ``start`` down to 0.

    Args:
        denoise: D.
        prior: of the starting points.
        dim: coordinates D.
        start: the largest λ.
    """

    def __init__(self, denoise: Denoise, prior: Prior, dim: int, *, start: float) -> None:
        self._denoise, self._prior = denoise, prior
        self.event_shape = (dim,)
        self.times = (start, 0.0)

    def denoise(self, x: Tensor, t: float) -> Tensor:
        """D(u, λ)."""
        return self._denoise(x, t)

    def drift(self, x: Tensor, t: float) -> Tensor:
        """(u − D)/λ."""
        return (x - self._denoise(x, t)).div_(t)

    def prior(self, n: int, generator: torch.Generator) -> Tensor:
        """Starting points u."""
        return self._prior(n, generator)


class _Scheduled(Dynamics):
    """What the ODE and the SDE of a schedule share.

    Args:
        denoise: D.
        prior: of the starting points u.
        dim: coordinates D.
        schedule: α and σ.
    """

    def __init__(self, denoise: Denoise, prior: Prior, dim: int, *, schedule: NoiseSchedule) -> None:
        self._denoise, self._prior = denoise, prior
        self.schedule = schedule
        self.event_shape = (dim,)
        self.times = (schedule.start, schedule.end)

    def _drift(self, x: Tensor, t: float, factor: float) -> Tensor:
        """f x + factor ℓ' (x − αD)."""
        alpha, rate = math.exp(self.schedule.log_alpha(t)), factor * self.schedule.log_ratio_rate(t)
        clean = self._denoise(x / alpha if alpha != 1 else x, self.schedule.ratio(t))
        return clean.mul_(-alpha * rate).add_(x, alpha=self.schedule.log_alpha_rate(t) + rate)

    @abstractmethod
    def drift(self, x: Tensor, t: float) -> Tensor:
        """See ``Dynamics.drift``."""

    def prior(self, n: int, generator: torch.Generator) -> Tensor:
        """Starting points x = αu."""
        return self._prior(n, generator) * self.schedule.level(self.schedule.start)[0]


class ProbabilityFlow(_Scheduled):
    """The ODE with the marginals of the noising process."""

    def drift(self, x: Tensor, t: float) -> Tensor:
        """f x + ℓ' (x − αD)."""
        return self._drift(x, t, 1.0)


class ReverseSDE(_Scheduled):
    """The noising SDE run backwards."""

    noise: Noise = "additive"

    def drift(self, x: Tensor, t: float) -> Tensor:
        """The drift f x + 2ℓ' (x − αD)."""
        return self._drift(x, t, 2.0)

    def diffusion(self, x: Tensor, t: float) -> Tensor:
        """σ √(2ℓ'), of shape (1, 1)."""
        sigma = self.schedule.level(t)[1]
        value = sigma * math.sqrt(2 * self.schedule.log_ratio_rate(t))
        return torch.full((1, 1), value, dtype=x.dtype, device=x.device)
