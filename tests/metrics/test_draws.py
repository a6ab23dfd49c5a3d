"""Scores of what comes with a draw: the numbers, and clear words where there is none."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from phys_samplers.catalogue import make
from phys_samplers.errors import ConfigurationError, MissingCapability
from phys_samplers.laws import GaussianMixture
from phys_samplers.metric import Metric, floor
from phys_samplers.metrics.densities import systematic
from phys_samplers.randomness import make_generator
from phys_samplers.sampler import Draw
from phys_samplers.target import Target

NONE = torch.empty(0, 2)
COSTS = {"energy_gradients": 40.0, "energy_densities": 3.0, "seconds": 5.0}
FACTS = {"log_z": 2.0, "elbo": 1.5, "ess": 0.8}
NAMES = ("log-z-error", "elbo-gap", "ess", "ess-per-gradient", "ess-per-second")
Score = Callable[..., float]


def of(facts: dict[str, Any], n: int = 200) -> Draw:
    return Draw(torch.zeros(n, 2), 1.0, facts)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("log-z-error", 2.0 - math.log(4 * math.pi)),
        ("elbo-gap", math.log(4 * math.pi) - 1.5),
        ("ess", 0.8),
        ("ess-per-gradient", 0.8 / 43),
        ("ess-per-second", 0.8 * 200 / 5),
    ],
)
def test_numbers_without_any_reference_row(name: str, expected: float, score: Score) -> None:
    assert score(make("metric", name), NONE, NONE, draw=of(FACTS), costs=COSTS) == pytest.approx(expected)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("facts", [{}, {"log_z": None, "elbo": None, "ess": None, "acceptance": 0.5}])
def test_a_draw_that_does_not_bring_the_fact_is_named(name: str, facts: dict[str, Any], score: Score) -> None:
    with pytest.raises(MissingCapability, match=rf"{name} needs a.*its draw has no '(log_z|elbo|ess)'.*leave the"):
        score(make("metric", name), NONE, NONE, draw=of(facts), costs=COSTS)


@pytest.mark.parametrize("name", NAMES)
def test_a_metric_of_draws_asks_for_the_draw_and_has_no_floor(name: str, target: Target, score: Score) -> None:
    metric: Metric = make("metric", name)
    with pytest.raises(MissingCapability, match=rf"{name} needs .*draw; give .*what came with the samples: draw="):
        score(metric, NONE, NONE)
    assert floor(metric, target, n=10, reference=target.sample(10, generator=make_generator(0))) is None


@pytest.mark.parametrize(("name", "key"), [("ess-per-gradient", "energy_gradients"), ("ess-per-second", "seconds")])
def test_costs_must_be_there_and_positive(name: str, key: str, score: Score) -> None:
    metric: Metric = make("metric", name)
    with pytest.raises(MissingCapability, match=rf"{name} needs costs; give what the samples took: costs="):
        score(metric, NONE, NONE, draw=of(FACTS))
    with pytest.raises(ConfigurationError, match=rf"{name} weighs the cost of a draw: give costs=\{{'{key}'"):
        score(metric, NONE, NONE, draw=of(FACTS), costs={})
    with pytest.raises(ConfigurationError, match=rf"{name}: {key}.* is 0.0, so there is nothing to divide by"):
        score(metric, NONE, NONE, draw=of(FACTS), costs=dict.fromkeys(COSTS, 0.0))


def test_weights_that_miss_a_mode_show_in_log_z_and_not_in_ess(score: Score) -> None:
    """Eight of nine equal modes, exactly: every weight is 8/9."""
    nine = make("task", "gmm9")
    eight = GaussianMixture(nine.law.means[1:], [0.3] * 8, [1 / 8] * 8)
    x = eight.sample(4000, make_generator(5))
    log_w = (nine.log_prob(x) - eight.log_prob(x)).double()
    weights = log_w.softmax(0)
    facts = {"log_z": float(log_w.logsumexp(0)) - math.log(len(x)), "ess": float(1 / (weights.square().sum() * len(x)))}
    options = {"target": nine, "draw": Draw(x, 0.0, facts, log_weights=log_w)}
    assert score(make("metric", "log-z-error"), x, NONE, **options) == pytest.approx(math.log(8 / 9), abs=1e-3)
    assert score(make("metric", "ess"), x, NONE, **options) == pytest.approx(1.0, abs=1e-3)
    assert score(make("metric", "mode-tv"), x, x, target=nine) > 1 / 9 - 0.02


def test_resampling_rounds_to_a_neighbouring_number_and_is_unbiased() -> None:
    log_weights = torch.tensor([math.log(0.5), math.log(0.29), -math.inf, math.log(0.21)]) + 700.0
    counts = torch.stack([systematic(log_weights, make_generator(0, k)).bincount(minlength=4) for k in range(2000)])
    assert (counts.sum(1) == 4).all()
    share = torch.tensor([0.5, 0.29, 0.0, 0.21])
    assert ((counts - 4 * share).abs() < 1).all()
    # at most one of two numbers: the standard error is below .5/√2000 = .011
    assert (counts.double().mean(0) - 4 * share).abs().max() < 0.05


def test_weighted_samples_score_as_what_their_weights_make_of_them(score: Score) -> None:
    """One mode of nine is drawn ten times too rarely; with their weights the samples are right again."""
    nine = make("task", "gmm9")
    proposal = GaussianMixture(nine.law.means, [0.3] * 9, [0.1 / 9] + [8.9 / 72] * 8)
    x = proposal.sample(9000, make_generator(5))
    weighted = Draw(x, 0.0, {}, log_weights=nine.log_prob(x) - proposal.log_prob(x))
    options = {"target": nine, "draw": weighted}
    raw = score(make("metric", "mode-tv"), x, x, target=nine)
    assert raw > 0.09
    # the rare mode has 100 samples: its weight has a standard error of .011, half of which is total variation
    assert score(make("metric", "resampled", metric="mode-tv"), x, x, **options) < 0.04
    alone = {"target": nine, "draw": Draw(x, 0.0, {})}
    assert score(make("metric", "resampled", metric="mode-tv"), x, x, **alone) == raw


def test_a_resampled_metric_takes_on_what_it_wraps(target: Target) -> None:
    wrapped: Metric = make("metric", "resampled", metric="mmd2[bandwidths=[1.0]]")
    assert (wrapped.best, wrapped.needs) == ("zero", {"rows", "draw"})
    assert make("metric", "resampled", metric="mode-tv").needs == {"rows", "modes", "draw"}
    reference = target.sample(60, generator=make_generator(0))
    plain = floor(make("metric", "w1"), target, n=60, reference=reference)
    assert floor(make("metric", "resampled"), target, n=60, reference=reference) == plain
    for bad in ("nll", "ess", "w1[points=5,6]"):
        with pytest.raises(ConfigurationError, match=r"resampled: metric is|metric 'w1.*stands for 2"):
            make("metric", "resampled", metric=bad)
    with pytest.raises(ConfigurationError, match="the log weights hold NaN"):
        systematic(torch.full((3,), -math.inf), make_generator(0))
