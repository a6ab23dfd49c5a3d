"""Ladders, swaps and the bridge by themselves: enumeration where possible, exact draws elsewhere."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from phys_monte_carlo.hmc import HMCInfo
from phys_monte_carlo.tempering import (
    Bridge,
    Tally,
    Tempered,
    equalised,
    first_ladder,
    reference_log_prob,
    swap_acceptance,
    swap_order,
)
from phys_samplers.density import FlatDensity
from phys_samplers.laws import GaussianMixture, StandardNormal
from phys_samplers.randomness import make_generator
from phys_samplers.target import Target

LIKE = torch.zeros((), dtype=torch.float64)


@pytest.mark.parametrize("odd", [False, True])
def test_swaps_keep_the_joint_law_of_all_rungs(odd: bool) -> None:
    """Three rungs over three states: the transition matrix of a swap round, enumerated, is in detailed balance."""
    betas = torch.tensor([0.0, 0.3, 1.0], dtype=torch.float64)
    log_r = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64).log()
    log_p = torch.tensor([2.0, -1.0, 0.5], dtype=torch.float64)
    tempered = ((1 - betas).unsqueeze(1) * log_r + betas.unsqueeze(1) * log_p).softmax(1)  # (rung, state)
    joint = list(itertools.product(range(3), repeat=3))
    states = torch.tensor(joint).T  # (rung, configuration)
    law = tempered.gather(1, states).prod(0)
    chance = swap_acceptance(betas, (log_p - log_r)[states])
    matrix = torch.zeros(27, 27, dtype=torch.float64)
    for column, configuration in enumerate(joint):
        pair = (1, 2) if odd else (0, 1)
        swapped = list(configuration)
        swapped[pair[0]], swapped[pair[1]] = swapped[pair[1]], swapped[pair[0]]
        alpha = chance[pair[0], column]
        matrix[column, joint.index(tuple(swapped))] += alpha
        matrix[column, column] += 1 - alpha
    flow = law.unsqueeze(1) * matrix
    torch.testing.assert_close(flow, flow.T, rtol=0, atol=1e-15)
    assert 0 < chance.min() < 0.9
    # and the round moves exactly this pair, with exactly this chance
    draws = torch.tensor([0.0, 1.0]).repeat_interleave(27).expand(2, 54)
    order = swap_order(chance.repeat(1, 2), draws, odd=odd)
    assert order[:, :27].T.tolist() == [[0, 2, 1] if odd else [1, 0, 2]] * 27
    assert order[:, 27:].T.tolist() == [[0, 1, 2]] * 27


def test_swaps_from_zero_density_are_refused_and_into_it_never_made() -> None:
    log_ratio = torch.tensor([[-math.inf, 0.0, -math.inf], [0.0, -math.inf, -math.inf]])
    assert swap_acceptance(torch.tensor([0.0, 1.0]), log_ratio).tolist() == [[0.0, 1.0, 0.0]]


def test_a_ladder_that_never_refuses_carries_states_straight_up_and_down() -> None:
    """K rungs: every state turns round in 2K steps, so that half a round trip ends each step."""
    rungs, steps, ladders = 5, 1_000, 3
    tally = Tally(rungs, ladders, like=LIKE)
    info = HMCInfo(*(torch.ones(rungs - 1, ladders) for _ in range(2)), torch.zeros(rungs - 1, ladders).bool())
    chance = torch.ones(rungs - 1, ladders)
    for step in range(steps):
        tally.observe(info, chance, swap_order(chance, torch.zeros_like(chance), odd=step % 2 == 1))
    facts = tally.facts()
    assert facts["round_trip_rate"] == pytest.approx(0.5, abs=0.01)
    assert facts["communication_barrier"] == 0
    assert facts["swap_acceptance"] == [1.0] * 4


def log_ratio(z: Tensor, std: float) -> Tensor:
    """log p − log r of p = exp(−z²/2), unnormalised, and r = N(0, std²)."""
    return -0.5 * z.square().sum(-1) - reference_log_prob(z, std)


def exact_draws(betas: Tensor, std: float, ladders: int, generator: torch.Generator) -> Tensor:
    """Independent draws (K, B, 3) of all rungs."""
    deviation = (betas + (1 - betas) / std**2).rsqrt().view(-1, 1, 1)
    return deviation * torch.randn(len(betas), ladders, 3, generator=generator, dtype=torch.float64)


def test_round_trips_come_at_the_rate_of_theory() -> None:
    """With exact draws on all rungs, 1/(2 + 2Σρ/(1 − ρ)): some 10,000 trips, a standard error of about 1 %."""
    std, ladders, steps = 6.0, 200, 600
    betas, generator = first_ladder(6, 0.1, like=LIKE), make_generator(0, "trips")
    tally = Tally(len(betas), ladders, like=LIKE)
    info = HMCInfo(*(torch.ones(len(betas) - 1, ladders) for _ in range(2)), torch.zeros(1).bool())
    for step in range(steps):
        chance = swap_acceptance(betas, log_ratio(exact_draws(betas, std, ladders, generator), std))
        uniform = torch.rand(chance.shape, generator=generator, dtype=torch.float64)
        tally.observe(info, chance, swap_order(chance, uniform, odd=step % 2 == 1))
    facts = tally.facts()
    rejection = 1 - torch.tensor(facts["swap_acceptance"])
    expected = 1 / (2 + 2 * (rejection / (1 - rejection)).sum().item())
    assert facts["round_trips"] > 5_000
    assert facts["round_trip_rate"] == pytest.approx(expected, rel=0.04)


def test_an_equalised_ladder_refuses_equally_often() -> None:
    std, generator = 6.0, make_generator(0, "equal")
    betas = first_ladder(7, 0.01, like=LIKE)
    assert betas[:2].tolist() == pytest.approx([0, 0.01])
    assert betas[-1] == 1
    spreads = []
    for _ in range(4):
        chance = swap_acceptance(betas, log_ratio(exact_draws(betas, std, 20_000, generator), std)).mean(1)
        spreads.append((chance.max() - chance.min()).item())
        betas = equalised(betas, 1 - chance)
        assert (betas.diff() > 0).all()
        assert betas[0] == 0
        assert betas[-1] == 1
    assert spreads[0] > 0.2
    assert spreads[-1] < 0.03


def test_equalising_interpolates_the_barrier_and_keeps_rungs_apart() -> None:
    betas = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)
    assert equalised(betas, torch.tensor([0.6, 0.2], dtype=torch.float64)).tolist() == pytest.approx([0, 1 / 3, 1])
    assert equalised(betas, torch.zeros(2, dtype=torch.float64)).tolist() == pytest.approx([0, 0.5, 1])
    assert equalised(betas, torch.tensor([0.0, 1.0], dtype=torch.float64))[1] == pytest.approx(0.74975, abs=1e-6)


@pytest.mark.parametrize(("ladders", "steps"), [(40, 5), (1, 32)])
def test_the_bridge_finds_log_z_with_the_error_that_it_states(ladders: int, steps: int) -> None:
    """200 repetitions; of their standardised errors the mean is within 4.5/√200, the deviation within 4.5/√400."""
    std, betas, generator = 4.0, first_ladder(5, 0.1, like=LIKE), make_generator(0, "bridge")
    truth, errors = 1.5 * math.log(2 * math.pi), []
    for _ in range(200):
        bridge = Bridge(betas, steps=steps, ladders=ladders)
        for _ in range(steps):
            bridge.observe(log_ratio(exact_draws(betas, std, ladders, generator), std))
        log_z, error = bridge.log_z()
        errors.append((log_z - truth) / error)
    scores = torch.tensor(errors)
    assert abs(scores.mean().item()) < 0.32
    assert scores.std().item() == pytest.approx(1, abs=0.25)  # of 16 units the stated error itself has 18 % of noise


def test_the_tempered_law_is_the_product_with_its_gradient() -> None:
    law = GaussianMixture([[-1.0, 0.0], [1.5, 0.5]], [0.3, 0.8], [0.4, 0.6])
    z = torch.randn(30, 2, generator=make_generator(0, "z"), dtype=torch.float64).requires_grad_()
    betas = torch.linspace(0.1, 1.0, 30, dtype=torch.float64)
    reference = torch.distributions.Normal(0.0, torch.tensor(2.0, dtype=torch.float64)).log_prob(z).sum(1)
    expected = (1 - betas) * reference + betas * law.log_prob(z)
    (gradient,) = torch.autograd.grad(expected.sum(), z)
    source = FlatDensity(Target(event_shape=(2,), law=law))
    density = Tempered(source, betas, std=2.0)
    value, score = density(z.detach())
    torch.testing.assert_close(value, expected.detach())
    torch.testing.assert_close(score, gradient)
    torch.testing.assert_close(density.log_prob, law.log_prob(z.detach()))
    assert source.evaluations == 1
    standard = StandardNormal(2).log_prob(z.detach())
    torch.testing.assert_close(reference_log_prob(z.detach(), 1.0), standard)
