r"""Overdamped Langevin dynamics, dx = ∇log p(x) dt + √2 dW, which leaves p as it is.

Its Euler–Maruyama step is the unadjusted Langevin algorithm (ULA), x ← x + h∇log p(x) + √(2h) z, whose stationary law
is wrong by O(h): N(0, v) becomes N(0, v/(1 − h/(2v))).

Source: Roberts & Tweedie 1996, Section 1.2 and 1.4.1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from phys_samplers.dynamics import Dynamics, Noise
from phys_samplers.integrators import BrownianIncrement, Integrator
from phys_samplers.integrators.base import ANY_NOISE, Equation


class OverdampedLangevin(Dynamics):
    """The equation above on flat particles.

    Args:
        score: ∇log p, (B, D) → (B, D).
        dim: coordinates D.
        duration: time of the run.
        prior_std: standard deviation of the starting points.
    """

    noise: Noise = "additive"

    def __init__(self, score: Callable[[Tensor], Tensor], dim: int, *, duration: float, prior_std: float = 1.0) -> None:
        self.score = score
        self.event_shape = (dim,)
        self.times = (0.0, duration)
        self.prior_std = prior_std

    def drift(self, x: Tensor, t: float) -> Tensor:
        """∇log p(x)."""
        return self.score(x)

    def diffusion(self, x: Tensor, t: float) -> Tensor:
        """√2, of shape (1, 1)."""
        return torch.full((1, 1), math.sqrt(2.0), dtype=x.dtype, device=x.device)

    def prior(self, n: int, generator: torch.Generator) -> Tensor:
        """N(0, prior_std² I)."""
        return torch.randn(n, *self.event_shape, generator=generator, device=generator.device).mul_(self.prior_std)


@dataclass(frozen=True, kw_only=True)
class Observed(Integrator):
    """An integrator whose states are shown to an observer after every step.

    Args:
        inner: does the work.
        observe: called with the new state.
    """

    equation: ClassVar[Equation] = "both"
    evaluations_per_step: ClassVar[int | None] = None
    accepts: ClassVar[frozenset[Noise]] = ANY_NOISE

    inner: Integrator
    observe: Callable[[Tensor], None]

    def __post_init__(self) -> None:
        # class facts of any other integrator, here facts of the one inside
        object.__setattr__(self, "name", self.inner.name or type(self.inner).__name__)
        object.__setattr__(self, "adaptive", self.inner.adaptive)

    def check(self, dynamics: Dynamics) -> None:
        """As the integrator inside says."""
        self.inner.check(dynamics)

    def step(self, dynamics: Dynamics, x: Tensor, t: float, dt: float, noise: BrownianIncrement) -> Tensor:
        """One step of the integrator inside."""
        x = self.inner.step(dynamics, x, t, dt, noise)
        self.observe(x)
        return x
