"""Values that were fitted by least squares: a quadratic, a multiple of the energy, pair and three-body functions."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from phys_value_gradient.bodies import Bodies
from phys_value_gradient.features import Differences
from phys_value_gradient.policy import Energy

TINY = 1e-12
NEAREST, REACH = 0.2, 0.7
"""Where the channels of three-body functions begin and end, see ``LeastSquaresLandscape.place``."""


class Fitted(NamedTuple):
    """The numbers of V^t, t = 0..T−1.

    Args:
        weights: q_t, a_t, w_tj and those of three-body functions (T, 2 + J + Q).
        slope: r_t (T, K).
        centres: m_tj (T, J).
        widths: h_tj (T, J).
        channels: centres and widths of the A channels of three-body functions (T, 2, A).
        log_std: log σ_init (1,).
        log_step: log h (1,) of MALA.
    """

    weights: Tensor
    slope: Tensor
    centres: Tensor
    widths: Tensor
    channels: Tensor
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
        self.functions = fitted.centres.shape[1]
        self.bodies = Bodies(differences) if differences is not None and fitted.channels.shape[2] else None

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
                pairs, bodies = weights[2 : 2 + self.functions], weights[2 + self.functions :]
                value[:, i] += (heights.sum(1) @ pairs).view(points.shape[:-1])
                gradient[:, i] += self.differences.along(apart, (slopes @ pairs) / lengths)
                if self.bodies is not None:
                    flat = points.reshape(-1, points.shape[-1])
                    more, force = self.bodies.value_and_gradient(flat, bodies, *self.fitted.channels[t])
                    value[:, i] += more.view(points.shape[:-1])
                    gradient[:, i] += force.view(points.shape)
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
        columns = torch.cat((columns, self.differences.along(apart, factor.permute(2, 0, 1))))
        if self.bodies is None:
            return columns
        return torch.cat((columns, self.bodies.columns(points, *self.fitted.channels[t])))

    def place(self, points: Tensor, t: int) -> None:
        """Centres from the smallest to the largest distance of ``points`` (N, K), as wide as their spacing.

        Channels reach from a fifth of the way between the smallest distance and the 70 % quantile to that quantile: the
        shell of neighbours, which a particle sees as a whole.
        """
        if self.differences is None:
            return
        lengths = self.differences.apart(points.unsqueeze(0)).square().sum(2).sqrt_().flatten()
        low, high = lengths.min(), lengths.max()
        unit = torch.linspace(0, 1, self.functions, device=points.device)
        self.fitted.centres[t] = low + (high - low) * unit
        self.fitted.widths[t] = (high - low) / (self.functions - 1)
        count = self.fitted.channels.shape[2]
        if count:
            far = lengths.sort().values[int(REACH * len(lengths))]
            near = low + NEAREST * (far - low)
            self.fitted.channels[t, 0] = near + (far - near) * torch.linspace(0, 1, count, device=points.device)
            self.fitted.channels[t, 1] = (far - near) / max(count - 1, 1)
