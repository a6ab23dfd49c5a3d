"""Scores of densities: the model's own, and what a draw says of the true one: log Z, a bound of it, effective size.

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

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from phys_samplers.errors import ConfigurationError, MissingCapability
from phys_samplers.metric import Best, Metric, Scored, as_rows, in_batches
from phys_samplers.metrics.two_sample import blocks, distances
from phys_samplers.options import option
from phys_samplers.target import Target

TEMPORARIES = 12
"""Arrays of pairs that the Stein kernel needs at once; blocks of rows are so much smaller."""


@dataclass(frozen=True, kw_only=True)
class NLL(Metric):
    """−mean of the model's own normalised log-density over the reference rows, in nats per sample.

    Infinite where the model gives a held-out row no density at all.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"rows", "model"})

    @torch.no_grad()
    def __call__(self, scored: Scored) -> float:
        """The mean negative log-likelihood.

        Raises:
            MissingCapability: if there is no model, or it has no ``log_prob``.
            ConfigurationError: if ``log_prob`` returns NaN or not one value per row.
        """
        scored.rows(self)
        assert scored.reference is not None  # what "rows" says
        values = _learned(self, scored, scored.reference)
        if values.shape != scored.reference.shape[:1]:
            raise ConfigurationError(
                f"nll: {type(scored.model).__name__}.log_prob returned shape {tuple(values.shape)} for "
                f"{len(scored.reference)} rows; expected one value per row"
            )
        score = -float(values.mean())
        if math.isnan(score):
            raise ConfigurationError(f"nll: {type(scored.model).__name__}.log_prob is NaN on reference rows")
        return score


