"""Estimates of the posterior mean against closed forms, and the reversal that follows them."""

from __future__ import annotations

import math
from typing import get_args

import pytest
import torch
from torch import Tensor

from phys_match.reverse import Estimator, Moments, estimate, levels, reversed_walk
from phys_samplers import Density, make
from phys_samplers.laws import GaussianMixture
from phys_samplers.paths import UnitDensity
from phys_samplers.randomness import Streams

MEANS = torch.tensor([[-1.0, 0.3], [0.9, 0.8], [0.2, -1.1]])
VARIANCE = 0.06
MIXTURE = GaussianMixture(MEANS, [VARIANCE] * 3, [0.5, 0.3, 0.2])
DENSITY = UnitDensity(Density(MIXTURE.log_prob, event_shape=(2,), score=MIXTURE.score), 1.0)
LOG_Z = 0.7
SHIFTED = Density(lambda x: MIXTURE.log_prob(x) + LOG_Z, event_shape=(2,))


def exact(x: Tensor, sigma: Tensor) -> Moments:
    """Both moments in closed form, at σ (0-d)."""
    variance = float(sigma) ** 2
    kept = VARIANCE / (VARIANCE + variance)
    blurred = GaussianMixture(MEANS, [VARIANCE + variance] * 3, [0.5, 0.3, 0.2])
    shares = blurred.responsibilities(x.flatten(0, -2)).view(*x.shape[:-1], 3, 1)
    each = MEANS + kept * (x.unsqueeze(-2) - MEANS)
    mean = (shares * each).sum(-2)
    spread = (shares.squeeze(-1) * (each - mean.unsqueeze(-2)).square().mean(-1)).sum(-1)
    return Moments(mean, spread + kept * variance)


@pytest.mark.parametrize("how", ["denoising", "target"])
def test_a_known_draw_of_the_posterior_takes_the_bias_of_estimates(how: Estimator) -> None:
    """Of two draws, moments E[m̂], E[m̂ x] and E[m̂ x³] with and without the clean state as one of them.

    For any function h of x, E[m̂ h(x)] = E[x₀ h(x)]. Of 100,000 rows all three must be within five standard errors
    (false alarms below 2e-6), and without the known draw one is more than ten off, so that the test can fail.
    """
    law = GaussianMixture([[-1.0], [1.0]], [0.1, 0.1], [0.7, 0.3])
    density = UnitDensity(Density(law.log_prob, event_shape=(1,), score=law.score), 1.0)
    rows, sigma, streams = 100_000, 0.6, Streams([0], "known")
    clean = law.double().sample(rows, torch.Generator().manual_seed(1)).unsqueeze(0)
    x = clean + sigma * streams.normal(rows, 1, dtype=torch.float64)
    noise, level = streams.normal(rows, 2, 1, dtype=torch.float64), x.new_full((1, rows), sigma)

    def errors(known: Tensor | None) -> Tensor:
        off = estimate(density, x, level, noise, how, clean=known).mean - clean
        found = off * torch.stack((torch.ones_like(x), x, x**3))
        return (found.mean((1, 2, 3)) / (found.std((1, 2, 3)) / math.sqrt(rows))).abs()

    assert float(errors(clean).max()) < 5
    assert float(errors(None).max()) > 10


@pytest.mark.parametrize(
    ("how", "place", "sigma", "repeats"),
    [("target", 0.8, 0.4, 40_000), ("denoising", 0.3, 0.6, 8_000), ("optimal", 0.3, 0.6, 8_000)],
)
def test_the_bias_of_an_estimated_score_falls_like_one_over_the_draws(
    how: Estimator, place: float, sigma: float, repeats: int
) -> None:
    """At one place between two modes of a law on the line, estimates of 8 draws and as many of 32.

    To first order the bias is b/K, so that four times the draws leave a quarter of it; the ratio must be within five of
    its standard errors of that, or within 0.08 for terms of second order, which keeps it from the half that a bias like
    K^(−1/2) leaves. For the mixture, whose coefficient is found from the same draws, the claim is weaker: it falls by
    half.
    """
    law = GaussianMixture([[-1.0], [1.0]], [0.1, 0.1], [0.7, 0.3])
    density = UnitDensity(Density(law.log_prob, event_shape=(1,), score=law.score), 1.0)
    x = torch.full((1, repeats, 1), place, dtype=torch.float64)
    truth = x[0, :1] + sigma**2 * law.blurred(sigma**2).double().score(x[0, :1])
    streams, found, errors = Streams([0], "noise"), [], []
    for draws in (8, 32):
        noise = streams.normal(repeats, draws, 1, dtype=torch.float64)
        off = (estimate(density, x, x.new_full((1, repeats), sigma), noise, how).mean - truth).flatten()
        found.append(float(off.mean()))
        errors.append(float(off.std()) / math.sqrt(repeats))
    assert abs(found[0]) > 6 * errors[0]
    ratio = found[1] / found[0]
    error = math.hypot(errors[1], ratio * errors[0]) / abs(found[0])
    assert error < 0.08
    if how == "optimal":
        assert ratio < 0.5
    else:
        assert abs(ratio - 0.25) < max(5 * error, 0.08)


