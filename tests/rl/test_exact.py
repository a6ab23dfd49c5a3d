"""Exact laws of returns, against closed forms and simulated episodes."""

from __future__ import annotations

import pytest
import torch

from phys_samplers.errors import ConfigurationError
from phys_samplers.randomness import make_generator
from phys_samplers.rl.exact import ChainReturns, SampledReturns, tabulated
from phys_samplers.rl.law import ReturnLaw, ReturnScale
from phys_samplers.rl.markov import MarkovChain

GRID = torch.linspace(-3, 5, 80_001, dtype=torch.float64)


def w1(first: ReturnLaw, second: ReturnLaw) -> float:
    """∫|F − G| of laws of one state."""
    tables = []
    for law in (first, second):
        points, order = law.points.expand(law.weights.shape[-1]).sort()
        below = torch.cat((torch.zeros(1, dtype=torch.float64), law.weights[order].cumsum(0)))
        tables.append(below[torch.searchsorted(points, GRID, right=True)])
    return float((tables[0] - tables[1]).abs().mean()) * 8


def one(law: ReturnLaw, index: int) -> ReturnLaw:
    return ReturnLaw(law.points, law.weights[index])


@pytest.mark.parametrize("gamma", [0.9, 0.99])
def test_waiting_for_a_reward(gamma: float) -> None:
    """X = γᵏ with probability (1 − q)qᵏ."""
    chain = MarkovChain.of([(0, 0.9, 0.0, 0), (0, 0.1, 1.0, None)])
    returns = ChainReturns(chain, gamma, (0.0, 1.0))
    k = torch.arange(400, dtype=torch.float64)
    closed = ReturnLaw(gamma**k, 0.1 * 0.9**k)
    distance = w1(one(returns.laws, 0), closed)
    assert distance < returns.tabulated.error <= 3e-4
    assert float(returns.laws.mean[0]) == pytest.approx(0.1 / (1 - 0.9 * gamma), abs=1e-6)
    assert float(returns.means[0]) == pytest.approx(0.1 / (1 - 0.9 * gamma), abs=1e-12)


def test_a_certain_return_is_an_atom() -> None:
    chain = MarkovChain.of([(0, 1.0, 0.5, 1), (1, 1.0, -0.25, 2), (2, 1.0, 1.0, None)])
    returns = ChainReturns(chain, 0.9, (-0.5, 1.5))
    exact = 0.5 - 0.9 * 0.25 + 0.81
    assert w1(one(returns.laws, 0), ReturnLaw(torch.tensor([exact]).double(), torch.ones(1).double())) < 3e-4
    torch.testing.assert_close(returns.laws.total, torch.ones(3).double(), rtol=0, atol=1e-8)


def simulated(chain: MarkovChain, gamma: float, state: int, n: int) -> torch.Tensor:
    """``n`` returns, step by step."""
    generator = make_generator(5, "episodes")
    at, total, factor = torch.full((n,), state), torch.zeros(n).double(), torch.ones(n).double()
    chances = torch.zeros(chain.states, len(chain.state)).double()
    chances[chain.state, torch.arange(len(chain.state))] = chain.probability
    for _ in range(400):
        row = torch.searchsorted(chances[at].cumsum(1), torch.rand(n, 1, generator=generator).double()).squeeze(1)
        row = row.clamp(max=len(chain.state) - 1)
        total += factor * chain.reward[row]
        factor *= gamma * ~chain.terminal[row]
        at = chain.next_state[row]
    return total


def test_laws_agree_with_episodes() -> None:
    """Three states, rewards of both signs. W1 of the draws to their law is about 0.003; five times that is allowed."""
    rows = [
        (0, 0.3, 0.1, 1),
        (0, 0.6, -0.2, 2),
        (0, 0.1, 1.0, None),
        (1, 0.5, 0.3, 0),
        (1, 0.5, -1.0, None),
        (2, 0.8, 0.05, 2),
        (2, 0.2, 0.0, 0),
    ]
    chain = MarkovChain.of(rows)
    returns = ChainReturns(chain, 0.95, (-3.0, 5.0), torch.tensor([2, 0]))
    for index, state in enumerate((2, 0)):
        episodes = simulated(chain, 0.95, state, 20_000)
        assert w1(one(returns.laws, index), ReturnLaw(episodes, torch.full((20_000,), 1 / 20_000).double())) < 0.015
        assert float(returns.laws.mean[index]) == pytest.approx(float(returns.means[index]), abs=1e-6)
    draws = returns.sample(20_000, make_generator(1, "draws"))
    assert draws.shape == (20_000, 2)
    assert w1(one(returns.laws, 1), ReturnLaw(draws[:, 1].double(), torch.full((20_000,), 1 / 20_000).double())) < 0.015


def test_returns_outside_the_range_move_to_its_ends() -> None:
    chain = MarkovChain.of([(0, 0.5, -1.0, None), (0, 0.25, 0.5, None), (0, 0.25, 7.0, None), (1, 1.0, 0.5, 0)])
    law = ChainReturns(chain, 0.9, (0.0, 1.0)).laws
    assert law.weights[0][0] == pytest.approx(0.5, abs=1e-9)
    assert law.weights[0][-1] == pytest.approx(0.25, abs=1e-9)
    # then ½ + 0.9 (0, ½, 1), of which the last is above
    assert float(law.mean[1]) == pytest.approx(0.5 * 0.5 + 0.25 * 0.95 + 0.25, abs=1e-6)


def test_sampled_returns_are_their_own_law() -> None:
    values = torch.tensor([[0.0, 1.0, 2.0, 3.0], [5.0, 5.0, 5.0, 9.0]])
    known = SampledReturns(values)
    assert known.event_shape == (2,)
    assert known.laws.mean.tolist() == known.means.tolist() == [1.5, 6.0]
    draws = known.sample(1000, make_generator(0))
    assert set(draws[:, 1].tolist()) == {5.0, 9.0}


def test_bad_options_are_named() -> None:
    chain = MarkovChain.of([(0, 1.0, 1.0, None)])
    with pytest.raises(ConfigurationError, match=r"gamma is 1\.0"):
        tabulated(chain, 1.0, ReturnScale(0, 1))
