"""Kernelised Stein discrepancy: goodness of fit from the score of the target alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from phys_samplers.errors import ConfigurationError
from phys_samplers.metric import Metric
from phys_samplers.metrics.pairwise import blocks, distances
from phys_samplers.metrics.rows import row_batches, rows

if TYPE_CHECKING:
    from phys_samplers.sampler import Model
    from phys_samplers.target import Target


@dataclass(frozen=True, kw_only=True)
class KSD(Metric):
    """KSD² as a U-statistic, the mean over i ≠ j of the Stein kernel: unbiased, so it can be negative. No root.

    With the inverse multiquadric k = (c² + |x − y|²)^β, s = ∇ log p, d = x − y and u = c² + |d|² the Stein kernel is

        u^β s(x)·s(y) + 2β u^{β−1} (s(y) − s(x))·d − 2βD u^{β−1} − 4β(β−1) |d|² u^{β−2}.

    It asks the target only for its score (the reference is not used) and, like every local score criterion, hardly
    sees wrong weights of modes that are far apart.

    Args:
        c: length of the kernel, in the units of the samples.
        beta: exponent in (−1, 0), for which the discrepancy controls convergence (Gorham and Mackey, Theorem 8).

    Source: Q. Liu, J. Lee and M. Jordan (ICML 2016), Eq. 14; J. Gorham and L. Mackey, Measuring Sample Quality with
    Kernels (ICML 2017).
    """

    best: ClassVar = "zero"
    needs: ClassVar[frozenset[str]] = frozenset({"score"})

    c: float = 1.0
    beta: float = -0.5

    def __post_init__(self) -> None:
        if not self.c > 0 or not -1 < self.beta < 0:
            raise ConfigurationError(f"ksd: c is {self.c} and beta {self.beta}; expected c > 0 and -1 < beta < 0")

    def __call__(
        self,
        samples: Tensor,
        reference: Tensor,
        *,
        target: Target,
        generator: torch.Generator,
        model: Model | None = None,
    ) -> float:
        """KSD² of ``samples`` (n, *event_shape).

        Raises:
            ConfigurationError: if the score is not finite at some sample.
        """
        target.require(*self.needs, by="ksd")
        x, _ = rows(samples, reference, by="ksd", at_least=2)
        # The law is asked in the rows' own precision (its parameters may have it); all that follows is float64.
        score = torch.cat([target.score(some).detach() for some in row_batches(samples)]).to(x.device)
        s = score.double().flatten(1)
        if not torch.isfinite(s).all():
            bad = int((~torch.isfinite(s)).any(1).sum())
            raise ConfigurationError(
                f"ksd: the score of target {target.name!r} is not finite at {bad} of {len(s)} samples; "
                "they are off its support"
            )
        x = x - x.mean(0)  # d does not change; x·s loses fewer digits
        dot = (x * s).sum(1)
        total = x.new_zeros(())
        for some in blocks(len(x), len(x)):
            kernel = self._stein(x, s, dot, some)
            index = torch.arange(some.start, some.stop, device=x.device)
            total = total + kernel.sum() - kernel[index - some.start, index].sum()
        return float(total / (len(x) * (len(x) - 1)))

    def _stein(self, x: Tensor, s: Tensor, dot: Tensor, some: slice) -> Tensor:
        """Stein kernel (b, n) of the rows ``some`` against all; ``dot`` = x·s(x) (n,)."""
        beta = self.beta
        squared = distances(x[some], x).square()
        u = squared + self.c**2
        score_d = x[some] @ s.T - dot - dot[some, None] + s[some] @ x.T  # (s(y) − s(x))·d
        power = u.pow(beta - 1)
        smooth = 2 * beta * (score_d - x.shape[1]) - 4 * beta * (beta - 1) * squared / u
        return power * (u * (s[some] @ s.T) + smooth)
