"""Directional derivatives of stacked networks along with their values: divergences and Jacobians in forward mode.

One pass carries V tangents beside the values, with a graph, so that residuals with a divergence train as fast as
D passes of a network do; perceptrons carry them by hand, other networks by ``torch.func``.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import jvp, vmap

from phys_samplers.fields.stacked import StackedLinear, StackedMLP


def with_tangents(network: nn.Module, x: Tensor, t: Tensor, tangents: Tensor) -> tuple[Tensor, Tensor]:
    """NN(x, t) (R, N, O), and its derivatives (V, R, N, O) along ``tangents`` (V, R, N, D) in x.

    Args:
        network: of x (R, N, D) and, if conditioned, t.
        x: states.
        t: times (R, N) or what broadcasts.
        tangents: directions.
    """
    if not isinstance(network, StackedMLP):
        along: Tensor = vmap(lambda v: jvp(lambda y: network(y, t), (x,), (v,))[1])(tangents)
        values: Tensor = network(x, t)
        return values, along
    y, moved = x, tangents
    if network.conditioned:
        features: Tensor = t.unsqueeze(-1) if network.embedding is None else network.embedding(t)
        y = torch.cat((x, features.expand(*x.shape[:2], -1)), -1)
    for index, layer in enumerate(network.hidden):
        assert isinstance(layer, StackedLinear)
        before = layer(y)
        found: tuple[Tensor, Tensor] = jvp(network.activation, (before,), (torch.ones_like(before),))  # type: ignore[assignment]
        value, along = found[0], found[1] * _times(moved, layer.weight[:, : moved.shape[-1]])  # time does not move
        y, moved = (y + value, moved + along) if network.residual and index else (value, along)
    return network.out(y), _times(moved, network.out.weight)


def _times(moved: Tensor, weight: Tensor) -> Tensor:
    """(V, R, N, a) times (R, a, b), as one product a replica."""
    count, replicas, rows, _ = moved.shape
    joined = moved.transpose(0, 1).reshape(replicas, count * rows, -1)
    return torch.bmm(joined, weight).view(replicas, count, rows, -1).transpose(0, 1)


def basis(x: Tensor) -> Tensor:
    """Unit vectors of all coordinates, (D, R, N, D)."""
    dim = x.shape[-1]
    return torch.eye(dim, device=x.device, dtype=x.dtype).view(dim, 1, 1, dim).expand(dim, *x.shape)


def divergence(network: nn.Module, x: Tensor, t: Tensor, probes: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """NN(x, t) (R, N, D) and its divergence (R, N): exact, or an unbiased estimate from ``probes`` (V, R, N, D).

    Source: Hutchinson 1990 for probes of independent random signs.
    """
    tangents = basis(x) if probes is None else probes
    values, along = with_tangents(network, x, t, tangents)
    if probes is None:
        return values, torch.einsum("irni->rn", along)
    return values, (probes * along).sum(-1).mean(0)
