"""ODE schemes: orders on a nonlinear equation with a known solution, both ways in time; the adaptive scheme."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from phys_samplers.dynamics import Dynamics
from phys_samplers.errors import ConfigurationError, DivergenceError
from phys_samplers.integrators import (
    RK4,
    SRA1,
    Dopri5,
    Euler,
    EulerMaruyama,
    Heun,
    Integrator,
    Milstein,
    StochasticHeun,
    integrate,
    uniform,
)

START = torch.tensor([[0.1], [0.4], [1.6]], dtype=torch.float64)


@pytest.mark.parametrize(
    "integrator", [Euler(), Heun(), RK4(), EulerMaruyama(), Milstein(), StochasticHeun(), SRA1()], ids=lambda v: v.name
)
@pytest.mark.parametrize("span", [(0.0, 2.0), (0.4, 0.0)], ids=["forward", "backward"])
def test_order_on_the_logistic_equation(
    logistic: Callable[[], Dynamics], integrator: Integrator, span: tuple[float, float]
) -> None:
    """The schemes for SDEs reduce to ODE schemes of the declared order, and draw no noise to do so."""
    dynamics = logistic()
    exact = dynamics.exact(START, span[1] - span[0])
    errors = [
        float((integrate(dynamics, START, integrator=integrator, grid=uniform(*span, n)).x - exact).abs().max())
        for n in (64, 128)
    ]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(integrator.order, abs=0.1)


def test_schemes_for_sdes_reduce_to_their_ode_namesakes(logistic: Callable[[], Dynamics]) -> None:
    grid = uniform(0.0, 1.0, 7)

    def end(integrator: Integrator) -> Tensor:
        return integrate(logistic(), START, integrator=integrator, grid=grid).x

    assert torch.equal(end(EulerMaruyama()), end(Euler()))
    assert torch.equal(end(Milstein()), end(Euler()))
    assert torch.equal(end(StochasticHeun()), end(Heun()))


@pytest.mark.parametrize("span", [(0.0, 3.0), (0.5, 0.0)], ids=["forward", "backward"])
@pytest.mark.parametrize("tolerance", [1e-4, 1e-9])
def test_dopri5_keeps_its_tolerance(
    logistic: Callable[[], Dynamics], span: tuple[float, float], tolerance: float
) -> None:
    dynamics = logistic()
    solution = integrate(dynamics, START, integrator=Dopri5(rtol=tolerance, atol=tolerance), grid=span)
    assert float((solution.x - dynamics.exact(START, span[1] - span[0])).abs().max()) < 30 * tolerance


class Watched(Dynamics):
    """dx/dt = √t x, undefined for t < 0; remembers when it was asked."""

    event_shape = (1,)
    calls_per_evaluation = 3

    def __init__(self) -> None:
        self.asked: list[float] = []

    def drift(self, x: Tensor, t: float) -> Tensor:
        assert isinstance(t, float)
        self.asked.append(t)
        return math.sqrt(t) * x

    def prior(self, n: int, generator: torch.Generator) -> Tensor:
        return torch.ones(n, 1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dopri5_counts_truly_stays_inside_the_span_and_keeps_dtype(dtype: torch.dtype) -> None:
    dynamics = Watched()
    solution = integrate(dynamics, torch.ones(2, 1, dtype=dtype), integrator=Dopri5(), grid=(1.0, 0.1))
    assert solution.nfe == 3 * len(dynamics.asked)
    assert solution.steps == 1
    assert solution.x.dtype == dtype
    assert min(dynamics.asked) >= 0.1 - 1e-6
    assert max(dynamics.asked) <= 1.0 + 1e-6
    assert float(solution.x[0]) == pytest.approx(math.exp((0.1**1.5 - 1) / 1.5), rel=1e-4)


def test_dopri5_hits_only_the_recorded_points_of_a_grid(logistic: Callable[[], Dynamics]) -> None:
    dynamics, grid = logistic(), uniform(0.0, 1.0, 10)
    plain = integrate(dynamics, START, integrator=Dopri5(), grid=grid)
    assert plain.nfe == integrate(dynamics, START, integrator=Dopri5(), grid=(0.0, 1.0)).nfe
    recorded = integrate(dynamics, START, integrator=Dopri5(rtol=1e-9, atol=1e-9), grid=grid, record=4)
    assert recorded.trajectory is not None
    assert recorded.trajectory.times == (grid[0], grid[4], grid[8], grid[10])
    for t, state in zip(*recorded.trajectory, strict=True):
        torch.testing.assert_close(state, dynamics.exact(START, t), rtol=0, atol=1e-7)


class Explosion(Dynamics):
    """dx/dt = x²: the particle that starts at 1 is at infinity at t = 1, the others live on."""

    event_shape = (1,)

    def drift(self, x: Tensor, t: float) -> Tensor:
        return x * x

    def prior(self, n: int, generator: torch.Generator) -> Tensor:
        return torch.ones(n, 1)


def test_dopri5_turns_a_blow_up_into_a_divergence_with_a_count() -> None:
    x0 = torch.tensor([[1.0], [-1.0], [0.1]], dtype=torch.float64)
    with pytest.raises(DivergenceError, match=r"dopri5 stopped near t = [01]\.?\d*.*1 of 3 particles") as caught:
        integrate(Explosion(), x0, integrator=Dopri5(max_steps=2000), grid=(0.0, 2.0))
    assert (caught.value.lost, caught.value.total) == (1, 3)


class Nan(Explosion):
    def drift(self, x: Tensor, t: float) -> Tensor:
        return torch.where(x > 0, torch.nan, 0.0) if t > 0.5 else torch.ones_like(x)


def test_dopri5_turns_nan_into_a_divergence() -> None:
    with pytest.raises(DivergenceError, match="not finite") as caught:
        integrate(Nan(), torch.tensor([[1.0], [-9.0]]), integrator=Dopri5(), grid=(0.0, 1.0))
    assert caught.value.lost == 1


@pytest.mark.parametrize("options", [{"rtol": 0.0}, {"atol": -1.0}, {"rtol": math.nan}, {"max_steps": 0}])
def test_dopri5_refuses_bad_options(options: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        Dopri5(**options)
