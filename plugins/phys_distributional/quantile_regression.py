r"""Quantile regression (QR-DQN): a law is N equally likely points θ_i, which are its quantiles at τ_i = (2i − 1)/2N.

    loss = Σ_i E_j ρ_{τ_i}(r + γθ'_j − θ_i),

ρ being the quantile Huber loss and θ' the lagged network's quantiles at the next state. The network's
last layer gives θ_i − τ_i, so that laws start as the uniform one on [0, 1].

Dabney et al. take κ = 1 in the unit of rewards clipped to [−1, 1], where returns are tens: a small part of their range.
Returns here lie between 0 and 1, and κ = 0.01 is that part: quantiles are displaced by no more than it.

Source: Dabney, Rowland, Bellemare, Munos 2018 (arXiv:1710.10044), Algorithm 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from phys_samplers.options import fit_option
from phys_samplers.randomness import Streams
from phys_samplers.rl.fitted import HeadNetwork
from phys_samplers.rl.law import ReturnLaw
from phys_samplers.rl.recipe import ReturnModel
from phys_samplers.rl.transitions import Transitions


def quantile_huber(quantiles: Tensor, levels: Tensor, samples: Tensor, kappa: float) -> Tensor:
    r"""The quantile Huber loss (...), of N quantiles θ_i at levels τ_i against N' samples y_j, which get no gradient.

        Σ_i 1/N' Σ_j |τ_i − 1{u < 0}| L_κ(u)/κ,   u = y_j − θ_i,   L_κ(u) = u²/2  for |u| ≤ κ,  κ(|u| − κ/2)  beyond,

    whose limit κ → 0 is the pinball loss Σ_i 1/N' Σ_j (τ_i − 1{u < 0}) u of quantile regression.

    Once the samples are sorted, the inner sum is a polynomial in θ_i whose coefficients are sums of y_j and y_j² over
    those between θ_i − κ, θ_i and θ_i + κ: differences of cumulated sums. That is N + N' numbers for each law instead
    of NN', with the same value and the same gradient.

    Source: Dabney et al. 2018 (arXiv:1710.10044), Eq. 8-10; divided by κ as in arXiv:1806.06923, Sec. 2.

    Args:
        quantiles: θ (..., N).
        levels: τ, broadcastable to θ.
        samples: y (..., N'), in any order.
        kappa: κ, in the unit of the quantiles; 0 for the pinball loss.
    """
    samples = samples.detach().sort(-1).values
    if not kappa:
        return _pinball(quantiles, levels, samples)
    # differences of cumulated squares lose digits that κ² is measured in
    theta, y, levels = quantiles.double(), samples.double(), levels.double()
    at = theta.detach()
    edges = torch.searchsorted(y, torch.cat((at - kappa, at, at + kappa), -1))
    first, second = (_from_zero(power).gather(-1, edges) for power in (y, y.square()))
    ones, y1, y2 = (table.unflatten(-1, (3, -1)).unbind(-2) for table in (edges, first, second))
    every, total = y.shape[-1], y.sum(-1, keepdim=True)

    def near(low: int, high: int) -> Tensor:
        """Σ u²/2κ over samples between two of the edges."""
        count = ones[high] - ones[low]
        return (y2[high] - y2[low] - 2 * theta * (y1[high] - y1[low]) + count * theta.square()) / (2 * kappa)

    above = near(1, 2) + (total - y1[2]) - (every - ones[2]) * (theta + kappa / 2)
    below = near(0, 1) - y1[0] + ones[0] * (theta - kappa / 2)
    return ((levels * above + (1 - levels) * below).sum(-1) / every).to(quantiles)


def _pinball(theta: Tensor, levels: Tensor, samples: Tensor) -> Tensor:
    every = samples.shape[-1]
    count = torch.searchsorted(samples, theta.detach())
    below = count * theta - _from_zero(samples).gather(-1, count)
    return (levels * (samples.mean(-1, keepdim=True) - theta) + below / every).sum(-1)


def _from_zero(values: Tensor) -> Tensor:
    """Cumulated sums (..., N' + 1) that start at 0."""
    return functional.pad(values.cumsum(-1), (1, 0))


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

    quantiles: int = fit_option(51, least=1)
    kappa: float = fit_option(0.01, least=0)

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
        super().__init__(recipe.trunk, features, actions, recipe.quantiles, streams=streams)
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
