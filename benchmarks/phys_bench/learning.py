"""Learning curves over seeds: interquartile means, censored medians and probabilities of improvement.

Definitions of the interquartile mean and of the probability of improvement: Agarwal et al. 2021 (arXiv:2108.13264).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

RESAMPLES = 4_000
LEVEL = 0.95

FloatArray = np.ndarray


@dataclass(frozen=True)
class Interval:
    """A statistic with its percentile bootstrap interval over seeds.

    Args:
        value: of the seeds there are.
        low: lower end.
        high: upper end.
    """

    value: float
    low: float
    high: float


def curve_of(diagnostics: Mapping[str, Any]) -> tuple[FloatArray, FloatArray] | None:
    """Steps and greedy returns of a cell's learning curve; None if it has none."""
    rows = diagnostics.get("curve")
    if not isinstance(rows, list) or not rows:
        return None
    return (
        np.array([row["step"] for row in rows], dtype=np.float64),
        np.array([row["return"] for row in rows], dtype=np.float64),
    )


def interquartile_mean(values: FloatArray) -> FloatArray:
    """The mean of the middle half along the last axis; quarters that split a value count it by its share."""
    ordered = np.sort(values, axis=-1)
    n = ordered.shape[-1]
    edges = np.arange(n + 1) / n
    weights = np.clip(np.minimum(edges[1:], 0.75) - np.maximum(edges[:-1], 0.25), 0, None)
    mean: FloatArray = (ordered * weights).sum(-1) / weights.sum()
    return mean


def bootstrap(values: FloatArray, statistic: Any, *, seed: int = 0) -> Interval:
    """``statistic`` (along the last axis) of ``values`` (n,), with its interval over resampled seeds."""
    rows = np.random.default_rng(seed).integers(0, len(values), size=(RESAMPLES, len(values)))
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(statistic(values[rows]), [tail, 100 - tail])
    return Interval(float(statistic(values)), float(low), float(high))


def bootstrap_ratio(first: FloatArray, second: FloatArray, statistic: Any, *, seed: int = 0) -> Interval:
    """``statistic(second) / statistic(first)``, of independent seeds, with its interval."""
    generator = np.random.default_rng(seed)
    one = statistic(first[generator.integers(0, len(first), size=(RESAMPLES, len(first)))])
    two = statistic(second[generator.integers(0, len(second), size=(RESAMPLES, len(second)))])
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(two / one, [tail, 100 - tail])
    return Interval(float(statistic(second) / statistic(first)), float(low), float(high))


def band(curves: Sequence[FloatArray], *, seed: int = 0) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The interquartile mean over seeds at every evaluation, and its pointwise interval: three arrays (steps,)."""
    values = np.stack(curves, -1)
    rows = np.random.default_rng(seed).integers(0, values.shape[-1], size=(RESAMPLES // 8, values.shape[-1]))
    resampled = interquartile_mean(np.moveaxis(values[:, rows], 1, 0))
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(resampled, [tail, 100 - tail], axis=0)
    return interquartile_mean(values), low, high


def probability_of_improvement(first: FloatArray, second: FloatArray) -> float:
    """P(a seed of ``first`` is above one of ``second``), ties counted half."""
    difference = first[:, None] - second[None]
    return float((difference > 0).mean() + 0.5 * (difference == 0).mean())
