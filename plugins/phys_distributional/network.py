"""What the networks here share: one perceptron, whose last layer holds the numbers that describe each action's law."""

from __future__ import annotations

from torch import Tensor

from phys_samplers.randomness import Streams
from phys_samplers.rl.law import of_action
from phys_samplers.rl.recipe import ReturnModel, ReturnNetwork

HEAD_GAIN = 0.01
"""Initial scale of the last layer: every law starts near the uniform one on [0, 1], whose mean is ½."""


class HeadNetwork(ReturnNetwork):
    """A trunk with K numbers for each action.

    Args:
        recipe: the options.
        features: F.
        actions: A.
        count: K.
        streams: for initial weights.
    """

    def __init__(self, recipe: ReturnModel, features: int, actions: int, count: int, *, streams: Streams) -> None:
        super().__init__()
        self.actions, self.count = actions, count
        self.trunk = recipe.trunk.build(features, actions * count, streams=streams, out_gain=HEAD_GAIN)

    def heads(self, observation: Tensor, action: Tensor | None = None) -> Tensor:
        """The numbers (R, B, A, K) at observations (R, B, F); or those of ``action`` (R, B) alone, (R, B, K)."""
        heads = self.trunk(observation).unflatten(-1, (self.actions, self.count))
        return heads if action is None else of_action(heads, action)
