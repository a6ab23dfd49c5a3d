r"""Scores of what comes with a draw: its estimate of log Z, its bound of it, its effective size, and at what cost.

A sampler of an unnormalised density p̃ = Z p may estimate log Z and bound it from below (the ELBO), and may say how many
independent draws its samples are worth. These scores need no reference rows; what they read, a sampler states itself
(``Draw.diagnostics``, whose names mean the same everywhere).

The effective size is a statement about the draws that were made. Weights and chains that never met a mode know nothing
of it: a sampler that collapsed to one of nine modes can have an ESS of 1. Read it beside ``mode-tv`` and
``log-z-error``, which is then near −log 9.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from phys_samplers.errors import ConfigurationError, MissingCapability
from phys_samplers.metric import Metric

if TYPE_CHECKING:
    from phys_samplers.sampler import Draw, Model
    from phys_samplers.target import Target


class DrawMetric(Metric):
    """A score of a draw; samples and reference are not looked at."""

    needs_draw: ClassVar[bool] = True
    needs_rows: ClassVar[bool] = False
    name: ClassVar[str]

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
        """The score.

        Args:
            samples: not read.
            reference: not read; may be empty.
            target: for its log Z.
            generator: not used.
            model: not used.
            draw: what the sampler gave.
            costs: ``energy_gradients`` and ``energy_densities`` per sample and ``seconds`` in all, training included.

        Raises:
            ConfigurationError: without a draw, or without the costs that the score weighs.
            MissingCapability: if the target does not know its log Z, or the draw does not bring what is scored.
        """
        target.require(*self.needs, by=self.name)
        if draw is None:
            raise ConfigurationError(f"{self.name} scores what comes with samples: give draw=model.draw(n)")
        return self.value(draw, target, costs or {})

    @abstractmethod
    def value(self, draw: Draw, target: Target, costs: Mapping[str, float]) -> float:
        """The score of ``draw``."""

    def fact(self, draw: Draw, key: str, what: str) -> float:
        """``draw.diagnostics[key]``.

        Raises:
            MissingCapability: if it is missing or None.
        """
        found = draw.diagnostics.get(key)
        if found is None:
            raise MissingCapability(
                f"{self.name} needs {what}, which this sampler does not give (its draw has no {key!r} among its "
                "diagnostics); leave the metric out for it"
            )
        return float(found)

    def cost(self, costs: Mapping[str, float], *keys: str) -> float:
        """The sum of ``costs`` at ``keys``.

        Raises:
            ConfigurationError: if one is missing, or the sum is not positive.
        """
        if missing := [key for key in keys if key not in costs]:
            raise ConfigurationError(f"{self.name} weighs the cost of a draw: give costs={{{missing[0]!r}: ...}}")
        total = float(sum(costs[key] for key in keys))
        if not total > 0:
            raise ConfigurationError(f"{self.name}: {' + '.join(keys)} is {total}, so there is nothing to divide by")
        return total


EFFECTIVE = "an effective sample size (chains that have not forgotten their starts have none: their R̂ is above 1.1)"


@dataclass(frozen=True, kw_only=True)
class LogZError(DrawMetric):
    """log Ẑ − log Z, signed.

    Importance weights that miss a part of the law make log Ẑ too small, by 0.12 where that is one of nine equal modes.
    """

    best: ClassVar = "zero"
    needs: ClassVar[frozenset[str]] = frozenset({"log_z"})
    name: ClassVar[str] = "log-z-error"

    def value(self, draw: Draw, target: Target, costs: Mapping[str, float]) -> float:
        """The error, in nats."""
        return self.fact(draw, "log_z", "an estimate of log Z") - _log_z(target)


@dataclass(frozen=True, kw_only=True)
class ElboGap(DrawMetric):
    """log Z − ELBO: the Kullback–Leibler divergence KL(q ‖ p) of the paths (or samples) that the bound is made of.

    At least zero in expectation; an estimate from n draws can be a little below. A mode that no path reaches costs
    little: 0.12 for one in nine.
    """

    best: ClassVar = "low"
    needs: ClassVar[frozenset[str]] = frozenset({"log_z"})
    name: ClassVar[str] = "elbo-gap"

    def value(self, draw: Draw, target: Target, costs: Mapping[str, float]) -> float:
        """The gap, in nats."""
        return _log_z(target) - self.fact(draw, "elbo", "a lower bound of log Z")


@dataclass(frozen=True, kw_only=True)
class ESS(DrawMetric):
    """Effective independent draws per sample, as the sampler states it.

    (Σw)²/(n Σw²) of importance weights, at most 1; of chains what the autocorrelation of their states leaves, the
    smallest over coordinates, which can exceed 1 where a chain is long and one state of it was asked for.
    """

    best: ClassVar = "high"
    name: ClassVar[str] = "ess"

    def value(self, draw: Draw, target: Target, costs: Mapping[str, float]) -> float:
        """The share."""
        return self.fact(draw, "ess", EFFECTIVE)


@dataclass(frozen=True, kw_only=True)
class ESSPerGradient(DrawMetric):
    """Effective independent draws per evaluation of the energy, training included.

    An evaluation is a gradient, with or without the value beside it, or a value asked alone: a sampler that asks values
    where others ask gradients does not get them for nothing, though a value costs about a third of a gradient. A
    trained sampler pays its training with every sample, so the number rises with the number of samples that share it.
    """

    best: ClassVar = "high"
    name: ClassVar[str] = "ess-per-gradient"

    def value(self, draw: Draw, target: Target, costs: Mapping[str, float]) -> float:
        """ESS over evaluations, both per sample."""
        effective = self.fact(draw, "ess", EFFECTIVE)
        return effective / self.cost(costs, "energy_gradients", "energy_densities")


@dataclass(frozen=True, kw_only=True)
class ESSPerSecond(DrawMetric):
    """Effective independent draws per second of wall-clock time, training and sampling together."""

    best: ClassVar = "high"
    name: ClassVar[str] = "ess-per-second"

    def value(self, draw: Draw, target: Target, costs: Mapping[str, float]) -> float:
        """Effective draws in all over seconds in all."""
        effective = self.fact(draw, "ess", EFFECTIVE)
        return effective * len(draw.samples) / self.cost(costs, "seconds")


def _log_z(target: Target) -> float:
    assert target.log_z is not None  # what the capability "log_z" says
    return target.log_z
