r"""How a value network knows the step t: by additions to the hidden layers' biases, and factors and shifts at the end.

Whatever time features are, the layer that joins them to the state's only adds a vector that depends on t alone. So
time costs nothing at sampling, where all rows share t, and one look-up in a table (R, T, W) in training:

``StepTables``   a table at each hidden layer: each step has its own biases,
``Sinusoids``    one table, at the second hidden layer, which a small network computes from a sinusoidal embedding of t
                 (Yoon et al. 2025, E.3: state and time are mapped to vectors, which are joined before the next layer).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from phys_samplers.errors import ConfigurationError
from phys_samplers.fields import StackedLinear, activation
from phys_samplers.randomness import Streams

Step = Tensor | int


def at_step(table: Tensor, t: Step) -> Tensor:
    """Rows of a table (R, T, W) for the steps t: (R, N, W), or (R, 1, W) for a shared one."""
    return table[:, t : t + 1] if isinstance(t, int) else table.index_select(1, t)


class StepTables(nn.Module):
    """Each step has its own biases at every hidden layer, all equal at first.

    Args:
        steps: T.
        biases: initial bias (R, 1, W) of each hidden layer.
    """

    def __init__(self, steps: int, biases: list[Tensor]) -> None:
        super().__init__()
        self.tables = nn.ParameterList(nn.Parameter(bias.repeat(1, steps, 1)) for bias in biases)

    def forward(self, t: Step) -> list[Tensor]:
        """Biases (R, N or 1, W) of each hidden layer."""
        return [at_step(table, t) for table in self.tables]


class Sinusoids(nn.Module):
    """Biases of their own at every layer, and time features that enter at the second (the first, if it is the only).

    Args:
        steps: T.
        biases: initial bias (R, 1, W) of each hidden layer.
        width: of the time features; half of the embedding are sines, half cosines, periods 2π to 2π·10⁴ steps.
        activation: name of the nonlinearity of the time features.
        streams: for the initial weights.
    """

    embedding: Tensor

    def __init__(self, steps: int, biases: list[Tensor], *, width: int, activation_name: str, streams: Streams) -> None:
        super().__init__()
        if width < 2 or width % 2:
            raise ConfigurationError(f"time_width is {width}; expected an even number of at least 2, or None")
        self.biases = nn.ParameterList(map(nn.Parameter, biases))
        frequency = torch.exp(-math.log(1e4) * torch.arange(width // 2) / (width // 2))
        angle = torch.arange(steps).unsqueeze(-1) * frequency
        embedding = torch.cat((angle.sin(), angle.cos()), -1).to(biases[0])
        self.register_buffer("embedding", embedding.unsqueeze(0).repeat(streams.replicas, 1, 1))
        self.activation = activation(activation_name)
        gain = math.sqrt(3.0)
        self.features = StackedLinear(width, width, streams=streams, gain=gain)
        self.join = StackedLinear(width, biases[0].shape[-1], streams=streams, gain=gain / math.sqrt(2.0))

    def forward(self, t: Step) -> list[Tensor]:
        """Biases (R, N or 1, W) of each hidden layer."""
        rows = self.embedding[:, t : t + 1] if isinstance(t, int) else self.embedding
        table = self.join(self.activation(self.features(rows)))
        biases = list(self.biases)
        entry = min(1, len(biases) - 1)
        biases[entry] = biases[entry] + (table if isinstance(t, int) else table.index_select(1, t))
        return biases
