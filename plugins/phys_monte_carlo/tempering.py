"""Parallel tempering as a recipe: ladders of chains from a Gaussian reference to the target, which exchange states."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from phys_monte_carlo.adaptation import WarmUp
from phys_monte_carlo.ladder import (
    Bridge,
    Tally,
    equalised,
    first_ladder,
    swap_acceptance,
    swap_order,
)
from phys_monte_carlo.tempered import Tempered, reference_log_prob
from phys_monte_carlo.trajectories import TrajectorySampler
from phys_samplers.chains.chains import Run
from phys_samplers.chains.checks import at_least, refuse_lost
from phys_samplers.chains.record import ChainRecord
from phys_samplers.chains.transitions import hmc
from phys_samplers.density import FlatDensity
from phys_samplers.errors import ConfigurationError


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

    leapfrog_steps: int = 3
    temperatures: int = 10
    hottest: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(2, temperatures=self.temperatures)
        if not 0 < self.hottest < 1:
            raise ConfigurationError(f"hottest is {self.hottest}; expected an inverse temperature between 0 and 1")

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
            step=self.sampling_steps,
            total=self.sampling_steps,
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
