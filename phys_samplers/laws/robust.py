r"""The posterior of a linear regression with Student-t noise: several modes, one for each choice of outliers.

    y_n = a_n·w + ε_n,   ε_n ~ t_ν,   w_j ~ Cauchy(0, 1),

so that the prior has no mean, and a row far from a plane through the others counts little (Lange, Little & Taylor 1989,
*Robust statistical modeling using the t distribution*).
"""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn

from phys_samplers.errors import ConfigurationError
from phys_samplers.laws.arguments import Numbers, as_real, check_positive
from phys_samplers.shapes import Draws, Points, Values

BLOCK = 2**18
"""Draws of the prior that are tried at a time."""
NEWTON = 200
"""Iterations uphill from each plane through D rows."""


class RobustRegression(nn.Module):
    """The posterior of the weights, with exact draws by rejection from the prior: for few rows and weights.

    Args:
        features: (N, D), N ≥ D; every plane through D rows begins a search for the highest likelihood.
        responses: (N,).
        nu: ν of the noise.
    """

    features: Tensor
    responses: Tensor
    differentiable = True

    def __init__(self, features: Numbers, responses: Numbers, nu: float = 1.0) -> None:
        super().__init__()
        a, y = as_real("features", features), as_real("responses", responses)
        if a.ndim != 2 or tuple(y.shape) != (len(a),) or len(a) < a.shape[1]:
            raise ConfigurationError(
                f"features and responses have shapes {tuple(a.shape)} and {tuple(y.shape)}; expected (N, D) and (N,) "
                "with N of at least D"
            )
        self.nu = check_positive("nu", nu)
        self.event_shape: tuple[int, ...] = (a.shape[1],)
        self.register_buffer("features", a)
        self.register_buffer("responses", y)
        self._highest = self._most_likely()

    def _log_likelihood(self, w: Tensor) -> Tensor:
        nu, n = self.nu, len(self.responses)
        gaps = self.responses.to(w) - w @ self.features.to(w).T
        constant = math.lgamma((nu + 1) / 2) - math.lgamma(nu / 2) - 0.5 * math.log(math.pi * nu)
        return n * constant - 0.5 * (nu + 1) * (gaps.square() / nu).log1p().sum(-1)

    def _most_likely(self) -> float:
        """max_w log p(y | w), by reweighted least squares, which climbs, from each plane through D rows."""
        a, y = self.features.double(), self.responses.double()
        rows = torch.tensor(list(itertools.combinations(range(len(y)), a.shape[1])))
        w = torch.linalg.lstsq(a[rows], y[rows].unsqueeze(2)).solution.squeeze(2)
        for _ in range(NEWTON):
            weights = 1 / (self.nu + (y - w @ a.T).square())
            gram = (a.T * weights.unsqueeze(1)) @ a
            w = torch.linalg.solve(gram, (weights * y) @ a)
        return float(self._log_likelihood(w).max())

    def log_prob(self, x: Points) -> Values:
        """log p(y, w) (B,) at weights ``x`` (B, D)."""
        return self._log_likelihood(x) - (math.pi * (1 + x.square())).log().sum(-1)

    def score(self, x: Points) -> Points:
        """∇ log p (B, D)."""
        a = self.features.to(x)
        gaps = self.responses.to(x) - x @ a.T
        return ((self.nu + 1) * gaps / (self.nu + gaps.square())) @ a - 2 * x / (1 + x.square())

    def sample(self, n: int, generator: torch.Generator) -> Draws:
        """``n`` draws (n, D) on the generator's device: of the prior's, by the likelihood over its maximum."""
        kept: list[Tensor] = []
        while sum(map(len, kept)) < n:
            uniform = torch.rand(
                BLOCK, self.event_shape[0] + 1, generator=generator, device=generator.device, dtype=torch.float64
            )
            w = (math.pi * (uniform[:, 1:] - 0.5)).tan()
            kept.append(w[uniform[:, 0].log() < self._log_likelihood(w) - self._highest])
        return torch.cat(kept)[:n].to(self.features.dtype)
