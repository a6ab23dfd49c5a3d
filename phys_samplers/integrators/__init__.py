"""Integrators: one driver for ODE and SDE, one place where function evaluations are counted, a scheme in a few lines.

>>> from phys_samplers.integrators import EulerMaruyama, integrate, uniform
>>> solution = integrate(dynamics, x0, integrator=EulerMaruyama(), grid=uniform(0.0, 1.0, 200), generator=generator)

Names are imported when they are first used, so that listing the components costs no import of torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from phys_registry.lazy import lazy

if TYPE_CHECKING:
    from phys_samplers.integrators.base import BrownianIncrement as BrownianIncrement
    from phys_samplers.integrators.base import Integrator as Integrator
    from phys_samplers.integrators.base import StepFailure as StepFailure
    from phys_samplers.integrators.base import geometric as geometric
    from phys_samplers.integrators.base import power as power
    from phys_samplers.integrators.base import uniform as uniform
    from phys_samplers.integrators.brownian import BrownianPath as BrownianPath
    from phys_samplers.integrators.ddim import DDIM as DDIM
    from phys_samplers.integrators.ddim import PredictorCorrector as PredictorCorrector
    from phys_samplers.integrators.dpmpp_2m import DPMpp2M as DPMpp2M
    from phys_samplers.integrators.driver import Solution as Solution
    from phys_samplers.integrators.driver import Trajectory as Trajectory
    from phys_samplers.integrators.driver import WienerProcess as WienerProcess
    from phys_samplers.integrators.driver import integrate as integrate
    from phys_samplers.integrators.edm_heun import CorrectedHeun as CorrectedHeun
    from phys_samplers.integrators.edm_heun import EDMHeun as EDMHeun
    from phys_samplers.integrators.euler_maruyama import EulerMaruyama as EulerMaruyama
    from phys_samplers.integrators.euler_maruyama import Milstein as Milstein
    from phys_samplers.integrators.exponential_ou import ExponentialOU as ExponentialOU
    from phys_samplers.integrators.restart import Restart as Restart
    from phys_samplers.integrators.runge_kutta import RK4 as RK4
    from phys_samplers.integrators.runge_kutta import Dopri5 as Dopri5
    from phys_samplers.integrators.runge_kutta import Euler as Euler
    from phys_samplers.integrators.runge_kutta import Heun as Heun
    from phys_samplers.integrators.stochastic_runge_kutta import SRA1 as SRA1
    from phys_samplers.integrators.stochastic_runge_kutta import StochasticHeun as StochasticHeun

__getattr__, __dir__ = lazy(__name__)
