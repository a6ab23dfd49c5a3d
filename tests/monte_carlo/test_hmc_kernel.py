"""The Hamiltonian kernel by itself: exact properties in double precision."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from phys_monte_carlo import hmc
from phys_samplers.chains import mala
from phys_samplers.laws import GaussianMixture
from phys_samplers.randomness import make_generator

INVERSE_MASS = torch.tensor([0.5, 2.0], dtype=torch.float64)


def mixture(x: Tensor) -> tuple[Tensor, Tensor]:
    law = GaussianMixture([[-1.0, 0.0], [1.5, 0.5]], [0.3, 0.8], [0.4, 0.6])
    return law.log_prob(x), law.score(x)


def draws(*shape: int, label: str) -> Tensor:
    return torch.randn(shape, generator=make_generator(0, label), dtype=torch.float64)


def always(n: int) -> Tensor:
    return torch.full((n,), -math.inf, dtype=torch.float64)


def energy(state: hmc.HMCState, momentum: Tensor) -> Tensor:
    return -state.log_prob + 0.5 * (INVERSE_MASS * momentum.square()).sum(1)


def test_leapfrog_runs_backwards() -> None:
    x, p = draws(200, 2, label="x"), draws(200, 2, label="p")
    start = hmc.init(x, mixture)
    there, end = hmc.leapfrog(start, p, mixture, step_size=0.3, steps=7, inverse_mass=INVERSE_MASS)
    assert (there.x - x).abs().mean() > 0.5
    again, back = hmc.leapfrog(there, -end, mixture, step_size=0.3, steps=7, inverse_mass=INVERSE_MASS)
    torch.testing.assert_close(again.x, x, rtol=0, atol=1e-10)
    torch.testing.assert_close(back, -p, rtol=0, atol=1e-10)


def test_leapfrog_keeps_volume_and_the_symplectic_form() -> None:
    """JᵀΩJ = Ω for the Jacobian J of the map, which implies det J = 1; an explicit Euler step fails by far."""

    def euler(state: Tensor) -> Tensor:
        x, p = state.unsqueeze(0).split(2, 1)
        return torch.cat([x + 0.3 * INVERSE_MASS * p, p + 0.3 * mixture(x)[1]], 1).squeeze(0)

    def flow(state: Tensor) -> Tensor:
        x, p = state.unsqueeze(0).split(2, 1)
        there, end = hmc.leapfrog(hmc.init(x, mixture), p, mixture, step_size=0.3, steps=5, inverse_mass=INVERSE_MASS)
        return torch.cat([there.x, end], 1).squeeze(0)

    omega = torch.kron(torch.tensor([[0.0, 1.0], [-1.0, 0.0]]), torch.eye(2)).double()
    for point in draws(20, 4, label="point"):
        jacobian = torch.autograd.functional.jacobian(flow, point)
        torch.testing.assert_close(jacobian.T @ omega @ jacobian, omega, rtol=0, atol=1e-10)
        assert torch.linalg.det(jacobian).item() == pytest.approx(1, abs=1e-10)
        assert abs(torch.linalg.det(torch.autograd.functional.jacobian(euler, point)).item() - 1) > 1e-3


def test_the_energy_error_is_of_second_order() -> None:
    x, p = draws(200, 2, label="x"), draws(200, 2, label="p")
    start = hmc.init(x, mixture)
    errors = []
    for steps in (20, 40, 80):
        there, end = hmc.leapfrog(start, p, mixture, step_size=2.0 / steps, steps=steps, inverse_mass=INVERSE_MASS)
        errors.append((energy(there, end) - energy(start, p)).abs().mean().item())
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.1)
    assert errors[1] / errors[2] == pytest.approx(4, rel=0.05)


def test_hmc_is_in_detailed_balance() -> None:
    """e^{−H(x, p)} α(x, p) = e^{−H(x', −p')} α(x', −p'), and the way back leads to the start."""
    x, z = 1.5 * draws(500, 2, label="x"), draws(500, 2, label="z")
    h = 0.3 + 0.4 * torch.rand(500, generator=make_generator(0, "h"), dtype=torch.float64)
    options = {"step_size": h, "steps": 3, "inverse_mass": INVERSE_MASS, "log_uniform": always(500)}
    here = hmc.init(x, mixture)
    there, forwards = hmc.step(here, mixture, noise=z, **options)
    p = z * INVERSE_MASS**-0.5
    _, end = hmc.leapfrog(here, p, mixture, step_size=h, steps=3, inverse_mass=INVERSE_MASS)
    again, backwards = hmc.step(there, mixture, noise=-end * INVERSE_MASS**0.5, **options)
    torch.testing.assert_close(again.x, x, rtol=0, atol=1e-10)
    flow = -energy(here, p) + forwards.acceptance.log()
    counterflow = -energy(there, end) + backwards.acceptance.log()
    torch.testing.assert_close(flow, counterflow, rtol=0, atol=1e-10)
    assert forwards.acceptance.min() < 0.7  # else the test would not see a wrong α
    assert (torch.maximum(forwards.acceptance, backwards.acceptance) == 1).all()


def test_one_leapfrog_step_is_a_mala_step() -> None:
    x, z, h = draws(300, 2, label="x"), draws(300, 2, label="z"), 0.7
    log_u = torch.rand(300, generator=make_generator(0, "u"), dtype=torch.float64).log()
    one, first = hmc.step(hmc.init(x, mixture), mixture, step_size=h, steps=1, noise=z, log_uniform=log_u)
    two, second = mala.step(mala.init(x, mixture), mixture, step_size=h**2 / 2, noise=z, log_uniform=log_u)
    torch.testing.assert_close(one.x, two.x)
    torch.testing.assert_close(first.acceptance, second.acceptance)


def test_each_chain_may_have_a_step_size_and_masses_of_its_own() -> None:
    x, z = draws(2, 2, label="x"), draws(2, 2, label="z")
    h, masses = torch.tensor([0.2, 0.6], dtype=torch.float64), torch.stack([INVERSE_MASS, 1 / INVERSE_MASS])
    both, _ = hmc.step(
        hmc.init(x, mixture), mixture, step_size=h, steps=3, noise=z, log_uniform=always(2), inverse_mass=masses
    )
    for k in range(2):
        alone, _ = hmc.step(
            hmc.init(x[k : k + 1], mixture),
            mixture,
            step_size=h[k],
            steps=3,
            noise=z[k : k + 1],
            log_uniform=always(1),
            inverse_mass=masses[k],
        )
        torch.testing.assert_close(both.x[k : k + 1], alone.x)


def test_it_asks_once_a_step_keeps_what_it_knows_and_leaves_its_input_alone() -> None:
    x, z = draws(300, 2, label="x"), draws(300, 2, label="z")
    calls = []

    def counted(x: Tensor) -> tuple[Tensor, Tensor]:
        calls.append(len(x))
        return mixture(x)

    state = hmc.init(x, counted)
    before = [part.clone() for part in state]
    log_u = torch.rand(300, generator=make_generator(0, "u"), dtype=torch.float64).log()
    after, info = hmc.step(state, counted, step_size=0.9, steps=4, noise=z, log_uniform=log_u)
    assert calls == [300] * 5
    assert 0 < info.accepted.sum() < 300
    assert torch.equal(after.x[~info.accepted], x[~info.accepted])
    assert (after.x[info.accepted] != x[info.accepted]).all()
    for part, fresh in zip(after[1:], mixture(after.x), strict=True):
        torch.testing.assert_close(part, fresh)
    for part, old in zip(state, before, strict=True):
        assert torch.equal(part, old)


def test_a_diverging_trajectory_is_noted_refused_and_never_asked_about_at_nan() -> None:
    def quartic(x: Tensor) -> tuple[Tensor, Tensor]:
        assert not x.isnan().any()
        return -x.pow(4).sum(1), -4 * x**3

    x, z = draws(50, 2, label="x"), draws(50, 2, label="z")
    state = hmc.init(x, quartic)
    after, info = hmc.step(state, quartic, step_size=3.0, steps=30, noise=z, log_uniform=always(50))
    assert info.diverged.all()
    assert not info.accepted.any()
    assert (info.acceptance == 0).all()
    assert torch.equal(after.x, x)
    calm = hmc.step(state, quartic, step_size=0.01, steps=3, noise=z, log_uniform=always(50))[1]
    assert not calm.diverged.any()
