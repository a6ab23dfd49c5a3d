r"""Value functions V^0, …, V^T as one object: V^T = E is the energy itself, the others are learned or exact.

States come as (R, S, N, K): R replicas, S consecutive steps, N particles, K flat coordinates. One call then serves a
whole trajectory (S = T) as well as one step of a sampler (S = 1).
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from phys_samplers.density import FlatDensity


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
        clip: largest energy; None for no limit. Gradients stay those of the energy itself, so that a particle beyond
            the limit still finds its way down.
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
        """E (...) at ``z`` (..., K), clipped; a new tensor."""
        return self._clipped(self.density.log_prob(z.reshape(-1, self.dim))).to(z).view(z.shape[:-1])

    def value_and_gradient(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """E, clipped, and ∇E (..., K); new tensors."""
        log_prob, score = self.density.log_prob_and_score(z.reshape(-1, self.dim))
        value = self._clipped(log_prob).to(z).view(z.shape[:-1])
        gradient = score.to(z).neg().view(z.shape)
        return value, gradient if self.clip is None else gradient.nan_to_num_(nan=0.0)

    @torch.no_grad()
    def log_prob(self, z: Tensor) -> Tensor:
        """log p (N,) at states (N, K), not clipped."""
        return self.density.log_prob(z).to(z)

    def _clipped(self, log_prob: Tensor) -> Tensor:
        energy = log_prob.neg()
        return energy if self.clip is None else energy.nan_to_num(nan=self.clip).clamp_(max=self.clip)
