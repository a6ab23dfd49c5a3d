r"""Laws of returns by a conditional denoiser, D(x, σ; z, a) ≈ E[y | y + σn = x] for y the return of (z, a).

With y standardised by a fixed mean c and standard deviation s, u = x − c, the network F sees u/√(σ² + s²), and

    ``edm``      D = c + s²/(σ² + s²) u + σs/√(σ² + s²) F       (Karras et al. 2022, arXiv:2206.00364, Sec. 5)
    ``epsilon``  D = x − σF                                      (Ho et al. 2020, arXiv:2006.11239)

are trained by |D − y|² over the square of F's factor. The probability flow dx/dσ = (x − D)/σ carries x = σ_max n + E y
at the highest level to a draw at level 0, monotonically, since lines cannot cross on a line: start points that are
quantiles end as quantiles. In λ = −log σ it is followed by the exponential Adams-Bashforth method

    x' = (σ'/σ) x + ∫_λ^λ' e^{ℓ−λ'} P(ℓ) dℓ,

P the polynomial through D at this level and the two before: one evaluation a step, of third order (DEIS; Zhang & Chen
2023, arXiv:2204.13902, Sec. 3.2, with P in λ; order one is DDIM). Accuracy matters more here than for data: a draw that
is δ too narrow, backed up again and again, leaves laws of returns δγ²/(1 − γ²) too narrow. With exact denoisers of five
laws and four Gaussians, ten evaluations at geometric levels are off by .012 standard deviations in W1 on average.

Starts are centred at D(c, σ_max), the mean of the law up to O(σ_max⁻²). Starting at c makes an error of size
(E y − c) sd(y)/σ_max, and bootstrapping adds that up too.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Literal

import torch
from torch import Tensor

from phys_samplers.errors import ConfigurationError
from phys_samplers.options import fit_option
from phys_samplers.randomness import Streams
from phys_samplers.rl.sampled import CENTRE, HIGH, LOW, SPREAD, SampledNetwork, SampledReturns

LOG_MEDIAN, LOG_SPREAD = math.log(0.6 * SPREAD), 1.4
"""Of the log-normal law of training levels; the median is EDM's, in units of the data's standard deviation."""
ORDER = 3
"""Evaluations that a step of the flow looks at."""


@dataclass(frozen=True, kw_only=True)
class DenoisedReturns(SampledReturns):
    """Laws of returns by a denoiser over falling noise levels; see the module and ``SampledReturns`` for other options.

    Args:
        sampling_steps: number of levels.
        sigma_min: last noise level but zero, in units where returns lie between 0 and 1.
        sigma_max: first.
    """

    sampling_steps: int = fit_option(10, least=2)
    sigma_min: float = fit_option(0.01, above=0)
    sigma_max: float = fit_option(2.0, above=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.sigma_min < self.sigma_max:
            raise ConfigurationError(
                f"sigma_min is {self.sigma_min} and sigma_max {self.sigma_max}; expected the lower first"
            )

    @property
    def levels(self) -> tuple[float, ...]:
        """Of sampling, falling by a constant factor; then comes 0."""
        ratio = self.sigma_min / self.sigma_max
        return tuple(self.sigma_max * ratio ** (i / (self.sampling_steps - 1)) for i in range(self.sampling_steps))


class DenoisingNetwork(SampledNetwork):
    """A denoiser by denoising score matching, with Gaussian noise; see ``SampledNetwork`` for the arguments."""

    parametrisation: ClassVar[Literal["edm", "epsilon"]] = "edm"

    def __init__(self, recipe: DenoisedReturns, features: int, actions: int, *, streams: Streams) -> None:
        super().__init__(recipe, features, actions, streams=streams)
        self.levels = recipe.levels
        self._steps = flow_steps(self.levels)
        self.evaluations = len(self.levels) + 1  # one for the centre

    @abstractmethod
    def training_levels(self, y: Tensor, noise: Streams) -> Tensor:
        """A level for each of ``y`` (R, N, M)."""

    def widened(self, scores: Tensor) -> Tensor:
        """Draws of the noise's law at σ = 1, from standard normal ``scores``: monotone in them."""
        return scores

    def point_level(self, u: Tensor, sigma: Tensor) -> Tensor:
        """The level by which a noisy u = x − c is scaled."""
        return sigma

    def denoise(self, context: Tensor, x: Tensor, sigma: Tensor) -> Tensor:
        """D (R, N, M) at ``x`` (R, N, M) and σ, likewise or (1, 1, 1), clipped to where returns are."""
        return self._parts(context, x, sigma)[0].clamp(LOW, HIGH)

    def matching(self, context: Tensor, y: Tensor, noise: Streams) -> Tensor:
        """See ``SampledNetwork.matching``."""
        sigma = self.training_levels(y, noise)
        x = y + sigma * self.widened(noise.normal(*y.shape[1:]))
        clean, gain = self._parts(context, x, sigma)
        return ((clean - y) / gain).square().mean((1, 2))

    @torch.no_grad()
    def draw(self, context: Tensor, scores: Tensor, noise: Streams) -> Tensor:
        """See ``SampledNetwork.draw``."""

        def denoise(x: Tensor, sigma: float) -> Tensor:
            return self.denoise(context, x, x.new_full((1, 1, 1), sigma))

        return probability_flow(denoise, self.widened(scores), self.levels, self._steps)

    def _parts(self, context: Tensor, x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """D, not clipped, and the factor of F in it."""
        u = x - CENTRE
        level = self.point_level(u, sigma)
        scale = (level.square() + SPREAD**2).rsqrt()
        raw = self.head(context, u * scale, (level.log() - LOG_MEDIAN) / LOG_SPREAD)
        if self.parametrisation == "epsilon":
            return torch.addcmul(x, raw, level, value=-1), level
        gain = level * scale * SPREAD
        return torch.addcmul(raw * gain, u, (scale * SPREAD).square()) + CENTRE, gain


class FlowNetwork(DenoisingNetwork):
    """Log-normal levels in training."""

    def training_levels(self, y: Tensor, noise: Streams) -> Tensor:
        """Clipped to those of sampling, so that both ends are met often."""
        drawn = noise.normal(*y.shape[1:]).mul_(LOG_SPREAD).add_(LOG_MEDIAN).exp_()
        return drawn.clamp_(self.levels[-1], self.levels[0])


def flow_steps(levels: Sequence[float]) -> list[list[float]]:
    """For each step between ``levels``, what D there and at up to two levels before, the latest first, enter x' by."""
    nodes = [-math.log(level) for level in levels]
    rows = []
    for i, step in enumerate(b - a for a, b in pairwise(nodes)):
        moments = [-math.expm1(-step)]  # ∫ e^{ℓ−λ'} (ℓ − λ)^k dℓ by parts
        near = torch.tensor([nodes[j] - nodes[i] for j in range(i, max(i - ORDER, -1), -1)], dtype=torch.float64)
        for k in range(1, len(near)):
            moments.append(step**k - k * moments[-1])
        powers = near ** torch.arange(len(near)).unsqueeze(1)
        rows.append(torch.linalg.solve(powers, torch.tensor(moments, dtype=torch.float64)).tolist())
    return rows


def probability_flow(
    denoise: Callable[[Tensor, float], Tensor],
    scores: Tensor,
    levels: Sequence[float],
    steps: Sequence[Sequence[float]] | None = None,
) -> Tensor:
    """Where the flow ends that starts at ``scores`` (R, N, M) times the first level; see the module.

    Args:
        denoise: D(x, σ).
        scores: draws, or quantiles, of the noise at level 1.
        levels: falling and positive; the last step goes from the last of them to 0.
        steps: ``flow_steps`` of the levels, if known already.
    """
    centre = denoise(torch.full_like(scores[..., :1], CENTRE), levels[0])
    x = centre + levels[0] * scores
    seen: list[Tensor] = []
    for (sigma, lower), weights in zip(pairwise(levels), steps or flow_steps(levels), strict=True):
        seen = [denoise(x, sigma), *seen[: ORDER - 1]]
        x = x * (lower / sigma)
        for clean, weight in zip(seen, weights, strict=True):
            x = x.add_(clean, alpha=weight)
    return denoise(x, levels[-1])
