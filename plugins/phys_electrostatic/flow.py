r"""What both Poisson flows share: their kernel for N coordinates and D augmented ones, and the fitted model.

    p_r(x|y) ∝ (|x − y|² + r²)^{−(N+D)/2},        r = σ√D,

with uniform direction and radius R = r √(β/(1−β)), β ~ Beta(N/2, D/2) (Xu et al. 2023, arXiv:2302.04265, Sec. 3.2 and
App. C.2; the alignment r = σ√D from Sec. 4.1). β/(1−β) is a ratio of Gamma variables, and the radius and direction that
go with the N/2 one are those of a normal vector n, so that

    x = y + σ n / √(χ²_D / D):        a multivariate Student t with D degrees of freedom and scale σ.

D = 1 is the multivariate Cauchy law of PFGM (Xu et al. 2022, arXiv:2209.11178), D → ∞ the Gaussian of diffusion models,
with the same n at every D. β is not clipped: the released code of PFGM++ keeps it in [10⁻³, 1 − 10⁻³], which cuts off
3 % of the law at N = 2, D = 1.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from phys_electrostatic.passage import perturb
from phys_samplers.denoisers.reverse import ReverseProcess
from phys_samplers.denoisers.sampler import DenoiserModel
from phys_samplers.dynamics import Dynamics, Normals
from phys_samplers.errors import ConfigurationError, IncompatibleError, MissingCapability
from phys_samplers.integrators.base import Integrator
from phys_samplers.randomness import Streams
from phys_samplers.standardise import check_level


def check_aux_dim(aux_dim: float | None) -> None:
    """Refuse a number D of augmented dimensions that is not positive and finite; None is the limit D → ∞.

    Raises:
        ConfigurationError: naming the value.
    """
    if aux_dim is None:
        return
    number = isinstance(aux_dim, int | float) and not isinstance(aux_dim, bool)
    if not (number and 0 < aux_dim < math.inf):
        raise ConfigurationError(
            f"aux_dim is {aux_dim!r}; expected a positive number of augmented dimensions, e.g. 128, or None for the "
            "limit of infinitely many (diffusion)"
        )


def widening(streams: Streams, n: int, aux_dim: float | None) -> Tensor:
    """1/√(χ²_D / D), the factor that turns normal noise into the kernel's: one row a stream (R, n), float64.

    Args:
        streams: sources of the draws.
        n: draws of each.
        aux_dim: D, any positive number; None gives ones.
    """
    if aux_dim is None:
        return torch.ones(streams.replicas, n, dtype=torch.float64, device=streams.device)
    return streams.gamma(0.5 * aux_dim, n).div_(0.5 * aux_dim).rsqrt_()


def log_kernel(squared: Tensor, sigma: Tensor | float, dim: int, aux_dim: float | None) -> Tensor:
    """−½ (N + D) log(1 + |x − y|²/r²): the log of the kernel up to a constant of x; −|x − y|²/(2σ²) for D = None.

    Args:
        squared: |x − y|².
        sigma: σ, broadcastable to ``squared``.
        dim: N.
        aux_dim: D.
    """
    scaled = squared / (sigma * sigma)
    if aux_dim is None:
        return scaled.mul_(-0.5)
    return scaled.div_(aux_dim).log1p_().mul_(-0.5 * (dim + aux_dim))


def student(
    n: int,
    dim: int,
    sigma: float,
    aux_dim: float | None,
    generator: torch.Generator,
    *,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """``n`` draws (n, dim) of the kernel around 0 at r = σ√D."""
    normal = torch.randn(n, dim, generator=generator, dtype=dtype, device=generator.device)
    return normal.mul_(widening(Streams.of(generator), n, aux_dim).mul_(sigma).to(dtype).T)


def student_log_prob(x: Tensor, sigma: float, aux_dim: float) -> Tensor:
    """The normalised log-density (B,) of ``student`` at x (B, dim)."""
    half, dim = 0.5 * aux_dim, x.shape[1]
    shape = log_kernel(x.square().sum(1), sigma, dim, aux_dim)
    constant = math.lgamma(half + 0.5 * dim) - math.lgamma(half) - 0.5 * dim * math.log(math.pi * aux_dim)
    return shape + (constant - dim * math.log(sigma))


def point_level(x: Tensor, sigma: Tensor, aux_dim: float) -> Tensor:
    """The noise level of every point: σ_x (R, B) of points x (R, B, N) at levels σ (R, B) or (R, 1).

    Student noise is Gaussian noise of a random scale, σ² w with w = D/χ²_D. A point x says something about its own w:
    for standardised data (variance 1 a coordinate) the conditional mean of 1/w gives the level

        σ_x² = σ² (D + |x|²/(1 + σ²))/(D + N),

    σ itself for D → ∞. The sources (App. C.2 of arXiv:2302.04265) use σ; for D ≥ 128 the difference is small.
    """
    variance = sigma.square()
    radius = x.square().sum(-1) / (variance + 1)
    return (variance * (radius + aux_dim) / (aux_dim + x.shape[-1])).sqrt()


class PoissonFlowModel(DenoiserModel):
    """A trained Poisson flow of finite D: ``DenoiserModel`` with a heavy-tailed prior, and with a field for a score."""

    bound = 1e12  # starting points have heavy tails: D = 1 has one beyond 10⁹ in 10⁷ draws

    @property
    def aux_dim(self) -> float:
        """D."""
        return self.recipe.aux_dim  # type: ignore[attr-defined]

    def prior(self, n: int, generator: torch.Generator, ratio: float) -> Tensor:
        """The kernel at r = √D √(1 + λ²) around 0: right to order 1/λ², and EDM's prior for D → ∞.

        The sources have r = √D λ (Sec. 3.3 of arXiv:2209.11178, App. C.2 of arXiv:2302.04265); the 1 is the spread of
        the standardised data.
        """
        return student(n, self.dim, math.sqrt(1 + ratio**2), self.aux_dim, generator)

    def prior_log_prob(self, u: Tensor, ratio: float) -> Tensor:
        """log-density (B,) of ``prior`` at u (B, N), normalised; without the norm clipping of PFGM."""
        return student_log_prob(u, math.sqrt(1 + ratio**2), self.aux_dim)

    def forward_kernel(self, x: Tensor, low: float, high: float, noise: Normals) -> Tensor:
        """See ``passage.perturb``."""
        return perturb(x, low, high, noise, self.aux_dim)

    def dynamics(self, recipe: ReverseProcess, integrator: Integrator) -> Dynamics:
        """The field's ODE, which Restart interrupts by the kernel's own noise.

        Raises:
            IncompatibleError: if ``integrator`` adds Gaussian noise.
        """
        if integrator.adds_noise and not integrator.by_kernel:
            raise IncompatibleError(
                f"integrator {integrator.name!r} as given adds Gaussian noise, and only diffusion undoes that; this is "
                f"an electric field of {self.aux_dim:g} augmented dimensions, an ODE: use edm-heun without churn, ddim "
                "with eta=0, restart (which adds the noise of this field), heun, rk4 or dopri5"
            )
        return super().dynamics(recipe, integrator)

    def score(self, x: Tensor, sigma: float | None = None) -> Tensor:
        """Not offered: the denoiser of this kernel does not give the score of a law.

        (D − x) p_r is the gradient of the *potential*, a multiple of the law blurred with the exponent of D − 2: the
        quotient is a score in the limit D → ∞ only.

        Raises:
            MissingCapability: always.
        """
        raise MissingCapability(
            f"a Poisson flow of {self.aux_dim:g} augmented dimensions has no score; use its fields(x, sigma), or train "
            "pfgmpp with aux_dim=None (diffusion)"
        )

    @torch.no_grad()
    def fields(self, x: Tensor, sigma: float | None = None) -> dict[str, Tensor]:
        """``f``, the normalised field √D E_x/E_r = (x − D)/σ at x (B, *event_shape), in standardised units.

        Args:
            x: points.
            sigma: the level r/√D in units of the standardised data; 1, its spread, by default.

        Raises:
            ConfigurationError: if sigma is not positive and finite.
        """
        self.check_points(x)
        level = 1.0 if sigma is None else check_level(sigma)
        flat = self.standardiser.forward(x)
        field = (flat - self.denoise(flat, level)) / level
        return {"f": field.unflatten(1, self.event_shape)}
