"""Values that were fitted by least squares: a quadratic, a multiple of the energy, and functions of pair distances."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from phys_value_gradient.features import Differences
from phys_value_gradient.policy import Energy

TINY = 1e-12


class Fitted(NamedTuple):
    """The numbers of V^t, t = 0..T−1.

    Args:
        weights: q_t, a_t and w_tj (T, 2 + J).
        slope: r_t (T, K).
        centres: m_tj (T, J).
        widths: h_tj (T, J).
        log_std: log σ_init (1,).
        log_step: log h (1,) of MALA.
    """

    weights: Tensor
    slope: Tensor
    centres: Tensor
    widths: Tensor
    log_std: Tensor
    log_step: Tensor


class LeastSquaresLandscape:
    """V^0, …, V^T of fitted numbers, each but for a constant; see ``Landscape``.

    Args:
        fitted: the numbers.
        energy: V^T, and the E of the others.
        differences: of the pairs; None where there are no pair potentials.
    """

    def __init__(self, fitted: Fitted, energy: Energy, differences: Differences | None) -> None:
        self.fitted, self.energy, self.differences = fitted, energy, differences

    def values(self, z: Tensor, first: int) -> Tensor:
        """See ``Landscape``."""
        return self.values_and_gradients(z, first)[0]

    @torch.no_grad()
    def values_and_gradients(self, z: Tensor, first: int) -> tuple[Tensor, Tensor]:
        """See ``Landscape``."""
        value, gradient = self.energy.value_and_gradient(z)
        for i in range(max(min(z.shape[1], len(self.fitted.weights) - first), 0)):
            t, points = first + i, z[:, i]
            weights, slope = self.fitted.weights[t], self.fitted.slope[t]
            value[:, i].mul_(weights[1]).add_(0.5 * weights[0] * points.square().sum(-1)).sub_(points @ slope)
            gradient[:, i].mul_(weights[1]).add_(weights[0] * points).sub_(slope)
            if self.differences is not None:
                apart, lengths = self._pairs(points)
                heights, slopes = self._bells(lengths, t)
                value[:, i] += (heights.sum(1) @ weights[2:]).view(points.shape[:-1])
                gradient[:, i] += self.differences.along(apart, (slopes @ weights[2:]) / lengths)
        return value, gradient

    def _pairs(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """x_i − x_j (R, P, m, N) and their lengths (R, P, N)."""
        assert self.differences is not None
        apart = self.differences.apart(points)
        return apart, apart.square().sum(2).add_(TINY).sqrt_()

    def _bells(self, lengths: Tensor, t: int) -> tuple[Tensor, Tensor]:
        """φ_tj of each length and its derivative, (R, P, N, J)."""
        width = self.fitted.widths[t]
        u = (lengths.unsqueeze(-1) - self.fitted.centres[t]) / width
        heights = u.square().mul_(-0.5).exp_()
        return heights, u.mul_(heights).div_(-width)

    def columns(self, points: Tensor, t: int) -> Tensor:
        """Gradients (2 + J, N, K) of what ``weights`` multiply, at points (N, K)."""
        _, gradient = self.energy.value_and_gradient(points)
        columns = torch.stack((points, gradient))
        if self.differences is None:
            return columns
        apart, lengths = self._pairs(points.unsqueeze(0))
        factor = self._bells(lengths, t)[1].div_(lengths.unsqueeze(-1))[0]  # (P, N, J)
        return torch.cat((columns, self.differences.along(apart, factor.permute(2, 0, 1))))
