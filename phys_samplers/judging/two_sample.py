r"""Two samples, one law? The energy distance under permutations of the labels.

With pooled rows x_1 … x_{2m}, labels v = ±1/m and distances d, the V-statistic of the energy distance is −vᵀdv; under
the null hypothesis every labelling is as good as the given one, so that the p-value is exact for independent rows.

Source: Székely & Rizzo 2013, *Energy statistics*, Section 6; Gretton et al. 2012 for the permutation test.
"""

from __future__ import annotations

import torch
from torch import Tensor

PERMUTATIONS = 1_999


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
