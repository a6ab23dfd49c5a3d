r"""SRA1: Rößler's two-stage stochastic Runge–Kutta scheme for additive noise b(t).

With h = |dt|, ΔW and I₁₀ (the space-time integral of the step):

    a₁ = a(x, t),        a₂ = a(x + ¾ a₁ dt + (3/2) b(t + dt) I₁₀/h,  t + ¾ dt),
    x ← x + (⅓ a₁ + ⅔ a₂) dt + b(t + dt) ΔW + (b(t) − b(t + dt)) I₁₀/h.

Expanding: ``⅔·(3/2) a' b I₁₀`` is the term of order 1.5; ``⅔·½ a''·(9/4) b² E[I₁₀²]/h`` with ``E[I₁₀²] = h³/3`` is
the mean ``¼ a'' b² h²``; ``b ΔW + b'(hΔW − I₁₀)`` is ``∫ b dW`` to that order. The means and covariances of a step
are right to O(h³), hence weak order 2.

Source: Rößler, *Runge–Kutta methods for the strong approximation of solutions of stochastic differential
equations*, SIAM J. Numer. Anal. 48, 2010 (scheme SRA1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from phys_samplers.dynamics import Dynamics, Noise
from phys_samplers.integrators.base import BrownianIncrement, Equation, Integrator


@dataclass(frozen=True, kw_only=True)
class SRA1(Integrator):
    """Strong order 1.5 and weak order 2.0 for additive noise; on an ODE a two-stage Runge–Kutta method of order 2."""

    name: ClassVar[str] = "sra1"
    equation: ClassVar[Equation] = "both"
    order: ClassVar[float | None] = 2.0
    strong_order: ClassVar[float | None] = 1.5
    strong_order_additive: ClassVar[float | None] = 1.5
    weak_order: ClassVar[float | None] = 2.0
    evaluations_per_step: ClassVar[int | None] = 2
    accepts: ClassVar[frozenset[Noise]] = frozenset({"none", "additive"})

    def step(self, dynamics: Dynamics, x: Tensor, t: float, dt: float, noise: BrownianIncrement) -> Tensor:
        """One step; see ``Integrator.step``."""
        if dynamics.noise == "none":
            a1 = dynamics.drift(x, t)
            a2 = dynamics.drift(torch.add(x, a1, alpha=0.75 * dt), t + 0.75 * dt)
            return torch.add(x, a1, alpha=dt / 3).add_(a2, alpha=2 * dt / 3)
        a1, b = dynamics.drift_and_diffusion(x, t)
        b_end = dynamics.diffusion(x, t + dt)
        mean_w = noise.i10 / abs(dt)  # the time average of W over the step
        stage = torch.add(x, a1, alpha=0.75 * dt).addcmul_(b_end, mean_w, value=1.5)
        a2 = dynamics.drift(stage, t + 0.75 * dt)
        x = torch.add(x, a1, alpha=dt / 3).add_(a2, alpha=2 * dt / 3)
        return x.addcmul_(b_end, noise.dw).addcmul_(b - b_end, mean_w)
