"""Scores of sets: what n samples drawn together show of a law that n independent ones need not.

Samples come as sets of ``target.set_size``, one after the other. Independent samples may be scored too: their sets are
what exact sets are. Recall and precision at a radius are the COV-R and COV-P of conformer generation (thesis, Eq. B.1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from phys_samplers.errors import ConfigurationError
from phys_samplers.metric import Best, Metric, Scored
from phys_samplers.metrics.transport import transport_cost
from phys_samplers.metrics.two_sample import distances
from phys_samplers.options import option

MOST_ROWS = 1_000
"""Reference rows that a set is compared with."""


@dataclass(frozen=True, kw_only=True)
class SetMetric(Metric):
    """A mean over sets."""

    needs: ClassVar[frozenset[str]] = frozenset({"rows", "sets"})
    of_sets: ClassVar[bool] = True

    def sets(self, scored: Scored) -> tuple[Tensor, Tensor]:
        """Samples (S, n, D) and reference (m, D) in double precision.

        Raises:
            ConfigurationError: on samples that are not whole sets, or sets of another size than the task's.
        """
        samples, reference = scored.rows(self)
        size = scored.target.set_size
        assert size is not None  # what "sets" says
        own = 1 if scored.draw is None else scored.draw.diagnostics.get("set_size", 1)
        if own not in (1, size) or len(samples) % size:
            raise ConfigurationError(
                f"{self.label}: {len(samples)} samples in sets of {own}; expected whole sets of {size}, those of "
                f"target {scored.target.name!r}, or independent samples"
            )
        return samples.unflatten(0, (-1, size)), reference[:MOST_ROWS]


@dataclass(frozen=True, kw_only=True)
class SetModes(SetMetric):
    """The number of modes that a set has a sample in; samples off every mode count for none.

    Args:
        radius: of a mode around its centre; None for half the least distance between two centres.
    """

    best: ClassVar[Best] = "high"
    needs: ClassVar[frozenset[str]] = frozenset({"rows", "sets", "modes"})

    radius: float | None = option(None, above=0)

    def __call__(self, scored: Scored) -> float:
        """Modes a set."""
        sets, _ = self.sets(scored)
        off, labels = strayed(scored, sets, self.radius)
        assert scored.target.modes is not None
        found = torch.zeros(len(sets), len(scored.target.modes.centres) + 1, device=sets.device)
        found.scatter_(1, torch.where(off, found.shape[1] - 1, labels), 1.0)
        return float(found[:, :-1].sum(1).mean())


@dataclass(frozen=True, kw_only=True)
class OffMode(SetMetric):
    """The share of samples that are in no mode.

    Args:
        radius: see ``SetModes``.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"rows", "sets", "modes"})

    radius: float | None = option(None, above=0)

    def __call__(self, scored: Scored) -> float:
        """A share."""
        sets, _ = self.sets(scored)
        return float(strayed(scored, sets, self.radius)[0].double().mean())


def strayed(scored: Scored, sets: Tensor, radius: float | None) -> tuple[Tensor, Tensor]:
    """Whether samples are off every mode (S, n), and the nearest mode (S, n)."""
    modes = scored.target.modes
    assert modes is not None
    centres = modes.centres.to(sets)
    if radius is None:
        apart = distances(centres, centres)
        radius = 0.5 * float(apart[apart > 0].min()) if len(centres) > 1 else float("inf")
    nearest, labels = distances(sets.flatten(0, 1), centres).min(1)
    return (nearest > radius).view(sets.shape[:2]), labels.view(sets.shape[:2])


@dataclass(frozen=True, kw_only=True)
class SetSimilarity(SetMetric):
    """Mean of exp(−d²/h) over the pairs of a set.

    Args:
        bandwidth: h; None for the mean squared distance of reference rows.
    """

    bandwidth: float | None = option(None, above=0)

    def __call__(self, scored: Scored) -> float:
        """A mean similarity, in [0, 1]."""
        sets, reference = self.sets(scored)
        width = 2 * float(reference.var(0).sum()) if self.bandwidth is None else self.bandwidth
        squared = (sets.unsqueeze(2) - sets.unsqueeze(1)).square().sum(-1)
        n = sets.shape[1]
        return float((((-squared / width).exp().sum((1, 2)) - n) / (n * (n - 1))).mean())


@dataclass(frozen=True, kw_only=True)
class SetRecall(SetMetric):
    """The share of reference rows that have a sample of the set within a radius.

    Args:
        radius: None for the one at which it is ½ for sets of reference rows.
    """

    best: ClassVar[Best] = "high"

    radius: float | None = option(None, above=0)

    def __call__(self, scored: Scored) -> float:
        """A share."""
        sets, reference = self.sets(scored)
        radius = self.radius
        if radius is None:
            spare = reference[: len(reference) // sets.shape[1] * sets.shape[1]].unflatten(0, (-1, sets.shape[1]))
            own = torch.stack([distances(reference, some).min(1).values for some in spare[:20]])
            radius = float(own[own > 0].median())
        return float(
            torch.stack([(distances(reference, s).min(1).values < radius).double().mean() for s in sets]).mean()
        )


@dataclass(frozen=True, kw_only=True)
class SetPrecision(SetMetric):
    """The share of samples that have a reference row within a radius.

    Args:
        radius: None for the one that 95 % of the reference rows have another one in.
    """

    best: ClassVar[Best] = "high"

    radius: float | None = option(None, above=0)

    def __call__(self, scored: Scored) -> float:
        """A share."""
        sets, reference = self.sets(scored)
        radius = self.radius
        if radius is None:
            own = distances(reference, reference).fill_diagonal_(float("inf"))
            radius = float(own.min(1).values.quantile(0.95))
        return float((distances(sets.flatten(0, 1), reference).min(1).values <= radius).double().mean())


@dataclass(frozen=True, kw_only=True)
class SetMarginal(SetMetric):
    """W2 between all samples, whatever their sets, and the reference: what the marginal law loses.

    Args:
        max_iterations: of the network simplex.
    """

    max_iterations: int = option(10**8, least=1)

    def __call__(self, scored: Scored) -> float:
        """W2."""
        sets, _ = self.sets(scored)
        _, reference = scored.rows(self)
        points = sets.flatten(0, 1)
        cost = transport_cost(points, reference, power=2, max_iterations=self.max_iterations, by=self.label)
        return cost**0.5
