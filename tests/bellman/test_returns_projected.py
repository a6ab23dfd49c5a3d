"""The exact operator on the basis: how good fields can become, and where iterating it fails."""

from __future__ import annotations

from functools import cache

import pytest
import torch

from phys_bellman.returns.basis import FieldProduct, GaussianBasis
from phys_bellman.returns.projected import ProjectedOperator, stretch
from phys_samplers.errors import ConfigurationError
from phys_samplers.metrics.returns import ReturnW1
from phys_samplers.rl.exact import ChainReturns, ExactReturnModel
from phys_samplers.rl.law import ReturnLaw, ReturnScale
from phys_samplers.rl.markov import MarkovChain, optimal_policy, policy_chain, random_policy, tabular

BASIS, SCALE = GaussianBasis(), ReturnScale(0.0, 1.0)
S, G, F = FieldProduct(), FieldProduct(0.0, 1.0), FieldProduct(0.0, 0.0, 1.0)


@cache
def lake(policy: str, gamma: float) -> tuple[MarkovChain, ChainReturns]:
    table, starts = tabular("FrozenLake-v1", map_name="4x4")
    chances = random_policy(table) if policy == "random" else optimal_policy(table, gamma)
    chain = policy_chain(table, chances, starts)
    return chain, ChainReturns(chain, gamma, (0.0, 1.0))


def w1(law: ReturnLaw, exact: ChainReturns) -> float:
    return float(ReturnW1()._compare(law, exact.laws, exact.means).mean())


@cache
def floor(policy: str, gamma: float) -> float:
    """W1 of the exact laws, blurred as the basis is, to the exact laws."""
    exact = lake(policy, gamma)[1]
    return w1(ExactReturnModel(bandwidth=BASIS.bandwidth).of(exact.laws), exact)


@pytest.mark.parametrize("policy", ["random", "optimal"])
@pytest.mark.parametrize("gamma", [0.9, 0.95, 0.99])
def test_the_lake_is_solved_up_to_the_blur(policy: str, gamma: float) -> None:
    chain, exact = lake(policy, gamma)
    for product, factor, error, mass in ((F, 1.005, 1e-4, 1e-9), (S, 1.075, 3e-3, 0.02)):
        operator = ProjectedOperator(
            chain=chain, gamma=gamma, scale=SCALE, basis=BASIS, product=product, normalise=product is F
        )
        found = operator.iterate()
        assert found.changes[-1] < 1e-10
        assert w1(found.law, exact) < factor * floor(policy, gamma)
        assert float((found.law.mean - exact.means).abs().max()) < error
        assert float((found.law.total - 1).abs().max()) < mass


def test_iterating_plain_backups_of_s_or_g_fails_where_that_of_f_does_not() -> None:
    chain, exact = lake("optimal", 0.9)
    radii, scores = {}, {}
    for name, product in (("s", S), ("g", G), ("F", F)):
        operator = ProjectedOperator(
            chain=chain, gamma=0.9, scale=SCALE, product=product, preserve=False, normalise=True
        )
        fixed, radii[name] = operator.fixed_point()
        scores[name] = w1(fixed.law, exact) / floor("optimal", 0.9)
        if radii[name] > 1:
            assert operator.iterate(4_000).changes[-1] > 1e6
    assert radii["g"] > 1.05
    assert 1 < radii["s"] < 1.05
    assert radii["F"] < 0.95
    # plain backups blur less, so that a stable field is sharper than what preserves the bandwidth
    assert scores["F"] < 0.8
    assert min(scores["s"], scores["g"]) > 10


def test_iterating_finds_the_fixed_point() -> None:
    chain, _ = lake("random", 0.9)
    operator = ProjectedOperator(chain=chain, gamma=0.9, scale=SCALE)
    found, (fixed, radius) = operator.iterate(), operator.fixed_point()
    torch.testing.assert_close(found.weights, fixed.weights, rtol=0, atol=1e-8)
    late = found.changes[-11:]
    assert float((late[-1] / late[0]) ** 0.1) == pytest.approx(radius, abs=0.02)


@pytest.mark.parametrize("gamma", [0.9, 0.95, 0.99])
def test_how_much_a_step_stretches_each_field(gamma: float) -> None:
    """γ^{−1/2}, γ^{−3/2} and γ^{1/2} are the operator's own norms, which a projection cannot exceed."""
    for product, power in ((S, -0.5), (G, -1.5), (F, 0.5)):
        for preserve in (True, False):
            factor = stretch(BASIS, product, 0.5 * (1 - gamma), gamma, preserve=preserve)
            assert gamma**power * 0.99 < factor < gamma**power * (1 + 1e-6)


def test_a_certain_return_is_one_gaussian() -> None:
    """The bandwidth-preserving backup is exact where the basis can follow: r + γc falls on a centre."""
    basis = GaussianBasis(41, 0.0, 1.0)
    chain = MarkovChain.of([(0, 1.0, 0.3, 1), (1, 1.0, 0.5, None)])
    operator = ProjectedOperator(chain=chain, gamma=0.5, scale=SCALE, basis=basis, product=S)
    weights = operator.iterate().weights
    expected = torch.zeros(2, 41, dtype=torch.float64)
    expected[0, 22] = expected[1, 20] = 1.0
    torch.testing.assert_close(weights, expected, rtol=0, atol=1e-6)


def test_distribution_functions_need_equal_masses() -> None:
    chain, _ = lake("random", 0.9)
    with pytest.raises(ConfigurationError, match="normalise=True"):
        ProjectedOperator(chain=chain, gamma=0.9, scale=SCALE, product=F)
