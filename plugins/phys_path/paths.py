"""Paths of a process under a learned control: simulated forwards, carried back from samples, and weighed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from phys_path.processes import Process, log_normal
from phys_samplers.density import FlatDensity
from phys_samplers.target import Target

STEEPEST = 1e3
"""Largest coordinate of ∇log π_k that annealed moves follow."""
LEVER = 50.0
"""log Ẑ is this times its parameter, so that the rate of the networks moves it fast enough."""


class UnitDensity:
    """A target's density in units of its spread, on flat coordinates (…, D), with leading axes kept.

    Args:
        target: with ``log_prob`` and ``score``.
        scale: its spread.
    """

    def __init__(self, target: Target, scale: float) -> None:
        self.flat, self.scale, self.dim = FlatDensity(target), scale, FlatDensity(target).dim
        self._shift = self.dim * torch.tensor(scale, dtype=torch.float64).log().item()

    def log_prob(self, x: Tensor) -> Tensor:
        """log p̃ (…,) of x (…, D), with the Jacobian of the unit."""
        return self.flat.log_prob(x.reshape(-1, self.dim) * self.scale).to(x.dtype).view(x.shape[:-1]) + self._shift

    def score(self, x: Tensor, *, attached: bool = False) -> Tensor:
        """∇log p̃ (…, D); ``attached`` keeps the graph that gradients along a path need."""
        if not attached:
            return self.scale * self.flat.score(x.reshape(-1, self.dim) * self.scale).to(x.dtype).view(x.shape)
        with torch.enable_grad():
            x = x if x.requires_grad else x.detach().requires_grad_()
            (score,) = torch.autograd.grad(self.log_prob(x).sum(), x, create_graph=True)
        return score


class Control(nn.Module):
    """The control of R replicas, with what else a process learns.

    Args:
        network: (R, N, D) and times (R, N) to (R, N, D).
        replicas: R.
        process: whose steps it controls.
        gate: c at first, for every time.
        clip: largest norm of the score that the gate lets through.
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
        flow: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.network, self.process, self.clip, self.flow = network, process, clip, flow
        self.gate = nn.Parameter(torch.full((replicas, process.steps), gate))
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
        """NN(x, t) of x (R, N, D) at times (R, N) in [0, 1]."""
        steered: Tensor = self.network(x, t)
        return steered

    def gated(self, score: Tensor, gate: Tensor) -> Tensor:
        """The part of the score that the gate lets through."""
        norm = score.norm(dim=-1, keepdim=True).clamp(min=1e-12)
        return gate * score * (self.clip / norm).clamp(max=1.0)


@dataclass(frozen=True)
class Walk:
    """Paths of R replicas, B each.

    Args:
        states: (R, K + 1, B, D) in units of the target's spread.
        scores: of the target there.
        log_weights: log w (R, B).
    """

    states: Tensor
    scores: Tensor
    log_weights: Tensor


def _slope(x: Tensor, score: Tensor, beta: Tensor) -> Tensor:
    """∇log π_k: that of N(0, I) and that of the target, mixed."""
    return (1 - beta) * -x + beta * score.clamp(-STEEPEST, STEEPEST)


def walk(
    control: Control,
    density: UnitDensity,
    start: Tensor,
    noise: Callable[[], Tensor],
    *,
    exploration: float = 1.0,
    attached: bool = False,
    keep: bool = True,
) -> Walk:
    """Simulate forwards, one call of the network and one of the score a state.

    Args:
        control: of R replicas.
        density: where to.
        start: x_0 (R, B, D).
        noise: standard normal draws (R, B, D), one call a step.
        exploration: η, by which the noise of these paths is larger than that of F.
        attached: whether gradients flow along the paths.
        keep: whether to keep all states, or the last one alone.
    """
    process, x = control.process, start
    variances, back = process.variances.to(x), process.back_variances.to(x)
    betas = control.betas()[..., None, None] if process.annealed else None
    times = torch.arange(process.steps + 1, device=x.device, dtype=x.dtype) / process.steps
    indices = torch.arange(process.steps, device=x.device)
    score = density.score(x, attached=attached)
    steered = control.steer(x, times[0].expand(x.shape[:2]))
    total = x.new_zeros(x.shape[:2]) if process.point else -log_normal(x, 1.0)
    states, scores = [x], [score]
    for k in range(process.steps):
        v, root = variances[k], variances[k].sqrt()
        slope = None if betas is None else _slope(x, score, betas[:, k])
        push = steered if process.annealed else steered + root * control.gated(score, control.gate[:, k, None, None])
        mean = process.base(x, v, slope) + root * push
        y = mean + exploration * root * noise()
        score = density.score(y, attached=attached)
        if k + 1 < process.steps or process.annealed:
            steered = control.steer(y, times[k + 1].expand(y.shape[:2]))
        total = total - log_normal(y - mean, v)
        if k or not process.point:
            slope = None if betas is None else _slope(y, score, betas[:, k + 1])
            total = total + log_normal(x - process.back(y, indices[k], v, slope, steered), back[k])
        x = y
        if keep:
            states.append(x)
            scores.append(score)
    total = total + density.log_prob(x)
    if not keep:
        states, scores = [x], [score]
    return Walk(torch.stack(states, 1), torch.stack(scores, 1), total)


