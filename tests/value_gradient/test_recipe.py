"""The recipe and its model: what is learned, weighed, counted, stored and refused."""

from __future__ import annotations

import math

import pytest
import torch

from phys_registry import RenamedWarning
from phys_samplers import load, make
from phys_samplers.errors import CheckpointError, ConfigurationError, TrainingDiverged
from phys_samplers.evaluations import Evaluations
from phys_samplers.laws import GaussianMixture
from phys_samplers.target import Density, Target
from phys_value_gradient import ValueGradientSampler
from phys_value_gradient.learning import LIMIT_DRAWS

QUICK = {
    "sampling_steps": 4,
    "total_variance": 3.0,
    "end_variance": 0.1,
    "width": 24,
    "depth": 2,
    "batch_size": 32,
    "steps": 120,
    "learning_rate": 1e-2,
}


TWO = {"steps": 200, "sampling_steps": 6, "batch_size": 64}


def two_modes() -> Target:
    """Weights .3 and .7 at ±2, eight standard deviations apart; unnormalised, log Z = 1.5."""
    law = GaussianMixture([[-2.0, 0.0], [2.0, 0.0]], [0.25, 0.25], [0.3, 0.7])
    return Density(lambda x: law.log_prob(x) + 1.5, event_shape=(2,))


@pytest.fixture(scope="module")
def fitted():
    return ValueGradientSampler(**QUICK | TWO).fit(two_modes(), seed=0)


def test_weights_of_far_modes_and_the_constant_are_learned(fitted) -> None:
    """4,000 draws: standard errors below .02 of shares and of log Z, tolerances five of them.

    The unweighted share misses by more: the prior is centred, the law blurred by Σs² = 3 is not.
    """
    drawn = fitted.draw(4_000, seed=1)
    share = float((drawn.samples[:, 0] > 0).float().mean())
    assert 0.5 < share < 0.8
    assert abs(drawn.diagnostics["log_z"] - 1.5) < 0.1
    assert drawn.diagnostics["elbo"] < drawn.diagnostics["log_z"]
    assert 0 < drawn.diagnostics["log_z_std"] < 0.05
    weights = drawn.log_weights.softmax(0)
    assert abs(float(weights[drawn.samples[:, 0] > 0].sum()) - 0.7) < 0.1
    assert drawn.diagnostics["ess"] == pytest.approx(1 / float(weights.square().sum()) / 4_000, rel=1e-3)


@pytest.mark.parametrize("options", [{"noise_scale": 1.2}, {"policy": "taylor"}, {"policy": "mean"}])
def test_weights_are_right_under_any_noise_and_policy(fitted, options) -> None:
    """Within five of the standard errors that the draw states, and the heavy tail that these policies have."""
    facts = fitted.draw(4_000, seed=2, **options).diagnostics
    assert abs(facts["log_z"] - 1.5) < 5 * facts["log_z_std"] + 0.05


def test_there_are_no_weights_without_a_density_of_the_path(fitted) -> None:
    assert fitted.draw(5, final_noise=False).log_weights is None
    assert fitted.draw(5, start=torch.zeros(5, 2)).log_weights is None


def test_values_give_blurred_scores(fitted) -> None:
    """At blur 1 the law is a mixture of variance 1.25; points on the axis between the modes."""
    x = torch.tensor([[-2.5, 0.0], [-1.0, 0.3], [1.5, -0.5], [2.5, 0.0]])
    law = GaussianMixture([[-2.0, 0.0], [2.0, 0.0]], [0.25, 0.25], [0.3, 0.7]).blurred(1.0)
    torch.testing.assert_close(fitted.score(x, sigma=1.0), law.score(x), rtol=0, atol=0.35)
    fields = fitted.fields(x, sigma=1.0)
    assert fields["s"].shape == (4,)
    assert fields["g"].shape == (4, 2)


def test_a_tempered_law_is_sampled_and_weighed_back() -> None:
    """p^{1/τ} of N(0, ½I) at τ = 2 is N(0, I); weights lead to N(0, ½I) and its log Z."""
    target = Density(lambda x: -x.square().sum(-1), event_shape=(2,))
    drawn = ValueGradientSampler(temperature=2.0, **QUICK).fit(target, seed=0).draw(4_000, seed=1)
    assert float(drawn.samples.var(0).mean()) == pytest.approx(1.0, rel=0.15)
    weights = drawn.log_weights.softmax(0)
    assert float((weights @ drawn.samples.square()).mean()) == pytest.approx(0.5, rel=0.15)
    assert drawn.diagnostics["log_z"] == pytest.approx(math.log(math.pi), abs=0.1)


class Pair:
    """Two particles on a line whose centre stays at 0; their distance is N(0, 2·½)."""

    event_shape = (2,)
    subspace = torch.tensor([[1.0, -1.0]]) / math.sqrt(2)

    def log_prob(self, x):
        return -x.square().sum(-1)


def test_a_law_on_a_subspace_is_sampled_within_it() -> None:
    target = Target(event_shape=(2,), law=Pair(), name="pair")
    drawn = ValueGradientSampler(**QUICK).fit(target, seed=0).draw(4_000, seed=1)
    assert float(drawn.samples.sum(1).abs().max()) < 1e-5
    assert float(drawn.samples.square().sum(1).mean()) == pytest.approx(0.5, rel=0.2)
    assert drawn.diagnostics["log_z"] == pytest.approx(0.5 * math.log(math.pi), abs=0.1)


