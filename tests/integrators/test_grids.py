from __future__ import annotations

import math
from functools import partial
from itertools import pairwise

import pytest

from phys_samplers.errors import ConfigurationError
from phys_samplers.integrators import geometric, power, uniform


@pytest.mark.parametrize(("t0", "t1"), [(0.0, 1.0), (1.0, 0.0), (-0.3, 0.7), (80.0, 1e-3)])
def test_uniform(t0: float, t1: float) -> None:
    grid = uniform(t0, t1, 7)
    assert len(grid) == 8
    assert (grid[0], grid[-1]) == (t0, t1)
    assert all(type(t) is float for t in grid)
    for a, b in pairwise(grid):
        assert b - a == pytest.approx((t1 - t0) / 7, rel=1e-12)


@pytest.mark.parametrize(("t0", "t1"), [(1e-3, 80.0), (80.0, 2e-3), (1e-300, 1e300)])
def test_geometric(t0: float, t1: float) -> None:
    grid = geometric(t0, t1, 9)
    assert (grid[0], grid[-1]) == (t0, t1)
    for a, b in pairwise(grid):
        assert math.log(b) - math.log(a) == pytest.approx((math.log(t1) - math.log(t0)) / 9, rel=1e-9)


@pytest.mark.parametrize("make", [uniform, geometric, partial(power, exponent=7.0)])
@pytest.mark.parametrize("steps", [0, -1, 2.0, True])
def test_bad_steps(make, steps) -> None:
    with pytest.raises(ConfigurationError, match="steps is"):
        make(1.0, 2.0, steps)


@pytest.mark.parametrize("ends", [(1.0, 1.0), (0.0, math.inf), (math.nan, 1.0)])
def test_bad_ends(ends: tuple[float, float]) -> None:
    with pytest.raises(ConfigurationError, match="time"):
        uniform(*ends, 3)


@pytest.mark.parametrize("ends", [(0.0, 1.0), (1.0, 0.0), (-1.0, -2.0), (1.0, math.inf), (2.0, 2.0)])
def test_bad_geometric_ends(ends: tuple[float, float]) -> None:
    with pytest.raises(ConfigurationError, match="time"):
        geometric(*ends, 3)


@pytest.mark.parametrize(("t0", "t1"), [(80.0, 2e-3), (2e-3, 80.0), (5.0, 0.0)])
def test_power(t0: float, t1: float) -> None:
    grid = power(t0, t1, 11, 7.0)
    assert (grid[0], grid[-1]) == (t0, t1)
    roots = [t ** (1 / 7) for t in grid]
    for a, b in pairwise(roots):
        assert b - a == pytest.approx((roots[-1] - roots[0]) / 11, rel=1e-9)


def test_power_lies_between_uniform_and_geometric() -> None:
    assert power(3.0, 0.5, 8, 1.0) == pytest.approx(uniform(3.0, 0.5, 8))
    assert power(3.0, 0.5, 8, 1e6) == pytest.approx(geometric(3.0, 0.5, 8), rel=1e-5)


@pytest.mark.parametrize("exponent", [0.0, -7.0, math.inf, math.nan])
def test_bad_exponents(exponent: float) -> None:
    with pytest.raises(ConfigurationError, match="exponent"):
        power(1.0, 2.0, 3, exponent)


@pytest.mark.parametrize("ends", [(-1.0, 1.0), (1.0, -1.0), (1.0, math.inf), (math.nan, 1.0), (2.0, 2.0)])
def test_bad_power_ends(ends: tuple[float, float]) -> None:
    with pytest.raises(ConfigurationError, match="time"):
        power(*ends, 3, 7.0)
