r"""Laws between a Gaussian and a target, and walks along them with a learned drift and exact weights.

In units of the target's spread, π_β ∝ N(0, s₀² I)^{1−β} p̃^β with 0 = β_0 < … < β_K = 1. A drift b that carries π_t
along satisfies, with U = log p̃ − log N(0, s₀² I),

    ∇·b + b·∇log π_t + β̇ U − F = 0,        F = d log Z_t/dt = β̇ E[U].

Step k of a walk follows b for 1/K and, with ε > 0, Langevin dynamics of π_{k+1} for a time ε h_{k+1}:

    F(y|x) = N(x + b_k(x)/K + εh ∇log π_{k+1}(x), 2εh),    B(x|y) = N(y − b_k(y)/K + εh ∇log π_{k+1}(y), 2εh);

with ε = 0 it is the map y = x + b_k(x)/K. Weights are exact at every K, for every b:

    log w = log p̃(x_K) − log N(x_0; 0, s₀² I) + Σ_k log B/F     (ε = 0: + Σ_k log |det(I + ∇b_k(x_k)/K)|),    E[w] = Z.

With b = 0 they are those of annealed importance sampling with unadjusted Langevin moves. In continuous time they are
e^A, dA = (∇·b + b·∇log π_t + β̇ U) dt (Jarzynski), which at finite K is off by O(1/K): ``work``.

A pilot run finds β and h: sequential Monte Carlo with MALA moves and steps in β of equal conditional effective sample
size, whose course is then followed at equal distances.

Sources: Albergo & Vanden-Eijnden 2024, *NETS* (arXiv:2410.02711), Eq. 8, 14 and 20; Tian et al. 2024, *Liouville flow
importance sampler* (arXiv:2405.06672), Eq. 7; Vargas et al. 2024 (arXiv:2307.01050) for weights by kernels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from phys_samplers.chains import mala
from phys_samplers.paths import UnitDensity, log_normal, resample
from phys_samplers.randomness import make_generator

PARTICLES, MOVES, SHARE, MOST = 1_024, 4, 0.95, 1_000
"""Of the pilot: particles, moves at every β, conditional effective sample size of a step, steps at most."""
ACCEPTANCE, ADAPTS, LONGEST = 0.7, 0.4, 1.0
"""Of the pilot's moves, how fast log h follows it, and h at most."""
ROUNDS = 30
"""Halvings of a step in β."""


class Drift(Protocol):
    """What leads a walk of K steps."""

    def displacement(self, k: float, x: Tensor, steps: int) -> Tensor:
        """b_k(x)/K (R, B, D) at time k/K."""

    def with_log_det(self, k: float, x: Tensor, steps: int) -> tuple[Tensor, Tensor]:
        """The same with log |det(I + ∇b_k(x)/K)| (R, B)."""


