"""Any score of weighted samples: they are resampled by their weights first.

Importance weights make samples exact in the limit, and a sampler that gives them (annealed importance sampling, the
value gradient sampler) leaves it to its user to apply them. Samples without weights are scored as they are, so that one
column compares both kinds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from phys_samplers.errors import ConfigurationError
from phys_samplers.metric import Metric

if TYPE_CHECKING:
    from phys_samplers.sampler import Draw, Model
    from phys_samplers.target import Target


@dataclass(frozen=True, kw_only=True)
class Resampled(Metric):
    """Another metric, of as many samples drawn from the weighted ones: systematic resampling.

    Few effective draws leave many copies, and most metrics punish copies: that is the cost of the weights.

    Args:
        metric: the text of a metric of samples.

    Source: N. Kantas, A. Doucet et al., An Overview of Sequential Monte Carlo Methods (2009), Section 3, for the
        resampling.

    Raises:
        ConfigurationError: if the metric is none of samples.
    """

    needs_draw: ClassVar[bool] = True

    metric: str = "w1"

    def __post_init__(self) -> None:
        inner = self.inner
        if inner.needs_model or not inner.needs_rows:
            raise ConfigurationError(f"resampled: metric is {self.metric!r}, which scores no samples; expected w1, say")
        # class facts of any other metric, here facts of the one inside
        object.__setattr__(self, "best", inner.best)
        object.__setattr__(self, "needs", inner.needs)

    @property
    def inner(self) -> Metric:
        """The metric inside."""
        from phys_registry import parse_spec
        from phys_samplers.catalogue import make

        specs = parse_spec(self.metric)
        if len(specs) != 1:
            raise ConfigurationError(f"resampled: metric is {self.metric!r}, {len(specs)} metrics; expected one")
        metric: Metric = make("metric", specs[0].name, preset=specs[0].preset, **specs[0].options)
        return metric

    def __call__(
        self,
        samples: Tensor,
        reference: Tensor,
        *,
        target: Target,
        generator: torch.Generator,
        model: Model | None = None,
        draw: Draw | None = None,
        costs: Mapping[str, float] | None = None,
    ) -> float:
        """The score by the metric inside.

        Args:
            samples: (n, *event_shape).
            reference: as the metric inside takes it.
            target: likewise.
            generator: of the resampling, then of the metric inside.
            model: not used.
            draw: whose ``log_weights`` (n,) the samples have; without any they count as equal.
            costs: not used.

        Raises:
            ConfigurationError: if there are not as many weights as samples, or none that is finite.
        """
        if draw is not None and draw.log_weights is not None:
            samples = samples[systematic(draw.log_weights, generator).to(samples.device)]
        return self.inner(samples, reference, target=target, generator=generator)


def systematic(log_weights: Tensor, generator: torch.Generator) -> Tensor:
    """Indices (n,) in which i appears ⌊n wᵢ⌋ or ⌈n wᵢ⌉ times, n wᵢ on average.

    Args:
        log_weights: (n,), up to one constant; −∞ is a weight of zero.
        generator: of the one uniform number that is drawn, on the CPU.

    Raises:
        ConfigurationError: on NaN or +∞, or if all weights are zero.
    """
    values = log_weights.detach().cpu().double()
    if values.isnan().any() or not values.amax().isfinite():
        raise ConfigurationError("resampled: the log weights hold NaN or +∞, or are all −∞; a diverged draw has none")
    edges = values.softmax(0).cumsum(0)
    places = (torch.arange(len(values)) + torch.rand((), generator=generator, dtype=torch.float64)) / len(values)
    return torch.searchsorted(edges / edges[-1], places, right=True).clamp_(max=len(values) - 1)
