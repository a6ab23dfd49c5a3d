"""Values and gradients by hand against autograd; the constant by quadrature against closed forms."""

from __future__ import annotations

import math

import pytest
import torch

from phys_energy import Energy, EnergyLaw
from phys_energy.energy import log_normaliser
from phys_samplers.fields import MLP, FourierMLP, ResidualMLP
from phys_samplers.fields.stacked import ACTIVATIONS
from phys_samplers.laws import GaussianMixture
from phys_samplers.randomness import Streams, make_generator
from phys_samplers.target import Target


def energy_of(field: MLP | ResidualMLP | FourierMLP, **options: float | None) -> Energy:
    network = field.build(3, 1, streams=Streams([0], "test"), conditioned=False)
    return Energy(network, **{"temperature": 1.0, "well": 1.5, **options}).double()  # type: ignore[arg-type]


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("kind", [MLP, ResidualMLP])
def test_the_gradient_by_hand_is_that_of_autograd(kind: type[MLP], activation: str) -> None:
    energy = energy_of(kind(width=16, depth=3, activation=activation), temperature=0.7)
    u = torch.randn(20, 3, generator=make_generator(0), dtype=torch.float64)
    value, gradient = energy.value_and_gradient(u)
    assert not value.requires_grad
    u.requires_grad_()
    reference = energy(u.unsqueeze(0)).squeeze(0)
    (expected,) = torch.autograd.grad(reference.sum(), u)
    torch.testing.assert_close(value, reference.detach(), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(gradient, expected, rtol=1e-10, atol=1e-10)


def test_a_network_of_another_kind_is_asked_by_autograd() -> None:
    energy = energy_of(MLP(width=8, depth=2))
    by_hand = energy.value_and_gradient(u := torch.randn(5, 3, generator=make_generator(1), dtype=torch.float64))
    energy._by_hand = False
    by_autograd = energy.value_and_gradient(u)
    torch.testing.assert_close(by_hand, by_autograd)
    assert not any(tensor.requires_grad for tensor in by_autograd)


def test_many_points_are_asked_by_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    energy = energy_of(MLP(width=8, depth=2))
    u = torch.randn(11, 3, generator=make_generator(1), dtype=torch.float64)
    whole = energy.value_and_gradient(u)
    monkeypatch.setattr("phys_energy.energy.PIECE", 4)
    torch.testing.assert_close(energy.value_and_gradient(u), whole)


def test_the_law_of_an_energy() -> None:
    """log p = −E/τ, and the well alone is a normal law of its standard deviation, whatever τ is."""
    energy = energy_of(MLP(width=8, depth=2), temperature=0.5, well=2.0)
    law = Target(event_shape=(3,), law=EnergyLaw(energy, 3))
    u = torch.randn(5, 3, generator=make_generator(1), dtype=torch.float64)
    torch.testing.assert_close(law.log_prob(u), -energy.value(u) / 0.5)
    log_prob, score = law.log_prob_and_score(u)
    torch.testing.assert_close(log_prob, law.log_prob(u).detach())
    torch.testing.assert_close(score, law.score(u))
    with torch.no_grad():
        for weight in energy.network.out.parameters():  # type: ignore[union-attr]
            weight.zero_()
    torch.testing.assert_close(law.log_prob(u).detach(), -u.square().sum(1) / 8)


@pytest.mark.parametrize("dim", [1, 2])
def test_the_constant_of_narrow_modes(dim: int) -> None:
    """Modes 80 times narrower than the box, log Z = 1.7: the trapezoidal rule is exact to rounding."""
    law = GaussianMixture([[-1.0] * dim, [2.0] * dim], [0.005] * 2, [0.3, 0.7])
    found = log_normaliser(lambda u: law.log_prob(u.double()) + 1.7, dim, half_width=8.0)
    assert found == pytest.approx(1.7, abs=1e-5)


def test_the_constant_of_a_broad_law() -> None:
    found = log_normaliser(lambda u: -0.5 * u.square().sum(1) / 2.25, 2, half_width=9.0)
    assert found == pytest.approx(math.log(2 * math.pi * 2.25), abs=1e-5)
