r"""Particles led along the path from reference to target: sequential Monte Carlo and annealed importance sampling.

At every temperature particles are weighted by w = e^{(β' − β) g}, resampled if too few weigh anything, and moved by
kernels that keep p_β'. The estimate of log Z is Σ_t log Σ_i W_i w_i. Temperatures, step sizes and spreads are either
found on the way, from the particles themselves (consistent, with a bias of Ẑ of order 1/n), or given by a ``Plan`` that
was made before (Ẑ is then unbiased).

Source: Del Moral, Doucet & Jasra 2006, *Sequential Monte Carlo samplers*, Section 3.3.2.3 (weights before moves); Neal
2001, *Annealed importance sampling*, Section 2; Beskos, Jasra, Kantas & Thiery 2016 (adaptive versions).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from phys_monte_carlo.path import (
    Particles,
    Path,
    draw_noise,
    first_step,
    longest_step,
    move,
    next_temperature,
    precise,
    step_change,
)
from phys_monte_carlo.resampling import log_thinning, relative_variance, systematic
from phys_samplers.errors import DivergenceError

TINY = 1e-6
"""Least spread of a coordinate, and what is added to a covariance, relative to its diagonal."""


class Plan(NamedTuple):
    """β (T,), rising to 1, with log h (T,) and the spread (T, K) or (T, K, K) used for the moves that keep p_β."""

    betas: Tensor
    log_steps: Tensor
    spreads: Tensor

    def stretched(self, temperatures: int) -> Plan:
        """The same course in ``temperatures`` steps: between its own it is followed linearly."""
        steps = torch.arange(1, temperatures + 1, dtype=self.betas.dtype, device=self.betas.device)
        plan = self._at(steps * (len(self.betas) / temperatures))
        plan.betas[-1] = 1.0  # also where steps · (T/T') is not quite T
        return plan

    def on(self, betas: Tensor) -> Plan:
        """Step sizes and spreads for other temperatures (T',), in (0, 1]."""
        ends = torch.cat([torch.zeros_like(self.betas[:1]), self.betas])
        below = (torch.searchsorted(ends, betas.to(ends)) - 1).clamp(0, len(self.betas) - 1)
        position = below + (betas - ends[below]) / (ends[below + 1] - ends[below])
        return self._at(position)._replace(betas=betas.to(self.betas))

    def _at(self, position: Tensor) -> Plan:
        """Between row ⌊p⌋ and row ⌈p⌉, counted from one; row zero is β = 0."""
        below = position.floor().long().clamp(0, len(self.betas) - 1)
        part = (position - below).clamp(0, 1)

        def between(rows: Tensor, first: Tensor) -> Tensor:
            rows = torch.cat([first, rows])
            share = part.to(rows).view(-1, *[1] * (rows.ndim - 1))
            return torch.lerp(rows[below], rows[below + 1], share)

        return Plan(
            between(self.betas, torch.zeros_like(self.betas[:1])),
            between(self.log_steps, self.log_steps[:1]),
            between(self.spreads, self.spreads[:1]),
        )


def spread_of(x: Tensor, weights: Tensor, *, dense: bool) -> Tensor:
    """Standard deviations (K,) of weighted rows (n, K), or the Cholesky factor (K, K) of their covariance.

    The covariance is drawn towards its diagonal by the share K/(n + K).

    Args:
        x: rows.
        weights: normalised (n,).
        dense: whether correlations count.
    """
    weights = weights.to(x)
    centred = x - weights @ x
    if not dense:
        return (weights @ centred.square()).sqrt().clamp(min=TINY)
    n, dim = x.shape
    covariance = (centred * weights.unsqueeze(1)).T @ centred
    variances = covariance.diagonal().clamp(min=TINY**2)
    kept = n / (n + dim)
    return torch.linalg.cholesky(kept * covariance + torch.diag((1 - kept + TINY) * variances))


MOST = 10_000
"""Temperatures after which a path is given up."""


@dataclass(frozen=True, kw_only=True)
class Rules:
    """How particles are led.

    Args:
        share: ρ, of the conditional ESS that every step keeps.
        threshold: resample when ESS/n falls below it, and at the end; None never resamples.
        moves: per temperature.
        leapfrog_steps: L of a move; 1 is Langevin.
        target_acceptance: of moves, for the step size.
        adjusted: whether moves are tested; without, weights carry their imbalance.
        dense: whether the spread of the particles is a full covariance, or variances only.
    """

    share: float
    threshold: float | None
    moves: int
    leapfrog_steps: int
    target_acceptance: float
    adjusted: bool = True
    dense: bool = False


class Annealed(NamedTuple):
    """Where a run ended.

    ``log_weights`` (n,) are normalised; ``log_z`` and ``variance`` (0-d) are log Ẑ and its estimated variance;
    ``families`` (n,) are ancestors in the first generation; ``plan`` is what was done, with mean ``acceptance`` (T,);
    ``evaluations`` are per particle.
    """

    particles: Particles
    log_weights: Tensor
    log_z: Tensor
    variance: Tensor
    families: Tensor
    plan: Plan
    acceptance: Tensor
    resamplings: int
    evaluations: int


class Population:
    """Weighted particles on their way.

    Args:
        path: that they follow.
        n: how many.
        generator: of all draws.
    """

    def __init__(self, path: Path, n: int, generator: torch.Generator) -> None:
        self.n, self._path, self._generator = n, path, generator
        self.particles = path.start(n, generator)
        self.families = torch.arange(n, device=self.particles.u.device)
        self.beta = precise(self.particles.u.new_zeros(()))
        self.log_weights = torch.full_like(self.beta, -math.log(n)).expand(n)
        self.log_z = self.beta
        self.log_kappa = self.beta + (math.log1p(-1 / n) if n > 1 else 0.0)
        self.resamplings = 0
        self.evaluations = 1

    @property
    def weights(self) -> Tensor:
        """W (n,)."""
        return self.log_weights.exp()

    @property
    def variance(self) -> Tensor:
        """Estimated variance (0-d) of log Ẑ as it is now."""
        return relative_variance(self.weights, self.families, self.log_kappa)

    def weigh(self, log_factors: Tensor) -> None:
        """Multiply weights by factors (n,); what they sum to goes to log Ẑ."""
        log_weights = self.log_weights + log_factors
        total = log_weights.logsumexp(0)
        self.log_weights, self.log_z = log_weights - total, self.log_z + total

    def heat(self, beta: Tensor, gain: Tensor) -> None:
        """Weigh for the step to ``beta`` (0-d), by the gains (n,)."""
        self.weigh((beta - self.beta) * gain)
        self.beta = beta

    def resample(self) -> None:
        """Make all weights equal."""
        weights = self.weights
        self.log_kappa = self.log_kappa + log_thinning(weights)
        uniform = torch.rand((), generator=self._generator, device=weights.device, dtype=weights.dtype)
        chosen = systematic(weights, self.n, uniform=uniform)
        self.particles, self.families = self.particles.select(chosen), self.families[chosen]
        self.log_weights = torch.full_like(weights, -math.log(self.n))
        self.resamplings += 1

    def move(self, *, log_step: Tensor, spread: Tensor, rules: Rules) -> Tensor:
        """One move of all; its mean acceptance (0-d)."""
        moved = move(
            self.particles,
            self._path,
            self.beta.to(self.particles.u),
            step_size=log_step.exp(),
            steps=rules.leapfrog_steps,
            spread=spread,
            noise=draw_noise(self.particles.u, self._generator),
            adjusted=rules.adjusted,
        )
        self.particles = moved.particles
        self.evaluations += rules.leapfrog_steps
        if not rules.adjusted:
            # +∞ is for those who come from where there is no density, whose weight is zero already
            self.weigh(precise(moved.log_ratio).nan_to_num(posinf=0.0, neginf=-math.inf))
        return moved.acceptance.mean()

    def check(self, total: float, beta: float) -> None:
        """Refuse an estimate that is no number."""
        if not math.isfinite(total):
            raise DivergenceError(
                f"{self.n} of {self.n} particles are lost at β = {beta:.3g}: log Ẑ is {total}; the density is zero or "
                "not finite wherever they are; start them nearer or wider (prior_std), or check the density",
                lost=self.n,
                total=self.n,
                step=self.resamplings,
            )


def anneal(path: Path, n: int, *, rules: Rules, generator: torch.Generator, plan: Plan | None = None) -> Annealed:
    """Lead ``n`` particles from the reference to the target.

    Waits for the device once per temperature; with a plan and without resampling never but at the end.

    Args:
        path: to follow.
        n: particles.
        rules: how.
        generator: of all draws.
        plan: temperatures, step sizes and spreads to keep to; None finds them on the way.

    Raises:
        DivergenceError: if no particle has a finite density, or the target is out of reach.
    """
    population = Population(path, n, generator)
    log_step = population.particles.u.new_full((), math.log(first_step(path.dim, rules.leapfrog_steps)))
    highest = math.log(longest_step(rules.leapfrog_steps))
    done: list[tuple[Tensor, Tensor, Tensor]] = []
    acceptances: list[Tensor] = []
    for index in range(MOST):
        gain = path.gain(population.particles)
        if plan is None:
            beta = next_temperature(population.weights, gain, population.beta, share=rules.share)
        else:
            beta = plan.betas[index]
        population.heat(beta, gain)
        last = plan is not None and index + 1 == len(plan.betas)
        if plan is None or rules.threshold is not None:
            ess = 1 / (n * population.weights.square().sum())
            reached, effective, total = torch.stack([beta, ess, population.log_z]).tolist()
            population.check(total, reached)
            last = last if plan is not None else reached >= 1
            if last:
                variance = population.variance
            if rules.threshold is not None and (last or effective < rules.threshold):
                population.resample()
        if plan is None:
            spread = spread_of(population.particles.u, population.weights, dense=rules.dense)
        else:
            log_step, spread = plan.log_steps[index], plan.spreads[index]
        for _ in range(rules.moves):
            acceptance = population.move(log_step=log_step, spread=spread, rules=rules)
            acceptances.append(acceptance)
            if plan is None:
                log_step = (log_step + step_change(acceptance, rules.target_acceptance)).clamp(max=highest)
        done.append((beta, log_step, spread))
        if last:
            break
    else:
        raise DivergenceError(
            f"β is {float(population.beta):.3g} after {MOST} temperatures; the target is too far from where particles "
            "start: start them nearer (prior_std), or keep a smaller share of them",
            lost=n,
            total=n,
            step=MOST,
        )
    if rules.threshold is None:
        population.check(float(population.log_z), 1.0)
        variance = population.variance
    return Annealed(
        particles=population.particles,
        log_weights=population.log_weights,
        log_z=population.log_z,
        variance=variance,
        families=population.families,
        plan=Plan(*(torch.stack(column) for column in zip(*done, strict=True))),
        acceptance=torch.stack(acceptances).unflatten(0, (-1, rules.moves)).mean(1),
        resamplings=population.resamplings,
        evaluations=population.evaluations,
    )
