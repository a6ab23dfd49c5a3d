"""The exact flow of finitely many rows under a PDE: what the networks of ``genphys`` are trained towards."""

from __future__ import annotations

import torch
from torch import Tensor

from phys_genphys.genphys import PhysicalFlow
from phys_genphys.pde import PDE
from phys_samplers.errors import ConfigurationError
from phys_samplers.fields import MLP
from phys_samplers.randomness import Streams


class EmpiricalFlow(PhysicalFlow):
    """D(x, σ) and g(x, σ) of the rows, in place of a trained ``PhysicalFlow``; its networks are not asked.

    Args:
        pde: an equation whose density is known.
        rows: standardised rows (M, N).

    Raises:
        ConfigurationError: if they are not.
    """

    def __init__(self, pde: PDE, rows: Tensor) -> None:
        if not isinstance(pde, PDE) or not pde.has_density:
            raise ConfigurationError(f"pde is {pde!r}; expected an equation whose density is known, e.g. Poisson()")
        if not isinstance(rows, Tensor) or not rows.is_floating_point() or rows.ndim != 2 or not rows.numel():
            told = (
                f"of shape {tuple(rows.shape)}, {rows.dtype}"
                if isinstance(rows, Tensor)
                else f"a {type(rows).__name__}"
            )
            raise ConfigurationError(f"rows are {told}; expected floating-point rows (M, N), M ≥ 1")
        if not torch.isfinite(rows).all():
            raise ConfigurationError("rows hold NaN or infinities; expected finite ones")
        super().__init__(MLP(width=1, depth=1), rows.shape[1], streams=Streams([0], "unused"), pde=pde)
        self.rows = rows

    def _shares(self, x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Shares of the sources at x (R, B, M), squared distances to them, and levels; 0 where no source reaches."""
        if not isinstance(x, Tensor) or not x.is_floating_point() or x.ndim != 3 or x.shape[2] != self.dim:
            told = f"of shape {tuple(x.shape)}, {x.dtype}" if isinstance(x, Tensor) else f"a {type(x).__name__}"
            raise ConfigurationError(f"x is {told}; expected floating-point numbers (R, B, {self.dim})")
        if not isinstance(sigma, Tensor) or sigma.shape not in (x.shape[:2], (len(x), 1)) or not (sigma > 0).all():
            told = f"of shape {tuple(sigma.shape)}" if isinstance(sigma, Tensor) else f"a {type(sigma).__name__}"
            raise ConfigurationError(f"sigma is {told}; expected positive levels {tuple(x.shape[:2])} or ({len(x)}, 1)")
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
