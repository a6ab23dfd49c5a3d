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

Source: Yoon et al. 2025 (arXiv:2502.13280), Algorithm 1 and App. C.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from phys_samplers.chains.checks import positive
from phys_samplers.errors import ConfigurationError
from phys_value_gradient.landscape import Landscape
from phys_value_gradient.process import AuxiliaryProcess, log_ratio

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
    temperature: float = 1.0
    drift_clip: float | None = None

    def __post_init__(self) -> None:
        if self.rule not in get_args(Rule):
            raise ConfigurationError(f"policy is {self.rule!r}; expected one of {', '.join(get_args(Rule))}")
        positive(temperature=self.temperature, drift_clip=self.drift_clip)

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
            shift.mul_((longest / shift.norm(dim=-1, keepdim=True).clamp_(min=1e-30)).clamp_(max=1.0))
        if self.rule != "moments":
            return shift, 1.0
        rise = landscape.values(alpha * z + shift, first + 1).sub_(value).unsqueeze(-1)
        log_square = (shift / (alpha * s)).square_().sum(-1, keepdim=True).add_(rise, alpha=2 / tau).div_(dim)
        log_square -= 2 * (alpha.log() if isinstance(alpha, Tensor) else math.log(alpha))
        return shift, log_square.exp_().clamp_(NARROWEST, WIDEST).sqrt_()


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
        step = alpha * z + shift
        if t < process.steps - 1 or final_noise:
            scale, epsilon = own * noise_scale, noise()
            cost += log_ratio(shift, epsilon, alpha, s, scale)
            step += (alpha * s * scale) * epsilon
        z = step
    if not record:
        return Walk(z, cost, None, None, 1.0)
    etas = [eta for _, _, eta in kept if isinstance(eta, Tensor)]
    states, moves = torch.stack([x for x, _, _ in kept], 1), torch.stack([shift for _, shift, _ in kept], 1)
    return Walk(z, cost, states, moves, torch.stack(etas, 1) if etas else 1.0)
