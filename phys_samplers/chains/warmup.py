r"""The warm-up of chains: where they begin, in what units, and with what step size.

Lost ones are led to where the density is, scales come from the gradient.

Of N(m, diag σ²) the gradient is g = −(x − m)/σ², so that σ² is the ratio of the spreads of x and g over chains,
wherever these were started; where g is constant, as of an exponential law, σ is its inverse. A chain is lost where the
gradient in units of S = σ, |Sg|², whose mean over a Gaussian is D, is far above that, or where there is no density.
Lost chains go uphill, x + hS²g with a step h of their own, no further than a reach (2√D in units of S at first). Both
grow while log p rises and shrink when it does not. They stop where they are lost no longer; others are left alone.

Source: Seyboldt, Carlson & Carpenter 2026 for scales from gradients; Nocedal & Wright 2006, *Numerical Optimization*,
Section 3.1 (backtracking).

The step size then follows an acceptance rate by dual averaging. With the gap
H_t = δ − α_t between the wanted and the seen acceptance after step t,

    log h_{t+1} = μ − (√t/γ) (1/(t + t₀)) Σ_{i≤t} H_i,        log h̄_{t+1} = t^{−κ} log h_{t+1} + (1 − t^{−κ}) log h̄_t,

h is used while adapting, h̄ afterwards. All numbers stay on the device: nothing waits for it.

Source: Hoffman & Gelman 2014, *The No-U-Turn Sampler*, Section 3.2, Eq. 6, with their constants γ = 0.05, t₀ = 10,
κ = 0.75 and μ = log(10 h₁).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from phys_samplers.density import BOUND, FlatDensity, refuse_lost

FEWEST = 8
"""Chains below which their spread says nothing."""
MANY = 1_000
"""Chains that are enough for scales."""
CONSTANT = 1e-5
"""Relative spread of a gradient below which it is constant but for rounding, as that of an exponential law."""
FARTHEST = 1e4
"""Scales are at most so many times the spread of the chains."""


class Start(NamedTuple):
    """Positions (B, D) with log p (B,) and its gradient (B, D) there, scales (D,), and how many chains were moved."""

    x: Tensor
    log_prob: Tensor
    score: Tensor
    scale: Tensor
    moved: Tensor


def scale_of(x: Tensor, score: Tensor, like: Tensor) -> Tensor:
    """S (D,) from rows ``x`` (B, D) and gradients there; ``like`` (D,) where rows say nothing."""
    if len(x) < FEWEST:
        return like
    (_, apart), (slope, steep) = (_centre_and_spread(rows[:MANY]) for rows in (x, score))
    known = steep > CONSTANT * slope.abs()
    square = torch.where(known, apart / steep, slope**-2.0).clamp(max=(FARTHEST * apart).square())
    return torch.where(square.isfinite() & (square > 0), square.sqrt(), like)


def _centre_and_spread(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Medians (D,), and of the distances from them."""
    centre = rows.quantile(0.5, 0)
    return centre, (rows - centre).abs().quantile(0.5, 0)


def find_start(source: FlatDensity, x: Tensor, *, steps: int) -> Start:
    """Chains that are not lost, and scales: one evaluation, and one more for each step that some chain needs.

    Chains where there is no density begin where others are.

    Args:
        source: of log p and its gradient.
        x: where chains were put (B, D).
        steps: uphill, at most; 0 leaves chains where they are, and scales at one.
    """
    log_prob, score = source.log_prob_and_score(x)
    scale, moved = torch.ones_like(x[0]), torch.zeros_like(log_prob, dtype=torch.bool)
    if not steps:
        return Start(x, log_prob, score, scale, moved.sum())
    alive = log_prob.isfinite() & score.isfinite().all(1)
    (some,) = torch.nonzero(alive, as_tuple=True)
    if not len(some):
        return Start(x, log_prob, score, scale, moved.sum())
    if len(some) < len(x):
        place = torch.arange(len(x), device=x.device)
        place = torch.where(alive, place, some[place % len(some)])
        x, log_prob, score, moved = x[place], log_prob[place], score[place], ~alive
    scale = scale_of(x, score, scale)
    dim = x.shape[1]
    most = dim + 4 * math.sqrt(2 * dim) + 8
    step, reach = torch.full_like(log_prob, 0.5), torch.full_like(log_prob, 2 * math.sqrt(dim))
    for _ in range(steps):
        square = (scale * score).square().sum(1)
        lost = square > most
        if not lost.any():
            break
        h = torch.minimum(step, reach / square.sqrt())
        there = x + h.unsqueeze(1) * scale.square() * score
        higher, slope = source.log_prob_and_score(there)
        rises = lost & (higher > log_prob) & slope.isfinite().all(1)
        wide = rises.unsqueeze(1)
        x, score = torch.where(wide, there, x), torch.where(wide, slope, score)
        log_prob = torch.where(rises, higher, log_prob)
        step, reach = (torch.where(rises, 1.5 * length, 0.2 * length) for length in (step, reach))
        moved = moved | rises
    return Start(x, log_prob, score, scale_of(x, score, scale), moved.sum())


