"""TVD-E: do the samples have the right energies?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from phys_samplers.metrics.histograms import HistogramTVD
from phys_samplers.metrics.rows import row_batches

if TYPE_CHECKING:
    from phys_samplers.target import Target


@dataclass(frozen=True, kw_only=True)
class EnergyTVD(HistogramTVD):
    """Total variation distance between histograms of the energy −log p of samples and of reference.

    The publications use 200 bins, over the reference's range or over (−100, 100); the preset ``fixed`` is the latter.
    See ``HistogramTVD`` for the arguments and for what lies outside.

    Source: J. He et al., Training Neural Samplers with Reverse Diffusive KL Divergence (2024); S. Yoon et al., Value
    Gradient Sampler, Appendix E.2.
    """

    name: ClassVar[str] = "tvd-e"
    value: ClassVar[str] = "energy"
    needs: ClassVar[frozenset[str]] = frozenset({"log_prob"})

    def values(self, x: Tensor, target: Target) -> Tensor:
        """−log p (n,)."""
        # The law is asked in the rows' own precision (its parameters may have it); all that follows is float64.
        with torch.no_grad():
            found = torch.cat([target.log_prob(some) for some in row_batches(x)])
        return -found.detach().cpu().double()
