r"""Euler–Maruyama: ``x ← x + a(x, t) dt + b(x, t) ΔW``.

Source: Maruyama, *Continuous Markov processes and stochastic equations*, 1955; Kloeden & Platen 1992, Section 10.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from phys_samplers.dynamics import Dynamics, Noise
from phys_samplers.integrators.base import ANY_NOISE, BrownianIncrement, Equation, Integrator


@dataclass(frozen=True, kw_only=True)
class EulerMaruyama(Integrator):
    """Strong order 0.5 (1.0 for additive noise), weak order 1.0; on an ODE it is Euler's method."""

    name: ClassVar[str] = "euler-maruyama"
    equation: ClassVar[Equation] = "both"
    order: ClassVar[float | None] = 1.0
    strong_order: ClassVar[float | None] = 0.5
    strong_order_additive: ClassVar[float | None] = 1.0
    weak_order: ClassVar[float | None] = 1.0
    evaluations_per_step: ClassVar[int | None] = 1
    accepts: ClassVar[frozenset[Noise]] = ANY_NOISE

    def step(self, dynamics: Dynamics, x: Tensor, t: float, dt: float, noise: BrownianIncrement) -> Tensor:
        """One step; see ``Integrator.step``."""
        if dynamics.noise == "none":
            return torch.add(x, dynamics.drift(x, t), alpha=dt)
        a, b = dynamics.drift_and_diffusion(x, t)
        return torch.add(x, a, alpha=dt).addcmul_(b, noise.dw)
