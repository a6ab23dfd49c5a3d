"""Where chains begin: lost ones are led to the density, others are left alone, scales come from gradients."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from phys_samplers import Density, make
from phys_samplers.chains.warmup import find_start, scale_of
from phys_samplers.density import FlatDensity
from phys_samplers.errors import DivergenceError
from phys_samplers.randomness import make_generator

SCALES = torch.logspace(-2, 2, 100)
WIDE = Density(lambda x: -0.5 * (x / SCALES).square().sum(1), (100,), score=lambda x: -x / SCALES**2)


def draws(n: int, dim: int, label: str) -> Tensor:
    return torch.randn(n, dim, generator=make_generator(0, "start", label))


@pytest.mark.parametrize("start", ["wide", "exact", "shifted"])
def test_scales_of_a_gaussian_are_exact_wherever_chains_begin(start: str) -> None:
    x = draws(64, 100, start)
    x = {"wide": 5 * x, "exact": SCALES * x, "shifted": 0.1 * x + 3}[start]
    found = scale_of(x, -x / SCALES**2, torch.ones(100))
    torch.testing.assert_close(found, SCALES, rtol=1e-4, atol=0)


def test_chains_that_are_not_lost_are_left_alone_at_one_evaluation() -> None:
    """|Sg|² of exact draws is χ²(100): beyond 100 + 4√200 + 8 once in 15,000, so that one of 256 moves with 1.7 %."""
    x, source = SCALES * draws(256, 100, "exact"), FlatDensity(WIDE)
    start = find_start(source, x, steps=60)
    assert torch.equal(start.x, x)
    assert (int(start.moved), source.evaluations) == (0, 1)


def test_lost_chains_reach_the_density_and_no_other_moves() -> None:
    x = SCALES * draws(64, 100, "exact")
    x[:16] += 50.0
    source = FlatDensity(WIDE)
    start = find_start(source, x, steps=60)
    assert int(start.moved) == 16
    assert torch.equal(start.x[16:], x[16:])
    assert (start.log_prob[:16] > -0.5 * (100 + 4 * 200**0.5 + 8)).all()
    assert source.evaluations < 40


def test_chains_begin_where_there_is_density() -> None:
    half = Density(lambda x: torch.where(x[:, 0] > 0, -0.5 * x[:, 0] ** 2, -torch.inf), (1,))
    start = find_start(FlatDensity(half), draws(50, 1, "half"), steps=60)
    assert start.log_prob.isfinite().all()
    assert 0 < int(start.moved) < 50


def test_zero_steps_change_nothing() -> None:
    x = 5 * draws(64, 100, "wide")
    start = find_start(FlatDensity(WIDE), x, steps=0)
    assert torch.equal(start.x, x)
    assert (start.scale == 1).all()


@pytest.mark.parametrize("name", ["hmc", "mala", pytest.param("nuts", marks=pytest.mark.slow)])
def test_a_gaussian_with_scales_from_a_hundredth_to_a_hundred_is_mixed(name: str) -> None:
    """Variances of all 100 coordinates within 5 standard errors of 500 draws: a false alarm in 20,000."""
    draw = make("sampler", name).fit(WIDE).draw(500, seed=0)
    assert draw.diagnostics["rhat_max"] < 1.05
    assert ((draw.samples / SCALES).var(0) - 1).abs().max() < 5 * (2 / 500) ** 0.5


def test_the_scale_of_a_constant_gradient_is_one_over_it_and_nobody_is_lost() -> None:
    exponential = Density(lambda x: torch.where((x > 0).all(1), -4 * x.sum(1), -torch.inf), (2,))
    x = draws(200, 2, "constant")
    start = find_start(FlatDensity(exponential), x, steps=60)
    torch.testing.assert_close(start.scale, torch.full((2,), 0.25))
    inside = (x > 0).all(1)
    assert torch.equal(start.x[inside], x[inside])
    assert int(start.moved) == int((~inside).sum())


def half(x: torch.Tensor) -> torch.Tensor:
    return torch.where(x[:, 0] > 0, -0.5 * x.square().sum(1), -torch.inf)


@pytest.mark.parametrize("name", ["langevin", "baoab", "svgd"])
def test_samples_without_density_are_refused_and_a_support_mends_it(name: str) -> None:
    """In 400 draws the mean of |N(0, 1)| is within 0.15, five standard errors; half of all starts are below zero."""
    options = {"sampling_steps": 400, **({"step_size": 0.02} if name == "langevin" else {})}
    sampler = make("sampler", name, **options)
    with pytest.raises(DivergenceError, match=r"samples of .* density of target 'density' is zero.*support="):
        sampler.fit(Density(half, (1,))).draw(400)
    x = sampler.fit(Density(half, (1,), support="positive")).draw(400, seed=0).samples
    assert (x > 0).all()
    if name != "svgd":  # whose rest point is another law
        assert float(x.mean()) == pytest.approx(math.sqrt(2 / math.pi), abs=0.15)


@pytest.mark.parametrize("name", ["langevin", "baoab"])
def test_chains_that_only_follow_the_score_are_led_uphill_first(name: str) -> None:
    """N(60, 1) from N(0, 25), three seconds away at the step of Langevin's; means within seven standard errors."""
    far = Density(lambda x: -0.5 * (x - 60).square().sum(1), (2,))
    led = make("sampler", name, sampling_steps=300).fit(far).draw(200, seed=0)
    assert led.diagnostics["moved"] == 200
    assert led.nfe < 300 + 62
    assert ((led.samples.mean(0) - 60).abs() < 0.5).all()


def test_baoab_keeps_its_course_where_the_gradient_grows_exponentially() -> None:
    """In the logarithm of an exponential law starts at z = 12 have gradients of 10⁵, and flew off to R̂ of 4,781."""
    exponential = Density(lambda x: -x.sum(1), (1,), support="positive")
    assert make("sampler", "baoab").fit(exponential).draw(100, seed=0).diagnostics["rhat_max"] < 1.5
