r"""Value functions V^0, …, V^T as one object: V^T = E is the energy itself, the others are learned or exact.

States come as (R, S, N, K): R replicas, S consecutive steps, N particles, K flat coordinates. One call then serves a
whole trajectory (S = T) as well as one step of a sampler (S = 1).
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from phys_samplers.density import FlatDensity

HIGHEST = 1e30
"""Stands for energies that are infinite or not a number."""


class Landscape(Protocol):
    """V^t for t = 0..T."""

    def values(self, z: Tensor, first: int) -> Tensor:
        """V^t(z) (R, S, N) at states (R, S, N, K) of the steps ``first``, ``first`` + 1, …; no graph."""
        ...

    def values_and_gradients(self, z: Tensor, first: int) -> tuple[Tensor, Tensor]:
        """The same with ∇V^t (R, S, N, K)."""
        ...


class Energy:
    """E = −log p of a target at flat states of any batch shape.

    Args:
        density: of the target; its calls are counted there.
        clip: energy c above which E goes on as c + K log(1 + (E − c)/K), value and gradient alike, so that what is far
            up still finds its way down, by steps of a bounded length; None for E as it is.
    """

    def __init__(self, density: FlatDensity, clip: float | None = None) -> None:
        self.density = density
        self.clip = clip

    @property
    def dim(self) -> int:
        """K."""
        return self.density.dim

    @torch.no_grad()
    def value(self, z: Tensor) -> Tensor:
        """E (...) at ``z`` (..., K), bent; a new tensor."""
        energy = self.density.log_prob(z.reshape(-1, self.dim)).to(z).neg().view(z.shape[:-1])
        return energy if self.clip is None else self._bent(energy)[0]

    def value_and_gradient(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """E and ∇E (..., K), bent; new tensors."""
        log_prob, score = self.density.log_prob_and_score(z.reshape(-1, self.dim))
        energy, gradient = log_prob.to(z).neg().view(z.shape[:-1]), score.to(z).neg().view(z.shape)
        if self.clip is None:
            return energy, gradient
        energy, slope = self._bent(energy)
        return energy, gradient.mul_(slope.unsqueeze(-1)).nan_to_num_(nan=0.0, posinf=0.0, neginf=0.0)

    @torch.no_grad()
    def log_prob(self, z: Tensor) -> Tensor:
        """log p (N,) at states (N, K), as it is."""
        return self.density.log_prob(z).to(z)

    def _bent(self, energy: Tensor) -> tuple[Tensor, Tensor]:
        """The energy as it goes on above the limit, and its derivative there."""
        assert self.clip is not None
        energy = energy.nan_to_num(nan=HIGHEST, posinf=HIGHEST)
        above = energy.sub(self.clip).clamp_(min=0).div_(self.dim)
        return energy.clamp_(max=self.clip).add_(above.log1p(), alpha=self.dim), above.add_(1).reciprocal_()
