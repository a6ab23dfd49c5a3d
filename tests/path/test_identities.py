"""Identities of paths that hold whatever was learned, and what the optimum makes of the weights."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from phys_path.objectives import flows, objective_of, sub_trajectory_balance
from phys_path.paths import carried_back, given, simulated
from phys_path.sampler import PathSampler
from phys_samplers import Density, make
from phys_samplers.paths import UnitDensity
from phys_samplers.randomness import Streams

LOG_Z = math.log(2 * math.pi) + math.log(0.8) + 1.3
MEAN = torch.tensor([0.5, -0.3])
TARGET = Density(lambda x: 1.3 - 0.5 * ((x - MEAN) / torch.tensor([0.8, 1.0])).square().sum(-1), event_shape=(2,))
NAMES = ("pis", "dds", "dis", "cmcd")


def recipe(name: str, **options: Any) -> PathSampler:
    gate = 1.0 if name == "dis" else 0.0  # near the control of N(0, I), so that weights have moments to be tested by
    common = {
        "objective": "log-variance",
        "sampling_steps": 5,
        "scale": 1.0,
        "grid": "cosine" if name in ("dds", "dis") else "geometric",
        "detail": 0.3,
        "width": 16,
        "depth": 2,
        "gate": gate,
    }
    return make("sampler", name, **{**common, **options})


def controlled(name: str, seeds: tuple[int, ...] = (0,), *, spread: float = 0.04, **options: Any):
    """A control whose every number is random, with its density and draws."""
    control = recipe(name, **options).control(2, Streams(seeds, "weights"))
    for parameter, scale in (
        (control.gate, 0.1),
        (control.log_widths, 0.02),
        (control.temperatures, 0.5),
        (control.network.out.weight, spread),
    ):
        parameter.data += scale * Streams(seeds, "random").normal(*parameter.shape[1:])
    return control.requires_grad_(False), UnitDensity(TARGET, 1.0), Streams(seeds, "noise")


def start_of(control, noise: Streams, n: int):
    x = noise.normal(n, 2)
    return torch.zeros_like(x) if control.process.point else x


def kicks_of(control, noise: Streams, n: int, dtype: torch.dtype = torch.float32):
    return noise.normal(control.process.steps, n, 2, dtype=dtype)


def weights_of(control, density, paths):
    return paths.log_weights(control.process, density.log_prob(paths.states[:, -1]))


@pytest.mark.parametrize("name", NAMES)
def test_weights_are_unbiased_with_random_networks(name: str) -> None:
    """E[w] = Z; five standard errors: a false alarm in 1.7 million, while a missing factor is off by more than 4 %."""
    control, density, noise = controlled(name)
    paths = simulated(control, density, start_of(control, noise, 60_000), kicks_of(control, noise, 60_000))
    weights = (weights_of(control, density, paths)[0].double() - LOG_Z).exp()
    error = weights.std() / len(weights) ** 0.5
    assert error < 0.04
    assert abs(weights.mean() - 1) < 5 * error


@pytest.mark.parametrize("name", NAMES)
def test_inverse_weights_of_exact_samples_carried_back(name: str) -> None:
    """E[1/w] = 1/Z over paths of the backward chain from the target."""
    control, density, noise = controlled(name)
    exact = MEAN + torch.tensor([0.8, 1.0]) * noise.normal(60_000, 2)
    paths = given(control, *carried_back(control, density, exact, kicks_of(control, noise, 60_000)))
    inverse = (LOG_Z - weights_of(control, density, paths)[0].double()).exp()
    error = inverse.std() / len(inverse) ** 0.5
    assert error < 0.04
    assert abs(inverse.mean() - 1) < 5 * error


@pytest.mark.parametrize("name", NAMES)
def test_one_call_weighs_as_the_walk_does(name: str) -> None:
    control, density, noise = controlled(name, seeds=(0, 5))
    kicks = kicks_of(control, noise, 40)
    paths = simulated(control, density, start_of(control, noise, 40), kicks, exploration=1.3)
    found = given(control, paths.states, paths.scores)
    torch.testing.assert_close(found.forward, paths.forward, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(found.backward, paths.backward, rtol=1e-3, atol=1e-3)
    expected = weights_of(control, density, paths)
    torch.testing.assert_close(weights_of(control, density, found), expected, rtol=1e-4, atol=1e-4)


def test_the_exact_control_of_dds_makes_weights_constant() -> None:
    """For N(m, I) the reversal of the chain is Gaussian with its own variance: log w = log Z for every path."""
    mean = torch.tensor([0.7, -0.4], dtype=torch.float64)
    target = Density(lambda x: -0.5 * (x - mean).square().sum(-1), event_shape=(2,))
    density, noise = UnitDensity(target, 1.0), Streams([0], "noise")
    control = recipe("dds", sampling_steps=6, gate=0.0).control(2, Streams([0], "weights")).double()
    variances = control.process.variances
    left = torch.cat(((1 - variances).sqrt().flip(0).cumprod(0).flip(0), torch.ones(1, dtype=torch.float64)))

    def exact(x, t):
        # The marginal at step k is N(m Π_{j ≥ k} √(1 − α_j), I).
        k = int((t.flatten()[0] * 6).round())
        here, there = mean * left[k], mean * left[k + 1]
        alpha = variances[k]
        return ((there - (1 - alpha).sqrt() * here) / alpha.sqrt()).expand_as(x)

    control.steer = exact
    draw = lambda: noise.normal(500, 2, dtype=torch.float64)  # noqa: E731
    start = mean * left[0] + draw()
    with torch.no_grad():
        paths = simulated(control, density, start, kicks_of(control, noise, 500, torch.float64))
    # The chain starts in the marginal rather than in N(0, I), whose factor is put right here.
    shift = 0.5 * (start - mean * left[0]).square().sum(-1) - 0.5 * start.square().sum(-1)
    constant = weights_of(control, density, paths) + shift
    assert float((constant - math.log(2 * math.pi)).abs().max()) < 1e-10


@pytest.mark.parametrize("name", ["pis", "dds", "dis"])
def test_half_the_gradient_of_the_log_variance_is_that_of_kl(name: str) -> None:
    """On the sampler's own paths, for processes with a fixed backward chain; 5 standard errors over 40 batches."""
    control, density, streams = controlled(name)
    control.requires_grad_(True)
    gaps = []
    for _ in range(40):
        start, kicks = start_of(control, streams, 800), kicks_of(control, streams, 800)
        attached = simulated(control, density, start, kicks, attached=True)
        (kl,) = torch.autograd.grad(-weights_of(control, density, attached).mean(), control.network.out.bias)
        found = given(control, attached.states.detach(), attached.scores.detach())
        weights = weights_of(control, density, found)
        loss = objective_of("log-variance", weights, weights, control.log_z)
        (variance,) = torch.autograd.grad(loss.sum(), control.network.out.bias)
        gaps.append(0.5 * variance - kl)
    gap = torch.stack(gaps).flatten(1)
    assert (gap.mean(0).abs() < 5 * gap.std(0) / len(gap) ** 0.5).all()
    assert gap.std() / len(gap) ** 0.5 < 0.2


