"""Statistics of learning curves against closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from phys_bench.statistics import (
    band,
    bootstrap,
    curve_of,
    interquartile_mean,
    probability_of_improvement,
)


def test_interquartile_mean() -> None:
    assert interquartile_mean(np.arange(8.0)) == pytest.approx(3.5)
    assert interquartile_mean(np.array([0.0, 1.0, 2.0, 1_000.0])) == pytest.approx(1.5)
    # six values: one and a half are cut at each end
    assert interquartile_mean(np.array([9.0, 0, 1, 5, 3, 2])) == pytest.approx((0.5 * 1 + 2 + 3 + 0.5 * 5) / 3)
    assert interquartile_mean(np.array([7.0])) == pytest.approx(7.0)


def test_probability_of_improvement_counts_ties_half() -> None:
    assert probability_of_improvement(np.array([2.0, 3.0]), np.array([1.0])) == 1.0
    assert probability_of_improvement(np.array([1.0, 1.0]), np.array([1.0])) == 0.5
    assert probability_of_improvement(np.array([0.0, 2.0]), np.array([1.0, 2.0])) == pytest.approx(1.5 / 4)


def test_bootstrap_of_the_mean_is_about_its_standard_error() -> None:
    values = np.random.default_rng(0).normal(size=400)
    value, low, high = bootstrap(values, lambda x: x.mean(-1))
    assert value == pytest.approx(values.mean())
    assert high - low == pytest.approx(2 * 1.96 / 20, rel=0.15)


def test_band_holds_the_middle() -> None:
    curves = [np.array([0.0, i]) for i in range(12)]
    middle, low, high = band(curves)
    assert middle == pytest.approx([0.0, 5.5])
    assert low[1] < 5.5 < high[1]


def test_curves_of_records() -> None:
    assert curve_of({}) is None
    steps, returns = curve_of({"curve": [{"step": 5, "return": 1.0}, {"step": 10, "return": 2.0}]})
    assert steps.tolist() == [5, 10]
    assert returns.tolist() == [1, 2]
