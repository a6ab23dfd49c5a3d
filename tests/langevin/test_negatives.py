"""Langevin chains as negative samples: their law, that they persist, how many start anew, what is kept of them.

Statistical checks are at 4 standard errors: a false alarm in 16,000 for each number checked.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from phys_langevin import LangevinDynamics
from phys_samplers.errors import ConfigurationError, DivergenceError, MissingCapability
from phys_samplers.negatives import SuppliesNegatives
from phys_samplers.randomness import make_generator
from phys_samplers.target import Target


class Spring(nn.Module):
    """E = ½θ|x|² with θ to be changed."""

    event_shape = (2,)

    def __init__(self, theta: float) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.tensor(theta))

    def log_prob(self, x: Tensor) -> Tensor:
        return -0.5 * self.theta * x.square().sum(1)


def spring(theta: float = 1.0, rows: Tensor | None = None) -> Target:
    return Target(event_shape=(2,), name="spring", law=Spring(theta), train=rows)


def distances(x: Tensor, y: Tensor) -> Tensor:
    """(B, N), from differences: by products they are wrong by more than what is asked for here."""
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")


def variance_is(x: Tensor, expected: float) -> None:
    assert x.var().item() == pytest.approx(expected, abs=4 * expected * math.sqrt(2 / x.numel()))


def test_langevin_supplies_negatives() -> None:
    assert isinstance(LangevinDynamics(), SuppliesNegatives)


def test_short_chains_have_the_law_of_their_steps() -> None:
    """x ← (1 − hθ)x + √(2h) z from N(0, s²): v ← (1 − hθ)² v + 2h."""
    h, theta, steps, s = 0.1, 2.0, 5, 3.0
    recipe = LangevinDynamics(sampling_steps=steps, step_size=h, prior_std=s)
    x = recipe.negatives(spring(theta), seed=1).draw(20_000)
    variance = s**2
    for _ in range(steps):
        variance = (1 - h * theta) ** 2 * variance + 2 * h
    assert not x.requires_grad
    variance_is(x, variance)


def test_persistent_chains_reach_the_law_that_short_ones_do_not() -> None:
    recipe = LangevinDynamics(sampling_steps=5, step_size=0.1, prior_std=3.0, buffer_size=10_000, restart_rate=0.0)
    supply = recipe.negatives(spring(2.0), seed=1)
    for _ in range(12):
        x = supply.draw(10_000)
    variance_is(x, 1 / (2.0 * (1 - 0.1)))  # what ULA makes of the variance ½


def test_chains_go_on_where_they_stopped() -> None:
    """Without steps to speak of, the states drawn are those that were there; only they are moved."""
    recipe = LangevinDynamics(sampling_steps=1, step_size=1e-12, buffer_size=50, restart_rate=0.0)
    supply = recipe.negatives(spring(), seed=1)
    assert supply.buffer is not None
    before = supply.buffer.clone()
    drawn = supply.draw(20)
    nearest = distances(drawn, before)
    assert nearest.min(1).values.max().item() < 1e-4
    assert nearest.argmin(1).unique().numel() == 20
    torch.testing.assert_close(supply.buffer, before, atol=1e-4, rtol=0.0)


@pytest.mark.parametrize("rate", [0.0, 0.05, 1.0])
def test_chains_start_anew_at_the_stated_rate(rate: float) -> None:
    """Of 10,000 chains, those that are no longer near where they were: within 4 standard errors of a binomial."""
    n = 10_000
    recipe = LangevinDynamics(sampling_steps=1, step_size=1e-12, prior_std=1.0, buffer_size=n, restart_rate=rate)
    supply = recipe.negatives(spring(), seed=1)
    assert supply.buffer is not None
    before = supply.buffer.clone()
    supply.draw(n)
    moved = ((supply.buffer - before).norm(dim=1) > 1e-4).float().mean().item()
    assert moved == pytest.approx(rate, abs=4 * math.sqrt(rate * (1 - rate) / n) + 1e-9)


def test_chains_follow_an_energy_that_changes() -> None:
    target = spring(1.0)
    recipe = LangevinDynamics(sampling_steps=50, step_size=0.02, prior_std=1.0)
    supply = recipe.negatives(target, seed=1)
    wide = supply.draw(5_000).var().item()
    with torch.no_grad():
        target.law.theta.fill_(16.0)
    supply.learn()
    assert supply.draw(5_000).var().item() < 0.2 * wide


def test_chains_that_start_at_data() -> None:
    rows = 5 + torch.randn(100, 2, generator=make_generator(0))
    recipe = LangevinDynamics(sampling_steps=1, step_size=1e-12, starts="data")
    supply = recipe.negatives(spring(rows=rows), seed=1)
    assert distances(supply.draw(30), rows).min(1).values.max().item() < 1e-4
    assert distances(supply.model().sample(30), rows).min(1).values.max().item() < 1e-4


def test_the_model_of_persistent_chains_starts_where_they_are_and_is_restored() -> None:
    target = spring()
    recipe = LangevinDynamics(sampling_steps=1, step_size=1e-12, prior_std=9.0, buffer_size=64)
    supply = recipe.negatives(target, seed=1)
    model = supply.model()
    assert supply.buffer is not None
    x = model.sample(64, seed=3)
    assert distances(x, supply.buffer).argmin(1).unique().numel() == 64
    assert model.sample(200).shape == (200, 2)
    restored = recipe.restore(model.tensors(), model.facts(), event_shape=(2,), target=target)
    assert torch.equal(restored.sample(64, seed=3), x)


def test_equal_seeds_give_equal_negatives() -> None:
    recipe = LangevinDynamics(sampling_steps=3, buffer_size=30)
    first, second, third = (recipe.negatives(spring(), seed=seed) for seed in (1, 1, 2))
    x = first.draw(20)
    assert torch.equal(x, second.draw(20))
    assert not torch.equal(x, third.draw(20))


def test_what_cannot_be_supplied() -> None:
    with pytest.raises(ConfigurationError, match="starts is 'here'"):
        LangevinDynamics(starts="here")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="restart_rate is 2"):
        LangevinDynamics(restart_rate=2.0)
    with pytest.raises(ConfigurationError, match="buffer_size is 10, but 11"):
        LangevinDynamics(buffer_size=10).negatives(spring(), seed=0).draw(11)
    with pytest.raises(MissingCapability, match="samples"):
        LangevinDynamics(starts="data").negatives(spring(), seed=0)
    with pytest.raises(ConfigurationError, match="leave score out"):
        LangevinDynamics(score="bellman").negatives(spring(), seed=0)
    supply = LangevinDynamics(step_size=10.0, sampling_steps=50).negatives(spring(), seed=0)
    with pytest.raises(DivergenceError, match="5 of 5 particles"):
        supply.draw(5)
