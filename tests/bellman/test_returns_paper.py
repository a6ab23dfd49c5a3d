"""The paper's perceptrons: their targets against fields known in closed form, and a chain learned."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from phys_bellman.returns.paper import BellmanMLP, FieldPerceptrons
from phys_samplers import make
from phys_samplers.errors import ConfigurationError
from phys_samplers.randomness import Streams
from phys_samplers.rl.exact import ChainReturns
from phys_samplers.rl.markov import MarkovChain
from phys_samplers.rl.recipe import ReturnTask
from phys_samplers.rl.transitions import Transitions

GAMMA, REWARDS, XI = 0.8, (0.1, 0.5), 0.03
"""State 0 pays 0.1 and leads to state 1, which pays 0.5 and ends."""


class Known(nn.Module):
    """A field given in closed form by state: (centre, width) of its Gaussian."""

    def __init__(self, field: Callable[[Tensor, Tensor, Tensor], Tensor], width: float) -> None:
        super().__init__()
        self.field, self.width = field, width

    def forward(self, observation: Tensor, x: Tensor) -> Tensor:
        first = observation[..., :1]
        centre = first * (REWARDS[0] + GAMMA * REWARDS[1]) + (1 - first) * REWARDS[1]
        return self.field(x, centre, first * self.width + (1 - first) * XI).unsqueeze(2)


def density(x: Tensor, centre: Tensor, width: Tensor) -> Tensor:
    """p N(x; centre, width²) with p = ξ√(2π)."""
    return XI / width * torch.exp(-0.5 * ((x - centre) / width).square())


def slope(x: Tensor, centre: Tensor, width: Tensor) -> Tensor:
    """Its derivative times ξ."""
    return -XI * (x - centre) / width.square() * density(x, centre, width)


def losses(width: float, **options: bool) -> Tensor:
    """Per seed, of networks that hold the fields of a plain backup exactly."""
    recipe = BellmanMLP(bandwidth=XI, **options)
    streams = Streams([0, 1], "weights")
    network = FieldPerceptrons(recipe, 2, 1, streams=streams)
    network.density, network.gradient = Known(density, width), None if recipe.tie else Known(slope, width)  # type: ignore[assignment]
    rows = 256
    state = torch.arange(rows).remainder(2).expand(2, rows)
    one_hot = nn.functional.one_hot(state, 2).float()
    batch = Transitions(
        observation=one_hot,
        action=torch.zeros_like(state),
        reward=torch.tensor(REWARDS)[state],
        discount=torch.where(state == 0, GAMMA, 0.0),
        next_observation=one_hot.flip(-1),
        next_action=torch.zeros_like(state),
        discounts=(GAMMA,),
    )
    return network.loss(batch, network, Streams([0, 1], "noise"))


def test_the_right_targets_are_met_by_the_exact_fields() -> None:
    assert float(losses(GAMMA * XI, printed=False).max()) < 1e-8


def test_the_printed_target_of_the_gradient_is_not() -> None:
    """It asks for γ² times the slope: what is left is (1 − γ²)² of its mean square over the span, at half the rows."""
    width = GAMMA * XI
    mean_square = XI**4 / width**3 * math.sqrt(math.pi) / 2 / 1.2
    expected = 0.5 * (1 - GAMMA**2) ** 2 * mean_square
    assert losses(width, printed=True).mean() == pytest.approx(expected, rel=0.1)


def test_the_preserving_target_has_the_same_bandwidth_in_the_mean() -> None:
    """A regression on noisy targets: (target − field)² over many draws is least where the field is their mean."""
    at = {width: float(losses(width, tie=True, preserve=True).mean()) for width in (0.8 * XI, XI, 1.25 * XI)}
    assert at[XI] < min(at[0.8 * XI], at[1.25 * XI])


def test_a_small_chain_is_learned() -> None:
    chain = MarkovChain.of([(0, 1.0, 0.1, 1), (1, 0.5, 0.2, None), (1, 0.5, 0.8, None)])
    exact = ChainReturns(chain, GAMMA, (0.0, 1.0))
    task = ReturnTask(
        event_shape=(2,), name="two", law=exact, experience=chain.prediction(GAMMA, (0.0, 1.0), updates=600)
    )
    recipe = make("return_model", "bellman-mlp", preset="corrected", bandwidth=0.05, width=48, draws=8)
    for model in recipe.fit_replicas(task, seeds=[0, 1]):
        law = model.laws()
        assert float((law.mean - exact.means).abs().max()) < 0.05
        assert float((law.total - 1).abs().max()) < 0.25
        # two modes, and a valley between them
        heights = law.density(torch.tensor([0.2, 0.5, 0.8]), 0.02)[1]
        assert heights[1] < 0.3 * min(heights[0], heights[2])


def test_presets_and_bad_options() -> None:
    assert make("return_model", "bellman-mlp", preset="paper").printed
    assert not make("return_model", "bellman-mlp", preset="corrected").printed
    with pytest.raises(ConfigurationError, match="both True"):
        BellmanMLP(printed=True, tie=True)
    with pytest.raises(ConfigurationError, match="lower first"):
        BellmanMLP(low=0.5, high=0.2)
