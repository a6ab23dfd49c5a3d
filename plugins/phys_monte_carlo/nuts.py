r"""The No-U-Turn Sampler: Hamiltonian trajectories that end where they begin to come back, batched over chains.

In coordinates with unit masses, x = Fu with FFᵀ = M⁻¹, a momentum p ~ N(0, I) is drawn, and a trajectory of leapfrog
steps is doubled, forwards or backwards by a coin, until its ends turn towards each other,

    p₋·ρ ≤ 0  or  p₊·ρ ≤ 0,        ρ = Σ p over the trajectory, its two ends counted half,

or a part of it does that a doubling would have stopped at, or the energy error exceeds 1,000. The next state is drawn
from the trajectory by the weights e^{−H}: within a doubling in proportion to them, between the old part and the new
with a preference for the new, min(1, w_new/w_old). That leaves π invariant.

Doubling needs no recursion: the leaves of a new part are visited in order, and of the leaves before leaf n only those
are kept that begin a balanced part which ends at n or later, at most one for each of its levels.

Source: Hoffman & Gelman 2014, *The No-U-Turn Sampler*; Betancourt 2017, *A conceptual introduction to Hamiltonian Monte
Carlo*, Appendix A (weights, generalised criterion); Phan, Pradhan & Jankowiak 2019, arXiv:1912.11554 (no recursion).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from phys_monte_carlo.adaptation import WarmUp
from phys_monte_carlo.hmc import DIVERGENT, HMCState
from phys_monte_carlo.path import backwards, forwards
from phys_samplers.chains.chains import ChainRecord, ChainSampler, Run
from phys_samplers.chains.warmup import find_start, refuse_unborn
from phys_samplers.density import FlatDensity, LogDensity
from phys_samplers.options import draw_option

CERTAIN = 1e30
"""Log-weight of a point with density for a chain that began where there is none."""


class NUTSInfo(NamedTuple):
    """What happened in a step: mean acceptance over the trajectory (B,), its leaves (B,), which diverged (B,)."""

    acceptance: Tensor
    leaves: Tensor
    diverged: Tensor


class Branch(NamedTuple):
    """The new part of the trajectories of G chains, ``rows`` (G,) of all, as far as it is.

    Its outermost point with log p there, the sum of momenta, and of weights (as a logarithm); the point chosen from it.
    """

    rows: Tensor
    x: Tensor
    momentum: Tensor
    score: Tensor
    total: Tensor
    log_weight: Tensor
    chosen: HMCState

    def select(self, index: Tensor) -> Branch:
        """Those at ``index``."""
        rows, x, momentum, score, total, log_weight = (part[index] for part in self[:6])
        chosen = HMCState(*(part[index] for part in self.chosen))
        return Branch(rows, x, momentum, score, total, log_weight, chosen)


class Trajectory:
    """The trajectories of B chains, as far as they are.

    Args:
        state: where they begin.
        momentum: p (B, D).
        log_density: log π and its gradient.
        step_size: h, 0-d.
        factor: F, a matrix (D, D) or the diagonal (D,) of one.
        generator: of all draws.
    """

    def __init__(
        self,
        state: HMCState,
        momentum: Tensor,
        log_density: LogDensity,
        *,
        step_size: Tensor | float,
        factor: Tensor,
        generator: torch.Generator,
    ) -> None:
        self._log_density, self._h, self._factor, self._generator = log_density, step_size, factor, generator
        self._joint = state.log_prob - 0.5 * momentum.square().sum(1)
        self._ends = [torch.stack([part, part]) for part in (state.x, momentum, state.score)]  # backwards, forwards
        self._total, self._log_weight = momentum.clone(), torch.zeros_like(state.log_prob)
        self.chosen = HMCState(*(part.clone() for part in state))
        self.acceptance, self.leaves = torch.zeros_like(self._joint), torch.zeros_like(self._joint)
        self.diverged = torch.zeros_like(self._joint, dtype=torch.bool)

    def double(self, rows: Tensor, depth: int) -> Tensor:
        """Double the trajectories of chains ``rows`` (G,) of 2^depth leaves; those (G',) that may go on.

        Every leapfrog step asks for the chains that still grow, and for no other.
        """
        side = torch.randint(2, (len(rows),), generator=self._generator, device=rows.device)
        branch = self._grow(rows, side, depth)
        rows, side = branch.rows, side[torch.searchsorted(rows, branch.rows)]
        log_weight = self._log_weight[rows]
        self._choose(branch, self._log_uniform(log_weight) < branch.log_weight - log_weight)
        self._log_weight[rows] = torch.logaddexp(log_weight, branch.log_weight)
        self._total[rows] += branch.total
        for ends, part in zip(self._ends, (branch.x, branch.momentum, branch.score), strict=True):
            ends[side, rows] = part
        first, last = self._ends[1][:, rows]
        return rows[~turning(first, last, self._total[rows])]

    def _grow(self, rows: Tensor, side: Tensor, depth: int) -> Branch:
        """As many new leaves, from the ends on ``side``; without chains that turned or diverged on the way."""
        x, momentum, score = (ends[side, rows] for ends in self._ends)
        step = (self._h * (2 * side - 1).to(x)).unsqueeze(1)
        nothing = torch.full_like(x[:, 0], -torch.inf)
        nowhere = HMCState(*(part[rows] for part in self.chosen))
        branch = Branch(rows, x, momentum, score, torch.zeros_like(x), nothing, nowhere)
        kept: list[tuple[Tensor, Tensor]] = []
        for leaf in range(2**depth):
            branch, alive = self._leaf(branch, step)
            level = (leaf >> 1).bit_count()
            if leaf % 2 == 0:
                del kept[level:]
                kept.append((branch.momentum, branch.total))
            else:
                ones = (leaf ^ (leaf + 1)).bit_length() - 1  # parts that end here: trailing ones of the leaf's number
                for first, before in kept[level - ones + 1 : level + 1]:
                    alive &= ~turning(first, branch.momentum, branch.total - before + first)
            (index,) = torch.nonzero(alive, as_tuple=True)
            if len(index) < len(alive):
                branch, step = branch.select(index), step[index]
                kept = [(first[index], before[index]) for first, before in kept]
                if not len(index):
                    break
        return branch

    def _leaf(self, branch: Branch, step: Tensor) -> tuple[Branch, Tensor]:
        """One leapfrog step further, and which chains (G,) did not diverge in it."""
        p = branch.momentum + (0.5 * step) * backwards(self._factor, branch.score)
        # where a trajectory overflows the density is asked at the origin; the momentum has overflowed too
        x = (branch.x + step * forwards(self._factor, p)).nan_to_num_(0.0, 0.0, 0.0)
        log_prob, score = self._log_density(x)
        p = p + (0.5 * step) * backwards(self._factor, score)
        gain = log_prob - 0.5 * p.square().sum(1) - self._joint[branch.rows]
        gain = gain.nan_to_num(-torch.inf, CERTAIN, -torch.inf)
        alive = gain > -DIVERGENT
        self.acceptance.index_add_(0, branch.rows, gain.clamp(max=0.0).exp())
        self.leaves.index_add_(0, branch.rows, torch.ones_like(gain))
        self.diverged[branch.rows] = ~alive
        log_weight = torch.logaddexp(branch.log_weight, gain)
        taken = self._log_uniform(gain) < gain - log_weight
        there = HMCState(x, log_prob, score)
        return Branch(
            branch.rows, x, p, score, branch.total + p, log_weight, _where(taken, there, branch.chosen)
        ), alive

    def _choose(self, branch: Branch, taken: Tensor) -> None:
        old = HMCState(*(part[branch.rows] for part in self.chosen))
        for part, new in zip(self.chosen, _where(taken, branch.chosen, old), strict=True):
            part[branch.rows] = new

    def _log_uniform(self, like: Tensor) -> Tensor:
        return torch.rand(like.shape, generator=self._generator, device=like.device, dtype=like.dtype).log_()


def _where(condition: Tensor, yes: HMCState, no: HMCState) -> HMCState:
    wide = condition.unsqueeze(1)
    return HMCState(
        torch.where(wide, yes.x, no.x),
        torch.where(condition, yes.log_prob, no.log_prob),
        torch.where(wide, yes.score, no.score),
    )


def turning(first: Tensor, last: Tensor, total: Tensor) -> Tensor:
    """Whether (B,) trajectories with momenta ``first`` and ``last`` at their ends, ``total`` in all, turn; (B, D)."""
    inner = total - 0.5 * (first + last)
    return ((first * inner).sum(1) <= 0) | ((last * inner).sum(1) <= 0)


def step(
    state: HMCState,
    log_density: LogDensity,
    *,
    step_size: Tensor | float,
    factor: Tensor,
    momentum: Tensor,
    generator: torch.Generator,
    max_depth: int,
) -> tuple[HMCState, NUTSInfo]:
    """One trajectory and the state drawn from it: one evaluation of the chains that still grow per leapfrog step.

    Args:
        state: of all chains.
        log_density: log π and its gradient.
        step_size: h > 0.
        factor: F with FFᵀ = M⁻¹, a matrix (D, D) or the diagonal (D,) of one.
        momentum: standard normal (B, D).
        generator: of directions and choices.
        max_depth: doublings after which a trajectory ends anyway.
    """
    trajectory = Trajectory(state, momentum, log_density, step_size=step_size, factor=factor, generator=generator)
    rows = torch.arange(len(momentum), device=momentum.device)
    for depth in range(max_depth):
        rows = trajectory.double(rows, depth)
        if not len(rows):
            break
    leaves = trajectory.leaves
    return trajectory.chosen, NUTSInfo(trajectory.acceptance / leaves.clamp(min=1), leaves, trajectory.diverged)


@dataclass(frozen=True, kw_only=True)
class NUTS(ChainSampler):
    """The No-U-Turn Sampler: unbiased; length of trajectories, step size and masses find themselves.

    A step is a trajectory that is doubled until it turns back. One step size and one mass matrix serve all chains: dual
    averaging moves the first towards the wanted acceptance, averaged over chains, and the second is the inverse of the
    variances of all chains in doubling windows. Both are then frozen; only states after the warm-up are kept.

    Args:
        step_size: h at the start; with ``warmup_steps=0`` for the whole run, with unit masses.
        warmup_steps: trajectories that adapt, part of ``sampling_steps``.
        target_acceptance: acceptance to adapt to, averaged over the points of a trajectory.
        max_depth: a trajectory has at most 2^max_depth − 1 leapfrog steps.
        dense: whether masses are a full matrix, for targets with strong correlations; else a diagonal one.
        ascent_steps: uphill for lost chains, at most, before the warm-up; each costs a gradient (``chains.warmup``).
    """

    sampling_steps: int = draw_option(150, least=1)
    step_size: float = draw_option(0.1, above=0)
    warmup_steps: int = draw_option(75, least=0)
    target_acceptance: float = draw_option(0.85, above=0, below=1)
    max_depth: int = draw_option(10, least=1, most=20)
    dense: bool = draw_option(False)
    ascent_steps: int = draw_option(60, least=0)

    @property
    def burn_in(self) -> int:
        """The warm-up."""
        return self.warmup_steps

    def run(self, source: FlatDensity, x: Tensor, *, generator: torch.Generator, record: ChainRecord) -> Run:
        """Warm up, then sample; see ``ChainSampler.run``."""
        start = find_start(source, x, steps=self.ascent_steps if self.warmup_steps else 0)
        warm_up = WarmUp(
            self.warmup_steps,
            step_size=self.step_size,
            goal=self.target_acceptance,
            like=x.unsqueeze(0),
            scale=start.scale,
            dense=self.dense,
        )
        state, before = HMCState(start.x, start.log_prob, start.score), source.evaluations
        acceptance, lengths = x.new_zeros(()), x.new_zeros(2, dtype=torch.float64)  # while warming up, and after
        divergences = torch.zeros((), dtype=torch.int64, device=x.device)
        for index in range(self.sampling_steps):
            state, info = step(
                state,
                source.log_prob_and_score,
                step_size=warm_up.step_size[0],
                factor=warm_up.factor[0],
                momentum=torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype),
                generator=generator,
                max_depth=self.max_depth,
            )
            lengths[int(index >= self.warmup_steps)] += info.leaves.sum()
            if index < self.warmup_steps:
                warm_up.observe(state.x.unsqueeze(0), info.acceptance.unsqueeze(0))
            else:
                acceptance += info.acceptance.mean()
                divergences += info.diverged.sum()
            record.observe(state.x)
        refuse_unborn(state.x, state.log_prob, steps=self.sampling_steps, by="nuts")
        kept = self.sampling_steps - self.warmup_steps
        facts = {
            "acceptance": float(acceptance) / kept,
            "divergences": int(divergences),
            "moved": int(start.moved),
            "leapfrog_steps": float(lengths[1]) / (kept * len(x)),
            "step_size": float(warm_up.step_size),
            "warmup_steps": self.warmup_steps,
        }
        return Run(before + float(lengths.sum()) / len(x), facts)
