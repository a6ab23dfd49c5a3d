r"""A target's density on flat coordinates z ∈ R^K: those of x itself, or of the linear subspace that the law lives in.

A law on a subspace (n particles whose centre of mass stays at the origin, say) names it by orthonormal rows
``subspace`` S (K, D), and x = Sᵀz. The map is an isometry, so that standard normal noise in z is standard normal noise
within the subspace, densities need no Jacobian, and ∇_z log p = S ∇_x log p. A sampler that works in z respects the
subspace without knowing of it.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from phys_samplers.target import Target

LogDensity = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Unnormalised log-density (B,) and its gradient (B, D) at x (B, D)."""


class FlatDensity:
    """The density of a target on flat coordinates, with its calls counted.

    Args:
        target: with ``log_prob`` and ``score``.

    Attributes:
        dim: number of flat coordinates K.
        evaluations: gradient calls per chain so far.
    """

    def __init__(self, target: Target) -> None:
        self.target = target
        self.evaluations = 0
        self._subspace = target.subspace
        self.dim = target.dim if self._subspace is None else len(self._subspace)

    def embed(self, z: Tensor) -> Tensor:
        """x (B, *event_shape) of z (B, K)."""
        flat = z if self._subspace is None else z @ self._subspace.to(z)
        return flat.unflatten(1, self.target.event_shape)

    def reduce(self, x: Tensor) -> Tensor:
        """z (B, K) of x (B, *event_shape), orthogonally projected onto the subspace."""
        flat = x.flatten(1)
        return flat if self._subspace is None else flat @ self._subspace.to(flat).T

    def log_prob(self, z: Tensor) -> Tensor:
        """log p (B,), unnormalised."""
        return self.target.log_prob(self.embed(z))

    def score(self, z: Tensor) -> Tensor:
        """∇_z log p (B, K)."""
        self.evaluations += 1
        return self.reduce(self.target.score(self.embed(z)))

    def log_prob_and_score(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """log p (B,) and its gradient (B, K), counted as one evaluation."""
        self.evaluations += 1
        log_prob, score = self.target.log_prob_and_score(self.embed(z))
        return log_prob, self.reduce(score)
