r"""Mobilities that grow with the distance from the centre, and a Metropolis-adjusted step of their diffusions.

A symmetric, positive definite kernel K(u, v) of any law has a mobility M(u) = E_v K(u, v), and with it

    du = b dt + √2 M^{1/2} dW,        b = ∇·M + M∇log p,        (∇·M)_i = Σ_j ∂_j M_ij,

keeps p: in the current bp − ∇·(Mp) all terms cancel, whatever M is. (The fields of the paper are halves of these, s = q
and g = ½(∇q + q∇log p), for M = qI.) A kernel that grows like |u − v|² has a mobility that grows like |u|² far out, up
to constants, so that log|u| moves at a rate that does not fall with |u|. In a Student-t law, where −u ∂log p =
(ν + 1)u²/(ν + u²), the diffusion with M = 1 + u²/ν is Pearson's: its drift is linear, and it relaxes exponentially,
where Langevin dynamics needs a time of order R² to reach |u| = R.

    growing      M = (1 + c|u|²) I                      ∇·M = 2cu             K = (1 + c|u − v|²) I
    rank-one     M = I + c uuᵀ                          ∇·M = c(D + 1)u       K = I + c(u − v)(u − v)ᵀ
    coordinate   M = diag(1 + c_i u_i²)                 ∇·M = 2c_i u_i        K = diag(1 + c_i(u_i − v_i)²)
    radial       M = (1 + cr²) ûûᵀ + (r/ρ)² (I − ûûᵀ)   r = |u| = sinh(√c ρ)/√c

The last two are *flat*: with u = φ(y), u_i = sinh(√c_i y_i)/√c_i, or u = r(ρ)ŷ with ρ = |y|, M = JJᵀ for the Jacobian
J of φ, and the diffusion is Langevin dynamics of y in the density p(φ(y)) |det J|, whose tails are exponential where
those of p are powers. Its steps have one noise everywhere, so that they may be long. In more than one dimension the
others are that in no coordinates (the noise of ``rank-one`` is a Brownian motion in hyperbolic space). They propose
u' ~ N(u + hb, 2hM), whose determinant changes on the way, so that h has to fall like 1/D.

Source: Li et al. 2024, arXiv:2410.01796, Eq. 7 to 13; Ma, Chen & Fox 2015, arXiv:1506.04696, Theorem 1, for matrices;
Forman & Sørensen 2008, *The Pearson diffusions*, for the linear drift; Roberts & Stramer 2002, Section 4, for the step;
Johnson & Geyer 2012, *Variable transformation to obtain geometric ergodicity in the random-walk Metropolis algorithm*.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from phys_samplers.chains.mala import MALAInfo, MALAState, decide
from phys_samplers.density import LogDensity

LEAST = 1e-8
"""Growths below are taken for it by the maps, which are the identity there but for rounding."""


@dataclass(frozen=True)
class Mobility(ABC):
    """M at points u (B, D) of a frame.

    Args:
        growth: c, 0-d; (D,) for ``coordinate``.
    """

    name: ClassVar[str]

    growth: Tensor

    @abstractmethod
    def root(self, u: Tensor, v: Tensor, power: float = 1.0) -> Tensor:
        """M^{power/2} v (B, D), of the symmetric root."""

    @abstractmethod
    def half_log_det(self, u: Tensor) -> Tensor:
        """½ log det M (B,)."""

    @abstractmethod
    def divergence(self, u: Tensor) -> Tensor:
        """∇·M (B, D)."""

    def drift(self, u: Tensor, score: Tensor) -> Tensor:
        """b = ∇·M + M∇log p (B, D)."""
        return self.divergence(u) + self.root(u, score, 2.0)


class Growing(Mobility):
    """The mean of a scalar kernel: (1 + c|u|²) I."""

    name = "growing"

    def _value(self, u: Tensor) -> Tensor:
        return 1 + self.growth * u.square().sum(1, keepdim=True)

    def root(self, u: Tensor, v: Tensor, power: float = 1.0) -> Tensor:
        """See ``Mobility.root``."""
        return self._value(u) ** (power / 2) * v

    def half_log_det(self, u: Tensor) -> Tensor:
        """See ``Mobility.half_log_det``."""
        return (u.shape[1] / 2) * self._value(u).log().squeeze(1)

    def divergence(self, u: Tensor) -> Tensor:
        """See ``Mobility.divergence``."""
        return 2 * self.growth * u


class RankOne(Mobility):
    """The mean of a matrix kernel: I + c uuᵀ."""

    name = "rank-one"

    def root(self, u: Tensor, v: Tensor, power: float = 1.0) -> Tensor:
        """See ``Mobility.root``."""
        square = u.square().sum(1, keepdim=True).clamp(min=1e-30)
        factor = torch.expm1((power / 2) * (self.growth * square).log1p())
        return v + factor / square * (u * v).sum(1, keepdim=True) * u

    def half_log_det(self, u: Tensor) -> Tensor:
        """See ``Mobility.half_log_det``."""
        return 0.5 * (self.growth * u.square().sum(1)).log1p()

    def divergence(self, u: Tensor) -> Tensor:
        """See ``Mobility.divergence``."""
        return (u.shape[1] + 1) * self.growth * u


class Flat(Mobility):
    """M = JJᵀ with the Jacobian J, symmetric, of a map u = φ(y)."""

    @property
    def rate(self) -> Tensor:
        """√c."""
        return self.growth.clamp(min=LEAST).sqrt()

    @abstractmethod
    def outward(self, y: Tensor) -> Tensor:
        """U = φ(y) (B, D)."""

    @abstractmethod
    def inward(self, u: Tensor) -> Tensor:
        """Y of u (B, D)."""

    @abstractmethod
    def slope(self, u: Tensor) -> Tensor:
        """∇_y log det J (B, D), at u."""

    def lift(self, u: Tensor, log_prob: Tensor, score: Tensor) -> tuple[Tensor, Tensor]:
        """The log-density (B,) of y and its gradient (B, D) from those of u."""
        return log_prob + self.half_log_det(u), self.root(u, score) + self.slope(u)


class Coordinate(Flat):
    """Every coordinate by itself: diag(1 + c_i u_i²)."""

    name = "coordinate"

    def root(self, u: Tensor, v: Tensor, power: float = 1.0) -> Tensor:
        """See ``Mobility.root``."""
        return (1 + (self.rate * u).square()) ** (power / 2) * v

    def half_log_det(self, u: Tensor) -> Tensor:
        """See ``Mobility.half_log_det``."""
        return 0.5 * (self.rate * u).square().log1p().sum(1)

    def divergence(self, u: Tensor) -> Tensor:
        """See ``Mobility.divergence``."""
        return 2 * self.rate.square() * u

    def outward(self, y: Tensor) -> Tensor:
        """See ``Flat.outward``."""
        return (self.rate * y).sinh() / self.rate

    def inward(self, u: Tensor) -> Tensor:
        """See ``Flat.inward``."""
        return (self.rate * u).asinh() / self.rate

    def slope(self, u: Tensor) -> Tensor:
        """See ``Flat.slope``."""
        return self.rate.square() * u * (1 + (self.rate * u).square()).rsqrt()


class Radial(Flat):
    """Rays stretched alike, whatever their direction: a(r) ûûᵀ + b(r) (I − ûûᵀ) with a = 1 + cr² and b = (r/ρ)²."""

    name = "radial"

    def _radii(self, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """R, √c ρ and √a, each (B, 1)."""
        r = u.norm(dim=1, keepdim=True).clamp(min=1e-15)
        return r, (self.rate * r).asinh(), (1 + (self.rate * r).square()).sqrt()

    def root(self, u: Tensor, v: Tensor, power: float = 1.0) -> Tensor:
        """See ``Mobility.root``."""
        r, depth, along = self._radii(u)
        across = (self.rate * r / depth) ** power
        return across * v + (along**power - across) * ((u * v).sum(1, keepdim=True) / r) * (u / r)

    def half_log_det(self, u: Tensor) -> Tensor:
        """See ``Mobility.half_log_det``."""
        r, depth, along = self._radii(u)
        return (along.log() + (u.shape[1] - 1) * (self.rate * r / depth).log()).squeeze(1)

    def divergence(self, u: Tensor) -> Tensor:
        """See ``Mobility.divergence``: (a′ + (D − 1)(a − b)/r) û."""
        r, depth, along = self._radii(u)
        across = self.rate * r / depth
        return (2 * self.rate.square() + (u.shape[1] - 1) * (along.square() - across.square()) / r.square()) * u

    def outward(self, y: Tensor) -> Tensor:
        """See ``Flat.outward``."""
        depth = self.rate * y.norm(dim=1, keepdim=True).clamp(min=1e-15)
        return depth.sinh() / depth * y

    def inward(self, u: Tensor) -> Tensor:
        """See ``Flat.inward``."""
        r, depth, _ = self._radii(u)
        return depth / (self.rate * r) * u

    def slope(self, u: Tensor) -> Tensor:
        """See ``Flat.slope``: with t = √c ρ, √c (tanh t + (D − 1)(coth t − 1/t)) û."""
        r, depth, along = self._radii(u)
        sine = self.rate * r
        near = depth * (1 / 3 - depth.square() / 45 * (1 - depth.square() * (2 / 21)))
        turn = torch.where(depth < 0.3, near, along / sine - 1 / depth)
        return self.rate * (sine / along + (u.shape[1] - 1) * turn) * (u / r)


MOBILITIES: dict[str, type[Mobility]] = {kind.name: kind for kind in (Radial, Coordinate, RankOne, Growing)}


def step(
    state: MALAState,
    log_density: LogDensity,
    mobility: Mobility,
    *,
    step_size: Tensor | float,
    noise: Tensor,
    log_uniform: Tensor,
) -> tuple[MALAState, MALAInfo]:
    """One proposal u' ~ N(u + hb, 2hM) and its test: one evaluation; with M = I this is MALA's.

    With the displacement d = hb(u) + √(2h) M^{1/2}z, the way back needs d + hb(u'), and no difference of positions,
    which would cancel far out. A proposal where the density is zero or something is not a number is refused; a chain
    that starts where the density is zero takes the first proposal where it is not.

    Args:
        state: of all chains.
        log_density: log p and its gradient.
        mobility: M.
        step_size: h > 0, one for all chains.
        noise: standard normal (B, D).
        log_uniform: logarithms of uniform draws on [0, 1), (B,).
    """
    u, log_prob, score = state
    displacement = step_size * mobility.drift(u, score) + (2 * step_size) ** 0.5 * mobility.root(u, noise)
    proposal = u + displacement
    log_prob_there, score_there = log_density(proposal)
    back = mobility.root(proposal, displacement + step_size * mobility.drift(proposal, score_there), -1.0)
    log_ratio = (
        log_prob_there - log_prob
        + mobility.half_log_det(u) - mobility.half_log_det(proposal)
        + 0.5 * noise.square().sum(1) - back.square().sum(1) / (4 * step_size)
    )  # fmt: skip
    return decide(state, MALAState(proposal, log_prob_there, score_there), log_ratio, log_uniform)
