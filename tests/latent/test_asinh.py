"""Coordinates for heavy tails: there and back, their densities, what is fitted and drawn in them, mistakes."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from phys_latent import AsinhModel, AsinhSampler
from phys_latent.asinh import Tails
from phys_samplers import load, make
from phys_samplers.errors import ConfigurationError, MissingCapability
from phys_samplers.laws import StudentT
from phys_samplers.randomness import make_generator
from phys_samplers.samples import Samples
from phys_samplers.target import Density, Target

EDM = "edm[steps=20,width=8,sampling_steps=6]"


def rows(n: int = 400) -> Tensor:
    """Of Student's law with ν = 1.5, moved and stretched."""
    return StudentT(2, 1.5).sample(n, make_generator(0, "rows")) * torch.tensor([3.0, 0.01]) + torch.tensor(
        [-50.0, 2.0]
    )


def test_coordinates_lead_there_and_back_with_the_right_volume() -> None:
    x = rows().double()
    tails = Tails.read(x)
    y = tails.inward(x)
    torch.testing.assert_close(tails.outward(y), x)
    assert y.median(0).values.abs().max() < 1e-12
    slopes = torch.func.vmap(torch.func.jacrev(lambda row: tails.outward(row.unsqueeze(0))[0]))(y)
    torch.testing.assert_close(tails.log_slope(y), slopes.det().abs().log())


def test_columns_that_hardly_vary_keep_a_scale_and_inventions_stay_finite() -> None:
    x = torch.zeros(9, 2)
    x[0, 0] = 5.0
    tails = Tails.read(x)
    assert (tails.scale > 0).all()
    assert tails.outward(torch.full((1, 2), 1e9)).isfinite().all()


def test_the_sampler_inside_is_fitted_to_the_new_coordinates_and_its_draws_come_back(tmp_path: Path) -> None:
    """Step by step by hand; stacked like the one inside; saved and loaded to the same bits."""
    target = Samples(rows(), name="tails")
    models = AsinhSampler(sampler=EDM).fit_replicas(target, seeds=[1, 0])
    assert target.train is not None
    assert target.validation is not None
    tails = Tails.read(target.train)
    inner = make("sampler", "edm", steps=20, width=8, sampling_steps=6).fit(
        Target(event_shape=(2,), train=tails.inward(target.train), validation=tails.inward(target.validation)), seed=0
    )
    drawn, by_hand = models[1].draw(30, seed=4), inner.draw(30, seed=4)
    assert torch.equal(drawn.samples, tails.outward(by_hand.samples))
    assert drawn.nfe == by_hand.nfe
    assert models[1].draw(3, seed=4, sampling_steps=4).nfe < drawn.nfe
    models[1].save(tmp_path / "model")
    again = load(tmp_path / "model")
    assert isinstance(again, AsinhModel)
    assert torch.equal(again.sample(30, seed=4), drawn.samples)


def test_laws_without_a_variance_come_out_far_better() -> None:
    """Of ν = 1.5 in 5-D, three seeds: the median of |x_i|, which 20,000 numbers of 4,000 draws know to two per cent."""
    law = StudentT(5, 1.5)
    target = Samples(law.sample(4_000, make_generator(0, "a")))
    exact = law.sample(100_000, make_generator(0, "b")).abs().median()
    options = {"edm": {"steps": 600, "width": 32}, "asinh": {"sampler": "edm[steps=600,width=32]"}}
    apart = {
        name: [
            abs(math.log(float(model.sample(4_000).abs().median() / exact)))
            for model in make("sampler", name, **given).fit_replicas(target, seeds=[0, 1, 2])
        ]
        for name, given in options.items()
    }
    assert max(apart["asinh"]) < 0.2 < 0.35 < min(apart["edm"])


def test_mistakes_are_told() -> None:
    with pytest.raises(ConfigurationError, match="needs log_prob"):
        AsinhSampler(sampler="mala")
    with pytest.raises(MissingCapability, match="needs samples"):
        AsinhSampler().fit(Density(lambda x: -x.square().sum(1), event_shape=(2,)))
    with pytest.raises(ConfigurationError, match="cannot change after fitting"):
        AsinhSampler(sampler=EDM).fit(Samples(rows())).draw(3, steps=5)
