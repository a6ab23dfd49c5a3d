"""The energy as the last value, and how it goes on above a limit."""

from __future__ import annotations

import math

import pytest
import torch

from phys_samplers.density import FlatDensity
from phys_samplers.target import Density
from phys_value_gradient.policy import Energy


def energy(clip: float | None) -> Energy:
    """½|x|⁴ in two dimensions, infinite at |x| > 50."""

    def log_prob(x):
        square = x.square().sum(-1)
        return torch.where(square < 2500, -0.5 * square.square(), -math.inf)

    return Energy(FlatDensity(Density(log_prob, event_shape=(2,))), clip)


def test_below_its_limit_the_energy_is_itself() -> None:
    z = torch.randn(20, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64).clamp(-1, 1)
    torch.testing.assert_close(energy(5.0).value(z), energy(None).value(z))
    for bent, plain in zip(energy(5.0).value_and_gradient(z), energy(None).value_and_gradient(z), strict=True):
        torch.testing.assert_close(bent, plain)


@pytest.mark.parametrize("clip", [5.0, -1.0, 0.0])
def test_above_it_the_energy_rises_like_a_logarithm_and_its_gradient_is_its_own(clip: float) -> None:
    z = torch.tensor([[2.0, 1.0], [-4.0, 3.0], [20.0, 30.0]], dtype=torch.float64)
    bent, h = energy(clip), 1e-5
    plain = energy(None).value(z)
    value, gradient = bent.value_and_gradient(z)
    torch.testing.assert_close(value, clip + 2 * (1 + (plain - clip) / 2).log())
    torch.testing.assert_close(bent.value(z), value)
    for axis, e in enumerate(h * torch.eye(2, dtype=torch.float64)):
        difference = (bent.value(z + e) - bent.value(z - e)) / (2 * h)
        torch.testing.assert_close(gradient[:, axis], difference, rtol=1e-6, atol=1e-7)


def test_infinite_energies_are_finite_above_a_limit() -> None:
    value, gradient = energy(5.0).value_and_gradient(torch.tensor([[40.0, 40.0], [0.0, 0.0]]))
    assert value.isfinite().all()
    assert gradient.isfinite().all()
