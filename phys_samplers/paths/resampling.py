"""Systematic resampling of stacked particles, where too few are effective."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor


class Chosen(NamedTuple):
    """Who goes on: indices (R, B), log weights after it (R, B), and which replicas were resampled (R, 1)."""

    chosen: Tensor
    log_weights: Tensor
    few: Tensor


def resample(log_weights: Tensor, uniform: Tensor, *, least: float) -> Chosen:
    """Particles in proportion to their weights, in replicas of which fewer than ``least`` of them are effective.

    Args:
        log_weights: (R, B); their mean is kept.
        uniform: on [0, 1), (R, 1).
        least: share of particles.
    """
    count = log_weights.shape[1]
    order = torch.arange(count, device=log_weights.device)
    total = log_weights.logsumexp(1, keepdim=True)
    shares = (log_weights - total).exp()
    few = 1 / shares.square().sum(1, keepdim=True) < least * count
    cumulative = shares.double().cumsum(1)
    points = (order + uniform) / count * cumulative[:, -1:]
    chosen = torch.searchsorted(cumulative, points, right=True).clamp_(max=count - 1)
    return Chosen(torch.where(few, chosen, order), torch.where(few, total - math.log(count), log_weights), few)
