"""Targets against the optimal values, and what learning does to the width of the prior."""

from __future__ import annotations

import math

import pytest
import torch

from phys_samplers.density import FlatDensity
from phys_samplers.errors import ConfigurationError
from phys_samplers.laws import GaussianMixture
from phys_samplers.randomness import Streams
from phys_samplers.target import Target
from phys_value_gradient import AuxiliaryProcess, ExactLandscape, Policy
from phys_value_gradient.learning import STEEPEST, Learning, backed_up, initial_slope, linex
from phys_value_gradient.policy import Energy
from phys_value_gradient.process import schedule

VE = AuxiliaryProcess(schedule("geometric", 4, start=0.5, end=0.1), "ve")
VP = AuxiliaryProcess(schedule("quadratic", 4, start=0.3, end=0.1), "vp")


def setting(target, process, rule="mean", particles=6):
    """Exact values, a policy, and states of every step with what the policy does there."""
    landscape = ExactLandscape(target, process, Energy(FlatDensity(target)))
    policy = Policy(process, rule)
    states = Streams([0], "states").normal(process.steps, particles, target.dim, dtype=torch.float64)
    return landscape, policy, states, *policy.propose(landscape, states, 0)


@pytest.mark.parametrize("process", [VE, VP], ids=["ve", "vp"])
@pytest.mark.parametrize("n_step", [1, 2, 9])
@pytest.mark.parametrize("rule", ["taylor", "moments"])
def test_soft_targets_are_the_optimal_values(three_modes, process, n_step, rule) -> None:
    """With K = 4,000 draws; seed fixed, errors of a few hundredths against values that differ by whole numbers, and of
    a tenth against gradients of up to six."""
    landscape, policy, states, shifts, scales = setting(three_modes, process, rule)
    found = backed_up(
        landscape,
        policy,
        states,
        shifts,
        scales,
        Streams([1], "draws"),
        backup="soft",
        draws=4_000,
        n_step=n_step,
        gradients=True,
    )
    values, gradients = landscape.values_and_gradients(states, 0)
    torch.testing.assert_close(found.values, values, rtol=0, atol=0.1)
    torch.testing.assert_close(found.gradients, gradients, rtol=0, atol=0.25)


def test_mean_targets_of_a_normal_law_are_the_optimal_values_and_the_cost_of_the_policy() -> None:
    """E[V^{t+1} + log π/q̃] − V*^t = KL(π|q̃) = D/2 (ρ − 1 − log ρ) with ρ = 1 + s²/v; 20,000 draws, 5 errors."""
    law = GaussianMixture(torch.zeros(1, 2, dtype=torch.float64), torch.tensor([0.5]), [1.0])
    landscape, policy, states, shifts, scales = setting(Target(event_shape=(2,), law=law), VE)
    draws = 20_000
    found = backed_up(
        landscape, policy, states, shifts, scales, Streams([1], "draws"), backup="mean", draws=draws
    ).values
    for t, s2 in enumerate(VE.variances):
        rho = 1 + s2 / (0.5 + VE.marginals[t + 1][1])
        gap = (found - landscape.values(states, 0))[0, t] - (rho - 1 - math.log(rho))
        # Var of ½(ρ − 1)|ε|² + the linear remainder: below (ρ − 1)²·D/2 + ρ|drift error|², here below 1
        assert float(gap.abs().max()) < 5 / math.sqrt(draws)


def test_the_mean_target_is_above_the_soft_one(three_modes) -> None:
    landscape, policy, states, shifts, scales = setting(three_modes, VE, "taylor")
    soft, mean = (
        backed_up(landscape, policy, states, shifts, scales, Streams([1], "draws"), backup=backup, draws=16).values
        for backup in ("soft", "mean")
    )
    assert bool((soft <= mean + 1e-12).all())


def test_the_linear_noise_of_the_cost_cancels_that_of_the_value() -> None:
    """Without μ·ε/(αs), which has mean zero, single targets vary several times as much."""
    law = GaussianMixture(torch.zeros(1, 2, dtype=torch.float64), torch.tensor([0.5]), [1.0])
    landscape, policy, states, shifts, scales = setting(Target(event_shape=(2,), law=law), VE, particles=2_000)
    streams = Streams([1], "draws")
    with_it = backed_up(landscape, policy, states, shifts, scales, streams, backup="mean", draws=1).values
    noise = Streams([1], "draws").normal(4, 2_000, 2, dtype=torch.float64)
    alpha, s = VE.columns(0, 4, states)
    without = with_it - (shifts * noise / (alpha * s)).sum(-1)
    exact = landscape.values(states, 0)
    assert float((with_it - exact).std()) < 0.5 * float((without - exact).std())


def test_the_width_of_the_prior_is_right_where_its_slope_is_zero() -> None:
    """V⁰ of N(0, v) is quadratic: the slope in log σ is σ²/(v + Σs²) − 1."""
    law = GaussianMixture(torch.zeros(1, 2, dtype=torch.float64), torch.tensor([0.5]), [1.0])
    target = Target(event_shape=(2,), law=law)
    landscape = ExactLandscape(target, VE, Energy(FlatDensity(target)))
    z = Streams([0, 1], "z").normal(20_000, 2, dtype=torch.float64)
    ratio = 1.2
    x = z * math.sqrt(ratio * (0.5 + VE.total))
    # 40,000 squares: a standard error of .007 each
    torch.testing.assert_close(
        initial_slope(landscape, x, 1.0), torch.full((2,), ratio - 1).double(), rtol=0, atol=0.04
    )


def test_linex_is_least_at_the_optimal_value_whatever_the_noise_of_single_targets() -> None:
    """Targets N(0, σ²) with σ = .5: −log E e^{−c} = −σ²/2. 10⁶ draws, standard error .0005."""
    targets = 0.5 * Streams([0], "targets").normal(1_000_000, dtype=torch.float64)
    value = torch.tensor(-0.125, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(linex(value - targets).mean(), value)
    assert abs(float(slope)) < 0.01
    (slope,) = torch.autograd.grad(linex(value + 0.125 - targets).mean(), value)
    assert float(slope) > 0.1


def test_linex_goes_on_linearly() -> None:
    error = torch.tensor([STEEPEST - 1e-6, STEEPEST + 1e-6, STEEPEST + 5], dtype=torch.float64, requires_grad=True)
    loss = linex(error)
    (slope,) = torch.autograd.grad(loss.sum(), error)
    torch.testing.assert_close(slope, torch.full((3,), 3.0, dtype=torch.float64), rtol=1e-5, atol=0)
    torch.testing.assert_close(loss[2] - loss[1], slope[2] * (error[2] - error[1]))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"backup": "hard"}, "hard"),
        ({"error": "absolute"}, "absolute"),
        ({"draws": 0}, "draws is 0"),
        ({"n_step": 1.5}, "n_step is 1.5"),
        ({"exploration": 0.0}, "exploration"),
        ({"target_decay": 1.0}, "target_decay is 1.0"),
        ({"gradient_weight": -1.0}, "gradient_weight is -1.0"),
        ({"gradient_weight": 1.0, "backup": "mean"}, "soft targets"),
    ],
)
def test_bad_options_are_refused(options, named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        Learning(**options)
