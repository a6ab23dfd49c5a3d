from __future__ import annotations

import math

import numpy as np
import pytest

from phys_bench.statistics import badness, distance, estimate, paired_difference, ranks


def test_the_interval_of_two_values_is_that_of_the_four_resamples() -> None:
    # Means of the resamples of (0, 1): 0, 1/2, 1/2, 1; linear quantiles at 2.5 % and 97.5 %: 0.0375 and 0.9625.
    found = estimate([0.0, 1.0])
    assert found is not None
    assert (found.mean, found.std, found.count) == (0.5, pytest.approx(math.sqrt(0.5)), 2)
    assert (found.low, found.high) == (pytest.approx(0.0375), pytest.approx(0.9625))


def test_one_value_has_no_spread_and_none_no_estimate() -> None:
    found = estimate([2.0, math.nan])
    assert found is not None
    assert (found.mean, found.std, found.low, found.high, found.count) == (2.0, 0.0, 2.0, 2.0, 1)
    assert estimate([math.nan]) is None


def test_the_interval_of_many_values_is_seeded_and_as_wide_as_theory_says() -> None:
    values = np.random.default_rng(0).normal(size=400).tolist()
    found, again = estimate(values), estimate(values)
    assert found is not None
    assert found == again
    # Width 2 · 1.96 · s / sqrt(400); 10,000 resamples know a 95 % quantile pair to about 2 %.
    assert found.high - found.low == pytest.approx(2 * 1.96 * np.std(values) / 20, rel=0.08)


def test_the_interval_covers_the_mean_at_its_level() -> None:
    # 300 samples of 30: coverage of the percentile bootstrap is about 0.93; 0.88 is 3.4 standard errors below.
    generator = np.random.default_rng(1)
    found = [estimate(generator.normal(size=30).tolist()) for _ in range(300)]
    covered = np.mean([e.low <= 0.0 <= e.high for e in found if e is not None])
    assert 0.88 < covered < 0.98


def test_ranks_share_ties_and_put_failures_last() -> None:
    assert ranks({"a": 1.0, "b": 2.0, "c": 1.0}) == {"a": 1.5, "c": 1.5, "b": 3.0}
    assert ranks({"a": 1.0, "b": math.inf, "c": math.inf}) == {"a": 1.0, "b": 3.0, "c": 3.0}


@pytest.mark.parametrize(
    ("best", "value", "expected"),
    [("low", 2.0, 2.0), ("high", 2.0, -2.0), ("zero", -2.0, 2.0), ("half", 0.25, 0.25), ("one", 0.25, 0.75)],
)
def test_badness_is_lower_for_better(best: str, value: float, expected: float) -> None:
    assert badness(value, best) == expected
    assert badness(math.nan, best) == math.inf


def test_distance_from_the_floor_is_a_ratio_where_that_means_something() -> None:
    assert distance(0.2, 0.1, 0.01, "low") == "2.00×"
    assert distance(20.0, 0.1, 0.01, "low") == "200×"
    assert distance(0.05, 0.0, 0.01, "low") == "+5.0σ"
    assert distance(0.9, 0.5, 0.1, "high") == "-4.0σ"
    assert distance(1.5, 1.0, 0.1, "one") == "+4.0σ"
    assert distance(0.5, 0.0, 0.0, "zero") == ""


def test_a_paired_difference_uses_shared_seeds_and_removes_what_they_share() -> None:
    first, second = {0: 1.0, 1: 100.0, 2: 7.0}, {1: 101.0, 0: 2.0, 5: 0.0}
    found = paired_difference(first, second)
    assert found is not None
    assert (found.mean, found.low, found.high, found.count) == (1.0, 1.0, 1.0, 2)
    assert paired_difference({0: 1.0}, {1: 1.0}) is None
