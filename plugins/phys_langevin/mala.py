"""The Metropolis-adjusted Langevin algorithm with a step size that finds itself; the step is in ``chains.mala``.

Source: Roberts & Tweedie 1996, Section 1.4; Hoffman & Gelman 2014, Section 3.2 (dual averaging of the step size).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from phys_samplers.chains import dual_averaging
from phys_samplers.chains.chains import ChainRecord, ChainSampler, Run
from phys_samplers.chains.mala import init, step
from phys_samplers.density import FlatDensity, refuse_lost
from phys_samplers.options import draw_option


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
