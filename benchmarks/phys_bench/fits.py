"""Shared fits: cells that differ in sampling options alone draw from one fit, which their worker keeps."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from phys_samplers.evaluations import Evaluations

if TYPE_CHECKING:
    from phys_samplers.sampler import Model, Sampler

Key = tuple[str, tuple[int, ...]]
"""What decides a fit but its seeds (``Pair.fit``), and the seeds that were fitted together."""


def fit_key(job: Mapping[str, Any]) -> Key | None:
    """Under which key the fit of a job is kept; None if it cannot be shared."""
    return (job["fit"], tuple(job["seeds"])) if job.get("fit") else None


@dataclass(frozen=True, kw_only=True)
class Fit:
    """What fitting the seeds of a job gave.

    Args:
        models: one per seed, or the exception that fitting it ended with.
        costs: per seed, as records hold them.
        seconds: wall-clock time of all seeds together.
        evaluations: the counter of the density that these models ask.
    """

    models: Sequence[Model | Exception]
    costs: Mapping[str, Any]
    seconds: float
    evaluations: Evaluations

    def shared_with(self, recipe: Sampler) -> Fit:
        """The same fit with the sampling options of ``recipe``, at the same costs, which were paid once."""
        own = {
            f.name: getattr(recipe, f.name)
            for f in dataclasses.fields(recipe)
            if f.init and f.name not in recipe.fit_options()
        }
        models = [model if isinstance(model, Exception) else model.with_options(**own) for model in self.models]
        return dataclasses.replace(self, models=models, costs={**self.costs, "shared_fit": True})


class LastFit:
    """Keeps one fit: jobs come ordered by fit, and memory matters."""

    def __init__(self) -> None:
        self.key: Key | None = None
        self._fit: Fit | None = None

    def take(self, key: Key | None) -> Fit | None:
        """The fit of ``key``, if it is the one kept; any other is forgotten, before a new one needs its memory."""
        if key is None or key != self.key:
            self.key = self._fit = None
        return self._fit

    def keep(self, key: Key | None, fit: Fit) -> None:
        """Keep ``fit`` instead of the one before."""
        if key is not None:
            self.key, self._fit = key, fit
