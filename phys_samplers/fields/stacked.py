"""Networks of R replicas as one network: every parameter and buffer has the replica axis first.

Small networks are bound by the overhead of each operation, so R of them trained as one batched network cost far less
than R runs. A single network is the case R = 1; there is no second code path. Initial weights of replica r come from
replica r's own stream.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from phys_samplers.errors import ConfigurationError
from phys_samplers.randomness import Streams

Module = TypeVar("Module", bound=nn.Module)

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "silu": functional.silu,
    "gelu": functional.gelu,
    "tanh": torch.tanh,
    "softplus": functional.softplus,
    "relu": functional.relu,
    "elu": functional.elu,
    "sin": torch.sin,
}


def activation(name: str) -> Callable[[Tensor], Tensor]:
    """The activation function called ``name``.

    Raises:
        ConfigurationError: naming the activations there are.
    """
    if name not in ACTIVATIONS:
        raise ConfigurationError(f"activation is {name!r}; expected one of {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]


class StackedLinear(nn.Module):
    """y_r = x_r W_r + b_r for R replicas at once: (R, B, in) → (R, B, out).

    Args:
        in_features: width of the input.
        out_features: width of the output.
        streams: one stream per replica, for the initial weights U(−a, a) with a = gain/√in.
        gain: scale of the initial weights; 0 starts the layer at zero.
    """

    def __init__(self, in_features: int, out_features: int, *, streams: Streams, gain: float = 1.0) -> None:
        super().__init__()
        bound = gain / math.sqrt(in_features)
        weight = streams.uniform(in_features, out_features).mul_(2 * bound).sub_(bound)
        bias = streams.uniform(1, out_features).mul_(2 * bound).sub_(bound)
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(bias)

    def forward(self, x: Tensor) -> Tensor:
        """Apply each replica's layer to its own rows."""
        return torch.baddbmm(self.bias, x, self.weight)


def replica(module: Module, index: int) -> Module:
    """The network of replica ``index`` alone, as a stack of one that shares nothing with ``module``."""
    single = copy.deepcopy(module)
    for parameter in single.parameters():
        parameter.data = parameter.data[index : index + 1].clone()
        parameter.grad = None
    for owner in single.modules():
        for name, buffer in owner._buffers.items():
            if buffer is not None:
                owner._buffers[name] = buffer[index : index + 1].clone()
    return single


def parameters_per_replica(module: nn.Module) -> int:
    """Number of trainable numbers of one replica."""
    return sum(p[0].numel() for p in module.parameters() if p.requires_grad)
