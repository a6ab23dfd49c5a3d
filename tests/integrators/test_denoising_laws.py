"""Denoising schemes that draw noise: the law they end in, exactly for Gaussian data, by sampling for mixtures."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from phys_samplers.dynamics import Dynamics
from phys_samplers.errors import ConfigurationError
from phys_samplers.integrators import (
    DDIM,
    DPMpp2M,
    EDMHeun,
    Integrator,
    PredictorCorrector,
    Restart,
    integrate,
    power,
    uniform,
)
from phys_samplers.integrators.driver import WienerProcess
from phys_samplers.randomness import make_generator

Flow = Callable[[], Dynamics]


class Probe:
    """Noise that is 1 for one particle at each call, another one every time, and 0 for all others.

    A step that is affine in the state and in its noises z_j shows all its coefficients by one run on such particles.
    """

    def __init__(self, particles: int) -> None:
        self.particles, self.calls = particles, 0

    def normal(self) -> Tensor:
        z = torch.zeros(self.particles, 1, dtype=torch.float64)
        z[2 + self.calls] = 1.0
        self.calls += 1
        return z


def law(integrator: Integrator, dynamics: Dynamics, grid: tuple[float, ...]) -> tuple[float, float]:
    """Mean and variance at the end for N(m, v + σ²) at the start, to rounding: no draw is made."""
    mean, variance = dynamics.mean, dynamics.variance + grid[0] ** 2
    for t, end in pairwise(grid):
        probe = Probe(64)
        x = torch.zeros(64, 1, dtype=torch.float64)
        x[1] = 1.0
        x = integrator.step(dynamics, x, t, end - t, probe)
        offset = float(x[0])
        slope, gains = float(x[1]) - offset, x[2 : 2 + probe.calls] - offset
        mean, variance = offset + slope * mean, slope**2 * variance + float(gains.square().sum())
    return mean, variance


def errors_of_variance(integrator: Integrator, dynamics: Dynamics, counts: tuple[int, ...]) -> list[float]:
    """Relative errors of the variance at level .05, from level 20, on grids of so many steps."""
    exact = dynamics.variance + 0.05**2
    return [law(integrator, dynamics, power(20.0, 0.05, n, 7.0))[1] / exact - 1 for n in counts]


@pytest.mark.parametrize("integrator", [DDIM(), DDIM(eta=0.5), DDIM(eta=1.0), EDMHeun(), Restart(restart_steps=25)])
def test_the_variance_of_gaussian_data_is_right_to_the_order_of_the_scheme(
    gaussian_flow: Flow, integrator: Integrator
) -> None:
    """Errors are .15, .08 and .04 from 40, 80 and 160 steps of DDIM at eta = 1, the worst of the first order. 25 levels
    from .6 to .28 are far finer than the main grid, whose error is the one that shows in Restart.
    """
    dynamics, order = gaussian_flow(), integrator.order or 2.0
    coarse, fine = errors_of_variance(integrator, dynamics, (80, 160))
    assert math.log2(coarse / fine) == pytest.approx(order, abs=0.1 if integrator.order else 0.4)
    assert abs(fine) < (0.05 if order == 1 else 5e-4)
    assert law(integrator, dynamics, power(20.0, 0.05, 20, 7.0))[0] == pytest.approx(dynamics.mean, rel=1e-12)


@pytest.mark.parametrize("churn", [0.05, 0.2, 0.4])
def test_the_variance_under_churn_is_right(gaussian_flow: Flow, churn: float) -> None:
    """What is left falls with the step: noise 1 % too large would leave 1 % or more of the variance at any step."""
    coarse, fine = errors_of_variance(EDMHeun(churn=churn), gaussian_flow(), (80, 320))
    assert abs(fine) < 0.005
    assert 0 < fine / coarse < 0.3


def test_noise_that_is_too_large_shows(gaussian_flow: Flow) -> None:
    """The check above can fail."""
    (fine,) = errors_of_variance(EDMHeun(churn=0.2, churn_noise=1.01), gaussian_flow(), (320,))
    assert fine > 0.01


def test_the_bounds_of_the_churn_are_kept(gaussian_flow: Flow) -> None:
    dynamics, x = gaussian_flow(), torch.ones(3, 1, dtype=torch.float64)
    scheme = EDMHeun(churn=0.2, churn_min=0.1, churn_max=2.0)
    for t, noisy in ((2.5, False), (2.0, True), (0.5, True), (0.1, True), (0.09, False)):
        dynamics.asked.clear()
        noise = WienerProcess(x, make_generator(0, "churn") if noisy else None)
        scheme.step(dynamics, x, t, -t / 2, noise)
        assert dynamics.asked == pytest.approx([1.2 * t if noisy else t, t / 2])


def asked(dynamics: Dynamics, scheme: Integrator, grid: tuple[float, ...]) -> list[float]:
    """The levels at which the scheme asks the denoiser."""
    dynamics.asked.clear()
    x = torch.zeros(2, 1, dtype=torch.float64)
    integrate(dynamics, x, integrator=scheme, grid=grid, generator=make_generator(0, "asked"))
    return dynamics.asked


@pytest.mark.parametrize(
    ("grid", "level"),
    [
        ((2.0, 1.0, 0.4, 0.1, 0.0), 0.4),  # .4 is a level
        ((2.0, 1.0, 0.45, 0.1, 0.0), 0.45),  # nearer from above: before the step that passes .4
        ((2.0, 1.0, 0.55, 0.35, 0.1, 0.0), 0.35),  # nearer from below: after it
        ((2.0, 0.5, 0.1, 0.0), 0.5),
        ((2.0, 0.7, 0.0), 0.7),  # 0 is no level to restart from
        ((2.0, 0.85, 0.05, 0.0), 0.05),  # .85 is above the level that the restart goes up to
    ],
)
def test_restarts_begin_at_the_level_nearest_to_the_wanted_one(
    gaussian_flow: Flow, grid: tuple[float, ...], level: float
) -> None:
    scheme = Restart(restart_min=0.4, restart_max=0.8, restart_steps=3, repeats=2)
    dynamics = gaussian_flow()
    expected: list[float] = []
    for high, low in pairwise(grid):
        expected += [high] if low == 0 else [high, low]
        if low == level:
            for _ in range(2):
                way = power(0.8, level, 2, 7.0)
                expected += [way[0], way[1], way[1], way[2]]
    assert asked(dynamics, scheme, grid) == pytest.approx(expected)


@pytest.mark.parametrize("steps", range(2, 40))
def test_rounding_never_loses_a_restart(gaussian_flow: Flow, steps: int) -> None:
    """With the wanted level on the grid up to rounding there is exactly one round of restarts."""
    grid = (*power(3.0, 0.01, steps, 7.0), 0.0)
    for level in grid[1:-1]:
        scheme = Restart(restart_min=level, restart_max=2.9)
        assert len(asked(gaussian_flow(), scheme, grid)) == 2 * steps + 1 + 8


def test_a_grid_that_does_not_pass_the_level_is_integrated_without_restarts(gaussian_flow: Flow) -> None:
    for grid in (uniform(5.0, 1.0, 4), uniform(0.2, 0.1, 4)):
        assert len(asked(gaussian_flow(), Restart(), grid)) == 8


def test_a_grid_too_coarse_to_restart_on_is_an_error(gaussian_flow: Flow) -> None:
    with pytest.raises(ConfigurationError, match=r"restart_max is 0\.6.*from 2 to 0.*finer grid"):
        asked(gaussian_flow(), Restart(), (5.0, 2.0, 0.0))


def test_the_corrector_is_the_published_one(gaussian_flow: Flow) -> None:
    """arXiv:2011.13456, Algorithm 4: ε = 2 (r |z|/|g|)², with root mean squares over the batch and |z|² → D."""
    dynamics, t, s = gaussian_flow(), 1.5, 0.8
    x0 = torch.linspace(-3, 3, 7, dtype=torch.float64)[:, None]
    ours = PredictorCorrector(corrector_steps=2, snr=0.3)
    x = ours.step(dynamics, x0, t, s - t, WienerProcess(x0, make_generator(3, "pc")))
    noise = WienerProcess(x0, make_generator(3, "pc"))
    expected = DDIM(eta=1.0).step(dynamics, x0, t, s - t, noise)
    for _ in range(2):
        score = (dynamics.denoise(expected, s) - expected) / s**2
        epsilon = 2 * (0.3 / float(score.square().mean().sqrt())) ** 2
        expected = expected + epsilon * score + math.sqrt(2 * epsilon) * noise.normal()
    torch.testing.assert_close(x, expected, rtol=1e-12, atol=1e-13)


def test_the_corrector_keeps_a_gaussian_up_to_its_own_bias(gaussian_flow: Flow) -> None:
    """Its stationary variance is V/(1 − r²), here 1.099 V, reached after 60 steps that keep (1 − 2r²)⁶⁰ = 6e-6 of the
    start. With 40,000 particles the standard error is .7 %, the band 5 of them: false alarms below 1e-6.
    """
    n, level, dynamics = 40_000, 0.5, gaussian_flow()
    x = torch.zeros(n, 1, dtype=torch.float64)
    noise = WienerProcess(x, make_generator(4, "corrector"))
    x = PredictorCorrector(corrector_steps=60, snr=0.3).step(dynamics, x, 0.6, level - 0.6, noise)
    variance = (dynamics.variance + level**2) / (1 - 0.3**2)
    assert float(x.var()) == pytest.approx(variance, rel=5 * math.sqrt(2 / n))
    assert float(x.mean()) == pytest.approx(dynamics.mean, abs=5 * math.sqrt(variance / n))


@pytest.mark.parametrize(
    ("integrator", "steps"),
    [
        (DPMpp2M(), 40),
        (EDMHeun(), 30),
        (DDIM(eta=1.0), 150),
        (EDMHeun(churn=0.2), 40),
        (Restart(restart_steps=5, repeats=4), 30),
        (PredictorCorrector(snr=0.1), 100),
    ],
    ids=repr,
)
def test_weights_and_moments_of_a_mixture_are_right(mixture_flow: Flow, integrator: Integrator, steps: int) -> None:
    """Three modes with weights .2, .5, .3, from the exact law at level 20 to 0.

    20,000 particles; bands of 5 standard errors (false alarms below 1e-6 a number, 1e-5 a scheme) on top of what the
    steps cost, measured with 400,000 particles: .005 in a weight, .03 deviations in a mean, and in a variance 6 % for
    DDIM at eta = 1 and less for all others.
    """
    n, dynamics = 20_000, mixture_flow()
    generator = make_generator(9, "mixture", integrator.name)
    x0 = dynamics.law.blurred(20.0**2).sample(n, generator)
    grid = (*power(20.0, 0.01, steps - 1, 7.0), 0.0)
    x = integrate(dynamics, x0, integrator=integrator, grid=grid, generator=generator).x
    labels = dynamics.law.labels(x)
    for k, (weight, mean, variance) in enumerate(
        zip(dynamics.weights.tolist(), dynamics.means, dynamics.variances.tolist(), strict=True)
    ):
        chosen = x[labels == k]
        assert len(chosen) / n == pytest.approx(weight, abs=0.005 + 5 * math.sqrt(weight * (1 - weight) / n))
        band = 5 / math.sqrt(len(chosen))
        torch.testing.assert_close(chosen.mean(0), mean, rtol=0, atol=(0.03 + band) * math.sqrt(variance))
        spread = chosen.var(0) / variance
        assert spread.tolist() == pytest.approx([1.0, 1.0], abs=0.065 + band * math.sqrt(2))
