"""The path, the choice of the next temperature, courses stretched over others, and one move."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from phys_monte_carlo.annealing import Plan, spread_of
from phys_monte_carlo.path import Noise, Path, Reference, conditional_ess, move, next_temperature
from phys_samplers.density import FlatDensity
from phys_samplers.laws import GaussianMixture
from phys_samplers.randomness import make_generator
from phys_samplers.target import Target

FACTOR = torch.tensor([[1.5, 0.0], [-0.4, 0.7]], dtype=torch.float64)
MEAN = torch.tensor([0.3, -1.0], dtype=torch.float64)


def draws(*shape: int, label: str) -> Tensor:
    return torch.randn(shape, generator=make_generator(0, label), dtype=torch.float64)


def path(factor: Tensor = FACTOR) -> Path:
    law = GaussianMixture([[-1.0, 0.0], [1.5, 0.5]], [0.3, 0.8], [0.4, 0.6])
    return Path(FlatDensity(Target(event_shape=(2,), law=law)), Reference(MEAN, factor))


@pytest.mark.parametrize("factor", [FACTOR, FACTOR.diagonal()], ids=["dense", "diagonal"])
def test_tempered_density_joins_the_ends_and_its_gradient_is_right(factor: Tensor) -> None:
    way, u = path(factor), draws(7, 2, label="u")
    matrix = torch.diag(factor) if factor.ndim == 1 else factor
    z = MEAN + u @ matrix.T
    torch.testing.assert_close(way.place(u), z)
    reference = torch.distributions.MultivariateNormal(MEAN, scale_tril=matrix).log_prob(z)
    target, beta = way.density.log_prob(z), torch.tensor(0.3, dtype=torch.float64)
    particles = way.evaluate(u)
    value, gradient = way.tempered(particles, beta)
    # densities over u: both gain log|det F|
    log_det = matrix.diagonal().log().sum()
    torch.testing.assert_close(value, 0.7 * reference + 0.3 * target + log_det)
    torch.testing.assert_close(way.gain(particles), target - reference)
    torch.testing.assert_close(gradient, numerical(way, u, beta), rtol=1e-6, atol=1e-6)


def numerical(way: Path, u: Tensor, beta: Tensor) -> Tensor:
    step = 1e-5
    columns = []
    for axis in range(u.shape[1]):
        shift = torch.zeros_like(u)
        shift[:, axis] = step
        up, down = (way.tempered(way.evaluate(u + s), beta)[0] for s in (shift, -shift))
        columns.append((up - down) / (2 * step))
    return torch.stack(columns, 1)


@pytest.mark.parametrize("scale", [1e-3, 3.0, 1e6, 1e35])
def test_steps_keep_the_share_of_the_conditional_ess(scale: float) -> None:
    gain = scale * draws(500, label="gain")
    weights = draws(500, label="weights").softmax(0)
    beta = torch.tensor(0.2, dtype=torch.float64)
    for share in (0.5, 0.9, 0.99):
        chosen = next_temperature(weights, gain, beta, share=share)
        kept = conditional_ess(weights, gain, (chosen - beta).unsqueeze(0)).item()
        if scale == 1e-3:
            assert chosen == 1
            assert kept > share
        elif scale < 1e7:  # β itself is double: no step of 1e-35 can be seen beside 0.2
            assert kept == pytest.approx(share, abs=1e-3)
        start = next_temperature(weights, gain, torch.zeros_like(beta), share=share)
        kept = conditional_ess(weights, gain, start.unsqueeze(0)).item()
        assert (start == 1) if scale == 1e-3 else kept == pytest.approx(share, abs=1e-3)


def test_a_shift_of_the_log_density_changes_no_step_and_no_share() -> None:
    gain, beta = 3 * draws(500, label="gain"), torch.zeros((), dtype=torch.float64)
    weights = draws(500, label="weights").softmax(0)
    first, second = (next_temperature(weights, gain + shift, beta, share=0.9) for shift in (0.0, 1e4))
    torch.testing.assert_close(first, second, rtol=1e-6, atol=0)
    shares = conditional_ess(weights, gain, torch.linspace(0, 2, 30, dtype=torch.float64))
    assert shares[0].item() == pytest.approx(1)
    assert (shares.diff() < 0).all()


def test_particles_without_density_do_not_count() -> None:
    gain, beta = 3 * draws(500, label="gain"), torch.zeros((), dtype=torch.float64)
    weights = torch.full_like(gain, 1 / 500)
    alive = next_temperature(torch.full((400,), 1 / 400, dtype=torch.float64), gain[:400], beta, share=0.9)
    lost = torch.cat([gain[:400], torch.full((100,), -math.inf, dtype=torch.float64)])
    torch.testing.assert_close(next_temperature(weights, lost, beta, share=0.9), alive)


def test_a_course_is_stretched_linearly() -> None:
    plan = Plan(torch.tensor([0.1, 0.4, 1.0]), torch.tensor([0.0, -1.0, -3.0]), torch.tensor([[2.0], [1.0], [0.5]]))
    same = plan.stretched(3)
    for ours, theirs in zip(same, plan, strict=True):
        torch.testing.assert_close(ours, theirs)
    twice = plan.stretched(6)
    torch.testing.assert_close(twice.betas, torch.tensor([0.05, 0.1, 0.25, 0.4, 0.7, 1.0]))
    torch.testing.assert_close(twice.log_steps, torch.tensor([0.0, 0.0, -0.5, -1.0, -2.0, -3.0]))
    torch.testing.assert_close(plan.on(twice.betas).spreads, twice.spreads)
    assert plan.stretched(1).betas.tolist() == [1.0]
    assert plan.stretched(7).betas[-1] == 1


def test_spreads_are_weighted_moments() -> None:
    x, w = draws(4000, 2, label="x") @ FACTOR.T, draws(4000, label="w").softmax(0)
    covariance = torch.cov(x.T, aweights=w, correction=0)
    torch.testing.assert_close(spread_of(x, w, dense=False), covariance.diagonal().sqrt())
    factor = spread_of(x, w, dense=True)
    torch.testing.assert_close(factor @ factor.T, covariance, rtol=5e-3, atol=5e-3)


def test_a_move_without_test_weighs_by_the_kernels_that_it_used() -> None:
    """L = 1: log p_β(u') − log p_β(u) + log q(u|u') − log q(u'|u), with q(u'|u) = N(u + ½h² S Sᵀ ∇log p_β, h² S Sᵀ)."""
    way, u = path(), draws(50, 2, label="u")
    beta, h, spread = torch.tensor(0.6, dtype=torch.float64), torch.tensor(0.8, dtype=torch.float64), FACTOR.T @ FACTOR
    spread = torch.linalg.cholesky(spread)
    noise = Noise(draws(50, 2, label="noise"), torch.ones(50, dtype=torch.float64), torch.zeros(50))
    here = way.evaluate(u)
    moved = move(here, way, beta, step_size=h, steps=1, spread=spread, noise=noise, adjusted=False)
    there = moved.particles
    (log_here, score_here), (log_there, score_there) = way.tempered(here, beta), way.tempered(there, beta)
    metric = spread @ spread.T

    def log_q(to: Tensor, source: Tensor, score: Tensor) -> Tensor:
        mean = source + 0.5 * h**2 * score @ metric
        return torch.distributions.MultivariateNormal(mean, scale_tril=h * spread).log_prob(to)

    expected = log_there - log_here + log_q(u, there.u, score_there) - log_q(there.u, u, score_here)
    torch.testing.assert_close(moved.log_ratio, expected)
    torch.testing.assert_close(there.u, u + 0.5 * h**2 * score_here @ metric + h * noise.momentum @ spread.T)
    torch.testing.assert_close(there.log_target, way.evaluate(there.u).log_target)
    tested = move(here, way, beta, step_size=h, steps=1, spread=spread, noise=noise)
    assert torch.equal((tested.particles.u == u).all(1), expected <= 0)
