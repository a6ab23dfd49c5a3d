"""What return models learn from: batches of transitions, and the unit in which they see returns."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from phys_samplers.errors import ConfigurationError


class Transitions(NamedTuple):
    """A batch for R stacked replicas; X(z, a) is to follow the law of ``reward + discount · X(z', a')``.

    Rewards, like all returns that networks see, are in the unit of ``ReturnScale``.

    Args:
        observation: z (R, B, F).
        action: a (R, B), integers.
        reward: of the step, or the discounted sum over n steps (R, B).
        discount: γⁿ, and 0 after a terminal step (R, B). A truncation by a time limit is not terminal.
        next_observation: z' (R, B, F).
        next_action: a' (R, B), integers.
        discounts: the numbers other than 0 that ``discount`` may hold, the most frequent first.
    """

    observation: Tensor
    action: Tensor
    reward: Tensor
    discount: Tensor
    next_observation: Tensor
    next_action: Tensor
    discounts: tuple[float, ...]


@dataclass(frozen=True)
class ReturnScale:
    """Returns between ``low`` and ``high`` as numbers between 0 and 1: y = (x − low)/(high − low).

    x = r + γx' becomes y = ρ + γy' with ρ = (r − (1 − γ) low)/(high − low), which also holds at a terminal step with
    γ = 0.

    Args:
        low: a return that is hardly ever fallen short of.
        high: one that is hardly ever exceeded.

    Raises:
        ConfigurationError: unless both are finite and ``low`` < ``high``.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ConfigurationError(
                f"returns are to lie between {self.low} and {self.high}; expected two finite numbers, the lower first"
            )

    @property
    def width(self) -> float:
        """high − low."""
        return self.high - self.low

    def reward(self, reward: Tensor, discount: Tensor) -> Tensor:
        """ρ of rewards r and discounts γ."""
        return (reward - (1 - discount) * self.low) / self.width

    def forward(self, x: Tensor) -> Tensor:
        """y of returns x."""
        return (x - self.low) / self.width

    def backward(self, y: Tensor) -> Tensor:
        """x of y."""
        return self.low + self.width * y
