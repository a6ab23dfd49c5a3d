r"""Policies π(x_{t+1}|x_t) = N(α x + μ, η²σ² I), σ = αs, that follow from the values, and walks that follow the policy.

``taylor``    μ = −(α²s²/τ) ∇V^{t+1}(αx), η = 1: the first-order drift of the paper (Eq. 12),
``mean``      μ = −(αs²/τ) ∇V^t(x), η = 1,
``moments``   the same μ, and η² = exp(2Δ/D) from Δ = [V^{t+1}(αx + μ) − V^t(x)]/τ + |μ|²/(2α²s²) − D log α.

For the optimal values V^t = −τ log(Z q̃_t) the best policy is q̃(x'|x) ∝ q̃(x|x') q̃_{t+1}(x'). Its mean is exactly
αx + αs²∇log q̃_t(x) (Tweedie's formula for x = x'/α + sε), so that ``mean`` is the Gaussian policy of least KL among
those with its variance, where ``taylor`` is its expansion to first order in s². Δ is what the cost-to-go rises by if
the step goes to the mean without noise. Laplace's approximation at the mean of q̃_t(x) = ∫ q̃(x|x') q̃_{t+1}(x') dx'
says that Δ = ½ log det of the covariance over α²s²; ``moments`` takes the isotropic part: right for normal laws
at any s, and for no more than another value. The paper's second-order form (Eq. 36) is after the same two moments by
the Hessian of V^{t+1}; it breaks down where Hessian + τ/(α²s²) I is not positive definite, as between modes.

States come as (R, S, N, K): R replicas, S consecutive steps, N particles, K flat coordinates. One call then serves a
whole trajectory (S = T) as well as one step of a sampler (S = 1).

Source: Yoon et al. 2025 (arXiv:2502.13280), Algorithm 1 and App. C.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

import torch
from torch import Tensor

from phys_samplers.density import FlatDensity, refuse_lost
from phys_samplers.options import check_values, option
from phys_value_gradient.process import AuxiliaryProcess, log_ratio

HIGHEST = 1e30
"""Stands for infinite energies."""
FAR = 50.0
"""Energies a dimension by which a state may lie above the median of the prior before energies are bent. The law and all
walks from the prior to it lie below; what is above is where a tail or a wall grows without bound."""
PRIOR = "prior"
Clip = float | Literal["prior"] | None
"""Energy from which to bend: a number, the limit learned from the prior, or none."""


class Landscape(Protocol):
    """V^t for t = 0..T."""

    def values(self, z: Tensor, first: int) -> Tensor:
        """V^t(z) (R, S, N) at states (R, S, N, K) of the steps ``first``, ``first`` + 1, …; no graph."""
        ...

    def values_and_gradients(self, z: Tensor, first: int) -> tuple[Tensor, Tensor]:
        """The same with ∇V^t (R, S, N, K)."""
        ...


class Energy:
    """E = −log p of a target at flat states of any batch shape.

    Args:
        density: of the target; its calls are counted there.
        clip: energy c above which E goes on as c + K log(1 + (E − c)/K), value and gradient alike, so that what is far
            up still finds its way down, by steps of a bounded length; ``"prior"`` for ``limit``; None for E as it is.
            An energy that is no number stays so.
        limit: of each replica (R,), states then have the replica axis first; None for no limit.
    """

    def __init__(self, density: FlatDensity, clip: Clip = None, limit: Tensor | None = None) -> None:
        self.density = density
        self.clip: float | Tensor | None = limit if isinstance(clip, str) else clip

    @property
    def dim(self) -> int:
        """K."""
        return self.density.dim

    @torch.no_grad()
    def value(self, z: Tensor) -> Tensor:
        """E (...) at ``z`` (..., K), bent; a new tensor."""
        energy = self.density.log_prob(z.reshape(-1, self.dim)).to(z).neg().view(z.shape[:-1])
        return energy if self.clip is None else self._bent(energy, slope=False)[0]

    def value_and_gradient(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """E and ∇E (..., K), bent; new tensors."""
        log_prob, score = self.density.log_prob_and_score(z.reshape(-1, self.dim))
        energy, gradient = log_prob.to(z).neg().view(z.shape[:-1]), score.to(z).neg().view(z.shape)
        if self.clip is None:
            return energy, gradient
        energy, slope = self._bent(energy)
        return energy, gradient.nan_to_num_(nan=0.0, posinf=0.0, neginf=0.0).mul_(slope.unsqueeze(-1))

    def usual(self, z: Tensor) -> Tensor:
        """A limit (R,) for ``clip`` from prior draws z (R, N, K): the median of the finite energies and ``FAR``·K."""
        energy = self.value(z)
        middle = torch.where(energy.isfinite(), energy, math.nan).nanmedian(1).values
        return middle.add_(FAR * self.dim).nan_to_num_(nan=HIGHEST)

    @torch.no_grad()
    def log_prob(self, z: Tensor) -> Tensor:
        """log p (N,) at states (N, K), as it is."""
        return self.density.log_prob(z).to(z)

    def _bent(self, energy: Tensor, *, slope: bool = True) -> tuple[Tensor, Tensor]:
        """The energy as it goes on above the limit, and its derivative there if ``slope`` (else only a part of it)."""
        assert self.clip is not None
        clip = torch.as_tensor(self.clip).to(energy)
        clip = clip.view(*clip.shape, *(1,) * (energy.dim() - 1)) if clip.dim() else clip
        energy = energy.nan_to_num(nan=math.nan, posinf=HIGHEST)
        above = energy.sub(clip).clamp_(min=0).div_(self.dim)
        bent = energy.minimum(clip).add_(above.log1p(), alpha=self.dim)
        return bent, above.add_(1).reciprocal_() if slope else above


Rule = Literal["taylor", "mean", "moments"]
NARROWEST, WIDEST = 0.25, 1.5
"""Bounds of η² under ``moments``: learned values are not exact."""


@dataclass(frozen=True)
class Policy:
    """How values become steps.

    Args:
        process: the auxiliary process.
        rule: see the module.
        temperature: τ.
        drift_clip: largest |μ| in units of the length √D αs of a step's noise; None for no limit.

    Raises:
        ConfigurationError: on a bad value.
    """

    process: AuxiliaryProcess
    rule: Rule = "taylor"
    temperature: float = option(1.0, above=0)
    drift_clip: float | None = option(None, above=0)

    def __post_init__(self) -> None:
        check_values(self)

    def propose(self, landscape: Landscape, z: Tensor, first: int) -> tuple[Tensor, Tensor | float]:
        """μ (R, S, N, K) and η, 1.0 or (R, S, N, 1), at states ``z`` (R, S, N, K) of the steps from ``first``."""
        alpha, s = self.process.columns(first, z.shape[1], z)
        tau, dim = self.temperature, z.shape[-1]
        if self.rule == "taylor":
            _, gradient = landscape.values_and_gradients(alpha * z, first + 1)
            shift = gradient.mul_(-((alpha * s) ** 2) / tau)
        else:
            value, gradient = landscape.values_and_gradients(z, first)
            shift = gradient.mul_(-alpha * s**2 / tau)
        if self.drift_clip is not None:
            longest = self.drift_clip * math.sqrt(dim) * alpha * s
            shift.div_(shift.norm(dim=-1, keepdim=True).div_(longest).clamp_(min=1.0))
        if self.rule != "moments":
            return shift, 1.0
        rise = landscape.values(_moved(z, alpha, shift), first + 1).sub_(value).unsqueeze(-1)
        log_square = (shift / (alpha * s)).square_().sum(-1, keepdim=True).add_(rise, alpha=2 / tau).div_(dim)
        log_square -= 2 * (alpha.log() if isinstance(alpha, Tensor) else math.log(alpha))
        return shift, log_square.exp_().clamp_(NARROWEST, WIDEST).sqrt_()


def _moved(z: Tensor, alpha: Tensor | float, shift: Tensor) -> Tensor:
    """α z + μ, in one operation."""
    return torch.addcmul(shift, z, alpha) if isinstance(alpha, Tensor) else torch.add(shift, z, alpha=alpha)


class Walk(NamedTuple):
    """What a walk gave.

    Args:
        final: x_T (R, N, K).
        cost: Σ_t log π/q̃ (R, N); of no meaning where a step had no noise.
        states: x_0..x_{T−1} (R, T, N, K), if recorded.
        shifts: μ there, likewise.
        scales: η there, likewise: 1.0 or (R, T, N, 1).
    """

    final: Tensor
    cost: Tensor
    states: Tensor | None
    shifts: Tensor | None
    scales: Tensor | float

    def ends(self, steps: int) -> Tensor:
        """x_T (N, K) of a single replica after T ``steps``.

        Raises:
            DivergenceError: if particles left the finite numbers.
        """
        final = self.final.squeeze(0)
        refuse_lost(final, steps=steps, by="the value gradient sampler", advice="set drift_clip, e.g. to 3")
        return final


@torch.no_grad()
def walk(
    landscape: Landscape,
    policy: Policy,
    z: Tensor,
    noise: Callable[[], Tensor],
    *,
    noise_scale: float = 1.0,
    final_noise: bool = True,
    record: bool = False,
) -> Walk:
    """Algorithm 1 from the states ``z`` (R, N, K).

    Args:
        landscape: the values.
        policy: that follows from them.
        z: x_0.
        noise: a standard normal draw (R, N, K), once a step.
        noise_scale: multiplies the noise of every step, on top of the policy's own η: off-policy exploration above 1.
        final_noise: whether the last step has noise.
        record: whether to keep states, shifts and scales.
    """
    process = policy.process
    cost = z.new_zeros(z.shape[:-1])
    kept: list[tuple[Tensor, Tensor, Tensor | float]] = []  # x, μ, η
    for t in range(process.steps):
        alpha, s = process.columns(t, 1, z)
        shifts, scales = policy.propose(landscape, z.unsqueeze(1), t)
        shift, own = shifts.squeeze(1), scales.squeeze(1) if isinstance(scales, Tensor) else scales
        if record:
            kept.append((z, shift, own))
        step = _moved(z, alpha, shift)
        if t < process.steps - 1 or final_noise:
            scale, epsilon = own * noise_scale, noise()
            cost += log_ratio(shift, epsilon, alpha, s, scale)
            wide = alpha * s * scale
            step = step.addcmul_(wide, epsilon) if isinstance(wide, Tensor) else step.add_(epsilon, alpha=wide)
        z = step
    if not record:
        return Walk(z, cost, None, None, 1.0)
    etas = [eta for _, _, eta in kept if isinstance(eta, Tensor)]
    states, moves = torch.stack([x for x, _, _ in kept], 1), torch.stack([shift for _, shift, _ in kept], 1)
    return Walk(z, cost, states, moves, torch.stack(etas, 1) if etas else 1.0)
