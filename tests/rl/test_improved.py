"""Policies learned from logs by linear solves, against those that are known to be best."""

from __future__ import annotations

import pytest
import torch

from phys_samplers.errors import ConfigurationError
from phys_samplers.randomness import make_generator
from phys_samplers.rl.improved import Improved, improve
from phys_samplers.rl.law_solve import LawSolve, Log
from phys_samplers.rl.markov import optimal_policy, policy_chain, tabular

GAMMA = 0.95


def lake(count: int | None = None) -> tuple[Log, dict]:
    """Every outcome of every state and action of FrozenLake by its probability, or ``count`` draws of them."""
    table, _ = tabular("FrozenLake-v1", map_name="4x4")
    rows = [
        (state, action, *outcome)
        for state in table
        if state not in (5, 7, 11, 12, 15)
        for action in table[state]
        for outcome in table[state][action]
    ]
    state, action, chance, following, reward, terminal = (torch.tensor(column) for column in zip(*rows, strict=True))
    kept = torch.arange(len(rows))
    if count is not None:
        kept = torch.multinomial(chance, count, True, generator=make_generator(0, "lake"))
    log = Log(
        observation=state[kept],
        action=action[kept],
        next_observation=following[kept],
        reward=reward[kept].double(),
        terminal=terminal[kept],
        next_policy=torch.full((len(kept), 4), 0.25),
        weight=chance[kept].double() if count is None else None,
    )
    return log, table


def values(found: Improved, table: dict) -> torch.Tensor:
    """Exact expected returns of the policy found."""
    return policy_chain(table, torch.nn.functional.one_hot(found.action, 4).double()).means(GAMMA)


def test_from_exact_rows_it_is_the_best_policy() -> None:
    log, table = lake()
    found = improve(log, torch.arange(16), GAMMA, returns=(0.0, 1.0), recipe=LawSolve(atoms=51, ridge=1e-9))
    best = policy_chain(table, optimal_policy(table, GAMMA)).means(GAMMA)
    assert found.settled
    torch.testing.assert_close(values(found, table), best, rtol=0, atol=1e-8)
    alive = torch.tensor([0, 1, 2, 3, 4, 6, 8, 9, 10, 13, 14])
    torch.testing.assert_close(found.law.mean.amax(1)[alive], best[alive], rtol=0, atol=1e-4)


def test_from_draws_it_is_nearly_the_best_policy() -> None:
    """20,000 draws: some 450 of a state and action, of three outcomes each."""
    log, table = lake(20_000)
    found = improve(log, torch.arange(16), GAMMA, returns=(0.0, 1.0), recipe=LawSolve(atoms=33, ridge=1e-6))
    best = policy_chain(table, optimal_policy(table, GAMMA)).means(GAMMA)
    assert float(values(found, table)[0]) > 0.97 * float(best[0])


def test_the_worst_share_is_avoided_where_it_is_to_count() -> None:
    """After one step: 0.4 for certain, or 1 in nine cases of ten and −1 else, whose worst fifth has the mean 0."""
    generator = make_generator(0, "gamble")
    state = torch.randint(2, (4_000,), generator=generator)
    action = torch.randint(2, (4_000,), generator=generator)
    lost = torch.rand(4_000, generator=generator) < 0.1
    gamble = torch.where(action == 0, torch.tensor(0.4), torch.where(lost, -1.0, 1.0))
    log = Log(
        observation=state,
        action=action,
        reward=torch.where(state == 1, gamble, 0.0).double(),
        terminal=state == 1,
        next_observation=torch.ones_like(state),
        next_policy=torch.full((4_000, 2), 0.5),
    )
    options = {"returns": (-1.0, 1.0), "recipe": LawSolve(atoms=41, ridge=1e-9)}
    bold = improve(log, torch.arange(2), 0.9, **options)
    careful = improve(log, torch.arange(2), 0.9, tail=0.2, **options)
    assert (int(bold.action[1]), int(careful.action[1])) == (1, 0)
    assert bold.settled
    assert careful.settled
    # what is done now is worth what will be done then
    assert float(bold.law.mean[0, 0]) == pytest.approx(0.9 * 0.8, abs=0.04)
    assert float(careful.law.mean[0, 0]) == pytest.approx(0.9 * 0.4, abs=1e-3)


def test_a_log_without_actions_is_refused() -> None:
    log, _ = lake()
    with pytest.raises(ConfigurationError, match="has no actions"):
        improve(Log(**{**vars(log), "action": None, "next_policy": None}), torch.arange(16), 0.9, returns=(0.0, 1.0))
    with pytest.raises(ConfigurationError, match=r"tail 0"):
        improve(log, torch.arange(16), 0.9, returns=(0.0, 1.0), tail=0.0)
