r"""Euler–Maruyama: ``x ← x + a(x, t) dt + b(x, t) ΔW``.

Source: Maruyama, *Continuous Markov processes and stochastic equations*, 1955; Kloeden & Platen 1992, Section 10.2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from phys_samplers.dynamics import Dynamics, Noise
from phys_samplers.integrators.base import ANY_NOISE, BrownianIncrement, Integrator
from phys_samplers.shapes import State


@dataclass(frozen=True, kw_only=True)
class EulerMaruyama(Integrator):
    """Strong order 0.5 (1.0 for additive noise), weak order 1.0; on an ODE it is Euler's method."""

    name = "euler-maruyama"
    equation = "both"
    order = 1.0
    strong_order = 0.5
    strong_order_additive = 1.0
    weak_order = 1.0
    evaluations_per_step = 1
    accepts = ANY_NOISE

    def step(self, dynamics: Dynamics, x: State, t: float, dt: float, noise: BrownianIncrement) -> State:
        """One step; see ``Integrator.step``."""
        if dynamics.noise == "none":
            return torch.add(x, dynamics.drift(x, t), alpha=dt)
        a, b = dynamics.drift_and_diffusion(x, t)
        return torch.add(x, a, alpha=dt).addcmul_(b, noise.dw)


@dataclass(frozen=True, kw_only=True)
class Milstein(Integrator):
    r"""Milstein's scheme without derivatives, for diagonal noise b_i(x_i, t).

        Υ = x + a dt + b √h,        h = |dt|,
        x ← x + a dt + b ΔW + (b(Υ, t) − b(x, t)) (ΔW² − h) / (2 √h).

    The quotient ``(b(Υ) − b(x))/√h`` stands for ``b ∂b`` up to O(√h), which keeps strong order 1.0; it needs a second
    evaluation of the diffusion, and no derivative of it. Since b_i sees x_i alone, one Υ serves all coordinates.

    Source: Milstein 1975 (with the derivative); Kloeden & Platen 1992, Section 11.1 (this form).

    Strong and weak order 1.0 for diagonal noise; Euler–Maruyama for additive noise, Euler's method on an ODE.
    """

    name = "milstein"
    equation = "both"
    order = 1.0
    strong_order = 1.0
    strong_order_additive = 1.0
    weak_order = 1.0
    evaluations_per_step = 2
    accepts = frozenset({"none", "additive", "diagonal"})

    def step(self, dynamics: Dynamics, x: State, t: float, dt: float, noise: BrownianIncrement) -> State:
        """One step; see ``Integrator.step``."""
        if dynamics.noise == "none":
            return torch.add(x, dynamics.drift(x, t), alpha=dt)
        a, b = dynamics.drift_and_diffusion(x, t)
        dw = noise.dw
        moved = torch.add(x, a, alpha=dt)
        euler = torch.addcmul(moved, b, dw)
        if dynamics.noise == "additive":  # ∂b = 0
            return euler
        h = abs(dt)
        root = math.sqrt(h)
        change = dynamics.diffusion(torch.add(moved, b, alpha=root), t) - b
        return euler.addcmul_(change, dw.square().sub_(h), value=0.5 / root)

    def _reason(self, noise: Noise) -> str:
        return (
            "its coefficient depends on all coordinates, so the noise does not commute and strong order 1 would "
            "need Lévy areas, which this scheme leaves out"
        )
