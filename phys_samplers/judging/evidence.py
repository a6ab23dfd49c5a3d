"""What one run of one sampler says for and against it, without knowing the answer."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from phys_samplers.chains import ChainModel
from phys_samplers.density import FlatDensity
from phys_samplers.diagnostics import pareto_k
from phys_samplers.errors import DensityError
from phys_samplers.evaluations import Evaluations
from phys_samplers.judging.p_values import stein_p_value
from phys_samplers.judging.smoothness import Smoothness, smoothness
from phys_samplers.randomness import make_generator
from phys_samplers.sampler import Draw, Sampler
from phys_samplers.shown import Facts, Shown, number, size
from phys_samplers.target import Target
from phys_samplers.training import Callback


@dataclass(frozen=True, kw_only=True, repr=False)
class Evidence(Shown):
    """One sampler's run.

    Attributes:
        sampler: its text.
        error: why there are no samples; empty if there are.
        samples: (n, *event_shape), resampled by their importance weights if they have any.
        z: the same on flat coordinates (n, K).
        log_z: estimate of the logarithm of the normalising constant, None without one.
        log_z_std: its standard error, infinite if unknown.
        effective: number of independent draws that the samples are worth, None if unknown.
        log_prob: log p at ``z`` (n,), None without samples.
        unbiased: whether ``log_z`` is the logarithm of an unbiased estimate of Z, or nearly: only then does it bound
            what there is from below.
        at_least: whether log Z may be larger than its error says, since weights have a heavy tail.
        pareto: k̂ of the importance weights, None without weights.
        rhat: largest rank-normalised split-R̂ of chains over coordinates and log p, None without one.
        stein: p-value of Stein's identities; 1 where they do not hold.
        smoothness: of the density where the samples are: ``smooth``, ``border`` or ``jumps``.
        gradients: energy gradients per sample, training included.
        densities: energies without a gradient per sample, training included.
        seconds: of fitting and sampling.
        improvised: whether no sampler that was asked for made it, so that one that agrees is recommended before it.
    """

    sampler: str
    error: str = ""
    samples: Tensor | None = None
    z: Tensor | None = None
    log_z: float | None = None
    log_z_std: float = math.inf
    effective: float | None = None
    log_prob: Tensor | None = None
    unbiased: bool = True
    at_least: bool = False
    pareto: float | None = None
    rhat: float | None = None
    stein: float = 1.0
    smoothness: Smoothness = "smooth"
    gradients: float = 0.0
    densities: float = 0.0
    seconds: float = 0.0
    improvised: bool = False

    def _facts(self) -> Facts:
        if self.samples is None:
            return [("sampler", self.sampler), ("error", number(self.error))]
        facts = {"log_z": self.log_z, "effective": self.effective, "rhat": self.rhat, "gradients": self.gradients}
        known = [(name, number(value)) for name, value in facts.items() if value is not None]
        return [("sampler", self.sampler), ("samples", size(self.samples.shape)), *known]

    @property
    def finished(self) -> bool:
        """Whether there are samples."""
        return self.samples is not None

    @property
    def cost(self) -> float:
        """Energy gradients per effective draw."""
        if not self.finished or not self.effective:
            return math.inf
        assert self.samples is not None
        return self.gradients * len(self.samples) / self.effective


MANY = 4_000
"""Points asked where none of a few has density."""
LOST = 0.1
"""Rounding of a log-density, in double precision, with which nothing is known."""
ROUGH, SURE = 1e-4, 4
"""Relative change of a log-density that rounding does not make, and at how many points it must be seen."""


def probe(target: Target, *, n: int, scale: float, seed: int, device: torch.device | str) -> None:
    """Ask density and score, at points of several scales, so that what is wrong with them is told before a run.

    Raises:
        DensityError: of a shape that is wrong, of an error inside, of no number anywhere, of values that change when
            asked again or in other company.
    """
    density = FlatDensity(target.to(device))
    generator = make_generator(seed, "probe", device=device)
    z = torch.randn(n, density.dim, generator=generator, device=device)
    spread = scale * torch.logspace(-3, 3, n, device=device).unsqueeze(1)
    log_prob, score = density.target.log_prob_and_score(density.embed(z * spread))
    if log_prob.shape != (n,) or score.shape != density.embed(z).shape:
        raise DensityError(
            f"log-density and score have shapes {tuple(log_prob.shape)} and {tuple(score.shape)} at {n} points; "
            f"expected {(n,)} and {tuple(density.embed(z).shape)}"
        )
    if not torch.isfinite(log_prob).any() and not _has_density(density, scale, generator):
        raise DensityError(
            f"the log-density of target {target.name!r} is not finite at any of {MANY} points around the origin, from "
            f"{scale / 1000:g} to {scale * 1000:g} away; move its support there (x = centre + z), or check its sign"
        )
    least = log_prob[log_prob.isfinite()].double().abs().amin() if log_prob.isfinite().any() else z.new_zeros(())
    if (rounding := float(least) * torch.finfo(torch.float64).eps) > LOST:
        raise DensityError(
            f"the log-density of target {target.name!r} is beyond ±{float(least):.1e} at all of {n} points, where even "
            f"double precision rounds to {rounding:.0e}: take the constant out of it, or measure x in units in which "
            "it changes by about one"
        )
    _refuse_unsteady(density, z * spread, log_prob)


def _has_density(density: FlatDensity, scale: float, generator: torch.Generator) -> bool:
    """Whether there is density at any of many points of several scales."""
    z = torch.randn(MANY, density.dim, generator=generator, device=generator.device)
    spread = scale * torch.logspace(-3, 3, MANY, device=generator.device).unsqueeze(1)
    return bool(density.log_prob(z * spread).isfinite().any())


def _refuse_unsteady(density: FlatDensity, z: Tensor, log_prob: Tensor) -> None:
    """Refuse a density that is another one at every call, or depends on the other rows of a batch."""
    bound = ROUGH * (1 + log_prob.abs())

    def changed(again: Tensor, rows: slice) -> int:
        same = (again == log_prob[rows]) | ((again - log_prob[rows]).abs() <= bound[rows])
        return int((~same & ~(again.isnan() & log_prob[rows].isnan())).sum())

    name = density.target.name
    if (count := changed(density.target.log_prob(density.embed(z)), slice(None))) >= SURE:
        raise DensityError(
            f"the log-density of target {name!r} is not the same when asked again: it differs at {count} of {len(z)} "
            "points; take random numbers (drawn rows of data, dropout) out of it, or draw them once, before"
        )
    half = slice(0, len(z), 2)
    if (count := changed(density.target.log_prob(density.embed(z[half])), half)) >= SURE:
        raise DensityError(
            f"the log-density of target {name!r} at a point is not the same in another batch: it differs at {count} of "
            f"{len(z[half])} points; let no row depend on others (means over the batch, batch normalisation)"
        )


def gather(
    text: str,
    recipe: Sampler,
    target: Target,
    *,
    n: int,
    seed: int,
    device: torch.device | str,
    callbacks: Sequence[Callback] = (),
) -> Evidence:
    """Fit, draw and test; a sampler that fails is evidence too."""
    asked = Evaluations()
    counted = replace(target, evaluations=asked)
    began = time.perf_counter()
    try:
        model = recipe.fit(counted, seed=seed, device=device, callbacks=callbacks)
        if isinstance(model, ChainModel):
            model.diagnose_heights = True
        draw = model.draw(n, seed=seed + 1)
        if not torch.isfinite(draw.samples).all():
            raise FloatingPointError("some samples are not finite")
    except DensityError:
        raise  # a mistake in the density is nobody's evidence
    except (ArithmeticError, ValueError, TypeError, RuntimeError) as error:
        return Evidence(sampler=text, error=str(error), seconds=time.perf_counter() - began)
    seconds = time.perf_counter() - began
    found = tested(text, draw, target.to(device), seed=seed)
    return replace(found, gradients=asked.gradients / n, densities=asked.densities / n, seconds=seconds)


def tested(text: str, draw: Draw, target: Target, *, seed: int) -> Evidence:
    """The evidence of a draw."""
    density, facts = FlatDensity(target), draw.diagnostics
    generator = make_generator(seed, "radii", device=draw.samples.device)
    z, n = density.reduce(draw.samples.detach(), generator), len(draw.samples)
    weights = None if draw.log_weights is None else draw.log_weights.detach().double().softmax(0)
    ess = facts.get("ess")
    effective = None if ess is None else min(1.0, float(ess)) * n
    log_z, std = facts.get("log_z"), facts.get("log_z_std")
    unbiased = bool(facts.get("log_z_unbiased", draw.log_weights is not None))
    if effective is not None and unbiased and std:
        effective = min(effective, std**-2)  # weights whose mean is known to a share s are worth no more than s⁻² draws
    log_prob, score = density.log_prob_and_score(z)
    kept = _resampled(z, weights, seed)
    kind = smoothness(density, kept, seed=seed)
    # Stein's identities hold where density falls off smoothly: not at borders, not where it jumps
    stein = stein_p_value(z, score, weights=weights, effective=effective) if kind == "smooth" else 1.0
    return Evidence(
        sampler=text,
        samples=_resampled(draw.samples.detach(), weights, seed),
        z=kept,
        log_prob=_resampled(log_prob, weights, seed),
        unbiased=unbiased,
        at_least=bool(facts.get("log_z_at_least", False)),
        pareto=None if draw.log_weights is None else pareto_k(draw.log_weights),
        smoothness=kind,
        log_z=None if log_z is None or not math.isfinite(log_z) else float(log_z),
        log_z_std=math.inf if std is None or not math.isfinite(std) else float(std),
        effective=effective,
        rhat=facts.get("rhat_rank_max", facts.get("rhat_max")),
        stein=stein,
    )


def _resampled(x: Tensor, weights: Tensor | None, seed: int) -> Tensor:
    """As many rows drawn with their weights (systematic resampling, in random order)."""
    if weights is None:
        return x
    generator = make_generator(seed, "resampling", device=x.device)
    n = len(x)
    offset = torch.rand(1, generator=generator, device=x.device, dtype=torch.float64)
    points = (torch.arange(n, device=x.device, dtype=torch.float64) + offset) / n
    rows = torch.searchsorted(weights.cumsum(0), points).clamp_(max=n - 1)
    return x[rows[torch.randperm(n, generator=generator, device=x.device)]]
