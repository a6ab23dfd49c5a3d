"""Annealed importance sampling: weights by hand, unbiased constants, stated errors.

Checks of means are at 4 standard errors: a false alarm in 16,000 for each. The seeds are fixed.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from phys_monte_carlo import AIS
from phys_monte_carlo.ais import schedule
from phys_monte_carlo.annealing import Plan, Rules, anneal
from phys_monte_carlo.path import Path, Reference, draw_noise
from phys_monte_carlo.resampling import relative_variance
from phys_samplers import Density
from phys_samplers.density import FlatDensity
from phys_samplers.errors import ConfigurationError
from phys_samplers.laws import DoubleWell, GaussianMixture
from phys_samplers.randomness import make_generator
from phys_samplers.target import Target

RULES = {"share": 0.9, "threshold": None, "moves": 1, "leapfrog_steps": 1, "target_acceptance": 0.6}


def two_modes() -> Target:
    law = GaussianMixture([[-2.0], [2.0]], [0.25, 0.25], [0.3, 0.7])
    return Target(event_shape=(1,), name="two-modes", law=law)


def way(dtype: torch.dtype = torch.float64) -> Path:
    reference = Reference(torch.full((1,), 0.5, dtype=dtype), torch.full((1,), 3.0, dtype=dtype))
    return Path(FlatDensity(two_modes()), reference)


PLAN = Plan(
    torch.tensor([0.1, 0.5, 1.0], dtype=torch.float64),
    torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64).log(),
    torch.tensor([[1.0], [0.8], [0.7]], dtype=torch.float64),
)


@pytest.mark.parametrize("adjusted", [True, False])
def test_weights_are_those_written_out_by_hand(adjusted: bool) -> None:
    """w = Π_t p_t(x_{t−1}) / p_{t−1}(x_{t−1}), without test Π_t e^{H − H'} too, written with kernels."""
    n, law = 40, two_modes().law
    run = anneal(way(), n, rules=Rules(**RULES, adjusted=adjusted), generator=make_generator(0, "run"), plan=PLAN)
    generator = make_generator(0, "run")
    x = 0.5 + 3.0 * torch.randn(n, 1, generator=generator, dtype=torch.float64)
    reference = torch.distributions.Normal(0.5, 3.0)

    def tempered(x: Tensor, beta: float) -> tuple[Tensor, Tensor]:
        value = (1 - beta) * reference.log_prob(x[:, 0]) + beta * law.log_prob(x)
        return value, (1 - beta) * (0.5 - x) / 9 + beta * law.score(x)

    log_weights, before = torch.zeros(n, dtype=torch.float64), 0.0
    for beta, h, spread in zip(PLAN.betas.tolist(), PLAN.log_steps.exp().tolist(), PLAN.spreads.tolist(), strict=True):
        log_weights += tempered(x, beta)[0] - tempered(x, before)[0]
        noise = draw_noise(x, generator)
        variance = ((3.0 * spread[0] * h * noise.factor) ** 2).unsqueeze(1)
        (value, score) = tempered(x, beta)
        proposal = x + 0.5 * variance * score + variance.sqrt() * noise.momentum
        (value_there, score_there) = tempered(proposal, beta)
        forth = torch.distributions.Normal(x + 0.5 * variance * score, variance.sqrt()).log_prob(proposal)
        back = torch.distributions.Normal(proposal + 0.5 * variance * score_there, variance.sqrt()).log_prob(x)
        log_ratio = value_there - value + (back - forth)[:, 0]
        if adjusted:
            x = torch.where((noise.log_uniform < log_ratio).unsqueeze(1), proposal, x)
        else:
            x, log_weights = proposal, log_weights + log_ratio
        before = beta
    torch.testing.assert_close(way().place(run.particles.u), x)
    torch.testing.assert_close(run.log_weights + run.log_z + math.log(n), log_weights)
    assert run.evaluations == 4


@pytest.mark.parametrize("adjusted", [True, False])
def test_estimates_of_z_are_unbiased_however_poor_the_moves(adjusted: bool) -> None:
    """20,000 independent weights, three temperatures."""
    n = 20_000
    plan = PLAN._replace(log_steps=torch.full((3,), math.log(0.2), dtype=torch.float64))
    run = anneal(way(), n, rules=Rules(**RULES, adjusted=adjusted), generator=make_generator(1, "run"), plan=plan)
    ratios = (run.log_weights + run.log_z + math.log(n)).exp()
    assert ratios.std() > 0.5
    assert ratios.mean().item() == pytest.approx(1.0, abs=4 * ratios.std().item() / math.sqrt(n))
    assert run.variance.sqrt().item() == pytest.approx(
        ratios.std().item() / math.sqrt(n) / ratios.mean().item(), rel=1e-3
    )
    # and so are weighted averages: the mode on the right has weight .7
    right = ratios * (way().place(run.particles.u)[:, 0] > 0)
    assert right.mean().item() == pytest.approx(0.7, abs=4 * right.std().item() / math.sqrt(n))


@pytest.mark.parametrize("adjusted", [True, False])
def test_stated_errors_of_log_z_are_of_the_right_size(adjusted: bool) -> None:
    """z² over 200 runs has mean one: below .7 or above 1.36 with probability 5e-4 each, for normal z."""
    rules = Rules(**RULES, adjusted=adjusted)
    run = anneal(way(), 200 * 500, rules=rules, generator=make_generator(2, "run"), plan=PLAN)
    groups = (run.log_weights + run.log_z + math.log(200 * 500)).unflatten(0, (200, 500))
    log_z = groups.logsumexp(1) - math.log(500)
    first, log_kappa = torch.arange(500), torch.tensor(math.log1p(-1 / 500))
    variance = torch.stack([relative_variance(w, first, log_kappa) for w in groups.softmax(1)])
    assert 0.7 < (log_z.square() / variance).mean().item() < 1.36


def test_weighted_samples_are_those_of_the_mixture() -> None:
    draw = AIS(temperatures=24).fit(two_modes()).draw(4_000, seed=1)
    assert draw.log_weights is not None
    weights = draw.log_weights.softmax(0)
    facts = draw.diagnostics
    assert facts["ess"] == pytest.approx(1 / (4_000 * weights.square().sum().item()), rel=1e-6)
    assert facts["log_z"] == pytest.approx(draw.log_weights.exp().mean().log().item(), abs=1e-6)
    assert facts["log_z"] == pytest.approx(0.0, abs=4 * facts["log_z_std"])
    assert facts["elbo"] == pytest.approx(draw.log_weights.mean().item())
    right = weights[draw.samples[:, 0] > 0].sum().item()
    assert right == pytest.approx(0.7, abs=4 * math.sqrt(0.21 / (4_000 * facts["ess"])))
    assert draw.nfe == pytest.approx(facts["pilot_nfe"] + 1 + 24 * 2)


def test_weights_are_equal_where_the_target_is_the_reference() -> None:
    target = Density(lambda x: -0.5 * x.square().sum(1) / 4, event_shape=(3,))
    draw = AIS(reference="broad", prior_std=2.0, temperatures=5).fit(target).draw(50, seed=1)
    expected = 1.5 * math.log(2 * math.pi * 4)
    assert draw.log_weights is not None
    torch.testing.assert_close(draw.log_weights, torch.full_like(draw.log_weights, expected), rtol=0, atol=1e-4)
    assert draw.diagnostics["ess"] == pytest.approx(1)
    assert draw.diagnostics["elbo"] == pytest.approx(expected, abs=1e-5)


def test_laws_on_a_subspace_keep_their_centre_of_mass() -> None:
    law = DoubleWell()
    draw = AIS().fit(Target(event_shape=law.event_shape, law=law)).draw(1_000, seed=1)
    assert draw.samples.reshape(-1, 4, 2).mean(1).abs().max() < 1e-4
    facts = draw.diagnostics
    assert facts["log_z_std"] < 0.15
    assert facts["log_z"] == pytest.approx(29.666, abs=4 * facts["log_z_std"])


def test_one_particle_has_a_weight_but_no_error() -> None:
    facts = AIS(temperatures=4).fit(two_modes()).draw(1, seed=1).diagnostics
    assert facts["log_z_std"] is None
    assert facts["elbo"] == pytest.approx(facts["log_z"])


@pytest.mark.parametrize("name", ["linear", "geometric", "sigmoid"])
@pytest.mark.parametrize("temperatures", [1, 2, 9])
def test_schedules_rise_to_one(name: str, temperatures: int) -> None:
    betas = schedule(name, temperatures)
    assert len(betas) == temperatures
    assert betas[-1] == 1
    assert (torch.cat([torch.zeros(1), betas]).diff() > 0).all()


def test_bad_options_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="schedule is 'cosine'; expected one of adaptive, linear"):
        AIS(schedule="cosine")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="temperatures is 0"):
        AIS(temperatures=0)
    with pytest.raises(ConfigurationError, match="start was given"):
        AIS().fit(two_modes()).sample(5, start=torch.zeros(5, 1))
