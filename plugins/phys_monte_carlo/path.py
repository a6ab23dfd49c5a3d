r"""The path from a Gaussian to a target, and how far a step along it may go.

With a reference N(m, FFᵀ) everything happens in coordinates u, z = m + Fu, in which the reference is standard normal:

    log p_β(u) = (1 − β) log N(u; 0, I) + β (log p(m + Fu) + log|det F|),        0 ≤ β ≤ 1.

Going from β to β + δ multiplies weights by w = e^{δg} with the gain g = log p(m + Fu) + log|det F| − log N(u; 0, I).
The next β is the largest that keeps the share ρ of the *conditional* effective sample size

    CESS / n = (Σ_i W_i w_i)² / Σ_i W_i w_i²,

which compares p_{β+δ} with p_β whatever the weights W are, and falls as δ grows.

Source: Neal 2001, Eq. 3 (the path); Zhou, Johansen & Aston 2016 (CESS).

A move of all particles keeps p_β, or its lack of balance is counted. L leapfrog steps of size h start with a fresh
momentum, in coordinates y scaled by the particles' own spread S, u = u₀ + Sy. With H = −log p_β + ½|p|² the move ends
in balance if it is accepted with probability min(1, e^{H−H'}). With L = 1 it is MALA with the step h²/2.

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

from phys_monte_carlo import hmc
from phys_samplers.density import FlatDensity

SMALLEST = -100.0
"""log δ/(1 − β) at which the search begins: a reference may lie where a density is e^{−10⁴⁰}."""
CANDIDATES, ROUNDS = 16, 6
"""Each round cuts the interval of log δ in 16: after six it is 6 · 10⁻⁶ wide."""


class Reference(NamedTuple):
    """N(m, FFᵀ): mean (K,) and factor, a matrix (K, K) or the diagonal (K,) of one."""

    mean: Tensor
    factor: Tensor


class Particles(NamedTuple):
    """Positions u (B, K) with log p (B,) and its gradient (B, K) there, both of the target in these coordinates."""

    u: Tensor
    log_target: Tensor
    score: Tensor

    def select(self, index: Tensor) -> Particles:
        """Those at ``index``."""
        return Particles(*(part[index] for part in self))

    def where(self, condition: Tensor, other: Particles) -> Particles:
        """These where ``condition`` (B,) holds, the others elsewhere."""
        chosen = condition.unsqueeze(1)
        return Particles(
            torch.where(chosen, self.u, other.u),
            torch.where(condition, self.log_target, other.log_target),
            torch.where(chosen, self.score, other.score),
        )


def forwards(factor: Tensor, u: Tensor) -> Tensor:
    """Fu for rows u (B, K)."""
    return u * factor if factor.ndim == 1 else u @ factor.T


def backwards(factor: Tensor, gradient: Tensor) -> Tensor:
    """Fᵀg for rows g (B, K)."""
    return gradient * factor if factor.ndim == 1 else gradient @ factor


class Path:
    """The equations above for one density.

    Args:
        density: of the target, on flat coordinates.
        reference: where the path begins.
    """

    def __init__(self, density: FlatDensity, reference: Reference) -> None:
        self.density, self.reference = density, reference
        factor = reference.factor
        diagonal = factor if factor.ndim == 1 else factor.diagonal()
        self._log_det = diagonal.abs().log().sum()  # factors are triangular
        self.dim = len(reference.mean)

    def start(self, n: int, generator: torch.Generator) -> Particles:
        """``n`` draws of the reference: one evaluation."""
        like = self.reference.mean
        return self.evaluate(torch.randn(n, self.dim, generator=generator, device=like.device, dtype=like.dtype))

    def place(self, u: Tensor) -> Tensor:
        """Flat coordinates z (B, K) of u."""
        return self.reference.mean + forwards(self.reference.factor, u)

    def evaluate(self, u: Tensor) -> Particles:
        """Particles at ``u`` (B, K): one evaluation."""
        log_prob, score = self.density.log_prob_and_score(self.place(u))
        return Particles(u, log_prob + self._log_det, backwards(self.reference.factor, score))

    def tempered(self, particles: Particles, beta: Tensor) -> tuple[Tensor, Tensor]:
        """log p_β (B,) and its gradient (B, K), from what the particles know; β is 0-d."""
        u, log_target, score = particles
        return (1 - beta) * standard_normal(u) + beta * log_target, beta * score - (1 - beta) * u

    def gain(self, particles: Particles) -> Tensor:
        """g (B,) in double precision; −∞ where the target has no density."""
        difference = particles.log_target - standard_normal(particles.u)
        return precise(difference).nan_to_num(-math.inf, math.inf, -math.inf)


def standard_normal(u: Tensor) -> Tensor:
    """log N(u; 0, I), (B,)."""
    return -0.5 * u.square().sum(1) - 0.5 * u.shape[1] * math.log(2 * math.pi)


def precise(x: Tensor) -> Tensor:
    """In double precision, where the device has it."""
    return x.float() if x.device.type == "mps" else x.double()


def conditional_ess(weights: Tensor, gain: Tensor, increment: Tensor) -> Tensor:
    """CESS/n (C,) for increments δ > 0 (C,), of normalised weights (n,) and gains (n,)."""
    factors = (increment.unsqueeze(1) * (gain - gain.max())).exp()  # the same for any shift of the gains
    return (factors @ weights).square() / (factors.square() @ weights)


def next_temperature(weights: Tensor, gain: Tensor, beta: Tensor, *, share: float) -> Tensor:
    """The largest β' ≤ 1 with CESS/n ≥ ``share``, found without waiting for the device.

    Particles where the target has no density are lost with any step; the share is of the others.

    Args:
        weights: normalised (n,).
        gain: g (n,).
        beta: where the step begins, 0-d, below 1.
        share: ρ in (0, 1).
    """
    alive = torch.where(gain > -math.inf, weights, 0.0)
    alive = alive / alive.sum()
    rest = 1 - beta
    whole = conditional_ess(alive, gain, rest.unsqueeze(0))[0] >= share
    low, high = torch.full_like(beta, SMALLEST), torch.zeros_like(beta)
    ends = torch.arange(2, device=beta.device)
    fractions = torch.linspace(0, 1, CANDIDATES + 1, dtype=beta.dtype, device=beta.device)
    for _ in range(ROUNDS):
        candidates = low + (high - low) * fractions
        kept = conditional_ess(alive, gain, rest * candidates[1:-1].exp()) >= share
        # a one-dimensional index: one without dimension would be fetched from the device
        low, high = candidates[kept.long().cumprod(0).sum() + ends]
    return torch.where(whole, 1.0, beta + rest * low.exp())


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
