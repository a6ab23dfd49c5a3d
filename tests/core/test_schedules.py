"""Noise schedules against their papers' formulas, their own SDEs, and numerical derivatives; their grids."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.integrate import quad, solve_ivp

from phys_samplers.errors import ConfigurationError
from phys_samplers.randomness import Streams
from phys_samplers.schedules import CosineSchedule, EDMSchedule, LinearSchedule, NoiseSchedule, VESchedule, VPSchedule

CONTINUOUS = [EDMSchedule(), EDMSchedule(sigma_min=0.1, sigma_max=5.0, rho=3.0), VESchedule(), VPSchedule()]
CHAINS = [LinearSchedule(), LinearSchedule(chain_steps=40), CosineSchedule(), CosineSchedule(chain_steps=25)]
ALL = [*CONTINUOUS, *CHAINS]
each = pytest.mark.parametrize("schedule", ALL, ids=repr)
each_chain = pytest.mark.parametrize("schedule", CHAINS, ids=repr)


def inside(schedule: NoiseSchedule, count: int = 23) -> list[float]:
    """Times from the last noisy one to the first, off the whole steps of a chain."""
    low, high = math.log(schedule.end), math.log(schedule.start)
    return [math.exp(low + (high - low) * (i + 0.37) / count) for i in range(count)]


def ddpm_betas(steps: int) -> np.ndarray:
    """Equally spaced (Ho et al. 2020, Sec. 4), for other lengths than 1,000 scaled so that Σβ stays."""
    return np.linspace(1e-4, 0.02, steps) * 1000 / steps


def cosine_betas(steps: int) -> np.ndarray:
    """Nichol & Dhariwal 2021, Eq. 17, with the clip of the text below it."""
    h = np.cos((np.arange(steps + 1) / steps + 0.008) / 1.008 * np.pi / 2) ** 2
    return np.minimum(1 - h[1:] / h[:-1], 0.999)


@each_chain
def test_chains_are_products_of_their_betas(schedule: LinearSchedule | CosineSchedule) -> None:
    betas = (ddpm_betas if isinstance(schedule, LinearSchedule) else cosine_betas)(schedule.chain_steps)
    np.testing.assert_allclose(schedule.betas, betas, rtol=1e-9)
    product = 1.0
    for step, beta in enumerate(betas, 1):
        product *= 1 - beta
        alpha, sigma = schedule.level(step)
        assert alpha**2 == pytest.approx(product, rel=1e-8)
        assert sigma**2 == pytest.approx(1 - product, rel=1e-8)


def test_ends_of_the_published_chains() -> None:
    """DDPM ends at ᾱ = 4.04e-5; β of the cosine chain is clipped at its last step alone."""
    assert LinearSchedule().level(1000)[0] ** 2 == pytest.approx(4.036e-5, rel=1e-3)
    for steps in (100, 4000):
        schedule = LinearSchedule(chain_steps=steps)
        assert sum(schedule.betas) == pytest.approx(sum(LinearSchedule().betas))
        assert schedule.level(steps)[0] ** 2 == pytest.approx(4e-5, rel=0.5)
    betas = CosineSchedule().betas
    assert betas[-1] == 0.999
    assert max(betas[:-1]) == pytest.approx(0.75, abs=0.01)
    assert CosineSchedule(beta_max=0.5).betas[-2:] == (0.5, 0.5)
    assert CosineSchedule().level(500)[0] ** 2 == pytest.approx(0.5 - 0.006, abs=0.002)


@each_chain
def test_beta_is_positive_and_continuous_along_a_chain(schedule: LinearSchedule | CosineSchedule) -> None:
    for i in range(1, schedule.chain_steps):
        assert schedule.rate(i - 1e-9) == pytest.approx(schedule.rate(float(i)), rel=1e-6)
        assert all(schedule.rate(i + share) > 0 for share in (0.01, 0.25, 0.5, 0.75, 0.99))


def test_beta_between_whole_steps_is_the_line_that_the_chain_is_cut_from() -> None:
    """β of DDPM grows by 1.99e-5 a step, and −log(1 − β) = β + β²/2 + … by little more."""
    schedule = LinearSchedule()
    for t in (1.0, 1.5, 200.25, 700.0, 999.9):
        beta = 1e-4 + (t - 0.5) * (0.02 - 1e-4) / 999
        assert schedule.rate(t) == pytest.approx(-math.log1p(-beta), rel=1e-3)


def test_vp_is_the_integral_of_beta() -> None:
    schedule = VPSchedule(beta_min=0.3, beta_max=12.0)
    for t in inside(schedule):
        integral = quad(lambda s: 0.3 + s * (12.0 - 0.3), 0, t, epsabs=1e-13)[0]
        alpha, sigma = schedule.level(t)
        assert alpha == pytest.approx(math.exp(-integral / 2), rel=1e-11)
        assert sigma == pytest.approx(math.sqrt(1 - math.exp(-integral)), rel=1e-7)


def test_exploding_schedules_do_not_scale() -> None:
    for schedule in (EDMSchedule(), VESchedule()):
        assert [schedule.level(t)[0] for t in inside(schedule)] == [1.0] * 23
    assert [EDMSchedule().level(t)[1] for t in (0.004, 1.0, 80.0)] == pytest.approx([0.004, 1.0, 80.0])
    assert VESchedule().level(1.0)[1] == pytest.approx(50.0, rel=1e-6)
    assert VESchedule().level(0.5)[1] == pytest.approx(math.sqrt(0.01 * 50.0), rel=1e-3)


def sde(schedule: NoiseSchedule) -> Callable[[float], tuple[float, float]]:
    """f(t) and g²(t) of dx = f x dt + g dW as the papers print them."""
    match schedule:
        case EDMSchedule():
            return lambda t: (0.0, 2 * t)
        case VESchedule():
            low, growth = schedule.sigma_min, schedule.sigma_max / schedule.sigma_min
            return lambda t: (0.0, low**2 * growth ** (2 * t) * 2 * math.log(growth))
        case VPSchedule():
            low, high = schedule.beta_min, schedule.beta_max

            def vp(t: float) -> tuple[float, float]:
                beta = low + t * (high - low)
                return -0.5 * beta, beta

            return vp
        case _:
            return lambda t: (-0.5 * schedule.rate(t), schedule.rate(t))


@pytest.mark.parametrize("schedule", [*CONTINUOUS, CHAINS[1], CHAINS[3]], ids=repr)
def test_the_sde_has_the_kernel_of_the_schedule(schedule: NoiseSchedule) -> None:
    """dm/dt = f m and dv/dt = 2 f v + g² from m = 1, v = 0 at t = 0 lead to α and σ²; all along a chain."""
    coefficients = sde(schedule)

    def moments(t: float, state: np.ndarray) -> list[float]:
        f, g2 = coefficients(t)
        return [f * state[0], 2 * f * state[1] + g2]

    inner = range(2, int(schedule.start)) if schedule in CHAINS else [0.3 * schedule.start]
    state = [1.0, 0.0]
    for begin, t in pairwise([0.0, schedule.end, *inner, schedule.start]):
        state = solve_ivp(moments, (begin, t), state, rtol=1e-10, atol=1e-14).y[:, -1]
        alpha, sigma = schedule.level(t)
        assert state == pytest.approx([alpha, sigma**2], rel=1e-6)


@each
def test_rates_are_the_derivatives(schedule: NoiseSchedule) -> None:
    for t in inside(schedule):
        h = 1e-6 * min(t, 1.0)
        for value, rate in (
            (schedule.log_alpha, schedule.log_alpha_rate),
            (schedule.log_ratio, schedule.log_ratio_rate),
        ):
            numerical = (value(t + h) - value(t - h)) / (2 * h)
            assert rate(t) == pytest.approx(numerical, rel=1e-5, abs=1e-9)


@each
def test_g_squared_is_that_of_the_papers(schedule: NoiseSchedule) -> None:
    """g² = 2σ² d log λ/dt, and f."""
    coefficients = sde(schedule)
    for t in inside(schedule):
        f, g2 = coefficients(t)
        assert schedule.log_alpha_rate(t) == pytest.approx(f, rel=1e-9)
        assert 2 * schedule.level(t)[1] ** 2 * schedule.log_ratio_rate(t) == pytest.approx(g2, rel=1e-9)


@each
def test_floats_and_tensors_agree(schedule: NoiseSchedule) -> None:
    times = [*inside(schedule), schedule.end, schedule.start]
    batch = torch.tensor(times, dtype=torch.float64)
    for function in (schedule.log_alpha, schedule.log_ratio):
        values = function(batch)
        assert values.shape == batch.shape
        assert all(type(function(t)) is float for t in times)
        assert values.tolist() == pytest.approx([function(t) for t in times], rel=1e-9, abs=1e-12)
    assert schedule.log_ratio(torch.zeros(1, dtype=torch.float64)).item() == schedule.log_ratio(0.0) == -math.inf


@each
def test_noise_grows_from_zero(schedule: NoiseSchedule) -> None:
    assert schedule.level(0.0) == (1.0, 0.0)
    ratios = [schedule.ratio(t) for t in (0.0, *inside(schedule), schedule.start)]
    assert all(a < b for a, b in pairwise(ratios))
    alpha, sigma = schedule.level(0.5 * schedule.start)
    assert schedule.ratio(0.5 * schedule.start) == pytest.approx(sigma / alpha, rel=1e-12)


@each
@pytest.mark.parametrize("steps", [1, 2, 5, 24])
def test_grids(schedule: NoiseSchedule, steps: int) -> None:
    to_end, to_zero = schedule.grid(steps, to_zero=False), schedule.grid(steps, to_zero=True)
    for grid, last in ((to_end, schedule.end), (to_zero, 0.0)):
        assert len(grid) == steps + 1
        assert (grid[0], grid[-1]) == (schedule.start, last)
        assert all(a > b for a, b in pairwise(grid))
    if steps > 1:
        assert to_zero[:-1] == schedule.grid(steps - 1, to_zero=False)


def test_the_grid_of_edm() -> None:
    """arXiv:2206.00364, Eq. 5: N levels, then 0."""
    grid = EDMSchedule(sigma_min=0.002, sigma_max=80.0).grid(18, to_zero=True)
    for i in range(18):
        root = 80.0 ** (1 / 7) + i / 17 * (0.002 ** (1 / 7) - 80.0 ** (1 / 7))
        assert grid[i] == pytest.approx(root**7, rel=1e-9)


@each_chain
def test_chains_are_walked_on_whole_steps(schedule: LinearSchedule | CosineSchedule) -> None:
    total = schedule.chain_steps
    for steps in (1, 2, total // 3, total - 2, total - 1, total):
        grid = schedule.grid(steps, to_zero=True)
        assert all(t == int(t) for t in grid)
        gaps = [a - b for a, b in pairwise(grid[:-1])]
        assert not gaps or max(gaps) - min(gaps) <= 1
    assert schedule.grid(total, to_zero=True) == tuple(float(i) for i in range(total, -1, -1))


@each_chain
def test_a_chain_has_no_more_levels_than_steps(schedule: LinearSchedule | CosineSchedule) -> None:
    total = schedule.chain_steps
    with pytest.raises(
        ConfigurationError, match=f"{total + 1} noisy levels from a chain of {total}; .*at most {total}"
    ):
        schedule.grid(total + 1, to_zero=True)
    with pytest.raises(ConfigurationError, match=f"at most {total}"):
        schedule.grid(total, to_zero=False)


@each
@pytest.mark.parametrize("steps", [0, -3, 2.0, True])
def test_grids_without_steps_are_refused(schedule: NoiseSchedule, steps: int) -> None:
    for to_zero in (False, True):
        with pytest.raises(ConfigurationError, match="steps is"):
            schedule.grid(steps, to_zero=to_zero)


@each
def test_training_levels_are_those_of_uniform_times(schedule: NoiseSchedule) -> None:
    """Kolmogorov's distance beyond .0141 has probability 2 exp(−2 n d²) = 7e-7 at n = 40,000."""
    ratios = schedule.training_ratios(Streams([0, 1], "levels"), 20_000)
    assert ratios.shape == (2, 20_000)
    assert not torch.equal(ratios[0], ratios[1])
    assert ratios.min() >= schedule.ratio(schedule.end) * (1 - 1e-9)
    assert ratios.max() <= schedule.ratio(schedule.start) * (1 + 1e-9)
    ordered = ratios.flatten().sort().values
    for i in range(1, 200):
        t = schedule.end + (schedule.start - schedule.end) * i / 200
        below = float(torch.searchsorted(ordered, schedule.ratio(t) * (1 + 1e-12), right=True)) / 40_000
        # steps 1, …, T of a chain, and all times otherwise
        share = math.floor(t) / schedule.chain_steps if schedule in CHAINS else i / 200
        assert below == pytest.approx(share, abs=0.0141)