def test_log_variance_is_trajectory_balance_at_the_optimal_constant() -> None:
    log_weights = torch.randn(3, 200, generator=torch.Generator().manual_seed(0))
    balance = objective_of("trajectory-balance", log_weights, log_weights, log_weights.mean(1, keepdim=True))
    torch.testing.assert_close(
        balance * 200 / 199, objective_of("log-variance", log_weights, log_weights, torch.zeros(3, 1))
    )


def test_monte_carlo_diffusion_without_a_network_is_annealed_langevin() -> None:
    """An independent loop with unadjusted moves in both directions gives the same weights."""
    control = recipe("cmcd", sampling_steps=5).control(2, Streams([0], "weights")).requires_grad_(False)
    density, noise = UnitDensity(TARGET, 1.0), Streams([0], "noise")
    paths = simulated(control, density, noise.normal(7, 2), kicks_of(control, noise, 7))
    path, steps = paths.states[0], control.process.variances.float()
    betas = torch.linspace(0, 1, 6)
    log_w = torch.distributions.Normal(0, 1).log_prob(path[0]).sum(-1).neg() + TARGET.log_prob(path[-1])
    for k in range(5):

        def kernel(x: torch.Tensor, beta: torch.Tensor, h: torch.Tensor = steps[k]) -> torch.distributions.Normal:
            return torch.distributions.Normal(x + 0.5 * h * ((1 - beta) * -x + beta * TARGET.score(x)), h.sqrt())

        log_w += kernel(path[k + 1], betas[k + 1]).log_prob(path[k]).sum(-1)
        log_w -= kernel(path[k], betas[k]).log_prob(path[k + 1]).sum(-1)
    torch.testing.assert_close(weights_of(control, density, paths)[0], log_w, rtol=1e-4, atol=1e-4)


