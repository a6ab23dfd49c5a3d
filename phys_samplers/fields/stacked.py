"""Networks of R replicas as one network, and the field models made of them: stacked multilayer perceptrons.

Every parameter and buffer has the replica axis first. Small networks are bound by the overhead of each operation, so R
of them trained as one batched network cost far less than R runs. A single network is the case R = 1; there is no second
code path. Initial weights of replica r come from replica r's own stream.

Each field model is a frozen *spec* (a component of kind ``field``) whose ``build`` makes the stacked network. Networks
map ``x`` (R, B, in) and, if conditioned, ``t`` (R, B) to (R, B, out); one that takes codes of K numbers as well has a
third argument (R, B, K).
"""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from phys_samplers.errors import ConfigurationError
from phys_samplers.options import Part, check_values, fit_option, make_part
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
        self._is_column = out_features == 1  # asked in every step, where looking at shapes would cost a microsecond

    def forward(self, x: Tensor) -> Tensor:
        """Apply each replica's layer to its own rows."""
        if self._is_column and _goes_astray(x, self.weight):
            return torch.baddbmm(*(part.expand(2, -1, -1) for part in (self.bias, x, self.weight)))[:1]
        return torch.baddbmm(self.bias, x, self.weight)


def stacked_product(x: Tensor, y: Tensor) -> Tensor:
    """x_r y_r for R replicas at once, (R, B, n), (R, n, m) → (R, B, m), to the same bits for every R."""
    return torch.bmm(x.expand(2, -1, -1), y.expand(2, -1, -1))[:1] if _goes_astray(x, y) else x @ y


def _goes_astray(x: Tensor, y: Tensor) -> bool:
    """Whether torch hands the product to a kernel with other last bits than that of a stack: one matrix, one column."""
    return y.shape[-1] == 1 and x.ndim == y.ndim == 3 and x.shape[0] == y.shape[0] == 1


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

    On accelerators one grouped convolution with a group per replica. On the CPU one convolution a replica, which costs
    about the same and has the same bits for every R. The replica axis leads every parameter; only activations fold it
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
        padding, replicas = self.weight.shape[-1] // 2, len(self.weight)
        if not x.is_cpu:
            weight, bias = self.weight.flatten(0, 1), self.bias.flatten()
            return functional.conv2d(x, weight, bias, padding=padding, groups=replicas)
        images = x.chunk(replicas, 1)
        if self.weight.shape[2] == 1:  # one channel has both layouts at once, until a copy says which
            images = tuple(image.clone(memory_format=torch.channels_last) for image in images)
        elif replicas > 1:
            images = tuple(image.contiguous(memory_format=torch.channels_last) for image in images)
        parts = zip(images, self.weight, self.bias, strict=True)
        made = [functional.conv2d(image, weight, bias, padding=padding) for image, weight, bias in parts]
        return made[0] if replicas == 1 else torch.cat(made, 1)


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


@dataclass(frozen=True, kw_only=True)
class Field(ABC):
    """What a network looks like, before it is built.

    Args:
        width: units of each hidden layer, or channels of an image at full resolution.
        depth: number of hidden layers, or of resolutions.
        activation: name of the nonlinearity.
    """

    width: int = fit_option(64, least=1)
    depth: int = fit_option(3, least=1)
    activation: str = "silu"

    def __post_init__(self) -> None:
        check_values(self)
        activation(self.activation)

    @abstractmethod
    def build(
        self,
        in_features: int,
        out_features: int,
        *,
        streams: Streams,
        conditioned: bool = False,
        out_gain: float = 1.0,
        code_width: int = 0,
    ) -> nn.Module:
        """The stacked network.

        Args:
            in_features: coordinates of the input.
            out_features: coordinates of the output.
            streams: one per replica; draws the initial weights.
            conditioned: whether ``forward`` takes a second argument ``t`` (R, B).
            out_gain: scale of the last layer's initial weights.
            code_width: K, if ``forward`` takes a third argument ``code`` (R, B, K), of a condition for example.
        """


@dataclass(frozen=True, kw_only=True)
class Perceptron(Field):
    """What the perceptrons share.

    Args:
        input_gain: scale of the first layer's initial weights; above 1 the network starts with higher frequencies,
            which laws of many narrow modes need.
    """

    input_gain: float = fit_option(3.0, above=0)


@dataclass(frozen=True, kw_only=True)
class MLP(Perceptron):
    """A plain perceptron; time, if any, enters as one more input feature."""

    def build(self, in_features: int, out_features: int, *, streams: Streams, **options: Any) -> nn.Module:
        """See ``Field.build``."""
        return StackedMLP(self, in_features, out_features, streams=streams, **options)


@dataclass(frozen=True, kw_only=True)
class ResidualMLP(Perceptron):
    """Hidden layers added to a running state (He et al. 2016), time as one more input feature."""

    def build(self, in_features: int, out_features: int, *, streams: Streams, **options: Any) -> nn.Module:
        """See ``Field.build``."""
        return StackedMLP(self, in_features, out_features, streams=streams, residual=True, **options)


