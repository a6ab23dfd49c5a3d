"""The laws that the chains end in.

Statistical checks are at 4 standard errors of independent chains: a false alarm in 16,000 for each number checked.
"""

from __future__ import annotations

import math

import pytest
from torch import Tensor

from phys_langevin import BAOAB, MALA, LangevinDynamics
from phys_samplers.laws import GaussianMixture, StandardNormal
from phys_samplers.randomness import make_generator
from phys_samplers.target import Target

N = 20_000


def target(law: object) -> Target:
    return Target(event_shape=law.event_shape, law=law)  # type: ignore[attr-defined]


def check_moments(x: Tensor, mean: float, variance: float) -> None:
    """Mean and variance of independent Gaussian draws."""
    assert x.mean().item() == pytest.approx(mean, abs=4 * math.sqrt(variance / x.numel()))
    assert x.var().item() == pytest.approx(variance, abs=4 * variance * math.sqrt(2 / x.numel()))


@pytest.mark.parametrize("h", [0.1, 0.5, 1.0])
def test_ula_has_the_biased_variance_that_theory_gives_it(h: float) -> None:
    """x ← (1 − h)x + √(2h) z has the variance 2h/(1 − (1 − h)²) = 1/(1 − h/2): 5 %, 33 % and 100 % too much.

    The standard error is 1 %, so that even the smallest bias stands 5 of them away from 1.
    """
    recipe = LangevinDynamics(step_size=h, sampling_steps=math.ceil(12 / h), prior_std=1.0)
    model = recipe.fit(target(StandardNormal(1)))
    check_moments(model.sample(N, seed=1), 0.0, 1 / (1 - h / 2))


def test_stochastic_heun_takes_most_of_the_bias_away() -> None:
    """A scheme of weak order 2 on the same steps: the law of x ← (1 − h + h²/2)x + √(2h)(1 − h/2) z."""
    h = 0.5
    expected = 2 * h * (1 - h / 2) ** 2 / (1 - (1 - h + h**2 / 2) ** 2)
    assert abs(expected - 1) < 0.1
    recipe = LangevinDynamics(
        step_size=h, sampling_steps=24, prior_std=1.0, ascent_steps=0, integrator="stochastic-heun"
    )
    draw = recipe.fit(target(StandardNormal(1))).draw(N, seed=1)
    check_moments(draw.samples, 0.0, expected)
    assert draw.nfe == 48
    assert draw.diagnostics["integrator"] == "stochastic-heun"


def test_mala_is_unbiased_on_a_normal_and_accepts_as_wanted() -> None:
    model = MALA(sampling_steps=200, warmup_steps=120).fit(target(StandardNormal(1)))
    draw = model.draw(N, seed=1)
    check_moments(draw.samples, 0.0, 1.0)
    assert draw.diagnostics["acceptance"] == pytest.approx(0.574, abs=0.03)
    # the step at which it accepts so many is far too long without the test: ULA diverges beyond 2
    assert draw.diagnostics["step_size"] > 1


def test_mala_keeps_a_mixture_that_it_is_started_in() -> None:
    """Moments and mode weights; the unadjusted chain with the very step that MALA found loses them."""
    law = GaussianMixture([[-2.0, -2.0], [2.0, 2.0], [2.0, -2.0]], [0.25] * 3, [0.45, 0.45, 0.1])
    n = 10_000
    start = law.sample(n, make_generator(0, "start"))
    fitted = MALA(sampling_steps=150, warmup_steps=100).fit(target(law))
    draw = fitted.draw(n, seed=1, start=start)
    x, labels = draw.samples, law.labels(draw.samples)
    assert draw.diagnostics["acceptance"] == pytest.approx(0.574, abs=0.03)
    assert (x != start).any(1).float().mean() > 0.99
    for mode, weight in enumerate((0.45, 0.45, 0.1)):
        share = (labels == mode).float().mean().item()
        assert share == pytest.approx(weight, abs=4 * math.sqrt(weight * (1 - weight) / n))
        inside = x[labels == mode] - law.means[mode]
        check_moments(inside, 0.0, 0.25)
    h = draw.diagnostics["step_size"]
    unadjusted = LangevinDynamics(step_size=h, sampling_steps=50).fit(target(law)).sample(n, seed=1, start=start)
    inside = unadjusted - law.means[law.labels(unadjusted)]
    assert inside.var().item() > 1.3 * 0.25


def test_baoab_has_the_exact_variance_at_a_step_where_ula_doubles_it() -> None:
    model = BAOAB(step_size=1.0, sampling_steps=40, prior_std=1.0).fit(target(StandardNormal(1)))
    draw = model.draw(N, seed=1)
    check_moments(draw.samples, 0.0, 1.0)
    # the momenta carry the error, 1 − h²/4, averaged over the record of 20 steps
    assert draw.diagnostics["kinetic_temperature"] == pytest.approx(0.75, abs=0.02)


def test_prior_is_as_wide_as_asked() -> None:
    flat = Target(event_shape=(2,), law=StandardNormal(2))
    x = LangevinDynamics(step_size=1e-9, sampling_steps=1, prior_std=3.0, ascent_steps=0).fit(flat).sample(N, seed=1)
    check_moments(x, 0.0, 9.0)
