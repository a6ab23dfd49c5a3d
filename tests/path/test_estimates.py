"""Estimates of a draw: standard errors that cover, resampling that stays unbiased, what exact samples say."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from phys_path.particles import resampled
from phys_path.paths import carried_back, given
from phys_path.sampler import PathModel
from phys_samplers import Density, make
from phys_samplers.laws import GaussianMixture
from phys_samplers.paths import UnitDensity
from phys_samplers.randomness import Streams
from phys_samplers.target import Target

LOG_Z = math.log(2 * math.pi) + math.log(0.8) + 1.3
MEAN, STD = torch.tensor([0.5, -0.3]), torch.tensor([0.8, 1.0])
TARGET = Density(lambda x: 1.3 - 0.5 * ((x - MEAN) / STD).square().sum(-1), event_shape=(2,))


def random_model(name: str, seed: int = 0, **options: object) -> PathModel:
    """A sampler whose network is random and that nobody trained."""
    recipe = make(
        "sampler",
        name,
        **{"sampling_steps": 6, "width": 8, "depth": 1, "scale": 1.0, "gate": 0.0, "grid": "uniform", **options},
    )
    control = recipe.control(2, Streams([seed], "weights")).requires_grad_(False)
    control.network.out.weight += 0.015 * Streams([seed], "random").normal(*control.network.out.weight.shape[1:])
    return PathModel(recipe, control, TARGET, scale=1.0, device="cpu")


@pytest.mark.parametrize("name", ["pis", "dds"])
def test_the_standard_error_of_log_z_covers(name: str) -> None:
    """120 draws of 600 paths: of intervals of ±2 standard errors 95.4 % hold log Z, of ±1 68.3 %.

    Of a binomial law fewer than 106 of the first, or fewer than 65 or more than 98 of the second, have a chance below
    0.002 each; standard errors that are half or twice as large as they should be are found out.
    """
    model = random_model(name)
    off = []
    for seed in range(120):
        facts = model.draw(600, seed=seed).diagnostics
        off.append(abs(facts["log_z"] - LOG_Z) / facts["log_z_std"])
    assert 0.1 < facts["ess"] < 0.99
    assert sum(each < 2 for each in off) >= 106
    assert 65 <= sum(each < 1 for each in off) <= 98


@pytest.mark.parametrize("name", ["pis", "dds", "dis", "cmcd", "flow"])
def test_resampling_along_the_path_is_unbiased(name: str) -> None:
    """E[Ẑ] = Z with random networks, 500 runs of 40 particles; 5 standard errors, of which one is below 4 %."""
    seeds, runs = tuple(range(500)), 500
    options = {
        "objective": "sub-trajectory-balance" if name == "flow" else "log-variance",
        "width": 8,
        "depth": 1,
        "grid": "uniform",
    }
    gate = 1.0 if name == "dis" else 0.1
    recipe = make("sampler", "dds" if name == "flow" else name, sampling_steps=5, scale=1.0, gate=gate, **options)
    control = recipe.control(2, Streams(seeds, "weights")).requires_grad_(False)
    control.network.out.weight += 0.05 * Streams(seeds, "random").normal(8, 2)
    if control.flow is not None:
        control.flow.out.weight += 0.1 * Streams(seeds, "twist").normal(8, 1)
    noise = Streams(seeds, "noise")
    start = noise.normal(40, 2) * (0 if control.process.point else 1)
    density = UnitDensity(TARGET, 1.0)
    run = resampled(control, density, start, noise.normal(5, 40, 2), noise.uniform(5), least=0.95)
    ratio = (run.log_weights.double().logsumexp(1) - math.log(40) - LOG_Z).exp()
    error = float(ratio.std()) / runs**0.5
    assert float(run.times.mean()) > 1
    assert error < 0.04
    assert abs(float(ratio.mean()) - 1) < 5 * error


def test_resampling_is_an_option_of_a_draw() -> None:
    model = random_model("dds")
    plain, moved = model.draw(4_000, seed=0), model.draw(4_000, seed=0, resample_below=0.9)
    assert "log_z_std" in plain.diagnostics
    assert set(moved.diagnostics) == {"log_z", "ess", "resampled"}
    assert moved.diagnostics["resampled"] >= 1
    assert moved.diagnostics["ess"] > plain.diagnostics["ess"]
    assert moved.diagnostics["log_z"] == pytest.approx(LOG_Z, abs=0.2)
    weights = moved.log_weights.softmax(0)
    torch.testing.assert_close((weights[:, None] * moved.samples).sum(0), MEAN, atol=0.12, rtol=0)


def test_exact_samples_say_what_the_sampler_gives() -> None:
    """E[log w] ≥ log Z on them, E[1/w] = 1/Z, and the share of effective draws is that of a draw."""
    model = random_model("dds")
    exact = MEAN + STD * torch.randn(40_000, 2, generator=torch.Generator().manual_seed(0))
    found, facts = model.backward_diagnostics(exact, seed=1), model.draw(40_000, seed=2).diagnostics
    assert facts["elbo"] < LOG_Z < found["eubo"]
    assert found["log_z"] == pytest.approx(LOG_Z, abs=0.03)
    assert found["ess"] == pytest.approx(facts["ess"], abs=0.04)


MIXTURE = GaussianMixture([[-1.0], [0.8]], [0.2, 0.4], [0.4, 0.6])
GRID = torch.linspace(-6, 6, 601, dtype=torch.float64)


def posterior(process, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """On the grid: p(x_k), p(x_{k+1} | x_k) (x_k first), and the latter's mean, of DDS's chain from the mixture."""
    width = GRID[1] - GRID[0]

    def law(j: int) -> Tensor:
        kept, blur = process.kept[j], process.blur[j]
        means, variances = MIXTURE.means.double() * kept, MIXTURE.variances.double() * kept**2 + blur
        return GaussianMixture(means, variances, MIXTURE.weights.double()).log_prob(GRID[:, None]).exp()

    alpha = process.variances[k]
    step = torch.distributions.Normal((1 - alpha).sqrt() * GRID[None], alpha.sqrt()).log_prob(GRID[:, None]).exp()
    joint = step * law(k + 1)
    here = joint.sum(1) * width
    given_here = joint / here[:, None].clamp(min=1e-300)
    return here, given_here, (given_here * GRID).sum(1) * width


def test_the_best_objective_of_a_mixture_tends_to_zero_as_steps_shorten() -> None:
    """D(P_B ‖ P_F) at the best mean, by quadrature in one dimension, falls like 1/K, and is what paths say.

    The chain of paths adds the difference of p(x_0) and N(0, I), which the quadrature adds too. 5 standard errors.
    """
    target = Target(event_shape=(1,), law=MIXTURE)
    width, found = float(GRID[1] - GRID[0]), {}
    for steps in (16, 32, 64):
        recipe = make("sampler", "dds", sampling_steps=steps, grid="uniform", scale=1.0, gate=0.0, width=8, depth=1)
        control = recipe.control(1, Streams([0], "weights")).double().requires_grad_(False)
        process, gap, means = control.process, 0.0, []
        for k in range(steps):
            here, given_here, mean = posterior(process, k)
            f = torch.distributions.Normal(mean[:, None], process.variances[k].sqrt()).log_prob(GRID[None])
            gap += float((here[:, None] * given_here * (given_here.clamp(min=1e-300).log() - f)).sum()) * width**2
            means.append(mean)
            if k == 0:
                prior = torch.distributions.Normal(0.0, 1.0).log_prob(GRID)
                start = float((here * (here.clamp(min=1e-300).log() - prior)).sum()) * width
        found[steps] = gap

        def steer(x: Tensor, t: Tensor, means=tuple(means), process=process, steps=steps) -> Tensor:
            k = (t * steps).round().long().expand(x.shape[:2])
            table = torch.stack(means)
            place = ((x[..., 0] - GRID[0]) / width).clamp(0, len(GRID) - 1.001)
            low = place.floor().long()
            mean = torch.lerp(table[k, low], table[k, low + 1], place - low)
            return ((mean - process.growth[k] * x[..., 0]) / process.variances[k].sqrt())[..., None]

        control.steer = steer
        ends = MIXTURE.sample(8_000, torch.Generator().manual_seed(0)).double()
        noise = Streams([0], "noise").normal(steps, 8_000, 1, dtype=torch.float64)
        paths = given(control, *carried_back(control, UnitDensity(target, 1.0), ends[None], noise))
        weights = paths.log_weights(process, MIXTURE.log_prob(ends)[None])[0]
        assert abs(float(weights.mean()) - gap - start) < 5 * float(weights.std()) / 8_000**0.5
    assert found[16] / found[32] == pytest.approx(2, abs=0.35)
    assert found[32] / found[64] == pytest.approx(2, abs=0.2)
