"""Are the modes visited with the right frequencies?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from phys_samplers.errors import ConfigurationError
from phys_samplers.metric import Metric
from phys_samplers.metrics.rows import row_batches, rows

if TYPE_CHECKING:
    from phys_samplers.sampler import Model
    from phys_samplers.target import Target


@dataclass(frozen=True, kw_only=True)
class ModeTV(Metric):
    """½ Σ_k |frequency of mode k among the samples − weight of mode k|, against the exact ``target.modes.weights``.

    A sample whose label is no mode (a label function may say −1) is mass of its own, and counts as mismatch.
    """

    best: ClassVar = "low"
    needs: ClassVar[frozenset[str]] = frozenset({"modes"})

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
            ConfigurationError: if the weights of the modes are negative or do not sum to one.
        """
        target.require(*self.needs, by="mode-tv")
        assert target.modes is not None  # what the capability "modes" says
        rows(samples, reference, by="mode-tv")
        weights = target.modes.weights.to(samples.device).double()
        if (weights < 0).any() or abs(float(weights.sum()) - 1) > 1e-5:
            raise ConfigurationError(f"mode-tv: mode weights are {weights.tolist()}; expected them to sum to one")
        labels = torch.cat([target.modes.labels(some) for some in row_batches(samples)])
        known = (labels >= 0) & (labels < len(weights))
        counts = torch.zeros_like(weights).scatter_add_(0, labels[known], torch.ones_like(labels[known]).double())
        strayed = (~known).double().mean()
        return float(((counts / len(samples) - weights).abs().sum() + strayed) / 2)
