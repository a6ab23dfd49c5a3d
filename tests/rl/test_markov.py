"""Finite chains: built by hand, from tables of gymnasium, and turned into transitions."""

from __future__ import annotations

import pytest
import torch

from phys_samplers.errors import ConfigurationError
from phys_samplers.rl.markov import MarkovChain, optimal_policy, policy_chain, random_policy, tabular

COIN = MarkovChain.of([(0, 0.5, 1.0, 1), (0, 0.25, 0.0, None), (0, 0.25, 0.0, None), (1, 1.0, 2.0, 0)])
"""x₀ = ½(1 + γx₁), x₁ = 2 + γx₀."""


def test_rows_that_agree_are_one_row() -> None:
    assert COIN.states == 2
    assert COIN.state.tolist() == [0, 0, 1]
    assert COIN.probability.tolist() == [0.5, 0.5, 1.0]
    assert COIN.terminal.tolist() == [False, True, False]


def test_means_solve_the_bellman_equation() -> None:
    first = (0.5 + 0.9) / (1 - 0.5 * 0.81)
    torch.testing.assert_close(COIN.means(0.9), torch.tensor([first, 2 + 0.9 * first], dtype=torch.float64))


def test_a_prediction_draws_states_alike_and_outcomes_by_their_probabilities() -> None:
    prediction = COIN.prediction(0.9, (0.0, 5.0), updates=7)
    assert prediction.probability.tolist() == [0.25, 0.25, 0.5]
    assert prediction.observation.tolist() == [[1, 0], [1, 0], [0, 1]]
    assert prediction.next_observation[0].tolist() == [0, 1]
    assert prediction.reward.tolist() == [1, 0, 2]
    assert torch.equal(prediction.queries, torch.eye(2))
    assert prediction.updates == 7


def test_bad_rows_are_named() -> None:
    with pytest.raises(ConfigurationError, match="sum to"):
        MarkovChain.of([(0, 0.5, 1.0, None)])
    with pytest.raises(ConfigurationError, match=r"lead to states \[1\]"):
        MarkovChain.of([(0, 1.0, 1.0, 1)])
    with pytest.raises(ConfigurationError, match="no finite expected return"):
        MarkovChain.of([(0, 1.0, 1.0, 0)]).means(1.0)


def test_holes_and_goal_of_the_lake_have_no_rows() -> None:
    table, starts = tabular("FrozenLake-v1", map_name="4x4")
    chain = policy_chain(table, random_policy(table), starts)
    assert chain.starts.tolist() == [0, 1, 2, 3, 4, 6, 8, 9, 10, 13, 14]
    assert torch.equal(policy_chain(table, random_policy(table)).state, chain.state)
    # known: the random policy reaches the goal once in about seventy episodes
    assert float(chain.means(1.0)[0]) == pytest.approx(0.0139, abs=2e-4)


def test_the_optimal_policy_of_the_lake_is_as_good_as_is_known() -> None:
    table, starts = tabular("FrozenLake-v1", map_name="4x4")
    chain = policy_chain(table, optimal_policy(table, 0.99), starts)
    assert float(chain.means(0.99)[0]) == pytest.approx(0.5420, abs=1e-4)
    assert float(chain.means(1.0)[0]) == pytest.approx(14 / 17, abs=1e-6)


def test_ties_go_to_the_lowest_action_and_softening_mixes() -> None:
    table = {0: {0: [(1.0, 0, 0.0, True)], 1: [(1.0, 0, 1.0, True)], 2: [(1.0, 0, 1.0, True)]}}
    assert optimal_policy(table, 0.9).tolist() == [[0, 1, 0]]
    torch.testing.assert_close(optimal_policy(table, 0.9, 0.3), torch.tensor([[0.1, 0.8, 0.1]], dtype=torch.float64))
    with pytest.raises(ConfigurationError, match="gamma is 1"):
        optimal_policy(table, 1.0)


def test_taxi_keeps_the_states_of_its_episodes() -> None:
    table, starts = tabular("Taxi-v4")
    chain = policy_chain(table, optimal_policy(table, 0.95), starts)
    assert len(chain.starts) == 400
    # a best ride is at most 18 steps long here: −1 for each but the last, and 20
    assert float(chain.means(0.95).min()) == pytest.approx(-(1 - 0.95**17) / 0.05 + 20 * 0.95**17, abs=1e-6)


def test_other_environments_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="no table P"):
        tabular("CartPole-v1")
    table, _ = tabular("FrozenLake-v1", map_name="4x4")
    with pytest.raises(ConfigurationError, match="policy has shape"):
        policy_chain(table, torch.ones(16, 3) / 3)
