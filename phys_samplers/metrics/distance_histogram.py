"""TVD-D: do the particles of the samples keep the right distances from each other?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from phys_samplers.metrics.histograms import HistogramTVD

if TYPE_CHECKING:
    from phys_samplers.target import Target


@dataclass(frozen=True, kw_only=True)
class DistanceTVD(HistogramTVD):
    """Total variation distance between histograms of the distances of all pairs of particles in all rows.

    Blind to where the system is and how it is turned, which a distance between raw coordinates mostly measures. The
    publications use 200 bins, over the reference's range or over (−100, 100). The latter, the preset ``fixed``, leaves
    a handful of bins of width 1 for all distances: read it beside the other. See ``HistogramTVD`` for the arguments.

    Source: J. He et al., Training Neural Samplers with Reverse Diffusive KL Divergence (2024); S. Yoon et al., Value
    Gradient Sampler, Appendix E.2.
    """

    name: ClassVar[str] = "tvd-d"
    value: ClassVar[str] = "distance"
    needs: ClassVar[frozenset[str]] = frozenset({"particles"})

    def values(self, x: Tensor, target: Target) -> Tensor:
        """The distances (n, pairs)."""
        assert target.particles is not None  # what the capability "particles" says
        return particle_distances(x.detach().cpu().double(), target.particles)


def particle_distances(x: Tensor, particles: tuple[int, int]) -> Tensor:
    """|x_i − x_j| (B, n(n − 1)/2) of the pairs i < j in the rows of ``x`` (B, *event_shape).

    Args:
        x: coordinates grouped by particle.
        particles: (n, m), number of particles and dimension of their space.
    """
    n, m = particles
    at = x.reshape(len(x), n, m)
    first, second = torch.triu_indices(n, n, 1, device=x.device)
    return (at[:, first] - at[:, second]).norm(dim=-1)
