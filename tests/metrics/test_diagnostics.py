"""Effective sample size and split-R̂ on chains whose autocorrelation is known."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from phys_samplers.diagnostics import ess, split_rhat, tail_facts
from phys_samplers.errors import ConfigurationError

Draw = Callable[..., Tensor]


def autoregressive(phi: list[float], steps: int, chains: int, draw: Draw) -> Tensor:
    """Stationary x_{t+1} = φ x_t + (1 − φ²)^½ ξ, one φ per coordinate: (steps, chains, D)."""
    rate = torch.tensor(phi, dtype=torch.float64)
    noise = draw(steps * chains, len(phi), "ar").reshape(steps, chains, len(phi))
    x = noise.clone()
    for step in range(1, steps):
        x[step] = rate * x[step - 1] + (1 - rate**2).sqrt() * noise[step]
    return x


def test_ess_of_autoregressive_chains(draw: Draw) -> None:
    # τ = (1 + φ)/(1 − φ). 8 chains of 2,000 steps: relative standard error of τ about √(2(2M+1)/S) with a window of
    # M ≈ 5τ lags, 12 % at φ = 0.9 (τ = 19); the tolerances are 3 of these.
    phi = [0.9, 0.5, 0.0, -0.5]
    expected = torch.tensor([16_000 * (1 - p) / (1 + p) for p in phi], dtype=torch.float64)
    chains = autoregressive(phi, 2000, 8, draw)
    for options in ({}, {"split": False}, {"rank_normalised": True}):
        found = ess(chains, **options)  # type: ignore[arg-type]
        assert found.shape == (4,)
        assert torch.all((found / expected - 1).abs() < torch.tensor([0.36, 0.2, 0.15, 0.15])), (options, found)


def naive_ess(x: Tensor) -> float:
    """Geyer's sequence for chains (steps, chains) by the definition, sums written out."""
    steps, count = x.shape
    centred = x - x.mean(0)
    within = x.var(0).mean()
    pooled = (steps - 1) / steps * within + x.mean(0).var()
    rho = [1.0]
    for lag in range(1, steps):
        covariance = (centred[: steps - lag] * centred[lag:]).sum(0).mean() / steps
        rho.append(float(1 - (within - covariance) / pooled))
    tau, smallest = -1.0, math.inf
    for lag in range(0, steps - 1, 2):
        pair = rho[lag] + rho[lag + 1]
        if pair <= 0:
            break
        smallest = min(smallest, pair)
        tau += 2 * smallest
    return steps * count / tau


def test_ess_matches_the_definition(draw: Draw) -> None:
    chains = autoregressive([0.8, 0.3], 101, 3, draw)
    expected = torch.tensor([naive_ess(chains[..., k]) for k in range(2)], dtype=torch.float64)
    torch.testing.assert_close(ess(chains, split=False), expected, rtol=1e-9, atol=0)
    halves = torch.cat([chains[:50], chains[51:]], 1)
    expected = torch.tensor([naive_ess(halves[..., k]) for k in range(2)], dtype=torch.float64)
    torch.testing.assert_close(ess(chains), expected, rtol=1e-9, atol=0)


