"""The kernels of Bellman Diffusion: full Gaussian, sampled slices, the slices' exact average, constant."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from phys_samplers.errors import ConfigurationError
from phys_samplers.kernels.base import Kernel
from phys_samplers.randomness import Streams


@dataclass(frozen=True, kw_only=True)
class GaussianKernel(Kernel):
    """k(d) = exp(−|d|²/2ε), times (2πε)^{−D/2} if ``normalised`` (Bellman Diffusion, Eq. 8 and 9).

    With ε → 0 and ``normalised`` the mobility tends to the density p itself.
    """

    normalised: bool = False

    def profile(self, squared: Tensor, dim: int) -> tuple[Tensor, Tensor]:
        """See ``Kernel.profile``."""
        value = torch.exp(squared * (-0.5 / self.variance))
        if self.normalised:
            value = value * (2 * math.pi * self.variance) ** (-dim / 2)
        return value, value * (-0.5 / self.variance)


@dataclass(frozen=True, kw_only=True)
class SliceAverageKernel(Kernel):
    """k(d) = E_w N(wᵀd; 0, ε) = (2π(ε + |d|²))^{−1/2} for w ~ N(0, I): every slice at once, nothing sampled.

    wᵀd ~ N(0, |d|²) and a Gaussian density averaged over a Gaussian argument is a Gaussian density of the summed
    variance. The gradient of the loss cannot have more variance than with sampled slices (Rao–Blackwell), and the
    mobility is heavy-tailed: particles far from the data still move.
    """

    def profile(self, squared: Tensor, dim: int) -> tuple[Tensor, Tensor]:
        """See ``Kernel.profile``."""
        total = squared + self.variance
        value = (2 * math.pi * total).rsqrt()
        return value, value / total * -0.5


@dataclass(frozen=True, kw_only=True)
class SlicedGaussianKernel(SliceAverageKernel):
    """k_w(d) = N(wᵀd; 0, ε) with random directions w ~ N(0, I), averaged over ``slices`` of them (Eq. 10 and 11).

    Only ``estimate`` samples directions; averages over data use their expectation, which is what a network trained
    with sampled slices learns.

    Args:
        slices: directions per pair, n in Table 2 of the paper.
    """

    slices: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.slices < 1:
            raise ConfigurationError(f"slices is {self.slices}; expected at least one direction per pair")

    def estimate(self, difference: Tensor, streams: Streams) -> tuple[Tensor, Tensor]:
        """k_w and its gradient with fresh directions for every pair."""
        _, batch, dim = difference.shape
        w = streams.normal(batch, self.slices, dim, dtype=difference.dtype)
        projected = (w * difference.unsqueeze(-2)).sum(-1)
        value = torch.exp(projected.square() * (-0.5 / self.variance)) * (2 * math.pi * self.variance) ** -0.5
        gradient = -(value * projected / self.variance).unsqueeze(-1) * w
        return value.mean(-1), gradient.mean(-2)


@dataclass(frozen=True, kw_only=True)
class ConstantKernel(Kernel):
    """k = 1: then q = 1 and g = ½ ∇log p, plain Langevin dynamics. The Bellman family contains it."""

    epsilon: float | None = 1.0

    def profile(self, squared: Tensor, dim: int) -> tuple[Tensor, Tensor]:
        """See ``Kernel.profile``."""
        return torch.ones_like(squared), torch.zeros_like(squared)
