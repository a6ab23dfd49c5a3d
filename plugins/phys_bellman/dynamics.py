"""Bellman Diffusion dynamics: dx = g(x) dt + √s(x) dW (Eq. 12 with exact, Eq. 13 with learned fields).

Its Euler–Maruyama step is x ← x + η g(x) + √(η s(x)) z. Algorithm 2 of the paper prints √s η z, which is no
discretisation of Eq. 13: read literally, at η = 0.1 the noise is too small by √10 and a law near p^19 comes out.

Two guards for learned fields and coarse steps, neither of which changes the stationary law. A cap c on the mobility
follows m = s h, h = 1/(1 + s/c), in place of s, with the drift h g + ½ s h'∇s, h' = −h²/c: the flux of any law ρ is
then h times that of (s, g), so that what had no flux has none. (Without the second term, as if the step alone were hη,
it is the law p/h that has no flux.) A box reflects particles at its walls: the law is p within it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from phys_samplers.dynamics import Dynamics, Noise


class Fields(Protocol):
    """A pair of Bellman fields at x (B, D)."""

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """s (B,) ≥ 0 and g (B, D)."""
        ...


class CappedFields:
    """The pair of mobility s/(1 + s/cap) < cap with the stationary law of (s, g).

    Args:
        fields: s (B,), g (B, D) and ∇s (B, D) at x (B, D).
        cap: c, in units of s.
    """

    def __init__(self, fields: Callable[[Tensor], tuple[Tensor, Tensor, Tensor]], cap: float) -> None:
        self.fields = fields
        self.cap = cap

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """m (B,) and the drift (B, D)."""
        s, g, slope = self.fields(x)
        h = 1 / (1 + s / self.cap)
        m = s * h
        return m, torch.addcmul(h.unsqueeze(-1) * g, (m * h).unsqueeze(-1), slope, value=-0.5 / self.cap)


class Box:
    """Reflects particles at the walls of a box, and remembers which; those that jump past it end at a wall.

    Args:
        low: (D,).
        high: (D,).

    Attributes:
        ever: particles (B,) that were outside after any step; None before the first.
        last: those after the last step.
    """

    def __init__(self, low: Tensor, high: Tensor) -> None:
        self.low, self.high = low, high
        self.ever: Tensor | None = None
        self.last: Tensor | None = None

    def __call__(self, x: Tensor) -> Tensor:
        """x (B, D) in the box; NaN stays."""
        folded = self.high - (self.high - self.low - (x - self.low).abs()).abs()
        inside = torch.where((x < self.low) | (x > self.high), folded.clamp_(self.low, self.high), x)
        self.last = (inside != x).any(-1)
        self.ever = self.last if self.ever is None else self.ever | self.last
        return inside

    def shares(self) -> dict[str, float]:
        """``clamped``, the share of particles that met a wall, and ``clamped_at_end``, of those that did last."""
        named = {"clamped": self.ever, "clamped_at_end": self.last}
        return {name: float(mask.float().mean()) for name, mask in named.items() if mask is not None}


class BellmanDynamics(Dynamics):
    """Eq. 12–13 in the coordinates of the fields, from N(0, prior_std² I), for a time T·η.

    p is stationary for every mobility when g = ½(∇q + q∇log p) and s = q come from the same kernel: the flux
    gρ − ½∇(qρ) = ½q(ρ∇log p − ∇ρ) vanishes at ρ = p.

    Args:
        fields: s and g.
        dim: coordinates D.
        duration: T·η.
        prior_std: of the starting points.
        box: that particles are kept in, if any.
    """

    noise: Noise = "isotropic"

    def __init__(
        self, fields: Fields, dim: int, *, duration: float, prior_std: float = 1.0, box: Box | None = None
    ) -> None:
        self.fields = fields
        self.event_shape = (dim,)
        self.times = (0.0, duration)
        self.prior_std = prior_std
        self.box = box

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

    def confine(self, x: Tensor) -> Tensor:
        """Into the box."""
        return x if self.box is None else self.box(x)

    def prior(self, n: int, generator: torch.Generator) -> Tensor:
        """N(0, prior_std² I)."""
        return torch.randn(n, *self.event_shape, generator=generator, device=generator.device).mul_(self.prior_std)
