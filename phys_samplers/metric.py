"""What a metric is: a number from generated samples, reference samples and the task they belong to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from torch import Tensor

if TYPE_CHECKING:
    from phys_samplers.sampler import Model
    from phys_samplers.target import Target


@dataclass(frozen=True, kw_only=True)
class Metric(ABC):
    """A score. Subclasses are frozen dataclasses whose fields (bins, bandwidths, …) are part of the definition.

    Attributes:
        best: which way is better; ``"zero"``, ``"half"`` and ``"one"`` for scores whose exact value is 0, ½ or 1
            (signed errors, two-sample accuracies, ratios).
        needs: target capabilities beyond reference samples.
        needs_model: whether the fitted model itself (its ``log_prob``) is scored rather than samples
            alone; such a metric has no floor from samples.
        needs_draw: whether what came with the samples is scored (a log Z estimate, importance weights, their cost);
            the call then has the further keywords ``draw`` and ``costs`` (``energy_gradients`` and
            ``energy_densities``, evaluations per sample, and ``seconds`` in all, each with training included).
        needs_rows: whether samples are compared with reference rows; without, these may be an empty tensor, and there
            is no floor.
    """

    best: ClassVar[Literal["low", "high", "zero", "half", "one"]] = "low"
    needs: ClassVar[frozenset[str]] = frozenset()
    needs_model: ClassVar[bool] = False
    needs_draw: ClassVar[bool] = False
    needs_rows: ClassVar[bool] = True

    @abstractmethod
    def __call__(
        self,
        samples: Tensor,
        reference: Tensor,
        *,
        target: Target,
        generator: torch.Generator,
        model: Model | None = None,
    ) -> float:
        """The score of ``samples`` (n, D) against ``reference`` (m, D).

        Args:
            samples: generated rows.
            reference: rows of the exact law, never seen by the sampler.
            target: for modes, training rows, log-densities.
            generator: for metrics that draw (projections, sub-samples).
            model: the fitted model, for metrics with ``needs_model``.
        """
