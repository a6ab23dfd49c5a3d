"""The memoriser: rows of the training set, nothing else, each as likely as the others."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from phys_samplers import load, make
from phys_samplers.errors import ConfigurationError, MissingCapability
from phys_samplers.metric import Scored
from phys_samplers.randomness import make_generator
from phys_samplers.samples import Samples
from phys_samplers.target import Density, Target


@pytest.fixture
def ten() -> Target:
    return Samples(torch.arange(20.0, dtype=torch.float64).reshape(10, 1, 2), validation_fraction=0.0)


def test_it_draws_training_rows_uniformly(ten: Target) -> None:
    assert ten.train is not None
    drawn = make("sampler", "training-rows").fit(ten).draw(10_000, seed=1)
    assert drawn.nfe == 0
    assert drawn.samples.shape == (10_000, 1, 2)
    assert drawn.samples.dtype == torch.float64
    counts = (drawn.samples[:, None] == ten.train[None]).flatten(2).all(-1).sum(0)
    assert counts.sum() == 10_000
    # binomial(10,000, 1/10): a standard deviation of 30, and five of them
    assert (counts - 1_000).abs().max() < 150


def test_rows_are_copies(ten: Target) -> None:
    model = make("sampler", "training-rows").fit(ten)
    first = model.sample(4, seed=0)
    first.zero_()
    assert not torch.equal(model.sample(4, seed=0), first)


@pytest.mark.parametrize("flat", [False, True])
def test_the_score_of_memorisation_finds_it(ten: Target, flat: bool) -> None:
    """Nearest distances are zero, whether rows come in their event shape or flattened, as the benchmark keeps them."""
    assert ten.train is not None
    samples, reference = make("sampler", "training-rows").fit(ten).sample(50), ten.train + 0.25
    if flat:
        samples, reference = samples.flatten(1), reference.flatten(1)
    assert (
        make("metric", "memorisation")(
            Scored(samples=samples, reference=reference, target=ten, generator=make_generator(0))
        )
        == 0
    )


def test_it_is_saved_and_refuses_what_it_has_not(ten: Target, tmp_path: Path) -> None:
    model = make("sampler", "training-rows").fit(ten)
    assert torch.equal(load(model.save(tmp_path / "rows")).sample(9, seed=1), model.sample(9, seed=1))
    with pytest.raises(ConfigurationError, match="start"):
        model.draw(1, start=torch.zeros(1, 1, 2))
    with pytest.raises(ConfigurationError, match="sampling_steps"):
        model.draw(1, sampling_steps=3)
    with pytest.raises(MissingCapability, match="samples"):
        make("sampler", "training-rows").fit(Density(lambda x: -x.square().sum(1), event_shape=(1,)))