@dataclass(frozen=True, kw_only=True)
class DensityTV(Metric):
    """½ ∫ |p − q| of the true density p and the model's own ``log_prob`` q, on a grid, in one or two dimensions.

    Samples play no part: chains that have not converged may look right while the energy that they were taught is wrong.
    The grid spans the task's picture box, or that of the reference rows, widened. Both densities are normalised (p on
    the grid, where its constant is unknown), and their mass outside counts as mismatch, as if it lay apart.

    Args:
        points: of the grid along each axis; the spacing must resolve the narrowest mode.
        margin: by which the box is widened at each of its sides, as a share of its width.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"rows", "model", "log_prob"})

    points: int = option(301, least=2)
    margin: float = option(0.5, least=0)

    @torch.no_grad()
    def __call__(self, scored: Scored) -> float:
        """The total variation distance, in [0, 1].

        Raises:
            MissingCapability: if there is no model, or it has no ``log_prob``.
            ConfigurationError: on bad rows, if the target has more than two coordinates, or ``log_prob`` is NaN on the
                grid.
        """
        target, (_, reference) = scored.target, scored.rows(self)
        grid, cell = self._grid(target, reference)
        true = in_batches(target.log_prob, grid.to(reference.device)).double().cpu()
        true = true - (float(true.logsumexp(0)) + math.log(cell) if target.log_z is None else target.log_z)
        learned = _learned(self, scored, grid)
        if learned.isnan().any():
            raise ConfigurationError(f"energy-tv: {type(scored.model).__name__}.log_prob is NaN on the grid")
        p, q = true.exp() * cell, learned.exp() * cell
        outside = (1 - p.sum()).clamp(min=0) + (1 - q.sum()).clamp(min=0)
        return float(((p - q).abs().sum() + outside) / 2)

    def _grid(self, target: Target, reference: Tensor) -> tuple[Tensor, float]:
        """Points (G, D) and the volume of a cell."""
        dim = target.dim
        if dim > 2 or len(target.event_shape) != 1:
            raise ConfigurationError(
                f"energy-tv: {target.name!r} has events of shape {target.event_shape}; expected one or two coordinates"
            )
        box = getattr(target, "view", ())
        if len(box) != dim:
            box = tuple(zip(reference.amin(0).tolist(), reference.amax(0).tolist(), strict=True))
        wide = [(low - self.margin * (high - low), high + self.margin * (high - low)) for low, high in box]
        axes = [torch.linspace(low, high, self.points) for low, high in wide]
        cell = math.prod((high - low) / (self.points - 1) for low, high in wide)
        return torch.cartesian_prod(*axes).reshape(-1, dim), cell


def _learned(metric: Metric, scored: Scored, x: Tensor) -> Tensor:
    """The model's own log-density (B,) at ``x`` (B, *event_shape), float64 on the CPU.

    Raises:
        MissingCapability: if it has none.
    """
    model, log_prob = scored.model, getattr(scored.model, "log_prob", None)
    if model is None or not callable(log_prob):
        raise MissingCapability(
            f"{metric.label} needs a fitted model with log_prob(x: (B, *event_shape)) -> (B,), given "
            f"{type(model).__name__}; leave the metric out for this sampler"
        )
    return in_batches(lambda some: log_prob(some.to(model.device)).detach().cpu(), x).double()


@dataclass(frozen=True, kw_only=True)
class KSD(Metric):
    """KSD² as a U-statistic, the mean over i ≠ j of the Stein kernel: unbiased, so it can be negative. No root.

    With the inverse multiquadric k = (c² + |x − y|²)^β, s = ∇ log p, d = x − y and u = c² + |d|² the Stein kernel is

        u^β s(x)·s(y) + 2β u^{β−1} (s(y) − s(x))·d − 2βD u^{β−1} − 4β(β−1) |d|² u^{β−2}.

    It asks the target only for its score (the reference is not used) and, like every local score criterion, hardly
    sees wrong weights of modes that are far apart.

    Args:
        c: length of the kernel, in the units of the samples.
        beta: exponent in (−1, 0), for which the discrepancy controls convergence (Gorham and Mackey, Theorem 8).

    Source: Q. Liu, J. Lee and M. Jordan (ICML 2016), Eq. 14; J. Gorham and L. Mackey, Measuring Sample Quality with
    Kernels (ICML 2017).
    """

    best: ClassVar[Best] = "zero"
    needs: ClassVar[frozenset[str]] = frozenset({"score"})

    c: float = option(1.0, above=0)
    beta: float = option(-0.5, above=-1, below=0)

    @property
    def has_floor(self) -> bool:
        """Exact draws have a score, though no rows are compared."""
        return True

    def __call__(self, scored: Scored) -> float:
        """KSD² of the samples.

        Raises:
            ConfigurationError: if the score is not finite at some sample.
        """
        x = scored.own_rows(self, least=2)
        # The law is asked in the rows' own precision (its parameters may have it); all that follows is float64.
        s = as_rows(in_batches(scored.target.score, scored.samples).detach().to(x.device))
        if not torch.isfinite(s).all():
            bad = int((~torch.isfinite(s)).any(1).sum())
            raise ConfigurationError(
                f"ksd: the score of target {scored.target.name!r} is not finite at {bad} of {len(s)} samples; "
                "they are off its support"
            )
        x = x - x.mean(0)  # d does not change; x·s loses fewer digits
        dot = (x * s).sum(1)
        total = x.new_zeros(())
        for some in blocks(len(x), TEMPORARIES * len(x)):
            kernel = self._stein(x, s, dot, some)
            index = torch.arange(some.start, some.stop, device=x.device)
            total = total + kernel.sum() - kernel[index - some.start, index].sum()
        return float(total / (len(x) * (len(x) - 1)))

    def _stein(self, x: Tensor, s: Tensor, dot: Tensor, some: slice) -> Tensor:
        """Stein kernel (b, n) of the rows ``some`` against all; ``dot`` = x·s(x) (n,)."""
        beta = self.beta
        squared = distances(x[some], x).square()
        u = squared + self.c**2
        score_d = x[some] @ s.T - dot - dot[some, None] + s[some] @ x.T  # (s(y) − s(x))·d
        power = u.pow(beta - 1)
        smooth = 2 * beta * (score_d - x.shape[1]) - 4 * beta * (beta - 1) * squared / u
        return power * (u * (s[some] @ s.T) + smooth)


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
        generator: of the one uniform number that is drawn.

    Raises:
        ConfigurationError: on NaN or +∞, or if all weights are zero.
    """
    values = log_weights.detach().cpu().double()
    if values.isnan().any() or not values.amax().isfinite():
        raise ConfigurationError("resampled: the log weights hold NaN or +∞, or are all −∞; a diverged draw has none")
    edges = values.softmax(0).cumsum(0)
    shift = torch.rand((), generator=generator, dtype=torch.float64, device=generator.device).cpu()
    places = (torch.arange(len(values)) + shift) / len(values)
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
