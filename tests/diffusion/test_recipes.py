"""What the recipes and fitted models of DDPM and EDM promise beside quality."""

from __future__ import annotations

import json
import math
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from phys_diffusion import DDPM, EDM
from phys_registry import BadOption, UnknownComponent
from phys_samplers import load, make
from phys_samplers.denoisers.denoiser import DenoisingLoss
from phys_samplers.errors import ConfigurationError, IncompatibleError, TrainingDiverged
from phys_samplers.fields import MLP, FourierMLP
from phys_samplers.integrators import EDMHeun
from phys_samplers.options import make_part
from phys_samplers.randomness import make_generator
from phys_samplers.schedules import CosineSchedule, EDMSchedule, LinearSchedule, VPSchedule

TASK: Any = make("task", "mixture-2d")
TINY: dict[str, Any] = {"steps": 30, "batch_size": 32, "width": 8, "depth": 1}


@cache
def fitted(sampler: str, **options: Any) -> Any:
    return make("sampler", sampler, **{**TINY, **options}).fit(TASK, seed=0)


def test_the_defaults_are_the_papers_methods() -> None:
    edm, ddpm = EDM(), DDPM()
    assert edm.parametrisation == "edm"
    assert make_part("integrator", edm.integrator) == EDMHeun()
    assert isinstance(edm.schedule_part, EDMSchedule)
    assert ddpm.parametrisation == "epsilon"
    assert make_part("integrator", ddpm.integrator).eta == 1
    loss = ddpm.training_loss()
    assert isinstance(loss, DenoisingLoss)
    assert loss.schedule == ddpm.schedule_part == LinearSchedule(chain_steps=1000)


def test_the_papers_presets_have_the_papers_constants() -> None:
    """Data of unit variance where EDM has ½: its .002, 80 and P_mean = −1.2 are doubled."""
    edm = make("sampler", "edm", preset="paper")
    schedule = edm.schedule_part
    assert (schedule.sigma_min, schedule.sigma_max, schedule.rho) == (2 * 0.002, 2 * 80.0, 7.0)
    loss = edm.training_loss()
    assert loss.log_sigma_mean == pytest.approx(-1.2 + math.log(2), abs=0.01)
    assert (loss.log_sigma_std, loss.levels, loss.stable_target) == (1.2, "lognormal", False)
    assert make("sampler", "edm", preset="paper", **TINY).fit(TASK).draw(3).nfe == 2 * 18 - 1
    ddpm = make("sampler", "ddpm", preset="paper")
    assert ddpm.schedule_part.betas[0] == pytest.approx(1e-4)
    assert ddpm.schedule_part.betas[-1] == pytest.approx(0.02)
    assert not ddpm.training_loss().stable_target
    assert make("sampler", "ddpm", preset="paper", **TINY).fit(TASK).draw(3).nfe == 1000


@pytest.mark.parametrize("steps", [1, 7, 50])
def test_evaluations_are_those_of_the_scheme(steps: int) -> None:
    schedule = LinearSchedule(chain_steps=50)
    model = fitted("ddpm", schedule=schedule, sampling_steps=50)
    assert model.draw(3, sampling_steps=steps).nfe == steps  # the chain, whole or every few of its levels
    assert fitted("edm").draw(3, sampling_steps=steps).nfe == 2 * steps - 1
    assert fitted("edm").draw(3, sampling_steps=steps, integrator="ddim").nfe == steps
    assert fitted("edm").draw(3, sampling_steps=steps, integrator="rk4").nfe == 4 * steps + 1  # and the last noise
    assert fitted("edm").draw(3, sampling_steps=steps, integrator="euler-maruyama").nfe == steps + 1


def test_a_chain_has_no_more_steps_than_it_was_trained_with() -> None:
    """Said before anything is trained, and at a draw."""
    message = r"chain of 50; expected at most 50: lower sampling_steps, or train with a longer chain"
    schedule = {"name": "linear", "chain_steps": 50}
    with pytest.raises(ConfigurationError, match=message):
        DDPM(schedule=schedule, sampling_steps=51)
    with pytest.raises(ConfigurationError, match=message):
        fitted("ddpm", schedule=LinearSchedule(chain_steps=50), sampling_steps=50).sample(3, sampling_steps=51)


