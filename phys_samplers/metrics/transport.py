"""Optimal transport between two equally weighted point sets: exact by POT's network simplex, and along random lines."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from phys_samplers.errors import ConfigurationError
from phys_samplers.metric import Metric, Scored
from phys_samplers.metrics.two_sample import at_most, blocks, distances
from phys_samplers.options import option

DENSE_COSTS = 5_000**2
"""Up to this many point pairs the whole cost matrix is handed to POT, which then needs about 45 bytes per pair."""


def transport_cost(x: Tensor, y: Tensor, *, power: int, max_iterations: int, by: str) -> float:
    """min over couplings of E|x − y|^power for equal weights; exact.

    On the line by sorting. Elsewhere by ``ot.emd2`` on the CPU, wherever ``x`` is; above ``DENSE_COSTS`` pairs by
    ``ot.emd2_lazy`` where the installed POT has it (half as fast, memory linear in n + m).

    Args:
        x: float64 rows (n, D).
        y: float64 rows (m, D).
        power: 1 or 2.
        max_iterations: of the network simplex.
        by: name of the metric, for messages.

    Raises:
        ConfigurationError: if POT stops before the optimum or warns of anything.
    """
    if x.shape[1] == 1:
        return float(line_cost(x, y, power))
    import ot

    log: dict[str, Any]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # told by log["warning"], which becomes an error below
        if len(x) * len(y) > DENSE_COSTS and hasattr(ot, "emd2_lazy"):
            metric = "euclidean" if power == 1 else "sqeuclidean"
            cost, log = ot.emd2_lazy(
                x.cpu().numpy(), y.cpu().numpy(), metric=metric, numItermax=max_iterations, log=True
            )
        else:
            costs = distances(x, y).pow(power).cpu().numpy()
            cost, log = ot.emd2([], [], costs, numItermax=max_iterations, log=True)
    if log["warning"] is not None:
        raise ConfigurationError(
            f"{by}: exact transport between {len(x)} and {len(y)} points failed ({log['warning']}); raise "
            f"max_iterations, now {max_iterations}, or score fewer points"
        )
    return max(float(cost), 0.0)


def line_cost(x: Tensor, y: Tensor, power: int) -> Tensor:
    """W_p^p = ∫₀¹ |F⁻¹(u) − G⁻¹(u)|^p du between equally weighted points, column by column.

    Quantile levels are compared as integers (i·m against j·n), so unequal sizes are exact too.

    Args:
        x: (n, P), one set of points per column.
        y: (m, P).
        power: p of |x − y|^p, at least 1.

    Returns:
        Cost per column (P,).
    """
    n, m = len(x), len(y)
    x, y = x.sort(0).values, y.sort(0).values
    if n == m:
        return (x - y).abs().pow(power).mean(0)
    steps_x = torch.arange(1, n + 1, device=x.device) * m
    steps_y = torch.arange(1, m + 1, device=x.device) * n
    levels = torch.cat([steps_x, steps_y]).unique()
    mass = torch.diff(levels, prepend=levels.new_zeros(1)).to(x.dtype) / (n * m)
    # On the interval that ends at `level`, the quantile is the first point whose own step reaches the level.
    of_x = torch.searchsorted(steps_x, levels)
    of_y = torch.searchsorted(steps_y, levels)
    return ((x[of_x] - y[of_y]).abs().pow(power) * mass[:, None]).sum(0)


@dataclass(frozen=True, kw_only=True)
class _Transport(Metric):
    """W_p between the empirical laws: the p-th root of the transport cost for the p-th power of Euclidean distances.

    Args:
        max_iterations: of the network simplex.
        points: at most so many rows of each set, chosen at random, are compared: time grows faster than the square.
            The floor depends on it as on any sample size.

    Source: R. Flamary et al., POT (JMLR 22:78, 2021), ``ot.emd2``.
    """

    power: ClassVar[int]

    max_iterations: int = option(100_000_000, least=1)
    points: int | None = option(None, least=1)

    def __call__(self, scored: Scored) -> float:
        """W_p, in the units of the samples."""
        x, y = (at_most(self.points, z, scored.generator) for z in scored.rows(self))
        cost = transport_cost(x, y, power=self.power, max_iterations=self.max_iterations, by=f"w{self.power}")
        return cost ** (1 / self.power)


@dataclass(frozen=True, kw_only=True)
class W1(_Transport):
    """W₁ between the empirical laws: Euclidean cost."""

    power = 1


@dataclass(frozen=True, kw_only=True)
class W2(_Transport):
    """W₂ between the empirical laws: the root of the transport cost for squared Euclidean distances."""

    power = 2


@dataclass(frozen=True, kw_only=True)
class SlicedW2(Metric):
    """SW₂ = (mean over θ of W₂²(θᵀX, θᵀY))^½ with θ uniform on the unit sphere, drawn from the generator.

    At most W₂ / √D in expectation. In one dimension it is W₂.

    Args:
        projections: number of directions.

    Source: N. Bonneel et al., Sliced and Radon Wasserstein Barycenters of Measures (2015).
    """

    projections: int = option(128, least=1)

    def __call__(self, scored: Scored) -> float:
        """SW₂, in the units of the samples."""
        (x, y), generator = scored.rows(self), scored.generator
        shape = (x.shape[1], self.projections)
        # Drawn where the generator lives: a CPU generator gives the same directions on every device.
        theta = torch.randn(shape, generator=generator, device=generator.device, dtype=torch.float64).to(x)
        theta = theta / theta.norm(dim=0)
        total = x.new_zeros(())
        for some in blocks(self.projections, len(x) + len(y)):
            total = total + line_cost(x @ theta[:, some], y @ theta[:, some], 2).sum()
        return float((total / self.projections).sqrt())
