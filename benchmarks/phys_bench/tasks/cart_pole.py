"""A fixed policy on CartPole, judged from the transitions of its episodes against many returns that it got.

X = 1 + γ + … + γ^{T−1} with T the number of steps until the pole has fallen or the cart has left; there is no time
limit in the law, and none is met in the transitions.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import gymnasium
import numpy as np
import torch
from torch import Tensor

from phys_bench.tasks.returns import EVAL_SIZE, METRICS, UPDATES
from phys_samplers.errors import ConfigurationError
from phys_samplers.randomness import derive_seed, make_generator
from phys_samplers.rl.exact import SampledReturns
from phys_samplers.rl.law import ReturnLaw
from phys_samplers.rl.prediction import Prediction
from phys_samplers.rl.recipe import ReturnTask

EPISODES = 200
QUERIES = 16
"""States that laws are asked for at."""
REFERENCE = 5_000
"""Returns for each query."""
RANDOM_ACTIONS = 0.2
FORGOTTEN = 1e-4
"""What steps after the last simulated one could add, as a share of 1/(1 − γ)."""


class CartPoleReturns:
    """Monte Carlo laws of the returns from some states; simulated when first asked for.

    Args:
        gamma: γ.
        queries: states (Q, 4).
    """

    def __init__(self, gamma: float, queries: Tensor) -> None:
        self._gamma, self._queries = gamma, queries
        self.event_shape = (len(queries),)

    @cached_property
    def _known(self) -> SampledReturns:
        steps = int(np.ceil(np.log(FORGOTTEN) / np.log(self._gamma)))
        start = self._queries.double().repeat_interleave(REFERENCE, 0).numpy()
        lasted = np.full(len(start), steps)
        for step, (_, _, fallen) in enumerate(_walked(start, steps, seed=derive_seed(0, "cart-pole", "reference"))):
            lasted[fallen & (lasted == steps)] = step + 1
        returns = (1 - self._gamma**lasted) / (1 - self._gamma)
        return SampledReturns(torch.from_numpy(returns).view(len(self._queries), REFERENCE))

    @property
    def laws(self) -> ReturnLaw:
        """Laws (Q,)."""
        return self._known.laws

    @property
    def means(self) -> Tensor:
        """Expected returns (Q,)."""
        return self._known.means

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Returns (n, Q)."""
        return self._known.sample(n, generator)


def cart_pole_returns(*, gamma: float = 0.95, updates: int = UPDATES, batch_size: int = 64, lot: int = 0) -> ReturnTask:
    """Returns of a policy that pushes the cart towards where the pole leans, but for one random action in five.

    Models learn from the transitions of 200 episodes, and are scored at 16 states of as many others against 5,000
    returns of each, whose own sampling error is a seventieth of their spread. States are given with the mean and
    spread of those that are learned from taken off.

    Args:
        gamma: γ.
        updates: optimiser steps.
        batch_size: rows for each.
        lot: which episodes; every number stands for others.

    Raises:
        ConfigurationError: on a bad option.
    """
    if not 0 < gamma < 1:
        raise ConfigurationError(f"gamma of task 'cart-pole-returns' is {gamma}; expected a discount factor below 1")
    rows, visited = episodes("learned from", lot), episodes("asked for", lot)["observation"]
    count = len(rows["terminal"])
    order = torch.randperm(len(visited), generator=make_generator(lot, "task", "cart-pole-returns", "queries"))
    queries = visited[order[:QUERIES]]
    law = CartPoleReturns(gamma, queries)
    centre, spread = rows["observation"].mean(0), rows["observation"].std(0)
    return ReturnTask(
        event_shape=law.event_shape,
        name="cart-pole-returns",
        law=law,
        experience=Prediction(
            observation=(rows["observation"] - centre) / spread,
            reward=torch.ones(count),
            terminal=rows["terminal"],
            next_observation=(rows["following"] - centre) / spread,
            probability=torch.full((count,), 1 / count, dtype=torch.float64),
            queries=(queries - centre) / spread,
            gamma=gamma,
            returns=(0.0, 1 / (1 - gamma)),
            updates=updates,
            batch_size=batch_size,
        ),
        metrics=METRICS,
        eval_size=EVAL_SIZE,
    )


def episodes(purpose: str, lot: int = 0) -> dict[str, Tensor]:
    """All transitions of ``EPISODES`` episodes that start as the environment's do, others for each purpose and lot."""
    seed = derive_seed(lot, "cart-pole", "episodes", purpose)
    start = np.random.Generator(np.random.PCG64(seed)).uniform(-0.05, 0.05, (EPISODES, 4))
    parts: dict[str, list[np.ndarray]] = {"observation": [], "following": [], "terminal": []}
    going = np.ones(EPISODES, bool)
    for before, after, fallen in _walked(start, 10_000, seed=derive_seed(seed, "actions")):
        for name, values in zip(parts, (before, after, fallen), strict=True):
            parts[name].append(values[going])
        going &= ~fallen
    rows = {name: torch.from_numpy(np.concatenate(some)) for name, some in parts.items()}
    return {name: some if name == "terminal" else some.float() for name, some in rows.items()}


def _walked(start: np.ndarray, steps: int, *, seed: int) -> Any:
    """States before and after each step (N, 4), and who has fallen at it or before (N,), until everybody has.

    The physics are those of gymnasium's vectorised CartPole, whose states are set by hand.
    """
    environment: Any = gymnasium.make_vec("CartPole-v1", len(start), vectorization_mode="vector_entry_point")
    environment.reset(seed=0)
    core = environment.unwrapped
    core.max_episode_steps = steps + 1
    core.state = start.T.copy()
    generator = np.random.Generator(np.random.PCG64(seed))
    fallen = np.zeros(len(start), bool)
    for _ in range(steps):
        core.state[:, fallen] = 0.0
        before = core.state.T.copy()
        lean = before[:, 2] > 0
        random = generator.random(len(start)) < RANDOM_ACTIONS
        action = np.where(random, generator.random(len(start)) < 0.5, lean)
        core.prev_done = np.zeros(len(start), bool)
        core.steps = np.zeros(len(start), int)
        _, _, terminated, _, _ = environment.step(action.astype(np.int64))
        fallen = fallen | terminated
        yield before, core.state.T.copy(), fallen
        if fallen.all():
            break
    environment.close()
