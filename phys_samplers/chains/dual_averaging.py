r"""Step-size adaptation by dual averaging of an acceptance rate.

With the gap H_t = δ − α_t between the wanted and the seen acceptance after step t,

    log h_{t+1} = μ − (√t/γ) (1/(t + t₀)) Σ_{i≤t} H_i,        log h̄_{t+1} = t^{−κ} log h_{t+1} + (1 − t^{−κ}) log h̄_t,

h is used while adapting, h̄ afterwards. All numbers stay on the device: nothing waits for it.

Source: Hoffman & Gelman 2014, *The No-U-Turn Sampler*, Section 3.2, Eq. 6, with their constants γ = 0.05, t₀ = 10,
κ = 0.75 and μ = log(10 h₁).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

GAMMA, DELAY, KAPPA = 0.05, 10.0, 0.75


class DualAveraging(NamedTuple):
    """log h and log h̄ (0-d), the sum of the gaps (0-d), μ, and the number of updates t."""

    log_step: Tensor
    log_average: Tensor
    gaps: Tensor
    centre: float
    updates: int


def init(step_size: float, *, like: Tensor) -> DualAveraging:
    """Start at ``step_size``, on the device and in the precision of ``like``."""
    log_step = torch.full((), math.log(step_size), dtype=like.dtype, device=like.device)
    return DualAveraging(log_step, log_step, torch.zeros_like(log_step), math.log(10 * step_size), 0)


def update(state: DualAveraging, acceptance: Tensor, *, goal: float) -> DualAveraging:
    """The state after a step with mean acceptance probability ``acceptance`` (0-d); ``goal`` is δ."""
    t = state.updates + 1
    gaps = state.gaps + (goal - acceptance)
    log_step = state.centre - (math.sqrt(t) / (GAMMA * (t + DELAY))) * gaps
    return DualAveraging(log_step, state.log_average.lerp(log_step, t**-KAPPA), gaps, state.centre, t)
