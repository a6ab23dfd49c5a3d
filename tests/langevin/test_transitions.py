"""The kernels by themselves: exact properties, no statistics where none is needed."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from phys_langevin import baoab
from phys_samplers.chains import mala
from phys_samplers.chains.warmup import DualAveraging
from phys_samplers.laws import GaussianMixture
from phys_samplers.randomness import make_generator


def mixture(x: Tensor) -> tuple[Tensor, Tensor]:
    law = GaussianMixture([[-1.0, 0.0], [1.5, 0.5]], [0.3, 0.8], [0.4, 0.6])
    return law.log_prob(x), law.score(x)


def draws(*shape: int, label: str) -> Tensor:
    return torch.randn(shape, generator=make_generator(0, label), dtype=torch.float64)


def always(n: int) -> Tensor:
    return torch.full((n,), -math.inf, dtype=torch.float64)


def log_normal(x: Tensor, mean: Tensor, variance: float) -> Tensor:
    return -0.5 * (x - mean).square().sum(1) / variance


def test_mala_is_in_detailed_balance() -> None:
    """π(x) q(x'|x) α(x, x') = π(x') q(x|x') α(x', x), with q written out as the Gaussian that it is."""
    h = 0.4
    x, z = 1.5 * draws(500, 2, label="x"), draws(500, 2, label="z")
    here = mala.init(x, mixture)
    there, forwards = mala.step(here, mixture, step_size=h, noise=z, log_uniform=always(500))
    back = (x - there.x - h * there.score) / math.sqrt(2 * h)
    again, backwards = mala.step(there, mixture, step_size=h, noise=back, log_uniform=always(500))
    torch.testing.assert_close(again.x, x)
    flow = here.log_prob + log_normal(there.x, x + h * here.score, 2 * h) + forwards.acceptance.log()
    counterflow = there.log_prob + log_normal(x, there.x + h * there.score, 2 * h) + backwards.acceptance.log()
    torch.testing.assert_close(flow, counterflow, rtol=0, atol=1e-9)
    assert forwards.acceptance.min() < 0.7  # else the test would not see a wrong α
    assert (torch.maximum(forwards.acceptance, backwards.acceptance) == 1).all()


def test_mala_rejects_less_and_less_as_the_step_shrinks() -> None:
    """1 − α is of order h^{3/2}: four times smaller steps, about eight times fewer rejections."""
    x, z = draws(2000, 2, label="x"), draws(2000, 2, label="z")
    state = mala.init(x, mixture)
    rejected = [
        1 - mala.step(state, mixture, step_size=h, noise=z, log_uniform=always(2000))[1].acceptance.mean().item()
        for h in (0.04, 0.01, 0.0025)
    ]
    assert rejected[-1] < 2e-3
    for coarse, fine in pairwise(rejected):
        assert 6 < coarse / fine < 10


def test_mala_keeps_what_it_knows_and_leaves_its_input_alone() -> None:
    x, z = draws(300, 2, label="x"), draws(300, 2, label="z")
    calls = []

    def counted(x: Tensor) -> tuple[Tensor, Tensor]:
        calls.append(len(x))
        return mixture(x)

    state = mala.init(x, counted)
    before = [part.clone() for part in state]
    log_u = torch.rand(300, generator=make_generator(0, "u"), dtype=torch.float64).log()
    after, info = mala.step(state, counted, step_size=1.0, noise=z, log_uniform=log_u)
    assert calls == [300, 300]
    assert 0 < info.accepted.sum() < 300
    torch.testing.assert_close(after.x[~info.accepted], x[~info.accepted], rtol=0, atol=0)
    assert (after.x[info.accepted] != x[info.accepted]).all()
    for part, fresh in zip(after[1:], mixture(after.x), strict=True):
        torch.testing.assert_close(part, fresh)
    for part, old in zip(state, before, strict=True):
        assert torch.equal(part, old)


def test_scales_are_those_of_other_coordinates() -> None:
    x, z, scale = draws(400, 2, label="x"), draws(400, 2, label="z"), torch.tensor([0.3, 2.5], dtype=torch.float64)
    log_u = torch.rand(400, generator=make_generator(0, "u"), dtype=torch.float64).log()

    def scaled(u: Tensor) -> tuple[Tensor, Tensor]:
        log_prob, score = mixture(scale * u)
        return log_prob, scale * score

    options: dict[str, Any] = {"step_size": 0.4, "noise": z, "log_uniform": log_u}
    here, info = mala.step(mala.init(x, mixture), mixture, **options, scale=scale)
    there, same = mala.step(mala.init(x / scale, scaled), scaled, **options)
    torch.testing.assert_close(here.x, scale * there.x)
    torch.testing.assert_close(info.acceptance, same.acceptance)
    assert torch.equal(info.accepted, same.accepted)


def test_mala_refuses_zero_density_and_nonsense_but_escapes_from_it() -> None:
    def half_line(x: Tensor) -> tuple[Tensor, Tensor]:
        inside = x[:, 0] > 0
        nonsense = torch.where(x < -5, math.nan, -torch.ones_like(x))
        return torch.where(inside, -x[:, 0], -math.inf), nonsense

    x = torch.tensor([[0.5], [0.5], [-0.5]], dtype=torch.float64)
    z = torch.tensor([[-2.0], [-90.0], [4.0]], dtype=torch.float64)
    state = mala.init(x, half_line)
    after, info = mala.step(state, half_line, step_size=0.1, noise=z, log_uniform=always(3) / 2)
    assert info.accepted.tolist() == [False, False, True]
    assert info.acceptance.tolist() == [0.0, 0.0, 1.0]
    assert after.x[:2].tolist() == [[0.5], [0.5]]
    assert after.log_prob.isfinite().all()


def harmonic_covariance(h: float, friction: float, mass: float, stiffness: float) -> Tensor:
    """Stationary covariance of (x, p), from the affine map that the kernel is on a linear force."""

    def apply(x: float, p: float, z: float) -> Tensor:
        def force(y: Tensor) -> Tensor:
            return -stiffness * y

        one = torch.ones(1, 1, dtype=torch.float64)
        state = baoab.BAOABState(x * one, p * one, force(x * one))
        state, _ = baoab.step(state, force, step_size=h, friction=friction, mass=mass, noise=z * one)
        return torch.cat([state.x[0], state.momentum[0]])

    matrix = torch.stack([apply(1, 0, 0), apply(0, 1, 0)], 1)
    kick = apply(0, 0, 1).unsqueeze(1)
    assert torch.linalg.eigvals(matrix).abs().max() < 1
    # Σ = AΣAᵀ + BBᵀ, solved as a linear system
    system = torch.eye(4, dtype=torch.float64) - torch.kron(matrix, matrix)
    return torch.linalg.solve(system, (kick @ kick.T).flatten()).unflatten(0, (2, 2))


@pytest.mark.parametrize("h", [0.1, 1.0, 1.9])
@pytest.mark.parametrize(("friction", "mass", "stiffness"), [(1.0, 1.0, 1.0), (0.2, 3.0, 2.0), (20.0, 1.0, 0.5)])
def test_baoab_positions_are_exact_in_a_harmonic_well(h: float, friction: float, mass: float, stiffness: float) -> None:
    """Leimkuhler & Matthews 2013: variance 1/k for every stable h; only momenta are wrong, m(1 − h²k/(4m))."""
    h *= math.sqrt(mass / stiffness)
    covariance = harmonic_covariance(h, friction, mass, stiffness)
    expected = torch.diag(torch.tensor([1 / stiffness, mass - h**2 * stiffness / 4], dtype=torch.float64))
    torch.testing.assert_close(covariance, expected, rtol=1e-9, atol=1e-9)


def test_baoab_without_friction_is_reversible_and_of_second_order() -> None:
    """Velocity Verlet: the energy error over a fixed time falls fourfold with the step, and time can be turned back."""

    def score(x: Tensor) -> Tensor:
        return -x - x**3

    def energy(state: baoab.BAOABState) -> Tensor:
        return (state.momentum.square() / 2 + state.x.square() / 2 + state.x**4 / 4).sum(1)

    x, z = draws(50, 1, label="x"), draws(50, 1, label="z")
    start = baoab.init(x, score, mass=1.0, noise=z)
    errors = []
    for steps in (20, 40, 80):
        state = start
        for _ in range(steps):
            state, _ = baoab.step(
                state, score, step_size=1.0 / steps, friction=0.0, mass=1.0, noise=torch.full_like(x, 7.0)
            )
        errors.append((energy(state) - energy(start)).abs().mean().item())
        state = state._replace(momentum=-state.momentum)
        for _ in range(steps):
            state, _ = baoab.step(state, score, step_size=1.0 / steps, friction=0.0, mass=1.0, noise=x)
        torch.testing.assert_close(state.x, x)
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.1)
    assert errors[1] / errors[2] == pytest.approx(4, rel=0.1)


def test_dual_averaging_finds_the_step_of_the_wanted_acceptance() -> None:
    """On a noise-free acceptance curve a(h) = e^{−h}, started three decades too high or too low."""
    goal = 0.574
    for first in (1e-3, 300.0):
        state = DualAveraging.init(first, like=torch.zeros((), dtype=torch.float64))
        for _ in range(200):
            state = state.update(torch.exp(-state.log_step.exp()), goal=goal)
        assert torch.exp(-state.log_average.exp()).item() == pytest.approx(goal, abs=0.03)
