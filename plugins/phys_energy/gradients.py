r"""A scalar perceptron and its gradient in one pass forwards and one back, without an autograd graph.

With a_k = W_kᵀ h_{k−1} + b_k, h_k = φ(a_k) and f = wᵀ h_n + b, the gradient goes back as

    g_n = w,        g_{k−1} = W_k (g_k ∘ φ'(a_k)),        ∇f = g_0,

and a residual layer h_k = h_{k−1} + φ(a_k) adds g_k to g_{k−1}. Nothing is kept for the weights' own gradients, which
is what makes it faster than autograd.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from phys_samplers.fields.mlp import StackedMLP
from phys_samplers.fields.stacked import StackedLinear

Slope = Callable[[Tensor], tuple[Tensor, Tensor]]
"""φ(a) and φ'(a), both of the shape of a."""


def _silu(a: Tensor) -> tuple[Tensor, Tensor]:
    sigmoid = a.sigmoid()
    value = a * sigmoid
    return value, torch.addcmul(sigmoid, value, 1 - sigmoid)


def _gelu(a: Tensor) -> tuple[Tensor, Tensor]:
    below = torch.special.ndtr(a)
    density = a.square().mul_(-0.5).exp_().mul_(1 / math.sqrt(2 * math.pi))
    return a * below, torch.addcmul(below, a, density)


def _tanh(a: Tensor) -> tuple[Tensor, Tensor]:
    value = a.tanh()
    return value, 1 - value.square()


def _elu(a: Tensor) -> tuple[Tensor, Tensor]:
    return functional.elu(a), a.clamp(max=0).exp()


SLOPES: dict[Callable[[Tensor], Tensor], Slope] = {
    functional.silu: _silu,
    functional.gelu: _gelu,
    torch.tanh: _tanh,
    functional.softplus: lambda a: (functional.softplus(a), a.sigmoid()),
    functional.relu: lambda a: (a.relu(), (a > 0).to(a.dtype)),
    functional.elu: _elu,
    torch.sin: lambda a: (a.sin(), a.cos()),
}
"""By the activation functions of ``phys_samplers.fields``."""


@torch.no_grad()
def value_and_gradient(network: StackedMLP, x: Tensor) -> tuple[Tensor, Tensor]:
    """f (B,) and ∇f (B, D) at x (B, D).

    Args:
        network: one replica, unconditioned, with one output.
        x: points.
    """
    slope = SLOPES[network.activation]
    layers = [layer for layer in network.hidden if isinstance(layer, StackedLinear)]
    state, slopes = x, []
    for index, layer in enumerate(layers):
        value, derivative = slope(torch.addmm(layer.bias[0], state, layer.weight[0]))
        slopes.append(derivative)
        state = state + value if network.residual and index else value
    out = network.out
    value = torch.addmm(out.bias[0], state, out.weight[0]).squeeze(1)
    gradient = out.weight[0].T
    for index in range(len(slopes) - 1, -1, -1):
        back = (slopes[index] * gradient) @ layers[index].weight[0].T
        gradient = gradient + back if network.residual and index else back
    return value, gradient
