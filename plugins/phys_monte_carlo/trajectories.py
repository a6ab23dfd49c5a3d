"""What recipes that move by Hamiltonian trajectories share: warm-up, trajectory lengths, and their options."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from phys_samplers.chains.chains import ChainSampler
from phys_samplers.chains.checks import at_least, positive
from phys_samplers.errors import ConfigurationError


@dataclass(frozen=True, kw_only=True)
class TrajectorySampler(ChainSampler):
    """A recipe whose steps are Hamiltonian trajectories; every leapfrog step of one costs a gradient.

    Args:
        step_size: h at the start; with ``warmup_steps=0`` for the whole run, with unit masses.
        warmup_steps: trajectories that adapt, part of ``sampling_steps``.
        target_acceptance: acceptance rate to adapt to.
        leapfrog_steps: L, the mean number of leapfrog steps of a trajectory; 1 makes it a MALA step.
        jitter: j; L is drawn anew for every trajectory, uniformly on the integers within a share j of
            ``leapfrog_steps``, so that no period of the target is in tune with all trajectories.
    """

    sampling_steps: int = 200
    step_size: float = 0.1
    warmup_steps: int = 100
    target_acceptance: float = 0.8
    leapfrog_steps: int = 5
    jitter: float = 0.5

    def __post_init__(self) -> None:
        at_least(0, warmup_steps=self.warmup_steps)
        at_least(1, leapfrog_steps=self.leapfrog_steps)
        positive(step_size=self.step_size)
        if not self.warmup_steps < self.sampling_steps:
            raise ConfigurationError(
                f"warmup_steps is {self.warmup_steps} and sampling_steps {self.sampling_steps}; expected fewer warm-up "
                "steps than steps in all"
            )
        if not 0 < self.target_acceptance < 1:
            raise ConfigurationError(f"target_acceptance is {self.target_acceptance}; expected a rate between 0 and 1")
        if not 0 <= self.jitter <= 1:
            raise ConfigurationError(f"jitter is {self.jitter}; expected a share between 0 and 1")
        super().__post_init__()

    @property
    def burn_in(self) -> int:
        """The warm-up."""
        return self.warmup_steps

    def lengths(self, generator: torch.Generator) -> list[int]:
        """Leapfrog steps of every trajectory of a run, from one draw, so that the device is waited for once."""
        least = max(1, math.ceil((1 - self.jitter) * self.leapfrog_steps))
        most = 2 * self.leapfrog_steps - least
        size = (self.sampling_steps,)
        return torch.randint(least, most + 1, size, generator=generator, device=generator.device).tolist()
