"""Entropic optimal transport, run until its marginals hold."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from phys_samplers.errors import ConfigurationError
from phys_samplers.metric import Metric
from phys_samplers.metrics.pairwise import distances
from phys_samplers.metrics.rows import rows

if TYPE_CHECKING:
    from phys_samplers.sampler import Model
    from phys_samplers.target import Target

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Sinkhorn(Metric):
    """⟨P, C⟩^½ for squared Euclidean costs C and the plan P that minimises ⟨P, C⟩ − ε H(P), with equal weights.

    ε = ``regularisation`` × median of C, so the score scales with the samples. It is an upper bound of W₂, tends to
    it as the regularisation shrinks, and is *not* debiased: it is well above zero for two equal sets. Compare with
    the floor only.

    Args:
        regularisation: ε as a multiple of the median squared distance between samples and reference.
        tolerance: largest total violation Σ|P1 − a| + Σ|Pᵀ1 − b| of the marginals accepted as converged.
        max_iterations: of the Sinkhorn fixed point.

    Source: M. Cuturi, Sinkhorn Distances (NeurIPS 2013); R. Flamary et al., POT (JMLR 22:78, 2021).
    """

    best: ClassVar = "low"

    regularisation: float = 0.05
    tolerance: float = 1e-6
    max_iterations: int = 10_000

    def __post_init__(self) -> None:
        for name in ("regularisation", "tolerance", "max_iterations"):
            if not getattr(self, name) > 0:
                raise ConfigurationError(f"sinkhorn: {name} is {getattr(self, name)}; expected a positive number")

    def __call__(
        self,
        samples: Tensor,
        reference: Tensor,
        *,
        target: Target,
        generator: torch.Generator,
        model: Model | None = None,
    ) -> float:
        """The entropic distance, in the units of the samples.

        Raises:
            ConfigurationError: if the marginals do not hold to ``tolerance`` after ``max_iterations``.
        """
        x, y = rows(samples, reference, by="sinkhorn")
        costs: Array = distances(x, y).square().cpu().numpy()
        median = float(np.median(costs))
        if median == 0.0:
            raise ConfigurationError(
                "sinkhorn: the median squared distance between samples and reference is 0, so there is no scale for "
                "the regularisation; use w2"
            )
        epsilon = self.regularisation * median
        # The kernel form is a hundred times faster than the log form, but underflows for small regularisations.
        plan, violation = self._plan("sinkhorn", costs, epsilon)
        if not violation <= self.tolerance:
            plan, violation = self._plan("sinkhorn_log", costs, epsilon)
        if not violation <= self.tolerance:
            raise ConfigurationError(
                f"sinkhorn: marginals are off by {violation:.1e} after {self.max_iterations} iterations, tolerance "
                f"{self.tolerance:.1e}; raise max_iterations or regularisation (now {self.regularisation})"
            )
        return float((plan * costs).sum() ** 0.5)

    def _plan(self, method: str, costs: Array, epsilon: float) -> tuple[Array, float]:
        import ot

        n, m = costs.shape
        options: dict[str, Any] = {"method": method, "numItermax": self.max_iterations, "warn": False}
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")  # numerical trouble shows in the marginals, checked here
            # POT stops on the 2-norm of one marginal's error; the 1-norm is at most √max(n, m) times that.
            stop = self.tolerance / (2 * max(n, m) ** 0.5)
            plan = ot.sinkhorn([], [], costs, epsilon, stopThr=stop, **options)
        violation = np.abs(plan.sum(1) - 1 / n).sum() + np.abs(plan.sum(0) - 1 / m).sum()
        return plan, float(violation)
