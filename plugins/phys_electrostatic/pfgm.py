r"""PFGM: data as charges in the plane z = 0 of N + 1 dimensions, sampled along the lines of their electric field.

    dx/ds = z v_x/v_z = Ê_x,        z = e^s,        Ê = (x − m, z)

(Xu et al. 2022, arXiv:2209.11178, Eq. 8; 7.6 of the thesis), from the prior on the plane z = z_max,

    x = R u,  R = z_max √(β/(1−β)),  β ~ Beta(N/2, 1/2),        or x = z_max n_N/|n_1| with normal n,

down to z_min. The field is that of PFGM++ with D = 1 at r = z: m is the denoiser, z the level, the schedule geometric.

The network learns the normalised field v = −√N Ê/(|Ê| + γ) in N + 1 coordinates. For z > γ its quotient z v_x/v_z gives
Ê_x. Below, v_z is too small to be learned well, but Ê_z = z is known (App. B.5.2): with f = |v_x|/√N,

    f = a/(√(a² + z²) + γ),  a = |Ê_x|   ⇒   a = f (γ + √(f² γ² + (1 − f²) z²))/(1 − f²).

The source solves this with z = 0, a ≈ γ f/(1 − f), and puts the result into v_z; the exact solution costs no more.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from phys_electrostatic.flow import PoissonFlowModel, log_kernel, point_level
from phys_samplers.denoisers.likelihood import Likelihood
from phys_samplers.denoisers.sampler import DenoiserSampler
from phys_samplers.errors import ConfigurationError, MissingCapability
from phys_samplers.fields.stacked import Field, stacked_product
from phys_samplers.objective import Loss
from phys_samplers.options import Part, draw_option, fit_option, make_part
from phys_samplers.randomness import Streams
from phys_samplers.schedules.base import Scalar
from phys_samplers.schedules.variance_exploding import VarianceExploding
from phys_samplers.standardise import Standardiser


def charge_centre(x: Tensor, level: Tensor, rows: Tensor, aux_dim: float | None = 1.0) -> Tensor:
    """m(x), the mean of the rows weighted by the kernel: (…, B, N), (…, B), (…, M, N) → (…, B, N)."""
    # Distances by matrix products would lose z² beside |x|².
    squared = torch.cdist(x, rows, compute_mode="donot_use_mm_for_euclid_dist").square_()
    return stacked_product(torch.softmax(log_kernel(squared, level.unsqueeze(-1), x.shape[-1], aux_dim), -1), rows)


def normalised_field(displacement: Tensor, z: Tensor, gamma: float) -> Tensor:
    """v = −√N Ê/(|Ê| + γ) of Ê = (displacement, z): (…, N), (…) → (…, N + 1)."""
    field = torch.cat((displacement, z.unsqueeze(-1)), -1)
    norm = field.square().sum(-1, keepdim=True).sqrt()
    return field * (-math.sqrt(displacement.shape[-1]) / (norm + gamma))


class PoissonField(nn.Module):
    """A stacked normalised field, and the denoiser x − Ê_x that it says.

    Args:
        field: the network F.
        dim: coordinates N of a sample.
        streams: one per replica.
        gamma: γ, in units of the standardised data.
        parametrisation: what F is. ``field``: v, as in the source. ``residual``: what v differs by from the field that
            standardised Gaussian data have, about, in units of 1/√(1 + σ_x²) with the level σ_x of the point (see
            ``point_level``); it vanishes far away, where all data are one point charge and small errors of v are
            large ones of z v_x/v_z.
    """

    def __init__(
        self, field: Field, dim: int, *, streams: Streams, gamma: float, parametrisation: FieldParametrisation
    ) -> None:
        super().__init__()
        self.gamma = gamma
        self.parametrisation = parametrisation
        self.network = field.build(dim, dim + 1, streams=streams, conditioned=True, out_gain=0.1)

    def field(self, x: Tensor, z: Tensor) -> Tensor:
        """v(x, z): (R, B, N), (R, B) or (R, 1) → (R, B, N + 1)."""
        variance = point_level(x, z, 1.0).square().unsqueeze(-1)
        scale = (variance + 1).rsqrt()
        raw: Tensor = self.network(x * scale, z.log() * 0.25)
        if self.parametrisation == "field":
            return raw
        gaussian = normalised_field(x * (variance * scale.square()), z.expand(x.shape[:2]), self.gamma)
        return torch.addcmul(gaussian, raw, scale)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        """x − Ê_x(x, z): (R, B, N), (R, B) or (R, 1) → (R, B, N)."""
        v = self.field(x, z) * x.shape[-1] ** -0.5
        return x + _displacement(v[..., :-1], v[..., -1:], z.unsqueeze(-1), self.gamma)


def _displacement(vx: Tensor, vz: Tensor, z: Tensor, gamma: float) -> Tensor:
    """−Ê_x of the field v/√N, with Ê_z = z known; see the module."""
    share = vx.square().sum(-1, keepdim=True).clamp(max=1 - 1e-6)
    rest = 1 - share
    near = vx * ((gamma + (share * gamma**2 + rest * z.square()).sqrt()) / rest)
    far = vx * (z / vz.clamp(max=-1e-6).neg())  # v_z is negative: the field points away from the plane
    return torch.where(z < gamma, near, far)


@dataclass(frozen=True, kw_only=True)
class PoissonFieldLoss(Loss):
    """E |v_θ(y, z) − v_B(y, z)|² with the field v_B of the whole batch, at points perturbed from its first rows.

    Rows x_i carry charges in the plane z = 0 of N + 1 dimensions; at (y, z) their field (Eq. 4; 7.4 of the thesis),
    scaled to Ê_z = z, is (y − m, z) with m = Σ_i w_i x_i, w_i ∝ (|y − x_i|² + z²)^{−(N+1)/2}. Points are y = x + |ε_x|
    (1+τ)^m u, z = |ε_z| (1+τ)^m with ε ~ N(0, σ² I), m ~ U[0, M] and u uniform on the sphere (Eq. 5; 7.5): a direction
    of its own and the norm of a normal vector make a normal vector, so y = x + (1+τ)^m ε_x. The quotient |ε_x|/|ε_z|
    does not depend on m: this is noise of the kernel of PFGM++ with D = 1, at almost log-uniform levels z.

    Args:
        points: perturbed points, at most one a row: |B| of the source, where the batch is |B_L|.
        sigma: σ.
        tau: τ.
        power: M; None takes the one at which the mean z is the sampler's z_max (App. B.5.2: z_max = √(2/π) σ (1+τ)^M).
        gamma: γ, the length below which the field is not normalised; None takes the sampler's.
        restrict: share of M for points with |ε_z| < σ/2, which backward paths seldom visit (0.69 in the source).
    """

    points: int = fit_option(128, least=1)
    sigma: float = fit_option(0.01, above=0)
    tau: float = fit_option(0.03, above=0)
    power: float | None = fit_option(None, above=0)
    gamma: float | None = fit_option(None, above=0)
    restrict: float = fit_option(1.0, above=0, most=1)

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


@dataclass(frozen=True, kw_only=True)
class GeometricSchedule(VarianceExploding):
    """λ = σ_min e^{t−1}, on a grid of constant ratio: the change of variable of PFGM (Eq. 8; 7.6 of the thesis).

    Time is s shifted to end at 1, t = 1 + log(λ/σ_min), so that d log λ/dt = 1 and the probability flow du/dt = u − D
    is the ODE of PFGM, dx/ds = z v_x/v_z.

    Args:
        sigma_min: z_min of PFGM, 10⁻³ in the source.
        sigma_max: z_max of PFGM, 40 in the source.
    """

    sigma_min: float = 1e-3
    sigma_max: float = 40.0

    @property
    def start(self) -> float:
        """1 + log(σ_max/σ_min)."""
        return 1 + math.log(self.sigma_max / self.sigma_min)

    @property
    def end(self) -> float:
        """1."""
        return 1.0

    def log_ratio(self, t: Scalar) -> Scalar:
        """log σ_min + t − 1."""
        return t + (math.log(self.sigma_min) - 1)

    def log_ratio_rate(self, t: float) -> float:
        """1."""
        return 1.0


FieldParametrisation = Literal["residual", "field"]


@dataclass(frozen=True, kw_only=True)
class PFGM(DenoiserSampler):
    """Xu et al. 2022 (arXiv:2209.11178): the normalised electric field of charges in one dimension more.

    The level σ of the schedule is z, from z_max to z_min, in units of the standardised data; an ODE integrator runs in
    s = log z, as Eq. 8 does, a denoising one in z, which is the variant of App. B.5.2 that integrates z exactly. See
    ``DenoiserSampler`` for the other options; integrators that add noise do not follow the field.

    Args:
        gamma: γ, the length below which the field is not normalised, and the z below which Ê_x is found without v_z.
            The mean of normalised fields of batches is not the normalised mean field; where |Ê| < γ it is, almost.
            Of .2, 1 and 3, 3 is best on validation rows and leaves Gaussian data their variance.
        parametrisation: what the network predicts: ``residual`` or ``field``, see ``PoissonField``.
        batch_size: rows whose field is learned, |B_L|; the loss says at how many points.
        clip: bring every x − Ê_x into the box of the training rows, where it is, being a mean of rows.
        norm_clip: largest norm of a starting point; None for no bound. App. B.5.2's √(π/2) √N z_max moves half of all
            particles in two dimensions: they would come down in the wrong places.
    """

    trained_by: ClassVar[type[Loss]] = PoissonFieldLoss
    aux_dim: ClassVar[float] = 1.0

    loss: Part = "poisson-field"
    gamma: float = fit_option(3.0, above=0)
    parametrisation: FieldParametrisation = "residual"  # type: ignore[assignment]
    batch_size: int = fit_option(512, least=2)
    schedule: Part = draw_option("geometric")
    clip: bool = draw_option(True)
    norm_clip: float | None = draw_option(None, above=0)

    @property
    def trained_over_schedule(self) -> bool:
        """Whether M follows from the schedule's z_max."""
        return getattr(make_part("loss", self.loss), "power", 0.0) is None

    def training_loss(self) -> Loss:
        """The loss with this recipe's γ, and with the M that the schedule's z_max asks for unless it has its own.

        Raises:
            ConfigurationError: if it is of another kind, or has another γ.
        """
        loss = super().training_loss()
        assert isinstance(loss, PoissonFieldLoss)
        if loss.gamma not in (None, self.gamma):
            raise ConfigurationError(
                f"gamma is {self.gamma} and that of the loss {loss.gamma}; leave out the one of the loss"
            )
        schedule = self.schedule_part
        return replace(loss.reaching(schedule.ratio(schedule.start)), gamma=self.gamma)

    def denoiser(self, dim: int, streams: Streams) -> nn.Module:
        """The stacked network."""
        return PoissonField(
            self.field_part(), dim, streams=streams, gamma=self.gamma, parametrisation=self.parametrisation
        )

    def model(
        self, module: nn.Module, standardiser: Standardiser, bounds: Tensor, event_shape: tuple[int, ...]
    ) -> PFGMModel:
        """The fitted model."""
        return PFGMModel(self, module, standardiser, bounds, event_shape)


class PFGMModel(PoissonFlowModel):
    """A trained PFGM; see ``PoissonFlowModel``."""

    recipe: PFGM

    def prior(self, n: int, generator: torch.Generator, ratio: float) -> Tensor:
        """See ``PoissonFlowModel.prior``; norms are clipped if the recipe says so."""
        x = super().prior(n, generator, ratio)
        if self.recipe.norm_clip is None:
            return x
        return x.mul_((self.recipe.norm_clip / x.norm(dim=1, keepdim=True)).clamp_(max=1))

    def likelihood(self, x: Tensor, **options: Any) -> Likelihood:
        """Not offered: away from the data the field is divided by what is left of it, 1 − |v_x|²/N or v_z.

        Samples stay in the box of the rows (``clip``), but the divergence that the change of variables needs is that
        of the quotient. Where there are data the numbers are right; a point outside has any density at all.

        Raises:
            MissingCapability: always.
        """
        raise MissingCapability("PFGM has no likelihood here: its field has no reliable divergence; use pfgmpp")
