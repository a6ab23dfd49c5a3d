"""Sequential Monte Carlo as a recipe: resampled particles through tempered densities, and log Z with its error."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from phys_monte_carlo.annealing import anneal
from phys_monte_carlo.population import FEWEST, PathSampler, course
from phys_monte_carlo.resampling import effective_share
from phys_samplers.density import FlatDensity
from phys_samplers.diagnostics import tail_facts
from phys_samplers.options import draw_option
from phys_samplers.randomness import make_generator
from phys_samplers.sampler import Draw


@dataclass(frozen=True, kw_only=True)
class SMC(PathSampler):
    """Sequential Monte Carlo sampler: samples of equal weight, and log Z with its error from one run.

    Temperatures, step sizes and resampling adapt to the target. log Z comes with a standard error estimated from the
    genealogy of the particles (Lee & Whiteley 2018), which does not see modes that no particle found. Every draw is a
    run of its own; samples of one draw are dependent as far as they are relatives (``ess``).

    Args:
        particles: of the run, from which the samples are drawn without replacement, as long as there are enough; None
            takes as many as samples, at least 256.
        temperatures: None lets the steps in temperature adapt. A number is kept to, so that the cost is known before:
            1 + temperatures · moves · leapfrog_steps gradients a particle, beside those of two pilot runs that find
            the course; all tuning is then done before the run, and the estimate of Z is unbiased.
        resample_below: ESS per particle below which particles are resampled.
    """

    particles: int | None = draw_option(None, least=16)
    temperatures: int | None = draw_option(None, least=1)
    resample_below: float = draw_option(0.5, least=0, most=1)

    def simulate(self, density: FlatDensity, n: int, *, seed: int, like: Tensor) -> Draw:
        """See ``PathSampler.simulate``.

        Diagnostics: ``log_z``, ``log_z_std``, ``log_z_tail`` and ``log_z_at_least`` (see ``diagnostics.tail_facts``);
        ``ess``, of the worst coordinate, from families; ``unique_ancestors``,
        the share of first particles with descendants; ``temperatures``, ``betas``, ``acceptance``, ``acceptance_min``
        (over temperatures), ``resamplings``, ``particles``, ``reference`` (the one taken), ``pilot_nfe`` (per sample).
        """
        path, rows, reference = self.prepare(density, seed=seed, like=like)
        plan = None
        if self.temperatures is not None:
            rehearsal, more = self.rehearse(path, seed=seed, like=like)
            plan, rows = rehearsal.plan.stretched(self.temperatures), rows + more
        size = max(n, FEWEST) if self.particles is None else self.particles
        generator = make_generator(seed, "noise", device=like.device)
        run = anneal(path, size, rules=self.rules(threshold=self.resample_below), generator=generator, plan=plan)
        # relatives are neighbours
        order = torch.randperm(size, generator=generator, device=like.device)
        chosen = order[torch.arange(n, device=like.device) % size]
        effective = float(effective_share(run.particles.u, run.families).nan_to_num(math.inf).min())
        facts = {
            "log_z": float(run.log_z),
            "log_z_std": float(run.variance) ** 0.5,
            "log_z_unbiased": True,  # but for a share of order 1/n where steps in temperature adapt
            "ess": min(effective, 1.0) * min(1.0, size / n),
            "unique_ancestors": len(run.families.unique()) / size,
            **tail_facts(path.gain(run.particles)),
            **course(run),
            "resamplings": run.resamplings,
            "particles": size,
            "reference": reference,
            "pilot_nfe": rows / n,
        }
        samples = density.embed(path.place(run.particles.u[chosen]))
        return Draw(samples, (rows + size * run.evaluations) / n, facts)
