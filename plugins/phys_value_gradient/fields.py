r"""Value networks V^t(z): components of kind ``field`` whose ``build_value`` makes a stacked network.

    a_0 = features(z),   a_l = f(a_{l−1} W_l + b_l(t)),   V^t = Σ_w a_L[w] k_t[w] w_out[w] + c_t

The input gradient is derived by hand: the sampler's drift is −(s²α²/τ) ∇V, so that a sampling loop asks for nothing but
∇V. Backward through the layers,

    g_L = k_t w_out ⊙ f'(h_L),   g_{l−1} = (g_l W_lᵀ) ⊙ f'(h_{l−1}),   ∇V = (∂features/∂z)ᵀ g_1 W_1ᵀ,

which needs the slopes f'(h_l) alone; they come almost for free with the activations. Rows are taken in chunks whose
buffers stay in the processor's cache, and every buffer is used again for the next chunk.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, NoReturn

import torch
from torch import Tensor, nn

from phys_samplers.errors import ConfigurationError
from phys_samplers.fields.stacked import Field, StackedLinear, activation, make_field
from phys_samplers.options import Part
from phys_samplers.randomness import Streams
from phys_samplers.target import Target
from phys_value_gradient.features import Coordinates, Environments, Features, SortedDistances, particle_layout
from phys_value_gradient.layers import Sinusoids, Step, StepTables, activation_alone, at_step, sloped_activation

CHUNK = 1 << 18
"""Numbers in one hidden layer's buffer: 2,048 rows at width 128. A pass holds one such buffer a layer and two more:
5 MB in float32 with three layers, for a last-level cache. Smaller chunks cost more in calls than they save."""


class ValueNetwork(nn.Module):
    """V^t of R replicas; every parameter and buffer has the replica axis first.

    Args:
        features: of the state, see ``features``.
        time: gives the biases of the hidden layers, see ``steps``.
        weights: W_l (R, in, W) of the hidden layers.
        head: w_out (R, W, 1).
        steps: T; t is in 0..T−1.
        activation_name: f.
        factors: whether the last hidden layer is multiplied by a factor k_t of each step, 1 at first.

    Attributes:
        steps: T.
    """

    def __init__(
        self,
        features: Features,
        time: StepTables | Sinusoids,
        weights: list[Tensor],
        head: Tensor,
        *,
        steps: int,
        activation_name: str,
        factors: bool = False,
    ) -> None:
        super().__init__()
        self.features = features
        self.time = time
        self.steps = steps
        self.weights = nn.ParameterList(map(nn.Parameter, weights))
        self.head = nn.Parameter(head)
        replicas, width, _ = head.shape
        self.offset = nn.Parameter(head.new_zeros(replicas, steps, 1))
        self.factors = nn.Parameter(head.new_ones(replicas, steps, width)) if factors else None
        self._activation: Callable[[Tensor], Tensor] = activation(activation_name)
        self._alone, self._sloped = activation_alone(activation_name), sloped_activation(activation_name)

    def forward(self, z: Tensor, t: Step) -> Tensor:
        """V^t(z), differentiable in the parameters (and in z, should it ask for a gradient).

        One call may hold rows of many steps: temporal-difference regression over all of them is one matrix product a
        layer. Where gradients are disabled, rows are taken in chunks as in ``value_and_gradient``.

        Args:
            z: states (R, N, K).
            t: the step of each row, long (N,), the same in all replicas; or one step for all rows.

        Returns:
            (R, N).
        """
        self._check(t)
        if not torch.is_grad_enabled():
            return self._evaluate(z, t, None)
        biases, offset, outward = self._at(t)
        return self._summed(self._hidden(z, t, biases), outward) + offset

    @torch.no_grad()
    def value_and_gradient(self, z: Tensor, t: Step) -> tuple[Tensor, Tensor]:
        """V^t(z) and ∇_z V^t(z), detached, by hand; rows in chunks that fit the cache.

        Call it with all rows at once: it makes the chunks itself. ``z`` is left as it is; the results are new.

        Args:
            z: states (R, N, K).
            t: the step of each row, long (N,), the same in all replicas; or one step for all rows, which is faster.

        Returns:
            values (R, N) and gradients (R, N, K).
        """
        self._check(t)
        gradient = torch.empty_like(z)
        return self._evaluate(z, t, gradient), gradient

    def _evaluate(self, z: Tensor, t: Step, gradient: Tensor | None) -> Tensor:
        """V^t(z) (R, N), with ∇V^t written into ``gradient``, chunk by chunk."""
        replicas, rows, _ = z.shape
        width, layers, sites = self.head.shape[1], len(self.weights), self.features.sites
        largest = replicas * max(width * sites, self.features.load)
        chunk = min(rows, rows if z.is_cuda else max(CHUNK // largest, 16))
        held = 0 if gradient is None else layers + 2
        buffers = [z.new_empty(replicas, chunk * sites, width) for _ in range(held)]
        value = z.new_empty(replicas, rows)
        backward = [] if gradient is None else [weight.mT.contiguous() for weight in self.weights]
        shared = self._at(t) if isinstance(t, int) else None
        if shared is not None and backward:
            # all rows share the outward weights, and the last layer's product backward can take them in
            backward[-1] = shared[2].mT * backward[-1]
        for start in range(0, rows, max(chunk, 1)):
            part = slice(start, min(start + chunk, rows))
            points = z[:, part]
            if part.stop - start < chunk:
                buffers = [buffer[:, : (part.stop - start) * sites] for buffer in buffers]
            step = t if isinstance(t, int) else t[part]
            biases, offset, outward = shared or self._at(step)
            if gradient is None:
                torch.add(self._summed(self._hidden(points, step, biases), outward), offset, out=value[:, part])
                continue
            features, saved = self.features.with_saved(points, step)
            last = self._activate(features, biases, buffers)
            torch.add(self._summed(last, outward), offset, out=value[:, part])
            if shared is None:
                buffers[layers - 1].mul_(outward)
            gradient[:, part] = self.features.pull_back(self._pull_back(backward, buffers), saved)
        return value

    def _check(self, t: Step) -> None:
        if isinstance(t, int) and not 0 <= t < self.steps:
            raise ConfigurationError(f"t is {t}; expected a step from 0 to {self.steps - 1}")

    def _at(self, t: Step) -> tuple[list[Tensor], Tensor, Tensor]:
        """Biases of the layers, c_t (R, N or 1) and outward weights k_t w_out (R, M·N or 1, W)."""
        offset = at_step(self.offset, t).squeeze(-1)
        rows = t if isinstance(t, int) or self.features.sites == 1 else t.repeat(self.features.sites)
        outward = self.head.mT
        if self.factors is not None:
            outward = outward * at_step(self.factors, rows)
        return self.time(rows), offset, outward

    def _hidden(self, z: Tensor, t: Step, biases: list[Tensor]) -> Tensor:
        """The last hidden layer (R, M·N, W), without slopes."""
        graph = torch.is_grad_enabled()  # without it, the bits are those of values beside gradients
        hidden, f = (
            (self.features(z, t), self._activation) if graph else (self.features.with_saved(z, t)[0], self._alone)
        )
        for weight, bias in zip(self.weights, biases, strict=True):
            hidden = f(torch.baddbmm(bias, hidden, weight))
        return hidden

    def _summed(self, last: Tensor, outward: Tensor) -> Tensor:
        """V − c_t (R, N) of the last hidden layer's rows (R, M·N, W), those of a state added up."""
        value = torch.bmm(last, outward.mT).squeeze(-1) if outward.shape[1] == 1 else (last * outward).sum(-1)
        sites = self.features.sites
        return value if sites == 1 else value.unflatten(1, (sites, -1)).sum(1)

    def _activate(self, features: Tensor, biases: list[Tensor], buffers: list[Tensor]) -> Tensor:
        """The last hidden layer. Slopes f'(h_l) are left in ``buffers[l − 1]``; the last two buffers take turns."""
        hidden = features
        for layer, (weight, bias) in enumerate(zip(self.weights, biases, strict=True)):
            result = buffers[len(self.weights) + layer % 2]
            torch.baddbmm(bias, hidden, weight, out=result)
            self._sloped(result, buffers[layer])
            hidden = result
        return hidden

    def _pull_back(self, backward: list[Tensor], buffers: list[Tensor]) -> Tensor:
        """∂V/∂features (R, n, F) from the transposed weights and the slopes in ``buffers``."""
        gradient = buffers[len(self.weights) - 1]
        for layer in range(len(self.weights) - 1, 0, -1):
            result = buffers[len(self.weights) + layer % 2]
            torch.bmm(gradient, backward[layer], out=result)
            gradient = result.mul_(buffers[layer - 1])
        return torch.bmm(gradient, backward[0])


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


def make_value_field(value: Part, *, width: int | None, depth: int | None) -> ValueField:
    """The spec of a network of values; see ``phys_samplers.fields.make_field``.

    Raises:
        ConfigurationError: if it is not one of values.
    """
    field = make_field(value, width=width, depth=depth)
    if not isinstance(field, ValueField):
        raise ConfigurationError(
            f"value is {value!r}, a field that gives no values; expected value-mlp, value-fourier-mlp, "
            "value-distances, value-inverse-distances or 'exact'"
        )
    return field


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
