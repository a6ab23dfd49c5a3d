r"""EDM's preconditioning for heavy-tailed noise: every point has a noise level of its own.

Student noise is Gaussian noise of a random scale, σ² w with w = D/χ²_D. A point x says something about its own w: for
standardised data (variance 1 a coordinate) the conditional mean of 1/w gives the level

    σ_x² = σ² (D + |x|²/(1 + σ²))/(D + N),

σ itself for D → ∞. The network sees x/√(1 + σ_x²), which stays of order √N where x/√(1 + σ²) has the tails of the noise
(no mean for D = 1), and the loss weighs the point by 1/c_out²(σ_x): any positive weight of x and σ leaves the minimiser
alone. The sources (App. C.2 of arXiv:2302.04265) use σ; for D ≥ 128 the difference is small.
"""

from __future__ import annotations

from torch import Tensor

from phys_samplers.fields import Denoiser
from phys_samplers.fields.denoiser import Parametrisation
from phys_samplers.fields.mlp import Field
from phys_samplers.randomness import Streams


def point_level(x: Tensor, sigma: Tensor, aux_dim: float) -> Tensor:
    """σ_x of points x (R, B, N) at levels σ (R, B) or (R, 1): (R, B)."""
    variance = sigma.square()
    radius = x.square().sum(-1) / (variance + 1)
    return (variance * (radius + aux_dim) / (aux_dim + x.shape[-1])).sqrt()


class PoissonDenoiser(Denoiser):
    """A stacked denoiser preconditioned at the level of each point; see ``Denoiser`` for the arguments.

    Args:
        aux_dim: number D of augmented dimensions.
    """

    def __init__(
        self, field: Field, dim: int, *, streams: Streams, aux_dim: float, parametrisation: Parametrisation = "edm"
    ) -> None:
        super().__init__(field, dim, streams=streams, parametrisation=parametrisation)
        self.aux_dim = aux_dim

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        """D(x, σ): (R, B, N), (R, B) or (R, 1) → (R, B, N)."""
        return super().forward(x, point_level(x, sigma, self.aux_dim))

    def point_weight(self, x: Tensor, sigma: Tensor) -> Tensor:
        """1/c_out² at the level of each point (R, B)."""
        return self.loss_weight(point_level(x, sigma, self.aux_dim))
