r"""The training loss of PFGM: regression on the normalised field of a large batch (Xu et al. 2022, arXiv:2209.11178).

Rows x_i carry charges in the plane z = 0 of N + 1 dimensions; at (y, z) their field (Eq. 4; 7.4 of the thesis), scaled
to Ê_z = z, and the negative normalised field that is learned are

    Ê = (y − m, z),  m = Σ_i w_i x_i,  w_i ∝ (|y − x_i|² + z²)^{−(N+1)/2},        v = −√N Ê/(|Ê| + γ).

Points y = x + |ε_x| (1+τ)^m u, z = |ε_z| (1+τ)^m with ε ~ N(0, σ² I), m ~ U[0, M] and u uniform on the sphere (Eq. 5;
7.5): a direction of its own and the norm of a normal vector make a normal vector, so y = x + (1+τ)^m ε_x. The quotient
|ε_x|/|ε_z| does not depend on m: this is noise of the kernel of PFGM++ with D = 1, at almost log-uniform levels z.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from phys_electrostatic.kernel import log_kernel
from phys_samplers.errors import ConfigurationError
from phys_samplers.losses import Loss
from phys_samplers.randomness import Streams


def charge_centre(x: Tensor, level: Tensor, rows: Tensor, aux_dim: float | None = 1.0) -> Tensor:
    """m(x), the mean of the rows weighted by the kernel: (…, B, N), (…, B), (…, M, N) → (…, B, N)."""
    # Distances by matrix products would lose z² beside |x|².
    squared = torch.cdist(x, rows, compute_mode="donot_use_mm_for_euclid_dist").square_()
    return torch.softmax(log_kernel(squared, level.unsqueeze(-1), x.shape[-1], aux_dim), -1) @ rows


def normalised_field(displacement: Tensor, z: Tensor, gamma: float) -> Tensor:
    """v = −√N Ê/(|Ê| + γ) of Ê = (displacement, z): (…, N), (…) → (…, N + 1)."""
    field = torch.cat((displacement, z.unsqueeze(-1)), -1)
    norm = field.square().sum(-1, keepdim=True).sqrt()
    return field * (-math.sqrt(displacement.shape[-1]) / (norm + gamma))


@dataclass(frozen=True, kw_only=True)
class PoissonFieldLoss(Loss):
    """E |v_θ(y, z) − v_B(y, z)|² with the field v_B of the whole batch, at points perturbed from its first rows.

    Args:
        points: perturbed points, at most one a row: |B| of the source, where the batch is |B_L|.
        sigma: σ.
        tau: τ.
        power: M; None takes the one at which the mean z is the sampler's z_max (App. B.5.2: z_max = √(2/π) σ (1+τ)^M).
        gamma: γ, the length below which the field is not normalised; None takes the sampler's.
        restrict: share of M for points with |ε_z| < σ/2, which backward paths seldom visit (0.69 in the source).
    """

    points: int = 128
    sigma: float = 0.01
    tau: float = 0.03
    power: float | None = None
    gamma: float | None = None
    restrict: float = 1.0

    def __post_init__(self) -> None:
        for option in ("sigma", "tau", "power", "gamma"):
            value = getattr(self, option)
            if value is not None and not 0 < value < math.inf:
                raise ConfigurationError(f"{option} is {value!r}; expected a positive number")
        if isinstance(self.points, bool) or not isinstance(self.points, int) or self.points < 1:
            raise ConfigurationError(f"points is {self.points!r}; expected an integer of at least 1")
        if not 0 < self.restrict <= 1:
            raise ConfigurationError(f"restrict is {self.restrict!r}; expected a share of M, above 0 and at most 1")

    def __call__(self, module: nn.Module, rows: Tensor, streams: Streams) -> Tensor:
        """See ``Loss``; ``module`` has ``field(x, z)``, v at (R, B, N) and (R, B)."""
        x, z = self.perturb(rows[:, : self.points], streams)
        assert self.gamma is not None
        target = normalised_field(x - charge_centre(x, z, rows), z, self.gamma)
        return (module.field(x, z) - target).square().sum(-1).mean(-1)  # type: ignore[operator]

    def reaching(self, z_max: float) -> PoissonFieldLoss:
        """This loss with the M at which the mean of z reaches ``z_max``, unless it has an M of its own."""
        if self.power is not None:
            return self
        growth = math.sqrt(math.pi / 2) * z_max / self.sigma
        return replace(self, power=math.log(growth) / math.log1p(self.tau))

    def perturb(self, rows: Tensor, streams: Streams) -> tuple[Tensor, Tensor]:
        """Points y (R, B, N) and z (R, B)."""
        assert self.power is not None
        noise = streams.normal(rows.shape[1], rows.shape[2] + 1, dtype=rows.dtype)
        share = streams.uniform(rows.shape[1], dtype=rows.dtype)
        # A normal draw in single precision is exactly zero once in some million, and z = 0 has no logarithm.
        z = noise[..., -1].abs().clamp_(min=1e-4)
        if self.restrict < 1:
            share = torch.where(z < 0.5, share * self.restrict, share)
        scale = torch.pow(1 + self.tau, share * self.power).mul_(self.sigma)
        return torch.addcmul(rows, noise[..., :-1], scale.unsqueeze(-1)), z.mul_(scale)
