"""Greedy episodes on environments of their own, which share neither state nor randomness with those of training.

Each replica has a vector environment of all its episodes (gymnasium's own vectorised one where there is one, else one
after the other, ``AutoresetMode.NEXT_STEP``); what follows an episode's first end is not counted, so that the autoreset
mode is of no account.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
import torch
from torch import Tensor

from phys_samplers.errors import EnvironmentFailure
from phys_samplers.randomness import derive_seed
from phys_samplers.rl.environment import SEEDS, Encoder, Maker, make_environment, name_of

Values = Callable[[Tensor], Tensor]
"""What actions are worth (R, E, A), at observations (R, E, F)."""


class GreedyEvaluation:
    """Episodes of the policy that takes the action of greatest value.

    Args:
        environment: id or maker.
        options: keyword arguments of the id.
        seeds: one a replica.
        episodes: E, of each replica and evaluation.
        device: where values are computed.
    """

    def __init__(
        self,
        environment: Maker,
        *,
        seeds: Sequence[int],
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

    def close(self) -> None:
        """Close every environment."""
        for one in self._all:
            one.close()


def _vector(environment: Maker, episodes: int, options: dict[str, Any]) -> gymnasium.vector.VectorEnv[Any, Any, Any]:
    if isinstance(environment, str):
        make_environment(environment, options).close()  # for its clear errors
        return gymnasium.make_vec(environment, num_envs=episodes, **options)
    return gymnasium.vector.SyncVectorEnv([lambda: make_environment(environment)] * episodes)
