"""A metric."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from phys_samplers.metric import Metric, Scored


@dataclass(frozen=True, kw_only=True)
class MeanDistance(Metric):
    """|mean of the samples − mean of the reference|."""

    needs: ClassVar[frozenset[str]] = frozenset({"rows"})

    def __call__(self, scored: Scored) -> float:
        """See ``Metric``."""
        x, y = scored.rows(self)
        return float((x.mean(0) - y.mean(0)).norm())
