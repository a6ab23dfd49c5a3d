"""Many wells: score, log Z, exact draws and the count of right-hand wells, against scipy's quadrature."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from phys_samplers.laws import ManyWell
from phys_samplers.randomness import make_generator

N = 20_000


def weight(x: float) -> float:
    return math.exp(-(x**4) + 6.0 * x**2 + 0.5 * x)


def integral(low: float, high: float) -> float:
    return integrate.quad(weight, low, high, limit=200, epsabs=0.0, epsrel=1e-12)[0]


@pytest.fixture(scope="module")
def draws() -> torch.Tensor:
    return ManyWell().sample(N, make_generator(0, "draws"))


def test_normalising_constant_and_weight_of_the_right_wells() -> None:
    left, right = integral(-6.0, 0.0), integral(0.0, 6.0)
    law = ManyWell()
    assert left + right == pytest.approx(11784.509, abs=1e-3)
    assert law.log_z == pytest.approx(16.0 * (math.log(left + right) + 0.5 * math.log(2.0 * math.pi)), abs=1e-9)
    assert law.right == pytest.approx(right / (left + right), abs=1e-12)
    assert ManyWell(2).log_z == pytest.approx(law.log_z / 8.0)


def test_score_is_the_gradient_of_log_prob() -> None:
    law = ManyWell()
    x = (2.0 * torch.randn(100, 32, generator=make_generator(0, "points"), dtype=torch.float64)).requires_grad_()
    value = law.log_prob(x)
    assert float(value[0].detach()) == pytest.approx(
        sum(math.log(weight(a)) - 0.5 * b**2 for a, b in x[0].detach().unflatten(0, (16, 2)).tolist())
    )
    (expected,) = torch.autograd.grad(value.sum(), x)
    assert torch.allclose(law.score(x.detach()), expected, rtol=1e-9, atol=1e-9)


def test_wells_and_normal_coordinates(draws: torch.Tensor) -> None:
    """KS on both kinds of coordinates, four of each; false alarm rate 1e-5 each."""
    grid = np.linspace(-4.0, 4.0, 4001)
    mass = integrate.cumulative_trapezoid([weight(x) for x in grid], grid, initial=0.0)
    for k in range(4):
        well, normal = draws[:, 2 * k].numpy(), draws[:, 2 * k + 1].numpy()
        assert stats.kstest(well, lambda x: np.interp(x, grid, mass / mass[-1])).pvalue > 1e-5
        assert stats.kstest(normal, stats.norm.cdf).pvalue > 1e-5


def test_the_count_of_right_wells_is_binomial(draws: torch.Tensor) -> None:
    """χ² over counts of 9 to 16, smaller ones together; false alarm rate 1e-5. Dependent wells would spread it."""
    law = ManyWell()
    expected = N * stats.binom(16, law.right).pmf(np.arange(17))
    found = torch.bincount(law.rights(draws), minlength=17).numpy()
    merged = [np.concatenate([[counts[:9].sum()], counts[9:]]) for counts in (found, expected)]
    assert merged[1].min() > 20
    assert stats.chisquare(*merged).pvalue > 1e-5


def test_mean_energy(draws: torch.Tensor) -> None:
    """E[−log p] from quadrature; false alarm rate 7e-6."""
    law = ManyWell()
    moment = integrate.quad(lambda x: (x**4 - 6.0 * x**2 - 0.5 * x) * weight(x), -6.0, 6.0, limit=200)[0]
    expected = 16.0 * (moment / integral(-6.0, 6.0) + 0.5)
    energy = -law.log_prob(draws.double())
    assert abs(float(energy.mean()) - expected) < 4.5 * float(energy.std()) / math.sqrt(N)
