"""Field models: stacked multilayer perceptrons, plain, residual, and conditioned on time.

Each field is a frozen *spec* (a component of kind ``field``) whose ``build`` makes the stacked network. Networks map
``x`` (R, B, in) and, if conditioned, ``t`` (R, B) to (R, B, out).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from phys_samplers.errors import ConfigurationError
from phys_samplers.fields.stacked import StackedLinear, activation
from phys_samplers.options import check_values, fit_option
from phys_samplers.parts import Part, make_part
from phys_samplers.randomness import Streams


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
        self, in_features: int, out_features: int, *, streams: Streams, conditioned: bool = False, out_gain: float = 1.0
    ) -> nn.Module:
        """The stacked network.

        Args:
            in_features: coordinates of the input.
            out_features: coordinates of the output.
            streams: one per replica; draws the initial weights.
            conditioned: whether ``forward`` takes a second argument ``t`` (R, B).
            out_gain: scale of the last layer's initial weights.
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

    def build(
        self, in_features: int, out_features: int, *, streams: Streams, conditioned: bool = False, out_gain: float = 1.0
    ) -> nn.Module:
        """See ``Field.build``."""
        return StackedMLP(self, in_features, out_features, streams=streams, conditioned=conditioned, out_gain=out_gain)


@dataclass(frozen=True, kw_only=True)
class ResidualMLP(Perceptron):
    """Hidden layers added to a running state (He et al. 2016), time as one more input feature."""

    def build(
        self, in_features: int, out_features: int, *, streams: Streams, conditioned: bool = False, out_gain: float = 1.0
    ) -> nn.Module:
        """See ``Field.build``."""
        return StackedMLP(
            self, in_features, out_features, streams=streams, conditioned=conditioned, out_gain=out_gain, residual=True
        )


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
        self, in_features: int, out_features: int, *, streams: Streams, conditioned: bool = True, out_gain: float = 1.0
    ) -> nn.Module:
        """See ``Field.build``."""
        return StackedMLP(
            self,
            in_features,
            out_features,
            streams=streams,
            conditioned=conditioned,
            out_gain=out_gain,
            residual=self.residual,
            frequencies=self.frequencies,
            bandwidth=self.bandwidth,
        )


class StackedMLP(nn.Module):
    """The network behind the three specs; see there for the arguments."""

    def __init__(
        self,
        spec: Perceptron,
        in_features: int,
        out_features: int,
        *,
        streams: Streams,
        conditioned: bool,
        out_gain: float,
        residual: bool = False,
        frequencies: int = 0,
        bandwidth: float = 1.0,
    ) -> None:
        super().__init__()
        self.activation = activation(spec.activation)
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

    def forward(self, x: Tensor, t: Tensor | None = None) -> Tensor:
        """(R, B, in), (R, B) or (R, 1) → (R, B, out)."""
        if self.conditioned:
            if t is None:
                raise ConfigurationError("this network is conditioned on time; expected a second argument t (R, B)")
            features = t.unsqueeze(-1) if self.embedding is None else self.embedding(t)
            x = torch.cat((x, features.expand(*x.shape[:2], -1)), -1)
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
