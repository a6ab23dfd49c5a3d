"""The ODE and the SDE of every schedule, run backwards with exact denoisers, give the law of the data."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from scipy.optimize import brentq
from torch import Tensor

from phys_samplers.denoisers.denoiser import DenoisingFlow
from phys_samplers.denoisers.reverse import ProbabilityFlow, ReverseSDE
from phys_samplers.integrators import (
    Dopri5,
    Euler,
    EulerMaruyama,
    Heun,
    Integrator,
    integrate,
    uniform,
)
from phys_samplers.laws import GaussianMixture
from phys_samplers.randomness import make_generator
from phys_samplers.schedules import CosineSchedule, EDMSchedule, LinearSchedule, NoiseSchedule, VESchedule, VPSchedule

SCHEDULES = [
    EDMSchedule(sigma_min=0.01, sigma_max=30.0),
    VESchedule(sigma_max=30.0),
    VPSchedule(),
    LinearSchedule(chain_steps=60),
    CosineSchedule(chain_steps=60),
]
each = pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: type(s).__name__)
MEAN, VARIANCE = 0.7, 0.49
MEANS, WEIGHTS = torch.tensor([-1.3, 0.9]).double(), torch.tensor([0.3, 0.7]).double()
VARIANCE_OF_MODES = 0.05
LAW = GaussianMixture(MEANS[:, None], torch.full((2,), VARIANCE_OF_MODES).double(), WEIGHTS)


def wiener(x: Tensor, level: float) -> Tensor:
    """D of N(m, v)."""
    return MEAN + (x - MEAN) * (VARIANCE / (VARIANCE + level**2))


def mixed(x: Tensor, level: float) -> Tensor:
    """D of .3 N(−1.3, .05) + .7 N(.9, .05) in one coordinate."""
    total = VARIANCE_OF_MODES + level**2
    r = (WEIGHTS.log() - 0.5 * (x - MEANS).square() / total).softmax(-1)
    return (r * MEANS).sum(-1, keepdim=True) * (level**2 / total) + x * (VARIANCE_OF_MODES / total)


def prior(n: int, generator: torch.Generator) -> Tensor:
    return torch.randn(n, 1, generator=generator, dtype=torch.float64)


@each
@pytest.mark.parametrize("kind", [ProbabilityFlow, ReverseSDE])
def test_moments_of_gaussian_data(schedule: NoiseSchedule, kind: type[ProbabilityFlow | ReverseSDE]) -> None:
    """Drift a x + c and diffusion b, run backwards: dm/dt = a m + c, dv/dt = 2 a v − b². From the law at the start they
    lead to that at every lower time, α m and α² v + σ².
    """
    dynamics = kind(wiener, prior, 1, schedule=schedule)
    probes = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
    times = schedule.grid(59, to_zero=False)
    alpha, sigma = schedule.level(times[0])
    state = [alpha * MEAN, alpha**2 * VARIANCE + sigma**2]

    def moments(t: float, state: np.ndarray) -> list[float]:
        c, total = dynamics.drift(probes, t).flatten().tolist()
        b = float(dynamics.diffusion(probes, t)) if dynamics.noise == "additive" else 0.0
        return [(total - c) * state[0] + c, 2 * (total - c) * state[1] - b * b]

    for high, low in pairwise(times):
        state = solve_ivp(moments, (high, low), state, rtol=1e-7, atol=1e-12).y[:, -1]
        alpha, sigma = schedule.level(low)
        assert state == pytest.approx([alpha * MEAN, alpha**2 * VARIANCE + sigma**2], rel=1e-4)


@pytest.mark.parametrize("kind", [LinearSchedule, CosineSchedule])
@pytest.mark.parametrize("integrator", [Euler(), Heun()], ids=lambda v: v.name)
def test_ode_schemes_keep_their_order_on_whole_steps_of_a_chain(
    kind: type[LinearSchedule | CosineSchedule], integrator: Integrator
) -> None:
    """From step 901 of 1,000, every tenth or fifth: at the end of the cosine chain β goes to infinity. If β jumped at
    whole steps, Heun's error would not fall at all.
    """
    schedule = kind()
    dynamics = ProbabilityFlow(wiener, prior, 1, schedule=schedule)
    (alpha, sigma), (alpha_end, sigma_end) = schedule.level(901.0), schedule.level(1.0)
    scale = math.sqrt((alpha_end**2 * VARIANCE + sigma_end**2) / (alpha**2 * VARIANCE + sigma**2))
    x0 = torch.tensor([[-1.2], [1.8]], dtype=torch.float64)
    exact = alpha_end * MEAN + (x0 - alpha * MEAN) * scale
    errors = []
    for steps in (90, 180):
        x = integrate(dynamics, x0, integrator=integrator, grid=uniform(901.0, 1.0, steps)).x
        errors.append(float((x - exact).abs().max()))
    assert math.log2(errors[0] / errors[1]) == pytest.approx(integrator.order, abs=0.4)


@each
def test_every_schedule_maps_the_same_points_to_the_same_end(schedule: NoiseSchedule) -> None:
    """In u = x/α all probability-flow ODEs are du/dλ = (u − D)/λ."""
    u = torch.tensor([[-9.0], [-0.4], [0.1], [0.5], [12.0]], dtype=torch.float64)
    solver = Dopri5(rtol=1e-7, atol=1e-9)
    end = integrate(DenoisingFlow(mixed, prior, 1, start=10.0), u, integrator=solver, grid=(10.0, 0.1)).x
    first, last = (brentq(lambda t, r=r: schedule.ratio(t) - r, schedule.end, schedule.start) for r in (10.0, 0.1))
    dynamics = ProbabilityFlow(mixed, prior, 1, schedule=schedule)
    x = integrate(dynamics, u * schedule.level(first)[0], integrator=solver, grid=(first, last)).x
    torch.testing.assert_close(x / schedule.level(last)[0], end, rtol=1e-4, atol=1e-5)
    assert len(set(end.sign().flatten().tolist())) == 2  # the points part


@each
@pytest.mark.parametrize(
    ("kind", "integrator", "cost"),
    [(ProbabilityFlow, Heun(), (0.003, 0.015, 0.03)), (ReverseSDE, EulerMaruyama(), (0.012, 0.04, 0.12))],
    ids=["ode", "sde"],
)
def test_weights_and_moments_of_a_mixture(
    schedule: NoiseSchedule,
    kind: type[ProbabilityFlow | ReverseSDE],
    integrator: Integrator,
    cost: tuple[float, float, float],
) -> None:
    """From the exact law at the start down to the last level with noise, in 59 steps.

    20,000 particles; bands of 5 standard errors (false alarms below 1e-6 a number, 5e-6 a run) on top of what the steps
    cost in weights, means (in deviations) and variances, measured with 400,000 particles.
    """
    n, generator = 20_000, make_generator(1, "mixture", type(schedule).__name__, kind.__name__)
    dynamics = kind(mixed, prior, 1, schedule=schedule)
    start = LAW.blurred(schedule.ratio(schedule.start) ** 2).sample(n, generator)
    x = integrate(
        dynamics,
        start * schedule.level(schedule.start)[0],
        integrator=integrator,
        grid=schedule.grid(59, to_zero=False),
        generator=generator,
    ).x
    u = (x / schedule.level(schedule.end)[0]).flatten()
    width = math.sqrt(VARIANCE_OF_MODES + schedule.ratio(schedule.end) ** 2)
    for weight, mean, chosen in zip(WEIGHTS.tolist(), MEANS.tolist(), (u[u < -0.2], u[u >= -0.2]), strict=True):
        k = len(chosen)
        assert k / n == pytest.approx(weight, abs=cost[0] + 5 * math.sqrt(weight * (1 - weight) / n))
        assert float(chosen.mean() - mean) / width == pytest.approx(0.0, abs=cost[1] + 5 / math.sqrt(k))
        assert float(chosen.var()) / width**2 == pytest.approx(1.0, abs=cost[2] + 5 * math.sqrt(2 / k))


def test_the_prior_of_a_scaled_process_is_scaled() -> None:
    schedule = VPSchedule()
    dynamics = ProbabilityFlow(wiener, prior, 1, schedule=schedule)
    expected = prior(7, make_generator(0, "prior")) * schedule.level(1.0)[0]
    assert torch.equal(dynamics.prior(7, make_generator(0, "prior")), expected)
    assert dynamics.times == (1.0, schedule.end)
    assert DenoisingFlow(wiener, prior, 1, start=9.0).times == (9.0, 0.0)
