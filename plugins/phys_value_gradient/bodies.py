r"""What a particle sees of two others at once: three-body functions, by products of neighbour densities.

With channels g_a of the distance, u the unit vector from particle i to j, and l = 0, 1, 2,

    B_abl = Σ_i Σ_{j,k ≠ i} g_a(r_ij) g_b(r_ik) (u_ij·u_ik)^l = Σ_i ρ_ia^l · ρ_ib^l,    ρ_ia^l = Σ_j g_a(r_ij) u_ij^⊗l,

so that all pairs of neighbours cost what all neighbours do. Pair potentials alone do not know how many neighbours a
particle has already, nor at which angles: the energy of a cluster that is blurred by a third of a bond's length does.
Translations, rotations, reflections and permutations of the particles change nothing. Channels are Gaussians, as pair
potentials are. A tensor u ⊗ u is kept as its upper triangle, off-diagonal entries times √2.

Source: Shapeev 2016 (Multiscale Model. Simul. 14, 1153), of whose moment tensors these are the lowest.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from phys_value_gradient.features import Differences

TINY = 1e-12
ORDERS = 3
"""l = 0, 1, 2."""
PART = 256
"""States whose columns are made at a time."""


def count(channels: int) -> int:
    """How many functions B_abl, a ≤ b, there are."""
    return ORDERS * channels * (channels + 1) // 2


class _Seen(NamedTuple):
    """Of the pairs of N states."""

    units: Tensor  # u (P, m, N)
    heights: Tensor  # g_a (P, A, N)
    slopes: Tensor  # g_a' (P, A, N)
    tensors: Tensor  # u^{⊗l} (P, M, N)
    turning: Tensor  # its derivative along the difference, (P, M, m, N)
    densities: Tensor  # ρ (n, A, M, N)


class Bodies:
    """The functions B_abl of the particles behind ``differences``.

    Args:
        differences: of one replica.
    """

    def __init__(self, differences: Differences) -> None:
        self.differences = differences
        self.particles = (1 + math.isqrt(1 + 8 * differences.pairs)) // 2
        like, dims = differences.differences, differences.dims
        self.first, self.second = torch.triu_indices(self.particles, self.particles, 1, device=like.device)
        self.first_axis, self.second_axis = torch.triu_indices(dims, dims, device=like.device)
        self.order = torch.tensor([0] + [1] * dims + [2] * len(self.first_axis), device=like.device)  # l of every entry

    def _seen(self, points: Tensor, centres: Tensor, widths: Tensor) -> _Seen:
        """At ``points`` (N, K), with channels (A,)."""
        apart = self.differences.apart(points.unsqueeze(0))[0]
        pairs, dims, states = apart.shape
        lengths = apart.square().sum(1, keepdim=True).add_(TINY).sqrt_()
        units = apart / lengths
        t = (lengths - centres.view(1, -1, 1)) / widths.view(1, -1, 1)
        heights = t.square().mul_(-0.5).exp_()
        stretch = (1.0 + (self.first_axis != self.second_axis)).to(points).sqrt_().view(1, -1, 1)
        left, right = units[:, self.first_axis] * stretch, units[:, self.second_axis] * stretch
        tensors = torch.cat((torch.ones_like(lengths), units, left * units[:, self.second_axis]), 1)
        turning = points.new_zeros(pairs, len(self.order), dims, states)
        axes = torch.arange(dims, device=points.device)
        turning[:, 1 + axes, axes] = 1.0
        entries = torch.arange(1 + dims, len(self.order), device=points.device)
        turning[:, entries, self.first_axis] += right
        turning[:, entries, self.second_axis] += left
        along = (turning * units.unsqueeze(1)).sum(2, keepdim=True)
        turning.sub_(along * units.unsqueeze(1)).div_(lengths.unsqueeze(1))
        each = heights.unsqueeze(2) * tensors.unsqueeze(1)
        densities = points.new_zeros(self.particles, *each.shape[1:])
        densities.index_add_(0, self.first, each).index_add_(0, self.second, each * self._sign(points))
        return _Seen(units, heights, t.mul_(heights).div_(-widths.view(1, -1, 1)), tensors, turning, densities)

    def _sign(self, like: Tensor) -> Tensor:
        """(−1)^l: the second particle of a pair sees the first in the opposite direction."""
        return (1 - 2 * (self.order % 2)).to(like).view(1, 1, -1, 1)

    def value_and_gradient(
        self, points: Tensor, weights: Tensor, centres: Tensor, widths: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Σ w B (N,) and its gradient (N, K) at ``points`` (N, K), with weights (3·A(A + 1)/2,)."""
        seen, channels = self._seen(points, centres, widths), len(centres)
        a, b = torch.triu_indices(channels, channels, device=points.device)
        half = weights.new_zeros(ORDERS, channels, channels)
        half[:, a, b] = 0.5 * weights.view(ORDERS, -1)
        matrix = (half + half.mT)[self.order]  # (M, A, A), symmetric
        forces = torch.einsum("mab,ibmn->iamn", matrix, seen.densities)
        value = (forces * seen.densities).sum((0, 1, 2))
        pull = 2 * (forces[self.first] + forces[self.second] * self._sign(points))  # ∂V/∂(g_a u^l) of a pair
        radial = torch.einsum("pan,pmn,pamn->pn", seen.slopes, seen.tensors, pull)
        tangential = torch.einsum("pmn,pmkn->pkn", (seen.heights.unsqueeze(2) * pull).sum(1), seen.turning)
        return value, self._back(seen.units * radial.unsqueeze(1) + tangential)

    def columns(self, points: Tensor, centres: Tensor, widths: Tensor) -> Tensor:
        """Gradients (3·A(A + 1)/2, N, K) of every function at ``points`` (N, K)."""
        return torch.cat([self._columns(part, centres, widths) for part in points.split(PART)], 1)

    def _columns(self, points: Tensor, centres: Tensor, widths: Tensor) -> Tensor:
        seen = self._seen(points, centres, widths)
        both = seen.densities[self.first] + seen.densities[self.second] * self._sign(points)  # (P, A, M, N)
        found = []
        for order in range(ORDERS):
            own = (self.order == order).nonzero().squeeze(1)
            tensors, turning = seen.tensors[:, own], seen.turning[:, own]

            def half(one: int, other: int, own: Tensor = own, y: Tensor = tensors, turns: Tensor = turning) -> Tensor:
                density = both[:, other, own]
                radial = (y * density).sum(1).mul_(seen.slopes[:, one])
                turned = (turns * density.unsqueeze(2)).sum(1).mul_(seen.heights[:, one].unsqueeze(1))
                return turned.addcmul_(seen.units, radial.unsqueeze(1))

            for a in range(len(centres)):
                found += [self._back(half(a, b) + half(b, a)) for b in range(a, len(centres))]
        return torch.stack(found)

    def _back(self, pull: Tensor) -> Tensor:
        """∂V/∂z (N, K) from ∂V/∂(x_i − x_j) (P, m, N)."""
        return (self.differences.differences[0].to(pull.dtype) @ pull.flatten(0, 1)).T