def test_blocks_of_chains_change_nothing(draw: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    chains = autoregressive([0.8, 0.3], 100, 7, draw)
    whole = ess(chains)
    monkeypatch.setattr("phys_samplers.diagnostics.SPECTRUM", 500)
    torch.testing.assert_close(ess(chains), whole, rtol=1e-10, atol=0)


def test_chains_in_different_modes_have_few_effective_draws(draw: Draw) -> None:
    chains = draw(4000, 1).reshape(1000, 4, 1)
    stuck = chains + torch.tensor([-5.0, -5.0, 5.0, 5.0])[:, None]
    assert ess(chains) > 3000
    assert ess(stuck) < 10


def test_antithetic_chains_are_bounded() -> None:
    # x alternates exactly: τ would be zero without its bound 1/log₁₀ S.
    chains = torch.tensor([1.0, -1.0]).repeat(50)[:, None, None].expand(100, 2, 1)
    assert float(ess(chains)) <= 200 * math.log10(200) * (1 + 1e-12)
    assert float(ess(chains)) > 200


def test_rhat_by_hand(draw: Draw) -> None:
    x = draw(40, 1).reshape(20, 2, 1)
    halves = torch.cat([x[:10], x[10:]], 1)[..., 0]
    within, between = halves.var(0).mean(), 10 * halves.mean(0).var()
    expected = ((9 / 10 * within + between / 10) / within).sqrt()
    torch.testing.assert_close(split_rhat(x)[0], expected)


@pytest.mark.parametrize("rank_normalised", [False, True])
def test_rhat_tells_mixed_from_stuck(draw: Draw, rank_normalised: bool) -> None:
    mixed = draw(4000, 2).reshape(1000, 4, 2)
    assert torch.all((split_rhat(mixed, rank_normalised=rank_normalised) - 1).abs() < 0.01)
    stuck = mixed + torch.tensor([0.0, 0.0, 0.0, 3.0])[:, None]
    assert torch.all(split_rhat(stuck, rank_normalised=rank_normalised) > 1.1)
    # A single drifting chain disagrees with itself.
    drifting = mixed[:, :1] + torch.linspace(0, 4, 1000)[:, None, None]
    assert torch.all(split_rhat(drifting, rank_normalised=rank_normalised) > 1.1)


def test_folding_sees_chains_that_differ_in_spread_only(draw: Draw) -> None:
    chains = draw(4000, 1).reshape(1000, 4, 1) * torch.tensor([1.0, 1.0, 1.0, 5.0])[:, None]
    assert float(split_rhat(chains)) < 1.02
    assert float(split_rhat(chains, rank_normalised=True)) > 1.1


def test_ranks_make_heavy_tails_harmless(draw: Draw) -> None:
    # Bulk ESS depends on ranks only: any increasing map of the chains, here to a law without a mean, changes nothing.
    chains = autoregressive([0.6], 500, 4, draw)
    heavy = torch.sinh(10 * chains)
    torch.testing.assert_close(ess(heavy, rank_normalised=True), ess(chains, rank_normalised=True))


def test_coordinates_that_never_move() -> None:
    frozen = torch.ones(20, 3, 1)
    assert torch.isnan(ess(frozen)).all()
    assert torch.isnan(split_rhat(frozen)).all()
    apart = torch.arange(3.0)[:, None].expand(20, 3, 1)
    assert torch.isinf(split_rhat(apart)).all()
    assert float(ess(apart)) < 5


def test_event_shape_is_kept(draw: Draw) -> None:
    chains = draw(100 * 2 * 6, 1).reshape(100, 2, 2, 3).float()
    assert ess(chains).shape == split_rhat(chains).shape == (2, 3)
    assert ess(chains).dtype == torch.float64


@pytest.mark.parametrize("diagnostic", [ess, split_rhat])
def test_bad_chains_are_refused(diagnostic: Callable[[Tensor], Tensor], draw: Draw) -> None:
    with pytest.raises(ConfigurationError, match=r"chains is \(100, 2\); expected a tensor \(steps, chains"):
        diagnostic(draw(100, 2))
    with pytest.raises(ConfigurationError, match="at least 8 steps"):
        diagnostic(torch.zeros(7, 2, 1))
    with pytest.raises(ConfigurationError, match="NaN or infinite"):
        diagnostic(torch.full((10, 2, 1), torch.nan))


@pytest.mark.parametrize(("index", "said"), [(1.2, True), (0.2, False)])
def test_a_heavy_tail_of_the_ratio_says_at_least(index: float, said: bool) -> None:
    """Ratios of exactly Pareto law, of which 4,000 tell the index within 0.15."""
    u = torch.rand(4_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    facts = tail_facts(-index * u.log())
    assert facts["log_z_tail"] == pytest.approx(index, abs=0.3)
    assert facts["log_z_at_least"] is said
    assert tail_facts(torch.zeros(10)) == {"log_z_tail": None, "log_z_at_least": False}
