"""Neal's funnel: a law whose scale changes by orders of magnitude along its first coordinate."""

from __future__ import annotations

import math

import torch
from torch import nn

from phys_samplers.laws.arguments import check_count, check_positive
from phys_samplers.shapes import Draws, Points, Values


class Funnel(nn.Module):
    """x₁ ~ N(0, scale²), x_i | x₁ ~ N(0, e^{x₁}) for i ≥ 2 (Neal 2003, "Slice sampling", Sec. 8).

    arXiv:2502.13280, App. E.1, prints the product from i = 1, which would count x₁ twice.

    Args:
        dim: D, at least 2.
        scale: standard deviation of x₁.
    """

    log_z = 0.0
    differentiable = True

    def __init__(self, dim: int = 10, scale: float = 3.0) -> None:
        super().__init__()
        self.event_shape: tuple[int, ...] = (check_count("dim", dim, least=2),)
        self.scale = check_positive("scale", scale)

    def log_prob(self, x: Points) -> Values:
        """Normalised log-density (B,) at ``x`` (B, D)."""
        return self.log_prob_and_score(x)[0]

    def score(self, x: Points) -> Points:
        """∇ log p (B, D): −x₁/scale² + ½ Σ_{i≥2} x_i² e^{−x₁} − ½(D − 1), then −x_i e^{−x₁}."""
        return self.log_prob_and_score(x)[1]

    def log_prob_and_score(self, x: Points) -> tuple[Values, Points]:
        """Both at the price of one."""
        first, rest = x[..., :1], x[..., 1:]
        # scaling before squaring keeps e^{x₁/2} in range where e^{x₁} would not be
        narrowing = (-0.5 * first).exp()
        scaled = rest * narrowing
        squares = scaled.square().sum(-1, keepdim=True)
        constant = self.event_shape[0] * math.log(2.0 * math.pi) + 2.0 * math.log(self.scale)
        log_prob = -0.5 * ((first / self.scale).square() + squares + rest.shape[-1] * first + constant)
        along = 0.5 * (squares - rest.shape[-1]) - first / self.scale**2
        return log_prob.squeeze(-1), torch.cat([along, -scaled * narrowing], -1)

    def sample(self, n: int, generator: torch.Generator) -> Draws:
        """``n`` draws (n, D) on the generator's device."""
        noise = torch.randn(n, *self.event_shape, generator=generator, device=generator.device)
        first = self.scale * noise[:, :1]
        return torch.cat([first, (0.5 * first).exp() * noise[:, 1:]], -1)
