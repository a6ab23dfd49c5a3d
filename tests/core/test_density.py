"""Flat coordinates of a subspace, and the counting of evaluations."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from phys_samplers import Density, make
from phys_samplers.density import FlatDensity
from phys_samplers.evaluations import Evaluations
from phys_samplers.target import Target


class Harmonic:
    """exp(−½ k |x|²) on the plane of R³ where the coordinates sum to zero."""

    event_shape = (3,)
    subspace = torch.tensor([[1.0, -1.0, 0.0], [1.0, 1.0, -2.0]], dtype=torch.float64)
    subspace = subspace / subspace.norm(dim=1, keepdim=True)

    def log_prob(self, x: Tensor) -> Tensor:
        return -2.0 * (x - x.mean(1, keepdim=True)).square().sum(1)


TARGET = Target(event_shape=(3,), law=Harmonic())


def test_flat_coordinates_are_an_isometry_of_the_subspace() -> None:
    density = FlatDensity(TARGET)
    z = torch.randn(50, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = density.embed(z)
    assert density.dim == 2
    assert x.sum(1).abs().max() < 1e-12
    torch.testing.assert_close(x.norm(dim=1), z.norm(dim=1))
    torch.testing.assert_close(density.reduce(x), z)


def test_the_gradient_is_that_in_flat_coordinates() -> None:
    density = FlatDensity(TARGET)
    z = torch.randn(20, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(density.log_prob(z).sum(), z)
    value, score = density.log_prob_and_score(z.detach())
    torch.testing.assert_close(score, gradient)
    torch.testing.assert_close(value, -2.0 * z.detach().square().sum(1))
    torch.testing.assert_close(density.score(z.detach()), gradient)
    assert density.evaluations == 2


def test_chains_stay_in_the_subspace_and_have_its_law() -> None:
    """Variance ¼ per flat coordinate; 4 standard errors of 8,000 numbers are 0.016."""
    model = make("sampler", "mala", sampling_steps=150, warmup_steps=50, prior_std=1.0).fit(TARGET)
    x = model.sample(4_000, seed=0)
    assert x.sum(1).abs().max() < 1e-5
    z = FlatDensity(TARGET).reduce(x.double())
    assert abs(float(z.square().mean()) - 0.25) < 4 * 0.25 * math.sqrt(2 / 8_000)


def test_a_target_counts_what_is_asked_of_its_density() -> None:
    asked = Evaluations()
    target = Target(event_shape=(2,), law=Density(lambda x: -x.square().sum(1), (2,)).law, evaluations=asked)
    x = torch.zeros(7, 2)
    target.log_prob(x)
    target.score(x)
    before = asked.copy()
    target.log_prob_and_score(x)
    assert (asked.densities, asked.gradients) == (7, 14)
    assert asked.since(before) == Evaluations(densities=0, gradients=7)
    assert target.to("cpu").evaluations is asked


def test_mala_asks_one_gradient_a_step_and_one_at_the_start() -> None:
    asked = Evaluations()
    target = Target(event_shape=(2,), law=Density(lambda x: -x.square().sum(1), (2,)).law, evaluations=asked)
    draw = make("sampler", "mala", sampling_steps=30, warmup_steps=10, ascent_steps=0).fit(target).draw(16, seed=0)
    assert (asked.densities, asked.gradients) == (0, 16 * 31)
    assert draw.nfe == 31
