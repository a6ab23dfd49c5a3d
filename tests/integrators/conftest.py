"""Equations with known solutions, shared by the tests of the integrators."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from phys_samplers.dynamics import DenoisingDynamics, Dynamics, Relaxation
from phys_samplers.laws import GaussianMixture


class GeometricBrownianMotion(Dynamics):
    """dx = μ x dt + σ x dW, x(t) = x₀ exp((μ − σ²/2) t + σ W)."""

    noise = "diagonal"
    event_shape = (1,)

    def __init__(self, mu: float = 1.5, sigma: float = 0.8, dim: int = 1) -> None:
        self.mu, self.sigma, self.event_shape = mu, sigma, (dim,)

    def drift(self, x: Tensor, t: float) -> Tensor:
        return self.mu * x

    def diffusion(self, x: Tensor, t: float) -> Tensor:
        return self.sigma * x

    def prior(self, n: int, generator: torch.Generator) -> Tensor:
        return torch.ones(n, *self.event_shape, dtype=torch.float64)

    def exact(self, x0: Tensor, t: float, w: Tensor) -> Tensor:
        return x0 * torch.exp((self.mu - self.sigma**2 / 2) * t + self.sigma * w)


class OrnsteinUhlenbeck(Dynamics):
    """dx = λ (m − x) dt + b dW."""

    noise = "additive"

    def __init__(self, rate: float = 2.0, centre: float = 0.5, b: float = 0.7, dim: int = 1) -> None:
        self.rate, self.centre, self.b, self.event_shape = rate, centre, b, (dim,)

    def drift(self, x: Tensor, t: float) -> Tensor:
        return self.rate * (self.centre - x)

    def diffusion(self, x: Tensor, t: float) -> Tensor:
        return torch.tensor(self.b, dtype=x.dtype, device=x.device)

    def relaxation(self, x: Tensor, t: float) -> tuple[Relaxation, Tensor]:
        rate = torch.tensor(self.rate, dtype=x.dtype, device=x.device)
        return Relaxation(rate, torch.full_like(x, self.centre), None), self.diffusion(x, t)

    def prior(self, n: int, generator: torch.Generator) -> Tensor:
        return torch.randn(n, *self.event_shape, generator=generator, device=generator.device)

    def moments(self, x0: float, t: float) -> tuple[float, float]:
        """Exact mean and variance at time t; t < 0 is the equation in the reversed clock."""
        decay = math.exp(-self.rate * t)
        return self.centre + decay * (x0 - self.centre), abs(self.b**2 * (1 - decay**2) / (2 * self.rate))


class Logistic(Dynamics):
    """dx/dt = x (1 − x): nonlinear, with a known solution."""

    event_shape = (1,)

    def drift(self, x: Tensor, t: float) -> Tensor:
        return x * (1 - x)

    def prior(self, n: int, generator: torch.Generator) -> Tensor:
        return torch.rand(n, 1, generator=generator, dtype=torch.float64)

    def exact(self, x0: Tensor, t: float) -> Tensor:
        return x0 / (x0 + (1 - x0) * math.exp(-t))


@pytest.fixture
def gbm() -> type[GeometricBrownianMotion]:
    return GeometricBrownianMotion


@pytest.fixture
def ou() -> type[OrnsteinUhlenbeck]:
    return OrnsteinUhlenbeck


@pytest.fixture
def logistic() -> type[Logistic]:
    return Logistic


class GaussianFlow(DenoisingDynamics):
    """Data N(m, v) in one coordinate: D = m + (x − m) v/(v + σ²), and dx/dσ = (x − D)/σ scales x − m by √(v + σ²)."""

    event_shape = (1,)

    def __init__(self, mean: float = 0.7, variance: float = 0.49) -> None:
        self.mean, self.variance = mean, variance
        self.asked: list[float] = []

    def denoise(self, x: Tensor, t: float) -> Tensor:
        self.asked.append(t)
        return self.mean + (x - self.mean) * (self.variance / (self.variance + t * t))

    def drift(self, x: Tensor, t: float) -> Tensor:
        return (x - self.denoise(x, t)) / t

    def prior(self, n: int, generator: torch.Generator) -> Tensor:
        return torch.randn(n, 1, generator=generator, dtype=torch.float64)

    def exact(self, x: Tensor, start: float, end: float) -> Tensor:
        v = self.variance
        return self.mean + (x - self.mean) * math.sqrt((v + end**2) / (v + start**2))


class MixtureFlow(DenoisingDynamics):
    """Data from a Gaussian mixture: D = Σ_k r_k (m_k σ² + x v_k)/(v_k + σ²) with the responsibilities r at x and σ."""

    event_shape = (2,)

    def __init__(self) -> None:
        means = torch.tensor([[-1.5, 0.0], [1.0, 1.0], [0.8, -1.2]], dtype=torch.float64)
        self.variances = torch.tensor([0.04, 0.09, 0.06], dtype=torch.float64)
        self.weights = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)
        self.means, self.half_squares = means, 0.5 * means.square().sum(1)
        self.law = GaussianMixture(means, self.variances, self.weights)

    def denoise(self, x: Tensor, t: float) -> Tensor:
        precision = 1 / (self.variances + t * t)
        constant = (self.weights * precision).log_() - precision * self.half_squares
        r = (x @ (precision * self.means.T) + constant).sub_(0.5 * precision * x.square().sum(1, keepdim=True))
        r = r.softmax(1).mul_(precision)
        return (r @ self.means).mul_(t * t).addcmul_(x, r @ self.variances[:, None])

    def drift(self, x: Tensor, t: float) -> Tensor:
        return (x - self.denoise(x, t)) / t

    def prior(self, n: int, generator: torch.Generator) -> Tensor:
        return torch.randn(n, 2, generator=generator, dtype=torch.float64)


@pytest.fixture
def gaussian_flow() -> type[GaussianFlow]:
    return GaussianFlow


@pytest.fixture
def mixture_flow() -> type[MixtureFlow]:
    return MixtureFlow
