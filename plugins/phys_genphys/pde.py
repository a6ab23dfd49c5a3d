r"""A PDE as a generative process: a point source spreads, ∂p/∂t + ∇·(p v) = R, and what one needs to run it backwards.

Times are told by the *level* σ(t), the typical size of what a source has spread to, so that schedules, integrators and
preconditioning of the denoisers serve every equation. A source at y makes, at x with r = |x − y|, around itself

    p(r, σ)           density, whose integral is the mass left                     ``log_density``, ``log_mass``
    dx/dlog σ         = κ(r, σ) (x − y), the velocity v in levels                  ``pull``
    R/p               births (deaths if negative) a particle and unit of log σ     ``growth``

and data make the mixtures of these: v p and R are linear in the sources, so that the velocity at x is the mean of the
sources' own under the weights p(|x − y|), and a network learns it by regression on them (Liu et al. 2023,
arXiv:2304.02637, Alg. 4 of the thesis). κ = 1 for every law that keeps its shape: the conserved, radial flow of
p = σ^{−N} f(r/σ) is x/σ.

>>> pde = make("pde", "mixed-diffusion-poisson", a=1.0, b=0.5)
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from phys_samplers.errors import ConfigurationError, MissingCapability
from phys_samplers.options import check_values, fit_option
from phys_samplers.randomness import Streams

LEAST_BETA = 0.15
"""Of fractional diffusion: at .1 one draw in a thousand has a square that single precision does not hold."""


@dataclass(frozen=True, kw_only=True)
class PDE(ABC):
    """A linear, isotropic equation whose point source is a density flow; a frozen dataclass of its constants.

    Its laws are asked in inner loops and check nothing: levels are positive, times and squares not negative.

    Attributes:
        conserves: whether R = 0, so that particles neither die nor are born.
        straight: whether κ = 1, so that D is a mean of rows.
        has_density: whether ``log_density`` is known; without it targets are single sources.
        rate: an inverse length, of the order of R/(p σ).
    """

    conserves: ClassVar[bool] = True
    straight: ClassVar[bool] = True
    has_density: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_values(self)

    @property
    def rate(self) -> float:
        """See the class."""
        return 1.0

    def check(self, dim: int, levels: tuple[float, float]) -> None:  # noqa: B027 - most serve all
        """Refuse coordinates, or constants for the least and the greatest level, that the equation does not serve.

        Args:
            dim: coordinates N.
            levels: the least and the greatest level, in units of the standardised data.

        Raises:
            ConfigurationError: saying which constants would do.
        """

    @property
    @abstractmethod
    def relation(self) -> str:
        """The operator, as the classifier reads it: ``dt`` for ∂/∂t, ``lap`` for the Laplacian."""

    @abstractmethod
    def time(self, level: Tensor) -> Tensor:
        """t at the level σ."""

    @abstractmethod
    def transform(self, k: Tensor, t: Tensor) -> Tensor:
        """p̂(k, t), the Fourier transform of the density of a unit source; p̂(0, t) is the mass."""

    @abstractmethod
    def noise(self, level: Tensor, dim: int, streams: Streams) -> Tensor:
        """Displacements x − y (R, B, N) at levels (R, B), from the law that ``log_importance`` compares with."""

    def log_density(self, squared: Tensor, level: Tensor, dim: int) -> Tensor:
        """log p at squared distances, of unit mass at t = 0.

        Raises:
            MissingCapability: if the Green's function is known by its transform only.
        """
        raise MissingCapability(
            f"{type(self).__name__} knows its kernel by its transform and by draws only; take stable_target=false"
        )

    def log_proposal(self, squared: Tensor, level: Tensor, dim: int) -> Tensor:
        """log q of the law of ``noise``."""
        return self.log_density(squared, level, dim)

    def log_importance(self, squared: Tensor, level: Tensor, dim: int) -> Tensor | None:
        """log p/q; None if they are one law."""
        return None

    def pull(self, squared: Tensor, level: Tensor, dim: int) -> Tensor | None:
        """κ in dx/dlog σ = κ (x − y); None for 1."""
        return None

    def growth(self, squared: Tensor, level: Tensor, dim: int) -> Tensor | None:
        """R/p in units of log σ; None for 0."""
        return None

    @abstractmethod
    def precision(self, squared: Tensor, level: Tensor, dim: int) -> Tensor:
        """−2 ∂log p/∂r²: of the Gaussian noise that a displacement tells of, the mean inverse variance."""

    def log_mass(self, level: Tensor) -> Tensor:
        """log of the mass that is left of a unit source."""
        return self.transform(torch.zeros_like(level), self.time(level)).log()


@dataclass(frozen=True, kw_only=True)
class Diffusion(PDE):
    """φ_t = Δφ: p = φ, v = −∇log φ, a Gaussian of variance σ² = 2t a coordinate.

    Eq. 9.5 of the thesis prints the variance t, which belongs to φ_t = ½ Δφ; its Table 9.1 and Eq. A.101 have 2t.
    """

    @property
    def relation(self) -> str:
        """See ``PDE.relation``."""
        return "dt - lap"

    def time(self, level: Tensor) -> Tensor:
        """σ²/2."""
        return 0.5 * level.square()

    def transform(self, k: Tensor, t: Tensor) -> Tensor:
        """e^{−k²t}."""
        return torch.exp(-k.square() * t)

    def noise(self, level: Tensor, dim: int, streams: Streams) -> Tensor:
        """σ n."""
        return streams.normal(level.shape[-1], dim, dtype=level.dtype) * level.unsqueeze(-1)

    def log_density(self, squared: Tensor, level: Tensor, dim: int) -> Tensor:
        """Of N(0, σ² I)."""
        variance = level.square()
        return squared / (-2 * variance) - 0.5 * dim * (2 * math.pi * variance).log()

    def precision(self, squared: Tensor, level: Tensor, dim: int) -> Tensor:
        """1/σ²."""
        return level.square().reciprocal()


@dataclass(frozen=True, kw_only=True)
class Poisson(PDE):
    """φ_tt + Δφ = 0: p = −φ_t, v = ∇φ/φ_t = (x − y)/t, a multivariate Cauchy law of scale σ = t.

    p = Γ(μ) t / (π ρ²)^μ with ρ² = r² + t² and μ = (N + 1)/2: PFGM, or PFGM++ with D = 1.
    """

    @property
    def relation(self) -> str:
        """See ``PDE.relation``."""
        return "dt**2 + lap"

    def time(self, level: Tensor) -> Tensor:
        """σ."""
        return level

    def transform(self, k: Tensor, t: Tensor) -> Tensor:
        """e^{−kt}, the branch that fades."""
        return torch.exp(-k * t)

    def noise(self, level: Tensor, dim: int, streams: Streams) -> Tensor:
        """σ n/|n₁|: straight lines out of the source, as many in every direction of the half space."""
        normal = streams.normal(level.shape[-1], dim + 1, dtype=torch.float64)
        # A draw of exactly zero has no quotient.
        below = normal[..., -1:].abs().clamp_(min=1e-12)
        return (normal[..., :-1] / below * level.unsqueeze(-1)).to(level.dtype)

    def log_density(self, squared: Tensor, level: Tensor, dim: int) -> Tensor:
        """See the class."""
        mu = 0.5 * (dim + 1)
        return level.log() - mu * (squared + level.square()).mul_(math.pi).log_() + math.lgamma(mu)

    def precision(self, squared: Tensor, level: Tensor, dim: int) -> Tensor:
        """(N + 1)/ρ²."""
        return (dim + 1) / (squared + level.square())


@dataclass(frozen=True, kw_only=True)
class FractionalDiffusion(PDE):
    """φ_t + (−Δ)^β φ = 0, 0 < β ≤ 1: p = φ, the stable law of exponent 2β, which keeps its shape at σ = t^{1/(2β)}.

    So the velocity is x/σ around a source, as for Poisson (β = ½) and diffusion (β = 1, with σ = √t). Draws are
    σ √(2τ) n with τ a positive stable variable of exponent β (M. Kanter, Ann. Probab. 3, 1975). The third-order
    equation φ_ttt = Δφ of Table 9.2 is the case β = ⅓ on its branch ω = −i k^{2/3}, with p = φ_tt. For β > 1 the
    kernel takes negative values: no density, whatever the table says of the biharmonic equation (β = 2).

    Args:
        beta: β, from .15 on: the tails, as |x|^{−2β}, of smaller ones run over the numbers.
    """

    has_density: ClassVar[bool] = False

    beta: float = fit_option(0.75, above=0, most=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.beta < LEAST_BETA:
            raise ConfigurationError(
                f"beta is {self.beta}; expected at least {LEAST_BETA}: draws, with tails as |x|^(−2β), overflow below"
            )

    @property
    def relation(self) -> str:
        """See ``PDE.relation``."""
        return f"dt + (-lap)**{self.beta!r}"

    def time(self, level: Tensor) -> Tensor:
        """σ^{2β}."""
        return level.pow(2 * self.beta)

    def transform(self, k: Tensor, t: Tensor) -> Tensor:
        """e^{−k^{2β} t}."""
        return torch.exp(-k.pow(2 * self.beta) * t)

    def noise(self, level: Tensor, dim: int, streams: Streams) -> Tensor:
        """σ √(2τ) n."""
        normal = streams.normal(level.shape[-1], dim, dtype=torch.float64)
        if self.beta == 1:
            return (normal * (math.sqrt(2) * level.unsqueeze(-1))).to(level.dtype)
        uniform = streams.uniform(level.shape[-1], 2, dtype=torch.float64).clamp_(min=1e-12)
        angle, exponential = math.pi * uniform[..., 0], -torch.log(uniform[..., 1]).clamp_(max=-1e-300)
        b = self.beta
        tau = torch.sin(b * angle) / torch.sin(angle).pow(1 / b)
        tau = tau * (torch.sin((1 - b) * angle) / exponential).pow((1 - b) / b)
        return (normal * ((2 * tau).sqrt() * level).unsqueeze(-1)).to(level.dtype)

    def precision(self, squared: Tensor, level: Tensor, dim: int) -> Tensor:
        """About that of Student's law with 2β degrees of freedom, whose tails are as heavy; it is only a scale."""
        if self.beta == 1:
            return 0.5 / level.square()
        alpha = 2 * self.beta
        return (dim + alpha) / (squared + alpha * level.square())


def refuse_dimension(name: str, dim: int, most: int, why: str) -> None:
    """Refuse more coordinates than an equation has a density in.

    Raises:
        ConfigurationError: naming both.
    """
    if dim > most:
        raise ConfigurationError(f"{name} in {dim} coordinates: {why}; expected data of at most {most} coordinates")