def test_training_steps_of_a_chain_are_whole() -> None:
    schedule = CosineSchedule(chain_steps=25)
    drawn = set(schedule.training_ratios(Streams([0], "levels"), 5_000)[0].tolist())
    assert sorted(drawn) == pytest.approx([schedule.ratio(float(t)) for t in range(1, 26)], rel=1e-9)


@pytest.mark.parametrize(
    ("kind", "options", "named"),
    [
        (EDMSchedule, {"sigma_min": 0.0}, "sigma_min"),
        (EDMSchedule, {"sigma_min": 2.0, "sigma_max": 1.0}, "sigma_max"),
        (EDMSchedule, {"sigma_max": math.nan}, "sigma_max"),
        (EDMSchedule, {"rho": 0.0}, "rho"),
        (VESchedule, {"sigma_min": -1.0}, "sigma_min"),
        (VESchedule, {"end_time": 0.0}, "end_time"),
        (VESchedule, {"end_time": 1.0}, "end_time"),
        (VPSchedule, {"beta_min": 0.0}, "beta_min"),
        (VPSchedule, {"beta_max": 0.05}, "beta_max"),
        (VPSchedule, {"end_time": 2.0}, "end_time"),
        (LinearSchedule, {"chain_steps": 1}, "chain_steps"),
        (LinearSchedule, {"chain_steps": True}, "chain_steps"),
        (LinearSchedule, {"chain_steps": 10}, "take more steps"),
        (LinearSchedule, {"beta_min": 0.0}, "β"),
        (CosineSchedule, {"chain_steps": 10.0}, "chain_steps"),
        (CosineSchedule, {"beta_max": 1.0}, "β"),
    ],
)
def test_bad_constants_are_refused(kind: type[NoiseSchedule], options: dict[str, float], named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        kind(**options)
