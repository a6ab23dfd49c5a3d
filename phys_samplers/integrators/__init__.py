"""Integrators: one file a scheme, one driver for ODE and SDE, one place where function evaluations are counted.

>>> from phys_samplers.integrators import EulerMaruyama, integrate, uniform
>>> solution = integrate(dynamics, x0, integrator=EulerMaruyama(), grid=uniform(0.0, 1.0, 200), generator=generator)

Names are imported when they are first used, so that listing the components costs no import of torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from phys_samplers.integrators.base import BrownianIncrement, Integrator, StepFailure
    from phys_samplers.integrators.brownian import BrownianPath, WienerProcess
    from phys_samplers.integrators.corrected_heun import CorrectedHeun
    from phys_samplers.integrators.ddim import DDIM
    from phys_samplers.integrators.dopri5 import Dopri5
    from phys_samplers.integrators.dpmpp_2m import DPMpp2M
    from phys_samplers.integrators.driver import Solution, Trajectory, integrate
    from phys_samplers.integrators.edm_heun import EDMHeun
    from phys_samplers.integrators.euler_maruyama import EulerMaruyama
    from phys_samplers.integrators.exponential_ou import ExponentialOU
    from phys_samplers.integrators.grids import geometric, power, uniform
    from phys_samplers.integrators.milstein import Milstein
    from phys_samplers.integrators.predictor_corrector import PredictorCorrector
    from phys_samplers.integrators.restart import Restart
    from phys_samplers.integrators.runge_kutta import RK4, Euler, Heun
    from phys_samplers.integrators.sra1 import SRA1
    from phys_samplers.integrators.stochastic_heun import StochasticHeun

_HOME = {
    "BrownianIncrement": "base",
    "Integrator": "base",
    "StepFailure": "base",
    "BrownianPath": "brownian",
    "WienerProcess": "brownian",
    "CorrectedHeun": "corrected_heun",
    "DDIM": "ddim",
    "Dopri5": "dopri5",
    "DPMpp2M": "dpmpp_2m",
    "Solution": "driver",
    "Trajectory": "driver",
    "integrate": "driver",
    "EDMHeun": "edm_heun",
    "EulerMaruyama": "euler_maruyama",
    "ExponentialOU": "exponential_ou",
    "geometric": "grids",
    "power": "grids",
    "uniform": "grids",
    "Milstein": "milstein",
    "PredictorCorrector": "predictor_corrector",
    "Restart": "restart",
    "Euler": "runge_kutta",
    "Heun": "runge_kutta",
    "RK4": "runge_kutta",
    "SRA1": "sra1",
    "StochasticHeun": "stochastic_heun",
}

__all__ = [
    "DDIM",
    "RK4",
    "SRA1",
    "BrownianIncrement",
    "BrownianPath",
    "CorrectedHeun",
    "DPMpp2M",
    "Dopri5",
    "EDMHeun",
    "Euler",
    "EulerMaruyama",
    "ExponentialOU",
    "Heun",
    "Integrator",
    "Milstein",
    "PredictorCorrector",
    "Restart",
    "Solution",
    "StepFailure",
    "StochasticHeun",
    "Trajectory",
    "WienerProcess",
    "geometric",
    "integrate",
    "power",
    "uniform",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
