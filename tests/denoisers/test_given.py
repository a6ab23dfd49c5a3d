"""Denoisers that are there already: of laws that can blur themselves, and of any function."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from phys_samplers import Density, Target, from_denoiser, load, make
from phys_samplers.denoisers.given import denoiser_target
from phys_samplers.errors import ConfigurationError, MissingCapability
from phys_samplers.laws import GaussianMixture
from phys_samplers.randomness import make_generator

LAW = GaussianMixture([[-3.0], [4.0]], [0.25, 1.0], [0.3, 0.7])
TARGET = Target(event_shape=(1,), law=LAW, name="two")


def normal(x: Tensor, sigma: float) -> Tensor:
    """Of N(5, 2² I), images of two channels."""
    return 5 + (x - 5) * (4 / (4 + sigma**2))


@pytest.mark.parametrize("integrator", ["edm-heun", "dpmpp-2m", "restart", "heun", "euler-maruyama"])
def test_every_integrator_runs_on_the_exact_denoiser(integrator: str) -> None:
    """The weight of the left mode to 5 standard errors of 8,000 draws; the deterministic bias is far below it."""
    model = make("sampler", "exact-denoiser", integrator=integrator, sampling_steps=60).fit(TARGET)
    x = model.sample(8_000, seed=0)
    assert float((x < 0).float().mean()) == pytest.approx(0.3, abs=5 * math.sqrt(0.21 / 8_000) + 0.01)


def test_score_and_likelihood_are_those_of_the_law() -> None:
    schedule = "edm[sigma_min=0.01,sigma_max=60.0]"
    model = make("sampler", "exact-denoiser", schedule=schedule, mean=1.9, scale=3.3).fit(TARGET)
    x = LAW.sample(50, make_generator(0))
    torch.testing.assert_close(model.score(x, sigma=0.7), LAW.blurred(0.49).score(x), rtol=1e-3, atol=1e-4)
    blurred = LAW.blurred((0.01 * 3.3) ** 2)
    torch.testing.assert_close(model.log_prob(x, steps=128), blurred.log_prob(x), rtol=0, atol=2e-2)


def test_units_of_the_data_are_those_of_the_function() -> None:
    """Mean and scale set the prior and the levels only."""
    shape = (2, 3, 3)
    model = from_denoiser(normal, shape, (0.02, 60.0), mean=5.0, scale=2.0, sampling_steps=60)
    x = model.sample(2_000, seed=0)
    assert x.shape == (2_000, *shape)
    error = 5 * 2 / math.sqrt(x.numel())
    assert float(x.mean()) == pytest.approx(5.0, abs=error)
    assert float(x.std()) == pytest.approx(2.0, abs=error + 0.01)
    levels = [model.recipe.schedule_part.ratio(t) for t in (model.recipe.times[0], model.recipe.times[-2])]
    assert levels == pytest.approx([30.0, 0.01])
    at = x[:4]
    torch.testing.assert_close(model.score(at, sigma=1.0), (5 - at) / 5, rtol=1e-4, atol=1e-4)


def test_a_saved_model_asks_for_its_denoiser(tmp_path: Any) -> None:
    model = from_denoiser(normal, (4,), (0.02, 60.0), mean=5.0, scale=2.0, sampling_steps=5, integrator="ddim")
    folder = model.save(tmp_path / "given")
    again = load(folder, target=denoiser_target(normal, (4,)))
    assert torch.equal(again.sample(6, seed=1), model.sample(6, seed=1))
    with pytest.raises(Exception, match="target"):
        load(folder)


def test_values_are_clipped_to_given_bounds() -> None:
    model = from_denoiser(normal, (4,), (0.02, 60.0), mean=5.0, scale=2.0, bounds=(4.0, 6.0), clip=True)
    x = model.sample(50, seed=0)
    assert float(x.min()) >= 4.0 - 1e-5
    assert float(x.max()) <= 6.0 + 1e-5
    with pytest.raises(ConfigurationError, match="bounds is None"):
        from_denoiser(normal, (4,), (0.02, 60.0), clip=True)
    with pytest.raises(ConfigurationError, match="bounds is"):
        from_denoiser(normal, (4,), (0.02, 60.0), bounds=(1.0, 0.0))


def test_a_law_without_a_denoiser_is_refused() -> None:
    target = Density(lambda x: -x.square().sum(-1), event_shape=(2,), name="mine")
    with pytest.raises(MissingCapability, match=r"'mine' has no exact denoiser.*blurred"):
        make("sampler", "exact-denoiser").fit(target)


def test_a_range_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="sigma_min"):
        from_denoiser(normal, (4,), (2.0, 1.0))


@pytest.mark.parametrize(
    ("wrong", "words"), [(lambda x, sigma: x[:, :1], r"\(3, 1\)"), (lambda x, sigma: None, "None")]
)
def test_a_denoiser_of_another_shape_is_not_broadcast(wrong: Any, words: str) -> None:
    model = from_denoiser(wrong, (4,), (0.1, 2.0), name="mine", sampling_steps=3)
    with pytest.raises(ConfigurationError, match=rf"denoiser of 'mine' gives {words}.* expected a tensor of the same"):
        model.sample(3, seed=0)


def test_what_is_no_function_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="denoise is 3; expected a function"):
        from_denoiser(3, (4,), (0.1, 2.0))
