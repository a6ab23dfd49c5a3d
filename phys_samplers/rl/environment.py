"""Environments of gymnasium for R replicas: made alike, seeded apart, watched for what they must not return.

Training steps one environment a replica. gymnasium's vector classes would copy every observation twice and cost almost
twice as much per step here, so environments are stepped one by one; an episode that ends is reset within the same step
(``AutoresetMode.SAME_STEP`` in gymnasium's terms), and the last observation of the old episode is what the transition
holds.

Greedy episodes have environments of their own, made like those of training, which share neither state nor randomness
with them. They are cut off at a limit, so that an environment without an end does not stop everything else.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self, TypeVar

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from phys_samplers.errors import ConfigurationError, EnvironmentFailure
from phys_samplers.randomness import derive_seed
from phys_samplers.rl.law import ReturnScale
from phys_samplers.rl.spaces import Bounds, ObservationError, Observations, short
from phys_samplers.rl.transitions import Stepped

Maker = str | Callable[[], gymnasium.Env]
"""An id, or a function that makes an environment."""
Values = Callable[[Tensor], Tensor]
"""What actions are worth (R, E, A), at observations (R, E, F)."""
Made = TypeVar("Made")
SEEDS = 2**31
"""Environments take seeds below this."""
LIMIT = 10_000
"""Steps of an episode of an evaluation at most."""

RETURNS: dict[str, Callable[[float], tuple[float, float]]] = {
    "CartPole-v0": lambda gamma: (0.0, 1 / (1 - gamma)),
    "CartPole-v1": lambda gamma: (0.0, 1 / (1 - gamma)),
    "Acrobot-v1": lambda gamma: (-1 / (1 - gamma), 0.0),
    "MountainCar-v0": lambda gamma: (-1 / (1 - gamma), 0.0),
    "FrozenLake-v1": lambda gamma: (0.0, 1.0),
    "FrozenLake8x8-v1": lambda gamma: (0.0, 1.0),
    "LunarLander-v3": lambda gamma: (-300.0, 300.0),
}
"""Between what discounted returns lie, by environment and discount factor."""


def make_environment(environment: Maker, options: Mapping[str, Any] | None = None) -> gymnasium.Env[Any, Any]:
    """One environment.

    Raises:
        ConfigurationError: if there is none of that name, or its actions are not discrete.
        EnvironmentFailure: if making it fails otherwise.
    """
    label = name_of(environment)
    if isinstance(environment, str):
        made = _made(label, lambda: gymnasium.make(environment, disable_env_checker=True, **(options or {})))
    else:
        made = _made(label, environment)
    if not isinstance(made, gymnasium.Env):
        raise ConfigurationError(
            f"environment {label!r} is a {type(made).__module__}.{type(made).__name__}; expected a gymnasium.Env, of "
            "one agent and one copy (of several agents, wrap one, with what the others do held fixed)"
        )
    if not isinstance(made.action_space, spaces.Discrete):
        raise ConfigurationError(
            f"the actions of environment {label!r} are {made.action_space}; expected Discrete(n), "
            "a finite set of actions (wrap the environment to offer one)"
        )
    return made


def check_named(environment: Maker, options: Mapping[str, Any]) -> None:
    """Refuse an environment that a file names, unless it is registered and its options can open nothing.

    ``module:Id`` would import that module, and a text with dots or slashes may be a path, an address or a module to the
    environment that gets it.

    Raises:
        ConfigurationError: saying to give ``environment=``.
    """
    advice = "give environment= if you trust it"
    known = gymnasium.registry
    if not isinstance(environment, str) or not (
        environment in known or any(name.rpartition("-v")[0] == environment for name in known)
    ):
        raise ConfigurationError(
            f"the file of this agent names the environment {short(environment)}, which is not registered here; "
            f"import the package that registers it, or {advice}"
        )
    waiting = [*options.items()]
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, list | tuple):
            waiting += [(name, item) for item in value]
        elif not (value is None or isinstance(value, bool | int | float) or _is_word(value)) or not _is_word(name):
            raise ConfigurationError(
                f"the file of this agent gives its environment the option {short(name)} as {short(value)}; from a file "
                f"come numbers, true, false and single words only; {advice}"
            )


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9_-]{0,64}", value) is not None


def _made(label: str, maker: Callable[[], Made]) -> Made:
    try:
        return maker()
    except (gymnasium.error.NameNotFound, gymnasium.error.NamespaceNotFound, gymnasium.error.VersionNotFound) as error:
        raise ConfigurationError(f"there is no environment {label!r}: {error}") from None
    except gymnasium.error.DependencyNotInstalled as error:
        raise ConfigurationError(
            f"environment {label!r} needs a package that is not installed: {error}; for those of "
            "gymnasium's own environments: pip install 'phys-samplers[rl]'"
        ) from None
    except Exception as error:
        raise EnvironmentFailure(f"environment {label!r} cannot be made: {type(error).__name__}: {error}") from error


def name_of(environment: Maker) -> str:
    """For messages."""
    return environment if isinstance(environment, str) else getattr(environment, "__name__", type(environment).__name__)


def answered(environment: Maker, ask: Callable[[], Made]) -> Made:
    """What an environment answers.

    Raises:
        EnvironmentFailure: if it raises instead.
    """
    try:
        return ask()
    except Exception as error:
        raise EnvironmentFailure(
            f"environment {name_of(environment)!r} raised {type(error).__name__}: {error}"
        ) from error


def known_range(environment: Maker, options: Mapping[str, Any], gamma: float) -> ReturnScale:
    """Between what discounted returns of an environment lie, where that is known.

    Raises:
        ConfigurationError: if it is not; options may change it.
    """
    name = name_of(environment)
    if name in RETURNS and not options:
        return ReturnScale(*RETURNS[name](gamma))
    raise ConfigurationError(
        f"returns is None, and for environment {name!r}{' with options' if options else ''} the range of discounted "
        "returns is not known; expected returns=(low, high); rewards of at most 1 give returns=(0, 1/(1 - gamma)) at "
        "the most"
    )


class Watched:
    """One environment whose every answer is looked at.

    Args:
        environment: id or maker.
        options: keyword arguments of the id.
        others: environments that it must not be one of.
    """

    def __init__(self, environment: Maker, options: Mapping[str, Any] | None, others: Sequence[Watched] = ()) -> None:
        self.name = name_of(environment)
        self.environment = make_environment(environment, options)
        if any(self.environment is other.environment for other in others):
            raise ConfigurationError(
                f"{self.name!r} gave the same environment twice; expected a new one at every call, since training and "
                "evaluation would disturb one another"
            )
        try:
            self.observations = Observations.of(self.environment.observation_space)
        except ConfigurationError as error:
            raise ConfigurationError(f"environment {self.name!r}: {error}") from None
        space: Any = self.environment.action_space
        self.actions, self.first_action = int(space.n), int(space.start)
        self._bounds = Bounds(self.environment.observation_space, self.name)
        self.steps = 0
        self.allowed: np.ndarray | None = None

    def reset(self, seed: int | None = None) -> np.ndarray:
        """The row (F,) of the first observation of an episode."""
        try:
            observation, facts = self.environment.reset(seed=seed)
        except Exception as error:
            raise self._failure(f"reset() raised {type(error).__name__}: {error}") from error
        # Once an episode; within one shapes, integers and finite numbers are checked, which costs next to nothing.
        if not self.environment.observation_space.contains(observation):
            raise self._failure(
                f"reset() returned {short(observation)}, which its observation_space "
                f"{self.environment.observation_space} does not contain; mend the space or the observation (its dtype)"
            )
        return self._row(observation, facts, "reset()")

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool]:
        """The row that an action leads to, the reward, and whether the episode terminated or was truncated.

        Raises:
            EnvironmentFailure: if the environment raises, or returns what is not finite or not in its space.
        """
        self.steps += 1
        try:
            observation, reward, terminated, truncated, facts = self.environment.step(self.first_action + int(action))
            number = float(reward)
        except Exception as error:
            raise self._failure(f"step({action}) raised {type(error).__name__}: {error}") from error
        if not math.isfinite(number):
            raise self._failure(f"step() returned the reward {number}; expected finite numbers")
        return self._row(observation, facts, "step()"), number, bool(terminated), bool(truncated)

    def close(self) -> None:
        """Close it."""
        self.environment.close()

    def _row(self, observation: Any, facts: Any, what: str) -> np.ndarray:
        try:
            row = self.observations.row(observation)
        except ObservationError as error:
            raise self._failure(f"{what} returned the observation {short(observation)}; {error}") from None
        self._bounds(row)
        mask = facts.get("action_mask") if isinstance(facts, Mapping) else None
        if mask is not None:
            self.allowed = np.asarray(mask).astype(bool).reshape(-1)
            if self.allowed.shape != (self.actions,) or not self.allowed.any():
                raise self._failure(
                    f"{what} returned the action_mask {short(mask)}; expected {self.actions}, not all 0"
                )
        return row

    def _failure(self, what: str) -> EnvironmentFailure:
        return EnvironmentFailure(f"environment {self.name!r}, after {self.steps} steps: {what}")


class Environments:
    """N environments that are stepped together.

    Args:
        environment: id or maker.
        count: N.
        options: keyword arguments of the id.
        others: environments that these must be apart from.
    """

    def __init__(
        self,
        environment: Maker,
        count: int,
        *,
        options: Mapping[str, Any] | None = None,
        others: Sequence[Watched] = (),
    ) -> None:
        self.all: list[Watched] = []
        for _ in range(count):
            self.all.append(Watched(environment, options, [*others, *self.all]))
        self.observations, self.actions = self.all[0].observations, self.all[0].actions
        self.first_action = self.all[0].first_action
        kind = np.uint8 if self.observations.bytes else np.float32
        self.observation = np.empty((count, self.observations.features), kind)

    def reset(self, seeds: Sequence[int | None]) -> None:
        """Begin an episode in each."""
        for row, one, seed in zip(self.observation, self.all, seeds, strict=True):
            row[:] = one.reset(seed)

    def allowed(self) -> np.ndarray | None:
        """Which actions may be taken now (N, A), where the environments say so (``info["action_mask"]``)."""
        if self.all[0].allowed is None:
            return None
        return np.stack([np.ones(one.actions, bool) if one.allowed is None else one.allowed for one in self.all])

    def step(self, actions: np.ndarray) -> Stepped:
        """Take ``actions`` (N,)."""
        count = len(self.all)
        reward = np.empty(count, np.float32)
        terminated, truncated = np.empty(count, bool), np.empty(count, bool)
        final = np.empty_like(self.observation)
        for index, one in enumerate(self.all):
            final[index], reward[index], terminated[index], truncated[index] = one.step(int(actions[index]))
        allowed = self.allowed()
        self.observation = final
        done = terminated | truncated
        if done.any():
            self.observation = final.copy()
            for ended in np.flatnonzero(done).tolist():
                self.observation[ended] = self.all[ended].reset()
        return Stepped(reward, terminated, truncated, final, self.observation, allowed)

    def close(self) -> None:
        """Close every environment."""
        for one in self.all:
            one.close()


class GreedyEvaluation:
    """Episodes of the policy that takes the action of greatest value.

    Args:
        environment: id or maker.
        seeds: one a replica.
        options: keyword arguments of the id.
        episodes: E, of each replica and evaluation.
        limit: steps of an episode at most.
        device: where values are computed.
        others: environments that these must be apart from.
    """

    def __init__(
        self,
        environment: Maker,
        seeds: Sequence[int],
        *,
        episodes: int,
        options: Mapping[str, Any] | None = None,
        limit: int = LIMIT,
        device: torch.device | str = "cpu",
        others: Sequence[Watched] = (),
    ) -> None:
        self.seeds, self.episodes, self.limit, self.device = tuple(seeds), episodes, limit, device
        self._games = Environments(environment, len(seeds) * episodes, options=options, others=others)
        self.observations, self.actions = self._games.observations, self._games.actions

    def run(self, values: Values, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Undiscounted returns and lengths (R, E) of the evaluation ``index``, whose number seeds its episodes.

        Raises:
            EnvironmentFailure: if an environment raises, or returns what it must not.
        """
        games, count = self._games, self.episodes
        returns, lengths = np.zeros(len(games.all)), np.zeros(len(games.all), int)
        running = np.ones(len(games.all), bool)
        try:
            games.reset([derive_seed(s, "evaluation", index, e) % SEEDS for s in self.seeds for e in range(count)])
            for _ in range(self.limit):
                rows = torch.from_numpy(games.observation).view(len(self.seeds), count, -1).to(self.device)
                worth = values(games.observations.seen(rows)).flatten(0, 1)
                if (allowed := games.allowed()) is not None:
                    worth = worth.masked_fill(~torch.from_numpy(allowed).to(worth.device), -math.inf)
                actions = worth.argmax(-1).cpu().numpy()
                for place in np.flatnonzero(running).tolist():
                    row, reward, terminated, truncated = games.all[place].step(actions[place])
                    games.observation[place] = row
                    returns[place] += reward
                    lengths[place] += 1
                    running[place] = not (terminated or truncated)
                if not running.any():
                    break
        except EnvironmentFailure as error:
            raise EnvironmentFailure(f"in evaluation {index}: {error}") from error
        return returns.reshape(-1, count), lengths.reshape(-1, count)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Close every environment."""
        self._games.close()
