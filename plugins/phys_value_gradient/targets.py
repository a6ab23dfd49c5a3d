r"""Targets for the values of all steps at once, as the optimal values have them.

A target for V^t(x_t) looks n steps ahead along K walks with fresh noise of the policy π,

    c_k = V^{t+n}(x_{t+n}) + τ Σ_{j<n} log π/q̃,      mean:  (1/K) Σ_k c_k,     soft:  −τ log (1/K) Σ_k e^{−c_k/τ}

with V^T = E at the end. The mean is the paper's (Eq. 13–14): the value of the policy at hand, which is above the
optimal one as long as the policy is not optimal. The soft target is an importance sampling estimate of the recursion
that the optimal value fulfils whatever the policy,

    e^{−V^t(x)/τ} = E_{q̃ reversed}[…] = E_π[(q̃/π) e^{−V^{t+1}(x')/τ}],

biased upwards by Jensen's inequality for finite K only, by about the variance of c over 2Kτ; its exponential is not
biased at all. Draws come in pairs ±ε, which leaves even orders of the noise alone. As q̃(x|x') depends on x − x'/α, the
derivative of that recursion in x is

    ∇V^t(x) = α E[∇V^{t+1}(x') | x]        under the optimal policy: of K draws, with weights ∝ e^{−c_k/τ},

so that what gives a target for the value gives one for the drift, K numbers a state instead of one.

Source: Yoon et al. 2025 (arXiv:2502.13280), Algorithm 2, Eq. 13, 14, with the target network on the right of Eq. 13,
as meant; the gradients are not in the paper. The running cost is kept with its noise, see ``process``; the released
code averages it.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from phys_samplers.randomness import Streams
from phys_value_gradient.landscape import Landscape
from phys_value_gradient.policy import Policy
from phys_value_gradient.process import log_ratio

Backup = Literal["soft", "mean"]


class Targets(NamedTuple):
    """What V^t and its gradient should be.

    Args:
        values: (R, T, N).
        gradients: (R, T, N, K), if asked for.
    """

    values: Tensor
    gradients: Tensor | None


@torch.no_grad()
def backed_up(
    landscape: Landscape,
    policy: Policy,
    states: Tensor,
    shifts: Tensor,
    scales: Tensor | float,
    noise: Streams,
    *,
    backup: Backup,
    draws: int,
    n_step: int = 1,
    gradients: bool = False,
) -> Targets:
    """Targets at ``states`` (R, T, N, K) of all steps, whose policy is (``shifts``, ``scales``).

    Those of gradients are the soft ones, whatever the backup.
    """
    process, tau = policy.process, policy.temperature
    replicas, steps, particles, dim = states.shape

    def spread(tensor: Tensor) -> Tensor:
        """Each particle ``draws`` times: (R, T, K·N, ·)."""
        return tensor if draws == 1 else tensor.repeat(1, 1, draws, 1)

    z, shift = spread(states), spread(shifts)
    scale = spread(scales) if isinstance(scales, Tensor) else scales
    cost = states.new_zeros(replicas, steps, draws * particles)
    carried = states.new_ones(steps, 1, 1)  # Π α
    for ahead in range(min(n_step, steps)):
        # Walks that began at step t are now at t + ahead; those of the last ``ahead`` steps have ended.
        moving = steps - ahead
        if ahead:
            shift, scale = policy.propose(landscape, z[:, :moving], ahead)
        alpha, s = process.columns(ahead, moving, z)
        epsilon = _draw(noise, replicas, moving, draws, particles, dim, z)
        cost[:, :moving] += log_ratio(shift, epsilon, alpha, s, scale)
        carried[:moving] *= alpha
        moved = alpha * z[:, :moving] + shift + (alpha * s * scale) * epsilon
        z = moved if not ahead else torch.cat((moved, z[:, moving:]), 1)
    reached = min(n_step, steps)
    value, slope = _ends(landscape, z, reached, gradients=gradients)
    returns = value.div_(-tau).sub_(cost).view(replicas, steps, draws, particles)
    if slope is not None:
        weights = returns.softmax(2).unsqueeze(-1)
        slope = slope.view(replicas, steps, draws, particles, dim).mul_(weights).sum(2).mul_(carried)
    if draws == 1 or backup == "mean":
        return Targets(returns.mean(2).mul_(-tau), slope)
    return Targets((returns.logsumexp(2) - math.log(draws)).mul_(-tau), slope)


def _draw(noise: Streams, replicas: int, steps: int, draws: int, particles: int, dim: int, like: Tensor) -> Tensor:
    """Normal draws (R, S, K·N, D), half of them the negatives of the others where K is even."""
    if draws % 2:
        return noise.normal(steps, draws * particles, dim, dtype=like.dtype)
    half = noise.normal(steps, draws // 2 * particles, dim, dtype=like.dtype)
    return torch.cat((half, -half), 2)


def _ends(landscape: Landscape, z: Tensor, reached: int, *, gradients: bool) -> tuple[Tensor, Tensor | None]:
    """V^{min(t + n, T)} (R, T, M), with gradients if wanted, where walks from every t have come in n = ``reached``."""

    def at(z: Tensor, first: int) -> tuple[Tensor, Tensor | None]:
        return landscape.values_and_gradients(z, first) if gradients else (landscape.values(z, first), None)

    steps = z.shape[1]
    if reached == 1:
        return at(z, 1)
    # The last n blocks are all at T: rows of one call with one block.
    value, slope = at(z[:, steps - reached :].flatten(1, 2).unsqueeze(1), steps)
    value = value.view(len(z), reached, -1)
    slope = None if slope is None else slope.view(*value.shape, -1)
    if reached == steps:
        return value, slope
    before, slope_before = at(z[:, : steps - reached], reached)
    joined = None if slope is None or slope_before is None else torch.cat((slope_before, slope), 1)
    return torch.cat((before, value), 1), joined
