"""Strong orders of convergence, from the slope of log(error) against log(step) on shared Brownian paths.

The paths of every test are fixed by their seed. Over 20 seeds the slopes measured here have standard deviations of at
most 0.04 and means within 0.05 of the order, so that bands of ±0.15 are beyond 2.5 of them for the worst pair and
beyond 4 for most, and still keep orders apart that differ by 0.5.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from phys_samplers.dynamics import Dynamics
from phys_samplers.integrators import (
    SRA1,
    BrownianPath,
    EulerMaruyama,
    ExponentialOU,
    Integrator,
    Milstein,
    StochasticHeun,
    integrate,
    uniform,
)
from phys_samplers.randomness import make_generator

FINE, PATHS = 1024, 500
FACTORS = (4, 8, 16, 32, 64)


def slope(
    dynamics: Dynamics,
    x0: Tensor,
    path: BrownianPath,
    integrator: Integrator,
    exact: Tensor,
    factors: tuple[int, ...] = FACTORS,
) -> float:
    """Least-squares slope of log2 of the root mean square error against log2 of the step."""
    errors = []
    for factor in factors:
        coarse = path.coarsen(factor)
        x = integrate(dynamics, x0, integrator=integrator, grid=coarse.grid, brownian=coarse).x
        errors.append(math.log2((x - exact).square().mean().sqrt()))
    steps = torch.tensor([math.log2(f) for f in factors], dtype=torch.float64)
    values = torch.tensor(errors, dtype=torch.float64)
    centred = steps - steps.mean()
    return float((centred * values).sum() / centred.square().sum())


@pytest.mark.parametrize(
    ("integrator", "order"), [(EulerMaruyama(), 0.5), (Milstein(), 1.0), (StochasticHeun(), 1.0)], ids=lambda v: str(v)
)
@pytest.mark.parametrize("span", [(0.0, 1.0), (0.7, -0.3)], ids=["forward", "backward"])
def test_order_on_geometric_brownian_motion(
    gbm: Callable[..., Dynamics], integrator: Integrator, order: float, span: tuple[float, float]
) -> None:
    """Two coordinates with a noise of their own each; backwards in time the equation has the drift −μ x."""
    mu, sigma = 0.3, 0.5
    dynamics = gbm(mu, sigma, dim=2)
    path = BrownianPath((PATHS, 2), uniform(*span, 512), make_generator(1, "gbm"))
    x0 = torch.ones(PATHS, 2, dtype=torch.float64)
    forward = gbm(math.copysign(mu, span[1] - span[0]), sigma)
    exact = forward.exact(x0, abs(span[1] - span[0]), path.dw.sum(0))
    assert slope(dynamics, x0, path, integrator, exact, (2, 4, 8, 16, 32)) == pytest.approx(order, abs=0.15)


def exact_ou(dynamics: Dynamics, x0: Tensor, path: BrownianPath) -> Tensor:
    """The solution on the path: over a fine step ∫ e^{−λ(h−s)} dW = ΔW − λ I₁₀ + O(h^{5/2}), summed exactly."""
    h = abs(path.grid[1] - path.grid[0])
    rate = dynamics.rate * math.copysign(1.0, path.grid[1] - path.grid[0])
    x = x0
    for dw, i10 in zip(path.dw, path.i10, strict=True):
        x = dynamics.centre + math.exp(-rate * h) * (x - dynamics.centre) + dynamics.b * (dw - rate * i10)
    return x


@pytest.mark.parametrize(
    ("integrator", "order"),
    # SRA1 is better than its order on a linear drift: the term that makes it 1.5 has a factor a''
    [(EulerMaruyama(), 1.0), (Milstein(), 1.0), (StochasticHeun(), 1.0), (ExponentialOU(), 1.0), (SRA1(), 2.0)],
    ids=lambda v: str(v),
)
@pytest.mark.parametrize("span", [(0.0, 1.0), (1.0, 0.0)], ids=["forward", "backward"])
def test_order_on_ornstein_uhlenbeck(
    ou: Callable[..., Dynamics], integrator: Integrator, order: float, span: tuple[float, float]
) -> None:
    dynamics = ou()
    path = BrownianPath((PATHS, 1), uniform(*span, FINE), make_generator(2, "ou"))
    x0 = torch.ones(PATHS, 1, dtype=torch.float64)
    exact = exact_ou(dynamics, x0, path)
    factors = FACTORS[1:] if order == 2.0 else FACTORS  # the exact solution itself is good to O(h²) of the fine grid
    assert slope(dynamics, x0, path, integrator, exact, factors) == pytest.approx(order, abs=0.15)


class Pendulum(Dynamics):
    """dx = sin(3x) dt + (1 + t²) dW: a nonlinear drift with additive noise that changes in time."""

    noise = "additive"
    event_shape = (1,)

    def drift(self, x: Tensor, t: float) -> Tensor:
        return torch.sin(3 * x)

    def diffusion(self, x: Tensor, t: float) -> Tensor:
        return torch.tensor(1 + t * t, dtype=x.dtype)

    def prior(self, n: int, generator: torch.Generator) -> Tensor:
        return torch.zeros(n, 1)


@pytest.mark.parametrize(
    ("integrator", "order"), [(EulerMaruyama(), 1.0), (StochasticHeun(), 1.0), (SRA1(), 1.5)], ids=lambda v: str(v)
)
def test_order_on_nonlinear_drift_with_additive_noise(integrator: Integrator, order: float) -> None:
    """Against the same path at a step 16 to 64 times finer, where the error of SRA1 is 64 to 512 times smaller."""
    dynamics = Pendulum()
    path = BrownianPath((PATHS, 1), uniform(0.0, 0.25, FINE), make_generator(3, "pendulum"))
    x0 = torch.zeros(PATHS, 1, dtype=torch.float64)
    exact = integrate(dynamics, x0, integrator=SRA1(), grid=path.grid, brownian=path).x
    assert slope(dynamics, x0, path, integrator, exact, (16, 32, 64)) == pytest.approx(order, abs=0.15)


class TimeDecay(Dynamics):
    """Rößler's example: dx = (β/√(1+t) − x/(2(1+t))) dt + αβ/√(1+t) dW, x(t) = (x₀ + β(t + αW))/√(1+t)."""

    noise = "additive"
    event_shape = (1,)
    alpha, beta = 0.5, 0.8

    def drift(self, x: Tensor, t: float) -> Tensor:
        return self.beta / math.sqrt(1 + t) - x / (2 * (1 + t))

    def diffusion(self, x: Tensor, t: float) -> Tensor:
        return torch.tensor(self.alpha * self.beta / math.sqrt(1 + t), dtype=x.dtype)

    def prior(self, n: int, generator: torch.Generator) -> Tensor:
        return torch.ones(n, 1)


@pytest.mark.parametrize(("integrator", "order"), [(EulerMaruyama(), 1.0), (SRA1(), 2.0)], ids=lambda v: str(v))
def test_order_on_time_dependent_noise(integrator: Integrator, order: float) -> None:
    """Exact solution in W(T) alone, so that wrong weights of b(t) and b(t + h) show; linear, hence order 2."""
    dynamics = TimeDecay()
    path = BrownianPath((PATHS, 1), uniform(0.0, 1.0, 256), make_generator(4, "decay"))
    x0 = torch.ones(PATHS, 1, dtype=torch.float64)
    exact = (x0 + dynamics.beta * (1 + dynamics.alpha * path.dw.sum(0))) / math.sqrt(2.0)
    assert slope(dynamics, x0, path, integrator, exact) == pytest.approx(order, abs=0.2)