class Adapts(Protocol):
    """Options of a warm-up that adapts a step size."""

    @property
    def step_size(self) -> float:
        """h at the start."""

    @property
    def warmup_steps(self) -> int:
        """Steps that adapt it."""

    @property
    def target_acceptance(self) -> float:
        """Acceptance rate to adapt to."""


GAMMA, DELAY, KAPPA = 0.05, 10.0, 0.75


class DualAveraging(NamedTuple):
    """log h and log h̄ (0-d), the sum of the gaps (0-d), μ, and the number of updates t."""

    log_step: Tensor
    log_average: Tensor
    gaps: Tensor
    centre: float
    updates: int

    @classmethod
    def init(cls, step_size: float, *, like: Tensor) -> DualAveraging:
        """Start at ``step_size``, on the device and in the precision of ``like``."""
        log_step = torch.full((), math.log(step_size), dtype=like.dtype, device=like.device)
        return cls(log_step, log_step, torch.zeros_like(log_step), math.log(10 * step_size), 0)

    def update(self, acceptance: Tensor, *, goal: float) -> DualAveraging:
        """The state after a step with mean acceptance probability ``acceptance`` (0-d); ``goal`` is δ."""
        t = self.updates + 1
        gaps = self.gaps + (goal - acceptance)
        log_step = self.centre - (math.sqrt(t) / (GAMMA * (t + DELAY))) * gaps
        return DualAveraging(log_step, self.log_average.lerp(log_step, t**-KAPPA), gaps, self.centre, t)

    def step_size(self, *, last: bool) -> Tensor:
        """h to go on adapting with, or h̄ after the ``last`` update."""
        return (self.log_average if last else self.log_step).exp()


class StepSize:
    """One step size of all chains, that a warm-up adapts and freezes, and how many proposals are accepted afterwards.

    Args:
        recipe: with the options of the warm-up.
        like: states of the chains, on their device and in their precision.

    Attributes:
        now: h to use (0-d).
    """

    def __init__(self, recipe: Adapts, *, like: Tensor) -> None:
        self._recipe, self._done = recipe, 0
        self._adaptation = DualAveraging.init(recipe.step_size, like=like)
        self.now, self._accepted = self._adaptation.log_step.exp(), like.new_zeros(())

    def observe(self, acceptance: Tensor) -> None:
        """Learn from a step's acceptance probabilities (B,), or count them."""
        self._done += 1
        if self._done <= self._recipe.warmup_steps:
            self._adaptation = self._adaptation.update(acceptance.mean(), goal=self._recipe.target_acceptance)
            self.now = self._adaptation.step_size(last=self._done == self._recipe.warmup_steps)
        else:
            self._accepted = self._accepted + acceptance.mean()

    def facts(self) -> dict[str, Any]:
        """For the diagnostics of a run; waits for the device."""
        warm = self._recipe.warmup_steps
        return {
            "acceptance": float(self._accepted) / (self._done - warm),
            "step_size": float(self.now),
            "warmup_steps": warm,
        }


def refuse_unborn(x: Tensor, log_prob: Tensor, *, steps: int, by: str, bound: float = BOUND) -> None:
    """Raise if chains ended at ``x`` (B, D) without density, which no Metropolis step leads them out of."""
    advice = "they started where the density is zero or not finite; start them nearer (start, prior_std)"
    refuse_lost(x, alive=log_prob.isfinite(), steps=steps, by=by, advice=advice, bound=bound)
