"""A small U-Net for square images, stacked over replicas.

At each resolution S, S/2, S/4, … a residual block

    x ← P x + w₂ ∗ φ(a₂ ⊙ N(w₁ ∗ φ(a₁ ⊙ N(x) + b₁)) + b₂)

with group norm N; (a, b) per channel are affine in features of time, or learnt constants without time. Averages of 2×2
pixels lead down, copies of pixels up, where the state of the same resolution on the way down is added. The shape is
that of Ronneberger, Fischer & Brox 2015 (arXiv:1505.04597), the block and its conditioning those of Dhariwal & Nichol
2021 (arXiv:2105.05233, App. A). Sums in place of concatenations halve the cost of the way up.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from phys_samplers.errors import ConfigurationError
from phys_samplers.fields.stacked import (
    Field,
    FourierFeatures,
    StackedConv2d,
    StackedLinear,
    activation,
    fold,
    in_pieces,
    unfold,
)
from phys_samplers.options import fit_option
from phys_samplers.randomness import Streams

UNIT_GAIN = math.sqrt(3.0)
"""Of layers that keep unit variance."""
BRANCH_GAIN = 0.3 * UNIT_GAIN
"""Of the layer that ends a residual branch: a new network is close to its shortcuts."""
GROUP = 4
"""Channels of a group in a group norm, or the next number that divides them: single channels would forget biases."""


@dataclass(frozen=True, kw_only=True)
class UNet(Field):
    """A U-Net on square images given as flat rows, channel first: D = channels · S².

    ``width`` is the number of channels at full resolution, below it there are twice as many; ``depth`` is the number
    of resolutions. Odd sides are halved upwards (28 → 14 → 7 → 4). A learnt offset per pixel tells places apart. An
    output that is no image (``out_features`` is not a multiple of S²) is the average of that many channels over the
    pixels.

    Args:
        channels: of the image.
        frequencies: number of random frequencies of time (2 features each).
        bandwidth: standard deviation of the frequencies, in cycles per unit of t.
    """

    width: int = fit_option(16, least=1)
    channels: int = fit_option(1, least=1)
    frequencies: int = fit_option(8, least=1)
    bandwidth: float = fit_option(0.5, above=0)

    def side(self, features: int) -> int:
        """The side S of an image of ``features`` coordinates.

        Raises:
            ConfigurationError: if there is none, or it is too small to be halved ``depth`` − 1 times.
        """
        side = math.isqrt(max(features, 0) // self.channels)
        if self.channels * side**2 != features:
            raise ConfigurationError(
                f"a U-Net of {self.channels} channel(s) is asked for {features} coordinates; expected channels × side² "
                "(set channels, or take a field that is no network of images, e.g. 'fourier-mlp')"
            )
        if side < 2 ** (self.depth - 1):
            raise ConfigurationError(
                f"depth is {self.depth} and the side of the image {side}; expected a side of at least 2^(depth − 1) = "
                f"{2 ** (self.depth - 1)} pixels, or a smaller depth"
            )
        return side

    def build(
        self, in_features: int, out_features: int, *, streams: Streams, conditioned: bool = True, **options: Any
    ) -> nn.Module:
        """See ``Field.build``; codes are embedded beside time, which a network that takes them must have too."""
        return StackedUNet(self, in_features, out_features, streams=streams, conditioned=conditioned, **options)


PIECE = 1_024
"""Images that a network takes at once where no graph is kept, so that memory does not grow with their number."""


class StackedUNet(nn.Module):
    """The network behind ``UNet``; see there for the arguments."""

    def __init__(
        self,
        spec: UNet,
        in_features: int,
        out_features: int,
        *,
        streams: Streams,
        conditioned: bool,
        out_gain: float = 1.0,
        code_width: int = 0,
    ) -> None:
        super().__init__()
        if code_width and not conditioned:
            raise ConfigurationError("a U-Net takes codes beside time; expected conditioned=True with code_width")
        self.activation = activation(spec.activation)
        self.conditioned = conditioned
        self.channels = spec.channels
        self.side = side = spec.side(in_features)
        self.pooled = out_features % side**2 != 0
        widths = [spec.width] + [2 * spec.width] * (spec.depth - 1)

        self.enter = StackedConv2d(spec.channels, spec.width, streams=streams, gain=UNIT_GAIN)
        self.place = nn.Parameter(torch.zeros(streams.replicas, spec.width, side, side))
        self.down = nn.ModuleList(
            ResidualBlock(spec, a, b, streams=streams) for a, b in pairwise([spec.width, *widths])
        )
        self.lift = nn.ModuleList(
            StackedConv2d(b, a, 1, streams=streams, gain=UNIT_GAIN) for a, b in reversed(list(pairwise(widths)))
        )
        self.up = nn.ModuleList(ResidualBlock(spec, a, a, streams=streams) for a in reversed(widths[:-1]))
        self.norm = ModulatedNorm(spec.width)
        out_channels = out_features if self.pooled else out_features // side**2
        self.out = StackedConv2d(spec.width, out_channels, streams=streams, gain=out_gain)

        # One product makes the scales and shifts of all norms.
        self.sizes = [module.size for module in self.modules() if isinstance(module, ModulatedNorm)]
        if conditioned:
            hidden = 4 * spec.width
            self.features = FourierFeatures(spec.frequencies, spec.bandwidth, streams=streams)
            self.embed = StackedLinear(2 * spec.frequencies + code_width, hidden, streams=streams, gain=UNIT_GAIN)
            self.modulate = StackedLinear(hidden, sum(self.sizes), streams=streams)
        else:
            self.modulation = nn.Parameter(torch.zeros(streams.replicas, 1, sum(self.sizes)))

    def forward(self, x: Tensor, t: Tensor | None = None, code: Tensor | None = None) -> Tensor:
        """(R, B, in), (R, B) or (R, 1), and codes (R, B, K) if it takes any → (R, B, out)."""
        if x.shape[1] > PIECE and not torch.is_grad_enabled():
            return in_pieces(self, PIECE, x, t, code)
        modulations = iter(self._modulation(t, code).split(self.sizes, -1))
        image = self.enter(fold(x, self.channels, self.side)) + self.place.flatten(0, 1)
        states = []
        for level, block in enumerate(self.down):
            if level:
                states.append(image)
                image = functional.avg_pool2d(image, 2, ceil_mode=True)
            image = block(image, modulations)
        for lift, block in zip(self.lift, self.up, strict=True):
            state = states.pop()
            image = block(functional.interpolate(lift(image), size=state.shape[-2:]) + state, modulations)
        image = self.out(self.activation(self.norm(image, modulations)))
        return unfold(image.mean((2, 3), keepdim=True) if self.pooled else image, len(x))

    def _modulation(self, t: Tensor | None, code: Tensor | None) -> Tensor:
        """Scales and shifts of all norms, (R, B or 1, sum of sizes)."""
        if not self.conditioned:
            return self.modulation
        if t is None:
            raise ConfigurationError("this network is conditioned on time; expected a second argument t (R, B)")
        features = self.features(t)
        if code is not None:
            rows = max(features.shape[1], code.shape[1])
            features = torch.cat((features.expand(-1, rows, -1), code.expand(-1, rows, -1)), -1)
        return self.modulate(self.activation(self.embed(features)))


class ResidualBlock(nn.Module):
    """Two normalised convolutions added to their input: (B, R·in, H, W) → (B, R·out, H, W)."""

    def __init__(self, spec: UNet, in_channels: int, out_channels: int, *, streams: Streams) -> None:
        super().__init__()
        self.activation = activation(spec.activation)
        self.norms = nn.ModuleList((ModulatedNorm(in_channels), ModulatedNorm(out_channels)))
        self.first = StackedConv2d(in_channels, out_channels, streams=streams, gain=UNIT_GAIN)
        self.second = StackedConv2d(out_channels, out_channels, streams=streams, gain=BRANCH_GAIN)
        self.shortcut: StackedConv2d | None = None
        if in_channels != out_channels:
            self.shortcut = StackedConv2d(in_channels, out_channels, 1, streams=streams, gain=UNIT_GAIN)

    def forward(self, image: Tensor, modulations: Iterator[Tensor]) -> Tensor:
        """Takes the modulations of its norms, in their order, from ``modulations``."""
        branch = image
        for norm, conv in zip(self.norms, (self.first, self.second), strict=True):
            branch = conv(self.activation(norm(branch, modulations)))
        return branch + (image if self.shortcut is None else self.shortcut(image))


class ModulatedNorm(nn.Module):
    """Group norm, then x ↦ (1 + a) x + b with (a, b) per replica and channel, and per row if they depend on time.

    Args:
        channels: of one replica.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.groups = math.gcd(channels, max(1, channels // GROUP))
        self.size = 2 * channels

    def forward(self, image: Tensor, modulations: Iterator[Tensor]) -> Tensor:
        """(B, R·C, H, W), with the next of ``modulations`` (R, B or 1, 2C)."""
        modulation = next(modulations).transpose(0, 1)
        scale, shift = (part.flatten(1)[..., None, None] for part in modulation.chunk(2, -1))
        replicas = modulation.shape[1]
        normal = functional.group_norm(image, replicas * self.groups)
        if replicas == 1 or not image.is_cpu:
            return torch.addcmul(shift, normal, 1 + scale)
        # One by one: gradients are sums over pixels, which round by how many channels lie side by side.
        parts = zip(*(part.chunk(replicas, 1) for part in (shift, normal, 1 + scale)), strict=True)
        return torch.cat([torch.addcmul(*of) for of in parts], 1)
