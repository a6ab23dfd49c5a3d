r"""An energy-based model of returns whose negatives, and draws, are walks of the value gradient sampler (Algorithm 3).

One network gives the energy and all values of the walks: V^t(x; z, a), t = 0..T, with V^T = E the energy of the return
of (z, a) blurred by h. The optimal V^t is the energy of the return blurred to a level √(h² + b_t), b_t = Σ_{i≥t} s_i²,
which tells the network what t is:

    V = ½ u²/(s² + level²) + ½ log(s² + level²) + g F(u/√(s² + level²), level),     u = x − c,   g² = 1 + s/level,

the first two terms exact for returns that are normal around c.

A walk starts at N(c, s² + h² + b_0) and steps by x' = x − s_t² ∇V^t(x) + η_t s_t ε, the mean rule of
``policy`` with the η_t that is best for a normal law of a typical spread: steps are large, and with η = 1 walks end up
twice as wide as the values say. Of each batch of transitions,

    E(y) − E(x_T) + λ (E(y)² + E(x_T)²)      contrasts bootstrapped y = ρ + γy' + hn with the ends of walks (Alg. 3),
    (V^t(x_t) − V^{t+1}(x_{t+1}) − log π/q̃)²/g²    makes values follow the energy along the same walks (Alg. 2),

with the mean target of one next state and no target network: the energy moves all the time, and values that lag behind
it let the walks lag behind both. Draws end with the mean of the last step, without its noise: where returns are spread
wide against h this takes out the variance h², of an atom it leaves about h²/2.

After 600 to 800 updates on one law with two modes (40 % and 60 %), walks of η = 1 still had tails beyond the range of
returns, W1 .14 to .15: energy and values do not settle in a budget that serves the other samplers.

Source: Yoon et al. 2025 (arXiv:2502.13280), Algorithms 1-3. Conditioning and bootstrapping are of this library.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from phys_samplers.options import fit_option
from phys_samplers.randomness import Streams
from phys_samplers.rl.sampled import CENTRE, HIGH, LOW, SPREAD, SampledNetwork, SampledReturns
from phys_value_gradient.process import AuxiliaryProcess, log_ratio, schedule

LOG_MEDIAN, LOG_SPREAD = math.log(0.15), 1.0
"""That standardise log levels."""
TYPICAL = 0.15
"""Standard deviation of the normal law whose policies have the noise of the walks."""


@dataclass(frozen=True, kw_only=True)
class ValueGradientReturns(SampledReturns):
    """An energy of returns with a value gradient sampler; see the module, and ``SampledReturns`` for other options.

    Args:
        sampling_steps: T.
        draws: of each transition, positive and negative.
        blur: h, in units where returns lie between 0 and 1; the last step of a walk has it for its noise too.
        reach: √Σs_t².
        regulariser: λ.
        drift_clip: largest drift of a step, in units of its noise.
    """

    sampling_steps: int = fit_option(6, least=2)
    draws: int = fit_option(4, least=1)
    blur: float = fit_option(0.02, above=0)
    reach: float = fit_option(0.5, above=0)
    regulariser: float = fit_option(0.001, least=0)
    drift_clip: float = fit_option(4.0, above=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.process  # noqa: B018 - building it validates the options

    @property
    def process(self) -> AuxiliaryProcess:
        """The auxiliary process of the walks."""
        return AuxiliaryProcess(schedule("geometric", self.sampling_steps, end=self.blur**2, total=self.reach**2))

    def build(self, features: int, actions: int, *, streams: Streams) -> ValueGradientNetwork:
        """See ``ReturnModel.build``."""
        return ValueGradientNetwork(self, features, actions, streams=streams)


class Walks(NamedTuple):
    """What a batch of walks met.

    Args:
        states: x_0..x_T (R, N, M, T + 1).
        values: V^t(x_t), likewise.
        costs: log π/q̃ of the steps (R, N, M, T).
    """

    states: Tensor
    values: Tensor
    costs: Tensor


class ValueGradientNetwork(SampledNetwork):
    """Values and energy; see the module, and ``SampledNetwork`` for the arguments."""

    level: Tensor

    def __init__(self, recipe: ValueGradientReturns, features: int, actions: int, *, streams: Streams) -> None:
        super().__init__(recipe, features, actions, streams=streams)
        process = recipe.process
        self.blur, self.regulariser, self.drift_clip = recipe.blur, recipe.regulariser, recipe.drift_clip
        self.evaluations = len(process.variances)
        self.noises = [math.sqrt(variance) for variance in process.variances]
        levels = [math.sqrt(self.blur**2 + blur) for _, blur in process.marginals]
        squares = [TYPICAL**2 + one**2 for one in levels]
        self.scales = [math.sqrt(after / before) for before, after in pairwise(squares)]
        level = torch.tensor(levels)
        self.register_buffer("level", level.expand(streams.replicas, -1), persistent=False)

    def value(self, context: Tensor, x: Tensor, level: Tensor) -> Tensor:
        """V (R, N, M) at ``x`` (R, N, M) and levels broadcastable to its last axis, (1, 1, 1) or (1, 1, M)."""
        u, variance = x - CENTRE, level.square() + SPREAD**2
        raw = self.head(context, u * variance.rsqrt(), (level.log() - LOG_MEDIAN) / LOG_SPREAD)
        return 0.5 * (u.square() / variance + variance.log()) + self.gain(level) * raw

    def gain(self, level: Tensor) -> Tensor:
        """g, the size of energies at a level."""
        return (1 + SPREAD / level).sqrt()

    def drift(self, context: Tensor, x: Tensor, t: int) -> tuple[Tensor, Tensor]:
        """−s_t² ∇V^t at ``x``, and V^t; without a graph."""
        with torch.enable_grad():
            at = x.detach().requires_grad_()
            value = self.value(context, at, self.level[0, t].view(1, 1, 1))
            (slope,) = torch.autograd.grad(value.sum(), at)
        s = self.noises[t]
        return slope.mul_(-(s**2)).clamp_(-self.drift_clip * s, self.drift_clip * s), value.detach()

    @torch.no_grad()
    def draw(self, context: Tensor, scores: Tensor, noise: Streams) -> Tensor:
        """See ``SampledNetwork.draw``."""
        context = context.detach()
        x = self._start(scores)
        fresh = noise.normal(len(self.noises) - 1, *scores.shape[1:])
        for t, s in enumerate(self.noises):
            x = x + self.drift(context, x, t)[0]
            if t < len(self.noises) - 1:
                x = x.add_(fresh[:, t], alpha=s * self.scales[t])
        return x.clamp_(LOW, HIGH)

    @torch.no_grad()
    def walks(self, context: Tensor, scores: Tensor, noise: Streams) -> Walks:
        """Walks with noise in every step, their values and their running costs."""
        x, states, values, costs = self._start(scores), [], [], []
        fresh = noise.normal(len(self.noises), *scores.shape[1:])
        for t, s in enumerate(self.noises):
            shift, value = self.drift(context, x, t)
            states.append(x)
            values.append(value)
            costs.append(log_ratio(shift.unsqueeze(-1), fresh[:, t].unsqueeze(-1), 1.0, s, self.scales[t]))
            x = torch.add(x + shift, fresh[:, t], alpha=s * self.scales[t])
        values.append(self.value(context, x, self.level[0, -1].view(1, 1, 1)))
        return Walks(torch.stack([*states, x], -1), torch.stack(values, -1), torch.stack(costs, -1))

    def matching(self, context: Tensor, y: Tensor, noise: Streams) -> Tensor:
        """See ``SampledNetwork.matching``."""
        normal = noise.normal(2, *y.shape[1:])
        positive = torch.add(y, normal[:, 0], alpha=self.blur)
        walks = self.walks(context.detach(), normal[:, 1], noise)
        count = y.shape[-1]
        x = torch.cat((walks.states.flatten(-2), positive), -1)
        steps = walks.states.shape[-1]
        level = torch.cat((self.level[0].repeat(count), self.level[0, -1:].expand(count)))
        level = level.view(1, 1, -1)
        value = self.value(context, x, level)
        along, positives = value[..., :-count].unflatten(-1, (count, steps)), value[..., -count:]
        negatives = along[..., -1]
        contrast = positives - negatives + self.regulariser * (positives.square() + negatives.square())
        error = (along[..., :-1] - walks.values[..., 1:] - walks.costs) / self.gain(self.level[0, :-1])
        return contrast.mean((1, 2)) + error.square().mean((1, 2, 3))

    def _start(self, scores: Tensor) -> Tensor:
        return CENTRE + scores * (self.level[0, 0].square() + SPREAD**2).sqrt()
