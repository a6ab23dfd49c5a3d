r"""The dissipative wave equation in one and two dimensions: a density flow, but for the front.

φ_tt + 2εφ_t − Δφ = 0 from φ = 0, φ_t = δ has p = φ_t + 2εφ, v = −∇φ/p, R = 0: mass is conserved, p̂(0) = 1. (Table 9.1
of the thesis prints p = −φ_t, which does not satisfy the equation; and iε for −iε in the dispersion for k > ε.) With
s = √(t² − r²), inside the front r < t,

    N = 1   φ = ½ e^{−εt} I₀(εs)             p = ½ ε e^{−εt} (I₀(εs) + (t/s) I₁(εs)) > 0, and e^{−εt}/2 at each r = t
    N = 2   φ = e^{−εt} cosh(εs)/(2πs)       p = e^{−εt} (ε cosh(εs) + q cosh(εs))/(2πs),  q = (t/s)(ε tanh(εs) − 1/s)

In two dimensions p < 0 near the front, for (t/s²) > ε(1 + t tanh(εs)/s); what is outside the radius of that, the mass
S = e^{−εt} ((t/s) cosh(εs) + sinh(εs)) at its least, is of the order of e^{−εt} t/s: the law is usable for εt ≫ 1 only,
"large ε" in the thesis, where it is close to diffusion with σ² = t/ε. The 1-D law is the marginal of the 2-D one.
In three dimensions and more the front holds derivatives of δ.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from phys_genphys.pde import PDE, refuse_dimension
from phys_samplers.errors import ConfigurationError
from phys_samplers.options import fit_option
from phys_samplers.randomness import Streams

HALVINGS = 60
DAMPED = 10.0
"""εt from which on the front is nothing beside the rest."""


@dataclass(frozen=True, kw_only=True)
class DissipativeWave(PDE):
    """φ_tt + 2εφ_t − Δφ = 0; see the module. The level is σ = √(t/ε).

    Args:
        epsilon: ε, in inverse units of the standardised data. At the smallest level εt = ε²σ² must be above 10.
    """

    straight: ClassVar[bool] = False

    epsilon: float = fit_option(400.0, above=0)

    def check(self, dim: int, levels: tuple[float, float]) -> None:
        """See ``PDE.check``."""
        refuse_dimension("the dissipative wave", dim, 2, "its front holds derivatives of a delta function")
        damping = (self.epsilon * levels[0]) ** 2
        if damping < DAMPED:
            least = math.sqrt(DAMPED) / levels[0]
            raise ConfigurationError(
                f"epsilon is {self.epsilon:g}: at the least level {levels[0]:g} a front is left, e^(−εt) with εt = "
                f"{damping:.2g}; expected εt of at least {DAMPED:g} there: epsilon from {least:.4g} on, "
                "or a larger sigma_min of both schedule and loss"
            )

    @property
    def relation(self) -> str:
        """See ``PDE.relation``."""
        return f"dt**2 + 2*{self.epsilon!r}*dt - lap"

    def time(self, level: Tensor) -> Tensor:
        """εσ²."""
        return self.epsilon * level.square()

    def transform(self, k: Tensor, t: Tensor) -> Tensor:
        """e^{−εt} (cosh Ωt + ε sinh(Ωt)/Ω), Ω² = ε² − k²."""
        e = self.epsilon
        squared = e**2 - k.square()
        omega = squared.abs().sqrt().clamp(min=1e-9 * e)
        slow, fast = torch.exp((omega.clamp(max=e) - e) * t), torch.exp(-(omega.clamp(max=e) + e) * t)
        over = 0.5 * (slow + fast) + 0.5 * e * (slow - fast) / omega
        under = torch.exp(-e * t) * ((omega * t).cos() + e * (omega * t).sin() / omega)
        return torch.where(squared > 0, over, under)

    def _log_survival(self, s: Tensor, t: Tensor) -> Tensor:
        """log S: the mass beyond the radius √(t² − s²) in two dimensions, up to the sign of p there."""
        e = self.epsilon
        return (s - t) * e + (t / s + 1 + (t / s - 1) * torch.exp(-2 * e * s)).log() - math.log(2)

    def noise(self, level: Tensor, dim: int, streams: Streams) -> Tensor:
        """Radii by halving S(s) = U in two dimensions, from the front's last positive s to t; one coordinate in one."""
        t = self.time(level.double())
        uniform = streams.uniform(level.shape[-1], 2, dtype=torch.float64).clamp_(min=1e-12)
        # ∂S/∂s > 0 where p > 0; that begins at εs below 3 for every t
        low = self._front(t)
        log_u = (self._log_survival(low, t).exp() * (1 - uniform[..., 0]) + uniform[..., 0]).log()
        high = t.clone()
        for _ in range(HALVINGS):
            middle = 0.5 * (low + high)
            beyond = self._log_survival(middle, t) > log_u
            low, high = torch.where(beyond, low, middle), torch.where(beyond, middle, high)
        radius = (t - high).mul(t + high).clamp_(min=0).sqrt()
        angle = 2 * math.pi * uniform[..., 1]
        step = torch.stack((radius * angle.cos(), radius * angle.sin()), -1)
        return step[..., :dim].to(level.dtype)

    def _front(self, t: Tensor) -> Tensor:
        """The s at which p turns positive in two dimensions, by halving on its sign."""
        low, high = torch.zeros_like(t), t.clone()
        for _ in range(HALVINGS):
            middle = 0.5 * (low + high)
            negative = self._bracket(middle, t) < 0
            low, high = torch.where(negative, middle, low), torch.where(negative, high, middle)
        return high

    def _bracket(self, s: Tensor, t: Tensor) -> Tensor:
        """ε + q, the sign of p in two dimensions."""
        return self.epsilon + (t / s) * (self.epsilon * (self.epsilon * s).tanh() - 1 / s)

    def _inside(self, squared: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
        """s and t, s a little above 0 beyond the front."""
        t = self.time(level.double())
        return (t.square() - squared).clamp(min=1e-24).sqrt(), t

    def log_density(self, squared: Tensor, level: Tensor, dim: int) -> Tensor:
        """log p of its positive part; −∞ beyond."""
        e, (s, t) = self.epsilon, self._inside(squared, level)
        if dim == 1:
            i0, i1 = torch.special.i0e(e * s), torch.special.i1e(e * s)
            value = (0.5 * e * (i0 + t / s * i1)).log() + e * (s - t)
        else:
            cosh = 0.5 * (1 + torch.exp(-2 * e * s))
            value = (self._bracket(s, t).clamp(min=0) * cosh / (2 * math.pi * s)).log() + e * (s - t)
        return torch.where(squared < t.square(), value, -math.inf).to(squared.dtype)

    def pull(self, squared: Tensor, level: Tensor, dim: int) -> Tensor:
        """2t|v|/r: 2q/(1 + q) with q = (t/s) I₁/I₀ in one dimension, 2q/(ε + q) in two."""
        e, (s, t) = self.epsilon, self._inside(squared, level)
        if dim == 1:
            q = t / s * torch.special.i1e(e * s) / torch.special.i0e(e * s)
            return (2 * q / (1 + q)).to(squared.dtype)
        q = (self._bracket(s, t) - e).clamp(min=0)
        return (2 * q / (e + q)).to(squared.dtype)

    def precision(self, squared: Tensor, level: Tensor, dim: int) -> Tensor:
        """About 1/σ², that of the diffusion it is close to."""
        return level.square().reciprocal()
