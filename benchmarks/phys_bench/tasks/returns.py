"""Policies whose returns are to be judged, with exact laws by dynamic programming on a fine grid.

Transitions are those of the policy: states alike, outcomes by their probabilities. Scores are in the unit of the range
of returns, and averaged over the queried states.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch

from phys_samplers.errors import ConfigurationError
from phys_samplers.randomness import make_generator
from phys_samplers.rl.exact import ChainReturns
from phys_samplers.rl.markov import MarkovChain, optimal_policy, policy_chain, random_policy, tabular
from phys_samplers.rl.prediction import Prediction
from phys_samplers.rl.recipe import ReturnTask

METRICS = (
    "return-w1",
    "return-cramer",
    "return-mean-error",
    "return-quantile-error",
    "return-tail-error",
    "return-mass-error",
)
EVAL_SIZE = 1_000
UPDATES = 4_000
QUERIES = 64
"""States of Taxi that laws are asked for at."""
SOFTENING = 0.1
"""Share of random actions of policies that are said to be near the optimal one."""


def frozen_lake(
    *,
    size: int = 4,
    policy: str = "random",
    gamma: float = 0.9,
    rows: int | None = None,
    updates: int = UPDATES,
    batch_size: int = 64,
) -> ReturnTask:
    """A slippery lake with holes and a goal that pays 1: X = γᵀ if the goal is reached after T + 1 steps, else 0.

    Args:
        size: 4 or 8, the side of the map.
        policy: ``"random"``, or ``"optimal"`` for this ``gamma`` (ties go to the lowest action).
        gamma: γ.
        rows: transitions that are drawn once, by their probabilities, for all to learn from; None for all outcomes
            with their probabilities.
        updates: optimiser steps.
        batch_size: rows for each.

    Raises:
        ConfigurationError: on a bad option.
    """
    if size not in (4, 8) or policy not in ("random", "optimal"):
        raise ConfigurationError(
            f"size of task 'frozen-lake' is {size!r} and policy {policy!r}; expected 4 or 8, and 'random' or 'optimal'"
        )
    _check("frozen-lake", gamma)
    table, starts = tabular("FrozenLake-v1", map_name=f"{size}x{size}")
    chances = random_policy(table) if policy == "random" else optimal_policy(table, gamma)
    chain = policy_chain(table, chances, starts)
    return _task("frozen-lake", chain, gamma, (0.0, 1.0), rows=rows, updates=updates, batch_size=batch_size)


def cliff_walking(*, gamma: float = 0.95, updates: int = UPDATES, batch_size: int = 64) -> ReturnTask:
    """A walk along a cliff: −1 a step, −100 and back to the start for a fall; rare, heavy losses.

    The policy is the optimal one but for one action in ten, which is random: a policy of random actions alone falls
    again and again, for thousands of steps. Returns below the range, −280 − 3/(1 − γ), have a probability of about
    10⁻⁴; they move to its end.

    Args:
        gamma: γ.
        updates: optimiser steps.
        batch_size: rows for each.

    Raises:
        ConfigurationError: on a bad option.
    """
    _check("cliff-walking", gamma)
    table, starts = tabular("CliffWalking-v1")
    chain = policy_chain(table, optimal_policy(table, gamma, SOFTENING), starts)
    returns = (-280 - 3 / (1 - gamma), 0.0)
    return _task("cliff-walking", chain, gamma, returns, updates=updates, batch_size=batch_size)


def taxi(*, gamma: float = 0.95, updates: int = UPDATES, batch_size: int = 64) -> ReturnTask:
    """A taxi that fetches and brings a passenger: −1 a step, −10 for a wrong stop, 20 at the end.

    The policy is the optimal one but for one random action in ten. Laws are asked for at 64 of the 400 states of an
    episode, chosen once by lot.

    Args:
        gamma: γ; the exact laws take a minute at 0.99, seconds below.
        updates: optimiser steps.
        batch_size: rows for each.

    Raises:
        ConfigurationError: on a bad option.
    """
    _check("taxi", gamma)
    table, starts = tabular("Taxi-v4")
    chain = policy_chain(table, optimal_policy(table, gamma, SOFTENING), starts)
    lot = torch.randperm(len(chain.starts), generator=make_generator(0, "task", "taxi", "queries"))
    queries = chain.starts[lot[:QUERIES].sort().values]
    return _task("taxi", chain, gamma, (-60.0, 20.0), queries, tolerance=1e-3, updates=updates, batch_size=batch_size)


CORRIDOR = 8
"""States of the corridor, 0 first."""
MODES = ((0.60, 0.40), (0.62, 0.40), (0.90, 0.185))
"""(reward, probability) at the end of the corridor; the rest of the probability is a catastrophe."""
CATASTROPHE = 0.015


def shaped_returns(
    *, gamma: float = 0.99, rows: int | None = None, updates: int = UPDATES, batch_size: int = 64
) -> ReturnTask:
    """Returns whose law is not told by its mean and spread: modes 0.02 apart, and losses that come once in a while.

    A corridor of eight certain steps ends with 0.60 or 0.62 (40 % each), 0.90 (18.5 %) or nothing at all (1.5 %), so
    that the first state's law has the modes of the last, times γ⁷. Two rooms are waited in: the first pays 0.01 or
    0.03 a step and is left with probability 0.1, for the corridor's end or, in 1.5 of 100 exits, for nothing; the
    second pays 0.004 a step until a disaster, which comes with probability 0.01 and costs 0.3. The last state gambles
    on where to go. 51 atoms over the range are 0.036 apart.

    Args:
        gamma: γ.
        rows: see ``frozen_lake``.
        updates: optimiser steps.
        batch_size: rows for each.

    Raises:
        ConfigurationError: on a bad option.
    """
    _check("shaped-returns", gamma)
    chain = MarkovChain.of(_shaped())
    return _task("shaped-returns", chain, gamma, (-0.35, 1.45), rows=rows, updates=updates, batch_size=batch_size)


def _shaped() -> Iterator[tuple[int, float, float, int | None]]:
    end, first, second, gamble = CORRIDOR - 1, CORRIDOR, CORRIDOR + 1, CORRIDOR + 2
    for state in range(end):
        yield state, 1.0, 0.0, state + 1
    for reward, probability in MODES:
        yield end, probability, reward, None
    yield end, CATASTROPHE, 0.0, None
    for reward in (0.01, 0.03):
        yield first, 0.45, reward, first
    yield first, 0.1 * (1 - CATASTROPHE), 0.0, end
    yield first, 0.1 * CATASTROPHE, 0.0, None
    yield second, 0.99, 0.004, second
    yield second, 0.01, -0.3, None
    yield gamble, 0.49, 0.0, 0
    yield gamble, 0.49, 0.1, 0
    yield gamble, 0.02, 0.0, second


def _check(name: str, gamma: float) -> None:
    if not 0 < gamma < 1:
        raise ConfigurationError(f"gamma of task {name!r} is {gamma}; expected a discount factor below 1, e.g. 0.95")


def _task(
    name: str,
    chain: MarkovChain,
    gamma: float,
    returns: tuple[float, float],
    queries: torch.Tensor | None = None,
    *,
    tolerance: float = 3e-4,
    rows: int | None = None,
    updates: int,
    batch_size: int,
) -> ReturnTask:
    if rows is not None and rows < 1:
        raise ConfigurationError(f"rows of task {name!r} is {rows}; expected 1 or more, or None for exact outcomes")
    law = ChainReturns(chain, gamma, returns, queries, tolerance)
    experience = chain.prediction(gamma, returns, queries, updates=updates, batch_size=batch_size)
    return ReturnTask(
        event_shape=law.event_shape,
        name=name,
        law=law,
        experience=experience if rows is None else drawn(experience, rows, name),
        metrics=METRICS,
        eval_size=EVAL_SIZE,
    )


def drawn(experience: Prediction, rows: int, name: str, lot: int = 0) -> Prediction:
    """The same with ``rows`` transitions, drawn once; others for each ``lot``."""
    generator = make_generator(lot, "task", name, "rows")
    kept = torch.multinomial(experience.probability, rows, True, generator=generator)
    return replace(
        experience,
        observation=experience.observation[kept],
        reward=experience.reward[kept],
        terminal=experience.terminal[kept],
        next_observation=experience.next_observation[kept],
        probability=torch.full((rows,), 1 / rows, dtype=torch.float64),
    )
