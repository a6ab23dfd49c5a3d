r"""Return models whose laws are known through draws: what all samplers without a linear operator share.

They follow the Bellman equation in law, y = ρ + γ y', by bootstrapping through samples: draws y' from the lagged
network's law at (z', a') become draws y at (z, a), on which the sampler is trained as on data. Draws are stratified:
the i-th of n is made from the normal score Φ⁻¹((i + U)/n), so that a sampler that carries scores monotonically, as a
probability flow in one dimension does, gives quantiles.

A network has two parts. A trunk sees the observation once and gives every action its context (R, B, A, H); a small head
sees a number, its noise level and a context, which enters its first layer as a bias, for each of many numbers.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

from phys_samplers.fields.stacked import StackedLinear, activation
from phys_samplers.options import fit_option
from phys_samplers.randomness import Streams
from phys_samplers.rl.fitted import ReturnNetwork
from phys_samplers.rl.law import ReturnLaw, of_action
from phys_samplers.rl.recipe import ReturnModel
from phys_samplers.rl.transitions import Transitions

LOW, HIGH = -0.06, 1.06
"""Between which draws are kept; scaled returns lie between 0 and 1."""
CENTRE, SPREAD = 0.5, 0.3
"""A mean and a standard deviation that suit any law on [0, 1] well enough to standardise by."""
FREQUENCIES = (1.0, 2.0, 4.0, 8.0)
"""Of the features of a number, in units of 1/SPREAD; the lower half also of those of a level."""


@dataclass(frozen=True, kw_only=True)
class SampledReturns(ReturnModel):
    """Laws of returns by a sampler; see the module, and ``ReturnModel`` for the other options.

    Args:
        head_width: H, units of each of the two hidden layers of the head.
        draws: bootstrapped samples for each transition in a loss, and draws that a mean is taken over.
        points: M, draws that stand for a law.
        sampling_steps: steps of a draw.
    """

    head_width: int = fit_option(64, least=1)
    draws: int = fit_option(4, least=1)
    points: int = fit_option(32, least=1)
    sampling_steps: int = fit_option(8, least=2)


class Head(nn.Module):
    """A number for each number y, level and context: two hidden layers.

    Args:
        width: H.
        activation: of the hidden layers.
        streams: one per replica, for initial weights.
    """

    waves: Tensor

    def __init__(self, width: int, activation: Callable[[Tensor], Tensor], *, streams: Streams) -> None:
        super().__init__()
        self.activation = activation
        waves = torch.tensor(FREQUENCIES).expand(streams.replicas, -1)
        self.register_buffer("waves", waves, persistent=False)
        inputs = 1 + 2 * len(FREQUENCIES)
        self.inner = StackedLinear(inputs, width, streams=streams, gain=math.sqrt(3.0))
        self.level = StackedLinear(1 + len(FREQUENCIES), width, streams=streams, gain=math.sqrt(3.0))
        self.outer = StackedLinear(width, width, streams=streams, gain=math.sqrt(3.0))
        self.out = StackedLinear(width, 1, streams=streams, gain=0.1)

    def forward(self, context: Tensor, y: Tensor, level: Tensor) -> Tensor:
        """F (R, N, M).

        Args:
            context: (R, N, H).
            y: numbers of order one (R, N, M).
            level: likewise, or (1, 1, M) or (1, 1, 1) for all.
        """
        heights = self._features(level, self.waves[0, : len(FREQUENCIES) // 2]).flatten(1, 2)
        tail = self.level(heights.expand(len(y), -1, -1))
        inner = self.inner(self._features(y, self.waves[0]).flatten(1, 2)).view(*y.shape, -1)
        inner = inner + (context.unsqueeze(2) + tail.view(-1, *level.shape[1:], tail.shape[-1]))
        outer = self.outer(self.activation(inner.flatten(1, 2)))
        return self.out(self.activation(outer)).view(y.shape)

    @staticmethod
    def _features(values: Tensor, waves: Tensor) -> Tensor:
        """(..., 1 + 2W)."""
        last = values.unsqueeze(-1)
        angles = last * waves
        return torch.cat((last, angles.sin(), angles.cos()), -1)


class SampledNetwork(ReturnNetwork):
    """Trunk, head and bootstrapping; see the module. Subclasses say how draws are made and learned from.

    Args:
        recipe: the options.
        features: F.
        actions: A.
        streams: for initial weights.
    """

    def __init__(self, recipe: SampledReturns, features: int, actions: int, *, streams: Streams) -> None:
        super().__init__()
        self.actions, self.draws, self.points = actions, recipe.draws, recipe.points
        self.trunk = recipe.trunk.build(features, actions * recipe.head_width, streams=streams)
        self.head = Head(recipe.head_width, activation(recipe.activation), streams=streams)

    @abstractmethod
    def draw(self, context: Tensor, scores: Tensor, noise: Streams) -> Tensor:
        """Draws (R, N, M) of the laws of N contexts; under ``torch.no_grad``.

        Args:
            context: (R, N, H).
            scores: standard normal (R, N, M), stratified; where draws start.
            noise: for samplers that need more of it.
        """

    @abstractmethod
    def matching(self, context: Tensor, y: Tensor, noise: Streams) -> Tensor:
        """One loss per replica (R,) with the draws ``y`` (R, N, M) of the laws of N contexts (R, N, H) as data."""

    def contexts(self, observation: Tensor, action: Tensor | None) -> Tensor:
        """(R, B, A, H), or of ``action`` (R, B) alone (R, B, H)."""
        every = self.trunk(observation).unflatten(-1, (self.actions, -1))
        return every if action is None else of_action(every, action)

    def loss(self, batch: Transitions, target: Self, noise: Streams) -> Tensor:
        """See ``ReturnNetwork.loss``."""
        with torch.no_grad():
            y = self.bootstrapped(batch, target, noise)
        return self.matching(self.contexts(batch.observation, batch.action), y, noise)

    def bootstrapped(self, batch: Transitions, target: Self, noise: Streams) -> Tensor:
        """ρ + γ y' (R, B, draws), with y' from the law of ``target``."""
        scores = stratified(self.draws, noise.uniform(*batch.action.shape[1:], 1))
        following = target.draw(target.contexts(batch.next_observation, batch.next_action), scores, noise)
        return torch.addcmul(batch.reward.unsqueeze(-1), batch.discount.unsqueeze(-1), following)

    @torch.no_grad()
    def law(self, observation: Tensor, action: Tensor | None = None, *, noise: Streams) -> ReturnLaw:
        """See ``ReturnNetwork.law``; ``points`` draws of equal weight."""
        return self._law(observation, action, self.points, noise)

    @torch.no_grad()
    def mean(self, observation: Tensor, *, noise: Streams) -> Tensor:
        """See ``ReturnNetwork.mean``; over ``draws`` draws."""
        return self._law(observation, None, self.draws, noise).points.mean(-1)

    def _law(self, observation: Tensor, action: Tensor | None, count: int, noise: Streams) -> ReturnLaw:
        context = self.contexts(observation, action)
        flat = context.flatten(1, -2)
        scores = stratified(count, torch.full_like(flat[..., :1], 0.5))
        points = self.draw(flat, scores, noise).view(*context.shape[:-1], count)
        return ReturnLaw(points, torch.full_like(points, 1 / count))


def stratified(count: int, offset: Tensor) -> Tensor:
    """Φ⁻¹((i + U)/n) (..., n) for i < n = ``count`` and U (..., 1) on [0, 1): one of each of n equal shares."""
    index = torch.arange(count, dtype=offset.dtype, device=offset.device)
    return torch.special.ndtri(((index + offset) / count).clamp_(1e-6, 1 - 1e-6))