def test_the_chain_of_ddpm_cannot_change_after_fitting_and_the_levels_of_edm_can() -> None:
    with pytest.raises(ConfigurationError, match="'schedule' of DDPM cannot change after fitting"):
        fitted("ddpm").sample(3, schedule="cosine")
    for schedule in ("linear", "vp", {"name": "edm", "sigma_max": 10.0}):
        assert fitted("edm").sample(3, schedule=schedule).shape == (3, 2)
    for option in ("loss", "field", "width", "depth", "parametrisation", "steps"):
        with pytest.raises(ConfigurationError, match=f"'{option}' of EDM cannot change after fitting"):
            fitted("edm").sample(3, **{option: None})


@pytest.mark.parametrize("integrator", ["ddim", "ddim[eta=1]", "heun", "euler-maruyama"])
def test_clipping_keeps_samples_in_the_box_of_the_training_rows(integrator: str) -> None:
    """A network of 30 steps leaves the box by far where nothing holds it back."""
    low, high = TASK.train.aminmax(dim=0)
    options: dict[str, Any] = {"seed": 1, "integrator": integrator, "sampling_steps": 20}
    for sampler in ("ddpm", "edm"):
        inside = fitted(sampler).sample(500, clip=True, **options)
        assert bool(((inside >= low - 1e-4) & (inside <= high + 1e-4)).all())
    outside = fitted("ddpm").sample(500, clip=False, **options)
    assert not bool(((outside >= low) & (outside <= high)).all())


@pytest.mark.parametrize("integrator", ["ddim", "edm-heun", "euler", "dopri5"])
@pytest.mark.parametrize("sampler", ["edm", "ddpm"])
def test_a_start_takes_the_place_of_the_prior(sampler: str, integrator: str) -> None:
    """The prior's own points, given in data units, lead to the samples that the prior leads to."""
    model = fitted(sampler)
    schedule = model.recipe.schedule_part
    u = model.prior(40, make_generator(3, "sample"), schedule.ratio(schedule.start))
    start = model.standardiser.inverse(u, (2,))
    options: dict[str, Any] = {"seed": 3, "integrator": integrator, "sampling_steps": 10}
    expected = model.sample(40, **options)
    torch.testing.assert_close(model.sample(40, start=start, **options), expected, rtol=1e-3, atol=1e-3)
    elsewhere = model.sample(40, start=start + 50.0, **options)
    assert not torch.allclose(elsewhere, expected, atol=1e-2)


NESTED: dict[str, Any] = {
    "loss": DenoisingLoss(levels="schedule", schedule=CosineSchedule(chain_steps=40), stable_target=False),
    "field": {"name": "fourier-mlp", "width": 8, "depth": 1, "frequencies": 3},
    "schedule": VPSchedule(beta_max=15.0),
    "integrator": EDMHeun(churn=0.1),
    "sampling_steps": 9,
}


@pytest.mark.parametrize("sampler", ["edm", "ddpm"])
def test_options_with_parts_in_parts_go_through_json(sampler: str) -> None:
    sizes = {"width": None, "depth": None}
    recipe = make("sampler", sampler, **{**TINY, **sizes, **NESTED})
    form = json.loads(json.dumps(recipe.options()))
    assert form["loss"]["schedule"]["name"] == "cosine"
    assert form["loss"]["schedule"]["chain_steps"] == 40
    assert form["integrator"]["churn"] == 0.1
    again = make("sampler", sampler, **form)
    assert again.options() == recipe.options()
    assert again.training_loss() == recipe.training_loss() == NESTED["loss"]
    assert again.schedule_part == NESTED["schedule"]
    assert isinstance(again.field_part(), FourierMLP)
    model, other = recipe.fit(TASK, seed=1), again.fit(TASK, seed=1)
    assert torch.equal(model.sample(20, seed=2), other.sample(20, seed=2))


