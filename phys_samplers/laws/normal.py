"""The standard normal law, the sanity check of every sampler."""

from __future__ import annotations

import math

import torch
from torch import nn

from phys_samplers.laws.arguments import check_count, check_positive
from phys_samplers.laws.mixture import GaussianMixture
from phys_samplers.shapes import Draws, Points, Values


class StandardNormal(nn.Module):
    """N(0, I) in ``dim`` dimensions.

    Args:
        dim: D, at least 1.
    """

    log_z = 0.0
    differentiable = True

    def __init__(self, dim: int = 2) -> None:
        super().__init__()
        self.event_shape: tuple[int, ...] = (check_count("dim", dim, least=1),)

    def log_prob(self, x: Points) -> Values:
        """Normalised log-density (B,) at ``x`` (B, D)."""
        return -0.5 * (x.square().sum(-1) + self.event_shape[0] * math.log(2.0 * math.pi))

    def score(self, x: Points) -> Points:
        """∇ log p = −x, shape (B, D)."""
        return -x

    def log_prob_and_score(self, x: Points) -> tuple[Values, Points]:
        """Both."""
        return self.log_prob(x), -x

    def sample(self, n: int, generator: torch.Generator) -> Draws:
        """``n`` draws (n, D) on the generator's device."""
        return torch.randn(n, *self.event_shape, generator=generator, device=generator.device)

    def blurred(self, variance: float) -> GaussianMixture:
        """The law of x + √variance · N(0, I): a normal law of variance 1 + ``variance``."""
        scale = 1.0 + check_positive("variance", variance)
        return GaussianMixture(torch.zeros(1, *self.event_shape), torch.tensor([scale]), torch.ones(1))
