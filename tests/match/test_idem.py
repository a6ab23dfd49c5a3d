"""What the denoiser learns, against the closed form, and what its recipe refuses."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from phys_match.pairs import PairNetwork
from phys_samplers import Density, make
from phys_samplers.errors import ConfigurationError
from phys_samplers.fields import make_field
from phys_samplers.laws import DoubleWell, GaussianMixture
from phys_samplers.randomness import Streams
from phys_samplers.sampler import Model
from phys_samplers.target import Target

LAW = GaussianMixture([[-1.5, 0.0], [1.5, 0.0]], [0.09, 0.09], [0.7, 0.3])
TARGET = Density(lambda x: LAW.log_prob(x) + 0.4, event_shape=(2,))
SMALL: dict[str, Any] = {
    "steps": 400,
    "width": 32,
    "batch_size": 256,
    "estimates": 256,
    "draws": 128,
    "walks": 256,
    "reuse": 12,
}


@pytest.mark.slow
def test_two_modes_of_unequal_weight_are_learned() -> None:
    """The share of the heavy mode, log Z, and the score of the blurred law; weights mend what is left.

    Of 4,000 draws with an ESS above .5 the standard errors are below .01 for the share and .02 for log Z; the bounds
    are five of them. Without weights the share has learned more than half of the way from one half. Walks start at
    σ = 4, since the centred start at 2 costs much of it by itself: exact moments lead to .66 from there, .69 from 4.
    """
    longer = {**SMALL, "steps": 1_000}
    model = make("sampler", "idem", finest=0.05, widest=4.0, sampling_steps=40, **longer).fit(TARGET, seed=0)
    draw = model.draw(4_000, seed=1)
    facts = draw.diagnostics
    assert facts["ess"] > 0.5
    assert abs(facts["log_z"] - 0.4) < 5 * facts["log_z_std"]
    assert draw.log_weights is not None
    heavy = (draw.samples[:, 0] < 0).float()
    assert float(draw.log_weights.softmax(0) @ heavy) == pytest.approx(0.7, abs=0.05)
    assert float(heavy.mean()) == pytest.approx(0.7, abs=0.08)
    x = LAW.blurred(0.5**2).sample(500, torch.Generator().manual_seed(2))
    exact = LAW.blurred(0.5**2).score(x)
    missed = (model.score(x, sigma=0.5) - exact).square().sum() / exact.square().sum()
    assert float(missed) < 0.05


def test_seeds_of_a_stack_are_those_of_single_fits() -> None:
    recipe = make("sampler", "idem", **{**SMALL, "steps": 12, "refill_every": 5, "moves": 1, "weighted": True})
    _, second = recipe.fit_replicas(TARGET, seeds=[0, 3])
    assert isinstance(second, Model)
    alone = recipe.fit(TARGET, seed=3)
    torch.testing.assert_close(second.sample(50, seed=1), alone.sample(50, seed=1), rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_less_noise_narrows_the_law() -> None:
    model = make("sampler", "idem", **{**SMALL, "steps": 200}).fit(TARGET, seed=0)
    wide, narrow = (model.sample(500, seed=1, noise_scale=scale) for scale in (1.0, 0.5))
    assert narrow[:, 1].std() < 0.9 * wide[:, 1].std()


@pytest.mark.parametrize("name", ["idem", "rdmc"])
def test_levels_that_rise_are_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="finest below widest"):
        make("sampler", name, widest=0.1, finest=math.e)


def test_a_network_of_pairs_turns_and_renames_with_its_input() -> None:
    target = Target(event_shape=(8,), law=DoubleWell())
    network = PairNetwork(make_field("fourier-mlp", width=8, depth=2), target, streams=Streams([0, 1], "weights"))
    for parameter in network.perceptron.parameters():
        parameter.data += 0.3
    network.double()
    streams, subspace = Streams([0, 1], "z"), target.subspace
    assert subspace is not None
    subspace = subspace.double()
    x = (streams.normal(5, 6, dtype=torch.float64) @ subspace).view(2, 5, 4, 2)
    turn = torch.tensor([[0.6, 0.8], [0.8, -0.6]], dtype=torch.float64)
    order = torch.tensor([2, 0, 3, 1])
    time = streams.uniform(5, dtype=torch.float64)

    def moved(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        out = network(x.flatten(2) @ subspace.T, time)
        return (out[..., :-1] @ subspace).view(2, 5, 4, 2), out[..., -1]

    forces, number = moved(x)
    turned, same = moved((x @ turn)[:, :, order])
    torch.testing.assert_close(turned, (forces @ turn)[:, :, order], rtol=1e-3, atol=1e-3)  # the axes are in float32
    torch.testing.assert_close(same, number, rtol=1e-3, atol=1e-3)
    assert float(forces.abs().max()) > 0.1
