"""The tasks about returns: what they ask, what they know, and that it agrees with their environments."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
import torch

from phys_bench.tasks import cart_pole
from phys_bench.tasks.returns import METRICS
from phys_samplers import make
from phys_samplers.catalogue import components
from phys_samplers.errors import ConfigurationError
from phys_samplers.randomness import make_generator
from phys_samplers.rl.recipe import ReturnTask

NAMES = ("frozen-lake", "cliff-walking", "taxi", "cart-pole-returns", "shaped-returns")
UPRIGHT_TO_LOST = torch.tensor(
    [[0, 0, 0, 0], [0, 0, 0.1, 0.5], [0, 0.2, 0.1, -1.0], [1, 1, 0.05, 0], [0, 0, 0.2, 1]], dtype=torch.float64
)
"""(place, speed, angle, angular speed)."""


def _dim(name: str) -> int:
    (component,) = (component for component in components("task") if component.name == name)
    return int(component.traits["dim"])


@pytest.mark.parametrize("name", NAMES)
def test_tasks_are_complete(name: str) -> None:
    task = make("task", name, updates=17, batch_size=8)
    assert isinstance(task, ReturnTask)
    assert task.name == name
    assert task.metrics == METRICS
    assert {"experience", "sample"} <= task.capabilities
    prediction = task.experience
    assert (prediction.updates, prediction.batch_size) == (17, 8)
    assert task.event_shape == (len(prediction.queries),) == (_dim(name),)
    assert float(prediction.probability.sum()) == pytest.approx(1)
    with pytest.raises(ConfigurationError, match="gamma"):
        make("task", name, gamma=1.0)


@pytest.mark.parametrize(("name", "gamma"), [("frozen-lake", 0.99), ("cliff-walking", 0.9), ("shaped-returns", 0.95)])
def test_hardly_any_return_is_outside_the_range(name: str, gamma: float) -> None:
    """Laws on a grid keep the mean; where returns are moved to its ends, the mean moves."""
    task = make("task", name, gamma=gamma)
    assert float((task.law.laws.mean - task.law.means).abs().max()) / task.experience.scale.width < 1e-5
    draws = task.sample(2_000, generator=make_generator(0))
    assert draws.shape == (2_000, *task.event_shape)
    error = (draws.double().mean(0) - task.law.means).abs() / (draws.double().std(0) + 1e-4)
    assert float(error.max()) < 5 / 2_000**0.5


def test_the_lake_has_maps_and_policies() -> None:
    assert make("task", "frozen-lake", size=8).event_shape == (53,)
    random, optimal = (make("task", "frozen-lake", policy=policy).law.means[0] for policy in ("random", "optimal"))
    assert random < 0.1 * optimal
    with pytest.raises(ConfigurationError, match="size"):
        make("task", "frozen-lake", size=5)
    with pytest.raises(ConfigurationError, match="policy"):
        make("task", "frozen-lake", policy="best")


def test_poles_fall_as_in_the_environment() -> None:
    """The states of a walk of many poles are those of the environment, given the same actions."""
    start = UPRIGHT_TO_LOST[:4].numpy()
    one = gymnasium.make("CartPole-v1").unwrapped
    steps = list(cart_pole._walked(start, 30, seed=3))
    for pole in range(4):
        one.reset(seed=0)
        one.state = start[pole]
        for before, after, fallen in steps:
            matches = []
            for action in (0, 1):
                one.state, one.steps_beyond_terminated = before[pole], None
                _, _, terminated, _, _ = one.step(action)
                matches.append(bool(np.allclose(one.state, after[pole]) and terminated == fallen[pole]))
            assert any(matches)
            if fallen[pole]:
                break


def test_reference_returns_of_poles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cart_pole, "REFERENCE", 300)
    law = cart_pole.CartPoleReturns(0.95, UPRIGHT_TO_LOST)
    assert law.laws.weights.shape == (5, 300)
    returns = law.laws.points
    lasted = torch.log1p(-0.05 * returns) / np.log(0.95)
    torch.testing.assert_close(lasted, lasted.round(), rtol=0, atol=1e-5)
    # upright lasts, nearly lost does not
    assert float(law.means[0]) > 2 * float(law.means[-1])
    rows = cart_pole.episodes("learned from")
    assert int(rows["terminal"].sum()) == cart_pole.EPISODES


def test_poles_are_asked_for_where_the_policy_goes() -> None:
    """In the unit of what is learned from, states that are asked for lie near it; a rare one may lie beyond."""
    experience = make("task", "cart-pole-returns").experience
    torch.testing.assert_close(experience.observation.mean(0), torch.zeros(4), rtol=0, atol=1e-4)
    torch.testing.assert_close(experience.observation.std(0), torch.ones(4), rtol=0, atol=1e-4)
    nearest = torch.cdist(experience.queries, experience.observation).amin(1)
    assert float(nearest.median()) < 0.2
    assert int((nearest > 1).sum()) <= 1
    assert float(experience.queries.std()) > 0.5
