"""The oracle sampler: exact draws, passed-through densities, honest refusals, checkpoints."""

from __future__ import annotations

import math

import pytest
import torch

from phys_samplers.errors import CheckpointError, ConfigurationError, MissingCapability
from phys_samplers.exact import ExactModel, ExactSampler
from phys_samplers.laws import GaussianMixture, StandardNormal, uniform_spans
from phys_samplers.randomness import make_generator
from phys_samplers.target import Density, Target


class ShiftedNormal(StandardNormal):
    """A normal law whose density is five times too large."""

    log_z = math.log(5.0)

    def log_prob(self, x):
        return super().log_prob(x) + math.log(5.0)


def target(law) -> Target:
    return Target(event_shape=law.event_shape, name="toy", law=law)


def test_draws_are_those_of_the_law_and_cost_nothing() -> None:
    law = GaussianMixture([[0.0, 1.0]], [0.5], [1.0])
    model = ExactSampler().fit(target(law), seed=3)
    draw = model.draw(100, seed=7)
    assert torch.equal(draw.samples, law.sample(100, make_generator(7, "exact")))
    assert draw.nfe == 0.0
    assert model.report is None
    assert torch.equal(model.sample(100, seed=7), draw.samples)
    assert not torch.equal(model.sample(100, seed=8), draw.samples)
    assert (model.target_name, model.event_shape, model.device) == ("toy", (2,), torch.device("cpu"))
    assert model.tensors() == {}
    assert model.needs_target


def test_log_prob_is_normalised() -> None:
    x = torch.randn(20, 2, generator=make_generator(0, "points"))
    got = ExactSampler().fit(target(ShiftedNormal(2))).log_prob(x)
    assert torch.allclose(got, StandardNormal(2).log_prob(x), atol=1e-6)


def test_log_prob_without_its_constant_is_refused() -> None:
    class Unnormalised(StandardNormal):
        log_z = None  # type: ignore[assignment]

    with pytest.raises(MissingCapability, match="log_z"):
        ExactSampler().fit(target(Unnormalised(2))).log_prob(torch.zeros(1, 2))


def test_score_of_the_law_and_of_the_blurred_law() -> None:
    x = torch.randn(20, 2, generator=make_generator(1, "points"))
    model = ExactSampler().fit(target(StandardNormal(2)))
    assert torch.allclose(model.score(x), -x)
    assert torch.allclose(model.score(x, sigma=2.0), -x / 5.0)
    with pytest.raises(MissingCapability, match="score"):
        ExactSampler().fit(target(uniform_spans([(0.0, 1.0)]))).score(torch.zeros(1, 1))
    with pytest.raises(MissingCapability, match="blurred"):
        ExactSampler().fit(target(uniform_spans([(0.0, 1.0)]))).score(torch.zeros(1, 1), sigma=1.0)


def test_a_density_alone_cannot_be_sampled_exactly() -> None:
    density = Density(lambda x: -x.square().sum(-1), event_shape=(2,), name="bare")
    with pytest.raises(MissingCapability, match="the exact sampler needs sample, which target 'bare'"):
        ExactSampler().fit(density)


def test_bad_input() -> None:
    model = ExactSampler().fit(target(StandardNormal(2)))
    for n in (0, -1, 2.5, True):
        with pytest.raises(ConfigurationError, match="n is"):
            model.draw(n)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="seed is -1"):
        model.draw(1, seed=-1)
    with pytest.raises(ConfigurationError, match="start was given"):
        model.draw(2, start=torch.zeros(2, 2))
    with pytest.raises(ConfigurationError, match="no sampling option 'steps'"):
        model.draw(2, steps=3)


def test_restore_needs_the_target() -> None:
    law = target(StandardNormal(2))
    model = ExactSampler().fit(law)
    restored = ExactSampler().restore(model.tensors(), model.facts(), event_shape=(2,), target=law)
    assert isinstance(restored, ExactModel)
    assert torch.equal(restored.sample(10, seed=1), model.sample(10, seed=1))
    with pytest.raises(CheckpointError, match="got none"):
        ExactSampler().restore({}, {}, event_shape=(2,), target=None)
    with pytest.raises(CheckpointError, match="event shape"):
        ExactSampler().restore({}, {}, event_shape=(3,), target=law)


def test_recipes_compare_by_value() -> None:
    assert ExactSampler() == ExactSampler()
    assert ExactSampler().options() == {}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_draws_on_the_device_asked_for() -> None:
    model = ExactSampler().fit(target(GaussianMixture([[0.0, 1.0]], [0.5], [1.0])), device="cuda")
    x = model.sample(10, seed=0)
    assert x.device.type == "cuda"
    assert model.log_prob(x).device == x.device
