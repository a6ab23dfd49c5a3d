r"""Equations whose source makes a function of ρ = √(r² + t²): screened Poisson, Helmholtz, and mixed diffusion–Poisson.

With μ = (N + 1)/2 the density of φ_tt + Δφ − m²φ = 0 around a unit source is

    p = −φ_t = 2t (m/(2πρ))^μ K_μ(mρ),        p̂ = e^{−t√(k² + m²)},        mass e^{−mt},

and that of Helmholtz's equation the same with −(π/2) Y_μ(k₀ρ) in place of K_μ(mρ). φ depends on ρ alone, so v = ∇φ/φ_t
= (x − y)/t, the straight lines of Poisson; what differs is how many particles come along, by R/p = −m²φ/p:

    screened Poisson   −mρ K_{μ−1}/K_μ (mρ)/t        deaths, more for those that go far
    Helmholtz          +k₀ρ Y_{μ−1}/Y_μ (k₀ρ)/t      births, for k₀ρ below the first zero of Y_{μ−1}

The mixed equation aφ_tt − bφ_t + Δφ = 0 has p = bφ − aφ_t, v = −∇φ/p, R = 0 and p̂ = e^{−ωt} with
ω = (√(b² + 4ak²) − b)/(2a). That is the screened law with m = b/(2a), in coordinates √a x, divided by its mass: where
App. A.6.2 of the thesis finds no closed form of its integral, this is one. Its flow is not straight,

    κ = (t/r) v = ∫_ρ^∞ e^{−m(τ − t)} m s^{1−μ} K_{μ+1}(ms) ds/s / (ρ^{−μ} K_μ(mρ)),        τ² = s² − r²,

found by integrating φ = ∫_t^∞ e^{−(b/a)(s − t)} p ds/a by parts. (Table 9.1 prints e^{−√(k₀² − k²) t} for the transform
of Helmholtz's equation below k₀; its roots are imaginary, and the standing wave is a cosine.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import torch
from torch import Tensor

from phys_genphys.bessel import bessel_y, first_zero, log_k, log_scaled_k
from phys_genphys.pde import PDE, Poisson
from phys_samplers.errors import ConfigurationError
from phys_samplers.options import fit_option
from phys_samplers.randomness import Streams

MOST_SCREENING = 0.5
"""Greatest m that trained births serve: .73 effective draws a sample, .01 at m = 1, with levels up to 10 or 20."""
LOST = 0.05
"""Share of lines that may leave Helmholtz's ball; exact flows keep .98 of the spread of rows at .025, .91 at .13."""
NODES = 16
"""Of the quadrature of κ: its relative error is 10⁻⁶ below r = 3σ, 2·10⁻³ at 100σ."""


@dataclass(frozen=True, kw_only=True)
class ScreenedPoisson(Poisson):
    """φ_tt + Δφ − m²φ = 0 (Yukawa): Poisson's lines with deaths; see the module.

    Draws are Poisson's, where the lines are, with weights p/q: far lines are rare in p at late times, but their
    particles are those that have died least on the way back, and without them the weights have no variance.

    Args:
        m: screening, in inverse units of the standardised data; models are trained for at most .5.
    """

    conserves: ClassVar[bool] = False

    m: float = fit_option(0.05, above=0)

    @property
    def rate(self) -> float:
        """m."""
        return self.m

    @property
    def relation(self) -> str:
        """See ``PDE.relation``."""
        return f"dt**2 + lap - {self.m!r}**2"

    def check(self, dim: int, levels: tuple[float, float]) -> None:
        """See ``PDE.check``: a network has to get how many more die of those that come from far away."""
        if self.m > MOST_SCREENING:
            raise ConfigurationError(
                f"m is {self.m:g}, a screening length of {1 / self.m:.3g} spreads of the data: trained births do not "
                f"make up for so many deaths, whatever the levels are; expected m of at most {MOST_SCREENING:g}"
            )

    def transform(self, k: Tensor, t: Tensor) -> Tensor:
        """e^{−t√(k² + m²)}."""
        return torch.exp(-t * (k.square() + self.m**2).sqrt())

    def log_importance(self, squared: Tensor, level: Tensor, dim: int) -> Tensor:
        """log 2 (z/2)^μ K_μ(z)/Γ(μ) at z = mρ, at most 0."""
        mu, z = 0.5 * (dim + 1), self.m * (squared + level.square()).sqrt()
        return (0.5 * z).log() * mu + log_k(mu, z)[0] + (math.log(2) - math.lgamma(mu))

    def log_proposal(self, squared: Tensor, level: Tensor, dim: int) -> Tensor:
        """Poisson's."""
        return super().log_density(squared, level, dim)

    def log_density(self, squared: Tensor, level: Tensor, dim: int) -> Tensor:
        """See the module."""
        return super().log_density(squared, level, dim) + self.log_importance(squared, level, dim)

    def growth(self, squared: Tensor, level: Tensor, dim: int) -> Tensor:
        """−mρ K_{μ−1}(mρ)/K_μ(mρ)."""
        z = self.m * (squared + level.square()).sqrt()
        return -z / log_k(0.5 * (dim - 1), z)[1]

    def precision(self, squared: Tensor, level: Tensor, dim: int) -> Tensor:
        """m K_{μ+1}/(ρ K_μ)."""
        rho = (squared + level.square()).sqrt()
        return self.m / rho * log_k(0.5 * (dim + 1), self.m * rho)[1]


