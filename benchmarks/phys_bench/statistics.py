"""Statistics over seeds: intervals, distances from the floor, ranks, paired differences."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

ENUMERATED_UP_TO = 5
"""Seeds up to which all resamples (5⁵ = 3,125) are enumerated instead of drawn."""
RESAMPLES = 10_000


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds.

    Args:
        mean: over the finite values.
        std: their sample standard deviation, 0 for one value.
        low: lower end of the percentile bootstrap interval of the mean.
        high: its upper end.
        count: number of values.
    """

    mean: float
    std: float
    low: float
    high: float
    count: int


def estimate(values: Sequence[float], *, level: float = 0.95, seed: int = 0) -> Estimate | None:
    """Mean, spread and bootstrap interval (Efron's percentile interval of the mean); None without finite values.

    Args:
        values: one per seed.
        level: of the interval.
        seed: of the resamples, where they are drawn. With few seeds the interval is narrower than its level says: from
            three seeds it cannot leave the range of three numbers.
    """
    finite = np.array([v for v in values if math.isfinite(v)], dtype=np.float64)
    n = len(finite)
    if n == 0:
        return None
    if n <= ENUMERATED_UP_TO:
        rows = np.array(list(itertools.product(range(n), repeat=n)))
    else:
        rows = np.random.default_rng(seed).integers(0, n, size=(RESAMPLES, n))
    tail = (1 - level) / 2
    low, high = np.quantile(finite[rows].mean(1), [tail, 1 - tail])
    std = float(finite.std(ddof=1)) if n > 1 else 0.0
    return Estimate(float(finite.mean()), std, float(low), float(high), n)


EXACT_VALUE = {"zero": 0.0, "half": 0.5, "one": 1.0}
"""What the exact law scores, for metrics that are best at a value rather than at an end."""


def badness(value: float, best: str) -> float:
    """A number that is lower for better scores, whichever way the metric points; infinite for none."""
    if not math.isfinite(value):
        return math.inf
    if best in EXACT_VALUE:
        return abs(value - EXACT_VALUE[best])
    return -value if best == "high" else value


def distance(value: float, mean: float, std: float, best: str) -> str:
    """How far a score is from its floor (``mean``, ``std``): ``1.3×`` of it, or ``+4.0σ`` above.

    The ratio is used where the floor is a positive scale well apart from zero and lower is better; otherwise (an
    unbiased MMD², an accuracy) the difference is counted in standard deviations of the floor.
    """
    if not math.isfinite(value):
        return ""
    if best == "low" and mean > 2 * std:
        ratio = value / mean
        return f"{ratio:.2f}×" if ratio < 10 else f"{ratio:,.0f}×"
    if std <= 0:
        return ""
    if best in EXACT_VALUE:
        excess = badness(value, best) - math.hypot(mean - EXACT_VALUE[best], std)
    else:
        excess = badness(value, best) - badness(mean, best)
    return f"{excess / std:+.1f}σ" if abs(excess) < 1000 * std else f"{excess / std:+,.0f}σ"


def ranks(badnesses: Mapping[str, float]) -> dict[str, float]:
    """Ranks from 1, by name; equal values share the mean of their ranks, and infinite ones are all last."""
    found = {}
    for name, value in badnesses.items():
        below = sum(other < value for other in badnesses.values())
        equal = sum(other == value for other in badnesses.values())
        # Failing in company must not improve a rank.
        found[name] = float(len(badnesses)) if math.isinf(value) else below + (equal + 1) / 2
    return found


def paired_difference(first: Mapping[int, float], second: Mapping[int, float], *, seed: int = 0) -> Estimate | None:
    """``second − first`` over the seeds that both have; None if there are none.

    Args:
        first: values by seed.
        second: values by seed.
        seed: of the resamples.
    """
    shared = sorted(set(first) & set(second))
    return estimate([second[s] - first[s] for s in shared], seed=seed)
