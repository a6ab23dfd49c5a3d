"""Scores of laws of returns against closed forms, and the floors that the exact return model gives."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from phys_samplers import make
from phys_samplers.errors import ConfigurationError, MissingCapability
from phys_samplers.metric import Scored
from phys_samplers.randomness import make_generator
from phys_samplers.rl.exact import SampledReturns
from phys_samplers.rl.law import ReturnLaw, integrated_cdf, projected
from phys_samplers.rl.markov import MarkovChain
from phys_samplers.rl.recipe import ReturnTask
from phys_samplers.target import Target

NAMES = ("return-w1", "return-cramer", "return-mean-error", "return-quantile-error", "return-tail-error")
CHAIN = MarkovChain.of([(0, 0.5, 2.0, None), (0, 0.5, 4.0, None), (1, 1.0, 3.0, None)])
LAW = SampledReturns(torch.tensor([[2.0, 4.0], [3.0, 3.0]]))
TASK = ReturnTask(event_shape=(2,), name="coin", law=LAW, experience=CHAIN.prediction(0.9, (0.0, 10.0)))
"""Two queries; returns between 0 and 10, so that scores are tenths of differences."""


class Fixed:
    """A model that holds given laws."""

    def __init__(self, law: ReturnLaw) -> None:
        self._law = law

    def laws(self, *, seed: int) -> ReturnLaw:
        return self._law


def score(name: str, law: ReturnLaw, task: Target = TASK, **options: object) -> float:
    model: Any = Fixed(law)
    scored = Scored(samples=torch.empty(0, 2), target=task, generator=make_generator(0), model=model)
    return float(make("metric", name, **options)(scored))


def atoms(*rows: tuple[float, ...]) -> ReturnLaw:
    points = torch.tensor(rows)
    return ReturnLaw(points, torch.full_like(points, 1 / points.shape[1]))


@pytest.mark.parametrize("name", [*NAMES, "return-mass-error"])
def test_the_exact_laws_score_nothing(name: str) -> None:
    assert score(name, LAW.laws) == pytest.approx(0, abs=1e-12)


def test_moved_laws_score_how_far_they_moved() -> None:
    """By 0.5 of 10 in one state of two; the Cramér distance of atoms 0.05 apart is 0.05."""
    moved = atoms((2.5, 4.5), (3.0, 3.0))
    expected = {name: 0.025 for name in NAMES} | {"return-cramer": 0.5 * 2 * 0.25 * 0.05}
    for name, value in expected.items():
        assert score(name, moved) == pytest.approx(value, rel=1e-2), name
    assert score("return-mean-error", moved, largest=True) == pytest.approx(0.05)


def test_a_blurred_atom_is_off_by_the_mean_of_the_blur() -> None:
    h = 0.25
    blurred = ReturnLaw(torch.tensor([[2.0, 4.0], [3.0, 3.0]]), torch.full((2, 2), 0.5), h)
    first = h * math.sqrt(2 / math.pi) / 10  # of an atom, and of two of them eight h apart
    assert score("return-w1", blurred) == pytest.approx(first, rel=3e-3)
    assert score("return-cramer", blurred) == pytest.approx(
        0.75 * h / math.sqrt(math.pi) * (math.sqrt(2) - 1) / 10, rel=1e-2
    )
    assert score("return-mean-error", blurred) == pytest.approx(0, abs=1e-7)
    # the mean of the worst tenth of a normal law is 1.755 standard deviations down, of the worst fifth 1.400
    assert score("return-tail-error", blurred) == pytest.approx(h * (1.400 + 1.755) / 2 / 10, rel=2e-3)


def test_mass_is_scored_apart_and_divided_out_elsewhere() -> None:
    heavy = replace(LAW.laws, weights=LAW.laws.weights * torch.tensor([[1.2], [0.9]]))
    assert score("return-mass-error", heavy) == pytest.approx(0.15)
    assert score("return-w1", heavy) == pytest.approx(0, abs=1e-12)


def test_integrated_distribution_functions() -> None:
    x = torch.linspace(-1, 2, 31, dtype=torch.float64)
    weights = torch.tensor([[0.2, 0.5, 0.3], [0.6, 0.6, -0.2]]).double()
    points = torch.tensor([0.9, 0.1, 0.4]).double()

    def direct(values: Tensor) -> Tensor:
        return (weights.unsqueeze(-1) * (values - points.unsqueeze(-1)).clamp(min=0)).sum(1)

    torch.testing.assert_close(integrated_cdf(ReturnLaw(points, weights), x), direct(x))
    shared = integrated_cdf(ReturnLaw(points, weights, 0.2), x)
    own = integrated_cdf(ReturnLaw(points.expand(2, -1), weights, 0.2), x)
    torch.testing.assert_close(shared, own)
    torch.testing.assert_close(integrated_cdf(ReturnLaw(points, weights, 1e-6), x), direct(x), rtol=0, atol=1e-6)
    # the derivative is F
    law, step = ReturnLaw(points, weights, 0.2), 1e-4
    slope = (integrated_cdf(law, x + step) - integrated_cdf(law, x - step)) / (2 * step)
    torch.testing.assert_close(slope, law.cdf(x), rtol=0, atol=1e-6)


def test_projections_keep_mass_and_mean() -> None:
    law = ReturnLaw(torch.tensor([0.125, 0.5, 0.95]).double(), torch.tensor([[0.5, 0.25, 0.25]]).double())
    found = projected(law, torch.linspace(0, 1, 5, dtype=torch.float64))
    torch.testing.assert_close(found.weights, torch.tensor([[0.25, 0.25, 0.25, 0.05, 0.2]]).double())
    torch.testing.assert_close(found.mean, law.mean)


def test_floors_of_the_exact_return_model() -> None:
    exact = make("return_model", "exact").fit(TASK)
    assert score("return-w1", exact.laws()) == 0
    blurred = make("return_model", "exact", bandwidth=0.025).fit(TASK)
    assert score("return-w1", blurred.laws()) == pytest.approx(0.025 * math.sqrt(2 / math.pi), rel=3e-3)
    # atoms 0.5 apart: the second state's 0.3 becomes 0 and 0.5, which is 0.4·0.3 + 0.6·0.2 away; the first's 0.2 and
    # 0.4 have the same weights together, and part of that is in place: ∫|F − 0.4| on [0, 0.5] with F = 0, ½, 1
    coarse = make("return_model", "exact", atoms=3).fit(TASK)
    torch.testing.assert_close(coarse.laws().mean, LAW.means)
    first = 0.2 * 0.4 + 0.2 * 0.1 + 0.1 * 0.6
    assert score("return-w1", coarse.laws()) == pytest.approx((first + 0.24) / 2, rel=1e-3)
    halves = make("return_model", "exact", quantiles=2).fit(TASK)
    assert score("return-w1", halves.laws()) == pytest.approx(0, abs=1e-9)
    draws = exact.draw(4_000, seed=3).samples
    assert draws.shape == (4_000, 2)
    assert float(draws[:, 0].mean()) == pytest.approx(3.0, abs=0.08)  # five standard errors


def test_what_cannot_be_scored_is_named() -> None:
    with pytest.raises(MissingCapability, match="experience"):
        score("return-w1", LAW.laws, task=Target(event_shape=(2,)))
    with pytest.raises(MissingCapability, match="return-w1 needs model; give the fitted model"):
        make("metric", "return-w1")(Scored(samples=torch.empty(0, 2), target=TASK, generator=make_generator(0)))
    with pytest.raises(ConfigurationError, match="one for each queried state"):
        score("return-w1", atoms((1.0,), (2.0,), (3.0,)))
    with pytest.raises(ConfigurationError, match="NaN"):
        score("return-w1", atoms((math.nan,), (2.0,)))
    with pytest.raises(ConfigurationError, match="at most one"):
        make("return_model", "exact", atoms=5, quantiles=5)
