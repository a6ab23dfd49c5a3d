r"""Objectives of path samplers: functions of the weights of a batch of paths.

    kl                   −E[log w], gradients along the paths (reparametrised)
    log-variance         Var[log w] over any paths; on its own paths, with a fixed B, half its gradient is that of KL
    trajectory-balance   E[(log w − log Ẑ)²] with a learned log Ẑ, whose optimum gives the log-variance
    sub-trajectory-balance   the same for pieces of a path, with a learned law of the states between
    second-moment        log E[w²], whose optimum has the least variance of weights (2-Rényi)

Paths of all but ``kl`` are simulated without a graph. ``replay`` has a module of its own.

Sources: Richter & Berner 2024 (arXiv:2307.01198); Malkin et al. 2022 (arXiv:2201.13259); Madan et al. 2023
(arXiv:2209.12782); Sendera et al. 2024 (arXiv:2402.05098).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from phys_path.paths import Control
from phys_samplers.paths import log_normal

WeightObjective = Literal["log-variance", "trajectory-balance", "second-moment"]

LOWEST = -1e4
"""log w below it counts as this much."""


def objective_of(name: WeightObjective, log_weights: Tensor, log_forward: Tensor, log_z: Tensor) -> Tensor:
    """The objective (R,) of detached paths, from log w and log F (R, B) and log Ẑ (R, 1)."""
    kept = log_weights.clamp(min=LOWEST)
    if name == "log-variance":
        return kept.var(1)
    if name == "trajectory-balance":
        return (kept - log_z).square().mean(1)
    # ∇E[w²] = E[w²(2∇log w + ∇log F)] on the sampler's own paths, divided by E[w²].
    share = torch.softmax(2 * kept.detach(), 1)
    return (share * (2 * kept + log_forward)).sum(1)


def sub_trajectory_balance(forward: Tensor, backward: Tensor, flow: Tensor, span: int) -> Tensor:
    """Mean over pieces of ``span`` steps of (log flow_end B − log flow_start F)², (R,).

    One step a piece is detailed balance, all of them trajectory balance (Madan et al. 2023, arXiv:2209.12782).

    Args:
        forward: log F (R, K, B) of each step.
        backward: log B, likewise.
        flow: of the states (R, K + 1, B).
        span: steps of a piece; the last piece is shorter where it has to be.
    """
    steps = forward.shape[1]
    marks = [*range(0, steps, span), steps]
    through = torch.cat((torch.zeros_like(flow[:, :1]), (backward - forward).cumsum(1)), 1)
    pieces = (flow + through)[:, marks].diff(dim=1)
    return pieces.clamp(min=LOWEST).square().mean((1, 2))


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
    relative = log_normal(between, control.process.like(states).reference[1:-1, None])
    return torch.cat((first, log_z + relative + learned, last), 1)
