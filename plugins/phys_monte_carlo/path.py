r"""The path from a Gaussian to a target, and how far a step along it may go.

With a reference N(m, FFᵀ) everything happens in coordinates u, z = m + Fu, in which the reference is standard normal:

    log p_β(u) = (1 − β) log N(u; 0, I) + β (log p(m + Fu) + log|det F|),        0 ≤ β ≤ 1.

Going from β to β + δ multiplies weights by w = e^{δg} with the gain g = log p(m + Fu) + log|det F| − log N(u; 0, I).
The next β is the largest that keeps the share ρ of the *conditional* effective sample size

    CESS / n = (Σ_i W_i w_i)² / Σ_i W_i w_i²,

which compares p_{β+δ} with p_β whatever the weights W are, and falls as δ grows.

Source: Neal 2001, Eq. 3 (the path); Zhou, Johansen & Aston 2016 (CESS).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

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
