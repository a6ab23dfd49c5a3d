"""A sampler of codes: what it is fitted to, what it decodes, its cost, its options and its checkpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from phys_latent import VAE, LatentModel, LatentSampler, VAEModel
from phys_latent.latent import code_target, in_turn
from phys_registry import parse_spec
from phys_samplers import load, make
from phys_samplers.errors import ConfigurationError, MissingCapability, TrainingDiverged
from phys_samplers.exact import TrainingRows
from phys_samplers.randomness import derive_seed
from phys_samplers.samples import Samples
from phys_samplers.target import Density, Target
from phys_samplers.training import TrainingReport

NETWORK: dict[str, Any] = {"latent_dim": 3, "width": 32, "depth": 1, "batch_size": 64, "learning_rate": 5e-3}
BELLMAN = "bellman[steps=30,width=16,sampling_steps=20]"


def latent(sampler: Any = BELLMAN, *, steps: int = 300, **options: Any) -> LatentSampler:
    return LatentSampler(steps=steps, sampler=sampler, **{**NETWORK, **options})


def fitted(recipe: LatentSampler, target: Target, seed: int = 0) -> LatentModel:
    model = recipe.fit(target, seed=seed)
    assert isinstance(model, LatentModel)
    return model


@pytest.fixture(scope="module")
def model(sheet: Target) -> LatentModel:
    return fitted(latent(), sheet)


def test_the_autoencoder_is_that_of_the_vae(model: LatentModel, sheet: Target) -> None:
    alone = VAE(steps=300, kl_weight=0.5, **NETWORK).fit(sheet, seed=0)
    assert isinstance(alone, VAEModel)
    for name, tensor in alone.tensors().items():
        assert torch.equal(model.tensors()[name], tensor)


def test_the_sampler_inside_is_fitted_to_codes_and_decoded(model: LatentModel, sheet: Target) -> None:
    """Step by step by hand, with the seed of the inner fit apart from the outer one."""
    codes = code_target(model.autoencoder, sheet, seed=0)
    assert codes.event_shape == (3,)
    assert [len(getattr(codes, split)) for split in ("train", "validation")] == [900, 100]
    assert codes.heldout is None
    assert codes.name == "codes of sheet"
    inner = make("sampler", "bellman", steps=30, width=16, sampling_steps=20).fit(codes, seed=derive_seed(0, "codes"))
    drawn, by_hand = model.draw(50, seed=4), inner.draw(50, seed=4)
    assert torch.equal(drawn.samples, model.autoencoder.decode(by_hand.samples))
    assert drawn.nfe == by_hand.nfe + 1
    assert drawn.diagnostics == by_hand.diagnostics


def test_training_rows_of_the_latent_space_are_decoded_codes(sheet: Target) -> None:
    """The bound of every sampler in this space: rows near the sheet, spread as widely as the data."""
    bound = fitted(latent("training-rows"), sheet)
    codes = code_target(bound.autoencoder, sheet, seed=0).train
    x = bound.sample(2_000, seed=1)
    assert codes is not None
    assert sheet.train is not None
    rows = bound.autoencoder.decode(codes)
    assert torch.cdist(x, rows, compute_mode="donot_use_mm_for_euclid_dist").amin(1).max() < 1e-5
    assert bound.draw(3).nfe == 1
    # decoded means lack the noise of p(x|z), a few per cent; 2,000 draws leave 5 % at three standard errors
    ratio = x.var(0).mean() / sheet.train.var(0).mean()
    assert 0.8 < ratio < 1.05
    noisy = bound.sample(2_000, seed=1, noise=True)
    expected = (bound.autoencoder.noise * bound.autoencoder.standardiser.scale[0]).item()
    assert (noisy - x).std().item() == pytest.approx(expected, rel=0.03)


def test_the_report_is_of_both_trainings(model: LatentModel, sheet: Target) -> None:
    assert model.report is not None
    assert model.report.steps == 330
    assert [row["step"] for row in model.report.history][-1] == 330
    alone = model.autoencoder.report
    assert alone is not None
    assert model.report.parameters > alone.parameters
    assert model.report.seconds > alone.seconds
    assert in_turn(alone, None) == alone
    second = TrainingReport(steps=7, seconds=1.0, replicas=1, parameters=3, best_step=4, best_validation=0.5)
    both = in_turn(alone, second)
    assert (both.steps, both.best_step, both.best_validation) == (307, 304, 0.5)


def test_replicas_are_single_fits(model: LatentModel, sheet: Target) -> None:
    other, same = latent().fit_replicas(sheet, seeds=[5, 0])
    assert isinstance(same, LatentModel)
    assert isinstance(other, LatentModel)
    torch.testing.assert_close(same.sample(20, seed=1), model.sample(20, seed=1), atol=5e-3, rtol=5e-3)
    assert (other.sample(20, seed=1) - model.sample(20, seed=1)).abs().max() > 0.1
    assert torch.equal(fitted(latent(), sheet).sample(20, seed=1), model.sample(20, seed=1))


def test_options_of_the_sampler_inside_are_taken_at_drawing(model: LatentModel) -> None:
    drawn = model.draw(20, seed=3, sampling_steps=5)
    twin = model.with_options(sampling_steps=5)
    assert drawn.nfe < model.draw(20, seed=3).nfe
    assert torch.equal(twin.sample(20, seed=3), drawn.samples)
    assert twin.recipe.inner() == model.recipe.inner().with_options(sampling_steps=5)
    with pytest.raises(ConfigurationError, match="'sampler' of LatentSampler cannot change after fitting"):
        model.draw(2, sampler="edm")
    with pytest.raises(ConfigurationError, match="'width' of LatentSampler cannot change"):
        model.draw(2, width=8)
    with pytest.raises(ConfigurationError, match="'steps' of LatentSampler cannot change"):
        model.draw(2, steps=8)
    with pytest.raises(ConfigurationError, match="no option 'sampling_stepz'"):
        model.draw(2, sampling_stepz=8)


def test_a_start_is_encoded(model: LatentModel, sheet: Target) -> None:
    assert sheet.validation is not None
    start = sheet.validation[:10].double()
    mean, _ = model.autoencoder.encode(start)
    expected = model.autoencoder.decode(model.codes.sample(10, seed=2, start=mean))
    assert torch.equal(model.sample(10, seed=2, start=start), expected)


@pytest.mark.parametrize("sampler", [BELLMAN, "training-rows", {"name": "edm", "steps": 5, "width": 8}])
def test_checkpoints_hold_the_sampler_inside(sampler: Any, sheet: Target, tmp_path: Path) -> None:
    trained = fitted(latent(sampler, steps=5), sheet)
    again = load(trained.save(tmp_path / "latent"))
    assert isinstance(again, LatentModel)
    assert again.recipe == trained.recipe
    assert again.target_name == "sheet"
    assert again.codes.target_name == "codes of sheet"
    assert again.codes.event_shape == (3,)
    assert torch.equal(again.sample(9, seed=2), trained.sample(9, seed=2))


def test_a_recipe_object_becomes_a_mapping_in_json(sheet: Target) -> None:
    recipe = latent(make("sampler", "edm", steps=5, width=8))
    options = json.loads(json.dumps(recipe.options()))
    assert options["sampler"]["name"] == "edm"
    assert options["sampler"]["width"] == 8
    assert make("sampler", "latent", **options).options() == recipe.options()


def test_texts_nest() -> None:
    (spec,) = parse_spec("latent[sampler=bellman-fields[preset=paper,width=90],latent_dim=4]")
    recipe = make("sampler", spec.name, **spec.options)
    assert recipe.latent_dim == 4
    assert recipe.inner() == make("sampler", "bellman-fields", preset="paper", width=90)


def test_samplers_that_need_more_than_samples_are_refused(sheet: Target) -> None:
    with pytest.raises(ConfigurationError, match=r"sampler is 'langevin', which needs log_prob, score; codes offer"):
        LatentSampler(sampler="langevin")
    with pytest.raises(ConfigurationError, match="sampler is 'exact', which needs sample"):
        LatentSampler(sampler="exact")
    with pytest.raises(ConfigurationError, match="sampler is 3"):
        LatentSampler(sampler=3)
    with pytest.raises(LookupError, match="bellman"):
        LatentSampler(sampler="belman")
    with pytest.raises(MissingCapability, match="LatentSampler needs samples"):
        LatentSampler().fit(Density(lambda x: -x.square().sum(1), event_shape=(1,)))
    assert LatentSampler(sampler={"name": "langevin", "score": "bellman"}).needs == {"samples"}


def test_a_sampler_that_diverges_costs_its_own_seed_only(sheet: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    def fit(self: TrainingRows, target: Target, *, seed: int = 0, **further: Any) -> Any:
        if seed == derive_seed(1, "codes"):
            raise TrainingDiverged("at step 3")
        return original(self, target, seed=seed, **further)

    original = TrainingRows.fit
    monkeypatch.setattr(TrainingRows, "fit", fit)
    first, second = latent("training-rows", steps=5).fit_replicas(sheet, seeds=[0, 1])
    assert isinstance(first, LatentModel)
    assert isinstance(second, TrainingDiverged)


def test_without_validation_rows() -> None:
    images = Samples(torch.linspace(-1, 1, 800).reshape(50, 1, 4, 4), validation_fraction=0.0)
    bare = fitted(latent("training-rows", steps=5), images)
    assert code_target(bare.autoencoder, images, seed=0).validation is None
    assert bare.sample(3).shape == (3, 1, 4, 4)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu(sheet: Target) -> None:
    trained = latent(steps=20).fit(sheet, device="cuda")
    assert trained.device.type == "cuda"
    assert trained.sample(7).device.type == "cuda"
