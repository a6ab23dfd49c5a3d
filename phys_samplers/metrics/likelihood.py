"""Held-out log-likelihood of the fitted model."""

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
class NLL(Metric):
    """−mean of the model's own normalised log-density over the reference rows, in nats per sample.

    Infinite where the model gives a held-out row no density at all.
    """

    best: ClassVar = "low"
    needs_model: ClassVar[bool] = True

    def __call__(
        self,
        samples: Tensor,
        reference: Tensor,
        *,
        target: Target,
        generator: torch.Generator,
        model: Model | None = None,
    ) -> float:
        """The mean negative log-likelihood.

        Raises:
            MissingCapability: if there is no model, or it has no ``log_prob``.
            ConfigurationError: if ``log_prob`` returns NaN or not one value per row.
        """
        rows(samples, reference, by="nll")
        log_prob = getattr(model, "log_prob", None)
        if model is None or not callable(log_prob):
            given = "no model" if model is None else type(model).__name__
            raise MissingCapability(
                f"nll needs a fitted model with log_prob(x: (B, *event_shape)) -> (B,), given {given}; "
                "leave the metric out for this sampler"
            )
        with torch.no_grad():
            values = torch.cat([log_prob(some) for some in row_batches(reference.to(model.device))])
        if values.shape != reference.shape[:1]:
            raise ConfigurationError(
                f"nll: {type(model).__name__}.log_prob returned shape {tuple(values.shape)} for {len(reference)} rows; "
                "expected one value per row"
            )
        score = -float(values.detach().cpu().double().mean())
        if math.isnan(score):
            raise ConfigurationError(f"nll: {type(model).__name__}.log_prob is NaN on reference rows")
        return score
