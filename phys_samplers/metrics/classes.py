"""Scores of laws given a class, one class at a time.

Samples of all classes together may be exact while each has another's; nothing that compares them with all rows sees it.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, replace
from typing import ClassVar

from phys_samplers.errors import ConfigurationError, MissingCapability
from phys_samplers.metric import Metric, Scored


@dataclass(frozen=True, kw_only=True)
class ByClass(Metric):
    """The mean over classes of another metric: samples drawn given a class against rows of that class.

    Every class counts alike, however many rows it has. With few rows of a class the scores of exact samples are far
    above zero: read it beside its floor, which is that of as many training rows of each class.

    Args:
        metric: the text of a metric of samples and rows alone.
        only: one class alone, instead of the mean over all.

    Raises:
        ConfigurationError: if the metric looks at more than these, which is not that of a class.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"rows", "conditions"})

    metric: str = "w2"
    only: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        inner = self.inner
        if inner.needs != {"rows"}:
            raise ConfigurationError(
                f"by-class: metric is {self.metric!r}, which looks at {', '.join(sorted(inner.needs))}; expected one "
                "that looks at rows alone: w2, say"
            )
        object.__setattr__(self, "best", inner.best)  # a class fact of any other metric

    @property
    def inner(self) -> Metric:
        """The metric of one class."""
        from phys_samplers.options import make_part

        metric: Metric = make_part("metric", self.metric)
        return metric

    def __call__(self, scored: Scored) -> float:
        """The metric inside, in its units: of one class, or the mean over classes.

        Raises:
            MissingCapability: if nobody says what samples and reference were given.
            ConfigurationError: on covariates, on conditions that are not one a row, if samples and reference have
                not the same classes, or if the class asked for is none of them.
        """
        scored.require(self)
        inner = self.inner
        scored.rows(inner)
        assert scored.reference is not None  # what "rows" says
        if scored.conditions is None:
            raise MissingCapability(
                "by-class needs what samples and reference were given; give conditions=(of samples, of reference rows)"
            )
        ours, theirs = (given.to(scored.samples.device) for given in scored.conditions)
        if ours.is_floating_point() or theirs.is_floating_point():
            raise ConfigurationError("by-class: the conditions are covariates; expected integer class labels")
        sizes = (len(scored.samples), len(scored.reference))
        if (tuple(ours.shape), tuple(theirs.shape)) != ((sizes[0],), (sizes[1],)):
            raise ConfigurationError(
                f"by-class: conditions have shapes {tuple(ours.shape)} and {tuple(theirs.shape)} for {sizes[0]} samples"
                f" and {sizes[1]} reference rows; expected one class a row"
            )
        labels = theirs.unique()
        if not labels.equal(ours.unique()):
            raise ConfigurationError(
                f"by-class: samples were drawn given {ours.unique().tolist()}, and the reference has rows of "
                f"{labels.tolist()}; expected the same classes"
            )
        if self.only is not None and self.only not in labels:
            raise ConfigurationError(
                f"by-class: only is {self.only}, and the reference has rows of {labels.tolist()}; expected one of these"
            )
        reference = scored.reference.to(scored.samples.device)
        return statistics.fmean(
            inner(replace(scored, samples=scored.samples[ours == k], reference=reference[theirs == k], conditions=None))
            for k in (labels if self.only is None else [self.only])
        )
