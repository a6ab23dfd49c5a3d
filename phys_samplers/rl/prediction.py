r"""Judging a given policy: the laws of its returns from transitions alone, X(z) = R + γX(z') in law.

Transitions come from a table of rows with probabilities: every (state, outcome) of a finite chain, or what a policy met
in an environment. A batch draws rows by their probabilities, so that the expectation of a loss is over the policy's own
transitions: these are sampled updates, no operator is applied exactly.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from phys_samplers.errors import ConfigurationError
from phys_samplers.fields.stacked import replica
from phys_samplers.options import check_values, option
from phys_samplers.randomness import Streams
from phys_samplers.rl.fitted import PredictedReturns
from phys_samplers.rl.law import ReturnScale
from phys_samplers.rl.recipe import ReturnModel
from phys_samplers.rl.transitions import Transitions
from phys_samplers.target import Target
from phys_samplers.training import Callback, TrainingPlan, TrainingReport, train


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """Transitions of a policy and where its returns are asked for.

    Args:
        observation: z (N, F).
        reward: r (N,), in the unit of the environment.
        terminal: (N,), booleans.
        next_observation: z' (N, F).
        probability: of each row (N,), summing to one.
        queries: observations (Q, F).
        gamma: γ.
        returns: (low, high) between which returns lie.
        updates: optimiser steps.
        batch_size: rows for each and replica.
        polyak: share of the live weights that the lagged network takes on at each update.
        clip_norm: largest gradient norm.

    Raises:
        ConfigurationError: on a bad value.
    """

    observation: Tensor
    reward: Tensor
    terminal: Tensor
    next_observation: Tensor
    probability: Tensor
    queries: Tensor
    gamma: float = option(above=0, most=1)
    returns: tuple[float, float]
    updates: int = option(4_000, least=1)
    batch_size: int = option(64, least=1)
    polyak: float = option(0.02, above=0, most=1)
    clip_norm: float | None = option(10.0, above=0)

    def __post_init__(self) -> None:
        check_values(self)
        rows = {name: len(getattr(self, name)) for name in ("observation", "reward", "terminal", "probability")}
        if len(set(rows.values())) != 1:
            raise ConfigurationError(f"rows are {rows}; expected as many of each")
        self.scale  # noqa: B018 - building it validates the range

    @property
    def scale(self) -> ReturnScale:
        """The unit of returns."""
        return ReturnScale(*map(float, self.returns))

    def learn(
        self,
        recipe: ReturnModel,
        target: Target,
        *,
        seeds: Sequence[int],
        device: torch.device | str = "cpu",
        callbacks: Sequence[Callback] = (),
    ) -> list[PredictedReturns | Exception]:
        """The laws by each seed, or the exception that ended it; all of them in one stacked run."""
        observation, following = self.observation.to(device), self.next_observation.to(device)
        discount = (self.gamma * ~self.terminal).to(device, torch.float32)
        reward = self.scale.reward(self.reward.to(device, torch.float32), discount)
        below = self.probability.double().cumsum(0).to(device)
        network = recipe.build(observation.shape[1], 1, streams=Streams(seeds, "weights", device="cpu")).to(device)
        lagged = copy.deepcopy(network).requires_grad_(False)
        live: list[Tensor] = list(network.parameters())
        old: list[Tensor] = list(lagged.parameters())
        batches, noise = Streams(seeds, "batches", device=device), Streams(seeds, "noise", device=device)
        action = torch.zeros(len(seeds), self.batch_size, dtype=torch.int64, device=device)

        def loss() -> Tensor:
            with torch.no_grad():
                torch._foreach_lerp_(old, live, self.polyak)
                uniforms = batches.uniform(self.batch_size, dtype=torch.float64)
                rows = torch.searchsorted(below, uniforms).clamp_(max=len(below) - 1)
            batch = Transitions(
                observation[rows], action, reward[rows], discount[rows], following[rows], action, (self.gamma,)
            )
            return network.loss(batch, lagged, noise)

        plan = TrainingPlan(
            steps=self.updates, learning_rate=recipe.learning_rate, ema_decay=1 - self.polyak, clip_norm=self.clip_norm
        )
        name = f"{type(recipe).__name__} on {target.name}"
        results: list[PredictedReturns | Exception] = []
        for index, report in enumerate(train(network, loss, plan, callbacks=callbacks, description=name)):
            if not isinstance(report, TrainingReport):
                results.append(report)
                continue
            one = replica(network, index).requires_grad_(False)
            model = PredictedReturns(recipe, one, queries=self.queries.to(device), scale=self.scale)
            model.target_name, model.event_shape, model.report = target.name, target.event_shape, report
            results.append(model)
        return results
