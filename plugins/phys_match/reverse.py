r"""The reversal of a variance-exploding process, and estimates of the posterior mean that it follows.

In units of the target's spread x_σ = x₀ + σn, n ~ N(0, I). Between two levels σ > σ' the reversal has, given x, the
mean

    r x + (1 − r) E[x₀|x],    r = σ'²/σ²,    and the covariance    r (σ² − σ'²) I + (1 − r)² Cov[x₀|x],

so that a Gaussian kernel needs two moments of the posterior p̃(x₀) N(x; x₀, σ²): its mean and, of the covariance, one
number, the mean variance c of a coordinate. With draws x_k = x + σ n_k and weights w_k ∝ p̃(x_k), each estimate of the
mean is self-normalised importance sampling, biased by O(1/K):

    target        x + σ² Σ w_k ∇log p̃(x_k)      target score identity, ∇log p_σ(x) = ∇log E[p̃(x + σn)] (iDEM)
    denoising     Σ w_k x_k                      denoising identity; no gradient
    optimal       their mixture (1 − a) denoising + a target of least estimated variance

The errors of the first two have opposite signs: both x_k and x + σ²∇log p̃(x_k) have the mean E[x₀|x], and within a
normal mode they are linear in each other, so that there the mixture has no error. a is the regression coefficient of
the one on the difference, with weights w_k², from the draws themselves, kept in [0, 1]. The first alone is useless
where σ is beyond a mode's width, the second alone is noisy where it is below.

The Ornstein-Uhlenbeck process of RDMC is the same after y = e^t x_t, σ² = e^{2t} − 1.

A path x_0, …, x_K of the reversal has the weight log w = log p̃(x_K) + Σ log N(x_k; x_{k+1}, σ_k² − σ_{k+1}²) −
log N(x_0; 0, 1 + σ_0²) − Σ log F(x_{k+1}|x_k), σ_K = 0, with E[w] = Z whatever the moments are, random ones included.

Sources: Akhound-Sadegh et al. 2024 (arXiv:2402.06121), Eq. 8; Huang et al. 2024 (arXiv:2307.02037), Eq. 6; De Bortoli
et al. 2024 (arXiv:2402.08667) on mixtures of the identities; Cardoso et al. 2022 (arXiv:2207.06364) on one exact draw
among those of importance sampling.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from phys_samplers.errors import ConfigurationError
from phys_samplers.paths import UnitDensity, log_normal

Estimator = Literal["optimal", "denoising", "target"]
LOWEST = -1e30
"""log p̃ where there is no density, so that draws of which none has any are all alike."""
TINY = 1e-12


class Moments(NamedTuple):
    """Of the posterior at states (R, N, D): the mean (R, N, D), and the mean variance of a coordinate (R, N)."""

    mean: Tensor
    variance: Tensor


class Estimate(NamedTuple):
    """An estimate of the mean (R, N, D) by some identity, with mean and variance of the draws themselves."""

    mean: Tensor
    draws: Moments


def check_levels(finest: float, widest: float) -> None:
    """Refuse levels that do not fall.

    Raises:
        ConfigurationError: naming both.
    """
    if finest >= widest:
        raise ConfigurationError(f"finest is {finest} and widest {widest}; expected finest below widest")


def levels(steps: int, widest: float, finest: float) -> Tensor:
    """σ_0 = ``widest`` > … > σ_{K−1} = ``finest`` in geometric progression, then 0; (K + 1,) in double precision."""
    falling = torch.linspace(math.log(widest), math.log(finest), steps, dtype=torch.float64).exp()
    return torch.cat((falling, falling.new_zeros(1)))


def estimate(
    density: UnitDensity, x: Tensor, sigma: Tensor, noise: Tensor, how: Estimator, *, clean: Tensor | None = None
) -> Estimate:
    """The posterior's moments at x, at one evaluation a draw.

    Where x was made of a state of the target, that is a draw of the posterior. Counted as one of the draws it makes
    weighted means unbiased over all of them, at any number (the share of ``optimal`` aside), and where no other draw
    hits anything there is still one that does.

    Args:
        density: of the target.
        x: states (R, N, D).
        sigma: σ (R, N), or what broadcasts.
        noise: standard normal (R, N, K, D).
        how: by which identity.
        clean: states (R, N, D) that x are noised ones of, which take the place of the first draws.
    """
    wide = sigma[..., None, None]
    draws = torch.addcmul(x.unsqueeze(2), wide, noise)
    if clean is not None:
        draws[:, :, 0] = clean
    if how == "denoising":
        log_prob, score = density.log_prob(draws), None
    else:
        log_prob, score = density.both(draws)
    weights = torch.softmax(torch.nan_to_num(log_prob, nan=LOWEST, neginf=LOWEST), -1).unsqueeze(-1)
    mean = (weights * draws).sum(2)
    off = draws - mean.unsqueeze(2)
    moments = Moments(mean, (weights * off.square()).sum(2).mean(-1))
    if score is None:
        return Estimate(mean, moments)
    other = torch.addcmul(x.unsqueeze(2), wide.square(), score)
    target = (weights * other).sum(2)
    if how == "target":
        return Estimate(target, moments)
    apart = (other - target.unsqueeze(2)) - off
    square = weights.square()
    share = -(square * apart * off).sum((2, 3)) / (square * apart.square()).sum((2, 3)).clamp(min=TINY)
    return Estimate(torch.lerp(mean, target, share.clamp(0, 1).unsqueeze(-1)), moments)


class Walked(NamedTuple):
    """Ends (R, B, D) of paths, with log w (R, B); None if nobody asked."""

    ends: Tensor
    log_weights: Tensor | None


def reversed_walk(
    moments: Callable[[Tensor, Tensor], Moments],
    sigmas: Tensor,
    start: Tensor,
    noise: Callable[[], Tensor],
    *,
    density: UnitDensity | None,
    noise_scale: float = 1.0,
) -> Walked:
    """Paths of the reversal.

    Args:
        moments: of the posterior, from states (R, B, D) and σ (0-d).
        sigmas: levels (K + 1,), the last 0.
        start: standard normal (R, B, D), which is widened to the first level.
        noise: gives standard normal numbers (R, B, D), once a step.
        density: of the target, for weights; None for none.
        noise_scale: by which the standard deviation of every step is multiplied.
    """
    first = 1 + float(sigmas[0]) ** 2
    x = math.sqrt(first) * start
    log_weights = None if density is None else -log_normal(x, first)
    steps = zip(sigmas[:-1].tolist(), sigmas[1:].tolist(), strict=True)
    for here, there in steps:
        found = moments(x, x.new_full((), here))
        gap, left = here**2 - there**2, (there / here) ** 2
        variance = (left * gap + (1 - left) ** 2 * found.variance).clamp(min=TINY) * noise_scale**2
        kick = variance.sqrt().unsqueeze(-1) * noise()
        y = torch.lerp(found.mean, x, left) + kick
        if log_weights is not None:
            log_weights = log_weights + log_normal(x - y, gap) - log_normal(kick, variance)
        x = y
    if density is not None and log_weights is not None:
        log_weights = log_weights + density.log_prob(x)
    return Walked(x, log_weights)
