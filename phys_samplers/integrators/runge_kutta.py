r"""Classic explicit Runge–Kutta methods for ODEs, dx/dt = a(x, t).

Euler:  x ← x + a₁ dt                                              (order 1)
Heun:   x ← x + ½ (a₁ + a₂) dt,  a₂ = a(x + a₁ dt, t + dt)         (order 2)
RK4:    x ← x + (a₁ + 2a₂ + 2a₃ + a₄) dt/6, two midpoints, one end (order 4)

Sources: Euler 1768; Heun 1900; Kutta 1901.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from phys_samplers.dynamics import Dynamics
from phys_samplers.integrators.base import BrownianIncrement, Integrator, StepFailure
from phys_samplers.options import draw_option
from phys_samplers.shapes import State


@dataclass(frozen=True, kw_only=True)
class Euler(Integrator):
    """Euler's method, order 1."""

    name = "euler"
    equation = "ode"
    order = 1.0
    evaluations_per_step = 1

    def step(self, dynamics: Dynamics, x: State, t: float, dt: float, noise: BrownianIncrement) -> State:
        """One step; see ``Integrator.step``."""
        return torch.add(x, dynamics.drift(x, t), alpha=dt)


@dataclass(frozen=True, kw_only=True)
class Heun(Integrator):
    """Heun's method (the explicit trapezoidal rule), order 2."""

    name = "heun"
    equation = "ode"
    order = 2.0
    evaluations_per_step = 2

    def step(self, dynamics: Dynamics, x: State, t: float, dt: float, noise: BrownianIncrement) -> State:
        """One step; see ``Integrator.step``."""
        a1 = dynamics.drift(x, t)
        a2 = dynamics.drift(torch.add(x, a1, alpha=dt), t + dt)
        return torch.add(x, a1 + a2, alpha=0.5 * dt)


@dataclass(frozen=True, kw_only=True)
class RK4(Integrator):
    """The classic Runge–Kutta method, order 4."""

    name = "rk4"
    equation = "ode"
    order = 4.0
    evaluations_per_step = 4

    def step(self, dynamics: Dynamics, x: State, t: float, dt: float, noise: BrownianIncrement) -> State:
        """One step; see ``Integrator.step``."""
        half = 0.5 * dt
        a1 = dynamics.drift(x, t)
        a2 = dynamics.drift(torch.add(x, a1, alpha=half), t + half)
        a3 = dynamics.drift(torch.add(x, a2, alpha=half), t + half)
        a4 = dynamics.drift(torch.add(x, a3, alpha=dt), t + dt)
        return torch.add(x, a1 + a4, alpha=dt / 6).add_(a2 + a3, alpha=dt / 3)


@dataclass(frozen=True, kw_only=True)
class Dopri5(Integrator):
    r"""Adaptive Dormand–Prince 5(4) for ODEs, by torchdiffeq.

    The step keeps ``rms(error / (atol + rtol |x|))`` ≤ 1, with the root mean square over the whole batch: particles
    share their steps, so a sample depends (within the tolerance) on its companions. Every accepted or rejected step
    reads one number from the device.

    Source: Dormand & Prince, *A family of embedded Runge–Kutta formulae*, J. Comput. Appl. Math. 6, 1980.

    Order 5 with an embedded error estimate of order 4; time may decrease.

    Args:
        rtol: relative tolerance of a step.
        atol: absolute tolerance of a step.
        max_steps: steps (rejected ones included) after which a span counts as failed.

    Raises:
        ConfigurationError: on a tolerance or ``max_steps`` that is not positive.
    """

    rtol: float = draw_option(1e-5, above=0)
    atol: float = draw_option(1e-5, above=0)
    max_steps: int = draw_option(100_000, least=1)

    name = "dopri5"
    equation = "ode"
    order = 5.0
    evaluations_per_step = None
    adaptive = True

    def step(self, dynamics: Dynamics, x: State, t: float, dt: float, noise: BrownianIncrement) -> State:
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
