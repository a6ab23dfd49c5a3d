"""The Wiener process and its coarsening."""

from __future__ import annotations

import math

import pytest
import torch

from phys_samplers.errors import ConfigurationError
from phys_samplers.integrators import BrownianPath, WienerProcess, geometric, uniform
from phys_samplers.randomness import make_generator


@pytest.mark.parametrize("grid", [uniform(0.0, 2.0, 12), geometric(5.0, 0.1, 12)], ids=["uniform", "backward"])
def test_coarsening_is_exact(grid: tuple[float, ...]) -> None:
    """I₁₀ of a coarse interval is the integral of the piecewise path, summed here by its definition."""
    path = BrownianPath((3, 2), grid, make_generator(0, "path"))
    coarse = path.coarsen(4)
    assert coarse.grid == grid[::4]
    for k in range(3):
        w, area = torch.zeros(3, 2, dtype=torch.float64), torch.zeros(3, 2, dtype=torch.float64)
        for j in range(4 * k, 4 * k + 4):
            area += path.i10[j] + abs(grid[j + 1] - grid[j]) * w
            w += path.dw[j]
        torch.testing.assert_close(coarse.dw[k], w, rtol=0, atol=1e-13)
        torch.testing.assert_close(coarse.i10[k], area, rtol=0, atol=1e-13)
    twice = path.coarsen(2).coarsen(2)
    torch.testing.assert_close(twice.i10, coarse.i10, rtol=0, atol=1e-13)


@pytest.mark.parametrize("factor", [1, 8])
def test_covariance_of_the_integrals(factor: int) -> None:
    """Var ΔW = h, Cov = h²/2, Var I₁₀ = h³/3, on drawn and on coarsened intervals; 5 standard errors: 2e-6 a check."""
    n, h = 40_000, 0.3
    path = BrownianPath((n,), uniform(0.0, h, factor), make_generator(1, "cov")).coarsen(factor)
    dw, i10 = path.dw[0], path.i10[0]
    assert float((dw * dw).mean() / h) == pytest.approx(1.0, abs=5 * math.sqrt(2 / n))
    assert float((i10 * i10).mean() / (h**3 / 3)) == pytest.approx(1.0, abs=5 * math.sqrt(2 / n))
    # Var(dw i10) = h·h³/3 + (h²/2)²
    assert float((dw * i10).mean() / (h * h / 2)) == pytest.approx(1.0, abs=5 * math.sqrt((4 / 3 + 1) / n))


def test_fresh_increments_have_the_same_law_and_fair_signs() -> None:
    n, h = 40_000, 0.3
    process = WienerProcess(torch.empty(n, dtype=torch.float64), make_generator(2, "fresh"))
    process.advance(h)
    dw, i10, sign = process.dw, process.i10, process.sign
    assert process.dw is dw
    assert float((dw * dw).mean() / h) == pytest.approx(1.0, abs=5 * math.sqrt(2 / n))
    assert float((i10 * i10).mean() / (h**3 / 3)) == pytest.approx(1.0, abs=5 * math.sqrt(2 / n))
    assert float((dw * i10).mean() / (h * h / 2)) == pytest.approx(1.0, abs=5 * math.sqrt((4 / 3 + 1) / n))
    assert set(sign.tolist()) == {-1.0, 1.0}
    assert abs(float(sign.mean())) < 5 / math.sqrt(n)
    assert abs(float((sign * dw).mean())) < 5 * math.sqrt(h / n)


def test_buffers_are_reused() -> None:
    process = WienerProcess(torch.empty(8, 2), make_generator(3, "buffer"))
    process.advance(0.1)
    first, value = process.dw, process.dw.clone()
    process.advance(0.1)
    assert process.dw.data_ptr() == first.data_ptr()
    assert not torch.equal(process.dw, value)


@pytest.mark.parametrize("factor", [0, 5, 2.0, True])
def test_bad_factor_is_refused(factor: object) -> None:
    path = BrownianPath((1,), uniform(0.0, 1.0, 12), make_generator(0, "path"))
    with pytest.raises(ConfigurationError, match="divisor of the 12 intervals"):
        path.coarsen(factor)  # type: ignore[arg-type]
