r"""Classic explicit Runge–Kutta methods for ODEs, dx/dt = a(x, t).

Euler:  x ← x + a₁ dt                                              (order 1)
Heun:   x ← x + ½ (a₁ + a₂) dt,  a₂ = a(x + a₁ dt, t + dt)         (order 2)
RK4:    x ← x + (a₁ + 2a₂ + 2a₃ + a₄) dt/6, two midpoints, one end (order 4)

Sources: Euler 1768; Heun 1900; Kutta 1901.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from phys_samplers.dynamics import Dynamics, Noise
from phys_samplers.integrators.base import BrownianIncrement, Equation, Integrator


@dataclass(frozen=True, kw_only=True)
class Euler(Integrator):
    """Euler's method, order 1."""

    name: ClassVar[str] = "euler"
    equation: ClassVar[Equation] = "ode"
    order: ClassVar[float | None] = 1.0
    evaluations_per_step: ClassVar[int | None] = 1
    accepts: ClassVar[frozenset[Noise]] = frozenset({"none"})

    def step(self, dynamics: Dynamics, x: Tensor, t: float, dt: float, noise: BrownianIncrement) -> Tensor:
        """One step; see ``Integrator.step``."""
        return torch.add(x, dynamics.drift(x, t), alpha=dt)


@dataclass(frozen=True, kw_only=True)
class Heun(Integrator):
    """Heun's method (the explicit trapezoidal rule), order 2."""

    name: ClassVar[str] = "heun"
    equation: ClassVar[Equation] = "ode"
    order: ClassVar[float | None] = 2.0
    evaluations_per_step: ClassVar[int | None] = 2
    accepts: ClassVar[frozenset[Noise]] = frozenset({"none"})

    def step(self, dynamics: Dynamics, x: Tensor, t: float, dt: float, noise: BrownianIncrement) -> Tensor:
        """One step; see ``Integrator.step``."""
        a1 = dynamics.drift(x, t)
        a2 = dynamics.drift(torch.add(x, a1, alpha=dt), t + dt)
        return torch.add(x, a1 + a2, alpha=0.5 * dt)


@dataclass(frozen=True, kw_only=True)
class RK4(Integrator):
    """The classic Runge–Kutta method, order 4."""

    name: ClassVar[str] = "rk4"
    equation: ClassVar[Equation] = "ode"
    order: ClassVar[float | None] = 4.0
    evaluations_per_step: ClassVar[int | None] = 4
    accepts: ClassVar[frozenset[Noise]] = frozenset({"none"})

    def step(self, dynamics: Dynamics, x: Tensor, t: float, dt: float, noise: BrownianIncrement) -> Tensor:
        """One step; see ``Integrator.step``."""
        half = 0.5 * dt
        a1 = dynamics.drift(x, t)
        a2 = dynamics.drift(torch.add(x, a1, alpha=half), t + half)
        a3 = dynamics.drift(torch.add(x, a2, alpha=half), t + half)
        a4 = dynamics.drift(torch.add(x, a3, alpha=dt), t + dt)
        return torch.add(x, a1 + a4, alpha=dt / 6).add_(a2 + a3, alpha=dt / 3)
