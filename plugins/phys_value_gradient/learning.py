r"""Learning the values: Algorithm 2, with the targets that the optimal values offer.

A target for V^t(x_t) looks n steps ahead along K walks with fresh noise of the policy π,

    c_k = V^{t+n}(x_{t+n}) + τ Σ_{j<n} log π/q̃,      mean:  (1/K) Σ_k c_k,     soft:  −τ log (1/K) Σ_k e^{−c_k/τ}

with V^T = E at the end. The mean is the paper's (Eq. 13–14): the value of the policy at hand, which is above the
optimal one as long as the policy is not optimal. The soft target is an importance sampling estimate of the recursion
that the optimal value fulfils whatever the policy,

    e^{−V^t(x)/τ} = E_{q̃ reversed}[…] = E_π[(q̃/π) e^{−V^{t+1}(x')/τ}],

biased upwards by Jensen's inequality for finite K only, by about the variance of c over 2Kτ. Draws come in pairs ±ε,
which leaves even orders of the noise alone.

Source: Yoon et al. 2025 (arXiv:2502.13280), Algorithm 2, Eq. 13, 14, 39. Eq. 13 writes the online values on the right;
the target network is meant. The running cost is kept with its noise, see ``process``; the released code averages it.
"""

from __future__ import annotations

import math
from copy import deepcopy
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional

from phys_samplers.chains.checks import at_least, positive
from phys_samplers.errors import ConfigurationError
from phys_samplers.randomness import Streams
from phys_value_gradient.critic import Critic, LearnedLandscape
from phys_value_gradient.landscape import Energy, Landscape
from phys_value_gradient.policy import Policy, walk
from phys_value_gradient.process import log_ratio

Backup = Literal["soft", "mean"]
ERROR = Literal["square", "huber"]
LINEAR_RATE = 0.1
"""Share of the temporal-difference errors that the terms linear in their coefficients take over at once."""


@dataclass(frozen=True, kw_only=True)
class Learning:
    """How values are learned.

    Args:
        batch_size: walks N per replica.
        backup: ``"soft"`` or ``"mean"``.
        draws: K; even numbers draw ±ε.
        n_step: n.
        minibatches: parts that a batch of walks is taken in, one a loss, each with all steps of its share of walks.
        updates_per_walk: losses for one batch of walks, with fresh noise each; n_update times ``minibatches``.
        exploration: η of the walks' noise and start, off-policy above 1; the noise of targets is always the policy's.
        target_decay: λ of the target network φ⁻ ← λφ⁻ + (1 − λ)φ, after each use of all walks.
        error: ``"square"``, or ``"huber"``: quadratic up to an error of τD.
        initial_rate: step of σ_init, on log σ; 0 keeps it.

    Raises:
        ConfigurationError: on a bad value.
    """

    batch_size: int = 128
    backup: Backup = "soft"
    draws: int = 4
    n_step: int = 1
    minibatches: int = 1
    updates_per_walk: int = 1
    exploration: float = 1.2
    target_decay: float = 0.9
    error: ERROR = "square"
    initial_rate: float = 0.01

    def __post_init__(self) -> None:
        at_least(
            1,
            batch_size=self.batch_size,
            draws=self.draws,
            n_step=self.n_step,
            minibatches=self.minibatches,
            updates_per_walk=self.updates_per_walk,
        )
        positive(exploration=self.exploration)
        if self.minibatches > self.batch_size:
            raise ConfigurationError(
                f"minibatches is {self.minibatches} and batch_size {self.batch_size}; expected at least a walk for each"
            )
        for name, value, choice in (("backup", self.backup, Backup), ("error", self.error, ERROR)):
            if value not in get_args(choice):
                raise ConfigurationError(f"{name} is {value!r}; expected one of {', '.join(get_args(choice))}")
        if not 0 <= self.target_decay < 1 or not 0 <= self.initial_rate < math.inf:
            raise ConfigurationError(
                f"target_decay is {self.target_decay} and initial_rate {self.initial_rate}; expected "
                "0 <= target_decay < 1 and a finite rate of at least 0"
            )


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
) -> Tensor:
    """Targets (R, T, N) for V^t at ``states`` (R, T, N, K) of all steps, whose policy is (``shifts``, ``scales``)."""
    process, tau = policy.process, policy.temperature
    replicas, steps, particles, dim = states.shape

    def spread(tensor: Tensor) -> Tensor:
        """Each particle ``draws`` times: (R, T, K·N, ·)."""
        return tensor if draws == 1 else tensor.repeat(1, 1, draws, 1)

    z, shift = spread(states), spread(shifts)
    scale = spread(scales) if isinstance(scales, Tensor) else scales
    cost = states.new_zeros(replicas, steps, draws * particles)
    for ahead in range(min(n_step, steps)):
        # Walks that began at step t are now at t + ahead; those of the last ``ahead`` steps have ended.
        moving = steps - ahead
        if ahead:
            shift, scale = policy.propose(landscape, z[:, :moving], ahead)
        alpha, s = process.columns(ahead, moving, z)
        epsilon = _draw(noise, replicas, moving, draws, particles, dim, z)
        cost[:, :moving] += log_ratio(shift, epsilon, alpha, s, scale)
        moved = alpha * z[:, :moving] + shift + (alpha * s * scale) * epsilon
        z = moved if not ahead else torch.cat((moved, z[:, moving:]), 1)
    reached = min(n_step, steps)
    value = _ends(landscape, z, reached)
    returns = value.div_(tau).add_(cost).view(replicas, steps, draws, particles)
    if draws == 1:
        return returns.squeeze(2).mul_(tau)
    if backup == "mean":
        return returns.mean(2).mul_(tau)
    return (returns.neg_().logsumexp(2) - math.log(draws)).mul_(-tau)


