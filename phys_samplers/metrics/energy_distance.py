"""Energy distance between two sets of samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from phys_samplers.metric import Metric
from phys_samplers.metrics.pairwise import mean_across, mean_within
from phys_samplers.metrics.rows import rows

if TYPE_CHECKING:
    from phys_samplers.sampler import Model
    from phys_samplers.target import Target


@dataclass(frozen=True, kw_only=True)
class EnergyDistance(Metric):
    """2 E|X − Y| − E|X − X'| − E|Y − Y'|, means over distinct pairs: unbiased, so it can be negative. No root.

    Source: G. Székely and M. Rizzo, Energy statistics (J. Stat. Plan. Inference 143, 2013).
    """

    best: ClassVar = "zero"

    def __call__(
        self,
        samples: Tensor,
        reference: Tensor,
        *,
        target: Target,
        generator: torch.Generator,
        model: Model | None = None,
    ) -> float:
        """The energy distance, in the units of the samples."""
        x, y = rows(samples, reference, by="energy-distance", at_least=2)

        def identity(distance: Tensor) -> Tensor:
            return distance

        return float(2 * mean_across(identity, x, y) - mean_within(identity, x) - mean_within(identity, y))
