"""The training loss of PFGM++ (Xu et al. 2023, arXiv:2302.04265, Eq. 4): denoising with the kernel of ``kernel``.

Eq. 8.4 of the thesis regresses on (x − y)/(r/√D) = (x − y)/σ; in terms of the denoiser D(x, σ) = x − σ f that is EDM's
loss at the level σ = r/√D with another noise (its Alg. 12).
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from phys_electrostatic.kernel import check_aux_dim, log_kernel, widening
from phys_electrostatic.preconditioning import PoissonDenoiser
from phys_samplers.losses import DenoisingLoss
from phys_samplers.randomness import Streams


@dataclass(frozen=True, kw_only=True)
class PoissonDenoisingLoss(DenoisingLoss):
    """E w(σ) |D(x, σ) − y|² for x = y + R u from the kernel of PFGM++ at r = σ√aux_dim.

    Its minimiser is the posterior mean under that kernel, and (x − D)/σ = √aux_dim E_x/E_r is the direction of the
    field. Stable targets weigh the rows by the same kernel (App. B.6.3 of the thesis).

    Args:
        aux_dim: number D of augmented dimensions, any positive number; None takes the sampler's, and is the limit of
            infinitely many, EDM's loss, where there is no sampler.
    """

    aux_dim: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_aux_dim(self.aux_dim)

    def __call__(self, module: nn.Module, rows: Tensor, streams: Streams) -> Tensor:
        """See ``Loss``; ``module`` is a ``PoissonDenoiser``, or a ``Denoiser``, whose weight knows σ alone."""
        if not isinstance(module, PoissonDenoiser):
            return super().__call__(module, rows, streams)
        sigma = self.sample_sigma(streams, rows.shape[1]).to(rows.dtype)
        noised = self.perturb(rows, sigma, streams)
        target = self._targets(noised, sigma, rows) if self.stable_target else rows
        error = (module(noised, sigma) - target).square().mean(-1)
        return (error * module.point_weight(noised, sigma)).mean(-1)

    def perturb(self, rows: Tensor, sigma: Tensor, streams: Streams) -> Tensor:
        """y + R u, (R, B, D)."""
        noise = streams.normal(*rows.shape[1:], dtype=rows.dtype)
        # One row of factors where one stream serves all replicas, as in validation.
        wide = widening(streams.generators, rows.shape[1], self.aux_dim).to(rows.dtype)
        return rows.addcmul(noise, (sigma * wide).unsqueeze(-1))

    def log_kernel(self, squared: Tensor, sigma: Tensor, dim: int) -> Tensor:
        """See ``kernel.log_kernel``."""
        return log_kernel(squared, sigma, dim, self.aux_dim)
