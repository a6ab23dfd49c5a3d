r"""Scores of what comes with a draw: its estimate of log Z, its bound of it, its effective size, and at what cost.

A sampler of an unnormalised density p̃ = Z p may estimate log Z and bound it from below (the ELBO), and may say how many
independent draws its samples are worth. These scores need no reference rows; what they read, a sampler states itself
(``Draw.diagnostics``, whose names mean the same everywhere).

The effective size is a statement about the draws that were made. Weights and chains that never met a mode know nothing
of it: a sampler that collapsed to one of nine modes can have an ESS of 1. Read it beside ``mode-tv`` and
``log-z-error``, which is then near −log 9.

Importance weights make samples exact in the limit, and a sampler that gives them (annealed importance sampling, the
value gradient sampler) leaves it to its user to apply them: ``resampled`` does, before another metric scores.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from phys_samplers.errors import ConfigurationError, MissingCapability
from phys_samplers.metric import Best, Metric, Scored

EFFECTIVE = "an effective sample size (chains that have not forgotten their starts have none: their R̂ is above 1.1)"


@dataclass(frozen=True, kw_only=True)
class LogZError(Metric):
    """log Ẑ − log Z, signed, in nats.

    Importance weights that miss a part of the law make log Ẑ too small, by 0.12 where that is one of nine equal modes.
    """

    best: ClassVar[Best] = "zero"
    needs: ClassVar[frozenset[str]] = frozenset({"draw", "log_z"})

    def __call__(self, scored: Scored) -> float:
        """The error."""
        return _fact(self, scored, "log_z", "an estimate of log Z") - _log_z(scored)


@dataclass(frozen=True, kw_only=True)
class ElboGap(Metric):
    """log Z − ELBO, in nats: the divergence KL(q ‖ p) of the paths (or samples) that the bound is made of.

    At least zero in expectation; an estimate from n draws can be a little below. A mode that no path reaches costs
    little: 0.12 for one in nine.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"draw", "log_z"})

    def __call__(self, scored: Scored) -> float:
        """The gap."""
        bound = _fact(self, scored, "elbo", "a lower bound of log Z")
        return _log_z(scored) - bound


@dataclass(frozen=True, kw_only=True)
class ESS(Metric):
    """Effective independent draws per sample, as the sampler states it.

    (Σw)²/(n Σw²) of importance weights, at most 1; of chains what the autocorrelation of their states leaves, the
    smallest over coordinates, which can exceed 1 where a chain is long and one state of it was asked for.
    """

    best: ClassVar[Best] = "high"
    needs: ClassVar[frozenset[str]] = frozenset({"draw"})

    def __call__(self, scored: Scored) -> float:
        """The share."""
        return _fact(self, scored, "ess", EFFECTIVE)


@dataclass(frozen=True, kw_only=True)
class ESSPerGradient(Metric):
    """Effective independent draws per evaluation of the energy, training included.

    An evaluation is a gradient, with or without the value beside it, or a value asked alone: a sampler that asks values
    where others ask gradients does not get them for nothing, though a value costs about a third of a gradient. A
    trained sampler pays its training with every sample, so the number rises with the number of samples that share it.
    """

    best: ClassVar[Best] = "high"
    needs: ClassVar[frozenset[str]] = frozenset({"draw", "costs"})

    def __call__(self, scored: Scored) -> float:
        """ESS over evaluations, both per sample."""
        return _fact(self, scored, "ess", EFFECTIVE) / _cost(self, scored, "energy_gradients", "energy_densities")


@dataclass(frozen=True, kw_only=True)
class ESSPerSecond(Metric):
    """Effective independent draws per second of wall-clock time, training and sampling together."""

    best: ClassVar[Best] = "high"
    needs: ClassVar[frozenset[str]] = frozenset({"draw", "costs"})

    def __call__(self, scored: Scored) -> float:
        """Effective draws in all over seconds in all."""
        effective = _fact(self, scored, "ess", EFFECTIVE)
        assert scored.draw is not None  # what "draw" says
        return effective * len(scored.draw.samples) / _cost(self, scored, "seconds")


@dataclass(frozen=True, kw_only=True)
class Resampled(Metric):
    """Another metric, of as many samples drawn from the weighted ones: systematic resampling.

    Samples without weights are scored as they are, so that one column compares both kinds. Few effective draws leave
    many copies, and most metrics punish copies: that is the cost of the weights.

    Args:
        metric: the text of a metric of samples.

    Source: N. Kantas, A. Doucet et al., An Overview of Sequential Monte Carlo Methods (2009), Section 3, for the
        resampling.

    Raises:
        ConfigurationError: if the metric is none of samples.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"rows", "draw"})

    metric: str = "w1"

    def __post_init__(self) -> None:
        super().__post_init__()
        inner = self.inner
        if not inner.has_floor:
            raise ConfigurationError(f"resampled: metric is {self.metric!r}, which scores no samples; expected w1, say")
        # class facts of any other metric, here facts of the one inside
        object.__setattr__(self, "best", inner.best)
        object.__setattr__(self, "needs", inner.needs | {"draw"})

    @property
    def inner(self) -> Metric:
        """The metric inside."""
        from phys_samplers.options import make_part

        metric: Metric = make_part("metric", self.metric)
        return metric

    def __call__(self, scored: Scored) -> float:
        """The score by the metric inside; the generator is that of the resampling first.

        Raises:
            ConfigurationError: if no weight is finite.
        """
        scored.require(self)
        assert scored.draw is not None  # what "draw" says
        if (weights := scored.draw.log_weights) is not None:
            chosen = systematic(weights, scored.generator).to(scored.samples.device)
            scored = replace(scored, samples=scored.samples[chosen])
        return self.inner(scored)


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


def _fact(metric: Metric, scored: Scored, key: str, what: str) -> float:
    """``draw.diagnostics[key]``.

    Raises:
        MissingCapability: if something that the metric needs is not here, or the sampler does not state it.
    """
    scored.require(metric)
    assert scored.draw is not None  # what "draw" says
    if (found := scored.draw.diagnostics.get(key)) is None:
        raise MissingCapability(
            f"{metric.label} needs {what}, which this sampler does not give (its draw has no {key!r} among its "
            "diagnostics); leave the metric out for it"
        )
    return float(found)


def _cost(metric: Metric, scored: Scored, *keys: str) -> float:
    """The sum of the costs at ``keys``.

    Raises:
        ConfigurationError: if one is missing, or the sum is not positive.
    """
    costs = scored.costs or {}
    if missing := [key for key in keys if key not in costs]:
        raise ConfigurationError(f"{metric.label} weighs the cost of a draw: give costs={{{missing[0]!r}: ...}}")
    total = float(sum(costs[key] for key in keys))
    if not total > 0:
        raise ConfigurationError(f"{metric.label}: {' + '.join(keys)} is {total}, so there is nothing to divide by")
    return total


def _log_z(scored: Scored) -> float:
    assert scored.target.log_z is not None  # what "log_z" says
    return scored.target.log_z
