r"""Resampling along the path: sequential Monte Carlo whose proposal is the learned chain.

Particles move by F and gain, step by step, the weight

    γ_{k+1}(x_{k+1}) B(x_k | x_{k+1}) / ( γ_k(x_k) F(x_{k+1} | x_k) ),        γ_0 = π₀,  γ_K = p̃,

and are resampled, systematically, where too few are effective. Any positive γ between gives E[Ẑ] = Z and the right law;
good ones are laws of the backward chain's states. Sub-trajectory balance learns them (the twist); otherwise they are
taken as N(0, v_k I)^{1−β_k} p̃^{β_k}, with the β of the process, or A_k² where it has none.

Source: Del Moral, Doucet & Jasra 2006, *Sequential Monte Carlo samplers*; with learned kernels and twist, Chen et al.
2024 (arXiv:2412.07081), *Sequential controlled Langevin diffusions*.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from phys_path.paths import Chains, Control
from phys_samplers.paths import UnitDensity, log_normal, resample


class Resampled(NamedTuple):
    """Ends of particles of R replicas.

    Args:
        ends: (R, B, D).
        log_weights: (R, B), whose exponentials have the mean Ẑ.
        times: how often each replica was resampled (R,).
    """

    ends: Tensor
    log_weights: Tensor
    times: Tensor


@torch.no_grad()
def resampled(
    control: Control, density: UnitDensity, start: Tensor, noise: Tensor, uniform: Tensor, *, least: float
) -> Resampled:
    """Move particles along the path, one gradient a state.

    Args:
        control: of R replicas.
        density: of the target.
        start: x_0 (R, B, D).
        noise: standard normal (R, K, B, D).
        uniform: on [0, 1), (R, K).
        least: share of particles that are to be effective; below it they are resampled.
    """
    chains, process, x = Chains(control, start), control.process, start
    dim = x.shape[-1]
    value, score = density.both(x)
    steered = chains.steer(0, x)
    law = torch.zeros_like(value) if process.point else log_normal(x, 1.0)
    log_weights, times = torch.zeros_like(value), torch.zeros_like(value[:, 0])
    last = process.steps - 1
    for k in range(process.steps):
        mean = chains.forward(k, x, score, steered)
        y = mean + chains.log_widths[:, k].exp() * noise[:, k]
        value, score = density.both(y)
        if k < last or process.annealed:
            steered = chains.steer(k + 1, y)
        log_f = (
            -0.5 * (noise[:, k].square().sum(-1) + dim * math.log(2 * math.pi)) - dim * chains.log_widths[:, k, :, 0]
        )
        log_b = torch.zeros_like(log_f)
        if k or not process.point:
            log_b = log_normal(x - chains.backward(k, y, score, steered), process.back_variances[k].to(x))
        after = value if k == last else between(control, k + 1, y, value)
        log_weights = log_weights + after - law + log_b - log_f
        law = after
        x = y
        if k < last:
            chosen, log_weights, few = resample(log_weights, uniform[:, k, None], least=least)
            rows = chosen[..., None].expand(-1, -1, dim)
            x, score, steered = x.gather(1, rows), score.gather(1, rows), steered.gather(1, rows)
            law = law.gather(1, chosen)
            times = times + few[:, 0]
    return Resampled(x, log_weights, times)


def between(control: Control, k: int, x: Tensor, value: Tensor) -> Tensor:
    """log γ_k (R, B) at x (R, B, D), where log p̃ is ``value``, for 0 < k < K."""
    process = control.process
    reference = log_normal(x, process.reference[k].to(x))
    if control.flow is not None:
        time = x.new_full((1, 1), k / process.steps).expand(x.shape[:2])
        learned: Tensor = control.flow(x, time)
        return control.log_z + reference + learned.squeeze(-1)
    beta = control.betas()[:, k, None] if process.annealed else process.kept[k].square().to(x)
    return torch.lerp(reference, value, beta)
