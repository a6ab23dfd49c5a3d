r"""Exact fields of finitely many rows: what the networks of this family are trained towards, without a network.

The rows are point charges of equal size. With D augmented dimensions, r = σ√D and m(x, r) the mean of the rows weighted
by (|x − y|² + r²)^{−(N+D)/2}, the field is E(x, r) ∝ (x − m, r), so that lines of force are dx/dr = (x − m)/r: the
flow of the denoiser m. D = 1 is PFGM, D = None (infinitely many) the Gaussian kernel of EDM.

>>> flow = empirical_flow(rows, aux_dim=1.0, schedule=GeometricSchedule())
>>> x = flow.prior(100, generator)
>>> integrate(flow, x, integrator=Heun(), grid=uniform(*flow.times, 60))  # ends at rows
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from phys_electrostatic.flow import check_aux_dim, student
from phys_electrostatic.passage import perturb
from phys_electrostatic.pfgm import charge_centre
from phys_samplers.denoisers.denoiser import DenoisingFlow
from phys_samplers.denoisers.reverse import ProbabilityFlow
from phys_samplers.schedules.base import NoiseSchedule


def poisson_field(x: Tensor, z: Tensor, rows: Tensor) -> Tensor:
    """The Poisson field in N + 1 dimensions, of total charge 1 in the plane z = 0 (arXiv:2209.11178, Eq. 4; 7.4).

        E = 1/S_N(1) · mean_i (x − x_i, z)/(|x − x_i|² + z²)^{(N+1)/2},    S_N(1) = 2π^{(N+1)/2}/Γ((N+1)/2)

    Args:
        x: points (B, N).
        z: heights (B,).
        rows: charges (M, N).
    """
    power = 0.5 * (x.shape[1] + 1)
    steps = torch.cat((x.unsqueeze(1) - rows, z.view(-1, 1, 1).expand(-1, len(rows), 1)), -1)
    field = (steps / steps.square().sum(-1, keepdim=True).pow(power)).mean(1)
    return field * (0.5 * math.exp(math.lgamma(power) - power * math.log(math.pi)))


@dataclass(frozen=True, eq=False)
class EmpiricalDenoiser:
    """m(x, σ), the posterior mean of the rows given x under the kernel of D augmented dimensions.

    Args:
        rows: (M, N).
        aux_dim: D; None is the limit of infinitely many.

    Raises:
        ConfigurationError: if D is not positive.
    """

    rows: Tensor
    aux_dim: float | None = None

    def __post_init__(self) -> None:
        check_aux_dim(self.aux_dim)

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        """(B, N), σ = r/√D → (B, N)."""
        level = torch.full((len(x),), sigma, dtype=x.dtype, device=x.device)
        return charge_centre(x, level, self.rows, self.aux_dim)

    def prior(self, n: int, generator: torch.Generator, sigma: float) -> Tensor:
        """The kernel around the mean of the rows, as wide as the rows and noise of level σ together: (n, N)."""
        spread = math.sqrt(float(self.rows.var(0, correction=0).mean()) + sigma**2)
        around = student(n, self.rows.shape[1], spread, self.aux_dim, generator, dtype=self.rows.dtype)
        return around.add_(self.rows.mean(0))


def empirical_flow(
    rows: Tensor, *, aux_dim: float | None, schedule: NoiseSchedule, by_denoising: bool = False
) -> ProbabilityFlow | DenoisingFlow:
    """The exact flow, from the schedule's largest level downwards.

    Args:
        rows: (M, N).
        aux_dim: D; 1 is PFGM, None diffusion.
        schedule: levels σ = r/√D, in the units of the rows.
        by_denoising: for integrators of denoising dynamics, with σ as the time, instead of ODE integrators.
    """
    denoiser = EmpiricalDenoiser(rows, aux_dim)
    top = schedule.ratio(schedule.start)

    def prior(n: int, generator: torch.Generator) -> Tensor:
        return denoiser.prior(n, generator, top)

    if by_denoising:
        kernel = None if aux_dim is None else partial(perturb, aux_dim=aux_dim)
        return DenoisingFlow(denoiser, prior, rows.shape[1], start=top, perturb=kernel)
    return ProbabilityFlow(denoiser, prior, rows.shape[1], schedule=schedule)
