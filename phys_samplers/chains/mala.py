"""The Metropolis-adjusted Langevin step, batched over chains.

Proposal and acceptance, with s = ∇log p, z ~ N(0, I):

    x' = x + h s(x) + √(2h) z,
    log α = log p(x') − log p(x) + log q(x|x') − log q(x'|x),        q(x'|x) = N(x'; x + h s(x), 2h I).

Putting x' in, the two Gaussians leave ``−√(h/2) z·(s + s') − (h/4)|s + s'|²``, in which nothing large cancels as h → 0.
With scales S it is the step of u = x/S: h becomes hS² above, and √h becomes √h S.

Source: Besag 1994; Roberts & Tweedie 1996, *Exponential convergence of Langevin distributions and their discrete
approximations*, Section 1.4; Del Moral, Doucet & Jasra 2006, *Sequential Monte Carlo samplers*, for ``explore``.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from phys_samplers.density import FlatDensity, LogDensity
from phys_samplers.randomness import make_generator
from phys_samplers.target import Target


class MALAState(NamedTuple):
    """Position (B, D) with the log-density (B,) and the score (B, D) there, kept for the next step."""

    x: Tensor
    log_prob: Tensor
    score: Tensor


class MALAInfo(NamedTuple):
    """What happened in a step: acceptance probabilities (B,), and which chains moved (B,)."""

    acceptance: Tensor
    accepted: Tensor


def init(x: Tensor, log_density: LogDensity) -> MALAState:
    """The state at ``x`` (B, D): one evaluation."""
    return MALAState(x, *log_density(x))


def step(
    state: MALAState,
    log_density: LogDensity,
    *,
    step_size: Tensor | float,
    noise: Tensor,
    log_uniform: Tensor,
    scale: Tensor | None = None,
) -> tuple[MALAState, MALAInfo]:
    """One proposal and its test: one evaluation.

    A proposal where the density is zero or something is not a number is refused; a chain that starts where the
    density is zero takes the first proposal where it is not.

    Args:
        state: of all chains.
        log_density: log p and its gradient.
        step_size: h > 0, one for all chains, or one each (B, 1).
        noise: standard normal (B, D).
        log_uniform: logarithms of uniform draws on [0, 1), (B,).
        scale: S (D,), in whose units the step is taken; one if None.
    """
    x, log_prob, score = state
    h = step_size if isinstance(step_size, Tensor) else x.new_full((), step_size)
    spread, drift = (2 * h).sqrt(), h
    if scale is not None:
        spread, drift = spread * scale, h * scale.square()
    proposal = torch.addcmul(x, score, drift).addcmul_(noise, spread)
    log_prob_there, score_there = log_density(proposal)
    both = score + score_there
    twice = (noise * spread).addcmul_(both, drift, value=0.5).mul_(both).sum(1)
    log_ratio = (log_prob_there - log_prob).sub_(twice, alpha=0.5)
    return decide(state, MALAState(proposal, log_prob_there, score_there), log_ratio, log_uniform)


def decide(here: MALAState, there: MALAState, log_ratio: Tensor, log_uniform: Tensor) -> tuple[MALAState, MALAInfo]:
    """Metropolis' test of a proposal; a ratio that is not a number refuses it.

    Args:
        here: of all chains.
        there: proposed.
        log_ratio: log of p(there) q(here | there) / (p(here) q(there | here)), (B,).
        log_uniform: logarithms of uniform draws on [0, 1), (B,).
    """
    accepted = log_uniform < log_ratio  # False where the ratio is not a number
    chosen = accepted.unsqueeze(1).expand_as(here.x).contiguous()  # twice as fast as one that is spread out in each use
    moved = MALAState(
        torch.where(chosen, there.x, here.x),
        torch.where(accepted, there.log_prob, here.log_prob),
        torch.where(chosen, there.score, here.score),
    )
    return moved, MALAInfo(log_ratio.clamp(max=0.0).exp().nan_to_num(0.0), accepted)


WIDTHS = tuple(4.0**power for power in range(3, -4, -1))
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
        step_up = _next(gain.clamp(min=-1e30), 1 - beta)
        log_weights = step_up * gain.clamp(min=-1e30)
        log_z += log_weights.logsumexp(1, keepdim=True) - math.log(n)
        beta = beta + step_up
        places = (torch.arange(n, device=device) + uniform(1).double()) / n
        chosen = torch.searchsorted(log_weights.softmax(1).cumsum(1), places).clamp(max=n - 1)
        x = x.gather(1, chosen.unsqueeze(-1).expand_as(x))
        share, scale = beta.to(x).repeat_interleave(n, 0), x.std(1, keepdim=True).clamp(min=1e-6 * width).expand_as(x)
        inverse = width.square().reciprocal().expand(-1, n, 1).flatten(0, 1)

        def tempered(z: Tensor, share: Tensor = share, inverse: Tensor = inverse) -> tuple[Tensor, Tensor]:
            value, score = asked(z)
            prior = (1 - share) * inverse
            return share[:, 0] * value - 0.5 * (prior * z.square()).sum(1), share * score - prior * z

        state = init(x.flatten(0, 1), tempered)
        for _ in range(MOVES):
            state, info = step(
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
        low, high = torch.where(kept(middle), middle, low), torch.where(kept(middle), high, middle)
    return torch.where(kept(left), left, low)
