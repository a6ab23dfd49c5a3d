"""Paths of a process under a learned control: simulated forwards, carried back from samples, and weighed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from phys_path.processes import Process
from phys_samplers.paths import UnitDensity, log_normal

STEEPEST = 1e3
"""Largest coordinate of ∇log π_k that annealed moves follow."""
LEVER = 50.0
"""log Ẑ is this times its parameter, so that the rate of the networks moves it fast enough."""
NARROW = 0.02
"""Standard deviation that modes are taken to have at first; see ``replay``."""


class Control(nn.Module):
    """The control of R replicas, with what else a process learns.

    Args:
        network: (R, N, D) and times (R, N) or (R, 1) to (R, N, D).
        replicas: R.
        process: whose steps it controls.
        gate: c at first, for every time.
        clip: largest norm of the score that the gate lets through.
        widths: whether ρ, the logarithms of how much wider than √v the steps of F are, is learned.
        flow: (R, N, D) and times (R, N) to (R, N, 1), for objectives that learn the law of every step; see ``flows``.
    """

    def __init__(
        self,
        network: nn.Module,
        replicas: int,
        process: Process,
        *,
        gate: float,
        clip: float,
        widths: bool = True,
        flow: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.network, self.process, self.clip, self.flow = network, process, clip, flow
        self.gate = nn.Parameter(torch.full((replicas, process.steps), gate))
        self.log_widths = nn.Parameter(torch.zeros(replicas, process.steps), requires_grad=widths)
        self.log_within = nn.Parameter(torch.full((replicas, process.steps), 2 * math.log(NARROW)))
        self.temperatures = nn.Parameter(torch.zeros(replicas, process.steps))
        self.normaliser = nn.Parameter(torch.zeros(replicas, 1))

    @property
    def log_z(self) -> Tensor:
        """log Ẑ (R, 1), learned by trajectory balance."""
        return LEVER * self.normaliser

    def betas(self) -> Tensor:
        """β_0 = 0, …, β_K = 1 (R, K + 1)."""
        rising = torch.softmax(self.temperatures, 1).cumsum(1)
        return torch.cat((torch.zeros_like(rising[:, :1]), rising), 1)

    def steer(self, x: Tensor, t: Tensor) -> Tensor:
        """NN(x, t) of x (R, N, D) at times (R, N) or (R, 1) in [0, 1]."""
        steered: Tensor = self.network(x, t)
        return steered

    def gated(self, score: Tensor, gate: Tensor) -> Tensor:
        """The part of the score that the gate lets through."""
        norm = score.norm(dim=-1, keepdim=True)
        return score * (gate * (self.clip / norm.clamp(min=1e-12)).clamp(max=1.0))


@dataclass(frozen=True)
class Paths:
    """Paths of R replicas, B each.

    Args:
        states: (R, K + 1, B, D) in units of the target's spread.
        scores: of the target there.
        forward: log F (R, K, B) of every step.
        backward: log B, likewise; 0 for the first step from a point, which is certain.
    """

    states: Tensor
    scores: Tensor
    forward: Tensor
    backward: Tensor

    def log_weights(self, process: Process, log_target: Tensor) -> Tensor:
        """log w (R, B), from log p̃ (R, B) of the ends."""
        total = log_target + (self.backward - self.forward).sum(1)
        return total if process.point else total - log_normal(self.states[:, 0], 1.0)


def slopes(x: Tensor, score: Tensor, beta: Tensor) -> Tensor:
    """∇log π_k: that of N(0, I) and that of the target, mixed."""
    return torch.lerp(-x, score.clamp(-STEEPEST, STEEPEST), beta)


class Chains:
    """The kernels of both chains, one step at a time, with all that does not depend on states made ready.

    Args:
        control: of R replicas.
        like: of the device and dtype of states.

    Attributes:
        times: 0, …, 1, each (1, 1).
        log_widths: logarithms of the standard deviations of F (R, K, 1, 1).
    """

    def __init__(self, control: Control, like: Tensor) -> None:
        self.control, self.process = control, control.process.like(like)
        v = self.process.variances
        self.times = _times(control, like).unbind(1)
        self.log_widths = (0.5 * v.log() + control.log_widths)[..., None, None]
        self.back_roots = self.process.back_variances.sqrt().unbind()
        self._roots, self._half = v.sqrt().unbind(), (v / 2).unbind()
        self._growth, self._shrink = self.process.growth.unbind(), self.process.shrink.unbind()
        self._gates = (control.gate * v.sqrt())[..., None, None].unbind(1)
        self._betas = control.betas()[..., None, None].unbind(1) if self.process.annealed else ()

    def steer(self, k: int, x: Tensor) -> Tensor:
        """NN(x, t_k)."""
        return self.control.steer(x, self.times[k])

    def forward(self, k: int, x: Tensor, score: Tensor, steered: Tensor) -> Tensor:
        """Mean of F of step k at x (R, B, D), where the network says ``steered``."""
        if self.process.annealed:
            return x + self._half[k] * slopes(x, score, self._betas[k]) + self._roots[k] * steered
        push = steered + self.control.gated(score, self._gates[k])
        return torch.addcmul(self._growth[k] * x, push, self._roots[k])

    def backward(self, k: int, y: Tensor, score: Tensor, steered: Tensor | None) -> Tensor:
        """Mean of B of step k at its end y; ``steered`` is the network there, where B follows it."""
        if not self.process.annealed:
            return self._shrink[k] * y
        assert steered is not None
        return y + self._half[k] * slopes(y, score, self._betas[k + 1]) - self._roots[k] * steered


def simulated(
    control: Control,
    density: UnitDensity,
    start: Tensor,
    noise: Tensor,
    *,
    exploration: float = 1.0,
    attached: bool = False,
) -> Paths:
    """Simulate forwards, one call of the network and one of the score a state.

    log F needs no second look at the states, for their noise is known.

    Args:
        control: of R replicas.
        density: where to.
        start: x_0 (R, B, D).
        noise: standard normal (R, K, B, D).
        exploration: η, by which the noise of these paths is larger than that of F.
        attached: whether gradients flow along the paths.
    """
    chains, x = Chains(control, start), start
    kicks = (exploration * chains.log_widths.exp() * noise).unbind(1)
    states, scores, steered = [x], [density.score(x, attached=attached)], []
    for k in range(control.process.steps):
        steered.append(chains.steer(k, x))
        x = chains.forward(k, x, scores[k], steered[k]) + kicks[k]
        states.append(x)
        scores.append(density.score(x, attached=attached))
    after = None
    if control.process.annealed:
        after = torch.stack([*steered[1:], chains.steer(control.process.steps, x)], 1)
    path, score = torch.stack(states, 1), torch.stack(scores, 1)
    dim = x.shape[-1]
    normal = -0.5 * (exploration**2 * noise.square().sum(-1) + dim * math.log(2 * math.pi))
    forward = normal - dim * chains.log_widths[..., 0]
    return Paths(path, score, forward, _backward(control, path, score, after))


def carried_back(control: Control, density: UnitDensity, end: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Paths of the backward chain from ``end`` (R, B, D): states (R, K + 1, B, D) and the target's scores there.

    Args:
        control: of R replicas.
        density: of the target.
        end: x_K.
        noise: standard normal (R, K, B, D).
    """
    chains, x = Chains(control, end), end
    states, scores = [x], [density.score(x)]
    for k in reversed(range(control.process.steps)):
        steered = chains.steer(k + 1, x) if control.process.annealed else None
        x = torch.addcmul(chains.backward(k, x, scores[-1], steered), noise[:, k], chains.back_roots[k])
        states.append(x)
        scores.append(density.score(x))
    return torch.stack(states[::-1], 1), torch.stack(scores[::-1], 1)