def _draw(noise: Streams, replicas: int, steps: int, draws: int, particles: int, dim: int, like: Tensor) -> Tensor:
    """Normal draws (R, S, K·N, D), half of them the negatives of the others where K is even."""
    if draws % 2:
        return noise.normal(steps, draws * particles, dim, dtype=like.dtype)
    half = noise.normal(steps, draws // 2 * particles, dim, dtype=like.dtype)
    return torch.cat((half, -half), 2)


def _ends(landscape: Landscape, z: Tensor, reached: int) -> Tensor:
    """V^{min(t + n, T)} (R, T, M) where walks from every step t have come, n = ``reached`` steps on."""
    steps = z.shape[1]
    if reached == 1:
        return landscape.values(z, 1)
    # The last n blocks are all at T: rows of one call with one block.
    ended = z[:, steps - reached :].flatten(1, 2).unsqueeze(1)
    at_end = landscape.values(ended, steps).view(*z.shape[:1], reached, -1)
    if reached == steps:
        return at_end
    return torch.cat((landscape.values(z[:, : steps - reached], reached), at_end), 1)


def initial_slope(landscape: Landscape, x: Tensor, temperature: float) -> Tensor:
    """Slope (R,) in log σ of E[V⁰(σz)] − τD log σ (Eq. 39), over τD and within ±1, from prior draws x = σz (R, N, K).

    E[x·∇V⁰(x)]/(τD) − 1; for a quadratic V⁰ that is σ² over its optimum, less 1, so that steps of a fixed size suit it.
    """
    _, gradient = landscape.values_and_gradients(x.unsqueeze(1), 0)
    return ((x * gradient.squeeze(1)).sum(-1).mean(-1) / (temperature * x.shape[-1]) - 1).clamp_(-1, 1)


class Learner:
    """Algorithm 2 as a loss: every call looks after walks, targets, target network and σ_init.

    Args:
        critic: to be trained; an optimiser's step on its parameters belongs between two calls.
        energy: E.
        policy: that follows from the values.
        options: how to learn.
        streams: one per replica, on the device of computation.
    """

    def __init__(self, critic: Critic, energy: Energy, policy: Policy, options: Learning, *, streams: Streams) -> None:
        self.critic = critic
        self.target = deepcopy(critic).requires_grad_(False)
        self.energy = energy
        self.policy = policy
        self.options = options
        self._explore, self._noise = streams.child("walks"), streams.child("targets")
        self._landscape = LearnedLandscape(self.target, energy)
        self._calls = 0

    def loss(self) -> Tensor:
        """The temporal-difference loss (R,) of a batch, with a graph to the critic's parameters."""
        options = self.options
        if self._calls % options.updates_per_walk == 0:
            if self._calls:
                self._follow()
            self._adapt_initial()
            self._explore_states()
        turn, parts = self._calls % options.minibatches, options.minibatches
        part = slice(turn * options.batch_size // parts, (turn + 1) * options.batch_size // parts)
        self._calls += 1
        states, scales = self._states[:, :, part], self._scales
        energies = None if self._energies is None else self._energies[:, :, part]
        targets = backed_up(
            self._landscape,
            self.policy,
            states,
            self._shifts[:, :, part],
            scales[:, :, part] if isinstance(scales, Tensor) else scales,
            self._noise,
            backup=options.backup,
            draws=options.draws,
            n_step=options.n_step,
        )
        error = self.critic(states, energies) - targets
        limit = self.policy.temperature * self.energy.dim
        self.critic.regress(-error.detach(), states, energies, rate=LINEAR_RATE, limit=limit)
        for old, new in zip(self.target.buffers(), self.critic.buffers(), strict=True):
            old.copy_(new)
        error = error / limit
        if options.error == "huber":
            return functional.huber_loss(error, torch.zeros_like(error), reduction="none").mean((1, 2))
        return error.square().mean((1, 2))

    @torch.no_grad()
    def start(self, n: int) -> Tensor:
        """x_0 (R, n, K) as the prior draws it."""
        z = self._explore.normal(n, self.energy.dim)
        return z.mul_(self.target.log_std.exp().view(-1, 1, 1))

    def _explore_states(self) -> None:
        """Walks of the target network's policy, kept for ``updates_per_walk`` losses."""
        options = self.options
        n, dim = options.batch_size, self.energy.dim
        path = walk(
            self._landscape,
            self.policy,
            self.start(n).mul_(options.exploration),
            lambda: self._explore.normal(n, dim),
            noise_scale=options.exploration,
            record=True,
        )
        assert path.states is not None
        assert path.shifts is not None
        self._states, self._shifts, self._scales = path.states, path.shifts, path.scales
        self._energies = None if self.critic.skip is None else self.energy.value(path.states)

    @torch.no_grad()
    def _follow(self) -> None:
        """φ⁻ ← λφ⁻ + (1 − λ)φ."""
        for old, new in zip(self.target.parameters(), self.critic.parameters(), strict=True):
            old.lerp_(new, 1 - self.options.target_decay)

    @torch.no_grad()
    def _adapt_initial(self) -> None:
        """A step of log σ_init downhill."""
        if not self.options.initial_rate:
            return
        x = self.start(self.options.batch_size)
        slope = initial_slope(self._landscape, x, self.policy.temperature)
        self.critic.log_std.sub_(slope, alpha=self.options.initial_rate)
