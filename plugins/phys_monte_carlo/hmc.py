r"""Hamiltonian Monte Carlo, batched over chains.

With H(x, p) = −log π(x) + ½ pᵀM⁻¹p and M diagonal, a momentum p ~ N(0, M) is drawn, L leapfrog steps of size h follow
Hamilton's equations,

    p ← p + (h/2) ∇log π(x),    x ← x + h M⁻¹p,    p ← p + (h/2) ∇log π(x),

and the end (x', p') is accepted with probability min(1, exp(H(x, p) − H(x', p'))). The map (x, p) → (x', −p') keeps
volume and is its own inverse, so that π is exactly invariant; its energy error over a fixed time is O(h²).

Source: Duane, Kennedy, Pendleton & Roweth 1987; Neal 2011, *MCMC using Hamiltonian dynamics*, Sections 2.3 and 3.2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from phys_monte_carlo.adaptation import WarmUp
from phys_samplers.chains.chains import ChainRecord, ChainSampler, Run
from phys_samplers.chains.mala import MALAState, decide
from phys_samplers.chains.warmup import find_start, refuse_unborn
from phys_samplers.density import FlatDensity, LogDensity, Score
from phys_samplers.options import draw_option

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
    score_alone: Score | None = None,
) -> tuple[HMCState, Tensor]:
    """Position and momentum after ``steps`` leapfrog steps: one evaluation each.

    Args:
        state: of all chains.
        momentum: p (B, D).
        log_density: log π and its gradient.
        step_size: h > 0; one for all chains, or (B,).
        steps: L, at least 1.
        inverse_mass: diagonal of M⁻¹; a number, (D,) or (B, D).
        score_alone: the gradient, if it costs less without log π, which is wanted at the end only.
    """
    x, log_prob, score = state
    h = step_size if isinstance(step_size, Tensor) else x.new_full((), step_size)
    h = h.unsqueeze(1) if h.ndim == 1 else h
    half, stride = 0.5 * h, h * inverse_mass
    p = torch.addcmul(momentum, score, half)
    for index in range(steps):
        # where a trajectory overflows the density is asked at the origin, not at NaN; its momentum has overflowed too,
        # and refuses it
        x = torch.addcmul(x, p, stride).nan_to_num_(0.0, 0.0, 0.0)
        last = index + 1 == steps
        if last or score_alone is None:
            log_prob, score = log_density(x)
        else:
            score = score_alone(x)
        p = p.addcmul_(score, half if last else h)
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
    score_alone: Score | None = None,
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
        score_alone: as for ``leapfrog``.
    """
    momentum = noise * inverse_mass**-0.5
    there, end = leapfrog(
        state,
        momentum,
        log_density,
        step_size=step_size,
        steps=steps,
        inverse_mass=inverse_mass,
        score_alone=score_alone,
    )
    kinetic = 0.5 * (noise.square() - end.square_().mul_(inverse_mass)).sum(1)
    log_ratio = there.log_prob - state.log_prob + kinetic
    moved, (acceptance, accepted) = decide(MALAState(*state), MALAState(*there), log_ratio, log_uniform)
    return HMCState(*moved), HMCInfo(acceptance, accepted, ~(log_ratio > -DIVERGENT))


@dataclass(frozen=True, kw_only=True)
class TrajectorySampler(ChainSampler):
    """A recipe whose steps are Hamiltonian trajectories; every leapfrog step of one costs a gradient.

    Args:
        step_size: h at the start; with ``warmup_steps=0`` for the whole run, with unit masses.
        warmup_steps: trajectories that adapt, part of ``sampling_steps``.
        target_acceptance: acceptance rate to adapt to.
        leapfrog_steps: L, the mean number of leapfrog steps of a trajectory; 1 makes it a MALA step.
        jitter: j; L is drawn anew for every trajectory, uniformly on the integers within a share j of
            ``leapfrog_steps``, so that no period of the target is in tune with all trajectories.
    """

    sampling_steps: int = draw_option(200, least=1)
    step_size: float = draw_option(0.1, above=0)
    warmup_steps: int = draw_option(100, least=0)
    target_acceptance: float = draw_option(0.8, above=0, below=1)
    leapfrog_steps: int = draw_option(5, least=1)
    jitter: float = draw_option(0.5, least=0, most=1)

    @property
    def burn_in(self) -> int:
        """The warm-up."""
        return self.warmup_steps

    def lengths(self, generator: torch.Generator) -> list[int]:
        """Leapfrog steps of every trajectory of a run, from one draw, so that the device is waited for once."""
        least = max(1, math.ceil((1 - self.jitter) * self.leapfrog_steps))
        most = 2 * self.leapfrog_steps - least
        size = (self.sampling_steps,)
        return torch.randint(least, most + 1, size, generator=generator, device=generator.device).tolist()


@dataclass(frozen=True, kw_only=True)
class HMC(TrajectorySampler):
    """Hamiltonian Monte Carlo: unbiased; step size and diagonal masses find themselves during a warm-up.

    One step size and one mass matrix serve all chains: dual averaging moves the first towards the wanted acceptance,
    averaged over chains, and the second is the inverse of the variances of all chains in doubling windows. Both are
    then frozen, and only states after the warm-up are kept. A step is a whole trajectory, and every leapfrog step in it
    costs a gradient.

    Lost chains are first led uphill, and masses begin at what gradients say of scales (``chains.warmup``); all that is
    part of the warm-up, and there is none of it without one.

    Chains in modes that they do not leave make the masses those of the spread *between* modes too; the step size
    makes up for it where the modes are about round.

    Args:
        ascent_steps: uphill for lost chains, at most, before the warm-up; each costs a gradient.
    """

    ascent_steps: int = draw_option(60, least=0)

    def run(self, source: FlatDensity, x: Tensor, *, generator: torch.Generator, record: ChainRecord) -> Run:
        """Warm up, then sample; see ``ChainSampler.run``."""
        lengths = self.lengths(generator)
        start = find_start(source, x, steps=self.ascent_steps if self.warmup_steps else 0)
        warm_up = WarmUp(
            self.warmup_steps,
            step_size=self.step_size,
            goal=self.target_acceptance,
            like=x.unsqueeze(0),
            scale=start.scale,
        )
        state = HMCState(start.x, start.log_prob, start.score)
        acceptance, divergences = x.new_zeros(()), torch.zeros((), dtype=torch.int64, device=x.device)
        for index, length in enumerate(lengths):
            noise = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
            log_uniform = torch.rand(len(x), generator=generator, device=x.device, dtype=x.dtype).log_()
            state, info = step(
                state,
                source.log_prob_and_score,
                step_size=warm_up.step_size[0],
                steps=length,
                noise=noise,
                log_uniform=log_uniform,
                inverse_mass=warm_up.inverse_mass[0],
                score_alone=source.score_alone,
            )
            if index < self.warmup_steps:
                warm_up.observe(state.x.unsqueeze(0), info.acceptance.unsqueeze(0))
            else:
                acceptance += info.acceptance.mean()
                divergences += info.diverged.sum()
            record.observe(state.x)
        refuse_unborn(state.x, state.log_prob, steps=self.sampling_steps, by="hmc")
        facts = {
            "acceptance": float(acceptance) / (self.sampling_steps - self.warmup_steps),
            "divergences": int(divergences),
            "step_size": float(warm_up.step_size),
            "moved": int(start.moved),
            "mass_ratio": float(warm_up.inverse_mass.max() / warm_up.inverse_mass.min()),
            "warmup_steps": self.warmup_steps,
        }
        return Run(source.evaluations, facts)
