"""What a run along a path did, temperature by temperature, and the same stretched over another number of them."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

TINY = 1e-6
"""Least spread of a coordinate, and what is added to a covariance, relative to its diagonal."""


class Plan(NamedTuple):
    """β (T,), rising to 1, with log h (T,) and the spread (T, K) or (T, K, K) used for the moves that keep p_β."""

    betas: Tensor
    log_steps: Tensor
    spreads: Tensor

    def stretched(self, temperatures: int) -> Plan:
        """The same course in ``temperatures`` steps: between its own it is followed linearly."""
        steps = torch.arange(1, temperatures + 1, dtype=self.betas.dtype, device=self.betas.device)
        plan = self._at(steps * (len(self.betas) / temperatures))
        plan.betas[-1] = 1.0  # also where steps · (T/T') is not quite T
        return plan

    def on(self, betas: Tensor) -> Plan:
        """Step sizes and spreads for other temperatures (T',), in (0, 1]."""
        ends = torch.cat([torch.zeros_like(self.betas[:1]), self.betas])
        below = (torch.searchsorted(ends, betas.to(ends)) - 1).clamp(0, len(self.betas) - 1)
        position = below + (betas - ends[below]) / (ends[below + 1] - ends[below])
        return self._at(position)._replace(betas=betas.to(self.betas))

    def _at(self, position: Tensor) -> Plan:
        """Between row ⌊p⌋ and row ⌈p⌉, counted from one; row zero is β = 0."""
        below = position.floor().long().clamp(0, len(self.betas) - 1)
        part = (position - below).clamp(0, 1)

        def between(rows: Tensor, first: Tensor) -> Tensor:
            rows = torch.cat([first, rows])
            share = part.to(rows).view(-1, *[1] * (rows.ndim - 1))
            return torch.lerp(rows[below], rows[below + 1], share)

        return Plan(
            between(self.betas, torch.zeros_like(self.betas[:1])),
            between(self.log_steps, self.log_steps[:1]),
            between(self.spreads, self.spreads[:1]),
        )


def spread_of(x: Tensor, weights: Tensor, *, dense: bool) -> Tensor:
    """Standard deviations (K,) of weighted rows (n, K), or the Cholesky factor (K, K) of their covariance.

    The covariance is drawn towards its diagonal by the share K/(n + K).

    Args:
        x: rows.
        weights: normalised (n,).
        dense: whether correlations count.
    """
    weights = weights.to(x)
    centred = x - weights @ x
    if not dense:
        return (weights @ centred.square()).sqrt().clamp(min=TINY)
    n, dim = x.shape
    covariance = (centred * weights.unsqueeze(1)).T @ centred
    variances = covariance.diagonal().clamp(min=TINY**2)
    kept = n / (n + dim)
    return torch.linalg.cholesky(kept * covariance + torch.diag((1 - kept + TINY) * variances))
