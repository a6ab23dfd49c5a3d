"""Environments of gymnasium for R replicas: made alike, seeded apart, watched for what they must not return.

Training steps one environment a replica. gymnasium's vector classes would copy every observation twice and cost almost
twice as much per step here, so environments are stepped one by one; an episode that ends is reset within the same step
(``AutoresetMode.SAME_STEP`` in gymnasium's terms), and the last observation of the old episode is what the transition
holds.

Greedy episodes have environments of their own, which share neither state nor randomness with those of training: each
replica has a vector environment of all its episodes (gymnasium's own vectorised one where there is one, else one after
the other); what follows an episode's first end is not counted, so that the autoreset mode is of no account.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from phys_samplers.errors import ConfigurationError, EnvironmentFailure
from phys_samplers.randomness import derive_seed
from phys_samplers.rl.transitions import Stepped

Maker = str | Callable[[], gymnasium.Env]
"""An id, or a function that makes an environment."""
Values = Callable[[Tensor], Tensor]
"""What actions are worth (R, E, A), at observations (R, E, F)."""
Made = TypeVar("Made")
SEEDS = 2**31
"""Environments take seeds below this."""

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


@dataclass(frozen=True)
class Encoder:
    """Observations of a space as vectors of numbers: boxes flattened, discrete ones as one-hot vectors.

    Args:
        space: of observations.
    """

    space: spaces.Space[Any]

    @property
    def discrete(self) -> bool:
        """Whether observations are integers."""
        return isinstance(self.space, spaces.Discrete)

    @property
    def features(self) -> int:
        """F."""
        return int(spaces.flatdim(self.space))

    def __call__(self, observation: Any) -> np.ndarray:
        """The vector (F,) of one observation."""
        if isinstance(self.space, spaces.Box):
            return np.asarray(observation, dtype=np.float32).reshape(-1)
        return np.asarray(spaces.flatten(self.space, observation), dtype=np.float32)

    def batch(self, observations: np.ndarray) -> np.ndarray:
        """Vectors (N, F) of the observations (N, …) of a vector environment."""
        if isinstance(self.space, spaces.Discrete):
            return np.eye(self.features, dtype=np.float32)[np.asarray(observations) - self.space.start]
        if isinstance(self.space, spaces.Box):
            return np.asarray(observations, dtype=np.float32).reshape(len(observations), -1)
        from gymnasium.vector.utils import iterate

        batched = gymnasium.vector.utils.batch_space(self.space, len(observations))
        return np.stack([self(row) for row in iterate(batched, observations)])


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
    _check_spaces(label, made.observation_space, made.action_space)
    return made


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


def _check_spaces(label: str, observations: spaces.Space[Any], actions: spaces.Space[Any]) -> None:
    if not isinstance(actions, spaces.Discrete) or actions.start:
        raise ConfigurationError(
            f"the actions of environment {label!r} are {actions}; expected Discrete(n) from 0, "
            "a finite set of actions (wrap the environment to offer one)"
        )
    try:
        spaces.flatdim(observations)
    except (NotImplementedError, ValueError):
        raise ConfigurationError(
            f"the observations of environment {label!r} are {observations}, which has no fixed length; "
            "expected a Box, Discrete, MultiBinary, MultiDiscrete, Tuple or Dict space"
        ) from None


def name_of(environment: Maker) -> str:
    """For messages."""
    return environment if isinstance(environment, str) else getattr(environment, "__name__", type(environment).__name__)


class Environments:
    """R environments with seeds of their own.

    Args:
        environment: id or maker.
        options: keyword arguments of the id.
        seeds: one a replica.
        labels: what they are for; environments of different labels see different randomness.
    """

    def __init__(
        self, environment: Maker, *, seeds: Sequence[int], labels: Sequence[str], options: dict[str, Any] | None = None
    ) -> None:
        self.name = name_of(environment)
        self._all = [make_environment(environment, options) for _ in seeds]
        first = self._all[0]
        self.encoder = Encoder(first.observation_space)
        assert isinstance(first.action_space, spaces.Discrete)
        self.actions = int(first.action_space.n)
        self.steps = 0
        shape = (len(seeds), self.encoder.features)
        self.observation = np.empty(shape, np.float32)
        for row, one, seed in zip(self.observation, self._all, seeds, strict=True):
            self._reset(row, one, seed=derive_seed(seed, *labels) % SEEDS)

    def step(self, actions: np.ndarray) -> Stepped:
        """Take ``actions`` (R,).

        Raises:
            EnvironmentFailure: if an environment raises, or returns what is not finite or not in its space.
        """
        self.steps += 1
        count = len(self._all)
        reward = np.empty(count, np.float32)
        terminated, truncated = np.empty(count, bool), np.empty(count, bool)
        final = np.empty_like(self.observation)
        for index, one in enumerate(self._all):
            try:
                observation, reward[index], terminated[index], truncated[index], _ = one.step(actions[index])
                final[index] = self.encoder(observation)
            except Exception as error:
                raise self._failure(f"step({actions[index]}) raised {type(error).__name__}: {error}") from error
        if not (np.isfinite(reward).all() and math.isfinite(float(final.sum()))):
            raise self._failure(self._not_finite(reward, final))
        self.observation = final
        done = terminated | truncated
        if done.any():
            self.observation = final.copy()
            for ended in np.flatnonzero(done).tolist():
                self._reset(self.observation[ended], self._all[ended])
        return Stepped(reward, terminated, truncated, final, self.observation)

    def close(self) -> None:
        """Close every environment."""
        for one in self._all:
            one.close()

    def _reset(self, row: np.ndarray, one: gymnasium.Env[Any, Any], seed: int | None = None) -> None:
        try:
            observation, _ = one.reset(seed=seed)
        except Exception as error:
            raise self._failure(f"reset() raised {type(error).__name__}: {error}") from error
        # Once an episode; within one only shapes and finite numbers are checked, which costs nothing.
        if not one.observation_space.contains(observation):
            raise self._failure(
                f"reset() returned {_short(observation)}, which its observation_space {one.observation_space} does not "
                "contain; mend the space or the observation (its dtype too)"
            )
        row[:] = self.encoder(observation)

    def _not_finite(self, reward: np.ndarray, final: np.ndarray) -> str:
        bad = int(np.flatnonzero(~np.isfinite(reward) | ~np.isfinite(final).all(1))[0])
        what = f"reward {reward[bad]}" if not np.isfinite(reward[bad]) else f"observation {_short(final[bad])}"
        return f"step() returned the {what} in replica {bad}; expected finite numbers"

    def _failure(self, what: str) -> EnvironmentFailure:
        return EnvironmentFailure(f"environment {self.name!r}, after {self.steps} steps: {what}")


class GreedyEvaluation:
    """Episodes of the policy that takes the action of greatest value.

    Args:
        environment: id or maker.
        seeds: one a replica.
        options: keyword arguments of the id.
        episodes: E, of each replica and evaluation.
        device: where values are computed.
    """

    def __init__(
        self,
        environment: Maker,
        seeds: Sequence[int],
        *,
        episodes: int,
        options: Mapping[str, Any] | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self.name, self.seeds, self.episodes, self.device = name_of(environment), tuple(seeds), episodes, device
        self._all = [_vector(environment, episodes, dict(options or {})) for _ in seeds]
        self._encoder = Encoder(self._all[0].single_observation_space)

    def run(self, values: Values, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Undiscounted returns and lengths (R, E) of the evaluation ``index``, whose number seeds its episodes.

        Raises:
            EnvironmentFailure: if an environment raises.
        """
        shape = (len(self._all), self.episodes)
        returns, lengths = np.zeros(shape), np.zeros(shape, int)
        running = np.ones(shape, bool)
        try:
            rows = [
                self._encoder.batch(one.reset(seed=derive_seed(seed, "evaluation", index) % SEEDS)[0])
                for one, seed in zip(self._all, self.seeds, strict=True)
            ]
            while running.any():
                observation = torch.from_numpy(np.stack(rows)).to(self.device)
                actions = values(observation).argmax(-1).cpu().numpy()
                for r, one in enumerate(self._all):
                    if not running[r].any():
                        continue
                    observed, reward, terminated, truncated, _ = one.step(actions[r])
                    returns[r] += np.where(running[r], reward, 0.0)
                    lengths[r] += running[r]
                    running[r] &= ~(terminated | truncated)
                    rows[r] = self._encoder.batch(observed)
        except gymnasium.error.Error as error:
            raise EnvironmentFailure(f"environment {self.name!r}, in evaluation {index}: {error}") from error
        return returns, lengths

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Close every environment."""
        for one in self._all:
            one.close()


def _vector(environment: Maker, episodes: int, options: dict[str, Any]) -> gymnasium.vector.VectorEnv[Any, Any, Any]:
    if not isinstance(environment, str):
        return gymnasium.vector.SyncVectorEnv([lambda: make_environment(environment)] * episodes)
    made = _made(environment, lambda: gymnasium.make_vec(environment, num_envs=episodes, **options))
    _check_spaces(environment, made.single_observation_space, made.single_action_space)
    return made


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
