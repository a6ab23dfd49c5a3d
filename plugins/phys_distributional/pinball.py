r"""The quantile Huber loss, of N quantiles θ_i at levels τ_i against N' samples y_j.

    Σ_i 1/N' Σ_j |τ_i − 1{u < 0}| L_κ(u) / κ,    u = y_j − θ_i,    L_κ(u) = u²/2  for |u| ≤ κ,  κ(|u| − κ/2)  beyond,

whose limit κ → 0 is the pinball loss Σ_i 1/N' Σ_j (τ_i − 1{u < 0}) u of quantile regression.

Once the samples are sorted, the inner sum is a polynomial in θ_i whose coefficients are sums of y_j and y_j² over those
between θ_i − κ, θ_i and θ_i + κ: differences of cumulated sums. That is N + N' numbers for each law instead of NN',
with the same value and the same gradient.

Source: Dabney et al. 2018 (arXiv:1710.10044), Eq. 8-10; divided by κ as in arXiv:1806.06923, Sec. 2.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def quantile_huber(quantiles: Tensor, levels: Tensor, samples: Tensor, kappa: float) -> Tensor:
    """The loss (...); no gradient goes to the samples.

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
