r"""What a value network sees of a state: the state itself, or the pairwise distances of its particles.

A state of n particles in m dimensions is z ∈ R^K within the subspace of centred configurations, x = Sᵀz. Every
difference x_i − x_j is linear in z, so that one matrix takes z to all pairs' differences and its transpose takes
gradients back. With d_ij = |x_i − x_j|, the features are, sorted over the pairs i < j,

    √(d² + 1)                     (Yoon et al. 2025, arXiv:2502.13280, Sec. 4 and E.3.2: distances),
    1/√(d² + 1)                   (E.3.2: inverse distances, for the Lennard-Jones potential).

Distances do not change under translations, rotations and reflections, their order statistics not under permutations.
The 1 keeps the gradient finite where two particles coincide.

Sorting has kinks where two distances are equal, and order statistics of many pairs say little of who is near whom. The
environment of particle i, a sum over its pairs (Behler and Parrinello 2007, PRL 98, 146401), has neither defect:

    e_i = Σ_{j≠i} f(w r_ij + w'/r_ij + b_t)/√(n − 1),    r = √(d² + c²),    V = Σ_i perceptron(e_i).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from phys_samplers.errors import ConfigurationError
from phys_samplers.fields.stacked import StackedLinear, activation
from phys_samplers.randomness import Streams
from phys_samplers.target import Target
from phys_value_gradient.layers import Step, at_step, sloped_activation


class Features(nn.Module, ABC):
    """Rows that a perceptron sees; the values of a state's rows add up. They are ordered by site, then by state.

    Attributes:
        features: F, numbers in a row.
        sites: M, rows of one state.
        load: numbers of one state that making its rows holds at a time.
    """

    features: int
    sites: int = 1
    load: int = 0

    @abstractmethod
    def forward(self, z: Tensor, t: Step) -> Tensor:
        """Rows (R, M·N, F) of states z (R, N, K)."""

    @abstractmethod
    def with_saved(self, z: Tensor, t: Step) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The same, and what ``pull_back`` needs; no graph."""

    @abstractmethod
    def pull_back(self, gradient: Tensor, saved: tuple[Tensor, ...]) -> Tensor:
        """∂V/∂z (R, N, K) from ∂V/∂rows (R, M·N, F), which may be overwritten."""


