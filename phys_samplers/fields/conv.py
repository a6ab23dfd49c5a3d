"""Convolutions of R replicas at once, on images whose channels hold the replicas: (B, R·C, H, W).

    y_r = w_r ∗ x_r + b_r,

one grouped convolution with a group per replica. The replica axis leads every parameter, as in
``phys_samplers.fields.stacked``; only activations fold it into the channels, where grouped kernels want it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from phys_samplers.errors import ConfigurationError
from phys_samplers.randomness import Streams


class StackedConv2d(nn.Module):
    """A convolution of each replica's channels, stride 1, that keeps the size: (B, R·in, H, W) → (B, R·out, H, W).

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
