"""The laws that Hamiltonian chains end in, and what a draw tells.

Statistical checks are at 4 standard errors of independent chains: a false alarm in 16,000 for each number checked.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from phys_monte_carlo import HMC
from phys_samplers import Density, load
from phys_samplers.errors import ConfigurationError, DivergenceError
from phys_samplers.laws import DoubleWell, Funnel, StandardNormal
from phys_samplers.randomness import make_generator
from phys_samplers.target import Target

N = 10_000
SHORT = HMC(sampling_steps=40, warmup_steps=15, leapfrog_steps=4)


def gaussian(covariance: Tensor) -> Target:
    precision = torch.linalg.inv(covariance).float()
    return Density(
        lambda x: -0.5 * ((x @ precision) * x).sum(1), score=lambda x: -x @ precision, event_shape=(len(covariance),)
    )


def test_a_badly_scaled_correlated_gaussian_is_reproduced() -> None:
    """Standard deviations from 0.1 to 10 and correlations of 0.6: variances and correlations, all ten."""
    std = torch.tensor([0.1, 1.0, 3.0, 10.0], dtype=torch.float64)
    correlation = torch.full((4, 4), 0.6, dtype=torch.float64).fill_diagonal_(1.0)
    target = gaussian(std.unsqueeze(1) * correlation * std)
    draw = HMC(sampling_steps=120, warmup_steps=60).fit(target).draw(N, seed=1)
    x = draw.samples.double()
    assert (x.mean(0).abs() < 4 * std / math.sqrt(N)).all()
    assert ((x.var(0) / std**2 - 1).abs() < 4 * math.sqrt(2 / N)).all()
    assert ((torch.corrcoef(x.T) - correlation).abs() < 4 * (1 - 0.6**2) / math.sqrt(N)).all()
    assert draw.diagnostics["divergences"] == 0
    # Over seeds .84 to .94: 60 steps of warm-up end short of the step that is asked for.
    assert draw.diagnostics["acceptance"] == pytest.approx(0.8, abs=0.16)
    assert draw.diagnostics["mass_ratio"] == pytest.approx(1e4, rel=0.2)  # the masses know the scales
    assert draw.diagnostics["rhat_max"] < 1.1


def test_an_anharmonic_law_is_reproduced_at_a_step_where_many_trajectories_are_refused() -> None:
    """Of exp(−x⁴/4), E x² = 2Γ(3/4)/Γ(1/4) and E x⁴ = 1."""
    quartic = Density(lambda x: -x.pow(4).sum(1) / 4, score=lambda x: -(x**3), event_shape=(1,))
    draw = HMC(sampling_steps=100, warmup_steps=60, prior_std=1.0, target_acceptance=0.6).fit(quartic).draw(N, seed=1)
    squares = draw.samples.double().square()
    truth = 2 * math.gamma(0.75) / math.gamma(0.25)
    assert squares.mean().item() == pytest.approx(truth, abs=4 * math.sqrt((1 - truth**2) / N))
    assert draw.diagnostics["acceptance"] < 0.85


def test_posterior_means_of_a_logistic_regression_are_those_of_quadrature() -> None:
    generator = make_generator(0, "logistic")
    inputs = torch.stack([torch.ones(40), torch.randn(40, generator=generator)], 1)
    labels = (torch.rand(40, generator=generator) < torch.sigmoid(inputs @ torch.tensor([0.5, 2.0]))).float()
    signed = inputs * (2 * labels - 1).unsqueeze(1)

    def log_prob(w: Tensor) -> Tensor:
        return torch.nn.functional.logsigmoid(w @ signed.T.to(w)).sum(1) - 0.5 * w.square().sum(1)

    axis = torch.linspace(-6, 8, 281, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    weights = log_prob(grid).softmax(0)
    mean = weights @ grid
    variance = weights @ (grid - mean).square()
    draw = HMC(sampling_steps=80, warmup_steps=50).fit(Density(log_prob, event_shape=(2,))).draw(N, seed=1)
    x = draw.samples.double()
    assert ((x.mean(0) - mean).abs() < 4 * (variance / N).sqrt()).all()
    assert ((x.var(0) / variance - 1).abs() < 4 * math.sqrt(2.5 / N)).all()  # its tails are a little heavier


def test_jitter_breaks_resonance() -> None:
    """Trajectories of half a period mirror a Gaussian and never change its energy; varied ones forget it."""

    def energy_correlation(jitter: float) -> float:
        recipe = HMC(
            sampling_steps=21, warmup_steps=0, step_size=math.pi / 40, leapfrog_steps=40, jitter=jitter, prior_std=1.0
        )
        start = StandardNormal(1).sample(2_000, make_generator(0, "start"))
        x = recipe.fit(Target(event_shape=(1,), law=StandardNormal(1))).sample(2_000, seed=1, start=start)
        return float(torch.corrcoef(torch.cat([start, x], 1).square().T)[0, 1])

    assert energy_correlation(0.0) > 0.9
    assert abs(energy_correlation(0.5)) < 4 / math.sqrt(2_000)


def test_divergences_are_counted() -> None:
    draw = HMC(sampling_steps=60, warmup_steps=30).fit(Target(event_shape=(10,), law=Funnel())).draw(200, seed=1)
    assert draw.diagnostics["divergences"] > 0


def test_particles_stay_in_the_subspace_of_the_law_and_have_its_energy() -> None:
    """DW-4 from exact draws: the mean energy within 4 standard errors of −22.541."""
    law, n = DoubleWell(), 2_000
    start = law.sample(n, make_generator(0, "start"))
    x = HMC(sampling_steps=40, warmup_steps=30).fit(Target(event_shape=(8,), law=law)).sample(n, seed=1, start=start)
    assert x.unflatten(1, (4, 2)).mean(1).abs().max() < 1e-4
    assert (x != start).any(1).float().mean() > 0.95
    energy = -law.log_prob(x)
    assert energy.mean().item() == pytest.approx(-22.541, abs=4 * energy.std().item() / math.sqrt(n))


def normal(*event_shape: int) -> Target:
    return Density(lambda x: -0.5 * x.square().flatten(1).sum(1), event_shape=event_shape, name="normal")


@pytest.mark.parametrize("jitter", [0.0, 0.5, 1.0])
def test_every_leapfrog_step_is_counted(jitter: float) -> None:
    calls = []

    def log_prob(x: Tensor) -> Tensor:
        calls.append(len(x))
        return -0.5 * x.square().flatten(1).sum(1)

    draw = SHORT.fit(Density(log_prob, event_shape=(2, 3))).draw(50, seed=1, jitter=jitter)
    assert draw.samples.shape == (50, 2, 3)
    assert draw.nfe == len(calls)
    assert set(calls) == {50}
    lengths = SHORT.with_options(jitter=jitter).lengths(make_generator(1, "noise"))
    assert len(calls) - 1 - sum(lengths) in range(1, 10)  # uphill, since the start is five times too wide
    calls.clear()
    SHORT.fit(Density(log_prob, event_shape=(2, 3))).draw(50, seed=1, jitter=jitter, ascent_steps=0)
    assert len(calls) == 1 + sum(lengths)
    assert {min(lengths), max(lengths)} == {0.0: {4}, 0.5: {2, 6}, 1.0: {1, 7}}[jitter]


def test_several_samples_per_chain_cost_less() -> None:
    single, several = SHORT.fit(normal(2)).draw(3, seed=1), SHORT.fit(normal(2)).draw(10, seed=1, samples_per_chain=4)
    assert several.diagnostics["chains"] == 3
    assert torch.equal(several.samples[:3], single.samples)
    assert several.nfe == pytest.approx(single.nfe * 3 / 10)


def test_draws_are_decided_by_their_seed_and_survive_a_checkpoint(tmp_path: Any) -> None:
    model = SHORT.fit(normal(2))
    x = model.sample(20, seed=1)
    assert torch.equal(x, model.sample(20, seed=1))
    assert not torch.equal(x, model.sample(20, seed=2))
    model.save(tmp_path)
    assert torch.equal(load(tmp_path, target=normal(2)).sample(20, seed=1), x)


def test_chains_that_never_find_the_density_are_lost() -> None:
    nowhere = Density(lambda x: torch.where(x[:, 0] > 1e4, 0.0 * x[:, 0], -torch.inf), event_shape=(1,))
    with pytest.raises(DivergenceError, match=r"9 of 9 particles.*prior_std"):
        SHORT.fit(nowhere).sample(9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"leapfrog_steps": 0}, "leapfrog_steps is 0"),
        ({"warmup_steps": 200}, "expected fewer warm-up steps"),
        ({"target_acceptance": 0.0}, "target_acceptance is 0.0"),
        ({"jitter": 1.5}, "jitter is 1.5; expected a number of at least 0 and of at most 1"),
        ({"step_size": -1.0}, "step_size is -1.0"),
        ({"samples_per_chain": 101}, "holds 100"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        HMC(**options)
