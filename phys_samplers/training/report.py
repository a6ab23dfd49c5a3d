"""What training cost and how it went, per replica."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self


@dataclass(frozen=True, kw_only=True)
class TrainingReport:
    """The cost and course of one replica's training.

    Args:
        steps: optimiser steps taken.
        seconds: wall time, shared with ``replicas`` − 1 others if stacked.
        replicas: how many replicas trained at once.
        parameters: trainable numbers of one replica.
        best_step: step of the returned weights.
        best_validation: validation loss there, None without validation.
        history: one mapping per logged step: ``step``, ``loss`` and, where taken, ``validation``.
    """

    steps: int
    seconds: float
    replicas: int
    parameters: int
    best_step: int
    best_validation: float | None = None
    history: list[dict[str, float]] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """JSON-like form."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Inverse of ``to_dict``."""
        return cls(**data)
