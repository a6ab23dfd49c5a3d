r"""Parallel tempering: ladders of chains between a Gaussian reference and the target, whose neighbours swap states.

With the reference r = N(0, s² I), normalised, and the unnormalised target p, rung β has the law

    π_β ∝ r^{1−β} p^β,        ℓ = log p − log r,        0 = β_1 < … < β_K = 1.

A swap of neighbours exchanges their states with probability min(1, exp((β_{k+1} − β_k)(ℓ(z_k) − ℓ(z_{k+1})))). Even
and odd pairs take turns without a coin, which makes a state's way between the ends ballistic. With ρ_k the rates of
rejection, Λ = Σ_k ρ_k hardly depends on a fine ladder (the communication barrier of r and p); equal ρ_k are best, and a
ladder that divides the cumulative barrier equally has them; K of about 2Λ costs least. Round trips then come at the
rate 1/(2 + 2Σ_k ρ_k/(1 − ρ_k)) per step if states forget their ℓ between swaps.

Between neighbours the ratio of normalisers is the geometric bridge, whose two averages are both of half the exponent,

    Z_{k+1}/Z_k = E_k[exp(½ Δβ ℓ)] / E_{k+1}[exp(−½ Δβ ℓ)].

Source: Syed, Bouchard-Côté, Deligiannidis & Doucet 2022, *Non-reversible parallel tempering*, Sections 3 (round trips),
4 (barrier) and 5 (ladder), Algorithms 1 and 4, with a linear in place of their cubic interpolation; Meng & Wong 1996,
*Simulating ratios of normalizing constants via a simple identity* (bridge).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from phys_monte_carlo import hmc
from phys_monte_carlo.adaptation import WarmUp
from phys_monte_carlo.hmc import HMCInfo, TrajectorySampler
from phys_samplers.chains.chains import ChainRecord, Run
from phys_samplers.density import FlatDensity, refuse_lost
from phys_samplers.options import draw_option


def reference_log_prob(z: Tensor, std: float) -> Tensor:
    """log N(z; 0, std² I) (...,) at z (..., D)."""
    return -0.5 * z.square().sum(-1) / std**2 - z.shape[-1] * math.log(std * math.sqrt(2 * math.pi))


class Tempered:
    """log π_β and its gradient, with a β > 0 for every row; keeps what p was at the points last asked about.

    Args:
        source: p.
        betas: β (B,).
        std: s.

    Attributes:
        log_prob: log p (B,) at the last points.
        score: ∇log p (B, D) there.
    """

    log_prob: Tensor
    score: Tensor

    def __init__(self, source: FlatDensity, betas: Tensor, *, std: float) -> None:
        self._source, self._betas, self._std = source, betas, std

    def __call__(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """At new points z (B, D): one evaluation."""
        self.log_prob, self.score = self._source.log_prob_and_score(z)
        return self.mixed(z, self.log_prob, self.score)

    def mixed(self, z: Tensor, log_prob: Tensor, score: Tensor) -> tuple[Tensor, Tensor]:
        """Where log p and its gradient are known."""
        beta = self._betas.unsqueeze(1)
        return (
            self._betas * log_prob + (1 - self._betas) * reference_log_prob(z, self._std),
            beta * score - ((1 - beta) / self._std**2) * z,
        )


FLOOR = 1e-3
"""A pair of neighbours that never refused counts with this rate of rejection, so that no two rungs fall together."""
UNITS = 16
"""Ladders, or ladders times parts of the run, that the standard error of log Z is taken over, at least."""


def first_ladder(rungs: int, hottest: float, *, like: Tensor) -> Tensor:
    """β (K,): 0, then geometric from ``hottest`` to 1."""
    geometric = torch.logspace(math.log10(hottest), 0.0, rungs - 1, dtype=torch.float64)
    return torch.cat([torch.zeros(1, dtype=torch.float64), geometric]).to(like)


def equalised(betas: Tensor, rejection: Tensor) -> Tensor:
    """The ladder (K,) that divides the cumulative barrier, linear between the rungs of ``betas``, equally.

    Args:
        betas: rungs (K,) at which rates were measured.
        rejection: rates ρ_k (K − 1,) of refused swaps.
    """
    barrier = torch.cat([rejection.new_zeros(1), rejection.clamp(min=FLOOR).cumsum(0)])
    wanted = barrier[-1] * torch.arange(1, len(betas) - 1, dtype=betas.dtype, device=betas.device) / (len(betas) - 1)
    above = torch.searchsorted(barrier, wanted).clamp(1, len(betas) - 1)
    share = (wanted - barrier[above - 1]) / (barrier[above] - barrier[above - 1])
    inner = betas[above - 1].lerp(betas[above], share)
    return torch.cat([betas[:1], inner, betas[-1:]])


def swap_acceptance(betas: Tensor, log_ratio: Tensor) -> Tensor:
    """Acceptance probabilities (K − 1, B) of swapping neighbours, from ℓ (K, B); 0 where a ratio is not a number."""
    gain = betas.diff().unsqueeze(1) * (log_ratio[:-1] - log_ratio[1:])
    return gain.clamp(max=0.0).exp().nan_to_num(0.0)


def swap_order(acceptance: Tensor, uniform: Tensor, *, odd: bool) -> Tensor:
    """Where each rung takes its next state from (K, B), after the swaps of the even or of the odd pairs.

    Args:
        acceptance: probabilities (K − 1, B).
        uniform: draws on [0, 1), (K − 1, B).
        odd: whether pairs (1, 2), (3, 4), … of rungs counted from zero are tried instead of (0, 1), (2, 3), …
    """
    taken = uniform < acceptance
    taken[1 - int(odd) :: 2] = False
    order = torch.arange(len(taken) + 1, device=taken.device).unsqueeze(1).repeat(1, taken.shape[1])
    order[:-1] += taken.long()
    order[1:] -= taken.long()
    return order


class Tally:
    """Counts of a run: acceptance of moves and swaps, divergences, and journeys between the reference and the target.

    Args:
        rungs: K.
        ladders: B.
        like: device and precision.
    """

    def __init__(self, rungs: int, ladders: int, *, like: Tensor) -> None:
        self._steps, self._ladders = 0, ladders
        self._moves, self._swaps = like.new_zeros(rungs - 1), like.new_zeros(rungs - 1)
        self._divergences = self._trips = torch.zeros((), dtype=torch.int64, device=like.device)
        # the end a state has seen last: 0 none, 1 the reference, 2 the target
        self._seen = torch.zeros(rungs, ladders, dtype=torch.int8, device=like.device)
        self._seen[0], self._seen[-1] = 1, 2

    def observe(self, moves: HMCInfo, swaps: Tensor, order: Tensor) -> None:
        """Take in what moves did, (K − 1, B) each, the chances of swaps (K − 1, B), and where they led (K, B)."""
        self._steps += 1
        self._moves += moves.acceptance.mean(1)
        self._swaps += swaps.mean(1)
        self._divergences = self._divergences + moves.diverged.sum()
        self._seen = self._seen.gather(0, order)
        self._trips = self._trips + (self._seen[0] == 2).sum()
        self._seen[0], self._seen[-1] = 1, 2

    def facts(self) -> dict[str, Any]:
        """For the diagnostics of a draw.

        ``acceptance`` and ``divergences`` of moves on all rungs, ``swap_acceptance`` per pair of neighbours, their Σρ_k
        as ``communication_barrier``, ``round_trips`` of all ladders, and their rate per ladder and step.
        """
        swaps, trips = self._swaps / self._steps, int(self._trips)
        return {
            "acceptance": float(self._moves.mean()) / self._steps,
            "divergences": int(self._divergences),
            "swap_acceptance": swaps.tolist(),
            "communication_barrier": float((1 - swaps).sum()),
            "round_trips": trips,
            "round_trip_rate": trips / (self._steps * self._ladders),
        }


class Bridge:
    """log Z by the geometric bridge between neighbours, as a stream: no state is kept.

    Args:
        betas: rungs (K,), no longer changing.
        steps: how many sets of states will be seen.
        ladders: B.
    """

    def __init__(self, betas: Tensor, *, steps: int, ladders: int) -> None:
        self._half = 0.5 * betas.double().diff().unsqueeze(1)
        self._parts, self._steps, self._seen = min(steps, -(-UNITS // ladders)), steps, 0
        empty = torch.full((self._parts, len(betas) - 1, ladders), -math.inf, dtype=torch.float64, device=betas.device)
        self._below, self._above = empty, empty.clone()

    def observe(self, log_ratio: Tensor) -> None:
        """Take ℓ (K, B) of all rungs in."""
        part = self._seen * self._parts // self._steps
        self._seen += 1
        log_ratio = log_ratio.double()
        self._below[part] = torch.logaddexp(self._below[part], self._half * log_ratio[:-1])
        self._above[part] = torch.logaddexp(self._above[part], -self._half * log_ratio[1:])

    def log_z(self) -> tuple[float, float]:
        """log Z of the target and its standard error, by the spread over ladders (and parts of the run, if few).

        The error is that of the linearised estimate, so that everything that moves together within a ladder is in it.
        """
        below, above = (sums.transpose(0, 1).flatten(1) for sums in (self._below, self._above))  # (K − 1, parts · B)
        estimate = (below.logsumexp(1) - above.logsumexp(1)).sum()
        units = below.shape[1]
        influence = (below.softmax(1) - above.softmax(1)).sum(0) * units
        return float(estimate), float(influence.std() / math.sqrt(units))


class Rungs(NamedTuple):
    """States (K, B, D) with the target's log-density (K, B) and score (K, B, D) there."""

    x: Tensor
    log_prob: Tensor
    score: Tensor


