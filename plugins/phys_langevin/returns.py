r"""Annealed Langevin dynamics as a model of returns: a conditional score, and chains over falling noise levels.

The score of the law blurred by σ is (D − x)/σ² with D the denoiser of ``phys_samplers.rl.denoised``, trained at a
ladder of levels (denoising score matching; Vincent 2011). A step of size εσ² of dx = (D − x)/σ² dt + √2 dW with D held
fixed is solved exactly,

    x ← D + e^{−ε}(x − D) + σ √(1 − e^{−2ε}) n,

(Euler's step of Song & Ermon 2019, arXiv:1907.05600, Algorithm 1, adds to the variance at any ε; with the few large
steps that a draw may take here it would add much). Some steps at each level are followed by x ← D(x, σ_min), which
takes the last noise out. The law is known through draws: ``law`` needs noise, its points are no quantiles.

Chains have to follow the falling levels, since bootstrapping at γ near one adds up what they miss. With exact denoisers
of five laws (atoms, two modes, wide, narrow, skew) two steps at each of 8 levels are off by .033 in W1 on average, at
each of 16 by .006; larger steps, or noise that would be stationary for a normal law instead, gain nothing. On
FrozenLake at γ = .9 that is the difference between .18 (3,000 updates) and .03 (4,000).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from phys_samplers.options import fit_option
from phys_samplers.randomness import Streams
from phys_samplers.rl.denoised import DenoisedReturns, DenoisingNetwork
from phys_samplers.rl.sampled import CENTRE


@dataclass(frozen=True, kw_only=True)
class LangevinReturns(DenoisedReturns):
    """Annealed Langevin dynamics as a model of returns; see ``DenoisedReturns`` for the other options.

    Args:
        sampling_steps: number of levels, equidistant in log σ.
        steps_per_level: steps at each.
        epsilon: ε, the step over σ².
    """

    sampling_steps: int = fit_option(16, least=2)
    steps_per_level: int = fit_option(2, least=1)
    epsilon: float = fit_option(1.0, above=0)
    sigma_max: float = fit_option(1.0, above=0)

    def build(self, features: int, actions: int, *, streams: Streams) -> AnnealedNetwork:
        """See ``ReturnModel.build``."""
        return AnnealedNetwork(self, features, actions, streams=streams)


class AnnealedNetwork(DenoisingNetwork):
    """A denoiser at a ladder of levels, sampled by Langevin dynamics; see ``SampledNetwork`` for the arguments."""

    ladder: Tensor

    def __init__(self, recipe: LangevinReturns, features: int, actions: int, *, streams: Streams) -> None:
        super().__init__(recipe, features, actions, streams=streams)
        self.steps_per_level, self.epsilon = recipe.steps_per_level, recipe.epsilon
        self.evaluations = len(self.levels) * self.steps_per_level + 2  # the centre, and the last noise
        self.register_buffer("ladder", torch.tensor(self.levels).expand(streams.replicas, -1), persistent=False)

    def training_levels(self, y: Tensor, noise: Streams) -> Tensor:
        """Of the ladder, each as often."""
        return self.ladder[0][noise.integers(len(self.levels), *y.shape[1:])]

    @torch.no_grad()
    def draw(self, context: Tensor, scores: Tensor, noise: Streams) -> Tensor:
        """See ``SampledNetwork.draw``."""
        keep, fresh = math.exp(-self.epsilon), math.sqrt(-math.expm1(-2 * self.epsilon))
        sigma = scores.new_full((1, 1, 1), self.levels[0])
        x = self.denoise(context, torch.full_like(scores[..., :1], CENTRE), sigma) + sigma * scores
        for level in self.levels:
            sigma = scores.new_full((1, 1, 1), level)
            normal = noise.normal(self.steps_per_level, *scores.shape[1:])
            for step in range(self.steps_per_level):
                x = torch.lerp(self.denoise(context, x, sigma), x, keep).add_(normal[:, step], alpha=level * fresh)
        return self.denoise(context, x, sigma)
