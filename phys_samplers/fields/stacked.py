"""Networks of R replicas as one network: every parameter and buffer has the replica axis first.

Small networks are bound by the overhead of each operation, so R of them trained as one batched network cost far less
than R runs. A single network is the case R = 1; there is no second code path. Initial weights of replica r come from
replica r's own stream.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
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
        if _goes_astray(x, self.weight):
            return torch.baddbmm(*(part.expand(2, -1, -1) for part in (self.bias, x, self.weight)))[:1]
        return torch.baddbmm(self.bias, x, self.weight)


def stacked_product(x: Tensor, y: Tensor) -> Tensor:
    """x_r y_r for R replicas at once, (R, B, n), (R, n, m) → (R, B, m), to the same bits for every R."""
    return torch.bmm(x.expand(2, -1, -1), y.expand(2, -1, -1))[:1] if _goes_astray(x, y) else x @ y


def _goes_astray(x: Tensor, y: Tensor) -> bool:
    """Whether torch hands the product to a kernel with other last bits than that of a stack: one matrix, one column."""
    return x.ndim == y.ndim == 3 and len(x) == len(y) == 1 and y.shape[-1] == 1


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


class StackedConv2d(nn.Module):
    """A convolution of each replica's channels, stride 1, that keeps the size: (B, R·in, H, W) → (B, R·out, H, W).

    One grouped convolution with a group per replica. The replica axis leads every parameter; only activations fold it
    into the channels, where grouped kernels want it.

    Args:
        in_channels: channels of the input of one replica.
        out_channels: channels of the output of one replica.
        size: side k of the kernel, odd; the image is padded with (k − 1)/2 zeros.
        streams: one stream per replica, for the initial weights U(−a, a) with a = gain/√(in k²).
        gain: scale of the initial weights; √3 keeps unit variance (away from the border), 0 starts the layer at zero.

    Raises:
        ConfigurationError: if ``size`` is even.
    """

    def __init__(
        self, in_channels: int, out_channels: int, size: int = 3, *, streams: Streams, gain: float = 1.0
    ) -> None:
        super().__init__()
        if size < 1 or size % 2 == 0:
            raise ConfigurationError(f"size of the kernel is {size}; expected an odd number such as 3")
        bound = gain / math.sqrt(in_channels * size**2)
        weight = streams.uniform(out_channels, in_channels, size, size).mul_(2 * bound).sub_(bound)
        bias = streams.uniform(out_channels).mul_(2 * bound).sub_(bound)
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(bias)

    def forward(self, x: Tensor) -> Tensor:
        """Apply each replica's kernel to its own channels."""
        weight, bias = self.weight.flatten(0, 1), self.bias.flatten()
        return functional.conv2d(x, weight, bias, padding=weight.shape[-1] // 2, groups=len(self.weight))


def fold(x: Tensor, channels: int, side: int) -> Tensor:
    """Rows as images with the replicas in the channels: (R, B, C·S·S) → (B, R·C, S, S)."""
    image = x.unflatten(-1, (channels, side, side)).transpose(0, 1).flatten(1, 2)
    # Convolution kernels of the CPU and of tensor cores compute in this order; others would reorder at every layer.
    return image.contiguous(memory_format=torch.channels_last)


def unfold(image: Tensor, replicas: int) -> Tensor:
    """The inverse of ``fold``: (B, R·C, S, S) → (R, B, C·S·S)."""
    return image.unflatten(1, (replicas, -1)).transpose(0, 1).flatten(2)


def weights(module: nn.Module) -> dict[str, Tensor]:
    """The numbers of a network by the names they have in a checkpoint."""
    return {f"module.{name}": value for name, value in module.state_dict().items()}


def load_weights(module: Module, tensors: Mapping[str, Tensor], device: torch.device | str) -> Module:
    """``module`` on ``device`` with the numbers that ``weights`` gave; ``tensors`` may hold others too."""
    module.load_state_dict({k.removeprefix("module."): v for k, v in tensors.items() if k.startswith("module.")})
    return module.to(device).requires_grad_(False)