@dataclass(frozen=True, kw_only=True)
class ParallelTempering(TrajectorySampler):
    """Non-reversible parallel tempering between N(0, prior_std² I) and the target, with Hamiltonian moves.

    Every chain is a ladder of K rungs. In a step each rung but the lowest moves by one trajectory, the lowest, which is
    the reference itself, is drawn anew, and then even or odd neighbours try to swap. Each rung has its own step size
    and masses. The ladder is equalised at the ends of the windows of the warm-up. Everything is frozen after it, and
    only states of the target's rung are kept. log Z comes with the samples.

    ``nfe`` counts the gradients of all rungs. The reference matters: one much wider than the target needs more rungs,
    and parts of the target far outside it are found late or never, which the stated error of log Z does not know
    (Neal's funnel, whose coordinates spread over hundreds, comes out 0.3 too low with the default).

    Args:
        temperatures: K, rungs of a ladder, the reference and the target among them; about twice the
            ``communication_barrier`` of the diagnostics is best.
        hottest: β of the lowest rung above the reference in the first ladder, which is geometric from there.
    """

    leapfrog_steps: int = draw_option(3, least=1)
    temperatures: int = draw_option(10, least=2)
    hottest: float = draw_option(0.01, above=0, below=1)

    def run(self, source: FlatDensity, x: Tensor, *, generator: torch.Generator, record: ChainRecord) -> Run:
        """Warm up, then sample; see ``ChainSampler.run``. Every rung starts at ``x``."""
        rungs, ladders = self.temperatures, len(x)
        state = Rungs(*(part.expand(rungs, *part.shape) for part in (x, *source.log_prob_and_score(x))))
        betas = first_ladder(rungs, self.hottest, like=x)
        warm_up = WarmUp(self.warmup_steps, step_size=self.step_size, goal=self.target_acceptance, like=state.x[1:])
        rejected, since = x.new_zeros(rungs - 1), 0
        lengths = self.lengths(generator)
        for index, length in enumerate(lengths):
            if index == self.warmup_steps:
                tally = Tally(rungs, ladders, like=x)
                bridge = Bridge(betas, steps=self.sampling_steps - index, ladders=ladders)
            state, info = self._move(state, source, betas, warm_up, length=length, generator=generator)
            log_ratio = state.log_prob - reference_log_prob(state.x, self.prior_std)
            chance = swap_acceptance(betas, log_ratio)
            uniform = torch.rand(chance.shape, generator=generator, device=x.device, dtype=x.dtype)
            order = swap_order(chance, uniform, odd=index % 2 == 1)
            if index < self.warmup_steps:
                rejected, since = rejected + (1 - chance).mean(1), since + 1
                if warm_up.observe(state.x[1:], info.acceptance):
                    betas, rejected, since = equalised(betas, rejected / since), torch.zeros_like(rejected), 0
            else:
                bridge.observe(log_ratio)
                tally.observe(info, chance, order)
            wide = order.unsqueeze(2).expand_as(state.x)
            state = Rungs(state.x.gather(0, wide), state.log_prob.gather(0, order), state.score.gather(0, wide))
            record.observe(state.x[-1])
        refuse_lost(
            state.x[-1],
            alive=state.log_prob[-1].isfinite(),
            steps=self.sampling_steps,
            by="parallel-tempering",
            advice="they never found where the density is positive; choose a prior_std that covers it",
        )
        log_z, log_z_std = bridge.log_z()
        facts = {
            "log_z": log_z,
            "log_z_std": log_z_std,
            **tally.facts(),
            "betas": betas.tolist(),
            "step_size": float(warm_up.step_size[-1]),
            "warmup_steps": self.warmup_steps,
        }
        return Run(1 + (rungs - 1) * sum(lengths) + self.sampling_steps, facts)

    def _move(
        self,
        state: Rungs,
        source: FlatDensity,
        betas: Tensor,
        warm_up: WarmUp,
        *,
        length: int,
        generator: torch.Generator,
    ) -> tuple[Rungs, hmc.HMCInfo]:
        """One trajectory on every rung but the lowest, as one batch, and fresh draws there."""
        rungs, ladders, dim = state.x.shape
        rows = (rungs - 1) * ladders
        where: dict[str, Any] = {"generator": generator, "device": state.x.device, "dtype": state.x.dtype}
        x, log_prob, score = (part[1:].flatten(0, 1) for part in state)
        density = Tempered(source, betas[1:].repeat_interleave(ladders), std=self.prior_std)
        moved, info = hmc.step(
            hmc.HMCState(x, *density.mixed(x, log_prob, score)),
            density,
            step_size=warm_up.step_size.repeat_interleave(ladders),
            steps=length,
            noise=torch.randn(rows, dim, **where),
            log_uniform=torch.rand(rows, **where).log_(),
            inverse_mass=warm_up.inverse_mass.repeat_interleave(ladders, 0),
        )
        upper = Rungs(
            moved.x,
            torch.where(info.accepted, density.log_prob, log_prob),
            torch.where(info.accepted.unsqueeze(1), density.score, score),
        )
        fresh = torch.randn(ladders, dim, **where).mul_(self.prior_std)
        lowest = Rungs(fresh, *source.log_prob_and_score(fresh))
        joined = (torch.cat(pair).unflatten(0, (rungs, ladders)) for pair in zip(lowest, upper, strict=True))
        return Rungs(*joined), hmc.HMCInfo(*(part.unflatten(0, (rungs - 1, ladders)) for part in info))
