r"""What a value network sees of a state: the state itself, or the pairwise distances of its particles.

A state of n particles in m dimensions is z ∈ R^K within the subspace of centred configurations, x = Sᵀz. Every
difference x_i − x_j is linear in z, so that one matrix takes z to all pairs' differences and its transpose takes
gradients back. With d_ij = |x_i − x_j|, the features are, sorted over the pairs i < j,

    √(d² + 1)                     (Yoon et al. 2025, arXiv:2502.13280, Sec. 4 and E.3.2: distances),
    1/√(d² + 1)                   (E.3.2: inverse distances, for the Lennard-Jones potential).

Distances do not change under translations, rotations and reflections, their order statistics not under permutations.
The 1 keeps the gradient finite where two particles coincide.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from phys_samplers.errors import ConfigurationError
from phys_samplers.target import Target


class Coordinates(nn.Module):
    """The state itself."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.features = dim

    def forward(self, z: Tensor) -> Tensor:
        """(R, N, K) → (R, N, K)."""
        return z

    def with_saved(self, z: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Features (R, N, F) and what ``pull_back`` needs; no graph."""
        return z, ()

    def pull_back(self, gradient: Tensor, saved: tuple[Tensor, ...]) -> Tensor:
        """∂V/∂z (R, N, K) from ∂V/∂features (R, N, F)."""
        return gradient


class SortedDistances(nn.Module):
    """√(d² + 1) of all pairs in rising order, or their inverses in falling order.

    Args:
        layout: (n, m), particles and their dimensions.
        subspace: orthonormal rows S (K, n·m); None where z is x.
        replicas: R, the length of the buffer's first axis.
        inverse: whether to take inverses.
    """

    differences: Tensor

    def __init__(self, layout: tuple[int, int], subspace: Tensor | None, *, replicas: int, inverse: bool) -> None:
        super().__init__()
        particles, dims = layout
        first, second = torch.triu_indices(particles, particles, 1)
        self.features, self.dims, self.inverse = len(first), dims, inverse
        eye = torch.eye(particles, dtype=torch.float64)
        pairs = torch.kron(eye[first] - eye[second], torch.eye(dims, dtype=torch.float64)).T  # (n·m, P·m)
        like = torch.empty(0) if subspace is None else subspace
        matrix = pairs if subspace is None else subspace.to("cpu", torch.float64) @ pairs
        self.register_buffer("differences", matrix.to(like).repeat(replicas, 1, 1))

    def forward(self, z: Tensor) -> Tensor:
        """(R, N, K) → (R, N, n(n−1)/2)."""
        lengths = (self._differences(z).square().sum(-1) + 1).sqrt().sort(-1).values
        return lengths.reciprocal() if self.inverse else lengths

    def _differences(self, z: Tensor) -> Tensor:
        """x_i − x_j (R, N, P, m). The matrix keeps the subspace's precision."""
        return torch.matmul(z, self.differences.to(z.dtype)).unflatten(-1, (self.features, self.dims))

    def with_saved(self, z: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Features (R, N, P) and what ``pull_back`` needs; no graph."""
        differences = self._differences(z)
        lengths, order = differences.square().sum(-1).add_(1).sqrt_().sort(-1)
        features = lengths.reciprocal() if self.inverse else lengths
        return features, (differences, lengths, order)

    def pull_back(self, gradient: Tensor, saved: tuple[Tensor, ...]) -> Tensor:
        """∂V/∂z (R, N, K) from ∂V/∂features (R, N, P): back in the order of the pairs, then along the differences.

        With r = √(d² + 1): ∂r/∂δ = δ/r and ∂(1/r)/∂δ = −δ/r³.
        """
        differences, lengths, order = saved
        factor = gradient / (lengths.pow(3).neg_() if self.inverse else lengths)
        by_pair = torch.empty_like(factor).scatter_(-1, order, factor)
        return torch.matmul((differences * by_pair.unsqueeze(-1)).flatten(-2), self.differences.to(gradient.dtype).mT)


def particle_layout(target: Target, *, asked_by: str) -> tuple[int, int]:
    """(n, m) of a law of n particles in m dimensions, its attribute ``particles``.

    Args:
        target: whose law may have ``particles``.
        asked_by: name of the component, for the message.

    Raises:
        ConfigurationError: if the law has none, or one that does not fit the coordinates.
    """
    layout = getattr(target.law, "particles", None)
    if layout is None:
        raise ConfigurationError(
            f"{asked_by} looks at distances between particles, but the law of target {target.name!r} names none; "
            "expected an attribute particles = (n, m), or take value-mlp"
        )
    particles, dims = (int(number) for number in layout)
    if particles < 2 or particles * dims != target.dim:
        raise ConfigurationError(
            f"particles of target {target.name!r} is {tuple(layout)} and its samples have {target.dim} coordinates; "
            "expected n ≥ 2 particles in m dimensions with n·m coordinates"
        )
    return particles, dims
