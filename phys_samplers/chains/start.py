r"""Where chains begin, and in what units: lost ones are led to where the density is, scales come from the gradient.

Of N(m, diag σ²) the gradient is g = −(x − m)/σ², so that σ² is the ratio of the spreads of x and g over chains,
wherever these were started; where g is constant, as of an exponential law, σ is its inverse. A chain is lost where the
gradient in units of S = σ, |Sg|², whose mean over a Gaussian is D, is far above that, or where there is no density.
Lost chains go uphill, x + hS²g with a step h of their own that grows while log p rises and shrinks when it does not,
and stop where they are lost no longer; others are left alone.

Source: Seyboldt, Carlson & Carpenter 2026 for scales from gradients; Nocedal & Wright 2006, *Numerical Optimization*,
Section 3.1 (backtracking).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from phys_samplers.density import FlatDensity

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
    step = torch.full_like(log_prob, 0.5)
    for _ in range(steps):
        lost = (scale * score).square().sum(1) > most
        if not lost.any():
            break
        there = x + step.unsqueeze(1) * scale.square() * score
        higher, slope = source.log_prob_and_score(there)
        rises = lost & (higher > log_prob) & slope.isfinite().all(1)
        wide = rises.unsqueeze(1)
        x, score = torch.where(wide, there, x), torch.where(wide, slope, score)
        log_prob = torch.where(rises, higher, log_prob)
        step = torch.where(rises, 1.5 * step, 0.2 * step)
        moved = moved | rises
    return Start(x, log_prob, score, scale_of(x, score, scale), moved.sum())
