"""Sequential Monte Carlo against laws whose constants are known.

Checks of means are at 4 standard errors: a false alarm in 16,000 for each. The seeds are fixed.
"""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from phys_monte_carlo import SMC
from phys_monte_carlo.annealing import Rules, anneal
from phys_monte_carlo.path import Path, Reference
from phys_samplers import Density, load, make
from phys_samplers.density import FlatDensity
from phys_samplers.errors import ConfigurationError, DivergenceError
from phys_samplers.evaluations import Evaluations
from phys_samplers.laws import DoubleWell, GaussianMixture, ManyWell
from phys_samplers.randomness import make_generator
from phys_samplers.target import Target

LINE = torch.tensor([-5.0, 0.0, 5.0])


def gmm9() -> Target:
    law = GaussianMixture(torch.cartesian_prod(LINE, LINE), [0.3] * 9, [1 / 9] * 9)
    return Target(event_shape=(2,), law=law, name="gmm9")


def correlated(dim: int, log_z: float = 0.0) -> Target:
    """A Gaussian with mean 1, variances of 1 to 4 and correlations of 0.6, times e^log_z."""
    scale = torch.linspace(1, 2, dim)
    covariance = (0.4 * torch.eye(dim) + 0.6) * scale * scale.unsqueeze(1)
    normal = torch.distributions.MultivariateNormal(torch.ones(dim), covariance)
    return Density(lambda x: normal.log_prob(x) + log_z, event_shape=(dim,), name="correlated")


def estimates(model: Any, n: int, seeds: range) -> Tensor:
    """log Ẑ and its stated standard error (2, seeds)."""
    facts = [model.draw(n, seed=seed).diagnostics for seed in seeds]
    return torch.tensor([[f["log_z"], f["log_z_std"]] for f in facts]).T


@pytest.mark.parametrize("dim", [1, 3, 10])
def test_gaussians_have_their_constant_and_their_moments(dim: int) -> None:
    draw = SMC().fit(correlated(dim, log_z=3.0)).draw(1_000, seed=1)
    facts = draw.diagnostics
    assert 0 < facts["log_z_std"] < 0.03
    assert facts["log_z"] == pytest.approx(3.0, abs=4 * facts["log_z_std"])
    assert facts["ess"] > 0.5
    assert facts["reference"] == "fitted"
    scale = torch.linspace(1, 2, dim)
    error = ((draw.samples.mean(0) - 1) / scale).abs().max().item()
    assert error < 4 / math.sqrt(1_000 * facts["ess"])
    assert draw.samples.std(0).div(scale).log().abs().max().item() < 4 / math.sqrt(2 * 1_000 * facts["ess"])


def test_mode_weights_of_a_mixture_are_multinomial_with_the_stated_ess() -> None:
    """χ² of 8 degrees of freedom, pooled over 6 runs: beyond 94 (48 degrees) with probability 1e-4."""
    model, total = SMC().fit(gmm9()), 0.0
    for seed in range(6):
        draw = model.draw(2_000, seed=seed)
        counts = torch.bincount(model._target.law.labels(draw.samples), minlength=9)
        share = draw.diagnostics["ess"]
        assert 0.1 < share < 0.6  # modes are decided early; independent draws would give 1
        total += share * ((counts - 2_000 / 9).square() / (2_000 / 9)).sum().item()
    assert 15 < total < 94


def test_stated_errors_of_log_z_are_of_the_right_size() -> None:
    """z² over 60 runs has mean one: below .5 or above 1.75 with probability 5e-4 each, for normal z of variance one."""
    found, stated = estimates(SMC(reference="broad", leapfrog_steps=1).fit(gmm9()), 300, range(60))
    z = found / stated
    assert 0.5 < z.square().mean().item() < 1.75
    assert stated.max() < 3 * stated.min()  # so that it does say something about a run


def test_estimates_of_z_are_unbiased_when_the_course_is_given() -> None:
    """Sixteen particles only, 200 runs, and a course of three temperatures whose moves are poor."""
    law = GaussianMixture([[-2.0], [2.0]], [0.25, 0.25], [0.3, 0.7])
    way = Path(FlatDensity(Target(event_shape=(1,), law=law)), Reference(torch.zeros(1), torch.full((1,), 3.0)))
    rules = Rules(share=0.9, threshold=0.7, moves=1, leapfrog_steps=1, target_acceptance=0.6)
    plan = anneal(way, 500, rules=rules, generator=make_generator(0, "plan")).plan.stretched(3)
    generator = make_generator(0, "runs")
    runs = [anneal(way, 16, rules=rules, generator=generator, plan=plan) for _ in range(200)]
    ratios = torch.stack([run.log_z for run in runs]).exp()
    assert ratios.std() > 0.2
    assert ratios.mean().item() == pytest.approx(1.0, abs=4 * ratios.std().item() / math.sqrt(200))


