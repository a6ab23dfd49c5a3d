"""Annealed importance sampling as a recipe: independent particles through tempered densities, with exact weights."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from phys_monte_carlo.annealing import anneal
from phys_monte_carlo.population import PathSampler, course
from phys_samplers.density import FlatDensity
from phys_samplers.diagnostics import tail_facts
from phys_samplers.options import draw_option
from phys_samplers.randomness import make_generator
from phys_samplers.sampler import Draw

Schedule = Literal["adaptive", "linear", "geometric", "sigmoid"]
FIRST = -4
"""log₁₀ of the first β of a geometric schedule."""
RADIUS = 4.0
"""A sigmoid schedule is the logistic function on ±RADIUS, rescaled to [0, 1]."""


@dataclass(frozen=True, kw_only=True)
class AIS(PathSampler):
    """Annealed importance sampling (Neal 2001): weighted samples, independent given the pilot runs; Ẑ is unbiased.

    Step sizes, and with "adaptive" the temperatures, come from a small rehearsal that is thrown away.

    Args:
        temperatures: steps from the reference to the target; 1 + temperatures · moves · leapfrog_steps gradients a
            sample, beside the pilot runs.
        schedule: of β: "adaptive", as the rehearsal found it by conditional ESS; or "linear", "geometric", "sigmoid".
        adjusted: True tests moves. False never refuses and corrects the weights instead; with ``leapfrog_steps=1``
            these are steps of the unadjusted Langevin algorithm. Ask for a ``target_acceptance`` near one then.
    """

    temperatures: int = draw_option(64, least=1)
    schedule: Schedule = draw_option("adaptive")
    adjusted: bool = draw_option(True)
    moves: int = draw_option(1, least=1)

    def simulate(self, density: FlatDensity, n: int, *, seed: int, like: Tensor) -> Draw:
        """See ``PathSampler.simulate``; the draw has ``log_weights``, whose mean exponential estimates Z.

        Diagnostics: ``log_z`` with ``log_z_std`` by the delta method, ``log_z_tail`` and ``log_z_at_least``
        (see ``diagnostics.tail_facts``); ``elbo``, the mean log weight; ``ess``, of the
        weights per sample; ``temperatures``, ``betas``, ``acceptance``, ``acceptance_min``, ``reference`` (the one
        taken), ``pilot_nfe``.
        """
        path, rows, reference = self.prepare(density, seed=seed, like=like)
        rehearsal, more = self.rehearse(path, seed=seed, like=like)
        if self.schedule == "adaptive":
            plan = rehearsal.plan.stretched(self.temperatures)
        else:
            betas = schedule(self.schedule, self.temperatures)
            plan = rehearsal.plan.on(betas.to(rehearsal.plan.betas))
        rules = self.rules(threshold=None, adjusted=self.adjusted)
        run = anneal(path, n, rules=rules, generator=make_generator(seed, "noise", device=like.device), plan=plan)
        log_weights = run.log_weights + (run.log_z + math.log(n))
        elbo = float(log_weights.mean())
        facts = {
            "log_z": float(run.log_z),
            "log_z_std": float(run.variance) ** 0.5 if n > 1 else None,
            "elbo": elbo if math.isfinite(elbo) else None,
            "ess": float(1 / (n * (2 * run.log_weights).exp().sum())),
            **tail_facts(path.gain(run.particles)),
            **course(run),
            "reference": reference,
            "pilot_nfe": (rows + more) / n,
        }
        samples = density.embed(path.place(run.particles.u))
        return Draw(samples, (rows + more) / n + run.evaluations, facts, log_weights)


def schedule(name: str, temperatures: int) -> Tensor:
    """β (T,) in double precision, rising to 1.

    Args:
        name: "linear", "geometric" (from 10⁻⁴) or "sigmoid".
        temperatures: T.
    """
    if name == "geometric":
        betas = torch.logspace(FIRST, 0, temperatures, dtype=torch.float64)
    else:
        t = torch.linspace(0, 1, temperatures + 1, dtype=torch.float64)
        curve = torch.sigmoid(RADIUS * (2 * t - 1)) if name == "sigmoid" else t
        betas = ((curve - curve[0]) / (curve[-1] - curve[0]))[1:]
    betas[-1] = 1.0
    return betas
