r"""Variance-preserving schedules: α² + σ² = 1 with α² = ᾱ = e^{−B(t)}, B = ∫ β dt.

    log α = −B/2,   λ = √(e^B − 1),   f = −β/2,   d log λ/dt = β/(2σ²),   g² = β.

``linear``  the chain of Ho et al. 2020 (DDPM, arXiv:2006.11239, Sec. 4): ᾱ_i = Π_{j≤i} (1 − β_j) with β_j equally
            spaced from 10⁻⁴ to 0.02 for T = 1,000 steps; other T scale both ends by 1,000/T, which keeps Σβ.
``cosine``  the chain of Nichol & Dhariwal 2021 (arXiv:2102.09672, Eq. 17): ᾱ_i = h(i)/h(0) with
            h(i) = cos²((i/T + s)/(1 + s) · π/2), s = 0.008, and β_i = 1 − ᾱ_i/ᾱ_{i−1} at most 0.999.
``vp``      the SDE of Song et al. 2021 (arXiv:2011.13456, Eq. 32): β(t) = β_min + t (β_max − β_min) on t ∈ [0, 1].

The chains count time in steps, and at whole steps they are exact. For SDE and ODE integrators B follows the monotone
cubic between them (Fritsch & Carlson 1980, SIAM J. Numer. Anal. 17(2), 238–246), so that β(t) is positive and
continuous. With straight lines β would jump at the very times where integrators stop: on whole steps Heun's method
then misses a variance by 2 % for T = 1,000 and by 30 % for T = 60, however many steps it takes.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import torch
from torch import Tensor

from phys_samplers.errors import ConfigurationError
from phys_samplers.options import option
from phys_samplers.randomness import Streams
from phys_samplers.schedules.base import NoiseSchedule, Scalar, expm1, log


@dataclass(frozen=True, kw_only=True)
class VariancePreserving(NoiseSchedule):
    """Everything that follows from B(t) and β(t)."""

    @abstractmethod
    def integral(self, t: Scalar) -> Scalar:
        """B(t) = ∫₀ᵗ β = −log ᾱ."""

    @abstractmethod
    def rate(self, t: float) -> float:
        """β(t)."""

    def log_alpha(self, t: Scalar) -> Scalar:
        """−B/2."""
        return self.integral(t) * -0.5

    def log_ratio(self, t: Scalar) -> Scalar:
        """½ log(e^B − 1)."""
        return log(expm1(self.integral(t))) * 0.5

    def log_alpha_rate(self, t: float) -> float:
        """−β/2."""
        return -0.5 * self.rate(t)

    def log_ratio_rate(self, t: float) -> float:
        """β/(2σ²)."""
        return self.rate(t) / (-2 * math.expm1(-self.integral(t)))


@dataclass(frozen=True, kw_only=True)
class VPSchedule(VariancePreserving):
    """The VP SDE of Song et al. 2021.

    Args:
        beta_min: β at t = 0.
        beta_max: β at t = 1.
        end_time: the smallest time that a network is asked about (ε of the paper's App. C).
    """

    beta_min: float = 0.1
    beta_max: float = 20.0
    end_time: float = option(1e-3, above=0, below=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.beta_min < self.beta_max:
            raise ConfigurationError(
                f"beta_min is {self.beta_min} and beta_max {self.beta_max}; expected 0 < beta_min < beta_max"
            )

    @property
    def start(self) -> float:
        """1."""
        return 1.0

    @property
    def end(self) -> float:
        """``end_time``."""
        return self.end_time

    def integral(self, t: Scalar) -> Scalar:
        """β_min t + ½ (β_max − β_min) t²."""
        return t * (t * (0.5 * (self.beta_max - self.beta_min)) + self.beta_min)

    def rate(self, t: float) -> float:
        """β_min + t (β_max − β_min)."""
        return self.beta_min + t * (self.beta_max - self.beta_min)


@dataclass(frozen=True, kw_only=True)
class DiscreteChain(VariancePreserving):
    """A chain of T noising steps.

    Args:
        chain_steps: T.
    """

    chain_steps: int = option(1000, least=2)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not all(0 < b < 1 for b in self.betas):
            worst = next(b for b in self.betas if not 0 < b < 1)
            raise ConfigurationError(
                f"chain_steps is {self.chain_steps}, which gives a β of {worst:.3g}; expected 0 < β < 1: take more "
                "steps"
            )

    @cached_property
    @abstractmethod
    def betas(self) -> tuple[float, ...]:
        """β_1, …, β_T."""

    @cached_property
    def _integrals(self) -> tuple[float, ...]:
        """B at 0, 1, …, T."""
        total, values = 0.0, [0.0]
        for beta in self.betas:
            total -= math.log1p(-beta)
            values.append(total)
        return tuple(values)

    @cached_property
    def _ratios(self) -> dict[torch.device, Tensor]:
        """λ at 0, 1, …, T where it was asked for, so that no training step copies it."""
        return {}

    @cached_property
    def _slopes(self) -> tuple[float, ...]:
        """β(t) at 0, 1, …, T: means of the neighbouring steps, at most twice the smaller so that B keeps growing."""
        rise = [b - a for a, b in pairwise(self._integrals)]
        inner = [min(0.5 * (a + b), 2 * a, 2 * b) for a, b in pairwise(rise)]
        ends = (min(max(1.5 * a - 0.5 * b, 0.0), 2 * a) for a, b in ((rise[0], rise[1]), (rise[-1], rise[-2])))
        return (next(ends), *inner, next(ends))

    @property
    def start(self) -> float:
        """T."""
        return float(self.chain_steps)

    @property
    def end(self) -> float:
        """1."""
        return 1.0

    def integral(self, t: Scalar) -> Scalar:
        """−log ᾱ, a cubic between whole steps."""
        if isinstance(t, Tensor):
            table = torch.tensor((self._integrals, self._slopes), dtype=torch.float64, device=t.device)
            index = t.long().clamp_(0, self.chain_steps - 1)
            (low, left), (high, right) = table[:, index], table[:, index + 1]
            u = t - index
        else:
            index = min(max(int(t), 0), self.chain_steps - 1)
            low, high = self._integrals[index : index + 2]
            left, right = self._slopes[index : index + 2]
            u = t - index
        bend = left + right - 2 * (high - low)
        return low + u * (left + u * (high - low - left - bend + u * bend))

    def rate(self, t: float) -> float:
        """β(t), the derivative of the cubic."""
        index = min(max(int(t), 0), self.chain_steps - 1)
        rise = self._integrals[index + 1] - self._integrals[index]
        left, right = self._slopes[index : index + 2]
        u, bend = t - index, left + right - 2 * rise
        return left + u * (2 * (rise - left - bend) + 3 * u * bend)

    def training_ratios(self, streams: Streams, batch: int) -> Tensor:
        """λ (R, B) at steps drawn uniformly from 1, …, T."""
        steps = streams.integers(self.chain_steps, batch).add_(1)
        if steps.device not in self._ratios:
            table = torch.tensor(self._integrals, dtype=torch.float64, device=steps.device)
            self._ratios[steps.device] = table.expm1_().sqrt_()
        return self._ratios[steps.device][steps]

    def points(self, steps: int) -> tuple[float, ...]:
        """Whole steps of the chain, spread as evenly as they go.

        Raises:
            ConfigurationError: if there are fewer than ``steps`` of them.
        """
        if steps > self.chain_steps - 1:
            raise ConfigurationError(
                f"a grid of {steps + 1} noisy levels from a chain of {self.chain_steps}; expected at most "
                f"{self.chain_steps}: lower sampling_steps, or train with a longer chain (chain_steps of the schedule)"
            )
        return tuple(float(round(t)) for t in super().points(steps))


@dataclass(frozen=True, kw_only=True)
class LinearSchedule(DiscreteChain):
    """β_i equally spaced: DDPM.

    Args:
        beta_min: β_1, for T = 1,000.
        beta_max: β_T, for T = 1,000.
    """

    beta_min: float = 1e-4
    beta_max: float = 0.02

    @cached_property
    def betas(self) -> tuple[float, ...]:
        """β_1, …, β_T."""
        scale, last = 1000 / self.chain_steps, self.chain_steps - 1
        return tuple(scale * ((last - i) * self.beta_min + i * self.beta_max) / last for i in range(self.chain_steps))


@dataclass(frozen=True, kw_only=True)
class CosineSchedule(DiscreteChain):
    """ᾱ a squared cosine: improved DDPM.

    Args:
        offset: s, which keeps β_1 from being too small.
        beta_max: largest β.
    """

    offset: float = 0.008
    beta_max: float = 0.999

    @cached_property
    def betas(self) -> tuple[float, ...]:
        """β_1, …, β_T."""
        quarter = 0.5 * math.pi / (1 + self.offset)
        kept = [math.cos((i / self.chain_steps + self.offset) * quarter) ** 2 for i in range(self.chain_steps + 1)]
        return tuple(min(1 - b / a, self.beta_max) for a, b in pairwise(kept))
