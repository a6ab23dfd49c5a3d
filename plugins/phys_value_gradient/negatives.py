"""Algorithm 3's use of the sampler: negative samples for an energy under training, which the values follow."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from phys_samplers.fields.stacked import replica
from phys_samplers.randomness import Streams
from phys_samplers.sampler import Model
from phys_samplers.training.state import OptimiserMemory, Resumable, gather, scatter
from phys_value_gradient.landscapes import Critic, LearnedLandscape
from phys_value_gradient.learning import Learner
from phys_value_gradient.policy import walk


class ValueNegatives:
    """A running supply; see ``phys_samplers.negatives.Negatives``.

    Args:
        learner: of values in the live energy; one replica.
        walk_options: of the walks that are drawn; see ``policy.walk``.
        rows: (N, K) that walks start from, carried to t = 0; None starts them at the prior.
        learning_rate: of Adam; it stays constant here, for there is no last step.
        clip_norm: largest gradient norm.
        finish: makes the model of a critic.
        seed: of every random draw.
    """

    def __init__(
        self,
        learner: Learner,
        walk_options: dict[str, Any],
        *,
        rows: Tensor | None,
        learning_rate: float,
        clip_norm: float | None,
        finish: Callable[[Critic], Model],
        seed: int,
    ) -> None:
        self._learner, self._walk_options, self._rows = learner, walk_options, rows
        self._clip_norm, self._finish = clip_norm, finish
        self._parameters = list(learner.critic.parameters())
        self._optimiser = torch.optim.Adam(self._parameters, lr=learning_rate, fused=True)
        self._streams = Streams([seed], "negatives", device=learner.critic.offset.device)
        memory = OptimiserMemory(self._optimiser)
        self._parts: dict[str, Resumable] = {
            "critic": learner.critic,
            "learner": learner,
            "adam": memory,
            "streams": self._streams,
        }

    @torch.no_grad()
    def draw(self, n: int) -> Tensor:
        """``n`` samples (n, *event_shape) of the energy as the values of the target network know it."""
        learner, energy = self._learner, self._learner.energy
        ends = walk(
            LearnedLandscape(learner.target, energy),
            learner.policy,
            self._start(n),
            lambda: self._streams.normal(n, energy.dim),
            **self._walk_options,
        ).ends(learner.policy.process.steps)
        return energy.density.embed(ends)

    def learn(self) -> None:
        """One iteration of Algorithm 2 in the energy as it is now."""
        for _ in range(self._learner.options.updates_per_walk):
            self._optimiser.zero_grad()
            self._learner.loss().sum().backward()
            if self._clip_norm is not None:
                torch.nn.utils.clip_grad_norm_(self._parameters, self._clip_norm)
            self._optimiser.step()

    def state_dict(self) -> dict[str, Tensor]:
        """Those of the critic, its learning loop, its optimiser and the random stream."""
        return gather(self._parts)

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """See ``Negatives.load_state_dict``."""
        scatter(self._parts, state)

    def model(self) -> Model:
        """The values of the target network as a model, whose walks start at the prior; see ``Negatives.model``."""
        return self._finish(replica(self._learner.target, 0).requires_grad_(False))

    def _start(self, n: int) -> Tensor:
        """x_0 (1, n, K): prior draws, or rows x_T carried to t = 0, a_0 x_T + √b_0 ε."""
        learner = self._learner
        if self._rows is None:
            return self._streams.normal(n, learner.energy.dim).mul_(learner.target.log_std.exp())
        scale, blur = learner.policy.process.marginals[0]
        rows = self._rows[self._streams.integers(len(self._rows), n)]
        return rows.mul_(scale).add_(self._streams.normal(*rows.shape[1:]), alpha=math.sqrt(blur))
