"""log ∫ exp(log-density) by quadrature, in one or two dimensions."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

COARSE, FINE = {1: 4_001, 2: 301}, {1: 20_001, 2: 701}
"""Points per axis of the grid that finds the mass, and of the one that integrates it."""
NEGLIGIBLE = 30.0
"""Nats below the highest point of the coarse grid, beyond which there is no mass to speak of."""
ROWS = 2**16


def log_normaliser(log_density: Callable[[Tensor], Tensor], dim: int, *, half_width: float) -> float:
    """log ∫ exp(log_density(u)) du over the cube [−half_width, half_width]^dim.

    A coarse grid finds the box that holds the mass, a fine one integrates it by the trapezoidal rule, whose error falls
    faster than any power of the spacing once this is below the width of the narrowest mode.

    Args:
        log_density: (B, dim) → (B,).
        dim: 1 or 2.
        half_width: of the cube.
    """
    low, high = torch.full((dim,), -half_width), torch.full((dim,), half_width)
    axes = [torch.linspace(-half_width, half_width, COARSE[dim]) for _ in range(dim)]
    points, values = _on_grid(log_density, axes)
    inside = points[values > values.max() - NEGLIGIBLE]
    margin = 2 * (high - low) / (COARSE[dim] - 1)
    low, high = torch.maximum(inside.amin(0) - margin, low), torch.minimum(inside.amax(0) + margin, high)
    axes = [torch.linspace(float(a), float(b), FINE[dim]) for a, b in zip(low, high, strict=True)]
    _, values = _on_grid(log_density, axes)
    cell = sum(math.log(float(b - a) / (FINE[dim] - 1)) for a, b in zip(low, high, strict=True))
    return float(values.double().logsumexp(0)) + cell


def _on_grid(log_density: Callable[[Tensor], Tensor], axes: list[Tensor]) -> tuple[Tensor, Tensor]:
    points = torch.cartesian_prod(*axes).reshape(-1, len(axes))
    return points, torch.cat([log_density(rows) for rows in points.split(ROWS)])
