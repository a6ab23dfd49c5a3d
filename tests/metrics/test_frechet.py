"""The Fréchet distance, against closed forms of two Gaussians."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from phys_samplers.errors import ConfigurationError
from phys_samplers.metrics.summaries import Frechet, squared_frechet
from phys_samplers.target import Target

Score = Callable[..., float]
Draw = Callable[..., Tensor]


def covariance(draw: Draw, dim: int, rank: int, *labels: str) -> Tensor:
    factor = draw(dim, rank, *labels)
    return factor @ factor.T


def with_moments(mean: Tensor, cov: Tensor, draw: Draw, n: int = 50) -> Tensor:
    """Rows whose sample mean and unbiased covariance are exactly these."""
    rows = draw(n, len(mean), "rows", int(mean.sum() * 1000))
    rows = rows - rows.mean(0)
    white = torch.linalg.solve_triangular(torch.linalg.cholesky(torch.cov(rows.T)), rows.T, upper=False).T
    return mean + white @ torch.linalg.cholesky(cov).T


def test_commuting_covariances(draw: Draw) -> None:
    # |m|² + Σ (√a − √b)² for the eigenvalues a, b in one basis
    basis = torch.linalg.qr(draw(4, 4, "basis")).Q
    a = torch.tensor([4.0, 1.0, 9.0, 0.25], dtype=torch.float64)
    b = torch.tensor([1.0, 16.0, 9.0, 4.0], dtype=torch.float64)
    shift = torch.tensor([1.0, -2.0, 0.0, 0.5], dtype=torch.float64)
    value = squared_frechet(shift, (basis * a) @ basis.T, torch.zeros_like(shift), (basis * b) @ basis.T)
    assert float(value) == pytest.approx(5.25 + 1.0 + 9.0 + 0.0 + 2.25)


def test_two_dimensions_in_closed_form(draw: Draw) -> None:
    # tr (S₁S₂)^½ of 2 × 2 matrices is √(tr S₁S₂ + 2 √(det S₁ det S₂)), by Cayley and Hamilton.
    first, second = covariance(draw, 2, 3, "a"), covariance(draw, 2, 3, "b")
    zero = torch.zeros(2, dtype=torch.float64)
    cross = ((first @ second).trace() + 2 * (first.det() * second.det()).sqrt()).sqrt()
    expected = float(first.trace() + second.trace() - 2 * cross)
    assert expected > 0.1
    assert float(squared_frechet(zero, first, zero, second)) == pytest.approx(expected, rel=1e-10)


def test_symmetric_and_zero_on_equal_moments(draw: Draw) -> None:
    first, second = covariance(draw, 6, 9, "a"), covariance(draw, 6, 9, "b")
    means = draw(2, 6, "means")
    there = squared_frechet(means[0], first, means[1], second)
    back = squared_frechet(means[1], second, means[0], first)
    assert float(there) == pytest.approx(float(back), rel=1e-10)
    assert float(squared_frechet(means[0], first, means[0], first)) == pytest.approx(0.0, abs=1e-12)


def test_a_map_between_the_gaussians_costs_no_less(draw: Draw) -> None:
    """It is the least mean square of all couplings: any linear map from one to the other costs at least as much."""
    first, second = covariance(draw, 3, 5, "a"), covariance(draw, 3, 5, "b")
    zero = torch.zeros(3, dtype=torch.float64)
    least = float(squared_frechet(zero, first, zero, second))
    costs = []
    for r in range(20):
        turn = torch.linalg.qr(draw(3, 3, "turn", r)).Q
        move = torch.linalg.cholesky(second) @ turn @ torch.linalg.inv(torch.linalg.cholesky(first))
        difference = move - torch.eye(3, dtype=torch.float64)
        costs.append(float((difference @ first @ difference.T).trace()))
    assert least < min(costs)
    # the optimal map S₁^-½ (S₁^½ S₂ S₁^½)^½ S₁^-½ attains it
    values, vectors = torch.linalg.eigh(first)
    root, inverse = (vectors * values.sqrt()) @ vectors.T, (vectors * values.rsqrt()) @ vectors.T
    values, vectors = torch.linalg.eigh(root @ second @ root)
    best = inverse @ (vectors * values.sqrt()) @ vectors.T @ inverse - torch.eye(3, dtype=torch.float64)
    assert float((best @ first @ best.T).trace()) == pytest.approx(least, rel=1e-9)


def test_singular_covariances(draw: Draw) -> None:
    zero = torch.zeros(5, dtype=torch.float64)
    nothing = torch.zeros(5, 5, dtype=torch.float64)
    flat = covariance(draw, 5, 2, "flat")
    assert float(squared_frechet(zero, flat, zero, nothing)) == pytest.approx(float(flat.trace()))
    assert float(squared_frechet(zero, nothing, zero + 1.0, nothing)) == pytest.approx(5.0)
    assert float(squared_frechet(zero, flat, zero, flat)) == pytest.approx(0.0, abs=1e-6)
    # on orthogonal planes nothing is shared
    one, other = (
        torch.diag(torch.tensor([2.0, 3.0, 0.0, 0.0, 0.0])),
        torch.diag(torch.tensor([0.0, 0.0, 1.0, 4.0, 0.0])),
    )
    assert float(squared_frechet(zero, one.double(), zero, other.double())) == pytest.approx(10.0)


def test_metric_takes_the_unbiased_moments_of_the_rows(score: Score, draw: Draw) -> None:
    first, second = covariance(draw, 2, 4, "a"), covariance(draw, 2, 4, "b")
    means = draw(2, 2, "means")
    x, y = with_moments(means[0], first, draw), with_moments(means[1], second, draw)
    expected = float(squared_frechet(means[0], first, means[1], second))
    assert score(Frechet(), x, y) == pytest.approx(expected, rel=1e-8)
    assert score(Frechet(), x, x) == pytest.approx(0.0, abs=1e-10)


def test_one_coordinate(score: Score) -> None:
    # means 1 and 4, unbiased variances 2 and 8: 9 + (√8 − √2)² = 11
    x, y = torch.tensor([[0.0], [2.0]]), torch.tensor([[2.0], [6.0]])
    assert score(Frechet(), x, y) == pytest.approx(11.0)


def test_features_stand_for_the_coordinates(score: Score, target: Target, draw: Draw) -> None:
    x, y = draw(60, 2, "x"), draw(40, 2, "y") + 1.0

    def features(rows: Tensor) -> Tensor:
        return torch.stack([rows[:, 0] ** 2, rows.sum(1), rows[:, 1]], 1)

    seen = dataclasses.replace(target, features=features)
    plain = score(Frechet(), features(x), features(y))
    assert score(Frechet(), x, y, target=seen) == pytest.approx(plain, rel=1e-12)
    assert plain != pytest.approx(score(Frechet(), x, y), rel=0.01)
    assert seen.to("cpu").features is features


@pytest.mark.parametrize("bad", [lambda rows: rows[:, 0], lambda rows: rows[:5], lambda rows: rows / 0.0])
def test_features_that_are_no_rows(bad: Callable[[Tensor], Tensor], score: Score, target: Target, draw: Draw) -> None:
    broken = dataclasses.replace(target, features=bad)
    with pytest.raises(ConfigurationError, match=r"features of target 'two'.*expected finite numbers \(n, F\)"):
        score(Frechet(), draw(60, 2, "x"), draw(40, 2, "y"), target=broken)


def test_one_row_has_no_covariance(score: Score, draw: Draw) -> None:
    with pytest.raises(ConfigurationError, match=r"frechet: samples .* at least 2"):
        score(Frechet(), draw(1, 2, "x"), draw(5, 2, "y"))


def test_images_are_flattened(target: Target, score: Score, draw: Draw) -> None:
    x, y = draw(30, 12, "x"), draw(30, 12, "y")
    image = score(Frechet(), x.unflatten(1, (1, 3, 4)), y.unflatten(1, (1, 3, 4)))
    assert image == pytest.approx(score(Frechet(), x, y), rel=1e-12)