@pytest.mark.parametrize("options", [{}, NESTED | {"width": None, "depth": None}], ids=["plain", "nested"])
@pytest.mark.parametrize("sampler", ["edm", "ddpm"])
def test_checkpoints_hold_everything(sampler: str, options: dict[str, Any], tmp_path: Path) -> None:
    model = make("sampler", sampler, **{**TINY, **options}).fit(TASK, seed=1)
    model.save(tmp_path)
    again: Any = load(tmp_path)
    assert again.recipe.options() == model.recipe.options()
    rows = TASK.heldout[:30]
    for clip in (False, True):
        assert torch.equal(again.sample(30, seed=2, clip=clip), model.sample(30, seed=2, clip=clip))
    assert torch.equal(again.score(rows, sigma=0.5), model.score(rows, sigma=0.5))
    assert torch.equal(again.log_prob(rows, steps=4), model.log_prob(rows, steps=4))


@pytest.mark.parametrize("sampler", ["edm", "ddpm"])
def test_stacked_seeds_agree_with_single_ones(sampler: str) -> None:
    recipe = make("sampler", sampler, **TINY)
    both: Any = recipe.fit_replicas(TASK, seeds=[3, 5])
    single = recipe.fit(TASK, seed=5)
    options: dict[str, Any] = {"seed": 1, "sampling_steps": 20}
    torch.testing.assert_close(both[1].sample(40, **options), single.sample(40, **options), rtol=0, atol=1e-3)
    assert not torch.allclose(both[0].sample(40, **options), single.sample(40, **options), atol=1e-3)


def test_training_that_diverges_is_the_result_of_its_seed() -> None:
    results = DDPM(**{**TINY, "learning_rate": 1e12, "clip_norm": None}).fit_replicas(TASK, seeds=[0])
    assert isinstance(results[0], TrainingDiverged)


def test_options_change_one_draw() -> None:
    model = fitted("edm")
    changed = model.with_options(integrator="heun", sampling_steps=5)
    assert torch.equal(changed.sample(20, seed=1), model.sample(20, seed=1, integrator="heun", sampling_steps=5))
    assert model.draw(3).diagnostics["integrator"] == "edm-heun"
    assert changed.draw(3).diagnostics == {"integrator": "heun", "sampling_steps": 5, "lost": 0}


@pytest.mark.parametrize("kind", [EDM, DDPM])
def test_refusals(kind: Any) -> None:
    name = kind.__name__.lower()
    for options, message in (
        ({"schedule": MLP()}, "schedule is MLP.*of class NoiseSchedule"),
        ({"integrator": LinearSchedule()}, "integrator is LinearSchedule.*of class Integrator"),
        ({"sampling_steps": 0}, "sampling_steps is 0; expected an integer of at least 1"),
        ({"sampling_steps": 2.5}, r"sampling_steps is 2\.5"),
        ({"integrator": "ddim[eta=2]"}, "eta is 2"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            kind(**options)
        if not kind().fit_options() & set(options):
            with pytest.raises(ConfigurationError, match=message):
                fitted(name).sample(3, **options)
    with pytest.raises(UnknownComponent, match=r"no integrator 'dimm'. Did you mean 'ddim'"):
        kind(integrator="dimm")
    with pytest.raises(ConfigurationError, match="loss is 'field-matching', which does not train the denoiser of"):
        kind(loss="field-matching").fit(TASK)
    with pytest.raises(ConfigurationError, match="parametrisation is 'noise'; expected one of edm, v, epsilon, x0"):
        kind(parametrisation="noise").fit(TASK)
    with pytest.raises(BadOption, match="has no option 'sampling_step'"):
        make("sampler", name, sampling_step=3)
    with pytest.raises(IncompatibleError, match="needs a drift with a linear part"):
        fitted(name).sample(3, integrator="exponential-ou")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("kind", [EDM, DDPM])
def test_on_the_gpu(kind: Any) -> None:
    model = kind(**TINY).fit(TASK, device="cuda")
    for integrator in ("ddim[eta=1]", "edm-heun", "heun", "euler-maruyama"):
        x = model.sample(20, seed=1, integrator=integrator, sampling_steps=10)
        assert x.device.type == "cuda"
        assert torch.equal(x, model.sample(20, seed=1, integrator=integrator, sampling_steps=10))
