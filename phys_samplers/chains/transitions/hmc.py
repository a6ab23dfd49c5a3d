r"""Hamiltonian Monte Carlo, batched over chains.

With H(x, p) = −log π(x) + ½ pᵀM⁻¹p and M diagonal, a momentum p ~ N(0, M) is drawn, L leapfrog steps of size h follow
Hamilton's equations,

    p ← p + (h/2) ∇log π(x),    x ← x + h M⁻¹p,    p ← p + (h/2) ∇log π(x),

and the end (x', p') is accepted with probability min(1, exp(H(x, p) − H(x', p'))). The map (x, p) → (x', −p') keeps
volume and is its own inverse, so that π is exactly invariant; its energy error over a fixed time is O(h²).

Source: Duane, Kennedy, Pendleton & Roweth 1987; Neal 2011, *MCMC using Hamiltonian dynamics*, Sections 2.3 and 3.2.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from phys_samplers.chains.transitions.mala import LogDensity

DIVERGENT = 1_000.0
"""A trajectory whose energy grew by more, or is no number, has left the true one (Stan's threshold)."""


class HMCState(NamedTuple):
    """Position (B, D) with the log-density (B,) and the score (B, D) there, kept for the next step."""

    x: Tensor
    log_prob: Tensor
    score: Tensor


class HMCInfo(NamedTuple):
    """What happened in a step: acceptance probabilities (B,), which chains moved (B,), which diverged (B,)."""

    acceptance: Tensor
    accepted: Tensor
    diverged: Tensor


def init(x: Tensor, log_density: LogDensity) -> HMCState:
    """The state at ``x`` (B, D): one evaluation."""
    return HMCState(x, *log_density(x))


def leapfrog(
    state: HMCState,
    momentum: Tensor,
    log_density: LogDensity,
    *,
    step_size: Tensor | float,
    steps: int,
    inverse_mass: Tensor | float = 1.0,
) -> tuple[HMCState, Tensor]:
    """Position and momentum after ``steps`` leapfrog steps: one evaluation each.

    Args:
        state: of all chains.
        momentum: p (B, D).
        log_density: log π and its gradient.
        step_size: h > 0; one for all chains, or (B,).
        steps: L, at least 1.
        inverse_mass: diagonal of M⁻¹; a number, (D,) or (B, D).
    """
    h = step_size.unsqueeze(1) if isinstance(step_size, Tensor) and step_size.ndim == 1 else step_size
    stride = h * inverse_mass
    x, log_prob, score = state
    p = momentum + (0.5 * h) * score
    for index in range(steps):
        # where a trajectory overflows the density is asked at the origin, not at NaN; its momentum has overflowed too,
        # and refuses it
        x = (x + stride * p).nan_to_num_(0.0, 0.0, 0.0)
        log_prob, score = log_density(x)
        p = p + (h if index + 1 < steps else 0.5 * h) * score
    return HMCState(x, log_prob, score), p


def step(
    state: HMCState,
    log_density: LogDensity,
    *,
    step_size: Tensor | float,
    steps: int,
    noise: Tensor,
    log_uniform: Tensor,
    inverse_mass: Tensor | float = 1.0,
) -> tuple[HMCState, HMCInfo]:
    """One trajectory and its test: ``steps`` evaluations.

    An end where the density is zero or something is not a number is refused; a chain that starts where the density is
    zero takes the first end where it is not.

    Args:
        state: of all chains.
        log_density: log π and its gradient.
        step_size: h > 0; one for all chains, or (B,).
        steps: L, at least 1; with 1 this is MALA with the step h²/2.
        noise: standard normal (B, D).
        log_uniform: logarithms of uniform draws on [0, 1), (B,).
        inverse_mass: diagonal of M⁻¹, best the variances of π; a number, (D,) or (B, D).
    """
    momentum = noise * inverse_mass**-0.5
    there, end = leapfrog(state, momentum, log_density, step_size=step_size, steps=steps, inverse_mass=inverse_mass)
    kinetic = 0.5 * (noise.square() - inverse_mass * end.square()).sum(1)
    log_ratio = there.log_prob - state.log_prob + kinetic
    accepted = log_uniform < log_ratio  # False where the ratio is not a number
    chosen = accepted.unsqueeze(1)
    moved = HMCState(
        torch.where(chosen, there.x, state.x),
        torch.where(accepted, there.log_prob, state.log_prob),
        torch.where(chosen, there.score, state.score),
    )
    return moved, HMCInfo(log_ratio.clamp(max=0.0).exp().nan_to_num(0.0), accepted, ~(log_ratio > -DIVERGENT))
