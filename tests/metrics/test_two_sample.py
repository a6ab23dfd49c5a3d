"""MMD², energy distance, 1-NN accuracy and memorisation."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from phys_samplers.errors import ConfigurationError
from phys_samplers.metric import Metric
from phys_samplers.metrics.two_sample import (
    DIRECT,
    MMD2,
    EnergyDistance,
    Memorisation,
    OneNearestNeighbour,
    distances,
    mean_within,
    median_distance,
)
from phys_samplers.target import Target

Score = Callable[..., float]
Draw = Callable[..., Tensor]


@pytest.mark.parametrize(
    ("metric", "expected"), [(MMD2(), 0.0), (EnergyDistance(), 0.0), (OneNearestNeighbour(), 0.5 - 0.5 / 69)]
)
def test_unbiased_on_equal_laws(metric: Metric, expected: float, score: Score, draw: Draw) -> None:
    # The V-statistics' bias at n = 30, m = 40 is more than ten of these standard errors. False alarm: 6e-5 each.
    values = torch.tensor([score(metric, draw(30, 2, "x", r), draw(40, 2, "y", r)) for r in range(200)])
    standard_error = values.std() / len(values) ** 0.5
    assert abs(values.mean() - expected) < 4 * standard_error
    assert standard_error < 0.02


@pytest.mark.parametrize(("metric", "null"), [(MMD2(), 0.0), (EnergyDistance(), 0.0), (OneNearestNeighbour(), 0.5)])
def test_grows_with_the_shift(metric: Metric, null: float, score: Score, draw: Draw) -> None:
    x, y = draw(200, 2, "x"), draw(200, 2, "y")
    near, far = (score(metric, x + shift, y) for shift in (0.5, 4.0))
    assert null < near < far


def test_energy_distance_by_hand(score: Score) -> None:
    # Across: |0−1|, |0−5|, |2−1|, |2−5| of mean 10/4; within: 2 and 4. 2·2.5 − 2 − 4 = −1: it may be negative.
    x, y = torch.tensor([[0.0], [2.0]]), torch.tensor([[1.0], [5.0]])
    assert score(EnergyDistance(), x, y) == pytest.approx(-1.0)


def test_mmd_by_hand(score: Score) -> None:
    # One kernel of bandwidth h = |1 − 3| = 2: k(d) = exp(−d²/8); within samples d = 1, across 1, 3, 0, 2.
    x, y = torch.tensor([[0.0], [1.0]]), torch.tensor([[1.0], [3.0]])
    kernel = torch.exp(-(torch.tensor([1.0, 2.0, 1.0, 3.0, 0.0, 2.0]) ** 2) / 8)
    expected = kernel[0] + kernel[1] - 2 * kernel[2:].mean()
    assert score(MMD2(bandwidths=(1.0,)), x, y) == pytest.approx(float(expected), rel=1e-5)


def test_mmd_bandwidth_comes_from_the_reference_alone(score: Score, draw: Draw) -> None:
    # Samples a million times too wide: with a bandwidth of their own they would look the same as the reference.
    y = draw(100, 2, "y")
    value = score(MMD2(bandwidths=(1.0,)), 1e6 * draw(100, 2, "x"), y)
    h = median_distance(y)
    assert value == pytest.approx(float(mean_within(lambda d: torch.exp(-(d**2) / (2 * h**2)), y)), rel=1e-3)


def test_median_distance_of_many_rows_uses_evenly_spaced_ones() -> None:
    x = torch.arange(10, dtype=torch.float64)[:, None]
    assert float(median_distance(x, rows=10)) == 3.0
    assert float(median_distance(x, rows=3)) == 3.0  # rows 0, 3, 6: distances 3, 3, 6


def test_distances_of_many_coordinates_agree_with_differences(draw: Draw) -> None:
    x, y = draw(20, DIRECT + 8, "x") + 1e3, draw(30, DIRECT + 8, "y") + 1e3
    y[:5] = x[:5]
    expected = (x[:, None] - y).square().sum(2).sqrt()
    torch.testing.assert_close(distances(x, y), expected, rtol=1e-9, atol=0)
    assert torch.equal(distances(x, y).diagonal()[:5], torch.zeros(5, dtype=torch.float64))


def test_one_nn_of_copies_is_zero_and_of_ties_is_shared(score: Score, draw: Draw) -> None:
    x = draw(50, 2)
    assert score(OneNearestNeighbour(), x, x) == 0.0
    # Three and three rows on one spot: the others of a row are 2 of its own class and 3 of the other.
    spot = torch.zeros(3, 2)
    assert score(OneNearestNeighbour(), spot, spot) == pytest.approx(0.4)
    assert score(OneNearestNeighbour(), x, x + 100) == 1.0


def test_memorisation_tells_copies_from_fresh_draws(score: Score, target: Target) -> None:
    assert target.train is not None
    heldout = target.heldout
    assert score(Memorisation(), target.train[:200], heldout) == 0.0
    generator = torch.Generator().manual_seed(3)
    # Median of 1,000 nearest distances on either side: relative standard error about 4 %; 5 of them.
    assert score(Memorisation(), target.sample(1000, generator=generator), heldout) == pytest.approx(1.0, abs=0.2)
    assert score(Memorisation(), target.sample(1000, generator=generator) * 3, heldout) > 1.5


def test_degenerate_references_are_refused(score: Score, target: Target) -> None:
    with pytest.raises(ConfigurationError, match=r"mmd2: the median distance .* is 0"):
        score(MMD2(), torch.randn(4, 2), torch.ones(5, 2))
    with pytest.raises(ConfigurationError, match=r"memorisation: .* are training rows"):
        score(Memorisation(), torch.randn(4, 2), target.train)
    with pytest.raises(ConfigurationError, match="bandwidths"):
        MMD2(bandwidths=(1.0, 0.0))
    for metric in (MMD2(), EnergyDistance()):
        with pytest.raises(ConfigurationError, match="at least 2"):
            score(metric, torch.zeros(1, 2), torch.ones(5, 2))
