"""Bellman Diffusion dynamics: dx = g(x) dt + √s(x) dW (Eq. 12 with exact, Eq. 13 with learned fields).

Its Euler–Maruyama step is x ← x + η g(x) + √(η s(x)) z. Algorithm 2 of the paper prints √s η z, which is no
discretisation of Eq. 13: read literally, at η = 0.1 the noise is too small by √10 and a law near p^19 comes out.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from phys_samplers.dynamics import Dynamics, Noise


class Fields(Protocol):
    """A pair of Bellman fields at x (B, D)."""

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """s (B,) ≥ 0 and g (B, D)."""
        ...


class BellmanDynamics(Dynamics):
    """Eq. 12–13 in the coordinates of the fields, from N(0, prior_std² I), for a time T·η.

    p is stationary for every mobility when g = ½(∇q + q∇log p) and s = q come from the same kernel: the flux
    gρ − ½∇(qρ) = ½q(ρ∇log p − ∇ρ) vanishes at ρ = p.

    Args:
        fields: s and g.
        dim: coordinates D.
        duration: T·η.
        prior_std: of the starting points.
    """

    noise: Noise = "isotropic"

    def __init__(self, fields: Fields, dim: int, *, duration: float, prior_std: float = 1.0) -> None:
        self.fields = fields
        self.event_shape = (dim,)
        self.times = (0.0, duration)
        self.prior_std = prior_std

    def drift(self, x: Tensor, t: float) -> Tensor:
        """The gradient field g(x)."""
        return self.fields(x)[1]

    def diffusion(self, x: Tensor, t: float) -> Tensor:
        """√s(x), (B, 1)."""
        return self.fields(x)[0].sqrt().unsqueeze(-1)

    def drift_and_diffusion(self, x: Tensor, t: float) -> tuple[Tensor, Tensor]:
        """g and √s from one evaluation of the fields."""
        s, g = self.fields(x)
        return g, s.sqrt().unsqueeze(-1)

    def prior(self, n: int, generator: torch.Generator) -> Tensor:
        """N(0, prior_std² I)."""
        return torch.randn(n, *self.event_shape, generator=generator, device=generator.device).mul_(self.prior_std)
