"""A corridor small enough that an agent learns it in a second."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

LENGTH = 4


class Corridor(gymnasium.Env):
    """States 0..3, from 0; action 1 goes right, 0 stays; the end pays 1. Slips with probability ``slip``."""

    def __init__(self, slip: float = 0.1, discrete: bool = True) -> None:
        self.observation_space = spaces.Discrete(LENGTH) if discrete else spaces.Box(0, 1, (LENGTH,), np.float32)
        self.action_space = spaces.Discrete(2)
        self.slip, self.discrete, self.at = slip, discrete, 0

    def _seen(self) -> Any:
        return self.at if self.discrete else np.eye(LENGTH, dtype=np.float32)[self.at]

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict]:
        super().reset(seed=seed)
        self.at = 0
        return self._seen(), {}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict]:
        if action == 1 and self.np_random.random() >= self.slip:
            self.at += 1
        done = self.at == LENGTH - 1
        return self._seen(), float(done), done, False, {}


def corridor() -> gymnasium.Env:
    return gymnasium.wrappers.TimeLimit(Corridor(), 20)


@pytest.fixture
def maker():
    return corridor


@pytest.fixture
def small() -> dict[str, Any]:
    """Options of a short training."""
    return {
        "returns": (0.0, 1.0),
        "gamma": 0.9,
        "steps": 240,
        "learning_starts": 60,
        "epsilon_decay": 120,
        "n_step": 2,
        "polyak": 0.05,
        "evaluate_every": 80,
        "episodes": 4,
    }
