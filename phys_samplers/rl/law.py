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

from phys_samplers.errors import ConfigurationError

GRID = 513
"""Nodes of the table that quantiles of blurred laws are read from."""
BLOCK = 2**23
"""Numbers in a table of Gaussians."""


LARGEST = 1e37
"""Of a return: twice as much is still a number in single precision."""


@dataclass(frozen=True)
class ReturnScale:
    """Returns between ``low`` and ``high`` as numbers between 0 and 1: y = (x − low)/(high − low).

    x = r + γx' becomes y = ρ + γy' with ρ = (r − (1 − γ) low)/(high − low), which also holds at a terminal step with
    γ = 0.

    Args:
        low: a return that is hardly ever fallen short of.
        high: one that is hardly ever exceeded.

    Raises:
        ConfigurationError: unless ``low`` < ``high``, and both are numbers in single precision.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        if not (-LARGEST < self.low < self.high < LARGEST):
            raise ConfigurationError(
                f"returns are to lie between {self.low} and {self.high}; expected two numbers, the lower first, that "
                f"single precision holds (below {LARGEST:g})"
            )

    @property
    def width(self) -> float:
        """high − low."""
        return self.high - self.low

    def reward(self, reward: Tensor, discount: Tensor) -> Tensor:
        """ρ of rewards r and discounts γ."""
        return (reward - (1 - discount) * self.low) / self.width

    def forward(self, x: Tensor) -> Tensor:
        """y of returns x."""
        return (x - self.low) / self.width

    def backward(self, y: Tensor) -> Tensor:
        """x of y."""
        return self.low + self.width * y


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
        distance = x.to(self.weights) - self.points.unsqueeze(-1)
        if not self.bandwidth:
            return self._sum((distance >= 0).to(self.weights))
        return self._sum(torch.special.ndtr(distance / self.bandwidth))

    def density(self, x: Tensor, bandwidth: float = 0.0) -> Tensor:
        """The density (..., G) at ``x`` (G,), blurred by ``bandwidth`` more.

        Raises:
            ValueError: for atoms without a bandwidth.
        """
        blur, distance = self._blur(bandwidth), x.to(self.weights) - self.points.unsqueeze(-1)
        return self._sum(torch.exp(-0.5 * (distance / blur) ** 2) / (blur * math.sqrt(2 * math.pi)))

    def density_gradient(self, x: Tensor, bandwidth: float = 0.0) -> Tensor:
        """Its derivative (..., G); see ``density``."""
        blur, distance = self._blur(bandwidth), x.to(self.weights) - self.points.unsqueeze(-1)
        slope = (-distance / blur**2) * torch.exp(-0.5 * (distance / blur) ** 2) / (blur * math.sqrt(2 * math.pi))
        return self._sum(slope)

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

    def _sum(self, values: Tensor) -> Tensor:
        """Σ_m w_m values_m (..., G) over Σ w, of values (..., M, G)."""
        return ((self.weights / self.total.unsqueeze(-1)).unsqueeze(-2) @ values).squeeze(-2)

    def _blur(self, bandwidth: float) -> float:
        blur = math.hypot(self.bandwidth, bandwidth)
        if not blur > 0:
            raise ValueError("these laws are atoms, which have no density; expected a positive bandwidth to blur them")
        return blur


def of_action(values: Tensor, action: Tensor) -> Tensor:
    """Of (R, B, A, K), what belongs to ``action`` (R, B): (R, B, K)."""
    index = action[..., None, None].expand(*action.shape, 1, values.shape[-1])
    return values.gather(-2, index).squeeze(-2)


def integrated_cdf(law: ReturnLaw, x: Tensor) -> Tensor:
    """H(x) = ∫_{−∞}^x F = E(x − X)⁺ = Σ_m w_m E(x − c_m − hZ)⁺ (Q, G) of laws (Q,) at increasing ``x`` (G,).

    Its increments are averages of F over the cells of a grid, which no atom slips through; its second differences are
    the weights of the projection of every atom onto its two neighbours on the grid that keeps mass and mean.
    """
    weights = (law.weights / law.total.unsqueeze(-1)).double()
    points = law.points.double()
    if not law.bandwidth:
        points, order = points.expand(weights.shape).sort(-1)
        sorted_weights = weights.gather(-1, order)
        below = torch.searchsorted(points.contiguous(), x.expand(len(weights), -1).contiguous(), right=True)
        nothing = torch.zeros_like(weights[:, :1])
        mass = torch.cat((nothing, sorted_weights.cumsum(-1)), -1).gather(-1, below)
        moment = torch.cat((nothing, (sorted_weights * points).cumsum(-1)), -1).gather(-1, below)
        return x * mass - moment
    if points.ndim > 1 and bool((points == points[:1]).all()):
        points = points[0]
    if points.ndim == 1:
        rows = max(1, BLOCK // len(x))
        blocks = zip(points.split(rows), weights.split(rows, -1), strict=True)
        return torch.stack([some @ _ramps(x - at.unsqueeze(1), law.bandwidth) for at, some in blocks]).sum(0)
    rows = max(1, BLOCK // (len(x) * points.shape[-1]))
    pairs = zip(points.expand(weights.shape).split(rows), weights.split(rows), strict=True)
    return torch.cat([(w.unsqueeze(1) @ _ramps(x - p.unsqueeze(-1), law.bandwidth)).squeeze(1) for p, w in pairs])


def _ramps(distance: Tensor, bandwidth: float) -> Tensor:
    """E(d − hZ)⁺ = dΦ(d/h) + hφ(d/h)."""
    scaled = distance / bandwidth
    bell = torch.exp(-0.5 * scaled.square()).mul_(bandwidth / math.sqrt(2 * math.pi))
    return torch.addcmul(bell, distance, torch.special.ndtr(scaled))


def projected(law: ReturnLaw, nodes: Tensor) -> ReturnLaw:
    """Laws (Q,) on equidistant ``nodes`` (K,); what lies outside moves to the ends. Mass becomes one."""
    height = integrated_cdf(law, nodes)
    slope = torch.diff(height - height[..., :1], dim=-1) / (nodes[1] - nodes[0])
    nothing = torch.zeros_like(slope[..., :1])
    weights = torch.diff(torch.cat((nothing, slope, nothing + 1), -1), dim=-1)
    return replace(law, points=nodes, weights=weights.clamp_(min=0), bandwidth=0.0)
