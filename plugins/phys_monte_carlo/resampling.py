r"""Resampling of weighted particles, and what their genealogy says about errors.

Systematic resampling puts n points (i + U)/n, with one U ~ U[0, 1), on the cumulative weights: particle i has
⌊nW_i⌋ or ⌈nW_i⌉ offspring, nW_i on average, of variance v_i = f_i(1 − f_i) with f_i the fractional part of nW_i.

The relative variance of a sequential estimate Ẑ is estimated from one run (Lee & Whiteley 2018): a family e is what
descends from one particle of the first generation, M_e is its share of the weight, and

    V = 1 − (1 − Σ_e M_e²) / Π_t κ_t.

κ_t is by what factor resampling t thins out pairs of different particles on average, E Σ_{i≠j} N_i N_j = κ_t n²
Σ_{i≠j} W_i W_j for offspring N. Multinomial resampling, and the first draw, have κ = 1 − 1/n, which gives the paper's
estimator. For systematic resampling the same count gives κ_t = 1 − Σ_i v_i / (n² (1 − Σ_i W_i²)), which is used here:
exact on average over pairs, not pair by pair. Without any resampling V is the usual (nΣW² − 1)/(n − 1) of importance
sampling.

Source: Kitagawa 1996; Douc, Cappé & Moulines 2005 (the schemes compared); Lee & Whiteley 2018, *Variance estimation in
the particle filter*.
"""

from __future__ import annotations

import torch
from torch import Tensor


def systematic(weights: Tensor, n: int, *, uniform: Tensor) -> Tensor:
    """Indices (n,) of the particles chosen, in ascending order.

    Args:
        weights: non-negative (N,), of any positive sum, best in double precision.
        n: how many to choose.
        uniform: U, 0-d.
    """
    cumulative = weights.cumsum(0)
    points = (torch.arange(n, dtype=weights.dtype, device=weights.device) + uniform) / n
    # right=True passes over particles of weight zero, which end where they begin
    chosen = torch.searchsorted(cumulative, points * cumulative[-1], right=True)
    return chosen.clamp_(max=len(weights) - 1)


def log_thinning(weights: Tensor) -> Tensor:
    """log κ (0-d) of systematic resampling of normalised ``weights`` (n,) to as many; 0 where all weight is on one."""
    n = len(weights)
    expected = n * weights
    fraction = expected - expected.floor()
    apart = 1 - weights.square().sum()
    thinned = (fraction * (1 - fraction)).sum() / (n * n * apart)
    return torch.where(apart > 0, torch.log1p(-thinned), 0.0)


def relative_variance(weights: Tensor, families: Tensor, log_kappa: Tensor) -> Tensor:
    """V (0-d), not below zero: of Ẑ/Z, or to first order of log Ẑ.

    Args:
        weights: normalised (n,), before the last resampling if nothing comes after it.
        families: index (n,) of each particle's ancestor in the first generation.
        log_kappa: Σ_t log κ_t, that of the first draw, log(1 − 1/n), included.
    """
    masses = torch.zeros_like(weights).index_add_(0, families, weights)
    return (1 - (1 - masses.square().sum()) * (-log_kappa).exp()).clamp(min=0.0)


def effective_share(x: Tensor, families: Tensor) -> Tensor:
    """Effective independent draws per particle (K,), for the mean of each coordinate of equally weighted ``x`` (n, K).

    The estimated variance of the mean is Σ_e (Σ_{i∈e} (x_i − x̄)/n)²: families are independent, members are not
    (Lee & Whiteley 2018, for a centred function). The share is what independent draws would have, s²/n, over it: near
    one for relatives that have forgotten each other, families/n for copies. A single family says nothing; it counts as
    one draw.
    """
    n = len(x)
    centred = x - x.mean(0)
    sums = torch.zeros_like(centred).index_add_(0, families, centred)
    share = centred.square().sum(0) / sums.square().sum(0)
    return torch.where((families != families[0]).any(), share, 1 / n)
