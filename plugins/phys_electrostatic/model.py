"""The fitted model of both Poisson flows: DenoiserModel with a heavy-tailed prior, and with a field for a score."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from phys_electrostatic.kernel import student, student_log_prob
from phys_samplers.denoisers.model import DenoiserModel
from phys_samplers.denoisers.recipe import DenoiserSampler
from phys_samplers.dynamics import Dynamics
from phys_samplers.errors import IncompatibleError, MissingCapability
from phys_samplers.integrators import Integrator

if TYPE_CHECKING:
    from phys_electrostatic.pfgm import PFGM
    from phys_electrostatic.pfgmpp import PFGMpp


class PoissonFlowModel(DenoiserModel):
    """A trained Poisson flow of finite D; see ``DenoiserModel``."""

    recipe: PFGMpp | PFGM
    bound = 1e12  # starting points have heavy tails: D = 1 has one beyond 10⁹ in 10⁷ draws

    @property
    def aux_dim(self) -> float:
        """D."""
        assert self.recipe.aux_dim is not None
        return self.recipe.aux_dim

    def prior(self, n: int, generator: torch.Generator, ratio: float) -> Tensor:
        """The kernel at r = √D √(1 + λ²) around 0: right to order 1/λ², and EDM's prior for D → ∞.

        The sources have r = √D λ (Sec. 3.3 of arXiv:2209.11178, App. C.2 of arXiv:2302.04265); the 1 is the spread of
        the standardised data.
        """
        return student(n, self.dim, math.sqrt(1 + ratio**2), self.aux_dim, generator)

    def prior_log_prob(self, u: Tensor, ratio: float) -> Tensor:
        """log-density (B,) of ``prior`` at u (B, N), normalised; without the norm clipping of PFGM."""
        return student_log_prob(u, math.sqrt(1 + ratio**2), self.aux_dim)

    def dynamics(self, recipe: DenoiserSampler, integrator: Integrator) -> Dynamics:
        """The field's ODE.

        Raises:
            IncompatibleError: if ``integrator`` adds Gaussian noise.
        """
        if integrator.adds_noise:
            raise IncompatibleError(
                f"integrator {integrator.name!r} as given adds Gaussian noise, and only diffusion undoes that; this is "
                f"an electric field of {self.aux_dim:g} augmented dimensions, an ODE: use edm-heun without churn, ddim "
                "with eta=0, heun, rk4 or dopri5"
            )
        return super().dynamics(recipe, integrator)

    def score(self, x: Tensor, sigma: float | None = None) -> Tensor:
        """Not offered: the denoiser of this kernel does not give the score of a law.

        (D − x) p_r is the gradient of the *potential*, a multiple of the law blurred with the exponent of D − 2: the
        quotient is a score in the limit D → ∞ only.

        Raises:
            MissingCapability: always.
        """
        raise MissingCapability(
            f"a Poisson flow of {self.aux_dim:g} augmented dimensions has no score; use its fields(x, sigma), or train "
            "pfgmpp with aux_dim=None (diffusion)"
        )

    @torch.no_grad()
    def fields(self, x: Tensor, sigma: float | None = None) -> dict[str, Tensor]:
        """``f``, the normalised field √D E_x/E_r = (x − D)/σ at x (B, *event_shape), in standardised units.

        Args:
            x: points.
            sigma: the level r/√D in units of the standardised data; 1, its spread, by default.
        """
        level = 1.0 if sigma is None else sigma
        flat = self.standardiser.forward(x)
        field = (flat - self.denoise(flat, level)) / level
        return {"f": field.unflatten(1, self.event_shape)}
