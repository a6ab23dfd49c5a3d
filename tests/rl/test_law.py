"""Laws as weighted points against closed forms: Gaussians, and atoms counted by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from phys_samplers.randomness import make_generator
from phys_samplers.rl.law import ReturnLaw

LEVELS = torch.tensor([0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99], dtype=torch.float64)
GRID = torch.linspace(-2.0, 3.0, 41, dtype=torch.float64)


def gaussians() -> ReturnLaw:
    """Two Gaussians, N(0.2, 0.1²) and N(0.7, 0.1²), and mixtures of them: weights (2, 3, 2)."""
    points = torch.tensor([0.2, 0.7], dtype=torch.float64)
    share = torch.tensor([[1.0, 0.0, 0.25], [0.5, 0.75, 0.9]], dtype=torch.float64)
    return ReturnLaw(points, torch.stack((share, 1 - share), -1), 0.1)


def phi(x: Tensor) -> Tensor:
    return torch.exp(-0.5 * x**2) / math.sqrt(2 * math.pi)


def big_phi(x: Tensor) -> Tensor:
    return 0.5 * (1 + torch.erf(x / math.sqrt(2)))


def test_gaussian_law_has_the_closed_forms() -> None:
    law = gaussians()
    low, high = (GRID - 0.2) / 0.1, (GRID - 0.7) / 0.1
    share = law.weights[..., :1]
    assert torch.allclose(law.total, torch.ones(2, 3, dtype=torch.float64))
    assert torch.allclose(law.mean, 0.2 * share[..., 0] + 0.7 * (1 - share[..., 0]))
    assert torch.allclose(law.cdf(GRID), share * big_phi(low) + (1 - share) * big_phi(high), atol=1e-12)
    assert torch.allclose(law.density(GRID), (share * phi(low) + (1 - share) * phi(high)) / 0.1, atol=1e-12)
    slope = -(share * low * phi(low) + (1 - share) * high * phi(high)) / 0.01
    assert torch.allclose(law.density_gradient(GRID), slope, atol=1e-10)


def test_further_blur_adds_variances() -> None:
    law = gaussians()
    wider = ReturnLaw(law.points, law.weights, math.hypot(0.1, 0.3))
    assert torch.allclose(law.density(GRID, 0.3), wider.density(GRID))
    assert torch.allclose(law.density_gradient(GRID, 0.3), wider.density_gradient(GRID))
    atoms = ReturnLaw(law.points, law.weights)
    assert torch.allclose(atoms.density(GRID, 0.1), law.density(GRID))
    with pytest.raises(ValueError, match="atoms, which have no density; expected a positive bandwidth"):
        atoms.density(GRID)


def test_density_gradient_is_the_derivative() -> None:
    law = gaussians()
    x = GRID.clone().requires_grad_()
    (slope,) = torch.autograd.grad(law.density(x)[0, 2].sum(), x)
    assert torch.allclose(slope, law.density_gradient(GRID)[0, 2])


@pytest.mark.parametrize("bandwidth", [0.1, 0.01, 0.001])
def test_quantiles_of_a_gaussian(bandwidth: float) -> None:
    """By a table whose step is a sixtieth of the bandwidth, where there is one Gaussian."""
    law = ReturnLaw(torch.tensor([0.4], dtype=torch.float64), torch.ones(3, 1, dtype=torch.float64), bandwidth)
    exact = 0.4 + bandwidth * math.sqrt(2) * torch.erfinv(2 * LEVELS - 1)
    assert torch.allclose(law.quantiles(LEVELS), exact.expand(3, -1), atol=2e-3 * bandwidth)


def test_quantiles_invert_the_distribution_function() -> None:
    law = gaussians()
    x = law.quantiles(LEVELS)
    for row in range(2):
        for column in range(3):
            one = ReturnLaw(law.points, law.weights[row, column], 0.1)
            assert torch.allclose(one.cdf(x[row, column]), LEVELS, atol=2e-4)


def test_lower_tail_of_a_gaussian() -> None:
    """E[X | X ≤ q_α] = μ − h φ(Φ⁻¹(α))/α."""
    law = ReturnLaw(torch.tensor([0.4], dtype=torch.float64), torch.ones(1, dtype=torch.float64), 0.1)
    for share in (0.1, 0.25, 0.5):
        edge = math.sqrt(2) * torch.erfinv(torch.tensor(2 * share - 1, dtype=torch.float64))
        assert law.lower_tail(share, levels=512).item() == pytest.approx(0.4 - 0.1 * phi(edge).item() / share, abs=3e-4)
    assert law.lower_tail(1.0) == law.mean


def test_atoms_by_hand() -> None:
    """In any order, of unequal weight; F⁻¹(u) is the least x with F(x) ≥ u."""
    law = ReturnLaw(torch.tensor([0.8, 0.0, 0.5]), torch.tensor([0.5, 0.25, 0.25]))
    x = torch.tensor([-0.1, 0.0, 0.4, 0.5, 0.7, 0.8, 2.0])
    assert law.cdf(x).tolist() == [0.0, 0.25, 0.25, 0.5, 0.5, 1.0, 1.0]
    levels = torch.tensor([0.01, 0.25, 0.26, 0.5, 0.51, 0.99, 1.0])
    assert torch.allclose(law.quantiles(levels), torch.tensor([0.0, 0.0, 0.5, 0.5, 0.8, 0.8, 0.8]))
    assert law.mean.item() == pytest.approx(0.525)
    # the worst half: 0 and ½ alike
    assert law.lower_tail(0.5).item() == pytest.approx(0.25)
    assert law.lower_tail(0.25).item() == pytest.approx(0.0)


def test_draws_of_atoms_have_their_frequencies() -> None:
    """Stratified draws: each atom as often as it weighs."""
    law = ReturnLaw(torch.tensor([1.0, 3.0]), torch.tensor([[0.25, 0.75], [0.5, 0.5]]))
    uniforms = ((torch.arange(400) + 0.5) / 400).expand(2, -1)
    drawn = law.sample(uniforms)
    assert drawn.shape == (2, 400)
    assert (drawn == 1.0).sum(-1).tolist() == [100, 200]


def test_draws_of_gaussians_have_their_moments() -> None:
    uniforms = ((torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000).expand(2, 3, -1)
    law = gaussians()
    drawn = law.sample(uniforms)
    assert torch.allclose(drawn.mean(-1), law.mean, atol=1e-4)
    share = law.weights[..., 0]
    assert torch.allclose(drawn.var(-1), 0.01 + share * (1 - share) * 0.25, atol=1e-4)


def test_weights_that_do_not_sum_to_one_are_divided_by_their_sum() -> None:
    law = gaussians()
    scaled = ReturnLaw(law.points, 3 * law.weights, law.bandwidth)
    assert torch.allclose(scaled.total, torch.full((2, 3), 3.0, dtype=torch.float64))
    for name in ("cdf", "density", "density_gradient", "quantiles"):
        given = LEVELS if name == "quantiles" else GRID
        assert torch.allclose(getattr(scaled, name)(given), getattr(law, name)(given)), name
    assert torch.allclose(scaled.mean, law.mean)


def test_signed_weights_have_the_quantiles_of_the_running_maximum() -> None:
    """F is 0.6, then 0.4, then 1: a level of ½ is first reached at the first point."""
    law = ReturnLaw(torch.tensor([0.0, 0.5, 1.0]), torch.tensor([0.6, -0.2, 0.6]))
    assert law.quantiles(torch.tensor([0.1, 0.5, 0.6, 0.61, 0.9])).tolist() == [0.0, 0.0, 0.0, 1.0, 1.0]
    assert torch.allclose(law.cdf(torch.tensor([0.0, 0.5, 1.0])), torch.tensor([0.6, 0.4, 1.0]))


def test_moved_laws_are_laws_of_moved_returns() -> None:
    law = gaussians()
    moved = law.moved(20.0, -5.0)
    assert torch.allclose(moved.mean, 20 * law.mean - 5)
    assert torch.allclose(moved.cdf(20 * GRID - 5), law.cdf(GRID))
    assert torch.allclose(moved.density(20 * GRID - 5), law.density(GRID) / 20)
    assert torch.allclose(moved.quantiles(LEVELS), 20 * law.quantiles(LEVELS) - 5)
    mirrored = law.moved(-2.0, 1.0)
    assert torch.allclose(mirrored.cdf(1 - 2 * GRID), 1 - law.cdf(GRID))
    assert torch.allclose(mirrored.density(1 - 2 * GRID), law.density(GRID) / 2)


@pytest.mark.parametrize("shared", [True, False], ids=["shared points", "points of their own"])
def test_chosen_laws_are_those_of_the_actions(shared: bool) -> None:
    generator = make_generator(0, "laws")
    weights = torch.rand(2, 4, 3, 5, generator=generator)
    points = torch.rand(5, generator=generator) if shared else torch.rand(2, 4, 3, 5, generator=generator)
    law = ReturnLaw(points, weights)
    action = torch.tensor([[0, 1, 2, 1], [2, 2, 0, 1]])
    chosen = law.chosen(action)
    assert chosen.weights.shape == (2, 4, 5)
    for r in range(2):
        for b in range(4):
            assert torch.equal(chosen.mean[r, b], law.mean[r, b, action[r, b]])
