"""A policy learned from logged transitions by solves alone: least-squares policy iteration (Lagoudakis & Parr 2003).

The policy of a round is judged by ``law-solve`` at every observation and action of the log; the next one takes the
action whose law is worth most: by its mean, or by the mean of its worst share (the conditional value at risk). By the
mean, and with a table of features, this is policy iteration in the chain that the data estimate, which ends at its
best policy. By the worst share no such theorem holds, since what is best from here on may not be what was best
before; rounds may go around in a circle, and ``settled`` says whether they did not. Actions that the data do not hold
are judged by extrapolation: as everywhere offline, data of all actions are what this needs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from phys_samplers.errors import ConfigurationError
from phys_samplers.rl.law import ReturnLaw, ReturnScale
from phys_samplers.rl.law_solve import Features, LawSolve, Log
from phys_samplers.rl.logged import as_integers, sampled_rows, with_integers
from phys_samplers.rl.moments import Moments
from phys_samplers.rl.solve import Solution, grid, monotone

PART = 4_096
"""Observations whose laws are held at a time."""


@dataclass(frozen=True)
class Improved:
    """The policy of the last round.

    Args:
        action: what it does at the queries (Q,).
        law: of the returns of each action there (Q, A), and of the policy after it.
        rounds: solves.
        settled: whether the last round changed nothing.
    """

    action: Tensor
    law: ReturnLaw
    rounds: int
    settled: bool


def improve(
    log: Log,
    queries: Tensor,
    gamma: float,
    *,
    returns: tuple[float, float],
    tail: float = 1.0,
    recipe: LawSolve | None = None,
    rounds: int = 30,
) -> Improved:
    """Learn a policy from transitions.

    Args:
        log: with actions; its ``next_policy`` is where the first round starts.
        queries: observations (Q, F), or integers (Q,), whose actions are asked for.
        gamma: γ.
        returns: between what returns lie.
        tail: share of the worst returns whose mean is to be large; 1 for all of them.
        recipe: atoms, features, ridge.
        rounds: at most.

    Raises:
        ConfigurationError: if the log has no actions, or an argument or the equation is bad.
    """
    if log.action is None or log.next_policy is None or log.reward.ndim != 1:
        raise ConfigurationError("the log has no actions, or several rewards; expected action, next_policy and one")
    if not 0 < gamma < 1 or not 0 < tail <= 1:
        raise ConfigurationError(f"gamma is {gamma} and tail {tail}; expected gamma in (0, 1) and tail in (0, 1]")
    policy = log.next_policy.double()
    recipe, scale = LawSolve() if recipe is None else recipe, ReturnScale(*map(float, returns))
    phi = Features(recipe.map_of(sampled_rows(log.observation, log.next_observation, queries)), policy.shape[1])
    log = with_integers(log, phi)
    following, asked = phi.of(log.next_observation), phi.of(as_integers(queries, phi))
    settled, count = False, 0
    while not settled and count < rounds:
        count += 1
        moments = Moments(phi.count)
        moments.add(phi.rows(replace(log, next_policy=policy), log.reward))
        solution = recipe.solved(moments.total(), moments, gamma, scale)
        better = torch.cat([_best(_laws(solution, part, phi), tail) for part in following.split(PART)])
        chances = torch.nn.functional.one_hot(better, phi.actions).double()
        # Where nothing follows, the policy is of no account.
        settled = bool((chances == policy)[~log.terminal].all())
        policy = chances
    law = _laws(solution, asked, phi)
    return Improved(_best(law, tail), law, count, settled)


def _laws(solution: Solution, features: Tensor, phi: Features) -> ReturnLaw:
    """Laws (N, A)."""
    each = solution.theta[:, 1:].T.reshape(phi.actions, phi.map.count, -1)  # (A, d, K)
    raw = each[:, features] if features.ndim == 1 else features.double() @ each
    weights = monotone(raw.transpose(0, 1) + solution.theta[:, 0])
    return ReturnLaw(grid(weights.shape[-1]), weights).moved(solution.scale.width, solution.scale.low)


def _best(law: ReturnLaw, tail: float) -> Tensor:
    """Actions (N,); of those that are worth the same the first, so that rounds end."""
    worth = law.mean if tail >= 1 else law.lower_tail(tail)
    slack = 1e-6 * (law.points.max() - law.points.min())
    return (worth >= worth.amax(-1, keepdim=True) - slack).int().argmax(-1)
