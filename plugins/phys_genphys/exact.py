"""The exact flow of finitely many rows under a PDE: what the networks of ``genphys`` are trained towards."""

from __future__ import annotations

import torch
from torch import Tensor

from phys_genphys.genphys import PhysicalFlow
from phys_genphys.pde import PDE
from phys_samplers.fields import MLP
from phys_samplers.randomness import Streams


class EmpiricalFlow(PhysicalFlow):
    """D(x, σ) and g(x, σ) of the rows, in place of a trained ``PhysicalFlow``; its networks are not asked.

    Args:
        pde: an equation whose density is known.
        rows: standardised rows (M, N).
    """

    def __init__(self, pde: PDE, rows: Tensor) -> None:
        super().__init__(MLP(width=1, depth=1), rows.shape[1], streams=Streams([0], "unused"), pde=pde)
        self.rows = rows

    def _shares(self, x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Shares of the sources at x (R, B, M), squared distances to them, and levels; 0 where no source reaches."""
        squared = torch.cdist(x, self.rows.to(x), compute_mode="donot_use_mm_for_euclid_dist").square_()
        level = sigma.expand(x.shape[:2]).unsqueeze(-1).expand(squared.shape)
        share = torch.softmax(self.pde.log_density(squared, level, self.dim), -1).nan_to_num(0.0)
        return share, squared, level

    def forward(self, x: Tensor, sigma: Tensor, code: Tensor | None = None) -> Tensor:
        """D(x, σ): (R, B, N), (R, B) or (R, 1) → (R, B, N)."""
        share, squared, level = self._shares(x, sigma)
        pull = self.pde.pull(squared, level, self.dim)
        pulled = share if pull is None else share * pull
        return pulled @ self.rows.to(x) + x * (1 - pulled.sum(-1, keepdim=True))

    def growth(self, x: Tensor, sigma: Tensor) -> Tensor:
        """g(x, σ) (R, B)."""
        share, squared, level = self._shares(x, sigma)
        births = self.pde.growth(squared, level, self.dim)
        return share[..., 0] * 0 if births is None else (share * births).sum(-1)
