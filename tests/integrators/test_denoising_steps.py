"""Denoising schemes step by step: the sources' own formulas, orders on exact flows, cost, memory, refusals."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from phys_samplers.dynamics import Dynamics
from phys_samplers.errors import ConfigurationError, IncompatibleError
from phys_samplers.integrators import (
    DDIM,
    RK4,
    BrownianPath,
    DPMpp2M,
    EDMHeun,
    Euler,
    Heun,
    Integrator,
    PredictorCorrector,
    Restart,
    geometric,
    integrate,
    power,
    uniform,
)
from phys_samplers.integrators.driver import WienerProcess
from phys_samplers.randomness import make_generator
from phys_samplers.schedules import CosineSchedule, LinearSchedule, NoiseSchedule

DETERMINISTIC = [DDIM(), EDMHeun(), DPMpp2M()]
NOISY = [DDIM(eta=0.5), EDMHeun(churn=0.2), Restart(), PredictorCorrector()]
Flow = Callable[[], Dynamics]
START = torch.tensor([[-2.0], [0.3], [1.1], [4.0]], dtype=torch.float64)
WIDE = torch.tensor([[3.0, -4.0], [0.2, 0.1], [-6.0, 1.0]], dtype=torch.float64)


def slopes(dynamics: Dynamics, x0: Tensor, exact: Tensor, integrator: Integrator, counts: tuple[int, ...]) -> list:
    """Measured orders on grids of EDM's shape."""
    errors = []
    for n in counts:
        x = integrate(dynamics, x0, integrator=integrator, grid=power(6.0, 0.05, n, 7.0)).x
        errors.append(float((x - exact).abs().max()))
    return [
        math.log(a / b) / math.log(m / n) for (a, b), (n, m) in zip(pairwise(errors), pairwise(counts), strict=True)
    ]


@pytest.mark.parametrize("integrator", DETERMINISTIC, ids=lambda v: v.name)
def test_order_on_the_flow_of_a_gaussian(gaussian_flow: Flow, integrator: Integrator) -> None:
    dynamics = gaussian_flow()
    exact = dynamics.exact(START, 6.0, 0.05)
    assert slopes(dynamics, START, exact, integrator, (100, 200)) == pytest.approx([integrator.order], abs=0.05)


@pytest.mark.parametrize("integrator", DETERMINISTIC, ids=lambda v: v.name)
def test_order_on_the_flow_of_a_mixture(mixture_flow: Flow, integrator: Integrator) -> None:
    """The reference is RK4 on 300 steps, whose own error is 2e-10 (against 2,400 steps), and 8e-6 the smallest here."""
    dynamics = mixture_flow()
    exact = integrate(dynamics, WIDE, integrator=RK4(), grid=power(6.0, 0.05, 300, 7.0)).x
    assert slopes(dynamics, WIDE, exact, integrator, (200, 400)) == pytest.approx([integrator.order], abs=0.1)


def test_the_denoiser_of_the_mixture_is_that_of_the_blurred_law(mixture_flow: Flow) -> None:
    dynamics = mixture_flow()
    for level in (0.05, 0.7, 20.0):
        score = dynamics.law.blurred(level**2).score(WIDE)
        torch.testing.assert_close(dynamics.denoise(WIDE, level), WIDE + level**2 * score, rtol=1e-9, atol=1e-9)


def test_edm_without_churn_is_heun_in_the_noise_level(mixture_flow: Flow) -> None:
    grid = power(20.0, 0.01, 15, 7.0)
    ours = integrate(mixture_flow(), WIDE, integrator=EDMHeun(), grid=grid)
    plain = integrate(mixture_flow(), WIDE, integrator=Heun(), grid=grid)
    torch.testing.assert_close(ours.x, plain.x, rtol=1e-12, atol=1e-13)
    assert ours.nfe == plain.nfe == 30


@pytest.mark.parametrize("integrator", [*DETERMINISTIC, DDIM(eta=1.0), PredictorCorrector(), Restart()], ids=repr)
def test_the_step_to_noise_zero_returns_the_denoised_state(gaussian_flow: Flow, integrator: Integrator) -> None:
    dynamics, noise = gaussian_flow(), WienerProcess(START, None)
    for stepper in (integrator, integrator.begin()):
        assert torch.equal(stepper.step(dynamics, START, 0.2, -0.2, noise), dynamics.denoise(START, 0.2))


class Fixed:
    """A noise that is always the same tensor."""

    def __init__(self, z: Tensor) -> None:
        self.z = z

    def normal(self) -> Tensor:
        return self.z.clone()


CHAINS = [LinearSchedule(), LinearSchedule(chain_steps=50), CosineSchedule(chain_steps=60)]


