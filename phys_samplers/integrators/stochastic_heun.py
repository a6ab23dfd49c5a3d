r"""Stochastic Heun in the sense of Itô: Roberts' modified improved Euler scheme.

    K₁ = a(x, t) dt + b(x, t) (ΔW − S √h),        h = |dt|,
    K₂ = a(x + K₁, t + dt) dt + b(x + K₁, t + dt) (ΔW + S √h),
    x ← x + ½ (K₁ + K₂),                          S = ±1 with probability ½.

Plain Heun (S = 0) converges to the Stratonovich solution. The sign takes out the difference:
``½ (ΔW + S√h)(ΔW − S√h) b ∂b = ½ (ΔW² − h) b ∂b``, Milstein's term.

Roberts has one Wiener process and one sign. With several, the term with ``b_j ∂_j b_i`` (i ≠ j) is
``½ (ΔW_i + S_i√h)(ΔW_j − S_j√h)``, whose mean is ``−½ h S_i S_j``: a sign shared by the coordinates would bias the
drift of isotropic noise b(x) by ``−½ b Σ_{j≠i} ∂_j b``. So every coordinate has its own sign, the mean is zero, and
the scheme stays consistent with Itô for noise that does not commute as well (strong order 0.5 there, as no Lévy
areas are simulated). For additive noise the two calculi agree and S = 0: Heun's method, weak order 2.

Source: Roberts, *Modify the improved Euler scheme to integrate stochastic differential equations*, arXiv:1210.0933.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from phys_samplers.dynamics import Dynamics, Noise
from phys_samplers.integrators.base import ANY_NOISE, BrownianIncrement, Equation, Integrator


@dataclass(frozen=True, kw_only=True)
class StochasticHeun(Integrator):
    """Strong order 1.0 for diagonal and additive noise, 0.5 for isotropic noise; on an ODE it is Heun's method."""

    name: ClassVar[str] = "stochastic-heun"
    equation: ClassVar[Equation] = "both"
    order: ClassVar[float | None] = 2.0
    strong_order: ClassVar[float | None] = 1.0
    strong_order_additive: ClassVar[float | None] = 1.0
    weak_order: ClassVar[float | None] = 1.0
    evaluations_per_step: ClassVar[int | None] = 2
    accepts: ClassVar[frozenset[Noise]] = ANY_NOISE

    def step(self, dynamics: Dynamics, x: Tensor, t: float, dt: float, noise: BrownianIncrement) -> Tensor:
        """One step; see ``Integrator.step``."""
        if dynamics.noise == "none":
            a = dynamics.drift(x, t)
            end = dynamics.drift(torch.add(x, a, alpha=dt), t + dt)
            return torch.add(x, a + end, alpha=0.5 * dt)
        dw = noise.dw
        if dynamics.noise == "additive":
            first = second = dw
        else:
            kick = noise.sign * math.sqrt(abs(dt))
            first, second = dw - kick, dw + kick
        a, b = dynamics.drift_and_diffusion(x, t)
        predicted = torch.add(x, a, alpha=dt).addcmul_(b, first)
        a_end, b_end = dynamics.drift_and_diffusion(predicted, t + dt)
        x = torch.add(x, a + a_end, alpha=0.5 * dt)
        return x.addcmul_(b, first, value=0.5).addcmul_(b_end, second, value=0.5)
