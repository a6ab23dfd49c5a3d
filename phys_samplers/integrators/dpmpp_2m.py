r"""DPM-Solver++(2M): an exponential two-step method of order 2 for the probability-flow ODE, one evaluation a step.

In λ = −log σ the ODE dx/dσ = (x − D)/σ reads dx/dλ = D − x, whose exact solution from σ at λ to s at λ + h is

    x(λ + h) = e^{−h} x(λ) + ∫₀ʰ e^{u−h} D(λ + u) du.

With D drawn as a line through its values at this level and at the one before, h₀ earlier, the step is, to order 2,

    x ← (s/σ) x + (1 − s/σ) [D + (h/2h₀) (D − D₀)],        h = log(σ/s).

The first step has no D₀ and is of first order (DDIM's); so is the step to s = 0, where h is infinite: it returns D.

Source: Lu et al. 2022, *DPM-Solver++* (arXiv:2211.01095), Algorithm 2, with α = 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from phys_samplers.dynamics import Dynamics
from phys_samplers.integrators.base import BrownianIncrement, Integrator
from phys_samplers.shapes import State


@dataclass(frozen=True, kw_only=True)
class DPMpp2M(Integrator):
    """See the module. The scheme itself remembers nothing: ``begin`` gives each run a memory of its own."""

    name = "dpmpp-2m"
    equation = "denoising"
    order = 2.0
    evaluations_per_step = 1

    def begin(self) -> Integrator:
        """The scheme with an empty memory."""
        return _Run()

    def step(self, dynamics: Dynamics, x: State, t: float, dt: float, noise: BrownianIncrement) -> State:
        """One step, without a memory that of first order; see ``Integrator.step``."""
        return _step(x, dynamics.denoise(x, t), t, t + dt, None)  # type: ignore[attr-defined]


class _Run(DPMpp2M):
    """The scheme in one run: it remembers the level of the last step and what the denoiser said there."""

    def __init__(self) -> None:
        self._last: tuple[float, Tensor] | None = None

    def step(self, dynamics: Dynamics, x: State, t: float, dt: float, noise: BrownianIncrement) -> State:
        """The next step; see ``Integrator.step``."""
        clean = dynamics.denoise(x, t)  # type: ignore[attr-defined]
        last, self._last = self._last, (t, clean)
        return _step(x, clean, t, t + dt, last)


def _step(x: Tensor, clean: Tensor, t: float, end: float, last: tuple[float, Tensor] | None) -> Tensor:
    if end <= 0:
        return clean
    if last is None:
        return torch.lerp(clean, x, end / t)
    before, old = last
    line = torch.lerp(old, clean, 1 + 0.5 * math.log(t / end) / math.log(before / t))
    return line.lerp_(x, end / t)
