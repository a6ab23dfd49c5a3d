"""The learned values: their parts, their gradients, and the part that is fitted by least squares."""

from __future__ import annotations

import pytest
import torch

from phys_samplers.density import FlatDensity
from phys_samplers.laws import GaussianMixture
from phys_samplers.randomness import Streams
from phys_samplers.target import Target
from phys_value_gradient import AuxiliaryProcess
from phys_value_gradient.fields import ValueMLP
from phys_value_gradient.landscapes import Critic, LearnedLandscape
from phys_value_gradient.policy import Energy
from phys_value_gradient.process import schedule

PROCESS = AuxiliaryProcess(schedule("geometric", 4, start=2.0, end=0.1))
TARGET = Target(event_shape=(2,), law=GaussianMixture([[-1.0, 0.0], [1.0, 0.5]], [0.3, 0.5], [0.4, 0.6]))
ENERGY = Energy(FlatDensity(TARGET))


def critic(*, skip: bool, linear: bool = True, replicas: int = 2) -> Critic:
    """With every coefficient drawn, none left at zero."""
    streams = Streams(range(replicas), "weights")
    network = ValueMLP(width=8, depth=2).build_value(2, 4, streams=streams, target=TARGET)
    made = (
        Critic(network, PROCESS, dim=2, initial_std=1.5, baseline=True, linear=linear, skip=skip)
        .double()
        .requires_grad_(False)
    )
    for name in ("offset", "curvature", "slope", "skip"):
        if (buffer := getattr(made, name)) is not None:
            buffer.copy_(Streams(range(replicas), name).normal(*buffer.shape[1:]))
    return made


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("linear", [False, True])
def test_values_for_learning_and_for_walking_are_the_same(skip: bool, linear: bool) -> None:
    made = critic(skip=skip, linear=linear)
    z = Streams([0, 1], "z").normal(4, 7, 2, dtype=torch.float64)
    landscape = LearnedLandscape(made, ENERGY)
    values = landscape.values(z, 0)
    torch.testing.assert_close(made(z, ENERGY.value(z)), values)
    torch.testing.assert_close(landscape.values_and_gradients(z, 0)[0], values)
    # one step later: the last block is at T
    later, _ = landscape.values_and_gradients(z, 1)
    torch.testing.assert_close(landscape.values(z, 1), later)
    torch.testing.assert_close(later[:, 3], ENERGY.value(z[:, 3]))
    torch.testing.assert_close(later[:, :3], landscape.values(z[:, :3], 1))


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("first", [0, 1, 4])
def test_gradients_are_those_of_the_values(skip: bool, first: int) -> None:
    landscape, h = LearnedLandscape(critic(skip=skip), ENERGY), 1e-5
    z = Streams([0, 1], "z").normal(1 if first == 4 else 4, 7, 2, dtype=torch.float64)
    _, gradient = landscape.values_and_gradients(z, first)
    for axis, e in enumerate(h * torch.eye(2, dtype=torch.float64)):
        difference = (landscape.values(z + e, first) - landscape.values(z - e, first)) / (2 * h)
        torch.testing.assert_close(gradient[..., axis], difference, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("skip", [False, True])
def test_gradients_for_learning_and_for_walking_are_the_same(skip: bool) -> None:
    made = critic(skip=skip)
    z = Streams([0, 1], "z").normal(4, 7, 2, dtype=torch.float64).requires_grad_()
    energy, slope = ENERGY.value_and_gradient(z.detach())
    learned = made.gradients(made(z, energy), z, slope)
    torch.testing.assert_close(learned, LearnedLandscape(made, ENERGY).values_and_gradients(z.detach(), 0)[1])


def test_the_quadratic_starts_at_a_normal_law_of_the_given_variance() -> None:
    """Without a skip, V^t of N(0, v) has the curvature 1/(a_t² v + b_t)."""
    network = ValueMLP(width=8, depth=2).build_value(2, 4, streams=Streams([0], "weights"), target=TARGET)
    made = Critic(network, PROCESS, dim=2, initial_std=1.5, variance=2.0, baseline=True, linear=True, skip=False)
    expected = [1 / (2.0 * a**2 + b) for a, b in PROCESS.marginals[:-1]]
    torch.testing.assert_close(made.curvature, torch.tensor([expected]))


@pytest.mark.parametrize("skip", [False, True])
def test_what_is_linear_is_found_by_least_squares(skip: bool) -> None:
    """Errors made of the features themselves are taken over; the ridge and one-by-one slopes leave a little."""
    made, truth = critic(skip=skip, replicas=1), critic(skip=skip, replicas=1)
    for name in ("offset", "curvature", "slope", "skip"):
        if (buffer := getattr(made, name)) is not None:
            buffer.zero_()
    z = Streams([0], "z").normal(4, 400, 2, dtype=torch.float64)
    energy = ENERGY.value(z) if skip else None

    def error() -> torch.Tensor:
        return truth(z, energy) - made(z, energy)

    before = error().square().mean()
    for _ in range(60):
        made.regress(error(), z, energy, rate=0.5, limit=100.0)
    assert float(error().square().mean()) < 1e-3 * float(before)
    torch.testing.assert_close(made.slope, truth.slope, rtol=0, atol=0.1)


def test_a_distant_error_hardly_counts() -> None:
    made = critic(skip=False, replicas=1)
    before = made.offset.clone()
    z = Streams([0], "z").normal(4, 100, 2, dtype=torch.float64)
    error = torch.zeros(1, 4, 100, dtype=torch.float64)
    error[:, :, 0] = 1e6
    made.regress(error, z, None, rate=1.0, limit=1.0)
    # the mean is 10,000; with weight 1e-6, about 1/100
    assert float((made.offset - before).abs().max()) < 1.0
