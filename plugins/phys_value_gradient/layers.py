r"""Hidden layers of value networks: how they know the step, and activations with their derivatives.

Whatever time features are, the layer that joins them to the state's only adds a vector that depends on t alone. So
time costs nothing at sampling, where all rows share t, and one look-up in a table (R, T, W) in training:

``StepTables``   a table at each hidden layer: each step has its own biases,
``Sinusoids``    one table, at the second hidden layer, which a small network computes from a sinusoidal embedding of t
                 (Yoon et al. 2025, E.3: state and time are mapped to vectors, which are joined before the next layer).

A gradient by hand needs of a hidden layer f'(h): ``sloped_activation`` overwrites the pre-activations h with f(h) and
writes f'(h) into a second buffer. What costs time, the exponential, is computed once for both.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional

from phys_samplers.errors import ConfigurationError
from phys_samplers.fields.stacked import StackedLinear, activation
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


SlopedActivation = Callable[[Tensor, Tensor], None]


@lru_cache(maxsize=32)
def _one(dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.ones((), dtype=dtype, device=device)


def _silu(h: Tensor, slope: Tensor) -> None:
    """f = hσ, f' = σ + hσ(1 − σ) = f + σ(1 − f), an interpolation from f to 1."""
    torch.sigmoid(h, out=slope)
    h.mul_(slope)
    torch.lerp(h, _one(h.dtype, h.device), slope, out=slope)


def _gelu(h: Tensor, slope: Tensor) -> None:
    """f = hΦ, f' = Φ + hφ with the normal distribution function Φ and density φ."""
    normal = torch.special.ndtr(h)
    torch.square(h, out=slope)
    slope.mul_(-0.5).exp_().mul_(h).mul_(1 / math.sqrt(2 * math.pi)).add_(normal)
    h.mul_(normal)


def _tanh(h: Tensor, slope: Tensor) -> None:
    """f' = 1 − f²."""
    h.tanh_()
    torch.square(h, out=slope)
    slope.neg_().add_(1)


def _softplus(h: Tensor, slope: Tensor) -> None:
    """f' = σ; above 20 torch takes f = h and f' = 1."""
    torch.sigmoid(h, out=slope)
    slope.masked_fill_(h > 20, 1.0)
    h.copy_(functional.softplus(h))


def _relu(h: Tensor, slope: Tensor) -> None:
    """f' = 1 where h > 0, else 0, as autograd has it."""
    h.relu_()
    torch.sign(h, out=slope)


def _elu(h: Tensor, slope: Tensor) -> None:
    """f' = 1 where h > 0, else eʰ = f + 1."""
    functional.elu(h, inplace=True)
    torch.clamp(h, max=0, out=slope)
    slope.add_(1)


def _sin(h: Tensor, slope: Tensor) -> None:
    """f' = cos h."""
    torch.cos(h, out=slope)
    h.sin_()


SLOPED: dict[str, SlopedActivation] = {
    "silu": _silu,
    "gelu": _gelu,
    "tanh": _tanh,
    "softplus": _softplus,
    "relu": _relu,
    "elu": _elu,
    "sin": _sin,
}


def sloped_activation(name: str) -> SlopedActivation:
    """The in-place pair (f, f') of the activation called ``name``.

    Args:
        name: one of those that ``phys_samplers.fields.activation`` knows.

    Raises:
        ConfigurationError: naming the activations there are.
    """
    activation(name)
    return SLOPED[name]


ALONE: dict[str, Callable[[Tensor], Tensor]] = {
    "silu": lambda h: torch.sigmoid(h).mul_(h),
    "gelu": lambda h: torch.special.ndtr(h).mul_(h),
}


def activation_alone(name: str) -> Callable[[Tensor], Tensor]:
    """f without its derivative, to the same bits as with it."""
    return ALONE.get(name, activation(name))