class Coordinates(Features):
    """The state itself."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.features = dim

    def forward(self, z: Tensor, t: Step) -> Tensor:
        """See ``Features.forward``."""
        return z

    def with_saved(self, z: Tensor, t: Step) -> tuple[Tensor, tuple[Tensor, ...]]:
        """See ``Features.with_saved``."""
        return z, ()

    def pull_back(self, gradient: Tensor, saved: tuple[Tensor, ...]) -> Tensor:
        """See ``Features.pull_back``."""
        return gradient


class Differences(nn.Module):
    """The differences of all pairs of particles, and gradients back from them.

    Args:
        layout: (n, m), particles and their dimensions.
        subspace: orthonormal rows S (K, n·m); None where z is x.
        replicas: R, the length of the buffer's first axis.
    """

    differences: Tensor

    def __init__(self, layout: tuple[int, int], subspace: Tensor | None, *, replicas: int) -> None:
        super().__init__()
        particles, self.dims = layout
        first, second = torch.triu_indices(particles, particles, 1)
        self.pairs = len(first)
        eye = torch.eye(particles, dtype=torch.float64)
        apart = torch.kron(eye[first] - eye[second], torch.eye(self.dims, dtype=torch.float64)).T  # (n·m, P·m)
        like = torch.empty(0) if subspace is None else subspace
        matrix = apart if subspace is None else subspace.to("cpu", torch.float64) @ apart
        self.register_buffer("differences", matrix.to(like).repeat(replicas, 1, 1))

    def apart(self, z: Tensor) -> Tensor:
        """x_i − x_j (R, P, m, N): the states are last, so that every step runs along whole rows."""
        apart = torch.matmul(self.differences.to(z.dtype).mT, z.mT)  # the matrix keeps the subspace's precision
        return apart.unflatten(1, (self.pairs, self.dims))

    def along(self, apart: Tensor, factor: Tensor) -> Tensor:
        """∂V/∂z (R, N, K) where ∂V/∂(x_i − x_j) is a multiple (R, P, N) of the difference."""
        pull = (apart * factor.unsqueeze(2)).flatten(1, 2)
        return torch.matmul(self.differences.to(pull.dtype), pull).mT


class Pairs(Differences, Features):
    """What features of pairs share."""


class SortedDistances(Pairs):
    """√(d² + 1) of all pairs in rising order, or their inverses in falling order.

    Args:
        layout: see ``Differences``.
        subspace: likewise.
        replicas: likewise.
        inverse: whether to take inverses.
    """

    def __init__(self, layout: tuple[int, int], subspace: Tensor | None, *, replicas: int, inverse: bool) -> None:
        super().__init__(layout, subspace, replicas=replicas)
        self.features, self.inverse = self.pairs, inverse
        self.load = self.pairs * self.dims

    def forward(self, z: Tensor, t: Step) -> Tensor:
        """See ``Features.forward``."""
        lengths = (self.apart(z).square().sum(2) + 1).sqrt().mT.sort(-1).values
        return lengths.reciprocal() if self.inverse else lengths

    def with_saved(self, z: Tensor, t: Step) -> tuple[Tensor, tuple[Tensor, ...]]:
        """See ``Features.with_saved``."""
        apart = self.apart(z)
        lengths, order = apart.square().sum(2).add_(1).sqrt_().mT.sort(-1)
        features = lengths.reciprocal() if self.inverse else lengths
        return features, (apart, lengths, order)

    def pull_back(self, gradient: Tensor, saved: tuple[Tensor, ...]) -> Tensor:
        """See ``Features.pull_back``: back in the order of the pairs, then along the differences.

        With r = √(d² + 1): ∂r/∂δ = δ/r and ∂(1/r)/∂δ = −δ/r³.
        """
        apart, lengths, order = saved
        factor = gradient / (lengths.pow(3).neg_() if self.inverse else lengths)
        return self.along(apart, torch.empty_like(factor).scatter_(-1, order, factor).mT)


class Environments(Pairs):
    """The environments e_i of all particles, with a learned pair layer whose biases belong to the step.

    Args:
        layout: see ``Differences``.
        subspace: likewise.
        channels: F, numbers of one environment.
        core: c, a length; below it 1/r no longer rises.
        steps: T.
        activation_name: f.
        streams: one per replica, for the initial weights.
    """

    ends: Tensor

    def __init__(
        self,
        layout: tuple[int, int],
        subspace: Tensor | None,
        *,
        channels: int,
        core: float,
        steps: int,
        activation_name: str,
        streams: Streams,
    ) -> None:
        super().__init__(layout, subspace, replicas=streams.replicas)
        self.sites, self.features, self.core = layout[0], channels, core
        self.load = self.pairs * max(channels, self.dims)
        layer = StackedLinear(2, channels, streams=streams, gain=math.sqrt(3.0))
        self.weight = layer.weight
        self.table = nn.Parameter(layer.bias.data.repeat(1, steps, 1))
        self._activation = activation(activation_name)
        self._sloped = sloped_activation(activation_name)
        first, second = torch.triu_indices(self.sites, self.sites, 1)
        eye = torch.eye(self.sites)
        ends = (eye[first] + eye[second]).T / math.sqrt(self.sites - 1)
        self.register_buffer("ends", ends.repeat(streams.replicas, 1, 1))  # (R, n, P)

    def forward(self, z: Tensor, t: Step) -> Tensor:
        """See ``Features.forward``."""
        lengths = (self.apart(z).square().sum(2) + self.core**2).sqrt()
        return self._gathered(self._activation(self._before(lengths, t)), len(z[0]))

    def _before(self, lengths: Tensor, t: Step) -> Tensor:
        """w r + w'/r + b_t (R, P·N, F) of lengths (R, P, N)."""
        inputs = torch.stack((lengths, lengths.reciprocal()), -1).flatten(1, 2)
        return torch.baddbmm(
            at_step(self.table, t if isinstance(t, int) else t.repeat(self.pairs)), inputs, self.weight
        )

    def _gathered(self, pairs: Tensor, states: int) -> Tensor:
        """Sums over the pairs of each particle: (R, P·N, F) → (R, n·N, F)."""
        wide = pairs.unflatten(1, (self.pairs, states)).flatten(2)
        return torch.bmm(self.ends.to(pairs.dtype), wide).view(len(pairs), self.sites * states, self.features)

    def with_saved(self, z: Tensor, t: Step) -> tuple[Tensor, tuple[Tensor, ...]]:
        """See ``Features.with_saved``."""
        apart = self.apart(z)
        lengths = apart.square().sum(2).add_(self.core**2).sqrt_()
        hidden = self._before(lengths, t)
        slope = torch.empty_like(hidden)
        self._sloped(hidden, slope)
        return self._gathered(hidden, len(z[0])), (apart, lengths, slope)

    def pull_back(self, gradient: Tensor, saved: tuple[Tensor, ...]) -> Tensor:
        """See ``Features.pull_back``: to the pairs of each particle, through the pair layer, along the differences."""
        apart, lengths, slope = saved
        wide = gradient.view(len(gradient), self.sites, -1)
        pairs = torch.bmm(self.ends.to(gradient.dtype).mT, wide).view_as(slope).mul_(slope)
        outer = torch.bmm(pairs, self.weight.mT).view(*lengths.shape, 2)
        return self.along(apart, (outer[..., 0] - outer[..., 1] / lengths.square()) / lengths)


def particle_layout(target: Target, dim: int, *, asked_by: str) -> tuple[int, int]:
    """(n, m) of a law of n particles in m dimensions, its attribute ``particles``.

    Args:
        target: whose law may have ``particles``.
        dim: coordinates of the states, those of the law's subspace if it has one.
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
    rows = target.flat_dim
    if rows != dim:
        raise ConfigurationError(f"dim is {dim}; expected the {rows} coordinates of target {target.name!r}")
    return particles, dims
