"""Diagnostics of Markov chains: effective sample size and split-R̂.

Source: A. Vehtari, A. Gelman, D. Simpson, B. Carpenter and P.-C. Bürkner, Rank-normalization, folding, and
localization: an improved R̂ (Bayesian Analysis 16, 2021); C. Geyer, Practical Markov Chain Monte Carlo (1992).

Chains are tensors (steps, chains, *event_shape); every coordinate is diagnosed by itself, in float64.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from phys_samplers.errors import ConfigurationError

SPECTRUM = 2**22
"""Complex numbers held at once while power spectra are summed: 64 MiB."""


def ess(chains: Tensor, *, split: bool = True, rank_normalised: bool = False) -> Tensor:
    """Effective number of independent draws among steps × chains, per coordinate.

    S / τ with τ = −1 + 2 Σ_k (ρ_{2k} + ρ_{2k+1}) over Geyer's initial monotone positive sequence, and with the
    multi-chain autocorrelation ρ_t = 1 − (W − mean_m c_{t,m}) / var⁺ (Vehtari et al., Section 3.2): chains that do
    not mix have few effective draws even if each moves freely. Antithetic chains can exceed S, up to S log₁₀ S.

    Args:
        chains: (steps, chains, *event_shape), at least 8 steps.
        split: cut each chain in two halves, so that a drift counts as disagreement.
        rank_normalised: replace the values by normal scores of their ranks first ("bulk ESS"): defined for laws
            without variance too.

    Returns:
        (*event_shape), float64; NaN for a coordinate that never moves in any chain.

    Raises:
        ConfigurationError: on a wrong shape or values that are not finite.
    """
    x, event_shape = _prepare(chains, split=split)
    if rank_normalised:
        x = _normal_scores(x)
    steps, count, _ = x.shape
    draws = steps * count
    within, pooled = _variances(x)
    correlation = 1 - (within - _mean_autocovariance(x)) / pooled
    correlation[0] = 1.0
    even = steps - steps % 2
    pairs = correlation[:even].unflatten(0, (even // 2, 2)).sum(1)
    positive = (pairs > 0).cumprod(0)
    tau = -1 + 2 * (pairs.cummin(0).values * positive).sum(0)
    # Strongly antithetic chains can bring τ to zero or below by noise alone (Vehtari et al., Section 3.2).
    tau = tau.clamp(min=1 / torch.tensor(float(draws), dtype=x.dtype).log10())
    size = torch.where(pooled > 0, draws / tau, torch.nan)
    return size.reshape(event_shape)


def weight_diagnostics(log_weights: Tensor | None) -> dict[str, Any]:
    """``log_z``, ``log_z_std`` (delta method), ``elbo`` and ``ess`` of path weights (n,); {} without weights."""
    if log_weights is None:
        return {}
    weights = log_weights.double()
    n = len(weights)
    log_z = weights.logsumexp(0) - math.log(n)
    ess = (2 * weights.logsumexp(0) - (2 * weights).logsumexp(0)).exp() / n
    facts = {"log_z": log_z, "elbo": weights.mean(), "ess": ess}
    if n > 1:
        facts["log_z_std"] = ((1 / ess - 1).clamp(min=0) / (n - 1)).sqrt()
    numbers = {name: float(value) for name, value in facts.items()}
    return {name: number for name, number in numbers.items() if math.isfinite(number)}


def pareto_k(log_weights: Tensor) -> float:
    """Shape k̂ of a generalised Pareto law fitted to the largest importance weights: above .7 they cannot be trusted.

    Moments of weights above 1/k̂ do not exist; an effective size computed from those drawn then says nothing.

    Args:
        log_weights: (n,), up to one constant.

    Source: Vehtari, Simpson, Gelman, Yao & Gabry 2024, *Pareto smoothed importance sampling*, Section 3; the fit after
    Zhang & Stephens 2009.
    """
    values = log_weights.detach().double().cpu()
    values = (values - values.max()).exp().sort().values
    m = int(min(0.2 * len(values), 3 * math.sqrt(len(values))))
    tail = values[-m:] - values[-m - 1]
    if m < 5 or not float(tail[-1]) > 0:
        return -math.inf
    tail = tail.clamp(min=1e-300)
    count = 30 + int(math.sqrt(m))
    j = torch.arange(1, count + 1, dtype=torch.float64)
    quartile = tail[int(m / 4 + 0.5) - 1]
    theta = 1 / tail[-1] + (1 - (count / (j - 0.5)).sqrt()) / (3 * quartile)
    shapes = torch.log1p(-theta.unsqueeze(1) * tail).mean(1)
    profile = m * ((-theta / shapes).log() - shapes - 1)
    best = (profile.softmax(0) * theta).sum()
    shape = float(torch.log1p(-best * tail).mean())
    return (m * shape + 5) / (m + 10)  # drawn towards 1/2 where few values tell


SKEWED = 0.5
"""Tail index of the density ratio, over samples of the target, above which errors of log Z say too little."""


def tail_facts(log_ratios: Tensor) -> dict[str, Any]:
    """Whether an estimate of log Z says less than it seems: ``log_z_tail``, and ``log_z_at_least``.

    A ratio p/r of target and reference whose tail over samples of p has index k has one of k/(1 + k) over those of r.
    Above ½ it has no third moment there: estimates are mostly too low, rarely far too high, and their errors, by the
    spread of what was seen, too small. What is estimated is then at least so large, how much larger is not known.

    Args:
        log_ratios: log p/r (n,) at samples of the target, up to one constant.
    """
    index = pareto_k(log_ratios)
    return {"log_z_tail": index if math.isfinite(index) else None, "log_z_at_least": index > SKEWED}


def split_rhat(chains: Tensor, *, rank_normalised: bool = False) -> Tensor:
    """R̂ = (var⁺ / W)^½ over half chains, per coordinate: near one when they agree.

    Args:
        chains: (steps, chains, *event_shape), at least 8 steps. One chain is compared with itself, by halves.
        rank_normalised: the larger of R̂ on normal scores of the values and on those of their distance from the
            median (Vehtari et al., Section 4): sees heavy tails and chains that differ in spread only.

    Returns:
        (*event_shape), float64; infinite where every half chain stands still at a place of its own, NaN for a
        coordinate that never moves in any chain.

    Raises:
        ConfigurationError: on a wrong shape or values that are not finite.
    """
    x, event_shape = _prepare(chains, split=True)
    if not rank_normalised:
        return _rhat(x).reshape(event_shape)
    folded = (x - _median(x)).abs()
    return torch.maximum(_rhat(_normal_scores(x)), _rhat(_normal_scores(folded))).reshape(event_shape)


def _median(x: Tensor) -> Tensor:
    """The median (D,) over all steps and chains, the midpoint for an even number of them."""
    values = x.flatten(0, 1).T.contiguous()  # torch.quantile refuses more than 2²⁴ values
    n = values.shape[1]
    return (values.kthvalue((n - 1) // 2 + 1).values + values.kthvalue(n // 2 + 1).values) / 2


def _prepare(chains: Tensor, *, split: bool) -> tuple[Tensor, torch.Size]:
    """Float64 chains (steps, chains, D), halved if asked, and the event shape."""
    if not isinstance(chains, Tensor) or chains.ndim < 3 or len(chains) < 8 or chains[0].numel() == 0:
        given = tuple(chains.shape) if isinstance(chains, Tensor) else type(chains).__name__
        raise ConfigurationError(
            f"chains is {given}; expected a tensor (steps, chains, *event_shape) with at least 8 steps; one chain of "
            "D coordinates is chains[:, None, :]"
        )
    if not torch.isfinite(chains).all():
        raise ConfigurationError("chains hold NaN or infinite values; a diverged chain has no diagnostics")
    device = torch.device("cpu") if chains.device.type == "mps" else chains.device
    x = chains.detach().to(device).double().flatten(2)
    if split:
        half = len(x) // 2  # of an odd number of steps the middle one is left out
        x = torch.cat([x[:half], x[-half:]], dim=1)
    return x, chains.shape[2:]


def _variances(x: Tensor) -> tuple[Tensor, Tensor]:
    """W, the mean variance within chains, and var⁺ = (n − 1)/n W + B/n: each (D,)."""
    steps, count, _ = x.shape
    within = x.var(0).mean(0)
    between = x.mean(0).var(0) if count > 1 else torch.zeros_like(within)
    return within, (steps - 1) / steps * within + between


def _rhat(x: Tensor) -> Tensor:
    within, pooled = _variances(x)
    return (pooled / within).sqrt()


def _mean_autocovariance(x: Tensor) -> Tensor:
    """Autocovariances 1/n Σ_i (x_i − x̄)(x_{i+t} − x̄), averaged over the chains: (steps, D) for all lags t.

    The average is linear, so power spectra are summed over chains and transformed back once.
    """
    steps, count, coordinates = x.shape
    length = 2 * steps  # zero padding keeps the correlation from wrapping around
    power = x.new_zeros(length // 2 + 1, coordinates)
    for some in x.split(max(1, SPECTRUM // (length * coordinates)), dim=1):
        spectrum = torch.fft.rfft(some - some.mean(0), n=length, dim=0)
        power += (spectrum.real.square() + spectrum.imag.square()).sum(1)
    return torch.fft.irfft(power, n=length, dim=0)[:steps] / (steps * count)


def _normal_scores(x: Tensor) -> Tensor:
    """Φ⁻¹((r − 3/8) / (S + 1/4)) with r the rank among all S values of a coordinate, the mean rank for ties."""
    steps, count, coordinates = x.shape
    values = x.reshape(steps * count, coordinates).T.contiguous()
    n = values.shape[1]
    ordered, order = values.sort(1)
    starts = torch.ones_like(ordered, dtype=torch.bool)  # of runs of equal values, in all coordinates
    starts[:, 1:] = ordered.diff(dim=1) != 0
    (begin,) = torch.nonzero(starts.flatten(), as_tuple=True)
    length = begin.diff(append=begin.new_tensor([ordered.numel()]))
    rank = begin % n + (length + 1).double() / 2
    score_of_run = torch.special.ndtri((rank - 0.375) / (n + 0.25))
    run = starts.flatten().cumsum(0).view_as(order) - 1
    scores = torch.empty_like(values).scatter_(1, order, score_of_run[run])
    return scores.T.reshape(steps, count, coordinates)
