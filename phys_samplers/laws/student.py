r"""Student-t laws: tails like powers, spherical or by coordinates, skewed if asked."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from phys_samplers.errors import ConfigurationError
from phys_samplers.laws.arguments import check_count, check_positive
from phys_samplers.shapes import Draws, Points, Values


class StudentT(nn.Module):
    r"""Student's t law with ν degrees of freedom: moments below the ν-th exist, and no others.

    ``radial``: p(x) ∝ (1 + |x|²/ν)^{−(ν + D)/2}, that of z √(ν/χ²_ν) with z ~ N(0, I). ``product``: independent
    coordinates, each ∝ (1 + x_i²/ν)^{−(ν + 1)/2}; with a skewness γ ≠ 1 the half above 0 is stretched γ-fold and the
    one below shrunk, so that γ²/(1 + γ²) of the mass is above (Fernández & Steel 1998, *On Bayesian modeling of fat
    tails and skewness*, Eq. 1). ν = 1 is Cauchy's law.

    Args:
        dim: D, at least 1.
        nu: ν > 0.
        radial: spherical, or else a product.
        skewness: γ > 0, of the coordinates of a product.
    """

    log_z = 0.0
    differentiable = True

    def __init__(self, dim: int = 10, nu: float = 3.0, *, radial: bool = True, skewness: float = 1.0) -> None:
        super().__init__()
        self.event_shape: tuple[int, ...] = (check_count("dim", dim, least=1),)
        self.nu, self.skewness = check_positive("nu", nu), check_positive("skewness", skewness)
        self.radial = radial
        if radial and self.skewness != 1.0:
            raise ConfigurationError(f"skewness is {skewness}, which a radial law cannot have; pass radial=False")

    def _stretch(self, x: Tensor) -> Tensor:
        """By how much each coordinate is stretched where it is."""
        return torch.where(x > 0, self.skewness, 1.0 / self.skewness)

    def log_prob(self, x: Points) -> Values:
        """Normalised log-density (B,) at ``x`` (B, D)."""
        nu, dim = self.nu, self.event_shape[0]
        width = dim if self.radial else 1
        constant = math.lgamma((nu + width) / 2) - math.lgamma(nu / 2) - 0.5 * width * math.log(math.pi * nu)
        if self.radial:
            return constant - 0.5 * (nu + dim) * (x.square().sum(-1) / nu).log1p()
        constant += math.log(2.0 / (self.skewness + 1.0 / self.skewness))
        return dim * constant - 0.5 * (nu + 1) * ((x / self._stretch(x)).square() / nu).log1p().sum(-1)

    def score(self, x: Points) -> Points:
        """∇ log p (B, D)."""
        if self.radial:
            return -(self.nu + self.event_shape[0]) * x / (self.nu + x.square().sum(-1, keepdim=True))
        stretch = self._stretch(x).square()
        return -(self.nu + 1) * x / (self.nu * stretch + x.square())

    def sample(self, n: int, generator: torch.Generator) -> Draws:
        """``n`` draws (n, D) on the generator's device."""
        noise = torch.randn(n, *self.event_shape, generator=generator, device=generator.device)
        columns = 1 if self.radial else self.event_shape[0]
        scale = torch.full((n, columns), 0.5 * self.nu, dtype=torch.float64, device=generator.device)
        gamma = torch._standard_gamma(scale, generator=generator)
        x = noise * (0.5 * self.nu / gamma).sqrt().to(noise)
        if self.skewness == 1.0:
            return x
        up = torch.rand(x.shape, generator=generator, device=generator.device) < 1 / (1 + self.skewness**-2)
        return torch.where(up, self.skewness * x.abs(), -x.abs() / self.skewness)