@dataclass(frozen=True, kw_only=True)
class Helmholtz(Poisson):
    """φ_tt + Δφ + k₀²φ = 0: Poisson's lines with births, inside the ball k₀ρ ≤ the first zero of Y_{(N−1)/2}.

    Outside of it p changes its sign and is no density; particles there have weight 0. Mass is not conserved: over all
    of space it is cos k₀t, most of it in tails that are cut off.

    Args:
        k0: k₀, in inverse units of the standardised data. Lines that leave the ball before the last level are lost: the
            fewer, the smaller k₀ is; with more than a twentieth of them lost it is refused.
    """

    conserves: ClassVar[bool] = False

    k0: float = fit_option(0.002, above=0)

    @property
    def rate(self) -> float:
        """k₀."""
        return self.k0

    @property
    def relation(self) -> str:
        """See ``PDE.relation``."""
        return f"dt**2 + lap + {self.k0!r}**2"

    def reach(self, dim: int) -> float:
        """The radius of the ball."""
        return first_zero(0.5 * (dim - 1)) / self.k0

    def check(self, dim: int, levels: tuple[float, float]) -> None:
        """See ``PDE.check``: the lines with ρ beyond the ball at the greatest level t, those of cos θ < t/reach."""
        from scipy.special import betainc, betaincinv

        shape, reach = (0.5, 0.5 * dim), self.reach(dim)
        lost = float(betainc(*shape, min(1.0, (levels[1] / reach) ** 2)))
        if lost > LOST:
            most = math.floor(1e5 * math.sqrt(betaincinv(*shape, LOST)) / levels[1] * reach * self.k0) / 1e5
            raise ConfigurationError(
                f"k0 is {self.k0:g}: in {dim} coordinates p is a density up to {reach:.3g} from a row, and at the "
                f"largest level {levels[1]:g} the outermost {100 * lost:.0f} % of the lines are beyond: samples would "
                f"be too narrow; expected k0 of at most {most:g}, or a smaller sigma_max of the schedule"
            )

    def transform(self, k: Tensor, t: Tensor) -> Tensor:
        """cos(√(k₀² − k²) t) for k ≤ k₀, e^{−√(k² − k₀²) t} above; of the kernel on all of space."""
        squared = k.square() - self.k0**2
        root = squared.abs().sqrt() * t
        return torch.where(squared > 0, torch.exp(-root), root.cos())

    def log_importance(self, squared: Tensor, level: Tensor, dim: int) -> Tensor:
        """log −π (z/2)^μ Y_μ(z)/Γ(μ) at z = k₀ρ; −∞ outside of the ball."""
        mu, z = 0.5 * (dim + 1), (squared + level.square()).sqrt().double() * self.k0
        inside = z <= first_zero(mu - 1)
        z = torch.where(inside, z, torch.ones_like(z) * first_zero(mu - 1))
        value = (-bessel_y(mu, z)[0]).log() + mu * (0.5 * z).log() + (math.log(math.pi) - math.lgamma(mu))
        return torch.where(inside, value, -math.inf).to(squared.dtype)

    def log_proposal(self, squared: Tensor, level: Tensor, dim: int) -> Tensor:
        """Poisson's."""
        return super().log_density(squared, level, dim)

    def log_density(self, squared: Tensor, level: Tensor, dim: int) -> Tensor:
        """See the module; −∞ outside of the ball."""
        return super().log_density(squared, level, dim) + self.log_importance(squared, level, dim)

    def growth(self, squared: Tensor, level: Tensor, dim: int) -> Tensor:
        """k₀ρ Y_{μ−1}(k₀ρ)/Y_μ(k₀ρ); 0 outside of the ball."""
        z = (squared + level.square()).sqrt().double() * self.k0
        low, high = bessel_y(0.5 * (dim - 1), z.clamp(max=first_zero(0.5 * (dim - 1))))
        return torch.where(z <= first_zero(0.5 * (dim - 1)), z * low / high, 0.0).to(squared.dtype)

    def log_mass(self, level: Tensor) -> Tensor:
        """Not of use: what is cut off decides it. 0."""
        return torch.zeros_like(level)


