r"""Learning the values: Algorithm 2, by regression on the targets of all steps at once.

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

With the error δ = V^t(x) − target in units of τ, the loss of a state is δ², Huber's, or

    linex    e^δ − δ − 1,

whose minimum over noisy soft targets is at E[e^{V − target}] = 1, that is at the optimal value itself: there is no bias
by Jensen's inequality, for any K. What values are for is their gradients, so that these may be learned as well: the
loss of a drift is its distance from the target's in units of the step's noise, |αs (∇V^t − target)|²/2τ², the KL
divergence of the step that the error costs, by Huber's loss.

Source: Yoon et al. 2025 (arXiv:2502.13280), Algorithm 2, Eq. 13, 14, with the target network on the right of Eq. 13,
as meant; Eq. 39 for σ_init; the gradients, linex and
the loss of drifts are not in the paper. The running cost is kept with its noise, see ``process``; the released
code averages it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from phys_samplers.errors import ConfigurationError
from phys_samplers.options import check_values, fit_option
from phys_samplers.randomness import Streams
from phys_samplers.training.state import Counter, Resumable, gather, scatter
from phys_value_gradient.landscapes import Critic, LearnedLandscape
from phys_value_gradient.policy import Energy, Landscape, Policy, walk
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


ERROR = Literal["square", "huber", "linex"]
STEEPEST = math.log(4.0)
"""δ from which linex goes on linearly; values that far too high are rare but for the beginning."""
LIMIT_DRAWS = 1_024
"""Of the prior, that say which energies are usual."""
LINEAR_RATE = 0.1
"""Share of the temporal-difference errors that the terms linear in their coefficients take over at once."""


@dataclass(frozen=True, kw_only=True)
class Learning:
    """How values are learned; a recipe that learns them has these options.

    Args:
        batch_size: walks per step and replica.
        backup: ``"soft"`` or ``"mean"`` targets.
        draws: K, next states per target; even numbers draw ±ε.
        n_step: n, steps that a target looks ahead.
        minibatches: parts that a batch of walks is taken in, one an optimiser step, each with all steps of its walks.
        updates_per_walk: optimiser steps on one batch of walks, with fresh noise each (n_update times ``minibatches``).
        exploration: η of the noise and the start of training walks, off-policy above 1; targets have the policy's own.
        target_decay: λ of the target network φ⁻ ← λφ⁻ + (1 − λ)φ, after each use of all walks.
        error: ``"square"``, ``"huber"`` (quadratic up to an error of τD) or ``"linex"``, which has no bias with soft
            targets.
        gradient_weight: of learning the gradients of soft targets beside their values; 0 for values alone.
        initial_rate: step of σ_init, on log σ; 0 keeps it.
    """

    batch_size: int = fit_option(128, least=1)
    backup: Backup = "soft"
    draws: int = fit_option(4, least=1)
    n_step: int = fit_option(1, least=1)
    minibatches: int = fit_option(1, least=1)
    updates_per_walk: int = fit_option(2, least=1)
    exploration: float = fit_option(1.2, above=0)
    target_decay: float = fit_option(0.9, least=0, below=1)
    error: ERROR = "huber"
    gradient_weight: float = fit_option(0.0, least=0)
    initial_rate: float = fit_option(0.003, least=0)

    def __post_init__(self) -> None:
        check_values(self)
        if self.minibatches > self.batch_size:
            raise ConfigurationError(
                f"minibatches is {self.minibatches} and batch_size {self.batch_size}; expected at least a walk for each"
            )
        if self.gradient_weight and self.backup != "soft":
            raise ConfigurationError(
                f"gradient_weight is {self.gradient_weight} and backup {self.backup!r}; expected 0 but for soft targets"
            )


def linex(error: Tensor) -> Tensor:
    """e^δ − δ − 1 of every δ, linear above ``STEEPEST``."""
    capped = error.clamp(max=STEEPEST)
    return capped.expm1() - error + (error - capped) * math.exp(STEEPEST)


def initial_slope(landscape: Landscape, x: Tensor, temperature: float) -> Tensor:
    """Slope (R,) in log σ of E[V⁰(σz)] − τD log σ (Eq. 39), over τD and within ±1, from prior draws x = σz (R, N, K).

    E[x·∇V⁰(x)]/(τD) − 1; for a quadratic V⁰ that is σ² over its optimum, less 1, so that steps of a fixed size suit it.
    """
    _, gradient = landscape.values_and_gradients(x.unsqueeze(1), 0)
    return ((x * gradient.squeeze(1)).sum(-1).mean(-1) / (temperature * x.shape[-1]) - 1).clamp_(-1, 1)


class Walks(NamedTuple):
    """Walks that are learned from, all (R, T, N, ·).

    Args:
        states: x_0..x_{T−1}.
        shifts: μ there.
        scales: η there, or 1.0.
        energies: E there, if there is a skip.
        energy_slopes: ∇E there, if gradients are learned too.
    """

    states: Tensor
    shifts: Tensor
    scales: Tensor | float
    energies: Tensor | None
    energy_slopes: Tensor | None

    def part(self, part: slice) -> Walks:
        """Some of the walks."""
        return Walks(*(entry[:, :, part] if isinstance(entry, Tensor) else entry for entry in self))  # type: ignore[arg-type]


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
        self._calls = Counter()
        self._walks: Walks | None = None
        self._parts: dict[str, Resumable] = {
            "target": self.target,
            "explore": self._explore,
            "noise": self._noise,
            "calls": self._calls,
        }

    def state_dict(self) -> dict[str, Tensor]:
        """The target network, the kept walks, streams and the number of calls; not the critic, which is trained."""
        walks = {} if self._walks is None else self._walks._asdict()
        kept = {f"walks.{name}": entry.detach() for name, entry in walks.items() if isinstance(entry, Tensor)}
        return {**gather(self._parts), **kept}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from where a learner of the same critic was."""
        scatter(self._parts, state)
        states, shifts, *others = (state.get(f"walks.{name}") for name in Walks._fields)
        if states is not None and shifts is not None:
            scales, energies, slopes = others
            self._walks = Walks(states, shifts, 1.0 if scales is None else scales, energies, slopes)

    def loss(self) -> Tensor:
        """The temporal-difference loss (R,) of a batch, with a graph to the critic's parameters."""
        options = self.options
        calls = self._calls.value
        if calls % options.updates_per_walk == 0:
            if calls:
                self._follow()
            self._adapt_initial()
            self._walks = self._explored()
        turn, parts = calls % options.minibatches, options.minibatches
        assert self._walks is not None
        walks = self._walks.part(slice(turn * options.batch_size // parts, (turn + 1) * options.batch_size // parts))
        self._calls.value += 1
        states, energies = walks.states, walks.energies
        targets = backed_up(
            self._landscape,
            self.policy,
            states,
            walks.shifts,
            walks.scales,
            self._noise,
            backup=options.backup,
            draws=options.draws,
            n_step=options.n_step,
            gradients=options.gradient_weight > 0,
        )
        if targets.gradients is not None:
            states.requires_grad_()
        values = self.critic(states, energies)
        error = (values - targets.values) / self.policy.temperature
        loss = self._loss_of_values(error)
        if targets.gradients is not None:
            gradients = self.critic.gradients(values, states, walks.energy_slopes)
            loss = loss + options.gradient_weight * self._loss_of_drifts(gradients - targets.gradients)
        pull = error.detach() if options.error != "linex" else error.detach().clamp(max=STEEPEST).expm1_()
        tau = self.policy.temperature
        self.critic.regress(-tau * pull, states, energies, rate=LINEAR_RATE, limit=tau * self.energy.dim)
        for old, new in zip(self.target.buffers(), self.critic.buffers(), strict=True):
            old.copy_(new)
        return loss

    def _loss_of_values(self, error: Tensor) -> Tensor:
        """(R,) of errors δ (R, T, N), over D²."""
        dim = self.energy.dim
        if self.options.error == "linex":
            return linex(error).mean((1, 2)) / dim**2
        error = error / dim
        if self.options.error == "huber":
            return functional.huber_loss(error, torch.zeros_like(error), reduction="none").mean((1, 2))
        return error.square().mean((1, 2))

    def _loss_of_drifts(self, error: Tensor) -> Tensor:
        """(R,) of errors of gradients (R, T, N, K), over D²."""
        alpha, s = self.policy.process.columns(0, error.shape[1], error)
        drift = error * (alpha * s / self.policy.temperature)
        loss = functional.huber_loss(drift, torch.zeros_like(drift), reduction="none")
        return loss.sum(-1).mean((1, 2)) / self.energy.dim**2

    def bound_energies(self) -> None:
        """Bend energies far above those of the prior, for good; an energy may otherwise be any regression's outlier.

        Where scales vary, as on a funnel, energies of a batch reach from 10 to 10¹⁶ and more: the squares of a single
        one then decide a fit by least squares, curvatures turn negative, and walks leave along them.
        """
        self.critic.energy_limit.copy_(self.energy.usual(self.start(LIMIT_DRAWS)))

    @torch.no_grad()
    def start(self, n: int) -> Tensor:
        """x_0 (R, n, K) as the prior draws it."""
        z = self._explore.normal(n, self.energy.dim)
        return z.mul_(self.target.log_std.exp().view(-1, 1, 1))

    def _explored(self) -> Walks:
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
        energies, slopes = None, None
        if self.critic.skip is not None and options.gradient_weight:
            energies, slopes = self.energy.value_and_gradient(path.states)
            slopes = slopes.contiguous()  # as it comes back from a checkpoint
        elif self.critic.skip is not None:
            energies = self.energy.value(path.states)
        return Walks(path.states, path.shifts, path.scales, energies, slopes)

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
