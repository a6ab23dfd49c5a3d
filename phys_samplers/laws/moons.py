"""Two moons: two interleaved half circles with Gaussian noise.

The law is an integral over the angle, p(x) = ½ Σ_arc (1/π) ∫₀^π N(x; c_arc(θ), σ² I) dθ. Draws follow it exactly.
Density and score replace the integral by Gauss–Legendre quadrature, a finite Gaussian mixture. The integrand is
analytic in θ, so the error falls geometrically once the node spacing (about π²/2M in the middle of an arc) is below σ.
With the default σ = 0.1 and M = 96 nodes per arc, measured against 2,000 nodes in double precision: the error of log p
is below 1e-10 within 1 of the arcs' bounding box and below 1e-5 within 4, that of the score below 1e-8 and 1e-4.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from phys_samplers.laws.arguments import check_count, check_positive
from phys_samplers.laws.mixture import GaussianMixture
from phys_samplers.shapes import Draws, Points, Values


def arcs(angle: Tensor) -> Tensor:
    """Points (2, n, 2) of the upper and the lower moon at ``angle`` (n,) in [0, π].

    The upper moon is the unit half circle around 0, the lower one its mirror image around (1, ½).
    """
    cosine, sine = angle.cos(), angle.sin()
    return torch.stack([torch.stack([cosine, sine], -1), torch.stack([1.0 - cosine, 0.5 - sine], -1)])


class TwoMoons(nn.Module):
    """Two half circles of radius 1, half the mass each, uniform in the angle, with noise N(0, σ² I).

    Args:
        noise: σ.
        nodes: quadrature nodes per arc for density and score; the error above holds for σ ≥ 0.1 at 96.
    """

    log_z = 0.0
    differentiable = True

    def __init__(self, noise: float = 0.1, nodes: int = 96) -> None:
        super().__init__()
        self.noise = check_positive("noise", noise)
        self.nodes = check_count("nodes", nodes, least=2)
        self.event_shape: tuple[int, ...] = (2,)
        abscissa, weight = np.polynomial.legendre.leggauss(nodes)
        angle = 0.5 * math.pi * (1.0 + torch.from_numpy(abscissa))
        dtype = torch.get_default_dtype()
        self.quadrature = GaussianMixture(
            arcs(angle).flatten(0, 1).to(dtype),
            torch.full((2 * nodes,), noise**2, dtype=dtype),
            torch.from_numpy(weight).repeat(2) / 4.0,
        )

    @property
    def centres(self) -> Tensor:
        """The middle of each arc (2, 2)."""
        return torch.tensor([[0.0, 1.0], [1.0, -0.5]]).to(self.quadrature.means)

    def log_prob(self, x: Points) -> Values:
        """Normalised log-density (B,) at ``x`` (B, 2), by quadrature."""
        return self.quadrature.log_prob(x)

    def score(self, x: Points) -> Points:
        """∇ log p (B, 2), the exact gradient of ``log_prob``."""
        return self.quadrature.score(x)

    def log_prob_and_score(self, x: Points) -> tuple[Values, Points]:
        """Both at the price of one."""
        return self.quadrature.log_prob_and_score(x)

    def labels(self, x: Tensor) -> Tensor:
        """0 for the upper moon, 1 for the lower one (B,), by responsibility; on any device."""
        home = self.quadrature.means.device
        responsibility = self.quadrature.responsibilities(x.to(home)).unflatten(-1, (2, self.nodes)).sum(-1)
        return responsibility.argmax(-1).to(x.device)

    def sample(self, n: int, generator: torch.Generator) -> Draws:
        """``n`` draws (n, 2) on the generator's device; exact, without quadrature."""
        device, dtype = generator.device, self.quadrature.means.dtype
        angle = math.pi * torch.rand(n, generator=generator, device=device, dtype=dtype)
        moon = torch.randint(2, (n,), generator=generator, device=device)
        noise = torch.randn(n, 2, generator=generator, device=device, dtype=dtype)
        return arcs(angle)[moon, torch.arange(n, device=device)] + self.noise * noise

    def blurred(self, variance: float) -> GaussianMixture:
        """The law of x + √variance · N(0, I), with the quadrature's error only."""
        return self.quadrature.blurred(variance)
