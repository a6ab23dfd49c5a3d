r"""What return models learn from: batches of transitions, and the replay that agents draw them from.

From the step i of a stream, the n-step target sums r_i + γr_{i+1} + … up to the end of the episode, the newest step
kept, or n steps, whichever comes first; with k + 1 steps summed it goes on from the observation that step i + k led to
with the discount γ^{k+1}, or 0 if that step was terminal. A truncation ends the sum and is bootstrapped from.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


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


class Stepped(NamedTuple):
    """What a step of R environments gave.

    Args:
        reward: (R,).
        terminated: (R,), the episode reached an end of its own.
        truncated: (R,), it was cut off by a time limit.
        final: observations (R, F) that the step led to.
        observation: those to act on next: the first of a new episode where one ended, else the same (R, F).
        allowed: actions that may be taken at ``final`` (R, A); None for all.
    """

    reward: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    final: np.ndarray
    observation: np.ndarray
    allowed: np.ndarray | None = None


class Replay:
    """The last ``capacity`` steps of each replica.

    Args:
        replicas: R.
        features: F.
        capacity: steps a replica.
        n_step: n.
        gamma: γ, per step.
        device: where they are kept.
        actions: A, where not all of them may always be taken; 0 if they may.
        dtype: of observations.
    """

    def __init__(
        self,
        replicas: int,
        features: int,
        *,
        capacity: int,
        n_step: int,
        gamma: float,
        device: torch.device | str,
        actions: int = 0,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.capacity, self.n_step, self.gamma = capacity, n_step, gamma
        self.taken = 0
        self._observation = torch.zeros(replicas, capacity, features, dtype=dtype, device=device)
        self._next = torch.zeros(replicas, capacity, features, dtype=dtype, device=device)
        self._action = torch.zeros(replicas, capacity, dtype=torch.int64, device=device)
        self._reward = torch.zeros(replicas, capacity, device=device)
        self._terminated = torch.zeros(replicas, capacity, dtype=torch.bool, device=device)
        self._allowed = torch.ones(replicas, capacity, actions, dtype=torch.bool, device=device)
        self._ended = torch.zeros(replicas, capacity, dtype=torch.bool, device=device)
        self._rows = torch.arange(replicas, device=device).unsqueeze(1)
        self._ahead = torch.arange(n_step, device=device)
        self._discounts = gamma ** torch.arange(n_step + 1, device=device, dtype=torch.float32)

    @property
    def discounts(self) -> tuple[float, ...]:
        """What discounts may be, but for 0: γⁿ, and less for sums that end early."""
        return tuple(self.gamma**count for count in range(self.n_step, 0, -1))

    def __len__(self) -> int:
        return min(self.taken, self.capacity)

    def add(self, observation: np.ndarray, action: np.ndarray, step: Stepped) -> None:
        """Keep a step of every replica: ``action`` (R,) at ``observation`` (R, F), and what came of it."""
        at = self.taken % self.capacity
        self._observation[:, at] = torch.from_numpy(observation)
        self._action[:, at] = torch.from_numpy(action)
        self._reward[:, at] = torch.from_numpy(step.reward)
        self._next[:, at] = torch.from_numpy(step.final)
        self._terminated[:, at] = torch.from_numpy(step.terminated)
        self._ended[:, at] = torch.from_numpy(step.terminated | step.truncated)
        if step.allowed is not None:
            self._allowed[:, at] = torch.from_numpy(step.allowed)
        self.taken += 1

    def draw(self, uniforms: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
        """n-step transitions from steps drawn uniformly.

        Args:
            uniforms: draws (R, B) on [0, 1).

        Returns:
            Observation (R, B, F), action (R, B), reward (R, B), discount (R, B), next observation (R, B, F), and the
            actions that may be taken there (R, B, A).
        """
        kept = len(self)
        oldest = self.taken - kept
        steps = (uniforms * kept).long().clamp_(max=kept - 1) + oldest
        window = steps.unsqueeze(-1) + self._ahead
        newest = window >= self.taken - 1
        index = window.clamp_(max=self.taken - 1) % self.capacity
        rows = self._rows.unsqueeze(-1)
        stop = self._ended[rows, index] | newest
        # one before and at the first stop, zero after it
        before = (stop.cumsum(-1) - stop.long()) == 0
        reward = (self._reward[rows, index] * before * self._discounts[:-1]).sum(-1)
        count = before.sum(-1)
        last = index.gather(-1, (count - 1).unsqueeze(-1)).squeeze(-1)
        discount = self._discounts[count] * ~self._terminated[self._rows, last]
        first = index[..., 0]
        return (
            self._observation[self._rows, first],
            self._action[self._rows, first],
            reward,
            discount,
            self._next[self._rows, last],
            self._allowed[self._rows, last],
        )
