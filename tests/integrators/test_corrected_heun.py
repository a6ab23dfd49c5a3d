"""Heun steps with a reversible corrector: the corrector alone keeps its law whatever the mobility; costs; errors."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from phys_samplers.dynamics import DenoisingDynamics
from phys_samplers.errors import ConfigurationError
from phys_samplers.integrators import CorrectedHeun, EDMHeun, WienerProcess, integrate
from phys_samplers.integrators.edm_heun import relaxed
from phys_samplers.randomness import make_generator

VARIANCE = 0.5
LEVEL = 0.6


class GaussianFlow(DenoisingDynamics):
    """The exact denoiser of N(0, VARIANCE I) in the plane, with a mobility that varies a lot: q = 0.2 + exp(−|x|²)."""

    event_shape = (2,)

    def __init__(self, mobile: bool) -> None:
        self.mobile = mobile

    def denoise(self, x: Tensor, t: float) -> Tensor:
        return x * (VARIANCE / (VARIANCE + t**2))

    def drift(self, x: Tensor, t: float) -> Tensor:
        return (x - self.denoise(x, t)) / t

    def mobility(self, x: Tensor, t: float) -> tuple[Tensor, Tensor] | None:
        if not self.mobile:
            return None
        bump = torch.exp(-x.square().sum(1))
        return 0.2 + bump, -2 * x * bump.unsqueeze(1)

    def prior(self, n: int, generator: torch.Generator) -> Tensor:
        return torch.randn(n, 2, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("mobile", [False, True])
def test_the_corrector_keeps_the_law_of_its_level(mobile: bool) -> None:
    """400 small steps from exact draws: radius moments of N(0, v I), v = VARIANCE + LEVEL².

    |x|²/2v is exponential with mean 1 and variance 1, its square has mean 2 and variance 20. With 40,000 particles the
    standard errors are .005 and .022; bounds of 5 of them, with .012 and .05 for the step's own bias (measured at twice
    and half the size), make a false alarm rate below 1e-6. Without the gradient of the mobility the mean is .2 off.
    """
    n, v = 40_000, VARIANCE + LEVEL**2
    generator = make_generator(3, "corrector")
    dynamics = GaussianFlow(mobile)
    x = dynamics.prior(n, generator) * math.sqrt(v)
    noise = WienerProcess(x, generator)
    for _ in range(400):
        x = relaxed(dynamics, x, LEVEL, 0.05, noise)
    energy = x.square().sum(1) / (2 * v)
    assert energy.mean().item() == pytest.approx(1.0, abs=5 * 0.005 + 0.012)
    assert energy.square().mean().item() == pytest.approx(2.0, abs=5 * 0.022 + 0.05)


def test_without_a_mobility_it_is_the_exact_relaxation_towards_the_denoised_point() -> None:
    x = torch.full((200_000, 2), 2.0, dtype=torch.float64)
    generator = make_generator(1, "relaxed")
    moved = relaxed(GaussianFlow(False), x, LEVEL, 1.0, WienerProcess(x, generator))
    kept = math.exp(-0.5)
    clean = 2.0 * VARIANCE / (VARIANCE + LEVEL**2)
    # standard error of the mean: .48/√400,000 = .0008; six of them
    assert moved.mean().item() == pytest.approx(clean + kept * (2.0 - clean), abs=0.005)
    assert moved.std().item() == pytest.approx(LEVEL * math.sqrt(1 - math.exp(-1.0)), rel=0.01)


def test_a_constant_mobility_is_a_step_of_another_size() -> None:
    class Constant(GaussianFlow):
        def mobility(self, x: Tensor, t: float) -> tuple[Tensor, Tensor]:
            return torch.full((len(x),), 2.0, dtype=x.dtype), torch.zeros_like(x)

    x = GaussianFlow(True).prior(50, make_generator(0))
    twice = relaxed(Constant(True), x, LEVEL, 0.5, WienerProcess(x, make_generator(2)))
    once = relaxed(GaussianFlow(False), x, LEVEL, 1.0, WienerProcess(x, make_generator(2)))
    torch.testing.assert_close(twice, once)


def test_cost_and_the_plain_predictor() -> None:
    dynamics, grid = GaussianFlow(False), (2.0, 1.0, 0.5, 0.2, 0.06, 0.0)
    x = dynamics.prior(20, make_generator(0))
    corrected = CorrectedHeun(corrector_steps=3, corrector_min=0.05, corrector_max=0.5)
    solution = integrate(dynamics, x, integrator=corrected, grid=grid, generator=make_generator(1))
    assert solution.nfe == 2 * 5 - 1 + 3 * 3  # levels .5, .2 and .06
    plain = integrate(dynamics, x, integrator=CorrectedHeun(corrector_steps=0), grid=grid)
    torch.testing.assert_close(plain.x, integrate(dynamics, x, integrator=EDMHeun(), grid=grid).x, rtol=0, atol=0)


@pytest.mark.parametrize(("size", "low", "high"), [(0.1, 0.0, 0.035), (1.0, -0.09, -0.045)])
def test_the_whole_way_ends_in_the_law_up_to_what_large_steps_sharpen(size: float, low: float, high: float) -> None:
    """40,000 particles, 24 levels, q = 1: error of the variance, whose standard error is .5 %; Heun has 2 %."""
    dynamics = GaussianFlow(False)
    grid = (*(10.0 * 0.75**i for i in range(24)), 0.0)
    generator = make_generator(5, "way")
    x = dynamics.prior(40_000, generator) * math.sqrt(VARIANCE + 100.0)
    integrator = CorrectedHeun(corrector_size=size)
    solution = integrate(dynamics, x, integrator=integrator, grid=grid, generator=generator)
    assert low < solution.x.var().item() / VARIANCE - 1 < high


@pytest.mark.parametrize(
    "options",
    [{"corrector_steps": -1}, {"corrector_size": 0.0}, {"corrector_min": 0.5, "corrector_max": 0.1}, {"churn": 2.0}],
)
def test_bad_options(options: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        CorrectedHeun(**options)
