"""Systems of particles that interact in pairs: −log p(x) = Σ_{i<j} φ(|x_i − x_j|²), with the score by hand.

With s_ij = |x_i − x_j|² the score of particle i is −Σ_j 2 φ'(s_ij) (x_i − x_j). A harmonic trap around the centre of
mass is a pair potential too, since Σ_i |x_i − x̄|² = (1/n) Σ_{i<j} s_ij.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from typing import Self

import torch
from torch import Tensor, nn

from phys_samplers.errors import ConfigurationError
from phys_samplers.laws.zero_mean import zero_mean_basis
from phys_samplers.shapes import Points, Values


class PairPotential(nn.Module, ABC):
    """n particles in R^m with the same potential φ between any two of them.

    Energy and score do not change when all particles move together, so that any x is accepted; the law is that of the
    configurations with their centre of mass at the origin, with respect to Lebesgue measure on that subspace.

    Args:
        particles: n, at least 2.
        space: m, at least 1.

    Attributes:
        particles: (n, m); coordinates of x are grouped by particle.
        subspace: orthonormal rows ((n − 1)m, nm).
        core: squared distance below which φ goes on as its tangent in s. Energy and score stay finite in single
            precision for any x, coinciding particles included (whose force on each other is zero, by symmetry), and
            ``score`` remains the gradient of ``log_prob``. A law has it so small that no probability is down there.
    """

    subspace: Tensor
    _first: Tensor
    _second: Tensor
    _incidence: Tensor
    differentiable = True
    core: float

    def __init__(self, particles: int, space: int) -> None:
        super().__init__()
        basis, dtype = zero_mean_basis(particles, space), torch.get_default_dtype()
        self.particles = (particles, space)
        self.event_shape: tuple[int, ...] = (particles * space,)
        first, second = torch.triu_indices(particles, particles, 1)
        incidence = torch.zeros(particles, len(first), dtype=dtype)
        incidence[first, torch.arange(len(first))] = 1.0
        incidence[second, torch.arange(len(first))] = -1.0
        self.register_buffer("subspace", basis.to(dtype))
        self.register_buffer("_first", first)
        self.register_buffer("_second", second)
        self.register_buffer("_incidence", incidence)

    @abstractmethod
    def pair(self, squared: Tensor) -> tuple[Tensor, Tensor]:
        """φ(s) and φ'(s) at squared distances s of at least ``core``."""

    def softened(self, distance: float) -> Self:
        """The law whose core is as wide as ``distance``, so that forces are moderate where particles overlap.

        Right configurations of LJ-13 hardly notice a core of 0.8 (their energies change by 2e-5 at most), while of
        particles placed at random it leaves all pairs their say, where one overlap would otherwise hide the others.
        """
        if not distance > 0:
            raise ConfigurationError(f"distance is {distance!r}; expected a positive number")
        twin = copy.copy(self)
        twin.core = max(distance**2, self.core)
        return twin

    def _differences(self, x: Tensor) -> Tensor:
        """x_i − x_j (P, m, B) of the P pairs i < j: the batch is last, so that gathers copy whole rows."""
        particles = x.T.contiguous().unflatten(0, self.particles)
        return particles.index_select(0, self._first) - particles.index_select(0, self._second)

    def _continued(self, squared: Tensor) -> tuple[Tensor, Tensor]:
        """φ and φ' (P, B), continued below ``core``."""
        outside = squared.clamp_min(self.core)
        energy, slope = self.pair(outside)
        return energy + slope.detach() * (squared - outside), slope

    def log_prob(self, x: Points) -> Values:
        """Unnormalised log-density (B,) at ``x`` (B, nm)."""
        energy, _ = self._continued(self._differences(x).square().sum(1))
        return -energy.sum(0)

    def score(self, x: Points) -> Points:
        """∇ log p (B, nm); it has zero mean over the particles."""
        return self.log_prob_and_score(x)[1]

    def log_prob_and_score(self, x: Points) -> tuple[Values, Points]:
        """Both at the price of one."""
        apart = self._differences(x)
        energy, slope = self._continued(apart.square().sum(1))
        # the force on the first of each pair; it acts on the second with the opposite sign
        forces = self._incidence.to(x.dtype) @ (-2.0 * slope.unsqueeze(1) * apart).flatten(1)
        return -energy.sum(0), forces.view(*x.shape[::-1]).T
