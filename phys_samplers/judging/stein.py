r"""Stein's identities: what every law with a smooth density satisfies, tested on samples with the score alone.

On flat coordinates z ∈ R^K, with s = ∇log p and any p that falls off at infinity,

    E[s(z)] = 0,    E[z·s(z)] = −K,

the second being the virial theorem. Neither needs the normalising constant. Both are blind to the weights of modes that
lie far apart, each of which satisfies them by itself; a biased step size or chains still on their way do not.

Source: Stein 1972; Gorham & Mackey 2015, *Measuring Sample Quality with Stein's Method*, Section 2.
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