@pytest.mark.parametrize("sigma", [0.05, 0.3, 1.0])
def test_estimates_are_of_the_closed_form(sigma: float) -> None:
    """Scores at 60 noised states with 4,000 draws; relative errors of a right estimate are near 3 %.

    The target score identity is useless at the widest level, which is why it is no default.
    """
    streams = Streams([0], "noise")
    x = MIXTURE.sample(60, torch.Generator().manual_seed(1)) + sigma * streams.normal(60, 2)[0]
    level = torch.tensor(sigma)
    truth = exact(x.unsqueeze(0), level)
    errors = {}
    noise = streams.normal(60, 4_000, 2)
    for how in get_args(Estimator):
        found = estimate(DENSITY, x.unsqueeze(0), level.expand(1, 60), noise, how)
        size = (truth.mean - x).square().sum().sqrt()
        errors[how] = float((found.mean - truth.mean).square().sum().sqrt() / size)
        assert float((found.draws.variance / truth.variance - 1).abs().mean()) < 0.1
    assert errors["optimal"] < 0.08
    assert errors["denoising"] < 0.15
    assert errors["optimal"] <= 1.1 * min(errors.values())


def test_the_mixture_has_no_error_within_a_normal_mode() -> None:
    target = Density(lambda x: -0.5 * (x - 0.4).square().sum(-1) / 0.09, event_shape=(2,))
    density, streams = UnitDensity(target, 1.0), Streams([0, 1], "noise")
    x, sigma = 0.5 * streams.normal(50, 2, dtype=torch.float64), streams.uniform(50, dtype=torch.float64) + 0.1
    found = estimate(density, x, sigma, streams.normal(50, 6, 2, dtype=torch.float64), "optimal")
    kept = (0.09 / (0.09 + sigma.square())).unsqueeze(-1)
    torch.testing.assert_close(found.mean, 0.4 + kept * (x - 0.4), rtol=1e-8, atol=1e-8)


def test_no_density_anywhere_leaves_estimates_finite() -> None:
    nowhere = UnitDensity(Density(lambda x: torch.full_like(x[:, 0], -math.inf), event_shape=(2,)), 1.0)
    streams = Streams([0], "noise")
    found = estimate(nowhere, streams.normal(5, 2), torch.ones(1, 5), streams.normal(5, 8, 2), "denoising")
    assert found.mean.isfinite().all()
    assert found.draws.variance.isfinite().all()


def test_weights_of_the_reversal_are_unbiased_for_random_moments() -> None:
    """E[w] = Z with a posterior mean and variance that are wrong, 50,000 paths of three steps; five standard errors.

    One is below 2 %, so that a missing factor, of the kind of (1 + σ²)^(D/2), is seen.
    """
    target = Density(lambda x: LOG_Z - 0.5 * (x - 0.3).square().sum(-1) - math.log(2 * math.pi), event_shape=(2,))
    density, streams = UnitDensity(target, 1.0), Streams([0], "noise")

    def wrong(x: Tensor, sigma: Tensor) -> Moments:
        kept = 1 / (1 + sigma.square())
        mean = 0.3 + kept * (x - 0.3)
        return Moments(mean + 0.2 * torch.sin(3 * x), (1 - kept) * (1.4 + 0.2 * torch.cos(x[..., 0])))

    walked = reversed_walk(
        wrong, levels(3, 1.5, 0.3), streams.normal(50_000, 2), lambda: streams.normal(50_000, 2), density=density
    )
    assert walked.log_weights is not None
    weights = (walked.log_weights[0].double() - LOG_Z).exp()
    error = float(weights.std() / len(weights) ** 0.5)
    assert error < 0.02
    assert abs(float(weights.mean()) - 1) < 5 * error


def test_exact_moments_and_many_steps_make_weights_nearly_constant() -> None:
    """The spread of log w falls with the steps; what stays is the start in a Gaussian instead of the blurred law."""
    density, spreads = UnitDensity(SHIFTED, 1.0), []
    streams = Streams([0], "noise")
    for steps in (8, 64):
        sigmas = levels(steps, 4.0, 0.05)
        walked = reversed_walk(
            exact, sigmas, streams.normal(2_000, 2), lambda: streams.normal(2_000, 2), density=density
        )
        assert walked.log_weights is not None
        spreads.append(float(walked.log_weights.std()))
    assert spreads[1] < 0.5 * spreads[0]
    assert spreads[1] < 0.25


@pytest.mark.parametrize("inner", ["importance", "chains"])
def test_reverse_diffusion_monte_carlo_weighs_exactly_and_counts(inner: str) -> None:
    """log Ẑ of 2,000 paths within five standard errors, and evaluations as they are charged.

    Chains stay in the mode that they find at the first level, so that a law with one mode is asked of them.
    """
    calls = 0
    one = inner == "chains"

    def log_prob(x: Tensor) -> Tensor:
        nonlocal calls
        calls += len(x)
        return LOG_Z - 0.5 * (x - 0.2).square().sum(-1) / 0.5 if one else MIXTURE.log_prob(x) + LOG_Z

    target = Density(log_prob, event_shape=(2,))
    model = make("sampler", "rdmc", inner=inner, sampling_steps=16, draws=64, chains=16, widest=3.0, scale=1.0).fit(
        target
    )
    calls = 0
    draw = model.draw(2_000, seed=0)
    assert draw.nfe == pytest.approx(calls / 2_000, rel=0.02)
    truth = LOG_Z + (math.log(2 * math.pi * 0.5) if one else 0.0)
    facts = draw.diagnostics
    assert abs(facts["log_z"] - truth) < 5 * facts["log_z_std"]
    assert facts["log_z_std"] < 0.05
    assert draw.log_weights is not None
    centre = 0.2 * torch.ones(2) if one else torch.tensor([0.5, 0.3, 0.2]) @ MEANS
    mean = (draw.log_weights.softmax(0).unsqueeze(1) * draw.samples).sum(0)
    torch.testing.assert_close(mean, centre, atol=0.12, rtol=0)
