r"""The forward kernel of a Poisson flow between two levels: the noise that takes p_r to p_R for every law of the data.

Student noise of D degrees of freedom is Gaussian noise √W n with W = r²/χ²_D, and such W have a stochastic process to
them: the Bessel process of dimension 2 − D that starts at r reaches 0 at a time of that law (Getoor 1979). Started at
R > r it first passes r, after a time T, and then goes on from there to 0, whatever it did before. So W_R = T + W_r with
independent terms, and

    x + √T n,        E e^{−sT} = (R/r)^ν K_ν(R√(2s))/K_ν(r√(2s)),        ν = D/2,

takes p_r to p_R: exactly, in any number of coordinates, for every D > 0 and every law of the data. For D = 1 it is the
Cauchy law of scale R − r, for D → ∞ the normal one of variance σ_R² − σ_r². Restart needs this noise (thesis App. B.3.1
asks for "the one used in PFGM++" without saying which it is); it is neither Student noise of scale √(R² − r²), nor a
walk along a random direction of the N + D dimensions from |z| = r to |z| = R: both miss p_R.

T is drawn by inverting its distribution function, which is had from the transform by the Fourier series of Abate and
Whitt (1992, *Queueing Systems* 10, Sec. 4), good to 10⁻⁶. With g = K_{ν−1}/K_ν the transform is exp(−∫_r^R q g(ρq) dρ),
q = √(2s), free of overflow, and g follows from 1/g_{ν+1} = 2ν/x + g_ν; for large ν there is an expansion of K_ν.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import special
from scipy.interpolate import PchipInterpolator
from torch import Tensor

from phys_samplers.dynamics import Normals

Array: TypeAlias = NDArray[Any]
_LARGE = 40.0
"""The order from which the expansion for large orders is as good as the rest."""
_NORMAL = 1e5
"""The D from which T is as good as normal: its standard deviation is below 1 % of σ_R²."""
_SURE = 1e-6
"""Probability of either end that is left to extrapolation."""


def perturb(x: Tensor, low: float, high: float, noise: Normals, aux_dim: float) -> Tensor:
    """x (B, N), of the law at σ = ``low``, brought to the law at σ = ``high`` by one independent draw a row."""
    z = noise.normal()
    if aux_dim == 1:
        # the first passage of a Brownian motion: (R − r)²/n²
        width = (high - low) / noise.normal()[..., :1].abs()
        return torch.addcmul(x, width, z)
    return torch.addcmul(x, passage_time(noise.normal()[..., :1], low / high, aux_dim).sqrt() * high, z)


def passage_time(normal: Tensor, ratio: float, aux_dim: float) -> Tensor:
    """T/σ_R² of σ_r/σ_R = ``ratio``, as an increasing function of standard normal variables, of their shape."""
    if aux_dim > _NORMAL:
        return (1 - ratio**2) * (1 + _spread(aux_dim, ratio) * normal)
    knots, values = _quantiles(aux_dim, ratio)
    x = torch.as_tensor(knots, dtype=torch.float64, device=normal.device)
    y = torch.as_tensor(values, dtype=torch.float64, device=normal.device)
    flat = normal.to(torch.float64).contiguous()
    index = torch.searchsorted(x, flat).clamp_(1, len(x) - 1)
    share = (flat - x[index - 1]) / (x[index] - x[index - 1])
    share.clamp_(min=0)  # nothing is shorter than the shortest; the upper tail goes on along the last chord
    return torch.lerp(y[index - 1], y[index], share).exp_().to(normal.dtype)


def distribution(t: Array, ratio: float, aux_dim: float) -> Array:
    """P(T ≤ t σ_R²) at t (M,), by Euler summation of the Fourier series of Abate & Whitt."""
    terms, averaged, shift = max(25, math.ceil(8 / _spread(aux_dim, ratio))), 11, 18.4  # more where the law is narrow
    k = np.arange(terms + averaged + 1)
    s = (shift + 2j * math.pi * k) / (2 * t[:, None])
    values = (np.exp(log_transform(s * aux_dim, ratio, aux_dim)) / s).real
    signs = np.where(k % 2 == 0, 1.0, -1.0)
    signs[0] = 0.5
    partial = np.cumsum(signs * values, 1)[:, terms:]
    weights = special.binom(averaged, np.arange(averaged + 1)) / 2.0**averaged
    result: Array = np.exp(shift / 2) / t * (partial @ weights)
    return result


def log_transform(s: Array, ratio: float, aux_dim: float) -> Array:
    """log E e^{−s' T} with s' = s/R², for s of positive real part; R = σ_R √D."""
    order, q = 0.5 * aux_dim, np.sqrt(2 * s)
    result: Array
    if order > _LARGE:
        result = _log_scaled(order, q) - _log_scaled(order, q * ratio)
        return result
    nodes, weights = np.polynomial.legendre.leggauss(32)
    width = -math.log(ratio)
    x = q[..., None] * np.exp(-0.5 * width * (1 - nodes))
    result = -0.5 * width * ((x * bessel_ratio(order, x)) @ weights)
    return result


def bessel_ratio(order: float, x: Array) -> Array:
    """K_{ν−1}(x)/K_ν(x) by upward recursion from an order below 1, which damps errors."""
    start = order % 1
    g: Array = special.kve(1 - start, x) / special.kve(start, x)
    for n in range(round(order - start)):
        g = 1 / (2 * (start + n) / x + g)
    return g


def _log_scaled(order: float, x: Array) -> Array:
    """log x^ν K_ν(x) up to a constant of x, by the expansion for large ν (NIST DLMF 10.41.4) up to ν⁻⁴."""
    z = x / order
    root = np.sqrt(1 + z * z)
    p = 1 / root
    u1 = (3 * p - 5 * p**3) / 24
    u2 = (81 * p**2 - 462 * p**4 + 385 * p**6) / 1152
    u3 = (30375 * p**3 - 369603 * p**5 + 765765 * p**7 - 425425 * p**9) / 414720
    series = 1 - u1 / order + u2 / order**2 - u3 / order**3
    # z^ν e^{−νη}, η = √(1+z²) + log(z/(1 + √(1+z²))), is e^{−ν√(1+z²)} (1 + √(1+z²))^ν
    result: Array = order * (np.log1p(root) - root) - 0.5 * np.log(root) + np.log(series)
    return result


def _spread(aux_dim: float, ratio: float) -> float:
    """Standard deviation of T over its mean, to first order in 1/D."""
    return math.sqrt(2 / aux_dim * (1 + ratio**2) / (1 - ratio**2))


@lru_cache(maxsize=64)
def _quantiles(aux_dim: float, ratio: float) -> tuple[Array, Array]:
    """Normal scores and log(T/σ_R²) at equal distances, from one end of what is certain to the other."""
    centre = math.log1p(-(ratio**2)) - math.log1p(2 / aux_dim)  # of the order of the mean
    reach = min(16 * _spread(aux_dim, ratio), 8 - math.log1p(-ratio))
    wide = np.linspace(centre - reach, centre + reach + 32 / aux_dim, 257)
    p = distribution(np.exp(wide), ratio, aux_dim)
    middle = int(np.abs(p - 0.5).argmin())
    first = int(np.flatnonzero(p[:middle] < _SURE)[-1])
    last = middle + int(np.flatnonzero(p[middle:] > 1 - _SURE)[0])
    grid = np.linspace(wide[first], wide[last], 193)
    p = distribution(np.exp(grid), ratio, aux_dim)
    keep = np.abs(p - 0.5) < 0.5 - _SURE
    fine = np.linspace(grid[keep][0], grid[keep][-1], 4097)
    return PchipInterpolator(grid[keep], special.ndtri(p[keep]))(fine), fine
