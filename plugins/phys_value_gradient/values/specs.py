"""Value networks as components: frozen specs of kind ``field`` whose ``build_value`` makes the stacked network."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, NoReturn

from torch import nn

from phys_samplers.errors import ConfigurationError
from phys_samplers.fields import Field, StackedLinear
from phys_samplers.randomness import Streams
from phys_samplers.target import Target
from phys_value_gradient.values.features import Coordinates, Environments, Features, SortedDistances, particle_layout
from phys_value_gradient.values.network import ValueNetwork
from phys_value_gradient.values.steps import Sinusoids, StepTables

OUT_GAIN = 0.1
"""The last layer's initial weights: V starts almost flat, and the first policy as almost the uncontrolled walk."""


@dataclass(frozen=True, kw_only=True)
class ValueField(Field):
    """What a value network looks like, before it is built.

    Args:
        width: units of each hidden layer.
        depth: number of hidden layers.
        activation: name of the nonlinearity.
        input_gain: scale of the first layer's initial weights.
        time_width: None gives each step biases of its own; a number, a sinusoidal embedding of that width.
    """

    factors: ClassVar[bool] = False

    input_gain: float = 1.0
    time_width: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.input_gain < math.inf:
            raise ConfigurationError(f"input_gain is {self.input_gain}; expected a positive factor")
        if self.time_width is not None and (self.time_width < 2 or self.time_width % 2):
            raise ConfigurationError(f"time_width is {self.time_width}; expected an even number of at least 2, or None")

    @abstractmethod
    def features(self, dim: int, steps: int, *, streams: Streams, target: Target) -> Features:
        """What the network sees of states of ``dim`` coordinates; see ``build_value``."""

    def build_value(self, dim: int, steps: int, *, streams: Streams, target: Target) -> ValueNetwork:
        """The stacked network V^t(z), t in 0..T−1.

        Args:
            dim: coordinates K of a state; those of the subspace where the target's law lives in one.
            steps: T.
            streams: one per replica, for the initial weights.
            target: for the subspace and the particles of an n-body system.

        Raises:
            ConfigurationError: if the network looks at particles and the law has none.
        """
        if dim < 1 or steps < 1:
            raise ConfigurationError(f"dim is {dim} and steps {steps}; expected both to be at least 1")
        features = self.features(dim, steps, streams=streams, target=target)
        gains = [self.input_gain] + [1.0] * (self.depth - 1)
        widths = [features.features] + [self.width] * (self.depth - 1)
        # √3 makes U(−1/√n, 1/√n) keep unit variance through the layers.
        layers = [
            StackedLinear(width, self.width, streams=streams, gain=math.sqrt(3.0) * gain)
            for width, gain in zip(widths, gains, strict=True)
        ]
        head = StackedLinear(self.width, 1, streams=streams, gain=OUT_GAIN)
        biases = [layer.bias.data for layer in layers]
        time: nn.Module
        if self.time_width is None:
            time = StepTables(steps, biases)
        else:
            time = Sinusoids(steps, biases, width=self.time_width, activation_name=self.activation, streams=streams)
        return ValueNetwork(
            features,
            time,
            [layer.weight.data for layer in layers],
            head.weight.data,
            steps=steps,
            activation_name=self.activation,
            factors=self.factors,
        )

    def build(self, in_features: int, out_features: int, **_: object) -> NoReturn:
        """No field comes of it.

        Raises:
            ConfigurationError: always.
        """
        raise ConfigurationError(
            f"{type(self).__name__} is a network of values V^t(z), which only the value gradient sampler trains; "
            "expected another field, e.g. field='mlp'"
        )


@dataclass(frozen=True, kw_only=True)
class ValueMLP(ValueField):
    """A perceptron of the state with biases of its own for each step."""

    def features(self, dim: int, steps: int, *, streams: Streams, target: Target) -> Features:
        """See ``ValueField.features``."""
        return Coordinates(dim)


@dataclass(frozen=True, kw_only=True)
class ValueFourierMLP(ValueMLP):
    """A perceptron with a sinusoidal time embedding and ReLU (Yoon et al. 2025, arXiv:2502.13280, E.3.1).

    The paper takes ReLU for its second derivative, which is zero where it exists: the first-order drift of Eq. 12 then
    leaves nothing out but the kinks.
    """

    activation: str = "relu"
    time_width: int | None = 64


@dataclass(frozen=True, kw_only=True)
class ValueDistances(ValueField):
    """An invariant perceptron of the sorted distances √(d² + 1) between particles (ibid., Sec. 4)."""

    inverse: ClassVar[bool] = False

    def features(self, dim: int, steps: int, *, streams: Streams, target: Target) -> Features:
        """See ``ValueField.features``."""
        layout = particle_layout(target, dim, asked_by=type(self).__name__)
        return SortedDistances(layout, target.subspace, replicas=streams.replicas, inverse=self.inverse)


@dataclass(frozen=True, kw_only=True)
class ValueInverseDistances(ValueDistances):
    """The same of inverse distances 1/√(d² + 1), with a factor of each step at the last layer (ibid., E.3.2).

    The paper's factor comes from a network of t; a table of the same size is as general and cheaper.
    """

    factors: ClassVar[bool] = True
    inverse: ClassVar[bool] = True


@dataclass(frozen=True, kw_only=True)
class ValueEnvironments(ValueField):
    """The sum over particles of a perceptron of their environments (Behler and Parrinello 2007, PRL 98, 146401).

    Args:
        channels: numbers of one environment; see ``features.Environments``.
        core: length below which a pair's inverse distance no longer rises, in units of the target.
    """

    channels: int = 32
    core: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.channels < 1 or not 0 < self.core < math.inf:
            raise ConfigurationError(
                f"channels is {self.channels} and core {self.core}; expected at least 1 and a positive length"
            )

    def features(self, dim: int, steps: int, *, streams: Streams, target: Target) -> Features:
        """See ``ValueField.features``."""
        return Environments(
            particle_layout(target, dim, asked_by=type(self).__name__),
            target.subspace,
            channels=self.channels,
            core=self.core,
            steps=steps,
            activation_name=self.activation,
            streams=streams,
        )
