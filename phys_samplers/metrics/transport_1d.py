"""Optimal transport on the line: sort both sides and match quantiles, exact for any convex cost."""

from __future__ import annotations

import torch
from torch import Tensor


def line_cost(x: Tensor, y: Tensor, power: int) -> Tensor:
    """W_p^p = ∫₀¹ |F⁻¹(u) − G⁻¹(u)|^p du between equally weighted points, column by column.

    Quantile levels are compared as integers (i·m against j·n), so unequal sizes are exact too.

    Args:
        x: (n, P), one set of points per column.
        y: (m, P).
        power: p of |x − y|^p, at least 1.

    Returns:
        Cost per column (P,).
    """
    n, m = len(x), len(y)
    x, y = x.sort(0).values, y.sort(0).values
    if n == m:
        return (x - y).abs().pow(power).mean(0)
    steps_x = torch.arange(1, n + 1, device=x.device) * m
    steps_y = torch.arange(1, m + 1, device=x.device) * n
    levels = torch.cat([steps_x, steps_y]).unique()
    mass = torch.diff(levels, prepend=levels.new_zeros(1)).to(x.dtype) / (n * m)
    # On the interval that ends at `level`, the quantile is the first point whose own step reaches the level.
    of_x = torch.searchsorted(steps_x, levels)
    of_y = torch.searchsorted(steps_y, levels)
    return ((x[of_x] - y[of_y]).abs().pow(power) * mass[:, None]).sum(0)
