r"""The posterior of sparse normal means under the horseshoe prior.

    y_i = β_i + ε_i,   β_i ~ N(0, λ_i² τ²),   λ_i, τ ~ half-Cauchy(0, 1),   ε_i ~ N(0, 1),

in the coordinates (log τ, log λ_1, …, log λ_m, β_1, …, β_m), where log λ has the density sech(log λ)/π. It has a funnel
for each mean, tails like e^{−|log λ|}, and modes where a mean is signal or noise.

Source: Carvalho, Polson & Scott 2010, *The horseshoe estimator for sparse signals*, Section 1.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from phys_samplers.errors import ConfigurationError
from phys_samplers.laws.arguments import Numbers, as_real
from phys_samplers.shapes import Draws, Points, Values

REACH, POINTS = 15.0, 401
"""log τ and log λ are drawn on a grid of so many points from −REACH to REACH, beyond which a mass of 2e-7 lies."""
BLOCK = 256
"""Draws of log λ at a time."""


class Horseshoe(nn.Module):
    """The posterior given observations y, with exact draws: given τ all means are independent.

    Args:
        observations: y (m,).
    """

    y: Tensor
    log_z: float
    differentiable = True

    def __init__(self, observations: Numbers) -> None:
        super().__init__()
        y = as_real("observations", observations)
        if y.ndim != 1 or not len(y):
            raise ConfigurationError(f"observations have shape {tuple(y.shape)}; expected (m,)")
        self.event_shape: tuple[int, ...] = (2 * len(y) + 1,)
        self.register_buffer("y", y)
        grid = torch.linspace(-REACH, REACH, POINTS, dtype=torch.float64)
        self._posterior = self._global(grid)
        self.log_z = float(torch.logsumexp(self._posterior, 0)) + math.log(float(grid[1] - grid[0]))

    def _global(self, grid: Tensor) -> Tensor:
        """log p(log τ, y) on the grid (POINTS,)."""
        step = math.log(float(grid[1] - grid[0]))
        parts = [self._local(at, grid).logsumexp(2).add(step).sum(1) for at in grid.split(BLOCK)]
        return _log_sech(grid) + torch.cat(parts)

    def _local(self, log_tau: Tensor, grid: Tensor) -> Tensor:
        """log p(log λ_i, y_i | τ) (B, m, POINTS) at log τ (B,)."""
        variance = 1 + (2 * (log_tau[:, None] + grid)).exp()
        fit = -0.5 * (self.y.double().square()[:, None] / variance[:, None] + (2 * math.pi * variance).log()[:, None])
        return fit + _log_sech(grid)

    def log_prob(self, x: Points) -> Values:
        """log p(y, x) (B,) at ``x`` (B, 2m + 1)."""
        log_tau, log_lambda, beta = self._parts(x)
        scale = log_lambda + log_tau
        prior = _log_sech(x[..., : len(self.y) + 1]).sum(-1)
        means = -0.5 * (beta * (-scale).exp()).square() - scale
        fit = -0.5 * (self.y.to(x) - beta).square()
        return prior + (means + fit).sum(-1) - len(self.y) * math.log(2 * math.pi)

    def score(self, x: Points) -> Points:
        """∇ log p (B, 2m + 1)."""
        log_tau, log_lambda, beta = self._parts(x)
        precision = (-(log_lambda + log_tau)).exp()
        scaled = beta * precision
        along = scaled.square() - 1
        towards = self.y.to(x) - beta - scaled * precision
        own = -torch.cat([log_tau, log_lambda], -1).tanh()
        return torch.cat([own + torch.cat([along.sum(-1, keepdim=True), along], -1), towards], -1)

    def _parts(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        m = len(self.y)
        return x[..., :1], x[..., 1 : m + 1], x[..., m + 1 :]

    def sample(self, n: int, generator: torch.Generator) -> Draws:
        """``n`` draws (n, 2m + 1) on the generator's device: log τ, then each log λ_i, on a grid, then β_i."""
        device, m = generator.device, len(self.y)
        grid = torch.linspace(-REACH, REACH, POINTS, dtype=torch.float64, device=device)
        uniform = torch.rand(n, m + 1, generator=generator, device=device, dtype=torch.float64)
        log_tau = _inverse(self._posterior.to(device).expand(1, -1), grid, uniform[None, :, 0])[0]
        log_lambda = torch.cat(
            [
                _inverse(self._local(at, grid), grid, some[..., None]).squeeze(-1)
                for at, some in zip(log_tau.split(BLOCK), uniform[:, 1:].split(BLOCK), strict=True)
            ]
        )
        prior = (2 * (log_tau[:, None] + log_lambda)).exp()
        share = prior / (1 + prior)
        noise = torch.randn(n, m, generator=generator, device=device, dtype=torch.float64)
        beta = share * self.y.to(device) + share.sqrt() * noise
        return torch.cat([log_tau[:, None], log_lambda, beta], 1).to(self.y.dtype)


def _log_sech(t: Tensor) -> Tensor:
    """log(sech t / π), the density of the logarithm of a half-Cauchy scale."""
    return -t.abs() - functional.softplus(-2 * t.abs()) + math.log(2 / math.pi)


def _inverse(log_density: Tensor, grid: Tensor, uniform: Tensor) -> Tensor:
    """Points (…, k) where the distribution function of densities (…, POINTS) on ``grid`` is ``uniform`` (…, k)."""
    density = (log_density - log_density.amax(-1, keepdim=True)).exp()
    cells = functional.pad((density[..., 1:] + density[..., :-1]).cumsum(-1), (1, 0))
    cells = cells / cells[..., -1:]
    right = torch.searchsorted(cells.contiguous(), uniform.contiguous()).clamp(1, cells.shape[-1] - 1)
    low, high = cells.gather(-1, right - 1), cells.gather(-1, right)
    return grid[right - 1] + (uniform - low) / (high - low).clamp(min=1e-300) * (grid[1] - grid[0])
