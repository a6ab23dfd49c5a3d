"""How wide and how fine a density is, found by particles before anything is learned.

Source: Del Moral, Doucet & Jasra 2006, *Sequential Monte Carlo samplers*.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from phys_samplers.chains import mala
from phys_samplers.density import FlatDensity
from phys_samplers.paths.resampling import resample
from phys_samplers.randomness import make_generator
from phys_samplers.target import Target

WIDTHS = (64.0, 16.0, 4.0, 1.0, 1 / 4, 1 / 16, 1 / 64)
"""Of the normal laws that explorers start from, widest first."""
MOST, COORDINATES = 256, 1 << 16
"""Particles of a width, and their coordinates all together, at most."""
TEMPERATURES, MOVES, ACCEPTANCE = 40, 4, 0.574
"""At most; moves at each, and how many of these shall be accepted."""
NATS = 1.0
"""By how much log Z from a width may lie below the greatest."""


class Extent(NamedTuple):
    """The root mean square of a coordinate, and the standard deviation of the narrowest one, by its score."""

    spread: float
    detail: float


@torch.no_grad()
def explore(target: Target, *, device: torch.device | str = "cpu") -> Extent:
    """How wide and how fine a density is, roughly: by sequential Monte Carlo from normal laws of seven widths.

    Particles that start too narrow miss modes, those that start too wide do not find the way in time; either makes
    log Z too small. So the widest start counts whose log Z is within a nat of the greatest. It takes at most 241
    gradients for each of at most 1,792 particles, and gives the same numbers every time.

    Args:
        target: with ``log_prob`` and ``score``, on ``device``.
        device: where to compute.
    """
    density, groups = FlatDensity(target), len(WIDTHS)
    dim = density.dim
    n = max(32, min(MOST, COORDINATES // dim))
    generator = make_generator(0, "explore", device=device)
    like = torch.empty(0, device=device) if target.train is None else target.train
    width = like.new_tensor(WIDTHS).view(groups, 1, 1)

    def normal() -> Tensor:
        return torch.randn(groups, n, dim, generator=generator, dtype=like.dtype, device=device)

    def uniform(count: int) -> Tensor:
        return torch.rand(groups, count, generator=generator, dtype=like.dtype, device=device)

    def asked(x: Tensor) -> tuple[Tensor, Tensor]:
        value, score = density.log_prob_and_score(x)
        return value.to(x).nan_to_num(nan=-math.inf, posinf=-math.inf), score.to(x).nan_to_num(0.0, 0.0, 0.0)

    x = width * normal()
    beta = torch.zeros(groups, 1, dtype=torch.float64, device=device)
    log_z, log_step = torch.zeros_like(beta), width.new_full(width.shape, math.log(0.5 * dim ** (-1 / 3)))
    value, score = asked(x.flatten(0, 1))
    for _ in range(TEMPERATURES):
        gain = value.view(groups, n).double() + 0.5 * (x / width).square().sum(-1).double()
        gain.clamp_(min=-1e30)
        step_up = _next(gain, 1 - beta)
        log_weights = step_up * gain
        log_z += log_weights.logsumexp(1, keepdim=True) - math.log(n)
        beta = beta + step_up
        chosen = resample(log_weights, uniform(1).double(), least=math.inf).chosen
        x = x.gather(1, chosen.unsqueeze(-1).expand_as(x))
        share, scale = beta.to(x).repeat_interleave(n, 0), x.std(1, keepdim=True).clamp(min=1e-6 * width).expand_as(x)
        inverse = width.square().reciprocal().expand(-1, n, 1).flatten(0, 1)

        def tempered(z: Tensor, share: Tensor = share, inverse: Tensor = inverse) -> tuple[Tensor, Tensor]:
            value, score = asked(z)
            prior = (1 - share) * inverse
            return share[:, 0] * value - 0.5 * (prior * z.square()).sum(1), share * score - prior * z

        state = mala.init(x.flatten(0, 1), tempered)
        for _ in range(MOVES):
            state, info = mala.step(
                state,
                tempered,
                step_size=log_step.exp().expand(-1, n, 1).flatten(0, 1),
                noise=normal().flatten(0, 1),
                log_uniform=uniform(n).log().flatten(),
                scale=scale.flatten(0, 1),
            )
            log_step += info.acceptance.view(groups, n, 1).mean(1, keepdim=True) - ACCEPTANCE
        x = state.x.view(groups, n, dim)
        value, score = asked(state.x)
        if bool((beta >= 1).all()):
            break
    log_z = torch.where(beta >= 1, log_z + dim * width[:, 0].double().log(), beta - 1e30)[:, 0]
    best = (log_z >= log_z.max() - NATS).int().argmax()  # the first of them
    steepest = score.view(groups, n, dim)[best].square().mean(0).max()
    return Extent(*torch.stack((x[best].square().mean().sqrt(), steepest.rsqrt())).tolist())


def _next(gain: Tensor, left: Tensor) -> Tensor:
    """The largest step of β (G, 1), up to ``left``, after which half of the particles of gains (G, n) count."""

    def kept(trial: Tensor) -> Tensor:
        return torch.softmax(trial * gain, 1).square().sum(1, keepdim=True) * gain.shape[1] <= 2

    low, high = torch.zeros_like(left), left
    for _ in range(40):
        middle = 0.5 * (low + high)
        enough = kept(middle)
        low, high = torch.where(enough, middle, low), torch.where(enough, high, middle)
    return torch.where(kept(left), left, low)
