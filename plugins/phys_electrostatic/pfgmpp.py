r"""PFGM++: an electric field in N + D dimensions, of which only the norm r of the D augmented ones is followed.

    dx/dr = E_x/E_r,        E(x, r) ∝ ∫ (x − y, r) (|x − y|² + r²)^{−(N+D)/2} p(y) dy

(Xu et al. 2023, arXiv:2302.04265, Eq. 2; Eq. 8.2 of the thesis). E_x/E_r = (x − D)/r with D(x, r) the posterior mean
of y under the kernel of ``flow``; at r = σ√D this is dx/dσ = (x − D)/σ, the ODE of EDM, so that schedules and
integrators serve both (Alg. 14). The thesis writes the learned field in App. B.6.2 as (D − x)/σ ≈ √D E_x/E_r, and
Theorem 8 has −√D E_x/E_r against σ ∇log p: the field points away from the data, √D E_x/E_r = (x − D)/σ → −σ ∇log p.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

from torch import Tensor, nn

from phys_electrostatic.flow import PoissonFlowModel, log_kernel, point_level, widening
from phys_samplers.denoisers.denoiser import Denoiser, DenoisingLoss
from phys_samplers.denoisers.sampler import DenoiserModel, DenoiserSampler
from phys_samplers.errors import ConfigurationError
from phys_samplers.fields.stacked import Field
from phys_samplers.objective import Loss
from phys_samplers.options import Part, fit_option
from phys_samplers.randomness import Streams
from phys_samplers.standardise import Standardiser


class PoissonDenoiser(Denoiser):
    """A stacked denoiser preconditioned at the level σ_x of each point; see ``Denoiser`` for the arguments.

    The network sees x/√(1 + σ_x²), which stays of order √N where x/√(1 + σ²) has the tails of the noise (no mean for
    D = 1), and the loss weighs the point by 1/c_out²(σ_x): any positive weight of x and σ leaves the minimiser alone.

    Args:
        aux_dim: number D of augmented dimensions.
    """

    def __init__(self, field: Field, dim: int, *, streams: Streams, aux_dim: float, **options: Any) -> None:
        super().__init__(field, dim, streams=streams, **options)
        self.aux_dim = aux_dim

    def point_level(self, x: Tensor, sigma: Tensor) -> Tensor:
        """See ``flow.point_level``."""
        return point_level(x, sigma, self.aux_dim)


@dataclass(frozen=True, kw_only=True)
class PoissonDenoisingLoss(DenoisingLoss):
    """E w(σ) |D(x, σ) − y|² for x = y + R u from the kernel at r = σ√aux_dim (arXiv:2302.04265, Eq. 4).

    Eq. 8.4 of the thesis regresses on (x − y)/(r/√D) = (x − y)/σ; in terms of the denoiser D(x, σ) = x − σ f that is
    EDM's loss at the level σ = r/√D with another noise (its Alg. 12).

    Its minimiser is the posterior mean under that kernel, and (x − D)/σ = √aux_dim E_x/E_r is the direction of the
    field. Stable targets weigh the rows by the same kernel (App. B.6.3 of the thesis).

    Args:
        aux_dim: number D of augmented dimensions, any positive number; None takes the sampler's, and is the limit of
            infinitely many, EDM's loss, where there is no sampler.
    """

    aux_dim: float | None = fit_option(None, above=0)

    def perturb(self, rows: Tensor, sigma: Tensor, streams: Streams) -> Tensor:
        """y + R u, (R, B, D)."""
        noise = streams.normal(*rows.shape[1:], dtype=rows.dtype)
        # One row of factors where one stream serves all replicas, as in validation.
        wide = widening(streams, rows.shape[1], self.aux_dim).to(rows.dtype)
        return rows.addcmul(noise, (sigma * wide).unsqueeze(-1))

    def log_kernel(self, squared: Tensor, sigma: Tensor, dim: int) -> Tensor:
        """See ``flow.log_kernel``."""
        return log_kernel(squared, sigma, dim, self.aux_dim)


@dataclass(frozen=True, kw_only=True)
class PFGMpp(DenoiserSampler):
    """Xu et al. 2023 (arXiv:2302.04265): EDM with the kernel of D augmented dimensions in place of the Gaussian.

    Levels are given as σ = r/√D, so that what was tuned for EDM carries over. See ``DenoiserSampler`` for the other
    options; only ODE integrators and denoising schemes without noise follow the field.

    Args:
        aux_dim: D, any positive number: heavier tails the smaller it is. None is the limit of infinitely many, EDM.
            On validation rows of four tasks in one and two dimensions, W2 over its floor is 1.07 to 1.08 on average for
            every D from 8 to 2048, no more apart than its noise, 1.10 for 2 and 1.06 for None.
    """

    trained_by: ClassVar[type[Loss]] = DenoisingLoss
    takes_conditions: ClassVar[bool] = True

    loss: Part = "poisson-denoising"
    aux_dim: float | None = fit_option(128.0, above=0)

    def training_loss(self) -> Loss:
        """The loss with this recipe's D.

        Raises:
            ConfigurationError: if it has another D, or none.
        """
        loss = super().training_loss()
        if not isinstance(loss, PoissonDenoisingLoss):
            if self.aux_dim is None:
                return loss
            raise ConfigurationError(
                f"loss is {self.loss!r}, whose noise is not that of {self.aux_dim:g} augmented dimensions; expected "
                "'poisson-denoising', or aux_dim=None with a Gaussian one"
            )
        if loss.aux_dim not in (None, self.aux_dim):
            raise ConfigurationError(
                f"aux_dim is {self.aux_dim} and that of the loss {loss.aux_dim:g}; leave out the one of the loss"
            )
        return replace(loss, aux_dim=self.aux_dim)

    def denoiser_given(self, dim: int, streams: Streams, code_width: int) -> nn.Module:
        """The stacked network, preconditioned for heavy tails."""
        if self.aux_dim is None:
            return super().denoiser_given(dim, streams, code_width)
        return PoissonDenoiser(
            self.field_part(),
            dim,
            streams=streams,
            aux_dim=self.aux_dim,
            parametrisation=self.parametrisation,
            code_width=code_width,
        )

    def model(
        self, module: nn.Module, standardiser: Standardiser, bounds: Tensor, event_shape: tuple[int, ...]
    ) -> DenoiserModel:
        """The fitted model."""
        kind = DenoiserModel if self.aux_dim is None else PoissonFlowModel
        return kind(self, module, standardiser, bounds, event_shape)
