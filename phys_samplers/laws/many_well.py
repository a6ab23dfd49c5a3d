"""Many wells: independent pairs of a double well and a normal coordinate, 2^pairs modes of unequal weight.

    −log p(x, v) = Σ_k x_k⁴ − 6 x_k² − ½ x_k + ½ v_k²

The double well of Noé et al. (2019), "Boltzmann generators", repeated as in Midgley et al. (2023), "Flow annealed
importance sampling bootstrap", whose Many Well 32 has 16 pairs. Coordinates are (x_1, v_1, x_2, v_2, …). The wells of
x are at 1.75 and −1.71, and the right one holds 84 % of its mass.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from phys_samplers.laws.arguments import check_count
from phys_samplers.shapes import Draws, Points, Values

CELLS, REACH = 1 << 16, 6.0
"""Of the grid that the double well is integrated on, over (−REACH, REACH): e^{−1000} of the mass is outside."""


def well_energy(x: Tensor) -> Tensor:
    """x⁴ − 6x² − x/2."""
    squared = x.square()
    return squared * (squared - 6.0) - 0.5 * x


class ManyWell(nn.Module):
    """The law above.

    Args:
        pairs: number of pairs, at least 1; the dimension is twice that.

    Attributes:
        log_z: exact to double precision: the trapezoidal rule converges faster than any power of its step here.
        right: probability of a well coordinate being positive.
    """

    differentiable = True

    def __init__(self, pairs: int = 16) -> None:
        super().__init__()
        self.pairs = check_count("pairs", pairs, least=1)
        self.event_shape: tuple[int, ...] = (2 * pairs,)
        mass, total = _table()
        self.log_z = pairs * (math.log(total) + 0.5 * math.log(2.0 * math.pi))
        self.right = 1.0 - float(mass[CELLS // 2])

    def log_prob(self, x: Points) -> Values:
        """Unnormalised log-density (B,) at ``x`` (B, 2·pairs)."""
        return -well_energy(x[..., 0::2]).sum(-1) - 0.5 * x[..., 1::2].square().sum(-1)

    def score(self, x: Points) -> Points:
        """∇ log p (B, 2·pairs): −4x³ + 12x + ½ for a well, −v for a normal coordinate."""
        well = x[..., 0::2]
        return torch.stack([well * (12.0 - 4.0 * well.square()) + 0.5, -x[..., 1::2]], -1).flatten(-2)

    def rights(self, x: Tensor) -> Tensor:
        """How many wells (B,) the rows of ``x`` (B, 2·pairs) are in the right half of: binomial(pairs, ``right``)."""
        return (x[..., 0::2] > 0).sum(-1)

    def sample(self, n: int, generator: torch.Generator) -> Draws:
        """``n`` draws (n, 2·pairs) on the generator's device.

        Wells by the inverse distribution function, linear between the points of a grid, where it is off by 1e-9.
        """
        device, dtype = generator.device, torch.get_default_dtype()
        mass, _ = _table()
        mass = mass.to(device)
        u = torch.rand(n, self.pairs, generator=generator, device=device, dtype=torch.float64)
        after = torch.searchsorted(mass, u, right=True).clamp(1, CELLS)
        part = (u - mass[after - 1]) / (mass[after] - mass[after - 1])
        well = (after - 1 + part) * (2.0 * REACH / CELLS) - REACH
        noise = torch.randn(n, self.pairs, generator=generator, device=device, dtype=dtype)
        return torch.stack([well.to(dtype), noise], -1).flatten(1)


def _table() -> tuple[Tensor, float]:
    """The distribution function of the double well at CELLS + 1 points over its reach, and ∫ e^{−energy} dx."""
    x = torch.linspace(-REACH, REACH, CELLS + 1, dtype=torch.float64)
    density = (-well_energy(x)).exp()
    mass = torch.cat([density.new_zeros(1), (0.5 * (density[1:] + density[:-1])).cumsum(0)])
    return mass / mass[-1], float(mass[-1]) * 2.0 * REACH / CELLS
