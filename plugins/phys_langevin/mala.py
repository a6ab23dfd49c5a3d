"""The Metropolis-adjusted Langevin algorithm with a step size that finds itself; the step is in ``chains.mala``.

Source: Roberts & Tweedie 1996, Section 1.4; Hoffman & Gelman 2014, Section 3.2 (dual averaging of the step size).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from phys_samplers.chains.chains import ChainRecord, ChainSampler, Run
from phys_samplers.chains.mala import MALAState, step
from phys_samplers.chains.warmup import StepSize, find_start, refuse_unborn, scale_of
from phys_samplers.density import FlatDensity
from phys_samplers.options import draw_option


@dataclass(frozen=True, kw_only=True)
class MALA(ChainSampler):
    """Metropolis-adjusted Langevin algorithm: unbiased; the step size finds itself during a warm-up.

    Lost chains are first led uphill, and coordinates are scaled by what gradients say of their spreads, once more in
    the middle of the warm-up (``chains.warmup``). One step size serves all chains. During the warm-up dual averaging
    moves it towards the wanted acceptance rate, averaged over chains; then it is frozen, and only states after the
    warm-up are kept. The default number of steps is untuned.

    Args:
        step_size: h at the start, in scaled coordinates; with ``warmup_steps=0`` for the whole run.
        warmup_steps: steps that adapt the step size, part of ``sampling_steps``.
        target_acceptance: acceptance rate to adapt to; 0.574 is optimal as D → ∞ (Roberts & Rosenthal 1998).
        ascent_steps: uphill for lost chains, at most, before the warm-up; each costs a gradient. With 0, or without a
            warm-up, chains stay where they start, and scales are one.
    """

    step_size: float = draw_option(0.1, above=0)
    warmup_steps: int = draw_option(200, least=0)
    target_acceptance: float = draw_option(0.574, above=0, below=1)
    ascent_steps: int = draw_option(60, least=0)

    @property
    def burn_in(self) -> int:
        """The warm-up."""
        return self.warmup_steps

    def run(self, source: FlatDensity, x: Tensor, *, generator: torch.Generator, record: ChainRecord) -> Run:
        """Warm up, then sample; see ``ChainSampler.run``."""
        start = find_start(source, x, steps=self.ascent_steps if self.warmup_steps else 0)
        state, scale = MALAState(start.x, start.log_prob, start.score), start.scale
        step_size = StepSize(self, like=x)
        for index in range(self.sampling_steps):
            noise = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
            log_uniform = torch.rand(len(x), generator=generator, device=x.device, dtype=x.dtype).log_()
            state, info = step(
                state,
                source.log_prob_and_score,
                step_size=step_size.now,
                noise=noise,
                log_uniform=log_uniform,
                scale=scale,
            )
            step_size.observe(info.acceptance)
            if 2 * (index + 1) == self.warmup_steps - self.warmup_steps % 2 and self.ascent_steps:
                scale = scale_of(state.x, state.score, scale)
            record.observe(state.x)
        refuse_unborn(state.x, state.log_prob, steps=self.sampling_steps, by="mala")
        return Run(source.evaluations, {**step_size.facts(), "moved": int(start.moved)})
