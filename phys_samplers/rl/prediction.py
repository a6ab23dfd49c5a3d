r"""Judging a given policy: the laws of its returns from transitions alone, X(z) = R + γX(z') in law.

Transitions come from a table of rows with probabilities: every (state, outcome) of a finite chain, or what a policy met
in an environment. A batch draws rows by their probabilities, so that the expectation of a loss is over the policy's own
transitions: these are sampled updates, no operator is applied exactly.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any, cast

import torch
from torch import Tensor, nn

from phys_samplers.errors import ConfigurationError
from phys_samplers.objective import Objective, digest
from phys_samplers.options import check_values, option
from phys_samplers.randomness import Streams
from phys_samplers.rl.fitted import Build, PredictedReturns, ReturnNetwork
from phys_samplers.rl.law import ReturnScale
from phys_samplers.rl.transitions import Transitions
from phys_samplers.training import Callback, TrainingPlan


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

    def plan(self, learning_rate: float) -> TrainingPlan:
        """How to train: the weights returned are averaged like the lagged ones."""
        return TrainingPlan(
            steps=self.updates, learning_rate=learning_rate, ema_decay=1 - self.polyak, clip_norm=self.clip_norm
        )

    def facts(self) -> dict[str, Any]:
        """JSON-like, what a checkpoint of training must agree with."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: digest(value) if isinstance(value, Tensor) else repr(value) for name, value in values.items()}

    @contextmanager
    def training_objective(
        self,
        build: Build,
        *,
        seeds: Sequence[int],
        device: torch.device | str = "cpu",
        callbacks: Sequence[Callback] = (),
    ) -> Iterator[Objective]:
        """The laws of each seed; all of them in one stacked network."""
        observation, following = self.observation.to(device), self.next_observation.to(device)
        discount = (self.gamma * ~self.terminal).to(device, torch.float32)
        reward = self.scale.reward(self.reward.to(device, torch.float32), discount)
        below = self.probability.double().cumsum(0).to(device)
        network = build(observation.shape[1], 1, streams=Streams(seeds, "weights", device="cpu")).to(device)
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

        def finish(one: nn.Module, seed: int) -> PredictedReturns:
            return PredictedReturns(cast(ReturnNetwork, one), queries=self.queries.to(device), scale=self.scale)

        yield Objective(network, loss, finish, state=(lagged, batches, noise))
