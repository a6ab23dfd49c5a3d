"""A metric."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from phys_samplers.metric import Metric
from phys_samplers.sampler import Model
from phys_samplers.target import Target


@dataclass(frozen=True, kw_only=True)
class MeanDistance(Metric):
    """|mean of the samples − mean of the reference|."""

    def __call__(
        self,
        samples: Tensor,
        reference: Tensor,
        *,
        target: Target,
        generator: torch.Generator,
        model: Model | None = None,
    ) -> float:
        """See ``Metric``."""
        return float((samples.mean(0) - reference.mean(0)).norm())
