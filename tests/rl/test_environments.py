"""Environments as people have them: what they may return, and what is said where they return something else."""

from __future__ import annotations

import importlib
import math
import re
import warnings
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

from phys_samplers import load, make
from phys_samplers.errors import ConfigurationError, EnvironmentFailure
from phys_samplers.rl.spaces import Observations, allowed_one

SHORT = {"returns": (0.0, 1.0), "gamma": 0.9, "steps": 60, "learning_starts": 30, "evaluate_every": 30, "episodes": 2}


def train(maker: Any, **options: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return make("return_model", "c51", width=8, depth=1).train(maker, **{**SHORT, **options})


class Bandit(gymnasium.Env):
    """Ten steps of any observation; action 1 pays a tenth."""

    def __init__(self, space: Any = None, actions: Any = None) -> None:
        self.observation_space = spaces.Box(-1, 1, (2,), np.float32) if space is None else space
        self.action_space = spaces.Discrete(2) if actions is None else actions
        self.observation_space.seed(0)
        self.taken: list[int] = []

    def seen(self) -> Any:
        return self.observation_space.sample()

    def facts(self) -> dict[str, Any]:
        return {}

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict]:
        super().reset(seed=seed)
        self.t = 0
        return self.seen(), self.facts()

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        assert self.action_space.contains(action)
        self.taken.append(int(action))
        self.t += 1
        return self.seen(), 0.1 * (action == 1), self.t >= 10, False, self.facts()


SPACES = {
    "box": spaces.Box(-1, 1, (2, 3), np.float32),
    "image": spaces.Box(0, 255, (4, 4, 3), np.uint8),
    "discrete": spaces.Discrete(5, start=3),
    "multi-discrete": spaces.MultiDiscrete([2, 3], start=[1, -1]),
    "multi-binary": spaces.MultiBinary(3),
    "text": spaces.Text(5, min_length=1, charset="abc"),
    "tuple": spaces.Tuple((spaces.Discrete(4), spaces.Box(0, 1, (), np.float32))),
    "dict": spaces.Dict({"b": spaces.Discrete(2), "a": spaces.Tuple((spaces.MultiBinary(2), spaces.Discrete(3)))}),
}


@pytest.mark.parametrize("name", SPACES)
def test_every_space_is_trained_on_acted_in_and_loaded(name: str, tmp_path) -> None:
    agent = train(lambda: Bandit(SPACES[name]))
    twin = load(agent.save(tmp_path / "agent"))
    for _ in range(5):
        observation = SPACES[name].sample()
        assert agent.act(observation) in (0, 1)
        assert torch.equal(agent.mean(observation), twin.mean(observation))
    assert agent.encode(observation).shape == (1, agent.observations.features)


def test_rows_are_what_the_rules_say() -> None:
    row = Observations.of(SPACES["discrete"]).row(4)
    assert row.tolist() == [0, 1, 0, 0, 0]
    assert Observations.of(SPACES["multi-discrete"]).row(np.array([2, 1])).tolist() == [0, 1, 0, 0, 1]
    assert Observations.of(SPACES["text"]).row("ca").tolist() == pytest.approx([1, 1 / 3, 0, 0, 0])
    assert Observations.of(SPACES["tuple"]).row((2, np.float32(0.5))).tolist() == [0, 0, 1, 0, 0.5]
    image = Observations.of(SPACES["image"])
    assert image.row(np.full((4, 4, 3), 255, np.uint8)).dtype == np.uint8
    assert float(image.rows(np.full((4, 4, 3), 255, np.uint8)).max()) == 1.0
    graph = spaces.Graph(spaces.Box(0, 1, (2,)), None)
    with pytest.raises(ConfigurationError, match="Graph"):
        Observations.of(graph)


