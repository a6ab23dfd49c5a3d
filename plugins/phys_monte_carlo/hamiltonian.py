"""Hamiltonian Monte Carlo as a recipe: many chains whose step size and masses find themselves."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from phys_monte_carlo.adaptation import WarmUp
from phys_monte_carlo.trajectories import TrajectorySampler
from phys_samplers.chains.chains import Run
from phys_samplers.chains.checks import refuse_lost
from phys_samplers.chains.record import ChainRecord
from phys_samplers.chains.transitions import hmc
from phys_samplers.density import FlatDensity


@dataclass(frozen=True, kw_only=True)
class HMC(TrajectorySampler):
    """Hamiltonian Monte Carlo: unbiased; step size and diagonal masses find themselves during a warm-up.

    One step size and one mass matrix serve all chains: dual averaging moves the first towards the wanted acceptance,
    averaged over chains, and the second is the inverse of the variances of all chains in doubling windows. Both are
    then frozen, and only states after the warm-up are kept. A step is a whole trajectory, and every leapfrog step in it
    costs a gradient.

    Chains in modes that they do not leave make the masses those of the spread *between* modes too; the step size
    makes up for it where the modes are about round.
    """

    def run(self, source: FlatDensity, x: Tensor, *, generator: torch.Generator, record: ChainRecord) -> Run:
        """Warm up, then sample; see ``ChainSampler.run``."""
        lengths = self.lengths(generator)
        warm_up = WarmUp(self.warmup_steps, step_size=self.step_size, goal=self.target_acceptance, like=x.unsqueeze(0))
        state = hmc.init(x, source.log_prob_and_score)
        acceptance, divergences = x.new_zeros(()), torch.zeros((), dtype=torch.int64, device=x.device)
        for index, length in enumerate(lengths):
            noise = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
            log_uniform = torch.rand(len(x), generator=generator, device=x.device, dtype=x.dtype).log_()
            state, info = hmc.step(
                state,
                source.log_prob_and_score,
                step_size=warm_up.step_size[0],
                steps=length,
                noise=noise,
                log_uniform=log_uniform,
                inverse_mass=warm_up.inverse_mass[0],
            )
            if index < self.warmup_steps:
                warm_up.observe(state.x.unsqueeze(0), info.acceptance.unsqueeze(0))
            else:
                acceptance += info.acceptance.mean()
                divergences += info.diverged.sum()
            record.observe(state.x)
        refuse_lost(
            state.x,
            alive=state.log_prob.isfinite(),
            step=self.sampling_steps,
            total=self.sampling_steps,
            by="hmc",
            advice="they started where the density is zero or not finite; start them nearer (start, prior_std)",
        )
        facts = {
            "acceptance": float(acceptance) / (self.sampling_steps - self.warmup_steps),
            "divergences": int(divergences),
            "step_size": float(warm_up.step_size),
            "mass_ratio": float(warm_up.inverse_mass.max() / warm_up.inverse_mass.min()),
            "warmup_steps": self.warmup_steps,
        }
        return Run(source.evaluations, facts)
