r"""Stochastic Runge–Kutta schemes: Roberts' stochastic Heun for every noise, Rößler's SRA1 for additive noise."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from phys_samplers.dynamics import Dynamics
from phys_samplers.integrators.base import ANY_NOISE, BrownianIncrement, Integrator
from phys_samplers.shapes import State


@dataclass(frozen=True, kw_only=True)
class StochasticHeun(Integrator):
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

    Strong order 1.0 for diagonal and additive noise, 0.5 for isotropic noise; on an ODE it is Heun's method.
    """

    name = "stochastic-heun"
    equation = "both"
    order = 2.0
    strong_order = 1.0
    strong_order_additive = 1.0
    weak_order = 1.0
    evaluations_per_step = 2
    accepts = ANY_NOISE

    def step(self, dynamics: Dynamics, x: State, t: float, dt: float, noise: BrownianIncrement) -> State:
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


@dataclass(frozen=True, kw_only=True)
class SRA1(Integrator):
    r"""SRA1: Rößler's two-stage stochastic Runge–Kutta scheme for additive noise b(t).

    With h = |dt|, ΔW and I₁₀ (the space-time integral of the step):

        a₁ = a(x, t),        a₂ = a(x + ¾ a₁ dt + (3/2) b(t + dt) I₁₀/h,  t + ¾ dt),
        x ← x + (⅓ a₁ + ⅔ a₂) dt + b(t + dt) ΔW + (b(t) − b(t + dt)) I₁₀/h.

    Expanding: ``⅔·(3/2) a' b I₁₀`` is the term of order 1.5; ``⅔·½ a''·(9/4) b² E[I₁₀²]/h`` with ``E[I₁₀²] = h³/3`` is
    the mean ``¼ a'' b² h²``; ``b ΔW + b'(hΔW − I₁₀)`` is ``∫ b dW`` to that order. The means and covariances of a step
    are right to O(h³), hence weak order 2.

    Source: Rößler, *Runge–Kutta methods for the strong approximation of solutions of stochastic differential
    equations*, SIAM J. Numer. Anal. 48, 2010 (scheme SRA1).

    Strong order 1.5 and weak order 2.0 for additive noise; on an ODE a two-stage Runge–Kutta method of order 2.
    """

    name = "sra1"
    equation = "both"
    order = 2.0
    strong_order = 1.5
    strong_order_additive = 1.5
    weak_order = 2.0
    evaluations_per_step = 2
    accepts = frozenset({"none", "additive"})

    def step(self, dynamics: Dynamics, x: State, t: float, dt: float, noise: BrownianIncrement) -> State:
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