@dataclass(frozen=True, kw_only=True)
class MixedDiffusionPoisson(PDE):
    """aφ_tt − bφ_t + Δφ = 0: Poisson's law for t ≪ a/b, diffusion's for t ≫ a/b, in between the module's.

    The level is σ with a σ² = t²/(1 + mt), m = b/(2a): t/√a early, √(2t/b) late. Draws are Gaussian of variance 2τ with
    the inverse Gaussian time τ that a Brownian motion with drift takes to reach t.

    Args:
        a: of φ_tt.
        b: of φ_t.
    """

    straight: ClassVar[bool] = False

    a: float = fit_option(1.0, above=0)
    b: float = fit_option(1.0, above=0)

    @property
    def m(self) -> float:
        """b/(2a)."""
        return self.b / (2 * self.a)

    @property
    def relation(self) -> str:
        """See ``PDE.relation``."""
        return f"{self.a!r}*dt**2 - {self.b!r}*dt + lap"

    def time(self, level: Tensor) -> Tensor:
        """The positive root of t² = aσ² (1 + mt)."""
        s = self.a * level.square()
        return 0.5 * (self.m * s + (s * (self.m**2 * s + 4)).sqrt())

    def transform(self, k: Tensor, t: Tensor) -> Tensor:
        """e^{−ωt}, the branch that fades."""
        # (√(b² + 4ak²) − b)/(2a) without the cancellation for small k
        return torch.exp(-2 * k.square() * t / ((self.b**2 + 4 * self.a * k.square()).sqrt() + self.b))

    def noise(self, level: Tensor, dim: int, streams: Streams) -> Tensor:
        """√(2τ/a) n."""
        normal = streams.normal(level.shape[-1], dim + 1, dtype=torch.float64)
        uniform = streams.uniform(level.shape[-1], dtype=torch.float64)
        t = self.time(level.double())
        # Michael, Schucany & Haas 1976, for the mean 1 and shape tm; the smaller root without cancellation.
        y = normal[..., -1].square() / (self.m * t)
        root = 1 / (1 + 0.5 * y + (y * (1 + 0.25 * y)).sqrt())
        tau = torch.where(uniform * (1 + root) <= 1, root, 1 / root) * (t / (2 * self.m))
        return (normal[..., :-1] * (2 * tau / self.a).sqrt().unsqueeze(-1)).to(level.dtype)

    def _rho(self, squared: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
        t = self.time(level)
        return (self.a * squared + t.square()).sqrt(), t

    def log_density(self, squared: Tensor, level: Tensor, dim: int) -> Tensor:
        """See the module."""
        (rho, t), mu = self._rho(squared, level), 0.5 * (dim + 1)
        shape = log_scaled_k(mu, self.m * rho)[0] + mu * (self.m / (2 * math.pi * rho)).log()
        # −m(ρ − t), a difference of large numbers where a is small
        return shape + (2 * t).log() - self.m * self.a * squared / (rho + t) + 0.5 * dim * math.log(self.a)

    def pull(self, squared: Tensor, level: Tensor, dim: int) -> Tensor:
        """κ of the module, times dlog t/dlog σ = 2(1 + mt)/(2 + mt)."""
        (rho, t), mu = self._rho(squared, level), 0.5 * (dim + 1)
        nodes, weights = _quadrature(NODES, rho.dtype, rho.device)
        rho, late = rho.unsqueeze(-1), t.unsqueeze(-1)
        # s = ρ + ℓ q/(1 − q) with ℓ the length on which the integrand falls
        length = rho / (1 + self.m * rho)
        step = length * nodes / (1 - nodes)
        s = rho + step
        # τ² − t² = s² − ρ²
        gained = step * (s + rho)
        tau = (gained + late.square()).sqrt()
        log_value = log_scaled_k(mu + 1, self.m * s)[0] - log_scaled_k(mu, self.m * rho)[0] - mu * (s / rho).log()
        log_value = log_value - self.m * (step + gained / (tau + late))
        value = torch.exp(log_value) * length / (1 - nodes).square()
        kappa = self.m * (value * weights).sum(-1)
        return kappa * (2 * (1 + self.m * t) / (2 + self.m * t))

    def precision(self, squared: Tensor, level: Tensor, dim: int) -> Tensor:
        """a m K_{μ+1}/(ρ K_μ)."""
        rho, _ = self._rho(squared, level)
        return self.a * self.m / rho * log_k(0.5 * (dim + 1), self.m * rho)[1]


@lru_cache(maxsize=8)
def _quadrature(n: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """Gauss–Legendre nodes and weights on [0, 1]."""
    from numpy.polynomial.legendre import leggauss

    nodes, weights = leggauss(n)
    return tuple(torch.from_numpy(part).to(device, dtype) for part in (0.5 * (nodes + 1), 0.5 * weights))  # type: ignore[return-value]