def chain_step(
    integrator: Integrator, dynamics: Dynamics, schedule: NoiseSchedule, x: Tensor, t: int, s: int, z: Tensor
) -> tuple[Tensor, Tensor]:
    """x_s of a chain from x_t by a step in u = x/α at λ = σ/α; and the estimate of x₀ on the way."""
    (alpha, sigma), (alpha_s, sigma_s) = schedule.level(t), schedule.level(s)
    level, end = sigma / alpha, sigma_s / alpha_s
    u = integrator.step(dynamics, x / alpha, level, end - level, Fixed(z))
    return alpha_s * u, dynamics.denoise(x / alpha, level)


@pytest.mark.parametrize("schedule", CHAINS, ids=repr)
def test_ddim_with_eta_1_is_the_ancestral_step_of_ddpm(gaussian_flow: Flow, schedule: LinearSchedule) -> None:
    """Mean and variance of q(x_{t−1} | x_t, x₀), arXiv:2006.11239, Eq. 6–7, in coordinates of the chain."""
    z = torch.tensor([[1.0], [-0.5], [0.0], [2.0]], dtype=torch.float64)
    betas = torch.tensor(schedule.betas, dtype=torch.float64)
    kept = torch.cat((torch.ones(1), (1 - betas).cumprod(0)))
    for t in range(2, schedule.chain_steps + 1, 7):
        x, clean = chain_step(DDIM(eta=1.0), gaussian_flow(), schedule, START, t, t - 1, z)
        a, before, beta = float(kept[t]), float(kept[t - 1]), float(betas[t - 1])
        mean = math.sqrt(before) * beta / (1 - a) * clean + math.sqrt(1 - beta) * (1 - before) / (1 - a) * START
        variance = (1 - before) / (1 - a) * beta
        torch.testing.assert_close(x, mean + math.sqrt(variance) * z, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
def test_ddim_is_the_published_step(gaussian_flow: Flow, eta: float) -> None:
    """arXiv:2010.02502, Eq. 12 and 16, whose α is ᾱ, over steps of any length."""
    z = torch.tensor([[1.0], [-0.5], [0.0], [2.0]], dtype=torch.float64)
    schedule = LinearSchedule()
    kept = torch.tensor(schedule.betas, dtype=torch.float64).neg().log1p().cumsum(0).exp()
    for t, s in ((1000, 900), (500, 20), (21, 20), (2, 1)):
        x, clean = chain_step(DDIM(eta=eta), gaussian_flow(), schedule, START, t, s, z)
        a, before = float(kept[t - 1]), float(kept[s - 1])
        epsilon = (START - math.sqrt(a) * clean) / math.sqrt(1 - a)
        sigma = eta * math.sqrt((1 - before) / (1 - a)) * math.sqrt(1 - a / before)
        expected = math.sqrt(before) * clean + math.sqrt(1 - before - sigma**2) * epsilon + sigma * z
        torch.testing.assert_close(x, expected, rtol=1e-8, atol=1e-9)


def test_dpmpp_is_the_published_scheme(gaussian_flow: Flow) -> None:
    """arXiv:2211.01095, Algorithm 2, in coordinates of a variance-preserving chain, λ = log(α/σ)."""
    schedule, dynamics = LinearSchedule(), gaussian_flow()
    times = (900, 700, 400, 150, 149, 60, 3)
    levels = [schedule.level(t) for t in times]
    x, previous, width = START, None, 0.0
    for (a, s), (a_next, s_next) in pairwise(levels):
        clean = dynamics.denoise(x / a, s / a)
        h = math.log(a_next / s_next) - math.log(a / s)
        r = width / h
        estimate = clean if previous is None else (1 + 1 / (2 * r)) * clean - 1 / (2 * r) * previous
        x = s_next / s * x - a_next * math.expm1(-h) * estimate
        previous, width = clean, h
    grid = [s / a for a, s in levels]
    ours = integrate(dynamics, START / levels[0][0], integrator=DPMpp2M(), grid=grid).x
    torch.testing.assert_close(levels[-1][0] * ours, x, rtol=1e-12, atol=1e-13)


def test_the_first_step_of_dpmpp_is_ddims_and_runs_share_no_memory(mixture_flow: Flow) -> None:
    dynamics, grid = mixture_flow(), geometric(5.0, 0.1, 6)
    scheme = DPMpp2M()

    def run(x0: Tensor) -> Tensor:
        return integrate(dynamics, x0, integrator=scheme, grid=grid).x

    first = integrate(dynamics, WIDE, integrator=scheme, grid=grid[:2]).x
    assert torch.equal(first, integrate(dynamics, WIDE, integrator=DDIM(), grid=grid[:2]).x)
    once, other = run(WIDE), run(WIDE[:1] + 1)
    assert torch.equal(run(WIDE), once)
    torch.testing.assert_close(run(torch.cat((WIDE, WIDE[:1] + 1))), torch.cat((once, other)), rtol=1e-12, atol=1e-13)
    # two runs in turns, a step of one and a step of the other
    a, b = scheme.begin(), scheme.begin()
    x, y, noise = WIDE, WIDE[:1] + 1, WienerProcess(WIDE, None)
    for t, end in pairwise(grid):
        x, y = a.step(dynamics, x, t, end - t, noise), b.step(dynamics, y, t, end - t, noise)
    assert torch.equal(x, once)
    assert torch.equal(y, other)
    assert scheme == DPMpp2M()
    assert vars(scheme) == {}


TO_ZERO = (*power(80.0, 0.004, 17, 7.0), 0.0)


@pytest.mark.parametrize(
    ("integrator", "nfe"),
    [
        (DDIM(), 18),
        (DDIM(eta=1.0), 18),
        (DPMpp2M(), 18),
        (EDMHeun(), 35),
        (EDMHeun(churn=0.3), 35),
        (Restart(), 43),  # CIFAR-10's 18 steps, 3 levels, 2 restarts
        (Restart(restart_steps=9, repeats=30), 35 + 30 * 16),
        (PredictorCorrector(), 18 + 17),
        (PredictorCorrector(corrector_steps=3), 18 + 3 * 17),
    ],
    ids=repr,
)
def test_evaluations_are_those_of_the_sources(gaussian_flow: Flow, integrator: Integrator, nfe: int) -> None:
    dynamics = gaussian_flow()
    generator = make_generator(0, "cost")
    solution = integrate(dynamics, START, integrator=integrator, grid=TO_ZERO, generator=generator, bound=1e9)
    assert solution.nfe == len(dynamics.asked) == nfe
    assert all(t > 0 for t in dynamics.asked)


@pytest.mark.parametrize("integrator", [*DETERMINISTIC, *NOISY], ids=repr)
def test_dynamics_without_a_denoiser_are_refused(ou: Callable[[], Dynamics], integrator: Integrator) -> None:
    with pytest.raises(IncompatibleError, match=rf"'{integrator.name}'.*denoiser.*OrnsteinUhlenbeck.*euler-maruyama"):
        integrate(ou(), START, integrator=integrator, grid=TO_ZERO, generator=make_generator(0, "refused"))


@pytest.mark.parametrize("integrator", NOISY, ids=repr)
def test_noisy_schemes_refuse_a_brownian_path_and_need_a_generator(gaussian_flow: Flow, integrator: Integrator) -> None:
    grid = uniform(1.0, 0.1, 9)
    path = BrownianPath(START.shape, grid, make_generator(0, "path"))
    with pytest.raises(ConfigurationError, match="noise of its own"):
        integrate(gaussian_flow(), START, integrator=integrator, grid=grid, brownian=path)
    with pytest.raises(ConfigurationError, match="generator is None"):
        integrate(gaussian_flow(), START, integrator=integrator, grid=grid)


@pytest.mark.parametrize("integrator", DETERMINISTIC, ids=lambda v: v.name)
def test_deterministic_schemes_need_no_generator_and_leave_the_start_alone(
    mixture_flow: Flow, integrator: Integrator
) -> None:
    before = WIDE.clone()
    x = integrate(mixture_flow(), WIDE, integrator=integrator, grid=uniform(2.0, 0.0, 5)).x
    assert torch.equal(WIDE, before)
    assert x.dtype == torch.float64


def test_a_generic_ode_scheme_takes_the_drift(gaussian_flow: Flow) -> None:
    """Euler in σ is DDIM: both hold the denoised state over the step."""
    grid = uniform(3.0, 0.5, 9)
    euler = integrate(gaussian_flow(), START, integrator=Euler(), grid=grid).x
    torch.testing.assert_close(integrate(gaussian_flow(), START, integrator=DDIM(), grid=grid).x, euler)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (DDIM, {"eta": -0.1}),
        (DDIM, {"eta": 1.1}),
        (EDMHeun, {"churn": 0.5}),
        (EDMHeun, {"churn": math.nan}),
        (EDMHeun, {"churn_min": 2.0, "churn_max": 1.0}),
        (EDMHeun, {"churn_noise": 0.0}),
        (Restart, {"restart_min": 0.0}),
        (Restart, {"restart_max": 0.1}),
        (Restart, {"restart_max": math.inf}),
        (Restart, {"restart_steps": 1}),
        (Restart, {"repeats": 0}),
        (Restart, {"repeats": True}),
        (Restart, {"rho": 0.0}),
        (PredictorCorrector, {"corrector_steps": 0}),
        (PredictorCorrector, {"corrector_steps": 1.0}),
        (PredictorCorrector, {"snr": 0.0}),
        (PredictorCorrector, {"snr": 1.0}),
    ],
)
def test_bad_options_are_refused(kind: type[Integrator], options: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match=rf"{next(iter(options))} .*expected"):
        kind(**options)
