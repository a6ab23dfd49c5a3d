r"""Implicit quantile networks (IQN): one network for the quantiles θ_τ of a return at all levels τ in (0, 1).

    θ_τ(z, a) = τ + f_a(ψ(z) ⊙ φ(τ)),    φ_j(τ) = relu(Σ_{i<n} V_ij cos(πiτ) + b_j),

    loss = Σ_{i≤N} 1/N' Σ_{j≤N'} ρ_{τ_i}(r + γθ'_{τ'_j} − θ_{τ_i}),    τ_i, τ'_j ~ U(0, 1),

ρ being the loss ``quantile_huber``. Levels are drawn for each transition. Laws and means take fixed levels
instead, the middles of equal parts of [0, 1], so that a state always has the same law and the same best action.

ψ is the trunk up to its last hidden layer and f its last layer, which is linear: networks here are as deep as those of
the other models. (In the source f has a hidden layer more.) Means are then those of φ over the levels, for the price of
one evaluation. The summand τ makes laws start as the uniform one on [0, 1].

Source: Dabney, Ostrovski, Silver, Munos 2018 (arXiv:1806.06923), Eq. 3 and 4; N = N' = 8 and n = 64 there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from phys_distributional.quantile_regression import equal_weights, midpoints, quantile_huber
from phys_samplers.fields.stacked import StackedLinear, StackedMLP
from phys_samplers.options import fit_option
from phys_samplers.randomness import Streams
from phys_samplers.rl.fitted import HEAD_GAIN, ReturnNetwork
from phys_samplers.rl.law import ReturnLaw, of_action
from phys_samplers.rl.recipe import ReturnModel
from phys_samplers.rl.transitions import Transitions


@dataclass(frozen=True, kw_only=True)
class IQNReturns(ReturnModel):
    """Quantiles of returns at any level.

    Args:
        cosines: n.
        draws: N, levels at which the loss improves quantiles.
        target_draws: N', levels at which it asks the lagged network for them.
        levels: fixed levels of laws and means.
        kappa: κ, the error from which on the loss grows linearly, where returns lie between 0 and 1; 0 for linear
            throughout. See ``QRDQNReturns`` for its size.
    """

    cosines: int = fit_option(64, least=1)
    draws: int = fit_option(8, least=1)
    target_draws: int = fit_option(8, least=1)
    levels: int = fit_option(32, least=1)
    kappa: float = fit_option(0.01, least=0)

    def build(self, features: int, actions: int, *, streams: Streams) -> ImplicitNetwork:
        """See ``ReturnModel.build``."""
        return ImplicitNetwork(self, features, actions, streams=streams)


class ImplicitNetwork(ReturnNetwork):
    """See the module.

    Args:
        recipe: the options.
        features: F.
        actions: A.
        streams: for initial weights.
    """

    def __init__(self, recipe: IQNReturns, features: int, actions: int, *, streams: Streams) -> None:
        super().__init__()
        self.actions, self.cosines, self.levels, self.kappa = actions, recipe.cosines, recipe.levels, recipe.kappa
        self.draws, self.target_draws = recipe.draws, recipe.target_draws
        self.trunk = StackedMLP(recipe.trunk, features, actions, streams=streams, conditioned=False, out_gain=HEAD_GAIN)
        self.embedding = StackedLinear(recipe.cosines, recipe.width, streams=streams, gain=math.sqrt(3.0))

    def features(self, observation: Tensor) -> Tensor:
        """ψ (R, B, W)."""
        x = observation
        for layer in self.trunk.hidden:
            x = self.trunk.activation(layer(x))
        return x

    def embedded(self, levels: Tensor) -> Tensor:
        """φ (R, L, W) at ``levels`` (R, L)."""
        frequencies = math.pi * torch.arange(self.cosines, device=levels.device, dtype=levels.dtype)
        return torch.relu(self.embedding((levels.unsqueeze(-1) * frequencies).cos_()))

    def at(self, observation: Tensor, action: Tensor, levels: Tensor) -> Tensor:
        """θ_τ (R, B, N) of ``action`` (R, B) at levels of their own (R, B, N)."""
        phi = self.embedded(levels.flatten(1)).unflatten(1, levels.shape[1:])
        mixed = self.features(observation).unsqueeze(2) * phi
        values = self.trunk.out(mixed.flatten(1, 2)).unflatten(1, levels.shape[1:])
        return of_action(values.mT, action) + levels

    def loss(self, batch: Transitions, target: ImplicitNetwork, noise: Streams) -> Tensor:
        """See ``ReturnNetwork.loss``."""
        drawn = noise.uniform(batch.action.shape[1], self.draws + self.target_draws)
        levels, target_levels = drawn.split((self.draws, self.target_draws), -1)
        with torch.no_grad():
            following = target.at(batch.next_observation, batch.next_action, target_levels)
            samples = torch.addcmul(batch.reward.unsqueeze(-1), batch.discount.unsqueeze(-1), following)
        theta = self.at(batch.observation, batch.action, levels)
        return quantile_huber(theta, levels, samples, self.kappa).mean(-1)

    def law(self, observation: Tensor, action: Tensor | None = None, *, noise: Streams) -> ReturnLaw:
        """See ``ReturnNetwork.law``."""
        psi = self.features(observation)
        levels = midpoints(self.levels, psi)
        phi = self.embedded(levels.expand(len(psi), -1))
        # f is linear: f_a(ψ ⊙ φ) = (ψ ⊙ f_a)·φ
        rows = psi.unsqueeze(2) * self.trunk.out.weight.mT.unsqueeze(1)
        points = (rows.flatten(1, 2) @ phi.mT).unflatten(1, rows.shape[1:3])
        points = points + self.trunk.out.bias.unsqueeze(-1) + levels
        return equal_weights(points if action is None else of_action(points, action))

    def mean(self, observation: Tensor, *, noise: Streams) -> Tensor:
        """See ``ReturnNetwork.mean``."""
        psi = self.features(observation)
        phi = self.embedded(midpoints(self.levels, psi).expand(len(psi), -1))
        return self.trunk.out(psi * phi.mean(1, keepdim=True)) + 0.5
