"""The optimal values and the policies that follow from them, against quadrature and closed forms."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Normal

from phys_samplers.density import FlatDensity
from phys_samplers.errors import ConfigurationError, IncompatibleError
from phys_samplers.laws import GaussianMixture
from phys_samplers.randomness import make_generator
from phys_samplers.target import Density, Target
from phys_value_gradient import AuxiliaryProcess, ExactLandscape, Policy, ValueGradientSampler, walk
from phys_value_gradient.policy import NARROWEST, Energy
from phys_value_gradient.process import log_ratio, schedule

PROCESSES = [
    AuxiliaryProcess(schedule("geometric", 5, start=1.0, end=0.1), "ve"),
    AuxiliaryProcess(schedule("quadratic", 5, start=0.6, end=0.1), "vp"),
]


def normal(variance: float, dim: int = 2) -> Target:
    """N(0, variance I) in double precision."""
    law = GaussianMixture(torch.zeros(1, dim, dtype=torch.float64), torch.tensor([variance]), [1.0])
    return Target(event_shape=(dim,), name="normal", law=law)


def landscape_of(target, process) -> ExactLandscape:
    return ExactLandscape(target, process, Energy(FlatDensity(target)))


@pytest.mark.parametrize("process", PROCESSES, ids=["ve", "vp"])
@pytest.mark.parametrize("rule", ["taylor", "mean", "moments"])
def test_optimal_values_fulfil_the_soft_recursion_under_any_policy(three_modes, process, rule) -> None:
    """e^{−V^t(x)} = E_π[e^{−V^{t+1}(x')} q̃/π], the expectation by Gauss–Hermite quadrature with 300 nodes."""
    landscape, policy = landscape_of(three_modes, process), Policy(process, rule)
    nodes, weights = np.polynomial.hermite_e.hermegauss(300)
    epsilon = torch.tensor(nodes).view(-1, 1)
    log_weights = torch.tensor(weights).log() - 0.5 * math.log(2 * math.pi)
    for t in range(process.steps):
        x = torch.linspace(-4, 4, 9, dtype=torch.float64).view(1, 1, -1, 1)
        shift, scale = policy.propose(landscape, x, t)
        alpha, s = process.columns(t, 1, x)
        for i in range(x.shape[2]):
            eta = scale[0, 0, i] if isinstance(scale, Tensor) else torch.ones(1, dtype=torch.float64)
            mu = shift[0, 0, i].expand_as(epsilon)
            after = alpha * x[0, 0, i] + mu + alpha * s * eta * epsilon
            cost = log_ratio(mu, epsilon, alpha, s, eta.view(1, 1))
            value = landscape.values(after.view(1, 1, -1, 1), t + 1).flatten()
            found = -(log_weights - value - cost).logsumexp(0)
            expected = landscape.values(x[:, :, i : i + 1], t).squeeze()
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("process", PROCESSES, ids=["ve", "vp"])
def test_gradients_are_those_of_the_values(three_modes, process) -> None:
    landscape = landscape_of(three_modes, process)
    x, h = torch.linspace(-4, 4, 17, dtype=torch.float64).view(1, 1, -1, 1), 1e-5
    for t in range(process.steps + 1):
        _, gradient = landscape.values_and_gradients(x, t)
        difference = (landscape.values(x + h, t) - landscape.values(x - h, t)) / (2 * h)
        torch.testing.assert_close(gradient.squeeze(-1), difference, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("process", PROCESSES, ids=["ve", "vp"])
def test_of_a_normal_law_the_mean_rule_is_the_posterior_mean(process) -> None:
    """x' given x under q̃ is normal: mean αx v/(v + α²s²), with v the variance of x'."""
    target, variance = normal(0.5), 0.5
    x = torch.randn(1, 1, 20, 2, generator=make_generator(0, "x"), dtype=torch.float64)
    landscape, policy = landscape_of(target, process), Policy(process, "mean")
    for t, (alpha, s2) in enumerate(zip(process.alphas, process.variances, strict=True)):
        scale, blur = process.marginals[t + 1]
        v = scale**2 * variance + blur
        shift, _ = policy.propose(landscape, x, t)
        torch.testing.assert_close(alpha * x + shift, alpha * x * v / (v + alpha**2 * s2))


@pytest.mark.parametrize("process", PROCESSES, ids=["ve", "vp"])
def test_of_a_normal_law_the_moments_are_those_of_the_posterior(process) -> None:
    """Variance α²s²v/(v + α²s²), from values alone."""
    x = torch.randn(1, process.steps, 20, 2, generator=make_generator(0, "x"), dtype=torch.float64)
    _, scale = Policy(process, "moments").propose(landscape_of(normal(0.5), process), x, 0)
    for t, (alpha, s2) in enumerate(zip(process.alphas, process.variances, strict=True)):
        a, blur = process.marginals[t + 1]
        v = a**2 * 0.5 + blur
        wanted = max(v / (v + alpha**2 * s2), NARROWEST)
        torch.testing.assert_close(scale[0, t].square(), torch.full((20, 1), wanted, dtype=torch.float64))


@dataclass(frozen=True)
class Posterior(Policy):
    """Of N(0, ½I) the best policy itself, with its variance α²s²v/(v + α²s²)."""

    def propose(self, landscape, z, first):
        shift, _ = super().propose(landscape, z, first)
        scale, blur = self.process.marginals[first + 1]
        v = scale**2 * 0.5 + blur
        noise = self.process.alphas[first] ** 2 * self.process.variances[first]
        return shift, math.sqrt(v / (v + noise))


@pytest.mark.parametrize("process", PROCESSES, ids=["ve", "vp"])
def test_the_least_divergence_is_that_of_the_prior(process) -> None:
    """Theorem 3.2: of the best policy, log w of a path is log q̃_0(x_0)/π(x_0) + log Z, whatever its noise was."""
    landscape = landscape_of(normal(0.5), process)
    generator = make_generator(0, "walk")
    x = torch.randn(1, 200, 2, generator=generator, dtype=torch.float64)
    path = walk(
        landscape,
        Posterior(process, "mean"),
        x,
        lambda: torch.randn(1, 200, 2, generator=generator, dtype=torch.float64),
    )
    log_w = FlatDensity(normal(0.5)).log_prob(path.final[0]) - path.cost[0]
    scale, blur = process.marginals[0]
    start = Normal(0.0, torch.tensor(scale**2 * 0.5 + blur, dtype=torch.float64).sqrt())
    torch.testing.assert_close(log_w, start.log_prob(x[0]).sum(-1))


@pytest.mark.parametrize("process", PROCESSES, ids=["ve", "vp"])
def test_of_a_normal_law_the_bound_misses_what_the_variances_cost(process) -> None:
    """Rule ``mean``: log Z − ELBO = KL(π_0|q̃_0) + Σ_t D/2 (ρ − 1 − log ρ), ρ = 1 + α²s²/v.

    20,000 paths; the tolerance is five standard errors (false alarm rate 6e-7).
    """
    n, dim, std = 20_000, 2, 1.3
    generator = make_generator(0, "walk")

    def noise() -> Tensor:
        return torch.randn(1, n, dim, generator=generator, dtype=torch.float64)

    z = noise()
    path = walk(landscape_of(normal(0.5), process), Policy(process, "mean"), std * z, noise)
    prior = Normal(0.0, std).log_prob(std * z).sum(-1)
    log_w = FlatDensity(normal(0.5)).log_prob(path.final[0]) - (path.cost + prior)[0]
    gap = 0.0
    for t, (alpha, s2) in enumerate(zip(process.alphas, process.variances, strict=True)):
        scale, blur = process.marginals[t + 1]
        rho = 1 + alpha**2 * s2 / (scale**2 * 0.5 + blur)
        gap += dim / 2 * (rho - 1 - math.log(rho))
    scale, blur = process.marginals[0]
    rho = std**2 / (scale**2 * 0.5 + blur)
    gap += dim / 2 * (rho - 1 - math.log(rho))
    assert abs(float(log_w.mean()) + gap) < 5 * float(log_w.std()) / math.sqrt(n)


def test_with_exact_values_twenty_steps_weigh_nine_modes(nine_modes) -> None:
    """log Z within .02 and ESS ≥ .8 of 40,000 paths (standard error of log Z .0025); Eq. 12 alone comes to half."""
    model = ValueGradientSampler(value="exact").fit(nine_modes, seed=0)
    drawn = model.draw(40_000, seed=1)
    assert abs(drawn.diagnostics["log_z"]) < 0.02
    assert drawn.diagnostics["ess"] > 0.8
    assert -0.2 < drawn.diagnostics["elbo"] < drawn.diagnostics["log_z"]
    plain = model.draw(40_000, seed=1, policy="taylor").diagnostics
    assert abs(plain["log_z"]) < 0.03
    assert plain["ess"] < 0.6


def test_too_little_noise_loses_the_weights_of_modes_whatever_the_values(nine_modes) -> None:
    """Σs² = 2.9 (.2 to .1, quadratic) leaves nine modes apart if variance explodes; preserved, they meet at 0."""
    options = {"spacing": "quadratic", "start_variance": 0.2, "total_variance": None, "end_variance": 0.1}
    off = {}
    for kind in ("ve", "vp"):
        model = ValueGradientSampler(value="exact", process=kind, **options).fit(nine_modes)
        assert model.recipe.auxiliary.total == pytest.approx(2.9, abs=0.1)
        labels = nine_modes.law.labels(model.sample(20_000, seed=1))
        off[kind] = float((torch.bincount(labels, minlength=9) / 20_000 - 1 / 9).abs().sum() / 2)
    assert off["ve"] > 0.1
    assert off["vp"] < 0.03


def test_exact_values_need_a_blurred_form() -> None:
    target = Density(lambda x: -x.square().sum(-1), event_shape=(2,))
    with pytest.raises(IncompatibleError, match="blurred"):
        ValueGradientSampler(value="exact").fit(target)
    with pytest.raises(ConfigurationError, match="temperature"):
        ValueGradientSampler(value="exact", temperature=2.0)


def test_corrections_bring_coarse_steps_to_the_law_and_leave_their_weights(nine_modes: Target) -> None:
    """Within its mode E − min E has the mean D/2 = 1: ± .022 for 2,000 samples, so that .1 is over four errors."""
    model = ValueGradientSampler(value="exact", sampling_steps=4, total_variance=25.0, end_variance=0.3).fit(nine_modes)
    coarse, mended = model.draw(2_000, seed=1), model.draw(2_000, seed=1, corrections=60)
    assert torch.equal(coarse.log_weights, mended.log_weights)
    assert mended.nfe == coarse.nfe + 61

    def mean_energy(samples: Tensor) -> float:
        return float(-(nine_modes.log_prob(samples) + math.log(9 * 2 * math.pi * 0.3)).mean())

    assert abs(mean_energy(mended.samples) - 1) < 0.1 < abs(mean_energy(coarse.samples) - 1)
