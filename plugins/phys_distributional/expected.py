r"""Deep Q-networks: the expected return alone, by squared temporal differences.

    loss = E (r + γ q'(z', a') − q(z, a))²,

or Huber's function of the difference. The law is one atom at q.

Source: Mnih et al. 2015 (Nature 518), Algorithm 1, where the *gradient's* error term is clipped to [−1, 1]: that
is Huber's function with κ = 1 in the unit of the rewards.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from phys_samplers.options import fit_option
from phys_samplers.randomness import Streams
from phys_samplers.rl.fitted import HeadNetwork
from phys_samplers.rl.law import ReturnLaw
from phys_samplers.rl.recipe import ReturnModel
from phys_samplers.rl.transitions import Transitions

START = 0.5
"""Expected return at first, up to the small initial weights: the mean of the laws that others start from."""


@dataclass(frozen=True, kw_only=True)
class DQNReturns(ReturnModel):
    """Expected returns.

    Args:
        kappa: κ, the temporal difference from which on the loss grows linearly, where returns lie between 0 and 1;
            None for the squared error.
    """

    kappa: float | None = fit_option(None, above=0)

    def build(self, features: int, actions: int, *, streams: Streams) -> ExpectedNetwork:
        """See ``ReturnModel.build``."""
        return ExpectedNetwork(self, features, actions, streams=streams)


class ExpectedNetwork(HeadNetwork):
    """See the module.

    Args:
        recipe: the options.
        features: F.
        actions: A.
        streams: for initial weights.
    """

    def __init__(self, recipe: DQNReturns, features: int, actions: int, *, streams: Streams) -> None:
        super().__init__(recipe.trunk, features, actions, 1, streams=streams)
        self.kappa = recipe.kappa

    def loss(self, batch: Transitions, target: ExpectedNetwork, noise: Streams) -> Tensor:
        """See ``ReturnNetwork.loss``."""
        with torch.no_grad():
            following = target.heads(batch.next_observation, batch.next_action).squeeze(-1).add_(START)
            aim = torch.addcmul(batch.reward, batch.discount, following).sub_(START)
        value = self.heads(batch.observation, batch.action).squeeze(-1)
        if self.kappa is None:
            return (aim - value).square().mean(-1)
        error = torch.nn.functional.huber_loss(value, aim, reduction="none", delta=self.kappa)
        return error.mean(-1)

    def law(self, observation: Tensor, action: Tensor | None = None, *, noise: Streams) -> ReturnLaw:
        """See ``ReturnNetwork.law``."""
        points = self.heads(observation, action) + START
        return ReturnLaw(points, torch.ones_like(points))

    def mean(self, observation: Tensor, *, noise: Streams) -> Tensor:
        """See ``ReturnNetwork.mean``."""
        return self.heads(observation).squeeze(-1) + START
