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
from phys_samplers.metric import Metric
from phys_samplers.metrics.floor import floor
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
    with pytest.raises(ConfigurationError, match=rf"{name} scores what comes with samples: give draw="):
        score(metric, NONE, NONE)
    assert floor(metric, target, n=10, reference=target.sample(10, generator=make_generator(0))) is None


@pytest.mark.parametrize(("name", "key"), [("ess-per-gradient", "energy_gradients"), ("ess-per-second", "seconds")])
def test_costs_must_be_there_and_positive(name: str, key: str, score: Score) -> None:
    metric: Metric = make("metric", name)
    with pytest.raises(ConfigurationError, match=rf"{name} weighs the cost of a draw: give costs=\{{'{key}'"):
        score(metric, NONE, NONE, draw=of(FACTS))
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
