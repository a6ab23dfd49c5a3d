"""Time grids: tuples of Python floats (double precision), whatever the precision of the state.

A grid of ``steps`` intervals has ``steps + 1`` points, hits both ends exactly and may decrease.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import pairwise

from phys_samplers.errors import ConfigurationError


def uniform(t0: float, t1: float, steps: int) -> tuple[float, ...]:
    """``steps`` equal intervals from ``t0`` to ``t1``.

    Raises:
        ConfigurationError: if ``steps`` < 1, or the ends are equal or not finite.
    """
    check_steps(steps)
    t0, t1 = float(t0), float(t1)
    # a weighted mean of the ends for every point, so that rounding does not pile up along the grid
    return checked((*(((steps - i) * t0 + i * t1) / steps for i in range(steps)), t1))


def geometric(t0: float, t1: float, steps: int) -> tuple[float, ...]:
    """``steps`` intervals with a constant ratio of neighbouring times: t_i = t0 (t1/t0)^{i/steps}.

    Raises:
        ConfigurationError: if ``steps`` < 1, or the ends are not positive, finite and different.
    """
    check_steps(steps)
    t0, t1 = float(t0), float(t1)
    if not (0.0 < t0 < math.inf and 0.0 < t1 < math.inf):
        raise ConfigurationError(
            f"a geometric grid from {t0} to {t1}: expected two positive finite times; "
            "end at a small positive time instead of 0, or use a uniform grid"
        )
    low, high = math.log(t0), math.log(t1)
    return checked((t0, *(math.exp(((steps - i) * low + i * high) / steps) for i in range(1, steps)), t1))


def power(t0: float, t1: float, steps: int, exponent: float) -> tuple[float, ...]:
    """``steps`` equal intervals of t^{1/ρ} from ``t0`` to ``t1``: finer near 0 for ρ > 1, geometric as ρ → ∞.

    The grid of EDM (Karras et al. 2022, arXiv:2206.00364, Eq. 5).

    Args:
        t0: start, not negative.
        t1: end, not negative.
        steps: number of intervals.
        exponent: ρ.

    Raises:
        ConfigurationError: if ``steps`` < 1, the exponent is not positive and finite, or the ends are negative, not
            finite or equal.
    """
    check_steps(steps)
    t0, t1 = float(t0), float(t1)
    if not (0.0 <= t0 < math.inf and 0.0 <= t1 < math.inf and 0.0 < exponent < math.inf):
        raise ConfigurationError(
            f"a power grid from {t0} to {t1} with exponent {exponent}: expected two finite times that are not negative "
            "and a positive finite exponent, e.g. 7"
        )
    first, last = t0 ** (1 / exponent), t1 ** (1 / exponent)
    inner = (((steps - i) * first + i * last) / steps for i in range(1, steps))
    return checked((t0, *(root**exponent for root in inner), t1))


def checked(times: Iterable[float]) -> tuple[float, ...]:
    """The same times as a tuple of floats, if they make a grid.

    Raises:
        ConfigurationError: unless there are at least two finite, strictly increasing or strictly decreasing times.
    """
    grid = tuple(float(t) for t in times)
    if len(grid) < 2:
        raise ConfigurationError(
            f"the time grid has {len(grid)} point(s); expected at least 2, e.g. uniform(0, 1, 200)"
        )
    down = grid[-1] < grid[0]
    for i, (a, b) in enumerate(pairwise(grid)):
        if not (math.isfinite(a) and math.isfinite(b)) or (b >= a if down else b <= a):
            raise ConfigurationError(
                f"the time grid goes from {a} to {b} at points {i} and {i + 1}; "
                "expected finite times that strictly increase, or strictly decrease"
            )
    return grid


def check_steps(steps: int) -> None:
    """Raise unless ``steps`` is a number of intervals.

    Raises:
        ConfigurationError: if it is not an integer of at least 1.
    """
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise ConfigurationError(f"steps is {steps!r}; expected the number of intervals, an integer of at least 1")
