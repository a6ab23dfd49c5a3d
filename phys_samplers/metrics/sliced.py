"""Sliced Wasserstein distance: the mean over random directions of one-dimensional transport."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from phys_samplers.errors import ConfigurationError
from phys_samplers.metric import Metric
from phys_samplers.metrics.pairwise import blocks
from phys_samplers.metrics.rows import rows
from phys_samplers.metrics.transport_1d import line_cost

if TYPE_CHECKING:
    from phys_samplers.sampler import Model
    from phys_samplers.target import Target


@dataclass(frozen=True, kw_only=True)
class SlicedW2(Metric):
    """SW₂ = (mean over θ of W₂²(θᵀX, θᵀY))^½ with θ uniform on the unit sphere, drawn from the generator.

    At most W₂ / √D in expectation. In one dimension it is W₂.

    Args:
        projections: number of directions.

    Source: N. Bonneel et al., Sliced and Radon Wasserstein Barycenters of Measures (2015).
    """

    best: ClassVar = "low"

    projections: int = 128

    def __post_init__(self) -> None:
        if self.projections < 1:
            raise ConfigurationError(f"sliced-w2: projections is {self.projections}; expected at least 1")

    def __call__(
        self,
        samples: Tensor,
        reference: Tensor,
        *,
        target: Target,
        generator: torch.Generator,
        model: Model | None = None,
    ) -> float:
        """SW₂ of ``samples`` (n, *event_shape) and ``reference`` (m, *event_shape), in the units of the samples."""
        x, y = rows(samples, reference, by="sliced-w2")
        shape = (x.shape[1], self.projections)
        # Drawn where the generator lives: a CPU generator gives the same directions on every device.
        theta = torch.randn(shape, generator=generator, device=generator.device, dtype=torch.float64).to(x)
        theta = theta / theta.norm(dim=0)
        total = x.new_zeros(())
        for some in blocks(self.projections, len(x) + len(y)):
            total = total + line_cost(x @ theta[:, some], y @ theta[:, some], 2).sum()
        return float((total / self.projections).sqrt())
