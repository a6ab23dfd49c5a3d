"""Algorithm 3: the values follow an energy that changes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from phys_samplers.errors import ConfigurationError, MissingCapability
from phys_samplers.negatives import SuppliesNegatives
from phys_samplers.randomness import make_generator
from phys_samplers.target import Target
from phys_value_gradient import ValueGradientSampler

QUICK = {"sampling_steps": 3, "total_variance": 1.0, "end_variance": 0.05, "width": 24, "depth": 2}
QUICK |= {"batch_size": 32, "learning_rate": 1e-2}


class Moving(nn.Module):
    """E = |x − m|²/(2·0.25) with a parameter m, the energy under training."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(2))

    def log_prob(self, x):
        return -2 * (x - self.mean).square().sum(-1)


def moving(rows: bool = False) -> Target:
    train = 0.5 * torch.randn(300, 2, generator=make_generator(0, "rows")) if rows else None
    return Target(event_shape=(2,), law=Moving(), train=train, name="moving")


@pytest.mark.parametrize("start", ["prior", pytest.param("data", marks=pytest.mark.slow)])
def test_samples_follow_the_energy(start: str) -> None:
    target = moving(rows=True)
    recipe = ValueGradientSampler(negatives_from=start, **QUICK)
    assert isinstance(recipe, SuppliesNegatives)
    supply = recipe.negatives(target, seed=0)
    for goal in (0.0, 1.0):
        with torch.no_grad():
            target.law.mean.fill_(goal)
        for _ in range(60):
            supply.learn()
        x = supply.draw(1_000)
        assert x.shape == (1_000, 2)
        assert not x.requires_grad
        # standard error of the mean .016; the values lag behind an energy that jumps by two standard deviations
        assert float((x.mean(0) - goal).abs().max()) < 0.35
        assert float(x.var(0).mean()) == pytest.approx(0.25, rel=0.4)


def test_learning_leaves_no_gradient_in_the_energy() -> None:
    target = moving()
    supply = ValueGradientSampler(**QUICK).negatives(target, seed=0)
    supply.learn()
    supply.draw(3)
    assert target.law.mean.grad is None


def test_equal_seeds_give_equal_supplies() -> None:
    draws = []
    for _ in range(2):
        supply = ValueGradientSampler(**QUICK).negatives(moving(), seed=7)
        supply.learn()
        draws.append(supply.draw(4))
    assert torch.equal(*draws)


def test_what_cannot_follow_is_refused() -> None:
    with pytest.raises(MissingCapability, match="samples"):
        ValueGradientSampler(negatives_from="data", **QUICK).negatives(moving(), seed=0)
    with pytest.raises(ConfigurationError, match="exact"):
        ValueGradientSampler(value="exact").negatives(moving(), seed=0)