def given(control: Control, states: Tensor, scores: Tensor) -> Paths:
    """Given paths, with log F and log B of their steps by one call of the network for all states.

    Args:
        control: of R replicas.
        states: (R, K + 1, B, D), without a graph.
        scores: of the target there.
    """
    process = control.process.like(states)
    replicas, _, batch, dim = states.shape
    v = process.variances
    reach = process.steps + 1 if process.annealed else process.steps
    at = _times(control, states)[:, :reach].expand(replicas, reach, batch).flatten(1)
    steered = control.steer(states[:, :reach].flatten(1, 2), at).view(replicas, reach, batch, dim)
    here, there = states[:, :-1], states[:, 1:]
    push, drift, root = steered[:, : process.steps], _drift_scale(control, v), v.sqrt().view(-1, 1, 1)
    if drift is None:
        push = push + control.gated(scores[:, :-1], control.gate[..., None, None] * root)
        base = process.growth.view(-1, 1, 1) * here
    else:
        base = here + drift[0] * slopes(here, scores[:, :-1], drift[1][:, :-1])
    forward = log_normal(there - base - root * push, (v.log() + 2 * control.log_widths).exp().unsqueeze(-1))
    backward = _backward(control, states, scores, steered[:, 1:] if process.annealed else None)
    return Paths(states, scores, forward, backward)


def _backward(control: Control, states: Tensor, scores: Tensor, steered: Tensor | None) -> Tensor:
    """log B (R, K, B); ``steered`` (R, K, B, D) is the network at the later states, where B follows it."""
    process = control.process.like(states)
    v = process.variances
    here, there = states[:, :-1], states[:, 1:]
    off = torch.addcmul(here, process.shrink.view(-1, 1, 1), there, value=-1)
    drift = _drift_scale(control, v)
    if drift is not None:
        assert steered is not None
        off = off - drift[0] * slopes(there, scores[:, 1:], drift[1][:, 1:]) + v.sqrt().view(-1, 1, 1) * steered
    variances = process.back_variances.view(-1, 1)
    if not process.point:
        return log_normal(off, variances)
    return torch.cat((torch.zeros_like(off[:, :1, :, 0]), log_normal(off[:, 1:], variances[1:])), 1)


def _times(control: Control, like: Tensor) -> Tensor:
    """0, …, 1 (1, K + 1, 1)."""
    steps = control.process.steps
    return (torch.arange(steps + 1, device=like.device, dtype=like.dtype) / steps).view(1, -1, 1)


def _drift_scale(control: Control, v: Tensor) -> tuple[Tensor, Tensor] | None:
    """½v (1, K, 1, 1) and β (R, K + 1, 1, 1) of an annealed process."""
    if not control.process.annealed:
        return None
    return (v / 2).view(1, -1, 1, 1), control.betas()[..., None, None]
