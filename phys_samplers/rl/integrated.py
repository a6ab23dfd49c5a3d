r"""Integrated distribution functions of laws of returns, and projections onto grids that come from them.

    H(x) = ∫_{−∞}^x F = E(x − X)⁺ = Σ_m w_m E(x − c_m − hZ)⁺

Its increments are averages of F over the cells of a grid, which no atom slips through; its second differences are the
weights of the projection of every atom onto its two neighbours on the grid that keeps mass and mean.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from phys_samplers.rl.law import ReturnLaw

BLOCK = 2**23
"""Numbers in a table of Gaussians."""


def integrated_cdf(law: ReturnLaw, x: Tensor) -> Tensor:
    """H (Q, G) of laws (Q,) at increasing ``x`` (G,)."""
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