@dataclass(frozen=True, eq=False)
class Interpolant:
    """A density with its course of β.

    Args:
        density: of the target.
        std: s₀.
        betas: (K + 1,).
        lengths: h (K + 1,), of Langevin dynamics at every β.
        energies: estimates (K + 1,) of E[U] under π_β.
    """

    density: UnitDensity
    std: float
    betas: Tensor
    lengths: Tensor
    energies: Tensor
    _elsewhere: dict[tuple[torch.device, torch.dtype], tuple[Tensor, Tensor]] = field(
        init=False, default_factory=dict, repr=False
    )

    def halves_and_gaps(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """β in the middle of every step and its change there (K,), where x is, copied there once."""
        key = x.device, x.dtype
        if key not in self._elsewhere:
            self._elsewhere[key] = (((self.betas[1:] + self.betas[:-1]) / 2).to(x), self.betas.diff().to(x))
        return self._elsewhere[key]

    @property
    def steps(self) -> int:
        """K."""
        return len(self.betas) - 1

    def prior(self, x: Tensor) -> Tensor:
        """log N(x; 0, s₀² I)."""
        return log_normal(x, self.std**2)

    def slope(self, x: Tensor, score: Tensor, beta: Tensor | float) -> Tensor:
        """∇log π_β, from the target's score."""
        return beta * score - (1 - beta) * x / self.std**2

    def evenly(self) -> Interpolant:
        """The same in equal steps of β, with the lengths and energies that belong to them."""
        betas = torch.linspace(0, 1, self.steps + 1, dtype=torch.float64)
        above = torch.searchsorted(self.betas, betas).clamp(1, self.steps)
        low, high = self.betas[above - 1], self.betas[above]
        at = above - 1 + (betas - low) / (high - low)
        return Interpolant(self.density, self.std, betas, _between(self.lengths, at), _between(self.energies, at))

    def finer(self, factor: int) -> Interpolant:
        """The same course in ``factor`` times as many steps."""
        at = torch.arange(self.steps * factor + 1, dtype=torch.float64) / factor
        return Interpolant(
            self.density,
            self.std,
            _between(self.betas, at),
            _between(self.lengths, at) / factor,
            _between(self.energies, at),
        )


def _between(values: Tensor, at: Tensor) -> Tensor:
    """Linear interpolation of ``values`` (n,) at positions in [0, n − 1]."""
    below = at.floor().long().clamp(max=len(values) - 2)
    return torch.lerp(values[below], values[below + 1], (at - below).to(values))


@torch.no_grad()
def piloted(density: UnitDensity, steps: int, *, std: float, device: torch.device | str = "cpu") -> Interpolant:
    """The interpolant of K ``steps`` that a pilot run finds; the same at every call.

    Args:
        density: of the target.
        steps: K.
        std: s₀.
        device: where the density computes.
    """
    generator = make_generator(0, "pilot", device=device)

    def normal() -> Tensor:
        return torch.randn(PARTICLES, density.dim, generator=generator, device=device)

    x = std * normal()
    value, _ = density.both(x)
    beta, length, course = 0.0, 0.3 * std**2, [(0.0, 0.3 * std**2)]
    energies = [float(_finite(value - log_normal(x, std**2)).mean())]
    while beta < 1 and len(course) <= MOST:
        gain = _finite(value - log_normal(x, std**2))
        step = _longest(gain, 1 - beta)
        beta = min(1.0, beta + step)
        chosen = torch.multinomial(torch.softmax(step * gain, 0), PARTICLES, True, generator=generator)
        x = x[chosen]

        def tempered(y: Tensor, beta: float = beta) -> tuple[Tensor, Tensor]:
            value, score = density.both(y)
            return beta * value + (1 - beta) * log_normal(y, std**2), beta * score - (1 - beta) * y / std**2

        state = mala.init(x, tempered)
        for _ in range(MOVES):
            uniform = torch.rand(PARTICLES, generator=generator, device=device).log_()
            state, info = mala.step(state, tempered, step_size=length, noise=normal(), log_uniform=uniform)
            length = min(LONGEST, length * math.exp(ADAPTS * (float(info.acceptance.mean()) - ACCEPTANCE)))
        x = state.x
        value, _ = density.both(x)
        course.append((beta, length))
        energies.append(float(_finite(value - log_normal(x, std**2)).mean()))
    at = torch.linspace(0, len(course) - 1, steps + 1, dtype=torch.float64)
    betas, lengths = torch.tensor(course, dtype=torch.float64).unbind(1)
    betas = _between(betas, at)
    betas[-1] = 1.0
    found = torch.tensor(energies, dtype=torch.float64)
    return Interpolant(density, std, betas, _between(lengths, at), _between(found, at))


def _finite(gain: Tensor) -> Tensor:
    return torch.nan_to_num(gain, nan=-1e30, neginf=-1e30, posinf=1e30)


def _longest(gain: Tensor, most: float) -> float:
    """The largest step in β that keeps ``SHARE`` of equally weighted particles effective."""

    def effective(step: float) -> float:
        log_weights = step * gain
        return float((2 * log_weights.logsumexp(0) - (2 * log_weights).logsumexp(0)).exp()) / len(gain)

    if effective(most) >= SHARE:
        return most
    low, high = 0.0, most
    for _ in range(ROUNDS):
        middle = (low + high) / 2
        low, high = (middle, high) if effective(middle) >= SHARE else (low, middle)
    return max(low, 1e-7)


class Walk(NamedTuple):
    """A walk of R replicas, B paths each.

    Args:
        states: (R, K + 1, B, D).
        values: log p̃ (R, K + 1, B) there.
        scores: (R, K + 1, B, D).
        log_weights: of the ends (R, B), exact at every K; the mean of their exponentials is Ẑ also with resampling.
        times: how often each replica was resampled (R,).
    """

    states: Tensor
    values: Tensor
    scores: Tensor
    log_weights: Tensor
    times: Tensor

    def last(self) -> Walk:
        """The ends alone."""
        return self._replace(states=self.states[:, -1:], values=self.values[:, -1:], scores=self.scores[:, -1:])


@torch.no_grad()
def walk(
    course: Interpolant,
    drift: Drift,
    start: Tensor,
    noise: Tensor | None,
    *,
    diffusion: float,
    until: int | None = None,
    uniform: Tensor | None = None,
    least: float | None = None,
) -> Walk:
    """Walk along the interpolant.

    Args:
        course: of K steps.
        drift: that is followed.
        start: standard normal (R, B, D), which becomes a state of the prior.
        noise: standard normal (R, K, B, D); None for none, where ``diffusion`` is 0.
        diffusion: ε.
        until: stop after so many steps; weights are then those of the law there.
        uniform: on [0, 1), (R, K), for resampling.
        least: share of paths that are to be effective; None never resamples.
    """
    density, x = course.density, course.std * start
    value, score = density.both(x)
    law = course.prior(x)
    log_weights, times = torch.zeros_like(law), torch.zeros_like(law[:, 0])
    states, values, scores = [x], [value], [score]
    last = (until or course.steps) - 1
    for k in range(last + 1):
        beta, length = float(course.betas[k + 1]), diffusion * float(course.lengths[k + 1])
        if diffusion:
            assert noise is not None
            kick = math.sqrt(2 * length) * noise[:, k]
            y = x + drift.displacement(k, x, course.steps) + length * course.slope(x, score, beta) + kick
            value, score = density.both(y)
            back = y - drift.displacement(k, y, course.steps) + length * course.slope(y, score, beta)
            change = log_normal(x - back, 2 * length) - log_normal(kick, 2 * length)
        else:
            moved, change = drift.with_log_det(k, x, course.steps)
            y = x + moved
            value, score = density.both(y)
        after = beta * value + (1 - beta) * course.prior(y) if beta < 1 else value
        log_weights = log_weights + after - law + change
        x, law = y, after
        states, values, scores = [*states, x], [*values, value], [*scores, score]
        if least is not None and k < last:
            assert uniform is not None
            index, log_weights, few = resample(log_weights, uniform[:, k, None], least=least)
            rows = index[..., None].expand(-1, -1, x.shape[-1])
            x, score = x.gather(1, rows), score.gather(1, rows)
            law, value = law.gather(1, index), value.gather(1, index)
            times = times + few[:, 0]
    return Walk(torch.stack(states, 1), torch.stack(values, 1), torch.stack(scores, 1), log_weights, times)


def work(course: Interpolant, drift: Drift, seen: Walk, divergences: Tensor) -> Tensor:
    """A (R, B) by Euler steps along a walk that was not resampled; e^A is unbiased in continuous time alone.

    Args:
        course: of K steps.
        drift: that was followed.
        seen: the walk.
        divergences: ∇·b (R, K, B) at its states but the last.
    """
    total = torch.zeros_like(seen.values[:, 0])
    for k in range(course.steps):
        x, beta = seen.states[:, k], float(course.betas[k])
        along = (drift.displacement(k, x, course.steps) * course.slope(x, seen.scores[:, k], beta)).sum(-1)
        gain = float(course.betas[k + 1]) - beta
        total = total + divergences[:, k] / course.steps + along + gain * (seen.values[:, k] - course.prior(x))
    return total