def test_discrete_observations_may_start_anywhere() -> None:
    """Training, laws and acting see the same state: what is learned of 3 is told of 3."""

    class Known(Bandit):
        def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict]:
            gymnasium.Env.reset(self, seed=seed)
            self.at = 3 + int(self.np_random.integers(5))
            return self.at, {}

        def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
            return self.at, (self.at - 3) / 4, True, False, {}

    recipe = make("return_model", "c51", width=16, depth=1, learning_rate=5e-3)
    options = {"returns": (0, 1), "steps": 700, "learning_starts": 100, "evaluate_every": 700, "episodes": 1}
    agent = recipe.train(lambda: Known(SPACES["discrete"]), **options)
    learned = agent.mean(torch.arange(3, 8)).mean(1)
    torch.testing.assert_close(learned, torch.linspace(0, 1, 5), rtol=0, atol=0.12)
    assert torch.equal(agent.mean(4), agent.mean(np.array([4])))
    with pytest.raises(ConfigurationError, match="integers from 3 to 7"):
        agent.mean(2)


def test_actions_may_start_anywhere_and_be_masked() -> None:
    class Masked(Bandit):
        def facts(self) -> dict[str, Any]:
            return {"action_mask": np.array([1, 0, 1], np.int8)}

    made: list[Masked] = []

    def maker() -> gymnasium.Env:
        made.append(Masked(actions=spaces.Discrete(3, start=5)))
        return made[-1]

    agent = train(maker)
    assert {action for one in made for action in one.taken} <= {5, 7}
    assert agent.act(np.zeros(2, np.float32), allowed=[0, 1, 0]) == 6
    uniform = torch.linspace(0, 0.999, 400)
    drawn = allowed_one(torch.tensor([True, False, True]).expand(400, 3), uniform)
    assert torch.bincount(drawn, minlength=3).tolist() == [200, 0, 200]


def test_an_environment_without_an_end_is_cut_off_in_evaluation() -> None:
    class Never(Bandit):
        def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
            return self.seen(), 0.0, False, False, {}

    agent = train(Never, episode_limit=50)
    assert agent.curve[-1]["length"] == 50


@pytest.mark.parametrize(
    ("reward", "error", "named"),
    [
        (ValueError("simulator crashed"), EnvironmentFailure, "in evaluation 0.*simulator crashed"),
        (math.nan, EnvironmentFailure, "in evaluation 0.*reward nan"),
        ("much", EnvironmentFailure, "in evaluation 0.*could not convert"),
    ],
)
def test_what_goes_wrong_in_evaluation_is_named(reward: Any, error: type[Exception], named: str) -> None:
    made: list[Bandit] = []

    class Later(Bandit):
        def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
            observation, given, *rest = super().step(action)
            if self is not made[0]:
                if isinstance(reward, Exception):
                    raise reward
                given = reward
            return observation, given, *rest

    def maker() -> gymnasium.Env:
        made.append(Later())
        return made[-1]

    with pytest.raises(error, match=named):
        train(maker)


def test_evaluation_is_in_the_environment_of_training() -> None:
    """Not in another that gymnasium keeps for vectors under the same id."""

    class Other(gymnasium.vector.VectorEnv):
        def __init__(self, **options: Any) -> None:
            raise AssertionError("the vector environment was made")

    gymnasium.register("phys-samplers/Twice-v0", entry_point=Bandit, vector_entry_point=Other)
    try:
        assert train("phys-samplers/Twice-v0").curve
    finally:
        del gymnasium.registry["phys-samplers/Twice-v0"]


@pytest.mark.parametrize(
    ("observation", "named"),
    [
        (np.array([np.inf, 0.0]), "finite"),
        (np.zeros(3), r"expected shape \(2,\), given \(3,\)"),
        ("here", "expected numbers"),
        (np.array([1e39, 0.0]), "finite"),
    ],
)
def test_observations_are_looked_at_after_reset_too(observation: Any, named: str) -> None:
    class Astray(Bandit):
        def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
            return observation, 0.0, False, False, {}

    with pytest.raises(EnvironmentFailure, match=named), np.errstate(over="ignore"):
        train(Astray)


