r"""PFGM++ as a model of returns: a point charge a return, in one dimension and D augmented ones.

The kernel at r = σ√D is y + σ t with t Student's law with D degrees of freedom (see ``kernel``), E_x/E_r follows from
the posterior mean D(x, σ) under it, and at r = σ√D the field's line is dx/dσ = (x − D(x, σ))/σ, EDM's, which EDM's
levels and steps serve. In one dimension the kernel's draws are quantiles of normal ones, t = T_D⁻¹(Φ(n)): a monotone
map, tabulated once, which turns stratified normal scores into stratified start points. D → ∞ is EDM, draw for draw.

Source: Xu et al. 2023 (arXiv:2302.04265), Sec. 3.2, 4.1 and App. C.2.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from scipy import special
from torch import Tensor

from phys_samplers.options import fit_option
from phys_samplers.randomness import Streams
from phys_samplers.rl.denoised import DenoisedReturns, FlowNetwork
from phys_samplers.rl.sampled import SPREAD

REACH, NODES = 5.5, 2049
"""The table's last normal score, beyond which one draw in 10⁷ lies, and its nodes."""


@dataclass(frozen=True, kw_only=True)
class PFGMppReturns(DenoisedReturns):
    """PFGM++ as a model of returns; see ``DenoisedReturns`` for the other options.

    Args:
        aux_dim: D, at least 1: heavier tails the smaller it is. None is the limit of infinitely many, EDM.
    """

    aux_dim: float | None = fit_option(32.0, above=0)

    def build(self, features: int, actions: int, *, streams: Streams) -> FlowNetwork:
        """See ``ReturnModel.build``."""
        if self.aux_dim is None:
            return FlowNetwork(self, features, actions, streams=streams)
        return PoissonNetwork(self, features, actions, streams=streams, aux_dim=self.aux_dim)


class PoissonNetwork(FlowNetwork):
    """A denoiser with Student noise; see ``SampledNetwork`` for the other arguments.

    Args:
        aux_dim: D.
    """

    table: Tensor

    def __init__(
        self, recipe: DenoisedReturns, features: int, actions: int, *, streams: Streams, aux_dim: float
    ) -> None:
        super().__init__(recipe, features, actions, streams=streams)
        self.aux_dim = aux_dim
        table = student_table(aux_dim).float().expand(streams.replicas, -1)
        self.register_buffer("table", table, persistent=False)

    def widened(self, scores: Tensor) -> Tensor:
        """t = T_D⁻¹(Φ(n)) of standard normal n."""
        return tabulated(self.table[0], scores)

    def point_level(self, u: Tensor, sigma: Tensor) -> Tensor:
        """σ_x² = σ² (D + u²/(σ² + s²))/(D + 1), the noise level that a point tells of; see ``preconditioning``."""
        square = sigma.square()
        radius = u.square() / (square + SPREAD**2)
        return (square * (radius + self.aux_dim) / (self.aux_dim + 1)).sqrt()


def student_table(aux_dim: float) -> Tensor:
    """T_D⁻¹(Φ(n)) (NODES,) at equidistant n from −REACH to REACH, in double precision."""
    below = torch.linspace(-REACH, 0, NODES // 2 + 1, dtype=torch.float64)
    lower = torch.from_numpy(special.stdtrit(aux_dim, special.ndtr(below.numpy())))
    lower[-1] = 0.0
    return torch.cat((lower, -lower[:-1].flip(0)))


def tabulated(table: Tensor, scores: Tensor) -> Tensor:
    """The table between its nodes, and held constant beyond them."""
    place = (scores.clamp(-REACH, REACH) + REACH) * ((NODES - 1) / (2 * REACH))
    left = place.long().clamp_(max=NODES - 2)
    return torch.lerp(table[left], table[left + 1], place - left)
