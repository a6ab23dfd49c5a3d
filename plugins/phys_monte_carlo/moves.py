r"""One move of all particles that keeps p_β, or whose lack of balance is counted: Langevin or Hamiltonian.

L leapfrog steps of size h with a fresh momentum, in coordinates y scaled by the particles' own spread S, u = u₀ + Sy.
With H = −log p_β + ½|p|² the move ends in balance if it is accepted with probability min(1, e^{H−H'}). With L = 1 it is
MALA with the step h²/2.

Without the test, e^{H−H'} is the ratio of the backward to the forward kernel times p_β(u')/p_β(u): multiplied onto an
importance weight it makes the weight exact. With L = 1 that is the unadjusted Langevin algorithm.

In coordinates in which a Gaussian has unit spread, a trajectory of length π/2 forgets where it began, and one of length
π comes back mirrored, so that its energy never mixes: hL is kept at π/2 or below, and h varies by a fifth from particle
to particle.

Source: Duane et al. 1987; Neal 2001, Section 2 (any kernel that keeps p_β will do); Neal 2011, Section 3.2 (varied
steps); Geffner & Domke 2021, *MCMC variational inference via uncorrected Hamiltonian annealing* (weights without test).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from phys_monte_carlo.path import Particles, Path, backwards, forwards
from phys_samplers.chains.transitions import hmc

JITTER = 0.2
"""Step sizes are uniform on h(1 ± JITTER)."""


class Noise(NamedTuple):
    """All randomness of a move: standard normal (B, K), step-size factors (B,), logarithms of uniforms (B,)."""

    momentum: Tensor
    factor: Tensor
    log_uniform: Tensor


class Moved(NamedTuple):
    """Particles after a move, acceptance probabilities min(1, e^{H−H'}) (B,), and H − H' (B,), −∞ for the lost."""

    particles: Particles
    acceptance: Tensor
    log_ratio: Tensor


def draw_noise(like: Tensor, generator: torch.Generator) -> Noise:
    """Fresh randomness for particles like ``like`` (B, K)."""

    def uniform() -> Tensor:
        return torch.rand(len(like), generator=generator, device=like.device, dtype=like.dtype)

    momentum = torch.randn(like.shape, generator=generator, device=like.device, dtype=like.dtype)
    return Noise(momentum, 1 + JITTER * (2 * uniform() - 1), uniform().log_())


def longest_step(steps: int) -> float:
    """The largest h for trajectories of ``steps``."""
    return math.pi / (2 * steps)


def first_step(dim: int, steps: int) -> float:
    """A step to begin with: ½h² = 1.36 K^{−1/3}, the best of MALA on a normal law (Roberts & Rosenthal 1998)."""
    return min(1.65 * dim ** (-1 / 6), longest_step(steps))


def step_change(acceptance: Tensor, goal: float) -> Tensor:
    """By how much to change log h (0-d) after a move with that mean acceptance; within about ±0.7.

    Refusals grow like h³ while they are few, so that a third of the logarithm of their ratio is a Newton step.
    """
    return ((1 - goal) / (1 - acceptance).clamp(min=(1 - goal) / 8)).log() / 3


def move(
    particles: Particles,
    path: Path,
    beta: Tensor,
    *,
    step_size: Tensor,
    steps: int,
    spread: Tensor,
    noise: Noise,
    adjusted: bool = True,
) -> Moved:
    """Move all particles: ``steps`` evaluations.

    An end where the target has no density or something is not a number is refused, also without the test.

    Args:
        particles: where they are.
        path: between reference and target.
        beta: β of the law to keep, 0-d.
        step_size: h, 0-d.
        steps: L.
        spread: S, a matrix (K, K) or the diagonal (K,) of one.
        noise: from ``draw_noise``.
        adjusted: whether to accept and refuse.
    """
    there = particles

    def log_density(y: Tensor) -> tuple[Tensor, Tensor]:
        nonlocal there
        there = path.evaluate(particles.u + forwards(spread, y))
        log_prob, score = path.tempered(there, beta)
        return log_prob, backwards(spread, score)

    log_prob, score = path.tempered(particles, beta)
    here = hmc.HMCState(torch.zeros_like(particles.u), log_prob, backwards(spread, score))
    end, momentum = hmc.leapfrog(here, noise.momentum, log_density, step_size=step_size * noise.factor, steps=steps)
    kinetic = 0.5 * (noise.momentum.square() - momentum.square()).sum(1)
    log_ratio = (end.log_prob - log_prob + kinetic).nan_to_num(-math.inf, math.inf, -math.inf)
    accepted = noise.log_uniform < log_ratio if adjusted else log_ratio > -math.inf
    return Moved(there.where(accepted, particles), log_ratio.clamp(max=0.0).exp(), log_ratio)
