"""Kernels k(x, y) = k(x − y) > 0: what turns a law into a mobility q(x) = E_{y~p} k(x, y).

Every positive symmetric kernel gives an exact pair of Bellman fields (``s* = q``, ``g* = ½(∇q + q ∇log p)``), so the
kernel is a free choice: it sets where particles move fast, not where they end. ``k → ck`` rescales time only, which is
why kernels are 1 at zero distance unless ``normalised``: the factor (2πε)^{−D/2} underflows in high dimension.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor, nn

from phys_samplers.errors import ConfigurationError
from phys_samplers.options import check_values, fit_option
from phys_samplers.randomness import Streams


def median_squared_distance(rows: Tensor, at_most: int = 1024) -> float:
    """Median of |x − y|² over the distinct pairs of (at most ``at_most``) rows (N, D)."""
    rows = rows.flatten(1)
    chosen = rows[:: max(1, len(rows) // at_most)][:at_most].double()
    value = torch.pdist(chosen).square().median().item()
    if not value > 0:
        raise ConfigurationError(
            "the median distance between training rows is 0; the median heuristic needs rows that differ (give epsilon)"
        )
    return value


@dataclass(frozen=True, kw_only=True)
class Kernel(ABC):
    """A stationary kernel.

    Args:
        epsilon: variance ε of the kernel; None takes ε = scale² · median |x − y|² of the data.
        scale: of the median heuristic.
    """

    epsilon: float | None = fit_option(None, above=0)
    scale: float = fit_option(0.5, above=0)

    def __post_init__(self) -> None:
        check_values(self)

    def resolve(self, rows: Tensor) -> Self:
        """The kernel with its bandwidth fixed from ``rows`` (N, D) where it was left open."""
        if self.epsilon is not None:
            return self
        return replace(self, epsilon=self.scale**2 * median_squared_distance(rows))

    @property
    def variance(self) -> float:
        """ε.

        Raises:
            ConfigurationError: if it is still open.
        """
        if self.epsilon is None:
            raise ConfigurationError(f"{type(self).__name__} has no bandwidth yet; call resolve(rows) or give epsilon")
        return self.epsilon

    def widened(self, variance: float) -> Self:
        """The kernel for a law blurred by N(0, variance · I): ε + variance."""
        return replace(self, epsilon=self.variance + variance)

    @abstractmethod
    def profile(self, squared: Tensor, dim: int) -> tuple[Tensor, Tensor]:
        """k and dk/d(|d|²) at squared distances of any shape, in dimension ``dim``. For averages over many pairs."""

    def value(self, difference: Tensor) -> Tensor:
        """k(d) for differences (…, D)."""
        return self.profile(difference.square().sum(-1), difference.shape[-1])[0]

    def value_and_gradient(self, difference: Tensor) -> tuple[Tensor, Tensor]:
        """k(d) (…) and ∇_x k(x − y) (…, D) at d = x − y."""
        value, slope = self.profile(difference.square().sum(-1), difference.shape[-1])
        return value, (2 * slope).unsqueeze(-1) * difference

    def estimate(self, difference: Tensor, streams: Streams) -> tuple[Tensor, Tensor]:
        """An unbiased estimate of ``value_and_gradient`` for pairs (R, B, D); exact unless the kernel is sampled."""
        return self.value_and_gradient(difference)


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

    slices: int = fit_option(1, least=1)

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


class KernelMean(nn.Module):
    """q and ∇q of a kernel over reference rows; each random reference batch is an exact positive mobility.

    Args:
        kernel: with its bandwidth resolved.
        reference: rows y (M, D).
        weights: (M,), summing to one; equal by default.
    """

    reference: Tensor
    weights: Tensor

    def __init__(self, kernel: Kernel, reference: Tensor, weights: Tensor | None = None) -> None:
        super().__init__()
        self.kernel = kernel
        self.register_buffer("reference", reference)
        if weights is None:
            weights = torch.full((len(reference),), 1 / len(reference), dtype=reference.dtype, device=reference.device)
        self.register_buffer("weights", weights)

    def forward(self, x: Tensor, variance: float = 0.0) -> tuple[Tensor, Tensor]:
        """q (B,) and ∇q (B, D) at ``x`` (B, D) for a kernel widened by ``variance``."""
        kernel = self.kernel if variance == 0 else self.kernel.widened(variance)
        # Tables of a quarter MiB stay in the cache and out of mmap, whose page faults cost more than the arithmetic
        # (2.4 to 3 times the time at 1,000 to 4,000 points); a GPU wants one large table.
        block = len(x) if x.is_cuda else max(1, 65_536 // len(self.reference))
        if len(x) <= block:
            return self._block(x, kernel)
        values, gradients = zip(*(self._block(part, kernel) for part in x.split(block)), strict=True)
        return torch.cat(values), torch.cat(gradients)

    def _block(self, x: Tensor, kernel: Kernel) -> tuple[Tensor, Tensor]:
        y = self.reference
        squared = torch.addmm(y.square().sum(1), x, y.T, alpha=-2).add_(x.square().sum(1, keepdim=True)).clamp_(min=0)
        value, slope = kernel.profile(squared, x.shape[1])
        # Σ_j w_j φ'(r_j²) · 2(x − y_j) as two matrix products: no (B, M, D) tensor.
        gradient = 2 * (x * (slope @ self.weights).unsqueeze(1) - slope @ (self.weights.unsqueeze(1) * y))
        return value @ self.weights, gradient

    def mean(self, variance: float = 0.0, at_most: int = 256) -> Tensor:
        """The mean of q over the blurred reference rows themselves, up to the Monte Carlo error of ``at_most`` rows.

        Exact for a Gaussian kernel; dividing fields by it makes one step size serve every data set. A tensor without
        axes, left on its device: sampling loops ask for it at every blur.
        """
        y = self.reference[:at_most]
        kernel = self.kernel.widened(2 * variance)
        squared = torch.cdist(y, y).square()
        value, _ = kernel.profile(squared, y.shape[1])
        off_diagonal = value.sum() - value.diagonal().sum()
        return off_diagonal / (len(y) * (len(y) - 1))