@dataclass(frozen=True, kw_only=True)
class FourierMLP(Perceptron):
    """A perceptron that sees time through random Fourier features (Tancik et al. 2020) beside its input.

    Args:
        frequencies: number of random frequencies (2 features each).
        bandwidth: standard deviation of the frequencies, in cycles per unit of t.
        residual: whether hidden layers are residual.
    """

    frequencies: int = 8
    bandwidth: float = 0.5
    residual: bool = False

    def build(
        self, in_features: int, out_features: int, *, streams: Streams, conditioned: bool = True, **options: Any
    ) -> nn.Module:
        """See ``Field.build``."""
        own: dict[str, Any] = {"residual": self.residual, "frequencies": self.frequencies, "bandwidth": self.bandwidth}
        return StackedMLP(self, in_features, out_features, streams=streams, conditioned=conditioned, **own, **options)


PIECE = 16_384
"""Rows that a perceptron takes at once where no graph is kept: its layers' outputs stay in the cache, and memory does
not grow with the number of samples."""


def in_pieces(network: nn.Module, rows: int, x: Tensor, *given: Tensor | None) -> Tensor:
    """``network(x, *given)`` by pieces of ``rows`` of the B rows of x (R, B, in).

    What else is given is None or has B rows, (R, B, ...), or one, which is for all.
    """
    count = -(-x.shape[1] // rows)
    parts = [[one] * count if one is None or one.shape[1] == 1 else one.split(rows, 1) for one in (x, *given)]
    return torch.cat([network(*part) for part in zip(*parts, strict=True)], 1)


class StackedMLP(nn.Module):
    """The network behind the three specs; see there for the arguments."""

    def __init__(
        self,
        spec: Perceptron,
        in_features: int,
        out_features: int,
        *,
        streams: Streams,
        conditioned: bool = False,
        out_gain: float = 1.0,
        code_width: int = 0,
        residual: bool = False,
        frequencies: int = 0,
        bandwidth: float = 1.0,
    ) -> None:
        super().__init__()
        self.activation = activation(spec.activation)
        in_features += code_width  # the first layer's product with a one-hot code is the embedding of a class
        self.residual = residual
        self.conditioned = conditioned
        self.embedding: FourierFeatures | None = None
        if conditioned:
            if frequencies:
                self.embedding = FourierFeatures(frequencies, bandwidth, streams=streams)
                in_features += 2 * frequencies
            else:
                in_features += 1
        widths = [in_features] + [spec.width] * spec.depth
        # √3 makes U(−1/√n, 1/√n) keep unit variance through the layers.
        self.hidden = nn.ModuleList(
            StackedLinear(a, b, streams=streams, gain=math.sqrt(3.0) * (1.0 if i else spec.input_gain))
            for i, (a, b) in enumerate(pairwise(widths))
        )
        self.out = StackedLinear(spec.width, out_features, streams=streams, gain=out_gain)

    def forward(self, x: Tensor, t: Tensor | None = None, code: Tensor | None = None) -> Tensor:
        """(R, B, in), (R, B) or (R, 1), and codes (R, B, K) if it takes any → (R, B, out)."""
        if x.shape[1] > PIECE and not torch.is_grad_enabled():
            return in_pieces(self, PIECE, x, t, code)
        seen = [x]
        if self.conditioned:
            if t is None:
                raise ConfigurationError("this network is conditioned on time; expected a second argument t (R, B)")
            features = t.unsqueeze(-1) if self.embedding is None else self.embedding(t)
            seen.append(features.expand(*x.shape[:2], -1))
        if code is not None:
            seen.append(code.expand(*x.shape[:2], -1))
        x = torch.cat(seen, -1) if len(seen) > 1 else x
        for index, layer in enumerate(self.hidden):
            y = self.activation(layer(x))
            x = x + y if self.residual and index else y
        return self.out(x)


class FourierFeatures(nn.Module):
    """t ↦ √2 (cos 2πft, sin 2πft) with fixed random frequencies f, one set per replica: (R, B) → (R, B, 2F)."""

    frequency: Tensor

    def __init__(self, frequencies: int, bandwidth: float, *, streams: Streams) -> None:
        super().__init__()
        self.register_buffer("frequency", streams.normal(1, frequencies).mul_(2 * math.pi * bandwidth))

    def forward(self, t: Tensor) -> Tensor:
        """(R, B) → (R, B, 2F)."""
        angle = t.unsqueeze(-1) * self.frequency
        return torch.cat((angle.cos(), angle.sin()), -1).mul_(math.sqrt(2.0))


def make_field(field: Part, *, width: int | None, depth: int | None) -> Field:
    """The field, by name or object.

    Args:
        field: name (with options or without), mapping or object.
        width: units of each hidden layer; None for the field's own. An option inside the name wins.
        depth: hidden layers, likewise.

    Raises:
        ConfigurationError: if a size is given beside an object, which has its own.
    """
    sizes = {name: value for name, value in (("width", width), ("depth", depth)) if value is not None}
    if sizes and isinstance(field, Field):
        raise ConfigurationError(
            f"{', '.join(f'{name} is {value}' for name, value in sizes.items())} and field is {field!r}; give sizes to "
            "the field, or the field by name"
        )
    made: Field = make_part("field", field, **sizes)
    return made
