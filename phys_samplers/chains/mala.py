"""The Metropolis-adjusted Langevin step, batched over chains.

Proposal and acceptance, with s = ∇log p, z ~ N(0, I):

    x' = x + h s(x) + √(2h) z,
    log α = log p(x') − log p(x) + log q(x|x') − log q(x'|x),        q(x'|x) = N(x'; x + h s(x), 2h I).

Putting x' in, the two Gaussians leave ``−√(h/2) z·(s + s') − (h/4)|s + s'|²``, in which nothing large cancels as h → 0.
With scales S it is the step of u = x/S: h becomes hS² above, and √h becomes √h S.

Source: Besag 1994; Roberts & Tweedie 1996, *Exponential convergence of Langevin distributions and their discrete
approximations*, Section 1.4.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from phys_samplers.density import LogDensity


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