@pytest.mark.parametrize("skip", [False, True])
def test_evaluations_are_counted_and_the_skip_costs_gradients(skip: bool) -> None:
    """Three updates on one batch of 8 walks of 4 steps, K = 4, then 10 draws."""
    counter = Evaluations()
    base = two_modes()
    target = Target(event_shape=(2,), law=base.law, evaluations=counter)
    options = QUICK | {"batch_size": 8, "energy_skip": skip, "policy": "taylor", "steps": 3, "updates_per_walk": 3}
    model = ValueGradientSampler(draws=4, initial_rate=0.01, **options).fit(target)
    steps, walks, slope = 4, 8, 8 * skip  # of σ_init
    assert counter.gradients == walks * (steps if skip else 1) + slope
    assert counter.densities == LIMIT_DRAWS + 3 * 4 * walks * (steps if skip else 1) + walks * steps * skip
    before = counter.copy()
    drawn = model.draw(10)
    assert counter.since(before) == Evaluations(densities=10, gradients=10 * (steps if skip else 1))
    assert drawn.nfe == steps - 1 + (steps if skip else 1)


def test_replicas_are_the_single_fits() -> None:
    recipe = ValueGradientSampler(**QUICK | {"steps": 12})
    together = recipe.fit_replicas(two_modes(), seeds=[3, 4])
    for seed, model in zip((3, 4), together, strict=True):
        alone = recipe.fit(two_modes(), seed=seed)
        for name, tensor in alone.tensors().items():
            torch.testing.assert_close(model.tensors()[name], tensor, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    "options",
    [
        {"backup": "mean", "draws": 1, "policy": "taylor", "error": "square", "minibatches": 2},
        pytest.param({"n_step": 3}, marks=pytest.mark.slow),
        {"error": "linex", "gradient_weight": 1.0, "initial_std": 2.0},
        {"process": "vp", "total_variance": 1.5},
        {"value": "value-fourier-mlp", "spacing": "quadratic"},
    ],
)
def test_variants_learn_a_normal_law(options) -> None:
    target = Density(lambda x: -(x - 0.5).square().sum(-1), event_shape=(2,))
    drawn = ValueGradientSampler(**QUICK | options).fit(target, seed=0).draw(2_000, seed=1)
    assert drawn.diagnostics["log_z"] == pytest.approx(math.log(math.pi), abs=0.15)


def test_a_model_is_stored_with_its_values_and_asks_for_its_target(fitted, tmp_path) -> None:
    fitted.save(tmp_path / "m")
    with pytest.raises(CheckpointError, match="target"):
        load(tmp_path / "m")
    again = load(tmp_path / "m", target=two_modes())
    torch.testing.assert_close(again.sample(50, seed=3), fitted.sample(50, seed=3), rtol=0, atol=0)


def test_an_energy_that_is_no_number_ends_training_with_an_error() -> None:
    # At some points only: a density that is no number anywhere is refused before.
    target = Density(lambda x: torch.where(x[:, 0] < 0, x.sum(-1), math.nan), event_shape=(2,))
    with pytest.raises(TrainingDiverged, match="step 1"):
        ValueGradientSampler(**QUICK).fit(target)


def test_an_energy_clip_makes_training_possible_where_energies_are_infinite() -> None:
    def box(x):
        return torch.where(x.abs().amax(-1) < 1, 0.0 * x.sum(-1), -math.inf)

    recipe = ValueGradientSampler(energy_clip=20.0, **QUICK | {"steps": 20})
    assert recipe.fit(Density(box, event_shape=(2,))).sample(20).isfinite().all()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"value": "mlp"}, "gives no values"),
        ({"policy": "newton"}, "newton"),
        ({"process": "sde"}, "sde"),
        ({"temperature": 0.0}, "temperature"),
        ({"negatives_from": "noise"}, "noise"),
        ({"drift_clip": -1.0}, "drift_clip"),
        ({"start_variance": 1.0, "total_variance": 2.0}, "expected one of them"),
        ({"sampling_steps": 0}, "sampling_steps is 0"),
        ({"noise_scale": 0.0}, "noise_scale"),
        ({"energy_clip": math.inf}, "energy_clip"),
        ({"baseline": False}, "baseline"),
        ({"minibatches": 200}, "minibatches is 200"),
    ],
)
def test_bad_options_are_refused(options, named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        ValueGradientSampler(**options)


def test_what_was_learned_cannot_change_at_a_draw(fitted) -> None:
    with pytest.raises(ConfigurationError, match="cannot change after fitting"):
        fitted.draw(5, sampling_steps=3)
    with pytest.raises(ConfigurationError, match="no_such"):
        fitted.draw(5, no_such=1)


def test_the_presets_are_as_published() -> None:
    paper = make("sampler", "vgs", preset="paper")
    variances = paper.auxiliary.variances
    assert (variances[0], variances[-1]) == (pytest.approx(0.2), pytest.approx(0.1))
    assert (paper.process, paper.sampling_steps, paper.network.width, paper.policy) == ("vp", 20, 1024, "taylor")
    assert make("sampler", "vgs", preset="paper-128").network.width == 128


def test_what_steers_training_walks_decides_the_fit_unless_values_are_exact() -> None:
    steering = {"policy", "drift_clip", "energy_clip"}
    assert steering <= ValueGradientSampler().fit_options()
    assert not steering & ValueGradientSampler(value="exact").fit_options()
    assert not {"noise_scale", "final_noise"} & ValueGradientSampler().fit_options()


def test_the_former_name_of_the_spacing_still_sets_it() -> None:
    with pytest.warns(RenamedWarning, match="spacing"):
        assert make("sampler", "vgs", schedule="quadratic").spacing == "quadratic"
