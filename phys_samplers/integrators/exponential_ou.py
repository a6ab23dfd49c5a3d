r"""Exponential integrator: the Ornstein–Uhlenbeck part of the drift is solved, not approximated.

For a drift ``rate (centre − x) + rest`` with rate, centre, rest and diffusion b frozen over the step, z = rate·dt:

    x ← x + (1 − e^{−z}) (centre − x) + rest dt φ(z) + b √φ(2z) ΔW,        φ(z) = (1 − e^{−z})/z,

which is exact in law: ``b √φ(2z) ΔW`` has the variance ``b² (1 − e^{−2z})/(2 rate)`` of ``b ∫ e^{−rate (h−s)} dW``.
As that integral and ΔW are only strongly correlated, the path converges with Euler–Maruyama's strong orders.
``φ`` is computed with expm1 and is 1 at z = 0, where the scheme is Euler–Maruyama. For ``dt < 0`` the formulas are
the same, z is negative and the Ornstein–Uhlenbeck part is a repulsion.

Source: Gillespie, *Exact numerical simulation of the Ornstein–Uhlenbeck process and its integral*, Phys. Rev. E 54,
1996 (the exact update); a step of Bellman or Langevin dynamics has this form with the denoiser as the centre.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from phys_samplers.dynamics import Dynamics
from phys_samplers.errors import IncompatibleError
from phys_samplers.integrators.base import ANY_NOISE, BrownianIncrement, Integrator
from phys_samplers.shapes import State


@dataclass(frozen=True, kw_only=True)
class ExponentialOU(Integrator):
    """Exact in law for a linear drift with constant coefficients; else strong order 0.5 (additive 1.0), weak 1.0.

    On an ODE it is the exponential Euler method. Needs ``dynamics.relaxation``.
    """

    name = "exponential-ou"
    equation = "both"
    order = 1.0
    strong_order = 0.5
    strong_order_additive = 1.0
    weak_order = 1.0
    evaluations_per_step = 1
    accepts = ANY_NOISE

    def check(self, dynamics: Dynamics) -> None:
        """Raise unless ``dynamics`` split their drift; see ``Integrator.check``."""
        super().check(dynamics)
        if type(dynamics).relaxation is Dynamics.relaxation:
            raise _no_relaxation(dynamics)

    def step(self, dynamics: Dynamics, x: State, t: float, dt: float, noise: BrownianIncrement) -> State:
        """One step; see ``Integrator.step``."""
        split = dynamics.relaxation(x, t)
        if split is None:
            raise _no_relaxation(getattr(dynamics, "counted", dynamics))
        (rate, centre, rest), b = split
        z = rate * dt
        x = torch.addcmul(x, -torch.expm1(-z), centre - x)
        if rest is not None:
            x = x.addcmul_(rest, phi(z), value=dt)
        if dynamics.noise == "none":
            return x
        return x.addcmul_(b * phi(2 * z).sqrt(), noise.dw)


def phi(z: Tensor) -> Tensor:
    """(1 − e^{−z})/z to rounding for every z, 1 at z = 0."""
    zero = z == 0
    return torch.where(zero, 1.0, -torch.expm1(-z) / torch.where(zero, 1.0, z))


def _no_relaxation(dynamics: Dynamics) -> IncompatibleError:
    return IncompatibleError(
        f"integrator 'exponential-ou' needs a drift with a linear part, but {type(dynamics).__name__}.relaxation "
        "gives none. Use euler-maruyama or stochastic-heun (heun or dopri5 for an ODE), or define relaxation(x, t)"
    )
