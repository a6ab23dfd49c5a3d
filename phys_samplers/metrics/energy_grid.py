"""Is the density that a model learned the true one? Total variation by quadrature."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from phys_samplers.errors import ConfigurationError, MissingCapability
from phys_samplers.metric import Metric
from phys_samplers.metrics.rows import row_batches, rows

if TYPE_CHECKING:
    from phys_samplers.sampler import Model
    from phys_samplers.target import Target


@dataclass(frozen=True, kw_only=True)
class DensityTV(Metric):
    """½ ∫ |p − q| of the true density p and the model's own ``log_prob`` q, on a grid, in one or two dimensions.

    Samples play no part: chains that have not converged may look right while the energy that they were taught is wrong.
    The grid spans the task's picture box, or that of the reference rows, widened. Both densities are normalised (p on
    the grid, where its constant is unknown), and their mass outside counts as mismatch, as if it lay apart.

    Args:
        points: of the grid along each axis; the spacing must resolve the narrowest mode.
        margin: by which the box is widened at each of its sides, as a share of its width.
    """

    best: ClassVar = "low"
    needs: ClassVar[frozenset[str]] = frozenset({"log_prob"})
    needs_model: ClassVar[bool] = True

    points: int = 301
    margin: float = 0.5

    def __post_init__(self) -> None:
        if self.points < 2 or not self.margin >= 0:
            raise ConfigurationError(
                f"points is {self.points} and margin {self.margin}; expected at least 2 points and a margin of at "
                "least 0"
            )

    @torch.no_grad()
    def __call__(
        self,
        samples: Tensor,
        reference: Tensor,
        *,
        target: Target,
        generator: torch.Generator,
        model: Model | None = None,
    ) -> float:
        """The total variation distance, in [0, 1].

        Raises:
            MissingCapability: if there is no model, or it has no ``log_prob``.
            ConfigurationError: on bad rows, if the target has more than two coordinates, or ``log_prob`` is NaN on the
                grid.
        """
        target.require(*self.needs, by="energy-tv")
        _, reference = rows(samples, reference, by="energy-tv")
        log_prob = getattr(model, "log_prob", None)
        if model is None or not callable(log_prob):
            given = "no model" if model is None else type(model).__name__
            raise MissingCapability(
                f"energy-tv needs a fitted model with log_prob(x: (B, *event_shape)) -> (B,), given {given}; leave the "
                "metric out for this sampler"
            )
        grid, cell = self._grid(target, reference)
        true = torch.cat([target.log_prob(some) for some in row_batches(grid)]).double()
        true = true - (float(true.logsumexp(0)) + math.log(cell) if target.log_z is None else target.log_z)
        learned = torch.cat([log_prob(some.to(model.device)).cpu() for some in row_batches(grid)]).double()
        if learned.isnan().any():
            raise ConfigurationError(f"energy-tv: {type(model).__name__}.log_prob is NaN on the grid")
        p, q = true.exp() * cell, learned.exp() * cell
        outside = (1 - p.sum()).clamp(min=0) + (1 - q.sum()).clamp(min=0)
        return float(((p - q).abs().sum() + outside) / 2)

    def _grid(self, target: Target, reference: Tensor) -> tuple[Tensor, float]:
        """Points (G, D) and the volume of a cell."""
        dim = target.dim
        if dim > 2 or len(target.event_shape) != 1:
            raise ConfigurationError(
                f"energy-tv: {target.name!r} has events of shape {target.event_shape}; expected one or two coordinates"
            )
        box = getattr(target, "view", ())
        if len(box) != dim:
            box = tuple(zip(reference.amin(0).tolist(), reference.amax(0).tolist(), strict=True))
        wide = [(low - self.margin * (high - low), high + self.margin * (high - low)) for low, high in box]
        axes = [torch.linspace(low, high, self.points) for low, high in wide]
        cell = math.prod((high - low) / (self.points - 1) for low, high in wide)
        return torch.cartesian_prod(*axes).reshape(-1, dim), cell