def test_large_observations_are_no_mistake_and_bounds_are_said_once() -> None:
    class Far(Bandit):
        def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
            _, *rest = super().step(action)
            return np.array([3.0, 0.0], np.float32), *rest

    recipe = make("return_model", "c51", width=8, depth=1)
    with pytest.warns(UserWarning, match="3 at place 0 .* from -1 to 1"):
        recipe.train(Far, **SHORT)
    huge = Observations.numbers(2).row(np.array([3e38, 3e38]))
    assert np.isfinite(huge).all()


def test_returns_outside_the_range_are_told() -> None:
    class Rich(Bandit):
        def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
            observation, _, *rest = super().step(action)
            return observation, 1.0, *rest

    recipe = make("return_model", "c51", width=8, depth=1)
    with pytest.warns(UserWarning, match=r"100% of the episodes .* returns=\(0, 1\), from 6.513"):
        recipe.train(Rich, **SHORT)
    with pytest.raises(ConfigurationError, match="'CartPole-v1' with options"):
        recipe.train("CartPole-v1", environment_options={"sutton_barto_reward": True}, steps=60, learning_starts=30)


def test_one_environment_for_everything_is_refused() -> None:
    one = Bandit()
    with pytest.raises(ConfigurationError, match="the same environment twice"):
        train(lambda: one)


@pytest.mark.parametrize(
    ("package", "name"),
    [
        pytest.param("gymnasium", "Taxi-v4", marks=pytest.mark.slow),
        ("gymnasium", "Blackjack-v1"),
        ("gymnasium", "CliffWalking-v1"),
        ("gymnasium", "Acrobot-v1"),
        ("gymnasium", "MountainCar-v0"),
        ("Box2D", "LunarLander-v3"),
        ("minigrid", "MiniGrid-Empty-5x5-v0"),
        ("minatar.gym", "MinAtar/Breakout-v1"),
        pytest.param("highway_env", "highway-fast-v0", marks=pytest.mark.slow),
        pytest.param("ale_py", "ALE/Pong-v5", marks=pytest.mark.slow),
    ],
)
def test_environments_that_people_have_are_trained_in_or_refused(package: str, name: str) -> None:
    module = pytest.importorskip(package, reason=f"{package} is not installed")
    if package == "minatar.gym":
        module.register_envs()
    elif package not in ("gymnasium", "Box2D"):
        gymnasium.register_envs(module)
    refused = ""
    try:
        agent = train(name, returns=(-500.0, 500.0), episode_limit=20, steps=200)
    except ConfigurationError as error:
        refused = str(error)
    if name in REFUSED:
        assert name in refused
        assert re.search(REFUSED[name], refused)
    else:
        assert not refused
        assert agent.curve[-1]["step"] == 200


REFUSED = {"MiniGrid-Empty-5x5-v0": "'mission'.* MissionSpace.*expected a space of"}


def test_pictures_of_a_grid_world_are_trained_on() -> None:
    wrappers = pytest.importorskip("minigrid.wrappers", reason="minigrid is not installed")
    agent = train(lambda: wrappers.ImgObsWrapper(gymnasium.make("MiniGrid-Empty-5x5-v0")), episode_limit=20, steps=200)
    assert agent.observations.features == 7 * 7 * 3


@pytest.mark.parametrize("maker", ["pettingzoo", "vector", "nothing"])
def test_what_is_no_environment_of_one_agent_is_refused_in_a_sentence(maker: str) -> None:
    makers = {"vector": lambda: gymnasium.make_vec("CartPole-v1", num_envs=2), "nothing": object}
    if maker == "pettingzoo":
        pytest.importorskip("pettingzoo", reason="pettingzoo is not installed")
        makers[maker] = importlib.import_module(
            "pettingzoo.test.example_envs.generated_agents_parallel_v0"
        ).parallel_env
    with pytest.raises(ConfigurationError, match=r"environment '.*' is a .*; expected a gymnasium\.Env"):
        train(makers[maker])
