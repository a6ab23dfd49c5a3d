r"""PFGM++: an electric field in N + D dimensions, of which only the norm r of the D augmented ones is followed.

    dx/dr = E_x/E_r,        E(x, r) ∝ ∫ (x − y, r) (|x − y|² + r²)^{−(N+D)/2} p(y) dy

(Xu et al. 2023, arXiv:2302.04265, Eq. 2; Eq. 8.2 of the thesis). E_x/E_r = (x − D)/r with D(x, r) the posterior mean
of y under the kernel of ``kernel``; at r = σ√D this is dx/dσ = (x − D)/σ, the ODE of EDM, so that schedules and
integrators serve both (Alg. 14). The thesis writes the learned field in App. B.6.2 as (D − x)/σ ≈ √D E_x/E_r, and
Theorem 8 has −√D E_x/E_r against σ ∇log p: the field points away from the data, √D E_x/E_r = (x − D)/σ → −σ ∇log p.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from phys_electrostatic.denoising import PoissonDenoisingLoss
from phys_electrostatic.kernel import check_aux_dim, widening
from phys_samplers.denoisers.model import DenoiserModel
from phys_samplers.denoisers.recipe import DenoiserSampler
from phys_samplers.dynamics import Dynamics
from phys_samplers.errors import ConfigurationError, IncompatibleError, MissingCapability
from phys_samplers.fields import Denoiser
from phys_samplers.integrators import Integrator
from phys_samplers.losses import Loss
from phys_samplers.parts import Part
from phys_samplers.standardise import Standardiser


@dataclass(frozen=True, kw_only=True)
class PFGMpp(DenoiserSampler):
    """Xu et al. 2023 (arXiv:2302.04265): EDM with the kernel of D augmented dimensions in place of the Gaussian.

    Levels are given as σ = r/√D, so that what was tuned for EDM carries over. See ``DenoiserSampler`` for the other
    options; only ODE integrators and denoising schemes without noise follow the field.

    Args:
        aux_dim: D, any positive number: heavier tails the smaller it is. None is the limit of infinitely many, EDM.
    """

    fixed: ClassVar[frozenset[str]] = DenoiserSampler.fixed | {"aux_dim"}

    loss: Part = "poisson-denoising"
    aux_dim: float | None = 128.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_aux_dim(self.aux_dim)

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

    def model(
        self, module: Denoiser, standardiser: Standardiser, bounds: Tensor, event_shape: tuple[int, ...]
    ) -> DenoiserModel:
        """The fitted model."""
        kind = DenoiserModel if self.aux_dim is None else PFGMppModel
        return kind(self, module, standardiser, bounds, event_shape)


class PFGMppModel(DenoiserModel):
    """A trained PFGM++ of finite D: the field instead of a score; see ``DenoiserModel``."""

    recipe: PFGMpp
    bound = math.inf  # starting points have heavy tails: being far away is no sign of divergence

    def prior(self, n: int, generator: torch.Generator, ratio: float) -> Tensor:
        """The kernel at r = √D √(1 + λ²) around 0: exact to order 1/λ², and EDM's prior for D → ∞.

        The source has r = √D λ (App. C.2); the 1 stands for the spread of the standardised data.
        """
        normal = torch.randn(n, self.dim, generator=generator, device=generator.device)
        wide = widening([generator], n, self.recipe.aux_dim).to(normal.dtype)
        return normal.mul_(wide.mul_(math.sqrt(1 + ratio**2)).T)

    def dynamics(self, recipe: DenoiserSampler, integrator: Integrator) -> Dynamics:
        """The field's ODE.

        Raises:
            IncompatibleError: if ``integrator`` adds noise, which is not part of the process.
        """
        noisy = getattr(integrator, "churn", 0.0) > 0 or getattr(integrator, "eta", 0.0) > 0
        if integrator.equation not in ("ode", "denoising") or noisy:
            raise IncompatibleError(
                f"integrator {integrator.name!r} adds Gaussian noise, which undoes diffusion only; PFGM++ with aux_dim "
                f"{self.recipe.aux_dim:g} is an ODE: use edm-heun without churn, ddim with eta=0, heun, rk4 or dopri5"
            )
        return super().dynamics(recipe, integrator)

    def score(self, x: Tensor, sigma: float | None = None) -> Tensor:
        """Not offered: the denoiser of this kernel does not give the score of a law.

        (D − x) p_r is the gradient of the *potential*, a multiple of the law blurred with D − 2 degrees of freedom:
        the ratio of two laws, a score in the limit D → ∞ only.

        Raises:
            MissingCapability: always.
        """
        raise MissingCapability(
            f"PFGM++ with aux_dim {self.recipe.aux_dim:g} has no score; use its fields(x, sigma), or train with "
            "aux_dim=None (diffusion)"
        )

    @torch.no_grad()
    def fields(self, x: Tensor, sigma: float | None = None) -> dict[str, Tensor]:
        """``f``, the normalised field √D E_x/E_r = (x − D)/σ at x (B, *event_shape), in standardised units.

        Args:
            x: points.
            sigma: the level r/√D, in standardised units; 1, the spread of the data, by default.
        """
        level = 1.0 if sigma is None else sigma
        flat = self.standardiser.forward(x)
        field = (flat - self.denoise(flat, level)) / level
        return {"f": field.unflatten(1, self.event_shape)}
