r"""Learning to act: one agent loop for every return model.

Off-policy Q-learning with laws instead of values: X(z, a) follows the law of Σ_{i<n} γ^i r_i + γ^n X(z', a'), with a'
the best action at z' by the live network (Double-Q; van Hasselt et al. 2016) or the lagged one, the law of X(z', a') by
the lagged network, and ε-greedy steps kept for replay (Mnih et al. 2015). Actions are judged by the mean of their laws,
or by the mean of the worst share of it (conditional value at risk).

The lagged network is a Polyak average, or a copy taken now and then. The average is also what is evaluated and
deployed: a linear head's preferences jitter from update to update, which averaging removes.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from phys_samplers.errors import ConfigurationError
from phys_samplers.fields.stacked import replica
from phys_samplers.objective import Objective
from phys_samplers.options import check_values, option
from phys_samplers.randomness import Streams, derive_seed
from phys_samplers.rl.agent import Agent
from phys_samplers.rl.environment import LIMIT, SEEDS, Environments, GreedyEvaluation, Maker, known_range, name_of
from phys_samplers.rl.fitted import Build, ReturnNetwork
from phys_samplers.rl.law import ReturnScale
from phys_samplers.rl.spaces import RangeWatch, allowed_one
from phys_samplers.rl.transitions import Replay, Transitions
from phys_samplers.training import Callback, TrainingPlan
from phys_samplers.training.loop import default_callbacks

BLOCK = 512
"""Steps for which random numbers are drawn at a time."""


@dataclass(frozen=True, kw_only=True)
class Control:
    """How an agent meets its environment; nothing here depends on the return model.

    Args:
        environment: a gymnasium id, or a function that makes an environment.
        environment_options: keyword arguments for the id.
        gamma: discount factor γ.
        returns: (low, high) between which discounted returns lie; known for some ids.
        steps: of each replica in its environment.
        learning_starts: random steps before the first update.
        update_every: environment steps for each update.
        batch_size: transitions for each update and replica.
        capacity: steps that replay keeps.
        n_step: n.
        epsilon_decay: steps over which ε falls from 1 to
        epsilon_end: its last value.
        polyak: share of the live weights that the lagged network takes on at each update.
        copy_every: updates between copies instead; None for the average.
        double: whether the live network chooses a'.
        tail: actions are judged by the mean of this share of their worst returns; 1 for the mean.
        clip_norm: largest gradient norm.
        decay: of the learning rate, ``constant`` or ``cosine``.
        evaluate_every: environment steps between evaluations.
        episodes: of each evaluation.
        episode_limit: steps of an episode of an evaluation at most.

    Raises:
        ConfigurationError: on a bad value.
    """

    environment: Maker
    environment_options: Mapping[str, Any] = field(default_factory=dict)
    gamma: float = option(0.99, above=0, below=1)
    returns: tuple[float, float] | None = None
    steps: int = option(12_000, least=1)
    learning_starts: int = option(500, least=1)
    update_every: int = option(1, least=1)
    batch_size: int = option(32, least=1)
    capacity: int = option(50_000, least=1)
    n_step: int = option(5, least=1)
    epsilon_decay: int = option(4_000, least=1)
    epsilon_end: float = option(0.05, least=0, most=1)
    polyak: float = option(0.02, above=0, most=1)
    copy_every: int | None = option(None, least=1)
    double: bool = True
    tail: float = option(1.0, above=0, most=1)
    clip_norm: float | None = option(10.0, above=0)
    decay: Literal["constant", "cosine"] = "constant"
    evaluate_every: int = option(500, least=1)
    episodes: int = option(10, least=1)
    episode_limit: int = option(LIMIT, least=1)

    def __post_init__(self) -> None:
        check_values(self)
        if self.learning_starts + self.update_every > self.steps:
            raise ConfigurationError(
                f"steps is {self.steps} and learning_starts {self.learning_starts}; expected steps left for learning"
            )
        if self.n_step > self.capacity:
            raise ConfigurationError(f"n_step is {self.n_step} and capacity {self.capacity}; expected room for n steps")
        self.scale  # noqa: B018 - building it validates the range

    @property
    def name(self) -> str:
        """Of the environment, for messages."""
        return name_of(self.environment)

    @property
    def scale(self) -> ReturnScale:
        """The unit of returns; see ``known_range``."""
        if self.returns is not None:
            return ReturnScale(*map(float, self.returns))
        return known_range(self.environment, self.environment_options, self.gamma)

    def plan(self, learning_rate: float) -> TrainingPlan:
        """How to train; the lagged network is the average of the weights."""
        updates = (self.steps - self.learning_starts) // self.update_every
        return TrainingPlan(
            steps=updates, learning_rate=learning_rate, decay=self.decay, ema_decay=0.0, clip_norm=self.clip_norm
        )

    def facts(self) -> dict[str, Any]:
        """Nothing: there is no checkpoint to agree with."""
        return {}

    @contextmanager
    def training_objective(
        self,
        build: Build,
        *,
        seeds: Sequence[int],
        device: torch.device | str = "cpu",
        callbacks: Sequence[Callback] = (),
    ) -> Iterator[Objective]:
        """One agent per seed, all in one stacked network; environments cannot be saved, so it cannot be resumed."""
        learner = Learner(self, build, seeds=seeds, device=device, callbacks=default_callbacks(callbacks))
        try:
            yield Objective(learner.network, learner.loss, learner.finish, state=None)
        finally:
            learner.close()


class Learner:
    """The state of R replicas that learn."""

    def __init__(
        self,
        control: Control,
        build: Build,
        *,
        seeds: Sequence[int],
        device: torch.device | str,
        callbacks: Sequence[Callback],
    ) -> None:
        self.control, self.seeds, self.device, self.callbacks = control, list(seeds), device, callbacks
        options = dict(control.environment_options)
        self.environments = Environments(control.environment, len(seeds), options=options)
        self.environments.reset([derive_seed(seed, "training") % SEEDS for seed in seeds])
        self.evaluation = GreedyEvaluation(
            control.environment,
            seeds,
            episodes=control.episodes,
            options=options,
            limit=control.episode_limit,
            device=device,
            others=self.environments.all,
        )
        observations, actions = self.environments.observations, self.environments.actions
        self.network = build(observations.features, actions, streams=Streams(seeds, "weights", device="cpu")).to(device)
        self.lagged = copy.deepcopy(self.network).requires_grad_(False)
        self.replay = Replay(
            len(seeds),
            observations.features,
            capacity=min(control.capacity, control.steps),
            n_step=control.n_step,
            gamma=control.gamma,
            device=device,
            actions=0 if self.environments.allowed() is None else actions,
            dtype=torch.uint8 if observations.bytes else torch.float32,
        )
        self.scale = control.scale
        self._range = RangeWatch(self.scale, control.gamma, len(seeds))
        self._batches = _blocks(Streams(seeds, "replay", device=device), control.batch_size)
        self._choices = _blocks(Streams(seeds, "exploration", device="cpu"), 2)
        self.noise = Streams(seeds, "noise", device=device)
        self._judging = Streams(seeds, "judging", device=device)
        self._evaluating = Streams(seeds, "evaluating", device=device)
        self._updates, self._finished = 0, False
        self.curve: list[dict[str, Any]] = []

    @property
    def deployed(self) -> ReturnNetwork:
        """The network that is evaluated and kept: the average, or the live one where there is none."""
        return self.lagged if self.control.copy_every is None else self.network

    def loss(self) -> Tensor:
        """Act, then the loss (R,) on a batch."""
        control = self.control
        self._follow()
        fresh = control.update_every if self._updates else control.learning_starts + control.update_every
        for _ in range(fresh):
            self._act()
        self._updates += 1
        observation, action, reward, discount, following, allowed = self.replay.draw(next(self._batches))
        seen = self.environments.observations.seen
        with torch.no_grad():
            observation, following = seen(observation), seen(following)
            judge = self.network if control.double else self.lagged
            worth = judge.worth(following, tail=control.tail, noise=self._judging)
            chosen = (worth.masked_fill(~allowed, -math.inf) if allowed.shape[-1] else worth).argmax(-1)
            scaled = self.scale.reward(reward, discount)
        batch = Transitions(observation, action, scaled, discount, following, chosen, self.replay.discounts)
        return self.network.loss(batch, self.lagged, self.noise)

    def finish(self, network: nn.Module, seed: int) -> Agent:
        """What a replica has become; with the first, the last update is taken in and evaluated."""
        if not self._finished:
            self._finished = True
            self._follow()
            self._range.say()
            if not self.curve or self.curve[-1]["step"] != self.replay.taken:
                self._evaluate()
        index, control = self.seeds.index(seed), self.control
        curve = [{"step": row["step"], **{k: row[k][index] for k in ("return", "length")}} for row in self.curve]
        return Agent(
            replica(self.deployed, index).requires_grad_(False),
            observations=self.environments.observations,
            first_action=self.environments.first_action,
            scale=self.scale,
            curve=curve,
            environment=control.environment,
            environment_options=control.environment_options,
            gamma=control.gamma,
            tail=control.tail,
        )

    def close(self) -> None:
        """Close the environments."""
        self.environments.close()
        self.evaluation.__exit__()

    @torch.no_grad()
    def _act(self) -> None:
        taken, control = self.replay.taken, self.control
        observation = self.environments.observation
        explore, choice = next(self._choices).unbind(-1)
        allowed = self.environments.allowed()
        action = (choice * self.environments.actions).long()
        if allowed is not None:
            action = allowed_one(torch.from_numpy(allowed), choice)
        if taken >= control.learning_starts and (epsilon := self._epsilon(taken)) < 1:
            rows = self.environments.observations.seen(torch.from_numpy(observation).to(self.device)).unsqueeze(1)
            worth = self.network.worth(rows, tail=control.tail, noise=self._judging)[:, 0].cpu()
            best = (worth if allowed is None else worth.masked_fill(~torch.from_numpy(allowed), -math.inf)).argmax(-1)
            action = torch.where(explore < epsilon, action, best)
        numbers = action.numpy()
        step = self.environments.step(numbers)
        self.replay.add(observation, numbers, step)
        self._range.add(step.reward, step.terminated | step.truncated)
        if self.replay.taken % control.evaluate_every == 0:
            self._evaluate()

    def _epsilon(self, step: int) -> float:
        end = self.control.epsilon_end
        return max(end, 1.0 - (1.0 - end) * step / self.control.epsilon_decay)

    @torch.no_grad()
    def _follow(self) -> None:
        """Let the lagged network follow the live one."""
        if not self._updates:
            return
        live: list[Tensor] = list(self.network.parameters())
        lagged: list[Tensor] = list(self.lagged.parameters())
        if self.control.copy_every is None:
            torch._foreach_lerp_(lagged, live, self.control.polyak)
        elif self._updates % self.control.copy_every == 0:
            torch._foreach_copy_(lagged, live)

    @torch.no_grad()
    def _evaluate(self) -> None:
        def worth(observation: Tensor) -> Tensor:
            return self.deployed.worth(observation, tail=self.control.tail, noise=self._evaluating)

        returns, lengths = self.evaluation.run(worth, len(self.curve))
        means = {"return": np.mean(returns, 1).tolist(), "length": np.mean(lengths, 1).tolist()}
        self.curve.append({"step": self.replay.taken, **means})
        for callback in self.callbacks:
            callback.evaluated(self.replay.taken, means)


def _blocks(streams: Streams, *shape: int) -> Iterator[Tensor]:
    """Uniform draws (R, *shape), made for many steps at a time: R small draws a step cost more than what they serve."""
    while True:
        yield from streams.uniform(BLOCK, *shape).unbind(1)
