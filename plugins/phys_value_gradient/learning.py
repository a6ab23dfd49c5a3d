r"""Learning the values: Algorithm 2, by regression on the targets of all steps at once.

With the error δ = V^t(x) − target in units of τ, the loss of a state is δ², Huber's, or

    linex    e^δ − δ − 1,

whose minimum over noisy soft targets is at E[e^{V − target}] = 1, that is at the optimal value itself: there is no bias
by Jensen's inequality, for any K. What values are for is their gradients, so that these may be learned as well: the
loss of a drift is its distance from the target's in units of the step's noise, |αs (∇V^t − target)|²/2τ², the KL
divergence of the step that the error costs, by Huber's loss.

Source: Yoon et al. 2025 (arXiv:2502.13280), Algorithm 2, Eq. 13, 14, 39; the last two losses are not in the paper.
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
from phys_value_gradient.targets import Backup, backed_up

ERROR = Literal["square", "huber", "linex"]
STEEPEST = math.log(4.0)
"""δ from which linex goes on linearly; values that far too high are rare but for the beginning."""
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
        error: ``"square"``, ``"huber"``: quadratic up to an error of τD, or ``"linex"``.
        gradient_weight: of the loss of drifts; 0 learns from values alone.
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
    gradient_weight: float = 0.0
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
        if not 0 <= self.gradient_weight < math.inf or (self.gradient_weight and self.backup != "soft"):
            raise ConfigurationError(
                f"gradient_weight is {self.gradient_weight} and backup {self.backup!r}; expected a finite weight of at "
                "least 0, which is 0 but for soft targets"
            )
        if not 0 <= self.target_decay < 1 or not 0 <= self.initial_rate < math.inf:
            raise ConfigurationError(
                f"target_decay is {self.target_decay} and initial_rate {self.initial_rate}; expected "
                "0 <= target_decay < 1 and a finite rate of at least 0"
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
            gradients=options.gradient_weight > 0,
        )
        energies = None if self._energies is None else self._energies[:, :, part]
        if targets.gradients is not None:
            states.requires_grad_()
        values = self.critic(states, energies)
        error = (values - targets.values) / self.policy.temperature
        loss = self._loss_of_values(error)
        if targets.gradients is not None:
            slopes = None if self._energy_slopes is None else self._energy_slopes[:, :, part]
            gradients = self.critic.gradients(values, states, slopes)
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
        self._energies, self._energy_slopes = None, None
        if self.critic.skip is not None and options.gradient_weight:
            self._energies, self._energy_slopes = self.energy.value_and_gradient(path.states)
        elif self.critic.skip is not None:
            self._energies = self.energy.value(path.states)

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
