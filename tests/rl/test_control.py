"""The agent loop: it learns, repeats itself, and its evaluations leave no trace."""

from __future__ import annotations

import json
import math

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

from phys_samplers import load, make
from phys_samplers.errors import CheckpointError, ConfigurationError, EnvironmentFailure
from phys_samplers.rl import Agent, Control, ReturnTask
from phys_samplers.training.logs import JsonLines

from .conftest import LENGTH, Corridor


@pytest.fixture(scope="module")
def recipe():
    return make("return_model", "bellman", width=24, depth=1, learning_rate=3e-3)


def weights(agent: Agent) -> torch.Tensor:
    return torch.cat([p.flatten() for p in agent.network.parameters()])


def test_an_agent_learns_the_corridor(recipe, maker, small) -> None:
    agents = recipe.train(maker, seeds=[0, 1], **{**small, "steps": 1_000})
    assert len(agents) == 2
    for agent in agents:
        assert agent.curve[-1]["step"] == 1_000
        assert agent.curve[-1]["return"] == 1.0
        # three steps right, each of which fails one time in ten: E[γ^(T−1)] of the negative binomial T
        exact = (0.9 * 0.9 / (1 - 0.1 * 0.9)) ** 3 / 0.9
        assert float(agent.mean(0).max()) == pytest.approx(exact, abs=0.06)
        assert [agent.act(state) for state in range(LENGTH - 1)] == [1, 1, 1]


def test_the_same_seed_gives_the_same_curve_to_the_bit(recipe, maker, small) -> None:
    first, second = (recipe.train(maker, seed=3, **small) for _ in range(2))
    assert first.curve == second.curve
    assert torch.equal(weights(first), weights(second))


def test_another_seed_gives_another(recipe, maker, small) -> None:
    assert not torch.equal(*(weights(recipe.train(maker, seed=seed, **small)) for seed in (3, 4)))


def test_evaluations_leave_no_trace_in_training(recipe, maker, small) -> None:
    often, seldom = (
        recipe.train(maker, seed=0, **{**small, "evaluate_every": every, "episodes": episodes})
        for every, episodes in ((40, 7), (240, 1))
    )
    assert len(often.curve) == 6
    assert len(seldom.curve) == 1
    assert torch.equal(weights(often), weights(seldom))


def test_the_lagged_network_may_be_a_copy(recipe, maker, small) -> None:
    agent = recipe.train(maker, seed=0, copy_every=20, **small)
    assert torch.isfinite(weights(agent)).all()


def test_actions_may_be_judged_by_the_worst_returns(recipe, maker, small) -> None:
    agent = recipe.train(maker, seed=0, tail=0.25, **small)
    law = agent.law(0)
    assert agent.act(0) == int(law.lower_tail(0.25)[0].argmax())


def test_vectors_are_observations_too(recipe, small) -> None:
    def vectors() -> gymnasium.Env:
        return gymnasium.wrappers.TimeLimit(Corridor(discrete=False), 20)

    agent = recipe.train(vectors, seed=0, **small)
    assert agent.mean(np.eye(LENGTH, dtype=np.float32)).shape == (LENGTH, 2)
    with pytest.raises(ConfigurationError, match="expected 4 numbers"):
        agent.mean(np.zeros(3))


def test_a_saved_agent_is_the_same_agent(recipe, maker, small, tmp_path) -> None:
    agent = recipe.train(maker, seed=0, **small)
    twin = load(agent.save(tmp_path / "agent"))
    assert isinstance(twin, Agent)
    assert twin.curve == agent.curve
    grid, density = agent.density(0, 1)
    assert torch.equal(twin.density(0, 1, grid)[1], density)
    assert torch.equal(twin.play(5, environment=maker), agent.play(5))
    with pytest.raises(ConfigurationError, match="environment="):
        twin.play(5)
    metadata = tmp_path / "agent" / "model.json"
    metadata.write_text(metadata.read_text().replace('"control"', '"other"'))
    with pytest.raises(CheckpointError, match="edited"):
        load(tmp_path / "agent")


def test_an_agent_cannot_be_resumed_and_says_so(recipe, maker, small, tmp_path) -> None:
    control = Control(environment=maker, **small)
    task = ReturnTask(event_shape=(1,), name="corridor", experience=control)
    with pytest.raises(ConfigurationError, match="cannot be resumed; leave checkpoint out"):
        recipe.fit(task, checkpoint=tmp_path / "state")


def test_evaluations_make_one_vector_environment_a_seed(recipe, small) -> None:
    made = []

    def counted() -> gymnasium.Env:
        made.append(1)
        return gymnasium.wrappers.TimeLimit(Corridor(), 20)

    recipe.train(counted, seeds=[0, 1], **{**small, "episodes": 3})
    assert len(made) == 2 * (1 + 3)  # one to learn in and one for each episode of an evaluation


def test_a_log_holds_losses_and_evaluations(recipe, maker, small, tmp_path) -> None:
    recipe.train(maker, seeds=[0, 1], callbacks=[JsonLines(tmp_path / "log" / "run.jsonl")], **small)
    rows = [json.loads(line) for line in (tmp_path / "log" / "run.jsonl").read_text().splitlines()]
    assert [row["event"] for row in rows[:1] + rows[-1:]] == ["started", "finished"]
    evaluated = [row for row in rows if row["event"] == "evaluated"]
    assert [row["step"] for row in evaluated] == [80, 160, 240]
    assert all(len(row["return"]) == 2 for row in evaluated)


class Broken(Corridor):
    """Fails as it is told to at its tenth step."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how, self.count = how, 0
        if how == "space":
            self.observation_space = spaces.Box(0, 1, (2,), np.float32)
        if how == "actions":
            self.action_space = spaces.Box(0, 1, (2,), np.float32)

    def step(self, action):
        self.count += 1
        if self.count == 10:
            if self.how == "raises":
                raise RuntimeError("the motor is on fire")
            if self.how == "nan":
                return 0, math.nan, False, False, {}
        return super().step(action)


@pytest.mark.parametrize(
    ("how", "error", "named"),
    [
        ("raises", EnvironmentFailure, "after 10 steps.*the motor is on fire"),
        ("nan", EnvironmentFailure, "reward nan"),
        ("space", EnvironmentFailure, "observation_space"),
        ("actions", ConfigurationError, "Discrete"),
    ],
)
def test_a_broken_environment_is_named(recipe, small, how, error, named) -> None:
    def broken() -> gymnasium.Env:
        return Broken(how)

    with pytest.raises(error, match=named) as caught:
        recipe.train(broken, seed=0, **small)
    assert "broken" in str(caught.value)


def test_unknown_environments_and_ranges_are_refused(recipe) -> None:
    with pytest.raises(ConfigurationError, match="CartPol-v1"):
        recipe.train("CartPol-v1", returns=(0, 1))
    with pytest.raises(ConfigurationError, match="returns=\\(low, high\\)"):
        recipe.train(Corridor)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"gamma": 1.0}, "gamma is 1.0"),
        ({"steps": 0}, "steps is 0"),
        ({"steps": 100, "learning_starts": 500}, "learning_starts 500"),
        ({"polyak": 0.0}, "polyak is 0.0"),
        ({"tail": 0.0}, "tail is 0.0"),
        ({"returns": (1.0, 0.0)}, "the lower first"),
        ({"n_step": 10, "capacity": 5}, "n_step is 10"),
    ],
)
def test_bad_options_are_refused(options, named) -> None:
    with pytest.raises(ConfigurationError, match=named):
        Control(environment="CartPole-v1", **options)
