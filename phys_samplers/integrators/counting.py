"""The one place where function evaluations are counted."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from phys_samplers.dynamics import Dynamics, Relaxation


class CountedDynamics(Dynamics):
    """Dynamics that count their evaluations.

    A drift, a drift with the diffusion, a relaxation, a denoising, and a diffusion that depends on the state count as
    one evaluation each; an additive diffusion, a number that depends on time alone, counts as none. What an integrator
    of its own wants beyond the contract (attributes and methods) is found on the counted object through this one.

    Attributes:
        counted: the object that does the work.
        evaluations: number of evaluations so far.
    """

    def __init__(self, counted: Dynamics) -> None:
        self.counted = counted
        self.evaluations = 0
        self.event_shape = counted.event_shape
        self.noise = counted.noise
        self.times = counted.times
        self.calls_per_evaluation = counted.calls_per_evaluation
        self._diffusion_cost = int(counted.noise != "additive")

    @property
    def nfe(self) -> int:
        """Network (or density) evaluations so far, per particle."""
        return self.evaluations * self.calls_per_evaluation

    def drift(self, x: Tensor, t: float) -> Tensor:
        """Drift, counted."""
        self.evaluations += 1
        return self.counted.drift(x, t)

    def diffusion(self, x: Tensor, t: float) -> Tensor:
        """Diffusion, counted unless additive."""
        self.evaluations += self._diffusion_cost
        return self.counted.diffusion(x, t)

    def drift_and_diffusion(self, x: Tensor, t: float) -> tuple[Tensor, Tensor]:
        """Both, counted once."""
        self.evaluations += 1
        return self.counted.drift_and_diffusion(x, t)

    def relaxation(self, x: Tensor, t: float) -> tuple[Relaxation, Tensor] | None:
        """Drift split and diffusion, counted once."""
        self.evaluations += 1
        return self.counted.relaxation(x, t)

    def denoise(self, x: Tensor, t: float) -> Tensor:
        """Denoised state, counted."""
        self.evaluations += 1
        return self.counted.denoise(x, t)  # type: ignore[attr-defined, no-any-return]

    def prior(self, n: int, generator: torch.Generator) -> Tensor:
        """Starting points of the counted dynamics."""
        return self.counted.prior(n, generator)

    def __getattr__(self, name: str) -> Any:
        if name == "counted":  # not yet set: copying or unpickling
            raise AttributeError(name)
        return getattr(self.counted, name)
