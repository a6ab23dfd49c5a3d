"""Exact Wasserstein distances between two equally weighted point sets, by the network simplex of POT."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from phys_samplers.errors import ConfigurationError
from phys_samplers.metric import Metric
from phys_samplers.metrics.pairwise import distances
from phys_samplers.metrics.rows import at_most, rows
from phys_samplers.metrics.transport_1d import line_cost

if TYPE_CHECKING:
    from phys_samplers.sampler import Model
    from phys_samplers.target import Target

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


@dataclass(frozen=True, kw_only=True)
class _Transport(Metric):
    """W_p between the empirical laws: the p-th root of the transport cost for the p-th power of Euclidean distances.

    Args:
        max_iterations: of the network simplex.
        points: at most so many rows of each set, chosen at random, are compared: time grows faster than the square.
            The floor depends on it as on any sample size.

    Source: R. Flamary et al., POT (JMLR 22:78, 2021), ``ot.emd2``.

    Raises:
        ConfigurationError: on a ``points`` below 1.
    """

    best: ClassVar = "low"
    power: ClassVar[int]

    max_iterations: int = 100_000_000
    points: int | None = None

    def __post_init__(self) -> None:
        if self.points is not None and self.points < 1:
            raise ConfigurationError(f"w{self.power}: points is {self.points}; expected at least 1, or none for all")

    def __call__(
        self,
        samples: Tensor,
        reference: Tensor,
        *,
        target: Target,
        generator: torch.Generator,
        model: Model | None = None,
    ) -> float:
        """W_p of ``samples`` (n, *event_shape) and ``reference`` (m, *event_shape), in the units of the samples."""
        name = f"w{self.power}"
        x, y = (at_most(self.points, z, generator) for z in rows(samples, reference, by=name))
        cost = transport_cost(x, y, power=self.power, max_iterations=self.max_iterations, by=name)
        return cost ** (1 / self.power)


@dataclass(frozen=True, kw_only=True)
class W1(_Transport):
    """W₁ between the empirical laws: Euclidean cost."""

    power = 1


@dataclass(frozen=True, kw_only=True)
class W2(_Transport):
    """W₂ between the empirical laws: the root of the transport cost for squared Euclidean distances."""

    power = 2
