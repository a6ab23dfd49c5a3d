r"""Quantile regression (QR-DQN): a law is N equally likely points θ_i, which are its quantiles at τ_i = (2i − 1)/2N.

    loss = Σ_i E_j ρ_{τ_i}(r + γθ'_j − θ_i),

ρ being the quantile Huber loss (``pinball``) and θ' the lagged network's quantiles at the next state. The network's
last layer gives θ_i − τ_i, so that laws start as the uniform one on [0, 1].

Dabney et al. take κ = 1 in the unit of rewards clipped to [−1, 1], where returns are tens: a small part of their range.
Returns here lie between 0 and 1, and κ = 0.01 is that part: quantiles are displaced by no more than it.

Source: Dabney, Rowland, Bellemare, Munos 2018 (arXiv:1710.10044), Algorithm 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from phys_distributional.network import HeadNetwork
from phys_distributional.options import check_count, check_kappa
from phys_distributional.pinball import quantile_huber
from phys_samplers.randomness import Streams
from phys_samplers.rl.law import ReturnLaw
from phys_samplers.rl.recipe import ReturnModel
from phys_samplers.rl.transitions import Transitions


def midpoints(count: int, like: Tensor) -> Tensor:
    """τ (N,): the middles of N equal parts of [0, 1]."""
    return (torch.arange(count, device=like.device, dtype=like.dtype) + 0.5) / count


def equal_weights(points: Tensor) -> ReturnLaw:
    """Equally likely points (..., N)."""
    return ReturnLaw(points, points.new_full((), 1 / points.shape[-1]).expand_as(points))


@dataclass(frozen=True, kw_only=True)
class QRDQNReturns(ReturnModel):
    """Quantiles of returns at fixed levels.

    Args:
        quantiles: N.
        kappa: κ, the error from which on the loss grows linearly, where returns lie between 0 and 1; 0 for linear
            throughout.
    """

    quantiles: int = 51
    kappa: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("quantiles", self.quantiles, 1)
        check_kappa(self.kappa, zero=True)

    def build(self, features: int, actions: int, *, streams: Streams) -> QuantileNetwork:
        """See ``ReturnModel.build``."""
        return QuantileNetwork(self, features, actions, streams=streams)


class QuantileNetwork(HeadNetwork):
    """See the module.

    Args:
        recipe: the options.
        features: F.
        actions: A.
        streams: for initial weights.
    """

    def __init__(self, recipe: QRDQNReturns, features: int, actions: int, *, streams: Streams) -> None:
        super().__init__(recipe, features, actions, recipe.quantiles, streams=streams)
        self.kappa = recipe.kappa

    def quantiles(self, observation: Tensor, action: Tensor | None = None) -> Tensor:
        """θ (R, B, A, N); or (R, B, N) of ``action`` (R, B)."""
        heads = self.heads(observation, action)
        return heads + midpoints(self.count, heads)

    def loss(self, batch: Transitions, target: QuantileNetwork, noise: Streams) -> Tensor:
        """See ``ReturnNetwork.loss``."""
        with torch.no_grad():
            following = target.quantiles(batch.next_observation, batch.next_action)
            samples = torch.addcmul(batch.reward.unsqueeze(-1), batch.discount.unsqueeze(-1), following)
        theta = self.quantiles(batch.observation, batch.action)
        return quantile_huber(theta, midpoints(self.count, theta), samples, self.kappa).mean(-1)

    def law(self, observation: Tensor, action: Tensor | None = None, *, noise: Streams) -> ReturnLaw:
        """See ``ReturnNetwork.law``."""
        return equal_weights(self.quantiles(observation, action))

    def mean(self, observation: Tensor, *, noise: Streams) -> Tensor:
        """See ``ReturnNetwork.mean``."""
        return self.quantiles(observation).mean(-1)
