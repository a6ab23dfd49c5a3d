r"""BAOAB: underdamped Langevin dynamics by symmetric splitting, with one gradient a step.

    dx = p/m dt,    dp = ∇log π(x) dt − γ p dt + √(2γm) dW,        stationary law π(x) N(p; 0, m I).

A step of size h is B(h/2) A(h/2) O(h) A(h/2) B(h/2), with B the kick by the force, A the drift and O the exact
Ornstein–Uhlenbeck update of the momentum, p ← e^{−γh} p + √((1 − e^{−2γh}) m) z. The force at the end of a step is that
at the start of the next. For a harmonic potential the law of the positions is exact for every stable h (< 2/ω);
otherwise its error is O(h²).

Source: Leimkuhler & Matthews 2013, *Rational construction of stochastic numerical methods for molecular sampling*.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

Score = Callable[[Tensor], Tensor]
"""∇log π, (B, D) → (B, D)."""


class BAOABState(NamedTuple):
    """Position, momentum and force, each (B, D)."""

    x: Tensor
    momentum: Tensor
    force: Tensor


class BAOABInfo(NamedTuple):
    """Kinetic temperature p²/m (B,), averaged over coordinates; 1 on average in equilibrium up to O(h²)."""

    temperature: Tensor


def init(x: Tensor, score: Score, *, mass: float, noise: Tensor) -> BAOABState:
    """The state at ``x`` (B, D) with the momentum √mass · ``noise``, from a standard normal: one evaluation."""
    return BAOABState(x, math.sqrt(mass) * noise, score(x))


def step(
    state: BAOABState, score: Score, *, step_size: float, friction: float, mass: float, noise: Tensor
) -> tuple[BAOABState, BAOABInfo]:
    """One step: one evaluation.

    Args:
        state: of all particles.
        score: ∇log π.
        step_size: h > 0.
        friction: γ ≥ 0; at 0 this is the velocity Verlet scheme, which draws nothing.
        mass: m > 0.
        noise: standard normal (B, D).
    """
    decay = math.exp(-friction * step_size)
    kick = math.sqrt(-math.expm1(-2 * friction * step_size) * mass)
    half = 0.5 * step_size
    p = state.momentum + half * state.force
    x = state.x + (half / mass) * p
    p = decay * p + kick * noise
    x = x + (half / mass) * p
    force = score(x)
    p = p + half * force
    return BAOABState(x, p, force), BAOABInfo(p.square().mean(1) / mass)
