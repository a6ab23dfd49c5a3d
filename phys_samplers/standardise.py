"""The affine map to zero mean and unit variance per coordinate, done once for all data-driven samplers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor


@dataclass(frozen=True)
class Standardiser:
    """x ↦ (x − mean)/scale on flattened rows.

    Args:
        mean: (D,).
        scale: (D,), positive.
    """

    mean: Tensor
    scale: Tensor

    @classmethod
    def fit(cls, rows: Tensor, *, common: bool = False) -> Self:
        """From training rows (N, …); a constant coordinate keeps scale 1.

        Args:
            rows: training rows.
            common: one scale for all coordinates, the root of their mean variance.
        """
        rows = rows.flatten(1)
        scale = rows.var(0).mean().sqrt().expand(rows.shape[1]) if common else rows.std(0)
        return cls(rows.mean(0), torch.where(scale > 0, scale, torch.ones_like(scale)))

    @classmethod
    def identity(cls, dim: int, *, device: torch.device | str = "cpu") -> Self:
        """The map that changes nothing."""
        return cls(torch.zeros(dim, device=device), torch.ones(dim, device=device))

    def forward(self, rows: Tensor) -> Tensor:
        """Data units (N, …) → standardised flat rows (N, D), in the dtype of the map: what a network takes."""
        return (rows.flatten(1).to(self.mean.dtype) - self.mean) / self.scale

    def inverse(self, flat: Tensor, event_shape: tuple[int, ...]) -> Tensor:
        """Standardised flat rows (N, D) → data units (N, *event_shape)."""
        return torch.addcmul(self.mean, flat, self.scale).unflatten(1, event_shape)
