r"""Laws of a return as weighted points, sharp or blurred:  p(x) = Σ_m w_m N(x; c_m, h²),  h ≥ 0.

Atoms, quantiles, samples, tabulated densities and mixtures of Gaussians on a grid are all of this form, so that one
code gives the mean, distribution function, density, quantiles and draws of every return model.

Weights of a linear method may be slightly negative and need not sum to one; ``total`` says what they sum to, means are
ratios, and quantiles are those of the running maximum of the distribution function.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

GRID = 513
"""Nodes of the table that quantiles of blurred laws are read from."""


@dataclass(frozen=True)
class ReturnLaw:
    """Laws of any batch shape (...).

    Args:
        points: c (..., M), broadcastable against the weights.
        weights: w (..., M).
        bandwidth: h, in the unit of the points; 0 for atoms.
    """

    points: Tensor
    weights: Tensor
    bandwidth: float = 0.0

    @property
    def total(self) -> Tensor:
        """Σ w (...): one, up to the error of a method that does not force it."""
        return self.weights.sum(-1)

    @property
    def mean(self) -> Tensor:
        """Σ wc / Σ w (...)."""
        return (self.weights * self.points).sum(-1) / self.total

    def moved(self, scale: float, shift: float) -> ReturnLaw:
        """The laws of ``scale`` · X + ``shift``."""
        return replace(self, points=self.points * scale + shift, bandwidth=self.bandwidth * abs(scale))

    def chosen(self, action: Tensor) -> ReturnLaw:
        """Of laws (R, B, A), those of ``action`` (R, B): laws (R, B)."""
        points = self.points.expand(*self.weights.shape)
        return replace(self, points=of_action(points, action), weights=of_action(self.weights, action))

    def cdf(self, x: Tensor) -> Tensor:
        """P(X ≤ x) (..., G), of the weights divided by their sum, at ``x`` (G,)."""
        weights = self.weights / self.total.unsqueeze(-1)
        distance = x.to(weights) - self.points.unsqueeze(-1)
        below = torch.special.ndtr(distance / self.bandwidth) if self.bandwidth else (distance >= 0).to(weights)
        return (weights.unsqueeze(-2) @ below).squeeze(-2)

    def density(self, x: Tensor, bandwidth: float = 0.0) -> Tensor:
        """The density (..., G) at ``x`` (G,), blurred by ``bandwidth`` more.

        Raises:
            ValueError: for atoms without a bandwidth.
        """
        return _gaussian(self._distances(x), self._blur(bandwidth), self.weights / self.total.unsqueeze(-1))

    def density_gradient(self, x: Tensor, bandwidth: float = 0.0) -> Tensor:
        """Its derivative (..., G); see ``density``."""
        blur, distance = self._blur(bandwidth), self._distances(x)
        slope = (-distance / blur**2) * torch.exp(-0.5 * (distance / blur) ** 2) / (blur * math.sqrt(2 * math.pi))
        weights = self.weights / self.total.unsqueeze(-1)
        return (weights.unsqueeze(-2) @ slope).squeeze(-2)

    def quantiles(self, levels: Tensor) -> Tensor:
        """F⁻¹ (..., L) at ``levels`` (L,) in (0, 1)."""
        return self._inverse(levels.to(self.weights).expand(*self.weights.shape[:-1], -1))

    def sample(self, uniforms: Tensor) -> Tensor:
        """F⁻¹(u) (..., n): draws, from uniform draws u (..., n)."""
        return self._inverse(uniforms)

    def lower_tail(self, share: float, levels: int = 32) -> Tensor:
        """The mean (...) of the worst ``share`` of the law, its conditional value at risk; 1 gives the mean."""
        if share >= 1:
            return self.mean
        at = share * (torch.arange(levels, dtype=torch.float64, device=self.weights.device) + 0.5) / levels
        return self.quantiles(at).mean(-1)

    def _inverse(self, u: Tensor) -> Tensor:
        if not self.bandwidth:
            points, order = self.points.expand(*self.weights.shape).sort(-1)
            below = (self.weights / self.total.unsqueeze(-1)).gather(-1, order).cumsum(-1).cummax(-1).values
            index = torch.searchsorted(below.contiguous(), u.contiguous()).clamp_(max=points.shape[-1] - 1)
            return points.gather(-1, index)
        low = float(self.points.min()) - 4 * self.bandwidth
        high = float(self.points.max()) + 4 * self.bandwidth
        x = torch.linspace(low, high, GRID, dtype=self.weights.dtype, device=self.weights.device)
        below = self.cdf(x).cummax(-1).values.contiguous()
        index = torch.searchsorted(below, u.contiguous()).clamp_(1, GRID - 1)
        left, right = below.gather(-1, index - 1), below.gather(-1, index)
        step = (high - low) / (GRID - 1)
        share = ((u - left) / (right - left).clamp(min=1e-12)).clamp(0, 1)
        return x[index - 1] + share * step

    def _distances(self, x: Tensor) -> Tensor:
        return x.to(self.weights) - self.points.unsqueeze(-1)

    def _blur(self, bandwidth: float) -> float:
        blur = math.hypot(self.bandwidth, bandwidth)
        if not blur > 0:
            raise ValueError("these laws are atoms, which have no density; expected a positive bandwidth to blur them")
        return blur


def _gaussian(distance: Tensor, blur: float, weights: Tensor) -> Tensor:
    bell = torch.exp(-0.5 * (distance / blur) ** 2) / (blur * math.sqrt(2 * math.pi))
    return (weights.unsqueeze(-2) @ bell).squeeze(-2)


def of_action(values: Tensor, action: Tensor) -> Tensor:
    """Of (R, B, A, K), what belongs to ``action`` (R, B): (R, B, K)."""
    index = action[..., None, None].expand(*action.shape, 1, values.shape[-1])
    return values.gather(-2, index).squeeze(-2)