def test_nothing_is_uncertain_where_the_target_is_the_reference() -> None:
    target = Density(lambda x: -0.5 * x.square().sum(1) / 4, event_shape=(3,))
    facts = SMC(reference="broad", prior_std=2.0).fit(target).draw(300, seed=1).diagnostics
    assert facts["log_z"] == pytest.approx(1.5 * math.log(2 * math.pi * 4), abs=1e-5)
    assert facts["log_z_std"] < 1e-3
    assert facts["betas"] == [1.0]
    assert facts["unique_ancestors"] == 1


def test_a_factor_of_the_density_moves_log_z_and_nothing_else() -> None:
    rows = torch.zeros(4, 2, dtype=torch.float64)

    def target(shift: float) -> Target:
        law = Density(lambda x: -x.square().square().sum(1) + shift, event_shape=(2,)).law
        return Target(event_shape=(2,), law=law, train=rows)

    first, second = (SMC().fit(target(shift)).draw(300, seed=1) for shift in (0.0, 1e3))
    assert first.samples.dtype == torch.float64
    torch.testing.assert_close(first.samples, second.samples, rtol=1e-6, atol=1e-6)
    assert second.diagnostics["log_z"] - first.diagnostics["log_z"] == pytest.approx(1e3, abs=1e-6)
    # ∫ e^{−x⁴} dx = 2 Γ(5/4)
    assert first.diagnostics["log_z"] == pytest.approx(2 * math.log(2 * math.gamma(1.25)), abs=0.1)


def test_a_logistic_posterior_has_the_evidence_that_quadrature_gives() -> None:
    generator = make_generator(0, "rows")
    rows = torch.randn(40, 2, generator=generator) @ torch.tensor([[2.0, 1.0], [0.0, 0.5]])
    signs = torch.where(torch.rand(40, generator=generator) < torch.sigmoid(rows.sum(1)), 1.0, -1.0)

    def log_prob(w: Tensor) -> Tensor:
        likelihood = torch.nn.functional.logsigmoid((w @ rows.to(w).T) * signs.to(w)).sum(1)
        return likelihood - 0.5 * w.square().sum(1) - math.log(2 * math.pi)

    grid = torch.linspace(-6, 6, 601, dtype=torch.float64)
    evidence = log_prob(torch.cartesian_prod(grid, grid)).logsumexp(0).item() + 2 * math.log(12 / 600)
    facts = SMC().fit(Density(log_prob, event_shape=(2,))).draw(1_000, seed=1).diagnostics
    assert facts["log_z_std"] < 0.02
    assert facts["log_z"] == pytest.approx(evidence, abs=4 * facts["log_z_std"])


def test_laws_on_a_subspace_keep_their_centre_of_mass() -> None:
    """Four particles in the plane: log Z = 29.666 and ⟨E⟩ = −22.541 on the six centred coordinates."""
    law = DoubleWell()
    draw = SMC().fit(Target(event_shape=law.event_shape, law=law)).draw(1_000, seed=1)
    x = draw.samples.reshape(-1, 4, 2)
    assert x.mean(1).abs().max() < 1e-4
    facts = draw.diagnostics
    assert facts["log_z"] == pytest.approx(29.666, abs=4 * facts["log_z_std"])
    assert facts["log_z_std"] < 0.1
    energy = -law.log_prob(draw.samples)
    error = energy.std().item() / math.sqrt(1_000 * facts["ess"])
    assert energy.mean().item() == pytest.approx(-22.541, abs=4 * error)


def test_a_pilot_that_lost_modes_is_not_trusted() -> None:
    """A normal law fitted to some of 2⁸ wells would miss the others, with a small stated error."""
    law = ManyWell(pairs=8)
    facts = SMC(moves=3).fit(Target(event_shape=law.event_shape, law=law)).draw(1_000, seed=1).diagnostics
    assert facts["reference"] == "broad"
    assert facts["log_z"] == pytest.approx(law.log_z, abs=4 * facts["log_z_std"])
    assert facts["log_z_std"] < 0.4