def carried_back(control: Control, density: UnitDensity, end: Tensor, noise: Callable[[], Tensor]) -> Walk:
    """Paths of the backward chain from samples ``end`` (R, B, D) of the target, weighed."""
    process, x = control.process, end
    back = process.back_variances.to(x)
    variances = process.variances.to(x)
    betas = control.betas()[..., None, None] if process.annealed else None
    states, scores = [x], [density.score(x)]
    for k in reversed(range(process.steps)):
        if k == 0 and process.point:
            x = torch.zeros_like(x)
        else:
            slope = None if betas is None else _slope(x, scores[-1], betas[:, k + 1])
            time = torch.full(x.shape[:2], (k + 1) / process.steps, device=x.device, dtype=x.dtype)
            steered = control.steer(x, time) if process.annealed else None
            x = process.back(x, torch.tensor(k, device=x.device), variances[k], slope, steered)
            x = x + back[k].sqrt() * noise()
        states.append(x)
        scores.append(density.score(x))
    path, slopes = torch.stack(states[::-1], 1), torch.stack(scores[::-1], 1)
    return Walk(path, slopes, weighed(control, density.log_prob(path[:, -1]), path, slopes)[0])


def weighed(control: Control, log_target: Tensor, states: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
    """log w (R, B) of given paths, and log F of each; arguments as for ``factors`` and ``flows``."""
    forward, backward = (each.sum(1) for each in factors(control, states, scores))
    prior = 0.0 if control.process.point else log_normal(states[:, 0], 1.0)
    return log_target + backward - prior - forward, forward


def flows(control: Control, log_target: Tensor, states: Tensor) -> Tensor:
    """log of the unnormalised law of every state (R, K + 1, B): log Ẑ π₀ first, log p̃ last, learned between.

    Args:
        control: with a ``flow``.
        log_target: log p̃ (R, B) of the ends.
        states: (R, K + 1, B, D).
    """
    assert control.flow is not None
    replicas, count, batch, dim = states.shape
    log_z = control.log_z.unsqueeze(1)
    prior = torch.zeros_like(log_target) if control.process.point else log_normal(states[:, 0], 1.0)
    first, last = log_z + prior.unsqueeze(1), log_target.unsqueeze(1)
    if count == 2:
        return torch.cat((first, last), 1)
    between = states[:, 1:-1]
    times = torch.arange(1, count - 1, device=states.device, dtype=states.dtype) / (count - 1)
    at = times.repeat_interleave(batch).expand(replicas, -1)
    learned = control.flow(between.reshape(replicas, -1, dim), at).view(replicas, count - 2, batch)
    relative = log_normal(between, control.process.reference.to(states)[1:-1, None])
    return torch.cat((first, log_z + relative + learned, last), 1)


def factors(control: Control, states: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
    """log F and log B (R, K, B) of the steps of given paths; one call of the network for all states.

    Where paths start in a point, B of the first step is certain: its factor is 1.

    Args:
        control: of R replicas.
        states: (R, K + 1, B, D), without a graph.
        scores: of the target there.
    """
    process = control.process
    replicas, _, batch, dim = states.shape
    steps = process.steps
    first = 1 if process.point else 0
    v = process.variances.to(states).view(steps, 1, 1)
    times = torch.arange(steps + 1, device=states.device, dtype=states.dtype) / steps
    reach = steps + 1 if process.annealed else steps
    inputs = states[:, :reach].reshape(replicas, reach * batch, dim)
    at = times[:reach].repeat_interleave(batch).expand(replicas, -1)
    steered = control.steer(inputs, at).view(replicas, reach, batch, dim)
    here, there = states[:, :-1], states[:, 1:]
    if process.annealed:
        betas = control.betas()[..., None, None]
        mean = process.base(here, v, _slope(here, scores[:, :-1], betas[:, :-1])) + v.sqrt() * steered[:, :-1]
        slope = _slope(there, scores[:, 1:], betas[:, 1:])
        back = process.back(there, torch.arange(steps), v, slope, steered[:, 1:])
    else:
        push = steered + v.sqrt() * control.gated(scores[:, :-1], control.gate[..., None, None])
        mean = process.base(here, v, None) + v.sqrt() * push
        indices = torch.arange(steps, device=states.device).view(steps, 1, 1)
        back = process.back(there, indices, v, None, None)
    forward = log_normal(there - mean, v[..., 0])
    widths = process.back_variances.to(states).view(steps, 1)
    backward = log_normal((here - back)[:, first:], widths[first:])
    if first:
        backward = torch.cat((torch.zeros_like(forward[:, :1]), backward), 1)
    return forward, backward
