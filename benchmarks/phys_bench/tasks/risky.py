r"""Choices to be judged by their worst outcomes: where the shape of the return's law decides, and its mean misleads.

In each of four situations one of four gambles is chosen, and pays after ``DELAY`` idle steps. With b the level of the
situation and q its risk,

    sure           b + .02,
    close          b − .01 or b + .05, alike,
    catastrophe    b + .10, or nothing with probability q,
    spread         b + .25 (70 %) or b − .25 (30 %), the best in the mean.

The mean of the worst tenth is b + .02, b − .01, (1 − 10q)(b + .10) and b − .25: sure or catastrophe is best, by q.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import torch
from torch import Tensor

from phys_samplers.errors import ConfigurationError
from phys_samplers.rl.control import Control
from phys_samplers.rl.recipe import ReturnTask

LEVELS = (0.40, 0.40, 0.60, 0.60)
RISKS = (0.005, 0.03, 0.005, 0.03)
DELAY = 1
TAIL = 0.1
GAMMA = 0.99
EPISODES = 2_000


class RiskyChoices(gymnasium.Env[int, int]):
    """See the module; the observation is the situation and how long the gamble has been running."""

    observation_space: Any = gymnasium.spaces.Discrete(len(LEVELS) * (DELAY + 1) * 4)
    action_space: Any = gymnasium.spaces.Discrete(4)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[int, dict[str, Any]]:
        """A new situation."""
        super().reset(seed=seed)
        self._situation = int(self.np_random.integers(len(LEVELS)))
        self._gamble = self._waited = 0
        return self._observation(), {}

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        """Choose, then wait."""
        if self._waited == 0:
            self._gamble = int(action)
        self._waited += 1
        if self._waited <= DELAY:
            return self._observation(), 0.0, False, False, {}
        return self._observation(last=True), self._payment(), True, False, {}

    def _observation(self, last: bool = False) -> int:
        waited = DELAY if last else self._waited
        return (self._situation * (DELAY + 1) + waited) * 4 + self._gamble

    def _payment(self) -> float:
        level, chance = LEVELS[self._situation], self.np_random.random()
        if self._gamble == 0:
            return level + 0.02
        if self._gamble == 1:
            return level + (-0.01 if chance < 0.5 else 0.05)
        if self._gamble == 2:
            return 0.0 if chance < RISKS[self._situation] else level + 0.10
        return level + (0.25 if chance < 0.7 else -0.25)


class Gambles:
    """What is exactly known: ``choices`` are the states (4,) of a choice and the worth (4, 4) of each action there."""

    event_shape = (1,)
    tail = TAIL

    @property
    def choices(self) -> tuple[Tensor, Tensor]:
        """States and discounted means of the worst tenth."""
        level, risk = (torch.tensor(values, dtype=torch.float64) for values in (LEVELS, RISKS))
        rare = (1 - risk / TAIL) * (level + 0.10)
        worst = torch.stack((level + 0.02, level - 0.01, rare, level - 0.25), 1)
        return torch.arange(len(LEVELS)) * (DELAY + 1) * 4, GAMMA**DELAY * worst


def risky_choices(*, steps: int = 12_000, tail: float = TAIL, update_every: int = 2) -> ReturnTask:
    """Gambles to choose between by their worst tenth; see ``RiskyChoices``.

    Args:
        steps: of the environment.
        tail: share of the worst returns that actions are judged by; 1 for the mean.
        update_every: steps for each update.

    Raises:
        ConfigurationError: on a bad option.
    """
    if steps < 1_000:
        raise ConfigurationError(f"steps of task 'risky-choices' is {steps}; expected at least 1,000")
    control = Control(
        environment=RiskyChoices,
        returns=(0.0, 1.0),
        gamma=GAMMA,
        steps=steps,
        update_every=update_every,
        n_step=1,
        batch_size=64,
        epsilon_decay=steps,
        epsilon_end=0.3,
        tail=tail,
        evaluate_every=steps // 4,
        episodes=200,
    )
    return ReturnTask(
        event_shape=(1,),
        name="risky-choices",
        law=Gambles(),
        experience=control,
        metrics=("choice-regret", "choice-error", "final-return[tail=0.1]", "final-return"),
        eval_size=EPISODES,
        version=1,
    )
