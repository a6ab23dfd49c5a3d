r"""The laws between a Gaussian reference and a target: π_β ∝ r^{1−β} p^β, with r = N(0, s² I) normalised."""

from __future__ import annotations

import math

from torch import Tensor

from phys_samplers.density import FlatDensity


def reference_log_prob(z: Tensor, std: float) -> Tensor:
    """log N(z; 0, std² I) (...,) at z (..., D)."""
    return -0.5 * z.square().sum(-1) / std**2 - z.shape[-1] * math.log(std * math.sqrt(2 * math.pi))


class Tempered:
    """log π_β and its gradient, with a β > 0 for every row; keeps what p was at the points last asked about.

    Args:
        source: p.
        betas: β (B,).
        std: s.

    Attributes:
        log_prob: log p (B,) at the last points.
        score: ∇log p (B, D) there.
    """

    log_prob: Tensor
    score: Tensor

    def __init__(self, source: FlatDensity, betas: Tensor, *, std: float) -> None:
        self._source, self._betas, self._std = source, betas, std

    def __call__(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """At new points z (B, D): one evaluation."""
        self.log_prob, self.score = self._source.log_prob_and_score(z)
        return self.mixed(z, self.log_prob, self.score)

    def mixed(self, z: Tensor, log_prob: Tensor, score: Tensor) -> tuple[Tensor, Tensor]:
        """Where log p and its gradient are known."""
        beta = self._betas.unsqueeze(1)
        return (
            self._betas * log_prob + (1 - self._betas) * reference_log_prob(z, self._std),
            beta * score - ((1 - beta) / self._std**2) * z,
        )
