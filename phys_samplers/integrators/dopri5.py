r"""Adaptive Dormand–Prince 5(4) for ODEs, by torchdiffeq.

The step keeps ``rms(error / (atol + rtol |x|))`` ≤ 1, with the root mean square over the whole batch: particles share
their steps, so a sample depends (within the tolerance) on its companions. Every accepted or rejected step reads one
number from the device.

Source: Dormand & Prince, *A family of embedded Runge–Kutta formulae*, J. Comput. Appl. Math. 6, 1980.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from phys_samplers.dynamics import Dynamics, Noise
from phys_samplers.errors import ConfigurationError
from phys_samplers.integrators.base import BrownianIncrement, Equation, Integrator, StepFailure


@dataclass(frozen=True, kw_only=True)
class Dopri5(Integrator):
    """Order 5 with an embedded error estimate of order 4; time may decrease.

    Args:
        rtol: relative tolerance of a step.
        atol: absolute tolerance of a step.
        max_steps: steps (rejected ones included) after which a span counts as failed.

    Raises:
        ConfigurationError: on a tolerance or ``max_steps`` that is not positive.
    """

    rtol: float = 1e-5
    atol: float = 1e-5
    max_steps: int = 100_000

    name: ClassVar[str] = "dopri5"
    equation: ClassVar[Equation] = "ode"
    order: ClassVar[float | None] = 5.0
    evaluations_per_step: ClassVar[int | None] = None
    accepts: ClassVar[frozenset[Noise]] = frozenset({"none"})
    adaptive: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for option in ("rtol", "atol"):
            value = getattr(self, option)
            if not 0 < value < float("inf"):
                raise ConfigurationError(f"{option} of dopri5 is {value!r}; expected a positive number, e.g. 1e-5")
        if isinstance(self.max_steps, bool) or not isinstance(self.max_steps, int) or self.max_steps < 1:
            raise ConfigurationError(f"max_steps of dopri5 is {self.max_steps!r}; expected an integer of at least 1")

    def step(self, dynamics: Dynamics, x: Tensor, t: float, dt: float, noise: BrownianIncrement) -> Tensor:
        """The state at ``t + dt``, by as many steps as the tolerances ask for.

        Raises:
            StepFailure: if the solution is not finite, the step underflows, or ``max_steps`` is reached.
        """
        from torchdiffeq import odeint

        seen_t, seen_state, seen_slope = t, x, torch.zeros_like(x)

        def drift(time: Tensor, state: Tensor) -> Tensor:
            nonlocal seen_t, seen_state, seen_slope
            seen_t, seen_state = float(time), state
            seen_slope = dynamics.drift(state, seen_t)
            return seen_slope

        ends = torch.tensor([t, t + dt], dtype=torch.float64, device=x.device)
        try:
            # step_t makes a step land on the end; without it the drift is asked beyond the end and interpolated
            path = odeint(
                drift,
                x,
                ends,
                rtol=self.rtol,
                atol=self.atol,
                method="dopri5",
                options={"step_t": ends[1:], "max_num_steps": self.max_steps},
            )
        except AssertionError as error:
            raise StepFailure(
                f"dopri5 stopped near t = {seen_t:.6g} ({str(error).splitlines()[0][:80]})",
                state=seen_state + 0 * seen_slope,  # not finite where either is not
                t=seen_t,
                advice="look for a singular drift there, end the span before it, or loosen rtol and atol",
            ) from error
        return path[-1]