def test_the_spread_of_weights_of_dds_halves_with_four_times_the_steps() -> None:
    """For N(m, s²I), s ≠ 1, the mean of the reversal is exact and its variance off by O(α): std log w = O(K^-1/2).

    The ratio of two spreads of 5,000 paths each has a standard error of 0.007; the bound is seven of them.
    """
    mean, std = torch.tensor([0.7, -0.4], dtype=torch.float64), 0.6
    target = Density(lambda x: -0.5 * ((x - mean) / std).square().sum(-1), event_shape=(2,))
    density, noise = UnitDensity(target, 1.0), Streams([0], "noise")
    spreads = []
    for steps in (64, 256):
        options = {"sampling_steps": steps, "gate": 0.0}
        control = recipe("dds", **options).control(2, Streams([0], "weights")).double().requires_grad_(False)
        alpha = control.process.variances
        left = torch.cat(((1 - alpha).sqrt().flip(0).cumprod(0).flip(0), torch.ones(1, dtype=torch.float64)))
        variance = 1 + (std**2 - 1) * left.square()

        def reversal(x, t, steps=steps, alpha=alpha, left=left, variance=variance):
            k = int((t.flatten()[0] * steps).round())
            shrink = (1 - alpha[k]).sqrt()
            there = mean * left[k + 1] + shrink * variance[k + 1] / variance[k] * (x - mean * left[k])
            return (there - shrink * x) / alpha[k].sqrt()

        control.steer = reversal
        draw = lambda: noise.normal(5_000, 2, dtype=torch.float64)  # noqa: E731
        start = mean * left[0] + variance[0].sqrt() * draw()
        paths = simulated(control, density, start, kicks_of(control, noise, 5_000, torch.float64))
        # Paths start in the marginal rather than in N(0, I), whose factor is put right here.
        shift = 0.5 * (start - mean * left[0]).square().sum(-1) / variance[0] - 0.5 * start.square().sum(-1)
        spreads.append(float((weights_of(control, density, paths) + shift).std()))
    assert spreads[1] / spreads[0] == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("name", NAMES)
def test_sub_trajectory_balance_at_full_length_is_trajectory_balance(name: str) -> None:
    control, density, noise = controlled(name, seeds=(0, 5), objective="sub-trajectory-balance")
    control.normaliser.add_(0.02)
    control.flow.out.weight.add_(0.3)  # the laws between must not matter
    paths = simulated(control, density, start_of(control, noise, 40), kicks_of(control, noise, 40))
    ends, weights = density.log_prob(paths.states[:, -1]), weights_of(control, density, paths)
    found = sub_trajectory_balance(paths.forward, paths.backward, flows(control, ends, paths.states), span=5)
    expected = objective_of("trajectory-balance", weights, weights, control.log_z)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_detailed_balance_holds_for_the_exact_laws() -> None:
    """N(0, I) is stationary under DDS's chains: with no control and flows log Ẑ + log N(0, I), every step balances."""
    target = Density(lambda x: -0.5 * x.square().sum(-1), event_shape=(2,))
    density, noise = UnitDensity(target, 1.0), Streams([0], "noise")
    options = {"objective": "sub-trajectory-balance", "gate": 0.0}
    control = recipe("dds", **options).control(2, Streams([0], "weights")).requires_grad_(False)
    start = noise.normal(40, 2)
    paths = simulated(control, density, start, kicks_of(control, noise, 40))
    ends, parts = density.log_prob(paths.states[:, -1]), (paths.forward, paths.backward)
    control.normaliser.fill_(math.log(2 * math.pi) / 50)
    assert float(sub_trajectory_balance(*parts, flows(control, ends, paths.states), span=1)) < 1e-9
    control.normaliser.zero_()  # off by log 2π in the last step alone, one of five
    off = float(sub_trajectory_balance(*parts, flows(control, ends, paths.states), span=1))
    assert off == pytest.approx(math.log(2 * math.pi) ** 2 / 5, rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("span", [1, 3])
def test_sub_trajectory_balance_finds_the_normaliser(span: int) -> None:
    model = recipe(
        "dds", objective="sub-trajectory-balance", span=span, steps=300, batch_size=64, sampling_steps=8
    ).fit(TARGET, seed=0)
    assert float(model.control.log_z) == pytest.approx(LOG_Z, abs=0.15)
