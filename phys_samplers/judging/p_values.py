r"""Tests of samples: against the score of the density (Stein's identities), and against other samples.

Stein's identities: what every law with a smooth density satisfies, tested on samples with the score alone.

On flat coordinates z ∈ R^K, with s = ∇log p and any p that falls off at infinity,

    E[s(z)] = 0,    E[z·s(z)] = −K,

the second being the virial theorem. Neither needs the normalising constant. Both are blind to the weights of modes that
lie far apart, each of which satisfies them by itself; a biased step size or chains still on their way do not.

Source: Stein 1972; Gorham & Mackey 2015, *Measuring Sample Quality with Stein's Method*, Section 2.

Two samples, one law? The energy distance under permutations of the labels.

With pooled rows x_1 … x_{2m}, labels v = ±1/m and distances d, the V-statistic of the energy distance is −vᵀdv; under
the null hypothesis every labelling is as good as the given one, so that the p-value is exact for independent rows.

Source: Székely & Rizzo 2013, *Energy statistics*, Section 6; Gretton et al. 2012 for the permutation test.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def stein_p_value(z: Tensor, score: Tensor, *, weights: Tensor | None = None, effective: float | None = None) -> float:
    """p-value of the K + 1 identities together (Bonferroni), by the central limit theorem.

    Heavy-tailed scores converge slowly to it, so that small p-values of such laws are worth less.

    Args:
        z: samples (n, K).
        score: ∇log p there (n, K).
        weights: importance weights (n,), normalised here; equal if None.
        effective: number of independent draws that the samples are worth; that of the weights if None.
    """
    z, score = z.double(), score.double()
    n, dim = z.shape
    share = torch.full((n,), 1 / n, dtype=z.dtype, device=z.device) if weights is None else weights.double()
    share = share / share.sum()
    if effective is None:
        effective = float(1 / share.square().sum())
    values = torch.cat([score, (z * score).sum(1, keepdim=True) + dim], 1)
    mean = share @ values
    spread = (share @ (values - mean).square()).sqrt() / math.sqrt(max(effective, 1.0))
    largest = float((mean.abs() / spread.clamp(min=1e-300)).max())
    if not math.isfinite(largest):
        return 0.0
    return min(1.0, (dim + 1) * math.erfc(largest / math.sqrt(2)))


PERMUTATIONS = 1_999
ROWS = 2_000
"""Of each side, at most, whose distances are compared."""


def two_sample_p_value(x: Tensor, y: Tensor, *, generator: torch.Generator) -> float:
    """p-value of the rows of ``x`` (m, K) and ``y`` (m, K) having one law; coordinates are scaled to unit spread.

    Args:
        x: independent rows.
        y: as many independent rows.
        generator: of the permutations, on the device of the rows.
    """
    pooled = torch.cat([x, y]).double()
    pooled = (pooled - pooled.mean(0)) / pooled.std(0).clamp(min=1e-12)
    distance, m = torch.cdist(pooled, pooled), len(x)
    keys = torch.rand(2 * m, PERMUTATIONS, generator=generator, device=pooled.device)
    labels = torch.where(keys.argsort(0) < m, 1.0, -1.0).double().div_(m)
    given = torch.cat([labels.new_full((m,), 1 / m), labels.new_full((m,), -1 / m)])
    labels = torch.cat([given.unsqueeze(1), labels], 1)
    statistic = -(labels * (distance @ labels)).sum(0)
    # as large as the given one, up to rounding: ties count against the null's rejection
    return float((statistic >= statistic[0] * (1 - 1e-12)).double().mean())


def far_and_dense(z: Tensor, log_prob: Tensor, others: Tensor, their_log_prob: Tensor) -> int:
    """How many of ``others`` lie far from all of ``z`` although density is as high there: mass that ``z`` missed.

    Far: three times the distance that 99 of 100 rows of ``z`` have to their nearest neighbour, in its own spreads.
    Dense: above the 5 % quantile of log p over ``z``.

    Args:
        z: rows (n, K).
        log_prob: log p there (n,).
        others: rows (m, K) of another sampler.
        their_log_prob: log p there (m,).
    """
    centre, spread = z.double().mean(0), z.double().std(0).clamp(min=1e-12)
    own, other = ((rows.double() - centre) / spread for rows in (z[:ROWS], others[:ROWS]))
    apart = torch.cdist(own, own)
    # copies, which resampling makes, are no neighbours
    near = torch.where(apart > 0, apart, torch.inf).amin(1)
    near = near[torch.isfinite(near)]
    if not len(near):
        return 0
    far = torch.cdist(other, own).amin(1) > 3 * near.quantile(0.99)
    dense = their_log_prob[:ROWS].double() > log_prob.double().quantile(0.05)
    return int((far & dense).sum())


def higher(z: Tensor, log_prob: Tensor, theirs: Tensor) -> int:
    """How many of ``theirs`` (m,) are where density is far above all that rows ``z`` (n, K) met, ``log_prob`` (n,).

    Far: by 3 + √(K/2) in log p, the latter the standard deviation of log p of a normal law: a narrow part inside a wide
    one, which distances do not show.
    """
    most = float(log_prob.double().max()) + 3 + math.sqrt(z.shape[1] / 2)
    return int((theirs.double() > most).sum())
