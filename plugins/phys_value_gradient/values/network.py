r"""Stacked value networks V^t(z), with the input gradient derived by hand.

    a_0 = features(z),   a_l = f(a_{l−1} W_l + b_l(t)),   V^t = Σ_w a_L[w] k_t[w] w_out[w] + c_t

The sampler's drift is −(s²α²/τ) ∇V, so that a sampling loop asks for nothing but ∇V. Backward through the layers,

    g_L = k_t w_out ⊙ f'(h_L),   g_{l−1} = (g_l W_lᵀ) ⊙ f'(h_{l−1}),   ∇V = (∂features/∂z)ᵀ g_1 W_1ᵀ,

which needs the slopes f'(h_l) alone; they come almost for free with the activations. Rows are taken in chunks whose
buffers stay in the processor's cache, and every buffer is used again for the next chunk.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from phys_samplers.errors import ConfigurationError
from phys_samplers.fields import activation
from phys_value_gradient.values.features import Features
from phys_value_gradient.values.slopes import sloped_activation
from phys_value_gradient.values.steps import Sinusoids, Step, StepTables, at_step

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
        self._sloped = sloped_activation(activation_name)

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
        hidden: Tensor = self.features(z, t)
        biases, offset, outward = self._at(t)
        for weight, bias in zip(self.weights, biases, strict=True):
            hidden = self._activation(torch.baddbmm(bias, hidden, weight))
        return self._summed(hidden, outward) + offset

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
        buffers = [z.new_empty(replicas, chunk * sites, width) for _ in range(layers + 2)]
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
            features, saved = self.features.with_saved(points, step)
            last = self._activate(features, biases, buffers)
            torch.add(self._summed(last, outward), offset, out=value[:, part])
            if gradient is None:
                continue
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
