"""The Metropolis-adjusted Langevin algorithm, batched over chains, with a step size that finds itself.

Proposal and acceptance, with s = ∇log p, z ~ N(0, I):

    x' = x + h s(x) + √(2h) z,
    log α = log p(x') − log p(x) + log q(x|x') − log q(x'|x),        q(x'|x) = N(x'; x + h s(x), 2h I).

Putting x' in, the two Gaussians leave ``−√(h/2) z·(s + s') − (h/4)|s + s'|²``, in which nothing large cancels as h → 0.

Source: Besag 1994; Roberts & Tweedie 1996, *Exponential convergence of Langevin distributions and their discrete
approximations*, Section 1.4; Hoffman & Gelman 2014, Section 3.2 (dual averaging of the step size).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from phys_samplers.chains import dual_averaging
from phys_samplers.chains.chains import ChainRecord, ChainSampler, Run
from phys_samplers.density import FlatDensity, LogDensity, refuse_lost
from phys_samplers.options import draw_option


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
    state: MALAState, log_density: LogDensity, *, step_size: Tensor | float, noise: Tensor, log_uniform: Tensor
) -> tuple[MALAState, MALAInfo]:
    """One proposal and its test: one evaluation.

    A proposal where the density is zero or something is not a number is refused; a chain that starts where the
    density is zero takes the first proposal where it is not.

    Args:
        state: of all chains.
        log_density: log p and its gradient.
        step_size: h > 0, one for all chains.
        noise: standard normal (B, D).
        log_uniform: logarithms of uniform draws on [0, 1), (B,).
    """
    x, log_prob, score = state
    proposal = x + step_size * score + (2 * step_size) ** 0.5 * noise
    log_prob_there, score_there = log_density(proposal)
    both = score + score_there
    log_ratio = log_prob_there - log_prob - ((step_size / 2) ** 0.5 * noise + (step_size / 4) * both).mul(both).sum(1)
    accepted = log_uniform < log_ratio  # False where the ratio is not a number
    chosen = accepted.unsqueeze(1)
    moved = MALAState(
        torch.where(chosen, proposal, x),
        torch.where(accepted, log_prob_there, log_prob),
        torch.where(chosen, score_there, score),
    )
    return moved, MALAInfo(log_ratio.clamp(max=0.0).exp().nan_to_num(0.0), accepted)


@dataclass(frozen=True, kw_only=True)
class MALA(ChainSampler):
    """Metropolis-adjusted Langevin algorithm: unbiased; the step size finds itself during a warm-up.

    One step size serves all chains. During the warm-up dual averaging moves it towards the wanted acceptance rate,
    averaged over chains; then it is frozen, and only states after the warm-up are kept. The default number of steps is
    untuned.

    Args:
        step_size: h at the start; with ``warmup_steps=0`` for the whole run.
        warmup_steps: steps that adapt the step size, part of ``sampling_steps``.
        target_acceptance: acceptance rate to adapt to; 0.574 is optimal as D → ∞ (Roberts & Rosenthal 1998).
    """

    step_size: float = draw_option(0.1, above=0)
    warmup_steps: int = draw_option(200, least=0)
    target_acceptance: float = draw_option(0.574, above=0, below=1)

    @property
    def burn_in(self) -> int:
        """The warm-up."""
        return self.warmup_steps

    def run(self, source: FlatDensity, x: Tensor, *, generator: torch.Generator, record: ChainRecord) -> Run:
        """Warm up, then sample; see ``ChainSampler.run``."""
        state = init(x, source.log_prob_and_score)
        adaptation = dual_averaging.init(self.step_size, like=x)
        step_size = adaptation.log_step.exp()
        acceptance = x.new_zeros(())
        for index in range(self.sampling_steps):
            noise = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
            log_uniform = torch.rand(len(x), generator=generator, device=x.device, dtype=x.dtype).log_()
            state, info = step(
                state, source.log_prob_and_score, step_size=step_size, noise=noise, log_uniform=log_uniform
            )
            if index < self.warmup_steps:
                adaptation = dual_averaging.update(adaptation, info.acceptance.mean(), goal=self.target_acceptance)
                frozen = index + 1 == self.warmup_steps
                step_size = (adaptation.log_average if frozen else adaptation.log_step).exp()
            else:
                acceptance = acceptance + info.acceptance.mean()
            record.observe(state.x)
        refuse_lost(
            state.x,
            alive=state.log_prob.isfinite(),
            steps=self.sampling_steps,
            by="mala",
            advice="they started where the density is zero or not finite; start them nearer (start, prior_std)",
        )
        facts = {
            "acceptance": float(acceptance) / (self.sampling_steps - self.warmup_steps),
            "step_size": float(step_size),
            "warmup_steps": self.warmup_steps,
        }
        return Run(source.evaluations, facts)