def test_a_number_of_temperatures_is_kept_to_and_every_evaluation_counts() -> None:
    target = gmm9()
    counted = Target(event_shape=(2,), law=target.law, evaluations=Evaluations())
    draw = SMC(temperatures=7, moves=3, leapfrog_steps=2, particles=400).fit(counted).draw(100, seed=1)
    facts = draw.diagnostics
    assert facts["temperatures"] == 7
    assert facts["betas"] == sorted(facts["betas"])
    assert facts["betas"][-1] == 1
    assert draw.nfe == pytest.approx(facts["pilot_nfe"] + (1 + 7 * 3 * 2) * 4)
    assert counted.evaluations is not None
    assert draw.nfe * 100 == pytest.approx(counted.evaluations.gradients)
    assert counted.evaluations.densities == 256  # is the support small? asked since the pilot did not mix
    json.dumps(dict(facts), allow_nan=False)


def test_samples_are_drawn_from_the_particles_as_long_as_there_are_enough() -> None:
    model = SMC(particles=300, reference="broad").fit(gmm9())
    assert len(model.sample(200, seed=1).unique(dim=0)) > 190
    more = model.draw(700, seed=1)
    assert more.diagnostics["ess"] < 3 / 7
    assert more.samples.unique(dim=0).shape[0] <= 300
    assert model.draw(3, seed=1, particles=None).diagnostics["particles"] == 256


def test_checkpoints_need_the_density_and_nothing_else(tmp_path: Any) -> None:
    model = SMC(moves=1).fit(gmm9())
    model.save(tmp_path)
    again = load(tmp_path, target=gmm9())
    assert again.recipe == model.recipe
    assert torch.equal(again.sample(20, seed=4), model.sample(20, seed=4))
    assert not torch.equal(again.sample(20, seed=5), model.sample(20, seed=4))


def test_a_density_that_is_nowhere_is_reported() -> None:
    nowhere = Density(lambda x: torch.where(x[:, 0] > 1e4, 0.0 * x[:, 0], -torch.inf), event_shape=(1,))
    with pytest.raises(DivergenceError, match=r"260 of 260 particles are lost.*prior_std"):
        SMC().fit(nowhere).sample(9)


def test_half_a_law_is_sampled_from_a_whole_reference() -> None:
    """Where the density is zero particles are lost, and log Z knows: a normal law cut at zero has half its mass."""
    half = Density(
        lambda x: torch.where(x[:, 0] > 0, -0.5 * x.square().sum(1) - 0.5 * math.log(2 * math.pi), -torch.inf),
        event_shape=(1,),
    )
    draw = SMC(reference="broad").fit(half).draw(1_000, seed=1)
    assert (draw.samples > 0).all()
    assert draw.diagnostics["log_z"] == pytest.approx(math.log(0.5), abs=4 * draw.diagnostics["log_z_std"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"share": 1.0}, "share is 1.0; expected a number above 0 and below 1"),
        ({"reference": "laplace"}, "reference is 'laplace'; expected one of fitted, broad"),
        ({"pilot": 3}, "pilot is 3; expected an integer of at least 16"),
        ({"particles": 0}, "particles is 0"),
        ({"temperatures": 0}, "temperatures is 0"),
        ({"moves": 0}, "moves is 0"),
        ({"prior_std": -1.0}, "prior_std is -1.0"),
        ({"resample_below": 2.0}, "resample_below is 2.0"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        SMC(**options)


def test_a_start_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"start was given.*prior_std"):
        SMC().fit(gmm9()).sample(5, start=torch.zeros(5, 2))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_it_runs_on_the_gpu() -> None:
    model = SMC(temperatures=6).fit(gmm9(), device="cuda")
    draw = model.draw(500, seed=1)
    assert draw.samples.device.type == "cuda"
    assert torch.equal(draw.samples, model.sample(500, seed=1))


@pytest.mark.parametrize("name", ["smc", pytest.param("ais", marks=pytest.mark.slow)])
def test_a_small_box_is_found_and_weights_stay_unbiased(name: str) -> None:
    """One draw in 160 of the default start lies in it: mean of Ẑ/Z over 30 seeds within four of its standard errors."""

    def log_prob(x: torch.Tensor) -> torch.Tensor:
        return torch.where(((x > 0) & (x < 1)).all(1), -0.5 * ((x - 0.1) / 0.3).square().sum(1), -torch.inf)

    side = math.erf(3 / math.sqrt(2)) + math.erf(1 / 3 / math.sqrt(2))
    truth = 2 * math.log(0.3 * math.sqrt(2 * math.pi) * side / 2)
    model = make("sampler", name).fit(Density(log_prob, (2,)))
    ratios = torch.tensor([math.exp(model.draw(500, seed=s).diagnostics["log_z"] - truth) for s in range(30)])
    error = float(ratios.std()) / math.sqrt(30)
    assert error < 0.02
    assert abs(float(ratios.mean()) - 1) < 4 * error
