r"""The perturbation kernel of PFGM++ and its limits, for N coordinates and D augmented ones.

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
from collections.abc import Sequence

import torch
from torch import Tensor

from phys_samplers.errors import ConfigurationError


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


def widening(generators: Sequence[torch.Generator], n: int, aux_dim: float | None) -> Tensor:
    """1/√(χ²_D / D), the factor that turns normal noise into the kernel's: one row a generator (G, n), float64.

    Args:
        generators: sources of the draws, all on one device.
        n: draws of each.
        aux_dim: D, any positive number; None gives ones.
    """
    device = generators[0].device
    if aux_dim is None:
        return torch.ones(len(generators), n, dtype=torch.float64, device=device)
    half = torch.full((n,), 0.5 * aux_dim, dtype=torch.float64, device=device)
    chi = torch.stack([torch._standard_gamma(half, generator=generator) for generator in generators])
    return chi.div_(0.5 * aux_dim).rsqrt_()


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
    return normal.mul_(widening([generator], n, aux_dim).mul_(sigma).to(dtype).T)


def student_log_prob(x: Tensor, sigma: float, aux_dim: float) -> Tensor:
    """The normalised log-density (B,) of ``student`` at x (B, dim)."""
    half, dim = 0.5 * aux_dim, x.shape[1]
    shape = log_kernel(x.square().sum(1), sigma, dim, aux_dim)
    constant = math.lgamma(half + 0.5 * dim) - math.lgamma(half) - 0.5 * dim * math.log(math.pi * aux_dim)
    return shape + (constant - dim * math.log(sigma))
