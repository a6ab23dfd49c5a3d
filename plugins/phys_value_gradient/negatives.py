"""Algorithm 3's use of the sampler: negative samples for an energy under training, which the values follow."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from phys_samplers.chains.checks import refuse_lost
from phys_samplers.density import FlatDensity
from phys_samplers.fields.stacked import replica
from phys_samplers.randomness import Streams
from phys_samplers.target import Target
from phys_value_gradient.critic import LearnedLandscape
from phys_value_gradient.model import ValueGradientModel
from phys_value_gradient.policy import walk

if TYPE_CHECKING:
    from phys_value_gradient.recipe import ValueGradientSampler


class ValueNegatives:
    """A running supply; see ``phys_samplers.negatives.Negatives``.

    Args:
        recipe: of the sampler; its learning rate stays constant here, for there is no last step.
        target: with the live energy as its law, and rows to start from if the recipe wants that.
        seed: of every random draw.
        device: where to compute.
    """

    def __init__(
        self, recipe: ValueGradientSampler, target: Target, *, seed: int, device: torch.device | str = "cpu"
    ) -> None:
        self.recipe, self.target = recipe, target
        self._learner = recipe.learner(target, seeds=[seed], device=device)
        self._parameters = list(self._learner.critic.parameters())
        self._optimiser = torch.optim.Adam(self._parameters, lr=recipe.learning_rate, fused=True)
        self._streams = Streams([seed], "negatives", device=device)
        self._rows: Tensor | None = None
        if recipe.negatives_from == "data":
            assert target.train is not None
            like = self._learner.critic.offset
            self._rows = FlatDensity(target).reduce(target.train.detach().to(like))

    @torch.no_grad()
    def draw(self, n: int) -> Tensor:
        """``n`` samples (n, *event_shape) of the energy as the values of the target network know it."""
        learner, recipe = self._learner, self.recipe
        energy = learner.energy
        path = walk(
            LearnedLandscape(learner.target, energy),
            learner.policy,
            self._start(n),
            lambda: self._streams.normal(n, energy.dim),
            noise_scale=recipe.noise_scale,
            final_noise=recipe.final_noise,
        )
        final = path.final.squeeze(0)
        steps = recipe.sampling_steps
        refuse_lost(final, step=steps, total=steps, by="the value gradient sampler", advice="set drift_clip, e.g. to 3")
        return energy.density.embed(final)

    def learn(self) -> None:
        """One iteration of Algorithm 2 in the energy as it is now."""
        for _ in range(self.recipe.updates_per_walk):
            self._optimiser.zero_grad()
            self._learner.loss().sum().backward()
            if self.recipe.clip_norm is not None:
                torch.nn.utils.clip_grad_norm_(self._parameters, self.recipe.clip_norm)
            self._optimiser.step()

    def model(self) -> ValueGradientModel:
        """The values of the target network as a model, whose walks start at the prior; see ``Negatives.model``."""
        critic = replica(self._learner.target, 0).requires_grad_(False)
        return ValueGradientModel(self.recipe, self.target, critic=critic, log_std=critic.log_std)

    def _start(self, n: int) -> Tensor:
        """x_0 (1, n, K): prior draws, or rows x_T carried to t = 0, a_0 x_T + √b_0 ε."""
        if self._rows is None:
            return self._streams.normal(n, self._learner.energy.dim).mul_(self._learner.target.log_std.exp())
        scale, blur = self.recipe.auxiliary.marginals[0]
        rows = self._rows[self._streams.integers(len(self._rows), n)]
        return rows.mul_(scale).add_(self._streams.normal(*rows.shape[1:]), alpha=math.sqrt(blur))
